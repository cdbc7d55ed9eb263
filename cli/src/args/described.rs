//! Flags of `add` for permissions and times.

use clap::Args;
use store::unixfs::data::{Metadata, Mtime};
use store::unixfs::source;

use crate::exit::Error;

/// Which permissions and times are stored. Each changes the CIDs.
#[derive(Debug, Args)]
pub(crate) struct Described {
    /// Store the permissions of each entry; leaves are not raw then, as in Kubo
    #[arg(long)]
    pub(crate) preserve_mode: bool,
    /// Store the time of last change of each entry; leaves are not raw then
    #[arg(long)]
    pub(crate) preserve_mtime: bool,
    /// Store these permissions for all files and directories: 0644
    #[arg(long, value_name = "MODE", value_parser = mode)]
    pub(crate) mode: Option<u32>,
    /// Store this time of last change for all entries, in seconds since 1970
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub(crate) mtime: Option<i64>,
    /// Nanoseconds beside --mtime
    #[arg(long, value_name = "NANOSECONDS", value_parser = clap::value_parser!(u32).range(..1_000_000_000))]
    pub(crate) mtime_nsecs: Option<u32>,
}

impl Described {
    /// What they mean. As in Kubo, zero is no mode and no time.
    pub(crate) fn options(&self) -> Result<source::Described, Error> {
        let seconds = self.mtime.filter(|&seconds| seconds != 0);
        let nanos = self.mtime_nsecs.filter(|&nanos| nanos != 0);
        if nanos.is_some() && seconds.is_none() {
            return Err(Error::Usage {
                message: "`--mtime-nsecs` is a part of a second: it needs `--mtime`".into(),
                hint: None,
            });
        }
        let mtime = seconds.map(|seconds| Mtime::new(seconds, nanos.unwrap_or_default()));
        Ok(source::Described {
            preserve_mode: self.preserve_mode,
            preserve_mtime: self.preserve_mtime,
            given: Metadata {
                mode: self.mode.filter(|&mode| mode != 0),
                mtime,
            },
        })
    }
}

/// Permissions in octal digits. Kubo takes `644` for a decimal number: whoever leaves out the zero
/// would get other CIDs here or there, so it is asked for.
fn mode(text: &str) -> Result<u32, String> {
    let digits = text
        .strip_prefix("0o")
        .or_else(|| text.strip_prefix('0'))
        .ok_or("write it in octal with a zero in front: 0644")?;
    let digits = if digits.is_empty() { "0" } else { digits };
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        Ok(_) => Err("only the nine permission bits can be given: at most 0777".into()),
        Err(_) => Err("octal digits are 0 to 7".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_octal_and_says_so() {
        assert_eq!(mode("0644"), Ok(0o644));
        assert_eq!(mode("0o755"), Ok(0o755));
        assert_eq!(mode("0"), Ok(0));
        for bad in ["644", "01777", "0888", "", "rw-r--r--"] {
            assert!(mode(bad).is_err(), "{bad}");
        }
    }
}

//! Results on stdout: tables for people, one JSON object a line for programs.

use std::fmt::Display;
use std::io::{self, BufWriter, Stdout, Write};
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;

use crate::exit::Error;

/// Bytes of a file are collected up to here before they are written: a pipe's usual capacity.
const BUFFER: usize = 64 << 10;

/// Standard output.
pub(crate) struct Output {
    json: bool,
    stdout: BufWriter<Stdout>,
}

impl Output {
    /// As JSON, or for people.
    pub(crate) fn new(json: bool) -> Self {
        Self {
            json,
            stdout: BufWriter::with_capacity(BUFFER, io::stdout()),
        }
    }

    /// Whether results are JSON.
    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// Prints a result, and at once: with `human` for people.
    pub(crate) fn result<T: Serialize>(
        &mut self,
        value: &T,
        human: impl FnOnce(&T) -> String,
    ) -> Result<(), Error> {
        let line = if self.json {
            serde_json::to_string(value).map_err(|error| Error::Stdout(error.into()))?
        } else {
            human(value)
        };
        self.line(&line)
    }

    /// Prints a line, and at once.
    pub(crate) fn line(&mut self, line: &dyn Display) -> Result<(), Error> {
        writeln!(self.stdout, "{line}").map_err(Error::Stdout)?;
        self.flush()
    }

    /// Prints bytes as they are, sooner or later.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.stdout.write_all(bytes).map_err(Error::Stdout)
    }

    /// Makes all that was printed visible.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        self.stdout.flush().map_err(Error::Stdout)
    }
}

/// Seconds since 1970 as UTC: `2023-11-14T22:13:20Z`; before that and after the year 9999, the seconds.
pub(crate) fn time(seconds: i64) -> String {
    const YEAR_10000: u64 = 253_402_300_800;
    match u64::try_from(seconds) {
        Ok(since @ ..YEAR_10000) => {
            let time = UNIX_EPOCH + Duration::from_secs(since);
            humantime::format_rfc3339_seconds(time).to_string()
        }
        _ => format!("@{seconds}"),
    }
}

/// A size as people read it: `1.50 GiB`, `12 B`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let power = (bytes.ilog2() / 10).min(6);
    #[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
    let value = bytes as f64 / f64::from(1 << 10).powi(power.cast_signed());
    let unit = UNITS[power as usize - 1];
    let digits = if value < 10.0 {
        2
    } else {
        usize::from(value < 100.0)
    };
    format!("{value:.digits$} {unit}")
}

/// So many of something: `1 block`, `2 blocks`.
pub(crate) fn count(number: u64, one: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        number => format!("{number} {one}s"),
    }
}

/// Names and values under each other; further lines of a value stand below its first.
pub(crate) fn table(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = rows.iter().map(|(name, value)| {
        let value = value.replace('\n', &format!("\n{:width$}  ", ""));
        format!("{name:width$}  {value}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (1536, "1.50 KiB"),
            (20 << 20, "20.0 MiB"),
            (300 << 20, "300 MiB"),
            (5 << 30, "5.00 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn one_is_not_several() {
        let counts = [0, 1, 2].map(|number| count(number, "block"));
        assert_eq!(counts, ["0 blocks", "1 block", "2 blocks"]);
    }

    #[test]
    fn times_are_dates_where_there_are_four_digits_for_the_year() {
        assert_eq!(time(1_700_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(time(253_402_300_799), "9999-12-31T23:59:59Z");
        assert_eq!(time(253_402_300_800), "@253402300800");
        assert_eq!(time(-1), "@-1");
        assert_eq!(time(i64::MIN), format!("@{}", i64::MIN));
    }

    #[test]
    fn tables_line_up() {
        let rows = [("a", "1".to_owned()), ("long", "x\ny".to_owned())];
        assert_eq!(table(&rows), "a     1\nlong  x\n      y");
    }
}

//! The verbs of `store cid format`, which are those of `ipfs cid format`.

use multibase::Base;
use store::cid::Version;

use super::names::{base_name, codec_name, hash_name};
use super::{Written, usage};
use crate::exit::Error;

/// Fills in the verbs of `format`.
pub(super) fn format(format: &str, written: &Written) -> Result<String, Error> {
    let mut out = String::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        match letters.next() {
            Some('%') => out.push('%'),
            Some(verb) => match one(verb, written) {
                Some(text) => out.push_str(&text),
                None => {
                    return Err(usage(
                        format!("`--format`: `%{verb}` means nothing"),
                        Some("`store cid format --help` lists what does"),
                    ));
                }
            },
            None => {
                return Err(usage(
                    "`--format`: it ends with a `%`".into(),
                    Some("a percent sign is `%%`"),
                ));
            }
        }
    }
    Ok(out)
}

fn one(verb: char, written: &Written) -> Option<String> {
    let Written { cid, base } = written;
    let hash = cid.hash();
    let based = |bytes: &[u8]| multibase::encode(*base, bytes);
    let without = |bytes: &[u8]| base.encode(bytes);
    let version = match cid.version() {
        Version::V0 => "cidv0",
        Version::V1 => "cidv1",
    };
    let (codec, name) = (codec_name(cid.codec()), hash_name(hash.code()));
    let length = hash.digest().len();
    Some(match verb {
        'b' => base_name(*base).to_owned(),
        'B' => match base {
            // The letter of binary cannot be seen.
            Base::Identity => "\\x00".into(),
            base => base.code().into(),
        },
        'v' => version.into(),
        'V' => u64::from(cid.version()).to_string(),
        'c' => codec,
        'C' => cid.codec().to_string(),
        'h' => name,
        'H' => hash.code().to_string(),
        'L' => length.to_string(),
        'm' => based(&hash.to_bytes()),
        'M' => without(&hash.to_bytes()),
        'd' => based(hash.digest()),
        'D' => without(hash.digest()),
        's' => written.text(),
        'S' => without(&cid.to_bytes()),
        'P' => format!("{version}-{codec}-{name}-{length}"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const V0: &str = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn";
    const V1: &str = "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354";

    fn formatted(text: &str, verbs: &str) -> String {
        format(verbs, &Written::parse(text).unwrap()).unwrap()
    }

    #[test]
    fn the_verbs_say_what_they_should() {
        for (verb, of_v0, of_v1) in [
            ("%b", "base58btc", "base32"),
            ("%B", "z", "b"),
            ("%v", "cidv0", "cidv1"),
            ("%V", "0", "1"),
            ("%c", "dag-pb", "dag-pb"),
            ("%C", "112", "112"),
            ("%h", "sha2-256", "sha2-256"),
            ("%H", "18", "18"),
            ("%L", "32", "32"),
            ("%s", V0, V1),
            ("%S", V0, &V1[1..]),
            ("%P", "cidv0-dag-pb-sha2-256-32", "cidv1-dag-pb-sha2-256-32"),
            ("<%%%V>", "<%0>", "<%1>"),
        ] {
            assert_eq!(formatted(V0, verb), of_v0, "{verb}");
            assert_eq!(formatted(V1, verb), of_v1, "{verb}");
        }
        assert_eq!(formatted(V0, "%m"), format!("z{V0}"));
        assert_eq!(formatted(V0, "%M"), V0);
        assert_eq!(formatted(V1, "%d"), format!("b{}", formatted(V1, "%D")));
        let written = Written::parse(V1).unwrap();
        assert!(format("%x", &written).is_err());
        assert!(format("%", &written).is_err());
    }

    #[test]
    fn versions_and_bases_are_changed() {
        let v0 = Written::parse(V0).unwrap();
        let v1 = v0.in_version(1).unwrap();
        assert_eq!(v1.text(), V1);
        assert_eq!(v1.in_version(0).unwrap().text(), V0);
        assert!(v0.in_base(Base::Base32Lower).is_err());
        assert!(v1.in_version(2).is_err());
        let hexadecimal = v1.in_base(Base::Base16Lower).unwrap();
        assert_eq!(Written::parse(&hexadecimal.text()).unwrap(), hexadecimal);
        let raw = Written::parse("bafkqabtimvwgy3yk").unwrap();
        assert!(raw.in_version(0).is_err());
    }
}

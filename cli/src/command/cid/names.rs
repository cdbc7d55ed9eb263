//! Names of codecs, hashes and bases, from the tables of multiformats (multicodec and multibase,
//! table.csv): those that CIDs are seen with. Others have their number.

use multibase::Base;

use super::usage;
use crate::exit::Error;

const CODECS: [(u64, &str); 19] = [
    (0x51, "cbor"),
    (0x55, "raw"),
    (0x70, "dag-pb"),
    (0x71, "dag-cbor"),
    (0x72, "libp2p-key"),
    (0x78, "git-raw"),
    (0x7b, "torrent-info"),
    (0x7c, "torrent-file"),
    (0x81, "blake3-hashseq"),
    (0x85, "dag-jose"),
    (0x86, "dag-cose"),
    (0x90, "eth-block"),
    (0xb0, "bitcoin-block"),
    (0xb1, "bitcoin-tx"),
    (0x0129, "dag-json"),
    (0x0200, "json"),
    (0x0202, "car"),
    (0xf101, "fil-commitment-unsealed"),
    (0xf102, "fil-commitment-sealed"),
];

const HASHES: [(u64, &str); 20] = [
    (0x00, "identity"),
    (0x11, "sha1"),
    (0x12, "sha2-256"),
    (0x13, "sha2-512"),
    (0x14, "sha3-512"),
    (0x15, "sha3-384"),
    (0x16, "sha3-256"),
    (0x17, "sha3-224"),
    (0x18, "shake-128"),
    (0x19, "shake-256"),
    (0x1b, "keccak-256"),
    (0x1d, "keccak-512"),
    (0x1e, "blake3"),
    (0x20, "sha2-384"),
    (0x22, "murmur3-x64-64"),
    (0x56, "dbl-sha2-256"),
    (0xd5, "md5"),
    (0x1053, "ripemd-160"),
    (0xb220, "blake2b-256"),
    (0xb260, "blake2s-256"),
];

const BASES: [(Base, &str); 25] = [
    (Base::Identity, "identity"),
    (Base::Base2, "base2"),
    (Base::Base8, "base8"),
    (Base::Base10, "base10"),
    (Base::Base16Lower, "base16"),
    (Base::Base16Upper, "base16upper"),
    (Base::Base32HexLower, "base32hex"),
    (Base::Base32HexUpper, "base32hexupper"),
    (Base::Base32HexPadLower, "base32hexpad"),
    (Base::Base32HexPadUpper, "base32hexpadupper"),
    (Base::Base32Lower, "base32"),
    (Base::Base32Upper, "base32upper"),
    (Base::Base32PadLower, "base32pad"),
    (Base::Base32PadUpper, "base32padupper"),
    (Base::Base32Z, "base32z"),
    (Base::Base36Lower, "base36"),
    (Base::Base36Upper, "base36upper"),
    (Base::Base45, "base45"),
    (Base::Base58Btc, "base58btc"),
    (Base::Base58Flickr, "base58flickr"),
    (Base::Base64, "base64"),
    (Base::Base64Pad, "base64pad"),
    (Base::Base64Url, "base64url"),
    (Base::Base64UrlPad, "base64urlpad"),
    (Base::Base256Emoji, "base256emoji"),
];

pub(super) fn codec_name(code: u64) -> String {
    find(&CODECS, code)
}

pub(super) fn hash_name(code: u64) -> String {
    find(&HASHES, code)
}

fn find(table: &[(u64, &str)], code: u64) -> String {
    let found = table.iter().find(|(known, _)| *known == code);
    found.map_or_else(|| format!("{code:#x}"), |(_, name)| (*name).to_owned())
}

pub(super) fn base_name(base: Base) -> &'static str {
    let found = BASES.iter().find(|(known, _)| *known == base);
    found.map_or("unknown", |(_, name)| name)
}

/// The base of this name or letter.
pub(super) fn base(text: &str) -> Result<Base, Error> {
    let mut letters = text.chars();
    let by_letter = match (letters.next(), letters.next()) {
        (Some(letter), None) => Base::from_code(letter).ok(),
        _ => None,
    };
    let by_name = BASES.iter().find(|(_, name)| *name == text);
    by_letter
        .or_else(|| by_name.map(|(base, _)| *base))
        .ok_or_else(|| {
            let names: Vec<&str> = BASES.iter().map(|(_, name)| *name).collect();
            usage(
                format!("`--base`: `{text}` is no multibase"),
                Some(&format!("there are {}", names.join(", "))),
            )
        })
}

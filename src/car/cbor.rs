//! The header's dag-cbor: `{"roots": [cid*], "version": 1}`, or `{"version": 2}` before a file of
//! version 2.
//!
//! Four kinds of item, each of which has exactly one encoding (ipld.io/specs/codecs/dag-cbor/spec,
//! "Strictness"): a library would have to be told to refuse all the rest.

use crate::cid::Cid;

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The version of the format.
    pub version: u64,
    /// Where the DAGs in it begin; `None` where it has no such field, as in the pragma of version 2.
    pub roots: Option<Vec<Cid>>,
}

/// The first byte's upper three bits (RFC 8949, section 3.1).
const UNSIGNED: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;

/// The tag of a CID.
const CID: u64 = 42;

impl Header {
    /// Decodes exactly `bytes`. Roots take memory in proportion to `bytes`, whose size the caller bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let mut input = Input { bytes };
        let fields = input.expect(MAP, "a map")?;
        let (mut version, mut roots) = (None, None);
        for _ in 0..fields {
            match input.take_slice(TEXT, "the name of a field")? {
                b"version" if version.is_none() => {
                    version = Some(input.expect(UNSIGNED, "a version number")?);
                }
                b"roots" if roots.is_none() && version.is_none() => roots = Some(input.cids()?),
                other => {
                    let name = String::from_utf8_lossy(&other[..other.len().min(32)]);
                    return Err(format!("field `{}` in its header", name.escape_debug()));
                }
            }
        }
        if !input.bytes.is_empty() {
            return Err(format!("{} bytes after its header", input.bytes.len()));
        }
        let version = version.ok_or("a header without a version")?;
        Ok(Self { version, roots })
    }

    /// The one encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_head(&mut out, MAP, 1 + u64::from(self.roots.is_some()));
        if let Some(roots) = &self.roots {
            put_text(&mut out, "roots");
            put_head(&mut out, ARRAY, roots.len() as u64);
            for root in roots {
                let cid = root.to_bytes();
                put_head(&mut out, TAG, CID);
                // The multibase prefix of binary.
                put_head(&mut out, BYTES, cid.len() as u64 + 1);
                out.push(0);
                out.extend(cid);
            }
        }
        put_text(&mut out, "version");
        put_head(&mut out, UNSIGNED, self.version);
        out
    }
}

struct Input<'a> {
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    fn take(&mut self, size: u64) -> Result<&'a [u8], String> {
        let split = usize::try_from(size)
            .ok()
            .and_then(|size| self.bytes.split_at_checked(size));
        let (taken, rest) = split.ok_or("its header ends too early")?;
        self.bytes = rest;
        Ok(taken)
    }

    /// An item's kind, and its number: a value, a length or a count.
    fn head(&mut self) -> Result<(u8, u64), String> {
        let first = self.take(1)?[0];
        let (kind, info) = (first >> 5, first & 0x1f);
        let size = match info {
            0..=23 => return Ok((kind, info.into())),
            24..=27 => 1_u64 << (info - 24),
            _ => return Err("an item without a definite length in its header".into()),
        };
        let bytes = self.take(size)?;
        let value = bytes
            .iter()
            .fold(0, |value, byte| value << 8 | u64::from(*byte));
        let least = match info {
            24 => 24,
            info => 1_u64 << (4 << (info - 24)),
        };
        if value < least {
            return Err("a number in its header is written in more bytes than it needs".into());
        }
        Ok((kind, value))
    }

    fn expect(&mut self, kind: u8, what: &str) -> Result<u64, String> {
        match self.head()? {
            (found, value) if found == kind => Ok(value),
            _ => Err(format!(
                "its header has something else where {what} should be"
            )),
        }
    }

    fn take_slice(&mut self, kind: u8, what: &str) -> Result<&'a [u8], String> {
        let size = self.expect(kind, what)?;
        self.take(size)
    }

    fn cids(&mut self) -> Result<Vec<Cid>, String> {
        let count = self.expect(ARRAY, "a list of roots")?;
        // Not reserved: a count is a claim.
        let mut cids = Vec::new();
        for _ in 0..count {
            if self.expect(TAG, "a root")? != CID {
                return Err("a root in its header is no CID".into());
            }
            let [0, bytes @ ..] = self.take_slice(BYTES, "a root's bytes")? else {
                return Err("a root in its header is no binary CID".into());
            };
            match super::any_cid(bytes) {
                Ok((cid, size)) if size == bytes.len() => cids.push(cid),
                Ok(_) => return Err("bytes follow a root in its header".into()),
                Err(reason) => return Err(format!("a root in its header is no CID: {reason}")),
            }
        }
        Ok(cids)
    }
}

fn put_head(out: &mut Vec<u8>, kind: u8, value: u64) {
    let kind = kind << 5;
    let bytes = value.to_be_bytes();
    match value {
        0..=23 => out.push(kind | bytes[7]),
        24..=0xff => out.extend([kind | 0x18, bytes[7]]),
        0x100..=0xffff => {
            out.push(kind | 0x19);
            out.extend(&bytes[6..]);
        }
        0x1_0000..=0xffff_ffff => {
            out.push(kind | 0x1a);
            out.extend(&bytes[4..]);
        }
        _ => {
            out.push(kind | 0x1b);
            out.extend(bytes);
        }
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_head(out, TEXT, text.len() as u64);
    out.extend(text.bytes());
}

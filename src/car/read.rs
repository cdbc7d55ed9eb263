//! [`Reader`]: the sections of a CAR file, in order, from anything that can be read once.

use std::io::{BufRead, BufReader, Read};

use bytes::Bytes;

use super::cbor::Header;
use super::v2::{self, Window};
use super::{CarError, MAX_HEADER_SIZE, MAX_SECTION_SIZE, any_cid};
use crate::cid::Cid;

/// Bytes that are asked of the file at once, where sections are small.
const BUFFER: usize = 256 << 10;

/// The most bytes of a varint (multiformats/unsigned-varint).
const VARINT_MAX: usize = 9;

/// A block as it stands in a CAR: nothing has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// What it says that it is; any codec, any hash.
    pub cid: Cid,
    /// Its bytes; a block's worth at most.
    pub data: Bytes,
    /// Where it begins in the file, in bytes: at its length.
    pub offset: u64,
    /// Where the block's bytes begin.
    pub data_offset: u64,
}

/// Reads a CAR file section by section. Holds one section at a time.
#[derive(Debug)]
pub struct Reader<R> {
    input: Input<R>,
    version: u64,
    roots: Vec<Cid>,
    /// Where the data end, where that is known.
    end: Option<u64>,
}

impl<R: Read> Reader<R> {
    /// Reads the header. `file` is read from where it stands, which is byte 0 in all that is said.
    pub fn open(file: R) -> Result<Self, CarError> {
        let mut input = Input {
            file: BufReader::with_capacity(BUFFER, file),
            at: 0,
        };
        let mut header = input.header()?;
        let mut end = None;
        let version = header.version;
        if version == 2 && header.roots.is_none() {
            let mut bytes = [0; v2::HEADER_SIZE];
            input.exact(&mut bytes)?;
            let window = Window::decode(&bytes)?;
            input.skip_to(window.offset)?;
            header = input.header()?;
            end = Some(window.end);
            if input.at > window.end {
                let (at, end) = (window.offset, window.end);
                return Err(CarError::Beyond { at, end });
            }
        }
        match (version, header.version, header.roots) {
            (1 | 2, 1, Some(roots)) => Ok(Self {
                input,
                version,
                roots,
                end,
            }),
            (1 | 2, 1, None) => Err(CarError::Header {
                reason: "a header without roots".into(),
            }),
            (2, 2, Some(_)) => Err(CarError::V2 {
                reason: "roots where none should be".into(),
            }),
            (2, inner, _) => Err(CarError::V2 {
                reason: format!("version {inner} inside of it, which must be 1"),
            }),
            _ => Err(CarError::Version { version }),
        }
    }

    /// The version of the file: 1 or 2.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The roots that its header names; any codec, any hash, in the file or not.
    #[must_use]
    pub fn roots(&self) -> &[Cid] {
        &self.roots
    }

    /// Where the next section begins, in bytes from the beginning of the file.
    #[must_use]
    pub const fn at(&self) -> u64 {
        self.input.at
    }

    /// The next section; `None` behind the last one. After an error there is nothing more to be had.
    #[allow(
        clippy::should_implement_trait,
        reason = "an iterator of results would go on after its first error"
    )]
    pub fn next(&mut self) -> Result<Option<Section>, CarError> {
        let offset = self.input.at;
        if self.end == Some(offset) {
            return Ok(None);
        }
        let Some(size) = self.input.varint()? else {
            return match self.end {
                Some(end) => Err(CarError::Truncated {
                    at: offset,
                    missing: end - offset,
                }),
                None => Ok(None),
            };
        };
        if size == 0 {
            return Err(CarError::Empty { at: offset });
        }
        if size > MAX_SECTION_SIZE {
            return Err(CarError::TooLarge { at: offset, size });
        }
        let begins = self.input.at;
        if let Some(end) = self.end.filter(|end| begins + size > *end) {
            return Err(CarError::Beyond { at: offset, end });
        }
        let bytes = Bytes::from(self.input.take(size)?);
        let (cid, cid_size) =
            any_cid(&bytes).map_err(|reason| CarError::Cid { at: begins, reason })?;
        Ok(Some(Section {
            cid,
            data: bytes.slice(cid_size..),
            offset,
            data_offset: begins + cid_size as u64,
        }))
    }
}

/// Bytes, and how many there were.
#[derive(Debug)]
struct Input<R> {
    file: BufReader<R>,
    at: u64,
}

impl<R: Read> Input<R> {
    fn header(&mut self) -> Result<Header, CarError> {
        let refuse = |reason: String| CarError::Header { reason };
        let size = match self.varint() {
            Err(CarError::Varint { .. }) => None,
            other => other?,
        };
        let size = size.ok_or_else(|| refuse("it does not begin with a length".into()))?;
        if size == 0 || size > MAX_HEADER_SIZE {
            return Err(refuse(format!(
                "a header of {size} bytes; 1 to {MAX_HEADER_SIZE} are allowed"
            )));
        }
        Header::decode(&self.take(size)?).map_err(refuse)
    }

    /// `None` where the file ends before it.
    fn varint(&mut self) -> Result<Option<u64>, CarError> {
        let start = self.at;
        let mut value = 0_u64;
        for i in 0..VARINT_MAX {
            let Some(byte) = self.byte()? else {
                return match i {
                    0 => Ok(None),
                    _ => Err(CarError::Truncated {
                        at: self.at,
                        missing: 1,
                    }),
                };
            };
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                // A zero at the end adds nothing: the length has a shorter form.
                return match (i, byte) {
                    (1.., 0) => Err(CarError::Varint { at: start }),
                    _ => Ok(Some(value)),
                };
            }
        }
        Err(CarError::Varint { at: start })
    }

    fn byte(&mut self) -> Result<Option<u8>, CarError> {
        let mut byte = [0];
        let read = self.read(&mut byte)?;
        Ok((read == 1).then_some(byte[0]))
    }

    /// Exactly so many bytes, which the caller has bounded. Large ones go past the buffer.
    fn take(&mut self, size: u64) -> Result<Vec<u8>, CarError> {
        let mut bytes = vec![0; usize::try_from(size).expect("it is bounded")];
        self.exact(&mut bytes)?;
        Ok(bytes)
    }

    fn exact(&mut self, bytes: &mut [u8]) -> Result<(), CarError> {
        let mut filled = 0;
        while filled < bytes.len() {
            let read = self.read(&mut bytes[filled..])?;
            if read == 0 {
                return Err(CarError::Truncated {
                    at: self.at,
                    missing: (bytes.len() - filled) as u64,
                });
            }
            filled += read;
        }
        Ok(())
    }

    /// Passes over what lies before byte `to`.
    fn skip_to(&mut self, to: u64) -> Result<(), CarError> {
        while self.at < to {
            let at = self.at;
            let here = match self.file.fill_buf() {
                Ok(here) => here.len() as u64,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(CarError::Io { at, error }),
            };
            if here == 0 {
                let missing = to - at;
                return Err(CarError::Truncated { at, missing });
            }
            let skipped = here.min(to - at);
            let amount = usize::try_from(skipped).expect("it is in the buffer");
            self.file.consume(amount);
            self.at += skipped;
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, CarError> {
        loop {
            match self.file.read(buffer) {
                Ok(read) => {
                    self.at += read as u64;
                    return Ok(read);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(CarError::Io { at: self.at, error }),
            }
        }
    }
}

//! [`Chunker`]: cuts a file's bytes into the chunks that become its leaves. Where the cuts are
//! decides the CID, so a chunker's text form says all about it.

use std::fmt;
use std::io::{self, Read};
use std::num::NonZeroU32;
use std::str::FromStr;

use bytes::Bytes;

use crate::block::MAX_BLOCK_SIZE;

/// The largest chunk: it still fits in a block with the framing of a dag-pb leaf around it. Kubo's
/// limit, too.
#[expect(clippy::cast_possible_truncation, reason = "2 MiB fit in 32 bits")]
pub const MAX_CHUNK_SIZE: u32 = MAX_BLOCK_SIZE as u32 - 256;

/// The first read of a file asks for no more than this, so that a small file takes little memory.
const FIRST_READ: usize = 16 << 10;

/// How files are cut. In text as in Kubo: `size-1048576`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Chunker {
    /// Chunks of this many bytes; the last one has the rest.
    Fixed(NonZeroU32),
}

/// Why a text is no chunker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkerError {
    /// Not of a form that is known.
    #[error("`{0}` is not a chunker; `size-262144` is one")]
    Unknown(String),
    /// A size that no chunk can have.
    #[error("chunks of {0} bytes; 1 to {MAX_CHUNK_SIZE} are allowed")]
    Size(u64),
}

impl Chunker {
    /// Chunks of `size` bytes, 1 to [`MAX_CHUNK_SIZE`].
    pub fn fixed(size: u64) -> Result<Self, ChunkerError> {
        let fits = u32::try_from(size)
            .ok()
            .filter(|&size| size <= MAX_CHUNK_SIZE);
        fits.and_then(NonZeroU32::new)
            .map(Self::Fixed)
            .ok_or(ChunkerError::Size(size))
    }

    /// The most bytes that a chunk can have.
    #[must_use]
    pub const fn max_size(self) -> usize {
        match self {
            Self::Fixed(size) => size.get() as usize,
        }
    }

    /// The chunks of what `reader` gives, to its end.
    pub fn chunks<R: Read>(self, reader: R) -> Chunks<R> {
        Chunks {
            reader,
            size: self.max_size(),
            began: false,
        }
    }
}

impl fmt::Display for Chunker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(size) => write!(f, "size-{size}"),
        }
    }
}

impl FromStr for Chunker {
    type Err = ChunkerError;

    fn from_str(text: &str) -> Result<Self, ChunkerError> {
        let unknown = || ChunkerError::Unknown(text.chars().take(128).collect());
        let digits = text.strip_prefix("size-").ok_or_else(unknown)?;
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(unknown());
        }
        Self::fixed(digits.parse().unwrap_or(u64::MAX))
    }
}

/// The chunks of one file. Each is read into memory of its own, which then is the leaf's: nothing is
/// copied.
#[derive(Debug)]
pub struct Chunks<R> {
    reader: R,
    size: usize,
    began: bool,
}

impl<R: Read> Chunks<R> {
    /// The next chunk; none is empty. `None` at the end.
    pub fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        let first = if self.began {
            self.size
        } else {
            self.size.min(FIRST_READ)
        };
        self.began = true;
        let mut chunk = Vec::with_capacity(first);
        self.fill(&mut chunk, first)?;
        if chunk.len() == first && first < self.size {
            chunk.reserve_exact(self.size - first);
            self.fill(&mut chunk, self.size)?;
        }
        // The end of a file: a chunk must not hold on to much more memory than it has bytes.
        if chunk.len() < chunk.capacity() / 2 {
            chunk.shrink_to_fit();
        }
        Ok((!chunk.is_empty()).then(|| chunk.into()))
    }

    /// Reads until `chunk` has `size` bytes or the end is reached. Never more, so that the vector,
    /// which has room for them, does not grow; nor does its memory need to be zeroed.
    fn fill(&mut self, chunk: &mut Vec<u8>, size: usize) -> io::Result<()> {
        let missing = (size - chunk.len()) as u64;
        self.reader.by_ref().take(missing).read_to_end(chunk)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Gives a few bytes at a time, as a pipe does.
    struct Dribble<'a>(&'a [u8], usize);

    impl Read for Dribble<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let length = buf.len().min(self.1);
            self.0.read(&mut buf[..length])
        }
    }

    proptest! {
        #[test]
        fn chunks_are_cut_at_the_size_however_the_bytes_come(
            size in 1_usize..70_000, length in 0_usize..200_000, at_once in 1_usize..50_000,
        ) {
            let bytes: Vec<u8> = (0_u8..251).cycle().take(length).collect();
            let mut chunks = Chunker::fixed(size as u64).unwrap().chunks(Dribble(&bytes, at_once));
            for expected in bytes.chunks(size) {
                let chunk = chunks.next_chunk().unwrap();
                prop_assert_eq!(chunk.as_deref(), Some(expected));
            }
            prop_assert_eq!(chunks.next_chunk().unwrap(), None);
        }
    }

    #[test]
    fn text_says_all_about_a_chunker() {
        let chunker: Chunker = "size-262144".parse().unwrap();
        assert_eq!(chunker.to_string(), "size-262144");
        assert_eq!(chunker.max_size(), 262_144);
        for bad in ["", "size", "size-", "size-+1", "size-1k", "rabin", "262144"] {
            assert!(
                matches!(bad.parse::<Chunker>(), Err(ChunkerError::Unknown(_))),
                "{bad:?}"
            );
        }
        for bad in ["size-0", "size-2096897", "size-99999999999999999999"] {
            assert!(
                matches!(bad.parse::<Chunker>(), Err(ChunkerError::Size(_))),
                "{bad:?}"
            );
        }
        assert!("size-2096896".parse::<Chunker>().is_ok());
    }
}

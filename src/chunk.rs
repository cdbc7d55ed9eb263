//! [`Chunker`]: cuts a file's bytes into the chunks that become its leaves. Where the cuts are
//! decides the CID, so a chunker's text form says all about it.

mod buzhash;
mod rabin;

use std::fmt;
use std::io::{self, Read};
use std::num::NonZeroU32;
use std::str::FromStr;

use bytes::Bytes;

pub use self::rabin::Bounds;
use crate::block::MAX_BLOCK_SIZE;

/// The largest chunk: it still fits in a block with the framing of a dag-pb leaf around it. Kubo's
/// limit, too.
#[expect(clippy::cast_possible_truncation, reason = "2 MiB fit in 32 bits")]
pub const MAX_CHUNK_SIZE: u32 = MAX_BLOCK_SIZE as u32 - 256;

/// The first read of a file asks for no more than this, so that a small file takes little memory.
const FIRST_READ: usize = 16 << 10;

/// Where the content decides about the cuts, this many bytes are read at once at least: chunks can
/// be much smaller.
const READ_AHEAD: usize = 256 << 10;

/// The average size of `rabin` without a number, as in Kubo whatever the profile.
const RABIN_AVERAGE: u64 = 256 << 10;

/// How files are cut. In text as in Kubo: `size-1048576`, `rabin-87381-262144-393216`, `buzhash`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Chunker {
    /// Chunks of this many bytes; the last one has the rest.
    Fixed(NonZeroU32),
    /// Where a Rabin fingerprint of the content says so, within bounds.
    Rabin(Bounds),
    /// Where a cyclic hash of the content says so: 128 to 512 KiB.
    Buzhash,
}

/// Why a text is no chunker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkerError {
    /// Not of a form that is known.
    #[error(
        "`{0}` is not a chunker; `size-262144`, `rabin`, `rabin-262144`, \
         `rabin-131072-262144-524288` and `buzhash` are"
    )]
    Unknown(String),
    /// A size that no chunk can have.
    #[error("chunks of {0} bytes; 1 to {MAX_CHUNK_SIZE} are allowed")]
    Size(u64),
    /// Chunks so short that there is nothing to take a fingerprint of.
    #[error("rabin chunks of {0} bytes at least; it takes 16 bytes to decide about a cut")]
    Min(u64),
    /// Bounds in the wrong order.
    #[error("rabin-{min}-{average}-{max}: the three sizes are minimum < average < maximum")]
    Order {
        /// The least bytes.
        min: u64,
        /// The average.
        average: u64,
        /// The most bytes.
        max: u64,
    },
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
            Self::Rabin(bounds) => bounds.max(),
            Self::Buzhash => buzhash::MAX,
        }
    }

    /// The chunks of what `reader` gives, to its end.
    pub fn chunks<R: Read>(self, reader: R) -> Chunks<R> {
        Chunks {
            reader,
            chunker: self,
            began: false,
            ahead: Vec::new(),
            at: 0,
            ended: false,
        }
    }
}

impl fmt::Display for Chunker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(size) => write!(f, "size-{size}"),
            Self::Rabin(bounds) => {
                let [min, average, max] = bounds.parts();
                write!(f, "rabin-{min}-{average}-{max}")
            }
            Self::Buzhash => f.write_str("buzhash"),
        }
    }
}

impl FromStr for Chunker {
    type Err = ChunkerError;

    fn from_str(text: &str) -> Result<Self, ChunkerError> {
        let unknown = || ChunkerError::Unknown(text.chars().take(128).collect());
        let mut parts = text.split('-');
        let name = parts.next().unwrap_or_default();
        let sizes: Option<Vec<u64>> = parts.take(4).map(number).collect();
        match (name, sizes.ok_or_else(unknown)?.as_slice()) {
            ("size", &[size]) => Self::fixed(size),
            ("rabin", &[]) => Bounds::around(RABIN_AVERAGE).map(Self::Rabin),
            ("rabin", &[average]) => Bounds::around(average).map(Self::Rabin),
            ("rabin", &[min, average, max]) => Bounds::new(min, average, max).map(Self::Rabin),
            ("buzhash", &[]) => Ok(Self::Buzhash),
            _ => Err(unknown()),
        }
    }
}

/// Digits and nothing else. Whatever is too large for 64 bits is too large for a chunk.
fn number(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

/// The chunks of one file. Each is read, or copied, into memory of its own, which then is the leaf's.
#[derive(Debug)]
pub struct Chunks<R> {
    reader: R,
    chunker: Chunker,
    began: bool,
    /// Where the content decides: bytes that were read, of which those before `at` are given.
    ahead: Vec<u8>,
    at: usize,
    ended: bool,
}

impl<R: Read> Chunks<R> {
    /// The next chunk; none is empty. `None` at the end.
    pub fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        match self.chunker {
            Chunker::Fixed(size) => self.fixed(size.get() as usize),
            Chunker::Rabin(bounds) => self.cut(bounds.max(), |bytes| bounds.cut(bytes)),
            Chunker::Buzhash => self.cut(buzhash::MAX, buzhash::cut),
        }
    }

    fn fixed(&mut self, size: usize) -> io::Result<Option<Bytes>> {
        let first = if self.began {
            size
        } else {
            size.min(FIRST_READ)
        };
        self.began = true;
        let mut chunk = Vec::with_capacity(first);
        fill(&mut self.reader, &mut chunk, first)?;
        if chunk.len() == first && first < size {
            chunk.reserve_exact(size - first);
            fill(&mut self.reader, &mut chunk, size)?;
        }
        // The end of a file: a chunk must not hold on to much more memory than it has bytes.
        if chunk.len() < chunk.capacity() / 2 {
            chunk.shrink_to_fit();
        }
        Ok((!chunk.is_empty()).then(|| chunk.into()))
    }

    /// A chunk that ends where `end_of` says, given the next `max` bytes or all that is left.
    fn cut(&mut self, max: usize, end_of: impl Fn(&[u8]) -> usize) -> io::Result<Option<Bytes>> {
        if self.ahead.len() - self.at < max && !self.ended {
            self.ahead.drain(..self.at);
            self.at = 0;
            self.read_ahead(max.max(READ_AHEAD))?;
        }
        let next = &self.ahead[self.at..];
        let next = &next[..next.len().min(max)];
        let chunk = Bytes::copy_from_slice(&next[..end_of(next)]);
        self.at += chunk.len();
        Ok((!chunk.is_empty()).then_some(chunk))
    }

    fn read_ahead(&mut self, size: usize) -> io::Result<()> {
        let first = FIRST_READ.min(size);
        for size in [first, size] {
            if self.ahead.len() < size {
                self.ahead.reserve_exact(size - self.ahead.len());
                fill(&mut self.reader, &mut self.ahead, size)?;
                self.ended = self.ahead.len() < size;
            }
            if self.ended {
                break;
            }
        }
        Ok(())
    }
}

/// Reads until `bytes` are `size` or the end is reached. Never more, so that the vector, which has room
/// for them, does not grow; nor does its memory need to be zeroed.
fn fill(reader: &mut impl Read, bytes: &mut Vec<u8>, size: usize) -> io::Result<()> {
    let missing = (size - bytes.len()) as u64;
    reader.take(missing).read_to_end(bytes)?;
    Ok(())
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

        #[test]
        fn what_the_content_decides_does_not_depend_on_how_the_bytes_come(
            min in 16_u64..3000, length in 0_usize..1_500_000, at_once in 1_usize..500_000,
            seed: u32, buzhash: bool,
        ) {
            let chunker = if buzhash {
                Chunker::Buzhash
            } else {
                Chunker::Rabin(Bounds::new(min, min * 2, min * 5).unwrap())
            };
            let bytes = noise(seed, length);
            let whole: Vec<Bytes> = all(chunker, bytes.as_slice());
            prop_assert_eq!(&all(chunker, Dribble(&bytes, at_once)), &whole);
            prop_assert_eq!(whole.concat(), bytes);
            let (_, but_last) = whole.split_last().map_or((None, &[][..]), |(a, b)| (Some(a), b));
            let least = if buzhash { 128 << 10 } else { usize::try_from(min).unwrap() };
            for chunk in but_last {
                prop_assert!((least..=chunker.max_size()).contains(&chunk.len()));
            }
        }
    }

    fn all(chunker: Chunker, reader: impl Read) -> Vec<Bytes> {
        let mut chunks = chunker.chunks(reader);
        let all = std::iter::from_fn(|| chunks.next_chunk().unwrap()).collect();
        assert_eq!(chunks.next_chunk().unwrap(), None);
        all
    }

    fn noise(seed: u32, length: usize) -> Vec<u8> {
        let mut state = seed;
        let next = || {
            state = state.wrapping_mul(747_796_405).wrapping_add(12345);
            state.to_be_bytes()[0]
        };
        std::iter::repeat_with(next).take(length).collect()
    }

    /// What is cut by content meets the same cuts again behind an insertion.
    #[test]
    fn an_insertion_moves_the_cuts_and_no_more() {
        let before = noise(7, 4 << 20);
        let after = [b"inserted".as_slice(), &before].concat();
        for chunker in ["rabin-16384-65536-131072", "buzhash"] {
            let chunker: Chunker = chunker.parse().unwrap();
            let (before, after) = (
                all(chunker, before.as_slice()),
                all(chunker, after.as_slice()),
            );
            let shared = after.iter().filter(|chunk| before.contains(chunk)).count();
            assert!(
                shared * 2 > after.len(),
                "{chunker}: {shared} of {}",
                after.len()
            );
        }
    }

    #[test]
    fn text_says_all_about_a_chunker() {
        let chunker: Chunker = "size-262144".parse().unwrap();
        assert_eq!(chunker.to_string(), "size-262144");
        assert_eq!(chunker.max_size(), 262_144);
        for bad in [
            "",
            "size",
            "size-",
            "size-+1",
            "size-1k",
            "262144",
            "rabin-",
            "rabin-1-2",
            "rabin-64-128-256-512-1024",
            "rabin-64-128-x",
            "buzhash-1",
            "Buzhash",
        ] {
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
        for text in ["buzhash", "rabin-131072-262144-524288"] {
            assert_eq!(text.parse::<Chunker>().unwrap().to_string(), text);
        }
        for text in ["rabin", "rabin-262144"] {
            let chunker: Chunker = text.parse().unwrap();
            assert_eq!(chunker.to_string(), "rabin-87381-262144-393216");
        }
        let error = |text: &str| text.parse::<Chunker>().unwrap_err();
        assert_eq!(error("rabin-10-20-30"), ChunkerError::Min(10));
        assert!(matches!(
            error("rabin-30-20-40"),
            ChunkerError::Order { .. }
        ));
        assert_eq!(error("rabin-1397932"), ChunkerError::Size(2_096_898));
    }
}

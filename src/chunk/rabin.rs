//! Rabin fingerprints: cuts where the fingerprint of the last 16 bytes ends in zero bits, as Kubo does,
//! with its polynomial and its window.
//!
//! The bits of the window are a polynomial over GF(2), and the fingerprint is what is left of it modulo
//! an irreducible one. It can be rolled: the oldest byte leaves by xoring what it alone would leave.

use super::ChunkerError;
use super::MAX_CHUNK_SIZE;

/// Kubo's irreducible polynomial, of degree 53.
const POLYNOMIAL: u64 = 0x003d_f305_dfb2_a805;
const DEGREE: u32 = POLYNOMIAL.ilog2();
/// Bytes that the fingerprint covers.
const WINDOW: usize = 16;

/// What a byte leaves once it is the oldest of the window.
const OLDEST: [u64; 256] = oldest();
/// What reduces a fingerprint that has grown by a byte, by the eight bits that stick out.
const REDUCE: [u64; 256] = reduce();

/// How long chunks are, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bounds {
    min: u32,
    average: u32,
    max: u32,
}

impl Bounds {
    /// Chunks of `min` to `max` bytes, and of about `average` beyond `min`: at least 16, each more
    /// than the one before, and `max` at most [`MAX_CHUNK_SIZE`].
    pub fn new(min: u64, average: u64, max: u64) -> Result<Self, ChunkerError> {
        let fits = |size: u64| u32::try_from(size).ok().filter(|&n| n <= MAX_CHUNK_SIZE);
        if min < WINDOW as u64 {
            return Err(ChunkerError::Min(min));
        }
        let Some(longest) = fits(max) else {
            return Err(ChunkerError::Size(max));
        };
        if min >= average || average >= max {
            return Err(ChunkerError::Order { min, average, max });
        }
        let [min, average] = [min, average].map(|size| fits(size).expect("less than the longest"));
        Ok(Self {
            min,
            average,
            max: longest,
        })
    }

    /// Chunks of about `average` bytes: a third of that at least, half as much again at most.
    pub fn around(average: u64) -> Result<Self, ChunkerError> {
        Self::new(average / 3, average, average.saturating_add(average / 2))
    }

    pub(super) const fn parts(self) -> [u32; 3] {
        [self.min, self.average, self.max]
    }

    pub(super) const fn max(self) -> usize {
        self.max as usize
    }

    /// Where the first chunk of `bytes` ends. They are `max` bytes, or all that is left.
    pub(super) fn cut(self, bytes: &[u8]) -> usize {
        let (min, mask) = (self.min as usize, (1_u64 << self.average.ilog2()) - 1);
        if bytes.len() <= min {
            return bytes.len();
        }
        let start = min - WINDOW;
        let (window, rest) = bytes[start..].split_at(WINDOW);
        let mut print = window.iter().fold(0, |print, &byte| append(print, byte));
        // The byte that leaves the window, and the one that enters it.
        for (at, (&old, &new)) in bytes[start..].iter().zip(rest).enumerate() {
            if print & mask == 0 {
                return min + at;
            }
            print = append(print ^ OLDEST[usize::from(old)], new);
        }
        bytes.len()
    }
}

const fn append(print: u64, byte: u8) -> u64 {
    let out = (print >> (DEGREE - 8)) as usize;
    (print << 8 | byte as u64) ^ REDUCE[out]
}

const fn reduce() -> [u64; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let grown = (byte as u64) << DEGREE;
        // What is left, and the bits that stick out: those cancel themselves.
        table[byte] = modulo(grown) | grown;
        byte += 1;
    }
    table
}

const fn oldest() -> [u64; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut print, mut behind) = (byte as u64, 1);
        while behind < WINDOW {
            print = modulo(print << 8);
            behind += 1;
        }
        table[byte] = print;
        byte += 1;
    }
    table
}

/// The remainder of a polynomial: long division, a bit at a time.
const fn modulo(mut value: u64) -> u64 {
    while value >> DEGREE != 0 {
        value ^= POLYNOMIAL << (value.ilog2() - DEGREE);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fingerprint of the 16 bytes before `at`, from nothing.
    fn print_at(bytes: &[u8], at: usize) -> u64 {
        let window = &bytes[at - WINDOW..at];
        window
            .iter()
            .fold(0, |print, &byte| modulo(print << 8 | u64::from(byte)))
    }

    #[test]
    fn the_rolling_fingerprint_is_that_of_the_window() {
        let mut state = 1_u32;
        let bytes: Vec<u8> = (0..20_000)
            .map(|_| {
                state = state.wrapping_mul(747_796_405).wrapping_add(1);
                state.to_be_bytes()[0]
            })
            .collect();
        for (min, average, max) in [(16, 17, 64), (40, 64, 300), (1000, 2048, 16_000)] {
            let bounds = Bounds::new(min, average, max).unwrap();
            let [min, average, max] = [min, average, max].map(|n| usize::try_from(n).unwrap());
            let mask = (1 << average.ilog2()) - 1;
            let (mut rest, mut cuts) = (bytes.as_slice(), 0);
            while rest.len() >= max {
                let mut places = min..max;
                let expected = places.find(|&at| print_at(rest, at) & mask == 0);
                let cut = bounds.cut(&rest[..max]);
                assert_eq!(cut, expected.unwrap_or(max));
                rest = &rest[cut..];
                cuts += 1;
            }
            assert!(cuts > 0);
            assert_eq!(bounds.cut(&rest[..min]), min);
        }
    }

    #[test]
    fn bounds_that_make_no_sense_are_refused() {
        assert_eq!(
            Bounds::around(262_144).unwrap().parts(),
            [87_381, 262_144, 393_216]
        );
        assert_eq!(Bounds::new(15, 20, 30), Err(ChunkerError::Min(15)));
        assert_eq!(Bounds::around(30), Err(ChunkerError::Min(10)));
        assert!(matches!(
            Bounds::new(20, 20, 30),
            Err(ChunkerError::Order { .. })
        ));
        assert!(matches!(
            Bounds::new(20, 30, 30),
            Err(ChunkerError::Order { .. })
        ));
        assert!(Bounds::new(16, 17, MAX_CHUNK_SIZE.into()).is_ok());
        let long = u64::from(MAX_CHUNK_SIZE) + 1;
        assert_eq!(Bounds::new(16, 17, long), Err(ChunkerError::Size(long)));
        assert!(matches!(
            Bounds::around(u64::MAX),
            Err(ChunkerError::Size(_))
        ));
    }
}

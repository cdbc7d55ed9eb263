//! The header of version 2: where the data of version 1 are.

use super::CarError;

/// Length of the pragma: a header of version 1 that says "version 2".
pub(super) const PRAGMA_SIZE: u64 = 11;

/// Length of what follows it.
pub(super) const HEADER_SIZE: usize = 40;

/// Where the data are. The characteristics say whether the index lists every block ("fully indexed"),
/// and otherwise nothing yet; unknown ones may come, and change nothing for who reads from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// Their first byte, from the beginning of the file.
    pub(super) offset: u64,
    /// The first byte behind them.
    pub(super) end: u64,
}

impl Window {
    pub(super) fn decode(bytes: &[u8; HEADER_SIZE]) -> Result<Self, CarError> {
        let number = |at: usize| {
            let bytes = bytes[at..at + 8].try_into().expect("eight bytes");
            u64::from_le_bytes(bytes)
        };
        let (offset, size, index) = (number(16), number(24), number(32));
        let refuse = |reason: String| Err(CarError::V2 { reason });
        let least = PRAGMA_SIZE + HEADER_SIZE as u64;
        if offset == 0 && size == 0 {
            return refuse("no data: whoever wrote the file did not finish it".into());
        }
        if offset < least {
            return refuse(format!(
                "its data begin at byte {offset}, inside of the header, which ends at {least}"
            ));
        }
        let Some(end) = offset.checked_add(size) else {
            return refuse(format!(
                "data of {size} bytes from byte {offset} on end behind everything"
            ));
        };
        // None at all where it is 0.
        if index != 0 && index < end {
            return refuse(format!(
                "its index begins at byte {index}, before the data's end at {end}"
            ));
        }
        Ok(Self { offset, end })
    }
}

//! [`Pins`]: what `ipfs pin ls --type=recursive` prints, with or without `--names` or `--quiet`.

use std::io::{BufRead, BufReader, Read};

use super::KuboError;
use crate::cid::{self, Cid};

/// A line is never longer: a CID, a word, and a name of at most 255 bytes.
const MAX_LINE: u64 = 4096;

/// One pin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinLine {
    /// Its root.
    pub root: Cid,
    /// What it is called.
    pub name: Option<String>,
}

/// Reads lines one by one. Those of other kinds than `recursive` are passed over, and counted.
#[derive(Debug)]
pub struct Pins<R> {
    lines: BufReader<R>,
    line: usize,
    passed_over: u64,
}

impl<R: Read> Pins<R> {
    /// Reads from `file`.
    pub fn new(file: R) -> Self {
        Self {
            lines: BufReader::new(file),
            line: 0,
            passed_over: 0,
        }
    }

    /// Lines of direct and indirect pins so far.
    #[must_use]
    pub const fn passed_over(&self) -> u64 {
        self.passed_over
    }

    /// The next pin; `None` at the end.
    #[allow(
        clippy::should_implement_trait,
        reason = "an iterator of results would go on after its first error"
    )]
    pub fn next(&mut self) -> Result<Option<PinLine>, KuboError> {
        loop {
            self.line += 1;
            let line = self.line;
            let refuse = |reason: String| KuboError::Pins { line, reason };
            let mut text = String::new();
            let read = self.lines.by_ref().take(MAX_LINE).read_line(&mut text);
            match read.map_err(|error| refuse(error.to_string()))? as u64 {
                0 => return Ok(None),
                MAX_LINE => return Err(refuse(format!("longer than {MAX_LINE} bytes"))),
                _ => {}
            }
            let mut words = text.trim().splitn(3, ' ');
            let Some(root) = words.next().filter(|word| !word.is_empty()) else {
                continue;
            };
            let root = cid::parse(root).map_err(|error| refuse(error.to_string()))?;
            let name = match words.next() {
                None | Some("recursive") => words.next().map(str::to_owned),
                Some("direct" | "indirect") => {
                    self.passed_over += 1;
                    continue;
                }
                Some(other) => {
                    let other = other.escape_debug();
                    return Err(refuse(format!("`{other}` is no kind of pin")));
                }
            };
            return Ok(Some(PinLine { root, name }));
        }
    }
}

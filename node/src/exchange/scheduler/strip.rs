//! [`Strip`]: how much of each part of a content is here, for people.
//!
//! The content is a line, in the order in which its leaves stand. Each node takes an interval of it,
//! a [`Span`], and its children take parts of that: by their sizes where these are known, else equal
//! ones. What is done fills its span.

/// Cells of a strip: as many as stand in a line of a terminal with room to spare.
pub(super) const CELLS: usize = 64;

/// The whole line. A span of one leaf in 2^50 is still not nothing.
const WHOLE: u64 = 1 << 62;
const CELL: u64 = WHOLE / CELLS as u64;

/// An interval of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    start: u64,
    width: u64,
}

impl Span {
    /// All of the content.
    pub(super) const WHOLE: Self = Self {
        start: 0,
        width: WHOLE,
    };
    /// Of what has no known place.
    pub(super) const NOWHERE: Self = Self { start: 0, width: 0 };

    /// The part from `before` to `before + own`, where the whole span is `total`.
    pub(super) fn part(self, before: u64, own: u64, total: u64) -> Self {
        let at = |weight: u64| {
            let part = u128::from(self.width) * u128::from(weight.min(total));
            u64::try_from(part / u128::from(total.max(1))).unwrap_or(self.width)
        };
        let (from, to) = (at(before), at(before.saturating_add(own)));
        Self {
            start: self.start + from,
            width: to - from,
        }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Strip {
    /// How much of each cell is filled: of [`CELL`].
    cells: [u64; CELLS],
}

impl Strip {
    pub(super) const fn new() -> Self {
        Self { cells: [0; CELLS] }
    }

    /// What takes this span is done. To be said once of each: what is said twice counts twice, up to
    /// the whole cell.
    pub(super) fn fill(&mut self, span: Span) {
        let (mut at, end) = (span.start, (span.start + span.width).min(WHOLE));
        while at < end {
            let cell = at / CELL;
            let next = end.min((cell + 1) * CELL);
            let filled = &mut self.cells[usize::try_from(cell).unwrap_or(CELLS - 1)];
            *filled = (*filled + (next - at)).min(CELL);
            at = next;
        }
    }

    /// Per cent of each cell that are done: 100 only where all is.
    pub(super) fn percent(&self) -> Vec<u8> {
        let percent = |filled: &u64| {
            let percent = u128::from(*filled) * 100 / u128::from(CELL);
            u8::try_from(percent).unwrap_or(100)
        };
        self.cells.iter().map(percent).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_is_every_cell() {
        let mut strip = Strip::new();
        assert_eq!(strip.percent(), [0; CELLS]);
        strip.fill(Span::NOWHERE);
        assert_eq!(strip.percent(), [0; CELLS]);
        strip.fill(Span::WHOLE);
        assert_eq!(strip.percent(), [100; CELLS]);
        strip.fill(Span::WHOLE);
        assert_eq!(strip.percent(), [100; CELLS], "never more than all");
    }

    #[test]
    fn parts_tile_their_span_whatever_the_rounding() {
        for count in [1, 3, 7, 64, 1000, 174 * 174] {
            let mut strip = Strip::new();
            for child in 0..count {
                strip.fill(Span::WHOLE.part(child, 1, count));
            }
            assert_eq!(strip.percent(), [100; CELLS], "{count}");
        }
        // Two levels, of odd counts: no crack between them.
        let mut strip = Strip::new();
        for child in 0..7 {
            let span = Span::WHOLE.part(child, 1, 7);
            for leaf in 0..13 {
                strip.fill(span.part(leaf, 1, 13));
            }
        }
        assert_eq!(strip.percent(), [100; CELLS]);
    }

    #[test]
    fn a_part_fills_its_place_by_its_weight() {
        let mut strip = Strip::new();
        // The second of three, which is half of all.
        strip.fill(Span::WHOLE.part(25, 50, 100));
        let percent = strip.percent();
        assert_eq!(percent[..16], [0; 16]);
        assert_eq!(percent[16..48], [100; 32]);
        assert_eq!(percent[48..], [0; 16]);
        // A quarter of the first cell.
        strip.fill(Span::WHOLE.part(0, 1, 4 * CELLS as u64));
        assert_eq!(strip.percent()[..2], [25, 0]);
    }

    #[test]
    fn what_makes_no_sense_is_clipped() {
        let span = Span::WHOLE.part(u64::MAX, u64::MAX, 10);
        assert_eq!(span.width, 0);
        let span = Span::WHOLE.part(5, u64::MAX, 10);
        assert_eq!(span.start + span.width, WHOLE);
        let mut strip = Strip::new();
        strip.fill(Span::WHOLE.part(1, 1, 0));
        strip.fill(span);
        assert_eq!(strip.percent()[CELLS / 2..], [100; CELLS / 2]);
    }
}

//! [`Step`]: an amount of bytes, told so roughly that it seldom changes.

use super::WireError;

/// Steps to a doubling.
const PER_DOUBLING: f64 = 4.0;

/// How far beyond the next step an amount must be before the told one follows: else an amount at the
/// edge of a step would be announced again and again.
const SLACK: f64 = 0.02;

/// An amount of bytes, rounded down to a power of 2^(1/4): at most 16 % too low.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step(pub u8);

impl Step {
    /// The step of so many bytes; 0 for none and for one.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "logarithms of 64 bits are below 256 steps"
    )]
    pub fn of(bytes: u64) -> Self {
        // What is exactly a step must not fall below it by rounding.
        let steps = (bytes.max(1) as f64).log2() * PER_DOUBLING + 1e-9;
        Self(steps.clamp(0.0, 255.0) as u8)
    }

    /// Bytes at least; none for step 0.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the highest step is below 2^64"
    )]
    pub fn bytes(self) -> u64 {
        match self.0 {
            0 => 0,
            step => (f64::from(step) / PER_DOUBLING).exp2() as u64,
        }
    }

    /// The step to tell of `bytes` after this one was told.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "two hundredths are coarser")]
    pub fn follow(self, bytes: u64) -> Self {
        let edge = |step: u16| (f64::from(step) / PER_DOUBLING).exp2();
        let low = edge(self.0.into()) * (1.0 - SLACK);
        let high = edge(u16::from(self.0) + 1) * (1.0 + SLACK);
        if (low..high).contains(&(bytes as f64)) {
            self
        } else {
            Self::of(bytes)
        }
    }

    pub(super) fn of_code(code: u32) -> Result<Self, WireError> {
        let step = u8::try_from(code).map_err(|_| WireError::Field("step"))?;
        Ok(Self(step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_a_sixth_too_low_at_most() {
        for bytes in [2, 3, 1000, 1 << 30, (1 << 40) + 7, u64::MAX] {
            let told = Step::of(bytes).bytes();
            assert!(told <= bytes, "{bytes}: {told}");
            assert!(
                u128::from(told) * 119 / 100 + 1 >= u128::from(bytes),
                "{bytes}: {told}"
            );
        }
        assert_eq!(Step::of(0).bytes(), 0);
        assert_eq!(Step::of(1 << 40), Step(160));
        assert_eq!(Step(160).bytes(), 1 << 40);
    }

    #[test]
    fn an_amount_at_the_edge_does_not_flap() {
        let told = Step::of(1 << 30);
        assert_eq!(told.follow((1 << 30) - 1000), told);
        assert_eq!(told.follow((1 << 30) + 1000), told);
        assert_eq!(told.follow(1 << 29), Step(told.0 - 4));
        assert_eq!(told.follow(1 << 31), Step(told.0 + 4));
        let above = told.follow((1 << 30) * 122 / 100);
        assert_eq!(above, Step(told.0 + 1));
    }
}

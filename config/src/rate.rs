//! Bandwidth as people write it: `10MiB/s`, `off`, and by time of day `08:00-18:00 2MiB/s`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::units::ByteSize;

/// No limit is lower: a block of 2 MiB would take half an hour.
const LEAST: u64 = 1024;

/// Bytes per second such as `10MiB/s`, or `off`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RateLimit(pub Option<ByteSize>);

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To others.
    Up,
    /// To us.
    Down,
}

/// A limit for some hours of each day: `08:00-18:00 2MiB/s`, `22:00-06:00 up off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimedLimit {
    /// From this minute of the day on, local time.
    pub from: u16,
    /// Up to this one, not included; through midnight where it is not later.
    pub to: u16,
    /// Which way; `None`: both.
    pub direction: Option<Direction>,
    /// How much.
    pub limit: RateLimit,
}

/// Not a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRate {
    /// No rate.
    #[error("`{0}` is no rate; expected something like `10MiB/s` or `off`")]
    Rate(String),
    /// Too little to be useful.
    #[error("`{0}` is less than 1KiB/s; use `off` for no limit")]
    Least(String),
    /// No limit by time of day.
    #[error(
        "`{0}` is no limit by time of day; expected something like `08:00-18:00 2MiB/s`, or \
         `22:00-06:00 up off`"
    )]
    Timed(String),
}

impl RateLimit {
    /// In bytes per second; `None`: no limit.
    #[must_use]
    pub fn bytes_per_second(self) -> Option<u64> {
        self.0.map(ByteSize::bytes)
    }
}

impl TimedLimit {
    /// Whether it holds at this minute of the day.
    #[must_use]
    pub const fn holds_at(&self, minute: u16) -> bool {
        if self.from < self.to {
            self.from <= minute && minute < self.to
        } else {
            self.from <= minute || minute < self.to
        }
    }
}

impl FromStr for RateLimit {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        let text = text.trim();
        if text == "off" {
            return Ok(Self(None));
        }
        let invalid = || InvalidRate::Rate(text.into());
        let size = text.strip_suffix("/s").ok_or_else(invalid)?;
        let size: ByteSize = size.parse().map_err(|_| invalid())?;
        if size.bytes() < LEAST {
            return Err(InvalidRate::Least(text.into()));
        }
        Ok(Self(Some(size)))
    }
}

impl FromStr for TimedLimit {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        let invalid = || InvalidRate::Timed(text.into());
        let (times, rest) = text.trim().split_once(' ').ok_or_else(invalid)?;
        let (from, to) = times.split_once('-').ok_or_else(invalid)?;
        let from = minute(from).ok_or_else(invalid)?;
        let to = minute(to).ok_or_else(invalid)?;
        let (direction, limit) = match rest.trim().split_once(' ') {
            Some(("up", limit)) => (Some(Direction::Up), limit),
            Some(("down", limit)) => (Some(Direction::Down), limit),
            // A size may have a blank before its unit.
            _ => (None, rest),
        };
        Ok(Self {
            from,
            to,
            direction,
            limit: limit.parse()?,
        })
    }
}

/// The minute of the day that `08:30` is; `24:00` is midnight.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let is_number = |part: &str| part.len() <= 2 && part.bytes().all(|c| c.is_ascii_digit());
    if !is_number(hours) || !is_number(minutes) {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    let all = hours * 60 + minutes;
    (minutes < 60 && all <= 24 * 60).then_some(all % (24 * 60))
}

impl TryFrom<String> for RateLimit {
    type Error = InvalidRate;

    fn try_from(text: String) -> Result<Self, InvalidRate> {
        text.parse()
    }
}

impl TryFrom<String> for TimedLimit {
    type Error = InvalidRate;

    fn try_from(text: String) -> Result<Self, InvalidRate> {
        text.parse()
    }
}

impl From<RateLimit> for String {
    fn from(limit: RateLimit) -> Self {
        limit.to_string()
    }
}

impl From<TimedLimit> for String {
    fn from(limit: TimedLimit) -> Self {
        limit.to_string()
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(size) => write!(f, "{size}/s"),
            None => f.write_str("off"),
        }
    }
}

impl fmt::Display for TimedLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        write!(f, "{}-{} ", time(self.from), time(self.to))?;
        match self.direction {
            Some(Direction::Up) => f.write_str("up ")?,
            Some(Direction::Down) => f.write_str("down ")?,
            None => {}
        }
        self.limit.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_can_be_typed_back() {
        for text in ["off", "10MiB/s", "1KiB/s", "1500B/s"] {
            assert_eq!(text.parse::<RateLimit>().unwrap().to_string(), text);
        }
        for text in [
            "08:00-18:00 2MiB/s",
            "22:00-06:30 up off",
            "00:00-00:00 down 512KiB/s",
        ] {
            assert_eq!(text.parse::<TimedLimit>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        for text in ["", "10MiB", "fast", "10/s MiB", "100B/s", "-1MiB/s"] {
            assert!(text.parse::<RateLimit>().is_err(), "{text}");
        }
        for text in [
            "2MiB/s",
            "8-18 2MiB/s",
            "08:00-25:00 2MiB/s",
            "08:60-18:00 2MiB/s",
            "08:00-18:00",
            "08:00-18:00 sideways 2MiB/s",
            "+8:00-18:00 off",
        ] {
            assert!(text.parse::<TimedLimit>().is_err(), "{text}");
        }
    }

    #[test]
    fn hours_may_go_through_midnight() {
        let night: TimedLimit = "22:00-06:00 off".parse().unwrap();
        assert!(night.holds_at(23 * 60) && night.holds_at(0) && night.holds_at(6 * 60 - 1));
        assert!(!night.holds_at(6 * 60) && !night.holds_at(22 * 60 - 1));
        let always: TimedLimit = "00:00-24:00 off".parse().unwrap();
        assert!(always.holds_at(0) && always.holds_at(24 * 60 - 1));
    }
}

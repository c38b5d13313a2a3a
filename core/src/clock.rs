//! The only wall clock of the engine.
//!
//! Times are labels for people and hints for efficiency; no decision that data
//! depends on is ever taken by them. Tests hand in a [`FixedClock`].

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A moment: seconds since 1970-01-01 UTC (negative before) and nanoseconds (0 to 999 999 999).
///
/// Stored as an array of two integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp {
    /// Whole seconds since the epoch, rounded down.
    pub seconds: i64,
    /// Nanoseconds after `seconds`.
    pub nanoseconds: u32,
}

impl Timestamp {
    /// A moment from its parts.
    pub const fn new(seconds: i64, nanoseconds: u32) -> Self {
        Self { seconds, nanoseconds }
    }

    /// Refuses more nanoseconds than a second has, and says what is wrong.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.nanoseconds < 1_000_000_000 { Ok(()) } else { Err("time with too many nanoseconds") }
    }

    /// Converts a time of the operating system.
    pub fn from_system(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self::new(i64::try_from(after.as_secs()).unwrap_or(i64::MAX), after.subsec_nanos()),
            Err(error) => {
                let before = error.duration();
                let seconds = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
                match before.subsec_nanos() {
                    0 => Self::new(-seconds, 0),
                    nanoseconds => Self::new(-seconds - 1, 1_000_000_000 - nanoseconds),
                }
            }
        }
    }
}

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The current moment.
    fn now(&self) -> Timestamp;
    /// Lets so much time pass.
    fn wait(&self, time: Duration);
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_system(SystemTime::now())
    }

    fn wait(&self, time: Duration) {
        if !time.is_zero() {
            std::thread::sleep(time);
        }
    }
}

/// A clock that stands still, for tests.
#[derive(Clone, Copy, Debug)]
pub struct FixedClock(pub Timestamp);

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        self.0
    }

    /// Comes back at once.
    fn wait(&self, _time: Duration) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_the_epoch_round_down() {
        let time = UNIX_EPOCH - Duration::from_millis(1500);
        assert_eq!(Timestamp::from_system(time), Timestamp::new(-2, 500_000_000));
        assert_eq!(Timestamp::from_system(UNIX_EPOCH - Duration::from_secs(3)), Timestamp::new(-3, 0));
        assert!(Timestamp::new(-2, 999_999_999).check().is_ok() && Timestamp::new(0, 1_000_000_000).check().is_err());
    }
}

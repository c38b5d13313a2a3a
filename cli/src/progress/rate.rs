//! How fast the work goes, smoothed over some seconds.

use std::time::Duration;

/// The time after which an old speed counts a third.
const MEMORY_SECONDS: f64 = 10.0;

/// A smoothed speed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    last: Option<(Duration, u64)>,
    per_second: f64,
}

impl Rate {
    /// Takes notice that `bytes` were done when `elapsed` had passed.
    pub fn update(&mut self, elapsed: Duration, bytes: u64) {
        let (before, done) = self.last.unwrap_or_default();
        let seconds = elapsed.saturating_sub(before).as_secs_f64();
        if seconds <= 0.0 {
            return;
        }
        let now = bytes.saturating_sub(done) as f64 / seconds;
        let weight = match self.last {
            None => 1.0,
            Some(_) => 1.0 - (-seconds / MEMORY_SECONDS).exp(),
        };
        self.per_second += (now - self.per_second) * weight;
        self.last = Some((elapsed, bytes));
    }

    /// Bytes per second.
    pub fn per_second(&self) -> f64 {
        self.per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_speed_is_told_at_once_and_a_change_with_time() {
        let mut rate = Rate::default();
        rate.update(Duration::from_secs(1), 100);
        assert_eq!(rate.per_second(), 100.0);
        rate.update(Duration::from_secs(2), 200);
        assert_eq!(rate.per_second(), 100.0);
        rate.update(Duration::from_secs(3), 500);
        assert!((100.0..150.0).contains(&rate.per_second()));
        for second in 4..100 {
            rate.update(Duration::from_secs(second), 500 + 300 * (second - 3));
        }
        assert!((299.0..301.0).contains(&rate.per_second()));
    }

    #[test]
    fn a_clock_that_stands_still_does_no_harm() {
        let mut rate = Rate::default();
        rate.update(Duration::ZERO, 5);
        rate.update(Duration::from_secs(1), 5);
        rate.update(Duration::from_secs(1), 500);
        assert_eq!(rate.per_second(), 5.0);
    }
}

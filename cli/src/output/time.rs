//! Times for people and drivers. Without a zone they are local.

use std::time::Duration;

use gabion_core::clock::Timestamp;
use gabion_core::ops::prune::Date;
use jiff::tz::TimeZone;

use crate::exit_code::{Failure, PLACEHOLDER_ERROR};

/// The zone of this machine.
pub fn local() -> TimeZone {
    TimeZone::system()
}

/// `2026-11-22T21:30:00.000000`, in `zone` but without naming it.
pub fn iso(moment: Timestamp, zone: &TimeZone) -> String {
    show(moment, zone, "%Y-%m-%dT%H:%M:%S.%6f")
}

/// `2026-11-22T20:30:00.000000Z`
pub fn iso_utc(moment: Timestamp) -> String {
    show(moment, &TimeZone::UTC, "%Y-%m-%dT%H:%M:%S.%6fZ")
}

/// `Sun, 2026-11-22 21:30:00`
pub fn human(moment: Timestamp, zone: &TimeZone) -> String {
    show(moment, zone, "%a, %Y-%m-%d %H:%M:%S")
}

/// What the calendar says of a moment.
pub fn date(moment: Timestamp, zone: &TimeZone) -> Date {
    let zoned = to_jiff(moment).to_zoned(zone.clone());
    let week = zoned.date().iso_week_date();
    Date {
        year: zoned.year().into(),
        month: zoned.month().into(),
        day: zoned.day().into(),
        hour: zoned.hour().into(),
        minute: zoned.minute().into(),
        second: zoned.second().into(),
        iso_year: week.year().into(),
        iso_week: week.week().into(),
    }
}

/// Formats as C's and Python's `strftime`; `%f` are microseconds.
pub fn strftime(moment: Timestamp, zone: &TimeZone, format: &str) -> Result<String, Failure> {
    let mut translated = String::with_capacity(format.len());
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('%') {
        translated.push_str(before);
        let (directive, after) = match after.strip_prefix('f') {
            Some(after) => ("%6f", after),
            // `%%f` is no directive
            None => match after.strip_prefix('%') {
                Some(after) => ("%%", after),
                None => ("%", after),
            },
        };
        translated.push_str(directive);
        rest = after;
    }
    translated.push_str(rest);
    jiff::fmt::strtime::format(&translated, &to_jiff(moment).to_zoned(zone.clone()))
        .map_err(|error| Failure::new(PLACEHOLDER_ERROR, format!("can not format a time as `{format}`: {error}")))
}

/// `1 days 2 hours 3 minutes 4.000 seconds`, without leading zeros.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let mut out = String::new();
    for (number, unit) in [(seconds / 86_400, "days"), (seconds / 3600 % 24, "hours"), (seconds / 60 % 60, "minutes")] {
        if number > 0 {
            out.push_str(&format!("{number} {unit} "));
        }
    }
    out + &format!("{}.{:03} seconds", seconds % 60, duration.subsec_millis())
}

/// Seconds since the epoch, as JSON has them.
pub fn unix(moment: Timestamp) -> f64 {
    moment.seconds as f64 + f64::from(moment.nanoseconds) / 1e9
}

/// A moment of the calendar; what is beyond it becomes its first or last.
pub fn to_jiff(moment: Timestamp) -> jiff::Timestamp {
    let nanoseconds = i32::try_from(moment.nanoseconds).unwrap_or(0);
    let outside = if moment.seconds < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::new(moment.seconds, nanoseconds).unwrap_or(outside)
}

/// The same moment as the engine has it.
pub fn from_jiff(moment: jiff::Timestamp) -> Timestamp {
    let nanoseconds = moment.as_nanosecond();
    let seconds = i64::try_from(nanoseconds.div_euclid(1_000_000_000)).unwrap_or(i64::MAX);
    Timestamp::new(seconds, u32::try_from(nanoseconds.rem_euclid(1_000_000_000)).unwrap_or(0))
}

fn show(moment: Timestamp, zone: &TimeZone, format: &str) -> String {
    // these formats are our own and have no directive that can fail
    jiff::fmt::strtime::format(format, &to_jiff(moment).to_zoned(zone.clone())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-22 20:30:00.123456789 UTC
    const MOMENT: Timestamp = Timestamp::new(1_795_379_400, 123_456_789);

    fn berlin() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    #[test]
    fn times() {
        assert_eq!(iso(MOMENT, &berlin()), "2026-11-22T21:30:00.123456");
        assert_eq!(iso_utc(MOMENT), "2026-11-22T20:30:00.123456Z");
        assert_eq!(human(MOMENT, &berlin()), "Sun, 2026-11-22 21:30:00");
        assert_eq!(iso_utc(Timestamp::new(-1, 500_000_000)), "1969-12-31T23:59:59.500000Z");
        assert_eq!(unix(Timestamp::new(-2, 500_000_000)), -1.5);
    }

    #[test]
    fn times_beyond_the_calendar_do_not_fail() {
        assert!(iso_utc(Timestamp::new(i64::MAX, 999_999_999)).starts_with("9999-"));
        assert!(human(Timestamp::new(i64::MIN, 0), &berlin()).contains("-9999-"));
        assert!(!iso(Timestamp::new(0, u32::MAX), &berlin()).is_empty());
    }

    #[test]
    fn moments_go_both_ways() {
        for moment in [MOMENT, Timestamp::new(-1, 1), Timestamp::new(0, 0), Timestamp::new(-5, 0)] {
            assert_eq!(from_jiff(to_jiff(moment)), moment);
        }
    }

    #[test]
    fn formats_of_python() {
        for (format, expected) in [
            ("%Y-%m-%d_%H:%M:%S", "2026-11-22_21:30:00"),
            ("%S.%f", "00.123456"),
            ("%%f%f", "%f123456"),
            ("week %V, day %j", "week 47, day 326"),
            ("%s", "1795379400"),
            ("", ""),
        ] {
            assert_eq!(strftime(MOMENT, &berlin(), format).unwrap(), expected, "{format}");
        }
        for format in ["%", "%!", "%Ä"] {
            assert_eq!(strftime(MOMENT, &berlin(), format).unwrap_err().code.rc, 5, "{format}");
        }
    }

    #[test]
    fn durations() {
        for (milliseconds, text) in [
            (0, "0.000 seconds"),
            (1_500, "1.500 seconds"),
            (61_000, "1 minutes 1.000 seconds"),
            (3_600_000, "1 hours 0.000 seconds"),
            (90_061_001, "1 days 1 hours 1 minutes 1.001 seconds"),
        ] {
            assert_eq!(duration(Duration::from_millis(milliseconds)), text);
        }
    }
}

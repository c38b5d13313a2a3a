//! Dates as people write them, each a span of time.
//!
//! `2026` is a year, `2026-11-22T21` an hour, `@1795379400` a second; with a fraction
//! of a second it is one moment. A zone may follow: `Z`, `+01:00` or
//! `[Europe/Berlin]`; without one the time is local.

use std::str::FromStr;

use gabion_core::clock::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use jiff::{Span, ToSpan};

use crate::exit_code::Failure;
use crate::output::time::from_jiff;

/// The moments from `start` until before `end`; only `start` if they are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// The first moment.
    pub start: Timestamp,
    /// The first moment after.
    pub end: Timestamp,
}

impl Interval {
    /// Reads a date; `local` is the zone if the text has none.
    pub fn parse(text: &str, local: &TimeZone) -> Result<Self, Failure> {
        read(text, local).map_err(|why| Failure::command(format!("not a date: `{text}`: {why}")))
    }

    /// Whether `moment` belongs to it.
    pub fn contains(&self, moment: Timestamp) -> bool {
        if self.start == self.end { moment == self.start } else { self.start <= moment && moment < self.end }
    }
}

/// Reads a date and takes the first moment of it.
pub fn parse_moment(text: &str, local: &TimeZone) -> Result<Timestamp, Failure> {
    Interval::parse(text, local).map(|interval| interval.start)
}

/// As [`parse_moment`], or the time of modification of the file that `text` names.
pub fn parse_moment_or_file(text: &str, local: &TimeZone) -> Result<Timestamp, Failure> {
    parse_moment(text, local).or_else(|failure| match std::fs::metadata(text).and_then(|file| file.modified()) {
        Ok(modified) => Ok(Timestamp::from_system(modified)),
        Err(_) => Err(failure),
    })
}

fn read(text: &str, local: &TimeZone) -> Result<Interval, String> {
    if let Some(epoch) = text.strip_prefix('@') {
        return read_epoch(epoch);
    }
    let (text, zone) = split_zone(text)?;
    let zone = zone.unwrap_or_else(|| local.clone());
    let (start, length) = read_civil(text)?;
    let moment = |civil: DateTime| {
        let zoned = zone.to_ambiguous_zoned(civil).compatible().map_err(|error| error.to_string())?;
        Ok::<_, String>(zoned.timestamp())
    };
    let first = moment(start)?;
    let Some(length) = length else { return Ok(Interval { start: from_jiff(first), end: from_jiff(first) }) };
    // whole days and more follow the calendar, what is shorter the clock
    let end = if length.get_hours() == 0 && length.get_minutes() == 0 && length.get_seconds() == 0 {
        moment(start.checked_add(length).map_err(|error| error.to_string())?)?
    } else {
        first.checked_add(length).map_err(|error| error.to_string())?
    };
    Ok(Interval { start: from_jiff(first), end: from_jiff(end) })
}

fn read_epoch(text: &str) -> Result<Interval, String> {
    let (seconds, fraction) = match text.split_once('.') {
        Some((seconds, fraction)) => (seconds, Some(nanoseconds(fraction)?)),
        None => (text, None),
    };
    let seconds: i64 = digits(seconds, 1..=12)?;
    let start = Timestamp::new(seconds, fraction.unwrap_or(0));
    let end = if fraction.is_some() { start } else { Timestamp::new(seconds + 1, 0) };
    Ok(Interval { start, end })
}

/// The date without the zone behind it, and the zone.
fn split_zone(text: &str) -> Result<(&str, Option<TimeZone>), String> {
    if let Some(date) = text.strip_suffix('Z') {
        return Ok((date, Some(TimeZone::UTC)));
    }
    if let Some((date, name)) = text.strip_suffix(']').and_then(|text| text.split_once('[')) {
        return TimeZone::get(name).map(|zone| (date, Some(zone))).map_err(|error| error.to_string());
    }
    let Some(at) = text.len().checked_sub(6).filter(|at| text.is_char_boundary(*at)) else { return Ok((text, None)) };
    let (date, offset) = text.split_at(at);
    let sign = match offset.as_bytes()[0] {
        b'+' => 1,
        // `2026-11` has a minus too
        b'-' if offset.contains(':') => -1,
        _ => return Ok((text, None)),
    };
    let (hours, minutes) = offset[1..].split_once(':').ok_or("an offset is written +HH:MM")?;
    let (hours, minutes): (i32, i32) = (digits(hours, 2..=2)?, digits(minutes, 2..=2)?);
    let total = sign * (hours * 60 + minutes);
    if minutes > 59 || !(-12 * 60..=14 * 60).contains(&total) {
        return Err("there is no such offset".to_owned());
    }
    let offset = Offset::from_seconds(total * 60).map_err(|error| error.to_string())?;
    Ok((date, Some(TimeZone::fixed(offset))))
}

/// The first moment of the date, and how long it lasts; `None` for a fraction of a second.
fn read_civil(text: &str) -> Result<(DateTime, Option<Span>), String> {
    let (date, time) = match text.split_once(['T', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let year = digits(parts.next().unwrap_or_default(), 4..=4)?;
    let month = parts.next().map(|month| digits(month, 2..=2)).transpose()?;
    let day = parts.next().map(|day| digits(day, 2..=2)).transpose()?;
    if parts.next().is_some() {
        return Err("too many parts".to_owned());
    }
    let first = Date::new(year, month.unwrap_or(1), day.unwrap_or(1)).map_err(|error| error.to_string())?;
    let Some(time) = time else {
        let length = match (month, day) {
            (None, _) => 1.year(),
            (_, None) => 1.month(),
            _ => 1.day(),
        };
        return Ok((first.at(0, 0, 0, 0), Some(length)));
    };
    if day.is_none() {
        return Err("a time needs a day".to_owned());
    }
    let (time, fraction) = match time.split_once('.') {
        Some((time, fraction)) => (time, Some(nanoseconds(fraction)?)),
        None => (time, None),
    };
    let numbers: Vec<i8> = time.split(':').map(|part| digits(part, 2..=2)).collect::<Result<_, _>>()?;
    let (hour, minute, second, length) = match numbers[..] {
        [hour] => (hour, 0, 0, 1.hour()),
        [hour, minute] => (hour, minute, 0, 1.minute()),
        [hour, minute, second] => (hour, minute, second, 1.second()),
        _ => return Err("a time is written HH:MM:SS".to_owned()),
    };
    if fraction.is_some() && numbers.len() != 3 {
        return Err("a fraction needs seconds".to_owned());
    }
    let nanosecond = i32::try_from(fraction.unwrap_or(0)).unwrap_or(0);
    let time = jiff::civil::Time::new(hour, minute, second, nanosecond).map_err(|error| error.to_string())?;
    Ok((first.to_datetime(time), fraction.is_none().then_some(length)))
}

fn digits<T: FromStr>(text: &str, length: std::ops::RangeInclusive<usize>) -> Result<T, String> {
    let number = text.bytes().all(|byte| byte.is_ascii_digit()) && length.contains(&text.len());
    let wrong = || format!("`{text}` is not a number of the right length");
    if number { text.parse().map_err(|_| wrong()) } else { Err(wrong()) }
}

fn nanoseconds(fraction: &str) -> Result<u32, String> {
    let number: u32 = digits(fraction, 1..=9)?;
    let missing = u32::try_from(9 - fraction.len()).unwrap_or(0);
    Ok(number * 10u32.pow(missing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::time::iso_utc;

    #[test]
    fn a_date_is_the_interval_of_its_precision() {
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        for (text, start, end) in [
            ("2026", "2025-12-31T23:00:00", "2026-12-31T23:00:00"),
            ("2026-06", "2026-05-31T22:00:00", "2026-06-30T22:00:00"),
            ("2026-12Z", "2026-12-01T00:00:00", "2027-01-01T00:00:00"),
            ("2026-11-22", "2026-11-21T23:00:00", "2026-11-22T23:00:00"),
            // the night with 25 hours
            ("2026-10-25", "2026-10-24T22:00:00", "2026-10-25T23:00:00"),
            ("2026-11-22T21", "2026-11-22T20:00:00", "2026-11-22T21:00:00"),
            ("2026-11-22 21:30", "2026-11-22T20:30:00", "2026-11-22T20:31:00"),
            ("2026-11-22T21:30:05", "2026-11-22T20:30:05", "2026-11-22T20:30:06"),
            ("2026-11-22T21:30:05Z", "2026-11-22T21:30:05", "2026-11-22T21:30:06"),
            ("2026-11-22T21:30+02:00", "2026-11-22T19:30:00", "2026-11-22T19:31:00"),
            ("2026-11-22-05:30", "2026-11-22T05:30:00", "2026-11-23T05:30:00"),
            ("2026-11[UTC]", "2026-11-01T00:00:00", "2026-12-01T00:00:00"),
            ("2025-01-01T09:30[America/New_York]", "2025-01-01T14:30:00", "2025-01-01T14:31:00"),
            ("@1735732800", "2025-01-01T12:00:00", "2025-01-01T12:00:01"),
        ] {
            let interval = Interval::parse(text, &berlin).unwrap();
            let found = [interval.start, interval.end].map(|moment| iso_utc(moment).replace(".000000Z", ""));
            assert_eq!(found, [start, end], "{text}");
            assert!(interval.contains(interval.start) && !interval.contains(interval.end));
        }
    }

    #[test]
    fn a_fraction_is_one_moment() {
        for text in ["2026-11-22T21:30:05.5Z", "2026-11-22T21:30:05.500000Z", "@1795383005.5"] {
            let interval = Interval::parse(text, &TimeZone::UTC).unwrap();
            let moment = Timestamp::new(1_795_383_005, 500_000_000);
            assert_eq!(interval, Interval { start: moment, end: moment }, "{text}");
            assert!(interval.contains(moment) && !interval.contains(Timestamp::new(1_795_383_005, 500_000_001)));
        }
        assert_eq!(parse_moment("1970", &TimeZone::UTC).unwrap(), Timestamp::new(0, 0));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "26",
            "2026-1",
            "2026-13",
            "2026-02-30",
            "2026-11-22T",
            "2026-11-22T24",
            "2026-11-22T21:60",
            "2026-11T21",
            "2026-11-22T21:30.5",
            "2026-11-22T21:30:05.",
            "2026-11-22T21:30:05.1234567890",
            "2026+15:00",
            "2026-13:00",
            "2026+1:00",
            "2026[Nowhere/Land]",
            "@1735732800Z",
            "@",
            "@-1",
            "2026-11-22-01",
            // the end is beyond the calendar
            "9999-12",
            "2026-11-22T21:30+01:60",
            "2026-11-22T21:30+15:00",
            "20266",
            "ä026-1",
        ] {
            let result = Interval::parse(text, &TimeZone::UTC);
            assert_eq!(result.map_err(|failure| failure.code.rc), Err(4), "{text}");
        }
    }
}

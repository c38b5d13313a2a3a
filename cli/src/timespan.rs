//! Spans of time as people write them: `10d`, `3m`, `36H`.

use std::str::FromStr;

use gabion_core::clock::Timestamp;

use crate::exit_code::Failure;

const UNITS: [(char, i64); 7] =
    [('y', 365 * 86_400), ('m', 31 * 86_400), ('w', 7 * 86_400), ('d', 86_400), ('H', 3600), ('M', 60), ('S', 1)];

/// A span of whole seconds, not negative. A month has 31 days, a year 365.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timespan {
    seconds: i64,
}

impl Timespan {
    /// Its length.
    pub fn seconds(self) -> u64 {
        self.seconds.unsigned_abs()
    }

    /// The moment this long before `moment`, or the first there is.
    pub fn before(self, moment: Timestamp) -> Timestamp {
        Timestamp::new(moment.seconds.saturating_sub(self.seconds), moment.nanoseconds)
    }

    /// The moment this long after `moment`, or the last there is.
    pub fn after(self, moment: Timestamp) -> Timestamp {
        Timestamp::new(moment.seconds.saturating_add(self.seconds), moment.nanoseconds)
    }
}

impl FromStr for Timespan {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let wrong = || Failure::command(format!("not a time span: `{text}`, write a number and one of y m w d H M S"));
        let unit = text.chars().next_back().ok_or_else(wrong)?;
        let (_, length) = UNITS.iter().find(|(letter, _)| *letter == unit).ok_or_else(wrong)?;
        let number = &text[..text.len() - unit.len_utf8()];
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let seconds = number.parse::<i64>().ok().and_then(|number| number.checked_mul(*length)).ok_or_else(wrong)?;
        Ok(Self { seconds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        for (text, seconds) in [
            ("0d", 0),
            ("7S", 7),
            ("2M", 120),
            ("36H", 129_600),
            ("10d", 864_000),
            ("1w", 604_800),
            ("3m", 93 * 86_400),
            ("1y", 31_536_000),
        ] {
            assert_eq!(text.parse::<Timespan>().unwrap().seconds, seconds, "{text}");
        }
        for text in [
            "",
            "d",
            "10",
            "-1d",
            "+1d",
            "1.5d",
            "10D",
            "10d ",
            "1 d",
            "99999999999999999999d",
            "9999999999999999y",
            "1ä",
        ] {
            assert_eq!(text.parse::<Timespan>().unwrap_err().code.rc, 4, "{text}");
        }
    }

    #[test]
    fn moments_do_not_run_over() {
        let span: Timespan = "1d".parse().unwrap();
        let moment = Timestamp::new(100, 5);
        assert_eq!((span.before(moment), span.after(moment)), (Timestamp::new(-86_300, 5), Timestamp::new(86_500, 5)));
        assert_eq!(span.before(Timestamp::new(i64::MIN, 0)).seconds, i64::MIN);
    }
}

//! The rules of `gabion prune` as they are typed, and the policy they make.

use std::str::FromStr;

use gabion_core::clock::Timestamp;
use gabion_core::ops::prune::{Amount, Period, Policy};

use crate::exit_code::Failure;
use crate::timespan::Timespan;

/// What is to be kept.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Rules")]
pub struct Rules {
    /// Keep the newest X archives, or all of a span of time
    #[arg(long, value_name = "X", allow_hyphen_values = true)]
    keep: Option<Wish>,
    /// The same by other names, so that a number may stand beside a span of time
    #[arg(long, value_name = "X", allow_hyphen_values = true)]
    keep_last: Option<Wish>,
    /// See --keep-last
    #[arg(long, value_name = "X", allow_hyphen_values = true)]
    keep_within: Option<Wish>,
    /// Keep the last archive of a second
    #[arg(long, value_name = "X", allow_hyphen_values = true)]
    keep_secondly: Option<Wish>,
    /// ... of a minute
    #[arg(long, value_name = "X", allow_hyphen_values = true)]
    keep_minutely: Option<Wish>,
    /// ... of an hour
    #[arg(short = 'H', long, value_name = "X", allow_hyphen_values = true)]
    keep_hourly: Option<Wish>,
    /// ... of a day
    #[arg(short = 'd', long, value_name = "X", allow_hyphen_values = true)]
    keep_daily: Option<Wish>,
    /// ... of a week
    #[arg(short = 'w', long, value_name = "X", allow_hyphen_values = true)]
    keep_weekly: Option<Wish>,
    /// ... of a month
    #[arg(short = 'm', long, value_name = "X", allow_hyphen_values = true)]
    keep_monthly: Option<Wish>,
    /// ... of a quarter of 13 weeks; the last one of a year has week 53 too
    #[arg(long = "keep-13weekly", value_name = "X", allow_hyphen_values = true, conflicts_with = "keep_3monthly")]
    keep_13weekly: Option<Wish>,
    /// ... of a quarter of three months
    #[arg(long = "keep-3monthly", value_name = "X", allow_hyphen_values = true)]
    keep_3monthly: Option<Wish>,
    /// ... of a year
    #[arg(short = 'y', long, value_name = "X", allow_hyphen_values = true)]
    keep_yearly: Option<Wish>,
}

/// How much a rule is to keep.
#[derive(Clone, Copy, Debug)]
enum Wish {
    Count(u64),
    All,
    Within(Timespan),
}

impl FromStr for Wish {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        if matches!(text, "-1" | "all") {
            return Ok(Self::All);
        }
        match text.parse() {
            Ok(count) => Ok(Self::Count(count)),
            Err(_) => text.parse().map(Self::Within).map_err(|_| {
                Failure::command(format!("`{text}` is neither a number nor a time span such as 30d, nor `all`"))
            }),
        }
    }
}

impl Wish {
    /// Whether a rule for longer periods with this wish keeps nothing beside one for shorter periods.
    fn is_useless_after(self, shorter: Self) -> bool {
        match (shorter, self) {
            (Self::All, _) => true,
            (Self::Within(shorter), Self::Within(own)) => shorter >= own,
            _ => false,
        }
    }

    fn amount(self, now: Timestamp) -> Amount {
        match self {
            Self::Count(count) => Amount::Count(count),
            Self::All => Amount::All,
            Self::Within(span) if span.seconds() == 0 => Amount::Count(0),
            Self::Within(span) => Amount::Since(span.before(now)),
        }
    }
}

impl Rules {
    /// The policy, with spans of time that end `now`.
    ///
    /// # Errors
    /// Rules that are missing, or make no sense together: as in Borg.
    pub fn policy(&self, now: Timestamp) -> Result<Policy, Failure> {
        let wishes = self.wishes()?;
        if wishes.is_empty() {
            return Err(Failure::command("name at least one rule: --keep, --keep-daily, --keep-weekly, ..."));
        }
        for (number, (period, wish)) in wishes.iter().enumerate() {
            if let Some((shorter, _)) = wishes[..number].iter().find(|(_, shorter)| wish.is_useless_after(*shorter)) {
                let (useless, other) = (option(*period), option(*shorter));
                return Err(Failure::command(format!("{useless} keeps nothing: {other} keeps all that and more")));
            }
        }
        Ok(wishes.into_iter().map(|(period, wish)| (period, wish.amount(now))).collect())
    }

    fn wishes(&self) -> Result<Vec<(Period, Wish)>, Failure> {
        let all = [self.keep, self.keep_last, self.keep_within].into_iter().flatten();
        let (spans, counts): (Vec<Wish>, Vec<Wish>) = all.partition(|wish| matches!(wish, Wish::Within(_)));
        // a number beside a span counts seconds, as Borg 1 has it: no two archives share one
        let (each, seconds) = match (&spans[..], &counts[..]) {
            ([], []) => (None, None),
            ([one], []) | ([], [one]) => (Some(*one), None),
            ([span], [count]) if self.keep_secondly.is_none() => (Some(*span), Some(*count)),
            _ => return Err(Failure::command("--keep takes one number and one span of time at most")),
        };
        let wishes = [
            each,
            self.keep_secondly.or(seconds),
            self.keep_minutely,
            self.keep_hourly,
            self.keep_daily,
            self.keep_weekly,
            self.keep_monthly,
            self.keep_13weekly,
            self.keep_3monthly,
            self.keep_yearly,
        ];
        Ok(Period::ALL.into_iter().zip(wishes).filter_map(|(period, wish)| Some((period, wish?))).collect())
    }
}

/// The option of a rule.
fn option(period: Period) -> String {
    match period.name() {
        "keep" => "--keep".to_owned(),
        name => format!("--keep-{}", name.trim_start_matches("quarterly_")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clap::Parser as _;
    use gabion_core::id::ArchiveId;
    use gabion_core::ops::prune::{Candidate, Kept, keep};
    use jiff::tz::TimeZone;

    use super::*;
    use crate::output::time::{date, iso_utc};

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[arg(long)]
        from: Option<String>,
        #[command(flatten)]
        rules: Rules,
    }

    fn moment(text: &str) -> Timestamp {
        crate::date::parse_moment(text, &TimeZone::UTC).unwrap()
    }

    /// Runs of archives: the first, seconds between them, how many.
    fn archives(runs: &str) -> Vec<Candidate> {
        let mut archives = Vec::new();
        for run in runs.split(", ") {
            let words: Vec<&str> = run.trim_start_matches('!').split(' ').collect();
            let (first, step, count) = (moment(words[0]), words[1].parse::<i64>().unwrap(), words[2].parse().unwrap());
            for number in 0..count {
                let id = ArchiveId::from_bytes((archives.len() as u128).to_be_bytes());
                let start = Timestamp::new(first.seconds + step * number, 0);
                archives.push(Candidate { id, start, protected: run.starts_with('!') });
            }
        }
        archives
    }

    /// What is kept by which rule, #1 first; `None` if the rules are refused.
    fn decide(case: &str) -> Option<BTreeMap<String, Vec<String>>> {
        let (runs, line) = case.split_once("\nprune ").unwrap();
        let mut words = line.split(' ');
        let (zone, now) = (TimeZone::get(words.next().unwrap()).unwrap(), moment(words.next().unwrap()));
        let line = Line::try_parse_from(["prune"].into_iter().chain(words)).unwrap();
        let from = line.from.as_deref().map(moment);
        let policy = line.rules.policy(from.unwrap_or(now)).ok()?;
        let archives = archives(runs.strip_prefix("archives ").unwrap());
        let kept = keep(&archives, &policy, from, &|moment| date(moment, &zone));
        let mut rules = BTreeMap::<String, BTreeMap<u64, String>>::new();
        for archive in &archives {
            let (rule, number) = match kept.get(&archive.id) {
                None | Some(Kept::Protected) => continue,
                Some(Kept::Newer(number)) => ("skip".to_owned(), *number),
                Some(Kept::By(period, number)) => (period.name().to_owned(), *number),
                Some(Kept::Oldest(period, number)) => (format!("{}[oldest]", period.name()), *number),
            };
            let start = iso_utc(archive.start).replace(".000000Z", "Z");
            assert_eq!(rules.entry(rule).or_default().insert(number, start), None);
        }
        Some(rules.into_iter().map(|(rule, kept)| (rule, kept.into_values().collect())).collect())
    }

    #[test]
    fn every_rule_keeps_what_borg_keeps() {
        let table = include_str!("../tests/data/borg-prune.txt");
        let mut cases = 0;
        for paragraph in table.trim_end().split("\n\n") {
            let mut lines = paragraph.splitn(3, '\n');
            let case = format!("{}\n{}", lines.next().unwrap(), lines.next().unwrap());
            let kept = lines.next().unwrap_or_default();
            let rule = |line: &str| {
                let mut words = line.split(' ').map(str::to_owned);
                (words.next().unwrap(), words.collect::<Vec<_>>())
            };
            let expected = (kept != "refused").then(|| kept.lines().map(rule).collect());
            // Borg refuses rules of which none keeps anything; here that is refused where it would remove something.
            let found = decide(&case).filter(|kept| expected.is_some() || !kept.is_empty());
            assert_eq!(found, expected, "{case}");
            cases += 1;
        }
        assert!(cases > 80, "{cases} cases");
    }

    #[test]
    fn rules_that_make_no_sense_are_refused_by_name() {
        let refused = |options: &[&str]| {
            let line = Line::try_parse_from([&["prune"], options].concat());
            line.unwrap().rules.policy(Timestamp::new(0, 0)).unwrap_err().to_string()
        };
        assert!(refused(&[]).contains("name at least one rule"));
        let useless = refused(&["--keep-daily", "30d", "--keep-13weekly", "7d"]);
        assert!(useless.contains("--keep-13weekly keeps nothing: --keep-daily"), "{useless}");
        assert!(refused(&["--keep", "all", "--keep-yearly", "2"]).contains("--keep-yearly keeps nothing: --keep "));
        assert!(Line::try_parse_from(["prune", "--keep-13weekly", "1", "--keep-3monthly", "1"]).is_err());
        for wish in ["-2", "3.5", "7D", "", "every"] {
            assert!(Line::try_parse_from(["prune", "--keep-daily", wish]).is_err(), "{wish}");
        }
    }
}

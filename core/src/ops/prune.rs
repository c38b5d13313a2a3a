//! Which archives a retention policy keeps, and why.
//!
//! The rules are Borg's (`borg prune`): each looks at all archives from the newest to the oldest and keeps the newest
//! one of each period, until it kept as many as it may. An archive that an earlier rule kept does not count, but ends its
//! period. A rule that runs out of archives before it is satisfied keeps the oldest one, so that history grows. Nothing here
//! touches a repository; times are labels, and the caller says what day they are.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::clock::Timestamp;
use crate::id::ArchiveId;

/// The periods of which rules keep the newest archive, in the order in which they are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// Every archive is a period of its own.
    Each,
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A week, Monday to Sunday.
    Week,
    /// A month.
    Month,
    /// 13 weeks of an ISO year; the last part has the 53rd week too.
    ThirteenWeeks,
    /// A quarter of a year.
    ThreeMonths,
    /// A year.
    Year,
}

impl Period {
    /// All of them, in order.
    pub const ALL: [Self; 10] = [
        Self::Each,
        Self::Second,
        Self::Minute,
        Self::Hour,
        Self::Day,
        Self::Week,
        Self::Month,
        Self::ThirteenWeeks,
        Self::ThreeMonths,
        Self::Year,
    ];

    /// What the rule is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Each => "keep",
            Self::Second => "secondly",
            Self::Minute => "minutely",
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::ThirteenWeeks => "13weekly",
            Self::ThreeMonths => "3monthly",
            Self::Year => "yearly",
        }
    }

    /// The period of a moment, comparable with others of the same kind.
    fn of(self, number: usize, date: &Date) -> [i64; 6] {
        let Date { year, month, day, hour, minute, second, iso_year, iso_week } = *date;
        match self {
            Self::Each => [number as i64, 0, 0, 0, 0, 0],
            Self::Second => [year, month, day, hour, minute, second],
            Self::Minute => [year, month, day, hour, minute, 0],
            Self::Hour => [year, month, day, hour, 0, 0],
            Self::Day => [year, month, day, 0, 0, 0],
            Self::Week => [iso_year, iso_week, 0, 0, 0, 0],
            Self::Month => [year, month, 0, 0, 0, 0],
            Self::ThirteenWeeks => [iso_year, ((iso_week - 1) / 13).min(3), 0, 0, 0, 0],
            Self::ThreeMonths => [year, (month - 1) / 3, 0, 0, 0, 0],
            Self::Year => [year, 0, 0, 0, 0, 0],
        }
    }
}

/// What the caller's calendar says of a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Date {
    /// The year.
    pub year: i64,
    /// 1 to 12.
    pub month: i64,
    /// 1 to 31.
    pub day: i64,
    /// 0 to 23.
    pub hour: i64,
    /// 0 to 59.
    pub minute: i64,
    /// 0 to 60.
    pub second: i64,
    /// The year its week belongs to.
    pub iso_year: i64,
    /// Its week in that year, 1 to 53.
    pub iso_week: i64,
}

/// How much a rule keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// So many.
    Count(u64),
    /// All periods with an archive at or after this moment.
    Since(Timestamp),
    /// All periods.
    All,
}

/// A retention policy: how much each rule keeps; a period that is not named keeps nothing.
pub type Policy = BTreeMap<Period, Amount>;

/// An archive as a policy sees it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Its id.
    pub id: ArchiveId,
    /// When it was begun.
    pub start: Timestamp,
    /// Whether it is kept whatever the policy says.
    pub protected: bool,
}

/// Why an archive is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is protected.
    Protected,
    /// By the rule of this period, as its how manyth, from 1.
    By(Period, u64),
    /// It is the oldest one, and the rule of this period has room.
    Oldest(Period, u64),
}

/// Which of `archives`, in any order, the policy keeps. All others are to go.
pub fn keep(archives: &[Candidate], policy: &Policy, date: &dyn Fn(Timestamp) -> Date) -> BTreeMap<ArchiveId, Kept> {
    let mut archives: Vec<(Candidate, Date)> =
        archives.iter().map(|candidate| (*candidate, date(candidate.start))).collect();
    archives.sort_by_key(|(candidate, _)| std::cmp::Reverse((candidate.start, candidate.id)));
    let protected = archives.iter().filter(|(candidate, _)| candidate.protected);
    let mut kept: BTreeMap<ArchiveId, Kept> = protected.map(|(candidate, _)| (candidate.id, Kept::Protected)).collect();
    for (period, amount) in policy {
        apply(&archives, *period, *amount, &mut kept);
    }
    kept
}

fn apply(archives: &[(Candidate, Date)], period: Period, amount: Amount, kept: &mut BTreeMap<ArchiveId, Kept>) {
    let most = match amount {
        Amount::Count(count) => count,
        Amount::Since(_) | Amount::All => u64::MAX,
    };
    let (mut last, mut count) = (None, 0);
    for (number, (candidate, date)) in archives.iter().enumerate() {
        let too_old = matches!(amount, Amount::Since(since) if candidate.start < since);
        if count >= most || too_old {
            break;
        }
        let own = period.of(number, date);
        if last == Some(own) {
            continue;
        }
        last = Some(own);
        if let Entry::Vacant(vacant) = kept.entry(candidate.id) {
            count += 1;
            vacant.insert(Kept::By(period, count));
        }
    }
    // Only a rule that counts can have room: the others kept all they were to keep.
    let oldest = archives.last().filter(|_| matches!(amount, Amount::Count(_)) && count < most);
    if let Some((candidate, _)) = oldest {
        kept.entry(candidate.id).or_insert(Kept::Oldest(period, count + 1));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = 86_400;

    /// A calendar of months of 30 days and years of 360; weeks of 7 days from the first.
    fn date(time: Timestamp) -> Date {
        let days = time.seconds.div_euclid(DAY);
        let second = time.seconds.rem_euclid(DAY);
        Date {
            year: days.div_euclid(360),
            month: days.rem_euclid(360) / 30 + 1,
            day: days.rem_euclid(30) + 1,
            hour: second / 3600,
            minute: second / 60 % 60,
            second: second % 60,
            iso_year: days.div_euclid(364),
            iso_week: days.rem_euclid(364) / 7 + 1,
        }
    }

    fn candidate(number: u8, seconds: i64) -> Candidate {
        Candidate { id: ArchiveId::from_bytes([number; 16]), start: Timestamp::new(seconds, 0), protected: false }
    }

    fn kept(archives: &[Candidate], policy: &[(Period, Amount)]) -> Vec<(u8, Kept)> {
        let kept = keep(archives, &policy.iter().copied().collect(), &date);
        kept.into_iter().map(|(id, why)| (id.as_bytes()[0], why)).collect()
    }

    #[test]
    fn each_rule_keeps_the_newest_of_its_periods() {
        // two archives a day, numbered from the oldest
        let archives: Vec<_> = (0..20).map(|number| candidate(number, i64::from(number) * DAY / 2)).collect();
        use Period::{Day, Each, Week};
        assert_eq!(kept(&archives, &[(Each, Amount::Count(2))]), [(18, Kept::By(Each, 2)), (19, Kept::By(Each, 1))]);
        assert_eq!(
            kept(&archives, &[(Day, Amount::Count(3))]),
            [(15, Kept::By(Day, 3)), (17, Kept::By(Day, 2)), (19, Kept::By(Day, 1))]
        );
        // the newest of a week was kept by the day already: it ends the week and does not count
        assert_eq!(
            kept(&archives, &[(Day, Amount::Count(1)), (Week, Amount::Count(1))]),
            [(13, Kept::By(Week, 1)), (19, Kept::By(Day, 1))]
        );
    }

    #[test]
    fn a_rule_with_room_keeps_the_oldest() {
        let archives: Vec<_> = (0..4).map(|number| candidate(number, i64::from(number) * DAY)).collect();
        let year = kept(&archives, &[(Period::Year, Amount::Count(5))]);
        assert_eq!(year, [(0, Kept::Oldest(Period::Year, 2)), (3, Kept::By(Period::Year, 1))]);
    }

    #[test]
    fn an_interval_keeps_what_is_in_it() {
        let archives: Vec<_> = (0..10).map(|number| candidate(number, i64::from(number) * DAY)).collect();
        let since = Amount::Since(Timestamp::new(7 * DAY, 0));
        let within: Vec<u8> = kept(&archives, &[(Period::Each, since)]).into_iter().map(|(id, _)| id).collect();
        assert_eq!(within, [7, 8, 9]);
        assert_eq!(kept(&archives, &[(Period::Each, Amount::All)]).len(), 10);
        assert_eq!(kept(&archives, &[(Period::Day, Amount::Count(0))]), []);
        assert_eq!(kept(&archives, &[]), []);
    }

    #[test]
    fn protected_archives_stay() {
        let mut archives: Vec<_> = (0..3).map(|number| candidate(number, i64::from(number) * DAY)).collect();
        archives[0].protected = true;
        let kept = kept(&archives, &[(Period::Each, Amount::Count(1))]);
        assert_eq!(kept, [(0, Kept::Protected), (2, Kept::By(Period::Each, 1))]);
    }

    proptest! {
        #[test]
        fn counts_are_kept_and_more_rules_keep_more(
            times in prop::collection::vec(0i64..1000 * DAY, 1..60),
            counts in prop::collection::btree_map(0usize..10, 0u64..20, 1..4),
        ) {
            let archives: Vec<_> = (0u8..).zip(&times).map(|(number, time)| candidate(number, *time)).collect();
            let policy: Policy =
                counts.iter().map(|(period, count)| (Period::ALL[*period], Amount::Count(*count))).collect();
            let kept = keep(&archives, &policy, &date);
            for (period, amount) in &policy {
                let Amount::Count(count) = amount else { unreachable!() };
                let by = kept.values().filter(|why| matches!(why, Kept::By(p, _) | Kept::Oldest(p, _) if p == period));
                prop_assert!(by.count() as u64 <= *count);
            }
            // the newest one stays as soon as anything is to stay
            if policy.values().any(|amount| *amount != Amount::Count(0)) {
                let newest = archives.iter().max_by_key(|archive| (archive.start, archive.id)).unwrap();
                prop_assert!(kept.contains_key(&newest.id));
            }
            let every_day: Policy = [(Period::Day, Amount::All)].into();
            let days: std::collections::BTreeSet<_> = archives.iter().map(|a| a.start.seconds / DAY).collect();
            prop_assert_eq!(keep(&archives, &every_day, &date).len(), days.len());
        }
    }
}

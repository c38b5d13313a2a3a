//! Which archives a retention policy keeps, and why.
//!
//! The rules are those of Borg 2 (`borg prune`): each looks at all archives from the newest to the oldest and keeps the
//! newest one of each period, until it kept as many as it may. An archive that an earlier rule kept does not count, but
//! ends its period. The last rule keeps the oldest archive too, if it may keep one more, so that history grows. Archives
//! that are protected take no part. Nothing here touches a repository; times are labels, and the caller says what day
//! they are.

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

    /// What the rule is called, as in Borg.
    pub fn name(self) -> &'static str {
        match self {
            Self::Each => "keep",
            Self::Second => "secondly",
            Self::Minute => "minutely",
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::ThirteenWeeks => "quarterly_13weekly",
            Self::ThreeMonths => "quarterly_3monthly",
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
    /// It is not older than the moment before which rules apply; its how manyth of these, from 1.
    Newer(u64),
    /// By the rule of this period, as its how manyth, from 1.
    By(Period, u64),
    /// It is the oldest one, and the rule of this period has room.
    Oldest(Period, u64),
}

/// Which of `archives`, in any order, the policy keeps. All others are to go. With `before`, rules apply to what is older;
/// everything else is kept.
pub fn keep(
    archives: &[Candidate],
    policy: &Policy,
    before: Option<Timestamp>,
    date: &dyn Fn(Timestamp) -> Date,
) -> BTreeMap<ArchiveId, Kept> {
    let (protected, mut archives): (Vec<Candidate>, Vec<Candidate>) =
        archives.iter().partition(|candidate| candidate.protected);
    archives.sort_by_key(|candidate| std::cmp::Reverse((candidate.start, candidate.id)));
    let newer = before.map_or(0, |before| archives.partition_point(|candidate| candidate.start >= before));
    let (newer, older) = archives.split_at(newer);
    let protected = protected.iter().map(|candidate| (candidate.id, Kept::Protected));
    let newer = (1..).zip(newer).map(|(number, candidate)| (candidate.id, Kept::Newer(number)));
    let mut kept: BTreeMap<ArchiveId, Kept> = protected.chain(newer).collect();
    let older: Vec<(Candidate, Date)> = older.iter().map(|candidate| (*candidate, date(candidate.start))).collect();
    let last = policy.keys().next_back();
    for (period, amount) in policy {
        apply(&older, *period, *amount, Some(period) == last, &mut kept);
    }
    kept
}

/// Adds what a rule keeps of `archives`, the newest first.
fn apply(
    archives: &[(Candidate, Date)],
    period: Period,
    amount: Amount,
    and_oldest: bool,
    kept: &mut BTreeMap<ArchiveId, Kept>,
) {
    let may_keep = |candidate: &Candidate, count: u64| match amount {
        Amount::Count(most) => count < most,
        Amount::Since(since) => candidate.start >= since,
        Amount::All => true,
    };
    let (mut last, mut count) = (None, 0);
    for (number, (candidate, date)) in archives.iter().enumerate() {
        if !may_keep(candidate, count) {
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
    if let Some((oldest, _)) = archives.last().filter(|(oldest, _)| and_oldest && may_keep(oldest, count)) {
        kept.entry(oldest.id).or_insert(Kept::Oldest(period, count + 1));
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
        let kept = keep(archives, &policy.iter().copied().collect(), None, &date);
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
    fn the_last_rule_keeps_the_oldest_if_it_has_room() {
        use Period::{Day, Year};
        let archives: Vec<_> = (0..4).map(|number| candidate(number, i64::from(number) * DAY)).collect();
        for amount in [Amount::Count(5), Amount::Since(Timestamp::new(0, 0)), Amount::All] {
            let year = kept(&archives, &[(Year, amount)]);
            assert_eq!(year, [(0, Kept::Oldest(Year, 2)), (3, Kept::By(Year, 1))], "{amount:?}");
        }
        for full in [Amount::Count(1), Amount::Since(Timestamp::new(1, 0))] {
            assert_eq!(kept(&archives, &[(Year, full)]), [(3, Kept::By(Year, 1))], "{full:?}");
        }
        // The first rule has room, and the last one none.
        let halves: Vec<_> = (0..4).map(|number| candidate(number, i64::from(number) * DAY / 2)).collect();
        let two = kept(&halves, &[(Day, Amount::Count(9)), (Year, Amount::Count(0))]);
        assert_eq!(two, [(1, Kept::By(Day, 2)), (3, Kept::By(Day, 1))]);
    }

    #[test]
    fn rules_apply_to_what_is_older() {
        let archives: Vec<_> = (0..6).map(|number| candidate(number, i64::from(number) * DAY)).collect();
        let policy: Policy = [(Period::Each, Amount::Count(2))].into();
        let kept = keep(&archives, &policy, Some(Timestamp::new(4 * DAY, 0)), &date);
        let kept: Vec<(u8, Kept)> = kept.into_iter().map(|(id, why)| (id.as_bytes()[0], why)).collect();
        let by = |number| Kept::By(Period::Each, number);
        assert_eq!(kept, [(2, by(2)), (3, by(1)), (4, Kept::Newer(2)), (5, Kept::Newer(1))]);
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
        let newest = kept(&archives, &[(Period::Each, Amount::Count(1))]);
        assert_eq!(newest, [(0, Kept::Protected), (2, Kept::By(Period::Each, 1))]);
        // It takes no part: neither does it end the year, nor is it the oldest one.
        archives[2].protected = true;
        let year = kept(&archives, &[(Period::Year, Amount::Count(2))]);
        assert_eq!(year, [(0, Kept::Protected), (1, Kept::By(Period::Year, 1)), (2, Kept::Protected)]);
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
            let kept = keep(&archives, &policy, None, &date);
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
            let kept = keep(&archives, &every_day, None, &date);
            let by = kept.values().filter(|why| matches!(why, Kept::By(..)));
            prop_assert_eq!(by.count(), days.len());
        }
    }
}

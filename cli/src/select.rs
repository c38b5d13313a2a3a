//! Which archives a command means: one, by the argument, or many, by filters.

use std::cmp::Reverse;

use gabion_core::clock::Timestamp;
use gabion_core::error::{Error, ErrorKind};
use gabion_core::id::ArchiveId;
use gabion_core::pattern::NamePattern;
use jiff::tz::TimeZone;

use crate::date::Interval;
use crate::exit_code::Failure;
use crate::timespan::Timespan;

/// What archives are selected by.
pub trait ArchiveFacts {
    /// The name; several archives, a series, may share one.
    fn name(&self) -> &str;
    /// The id.
    fn id(&self) -> ArchiveId;
    /// Who made it.
    fn user(&self) -> &str;
    /// Where it was made.
    fn host(&self) -> &str;
    /// The tags.
    fn tags(&self) -> &[String];
    /// When it was begun.
    fn start(&self) -> Timestamp;
}

/// An argument that names one archive: its name, `name@N` or `aid:HEX`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArchiveArgument {
    /// The first digits of the id.
    Id(String),
    /// A name, possibly with `@N`.
    Name(String),
}

impl ArchiveArgument {
    /// Reads the argument.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        match text.strip_prefix("aid:") {
            Some(prefix) => parse_id(prefix).map(Self::Id),
            None if text.is_empty() => Err(Failure::command("the name of the archive is empty")),
            None => Ok(Self::Name(text.to_owned())),
        }
    }

    /// The archive that is meant. Of archives with the same name it is the newest; `name@N` is the one `N`
    /// before it. A name that is exactly `name@N` wins over that. What names no archive may be a whole id.
    ///
    /// # Errors
    /// [`ErrorKind::ArchiveNotFound`] and [`ErrorKind::ArchiveAmbiguous`] with the fact `archive`.
    pub fn find<'a, A: ArchiveFacts>(&self, archives: &'a [A]) -> Result<&'a A, Error> {
        match self {
            Self::Id(prefix) => {
                let mut found = archives.iter().filter(|archive| archive.id().starts_with(prefix));
                let first = found.next().ok_or_else(|| not_found(&format!("aid:{prefix}")))?;
                if found.next().is_some() { Err(ambiguous(&format!("aid:{prefix}"))) } else { Ok(first) }
            }
            Self::Name(name) => nth_newest(archives, name, 0)
                .or_else(|| {
                    let (series, number) = name.rsplit_once('@')?;
                    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
                    nth_newest(archives, series, number.parse().ok().filter(|_| digits)?)
                })
                // drivers name archives by their bare ids
                .or_else(|| {
                    let id = Some(name.to_ascii_lowercase()).filter(|name| name.len() == 2 * ArchiveId::BYTES)?;
                    archives.iter().find(|archive| archive.id().starts_with(&id))
                })
                .ok_or_else(|| not_found(name)),
        }
    }
}

fn nth_newest<'a, A: ArchiveFacts>(archives: &'a [A], name: &str, number: usize) -> Option<&'a A> {
    let mut series: Vec<&A> = archives.iter().filter(|archive| archive.name() == name).collect();
    series.sort_by_key(|archive| Reverse((archive.start(), archive.id())));
    series.get(number).copied()
}

fn not_found(archive: &str) -> Error {
    Error::new(ErrorKind::ArchiveNotFound, "find archive").with("archive", archive)
}

fn ambiguous(archive: &str) -> Error {
    Error::new(ErrorKind::ArchiveAmbiguous, "find archive").with("archive", archive)
}

fn parse_id(prefix: &str) -> Result<String, Failure> {
    let prefix = prefix.to_ascii_lowercase();
    if prefix.is_empty() || prefix.len() > 2 * ArchiveId::BYTES || !prefix.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        return Err(Failure::command(format!("`aid:{prefix}` is not the beginning of an archive's id")));
    }
    Ok(prefix)
}

/// One condition of `--match-archives`.
#[derive(Debug)]
pub enum Selector {
    /// The name fits: `id:` exactly (the default), `sh:` or `re:`.
    Name(NamePattern),
    /// `aid:` The id begins so; exactly one archive must fit.
    Id(String),
    /// `user:` Made by this user.
    User(String),
    /// `host:` Made on this machine.
    Host(String),
    /// `tags:` Has all these tags, separated by commas.
    Tags(Vec<String>),
    /// `date:` Begun in this interval.
    Date(Interval),
}

impl Selector {
    /// Reads a condition; `local` is the zone of dates that name none.
    pub fn parse(text: &str, local: &TimeZone) -> anyhow::Result<Self> {
        let (kind, value) = text.split_once(':').unwrap_or(("", text));
        Ok(match kind {
            "aid" => Self::Id(parse_id(value)?),
            "user" => Self::User(value.to_owned()),
            "host" => Self::Host(value.to_owned()),
            "tags" => {
                Self::Tags(value.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect())
            }
            "date" => Self::Date(Interval::parse(value, local)?),
            "name" => Self::Name(NamePattern::parse(value)?),
            _ => Self::Name(NamePattern::parse(text)?),
        })
    }

    /// Whether the archive meets the condition.
    pub fn matches(&self, archive: &impl ArchiveFacts) -> bool {
        match self {
            Self::Name(pattern) => {
                // drivers name archives by their bare ids
                let is_id = |text: &str| archive.id().to_string() == text.to_ascii_lowercase();
                pattern.matches(archive.name()) || pattern.exact().is_some_and(is_id)
            }
            Self::Id(prefix) => archive.id().starts_with(prefix),
            Self::User(user) => archive.user() == user,
            Self::Host(host) => archive.host() == host,
            Self::Tags(tags) => tags.iter().all(|tag| archive.tags().contains(tag)),
            Self::Date(interval) => interval.contains(archive.start()),
        }
    }
}

/// What a list of archives is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortKey {
    /// When it was begun.
    Timestamp,
    /// Its name.
    Name,
    /// Its id.
    Id,
    /// Its tags.
    Tags,
    /// Where it was made.
    Host,
    /// Who made it.
    User,
}

impl SortKey {
    /// Reads keys separated by commas.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, Failure> {
        let key = |name| {
            Ok(match name {
                "timestamp" | "ts" => Self::Timestamp,
                "name" | "archive" => Self::Name,
                "id" => Self::Id,
                "tags" => Self::Tags,
                "host" => Self::Host,
                "user" => Self::User,
                _ => {
                    let known = "timestamp, archive, name, id, tags, host, user";
                    return Err(Failure::command(format!("can not sort by `{name}`, known are: {known}")));
                }
            })
        };
        text.split(',').map(str::trim).map(key).collect()
    }

    fn compare<A: ArchiveFacts>(self, a: &A, b: &A) -> std::cmp::Ordering {
        match self {
            Self::Timestamp => a.start().cmp(&b.start()),
            Self::Name => a.name().cmp(b.name()),
            Self::Id => a.id().cmp(&b.id()),
            Self::Tags => a.tags().cmp(b.tags()),
            Self::Host => a.host().cmp(b.host()),
            Self::User => a.user().cmp(b.user()),
        }
    }
}

/// All filters of a command; the default takes everything, oldest first.
#[derive(Debug, Default)]
pub struct Filter {
    /// Conditions, all of which must be met.
    pub selectors: Vec<Selector>,
    /// The order; empty means by time.
    pub sort_by: Vec<SortKey>,
    /// Only so many from the beginning of the sorted list.
    pub first: Option<usize>,
    /// Only so many from its end; not together with `first`.
    pub last: Option<usize>,
    /// Begun so long after the oldest one at most.
    pub oldest: Option<Timespan>,
    /// Begun so long before the newest one at most.
    pub newest: Option<Timespan>,
    /// Begun so long ago at least.
    pub older: Option<Timespan>,
    /// Begun so long ago at most.
    pub newer: Option<Timespan>,
}

impl Filter {
    /// Takes the archives that are meant, in the order that is wished.
    ///
    /// # Errors
    /// [`ErrorKind::ArchiveNotFound`] and [`ErrorKind::ArchiveAmbiguous`] if `aid:` does not fit exactly one.
    pub fn apply<A: ArchiveFacts>(&self, mut archives: Vec<A>, now: Timestamp) -> Result<Vec<A>, Error> {
        for selector in &self.selectors {
            archives.retain(|archive| selector.matches(archive));
            if let Selector::Id(prefix) = selector {
                match archives.len() {
                    0 => return Err(not_found(&format!("aid:{prefix}"))),
                    1 => {}
                    _ => return Err(ambiguous(&format!("aid:{prefix}"))),
                }
            }
        }
        if let Some(span) = self.older {
            archives.retain(|archive| archive.start() <= span.before(now));
        }
        if let Some(span) = self.newer {
            archives.retain(|archive| archive.start() >= span.before(now));
        }
        // both count from what is left now, not from each other
        let oldest = archives.iter().map(A::start).min();
        let newest = archives.iter().map(A::start).max();
        if let (Some(span), Some(oldest)) = (self.oldest, oldest) {
            archives.retain(|archive| archive.start() <= span.after(oldest));
        }
        if let (Some(span), Some(newest)) = (self.newest, newest) {
            archives.retain(|archive| archive.start() >= span.before(newest));
        }
        self.sort(&mut archives);
        if let Some(first) = self.first {
            archives.truncate(first);
        }
        if let Some(last) = self.last {
            archives.drain(..archives.len().saturating_sub(last));
        }
        Ok(archives)
    }

    fn sort<A: ArchiveFacts>(&self, archives: &mut [A]) {
        let keys = if self.sort_by.is_empty() { &[SortKey::Timestamp][..] } else { &self.sort_by };
        // the id at the end, so that the order never depends on the store
        let keys: Vec<SortKey> = keys.iter().copied().chain([SortKey::Id]).collect();
        archives.sort_by(|a, b| {
            let by_key = keys.iter().map(|key| key.compare(a, b));
            by_key.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug)]
    struct Facts {
        name: &'static str,
        id: u8,
        user: &'static str,
        host: &'static str,
        tags: Vec<String>,
        day: i64,
    }

    impl ArchiveFacts for Facts {
        fn name(&self) -> &str {
            self.name
        }
        fn id(&self) -> ArchiveId {
            ArchiveId::from_bytes([self.id; 16])
        }
        fn user(&self) -> &str {
            self.user
        }
        fn host(&self) -> &str {
            self.host
        }
        fn tags(&self) -> &[String] {
            &self.tags
        }
        fn start(&self) -> Timestamp {
            Timestamp::new(self.day * 86_400, 0)
        }
    }

    fn archives() -> Vec<Facts> {
        let row = |name, id, user, host, tags: &str, day| {
            let tags = tags.split(',').filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
            Facts { name, id, user, host, tags, day }
        };
        vec![
            row("docs", 0xa3, "leo", "pc", "", 12),
            row("docs", 0xa1, "leo", "pc", "", 10),
            row("docs", 0xb2, "max", "nas", "keep,paper", 11),
            row("docs@1", 0xc4, "max", "nas", "keep", 30),
            row("photos", 0xd5, "leo", "nas", "", 400),
        ]
    }

    #[test]
    fn one_archive_by_its_argument() {
        for (argument, id) in [
            ("docs", Ok(0xa3)),
            ("docs@0", Ok(0xa3)),
            // there is one with exactly this name
            ("docs@1", Ok(0xc4)),
            ("docs@2", Ok(0xa1)),
            ("docs@3", Err(ErrorKind::ArchiveNotFound)),
            ("docs@1@0", Ok(0xc4)),
            ("docs@+0", Err(ErrorKind::ArchiveNotFound)),
            ("docs@", Err(ErrorKind::ArchiveNotFound)),
            ("photos@99999999999999999999", Err(ErrorKind::ArchiveNotFound)),
            ("doc", Err(ErrorKind::ArchiveNotFound)),
            ("aid:b2", Ok(0xb2)),
            ("aid:D5D", Ok(0xd5)),
            ("aid:a", Err(ErrorKind::ArchiveAmbiguous)),
            ("aid:f", Err(ErrorKind::ArchiveNotFound)),
            ("B2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2", Ok(0xb2)),
            ("b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2", Err(ErrorKind::ArchiveNotFound)),
        ] {
            let found = ArchiveArgument::parse(argument).unwrap().find(&archives()).map(|archive| archive.id);
            assert_eq!(found.map_err(|error| error.kind()), id, "{argument}");
        }
        for argument in ["", "aid:", "aid:xyz", "aid:000000000000000000000000000000000"] {
            assert_eq!(ArchiveArgument::parse(argument).unwrap_err().code.rc, 4, "{argument}");
        }
    }

    #[test]
    fn selectors() {
        for (text, ids) in [
            ("docs", &[0xa1, 0xb2, 0xa3][..]),
            ("id:docs@1", &[0xc4]),
            ("name:sh:doc*", &[0xa1, 0xb2, 0xa3, 0xc4]),
            ("sh:*o*s", &[0xa1, 0xb2, 0xa3, 0xd5]),
            ("re:d.*|nothing", &[0xa1, 0xb2, 0xa3, 0xc4]),
            ("user:max", &[0xb2, 0xc4]),
            ("host:nas", &[0xb2, 0xc4, 0xd5]),
            ("tags:keep", &[0xb2, 0xc4]),
            ("tags:paper, keep,", &[0xb2]),
            ("tags:", &[0xa1, 0xb2, 0xa3, 0xc4, 0xd5]),
            ("date:1970-01-12", &[0xb2]),
            ("date:1970-01", &[0xa1, 0xb2, 0xa3, 0xc4]),
            ("aid:C", &[0xc4]),
            ("weird:name", &[]),
        ] {
            let filter =
                Filter { selectors: vec![Selector::parse(text, &TimeZone::UTC).unwrap()], ..Filter::default() };
            let found = filter.apply(archives(), Timestamp::new(0, 0)).unwrap();
            assert_eq!(found.iter().map(|archive| archive.id).collect::<Vec<_>>(), ids, "{text}");
        }
        for text in ["aid:", "date:x", "re:("] {
            assert_eq!(crate::exit_code::of_error(&Selector::parse(text, &TimeZone::UTC).unwrap_err()).rc, 4, "{text}");
        }
    }

    #[test]
    fn an_id_must_fit_exactly_one() {
        for (text, kind) in [("aid:a", ErrorKind::ArchiveAmbiguous), ("aid:f", ErrorKind::ArchiveNotFound)] {
            let filter =
                Filter { selectors: vec![Selector::parse(text, &TimeZone::UTC).unwrap()], ..Filter::default() };
            assert_eq!(filter.apply(archives(), Timestamp::new(0, 0)).unwrap_err().kind(), kind);
        }
    }

    #[test]
    fn times_and_order() {
        let span = |text: &str| Some(text.parse::<Timespan>().unwrap());
        let keys = |text| SortKey::parse_list(text).unwrap();
        let rows: Vec<(Filter, &[u8])> = vec![
            (Filter::default(), &[0xa1, 0xb2, 0xa3, 0xc4, 0xd5]),
            (Filter { older: span("390d"), ..Filter::default() }, &[0xa1]),
            (Filter { newer: span("380d"), ..Filter::default() }, &[0xc4, 0xd5]),
            (Filter { oldest: span("1d"), ..Filter::default() }, &[0xa1, 0xb2]),
            (Filter { newest: span("370d"), ..Filter::default() }, &[0xc4, 0xd5]),
            (Filter { older: span("100d"), newest: span("18d"), ..Filter::default() }, &[0xa3, 0xc4]),
            (Filter { oldest: span("2d"), newest: span("1d"), ..Filter::default() }, &[]),
            (Filter { first: Some(2), ..Filter::default() }, &[0xa1, 0xb2]),
            (Filter { last: Some(2), ..Filter::default() }, &[0xc4, 0xd5]),
            (Filter { last: Some(9), ..Filter::default() }, &[0xa1, 0xb2, 0xa3, 0xc4, 0xd5]),
            (Filter { sort_by: keys("name,id"), ..Filter::default() }, &[0xa1, 0xa3, 0xb2, 0xc4, 0xd5]),
            (Filter { sort_by: keys("host, user,timestamp"), ..Filter::default() }, &[0xd5, 0xb2, 0xc4, 0xa1, 0xa3]),
            (Filter { sort_by: keys("id"), first: Some(1), ..Filter::default() }, &[0xa1]),
            (Filter { sort_by: keys("tags"), last: Some(1), ..Filter::default() }, &[0xb2]),
        ];
        for (filter, ids) in rows {
            let found = filter.apply(archives(), Timestamp::new(400 * 86_400, 0)).unwrap();
            assert_eq!(found.iter().map(|archive| archive.id).collect::<Vec<_>>(), ids, "{filter:?}");
        }
        assert_eq!(SortKey::parse_list("size").unwrap_err().code.rc, 4);
    }
}

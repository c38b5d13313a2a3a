//! The archives a command means: options of selection, and finding one.

use std::str::FromStr;

use clap::Args;
use gabion_core::archive::catalog::{Archive, Catalog};
use gabion_core::archive::check_archive_name;
use gabion_core::clock::Timestamp;
use gabion_core::error::ErrorKind;
use gabion_core::id::ArchiveId;

use crate::context::Context;
use crate::exit_code::Failure;
use crate::hints;
use crate::report::Advised;
use crate::select::{ArchiveArgument, ArchiveFacts, Filter, Selector, SortKey};
use crate::timespan::Timespan;

/// Keys separated by commas.
#[derive(Clone, Debug, Default)]
struct SortKeys(Vec<SortKey>);

impl FromStr for SortKeys {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        SortKey::parse_list(text).map(Self)
    }
}

/// Options that select archives.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Selection of archives")]
pub struct ArchiveFilter {
    /// Only archives that fit: a name, or sh: re: aid: user: host: tags: date: and a value; all must fit
    #[arg(short = 'a', long, value_name = "PATTERN")]
    match_archives: Vec<String>,
    /// Sort by these, separated by commas: timestamp, archive, name, id, tags, host, user
    #[arg(long, value_name = "KEYS")]
    sort_by: Option<SortKeys>,
    /// Only the first N
    #[arg(long, value_name = "N", conflicts_with = "last")]
    first: Option<usize>,
    /// Only the last N
    #[arg(long, value_name = "N")]
    last: Option<usize>,
    /// Only archives made at most so long after the oldest, such as 7d or 12m
    #[arg(long, value_name = "TIMESPAN", conflicts_with = "newest")]
    oldest: Option<Timespan>,
    /// Only archives made at most so long before the newest
    #[arg(long, value_name = "TIMESPAN")]
    newest: Option<Timespan>,
    /// Only archives made at least so long ago
    #[arg(long, value_name = "TIMESPAN", conflicts_with = "newer")]
    older: Option<Timespan>,
    /// Only archives made at most so long ago
    #[arg(long, value_name = "TIMESPAN")]
    newer: Option<Timespan>,
}

impl ArchiveFilter {
    /// Whether nothing was asked for, so that every archive is taken.
    pub fn is_empty(&self) -> bool {
        let spans = [self.oldest, self.newest, self.older, self.newer];
        self.match_archives.is_empty()
            && self.first.is_none()
            && self.last.is_none()
            && spans.iter().all(Option::is_none)
    }

    /// The archives of `catalog` that are meant, in the order that is wished.
    pub fn select(&self, context: &Context, catalog: Catalog) -> anyhow::Result<Vec<Listed>> {
        let selector = |text: &String| Selector::parse(&context.placeholders.replace(text)?, context.zone());
        let filter = Filter {
            selectors: self.match_archives.iter().map(selector).collect::<anyhow::Result<_>>()?,
            sort_by: self.sort_by.clone().unwrap_or_default().0,
            first: self.first,
            last: self.last,
            oldest: self.oldest,
            newest: self.newest,
            older: self.older,
            newer: self.newer,
        };
        let all: Vec<Listed> = catalog.archives.into_iter().map(Listed::from).collect();
        Ok(filter.apply(all, context.now())?)
    }
}

/// One archive by its name, or those the filters select; never all of them because nothing was said.
pub fn named_or_selected(
    context: &Context,
    catalog: Catalog,
    name: Option<&str>,
    filter: &ArchiveFilter,
) -> anyhow::Result<Vec<Archive>> {
    match name {
        Some(_) if !filter.is_empty() => Err(Failure::command("name one archive or filter archives, not both").into()),
        Some(name) => Ok(vec![find(context, catalog, name)?]),
        None if filter.is_empty() => {
            Err(Failure::command("which archives? name one, or select some by --match-archives").into())
        }
        None => Ok(filter.select(context, catalog)?.into_iter().map(|listed| listed.archive).collect()),
    }
}

/// An archive as selection sees it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The archive.
    pub archive: Archive,
    tags: Vec<String>,
}

impl From<Archive> for Listed {
    fn from(archive: Archive) -> Self {
        let tags = archive.record.tags.iter().cloned().collect();
        Self { archive, tags }
    }
}

impl ArchiveFacts for Listed {
    fn name(&self) -> &str {
        &self.archive.record.name
    }

    fn id(&self) -> ArchiveId {
        self.archive.id
    }

    fn user(&self) -> &str {
        &self.archive.record.user
    }

    fn host(&self) -> &str {
        &self.archive.record.host
    }

    fn tags(&self) -> &[String] {
        &self.tags
    }

    fn start(&self) -> Timestamp {
        self.archive.record.start
    }
}

/// The name of a new archive, placeholders replaced. What would be taken for something else is refused.
pub fn new_name(context: &Context, text: &str) -> anyhow::Result<String> {
    let name = context.placeholders.replace(text)?;
    check_archive_name(&name)?;
    if name.starts_with("aid:") {
        return Err(Failure::command(format!("`{name}` would be taken for the id of an archive")).into());
    }
    Ok(name)
}

/// The one archive that `argument` names: a name (the newest of the series), `name@N`, or `aid:HEX`.
pub fn find(context: &Context, catalog: Catalog, argument: &str) -> anyhow::Result<Archive> {
    let wanted = ArchiveArgument::parse(&context.placeholders.replace(argument)?)?;
    let all: Vec<Listed> = catalog.archives.into_iter().map(Listed::from).collect();
    match wanted.find(&all) {
        Ok(found) => Ok(found.archive.clone()),
        Err(error) if error.kind() == ErrorKind::ArchiveNotFound => {
            let hint = hints::for_missing_archive(argument, all.iter().map(Listed::name));
            Err(Advised::new(error, hint).into())
        }
        Err(error) => Err(error.into()),
    }
}

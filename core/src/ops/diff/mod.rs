//! What differs between two archives, or between an archive and the files as they are now.
//!
//! Both sides are walked together, directory by directory. Two archives that have the same node for a directory are
//! equal from there on, and nothing below it is read. A change time alone is no difference: nodes do not know it.

mod changes;
mod content;
mod listing;
mod live;

use std::path::Path;

use crate::archive::content::Content;
use crate::archive::entry::Entry;
use crate::archive::record::ArchiveRecord;
use crate::archive::stat::StatRow;
use crate::archive::walk::{append, check_depth};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::fs::source::SourceDirectory;
use crate::monitor::{Monitor, Warning};
use crate::ops::scope::Scope;
use crate::ops::unread::pass_over;
use crate::pattern::{Decision, Matcher};
use crate::repository::{Reader, Repository};

use changes::Comparison;
use listing::{Archived, Found, Listing, Nothing};
use live::Live;

pub use changes::{Change, ContentChange, Owner};

/// What is compared.
#[derive(Debug, Default)]
pub struct DiffOptions {
    /// Which paths.
    pub matcher: Matcher,
    /// Compare owners by their numbers instead of their names.
    pub numeric_ids: bool,
    /// Compare what is in files, not what is known of them.
    pub content_only: bool,
    /// Take for granted that both archives were cut by the same parameters, whatever they say.
    pub same_chunker_params: bool,
}

/// A path that differs.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The path in the archive, raw bytes.
    pub path: Vec<u8>,
    /// What is there on the left side.
    pub old: Option<Item>,
    /// What is there on the right side.
    pub new: Option<Item>,
    /// In which ways they differ: at least one.
    pub changes: Vec<Change>,
}

/// An entry of one side.
#[derive(Clone, Debug)]
pub struct Item {
    /// The entry. Of a file that lies in the file system the content is not filled in.
    pub entry: Entry,
    /// What is known of it beside that.
    pub row: Option<StatRow>,
}

impl Item {
    /// When its inode last changed, if that is known.
    pub fn changed(&self) -> Option<Timestamp> {
        match self.row? {
            StatRow::File { changed, .. } => Some(changed),
            StatRow::None | StatRow::Directory(_) => None,
        }
    }
}

/// Calls `visit` for every path in which two archives differ, parents before children, names in byte order.
///
/// A directory that can not be read on one side is reported to the monitor and not compared.
///
/// # Errors
/// `Interrupted`, a connection that is lost, and whatever `visit` returns.
pub fn diff(
    repository: &Repository,
    reader: &Reader,
    old: &ArchiveRecord,
    new: &ArchiveRecord,
    options: &DiffOptions,
    monitor: &dyn Monitor,
    visit: &mut dyn FnMut(Difference) -> Result<()>,
) -> Result<()> {
    let same_cuts = options.same_chunker_params || old.chunker == new.chunker;
    if old.root.root == new.root.root && options.matcher.takes_everything() {
        return Ok(());
    }
    let (comparison, namer) = (Comparison { options, same_cuts }, repository.namer());
    let [left, right] = [old, new].map(|record| Box::new(Archived::of(reader, &namer, record)));
    let mut walk = Walk::new((left, right), monitor);
    walk.run(&comparison, &|_| true, visit)
}

/// As [`diff`], of an archive and what lies now in the directory `top`, which stands for the archive's top directory.
///
/// Files whose size and times are those of the archive are taken for unchanged; all others are read. What the archive
/// does not have counts as added only below the paths that it was made of.
///
/// # Errors
/// Those of opening `top`, `Interrupted`, a connection that is lost, and whatever `visit` returns.
pub fn diff_with_files(
    repository: &Repository,
    reader: &Reader,
    old: &ArchiveRecord,
    top: &Path,
    options: &DiffOptions,
    monitor: &dyn Monitor,
    visit: &mut dyn FnMut(Difference) -> Result<()>,
) -> Result<()> {
    let cutter = live::Cutter::new(repository, old)?;
    let live = Live::open(SourceDirectory::open(top)?, &cutter)?;
    let comparison = Comparison { options, same_cuts: cutter.is_exact() };
    let scope = Scope::of(old);
    let mut walk = Walk::new((Box::new(Archived::of(reader, cutter.namer(), old)), Box::new(live)), monitor);
    walk.run(&comparison, &|path| scope.has(path), visit)
}

/// A walk through two trees at once.
struct Walk<'a> {
    monitor: &'a dyn Monitor,
    levels: Vec<Level<'a>>,
    path: Vec<u8>,
}

/// A directory on both sides, if it is one there.
struct Level<'a> {
    old: Peeked<'a>,
    new: Peeked<'a>,
    /// Length of its path.
    path_bytes: usize,
}

struct Peeked<'a> {
    listing: Box<dyn Listing<'a> + 'a>,
    next: Option<Found>,
}

impl<'a> Walk<'a> {
    fn new((old, new): (Box<dyn Listing<'a> + 'a>, Box<dyn Listing<'a> + 'a>), monitor: &'a dyn Monitor) -> Self {
        let peeked = |listing| Peeked { listing, next: None };
        Self { monitor, levels: vec![Level { old: peeked(old), new: peeked(new), path_bytes: 0 }], path: Vec::new() }
    }

    fn run(
        &mut self,
        comparison: &Comparison<'_>,
        counts_as_added: &dyn Fn(&[u8]) -> bool,
        visit: &mut dyn FnMut(Difference) -> Result<()>,
    ) -> Result<()> {
        while let Some(level) = self.levels.last_mut() {
            self.monitor.stop_if_asked("compare archives")?;
            self.path.truncate(level.path_bytes);
            let (old, new) = match level.advance() {
                Ok(Some(pair)) => pair,
                Ok(None) => {
                    self.levels.pop();
                    continue;
                }
                Err(error) => {
                    self.pass_over(error)?;
                    self.levels.pop();
                    continue;
                }
            };
            let name = [&old, &new].into_iter().flatten().next().map(|found| found.name.as_slice());
            append(&mut self.path, name.unwrap_or_default());
            if old.is_none() && !counts_as_added(&self.path) {
                continue;
            }
            let items = old
                .map(|found| found.item)
                .transpose()
                .and_then(|old| Ok((old, new.map(|found| found.item).transpose()?)));
            match items {
                Ok((old, new)) => self.look(comparison, old, new)?.into_iter().try_for_each(&mut *visit)?,
                Err(error) => self.pass_over(error)?,
            }
        }
        Ok(())
    }

    /// Compares what is at the current path, and enters it if it is a directory whose entries may differ.
    fn look(
        &mut self,
        comparison: &Comparison<'_>,
        old: Option<Item>,
        new: Option<Item>,
    ) -> Result<Option<Difference>> {
        let Some(level) = self.levels.last() else { return Ok(None) };
        let matcher = &comparison.options.matcher;
        let decision = matcher.decide(&self.path);
        if decision == Decision::ExcludeNoRecurse {
            return Ok(None);
        }
        let mut changes = Vec::new();
        if decision == Decision::Include {
            let left = old.as_ref().map(|item| (item, &*level.old.listing));
            let right = new.as_ref().map(|item| (item, &*level.new.listing));
            match comparison.changes(left, right) {
                Ok(found) => changes = found,
                Err(error) => self.pass_over(error)?,
            }
        }
        let equal = is_same_directory(old.as_ref(), new.as_ref()) && decision == Decision::Include;
        let directory = [&old, &new].into_iter().flatten().any(is_directory);
        if directory && !equal && matcher.may_descend(&self.path) {
            self.enter(old.as_ref(), new.as_ref())?;
        }
        let path = self.path.clone();
        Ok((!changes.is_empty()).then_some(Difference { path, old, new, changes }))
    }

    fn enter(&mut self, old: Option<&Item>, new: Option<&Item>) -> Result<()> {
        let Some(level) = self.levels.last() else { return Ok(()) };
        let open = |item: Option<&Item>, side: &Peeked<'a>| match item.filter(|item| is_directory(item)) {
            Some(item) => side.listing.enter(item),
            None => Ok(Box::new(Nothing) as Box<dyn Listing<'a> + 'a>),
        };
        let allowed = check_depth("compare archives", self.levels.len());
        match allowed.and_then(|()| open(old, &level.old)).and_then(|left| Ok((left, open(new, &level.new)?))) {
            Ok((left, right)) => {
                let (old, new) = (Peeked { listing: left, next: None }, Peeked { listing: right, next: None });
                self.levels.push(Level { old, new, path_bytes: self.path.len() });
                Ok(())
            }
            Err(error) => self.pass_over(error),
        }
    }

    fn pass_over(&self, error: Error) -> Result<()> {
        pass_over(self.monitor, Warning::Item, &self.path, error)
    }
}

impl Level<'_> {
    /// The next name and what is there on both sides.
    fn advance(&mut self) -> Result<Option<(Option<Found>, Option<Found>)>> {
        self.old.fill()?;
        self.new.fill()?;
        let order = match (&self.old.next, &self.new.next) {
            (None, None) => return Ok(None),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(old), Some(new)) => old.name.cmp(&new.name),
        };
        let old = if order.is_le() { self.old.next.take() } else { None };
        let new = if order.is_ge() { self.new.next.take() } else { None };
        Ok(Some((old, new)))
    }
}

impl Peeked<'_> {
    fn fill(&mut self) -> Result<()> {
        if self.next.is_none() {
            self.next = self.listing.next().transpose()?;
        }
        Ok(())
    }
}

fn is_directory(item: &Item) -> bool {
    matches!(item.entry.content, Content::Directory(_))
}

/// Whether both are the same directory down to the last entry. Of directories of the file system nobody knows.
fn is_same_directory(old: Option<&Item>, new: Option<&Item>) -> bool {
    match (old.map(|item| &item.entry.content), new.map(|item| &item.entry.content)) {
        (Some(Content::Directory(old)), Some(Content::Directory(new))) => old.root == new.root,
        _ => false,
    }
}

//! Makes an archive again without some of its files, with content cut anew, or with other facts in its record.

use std::collections::HashMap;

use super::create::content::ContentReader as Cutter;
use super::delete::{Remover, is_protected, remove};
use super::republish;
use super::rewrite::{ATTEMPTS_MAX, Carry, Cut, Rewriter, Run, chunker};
use crate::archive::catalog::{Archive, is_live};
use crate::archive::content::DirectoryRef;
use crate::archive::cut::CutKey;
use crate::archive::record::{ArchiveRecord, BaseRef, LeftOut, check_archive_name};
use crate::archive::stat::StatRef;
use crate::chunker::ChunkerParams;
use crate::clock::{Clock, Timestamp};
use crate::error::{Error, ErrorKind, Result};
use crate::monitor::Monitor;
use crate::pattern::Matcher;
use crate::repository::{Repository, WriterOptions};

pub use super::rewrite::TagRules;

/// What the new archive shall be.
#[derive(Debug, Default)]
pub struct RecreateOptions {
    /// Which paths are kept.
    pub matcher: Matcher,
    /// Which directories are left out because of what lies in them.
    pub tags: TagRules,
    /// Cut all content anew.
    pub chunker: Option<ChunkerParams>,
    /// How what is new is written.
    pub writer: WriterOptions,
    /// The name of the new archive; the old one then stays.
    pub target: Option<String>,
    /// Another comment.
    pub comment: Option<String>,
    /// Another start time.
    pub timestamp: Option<Timestamp>,
}

impl RecreateOptions {
    /// Whether the tree can become another one.
    fn is_about_tree(&self) -> bool {
        self.leaves_out() || self.chunker.is_some()
    }

    /// Whether files can be left out.
    fn leaves_out(&self) -> bool {
        !self.matcher.takes_everything() || !self.tags.is_empty()
    }

    /// The record with everything but another tree.
    fn record(&self, old: &ArchiveRecord) -> ArchiveRecord {
        let mut record = old.clone();
        record.name = self.target.clone().unwrap_or(record.name);
        record.comment = self.comment.clone().unwrap_or(record.comment);
        record.start = self.timestamp.unwrap_or(record.start);
        record.chunker = self.chunker.map_or(record.chunker, |chunker| chunker.to_string());
        // It has no place in the row of archives that the client of the old one made.
        (record.client, record.heads) = (None, Vec::new());
        record
    }

    /// Whether that is what the record says already.
    fn keeps_record(&self, old: &ArchiveRecord) -> bool {
        let record = ArchiveRecord { client: old.client, heads: old.heads.clone(), ..self.record(old) };
        self.target.is_none() && record == *old
    }
}

/// Makes the archive again and removes the old one last, unless the new one has a name of its own. Returns nothing if
/// there is nothing to change.
///
/// Where nothing is left out and nothing cut, the tree is taken over as it is.
///
/// # Errors
/// `InvalidInput` if files of a protected archive would be left out, `ArchiveNotFound` if the old archive is removed
/// meanwhile, and whatever can not be read: then the old archive stays.
pub fn recreate(
    repository: &Repository,
    old: &Archive,
    options: &RecreateOptions,
    remover: &Remover,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<Option<Archive>> {
    if options.target.is_none() {
        repository.permissions().require_all("recreate archive")?;
        repository.probe_delete()?;
    }
    let record = options.record(&old.record);
    check_archive_name(&record.name)?;
    if !options.is_about_tree() {
        if options.keeps_record(&old.record) {
            return Ok(None);
        }
        let made = match options.target {
            Some(_) => republish::copy(repository, old, &record, clock, monitor)?,
            None => republish::replace(repository, old, &record, remover, clock, monitor)?,
        };
        return Ok(Some(made));
    }
    if is_protected(&old.record) && options.target.is_none() {
        return Err(Error::new(ErrorKind::InvalidInput, "recreate archive")
            .with("reason", "it is protected by the tag @PROT")
            .with("archive", &old.record.name)
            .with("id", old.id));
    }
    let mut attempts = 1;
    let made = loop {
        match attempt(repository, old, &record, options, clock, monitor) {
            Err(error) if error.kind() == ErrorKind::Overtaken && attempts < ATTEMPTS_MAX => {
                monitor.counters().reset();
                attempts += 1;
            }
            done => break done?,
        }
    };
    if made.is_some() && options.target.is_none() {
        remove(repository, &old.id, Some(&old.record), remover, clock)?;
    }
    Ok(made)
}

/// Tells what [`recreate`] would leave out, to the monitor, and how much would be left: files and bytes.
pub fn preview(
    repository: &Repository,
    old: &Archive,
    options: &RecreateOptions,
    monitor: &dyn Monitor,
) -> Result<(u64, u64)> {
    let (reader, namer) = (repository.session()?.reader(), repository.namer());
    let mut rewriter = Rewriter {
        reader: &reader,
        foreign: false,
        sink: &namer,
        carry: Carry::Keep,
        cut_key: CutKey::new(repository.cut_key()?),
        matcher: &options.matcher,
        tags: &options.tags,
        monitor,
    };
    let (root, _) = rewriter.run(&old.record.root, None)?;
    Ok((root.files, root.bytes))
}

fn attempt(
    repository: &Repository,
    old: &Archive,
    record: &ArchiveRecord,
    options: &RecreateOptions,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<Option<Archive>> {
    let base = BaseRef { archive: Some(old.id), root: old.record.root, stat_root: old.record.stat_root };
    let run = Run::begin(repository, Some(base), &options.writer, clock, monitor)?;
    let live = is_live(repository, &old.id).and_then(|live| match live {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::ArchiveNotFound, "recreate archive").with("archive", old.id)),
    });
    let tree = match live.and_then(|()| rewrite(repository, old, options, &run, monitor)) {
        Ok(tree) => tree,
        Err(error) if run.writer.is_poisoned() => return Err(error),
        Err(error) => {
            run.writer.renounce()?;
            return Err(error);
        }
    };
    if tree.0 == old.record.root && options.keeps_record(&old.record) {
        run.writer.renounce()?;
        return Ok(None);
    }
    let mut record = record.clone();
    if tree.0 != old.record.root && options.leaves_out() {
        record.extensions = ArchiveRecord::leaving_out(record.extensions, LeftOut::Unknown);
    }
    let (id, record) = run.commit(record, tree)?;
    Ok(Some(Archive { id, record }))
}

fn rewrite(
    repository: &Repository,
    old: &Archive,
    options: &RecreateOptions,
    run: &Run<'_>,
    monitor: &dyn Monitor,
) -> Result<(DirectoryRef, StatRef)> {
    let (reader, cut_key) = (run.writer.reader(), CutKey::new(repository.cut_key()?));
    let chunker = chunker(repository, options.chunker.as_ref())?;
    let mut published = 0;
    let mut between = || run.checkpoint_if_due(&mut published);
    let carry = match &chunker {
        None => Carry::Keep,
        Some(chunker) => Carry::Cut(Cut {
            writer: &run.writer,
            cutter: Cutter::new(chunker, &cut_key),
            known: HashMap::new(),
            between: &mut between,
        }),
    };
    let mut rewriter = Rewriter {
        reader: &reader,
        foreign: false,
        sink: &run.writer,
        carry,
        cut_key: cut_key.clone(),
        matcher: &options.matcher,
        tags: &options.tags,
        monitor,
    };
    rewriter.run(&old.record.root, old.record.stat_root.as_ref())
}

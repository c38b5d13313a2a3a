//! Copies archives from one repository into another.
//!
//! Only what the other one lacks is stored there. If both are related (they name chunks by the same keys), that shows
//! before a chunk is read; otherwise every chunk is read once, and once per archive if content is cut anew. Nothing is
//! changed in the source.

use std::collections::HashMap;

use super::create::content::ContentReader as Cutter;
use super::rewrite::{ATTEMPTS_MAX, Carry, Copied, Cut, Rewriter, Run, TagRules, chunker};
use crate::archive::catalog::{Archive, Catalog};
use crate::archive::content::DirectoryRef;
use crate::archive::cut::CutKey;
use crate::archive::record::ArchiveRecord;
use crate::archive::stat::StatRef;
use crate::chunker::ChunkerParams;
use crate::clock::Clock;
use crate::error::{ErrorKind, Result};
use crate::id::ChunkId;
use crate::monitor::{Counters, Monitor};
use crate::pattern::Matcher;
use crate::repository::{Reader, Repository, WriterOptions};

/// How archives are written into the other repository.
#[derive(Clone, Debug, Default)]
pub struct TransferOptions {
    /// Cut all content anew.
    pub chunker: Option<ChunkerParams>,
    /// How what is new is written.
    pub writer: WriterOptions,
}

/// A transfer that goes on from archive to archive.
pub struct Transfer<'a> {
    source: Repository,
    reader: Reader,
    target: &'a Repository,
    options: &'a TransferOptions,
    /// What chunks of the source are called in the target.
    names: HashMap<ChunkId, ChunkId>,
}

/// The copy of an archive that a catalog already has: one with the same name, times, host and user.
///
/// Comment and tags do not count, for people change them. An archive that was renamed is another one.
pub fn already_there<'a>(catalog: &'a Catalog, record: &ArchiveRecord) -> Option<&'a Archive> {
    let identity = |of: &ArchiveRecord| (of.name.clone(), of.start, of.end, of.host.clone(), of.user.clone());
    let wanted = identity(record);
    catalog.archives.iter().find(|archive| identity(&archive.record) == wanted)
}

impl<'a> Transfer<'a> {
    /// Looks at the source.
    pub fn new(source: &Repository, target: &'a Repository, options: &'a TransferOptions) -> Result<Self> {
        let reader = source.session()?.reader();
        Ok(Self { source: source.clone(), reader, target, options, names: HashMap::new() })
    }

    /// Copies one archive, under a new id. Everything else of its record stays, but for what only the source knows: its
    /// base, and the archives before it.
    ///
    /// # Errors
    /// Whatever can not be read or stored; then the target has no part of the archive.
    pub fn copy(&mut self, archive: &Archive, clock: &dyn Clock, monitor: &dyn Monitor) -> Result<Archive> {
        let mut attempts = 1;
        loop {
            match self.attempt(archive, clock, monitor) {
                Err(error) if error.kind() == ErrorKind::Overtaken && attempts < ATTEMPTS_MAX => {
                    monitor.counters().reset();
                    attempts += 1;
                }
                done => return done,
            }
        }
    }

    fn attempt(&mut self, archive: &Archive, clock: &dyn Clock, monitor: &dyn Monitor) -> Result<Archive> {
        Counters::set(&monitor.counters().files_expected, archive.record.root.files);
        Counters::set(&monitor.counters().bytes_expected, archive.record.root.bytes);
        let run = Run::begin(self.target, None, &self.options.writer, clock, monitor)?;
        let tree = match self.rewrite(archive, &run, monitor) {
            Ok(tree) => tree,
            Err(error) if run.writer.is_poisoned() => return Err(error),
            Err(error) => {
                run.writer.renounce()?;
                return Err(error);
            }
        };
        run.writer.settle()?;
        let totals = run.writer.totals();
        let mut record = archive.record.clone();
        (record.base, record.client, record.heads) = (None, None, Vec::new());
        (record.statistics.new_bytes, record.statistics.stored_bytes) = (totals.new_bytes, totals.stored_bytes);
        record.chunker = self.options.chunker.map_or(record.chunker, |chunker| chunker.to_string());
        let (id, record) = run.commit(record, tree)?;
        Ok(Archive { id, record })
    }

    fn rewrite(&mut self, archive: &Archive, run: &Run<'_>, monitor: &dyn Monitor) -> Result<(DirectoryRef, StatRef)> {
        let cut_key = CutKey::new(self.target.cut_key()?);
        let chunker = chunker(self.target, self.options.chunker.as_ref())?;
        let mut published = 0;
        let mut between = || run.checkpoint_if_due(&mut published);
        let carry = match &chunker {
            None => Carry::Copy(Copied {
                writer: &run.writer,
                cut_key: cut_key.clone(),
                same_ids: self.target.names_chunks_as(&self.source)?,
                names: &mut self.names,
                between: &mut between,
            }),
            Some(chunker) => Carry::Cut(Cut {
                writer: &run.writer,
                cutter: Cutter::new(chunker, &cut_key),
                known: HashMap::new(),
                between: &mut between,
            }),
        };
        let (matcher, tags) = (Matcher::new(), TagRules::default());
        let mut rewriter = Rewriter {
            reader: &self.reader,
            foreign: true,
            sink: &run.writer,
            carry,
            cut_key: cut_key.clone(),
            matcher: &matcher,
            tags: &tags,
            monitor,
        };
        rewriter.run(&archive.record.root, archive.record.stat_root.as_ref())
    }
}

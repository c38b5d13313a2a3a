//! Takes over the archives of a repository of Borg 1.x.
//!
//! Each becomes an archive of its own, with its name, times, machine, user, comment and command line. Content is cut anew, so that the
//! next backup of the same files finds it; what two archives share is read once. Nothing is written to the old
//! repository. What is damaged there is named and left out, the rest comes over.

mod item;
mod memo;

use std::collections::BTreeSet;

use item::Import;
use memo::Memo;

use super::publish::publish;
use crate::archive::assembly::Assembly;
use crate::archive::catalog::Catalog;
use crate::archive::cut::CutKey;
use crate::archive::metadata::Metadata;
use crate::archive::record::{ArchiveRecord, PendingRecord, Statistics, TopDirectory};
use crate::archive::stat::StatRef;
use crate::archive::{attributes::AttributesRef, content::DirectoryRef};
use crate::borg1::{Borg1Archive, Borg1ArchiveName, Borg1Repository};
use crate::chunker::{Chunker, ChunkerParams};
use crate::clock::{Clock, Timestamp};
use crate::codec::Extensions;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{ArchiveId, ChunkId};
use crate::limits::{CHECKPOINT_BYTES, COMMENT_BYTES_MAX, LABEL_BYTES_MAX};
use crate::monitor::{Event, Monitor, Warning};
use crate::repository::{Repository, Writer, WriterOptions};

/// How often an archive is begun again because a collector was faster.
const ATTEMPTS_MAX: u32 = 5;

/// How archives are taken over.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// How content is cut into chunks.
    pub chunker: ChunkerParams,
    /// How chunks are written.
    pub writer: WriterOptions,
}

/// What became of an archive.
#[derive(Clone, Debug, PartialEq)]
pub enum Imported {
    /// It was taken over. `record.statistics.errors` counts the items that were left out.
    New {
        /// The new archive's id.
        id: ArchiveId,
        /// What it says of itself.
        record: Box<ArchiveRecord>,
    },
    /// An archive of the same name, start, machine and user is there already.
    Known,
}

/// Takes archives over, one after the other.
#[derive(Debug)]
pub struct Importer<'a> {
    repository: &'a Repository,
    source: &'a Borg1Repository,
    options: &'a ImportOptions,
    known: BTreeSet<(String, Timestamp, String, String)>,
    memo: Memo,
}

impl<'a> Importer<'a> {
    /// Prepares for taking archives of `source` over into `repository`.
    pub fn new(repository: &'a Repository, source: &'a Borg1Repository, options: &'a ImportOptions) -> Result<Self> {
        let catalog = Catalog::load(repository)?;
        let known = catalog.archives.into_iter().map(|archive| {
            let record = archive.record;
            (record.name, record.start, record.host, record.user)
        });
        Ok(Self { repository, source, options, known: known.collect(), memo: Memo::default() })
    }

    /// Takes one archive over.
    ///
    /// Errors: `Damaged` or `NotFound` if nothing can be read of it; those of writing. What concerns single items, or
    /// the archive as a whole without keeping it from being read, is told to the monitor.
    pub fn import(&mut self, name: &Borg1ArchiveName, clock: &dyn Clock, monitor: &dyn Monitor) -> Result<Imported> {
        let mut doubts = Vec::new();
        let archive = self.source.archive(name, &mut doubts)?;
        let draft = draft(&archive, &self.options.chunker);
        let key = (draft.name.clone(), draft.start, draft.host.clone(), draft.user.clone());
        if self.known.contains(&key) {
            return Ok(Imported::Known);
        }
        draft.encode()?;
        doubts.iter().for_each(|error| warn(monitor, b"", error));
        for attempt in 1.. {
            match self.attempt(&archive, draft.clone(), clock, monitor) {
                Err(error) if error.kind() == ErrorKind::Overtaken && attempt < ATTEMPTS_MAX => {}
                Err(error) => return Err(error),
                Ok((id, record)) => {
                    self.known.insert(key);
                    return Ok(Imported::New { id, record: Box::new(record) });
                }
            }
        }
        Err(Error::new(ErrorKind::Overtaken, "import archive"))
    }

    fn attempt(
        &mut self,
        archive: &Borg1Archive,
        mut record: ArchiveRecord,
        clock: &dyn Clock,
        monitor: &dyn Monitor,
    ) -> Result<(ArchiveId, ArchiveRecord)> {
        let writer = self.repository.session()?.into_writer(&self.options.writer)?;
        let started = clock.now();
        let pending = |record: Option<ArchiveRecord>| {
            let complete = record.is_some();
            PendingRecord { started, base: None, record, complete, extensions: Extensions::none() }.encode()
        };
        writer.announce(&pending(None)?)?;
        let chunker = Chunker::new(&self.options.chunker, self.repository.chunker_key()?);
        let cut_key = CutKey::new(self.repository.cut_key()?);
        let checkpoint = |writer: &Writer| writer.checkpoint(&pending(None)?);
        let link_key = self.repository.hard_link_key()?;
        let mut import = Import::new(self.source, &writer, monitor, &mut self.memo, (&chunker, &cut_key), link_key);
        let mut next_checkpoint = CHECKPOINT_BYTES;
        for item in self.source.items(archive) {
            monitor.stop_if_asked("import archive")?;
            import.take(item)?;
            if writer.totals().new_bytes >= next_checkpoint {
                checkpoint(&writer)?;
                next_checkpoint = writer.totals().new_bytes + CHECKPOINT_BYTES;
            }
        }
        let (assembly, statistics) = import.finish();
        (record.root, record.stat_root) = build(assembly, &mut record.top, &cut_key, &writer)?;
        writer.settle()?;
        let totals = writer.totals();
        record.statistics = Statistics { new_bytes: totals.new_bytes, stored_bytes: totals.stored_bytes, ..statistics };
        let complete = pending(Some(record.clone()))?;
        let (id, untidy) = publish(writer, Some(complete), &record, clock)?;
        if let Some(error) = untidy {
            warn(monitor, b"", &error);
        }
        Ok((id, record))
    }
}

fn build(
    assembly: Assembly,
    top: &mut Option<TopDirectory>,
    cut_key: &CutKey,
    writer: &Writer,
) -> Result<(DirectoryRef, Option<StatRef>)> {
    *top = assembly.top().and_then(|(metadata, attributes)| match attributes {
        AttributesRef::None => Some(TopDirectory { metadata: metadata.clone(), attributes: Default::default() }),
        AttributesRef::Inline(attributes) => {
            Some(TopDirectory { metadata: metadata.clone(), attributes: attributes.clone() })
        }
        AttributesRef::Chunk(_) => None,
    });
    let (root, stat_root) = assembly.finish(cut_key, &Metadata::of_directory(Timestamp::new(0, 0)), writer)?;
    Ok((root, Some(stat_root)))
}

/// What is recorded of the archive, but for its tree. Texts are cut to what fits.
fn draft(archive: &Borg1Archive, chunker: &ChunkerParams) -> ArchiveRecord {
    let root = DirectoryRef { root: ChunkId::from_bytes([0; 32]), depth: 0, entries: 0, files: 0, bytes: 0 };
    ArchiveRecord {
        name: archive.name.clone(),
        start: archive.start,
        end: archive.end,
        host: cut(&archive.host, LABEL_BYTES_MAX),
        user: cut(&archive.user, LABEL_BYTES_MAX),
        command_line: archive.command_line.clone(),
        comment: cut(&archive.comment, COMMENT_BYTES_MAX),
        tags: BTreeSet::new(),
        root,
        stat_root: None,
        top: None,
        working_directory: archive.working_directory.clone().filter(|path| path.len() <= 4096).map(Into::into),
        paths: Vec::new(),
        base: None,
        statistics: Statistics::default(),
        chunker: chunker.to_string(),
        client: None,
        heads: Vec::new(),
        extensions: Extensions::none(),
    }
}

/// The longest start of a text that has at most so many bytes.
fn cut(text: &str, bytes: usize) -> String {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

fn warn(monitor: &dyn Monitor, path: &[u8], error: &Error) {
    let warning = if path.is_empty() { Warning::Repository } else { Warning::Item };
    monitor.event(&Event::Warning { warning, path, error });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("Grüße", 3), "Gr");
        assert_eq!(cut("Grüße", 4), "Grü");
        assert_eq!(cut("abc", 255), "abc");
    }
}

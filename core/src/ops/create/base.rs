//! The base archive: what the last backup of this series knew, so that unchanged
//! files cost one look at their metadata.

use bytes::Bytes;

use crate::archive::attributes::{AttributesRead, AttributesRef};
use crate::archive::catalog::{Archive, Catalog};
use crate::archive::content::DirectoryRef;
use crate::archive::entry::Entry;
use crate::archive::record::{ArchiveRecord, BaseRef, PendingRecord};
use crate::archive::stat::{StatRef, StatRow};
use crate::archive::tree::DirectoryReader;
use crate::archive::{Content, ContentItem, ContentReader};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::stat::Stat;
use crate::id::{ArchiveId, ChunkId};
use crate::repository::{ChunkSource, Reader, Repository, Writer};
use crate::segment::Class;

/// Which differences make a file be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compare {
    /// The time of change.
    pub changed: bool,
    /// The time of modification.
    pub modified: bool,
    /// The size.
    pub size: bool,
    /// The inode number.
    pub inode: bool,
    /// Every file is read, whatever the base says.
    pub always_read: bool,
}

impl Default for Compare {
    /// Change time, size and inode, as Borg does; a change of the modification time changes the change time too.
    fn default() -> Self {
        Self { changed: true, modified: true, size: true, inode: true, always_read: false }
    }
}

/// Time a file system clock may lag: a file that changed this shortly before it was read may
/// change again without a new time stamp.
const TICK_NANOSECONDS: i128 = 20_000_000;
/// The same for file systems that keep whole (or even) seconds only.
const COARSE_TICK_NANOSECONDS: i128 = 2_000_000_000;

/// A tree to compare with.
#[derive(Clone, Debug)]
pub struct Base {
    /// What the first pending says of it.
    pub reference: BaseRef,
    /// Which attributes its entries have, if it says so.
    pub attributes: Option<AttributesRead>,
}

/// What an archiver asks before it reads a file.
#[derive(Clone, Copy)]
pub(super) struct Unchanged<'a> {
    /// Reads the base.
    pub reader: &'a Reader,
    /// The tree to compare with.
    pub base: Option<&'a Base>,
    /// Data may be missing: take nothing over from the base without looking each chunk up.
    pub doubt: bool,
    /// When this run began, by the clock of this machine and not by what the archive says of itself.
    pub began: Timestamp,
}

impl Unchanged<'_> {
    /// Whether a file that was `changed` at this time may change, while or just after it is read, without a new time
    /// stamp. The next run must not rely on it.
    pub fn is_racy(&self, changed: &Timestamp) -> bool {
        let nanoseconds = |time: &Timestamp| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds);
        let tick = if changed.nanoseconds == 0 { COARSE_TICK_NANOSECONDS } else { TICK_NANOSECONDS };
        nanoseconds(changed) + tick >= nanoseconds(&self.began)
    }
}

impl Base {
    /// The newest of: an interrupted backup of this series, the last archive of this series. Failing
    /// both, the newest archive of this host.
    pub fn find(repository: &Repository, catalog: &Catalog, name: &str, host: &str) -> Result<Option<Self>> {
        // An interrupted first run knows more files than an archive of another series; an interrupted
        // later run knows only a part, so the last archive of the series serves better unless there is none.
        if let Some(archive) = catalog.series(name).next_back() {
            return Ok(Some(Self::of_archive(archive)));
        }
        let same_host = || catalog.archives.iter().rev().find(|archive| archive.record.host == host);
        Ok(Self::interrupted(repository, name, host)?.or_else(|| same_host().map(Self::of_archive)))
    }

    fn of_archive(archive: &Archive) -> Self {
        Self::of(Some(archive.id), &archive.record)
    }

    fn of(archive: Option<ArchiveId>, record: &ArchiveRecord) -> Self {
        let reference = BaseRef { archive, root: record.root, stat_root: record.stat_root };
        Self { reference, attributes: AttributesRead::of(&record.extensions) }
    }

    fn interrupted(repository: &Repository, name: &str, host: &str) -> Result<Option<Self>> {
        let records = PendingRecord::read_all(repository)?.filter_map(|(_, pending)| pending.ok()?.record);
        let newest = records
            .filter(|record| record.name == name && record.host == host)
            .max_by_key(|record| (record.end, record.root.files));
        Ok(newest.map(|record| Self::of(None, &record)))
    }

    /// Whether `entry` and its `row` describe the file that now has this `stat`.
    pub fn is_unchanged(compare: &Compare, entry: &Entry, row: &StatRow, stat: &Stat) -> bool {
        let StatRow::File { inode, changed } = row else { return false };
        let same_type = stat.file_type.stored() == Some(entry.file_type);
        same_type
            && !compare.always_read
            && (!compare.changed || *changed == stat.changed)
            && (!compare.modified || entry.metadata.modified == stat.modified)
            && (!compare.size || entry.size == stat.size)
            && (!compare.inode || *inode == stat.inode)
    }
}

/// A directory of the base, read along with the directory of the source.
pub(super) struct BaseDirectory<'a> {
    entries: DirectoryReader<'a>,
    next: Option<(Entry, Option<StatRow>)>,
}

impl<'a> BaseDirectory<'a> {
    pub fn open(reader: &'a Reader, directory: &DirectoryRef, stat: Option<&StatRef>) -> Option<Self> {
        let mut opened = Self { entries: DirectoryReader::open(reader, directory, stat), next: None };
        opened.advance();
        Some(opened)
    }

    /// What can not be read is not there: then files are read again, which heals.
    fn advance(&mut self) {
        self.next = self.entries.next().and_then(Result::ok);
    }

    /// The entry `name`, which must come after all names asked for before.
    pub fn take(&mut self, name: &[u8]) -> Option<(Entry, StatRow)> {
        while self.next.as_ref().is_some_and(|(entry, _)| entry.name.as_slice() < name) {
            self.advance();
        }
        if self.next.as_ref().is_none_or(|(entry, _)| entry.name != name) {
            return None;
        }
        let found = self.next.take().map(|(entry, row)| (entry, row.unwrap_or_default()));
        self.advance();
        found
    }
}

/// Whether everything an entry refers to is still stored. Asked only when data may be missing.
pub(in crate::ops) fn is_whole(entry: &Entry, reader: &Reader, writer: &Writer) -> bool {
    if let AttributesRef::Chunk(id) = &entry.attributes
        && !writer.knows(id)
    {
        return false;
    }
    let known = |item: &ContentItem| match item {
        ContentItem::Chunk { id, .. } => writer.knows(id),
        ContentItem::Hole { .. } => true,
    };
    match &entry.content {
        Content::List(items) => items.iter().all(known),
        Content::Tree(_) => ContentReader::open(&Relying { reader, writer }, &entry.content, entry.size)
            .is_ok_and(|mut items| items.all(|item| item.is_ok_and(|item| known(&item)))),
        _ => true,
    }
}

/// Reads nodes and relies on their segments: the nodes of a long list are part of the new archive too.
struct Relying<'a> {
    reader: &'a Reader,
    writer: &'a Writer,
}

impl ChunkSource for Relying<'_> {
    fn fetch(&self, class: Class, id: &ChunkId) -> Result<Bytes> {
        if self.writer.knows(id) {
            return self.reader.fetch(class, id);
        }
        Err(Error::new(ErrorKind::NotFound, "read chunk").with("chunk", id))
    }
}

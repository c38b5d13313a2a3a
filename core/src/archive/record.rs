//! The root of an archive, finished or in the making.
//!
//! A record names everything else of its archive; it is sealed by the floor
//! below and read back before any tree is. What was decoded keeps every bound
//! given here. Texts may still hold anything printable or not: escape them before a terminal sees them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::clock::Timestamp;
use crate::codec::{self, Extensions};
use crate::error::{Error, ErrorKind, Result, is_finding};
use crate::id::{ArchiveId, ClientId, PendingId};
use crate::limits::{
    ARCHIVE_RECORD_BYTES_MAX, COMMENT_BYTES_MAX, HEADS_MAX, INLINE_ATTRIBUTES_BYTES_MAX, LABEL_BYTES_MAX,
    NAME_BYTES_MAX, RECORD_BYTES_MAX, TAGS_MAX,
};
use crate::repository::Repository;
use crate::seal::Kind;

use super::content::DirectoryRef;
use super::metadata::{Attributes, Metadata};
use super::stat::StatRef;

/// Stands at the end of a command line that was cut. A list of paths that was cut ends with an empty path.
pub const CUT_MARK: &str = "[...]";
/// Bytes of the command line that are cut only where cutting the list of paths is not enough.
const COMMAND_LINE_BYTES_KEPT: usize = 8 * 1024;

/// An archive. Stored as an array of its fields, at most 63 KiB.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveRecord {
    /// Its name: 1 to 255 bytes, no control characters. Archives of a series share one.
    pub name: String,
    /// When it was begun.
    pub start: Timestamp,
    /// When it was complete.
    pub end: Timestamp,
    /// The machine it was made on, at most 255 bytes.
    pub host: String,
    /// Who made it, at most 255 bytes.
    pub user: String,
    /// How the program was called; cut if it is too long.
    pub command_line: Vec<String>,
    /// A note of the user, at most 8 KiB.
    pub comment: String,
    /// Labels, sorted: at most 64 of 1 to 255 bytes, no control characters.
    pub tags: BTreeSet<String>,
    /// The tree.
    pub root: DirectoryRef,
    /// What change detection remembers of the source.
    pub stat_root: Option<StatRef>,
    /// The top directory itself, if it was asked for (`.` or `/`).
    pub top: Option<TopDirectory>,
    /// The directory the paths are relative to, raw bytes, if known.
    pub working_directory: Option<ByteBuf>,
    /// The paths that were asked for, raw bytes, as given; cut if there are too many.
    pub paths: Vec<ByteBuf>,
    /// The archive that unchanged files were taken over from.
    pub base: Option<ArchiveId>,
    /// Totals of the run.
    pub statistics: Statistics,
    /// How files were cut into chunks, as the user writes it, at most 255 bytes.
    pub chunker: String,
    /// Which client made it, and what it made before.
    pub client: Option<ClientMark>,
    /// The newest archive of every client, as far as this one knew; ascending by client, at most 512.
    pub heads: Vec<Head>,
    /// Additions of later versions.
    pub extensions: Extensions,
}

/// Metadata of the directory that has no entry because it is the top. Stored as an array of its fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopDirectory {
    /// Mode, owner and times.
    pub metadata: Metadata,
    /// Extended attributes, at most 1 KiB of names and values.
    pub attributes: Attributes,
}

/// Totals of a run. Stored as an array of its fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Regular files.
    pub files: u64,
    /// Their bytes, holes included.
    pub bytes: u64,
    /// Plaintext bytes of chunks that were new to the repository.
    pub new_bytes: u64,
    /// The same after compression.
    pub stored_bytes: u64,
    /// Items that could not be read.
    pub errors: u64,
}

/// Links the archives of one client, so that a store that was rolled back is noticed. Stored as an array of its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientMark {
    /// The client.
    pub id: ClientId,
    /// Its how manyth archive this is.
    pub sequence: u64,
    /// The one before.
    pub previous: Option<ArchiveId>,
}

/// The newest archive of a client. Stored as an array of its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The client.
    pub client: ClientId,
    /// Its newest archive.
    pub archive: ArchiveId,
    /// The sequence number of that archive.
    pub sequence: u64,
}

/// An archive in the making: protects what it names from collectors. Stored as an array of its fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingRecord {
    /// When the run began.
    pub started: Timestamp,
    /// What unchanged files are taken over from.
    pub base: Option<BaseRef>,
    /// The archive as far as it goes.
    pub record: Option<ArchiveRecord>,
    /// Whether `record` is the whole archive.
    pub complete: bool,
    /// Additions of later versions.
    pub extensions: Extensions,
}

/// The tree that unchanged files are taken over from. Stored as an array of its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseRef {
    /// Its archive; `None` if it was never finished.
    pub archive: Option<ArchiveId>,
    /// The tree.
    pub root: DirectoryRef,
    /// What change detection remembers of it.
    pub stat_root: Option<StatRef>,
}

impl BaseRef {
    /// Whether a tree that was finished is the same, and so is what change detection remembers of it.
    pub fn is(&self, root: &DirectoryRef, stat_root: &StatRef) -> bool {
        self.archive.is_some() && self.root == *root && self.stat_root == Some(*stat_root)
    }
}

/// What is not in an archive although it was there, beside what could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// Nothing.
    Nothing = 0,
    /// What patterns left out, which can be given again.
    ByPatterns = 1,
    /// Other rules left something out, or nobody knows.
    Unknown = 2,
}

impl ArchiveRecord {
    const LISTED: u16 = 4;

    /// Whether the archive has each of its paths alone, of directories not what is in them. Kept as extension 4, which is
    /// empty.
    pub fn is_listed(&self) -> bool {
        self.extensions.get(Self::LISTED).is_some()
    }

    /// Says so in the extensions of a record.
    #[must_use]
    pub fn listed(extensions: Extensions) -> Extensions {
        extensions.with(Self::LISTED, [])
    }

    const LEFT_OUT: u16 = 6;

    /// What was left out of directories when the archive was made. Kept as extension 6, one byte.
    pub fn left_out(&self) -> LeftOut {
        match self.extensions.get(Self::LEFT_OUT) {
            Some([0]) => LeftOut::Nothing,
            Some([1]) => LeftOut::ByPatterns,
            _ => LeftOut::Unknown,
        }
    }

    /// Says so in the extensions of a record.
    #[must_use]
    pub fn leaving_out(extensions: Extensions, what: LeftOut) -> Extensions {
        extensions.with(Self::LEFT_OUT, [what as u8])
    }

    /// The bytes of the record. A command line and a list of paths are cut so that it fits.
    ///
    /// What exceeds a bound of a field is `InvalidInput`; what still does not fit is `LimitExceeded`.
    pub fn encode(&self) -> Result<Vec<u8>> {
        self.check().map_err(invalid)?;
        codec::encode(&self.fitting()?, ARCHIVE_RECORD_BYTES_MAX)
    }

    /// Reads what [`ArchiveRecord::encode`] wrote; refuses everything else.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let record: Self = codec::decode(bytes, ARCHIVE_RECORD_BYTES_MAX)?;
        record.check().map_err(damaged)?;
        record.extensions.check_critical()?;
        Ok(record)
    }

    /// The record with its lists cut to what has room.
    fn fitting(&self) -> Result<Self> {
        let mut record = self.clone();
        let mut excess = codec::encode(self, usize::MAX)?.len().saturating_sub(ARCHIVE_RECORD_BYTES_MAX);
        let mut cut_command = |excess| cut(&mut record.command_line, excess, String::len, CUT_MARK.to_owned());
        let words: usize = self.command_line.iter().map(|word| word.len() + 1).sum();
        // Paths stand in the command line, too: of both the beginning stays.
        let spare = words.saturating_sub(COMMAND_LINE_BYTES_KEPT).min(excess);
        if spare > 0 {
            excess = excess - spare + cut_command(spare);
        }
        if excess > 0 {
            excess = cut(&mut record.paths, excess, |path| path.len(), ByteBuf::new());
        }
        if excess > 0 {
            cut_command(excess);
        }
        Ok(record)
    }

    pub(super) fn check(&self) -> Result<(), &'static str> {
        check_label(&self.name)?;
        self.tags.iter().try_for_each(|tag| check_label(tag))?;
        if [&self.host, &self.user, &self.chunker].into_iter().any(|text| text.len() > LABEL_BYTES_MAX) {
            return Err("host, user or chunker parameters too long");
        }
        if self.comment.len() > COMMENT_BYTES_MAX {
            return Err("comment too long");
        }
        if self.tags.len() > TAGS_MAX {
            return Err("too many tags");
        }
        if self.working_directory.as_ref().is_some_and(|path| path.len() > 4 * NAME_BYTES_MAX) {
            return Err("working directory too long");
        }
        if let Some(top) = &self.top {
            top.metadata.check()?;
            if top.attributes.bytes() > INLINE_ATTRIBUTES_BYTES_MAX {
                return Err("attributes of the top directory too long");
            }
        }
        if self.heads.len() > HEADS_MAX || !self.heads.is_sorted_by(|left, right| left.client < right.client) {
            return Err("heads too many or not in order");
        }
        self.start.check()?;
        self.end.check()?;
        self.root.check()
    }
}

impl PendingRecord {
    /// The bytes of the record, at most 64 KiB.
    pub fn encode(&self) -> Result<Vec<u8>> {
        self.check().map_err(invalid)?;
        let record = self.record.as_ref().map(ArchiveRecord::fitting).transpose()?;
        codec::encode(&Self { record, ..self.clone() }, RECORD_BYTES_MAX)
    }

    /// Reads what [`PendingRecord::encode`] wrote; refuses everything else.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let pending: Self = codec::decode(bytes, RECORD_BYTES_MAX)?;
        pending.check().map_err(damaged)?;
        pending.extensions.check_critical()?;
        pending.record.iter().try_for_each(|record| record.extensions.check_critical())?;
        Ok(pending)
    }

    /// All pendings of a repository. One that does not open or went meanwhile comes as its error.
    pub fn read_all(repository: &Repository) -> Result<impl Iterator<Item = (PendingId, Result<Self>)> + '_> {
        let ids = repository.record_ids(Kind::Pending)?;
        let records = repository.read_records(Kind::Pending, ids, 2 * RECORD_BYTES_MAX);
        let decoded = |plain: Result<Vec<u8>>| plain.and_then(|plain| Self::decode(&plain));
        Ok(records.map(move |(id, plain)| (PendingId::from_bytes(id), decoded(plain))))
    }

    /// Those of them that are there and open.
    ///
    /// # Errors
    /// Those of the store, which say nothing of a pending.
    pub fn read_whole(repository: &Repository) -> Result<Vec<Self>> {
        let told = |(_, pending): (PendingId, Result<Self>)| match pending {
            Err(error) if is_finding(&error) => None,
            pending => Some(pending),
        };
        Self::read_all(repository)?.filter_map(told).collect()
    }

    fn check(&self) -> Result<(), &'static str> {
        self.started.check()?;
        if self.complete && self.record.is_none() {
            return Err("a complete archive without a record");
        }
        if let Some(base) = &self.base {
            base.root.check()?;
        }
        self.record.iter().try_for_each(ArchiveRecord::check)
    }
}

/// Refuses what can not name an archive (or be its tag), as `InvalidInput`.
pub fn check_archive_name(name: &str) -> Result<()> {
    check_label(name).map_err(|what| invalid(what).with("name", name.escape_debug()))
}

fn check_label(text: &str) -> Result<(), &'static str> {
    match text.len() {
        0 => Err("empty name"),
        1..=LABEL_BYTES_MAX if text.chars().any(char::is_control) => Err("name with control characters"),
        1..=LABEL_BYTES_MAX => Ok(()),
        _ => Err("name too long"),
    }
}

fn invalid(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidInput, "encode record").with("reason", what)
}

fn damaged(what: &'static str) -> Error {
    Error::damaged("decode record", what)
}

/// Drops elements from the end until `excess` bytes and room for `mark` are won; returns the bytes still missing.
fn cut<T>(list: &mut Vec<T>, excess: usize, length: impl Fn(&T) -> usize, mark: T) -> usize {
    if list.is_empty() {
        return excess;
    }
    // An element takes its length and one byte at least, the mark its length and at most two.
    let wanted = excess + length(&mark) + 2;
    let mut won = 0;
    while won < wanted
        && let Some(element) = list.pop()
    {
        won += length(&element) + 1;
    }
    list.push(mark);
    wanted.saturating_sub(won)
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;

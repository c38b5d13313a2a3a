//! Which archives a repository holds: `archives/*` without those in `removed/*`.

use super::record::ArchiveRecord;
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::id::ArchiveId;
use crate::limits::RECORD_BYTES_MAX;
use crate::repository::Repository;
use crate::seal::Kind;

/// An archive and its name in the store.
#[derive(Clone, Debug, PartialEq)]
pub struct Archive {
    /// Its id.
    pub id: ArchiveId,
    /// What it says of itself.
    pub record: ArchiveRecord,
}

/// All live archives, and the records that could not be read.
#[derive(Debug, Default)]
pub struct Catalog {
    /// Archives by start time, then id.
    pub archives: Vec<Archive>,
    /// Ids of records that exist but do not open, and why.
    pub unreadable: Vec<(ArchiveId, Error)>,
}

impl Catalog {
    /// Reads all archive records: a list of each namespace and one get per archive.
    ///
    /// A record that can not be read only at the moment is an error: nobody shall take an archive for damaged, or for
    /// gone, because of a connection.
    pub fn load(repository: &Repository) -> Result<Self> {
        let ids = repository.live_archives()?.iter().map(|id| *id.as_bytes()).collect();
        let mut catalog = Self::default();
        for (id, plain) in repository.read_records(Kind::Archive, ids, RECORD_BYTES_MAX) {
            let id = ArchiveId::from_bytes(id);
            match plain.and_then(|plain| ArchiveRecord::decode(&plain)) {
                Ok(record) => catalog.archives.push(Archive { id, record }),
                // Removed between the list and the get.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) if error.retry() == Retry::Temporary => return Err(error),
                Err(error) => catalog.unreadable.push((id, error)),
            }
        }
        catalog.archives.sort_by_key(|archive| (archive.record.start, archive.id));
        Ok(catalog)
    }

    /// The archives of one series (that share a name), oldest first.
    pub fn series<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a Archive> + 'a {
        self.archives.iter().filter(move |archive| archive.record.name == name)
    }
}

/// Whether an archive is listed and not removed.
pub fn is_live(repository: &Repository, id: &ArchiveId) -> Result<bool> {
    Ok(repository.live_archives()?.contains(id))
}

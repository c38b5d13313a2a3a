//! Which archives a repository holds: `archives/*` without those in `removed/*`.

use std::collections::{BTreeMap, BTreeSet};

use super::record::{ArchiveRecord, PendingRecord};
use crate::error::{Error, ErrorKind, Result, is_finding};
use crate::id::ArchiveId;
use crate::limits::RECORD_BYTES_MAX;
use crate::repository::{ArchiveNames, Repository};
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
    /// Archives that were removed.
    pub removed: BTreeSet<ArchiveId>,
}

impl Catalog {
    /// Reads all archive records: a list of each namespace and one get per archive.
    ///
    /// A record that can not be read only at the moment is an error: nobody shall take an archive for damaged, or for
    /// gone, because of a connection.
    pub fn load(repository: &Repository) -> Result<Self> {
        let ArchiveNames { live, removed } = repository.archive_names()?;
        let mut catalog = Self { removed, ..Self::default() };
        let ids = live.iter().map(|id| *id.as_bytes()).collect();
        for (id, plain) in repository.read_records(Kind::Archive, ids, RECORD_BYTES_MAX) {
            let id = ArchiveId::from_bytes(id);
            match plain.and_then(|plain| ArchiveRecord::decode(&plain)) {
                Ok(record) => catalog.archives.push(Archive { id, record }),
                // Removed between the list and the get.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) if !is_finding(&error) => return Err(error),
                Err(error) => catalog.unreadable.push((id, error)),
            }
        }
        catalog.archives.sort_by_key(|archive| (archive.record.start, archive.id));
        Ok(catalog)
    }

    /// The live archives, those that can not be read included.
    pub fn ids(&self) -> BTreeSet<ArchiveId> {
        let unreadable = self.unreadable.iter().map(|(id, _)| *id);
        self.archives.iter().map(|archive| archive.id).chain(unreadable).collect()
    }

    /// Archives that were not finished, as far as their clients published them: of each run the last state.
    ///
    /// Their ids are those of the pending records. What can not be read is left out.
    pub fn unfinished(repository: &Repository) -> Result<Vec<Archive>> {
        let mut runs = BTreeMap::<_, Archive>::new();
        for (id, pending) in PendingRecord::read_all(repository)? {
            let Ok(PendingRecord { record: Some(record), started, .. }) = pending else { continue };
            let run = (started, record.name.clone(), record.host.clone());
            let archive = Archive { id: ArchiveId::from_bytes(*id.as_bytes()), record };
            let newer = runs.get(&run).is_none_or(|known| known.record.end <= archive.record.end);
            if newer {
                runs.insert(run, archive);
            }
        }
        Ok(runs.into_values().collect())
    }

    /// The archives of one series (that share a name), oldest first.
    pub fn series<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a Archive> + 'a {
        self.archives.iter().filter(move |archive| archive.record.name == name)
    }
}

/// Whether an archive that was there has not been removed since: who removes one says so before it goes.
pub fn is_live(repository: &Repository, id: &ArchiveId) -> Result<bool> {
    Ok(!repository.removed_archives()?.contains(id))
}

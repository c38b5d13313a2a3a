//! Where everything that is needed hangs from: the live archives, and what clients announced.

use std::collections::{BTreeMap, BTreeSet};

use crate::archive::content::DirectoryRef;
use crate::archive::history::History;
use crate::archive::record::{ArchiveRecord, PendingRecord};
use crate::archive::stat::StatRef;
use crate::clock::{Clock, Timestamp};
use crate::error::{Error, ErrorKind, Result, is_finding};
use crate::id::{ArchiveId, PendingId, write_hex};
use crate::limits::RECORD_BYTES_MAX;
use crate::monitor::Monitor;
use crate::repository::{ArchiveNames, Repository};
use crate::seal::Kind;

/// The roots that one look found.
#[derive(Debug, Default)]
pub(super) struct Roots {
    /// Live archives.
    pub archives: BTreeMap<ArchiveId, ArchiveRecord>,
    /// Archives in the making, and what interrupted clients left.
    pub pendings: BTreeMap<PendingId, PendingRecord>,
    /// Records that exist and do not open, by their ids in hexadecimal form.
    pub unreadable: Vec<(String, Error)>,
    /// Archives that are gone although nobody removed them.
    pub lost: BTreeSet<ArchiveId>,
    /// All archives that were listed, and all that were removed.
    names: ArchiveNames,
}

/// A tree, and who needs it.
#[derive(Debug)]
pub(super) struct Root {
    /// The archive or pending, in hexadecimal form.
    pub owner: String,
    /// Whether it is a live archive: of those everything must be there.
    pub live: bool,
    /// The tree.
    pub tree: DirectoryRef,
    /// What change detection remembers of it; may be missing.
    pub stat: Option<StatRef>,
}

impl Roots {
    /// Looks at archives, pendings, and archives again: with fewer looks a client that commits in between
    /// would be seen in neither, or a base that goes. Between looks passes twice the time by which a list may lag:
    /// this list may be as old as that, and so may the one by which a client found its base live.
    pub fn look(repository: &Repository, clock: &dyn Clock, monitor: &dyn Monitor) -> Result<Self> {
        let lag = repository.list_staleness();
        let mut roots = Self::default();
        roots.look_at_archives(repository)?;
        clock.wait(lag * 2);
        roots.look_at_pendings(repository)?;
        clock.wait(lag * 2);
        roots.look_at_archives(repository)?;
        let records: Vec<&ArchiveRecord> = roots.archives.values().collect();
        roots.lost = History::of(repository).lost(&roots.names, &records, &|| clock.wait(lag * 2), monitor)?;
        Ok(roots)
    }

    /// Whether there is nothing at all, and never was, as far as can be seen.
    pub fn are_none(&self) -> bool {
        let ArchiveNames { live, removed } = &self.names;
        live.is_empty() && removed.is_empty() && self.pendings.is_empty() && self.unreadable.is_empty()
    }

    fn look_at_archives(&mut self, repository: &Repository) -> Result<()> {
        let ArchiveNames { live, removed } = repository.archive_names()?;
        let new = live.iter().filter(|id| !self.archives.contains_key(id));
        let ids = new.map(|id| *id.as_bytes()).collect();
        self.names.live.extend(live);
        self.names.removed.extend(removed);
        for (id, plain) in repository.read_records(Kind::Archive, ids, RECORD_BYTES_MAX) {
            if let Some(record) = self.take(&id, plain.and_then(|plain| ArchiveRecord::decode(&plain)))? {
                self.archives.insert(ArchiveId::from_bytes(id), record);
            }
        }
        Ok(())
    }

    fn look_at_pendings(&mut self, repository: &Repository) -> Result<()> {
        for (id, record) in PendingRecord::read_all(repository)? {
            if let Some(record) = self.take(id.as_bytes(), record)? {
                self.pendings.insert(id, record);
            }
        }
        Ok(())
    }

    /// The record, if it can be read. One that went meanwhile needs nothing any more.
    fn take<T>(&mut self, id: &[u8; 16], record: Result<T>) -> Result<Option<T>> {
        match record {
            Ok(record) => Ok(Some(record)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) if !is_finding(&error) => Err(error),
            Err(error) => {
                let id = hex(id);
                if self.unreadable.iter().all(|(known, _)| *known != id) {
                    self.unreadable.push((id, error));
                }
                Ok(None)
            }
        }
    }

    /// The trees of all of them, live archives first.
    pub fn trees(&self) -> Vec<Root> {
        let mut trees = Vec::new();
        for (id, record) in &self.archives {
            trees.push(Root { owner: id.to_string(), live: true, tree: record.root, stat: record.stat_root });
        }
        for (id, pending) in &self.pendings {
            let own = pending.record.as_ref().map(|record| (record.root, record.stat_root));
            let base = pending.base.as_ref().map(|base| (base.root, base.stat_root));
            for (tree, stat) in own.into_iter().chain(base) {
                trees.push(Root { owner: id.to_string(), live: false, tree, stat });
            }
        }
        trees
    }

    /// Pendings whose archive exists: their clients are done, or died after it was put.
    ///
    /// The first pending of a run names no record and can not be told; it goes when its client is given up
    /// ([`Roots::pendings_before`]).
    pub fn pendings_of_archives(&self) -> Vec<PendingId> {
        let done = |pending: &PendingRecord| {
            let record = pending.record.as_ref().filter(|_| pending.complete);
            record.is_some_and(|record| self.archives.values().any(|archive| archive == record))
        };
        self.pendings.iter().filter(|(_, pending)| done(pending)).map(|(id, _)| *id).collect()
    }

    /// Pendings that began before `limit`, by the clock of their clients: these are taken for dead.
    pub fn pendings_before(&self, limit: Timestamp) -> Vec<PendingId> {
        self.pendings.iter().filter(|(_, pending)| pending.started < limit).map(|(id, _)| *id).collect()
    }
}

fn hex(id: &[u8; 16]) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write_hex(&mut text, id);
    text
}

//! What a client remembers of a repository's past, so that a store that forgets, or goes back, is noticed.
//!
//! Each record is authentic, the *set* of records is not: a store may show last week's. So every archive names the
//! client that made it, how manyth of that client it is, and the newest archives of the other clients; and a client
//! keeps, in the state its embedder hands in (`history-<id>`), which archives it saw. An archive that somebody named
//! or saw is there or was removed, and removing leaves a record. What does not fit is told once, and is never a
//! reason to fail: a backup now is worth more than none.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::catalog::Catalog;
use super::record::{ArchiveRecord, ClientMark, Head};
use crate::codec;
use crate::crypto::random;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{ArchiveId, ClientId};
use crate::limits::LOCAL_MEMORY_BYTES_MAX;
use crate::monitor::{Event, Monitor, Warning};
use crate::repository::{ArchiveNames, Repository};

/// Clients whose newest archive a new record names: those that were active last. The format allows more.
const HEADS_NAMED: usize = 32;
/// Archives a message names.
const NAMED_IN_MESSAGE: usize = 5;

/// What is remembered.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Memory {
    /// This client.
    client: ClientId,
    /// The number of its newest archive, or of one it tried to make.
    sequence: u64,
    /// Its newest archive.
    previous: Option<ArchiveId>,
    /// The archives that were live when it looked last.
    live: BTreeSet<ArchiveId>,
    /// Archives of which it told already that they are gone, or that they are a fork.
    told: BTreeSet<ArchiveId>,
}

impl Memory {
    fn new() -> Result<Self> {
        Ok(Self {
            client: ClientId::from_bytes(random::array()?),
            sequence: 0,
            previous: None,
            live: BTreeSet::new(),
            told: BTreeSet::new(),
        })
    }

    fn of(bytes: Option<&[u8]>) -> Result<Self> {
        bytes.map_or_else(Self::new, |bytes| codec::decode(bytes, LOCAL_MEMORY_BYTES_MAX))
    }

    /// The archives that were seen, or that these records name.
    fn known<'r>(&self, records: impl Iterator<Item = &'r ArchiveRecord>) -> BTreeSet<ArchiveId> {
        self.live.iter().copied().chain(self.previous).chain(records.flat_map(named)).collect()
    }
}

/// A repository's past as this client knows it.
#[derive(Debug)]
pub struct History<'a> {
    repository: &'a Repository,
    name: String,
}

impl<'a> History<'a> {
    /// What this client remembers of `repository`.
    pub fn of(repository: &'a Repository) -> Self {
        Self { repository, name: format!("history-{}", repository.id()) }
    }

    /// Compares what is there with what was seen before, tells what does not fit as [`Warning::History`], and remembers
    /// what is there now. What can not be read of the memory is told too: nobody would notice what it was kept for.
    ///
    /// Fails only if the store can not be read.
    pub fn compare(&self, catalog: &Catalog, monitor: &dyn Monitor) -> Result<()> {
        let memory = self.remembered(monitor)?;
        let live = catalog.ids();
        let mut gone = memory.known(catalog.archives.iter().map(|archive| &archive.record));
        gone.retain(|id| !live.contains(id) && !catalog.removed.contains(id) && !memory.told.contains(id));
        // A list is no snapshot: what was removed while it ran may be in neither.
        let gone = self.still_gone(gone)?;
        let forked = forks(catalog, &memory.told);
        let overtaken = newest_of(catalog, &memory.client).is_some_and(|sequence| sequence > memory.sequence);
        report(&gone, &forked, overtaken, &memory.client, monitor);
        // Who can not remember is told again.
        let _ = self.update(&mut |memory| {
            memory.told.extend(gone.iter().chain(&forked));
            memory.told.retain(|id| !catalog.removed.contains(id));
            memory.live.clone_from(&live);
            if overtaken {
                let Memory { client, sequence, previous, .. } = Memory::new()?;
                (memory.client, memory.sequence, memory.previous) = (client, sequence, previous);
            }
            Ok(())
        });
        Ok(())
    }

    /// Archives that were seen, or that one of `records` names, and that are gone although nobody removed them. These
    /// are those that are there now, and are remembered. `wait` passes the time by which a list may lag.
    pub fn lost(
        &self,
        there: &ArchiveNames,
        records: &[&ArchiveRecord],
        wait: &dyn Fn(),
        monitor: &dyn Monitor,
    ) -> Result<BTreeSet<ArchiveId>> {
        let memory = self.remembered(monitor)?;
        let mut gone = memory.known(records.iter().copied());
        gone.extend(memory.told);
        gone.retain(|id| !there.live.contains(id) && !there.removed.contains(id));
        if !gone.is_empty() {
            wait();
        }
        let gone = self.still_gone(gone)?;
        // Who can not remember notices less the next time.
        let _ = self.update(&mut |memory| {
            memory.told.extend(&gone);
            memory.live.clone_from(&there.live);
            Ok(())
        });
        Ok(gone)
    }

    /// Those of these archives that another look does not show either.
    fn still_gone(&self, mut gone: BTreeSet<ArchiveId>) -> Result<BTreeSet<ArchiveId>> {
        if !gone.is_empty() {
            let now = self.repository.archive_names()?;
            gone.retain(|id| !now.removed.contains(id) && !now.live.contains(id));
        }
        Ok(gone)
    }

    /// The mark of the next archive of this client. `None` if it can not be remembered, which is told: a number that is
    /// given twice would look like a fork.
    pub fn next_mark(&self, monitor: &dyn Monitor) -> Option<ClientMark> {
        let mut mark = None;
        let remembered = self.update(&mut |memory| {
            memory.sequence += 1;
            mark = Some(ClientMark { id: memory.client, sequence: memory.sequence, previous: memory.previous });
            Ok(())
        });
        if let Err(why) = &remembered {
            warn(monitor, history("what is there can not be remembered").with("because", why));
        }
        mark.filter(|_| remembered.is_ok())
    }

    /// Remembers an archive that this client made.
    pub fn made(&self, id: ArchiveId) {
        // What can not be remembered is seen when the archives are looked at again.
        let _ = self.update(&mut |memory| {
            memory.previous = Some(id);
            memory.live.insert(id);
            Ok(())
        });
    }

    /// What is remembered; nothing, and that is told, if it can not be read.
    fn remembered(&self, monitor: &dyn Monitor) -> Result<Memory> {
        let memory = self.repository.state().get(&self.name).and_then(|bytes| Memory::of(bytes.as_deref()));
        if let Some(why) = self.repository.unremembered().or(memory.as_ref().err())
            && self.repository.tells_unremembered()
        {
            warn(monitor, history("what was remembered of it can not be read").with("because", why));
        }
        memory.or_else(|_| Memory::new())
    }

    /// What makes no sense is forgotten: then this is a new client.
    fn update(&self, change: &mut dyn FnMut(&mut Memory) -> Result<()>) -> Result<()> {
        self.repository.state().update(&self.name, &mut |bytes| {
            let mut memory = Memory::of(bytes).or_else(|_| Memory::new())?;
            change(&mut memory)?;
            codec::encode(&memory, LOCAL_MEMORY_BYTES_MAX)
        })
    }
}

/// The newest archive of each client that has live archives, as a new record names them: ascending by client.
pub fn heads(catalog: &Catalog) -> Vec<Head> {
    let mut newest = BTreeMap::<ClientId, (Head, usize)>::new();
    for (position, archive) in catalog.archives.iter().enumerate() {
        let Some(mark) = &archive.record.client else { continue };
        let head = Head { client: mark.id, archive: archive.id, sequence: mark.sequence };
        let (known, last) = newest.entry(mark.id).or_insert((head, position));
        if mark.sequence > known.sequence {
            (*known, *last) = (head, position);
        }
    }
    // Archives are sorted by time.
    let mut heads: Vec<(Head, usize)> = newest.into_values().collect();
    heads.sort_by_key(|(_, position)| std::cmp::Reverse(*position));
    heads.truncate(HEADS_NAMED);
    let mut heads: Vec<Head> = heads.into_iter().map(|(head, _)| head).collect();
    heads.sort_by_key(|head| head.client);
    heads
}

/// The archives a record says are, or were, there.
fn named(record: &ArchiveRecord) -> impl Iterator<Item = ArchiveId> + '_ {
    let previous = record.client.and_then(|mark| mark.previous);
    record.heads.iter().map(|head| head.archive).chain(previous)
}

/// Archives that claim to be the same one of the same client, unless that was told.
fn forks(catalog: &Catalog, told: &BTreeSet<ArchiveId>) -> BTreeSet<ArchiveId> {
    let mut claims = BTreeMap::<(ClientId, u64), Vec<ArchiveId>>::new();
    for archive in &catalog.archives {
        if let Some(mark) = &archive.record.client {
            claims.entry((mark.id, mark.sequence)).or_default().push(archive.id);
        }
    }
    let several = claims.into_values().filter(|ids| ids.len() > 1 && !ids.iter().all(|id| told.contains(id)));
    several.flatten().collect()
}

fn newest_of(catalog: &Catalog, client: &ClientId) -> Option<u64> {
    let marks = catalog.archives.iter().filter_map(|archive| archive.record.client);
    marks.filter(|mark| mark.id == *client).map(|mark| mark.sequence).max()
}

fn report(
    gone: &BTreeSet<ArchiveId>,
    forked: &BTreeSet<ArchiveId>,
    overtaken: bool,
    client: &ClientId,
    monitor: &dyn Monitor,
) {
    if !gone.is_empty() {
        warn(monitor, gone_error(gone));
    }
    if !forked.is_empty() {
        let what = "archives of one client claim the same place: its machine, or what it remembers, was cloned";
        warn(monitor, history(what).with("archives", forked.len()).with("ids", shown(forked)));
    }
    if overtaken {
        let what = "there are archives of this client that it does not know of: it was rolled back, or cloned";
        warn(monitor, history(what).with("client", client));
    }
}

/// These archives are gone, and nobody removed them.
pub fn gone_error(gone: &BTreeSet<ArchiveId>) -> Error {
    let what = "archives are gone and nobody removed them: the store was rolled back, or lost them";
    history(what).with("archives", gone.len()).with("ids", shown(gone))
}

fn history(what: &str) -> Error {
    Error::new(ErrorKind::History, "compare with what was seen before").with("what", what)
}

fn warn(monitor: &dyn Monitor, error: Error) {
    monitor.event(&Event::Warning { warning: Warning::History, path: b"", error: &error });
}

fn shown(ids: &BTreeSet<ArchiveId>) -> String {
    let mut text: Vec<String> = ids.iter().take(NAMED_IN_MESSAGE).map(ToString::to_string).collect();
    if ids.len() > NAMED_IN_MESSAGE {
        text.push("...".to_owned());
    }
    text.join(" ")
}

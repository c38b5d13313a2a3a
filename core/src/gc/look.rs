//! What a client has seen of the store, and whether it still holds.

use std::collections::{BTreeMap, BTreeSet};

use super::damage::{Damage, read_damage};
use super::doom::{Doom, read_dooms};
use super::epoch::list_epoch;
use super::records::Found;
use crate::backend::{ObjectMeta, ObjectName, Prefix, Store};
use crate::error::{Error, Result};
use crate::id::SegmentId;
use crate::seal::Sealer;

/// A client's view: the epoch it began with, the segments it may rely on.
///
/// Rule: never rely on a segment whose existence was not observed after reading the
/// epoch it is compared with.
#[derive(Debug)]
pub struct Look {
    epoch: BTreeSet<ObjectName>,
    dooms: Vec<Doom>,
    doomed: BTreeSet<SegmentId>,
    /// With the sizes the list told of those that were listed at the beginning.
    existing: BTreeMap<SegmentId, u64>,
    damage: Vec<Damage>,
    unreadable_dooms: Vec<(ObjectName, Error)>,
    unreadable_damage: Vec<(ObjectName, Error)>,
}

/// What a validation found.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything relied on exists and is not doomed, and nothing was deleted since the last look.
    Holds,
    /// Everything relied on exists and is not doomed, but other segments may have gone: what is not
    /// [`usable`](Look::usable) now must not be relied on later, because the next look compares with the epoch of
    /// this one.
    HoldsWithout,
    /// These segments must not be relied on any more.
    Lost(BTreeSet<SegmentId>),
}

impl Look {
    /// Step B0: reads the epoch, strictly before anything else, then the dooms and what is known of damage.
    ///
    /// The caller reads `index/*` next and then calls [`Look::see_segments`].
    pub fn begin(store: &Store, sealer: &Sealer<'_>) -> Result<Self> {
        let epoch = list_epoch(store)?;
        let (dooms, damage) = store.both(|| read_dooms(store, sealer), || read_damage(store, sealer))?;
        let Found { records: dooms, unreadable: unreadable_dooms } = dooms;
        let Found { records: damage, unreadable: unreadable_damage } = damage;
        let doomed = all_segments(&dooms);
        Ok(Self { epoch, dooms, doomed, existing: BTreeMap::new(), damage, unreadable_dooms, unreadable_damage })
    }

    /// The end of step B1: lists the segments that exist, after the index was read.
    pub fn see_segments(&mut self, store: &Store) -> Result<()> {
        self.existing = list_sizes(store)?;
        Ok(())
    }

    /// Whether a segment may be relied on.
    pub fn usable(&self, id: &SegmentId) -> bool {
        self.existing.contains_key(id) && !self.doomed.contains(id)
    }

    /// The segments that exist and are not doomed.
    pub fn usable_segments(&self) -> impl Iterator<Item = &SegmentId> {
        self.existing.keys().filter(|id| !self.doomed.contains(id))
    }

    /// The dooms that were there.
    pub fn dooms(&self) -> &[Doom] {
        &self.dooms
    }

    /// Whether a doom that opens names a segment.
    pub fn is_doomed(&self, id: &SegmentId) -> bool {
        self.doomed.contains(id)
    }

    /// The segments that are doomed and that exist.
    pub fn doomed_segments(&self) -> impl Iterator<Item = &SegmentId> {
        self.doomed.iter().filter(|id| self.exists(id))
    }

    /// Whether a segment was listed, doomed or not.
    pub fn exists(&self, id: &SegmentId) -> bool {
        self.existing.contains_key(id)
    }

    /// The size of a segment as it was listed. A store may tell what it keeps, which is not the length of the object.
    pub fn listed_bytes(&self, id: &SegmentId) -> Option<u64> {
        self.existing.get(id).copied()
    }

    /// What was recorded of damage, as far as it can be read.
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// Fails as `Damaged`, with the fact `object`, if a doom exists that does not open. What it dooms is unknown, so nobody
    /// may rely on anything.
    pub fn require_dooms(&self, operation: &'static str) -> Result<()> {
        match self.unreadable_dooms.first() {
            Some((name, error)) => Err(Error::damaged(operation, error).with("object", name)),
            None => Ok(()),
        }
    }

    /// Damage records that exist and do not open: something is damaged, and nobody knows what.
    pub fn unreadable_damage(&self) -> &[(ObjectName, Error)] {
        &self.unreadable_damage
    }

    /// Whether segments were doomed or deleted since.
    pub fn has_moved(&self, store: &Store) -> Result<bool> {
        let listed = store.list(&Prefix::of("gc/doom"))?;
        let now: BTreeSet<ObjectName> = listed.into_iter().map(|object| object.name).collect();
        let read = self.dooms.iter().map(|doom| Doom::name(&doom.id));
        let then = read.chain(self.unreadable_dooms.iter().map(|(name, _)| name.clone())).collect();
        let epoch = list_epoch(store)?;
        Ok(now != then || epoch != self.epoch || epoch.is_empty())
    }

    /// Notes a segment this client has put itself.
    pub fn add_own(&mut self, id: SegmentId, bytes: u64) {
        self.existing.insert(id, bytes);
    }

    /// Step B5: first the dooms, then the epoch, then (only if the epoch moved or a
    /// doom concerns us) existence. Two requests in the common case.
    pub fn validate(&mut self, store: &Store, sealer: &Sealer<'_>, relied: &BTreeSet<SegmentId>) -> Result<Verdict> {
        let dooms = read_dooms(store, sealer)?.all()?;
        let doomed = all_segments(&dooms);
        let epoch = list_epoch(store)?;
        // Two lists, each of which ran while a name replaced another one, may both show neither.
        let same = epoch == self.epoch && !epoch.is_empty();
        if relied.is_disjoint(&doomed) && same {
            return Ok(Verdict::Holds);
        }
        let existing = list_sizes(store)?;
        let lost: BTreeSet<SegmentId> =
            relied.iter().filter(|id| doomed.contains(id) || !existing.contains_key(id)).copied().collect();
        self.doomed = doomed;
        self.dooms = dooms;
        self.existing = existing;
        if lost.is_empty() {
            self.epoch = epoch;
            return Ok(Verdict::HoldsWithout);
        }
        Ok(Verdict::Lost(lost))
    }
}

fn all_segments(dooms: &[Doom]) -> BTreeSet<SegmentId> {
    dooms.iter().flat_map(|doom| &doom.record.segments).copied().collect()
}

/// Names that are no segment ids are foreign and skipped.
pub(crate) fn list_segments(store: &Store) -> Result<BTreeSet<SegmentId>> {
    Ok(list_sizes(store)?.into_keys().collect())
}

fn list_sizes(store: &Store) -> Result<BTreeMap<SegmentId, u64>> {
    let listed = store.list(&Prefix::of("segments"))?;
    let segment = |object: &ObjectMeta| Some((object.name.last_part().parse().ok()?, object.bytes));
    Ok(listed.iter().filter_map(segment).collect())
}

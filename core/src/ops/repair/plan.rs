//! What a repair will do: made of what a check saw, and of nothing else.

use std::collections::{BTreeMap, BTreeSet};

use crate::archive::record::ArchiveRecord;
use crate::backend::ObjectName;
use crate::crypto::envelope::Kind;
use crate::gc::{Damage, LostChunk};
use crate::id::{ArchiveId, ChunkId, SegmentId};
use crate::ops::check::{Checked, Spoilt, missing_segments};
use crate::repository::{Named, RemovalName, Session};

/// The steps of a repair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Chunks that archives need and that can not be read. What another repository does not give is recorded.
    pub lost: Vec<LostChunk>,
    /// Those of them that are recorded already.
    pub recorded: BTreeSet<ChunkId>,
    /// Archives that need them.
    pub hurt: BTreeSet<ArchiveId>,
    /// Segments that archives need and no index fragment names: a new one will.
    pub unindexed: BTreeSet<SegmentId>,
    /// Index fragments that do not open: what they said is taken from the segments.
    pub fragments: Vec<ObjectName>,
    /// Segments that are gone: the index forgets them.
    pub gone: BTreeSet<SegmentId>,
    /// Segments that are spoilt: what can be read of them is stored again, and they go.
    pub spoilt: BTreeMap<SegmentId, Spoilt>,
    /// Spoilt segments that a collector has doomed: a copy is kept, the collector deletes them.
    pub doomed: BTreeSet<SegmentId>,
    /// Removal records that do not open: new ones say that these archives are removed.
    pub removals: Vec<(ObjectName, ArchiveId)>,
    /// Objects of the epoch that are damaged: a new epoch begins.
    pub epochs: Vec<ObjectName>,
    /// Pendings, locks and damage records that do not open: they go.
    pub damaged: Vec<ObjectName>,
    /// Damage records whose chunks can all be read again or are needed no more: they go.
    pub discarded: Vec<ObjectName>,
    /// Dooms that do not open. They can go only if no collector works.
    pub dooms: Vec<ObjectName>,
    /// Archives whose records are gone, if they were looked for: those that are complete are put back.
    pub archives: Vec<ArchiveRecord>,
    /// `config` or its copy: what opened the repository is put in their place.
    pub configs: Vec<ObjectName>,
    /// What stays as it is.
    pub left: Vec<(ObjectName, Left)>,
}

/// Why a damaged object stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// A key slot: only who knows its passphrase can make a new one.
    Key,
    /// The record of an archive: it alone says what the archive was called. Its tree may be whole.
    Archive,
}

impl Plan {
    /// What follows from what a check of everything saw.
    ///
    /// `kept` are segments of which a copy is in quarantine.
    pub(super) fn new(session: &Session, checked: &Checked, kept: &BTreeSet<SegmentId>) -> Self {
        let mut plan = Self {
            lost: checked.lost.iter().map(|(id, class)| lost(session, *id, *class)).collect(),
            hurt: checked.hurt.clone(),
            unindexed: checked.unindexed.clone(),
            ..Self::default()
        };
        let recorded = |chunk: &&LostChunk| session.damage().iter().any(|damage| says(damage, chunk));
        plan.recorded = plan.lost.iter().filter(recorded).map(|chunk| chunk.id).collect();
        for (id, spoilt) in &checked.spoilt {
            match session.is_doomed(id) {
                true if kept.contains(id) => {}
                true => drop(plan.doomed.insert(*id)),
                false => drop(plan.spoilt.insert(*id, spoilt.clone())),
            }
        }
        plan.gone = missing_segments(session);
        for name in &checked.damaged {
            plan.object(name);
        }
        let over = |damage: &&Damage| {
            damage.record.segments.iter().all(|segment| !checked.spoilt.contains_key(segment))
                && damage.record.chunks.keys().all(|id| !checked.lost.contains_key(id))
        };
        plan.discarded.extend(session.damage().iter().filter(over).map(|damage| Damage::name(&damage.id)));
        plan
    }

    /// What becomes of a damaged object that is no segment.
    fn object(&mut self, name: &ObjectName) {
        let kind = match Named::of(name) {
            Named::Object(kind, _) => kind,
            Named::Config => return self.configs.push(name.clone()),
            Named::Plain | Named::Foreign => return,
        };
        match kind {
            Kind::Index => self.fragments.push(name.clone()),
            Kind::Pending | Kind::Lock | Kind::Damage => self.damaged.push(name.clone()),
            Kind::Removed => {
                self.removals.extend(RemovalName::of(name).map(|removal| (name.clone(), removal.archive)));
            }
            Kind::Epoch => self.epochs.push(name.clone()),
            Kind::Doom => self.dooms.push(name.clone()),
            Kind::KeySlot => self.left.push((name.clone(), Left::Key)),
            Kind::Archive => self.left.push((name.clone(), Left::Archive)),
            Kind::Config | Kind::Segment => {}
        }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.unrecorded() == 0
            && self.unindexed.is_empty()
            && self.fragments.is_empty()
            && self.gone.is_empty()
            && self.spoilt.is_empty()
            && self.doomed.is_empty()
            && self.removals.is_empty()
            && self.epochs.is_empty()
            && self.damaged.is_empty()
            && self.discarded.is_empty()
            && self.dooms.is_empty()
            && self.archives.is_empty()
            && self.configs.is_empty()
    }

    /// Lost chunks that no damage record names yet.
    pub fn unrecorded(&self) -> usize {
        self.lost.len() - self.recorded.len()
    }
}

/// Whether a record says that this chunk is lost in all these places.
pub(super) fn says(damage: &Damage, chunk: &LostChunk) -> bool {
    damage.record.chunks.contains_key(&chunk.id) && chunk.segments.is_subset(&damage.record.segments)
}

fn lost(session: &Session, id: ChunkId, class: crate::segment::Class) -> LostChunk {
    let places = session.copies(&id).into_iter().chain(session.withdrawn_copies(&id));
    let segments = places.map(|place| place.segment).filter(|segment| session.exists(segment)).collect();
    LostChunk { id, class, segments }
}

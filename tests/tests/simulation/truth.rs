//! What must hold, whatever happens: the invariants, held against every change of the store.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use gabion_core::backend::ObjectName;
use gabion_core::crypto::aead::Suite;
use gabion_core::crypto::key::Keyring;
use gabion_core::gc::DoomRecord;
use gabion_core::id::{ArchiveId, ChunkId, RepositoryId, SegmentId, parse_object_id};
use gabion_core::index::Fragment;
use gabion_core::limits::RECORD_BYTES_MAX;
use gabion_core::seal::{Kind, Sealer};
use gabion_core::segment::open_directory;

use super::store::Change;

/// Opens what is put, and knows what it means.
#[derive(Clone)]
pub struct Truth {
    keyring: std::sync::Arc<Keyring>,
    repository: RepositoryId,
    suite: Suite,
    /// What every segment holds that ever was.
    content: BTreeMap<SegmentId, Vec<ChunkId>>,
    /// Segments that exist, by what they hold.
    holders: BTreeMap<ChunkId, BTreeSet<SegmentId>>,
    existing: BTreeSet<SegmentId>,
    deleted: BTreeSet<SegmentId>,
    /// Who doomed a segment.
    doomed: BTreeMap<SegmentId, BTreeSet<String>>,
    /// Fragments that exist, and what they name.
    fragments: BTreeMap<ObjectName, Vec<SegmentId>>,
    /// Archives that were reported and not removed: what they need, and which tree they are of.
    reported: BTreeMap<ArchiveId, (BTreeSet<ChunkId>, usize)>,
    removed: BTreeSet<ArchiveId>,
    /// The trees of all archives that ever were.
    trees: BTreeMap<ArchiveId, usize>,
    /// How many archives were reported.
    pub reports: usize,
    wrong: Option<String>,
    last_writer: String,
}

impl Truth {
    pub fn new(keyring: Keyring, repository: RepositoryId, suite: Suite) -> Self {
        Self {
            keyring: std::sync::Arc::new(keyring),
            repository,
            suite,
            content: BTreeMap::new(),
            holders: BTreeMap::new(),
            existing: BTreeSet::new(),
            deleted: BTreeSet::new(),
            doomed: BTreeMap::new(),
            fragments: BTreeMap::new(),
            reported: BTreeMap::new(),
            removed: BTreeSet::new(),
            trees: BTreeMap::new(),
            reports: 0,
            wrong: None,
            last_writer: String::new(),
        }
    }

    /// What is wrong first.
    pub fn wrong(&self) -> Option<&str> {
        self.wrong.as_deref()
    }

    /// Archives that were reported and not removed, and which tree each is of.
    pub fn reported(&self) -> impl Iterator<Item = (&ArchiveId, usize)> {
        self.reported.iter().map(|(id, (_, tree))| (id, *tree))
    }

    /// Which tree an archive is of that was reported once.
    pub fn tree_of(&self, id: &ArchiveId) -> Option<usize> {
        self.trees.get(id).copied()
    }

    /// Whether somebody removed this archive.
    pub fn is_removed(&self, id: &ArchiveId) -> bool {
        self.removed.contains(id)
    }

    /// What the segments hold that exist.
    pub fn stored(&self) -> impl Iterator<Item = (&SegmentId, &[ChunkId])> {
        self.existing.iter().map(|id| (id, self.content[id].as_slice()))
    }

    /// Whether the segment was ever doomed.
    pub fn is_doomed(&self, id: &SegmentId) -> bool {
        self.doomed.contains_key(id)
    }

    /// Something is wrong.
    pub fn accuse(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }

    /// I1: success was reported.
    pub fn report(&mut self, id: ArchiveId, needs: BTreeSet<ChunkId>, tree: usize) {
        self.reports += 1;
        self.trees.insert(id, tree);
        if self.removed.contains(&id) {
            return;
        }
        let lost = needs.iter().filter(|chunk| self.holders.get(*chunk).is_none_or(BTreeSet::is_empty)).count();
        if lost > 0 {
            self.accuse(format!("I1: archive {id} was reported and lacks {lost} chunks"));
        }
        self.reported.insert(id, (needs, tree));
    }

    /// An object was put.
    pub fn put(&mut self, name: &ObjectName, bytes: &Bytes, again: bool) {
        let keyring = std::sync::Arc::clone(&self.keyring);
        let sealer = Sealer::new(&keyring, self.repository, self.suite);
        let (folder, last) = name.as_str().rsplit_once('/').unwrap_or_default();
        match folder {
            "segments" => {
                let id: SegmentId = last.parse().unwrap();
                let (_, directory) = open_directory(&sealer, &id, bytes).unwrap();
                if self.deleted.contains(&id) && !again {
                    self.accuse(format!("I4: {name} was put anew"));
                }
                let chunks: Vec<ChunkId> = directory.chunks.iter().map(|chunk| chunk.id).collect();
                for chunk in &chunks {
                    self.holders.entry(*chunk).or_default().insert(id);
                }
                self.content.insert(id, chunks);
                self.existing.insert(id);
            }
            "index" => {
                let fragment = Fragment::open(&sealer, name, bytes).unwrap();
                let named = fragment.segments.iter().map(|segment| segment.record.id).collect();
                self.fragments.insert(name.clone(), named);
            }
            "gc/doom" => {
                let plain = sealer.open(Kind::Doom, &parse_object_id(last).unwrap(), bytes, RECORD_BYTES_MAX).unwrap();
                for segment in DoomRecord::decode(&plain).unwrap().segments {
                    self.doomed.entry(segment).or_default().insert(self.last_writer.clone());
                }
            }
            "removed" => {
                let archive = last.split('.').next().and_then(parse_object_id).map(ArchiveId::from_bytes).unwrap();
                self.reported.remove(&archive);
                self.removed.insert(archive);
            }
            _ => {}
        }
    }

    /// Something was asked of the store that may happen at any time from now on.
    pub fn owes(&mut self, change: &Change) {
        // A removal that is on its way is a removal: nobody may rely on the archive any more.
        if let Change::Put(name, bytes) = change
            && name.as_str().starts_with("removed/")
        {
            self.put(name, bytes, false);
        }
    }

    /// Who changes something next.
    pub fn writer(&mut self, who: &str) {
        who.clone_into(&mut self.last_writer);
    }

    /// An object was deleted.
    pub fn delete(&mut self, who: &str, name: &ObjectName) {
        let (folder, last) = name.as_str().rsplit_once('/').unwrap_or_default();
        match folder {
            "segments" => self.delete_segment(who, last.parse().unwrap()),
            "index" => {
                let named = self.fragments.remove(name).unwrap_or_default();
                let still: BTreeSet<SegmentId> = self.fragments.values().flatten().copied().collect();
                let hidden =
                    named.iter().find(|id| self.existing.contains(id) && !self.is_doomed(id) && !still.contains(id));
                if let Some(id) = hidden {
                    self.accuse(format!("I6: {who} deleted {name}, and nothing names segment {id} any more"));
                }
            }
            _ => {}
        }
    }

    fn delete_segment(&mut self, who: &str, id: SegmentId) {
        if who != "late" && !self.doomed.get(&id).is_some_and(|by| by.contains(who)) {
            self.accuse(format!("I5: {who} deleted segment {id}, which it did not doom"));
        }
        self.existing.remove(&id);
        self.deleted.insert(id);
        for chunk in &self.content[&id] {
            let holders = self.holders.entry(*chunk).or_default();
            holders.remove(&id);
            if holders.is_empty() {
                let hurt = self.reported.iter().find(|(_, (needs, _))| needs.contains(chunk));
                if let Some((archive, _)) = hurt {
                    let what = format!("I0: archive {archive} lost chunk {chunk} when {who} deleted segment {id}");
                    self.wrong.get_or_insert(what);
                }
            }
        }
    }
}

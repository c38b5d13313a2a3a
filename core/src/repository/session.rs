//! A session: one look at the store, one loaded index, shared by readers and a writer.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::reader::Reader;
use super::salvage::{Salvage, SegmentState};
use super::writer::{Writer, WriterOptions};
use super::{ObjectName, Office, Payload, Prefix};
use crate::backend::ObjectMeta;
use crate::compress::Decompressor;
use crate::error::{Error, Result, is_finding};
use crate::gc::{Damage, Doom, Look};
use crate::id::{ChunkId, SegmentId};
use crate::index::{self, ChunkSizes, Fragment, Index, Loaded, Mark, Marks, Place};
use crate::limits::SEGMENT_BYTES_MAX;
use crate::segment::{Directory, SegmentRecord, open_directory};

/// The index shared by the parties of a session.
#[derive(Clone)]
pub(super) struct SharedIndex(Arc<RwLock<Index>>);

impl SharedIndex {
    pub fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, Index> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A loaded index and what was seen while it was loaded.
pub struct Session {
    office: Arc<Office>,
    index: SharedIndex,
    look: Look,
    loaded: Loaded,
    /// Segments that no fragment names any more: the next fragment will.
    recovered: Vec<(SegmentRecord, Directory)>,
    /// Segments about which fragments differ, as they are.
    disputed: Vec<(SegmentRecord, Directory)>,
    gone: Vec<SegmentId>,
}

/// How much an index knows of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holdings {
    /// Chunks.
    pub chunks: usize,
    /// Segments.
    pub segments: usize,
    /// Stored bytes of these segments.
    pub bytes: u64,
}

impl Holdings {
    pub(super) fn of(index: &SharedIndex) -> Self {
        let index = index.read();
        let counted = index.segments().fold((0, 0), |(count, bytes), segment| (count + 1, bytes + segment.bytes));
        Self { chunks: index.chunk_count(), segments: counted.0, bytes: counted.1 }
    }
}

impl Session {
    /// Steps B0 and B1: the epoch, the dooms, the index, the segments, in this order.
    ///
    /// Segments that the index names but the listing lacks or shows to be cut off, or that are doomed, are withdrawn
    /// from the index. If fragments are damaged, what they said is read from the segments themselves.
    ///
    /// Copies that were recorded to be no good are left out.
    pub(super) fn begin(office: Arc<Office>) -> Result<Self> {
        let mut session = Self::look(office)?;
        session.leave_out_damage();
        session.leave_out_cut()?;
        Ok(session)
    }

    /// As [`Session::begin`] with everything that exists: segments that no fragment names, and copies that were
    /// recorded to be no good, which may be good again.
    pub(super) fn begin_with_everything(office: Arc<Office>) -> Result<Self> {
        let mut session = Self::look(office)?;
        session.recover_unnamed()?;
        Ok(session)
    }

    fn look(office: Arc<Office>) -> Result<Self> {
        let sealer = office.sealer();
        let mut look = Look::begin(&office.store, &sealer)?;
        let mut index = Index::new();
        let loaded =
            index::load(&office.store, &sealer, &mut |fragment| index.add_fragment(fragment, &|_| true).map(|_| ()))?;
        look.see_segments(&office.store)?;
        let gone: Vec<SegmentId> = index.segments().map(|segment| segment.id).filter(|id| !look.usable(id)).collect();
        gone.iter().for_each(|id| index.withdraw(id));
        let disputed = settle_disputes(&office, &mut index)?;
        let damaged = !loaded.damaged.is_empty();
        let index = SharedIndex(Arc::new(RwLock::new(index)));
        let mut session = Self { index, look, loaded, recovered: Vec::new(), disputed, gone, office };
        if damaged {
            session.recover_unnamed()?;
        }
        Ok(session)
    }

    /// Takes in segments that no fragment names, by their own directories; the next fragment will name them.
    /// Returns which these are, whether or not they could be read.
    pub(super) fn recover_unnamed(&mut self) -> Result<BTreeSet<SegmentId>> {
        let mut index = self.index.write();
        let unnamed: Vec<SegmentId> =
            self.look.usable_segments().filter(|id| index.segment(id).is_none()).copied().collect();
        self.recovered.extend(add_from_segments(&self.office, &mut index, &unnamed)?);
        Ok(unnamed.into_iter().collect())
    }

    /// Has the next fragment say what segments are about which fragments differ; returns which these are. The fragments
    /// that were there must go.
    pub(super) fn end_disputes(&mut self) -> BTreeSet<SegmentId> {
        let disputed = std::mem::take(&mut self.disputed);
        let ids = disputed.iter().map(|(record, _)| record.id).collect();
        self.recovered.extend(disputed);
        ids
    }

    /// Takes copies that are known to be no good out of the index.
    pub(super) fn leave_out_damage(&self) {
        let mut index = self.index.write();
        for Damage { record, .. } in self.look.damage() {
            for chunk in record.chunks.keys() {
                let places = index.copies(chunk).into_iter().map(|place| place.segment);
                let spoilt: Vec<SegmentId> = places.filter(|segment| record.segments.contains(segment)).collect();
                spoilt.iter().for_each(|segment| index.spoil(chunk, segment));
            }
        }
    }

    /// Takes segments out of the index that are shorter than it says, as what a power cut left of them would be: what
    /// is needed of them is stored again.
    fn leave_out_cut(&mut self) -> Result<()> {
        let is_short =
            |segment: &&SegmentRecord| self.look.listed_bytes(&segment.id).is_some_and(|listed| listed < segment.bytes);
        let short: Vec<SegmentRecord> = self.index.read().segments().filter(is_short).cloned().collect();
        for segment in short {
            match self.office.store.head(&ObjectName::of("segments", segment.id)) {
                // This store's lists tell something else than lengths.
                Ok(object) if object.bytes == segment.bytes => break,
                Err(error) if !is_finding(&error) => return Err(error),
                _ => {
                    self.index.write().withdraw(&segment.id);
                    self.gone.push(segment.id);
                }
            }
        }
        Ok(())
    }

    /// What was recorded of damage, as far as it can be read.
    pub fn damage(&self) -> &[Damage] {
        self.look.damage()
    }

    /// The dooms that were there.
    pub(super) fn dooms(&self) -> &[Doom] {
        self.look.dooms()
    }

    /// The segments that these name and that exist.
    pub(super) fn doomed_segments(&self) -> BTreeSet<SegmentId> {
        self.look.doomed_segments().copied().collect()
    }

    /// A reader over this session's index.
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.office), self.index.clone())
    }

    /// No chunk is marked.
    pub fn marks(&self) -> Marks {
        Marks::of(&self.index.read())
    }

    /// Marks a copy of a chunk in a segment that exists and is not doomed.
    pub fn mark(&self, marks: &mut Marks, id: &ChunkId) -> Mark {
        marks.mark(&self.index.read(), id)
    }

    /// Marks every chunk.
    pub fn mark_everything(&self, marks: &mut Marks) {
        marks.mark_everything(&self.index.read());
    }

    /// How much is marked.
    pub fn sizes(&self, marks: &Marks) -> ChunkSizes {
        marks.sizes(&self.index.read())
    }

    /// The places that are said to hold a copy of this chunk, in segments that exist.
    pub fn copies(&self, id: &ChunkId) -> Vec<Place> {
        self.index.read().copies(id)
    }

    /// Places of copies that are no good, or lie in segments that are doomed or gone.
    pub fn withdrawn_copies(&self, id: &ChunkId) -> Vec<Place> {
        self.index.read().withdrawn_copies(id)
    }

    /// The segments the index names, as far as they exist.
    pub fn segment_records(&self) -> Vec<SegmentRecord> {
        self.index.read().segments().cloned().collect()
    }

    /// Reads a segment whole, opens everything in it and compares every chunk with its name.
    ///
    /// Fails if neither the segment nor the index tells what is in it.
    pub fn verify_segment(&self, id: &SegmentId, decompressor: &mut Decompressor) -> Result<SegmentState> {
        let salvage = Salvage { office: &self.office, index: &self.index };
        salvage.read(id, decompressor, &mut |_, _, _, _| Ok(()))
    }

    /// Hands over every chunk of a segment that can be read.
    pub fn each_chunk(&self, id: &SegmentId, take: &mut dyn FnMut(&ChunkId, &[u8])) -> Result<()> {
        let salvage = Salvage { office: &self.office, index: &self.index };
        let read = salvage.read(id, &mut Decompressor::new(), &mut |_, _, chunk, plain| {
            if let (Some(chunk), Ok(plain)) = (chunk, plain) {
                take(chunk, plain);
            }
            Ok(())
        });
        read.map(|_| ())
    }

    /// Segments that no fragment names and that were taken in by their own directories.
    pub fn recovered_segments(&self) -> impl Iterator<Item = &SegmentId> {
        self.recovered.iter().map(|(record, _)| &record.id)
    }

    /// Whether a chunk of this segment is marked.
    pub fn is_marked(&self, marks: &Marks, segment: &SegmentId) -> bool {
        marks.of_segment(&self.index.read(), segment).contains(&true)
    }

    /// Whether a segment was listed, doomed or not.
    pub fn exists(&self, segment: &SegmentId) -> bool {
        self.look.exists(segment)
    }

    /// Whether a segment is said to be deleted soon.
    pub fn is_doomed(&self, segment: &SegmentId) -> bool {
        self.look.is_doomed(segment)
    }

    /// Segments that exist and that neither a fragment nor their own directory tells anything of.
    pub fn unnamed_segments(&self) -> Vec<SegmentId> {
        let index = self.index.read();
        self.look.usable_segments().filter(|id| index.segment(id).is_none()).copied().collect()
    }

    /// Segments that the index names but the store lacks or has not whole, or that are doomed.
    pub fn lost_segments(&self) -> usize {
        self.gone.len()
    }

    /// Which these are.
    pub fn gone_segments(&self) -> &[SegmentId] {
        &self.gone
    }

    /// Index fragments the store has.
    pub fn fragment_count(&self) -> usize {
        self.loaded.fragments.len()
    }

    /// Index fragments that do not open, and why.
    pub fn damaged_fragments(&self) -> &[(ObjectName, Error)] {
        &self.loaded.damaged
    }

    /// Whether data may be missing: segments are lost, fragments damaged, or someone recorded damage.
    pub fn is_damaged(&self) -> bool {
        let recorded = !self.look.damage().is_empty() || !self.look.unreadable_damage().is_empty();
        recorded || !self.gone.is_empty() || !self.loaded.damaged.is_empty()
    }

    /// Whether there are segments that no fragment names. Most often these are another client's, or what a killed one
    /// left; but a fragment that was lost looks the same, and then nothing tells which chunks are still stored.
    pub fn is_incomplete(&self) -> bool {
        let index = self.index.read();
        self.look.usable_segments().any(|id| index.segment(id).is_none())
    }

    /// Whether the index was changed since it was read, or somebody collects or has collected.
    pub fn has_moved(&self) -> Result<bool> {
        let listed = self.office.store.list(&Prefix::of("index"))?;
        let now: BTreeSet<&ObjectName> = listed.iter().map(|object| &object.name).collect();
        let read = self.loaded.fragments.iter().map(|object| &object.name);
        let then: BTreeSet<&ObjectName> = read.chain(self.loaded.damaged.iter().map(|(name, _)| name)).collect();
        Ok(now != then || self.look.has_moved(&self.office.store)?)
    }

    /// How much the index knows of.
    pub fn holdings(&self) -> Holdings {
        Holdings::of(&self.index)
    }

    /// Begins to write.
    ///
    /// Fails if an unknown feature forbids it, and as `Damaged` if a doom does not open: nobody knows which segments
    /// a collector is about to delete.
    pub fn into_writer(self, options: &WriterOptions) -> Result<Writer> {
        self.office.config.check_writable()?;
        self.look.require_dooms("begin to write")?;
        let writer = Writer::new(self.office, self.index, self.look, self.loaded.fragments, options)?;
        writer.index_again(self.recovered);
        Ok(writer)
    }
}

/// Seals and puts index fragments, each of which goes before the next; tells what was put. Who gives room back may use
/// the `reserve` for them.
pub(super) fn put_fragments(office: &Office, fragments: Vec<Fragment>, reserve: bool) -> Result<Vec<ObjectMeta>> {
    let mut done = Vec::new();
    for fragment in fragments {
        let (_, name, sealed) = fragment.seal(&office.sealer())?;
        let (bytes, payload) = (sealed.len() as u64, Payload::from(sealed));
        let put = || office.store.put(&name, payload.clone());
        if reserve { office.with_reserve(put) } else { put() }?;
        done.push(ObjectMeta { name, bytes });
    }
    Ok(done)
}

/// Makes an index that is missing something complete again: reads fragments that are new, and then
/// the directories of segments that no fragment names. Returns whether anything was added.
///
/// A writer may share the index: nobody sees it before segments that do not exist are withdrawn
/// again, because a writer must never rely on a segment whose existence was not observed.
pub(super) fn complete_index(office: &Office, index: &SharedIndex) -> Result<bool> {
    let mut index = index.write();
    let known: BTreeSet<SegmentId> = index.segments().map(|segment| segment.id).collect();
    let loaded = index::load(&office.store, &office.sealer(), &mut |fragment| {
        index.add_fragment(fragment, &|_| true).map(|_| ())
    });
    let (listed, seen) = match office.store.list(&Prefix::of("segments")) {
        Ok(listed) => (listed, Ok(())),
        Err(error) => (Vec::new(), Err(error)),
    };
    let listed: BTreeSet<SegmentId> = listed.iter().filter_map(|object| object.name.last_part().parse().ok()).collect();
    let named = index.segments().map(|segment| segment.id);
    let gone: Vec<SegmentId> = named.filter(|id| !known.contains(id) && !listed.contains(id)).collect();
    gone.iter().for_each(|id| index.withdraw(id));
    loaded.and(seen)?;
    settle_disputes(office, &mut index)?;
    let unnamed: Vec<SegmentId> = listed.into_iter().filter(|id| index.segment(id).is_none()).collect();
    add_from_segments(office, &mut index, &unnamed)?;
    Ok(index.segments().any(|segment| !known.contains(&segment.id)))
}

/// Where fragments say different things of a segment, the segment itself is asked: it can not be changed by somebody who
/// may only add. One that can not be read stays as the first fragment described it.
fn settle_disputes(office: &Office, index: &mut Index) -> Result<Vec<(SegmentRecord, Directory)>> {
    let mut settled = Vec::new();
    for id in index.disputed().clone() {
        let Some((record, directory)) = own_directory(office, &id)? else { continue };
        // Fails only for a directory that does not add up, and then changes nothing.
        if index.relearn(record.clone(), &directory).is_ok() {
            settled.push((record, directory));
        }
    }
    Ok(settled)
}

/// Adds segments by their own directories, and returns those. What does not open is left out.
fn add_from_segments(
    office: &Office,
    index: &mut Index,
    segments: &[SegmentId],
) -> Result<Vec<(SegmentRecord, Directory)>> {
    let mut added = Vec::new();
    for id in segments {
        let Some((record, directory)) = own_directory(office, id)? else { continue };
        // Fails only for a directory that was refused before.
        if index.add_segment(record.clone(), &directory).is_ok() {
            added.push((record, directory));
        }
    }
    Ok(added)
}

/// What a segment says of itself, if it opens. A store that does not give it now is an error: what it holds must not
/// look like a loss.
fn own_directory(office: &Office, id: &SegmentId) -> Result<Option<(SegmentRecord, Directory)>> {
    let bytes = office.store.get_bounded(&ObjectName::of("segments", id), SEGMENT_BYTES_MAX);
    match bytes.and_then(|bytes| open_directory(&office.sealer(), id, &bytes)) {
        Ok(opened) => Ok(Some(opened)),
        Err(error) if is_finding(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

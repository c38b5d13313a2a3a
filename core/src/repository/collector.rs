//! The collector's side of a session: what only one who deletes segments does.
//!
//! Each function is one step of the protocol; `ops/compact` puts them in order. A segment is deleted only after a
//! doom that names it is durable, and no doom is ever taken back. Whatever else is deleted here (fragments that were
//! replaced, dooms that are done, pendings nobody needs) is not needed by anyone who keeps to the protocol.

use std::collections::BTreeSet;

use super::salvage::{Salvage, SegmentState};
use super::session::put_fragments;
use super::writer::{Writer, WriterOptions};
use super::{ChunkSink, ChunkSource, ObjectName, Office, Payload, Prefix, Reader, Repository};
use crate::codec::Extensions;
use crate::compress::Decompressor;
use crate::crypto::random;
use crate::error::{Error, ErrorKind, Result};
use crate::gc::{self, Damage, DamageRecord, Doom, DoomRecord, LostChunk};
use crate::id::{ChunkId, IndexId, PendingId, SegmentId, write_hex};
use crate::index::{self, Fragment, Mark, Marks, SegmentUse};
use crate::limits::{INDEX_BYTES_MAX, SEGMENT_BYTES_MAX};
use crate::seal::Kind;
use crate::segment::{Class, FrameScratch, open_directory, read_chunks};

/// Segments one doom record names at most: 17 bytes each, well below the limit of a record.
const DOOMED_AT_ONCE: usize = 3000;

/// Dooms of others that are put together when there are so many.
const DOOMS_GATHERED: usize = 8;

/// One look of a collector, and what it can do with what it saw.
pub struct Collector {
    writer: Writer,
    dooms: Vec<Doom>,
    orphans: BTreeSet<SegmentId>,
    damage: Vec<Damage>,
    unnamed: BTreeSet<SegmentId>,
    /// Segments about which fragments differ.
    disputed: BTreeSet<SegmentId>,
    damaged_fragments: Vec<ObjectName>,
}

impl Repository {
    /// Reads the epoch, the dooms, the index and the list of segments, in this order.
    ///
    /// Segments that no fragment names are taken in by their own directories.
    pub fn collector(&self, options: &WriterOptions) -> Result<Collector> {
        let mut session = self.session()?;
        let unnamed = session.recover_unnamed()?;
        let disputed = session.end_disputes();
        session.leave_out_damage();
        let (dooms, damage) = (session.dooms().to_vec(), session.damage().to_vec());
        let damaged_fragments = session.damaged_fragments().iter().map(|(name, _)| name.clone()).collect();
        let orphans = session.doomed_segments();
        let writer = session.into_writer(options)?;
        Ok(Collector { writer, dooms, orphans, damage, unnamed, disputed, damaged_fragments })
    }

    /// Asks whether the store would delete something now. Whoever is going to delete asks before it begins: a set of
    /// stores deletes only if all of them are there.
    pub fn probe_delete(&self) -> Result<()> {
        self.office.probe_delete()
    }

    /// Puts an object, lists it and deletes it again: a store that does not do that gets no collector. `wait` passes
    /// the time a list may lag.
    pub fn probe_store(&self, wait: &dyn Fn()) -> Result<()> {
        let mut id = [0; 16];
        random::fill(&mut id)?;
        let name = ObjectName::of("gc/probe", Hex(&id));
        let store = &self.office.store;
        self.office.with_reserve(|| store.put(&name, Payload::from(id.to_vec())))?;
        wait();
        let seen = store.list(&Prefix::of("gc/probe"))?.iter().any(|object| object.name == name);
        store.delete(&name)?;
        if seen { Ok(()) } else { Err(Error::damaged("probe store", "a list lacks what was put before")) }
    }

    /// Deletes pendings: only such whose archives exist. Who gives a client up says so first
    /// ([`Repository::give_up_pendings`]).
    pub fn drop_pendings(&self, pendings: &[PendingId]) -> Result<()> {
        self.office.store.delete_all(pendings.iter().map(|id| ObjectName::of("pending", id)))
    }

    /// Gives up the clients of these pendings: from now on these protect nothing.
    ///
    /// That is said for good before the pending goes, because a late repetition of its put could bring it back
    /// and its client would take it for never gone. A client that lives after all looks every chunk up.
    pub fn give_up_pendings(&self, pendings: &[PendingId]) -> Result<()> {
        for id in pendings {
            let said = Payload::from(id.as_bytes().to_vec());
            self.office.with_reserve(|| self.office.store.put(&given_up_name(id), said.clone()))?;
        }
        self.drop_pendings(pendings)
    }

    /// Whether the client of any pending was ever given up: it may have left segments.
    pub fn has_given_up(&self) -> Result<bool> {
        Ok(!self.office.store.list(&Prefix::of("gc/expired"))?.is_empty())
    }

    /// Puts back the reserves that were given up on a full store, and the copy of `config` where there is none, as far as
    /// there is room.
    pub fn refill_reserves(&self) -> Result<()> {
        match self.copy_config().and_then(|()| super::reserve::fill(&self.office.store)) {
            Err(error) if error.kind() == ErrorKind::NoSpace => Ok(()),
            done => done,
        }
    }

    /// How long a list may lag behind what was put and deleted.
    pub fn list_staleness(&self) -> std::time::Duration {
        self.office.store.capabilities().list_staleness
    }
}

impl Collector {
    /// The dooms that were there, of others or of collectors that died.
    pub fn dooms(&self) -> &[Doom] {
        &self.dooms
    }

    /// Segments that these doom and that exist: somebody is at work, or died.
    pub fn orphans(&self) -> &BTreeSet<SegmentId> {
        &self.orphans
    }

    /// What was recorded of damage.
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// Puts damage records.
    pub fn record_damage(&self, records: Vec<DamageRecord>) -> Result<()> {
        let office = &self.writer.office;
        records.into_iter().try_for_each(|record| {
            office.with_reserve(|| gc::put_damage(&office.store, &office.sealer(), record.clone()).map(|_| ()))
        })
    }

    /// Deletes a damage record: all its chunks can be read again, or nobody needs them.
    pub fn forget_damage(&self, damage: &Damage) -> Result<()> {
        self.writer.office.store.delete(&Damage::name(&damage.id))
    }

    /// Whether a segment was listed, doomed or not.
    pub fn exists(&self, id: &SegmentId) -> bool {
        self.writer.ledger().look.exists(id)
    }

    /// Whether there are segments that may be relied on.
    pub fn knows_segments(&self) -> bool {
        self.writer.index.read().segment_count() > 0
    }

    /// Segments that exist and that no fragment names: left by a client that died, or of one that is writing.
    pub fn unnamed(&self) -> &BTreeSet<SegmentId> {
        &self.unnamed
    }

    /// Index fragments that do not open: what they say is taken from the segments.
    pub fn damaged_fragments(&self) -> &[ObjectName] {
        &self.damaged_fragments
    }

    /// A reader that also finds chunks in doomed segments, as long as these exist.
    pub fn reader(&self) -> Reader {
        self.writer.reader()
    }

    /// No chunk is marked.
    pub fn marks(&self) -> Marks {
        Marks::of(&self.writer.index.read())
    }

    /// Marks a copy of a chunk in a segment that exists and is not doomed.
    pub fn mark(&self, marks: &mut Marks, id: &ChunkId) -> Mark {
        marks.mark(&self.writer.index.read(), id)
    }

    /// The segments that are doomed, or gone, and are said to hold a copy of this chunk.
    pub fn doomed_copies(&self, id: &ChunkId) -> Vec<SegmentId> {
        self.writer.index.read().withdrawn_copies(id).into_iter().map(|place| place.segment).collect()
    }

    /// Segments this collector wrote and published.
    pub fn own_segments(&self) -> BTreeSet<SegmentId> {
        self.writer.ledger().own.clone()
    }

    /// Whether doomed segments are said to hold a copy of this chunk beside the marked one.
    pub fn has_doomed_copy(&self, id: &ChunkId) -> bool {
        !self.dooms.is_empty() && !self.writer.index.read().withdrawn_copies(id).is_empty()
    }

    /// Reads the marked copy of a chunk, unless it is in one of the segments that are `trusted`, and compares it with
    /// its name.
    pub fn prove(&self, reader: &Reader, class: Class, id: &ChunkId, trusted: &BTreeSet<SegmentId>) -> Result<()> {
        let marked = self.writer.index.read().marked_copy(id);
        match marked {
            Some(place) if trusted.contains(&place.segment) => Ok(()),
            Some(place) => reader.fetch_from(class, id, &place).map(|_| ()),
            None => Err(Error::new(ErrorKind::NotFound, "read chunk").with("chunk", id)),
        }
    }

    /// How much of every segment is marked.
    pub fn census(&self, marks: &Marks) -> Vec<SegmentUse> {
        marks.census(&self.writer.index.read())
    }

    /// From now on nothing is looked up in these segments: what is needed of them is stored again.
    pub fn withdraw(&self, segments: &BTreeSet<SegmentId>) {
        self.writer.pipeline.shared().withdraw(segments);
    }

    /// Stores the marked chunks of a segment again, elsewhere. The segment must have been withdrawn.
    ///
    /// Its own directory is read, and a segment whose directory differs from the index is `Damaged`: nobody shall
    /// doom what it does not know.
    pub fn evacuate(&self, id: &SegmentId, marks: &Marks) -> Result<()> {
        let needed = marks.of_segment(&self.writer.index.read(), id);
        let office = &self.writer.office;
        let bytes = office.store.get_bounded(&ObjectName::of("segments", id), SEGMENT_BYTES_MAX)?;
        let (record, directory) = open_directory(&office.sealer(), id, &bytes)?;
        if directory.chunks.len() != needed.len() {
            return Err(Error::damaged("evacuate segment", "directory differs from the index").with("segment", id));
        }
        let wanted = |ordinal: u32| needed.get(ordinal as usize).is_some_and(|needed| *needed);
        let sealer = office.sealer();
        let opened = (&record, &directory);
        read_chunks(&sealer, &mut FrameScratch::default(), opened, &bytes, &wanted, &mut |_, chunk, plain| {
            self.keep(record.class, &chunk.id, plain)
        })
    }

    /// Reads a segment that is spoilt, and stores every chunk of it again that can be read. The segment must have been
    /// withdrawn. Bytes of another segment that lie under its name are taken as what they are.
    pub fn salvage(&self, id: &SegmentId) -> Result<SegmentState> {
        let salvage = Salvage { office: &self.writer.office, index: &self.writer.index };
        salvage.read_with_misplaced(id, &mut Decompressor::new(), &mut |class, _, _, plain| match plain {
            Ok(plain) => self.writer.store(class, plain).map(|_| ()),
            Err(_) => Ok(()),
        })
    }

    /// Reads a segment as [`Session::verify_segment`](super::Session::verify_segment) does.
    pub fn verify_segment(&self, id: &SegmentId) -> Result<SegmentState> {
        let salvage = Salvage { office: &self.writer.office, index: &self.writer.index };
        salvage.read(id, &mut Decompressor::new(), &mut |_, _, _, _| Ok(()))
    }

    /// Stores a chunk again that has no copy any more but in doomed segments.
    pub fn rescue(&self, class: Class, id: &ChunkId) -> Result<()> {
        let plain = self.reader().fetch(class, id)?;
        self.keep(class, id, &plain)
    }

    /// No longer offers copies of a chunk that are no good.
    pub fn spoil(&self, chunk: &LostChunk) {
        let mut index = self.writer.index.write();
        chunk.segments.iter().for_each(|segment| index.spoil(&chunk.id, segment));
    }

    /// Stores a chunk again, which must have this name.
    pub fn keep(&self, class: Class, id: &ChunkId, plain: &[u8]) -> Result<()> {
        if self.writer.store(class, plain)? != *id {
            return Err(Error::damaged("keep chunk", "content differs from the name").with("chunk", id));
        }
        Ok(())
    }

    /// Makes everything that was stored durable and names it in the index.
    pub fn publish(&self) -> Result<()> {
        self.writer.publish()
    }

    /// Dooms segments. There is no way back. More than fit into one record make several.
    pub fn doom(&self, segments: &BTreeSet<SegmentId>) -> Result<Vec<Doom>> {
        let office = &self.writer.office;
        let all: Vec<SegmentId> = segments.iter().copied().collect();
        let mut dooms = Vec::new();
        for some in all.chunks(DOOMED_AT_ONCE) {
            let record = DoomRecord { segments: some.iter().copied().collect(), extensions: Extensions::none() };
            let sealed = office.sealer().seal(Kind::Doom, &record.encode()?)?;
            let payload = Payload::from(sealed.bytes);
            office.with_reserve(|| office.store.put(&Doom::name(&sealed.id), payload.clone()))?;
            dooms.push(Doom { id: sealed.id, record });
        }
        Ok(dooms)
    }

    /// Deletes segments that are doomed and that nothing needs.
    pub fn delete_segments(&self, segments: &BTreeSet<SegmentId>) -> Result<()> {
        let store = &self.writer.office.store;
        store.delete_all(segments.iter().map(|id| ObjectName::of("segments", id)))
    }

    /// Tells all clients that segments were deleted.
    pub fn bump_epoch(&self) -> Result<()> {
        let office = &self.writer.office;
        office.with_reserve(|| gc::bump_epoch(&office.store, &office.sealer()))
    }

    /// Rewrites the fragments that name segments which were deleted; `wait` passes the time a list may lag.
    ///
    /// A segment is dropped only if it is among `deleted` or absent from a list that is later than the fragment. So is
    /// what fragments say of segments about which they differ: this collector's own fragment says what is true.
    pub fn rewrite_index(&self, deleted: &BTreeSet<SegmentId>, wait: &dyn Fn()) -> Result<()> {
        let office = &self.writer.office;
        let (store, sealer) = (&office.store, office.sealer());
        let mut found: Vec<(u64, ObjectName, Vec<SegmentId>)> = Vec::new();
        for object in store.list(&Prefix::of("index"))? {
            match index::read(store, &sealer, &object.name) {
                Ok(fragment) => {
                    let segments = fragment.segments.iter().map(|segment| segment.record.id).collect();
                    found.push((object.bytes, object.name, segments));
                }
                // Merged by another client meanwhile, or damaged: not this collector's business.
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Damaged) => {}
                Err(error) => return Err(error),
            }
        }
        wait();
        let existing = gc::list_segments(store)?;
        let there = |id: &SegmentId| existing.contains(id) && !deleted.contains(id);
        let keep = |id: &SegmentId| there(id) && !self.disputed.contains(id);
        let own = self.writer.ledger().own_fragments.clone();
        found.retain(|(_, name, segments)| {
            let keep: &dyn Fn(&SegmentId) -> bool = if own.contains(name) { &there } else { &keep };
            !segments.iter().all(keep)
        });
        let mut batch = Vec::new();
        let mut bytes = 0;
        for (length, name, _) in found {
            if bytes + length > INDEX_BYTES_MAX as u64 {
                self.replace(&std::mem::take(&mut batch), &keep)?;
                bytes = 0;
            }
            bytes += length;
            batch.push(name);
        }
        self.replace(&batch, &keep)
    }

    /// Puts what is to be kept of these fragments, merged, and deletes them.
    fn replace(&self, names: &[ObjectName], keep: &dyn Fn(&SegmentId) -> bool) -> Result<()> {
        let office = &self.writer.office;
        let mut inputs: Vec<(IndexId, Fragment)> = Vec::new();
        let (mut decoded, mut level) = (Vec::new(), 0);
        for name in names {
            match index::read(&office.store, &office.sealer(), name) {
                Ok(mut fragment) => {
                    fragment.retain_segments(keep);
                    level = level.max(fragment.level);
                    inputs.push((index::parse_name(name)?.1, fragment));
                    decoded.push(name);
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        put_fragments(office, index::merge(level, inputs)?, true)?;
        office.store.delete_all(decoded.into_iter().cloned())
    }

    /// Ends a doom that was carried out. Only who wrote it may do that: the names of a collector that is taken for
    /// dead, and may still delete, stay doomed for ever.
    pub fn lift(&self, doom: &Doom) -> Result<()> {
        self.writer.office.store.delete(&Doom::name(&doom.id))
    }

    /// Puts dooms that stay for ever together, when there are many: every client reads them all.
    pub fn gather_dooms(&self) -> Result<()> {
        if self.dooms.len() < DOOMS_GATHERED {
            return Ok(());
        }
        let segments = self.dooms.iter().flat_map(|doom| &doom.record.segments).copied().collect();
        self.doom(&segments)?;
        self.dooms.iter().try_for_each(|doom| self.lift(doom))
    }
}

impl Office {
    /// Deletes a name that nothing has.
    pub fn probe_delete(&self) -> Result<()> {
        let mut id = [0; 16];
        random::fill(&mut id)?;
        self.store.delete(&ObjectName::of("gc/probe", Hex(&id)))
    }
}

impl std::fmt::Debug for Collector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Collector")
    }
}

/// What says that a pending's client was given up. It need not be sealed: that it is there is all it says, and who
/// made one without need only made a client look more up.
pub(super) fn given_up_name(id: &PendingId) -> ObjectName {
    ObjectName::of("gc/expired", id)
}

struct Hex<'a>(&'a [u8]);

impl std::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write_hex(f, self.0)
    }
}

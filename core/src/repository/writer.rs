//! A write session: chunks go in, names come out.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, bounded};

use super::memory::{Memory, SEGMENTS_MOST};
use super::pipeline::{Job, Pipeline};
use super::session::SharedIndex;
use super::{ChunkSink, Office, Reader};
use crate::backend::{ObjectMeta, ObjectName};
use crate::compress::Compression;
use crate::error::{Error, ErrorKind, Result};
use crate::gc::Look;
use crate::id::{ChunkId, PendingId, SegmentId};
use crate::limits::{CHUNK_BYTES_MAX, DATA_SEGMENT_BYTES, GROUP_BYTES, GROUPED_CHUNK_BYTES_MAX};
use crate::segment::{ChunkEntry, Class, Directory, SegmentRecord};

pub use super::pipeline::Totals as WriteTotals;

/// How a session writes.
#[derive(Clone, Debug)]
pub struct WriterOptions {
    /// How frames are compressed.
    pub compression: Compression,
    /// Worker threads; 0 does everything in the calling thread.
    pub workers: usize,
    /// Stored bytes at which a data segment is closed; tree segments are closed at this or at
    /// [`TREE_SEGMENT_BYTES`](crate::limits::TREE_SEGMENT_BYTES), whichever is less. [`Memory`] says what this means
    /// for the memory of a session.
    pub segment_bytes: usize,
    /// Full data segments in memory at once, at least 1: being closed, waiting, or on their way to the store.
    pub segments: usize,
}

impl WriterOptions {
    /// The same with the workers and segments of `memory`.
    pub fn within(self, memory: &Memory) -> Self {
        let Memory { workers, segments, segment_bytes, .. } = *memory;
        Self { workers, segments, segment_bytes, ..self }
    }
}

impl Default for WriterOptions {
    /// zstd at level 3, a worker per core, four segments of [`DATA_SEGMENT_BYTES`] at once.
    fn default() -> Self {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let (segments, segment_bytes) = (SEGMENTS_MOST, DATA_SEGMENT_BYTES);
        Self { compression: Compression::default(), workers, segments, segment_bytes }
    }
}

/// Stores chunks and publishes archives.
///
/// Nothing that was stored counts before [`Writer::commit`] (or a checkpoint) says so;
/// a writer that is dropped leaves garbage at worst, never a dangling reference.
pub struct Writer {
    pub(super) office: Arc<Office>,
    pub(super) index: SharedIndex,
    pub(super) pipeline: Pipeline,
    ledger: Mutex<Ledger>,
    groups: [Mutex<Group>; 2],
}

/// What the session has seen and published.
pub(super) struct Ledger {
    pub look: Look,
    /// Index fragments of the repository.
    pub fragments: Vec<ObjectMeta>,
    /// Own pendings, the first one first.
    pub pendings: Vec<PendingId>,
    /// Segments this session wrote and published.
    pub own: BTreeSet<SegmentId>,
    /// Fragments this session put.
    pub own_fragments: BTreeSet<ObjectName>,
    /// Segments this session relied on are gone: every chunk of the tree must be asked for before it is published.
    pub unresolved: bool,
}

impl Writer {
    pub(super) fn new(
        office: Arc<Office>,
        index: SharedIndex,
        look: Look,
        fragments: Vec<ObjectMeta>,
        options: &WriterOptions,
    ) -> Result<Self> {
        let pipeline = Pipeline::new(Arc::clone(&office), index.clone(), options)?;
        let ledger = Mutex::new(Ledger {
            look,
            fragments,
            pendings: Vec::new(),
            own: BTreeSet::new(),
            own_fragments: BTreeSet::new(),
            unresolved: false,
        });
        Ok(Self { office, index, pipeline, ledger, groups: Default::default() })
    }

    /// Has segments named by the next index fragment, although they are not this session's own.
    pub(super) fn index_again(&self, segments: Vec<(SegmentRecord, Directory)>) {
        self.pipeline.shared().add_unindexed(segments);
    }

    /// A reader over the same index.
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.office), self.index.clone())
    }

    /// Stores a chunk in the background; the ticket tells its name.
    ///
    /// Tickets should be waited for in order and soon: a dozen in flight is plenty.
    pub fn store_later(&self, class: Class, plain: Vec<u8>) -> Result<ChunkTicket> {
        check_length(plain.len())?;
        if plain.len() <= GROUPED_CHUNK_BYTES_MAX {
            return self.store(class, &plain).map(ChunkTicket::Known);
        }
        let (reply, answer) = bounded(1);
        self.pipeline.submit(Job::Chunk { class, plain, reply })?;
        Ok(ChunkTicket::Waiting(answer))
    }

    /// Waits for the name of a chunk.
    pub fn wait(&self, ticket: ChunkTicket) -> Result<ChunkId> {
        match ticket {
            ChunkTicket::Known(id) => Ok(id),
            ChunkTicket::Waiting(answer) => answer.recv().map_err(|_| match self.pipeline.shared().check() {
                Err(error) => error,
                Ok(()) => Error::new(ErrorKind::Poisoned, "store chunk"),
            }),
        }
    }

    /// Whether a chunk is stored or on its way; the session then relies on it.
    pub fn knows(&self, id: &ChunkId) -> bool {
        self.pipeline.shared().knows(id)
    }

    /// Whether a write failed, so that nothing more is accepted.
    pub fn is_poisoned(&self) -> bool {
        self.pipeline.shared().is_poisoned()
    }

    /// What was written so far.
    pub fn totals(&self) -> WriteTotals {
        self.pipeline.shared().totals()
    }

    /// Waits until everything stored so far is compressed, so that [`Writer::totals`] has all of it.
    pub fn settle(&self) -> Result<()> {
        self.submit_groups()?;
        self.pipeline.settle()
    }

    /// Makes everything stored so far durable.
    pub(super) fn flush(&self) -> Result<()> {
        self.submit_groups()?;
        self.pipeline.flush()
    }

    fn submit_groups(&self) -> Result<()> {
        for class in [Class::Data, Class::Tree] {
            let group = std::mem::take(&mut *self.group(class));
            self.submit_group(class, group)?;
        }
        Ok(())
    }

    pub(super) fn relied(&self) -> BTreeSet<SegmentId> {
        self.pipeline.shared().relied()
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn group(&self, class: Class) -> MutexGuard<'_, Group> {
        self.groups[usize::from(class == Class::Tree)].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit_group(&self, class: Class, group: Group) -> Result<()> {
        if group.chunks.is_empty() {
            return Ok(());
        }
        self.pipeline.submit(Job::Frame { class, chunks: group.chunks, plain: group.plain })
    }
}

impl ChunkSink for Writer {
    fn store(&self, class: Class, plain: &[u8]) -> Result<ChunkId> {
        check_length(plain.len())?;
        let id = self.office.hasher.id(class.into(), plain);
        if !self.pipeline.shared().claim(&id) {
            return Ok(id);
        }
        let entry = ChunkEntry { id, bytes: plain.len() as u32 };
        if plain.len() > GROUPED_CHUNK_BYTES_MAX {
            self.pipeline.submit(Job::Frame { class, chunks: vec![entry], plain: plain.to_vec() })?;
            return Ok(id);
        }
        let full = {
            let mut group = self.group(class);
            group.push(entry, plain);
            (group.plain.len() >= GROUP_BYTES).then(|| std::mem::take(&mut *group))
        };
        if let Some(group) = full {
            self.submit_group(class, group)?;
        }
        Ok(id)
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Writer")
    }
}

/// The name of a chunk, now or soon.
#[derive(Debug)]
pub enum ChunkTicket {
    /// The name is known.
    Known(ChunkId),
    /// A worker will tell.
    Waiting(Receiver<ChunkId>),
}

/// Small chunks that gather into one frame.
#[derive(Default)]
struct Group {
    chunks: Vec<ChunkEntry>,
    plain: Vec<u8>,
}

impl Group {
    fn push(&mut self, entry: ChunkEntry, plain: &[u8]) {
        if self.plain.capacity() == 0 {
            self.plain.reserve_exact(GROUP_BYTES + GROUPED_CHUNK_BYTES_MAX);
        }
        self.chunks.push(entry);
        self.plain.extend_from_slice(plain);
    }
}

fn check_length(length: usize) -> Result<()> {
    if length == 0 || length > CHUNK_BYTES_MAX {
        return Err(Error::new(ErrorKind::LimitExceeded, "store chunk").with("bytes", length));
    }
    Ok(())
}

//! The only place that knows threads and queues.
//!
//! A job goes to a worker: name the chunk, compress, append to the open segment.
//! Whoever finds a segment full closes it (seal, open again and compare) and hands it to a
//! publisher, which puts it and tells the index. All queues are bounded, the jobs by the
//! bytes of their plaintext: [`Memory`](super::Memory) says how much that is together. The
//! first error poisons the session: every later call fails.
//!
//! With no workers every job and every put runs in the calling thread, in order: a
//! simulation can replay it.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::memory::{JOB_BYTES_PER_WORKER, TREE_SEGMENTS};
use super::session::SharedIndex;
use super::spare::Spare;
use super::writer::WriterOptions;
use super::{ObjectName, Office, Payload};
use crate::compress::{Compression, Compressor};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{ChunkId, SegmentId};
use crate::limits::{SEGMENT_BYTES_MAX, TREE_SEGMENT_BYTES};
use crate::segment::{
    self, ChunkEntry, Class, Directory, FinishedSegment, FrameScratch, SegmentBuilder, SegmentRecord,
};

/// What a worker is asked to do.
pub(super) enum Job {
    /// Compress these chunks together as one frame.
    Frame { class: Class, chunks: Vec<ChunkEntry>, plain: Vec<u8> },
    /// Name a chunk, tell the name, and store it as a frame of its own if it is new.
    Chunk { class: Class, plain: Vec<u8>, reply: Sender<ChunkId> },
    /// Close the open segment of this class.
    Close(Class),
}

impl Job {
    /// Plaintext it brings along.
    fn bytes(&self) -> usize {
        match self {
            Self::Frame { plain, .. } | Self::Chunk { plain, .. } => plain.len(),
            Self::Close(_) => 0,
        }
    }
}

/// Workers and what they share.
pub(super) struct Pipeline {
    shared: Arc<Shared>,
    queue: Option<Sender<Job>>,
    workers: Vec<JoinHandle<()>>,
    publishers: Vec<JoinHandle<()>>,
    inline: Mutex<Tools>,
}

/// Codec contexts and buffers of one worker.
struct Tools {
    compressor: Compressor,
    scratch: FrameScratch,
}

impl Tools {
    fn new(compression: &Compression) -> Result<Self> {
        let compressor = Compressor::new(compression)?;
        Ok(Self { compressor, scratch: FrameScratch::default() })
    }
}

impl Pipeline {
    pub fn new(office: Arc<Office>, index: SharedIndex, options: &WriterOptions) -> Result<Self> {
        let WriterOptions { compression, workers, segment_bytes, segments } = options;
        let (workers, at_once) = (*workers, [(*segments).max(1), TREE_SEGMENTS]);
        let in_flight = at_once.iter().sum();
        let (segments, full_segments) = bounded(in_flight);
        let (queue, jobs) = bounded(workers.max(1));
        let shared = Arc::new(Shared::new(office, index, *segment_bytes, at_once, (workers > 0).then_some(segments)));
        let mut pipeline = Self {
            shared: Arc::clone(&shared),
            queue: (workers > 0).then_some(queue),
            workers: Vec::new(),
            publishers: Vec::new(),
            inline: Mutex::new(Tools::new(compression)?),
        };
        for _ in 0..workers {
            let (shared, jobs, tools) = (Arc::clone(&shared), jobs.clone(), Tools::new(compression)?);
            pipeline.workers.push(start("gabion-worker", move || work(&shared, &jobs, tools))?);
        }
        for _ in 0..if workers > 0 { in_flight } else { 0 } {
            let (shared, segments) = (Arc::clone(&shared), full_segments.clone());
            pipeline.publishers.push(start("gabion-publisher", move || publish(&shared, &segments))?);
        }
        Ok(pipeline)
    }

    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Hands a job over; waits while the queue is full.
    pub fn submit(&self, job: Job) -> Result<()> {
        self.shared.check()?;
        let bytes = job.bytes();
        let limit = self.workers.len() * JOB_BYTES_PER_WORKER;
        self.shared.jobs.begin(bytes, limit, &|| self.shared.is_poisoned());
        match &self.queue {
            Some(queue) => queue.send(job).map_err(|_| {
                self.shared.jobs.end(bytes);
                Error::new(ErrorKind::Poisoned, "store chunk").with("reason", "workers are gone")
            }),
            None => {
                self.shared.run(job, &mut lock(&self.inline));
                self.shared.jobs.end(bytes);
                self.shared.check()
            }
        }
    }

    /// Waits for all jobs.
    pub fn settle(&self) -> Result<()> {
        self.shared.jobs.wait_for_all();
        self.shared.check()
    }

    /// Waits for all jobs, closes both segments, and waits until everything is durable.
    pub fn flush(&self) -> Result<()> {
        self.shared.jobs.wait_for_all();
        self.submit(Job::Close(Class::Data))?;
        self.submit(Job::Close(Class::Tree))?;
        self.shared.jobs.wait_for_all();
        self.shared.slots.iter().for_each(|slots| slots.wait_for_all());
        self.shared.check()
    }
}

impl Drop for Pipeline {
    /// Lets the threads end. What is on its way is put; nothing else is.
    fn drop(&mut self) {
        self.queue = None;
        for worker in self.workers.drain(..) {
            // A worker that panicked has poisoned the session already.
            let _ = worker.join();
        }
        *lock(&self.shared.segments) = None;
        for publisher in self.publishers.drain(..) {
            let _ = publisher.join();
        }
    }
}

fn start(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|error| Error::new(ErrorKind::System, "start thread").because(error))
}

fn publish(shared: &Shared, segments: &Receiver<FullSegment>) {
    while let Ok(full) = segments.recv() {
        if !shared.is_poisoned() {
            shared.put(full);
        }
    }
}

/// A segment that a panicking publisher held is lost, and its slot is free again: without this nobody would notice.
struct PoisonOnPanic<'a>(&'a Shared);

impl Drop for PoisonOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.poison(Error::new(ErrorKind::System, "put segment").with("reason", "a publisher panicked"));
        }
    }
}

fn work(shared: &Shared, jobs: &Receiver<Job>, mut tools: Tools) {
    while let Ok(job) = jobs.recv() {
        let _done = EndOfJob(shared, job.bytes());
        if !shared.is_poisoned() {
            shared.run(job, &mut tools);
        }
    }
}

/// Counts a job as done, and as failed when the worker panics.
struct EndOfJob<'a>(&'a Shared, usize);

impl Drop for EndOfJob<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.poison(Error::new(ErrorKind::System, "store chunk").with("reason", "a worker panicked"));
        }
        self.0.jobs.end(self.1);
    }
}

/// What all workers and the session share.
pub(super) struct Shared {
    office: Arc<Office>,
    index: SharedIndex,
    /// Chunks accepted in this session that the index does not show yet.
    fresh: Mutex<HashSet<ChunkId>>,
    /// Segments this session relies on: found in the index, or its own.
    relied: Mutex<BTreeSet<SegmentId>>,
    builders: [Mutex<SegmentBuilder>; 2],
    /// Stored bytes at which a segment of each class is closed.
    closed_at: [usize; 2],
    /// Buffers for segments of each class.
    spare: [Spare; 2],
    segments: Mutex<Option<Sender<FullSegment>>>,
    /// Full segments of each class.
    slots: [Arc<Slots>; 2],
    /// Segments that are durable but not in an index fragment yet.
    unindexed: Mutex<Vec<(SegmentRecord, Directory)>>,
    totals: Mutex<Totals>,
    failure: Mutex<Option<String>>,
    first_failure: Mutex<Option<Error>>,
    jobs: JobCount,
}

/// What a session has written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Plaintext bytes of new chunks.
    pub new_bytes: u64,
    /// Their bytes after compression.
    pub stored_bytes: u64,
    /// New chunks.
    pub chunks: u64,
}

/// A closed segment and the slot it occupies until it is durable.
struct FullSegment {
    segment: FinishedSegment,
    _slot: Slot,
}

impl Shared {
    fn new(
        office: Arc<Office>,
        index: SharedIndex,
        segment_bytes: usize,
        at_once: [usize; 2],
        segments: Option<Sender<FullSegment>>,
    ) -> Self {
        // More would exceed what a reader accepts; the last frame may add some MiB.
        let data = segment_bytes.min(SEGMENT_BYTES_MAX / 2);
        let closed_at = [data, data.min(TREE_SEGMENT_BYTES)];
        let spare = at_once.map(Spare::of);
        Self {
            office,
            index,
            closed_at,
            fresh: Mutex::default(),
            relied: Mutex::default(),
            builders: [
                Mutex::new(SegmentBuilder::in_buffer(Class::Data, spare[0].take(closed_at[0]))),
                Mutex::new(SegmentBuilder::in_buffer(Class::Tree, spare[1].take(closed_at[1]))),
            ],
            spare,
            segments: Mutex::new(segments),
            slots: at_once.map(|most| Arc::new(Slots::of(most))),
            unindexed: Mutex::default(),
            totals: Mutex::default(),
            failure: Mutex::default(),
            first_failure: Mutex::default(),
            jobs: JobCount::default(),
        }
    }

    /// Whether the caller must store this chunk: it is neither known nor on its way.
    ///
    /// `fresh` is asked first: a chunk enters the index before it leaves `fresh`.
    pub fn claim(&self, id: &ChunkId) -> bool {
        if !lock(&self.fresh).insert(*id) {
            return false;
        }
        let Some(segment) = self.index.read().segment_of(id) else { return true };
        lock(&self.relied).insert(segment);
        lock(&self.fresh).remove(id);
        false
    }

    /// Whether the chunk is known or on its way; notes reliance on its segment.
    pub fn knows(&self, id: &ChunkId) -> bool {
        if lock(&self.fresh).contains(id) {
            return true;
        }
        let Some(segment) = self.index.read().segment_of(id) else { return false };
        lock(&self.relied).insert(segment);
        true
    }

    pub fn relied(&self) -> BTreeSet<SegmentId> {
        lock(&self.relied).clone()
    }

    pub fn rely_on_nothing(&self) {
        lock(&self.relied).clear();
    }

    pub fn withdraw(&self, segments: &BTreeSet<SegmentId>) {
        let mut index = self.index.write();
        let mut relied = lock(&self.relied);
        for segment in segments {
            index.withdraw(segment);
            relied.remove(segment);
        }
    }

    pub fn totals(&self) -> Totals {
        *lock(&self.totals)
    }

    pub fn add_unindexed(&self, segments: Vec<(SegmentRecord, Directory)>) {
        lock(&self.unindexed).extend(segments);
    }

    pub fn take_unindexed(&self) -> Vec<(SegmentRecord, Directory)> {
        std::mem::take(&mut lock(&self.unindexed))
    }

    /// Fails if an earlier job failed: with that error once, then with a reminder of it.
    pub fn check(&self) -> Result<()> {
        match &*lock(&self.failure) {
            None => Ok(()),
            Some(text) => Err(lock(&self.first_failure)
                .take()
                .unwrap_or_else(|| Error::new(ErrorKind::Poisoned, "store chunk").with("earlier error", text))),
        }
    }

    /// Whether a job failed; leaves the error for the session's owner.
    pub fn is_poisoned(&self) -> bool {
        lock(&self.failure).is_some()
    }

    fn poison(&self, error: Error) {
        let mut failure = lock(&self.failure);
        if failure.is_none() {
            *failure = Some(error.to_string());
            *lock(&self.first_failure) = Some(error);
        }
    }

    /// Lets nothing more be written after an error that its finder reports.
    pub fn poison_after(&self, error: &Error) {
        lock(&self.failure).get_or_insert_with(|| error.to_string());
    }

    fn run(&self, job: Job, tools: &mut Tools) {
        let done = match job {
            Job::Frame { class, chunks, plain } => self.store_frame(class, &chunks, plain, tools),
            Job::Chunk { class, plain, reply } => self.store_chunk(class, plain, &reply, tools),
            Job::Close(class) => self.close_open(class, tools),
        };
        if let Err(error) = done {
            self.poison(error);
        }
    }

    fn store_chunk(&self, class: Class, plain: Vec<u8>, reply: &Sender<ChunkId>, tools: &mut Tools) -> Result<()> {
        let id = self.office.hasher.id(class.into(), &plain);
        let new = self.claim(&id);
        // Whoever asked may be gone after an error of its own.
        let _ = reply.send(id);
        if !new {
            return Ok(());
        }
        self.store_frame(class, &[ChunkEntry { id, bytes: plain.len() as u32 }], plain, tools)
    }

    fn store_frame(&self, class: Class, chunks: &[ChunkEntry], plain: Vec<u8>, tools: &mut Tools) -> Result<()> {
        let compressed = &mut tools.scratch.stored;
        compressed.clear();
        let codec = tools.compressor.compress(&plain, compressed)?;
        {
            let mut totals = lock(&self.totals);
            totals.new_bytes += plain.len() as u64;
            totals.stored_bytes += compressed.len() as u64;
            totals.chunks += chunks.len() as u64;
        }
        drop(plain);
        match self.append(class, codec.as_u8(), compressed, chunks) {
            None => Ok(()),
            Some((full, slot)) => self.close(full, slot, tools),
        }
    }

    /// Appends a frame to the open segment, or to a new one if it does not fit any more: then whoever called has the
    /// full one to close. So no segment exceeds its limit, but for a single frame that does.
    ///
    /// The slot is taken while the builder is locked: workers wait here rather than fill more segments.
    fn append(
        &self,
        class: Class,
        codec: u8,
        compressed: &[u8],
        chunks: &[ChunkEntry],
    ) -> Option<(SegmentBuilder, Slot)> {
        let limit = self.closed_at[usize::from(class == Class::Tree)];
        let mut builder = self.builder(class);
        let fits = builder.is_empty() || (builder.stored_bytes() + compressed.len() <= limit && !builder.is_crowded());
        let full = (!fits).then(|| self.replaced(&mut builder, class));
        builder.append(codec, compressed, chunks);
        full
    }

    /// Closes the open segment, if anything is in it.
    fn close_open(&self, class: Class, tools: &mut Tools) -> Result<()> {
        let (full, slot) = {
            let mut builder = self.builder(class);
            if builder.is_empty() {
                return Ok(());
            }
            self.replaced(&mut builder, class)
        };
        self.close(full, slot, tools)
    }

    fn replaced(&self, builder: &mut SegmentBuilder, class: Class) -> (SegmentBuilder, Slot) {
        let tree = usize::from(class == Class::Tree);
        let slot = Slots::take(&self.slots[tree]);
        let next = SegmentBuilder::in_buffer(class, self.spare[tree].take(self.closed_at[tree]));
        (std::mem::replace(builder, next), slot)
    }

    /// Seals a full segment, reads it back, and hands it to a publisher.
    fn close(&self, builder: SegmentBuilder, slot: Slot, tools: &mut Tools) -> Result<()> {
        let sealer = self.office.sealer();
        let segment = builder.finish(&sealer)?;
        segment::verify(&sealer, &self.office.hasher, &mut tools.scratch, &segment)?;
        let full = FullSegment { segment, _slot: slot };
        let publishers = lock(&self.segments).clone();
        match publishers {
            Some(publishers) => publishers
                .send(full)
                .map_err(|_| Error::new(ErrorKind::Poisoned, "put segment").with("reason", "publishers are gone")),
            None => {
                self.put(full);
                Ok(())
            }
        }
    }

    /// Puts a segment; only when it is durable the index knows its chunks.
    fn put(&self, full: FullSegment) {
        let FullSegment { segment: FinishedSegment { record, directory, bytes }, _slot } = full;
        // Declared after the slot, so dropped before it: whoever waits for the slot sees the failure.
        let _guard = PoisonOnPanic(self);
        let name = ObjectName::of("segments", record.id);
        let spare = &self.spare[usize::from(record.class == Class::Tree)];
        let done = self
            .office
            .store
            .put(&name, Payload::from(spare.lend(bytes)))
            .and_then(|()| self.index.write().add_segment(record.clone(), &directory));
        if let Err(error) = done {
            return self.poison(error);
        }
        lock(&self.relied).insert(record.id);
        {
            let mut fresh = lock(&self.fresh);
            for chunk in &directory.chunks {
                fresh.remove(&chunk.id);
            }
        }
        lock(&self.unindexed).push((record, directory));
    }

    fn builder(&self, class: Class) -> MutexGuard<'_, SegmentBuilder> {
        lock(&self.builders[usize::from(class == Class::Tree)])
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Jobs handed over and not done yet.
#[derive(Default)]
struct JobCount {
    state: Mutex<JobsState>,
    changed: Condvar,
}

#[derive(Default)]
struct JobsState {
    count: usize,
    bytes: usize,
}

impl JobCount {
    /// Waits until there is room for `bytes` within `limit`, or nothing else is there, or nothing will be done any more.
    fn begin(&self, bytes: usize, limit: usize, hopeless: &dyn Fn() -> bool) {
        let mut state = lock(&self.state);
        while state.bytes > 0 && state.bytes + bytes > limit && !hopeless() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.count += 1;
        state.bytes += bytes;
    }

    fn end(&self, bytes: usize) {
        let mut state = lock(&self.state);
        state.count -= 1;
        state.bytes -= bytes;
        self.changed.notify_all();
    }

    fn wait_for_all(&self) {
        let mut state = lock(&self.state);
        while state.count > 0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Counts full segments in memory.
struct Slots {
    most: usize,
    taken: Mutex<usize>,
    changed: Condvar,
}

impl Slots {
    fn of(most: usize) -> Self {
        Self { most, taken: Mutex::default(), changed: Condvar::new() }
    }

    /// Waits for a free slot and takes it.
    fn take(slots: &Arc<Self>) -> Slot {
        let mut taken = lock(&slots.taken);
        while *taken >= slots.most {
            taken = slots.changed.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        *taken += 1;
        Slot(Arc::clone(slots))
    }

    fn wait_for_all(&self) {
        let mut taken = lock(&self.taken);
        while *taken > 0 {
            taken = self.changed.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A taken slot; given back when dropped.
struct Slot(Arc<Slots>);

impl Drop for Slot {
    fn drop(&mut self) {
        *lock(&self.0.taken) -= 1;
        self.0.changed.notify_all();
    }
}

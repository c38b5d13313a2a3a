//! Reads chunks: locate, get the frame, open, decompress, check against the name.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::session::{Holdings, SharedIndex, complete_index};
use super::{ChunkSource, Office};
use crate::backend::{ByteRange, ObjectName, Prefix};
use crate::compress::Decompressor;
use crate::error::{Error, ErrorKind, Result, is_finding};
use crate::id::{ChunkId, SegmentId};
use crate::index::Place;
use crate::limits::{MIB, SEGMENT_BYTES_MAX};
use crate::segment::{Class, FrameOpener};

/// Plaintext bytes of opened frames that are kept for the next chunk.
pub(super) const FRAME_CACHE_BYTES: usize = 16 * MIB;
/// How often the index is completed for one chunk.
const COMPLETED_MAX: usize = 16;
/// Segments whose keys are kept derived.
const OPENERS_MAX: usize = 256;

/// Reads chunks by name. Clones share the cache; use one per thread or share one.
#[derive(Clone)]
pub struct Reader {
    office: Arc<Office>,
    index: SharedIndex,
    cache: Arc<Mutex<FrameCache>>,
    /// Whether a segment is not offered any more once a chunk of it was found to be no good.
    distrusts: bool,
    completed: Arc<Completed>,
}

/// How often it was tried to complete the index, and which fragments the store had at the last time.
#[derive(Default)]
struct Completed {
    times: AtomicU64,
    fragments: Mutex<Option<BTreeSet<ObjectName>>>,
}

impl Reader {
    pub(super) fn new(office: Arc<Office>, index: SharedIndex) -> Self {
        Self { office, index, cache: Arc::default(), distrusts: false, completed: Arc::default() }
    }

    /// A reader that takes a segment with a damaged chunk out of the index, so that a writer that shares it relies on
    /// nothing in it. What can be read of it still can be.
    pub fn distrusting(self) -> Self {
        Self { distrusts: true, ..self }
    }

    /// How much the index knows of, what was stored since it was loaded included.
    pub fn holdings(&self) -> Holdings {
        Holdings::of(&self.index)
    }

    /// Whether the index knows a place of this chunk.
    pub fn knows(&self, id: &ChunkId) -> bool {
        self.index.read().contains(id)
    }

    /// The plaintext length of a chunk, if it is known.
    pub fn chunk_bytes(&self, id: &ChunkId) -> Option<u32> {
        self.index.read().locate(id).map(|place| place.bytes)
    }

    /// Where a chunk lies, for people who look into a repository.
    pub fn locate(&self, id: &ChunkId) -> Option<Place> {
        self.index.read().locate(id)
    }

    /// Tries the copies on offer. One that turns out to be no good is not offered any more: a writer that shares the
    /// index will store the chunk again.
    fn fetch_any(&self, class: Class, id: &ChunkId) -> Result<Bytes> {
        let Some(place) = self.index.read().locate(id) else {
            return Err(Error::new(ErrorKind::NotFound, "read chunk").with("chunk", id));
        };
        let mut failed = match self.fetch_or_spoil(class, id, &place) {
            Ok(chunk) => return Ok(chunk),
            Err(error) => about(error, id, &place),
        };
        let others = self.index.read().copies(id);
        for other in others.iter().filter(|other| other.segment != place.segment) {
            match self.fetch_or_spoil(class, id, other) {
                Ok(chunk) => return Ok(chunk),
                Err(error) => failed = graver(failed, about(error, id, other)),
            }
        }
        Err(failed)
    }

    fn fetch_or_spoil(&self, class: Class, id: &ChunkId, place: &Place) -> Result<Bytes> {
        let fetched = self.fetch_from(class, id, place);
        if fetched.as_ref().is_err_and(is_finding) {
            let mut index = self.index.write();
            match self.distrusts {
                true => index.withdraw(&place.segment),
                false => index.spoil(id, &place.segment),
            }
        }
        fetched
    }

    /// Reads this copy of a chunk and no other.
    pub(super) fn fetch_from(&self, class: Class, id: &ChunkId, place: &Place) -> Result<Bytes> {
        if place.class != class {
            return Err(Error::damaged("read chunk", "chunk is of another class"));
        }
        let frame = self.frame(place)?;
        let (start, end) = (place.offset as usize, place.offset as usize + place.bytes as usize);
        if end > frame.len() {
            return Err(Error::damaged("read chunk", "chunk lies outside its frame"));
        }
        let chunk = frame.slice(start..end);
        if self.office.hasher.id(class.into(), &chunk) != *id {
            return Err(Error::damaged("read chunk", "content differs from the name"));
        }
        Ok(chunk)
    }

    fn frame(&self, place: &Place) -> Result<Bytes> {
        let key = (place.segment, place.frame.number);
        if let Some(frame) = self.cache().frames.get(&key) {
            return Ok(frame.clone());
        }
        let opener = self.opener(place)?;
        let frame = match self.stored_frame(place).and_then(|stored| self.open_frame(&opener, place, stored)) {
            Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Io) => {
                self.frame_of_whole(&opener, place)?.ok_or(error)?
            }
            frame => frame?,
        };
        let mut cache = self.cache();
        // A chunk that is alone in its frame is hardly asked for twice.
        if place.bytes < place.frame.plain_bytes {
            cache.keep(key, frame.clone());
        }
        Ok(frame)
    }

    fn stored_frame(&self, place: &Place) -> Result<Bytes> {
        let range = ByteRange::Exact { offset: place.frame.offset, length: u64::from(place.frame.stored_bytes) };
        self.office.store.get(&ObjectName::of("segments", place.segment), range)
    }

    fn open_frame(&self, opener: &FrameOpener, place: &Place, stored: Bytes) -> Result<Bytes> {
        let mut stored = stored.try_into_mut().map_or_else(|shared| shared.to_vec(), Vec::from);
        let plain_bytes = place.frame.plain_bytes as usize;
        let mut plain = Vec::with_capacity(plain_bytes.min(crate::limits::FRAME_BYTES_MAX));
        let mut decompressor = self.cache().decompressors.pop().unwrap_or_default();
        opener.open(&mut decompressor, place.frame.number, &mut stored, place.frame.codec, plain_bytes, &mut plain)?;
        self.cache().decompressors.push(decompressor);
        Ok(Bytes::from(plain))
    }

    /// A frame that was damaged, from its whole segment: a store with redundancy repairs what is read whole, and only
    /// that (contract 10). The segment is kept, because damage is seldom alone; one that can not be repaired is not
    /// read again.
    fn frame_of_whole(&self, opener: &FrameOpener, place: &Place) -> Result<Option<Bytes>> {
        let Some(segment) = self.whole_segment(&place.segment)? else { return Ok(None) };
        let start = usize::try_from(place.frame.offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(place.frame.stored_bytes as usize);
        let stored = (end <= segment.len()).then(|| segment.slice(start..end));
        let frame = stored.and_then(|stored| self.open_frame(opener, place, stored).ok());
        if frame.is_none() {
            self.cache().give_up(place.segment);
        }
        Ok(frame)
    }

    fn whole_segment(&self, id: &SegmentId) -> Result<Option<Bytes>> {
        {
            let cache = self.cache();
            match &cache.whole {
                _ if cache.given_up.contains(id) => return Ok(None),
                Some((kept, segment)) if kept == id => return Ok(Some(segment.clone())),
                _ => {}
            }
        }
        match self.office.store.get_bounded(&ObjectName::of("segments", id), SEGMENT_BYTES_MAX) {
            Ok(segment) => {
                self.cache().whole = Some((*id, segment.clone()));
                Ok(Some(segment))
            }
            Err(error) if is_finding(&error) => {
                self.cache().give_up(*id);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn opener(&self, place: &Place) -> Result<Arc<FrameOpener>> {
        if let Some(opener) = self.cache().openers.get(&place.segment) {
            return Ok(Arc::clone(opener));
        }
        let opener = Arc::new(FrameOpener::new(&self.office.sealer(), &place.segment, &place.header)?);
        let mut cache = self.cache();
        if cache.openers.len() >= OPENERS_MAX {
            cache.openers.clear();
        }
        cache.openers.insert(place.segment, Arc::clone(&opener));
        Ok(opener)
    }

    /// Completes the index if the store has other fragments than the last time, and tells whether the index may now
    /// know what it did not know when that had been tried `times` times. Other threads that miss something wait for it,
    /// or what they look for would be reported as lost.
    ///
    /// The list is for every chunk that is missed: a collector may have moved it a moment ago.
    fn complete(&self, times: u64) -> Result<bool> {
        let mut known = self.completed.fragments.lock().unwrap_or_else(PoisonError::into_inner);
        if self.completed.times.load(Ordering::Acquire) != times {
            return Ok(true);
        }
        let listed = self.office.store.list(&Prefix::of("index"))?;
        let fragments: BTreeSet<ObjectName> = listed.into_iter().map(|object| object.name).collect();
        if known.as_ref() == Some(&fragments) {
            return Ok(false);
        }
        let added = complete_index(&self.office, &self.index);
        // One that failed half way may have brought what another thread misses.
        self.completed.times.fetch_add(1, Ordering::Release);
        let added = added?;
        *known = Some(fragments);
        Ok(added)
    }

    /// Tries every copy, and looks whether the index became incomplete or old, until there is no news: a collector
    /// may move a chunk again while the index is read.
    fn fetch_somewhere(&self, class: Class, id: &ChunkId) -> Result<Bytes> {
        let mut last = None;
        for _ in 0..COMPLETED_MAX {
            let times = self.completed.times.load(Ordering::Acquire);
            let failed = match self.fetch_any(class, id) {
                Err(error) if is_finding(&error) => error,
                done => return done,
            };
            let news = match self.complete(times) {
                // Whether it is anywhere is unknown: a store that does not answer, or refuses, must not look like a loss.
                Err(error) => return Err(graver(failed, error.with("chunk", id))),
                Ok(news) => news,
            };
            last = Some(failed);
            if !news {
                break;
            }
        }
        Err(last.unwrap_or_else(|| Error::new(ErrorKind::NotFound, "read chunk").with("chunk", id)))
    }

    fn cache(&self) -> MutexGuard<'_, FrameCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ChunkSource for Reader {
    /// Tries every copy before it gives up; then it looks whether the index became incomplete or old. Last come
    /// copies that are not on offer: in segments that are doomed, or said to be no good.
    fn fetch(&self, class: Class, id: &ChunkId) -> Result<Bytes> {
        let mut failed = match self.fetch_somewhere(class, id) {
            Err(error) if is_finding(&error) => error,
            done => return done,
        };
        let withdrawn = self.index.read().withdrawn_copies(id);
        for place in &withdrawn {
            match self.fetch_from(class, id, place) {
                Ok(chunk) => return Ok(chunk),
                Err(error) => failed = graver(failed, about(error, id, place)),
            }
        }
        Err(failed)
    }
}

/// The one of two errors that says more of a chunk. While a store does not answer, it is unknown whether it has a copy:
/// that must not look like a loss. A copy that is spoilt says more than that there is none.
fn graver(one: Error, other: Error) -> Error {
    let weight = |error: &Error| (!is_finding(error), error.kind() != ErrorKind::NotFound);
    if weight(&other) > weight(&one) { other } else { one }
}

fn about(error: Error, id: &ChunkId, place: &Place) -> Error {
    error.with("chunk", id).with("object", ObjectName::of("segments", place.segment))
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reader")
    }
}

/// Opened frames, the oldest leave first.
#[derive(Default)]
struct FrameCache {
    frames: HashMap<(SegmentId, u32), Bytes>,
    order: VecDeque<(SegmentId, u32)>,
    bytes: usize,
    /// Contexts nobody uses at the moment: at most one per thread that reads.
    decompressors: Vec<Decompressor>,
    openers: HashMap<SegmentId, Arc<FrameOpener>>,
    /// A segment that was read whole, because a part of it was damaged.
    whole: Option<(SegmentId, Bytes)>,
    /// Segments of which reading them whole does not help.
    given_up: HashSet<SegmentId>,
}

impl FrameCache {
    fn give_up(&mut self, id: SegmentId) {
        self.given_up.insert(id);
        self.whole = self.whole.take().filter(|(kept, _)| *kept != id);
    }

    fn keep(&mut self, key: (SegmentId, u32), frame: Bytes) {
        self.bytes += frame.len();
        if let Some(replaced) = self.frames.insert(key, frame) {
            self.bytes -= replaced.len();
        } else {
            self.order.push_back(key);
        }
        while self.bytes > FRAME_CACHE_BYTES && self.order.len() > 1 {
            if let Some(frame) = self.order.pop_front().and_then(|oldest| self.frames.remove(&oldest)) {
                self.bytes -= frame.len();
            }
        }
    }
}

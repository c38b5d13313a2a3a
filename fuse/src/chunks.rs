//! Chunks of data that were read last, or will be read next.
//!
//! A chunk that several readers want is fetched once; those who come while it is on its way wait for it. Threads
//! of their own fetch what is likely to be asked for soon.

use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};
use gabion_core::error::{Error, Result};
use gabion_core::id::ChunkId;
use gabion_core::limits::GROUPED_CHUNK_BYTES_MAX;
use gabion_core::recent::Recent;
use gabion_core::repository::{ChunkSource, Reader};
use gabion_core::segment::Class;

/// Chunks that may wait to be read ahead.
const QUEUE: usize = 256;

/// The cache, and the threads that fill it.
pub(crate) struct Chunks {
    store: Arc<Store>,
    wanted: Sender<ChunkId>,
}

struct Store {
    reader: Reader,
    state: Mutex<State>,
    arrived: Condvar,
}

struct State {
    recent: Recent<ChunkId, Bytes>,
    coming: HashSet<ChunkId>,
}

impl Chunks {
    /// A cache of about `bytes_max` bytes, filled ahead by so many threads.
    pub fn new(reader: Reader, bytes_max: usize, threads: usize) -> Result<Self> {
        let state = State { recent: Recent::new(bytes_max), coming: HashSet::new() };
        let store = Arc::new(Store { reader, state: Mutex::new(state), arrived: Condvar::new() });
        let (wanted, queue) = bounded(QUEUE);
        for _ in 0..threads {
            let (store, queue) = (Arc::clone(&store), queue.clone());
            let thread = std::thread::Builder::new().name("read-ahead".to_owned());
            thread.spawn(move || read_ahead(&store, &queue)).map_err(|error| Error::from_io("start thread", error))?;
        }
        Ok(Self { store, wanted })
    }

    /// A chunk.
    pub fn get(&self, id: &ChunkId) -> Result<Bytes> {
        self.store.get(id)
    }

    /// A chunk is likely to be asked for soon. If there is too much to do already, nothing happens.
    pub fn expect(&self, id: &ChunkId) {
        let state = self.store.state();
        let known = state.recent.contains(id) || state.coming.contains(id);
        drop(state);
        if !known {
            // Full: whoever needs it fetches it.
            let _ = self.wanted.try_send(*id);
        }
    }
}

impl Store {
    fn get(&self, id: &ChunkId) -> Result<Bytes> {
        let mut state = self.state();
        loop {
            if let Some(chunk) = state.recent.get(id) {
                return Ok(chunk);
            }
            if state.coming.insert(*id) {
                break;
            }
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        let _arrival = Arrival { store: self, id };
        let mut chunk = self.reader.fetch(Class::Data, id)?;
        if chunk.len() <= GROUPED_CHUNK_BYTES_MAX {
            // It may be a part of a frame, which would stay in memory as long as the chunk does.
            chunk = Bytes::copy_from_slice(&chunk);
        }
        self.state().recent.keep(*id, chunk.clone(), chunk.len());
        Ok(chunk)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// However fetching a chunk ends, it is no longer on its way, and those who wait look again.
struct Arrival<'a> {
    store: &'a Store,
    id: &'a ChunkId,
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        self.store.state().coming.remove(self.id);
        self.store.arrived.notify_all();
    }
}

/// Ends when nobody can want anything any more. What can not be read is told to who really reads it.
fn read_ahead(store: &Store, queue: &Receiver<ChunkId>) {
    for id in queue {
        if !store.state().recent.contains(&id) {
            let _ = store.get(&id);
        }
    }
}

impl std::fmt::Debug for Chunks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Chunks")
    }
}

//! Keeps small objects that never change on the local disk: index fragments, archive records, tree segments.
//!
//! What is kept is never trusted: an object is taken from the disk only if its tail hash and its name fit, and the
//! engine opens it with its key as it would any other. Lists, sizes and whether an object exists always come from the
//! store. Nothing is lost if the cache is deleted; a cache that can not be written is no error.
//!
//! Which segments hold trees is told by the fifth byte of their header, which costs one small read per segment. A
//! tree segment is fetched as a whole when it is read for the second time.

mod shelf;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future;
use futures_util::stream::BoxStream;
use gabion_core::backend::{Backend, ByteRange, Capabilities, ObjectMeta, ObjectName, Payload, Prefix, PutMode};
use gabion_core::error::Result;
use gabion_core::seal::Kind;
use gabion_core::segment::Class;

use crate::class::class;
use shelf::Shelf;
pub use shelf::{Shelved, clean, contents};

/// Where a cache is and how large it may become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachePlace {
    /// A directory for this alone; it is made when something is put into it. Several stores may share it.
    pub directory: PathBuf,
    /// Bytes of all objects in it. What was not used for longest goes first.
    pub bytes_max: u64,
}

/// Segments whose class is remembered.
const CLASSES_MAX: usize = 64 * 1024;

/// Answers from the local disk what it can.
#[derive(Debug)]
pub struct CacheBackend {
    inner: Arc<dyn Backend>,
    shelf: Arc<Shelf>,
    classes: Mutex<HashMap<ObjectName, Class>>,
    /// Tree segments that are being fetched: whoever needs the same one waits for it.
    fetches: Mutex<HashMap<ObjectName, Arc<tokio::sync::Mutex<()>>>>,
}

/// What to do about an object, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    Forward,
    Keep,
    /// Kept if it is a tree segment.
    KeepTrees,
}

impl Habit {
    fn of(name: &ObjectName) -> Self {
        match shelf::kind(name) {
            Some(Kind::Index | Kind::Archive) => Self::Keep,
            Some(Kind::Segment) => Self::KeepTrees,
            _ => Self::Forward,
        }
    }

    /// Whether an object with this content is kept.
    fn keeps(self, bytes: &[u8]) -> bool {
        match self {
            Self::Forward => false,
            Self::Keep => true,
            Self::KeepTrees => class(bytes) == Some(Class::Tree),
        }
    }
}

/// The part of a header that tells the class.
const CLASS_RANGE: ByteRange = ByteRange::Exact { offset: 0, length: 5 };

impl CacheBackend {
    /// Keeps objects of `inner` in `place`, in a folder named after the store's location.
    pub fn new(inner: Arc<dyn Backend>, place: &CachePlace) -> Self {
        let shelf = Arc::new(Shelf::new(place, inner.location()));
        Self { inner, shelf, classes: Mutex::default(), fetches: Mutex::default() }
    }

    /// Reads a whole object from the store, keeps it if that is the habit, and tells whether it was kept.
    async fn get_and_keep(&self, name: &ObjectName, all: ByteRange, habit: Habit) -> Result<(Bytes, bool)> {
        let bytes = self.inner.get(name, all).await?;
        let kept = habit.keeps(&bytes) && self.shelf.keep(name, bytes.clone()).await;
        Ok((bytes, kept))
    }

    /// Reads a range of a segment that is not at hand.
    async fn get_from_segment(&self, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
        let known = self.classes().get(name).copied();
        match known {
            Some(Class::Data) => self.inner.get(name, range).await,
            Some(Class::Tree) => self.get_from_tree(name, range).await,
            None => {
                let (header, wanted) =
                    future::join(self.inner.get(name, CLASS_RANGE), self.inner.get(name, range)).await;
                if let Some(class) = header.ok().and_then(|header| class(&header)) {
                    self.remember(name, class);
                }
                wanted
            }
        }
    }

    async fn get_from_tree(&self, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
        let fetch = Arc::clone(lock(&self.fetches).entry(name.clone()).or_default());
        let turn = fetch.lock().await;
        if let Some(bytes) = self.shelf.read(name, range).await {
            return Ok(bytes);
        }
        let fetched = self.get_and_keep(name, ByteRange::WHOLE, Habit::KeepTrees).await;
        drop(turn);
        lock(&self.fetches).remove(name);
        let (whole, kept) = fetched?;
        if !kept {
            // No room, or not what it claims to be: from now on it is read piece by piece.
            self.remember(name, Class::Data);
        }
        match range {
            ByteRange::All { .. } => Ok(whole),
            ByteRange::Exact { offset, length } => match offset.checked_add(length) {
                Some(end) if end <= whole.len() as u64 => Ok(whole.slice(offset as usize..end as usize)),
                // The store shall say what it thinks of such a range.
                _ => self.inner.get(name, range).await,
            },
        }
    }

    fn remember(&self, name: &ObjectName, class: Class) {
        let mut classes = self.classes();
        if classes.len() >= CLASSES_MAX {
            classes.clear();
        }
        classes.insert(name.clone(), class);
    }

    fn classes(&self) -> MutexGuard<'_, HashMap<ObjectName, Class>> {
        lock(&self.classes)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Backend for CacheBackend {
    fn location(&self) -> &str {
        self.inner.location()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn put(&self, name: &ObjectName, payload: Payload, mode: PutMode) -> Result<()> {
        let habit = Habit::of(name);
        if habit == Habit::Forward {
            return self.inner.put(name, payload, mode).await;
        }
        self.inner.put(name, payload.clone(), mode).await?;
        if mode == PutMode::ReplaceExisting {
            self.shelf.forget(name).await;
        }
        let first = payload.pieces().first().cloned().unwrap_or_default();
        if habit.keeps(&first) {
            self.shelf.keep(name, payload.into_bytes()).await;
        }
        Ok(())
    }

    async fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
        let habit = Habit::of(name);
        if habit == Habit::Forward {
            return self.inner.get(name, range).await;
        }
        if let Some(bytes) = self.shelf.read(name, range).await {
            return Ok(bytes);
        }
        match (habit, range) {
            (_, ByteRange::All { .. }) => Ok(self.get_and_keep(name, range, habit).await?.0),
            (Habit::KeepTrees, ByteRange::Exact { .. }) => self.get_from_segment(name, range).await,
            (_, ByteRange::Exact { .. }) => self.inner.get(name, range).await,
        }
    }

    async fn head(&self, name: &ObjectName) -> Result<ObjectMeta> {
        self.inner.head(name).await
    }

    async fn delete(&self, name: &ObjectName) -> Result<()> {
        self.inner.delete(name).await?;
        if Habit::of(name) != Habit::Forward {
            self.shelf.forget(name).await;
        }
        Ok(())
    }

    fn list(&self, prefix: &Prefix) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }
}

#[cfg(test)]
mod tests;

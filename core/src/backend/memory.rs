//! The reference backend: a sorted map in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};

use super::{Backend, ByteRange, Capabilities, ObjectMeta, ObjectName, Payload, Permissions, Prefix, PutMode};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::OBJECT_BYTES_MAX;

/// Keeps objects in memory. Clones share them, so a test can open a repository twice.
#[derive(Clone, Debug, Default)]
pub struct MemoryBackend {
    objects: Arc<Mutex<BTreeMap<ObjectName, Bytes>>>,
}

impl MemoryBackend {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<ObjectName, Bytes>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Backend for MemoryBackend {
    fn location(&self) -> &str {
        "memory:"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            durable: false,
            list_staleness: Duration::ZERO,
            replace_existing: true,
            max_object_bytes: OBJECT_BYTES_MAX as u64,
            concurrency: 4,
            permissions: Permissions::All,
        }
    }

    async fn put(&self, name: &ObjectName, payload: Payload, mode: PutMode) -> Result<()> {
        let bytes = payload.into_bytes();
        let mut objects = self.objects();
        if mode == PutMode::ReplaceExisting && !objects.contains_key(name) {
            return Err(Error::new(ErrorKind::NotFound, "replace object").with("object", name));
        }
        objects.insert(name.clone(), bytes);
        Ok(())
    }

    async fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
        let bytes = self
            .objects()
            .get(name)
            .cloned()
            .ok_or_else(|| Error::new(ErrorKind::NotFound, "get object").with("object", name))?;
        let (offset, length) = range.within(name, bytes.len() as u64)?;
        Ok(bytes.slice(offset as usize..(offset + length) as usize))
    }

    async fn head(&self, name: &ObjectName) -> Result<ObjectMeta> {
        match self.objects().get(name) {
            Some(bytes) => Ok(ObjectMeta { name: name.clone(), bytes: bytes.len() as u64 }),
            None => Err(Error::new(ErrorKind::NotFound, "head object").with("object", name)),
        }
    }

    async fn delete(&self, name: &ObjectName) -> Result<()> {
        self.objects().remove(name);
        Ok(())
    }

    fn list(&self, prefix: &Prefix) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed: Vec<_> = self
            .objects()
            .iter()
            .filter(|(name, _)| prefix.covers(name))
            .map(|(name, bytes)| Ok(ObjectMeta { name: name.clone(), bytes: bytes.len() as u64 }))
            .collect();
        stream::iter(listed).boxed()
    }
}

//! A store of one's own: a hash map behind the trait, held to the contract by the conformance suite.
//!
//! `cargo run -p gabion-examples --example custom_backend`

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use gabion_core::backend::conformance::{Options, check};
use gabion_core::backend::{
    Backend, ByteRange, Capabilities, ObjectMeta, ObjectName, Payload, Permissions, Prefix, PutMode,
};
use gabion_core::error::{Error, ErrorKind, Result};
use gabion_core::limits::OBJECT_BYTES_MAX;

/// Objects in a hash map. A real store has a connection here instead.
#[derive(Debug, Default)]
struct MapBackend {
    objects: Mutex<HashMap<ObjectName, Bytes>>,
}

impl MapBackend {
    fn objects(&self) -> MutexGuard<'_, HashMap<ObjectName, Bytes>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, name: &ObjectName, operation: &'static str) -> Result<Bytes> {
        let found = self.objects().get(name).cloned();
        found.ok_or_else(|| Error::new(ErrorKind::NotFound, operation).with("object", name))
    }
}

#[async_trait]
impl Backend for MapBackend {
    fn location(&self) -> &str {
        "map:"
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
        // One lock over question and answer: nobody deletes in between.
        let mut objects = self.objects();
        if mode == PutMode::ReplaceExisting && !objects.contains_key(name) {
            return Err(Error::new(ErrorKind::NotFound, "replace object").with("object", name));
        }
        objects.insert(name.clone(), bytes);
        Ok(())
    }

    async fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
        let bytes = self.find(name, "get object")?;
        // Never fewer bytes than were asked for, and no object that is longer than the caller can take.
        let (offset, length) = range.within(name, bytes.len() as u64)?;
        Ok(bytes.slice(offset as usize..(offset + length) as usize))
    }

    async fn head(&self, name: &ObjectName) -> Result<ObjectMeta> {
        let bytes = self.find(name, "head object")?.len() as u64;
        Ok(ObjectMeta { name: name.clone(), bytes })
    }

    async fn delete(&self, name: &ObjectName) -> Result<()> {
        self.objects().remove(name);
        Ok(())
    }

    fn list(&self, prefix: &Prefix) -> BoxStream<'static, Result<ObjectMeta>> {
        let objects = self.objects();
        let listed = objects.iter().filter(|(name, _)| prefix.covers(name));
        let metas: Vec<_> =
            listed.map(|(name, bytes)| Ok(ObjectMeta { name: name.clone(), bytes: bytes.len() as u64 })).collect();
        stream::iter(metas).boxed()
    }
}

pub(crate) fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    // With two threads, tasks that compete really compete.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let report = runtime.block_on(check(Arc::new(MapBackend::default()), Options::quick()));
    println!("{report}");
    if report.is_clean() { Ok(()) } else { Err("the contract is broken".into()) }
}

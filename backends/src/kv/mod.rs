//! Repositories in key/value stores.
//!
//! An object is a *head*, one small value under `o/NAME`, and for larger objects *parts* under `p/NAME/TOKEN/NUMBER`,
//! each no longer than the store likes values to be. The head says how long the object is and under which token its
//! parts are; it is set last and in one step, so an object is there whole or not at all, and whoever reads while it is
//! replaced finds the old parts or looks again. What a put that never ended leaves behind are parts without a head:
//! nobody sees them.

mod head;
#[cfg(feature = "redb")]
mod redb;
#[cfg(feature = "redis")]
mod redis;

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use gabion_core::backend::{
    Backend, ByteRange, Capabilities, ObjectMeta, ObjectName, Payload, Permissions, Prefix, PutMode, check_length,
};
use gabion_core::error::{Error, ErrorKind, Result};
use gabion_core::limits::{MIB, OBJECT_BYTES_MAX};

#[cfg(feature = "redb")]
pub use self::redb::{RedbLocation, RedbStore};
#[cfg(feature = "redis")]
pub use self::redis::{RedisLocation, RedisStore};
use head::Head;

/// What a key/value store is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvTraits {
    /// Bytes of the longest value it should be given; at least 1 KiB.
    pub value_bytes_max: usize,
    /// What was set is safe against power loss when the call returns.
    pub durable: bool,
    /// How old the keys of a scan may be.
    pub list_staleness: Duration,
    /// Calls worth having under way at once.
    pub concurrency: usize,
}

/// Whether a value may be set where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// In any case.
    Always,
    /// Only over a value that is there at that moment.
    Existing,
}

/// A map from keys to values. [`KvBackend`] makes a store of objects of it.
///
/// Keys consist of `[a-z0-9._/-]`, at most 200 bytes. Every error says whether it is temporary.
#[async_trait]
pub trait KvStore: Debug + Send + Sync + 'static {
    /// Where the values are, for people; contains no secret.
    fn location(&self) -> &str;

    /// What the store is good for.
    fn traits(&self) -> KvTraits;

    /// The values of keys, in their order; together they have at most some MiB.
    async fn get(&self, keys: Vec<String>) -> Result<Vec<Option<Bytes>>>;

    /// Sets several keys nobody else uses, not necessarily in one step.
    async fn put(&self, pairs: Vec<(String, Bytes)>) -> Result<()>;

    /// Sets a key in one step and tells the value it had. With [`Swap::Existing`] nothing is set, and `None` told,
    /// where there is none.
    async fn swap(&self, key: &str, value: Bytes, swap: Swap) -> Result<Option<Bytes>>;

    /// Removes a key in one step and tells the value it had.
    async fn take(&self, key: &str) -> Result<Option<Bytes>>;

    /// Removes keys; those that are missing are fine.
    async fn delete(&self, keys: Vec<String>) -> Result<()>;

    /// The keys that begin with `prefix`: each that is there all the time, once, in any order.
    fn scan(&self, prefix: &str) -> BoxStream<'static, Result<String>>;
}

/// Objects up to this are kept in their heads.
const INLINE_BYTES_MAX: usize = 16 * 1024;
/// Bytes of parts from which on no more are read or written by the same call. A client may hold several copies of what it
/// sends.
const BATCH_BYTES: usize = MIB;
/// Heads that are read by one call.
const HEADS_AT_ONCE: usize = 256;
/// How often a reader looks again after the parts it wanted were gone.
const ATTEMPTS: usize = 20;

/// A store of objects in a key/value store.
#[derive(Debug)]
pub struct KvBackend<S> {
    store: std::sync::Arc<S>,
}

impl<S: KvStore> KvBackend<S> {
    /// Keeps objects in `store`.
    pub fn new(store: S) -> Self {
        Self { store: std::sync::Arc::new(store) }
    }

    fn part_bytes(&self) -> usize {
        self.store.traits().value_bytes_max.clamp(1024, head::PART_BYTES_MAX)
    }

    async fn head_of(&self, operation: &'static str, name: &ObjectName) -> Result<Head> {
        let mut found = self.store.get(vec![head_key(name)]).await.map_err(|error| error.with("object", name))?;
        match found.pop().flatten() {
            Some(value) => Head::decode(&value).map_err(|what| Error::damaged(operation, what).with("object", name)),
            None => Err(Error::new(ErrorKind::NotFound, operation).with("object", name)),
        }
    }

    /// Reads what was said to be there; `None` if a part is gone.
    async fn read(&self, name: &ObjectName, head: &Head, offset: u64, length: u64) -> Result<Option<Bytes>> {
        if let Some(inline) = &head.inline {
            return Ok(Some(inline.slice(offset as usize..(offset + length) as usize)));
        }
        if length == 0 {
            return Ok(Some(Bytes::new()));
        }
        let part_bytes = u64::from(head.part_bytes);
        let (first, last) = (offset / part_bytes, (offset + length - 1) / part_bytes);
        // The head may lie about its parts, so memory is only taken by what comes.
        let mut bytes = BytesMut::with_capacity((length as usize).min(BATCH_BYTES));
        let numbers: Vec<u64> = (first..=last).collect();
        for batch in numbers.chunks((BATCH_BYTES / head.part_bytes as usize).max(1)) {
            let keys = batch.iter().map(|number| part_key(name, head.token, *number)).collect();
            let parts = self.store.get(keys).await.map_err(|error| error.with("object", name))?;
            for (number, part) in batch.iter().zip(parts) {
                let Some(part) = part else { return Ok(None) };
                if part.len() as u64 != head.bytes_of(*number) {
                    return Err(Error::damaged("get object", "a part has another length").with("object", name));
                }
                let start = number * part_bytes;
                let (from, to) = (offset.max(start) - start, (offset + length).min(start + part_bytes) - start);
                bytes.extend_from_slice(&part[from as usize..to as usize]);
            }
        }
        Ok(Some(bytes.freeze()))
    }

    async fn put_parts(&self, name: &ObjectName, payload: Payload, part_bytes: usize) -> Result<Head> {
        let head = Head::of_parts(payload.len() as u64, part_bytes as u32)?;
        let whole = payload.into_bytes();
        let mut batch = Vec::new();
        let mut batched = 0;
        for (number, start) in (0..whole.len()).step_by(part_bytes).enumerate() {
            let part = whole.slice(start..whole.len().min(start + part_bytes));
            batched += part.len();
            batch.push((part_key(name, head.token, number as u64), part));
            if batched >= BATCH_BYTES {
                self.store.put(std::mem::take(&mut batch)).await?;
                batched = 0;
            }
        }
        if !batch.is_empty() {
            self.store.put(batch).await?;
        }
        Ok(head)
    }

    async fn put_object(&self, name: &ObjectName, payload: Payload, swap: Swap) -> Result<bool> {
        let part_bytes = self.part_bytes();
        let head = if payload.len() <= INLINE_BYTES_MAX.min(part_bytes / 2) {
            Head::of_inline(payload.into_bytes())
        } else {
            self.put_parts(name, payload, part_bytes).await?
        };
        let before = self.store.swap(&head_key(name), head.encode(), swap).await?;
        if before.is_none() && swap == Swap::Existing {
            self.delete_parts(name, &head).await?;
            return Ok(false);
        }
        if let Some(before) = before.and_then(|value| Head::decode(&value).ok()) {
            self.delete_parts(name, &before).await?;
        }
        Ok(true)
    }

    async fn delete_parts(&self, name: &ObjectName, head: &Head) -> Result<()> {
        let keys: Vec<String> = (0..head.parts()).map(|number| part_key(name, head.token, number)).collect();
        if keys.is_empty() { Ok(()) } else { self.store.delete(keys).await }
    }
}

fn head_key(name: &ObjectName) -> String {
    format!("o/{name}")
}

fn part_key(name: &ObjectName, token: u64, number: u64) -> String {
    format!("p/{name}/{token:016x}/{number:06x}")
}

#[async_trait]
impl<S: KvStore> Backend for KvBackend<S> {
    fn location(&self) -> &str {
        self.store.location()
    }

    fn capabilities(&self) -> Capabilities {
        let traits = self.store.traits();
        Capabilities {
            durable: traits.durable,
            list_staleness: traits.list_staleness,
            replace_existing: true,
            max_object_bytes: OBJECT_BYTES_MAX as u64,
            concurrency: traits.concurrency,
            permissions: Permissions::All,
        }
    }

    async fn put(&self, name: &ObjectName, payload: Payload, mode: PutMode) -> Result<()> {
        let (operation, swap) = match mode {
            PutMode::Write => ("put object", Swap::Always),
            PutMode::ReplaceExisting => ("replace object", Swap::Existing),
        };
        check_length(operation, name, payload.len() as u64, OBJECT_BYTES_MAX as u64)?;
        match self.put_object(name, payload, swap).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::new(ErrorKind::NotFound, operation).with("object", name)),
            Err(error) => Err(error.with("object", name)),
        }
    }

    async fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
        for _ in 0..ATTEMPTS {
            let head = self.head_of("get object", name).await?;
            let (offset, length) = range.within(name, head.bytes)?;
            if let Some(bytes) = self.read(name, &head, offset, length).await? {
                return Ok(bytes);
            }
            // A part is gone: it was replaced or deleted meanwhile, or it is lost.
            if self.head_of("get object", name).await?.token == head.token {
                return Err(Error::damaged("get object", "a part is missing").with("object", name));
            }
        }
        let error = Error::new(ErrorKind::Connection, "get object").with("object", name);
        Err(error.with("reason", "it is replaced all the time").temporary())
    }

    async fn head(&self, name: &ObjectName) -> Result<ObjectMeta> {
        Ok(ObjectMeta { name: name.clone(), bytes: self.head_of("head object", name).await?.bytes })
    }

    async fn delete(&self, name: &ObjectName) -> Result<()> {
        let told = |error: Error| error.with("object", name);
        let before = self.store.take(&head_key(name)).await.map_err(told)?;
        match before.and_then(|value| Head::decode(&value).ok()) {
            Some(head) => self.delete_parts(name, &head).await.map_err(told),
            None => Ok(()),
        }
    }

    /// Heads that can not be read are listed with no bytes: they are objects, if damaged ones.
    fn list(&self, prefix: &Prefix) -> BoxStream<'static, Result<ObjectMeta>> {
        let start = prefix.parts().map_or_else(|| "o/".to_owned(), |parts| format!("o/{parts}/"));
        let store = std::sync::Arc::clone(&self.store);
        let keys = self.store.scan(&start).try_chunks(HEADS_AT_ONCE).map_err(|chunk| chunk.1);
        let prefix = prefix.clone();
        keys.and_then(move |keys| {
            let (store, prefix) = (std::sync::Arc::clone(&store), prefix.clone());
            async move {
                let named = |key: &String| {
                    let name = ObjectName::new(key.strip_prefix("o/")?).ok()?;
                    prefix.covers(&name).then_some(name)
                };
                let (names, keys): (Vec<_>, Vec<_>) =
                    keys.into_iter().filter_map(|key| Some((named(&key)?, key))).unzip();
                let heads = store.get(keys).await?;
                let found = names.into_iter().zip(heads).filter_map(|(name, head)| {
                    let bytes = head.map(|value| Head::decode(&value).map_or(0, |head| head.bytes))?;
                    Some(Ok(ObjectMeta { name, bytes }))
                });
                Ok(futures_util::stream::iter(found.collect::<Vec<_>>()))
            }
        })
        .try_flatten()
        .boxed()
    }
}

#[cfg(test)]
mod tests;

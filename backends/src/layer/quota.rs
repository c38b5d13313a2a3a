//! A store that takes no more bytes than it was granted.
//!
//! What is there is counted by a list before the first put, and again before a put is refused and whenever half of
//! what was free is used up, because others may put and delete at the same time. In between it only grows: what failed,
//! was replaced or deleted is found free by the next count.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use gabion_core::backend::{Backend, ByteRange, Capabilities, ObjectMeta, ObjectName, Payload, Prefix, PutMode};
use gabion_core::error::{Error, ErrorKind, Result};

/// A store with a quota.
#[derive(Debug)]
pub struct QuotaBackend {
    inner: Arc<dyn Backend>,
    quota: u64,
    usage: tokio::sync::Mutex<Option<Usage>>,
    under_way: Mutex<Vec<Put>>,
}

/// Bytes of all objects, those under way included.
#[derive(Clone, Copy, Debug)]
struct Usage {
    bytes: u64,
    /// When so much is used, the rest is counted again.
    count_again_at: u64,
}

/// An object that is put: a list may show it, show what it replaces, or not show it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Put {
    name: ObjectName,
    bytes: u64,
}

impl QuotaBackend {
    /// Grants `quota` bytes of objects in `inner`, all of them counted.
    pub fn new(inner: Arc<dyn Backend>, quota: u64) -> Self {
        Self { inner, quota, usage: tokio::sync::Mutex::default(), under_way: Mutex::default() }
    }

    fn under_way(&self) -> MutexGuard<'_, Vec<Put>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts all bytes there will be when `put` and everything under way is there.
    async fn count(&self, put: &Put) -> Result<Usage> {
        let mut coming = HashMap::from([(put.name.clone(), put.bytes)]);
        for Put { name, bytes } in &*self.under_way() {
            let most = coming.entry(name.clone()).or_default();
            *most = (*most).max(*bytes);
        }
        let add = |sum: u64, object: ObjectMeta| {
            let counted = coming.get(&object.name).copied().unwrap_or(0);
            std::future::ready(Ok(sum.saturating_add(object.bytes.saturating_sub(counted))))
        };
        let bytes = self.inner.list(&Prefix::all()).try_fold(coming.values().sum::<u64>(), add).await?;
        Ok(Usage { bytes, count_again_at: bytes + self.quota.saturating_sub(bytes) / 2 })
    }

    /// Takes what `put` needs off what is free until the guard is gone, or says that there is not so much.
    async fn take(&self, put: Put) -> Result<UnderWay<'_>> {
        let mut usage = self.usage.lock().await;
        let then = match *usage {
            Some(Usage { bytes, count_again_at }) if bytes.saturating_add(put.bytes) <= count_again_at => {
                Usage { bytes: bytes + put.bytes, count_again_at }
            }
            _ => self.count(&put).await?,
        };
        if then.bytes > self.quota {
            return Err(Error::new(ErrorKind::NoSpace, "put object")
                .with("object", put.name)
                .with("quota", self.quota)
                .with("used", then.bytes - put.bytes));
        }
        *usage = Some(then);
        self.under_way().push(put.clone());
        Ok(UnderWay { backend: self, put })
    }
}

/// A put under way, until this is dropped.
struct UnderWay<'a> {
    backend: &'a QuotaBackend,
    put: Put,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut under_way = self.backend.under_way();
        if let Some(at) = under_way.iter().position(|put| *put == self.put) {
            under_way.swap_remove(at);
        }
    }
}

#[async_trait]
impl Backend for QuotaBackend {
    fn location(&self) -> &str {
        self.inner.location()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    /// `NoSpace` with the facts `quota` and `used` if there is no room.
    async fn put(&self, name: &ObjectName, payload: Payload, mode: PutMode) -> Result<()> {
        let _under_way = self.take(Put { name: name.clone(), bytes: payload.len() as u64 }).await?;
        self.inner.put(name, payload, mode).await
    }

    async fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
        self.inner.get(name, range).await
    }

    async fn head(&self, name: &ObjectName) -> Result<ObjectMeta> {
        self.inner.head(name).await
    }

    async fn delete(&self, name: &ObjectName) -> Result<()> {
        self.inner.delete(name).await
    }

    fn list(&self, prefix: &Prefix) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }
}

#[cfg(test)]
mod tests {
    use gabion_core::backend::MemoryBackend;
    use tokio::runtime::Builder;

    use super::super::limit::{Bandwidth, LimitBackend, Limits};
    use super::super::testing::{keeps_the_contract, named, runtime};
    use super::*;

    #[test]
    fn with_room_it_keeps_the_contract() {
        keeps_the_contract(|inner| Arc::new(QuotaBackend::new(inner, 1 << 40)));
    }

    #[test]
    fn what_is_over_the_quota_is_refused_and_deleting_makes_room() {
        runtime().block_on(async {
            let store = Arc::new(MemoryBackend::new());
            store.put(&named("old"), vec![0; 30].into(), PutMode::Write).await.unwrap();
            let client = QuotaBackend::new(Arc::clone(&store) as _, 100);
            let put = |name: &str, bytes: usize| {
                let (client, name) = (&client, named(name));
                async move { client.put(&name, vec![0; bytes].into(), PutMode::Write).await }
            };
            put("a", 40).await.unwrap();
            let error = put("b", 31).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NoSpace);
            assert_eq!((error.context("quota"), error.context("used")), (Some("100"), Some("70")));
            // The same again is not counted twice where it matters.
            for _ in 0..5 {
                put("a", 40).await.unwrap();
            }
            put("b", 30).await.unwrap();
            assert!(put("c", 1).await.is_err());
            // Others make room, and take it.
            store.delete(&named("old")).await.unwrap();
            put("c", 20).await.unwrap();
            client.delete(&named("a")).await.unwrap();
            put("d", 50).await.unwrap();
            assert!(put("e", 1).await.is_err());
            assert_eq!(client.head(&named("e")).await.unwrap_err().kind(), ErrorKind::NotFound);
        });
    }

    #[test]
    fn what_is_under_way_is_counted_once() {
        Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(async {
            let limits = Limits { upload: Some(Bandwidth::new(1)), ..Limits::default() };
            let slow = Arc::new(LimitBackend::new(Arc::new(MemoryBackend::new()), limits));
            slow.put(&named("old"), vec![0; 40].into(), PutMode::Write).await.unwrap();
            let client = QuotaBackend::new(Arc::clone(&slow) as _, 100);
            let put = |name: &'static str, bytes: usize| {
                let client = &client;
                async move { client.put(&named(name), vec![0; bytes].into(), PutMode::Write).await }
            };
            // All of them begin before any of them is there.
            let (a, old, b) = tokio::join!(put("a", 50), put("old", 50), put("b", 10));
            assert_eq!((a.is_ok(), old.is_ok(), b.unwrap_err().context("used")), (true, true, Some("100")));
            // Nobody uses what is deleted twice for more than it was.
            let a = named("a");
            let deleted = tokio::join!(client.delete(&a), client.delete(&a));
            assert!(deleted.0.is_ok() && deleted.1.is_ok());
            put("b", 50).await.unwrap();
            assert!(put("c", 1).await.is_err());
        });
    }
}

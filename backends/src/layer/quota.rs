//! A store that takes no more bytes than it was granted.
//!
//! What is there is counted by a list before the first put, and again before a put is refused and whenever half of
//! what was free is used up, because others may put and delete at the same time.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use gabion_core::backend::{Backend, ByteRange, Capabilities, ObjectMeta, ObjectName, Payload, Prefix, PutMode};
use gabion_core::error::{Error, ErrorKind, Result};
use tokio::sync::Mutex;

/// A store with a quota.
#[derive(Debug)]
pub struct QuotaBackend {
    inner: Arc<dyn Backend>,
    quota: u64,
    usage: Mutex<Option<Usage>>,
}

#[derive(Clone, Copy, Debug)]
struct Usage {
    bytes: u64,
    /// When so much is used, the rest is counted again.
    count_again_at: u64,
}

impl QuotaBackend {
    /// Grants `quota` bytes of objects in `inner`, all of them counted.
    pub fn new(inner: Arc<dyn Backend>, quota: u64) -> Self {
        Self { inner, quota, usage: Mutex::new(None) }
    }

    async fn count(&self) -> Result<Usage> {
        let add = |sum: u64, object: ObjectMeta| std::future::ready(Ok(sum.saturating_add(object.bytes)));
        let bytes = self.inner.list(&Prefix::all()).try_fold(0, add).await?;
        Ok(Usage { bytes, count_again_at: bytes + self.quota.saturating_sub(bytes) / 2 })
    }

    /// Takes `bytes` off what is free, or says that there is not so much.
    async fn take(&self, name: &ObjectName, bytes: u64) -> Result<()> {
        let mut usage = self.usage.lock().await;
        let fits = |usage: &Usage| usage.bytes.saturating_add(bytes) <= self.quota;
        let mut current = match *usage {
            Some(known) if fits(&known) && known.bytes + bytes <= known.count_again_at => known,
            _ => self.count().await?,
        };
        if !fits(&current) {
            // What is replaced, or put once more, has its room already.
            current.bytes = current.bytes.saturating_sub(self.inner.head(name).await.map_or(0, |object| object.bytes));
        }
        let result = if fits(&current) {
            current.bytes += bytes;
            Ok(())
        } else {
            Err(Error::new(ErrorKind::NoSpace, "put object")
                .with("object", name)
                .with("quota", self.quota)
                .with("used", current.bytes))
        };
        // A refusal counted what it asked for as free: the next put counts again.
        *usage = result.is_ok().then_some(current);
        result
    }

    async fn give_back(&self, bytes: u64) {
        if let Some(usage) = &mut *self.usage.lock().await {
            usage.bytes = usage.bytes.saturating_sub(bytes);
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
        let bytes = payload.len() as u64;
        self.take(name, bytes).await?;
        let put = self.inner.put(name, payload, mode).await;
        if put.is_err() {
            self.give_back(bytes).await;
        }
        put
    }

    async fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
        self.inner.get(name, range).await
    }

    async fn head(&self, name: &ObjectName) -> Result<ObjectMeta> {
        self.inner.head(name).await
    }

    async fn delete(&self, name: &ObjectName) -> Result<()> {
        let bytes = self.inner.head(name).await.map_or(0, |object| object.bytes);
        self.inner.delete(name).await?;
        self.give_back(bytes).await;
        Ok(())
    }

    fn list(&self, prefix: &Prefix) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }
}

#[cfg(test)]
mod tests {
    use gabion_core::backend::MemoryBackend;

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
}

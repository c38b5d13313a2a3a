//! Holds a store's calls back: so many at once, so many bytes a second.
//!
//! A call waits until the bytes before it are paid for, then goes at full speed; over the length of some objects the
//! rate is what was asked for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use gabion_core::backend::{Backend, ByteRange, Capabilities, ObjectMeta, ObjectName, Payload, Prefix, PutMode};
use gabion_core::error::{Error, ErrorKind, Result};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until};

/// A number of bytes a second, shared by all who hold a clone.
#[derive(Clone, Debug)]
pub struct Bandwidth {
    bytes_per_second: u64,
    /// When what was sent so far is paid for.
    paid: Arc<Mutex<Option<Instant>>>,
}

impl Bandwidth {
    /// At least one byte a second.
    pub fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), paid: Arc::default() }
    }

    /// Waits for the turn of this many bytes: until everything before them is paid for.
    async fn turn(&self, bytes: u64) {
        sleep_until(self.charge(bytes)).await;
    }

    /// Charges for bytes and tells when it is their turn.
    fn charge(&self, bytes: u64) -> Instant {
        let price = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let turn = paid.map_or(now, |paid| paid.max(now));
        // A price beyond all time is no price anybody waits for.
        *paid = turn.checked_add(price);
        turn
    }
}

/// What a store may be asked for at once and in a second.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Calls under way at the same time.
    pub connections: Option<usize>,
    /// Bytes of objects that are put.
    pub upload: Option<Bandwidth>,
    /// Bytes of objects that are read.
    pub download: Option<Bandwidth>,
}

/// Holds calls back.
#[derive(Debug)]
pub struct LimitBackend {
    inner: Arc<dyn Backend>,
    limits: Limits,
    connections: Option<Semaphore>,
}

impl LimitBackend {
    /// Holds the calls of `inner` to `limits`; none of them at once would be no limit, so one is the least.
    pub fn new(inner: Arc<dyn Backend>, limits: Limits) -> Self {
        let connections = limits.connections.map(|count| Semaphore::new(count.clamp(1, 1024)));
        Self { inner, limits, connections }
    }

    /// Waits for a free connection. The semaphore is never closed, but nobody has to rely on that.
    async fn connection(&self, operation: &'static str) -> Result<Option<SemaphorePermit<'_>>> {
        let Some(free) = &self.connections else { return Ok(None) };
        let permit = free.acquire().await;
        permit.map(Some).map_err(|error| Error::new(ErrorKind::System, operation).because(error))
    }
}

#[async_trait]
impl Backend for LimitBackend {
    fn location(&self) -> &str {
        self.inner.location()
    }

    fn capabilities(&self) -> Capabilities {
        let inner = self.inner.capabilities();
        let concurrency = self.limits.connections.map_or(inner.concurrency, |count| count.clamp(1, 1024));
        Capabilities { concurrency, ..inner }
    }

    async fn put(&self, name: &ObjectName, payload: Payload, mode: PutMode) -> Result<()> {
        if let Some(upload) = &self.limits.upload {
            upload.turn(payload.len() as u64).await;
        }
        let _connection = self.connection("put object").await?;
        self.inner.put(name, payload, mode).await
    }

    async fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
        if let Some(download) = &self.limits.download {
            download.turn(0).await;
        }
        let _connection = self.connection("get object").await?;
        let bytes = self.inner.get(name, range).await?;
        if let Some(download) = &self.limits.download {
            // What was asked for may be any number, what came is paid for by whoever comes next.
            download.charge(bytes.len() as u64);
        }
        Ok(bytes)
    }

    async fn head(&self, name: &ObjectName) -> Result<ObjectMeta> {
        let _connection = self.connection("head object").await?;
        self.inner.head(name).await
    }

    async fn delete(&self, name: &ObjectName) -> Result<()> {
        let _connection = self.connection("delete object").await?;
        self.inner.delete(name).await
    }

    /// Lists are not counted: whoever reads one may make other calls before it ends, and would wait for itself.
    fn list(&self, prefix: &Prefix) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::TryStreamExt;
    use gabion_core::backend::MemoryBackend;
    use tokio::runtime::Builder;
    use tokio::task::{JoinSet, yield_now};

    use super::super::testing::{keeps_the_contract, named, runtime};
    use super::*;

    #[test]
    fn the_contract_is_kept() {
        let wide = Bandwidth::new(1 << 40);
        for limits in [
            Limits::default(),
            Limits { connections: Some(1), ..Limits::default() },
            Limits { connections: Some(3), upload: Some(wide.clone()), download: Some(wide) },
        ] {
            keeps_the_contract(|inner| Arc::new(LimitBackend::new(inner, limits)));
        }
    }

    /// Counts the calls under way at once.
    #[derive(Debug, Default)]
    struct Crowd(MemoryBackend, AtomicUsize, AtomicUsize);

    #[async_trait]
    impl Backend for Crowd {
        fn location(&self) -> &str {
            self.0.location()
        }

        fn capabilities(&self) -> Capabilities {
            self.0.capabilities()
        }

        async fn put(&self, name: &ObjectName, payload: Payload, mode: PutMode) -> Result<()> {
            let now = self.1.fetch_add(1, Ordering::SeqCst) + 1;
            self.2.fetch_max(now, Ordering::SeqCst);
            for _ in 0..20 {
                yield_now().await;
            }
            self.1.fetch_sub(1, Ordering::SeqCst);
            self.0.put(name, payload, mode).await
        }

        async fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
            self.0.get(name, range).await
        }

        async fn head(&self, name: &ObjectName) -> Result<ObjectMeta> {
            self.0.head(name).await
        }

        async fn delete(&self, name: &ObjectName) -> Result<()> {
            self.0.delete(name).await
        }

        fn list(&self, prefix: &Prefix) -> BoxStream<'static, Result<ObjectMeta>> {
            self.0.list(prefix)
        }
    }

    #[test]
    fn no_more_calls_are_under_way_than_allowed() {
        for (limit, expected) in [(Some(1), 1), (Some(3), 3), (None, 12)] {
            let crowd = Arc::new(Crowd::default());
            let limits = Limits { connections: limit, ..Limits::default() };
            let store = Arc::new(LimitBackend::new(crowd.clone(), limits));
            assert_eq!(store.capabilities().concurrency, limit.unwrap_or(4));
            Builder::new_current_thread().build().unwrap().block_on(async {
                let mut tasks = JoinSet::new();
                for number in 0..12 {
                    let store = Arc::clone(&store);
                    let name = named(&format!("a/{number}"));
                    tasks.spawn(async move { store.put(&name, vec![1].into(), PutMode::Write).await.unwrap() });
                }
                tasks.join_all().await;
            });
            assert_eq!(crowd.2.load(Ordering::SeqCst), expected);
        }
    }

    #[test]
    fn a_list_may_be_read_while_other_calls_are_made() {
        let store =
            LimitBackend::new(Arc::new(MemoryBackend::new()), Limits { connections: Some(1), ..Limits::default() });
        runtime().block_on(async {
            for name in ["a/1", "a/2"] {
                store.put(&named(name), vec![1].into(), PutMode::Write).await.unwrap();
            }
            let mut list = store.list(&Prefix::all());
            while let Some(object) = list.try_next().await.unwrap() {
                store.get(&object.name, ByteRange::WHOLE).await.unwrap();
            }
        });
    }

    /// Time stands still unless everybody waits, so nothing here depends on the speed of a machine.
    fn with_paused_time<T>(work: impl Future<Output = T>) -> (T, Duration) {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let began = Instant::now();
            let value = work.await;
            (value, began.elapsed())
        })
    }

    #[test]
    fn bytes_have_their_price_in_both_directions() {
        let limits = |upload, download| Limits {
            connections: None,
            upload: Some(Bandwidth::new(upload)),
            download: Some(Bandwidth::new(download)),
        };
        let store = LimitBackend::new(Arc::new(MemoryBackend::new()), limits(1000, 500));
        let ((), took) = with_paused_time(async {
            for number in 0..5 {
                store.put(&named(&format!("a/{number}")), vec![0; 1000].into(), PutMode::Write).await.unwrap();
            }
        });
        // The first goes at once, each further one waits for those before it.
        assert_eq!(took.as_secs(), 4);
        let ((), took) = with_paused_time(async {
            store.get(&named("a/0"), ByteRange::WHOLE).await.unwrap();
            store.get(&named("a/1"), ByteRange::Exact { offset: 0, length: 250 }).await.unwrap();
            store.get(&named("a/1"), ByteRange::Exact { offset: 0, length: 1 }).await.unwrap();
        });
        assert_eq!(took, Duration::from_millis(2500));
    }
}

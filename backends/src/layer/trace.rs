//! Counts what a store is asked for: calls, bytes and time, per method.
//!
//! It stands right above the store, so repetitions are counted one by one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use gabion_core::backend::{Backend, ByteRange, Capabilities, ObjectMeta, ObjectName, Payload, Prefix, PutMode};
use gabion_core::error::{ErrorKind, Result};

/// A method of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// An object is put.
    Put,
    /// An object that exists is replaced.
    Replace,
    /// A whole object is read.
    Get,
    /// A range of an object is read.
    GetRange,
    /// An object's size is asked for.
    Head,
    /// An object is removed.
    Delete,
    /// Objects are listed.
    List,
}

impl Method {
    /// Every method, in the order of reports.
    pub const ALL: [Self; 7] =
        [Self::Put, Self::Replace, Self::Get, Self::GetRange, Self::Head, Self::Delete, Self::List];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Replace => "replace",
            Self::Get => "get",
            Self::GetRange => "get-range",
            Self::Head => "head",
            Self::Delete => "delete",
            Self::List => "list",
        }
    }
}

/// What one method was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Calls that have ended; lists count when they are read to their end, fail, or are given up.
    pub calls: u64,
    /// Those of them that failed; that an object is missing is an answer, not a failure.
    pub failures: u64,
    /// Bytes sent or received by those that succeeded.
    pub bytes: u64,
    /// Objects that were listed.
    pub objects: u64,
    /// How long all of them took together.
    pub time: Duration,
    /// How long the slowest took.
    pub slowest: Duration,
}

/// What one store was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreTrace {
    /// The store, as [`Backend::location`] tells it.
    pub location: String,
    /// The methods that were called, in the order of [`Method::ALL`].
    pub methods: Vec<(Method, Totals)>,
}

/// Hears of the calls of every store that was opened with it. Clones share what they heard.
#[derive(Clone, Debug, Default)]
pub struct Trace(Arc<Mutex<Vec<(String, Counters)>>>);

impl Trace {
    /// A trace that has heard nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was heard so far, one entry per store.
    pub fn stores(&self) -> Vec<StoreTrace> {
        let stores = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stores.iter().map(|(location, counters)| counters.told(location.clone())).collect()
    }

    fn counters(&self, location: &str) -> Counters {
        let counters = Counters::default();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((location.to_owned(), counters.clone()));
        counters
    }
}

#[derive(Clone, Debug, Default)]
struct Counters(Arc<Mutex<[Totals; Method::ALL.len()]>>);

impl Counters {
    fn told(&self, location: String) -> StoreTrace {
        let totals = *self.totals();
        let called = Method::ALL.into_iter().zip(totals).filter(|(_, totals)| totals.calls > 0);
        StoreTrace { location, methods: called.collect() }
    }

    fn ended(&self, method: Method, began: Instant, failed: bool, bytes: usize, objects: u64) {
        let took = began.elapsed();
        let totals = &mut self.totals()[method as usize];
        totals.calls += 1;
        totals.failures += u64::from(failed);
        totals.bytes += bytes as u64;
        totals.objects += objects;
        totals.time += took;
        totals.slowest = totals.slowest.max(took);
    }

    fn totals(&self) -> MutexGuard<'_, [Totals; Method::ALL.len()]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a call failed, as opposed to being told that something is missing.
fn failed<T>(result: &Result<T>) -> bool {
    result.as_ref().is_err_and(|error| error.kind() != ErrorKind::NotFound)
}

/// Forwards everything and counts it.
#[derive(Debug)]
pub struct TraceBackend {
    inner: Arc<dyn Backend>,
    counters: Counters,
}

impl TraceBackend {
    /// Lets `trace` hear of all calls of `inner`.
    pub fn new(inner: Arc<dyn Backend>, trace: &Trace) -> Self {
        let counters = trace.counters(inner.location());
        Self { inner, counters }
    }
}

#[async_trait]
impl Backend for TraceBackend {
    fn location(&self) -> &str {
        self.inner.location()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn put(&self, name: &ObjectName, payload: Payload, mode: PutMode) -> Result<()> {
        let method = match mode {
            PutMode::Write => Method::Put,
            PutMode::ReplaceExisting => Method::Replace,
        };
        let (began, bytes) = (Instant::now(), payload.len());
        let result = self.inner.put(name, payload, mode).await;
        self.counters.ended(method, began, failed(&result), if result.is_ok() { bytes } else { 0 }, 0);
        result
    }

    async fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
        let method = match range {
            ByteRange::All { .. } => Method::Get,
            ByteRange::Exact { .. } => Method::GetRange,
        };
        let began = Instant::now();
        let result = self.inner.get(name, range).await;
        self.counters.ended(method, began, failed(&result), result.as_ref().map_or(0, Bytes::len), 0);
        result
    }

    async fn head(&self, name: &ObjectName) -> Result<ObjectMeta> {
        let began = Instant::now();
        let result = self.inner.head(name).await;
        self.counters.ended(Method::Head, began, failed(&result), 0, 0);
        result
    }

    async fn delete(&self, name: &ObjectName) -> Result<()> {
        let began = Instant::now();
        let result = self.inner.delete(name).await;
        self.counters.ended(Method::Delete, began, failed(&result), 0, 0);
        result
    }

    fn list(&self, prefix: &Prefix) -> BoxStream<'static, Result<ObjectMeta>> {
        let counters = self.counters.clone();
        let mut list = ListUnderWay { counters, began: Instant::now(), objects: 0, failed: false };
        self.inner.list(prefix).inspect(move |item| list.heard(item)).boxed()
    }
}

/// Counts a list when it is dropped: read to its end, failed, or given up.
struct ListUnderWay {
    counters: Counters,
    began: Instant,
    objects: u64,
    failed: bool,
}

impl ListUnderWay {
    fn heard(&mut self, item: &Result<ObjectMeta>) {
        self.objects += u64::from(item.is_ok());
        self.failed |= item.is_err();
    }
}

impl Drop for ListUnderWay {
    fn drop(&mut self) {
        self.counters.ended(Method::List, self.began, self.failed, 0, self.objects);
    }
}

#[cfg(test)]
mod tests {
    use gabion_core::backend::MemoryBackend;

    use super::super::testing::{keeps_the_contract, named, runtime};
    use super::*;

    #[test]
    fn keeps_the_contract_and_hears_of_it() {
        let trace = Trace::new();
        keeps_the_contract(|inner| Arc::new(TraceBackend::new(inner, &trace)));
        let heard = trace.stores();
        assert_eq!(heard[0].methods.len(), Method::ALL.len(), "{heard:?}");
    }

    #[test]
    fn calls_are_counted_by_method() {
        let trace = Trace::new();
        let store = TraceBackend::new(Arc::new(MemoryBackend::new()), &trace);
        runtime().block_on(async {
            store.put(&named("a/1"), vec![0; 10].into(), PutMode::Write).await.unwrap();
            store.put(&named("a/2"), vec![0; 5].into(), PutMode::Write).await.unwrap();
            store.get(&named("a/1"), ByteRange::Exact { offset: 0, length: 3 }).await.unwrap();
            store.get(&named("a/1"), ByteRange::Exact { offset: 9, length: 3 }).await.unwrap_err();
            store.head(&named("a/9")).await.unwrap_err();
            assert_eq!(store.list(&Prefix::all()).count().await, 2);
        });
        let [heard] = &trace.stores()[..] else { panic!("one store") };
        assert_eq!(heard.location, "memory:");
        let counts: Vec<_> = heard
            .methods
            .iter()
            .map(|(method, totals)| (method.name(), totals.calls, totals.failures, totals.bytes, totals.objects))
            .collect();
        assert_eq!(
            counts,
            [("put", 2, 0, 15, 0), ("get-range", 2, 1, 3, 0), ("head", 1, 0, 0, 0), ("list", 1, 0, 0, 2)]
        );
    }
}

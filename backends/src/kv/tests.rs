//! The adapter over a map in memory: the contract, parts that go missing, values that lie.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures_util::stream;
use gabion_core::backend::conformance::{Options, check};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;

use super::*;

#[derive(Clone, Debug, Default)]
struct Map(Arc<Mutex<BTreeMap<String, Bytes>>>);

#[async_trait]
impl KvStore for Map {
    fn location(&self) -> &str {
        "map:"
    }

    fn traits(&self) -> KvTraits {
        KvTraits { value_bytes_max: 50_000, durable: false, list_staleness: Duration::ZERO, concurrency: 4 }
    }

    async fn get(&self, keys: Vec<String>) -> Result<Vec<Option<Bytes>>> {
        yield_now().await;
        let map = self.0.lock().unwrap();
        Ok(keys.iter().map(|key| map.get(key).cloned()).collect())
    }

    async fn put(&self, pairs: Vec<(String, Bytes)>) -> Result<()> {
        for (key, value) in pairs {
            yield_now().await;
            assert!(value.len() <= 50_000 && key.len() <= 200, "{key}");
            assert!(key.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'/' | b'-')), "{key}");
            self.0.lock().unwrap().insert(key, value);
        }
        Ok(())
    }

    async fn swap(&self, key: &str, value: Bytes, swap: Swap) -> Result<Option<Bytes>> {
        yield_now().await;
        let mut map = self.0.lock().unwrap();
        if swap == Swap::Existing && !map.contains_key(key) {
            return Ok(None);
        }
        assert!(value.len() <= 50_000);
        Ok(map.insert(key.to_owned(), value))
    }

    async fn take(&self, key: &str) -> Result<Option<Bytes>> {
        yield_now().await;
        Ok(self.0.lock().unwrap().remove(key))
    }

    async fn delete(&self, keys: Vec<String>) -> Result<()> {
        for key in keys {
            yield_now().await;
            self.0.lock().unwrap().remove(&key);
        }
        Ok(())
    }

    fn scan(&self, prefix: &str) -> BoxStream<'static, Result<String>> {
        let keys: Vec<_> = self.0.lock().unwrap().keys().filter(|key| key.starts_with(prefix)).cloned().collect();
        stream::iter(keys.into_iter().map(Ok)).boxed()
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn named(name: &str) -> ObjectName {
    ObjectName::new(name).unwrap()
}

#[test]
fn keeps_the_contract_and_leaves_nothing() {
    let map = Map::default();
    let report = runtime().block_on(check(Arc::new(KvBackend::new(map.clone())), Options::quick()));
    assert!(report.is_clean(), "{report}");
    // The suite drops puts half-way: what they leave are parts without a head.
    let left: Vec<_> = map.0.lock().unwrap().keys().filter(|key| !key.starts_with("p/")).cloned().collect();
    assert_eq!(left, [""; 0]);
}

#[test]
fn nothing_is_left_of_what_was_replaced_or_deleted() {
    let map = Map::default();
    let backend = KvBackend::new(map.clone());
    let keys = || map.0.lock().unwrap().len();
    runtime().block_on(async {
        let name = named("a/1");
        for bytes in [200_000, 120_000, 10, 120_000] {
            backend.put(&name, vec![7; bytes].into(), PutMode::Write).await.unwrap();
            let parts = if bytes == 10 { 0 } else { bytes.div_ceil(50_000) };
            assert_eq!(keys(), 1 + parts);
        }
        backend.put(&named("a/2"), vec![7; 90_000].into(), PutMode::ReplaceExisting).await.unwrap_err();
        assert_eq!(keys(), 4);
        backend.delete(&name).await.unwrap();
        assert_eq!(keys(), 0);
    });
}

#[test]
fn lost_parts_and_lying_values_are_damage() {
    let map = Map::default();
    let backend = KvBackend::new(map.clone());
    let spoil = |change: &dyn Fn(&mut BTreeMap<String, Bytes>, String)| {
        let mut map = map.0.lock().unwrap();
        let part = map.keys().filter(|key| key.starts_with("p/")).nth(1).unwrap().clone();
        change(&mut map, part);
    };
    runtime().block_on(async {
        let name = named("a/1");
        type Change<'a> = &'a dyn Fn(&mut BTreeMap<String, Bytes>, String);
        let changes: [Change<'_>; 4] = [
            &|map, part| _ = map.remove(&part),
            &|map, part| _ = map.insert(part, Bytes::from_static(b"short")),
            &|map, _| _ = map.insert("o/a/1".to_owned(), Bytes::from_static(b"GKV1")),
            &|map, _| _ = map.insert("o/a/1".to_owned(), Bytes::from(vec![0xff; 24])),
        ];
        for change in changes {
            backend.put(&name, vec![7; 200_000].into(), PutMode::Write).await.unwrap();
            spoil(change);
            let error = backend.get(&name, ByteRange::WHOLE).await.unwrap_err();
            assert_eq!((error.kind(), error.context("object")), (ErrorKind::Damaged, Some("a/1")));
            let listed: Vec<_> = backend.list(&Prefix::all()).try_collect().await.unwrap();
            assert_eq!(listed.len(), 1, "a damaged object does not look deleted");
            // Putting it again mends it; parts nobody knows of any more stay.
            backend.put(&name, vec![8; 200_000].into(), PutMode::Write).await.unwrap();
            assert_eq!(backend.get(&name, ByteRange::WHOLE).await.unwrap(), vec![8; 200_000]);
            map.0.lock().unwrap().clear();
        }
    });
}

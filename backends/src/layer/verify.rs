//! Refuses objects that arrive broken: every sealed object ends in a hash of itself that needs no key.
//!
//! Only names of the engine's own kinds are looked at; other objects have no such end. What a client's redundancy layer
//! puts under these names has checksums of its own, which are compared instead.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use gabion_core::backend::{Backend, ByteRange, Capabilities, ObjectMeta, ObjectName, Payload, Prefix, PutMode};
use gabion_core::crypto::envelope::{Kind, verify_tail};
use gabion_core::error::Result;
use gabion_core::repository::Named;

use crate::{erasure, parity};

/// A store that takes no broken objects.
#[derive(Debug)]
pub struct VerifyBackend {
    inner: Arc<dyn Backend>,
}

impl VerifyBackend {
    /// Lets whole objects through to `inner`. What `inner` returns is not looked at: the engine does that.
    pub fn new(inner: Arc<dyn Backend>) -> Self {
        Self { inner }
    }
}

/// Whether an object of this name ends in a tail.
fn has_tail(name: &ObjectName) -> bool {
    let under = |namespace: &str| name.as_str().strip_prefix(namespace).is_some_and(|rest| rest.starts_with('/'));
    Named::of(name) == Named::Config || Kind::all().any(|kind| kind != Kind::Config && under(kind.namespace()))
}

/// Whether these bytes are just what was put under this name: by the engine, or by a redundancy layer over it.
pub(crate) fn check_whole(name: &ObjectName, bytes: &Bytes) -> Result<()> {
    if parity::is_object(name, bytes) || erasure::is_part(name, bytes) {
        return Ok(());
    }
    verify_tail(bytes).map_err(|error| error.with("object", name))
}

#[async_trait]
impl Backend for VerifyBackend {
    fn location(&self) -> &str {
        self.inner.location()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    /// `Damaged` if checksums do not fit the rest.
    async fn put(&self, name: &ObjectName, payload: Payload, mode: PutMode) -> Result<()> {
        let bytes = payload.into_bytes();
        if has_tail(name) {
            check_whole(name, &bytes)?;
        }
        self.inner.put(name, bytes.into(), mode).await
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
    use gabion_core::crypto::envelope::append_tail;
    use gabion_core::error::ErrorKind;

    use super::super::testing::{keeps_the_contract, named, runtime};
    use super::*;

    #[test]
    fn it_keeps_the_contract() {
        keeps_the_contract(|inner| Arc::new(VerifyBackend::new(inner)));
    }

    /// Notes what is put, as it is put.
    fn as_put(name: &ObjectName, wrap: impl FnOnce(Arc<dyn Backend>) -> Arc<dyn Backend>) -> Bytes {
        let store: Arc<dyn Backend> = Arc::new(MemoryBackend::new());
        let layer = wrap(Arc::clone(&store));
        runtime().block_on(async {
            layer.put(name, vec![5; 100_000].into(), PutMode::Write).await.unwrap();
            store.get(name, ByteRange::WHOLE).await.unwrap()
        })
    }

    #[test]
    fn what_redundancy_layers_put_arrives_whole_or_not_at_all() {
        let name = named("archives/a");
        let parity = |store| Arc::new(parity::ParityBackend::new(store, parity::Percent::new(10).unwrap())) as _;
        let erasure = |store| {
            let member = |location: &str, store| erasure::Member {
                location: location.to_owned(),
                store: Ok(store),
                own: None,
                depth: 0,
            };
            let members = vec![member("one", store), member("two", Arc::new(MemoryBackend::new()))];
            let split = erasure::Split::new(1, 1).unwrap();
            Arc::new(erasure::ErasureBackend::new(split, members, erasure::Purpose::Create).unwrap()) as _
        };
        for whole in [as_put(&name, parity), as_put(&name, erasure)] {
            let store = VerifyBackend::new(Arc::new(MemoryBackend::new()));
            let put =
                |name: &str, bytes: Vec<u8>| runtime().block_on(store.put(&named(name), bytes.into(), PutMode::Write));
            for at in (0..whole.len()).step_by(499).chain([whole.len() - 1]) {
                let mut broken = whole.to_vec();
                broken[at] ^= 1;
                assert_eq!(put("archives/a", broken).unwrap_err().kind(), ErrorKind::Damaged, "{at}");
            }
            for bad in [&whole[1..], &whole[..whole.len() - 1], &[&whole[..], &[0]].concat()] {
                assert_eq!(put("archives/a", bad.to_vec()).unwrap_err().kind(), ErrorKind::Damaged);
            }
            assert_eq!(put("archives/b", whole.to_vec()).unwrap_err().kind(), ErrorKind::Damaged, "of another name");
            put("archives/a", whole.to_vec()).unwrap();
        }
    }

    #[test]
    fn only_whole_objects_arrive() {
        runtime().block_on(async {
            let store = VerifyBackend::new(Arc::new(MemoryBackend::new()));
            let mut whole = b"sealed".to_vec();
            append_tail(&mut whole);
            let mut broken = whole.clone();
            broken[0] ^= 1;
            for name in [
                "config",
                "spare/identity",
                "keys/a",
                "segments/a",
                "index/0.a",
                "archives/a",
                "removed/a.b",
                "gc/doom/a",
            ] {
                let name = named(name);
                for bad in [&broken[..], &whole[1..], &whole[..whole.len() - 1], b""] {
                    let error = store.put(&name, bad.to_vec().into(), PutMode::Write).await.unwrap_err();
                    assert_eq!((error.kind(), error.context("object")), (ErrorKind::Damaged, Some(name.as_str())));
                    assert_eq!(store.head(&name).await.unwrap_err().kind(), ErrorKind::NotFound);
                }
                store.put(&name, whole.clone().into(), PutMode::Write).await.unwrap();
            }
            for name in ["gc/probe/a", "reserve/0", "segments", "other"] {
                store.put(&named(name), b"anything".to_vec().into(), PutMode::Write).await.unwrap();
            }
        });
    }
}

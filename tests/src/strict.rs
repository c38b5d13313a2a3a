//! A backend that takes the contract literally and blames its caller.
//!
//! The engine must never overwrite an object with other bytes, ask beyond the end of an object or put more than the
//! store takes. A store may let such things pass; this one refuses them, and remembers, in case the engine swallows
//! the error.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use gabion_core::backend::{Backend, ByteRange, Capabilities, ObjectMeta, ObjectName, Payload, Prefix, PutMode};
use gabion_core::error::{Error, ErrorKind, Result};

/// Forwards to another backend what a well-behaved caller asks. Clones share what was noticed.
#[derive(Clone, Debug)]
pub struct StrictBackend {
    inner: Arc<dyn Backend>,
    violations: Arc<Mutex<Vec<String>>>,
}

impl StrictBackend {
    /// A strict face of `inner`.
    pub fn new(inner: Arc<dyn Backend>) -> Self {
        Self { inner, violations: Arc::default() }
    }

    /// What the caller did wrong so far.
    pub fn violations(&self) -> Vec<String> {
        self.violations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn blame(&self, operation: &'static str, kind: ErrorKind, name: &ObjectName, what: &str) -> Error {
        let error = Error::new(kind, operation).with("object", name).with("reason", what);
        self.violations.lock().unwrap_or_else(PoisonError::into_inner).push(error.to_string());
        error
    }
}

#[async_trait]
impl Backend for StrictBackend {
    fn location(&self) -> &str {
        self.inner.location()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn put(&self, name: &ObjectName, payload: Payload, mode: PutMode) -> Result<()> {
        let blame = |kind, what| Err(self.blame("put object", kind, name, what));
        if payload.len() as u64 > self.inner.capabilities().max_object_bytes {
            return blame(ErrorKind::LimitExceeded, "larger than the store takes");
        }
        if mode == PutMode::Write {
            match self.inner.get(name, ByteRange::WHOLE).await {
                Ok(existing) if existing != payload.clone().into_bytes() => {
                    return blame(ErrorKind::AlreadyExists, "exists with other bytes");
                }
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.inner.put(name, payload, mode).await
    }

    async fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
        if let ByteRange::Exact { offset, length } = range {
            let bytes = self.inner.head(name).await?.bytes;
            if offset.checked_add(length).is_none_or(|end| end > bytes) {
                return Err(self.blame("get object", ErrorKind::Damaged, name, "range past the end"));
            }
        }
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
    use super::*;
    use gabion_core::backend::{MemoryBackend, Store};

    #[test]
    fn bad_manners_are_refused_and_remembered() {
        let strict = StrictBackend::new(Arc::new(MemoryBackend::new()));
        let store = Store::new(Arc::new(strict.clone())).unwrap();
        let name = ObjectName::new("a/1").unwrap();
        for _ in 0..2 {
            store.put(&name, Payload::from(vec![1; 10])).unwrap();
        }
        store.get(&name, ByteRange::Exact { offset: 5, length: 5 }).unwrap();
        assert_eq!(strict.violations(), Vec::<String>::new());

        let error = store.put(&name, Payload::from(vec![2; 10])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        let error = store.get(&name, ByteRange::Exact { offset: 5, length: 6 }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged);
        let huge = Payload::from_pieces(vec![Bytes::from(vec![0; 1 << 20]); 1025]);
        assert_eq!(store.put(&name, huge).unwrap_err().kind(), ErrorKind::LimitExceeded);
        assert_eq!(strict.violations().len(), 3);
        assert_eq!(store.get(&name, ByteRange::WHOLE).unwrap(), [1; 10][..]);
    }
}

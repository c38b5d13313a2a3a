//! A backend that lets a test act between two calls of the engine: another client, a collector, a hostile store.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use gabion_core::backend::{Backend, ByteRange, Capabilities, ObjectMeta, ObjectName, Payload, Prefix, PutMode};
use gabion_core::error::Result;

use crate::Method;

type Hook = dyn Fn(Method, &str) + Send + Sync;

/// Calls a hook before each call that it forwards. Clones share the hook.
#[derive(Clone)]
pub struct HookedBackend {
    inner: Arc<dyn Backend>,
    before: Arc<Hook>,
    after: Arc<Hook>,
}

impl HookedBackend {
    /// A face of `inner`. The hook hears the method and the object, or the parts of the prefix (empty for all); it
    /// may change what `inner` holds, but not through this backend.
    pub fn new(inner: Arc<dyn Backend>, before: impl Fn(Method, &str) + Send + Sync + 'static) -> Self {
        Self { inner, before: Arc::new(before), after: Arc::new(|_, _| {}) }
    }

    /// As [`HookedBackend::new`], but the hook is called after each call has succeeded (after a list began).
    pub fn after(inner: Arc<dyn Backend>, after: impl Fn(Method, &str) + Send + Sync + 'static) -> Self {
        Self { inner, before: Arc::new(|_, _| {}), after: Arc::new(after) }
    }
}

impl fmt::Debug for HookedBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HookedBackend({:?})", self.inner)
    }
}

#[async_trait]
impl Backend for HookedBackend {
    fn location(&self) -> &str {
        self.inner.location()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn put(&self, name: &ObjectName, payload: Payload, mode: PutMode) -> Result<()> {
        let method = if mode == PutMode::Write { Method::Put } else { Method::Replace };
        (self.before)(method, name.as_str());
        self.inner.put(name, payload, mode).await.inspect(|()| (self.after)(method, name.as_str()))
    }

    async fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
        let method = if matches!(range, ByteRange::All { .. }) { Method::Get } else { Method::GetRange };
        (self.before)(method, name.as_str());
        self.inner.get(name, range).await.inspect(|_| (self.after)(method, name.as_str()))
    }

    async fn head(&self, name: &ObjectName) -> Result<ObjectMeta> {
        (self.before)(Method::Head, name.as_str());
        self.inner.head(name).await.inspect(|_| (self.after)(Method::Head, name.as_str()))
    }

    async fn delete(&self, name: &ObjectName) -> Result<()> {
        (self.before)(Method::Delete, name.as_str());
        self.inner.delete(name).await.inspect(|()| (self.after)(Method::Delete, name.as_str()))
    }

    fn list(&self, prefix: &Prefix) -> BoxStream<'static, Result<ObjectMeta>> {
        let parts = prefix.parts().unwrap_or_default();
        (self.before)(Method::List, parts);
        let listed = self.inner.list(prefix);
        (self.after)(Method::List, parts);
        listed
    }
}

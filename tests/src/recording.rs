//! A backend that forwards everything and remembers it: what an operation costs can be stated in calls and bytes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use gabion_core::backend::{Backend, ByteRange, Capabilities, ObjectMeta, ObjectName, Payload, Prefix, PutMode};
use gabion_core::error::Result;

/// Which method of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// `put` with `PutMode::Write`.
    Put,
    /// `put` with `PutMode::ReplaceExisting`.
    Replace,
    /// `get` of a whole object.
    Get,
    /// `get` of a range.
    GetRange,
    /// `head`.
    Head,
    /// `delete`.
    Delete,
    /// `list`.
    List,
}

/// One call, in the order in which the calls began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Which method.
    pub method: Method,
    /// The object, or the parts of the prefix (empty for all).
    pub name: String,
    /// Bytes sent or received; 0 for calls without content and for those that failed.
    pub bytes: u64,
    /// Whether it succeeded; lists count as soon as they begin.
    pub ok: bool,
}

/// Forwards to another backend and keeps a log. Clones share the log.
#[derive(Clone, Debug)]
pub struct RecordingBackend {
    inner: Arc<dyn Backend>,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl RecordingBackend {
    /// A recorder in front of `inner`, with an empty log.
    pub fn new(inner: Arc<dyn Backend>) -> Self {
        Self { inner, calls: Arc::default() }
    }

    /// The calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.log().clone()
    }

    /// The calls so far; the log begins anew.
    pub fn take(&self) -> Vec<Call> {
        std::mem::take(&mut self.log())
    }

    /// How often a method was called for names under `namespace` (empty for all).
    pub fn count(&self, method: Method, namespace: &str) -> usize {
        self.log().iter().filter(|call| call.method == method && under(&call.name, namespace)).count()
    }

    /// The bytes a method moved for names under `namespace` (empty for all).
    pub fn bytes(&self, method: Method, namespace: &str) -> u64 {
        let fits = |call: &&Call| call.method == method && under(&call.name, namespace);
        self.log().iter().filter(fits).map(|call| call.bytes).sum()
    }

    fn log(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a call when it begins; the number is for [`RecordingBackend::ended`].
    fn began(&self, method: Method, name: &str) -> usize {
        let mut calls = self.log();
        calls.push(Call { method, name: name.to_owned(), bytes: 0, ok: method == Method::List });
        calls.len() - 1
    }

    fn ended(&self, number: usize, name: &ObjectName, bytes: Option<usize>) {
        // The log may have been taken meanwhile; then the number is another call's, or nobody's.
        if let Some(call) = self.log().get_mut(number).filter(|call| call.name == name.as_str()) {
            call.ok = bytes.is_some();
            call.bytes = bytes.unwrap_or(0) as u64;
        }
    }
}

fn under(name: &str, namespace: &str) -> bool {
    namespace.is_empty() || name.strip_prefix(namespace).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[async_trait]
impl Backend for RecordingBackend {
    fn location(&self) -> &str {
        self.inner.location()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn put(&self, name: &ObjectName, payload: Payload, mode: PutMode) -> Result<()> {
        let method = if mode == PutMode::Write { Method::Put } else { Method::Replace };
        let (number, bytes) = (self.began(method, name.as_str()), payload.len());
        let result = self.inner.put(name, payload, mode).await;
        self.ended(number, name, result.is_ok().then_some(bytes));
        result
    }

    async fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
        let method = if matches!(range, ByteRange::All { .. }) { Method::Get } else { Method::GetRange };
        let number = self.began(method, name.as_str());
        let result = self.inner.get(name, range).await;
        self.ended(number, name, result.as_ref().ok().map(Bytes::len));
        result
    }

    async fn head(&self, name: &ObjectName) -> Result<ObjectMeta> {
        let number = self.began(Method::Head, name.as_str());
        let result = self.inner.head(name).await;
        self.ended(number, name, result.is_ok().then_some(0));
        result
    }

    async fn delete(&self, name: &ObjectName) -> Result<()> {
        let number = self.began(Method::Delete, name.as_str());
        let result = self.inner.delete(name).await;
        self.ended(number, name, result.is_ok().then_some(0));
        result
    }

    fn list(&self, prefix: &Prefix) -> BoxStream<'static, Result<ObjectMeta>> {
        self.began(Method::List, prefix.parts().unwrap_or_default());
        self.inner.list(prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gabion_core::backend::{MemoryBackend, Store};

    #[test]
    fn every_call_is_remembered_with_its_bytes() {
        let recorder = RecordingBackend::new(Arc::new(MemoryBackend::new()));
        let store = Store::new(Arc::new(recorder.clone())).unwrap();
        let name = ObjectName::new("a/1").unwrap();
        store.put(&name, Payload::from(vec![0; 10])).unwrap();
        store.get(&name, ByteRange::Exact { offset: 2, length: 3 }).unwrap();
        store.get(&ObjectName::new("ab/2").unwrap(), ByteRange::WHOLE).unwrap_err();
        store.list(&Prefix::new("a").unwrap()).unwrap();
        let call = |method, name: &str, bytes, ok| Call { method, name: name.to_owned(), bytes, ok };
        assert_eq!(recorder.count(Method::Put, "a"), 1);
        assert_eq!(recorder.count(Method::Get, "a"), 0);
        assert_eq!(recorder.bytes(Method::GetRange, ""), 3);
        assert_eq!(
            recorder.take(),
            [
                call(Method::Put, "a/1", 10, true),
                call(Method::GetRange, "a/1", 3, true),
                call(Method::Get, "ab/2", 0, false),
                call(Method::List, "a", 0, true),
            ]
        );
        assert_eq!(recorder.calls(), []);
    }
}

//! A backend on a disk with bad sectors: whatever touches one can not be read, everything else can.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use gabion_core::backend::{Backend, ByteRange, Capabilities, ObjectMeta, ObjectName, Payload, Prefix, PutMode};
use gabion_core::error::{Error, ErrorKind, Result};

/// Forwards to another backend, except for gets that touch a bad spot: these fail as a disk does.
#[derive(Clone, Debug)]
pub struct BadSpots {
    inner: Arc<dyn Backend>,
    spots: Vec<(String, Range<u64>)>,
}

impl BadSpots {
    /// A face of `inner` without bad spots.
    pub fn new(inner: Arc<dyn Backend>) -> Self {
        Self { inner, spots: Vec::new() }
    }

    /// These bytes of the object can not be read from now on.
    #[must_use]
    pub fn at(mut self, name: &str, bytes: Range<u64>) -> Self {
        self.spots.push((name.to_owned(), bytes));
        self
    }
}

#[async_trait]
impl Backend for BadSpots {
    fn location(&self) -> &str {
        self.inner.location()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn put(&self, name: &ObjectName, payload: Payload, mode: PutMode) -> Result<()> {
        self.inner.put(name, payload, mode).await
    }

    async fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
        let wanted = match range {
            ByteRange::All { .. } => 0..u64::MAX,
            ByteRange::Exact { offset, length } => offset..offset.saturating_add(length),
        };
        let touches = |bad: &Range<u64>| bad.start < wanted.end && wanted.start < bad.end;
        if self.spots.iter().any(|(object, bad)| name.as_str() == object && touches(bad)) {
            return Err(Error::new(ErrorKind::Io, "get object").with("object", name));
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

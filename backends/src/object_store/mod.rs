//! Repositories in a bucket: Amazon S3 and what speaks its language, Google Cloud Storage, Azure Blob Storage.
//!
//! A put is one request, or several for the largest objects; either way the object is there at once and whole, or
//! not at all. Nothing relies on conditional requests but replacing: whether a server honours those is found out by
//! trying, because some ignore them and overwrite. Deletes are single requests, because not every server has others.
//!
//! What an interrupted upload leaves in the bucket is no object; a rule of the bucket should remove it after a day.

mod connect;
mod credentials;
mod error;
mod given;
mod location;
mod replace;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use gabion_core::backend::{
    Backend, ByteRange, Capabilities, ObjectMeta, ObjectName, Payload, Permissions, Prefix, PutMode, check_length,
};
use gabion_core::error::{Error, ErrorKind, Result};
use gabion_core::limits::OBJECT_BYTES_MAX;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, GetOptions, GetRange, MultipartUpload, ObjectStore, ObjectStoreExt as _,
    PutMultipartOptions, PutOptions, PutPayload,
};

use crate::Variables;
use crate::class::holds_data;
use error::{told, translated};
pub use location::ObjectStoreLocation;
pub(crate) use location::Service;
use replace::Conditions;

/// Requests worth having under way at once: enough to fill a line in spite of the way there and back.
const CONCURRENCY: usize = 16;
/// Parts of one object that are sent at once.
const PARTS_AT_ONCE: usize = 4;

/// A repository in a bucket.
#[derive(Debug)]
pub struct ObjectStoreBackend {
    store: Arc<dyn ObjectStore>,
    location: ObjectStoreLocation,
    shown: String,
    conditions: Conditions,
}

impl ObjectStoreBackend {
    /// A client for the location; nothing is sent before the first call. Credentials come from `variables`, from the
    /// user's files, or from the machine.
    ///
    /// # Errors
    /// `PermissionDenied` if there are no credentials, `InvalidInput` if they or the location make no sense.
    pub fn new(location: &ObjectStoreLocation, variables: &Variables) -> Result<Self> {
        let (store, endpoint) = connect::connect(location, variables)?;
        Ok(Self {
            store,
            // How old lists may be depends on it.
            location: ObjectStoreLocation { endpoint, ..location.clone() },
            shown: location.to_string(),
            conditions: Conditions::default(),
        })
    }

    /// What the user's storage class applies to is data; lists, trees and keys must stay at hand.
    fn attributes(&self, name: &ObjectName, payload: &Payload) -> Attributes {
        let mut attributes = Attributes::new();
        if let Some(class) = &self.location.storage_class
            && holds_data(name, payload)
        {
            attributes.insert(Attribute::StorageClass, class.clone().into());
        }
        attributes
    }

    async fn put_whole(&self, name: &ObjectName, payload: Payload) -> Result<()> {
        let operation = "put object";
        let options = PutOptions { attributes: self.attributes(name, &payload), ..PutOptions::default() };
        let put = self.store.put_opts(&self.location.key(name.as_str()), content(&payload), options).await;
        put.map(drop).map_err(|error| told(operation, name, error))
    }

    /// Sends an object in parts. It goes on if the caller loses interest: then the object is there later, or never.
    async fn put_in_parts(&self, name: &ObjectName, payload: Payload) -> Result<()> {
        let operation = "put object";
        let (store, key) = (Arc::clone(&self.store), self.location.key(name.as_str()));
        let options = PutMultipartOptions { attributes: self.attributes(name, &payload), ..Default::default() };
        let upload = store.put_multipart_opts(&key, options).await.map_err(|error| told(operation, name, error))?;
        let parts = parts(&payload, self.location.part_bytes);
        let sent = tokio::spawn(async move { send(&*store, &key, upload, parts).await }).await;
        let sent = sent.map_err(|error| Error::new(ErrorKind::System, operation).because(error))?;
        sent.map_err(|error| match error {
            // The upload is gone, by a rule of the bucket or because it was completed: the next attempt begins anew.
            object_store::Error::NotFound { .. } => {
                Error::new(ErrorKind::Connection, operation).with("object", name).because(error).temporary()
            }
            error => told(operation, name, error),
        })
    }

    async fn read(&self, name: &ObjectName, range: Option<GetRange>, limit: u64) -> Result<Bytes> {
        let operation = "get object";
        let failed = |error| told(operation, name, error);
        let options = GetOptions { range, ..GetOptions::default() };
        let found = self.store.get_opts(&self.location.key(name.as_str()), options).await.map_err(failed)?;
        let expected = found.range.end.saturating_sub(found.range.start);
        check_length(operation, name, expected, limit)?;
        let mut pieces = found.into_stream();
        let mut bytes = BytesMut::new();
        while let Some(piece) = pieces.try_next().await.map_err(failed)? {
            check_length(operation, name, bytes.len() as u64 + piece.len() as u64, limit)?;
            bytes.extend_from_slice(&piece);
        }
        if bytes.len() as u64 == expected {
            return Ok(bytes.freeze());
        }
        Err(Error::new(ErrorKind::Connection, operation).with("object", name).with("reason", "cut short").temporary())
    }

    /// Whether this is what bears the name.
    async fn holds(&self, name: &ObjectName, payload: &Payload) -> bool {
        self.read(name, None, payload.len() as u64).await.is_ok_and(|there| payload.has_bytes(&there))
    }

    async fn size(&self, operation: &'static str, name: &ObjectName) -> Result<u64> {
        let found = self.store.head(&self.location.key(name.as_str())).await;
        Ok(found.map_err(|error| told(operation, name, error))?.size)
    }
}

/// Sends the parts and makes them an object.
async fn send(
    store: &dyn ObjectStore,
    key: &Path,
    mut upload: Box<dyn MultipartUpload>,
    parts: Vec<PutPayload>,
) -> object_store::Result<()> {
    let bytes: usize = parts.iter().map(PutPayload::content_length).sum();
    let parts: Vec<_> = parts.into_iter().map(|part| upload.put_part(part)).collect();
    let sent = stream::iter(parts.into_iter().map(Ok)).try_for_each_concurrent(PARTS_AT_ONCE, |part| part);
    if let Err(error) = sent.await {
        // Why it failed is worth telling, not how the cleaning went.
        let _ = upload.abort().await;
        return Err(error);
    }
    let Err(error) = upload.complete().await else { return Ok(()) };
    // Perhaps only the answer was lost; nobody else puts other bytes under this name.
    match store.head(key).await {
        Ok(found) if found.size == bytes as u64 => Ok(()),
        _ => Err(error),
    }
}

/// The library's payload; the bytes are shared.
fn content(payload: &Payload) -> PutPayload {
    payload.pieces().iter().cloned().collect()
}

/// Cuts a payload into parts that share its bytes.
fn parts(payload: &Payload, part_bytes: usize) -> Vec<PutPayload> {
    let mut parts = vec![Vec::new()];
    let mut room = part_bytes;
    for piece in payload.pieces() {
        let mut rest = piece.clone();
        while !rest.is_empty() {
            if room == 0 {
                parts.push(Vec::new());
                room = part_bytes;
            }
            let next = rest.split_to(rest.len().min(room));
            room -= next.len();
            if let Some(part) = parts.last_mut() {
                part.push(next);
            }
        }
    }
    parts.into_iter().map(PutPayload::from_iter).collect()
}

#[async_trait]
impl Backend for ObjectStoreBackend {
    fn location(&self) -> &str {
        &self.shown
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            durable: true,
            list_staleness: self.location.staleness(),
            replace_existing: self.conditions.may_be_honoured(),
            max_object_bytes: OBJECT_BYTES_MAX as u64,
            concurrency: CONCURRENCY,
            permissions: Permissions::All,
        }
    }

    async fn put(&self, name: &ObjectName, payload: Payload, mode: PutMode) -> Result<()> {
        check_length("put object", name, payload.len() as u64, OBJECT_BYTES_MAX as u64)?;
        if mode == PutMode::ReplaceExisting {
            return self.replace(name, &payload).await;
        }
        let sent = match payload.len() > self.location.part_bytes {
            true => self.put_in_parts(name, payload.clone()).await,
            false => self.put_whole(name, payload.clone()).await,
        };
        match sent {
            // Who may add but not overwrite is refused the repetition of a put whose answer was lost.
            Err(error) if error.kind() == ErrorKind::PermissionDenied && self.holds(name, &payload).await => Ok(()),
            sent => sent,
        }
    }

    async fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
        let (offset, length) = match range {
            ByteRange::All { limit } => return self.read(name, None, limit).await,
            ByteRange::Exact { offset, length } => (offset, length),
        };
        let end = offset.checked_add(length);
        let Some(end) = end.filter(|_| length > 0) else {
            // No request asks for nothing, or for more than there can be; but the object may be missing.
            return range.within(name, self.size("get object", name).await?).map(|_| Bytes::new());
        };
        let bytes = self.read(name, Some(GetRange::Bounded(offset..end)), length).await?;
        range.within(name, offset + bytes.len() as u64).map(|_| bytes)
    }

    async fn head(&self, name: &ObjectName) -> Result<ObjectMeta> {
        let bytes = self.size("head object", name).await?;
        Ok(ObjectMeta { name: name.clone(), bytes })
    }

    async fn delete(&self, name: &ObjectName) -> Result<()> {
        match self.store.delete(&self.location.key(name.as_str())).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(told("delete object", name, error)),
        }
    }

    fn list(&self, prefix: &Prefix) -> BoxStream<'static, Result<ObjectMeta>> {
        let key = self.location.key(prefix.parts().unwrap_or_default());
        // The library's spelling of the path, which is what lists show.
        let own = self.location.key("");
        let start = if own.as_ref().is_empty() { String::new() } else { format!("{own}/") };
        let prefix = prefix.clone();
        let ours = move |found: object_store::ObjectMeta| {
            let name = found.location.as_ref().strip_prefix(&start).and_then(|name| ObjectName::new(name).ok());
            let name = name.filter(|name| prefix.covers(name));
            Ok(name.map(|name| ObjectMeta { name, bytes: found.size }))
        };
        let listed = self.store.list((!key.as_ref().is_empty()).then_some(&key));
        let listed = listed.map_err(|error| translated("list objects", error));
        listed.try_filter_map(move |found| std::future::ready(ours(found))).boxed()
    }
}

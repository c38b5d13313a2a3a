//! Repositories in services that [OpenDAL](https://docs.rs/opendal) knows: `opendal+SERVICE:...`.
//!
//! What a service can do is read from it when it is opened; one that can not do what a repository needs is refused by
//! the name of what is missing. Services that can rename are file systems, whose writes are seen half done: there an
//! object is written beside its place, to a file whose name begins with a dot, and renamed. In others a write is there
//! whole or not at all. No service here replaces an object only if it exists.

mod connect;
mod error;
mod location;

use std::fmt;
use std::pin::Pin;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream, Peekable, Stream, StreamExt, TryStreamExt};
use gabion_core::backend::{
    Backend, ByteRange, Capabilities, ObjectMeta, ObjectName, Payload, Permissions, Prefix, PutMode, check_length,
    ended_trial,
};
use gabion_core::crypto::random;
use gabion_core::error::{Error, ErrorKind, Result};
use gabion_core::limits::OBJECT_BYTES_MAX;
use gabion_core::repository::is_erased_last;
use opendal::{Buffer, Operator};

use crate::local::layout;
use crate::{Access, Variables};
use error::{told, translated};
pub use location::OpendalLocation;
pub(crate) use location::SCHEME;
use location::Service;

/// Calls worth having under way at once.
const CONCURRENCY: usize = 8;

/// A repository in a service of OpenDAL.
pub struct OpendalBackend {
    operator: Operator,
    location: OpendalLocation,
    shown: String,
    /// Whose top is that of the service, if there must be a directory that holds all objects.
    above: Option<Operator>,
}

impl fmt::Debug for OpendalBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What the library would show may hold keys.
        f.debug_struct("OpendalBackend").field("location", &self.shown).finish_non_exhaustive()
    }
}

impl OpendalBackend {
    /// A client for the location; servers are asked nothing before the first call. Credentials come from the location
    /// or from `variables`.
    ///
    /// # Errors
    /// `Unsupported` if the service lacks what a repository needs, `PermissionDenied` if keys are missing,
    /// `RepositoryNotFound` if a directory is expected and there is none.
    pub fn open(location: &OpendalLocation, access: Access, variables: &Variables) -> Result<Self> {
        let operator = connect::connect(location, access, variables)?;
        let above = match location.service {
            Service::Fs | Service::Webdav { .. } if access != Access::Create => {
                Some(connect::connect(&location.top(), access, variables)?)
            }
            _ => None,
        };
        Ok(Self { operator, location: location.clone(), shown: location.to_string(), above })
    }

    /// Where an object is written before it gets its name; `None` where that is not needed.
    fn beside(&self, name: &ObjectName) -> Result<Option<String>> {
        if !self.operator.info().capability().rename {
            return Ok(None);
        }
        let folder = name.as_str().rsplit_once('/').map_or("", |(folder, _)| folder);
        Ok(Some(format!("{folder}/.put-{:032x}", u128::from_le_bytes(random::array()?))))
    }

    /// Reads a range, at most `limit` bytes of it, whatever the server sends.
    async fn read(&self, name: &ObjectName, range: (u64, Option<u64>), limit: u64) -> Result<Bytes> {
        let operation = "get object";
        let failed = |error| told(operation, name, error);
        let reader = self.operator.reader(name.as_str()).await.map_err(failed)?;
        let mut pieces = match range {
            (offset, Some(end)) => reader.into_stream(offset..end).await,
            (offset, None) => reader.into_stream(offset..).await,
        }
        .map_err(failed)?;
        let mut bytes = BytesMut::new();
        while let Some(piece) = pieces.try_next().await.map_err(failed)? {
            check_length(operation, name, bytes.len() as u64 + piece.len() as u64, limit)?;
            for part in piece {
                bytes.extend_from_slice(&part);
            }
        }
        Ok(bytes.freeze())
    }

    async fn size(&self, operation: &'static str, name: &ObjectName) -> Result<u64> {
        let found = self.operator.stat(name.as_str()).await.map_err(|error| told(operation, name, error))?;
        match found.is_file() {
            true => Ok(found.content_length()),
            false => Err(Error::new(ErrorKind::NotFound, operation).with("object", name)),
        }
    }

    /// Removes the folders of a repository that is gone, and the directory itself, as far as they are empty. For directories
    /// of this machine alone: a server may remove all that is in a folder.
    async fn clear(&self) {
        if !matches!(self.operator.stat("config").await, Err(error) if error.kind() == opendal::ErrorKind::NotFound) {
            return;
        }
        for folders in layout::folders() {
            let _ = self.operator.delete(&format!("{}/", folders.join("/"))).await;
        }
        let _ = std::fs::remove_dir(&self.location.root);
    }

    /// Why a range could not be had: mostly because the object is shorter, for which each service has its own words.
    async fn why_not(&self, name: &ObjectName, range: ByteRange, error: Error) -> Error {
        let size = self.size("get object", name).await;
        size.and_then(|size| range.within(name, size)).err().unwrap_or(error)
    }
}

/// Writes an object, in one step for everybody who looks.
async fn write(operator: Operator, name: ObjectName, content: Buffer, beside: Option<String>) -> Result<()> {
    let failed = |error| told("put object", &name, error);
    let Some(beside) = beside else {
        return operator.write(name.as_str(), content).await.map(drop).map_err(failed);
    };
    let written = match operator.write(&beside, content).await {
        Ok(_) => operator.rename(&beside, name.as_str()).await,
        Err(error) => Err(error),
    };
    if written.is_err() {
        // Why it failed is worth telling, not how the cleaning went.
        let _ = operator.delete(&beside).await;
    }
    written.map_err(failed)
}

/// Removes a folder and those in it, if there is no file in any. A server may remove all that is in one it is told to remove,
/// so this is for folders that nobody else uses.
async fn remove_empty(operator: &Operator, top: &str) {
    let Ok(found) = operator.list_with(top).recursive(true).await else { return };
    if found.iter().any(|entry| entry.metadata().is_file()) {
        return;
    }
    let mut folders: Vec<&str> = found.iter().map(opendal::Entry::path).chain([top]).collect();
    folders.sort_unstable();
    folders.dedup();
    for folder in folders.into_iter().rev() {
        let _ = operator.delete(folder).await;
    }
}

#[async_trait]
impl Backend for OpendalBackend {
    fn location(&self) -> &str {
        &self.shown
    }

    fn capabilities(&self) -> Capabilities {
        let service = self.operator.info().capability();
        let largest = service.write_total_max_size.unwrap_or(OBJECT_BYTES_MAX).min(OBJECT_BYTES_MAX);
        Capabilities {
            // Directories can not be flushed, and nobody knows what a server does.
            durable: matches!(self.location.service, Service::B2 { .. }),
            list_staleness: self.location.staleness(),
            replace_existing: false,
            max_object_bytes: largest as u64,
            concurrency: CONCURRENCY,
            permissions: Permissions::All,
        }
    }

    async fn put(&self, name: &ObjectName, payload: Payload, mode: PutMode) -> Result<()> {
        let operation = "put object";
        check_length(operation, name, payload.len() as u64, self.capabilities().max_object_bytes)?;
        if mode == PutMode::ReplaceExisting {
            return Err(Error::new(ErrorKind::Unsupported, "replace object").with("object", name));
        }
        // Writers of the library never get past a piece that is empty.
        let pieces: Vec<Bytes> = payload.pieces().iter().filter(|piece| !piece.is_empty()).cloned().collect();
        let content = Buffer::from(pieces);
        let put = write(self.operator.clone(), name.clone(), content, self.beside(name)?);
        // It goes on if the caller loses interest: a file that was begun is renamed or removed.
        let put = tokio::spawn(put).await;
        put.map_err(|error| Error::new(ErrorKind::System, operation).because(error))?
    }

    async fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
        let (offset, length) = match range {
            ByteRange::All { limit } => {
                return match self.read(name, (0, None), limit).await {
                    // Some servers have no range at all of an empty object.
                    Err(error) if error.kind() == ErrorKind::Damaged && self.size("get object", name).await? == 0 => {
                        Ok(Bytes::new())
                    }
                    read => read,
                };
            }
            ByteRange::Exact { offset, length } => (offset, length),
        };
        let end = offset.checked_add(length);
        let Some(end) = end.filter(|_| length > 0) else {
            // No request asks for nothing, or for more than there can be; but the object may be missing.
            return range.within(name, self.size("get object", name).await?).map(|_| Bytes::new());
        };
        match self.read(name, (offset, Some(end)), length).await {
            Ok(bytes) if bytes.len() as u64 == length => Ok(bytes),
            Ok(_) => Err(self.why_not(name, range, cut_short(name)).await),
            Err(error) if error.kind() == ErrorKind::LimitExceeded => {
                let error = Error::new(ErrorKind::Unsupported, "get object").with("object", name);
                Err(error.with("reason", "the server does not give ranges"))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Err(error),
            Err(error) => Err(self.why_not(name, range, error).await),
        }
    }

    async fn head(&self, name: &ObjectName) -> Result<ObjectMeta> {
        let bytes = self.size("head object", name).await?;
        Ok(ObjectMeta { name: name.clone(), bytes })
    }

    async fn delete(&self, name: &ObjectName) -> Result<()> {
        match self.operator.delete(name.as_str()).await {
            Err(error) if error.kind() != opendal::ErrorKind::NotFound => {
                return Err(told("delete object", name, error));
            }
            _ => {}
        }
        if is_erased_last(name) && self.location.service == Service::Fs {
            self.clear().await;
        }
        if let Some(tops) = ended_trial(name).filter(|_| self.operator.info().capability().rename) {
            for top in tops {
                remove_empty(&self.operator, &format!("{top}/")).await;
            }
        }
        Ok(())
    }

    fn list(&self, prefix: &Prefix) -> BoxStream<'static, Result<ObjectMeta>> {
        let (operator, prefix) = (self.operator.clone(), prefix.clone());
        let failed = |error| translated("list objects", error);
        let path = prefix.parts().map_or("/".to_owned(), |parts| format!("{parts}/"));
        let ours = move |found: opendal::Entry| {
            let name =
                ObjectName::new(found.path()).ok().filter(|name| found.metadata().is_file() && prefix.covers(name));
            let meta = name.map(|name| ObjectMeta { name, bytes: found.metadata().content_length() });
            std::future::ready(Ok(meta))
        };
        let listed = async move { operator.lister_with(&path).recursive(true).await.map_err(failed) };
        let listed = stream::once(listed).map_ok(move |lister| lister.map_err(failed)).try_flatten();
        let listed = listed.try_filter_map(ours).boxed();
        let Some(above) = self.above.clone() else { return listed };
        let directory = format!("{}/", self.location.root.trim_matches('/'));
        stream::once(not_gone(listed, above, directory)).try_flatten().boxed()
    }
}

/// A list that is empty because it is, not because the directory of the repository vanished. The library does not tell,
/// and takes it for granted that the top of an operator is there: `above` is one that looks at it from outside.
async fn not_gone<S>(listed: S, above: Operator, directory: String) -> Result<Peekable<S>>
where
    S: Stream<Item = Result<ObjectMeta>> + Unpin,
{
    let operation = "list objects";
    let mut listed = listed.peekable();
    if Pin::new(&mut listed).peek().await.is_none() {
        above.stat(&directory).await.map_err(|error| match error.kind() {
            opendal::ErrorKind::NotFound => Error::new(ErrorKind::RepositoryNotFound, operation).because(error),
            _ => translated(operation, error),
        })?;
    }
    Ok(listed)
}

fn cut_short(name: &ObjectName) -> Error {
    Error::new(ErrorKind::Connection, "get object").with("object", name).with("reason", "cut short").temporary()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use gabion_core::backend::conformance::{Options, check};

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    }

    fn opened(service: &str, rest: &str, access: Access) -> Result<OpendalBackend> {
        OpendalBackend::open(&OpendalLocation::parse(service, rest)?, access, &Variables::default())
    }

    fn files(place: &std::path::Path) -> usize {
        let entries = std::fs::read_dir(place).unwrap().map(|entry| entry.unwrap());
        entries.map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
    }

    #[test]
    fn files_keep_the_contract_and_nothing_is_left_beside_them() {
        let place = tempfile::tempdir().unwrap();
        let backend = opened("fs", &format!("//{}/r", place.path().display()), Access::Create).unwrap();
        let report = runtime().block_on(check(Arc::new(backend), Options::quick()));
        assert!(report.is_clean(), "{report}");
        assert_eq!(std::fs::read_dir(place.path().join("r")).unwrap().count(), 0);
    }

    #[test]
    fn memory_keeps_the_contract() {
        let backend = opened("memory", "", Access::Create).unwrap();
        let report = runtime().block_on(check(Arc::new(backend), Options::quick()));
        assert!(report.is_clean(), "{report}");
    }

    #[test]
    fn a_directory_that_is_not_there_is_not_made_by_looking() {
        let place = tempfile::tempdir().unwrap();
        let rest = format!("//{}/r", place.path().display());
        let error = opened("fs", &rest, Access::Existing).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RepositoryNotFound);
        assert!(!place.path().join("r").exists());
        opened("fs", &rest, Access::Create).unwrap();
        opened("fs", &rest, Access::Existing).unwrap();
    }

    #[test]
    fn a_directory_that_vanished_is_not_an_empty_one() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("r");
        std::fs::create_dir(&path).unwrap();
        let backend = opened("fs", &format!("//{}", path.display()), Access::Existing).unwrap();
        let list = || runtime().block_on(backend.list(&Prefix::all()).try_collect::<Vec<_>>());
        assert_eq!(list().unwrap(), []);
        std::fs::remove_dir(&path).unwrap();
        assert_eq!(list().unwrap_err().kind(), ErrorKind::RepositoryNotFound);
    }

    #[test]
    fn foreign_files_and_unfinished_ones_are_neither_listed_nor_touched() {
        let place = tempfile::tempdir().unwrap();
        for foreign in ["UPPER", "a b", ".put-1", "a/b/c/d", "archives/.put-2"] {
            let path = place.path().join(foreign);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "foreign").unwrap();
        }
        let backend = opened("fs", &format!("//{}", place.path().display()), Access::Existing).unwrap();
        let runtime = runtime();
        let name = ObjectName::new("archives/1").unwrap();
        runtime.block_on(backend.put(&name, vec![1].into(), PutMode::Write)).unwrap();
        let listed: Vec<_> = runtime.block_on(backend.list(&Prefix::all()).try_collect()).unwrap();
        assert_eq!(listed, [ObjectMeta { name, bytes: 1 }]);
        assert_eq!(files(place.path()), 6);
    }
}

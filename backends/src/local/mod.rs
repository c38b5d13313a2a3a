//! Repositories in a directory of this machine.
//!
//! The directory is opened once; everything below it is reached part by part from that handle, and no symbolic link
//! is followed, so nothing that lies in the directory, planted or not, leads out of it. A name of the store is valid
//! by construction and never contains a way up.
//!
//! An object is written to a file whose name starts with a dot, flushed to the disk, and only then given its name;
//! then the folder is flushed. So a name shows nothing or a whole object, also after a power cut. A file that could
//! not be flushed is thrown away, never flushed again: the kernel may have forgotten that pages are missing. What a
//! crash leaves behind starts with a dot and is no object; whoever deletes objects after a list that came across it
//! removes it once it is two weeks old. All other files that are no objects are neither listed nor touched.
//!
//! Work runs on the blocking threads of tokio and is not interrupted when a caller loses interest.
//!
//! One thing the file system may deny: on btrfs an object that is replaced (not: put) while a list runs can be
//! missing from that list.

mod filesystem;
mod folder;
pub(crate) mod layout;
mod location;
mod object;
mod walk;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use gabion_core::backend::{
    Backend, ByteRange, Capabilities, ObjectMeta, ObjectName, Payload, Permissions, Prefix, PutMode, ended_trial,
};
use gabion_core::error::{Error, ErrorKind, Result};
use gabion_core::limits::OBJECT_BYTES_MAX;
use gabion_core::repository::is_erased_last;
use rustix::fs::Mode;
use tokio::runtime::Handle;

pub(crate) use location::file_path;

use filesystem::Traits;
use folder::Root;
use walk::Walk;

/// Calls worth having under way at once: enough to hide the wait for the disk's cache.
const CONCURRENCY: usize = 4;

/// Who may have access to the folders and files that a store in a directory makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Their owner alone, and not even he where the umask of the process says so.
    #[default]
    Private,
    /// Whoever the umask of the process leaves it to: a program that sets none gives away what it stores.
    Umask,
}

impl Sharing {
    fn of_folders(self) -> Mode {
        match self {
            Self::Private => Mode::RWXU,
            Self::Umask => Mode::RWXU | Mode::RWXG | Mode::RWXO,
        }
    }

    fn of_objects(self) -> Mode {
        self.of_folders() & !(Mode::XUSR | Mode::XGRP | Mode::XOTH)
    }
}

/// A repository in a directory.
#[derive(Debug)]
pub struct LocalBackend {
    root: Arc<Root>,
    location: String,
    traits: Traits,
    /// Whether names can be exchanged, as far as is known: a refusal of the kernel is remembered.
    exchange: Arc<AtomicBool>,
}

impl LocalBackend {
    /// Opens the directory `path` for a new repository and makes it if it does not exist; what lies above it must.
    ///
    /// In an empty directory the folders of segments are made at once. Whether a directory that holds something may
    /// become a repository is not decided here. Errors: `NotFound` with the fact `path` if the directory above does
    /// not exist, `NotARepository` if `path` is something else than a directory.
    pub fn create(path: &Path) -> Result<Self> {
        Self::create_shared(path, Sharing::default())
    }

    /// As [`LocalBackend::create`], with a word on who may have access.
    pub fn create_shared(path: &Path, sharing: Sharing) -> Result<Self> {
        folder::make_root(path, sharing)?;
        let backend = Self::open_shared(path, sharing)?;
        backend.root.prepare_if_empty()?;
        Ok(backend)
    }

    /// Opens the directory `path`. Errors: `RepositoryNotFound` if it does not exist, `NotARepository` if it is
    /// something else than a directory.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_shared(path, Sharing::default())
    }

    /// As [`LocalBackend::open`], with a word on who may have access to what is made from now on.
    pub fn open_shared(path: &Path, sharing: Sharing) -> Result<Self> {
        let root = Root::open(path, sharing)?;
        let traits = root.traits()?;
        let location = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Ok(Self {
            root: Arc::new(root),
            location: location.to_string_lossy().into_owned(),
            traits,
            exchange: Arc::new(AtomicBool::new(traits.exchange)),
        })
    }

    /// Runs file system calls on a thread that may wait.
    async fn with_root<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Root) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let root = Arc::clone(&self.root);
        blocking(operation, move || work(&root)).await
    }
}

async fn blocking<T: Send + 'static>(
    operation: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let failed =
        |error: Box<dyn std::error::Error + Send + Sync>| Error::new(ErrorKind::System, operation).because(error);
    let runtime = Handle::try_current().map_err(|error| failed(error.into()))?;
    runtime.spawn_blocking(work).await.map_err(|error| failed(error.into()))?
}

#[async_trait]
impl Backend for LocalBackend {
    fn location(&self) -> &str {
        &self.location
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            durable: self.traits.durable,
            list_staleness: self.traits.list_staleness,
            replace_existing: self.exchange.load(Ordering::Relaxed),
            max_object_bytes: OBJECT_BYTES_MAX as u64,
            concurrency: CONCURRENCY,
            permissions: Permissions::All,
        }
    }

    async fn put(&self, name: &ObjectName, payload: Payload, mode: PutMode) -> Result<()> {
        let name = name.clone();
        match mode {
            PutMode::Write => self.with_root("put object", move |root| object::put(root, &name, &payload)).await,
            PutMode::ReplaceExisting => {
                let exchange = Arc::clone(&self.exchange);
                self.with_root("replace object", move |root| object::replace(root, &name, &payload, &exchange)).await
            }
        }
    }

    async fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
        let name = name.clone();
        self.with_root("get object", move |root| object::get(root, &name, range)).await
    }

    async fn head(&self, name: &ObjectName) -> Result<ObjectMeta> {
        let name = name.clone();
        self.with_root("head object", move |root| object::head(root, name)).await
    }

    async fn delete(&self, name: &ObjectName) -> Result<()> {
        let name = name.clone();
        self.with_root("delete object", move |root| {
            object::delete(root, &name)?;
            if is_erased_last(&name) {
                root.clear();
            }
            if let Some(tops) = ended_trial(&name) {
                root.clear_trial(&tops);
            }
            Ok(())
        })
        .await
    }

    /// Reads folder by folder, some hundred names at a time, so that a list of millions needs little memory and
    /// occupies no thread while nobody asks for more.
    fn list(&self, prefix: &Prefix) -> BoxStream<'static, Result<ObjectMeta>> {
        let walk = Walk::new(Arc::clone(&self.root), prefix.clone());
        stream::try_unfold(walk, |mut walk| {
            blocking("list objects", move || Ok(walk.next_batch()?.map(|batch| (batch, walk))))
        })
        .map_ok(|batch| stream::iter(batch.into_iter().map(Ok)))
        .try_flatten()
        .boxed()
    }
}

#[cfg(test)]
mod tests;

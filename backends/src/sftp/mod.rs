//! Repositories on another machine with nothing but an SFTP server: `sftp://[user@]host[:port]/path`.
//!
//! The user's own `ssh` makes the connection. Files lie where the local backend puts them, so one and the same
//! repository can also be opened locally or by `ssh:`. An object is written to a file whose name starts with a dot,
//! flushed where the server can do that, and then renamed; many pieces of it are under way at once.
//!
//! What SFTP has not: a way to flush directories, so the last objects may be lost with the power although their put was
//! answered (`durable` is false), and a way to replace a file only if it exists. Servers without `posix-rename@openssh.com`
//! can not rename over a file; there what bears the name with other bytes steps aside first.
//!
//! A connection that is lost makes what is under way fail with a temporary error; the next call connects again.

mod aside;
mod failure;
mod file;
mod folder;
mod session;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use gabion_core::backend::{
    Backend, ByteRange, Capabilities, ObjectMeta, ObjectName, Payload, Permissions, Prefix, PutMode, ended_trial,
};
use gabion_core::error::{Error, ErrorKind, Result};
use gabion_core::limits::OBJECT_BYTES_MAX;
use gabion_core::repository::is_erased_last;

use crate::Access;
use crate::ssh::{CONCURRENCY, SshOptions, Target};
use session::{Remote, Session};

/// A repository behind an SFTP server.
#[derive(Debug)]
pub struct SftpBackend {
    remote: Arc<Remote>,
    location: String,
    list_staleness: Duration,
}

impl SftpBackend {
    /// Connects and opens the directory, which with [`Access::Create`] is made if what is above it exists.
    ///
    /// Blocks while it connects, and ssh may ask its questions meanwhile. Errors: `RepositoryNotFound` and
    /// `NotARepository` as for a local directory, `Connection` and `TimedOut` if there is no connection.
    pub fn open(target: &Target, access: Access, options: &SshOptions) -> Result<Self> {
        let remote = Arc::new(Remote::new(target, options)?);
        remote.wait(move |session| async move {
            match access {
                Access::Create => folder::create_root(&session).await,
                _ => folder::check_root(&session).await,
            }
        })?;
        Ok(Self {
            remote,
            location: format!("sftp:{target}"),
            list_staleness: target.list_staleness.unwrap_or_default(),
        })
    }
}

#[async_trait]
impl Backend for SftpBackend {
    fn location(&self) -> &str {
        &self.location
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            durable: false,
            list_staleness: self.list_staleness,
            replace_existing: false,
            max_object_bytes: OBJECT_BYTES_MAX as u64,
            concurrency: CONCURRENCY,
            permissions: Permissions::All,
        }
    }

    async fn put(&self, name: &ObjectName, payload: Payload, mode: PutMode) -> Result<()> {
        if mode == PutMode::ReplaceExisting {
            return Err(Error::new(ErrorKind::Unsupported, "replace object").with("object", name));
        }
        let name = name.clone();
        self.remote.run("put object", move |session| async move { file::put(&session, &name, &payload).await }).await
    }

    async fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
        let name = name.clone();
        self.remote.run("get object", move |session| async move { file::get(&session, &name, range).await }).await
    }

    async fn head(&self, name: &ObjectName) -> Result<ObjectMeta> {
        let name = name.clone();
        self.remote.run("head object", move |session| async move { file::head(&session, &name).await }).await
    }

    async fn delete(&self, name: &ObjectName) -> Result<()> {
        let name = name.clone();
        let delete = move |session: Arc<Session>| async move {
            file::delete(&session, &name).await?;
            if is_erased_last(&name) {
                folder::clear(&session).await;
            }
            if let Some(tops) = ended_trial(&name) {
                folder::clear_trial(&session, &tops).await;
            }
            Ok(())
        };
        self.remote.run("delete object", delete).await
    }

    /// Reads some folders at once, level by level.
    fn list(&self, prefix: &Prefix) -> BoxStream<'static, Result<ObjectMeta>> {
        let start = prefix.parts().map_or_else(Vec::new, |parts| parts.split('/').map(str::to_owned).collect());
        let remote = Arc::clone(&self.remote);
        let levels = stream::try_unfold((vec![start], prefix.clone()), move |(folders, prefix)| {
            let remote = Arc::clone(&remote);
            async move {
                if folders.is_empty() {
                    return Ok(None);
                }
                let level = folder::read_level(&remote, folders, &prefix).await?;
                Ok::<_, Error>(Some((level.objects, (level.folders, prefix))))
            }
        });
        levels.map_ok(|objects| stream::iter(objects.into_iter().map(Ok))).try_flatten().boxed()
    }
}

#[cfg(test)]
mod tests;

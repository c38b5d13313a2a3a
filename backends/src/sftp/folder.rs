//! The directory of a repository and the folders in it.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use gabion_core::backend::{ObjectMeta, ObjectName, Prefix};
use gabion_core::error::{Error, ErrorKind, Result};
use gabion_core::repository::SPARE;
use openssh_sftp_client::metadata::{MetaData, Permissions};

use super::aside;
use super::failure::{SftpResult, failed, is_missing};
use super::session::{Remote, Session};
use crate::local::layout;

/// Folders that are read or made at once.
const FOLDERS_AT_ONCE: usize = 16;
/// Folders above a file: names have three parts.
const DEPTH_MAX: usize = 2;

/// The path of a folder.
pub(super) fn path(session: &Session, folders: &[String]) -> String {
    let mut path = session.root.clone();
    for folder in folders {
        path.push('/');
        path.push_str(folder);
    }
    path
}

/// The path of the directory itself.
fn root(session: &Session) -> &str {
    if session.root.is_empty() { "/" } else { &session.root }
}

/// Makes sure that the directory exists.
pub(super) async fn check_root(session: &Session) -> Result<()> {
    let operation = "open repository folder";
    match session.sftp.fs().metadata(root(session)).await {
        Ok(metadata) if is_folder(&metadata) => Ok(()),
        Ok(_) => Err(Error::new(ErrorKind::NotARepository, operation).with("reason", "not a directory")),
        Err(error) if is_missing(&error) => Err(Error::new(ErrorKind::RepositoryNotFound, operation)),
        Err(error) => Err(failed(operation, error)),
    }
    .map_err(|error| error.with("path", root(session)))
}

/// Makes the directory unless it exists, and in an empty one the folders of segments.
pub(super) async fn create_root(session: &Session) -> Result<()> {
    let operation = "create repository folder";
    match check_root(session).await {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::RepositoryNotFound => {
            make_one(session, root(session)).await.map_err(|error| {
                let above = root(session).rsplit_once('/').map_or("", |(above, _)| above);
                failed(operation, error).with("path", if above.is_empty() { "/" } else { above })
            })?;
        }
        Err(error) => return Err(error),
    }
    let mut empty = true;
    for (name, _) in read(session, operation, &[]).await? {
        if matches!(&*name, "lost+found") || name.starts_with(".tmp-") {
            continue;
        }
        empty = false;
        if aside::name_of(&name).is_some() {
            continue;
        }
        // The engine sees objects only; what it can not see must not be taken for an empty place.
        if ObjectName::new(&*name).is_err() {
            return Err(Error::new(ErrorKind::NotARepository, operation)
                .with("reason", "the place is not empty")
                .with("found", name.escape_debug()));
        }
    }
    if empty { make(session, &[layout::SEGMENTS.to_owned(), "00".to_owned()]).await } else { Ok(()) }
}

/// Makes a folder and those above it; where segments fan out, all 256 at once.
pub(super) async fn make(session: &Session, folders: &[String]) -> Result<()> {
    let operation = "create folder";
    for depth in 1..=folders.len() {
        let above = path(session, &folders[..depth - 1]);
        let names: Vec<String> = match layout::is_fan_out(&folders[..depth]) {
            true => layout::fan_out().collect(),
            false => vec![folders[depth - 1].clone()],
        };
        let paths = names.into_iter().map(|name| format!("{above}/{name}"));
        let made = paths.map(|path| async move {
            match make_one(session, &path).await {
                Ok(()) => Ok(()),
                // Servers do not say why; another client may have made it.
                Err(error) => match session.sftp.fs().symlink_metadata(&path).await {
                    Ok(there) if is_folder(&there) => Ok(()),
                    Ok(_) => Err(Error::new(ErrorKind::AlreadyExists, operation)
                        .with("reason", "an object bears the name of the folder")),
                    Err(_) => Err(failed(operation, error)),
                }
                .map_err(|error| error.with("folder", &path)),
            }
        });
        stream::iter(made).buffer_unordered(FOLDERS_AT_ONCE).try_collect::<()>().await?;
    }
    Ok(())
}

/// Removes the folders of a repository that is gone, and the directory itself, as far as they are empty but for what
/// writers left that were killed. What stays is somebody else's.
pub(super) async fn clear(session: &Session) {
    if !has_no(session, "config").await {
        return;
    }
    let (outer, inner): (Vec<_>, Vec<_>) = layout::folders().partition(|folders| folders.len() == 1);
    stream::iter(inner).for_each_concurrent(FOLDERS_AT_ONCE, |folders| remove(session, folders)).await;
    stream::iter(outer).for_each_concurrent(FOLDERS_AT_ONCE, |folders| remove(session, folders)).await;
    remove(session, Vec::new()).await;
}

/// Removes the empty folders of a trial that is over and, where there is no repository, those of segments.
pub(super) async fn clear_trial(session: &Session, tops: &[String]) {
    for top in tops {
        remove_empty(session, top).await;
    }
    if has_no(session, "config").await && has_no(session, SPARE).await {
        remove_empty(session, layout::SEGMENTS).await;
    }
}

/// Removes a folder and those in it, as far as they are empty.
async fn remove_empty(session: &Session, top: &str) {
    let folder = [top.to_owned()];
    let place = path(session, &folder);
    let inner = read(session, "remove folder", &folder).await.unwrap_or_default();
    let inner = inner.into_iter().map(|(name, _)| format!("{place}/{name}"));
    stream::iter(inner)
        .for_each_concurrent(FOLDERS_AT_ONCE, |inner| async move { drop(session.sftp.fs().remove_dir(inner).await) })
        .await;
    let _ = session.sftp.fs().remove_dir(&place).await;
}

/// Whether it is certain that there is nothing of this name in the directory.
async fn has_no(session: &Session, name: &str) -> bool {
    let found = session.sftp.fs().symlink_metadata(format!("{}/{name}", session.root)).await;
    found.is_err_and(|error| is_missing(&error))
}

/// Removes a folder if it is empty, but for what writers left.
async fn remove(session: &Session, folders: Vec<String>) {
    let (place, mut fs) = (path(session, &folders), session.sftp.fs());
    if fs.remove_dir(&place).await.is_ok() {
        return;
    }
    for (file, _) in read(session, "remove folder", &folders).await.unwrap_or_default() {
        if layout::is_leftover(&folders, &file) {
            let _ = fs.remove_file(format!("{place}/{file}")).await;
        }
    }
    let _ = fs.remove_dir(&place).await;
}

/// Makes a folder that only its owner can use.
async fn make_one(session: &Session, path: &str) -> Result<(), openssh_sftp_client::Error> {
    let mut fs = session.sftp.fs();
    let mut only_owner = Permissions::new();
    only_owner.set_read_by_owner(true).set_write_by_owner(true).set_execute_by_owner(true);
    fs.dir_builder().permissions(only_owner).create(path).await
}

/// Whether it is said to be a folder.
pub(super) fn is_folder(metadata: &MetaData) -> bool {
    metadata.file_type().is_some_and(|kind| kind.is_dir())
}

/// Whether it is said to be a regular file.
pub(super) fn is_file(metadata: &MetaData) -> bool {
    metadata.file_type().is_some_and(|kind| kind.is_file())
}

/// What some folders hold.
#[derive(Debug, Default)]
pub(super) struct Level {
    /// Objects in them.
    pub objects: Vec<ObjectMeta>,
    /// Folders in them.
    pub folders: Vec<Vec<String>>,
}

/// Reads folders, several at once. One that is missing holds nothing, if the repository is there.
pub(super) async fn read_level(remote: &Arc<Remote>, folders: Vec<Vec<String>>, prefix: &Prefix) -> Result<Level> {
    let operation = "list objects";
    let found =
        folders.into_iter().map(|folder| {
            let (remote, prefix) = (Arc::clone(remote), prefix.clone());
            async move {
                remote.run(operation, move |session| async move { level_of(&session, folder, &prefix).await }).await
            }
        });
    let add = |mut sum: Level, found: Level| {
        sum.objects.extend(found.objects);
        sum.folders.extend(found.folders);
        std::future::ready(Ok(sum))
    };
    stream::iter(found).buffer_unordered(FOLDERS_AT_ONCE).try_fold(Level::default(), add).await
}

async fn level_of(session: &Session, folder: Vec<String>, prefix: &Prefix) -> Result<Level> {
    let operation = "list objects";
    let mut level = Level::default();
    let mut entries = read(session, operation, &folder).await?;
    let found = find_missing(session, &folder, &entries).await.map_err(|error| failed(operation, error))?;
    entries.extend(found);
    for (file, metadata) in entries {
        if ObjectName::new(&*file).is_err() || file.contains('/') {
            continue;
        }
        let kind = metadata.file_type();
        if kind.is_some_and(|kind| kind.is_dir()) {
            if folder.len() < DEPTH_MAX {
                level.folders.push([&*folder, &[file]].concat());
            }
        } else if kind.is_some_and(|kind| !kind.is_file()) {
            // Left out, it would look deleted.
            return Err(Error::damaged(operation, "not a regular file")
                .with("folder", folder.join("/"))
                .with("object", file));
        } else if let Some(name) = layout::name_of(&folder, &file).filter(|name| prefix.covers(name)) {
            let bytes = metadata.len().ok_or_else(|| Error::damaged(operation, "no size").with("object", &name))?;
            level.objects.push(ObjectMeta { name, bytes });
        }
    }
    Ok(level)
}

/// The objects of a folder that stepped [`aside`] and are back.
async fn find_missing(
    session: &Session,
    folder: &[String],
    entries: &[(String, MetaData)],
) -> SftpResult<Vec<(String, MetaData)>> {
    let is_missing_object = |file: &&str| {
        // A server says what it likes, and nothing is renamed but objects in their folders.
        !file.contains('/') && ObjectName::new(*file).is_ok() && entries.iter().all(|(there, _)| there != file)
    };
    let aside: Vec<&str> = entries.iter().filter_map(|(file, _)| aside::name_of(file)).collect();
    if !aside.is_empty() {
        aside::note(session);
    }
    let mut found = Vec::new();
    for file in aside.into_iter().filter(is_missing_object) {
        let place = format!("{}/{file}", path(session, folder));
        aside::bring_back(session, &place).await?;
        match session.sftp.fs().symlink_metadata(&place).await {
            Ok(there) => found.push((file.to_owned(), there)),
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// The entries of a folder whose names are text; none if it is missing, or an object.
async fn read(session: &Session, operation: &'static str, folder: &[String]) -> Result<Vec<(String, MetaData)>> {
    let place = if folder.is_empty() { root(session).to_owned() } else { path(session, folder) };
    let told = |error: Error| error.with("folder", folder.join("/"));
    let opened = session.sftp.fs().open_dir(&place).await;
    let directory = match opened {
        Ok(directory) => directory,
        Err(error) => {
            let there = session.sftp.fs().symlink_metadata(&place).await;
            return match there {
                Ok(there) if is_folder(&there) => Err(told(failed(operation, error))),
                Ok(_) => Ok(Vec::new()),
                Err(why) if is_missing(&why) => check_root(session).await.map(|()| Vec::new()),
                Err(_) => Err(told(failed(operation, error))),
            };
        }
    };
    let mut entries = Vec::new();
    let mut found = Box::pin(directory.read_dir());
    while let Some(entry) = found.try_next().await.map_err(|error| told(failed(operation, error)))? {
        let name = entry.filename().to_str().filter(|name| !matches!(*name, "." | ".."));
        entries.extend(name.map(|name| (name.to_owned(), entry.metadata())));
    }
    Ok(entries)
}

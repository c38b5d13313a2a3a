//! The directory of a repository and the folders in it, by handle.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use gabion_core::backend::ObjectName;
use gabion_core::error::{Error, ErrorKind, Result};
use gabion_core::repository::SPARE;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, fsync, mkdirat, openat, statat, unlinkat};
use rustix::io::{Errno, retry_on_intr};

use super::filesystem::{self, Traits};
use super::{Sharing, layout};

const FOLDER_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The error of a system call.
pub(super) fn failed(operation: &'static str, errno: Errno) -> Error {
    Error::from_io(operation, errno.into())
}

/// The open directory of a repository.
#[derive(Debug)]
pub(super) struct Root {
    handle: OwnedFd,
    path: PathBuf,
    /// Who may have access to what is made.
    pub sharing: Sharing,
    /// Folders, by their parts, that are known to survive a power cut: their parent was flushed after they were
    /// seen. Another process may have made a folder and not got round to that yet.
    durable: Mutex<HashSet<Vec<String>>>,
    /// Files of puts that have not ended, as a list came across them.
    leftovers: Mutex<HashSet<Leftover>>,
}

/// A file that a put may have left: the folders it lies in, and its name.
pub(super) type Leftover = (Vec<String>, String);

const CLEAR: &str = "remove repository folder";
/// While there is an object of this name there is a repository.
const CONFIG: &str = "config";

/// So many are remembered; the rest is found by a later list.
const LEFTOVERS_MAX: usize = 10_000;

/// Makes the directory `path` unless it exists. What lies above it must exist.
pub(super) fn make_root(path: &Path, sharing: Sharing) -> Result<()> {
    let operation = "create repository folder";
    let above = match path.parent() {
        Some(above) if above.as_os_str().is_empty() => Path::new("."),
        Some(above) => above,
        None => return Ok(()),
    };
    match mkdirat(CWD, path, sharing.of_folders()) {
        Ok(()) => {
            let above = openat(CWD, above, FOLDER_FLAGS, Mode::empty()).map_err(|errno| failed(operation, errno))?;
            flush_folder(&above).map_err(|errno| failed(operation, errno).with("path", path.display()))
        }
        Err(Errno::EXIST) => Ok(()),
        Err(Errno::NOENT) => Err(failed(operation, Errno::NOENT).with("path", above.display())),
        Err(errno) => Err(failed(operation, errno).with("path", path.display())),
    }
}

impl Root {
    /// Opens the directory `path`. Only here may a symbolic link lead the way: it is the user's own word.
    pub fn open(path: &Path, sharing: Sharing) -> Result<Self> {
        let operation = "open repository folder";
        match retry_on_intr(|| openat(CWD, path, FOLDER_FLAGS, Mode::empty())) {
            Ok(handle) => {
                let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
                Ok(Self { handle, path, sharing, durable: Mutex::default(), leftovers: Mutex::default() })
            }
            Err(errno) => Err(match errno {
                Errno::NOENT => Error::new(ErrorKind::RepositoryNotFound, operation),
                Errno::NOTDIR => Error::new(ErrorKind::NotARepository, operation).with("reason", "not a directory"),
                _ => failed(operation, errno),
            }
            .with("path", path.display())),
        }
    }

    /// Remembers a file that a put may have left.
    pub fn note_leftover(&self, folders: &[String], file: &str) {
        let mut leftovers = self.leftovers.lock().unwrap_or_else(PoisonError::into_inner);
        if leftovers.len() < LEFTOVERS_MAX {
            leftovers.insert((folders.to_vec(), file.to_owned()));
        }
    }

    /// What was remembered, which is forgotten.
    pub fn take_leftovers(&self) -> HashSet<Leftover> {
        std::mem::take(&mut *self.leftovers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the file system is good for.
    pub fn traits(&self) -> Result<Traits> {
        filesystem::traits_of(&self.handle).map_err(|errno| failed("open repository folder", errno))
    }

    /// Makes the folders of segments in a directory that holds nothing yet.
    pub fn prepare_if_empty(&self) -> Result<()> {
        let operation = "create repository folder";
        let entries = Dir::read_from(&self.handle).map_err(|errno| failed(operation, errno))?;
        let mut empty = true;
        for entry in entries {
            let entry = entry.map_err(|errno| failed(operation, errno))?;
            let name = entry.file_name().to_bytes();
            // What file systems put at their top is nobody's, and what a crash left of a put is ours.
            if matches!(name, b"." | b".." | b"lost+found") || name.starts_with(b".tmp-") {
                continue;
            }
            empty = false;
            // The engine sees objects only; what it can not see must not be taken for an empty place.
            if std::str::from_utf8(name).ok().and_then(|name| ObjectName::new(name).ok()).is_none() {
                return Err(Error::new(ErrorKind::NotARepository, operation)
                    .with("reason", "the place is not empty")
                    .with("found", name.escape_ascii()));
            }
        }
        if !empty {
            return Ok(());
        }
        self.make(operation, &[layout::SEGMENTS.to_owned(), "00".to_owned()]).map(drop)
    }

    /// Opens a folder; `None` if there is none.
    pub fn find(&self, operation: &'static str, folders: &[String]) -> Result<Option<OwnedFd>> {
        let mut current: Option<OwnedFd> = None;
        for depth in 0..folders.len() {
            let parent = current.as_ref().map_or(self.handle.as_fd(), AsFd::as_fd);
            current = open_folder(operation, parent, &folders[..=depth])?;
            if current.is_none() {
                return self.check_alive(operation).map(|()| None);
            }
        }
        current.map_or_else(|| self.reopen(operation), Ok).map(Some)
    }

    /// Opens a folder, making it if it is missing, and makes sure that a power cut does not take it away.
    pub fn make(&self, operation: &'static str, folders: &[String]) -> Result<OwnedFd> {
        let mut current = self.reopen(operation)?;
        for depth in 1..=folders.len() {
            let path = &folders[..depth];
            let found = open_folder(operation, current.as_fd(), path)?;
            if found.is_none() || !self.durable().contains(path) {
                self.make_durable(operation, &current, path)?;
            }
            let found = match found {
                None => open_folder(operation, current.as_fd(), path)?,
                found => found,
            };
            current = found.ok_or_else(|| {
                Error::new(ErrorKind::AlreadyExists, operation)
                    .with("reason", "an object bears the name of the folder")
                    .with("folder", path.join("/"))
            })?;
        }
        Ok(current)
    }

    /// Makes one folder, or all 256 at once where segments fan out, and flushes the folder above.
    fn make_durable(&self, operation: &'static str, parent: &OwnedFd, path: &[String]) -> Result<()> {
        let (above, name) = (&path[..path.len() - 1], &path[path.len() - 1]);
        let told = |errno| failed(operation, errno).with("folder", path.join("/"));
        let mut made = vec![name.clone()];
        if layout::is_fan_out(path) {
            let there = names_in(parent).map_err(told)?;
            made.extend(layout::fan_out().filter(|folder| folder != name && !there.contains(folder)));
        }
        for folder in &made {
            match mkdirat(parent, folder.as_str(), self.sharing.of_folders()) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(told(errno)),
            }
        }
        flush_folder(parent).map_err(told)?;
        let known = if layout::is_fan_out(path) { layout::fan_out().collect() } else { made };
        self.durable().extend(known.into_iter().map(|folder| [above, &[folder]].concat()));
        Ok(())
    }

    /// Removes the folders of a repository that is gone, and the directory itself, as far as they are empty but for what
    /// writers left that were killed. What stays is somebody else's.
    pub fn clear(&self) {
        if file_type_at(&self.handle, CONFIG) != Err(Errno::NOENT) {
            return;
        }
        for folders in layout::folders() {
            let Some((name, above)) = folders.split_last() else { continue };
            if let Ok(Some(above)) = self.find(CLEAR, above)
                && unlinkat(&above, name.as_str(), AtFlags::REMOVEDIR).is_err()
                && let Ok(Some(folder)) = open_folder(CLEAR, above.as_fd(), &folders)
            {
                remove_leftovers(&folder, &folders);
                let _ = unlinkat(&above, name.as_str(), AtFlags::REMOVEDIR);
            }
        }
        remove_leftovers(&self.handle, &[]);
        let _ = std::fs::remove_dir(&self.path);
    }

    /// Removes the empty folders of a trial that is over and, where there is no repository, those of segments.
    pub fn clear_trial(&self, tops: &[String]) {
        tops.iter().for_each(|top| self.remove_empty(top));
        let is_missing = |name: &str| file_type_at(&self.handle, name) == Err(Errno::NOENT);
        if is_missing(CONFIG) && is_missing(SPARE) {
            self.remove_empty(layout::SEGMENTS);
        }
    }

    /// Removes a folder and those in it, as far as they are empty.
    fn remove_empty(&self, top: &str) {
        let Ok(Some(folder)) = self.find(CLEAR, &[top.to_owned()]) else { return };
        for name in names_in(&folder).unwrap_or_default() {
            let _ = unlinkat(&folder, name.as_str(), AtFlags::REMOVEDIR);
        }
        let _ = unlinkat(&self.handle, top, AtFlags::REMOVEDIR);
    }

    /// A directory that was removed looks like one without objects; it must not be taken for that.
    fn check_alive(&self, operation: &'static str) -> Result<()> {
        let links = fstat(&self.handle).map_err(|errno| failed(operation, errno))?.st_nlink;
        if links > 0 { Ok(()) } else { Err(Error::new(ErrorKind::RepositoryNotFound, operation)) }
    }

    fn reopen(&self, operation: &'static str) -> Result<OwnedFd> {
        self.check_alive(operation)?;
        retry_on_intr(|| openat(&self.handle, ".", FOLDER_FLAGS, Mode::empty()))
            .map_err(|errno| failed(operation, errno))
    }

    fn durable(&self) -> MutexGuard<'_, HashSet<Vec<String>>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens the last of `path` in `parent`; `None` if it is missing or an object.
fn open_folder(operation: &'static str, parent: BorrowedFd<'_>, path: &[String]) -> Result<Option<OwnedFd>> {
    let Some(name) = path.last() else { return Ok(None) };
    match retry_on_intr(|| openat(parent, name.as_str(), FOLDER_FLAGS | OFlags::NOFOLLOW, Mode::empty())) {
        Ok(folder) => Ok(Some(folder)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno @ (Errno::NOTDIR | Errno::LOOP)) => match file_type_at(parent, name) {
            Ok(FileType::RegularFile) | Err(Errno::NOENT) => Ok(None),
            Ok(FileType::Directory) | Err(_) => Err(failed(operation, errno).with("folder", path.join("/"))),
            Ok(_) => Err(Error::damaged(operation, "neither a file nor a folder").with("folder", path.join("/"))),
        },
        Err(errno) => Err(failed(operation, errno).with("folder", path.join("/"))),
    }
}

/// What an entry of a folder is, without following it.
pub(super) fn file_type_at(folder: impl AsFd, name: &str) -> Result<FileType, Errno> {
    let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(stat.st_mode))
}

/// Makes the names in a folder survive a power cut.
pub(super) fn flush_folder(folder: impl AsFd) -> Result<(), Errno> {
    match retry_on_intr(|| fsync(&folder)) {
        // Some network file systems have no such thing: there the server decides what lasts.
        Err(Errno::INVAL) => Ok(()),
        other => other,
    }
}

fn remove_leftovers(folder: &OwnedFd, folders: &[String]) {
    for name in names_in(folder).unwrap_or_default().iter().filter(|name| layout::is_leftover(folders, name)) {
        let _ = unlinkat(folder, name.as_str(), AtFlags::empty());
    }
}

fn names_in(folder: &OwnedFd) -> Result<HashSet<String>, Errno> {
    let entries = Dir::read_from(folder)?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

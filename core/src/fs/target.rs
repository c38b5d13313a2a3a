//! Directories of the target, written handle by handle.
//!
//! Nothing is ever written outside the directory the user chose, whatever the archive says and
//! whoever else writes to the target meanwhile: every call names one entry of an open directory,
//! names that lead elsewhere are refused before the system sees them, symbolic links are never
//! followed (what is in the way is removed, not written through), files are made exclusively.
//! Directories and files belong to us alone until their metadata is set.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat};
use rustix::io::{Errno, Result as SystemResult, retry_on_intr};

use super::attributes::{self, DEFAULT_ACL};
use super::platform::{self, Subject};
use super::restore::{self, Leftovers, RestoreOptions};
use super::stat::Stat;
use super::target_file::TargetFile;
use super::{changed, check_name, failed, unnamed};
use crate::archive::metadata::{Attributes, FileType, Metadata, flag};
use crate::error::{Error, ErrorKind, LOCAL_PATH, Result};
use crate::limits::LINK_TARGET_BYTES_MAX;

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// How often something in the way is removed before somebody else is held to put it there again.
const ATTEMPTS: usize = 8;

/// The directory a restore goes to.
#[derive(Debug)]
pub struct Target {
    root: TargetDirectory,
}

impl Target {
    /// Opens the directory `path`, and makes it with its parents if it is missing. Symbolic links
    /// in `path` are followed: the user named it.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |error| Error::from_io("open target directory", error).with(LOCAL_PATH, path.display());
        std::fs::create_dir_all(path).map_err(failed)?;
        let handle = openat(CWD, path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let handle = handle.map_err(|errno| failed(errno.into()))?;
        Ok(Self { root: TargetDirectory::reused(handle) })
    }

    /// The directory itself.
    pub fn root(&self) -> TargetDirectory {
        self.root.clone()
    }
}

/// An open directory of the target. Copies share the handle; all methods may be called by several
/// threads at once.
#[derive(Clone, Debug)]
pub struct TargetDirectory {
    handle: Arc<OwnedFd>,
    /// What the directory itself may carry that an archive did not give it.
    own: Leftovers,
    /// What new entries get from the directory without being asked.
    inherited: Leftovers,
}

impl TargetDirectory {
    fn reused(handle: OwnedFd) -> Self {
        let inherited = Leftovers::from(hands_down(handle.as_fd()));
        Self { handle: Arc::new(handle), own: Leftovers::Possible, inherited }
    }

    /// Makes the directory `name`, for us alone until its metadata is set. A directory that
    /// exists is used as it is; anything else of that name is removed.
    pub fn create_directory(&self, name: &[u8]) -> Result<Self> {
        let operation = "create directory";
        check_name(name)?;
        for _ in 0..ATTEMPTS {
            let made = match mkdirat(&self.handle, name, Mode::RWXU) {
                Ok(()) => true,
                Err(Errno::EXIST) => false,
                Err(errno) => return Err(failed(operation, name, errno)),
            };
            match self.enter(name, made) {
                Ok(directory) => return Ok(directory),
                // A symbolic link or another file; or gone again.
                Err(Errno::NOTDIR | Errno::LOOP | Errno::NOENT) => self.clear(name)?,
                Err(errno) => return Err(failed(operation, name, errno)),
            }
        }
        Err(changed(operation, name))
    }

    /// Opens the directory `name`; fails if it is a symbolic link.
    pub fn open_directory(&self, name: &[u8]) -> Result<Self> {
        check_name(name)?;
        // Made accessible only if it must be: nobody sets the mode of a complete directory again.
        match retry_on_intr(|| openat(&self.handle, name, DIRECTORY, Mode::empty())) {
            Ok(handle) => Ok(Self::reused(handle)),
            Err(_) => self.enter(name, false).map_err(|errno| failed("open directory", name, errno)),
        }
    }

    /// Makes the regular file `name`, empty and for us alone until its metadata is set.
    /// Whatever had that name before is removed, except a directory that is not empty.
    pub fn create_file(&self, name: &[u8]) -> Result<TargetFile> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = self.replace("create file", name, || openat(&self.handle, name, flags, mode))?;
        Ok(TargetFile::new(file, self.inherited))
    }

    /// Makes the symbolic link `name` to `target`, raw bytes that are never looked at.
    /// Whatever had that name before is removed, except a directory that is not empty.
    pub fn symlink(&self, name: &[u8], target: &[u8]) -> Result<()> {
        let operation = "create symbolic link";
        if target.len() > LINK_TARGET_BYTES_MAX {
            return Err(Error::new(ErrorKind::LimitExceeded, operation).with("name", name.escape_ascii()));
        }
        self.replace(operation, name, || rustix::fs::symlinkat(target, &self.handle, name))
    }

    /// Makes the named pipe `name`.
    /// Whatever had that name before is removed, except a directory that is not empty.
    pub fn fifo(&self, name: &[u8]) -> Result<()> {
        let make = || platform::make_node(self.handle.as_fd(), name, rustix::fs::FileType::Fifo, (0, 0));
        self.replace("create named pipe", name, make)
    }

    /// Makes the device `name`, a block or character device with these numbers. Needs privileges.
    /// Whatever had that name before is removed, except a directory that is not empty.
    pub fn device(&self, name: &[u8], file_type: FileType, major: u32, minor: u32) -> Result<()> {
        let operation = "create device";
        let kind = match file_type {
            FileType::BlockDevice => rustix::fs::FileType::BlockDevice,
            FileType::CharacterDevice => rustix::fs::FileType::CharacterDevice,
            _ => return Err(Error::new(ErrorKind::InvalidInput, operation).with("name", name.escape_ascii())),
        };
        self.replace(operation, name, || platform::make_node(self.handle.as_fd(), name, kind, (major, minor)))
    }

    /// Gives the file `existing_name` of `existing`, which was made there as a `file_type`, the further name `name`
    /// here. Whatever had that name before is removed, except a directory that is not empty.
    ///
    /// # Errors
    /// `InvalidInput` if it is of another type (a symbolic link that was planted, say) or a directory,
    /// `SourceChanged` if another file took its place meanwhile.
    pub fn hard_link(&self, name: &[u8], existing: &Self, existing_name: &[u8], file_type: FileType) -> Result<()> {
        let operation = "create hard link";
        check_name(name)?;
        check_name(existing_name)?;
        let stat = platform::stat_at(existing.handle.as_fd(), existing_name)
            .map_err(|errno| failed(operation, existing_name, errno))?;
        if stat.file_type.stored() != Some(file_type) || stat.is_directory() {
            return Err(Error::new(ErrorKind::InvalidInput, operation).with("existing", existing_name.escape_ascii()));
        }
        if self.is(name, &stat) {
            return Ok(());
        }
        let link = || rustix::fs::linkat(&existing.handle, existing_name, &self.handle, name, AtFlags::empty());
        self.replace(operation, name, || match link() {
            // The system links no protected files. We protected it, when its metadata was set.
            Err(Errno::PERM) if stat.flags & (flag::IMMUTABLE | flag::APPEND) != 0 => {
                existing.unprotected(existing_name, &stat, link)
            }
            other => other,
        })?;
        if self.is(name, &stat) {
            return Ok(());
        }
        self.clear(name)?;
        Err(changed(operation, existing_name))
    }

    /// Sets the metadata of the entry `name`, which was made here as a `file_type`. Not for
    /// directories, see [`Self::set_own_metadata`]. Returns what could not be set.
    pub fn set_metadata(
        &self,
        name: &[u8],
        file_type: FileType,
        metadata: &Metadata,
        attributes: &Attributes,
        options: &RestoreOptions<'_>,
    ) -> Vec<Error> {
        self.with_entry(name, file_type, |stat, subject| {
            restore::apply(subject, stat, self.inherited, metadata, attributes, options)
        })
    }

    /// Calls `act` for the entry `name` if it is a `file_type`, with the file open where it can be.
    fn with_entry(
        &self,
        name: &[u8],
        file_type: FileType,
        act: impl Fn(&Stat, Subject<'_>) -> Vec<Error>,
    ) -> Vec<Error> {
        let operation = "set metadata";
        if let Err(error) = check_name(name) {
            return vec![error];
        }
        let act = |stat: &Stat, subject: Subject<'_>| {
            if stat.file_type.stored() != Some(file_type) || stat.is_directory() {
                return vec![changed(operation, name)];
            }
            match self.open_same(name, stat) {
                Some(file) => act(stat, Subject::Open(file.as_fd())),
                None => act(stat, subject),
            }
        };
        platform::with_reference(self.handle.as_fd(), name, act)
            .unwrap_or_else(|errno| vec![failed(operation, name, errno)])
    }

    /// Sets the metadata of the directory itself; to be called when all its entries are complete.
    /// Returns what could not be set.
    pub fn set_own_metadata(
        &self,
        metadata: &Metadata,
        attributes: &Attributes,
        options: &RestoreOptions<'_>,
    ) -> Vec<Error> {
        let subject = Subject::Open(self.handle.as_fd());
        match platform::stat_open(self.handle.as_fd()) {
            Ok(stat) => restore::apply(subject, &stat, self.own, metadata, attributes, options),
            Err(errno) => vec![unnamed("set metadata", errno)],
        }
    }

    /// Runs `make`, and as long as something is in its way, removes that.
    fn replace<T>(&self, operation: &'static str, name: &[u8], make: impl Fn() -> SystemResult<T>) -> Result<T> {
        check_name(name)?;
        for _ in 0..ATTEMPTS {
            match retry_on_intr(&make) {
                Err(Errno::EXIST) => self.clear(name)?,
                other => return other.map_err(|errno| failed(operation, name, errno)),
            }
        }
        Err(changed(operation, name))
    }

    /// Removes the entry `name`, unless it is a directory with entries.
    fn clear(&self, name: &[u8]) -> Result<()> {
        let operation = "remove what is in the way";
        let removed = match rustix::fs::unlinkat(&self.handle, name, AtFlags::empty()) {
            // Linux says ISDIR, POSIX says PERM.
            Err(Errno::ISDIR | Errno::PERM) if self.is_directory(name) => {
                rustix::fs::unlinkat(&self.handle, name, AtFlags::REMOVEDIR)
            }
            other => other,
        };
        match removed {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::NOTEMPTY) => {
                Err(Error::new(ErrorKind::AlreadyExists, operation).with("directory", name.escape_ascii()))
            }
            Err(errno) => Err(failed(operation, name, errno)),
        }
    }

    fn enter(&self, name: &[u8], made: bool) -> SystemResult<Self> {
        // An inherited ACL may keep its owner out of a new directory.
        if !made || self.inherited == Leftovers::Possible {
            self.make_accessible(name);
        }
        let handle = retry_on_intr(|| openat(&self.handle, name, DIRECTORY, Mode::empty()))?;
        if !made {
            return Ok(Self::reused(handle));
        }
        Ok(Self { handle: Arc::new(handle), own: self.inherited, inherited: self.inherited })
    }

    /// Lets us into a directory of ours that its owner may not enter or change, such as one that
    /// was restored before. Its mode is set again with the metadata.
    fn make_accessible(&self, name: &[u8]) {
        let widen = |stat: &Stat, subject: Subject<'_>| {
            if stat.is_directory() {
                // If it fails, opening or writing tells why.
                let _ = platform::set_mode(subject, stat.mode | 0o700);
            }
        };
        let closed = |stat: Stat| stat.is_directory() && stat.mode & 0o700 != 0o700;
        if !rustix::process::geteuid().is_root() && platform::stat_at(self.handle.as_fd(), name).is_ok_and(closed) {
            let _ = platform::with_reference(self.handle.as_fd(), name, widen);
        }
    }

    /// Runs `act` while the regular file `name` is neither immutable nor append-only.
    fn unprotected<T>(&self, name: &[u8], stat: &Stat, act: impl Fn() -> SystemResult<T>) -> SystemResult<T> {
        let Some(file) = self.open_same(name, stat) else { return Err(Errno::PERM) };
        let protection = stat.flags & (flag::IMMUTABLE | flag::APPEND);
        platform::change_flags(file.as_fd(), protection, 0)?;
        let result = act();
        platform::change_flags(file.as_fd(), 0, protection)?;
        result
    }

    /// Opens the entry `name` if it is a regular file, the same as `stat`, and readable.
    fn open_same(&self, name: &[u8], stat: &Stat) -> Option<OwnedFd> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = stat.is_file().then(|| openat(&self.handle, name, flags, Mode::empty()).ok()).flatten()?;
        platform::stat_open(file.as_fd()).is_ok_and(|opened| opened.same_file(stat)).then_some(file)
    }

    fn is(&self, name: &[u8], stat: &Stat) -> bool {
        platform::stat_at(self.handle.as_fd(), name).is_ok_and(|found| found.same_file(stat))
    }

    fn is_directory(&self, name: &[u8]) -> bool {
        platform::stat_at(self.handle.as_fd(), name).is_ok_and(|stat| stat.is_directory())
    }
}

/// Whether a directory gives its new entries an ACL or flags.
fn hands_down(directory: BorrowedFd<'_>) -> bool {
    let flagged = |stat: Stat| stat.flags & (flag::NODUMP | flag::COMPRESSED) != 0;
    attributes::exists(Subject::Open(directory), DEFAULT_ACL) || platform::stat_open(directory).is_ok_and(flagged)
}

mod present;
mod surplus;
#[cfg(test)]
mod tests;

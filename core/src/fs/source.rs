//! Directories of the source, walked handle by handle.
//!
//! Whoever may write to the source can rename, replace, and link things at any moment. Every open
//! therefore names one entry of an open directory, never follows a symbolic link, never waits for
//! the other end of a pipe, and compares what it got with what was looked at before.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, retry_on_intr};

use super::attributes::{self, AttributeOptions};
use super::open::SourceFile;
use super::platform::{self, Subject};
use super::stat::Stat;
use super::{changed, check_name, failed, named, unnamed};
use crate::archive::metadata::{Attributes, FileType};
use crate::error::{Error, ErrorKind, LOCAL_PATH, Result};
use crate::limits::LINK_TARGET_BYTES_MAX;

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);
const ENTRY: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// The file that marks a cache directory, and how it begins.
pub const CACHEDIR_TAG: (&[u8], &[u8; 43]) = (b"CACHEDIR.TAG", b"Signature: 8a477f597d28d172789f06886806bc55");

/// An open directory.
///
/// Every method but [`Self::names`] may be called by several threads at once.
#[derive(Debug)]
pub struct SourceDirectory {
    handle: OwnedFd,
}

impl SourceDirectory {
    /// Opens a directory the user named; symbolic links in `path` are followed.
    pub fn open(path: &Path) -> Result<Self> {
        let quiet = openat(CWD, path, DIRECTORY | platform::NO_ACCESS_TIME, Mode::empty());
        let handle = match quiet {
            Err(Errno::PERM) => openat(CWD, path, DIRECTORY, Mode::empty()),
            other => other,
        };
        let handle = handle.map_err(|errno| unnamed("open directory", errno).with(LOCAL_PATH, path.display()))?;
        Ok(Self { handle })
    }

    /// All names in the directory except `.` and `..`.
    pub fn names(&self) -> Result<Names> {
        Names::read(self.handle.as_fd())
    }

    /// The state of the entry `name`; a symbolic link is not followed.
    pub fn stat(&self, name: &[u8]) -> Result<Stat> {
        platform::stat_at(self.handle.as_fd(), name).map_err(|errno| failed("stat file", name, errno))
    }

    /// The state of the directory itself.
    pub fn stat_self(&self) -> Result<Stat> {
        platform::stat_open(self.handle.as_fd()).map_err(|errno| unnamed("stat directory", errno))
    }

    /// Opens the directory `name`, which was `expected` when it was looked at.
    ///
    /// # Errors
    /// `SourceChanged` if it is another file by now. That also happens the first time an automount
    /// point is opened; looking again then tells the directory that is mounted.
    pub fn open_directory(&self, name: &[u8], expected: &Stat) -> Result<Self> {
        let operation = "open directory";
        let handle = self.open_entry(name, ENTRY | DIRECTORY, expected).map_err(|errno| match errno {
            Errno::NOTDIR | Errno::LOOP => changed(operation, name),
            _ => failed(operation, name, errno),
        })?;
        verify(operation, &handle, name, expected)?;
        Ok(Self { handle })
    }

    /// Opens the regular file `name`, which was `expected` when it was looked at.
    ///
    /// # Errors
    /// `SourceChanged` if it is another file by now.
    pub fn open_file(&self, name: &[u8], expected: &Stat) -> Result<SourceFile> {
        let operation = "open file";
        let file = self.open_entry(name, ENTRY, expected).map_err(|errno| match errno {
            // A symbolic link, or a socket or device without anybody behind it.
            Errno::LOOP | Errno::NXIO => changed(operation, name),
            _ => failed(operation, name, errno),
        })?;
        let opened = verify(operation, &file, name, expected)?;
        if !opened.is_file() {
            return Err(changed(operation, name));
        }
        Ok(SourceFile::new(file, opened))
    }

    /// The content of the regular file `name`, of `bytes_max` bytes at most.
    ///
    /// # Errors
    /// `Unsupported` if it is no regular file, `LimitExceeded` if it is longer.
    pub fn content(&self, name: &[u8], bytes_max: usize) -> Result<Vec<u8>> {
        let refused = |kind| Err(named(Error::new(kind, "read small file"), name));
        let stat = self.stat(name)?;
        if !stat.is_file() {
            return refused(ErrorKind::Unsupported);
        }
        let mut file = self.open_file(name, &stat)?;
        let mut content = vec![0; usize::try_from(stat.size).unwrap_or(usize::MAX).min(bytes_max) + 1];
        let mut filled = 0;
        loop {
            match file.read(&mut content[filled..])? {
                0 => break,
                bytes => filled += bytes,
            }
        }
        if filled > bytes_max {
            return refused(ErrorKind::LimitExceeded);
        }
        content.truncate(filled);
        Ok(content)
    }

    /// Opens the device or named pipe `name`, or the one that the symbolic link `name` leads to, to read it as if it were
    /// a regular file; none if it is anything else. Waits for the other end of a pipe.
    ///
    /// # Errors
    /// `SourceChanged` if it is another file by now than `expected`, or than what the link led to.
    pub fn open_special(&self, name: &[u8], expected: &Stat) -> Result<Option<(File, Stat)>> {
        let operation = "open special file";
        let (expected, follow) = if expected.is_symlink() {
            // A link to nowhere is a link.
            let flags = platform::SEARCH | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let Ok(reference) = openat(&self.handle, name, flags, Mode::empty()) else { return Ok(None) };
            let led_to = platform::stat_open(reference.as_fd()).map_err(|errno| failed(operation, name, errno))?;
            (led_to, OFlags::empty())
        } else {
            (expected.clone(), OFlags::NOFOLLOW)
        };
        let special = [FileType::Fifo, FileType::CharacterDevice, FileType::BlockDevice];
        if !expected.file_type.stored().is_some_and(|stored| special.contains(&stored)) {
            return Ok(None);
        }
        let file = match retry_on_intr(|| openat(&self.handle, name, follow | OFlags::CLOEXEC, Mode::empty())) {
            Ok(file) => file,
            // What the link leads to is somebody else's, or nobody is behind it.
            Err(_) if follow.is_empty() => return Ok(None),
            Err(errno) => return Err(failed(operation, name, errno)),
        };
        let opened = verify(operation, &file, name, &expected)?;
        Ok(Some((file.into(), opened)))
    }

    /// The target of the symbolic link `name`, raw bytes.
    ///
    /// # Errors
    /// `SourceChanged` if it is no symbolic link by now, `LimitExceeded` for a target of more than
    /// [`LINK_TARGET_BYTES_MAX`] bytes.
    pub fn read_link(&self, name: &[u8]) -> Result<Vec<u8>> {
        let operation = "read symbolic link";
        let mut buffer = [0; LINK_TARGET_BYTES_MAX + 1];
        let bytes = match rustix::fs::readlinkat_raw(&self.handle, name, &mut buffer[..]) {
            Ok(bytes) => bytes,
            Err(Errno::INVAL) => return Err(changed(operation, name)),
            Err(errno) => return Err(failed(operation, name, errno)),
        };
        match buffer.get(..bytes) {
            Some(target) if bytes <= LINK_TARGET_BYTES_MAX => Ok(target.to_vec()),
            _ => Err(Error::new(ErrorKind::LimitExceeded, operation).with("name", name.escape_ascii())),
        }
    }

    /// Attributes of the entry `name`, whatever it is, without opening it.
    ///
    /// # Errors
    /// `SourceChanged` if it is another file than `expected` by now.
    pub fn attributes(&self, name: &[u8], expected: &Stat, options: AttributeOptions) -> Result<Attributes> {
        let operation = "read attributes";
        if !options.xattrs && !options.acls {
            return Ok(Attributes::default());
        }
        // Nearly always there are none. Only if there are, it matters whose they are.
        let list = attributes::list(Subject::Named(self.handle.as_fd(), name));
        if list.map_err(|errno| failed(operation, name, errno))?.is_empty() {
            return Ok(Attributes::default());
        }
        platform::with_reference(self.handle.as_fd(), name, |stat, subject| {
            if stat.same_file(expected) { attributes::read(subject, options) } else { Err(changed(operation, name)) }
        })
        .map_err(|errno| failed(operation, name, errno))?
    }

    /// Attributes of the directory itself.
    pub fn own_attributes(&self, options: AttributeOptions) -> Result<Attributes> {
        attributes::read(Subject::Open(self.handle.as_fd()), options)
    }

    fn open_entry(&self, name: &[u8], flags: OFlags, expected: &Stat) -> rustix::io::Result<OwnedFd> {
        let open = |flags| retry_on_intr(|| openat(&self.handle, name, flags, Mode::empty()));
        if may_hide_access(expected.uid) {
            match open(flags | platform::NO_ACCESS_TIME) {
                Err(Errno::PERM) => {}
                other => return other,
            }
        }
        open(flags)
    }
}

/// Whether the system is likely to let us read a file of `owner` without marking the access.
fn may_hide_access(owner: u32) -> bool {
    static USER: OnceLock<u32> = OnceLock::new();
    let user = *USER.get_or_init(|| rustix::process::geteuid().as_raw());
    user == 0 || user == owner
}

fn verify(operation: &'static str, handle: &OwnedFd, name: &[u8], expected: &Stat) -> Result<Stat> {
    let opened = platform::stat_open(handle.as_fd()).map_err(|errno| failed(operation, name, errno))?;
    if opened.same_file(expected) { Ok(opened) } else { Err(changed(operation, name)) }
}

/// The directory that holds `path`, and the name `path` has in it, for a file the user named.
///
/// Symbolic links in the directory part are followed, the file itself is not looked at. The
/// directory need not be readable; its [`SourceDirectory::names`] may fail.
///
/// # Errors
/// `InvalidInput` if `path` ends in `..` or is `/`, `.`, or empty: then it names a directory only.
pub fn source_parent(path: &Path) -> Result<(SourceDirectory, Vec<u8>)> {
    let operation = "open parent directory";
    let Some(name) = path.file_name() else {
        return Err(Error::new(ErrorKind::InvalidInput, operation).with("path", path.display()));
    };
    check_name(name.as_bytes())?;
    let parent = path.parent().filter(|parent| *parent != OsStr::new("")).unwrap_or(Path::new("."));
    // Whoever may read it gets a handle that tells attributes too; to find one name in it, searching is enough.
    let handle = match openat(CWD, parent, DIRECTORY, Mode::empty()) {
        Err(Errno::ACCESS) => openat(CWD, parent, DIRECTORY | platform::SEARCH, Mode::empty()),
        other => other,
    };
    let handle = handle.map_err(|errno| unnamed(operation, errno).with(LOCAL_PATH, path.display()))?;
    Ok((SourceDirectory { handle }, name.as_bytes().to_vec()))
}

/// The directories above the one that `path` really leads to, the nearest first and as far as they can be opened: each with
/// its path, and the way from it down to that one.
pub fn directories_above(path: &Path) -> Vec<(SourceDirectory, PathBuf, PathBuf)> {
    // Where the way is not known, nothing is above.
    let real = std::fs::canonicalize(path).unwrap_or_default();
    let opened = real.ancestors().map_while(|below| {
        let above = below.parent()?;
        let way = real.strip_prefix(above).ok()?;
        Some((source_parent(below).ok()?.0, above.to_owned(), way.to_owned()))
    });
    opened.collect()
}

/// Whether `directory` is marked as a cache: it holds a regular file `CACHEDIR.TAG` that begins
/// with the agreed signature. What can not be read is no mark.
pub fn is_cachedir_tag(directory: &SourceDirectory) -> bool {
    let (name, signature) = CACHEDIR_TAG;
    let mut start = [0; 43];
    let tag = directory.stat(name).ok().filter(Stat::is_file);
    let tag = tag.and_then(|stat| directory.open_file(name, &stat).ok());
    tag.is_some_and(|mut tag| tag.read(&mut start).is_ok_and(|bytes| bytes == signature.len()) && start == *signature)
}

/// Whether `directory` has an entry `name`, of any kind. What can not be looked at is not there.
pub fn has_entry(directory: &SourceDirectory, name: &[u8]) -> bool {
    check_name(name).is_ok() && directory.stat(name).is_ok()
}

/// The names in a directory: sorted by bytes, each once.
///
/// All names share one allocation, and each needs 8 bytes beside it: a million names of 20 bytes
/// are 28 MB.
#[derive(Clone, Debug, Default)]
pub struct Names {
    bytes: Vec<u8>,
    /// Start and length of each name.
    places: Vec<(u32, u16)>,
    overflow: bool,
}

impl Names {
    /// All names in an open directory except `.` and `..`.
    pub(super) fn read(directory: BorrowedFd<'_>) -> Result<Self> {
        let mut names = Self::default();
        platform::read_names(directory, |name| names.push(name)).map_err(|errno| unnamed("read directory", errno))?;
        names.sort()?;
        Ok(names)
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The name at `index`, if there are so many.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        self.places.get(index).map(|place| name_at(&self.bytes, *place))
    }

    /// Whether `name` is among them.
    pub fn contains(&self, name: &[u8]) -> bool {
        self.places.binary_search_by(|place| name_at(&self.bytes, *place).cmp(name)).is_ok()
    }

    /// All names in ascending order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> + DoubleEndedIterator {
        self.places.iter().map(|place| name_at(&self.bytes, *place))
    }

    /// Keeps only the names for which `wanted` says so.
    pub fn retain(&mut self, mut wanted: impl FnMut(&[u8]) -> bool) {
        let bytes = &self.bytes;
        self.places.retain(|place| wanted(name_at(bytes, *place)));
    }

    /// Adds names, those that are there once more not.
    ///
    /// # Errors
    /// `LimitExceeded` for more than 4 GiB of names.
    pub fn add<'n>(&mut self, names: impl Iterator<Item = &'n Vec<u8>>) -> Result<()> {
        let before = self.places.len();
        names.for_each(|name| self.push(name));
        if self.places.len() == before { Ok(()) } else { self.sort() }
    }

    fn push(&mut self, name: &[u8]) {
        if matches!(name, b"" | b"." | b"..") {
            return;
        }
        match (u32::try_from(self.bytes.len()), u16::try_from(name.len())) {
            (Ok(start), Ok(length)) => {
                self.bytes.extend_from_slice(name);
                self.places.push((start, length));
            }
            _ => self.overflow = true,
        }
    }

    /// Sorts; a broken file system may tell a name twice.
    fn sort(&mut self) -> Result<()> {
        if self.overflow {
            return Err(Error::new(ErrorKind::LimitExceeded, "read directory").with("bytes", self.bytes.len()));
        }
        let bytes = &self.bytes;
        self.places.sort_unstable_by(|a, b| name_at(bytes, *a).cmp(name_at(bytes, *b)));
        self.places.dedup_by(|a, b| name_at(bytes, *a) == name_at(bytes, *b));
        Ok(())
    }
}

fn name_at(bytes: &[u8], (start, length): (u32, u16)) -> &[u8] {
    let start = start as usize;
    bytes.get(start..start + usize::from(length)).unwrap_or_default()
}

#[cfg(test)]
mod tests;

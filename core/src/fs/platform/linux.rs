//! Linux, 4.11 or newer: `statx`, attributes, flags, descriptors that only refer to a file.
//!
//! A descriptor opened with `O_PATH` can not be used for every call, but its entry in
//! `/proc/self/fd` can: it leads to exactly that file, even if that is a symbolic link.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{
    AtFlags, CWD, Gid, IFlags, Mode, OFlags, RawDir, SeekFrom, StatxAttributes, StatxFlags, StatxTimestamp, Timestamps,
    Uid, XattrFlags,
};
use rustix::io::{Errno, Result};

use super::Subject;
use crate::archive::metadata::flag;
use crate::clock::Timestamp;
use crate::fs::stat::Stat;
use crate::limits::KIB;

/// Opens without leaving a trace in the time of the last access; owners and root may.
pub(in crate::fs) const NO_ACCESS_TIME: OFlags = OFlags::NOATIME;
/// Opens a directory to look up names in it, which needs no right to list it.
pub(in crate::fs) const SEARCH: OFlags = OFlags::PATH;

/// What the system says of an attribute that is not there.
pub(in crate::fs) const NO_ATTRIBUTE: Errno = Errno::NODATA;

/// Bytes of directory entries asked for at once.
const LISTING_BYTES: usize = 64 * KIB;

/// The entry `name` of `directory`; never follows, never mounts.
pub(in crate::fs) fn stat_at(directory: BorrowedFd<'_>, name: &[u8]) -> Result<Stat> {
    stat(directory, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT)
}

/// What is open as `descriptor`.
pub(in crate::fs) fn stat_open(descriptor: BorrowedFd<'_>) -> Result<Stat> {
    stat(descriptor, b"", AtFlags::EMPTY_PATH)
}

fn stat(directory: BorrowedFd<'_>, name: &[u8], flags: AtFlags) -> Result<Stat> {
    let found = rustix::fs::statx(directory, name, flags, StatxFlags::BASIC_STATS | StatxFlags::BTIME)?;
    let born = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::BTIME);
    Ok(Stat {
        file_type: rustix::fs::FileType::from_raw_mode(found.stx_mode.into()).into(),
        mode: u32::from(found.stx_mode) & 0o7777,
        uid: found.stx_uid,
        gid: found.stx_gid,
        size: found.stx_size,
        blocks: found.stx_blocks,
        modified: timestamp(&found.stx_mtime),
        changed: timestamp(&found.stx_ctime),
        accessed: timestamp(&found.stx_atime),
        born: born.then(|| timestamp(&found.stx_btime)),
        inode: found.stx_ino,
        device: rustix::fs::makedev(found.stx_dev_major, found.stx_dev_minor),
        links: found.stx_nlink,
        rdev: (found.stx_rdev_major, found.stx_rdev_minor),
        flags: flags_of(found.stx_attributes),
        // Systems that do not tell are taken to have something mounted.
        is_mount: (found.stx_attributes | !found.stx_attributes_mask).contains(StatxAttributes::MOUNT_ROOT),
    })
}

fn timestamp(time: &StatxTimestamp) -> Timestamp {
    Timestamp::new(time.tv_sec, time.tv_nsec.min(999_999_999))
}

fn flags_of(attributes: StatxAttributes) -> u32 {
    let bit = |attribute, bit| if attributes.contains(attribute) { bit } else { 0 };
    bit(StatxAttributes::IMMUTABLE, flag::IMMUTABLE)
        | bit(StatxAttributes::APPEND, flag::APPEND)
        | bit(StatxAttributes::NODUMP, flag::NODUMP)
        | bit(StatxAttributes::COMPRESSED, flag::COMPRESSED)
}

/// Calls `each` with every name in `directory`, in no order, `.` and `..` among them.
pub(in crate::fs) fn read_names(directory: BorrowedFd<'_>, mut each: impl FnMut(&[u8])) -> Result<()> {
    rustix::fs::seek(directory, SeekFrom::Start(0))?;
    let mut buffer: Vec<MaybeUninit<u8>> = vec![MaybeUninit::uninit(); LISTING_BYTES];
    let mut entries = RawDir::new(directory, &mut buffer);
    while let Some(entry) = entries.next() {
        match entry {
            Ok(entry) => each(entry.file_name().to_bytes()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Tells the system that the file will be read from front to end.
pub(in crate::fs) fn announce_sequential(descriptor: BorrowedFd<'_>) {
    // Advice; what becomes of it changes no result.
    let _ = rustix::fs::fadvise(descriptor, 0, None, rustix::fs::Advice::Sequential);
}

/// The first offset from `offset` on that is not in a hole; `NXIO` if there is none.
pub(in crate::fs) fn seek_data(descriptor: BorrowedFd<'_>, offset: u64) -> Result<u64> {
    rustix::fs::seek(descriptor, SeekFrom::Data(offset))
}

/// The first offset from `offset` on that is in a hole, or the end of the file.
pub(in crate::fs) fn seek_hole(descriptor: BorrowedFd<'_>, offset: u64) -> Result<u64> {
    rustix::fs::seek(descriptor, SeekFrom::Hole(offset))
}

/// Calls `act` with a subject that is the entry `name` of `directory` and stays the same file.
pub(in crate::fs) fn with_reference<T>(
    directory: BorrowedFd<'_>,
    name: &[u8],
    act: impl FnOnce(&Stat, Subject<'_>) -> T,
) -> Result<T> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let reference = rustix::fs::openat(directory, name, flags, Mode::empty())?;
    let stat = stat_open(reference.as_fd())?;
    Ok(act(&stat, Subject::Reference(reference.as_fd())))
}

fn reference_path(descriptor: BorrowedFd<'_>) -> Vec<u8> {
    format!("/proc/self/fd/{}", descriptor.as_raw_fd()).into_bytes()
}

fn named_path(directory: BorrowedFd<'_>, name: &[u8]) -> Vec<u8> {
    let mut path = reference_path(directory);
    path.push(b'/');
    path.extend_from_slice(name);
    path
}

/// Writes the names of all attributes into `buffer`, each ended by NUL; `RANGE` if it is too small.
pub(in crate::fs) fn list_attributes(subject: Subject<'_>, buffer: &mut [u8]) -> Result<usize> {
    match subject {
        Subject::Open(descriptor) => rustix::fs::flistxattr(descriptor, buffer),
        Subject::Reference(descriptor) => rustix::fs::listxattr(reference_path(descriptor), buffer),
        Subject::Named(directory, name) => rustix::fs::llistxattr(named_path(directory, name), buffer),
    }
}

/// Writes the value of the attribute `attribute` into `buffer`; `RANGE` if it is too small.
pub(in crate::fs) fn get_attribute(subject: Subject<'_>, attribute: &[u8], buffer: &mut [u8]) -> Result<usize> {
    match subject {
        Subject::Open(descriptor) => rustix::fs::fgetxattr(descriptor, attribute, buffer),
        Subject::Reference(descriptor) => rustix::fs::getxattr(reference_path(descriptor), attribute, buffer),
        Subject::Named(directory, name) => rustix::fs::lgetxattr(named_path(directory, name), attribute, buffer),
    }
}

/// Sets the attribute `attribute`.
pub(in crate::fs) fn set_attribute(subject: Subject<'_>, attribute: &[u8], value: &[u8]) -> Result<()> {
    let any = XattrFlags::empty();
    match subject {
        Subject::Open(descriptor) => rustix::fs::fsetxattr(descriptor, attribute, value, any),
        Subject::Reference(descriptor) => rustix::fs::setxattr(reference_path(descriptor), attribute, value, any),
        Subject::Named(directory, name) => rustix::fs::lsetxattr(named_path(directory, name), attribute, value, any),
    }
}

/// Removes the attribute `attribute`.
pub(in crate::fs) fn remove_attribute(subject: Subject<'_>, attribute: &[u8]) -> Result<()> {
    match subject {
        Subject::Open(descriptor) => rustix::fs::fremovexattr(descriptor, attribute),
        Subject::Reference(descriptor) => rustix::fs::removexattr(reference_path(descriptor), attribute),
        Subject::Named(directory, name) => rustix::fs::lremovexattr(named_path(directory, name), attribute),
    }
}

/// Sets permission bits, 0 to 0o7777.
pub(in crate::fs) fn set_mode(subject: Subject<'_>, mode: u32) -> Result<()> {
    let mode = Mode::from_raw_mode(mode);
    match subject {
        Subject::Open(descriptor) => rustix::fs::fchmod(descriptor, mode),
        Subject::Reference(descriptor) => rustix::fs::chmodat(CWD, reference_path(descriptor), mode, AtFlags::empty()),
        Subject::Named(directory, name) => rustix::fs::chmodat(directory, name, mode, AtFlags::SYMLINK_NOFOLLOW),
    }
}

/// Sets owner, group, or both.
pub(in crate::fs) fn set_owner(subject: Subject<'_>, user: Option<Uid>, group: Option<Gid>) -> Result<()> {
    match subject {
        Subject::Open(descriptor) => rustix::fs::fchown(descriptor, user, group),
        Subject::Reference(descriptor) => rustix::fs::chownat(descriptor, c"", user, group, AtFlags::EMPTY_PATH),
        Subject::Named(directory, name) => rustix::fs::chownat(directory, name, user, group, AtFlags::SYMLINK_NOFOLLOW),
    }
}

/// Sets times of access and modification.
pub(in crate::fs) fn set_times(subject: Subject<'_>, times: &Timestamps) -> Result<()> {
    match subject {
        Subject::Open(descriptor) => rustix::fs::futimens(descriptor, times),
        Subject::Reference(descriptor) => {
            rustix::fs::utimensat(CWD, reference_path(descriptor), times, AtFlags::empty())
        }
        Subject::Named(directory, name) => rustix::fs::utimensat(directory, name, times, AtFlags::SYMLINK_NOFOLLOW),
    }
}

/// Clears, then sets bits of [`flag`] on an open file or directory; all other flags stay.
pub(in crate::fs) fn change_flags(descriptor: BorrowedFd<'_>, clear: u32, set: u32) -> Result<()> {
    let before = rustix::fs::ioctl_getflags(descriptor)?;
    let after = before.difference(inode_flags(clear)).union(inode_flags(set));
    if after == before { Ok(()) } else { rustix::fs::ioctl_setflags(descriptor, after) }
}

fn inode_flags(flags: u32) -> IFlags {
    let one = |bit, inode_flag| if flags & bit != 0 { inode_flag } else { IFlags::empty() };
    one(flag::IMMUTABLE, IFlags::IMMUTABLE)
        | one(flag::APPEND, IFlags::APPEND)
        | one(flag::NODUMP, IFlags::NODUMP)
        | one(flag::COMPRESSED, IFlags::COMPRESSED)
}

/// Makes a named pipe or a device, readable and writable by its owner.
pub(in crate::fs) fn make_node(
    directory: BorrowedFd<'_>,
    name: &[u8],
    file_type: rustix::fs::FileType,
    rdev: (u32, u32),
) -> Result<()> {
    let device = rustix::fs::makedev(rdev.0, rdev.1);
    rustix::fs::mknodat(directory, name, file_type, Mode::RUSR | Mode::WUSR, device)
}

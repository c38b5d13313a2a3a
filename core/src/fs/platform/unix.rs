//! Any Unix: what POSIX has. Attributes and flags are neither seen nor set.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timestamps, Uid};
use rustix::io::{Errno, Result};

use super::Subject;
use crate::clock::Timestamp;
use crate::fs::stat::Stat;

/// There is no way to leave the time of the last access alone.
pub(in crate::fs) const NO_ACCESS_TIME: OFlags = OFlags::empty();
/// Looking up names in a directory needs the right to list it.
pub(in crate::fs) const SEARCH: OFlags = OFlags::empty();

/// What the system says of an attribute that is not there.
pub(in crate::fs) const NO_ATTRIBUTE: Errno = Errno::NOTSUP;

/// The entry `name` of `directory`; never follows.
pub(in crate::fs) fn stat_at(directory: BorrowedFd<'_>, name: &[u8]) -> Result<Stat> {
    rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).map(|found| convert(&found))
}

/// What is open as `descriptor`.
pub(in crate::fs) fn stat_open(descriptor: BorrowedFd<'_>) -> Result<Stat> {
    rustix::fs::fstat(descriptor).map(|found| convert(&found))
}

/// Field widths differ between systems, so every number passes through [`number`].
fn convert(found: &rustix::fs::Stat) -> Stat {
    let mode: u32 = number(found.st_mode);
    Stat {
        file_type: rustix::fs::FileType::from_raw_mode(found.st_mode).into(),
        mode: mode & 0o7777,
        uid: number(found.st_uid),
        gid: number(found.st_gid),
        size: number(found.st_size),
        blocks: number(found.st_blocks),
        modified: timestamp(found.st_mtime, found.st_mtime_nsec),
        changed: timestamp(found.st_ctime, found.st_ctime_nsec),
        accessed: timestamp(found.st_atime, found.st_atime_nsec),
        born: None,
        inode: number(found.st_ino),
        device: number(found.st_dev),
        links: number(found.st_nlink),
        rdev: (rustix::fs::major(found.st_rdev), rustix::fs::minor(found.st_rdev)),
        flags: 0,
        is_mount: false,
    }
}

fn number<From, To: TryFrom<From> + Default>(value: From) -> To {
    To::try_from(value).unwrap_or_default()
}

fn timestamp<S: TryInto<i64>, N: TryInto<u32>>(seconds: S, nanoseconds: N) -> Timestamp {
    Timestamp::new(seconds.try_into().unwrap_or(0), nanoseconds.try_into().unwrap_or(0).min(999_999_999))
}

/// Calls `each` with every name in `directory`, in no order, `.` and `..` among them.
pub(in crate::fs) fn read_names(directory: BorrowedFd<'_>, mut each: impl FnMut(&[u8])) -> Result<()> {
    for entry in rustix::fs::Dir::read_from(directory)? {
        each(entry?.file_name().to_bytes());
    }
    Ok(())
}

/// Nothing is announced.
pub(in crate::fs) fn announce_sequential(_descriptor: BorrowedFd<'_>) {}

/// Holes are not looked for.
pub(in crate::fs) fn seek_data(_descriptor: BorrowedFd<'_>, _offset: u64) -> Result<u64> {
    Err(Errno::NOTSUP)
}

/// Holes are not looked for.
pub(in crate::fs) fn seek_hole(_descriptor: BorrowedFd<'_>, _offset: u64) -> Result<u64> {
    Err(Errno::NOTSUP)
}

/// Calls `act` with the entry `name` of `directory`. It is addressed by its name, as descriptors
/// that only refer to a file do not exist.
pub(in crate::fs) fn with_reference<T>(
    directory: BorrowedFd<'_>,
    name: &[u8],
    act: impl FnOnce(&Stat, Subject<'_>) -> T,
) -> Result<T> {
    let stat = stat_at(directory, name)?;
    Ok(act(&stat, Subject::Named(directory, name)))
}

/// There are none.
pub(in crate::fs) fn list_attributes(_subject: Subject<'_>, _buffer: &mut [u8]) -> Result<usize> {
    Err(Errno::NOTSUP)
}

/// There are none.
pub(in crate::fs) fn get_attribute(_subject: Subject<'_>, _attribute: &[u8], _buffer: &mut [u8]) -> Result<usize> {
    Err(Errno::NOTSUP)
}

/// There are none.
pub(in crate::fs) fn set_attribute(_subject: Subject<'_>, _attribute: &[u8], _value: &[u8]) -> Result<()> {
    Err(Errno::NOTSUP)
}

/// There are none.
pub(in crate::fs) fn remove_attribute(_subject: Subject<'_>, _attribute: &[u8]) -> Result<()> {
    Err(Errno::NOTSUP)
}

/// Sets permission bits, 0 to 0o7777.
pub(in crate::fs) fn set_mode(subject: Subject<'_>, mode: u32) -> Result<()> {
    let mode = Mode::from_raw_mode(number(mode));
    match subject {
        Subject::Open(descriptor) | Subject::Reference(descriptor) => rustix::fs::fchmod(descriptor, mode),
        Subject::Named(directory, name) => rustix::fs::chmodat(directory, name, mode, AtFlags::SYMLINK_NOFOLLOW),
    }
}

/// Sets owner, group, or both.
pub(in crate::fs) fn set_owner(subject: Subject<'_>, user: Option<Uid>, group: Option<Gid>) -> Result<()> {
    match subject {
        Subject::Open(descriptor) | Subject::Reference(descriptor) => rustix::fs::fchown(descriptor, user, group),
        Subject::Named(directory, name) => rustix::fs::chownat(directory, name, user, group, AtFlags::SYMLINK_NOFOLLOW),
    }
}

/// Sets times of access and modification.
pub(in crate::fs) fn set_times(subject: Subject<'_>, times: &Timestamps) -> Result<()> {
    match subject {
        Subject::Open(descriptor) | Subject::Reference(descriptor) => rustix::fs::futimens(descriptor, times),
        Subject::Named(directory, name) => rustix::fs::utimensat(directory, name, times, AtFlags::SYMLINK_NOFOLLOW),
    }
}

/// There are none.
pub(in crate::fs) fn change_flags(_descriptor: BorrowedFd<'_>, _clear: u32, _set: u32) -> Result<()> {
    Err(Errno::NOTSUP)
}

/// Makes a named pipe or a device, readable and writable by its owner.
#[cfg(not(target_vendor = "apple"))]
pub(in crate::fs) fn make_node(
    directory: BorrowedFd<'_>,
    name: &[u8],
    file_type: rustix::fs::FileType,
    rdev: (u32, u32),
) -> Result<()> {
    let device = rustix::fs::makedev(rdev.0, rdev.1);
    rustix::fs::mknodat(directory, name, file_type, Mode::RUSR | Mode::WUSR, device)
}

/// Nothing of the kind can be made in an open directory here.
#[cfg(target_vendor = "apple")]
pub(in crate::fs) fn make_node(
    _directory: BorrowedFd<'_>,
    _name: &[u8],
    _file_type: rustix::fs::FileType,
    _rdev: (u32, u32),
) -> Result<()> {
    Err(Errno::NOTSUP)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::fs::{FileType, Timespec};

    use super::*;

    /// What both sides must agree on; the plain side knows nothing of creation, flags and mounts.
    fn common(stat: Stat) -> Stat {
        Stat { born: None, flags: 0, is_mount: false, ..stat }
    }

    #[test]
    fn plain_calls_see_what_the_special_ones_see() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("file"), b"content").unwrap();
        std::os::unix::fs::symlink("nowhere", place.path().join("link")).unwrap();
        let directory = std::fs::File::open(place.path()).unwrap();
        let directory = directory.as_fd();
        make_node(directory, b"fifo", FileType::Fifo, (0, 0)).unwrap();

        let mut names = Vec::new();
        read_names(directory, |name| names.push(name.to_vec())).unwrap();
        names.sort();
        assert_eq!(names, [&b"."[..], b"..", b"fifo", b"file", b"link"]);
        for name in &names {
            assert_eq!(stat_at(directory, name).unwrap(), common(super::super::stat_at(directory, name).unwrap()));
        }
        assert_eq!(stat_open(directory).unwrap(), common(super::super::stat_open(directory).unwrap()));
    }

    #[test]
    fn times_and_modes_can_be_set_by_descriptor_and_name() {
        let place = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(place.path().join("file")).unwrap();
        std::os::unix::fs::symlink("file", place.path().join("link")).unwrap();
        let directory = std::fs::File::open(place.path()).unwrap();
        let directory = directory.as_fd();
        let time = Timespec { tv_sec: 1_000_000_007, tv_nsec: 123_456_789 };
        let times = Timestamps { last_access: time, last_modification: time };

        set_mode(Subject::Open(file.as_fd()), 0o640).unwrap();
        set_owner(Subject::Open(file.as_fd()), None, None).unwrap();
        set_times(Subject::Open(file.as_fd()), &times).unwrap();
        with_reference(directory, b"link", |stat, link| {
            assert!(stat.is_symlink());
            set_owner(link, None, None).unwrap();
            set_times(link, &times).unwrap();
        })
        .unwrap();
        for name in [&b"file"[..], b"link"] {
            assert_eq!(stat_at(directory, name).unwrap().modified, Timestamp::new(1_000_000_007, 123_456_789));
        }
        assert_eq!(stat_at(directory, b"file").unwrap().mode, 0o640);
    }

    #[test]
    fn what_is_missing_says_so() {
        let file = tempfile::tempfile().unwrap();
        let subject = Subject::Open(file.as_fd());
        announce_sequential(file.as_fd());
        assert_eq!(list_attributes(subject, &mut []), Err(Errno::NOTSUP));
        assert_eq!(get_attribute(subject, b"user.a", &mut []), Err(Errno::NOTSUP));
        assert_eq!(set_attribute(subject, b"user.a", b""), Err(Errno::NOTSUP));
        assert_eq!(remove_attribute(subject, b"user.a"), Err(Errno::NOTSUP));
        assert_eq!(change_flags(file.as_fd(), 0, 0), Err(Errno::NOTSUP));
        assert_eq!(seek_data(file.as_fd(), 0), Err(Errno::NOTSUP));
        assert_eq!(seek_hole(file.as_fd(), 0), Err(Errno::NOTSUP));
        assert_eq!((NO_ACCESS_TIME, SEARCH, NO_ATTRIBUTE), (OFlags::empty(), OFlags::empty(), Errno::NOTSUP));
    }
}

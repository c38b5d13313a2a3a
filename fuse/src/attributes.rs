//! What the kernel is told of an entry: mode, owner, times, size.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType as Kind, INodeNo};
use gabion_core::archive::entry::Entry;
use gabion_core::archive::metadata::{FileType, Metadata};
use gabion_core::archive::{Content, ContentItem};
use gabion_core::clock::Timestamp;
use gabion_core::fs::users::Users;
use gabion_core::limits::{CHUNK_BYTES_MAX, KIB};

/// Bytes programs should read at once.
const BLOCK_BYTES: u32 = 128 * KIB as u32;

/// Whom files belong to, and what others may do with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    /// Everything belongs to this user.
    pub uid: Option<u32>,
    /// Everything belongs to this group.
    pub gid: Option<u32>,
    /// Permission bits that are taken away.
    pub umask: u32,
    /// Owners by their numbers, even if their names are known here.
    pub numeric_ids: bool,
}

impl Owners {
    /// Whether files belong to whom they did and permissions are what they were, as far as this machine knows.
    pub(crate) fn are_kept(&self) -> bool {
        self.uid.is_none() && self.gid.is_none() && self.umask == 0
    }

    fn of(&self, metadata: &Metadata) -> (u32, u32) {
        let users = Users::system();
        let user = metadata.user.as_ref().filter(|_| !self.numeric_ids).and_then(|name| users.user_id(name));
        let group = metadata.group.as_ref().filter(|_| !self.numeric_ids).and_then(|name| users.group_id(name));
        let (uid, gid) = (user.unwrap_or(metadata.uid), group.unwrap_or(metadata.gid));
        (self.uid.unwrap_or(uid), self.gid.unwrap_or(gid))
    }
}

/// What an entry is.
pub(crate) fn kind(file_type: FileType) -> Kind {
    match file_type {
        FileType::File => Kind::RegularFile,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        FileType::BlockDevice => Kind::BlockDevice,
        FileType::CharacterDevice => Kind::CharDevice,
        FileType::Fifo => Kind::NamedPipe,
    }
}

/// The attributes of an entry under the inode number `number`.
pub(crate) fn of_entry(number: u64, entry: &Entry, owners: &Owners) -> FileAttr {
    let mut attr = of_metadata(number, entry.file_type, &entry.metadata, owners);
    match &entry.content {
        Content::Target(target) => attr.size = target.len() as u64,
        Content::Device { major, minor } => attr.rdev = device(*major, *minor),
        _ => attr.size = entry.size,
    }
    attr.blocks = stored_bytes(entry).div_ceil(512);
    if entry.hard_link.is_some() {
        // How many names there are is known only to who has read the whole archive; that there are several is enough.
        attr.nlink = 2;
    }
    attr
}

/// The attributes that metadata alone gives.
pub(crate) fn of_metadata(number: u64, file_type: FileType, metadata: &Metadata, owners: &Owners) -> FileAttr {
    let (uid, gid) = owners.of(metadata);
    let modified = system_time(&metadata.modified);
    FileAttr {
        ino: INodeNo(number),
        size: 0,
        blocks: 0,
        atime: metadata.accessed.as_ref().map_or(modified, system_time),
        mtime: modified,
        ctime: modified,
        crtime: metadata.born.as_ref().map_or(modified, system_time),
        kind: kind(file_type),
        perm: (metadata.mode & 0o7777 & !owners.umask) as u16,
        nlink: 1,
        uid,
        gid,
        rdev: 0,
        blksize: BLOCK_BYTES,
        flags: 0,
    }
}

/// Bytes that are no holes. Of a long list no more is known than how many pieces it has.
fn stored_bytes(entry: &Entry) -> u64 {
    match &entry.content {
        Content::List(items) => {
            let chunks = items.iter().filter(|item| matches!(item, ContentItem::Chunk { .. }));
            chunks.fold(0, |sum, item| sum.saturating_add(item.bytes()))
        }
        Content::Tree(tree) => tree.items.saturating_mul(CHUNK_BYTES_MAX as u64).min(entry.size),
        _ => entry.size,
    }
}

/// A time as the system has it; one it does not have becomes the epoch.
fn system_time(time: &Timestamp) -> SystemTime {
    let whole = Duration::from_secs(time.seconds.unsigned_abs());
    let whole = if time.seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    let fraction = Duration::from_nanos(u64::from(time.nanoseconds));
    whole.and_then(|whole| whole.checked_add(fraction)).unwrap_or(UNIX_EPOCH)
}

/// The number of a device as the kernel's protocol has it.
fn device(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | (major & 0xfff) << 8 | (minor & 0xf_ff00) << 12
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_can_not_be_are_no_panic() {
        assert_eq!(system_time(&Timestamp::new(-2, 500_000_000)), UNIX_EPOCH - Duration::from_millis(1500));
        assert_eq!(system_time(&Timestamp::new(3, 7)), UNIX_EPOCH + Duration::new(3, 7));
        // As long as the system has it, it is a time like any other.
        let _ = system_time(&Timestamp::new(i64::MIN, 0));
        let _ = system_time(&Timestamp::new(i64::MAX, 999_999_999));
        let _ = system_time(&Timestamp::new(i64::MAX, u32::MAX));
    }

    #[test]
    fn devices_are_numbered_as_the_kernel_does() {
        assert_eq!(device(8, 1), 0x801);
        assert_eq!(device(1, 259), 0x10_0103);
        assert_eq!(device(0xfff, 0xf_ffff), u32::MAX);
    }
}

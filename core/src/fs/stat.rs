//! What the system knows of a file without opening it.

use serde_bytes::ByteBuf;

use super::users::Users;
use crate::archive::metadata::{FileType, Metadata};
use crate::clock::Timestamp;

/// The state of a file at one moment, from one call of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub file_type: FileKind,
    /// Permission bits, including set-user-id, set-group-id and sticky: 0 to 0o7777.
    pub mode: u32,
    /// Owner's number.
    pub uid: u32,
    /// Group's number.
    pub gid: u32,
    /// Bytes of content; of a symbolic link, bytes of its target.
    pub size: u64,
    /// Units of 512 bytes that are allocated.
    pub blocks: u64,
    /// Last modification of the content.
    pub modified: Timestamp,
    /// Last change of content or metadata; programs can not set it.
    pub changed: Timestamp,
    /// Last access.
    pub accessed: Timestamp,
    /// Creation, where the file system knows it.
    pub born: Option<Timestamp>,
    /// Number of the file within its file system.
    pub inode: u64,
    /// Number of its file system.
    pub device: u64,
    /// Names the file has.
    pub links: u32,
    /// Major and minor number of a device; zeros for everything else.
    pub rdev: (u32, u32),
    /// Bits of [`crate::archive::metadata::flag`], as far as the file system tells them.
    pub flags: u32,
    /// Whether something is mounted there, as far as the system tells.
    pub is_mount: bool,
}

impl Stat {
    /// Whether both describe the same file, at whatever times.
    pub fn same_file(&self, other: &Self) -> bool {
        self.inode == other.inode && self.device == other.device && self.file_type == other.file_type
    }

    /// Whether this is a regular file.
    pub fn is_file(&self) -> bool {
        self.file_type == FileKind::Stored(FileType::File)
    }

    /// Whether this is a directory.
    pub fn is_directory(&self) -> bool {
        self.file_type == FileKind::Stored(FileType::Directory)
    }

    /// Whether this is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.file_type == FileKind::Stored(FileType::Symlink)
    }

    /// Whether less is allocated than the size asks for, so that there may be holes.
    pub fn may_have_holes(&self) -> bool {
        self.blocks.saturating_mul(512) < self.size
    }
}

/// What an entry of a directory is, including kinds that no archive stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A kind that archives store.
    Stored(FileType),
    /// A socket; it means nothing without the process that made it.
    Socket,
    /// A kind this program does not know.
    Other,
}

impl FileKind {
    /// The kind as archives store it, if they do.
    pub fn stored(self) -> Option<FileType> {
        match self {
            Self::Stored(file_type) => Some(file_type),
            Self::Socket | Self::Other => None,
        }
    }
}

impl From<rustix::fs::FileType> for FileKind {
    fn from(file_type: rustix::fs::FileType) -> Self {
        use rustix::fs::FileType as System;
        Self::Stored(match file_type {
            System::RegularFile => FileType::File,
            System::Directory => FileType::Directory,
            System::Symlink => FileType::Symlink,
            System::BlockDevice => FileType::BlockDevice,
            System::CharacterDevice => FileType::CharacterDevice,
            System::Fifo => FileType::Fifo,
            System::Socket => return Self::Socket,
            _ => return Self::Other,
        })
    }
}

/// Which of the metadata an archive shall know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadataOptions {
    /// Keep the time of the last access.
    pub atime: bool,
    /// Keep the time of creation.
    pub birthtime: bool,
    /// Keep numbers of owner and group only, not their names.
    pub numeric_ids: bool,
    /// Keep file flags.
    pub flags: bool,
}

impl Default for MetadataOptions {
    fn default() -> Self {
        Self { atime: false, birthtime: true, numeric_ids: false, flags: true }
    }
}

/// What an archive keeps of `stat`.
pub fn metadata(stat: &Stat, users: &Users, options: &MetadataOptions) -> Metadata {
    let name = |found: Option<&[u8]>| found.filter(|_| !options.numeric_ids).map(|name| ByteBuf::from(name.to_vec()));
    Metadata {
        mode: stat.mode,
        uid: stat.uid,
        gid: stat.gid,
        user: name(users.user_name(stat.uid)),
        group: name(users.group_name(stat.gid)),
        modified: stat.modified,
        born: stat.born.filter(|_| options.birthtime),
        accessed: options.atime.then_some(stat.accessed),
        flags: if options.flags { stat.flags } else { 0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::metadata::flag;

    fn stat() -> Stat {
        Stat {
            file_type: FileKind::Stored(FileType::File),
            mode: 0o4755,
            uid: 0,
            gid: 7,
            size: 1024,
            blocks: 2,
            modified: Timestamp::new(1, 2),
            changed: Timestamp::new(3, 4),
            accessed: Timestamp::new(5, 6),
            born: Some(Timestamp::new(7, 8)),
            inode: 9,
            device: 10,
            links: 1,
            rdev: (0, 0),
            flags: flag::NODUMP,
            is_mount: false,
        }
    }

    #[test]
    fn options_choose_what_is_kept() {
        let users = Users::parse(b"root:x:0:0::/:/bin/sh\n", b"lp:x:7:\n");
        let default = metadata(&stat(), &users, &MetadataOptions::default());
        assert_eq!((default.user.unwrap().as_slice(), default.group.unwrap().as_slice()), (&b"root"[..], &b"lp"[..]));
        assert_eq!((default.mode, default.uid, default.gid, default.flags), (0o4755, 0, 7, flag::NODUMP));
        assert_eq!((default.born, default.accessed), (Some(Timestamp::new(7, 8)), None));

        let options = MetadataOptions { atime: true, birthtime: false, numeric_ids: true, flags: false };
        let other = metadata(&stat(), &users, &options);
        assert_eq!((other.user, other.group, other.flags), (None, None, 0));
        assert_eq!((other.born, other.accessed), (None, Some(Timestamp::new(5, 6))));
    }

    #[test]
    fn identity_is_inode_device_and_kind() {
        let one = stat();
        assert!(one.same_file(&Stat { size: 0, changed: Timestamp::new(0, 0), ..stat() }));
        assert!(!one.same_file(&Stat { inode: 8, ..stat() }));
        assert!(!one.same_file(&Stat { device: 8, ..stat() }));
        assert!(!one.same_file(&Stat { file_type: FileKind::Socket, ..stat() }));
    }

    #[test]
    fn holes_are_looked_for_only_where_blocks_are_missing() {
        assert!(!stat().may_have_holes());
        assert!(Stat { blocks: 1, ..stat() }.may_have_holes());
        assert!(!Stat { blocks: u64::MAX, ..stat() }.may_have_holes());
    }
}

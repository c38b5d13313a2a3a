//! Answers to the kernel. Each is short: what is asked for is found elsewhere.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fuser::{
    AccessFlags, Errno, FileAttr, FileHandle, FileType as Kind, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenAccMode, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus,
    ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyXattr, Request,
};
use gabion_core::archive::Content;
use gabion_core::archive::metadata::Attributes;
use gabion_core::error::{Error, ErrorKind};
use gabion_core::limits::NAME_BYTES_MAX;

use crate::attributes;
use crate::directory::{Child, Directory, Found};
use crate::handles::{Extent, Handle, Handles, OpenDirectory, OpenFile};
use crate::inodes::{Inode, Inodes};
use crate::view::{Layout, View};

/// How long the kernel may believe what it was told: an archive never changes.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Requests that the kernel may have waiting, such as those of its own read-ahead.
const BACKGROUND: u16 = 64;
/// Of this, `ls` asks for every single file, until it hears that there is nothing like it here.
const LABEL: &[u8] = b"security.selinux";
/// `.` and `..`, which come before everything else.
const DOTS: u64 = 2;
/// What `lseek` looks for.
const SEEK_DATA: i32 = 3;
const SEEK_HOLE: i32 = 4;

/// A view, as the kernel sees it.
#[derive(Debug)]
pub(crate) struct ArchiveFilesystem {
    view: Arc<View>,
    inodes: Inodes,
    handles: Handles,
    check_permissions: bool,
}

impl ArchiveFilesystem {
    /// Shows a view. Without `check_permissions` who may look at it may read everything.
    pub fn new(view: Arc<View>, check_permissions: bool) -> Self {
        let inodes = Inodes::new(Arc::new(view.top()));
        Self { view, inodes, handles: Handles::default(), check_permissions }
    }

    fn inode(&self, number: INodeNo) -> Result<Inode, Errno> {
        self.inodes.get(number.0).ok_or(Errno::ESTALE)
    }

    fn directory(&self, number: INodeNo) -> Result<Arc<Directory>, Errno> {
        match self.inode(number)? {
            Inode::Directory(directory) => Ok(directory),
            Inode::Entry { .. } => Err(Errno::ENOTDIR),
        }
    }

    /// The entry of what is no directory.
    fn found(&self, number: INodeNo) -> Result<Found, Errno> {
        match self.inode(number)? {
            Inode::Directory(_) => Err(Errno::EISDIR),
            Inode::Entry { leaf, position, .. } => match self.view.found(&leaf, position) {
                Ok(Some(found)) if found.entry().is_some() => Ok(found),
                Ok(_) => Err(Errno::EIO),
                Err(error) => Err(self.failed(b"", &error)),
            },
        }
    }

    fn attr(&self, number: INodeNo) -> Result<FileAttr, Errno> {
        if let Inode::Directory(directory) = self.inode(number)? {
            return Ok(directory.attr);
        }
        let found = self.found(number)?;
        let entry = found.entry().ok_or(Errno::EIO)?;
        let mut attr = attributes::of_entry(number.0, entry, &self.view.options().owners);
        if self.view.layout() == Layout::Versions {
            attr.nlink = 1;
        }
        Ok(attr)
    }

    /// Tells of what can not be read, and what the kernel is told.
    fn failed(&self, path: &[u8], error: &Error) -> Errno {
        self.view.complain(path, error);
        errno(error)
    }

    /// What a name leads to; the kernel is told of it.
    fn look_up(&self, parent: INodeNo, name: &OsStr) -> Result<FileAttr, Errno> {
        let directory = self.directory(parent)?;
        // The view has told of it already.
        let child = self.view.look_up(&directory, name.as_bytes()).map_err(|error| errno(&error))?;
        let child = child.ok_or(Errno::ENOENT)?;
        let number = child.number;
        let (attr, inode) = self.view.resolve(&directory, child).ok_or(Errno::EIO)?;
        if self.inodes.remember(number, inode) { Ok(attr) } else { Err(self.failed(name.as_bytes(), &shared_number())) }
    }

    fn attributes(&self, number: INodeNo) -> Result<Attributes, Errno> {
        let loaded = match self.inode(number)? {
            Inode::Directory(directory) => {
                directory.attributes.load(self.view.reader()).map_err(|error| (Vec::new(), error))
            }
            Inode::Entry { .. } => {
                let found = self.found(number)?;
                let entry = found.entry().ok_or(Errno::EIO)?;
                let loaded = entry.attributes.load(self.view.reader());
                loaded.map_err(|error| (found.layer.path_of(&entry.name), error))
            }
        };
        let mut attributes = loaded.map_err(|(path, error)| self.failed(&path, &error))?;
        if !self.view.options().owners.are_kept() {
            // They speak of the owners files had, and would give back the permissions that were taken away.
            attributes.0.retain(|name, _| !name.starts_with(b"system.posix_acl_"));
        }
        Ok(attributes)
    }

    fn open_file(&self, number: INodeNo, flags: OpenFlags) -> Result<u64, Errno> {
        if flags.acc_mode() != OpenAccMode::O_RDONLY {
            return Err(Errno::EROFS);
        }
        let found = self.found(number)?;
        let entry = found.entry().ok_or(Errno::EIO)?;
        let path = found.layer.path_of(&entry.name);
        Ok(self.handles.open(Handle::File(Arc::new(OpenFile::new(entry.clone(), path)))))
    }

    /// Calls `add` for every child from `offset` on, until it says that there is no more room.
    ///
    /// What can not be listed is an error at the end, when everything else was.
    fn list(&self, handle: FileHandle, offset: u64, add: &mut dyn FnMut(Listed<'_>, u64) -> bool) -> Result<(), Errno> {
        let open = self.handles.directory(handle.0).ok_or(Errno::EBADF)?;
        let directory = &open.directory;
        for (number, name) in [(directory.number, "."), (directory.parent, "..")].into_iter().enumerate() {
            let next = number as u64 + 1;
            if offset < next && add(Listed::Dot(name.0, name.1, &directory.attr), next) {
                return Ok(());
            }
        }
        let mut cursor = open.cursor.lock().unwrap_or_else(PoisonError::into_inner);
        let mut position = offset.saturating_sub(DOTS);
        loop {
            let child = self.view.next_child(directory, &mut cursor, position).map_err(|error| errno(&error))?;
            let Some(child) = child else { break };
            let next = child.next;
            if add(Listed::Child(directory, &child), next.saturating_add(DOTS)) {
                cursor.put_back(child, position);
                return Ok(());
            }
            position = next;
        }
        // With something in the reply already, the kernel asks again and hears it then.
        let began_here = position == offset.saturating_sub(DOTS) && offset >= DOTS;
        if cursor.damaged && began_here { Err(Errno::EIO) } else { Ok(()) }
    }

    /// The first byte from `offset` on that is data, or that is none.
    fn seek(&self, handle: FileHandle, offset: i64, whence: i32) -> Result<i64, Errno> {
        let file = self.handles.file(handle.0).ok_or(Errno::EBADF)?;
        let mut position = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
        let started = position;
        loop {
            let extent = file.extent(&self.view, position).map_err(|error| self.failed(file.path(), &error))?;
            position = match (extent, whence) {
                (Some(Extent::Hole(end)), SEEK_DATA) | (Some(Extent::Data(end)), SEEK_HOLE) => end,
                (Some(_), SEEK_DATA | SEEK_HOLE) => break,
                (Some(_), _) => return Err(Errno::EINVAL),
                // The end of the file is a hole.
                (None, SEEK_HOLE) if position > started => break,
                (None, _) => return Err(Errno::ENXIO),
            };
        }
        i64::try_from(position).map_err(|_| Errno::EOVERFLOW)
    }
}

/// What is listed.
enum Listed<'a> {
    Dot(u64, &'a str, &'a FileAttr),
    Child(&'a Arc<Directory>, &'a Child),
}

/// Two names in a mount have one number.
fn shared_number() -> Error {
    Error::new(ErrorKind::Unsupported, "look up name").with("reason", "another name has its number")
}

/// What the kernel is told of an error.
fn errno(error: &Error) -> Errno {
    match error.kind() {
        ErrorKind::ArchiveNotFound => Errno::ESTALE,
        ErrorKind::PermissionDenied => Errno::EACCES,
        _ => Errno::EIO,
    }
}

/// Answers a question for attributes: their length, or themselves.
fn reply_attribute(reply: ReplyXattr, room: u32, value: &[u8]) {
    let Ok(bytes) = u32::try_from(value.len()) else { return reply.error(Errno::E2BIG) };
    match room {
        0 => reply.size(bytes),
        _ if bytes <= room => reply.data(value),
        _ => reply.error(Errno::ERANGE),
    }
}

impl Filesystem for ArchiveFilesystem {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        let mut wishes = vec![
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_READDIRPLUS_AUTO,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_CACHE_SYMLINKS,
        ];
        if self.check_permissions && self.view.options().owners.are_kept() {
            wishes.push(InitFlags::FUSE_POSIX_ACL);
        }
        // A kernel without one of them does without.
        for wish in wishes {
            let _ = config.add_capabilities(wish);
        }
        let _ = config.set_max_background(BACKGROUND);
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.look_up(parent, name) {
            Ok(attr) => reply.entry(&FOREVER, &attr, Generation(0)),
            Err(errno) => reply.error(errno),
        }
    }

    fn forget(&self, _request: &Request, number: INodeNo, lookups: u64) {
        self.inodes.forget(number.0, lookups);
    }

    fn getattr(&self, _request: &Request, number: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        match self.attr(number) {
            Ok(attr) => reply.attr(&FOREVER, &attr),
            Err(errno) => reply.error(errno),
        }
    }

    fn readlink(&self, _request: &Request, number: INodeNo, reply: ReplyData) {
        match self.found(number).as_ref().map(|found| found.entry().map(|entry| &entry.content)) {
            Ok(Some(Content::Target(target))) => reply.data(target),
            Ok(_) => reply.error(Errno::EINVAL),
            Err(errno) => reply.error(*errno),
        }
    }

    fn open(&self, _request: &Request, number: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        match self.open_file(number, flags) {
            Ok(handle) => reply.opened(FileHandle(handle), FopenFlags::FOPEN_KEEP_CACHE),
            Err(errno) => reply.error(errno),
        }
    }

    fn read(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        offset: u64,
        bytes: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let Some(file) = self.handles.file(handle.0) else { return reply.error(Errno::EBADF) };
        match file.read(&self.view, offset, bytes) {
            Ok(content) => reply.data(&content),
            Err(error) => reply.error(self.failed(file.path(), &error)),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.handles.close(handle.0);
        reply.ok();
    }

    fn opendir(&self, _request: &Request, number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        match self.directory(number) {
            Ok(directory) => {
                let open = OpenDirectory { directory, cursor: Mutex::default() };
                let handle = self.handles.open(Handle::Directory(Arc::new(open)));
                let flags = FopenFlags::FOPEN_CACHE_DIR | FopenFlags::FOPEN_KEEP_CACHE;
                reply.opened(FileHandle(handle), flags);
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn readdir(&self, _: &Request, _: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let listed = self.list(handle, offset, &mut |listed, next| match listed {
            Listed::Dot(number, name, _) => reply.add(INodeNo(number), next, Kind::Directory, name),
            Listed::Child(_, child) => {
                reply.add(INodeNo(child.number), next, child.kind, OsStr::from_bytes(&child.name))
            }
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    fn readdirplus(&self, _: &Request, _: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectoryPlus) {
        let listed = self.list(handle, offset, &mut |listed, next| match listed {
            Listed::Dot(number, name, attr) => reply.add(INodeNo(number), next, name, &FOREVER, attr, Generation(0)),
            Listed::Child(directory, child) => {
                let Some((mut attr, inode)) = self.view.resolve(directory, child.clone()) else { return false };
                let name = OsStr::from_bytes(&child.name);
                let remembered = self.inodes.remember(child.number, inode);
                if !remembered {
                    // Without a number it is not taken for the other, and not listed either.
                    self.failed(&child.name, &shared_number());
                    attr.ino = INodeNo(0);
                }
                let full = reply.add(attr.ino, next, name, &FOREVER, &attr, Generation(0));
                if full && remembered {
                    self.inodes.forget(child.number, 1);
                }
                full
            }
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    fn releasedir(&self, _: &Request, _: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        self.handles.close(handle.0);
        reply.ok();
    }

    fn statfs(&self, _request: &Request, _number: INodeNo, reply: ReplyStatfs) {
        let records = self.view.archives().iter().map(|shown| &shown.archive.record.root);
        let (bytes, files) = records.fold((0u64, 0u64), |(bytes, files), root| {
            (bytes.saturating_add(root.bytes), files.saturating_add(root.files))
        });
        reply.statfs(bytes.div_ceil(512), 0, 0, files, 0, 512, NAME_BYTES_MAX as u32, 512);
    }

    fn getxattr(&self, _request: &Request, number: INodeNo, name: &OsStr, room: u32, reply: ReplyXattr) {
        match self.attributes(number) {
            Ok(attributes) => match attributes.0.iter().find(|(known, _)| known.as_slice() == name.as_bytes()) {
                Some((_, value)) => reply_attribute(reply, room, value),
                None if name.as_bytes() == LABEL => reply.error(Errno::EOPNOTSUPP),
                None => reply.error(Errno::NO_XATTR),
            },
            Err(errno) => reply.error(errno),
        }
    }

    fn listxattr(&self, _request: &Request, number: INodeNo, room: u32, reply: ReplyXattr) {
        match self.attributes(number) {
            Ok(attributes) => {
                let names: Vec<u8> = attributes.0.keys().flat_map(|name| name.iter().copied().chain([0])).collect();
                reply_attribute(reply, room, &names);
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn access(&self, _request: &Request, _number: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        if mask.contains(AccessFlags::W_OK) { reply.error(Errno::EROFS) } else { reply.ok() }
    }

    fn lseek(&self, _: &Request, _: INodeNo, handle: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
        match self.seek(handle, offset, whence) {
            Ok(position) => reply.offset(position),
            Err(errno) => reply.error(errno),
        }
    }
}

//! One object: written beside its place, flushed, named; read exactly.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use gabion_core::backend::{ByteRange, ObjectMeta, ObjectName, Payload, check_length};
use gabion_core::error::{Error, ErrorKind, Result};
use gabion_core::limits::{MIB, OBJECT_BYTES_MAX};
use rustix::buffer::spare_capacity;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RenameFlags, Stat, fstat, fsync, openat, renameat, renameat_with, statat, unlinkat,
};
use rustix::io::{Errno, pread, retry_on_intr, write};

use super::Sharing;
use super::folder::{Root, failed, flush_folder};
use super::layout::{self, Spot};

/// `NONBLOCK`: waiting for the other end of a planted pipe is no way to read an object.
const READ_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);
const WRITE_FLAGS: OFlags =
    OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A file of a put that has not ended for so many seconds is taken for one that never will.
const PUT_SECONDS_MAX: i64 = 14 * 24 * 60 * 60;

/// Stores an object. One of that name with other bytes is replaced: it can only be the ruin of an earlier put.
pub(super) fn put(root: &Root, name: &ObjectName, payload: &Payload) -> Result<()> {
    let call = Call { operation: "put object", name };
    let spot = call.spot()?;
    call.check_length(payload.len() as u64)?;
    let folder = root.make(call.operation, &spot.folders).map_err(|error| call.told(error))?;
    let temporary = call.write_beside(&folder, payload, root.sharing)?;
    let renamed = call.publish(&folder, &temporary, &spot.file, payload);
    if !renamed.as_ref().is_ok_and(|renamed| *renamed) {
        // What has to be told is why, not how the cleaning went.
        let _ = unlinkat(&folder, temporary.as_str(), AtFlags::empty());
    }
    renamed?;
    flush_folder(&folder).map_err(|errno| call.unflushed(errno))
}

/// Replaces an object that exists at this moment: the new and the old value exchange their names in one step.
pub(super) fn replace(root: &Root, name: &ObjectName, payload: &Payload, exchange: &AtomicBool) -> Result<()> {
    let call = Call { operation: "replace object", name };
    if !exchange.load(Ordering::Relaxed) {
        return Err(call.error(ErrorKind::Unsupported));
    }
    let spot = call.spot()?;
    call.check_length(payload.len() as u64)?;
    let folder = call.find(root, &spot)?.ok_or_else(|| call.error(ErrorKind::NotFound))?;
    call.stat(&folder, &spot.file)?;
    let temporary = call.write_beside(&folder, payload, root.sharing)?;
    let exchanged = renameat_with(&folder, temporary.as_str(), &folder, spot.file.as_str(), RenameFlags::EXCHANGE);
    let removed = unlinkat(&folder, temporary.as_str(), AtFlags::empty());
    match exchanged {
        Ok(()) => {}
        Err(Errno::INVAL | Errno::NOSYS) => {
            exchange.store(false, Ordering::Relaxed);
            return Err(call.error(ErrorKind::Unsupported));
        }
        Err(errno) => return Err(call.failed(errno)),
    }
    // The old value may be what had to go, such as a key: that it could not be removed is no detail.
    removed.map_err(|errno| call.failed(errno))?;
    flush_folder(&folder).map_err(|errno| call.unflushed(errno))
}

/// Reads an object or a range of it.
pub(super) fn get(root: &Root, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
    let call = Call { operation: "get object", name };
    let spot = call.spot()?;
    let missing = || call.error(ErrorKind::NotFound);
    let folder = call.find(root, &spot)?.ok_or_else(missing)?;
    let (file, size) = call.open(&folder, &spot.file)?.ok_or_else(missing)?;
    let (offset, length) = range.within(name, size)?;
    call.read(&file, offset, length)
}

/// Tells the size of an object.
pub(super) fn head(root: &Root, name: ObjectName) -> Result<ObjectMeta> {
    let call = Call { operation: "head object", name: &name };
    let spot = call.spot()?;
    let folder = call.find(root, &spot)?.ok_or_else(|| call.error(ErrorKind::NotFound))?;
    let bytes = call.stat(&folder, &spot.file)?;
    Ok(ObjectMeta { name, bytes })
}

/// Removes an object.
///
/// Segments are the last things a collector deletes, so one that a power cut brings back is garbage and no harm; a
/// hundred thousand flushes would be. Every other object stays away once it is deleted.
pub(super) fn delete(root: &Root, name: &ObjectName) -> Result<()> {
    let call = Call { operation: "delete object", name };
    let spot = call.spot()?;
    let Some(folder) = call.find(root, &spot)? else { return Ok(()) };
    match unlinkat(&folder, spot.file.as_str(), AtFlags::empty()) {
        Ok(()) => {
            sweep(root, &folder);
            if spot.folders.first().is_some_and(|top| top == layout::SEGMENTS) {
                return Ok(());
            }
            flush_folder(&folder).map_err(|errno| call.unflushed(errno))
        }
        Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR) => Err(call.no_file()),
        Err(errno) => Err(call.failed(errno)),
    }
}

/// Removes what a list came across of puts that died long ago. Their age is told by the clock of the file system alone:
/// `changed` is a folder that was changed a moment ago. A put that lives after all fails, and is made again.
fn sweep(root: &Root, changed: &OwnedFd) {
    let leftovers = root.take_leftovers();
    if leftovers.is_empty() {
        return;
    }
    let Ok(now) = fstat(changed).map(|stat| stat.st_mtime) else { return };
    for (folders, file) in leftovers {
        let Ok(Some(folder)) = root.find("delete object", &folders) else { continue };
        let Ok(stat) = statat(&folder, file.as_str(), AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if is_file && stat.st_mtime < now.saturating_sub(PUT_SECONDS_MAX) {
            // One that stays is found again.
            let _ = unlinkat(&folder, file.as_str(), AtFlags::empty());
        }
    }
}

/// A call under way, for its errors.
#[derive(Clone, Copy)]
struct Call<'a> {
    operation: &'static str,
    name: &'a ObjectName,
}

impl Call<'_> {
    fn spot(self) -> Result<Spot> {
        layout::find_spot(self.operation, self.name)
    }

    fn check_length(self, bytes: u64) -> Result<()> {
        check_length(self.operation, self.name, bytes, OBJECT_BYTES_MAX as u64)
    }

    fn find(self, root: &Root, spot: &Spot) -> Result<Option<OwnedFd>> {
        root.find(self.operation, &spot.folders).map_err(|error| self.told(error))
    }

    /// Opens an object and tells its size; `None` if it is missing.
    fn open(self, folder: &OwnedFd, file: &str) -> Result<Option<(OwnedFd, u64)>> {
        let opened = match retry_on_intr(|| openat(folder, file, READ_FLAGS, Mode::empty())) {
            Ok(opened) => opened,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP | Errno::NXIO) => return Err(self.no_file()),
            Err(errno) => return Err(self.failed(errno)),
        };
        let size = self.size(&fstat(&opened).map_err(|errno| self.failed(errno))?)?;
        Ok(Some((opened, size)))
    }

    fn stat(self, folder: &OwnedFd, file: &str) -> Result<u64> {
        self.size(&statat(folder, file, AtFlags::SYMLINK_NOFOLLOW).map_err(|errno| self.failed(errno))?)
    }

    fn size(self, stat: &Stat) -> Result<u64> {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => u64::try_from(stat.st_size).map_err(|_| self.no_file()),
            _ => Err(self.no_file()),
        }
    }

    /// Exactly `length` bytes. The file system may lie about sizes, so memory is bounded and only filled by reading.
    fn read(self, file: &OwnedFd, offset: u64, length: u64) -> Result<Bytes> {
        self.check_length(length)?;
        let length = length as usize;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length).map_err(|error| self.error(ErrorKind::System).because(error))?;
        while bytes.len() < length {
            let position = offset + bytes.len() as u64;
            let count = retry_on_intr(|| pread(file, spare_capacity(&mut bytes), position));
            if count.map_err(|errno| self.failed(errno))? == 0 {
                return Err(self.shorter());
            }
        }
        bytes.truncate(length);
        Ok(bytes.into())
    }

    /// Writes and flushes a file that is no object yet; leaves nothing if that fails.
    fn write_beside(self, folder: &OwnedFd, payload: &Payload, sharing: Sharing) -> Result<String> {
        let temporary = layout::temporary_name().map_err(|error| self.told(error))?;
        let opened = retry_on_intr(|| openat(folder, temporary.as_str(), WRITE_FLAGS, sharing.of_objects()));
        let file = opened.map_err(|errno| self.failed(errno))?;
        let written = write_all(&file, payload).map_err(|errno| self.failed(errno));
        let flushed = written.and_then(|()| retry_on_intr(|| fsync(&file)).map_err(|errno| self.unflushed(errno)));
        match flushed {
            Ok(()) => Ok(temporary),
            Err(error) => {
                let _ = unlinkat(folder, temporary.as_str(), AtFlags::empty());
                Err(error)
            }
        }
    }

    /// Gives a flushed file its name. `false` if an object with the same bytes bears it already: on some file
    /// systems a name that is given anew can be missing from a list that runs meanwhile, so it is better left alone.
    fn publish(self, folder: &OwnedFd, temporary: &str, file: &str, payload: &Payload) -> Result<bool> {
        match renameat_with(folder, temporary, folder, file, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(true),
            // Invalid: this file system does not know the flag.
            Err(Errno::EXIST | Errno::INVAL | Errno::NOSYS) => {}
            // Whoever slept for weeks over it may find it swept away.
            Err(Errno::NOENT) => return Err(self.failed(Errno::NOENT).temporary()),
            Err(errno) => return Err(self.failed(errno)),
        }
        if let Some((existing, size)) = self.open(folder, file)?
            && size == payload.len() as u64
            && has_bytes(&existing, payload)
            && retry_on_intr(|| fsync(&existing)).is_ok()
        {
            return Ok(false);
        }
        renameat(folder, temporary, folder, file).map_err(|errno| self.failed(errno))?;
        Ok(true)
    }

    fn error(self, kind: ErrorKind) -> Error {
        self.told(Error::new(kind, self.operation))
    }

    fn failed(self, errno: Errno) -> Error {
        self.told(failed(self.operation, errno))
    }

    /// A flush failed. Repeating the call writes a new file, so it may help where the disk is not full.
    fn unflushed(self, errno: Errno) -> Error {
        let error = self.failed(errno);
        if error.kind() == ErrorKind::Io { error.temporary() } else { error }
    }

    fn shorter(self) -> Error {
        self.told(Error::damaged(self.operation, "object is shorter than the range"))
    }

    fn no_file(self) -> Error {
        self.told(Error::damaged(self.operation, "not a regular file"))
    }

    fn told(self, error: Error) -> Error {
        error.with("object", self.name)
    }
}

fn write_all(file: &OwnedFd, payload: &Payload) -> Result<(), Errno> {
    for piece in payload.pieces() {
        let mut rest: &[u8] = piece;
        while !rest.is_empty() {
            match retry_on_intr(|| write(file, rest))? {
                0 => return Err(Errno::IO),
                count => rest = rest.get(count..).unwrap_or_default(),
            }
        }
    }
    Ok(())
}

/// Whether a file begins with these bytes. One that can not be read does not.
fn has_bytes(file: &OwnedFd, payload: &Payload) -> bool {
    let mut buffer = vec![0; payload.len().min(MIB)];
    let mut position = 0;
    for wanted in payload.pieces().iter().flat_map(|piece| piece.chunks(MIB)) {
        let mut done = 0;
        while done < wanted.len() {
            match retry_on_intr(|| pread(file, &mut buffer[..wanted.len() - done], position)) {
                Ok(count) if count > 0 && buffer[..count] == wanted[done..done + count] => {
                    done += count;
                    position += count as u64;
                }
                _ => return false,
            }
        }
    }
    true
}

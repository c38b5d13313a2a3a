//! The list of objects: folder by folder, in batches.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use gabion_core::backend::{ObjectMeta, ObjectName, Prefix};
use gabion_core::error::{Error, Result};
use rustix::fs::{AtFlags, Dir, FileType, statat};
use rustix::io::Errno;

use super::folder::{Root, failed};
use super::layout;

const OPERATION: &str = "list objects";
/// Objects of a batch.
const BATCH: usize = 512;
/// Folders above a file: names have three parts.
const DEPTH_MAX: usize = 2;

/// A list under way.
#[derive(Debug)]
pub(super) struct Walk {
    root: Arc<Root>,
    prefix: Prefix,
    waiting: VecDeque<Vec<String>>,
    open: Option<Folder>,
}

#[derive(Debug)]
struct Folder {
    path: Vec<String>,
    handle: OwnedFd,
    entries: Dir,
}

/// What an entry of a folder turns out to be.
enum Found {
    Object(ObjectMeta),
    Folder(Vec<String>),
    Nothing,
}

impl Walk {
    /// A list that has not looked at anything yet.
    pub fn new(root: Arc<Root>, prefix: Prefix) -> Self {
        let start = prefix.parts().map_or_else(Vec::new, |parts| parts.split('/').map(str::to_owned).collect());
        Self { root, prefix, waiting: VecDeque::from([start]), open: None }
    }

    /// Some more objects, perhaps none; `None` at the end.
    pub fn next_batch(&mut self) -> Result<Option<Vec<ObjectMeta>>> {
        if self.open.is_none() && !self.open_next()? {
            return Ok(None);
        }
        let mut batch = Vec::new();
        let Some(folder) = &mut self.open else { return Ok(Some(batch)) };
        while batch.len() < BATCH {
            let Some(entry) = folder.entries.next() else {
                self.open = None;
                break;
            };
            let entry = entry.map_err(|errno| told(errno, &folder.path))?;
            // A name that is not even text is no name of an object.
            let Ok(file) = entry.file_name().to_str() else { continue };
            if layout::is_temporary(file) {
                self.root.note_leftover(&folder.path, file);
                continue;
            }
            match look_at(folder.path.as_slice(), &folder.handle, file, entry.file_type())? {
                Found::Object(object) if self.prefix.covers(&object.name) => batch.push(object),
                Found::Folder(path) => self.waiting.push_back(path),
                Found::Object(_) | Found::Nothing => {}
            }
        }
        Ok(Some(batch))
    }

    /// Opens the next folder that still exists; `false` if there is none.
    fn open_next(&mut self) -> Result<bool> {
        while let Some(path) = self.waiting.pop_front() {
            if path.len() > DEPTH_MAX {
                continue;
            }
            if let Some(handle) = self.root.find(OPERATION, &path)? {
                let entries = Dir::read_from(&handle).map_err(|errno| told(errno, &path))?;
                self.open = Some(Folder { path, handle, entries });
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Tells objects from folders and from what does not belong to the repository. Something with the name of an object
/// that is neither a file nor a folder is an error: left out, it would look deleted.
fn look_at(path: &[String], handle: &OwnedFd, file: &str, listed: FileType) -> Result<Found> {
    if ObjectName::new(file).is_err() || file.contains('/') {
        return Ok(Found::Nothing);
    }
    if listed == FileType::Directory {
        return Ok(Found::Folder([path, &[file.to_owned()]].concat()));
    }
    let stat = match statat(handle, file, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(Found::Nothing),
        Err(errno) => return Err(told(errno, path).with("object", file)),
    };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Ok(Found::Folder([path, &[file.to_owned()]].concat())),
        FileType::RegularFile => Ok(match layout::name_of(path, file) {
            Some(name) => Found::Object(ObjectMeta { name, bytes: u64::try_from(stat.st_size).unwrap_or(0) }),
            None => Found::Nothing,
        }),
        _ => Err(Error::damaged(OPERATION, "not a regular file").with("folder", path.join("/")).with("object", file)),
    }
}

fn told(errno: Errno, path: &[String]) -> Error {
    failed(OPERATION, errno).with("folder", path.join("/"))
}

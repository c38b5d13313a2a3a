//! Walks over an archive, depth first, and finds single paths.
//!
//! Every directory is reported before its entries and once more after them, when its metadata can
//! be restored. Damage is reported where it is and costs only what lies below it. Directories are
//! opened one inside the other up to a fixed depth, so no archive can make a walk endless or
//! exhaust the stack: there is no recursion.

use crate::error::{Error, ErrorKind, Result};
use crate::limits::DIRECTORY_DEPTH_MAX;
use crate::repository::ChunkSource;

use super::content::{Content, DirectoryRef};
use super::entry::Entry;
use super::stat::{StatRef, StatRow};
use super::tree::DirectoryReader;

/// An entry and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalkItem {
    /// The names from the root to the entry, joined by `/`.
    pub path: Vec<u8>,
    /// How many names that are: 1 for an entry of the root.
    pub depth: usize,
    /// The entry.
    pub entry: Entry,
    /// What change detection remembers of it.
    pub stat: Option<StatRow>,
}

/// A step of a walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalkEvent {
    /// The next entry.
    Entry(WalkItem),
    /// Every entry below this directory has been reported. Only for directories that were entered.
    Leave(WalkItem),
}

/// Something below `path` can not be read. The walk goes on with the rest.
#[derive(Debug)]
pub struct WalkError {
    /// The directory concerned, as in [`WalkItem::path`]; empty for the root.
    pub path: Vec<u8>,
    /// What is wrong.
    pub error: Error,
}

/// A walk over a directory and everything below it; an iterator.
pub struct Walk<'a, F> {
    source: &'a dyn ChunkSource,
    descend: F,
    path: Vec<u8>,
    open: Vec<OpenDirectory<'a>>,
    too_deep: bool,
}

struct OpenDirectory<'a> {
    reader: DirectoryReader<'a>,
    /// The directory itself; the root has none.
    entry: Option<(Entry, Option<StatRow>)>,
    /// Length of its parent's path.
    parent: usize,
}

impl<'a, F: FnMut(&WalkItem) -> bool> Walk<'a, F> {
    /// A walk from `root`. `descend` is asked for every directory whether to enter it.
    pub fn new(source: &'a dyn ChunkSource, root: &DirectoryRef, stat: Option<&StatRef>, descend: F) -> Self {
        let reader = DirectoryReader::open(source, root, stat);
        let open = vec![OpenDirectory { reader, entry: None, parent: 0 }];
        Self { source, descend, path: Vec::new(), open, too_deep: false }
    }

    fn visit(&mut self, entry: Entry, stat: Option<StatRow>) -> WalkItem {
        let parent = self.path.len();
        append(&mut self.path, &entry.name);
        let item = WalkItem { path: self.path.clone(), depth: self.open.len(), entry, stat };
        match &item.entry.content {
            Content::Directory(directory) if (self.descend)(&item) => {
                if check_depth("walk archive", item.depth).is_err() {
                    self.too_deep = true;
                } else {
                    let stat = match &item.stat {
                        Some(StatRow::Directory(stat)) => Some(stat),
                        _ => None,
                    };
                    let reader = DirectoryReader::open(self.source, directory, stat);
                    let entry = Some((item.entry.clone(), item.stat));
                    self.open.push(OpenDirectory { reader, entry, parent });
                    return item;
                }
            }
            _ => {}
        }
        if !self.too_deep {
            self.path.truncate(parent);
        }
        item
    }

    fn refuse_depth(&mut self) -> WalkError {
        self.too_deep = false;
        let path = self.path.clone();
        let parent = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        self.path.truncate(parent);
        WalkError { path, error: too_deep("walk archive", self.open.len()) }
    }
}

impl<F: FnMut(&WalkItem) -> bool> Iterator for Walk<'_, F> {
    type Item = Result<WalkEvent, WalkError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.too_deep {
            return Some(Err(self.refuse_depth()));
        }
        match self.open.last_mut()?.reader.next() {
            Some(Ok((entry, stat))) => Some(Ok(WalkEvent::Entry(self.visit(entry, stat)))),
            Some(Err(error)) => Some(Err(WalkError { path: self.path.clone(), error })),
            None => {
                let depth = self.open.len() - 1;
                let OpenDirectory { entry, parent, .. } = self.open.pop()?;
                let (entry, stat) = entry?;
                let path = self.path.clone();
                self.path.truncate(parent);
                Some(Ok(WalkEvent::Leave(WalkItem { path, depth, entry, stat })))
            }
        }
    }
}

/// Whether there may be something in a directory of this depth: 1 in the root.
///
/// # Errors
/// `LimitExceeded` while doing `operation` for more than [`DIRECTORY_DEPTH_MAX`].
pub fn check_depth(operation: &'static str, depth: usize) -> Result<()> {
    if depth > DIRECTORY_DEPTH_MAX { Err(too_deep(operation, depth)) } else { Ok(()) }
}

fn too_deep(operation: &'static str, depth: usize) -> Error {
    Error::new(ErrorKind::LimitExceeded, operation).with("directories", depth).with("limit", DIRECTORY_DEPTH_MAX)
}

/// The entry at `path`, names joined by `/`, if there is one. The root has no entry.
pub fn find_path(source: &dyn ChunkSource, root: &DirectoryRef, path: &[u8]) -> Result<Option<Entry>> {
    let mut directory = *root;
    let mut names = path.split(|byte| *byte == b'/').peekable();
    while let Some(name) = names.next() {
        let found = DirectoryReader::open(source, &directory, None).find(name)?;
        let Some((entry, _)) = found else { return Ok(None) };
        if names.peek().is_none() {
            return Ok(Some(entry));
        }
        match entry.content {
            Content::Directory(below) => directory = below,
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// Appends a name to a path.
pub fn append(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;

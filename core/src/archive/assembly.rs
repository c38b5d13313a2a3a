//! Builds the tree of an archive whose entries come in any order.
//!
//! A file system is walked in order and its tree is built on the way ([`super::builder`]); what another program
//! recorded comes as it likes: children before parents, parents never, one path twice. All of it is held in memory,
//! encoded, about 250 bytes an entry, until the last has come.

use std::collections::BTreeMap;
use std::collections::btree_map::{self, Entry as Slot};

use super::attributes::AttributesRef;
use super::builder::DirectoryBuilder;
use super::content::{Content, DirectoryRef};
use super::cut::CutKey;
use super::entry::{Entry, check_name};
use super::metadata::{FileType, Metadata};
use super::stat::{StatRef, StatRow};
use super::walk::check_depth;
use super::wire::{Reader, invalid};
use crate::codec::Extensions;
use crate::error::{Error, ErrorKind, Result};
use crate::repository::ChunkSink;

/// A tree in the making.
#[derive(Debug, Default)]
pub struct Assembly {
    root: Folder,
}

#[derive(Debug, Default)]
struct Folder {
    /// Its metadata, once it was put itself.
    own: Option<Box<(Metadata, AttributesRef)>>,
    children: BTreeMap<Vec<u8>, Child>,
}

#[derive(Debug)]
enum Child {
    Folder(Box<Folder>),
    /// Anything else, as it is stored.
    Leaf(Box<[u8]>),
}

impl Assembly {
    /// Puts what is no directory at `path`: parts joined by `/`, the last of which becomes the entry's name. What was
    /// there before goes.
    ///
    /// Errors: `InvalidInput` for a path that leads elsewhere or through a file, for a directory with something in it
    /// in this place, and for an entry that can not be stored; `LimitExceeded` if it is too long or too deep.
    pub fn put(&mut self, path: &[u8], mut entry: Entry) -> Result<()> {
        let (parents, name) = split(path)?;
        let Some(name) = name else { return Err(refused("the top is a directory", path)) };
        entry.name = name.to_vec();
        let mut bytes = Vec::new();
        entry.put(&mut bytes)?;
        let folder = self.folder(&parents, path)?;
        if matches!(folder.children.get(name), Some(Child::Folder(folder)) if !folder.children.is_empty()) {
            return Err(refused("a directory is in the place of a file", path));
        }
        folder.children.insert(name.to_vec(), Child::Leaf(bytes.into()));
        Ok(())
    }

    /// Puts a directory at `path`, or tells what is known of one that is there already. The top has an empty path.
    ///
    /// Errors: as for [`Assembly::put`].
    pub fn put_directory(&mut self, path: &[u8], metadata: Metadata, attributes: AttributesRef) -> Result<()> {
        let (mut parents, name) = split(path)?;
        parents.extend(name);
        check_depth("assemble archive", parents.len())?;
        metadata.check().and_then(|()| attributes.check()).map_err(invalid)?;
        self.folder(&parents, path)?.own = Some(Box::new((metadata, attributes)));
        Ok(())
    }

    /// The entry at `path`, if there is one that is no directory.
    pub fn get(&self, path: &[u8]) -> Option<Entry> {
        let (parents, name) = split(path).ok()?;
        let mut folder = &self.root;
        for part in parents {
            let Child::Folder(next) = folder.children.get(part)? else { return None };
            folder = next;
        }
        let Child::Leaf(bytes) = folder.children.get(name?)? else { return None };
        Entry::take(&mut Reader::new(bytes)).ok()
    }

    /// What is known of the top directory.
    pub fn top(&self) -> Option<&(Metadata, AttributesRef)> {
        self.root.own.as_deref()
    }

    fn folder(&mut self, parts: &[&[u8]], path: &[u8]) -> Result<&mut Folder> {
        let mut folder = &mut self.root;
        for part in parts {
            let child = match folder.children.entry(part.to_vec()) {
                Slot::Occupied(slot) => slot.into_mut(),
                Slot::Vacant(slot) => slot.insert(Child::Folder(Box::default())),
            };
            let Child::Folder(next) = child else { return Err(refused("the path leads through a file", path)) };
            folder = next;
        }
        Ok(folder)
    }

    /// Builds the tree. Directories that were never put themselves get `implied`.
    pub fn finish(self, key: &CutKey, implied: &Metadata, sink: &dyn ChunkSink) -> Result<(DirectoryRef, StatRef)> {
        let mut open = vec![OpenFolder::new(Vec::new(), self.root, key)];
        loop {
            let Some(folder) = open.last_mut() else {
                return Err(Error::new(ErrorKind::System, "assemble archive"));
            };
            match folder.children.next() {
                Some((name, Child::Folder(child))) => open.push(OpenFolder::new(name, *child, key)),
                Some((_, Child::Leaf(bytes))) => {
                    folder.builder.push(Entry::take(&mut Reader::new(&bytes))?, StatRow::None, sink)?;
                }
                None => {
                    let Some(OpenFolder { name, own, builder, .. }) = open.pop() else { continue };
                    let (directory, stat) = builder.finish(sink)?;
                    let Some(parent) = open.last_mut() else { return Ok((directory, stat)) };
                    let (metadata, attributes) = own.map_or((implied.clone(), AttributesRef::None), |own| *own);
                    let entry = Entry {
                        name,
                        file_type: FileType::Directory,
                        metadata,
                        size: 0,
                        hard_link: None,
                        attributes,
                        content: Content::Directory(directory),
                        extensions: Extensions::none(),
                    };
                    parent.builder.push(entry, StatRow::Directory(stat), sink)?;
                }
            }
        }
    }
}

/// A folder that is being built.
struct OpenFolder {
    name: Vec<u8>,
    own: Option<Box<(Metadata, AttributesRef)>>,
    children: btree_map::IntoIter<Vec<u8>, Child>,
    builder: DirectoryBuilder,
}

impl OpenFolder {
    fn new(name: Vec<u8>, folder: Folder, key: &CutKey) -> Self {
        let builder = DirectoryBuilder::new(key.clone());
        Self { name, own: folder.own, children: folder.children.into_iter(), builder }
    }
}

/// The parents and the last part; no last part is the top.
type Split<'a> = (Vec<&'a [u8]>, Option<&'a [u8]>);

/// Takes a path apart. Empty parts and `.` count for nothing.
fn split(path: &[u8]) -> Result<Split<'_>> {
    let mut parts = Vec::new();
    for part in path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".") {
        check_name(part).map_err(|why| refused(why, path))?;
        parts.push(part);
    }
    let last = parts.pop();
    check_depth("assemble archive", parts.len())?;
    Ok((parts, last))
}

fn refused(reason: &'static str, path: &[u8]) -> Error {
    Error::new(ErrorKind::InvalidInput, "assemble archive").with("reason", reason).with("path", path.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{MemoryChunks, file_entry, key};
    use super::super::walk::{Walk, WalkEvent};
    use super::*;
    use crate::limits::DIRECTORY_DEPTH_MAX;

    fn metadata(mode: u32) -> Metadata {
        Metadata { mode, ..file_entry(b"x", 0).metadata }
    }

    fn paths(assembly: Assembly) -> Vec<(String, u32)> {
        let chunks = MemoryChunks::new();
        let (root, _) = assembly.finish(&key(), &metadata(0o700), &chunks).unwrap();
        let mut found = Vec::new();
        for event in Walk::new(&chunks, &root, None, |_| true) {
            if let WalkEvent::Entry(item) = event.unwrap() {
                found.push((String::from_utf8(item.path).unwrap(), item.entry.metadata.mode));
            }
        }
        found
    }

    #[test]
    fn entries_may_come_in_any_order() {
        let mut assembly = Assembly::default();
        assembly.put(b"b/c/file", file_entry(b"", 3)).unwrap();
        assembly.put(b"/a/./z", file_entry(b"", 1)).unwrap();
        assembly.put_directory(b"b", metadata(0o755), AttributesRef::None).unwrap();
        assembly.put(b"a/y", file_entry(b"", 1)).unwrap();
        assembly.put(b"b/c/file", file_entry(b"", 7)).unwrap();
        assert_eq!(assembly.get(b"b/c/file").unwrap().size, 7, "the last one counts");
        assert_eq!((assembly.get(b"b/c"), assembly.get(b"no/where")), (None, None));
        let mode = file_entry(b"", 0).metadata.mode;
        let expected = [("a", 0o700), ("a/y", mode), ("a/z", mode), ("b", 0o755), ("b/c", 0o700), ("b/c/file", mode)];
        assert_eq!(paths(assembly), expected.map(|(path, mode)| (path.to_owned(), mode)));
    }

    #[test]
    fn paths_lead_nowhere_else() {
        let mut assembly = Assembly::default();
        assembly.put(b"a/file", file_entry(b"", 1)).unwrap();
        let deepest = b"d/".repeat(DIRECTORY_DEPTH_MAX);
        let deep = [&deepest[..], b"d/d"].concat();
        assert!(Assembly::default().put(&deep[..deep.len() - 2], file_entry(b"", 1)).is_ok());
        assert!(Assembly::default().put_directory(&deepest, metadata(0), AttributesRef::None).is_ok());
        assert!(Assembly::default().put_directory(&deep[..deep.len() - 2], metadata(0), AttributesRef::None).is_err());
        for path in [&b"../x"[..], b"a/../x", b"", b".", b"a/file/x", b"a", b"a\0b", &deep] {
            assert!(assembly.put(path, file_entry(b"", 1)).is_err(), "{}", path.escape_ascii());
        }
        assert!(assembly.put_directory(b"a/file", metadata(0), AttributesRef::None).is_err());
        assert!(assembly.put_directory(b"a/..", metadata(0), AttributesRef::None).is_err());
        assembly.put_directory(b"", metadata(0o711), AttributesRef::None).unwrap();
        assert_eq!(assembly.top().unwrap().0.mode, 0o711);
        assert_eq!(paths(assembly).len(), 2);
    }
}

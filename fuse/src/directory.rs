//! Directories as they are shown, and the children they have.

use std::sync::Arc;

use fuser::{FileAttr, FileType as Kind};
use gabion_core::archive::attributes::AttributesRef;
use gabion_core::archive::entry::Entry;
use gabion_core::archive::metadata::FileType;
use gabion_core::archive::node_cache::Leaf;
use gabion_core::archive::walk::append;
use gabion_core::archive::{Content, DirectoryRef};
use gabion_core::error::Result;

use crate::attributes;
use crate::inodes::{Inode, LeafPlace, of_hard_link, of_name};
use crate::versions::{self, Version};
use crate::view::{Layout, View};

/// A directory that is shown.
#[derive(Debug)]
pub(crate) struct Directory {
    /// Its number.
    pub number: u64,
    /// The number of the directory above it.
    pub parent: u64,
    /// Its name there.
    pub name: Vec<u8>,
    /// What the kernel is told of it.
    pub attr: FileAttr,
    /// Its extended attributes.
    pub attributes: AttributesRef,
    /// What is in it.
    pub contents: Contents,
}

/// What is in a directory.
#[derive(Clone, Debug)]
pub(crate) enum Contents {
    /// One directory per archive.
    Archives,
    /// What is at the top of this archive, by its position in the view.
    Top(usize),
    /// What is at the top of all archives.
    AllTops,
    /// The entries of directories of archives, and versions of a file.
    Entries {
        /// The directories; if they are several, their entries are merged.
        layers: Arc<[Layer]>,
        /// The versions.
        versions: Vec<Version>,
    },
}

/// A directory of an archive.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    /// The archive, by its position in the view.
    pub archive: usize,
    /// Its entries.
    pub directory: DirectoryRef,
    /// Its path in the archive.
    pub path: Arc<[u8]>,
}

impl Layer {
    /// The path of an entry in the archive.
    pub fn path_of(&self, name: &[u8]) -> Vec<u8> {
        let mut path = self.path.to_vec();
        append(&mut path, name);
        path
    }
}

/// An entry, where it is, and a hold on its leaf.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// The leaf.
    pub leaf: Leaf,
    /// Where that is.
    pub place: Arc<LeafPlace>,
    /// The position of the entry in the leaf.
    pub position: usize,
    /// The layer the leaf is of.
    pub layer: Layer,
}

impl Found {
    /// The entry, as long as the position is one of the leaf.
    pub fn entry(&self) -> Option<&Entry> {
        self.leaf.entries().get(self.position)
    }

    fn inode(&self, hard_link: Option<u64>) -> Inode {
        let link = hard_link.map_or(0, |id| (id as u32 ^ (id >> 32) as u32).max(1));
        // A leaf has no more entries than fit.
        Inode::Entry { leaf: Arc::clone(&self.place), position: self.position as u16, link }
    }
}

/// Something with a name in a directory.
#[derive(Clone, Debug)]
pub(crate) struct Child {
    /// Its name.
    pub name: Vec<u8>,
    /// Its number.
    pub number: u64,
    /// What it is.
    pub kind: Kind,
    /// Where to go on behind it.
    pub next: u64,
    source: Source,
}

/// What a child is made of.
#[derive(Clone, Debug)]
enum Source {
    Archive(usize),
    Entry(Found),
    /// Directories of one name, and versions of a file of that name.
    Merged {
        directories: Vec<Found>,
        versions: Vec<Version>,
    },
}

impl View {
    /// The child that is an archive.
    pub(crate) fn archive_child(&self, number: u64, archive: usize) -> Option<Child> {
        let shown = self.archives().get(archive)?;
        let next = archive as u64 + 1;
        let number = of_name(number, shown.archive.id.as_bytes());
        Some(Child { name: shown.name.clone(), number, kind: Kind::Directory, next, source: Source::Archive(archive) })
    }

    /// The child that the entries of one name make, the oldest archive's first; there must be one.
    pub(crate) fn child(&self, directory: &Directory, found: Vec<Found>, next: u64) -> Option<Child> {
        let first = found.first()?;
        let name = first.entry()?.name.clone();
        let plain_number = of_name(directory.number, &name);
        let is_directory = |found: &Found| found.entry().is_some_and(|entry| entry.file_type == FileType::Directory);
        if self.layout() == Layout::Versions {
            let is_file = |found: &Found| found.entry().is_some_and(|entry| entry.file_type == FileType::File);
            let versions = versions::of_file(&name, found.iter().filter(|found| is_file(found)));
            if versions.is_empty() && !found.iter().any(is_directory) {
                let found = found.last()?.clone();
                let kind = attributes::kind(found.entry()?.file_type);
                return Some(Child { name, number: plain_number, kind, next, source: Source::Entry(found) });
            }
            let directories = found.into_iter().filter(is_directory).collect();
            let source = Source::Merged { directories, versions };
            return Some(Child { name, number: plain_number, kind: Kind::Directory, next, source });
        }
        if is_directory(first) {
            let directories = found.into_iter().filter(is_directory).collect();
            let source = Source::Merged { directories, versions: Vec::new() };
            return Some(Child { name, number: plain_number, kind: Kind::Directory, next, source });
        }
        let found = found.into_iter().next()?;
        let entry = found.entry()?;
        let kind = attributes::kind(entry.file_type);
        let archive = self.archives().get(found.layer.archive)?.archive.id;
        let linked = entry.hard_link.map(|id| of_hard_link(&archive, id, entry.file_type));
        Some(Child { name, number: linked.unwrap_or(plain_number), kind, next, source: Source::Entry(found) })
    }

    /// The child that is one version of a file.
    pub(crate) fn version_child(&self, directory: &Directory, version: &Version, next: u64) -> Child {
        let (name, found) = (version.name.clone(), version.found.clone());
        let number = of_name(directory.number, &name);
        Child { name, number, kind: Kind::RegularFile, next, source: Source::Entry(found) }
    }

    /// What the kernel is told of a child, and what is remembered of it.
    pub(crate) fn resolve(&self, directory: &Directory, child: Child) -> Option<(FileAttr, Inode)> {
        match child.source {
            Source::Archive(archive) => {
                let top = Arc::new(self.top_of(archive, child.number, directory.number)?);
                Some((top.attr, Inode::Directory(top)))
            }
            Source::Entry(found) => {
                let entry = found.entry()?;
                let mut attr = attributes::of_entry(child.number, entry, &self.options().owners);
                let versions = self.layout() == Layout::Versions;
                if versions {
                    attr.nlink = 1;
                }
                Some((attr, found.inode(entry.hard_link.filter(|_| !versions))))
            }
            Source::Merged { directories, versions } => {
                let newest = directories.last().or(versions.last().map(|version| &version.found))?.entry()?;
                let mut attr = attributes::of_metadata(
                    child.number,
                    FileType::Directory,
                    &newest.metadata,
                    &self.options().owners,
                );
                let mut attributes = AttributesRef::None;
                if newest.file_type == FileType::Directory {
                    attributes = newest.attributes.clone();
                } else {
                    // Who may read the file may look into the directory of its versions.
                    attr.perm = attr.perm & 0o777 | (attr.perm & 0o444) >> 2;
                }
                let contents = Contents::Entries { layers: layers_of(&directories), versions };
                let (number, parent, name) = (child.number, directory.number, child.name);
                let merged = Directory { number, parent, name, attr, attributes, contents };
                Some((attr, Inode::Directory(Arc::new(merged))))
            }
        }
    }

    /// The entry an inode stands for, in memory as long as it is held.
    pub(crate) fn found(&self, leaf: &Arc<LeafPlace>, position: u16) -> Result<Option<Found>> {
        let layers = self.layers(&leaf.directory)?;
        let Some(layer) = layers.get(leaf.layer).cloned() else { return Ok(None) };
        let (place, position) = (Arc::clone(leaf), usize::from(position));
        Ok(Some(Found { leaf: self.nodes().leaf(&leaf.id)?, place, position, layer }))
    }
}

/// The layers that directories are; of equal ones the last.
fn layers_of(directories: &[Found]) -> Arc<[Layer]> {
    let mut layers: Vec<Layer> = Vec::new();
    for found in directories {
        let Some(entry) = found.entry() else { continue };
        let Content::Directory(directory) = entry.content else { continue };
        layers.retain(|layer| layer.directory.root != directory.root);
        let path = found.layer.path_of(&entry.name).into();
        layers.push(Layer { archive: found.layer.archive, directory, path });
    }
    layers.into()
}

#[cfg(test)]
impl Directory {
    /// A directory with nothing in it.
    pub fn for_test(number: u64) -> Arc<Self> {
        let metadata = gabion_core::archive::metadata::Metadata::of_directory(gabion_core::clock::Timestamp::new(0, 0));
        let attr = attributes::of_metadata(number, FileType::Directory, &metadata, &crate::Owners::default());
        let contents = Contents::Entries { layers: Arc::new([]), versions: Vec::new() };
        Arc::new(Self { number, parent: number, name: Vec::new(), attr, attributes: AttributesRef::None, contents })
    }
}

//! Inode numbers, and what the kernel knows by them.
//!
//! A number is a hash of the number of the directory and the name, so it is the same in every mount, and nobody
//! has to remember which numbers are taken: two of ten million names share one with a probability of 10^-5, and then
//! the one that is looked at second can not be read, rather than be taken for the other. All names of a file share one
//! by its hard-link id. What stands for a number is kept from the kernel's first question until
//! it forgets it: of a file the place of its entry, about a hundred bytes; entries themselves come from the cache of
//! leaves.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gabion_core::archive::metadata::FileType;
use gabion_core::id::{ArchiveId, ChunkId};

use crate::directory::Directory;

/// The number of the top directory, as FUSE has it.
pub(crate) const TOP: u64 = 1;
/// Tables apart from each other, so that threads seldom wait and none of them grows in great steps.
const SHARDS: usize = 32;

/// What a number stands for.
#[derive(Clone, Debug)]
pub(crate) enum Inode {
    /// A directory.
    Directory(Arc<Directory>),
    /// Anything else: an entry of a leaf.
    Entry {
        /// Where it is.
        leaf: Arc<LeafPlace>,
        /// Its position in the leaf.
        position: u16,
        /// 0, or what tells it from others if it has several names, each at its place.
        link: u32,
    },
}

/// A leaf and the directory it is a part of.
#[derive(Debug)]
pub(crate) struct LeafPlace {
    /// The leaf.
    pub id: ChunkId,
    /// The directory.
    pub directory: Arc<Directory>,
    /// Which of its layers.
    pub layer: usize,
}

impl Inode {
    /// Whether both are the same thing.
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Directory(one), Self::Directory(other)) => one.parent == other.parent && one.name == other.name,
            (Self::Entry { link: one @ 1.., .. }, Self::Entry { link: other @ 1.., .. }) => one == other,
            (Self::Entry { leaf, position, .. }, Self::Entry { leaf: other, position: there, .. }) => {
                leaf.id == other.id && position == there && leaf.directory.number == other.directory.number
            }
            _ => false,
        }
    }
}

/// The number of a name in a directory.
pub(crate) fn of_name(directory: u64, name: &[u8]) -> u64 {
    number(&[b"name", &directory.to_le_bytes(), name])
}

/// The number of a file with several names.
pub(crate) fn of_hard_link(archive: &ArchiveId, id: u64, file_type: FileType) -> u64 {
    number(&[b"link", archive.as_bytes(), &id.to_le_bytes(), &[u8::from(file_type)]])
}

fn number(parts: &[&[u8]]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    // Some programs take a number for a signed one; small ones are taken.
    (u64::from_le_bytes(bytes) >> 1).max(16)
}

/// What the kernel knows.
#[derive(Debug)]
pub(crate) struct Inodes {
    top: Arc<Directory>,
    shards: [Mutex<HashMap<u64, Known>>; SHARDS],
}

#[derive(Debug)]
struct Known {
    inode: Inode,
    /// How often the kernel was told.
    lookups: u64,
}

impl Inodes {
    /// Only the top directory is known.
    pub fn new(top: Arc<Directory>) -> Self {
        Self { top, shards: Default::default() }
    }

    /// What the number stands for, if the kernel was told of it.
    pub fn get(&self, number: u64) -> Option<Inode> {
        if number == TOP {
            return Some(Inode::Directory(Arc::clone(&self.top)));
        }
        self.shard(number).get(&number).map(|known| known.inode.clone())
    }

    /// The kernel is told of this number once more; not if it knows something else by it.
    #[must_use]
    pub fn remember(&self, number: u64, inode: Inode) -> bool {
        match self.shard(number).entry(number) {
            Slot::Occupied(known) if !known.get().inode.is(&inode) => return false,
            Slot::Occupied(mut known) => known.get_mut().lookups += 1,
            Slot::Vacant(place) => {
                place.insert(Known { inode, lookups: 1 });
            }
        }
        true
    }

    /// The kernel forgets so many of the times it was told.
    pub fn forget(&self, number: u64, lookups: u64) {
        let mut shard = self.shard(number);
        if let Slot::Occupied(mut known) = shard.entry(number) {
            known.get_mut().lookups = known.get().lookups.saturating_sub(lookups);
            if known.get().lookups == 0 {
                known.remove();
            }
        }
        // A table that was large once is not kept so for ever.
        if shard.capacity() > 1024 && shard.len() < shard.capacity() / 8 {
            shard.shrink_to_fit();
        }
    }

    fn shard(&self, number: u64) -> MutexGuard<'_, HashMap<u64, Known>> {
        self.shards[number as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap().len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_from_place_and_name() {
        assert_eq!(of_name(TOP, b"a"), of_name(TOP, b"a"));
        let archive = ArchiveId::from_bytes([1; 16]);
        let numbers = [
            of_name(TOP, b"a"),
            of_name(TOP, b"b"),
            of_name(2, b"a"),
            of_hard_link(&archive, 1, FileType::File),
            of_hard_link(&archive, 1, FileType::Fifo),
            of_hard_link(&archive, 2, FileType::File),
            of_hard_link(&ArchiveId::from_bytes([2; 16]), 1, FileType::File),
        ];
        let different: std::collections::BTreeSet<u64> = numbers.into_iter().collect();
        assert_eq!(different.len(), numbers.len());
        assert!(numbers.iter().all(|number| (16..=i64::MAX as u64).contains(number)));
    }

    #[test]
    fn what_is_forgotten_as_often_as_it_was_told_goes() {
        let top = Directory::for_test(TOP);
        let inodes = Inodes::new(Arc::clone(&top));
        let other = || Inode::Directory(Directory::for_test(77));
        for number in 16..5016 {
            assert!(inodes.remember(number, other()) && inodes.remember(number, other()));
            inodes.forget(number, 1);
            assert!(inodes.get(number).is_some());
        }
        assert_eq!(inodes.count(), 5000);
        for number in 16..5016 {
            inodes.forget(number, 1);
            inodes.forget(number, 1);
            assert!(inodes.get(number).is_none());
        }
        let capacity: usize = inodes.shards.iter().map(|shard| shard.lock().unwrap().capacity()).sum();
        assert!(inodes.count() == 0 && capacity <= 1024 * SHARDS);
        inodes.forget(TOP, 3);
        assert!(inodes.get(TOP).is_some(), "the top stays");
    }

    #[test]
    fn what_has_the_number_of_another_is_not_taken_for_it() {
        let top = Directory::for_test(TOP);
        let inodes = Inodes::new(Arc::clone(&top));
        let entry = |leaf: u8, position, link| {
            let leaf = LeafPlace { id: ChunkId::from_bytes([leaf; 32]), directory: Arc::clone(&top), layer: 0 };
            Inode::Entry { leaf: Arc::new(leaf), position, link }
        };
        assert!(inodes.remember(16, entry(1, 5, 0)) && inodes.remember(16, entry(1, 5, 0)));
        for other in [entry(1, 6, 0), entry(2, 5, 0), entry(2, 5, 9), Inode::Directory(Arc::clone(&top))] {
            assert!(!inodes.remember(16, other));
        }
        inodes.forget(16, 2);
        assert_eq!(inodes.count(), 0, "nobody was told of the others");
        assert!(inodes.remember(17, entry(1, 5, 9)) && inodes.remember(17, entry(2, 7, 9)), "names of one file");
        assert!(!inodes.remember(17, entry(1, 5, 8)), "a name of another");
        let (one, other) = (Directory::for_test(18), Directory::for_test(19));
        assert!(inodes.remember(20, Inode::Directory(Arc::clone(&one))) && inodes.remember(20, Inode::Directory(one)));
        assert!(!inodes.remember(20, Inode::Directory(other)), "its parent is another");
    }
}

//! Where the nodes of a tree end.
//!
//! A decision is a keyed hash, so that whoever sees the sizes of nodes learns nothing
//! about names; and it looks only at what stays the same when a neighbour changes, so
//! that a boundary heals itself: after an insertion the old boundaries come back.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::limits::{NODE_CUT_ONE_IN, NODE_ENTRIES_MAX, NODE_ENTRIES_MIN};

/// The secret behind every cut of a repository's trees. Copies share one place in memory, wiped at the end.
#[derive(Clone)]
pub struct CutKey(Arc<Zeroizing<[u8; 32]>>);

/// What is cut; part of what is hashed, so that levels and trees do not follow each other.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(super) enum Cut {
    /// A directory, by names.
    Directory = 1,
    /// A content list, by chunk names.
    Content = 2,
}

impl CutKey {
    /// Takes 32 secret bytes; the same for all archives that shall share nodes.
    pub fn new(key: [u8; 32]) -> Self {
        Self(Arc::new(Zeroizing::new(key)))
    }

    /// Whether a node of `count` elements ends after the one that `mark` names. `level` is 0 for leaves.
    pub(super) fn ends(&self, tree: Cut, level: u8, mark: &[u8], count: usize) -> bool {
        if count < NODE_ENTRIES_MIN {
            return false;
        }
        count >= NODE_ENTRIES_MAX || self.hash(tree, level, mark).is_multiple_of(NODE_CUT_ONE_IN)
    }

    /// The first 8 bytes, little-endian, of `BLAKE3(key, tree u8 | level u8 | mark)`.
    fn hash(&self, tree: Cut, level: u8, mark: &[u8]) -> u64 {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&[tree as u8, level]).update(mark);
        let mut first = [0; 8];
        hasher.finalize_xof().fill(&mut first);
        u64::from_le_bytes(first)
    }
}

impl fmt::Debug for CutKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CutKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_are_those_of_the_format() {
        let key = CutKey::new([7; 32]);
        let first = |message: &[u8]| {
            u64::from_le_bytes(*blake3::keyed_hash(&[7; 32], message).as_bytes().first_chunk().unwrap())
        };
        assert_eq!(key.hash(Cut::Directory, 0, b"name"), first(b"\x01\x00name"));
        assert_eq!(key.hash(Cut::Content, 3, b"name"), first(b"\x02\x03name"));
    }

    #[test]
    fn nodes_are_neither_tiny_nor_huge() {
        let key = CutKey::new([7; 32]);
        let marks = (0..10_000u32).map(u32::to_le_bytes);
        let cuts = marks.clone().filter(|mark| key.ends(Cut::Directory, 0, mark, 64)).count();
        assert!((50..110).contains(&cuts), "{cuts} of 10 000");
        assert!(!marks.clone().any(|mark| key.ends(Cut::Directory, 0, &mark, 63)));
        assert!(marks.clone().all(|mark| key.ends(Cut::Directory, 0, &mark, 512)));
    }
}

//! Which names were seen: 128 bits of each, hashed by two keys nobody knows, so that millions of them need little
//! memory and nobody can make two of them meet.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};

/// A set that can only be asked whether something is new.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    keys: [RandomState; 2],
    hashes: HashSet<[u64; 2]>,
}

impl Seen {
    /// Whether this was not seen before; from now on it was.
    pub fn is_new(&mut self, name: impl Hash) -> bool {
        let [first, second] = &self.keys;
        self.hashes.insert([first.hash_one(&name), second.hash_one(&name)])
    }
}

//! Names of chunks: keyed hashes of their plaintext.
//!
//! Without the key nobody can tell whether a known file is stored. Data and trees
//! are hashed with different keys, so no file can be made that has the name of a tree.

use std::fmt;
use std::str::FromStr;

use blake2::Blake2bMac;
use blake2::digest::consts::U32;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::secret::Secret;
use crate::error::{Error, ErrorKind, Result};
use crate::id::ChunkId;

/// The function that names chunks; all make 32 bytes. Stored as its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum IdHash {
    /// BLAKE3, keyed.
    #[default]
    Blake3 = 1,
    /// BLAKE2b with 32 bytes of output, keyed (RFC 7693).
    Blake2b = 2,
    /// HMAC with SHA-256 (RFC 2104).
    HmacSha256 = 3,
}

struct Row {
    hash: IdHash,
    name: &'static str,
    new: fn(&Secret) -> Option<Engine>,
}

/// One row per function; a row's position is its number less one.
const ROWS: [Row; 3] = [
    Row {
        hash: IdHash::Blake3,
        name: "blake3",
        new: |key| Some(Engine::Blake3(Box::new(blake3::Hasher::new_keyed(key.expose())))),
    },
    Row {
        hash: IdHash::Blake2b,
        name: "blake2b",
        new: |key| Some(Engine::Blake2b(Box::new(Blake2bMac::new_from_slice(key.expose()).ok()?))),
    },
    Row {
        hash: IdHash::HmacSha256,
        name: "hmac-sha256",
        new: |key| Some(Engine::HmacSha256(Box::new(Hmac::new_from_slice(key.expose()).ok()?))),
    },
];

const _: () = {
    let mut position = 0;
    while position < ROWS.len() {
        assert!(ROWS[position].hash as usize == position + 1);
        position += 1;
    }
};

impl IdHash {
    /// Every function, in the order of their numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.hash)
    }

    fn row(self) -> &'static Row {
        &ROWS[self as usize - 1]
    }
}

impl From<IdHash> for u8 {
    fn from(hash: IdHash) -> Self {
        hash as Self
    }
}

impl TryFrom<u8> for IdHash {
    type Error = Error;

    fn try_from(number: u8) -> Result<Self> {
        let hash = Self::all().find(|hash| *hash as u8 == number);
        hash.ok_or_else(|| Error::new(ErrorKind::Unsupported, "choose id hash").with("id hash", number))
    }
}

impl fmt::Display for IdHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.row().name)
    }
}

impl FromStr for IdHash {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let row = ROWS.iter().find(|row| row.name == name);
        row.map(|row| row.hash).ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, "choose id hash")
                .with("id hash", name.escape_debug())
                .with("known", ROWS.iter().map(|row| row.name).collect::<Vec<_>>().join(" "))
        })
    }
}

/// Which of the two sets of names a chunk belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IdSpace {
    /// File content.
    Data,
    /// Nodes of trees.
    Tree,
}

/// Names chunks. Holds keyed states; shared by all threads.
pub struct IdHasher {
    hash: IdHash,
    data: Engine,
    tree: Engine,
}

enum Engine {
    Blake3(Box<blake3::Hasher>),
    Blake2b(Box<Blake2bMac<U32>>),
    HmacSha256(Box<Hmac<Sha256>>),
}

impl IdHasher {
    /// Names with `hash` under the keys of purpose `IdData` and `IdTree`. All functions
    /// take keys of this length; if one did not, the kind would be [`ErrorKind::KeyInvalid`].
    pub fn new(hash: IdHash, data_key: &Secret, tree_key: &Secret) -> Result<Self> {
        let engine = |key| {
            (hash.row().new)(key).ok_or_else(|| Error::new(ErrorKind::KeyInvalid, "key id hash").with("id hash", hash))
        };
        Ok(Self { hash, data: engine(data_key)?, tree: engine(tree_key)? })
    }

    /// The name of a chunk.
    pub fn id(&self, space: IdSpace, plain: &[u8]) -> ChunkId {
        let engine = match space {
            IdSpace::Data => &self.data,
            IdSpace::Tree => &self.tree,
        };
        ChunkId::from_bytes(match engine {
            Engine::Blake3(keyed) => *keyed.clone().update(plain).finalize().as_bytes(),
            Engine::Blake2b(keyed) => keyed.as_ref().clone().chain_update(plain).finalize().into_bytes().into(),
            Engine::HmacSha256(keyed) => keyed.as_ref().clone().chain_update(plain).finalize().into_bytes().into(),
        })
    }
}

impl fmt::Debug for IdHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdHasher({})", self.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn hasher(hash: IdHash, data: u8, tree: u8) -> IdHasher {
        IdHasher::new(hash, &Secret::from_bytes([data; 32]), &Secret::from_bytes([tree; 32])).unwrap()
    }

    #[test]
    fn hmac_is_that_of_rfc_4231() {
        // HMAC pads keys with zeros, so test case 2 with key "Jefe" fits
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let hasher = IdHasher::new(IdHash::HmacSha256, &Secret::from_bytes(key), &Secret::from_bytes([0; 32])).unwrap();
        let id = hasher.id(IdSpace::Data, b"what do ya want for nothing?");
        assert_eq!(id.to_string(), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn blake3_is_that_of_its_published_vectors() {
        let key = Secret::from_bytes(*b"whats the Elvish word for friend");
        let hasher = IdHasher::new(IdHash::Blake3, &key, &Secret::from_bytes([0; 32])).unwrap();
        let id = hasher.id(IdSpace::Data, b"");
        assert_eq!(id.to_string(), "92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26");
    }

    #[test]
    fn blake2b_is_that_of_another_implementation() {
        let id = hasher(IdHash::Blake2b, 1, 2).id(IdSpace::Data, b"abc");
        assert_eq!(id.to_string(), "8cc77af752046919e25cca7b87a17aaa67fb6aad75964f730a1c2178c986505c");
    }

    #[test]
    fn numbers_and_names_go_both_ways() {
        for hash in IdHash::all() {
            assert_eq!(IdHash::try_from(u8::from(hash)).unwrap(), hash);
            assert_eq!(hash.to_string().parse::<IdHash>().unwrap(), hash);
        }
        for number in [0, 4, 255] {
            assert_eq!(IdHash::try_from(number).unwrap_err().kind(), ErrorKind::Unsupported);
        }
        assert_eq!("md5".parse::<IdHash>().unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(IdHash::default().to_string(), "blake3");
    }

    #[test]
    fn names_depend_on_function_key_space_and_content() {
        let mut seen = BTreeSet::new();
        for hash in IdHash::all() {
            for (data, tree) in [(1, 2), (3, 4)] {
                for space in [IdSpace::Data, IdSpace::Tree] {
                    for plain in [&b""[..], b"a", &[b'a'; 200]] {
                        assert!(seen.insert(hasher(hash, data, tree).id(space, plain)));
                    }
                }
            }
            assert_eq!(hasher(hash, 1, 2).id(IdSpace::Tree, b"a"), hasher(hash, 2, 1).id(IdSpace::Data, b"a"));
        }
    }
}

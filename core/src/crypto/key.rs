//! The keys of a repository, and how each object gets one of its own.
//!
//! A keyring holds independent random keys, one per purpose, so that a role can be
//! given some of them and learns nothing of the others. An object's key is derived
//! from its purpose key and everything its header says, together with a commitment:
//! neither GCM nor ChaCha20-Poly1305 ties a ciphertext to one key, the commitment does.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::aead::{Cipher, Suite};
use super::secret::Secret;
use crate::codec::Cursor;
use crate::error::{Error, ErrorKind, Result};
use crate::id::RepositoryId;

/// Bytes of a key commitment.
pub const COMMITMENT_BYTES: usize = 32;
/// Bytes of a header before its commitment.
pub const KEYED_HEADER_BYTES: usize = 40;

/// What a key is for. Stored as its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Purpose {
    /// Names of data chunks.
    IdData = 1,
    /// Names of tree chunks.
    IdTree = 2,
    /// Where files are cut.
    Chunker = 3,
    /// Data segments.
    Data = 4,
    /// Tree segments.
    Tree = 5,
    /// Index fragments and the directories of segments.
    Index = 6,
    /// Archive roots.
    Archive = 7,
    /// Records of collection, damage, locks, and the repository's config.
    Control = 8,
}

impl Purpose {
    /// Every purpose, in the order of their numbers.
    pub const ALL: [Self; 8] =
        [Self::IdData, Self::IdTree, Self::Chunker, Self::Data, Self::Tree, Self::Index, Self::Archive, Self::Control];

    fn slot(self) -> usize {
        self as usize - 1
    }
}

impl From<Purpose> for u8 {
    fn from(purpose: Purpose) -> Self {
        purpose as Self
    }
}

impl TryFrom<u8> for Purpose {
    type Error = Error;

    fn try_from(number: u8) -> Result<Self> {
        let purpose = Self::ALL.into_iter().find(|purpose| *purpose as u8 == number);
        purpose.ok_or_else(|| Error::new(ErrorKind::Unsupported, "read keyring").with("purpose", number))
    }
}

/// The keys a role has: all of them, or some.
#[derive(Default, PartialEq, Eq)]
pub struct Keyring([Option<Secret>; Purpose::ALL.len()]);

impl Keyring {
    /// Bytes of the longest encoded keyring.
    pub const BYTES_MAX: usize = 1 + Purpose::ALL.len() * (1 + Secret::BYTES);

    /// Draws a new key for every purpose.
    pub fn generate() -> Result<Self> {
        let mut keyring = Self::default();
        for purpose in Purpose::ALL {
            keyring.0[purpose.slot()] = Some(Secret::generate()?);
        }
        Ok(keyring)
    }

    /// The key for `purpose`; kind [`ErrorKind::KeyNotFound`] if this role lacks it.
    pub fn get(&self, purpose: Purpose) -> Result<&Secret> {
        self.0[purpose.slot()]
            .as_ref()
            .ok_or_else(|| Error::new(ErrorKind::KeyNotFound, "use key").with("purpose", format_args!("{purpose:?}")))
    }

    /// The purposes there are keys for, ascending.
    pub fn purposes(&self) -> impl Iterator<Item = Purpose> + '_ {
        Purpose::ALL.into_iter().filter(|purpose| self.0[purpose.slot()].is_some())
    }

    /// The one byte form: count u8, then per purpose, ascending: purpose u8 | key 32.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        // all of the capacity at once: growing would leave copies of keys behind
        let mut out = Zeroizing::new(Vec::with_capacity(Self::BYTES_MAX));
        out.push(self.purposes().count() as u8);
        for (purpose, secret) in Purpose::ALL.iter().zip(&self.0) {
            if let Some(secret) = secret {
                out.push(*purpose as u8);
                out.extend_from_slice(secret.expose());
            }
        }
        out
    }

    /// Reads what [`Keyring::encode`] wrote and refuses any other form: kind
    /// [`ErrorKind::Damaged`], or [`ErrorKind::Unsupported`] for an unknown purpose.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut cursor = Cursor::new(bytes);
        let count = cursor.u8()?;
        let mut keyring = Self::default();
        let mut last = 0;
        for _ in 0..count {
            let number = cursor.u8()?;
            if number <= last {
                return Err(Error::damaged("read keyring", "purposes are not in order"));
            }
            last = number;
            let purpose = Purpose::try_from(number)?;
            let key = cursor.take(Secret::BYTES)?;
            keyring.0[purpose.slot()] = Some(Secret::fill_with(|out| {
                out.copy_from_slice(key);
                Ok(())
            })?);
        }
        cursor.finish()?;
        Ok(keyring)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.purposes()).finish()
    }
}

/// The key of one object, and the public bytes that commit to it.
pub struct ObjectKey {
    /// Seals this object and nothing else.
    pub key: Secret,
    /// Stored in the object's header.
    pub commitment: [u8; COMMITMENT_BYTES],
}

impl ObjectKey {
    /// BLAKE3 in its key derivation mode with `context`, over purpose key 32 |
    /// repository id 16 | header before the commitment 40; the first 32 bytes of
    /// output are the key, the next 32 the commitment.
    pub fn derive(
        context: &'static str,
        purpose_key: &Secret,
        repository: &RepositoryId,
        header: &[u8; KEYED_HEADER_BYTES],
    ) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(context);
        hasher.update(purpose_key.expose()).update(repository.as_bytes()).update(header);
        let mut output = hasher.finalize_xof();
        let mut key = [0; Secret::BYTES];
        let mut commitment = [0; COMMITMENT_BYTES];
        output.fill(&mut key);
        output.fill(&mut commitment);
        output.zeroize();
        hasher.zeroize();
        let derived = Self { key: Secret::from_bytes(key), commitment };
        key.zeroize();
        derived
    }

    /// Whether `commitment` is this key's. Takes the same time whatever the difference.
    pub fn is_committed_by(&self, commitment: &[u8; COMMITMENT_BYTES]) -> bool {
        self.commitment.ct_eq(commitment).into()
    }

    /// The cipher of this object.
    pub fn cipher(&self, suite: Suite) -> Cipher {
        Cipher::new(suite, self.key.expose())
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ObjectKey")
    }
}

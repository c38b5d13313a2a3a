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
    /// What related repositories have in common.
    const SHARED: [Purpose; 3] = [Purpose::IdData, Purpose::IdTree, Purpose::Chunker];

    /// Draws a new key for every purpose.
    pub fn generate() -> Result<Self> {
        let mut keyring = Self::default();
        for purpose in Purpose::ALL {
            keyring.0[purpose.slot()] = Some(Secret::generate()?);
        }
        Ok(keyring)
    }

    /// New keys, but for those that name and cut chunks: these are those of `other`.
    pub fn generate_related(other: &Self) -> Result<Self> {
        let mut keyring = Self::generate()?;
        for purpose in Self::SHARED {
            let shared = other.get(purpose)?;
            keyring.0[purpose.slot()] = Some(Secret::fill_with(|out| {
                out.copy_from_slice(shared.expose());
                Ok(())
            })?);
        }
        Ok(keyring)
    }

    /// Whether chunks are named by the same keys.
    pub fn names_chunks_as(&self, other: &Self) -> Result<bool> {
        for purpose in [Purpose::IdData, Purpose::IdTree] {
            if self.get(purpose)? != other.get(purpose)? {
                return Ok(false);
            }
        }
        Ok(true)
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REPOSITORY: RepositoryId = RepositoryId::from_bytes([0x52; 16]);
    const CONTEXT: &str = "gabion 1 doom";

    fn header() -> [u8; KEYED_HEADER_BYTES] {
        std::array::from_fn(|index| index as u8)
    }

    #[test]
    fn derived_keys_never_change() {
        // from another implementation
        let derived = ObjectKey::derive(CONTEXT, &Secret::from_bytes([3; 32]), &REPOSITORY, &header());
        let hex = |bytes: &[u8; 32]| blake3::Hash::from_bytes(*bytes).to_hex().to_string();
        assert_eq!(hex(derived.key.expose()), "df3ea354d971c84f76477381536907d7a944bafef0d3e29b9c88f5228f73f340");
        assert_eq!(hex(&derived.commitment), "ee3e80990e2e959a9159e85f3d91868665380fa91698441ecca706758ea01d4b");
    }

    #[test]
    fn keys_depend_on_everything_they_are_derived_from() {
        let purpose_key = |byte| Secret::from_bytes([byte; 32]);
        let base = ObjectKey::derive(CONTEXT, &purpose_key(3), &REPOSITORY, &header());
        let elsewhere = RepositoryId::from_bytes([0x53; 16]);
        let mut others = vec![
            ObjectKey::derive("gabion 1 epoch", &purpose_key(3), &REPOSITORY, &header()),
            ObjectKey::derive(CONTEXT, &purpose_key(4), &REPOSITORY, &header()),
            ObjectKey::derive(CONTEXT, &purpose_key(3), &elsewhere, &header()),
        ];
        for position in 0..KEYED_HEADER_BYTES {
            let mut header = header();
            header[position] ^= 1;
            others.push(ObjectKey::derive(CONTEXT, &purpose_key(3), &REPOSITORY, &header));
        }
        for other in others {
            assert_ne!(other.key, base.key);
            assert!(!base.is_committed_by(&other.commitment));
        }
        assert!(base.is_committed_by(&base.commitment));
    }

    #[test]
    fn keyrings_have_one_form() {
        let keyring = Keyring::generate().unwrap();
        let bytes = keyring.encode();
        assert_eq!(bytes.len(), Keyring::BYTES_MAX);
        assert_eq!(Keyring::decode(&bytes).unwrap(), keyring);
        assert_ne!(keyring.get(Purpose::IdData).unwrap(), keyring.get(Purpose::IdTree).unwrap());

        let some = [&[2][..], &[3; 33], &[6; 33]].concat();
        let keyring = Keyring::decode(&some).unwrap();
        assert_eq!(keyring.encode().as_slice(), some);
        assert!(keyring.purposes().eq([Purpose::Chunker, Purpose::Index]));
        assert_eq!(keyring.get(Purpose::Index).unwrap(), &Secret::from_bytes([6; 32]));
        assert_eq!(keyring.get(Purpose::Data).unwrap_err().kind(), ErrorKind::KeyNotFound);
        assert_eq!(format!("{keyring:?}"), "{Chunker, Index}");
    }

    #[test]
    fn other_forms_of_keyrings_are_refused() {
        let unordered = [&[2][..], &[6; 33], &[3; 33]].concat();
        let double = [&[2][..], &[3; 33], &[3; 33]].concat();
        let trailing = [&[1][..], &[3; 33], &[0]].concat();
        let short = [&[1][..], &[3; 32]].concat();
        let zero = [&[1][..], &[0; 33]].concat();
        for bad in [&unordered[..], &double, &trailing, &short, &zero, &[], &[1], &[255]] {
            assert_eq!(Keyring::decode(bad).unwrap_err().kind(), ErrorKind::Damaged, "{bad:?}");
        }
        let unknown = [&[1][..], &[9; 33]].concat();
        assert_eq!(Keyring::decode(&unknown).unwrap_err().kind(), ErrorKind::Unsupported);
    }

    proptest! {
        #[test]
        fn any_bytes_decode_to_what_encodes_to_them_or_not_at_all(
            bytes in prop::collection::vec(0u8..12, 0..140),
        ) {
            if let Ok(keyring) = Keyring::decode(&bytes) {
                prop_assert_eq!(keyring.encode().to_vec(), bytes);
            }
        }
    }
}

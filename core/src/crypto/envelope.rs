//! What all sealed objects have in common: kinds, names, header and tail.
//!
//! Header, 72 bytes: magic 4 | kind (of a segment: class) u8 | version u8 | suite u8 |
//! flags u8 | salt 32 | key commitment 32. Tail, 40 bytes: BLAKE3 of everything
//! before, 32 | length of the whole object u64. The tail needs no key, and every
//! version of the format keeps it, so a scrub works on objects of the future.

use std::fmt;

use super::aead::Suite;
use super::key::{COMMITMENT_BYTES, KEYED_HEADER_BYTES, ObjectKey, Purpose};
use super::secret::Secret;
use crate::codec::Cursor;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{RepositoryId, SALT_BYTES, object_id, write_hex};

/// Bytes of a header.
pub const HEADER_BYTES: usize = KEYED_HEADER_BYTES + COMMITMENT_BYTES;
/// Bytes of a tail.
pub const TAIL_BYTES: usize = 40;
/// The version of the format this module writes and reads.
pub const VERSION: u8 = 1;
/// The first bytes of every sealed object but segments.
pub const MAGIC: [u8; 4] = *b"GABO";

/// What an object is. Stored as its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// What the repository is.
    Config = 1,
    /// A wrapped keyring; its layout is its own.
    KeySlot = 2,
    /// Chunks; its layout is its own.
    Segment = 3,
    /// A fragment of the index; its layout is its own.
    Index = 4,
    /// The root of an archive.
    Archive = 5,
    /// An archive in the making.
    Pending = 6,
    /// An archive that was deleted.
    Removed = 7,
    /// Segments a collector wants to delete.
    Doom = 8,
    /// A step of a collector.
    Epoch = 9,
    /// Chunks that do not open.
    Damage = 10,
    /// Somebody needs the repository alone.
    Lock = 11,
}

struct Row {
    kind: Kind,
    namespace: &'static str,
    context: &'static str,
    purpose: Option<Purpose>,
}

const fn row(kind: Kind, namespace: &'static str, context: &'static str, purpose: Option<Purpose>) -> Row {
    Row { kind, namespace, context, purpose }
}

/// One row per kind; a row's position is the kind's number less one.
const ROWS: [Row; 11] = [
    row(Kind::Config, "config", "gabion 1 config", Some(Purpose::Control)),
    row(Kind::KeySlot, "keys", "gabion 1 key slot", None),
    row(Kind::Segment, "segments", "gabion 1 segment", None),
    row(Kind::Index, "index", "gabion 1 index", Some(Purpose::Index)),
    row(Kind::Archive, "archives", "gabion 1 archive", Some(Purpose::Archive)),
    row(Kind::Pending, "pending", "gabion 1 pending", Some(Purpose::Archive)),
    row(Kind::Removed, "removed", "gabion 1 removed", Some(Purpose::Archive)),
    row(Kind::Doom, "gc/doom", "gabion 1 doom", Some(Purpose::Control)),
    row(Kind::Epoch, "gc/epoch", "gabion 1 epoch", Some(Purpose::Control)),
    row(Kind::Damage, "damage", "gabion 1 damage", Some(Purpose::Control)),
    row(Kind::Lock, "locks", "gabion 1 lock", Some(Purpose::Control)),
];

const _: () = {
    let mut position = 0;
    while position < ROWS.len() {
        assert!(ROWS[position].kind as usize == position + 1);
        position += 1;
    }
};

impl Kind {
    /// Every kind, in the order of their numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.kind)
    }

    /// The leading parts of the names of such objects (of the config: its name).
    pub fn namespace(self) -> &'static str {
        self.row().namespace
    }

    /// What the key derivation of such objects is told.
    pub fn context(self) -> &'static str {
        self.row().context
    }

    /// The key such objects are sealed with: none for key slots, and for segments,
    /// whose class decides.
    pub fn purpose(self) -> Option<Purpose> {
        self.row().purpose
    }

    /// The id of the object of this kind that drew `salt`.
    pub fn id(self, salt: &[u8; SALT_BYTES]) -> [u8; 16] {
        object_id(self as u8, salt)
    }

    fn row(self) -> &'static Row {
        &ROWS[self as usize - 1]
    }
}

impl From<Kind> for u8 {
    fn from(kind: Kind) -> Self {
        kind as Self
    }
}

impl TryFrom<u8> for Kind {
    type Error = Error;

    fn try_from(number: u8) -> Result<Self> {
        let kind = Self::all().find(|kind| *kind as u8 == number);
        kind.ok_or_else(|| Error::new(ErrorKind::Unsupported, "read kind of object").with("kind", number))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.context().trim_start_matches("gabion 1 "))
    }
}

/// The full name of an object: `namespace/id`, the id in hexadecimal; the config is just `config`.
///
/// (The names of index fragments also state their level; the index makes them.)
pub fn name_text(kind: Kind, id: &[u8; 16]) -> String {
    let mut name = kind.namespace().to_owned();
    if kind != Kind::Config {
        name.push('/');
        // writing to a string does not fail
        let _ = write_hex(&mut name, id);
    }
    name
}

/// The first 72 bytes of a sealed object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which family of objects it belongs to.
    pub magic: [u8; 4],
    /// The number of the object's kind, or of a segment's class.
    pub kind: u8,
    /// How it is sealed.
    pub suite: Suite,
    /// Bits whose meaning depends on the magic.
    pub flags: u8,
    /// Where name, key and nonces come from.
    pub salt: [u8; SALT_BYTES],
    /// Ties the object to its key; zero until [`Header::commit`].
    pub commitment: [u8; COMMITMENT_BYTES],
}

impl Header {
    /// A header that is not committed to a key yet.
    pub fn new(magic: [u8; 4], kind: u8, suite: Suite, flags: u8, salt: [u8; SALT_BYTES]) -> Self {
        Self { magic, kind, suite, flags, salt, commitment: [0; COMMITMENT_BYTES] }
    }

    /// Reads the header at the start of `bytes`.
    ///
    /// A version this program does not have is of kind [`ErrorKind::Unsupported`],
    /// anything else of kind [`ErrorKind::Damaged`]: a new suite comes with a
    /// feature flag of the repository, so an unknown one is damage. Kind and flags
    /// are the caller's to check.
    pub fn parse(bytes: &[u8], magic: [u8; 4]) -> Result<Self> {
        let mut cursor = Cursor::new(bytes);
        if cursor.array()? != magic {
            return Err(Error::damaged("read header", "magic"));
        }
        let (kind, version) = (cursor.u8()?, cursor.u8()?);
        if version != VERSION {
            return Err(Error::new(ErrorKind::Unsupported, "read header").with("version", version));
        }
        let suite = Suite::try_from(cursor.u8()?);
        let suite = suite.map_err(|error| Error::damaged("read header", "suite").because(error))?;
        Ok(Self { magic, kind, suite, flags: cursor.u8()?, salt: cursor.array()?, commitment: cursor.array()? })
    }

    /// The bytes before the commitment: what the key is derived from.
    pub fn keyed_bytes(&self) -> [u8; KEYED_HEADER_BYTES] {
        let mut bytes = [0; KEYED_HEADER_BYTES];
        bytes[..4].copy_from_slice(&self.magic);
        bytes[4..8].copy_from_slice(&[self.kind, VERSION, self.suite.into(), self.flags]);
        bytes[8..].copy_from_slice(&self.salt);
        bytes
    }

    /// All of the header.
    pub fn bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..KEYED_HEADER_BYTES].copy_from_slice(&self.keyed_bytes());
        bytes[KEYED_HEADER_BYTES..].copy_from_slice(&self.commitment);
        bytes
    }

    /// Derives the object's key and commits the header to it: for writers.
    pub fn commit(&mut self, context: &'static str, purpose_key: &Secret, repository: &RepositoryId) -> ObjectKey {
        let key = ObjectKey::derive(context, purpose_key, repository, &self.keyed_bytes());
        self.commitment = key.commitment;
        key
    }

    /// The object's key, if the header is committed to it: for readers, before
    /// anything is decrypted.
    pub fn committed_key(
        &self,
        context: &'static str,
        purpose_key: &Secret,
        repository: &RepositoryId,
    ) -> Option<ObjectKey> {
        let key = ObjectKey::derive(context, purpose_key, repository, &self.keyed_bytes());
        key.is_committed_by(&self.commitment).then_some(key)
    }

    /// What every tag of the object covers beside its own bytes: header 72 |
    /// repository id 16 | kind u8 | full name.
    pub fn additional_data(&self, repository: &RepositoryId, kind: Kind, name: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES + RepositoryId::BYTES + 1 + name.len());
        out.extend_from_slice(&self.bytes());
        out.extend_from_slice(repository.as_bytes());
        out.push(kind.into());
        out.extend_from_slice(name.as_bytes());
        out
    }
}

/// BLAKE3 of `bytes`, as the tail of an object states it of everything before.
pub fn tail_hash(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

/// Ends an object: hash of everything before, length of the whole.
pub fn append_tail(object: &mut Vec<u8>) {
    let hash = tail_hash(object);
    let length = (object.len() + TAIL_BYTES) as u64;
    object.extend_from_slice(&hash);
    object.extend_from_slice(&length.to_le_bytes());
}

/// The object without its tail, if the tail is right; kind [`ErrorKind::Damaged`] otherwise.
pub fn strip_tail(object: &[u8]) -> Result<&[u8]> {
    let wrong = |what: &str| Error::damaged("check object", what);
    let (rest, length) = object.split_last_chunk::<8>().ok_or_else(|| wrong("truncated"))?;
    let (rest, hash) = rest.split_last_chunk::<32>().ok_or_else(|| wrong("truncated"))?;
    if u64::from_le_bytes(*length) != object.len() as u64 {
        return Err(wrong("total length"));
    }
    if tail_hash(rest) != *hash {
        return Err(wrong("hash"));
    }
    Ok(rest)
}

/// Checks an object that ends in hash and length without any key: whether these
/// are the bytes that were written, not who wrote them.
pub fn verify_tail(object: &[u8]) -> Result<()> {
    strip_tail(object).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn header() -> Header {
        let mut header = Header::new(*b"GABS", 2, Suite::ChaCha20Poly1305, 0x81, [0x5a; 32]);
        header.commitment = [0xc0; 32];
        header
    }

    #[test]
    fn headers_go_both_ways_and_have_a_fixed_layout() {
        let bytes = header().bytes();
        assert_eq!(bytes[..8], *b"GABS\x02\x01\x02\x81");
        assert_eq!((&bytes[8..40], &bytes[40..]), (&[0x5a; 32][..], &[0xc0; 32][..]));
        assert_eq!(header().keyed_bytes(), bytes[..40]);
        assert_eq!(Header::parse(&bytes, *b"GABS").unwrap(), header());
    }

    #[test]
    fn foreign_headers_are_refused() {
        let bytes = header().bytes();
        let changed = |position: usize, byte| {
            let mut bytes = bytes;
            bytes[position] = byte;
            Header::parse(&bytes, *b"GABS").unwrap_err()
        };
        assert_eq!(Header::parse(&bytes, MAGIC).unwrap_err().context("reason"), Some("magic"));
        assert_eq!(changed(5, 2).kind(), ErrorKind::Unsupported);
        assert_eq!(changed(6, 3).kind(), ErrorKind::Damaged);
        for length in 0..HEADER_BYTES {
            assert_eq!(Header::parse(&bytes[..length], *b"GABS").unwrap_err().kind(), ErrorKind::Damaged);
        }
    }

    #[test]
    fn a_reader_gets_the_writers_key_or_none() {
        let (purpose_key, repository) = (Secret::from_bytes([1; 32]), RepositoryId::from_bytes([2; 16]));
        let mut header = header();
        let key = header.commit("gabion 1 segment", &purpose_key, &repository);
        let read = header.committed_key("gabion 1 segment", &purpose_key, &repository).unwrap();
        assert_eq!(read.key, key.key);
        assert!(header.committed_key("gabion 1 segment", &Secret::from_bytes([3; 32]), &repository).is_none());
        header.flags ^= 1;
        assert!(header.committed_key("gabion 1 segment", &purpose_key, &repository).is_none());
    }

    #[test]
    fn kinds_have_their_own_numbers_names_contexts_and_ids() {
        let kinds: Vec<Kind> = Kind::all().collect();
        assert_eq!(kinds.iter().map(|kind| kind.namespace()).collect::<BTreeSet<_>>().len(), kinds.len());
        assert_eq!(kinds.iter().map(|kind| kind.context()).collect::<BTreeSet<_>>().len(), kinds.len());
        assert_eq!(kinds.iter().map(|kind| kind.id(&[1; 32])).collect::<BTreeSet<_>>().len(), kinds.len());
        for kind in kinds {
            assert_eq!(Kind::try_from(u8::from(kind)).unwrap(), kind);
        }
        assert_eq!(Kind::try_from(0).unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(Kind::try_from(12).unwrap_err().kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn names_are_namespace_and_id() {
        assert_eq!(name_text(Kind::Doom, &[0xab; 16]), format!("gc/doom/{}", "ab".repeat(16)));
        assert_eq!(name_text(Kind::Config, &[0xab; 16]), "config");
        assert_eq!(Kind::KeySlot.to_string(), "key slot");
    }

    #[test]
    fn tails_find_every_flipped_bit_and_every_truncation() {
        let mut object = b"some content".to_vec();
        append_tail(&mut object);
        assert_eq!(strip_tail(&object).unwrap(), b"some content");
        for bit in 0..object.len() * 8 {
            let mut bad = object.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(verify_tail(&bad).unwrap_err().kind(), ErrorKind::Damaged, "bit {bit}");
        }
        for length in 0..object.len() {
            assert_eq!(verify_tail(&object[..length]).unwrap_err().kind(), ErrorKind::Damaged, "length {length}");
        }
    }
}

//! The byte layout of a segment, and the keys that follow from its header.
//!
//! ```text
//! header 72    magic "GABS" | class u8 | version u8 | suite u8 | flags u8 | salt 32 | key commitment 32
//! frames       ciphertext and tag each, nothing in the clear
//! directory    ciphertext and tag, under a key of its own that follows from the index key
//! padding      keystream up to a Padmé size of the whole object
//! trailer 64   directory commitment 32 | sealed (directory offset u64 | directory length u64) and tag 32
//! tail 40      BLAKE3 of everything before 32 | total length u64, as of every object
//! ```
//!
//! The salt is drawn when the content is complete. Frames are numbered from 0 and
//! sealed under the object key of the class; the directory is number 0 and the
//! trailer number 1 under the directory key. Both keys are committed to, and the
//! commitments are compared before anything is decrypted. The tail lets anyone
//! verify a segment without any key.

use subtle::ConstantTimeEq;

use super::{Class, HEADER_BYTES};
use crate::codec::{Cursor, padme};
use crate::crypto::aead::{Cipher, TAG_BYTES};
use crate::crypto::envelope::{Header, Kind, TAIL_BYTES, append_tail, name_text};
use crate::crypto::key::{ObjectKey, Purpose};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{SALT_BYTES, SegmentId};
use crate::limits::{SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};
use crate::seal::Sealer;

/// First bytes of a segment.
pub const MAGIC: [u8; 4] = *b"GABS";
/// Bytes of the trailer: a commitment, two sealed lengths, a tag.
const TRAILER_BYTES: usize = 32 + SEALED_LENGTHS_BYTES;
const SEALED_LENGTHS_BYTES: usize = 16 + TAG_BYTES;
/// Bytes behind the padding.
pub(super) const END_BYTES: usize = TRAILER_BYTES + TAIL_BYTES;

const DIRECTORY_CONTEXT: &str = "gabion 1 segment directory";
const DIRECTORY_NUMBER: u64 = 0;
const LENGTHS_NUMBER: u64 = 1;

fn context(class: Class) -> (&'static str, Purpose) {
    match class {
        Class::Data => ("gabion 1 segment data", Purpose::Data),
        Class::Tree => ("gabion 1 segment tree", Purpose::Tree),
    }
}

/// What opens and seals the parts of one segment.
pub(super) struct SegmentKeys {
    pub id: SegmentId,
    pub class: Class,
    frames: Cipher,
    directory: ObjectKey,
    directory_cipher: Cipher,
    associated: Vec<u8>,
}

impl SegmentKeys {
    /// Derives the keys of a new segment, and its header.
    pub fn draw(sealer: &Sealer<'_>, class: Class, salt: [u8; SALT_BYTES]) -> Result<(Self, [u8; HEADER_BYTES])> {
        let mut header = Header::new(MAGIC, class.into(), sealer.suite(), 0, salt);
        let (context, purpose) = context(class);
        let key = header.commit(context, sealer.keyring().get(purpose)?, sealer.repository());
        Ok((Self::new(sealer, &header, class, &key)?, header.bytes()))
    }

    /// Derives the keys of a stored segment; refuses a header that belongs to another name or keyring.
    pub fn of_stored(sealer: &Sealer<'_>, id: &SegmentId, header: &[u8; HEADER_BYTES]) -> Result<Self> {
        let header = Header::parse(header, MAGIC)?;
        let class = Class::try_from(header.kind).map_err(|what| Error::damaged("open segment", what))?;
        if header.flags != 0 {
            return Err(Error::new(ErrorKind::Unsupported, "open segment").with("flags", header.flags));
        }
        if SegmentId::from_bytes(Kind::Segment.id(&header.salt)) != *id {
            return Err(Error::damaged("open segment", "salt does not give this name"));
        }
        let (context, purpose) = context(class);
        let key = header.committed_key(context, sealer.keyring().get(purpose)?, sealer.repository());
        let key = key.ok_or_else(|| Error::damaged("open segment", "sealed with another key"))?;
        Self::new(sealer, &header, class, &key)
    }

    fn new(sealer: &Sealer<'_>, header: &Header, class: Class, key: &ObjectKey) -> Result<Self> {
        let index_key = sealer.keyring().get(Purpose::Index)?;
        let directory = ObjectKey::derive(DIRECTORY_CONTEXT, index_key, sealer.repository(), &header.keyed_bytes());
        let id = Kind::Segment.id(&header.salt);
        Ok(Self {
            id: SegmentId::from_bytes(id),
            class,
            frames: key.cipher(header.suite),
            directory_cipher: directory.cipher(header.suite),
            directory,
            associated: header.additional_data(sealer.repository(), Kind::Segment, &name_text(Kind::Segment, &id)),
        })
    }

    /// Seals frame `number` in place.
    pub fn seal_frame(&self, number: usize, frame: &mut [u8]) -> Result<[u8; TAG_BYTES]> {
        self.frames.seal(number as u64, &self.associated, frame)
    }

    /// Opens `stored` (ciphertext and tag) in place and cuts off the tag.
    pub fn open_frame(&self, number: u32, stored: &mut Vec<u8>) -> Result<()> {
        open_in_place(&self.frames, u64::from(number), &self.associated, stored)
    }

    /// Appends the sealed directory, padding, trailer and tail; `bytes` is then complete.
    pub fn close(&self, bytes: &mut Vec<u8>, directory: &[u8]) -> Result<()> {
        let offset = bytes.len();
        bytes.extend_from_slice(directory);
        let tag = self.directory_cipher.seal(DIRECTORY_NUMBER, &self.associated, &mut bytes[offset..])?;
        bytes.extend_from_slice(&tag);
        let length = bytes.len() - offset;

        let start = bytes.len();
        bytes.resize(padme((start + END_BYTES) as u64) as usize - END_BYTES, 0);
        let padding_key = blake3::derive_key("gabion 1 padding", self.directory.key.expose());
        blake3::Hasher::new_keyed(&padding_key).finalize_xof().fill(&mut bytes[start..]);

        let mut lengths = [0; 16];
        lengths[..8].copy_from_slice(&(offset as u64).to_le_bytes());
        lengths[8..].copy_from_slice(&(length as u64).to_le_bytes());
        let tag = self.directory_cipher.seal(LENGTHS_NUMBER, &self.associated, &mut lengths)?;
        bytes.extend_from_slice(&self.directory.commitment);
        bytes.extend_from_slice(&lengths);
        bytes.extend_from_slice(&tag);
        append_tail(bytes);
        Ok(())
    }

    /// Where the sealed directory lies in a segment of `total` bytes, from its trailer.
    pub fn open_trailer(&self, end: &End, total: u64) -> Result<std::ops::Range<usize>> {
        if !bool::from(self.directory.commitment.ct_eq(&end.directory_commitment)) {
            return Err(Error::damaged("open segment", "directory sealed with another key"));
        }
        let mut lengths = end.sealed_lengths.to_vec();
        open_in_place(&self.directory_cipher, LENGTHS_NUMBER, &self.associated, &mut lengths)?;
        let mut cursor = Cursor::new(&lengths);
        let (offset, length) = (cursor.u64()?, cursor.u64()?);
        let end = offset.checked_add(length).filter(|end| *end <= total.saturating_sub(END_BYTES as u64));
        match end {
            Some(end) if offset >= HEADER_BYTES as u64 && length >= TAG_BYTES as u64 => {
                Ok(offset as usize..end as usize)
            }
            _ => Err(Error::damaged("open segment", "directory lies outside the segment")),
        }
    }

    /// Opens the sealed directory in place and cuts off the tag.
    pub fn open_directory(&self, stored: &mut Vec<u8>) -> Result<()> {
        open_in_place(&self.directory_cipher, DIRECTORY_NUMBER, &self.associated, stored)
    }
}

fn open_in_place(cipher: &Cipher, number: u64, associated: &[u8], stored: &mut Vec<u8>) -> Result<()> {
    let Some(length) = stored.len().checked_sub(TAG_BYTES) else {
        return Err(Error::damaged("open segment", "a part is shorter than its tag"));
    };
    let (text, tag) = stored.split_at_mut(length);
    cipher.open(number, associated, text, tag)?;
    stored.truncate(length);
    Ok(())
}

/// The last bytes of a segment, taken apart.
pub(super) struct End {
    directory_commitment: [u8; 32],
    sealed_lengths: [u8; SEALED_LENGTHS_BYTES],
    /// The BLAKE3 hash of everything before it.
    pub content_hash: [u8; 32],
}

impl End {
    /// Takes apart the last [`END_BYTES`] of a segment of `total` bytes. The hash is not checked here.
    pub fn parse(end: &[u8], total: u64) -> Result<Self> {
        if !(SEGMENT_BYTES_MIN as u64..=SEGMENT_BYTES_MAX as u64).contains(&total) {
            return Err(Error::damaged("open segment", "length no segment has").with("bytes", total));
        }
        let mut cursor = Cursor::new(end);
        let parsed = Self {
            directory_commitment: cursor.array()?,
            sealed_lengths: cursor.array()?,
            content_hash: cursor.array()?,
        };
        let stated = cursor.u64()?;
        cursor.finish()?;
        if stated != total {
            return Err(Error::damaged("open segment", "length differs from what the tail states"));
        }
        Ok(parsed)
    }
}

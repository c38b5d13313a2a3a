//! The envelope: the only constructor of sealed records, and their only reader.
//!
//! Header 72 ([`Header`], flag bit 0 = zstd inside) | ciphertext | tag 16 | BLAKE3 of
//! everything before 32 | length of the whole object u64. The plaintext is body length
//! u32 | raw length u32 | body | zeros, as many as give the object a Padmé size; raw
//! length is that of the decompressed body. One draw per object makes its name, its
//! key and its nonce, so they repeat together or not at all. Whatever is sealed is
//! opened again and compared before anybody gets it.

use std::fmt;

use crate::codec::{Cursor, padme};
use crate::crypto::aead::{Suite, TAG_BYTES};
use crate::crypto::key::{Keyring, ObjectKey};
use crate::crypto::random;
use crate::crypto::secret::Secret;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{RepositoryId, SALT_BYTES};

pub use crate::crypto::envelope::{
    HEADER_BYTES, Header, Kind, MAGIC, TAIL_BYTES, VERSION, append_tail, name_text, strip_tail, tail_hash, verify_tail,
};

/// The header's flag of a compressed body.
const FLAG_ZSTD: u8 = 1;
/// The level all records are compressed with: they are small and kept for long.
const ZSTD_LEVEL: i32 = 3;
/// Bytes before the body in the plaintext.
const LENGTHS_BYTES: usize = 8;
/// Bytes of an object beside its body and padding.
const OVERHEAD_BYTES: usize = HEADER_BYTES + LENGTHS_BYTES + TAG_BYTES + TAIL_BYTES;
/// There is one sealed part in an envelope.
const NUMBER: u64 = 0;

/// Seals and opens the records of one repository.
#[derive(Clone, Copy)]
pub struct Sealer<'a> {
    keyring: &'a Keyring,
    repository: RepositoryId,
    suite: Suite,
}

/// A sealed object and the id its name ends with.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Derived from the object's salt.
    pub id: [u8; 16],
    /// All of the object.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Sealer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("repository", &self.repository).field("suite", &self.suite).finish()
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.bytes.len())
    }
}

impl<'a> Sealer<'a> {
    /// A sealer that writes with `suite`; it reads all of them.
    pub fn new(keyring: &'a Keyring, repository: RepositoryId, suite: Suite) -> Self {
        Self { keyring, repository, suite }
    }

    /// The repository whose records these are.
    pub fn repository(&self) -> &RepositoryId {
        &self.repository
    }

    /// The keys it has: for objects with a layout of their own.
    pub fn keyring(&self) -> &'a Keyring {
        self.keyring
    }

    /// The suite it writes with.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Seals `plain` as a new object of `kind`.
    ///
    /// Kinds of errors: [`ErrorKind::KeyNotFound`] if this role may not write such
    /// objects, [`ErrorKind::InvalidInput`] for kinds that have a layout of their own,
    /// [`ErrorKind::LimitExceeded`] above 4 GiB, [`ErrorKind::System`] without
    /// randomness, [`ErrorKind::Damaged`] if the object does not open again.
    pub fn seal(&self, kind: Kind, plain: &[u8]) -> Result<Sealed> {
        self.seal_with_salt(kind, plain, random::salt()?)
    }

    /// As [`Sealer::seal`] with a given draw: golden bytes need one, nobody else does.
    pub(crate) fn seal_with_salt(&self, kind: Kind, plain: &[u8], salt: [u8; SALT_BYTES]) -> Result<Sealed> {
        let raw_length = length(plain.len())?;
        let packed = compress(plain)?;
        let (flags, body) = packed.as_deref().map_or((0, plain), |packed| (FLAG_ZSTD, packed));
        let mut header = Header::new(MAGIC, kind.into(), self.suite, flags, salt);
        let key = self.key(kind, |context, purpose_key| Some(header.commit(context, purpose_key, &self.repository)))?;

        let total = object_bytes(body.len())?;
        let mut bytes = Vec::with_capacity(total);
        bytes.extend_from_slice(&header.bytes());
        bytes.extend_from_slice(&length(body.len())?.to_le_bytes());
        bytes.extend_from_slice(&raw_length.to_le_bytes());
        bytes.extend_from_slice(body);
        bytes.resize(total - TAG_BYTES - TAIL_BYTES, 0);
        let id = kind.id(&salt);
        let aad = header.additional_data(&self.repository, kind, &name_text(kind, &id));
        let tag = key.cipher(self.suite).seal(NUMBER, &aad, &mut bytes[HEADER_BYTES..])?;
        bytes.extend_from_slice(&tag);
        append_tail(&mut bytes);

        // bad memory and broken compressors end here, not in the store
        if self.open(kind, &id, &bytes, plain.len())? != plain {
            return Err(Error::damaged("seal object", "it opens to other bytes").with("kind", kind));
        }
        Ok(Sealed { id, bytes })
    }

    /// Opens the object of `kind` that was read under the name with `id`; its record
    /// may have `limit` bytes.
    ///
    /// An unknown version is of kind [`ErrorKind::Unsupported`], a missing key of kind
    /// [`ErrorKind::KeyNotFound`], everything else that is wrong with the object of kind
    /// [`ErrorKind::Damaged`] with the check that failed as fact `reason`; an object
    /// of another keyring or repository has the reason `sealed with another key`.
    pub fn open(&self, kind: Kind, id: &[u8; 16], bytes: &[u8], limit: usize) -> Result<Vec<u8>> {
        self.open_checked(kind, id, bytes, limit).map_err(|error| error.with("object", name_text(kind, id)))
    }

    fn open_checked(&self, kind: Kind, id: &[u8; 16], bytes: &[u8], limit: usize) -> Result<Vec<u8>> {
        if bytes.len() < OVERHEAD_BYTES {
            return Err(wrong("truncated"));
        }
        if object_bytes(limit).is_ok_and(|most| bytes.len() > most) {
            return Err(wrong("longer than such a record may be"));
        }
        let content = strip_tail(bytes)?;
        let header = Header::parse(content, MAGIC)?;
        let flags_known = header.flags & !FLAG_ZSTD == 0;
        for (right, what) in [
            (header.kind == u8::from(kind), "kind"),
            (flags_known, "flags"),
            (kind.id(&header.salt) == *id, "salt does not give this name"),
        ] {
            if !right {
                return Err(wrong(what));
            }
        }
        let key =
            self.key(kind, |context, purpose_key| header.committed_key(context, purpose_key, &self.repository))?;
        let sealed = content.get(HEADER_BYTES..).unwrap_or_default();
        let (sealed, tag) = sealed.split_last_chunk::<TAG_BYTES>().ok_or_else(|| wrong("truncated"))?;
        let mut plain = sealed.to_vec();
        let aad = header.additional_data(&self.repository, kind, &name_text(kind, id));
        key.cipher(header.suite).open(NUMBER, &aad, &mut plain, tag)?;
        unpack(&plain, header.flags & FLAG_ZSTD != 0, bytes.len(), limit)
    }

    /// The key of an object of `kind`, which `derive` makes from context and purpose key.
    fn key(&self, kind: Kind, derive: impl FnOnce(&'static str, &Secret) -> Option<ObjectKey>) -> Result<ObjectKey> {
        let purpose = match kind {
            Kind::Index => None,
            other => other.purpose(),
        };
        let purpose = purpose.ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, "use envelope").with("reason", "this kind has its own layout")
        })?;
        let purpose_key = self.keyring.get(purpose)?;
        derive(kind.context(), purpose_key).ok_or_else(|| wrong("sealed with another key"))
    }
}

fn wrong(what: &str) -> Error {
    Error::damaged("open object", what)
}

fn length(bytes: usize) -> Result<u32> {
    u32::try_from(bytes).map_err(|_| Error::new(ErrorKind::LimitExceeded, "seal object").with("bytes", bytes))
}

/// Bytes of an object whose body has `body` bytes.
fn object_bytes(body: usize) -> Result<usize> {
    let total = padme((body as u64).saturating_add(OVERHEAD_BYTES as u64));
    usize::try_from(total).map_err(|_| Error::new(ErrorKind::LimitExceeded, "seal object").with("bytes", body))
}

/// `plain` compressed, if that makes it shorter.
fn compress(plain: &[u8]) -> Result<Option<Vec<u8>>> {
    let packed = zstd::bulk::compress(plain, ZSTD_LEVEL)
        .map_err(|error| Error::new(ErrorKind::System, "compress record").because(error))?;
    Ok((packed.len() < plain.len()).then_some(packed))
}

/// The record in the plaintext of an object of `total` bytes.
fn unpack(plain: &[u8], compressed: bool, total: usize, limit: usize) -> Result<Vec<u8>> {
    let mut cursor = Cursor::new(plain);
    let (body_length, raw_length) = (cursor.u32()? as usize, cursor.u32()? as usize);
    let fits = if compressed { raw_length > body_length } else { raw_length == body_length };
    if !fits || object_bytes(body_length)? != total {
        return Err(wrong("lengths"));
    }
    if raw_length > limit {
        return Err(wrong("longer than such a record may be"));
    }
    let body = cursor.take(body_length)?;
    if cursor.take(cursor.remaining())?.iter().any(|byte| *byte != 0) {
        return Err(wrong("padding"));
    }
    if !compressed {
        return Ok(body.to_vec());
    }
    let mut raw = vec![0; raw_length];
    let written =
        zstd::bulk::decompress_to_buffer(body, &mut raw).map_err(|error| wrong("compressed body").because(error))?;
    if written != raw_length {
        return Err(wrong("compressed body"));
    }
    Ok(raw)
}

#[cfg(test)]
mod tests;

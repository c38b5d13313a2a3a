//! Key slots: a keyring under a passphrase, as an object of the store.
//!
//! Header 72 | length of the parameters u16 | parameters (a record) | wrapped keyring |
//! tag 16 | BLAKE3 of everything before 32 | length of the whole object u64. The key is
//! derived from the passphrase with the salt of the header; the tag covers header,
//! repository id, kind, name and parameters. The commitment is checked first, so a
//! wrong passphrase is told apart from damage.
//!
//! A repository without encryption has a plain slot: the same bytes, sealed with suite
//! `none` and a key everybody knows. It protects against accidents only. Whoever can
//! write to the store can put one there, so a caller who expects a passphrase must not
//! accept it silently.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::aead::{Suite, TAG_BYTES};
use super::envelope::{HEADER_BYTES, Header, Kind, MAGIC, append_tail, name_text, strip_tail};
use super::kdf::KdfParams;
use super::key::Keyring;
use super::random;
use super::secret::{Passphrase, Secret};
use crate::clock::Timestamp;
use crate::codec::{self, Cursor, Extensions};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{KeyId, RepositoryId, SALT_BYTES};
use crate::limits::KEY_SLOT_BYTES_MAX;

/// Bytes of the longest label.
pub const LABEL_BYTES_MAX: usize = 200;
/// The one thing sealed with the key of a slot.
const NUMBER: u64 = 0;
/// What plain slots are sealed with: public, like the slot.
const PLAIN_KEY: [u8; Secret::BYTES] = *b"gabion 1 plain key slot is open!";

/// What keeps others from opening a new slot.
#[derive(Clone, Copy, Debug)]
pub enum Protection<'a> {
    /// Only who knows the passphrase opens it.
    Passphrase {
        /// The passphrase.
        passphrase: &'a Passphrase,
        /// What each guess costs.
        kdf: &'a KdfParams,
    },
    /// Nothing: everybody opens it.
    Plain,
}

/// A slot as read from the store, still closed.
#[derive(Clone)]
pub struct KeySlot {
    id: KeyId,
    header: Header,
    parameters: Parameters,
    kdf: Option<KdfParams>,
    /// Parameters in their stored form, with their length: what the tag covers.
    covered: Vec<u8>,
    /// Wrapped keyring and tag.
    wrapped: Vec<u8>,
}

/// The record in front of the wrapped keyring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Parameters {
    /// Function and costs: 0 none; 1 argon2id, memory in KiB, passes, lanes; 2 PBKDF2, iterations.
    kdf: (u8, u32, u32, u32),
    label: String,
    created: Timestamp,
    /// 0 passphrase, 1 plain.
    protection: u8,
    extensions: Extensions,
}

const PROTECTED: u8 = 0;
const PLAIN: u8 = 1;

impl KeySlot {
    /// Wraps `keyring` in a new slot and returns its id and bytes.
    ///
    /// A slot with a passphrase is always encrypted: with `suite`, or with the fastest
    /// one if that is `none`. The slot has been opened again from its bytes. Kinds of
    /// errors: [`ErrorKind::InvalidInput`] for a label above [`LABEL_BYTES_MAX`] bytes
    /// or costs below the default, [`ErrorKind::LimitExceeded`] for costs above the
    /// limits, [`ErrorKind::System`] without memory or randomness.
    pub fn seal(
        keyring: &Keyring,
        repository: &RepositoryId,
        protection: Protection<'_>,
        label: &str,
        created: Timestamp,
        suite: Suite,
    ) -> Result<(KeyId, Vec<u8>)> {
        Self::seal_with_salt(keyring, repository, protection, label, created, suite, random::salt()?)
    }

    /// As [`KeySlot::seal`] with a given draw: golden bytes need one, nobody else does.
    pub(crate) fn seal_with_salt(
        keyring: &Keyring,
        repository: &RepositoryId,
        protection: Protection<'_>,
        label: &str,
        created: Timestamp,
        suite: Suite,
        salt: [u8; SALT_BYTES],
    ) -> Result<(KeyId, Vec<u8>)> {
        if label.len() > LABEL_BYTES_MAX {
            return Err(Error::new(ErrorKind::InvalidInput, "seal key slot").with("bytes of label", label.len()));
        }
        let (suite, kdf, passphrase) = match protection {
            Protection::Plain => (Suite::None, None, None),
            Protection::Passphrase { passphrase, kdf } => {
                kdf.check_strength()?;
                (if suite.encrypts() { suite } else { Suite::fastest() }, Some(*kdf), Some(passphrase))
            }
        };
        let parameters = Parameters {
            kdf: stored_kdf(kdf),
            label: label.to_owned(),
            created,
            protection: if kdf.is_some() { PROTECTED } else { PLAIN },
            extensions: Extensions::none(),
        };
        let id = KeyId::from_bytes(Kind::KeySlot.id(&salt));
        let mut slot = Self {
            id,
            header: Header::new(MAGIC, Kind::KeySlot.into(), suite, 0, salt),
            covered: covered(&parameters)?,
            parameters,
            kdf,
            wrapped: Vec::new(),
        };
        slot.wrap(keyring, passphrase, repository)?;
        let bytes = slot.encode();

        // bad memory ends here: a key that does not open is a repository lost
        if Self::parse(&bytes, &id)?.open(passphrase, repository)? != *keyring {
            return Err(Error::damaged("seal key slot", "it opens to other keys"));
        }
        Ok((id, bytes))
    }

    /// Reads a slot stored under the name with `id`, as far as that needs no key.
    ///
    /// Kinds of errors: [`ErrorKind::Unsupported`] for what a later version may have
    /// written, [`ErrorKind::LimitExceeded`] for costs above the limits,
    /// [`ErrorKind::Damaged`] for everything else.
    pub fn parse(bytes: &[u8], id: &KeyId) -> Result<Self> {
        Self::parse_checked(bytes, id).map_err(|error| error.with("object", name_text(Kind::KeySlot, id.as_bytes())))
    }

    fn parse_checked(bytes: &[u8], id: &KeyId) -> Result<Self> {
        if bytes.len() > KEY_SLOT_BYTES_MAX {
            return Err(wrong("longer than a key slot may be"));
        }
        let content = strip_tail(bytes)?;
        let header = Header::parse(content, MAGIC)?;
        for (right, what) in [
            (header.kind == u8::from(Kind::KeySlot), "kind"),
            (header.flags == 0, "flags"),
            (Kind::KeySlot.id(&header.salt) == *id.as_bytes(), "salt does not give this name"),
        ] {
            if !right {
                return Err(wrong(what));
            }
        }
        let rest = content.get(HEADER_BYTES..).unwrap_or_default();
        let mut cursor = Cursor::new(rest);
        let length = usize::from(cursor.u16()?);
        let parameters: Parameters = codec::decode(cursor.take(length)?, KEY_SLOT_BYTES_MAX)?;
        let kdf = parameters.check(header.suite)?;
        let wrapped = cursor.take(cursor.remaining())?;
        if !(TAG_BYTES..=TAG_BYTES + Keyring::BYTES_MAX).contains(&wrapped.len()) {
            return Err(wrong("length of the keyring"));
        }
        let covered = covered(&parameters)?;
        Ok(Self { id: *id, header, covered, parameters, kdf, wrapped: wrapped.to_vec() })
    }

    /// Opens the slot; `passphrase` is not looked at if it is plain.
    ///
    /// Kinds of errors: [`ErrorKind::PassphraseWrong`], also if there is none or the slot
    /// is of another repository; [`ErrorKind::Damaged`]; [`ErrorKind::System`] if there is
    /// not enough memory.
    pub fn open(&self, passphrase: Option<&Passphrase>, repository: &RepositoryId) -> Result<Keyring> {
        self.unwrap_keyring(passphrase, repository).map_err(|error| error.with("object", self.name()))
    }

    /// Names the slot.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// What its owner calls it.
    pub fn label(&self) -> &str {
        &self.parameters.label
    }

    /// When it was made, by the clock of who made it.
    pub fn created(&self) -> Timestamp {
        self.parameters.created
    }

    /// What a guess of the passphrase costs; nothing for a plain slot.
    pub fn kdf(&self) -> Option<&KdfParams> {
        self.kdf.as_ref()
    }

    /// Whether it opens without a passphrase.
    pub fn is_plain(&self) -> bool {
        self.kdf.is_none()
    }

    /// How the keyring is sealed.
    pub fn suite(&self) -> Suite {
        self.header.suite
    }

    fn name(&self) -> String {
        name_text(Kind::KeySlot, self.id.as_bytes())
    }

    /// The key the keyring is wrapped with.
    fn wrapping_key(&self, passphrase: Option<&Passphrase>) -> Result<Secret> {
        match (&self.kdf, passphrase) {
            (None, _) => Ok(Secret::from_bytes(PLAIN_KEY)),
            (Some(kdf), Some(passphrase)) => kdf.derive(passphrase, &self.header.salt),
            (Some(_), None) => {
                Err(Error::new(ErrorKind::PassphraseWrong, "open key slot").with("reason", "none was given"))
            }
        }
    }

    /// What the tag covers beside the keyring.
    fn additional_data(&self, repository: &RepositoryId) -> Vec<u8> {
        let mut aad = self.header.additional_data(repository, Kind::KeySlot, &self.name());
        aad.extend_from_slice(&self.covered);
        aad
    }

    fn wrap(&mut self, keyring: &Keyring, passphrase: Option<&Passphrase>, repository: &RepositoryId) -> Result<()> {
        let wrapping_key = self.wrapping_key(passphrase)?;
        let key = self.header.commit(Kind::KeySlot.context(), &wrapping_key, repository);
        let mut keys = keyring.encode();
        let tag = key.cipher(self.header.suite).seal(NUMBER, &self.additional_data(repository), &mut keys)?;
        self.wrapped.extend_from_slice(&keys);
        self.wrapped.extend_from_slice(&tag);
        Ok(())
    }

    fn unwrap_keyring(&self, passphrase: Option<&Passphrase>, repository: &RepositoryId) -> Result<Keyring> {
        let wrapping_key = self.wrapping_key(passphrase)?;
        let key = self.header.committed_key(Kind::KeySlot.context(), &wrapping_key, repository);
        let key = key.ok_or_else(|| {
            if self.is_plain() {
                wrong("sealed with another key")
            } else {
                Error::new(ErrorKind::PassphraseWrong, "open key slot")
            }
        })?;
        let (keys, tag) = self.wrapped.split_last_chunk::<TAG_BYTES>().ok_or_else(|| wrong("truncated"))?;
        let mut keys = Zeroizing::new(keys.to_vec());
        key.cipher(self.header.suite).open(NUMBER, &self.additional_data(repository), &mut keys, tag)?;
        Keyring::decode(&keys)
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = self.header.bytes().to_vec();
        bytes.extend_from_slice(&self.covered);
        bytes.extend_from_slice(&self.wrapped);
        append_tail(&mut bytes);
        bytes
    }
}

impl fmt::Debug for KeySlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySlot").field("id", &self.id).field("parameters", &self.parameters).finish_non_exhaustive()
    }
}

impl Parameters {
    /// Refuses what does not fit together; returns the derivation, if a passphrase opens the slot.
    fn check(&self, suite: Suite) -> Result<Option<KdfParams>> {
        self.extensions.check_critical()?;
        if self.label.len() > LABEL_BYTES_MAX {
            return Err(wrong("length of the label"));
        }
        self.created.check().map_err(wrong)?;
        let kdf = match self.kdf {
            (0, 0, 0, 0) => None,
            (1, memory_kib, passes, lanes) => Some(KdfParams::Argon2id { memory_kib, passes, lanes }),
            (2, iterations, 0, 0) => Some(KdfParams::Pbkdf2HmacSha256 { iterations }),
            (0 | 2, ..) => return Err(wrong("costs")),
            (number, ..) => {
                return Err(Error::new(ErrorKind::Unsupported, "open key slot").with("key derivation", number));
            }
        };
        kdf.map_or(Ok(()), |kdf| kdf.check_limits())?;
        match (self.protection, kdf.is_some(), suite.encrypts()) {
            (PROTECTED, true, true) | (PLAIN, false, false) => Ok(kdf),
            (PROTECTED | PLAIN, ..) => Err(wrong("protection")),
            (number, ..) => Err(Error::new(ErrorKind::Unsupported, "open key slot").with("protection", number)),
        }
    }
}

fn stored_kdf(kdf: Option<KdfParams>) -> (u8, u32, u32, u32) {
    match kdf {
        None => (0, 0, 0, 0),
        Some(KdfParams::Argon2id { memory_kib, passes, lanes }) => (1, memory_kib, passes, lanes),
        Some(KdfParams::Pbkdf2HmacSha256 { iterations }) => (2, iterations, 0, 0),
    }
}

/// Length u16 and bytes of the parameters.
fn covered(parameters: &Parameters) -> Result<Vec<u8>> {
    let record = codec::encode(parameters, KEY_SLOT_BYTES_MAX)?;
    let mut out = Vec::with_capacity(2 + record.len());
    // the limit fits into two bytes
    out.extend_from_slice(&(record.len() as u16).to_le_bytes());
    out.extend_from_slice(&record);
    Ok(out)
}

const _: () = assert!(KEY_SLOT_BYTES_MAX <= u16::MAX as usize);

fn wrong(what: &str) -> Error {
    Error::damaged("open key slot", what)
}

#[cfg(test)]
mod tests;

//! Keys of Borg 1, and what is sealed with them.
//!
//! The first byte of every object is its type, that of the manifest tells how the repository is sealed. An encrypted
//! object is `type | MAC 32 | nonce 8 | ciphertext`: AES-256-CTR, the MAC over nonce and ciphertext.

use std::fmt;

use aes_gcm::aes::Aes256;
use aes_gcm::aes::cipher::{KeyIvInit, StreamCipher};
use base64::Engine;
use blake2::{Blake2b, Digest, digest::consts::U32};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::record::Map;
use super::{Borg1Id, Config, damaged, hex};
use crate::crypto::secret::Passphrase;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::KDF_ITERATIONS_MAX;

type Aes256Ctr = ctr::Ctr128BE<Aes256>;

/// Bytes of the text of a key file.
const KEY_FILE_BYTES_MAX: usize = 64 << 10;
/// Iterations of a key that is made of nothing but a passphrase.
const PASSPHRASE_ITERATIONS: u32 = 100_000;

/// Asks for the passphrase of the repository with this hexadecimal id.
pub type AskSecret<'a> = dyn Fn(&str) -> Result<Passphrase> + 'a;

/// What opens a repository.
pub struct Unlock<'a> {
    /// Texts of key files; the one of this repository is taken.
    pub key_files: Vec<String>,
    /// Called if a passphrase is needed.
    pub passphrase: &'a AskSecret<'a>,
}

impl fmt::Debug for Unlock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unlock")
    }
}

/// How one type of repository is sealed.
struct Kind {
    types: &'static [u8],
    mode: &'static str,
    hash: Hash,
    encrypted: bool,
    storage: Storage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    /// SHA-256 without a key.
    Plain,
    /// HMAC-SHA256.
    Hmac,
    /// BLAKE2b-256 over key and data.
    Blake2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Storage {
    None,
    Passphrase,
    File,
    Repository,
}

/// By the type of the manifest. A repository that once had the type "passphrase" (1) may hold objects of that type.
const KINDS: [Kind; 8] = [
    Kind { types: &[0], mode: "keyfile", hash: Hash::Hmac, encrypted: true, storage: Storage::File },
    Kind { types: &[1], mode: "passphrase", hash: Hash::Hmac, encrypted: true, storage: Storage::Passphrase },
    Kind { types: &[2], mode: "none", hash: Hash::Plain, encrypted: false, storage: Storage::None },
    Kind { types: &[3, 1], mode: "repokey", hash: Hash::Hmac, encrypted: true, storage: Storage::Repository },
    Kind { types: &[4], mode: "keyfile-blake2", hash: Hash::Blake2, encrypted: true, storage: Storage::File },
    Kind { types: &[5], mode: "repokey-blake2", hash: Hash::Blake2, encrypted: true, storage: Storage::Repository },
    Kind {
        types: &[6],
        mode: "authenticated-blake2",
        hash: Hash::Blake2,
        encrypted: false,
        storage: Storage::Repository,
    },
    Kind { types: &[7], mode: "authenticated", hash: Hash::Hmac, encrypted: false, storage: Storage::Repository },
];

/// An open key.
pub(super) struct Key {
    kind: &'static Kind,
    encryption: Zeroizing<Vec<u8>>,
    authentication: Zeroizing<Vec<u8>>,
    id: Zeroizing<Vec<u8>>,
    tam_required: bool,
}

impl Key {
    /// Opens the key of a repository whose manifest has this type.
    pub fn open(manifest_type: Option<u8>, config: &Config, unlock: &Unlock<'_>) -> Result<Self> {
        let kind = KINDS.iter().find(|kind| kind.types.first().copied() == manifest_type).ok_or_else(|| {
            let found = manifest_type.map_or("none".to_owned(), |found| found.to_string());
            Error::new(ErrorKind::Unsupported, "open Borg key").with("key type", found)
        })?;
        match kind.storage {
            Storage::None => Ok(Self::without_keys(kind)),
            Storage::Passphrase => Self::from_passphrase(kind, config, unlock),
            Storage::File => Self::from_blob(kind, key_file(config, unlock)?, config, unlock),
            Storage::Repository => {
                let blob = config.key.as_deref().filter(|key| !key.is_empty()).ok_or_else(|| {
                    Error::new(ErrorKind::KeyNotFound, "open Borg key").with("reason", "config has no key")
                })?;
                Self::from_blob(kind, blob, config, unlock)
            }
        }
    }

    fn without_keys(kind: &'static Kind) -> Self {
        let none = || Zeroizing::new(Vec::new());
        Self { kind, encryption: none(), authentication: none(), id: none(), tam_required: false }
    }

    fn from_passphrase(kind: &'static Kind, config: &Config, unlock: &Unlock<'_>) -> Result<Self> {
        let passphrase = (unlock.passphrase)(&hex(&config.id))?;
        let mut derived = Zeroizing::new([0; 100]);
        pbkdf2::pbkdf2_hmac::<Sha256>(passphrase.expose(), &config.id, PASSPHRASE_ITERATIONS, &mut *derived);
        let part = |from: usize| Zeroizing::new(derived[from..from + 32].to_vec());
        Ok(Self { kind, encryption: part(0), authentication: part(32), id: part(64), tam_required: false })
    }

    fn from_blob(kind: &'static Kind, blob: &str, config: &Config, unlock: &Unlock<'_>) -> Result<Self> {
        let invalid = |why| Error::new(ErrorKind::KeyInvalid, "open Borg key").with("reason", why);
        let digits: String = blob.split_ascii_whitespace().collect();
        let bytes = base64::engine::general_purpose::STANDARD.decode(digits);
        let outer = Map::whole(&bytes.map_err(|_| invalid("no base64"))?)?;
        if outer.uint("version") != Some(1) || outer.bytes("algorithm") != Some(b"sha256") {
            return Err(Error::new(ErrorKind::Unsupported, "open Borg key").with("reason", "unknown kind of key"));
        }
        let field = |name| outer.bytes(name).ok_or_else(|| invalid("a field is missing"));
        let (salt, hash, sealed) = (field("salt")?, field("hash")?, field("data")?);
        let iterations = outer.uint("iterations").and_then(|count| u32::try_from(count).ok());
        let iterations = iterations.filter(|count| (1..=KDF_ITERATIONS_MAX).contains(count));
        let iterations = iterations.ok_or_else(|| invalid("absurd number of iterations"))?;

        let passphrase = (unlock.passphrase)(&hex(&config.id))?;
        let mut kek = Zeroizing::new([0; 32]);
        pbkdf2::pbkdf2_hmac::<Sha256>(passphrase.expose(), salt, iterations, &mut *kek);
        let plain = Zeroizing::new(decrypt(&kek[..], [0; 16], sealed)?);
        if !bool::from(hmac_sha256(&kek[..], &[&plain])?.ct_eq(hash)) {
            return Err(Error::new(ErrorKind::PassphraseWrong, "open Borg key"));
        }
        let inner = Map::whole(&plain)?;
        let secret =
            |name| Ok(Zeroizing::new(inner.bytes(name).ok_or_else(|| invalid("a field is missing"))?.to_vec()));
        if inner.bytes("repository_id") != Some(&config.id) {
            return Err(invalid("key of another repository"));
        }
        let key = Self {
            kind,
            encryption: secret("enc_key")?,
            authentication: secret("enc_hmac_key")?,
            id: secret("id_key")?,
            tam_required: inner.get("tam_required").and_then(rmpv::Value::as_bool).unwrap_or(false),
        };
        if key.encryption.len() != 32 || key.authentication.len() < 32 || key.id.len() < 32 {
            return Err(invalid("a key is too short"));
        }
        Ok(key)
    }

    /// Borg's word for how the repository is encrypted.
    pub fn mode(&self) -> &'static str {
        self.kind.mode
    }

    /// Whether records must be authenticated.
    pub fn requires_authentication(&self) -> bool {
        self.tam_required
    }

    /// Opens an object; what is left is compressed. Without encryption only the name tells whether it is genuine.
    pub fn open_object(&self, id: Option<&Borg1Id>, object: &[u8]) -> Result<Vec<u8>> {
        let Some((object_type, rest)) = object.split_first() else { return Err(damaged("empty object")) };
        let allowed = if id.is_none() { &self.kind.types[..1] } else { self.kind.types };
        if !allowed.contains(object_type) {
            return Err(damaged("object of another type than the repository's").with("type", object_type));
        }
        if !self.kind.encrypted {
            return Ok(rest.to_vec());
        }
        let Some((mac, sealed)) = rest.split_first_chunk::<32>() else { return Err(damaged("object is too short")) };
        let Some((nonce, ciphertext)) = sealed.split_first_chunk::<8>() else {
            return Err(damaged("object is too short"));
        };
        if !bool::from(self.hash(&self.authentication, sealed)?.ct_eq(mac)) {
            return Err(damaged("authentication code differs"));
        }
        let mut counter = [0; 16];
        counter[8..].copy_from_slice(nonce);
        decrypt(&self.encryption, counter, ciphertext)
    }

    /// Compares plaintext with the name it is stored under.
    pub fn check_name(&self, id: &Borg1Id, plain: &[u8]) -> Result<()> {
        if bool::from(self.hash(&self.id, plain)?.ct_eq(id)) {
            Ok(())
        } else {
            Err(damaged("content differs from name"))
        }
    }

    fn hash(&self, key: &[u8], data: &[u8]) -> Result<[u8; 32]> {
        Ok(match self.kind.hash {
            Hash::Plain => Sha256::digest(data).into(),
            Hash::Hmac => hmac_sha256(key, &[data])?,
            Hash::Blake2 => Blake2b::<U32>::new().chain_update(key).chain_update(data).finalize().into(),
        })
    }

    /// The authentication code of a record that has zeros in the place of its code.
    pub fn record_code(&self, salt: &[u8], context: &str, record: &[u8]) -> Result<[u8; 64]> {
        let mut key = Zeroizing::new(vec![0; 64]);
        if self.kind.storage == Storage::None {
            *key = [salt, context.as_bytes()].concat();
        } else {
            let secrets = Zeroizing::new([&self.id[..], &self.encryption, &self.authentication].concat());
            let info = format!("borg-metadata-authentication-{context}");
            hkdf::Hkdf::<Sha512>::new(Some(salt), &secrets)
                .expand(info.as_bytes(), &mut key)
                .map_err(|_| Error::new(ErrorKind::System, "derive Borg key"))?;
        }
        let mac = Hmac::<Sha512>::new_from_slice(&key).map_err(|_| Error::new(ErrorKind::System, "derive Borg key"))?;
        Ok(mac.chain_update(record).finalize().into_bytes().into())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("mode", &self.kind.mode).finish_non_exhaustive()
    }
}

fn decrypt(key: &[u8], counter: [u8; 16], ciphertext: &[u8]) -> Result<Vec<u8>> {
    let key: [u8; 32] = key.try_into().map_err(|_| damaged("key of another length"))?;
    let mut plain = ciphertext.to_vec();
    Aes256Ctr::new(&key.into(), &counter.into()).apply_keystream(&mut plain);
    Ok(plain)
}

fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> Result<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| Error::new(ErrorKind::System, "authenticate"))?;
    parts.iter().for_each(|part| mac.update(part));
    Ok(mac.finalize().into_bytes().into())
}

/// The key file of this repository: a line with its id, then base64.
fn key_file<'a>(config: &Config, unlock: &'a Unlock<'_>) -> Result<&'a str> {
    let head = format!("BORG_KEY {}", hex(&config.id));
    let files = unlock.key_files.iter().filter(|text| text.len() <= KEY_FILE_BYTES_MAX);
    let found = files.filter_map(|text| text.trim_start().split_once('\n')).find(|(line, _)| line.trim_end() == head);
    found.map(|(_, blob)| blob).ok_or_else(|| {
        Error::new(ErrorKind::KeyNotFound, "open Borg key")
            .with("reason", "the key is in a file that was not found")
            .with("repository", hex(&config.id))
    })
}

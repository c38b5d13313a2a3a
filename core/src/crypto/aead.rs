//! Authenticated encryption behind one interface.
//!
//! A [`Cipher`] serves exactly one object: its key is derived from the object's
//! salt and used for nothing else, and the numbers of what is sealed with it
//! (frames, sections) never repeat within the object. The nonce is that number,
//! so nobody ever chooses one.

use std::fmt;
use std::str::FromStr;

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{AeadInOut, KeyInit};
use chacha20poly1305::ChaCha20Poly1305;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::secret::Secret;
use crate::error::{Error, ErrorKind, Result};

/// Bytes of the tag every suite makes.
pub const TAG_BYTES: usize = 16;
/// Bytes of the nonce: the number as u64 little-endian, then zeros.
const NONCE_BYTES: usize = 12;

/// How objects are sealed. Stored as its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Suite {
    /// Not encrypted; a keyed MAC finds damage.
    None = 0,
    /// AES-256 in Galois/Counter mode (NIST SP 800-38D).
    Aes256Gcm = 1,
    /// ChaCha20 and Poly1305 (RFC 8439).
    ChaCha20Poly1305 = 2,
}

struct Row {
    suite: Suite,
    name: &'static str,
    new: fn(&[u8; Secret::BYTES]) -> Engine,
}

/// One row per suite; a row's position is the suite's number.
const ROWS: [Row; 3] = [
    Row { suite: Suite::None, name: "none", new: |key| Engine::Mac(Secret::from_bytes(*key)) },
    Row { suite: Suite::Aes256Gcm, name: "aes256-gcm", new: |key| Engine::Aes(Box::new(Aes256Gcm::new(key.into()))) },
    Row {
        suite: Suite::ChaCha20Poly1305,
        name: "chacha20-poly1305",
        new: |key| Engine::ChaCha(ChaCha20Poly1305::new(key.into())),
    },
];

const _: () = {
    let mut number = 0;
    while number < ROWS.len() {
        assert!(ROWS[number].suite as usize == number);
        number += 1;
    }
};

impl Suite {
    /// Every suite, in the order of their numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.suite)
    }

    /// The encrypting suite this machine is fastest at: AES where the CPU has it.
    pub fn fastest() -> Self {
        if cpu_has_aes() { Self::Aes256Gcm } else { Self::ChaCha20Poly1305 }
    }

    /// Whether objects are encrypted.
    pub fn encrypts(self) -> bool {
        self != Self::None
    }

    fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn cpu_has_aes() -> bool {
    std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq")
}

#[cfg(target_arch = "aarch64")]
fn cpu_has_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
}

#[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
fn cpu_has_aes() -> bool {
    false
}

impl From<Suite> for u8 {
    fn from(suite: Suite) -> Self {
        suite as Self
    }
}

impl TryFrom<u8> for Suite {
    type Error = Error;

    fn try_from(number: u8) -> Result<Self> {
        let row = ROWS.get(usize::from(number));
        row.map(|row| row.suite).ok_or_else(|| Error::new(ErrorKind::Unsupported, "choose suite").with("suite", number))
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.row().name)
    }
}

impl FromStr for Suite {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let row = ROWS.iter().find(|row| row.name == name);
        row.map(|row| row.suite)
            .ok_or_else(|| Error::new(ErrorKind::InvalidInput, "choose suite").with("suite", name.escape_debug()))
    }
}

/// A suite with the key of one object.
pub struct Cipher {
    suite: Suite,
    engine: Engine,
}

enum Engine {
    Mac(Secret),
    Aes(Box<Aes256Gcm>),
    ChaCha(ChaCha20Poly1305),
}

impl Cipher {
    /// A cipher for the one object whose key is `key`.
    pub fn new(suite: Suite, key: &[u8; Secret::BYTES]) -> Self {
        Self { suite, engine: (suite.row().new)(key) }
    }

    /// Seals `buffer` in place and returns its tag, which also covers `aad`.
    ///
    /// `number` must not be used twice with this key. Suite `none` leaves the
    /// buffer as it is; its tag is the first 16 bytes of BLAKE3 keyed, over
    /// number u64 | length of `aad` u64 | `aad` | `buffer`. Fails only above the
    /// 64 GiB of GCM, with kind [`ErrorKind::LimitExceeded`].
    pub fn seal(&self, number: u64, aad: &[u8], buffer: &mut [u8]) -> Result<[u8; TAG_BYTES]> {
        let nonce = nonce(number);
        let tag = match &self.engine {
            Engine::Mac(key) => return Ok(mac(key, number, aad, buffer)),
            Engine::Aes(cipher) => cipher.encrypt_inout_detached(&nonce.into(), aad, buffer.into()),
            Engine::ChaCha(cipher) => cipher.encrypt_inout_detached(&nonce.into(), aad, buffer.into()),
        };
        tag.map(Into::into).map_err(|_| Error::new(ErrorKind::LimitExceeded, "seal bytes"))
    }

    /// Opens `buffer` in place, with what [`Cipher::seal`] was given and returned.
    ///
    /// On a mismatch, kind [`ErrorKind::Damaged`], nothing is decrypted.
    pub fn open(&self, number: u64, aad: &[u8], buffer: &mut [u8], tag: &[u8]) -> Result<()> {
        let wrong = || Error::damaged("open sealed bytes", "tag does not match");
        let tag: [u8; TAG_BYTES] = tag.try_into().map_err(|_| wrong())?;
        let nonce = nonce(number);
        let opened = match &self.engine {
            Engine::Mac(key) => {
                let same = bool::from(mac(key, number, aad, buffer).ct_eq(&tag));
                return if same { Ok(()) } else { Err(wrong()) };
            }
            Engine::Aes(cipher) => cipher.decrypt_inout_detached(&nonce.into(), aad, buffer.into(), &tag.into()),
            Engine::ChaCha(cipher) => cipher.decrypt_inout_detached(&nonce.into(), aad, buffer.into(), &tag.into()),
        };
        opened.map_err(|_| wrong())
    }
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cipher({})", self.suite)
    }
}

fn nonce(number: u64) -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    nonce
}

fn mac(key: &Secret, number: u64, aad: &[u8], buffer: &[u8]) -> [u8; TAG_BYTES] {
    let mut hasher = blake3::Hasher::new_keyed(key.expose());
    hasher.update(&number.to_le_bytes());
    // the length keeps bytes from moving between the two parts
    hasher.update(&(aad.len() as u64).to_le_bytes()).update(aad).update(buffer);
    let mut tag = [0; TAG_BYTES];
    hasher.finalize_xof().fill(&mut tag);
    hasher.zeroize();
    tag
}

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
        row.map(|row| row.suite).ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, "choose suite")
                .with("suite", name.escape_debug())
                .with("known", ROWS.iter().map(|row| row.name).collect::<Vec<_>>().join(" "))
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        let mut text = String::new();
        crate::id::write_hex(&mut text, bytes).unwrap();
        text
    }

    fn sealed(suite: Suite, key: u8, number: u64, aad: &[u8], plain: &[u8]) -> (Vec<u8>, [u8; TAG_BYTES]) {
        let mut buffer = plain.to_vec();
        let tag = Cipher::new(suite, &[key; 32]).seal(number, aad, &mut buffer).unwrap();
        (buffer, tag)
    }

    #[test]
    fn gcm_is_that_of_its_specification() {
        // McGrew and Viega, test cases 13 and 14
        let (_, tag) = sealed(Suite::Aes256Gcm, 0, 0, b"", b"");
        assert_eq!(hex(&tag), "530f8afbc74536b9a963b4f1c4cb738b");
        let (text, tag) = sealed(Suite::Aes256Gcm, 0, 0, b"", &[0; 16]);
        assert_eq!(hex(&text), "cea7403d4d606b6e074ec5d3baf39d18");
        assert_eq!(hex(&tag), "d0d1c8a799996bf0265b98b5d48ab919");
    }

    #[test]
    fn chacha_is_that_of_rfc_8439() {
        // the key stream is test vector 2 of appendix A.1, the tag is from another implementation
        let (text, tag) = sealed(Suite::ChaCha20Poly1305, 0, 0, b"", &[0; 16]);
        assert_eq!(hex(&text), "9f07e7be5551387a98ba977c732d080d");
        assert_eq!(hex(&tag), "c34a88047320f52aa2c6683ef8084d2f");
    }

    #[test]
    fn chacha_of_the_library_is_that_of_rfc_8439_section_2_8_2() {
        // our nonces end in zeros, this one does not
        let key: [u8; 32] = std::array::from_fn(|index| 0x80 + index as u8);
        let nonce = [7, 0, 0, 0, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47];
        let aad = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];
        let mut text = b"Ladies and Gentlemen of the class of '99: If I could offer you \
            only one tip for the future, sunscreen would be it."
            .to_vec();
        let cipher = ChaCha20Poly1305::new(&key.into());
        let tag = cipher.encrypt_inout_detached(&nonce.into(), &aad, text.as_mut_slice().into()).unwrap();
        assert_eq!(hex(&text[..16]), "d31a8d34648e60db7b86afbc53ef7ec2");
        assert_eq!(hex(&tag), "1ae10b594f09e26a7e902ecbd0600691");
    }

    #[test]
    fn the_plain_suite_is_keyed_blake3() {
        // from another implementation
        let (text, tag) = sealed(Suite::None, 1, 7, b"aad", b"buffer");
        assert_eq!(text, b"buffer");
        assert_eq!(hex(&tag), "15cb56736b3a43c324b00b35eb69df9f");
    }

    #[test]
    fn the_nonce_is_the_number() {
        let mut nonce = [0; NONCE_BYTES];
        nonce[..8].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
        let mut text = [0x33; 100];
        let tag = Aes256Gcm::new(&[5; 32].into())
            .encrypt_inout_detached(&nonce.into(), b"aad", text.as_mut_slice().into())
            .unwrap();
        let number = 0x0807_0605_0403_0201;
        assert_eq!(sealed(Suite::Aes256Gcm, 5, number, b"aad", &[0x33; 100]), (text.to_vec(), tag.into()));
    }

    #[test]
    fn only_exactly_what_was_sealed_opens() {
        let plain = b"some plaintext of more than sixteen bytes";
        for suite in Suite::all() {
            let (text, tag) = sealed(suite, 1, 2, b"aad", plain);
            assert_eq!(text == plain, !suite.encrypts());
            let open = |key: u8, number, aad: &[u8], text: &[u8], tag: &[u8]| {
                let mut buffer = text.to_vec();
                Cipher::new(suite, &[key; 32]).open(number, aad, &mut buffer, tag).map(|()| buffer)
            };
            assert_eq!(open(1, 2, b"aad", &text, &tag).unwrap(), plain);
            let moved = [b"aad", &text[..]].concat();
            let (mut bad_text, mut bad_tag) = (text.clone(), tag);
            bad_text[3] ^= 1;
            bad_tag[15] ^= 0x80;
            for result in [
                open(2, 2, b"aad", &text, &tag),
                open(1, 3, b"aad", &text, &tag),
                open(1, 2, b"aae", &text, &tag),
                open(1, 2, b"", &moved, &tag),
                open(1, 2, b"aad", &bad_text, &tag),
                open(1, 2, b"aad", &text[1..], &tag),
                open(1, 2, b"aad", &text, &bad_tag),
                open(1, 2, b"aad", &text, &tag[..15]),
                open(1, 2, b"aad", &text, b""),
            ] {
                assert_eq!(result.unwrap_err().kind(), ErrorKind::Damaged, "{suite}");
            }
        }
    }

    #[test]
    fn what_does_not_open_is_not_decrypted() {
        let (text, mut tag) = sealed(Suite::Aes256Gcm, 1, 2, b"", &[0; 64]);
        tag[0] ^= 1;
        let mut buffer = text.clone();
        Cipher::new(Suite::Aes256Gcm, &[1; 32]).open(2, b"", &mut buffer, &tag).unwrap_err();
        assert_eq!(buffer, text);
    }

    #[test]
    fn numbers_and_names_go_both_ways() {
        for suite in Suite::all() {
            assert_eq!(Suite::try_from(u8::from(suite)).unwrap(), suite);
            assert_eq!(suite.to_string().parse::<Suite>().unwrap(), suite);
        }
        assert_eq!(Suite::try_from(3).unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!("rot13".parse::<Suite>().unwrap_err().kind(), ErrorKind::InvalidInput);
        assert!(Suite::fastest().encrypts());
    }
}

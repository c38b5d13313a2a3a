//! Bytes that must not outlive their use nor appear in a log.
//!
//! Both types live on the heap, so that moving them leaves no copies behind, are
//! wiped when dropped, cannot be cloned, and print nothing of their content.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::random;
use crate::error::Result;

/// A key of 32 bytes.
pub struct Secret(Box<Zeroizing<[u8; Secret::BYTES]>>);

impl Secret {
    /// The length of every key.
    pub const BYTES: usize = 32;

    /// Takes the bytes of a key. The caller's copy, if it keeps one, is its own to wipe.
    pub fn from_bytes(mut bytes: [u8; Self::BYTES]) -> Self {
        let secret = Self(Box::new(Zeroizing::new(bytes)));
        bytes.zeroize();
        secret
    }

    /// Draws a new key.
    pub fn generate() -> Result<Self> {
        Self::fill_with(random::fill)
    }

    /// A key that `fill` writes in place, so that no copy of it is ever on the stack.
    pub(crate) fn fill_with(fill: impl FnOnce(&mut [u8]) -> Result<()>) -> Result<Self> {
        let mut secret = Self(Box::new(Zeroizing::new([0; Self::BYTES])));
        fill(&mut secret.0[..])?;
        Ok(secret)
    }

    /// The bytes, for the primitive that uses the key.
    pub fn expose(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

/// Takes the same time whatever the difference.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose().ct_eq(other.expose()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What a person types to open a key slot: any bytes, taken as they are.
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// Takes over the bytes of a passphrase.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for the key derivation.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Takes the same time whatever the difference, for passphrases of one length.
impl PartialEq for Passphrase {
    fn eq(&self, other: &Self) -> bool {
        self.expose().ct_eq(other.expose()).into()
    }
}

impl Eq for Passphrase {}

impl From<String> for Passphrase {
    fn from(text: String) -> Self {
        Self::new(text.into_bytes())
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_printed() {
        assert_eq!(format!("{:?}", Secret::from_bytes([0x41; 32])), "Secret");
        assert_eq!(format!("{:#?}", Passphrase::from("AAAA".to_owned())), "Passphrase");
    }

    #[test]
    fn equality_sees_every_byte() {
        for position in 0..32 {
            let mut other = [7; 32];
            other[position] ^= 0x80;
            assert_ne!(Secret::from_bytes([7; 32]), Secret::from_bytes(other));
        }
        assert_eq!(Secret::from_bytes([7; 32]), Secret::from_bytes([7; 32]));
        assert_ne!(Passphrase::new(vec![1]), Passphrase::new(vec![1, 2]));
        assert_eq!(Passphrase::new(vec![1, 2]), Passphrase::new(vec![1, 2]));
    }

    #[test]
    fn generated_keys_differ() {
        assert_ne!(Secret::generate().unwrap(), Secret::generate().unwrap());
    }
}

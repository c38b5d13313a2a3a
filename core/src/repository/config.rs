//! The object `config`: what a repository is, readable before any key is known.
//!
//! ```text
//! line      ASCII text ending in a newline, for people who find the file; at most 256 bytes
//! length    u32: bytes of the record
//! record    msgpack, see [`Config`]
//! MAC 32    keyed BLAKE3 of everything before, key derived from the control key
//! hash 32   BLAKE3 of everything before
//! total     u64: bytes of the whole object
//! ```
//! It is written last when a repository is made, and never again.

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::clock::Timestamp;
use crate::codec::{self, Cursor, Extensions};
use crate::crypto::aead::Suite;
use crate::crypto::id_hash::IdHash;
use crate::crypto::key::{Keyring, Purpose};
use crate::crypto::random;
use crate::error::{Error, ErrorKind, Result};
use crate::id::RepositoryId;
use crate::limits::CONFIG_BYTES_MAX;

const LINE: &str =
    "This is a Gabion backup repository (format 1). Its files belong together: do not change, rename or remove any.\n";
const LINE_BYTES_MAX: usize = 256;
/// The newest format version this program reads, and the one it writes.
pub const FORMAT_VERSION: u16 = 1;

/// What a repository is. Immutable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Format version.
    pub version: u16,
    /// Drawn when the repository was made.
    pub id: RepositoryId,
    /// Number of the cipher suite, see [`Suite`].
    suite: u8,
    /// Number of the chunk id hash, see [`IdHash`].
    id_hash: u8,
    /// When it was made.
    pub created: Timestamp,
    /// Features without which nothing can be read.
    incompat: Vec<String>,
    /// Features without which nothing may be written.
    ro_compat: Vec<String>,
    /// Features that may be ignored.
    compat: Vec<String>,
    extensions: Extensions,
}

impl Config {
    /// The configuration of a new repository: draws its id.
    pub fn new(suite: Suite, id_hash: IdHash, created: Timestamp) -> Result<Self> {
        Ok(Self {
            version: FORMAT_VERSION,
            id: RepositoryId::from_bytes(random::array()?),
            suite: suite.into(),
            id_hash: id_hash.into(),
            created,
            incompat: Vec::new(),
            ro_compat: Vec::new(),
            compat: Vec::new(),
            extensions: Extensions::none(),
        })
    }

    /// The cipher suite new objects are sealed with.
    pub fn suite(&self) -> Result<Suite> {
        Suite::try_from(self.suite)
    }

    /// The hash that names chunks.
    pub fn id_hash(&self) -> Result<IdHash> {
        IdHash::try_from(self.id_hash)
    }

    /// Refuses to write where an unknown feature forbids it.
    pub fn check_writable(&self) -> Result<()> {
        match self.ro_compat.first() {
            None => Ok(()),
            Some(feature) => {
                Err(Error::new(ErrorKind::Unsupported, "write to repository").with("feature", feature.escape_debug()))
            }
        }
    }

    /// Encodes the whole object.
    pub fn encode(&self, keyring: &Keyring) -> Result<Vec<u8>> {
        let record = codec::encode(self, CONFIG_BYTES_MAX / 2)?;
        let mut bytes = LINE.as_bytes().to_vec();
        bytes.extend_from_slice(&(record.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&record);
        let mac = mac(keyring, &bytes)?;
        bytes.extend_from_slice(mac.as_bytes());
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        let total = bytes.len() as u64 + 8;
        bytes.extend_from_slice(&total.to_le_bytes());
        Ok(bytes)
    }

    /// Reads the object and checks all but the MAC, for which [`Config::verify`] needs the keys.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let wrong = |what: &str| Error::damaged("read config", what);
        let (record, covered) = split(bytes).ok_or_else(|| wrong("not a configuration"))?;
        crate::seal::verify_tail(bytes)?;
        debug_assert!(covered < bytes.len());
        // The version comes first, so that a newer format is recognised even if its record is longer.
        match record {
            [0x90..=0x9f, version, ..] if u16::from(*version) > FORMAT_VERSION => {
                return Err(Error::new(ErrorKind::Unsupported, "read config").with("format version", version));
            }
            _ => {}
        }
        let config: Self = codec::decode(record, CONFIG_BYTES_MAX)?;
        if config.version != FORMAT_VERSION {
            return Err(Error::new(ErrorKind::Unsupported, "read config").with("format version", config.version));
        }
        if let Some(feature) = config.incompat.first() {
            return Err(Error::new(ErrorKind::Unsupported, "read config").with("feature", feature.escape_debug()));
        }
        config.extensions.check_critical()?;
        config.suite()?;
        config.id_hash()?;
        Ok(config)
    }

    /// Checks that whoever made the configuration held the keys.
    pub fn verify(bytes: &[u8], keyring: &Keyring) -> Result<()> {
        let covered = split(bytes).map(|(_, covered)| covered);
        let Some((before, rest)) = covered.and_then(|covered| bytes.split_at_checked(covered)) else {
            return Err(Error::damaged("read config", "truncated"));
        };
        let stated: [u8; 32] = Cursor::new(rest).array()?;
        if bool::from(mac(keyring, before)?.as_bytes().ct_eq(&stated)) {
            return Ok(());
        }
        Err(Error::damaged("read config", "not made by the holder of these keys"))
    }
}

/// The record, and how many bytes the MAC covers.
fn split(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let line = bytes.iter().take(LINE_BYTES_MAX).position(|byte| *byte == b'\n')? + 1;
    let (length, rest) = bytes.get(line..)?.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    let record = rest.get(..length)?;
    (rest.len() == length + 72).then_some((record, line + 4 + length))
}

fn mac(keyring: &Keyring, bytes: &[u8]) -> Result<blake3::Hash> {
    let key = blake3::derive_key("gabion 1 config", keyring.get(Purpose::Control)?.expose());
    Ok(blake3::keyed_hash(&key, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config {
            version: 1,
            id: RepositoryId::from_bytes([7; 16]),
            suite: Suite::Aes256Gcm.into(),
            id_hash: IdHash::Blake3.into(),
            created: Timestamp::new(1_790_000_000, 5),
            incompat: vec![],
            ro_compat: vec![],
            compat: vec![],
            extensions: Extensions::none(),
        }
    }

    #[test]
    fn goes_both_ways_and_notices_every_flipped_bit() {
        let keyring = Keyring::generate().unwrap();
        let bytes = config().encode(&keyring).unwrap();
        assert_eq!(Config::decode(&bytes).unwrap(), config());
        Config::verify(&bytes, &keyring).unwrap();
        assert_eq!(Config::verify(&bytes, &Keyring::generate().unwrap()).unwrap_err().kind(), ErrorKind::Damaged);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Config::decode(&flipped).is_err(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(Config::decode(&bytes[..length]).is_err());
            assert!(Config::verify(&bytes[..length], &keyring).is_err());
        }
    }

    #[test]
    fn record_bytes_are_golden() {
        let record = codec::encode(&config(), 1000).unwrap();
        let mut golden = vec![0x99, 1, 0xc4, 16];
        golden.extend([7; 16]);
        golden.extend([1, 1, 0x92, 0xce, 0x6a, 0xb1, 0x3b, 0x80, 5, 0x90, 0x90, 0x90, 0x80]);
        assert_eq!(record, golden);
    }

    #[test]
    fn unknown_features_are_refused_in_their_way() {
        let keyring = Keyring::generate().unwrap();
        let refuse = |change: &dyn Fn(&mut Config)| {
            let mut changed = config();
            change(&mut changed);
            Config::decode(&changed.encode(&keyring).unwrap())
        };
        assert_eq!(refuse(&|c| c.incompat = vec!["x".into()]).unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(refuse(&|c| c.version = 2).unwrap_err().kind(), ErrorKind::Unsupported);
        assert!(refuse(&|c| c.suite = 77).is_err());
        let read_only = refuse(&|c| c.ro_compat = vec!["x".into()]).unwrap();
        assert_eq!(read_only.check_writable().unwrap_err().kind(), ErrorKind::Unsupported);
        refuse(&|c| c.compat = vec!["x".into()]).unwrap().check_writable().unwrap();
    }
}

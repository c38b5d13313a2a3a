//! Identifiers: one closed type per thing that can be named.
//!
//! The types never convert into each other, have no default and do not
//! dereference to bytes, so that a chunk can not be looked up by the name of a
//! segment. Chunk ids are 32 bytes; everything that is an object of the store has
//! an id of 16 bytes, derived from the object's own salt (see [`object_id`]).

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::error::{Error, ErrorKind};

/// Bytes of the salt every stored object draws once, when its content is complete.
pub const SALT_BYTES: usize = 32;

/// The id of an object: the first 16 bytes of `BLAKE3(kind | salt)`.
///
/// Name, key and nonces of an object all come from its salt, so they repeat
/// together or not at all; a scrub without any key can check a name.
pub fn object_id(kind: u8, salt: &[u8; SALT_BYTES]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[kind]).update(salt);
    let mut id = [0; 16];
    hasher.finalize_xof().fill(&mut id);
    id
}

/// The id in the last part of an object's name, if it is one.
pub fn parse_object_id(text: &str) -> Option<[u8; 16]> {
    parse_hex(text)
}

/// Writes bytes as lower-case hexadecimal digits.
pub fn write_hex(f: &mut impl fmt::Write, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

struct FixedBytes<const N: usize>;

impl<'de, const N: usize> Visitor<'de> for FixedBytes<N> {
    type Value = [u8; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{N} bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        bytes.try_into().map_err(|_| E::invalid_length(bytes.len(), &self))
    }
}

macro_rules! define_id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// The length of the id in bytes.
            pub const BYTES: usize = $bytes;

            /// Takes the raw bytes of an id.
            pub const fn from_bytes(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// The raw bytes.
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }

            /// Whether the hexadecimal form starts with `prefix`.
            pub fn starts_with(&self, prefix: &str) -> bool {
                !prefix.is_empty() && self.to_string().starts_with(prefix)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, &self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                parse_hex(text).map(Self).ok_or_else(|| {
                    Error::new(ErrorKind::InvalidInput, concat!("parse ", stringify!($name))).with("text", text)
                })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_bytes(FixedBytes::<$bytes>).map(Self)
            }
        }
    };
}

define_id!(
    /// Names a chunk by a keyed hash of its plaintext.
    ChunkId, 32
);
define_id!(
    /// Names a segment.
    SegmentId, 16
);
define_id!(
    /// Names an index fragment.
    IndexId, 16
);
define_id!(
    /// Names an archive.
    ArchiveId, 16
);
define_id!(
    /// Names the pending record of an archive in the making.
    PendingId, 16
);
define_id!(
    /// Names a lease.
    LeaseId, 16
);
define_id!(
    /// Names a key slot.
    KeyId, 16
);
define_id!(
    /// Names a client: whoever writes archives and remembers which came last.
    ClientId, 16
);
define_id!(
    /// Names a repository; drawn once, when it is made.
    RepositoryId, 16
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_goes_both_ways() {
        let id = SegmentId::from_bytes([0xa5; 16]);
        assert_eq!(id.to_string(), "a5".repeat(16));
        assert_eq!(id.to_string().parse::<SegmentId>().unwrap(), id);
        assert!(id.starts_with("a5a") && !id.starts_with("a6") && !id.starts_with(""));
    }

    #[test]
    fn foreign_text_is_refused() {
        for text in ["", "a5", &"A5".repeat(16), &"g5".repeat(16), &"a5".repeat(17)] {
            assert_eq!(text.parse::<SegmentId>().unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn object_ids_depend_on_kind_and_salt() {
        let id = object_id(1, &[7; 32]);
        assert_ne!(id, object_id(2, &[7; 32]));
        assert_ne!(id, object_id(1, &[8; 32]));
    }
}

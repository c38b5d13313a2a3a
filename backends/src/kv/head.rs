//! The head of an object in a key/value store.
//!
//! ```text
//! magic "GKV1" | bytes of a part u32 | bytes of the object u64 | token u64 | the object itself, if there are no parts
//! ```
//!
//! All numbers are little-endian. A head without parts has 0 bytes a part and token 0.

use bytes::Bytes;
use gabion_core::crypto::random;
use gabion_core::error::Result;
use gabion_core::limits::{MIB, OBJECT_BYTES_MAX};

const MAGIC: [u8; 4] = *b"GKV1";
const FIXED_BYTES: usize = 24;
/// Bytes of the longest part.
pub(super) const PART_BYTES_MAX: usize = 64 * MIB;

/// How long an object is and where its bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes of the object.
    pub bytes: u64,
    /// Bytes of every part but the last.
    pub part_bytes: u32,
    /// What the keys of the parts have in common; random.
    pub token: u64,
    /// The object, if there are no parts.
    pub inline: Option<Bytes>,
}

impl Head {
    pub fn of_inline(object: Bytes) -> Self {
        Self { bytes: object.len() as u64, part_bytes: 0, token: 0, inline: Some(object) }
    }

    /// A head whose parts nobody else has.
    pub fn of_parts(bytes: u64, part_bytes: u32) -> Result<Self> {
        Ok(Self { bytes, part_bytes, token: u64::from_le_bytes(random::array()?), inline: None })
    }

    /// How many parts there are.
    pub fn parts(&self) -> u64 {
        if self.inline.is_some() { 0 } else { self.bytes.div_ceil(u64::from(self.part_bytes.max(1))) }
    }

    /// Bytes of the part of this number.
    pub fn bytes_of(&self, number: u64) -> u64 {
        let start = number.saturating_mul(u64::from(self.part_bytes));
        self.bytes.saturating_sub(start).min(u64::from(self.part_bytes))
    }

    pub fn encode(&self) -> Bytes {
        let inline = self.inline.as_deref().unwrap_or_default();
        let mut value = Vec::with_capacity(FIXED_BYTES + inline.len());
        value.extend_from_slice(&MAGIC);
        value.extend_from_slice(&self.part_bytes.to_le_bytes());
        value.extend_from_slice(&self.bytes.to_le_bytes());
        value.extend_from_slice(&self.token.to_le_bytes());
        value.extend_from_slice(inline);
        value.into()
    }

    /// Reads a head; what makes no sense is told.
    pub fn decode(value: &Bytes) -> Result<Self, &'static str> {
        let (fixed, inline) = value.split_at_checked(FIXED_BYTES).ok_or("head is too short")?;
        let number = |at: usize, length: usize| {
            fixed[at..at + length].iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
        };
        if fixed[..4] != MAGIC {
            return Err("head of another kind");
        }
        let (part_bytes, bytes, token) = (number(4, 4), number(8, 8), number(16, 8));
        if bytes > OBJECT_BYTES_MAX as u64 || part_bytes > PART_BYTES_MAX as u64 {
            return Err("head tells impossible lengths");
        }
        match part_bytes {
            0 if inline.len() as u64 == bytes && token == 0 => Ok(Self::of_inline(value.slice(FIXED_BYTES..))),
            0 => Err("head has another length than it tells"),
            _ if inline.is_empty() && part_bytes >= 1024 => {
                Ok(Self { bytes, part_bytes: part_bytes as u32, token, inline: None })
            }
            _ => Err("head tells of parts and has more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_go_both_ways_and_have_these_bytes() {
        let inline = Head::of_inline(Bytes::from_static(b"abc"));
        assert_eq!(inline.encode()[..], *b"GKV1\0\0\0\0\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0abc");
        let parts = Head { bytes: 5000, part_bytes: 2048, token: 0x0102_0304_0506_0708, inline: None };
        assert_eq!(parts.encode()[..], *b"GKV1\0\x08\0\0\x88\x13\0\0\0\0\0\0\x08\x07\x06\x05\x04\x03\x02\x01");
        for head in [inline, parts.clone()] {
            assert_eq!(Head::decode(&head.encode()).unwrap(), head);
        }
        assert_eq!((parts.parts(), parts.bytes_of(0), parts.bytes_of(2), parts.bytes_of(9)), (3, 2048, 904, 0));
    }

    #[test]
    fn every_cut_and_every_lie_is_refused() {
        let heads = [Head::of_inline(Bytes::from_static(b"abc")), Head::of_parts(5000, 2048).unwrap()];
        for head in heads {
            let whole = head.encode();
            for length in 0..whole.len() {
                assert!(Head::decode(&whole.slice(..length)).is_err(), "{length}");
            }
            let mut longer = whole.to_vec();
            longer.push(0);
            assert!(Head::decode(&longer.into()).is_err());
        }
        let lie = |bytes, part_bytes| Head { bytes, part_bytes, token: 1, inline: None }.encode();
        for value in [lie(u64::MAX, 2048), lie(1 << 40, 2048), lie(10, u32::MAX), lie(10, 1), lie(10, 0)] {
            assert!(Head::decode(&value).is_err());
        }
    }
}

//! The object `store` that every store of a set holds: which set, and which of its stores it is.
//!
//! Without it a store is missing, whatever it holds: an empty folder is an unmounted disk, not a place to write to.
//! Every store has an identity that is drawn when it joins; the newest record of a set names those that belong to
//! it. So a disk that was replaced and comes back is not taken for the one that took its place.
//!
//! Where the store of a set is a set itself, which has objects called `store` of its own, the record is `store-1`, and
//! so on.

use gabion_core::backend::ObjectName;
use gabion_core::crypto::random;
use gabion_core::error::{Error, Result};
use gabion_core::limits::KIB;

use super::{Split, Splits};

/// The name of the object.
const NAME: &str = "store";
/// Bytes of one of its copies: a sector.
const COPY_BYTES: usize = 4 * KIB;
const COPIES: usize = 3;
/// Bytes of a record that are read at most.
pub(super) const BYTES_MAX: u64 = 64 * KIB as u64;
const MAGIC: [u8; 4] = *b"GABM";
/// Of a set that has one split, and of one whose objects may have an earlier one as well.
const VERSIONS: [u8; 2] = [1, 2];
const FIXED_BYTES: usize = 32;
const CHECK_BYTES: usize = 16;

/// A drawn identity.
pub(super) type Identity = [u8; 16];

/// What one store knows of its set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub splits: Splits,
    /// The number of this store, from 0.
    pub store: u8,
    /// Grows whenever a store is replaced, or the split changed.
    pub revision: u32,
    pub set: Identity,
    /// The stores of the set.
    pub stores: Vec<Identity>,
}

/// The name of the object that holds a record in a store that is so many sets deep, 0 for a plain one.
pub(super) fn name(depth: u8) -> Result<ObjectName> {
    match depth {
        0 => ObjectName::new(NAME),
        _ => ObjectName::new(format!("{NAME}-{depth}")),
    }
}

/// Whether an object is a record of a set whose stores are so many sets deep at most.
pub(super) fn is_record(object: &ObjectName, depth: u8) -> bool {
    match object.as_str().strip_prefix(NAME) {
        Some("") => true,
        Some(rest) => {
            (1..=depth).any(|depth| rest.strip_prefix('-').is_some_and(|digits| *digits == depth.to_string()))
        }
        None => false,
    }
}

impl Record {
    /// Draws a new set.
    pub fn new(split: Split) -> Result<Self> {
        let stores = (0..split.stores()).map(|_| random::array()).collect::<Result<_>>()?;
        Ok(Self { splits: split.into(), store: 0, revision: 1, set: random::array()?, stores })
    }

    /// The record of another store of this set.
    pub fn of_store(&self, store: usize) -> Self {
        Self { store: store as u8, ..self.clone() }
    }

    /// The next revision, in which a store has another identity.
    pub fn with_replaced(&self, store: usize) -> Result<Self> {
        let mut next = self.next(self.splits);
        if let Some(identity) = next.stores.get_mut(store) {
            *identity = random::array()?;
        }
        Ok(next)
    }

    /// The next revision, in which the set has another split, and as many more stores as that takes. Whoever makes it
    /// at the same time makes the same: new stores are not drawn.
    pub fn with_split(&self, split: Split) -> Self {
        let mut next = self.next(Splits { now: split, earlier: Some(self.splits.now) });
        for number in next.stores.len() as u8..split.stores() {
            let mut hasher = blake3::Hasher::new_derive_key("gabion 1 joining store");
            hasher.update(&self.set).update(&next.revision.to_le_bytes()).update(&[number]);
            let mut identity = Identity::default();
            hasher.finalize_xof().fill(&mut identity);
            next.stores.push(identity);
        }
        next
    }

    /// The next revision, in which no object has an earlier split any more.
    pub fn without_earlier(&self) -> Self {
        self.next(self.splits.now.into())
    }

    fn next(&self, splits: Splits) -> Self {
        Self { splits, revision: self.revision.saturating_add(1), ..self.clone() }
    }

    /// The identity of the store that holds this record.
    pub fn identity(&self) -> Option<&Identity> {
        self.stores.get(usize::from(self.store))
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut copy = MAGIC.to_vec();
        let Splits { now, earlier } = self.splits;
        copy.extend_from_slice(&[VERSIONS[usize::from(earlier.is_some())], now.needed, now.spare, self.store]);
        copy.extend_from_slice(&self.revision.to_le_bytes());
        copy.extend_from_slice(&earlier.map_or([0; 4], |earlier| [earlier.needed, earlier.spare, 0, 0]));
        copy.extend_from_slice(&self.set);
        self.stores.iter().for_each(|identity| copy.extend_from_slice(identity));
        copy.extend_from_slice(&check(&copy));
        copy.resize(COPY_BYTES, 0);
        copy.repeat(COPIES)
    }

    /// Reads a record from any copy that is whole.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        bytes
            .chunks(COPY_BYTES)
            .find_map(Self::decode_copy)
            .ok_or_else(|| Error::damaged("read store record", "no copy of it is whole"))
    }

    fn decode_copy(bytes: &[u8]) -> Option<Self> {
        let fixed: &[u8; FIXED_BYTES] = bytes.first_chunk()?;
        let split = Split::new(fixed[5], fixed[6])?;
        let end = FIXED_BYTES + usize::from(split.stores()) * size_of::<Identity>();
        let identities = bytes.get(FIXED_BYTES..end)?;
        let whole = bytes.get(end..end + CHECK_BYTES)? == check(&bytes[..end]);
        let earlier = match VERSIONS.iter().position(|version| *version == fixed[4])? {
            0 => None,
            _ => Some(Split::new(fixed[12], fixed[13]).filter(|earlier| earlier.stores() <= split.stores())?),
        };
        if !whole || !fixed.starts_with(&MAGIC) || fixed[7] >= split.stores() {
            return None;
        }
        Some(Self {
            splits: Splits { now: split, earlier },
            store: fixed[7],
            revision: u32::from_le_bytes(fixed[8..12].try_into().ok()?),
            set: fixed[16..32].try_into().ok()?,
            stores: identities.chunks_exact(16).filter_map(|identity| identity.try_into().ok()).collect(),
        })
    }
}

fn check(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let key = blake3::derive_key("gabion 1 store record", NAME.as_bytes());
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&blake3::keyed_hash(&key, bytes).as_bytes()[..CHECK_BYTES]);
    check
}

#[cfg(test)]
mod tests {
    use gabion_core::error::ErrorKind;

    use super::*;

    #[test]
    fn a_record_survives_all_but_its_last_copy() {
        let record = Record::new(Split::new(4, 2).unwrap()).unwrap().of_store(5);
        let bytes = record.encode();
        assert_eq!(Record::decode(&bytes).unwrap(), record);
        for whole in 0..COPIES {
            let mut bad = bytes.clone();
            for copy in (0..COPIES).filter(|copy| *copy != whole) {
                bad[copy * COPY_BYTES..(copy + 1) * COPY_BYTES].fill(0xaa);
            }
            assert_eq!(Record::decode(&bad).unwrap(), record);
            bad[whole * COPY_BYTES + 40] ^= 1;
            assert_eq!(Record::decode(&bad).unwrap_err().kind(), ErrorKind::Damaged);
        }
        for length in [0, 1, 31, 100] {
            assert!(Record::decode(&bytes[..length]).is_err());
        }
    }

    #[test]
    fn records_have_names_by_the_depth_of_their_store() {
        for depth in 0..3 {
            assert!(is_record(&name(depth).unwrap(), depth), "{depth}");
            // What a deeper set keeps in this one is an object like any other.
            assert!(!is_record(&name(depth + 1).unwrap(), depth), "{depth}");
        }
        for other in ["storey", "store-01", "store/1", "stor"] {
            assert!(!is_record(&ObjectName::new(other).unwrap(), 3), "{other}");
        }
    }

    #[test]
    fn another_split_takes_more_stores_and_names_the_earlier_one_until_it_is_gone() {
        let record = Record::new(Split::new(2, 1).unwrap()).unwrap();
        let next = record.with_split(Split::new(4, 2).unwrap()).of_store(5);
        assert_eq!((next.revision, next.set, next.stores.len()), (2, record.set, 6));
        assert_eq!(next.stores[..3], record.stores);
        assert_eq!(Record::decode(&next.encode()).unwrap(), next);
        let last = next.without_earlier();
        assert_eq!((last.revision, last.splits), (3, next.splits.now.into()));
        assert_eq!(Record::decode(&last.encode()).unwrap(), last);
        // No set had more stores than it has.
        let more = Splits { now: record.splits.now, earlier: Some(next.splits.now) };
        assert!(Record::decode(&Record { splits: more, ..record }.encode()).is_err());
    }

    #[test]
    fn a_replaced_store_has_another_identity() {
        let record = Record::new(Split::new(2, 1).unwrap()).unwrap();
        let next = record.with_replaced(1).unwrap();
        assert_eq!((next.revision, next.set), (2, record.set));
        assert_ne!(next.of_store(1).identity(), record.of_store(1).identity());
        assert_eq!(next.of_store(2).identity(), record.of_store(2).identity());
    }
}

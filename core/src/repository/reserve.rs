//! Room for those who make room: objects of random bytes that are given up when a store is full.
//!
//! Deleting archives and collecting garbage write a little before they free a lot. On a full store they delete one
//! reserve and try again; who freed room puts the missing small ones back. People may reserve more: these are larger,
//! are given up after the small ones, and are put back by people only.

use super::{ObjectName, Office, Payload, Prefix, Repository, Store};
use crate::backend::ObjectMeta;
use crate::crypto::random;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{KIB, MIB, RESERVES_MAX};

/// How many small reserves a repository has.
const SMALL_RESERVES: usize = 4;
const SMALL_BYTES: usize = 256 * KIB;
const LARGE_BYTES: usize = 16 * MIB;

/// Puts the small reserves that are not there.
pub(super) fn fill(store: &Store) -> Result<()> {
    let listed = reserves(store)?;
    (0..SMALL_RESERVES).try_for_each(|number| put(store, &listed, number))
}

fn put(store: &Store, listed: &[(usize, ObjectMeta)], number: usize) -> Result<()> {
    if listed.iter().any(|(known, _)| *known == number) {
        return Ok(());
    }
    let mut bytes = vec![0; if number < SMALL_RESERVES { SMALL_BYTES } else { LARGE_BYTES }];
    random::fill(&mut bytes)?;
    store.put(&ObjectName::of("reserve", number), Payload::from(bytes))
}

/// The reserves there are, in the order in which they are given up.
fn reserves(store: &Store) -> Result<Vec<(usize, ObjectMeta)>> {
    let listed = store.list(&Prefix::of("reserve"))?.into_iter();
    let mut reserves: Vec<_> =
        listed.filter_map(|object| Some((object.name.last_part().parse().ok()?, object))).collect();
    reserves.sort_by_key(|(number, _)| *number);
    Ok(reserves)
}

/// Gives up all reserves; returns how many bytes that frees.
pub(super) fn give_up_all(store: &Store) -> Result<u64> {
    let listed = reserves(store)?;
    listed.iter().try_for_each(|(_, object)| store.delete(&object.name))?;
    Ok(listed.iter().map(|(_, object)| object.bytes).sum())
}

impl Repository {
    /// Stored bytes of all reserves.
    pub fn reserved_bytes(&self) -> Result<u64> {
        Ok(reserves(&self.office.store)?.iter().map(|(_, object)| object.bytes).sum())
    }

    /// Puts reserves until they have `bytes` at least, and never fewer than the small ones. Returns what there is then.
    ///
    /// # Errors
    /// `LimitExceeded` for more than [`RESERVES_MAX`] objects, `NoSpace` if the store is full: then what was put stays.
    pub fn reserve(&self, bytes: u64) -> Result<u64> {
        let store = &self.office.store;
        let rest = bytes.saturating_sub((SMALL_RESERVES * SMALL_BYTES) as u64);
        let count = rest.div_ceil(LARGE_BYTES as u64).saturating_add(SMALL_RESERVES as u64);
        let count = usize::try_from(count).ok().filter(|count| *count <= RESERVES_MAX);
        let too_much = || Error::new(ErrorKind::LimitExceeded, "reserve space").with("bytes", bytes);
        let listed = reserves(store)?;
        (0..count.ok_or_else(too_much)?).try_for_each(|number| put(store, &listed, number))?;
        self.reserved_bytes()
    }

    /// Gives up all reserves; returns how many bytes that frees.
    pub fn free_reserves(&self) -> Result<u64> {
        give_up_all(&self.office.store)
    }
}

impl Office {
    /// Runs `action`; while it fails for want of room and there are reserves, gives up one and runs it again.
    pub fn with_reserve<T>(&self, mut action: impl FnMut() -> Result<T>) -> Result<T> {
        loop {
            let full = match action() {
                Err(error) if error.kind() == ErrorKind::NoSpace => error,
                done => return done,
            };
            if !self.give_up_reserve(&full)? {
                return Err(full);
            }
        }
    }

    /// Whether there was a reserve to give up.
    fn give_up_reserve(&self, full: &Error) -> Result<bool> {
        debug_assert_eq!(full.kind(), ErrorKind::NoSpace);
        let Some((_, reserve)) = reserves(&self.store)?.into_iter().next() else { return Ok(false) };
        self.store.delete(&reserve.name)?;
        Ok(true)
    }
}

//! Room for those who make room: objects of random bytes that are given up when a store is full.
//!
//! Deleting archives and collecting garbage write a little before they free a lot. On a full store they delete one
//! reserve and try again; who freed room puts the missing ones back.

use super::{ObjectName, Office, Payload, Prefix, Store};
use crate::crypto::random;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::KIB;

/// How many reserves a repository has.
const RESERVES: usize = 4;
const RESERVE_BYTES: usize = 256 * KIB;

/// Puts the reserves that are not there.
pub(super) fn fill(store: &Store) -> Result<()> {
    let listed = store.list(&Prefix::of("reserve"))?;
    for number in 0..RESERVES {
        let name = ObjectName::of("reserve", number);
        if listed.iter().any(|object| object.name == name) {
            continue;
        }
        let mut bytes = vec![0; RESERVE_BYTES];
        random::fill(&mut bytes)?;
        store.put(&name, Payload::from(bytes))?;
    }
    Ok(())
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
        let listed = self.store.list(&Prefix::of("reserve"))?;
        let Some(reserve) = listed.first() else { return Ok(false) };
        self.store.delete(&reserve.name)?;
        Ok(true)
    }
}

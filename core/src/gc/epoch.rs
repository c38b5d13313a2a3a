//! The epoch: a set of names that changes whenever segments were deleted.
//!
//! It is a set and not a value, because a late repetition of an old write could bring an old value back. A bump
//! puts a new name and then deletes only the names that were listed before.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::backend::{ObjectName, Payload, Prefix, Store};
use crate::codec::{self, Extensions};
use crate::error::Result;
use crate::limits::RECORD_BYTES_MAX;
use crate::seal::{Kind, Sealer};

/// What an object of the epoch holds: nothing yet. Stored as an array of its fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Additions of later versions.
    pub extensions: Extensions,
}

impl EpochRecord {
    /// Encodes the record.
    pub fn encode(&self) -> Result<Vec<u8>> {
        codec::encode(self, RECORD_BYTES_MAX)
    }
}

/// The epoch as a client sees it.
pub(super) fn list_epoch(store: &Store) -> Result<BTreeSet<ObjectName>> {
    Ok(store.list(&Prefix::of("gc/epoch"))?.into_iter().map(|object| object.name).collect())
}

/// Makes every client that looked before look again.
pub(crate) fn bump_epoch(store: &Store, sealer: &Sealer<'_>) -> Result<()> {
    let before = list_epoch(store)?;
    let sealed = sealer.seal(Kind::Epoch, &EpochRecord { extensions: Extensions::none() }.encode()?)?;
    store.put(&ObjectName::of_object(Kind::Epoch, &sealed.id), Payload::from(sealed.bytes))?;
    before.iter().try_for_each(|name| store.delete(name))
}

/// Takes the epoch away again, before there is a repository. Without one nobody takes what exists for what existed.
pub(crate) fn withdraw_epoch(store: &Store) -> Result<()> {
    list_epoch(store)?.iter().try_for_each(|name| store.delete(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let record = EpochRecord { extensions: Extensions::none() };
        assert_eq!(record.encode().unwrap(), [0x91, 0x80]);
    }
}

//! Reads the records of one kind, whether they open or not.

use crate::backend::{ObjectName, Prefix, Store};
use crate::error::{Error, ErrorKind, Result, is_finding};
use crate::id::parse_object_id;
use crate::limits::RECORD_BYTES_MAX;
use crate::seal::{Kind, Sealer};

/// The records of one kind.
#[derive(Debug)]
pub struct Found<T> {
    /// Those that open.
    pub records: Vec<T>,
    /// Those that exist and do not open, and why.
    pub unreadable: Vec<(ObjectName, Error)>,
}

impl<T> Found<T> {
    /// Fails if one of them does not open: with its error, and the fact `object`.
    pub fn all(self) -> Result<Vec<T>> {
        match self.unreadable.into_iter().next() {
            Some((name, error)) => Err(error.with("object", name)),
            None => Ok(self.records),
        }
    }
}

/// Reads all records of `kind`. Foreign names are none, and one that vanishes meanwhile is skipped.
pub(super) fn read_all<T>(
    store: &Store,
    sealer: &Sealer<'_>,
    kind: Kind,
    decode: impl Fn([u8; 16], &[u8]) -> Result<T>,
) -> Result<Found<T>> {
    let names = store.list(&Prefix::of(kind.namespace()))?.into_iter().map(|object| object.name).collect();
    let mut found = Found { records: Vec::new(), unreadable: Vec::new() };
    for (name, bytes) in store.get_many(names, 2 * RECORD_BYTES_MAX) {
        let Some(id) = parse_object_id(name.last_part()) else { continue };
        let record = bytes
            .and_then(|bytes| sealer.open(kind, &id, &bytes, RECORD_BYTES_MAX))
            .and_then(|plain| decode(id, &plain));
        match record {
            Ok(record) => found.records.push(record),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) if is_finding(&error) => found.unreadable.push((name, error)),
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

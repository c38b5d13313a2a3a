//! Copies of damaged objects, kept before these are deleted.
//!
//! A copy has the bytes of its object as they were found, and a name that says which object that was and, by the
//! beginning of the hash of the bytes, which state of it. Nothing but people reads or deletes them.

use std::collections::BTreeSet;

use super::{ObjectName, Payload, Repository};
use crate::backend::Prefix;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{SegmentId, write_hex};
use crate::limits::OBJECT_BYTES_MAX;

const NAMESPACE: &str = "quarantine";
/// Bytes of the hash in a name.
pub(super) const HASH_BYTES: usize = 8;

impl Repository {
    /// Keeps a copy of an object as it is. Whether there was one: an object that is gone is fine.
    ///
    /// Fails if the object can not be read or the copy does not read back; then the object must stay.
    pub fn quarantine(&self, name: &ObjectName) -> Result<bool> {
        let store = &self.office.store;
        let bytes = match store.get_bounded(name, OBJECT_BYTES_MAX) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            read => read?,
        };
        let copy = copy_name(name, &bytes);
        match store.head(&copy) {
            Err(error) if error.kind() == ErrorKind::NotFound => store.put(&copy, Payload::from(bytes.clone()))?,
            kept => drop(kept?),
        }
        if store.get_bounded(&copy, OBJECT_BYTES_MAX)? != bytes {
            return Err(Error::damaged("keep copy", "it reads back differently").with("object", copy));
        }
        Ok(true)
    }

    /// Keeps a copy of an object and deletes it. Only for objects that nothing needs any more.
    pub fn discard(&self, name: &ObjectName) -> Result<()> {
        if self.quarantine(name)? { self.office.store.delete(name) } else { Ok(()) }
    }

    /// The segments of which a copy is kept.
    pub fn quarantined_segments(&self) -> Result<BTreeSet<SegmentId>> {
        let kept = self.office.store.list(&Prefix::of(NAMESPACE))?;
        let segment = |copy: &str| copy.strip_prefix("segments.")?.split_once('.')?.0.parse().ok();
        Ok(kept.iter().filter_map(|object| segment(object.name.last_part())).collect())
    }
}

fn copy_name(name: &ObjectName, bytes: &[u8]) -> ObjectName {
    let mut hash = String::new();
    // Writing to a string does not fail.
    let _ = write_hex(&mut hash, &blake3::hash(bytes).as_bytes()[..HASH_BYTES]);
    ObjectName::of(NAMESPACE, format_args!("{}.{hash}", name.as_str().replace('/', ".")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::backend::{MemoryBackend, Store};
    use crate::clock::SystemClock;
    use crate::repository::{Client, NewRepository};

    #[test]
    fn nothing_goes_without_a_copy() {
        let store = Store::new(Arc::new(MemoryBackend::new())).unwrap();
        let repository =
            Repository::create(store.clone(), Client::default(), &NewRepository::plain(), &SystemClock).unwrap();
        let name = ObjectName::of("gc/doom", "0a".repeat(16));
        assert!(!repository.quarantine(&name).unwrap());
        for state in [&b"one"[..], b"two"] {
            store.put(&name, Payload::from(state.to_vec())).unwrap();
            assert!(repository.quarantine(&name).unwrap());
            repository.discard(&name).unwrap();
            assert_eq!(store.head(&name).unwrap_err().kind(), ErrorKind::NotFound);
        }
        let copy = copy_name(&name, b"two");
        assert!(copy.as_str().starts_with(&format!("quarantine/gc.doom.{}.", "0a".repeat(16))), "{copy}");
        assert_eq!(store.get_bounded(&copy, 9).unwrap(), b"two"[..]);
        let segment = SegmentId::from_bytes([0x1b; 16]);
        store.put(&ObjectName::of("segments", segment), Payload::from(b"three".to_vec())).unwrap();
        repository.discard(&ObjectName::of("segments", segment)).unwrap();
        assert_eq!(repository.quarantined_segments().unwrap(), [segment].into());
    }
}

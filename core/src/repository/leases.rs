//! Leases in the store: `locks/<id>`.

use super::{ObjectName, Payload, Prefix, Repository};
use crate::error::{ErrorKind, Result};
use crate::gc::{LeaseRecord, Look};
use crate::id::{LeaseId, parse_object_id};
use crate::limits::RECORD_BYTES_MAX;
use crate::seal::Kind;

impl Repository {
    /// Puts a lease. Whoever wants to be sure that no collector is at work looks afterwards whether one
    /// [is](Repository::is_collecting).
    pub fn put_lease(&self, lease: &LeaseRecord) -> Result<LeaseId> {
        let sealed = self.office.sealer().seal(Kind::Lock, &lease.encode()?)?;
        let id = LeaseId::from_bytes(sealed.id);
        self.office.store.put(&ObjectName::of("locks", id), Payload::from(sealed.bytes))?;
        Ok(id)
    }

    /// Ends a lease; one that is gone already is fine.
    pub fn end_lease(&self, id: &LeaseId) -> Result<()> {
        match self.office.store.delete(&ObjectName::of("locks", id)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// All leases, by id; what does not open is told as the error it gave.
    pub fn leases(&self) -> Result<Vec<(LeaseId, Result<LeaseRecord>)>> {
        let ids = self.lease_ids()?.iter().map(|id| *id.as_bytes()).collect();
        let records = self.read_records(Kind::Lock, ids, 2 * RECORD_BYTES_MAX);
        let leases =
            records.map(|(id, plain)| (LeaseId::from_bytes(id), plain.and_then(|plain| LeaseRecord::decode(&plain))));
        // One that ended since the list was made is none.
        let there = |lease: &Result<LeaseRecord>| !lease.as_ref().is_err_and(|e| e.kind() == ErrorKind::NotFound);
        Ok(leases.filter(|(_, lease)| there(lease)).collect())
    }

    /// The names of all leases.
    pub fn lease_ids(&self) -> Result<Vec<LeaseId>> {
        let listed = self.office.store.list(&Prefix::of("locks"))?;
        let ids = listed.iter().filter_map(|object| parse_object_id(object.name.last_part()));
        Ok(ids.map(LeaseId::from_bytes).collect())
    }

    /// Whether there are segments that a collector is about to delete, or was when it died.
    pub fn is_collecting(&self) -> Result<bool> {
        let mut look = Look::begin(&self.office.store, &self.office.sealer())?;
        look.see_segments(&self.office.store)?;
        Ok(look.dooms().iter().flat_map(|doom| &doom.record.segments).any(|id| look.exists(id)))
    }
}

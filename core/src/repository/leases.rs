//! Leases in the store: `locks/<id>`.

use super::{ObjectName, Payload, Repository};
use crate::error::{ErrorKind, Result};
use crate::gc::{LeaseRecord, Look};
use crate::id::LeaseId;
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
        self.office.store.delete(&ObjectName::of("locks", id))
    }

    /// All leases, by id; what does not open is told as the error it gave.
    pub fn leases(&self) -> Result<Vec<(LeaseId, Result<LeaseRecord>)>> {
        let records = self.read_records(Kind::Lock, self.record_ids(Kind::Lock)?, 2 * RECORD_BYTES_MAX);
        let leases =
            records.map(|(id, plain)| (LeaseId::from_bytes(id), plain.and_then(|plain| LeaseRecord::decode(&plain))));
        // One that ended since the list was made is none.
        let there = |lease: &Result<LeaseRecord>| !lease.as_ref().is_err_and(|e| e.kind() == ErrorKind::NotFound);
        Ok(leases.filter(|(_, lease)| there(lease)).collect())
    }

    /// Whether there are segments that a collector is about to delete, or was when it died.
    ///
    /// Fails as `Damaged` if a doom does not open: what it names is unknown.
    pub fn is_collecting(&self) -> Result<bool> {
        let mut look = Look::begin(&self.office.store, &self.office.sealer())?;
        look.see_segments(&self.office.store)?;
        look.require_dooms("look for a collector")?;
        Ok(look.doomed_segments().next().is_some())
    }
}

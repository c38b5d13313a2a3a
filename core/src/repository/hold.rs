//! Pendings: of clients that write, and of those who read for long and write nothing.
//!
//! To a collector every pending is the same: what its base reaches is needed. So a reader that puts one before it
//! makes sure that its archive is still live keeps the archive readable, whatever is deleted meanwhile.

use super::collector::given_up_name;
use super::{ObjectName, Office, Payload, Repository};
use crate::error::{ErrorKind, Result};
use crate::id::PendingId;
use crate::seal::Kind;

impl Repository {
    /// Puts a pending for somebody who will never publish an archive. Fails if an unknown feature forbids to write.
    pub fn put_hold(&self, pending: &[u8]) -> Result<PendingId> {
        self.office.config.check_writable()?;
        self.office.put_pending(pending)
    }
}

impl Office {
    /// Puts a pending.
    pub fn put_pending(&self, plain: &[u8]) -> Result<PendingId> {
        let sealed = self.sealer().seal(Kind::Pending, plain)?;
        let id = PendingId::from_bytes(sealed.id);
        self.store.put(&ObjectName::of("pending", id), Payload::from(sealed.bytes))?;
        Ok(id)
    }

    /// Whether no collector took the client of this pending for dead: it would say so before the pending goes.
    pub fn keeps_pending(&self, id: &PendingId) -> Result<bool> {
        let there = |name: &ObjectName| match self.store.head(name) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        };
        Ok(!there(&given_up_name(id))? && there(&ObjectName::of("pending", id))?)
    }
}

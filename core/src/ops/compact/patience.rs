//! Which clients are taken for dead.
//!
//! A backup that is taken for dead although it lives has some more work. A mount has no more than its pending: what it
//! shows and nobody else needs would go. Its clock may be wrong by years, so what counts is how long this machine has
//! seen the pending, by its own clock; a mount that lives puts a new one every day.

use super::roots::Roots;
use crate::clock::Timestamp;
use crate::id::PendingId;
use crate::monitor::{Event, Monitor, Warning};
use crate::ops::memory::Memory;
use crate::repository::Repository;

/// What this machine remembers them by.
const MEMORY: &str = "pendings";

/// Pendings that have been there for so many seconds. Who never looked before believes their clients, and who can not
/// read what it remembers takes nobody for dead.
pub(super) fn dead(
    repository: &Repository,
    roots: &Roots,
    seconds: i64,
    now: Timestamp,
    monitor: &dyn Monitor,
) -> Vec<PendingId> {
    let limit = Timestamp::new(now.seconds.saturating_sub(seconds), now.nanoseconds);
    let mut seen = match Memory::load(repository, MEMORY) {
        Ok(seen) => seen,
        Err(error) => {
            monitor.event(&Event::Warning { warning: Warning::Repository, path: b"", error: &error });
            return Vec::new();
        }
    };
    let is_there = |id: &[u8; 16]| roots.pendings.contains_key(&PendingId::from_bytes(*id));
    seen.retain(is_there);
    roots.pendings.keys().for_each(|id| seen.note_first(*id.as_bytes(), now));
    // Who can not remember believes again the next time.
    let _ = seen.save(repository);
    if seen.is_new() {
        return roots.pendings_before(limit);
    }
    let waited_for = |id: &&PendingId| i64::from(seen.minute(id.as_bytes())) * 60 <= limit.seconds;
    roots.pendings.keys().filter(waited_for).copied().collect()
}

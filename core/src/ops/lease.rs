//! Keeps collectors away while somebody works who does not know of them, such as a program that copies the repository.
//!
//! Holder and collector shake hands: the holder puts a lease and then waits until no doomed segment exists; a collector
//! puts its doom and then waits until there is no lease before it deletes a segment. So at least one of them sees the other. Nothing
//! depends on it but the holder's own plans: a lease can be broken at any time.

use std::time::Duration;

use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::gc::LeaseRecord;
use crate::id::LeaseId;
use crate::monitor::Monitor;
use crate::repository::Repository;

/// How long to wait before looking again.
const STEP: Duration = Duration::from_millis(500);

/// Takes a lease and waits, so long at most, until no collector is at work.
///
/// # Errors
/// `Locked` if one still is, `Damaged` if a doom does not open: then there is no lease. `PermissionDenied` for a client that could not end it. `Interrupted`.
pub fn take_lease(
    repository: &Repository,
    lease: &LeaseRecord,
    most: Duration,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<LeaseId> {
    repository.permissions().require_all("take lease")?;
    let id = repository.put_lease(lease)?;
    clock.wait(repository.list_staleness());
    let waited = wait_until(most, clock, monitor, &mut || {
        let collecting = repository.is_collecting()?;
        Ok(collecting.then(|| Error::new(ErrorKind::Locked, "take lease").with("by", "a collector (compact)")))
    });
    if let Err(error) = waited {
        repository.end_lease(&id)?;
        return Err(error);
    }
    Ok(id)
}

/// Waits, so long at most, until nobody holds a lease.
///
/// # Errors
/// `Locked` with the facts of a lease if somebody still does. `Interrupted`.
pub fn wait_for_leases(
    repository: &Repository,
    most: Duration,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<()> {
    wait_until(most, clock, monitor, &mut || {
        Ok(repository.leases()?.into_iter().next().map(|(id, lease)| held(&id, lease)))
    })
}

fn held(id: &LeaseId, lease: Result<LeaseRecord>) -> Error {
    let error = Error::new(ErrorKind::Locked, "wait for lease").with("lease", id);
    match lease {
        Ok(lease) => error
            .with("by", format_args!("{}@{}", lease.user, lease.host))
            .with("process", lease.process)
            .with("for", lease.purpose),
        Err(unreadable) => error.because(unreadable),
    }
}

/// Asks `obstacle` until it finds none, or as long as told; then it is the error.
fn wait_until(
    most: Duration,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
    obstacle: &mut dyn FnMut() -> Result<Option<Error>>,
) -> Result<()> {
    let mut waited = Duration::ZERO;
    while let Some(error) = obstacle()? {
        if waited >= most {
            return Err(error);
        }
        monitor.stop_if_asked("wait for lease")?;
        let step = STEP.min(most - waited);
        clock.wait(step);
        waited += step;
    }
    Ok(())
}

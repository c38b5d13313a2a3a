//! From a location to a backend: the one place where stores are chosen and layers are stacked.

use std::sync::Arc;

use gabion_core::backend::{Backend, MemoryBackend};
use gabion_core::error::Result;

use crate::{LocalBackend, Location};

/// What is expected at a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing yet: a repository is about to be made there.
    Create,
    /// A repository.
    Existing,
}

/// Opens the store at a location. Whether there is, or may be, a repository in it is for the engine to see.
///
/// Errors: those of [`LocalBackend::create`] and [`LocalBackend::open`].
pub fn open(location: &Location, access: Access) -> Result<Arc<dyn Backend>> {
    Ok(match (location, access) {
        (Location::Local(path), Access::Create) => Arc::new(LocalBackend::create(path)?),
        (Location::Local(path), Access::Existing) => Arc::new(LocalBackend::open(path)?),
        (Location::Memory, _) => Arc::new(MemoryBackend::new()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use gabion_core::backend::conformance::{Options, check};
    use gabion_core::error::ErrorKind;

    #[test]
    fn what_is_opened_keeps_the_contract() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("new");
        for location in [Location::parse("memory:").unwrap(), Location::Local(path)] {
            let backend = open(&location, Access::Create).unwrap();
            assert_eq!(backend.location(), location.to_string());
            let report = runtime.block_on(check(backend, Options { names: 20, rounds: 3, ..Options::quick() }));
            assert!(report.is_clean(), "{location}: {report}");
        }
    }

    #[test]
    fn only_create_creates() {
        let place = tempfile::tempdir().unwrap();
        let location = Location::Local(place.path().join("new"));
        assert_eq!(open(&location, Access::Existing).unwrap_err().kind(), ErrorKind::RepositoryNotFound);
        open(&location, Access::Create).unwrap();
        open(&location, Access::Existing).unwrap();
    }
}

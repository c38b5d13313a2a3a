//! From a location to a backend: the one place where stores are chosen and layers are stacked.
//!
//! Each store has layers of its own, from the outside in: `retry`, `limit`, `trace`. So a repetition waits for its
//! turn like any other call, and is counted. Around everything, once, is the `cache`.

use std::sync::Arc;

use gabion_core::backend::{Backend, MemoryBackend};
use gabion_core::error::Result;

use crate::layer::{
    Bandwidth, CacheBackend, CachePlace, LimitBackend, Limits, RetryBackend, RetryOptions, Trace, TraceBackend,
};
use crate::{LocalBackend, Location};

/// What is expected at a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing yet: a repository is about to be made there.
    Create,
    /// A repository.
    Existing,
}

/// How stores are treated. The default is patient, unlimited and without a cache.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// Calls under way at the same time, per store; what a store thinks best if `None`.
    pub connections: Option<usize>,
    /// Bytes a second that are sent, to all stores together.
    pub upload_limit: Option<u64>,
    /// Bytes a second that are received, from all stores together.
    pub download_limit: Option<u64>,
    /// How patiently calls are repeated.
    pub retry: RetryOptions,
    /// Hears of every call of every store.
    pub trace: Trace,
    /// Where copies of small objects are kept; only stores that are not of this machine have any.
    pub cache: Option<CachePlace>,
}

/// Opens the store at a location. Whether there is, or may be, a repository in it is for the engine to see.
///
/// Errors: those of [`LocalBackend::create`] and [`LocalBackend::open`].
pub fn open(location: &Location, access: Access, options: &OpenOptions) -> Result<Arc<dyn Backend>> {
    let limits = Limits {
        connections: options.connections,
        upload: options.upload_limit.map(Bandwidth::new),
        download: options.download_limit.map(Bandwidth::new),
    };
    let store = Opener { access, options, limits }.store(location)?;
    Ok(match &options.cache {
        Some(place) if location.is_remote() => Arc::new(CacheBackend::new(store, place)),
        _ => store,
    })
}

/// What all stores of one location share.
struct Opener<'a> {
    access: Access,
    options: &'a OpenOptions,
    limits: Limits,
}

impl Opener<'_> {
    /// A store with its own layers.
    fn store(&self, location: &Location) -> Result<Arc<dyn Backend>> {
        let store: Arc<dyn Backend> = match (location, self.access) {
            (Location::Local(path), Access::Create) => Arc::new(LocalBackend::create(path)?),
            (Location::Local(path), Access::Existing) => Arc::new(LocalBackend::open(path)?),
            (Location::Memory, _) => Arc::new(MemoryBackend::new()),
        };
        let traced = Arc::new(TraceBackend::new(store, &self.options.trace));
        let limited = Arc::new(LimitBackend::new(traced, self.limits.clone()));
        Ok(Arc::new(RetryBackend::new(limited, self.options.retry)))
    }
}

#[cfg(test)]
mod tests {
    use gabion_core::backend::conformance::{Options, check};
    use gabion_core::error::ErrorKind;

    use super::*;

    fn opened(location: &Location, access: Access) -> Result<Arc<dyn Backend>> {
        open(location, access, &OpenOptions::default())
    }

    #[test]
    fn what_is_opened_keeps_the_contract() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("new");
        for location in [Location::parse("memory:").unwrap(), Location::Local(path)] {
            let options = OpenOptions { connections: Some(3), upload_limit: Some(1 << 40), ..OpenOptions::default() };
            let backend = open(&location, Access::Create, &options).unwrap();
            assert_eq!(backend.location(), location.to_string());
            assert_eq!(backend.capabilities().concurrency, 3);
            let report = runtime.block_on(check(backend, Options { names: 20, rounds: 3, ..Options::quick() }));
            assert!(report.is_clean(), "{location}: {report}");
            assert!(!options.trace.stores()[0].methods.is_empty());
        }
    }

    #[test]
    fn only_create_creates() {
        let place = tempfile::tempdir().unwrap();
        let location = Location::Local(place.path().join("new"));
        assert_eq!(opened(&location, Access::Existing).unwrap_err().kind(), ErrorKind::RepositoryNotFound);
        opened(&location, Access::Create).unwrap();
        opened(&location, Access::Existing).unwrap();
    }
}

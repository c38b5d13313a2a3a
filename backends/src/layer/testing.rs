//! What the tests of layers have in common.

use std::sync::Arc;

use gabion_core::backend::conformance::{Options, check};
use gabion_core::backend::{Backend, MemoryBackend, ObjectName};
use tokio::runtime::{Builder, Runtime};

/// A runtime with two threads.
pub(super) fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A name that is valid.
pub(super) fn named(name: &str) -> ObjectName {
    ObjectName::new(name).unwrap()
}

/// Runs the conformance suite over a layer around a store in memory.
pub(super) fn keeps_the_contract(wrap: impl FnOnce(Arc<dyn Backend>) -> Arc<dyn Backend>) {
    let report = runtime().block_on(check(wrap(Arc::new(MemoryBackend::new())), Options::quick()));
    assert!(report.is_clean(), "{report}");
}

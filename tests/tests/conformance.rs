//! Wrappers of the testkit that inject nothing keep the contract.

use std::sync::Arc;

use gabion_core::backend::conformance::{Options, check};
use gabion_core::backend::{Backend, MemoryBackend};
use gabion_tests::{FaultyBackend, RecordingBackend, StrictBackend};

fn keeps_the_contract(wrap: impl FnOnce(Arc<dyn Backend>) -> Arc<dyn Backend>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let report = runtime.block_on(check(wrap(Arc::new(MemoryBackend::new())), Options::quick()));
    assert!(report.is_clean(), "{report}");
}

#[test]
fn recording() {
    keeps_the_contract(|inner| Arc::new(RecordingBackend::new(inner)));
}

#[test]
fn faulty_without_faults() {
    keeps_the_contract(|inner| Arc::new(FaultyBackend::new(inner)));
}

#[test]
fn strict() {
    keeps_the_contract(|inner| Arc::new(StrictBackend::new(inner)));
}

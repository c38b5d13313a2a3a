//! Layers: backends that wrap another backend, change one thing and forward the rest.
//!
//! In which order they are stacked is decided in one place, `open.rs`.

pub mod cache;
mod limit;
mod retry;
mod trace;

pub use cache::{CacheBackend, CachePlace};
pub use limit::{Bandwidth, LimitBackend, Limits};
pub use retry::{RetryBackend, RetryOptions};
pub use trace::{Method, StoreTrace, Totals, Trace, TraceBackend};

#[cfg(test)]
mod testing;

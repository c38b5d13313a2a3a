//! Layers: backends that wrap another backend, change one thing and forward the rest.
//!
//! In which order they are stacked is decided in one place, `open.rs`; for the clients of a server in
//! `ssh/serve.rs`.

mod ahead;
pub mod cache;
mod limit;
mod permit;
mod quota;
mod retry;
mod trace;
mod verify;

pub use ahead::AheadBackend;
pub use cache::{CacheBackend, CachePlace};
pub use limit::{Bandwidth, LimitBackend, Limits};
pub use permit::PermitBackend;
pub use quota::QuotaBackend;
pub use retry::{RetryBackend, RetryOptions};
pub use trace::{Method, StoreTrace, Totals, Trace, TraceBackend};
pub use verify::VerifyBackend;
pub(crate) use verify::check_whole;

#[cfg(test)]
mod testing;

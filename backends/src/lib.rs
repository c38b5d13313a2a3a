//! Stores for Gabion: implementations of [`gabion_core::backend::Backend`], opened by their location.
//!
//! [`Location::parse`] understands what people write, [`open`] opens it and stacks the layers of [`layer`] around it.
//! Every store and every layer keeps the numbered contract of `gabion_core::backend` and is run through its
//! conformance suite.

mod class;
mod computing;
pub mod erasure;
#[cfg(any(feature = "redb", feature = "redis"))]
pub mod kv;
pub mod layer;
pub mod local;
mod location;
#[cfg(feature = "s3")]
pub mod object_store;
mod open;
#[cfg(feature = "opendal")]
pub mod opendal;
pub mod parity;
mod reed_solomon;
pub mod scrub;
mod seen;
#[cfg(feature = "sftp")]
pub mod sftp;
pub mod ssh;
#[cfg_attr(not(all(feature = "s3", feature = "redis")), allow(dead_code, reason = "each store needs some of it"))]
mod url;
mod variables;

use std::time::Duration;

pub use erasure::ErasureBackend;
pub use local::{LocalBackend, Sharing};
pub use location::{Location, Named, Names};
pub use open::{Access, OpenOptions, Opened, open, open_for_scrub};
pub use parity::ParityBackend;
#[cfg(feature = "sftp")]
pub use sftp::SftpBackend;
pub use ssh::SshBackend;
pub use url::Hidden;
pub use variables::Variables;

use computing::computing;

/// How old a list of a store that nobody knows may be.
#[cfg_attr(not(any(feature = "s3", feature = "opendal")), allow(dead_code, reason = "only such stores ask"))]
const UNKNOWN_STALENESS: Duration = Duration::from_secs(90);

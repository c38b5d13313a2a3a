//! Stores for Gabion: implementations of [`gabion_core::backend::Backend`], opened by their location.
//!
//! [`Location::parse`] understands what people write, [`open`] opens it and stacks the layers of [`layer`] around it.
//! Every store and every layer keeps the numbered contract of `gabion_core::backend` and is run through its
//! conformance suite.

mod computing;
pub mod erasure;
pub mod layer;
pub mod local;
mod location;
mod open;
pub mod parity;
mod reed_solomon;
pub mod scrub;
#[cfg(feature = "sftp")]
pub mod sftp;
pub mod ssh;
mod url;

pub use erasure::ErasureBackend;
pub use local::LocalBackend;
pub use location::Location;
pub use open::{Access, OpenOptions, Opened, open, open_for_scrub};
pub use parity::ParityBackend;
#[cfg(feature = "sftp")]
pub use sftp::SftpBackend;
pub use ssh::SshBackend;
pub use url::Hidden;

use computing::computing;

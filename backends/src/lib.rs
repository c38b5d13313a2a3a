//! Stores for Gabion: implementations of [`gabion_core::backend::Backend`], opened by their location.
//!
//! [`Location::parse`] understands what people write, [`open`] opens it and stacks the layers of [`layer`] around it.
//! Every store and every layer keeps the numbered contract of `gabion_core::backend` and is run through its
//! conformance suite.

pub mod layer;
pub mod local;
mod location;
mod open;
#[cfg_attr(not(test), expect(dead_code, reason = "the first stores that are reached by URLs are being built"))]
mod url;

pub use local::LocalBackend;
pub use location::Location;
pub use open::{Access, OpenOptions, open};
pub use url::Hidden;

//! Stores for Gabion: implementations of [`gabion_core::backend::Backend`], opened by their location.
//!
//! [`Location::parse`] understands what people write, [`open`] opens it. Every store and every layer keeps the
//! numbered contract of `gabion_core::backend` and is run through its conformance suite.

pub mod local;
mod location;
mod open;

pub use local::LocalBackend;
pub use location::Location;
pub use open::{Access, open};

//! The engine of Gabion.

pub mod archive;
pub mod backend;
pub mod chunker;
pub mod clock;
pub mod codec;
pub mod compress;
pub mod error;
pub mod id;
pub mod limits;
pub mod local_state;
pub mod monitor;
pub mod repository;
pub mod segment;

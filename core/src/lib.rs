//! The engine of Gabion.

pub mod archive;
pub mod backend;
pub mod clock;
pub mod codec;
pub mod error;
pub mod fs;
pub mod id;
pub mod limits;
pub mod local_state;
pub mod monitor;
pub mod repository;
pub mod segment;

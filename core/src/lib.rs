//! The engine of Gabion.

pub mod archive;
pub mod backend;
pub mod chunker;
pub mod clock;
pub mod codec;
pub mod compress;
pub mod crypto;
pub mod error;
pub mod fs;
pub mod gc;
pub mod id;
pub mod index;
pub mod limits;
pub mod local_state;
pub mod monitor;
pub mod ops;
pub mod pattern;
pub mod repository;
pub mod seal;
pub mod segment;

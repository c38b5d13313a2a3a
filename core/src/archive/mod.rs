//! The model: what was backed up.

pub mod metadata;

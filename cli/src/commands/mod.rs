//! One file per command: what may be typed, what it means, and running it.

pub mod create;
pub mod extract;
pub mod list;
pub mod repo_create;
pub mod repo_list;

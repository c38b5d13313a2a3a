//! One file per command: what may be typed, what it means, and running it.

pub mod benchmark;
pub mod check;
pub mod compact;
pub mod completion;
pub mod create;
pub mod debug;
pub mod delete;
pub mod diff;
pub mod extract;
pub mod find;
pub mod help;
pub mod import;
pub mod info;
pub mod key;
pub mod list;
pub mod prune;
pub mod rename;
pub mod repo_create;
pub mod repo_info;
pub mod repo_list;
pub mod scrub;
pub mod tag;
pub mod undelete;
pub mod version;

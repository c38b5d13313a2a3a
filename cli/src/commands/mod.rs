//! One file per command: what may be typed, what it means, and running it.

pub mod analyze;
pub mod benchmark;
pub mod cache;
pub mod check;
pub mod compact;
pub mod completion;
pub mod create;
pub mod debug;
pub mod delete;
pub mod diff;
pub mod export_tar;
pub mod extract;
pub mod find;
pub mod help;
pub mod import;
pub mod import_tar;
pub mod info;
pub mod key;
pub mod list;
pub mod man;
#[cfg(all(feature = "mount", target_os = "linux"))]
pub mod mount;
pub mod prune;
pub mod recreate;
pub mod rename;
pub mod repo_compress;
pub mod repo_create;
pub mod repo_delete;
pub mod repo_info;
pub mod repo_list;
pub mod repo_space;
pub mod run;
pub mod scrub;
pub mod serve;
pub mod tag;
mod tar_filter;
pub mod transfer;
#[cfg(all(feature = "mount", target_os = "linux"))]
pub mod umount;
pub mod undelete;
pub mod version;
pub mod with_lock;

//! Archives as a file system, read-only, through FUSE.
//!
//! A [`View`] says what is shown: one archive, many of them as directories, or all versions of every file side by
//! side. It is made of an open repository and a list of archives, and reads nothing before somebody looks:
//! [`mount()`] takes the same time for an archive of ten files and for one of ten million.
//!
//! What the kernel knows is remembered in a few dozen bytes per name ([`inodes`](self)); everything else is read
//! when it is asked for, through caches of fixed size. Whatever is in an archive, a damaged one too, a reader gets the
//! bytes that were backed up or an input/output error, and the rest stays readable.

#![cfg(target_os = "linux")]

mod attributes;
mod chunks;
mod directory;
mod filesystem;
mod handles;
mod inodes;
mod leases;
mod listing;
mod mount;
mod versions;
mod view;

pub use attributes::Owners;
pub use mount::{Access, MountOptions, Mounted, Stopper, mount};
pub use view::{Layout, Shown, View, ViewOptions};

//! Where operating systems differ, behind one small interface.
//!
//! `linux.rs` is what backups are made with. `unix.rs` keeps to POSIX and does without attributes
//! and flags; tests compile and use it on Linux too, so that it can not rot.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(not(target_os = "linux"), test))]
mod unix;

use rustix::fd::BorrowedFd;

#[cfg(target_os = "linux")]
pub(super) use linux::{
    NO_ACCESS_TIME, NO_ATTRIBUTE, SEARCH, announce_sequential, change_flags, get_attribute, list_attributes, make_node,
    read_names, remove_attribute, seek_data, seek_hole, set_attribute, set_mode, set_owner, set_times, stat_at,
    stat_open, with_reference,
};
#[cfg(not(target_os = "linux"))]
pub(super) use unix::{
    NO_ACCESS_TIME, NO_ATTRIBUTE, SEARCH, announce_sequential, change_flags, get_attribute, list_attributes, make_node,
    read_names, remove_attribute, seek_data, seek_hole, set_attribute, set_mode, set_owner, set_times, stat_at,
    stat_open, with_reference,
};

/// How the file an operation concerns is addressed. No variant ever follows a symbolic link.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject<'a> {
    /// By a descriptor that is open for reading or writing.
    Open(BorrowedFd<'a>),
    /// By a descriptor that only refers to the file: special files must not be opened, symbolic
    /// links can not be.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux has such descriptors"))]
    Reference(BorrowedFd<'a>),
    /// By its name in a directory; another file may have the name by the next call.
    Named(BorrowedFd<'a>, &'a [u8]),
}

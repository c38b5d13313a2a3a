//! What tests of the file system share.

use std::os::fd::AsFd;
use std::path::Path;

use super::platform::{self, Subject};

/// Whether the test runs as root. If not it says so, or fails where everything must be tested.
pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root() || skipped("not root")
}

/// Whether temporary files take attributes. If not it says so, or fails where everything must be tested.
pub(crate) fn attributes_work() -> bool {
    let file = tempfile::tempfile().unwrap();
    let set = platform::set_attribute(Subject::Open(file.as_fd()), b"user.gabion", b"1");
    set.is_ok() || skipped("no attributes in the temporary directory")
}

/// Whether temporary files take flags. If not it says so, or fails where everything must be tested.
pub(super) fn flags_work() -> bool {
    let file = tempfile::tempfile().unwrap();
    platform::change_flags(file.as_fd(), 0, 4).is_ok() || skipped("no flags in the temporary directory")
}

fn skipped(reason: &str) -> bool {
    assert!(std::env::var_os("GABION_TEST_REQUIRE").is_none_or(|value| value != "all"), "must not skip: {reason}");
    eprintln!("skipped: {reason}");
    false
}

/// The system's encoding of the ACL `user::rw-, user:UID:rwx, group::r--, mask::rwx, other::---`.
pub(super) fn access_acl(uid: u32) -> Vec<u8> {
    let mut acl = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in
        [(1u16, 6u16, u32::MAX), (2, 7, uid), (4, 4, u32::MAX), (16, 7, u32::MAX), (32, 0, u32::MAX)]
    {
        acl.extend_from_slice(&tag.to_le_bytes());
        acl.extend_from_slice(&permissions.to_le_bytes());
        acl.extend_from_slice(&id.to_le_bytes());
    }
    acl
}

/// Clears flags that would keep a temporary directory from being removed, when dropped.
pub(super) struct Unprotect<'a>(pub(super) &'a Path);

impl Drop for Unprotect<'_> {
    fn drop(&mut self) {
        if let Ok(file) = std::fs::File::open(self.0) {
            let _ = platform::change_flags(file.as_fd(), u32::MAX, 0);
        }
    }
}

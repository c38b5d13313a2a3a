//! The street: files of the machine, read and written.
//!
//! This is the only part of the engine that knows the file system (beside
//! [`crate::local_state`]). It is safe against whoever moves things about while
//! a backup or a restore runs, because a path is walked handle by handle: every
//! step names one entry of an open directory and never follows a symbolic link,
//! and what was opened is compared with what was looked at. Nothing an archive
//! says can lead out of the target, because a name with `/`, `.`, or `..` is
//! refused before the system sees it. No `unsafe` code is needed.
//!
//! Names, link targets, and attributes are raw bytes; nothing is taken for UTF-8.

pub mod attributes;
pub mod open;
mod platform;
pub mod restore;
pub mod source;
pub mod stat;
pub mod target;
pub mod target_file;
#[cfg(test)]
pub(crate) mod testing;
pub mod users;

use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Result};
use crate::limits::NAME_BYTES_MAX;

/// Refuses what is not the name of one entry of a directory: an empty name, `.`, `..`, one with
/// `/` or NUL in it, or one of more than [`NAME_BYTES_MAX`] bytes.
pub fn check_name(name: &[u8]) -> Result<()> {
    let refuse = |kind| Err(named(Error::new(kind, "check file name"), name));
    if name.len() > NAME_BYTES_MAX {
        return refuse(ErrorKind::LimitExceeded);
    }
    if matches!(name, b"" | b"." | b"..") || name.iter().any(|byte| matches!(byte, b'/' | 0)) {
        return refuse(ErrorKind::InvalidInput);
    }
    Ok(())
}

/// How many descriptors this process may have.
pub(crate) fn descriptors_max() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Classifies an error of the system that concerns the entry `name`.
fn failed(operation: &'static str, name: &[u8], errno: Errno) -> Error {
    named(unnamed(operation, errno), name)
}

/// Classifies an error of the system that concerns something already open.
fn unnamed(operation: &'static str, errno: Errno) -> Error {
    match errno {
        Errno::NOTSUP | Errno::NOSYS | Errno::NOTTY => {
            Error::new(ErrorKind::Unsupported, operation).because(std::io::Error::from(errno))
        }
        Errno::TOOBIG => Error::new(ErrorKind::LimitExceeded, operation).because(std::io::Error::from(errno)),
        _ => Error::from_io(operation, errno.into()),
    }
}

/// The entry `name` is not what it was when it was looked at.
fn changed(operation: &'static str, name: &[u8]) -> Error {
    named(Error::new(ErrorKind::SourceChanged, operation), name)
}

fn named(error: Error, name: &[u8]) -> Error {
    error.with("name", name.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_entry_pass() {
        for name in [&b"a"[..], b"...", b"-rf", b"a\nb", b"\xff\xfe", b" ", &[b'x'; 255]] {
            check_name(name).unwrap();
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in [&b""[..], b".", b"..", b"/", b"a/b", b"/etc", b"../x", b"a/", b"a\0b", b"\0"] {
            assert_eq!(check_name(name).unwrap_err().kind(), ErrorKind::InvalidInput, "{name:?}");
        }
        assert_eq!(check_name(&[b'x'; NAME_BYTES_MAX + 1]).unwrap_err().kind(), ErrorKind::LimitExceeded);
    }
}

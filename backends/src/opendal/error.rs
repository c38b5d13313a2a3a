//! What the library's errors mean.

use std::error::Error as _;
use std::io;

use gabion_core::backend::ObjectName;
use gabion_core::error::{Error, ErrorKind};
use opendal::ErrorKind as Theirs;

/// Translates an error of the library about an object.
pub(super) fn told(operation: &'static str, name: &ObjectName, error: opendal::Error) -> Error {
    translated(operation, error).with("object", name)
}

/// Translates an error of the library. Temporary is what it says is, and what servers and networks get over; a full
/// disk, a wrong password and the like are not, whatever it says.
pub(super) fn translated(operation: &'static str, error: opendal::Error) -> Error {
    let (kind, temporary) = match error.kind() {
        Theirs::NotFound | Theirs::IsADirectory | Theirs::NotADirectory => (ErrorKind::NotFound, false),
        Theirs::PermissionDenied => (ErrorKind::PermissionDenied, false),
        Theirs::Unsupported => (ErrorKind::Unsupported, false),
        Theirs::ConfigInvalid => (ErrorKind::InvalidInput, false),
        Theirs::RateLimited => (ErrorKind::Connection, true),
        Theirs::RangeNotSatisfied => (ErrorKind::Damaged, false),
        _ => unexpected(&error),
    };
    let error = match kind {
        ErrorKind::Damaged => Error::damaged(operation, "object is shorter than the range").because(error),
        kind => Error::new(kind, operation).because(error),
    };
    if temporary { error.temporary() } else { error }
}

fn unexpected(error: &opendal::Error) -> (ErrorKind, bool) {
    if let Some(system) = system(error) {
        return match system {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (ErrorKind::NoSpace, false),
            io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory => (ErrorKind::NotFound, false),
            io::ErrorKind::Interrupted | io::ErrorKind::TimedOut => (ErrorKind::Io, true),
            _ => (ErrorKind::Io, false),
        };
    }
    match status(&error.to_string()) {
        Some(401 | 403) => (ErrorKind::PermissionDenied, false),
        Some(404 | 410) => (ErrorKind::NotFound, false),
        Some(501 | 505) => (ErrorKind::Unsupported, false),
        // Somebody else makes the same directory, or holds the file.
        Some(408 | 409 | 423 | 429 | 500..=506) => (ErrorKind::Connection, true),
        Some(507) => (ErrorKind::NoSpace, false),
        Some(416) => (ErrorKind::Damaged, false),
        _ if error.is_temporary() => (ErrorKind::Connection, true),
        _ => (ErrorKind::Io, false),
    }
}

/// What the operating system said, of files.
fn system(error: &opendal::Error) -> Option<io::ErrorKind> {
    let mut cause = error.source();
    while let Some(found) = cause {
        // What is wrapped in an error of another library is one of the network.
        match found.downcast_ref::<io::Error>() {
            Some(io) if io.raw_os_error().is_some() => return Some(io.kind()),
            _ if found.is::<reqwest::Error>() => return None,
            _ => cause = found.source(),
        }
    }
    None
}

/// The status of the answer. The library tells it in words only.
fn status(text: &str) -> Option<u16> {
    let digits = text.split_once("Parts { status: ")?.1.get(..3)?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use gabion_core::error::Retry;

    use super::*;

    #[test]
    fn only_what_may_pass_is_temporary() {
        use Retry::{Permanent, Temporary};
        let answer = |status: &str| {
            let error = opendal::Error::new(Theirs::Unexpected, "words of the server");
            error.with_context("response", format!("Parts {{ status: {status}, version: HTTP/1.1 }}"))
        };
        let system = |kind| opendal::Error::new(Theirs::Unexpected, "x").set_temporary().set_source(kind);
        for (error, kind, retry) in [
            (answer("503"), ErrorKind::Connection, Temporary),
            (answer("423"), ErrorKind::Connection, Temporary),
            (answer("401"), ErrorKind::PermissionDenied, Permanent),
            (answer("501"), ErrorKind::Unsupported, Permanent),
            (answer("507"), ErrorKind::NoSpace, Permanent),
            (answer("405"), ErrorKind::Io, Permanent),
            (
                opendal::Error::new(Theirs::PermissionDenied, "x").set_temporary(),
                ErrorKind::PermissionDenied,
                Permanent,
            ),
            (opendal::Error::new(Theirs::Unexpected, "x").set_temporary(), ErrorKind::Connection, Temporary),
            (opendal::Error::new(Theirs::NotFound, "x"), ErrorKind::NotFound, Permanent),
            (opendal::Error::new(Theirs::RangeNotSatisfied, "x"), ErrorKind::Damaged, Permanent),
            (opendal::Error::new(Theirs::RateLimited, "x"), ErrorKind::Connection, Temporary),
            // ENOSPC, EISDIR.
            (system(io::Error::from_raw_os_error(28)), ErrorKind::NoSpace, Permanent),
            (system(io::Error::from_raw_os_error(21)), ErrorKind::NotFound, Permanent),
        ] {
            let text = error.to_string();
            let error = translated("get object", error);
            assert_eq!((error.kind(), error.retry()), (kind, retry), "{text}");
        }
    }
}

//! What the library's errors mean.

use gabion_core::backend::ObjectName;
use gabion_core::error::{Error, ErrorKind};
use object_store::client::{HttpError, HttpErrorKind};

use super::given::NoneGiven;

/// The fact that the place itself is missing.
pub(super) const BUCKET: &str = "bucket";

/// Translates an error of the library about an object.
pub(super) fn told(operation: &'static str, name: &ObjectName, error: object_store::Error) -> Error {
    translated(operation, error).with("object", name)
}

/// Translates an error of the library.
///
/// A conflict (409) means that somebody else is at it and nothing was stored: it is temporary, as everything is that
/// a server or a network may get over.
pub(super) fn translated(operation: &'static str, error: object_store::Error) -> Error {
    use object_store::Error as Theirs;
    let text = error.to_string();
    if ["<Code>NoSuchBucket<", "<Code>ContainerNotFound<"].iter().any(|code| text.contains(code)) {
        return Error::new(ErrorKind::NotFound, operation).with(BUCKET, "there is none of this name");
    }
    let kind = match &error {
        Theirs::NotFound { .. } => ErrorKind::NotFound,
        Theirs::PermissionDenied { .. } | Theirs::Unauthenticated { .. } => ErrorKind::PermissionDenied,
        Theirs::NotSupported { .. } | Theirs::NotImplemented { .. } => ErrorKind::Unsupported,
        Theirs::InvalidPath { .. } | Theirs::UnknownConfigurationKey { .. } => ErrorKind::InvalidInput,
        Theirs::AlreadyExists { .. } | Theirs::Precondition { .. } | Theirs::NotModified { .. } => {
            return Error::new(ErrorKind::Connection, operation).because(error).temporary();
        }
        _ => return generic(operation, error),
    };
    Error::new(kind, operation).because(error)
}

fn generic(operation: &'static str, error: object_store::Error) -> Error {
    match NoneGiven::behind(&error).map(|none| none.passes) {
        Some(true) => return Error::new(ErrorKind::Connection, operation).because(error).temporary(),
        Some(false) => return Error::new(ErrorKind::PermissionDenied, operation).because(error),
        None => {}
    }
    let (kind, temporary) = match status(&error) {
        // Some requests keep their status to themselves.
        Some(401 | 403) => (ErrorKind::PermissionDenied, false),
        Some(404) => (ErrorKind::NotFound, false),
        Some(409) => (ErrorKind::Connection, true),
        Some(501 | 505) => (ErrorKind::Unsupported, false),
        Some(507) => (ErrorKind::NoSpace, false),
        Some(408 | 429 | 500..) => (ErrorKind::Connection, true),
        Some(416) => return Error::damaged(operation, "object is shorter than the range").because(error),
        Some(_) => (ErrorKind::Io, false),
        None => match http_kind(&error) {
            Some(HttpErrorKind::Timeout) => (ErrorKind::TimedOut, true),
            // A certificate nobody trusts stays so, but looks like any other failed connection.
            Some(_) => (ErrorKind::Connection, true),
            None => (ErrorKind::Io, false),
        },
    };
    let error = Error::new(kind, operation).because(error);
    if temporary { error.temporary() } else { error }
}

/// Whether a service that was asked, which is not the store, may get over it.
pub(super) fn is_passing(error: &object_store::Error) -> bool {
    status(error).map_or_else(|| http_kind(error).is_some(), |status| matches!(status, 408 | 429 | 500..))
}

/// What went wrong below HTTP.
fn http_kind(error: &object_store::Error) -> Option<HttpErrorKind> {
    let mut cause = std::error::Error::source(error);
    while let Some(found) = cause {
        if let Some(http) = found.downcast_ref::<HttpError>() {
            return Some(http.kind());
        }
        cause = found.source();
    }
    None
}

/// The status of the store's answer. The library tells it in words only.
pub(super) fn status(error: &object_store::Error) -> Option<u16> {
    if NoneGiven::behind(error).is_some() {
        return None;
    }
    let text = error.to_string();
    let digits = text.split_once("status code: ")?.1.get(..3)?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use gabion_core::error::Retry;

    use super::*;

    fn generic_error(text: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: text.into() }
    }

    #[test]
    fn only_what_may_pass_is_temporary() {
        use Retry::{Permanent, Temporary};
        for (text, kind, retry) in [
            ("Server returned non-2xx status code: 503 Service Unavailable: x", ErrorKind::Connection, Temporary),
            ("Server returned non-2xx status code: 429 Too Many Requests", ErrorKind::Connection, Temporary),
            ("Server returned non-2xx status code: 400 Bad Request", ErrorKind::Io, Permanent),
            ("Server returned non-2xx status code: 416 Range Not Satisfiable", ErrorKind::Damaged, Permanent),
            ("Server returned non-2xx status code: 403 Forbidden", ErrorKind::PermissionDenied, Permanent),
            ("Server returned non-2xx status code: 404 Not Found", ErrorKind::NotFound, Permanent),
            ("Server returned non-2xx status code: 501 Not Implemented", ErrorKind::Unsupported, Permanent),
            ("Server returned non-2xx status code: 507 Insufficient Storage", ErrorKind::NoSpace, Permanent),
            ("something else", ErrorKind::Io, Permanent),
        ] {
            let error = translated("get object", generic_error(text));
            assert_eq!((error.kind(), error.retry()), (kind, retry), "{text}");
        }
        let conflict = object_store::Error::AlreadyExists { path: "x".to_owned(), source: "409".into() };
        assert_eq!(translated("put object", conflict).retry(), Temporary);
    }
}

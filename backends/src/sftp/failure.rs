//! What errors of the library and of the server mean.

use gabion_core::error::{Error, ErrorKind};
use openssh_sftp_client::Error as SftpError;
use openssh_sftp_client::error::SftpErrorKind;

/// What the library answers.
pub(super) type SftpResult<T> = Result<T, SftpError>;

/// The error of a call. What the server did not say is the end of the connection.
pub(super) fn failed(operation: &'static str, error: SftpError) -> Error {
    let SftpError::SftpError(kind, _) = &error else {
        return Error::new(ErrorKind::Connection, operation).because(error).temporary();
    };
    let kind = match kind {
        SftpErrorKind::NoSuchFile => ErrorKind::NotFound,
        SftpErrorKind::PermDenied => ErrorKind::PermissionDenied,
        SftpErrorKind::OpUnsupported => ErrorKind::Unsupported,
        _ => ErrorKind::Io,
    };
    Error::new(kind, operation).because(error)
}

/// Whether the server says that there is no such file.
pub(super) fn is_missing(error: &SftpError) -> bool {
    matches!(error, SftpError::SftpError(SftpErrorKind::NoSuchFile, _))
}

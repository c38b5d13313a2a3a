//! Paths and `file:` URLs.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use gabion_core::error::Result;

use crate::url::{decoded_bytes, invalid};

/// The path of `file:///path`; what stands behind `file:` is given.
pub(crate) fn file_path(rest: &str) -> Result<PathBuf> {
    let path = rest.strip_prefix("//localhost").or_else(|| rest.strip_prefix("//")).unwrap_or(rest);
    if !path.starts_with('/') {
        return Err(invalid("a file URL has three slashes and an absolute path"));
    }
    if path.contains(['?', '#']) {
        return Err(invalid("a file URL has no parameters"));
    }
    Ok(OsString::from_vec(decoded_bytes(path)?).into())
}

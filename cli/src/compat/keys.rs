//! Keys of format strings that only Borg knows.

use std::ffi::{OsStr, OsString};

/// Keys of files that mean the same as another one.
const SAME: [(&str, &str); 3] = [("source", "target"), ("linktarget", "target"), ("bpath", "path")];

/// What Borg tells of every file in JSON, as a format.
pub const IN_JSON: &str = "{source}{linktarget}{health}";

/// The names of the keys of files.
pub fn names() -> impl Iterator<Item = &'static str> {
    SAME.iter().map(|(name, _)| *name)
}

/// The key of this program that means the same.
pub fn own(key: &str) -> &str {
    SAME.iter().find(|(name, _)| *name == key).map_or(key, |(_, own)| own)
}

/// A format of archives with this program's keys: those for raw bytes show what the others show, and archives are
/// authenticated or not listed at all.
pub fn of_archives(format: &OsStr) -> OsString {
    let Some(text) = format.to_str() else { return format.to_owned() };
    text.replace("{barchive", "{archive").replace("{bcomment", "{comment").replace("{tam}", "verified").into()
}

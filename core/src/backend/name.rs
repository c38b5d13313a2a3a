//! Names of stored objects, valid by construction.

use std::fmt;
use std::str::FromStr;

use crate::crypto::envelope::{Kind, name_text};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::OBJECT_NAME_BYTES_MAX;

/// The name of an object: one to three parts of `[a-z0-9._-]+`, none starting with
/// a dot, joined by `/`, at most 128 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(String);

impl ObjectName {
    /// Checks and takes a name.
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let parts = name.split('/').count();
        if name.len() <= OBJECT_NAME_BYTES_MAX && parts <= 3 && name.split('/').all(valid_part) {
            return Ok(Self(name));
        }
        let shown: String = name.chars().take(OBJECT_NAME_BYTES_MAX).collect();
        Err(Error::new(ErrorKind::InvalidInput, "name object").with("name", shown.escape_debug()))
    }

    /// The name of something with an id in a namespace: `namespace/id`.
    ///
    /// The parts are the engine's own words and hexadecimal digits, so the result
    /// is valid by construction.
    pub(crate) fn of(namespace: &'static str, id: impl fmt::Display) -> Self {
        let name = format!("{namespace}/{id}");
        debug_assert!(Self::new(name.clone()).is_ok(), "{name}");
        Self(name)
    }

    /// The name of the object of `kind` that has this id (not for index fragments, whose names state a level).
    pub(crate) fn of_object(kind: Kind, id: &[u8; 16]) -> Self {
        Self(name_text(kind, id))
    }

    /// A name of one part: one of the engine's own words.
    pub(crate) fn of_part(part: &'static str) -> Self {
        debug_assert!(Self::new(part).is_ok(), "{part}");
        Self(part.to_owned())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part.
    pub fn last_part(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

fn valid_part(part: &str) -> bool {
    !part.is_empty()
        && !part.starts_with('.')
        && part.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectName({})", self.0)
    }
}

impl FromStr for ObjectName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

/// Whole leading parts of names: nothing (every object), or `part` or `part/part`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(Option<ObjectName>);

impl Prefix {
    /// Every object.
    pub const fn all() -> Self {
        Self(None)
    }

    /// Objects whose leading parts are `parts`.
    pub fn new(parts: &str) -> Result<Self> {
        ObjectName::new(parts).map(|name| Self(Some(name)))
    }

    /// The engine's own namespaces, valid by construction.
    pub(crate) fn of(parts: &'static str) -> Self {
        debug_assert!(ObjectName::new(parts).is_ok(), "{parts}");
        Self(Some(ObjectName(parts.to_owned())))
    }

    /// The leading parts, if any.
    pub fn parts(&self) -> Option<&str> {
        self.0.as_ref().map(ObjectName::as_str)
    }

    /// Whether `name` is under this prefix (a name is not under itself).
    pub fn covers(&self, name: &ObjectName) -> bool {
        match &self.0 {
            None => true,
            Some(parts) => name.0.strip_prefix(&parts.0).is_some_and(|rest| rest.starts_with('/')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_to_three_plain_parts() {
        for good in ["config", "segments/ab01", "index/0.ab", "gc/epoch/ab", "a-b_c.d/x"] {
            assert_eq!(ObjectName::new(good).unwrap().as_str(), good);
        }
        let long = "a".repeat(OBJECT_NAME_BYTES_MAX + 1);
        let huge = "a".repeat(10 << 20);
        for bad in [
            "", "/", "a/", "/a", "a//b", ".", "..", "../a", "a/../b", ".hidden", "a/.b", "A", "a b", "a\0b", "a\\b",
            "ä", "a/b/c/d", &long, &huge,
        ] {
            let error = ObjectName::new(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().len() < 1000);
        }
    }

    #[test]
    fn prefixes_are_whole_parts() {
        let name = ObjectName::new("gc/epoch/ab").unwrap();
        assert!(Prefix::all().covers(&name));
        assert!(Prefix::of("gc").covers(&name));
        assert!(Prefix::of("gc/epoch").covers(&name));
        assert!(!Prefix::of("gc/e").covers(&name));
        assert!(!Prefix::of("gc/epoch/ab").covers(&name));
        assert!(Prefix::new("a/../b").is_err());
    }
}

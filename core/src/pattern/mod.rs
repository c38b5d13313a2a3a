//! The pattern language: which paths an operation takes and which it leaves out.
//!
//! A pattern has a style, named by two letters and a colon in front of it:
//!
//! | style | matches |
//! |---|---|
//! | `fm:` | shell wildcards whose `*` crosses `/`; the whole path or its beginning up to a `/` |
//! | `sh:` | shell wildcards whose `*` stops at `/`, `**/` for any directories, `{a,b}` for alternatives |
//! | `re:` | a regular expression, anywhere in the path |
//! | `pp:` | a path and everything below it |
//! | `pf:` | exactly one path |
//!
//! Paths are raw bytes without leading `/`. Matching works on text, so that `?` is
//! one character; a byte that is no UTF-8 counts as one character which equals
//! only itself (see `text`). Regular expressions are bounded in memory when they
//! are compiled and in steps when they run, wildcards take linear time, and the
//! length of a pattern is limited: a hostile pattern costs little.

mod file;
mod glob;
mod matcher;
mod name;
mod regex;
mod text;

pub use file::{Line, parse_exclude_file, parse_patterns_file};
pub use matcher::{Command, Decision, Matcher, Rule};
pub use name::NamePattern;

use std::fmt;

use crate::error::{Error, ErrorKind, Result};
use glob::{Glob, Wildcards};
use regex::Regex;

/// Bytes of the longest pattern.
pub const PATTERN_BYTES_MAX: usize = 32 * 1024;

/// How the text of a pattern is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Style {
    /// `fm:` Wildcards that do not treat `/` specially.
    Fnmatch,
    /// `sh:` Wildcards that know directories.
    Shell,
    /// `re:` A regular expression.
    Regex,
    /// `pp:` A path and everything below it.
    PathPrefix,
    /// `pf:` Exactly one path.
    PathFull,
}

impl Style {
    /// The style named by two letters, such as `sh`.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "fm" => Self::Fnmatch,
            "sh" => Self::Shell,
            "re" => Self::Regex,
            "pp" => Self::PathPrefix,
            "pf" => Self::PathFull,
            _ => return None,
        })
    }
}

/// A compiled pattern.
pub struct Pattern {
    original: String,
    style: Style,
    form: Form,
}

enum Form {
    Wildcards(Glob),
    Regex(Regex),
    /// Ends in `/`; empty for the root, which is above everything.
    Prefix(Vec<u8>),
    Full(Vec<u8>),
}

impl Pattern {
    /// Compiles `text`, which may start with the name of a style and a colon; if not, `default` is its style.
    ///
    /// # Errors
    /// [`ErrorKind::PatternInvalid`] with the facts `pattern` and `reason`.
    pub fn parse(text: &(impl AsRef<[u8]> + ?Sized), default: Style) -> Result<Self> {
        let text = text.as_ref();
        if text.len() > PATTERN_BYTES_MAX {
            return Err(invalid(&text[..64], "the pattern is too long"));
        }
        let (style, body) = split_style(text, default)?;
        let form = match style {
            Style::Fnmatch => Form::Wildcards(Glob::new(body, Wildcards::Fnmatch).map_err(|why| invalid(text, why))?),
            Style::Shell => Form::Wildcards(Glob::new(body, Wildcards::Shell).map_err(|why| invalid(text, why))?),
            Style::Regex => Form::Regex(Regex::search(body).map_err(|why| invalid(text, why))?),
            Style::PathPrefix => {
                let mut path = normalize(body);
                path.push(b'/');
                Form::Prefix(if path == b"/" { Vec::new() } else { path })
            }
            Style::PathFull => Form::Full(normalize(body)),
        };
        Ok(Self { original: String::from_utf8_lossy(text).into_owned(), style, form })
    }

    /// Whether the pattern fits `path` (raw bytes, no leading or trailing `/`).
    ///
    /// A regular expression that takes too many steps fits nothing; see [`Pattern::gave_up`].
    pub fn matches(&self, path: &[u8]) -> bool {
        match &self.form {
            Form::Wildcards(glob) => glob.matches(path),
            Form::Regex(regex) => regex.matches(path),
            Form::Prefix(prefix) => is_at_or_below(path, prefix),
            Form::Full(full) => path == full,
        }
    }

    /// Whether the pattern may fit a path below the directory `path`; `true` when in doubt.
    fn may_match_below(&self, path: &[u8]) -> bool {
        match &self.form {
            Form::Wildcards(glob) => overlaps(glob.literal_start(), path),
            Form::Regex(_) => true,
            Form::Prefix(prefix) => overlaps(prefix, path),
            Form::Full(full) => is_below(full, path),
        }
    }

    /// Whether the pattern is known to fit every path below the directory `path`; `false` when in doubt.
    fn matches_all_below(&self, path: &[u8]) -> bool {
        match &self.form {
            Form::Wildcards(_) | Form::Prefix(_) => self.matches(path),
            Form::Regex(_) | Form::Full(_) => false,
        }
    }

    /// The style.
    pub fn style(&self) -> Style {
        self.style
    }

    /// Whether a match was given up because the regular expression took too many steps.
    pub fn gave_up(&self) -> bool {
        match &self.form {
            Form::Regex(regex) => regex.gave_up(),
            Form::Wildcards(_) | Form::Prefix(_) | Form::Full(_) => false,
        }
    }

    fn full_path(&self) -> Option<&[u8]> {
        match &self.form {
            Form::Full(path) => Some(path),
            Form::Wildcards(_) | Form::Regex(_) | Form::Prefix(_) => None,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.original)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pattern").field("style", &self.style).field("original", &self.original).finish()
    }
}

fn invalid(pattern: &[u8], reason: impl fmt::Display) -> Error {
    Error::new(ErrorKind::PatternInvalid, "parse pattern")
        .with("pattern", String::from_utf8_lossy(pattern))
        .with("reason", reason)
}

/// Two letters or digits and a colon name a style; anything else is part of the pattern.
fn split_style(text: &[u8], default: Style) -> Result<(Style, &[u8])> {
    let [a, b, b':', body @ ..] = text else { return Ok((default, text)) };
    if !a.is_ascii_alphanumeric() || !b.is_ascii_alphanumeric() {
        return Ok((default, text));
    }
    let name = String::from_utf8_lossy(&text[..2]);
    match Style::from_name(&name) {
        Some(style) => Ok((style, body)),
        None => Err(invalid(text, format_args!("unknown pattern style {name}, known are fm, sh, re, pp, pf"))),
    }
}

/// A path as archives know it: no leading `/`, no empty parts, no `.`, and `..` resolved.
///
/// As with Python's `normpath`, the empty path is `.`, which no archived path equals,
/// while `/` is the root and becomes empty.
fn normalize(path: &[u8]) -> Vec<u8> {
    let absolute = path.starts_with(b"/");
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.last().is_some_and(|last| *last != b"..") => {
                parts.pop();
            }
            b".." if absolute => {}
            other => parts.push(other),
        }
    }
    if parts.is_empty() && !absolute { b".".to_vec() } else { parts.join(&b'/') }
}

/// Whether `path` is what `prefix` (ending in `/`, or empty) names, or below it.
fn is_at_or_below(path: &[u8], prefix: &[u8]) -> bool {
    path.starts_with(prefix) || prefix.strip_suffix(b"/") == Some(path)
}

fn is_below(path: &[u8], directory: &[u8]) -> bool {
    directory.is_empty() || path.strip_prefix(directory).is_some_and(|rest| rest.starts_with(b"/"))
}

/// Whether a path that starts with `start` can be below `directory`.
fn overlaps(start: &[u8], directory: &[u8]) -> bool {
    directory.starts_with(start) || is_below(start, directory) || is_at_or_below(directory, start)
}

#[cfg(test)]
mod tests;

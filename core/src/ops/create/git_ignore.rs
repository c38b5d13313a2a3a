//! What `.gitignore` files leave out.
//!
//! As git has it: a directory with a `.git` is the top of a work tree. Whether something in one is left out is said by the
//! rules of its directory, or else of those above up to the top, or else of `.git/info/exclude`; of one file the last rule
//! that fits decides. Where another work tree begins, these rules end. Outside of work trees nothing is read.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::error::{Error, ErrorKind, Result};
use crate::fs::source::{SourceDirectory, directories_above};

const FILE: &[u8] = b".gitignore";
const REPOSITORY: &[u8] = b".git";

/// The rules of one directory of a work tree.
pub(super) struct GitRules {
    /// Rules by their weight, and the way to this directory from where they stand, with a slash at its end.
    rules: Vec<(Vec<u8>, Gitignore)>,
    /// Bytes of the files they are from.
    pub bytes: usize,
    /// Whether no other rules count.
    pub is_top: bool,
}

impl GitRules {
    /// Whether the entry at `path` below the directory is left out, if a rule fits it. A repository is none of their business.
    pub fn decide(&self, path: &[u8], is_directory: bool) -> Option<bool> {
        if path.rsplit(|byte| *byte == b'/').next() == Some(REPOSITORY) {
            return Some(false);
        }
        self.rules.iter().rev().find_map(|(way, rules)| {
            let path = if way.is_empty() { Cow::Borrowed(path) } else { Cow::Owned([way, path].concat()) };
            match rules.matched(Path::new(OsStr::from_bytes(&path)), is_directory) {
                Match::None => None,
                Match::Ignore(_) => Some(true),
                Match::Whitelist(_) => Some(false),
            }
        })
    }
}

/// Finds rules. A file of rules that can not be read is told and counts as empty: too much is archived, not too little.
pub(super) struct Finder<'a> {
    room: usize,
    complain: &'a dyn Fn(&[u8], &Error),
    rules: Vec<(Vec<u8>, Gitignore)>,
    bytes: usize,
}

impl<'a> Finder<'a> {
    /// Reads no more than `room` bytes; `complain` is told the path of a file, from the directory in question or from `/`.
    pub fn new(room: usize, complain: &'a dyn Fn(&[u8], &Error)) -> Self {
        Self { room, complain, rules: Vec::new(), bytes: 0 }
    }

    /// The rules of a directory below another one that is `inside` a work tree or not.
    pub fn below(mut self, directory: &SourceDirectory, inside: bool) -> Option<GitRules> {
        let is_top = is_top(directory);
        if !is_top && !inside {
            return None;
        }
        self.add(directory, is_top, b"", b"");
        Some(GitRules { rules: self.rules, bytes: self.bytes, is_top })
    }

    /// The rules of a directory where a walk begins, to which `path` leads.
    pub fn begin(mut self, directory: &SourceDirectory, path: &Path) -> Option<GitRules> {
        if !is_top(directory) {
            let above = directories_above(path);
            let top = above.iter().position(|(directory, ..)| is_top(directory))?;
            for (index, (directory, place, way)) in above.iter().enumerate().take(top + 1).rev() {
                let slash = |path: &Path| [path.as_os_str().as_bytes(), b"/"].concat();
                self.add(directory, index == top, &slash(place), &slash(way));
            }
        }
        let rules = self.below(directory, true)?;
        Some(GitRules { is_top: true, ..rules })
    }

    /// Adds the rules that stand in a directory, at `place` as it is shown, `way` above the one in question.
    fn add(&mut self, directory: &SourceDirectory, is_top: bool, place: &[u8], way: &[u8]) {
        if is_top {
            let exclude = exclude(directory, self.room - self.bytes);
            self.take(exclude, &[place, b".git/info/exclude"].concat(), way);
        }
        let text = directory.content(FILE, self.room - self.bytes);
        self.take(text, &[place, FILE].concat(), way);
    }

    fn take(&mut self, text: Result<Vec<u8>>, shown: &[u8], way: &[u8]) {
        let read = text.and_then(|text| {
            self.bytes += text.len();
            parse(&text)
        });
        match read {
            Ok(rules) if rules.is_empty() => {}
            Ok(rules) => self.rules.push((way.to_vec(), rules)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => (self.complain)(shown, &error),
        }
    }
}

/// Whether a directory is the top of a work tree. As for git, a `.git` that belongs to somebody else makes none: where all
/// may write, anybody could have put it there.
fn is_top(directory: &SourceDirectory) -> bool {
    let Ok(git) = directory.stat(REPOSITORY) else { return false };
    let same_owner = directory.stat_self().is_ok_and(|own| own.uid == git.uid);
    same_owner && (git.is_directory() || git.is_file())
}

/// What `.git/info/exclude` says; nothing where `.git` only says where the repository is.
fn exclude(directory: &SourceDirectory, bytes_max: usize) -> Result<Vec<u8>> {
    let git = directory.stat(REPOSITORY)?;
    if git.is_file() {
        return Ok(Vec::new());
    }
    let git = directory.open_directory(REPOSITORY, &git)?;
    let info = git.open_directory(b"info", &git.stat(b"info")?)?;
    info.content(b"exclude", bytes_max)
}

/// Compiles rules. A line that is none fits nothing, as for git.
fn parse(text: &[u8]) -> Result<Gitignore> {
    let mut builder = GitignoreBuilder::new(".");
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    for line in text.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let _ = std::str::from_utf8(line).map(|line| builder.add_line(None, line).map(drop));
    }
    builder.build().map_err(|error| Error::new(ErrorKind::PatternInvalid, "compile rules of git").because(error))
}

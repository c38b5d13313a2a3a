//! What shall be archived under which path: the paths given, as one tree.
//!
//! The archived path of `/home/u` is `home/u`; `.` and leading `..` vanish; what
//! stands before a `/./` is not archived (`/strip/./keep` becomes `keep`). Directories
//! above a given path that were not given themselves are *implied*: they are
//! archived with their own metadata, and of their content only what leads to a given path.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::archive::walk::append;
use crate::error::{Error, ErrorKind, Result};

/// One directory level of what shall be archived.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Where it is in the file system; `None` for the root of the archive, unless it was given itself.
    pub source: Option<PathBuf>,
    /// How much of it was asked for.
    pub wanted: Wanted,
    /// Parts of it that were given, or lead to what was given, by name.
    pub children: BTreeMap<Vec<u8>, Plan>,
    /// Another place that claims to be archived under this path.
    rival: Option<PathBuf>,
}

/// How much of a place was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// Only what leads to its given parts.
    #[default]
    Implied,
    /// Itself, but not what is below it.
    Itself,
    /// It is no place: a stream is archived there.
    Stream,
    /// Everything below.
    All,
}

impl Plan {
    /// The tree of `paths`, each archived as far as `wanted` says.
    pub fn new<'a>(paths: impl IntoIterator<Item = &'a Path>, wanted: Wanted) -> Self {
        let mut root = Self::default();
        for path in paths {
            root.add(path, wanted);
        }
        root
    }

    /// The same plan, and a stream that is archived under the archived path of `path`.
    #[must_use]
    pub fn with_stream(mut self, path: &Path) -> Self {
        let mut node = &mut self;
        for name in archived_names(path).1 {
            node = node.children.entry(name).or_default();
        }
        if node.source.is_some() {
            node.rival = Some("a stream".into());
        }
        node.wanted = Wanted::Stream;
        self
    }

    /// Refuses a plan in which two places would be archived under the same path: `x` and `/x`, `/a/./x` and `/b/./x`,
    /// or `.` and what lies elsewhere but would be archived below it.
    ///
    /// Directories that are only implied may have several sources: of those the first gives its metadata.
    pub fn check(&self) -> Result<()> {
        let mut places: Vec<(Vec<u8>, &Self)> = vec![(Vec::new(), self)];
        while let Some((archived, plan)) = places.pop() {
            if let (Some(source), Some(rival), true) = (&plan.source, &plan.rival, plan.wanted != Wanted::Implied) {
                return Err(conflict(&archived, source, rival));
            }
            for (name, child) in &plan.children {
                let mut path = archived.clone();
                append(&mut path, name);
                plan.check_child(name, child, &path)?;
                places.push((path, child));
            }
        }
        Ok(())
    }

    /// Whether paths were given without what is below them.
    pub(super) fn is_listed(&self) -> bool {
        let mut places = vec![self];
        while let Some(place) = places.pop() {
            if place.wanted == Wanted::Itself {
                return true;
            }
            places.extend(place.children.values());
        }
        false
    }

    /// The paths that were given below this place, which is archived under `path`.
    pub(super) fn given_below(&self, path: &[u8]) -> Vec<Vec<u8>> {
        let (mut given, mut places) = (Vec::new(), vec![(path.to_vec(), self)]);
        while let Some((above, plan)) = places.pop() {
            for (name, child) in &plan.children {
                let mut path = above.clone();
                append(&mut path, name);
                if child.wanted != Wanted::Implied && child.source.is_some() {
                    given.push(path.clone());
                }
                places.push((path, child));
            }
        }
        given
    }

    /// What lies in a place that is wanted is read from there.
    fn check_child(&self, name: &[u8], child: &Self, archived: &[u8]) -> Result<()> {
        let (Some(source), Some(given)) = (&self.source, &child.source) else { return Ok(()) };
        let inside = source.join(OsStr::from_bytes(name));
        if self.wanted == Wanted::Implied || *given == inside {
            return Ok(());
        }
        Err(conflict(archived, &inside, given))
    }

    fn add(&mut self, path: &Path, wanted: Wanted) {
        let (base, names) = archived_names(path);
        let mut place = base;
        let mut node = self;
        for name in names {
            place.push(OsStr::from_bytes(&name));
            node = node.children.entry(name).or_default();
            node.claim(&place);
        }
        node.claim(&place);
        node.wanted = node.wanted.max(wanted);
    }

    fn claim(&mut self, place: &Path) {
        match &self.source {
            None => self.source = Some(place.to_owned()),
            Some(source) if source != place => {
                self.rival.get_or_insert_with(|| place.to_owned());
            }
            Some(_) => {}
        }
    }
}

fn conflict(archived: &[u8], first: &Path, second: &Path) -> Error {
    Error::new(ErrorKind::InvalidInput, "plan archive")
        .with("reason", "two places would be archived under the same path")
        .with("archived path", archived.escape_ascii())
        .with("first", first.display())
        .with("second", second.display())
}

/// Splits a path into what is not archived and the names of its archived path.
fn archived_names(path: &Path) -> (PathBuf, Vec<Vec<u8>>) {
    let bytes = path.as_os_str().as_bytes();
    let (base, archived) = match find(bytes, b"/./") {
        Some(at) => (&bytes[..=at], &bytes[at + 3..]),
        None => (&b""[..], bytes),
    };
    let mut place = PathBuf::from(std::ffi::OsString::from_vec(base.to_vec()));
    if archived.starts_with(b"/") {
        place.push("/");
    }
    let mut names: Vec<Vec<u8>> = Vec::new();
    for part in archived.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            // Behind a name, `..` would leave the place the name stands for: resolve it by text, as shells do.
            b".." => {
                if names.pop().is_none() {
                    place.push("..");
                }
            }
            name => names.push(name.to_vec()),
        }
    }
    if place.as_os_str().is_empty() {
        place.push(".");
    }
    (place, names)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// The archived path of a path of the file system, parts joined by `/`; empty for `/` and `.`.
pub fn archived_path(path: &Path) -> Vec<u8> {
    archived_names(path).1.join(&b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archived_paths_have_no_leading_slash_or_dots() {
        for (path, archived) in [
            ("/home/u", "home/u"),
            ("home//u/", "home/u"),
            ("./home/./u", "u"),
            ("../../src", "src"),
            ("/", ""),
            (".", ""),
            ("..", ""),
            ("a/../b", "b"),
            ("/strip/this/./keep/that", "keep/that"),
            ("/strip/./", ""),
        ] {
            assert_eq!(archived_path(Path::new(path)), archived.as_bytes(), "{path}");
        }
    }

    #[test]
    fn nested_paths_share_their_parents() {
        let plan = Plan::new(["/a/b", "/a/c/d", "/a/b/x"].map(Path::new), Wanted::All);
        assert_eq!((plan.source.as_ref(), plan.wanted), (None, Wanted::Implied));
        let a = &plan.children[&b"a"[..]];
        assert_eq!((a.source.as_deref(), a.wanted), (Some(Path::new("/a")), Wanted::Implied));
        assert_eq!(a.children[&b"b"[..]].wanted, Wanted::All);
        assert_eq!(a.children[&b"b"[..]].children[&b"x"[..]].source.as_deref(), Some(Path::new("/a/b/x")));
        assert_eq!(a.children[&b"c"[..]].children[&b"d"[..]].source.as_deref(), Some(Path::new("/a/c/d")));
    }

    #[test]
    fn one_archived_path_has_one_source() {
        let refused = |paths: &[&str]| {
            let refused = Plan::new(paths.iter().map(Path::new), Wanted::All).check();
            refused.err().map(|error| error.context("archived path").unwrap().to_owned())
        };
        assert_eq!(refused(&["x", "/x"]).as_deref(), Some("x"));
        assert_eq!(refused(&["/a/./x", "/b/./x"]).as_deref(), Some("x"));
        assert_eq!(refused(&["/a/./x/y", "/b/./x"]).as_deref(), Some("x"));
        assert_eq!(refused(&["/b/./x", "/a/./x/y"]).as_deref(), Some("x"));
        assert_eq!(refused(&[".", "/"]).as_deref(), Some(""));
        // what is under an implied directory may come from anywhere, and a path may be given twice
        assert_eq!(refused(&["/a/./x/y", "/b/./x/z"]), None);
        assert_eq!(refused(&["x", "./x", "x/", "/y", "x/z"]), None);
        // what is below a wanted place is read from there
        assert_eq!(refused(&[".", "/etc"]).as_deref(), Some("etc"));
        assert_eq!(refused(&["/etc", "."]).as_deref(), Some("etc"));
        assert_eq!(refused(&["/", "/home/u", "/home"]), None);
    }

    #[test]
    fn a_stream_has_a_path_of_its_own() {
        let plan = |paths: &[&str], stream: &str| {
            Plan::new(paths.iter().map(Path::new), Wanted::All).with_stream(Path::new(stream))
        };
        let mixed = plan(&["/etc", "d"], "dumps/./db/all.sql");
        let node = &mixed.children[&b"db"[..]].children[&b"all.sql"[..]];
        assert_eq!((node.wanted, &node.source), (Wanted::Stream, &None));
        assert_eq!((mixed.check().is_ok(), mixed.is_listed()), (true, false));
        for (paths, stream) in [(&["x"][..], "x"), (&["/x/y"], "x"), (&["."], "/")] {
            assert!(plan(paths, stream).check().is_err(), "{paths:?} {stream}");
        }
    }

    #[test]
    fn sources_keep_what_is_not_archived() {
        let plan = Plan::new(["../x", "/s/t/./k"].map(Path::new), Wanted::All);
        assert_eq!(plan.children[&b"x"[..]].source.as_deref(), Some(Path::new("../x")));
        assert_eq!(plan.children[&b"k"[..]].source.as_deref(), Some(Path::new("/s/t/k")));
        let here = Plan::new([Path::new(".")], Wanted::All);
        assert_eq!((here.source.as_deref(), here.wanted), (Some(Path::new(".")), Wanted::All));
    }
}

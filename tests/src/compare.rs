//! Are two trees of files the same, to the last byte and attribute?
//!
//! Nothing is followed: links are compared as links. What differs comes back as sentences, one per difference, with
//! paths escaped, so a test can assert that there are none and a person can read what went wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{SeekFrom, lgetxattr, llistxattr, seek};
use rustix::io::Errno;

/// What is compared, beside names, types, contents and link targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aspects {
    /// Permission bits, of everything but links.
    pub modes: bool,
    /// Owner and group.
    pub owners: bool,
    /// Time of last modification, to the nanosecond.
    pub times: bool,
    /// Extended attributes and ACLs.
    pub attributes: bool,
    /// Which names are the same file.
    pub hard_links: bool,
    /// Where the holes of files are.
    pub holes: bool,
}

impl Default for Aspects {
    /// Everything but holes, which not every file system keeps.
    fn default() -> Self {
        Self { modes: true, owners: true, times: true, attributes: true, hard_links: true, holes: false }
    }
}

/// Compares what lies in `left` with what lies in `right`, the two directories themselves included. The differences
/// come in the order of the paths.
pub fn compare(left: &Path, right: &Path, aspects: &Aspects) -> io::Result<Vec<String>> {
    let mut comparison = Comparison { aspects, left, right, differences: Vec::new() };
    let (ours, theirs) = (tree(left)?, tree(right)?);
    let paths: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    for path in paths {
        match (ours.get(path), theirs.get(path)) {
            (Some(a), Some(b)) => comparison.compare_entry(path, a, b)?,
            (Some(_), None) => comparison.differs(path, "is missing on the right"),
            (None, _) => comparison.differs(path, "is missing on the left"),
        }
    }
    if aspects.hard_links {
        comparison.compare_hard_links(&ours, &theirs);
    }
    Ok(comparison.differences)
}

type Tree = BTreeMap<PathBuf, Metadata>;

/// Everything in `root` by its path below it; `root` itself has the empty path.
fn tree(root: &Path) -> io::Result<Tree> {
    let mut found = BTreeMap::from([(PathBuf::new(), root.symlink_metadata()?)]);
    let mut waiting = vec![PathBuf::new()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let path = folder.join(entry?.file_name());
            let meta = root.join(&path).symlink_metadata()?;
            if meta.is_dir() {
                waiting.push(path.clone());
            }
            found.insert(path, meta);
        }
    }
    Ok(found)
}

struct Comparison<'a> {
    aspects: &'a Aspects,
    left: &'a Path,
    right: &'a Path,
    differences: Vec<String>,
}

impl Comparison<'_> {
    fn differs(&mut self, path: &Path, what: impl AsRef<str>) {
        self.differences.push(format!("{}: {}", path.as_os_str().as_bytes().escape_ascii(), what.as_ref()));
    }

    fn compare_entry(&mut self, path: &Path, a: &Metadata, b: &Metadata) -> io::Result<()> {
        if kind(a) != kind(b) {
            self.differs(path, format!("is a {} and a {}", kind(a), kind(b)));
            return Ok(());
        }
        self.compare_metadata(path, a, b);
        let (left, right) = (self.left.join(path), self.right.join(path));
        if self.aspects.attributes {
            let (ours, theirs) = (attributes(&left)?, attributes(&right)?);
            if ours != theirs {
                self.differs(path, format!("has attributes {ours:?} and {theirs:?}"));
            }
        }
        if a.is_symlink() {
            let (ours, theirs) = (fs::read_link(left)?, fs::read_link(right)?);
            if ours != theirs {
                self.differs(path, format!("leads to {ours:?} and {theirs:?}"));
            }
        } else if a.is_file() {
            self.compare_content(path, &left, &right)?;
        }
        Ok(())
    }

    fn compare_metadata(&mut self, path: &Path, a: &Metadata, b: &Metadata) {
        if self.aspects.modes && !a.is_symlink() && a.mode() != b.mode() {
            self.differs(path, format!("has mode {:o} and {:o}", a.mode(), b.mode()));
        }
        if self.aspects.owners && (a.uid(), a.gid()) != (b.uid(), b.gid()) {
            self.differs(path, format!("belongs to {}:{} and {}:{}", a.uid(), a.gid(), b.uid(), b.gid()));
        }
        let time = |meta: &Metadata| (meta.mtime(), meta.mtime_nsec());
        if self.aspects.times && time(a) != time(b) {
            self.differs(path, format!("was modified at {:?} and {:?}", time(a), time(b)));
        }
        let device = a.file_type().is_block_device() || a.file_type().is_char_device();
        if device && a.rdev() != b.rdev() {
            self.differs(path, format!("is device {} and {}", a.rdev(), b.rdev()));
        }
    }

    fn compare_content(&mut self, path: &Path, left: &Path, right: &Path) -> io::Result<()> {
        let (mut ours, mut theirs) = (File::open(left)?, File::open(right)?);
        if self.aspects.holes {
            let (a, b) = (data_regions(&ours)?, data_regions(&theirs)?);
            if a != b {
                self.differs(path, format!("has data at {a:?} and {b:?}"));
            }
        }
        let (mut a, mut b) = (Vec::new(), Vec::new());
        let mut position = 0;
        loop {
            a.clear();
            b.clear();
            (&mut ours).take(1 << 20).read_to_end(&mut a)?;
            (&mut theirs).take(1 << 20).read_to_end(&mut b)?;
            if a != b {
                let same = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
                self.differs(path, format!("differs from byte {} on", position + same));
                return Ok(());
            }
            if a.is_empty() {
                return Ok(());
            }
            position += a.len();
        }
    }

    /// Two names are the same file on the left exactly if they are on the right.
    fn compare_hard_links(&mut self, ours: &Tree, theirs: &Tree) {
        let (ours, theirs) = (first_names(ours), first_names(theirs));
        for (path, first) in &ours {
            if let Some(other) = theirs.get(path)
                && other != first
            {
                let shown = |path: &Path| path.as_os_str().as_bytes().escape_ascii().to_string();
                self.differs(path, format!("is the same file as {} and {}", shown(first), shown(other)));
            }
        }
    }
}

/// For every name that is no directory, the first name of the same file.
fn first_names(tree: &Tree) -> BTreeMap<&Path, &Path> {
    let mut first: BTreeMap<(u64, u64), &Path> = BTreeMap::new();
    let entries = tree.iter().filter(|(_, meta)| !meta.is_dir());
    entries.map(|(path, meta)| (path.as_path(), *first.entry((meta.dev(), meta.ino())).or_insert(path))).collect()
}

fn kind(meta: &Metadata) -> &'static str {
    let kind = meta.file_type();
    match () {
        () if kind.is_dir() => "directory",
        () if kind.is_file() => "file",
        () if kind.is_symlink() => "link",
        () if kind.is_fifo() => "pipe",
        () if kind.is_socket() => "socket",
        () if kind.is_block_device() => "block device",
        () => "character device",
    }
}

/// Extended attributes, but for those that a security module sets of its own accord.
fn attributes(path: &Path) -> io::Result<BTreeMap<OsString, Vec<u8>>> {
    let mut names = vec![0; 1 << 16];
    let count = match llistxattr(path, &mut names) {
        Ok(count) => count,
        Err(Errno::OPNOTSUPP) => return Ok(BTreeMap::new()),
        Err(errno) => return Err(errno.into()),
    };
    names.truncate(count);
    let mut found = BTreeMap::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty() && *name != b"security.selinux") {
        let mut value = vec![0; 1 << 16];
        let count = lgetxattr(path, name, &mut value)?;
        value.truncate(count);
        found.insert(OsString::from_vec(name.to_vec()), value);
    }
    Ok(found)
}

/// Where a file has data, as start and end.
fn data_regions(file: &File) -> io::Result<Vec<(u64, u64)>> {
    let mut regions = Vec::new();
    let mut position = 0;
    loop {
        let start = match seek(file, SeekFrom::Data(position)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break,
            Err(errno) => return Err(errno.into()),
        };
        position = seek(file, SeekFrom::Hole(start))?;
        regions.push((start, position));
    }
    seek(file, SeekFrom::Start(0))?;
    Ok(regions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// Two equal trees; `change` changes the right one; what is then told of it.
    fn told(change: impl Fn(&Path)) -> Vec<String> {
        let place = tempfile::tempdir().unwrap();
        let [left, right] = ["left", "right"].map(|side| place.path().join(side));
        for side in [&left, &right] {
            fs::create_dir_all(side.join("d")).unwrap();
            fs::write(side.join("d/file"), vec![7; 3 << 20]).unwrap();
            fs::hard_link(side.join("d/file"), side.join("twin")).unwrap();
            symlink("d", side.join("link")).unwrap();
        }
        change(&right);
        compare(&left, &right, &Aspects { times: false, holes: true, ..Aspects::default() }).unwrap()
    }

    #[test]
    fn equal_trees_have_no_differences() {
        assert_eq!(told(|_| {}), Vec::<String>::new());
    }

    #[test]
    fn every_difference_is_told() {
        let write = |path: PathBuf, position: u64, bytes: &[u8]| {
            use std::os::unix::fs::FileExt;
            File::options().write(true).open(path).unwrap().write_all_at(bytes, position).unwrap();
        };
        let differences = told(|right| write(right.join("twin"), 2_000_000, b"x"));
        assert_eq!(differences, ["d/file: differs from byte 2000000 on", "twin: differs from byte 2000000 on"]);
        let differences = told(|right| fs::write(right.join("new\n"), "").unwrap());
        assert_eq!(differences, ["new\\n: is missing on the left"]);
        assert_eq!(told(|right| fs::remove_file(right.join("link")).unwrap()), ["link: is missing on the right"]);
        let differences = told(|right| {
            fs::remove_file(right.join("link")).unwrap();
            symlink("twin", right.join("link")).unwrap();
        });
        assert_eq!(differences, ["link: leads to \"d\" and \"twin\""]);
        let differences = told(|right| fs::set_permissions(right.join("d"), Permissions::from_mode(0o700)).unwrap());
        assert_eq!(differences, ["d: has mode 40755 and 40700"]);
        let differences = told(|right| {
            fs::remove_file(right.join("twin")).unwrap();
            fs::copy(right.join("d/file"), right.join("twin")).unwrap();
        });
        assert_eq!(differences, ["twin: is the same file as d/file and twin"]);
        let differences = told(|right| {
            fs::remove_file(right.join("link")).unwrap();
            fs::create_dir(right.join("link")).unwrap();
        });
        assert_eq!(differences, ["link: is a link and a directory"]);
    }

    #[test]
    fn times_and_holes_are_told_if_asked() {
        let place = tempfile::tempdir().unwrap();
        let [left, right] = ["left", "right"].map(|side| place.path().join(side));
        fs::create_dir(&left).unwrap();
        fs::create_dir(&right).unwrap();
        fs::write(left.join("f"), vec![0; 1 << 20]).unwrap();
        let hollow = File::create(right.join("f")).unwrap();
        hollow.set_len(1 << 20).unwrap();
        hollow.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1)).unwrap();
        let told = |aspects| {
            let differences = compare(&left, &right, &aspects).unwrap();
            differences.into_iter().filter(|told| told.starts_with("f:")).collect::<Vec<_>>()
        };
        let (none, times) = (Aspects { times: false, ..Aspects::default() }, Aspects::default());
        assert_eq!(told(none.clone()), Vec::<String>::new());
        assert!(told(times)[0].ends_with("and (1, 0)"));
        assert_eq!(told(Aspects { holes: true, ..none }), ["f: has data at [(0, 1048576)] and []"]);
    }
}

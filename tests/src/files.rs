//! Trees of files made from a seed: the same seed makes the same tree, and every seed has what makes backups stumble.
//!
//! Names that are no text, that look like options or fill all 255 bytes; sizes around every limit; holes, hard links,
//! dangling links, pipes; old and future times; extended attributes where the file system has them, other owners
//! where the caller is root.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Timespec, Timestamps, XattrFlags, mknodat, setxattr, utimensat};
use rustix::io::Errno;

/// A small generator (splitmix64): good enough to vary tests, the same everywhere.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator whose numbers follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number().checked_rem(bound).unwrap_or(0)
    }

    /// Whether it is the one in `count`.
    pub fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(count + 8);
        while out.len() < count {
            out.extend_from_slice(&self.number().to_le_bytes());
        }
        out.truncate(count);
        out
    }

    /// One of `choices`, of which there must be one.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }
}

/// How large and how odd a tree is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeOptions {
    /// Entries of all kinds. With 40 or more, every odd name is among them.
    pub entries: usize,
    /// Directories above each other, the root not counted.
    pub depth: usize,
    /// Bytes of the largest file without holes.
    pub bytes_max: usize,
    /// Named pipes too.
    pub pipes: bool,
    /// Extended attributes, where the file system has them.
    pub attributes: bool,
    /// Other owners, where the caller is root.
    pub owners: bool,
}

impl Default for TreeOptions {
    fn default() -> Self {
        Self { entries: 80, depth: 4, bytes_max: 300_000, pipes: true, attributes: true, owners: true }
    }
}

const ODD_NAMES: [&[u8]; 24] = [
    b"-rf",
    b"--help",
    b"new\nline",
    b"no text \xff\xfe\x80",
    &[b'l'; 255],
    b" space ",
    b"tab\there",
    b"*?[a]{b}",
    b"\\back\\slash",
    b"\x1b[31mred",
    b"\xc3\xa9",
    b"e\xcc\x81",
    b".hidden",
    b"...",
    b"dot.",
    b"$HOME",
    b"'quote\" `x`",
    b"re:.*",
    b"\xf0\x9f\xaa\xa8",
    b"CON",
    b"a",
    b"A",
    b"%s%n",
    b"\x01\x7f",
];
const SIZES: [usize; 14] = [0, 1, 2, 511, 512, 513, 4095, 4096, 4097, 65_535, 65_536, 65_537, 131_072, 1_048_577];
const MODES: [u32; 7] = [0o644, 0o600, 0o755, 0o444, 0o4755, 0o2640, 0o666];
const FOLDER_MODES: [u32; 5] = [0o755, 0o700, 0o1777, 0o2750, 0o711];
const LINK_TARGETS: [&[u8]; 7] =
    [b"..", b".", b"gone", b"/nowhere/at all", b"no text \xff", b"new\nline", &[b'x'; 1023]];
/// Seconds and nanoseconds: before 1970, then, now, beyond 32 bits.
const TIMES: [(i64, i64); 6] =
    [(-2, 500_000_000), (0, 0), (1, 1), (1_700_000_000, 123_456_789), (1_600_000_000, 999_999_999), (4_102_444_800, 0)];

/// Makes a tree in the directory `root`, which is made if it does not exist, and which should be empty.
pub fn make_tree(root: &Path, seed: u64, options: &TreeOptions) -> io::Result<()> {
    fs::create_dir_all(root)?;
    let mut maker = Maker {
        random: Random::new(seed),
        options,
        folders: vec![(root.to_owned(), 0)],
        files: Vec::new(),
        owners: options.owners && rustix::process::geteuid().is_root(),
    };
    for number in 0..options.entries {
        maker.make_entry(number)?;
    }
    maker.finish_folders()
}

struct Maker<'a> {
    random: Random,
    options: &'a TreeOptions,
    /// With their depth.
    folders: Vec<(PathBuf, usize)>,
    files: Vec<PathBuf>,
    owners: bool,
}

impl Maker<'_> {
    fn make_entry(&mut self, number: usize) -> io::Result<()> {
        let (folder, depth) = self.random.pick(&self.folders).clone();
        let path = folder.join(OsStr::from_bytes(&self.name(number)));
        if path.symlink_metadata().is_ok() {
            return Ok(());
        }
        match self.random.below(20) {
            0..=3 if depth < self.options.depth => {
                fs::create_dir(&path)?;
                // Modes and times come last, when nothing is added any more.
                self.folders.push((path, depth + 1));
                Ok(())
            }
            4 | 5 => symlink(OsStr::from_bytes(self.random.pick::<&[u8]>(&LINK_TARGETS)), &path)
                .and_then(|()| self.set_time(&path)),
            6 if !self.files.is_empty() => fs::hard_link(self.random.pick(&self.files), &path),
            7 if self.options.pipes => {
                mknodat(CWD, &path, FileType::Fifo, 0o640.into(), 0)?;
                self.set_time(&path)
            }
            8 => {
                self.write_with_holes(&path)?;
                self.finish_file(path)
            }
            _ => {
                fs::write(&path, self.content()?)?;
                self.finish_file(path)
            }
        }
    }

    /// The odd names first, then plain ones.
    fn name(&mut self, number: usize) -> Vec<u8> {
        match ODD_NAMES.get(number) {
            Some(name) => name.to_vec(),
            None => format!("{:x}.{}", self.random.below(1 << 40), self.random.pick(&["txt", "jpg", "o"])).into_bytes(),
        }
    }

    /// Noise, zeros, text, or what another file holds already.
    fn content(&mut self) -> io::Result<Vec<u8>> {
        let some = self.random.below(self.options.bytes_max as u64 + 1) as usize;
        let size = if self.random.one_in(3) { some } else { *self.random.pick(&SIZES) }.min(self.options.bytes_max);
        Ok(match self.random.below(5) {
            0 => vec![0; size],
            1 => b"All work and no play makes a dull file. ".iter().copied().cycle().take(size).collect(),
            2 if !self.files.is_empty() => fs::read(self.random.pick(&self.files))?,
            _ => self.random.bytes(size),
        })
    }

    /// Some islands of data in up to 8 MiB of nothing.
    fn write_with_holes(&mut self, path: &Path) -> io::Result<()> {
        let mut file = File::create_new(path)?;
        let size = 4096 + self.random.below(8 << 20);
        file.set_len(size)?;
        for _ in 0..self.random.below(4) {
            file.seek(SeekFrom::Start(self.random.below(size) / 4096 * 4096))?;
            let island = 1 + self.random.below(10_000) as usize;
            file.write_all(&self.random.bytes(island))?;
        }
        Ok(())
    }

    fn finish_file(&mut self, path: PathBuf) -> io::Result<()> {
        self.set_owner(&path)?;
        self.set_attributes(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(*self.random.pick(&MODES)))?;
        self.set_time(&path)?;
        // A file nobody may write can still get another name; one that is gone could not.
        self.files.push(path);
        Ok(())
    }

    fn finish_folders(&mut self) -> io::Result<()> {
        let folders = std::mem::take(&mut self.folders);
        for (path, depth) in folders.iter().rev() {
            if *depth > 0 {
                self.set_owner(path)?;
                self.set_attributes(path)?;
                fs::set_permissions(path, Permissions::from_mode(*self.random.pick(&FOLDER_MODES)))?;
            }
            self.set_time(path)?;
        }
        Ok(())
    }

    fn set_owner(&mut self, path: &Path) -> io::Result<()> {
        match self.owners && self.random.one_in(4) {
            true => lchown(path, Some(self.random.below(70_000) as u32), Some(self.random.below(70_000) as u32)),
            false => Ok(()),
        }
    }

    fn set_attributes(&mut self, path: &Path) -> io::Result<()> {
        if !self.options.attributes || !self.random.one_in(4) {
            return Ok(());
        }
        for name in ["user.empty", "user.note", "user.\u{e9}"] {
            let count = if name == "user.empty" { 0 } else { self.random.below(200) as usize };
            match setxattr(path, name, &self.random.bytes(count), XattrFlags::empty()) {
                Ok(()) | Err(Errno::OPNOTSUPP) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn set_time(&mut self, path: &Path) -> io::Result<()> {
        set_time(path, *self.random.pick(&TIMES))
    }
}

fn set_time(path: &Path, (tv_sec, tv_nsec): (i64, i64)) -> io::Result<()> {
    let time = Timespec { tv_sec, tv_nsec: tv_nsec as _ };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Changes a tree the way people do between two backups: edits, appends, truncates, touches, renames, deletes and
/// adds files. Returns the paths that were touched.
pub fn change_tree(root: &Path, seed: u64, changes: usize) -> io::Result<Vec<PathBuf>> {
    let mut random = Random::new(seed);
    let mut touched = Vec::new();
    for number in 0..changes {
        let files = files_below(root)?;
        if files.is_empty() {
            break;
        }
        let path = random.pick(&files).clone();
        change(&path, number, &mut random)?;
        touched.push(path);
    }
    Ok(touched)
}

fn change(path: &Path, number: usize, random: &mut Random) -> io::Result<()> {
    let beside = path.with_file_name(format!("changed {number}"));
    let size = path.symlink_metadata()?.len();
    match random.below(7) {
        0 => fs::remove_file(path),
        1 => fs::rename(path, beside),
        2 => fs::write(beside, random.bytes(5000)),
        3 => set_time(path, *random.pick(&TIMES)),
        4 => File::options().append(true).open(path)?.write_all(&random.bytes(3000)),
        5 => File::options().write(true).open(path)?.set_len(size / 2),
        _ => {
            let mut file = File::options().write(true).open(path)?;
            file.seek(SeekFrom::Start(random.below(size)))?;
            file.write_all(&random.bytes(100))
        }
    }
}

/// Regular files in an order that is the same on every file system.
fn files_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let mut files = Vec::new();
    for entry in entries {
        let kind = entry.file_type()?;
        if kind.is_dir() {
            files.extend(files_below(&entry.path())?);
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{Aspects, compare};
    use std::os::unix::fs::{FileTypeExt, MetadataExt};

    #[test]
    fn a_seed_is_a_tree() {
        let place = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|name| place.path().join(name));
        for (path, seed) in [(&a, 1), (&b, 1), (&c, 2)] {
            make_tree(path, seed, &TreeOptions::default()).unwrap();
        }
        let all = Aspects { holes: true, ..Aspects::default() };
        assert_eq!(compare(&a, &b, &all).unwrap(), Vec::<String>::new());
        assert!(!compare(&a, &c, &all).unwrap().is_empty());

        change_tree(&a, 3, 20).unwrap();
        assert!(!compare(&a, &b, &Aspects { times: false, ..all.clone() }).unwrap().is_empty());
        change_tree(&b, 3, 20).unwrap();
        assert_eq!(compare(&a, &b, &Aspects { times: false, ..all }).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_tree_has_everything_odd() {
        let place = tempfile::tempdir().unwrap();
        let options = TreeOptions { entries: 300, ..TreeOptions::default() };
        make_tree(place.path(), 7, &options).unwrap();
        let mut found = Vec::new();
        let mut waiting = vec![place.path().to_owned()];
        while let Some(folder) = waiting.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                let meta = entry.path().symlink_metadata().unwrap();
                if meta.is_dir() {
                    waiting.push(entry.path());
                }
                found.push((entry.file_name().as_bytes().to_vec(), meta));
            }
        }
        for name in ODD_NAMES {
            assert!(found.iter().any(|(found, _)| found == name), "{}", name.escape_ascii());
        }
        let any = |test: &dyn Fn(&fs::Metadata) -> bool| found.iter().any(|(_, meta)| test(meta));
        assert!(
            any(&|meta| meta.is_dir()) && any(&|meta| meta.is_symlink()) && any(&|meta| meta.file_type().is_fifo())
        );
        assert!(any(&|meta| meta.is_file() && meta.nlink() > 1), "hard links");
        assert!(any(&|meta| meta.is_file() && meta.len() == 0) && any(&|meta| meta.mtime() < 0));
        assert!(any(&|meta| meta.is_file() && meta.blocks() * 512 + 4096 < meta.len()), "holes");
    }
}

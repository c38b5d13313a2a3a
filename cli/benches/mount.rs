//! How fast a mount is: `cargo bench --workspace --locked --bench mount`, or `-- list`, `-- read`, `-- million`.
//!
//! `list` is `ls -lR` of 60 000 files, or of the tree `GABION_BENCH_TREE`; `read` reads a file of one gibibyte
//! (`GABION_BENCH_MB`) from begin to end; `million` mounts an archive of 10^6 files (`GABION_BENCH_FILES`). Each round mounts anew, so the
//! kernel knows nothing yet; a repository is in the page cache. Nothing is judged: times are those of this machine at this moment.

#![expect(clippy::unwrap_used, reason = "a benchmark that can not be set up ends")]

mod program;

use std::fs::{self, File};
use std::io::{BufWriter, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gabion_tests::Random;

use program::{command, gabion, median, number, rounds, wanted};

fn main() {
    if wanted("list") {
        list();
    }
    if wanted("read") {
        read();
    }
    if wanted("million") {
        million();
    }
}

/// A repository with one archive.
struct Scene {
    home: tempfile::TempDir,
    repository: String,
}

/// The archive, mounted.
struct Mounted<'a> {
    scene: &'a Scene,
    child: Child,
    /// Until it could be looked at.
    seconds: f64,
}

impl Scene {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let repository = home.path().join("repo").display().to_string();
        fs::create_dir(home.path().join("mnt")).unwrap();
        gabion(home.path(), &repository, &["--quiet", "repo-create"]);
        Self { home, repository }
    }

    fn of_tree(tree: &Path) -> Self {
        let scene = Self::new();
        gabion(scene.home.path(), &scene.repository, &["create", "archive", tree.to_str().unwrap()]);
        scene
    }

    fn mountpoint(&self) -> PathBuf {
        self.home.path().join("mnt")
    }

    /// Where something is seen that was backed up from this place.
    fn shown(&self, source: &Path) -> PathBuf {
        self.mountpoint().join(source.strip_prefix("/").unwrap())
    }

    fn mount(&self) -> Mounted<'_> {
        let (place, began) = (self.mountpoint(), Instant::now());
        let words = ["mount", "--foreground", "--archive", "archive", place.to_str().unwrap()];
        let child = command(self.home.path(), &self.repository, &words).spawn().unwrap();
        let here = fs::metadata(self.home.path()).unwrap().dev();
        while fs::metadata(&place).unwrap().dev() == here {
            assert!(began.elapsed() < Duration::from_secs(60), "it is not mounted");
            std::thread::sleep(Duration::from_millis(1));
        }
        Mounted { scene: self, child, seconds: began.elapsed().as_secs_f64() }
    }
}

impl Mounted<'_> {
    /// A line of what the kernel tells of the process, in MiB.
    fn memory(&self, what: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
        line.trim_matches([':', ' ', '\t', 'k', 'B']).parse::<u64>().unwrap() / 1024
    }

    /// Seconds of `ls -lR` of what was backed up from `source`.
    fn list(&self, source: &Path) -> f64 {
        let (place, began) = (self.scene.shown(source), Instant::now());
        let listed = Command::new("ls").arg("-lR").arg(place).stdout(Stdio::null()).status();
        assert!(listed.unwrap().success());
        began.elapsed().as_secs_f64()
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let scene = self.scene;
        gabion(scene.home.path(), &scene.repository, &["umount", scene.mountpoint().to_str().unwrap()]);
        self.child.wait().unwrap();
    }
}

/// 1000 directories of 60 small files each, some of them below others.
fn tree(place: &Path) {
    let mut random = Random::new(11);
    for directory in 0..1000 {
        let directory = place.join(format!("d{:02}/e{:02}", directory % 40, directory / 40));
        fs::create_dir_all(&directory).unwrap();
        for file in 0..60 {
            let bytes = random.below(3000) as usize;
            fs::write(directory.join(format!("some file {file}.txt")), random.bytes(bytes)).unwrap();
        }
    }
}

fn list() {
    let own = tempfile::tempdir().unwrap();
    let given = std::env::var_os("GABION_BENCH_TREE").map(PathBuf::from);
    if given.is_none() {
        tree(own.path());
    }
    let source = given.as_deref().unwrap_or(own.path());
    let scene = Scene::of_tree(source);
    let mut peak = 0;
    let round = |_| {
        let mounted = scene.mount();
        let both = (mounted.list(source), mounted.list(source));
        peak = peak.max(mounted.memory("VmHWM"));
        both
    };
    let (first, again): (Vec<_>, Vec<_>) = (0..rounds()).map(round).unzip();
    let (first, again) = (median(first), median(again));
    println!("ls -lR: {first:.2} s, again {again:.2} s; at most {peak} MiB resident");
}

fn read() {
    let megabytes = number("GABION_BENCH_MB", 1024);
    let place = tempfile::tempdir().unwrap();
    for compressible in [true, false] {
        let mut random = Random::new(5);
        let mut file = BufWriter::new(File::create(place.path().join("file")).unwrap());
        for _ in 0..megabytes {
            // Half of it compresses to nothing, or none.
            let mut block = random.bytes(1 << 20);
            block.chunks_mut(256).filter(|_| compressible).for_each(|piece| piece[..128].fill(b'x'));
            file.write_all(&block).unwrap();
        }
        file.into_inner().unwrap();
        let scene = Scene::of_tree(place.path());
        let mut peak = 0;
        let round = |_| {
            let mounted = scene.mount();
            let file = scene.shown(place.path()).join("file");
            let (began, mut file, mut buffer) = (Instant::now(), File::open(file).unwrap(), vec![0; 1 << 20]);
            let mut bytes = 0;
            loop {
                match file.read(&mut buffer).unwrap() {
                    0 => break,
                    read => bytes += read,
                }
            }
            assert_eq!(bytes, megabytes << 20);
            peak = peak.max(mounted.memory("VmHWM"));
            began.elapsed().as_secs_f64()
        };
        let seconds = median((0..rounds()).map(round).collect());
        let speed = (megabytes << 20) as f64 / 1e6 / seconds;
        let word = if compressible { "compressible" } else { "incompressible" };
        println!("sequential read, {word}: {speed:.0} MB/s; at most {peak} MiB resident");
    }
}

/// An archive of so many empty files, made of a tar stream so that no file system has to hold them.
fn million() {
    let files = number("GABION_BENCH_FILES", 1_000_000);
    let scene = Scene::new();
    let mut import = command(scene.home.path(), &scene.repository, &["import-tar", "archive", "-"]);
    let mut importing = import.stdin(Stdio::piped()).spawn().unwrap();
    let mut tar = BufWriter::new(importing.stdin.take().unwrap());
    for file in 0..files {
        tar.write_all(&tar_header(&format!("d{:03}/e{:02}/some file {file}.txt", file % 100, file / 100 % 50)))
            .unwrap();
    }
    tar.write_all(&[0; 1024]).unwrap();
    drop(tar.into_inner().unwrap());
    assert!(importing.wait().unwrap().success());
    let (mut mounting, mut walking) = (0, 0);
    let round = |_| {
        let mounted = scene.mount();
        mounting = mounting.max(mounted.memory("VmHWM"));
        let listed = mounted.list(Path::new("/"));
        walking = walking.max(mounted.memory("VmHWM"));
        (mounted.seconds, listed)
    };
    let (mounted, listed): (Vec<_>, Vec<_>) = (0..rounds()).map(round).unzip();
    let (mounted, listed) = (median(mounted), median(listed));
    println!(
        "{files} files: mounted in {mounted:.2} s, {mounting} MiB resident; after ls -lR of {listed:.1} s at most {walking} MiB"
    );
}

/// The header of an empty file.
fn tar_header(name: &str) -> [u8; 512] {
    let mut header = [0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    for (at, field) in [(100, "0000644\0"), (108, "0000000\0"), (116, "0000000\0"), (124, "00000000000\0")] {
        header[at..at + field.len()].copy_from_slice(field.as_bytes());
    }
    header[136..148].copy_from_slice(b"14000000000\0");
    header[148..156].fill(b' ');
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

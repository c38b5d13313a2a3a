//! The program is killed at calls that change something on disk, by `strace`. Nothing that was finished is lost, and
//! whatever is run next succeeds.
//!
//! `GABION_TEST_KILLS=500 cargo test -p gabion --release killed` tries more points than usual.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::place::{PROGRAM, Place, tree};

/// Points of one run of each test.
const POINTS: u64 = 25;

/// Calls that change something; those that an architecture does not have are left out.
const CLASSES: [&str; 3] = [
    "?write,?pwrite64,?writev,?ftruncate,?fallocate,?copy_file_range",
    "?fsync,?fdatasync,?sync_file_range",
    "?rename,?renameat,?renameat2,?link,?linkat,?unlink,?unlinkat,?mkdir,?mkdirat,?rmdir",
];

/// Whether there is an `strace` that may trace; if not, the test is skipped, or fails if everything is required.
pub fn can_trace(test: &str) -> bool {
    let works = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status().is_ok_and(|s| s.success());
    if !works {
        assert_ne!(std::env::var("GABION_TEST_REQUIRE").as_deref(), Ok("all"), "{test}: strace does not work here");
        eprintln!("skipped {test}: strace does not work here");
    }
    works
}

fn points() -> u64 {
    std::env::var("GABION_TEST_KILLS").map_or(POINTS, |value| value.parse().unwrap())
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").args(["-a", "-T"]).arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

/// The program under `strace`, with what `strace` is told.
pub fn traced(place: &Place, strace: &[&str], arguments: &[&str]) -> Command {
    let mut command = Command::new("strace");
    place.surround(&mut command);
    command.args(["-f", "-qq", "-e", "signal=none"]).args(strace).arg(PROGRAM).args(arguments);
    command
}

/// How many calls of this class one thread makes at most.
fn count(place: &Place, class: &str, arguments: &[&str]) -> u64 {
    let log = place.path("log");
    let trace = format!("trace={class}");
    let output = traced(place, &["-o", log.to_str().unwrap(), "-e", &trace], arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut calls: BTreeMap<String, u64> = BTreeMap::new();
    for line in std::fs::read_to_string(&log).unwrap().lines().filter(|line| line.contains('(')) {
        *calls.entry(line.split(' ').next().unwrap().to_owned()).or_default() += 1;
    }
    calls.into_values().max().unwrap_or(0)
}

/// A repository with finished archives, each with its source, and a source that has changed since.
struct Scene {
    place: Place,
    /// The repository as it is before the program is killed.
    start: PathBuf,
    finished: Vec<String>,
}

impl Scene {
    fn new() -> Self {
        let place = Place::new();
        for number in 0..3u8 {
            let mut noise = Vec::new();
            for word in 0..60_000u32 {
                noise.extend_from_slice(
                    &(word ^ u32::from(number)).wrapping_mul(0x9e37_79b9).rotate_left(7).to_le_bytes(),
                );
            }
            place.file("source/noise", &noise);
            place.file(&format!("source/new {number}"), noise[..9000].repeat(usize::from(number) + 1));
            for small in 0..40 {
                place.file(&format!("source/below/{small}"), format!("{small} {}", u32::from(number) * (small % 3)));
            }
            let name = format!("a{number}");
            place.run(&["create", &name, "source"]).succeeded();
            copy(&place.path("source"), &place.path(&name));
        }
        place.file("source/noise", vec![7; 300_000]);
        place.file("source/more", b"more".repeat(30_000));
        copy(&place.path("source"), &place.path("next"));
        place.run(&["delete", "a1"]).succeeded();
        let start = place.path("start");
        copy(&place.path("repo"), &start);
        Self { place, start, finished: vec!["a0".to_owned(), "a2".to_owned()] }
    }

    fn again(&self) {
        std::fs::remove_dir_all(self.place.path("repo")).unwrap();
        copy(&self.start, &self.place.path("repo"));
        // What the program remembers would tell that the repository went back.
        _ = std::fs::remove_dir_all(self.place.path("home"));
    }

    /// Every archive that is listed is one that was finished, and whole.
    fn is_whole(&self, point: &str) {
        let listed = self.place.archives();
        for name in &self.finished {
            assert!(listed.contains(name), "{point}: {name} is gone");
        }
        for name in &listed {
            let run = self.place.run(&["extract", "--target", "out", name]);
            assert_eq!(run.rc, 0, "{point}: {name}: {run:#?}");
            let (restored, source) = (tree(&self.place.path("out/source")), tree(&self.place.path(name)));
            assert!(restored == source, "{point}: {name} differs");
            std::fs::remove_dir_all(self.place.path("out")).unwrap();
        }
    }

    /// Kills the program at a call of this class, and says at which.
    ///
    /// Calls are counted for each thread, and which thread does what differs from run to run: one that ends before it
    /// is killed begins again, to be killed sooner. Some thread makes the first call in every run.
    fn kill_at(&self, mut call: u64, class: &str, arguments: &[&str]) -> u64 {
        loop {
            self.again();
            let (inject, trace) = (format!("inject={class}:signal=KILL:when={call}"), format!("trace={class}"));
            let strace = ["-o", "/dev/null", "-e", &trace, "-e", &inject];
            let output = traced(&self.place, &strace, arguments).output().unwrap();
            if output.status.signal() == Some(9) {
                return call;
            }
            assert!(output.status.success() && call > 1, "not killed at call {call} of {class}: {output:?}");
            call /= 2;
        }
    }

    /// Kills the program at some calls, and looks.
    fn kill(&self, arguments: &[&str]) {
        let counts = CLASSES.map(|class| {
            self.again();
            count(&self.place, class, arguments)
        });
        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
        let (mut as_drawn, mut drawn) = (0, 1u64);
        for number in 0..points() {
            drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let class = (number % 3) as usize;
            let wanted = 1 + (drawn >> 33) % counts[class];
            let call = self.kill_at(wanted, CLASSES[class], arguments);
            as_drawn += u64::from(call == wanted);
            let point = format!("killed at call {call} of {}", CLASSES[class]);
            self.is_whole(&point);
            self.place.run(&["create", "next", "source"]).succeeded();
            self.place.run(&["compact"]).succeeded();
            self.is_whole(&format!("{point}, then again"));
        }
        println!("{arguments:?}: killed at {} points, {as_drawn} as drawn, of {counts:?} calls", points());
    }
}

#[test]
fn create_is_killed_anywhere() {
    if can_trace("create_is_killed_anywhere") {
        Scene::new().kill(&["create", "next", "source"]);
    }
}

#[test]
fn compact_is_killed_anywhere() {
    if can_trace("compact_is_killed_anywhere") {
        Scene::new().kill(&["compact", "--threshold", "0"]);
    }
}

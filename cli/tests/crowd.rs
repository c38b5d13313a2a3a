//! Several processes on one repository at once: two back up, one removes, one collects, one checks.
//!
//! `GABION_TEST_CROWD_SECONDS=600 GABION_TEST_CROWD_TREE=/usr/share cargo test -p gabion --release crowd` goes on for
//! longer, with other files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gabion_tests::Random;

use crate::place::{Place, tree};

/// Archives that each of two clients makes.
const ROUNDS: u64 = 8;

/// What a tree is, in a few bytes.
fn digest(directory: &Path) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for (path, mode, content) in tree(directory) {
        hasher.update(path.as_bytes()).update(&mode.to_le_bytes()).update(blake3::hash(&content).as_bytes());
    }
    hasher.finalize()
}

/// Real files: this program's own sources, or what is asked for.
fn files(to: &Path) {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let from = std::env::var_os("GABION_TEST_CROWD_TREE").map_or(own, PathBuf::from);
    let status = std::process::Command::new("cp").args(["-a", "-T"]).arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

/// Changes some files, adds one, removes one.
fn change(source: &Path, round: u64) {
    // Both files begin alike.
    let noise = |length: u64| Random::new(round).bytes(length as usize);
    std::fs::write(source.join("changes"), noise(200_000)).unwrap();
    std::fs::write(source.join(format!("new {round}")), noise(20_000 + round % 7 * 30_000)).unwrap();
    let _ = std::fs::remove_file(source.join(format!("new {}", round.saturating_sub(3))));
}

struct Crowd<'a> {
    place: &'a Place,
    /// Archives that were reported and not removed.
    reported: Mutex<BTreeMap<String, (String, blake3::Hash)>>,
    over: AtomicBool,
    until: Option<Instant>,
    working: AtomicU64,
    runs: Mutex<BTreeMap<&'static str, u64>>,
}

impl Crowd<'_> {
    fn goes_on(&self, round: u64) -> bool {
        self.until.map_or(round < ROUNDS, |until| Instant::now() < until)
    }

    fn count(&self, what: &'static str) {
        *self.runs.lock().unwrap().entry(what).or_default() += 1;
    }

    /// Backs up a tree that changes, and removes the oldest archive of its own now and then.
    fn back_up(&self, who: &str) {
        let source = self.place.path(who);
        files(&source);
        let mut own: Vec<String> = Vec::new();
        let mut round = 0;
        while self.goes_on(round) {
            change(&source, round);
            let name = format!("{who}-{round}");
            let expected = digest(&source);
            self.place.run(&["create", &name, who]).succeeded();
            self.reported.lock().unwrap().insert(name.clone(), (who.to_owned(), expected));
            self.count("create");
            own.push(name);
            if round % 3 == 2 {
                let oldest = own.remove(0);
                self.reported.lock().unwrap().remove(&oldest);
                self.place.run(&["delete", &oldest]).succeeded();
                self.count("delete");
            }
            round += 1;
        }
        self.working.fetch_sub(1, Ordering::SeqCst);
    }

    /// Runs a command again and again, as long as anybody backs up.
    fn repeat(&self, what: &'static str, arguments: &[&str]) {
        while self.working.load(Ordering::SeqCst) > 0 && !self.over.load(Ordering::SeqCst) {
            self.place.run(arguments).succeeded();
            self.count(what);
        }
    }
}

#[test]
fn what_was_reported_in_a_crowd_extracts() {
    let place = Place::new();
    let seconds = std::env::var("GABION_TEST_CROWD_SECONDS").ok().map(|value| value.parse().unwrap());
    let crowd = Crowd {
        place: &place,
        reported: Mutex::default(),
        over: AtomicBool::new(false),
        until: seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds)),
        working: AtomicU64::new(2),
        runs: Mutex::default(),
    };
    std::thread::scope(|scope| {
        let all = [
            scope.spawn(|| crowd.back_up("one")),
            scope.spawn(|| crowd.back_up("two")),
            scope.spawn(|| crowd.repeat("compact", &["compact", "--threshold", "0"])),
            scope.spawn(|| crowd.repeat("check", &["check"])),
        ];
        let failed = all.into_iter().filter_map(|one| {
            let joined = one.join();
            // Whoever fails ends it for all.
            crowd.over.store(joined.is_err() || crowd.over.load(Ordering::SeqCst), Ordering::SeqCst);
            joined.err()
        });
        if let Some(failure) = failed.collect::<Vec<_>>().pop() {
            std::panic::resume_unwind(failure);
        }
    });
    place.run(&["check", "--verify-data"]).succeeded();
    let reported = crowd.reported.into_inner().unwrap();
    println!("{} archives, runs: {:?}", reported.len(), crowd.runs.into_inner().unwrap());
    assert!(reported.len() > 6);
    for (name, (who, expected)) in reported {
        place.run(&["extract", "--target", "out", &name]).succeeded();
        assert!(digest(&place.path("out").join(&who)) == expected, "{name} differs");
        std::fs::remove_dir_all(place.path("out")).unwrap();
    }
    place.run(&["delete", "-a", "re:.*"]).succeeded();
    place.run(&["compact"]).succeeded();
    let left = tree(&place.path("repo/segments")).into_iter().filter(|(_, mode, _)| mode & 0o170_000 == 0o100_000);
    assert_eq!(left.count(), 0, "nothing is needed, and something stays");
}

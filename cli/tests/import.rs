//! Repositories of Borg 1.x, made by Borg itself, come over whole.

use std::path::{Path, PathBuf};
use std::process::Command;

use gabion_tests::{Aspects, TreeOptions, compare, make_tree};
use serde_json::Value;

use crate::place::{PROGRAM, Place, Run, tree};
use crate::sshd::Sshd;

const MODES: [&str; 7] =
    ["none", "authenticated", "authenticated-blake2", "repokey", "repokey-blake2", "keyfile", "keyfile-blake2"];
const CODECS: [&str; 7] = ["none", "lz4", "zlib,6", "zstd,3", "lzma,1", "auto,zstd", "obfuscate,3,lz4"];

/// The programs of Borg that are here: that of the system (`borg`), and one of another version in `GABION_TEST_BORG`.
fn borgs(test: &str) -> Vec<String> {
    let wanted = ["borg".to_owned(), std::env::var("GABION_TEST_BORG").unwrap_or_default()];
    let works =
        |program: &String| Command::new(program).arg("--version").output().is_ok_and(|run| run.status.success());
    let found: Vec<String> = wanted.iter().filter(|program| works(program)).cloned().collect();
    if found.len() < wanted.len() {
        let required = std::env::var("GABION_TEST_REQUIRE").is_ok_and(|value| value == "all");
        assert!(!required, "{test}: found only {found:?}");
        eprintln!("skipped in part, {test}: found only {found:?}");
    }
    found
}

/// A place with a tree `src` and repositories of Borg.
struct Old {
    place: Place,
    borg: String,
}

impl Old {
    fn new(borg: &str) -> Self {
        let place = Place::bare();
        let options = TreeOptions::default();
        std::fs::create_dir(place.path("src")).unwrap();
        make_tree(&place.path("src"), 5, &options).unwrap();
        Self { place, borg: borg.to_owned() }
    }

    /// Borg, run in the tree. Warnings (exit 1) are fine: some files of the tree are none for Borg.
    fn borg(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new(&self.borg);
        command.args(arguments).current_dir(self.place.path("src"));
        for (name, value) in [("BORG_PASSPHRASE", "old"), ("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes")] {
            command.env(name, value);
        }
        let run = Run::of(command.env("BORG_BASE_DIR", self.place.path("borg")).env("TZ", "UTC"));
        assert!(run.rc <= 1, "{arguments:?}: {run:?}");
        run
    }

    fn init(&self, mode: &str) -> PathBuf {
        let path = self.place.path(mode);
        self.borg(&["init", "-e", mode, path.to_str().unwrap()]);
        path
    }

    fn create(&self, repository: &Path, codec: &str, archive: &str) {
        let name = format!("{}::{archive}", repository.display());
        self.borg(&["create", "--comment", "of old", "-C", codec, &name, "."]);
    }

    fn import(&self, target: &str, source: &Path, more: &[&str]) -> Run {
        let (target, source) = (self.place.path(target), format!("borg:{}", source.display()));
        let target = target.to_str().unwrap();
        if !Path::new(target).exists() {
            self.place.run(&["-r", target, "repo-create", "-e", "none"]).succeeded();
        }
        let base = self.place.path("borg");
        let variables = [("BORG_PASSPHRASE", "old"), ("BORG_BASE_DIR", base.to_str().unwrap())];
        self.place.run_with(&variables, &[&["-r", target, "import", &source], more].concat())
    }

    fn extracted(&self, repository: &str, archive: &str) -> PathBuf {
        let out = self.place.path(&format!("{repository}-{archive}"));
        let repository = self.place.path(repository);
        let arguments = ["-r", repository.to_str().unwrap(), "extract", "--target", out.to_str().unwrap(), archive];
        self.place.run(&arguments).succeeded();
        out
    }
}

#[test]
fn every_mode_and_codec_comes_over() {
    for borg in borgs("every_mode_and_codec_comes_over") {
        let old = Old::new(&borg);
        let expected = old.place.path("expected");
        for mode in MODES {
            let repository = old.init(mode);
            let codecs = if mode == "repokey" { &CODECS[..] } else { &CODECS[1..2] };
            codecs.iter().for_each(|codec| old.create(&repository, codec, codec));
            if !expected.exists() {
                std::fs::create_dir(&expected).unwrap();
                let mut command = Command::new(&borg);
                command.current_dir(&expected).env("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes");
                command.env("BORG_BASE_DIR", old.place.path("borg")).args(["extract", "--numeric-ids"]);
                Run::of(command.arg(format!("{}::lz4", repository.display()))).succeeded();
                // Borg sets the times of the top before it makes what is in it.
                let modified = std::fs::metadata(old.place.path("src")).unwrap().modified().unwrap();
                std::fs::File::open(&expected).unwrap().set_modified(modified).unwrap();
            }
            let before = tree(&repository);
            let target = format!("new-{mode}");
            let json = old.import(&target, &repository, &["--json"]).succeeded().out;
            assert_eq!(tree(&repository), before, "{mode}: nothing is written to the old repository");
            let root: Value = serde_json::from_str(&json).unwrap();
            assert_eq!(root["source"]["encryption"], mode);
            assert_eq!(root["archives"].as_array().unwrap().len(), codecs.len());
            for codec in codecs {
                let out = old.extracted(&target, codec);
                assert_eq!(
                    compare(&expected, &out, &Aspects::default()).unwrap(),
                    Vec::<String>::new(),
                    "{mode} {codec}"
                );
            }
        }
        let new = old.place.path("new-repokey");
        let arguments = ["-r", new.to_str().unwrap(), "repo-list", "--format", "{archive} {comment} {hostname}{NL}"];
        let listed = old.place.run(&arguments).succeeded().out;
        assert_eq!(listed.lines().filter(|line| line.contains(" of old ")).count(), CODECS.len(), "{listed}");
    }
}

#[test]
fn an_import_can_be_repeated_and_the_next_backup_finds_it() {
    let Some(borg) = borgs("an_import_can_be_repeated_and_the_next_backup_finds_it").pop() else { return };
    let old = Old::new(&borg);
    std::fs::write(old.place.path("src/noise"), gabion_tests::Random::new(3).bytes(3_000_000)).unwrap();
    let repository = old.init("repokey");
    old.create(&repository, "zstd", "one");
    assert!(old.import("new", &repository, &["--dry-run"]).succeeded().err.contains("would come over: one"));
    old.import("new", &repository, &[]).succeeded();
    old.create(&repository, "zstd", "two");
    let run = old.import("new", &repository, &["--list"]).succeeded();
    assert!(run.err.contains("is there already: one") && run.err.contains("came over: two"), "{run:?}");
    let new = old.place.path("new");
    let mut command = old.place.command(&["-r", new.to_str().unwrap(), "create", "--json", "next", "."]);
    let root: Value =
        serde_json::from_str(&Run::of(command.current_dir(old.place.path("src"))).succeeded().out).unwrap();
    let stored = root["archive"]["stats"]["deduplicated_size"].as_u64().unwrap();
    assert!(stored < 100_000, "3 MB of noise were stored again: {root:#}");
}

/// The user's own way to another machine is taken, as for any store.
#[test]
fn a_repository_of_another_machine_comes_over_with_what_was_noted() {
    let test = "a_repository_of_another_machine_comes_over_with_what_was_noted";
    let (Some(borg), Some(sshd)) = (borgs(test).pop(), Sshd::start(test)) else { return };
    let old = Old::new(&borg);
    let repository = old.init("repokey");
    old.create(&repository, "lz4", "one");
    let noted = old.borg(&["info", "--json", &format!("{}::one", repository.display())]).out;
    let noted: Value = serde_json::from_str(&noted).unwrap();
    for scheme in ["ssh", "sftp"] {
        let source = format!("borg:{}", sshd.url(scheme, &repository));
        old.place.run(&["-r", scheme, "repo-create", "-e", "none"]).succeeded();
        let words = ["-r", scheme, "--rsh", &sshd.rsh("client"), "--remote-path", PROGRAM, "import", &source];
        old.place.run_with(&[("BORG_PASSPHRASE", "old")], &words).succeeded();
        old.extracted(scheme, "one");
        let info = old.place.run(&["-r", scheme, "info", "--json", "one"]).succeeded().out;
        let info: Value = serde_json::from_str(&info).unwrap();
        let (new, noted) = (&info["archives"][0], &noted["archives"][0]);
        for key in ["name", "hostname", "username", "comment", "command_line", "cwd"] {
            assert!(new[key] == noted[key] && !new[key].is_null(), "{scheme}, {key}: {new:#} {noted:#}");
        }
        // Borg tells whole seconds.
        let second = |archive: &Value, key: &str| archive[key].as_str().unwrap()[..19].to_owned();
        for key in ["start", "end"] {
            assert_eq!(second(new, key), second(noted, key), "{scheme}, {key}");
        }
    }
    let (a, b) = (old.place.path("ssh-one"), old.place.path("sftp-one"));
    assert_eq!(compare(&a, &b, &Aspects::default()).unwrap(), Vec::<String>::new());
}

#[test]
fn what_is_damaged_is_named_and_the_rest_comes_over() {
    let Some(borg) = borgs("what_is_damaged_is_named_and_the_rest_comes_over").pop() else { return };
    let old = Old::new(&borg);
    let noise = gabion_tests::Random::new(4).bytes(1_000_000);
    std::fs::write(old.place.path("src/noise"), &noise).unwrap();
    let repository = old.init("none");
    old.create(&repository, "none", "one");
    let stored = |path: &PathBuf| {
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(64).position(|window| window == &noise[500_000..500_064])
    };
    let segments = std::fs::read_dir(repository.join("data/0")).unwrap().map(|entry| entry.unwrap().path());
    let (segment, at) =
        segments.filter_map(|path| Some((path.clone(), stored(&path)?))).next().expect("stored as it is");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let run = old.import("new", &repository, &["--list"]);
    assert!(run.rc == 1 || run.rc > 99, "{run:?}");
    assert!(run.err.contains("noise") && run.err.contains("came over in part: one"), "{run:?}");
    let out = old.extracted("new", "one");
    std::fs::remove_file(old.place.path("src/noise")).unwrap();
    let aspects = Aspects { times: false, ..Aspects::default() };
    assert_eq!(compare(&old.place.path("src"), &out, &aspects).unwrap(), Vec::<String>::new());
}

#[test]
fn what_can_not_be_opened_says_why() {
    let Some(borg) = borgs("what_can_not_be_opened_says_why").pop() else { return };
    let old = Old::new(&borg);
    let repository = old.init("keyfile");
    old.create(&repository, "lz4", "one");
    old.place.run(&["repo-create", "-e", "none"]).succeeded();
    let source = format!("borg:{}", repository.display());
    let base = old.place.path("borg");
    let base = base.to_str().unwrap();
    for (variables, arguments, rc, told) in [
        (&[("BORG_PASSPHRASE", "wrong"), ("BORG_BASE_DIR", base)][..], &[&*source][..], 52, "passphrase is wrong"),
        (&[("BORG_PASSPHRASE", "old")], &[&*source], 44, "BORG_KEY_FILE"),
        (&[("BORG_BASE_DIR", base)], &[&*source], 50, "no passphrase"),
        (&[("BORG_PASSPHRASE", "old"), ("BORG_BASE_DIR", base)], &[&*source, "ome"], 31, "did you mean `one`?"),
        (&[], &["borg:src"], 15, "no config"),
        (&[], &["borg:nowhere"], 13, "does not exist"),
        (&[], &["src"], 4, "write borg: before"),
    ] {
        let run = old.place.run_with(variables, &[&["import"], arguments].concat());
        assert_eq!(run.rc, rc, "{arguments:?}: {run:?}");
        assert!(run.err.contains(told), "{arguments:?}: {run:?}");
    }
}

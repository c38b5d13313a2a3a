//! `create --also-to`: one archive in several repositories.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::process::Command;

use gabion_tests::{Aspects, Random, TreeOptions, change_tree, compare, make_tree};
use serde_json::Value;

use crate::killed::{can_trace, traced};
use crate::place::{Place, Run};

/// A place with two repositories, `repo` and `second`, and files.
fn place() -> Place {
    let place = Place::new();
    place.run(&["repo-create", "-e", "none", "-r", "second"]).succeeded();
    place.file("d/one", "1");
    place.file("d/more/two", "22");
    place
}

fn listed_in(place: &Place, repository: &str, archive: &str) -> String {
    let format = "{path} {size} {isomtime}{NL}";
    place.run(&["list", "-r", repository, "--format", format, archive]).succeeded().out
}

#[test]
fn the_archive_is_made_in_every_repository() {
    let place = place();
    place.settle();
    let variables = [("GABION_PASSPHRASE", "x")];
    let create = ["create", "--also-to", "second", "--also-to=third", "--init", "-v", "--stats", "--list", "a", "d"];
    let made = place.run_with(&variables, &create).succeeded();
    for (told, count) in [("Making archive `a` in", 3), ("Archive id:", 3), ("A d/one\n", 1), ("A d/more/two\n", 1)] {
        assert_eq!(made.err.matches(told).count(), count, "{told}: {made:?}");
    }
    let again = place.run_with(&variables, &create).succeeded();
    assert_eq!(again.err.matches("U d/one\n").count(), 1, "the first tells: {again:?}");
    let list = |repository: &str| {
        let format = "{path} {size} {isomtime}{NL}";
        place.run_with(&variables, &["list", "-r", repository, "--format", format, "a"]).succeeded().out
    };
    let first = list("repo");
    assert!(first.contains("d/more/two 2 "), "{first}");
    assert_eq!((list("second"), list("third")), (first.clone(), first));
}

#[test]
fn a_repository_that_fails_keeps_no_other_from_its_archive() {
    let place = place();
    let fail = |arguments: &[&str]| {
        let run = place.run(&[&["create"], arguments, &["a", "d"]].concat());
        assert!(run.err.contains("nowhere: ") && run.err.contains("Error: not every repository has the archive"));
        assert_eq!(run.rc, 13, "{run:?}");
        run
    };
    fail(&["--also-to", "nowhere"]);
    fail(&["-r", "nowhere", "--also-to", "repo", "--also-to", "second"]);
    assert_eq!((place.archives().len(), listed_in(&place, "second", "a").lines().count()), (2, 4));
    // what is found out in the middle is told of that one, too
    let archives = place.path("second/archives");
    std::fs::remove_dir_all(&archives).unwrap();
    std::fs::write(&archives, "no directory").unwrap();
    let run = place.run(&["create", "--also-to", "second", "--also-to", "third", "--json", "a", "d"]);
    assert_eq!((run.rc, place.archives().len()), (13, 3), "{run:?}");
    let told: Value = serde_json::from_str(&run.out).unwrap();
    let all = told["repositories"].as_array().unwrap();
    assert_eq!((told.as_object().unwrap().len(), all.len()), (1, 3), "{told}");
    assert_eq!(all.iter().filter(|one| one["archive"]["name"] == "a").count(), 1, "{told}");
    assert_eq!(all.iter().filter(|one| one["error"]["rc"] == 19).count(), 1, "{told}");
    let missing = all.iter().find(|one| one["repository"]["location"] == "third").unwrap();
    assert_eq!((&missing["error"]["msgid"], &missing["error"]["rc"]), (&"Repository.DoesNotExist".into(), &13.into()));
    assert!(missing["error"]["message"].as_str().unwrap().len() > 5, "{told}");
}

#[test]
fn a_profile_opens_its_own_repository() {
    let place = Place::bare();
    place.file("d/f", "x");
    let secrets = [("repo", "first"), ("second", "other")];
    for (repository, passphrase) in secrets {
        place.run_with(&[("GABION_PASSPHRASE", passphrase)], &["repo-create", "-r", repository]).succeeded();
    }
    let secret = place.file("secret", "other\n");
    let (url, first) = (place.path("second"), place.path("repo"));
    let main = place.file("main secret", "first\n");
    let text = format!(
        "[profiles.disk]\nurl = {url:?}\npassphrase-file = {secret:?}\n\
         [profiles.main]\nurl = {first:?}\npassphrase-file = {main:?}\n[profiles.main.commands]\ncreate = [\"--also-to\", \"@disk\"]\n"
    );
    place.file("home/.config/gabion/config.toml", text);
    let create = ["create", "--also-to", "@disk", "a", "d"];
    place.run_with(&[("GABION_PASSPHRASE", "first")], &create).succeeded();
    place.run(&["create", "-r", "@main", "a", "d"]).succeeded();
    for (repository, passphrase) in secrets {
        let listed = place.run_with(&[("GABION_PASSPHRASE", passphrase)], &["repo-list", "--short", "-r", repository]);
        assert_eq!(listed.succeeded().out, "a\na\n", "{repository}");
    }
    // a place of no profile is opened by the same passphrase, which is not its own
    let run = place.run_with(&[("GABION_PASSPHRASE", "first")], &["create", "--also-to", "second", "a", "d"]);
    assert!(run.rc == 52 && run.err.contains("second: "), "{run:?}");
    place.run(&["create", "--also-to", "@nobody", "a", "d"]).failed(4, "no profile `@nobody`", "");
}

#[test]
fn a_dry_run_looks_once() {
    let place = place();
    let run = place.run(&["create", "-n", "--also-to", "second", "--list", "--json", "a", "d"]).succeeded();
    assert_eq!(run.err.matches("+ d/one\n").count(), 1, "{run:?}");
    let told: Value = serde_json::from_str(&run.out).unwrap();
    let all = told["repositories"].as_array().unwrap();
    assert!(all.len() == 2 && all.iter().all(|one| one["stats"]["nfiles"] == 2), "{told}");
    assert_ne!(all[0]["repository"]["id"], all[1]["repository"]["id"]);
    assert_eq!(place.archives(), [""; 0]);
}

#[test]
fn what_can_not_be_done_twice_is_refused() {
    let place = place();
    place.run(&["create", "--also-to", "repo", "-r", "repo", "a", "d"]).failed(
        4,
        "repo and repo are one repository",
        "",
    );
    place.run(&["create", "--also-to", "repo", "-r", "./repo", "a", "d"]).failed(
        4,
        "./repo and repo are one repository",
        "",
    );
    assert_eq!(place.archives(), [""; 0]);
}

#[test]
fn a_stream_is_read_once_for_all() {
    let place = place();
    let content = "piped ".repeat(2_000_000);
    let create = ["create", "--also-to", "second", "--stats", "--json", "--log-json", "--progress", "a", "-", "d"];
    let run = place.run_fed(content.as_bytes(), &create).succeeded();
    for line in run.err.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
    let told: Value = serde_json::from_str(&run.out).unwrap();
    let all = told["repositories"].as_array().unwrap();
    assert!(all.len() == 2 && all.iter().all(|one| one["archive"]["stats"]["nfiles"] == 3), "{told}");
    for repository in ["repo", "second"] {
        assert_eq!(place.run(&["extract", "-r", repository, "--stdout", "a", "stdin"]).succeeded().out, content);
        assert!(listed_in(&place, repository, "a").contains("d/more/two 2 "));
    }
    let script = |code: &str| format!("head -c 9000000 /dev/zero; echo $$ >> ran; exit {code}");
    let command = ["create", "--also-to", "second", "b", "--content-from-command", "--", "sh", "-c"];
    place.run(&[&command[..], &[&script("3")]].concat()).failed(4, "`sh` failed: exit status: 3", "");
    assert_eq!(listed_names(&place), ["a", "a"], "it is whole nowhere");
    place.run(&[&command[..], &[&script("0")]].concat()).succeeded();
    assert_eq!(std::fs::read_to_string(place.path("ran")).unwrap().lines().count(), 2, "once for both");
    assert_eq!(listed_names(&place), ["a", "b", "a", "b"]);
    // one that fails in the middle keeps the other from nothing
    let archives = place.path("second/archives");
    std::fs::remove_dir_all(&archives).unwrap();
    std::fs::write(&archives, "no directory").unwrap();
    let run = place.run_fed(content.as_bytes(), &["create", "--also-to", "second", "c", "-"]);
    assert!(run.rc == 19 && run.err.contains("second: "), "{run:?}");
    assert_eq!(place.run(&["extract", "--stdout", "c"]).succeeded().out, content);
}

/// What the program reads of files below `d`, in bytes.
fn read_of_files(place: &Place, arguments: &[&str], rc: i32) -> BTreeMap<String, u64> {
    let logs = place.path("logs");
    std::fs::create_dir(&logs).unwrap();
    let log = logs.join("log");
    // A log for each thread: calls are whole in it.
    let strace = ["-ff", "-y", "-o", log.to_str().unwrap(), "-e", "trace=read,readv,pread64,preadv"];
    Run::of(&mut traced(place, &strace, arguments)).ended(rc);
    let mut read = BTreeMap::new();
    for log in std::fs::read_dir(&logs).unwrap() {
        let log = std::fs::read_to_string(log.unwrap().path()).unwrap();
        for line in log.lines().filter(|line| line.contains(&format!("<{}/", place.path("d").display()))) {
            let path = line.split_once('<').unwrap().1.split_once('>').unwrap().0;
            *read.entry(path.to_owned()).or_default() += line.rsplit_once("= ").unwrap().1.parse::<u64>().unwrap();
        }
    }
    std::fs::remove_dir_all(&logs).unwrap();
    read.retain(|_, bytes| *bytes > 0);
    read
}

/// One repository knows most of it, one nothing, and one can not store it.
#[test]
fn each_file_is_read_once_for_all() {
    if !can_trace("each_file_is_read_once_for_all") {
        return;
    }
    let place = place();
    let source = place.path("d");
    make_tree(&source.join("tree"), 31, &TreeOptions { entries: 150, ..TreeOptions::default() }).unwrap();
    place.settle();
    place.run(&["create", "a", "d"]).succeeded();
    change_tree(&source.join("tree"), 32, 40).unwrap();
    place.file("d/large", Random::new(5).bytes(30 << 20));
    place.settle();
    for name in ["third", "fourth"] {
        place.run(&["repo-create", "-e", "none", "-r", name]).succeeded();
    }
    let alone = read_of_files(&place, &["create", "-r", "fourth", "a", "d"], 0);
    assert!(alone.len() > 30 && alone.values().sum::<u64>() > 30 << 20, "{alone:?}");
    std::fs::remove_dir_all(place.path("third/segments")).unwrap();
    place.file("third/segments", "no directory");
    let create = ["create", "--also-to=third", "--also-to=second", "--memory-budget=130Mi", "a", "d"];
    assert_eq!(read_of_files(&place, &create, 19), alone, "once for all");
    for repository in ["repo", "second"] {
        let target = place.path(&format!("out {repository}"));
        place.run(&["extract", "-r", repository, "--target", target.to_str().unwrap(), "a"]).succeeded();
        let aspects = Aspects { holes: true, ..Aspects::default() };
        assert_eq!(compare(&source, &target.join("d"), &aspects).unwrap(), [""; 0], "{repository}");
    }
    assert_eq!(place.run(&["repo-list", "--short", "-r", "third"]).succeeded().out, "");
    let again = ["create", "--also-to=second", "a", "d"];
    assert_eq!(read_of_files(&place, &again, 0), BTreeMap::new(), "each has its own base");
}

#[test]
fn what_has_no_size_and_what_is_gone_once_read_is_the_same_in_all() {
    let place = place();
    let pipes = ["d/pipe", "behind"].map(|name| place.path(name));
    for pipe in &pipes {
        assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
    }
    symlink("../behind", place.path("d/device")).unwrap();
    symlink("one", place.path("d/link")).unwrap();
    let content = Random::new(3).bytes(3 << 20);
    let written = content.clone();
    let writer = std::thread::spawn(move || {
        // in the order in which they are read
        let [pipe, behind] = pipes;
        std::fs::write(behind, "what comes out of it").unwrap();
        std::fs::write(pipe, written).unwrap();
    });
    place.run(&["repo-create", "-e", "none", "-r", "third"]).succeeded();
    let create = ["create", "--read-special", "--also-to=second", "--also-to=third", "a", "d", "/proc/version"];
    place.run(&create).succeeded();
    writer.join().unwrap();
    let version = std::fs::read("/proc/version").unwrap();
    for repository in ["repo", "second", "third"] {
        let target = place.path(&format!("{repository} out"));
        place.run(&["extract", "-r", repository, "--target", target.to_str().unwrap(), "a"]).succeeded();
        assert!(std::fs::read(target.join("d/pipe")).unwrap() == content, "{repository}");
        assert_eq!(std::fs::read(target.join("d/device")).unwrap(), b"what comes out of it");
        assert_eq!(std::fs::read(target.join("proc/version")).unwrap(), version);
        assert_eq!(std::fs::read_link(target.join("d/link")).unwrap().to_str(), Some("one"));
    }
}

/// The names of the archives of `repo`, and then of `second`.
fn listed_names(place: &Place) -> Vec<String> {
    let names = |repository: &str| place.run(&["repo-list", "--short", "-r", repository]).succeeded().out;
    [names("repo"), names("second")].concat().lines().map(str::to_owned).collect()
}

#[test]
fn no_repository_is_backed_up_into_another_one() {
    let place = place();
    let mut create = place.command(&["create", "--init", "--also-to", "second", "-r", "third", "a", "."]);
    create.env("GABION_PASSPHRASE", "x");
    Run::of(&mut create).succeeded();
    for repository in ["second", "third"] {
        let mut list = place.command(&["list", "--short", "-r", repository, "a"]);
        let listed = Run::of(list.env("GABION_PASSPHRASE", "x")).succeeded().out;
        let own = listed.lines().filter(|path| path.starts_with("second") || path.starts_with("third"));
        assert_eq!(own.count(), 0, "also one that was made just now: {listed}");
        assert!(listed.contains("repo/config\n"), "this one is somebody else's: {listed}");
    }
}

#[test]
fn a_routine_is_done_in_every_repository() {
    let place = place();
    let (first, second) = (place.path("repo"), place.path("second"));
    let text = format!(
        "[profiles.a]\nurl = {first:?}\noptions = [\"--metrics-file\", \"a.prom\"]\n\
         [profiles.a.commands]\ncreate = [\"--comment\", \"of a\"]\n\
         [profiles.a.run]\narchive = \"daily\"\npaths = [\"d\"]\nkeep = {{ last = 1 }}\nalso-to = [\"@b\", \"lost\"]\n\
         before = [\"echo before >> log\"]\nafter = [\"echo after >> log\"]\n\
         failed = [\"echo failed $GABION_RUN_STEP $GABION_RUN_RC >> log\"]\n\
         [profiles.b]\nurl = {second:?}\n[profiles.lost]\nurl = \"nowhere\"\n"
    );
    let configuration = "home/.config/gabion/config.toml";
    place.file(configuration, &text);
    let run = |arguments: &[&str]| {
        let mut command = place.command(&[&["run", "-v"], arguments].concat());
        command.env_remove("GABION_REPO");
        Run::of(&mut command)
    };
    for _ in 0..2 {
        let told = run(&["a"]).ended(13);
        assert!(told.err.contains("profile a in @lost: create failed"), "{told:?}");
        assert!(["a in @b: create", "a in @b: prune", "a in @b: compact"].iter().all(|step| told.err.contains(step)));
    }
    for repository in ["repo", "second"] {
        let told = place.run(&["repo-list", "-r", repository, "--format", "{name} {comment}{NL}"]).succeeded().out;
        assert_eq!(told, "daily of a\n", "{repository}");
    }
    // How its own repository is reached is nothing to the other.
    let figures = std::fs::read_to_string(place.path("a.prom")).unwrap();
    assert!(figures.contains("command=\"create\",repository=\"") && !figures.contains("/second"), "{figures}");
    let log = || std::fs::read_to_string(place.path("log")).unwrap();
    assert_eq!(log(), "before\nfailed create 13\n".repeat(2));
    place.file(configuration, text.replace(", \"lost\"", ""));
    run(&["a", "--only", "create"]).succeeded();
    assert!(log().ends_with("before\nafter\n"), "{}", log());
    place.file(configuration, text.replace("\"lost\"", "\"nobody\""));
    run(&["a"]).failed(4, "no profile `@nobody`", "");
}

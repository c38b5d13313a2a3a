//! `gabion benchmark crud`.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::place::{PROGRAM, Place, Run, wait_until};

const KINDS: [&str; 6] = ["Z-BIG", "R-BIG", "Z-MEDIUM", "R-MEDIUM", "Z-SMALL", "R-SMALL"];

/// A place with an archive that has the name of those of the benchmark, and an empty directory `d`.
fn place() -> Place {
    let place = Place::new();
    place.file("f", "mine");
    place.run(&["create", "gabion-benchmark-crud", "f"]).succeeded();
    fs::create_dir(place.path("d")).unwrap();
    place
}

/// Nothing is left but what was there before.
#[track_caller]
fn nothing_is_left(place: &Place) {
    assert_eq!(fs::read_dir(place.path("d")).unwrap().count(), 0);
    assert_eq!(place.archives(), ["gabion-benchmark-crud"]);
    assert_eq!(place.listed("gabion-benchmark-crud"), ["f"], "whose archive it is counts, not its name");
}

#[test]
fn archives_are_made_read_made_again_and_removed() {
    let place = place();
    let run = place.run(&["benchmark", "crud", "--size", "25k", "d"]).succeeded();
    let names: Vec<&str> = run.out.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    let expected: Vec<String> =
        KINDS.iter().flat_map(|kind| ["C", "R", "U", "D"].map(|letter| format!("{letter}-{kind}"))).collect();
    assert_eq!(names, expected, "{}", run.out);
    for (start, files) in [
        ("C-Z-BIG    ", "MB/s (1 * 25.00 kB all-zero files: "),
        ("U-R-MEDIUM ", "MB/s (1 * 25.00 kB random files: "),
        ("D-R-SMALL  ", "MB/s (2 * 10.00 kB random files: "),
    ] {
        let line = run.out.lines().find(|line| line.starts_with(start)).unwrap();
        assert!(line.contains(files) && line.ends_with("s)"), "{line}");
    }
    assert_eq!(run.err, "");
    nothing_is_left(&place);

    let run = place.run(&["benchmark", "crud", "--size=1k", "--json-lines", "d"]).succeeded();
    let lines: Vec<Value> = run.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| line["id"].as_str().unwrap()).collect::<Vec<_>>(), expected);
    for (line, (command, random)) in
        lines[2..6].iter().zip([("create2", false), ("delete", false), ("create1", true), ("extract", true)])
    {
        let of = |key: &str| line[key].clone();
        assert_eq!((of("command"), of("sample_random")), (command.into(), random.into()), "{line}");
        assert_eq!((of("sample_count"), of("sample_size")), (1.into(), 1000.into()), "{line}");
        assert!(of("time").as_f64() > Some(0.0) && of("io").as_u64() > Some(0), "{line}");
    }
    nothing_is_left(&place);
    let removed = place.run(&["repo-list", "--deleted", "--short"]).succeeded().out;
    assert_eq!(removed.lines().count(), 2 * 6 * 3, "{removed}");
}

#[test]
fn both_generations_of_borg_find_it() {
    let place = place();
    std::os::unix::fs::symlink(PROGRAM, place.path("borg")).unwrap();
    for line in ["-r repo benchmark crud --json-lines d", "benchmark crud repo d"] {
        let mut command = std::process::Command::new(place.path("borg"));
        place.surround(&mut command);
        command.env_remove("GABION_REPO").args(line.split(' ')).args(["--size", "1"]);
        assert_eq!(Run::of(&mut command).succeeded().out.lines().count(), 24, "{line}");
        nothing_is_left(&place);
    }
}

#[test]
fn what_can_not_be_measured_leaves_nothing() {
    let place = place();
    let only_adding = [("GABION_REPO_PERMISSIONS", "no-delete")];
    let run = place.run_with(&only_adding, &["benchmark", "crud", "--size", "1", "d"]);
    run.failed(21, "permissions", "this client may only add");
    nothing_is_left(&place);
    let run = place.run(&["benchmark", "crud", "--size", "1", "nowhere"]);
    assert!(run.rc != 0 && run.err.contains("make a directory in nowhere"), "{run:?}");
    nothing_is_left(&place);
}

#[test]
fn a_signal_leaves_nothing() {
    let place = place();
    let of_repository = || fs::read_dir(place.path("repo/archives")).unwrap().count();
    let before = of_repository();
    let child = place.command(&["benchmark", "crud", "--size", "60M", "d"]);
    let mut child = { child }.stdout(std::process::Stdio::null()).spawn().unwrap();
    wait_until("an archive is made", || of_repository() > before || child.try_wait().unwrap().is_some());
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    nothing_is_left(&place);
}

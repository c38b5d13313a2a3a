//! Repositories that are damaged, checked and mended.

use std::path::{Path, PathBuf};

use gabion_tests::Random;
use serde_json::Value;

use crate::place::{Place, tree};

/// A place with files, and without a repository.
fn with_files() -> Place {
    let (place, mut random) = (Place::bare(), Random::new(1));
    for number in 0..3 {
        place.file(&format!("tree/large {number}"), random.bytes(700_000));
        place.file(&format!("tree/below/small {number}"), random.bytes(5000));
    }
    place.settle();
    place
}

fn segments(repository: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = tree(&repository.join("segments"))
        .into_iter()
        .map(|(name, ..)| repository.join("segments").join(name))
        .filter(|path| path.is_file())
        .collect();
    found.sort_by_key(|path| std::fs::metadata(path).unwrap().len());
    found
}

/// A bad spot in the middle of the largest segment.
fn spoil_largest(repository: &Path) {
    let largest = segments(repository).pop().unwrap();
    let mut bytes = std::fs::read(&largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    std::fs::remove_file(&largest).unwrap();
    std::fs::write(&largest, bytes).unwrap();
}

fn same(place: &Place, restored: &str) {
    let files =
        |directory: &Path| -> Vec<_> { tree(directory).into_iter().map(|(name, _, bytes)| (name, bytes)).collect() };
    assert!(files(&place.path("tree")) == files(&place.path(restored).join("tree")), "{restored} differs");
}

#[test]
fn the_example_of_the_page_runs_as_it_stands() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/repair.md");
    let page = std::fs::read_to_string(page).unwrap();
    let example = page.split_once("```console example\n").unwrap().1.split_once("```").unwrap().0;
    let place = with_files();
    let mut said = Vec::new();
    for line in example.lines() {
        let (command, comment) = line.split_once('#').unwrap_or((line, ""));
        let words: Vec<&str> = command.trim_start_matches("$ ").split_whitespace().collect();
        match words[..] {
            ["spoil-largest-segment"] => spoil_largest(&place.path("repo")),
            ["gabion", ref arguments @ ..] => {
                let rc = comment.trim().strip_prefix("exit code ").map_or(0, |code| code.parse().unwrap());
                said.push(place.run(arguments).ended(rc));
            }
            _ => panic!("{line}"),
        }
    }
    let (check, repair) = (&said[2], &said[4]);
    assert!(check.err.contains("object: segments/") && check.err.contains("chunk: "), "{check:#?}");
    assert!(check.err.contains("path: tree/large "), "{check:#?}");
    assert!(said[3].out.contains("store again what can be read"), "{:#?}", said[3]);
    assert!(repair.out.contains("record 1 lost chunks that 1 archives need"), "{repair:#?}");
    same(&place, "out");
    place.run(&["extract", "--target", "first", "home@1"]).succeeded();
    same(&place, "first");
    assert_eq!(std::fs::read_dir(place.path("repo/quarantine")).unwrap().count(), 1);
}

#[test]
fn nothing_to_repair_is_said_and_nothing_changed() {
    let place = with_files();
    place.run(&["repo-create", "-e", "none"]).succeeded();
    place.run(&["create", "home", "tree"]).succeeded();
    let before = tree(&place.path("repo"));
    for arguments in
        [&["check", "--repair"][..], &["check", "--repair", "--dry-run"], &["check", "--repair", "--verify-data"]]
    {
        let run = place.run(arguments).succeeded();
        assert!(run.out.contains("Nothing to repair.") && run.out.contains("no damage found"), "{run:#?}");
    }
    let run: Value = serde_json::from_str(&place.run(&["check", "--repair", "--json"]).succeeded().out).unwrap();
    assert_eq!((&run["plan"]["empty"], run.get("repaired")), (&Value::Bool(true), None));
    assert!(tree(&place.path("repo")) == before);
}

#[test]
fn without_a_key_hashes_are_compared() {
    let place = with_files();
    let with = [("GABION_PASSPHRASE", "secret")];
    place.run_with(&with, &["repo-create", "-e", "aes256-gcm"]).succeeded();
    place.run_with(&with, &["create", "home", "tree"]).succeeded();
    let run = place.run(&["check", "--without-key"]).succeeded();
    assert!(run.out.contains("no damage found"), "{run:#?}");
    spoil_largest(&place.path("repo"));
    let run = place.run(&["check", "--without-key"]).ended(1);
    assert!(run.err.contains("object: segments/"), "{run:#?}");
    // nobody can open it any more: what can be checked is, and the error is that there is no key
    std::fs::remove_dir_all(place.path("repo/keys")).unwrap();
    std::fs::create_dir(place.path("repo/keys")).unwrap();
    let run = place.run_with(&with, &["check"]).ended(44);
    assert!(run.err.contains("object: segments/") && run.out.contains("1 findings"), "{run:#?}");
    for arguments in [
        &["check", "--without-key", "--verify-data"][..],
        &["check", "--without-key", "-a", "home"],
        &["check", "--repair", "--archives-only"],
        &["check", "--repair", "--last", "1"],
        &["check", "--dry-run"],
        &["check", "--from", "x"],
    ] {
        assert!([2, 4].contains(&place.run(arguments).rc), "{arguments:?}");
    }
}

#[test]
fn a_second_repository_gives_what_is_missing() {
    let place = with_files();
    let secrets = [("GABION_PASSPHRASE", "one"), ("GABION_OTHER_PASSPHRASE", "two")];
    place.run_with(&secrets, &["repo-create", "-e", "aes256-gcm"]).succeeded();
    place.run_with(&secrets, &["create", "home", "tree"]).succeeded();
    let other = place.path("other").display().to_string();
    let second = [("GABION_PASSPHRASE", "two"), ("GABION_REPO", other.as_str())];
    place.run_with(&second, &["repo-create", "-e", "chacha20-poly1305"]).succeeded();
    place.run_with(&second, &["create", "elsewhere", "tree"]).succeeded();
    spoil_largest(&place.path("repo"));
    let run = place.run_with(&secrets, &["check", "--repair", "--from", &other]).succeeded();
    assert!(run.out.contains("Chunks copied"), "{run:#?}");
    place.run_with(&secrets, &["check", "--verify-data"]).succeeded();
    place.run_with(&secrets, &["extract", "--target", "out", "home"]).succeeded();
    same(&place, "out");
    let wrong = [("GABION_PASSPHRASE", "one"), ("GABION_OTHER_PASSPHRASE", "one")];
    place.run_with(&wrong, &["check", "--repair", "--from", &other]).ended(52);
}

#[test]
fn archives_are_named_as_wished_and_lost_ones_found() {
    let place = with_files();
    place.run(&["repo-create", "-e", "none"]).succeeded();
    place.run(&["create", "home", "tree"]).succeeded();
    let run = place.run(&["--info", "check", "--archives-only", "--format", "<{archive}>"]).succeeded();
    assert!(run.err.contains("archive <home>"), "{run:#?}");
    let records = place.path("repo/archives");
    let record = std::fs::read_dir(&records).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(record).unwrap();
    // That it is gone is told once.
    place.run(&["repo-list"]).ended(122);
    assert_eq!(place.archives().len(), 0);
    let run = place.run(&["check", "--repair", "--find-lost-archives", "--dry-run"]).succeeded();
    assert!(run.out.contains("archive lost-"), "{run:#?}");
    place.run(&["check", "--repair", "--find-lost-archives"]).succeeded();
    // That the archive as it was is gone was told, although the one that is back names it as the one before.
    let run = place.run(&["repo-list", "--short"]).succeeded();
    let found: Vec<&str> = run.out.lines().collect();
    assert!(found.len() == 1 && found[0].starts_with("lost-"), "{found:?}");
    place.run(&["extract", "--target", "out", found[0]]).succeeded();
    same(&place, "out");
}

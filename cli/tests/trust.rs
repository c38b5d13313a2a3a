//! What the program remembers of repositories, and how it ends when one is not what it was.

use crate::place::Place;

const SECRET: (&str, &str) = ("GABION_PASSPHRASE", "x");
const UNENCRYPTED: (&str, &str) = ("GABION_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes");
const RELOCATED: (&str, &str) = ("GABION_RELOCATED_REPO_ACCESS_IS_OK", "yes");

#[test]
fn a_repository_without_encryption_is_met_on_purpose() {
    let place = Place::wary();
    place.run(&["repo-create", "-e", "none"]).succeeded();
    let elsewhere = place.path("elsewhere");
    let elsewhere = ("HOME", elsewhere.to_str().unwrap());
    place.run(&["repo-list"]).succeeded();
    place.run_with(&[elsewhere], &["repo-list"]).failed(46, "not encrypted", UNENCRYPTED.0);
    place.run_with(&[elsewhere, UNENCRYPTED], &["repo-list"]).succeeded();
    place.run_with(&[elsewhere], &["repo-list"]).succeeded();

    std::fs::rename(place.path("repo"), place.path("moved")).unwrap();
    let moved = place.path("moved");
    let moved = ("GABION_REPO", moved.to_str().unwrap());
    place.run_with(&[moved], &["repo-list"]).failed(62, "another place", RELOCATED.0);
    place.run_with(&[moved, RELOCATED], &["repo-list"]).succeeded();
    place.run_with(&[moved], &["repo-list"]).succeeded();
}

#[test]
fn another_repository_at_a_known_place_is_refused() {
    let place = Place::wary();
    let elsewhere = place.path("elsewhere");
    let elsewhere = ("HOME", elsewhere.to_str().unwrap());
    place.run_with(&[SECRET], &["repo-create"]).succeeded();
    // first contact, and an encrypted repository that moved, are silent
    let told = place.run_with(&[SECRET, elsewhere], &["repo-list"]).succeeded();
    assert_eq!(told.err, "");

    std::fs::remove_dir_all(place.path("repo")).unwrap();
    place.run_with(&[elsewhere], &["repo-create", "-e", "none"]).succeeded();
    for beside in [("X", "1"), RELOCATED] {
        place.run_with(&[SECRET, beside], &["create", "a", "."]).failed(46, "not encrypted", UNENCRYPTED.0);
    }
    std::fs::remove_dir_all(place.path("repo")).unwrap();
    place.run_with(&[SECRET, elsewhere], &["repo-create"]).succeeded();
    place.run_with(&[SECRET], &["repo-list"]).failed(45, "another repository", RELOCATED.0);
    place.run_with(&[SECRET, RELOCATED], &["repo-list"]).succeeded();
    place.run_with(&[SECRET], &["repo-list"]).succeeded();
}

#[test]
fn archives_that_vanish_are_a_warning_of_its_own() {
    let place = Place::wary();
    place.run(&["repo-create", "-e", "none"]).succeeded();
    place.file("f", "x");
    for _ in 0..2 {
        place.run(&["create", "a", "f"]).succeeded();
    }
    let newest = place.run(&["repo-list", "--format", "{id}{NL}"]).succeeded().out;
    let newest = newest.lines().last().unwrap();
    let mut objects = vec![place.path("repo/archives")];
    while let Some(path) = objects.pop() {
        if path.is_dir() {
            objects.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.to_str().unwrap().contains(newest) {
            std::fs::remove_file(path).unwrap();
        }
    }
    let told = place.run(&["create", "--log-json", "a", "f"]).ended(122);
    assert!(told.err.contains("RepositoryHistoryWarning") && told.err.contains(newest), "{told:?}");
    place.run(&["create", "a", "f"]).succeeded();
    place.run(&["repo-list"]).succeeded();
}

#[test]
fn the_passphrase_of_a_named_key_file_can_be_changed() {
    let place = Place::wary();
    let file = ("GABION_KEY_FILE", "the.key");
    place.run_with(&[SECRET, file], &["repo-create", "--key-location", "keyfile"]).succeeded();
    let before = std::fs::read(place.path("the.key")).unwrap();
    let changed = [SECRET, file, ("GABION_NEW_PASSPHRASE", "y")];
    place.run_with(&changed, &["key", "change-passphrase"]).succeeded();
    assert!(std::fs::read(place.path("the.key")).unwrap() != before);
    place.run_with(&[SECRET, file], &["repo-list"]).failed(52, "passphrase", "GABION_PASSPHRASE");
    let new = [("GABION_PASSPHRASE", "y"), file];
    assert_eq!(place.run_with(&new, &["key", "list"]).succeeded().out.lines().count(), 1);
    let added = [("GABION_PASSPHRASE", "y"), file, ("GABION_NEW_PASSPHRASE", "z")];
    place.run_with(&added, &["key", "add", "--key-location", "keyfile"]).succeeded();
    for passphrase in ["y", "z"] {
        place.run_with(&[("GABION_PASSPHRASE", passphrase), file], &["repo-list"]).succeeded();
    }
}

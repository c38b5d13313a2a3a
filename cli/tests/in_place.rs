//! `extract --in-place` and `--delete`.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use gabion_tests::{Aspects, compare};

use crate::place::{Place, Run, tree};

/// A place with an archive `a` of `src`, made as `.` there, and a copy of it in `target`.
fn restored() -> Place {
    let place = Place::new();
    place.file("src/same", "same");
    place.file("src/differs", "old");
    place.file("src/d/more/deep", vec![7; 20 << 20]);
    place.file("src/d/was-file", "a file");
    fs::hard_link(place.path("src/same"), place.path("src/d/same too")).unwrap();
    symlink("same", place.path("src/link")).unwrap();
    fs::set_permissions(place.path("src/d"), fs::Permissions::from_mode(0o710)).unwrap();
    Run::of(place.command(&["create", "a", "."]).current_dir(place.path("src"))).succeeded();
    place.run(&["extract", "--target", "target", "a"]).succeeded();
    place
}

#[track_caller]
fn same(place: &Place) {
    assert_eq!(compare(&place.path("src"), &place.path("target"), &Aspects::default()).unwrap(), Vec::<String>::new());
}

#[test]
fn what_is_there_as_archived_is_left_and_gets_its_metadata() {
    let place = restored();
    let inode = |name: &str| fs::symlink_metadata(place.path(name)).unwrap().ino();
    let names = ["target/same", "target/d/more/deep", "target/link"];
    let before = names.map(inode);
    place.file("target/differs", "of another length");
    fs::set_permissions(place.path("target/same"), fs::Permissions::from_mode(0o777)).unwrap();
    let listed = |arguments: &[&str]| {
        let run = place.run(&[&["extract", "--in-place", "--list", "--target", "target", "a"], arguments].concat());
        let mut lines: Vec<_> = run.succeeded().err.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let left = ["U d/more/deep", "U d/same too", "U d/was-file", "U link", "U same"];
    let told = listed(&["--dry-run"]);
    assert_eq!(told, [&["+ d", "+ d/more", "+ differs"][..], &left].concat());
    assert_eq!(fs::read(place.path("target/differs")).unwrap(), b"of another length", "a dry run");
    let told = listed(&[]);
    // Of a file with two names, the second is a link to the first.
    assert_eq!(told, ["U d/more/deep", "U d/same too", "U d/was-file", "U link", "d", "d/more", "differs", "h same"]);
    assert_eq!(names.map(inode), before);
    same(&place);
}

#[test]
fn a_file_with_a_further_name_elsewhere_is_replaced() {
    let place = restored();
    fs::hard_link(place.path("target/differs"), place.path("elsewhere")).unwrap();
    fs::set_permissions(place.path("elsewhere"), fs::Permissions::from_mode(0o777)).unwrap();
    place.run(&["extract", "--in-place", "--target", "target", "a"]).succeeded();
    assert_eq!(fs::metadata(place.path("elsewhere")).unwrap().mode() & 0o777, 0o777, "it is not the archive's");
    same(&place);
}

#[test]
fn what_the_archive_does_not_have_is_removed() {
    let place = restored();
    place.file("outside/stays", "");
    for name in ["extra", "d/extra/with/more", "d/kept.keep", "d/extra2/kept.keep", "d/extra2/goes"] {
        place.file(&format!("target/{name}"), name);
    }
    symlink(place.path("outside"), place.path("target/d/way out")).unwrap();
    fs::remove_file(place.path("target/d/was-file")).unwrap();
    place.file("target/d/was-file/is a directory", "");
    let before = tree(&place.path("target"));
    let extract = ["extract", "--in-place", "--delete", "--list", "--target", "target", "--exclude", "*.keep", "a"];
    let removed = |run: Run| {
        let err = run.succeeded().err;
        let mut lines: Vec<_> = err.lines().filter_map(|line| line.strip_prefix("D ")).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let expected = [
        "d/extra",
        "d/extra/with",
        "d/extra/with/more",
        "d/extra2/goes",
        "d/was-file",
        "d/was-file/is a directory",
        "d/way out",
        "extra",
    ];
    assert_eq!(removed(place.run(&[&extract[..], &["--dry-run"]].concat())), expected);
    assert_eq!(tree(&place.path("target")), before, "a dry run");
    assert_eq!(removed(place.run(&extract)), expected);
    assert!(place.path("outside/stays").exists());
    for kept in ["target/d/kept.keep", "target/d/extra2/kept.keep"] {
        fs::remove_file(place.path(kept)).unwrap();
    }
    assert_eq!(removed(place.run(&extract)), ["d/extra2"]);
    // The whole archive gives the target itself its times.
    place.run(&["extract", "--in-place", "--target", "target", "a"]).succeeded();
    same(&place);
}

#[test]
fn paths_that_are_named_bound_what_is_removed() {
    let place = restored();
    for name in ["extra", "d/extra", "d/more/extra"] {
        place.file(&format!("target/{name}"), name);
    }
    place.run(&["extract", "--in-place", "--delete", "--target", "target", "a", "d/more"]).succeeded();
    let extra = ["extra", "d/extra", "d/more/extra"].map(|name| place.path("target").join(name).exists());
    assert_eq!(extra, [true, true, false]);
}

#[test]
fn beside_what_was_named_nothing_is_removed() {
    let place = Place::new();
    place.file("src/f", "");
    place.run(&["create", "a", "src"]).succeeded();
    place.file("src/extra", "");
    place.file("beside", "");
    // The repository is in the target, too.
    place.run(&["extract", "--in-place", "--delete", "a"]).succeeded();
    assert!(!place.path("src/extra").exists());
    assert!(place.path("beside").exists() && place.path("repo/config").exists());
}

#[test]
fn the_repository_keys_and_settings_stay() {
    let place = Place::bare();
    let run = |arguments: &[&str]| place.run_with(&[("GABION_PASSPHRASE", "x")], arguments).succeeded();
    run(&["repo-create", "-e", "aes256-gcm", "--key-location", "keyfile"]);
    place.file("home/.config/gabion/config.toml", "");
    place.file("src/f", "");
    // Of the whole place, as it was before there was anything else in it.
    run(&["create", "a", "-e", "repo", "-e", "home", "."]);
    place.file("extra", "");
    run(&["extract", "--in-place", "--delete", "a"]);
    assert!(!place.path("extra").exists());
    assert!(place.path("home/.config/gabion/config.toml").exists());
    run(&["list", "a"]);
}

#[test]
fn where_a_directory_can_not_be_read_whole_nothing_is_removed() {
    let place = Place::new();
    let name = "n".repeat(100);
    for number in 0..8000 {
        place.file(&format!("src/big/{name}{number}"), "");
    }
    Run::of(place.command(&["create", "a", "."]).current_dir(place.path("src"))).succeeded();
    place.run(&["extract", "--target", "target", "a"]).succeeded();
    place.file("target/big/extra", "");
    place.file("target/extra", "");
    // The fifth byte of a segment tells that it is one of trees.
    let segments = tree(&place.path("repo/segments"));
    let (largest, _, bytes) = segments
        .iter()
        .filter(|(_, _, bytes)| bytes.get(4) == Some(&2))
        .max_by_key(|(_, _, bytes)| bytes.len())
        .unwrap();
    let mut spoilt = bytes.clone();
    spoilt[bytes.len() / 2] ^= 1;
    fs::write(place.path("repo/segments").join(largest), spoilt).unwrap();
    let run = place.run(&["extract", "--in-place", "--delete", "--target", "target", "a"]);
    assert!(run.rc >= 100 && run.err.contains("big"), "{run:?}");
    assert!(place.path("target/big/extra").exists() && place.path("target/extra").exists());
    let left = fs::read_dir(place.path("target/big")).unwrap().count();
    assert_eq!(left, 8001);
}

//! `extract --in-place`.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use gabion_tests::{Aspects, compare};

use crate::place::{Place, Run};

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
    assert_eq!(told, ["U d/more/deep", "U d/same too", "U d/was-file", "U link", "d", "d/more", "differs", "same"]);
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
fn a_preview_drops_directories_as_a_restore_does_and_changes_nothing() {
    let place = restored();
    let extract = |arguments: &[&str]| {
        let strip = ["extract", "--in-place", "--list", "--strip-components", "1", "--target", "stripped", "a"];
        place.run(&[&strip[..], arguments].concat()).succeeded().err
    };
    assert!(extract(&["-n"]).contains("+ d/more/deep\n") && !place.path("stripped").exists());
    extract(&[]);
    assert!(extract(&["-n"]).contains("U d/more/deep\n"));
    let closed = place.path("stripped/more");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    extract(&["-n"]);
    assert_eq!(fs::metadata(closed).unwrap().mode() & 0o777, 0);
}

//! Links that lie in wait in the target: a restore goes around them, never through.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use gabion_tests::{Aspects, compare};

use super::{NONE, paths};
use crate::engine::{backed_up, new_repository, restore};

/// A source with every way to write through a link, and a place outside the target with a copy of the same names.
fn scene(place: &Path) {
    for top in ["tree", "outside"] {
        fs::create_dir_all(place.join(top).join("folder/below")).unwrap();
        for name in ["file", "huge", "folder/file", "folder/below/file", "pipe"] {
            fs::write(place.join(top).join(name), format!("{top} {name}")).unwrap();
        }
        fs::write(place.join(top).join("huge"), vec![top.as_bytes()[0]; 17 << 20]).unwrap();
        fs::hard_link(place.join(top).join("file"), place.join(top).join("folder/linked")).unwrap();
        symlink("file", place.join(top).join("link")).unwrap();
    }
}

#[test]
fn nothing_is_written_outside_of_the_target() {
    let place = tempfile::tempdir().unwrap();
    scene(place.path());
    let (source, outside) = (place.path().join("tree"), place.path().join("outside"));
    let before = crate::engine::copied(&outside, &place.path().join("before"));
    let objects = new_repository();
    let created = backed_up(&objects, &source);
    let planted = ["", "file", "huge", "link", "folder", "folder/file", "folder/linked", "folder/below", "pipe"];
    for (number, name) in planted.into_iter().enumerate() {
        for workers in [0, 3] {
            let target = place.path().join(format!("target {number} {workers}"));
            let trap = target.join("tree").join(name);
            let trap = Path::new(trap.to_str().unwrap().trim_end_matches('/'));
            fs::create_dir_all(trap.parent().unwrap()).unwrap();
            symlink(outside.join(name), trap).unwrap();
            let notes = restore(objects.backend(), &created.record, &target, workers).unwrap();
            let told = notes.complaints();
            assert_eq!(compare(&before, &outside, &Aspects::default()).unwrap(), NONE, "trap at {name:?}");
            // Either the trap gave way to what is archived, or it was named.
            let same = trap.symlink_metadata().is_ok_and(|meta| !meta.is_symlink())
                || name == "link"
                || told.iter().any(|told| told.starts_with("tree"));
            assert!(same, "trap at {name:?}: {told:?}");
        }
    }
    assert_eq!(paths(&before), paths(&outside));
}

#[test]
fn a_link_in_the_archive_is_not_followed_by_what_comes_after_it() {
    let place = tempfile::tempdir().unwrap();
    let (first, second) = (place.path().join("1/tree"), place.path().join("2/tree"));
    let outside = place.path().join("outside");
    for folder in [&first, &second.join("d"), &outside] {
        fs::create_dir_all(folder).unwrap();
    }
    // What one archive restores as a link, the next one knows as a directory.
    symlink(&outside, first.join("d")).unwrap();
    fs::write(second.join("d/file"), "inside").unwrap();
    let objects = new_repository();
    let (one, two) = (backed_up(&objects, &first), backed_up(&objects, &second));
    let target = place.path().join("target");
    restore(objects.backend(), &one.record, &target, 0).unwrap();
    assert_eq!(fs::read_link(target.join("tree/d")).unwrap(), outside);
    let notes = restore(objects.backend(), &two.record, &target, 0).unwrap();
    assert_eq!(paths(&outside), NONE);
    let replaced = compare(&second, &target.join("tree"), &Aspects::default()).unwrap().is_empty();
    assert!(replaced || !notes.complaints().is_empty());
}

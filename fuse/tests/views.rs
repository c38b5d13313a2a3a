//! The layouts: one archive, many, versions; and parts of archives.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use gabion_core::pattern::{Line, Matcher, Pattern, Rule, Style};
use gabion_fuse::{Layout, ViewOptions};
use gabion_tests::{Aspects, TreeOptions, can_mount, change_tree, compare, make_tree};

use crate::fixture::Place;

/// All paths below a directory.
fn paths(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            if path.symlink_metadata().unwrap().is_dir() {
                waiting.push(path);
            }
        }
    }
    found
}

fn expected(paths: &[&str]) -> BTreeSet<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

/// Writes files, and the directories above them.
fn write(place: &Place, files: &[(&str, &str)]) {
    for (name, content) in files {
        let path = place.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

#[test]
fn every_archive_has_its_directory() {
    if !can_mount("every_archive_has_its_directory") {
        return;
    }
    let place = Place::new();
    let source = place.path("tree");
    let tree = TreeOptions { entries: 30, bytes_max: 20_000, owners: false, ..TreeOptions::default() };
    make_tree(&source, 4, &tree).unwrap();
    let mut copies = Vec::new();
    for seed in 0..3 {
        change_tree(&source, seed, 4).unwrap();
        place.back_up("tree");
        let copy = place.path(&format!("copy {seed}"));
        let status = std::process::Command::new("cp").arg("-a").arg(&source).arg(&copy).status().unwrap();
        assert!(status.success());
        copies.push(copy);
    }
    let mount = place.mount(place.shown(), ViewOptions::default());
    let mut names: Vec<_> = fs::read_dir(mount.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["0", "1", "2"]);
    for (number, copy) in copies.iter().enumerate() {
        let shown = mount.path(number.to_string()).join("tree");
        assert_eq!(compare(copy, &shown, &Aspects::default()).unwrap(), Vec::<String>::new());
    }
    assert!(!mount.path("3").exists());
}

#[test]
fn versions_of_a_file_lie_side_by_side() {
    if !can_mount("versions_of_a_file_lie_side_by_side") {
        return;
    }
    let place = Place::new();
    write(&place, &[("t/a.txt", "one"), ("t/same", "same"), ("t/gone/x", "x"), ("t/kind", "a file")]);
    place.back_up("t");
    write(&place, &[("t/a.txt", "two")]);
    fs::remove_dir_all(place.path("t/gone")).unwrap();
    fs::remove_file(place.path("t/kind")).unwrap();
    write(&place, &[("t/kind/inside", "now a directory")]);
    place.back_up("t");
    write(&place, &[("t/a.txt", "one"), ("t/new", "new")]);
    place.back_up("t");
    let mount = place.mount(place.shown(), ViewOptions { layout: Layout::Versions, ..ViewOptions::default() });
    let all = [
        "t",
        "t/a.txt",
        "t/a.txt/a.00001.txt",
        "t/a.txt/a.00002.txt",
        "t/gone",
        "t/gone/x",
        "t/gone/x/x.00001",
        "t/kind",
        "t/kind/inside",
        "t/kind/inside/inside.00001",
        "t/kind/kind.00001",
        "t/new",
        "t/new/new.00001",
        "t/same",
        "t/same/same.00001",
    ];
    assert_eq!(paths(&mount.path("")), expected(&all));
    for (path, content) in
        [("t/a.txt/a.00001.txt", "one"), ("t/a.txt/a.00002.txt", "two"), ("t/kind/kind.00001", "a file")]
    {
        assert_eq!(fs::read_to_string(mount.path(path)).unwrap(), content);
    }
    assert!(!mount.path("t/a.txt/a.00003.txt").exists());
}

#[test]
fn a_merged_directory_of_many_entries_is_listed_whole() {
    if !can_mount("a_merged_directory_of_many_entries_is_listed_whole") {
        return;
    }
    let place = Place::new();
    let mut all = BTreeSet::new();
    for round in 0..3 {
        for number in 0..700 {
            let name = format!("file {}", number * 3 + round);
            write(&place, &[(&format!("t/{name}"), "x")]);
            all.insert(name);
        }
        place.back_up("t");
        fs::remove_dir_all(place.path("t")).unwrap();
    }
    let mount = place.mount(place.shown(), ViewOptions { layout: Layout::Versions, ..ViewOptions::default() });
    let listed: Vec<_> = fs::read_dir(mount.path("t")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(listed.len(), 2100);
    assert_eq!(listed.into_iter().map(|name| name.into_string().unwrap()).collect::<BTreeSet<_>>(), all);
}

#[test]
fn only_what_is_asked_for_is_shown() {
    if !can_mount("only_what_is_asked_for_is_shown") {
        return;
    }
    let place = Place::new();
    write(
        &place,
        &[
            ("t/a/keep", "1"),
            ("t/a/drop.o", "2"),
            ("t/b/only.o", "3"),
            ("t/b/deep/x.o", "4"),
            ("t/c/y", "5"),
            ("t/z", "6"),
        ],
    );
    place.back_up("t");
    let show = |matcher: Matcher, strip_components| {
        let options = ViewOptions { layout: Layout::Single, matcher, strip_components, ..ViewOptions::default() };
        place.mount(place.shown(), options)
    };
    let mut excluded = Matcher::new();
    excluded.add_rule(Rule::exclude("*.o").unwrap());
    let mount = show(excluded, 0);
    assert_eq!(paths(&mount.path("")), expected(&["t", "t/a", "t/a/keep", "t/b", "t/b/deep", "t/c", "t/c/y", "t/z"]));

    let mut chosen = Matcher::new();
    chosen.add_include_path(Pattern::parse("t/b", Style::PathPrefix).unwrap());
    let mount = show(chosen, 0);
    assert_eq!(paths(&mount.path("")), expected(&["t", "t/b", "t/b/only.o", "t/b/deep", "t/b/deep/x.o"]));
    assert!(!mount.path("t/z").exists(), "what is not listed is not there");

    // A directory that is left out, with something in it that is not.
    let mut picked = Matcher::new();
    for line in ["+ t/b/deep/x.o", "- t/b/**", "- t/a/**", "- t/a"] {
        let Line::Rule(rule) = Line::parse(line.as_bytes(), Style::Shell).unwrap() else { panic!("{line}") };
        picked.add_rule(rule);
    }
    let mount = show(picked, 0);
    assert_eq!(paths(&mount.path("")), expected(&["t", "t/b", "t/b/deep", "t/b/deep/x.o", "t/c", "t/c/y", "t/z"]));

    let mount = show(Matcher::new(), 1);
    assert_eq!(
        paths(&mount.path("")),
        expected(&["a", "a/keep", "a/drop.o", "b", "b/only.o", "b/deep", "b/deep/x.o", "c", "c/y", "z"])
    );
    let mount = show(Matcher::new(), 2);
    assert_eq!(paths(&mount.path("")), expected(&["keep", "drop.o", "only.o", "deep", "deep/x.o", "y"]));
    assert_eq!(fs::read_to_string(mount.path("deep/x.o")).unwrap(), "4");
}

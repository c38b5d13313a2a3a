//! `gabion diff` as people and drivers meet it.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::place::Place;

/// Two archives, `a` and `b`, between which something of every kind happened.
fn changed() -> Place {
    let place = Place::new();
    place.file("t/file", "abc");
    place.file("t/gone", "old");
    place.file("t/same/f", "same");
    std::os::unix::fs::symlink("x", place.path("t/link")).unwrap();
    place.settle();
    place.run(&["create", "a", "t"]).succeeded();
    place.file("t/file", "abcdef");
    place.file("t/dir/new", "n");
    std::fs::remove_file(place.path("t/gone")).unwrap();
    std::fs::remove_file(place.path("t/link")).unwrap();
    std::os::unix::fs::symlink("y", place.path("t/link")).unwrap();
    let mode = std::fs::Permissions::from_mode(0o640);
    std::fs::set_permissions(place.path("t/same/f"), mode).unwrap();
    place.settle();
    place.run(&["create", "b", "t"]).succeeded();
    place
}

#[test]
fn differences_are_told_as_text() {
    let place = changed();
    let content = place.run(&["diff", "a", "b", "--content-only"]).succeeded().out;
    let lines: Vec<String> =
        content.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let expected = [
        "added directory t/dir",
        "added: 1 B t/dir/new",
        "modified: +6 B -3 B t/file",
        "removed: 3 B t/gone",
        "changed link t/link",
    ];
    assert_eq!(lines, expected);
    let all = place.run(&["diff", "a", "b"]).succeeded().out;
    assert!(all.contains("[-rw-r--r-- -> -rw-r-----]") && all.contains("[mtime: "), "{all}");
    let format = ["diff", "a", "b", "--format", "{mode}|{path}{NL}", "t/same"];
    assert_eq!(place.run(&format).succeeded().out, "[-rw-r--r-- -> -rw-r-----]|t/same/f\n");
    let environment = [("GABION_DIFF_FORMAT", "{path}{NUL}")];
    let listed = place.run_with(&environment, &["diff", "a", "b", "-e", "t/dir", "--sort-by", ">size_added,path"]);
    assert_eq!(listed.succeeded().out, "t/file\0t\0t/gone\0t/link\0t/same/f\0");
    assert_eq!(place.run(&["diff", "a", "a"]).succeeded().out, "");
}

#[test]
fn differences_are_told_as_json() {
    let place = changed();
    let out = place.run(&["diff", "--json-lines", "a", "b"]).succeeded().out;
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |path: &str| {
        let found = lines.iter().find(|line| line["path"] == path).unwrap_or_else(|| panic!("{path}: {out}"));
        found["changes"].as_array().unwrap().clone()
    };
    let file = &of("t/file")[0];
    assert_eq!((&file["type"], &file["added"], &file["removed"]), (&"modified".into(), &6.into(), &3.into()));
    assert_eq!(of("t/dir/new")[0]["size"], 1);
    assert_eq!((&of("t/gone")[0]["type"], &of("t/gone")[0]["size"]), (&"removed".into(), &3.into()));
    assert_eq!(of("t/dir")[0]["type"], "added directory");
    assert_eq!(of("t/link")[0]["type"], "changed link");
    let mode = &of("t/same/f")[0];
    assert_eq!(
        (&mode["type"], &mode["old_mode"], &mode["new_mode"]),
        (&"mode".into(), &"-rw-r--r--".into(), &"-rw-r-----".into())
    );
    let content = place.run(&["diff", "--json-lines", "--content-only", "a", "b", "t/same"]).succeeded();
    assert_eq!(content.out, "");
}

#[test]
fn an_archive_is_compared_with_files() {
    let place = changed();
    assert_eq!(place.run(&["diff", "b", "--with-fs", "."]).succeeded().out, "");
    place.file("t/file", "abcdefg");
    place.file("beside", "not asked for");
    let run = place.run(&["diff", "b", "--with-fs", ".", "--content-only"]).succeeded();
    assert!(run.out.contains("+7 B") && run.out.lines().count() == 1, "{}", run.out);
    assert_eq!(place.run(&["diff", "b", "--with-fs", ".", "t/same"]).succeeded().out, "");
    assert_eq!(place.run(&["diff", "b", "--with-fs", "no/such"]).rc, 2);
}

#[test]
fn what_can_not_be_compared_is_refused() {
    let place = changed();
    place.run(&["diff", "a"]).failed(4, "compare with what?", "");
    place.run(&["diff", "a", "bb"]).failed(31, "archive does not exist", "did you mean");
    place.run(&["diff", "a", "b", "--format", "{colour}"]).failed(4, "invalid format key `colour`", "");
    assert_eq!(place.run(&["diff", "a", "b", "--sort-by", "colour"]).rc, 2);
    let run = place.run(&["diff", "a", "b", "no/such/path"]);
    assert!(run.rc == 101 && run.err.contains("never matched"), "{}", run.err);
    // drivers name archives by their bare ids
    let id = place.run(&["repo-list", "--format", "{id}{NL}", "--last", "1"]).succeeded().out;
    assert_eq!(place.run(&["diff", id.trim(), "b"]).succeeded().out, "");
}

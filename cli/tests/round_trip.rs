//! Back up, list, restore.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::process::Command;

use serde_json::Value;

use crate::place::{PROGRAM, Place, Run, tree};

fn some_files(place: &Place) {
    place.file("src/a", "hello");
    place.file("src/sub/b", vec![7; 300_000]);
    place.file("src/sub/deeper/empty", "");
    symlink("a", place.path("src/link")).unwrap();
    std::fs::hard_link(place.path("src/a"), place.path("src/second")).unwrap();
    std::fs::set_permissions(place.path("src/a"), std::fs::Permissions::from_mode(0o641)).unwrap();
}

#[test]
fn everything_comes_back_from_an_encrypted_repository() {
    let place = Place::bare();
    some_files(&place);
    let secret = [("GABION_PASSPHRASE", "open sesame")];
    let made = place.run_with(&secret, &["create", "--init", "first", "src"]).succeeded();
    assert!(made.err.contains("key export"), "{made:?}");
    let restored = place.run_with(&secret, &["extract", "--target", "out", "--list", "first"]).succeeded();
    assert!(restored.err.lines().any(|line| line == "src/sub/b"), "{restored:?}");
    assert_eq!(tree(&place.path("out/src")), tree(&place.path("src")));
    let ids = ["a", "second"].map(|name| std::fs::metadata(place.path("out/src").join(name)).unwrap().ino());
    assert_eq!(ids[0], ids[1]);
    // everything the program made belongs to its user alone
    assert_eq!(std::fs::metadata(place.path("repo")).unwrap().mode() & 0o077, 0);
}

#[test]
fn extract_takes_what_is_asked_for() {
    let place = Place::new();
    some_files(&place);
    place.run(&["create", "one", "src"]).succeeded();
    place
        .run(&["extract", "--target", "part", "--strip-components", "1", "one", "src/sub", "-e", "*/deeper"])
        .succeeded();
    let names: Vec<String> = tree(&place.path("part")).into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["", "sub", "sub/b"]);
    assert_eq!(place.run(&["extract", "--stdout", "one", "src/a"]).succeeded().out, "hello");
    let dry = place.run(&["extract", "--dry-run", "--list", "--stats", "one"]).succeeded();
    assert!(dry.err.contains("+ src/sub/b\n") && dry.err.contains("Number of files: 4"), "{dry:?}");
    assert!(!place.path("src/src").exists());
}

#[test]
fn existing_files_are_replaced_and_others_left_alone() {
    let place = Place::new();
    some_files(&place);
    place.run(&["create", "one", "src"]).succeeded();
    place.file("src/a", "changed");
    place.file("src/own", "mine");
    place.run(&["extract", "one"]).succeeded();
    assert_eq!(std::fs::read(place.path("src/a")).unwrap(), b"hello");
    assert_eq!(std::fs::read(place.path("src/own")).unwrap(), b"mine");
}

#[test]
fn archives_form_series_and_have_ids() {
    let place = Place::new();
    for content in ["1", "22", "333"] {
        place.file("f", content);
        place.run(&["create", "daily", "f"]).succeeded();
    }
    place.run(&["create", "other", "f"]).succeeded();
    for (archive, size) in [("daily", "3"), ("daily@0", "3"), ("daily@1", "2"), ("daily@2", "1")] {
        assert_eq!(place.run(&["list", "--format", "{size}", archive]).succeeded().out, size, "{archive}");
    }
    let ids = place.run(&["repo-list", "-a", "daily", "--format", "{id}{NL}"]).succeeded().out;
    let oldest = ids.lines().next().unwrap();
    for prefix in [oldest, &oldest[..10]] {
        let listed = place.run(&["list", "--format", "{size} {archiveid}", &format!("aid:{prefix}")]).succeeded();
        assert_eq!(listed.out, format!("1 {oldest}"));
    }
    for (filter, expected) in [
        (&["-a", "sh:d*"][..], "daily daily daily"),
        (&["-a", "re:o.+", "-a", "host:nowhere"], ""),
        (&["--last", "2"], "daily other"),
        (&["--first", "1", "--sort-by", "archive"], "daily"),
        (&["--newer", "1d", "-a", "other"], "other"),
        (&["--older", "1d"], ""),
    ] {
        let listed = place.run(&[&["repo-list", "--short"], filter].concat()).succeeded().out;
        assert_eq!(listed.lines().collect::<Vec<_>>().join(" "), expected, "{filter:?}");
    }
}

#[test]
fn unchanged_files_are_not_read_again() {
    let place = Place::new();
    some_files(&place);
    place.settle();
    place.run(&["create", "one", "src"]).succeeded();
    place.file("src/a", "other");
    let second = place.run(&["create", "--list", "one", "src"]).succeeded();
    assert!(second.err.contains("M src/a\n") && second.err.contains("U src/sub/b\n"), "{second:?}");
    let filtered = place.run(&["create", "--list", "--filter", "AM", "one", "src"]).succeeded();
    assert!(!filtered.err.contains("U ") && !filtered.err.contains("d "), "{filtered:?}");
    let all = place.run(&["create", "--list", "--files-cache", "disabled", "one", "src"]).succeeded();
    assert!(all.err.contains("M src/sub/b\n"), "{all:?}");
}

#[test]
fn the_repository_is_never_backed_up() {
    let place = Place::new();
    place.file("f", "x");
    let made = place.run(&["create", "--list", "all", "."]).succeeded();
    assert!(made.err.contains("- repo\n"), "{made:?}");
    let left = ["f", "home", "home/.local", "home/.local/share"];
    assert_eq!(place.listed("all"), left, "nor is what it remembers");
    for url in ["parity:10%:repo2", "redb:repo3"] {
        let run = |arguments: &[&str]| place.run_with(&[("GABION_REPO", url)], arguments).succeeded();
        run(&["repo-create", "-e", "none"]);
        run(&["create", "all", "--exclude", "repo", "."]);
        let found = run(&["list", "--short", "all"]).out;
        let other = if url.contains("repo2") { "" } else { "repo2" };
        let own: Vec<_> =
            found.lines().filter(|path| path.starts_with("repo") && !path.starts_with("repo2/")).collect();
        assert_eq!(own.join(" "), other, "{url}: {found}");
    }
}

#[test]
fn a_first_backup_takes_one_command() {
    let place = Place::bare();
    place.file("f", "x");
    let secret = [("GABION_PASSPHRASE", "x")];
    let dry = place.run_with(&secret, &["create", "--init", "--dry-run", "--list", "n", "f"]).succeeded();
    assert!(dry.err.contains("+ f\n") && !place.path("repo").exists(), "{dry:?}");
    place.run_with(&secret, &["create", "--init", "n", "f"]).succeeded();
    place.run_with(&secret, &["create", "--init", "n", "f"]).succeeded();
    assert_eq!(place.run_with(&secret, &["repo-list", "--short"]).succeeded().out, "n\nn\n");
}

#[test]
fn keys_may_lie_in_files() {
    let secret = ("GABION_PASSPHRASE", "x");
    let place = Place::bare();
    for variables in [&[secret][..], &[secret, ("GABION_KEY_FILE", "the.key")]] {
        let made = place.run_with(variables, &["repo-create", "--key-location", "keyfile"]).succeeded();
        assert!(made.err.contains("Its key is in "), "{made:?}");
        assert!(!place.path("repo/keys").exists() || std::fs::read_dir(place.path("repo/keys")).unwrap().count() == 0);
        place.run_with(variables, &["repo-list"]).succeeded();
        let elsewhere = [secret, ("HOME", "/nonexistent")];
        place.run_with(&elsewhere, &["repo-list"]).failed(44, "no key", "key import");
        std::fs::remove_dir_all(place.path("repo")).unwrap();
    }
    assert!(place.path("the.key").exists());
}

#[test]
fn few_descriptors_are_enough_for_many_directories() {
    let place = Place::new();
    (0..300).for_each(|number| drop(place.file(&format!("d/{number}/file"), format!("{number}"))));
    place.run(&["create", "a", "d"]).succeeded();
    let mut command = Command::new("sh");
    place.surround(&mut command);
    command.args(["-c", "ulimit -n 64 && exec \"$gabion\" extract --target out a"]).env("gabion", PROGRAM);
    Run::of(&mut command).succeeded();
    assert_eq!(tree(&place.path("out/d")), tree(&place.path("d")));
}

/// What is kept of files is what this run asks for, also of files that did not change since the last one.
#[test]
fn metadata_is_kept_as_wished() {
    let place = Place::new();
    let file = place.file("f", "x");
    for (program, arguments) in
        [("setfattr", &["-n", "user.note", "-v", "b"][..]), ("setfacl", &["-m", "u:1:r"]), ("chattr", &["+d"])]
    {
        assert!(Command::new(program).args(arguments).arg(&file).status().unwrap().success(), "{program}");
    }
    place.settle();
    let kept = |options: &[&str]| -> Vec<&str> {
        place.run(&[&["create", "one", "f"], options].concat()).succeeded();
        let told = place.run(&["debug", "dump-archive-items", "one"]).succeeded().out;
        let item: Value = serde_json::from_str(&told).unwrap();
        let facts = [
            ("xattr", told.contains("\"user.note\"")),
            ("acl", told.contains("\"system.posix_acl_access\"")),
            ("flags", item["flags"] == 4),
            ("born", item["birthtime_utc"].is_string()),
            ("atime", item["atime_utc"].is_string()),
            ("owner", item["user"].is_string() && item["group"].is_string()),
        ];
        facts.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
    };
    let usual = ["xattr", "acl", "flags", "born", "owner"];
    assert_eq!(kept(&[]), usual);
    assert_eq!(kept(&["--noxattrs"]), ["acl", "flags", "born", "owner"]);
    assert_eq!(kept(&["--noacls"]), ["xattr", "flags", "born", "owner"]);
    assert_eq!(kept(&["--noflags", "--nobirthtime", "--atime"]), ["xattr", "acl", "atime", "owner"]);
    assert_eq!(kept(&["--numeric-ids", "--noacls", "--noxattrs"]), ["flags", "born"]);
    assert_eq!(kept(&[]), usual);
}

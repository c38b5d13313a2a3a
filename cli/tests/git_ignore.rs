//! `create --git-ignore`, compared with git itself.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::process::Command;

use crate::place::{Place, Run};

const ROOT: &str = "# a comment\n*.o\n!keep.o\n/anchored\nbuild/\ndoc/**/*.pdf\n**/cache\na/**/z\ndeep/*\n!deep/in\n\\#hash\n\
                    \\!bang\ntrailing\\ \nspaces   \n[ab]bc\nsub/only.txt\nfoo*.log\n!foo-keep.log\nnode_modules\n[\n***\\\n";
const SUB: &str = "\u{feff}!*.o\r\nown\r\n/rooted\r\n";
const EXCLUDE: &str = "secret*\n*.tmp\n";
const DIRECTORIES: [&str; 16] = [
    "",
    "sub/",
    "sub/deeper/",
    "doc/",
    "doc/x/",
    "doc/x/y/",
    "a/",
    "a/b/",
    "a/b/c/",
    "deep/",
    "deep/in/",
    "deep/out/",
    "build/",
    "x/build/",
    "node_modules/p/",
    "cache/",
];
const NAMES: [&str; 23] = [
    "f.o",
    "keep.o",
    "anchored",
    "build",
    "x.pdf",
    "cache",
    "z",
    "in",
    "#hash",
    "!bang",
    "trailing ",
    "spaces",
    "abc",
    "bbc",
    "cbc",
    "only.txt",
    "foo1.log",
    "foo-keep.log",
    "own",
    "rooted",
    "secret1",
    "a.tmp",
    "plain",
];

/// Runs git, which knows nothing of the user's settings here.
fn git(place: &Place, arguments: &[&str]) -> Run {
    let mut command = Command::new("git");
    place.surround(&mut command);
    command.env("GIT_CONFIG_NOSYSTEM", "1").args(arguments);
    Run::of(&mut command).succeeded()
}

/// A place with a work tree `w`, in which every name is in every directory.
fn work_tree() -> Place {
    let place = Place::new();
    git(&place, &["init", "-q", "w"]);
    for directory in DIRECTORIES {
        fs::create_dir_all(place.path(&format!("w/{directory}"))).unwrap();
    }
    for (directory, name) in DIRECTORIES.iter().flat_map(|directory| NAMES.map(|name| (directory, name))) {
        let path = place.path(&format!("w/{directory}{name}"));
        if !path.is_dir() {
            fs::write(path, name).unwrap();
        }
    }
    for (name, text) in [(".gitignore", ROOT), ("sub/.gitignore", SUB), (".git/info/exclude", EXCLUDE)] {
        place.file(&format!("w/{name}"), text);
    }
    place
}

/// The regular files of an archive below `top`, without repositories of git.
fn archived(place: &Place, archive: &str, top: &str) -> BTreeSet<String> {
    let listed = place.run(&["list", "--format", "{type}{path}{NL}", archive]).succeeded().out;
    let files = listed.lines().filter_map(|line| line.strip_prefix('-')?.strip_prefix(top));
    files.filter(|path| !path.contains(".git/")).map(str::to_owned).collect()
}

/// What git does not ignore of a directory.
fn kept_by_git(place: &Place, directory: &str) -> BTreeSet<String> {
    let told = git(place, &["-C", directory, "ls-files", "-z", "--others", "--exclude-standard"]).out;
    told.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect()
}

#[test]
fn what_git_ignores_is_left_out() {
    let place = work_tree();
    place.run(&["create", "--git-ignore", "whole", "w"]).succeeded();
    let kept = kept_by_git(&place, "w");
    assert!(kept.len() > 60 && !kept.contains("f.o") && kept.contains("sub/f.o"), "{kept:?}");
    assert_eq!(archived(&place, "whole", "w/"), kept);
    // the rules above a part count in the part, from where they stand
    for part in ["w/sub", "w/a/b", "w/doc", "w/deep/in"] {
        place.run(&["create", "--git-ignore", "part", part]).succeeded();
        assert_eq!(archived(&place, "part", &format!("{part}/")), kept_by_git(&place, part), "{part}");
    }
    symlink("w/sub", place.path("link")).unwrap();
    let mut here = place.command(&["create", "--git-ignore", "here", "."]);
    Run::of(here.current_dir(place.path("link"))).succeeded();
    assert_eq!(archived(&place, "here", ""), kept_by_git(&place, "w/sub"), "where a link leads");
    assert!(place.listed("whole").iter().any(|path| path.starts_with("w/.git/")), "the repository itself is kept");
}

#[test]
fn what_is_left_out_is_told_and_follows_a_change() {
    let place = Place::new();
    for name in ["w/.git/HEAD", "w/out/deep/f", "w/f.o", "w/g"] {
        place.file(name, "x");
    }
    place.file("w/.gitignore", "*.o\nout\n");
    place.settle();
    let create = ["create", "--git-ignore", "--list", "s", "w"];
    let told = place.run(&create).succeeded().err;
    assert!(told.contains("- w/f.o\n") && told.contains("- w/out\n") && !told.contains("deep"), "{told}");
    let told = place.run(&["create", "--git-ignore", "--list", "--dry-run", "s", "w"]).succeeded().err;
    assert!(told.contains("- w/f.o\n") && told.contains("- w/out\n") && told.contains("+ w/g\n"), "{told}");
    let told = place.run(&[&create[..], &["--log-json"]].concat()).succeeded().err;
    assert!(
        told.contains(r#""status":"-","path":"w/f.o""#) || told.contains(r#""path":"w/f.o","status":"-""#),
        "{told}"
    );
    // the directories are what they were, and only the rules are not
    place.file("w/.gitignore", "g\n");
    place.run(&create).succeeded();
    let of = |archive: &str| archived(&place, archive, "w/").into_iter().collect::<Vec<_>>();
    assert_eq!(
        (of("s"), of("s@1")),
        (
            [".gitignore", "f.o", "out/deep/f"].map(str::to_owned).to_vec(),
            [".gitignore", "g"].map(str::to_owned).to_vec()
        )
    );
    place.run(&["create", "s", "w"]).succeeded();
    assert_eq!(of("s"), [".gitignore", "f.o", "g", "out/deep/f"], "nobody asked for it");
}

#[test]
fn what_is_given_is_taken() {
    let place = Place::new();
    for name in ["w/.git/HEAD", "w/out/deep/f", "w/out/deep/f.o", "w/out/g", "w/f.o", "w/g.o", "w/h"] {
        place.file(name, "x");
    }
    place.file("w/.gitignore", "*.o\nout/\n");
    let rows: [(&[&str], &[&str]); 4] = [
        (&["w/out"], &["out/deep/f", "out/g"]),
        (&["w/f.o"], &["f.o"]),
        (&["w", "w/f.o"], &[".gitignore", "f.o", "h"]),
        (&["w", "w/out/deep"], &[".gitignore", "h", "out/deep/f"]),
    ];
    for (given, expected) in rows {
        place.run(&[&["create", "--git-ignore", "g"], given].concat()).succeeded();
        assert_eq!(archived(&place, "g", "w/").into_iter().collect::<Vec<_>>(), expected, "{given:?}");
    }
    place.run_fed(b"w/f.o\nw/out/g\n", &["create", "--git-ignore", "g", "--paths-from-stdin"]).succeeded();
    assert_eq!(archived(&place, "g", "w/").into_iter().collect::<Vec<_>>(), ["f.o", "out/g"]);
}

#[test]
fn rules_count_in_their_own_work_tree() {
    let place = Place::new();
    for name in ["t/f.o", "t/in/.git/HEAD", "t/in/f.o", "t/in/module/f.o", "t/in/module/f.a", "t/no/f.o"] {
        place.file(name, "x");
    }
    place.file("t/.gitignore", "*\n");
    place.file("t/in/.gitignore", "*.o\n");
    // how a module says where its repository is
    place.file("t/in/module/.git", "gitdir: ../.git/modules/module\n");
    place.file("t/in/module/.gitignore", "*.a\n");
    let create = ["create", "--git-ignore", "t", "t"];
    place.run(&create).succeeded();
    let expected =
        [".gitignore", "f.o", "in/.gitignore", "in/module/.git", "in/module/.gitignore", "in/module/f.o", "no/f.o"];
    assert_eq!(archived(&place, "t", "t/").into_iter().collect::<Vec<_>>(), expected);
    // what another user put there leaves nothing out
    fs::create_dir(place.path("t/.git")).unwrap();
    if chown(place.path("t/.git"), Some(1234), None).is_ok() {
        place.run(&create).succeeded();
        assert_eq!(archived(&place, "t", "t/").into_iter().collect::<Vec<_>>(), expected);
        chown(place.path("t/.git"), Some(0), None).unwrap();
    }
    place.run(&create).succeeded();
    assert_eq!(archived(&place, "t", "t/").into_iter().collect::<Vec<_>>(), [""; 0], "a work tree that ignores all");
    assert_eq!(place.listed("t"), ["t", "t/.git"], "but not its repository");
}

#[test]
fn rules_that_can_not_be_read_leave_nothing_out() {
    let place = Place::new();
    let rules = place.file("rules", "*\n");
    place.file("w/.git/HEAD", "x");
    place.file("w/f", "x");
    let create = ["create", "--git-ignore", "w", "w"];
    symlink(&rules, place.path("w/.gitignore")).unwrap();
    let told = place.run(&create);
    assert!(told.err.contains("w/.gitignore: "), "{told:?}");
    assert_eq!((told.rc, place.listed("w").contains(&"w/f".to_owned())), (104, true), "{told:?}");
    fs::remove_file(place.path("w/.gitignore")).unwrap();
    place.file("w/.gitignore", format!("*\n{}", "#".repeat((1 << 20) - 2)));
    place.run(&create).succeeded();
    assert_eq!(archived(&place, "w", "w/"), BTreeSet::new());
    place.file("w/.gitignore", format!("*\n{}", "#".repeat((1 << 20) - 1)));
    let told = place.run(&create);
    assert!(told.rc == 102 && told.err.contains("w/.gitignore: "), "{told:?}");
    assert!(place.listed("w").contains(&"w/f".to_owned()));
}

#[test]
fn a_profile_may_ask_for_it() {
    let place = Place::new();
    for name in ["w/.git/HEAD", "w/f.o", "w/g"] {
        place.file(name, "x");
    }
    place.file("w/.gitignore", "*.o\n");
    let url = place.path("repo");
    let text = format!(
        "[profiles.p]\nurl = {url:?}\n[profiles.p.commands]\ncreate = [\"--git-ignore\"]\n[profiles.p.run]\narchive = \"p\"\npaths = [\"w\"]\n"
    );
    place.file("home/.config/gabion/config.toml", text);
    place.run(&["run", "p"]).succeeded();
    assert_eq!(archived(&place, "p", "w/").into_iter().collect::<Vec<_>>(), [".gitignore", "g"]);
}

//! What bad input gets: an exit code, one line that says what is wrong, one that says what to do.

use std::os::unix::process::CommandExt as _;

use crate::place::{PROGRAM, Place, Run};

#[test]
fn wrong_and_missing_passphrases() {
    let place = Place::bare();
    place.run_with(&[("GABION_PASSPHRASE", "right")], &["repo-create"]).succeeded();
    place.run_with(&[("GABION_PASSPHRASE", "wrong")], &["repo-list"]).failed(
        52,
        "passphrase is wrong",
        "GABION_PASSCOMMAND",
    );
    place.run_with(&[("GABION_PASSCOMMAND", "echo right")], &["repo-list"]).succeeded();
    place.run_with(&[("GABION_PASSCOMMAND", "false")], &["repo-list"]).failed(51, "`false` ended with", "");
    place.run_with(&[("GABION_PASSPHRASE_FD", "99")], &["repo-list"]).failed(50, "descriptor 99", "");
    place.file("secret", "right\n");
    let mut shell = std::process::Command::new("sh");
    place.surround(&mut shell);
    shell.args(["-c", "exec \"$0\" repo-list 7<secret", PROGRAM]).env("GABION_PASSPHRASE_FD", "7");
    Run::of(&mut shell).succeeded();
    let mut alone = std::process::Command::new("setsid");
    place.surround(&mut alone);
    alone.args(["--wait", PROGRAM, "repo-list"]).arg0("setsid");
    Run::of(&mut alone).failed(50, "there is no terminal", "");
    let mut alone = std::process::Command::new("setsid");
    place.surround(&mut alone);
    alone.args(["--wait", PROGRAM, "-r", "new", "repo-create"]);
    Run::of(&mut alone).failed(50, "there is no terminal", "");
    assert_eq!(
        std::fs::read_dir(place.path("new")).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_file()).count(),
        0
    );
}

#[test]
fn places_without_a_repository() {
    let place = Place::new();
    place.file("files/photo.jpg", "x");
    std::fs::create_dir(place.path("empty")).unwrap();
    let repo = |name: &str| vec![("GABION_REPO".to_owned(), name.to_owned())];
    for (name, rc, error, hint) in [
        ("nowhere", 13, "repository does not exist", "repo-create"),
        ("empty", 13, "repository does not exist", "--init"),
        ("files", 15, "not a Gabion repository", "--repo"),
        ("files/photo.jpg", 15, "not a Gabion repository", "--repo"),
        ("host:path", 4, "neither a path nor a URL", "did you mean `ssh://host/./path`?"),
        ("nonsense://x", 4, "unknown scheme", "gabion help stores"),
        ("rest://host/x", 25, "does not have that store", "gabion help stores"),
        ("", 4, "no repository", ""),
    ] {
        let variables = repo(name);
        let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (&**name, &**value)).collect();
        place.run_with(&variables, &["repo-list"]).failed(rc, error, hint);
    }
    place.run(&["repo-create", "-e", "none"]).failed(10, "exists there already", "choose another place");
    place.run(&["repo-create", "-e", "none", "-r", "files"]).failed(15, "not empty", "--repo");
    place.run(&["repo-create", "-e", "none", "-r", "no/where"]).failed(18, "directory above", "");
}

#[test]
fn damaged_repositories() {
    let place = Place::new();
    place.file("f", vec![3; 5000]);
    place.run(&["create", "one", "f"]).succeeded();
    let (config, copy) = (place.path("repo/config"), place.path("repo/spare/identity"));
    let whole = std::fs::read(&config).unwrap();
    for (damaged, what) in
        [(whole[..whole.len() / 2].to_vec(), "cut"), (flipped(&whole), "flipped"), (Vec::new(), "empty")]
    {
        // The copy stands in, until that is damaged too.
        overwrite(&config, &damaged);
        place.run(&["repo-list"]).succeeded();
        overwrite(&copy, &damaged);
        place.run(&["repo-list"]).failed(16, "damaged data", "change nothing");
        overwrite(&copy, &whole);
        assert!(!what.is_empty());
    }
    let told = place.run(&["check"]).ended(1);
    assert!(told.err.contains("object: config: "), "{told:#?}");
    place.run(&["check", "--repair"]).succeeded();
    assert_eq!(std::fs::read(&config).unwrap(), whole);
    std::fs::remove_file(&copy).unwrap();
    std::fs::remove_file(&config).unwrap();
    place.run(&["repo-list"]).failed(15, "no config", "--repo");
    overwrite(&config, &whole);
    place.run(&["repo-list"]).succeeded();
}

fn flipped(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    bytes
}

fn overwrite(path: &std::path::Path, bytes: &[u8]) {
    let _ = std::fs::remove_file(path);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn archives_that_do_not_exist() {
    let place = Place::new();
    place.file("f", "x");
    place.run(&["create", "laptop-home", "f"]).succeeded();
    place.run(&["list", "labtop-home"]).failed(31, "labtop-home", "did you mean `laptop-home`?");
    place.run(&["extract", "zzz"]).failed(31, "archive does not exist", "gabion repo-list");
    place.run(&["list", "laptop-home@1"]).failed(31, "laptop-home@1", "did you mean");
    place.run(&["list", "aid:ffffffffffff"]).failed(31, "aid:ffffffffffff", "repo-list");
    place.run(&["list", "aid:xyz"]).failed(4, "not the beginning of an archive's id", "");
    place.run(&["repo-list", "-a", "aid:ffffffffffff"]).failed(31, "aid:", "");
    place.run(&["create", "aid:1", "f"]).failed(4, "taken for the id", "");
    place.run(&["create", "new\nline", "f"]).failed(4, "control characters", "");
}

#[test]
fn patterns_and_formats_that_make_no_sense() {
    let place = Place::new();
    place.file("f", "x");
    place.file("bad", "ok\nre:(\n");
    place.run(&["create", "one", "f"]).succeeded();
    place.run(&["list", "one", "-e", "re:("]).failed(4, "re:(", "help patterns");
    place.run(&["create", "one", "f", "--pattern", "f"]).failed(4, "must start with", "help patterns");
    place.run(&["create", "one", "f", "--exclude-from", "bad"]).failed(4, "line: 2, file: bad", "help patterns");
    place.run(&["create", "one", "f", "--exclude-from", "gone"]).failed(
        2,
        "can not read patterns from gone: No such file",
        "",
    );
    place.run(&["list", "one", "xx:y"]).failed(4, "unknown pattern style", "help patterns");
    place.run(&["list", "one", "--format", "{sice}"]).failed(4, "invalid format key `sice`, known are:", "");
    place.run(&["repo-list", "--format", "{"]).failed(4, "stands alone", "");
    place.run(&["repo-list", "-a", "date:soon"]).failed(4, "not a date", "");
    assert!(place.run(&["list", "-v", "one", "nowhere"]).succeeded().err.contains("never matched"));
    place.run(&["extract", "--dry-run", "one", "f", "nowhere"]).ended(101);
}

/// A repository of a later version of the program, which this one would misunderstand.
#[test]
fn a_repository_with_an_unknown_feature() {
    let place = Place::new();
    let path = place.path("repo/config");
    let old = std::fs::read(&path).unwrap();
    // line, length of the record, record, MAC; then hash and length of all of it
    let line = old.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let record = &old[line + 4..old.len() - 72];
    let (before, lists) = record.split_at(record.len() - 4);
    assert_eq!(lists, [0x90, 0x90, 0x90, 0x80]);
    let later = [before, &[0x91, 0xa1, b'x', 0x90, 0x90, 0x80]].concat();
    let length = u32::try_from(later.len()).unwrap().to_le_bytes();
    let mut new = [&old[..line], &length, &later, &old[old.len() - 72..old.len() - 40]].concat();
    new.extend_from_slice(blake3::hash(&new).as_bytes());
    new.extend_from_slice(&(new.len() as u64 + 8).to_le_bytes());
    overwrite(&path, &new);
    place.run(&["repo-list"]).failed(25, "feature: x", "");
    let told = place.run(&["repo-list", "--log-json"]).ended(25).err;
    assert!(told.contains(r#""msgid":"MandatoryFeatureUnsupported""#), "{told}");
}

/// Codes and message ids of repositories are not for other files of this machine.
#[test]
fn places_of_this_machine_that_can_not_be_used() {
    let place = Place::new();
    place.file("f", "x");
    place.run(&["create", "one", "f"]).succeeded();
    for arguments in [
        &["create", "two", "f", "--patterns-from", "gone"][..],
        &["extract", "one", "--target", "/proc/x"],
        &["extract", "one", "--target", "f"],
    ] {
        place.run(arguments).failed(2, "", "");
        let told = place.run(&[&["--log-json"], arguments].concat()).ended(2).err;
        assert!(told.contains(r#""msgid":"Error""#), "{told}");
    }
}

/// Data that is missing is no file that is missing.
#[test]
fn files_whose_data_is_lost() {
    let place = Place::new();
    place.file("d/f", "some text ".repeat(20_000));
    place.run(&["create", "-C", "none", "one", "d"]).succeeded();
    let mut largest = (0, place.path("repo"));
    for folder in std::fs::read_dir(place.path("repo/segments")).unwrap() {
        for segment in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let segment = segment.unwrap();
            largest = largest.max((segment.metadata().unwrap().len(), segment.path()));
        }
    }
    std::fs::remove_file(largest.1).unwrap();
    let run = place.run(&["extract", "--log-json", "--target", "out", "one"]).ended(102);
    assert!(run.err.contains(r#""msgid":"BackupError""#) && !run.err.contains("BackupFileNotFoundError"), "{run:#?}");
}

#[test]
fn command_lines_that_make_no_sense() {
    let place = Place::new();
    for (arguments, words) in [
        (&["crate"][..], &["unrecognized subcommand 'crate'", "'create'"][..]),
        (&["backup"], &["unrecognized subcommand", "Hint: the command for that is `gabion create`."]),
        (&["init"], &["Hint: the command for that is `gabion repo-create`."]),
        (&["snapshots"], &["`gabion repo-list`"]),
        (&["create", "--compresion", "lz4", "a", "b"], &["--compression"]),
        (&["create", "-C", "zstd,99", "a", "b"], &["--compression"]),
        (&["create", "--chunker-params", "fastcdc", "a", "b"], &["--chunker-params"]),
        (&["create", "-C", "lzo", "a", "b"], &["none of none, lz4, zstd, zlib, lzma"]),
        (&["repo-create", "-i", "crc"], &["known: blake3 "]),
        (&["repo-create", "-e", "rot13"], &["rot13", "known: none "]),
        (&["repo-list", "--newer", "soon"], &["not a time span"]),
        (&["repo-list", "--sort-by", "colour"], &["can not sort by `colour`"]),
        (&["repo-list", "--first", "1", "--last", "1"], &["cannot be used with"]),
        (&["list"], &["<ARCHIVE>"]),
        (&["repo-list", "repo"], &["Hint: a repository is named by --repo"]),
        (&[], &["Usage:"]),
    ] {
        let run = place.run(arguments).ended(2);
        assert!(words.iter().all(|word| run.err.contains(word)) && run.out.is_empty(), "{arguments:?}: {run:#?}");
    }
    place.run(&["create", "one"]).failed(4, "at least one PATH", "");
    let nowhere = |arguments: &[&str]| Run::of(place.command(arguments).env_remove("GABION_REPO"));
    nowhere(&["list", "repo::one"]).failed(4, "REPO::ARCHIVE is understood under the name `borg` only", "");
    assert!(!nowhere(&["list", "one"]).failed(4, "name one by --repo", "").err.contains("borg"));
}

#[test]
fn sources_that_are_missing_are_warnings() {
    let place = Place::new();
    place.file("f", "x");
    let run = place.run(&["create", "one", "f", "gone"]).ended(107);
    assert!(run.err.contains("gone: ") && run.err.contains("No such file"), "{run:?}");
    assert_eq!(place.listed("one"), ["f"]);
    let run = place.run(&["create", "none", "gone", "too", "--stats"]).ended(107);
    assert!(
        run.err.lines().any(|line| line.starts_with("Files that could not be read:") && line.ends_with(" 2")),
        "{run:?}"
    );
    assert_eq!(place.archives(), ["one", "none"]);
}

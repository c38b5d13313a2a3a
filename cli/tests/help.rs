//! Help, completion, the version, and commands that are not there.

use serde_json::Value;

use crate::place::Place;

#[test]
fn topics_and_commands_are_explained() {
    let place = Place::bare();
    for (topic, part) in [
        ("stores", "opendal+webdav:"),
        ("patterns", "fm:"),
        ("placeholders", "{hostname}"),
        ("match-archives", "host:NAME"),
        ("compression", "zstd"),
        ("environment", "GABION_PASSCOMMAND"),
        ("exit-codes", "PassphraseWrong"),
        ("create", "--exclude"),
        ("help", "Topics"),
    ] {
        let run = place.run(&["help", topic]).succeeded();
        assert!(run.out.contains(part) && run.err.is_empty(), "{topic}: {run:#?}");
    }
    assert!(place.run(&["help", "key", "export"]).succeeded().out.contains("--paper"));
    assert!(place.run(&["help"]).succeeded().out.contains("exit-codes"));
    place.run(&["help", "paterns"]).failed(4, "did you mean `patterns`?", "");
}

#[test]
fn shells_can_complete() {
    let place = Place::bare();
    for shell in ["bash", "zsh", "fish"] {
        let script = place.run(&["completion", shell]).succeeded().out;
        assert!(script.contains("repo-create") && script.contains("change-passphrase"), "{shell}");
    }
    assert_eq!(place.run(&["completion", "csh-classic"]).rc, 2);
}

#[test]
fn the_version_is_told() {
    let place = Place::bare();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(place.run(&["version"]).succeeded().out, format!("gabion {version}\n"));
    let root: Value = serde_json::from_str(&place.run(&["version", "--json"]).succeeded().out).unwrap();
    assert_eq!((&root["version"], root["format_version"].is_u64()), (&version.into(), true));
}

#[test]
fn commands_that_are_planned_are_answered_but_not_advertised() {
    let place = Place::bare();
    let help = place.run(&["--help"]).succeeded().out;
    let run = place.run(&["webdav", "--port", "7"]).ended(2);
    assert_eq!((&*run.err, &*run.out), ("error: this version does not have `webdav` yet\n", ""));
    assert!(!help.lines().any(|line| line.trim_start().starts_with("webdav ")), "{help}");
}

#[test]
fn speed_is_measured() {
    let place = Place::bare();
    let root: Value =
        serde_json::from_str(&place.run(&["benchmark", "cpu", "--json", "--hashing"]).succeeded().out).unwrap();
    let hashes = root["hashes"].as_array().unwrap();
    assert!(hashes.len() == 3 && hashes.iter().all(|hash| hash["size"].as_u64() > Some(0)), "{root:#}");
    assert!(root.get("chunkers").is_none(), "{root:#}");
}

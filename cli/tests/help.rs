//! Help, completion, the version, and commands that are not there.

use serde_json::Value;

use crate::place::{Place, Run, tree};

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
        // Of those that are here each reads its own.
        if std::process::Command::new(shell).arg("--version").output().is_ok() {
            let path = place.file(shell, script);
            Run::of(std::process::Command::new(shell).arg("-n").arg(path)).succeeded();
        }
    }
    assert_eq!(place.run(&["completion", "csh-classic"]).rc, 2);
}

/// All topics of `gabion help`.
pub const TOPICS: [&str; 7] =
    ["stores", "patterns", "placeholders", "match-archives", "compression", "environment", "exit-codes"];

/// The commands that a page of help lists.
pub fn commands(place: &Place, above: &[&str]) -> Vec<String> {
    let help = place.run(&[&["help"], above].concat()).succeeded().out;
    let Some((_, list)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    list.lines()
        .take_while(|line| !line.is_empty())
        // what does not begin there goes on with what the line before says
        .filter(|line| !line[2..].starts_with(' '))
        .map(|line| line[2..].split(' ').next().unwrap().to_owned())
        .collect()
}

#[test]
fn every_command_and_topic_has_a_page_in_the_manual() {
    use std::os::unix::fs::PermissionsExt as _;

    let place = Place::bare();
    place.run(&["man"]).ended(2);
    place.run(&["man", "--dir", "share/man"]).succeeded();
    let mut expected = vec!["man1/gabion.1".to_owned()];
    for command in commands(&place, &[]) {
        expected.extend(commands(&place, &[&command]).iter().map(|inner| format!("man1/gabion-{command}-{inner}.1")));
        expected.push(format!("man1/gabion-{command}.1"));
    }
    assert!(expected.contains(&"man1/gabion-key-export.1".to_owned()) && expected.len() > 40, "{expected:?}");
    expected.extend(TOPICS.map(|topic| format!("man7/gabion-{topic}.7")));
    expected.extend(["man1", "man7"].map(str::to_owned));
    expected.sort();
    let found = tree(&place.path("share/man"));
    let names: Vec<_> = found.iter().map(|(name, _, _)| name).filter(|name| !name.is_empty()).collect();
    assert_eq!(names, expected.iter().collect::<Vec<_>>());

    let page =
        |name: &str| String::from_utf8(found.iter().find(|(found, _, _)| found == name).unwrap().2.clone()).unwrap();
    assert!(page("man1/gabion-key-export.1").contains("gabion\\-key\\-export \\- Copy a key out"));
    assert!(page("man1/gabion-key-export.1").contains(".TH gabion-key-export 1 \" \" \"gabion "));
    assert!(page("man1/gabion-create.1").contains("\\-\\-exclude\\-caches"));
    assert!(page("man7/gabion-environment.7").contains("GABION_PASSCOMMAND"));
    // everybody may read them, and they can be written again
    for (name, mode, _) in found.iter().filter(|(name, _, _)| !name.is_empty()) {
        let mode = std::fs::Permissions::from_mode(*mode).mode() & 0o777;
        assert_eq!(mode & 0o044, 0o044, "{name}: {mode:o}");
    }
    place.run(&["man", "--dir", "share/man"]).succeeded();
    place.file("taken", "");
    place.run(&["man", "--dir", "taken"]).failed(2, "taken/man1/gabion.1 can not be written", "");
    typeset(&place, &expected);
}

/// Lets groff read pages: it warns of what is no manual.
fn typeset(place: &Place, pages: &[String]) {
    let mut groff = std::process::Command::new("groff");
    groff.args(["-man", "-Tutf8", "-ww", "-z"]).current_dir(place.path("share/man"));
    match groff.args(pages.iter().filter(|page| page.contains('/'))).output() {
        Ok(output) => assert!(output.status.success() && output.stderr.is_empty(), "{output:?}"),
        Err(error) => {
            assert!(!gabion_tests::all_required(), "groff: {error}");
            eprintln!("skipped: groff: {error}");
        }
    }
}

#[test]
fn the_version_is_told() {
    let place = Place::bare();
    let version = env!("PROGRAM_VERSION");
    assert_eq!(place.run(&["version"]).succeeded().out, format!("gabion {version}\n"));
    let root: Value = serde_json::from_str(&place.run(&["version", "--json"]).succeeded().out).unwrap();
    assert_eq!((&root["version"], root["format_version"].is_u64()), (&version.into(), true));
}

#[test]
fn what_is_absent_is_answered_but_not_advertised() {
    let place = Place::bare();
    let help = place.run(&["--help"]).succeeded().out;
    assert!(!help.lines().any(|line| line.trim_start().starts_with("webdav ")), "{help}");
    for (line, told) in [
        ("webdav --port 7", "webdav is not supported: `gabion mount`"),
        ("extract a --verify", "--verify is not supported: all that is restored is verified"),
        ("create a p --map x", "--map is not supported: "),
        ("key export --qr-html", "--qr-html is not supported: "),
        ("debug put-obj x y", "put-obj is not supported: "),
    ] {
        place.run(&line.split(' ').collect::<Vec<_>>()).failed(4, told, "");
    }
    let as_json = place.run(&["--log-json", "webdav"]).ended(4).err;
    assert!(as_json.starts_with('{') && as_json.contains("CommandError"), "{as_json}");
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

//! Commands for a whole repository: leases, room, compression, deletion.

use std::process::Stdio;

use serde_json::Value;

use crate::place::{Place, Run, tree};

/// A repository with one archive, `a`.
fn one() -> Place {
    let place = Place::new();
    place.file("t/f", "x".repeat(100_000));
    place.run(&["create", "a", "t"]).succeeded();
    place
}

#[test]
fn a_command_runs_while_compact_waits() {
    let place = one();
    let inner = format!("{} compact --lock-wait 0; echo rc $?; exit 7", crate::place::PROGRAM);
    let run = place.run(&["with-lock", "sh", "-c", &inner]).ended(7);
    assert!(run.out.ends_with("rc 73\n"), "{run:#?}");
    assert!(run.err.contains("for: sh -c") && run.err.contains("break-lock"), "{}", run.err);
    place.run(&["compact", "--lock-wait", "0"]).succeeded();
    assert_eq!(place.run(&["with-lock", "true"]).succeeded().out, "");
    assert_eq!(place.run(&["with-lock", "sh", "-c", "kill -9 $$"]).rc, 137);
    assert_eq!(place.run(&["with-lock"]).rc, 2);
    let run = place.run(&["with-lock", "/no/such/program"]);
    assert!(run.rc == 2 && run.err.contains("can not run"), "{run:#?}");
    place.run(&["compact", "--lock-wait", "0"]).succeeded();
}

#[test]
fn a_lease_of_a_dead_program_is_broken() {
    let place = one();
    let mut child = place
        .command(&["with-lock", "sh", "-c", "echo; read line"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // the command runs, so the lease is there
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let run = place.run_with(&[("GABION_LOCK_WAIT", "0.1")], &["compact"]);
    assert_eq!(run.rc, 73, "{}", run.err);
    let run = place.run(&["break-lock", "-v"]).succeeded();
    assert!(run.err.contains("Ended the lease"), "{}", run.err);
    place.run(&["compact", "--lock-wait", "0"]).succeeded();
    assert_eq!(place.run(&["break-lock", "-v"]).succeeded().err, "");
    assert_eq!(place.run(&["compact", "--lock-wait=-1"]).rc, 4);
}

#[test]
fn room_is_set_aside() {
    let place = one();
    let told = |arguments: &[&str]| place.run_with(&[("GABION_UNITS", "raw")], arguments).succeeded().out;
    assert_eq!(told(&["repo-space"]), "Reserved: 1048576 B\n");
    assert_eq!(told(&["repo-space", "--reserve", "10M"]), "Reserved: 17825792 B\n");
    let json = |arguments: &[&str]| serde_json::from_str::<Value>(&told(arguments)).unwrap();
    assert_eq!(json(&["repo-space", "--json"])["reserved"], 17_825_792);
    assert_eq!(told(&["repo-space", "--free"]), "Freed: 17825792 B\n");
    assert_eq!(json(&["repo-space", "--free", "--json"])["freed"], 0);
    assert_eq!(told(&["repo-space"]), "Reserved: 0 B\n");
    told(&["compact"]);
    assert_eq!(told(&["repo-space"]), "Reserved: 1048576 B\n");
    assert_eq!(place.run(&["repo-space", "--reserve", "much"]).rc, 2);
}

/// Others may read a repository if the umask lets them, and not otherwise.
#[test]
fn a_repository_obeys_the_umask() {
    let place = Place::bare();
    place.file("f", "x");
    for (umask, folder, object) in [(None, 0o700, 0o600), (Some("0027"), 0o750, 0o640), (Some("0"), 0o777, 0o666)] {
        let repo = umask.unwrap_or("usual");
        let with = |arguments: &[&str]| {
            let umask = umask.map(|umask| format!("--umask={umask}"));
            let words = ["-r", repo].into_iter().chain(umask.as_deref()).chain(arguments.iter().copied());
            place.run(&words.collect::<Vec<_>>()).succeeded();
        };
        with(&["repo-create", "-e", "none"]);
        with(&["create", "one", "f"]);
        for (name, mode, _) in tree(&place.path(repo)) {
            let expected = if place.path(repo).join(&name).is_dir() { folder } else { object };
            assert_eq!(mode & 0o7777, expected, "{repo}/{name}");
        }
    }
}

#[test]
fn everything_is_compressed_anew() {
    let place = Place::new();
    place.file("t/f", "text ".repeat(200_000));
    place.run(&["create", "-C", "none", "a", "t"]).succeeded();
    let size = || -> u64 {
        let told: Value = serde_json::from_str(&place.run(&["repo-info", "--json"]).succeeded().out).unwrap();
        told["cache"]["stats"]["unique_size"].as_u64().unwrap()
    };
    let before = size();
    let table = place.run(&["repo-compress", "-C", "zstd,9", "--stats"]).succeeded().out;
    assert!(table.contains("zstd,9") && size() * 10 < before, "{table}");
    place.run(&["check", "--verify-data"]).succeeded();
    assert_eq!(place.run(&["repo-compress", "-C", "squash"]).rc, 2);
}

#[test]
fn a_repository_is_deleted_when_somebody_agrees() {
    let place = one();
    std::fs::write(place.path("repo/NOTES"), "mine").unwrap();
    // what writers left that were killed
    place.file(&format!("repo/segments/ab/.tmp-{}", "0f".repeat(16)), "half");
    place.file(&format!("repo/archives/.old-{}", "0f".repeat(16)), "a ruin");
    let listed = place.run(&["repo-delete", "--dry-run", "--list"]).succeeded().out;
    assert!(
        listed.starts_with("a ") && listed.contains("Would delete repository") && listed.contains("1 archives"),
        "{listed}"
    );
    for answer in ["", "yes\n", "NO\n"] {
        let run = place.run_fed(answer.as_bytes(), &["repo-delete"]);
        assert!(run.rc == 3 && run.err.contains("Type 'YES'") && run.err.contains("Aborting."), "{run:#?}");
    }
    assert_eq!(place.archives(), ["a"]);
    let run = place.run_fed(b"\n", &["repo-delete", "--log-json"]);
    let kinds: Vec<Value> = run.err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (&kinds[0]["type"], &kinds[0]["msgid"], &kinds[0]["is_prompt"]),
        (&"question_prompt".into(), &"GABION_DELETE_I_KNOW_WHAT_I_AM_DOING".into(), &true.into())
    );
    assert_eq!(kinds[1]["type"], "question_accepted_false");
    place.run_fed(b"YES\n", &["repo-delete"]).succeeded();
    assert_eq!(std::fs::read_dir(place.path("repo")).unwrap().count(), 1, "only what is not the repository's");
    assert_eq!(place.run(&["repo-list"]).rc, 13);
}

#[test]
fn the_environment_and_force_answer_too() {
    let place = one();
    let memory = || std::fs::read_dir(place.path("home/.local/share/gabion")).map_or(0, |found| found.count());
    place.run(&["check"]).succeeded();
    let before = memory();
    place.run(&["repo-delete", "--cache-only"]).succeeded();
    assert!(memory() < before, "what is remembered of checks goes, what is remembered of the repository stays");
    assert_eq!(place.archives(), ["a"]);
    place.run(&["check"]).succeeded();
    let agreed = [("GABION_DELETE_I_KNOW_WHAT_I_AM_DOING", "YES")];
    place.run_with(&agreed, &["repo-delete", "--keep-security-info"]).succeeded();
    assert!(!place.path("repo").exists() && memory() > 0);
    assert_eq!(place.run(&["repo-delete", "--force"]).rc, 13);

    let other = one();
    // without a key only force deletes it
    std::fs::remove_dir_all(other.path("repo/keys")).unwrap();
    let refused: Run = other.run_with(&agreed, &["repo-delete"]);
    assert_eq!(refused.rc, 44, "{refused:#?}");
    other.run(&["repo-delete", "--force"]).succeeded();
    assert!(!other.path("repo").exists());
}

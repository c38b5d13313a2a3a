//! `gabion run`: what a profile says is done.

use crate::place::{Place, Run};

/// A place with a profile `a` for its repository, and this text below its `run`.
fn place(routine: &str) -> Place {
    let place = Place::new();
    profile(&place, routine);
    place.file("tree/f", "content");
    place.file("tree/f.tmp", "left out");
    place
}

fn profile(place: &Place, routine: &str) {
    let url = place.path("repo");
    let other = place.path("nowhere");
    let text = format!(
        "[profiles.a]\nurl = {url:?}\n[profiles.a.commands]\ncreate = [\"--comment\", \"by run\"]\n[profiles.a.run]\n{routine}\n\
         [profiles.lost]\nurl = {other:?}\n[profiles.lost.run]\narchive = \"x\"\npaths = [\"tree\"]\n[profiles.bare]\nurl = {url:?}\n",
    );
    place.file("home/.config/gabion/config.toml", text);
}

fn run(place: &Place, arguments: &[&str]) -> Run {
    // without the repository that tests name in the environment
    let mut command = place.command(&[&["run"], arguments].concat());
    command.env_remove("GABION_REPO");
    Run::of(&mut command)
}

const USUAL: &str = "archive = \"daily\"\npaths = [\"tree\"]\nexclude = [\"*.tmp\"]\nkeep = { last = 1 }\n\
                     before = [\"echo before $GABION_RUN_PROFILE >> log\"]\n\
                     after = [\"echo after $GABION_RUN_STEP $GABION_RUN_RC >> log\"]\nfailed = [\"echo failed $GABION_RUN_STEP $GABION_RUN_RC >> log\"]";

fn log(place: &Place) -> String {
    std::fs::read_to_string(place.path("log")).unwrap_or_default()
}

#[test]
fn a_profile_is_backed_up_pruned_and_compacted() {
    let place = place(USUAL);
    run(&place, &["a"]).succeeded();
    place.run(&["create", "other", "tree"]).succeeded();
    let told = run(&place, &["@a", "-v"]).succeeded().err;
    for step in ["a: create", "a: prune", "a: compact"] {
        assert!(told.contains(step), "{told}");
    }
    assert_eq!(place.archives(), ["other", "daily"], "one of its own is kept, and others are left alone");
    assert_eq!(place.listed("daily"), ["tree", "tree/f"]);
    let told = place.run(&["info", "daily"]).succeeded().out;
    assert!(told.contains("by run"), "options of the profile count: {told}");
    assert_eq!(log(&place), "before a\nafter compact 0\n".repeat(2));
    run(&place, &["a", "--only", "check"]).succeeded();
    assert_eq!(log(&place).lines().last(), Some("after check 0"));
}

#[test]
fn a_dry_run_changes_nothing_and_tells_what_it_would_do() {
    let place = place(USUAL);
    let told = run(&place, &["-n", "a", "--only", "create", "--only", "check"]).succeeded().err;
    assert!(told.contains("a: would run: echo before") && told.contains("a: would check"), "{told}");
    assert_eq!((place.archives().len(), log(&place)), (0, String::new()));
}

#[test]
fn what_fails_ends_its_profile_with_its_code_and_others_go_on() {
    let place = place(USUAL);
    let told = run(&place, &["lost", "a"]);
    assert_eq!(told.rc, 13, "{told:?}");
    assert!(told.err.contains("profile lost: create failed"), "{told:?}");
    assert_eq!(place.archives(), ["daily"]);
    profile(&place, &USUAL.replace("echo before", "exit 3; echo"));
    run(&place, &["a"]).failed(4, "a command of `before` failed with return code 3", "");
    assert_eq!(log(&place).lines().last(), Some("failed 0"), "{}", log(&place));
    profile(&place, &USUAL.replace("paths = [\"tree\"]", "paths = [\"tree\", \"missing\"]"));
    let told = run(&place, &["a"]);
    assert_eq!(told.rc, 107, "a warning does not end the run: {told:?}");
    assert_eq!(log(&place).lines().last(), Some("after compact 0"), "{}", log(&place));
}

#[test]
fn profiles_without_a_routine_and_repositories_besides_are_refused() {
    let place = place(USUAL);
    run(&place, &["bare"]).failed(4, "has no table [profiles.bare.run]", "");
    run(&place, &["-r", "x", "a"]).failed(4, "leave --repo out", "");
    run(&place, &["b"]).failed(4, "no profile `@b`", "");
    profile(&place, "path = []");
    run(&place, &["a"]).failed(4, "unknown field `path`", "");
}

#[test]
fn a_run_that_is_stopped_begins_no_step_and_runs_what_is_for_failures() {
    // A terminal tells everybody of SIGINT; what else comes is handed on.
    let waits = [("TERM", "while :; do sleep 0.1; done", "told\n", 143), ("INT", "sleep 0.5", "", 130)];
    for (signal, wait, told, rc) in waits {
        let before = format!("trap 'echo told >> log; exit 0' TERM; kill -{signal} $PPID; {wait}");
        let place = place(&USUAL.replace("echo before $GABION_RUN_PROFILE >> log", &before));
        let run = run(&place, &["a"]).ended(rc);
        assert_eq!(log(&place), format!("{told}failed 0\n"), "{run:?}");
        assert!(run.err.contains(&format!("stopped by signal {}", rc - 128)), "{run:?}");
        assert_eq!(place.archives(), [""; 0]);
    }
}

#[test]
fn figures_are_written_for_prometheus() {
    let place = place(USUAL);
    place.file("tree/big", vec![7; 3_000_000]);
    run(&place, &["a", "--metrics-file", "gabion.prom"]).succeeded();
    place.run(&["list", "--metrics-file", "gabion.prom", "nothing"]).ended(31);
    let told = std::fs::read_to_string(place.path("gabion.prom")).unwrap();
    let repository = place.path("repo").display().to_string();
    for command in ["create", "prune", "compact"] {
        let labels = format!("{{command=\"{command}\",repository=\"{repository}\"}}");
        assert!(told.contains(&format!("gabion_last_return_code{labels} 0\n")), "{told}");
    }
    assert!(told.contains("gabion_last_return_code{command=\"run\"} 0\n"), "{told}");
    let of_create = |name: &str| format!("gabion_last_{name}{{command=\"create\",repository=\"{repository}\"}}");
    assert!(told.contains(&format!("{} 2\n", of_create("files"))), "{told}");
    assert!(told.contains(&format!("{} 3000007\n", of_create("bytes"))), "{told}");
    assert!(told.contains(&format!("gabion_last_return_code{{command=\"list\",repository=\"{repository}\"}} 31\n")));
    assert!(!told.contains("success_timestamp_seconds{command=\"list\""), "{told}");
    let mode = std::fs::metadata(place.path("gabion.prom")).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o644);
    let failed = place.run(&["repo-list", "--metrics-file", "nowhere/f"]).succeeded();
    assert!(failed.err.contains("figures can not be written to nowhere/f"), "{failed:?}");
}

//! Repositories on other machines: through a real sshd, and through commands that stand in for it where something
//! has to break at a certain point.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use gabion_backends::layer::RetryOptions;
use gabion_backends::ssh::{SshBackend, Target};
use gabion_backends::{Access, Location, OpenOptions, SftpBackend, open};
use gabion_core::backend::conformance::{Options, check};
use gabion_tests::Random;
use gabion_tests::servers::Cutter;
use rustix::process::{Pid, Signal, kill_process};

use crate::place::{MORE_THAN_ADDING, PROGRAM, Place, Run, size_of, tree, wait_until};
use crate::sshd::Sshd;

/// Files worth a few segments that do not compress.
fn fill(place: &Place, directory: &str, mebibytes: usize) {
    let mut random = Random::new(2);
    for file in 0..mebibytes {
        place.file(&format!("{directory}/{file}"), random.bytes(1 << 20));
    }
}

/// Runs a command against a URL.
struct Remote<'a> {
    place: &'a Place,
    url: String,
    rsh: String,
}

impl Remote<'_> {
    fn run(&self, arguments: &[&str]) -> Run {
        let variables = [("GABION_REPO", &*self.url), ("GABION_RSH", &*self.rsh), ("GABION_REMOTE_PATH", PROGRAM)];
        self.place.run_with(&variables, arguments)
    }
}

/// A command in place of ssh that runs what it is asked to run on this machine; `around` has `"$@"` for that.
fn stand_in<'a>(place: &'a Place, name: &str, around: &str) -> Remote<'a> {
    let script = format!("#!/bin/sh\nfor last; do :; done\nset -- sh -c \"exec $last\"\n{around}\n");
    let path = place.file(name, script);
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let url = format!("ssh://other{}", place.path("repo").display());
    Remote { place, url, rsh: path.to_str().unwrap().to_owned() }
}

/// Makes, fills, thins out, compacts, checks and restores a repository.
fn whole_life(place: &Place, remote: &Remote<'_>) {
    fill(place, "tree", 3);
    remote.run(&["repo-create", "-e", "none"]).succeeded();
    remote.run(&["create", "one", "tree"]).succeeded();
    place.file("tree/0", "changed");
    remote.run(&["create", "two", "tree"]).succeeded();
    assert_eq!(remote.run(&["repo-list", "--short"]).succeeded().out, "one\ntwo\n");
    remote.run(&["prune", "--keep-last", "1", "-a", "sh:*"]).succeeded();
    let compacted = remote.run(&["compact", "--threshold", "0", "--json"]).succeeded().out;
    assert!(compacted.contains("\"deleted_segments\": "), "{compacted}");
    assert!(remote.run(&["check", "--verify-data"]).succeeded().out.contains("no damage found"));
    remote.run(&["extract", "--target", "out", "two"]).succeeded();
    assert_eq!(tree(&place.path("out/tree")), tree(&place.path("tree")));
    // The same repository from the machine it is on.
    assert_eq!(place.run(&["list", "--short", "two"]).succeeded().out.lines().count(), 4);
    assert!(place.run(&["check"]).succeeded().out.contains("no damage found"));
    // What writers left that were killed goes with it, and what is somebody else's stays.
    place.file(&format!("repo/segments/ab/.tmp-{}", "0f".repeat(16)), "half");
    place.file("repo/.old-config", "a ruin");
    place.file("repo/mine/notes", "mine");
    place.file("repo/.old-notes", "mine, too");
    remote.run(&["repo-delete", "--force"]).succeeded();
    let left = |name: &str| std::fs::read_dir(place.path(name)).map_or(0, |found| found.count());
    assert_eq!((left("repo"), left("repo/mine")), (2, 1));
    assert!(place.path("repo/.old-notes").exists());
    std::fs::remove_dir_all(place.path("repo")).unwrap();
    remote.run(&["repo-create", "-e", "none"]).succeeded();
    remote.run(&["repo-delete", "--force"]).succeeded();
    assert!(!place.path("repo").exists());
}

#[test]
fn a_repository_lives_behind_a_real_sshd() {
    let Some(sshd) = Sshd::start("a_repository_lives_behind_a_real_sshd") else { return };
    let place = Place::bare();
    let remote = Remote { place: &place, url: sshd.url("ssh", &place.path("repo")), rsh: sshd.rsh("client") };
    whole_life(&place, &remote);
    let path = place.path("suite");
    let target = Target::parse(sshd.url("ssh", &path).strip_prefix("ssh:").unwrap()).unwrap();
    let backend = SshBackend::open(&target, Access::Create, &sshd.options()).unwrap();
    assert!(keeps_the_contract(Arc::new(backend)));
    assert_eq!(std::fs::read_dir(path).unwrap().count(), 0, "nothing is left");
}

fn keeps_the_contract(backend: Arc<dyn gabion_core::backend::Backend>) -> bool {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let report = runtime.block_on(check(backend, Options::quick()));
    assert!(report.is_clean(), "{report}");
    true
}

#[test]
fn a_repository_lives_behind_an_sftp_server() {
    let Some(sshd) = Sshd::start("a_repository_lives_behind_an_sftp_server") else { return };
    let place = Place::bare();
    let remote = Remote { place: &place, url: sshd.url("sftp", &place.path("repo")), rsh: sshd.rsh("client") };
    whole_life(&place, &remote);
    let at = |path: &str| Remote { place: &place, url: sshd.url("sftp", &place.path(path)), rsh: sshd.rsh("client") };
    at("nothing").run(&["repo-list"]).failed(13, "does not exist", "repo-create");
    at("nothing/x").run(&["repo-create", "-e", "none"]).failed(18, "nothing", "");
    at("tree/0").run(&["repo-list"]).failed(15, "not a directory", "--repo");
    place.file("full/Some Letter.txt", "x");
    at("full").run(&["repo-create", "-e", "none"]).failed(15, "not empty", "--repo");
    let path = place.path("suite");
    let target = Target::parse(sshd.url("sftp", &path).strip_prefix("sftp:").unwrap()).unwrap();
    let backend = SftpBackend::open(&target, Access::Create, &sshd.options()).unwrap();
    assert!(keeps_the_contract(Arc::new(backend)));
    assert_eq!(std::fs::read_dir(path).unwrap().count(), 0, "nothing is left");
}

#[test]
fn an_sftp_connection_that_is_cut_is_made_again() {
    let Some(sshd) = Sshd::start("an_sftp_connection_that_is_cut_is_made_again") else { return };
    let place = Place::new();
    fill(&place, "tree", 80);
    // Every connection breaks after so many bytes: the first while segments are put.
    let script = format!("#!/bin/sh\ndd bs=65536 count=900 2>/dev/null | {} \"$@\"\n", sshd.rsh("client"));
    let rsh = place.file("cut", script);
    std::fs::set_permissions(&rsh, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let rsh = rsh.to_str().unwrap().to_owned();
    let remote = Remote { place: &place, url: sshd.url("sftp", &place.path("repo")), rsh };
    remote.run(&["create", "one", "tree"]).succeeded();
    assert!(place.run(&["check", "--verify-data"]).succeeded().out.contains("no damage found"));
    place.run(&["extract", "--target", "out", "one"]).succeeded();
    assert_eq!(tree(&place.path("out/tree")), tree(&place.path("tree")));
}

#[test]
fn answers_that_are_lost_over_ssh_and_sftp_cost_time_and_nothing_else() {
    let Some(sshd) = Sshd::start("answers_that_are_lost_over_ssh_and_sftp_cost_time_and_nothing_else") else { return };
    let place = Place::bare();
    let retry = RetryOptions { first_pause: Duration::from_millis(5), ..RetryOptions::default() };
    let options = OpenOptions { ssh: sshd.options(), retry, ..OpenOptions::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for scheme in ["ssh", "sftp"] {
        let cutter = Cutter::losing_answers(sshd.port(), 3_000_000);
        let url = sshd.url_behind(cutter.port, scheme, &place.path(scheme));
        let store = open(&Location::parse(&url).unwrap(), Access::Create, &options).unwrap();
        let asked = Options { names: 100, rounds: 5, large_bytes: (1 << 20) + 1, ..Options::quick() };
        let report = runtime.block_on(check(store, asked));
        assert!(report.is_clean(), "{scheme}: {report}");
        assert!(cutter.cuts() >= 2, "{scheme}: {} cuts", cutter.cuts());
    }
}

#[test]
fn a_key_in_authorized_keys_is_held_to_its_options() {
    let Some(sshd) = Sshd::start("a_key_in_authorized_keys_is_held_to_its_options") else { return };
    let place = Place::new();
    place.file("tree/f", "x".repeat(5000));
    let at = |path: &Path| Remote { place: &place, url: sshd.url("ssh", path), rsh: sshd.rsh("restricted") };
    sshd.restrict(&format!("--restrict-to-path {} --permissions no-delete", place.path("repo").display()));
    let client = at(&place.path("repo"));
    client.run(&["create", "one", "tree"]).succeeded();
    client.run(&["delete", "one"]).failed(21, "no-delete", "may only add");
    at(&place.path("elsewhere")).run(&["repo-list"]).failed(83, "path not allowed", "--restrict-to-path");
    let outside = place.path("repo/../home");
    at(&outside).run(&["repo-create", "-e", "none"]).failed(83, "path not allowed", "--restrict-to-path");
    assert!(!place.path("home/config").exists());
    sshd.restrict("--quota 20k");
    place.file("tree/large", vec![7; 3000].repeat(1000));
    fill(&place, "noise", 1);
    client.run(&["create", "two", "noise"]).failed(14, "quota", "grants no more");
    assert_eq!(place.archives(), ["one"]);
}

#[test]
fn clients_that_may_only_add_are_told_before_anything_happens() {
    let place = Place::new();
    place.file("tree/f", "x".repeat(50_000));
    place.run(&["create", "old", "tree"]).succeeded();
    for (permissions, reads) in [("no-delete", true), ("write-only", false)] {
        let around = format!("sed -i 's/^x/y{permissions}/' tree/f; exec \"$3 --permissions {permissions}\"");
        let around = around.replace("exec \"$3", "exec sh -c \"$3");
        let client = stand_in(&place, &format!("rsh-{permissions}"), &around);
        client.run(&["create", permissions, "tree"]).succeeded();
        client.run(&["create", permissions, "tree"]).succeeded();
        let before = tree(&place.path("repo"));
        let more = [&["recreate", "-e", "x"][..], &["repo-delete", "--force"], &["repo-compress", "-C", "lz4"]];
        for arguments in MORE_THAN_ADDING.into_iter().chain(more) {
            let run = client.run(arguments);
            assert!(run.rc == 21 && run.err.contains(permissions) && run.out.is_empty(), "{arguments:?}: {run:#?}");
        }
        assert_eq!(tree(&place.path("repo")), before, "{permissions}");
        let restored = client.run(&["extract", "--target", permissions, "old"]);
        assert_eq!(restored.rc == 0, reads, "{restored:#?}");
    }
    assert!(place.run(&["check", "--verify-data"]).succeeded().out.contains("no damage found"));
    place.run(&["compact"]).succeeded();
    for archive in ["old", "no-delete", "write-only"] {
        place.run(&["extract", "--target", &format!("again-{archive}"), archive]).succeeded();
    }
    let client = stand_in(&place, "rsh-read-only", "exec sh -c \"$3 --permissions read-only\"");
    client.run(&["extract", "--target", "read", "old"]).succeeded();
    assert_eq!(client.run(&["create", "new", "tree"]).rc, 21);
}

#[test]
fn whoever_is_restricted_opens_by_the_copy_of_config_too() {
    let place = Place::new();
    place.file("tree/f", "x".repeat(50_000));
    place.run(&["create", "old", "tree"]).succeeded();
    let config = std::fs::read(place.path("repo/config")).unwrap();
    std::fs::remove_file(place.path("repo/config")).unwrap();
    for permissions in ["no-delete", "write-only", "read-only"] {
        let around = format!("exec sh -c \"$3 --permissions {permissions}\"");
        let client = stand_in(&place, &format!("rsh-{permissions}"), &around);
        assert_eq!(client.run(&["repo-list", "--short"]).succeeded().out.lines().next(), Some("old"), "{permissions}");
        let created = client.run(&["create", permissions, "tree"]);
        assert_eq!(created.rc == 0, permissions != "read-only", "{created:#?}");
    }
    place.run(&["check", "--repair"]).succeeded();
    assert_eq!(std::fs::read(place.path("repo/config")).unwrap(), config);
}

#[test]
fn connections_that_can_not_be_are_explained() {
    let place = Place::new();
    for (name, around, rc, error, hint) in [
        ("none", "exit 127", 80, "127", "--remote-path"),
        ("refused", "exit 255", 80, "255", "ssh said why"),
        ("motd", "echo Welcome to other; exec \"$@\"", 86, "Welcome to other", "start-up files"),
        ("newer", "printf 'GABSERVE\\0\\0\\7\\0\\0\\0\\0\\0'; cat", 84, "version 7", "update gabion"),
    ] {
        stand_in(&place, name, around).run(&["repo-list"]).failed(rc, error, hint);
    }
    let client = stand_in(&place, "good", "exec \"$@\"");
    client.run(&["repo-list", "--rsh", "/does/not/exist"]).failed(80, "127", "--remote-path");
    client.run(&["repo-list", "--rsh", "'"]).failed(4, "has no end", "");
    client.run(&["repo-list", "--remote-path", "/does/not/exist"]).failed(80, "127", "--remote-path");
    client.run(&["-r", "ssh://u:secret@h/p", "repo-list"]).failed(4, "asks for passwords itself", "");
    let missing = format!("ssh://other{}", place.path("nothing").display());
    client.run(&["-r", &missing, "repo-list"]).failed(13, "does not exist", "repo-create");
    client.run(&["-r", &format!("{missing}/x"), "repo-create", "-e", "none"]).failed(18, "nothing", "");
}

#[test]
fn serve_ends_with_its_client_and_says_what_it_does_not_like() {
    let place = Place::bare();
    let run = |input: &[u8]| place.run_fed(input, &["serve"]);
    run(b"").succeeded();
    run(b"GET / HTTP/1.1\r\n\r\n").failed_with_output(85, "something else than a greeting");
    run(b"GABSERVE\x01\0\x01\0\0\0\0\0\xff\xff\xff\xff\0\0\0\0\x01\0\0\0").failed_with_output(85, "too long");
    run(b"GABSERVE\x02\0\x07\0\0\0\0\0").failed_with_output(85, "versions 2 to 7");
    // Nobody reads what it writes: it ends without a word, though its input goes on.
    let mut command = place.command(&["serve"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"GABSERVE\x01\0\x01\0\0\0\0\0").unwrap();
    wait_until("the server ends", || child.try_wait().unwrap().is_some());
    let run = Run::from(child.wait_with_output().unwrap()).succeeded();
    assert_eq!(run.err, "");
}

#[test]
fn a_connection_that_is_cut_loses_nothing_that_was_told_to_be_stored() {
    let place = Place::new();
    fill(&place, "tree", 80);
    // Every connection breaks after so many bytes: the first while segments are put.
    let client = stand_in(&place, "cut", "dd bs=65536 count=900 2>/dev/null | \"$@\"");
    client.run(&["create", "one", "tree"]).succeeded();
    assert!(place.run(&["check", "--verify-data"]).succeeded().out.contains("no damage found"));
    place.run(&["extract", "--target", "out", "one"]).succeeded();
    assert_eq!(tree(&place.path("out/tree")), tree(&place.path("tree")));
}

/// Backs up through a command that notes the number of its process, which is killed when something is stored.
fn survives_a_kill(place: &Place, client: &Remote<'_>) {
    fill(place, "tree", 80);
    let mut command = place.command(&["create", "one", "tree"]);
    command.env("GABION_REPO", &client.url).env("GABION_RSH", &client.rsh).env("GABION_REMOTE_PATH", PROGRAM);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("something is stored", || {
        assert!(child.try_wait().unwrap().is_none(), "the client ended before");
        size_of(&place.path("repo/segments")) > 0
    });
    let server = std::fs::read_to_string(place.path("server.pid")).unwrap().trim().parse().unwrap();
    kill_process(Pid::from_raw(server).unwrap(), Signal::KILL).unwrap();
    Run::from(child.wait_with_output().unwrap()).succeeded();
    assert!(std::fs::read_to_string(place.path("server.pid")).unwrap().lines().count() > 1, "it connected again");
    assert!(place.run(&["check", "--verify-data"]).succeeded().out.contains("no damage found"));
    client.run(&["extract", "--target", "out", "one"]).succeeded();
    assert_eq!(tree(&place.path("out/tree")), tree(&place.path("tree")));
}

#[test]
fn a_server_that_is_killed_in_the_middle_leaves_a_whole_repository() {
    let place = Place::new();
    let client = stand_in(&place, "rsh", "echo $$ >> server.pid; exec \"$@\"");
    survives_a_kill(&place, &client);
}

#[test]
fn an_sftp_server_that_is_killed_in_the_middle_leaves_a_whole_repository() {
    let servers = ["/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server"];
    let Some(server) = servers.iter().find(|server| Path::new(server).exists()) else {
        assert!(!gabion_tests::all_required(), "no sftp-server");
        return eprintln!("skipped: no sftp-server");
    };
    let place = Place::new();
    let mut client = stand_in(&place, "rsh", &format!("echo $$ >> server.pid; exec {server}"));
    client.url = format!("sftp://other{}", place.path("repo").display());
    survives_a_kill(&place, &client);
}

#[test]
fn a_library_opens_the_same_url() {
    let Some(sshd) = Sshd::start("a_library_opens_the_same_url") else { return };
    let place = Place::bare();
    let location = Location::parse(&sshd.url("ssh", &place.path("repo"))).unwrap();
    let options = OpenOptions { ssh: sshd.options(), ..OpenOptions::default() };
    assert!(open(&location, Access::Existing, &options).is_err());
    let backend = open(&location, Access::Create, &options).unwrap();
    assert_eq!(backend.location(), location.to_string());
}

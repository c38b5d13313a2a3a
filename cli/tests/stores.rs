//! The life of a repository on each kind of store, with the real program; and what happens when a store, or the line
//! to it, goes away in the middle.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gabion_tests::servers::{
    self, ACCESS_KEY, AZURE_KEY, Cutter, Fault, MetadataServer, Program, Proxy, S3Server, SECRET_KEY, WEBDAV_PASSWORD,
    WEBDAV_USER,
};
use gabion_tests::{Random, all_required};
use serde_json::Value;

use crate::place::{Place, Run, size_of, tree, wait_until};

/// A place whose repository is in a store.
struct Away {
    place: Place,
    url: String,
}

impl Away {
    fn new(url: String) -> Self {
        Self { place: Place::bare(), url }
    }

    fn variables(&self) -> [(&str, &str); 7] {
        [
            ("GABION_REPO", &self.url),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("AZURE_STORAGE_ACCOUNT_KEY", AZURE_KEY),
            ("GOOGLE_ACCESS_TOKEN", "a token"),
            ("WEBDAV_USERNAME", WEBDAV_USER),
            ("WEBDAV_PASSWORD", WEBDAV_PASSWORD),
        ]
    }

    fn run(&self, arguments: &[&str]) -> Run {
        self.place.run_with(&self.variables(), arguments)
    }

    /// Files that do not compress, two data segments of them.
    fn large_files(&self) {
        let mut random = Random::new(7);
        for number in 0..5 {
            self.place.file(&format!("src/large{number}"), random.bytes(14 << 20));
        }
        self.place.file("src/small", "small");
    }

    fn restores(&self, archive: &str) {
        let target = format!("out-{archive}");
        self.run(&["extract", "--target", &target, archive]).succeeded();
        assert!(tree(&self.place.path(&target).join("src")) == tree(&self.place.path("src")), "{archive} differs");
    }
}

/// All that one does with a repository.
fn whole_life(url: String) {
    let away = Away::new(url);
    away.place.file("src/a", "hello");
    away.place.file("src/sub/b", vec![7; 300_000]);
    away.run(&["create", "--init", "one", "src"]).ended(50);
    away.run(&["repo-create", "-e", "none"]).succeeded();
    away.run(&["create", "one", "src"]).succeeded();
    away.restores("one");
    away.place.file("src/c", Random::new(3).bytes(2_000_000));
    away.place.settle();
    away.run(&["create", "two", "src"]).succeeded();
    away.restores("two");
    away.run(&["check", "--verify-data"]).succeeded();
    let listed = away.run(&["repo-list", "--short"]).succeeded();
    assert_eq!(listed.out, "one\ntwo\n");
    away.run(&["delete", "one"]).succeeded();
    std::fs::remove_file(away.place.path("src/c")).unwrap();
    away.run(&["create", "three", "src"]).succeeded();
    away.run(&["prune", "--keep", "1", "three"]).succeeded();
    away.run(&["delete", "two"]).succeeded();
    away.run(&["compact", "--threshold", "0"]).succeeded();
    away.run(&["check", "--verify-data"]).succeeded();
    away.restores("three");
    let info = away.run(&["repo-info", "--json"]).succeeded();
    let info: Value = serde_json::from_str(&info.out).unwrap();
    assert_eq!(info["repository"]["location"].as_str().unwrap().split(':').next(), away.url.split(':').next());
    away.run(&["repo-create", "-e", "none"]).ended(10);
}

#[test]
fn a_whole_life_in_a_bucket() {
    let directory = tempfile::tempdir().unwrap();
    let server = S3Server::start(directory.path());
    whole_life(server.url("host/repository"));
}

#[test]
fn a_whole_life_in_a_bucket_of_another_server() {
    let Some(moto) = servers::moto() else { return };
    whole_life(servers::url(moto.port, "r"));
}

/// The keys of a machine's role come from its metadata service, and again when they end.
#[test]
fn a_machine_with_a_role_needs_no_keys() {
    let directory = tempfile::tempdir().unwrap();
    let server = S3Server::start(directory.path());
    for lasting in [true, false] {
        let metadata = MetadataServer::start(lasting);
        let tokens = Arc::new(Mutex::new(BTreeSet::new()));
        let seen = Arc::clone(&tokens);
        let proxy = Proxy::start(server.port, move |request| {
            seen.lock().unwrap().insert(request.header("x-amz-security-token").map(str::to_owned));
            Fault::Pass
        });
        let place = Place::bare();
        place.file("src/a", "hello");
        let (url, service) =
            (servers::url(proxy.port, &format!("{lasting}")), format!("http://127.0.0.1:{}/", metadata.port));
        let run = |arguments: &[&str]| {
            place.run_with(&[("GABION_REPO", &*url), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &*service)], arguments)
        };
        run(&["repo-create", "-e", "none"]).succeeded();
        run(&["create", "one", "src"]).succeeded();
        run(&["extract", "--target", "out", "one"]).succeeded();
        assert!(tree(&place.path("out/src")) == tree(&place.path("src")));
        let shown = tokens.lock().unwrap().clone();
        assert!(!shown.contains(&None), "every request is signed with a token of the session: {shown:?}");
        // Three commands; what has ended is asked for again at every request.
        assert_eq!(metadata.given() == 3, lasting, "given {} times", metadata.given());
        assert_eq!(shown.len() == 3, lasting, "{shown:?}");
        metadata.take_role();
        run(&["repo-list"]).failed(21, "no credentials", "policy of these credentials");
        place.run_with(&[("GABION_REPO", &*url)], &["repo-list"]).failed(
            21,
            "nor a profile has keys",
            "policy of these credentials",
        );
    }
}

#[test]
fn a_whole_life_in_azure() {
    let directory = tempfile::tempdir().unwrap();
    let Some(azure) = servers::azurite(directory.path()) else { return };
    whole_life(servers::azurite_url(azure.port, "r"));
}

#[test]
fn a_whole_life_at_google() {
    let Some(moto) = servers::moto() else { return };
    whole_life(servers::google_url(moto.port, "r"));
}

#[test]
fn a_whole_life_in_redis() {
    let directory = tempfile::tempdir().unwrap();
    let Some(redis) = servers::redis(directory.path()) else { return };
    whole_life(format!("redis://127.0.0.1:{}/2?prefix=host1/", redis.port));
}

#[test]
fn a_whole_life_in_one_file() {
    let directory = tempfile::tempdir().unwrap();
    whole_life(format!("redb:{}", directory.path().join("r.redb").display()));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_whole_life_on_a_webdav_server() {
    let directory = tempfile::tempdir().unwrap();
    let Some(webdav) = servers::webdav(directory.path()) else { return };
    whole_life(servers::webdav_url(webdav.port, "host/repository"));
}

#[test]
fn a_whole_life_in_files_of_a_library() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("opendal+fs://{}/r", directory.path().display());
    whole_life(url.clone());
    Away::new(url).run(&["repo-delete", "--force"]).succeeded();
    assert!(!directory.path().join("r").exists(), "the folders went with it");
}

#[test]
fn services_that_are_not_there_are_named() {
    let place = Place::bare();
    let told = place.run(&["-r", "opendal+gdrive://x", "repo-list"]);
    assert!(told.rc >= 2 && told.err.contains("gdrive") && told.err.contains("webdav"), "{told:?}");
    place.run(&["-r", "rclone:remote:x", "repo-list"]).failed(25, "does not have that store", "gabion help stores");
    let theirs = place.run(&["-r", "s3:http://localhost:9000/bucket/a", "repo-list"]);
    theirs.failed(4, "another program", "did you mean `s3://bucket/a?endpoint=http://localhost:9000`?");
}

#[test]
fn a_bucket_that_is_missing_is_told_in_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let server = S3Server::start(directory.path());
    let away = Away::new(server.url("r").replace("s3://", "s3://no-"));
    for command in [&["repo-list"][..], &["repo-create", "-e", "none"]] {
        let run =
            away.run(command).failed(17, "bucket: there is none of this name", "make it where its service is managed");
        assert!(!run.err.contains("<Code>") && run.err.lines().count() == 2, "{run:?}");
    }
}

/// A backup and a restore, whatever becomes of requests on the way.
fn goes_on_all_the_same(away: &Away, options: &[&str]) {
    away.large_files();
    away.run(&["repo-create", "-e", "none"]).succeeded();
    away.run(&[options, &["create", "one", "src"]].concat()).succeeded();
    away.restores("one");
    away.run(&["check", "--verify-data"]).succeeded();
}

/// Of so many requests one is spoilt. A list of all there is takes nine where folders are asked one by one, and is begun anew.
const EVERY: u64 = 11;

/// Of all servers that are asked by HTTP; `url` is that of a repository of a server on a port.
fn survives_a_bad_line(port: u16, url: impl Fn(u16) -> String) {
    let faults = [Fault::LoseAnswer, Fault::Unavailable, Fault::CutRequest, Fault::CutAnswer];
    let proxy = Proxy::start(port, move |request| match request.number % EVERY {
        8 => faults[(request.number / EVERY) as usize % faults.len()],
        0 => Fault::Delay(Duration::from_millis(20)),
        _ => Fault::Pass,
    });
    let away = Away::new(url(proxy.port));
    goes_on_all_the_same(&away, &[]);
    assert!(proxy.faults() >= 4, "{}: {} of {}", away.url, proxy.faults(), proxy.requests());
}

#[test]
fn a_bad_line_costs_time_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let server = S3Server::start(directory.path());
    survives_a_bad_line(server.port, |port| servers::url(port, "r"));
}

#[test]
fn a_bad_line_to_azure_and_google_costs_time_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    if let Some(azure) = servers::azurite(directory.path()) {
        survives_a_bad_line(azure.port, |port| servers::azurite_url(port, "r"));
    }
    if let Some(moto) = servers::moto() {
        survives_a_bad_line(moto.port, |port| servers::google_url(port, "r"));
    }
}

#[test]
fn a_bad_line_to_a_webdav_server_costs_time_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let Some(webdav) = servers::webdav(directory.path()) else { return };
    survives_a_bad_line(webdav.port, |port| servers::webdav_url(port, "r"));
}

#[test]
fn a_bad_line_to_redis_costs_time_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let Some(redis) = servers::redis(directory.path()) else { return };
    for start in [Cutter::start, Cutter::losing_answers] {
        let cutter = start(redis.port, 20_000_000);
        let away = Away::new(format!("redis://127.0.0.1:{}?prefix={}", cutter.port, cutter.port));
        // One connection carries all calls, and what is under way ends with it: one segment has room in it.
        goes_on_all_the_same(&away, &["--connections", "1"]);
        assert!(cutter.cuts() >= 3, "{} cuts", cutter.cuts());
    }
}

/// Kills the server when the second data segment is on its way. What becomes of all that is asked after that?
fn killed_on_the_way<S: Send + 'static>(server: S, port: u16, kill: fn(&mut S), after: Fault) -> Proxy {
    let state = Mutex::new((server, 0));
    Proxy::start(port, move |request| {
        if state.lock().unwrap().1 >= 2 {
            return after;
        }
        if request.method == "PUT" && request.target.contains("segments") {
            let (server, segments) = &mut *state.lock().unwrap();
            *segments += 1;
            if *segments == 2 {
                kill(server);
            }
        }
        Fault::Pass
    })
}

/// Another server may have got the port of one that was killed for good.
const NOBODY: Fault = Fault::CutRequest;

/// What is under way when the server dies fails, and says what to do.
fn fails_when_it_is_killed(away: &Away) {
    away.place.file("src/first", "first");
    away.run(&["repo-create", "-e", "none"]).succeeded();
    away.run(&["create", "before", "src"]).succeeded();
    away.large_files();
    let failed = away.run(&["--patience", "1", "create", "one", "src"]);
    assert!((2..=99).contains(&failed.rc) && failed.err.contains("Hint: "), "{failed:?}");
    let nothing = away.run(&["--patience", "1", "repo-list"]);
    assert!(nothing.rc >= 2 && nothing.out.is_empty(), "an unreachable store is no empty one: {nothing:?}");
}

/// The server is there again.
fn has_lost_nothing(away: &Away) {
    assert_eq!(away.run(&["repo-list", "--short"]).succeeded().out, "before\n");
    away.run(&["check", "--verify-data"]).succeeded();
    away.run(&["create", "one", "src"]).succeeded();
    away.restores("one");
    away.run(&["check", "--verify-data"]).succeeded();
}

#[test]
fn a_server_that_is_killed_loses_nothing_that_was_finished() {
    let directory = tempfile::tempdir().unwrap();
    let server = S3Server::start(directory.path());
    let port = server.port;
    let proxy = killed_on_the_way(server, port, S3Server::kill, Fault::Pass);
    let away = Away::new(servers::url(proxy.port, "r"));
    fails_when_it_is_killed(&away);
    let _again = S3Server::start_at(directory.path(), port);
    has_lost_nothing(&away);
}

#[test]
fn a_webdav_server_that_is_killed_loses_nothing_that_was_finished() {
    let directory = tempfile::tempdir().unwrap();
    let Some(server) = servers::webdav(directory.path()) else { return };
    let port = server.port;
    let proxy = killed_on_the_way(server, port, Program::kill, Fault::Pass);
    let away = Away::new(servers::webdav_url(proxy.port, "r"));
    fails_when_it_is_killed(&away);
    let _again = servers::webdav_at(directory.path(), port);
    has_lost_nothing(&away);
}

/// These servers keep everything in memory.
#[test]
fn servers_that_are_killed_for_good_are_told() {
    let directory = tempfile::tempdir().unwrap();
    if let Some(azure) = servers::azurite(directory.path()) {
        let port = azure.port;
        let proxy = killed_on_the_way(azure, port, Program::kill, NOBODY);
        fails_when_it_is_killed(&Away::new(servers::azurite_url(proxy.port, "r")));
    }
    if let Some(moto) = servers::moto() {
        let port = moto.port;
        let proxy = killed_on_the_way(moto, port, Program::kill, NOBODY);
        fails_when_it_is_killed(&Away::new(servers::google_url(proxy.port, "r")));
    }
}

#[test]
fn a_server_that_comes_back_in_time_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let server = S3Server::start(directory.path());
    let port = server.port;
    let proxy = killed_on_the_way(server, port, S3Server::kill, Fault::Pass);
    let away = Away::new(servers::url(proxy.port, "r"));
    away.large_files();
    away.run(&["repo-create", "-e", "none"]).succeeded();
    let mut command = away.place.command(&["create", "one", "src"]);
    let child = command.envs(away.variables()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("the server is gone", || std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    let _again = S3Server::start_at(directory.path(), port);
    Run::from(child.wait_with_output().unwrap()).succeeded();
    away.restores("one");
}

/// Redis that writes every command to a file before it answers.
fn lasting_redis(directory: &Path, port: u16) -> Option<Program> {
    servers::redis_at(directory, port, &["--appendonly", "yes", "--appendfsync", "always"])
}

#[test]
fn redis_that_is_killed_keeps_what_was_finished() {
    let directory = tempfile::tempdir().unwrap();
    let port = servers::free_port();
    let Some(mut redis) = lasting_redis(directory.path(), port) else { return };
    let away = Away::new(format!("redis://127.0.0.1:{port}"));
    away.place.file("src/first", "first");
    away.run(&["repo-create", "-e", "none"]).succeeded();
    away.run(&["create", "before", "src"]).succeeded();
    away.large_files();
    let mut command = away.place.command(&["--patience", "1", "create", "one", "src"]);
    let mut child = command.envs(away.variables()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("much is stored", || size_of(directory.path()) > 8 << 20);
    redis.kill();
    let ended = child.wait().unwrap();
    let _again = lasting_redis(directory.path(), port).unwrap();
    // On a fast machine everything was stored before.
    assert!(ended.success() || ended.code().is_some_and(|rc| (2..=99).contains(&rc)), "{ended:?}");
    away.run(&["check", "--verify-data"]).succeeded();
    away.run(&["create", "again", "src"]).succeeded();
    away.restores("again");
}

#[test]
fn a_file_survives_the_death_of_the_program() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("r.redb");
    let away = Away::new(format!("redb:{}", file.display()));
    away.place.file("src/first", "first");
    away.run(&["repo-create", "-e", "none"]).succeeded();
    away.run(&["create", "before", "src"]).succeeded();
    away.large_files();
    let before = size_of(directory.path());
    let mut command = away.place.command(&["create", "one", "src"]);
    let mut child = command.envs(away.variables()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("more is stored", || size_of(directory.path()) > before + (4 << 20));
    let busy = away.run(&["repo-list"]);
    // It may have ended meanwhile; if not, nobody else gets at the file.
    assert!(busy.rc == 0 || busy.err.contains("open"), "{busy:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    away.run(&["check", "--verify-data"]).succeeded();
    away.run(&["create", "again", "src"]).succeeded();
    away.restores("again");
}

#[test]
fn a_backup_of_what_did_not_change_takes_few_requests() {
    let directory = tempfile::tempdir().unwrap();
    let server = S3Server::start(directory.path());
    let proxy = Proxy::start(server.port, |_| Fault::Pass);
    let away = Away::new(servers::url(proxy.port, "r"));
    for number in 0..300 {
        away.place.file(&format!("src/{}/{number}", number % 7), format!("file {number}"));
    }
    away.place.settle();
    away.run(&["repo-create", "-e", "none"]).succeeded();
    away.run(&["create", "series", "src"]).succeeded();
    away.run(&["create", "series", "src"]).succeeded();
    let before = proxy.requests();
    away.run(&["create", "series", "src"]).succeeded();
    let with_cache = proxy.requests() - before;
    // What the protocol asks of any store: opening 3, a look 5, announcing 4, committing 4. All data is in the cache.
    assert!(with_cache <= 16, "{with_cache} requests");
    let before = proxy.requests();
    away.run(&["--no-cache", "create", "series", "src"]).succeeded();
    assert!(proxy.requests() - before > with_cache, "the cache saves something");
    let told = away.run(&["cache", "info", "--json"]).succeeded();
    let told: Value = serde_json::from_str(&told.out).unwrap();
    assert!(told["stores"][0]["location"].as_str().unwrap().starts_with("s3://"), "{told}");
    assert!(told["size"].as_u64().unwrap() > 0);
    away.run(&["cache", "clean"]).succeeded();
    let told = away.run(&["cache", "info"]).succeeded();
    assert!(told.out.contains("0 B of 2.00 GB at most"), "{told:?}");
}

#[test]
fn requests_are_told_and_limited() {
    let directory = tempfile::tempdir().unwrap();
    let server = S3Server::start(directory.path());
    let away = Away::new(server.url("r"));
    away.place.file("src/a", "hello");
    away.run(&["repo-create", "-e", "none"]).succeeded();
    let told = away.run(&["--debug", "--connections", "2", "--upload-limit", "1G", "create", "one", "src"]).succeeded();
    let puts = told.err.lines().find(|line| line.contains("s3://") && line.contains(": put: ")).unwrap_or_default();
    assert!(puts.contains("calls, ") && puts.contains(" on average"), "{told:?}");
    let costs = away.run(&["repo-info", "--costs"]).succeeded();
    assert!(costs.out.contains("Requests"), "{costs:?}");
}

#[test]
fn a_store_is_proved_before_it_is_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let server = S3Server::start(directory.path());
    let away = Away::new(server.url("r"));
    let good = away.run(&["debug", "backend-test", &server.url("test")]).succeeded();
    assert!(good.out.contains("fit for a repository") && !good.out.contains("NOT"), "{good:?}");
    let replaces = good.out.lines().find(|line| line.contains("Replaces in one step")).unwrap_or_default();
    assert!(replaces.ends_with("no"), "it compares first and replaces later: {good:?}");
    let local = away.run(&["debug", "backend-test", "--json", "here"]).succeeded();
    let local: Value = serde_json::from_str(&local.out).unwrap();
    assert_eq!((&local["fit"], &local["capabilities"]["durable"]), (&true.into(), &true.into()));
    assert_eq!(std::fs::read_dir(away.place.path("here")).unwrap().count(), 0, "nothing is left");
    // Beside a repository, which stays what it was.
    let place = Place::new();
    let before = tree(&place.path("repo"));
    place.run(&["debug", "backend-test", "repo"]).succeeded();
    assert!(tree(&place.path("repo")) == before);
    let proxy = Proxy::start(server.port, |_| Fault::Unavailable);
    let bad = away.run(&["--patience", "0", "debug", "backend-test", &servers::url(proxy.port, "test")]).ended(2);
    assert!(bad.out.contains("NOT fit for a repository"), "{bad:?}");
}

#[test]
fn profiles_name_places_and_habits() {
    let place = Place::bare();
    let config = place.file(
        "home/.config/gabion/config.toml",
        "[profiles.disk]\nurl = \"repo\"\npasscommand = \"printf secret\"\n\n[profiles.disk.commands]\n\
         create = [\"--comment\", \"by profile\"]\n",
    );
    place.file("src/a", "hello");
    place.run(&["-r", "@disk", "create", "--init", "one", "src"]).succeeded();
    let told = place.run(&["-r", "@disk", "repo-list", "--format", "{archive} {comment}{NL}"]).succeeded();
    assert_eq!(told.out, "one by profile\n");
    place.run(&["-r", "@disk", "create", "--comment", "typed", "two", "src"]).succeeded();
    let told = place.run_with(&[("GABION_REPO", "@disk")], &["info", "--json", "two"]).succeeded();
    assert!(told.out.contains("typed"), "{told:?}");
    place.run(&["-r", "@dsik", "repo-list"]).failed(4, "did you mean `@disk`?", "");
    place.run(&["-r", "copy", "repo-create", "-e", "none"]).succeeded();
    place.run(&["-r", "copy", "transfer", "--other-repo", "@disk"]).succeeded();
    assert_eq!(place.run(&["-r", "copy", "repo-list", "--short"]).succeeded().out, "one\ntwo\n");
    place.run(&["-r", "copy", "transfer", "--other-repo", "@dsik"]).failed(4, "did you mean `@disk`?", "");
    std::fs::write(config, "[profiles.disk]\nurl = \"repo\"\nsecret = \"hunter2\"\n").unwrap();
    let told = place.run(&["-r", "@disk", "repo-list"]).failed(4, "config.toml:3: unknown field `secret`", "");
    assert!(!told.err.contains("hunter2"));
}

#[test]
fn stores_of_a_set_have_names_keys_and_sets_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let server = S3Server::start(directory.path());
    let place = Place::bare();
    let config = format!(
        "[profiles.set]\nurl = \"erasure:1+1:@cloud,@disks\"\n\n\
         [profiles.cloud]\nurl = \"{}\"\n[profiles.cloud.variables]\n\
         AWS_ACCESS_KEY_ID = \"{ACCESS_KEY}\"\nAWS_SECRET_ACCESS_KEY = \"{SECRET_KEY}\"\n\n\
         [profiles.disks]\nurl = \"erasure:1+1:parity:10%:disk1,disk2\"\n",
        server.url("part")
    );
    place.file("home/.config/gabion/config.toml", config);
    place.file("src/a", Random::new(5).bytes(300_000));
    // Keys of somebody else, such as those of another provider.
    let others = [("AWS_ACCESS_KEY_ID", "other"), ("AWS_SECRET_ACCESS_KEY", "other")];
    let run = |arguments: &[&str]| place.run_with(&others, &[&["-r", "@set"], arguments].concat());
    run(&["repo-create", "-e", "none"]).succeeded();
    run(&["create", "one", "src"]).succeeded();
    std::fs::remove_dir_all(place.path("disk1")).unwrap();
    let info = run(&["repo-info"]).ended(120);
    assert!(info.out.contains("disk1") && info.err.contains("disk1"), "a store of the set inside is missing: {info:?}");
    run(&["extract", "--target", "out", "one"]).ended(120);
    assert!(tree(&place.path("out/src")) == tree(&place.path("src")));
    // The set inside is healed by its own name; it needs no key.
    std::fs::create_dir(place.path("disk1")).unwrap();
    place.run(&["-r", "@disks", "scrub", "--repair", "--replace-store", "1"]).succeeded();
    run(&["check", "--verify-data"]).succeeded();
    run(&["scrub"]).succeeded();
}

#[test]
fn required_servers_are_there() {
    if all_required() {
        for program in ["redis-server", "moto_server", "wsgidav", "azurite-blob"] {
            let found = std::process::Command::new(program).arg("--version").output();
            assert!(found.is_ok(), "{program}");
        }
    }
}

//! The program under the name `borg`: command lines of both generations, as people and drivers type them.

use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::Value;

use crate::place::{PROGRAM, Place, Run};

/// A place where the program is called `borg`, as a driver starts it.
struct Borg(Place);

impl Borg {
    fn new() -> Self {
        let place = Place::bare();
        for name in ["borg", "borg1"] {
            symlink(PROGRAM, place.path(name)).unwrap();
        }
        place.file("d/a.txt", "one");
        place.file("d/sub/b", "two");
        Self(place)
    }

    fn command(&self, name: &str, line: &str) -> Command {
        let mut command = Command::new(self.0.path(name));
        self.0.surround(&mut command);
        command.env_remove("GABION_REPO").env("BORG_PASSPHRASE", "correct horse").args(line.split_whitespace());
        command
    }

    /// Runs `borg LINE`.
    fn run(&self, line: &str) -> Run {
        Run::of(&mut self.command("borg", line))
    }

    /// Runs `borg LINE`, which succeeds and says nothing but what was asked for.
    #[track_caller]
    fn out(&self, line: &str) -> String {
        let run = self.run(line).succeeded();
        assert_eq!(run.err, "", "{line}");
        run.out
    }

    #[track_caller]
    fn json(&self, line: &str) -> Value {
        let out = self.run(line).succeeded().out;
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    /// Runs with words that hold spaces.
    fn words(&self, words: &[&str]) -> Run {
        Run::of(self.command("borg", "").args(words))
    }

    fn archives(&self) -> Vec<String> {
        self.out("list --short repo").lines().map(str::to_owned).collect()
    }
}

/// Every line of a log is an object that drivers know.
#[track_caller]
fn log(run: &Run) -> Vec<Value> {
    let parsed = |line: &str| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let lines: Vec<Value> = run.err.lines().map(parsed).collect();
    assert!(lines.iter().all(|line| line["type"].is_string()), "{run:?}");
    lines
}

#[test]
fn the_version_is_that_of_a_borg() {
    let borg = Borg::new();
    let version = env!("PROGRAM_VERSION");
    for line in ["--version", "-V", "--log-json --version", "--version --log-json --debug --show-rc"] {
        assert_eq!(borg.out(line), format!("borg 2.0.0b23 (gabion {version})\n"), "{line}");
    }
    let called = |name: &str, wanted: &str| {
        let mut command = borg.command(name, "--version");
        command.env("GABION_COMPAT", wanted);
        Run::of(&mut command)
    };
    assert_eq!(called("borg1", "").succeeded().out, format!("borg 1.4.5 (gabion {version})\n"));
    assert_eq!(called("borg", "borg1").succeeded().out, format!("borg 1.4.5 (gabion {version})\n"));
    assert!(called("borg", "restic").ended(4).err.contains("GABION_COMPAT must be"));
    // By its own name it is itself, unless it is told otherwise.
    let own = |wanted: &str| borg.0.run_with(&[("GABION_COMPAT", wanted)], &["--version"]).succeeded().out;
    assert_eq!((own(""), own("borg").starts_with("borg 2")), (format!("gabion {version}\n"), true));
}

#[test]
fn command_lines_of_borg_1() {
    let borg = Borg::new();
    borg.run("init -e repokey-blake2 --make-parent-dirs x/repo").succeeded();
    borg.run("init --encryption=repokey-blake2 repo").succeeded();
    assert!(borg.run("init -e repokey-blake2 repo").ended(10).err.contains("exists"));
    borg.out("create --compression lz4 --noatime --numeric-owner repo::a-1 d");
    borg.0.file("d/a.txt", "other");
    borg.out("create repo::a-2 d");
    borg.out("create repo::b d/sub");
    assert_eq!(borg.archives(), ["a-1", "a-2", "b"]);
    assert_eq!(borg.out("list --short --prefix a- repo"), "a-1\na-2\n");
    assert_eq!(borg.out("list --short -P a- --last 1 repo"), "a-2\n");
    assert_eq!(borg.out("list --short --glob-archives *b repo"), "b\n");
    assert_eq!(borg.out("list --short -a a-* --first 1 repo"), "a-1\n");
    assert_eq!(borg.out("list --short repo::b"), "d\nd/sub\nd/sub/b\n");
    assert!(borg.out("info repo").contains("Repository id"));
    assert!(borg.out("info repo::a-1").contains("Archive name:"));
    assert_eq!(borg.out("info -P a- repo").matches("Archive name:").count(), 2);
    assert!(borg.out("diff repo::a-1 a-2").contains("d/a.txt"));
    std::fs::remove_dir_all(borg.0.path("d")).unwrap();
    borg.out("extract repo::a-1 d/a.txt");
    assert_eq!(std::fs::read_to_string(borg.0.path("d/a.txt")).unwrap(), "one");
    borg.out("export-tar repo::b b.tar");
    borg.out("import-tar repo::c b.tar");
    borg.out("rename repo::c d");
    borg.out("check repo");
    borg.out("check repo::a-1");
    borg.out("recreate repo::d -e d/sub/b");
    assert_eq!(borg.out("list --short repo::d"), "d\nd/sub\n");
    borg.out("with-lock repo ls -d repo");
    borg.out("break-lock repo");
    assert!(borg.out("key export repo").contains("GABION_KEY"));
    borg.out("key export --paper repo paper");
    borg.out("key import repo paper");
    borg.out("delete repo::d");
    borg.out("delete repo::a-1 b");
    assert_eq!(borg.archives(), ["a-2"]);
    borg.out("compact --cleanup-commits repo");
    let mut sure = borg.command("borg", "delete x/repo");
    let run = Run::of(sure.env("BORG_DELETE_I_KNOW_WHAT_I_AM_DOING", "YES")).succeeded();
    assert!(run.err.contains("from BORG_DELETE_I_KNOW_WHAT_I_AM_DOING") && !borg.0.path("x/repo").exists(), "{run:?}");
}

#[test]
fn prune_by_prefix() {
    let borg = Borg::new();
    borg.run("init -e none repo").succeeded();
    for (name, day) in [("a-1", "01"), ("a-2", "02"), ("a-3", "03"), ("b-1", "01"), ("b-2", "02")] {
        borg.out(&format!("create --timestamp 2026-01-{day} repo::{name} d"));
    }
    borg.out("prune --keep-last 1 --prefix a- repo");
    assert_eq!(borg.archives(), ["b-1", "b-2", "a-3"]);
    borg.out("prune -a b-* --keep-daily=1 --stats --list repo");
    assert_eq!(borg.archives(), ["b-2", "a-3"]);
}

#[test]
fn the_variable_names_the_repository() {
    let borg = Borg::new();
    borg.run("init -e none repo").succeeded();
    borg.run("init -e none other").succeeded();
    let run = |line: &str| Run::of(borg.command("borg", line).env("BORG_REPO", borg.0.path("repo")));
    run("create ::a d").succeeded();
    run("create b d").succeeded();
    for line in ["list --short", "repo-list --short", "rlist --short"] {
        assert_eq!(run(line).succeeded().out, "a\nb\n", "{line}");
    }
    for line in ["list --short ::a", "list --short a"] {
        assert_eq!(run(line).succeeded().out, "d\nd/a.txt\nd/sub\nd/sub/b\n", "{line}");
    }
    // What names a repository outweighs the variable, but no archive is taken for one.
    assert_eq!(run("list --short ./other").succeeded().out, "");
    assert_eq!(run("list --short other").ended(31).out, "");
    run("with-lock ls -d d").succeeded();
    run("key export key.txt").succeeded();
    assert!(borg.0.path("key.txt").is_file());
    run("delete ::a").succeeded();
    assert_eq!(borg.archives(), ["b"]);
    run("delete").failed(4, "which archives", "");
}

#[test]
fn encryption_is_told_by_the_name_that_was_asked_for() {
    let borg = Borg::new();
    for (number, name) in ["none", "repokey", "keyfile-blake2", "authenticated-blake2", "aes256-ocb", "none-blake3"]
        .into_iter()
        .enumerate()
    {
        let made = borg.run(&format!("repo-create -e {name} -r r{number}")).succeeded();
        assert_eq!(made.err.contains("is encrypted too"), name.starts_with("authenticated"), "{made:?}");
        for line in ["info --json", "repo-info --json -r", "list --json"] {
            let told = borg.json(&format!("{line} r{number}"));
            assert_eq!((&told["encryption"]["mode"], &told["encryption"]["encryption"]), (&name.into(), &name.into()));
        }
    }
    let told = borg.json("info --json r2");
    assert!(told["encryption"]["keyfile"].as_str().unwrap().contains("/keys/"), "{told}");
    // The name stays when the passphrase changes.
    let mut change = borg.command("borg", "key change-passphrase r1");
    Run::of(change.env("BORG_NEW_PASSPHRASE", "other")).succeeded();
    let told = Run::of(borg.command("borg", "info --json r1").env("BORG_PASSPHRASE", "other")).succeeded();
    assert!(told.out.contains("\"mode\": \"repokey\""), "{told:?}");
    // Otherwise it is what this program calls it.
    borg.0.run(&["-r", "own", "repo-create", "-e", "none", "-i", "hmac-sha256"]).succeeded();
    let told = borg.json("info --json own");
    assert_eq!((&told["encryption"]["mode"], &told["encryption"]["id_hash"]), (&"none".into(), &"sha256".into()));
    assert!(borg.run("init -e rot13 r9").ended(4).err.contains("unknown encryption"));
}

#[test]
fn what_is_gone_is_accepted_and_told() {
    let borg = Borg::new();
    let made = borg.run("init -e repokey --append-only --storage-quota 5G repo").succeeded();
    assert!(
        made.err.contains("--append-only has no effect") && made.err.contains("--storage-quota has no"),
        "{made:?}"
    );
    let run =
        borg.run("--log-json --bypass-lock create --checkpoint-interval 600 --upload-buffer 9 repo::a d").succeeded();
    let told = log(&run);
    let warnings: Vec<&str> = told.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(warnings.len(), 3, "{run:?}");
    assert!(told.iter().all(|line| line["type"] == "log_message" && line["levelname"] == "WARNING"), "{run:?}");
    for (line, why) in [
        ("config repo id", "does not change"),
        ("upgrade repo", "gabion import"),
        ("key export --qr-html repo x", "--paper"),
        ("rcreate -e none --from-borg1 -r x", "gabion import"),
    ] {
        let run = borg.run(line).ended(4);
        assert!(run.err.starts_with("Error: ") && run.err.contains(why), "{line}: {run:?}");
        let run = borg.run(&format!("--log-json {line}")).ended(4);
        assert_eq!((log(&run).len(), &log(&run)[0]["msgid"]), (1, &"CommandError".into()), "{line}");
    }
}

#[test]
fn return_codes_of_both_generations() {
    let borg = Borg::new();
    borg.run("init -e repokey repo").succeeded();
    let ended = |name: &str, codes: &str, passphrase: &str, line: &str| {
        let mut command = borg.command(name, line);
        command.env("BORG_PASSPHRASE", passphrase);
        if !codes.is_empty() {
            command.env("BORG_EXIT_CODES", codes);
        }
        Run::of(&mut command)
    };
    for (name, codes, passphrase, line, rc) in [
        ("borg", "", "wrong", "list repo", 52),
        ("borg", "legacy", "wrong", "list repo", 2),
        ("borg1", "", "wrong", "list repo", 2),
        ("borg1", "modern", "wrong", "list repo", 52),
        ("borg", "modern", "correct horse", "create repo::a d gone", 107),
        ("borg1", "legacy", "correct horse", "create repo::b d gone", 1),
        ("borg1", "legacy", "correct horse", "create repo::c d", 0),
    ] {
        let run = ended(name, codes, passphrase, line).ended(rc);
        let shown = ended(name, codes, passphrase, &format!("--show-rc {line}2"));
        assert!(shown.err.contains(&format!("rc {}", shown.rc)), "{run:?} {shown:?}");
    }
    assert_eq!(borg.run("list nowhere").rc, 13);
}

#[test]
fn commands_of_vorta() {
    let borg = Borg::new();
    let vorta = |line: &str| {
        let mut command = borg.command("borg", line);
        for (name, value) in
            [("BORG_HOSTNAME_IS_UNIQUE", "1"), ("BORG_RELOCATED_REPO_ACCESS_IS_OK", "1"), ("BORG_RSH", "ssh")]
        {
            command.env(name, value);
        }
        let run = Run::of(&mut command).succeeded();
        (log(&run), run.out)
    };
    let json = |line: &str| -> Value { serde_json::from_str(&vorta(line).1).unwrap() };
    vorta("repo-create --info --log-json --encryption=repokey-aes-ocb -r repo");
    let info = json("repo-info --info --json --log-json -r repo");
    for key in ["total_size", "unique_size", "total_unique_chunks"] {
        assert!(info["cache"]["stats"][key].is_u64(), "{info}");
    }
    assert_eq!(info["encryption"]["mode"], "repokey-aes-ocb");
    borg.0.file("excludes", "fm:*.tmp\n");
    let create = "create --list --progress --info --log-json --json --filter=AM -C zstd,3 --exclude-if-present .nobackup \
                  --exclude-from excludes -r repo box-1 d";
    let (told, out) = vorta(create);
    let made: Value = serde_json::from_str(&out).unwrap();
    for key in ["id", "name", "start", "duration"] {
        assert!(!made["archive"][key].is_null(), "{made}");
    }
    assert!(made["archive"]["stats"]["deduplicated_size"].is_u64(), "{made}");
    assert!(told.iter().any(|line| line["type"] == "file_status" && line["path"] == "d/a.txt"), "{told:?}");
    // On a busy machine there are others before.
    let progress = told.iter().rfind(|line| line["type"] == "archive_progress").unwrap();
    assert_eq!(progress["finished"], true);
    vorta(&create.replace("box-1", "box-2"));
    let archives = json("repo-list --info --log-json --json -r repo")["archives"].clone();
    assert!(archives[0]["id"].is_string() && archives[0]["time"].is_string() && archives[0]["name"] == "box-1");
    let info = json("info --log-json --json -r repo -a box-1");
    assert!(info["archives"][0]["stats"]["deduplicated_size"].is_u64() && info["archives"][0]["duration"].is_f64());
    let (_, listed) = vorta(
        "list --info --log-json --json-lines --format {mode}{user}{group}{size}{isomtime}{path}{source}{health}{NL} -r repo box-1",
    );
    let item: Value = serde_json::from_str(listed.lines().nth(1).unwrap()).unwrap();
    assert_eq!((&item["path"], &item["source"], &item["health"]), (&"d/a.txt".into(), &"".into(), &"healthy".into()));
    assert!(item["isomtime"].is_string() && item["size"] == 3 && item["mode"] == "-rw-r--r--", "{item}");
    vorta("prune --list --info --log-json --keep-hourly 2 --keep-daily 7 --keep-within 10H -a sh:box-* -r repo");
    vorta("check --info --log-json --progress -r repo");
    vorta("--info --log-json compact --progress -r repo");
    borg.0.file("d/a.txt", "three");
    vorta(&create.replace("box-1", "box-3"));
    let (_, changes) = vorta("diff --info --log-json --json-lines -r repo box-1 box-3");
    let change: Value = serde_json::from_str(changes.lines().next().unwrap()).unwrap();
    assert!(change["path"].is_string() && change["changes"].is_array(), "{changes}");
    borg.0.file("chosen", "P pf\n+ d/sub\n+ d/sub/b\n- fm:*\n");
    std::fs::remove_dir_all(borg.0.path("d")).unwrap();
    vorta("extract --list --info --log-json -r repo box-1 --patterns-from chosen");
    assert!(borg.0.path("d/sub/b").exists() && !borg.0.path("d/a.txt").exists());
    vorta("rename --info --log-json -r repo box-3 box-4");
    vorta("delete --info --log-json -r repo -a re:(box-1|box-4)");
    assert_eq!(borg.archives(), ["box-2"]);
    vorta("break-lock --info --log-json repo");
    let mut change = borg.command("borg", "--info --log-json key change-passphrase -r repo");
    log(&Run::of(change.env("BORG_NEW_PASSPHRASE", "new")).succeeded());
    let wrong = Run::of(borg.command("borg", "repo-info --json --log-json -r repo").env("BORG_PASSPHRASE", "9999999"));
    assert_eq!((wrong.rc, &log(&wrong)[0]["msgid"]), (52, &"PassphraseWrong".into()));
}

#[cfg(target_os = "linux")]
#[test]
fn mounts_are_found_where_drivers_look() {
    if !gabion_tests::can_mount("mounts_are_found_where_drivers_look") {
        return;
    }
    let borg = Borg::new();
    borg.run("init -e none repo").succeeded();
    borg.out("create repo::a d");
    std::fs::create_dir(borg.0.path("mnt")).unwrap();
    for (line, file) in [
        ("mount repo::a mnt", "d/a.txt"),
        ("mount repo mnt", "a/d/a.txt"),
        ("--log-json mount -o umask=0277,uid=0 -r repo -a a mnt", "a/d/a.txt"),
        ("mount --repo repo mnt d/sub", "a/d/sub/b"),
    ] {
        borg.out(line);
        let (there, mounts) = (borg.0.path("mnt").join(file).exists(), std::fs::read_to_string("/proc/self/mounts"));
        let unmounted = borg.run("umount --log-json mnt");
        assert!(there, "{line}");
        assert!(mounts.unwrap().contains(&format!("borgfs {} ", borg.0.path("mnt").display())), "{line}");
        unmounted.succeeded();
    }
}

#[test]
fn answers_that_strict_readers_take() {
    let borg = Borg::new();
    borg.run("init --encryption=repokey-blake2 --log-json repo").succeeded();
    let made = borg.json("create --progress --log-json --json --comment why repo::one d");
    for key in ["compressed_size", "deduplicated_size", "nfiles", "original_size"] {
        assert!(made["archive"]["stats"][key].is_u64(), "{made}");
    }
    let format = "--format={hostname}{username}{comment}{end}{command_line}";
    let list = borg.json(&format!("list --json --log-json --consider-checkpoints {format} repo"));
    let info = borg.json("info --json --log-json repo::one");
    for archive in [&list["archives"][0], &info["archives"][0]] {
        for key in ["id", "name", "username", "hostname", "comment"] {
            assert!(archive[key].is_string(), "{key}: {archive}");
        }
        assert!(archive["command_line"].is_array() && archive["comment"] == "why", "{archive}");
        for key in ["start", "end"] {
            let time = archive[key].as_str().unwrap();
            assert!(time.len() == 26 && !time.contains(['Z', '+']), "no zone: {time}");
        }
    }
    for root in [&list, &info] {
        assert!(root["encryption"]["mode"].is_string() && root["repository"]["id"].is_string(), "{root}");
        assert_eq!(root["repository"]["last_modified"].as_str().unwrap().len(), 26);
    }
    let sums = borg.out("list --format {xxh64}|{linktarget}|{path}{NL} repo::one");
    // what xxh64sum says of `one`
    assert!(
        sums.contains("363b02a42408a1f6||d/a.txt\n") && sums.lines().all(|line| line.split('|').count() == 3),
        "{sums}"
    );
    let shown = borg.words(&["list", "--format", "{barchive:<8}|{bcomment}|{tam}{NL}", "repo"]).succeeded();
    assert_eq!(shown.out, "one     |why|verified\n");
}

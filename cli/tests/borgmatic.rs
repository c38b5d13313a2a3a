//! Unmodified borgmatic, with this program under the name `borg`: its real actions, one after the other on one repository.

use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::place::{PROGRAM, Place, Run, tree};

/// Something borgmatic does.
struct Driver {
    place: Place,
    program: PathBuf,
}

impl Driver {
    /// borgmatic with a configuration as people write it, if it is there. Under the name `borg1` the program tells a
    /// version of Borg 1.x, and borgmatic speaks accordingly.
    fn new(test: &str, name: &str) -> Option<Self> {
        let program = std::env::var_os("GABION_TEST_BORGMATIC").map_or_else(|| "borgmatic".into(), PathBuf::from);
        let found = Command::new(&program).arg("--version").output().is_ok_and(|output| output.status.success());
        if !found {
            assert!(!gabion_tests::all_required(), "{test}: no borgmatic");
            eprintln!("skipped: {test}: no borgmatic");
            return None;
        }
        let place = Place::bare();
        std::fs::create_dir(place.path("bin")).unwrap();
        symlink(PROGRAM, place.path("bin").join(name)).unwrap();
        for (path, content) in [
            ("src/a.txt", "one"),
            ("src/sub/b", "two"),
            ("src/x.skipme", "no"),
            ("src/cached/z", "no"),
            ("src/ä ü", ""),
        ] {
            place.file(path, content);
        }
        place.file("src/cached/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n");
        symlink("a.txt", place.path("src/link")).unwrap();
        let driver = Self { place, program };
        driver.configure(name);
        Some(driver)
    }

    fn configure(&self, name: &str) {
        let base = self.path("");
        let text = format!(
            "source_directories:\n    - {base}src\n\
             one_file_system: true\n\
             repositories:\n    - path: {base}a/repo\n      label: main\n\
             local_path: {base}bin/{name}\nencryption_passphrase: \"correct horse\"\n\
             exclude_patterns:\n    - '*.skipme'\nexclude_caches: true\nexclude_if_present:\n    - .nobackup\n\
             compression: zstd,1\nchunker_params: buzhash,10,23,16,4095\nlock_wait: 5\numask: 0077\nfiles_cache: mtime,size\n\
             files_changed: ctime\natime: false\nupload_rate_limit: 100000\n\
             borg_base_directory: {base}borg\narchive_hostname: box\nretries: 0\n\
             user_runtime_directory: {base}run\nuser_state_directory: {base}state\n\
             keep_daily: 2\nkeep_within: 1H\n\
             checks:\n    - name: repository\n    - name: archives\n    - name: data\n    - name: extract\n    - name: spot\n\
             \x20     count_tolerance_percentage: 60\n      data_sample_percentage: 100\n\
             \x20     data_tolerance_percentage: 20\n"
        );
        let databases = format!("sqlite_databases:\n    - name: shop\n      path: {base}shop.db\n");
        // With names as they are without --archive-name-format, borgmatic does not find again for Borg 2 what it made
        // with databases in it.
        self.place.file("config.yaml", if name == "borg1" { text + &databases } else { text });
    }

    /// Asks the database of the configuration.
    fn shop(&self, question: &str) -> String {
        let run = Run::of(Command::new("sqlite3").arg(self.place.path("shop.db")).arg(question)).succeeded();
        run.out.trim().to_owned()
    }

    fn path(&self, name: &str) -> String {
        self.place.path(name).into_os_string().into_string().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new(&self.program);
        command.args(["-c", "config.yaml"]).args(arguments);
        self.place.surround(&mut command);
        // It hands signals on to its process group, which shall not be that of the tests.
        command.env_remove("GABION_REPO").env("LC_ALL", "C.UTF-8").process_group(0);
        Run::of(&mut command)
    }

    /// Runs an action, which must succeed without a word on standard error: there borgmatic tells what it takes for
    /// an error or a warning.
    #[track_caller]
    fn run(&self, arguments: &[&str]) -> String {
        let run = self.command(arguments).succeeded();
        // A line of progress that was wiped out is nothing but spaces.
        assert_eq!(run.err.trim(), "", "{arguments:?}\n{}", run.out);
        run.out
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let out = self.run(arguments);
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    /// How many archives there are.
    fn archives(&self) -> usize {
        self.json(&["repo-list", "--json"])[0]["archives"].as_array().unwrap().len()
    }
}

// Borg 2 marks what is left out as Borg 1 marks what is taken, so borgmatic looks for that in the archive, too: a spot
// check has to tolerate it.

/// Makes the repository; the second time, borgmatic compares it with what it would have made.
fn make(driver: &Driver, encryption: &str, options: &[&str]) {
    let create = [&["repo-create", "--encryption", encryption], options].concat();
    let made = driver.command(&create).succeeded();
    assert!(made.err.contains("/a/repo made"), "{made:?}");
    driver.run(&create);
    let run = driver.command(&["repo-create", "--encryption", "keyfile"]);
    assert!(run.rc != 0 && run.err.contains("does not match"), "{run:?}");
    let info = driver.json(&["repo-info", "--json"]);
    assert_eq!(info[0]["encryption"]["mode"], encryption);
}

/// `taken` and `left` are the letters of what a dry run would back up and what not.
fn back_up(driver: &Driver, taken: &str, left: &str) {
    let out = driver.run(&["create", "--dry-run", "--list"]);
    let listed = |path: &str| out.lines().find_map(|line| line.strip_suffix(&*driver.path(path)));
    assert_eq!((listed("src/a.txt"), listed("src/x.skipme").unwrap_or_default()), (Some(taken), left), "{out}");
    let out = driver.run(&["create", "--list", "--stats"]);
    assert!(out.contains(&format!("A {}", driver.path("src/sub/b"))) && out.contains("Number of files:"), "{out}");
    driver.place.file("src/a.txt", "one and more");
    let made = driver.json(&["create", "--json"]);
    let archive = &made[0]["archive"];
    assert!(archive["stats"]["nfiles"].as_u64().unwrap() >= 4, "{made}");
    assert_eq!(driver.archives(), 2);
    let made = driver.command(&["create", "--progress"]).succeeded();
    assert!(!made.err.contains("rror"), "{made:?}");
    assert_eq!(driver.archives(), 3);
}

fn look(driver: &Driver) {
    let source = driver.path("src").trim_start_matches('/').to_owned();
    let out = driver.run(&["list", "--archive", "latest"]);
    assert!(out.contains(&format!("{source}/sub/b")) && out.contains("borgmatic/bootstrap/manifest.json"), "{out}");
    assert!(!out.contains("skipme") && !out.contains("cached"), "{out}");
    let out = driver.run(&["list", "--find", "sub/b"]);
    assert_eq!(out.matches(&format!("{source}/sub/b")).count(), 3, "{out}");
    driver.run(&["repo-list", "--format", "{archive}{NL}", "--last", "1"]);
    let info = driver.json(&["info", "--archive", "latest", "--json"]);
    assert_eq!(info[0]["archives"].as_array().unwrap().len(), 1, "{info}");
    assert!(driver.run(&["info", "--archive", "latest"]).contains("Archive name"));
    assert!(driver.run(&["repo-info"]).contains("Repository id"));
    driver.run(&["diff", "--archive", "latest", "--second-archive", "latest"]);
}

fn restore(driver: &Driver) {
    let source = driver.path("src").trim_start_matches('/').to_owned();
    for directory in ["out", "tar", "boot", "mnt"] {
        std::fs::create_dir(driver.place.path(directory)).unwrap();
    }
    driver.run(&["extract", "--archive", "latest", "--destination", "out"]);
    let restored = |path: &str| driver.place.path("out").join(&source).join(path);
    assert_eq!(std::fs::read_to_string(restored("a.txt")).unwrap(), "one and more");
    assert!(restored("link").is_symlink() && !restored("x.skipme").exists());
    let only = format!("{source}/sub");
    driver.run(&[
        "extract",
        "--archive",
        "latest",
        "--destination",
        "tar",
        "--path",
        &only,
        "--strip-components",
        "all",
    ]);
    assert_eq!(std::fs::read_to_string(driver.place.path("tar/sub/b")).unwrap(), "two");
    driver.run(&["export-tar", "--archive", "latest", "--destination", &driver.path("all.tar.gz")]);
    let listed = Command::new("tar").arg("tzf").arg(driver.place.path("all.tar.gz")).output().unwrap();
    assert!(String::from_utf8(listed.stdout).unwrap().contains("sub/b"));
    if gabion_tests::can_mount("mounting through borgmatic") {
        driver.run(&["mount", "--archive", "latest", "--mount-point", "mnt"]);
        let mounted = tree(&driver.place.path("mnt"));
        let unmounted = driver.command(&["umount", "--mount-point", "mnt"]);
        assert!(mounted.iter().any(|(path, ..)| path.ends_with("sub/b")), "{mounted:?}");
        assert_eq!((unmounted.rc, &*unmounted.err), (0, ""));
    }
    let mut bootstrap = Command::new(&driver.program);
    bootstrap.args(["config", "bootstrap", "--repository"]).arg(driver.place.path("a/repo"));
    bootstrap.args(["--local-path"]).arg(driver.local_path()).arg("--destination").arg(driver.place.path("boot"));
    driver.place.surround(&mut bootstrap);
    bootstrap.env_remove("GABION_REPO").env("BORG_PASSPHRASE", "correct horse").env("BORG_EXIT_CODES", "modern");
    let run = Run::of(&mut bootstrap).succeeded();
    assert_eq!(run.err, "", "{run:?}");
    let config = driver.path("config.yaml");
    assert!(driver.place.path("boot").join(config.trim_start_matches('/')).is_file());
}

impl Driver {
    fn local_path(&self) -> PathBuf {
        std::fs::read_dir(self.place.path("bin")).unwrap().next().unwrap().unwrap().path()
    }
}

fn maintain(driver: &Driver) {
    let out = driver.run(&["-v", "1", "check", "--force"]);
    assert!(out.contains("Running spot check") && out.contains("no damage found"), "{out}");
    driver.run(&["check", "--force", "--only", "archives", "--match-archives", "*"]);
    driver.run(&["recreate", "--archive", "latest", "--list"]);
    driver.run(&["break-lock"]);
    let exported = driver.run(&["key", "export"]);
    assert!(exported.contains("GABION_KEY"), "{exported}");
    driver.run(&["key", "export", "--paper", "--path", &driver.path("paper.txt")]);
    driver.run(&["key", "import", "--path", &driver.path("paper.txt")]);
    let out = driver.run(&["prune", "--list", "--dry-run", "--keep-within", "0S", "--keep-daily", "1"]);
    assert!(out.contains("Keeping archive") && out.contains("Would prune"), "{out}");
    assert_eq!(driver.archives(), 3);
    driver.run(&["prune", "--list", "--stats", "--keep-within", "0S", "--keep-daily", "1"]);
    assert_eq!(driver.archives(), 1);
    driver.run(&["compact", "--threshold", "20"]);
    driver.run(&["compact", "--dry-run"]);
    driver.run(&["delete", "--archive", "latest", "--list", "--dry-run"]);
    driver.run(&["delete", "--archive", "latest", "--list"]);
    assert_eq!(driver.archives(), 0);
    driver.run(&["repo-delete", "--force"]);
    assert!(!driver.place.path("a/repo").exists());
}

#[test]
fn all_actions_of_borgmatic_for_borg_2() {
    let Some(driver) = Driver::new("all_actions_of_borgmatic_for_borg_2", "borg") else { return };
    std::fs::create_dir(driver.place.path("a")).unwrap();
    make(&driver, "aes256-ocb", &["--id-hash", "sha256"]);
    back_up(&driver, "+ ", "- ");
    look(&driver);
    restore(&driver);
    maintain(&driver);
}

#[test]
fn all_actions_of_borgmatic_for_borg_1() {
    let Some(driver) = Driver::new("all_actions_of_borgmatic_for_borg_1", "borg1") else { return };
    driver.shop("create table t(number); insert into t values (42)");
    make(&driver, "repokey-blake2", &["--make-parent-dirs"]);
    back_up(&driver, "- ", "");
    look(&driver);
    restore(&driver);
    driver.shop("update t set number = 7");
    let restored = driver.command(&["restore", "--archive", "latest"]).succeeded();
    assert!(restored.err.lines().all(|line| line.contains("Removed existing SQLite database")), "{restored:?}");
    assert_eq!(driver.shop("select number from t"), "42");
    maintain(&driver);
}

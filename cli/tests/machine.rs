//! What is printed for programs.

use serde_json::Value;

use crate::place::{Place, Run};

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(parsed).collect()
}

fn of_type<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["type"] == kind).collect()
}

#[test]
fn create_answers_in_json() {
    let place = Place::new();
    place.file("f", vec![1; 1000]);
    let run = place.run(&["create", "--json", "--comment", "why", "--tags", "t", "one", "f"]).succeeded();
    let root = parsed(&run.out);
    let archive = &root["archive"];
    assert_eq!(
        (&archive["name"], &archive["comment"], &archive["tags"][0]),
        (&"one".into(), &"why".into(), &"t".into())
    );
    assert_eq!((&archive["stats"]["nfiles"], &archive["stats"]["original_size"]), (&1.into(), &1000.into()));
    for key in ["id", "start", "end", "duration", "hostname", "username", "command_line", "chunker_params"] {
        assert!(!archive[key].is_null(), "{key}: {root:#}");
    }
    for key in ["compressed_size", "deduplicated_size"] {
        assert!(archive["stats"][key].is_u64(), "{key}: {root:#}");
    }
    assert_eq!(archive["chunker_params"], parsed(r#"["fastcdc",19,23,21,2]"#));
    assert_eq!(root["encryption"], parsed(r#"{"encryption":"none","id_hash":"blake3"}"#));
    let of_repository = parsed(&place.run(&["repo-info", "--json"]).succeeded().out);
    let of_archive = parsed(&place.run(&["info", "--json", "one"]).succeeded().out);
    assert!(root["cache"]["stats"]["unique_size"].is_u64(), "{root:#}");
    assert_eq!((&root["cache"], &root["cache"]), (&of_repository["cache"], &of_archive["cache"]));
    assert_eq!(root["cache"]["path"], place.path("home/.cache/gabion").to_str().unwrap());
    assert_eq!(of_repository["security_dir"], place.path("home/.local/share/gabion").to_str().unwrap());
    let repository = &root["repository"];
    assert_eq!(repository["location"], place.path("repo").to_str().unwrap());
    assert_eq!(repository["last_modified"], archive["end"]);
    // local and without zone, and the same in UTC (the test's zone)
    assert_eq!(format!("{}Z", archive["start"].as_str().unwrap()), archive["start_utc"]);
}

#[test]
fn a_dry_run_answers_without_an_archive() {
    let place = Place::new();
    place.file("f", vec![1; 1000]);
    let root = parsed(&place.run(&["create", "--json", "--dry-run", "one", "f"]).succeeded().out);
    assert_eq!((&root["dry_run"], root.get("archive")), (&true.into(), None));
    assert_eq!(root["stats"], parsed(r#"{"nfiles":1,"original_size":1000}"#));
    assert_eq!(place.archives(), [""; 0]);
}

#[test]
fn archives_are_listed_in_json() {
    let place = Place::new();
    place.file("f", "x");
    for name in ["one", "two"] {
        place.run(&["create", name, "f"]).succeeded();
    }
    let root = parsed(&place.run(&["repo-list", "--json", "--format", "{size}{nfiles}{comment}"]).succeeded().out);
    let archives = root["archives"].as_array().unwrap();
    assert_eq!(archives.len(), 2);
    assert_eq!((&archives[0]["archive"], &archives[1]["name"]), (&"one".into(), &"two".into()));
    assert_eq!(
        (&archives[0]["size"], &archives[0]["nfiles"], &archives[0]["comment"]),
        (&1.into(), &1.into(), &"".into())
    );
    assert_eq!(archives[0]["id"].as_str().unwrap().len(), 32);
    assert_eq!(archives[0]["time"], archives[0]["start"]);
    assert!(root["repository"]["id"].is_string());
}

#[test]
fn items_are_json_lines() {
    use std::os::unix::ffi::OsStrExt as _;

    let place = Place::new();
    place.file("d/a", "abc");
    std::os::unix::fs::symlink("a", place.path("d/l")).unwrap();
    std::fs::write(place.path("d").join(std::ffi::OsStr::from_bytes(b"\xff")), "").unwrap();
    place.run(&["create", "one", "d"]).succeeded();
    let run = place.run(&["list", "--json-lines", "--format", "{size}{blake3}{num_chunks}", "one"]).succeeded();
    let items = lines(&run.out);
    assert_eq!(items.len(), 4);
    let file = &items[1];
    assert_eq!((&file["type"], &file["path"], &file["size"]), (&"-".into(), &"d/a".into(), &3.into()));
    assert_eq!(file["blake3"].as_str().unwrap().len(), 64);
    for key in ["mode", "user", "group", "uid", "gid", "target", "flags", "mtime"] {
        assert!(!file[key].is_null(), "{key}");
    }
    assert_eq!((&items[2]["type"], &items[2]["target"]), (&"l".into(), &"a".into()));
    assert_eq!((&items[3]["path"], &items[3]["path_b64"]), (&"d/?".into(), &"ZC//".into()));
}

#[test]
fn the_log_is_json_lines() {
    let place = Place::new();
    place.file("f", "x");
    let run = place.run(&["create", "--log-json", "--list", "--progress", "--show-rc", "one", "f", "gone"]).ended(107);
    let log = lines(&run.err);
    let statuses = of_type(&log, "file_status");
    assert_eq!((&statuses[0]["status"], &statuses[0]["path"]), (&"A".into(), &"f".into()));
    assert_eq!((&statuses[1]["status"], &statuses[1]["path"]), (&"E".into(), &"gone".into()));
    let messages = of_type(&log, "log_message");
    let warning = messages.iter().find(|line| line["levelname"] == "WARNING").unwrap();
    assert_eq!(warning["msgid"], "BackupFileNotFoundError");
    assert!(warning["time"].is_f64() && warning["name"] == "gabion");
    assert_eq!(messages.last().unwrap()["message"], "terminating with warning status, rc 107");
    let ends = |err: &str, kind: &str| {
        let log = lines(err);
        of_type(&log, kind).iter().filter(|line| line["finished"] == true).count()
    };
    assert_eq!(ends(&run.err, "archive_progress"), 1);
    let also =
        |arguments: &[&str]| place.run(&[&["--log-json", "--progress", "--debug"], arguments].concat()).succeeded();
    for arguments in [&["repo-list"][..], &["info", "one"], &["rename", "one", "1"], &["repo-info"]] {
        assert!(!also(arguments).err.contains("progress_"), "{arguments:?}");
    }
    let extracted = also(&["extract", "--target", "out", "1"]).err;
    assert_eq!((ends(&extracted, "progress_percent"), ends(&extracted, "archive_progress")), (1, 0));
}

#[test]
fn errors_have_message_ids() {
    let place = Place::new();
    let error = |run: &Run| {
        let log = lines(&run.err);
        let errors: Vec<&Value> = log.iter().filter(|line| line["levelname"] == "ERROR").collect();
        assert_eq!(errors.len(), 1, "{run:?}");
        errors[0]["msgid"].as_str().unwrap().to_owned()
    };
    for (arguments, rc, msgid) in [
        (&["list", "none"][..], 31, "Archive.DoesNotExist"),
        (&["-r", "nowhere", "repo-list"], 13, "Repository.DoesNotExist"),
        (&["repo-create", "-e", "none"], 10, "Repository.AlreadyExists"),
        (&["create", "one"], 4, "CommandError"),
        (&["create", "{nope}", "f"], 6, "InvalidPlaceholder"),
        (&["create", "{", "f"], 5, "PlaceholderError"),
    ] {
        let run = place.run(&[&["--log-json"], arguments].concat()).ended(rc);
        assert_eq!(error(&run), msgid);
    }
}

//! Archives that go, come back, change their names, and give their room back.

use gabion_tests::Random;
use serde_json::Value;

use crate::place::Place;

/// A repository with an archive per day of March 2026, up to `days`, each with a file of its own.
fn days(days: u32) -> Place {
    let place = Place::new();
    for day in 1..=days {
        place.file("tree/f", format!("{day}").repeat(3000));
        let time = format!("2026-03-{day:02}T12:00:00");
        place.run(&["create", "--timestamp", &time, "daily", "tree"]).succeeded();
    }
    place
}

fn names(place: &Place, more: &[&str]) -> Vec<String> {
    let arguments = [&["repo-list", "--format", "{archive} {time:%d}{NL}"], more].concat();
    place.run(&arguments).succeeded().out.lines().map(str::to_owned).collect()
}

#[test]
fn an_archive_is_removed_and_comes_back() {
    let place = days(2);
    let listed = place.run(&["delete", "daily@1", "--dry-run", "--list"]).succeeded();
    assert!(listed.out.starts_with("daily ") && listed.out.contains("2026-03-01"), "{}", listed.out);
    assert_eq!(names(&place, &[]).len(), 2);
    place.run(&["delete", "daily@1"]).succeeded();
    assert_eq!((names(&place, &[]), names(&place, &["--deleted"])), (vec!["daily 02".into()], vec!["daily 01".into()]));
    place.run(&["undelete", "daily"]).succeeded();
    assert_eq!(names(&place, &[]), ["daily 01", "daily 02"]);
    // It is not gone any more, nor are those that were only renamed or tagged.
    place.run(&["undelete", "daily"]).ended(31);
    for arguments in [&["tag", "daily", "--add", "t"][..], &["rename", "daily", "other"], &["rename", "other", "daily"]]
    {
        place.run(arguments).succeeded();
    }
    assert_eq!(names(&place, &["--deleted"]), [""; 0]);
    // Removed twice, it comes back once.
    place.run(&["delete", "daily@1"]).succeeded();
    assert_eq!(names(&place, &["--deleted"]), ["daily 01"]);
    // Whichever of its ids is known finds it.
    let ids = removed(&place);
    assert!(ids.len() > 4, "{ids:?}");
    ids.iter().for_each(|id| drop(place.run(&["undelete", "--dry-run", &format!("aid:{id}")]).succeeded()));
    place.run(&["undelete", "-a", "daily"]).succeeded();
    assert_eq!(names(&place, &[]), ["daily 01", "daily 02"]);
    place.run(&["extract", "--target", "out", "daily@1"]).succeeded();
    assert_eq!(std::fs::read_to_string(place.path("out/tree/f")).unwrap(), "1".repeat(3000));
}

/// The ids of all archives that were ever removed.
fn removed(place: &Place) -> Vec<String> {
    let entries = std::fs::read_dir(place.path("repo/removed")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.map(|name| name.split('.').next().unwrap().to_owned()).collect()
}

/// Who was renamed or tagged goes on as another archive: if that is gone, it can come back.
#[test]
fn what_was_tagged_comes_back_if_its_successor_is_gone() {
    let place = days(1);
    place.run(&["tag", "daily", "--add", "t"]).succeeded();
    assert_eq!(names(&place, &["--deleted"]), [""; 0]);
    let [successor] = &walk(&place.path("repo/archives"))[..] else { panic!("one archive") };
    std::fs::remove_file(successor).unwrap();
    let warned = place.run(&["repo-list", "--deleted", "--format", "{archive}{NL}"]);
    assert_eq!(warned.out, "daily\n", "{warned:?}");
    place.run(&["undelete", "daily"]);
    place.run(&["extract", "--target", "out", "daily"]);
    assert_eq!(std::fs::read_to_string(place.path("out/tree/f")).unwrap(), "1".repeat(3000));
}

#[test]
fn nothing_is_removed_because_nothing_was_said() {
    let place = days(1);
    for arguments in [&["delete"][..], &["undelete"], &["delete", "daily", "-a", "sh:*"], &["prune"]] {
        let run = place.run(arguments);
        assert_eq!(run.rc, 4, "{arguments:?}: {}", run.err);
    }
    let run = place.run(&["delete", "dayly"]);
    assert_eq!(run.rc, 31);
    assert!(run.err.contains("did you mean `daily`?"), "{}", run.err);
    let run = place.run(&["prune", "--keep-daily", "0"]);
    assert!(run.rc == 4 && run.err.contains("--force"), "{}", run.err);
    // what is protected stays anyway, and says nothing of the rules
    place.run(&["create", "--tags", "@PROT", "other", "tree"]).succeeded();
    for rules in [["--keep-daily", "0"], ["--keep", "1S"]] {
        let run = place.run(&[&["prune", "--from", "2036-01-01"], &rules[..]].concat());
        assert!(run.rc == 4 && run.err.contains("--force"), "{}", run.err);
    }
    assert_eq!(names(&place, &[]).len(), 2);
    place.run(&["prune", "--force", "--keep-daily", "0"]).succeeded();
    assert_eq!(names(&place, &[]).len(), 1);
}

#[test]
fn compact_gives_room_back_and_says_how_much() {
    let place = days(3);
    let planned: Value = serde_json::from_str(&place.run(&["compact", "--dry-run", "--json"]).succeeded().out).unwrap();
    assert_eq!(planned["would_free_size"], 0);
    place.run(&["delete", "-a", "daily"]).succeeded();
    let done: Value = serde_json::from_str(&place.run(&["compact", "--json"]).succeeded().out).unwrap();
    assert!(done["deleted_segments"].as_u64() > Some(2) && done["freed_size"].as_u64() > Some(1000), "{done:#}");
    let why = &done["deleted_because"];
    assert_eq!((&why["dead"], &why["waste"], &why["small"]), (&done["deleted_segments"], &0.into(), &0.into()));
    let run = place.run(&["undelete", "-a", "daily", "--last", "1"]);
    assert!(run.rc == 17 && run.err.contains("not in the repository any more"), "{}: {}", run.rc, run.err);
    let table = place.run(&["compact", "--stats"]).succeeded().out;
    assert!(table.contains("Segments deleted:") && table.contains(" 0\n"), "{table}");
}

#[test]
fn what_an_archive_without_a_tree_may_need_goes_when_its_damage_is_accepted() {
    let place = Place::new();
    let mut segments: Vec<Vec<std::path::PathBuf>> = Vec::new();
    for number in 1..=2 {
        place.file("f", Random::new(number).bytes(5000));
        place.run(&["create", &format!("{number}"), "f"]).succeeded();
        let mut new = walk(&place.path("repo/segments"));
        new.retain(|path| segments.iter().all(|known| !known.contains(path)));
        // The tree is smaller than what is in it.
        new.sort_by_key(|path| std::fs::metadata(path).unwrap().len());
        segments.push(new);
    }
    std::fs::remove_file(&segments[1][0]).unwrap();
    place.run(&["delete", "1"]).succeeded();
    place.run(&["compact"]).failed(90, "what an archive needs can not be found out", "--accept-damage");
    place.run(&["compact", "--accept-damage", "2"]).ended(2);
    place.run(&["compact", "--accept-damage", &"ab".repeat(16)]).ended(90);
    assert_eq!(walk(&place.path("repo/segments")).len(), 3);
    let id = place.run(&["repo-list", "--format", "{id}"]).succeeded().out;
    place.run(&["compact", "--accept-damage", &id.to_ascii_uppercase()]).ended(1);
    let left = walk(&place.path("repo/segments"));
    assert!(left.iter().all(|path| segments.iter().all(|known| !known.contains(path))), "{left:?}");
}

#[test]
fn prune_keeps_what_the_rules_say_and_explains() {
    let place = days(20);
    let listed = place.run(&["prune", "-n", "--list", "-d", "3", "-w", "2"]).succeeded().out;
    assert!(listed.contains("Keeping archive (rule: daily #1):") && listed.contains("weekly #1"), "{listed}");
    assert_eq!(listed.matches("Would prune:").count(), 15, "{listed}");
    let told = place.run(&["prune", "-n", "--json", "--stats", "-d", "3", "-w", "2"]).succeeded().out;
    let told: Value = serde_json::from_str(&told).unwrap();
    // the content of 15 files, and some nodes
    assert!(told["exclusive"]["source_size"].as_u64() > Some(15 * 3000), "{told:#}");
    let told_of = |archive: &Value| {
        let of = |key: &str| archive[key].clone();
        (of("kept"), of("keep_rule"), of("kept_oldest"), of("kept_archive_number"), of("deleted_archive_number"))
    };
    let archives = told["archives"].as_array().unwrap();
    assert_eq!(told_of(&archives[2]), (true.into(), "daily".into(), false.into(), 3.into(), Value::Null));
    assert_eq!(told_of(&archives[4]), (false.into(), Value::Null, Value::Null, Value::Null, 2.into()));
    assert!(told["repository"]["id"].is_string() && archives.len() == 20);
    let some = place.run(&["prune", "-n", "--json", "--list-kept", "-d", "3", "-w", "2"]).succeeded().out;
    assert_eq!(serde_json::from_str::<Value>(&some).unwrap()["archives"].as_array().unwrap().len(), 5);
    let text = place.run(&["prune", "-n", "-s", "-d", "3"]).succeeded().out;
    assert!(text.starts_with("Only archives that go need: ") && text.lines().count() == 1, "{text}");
    place.run(&["tag", "daily@19", "--add", "@PROT"]).succeeded();
    place.run(&["prune", "-d", "3", "-w", "2"]).succeeded();
    // the 15th and the 8th are Sundays; the first is protected
    assert_eq!(names(&place, &[]), ["daily 01", "daily 08", "daily 15", "daily 18", "daily 19", "daily 20"]);
    let run = place.run(&["delete", "-a", "daily"]);
    assert!(run.rc == 4 && run.err.contains("@PROT"), "{}", run.err);
    place.run(&["prune", "--keep", "2d", "--from", "2026-03-20T12:00:00"]).succeeded();
    assert_eq!(names(&place, &[]), ["daily 01", "daily 18", "daily 19", "daily 20"]);
}

#[test]
fn prune_knows_the_spellings_of_both_borgs() {
    let place = days(6);
    let from = ["--from", "2026-03-06T12:00:00"];
    let kept = |rules: &[&str]| {
        let run = place.run(&[&["prune", "-n", "--list-kept", "--short"], rules, &from].concat());
        (run.rc, run.out.lines().map(|line| line[23..].split(')').next().unwrap().to_owned()).collect::<Vec<_>>())
    };
    let rules = |kept: &[&str]| (0, kept.iter().map(|rule| (*rule).to_owned()).collect::<Vec<_>>());
    assert_eq!(kept(&["--keep-within", "1d"]), rules(&["skip #1", "keep #1"]));
    let both = kept(&["--keep-within", "1d", "--keep-last", "2"]);
    assert_eq!(both, rules(&["skip #1", "keep #1", "secondly #1", "secondly #2"]));
    let quarter = kept(&["--keep-last", "1", "--keep-13weekly", "3"]);
    assert_eq!(quarter, rules(&["skip #1", "keep #1", "quarterly_13weekly[oldest] #1"]));
    assert_eq!(
        kept(&["--keep-3monthly", "all"]),
        rules(&["skip #1", "quarterly_3monthly #1", "quarterly_3monthly[oldest] #2"])
    );
    assert_eq!(kept(&["--keep-daily", "30d", "--keep-weekly", "7d"]).0, 4);
    assert_eq!(kept(&["--keep", "1", "--keep-last", "2"]).0, 4);
    // what is typed outweighs what a profile says, and twice typed is once too much
    let text =
        format!("[profiles.p]\nurl = {:?}\n[profiles.p.commands]\nprune = [\"--keep\", \"1\"]\n", place.path("repo"));
    place.file("home/.config/gabion/config.toml", text);
    assert_eq!(kept(&["-r", "@p", "--keep", "2"]), rules(&["skip #1", "keep #1", "keep #2"]));
    assert_eq!(kept(&["--keep", "1", "--keep", "2"]).0, 2);
    let listed = place.run_with(&[("GABION_PRUNE_FORMAT", "{time:%d}{NL}")], &["prune", "-n", "--list", "--keep", "1"]);
    assert!(listed.succeeded().out.starts_with("Keeping archive (rule: keep #1):         06\nWould prune:"));
}

#[test]
fn an_archive_that_can_not_be_read_goes_by_force() {
    let place = days(2);
    let id = place.run(&["repo-list", "--format", "{id}{NL}", "--last", "1"]).succeeded().out;
    let (id, path) = (id.trim(), place.path(&format!("repo/archives/{}", id.trim())));
    std::fs::write(&path, "garbage").unwrap();
    assert_eq!(place.run(&["delete", &format!("aid:{id}")]).rc, 31);
    place.run(&["delete", "--force", &format!("aid:{id}"), "--dry-run"]).ended(1);
    assert!(path.exists());
    place.run(&["delete", "--force", &format!("aid:{id}")]).ended(1);
    assert!(!path.exists());
    assert_eq!(names(&place, &[]), ["daily 01"]);
    place.run(&["compact"]).succeeded();
}

#[test]
fn prune_takes_all_archives_together_unless_told_otherwise() {
    let place = days(2);
    place.run(&["create", "--timestamp", "2026-03-09T12:00:00", "other-1", "tree"]).succeeded();
    place.run(&["create", "--timestamp", "2026-03-10T12:00:00", "other-2", "tree"]).succeeded();
    place.run(&["prune", "--keep-last", "1", "--group-by", "series"]).succeeded();
    assert_eq!(names(&place, &[]), ["daily 02", "other-1 09", "other-2 10"]);
    place.run(&["create", "--timestamp", "2026-03-08T12:00:00", "daily", "tree"]).succeeded();
    place.run(&["prune", "--keep-last", "1", "-a", "sh:other-*"]).succeeded();
    assert_eq!(names(&place, &[]), ["daily 02", "daily 08", "other-2 10"]);
    let run = place.run(&["prune", "--keep-last", "1"]).succeeded();
    assert!(run.err.contains("--group-by series"), "{}", run.err);
    assert_eq!(names(&place, &[]), ["other-2 10"]);
}

#[test]
fn archives_are_renamed_and_tagged() {
    let place = days(1);
    place.run(&["rename", "daily", "weekly"]).succeeded();
    assert_eq!(names(&place, &[]), ["weekly 01"]);
    let shown = place.run(&["tag", "weekly", "--add", "b,a"]).succeeded().out;
    assert!(shown.ends_with("tags:a,b\n"), "{shown}");
    let shown = place.run(&["tag", "weekly", "--remove", "a", "--add", "c"]).succeeded().out;
    assert!(shown.ends_with("tags:b,c\n"), "{shown}");
    let json = place.run(&["tag", "weekly", "--add", "d", "--json"]).succeeded().out;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["archives"][0]["tags"], serde_json::json!(["b", "c", "d"]));
    assert!(place.run(&["tag", "weekly", "--set", ""]).succeeded().out.ends_with("tags:\n"));
    assert_eq!(place.run(&["tag", "weekly", "--add", "@PROTECTED"]).rc, 4);
    assert_eq!(place.run(&["rename", "weekly", "a\nb"]).rc, 4);
}

#[test]
fn two_places_under_one_archived_path_are_refused() {
    let place = Place::new();
    place.file("a/x", "1");
    place.file("b/x", "2");
    for more in [&[][..], &["--dry-run"]] {
        let run = place.run(&[&["create", "n", "a/./x", "b/./x"], more].concat());
        assert!(run.rc == 4 && run.err.contains("a/x") && run.err.contains("b/x"), "{}: {}", run.rc, run.err);
    }
    assert_eq!(names(&place, &[]), Vec::<String>::new());
}

#[test]
fn check_finds_nothing_or_names_it() {
    let place = days(2);
    let clean = place.run(&["check", "--verify-data"]).succeeded().out;
    assert!(clean.contains("no damage found"), "{clean}");
    let segments = place.path("repo/segments");
    let mut files: Vec<_> = walk(&segments);
    files.sort();
    std::fs::remove_file(&files[0]).unwrap();
    let run = place.run(&["check"]);
    assert_eq!(run.rc, 1, "{}", run.err);
    assert!(
        run.err.contains("missing segment: segments/") && run.out.contains("chunks are lost"),
        "{}{}",
        run.err,
        run.out
    );
    let run = place.run(&["check", "--json"]);
    let told: Value = serde_json::from_str(&run.out).unwrap();
    assert!(told["damages"].as_u64() > Some(1) && told["findings"].as_array().unwrap().len() > 1, "{told:#}");
    for arguments in
        [&["check", "--repository-only", "-a", "daily"][..], &["check", "--archives-only", "--verify-data"]]
    {
        assert!(place.run(arguments).rc != 0, "{arguments:?}");
    }
}

fn walk(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

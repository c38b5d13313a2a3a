//! `recreate`, `transfer`, `repo-create --other-repo` and `analyze` as people meet them.

use serde_json::Value;

use crate::place::{PROGRAM, Place, Run};

/// A repository with two archives of one name and one of another.
fn three() -> Place {
    let place = Place::new();
    place.file("t/keep", "k");
    place.file("t/junk/j", "j".repeat(5000));
    place.run(&["create", "a", "t"]).succeeded();
    place.file("t/new/n", "n".repeat(200_000));
    place.run(&["create", "a", "t"]).succeeded();
    place.run(&["create", "b", "t/keep", "--comment", "text"]).succeeded();
    place
}

#[test]
fn archives_are_made_again_without_some_files() {
    let place = three();
    let run = place.run(&["recreate", "-a", "a", "-e", "t/junk", "--dry-run", "--list", "--filter", "-", "--stats"]);
    let run = run.succeeded();
    assert_eq!(run.err.lines().collect::<Vec<_>>(), ["- t/junk"; 2]);
    assert!(run.out.contains("Before:  3 files") && run.out.contains("After:   2 files"), "{}", run.out);
    assert_eq!(place.listed("a").len(), 6);
    place.run(&["recreate", "-e", "t/junk"]).succeeded();
    for archive in ["a", "a@1"] {
        assert!(place.listed(archive).iter().all(|path| !path.contains("junk")), "{archive}");
    }
    assert_eq!(place.archives(), ["a", "a", "b"]);
    place.run(&["check", "--verify-data"]).succeeded();
    place
        .run(&["recreate", "-a", "a", "--last", "1", "--target", "c", "--comment", "of {hostname}", "t/new"])
        .succeeded();
    assert_eq!(place.listed("c"), ["t", "t/new", "t/new/n"]);
    let told: Value = serde_json::from_str(&place.run(&["info", "c", "--json"]).succeeded().out).unwrap();
    assert!(told["archives"][0]["comment"].as_str().unwrap().starts_with("of ") && place.archives().len() == 4);
    place.run(&["recreate", "-a", "b", "--timestamp", "2020-02-03T04:05:06", "--comment", "old"]).succeeded();
    let listed = place.run(&["repo-list", "-a", "b", "--format", "{comment} {time:%Y-%m-%d}{NL}"]).succeeded().out;
    assert_eq!(listed, "old 2020-02-03\n");
    place.run(&["recreate", "-a", "c", "--chunker-params", "fixed,4096"]).succeeded();
    place.run(&["extract", "--target", "out", "c"]).succeeded();
    assert_eq!(std::fs::read(place.path("out/t/new/n")).unwrap(), vec![b'n'; 200_000]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let place = three();
    let run = place.run(&["recreate", "--target", "x", "-e", "t"]);
    assert!(run.rc == 4 && run.err.contains("3 are selected"), "{}", run.err);
    let run = place.run(&["recreate", "-a", "b", "no/such"]);
    assert!(run.rc == 101, "{}", run.err);
    place.run(&["tag", "a", "--add", "@PROT"]).succeeded();
    let run = place.run(&["recreate", "-a", "a", "--last", "1", "-e", "t/junk"]);
    assert!(run.rc == 4 && run.err.contains("@PROT"), "{}", run.err);
    assert_eq!(place.run(&["recreate", "--chunker-params", "x"]).rc, 2);
    place.run(&["transfer"]).failed(4, "which other repository?", "");
    assert_eq!(place.run(&["transfer", "--other-repo", "no/such"]).rc, 13);
}

#[test]
fn archives_go_to_another_repository() {
    let place = three();
    let secret = ("GABION_PASSPHRASE", "new secret");
    let new = [("GABION_REPO", "new"), secret, ("GABION_OTHER_REPO", "repo")];
    place.run_with(&new, &["repo-create", "-e", "aes256-gcm", "--other-repo"]).succeeded();
    let planned = place.run_with(&new, &["transfer", "--dry-run"]).succeeded().out;
    assert_eq!(planned.lines().filter(|line| line.starts_with("Would copy archive ")).count(), 3, "{planned}");
    let run = place.run_with(&new, &["transfer", "-v", "-a", "a"]).succeeded();
    assert!(run.err.contains("2 archives copied, 0 were here already"), "{}", run.err);
    let run = place.run_with(&new, &["transfer", "-v"]).succeeded();
    assert!(run.err.contains("1 archives copied, 2 were here already"), "{}", run.err);
    let listed =
        |variables: &[(&str, &str)], archive: &str| place.run_with(variables, &["list", archive]).succeeded().out;
    for archive in ["a", "a@1", "b"] {
        assert_eq!(listed(&new, archive), listed(&[], archive));
    }
    let comment = place.run_with(&new, &["repo-list", "-a", "b", "--format", "{comment}"]).succeeded().out;
    assert_eq!(comment, "text");
    place.run_with(&new, &["check", "--verify-data"]).succeeded();
    // and back, from one that needs a passphrase into one that is not related and needs none
    let third = [("GABION_REPO", "third"), ("GABION_OTHER_PASSPHRASE", "new secret")];
    place.run_with(&third, &["repo-create", "-e", "none", "-i", "hmac-sha256"]).succeeded();
    place.run_with(&third, &["transfer", "--other-repo", "new", "-C", "lz4", "--recompress", "always"]).succeeded();
    assert_eq!(listed(&third[..1], "a"), listed(&[], "a"));
    let wrong = [("GABION_REPO", "third"), ("GABION_OTHER_PASSPHRASE", "wrong")];
    assert_eq!(place.run_with(&wrong, &["transfer", "--other-repo", "new"]).rc, 52);
    let run =
        place.run_with(&third, &["repo-create", "-e", "none", "-r", "fourth", "--other-repo", "new", "-i", "blake2b"]);
    assert!(run.rc == 4 && run.err.contains("same id hash"), "{}", run.err);
}

#[test]
fn where_the_room_goes_is_told() {
    let place = three();
    let text = place.run(&["analyze"]).succeeded().out;
    assert!(text.contains("Archives:") && text.contains("3 of 3") && text.contains("t/new\n"), "{text}");
    let root: Value = serde_json::from_str(&place.run(&["analyze", "--json", "-a", "a"]).succeeded().out).unwrap();
    let sizes = &root["dedup_size"];
    assert_eq!(
        (&sizes["considered_archives"], &sizes["total_archives"], &sizes["whole_repository"]),
        (&2.into(), &3.into(), &false.into())
    );
    assert!(sizes["deduplicated"]["source_size"].as_u64() > Some(205_000) && sizes["missing_chunks"] == 0, "{root:#}");
    assert_eq!((&root["hotspots"][0]["path"], &root["hotspots"][0]["size"]), (&"t/new".into(), &200_000.into()));
    let root: Value = serde_json::from_str(&place.run(&["analyze", "--by-name", "--json"]).succeeded().out).unwrap();
    let names: Vec<&str> =
        root["by_name"]["names"].as_array().unwrap().iter().map(|name| name["name"].as_str().unwrap()).collect();
    assert_eq!((names, &root["by_name"]["archives"]), (vec!["a", "b"], &3.into()));
    assert!(root["by_name"]["total"]["stored_size"].as_u64() > Some(0), "{root:#}");
    let text = place.run(&["analyze", "--by-name"]).succeeded().out;
    let told: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(told[1], ["Archives", "Original", "Stored", "Only", "there", "Series"]);
    assert_eq!((told[2][0], told[2].last(), told[3][0], told[3].last()), ("2", Some(&"a"), "1", Some(&"b")), "{text}");
}

#[test]
fn on_a_terminal_bars_are_drawn() {
    if let Err(error) = std::process::Command::new("script").arg("--version").output() {
        assert!(!gabion_tests::all_required(), "script: {error}");
        eprintln!("skipped: script: {error}");
        return;
    }
    let place = three();
    for words in ["repo-info", "analyze", "analyze --by-name"] {
        let told = place.run(&words.split(' ').collect::<Vec<_>>()).succeeded().out;
        assert!(!told.contains('█'), "programs read it: {told}");
        // `script` lends the command a terminal, whose lines end in \r\n.
        let mut script = std::process::Command::new("script");
        place.surround(script.args(["-qec", &format!("{PROGRAM} {words} 2>/dev/null"), "/dev/null"]));
        let shown = Run::of(&mut script).succeeded().out.replace('\r', "");
        let bars = |line: &&str| line.contains('█');
        assert!(shown.lines().any(|line| bars(&line)), "{shown}");
        let same = |text: &str| text.replace(['█', '░'], "").split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(same(&shown), same(&told), "{words}");
    }
    let root: Value = serde_json::from_str(&place.run(&["repo-info", "--json"]).succeeded().out).unwrap();
    let series: Vec<_> =
        root["series"].as_array().unwrap().iter().map(|one| (&one["name"], &one["archives"])).collect();
    assert_eq!(series, [(&"a".into(), &2.into()), (&"b".into(), &1.into())]);
    let (original, added) = (&root["series"][0]["original_size"], &root["series"][0]["deduplicated_size"]);
    assert_eq!(original.as_u64(), Some(5001 + 205_001), "{root:#}");
    assert!(added.as_u64() > Some(0) && added.as_u64() < original.as_u64(), "{root:#}");
}

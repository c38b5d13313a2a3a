//! Looking into a repository.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::place::{Place, tree};

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(parsed).collect()
}

fn with_archive() -> Place {
    let place = Place::new();
    place.file("d/small", "some text");
    place.file("d/large", (0..100_000u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
    std::os::unix::fs::symlink("small", place.path("d/link")).unwrap();
    place.run(&["create", "one", "d"]).succeeded();
    place
}

#[test]
fn archives_are_dumped() {
    let place = with_archive();
    let record = parsed(&place.run(&["debug", "dump-archive", "one", "-"]).succeeded().out);
    assert_eq!((&record["name"], &record["root"]["files"]), (&"one".into(), &2.into()));
    place.run(&["debug", "dump-archive", "one", "record.json"]).succeeded();
    assert_eq!(parsed(&std::fs::read_to_string(place.path("record.json")).unwrap()), record);

    let items = lines(&place.run(&["debug", "dump-archive-items", "one"]).succeeded().out);
    let paths: Vec<&str> = items.iter().map(|item| item["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["d", "d/large", "d/link", "d/small"]);
    assert_eq!((&items[2]["content"]["target"], &items[1]["size"]), (&"small".into(), &400_000.into()));
    assert_eq!(items[3]["content"]["inline_b64"], "c29tZSB0ZXh0");
}

#[test]
fn every_object_can_be_looked_at_and_nothing_changes() {
    let place = with_archive();
    let before = tree(&place.path("repo"));
    let objects = lines(&place.run(&["debug", "dump-repo-objs"]).succeeded().out);
    let mut kinds = BTreeSet::new();
    for object in &objects {
        let (name, kind) = (object["name"].as_str().unwrap(), object["kind"].as_str().unwrap());
        kinds.insert(kind);
        if kind == "other" {
            assert_eq!(object["state"], "unknown");
            continue;
        }
        assert_eq!(object["state"], "whole", "{object}");
        let said = parsed(&place.run(&["debug", "parse-obj", name]).succeeded().out);
        assert_eq!((&said["object"], &said["kind"]), (&name.into(), &kind.into()));
        let raw = place.path("raw");
        place.run(&["debug", "get-obj", name, "raw"]).succeeded();
        assert_eq!(std::fs::metadata(&raw).unwrap().len(), object["size"].as_u64().unwrap());
        std::fs::remove_file(raw).unwrap();
    }
    assert_eq!(kinds, BTreeSet::from(["archive", "config", "epoch", "index", "key slot", "other", "segment"]));
    assert_eq!(tree(&place.path("repo")), before);
}

#[test]
fn damaged_objects_are_seen_without_a_key() {
    let place = with_archive();
    let file = std::fs::read_dir(place.path("repo/archives")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[90] ^= 4;
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, bytes).unwrap();
    let objects = lines(&place.run(&["debug", "dump-repo-objs"]).succeeded().out);
    let damaged: Vec<&Value> = objects.iter().filter(|object| object["state"] == "damaged").collect();
    assert!(damaged.len() == 1 && damaged[0]["kind"] == "archive" && damaged[0]["reason"].is_string(), "{damaged:?}");
}

#[test]
fn names_of_chunks_follow_from_content_and_class() {
    let place = with_archive();
    let items = lines(&place.run(&["debug", "dump-archive-items", "one"]).succeeded().out);
    let chunk = items[1]["content"][0]["chunk"].as_str().unwrap();
    let id = |arguments: &[&str]| place.run(&[&["debug", "id-hash"], arguments].concat()).succeeded().out;
    assert_eq!(id(&["d/large"]).trim(), chunk);
    assert_ne!(id(&["--tree", "d/large"]).trim(), chunk);
}

#[test]
fn nonsense_is_refused() {
    let place = with_archive();
    place.run(&["debug", "parse-obj", "reserve/0"]).failed(4, "not of a known kind", "");
    assert_eq!(place.run(&["debug", "parse-obj", "archives/../config"]).rc, 4);
    place.run(&["debug", "get-obj", "archives/00", "x"]).ended(17);
    assert!(parsed(&place.run(&["debug", "info"]).succeeded().out)["arch"].is_string());
}

//! What is told of archives and repositories.

use gabion_tests::Random;
use serde_json::Value;

use crate::place::Place;

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn with_archives() -> Place {
    let place = Place::new();
    place.file("f", vec![7; 5000]);
    place.run(&["create", "--comment", "the first", "--tags", "t1", "one", "f"]).succeeded();
    place.run(&["create", "two", "f"]).succeeded();
    place
}

fn infos(place: &Place, arguments: &[&str]) -> Vec<Value> {
    let all = [&["info", "--json"], arguments].concat();
    parsed(&place.run(&all).succeeded().out)["archives"].as_array().unwrap().clone()
}

#[test]
fn an_archive_tells_everything() {
    let place = with_archives();
    let found = infos(&place, &["one"]);
    let [archive] = &found[..] else { panic!("{found:#?}") };
    assert_eq!((&archive["name"], &archive["comment"]), (&"one".into(), &"the first".into()));
    assert_eq!((&archive["stats"]["original_size"], &archive["stats"]["nfiles"]), (&5000.into(), &1.into()));
    for key in ["compressed_size", "deduplicated_size"] {
        assert!(archive["stats"][key].is_u64(), "{key}: {archive:#}");
    }
    for key in ["id", "start", "start_utc", "end", "end_utc", "duration", "hostname", "username", "tags"] {
        assert!(!archive[key].is_null(), "{key}: {archive:#}");
    }
    assert!(archive["command_line"].is_array() && archive["chunker_params"].is_array(), "{archive:#}");

    let text = place.run(&["info", "one"]).succeeded().out;
    for row in ["Archive name:", "Comment:", "the first", "t1", "fastcdc,19,23,21,2", "5.00 kB"] {
        assert!(text.contains(row), "{row}: {text}");
    }
}

#[test]
fn what_an_archive_alone_occupies_is_told() {
    let place = Place::new();
    place.file("shared", Random::new(1).bytes(100_000));
    place.run(&["create", "one", "shared"]).succeeded();
    place.file("own/a", Random::new(2).bytes(200_000));
    // Twice in one archive is in no other one.
    place.file("own/b", Random::new(2).bytes(200_000));
    place.run(&["create", "two", "shared", "own"]).succeeded();
    place.run(&["create", "three", "shared"]).succeeded();
    let told = infos(&place, &["--alone"]);
    let sizes: Vec<_> = told.iter().map(|archive| archive["exclusive"]["source_size"].as_u64().unwrap()).collect();
    let [one, two, three] = sizes[..] else { panic!("{told:#?}") };
    assert!(one < 1000 && three < 1000 && (200_000..201_000).contains(&two), "{sizes:?}");
    assert_eq!(infos(&place, &["two", "--alone"])[0]["exclusive"], told[1]["exclusive"]);
    let analyzed = parsed(&place.run(&["analyze", "-a", "two", "--json"]).succeeded().out);
    assert_eq!(told[1]["exclusive"], analyzed["dedup_size"]["exclusive"]);
    let text = place.run(&["info", "two", "--alone"]).succeeded().out;
    assert!(text.contains("Only it needs:                200."), "{text}");
    assert!(infos(&place, &["two"])[0].get("exclusive").is_none());
}

#[test]
fn archives_are_selected() {
    let place = with_archives();
    let names = |arguments: &[&str]| -> Vec<String> {
        infos(&place, arguments).iter().map(|archive| archive["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&[]), ["one", "two"]);
    assert_eq!(names(&["--last", "1"]), ["two"]);
    assert_eq!(names(&["-a", "sh:o*"]), ["one"]);
    place.run(&["info", "one", "--last", "1"]).failed(4, "not both", "");
    place.run(&["info", "tow"]).failed(31, "archive", "did you mean `two`?");
}

#[test]
fn a_repository_tells_what_it_holds_and_survives() {
    let place = with_archives();
    let root = parsed(&place.run(&["repo-info", "--json"]).succeeded().out);
    assert_eq!(root["encryption"], parsed(r#"{"encryption":"none","id_hash":"blake3","keyfile":null}"#));
    for key in ["id", "location", "last_modified", "created"] {
        assert!(root["repository"][key].is_string(), "{key}: {root:#}");
    }
    for key in ["total_chunks", "total_unique_chunks", "total_size", "unique_size"] {
        assert!(root["cache"]["stats"][key].as_u64().unwrap() > 0, "{key}: {root:#}");
    }
    assert_eq!((&root["state"]["archives"], &root["state"]["damaged"]), (&2.into(), &false.into()));
    let text = place.run(&["repo-info"]).succeeded().out;
    for part in ["no redundancy", "survives a loss of power", "Archives:        2\n", "Lost segments:   0\n"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn damage_is_named() {
    let place = with_archives();
    let fragment = std::fs::read_dir(place.path("repo/index")).unwrap().next().unwrap().unwrap();
    let mut bytes = std::fs::read(fragment.path()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::remove_file(fragment.path()).unwrap();
    std::fs::write(fragment.path(), bytes).unwrap();
    let name = format!("index/{}", fragment.file_name().to_str().unwrap());
    let root = parsed(&place.run(&["repo-info", "--json"]).succeeded().out);
    assert_eq!(root["state"]["damaged_fragments"], Value::from(vec![name.clone()]));
    let text = place.run(&["repo-info"]).succeeded().out;
    assert!(text.contains(&name) && text.contains("data may be missing"), "{text}");
}

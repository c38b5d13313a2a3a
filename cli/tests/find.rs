//! `gabion find`: files across archives.

use serde_json::Value;

use crate::place::Place;

fn three() -> Place {
    let place = Place::new();
    place.file("t/same/deep/f", "x");
    place.file("t/a.jpg", "1");
    place.run(&["create", "first", "t"]).succeeded();
    place.file("t/new/b.jpg", "2");
    place.run(&["create", "second", "t"]).succeeded();
    std::fs::remove_file(place.path("t/a.jpg")).unwrap();
    place.run(&["create", "third", "t"]).succeeded();
    place
}

#[test]
fn files_are_found_in_all_archives_newest_first() {
    let place = three();
    let format = "{archivename} {path}{NL}";
    let found = |more: &[&str]| {
        let run = place.run(&[&["find", "--format", format], more].concat()).succeeded();
        run.out.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let pictures = ["third t/new/b.jpg", "second t/a.jpg", "second t/new/b.jpg", "first t/a.jpg"];
    assert_eq!(found(&["sh:**/*.jpg"]), pictures);
    assert_eq!(found(&["sh:**/*.jpg", "--last", "1"]), pictures[..1]);
    assert_eq!(found(&["sh:**/*.jpg", "-a", "first", "-e", "t/new"]), pictures[3..]);
    assert_eq!(
        found(&["t/same/deep"]),
        [
            "third t/same/deep",
            "third t/same/deep/f",
            "second t/same/deep",
            "second t/same/deep/f",
            "first t/same/deep",
            "first t/same/deep/f"
        ]
    );
    let default = place.run(&["find", "t/a.jpg", "-a", "first"]).succeeded().out;
    assert!(default.contains(" first -rw-r--r-- ") && default.ends_with(" t/a.jpg\n"), "{default}");
    let environment = place.run_with(&[("GABION_FIND_FORMAT", "{path}{NL}")], &["find", "t/a.jpg", "-a", "first"]);
    assert_eq!(environment.succeeded().out, "t/a.jpg\n");
}

#[test]
fn what_is_found_is_told_as_json() {
    let place = three();
    let out = place.run(&["find", "--json-lines", "--format", "{archivename}{archiveid}", "t/a.jpg"]).succeeded().out;
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| line["archivename"].as_str().unwrap()).collect::<Vec<_>>(), ["second", "first"]);
    assert!(lines.iter().all(|line| line["path"] == "t/a.jpg" && line["type"] == "-" && line["size"] == 1));
    let run = place.run(&["find", "no/such"]);
    assert!(run.rc == 101 && run.err.contains("never matched"), "{}", run.err);
    assert_eq!(place.run(&["find", "--format", "{colour}"]).rc, 4);
}

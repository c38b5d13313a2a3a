//! Searching many archives.

use std::sync::Arc;

use gabion_core::ops::find::Finder;
use gabion_core::pattern::{Matcher, Pattern, Style};
use gabion_tests::{Method, Notes, RecordingBackend};

use crate::engine::{backed_up, new_repository, open};

#[test]
fn equal_directories_are_searched_once_unless_something_is_found() {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("tree");
    for directory in 0..30 {
        std::fs::create_dir_all(source.join(format!("d{directory:02}"))).unwrap();
        for file in 0..100 {
            std::fs::write(source.join(format!("d{directory:02}/{file}{}", "x".repeat(200))), "x").unwrap();
        }
    }
    let objects = new_repository();
    let mut records = vec![backed_up(&objects, &source).record];
    for number in 0..4 {
        std::fs::write(source.join(format!("d07/needle {number}")), "y").unwrap();
        records.push(backed_up(&objects, &source).record);
    }
    let mut matcher = Matcher::new();
    matcher.add_include_path(Pattern::parse("sh:**/needle*", Style::PathPrefix).unwrap());
    let recorder = RecordingBackend::new(objects.backend());
    let reader = open(Arc::new(recorder.clone())).unwrap().session().unwrap().reader();
    let notes = Notes::new();
    let mut finder = Finder::new(&reader, &matcher, false, &notes);
    let mut costs = Vec::new();
    for (number, record) in records.iter().enumerate().rev() {
        let mut found = Vec::new();
        finder
            .search(record, &mut |item| {
                found.push(String::from_utf8(item.path).unwrap());
                Ok(())
            })
            .unwrap();
        let expected: Vec<_> = (0..number).map(|needle| format!("tree/d07/needle {needle}")).collect();
        assert_eq!(found, expected);
        costs.push(
            recorder.take().iter().filter(|call| call.method == Method::GetRange).map(|call| call.bytes).sum::<u64>(),
        );
    }
    assert!(costs[1..].iter().all(|cost| cost * 3 < costs[0]), "{costs:?}");
    assert_eq!(notes.complaints(), Vec::<String>::new());
}

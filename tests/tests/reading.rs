//! What is said of what does not come: that it is lost, or that the store does not answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gabion_core::error::ErrorKind;
use gabion_core::id::ChunkId;
use gabion_core::repository::ChunkSource;
use gabion_core::segment::Class;
use gabion_tests::{FaultyBackend, HookedBackend, Method, Notes, Random, ReadFault};

use crate::engine::{back_up, backed_up, collect, new_repository, open, options, remove};
use crate::life::Story;

#[test]
fn a_chunk_is_not_lost_while_the_store_of_its_copy_does_not_answer() {
    let source = tempfile::tempdir().unwrap();
    let content = Random::new(5).bytes(9_000);
    std::fs::write(source.path().join("file"), &content).unwrap();
    let start = new_repository();
    // Two clients that do not see each other store the same.
    let (inside, place, began) = (start.clone(), source.path().to_owned(), AtomicBool::new(false));
    let client = HookedBackend::new(start.backend(), move |method, name| {
        if method == Method::Put && name.starts_with("segments/") && !began.swap(true, Ordering::Relaxed) {
            std::thread::scope(|scope| {
                scope.spawn(|| back_up(inside.backend(), &place, &options(), &Notes::new()).unwrap());
            });
        }
    });
    back_up(Arc::new(client), source.path(), &options(), &Notes::new()).unwrap();
    let repository = open(start.backend()).unwrap();
    let id = repository.chunk_id(Class::Data, &content);
    let copies = repository.session().unwrap().copies(&id);
    assert_eq!(copies.len(), 2);
    let mut unanswered = 0;
    for (bad, is_gone) in copies.iter().flat_map(|copy| [(copy, true), (copy, false)]) {
        for number in 1.. {
            let objects = start.fork().unwrap();
            let client = FaultyBackend::new(objects.backend());
            let reader = open(Arc::new(client.clone())).unwrap().session().unwrap().reader();
            let name = format!("segments/{}", bad.segment);
            if is_gone {
                objects.remove(&name).unwrap();
            } else {
                let mut bytes = objects.get(&name).unwrap().to_vec();
                bytes[bad.frame.offset as usize] ^= 1;
                objects.put(&name, bytes).unwrap();
            }
            let last = client.reads() + number;
            let client = client.on_read(last, ReadFault::Temporary(ErrorKind::Connection));
            let case = format!("{bad:?}, gone: {is_gone}, read {number}");
            match reader.fetch(Class::Data, &id) {
                Ok(found) => assert_eq!(found, content, "{case}"),
                Err(error) => {
                    unanswered += 1;
                    assert_eq!(error.kind(), ErrorKind::Connection, "{case}");
                }
            }
            if client.reads() < last {
                break;
            }
            assert_eq!(reader.fetch(Class::Data, &id).unwrap(), content, "{case}, then again");
        }
    }
    assert!(unanswered > 0);
}

#[test]
fn a_store_that_does_not_answer_is_not_taken_for_damaged_when_a_session_begins() {
    let source = tempfile::tempdir().unwrap();
    std::fs::write(source.path().join("file"), Random::new(6).bytes(90_000)).unwrap();
    let objects = new_repository();
    backed_up(&objects, source.path());
    // What the fragment said is read from the segments.
    let fragment = objects.names("index").unwrap().remove(0);
    objects.put(&fragment, vec![0; 300]).unwrap();
    objects.put(&format!("damage/{}", "0a".repeat(16)), vec![0; 300]).unwrap();
    for (fault, kind) in [
        (ReadFault::Temporary(ErrorKind::Connection), ErrorKind::Connection),
        (ReadFault::Permanent(ErrorKind::Interrupted), ErrorKind::Interrupted),
    ] {
        for number in 1.. {
            let client = FaultyBackend::new(objects.backend()).on_read(number, fault);
            let session = open(Arc::new(client.clone())).and_then(|repository| repository.session());
            if client.reads() < number {
                let session = session.unwrap();
                assert_eq!((session.unnamed_segments(), session.is_damaged()), (Vec::new(), true));
                assert!(number > 10, "{number}");
                break;
            }
            assert_eq!(session.err().map(|error| error.kind()), Some(kind), "read {number}");
        }
    }
}

#[test]
fn a_connection_that_is_lost_for_good_is_not_taken_for_damage_by_compact() {
    let story = Story::new(3);
    remove(story.objects.backend(), &story.told[1].0).unwrap();
    for number in 1.. {
        let client = FaultyBackend::new(story.objects.fork().unwrap().backend())
            .on_read(number, ReadFault::Permanent(ErrorKind::Connection));
        let collected = collect(Arc::new(client.clone()), &Notes::new());
        if client.reads() < number {
            assert!(number > 10 && collected.is_ok(), "{number}");
            break;
        }
        assert_eq!(collected.err().map(|error| error.kind()), Some(ErrorKind::Connection), "read {number}");
    }
}

#[test]
fn a_chunk_is_not_lost_where_nobody_may_look_for_it() {
    let story = Story::new(1);
    let client = FaultyBackend::new(story.objects.backend());
    let (refusing, refuses) = (client.clone(), Arc::new(AtomicBool::new(false)));
    let armed = Arc::clone(&refuses);
    let hooked = HookedBackend::new(Arc::new(client), move |method, name| {
        if method == Method::List && name == "index" && armed.load(Ordering::Relaxed) {
            let next = refusing.reads() + 1;
            let _ = refusing.clone().on_read(next, ReadFault::Permanent(ErrorKind::PermissionDenied));
        }
    });
    let reader = open(Arc::new(hooked)).unwrap().session().unwrap().reader();
    let fetch = || reader.fetch(Class::Data, &ChunkId::from_bytes([7; 32])).unwrap_err().kind();
    refuses.store(true, Ordering::Relaxed);
    assert_eq!(fetch(), ErrorKind::PermissionDenied);
    refuses.store(false, Ordering::Relaxed);
    assert_eq!(fetch(), ErrorKind::NotFound);
}

//! What is done to a whole repository: recompressed, given room, deleted.

use std::sync::Arc;

use gabion_core::backend::Store;
use gabion_core::error::ErrorKind;
use gabion_core::ops::compact::{CompactOptions, recompress};
use gabion_core::ops::erase::{erase, extent};
use gabion_core::repository::{Client, ClosedRepository, NewRepository, Repository};
use gabion_tests::{FaultyBackend, Notes, Objects, WriteFault};

use crate::engine::{archives, backed_up, clock, differences, new_repository, open, options};
use crate::life::Story;

fn closed(objects: &Objects) -> ClosedRepository {
    ClosedRepository::look(Store::new(objects.backend()).unwrap(), Client::default()).unwrap()
}

/// Whatever call fails for good: either there is a repository that opens, or one can be made there.
#[test]
fn a_creation_that_fails_has_made_it_or_can_be_repeated() {
    use WriteFault::{Permanent, RefusedAfter};
    let create = |backend| {
        Repository::create(Store::new(backend).unwrap(), Client::default(), &NewRepository::plain(), &clock()).map(drop)
    };
    for fault in [Permanent, RefusedAfter] {
        let (mut made, mut failed) = (0, 0);
        for call in 1.. {
            let objects = Objects::new();
            let faulty = FaultyBackend::new(objects.backend()).on_write(call, fault(ErrorKind::NoSpace));
            let done = create(Arc::new(faulty.clone()));
            match open(objects.backend()) {
                Ok(_) => made += 1,
                Err(error) => {
                    assert!(done.is_err(), "{fault:?} {call}: {error}", fault = fault(ErrorKind::NoSpace));
                    failed += 1;
                    create(objects.backend()).unwrap();
                    open(objects.backend()).unwrap();
                }
            }
            if faulty.writes() < call {
                break;
            }
        }
        assert!(made >= 2 && failed >= 3, "{made} {failed}");
    }
}

#[test]
fn everything_is_compressed_anew() {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("tree");
    std::fs::create_dir(&source).unwrap();
    for number in 0..40 {
        std::fs::write(source.join(format!("{number}")), format!("text {number} ").repeat(2000)).unwrap();
    }
    let objects = new_repository();
    let record = backed_up(&objects, &source).record;
    let stored = || open(objects.backend()).unwrap().session().unwrap().holdings().bytes;
    let (before, old) = (stored(), objects.names("segments").unwrap());
    let compress = |compression: &str| {
        let mut writer = options().writer;
        writer.compression = compression.parse().unwrap();
        let options = CompactOptions { writer, ..CompactOptions::default() };
        recompress(&open(objects.backend()).unwrap(), &options, &clock(), &Notes::new()).unwrap()
    };
    assert_eq!(compress("zstd,3").deleted, old.len());
    assert!(stored() * 5 < before, "{} of {before}", stored());
    assert!(objects.names("segments").unwrap().iter().all(|name| !old.contains(name)));
    assert_eq!(differences(&objects, &record, &source), Vec::<String>::new());
    compress("none");
    assert!(stored() * 2 > before, "{} of {before}", stored());
    assert_eq!(differences(&objects, &record, &source), Vec::<String>::new());
    assert_eq!(objects.names("gc/doom").unwrap(), Vec::<String>::new());
}

#[test]
fn a_crash_while_everything_is_compressed_anew_costs_nothing() {
    let story = Story::new(2);
    let mut crashes = 0;
    for call in 1.. {
        let objects = story.objects.fork().unwrap();
        let faulty = FaultyBackend::new(objects.backend()).on_write(call, WriteFault::DieBefore);
        let options = CompactOptions { writer: options().writer, ..CompactOptions::default() };
        let done = recompress(&open(Arc::new(faulty)).unwrap(), &options, &clock(), &Notes::new());
        story.is_true(&objects, &format!("crashed at write {call}"));
        if done.is_ok() {
            break;
        }
        crashes += 1;
        recompress(&open(objects.backend()).unwrap(), &options, &clock(), &Notes::new()).unwrap();
        story.is_true(&objects, &format!("again after write {call}"));
    }
    assert!(crashes > 10, "{crashes}");
}

#[test]
fn room_is_set_aside_and_given_up() {
    let objects = new_repository();
    let repository = open(objects.backend()).unwrap();
    assert_eq!(repository.reserved_bytes().unwrap(), 1 << 20);
    assert_eq!(repository.reserve(1).unwrap(), 1 << 20, "the small ones are there");
    assert_eq!(repository.reserve((1 << 20) + 1).unwrap(), (1 << 20) + (16 << 20));
    assert_eq!(objects.names("reserve").unwrap().len(), 5);
    assert_eq!(repository.reserve(20 << 20).unwrap(), (1 << 20) + (32 << 20));
    assert_eq!(repository.free_reserves().unwrap(), (1 << 20) + (32 << 20));
    assert_eq!((objects.names("reserve").unwrap().len(), repository.reserved_bytes().unwrap()), (0, 0));
    assert_eq!(repository.reserve(0).unwrap(), 1 << 20);
    assert_eq!(repository.reserve(u64::MAX).unwrap_err().kind(), ErrorKind::LimitExceeded);
}

#[test]
fn a_repository_is_erased_and_nothing_else() {
    let story = Story::new(2);
    let objects = &story.objects;
    for foreign in ["segments/readme", "notes/a", "index/x"] {
        objects.put(foreign, &b"somebody else's"[..]).unwrap();
    }
    let extent = extent(&closed(objects)).unwrap();
    assert!(extent.archives == 2 && extent.objects > 10 && extent.bytes > 100_000, "{extent:?}");
    erase(&closed(objects), &Notes::new()).unwrap();
    assert_eq!(objects.names("").unwrap(), ["index/x", "notes/a", "segments/readme"]);
    assert_eq!(open(objects.backend()).unwrap_err().kind(), ErrorKind::NotARepository);
}

#[test]
fn what_is_left_of_a_half_erased_repository_says_what_it_is() {
    let story = Story::new(2);
    let mut opened = 0;
    for call in 1.. {
        let objects = story.objects.fork().unwrap();
        let faulty = FaultyBackend::new(objects.backend()).on_write(call, WriteFault::DieBefore);
        let closed_there = ClosedRepository::look(Store::new(Arc::new(faulty)).unwrap(), Client::default()).unwrap();
        if erase(&closed_there, &Notes::new()).is_ok() {
            break;
        }
        // as long as the keys are there it opens, and every archive it still shows is whole
        if objects.names("keys").unwrap().is_empty() {
            assert!(archives_are_gone(&objects), "at write {call}");
        } else {
            story.is_true(&objects, &format!("erased up to write {call}"));
            opened += 1;
        }
        erase(&closed(&objects), &Notes::new()).unwrap();
        assert_eq!(objects.names("").unwrap(), Vec::<String>::new(), "at write {call}");
    }
    assert!(opened > 10, "{opened}");
    assert_eq!(archives(&story.objects).0.len(), 2);
}

fn archives_are_gone(objects: &Objects) -> bool {
    objects.names("archives").unwrap().is_empty() && objects.names("segments").unwrap().is_empty()
}

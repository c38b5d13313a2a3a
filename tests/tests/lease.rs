//! Leases keep collectors away, and collectors keep leases away: whoever comes second waits.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gabion_core::clock::Timestamp;
use gabion_core::codec::Extensions;
use gabion_core::error::{ErrorKind, Result};
use gabion_core::gc::LeaseRecord;
use gabion_core::id::LeaseId;
use gabion_core::ops::lease::take_lease;
use gabion_core::repository::Repository;
use gabion_tests::{HookedBackend, Method, Notes, Objects};

use crate::engine::{clock, collect, open, remove};
use crate::life::Story;
use crate::repair::{mend, spoil};

fn lease() -> LeaseRecord {
    LeaseRecord {
        host: "host".to_owned(),
        user: "user".to_owned(),
        process: 7,
        purpose: "rsync".to_owned(),
        since: Timestamp::new(1, 0),
        extensions: Extensions::none(),
    }
}

fn take(repository: &Repository) -> Result<LeaseId> {
    take_lease(repository, &lease(), Duration::from_secs(2), &clock(), &Notes::new())
}

/// A repository with something to collect.
fn wasteful() -> Story {
    let story = Story::new(3);
    remove(story.objects.backend(), &story.told[1].0).unwrap();
    story
}

fn deletions(objects: &Objects, before: &[String]) -> usize {
    let after = objects.names("segments").unwrap();
    before.iter().filter(|name| !after.contains(name)).count()
}

#[test]
fn a_collector_waits_for_a_lease_and_says_whose_it_is() {
    let story = wasteful();
    let repository = open(story.objects.backend()).unwrap();
    let before = story.objects.names("segments").unwrap();
    let id = take(&repository).unwrap();
    let error = collect(story.objects.backend(), &Notes::new()).unwrap_err();
    assert_eq!(
        (error.kind(), error.context("by"), error.context("for")),
        (ErrorKind::Locked, Some("user@host"), Some("rsync"))
    );
    assert_eq!(deletions(&story.objects, &before), 0);
    let told = repository.leases().unwrap();
    assert_eq!((told.len(), told[0].0, told[0].1.as_ref().unwrap()), (1, id, &lease()));
    repository.end_lease(&id).unwrap();
    repository.end_lease(&id).unwrap();
    assert!(collect(story.objects.backend(), &Notes::new()).unwrap().deleted > 0);
}

#[test]
fn nothing_is_deleted_under_a_lease_whenever_it_is_taken() {
    let (mut taken, story) = (0, wasteful());
    let before = story.objects.names("segments").unwrap();
    for step in 0.. {
        let objects = story.objects.fork().unwrap();
        let (inside, calls) = (objects.clone(), Calls::default());
        // The segments that are there when the lease is held.
        let held: Arc<Mutex<Option<Vec<String>>>> = Arc::default();
        let (counted, got) = (calls.clone(), Arc::clone(&held));
        let client = HookedBackend::new(objects.backend(), move |_, _| {
            if counted.next() == step {
                std::thread::scope(|scope| {
                    let work = scope.spawn(|| take(&open(inside.backend()).unwrap()).is_ok());
                    *got.lock().unwrap() = work.join().unwrap().then(|| inside.names("segments").unwrap());
                });
            }
        });
        let at_lease = calls.clone();
        let done = collect(Arc::new(client), &Notes::new());
        if at_lease.count() <= step {
            break;
        }
        if let Some(segments) = held.lock().unwrap().take() {
            taken += 1;
            assert_eq!(deletions(&objects, &segments), 0, "at call {step}");
            // what was deleted was deleted before the lease, and then there was nothing more to do
            match done {
                Err(error) => {
                    assert_eq!((error.kind(), deletions(&objects, &before)), (ErrorKind::Locked, 0), "{step}");
                }
                Ok(_) => assert_eq!(objects.names("gc/doom").unwrap(), Vec::<String>::new(), "at call {step}"),
            }
        } else {
            assert!(done.is_ok(), "refused at call {step}, but nothing was collected: {done:?}");
            assert_eq!(objects.names("locks").unwrap(), Vec::<String>::new());
        }
        story.is_true(&objects, &format!("a lease at call {step}"));
    }
    assert!(taken > 10, "{taken}");
}

#[test]
fn what_a_lease_stopped_half_way_is_finished_later() {
    let story = wasteful();
    let before = story.objects.names("segments").unwrap();
    let inside = story.objects.clone();
    let client = HookedBackend::new(story.objects.backend(), move |method, name| {
        if method == Method::Put && name.starts_with("gc/doom/") {
            std::thread::scope(|scope| {
                scope.spawn(|| open(inside.backend()).unwrap().put_lease(&lease()).unwrap());
            });
        }
    });
    let error = collect(Arc::new(client), &Notes::new()).unwrap_err();
    assert_eq!((error.kind(), deletions(&story.objects, &before)), (ErrorKind::Locked, 0));
    let repository = open(story.objects.backend()).unwrap();
    assert!(repository.is_collecting().unwrap());
    for (id, _) in repository.leases().unwrap() {
        repository.end_lease(&id).unwrap();
    }
    assert_eq!(take(&repository).unwrap_err().kind(), ErrorKind::Locked, "a collector died");
    assert!(collect(story.objects.backend(), &Notes::new()).unwrap().adopted > 0);
    assert!(take(&repository).is_ok());
    story.is_true(&story.objects, "after all");
}

#[test]
fn a_doom_that_does_not_open_may_be_of_a_collector_at_work() {
    let story = wasteful();
    let doom = format!("gc/doom/{}", "0a".repeat(16));
    story.objects.put(&doom, vec![0; 300]).unwrap();
    let error = take(&open(story.objects.backend()).unwrap()).unwrap_err();
    // Nobody waits for it, and the hint can lead to a repair.
    assert_eq!((error.kind(), error.context("object")), (ErrorKind::Damaged, Some(doom.as_str())));
    assert_eq!(story.objects.names("locks").unwrap(), Vec::<String>::new());
}

#[test]
fn a_repair_that_has_to_delete_stores_nothing_under_a_lease() {
    let story = Story::new(2);
    let spoilt = story.objects.names("segments").unwrap().swap_remove(0);
    spoil(&story.objects, &spoilt, 500);
    let repository = open(story.objects.backend()).unwrap();
    let (id, before) = (take(&repository).unwrap(), story.objects.names("").unwrap());
    assert_eq!(mend(story.objects.backend(), None).unwrap_err().kind(), ErrorKind::Locked);
    assert_eq!(story.objects.names("").unwrap(), before);
    repository.end_lease(&id).unwrap();
    assert_eq!(mend(story.objects.backend(), None).unwrap().1.replaced, 1);
}

/// Counts calls; clones share the count.
#[derive(Clone, Default)]
struct Calls(Arc<std::sync::atomic::AtomicU64>);

impl Calls {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

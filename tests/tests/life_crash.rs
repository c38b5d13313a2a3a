//! The crash matrix of everything that removes: whoever dies at any call that changes the store loses no archive.

use std::sync::Arc;

use gabion_core::archive::ArchiveRecord;
use gabion_core::archive::removal::RemovalRecord;
use gabion_core::backend::{Backend, Store};
use gabion_core::crypto::aead::Suite;
use gabion_core::crypto::id_hash::IdHash;
use gabion_core::crypto::kdf::KdfParams;
use gabion_core::crypto::secret::Passphrase;
use gabion_core::error::Result;
use gabion_core::ops::delete::{Remover, delete};
use gabion_core::ops::republish::{replace, restore};
use gabion_core::repository::{Client, KeyLocation, NewRepository, NewSlot, Repository};
use gabion_tests::{FaultyBackend, Notes, Objects, WriteFault};

use crate::engine::{archives, back_up, clock, collect, differences, open, options, remove};
use crate::life::Story;

/// A torn object is not among them: a store shows whole objects or none (contract, rule 2), and what a store that
/// breaks this leaves of a record is damage, which a collector refuses to guess about.
const DEATHS: [WriteFault; 3] = [WriteFault::DieBefore, WriteFault::DieAfter, WriteFault::DieAndLandLate];

/// Runs `work` once per call and death; what is left must be sound, now and after everything else ran.
fn matrix(story: &Story, live: usize, work: &dyn Fn(Arc<dyn Backend>) -> Result<()>) -> u64 {
    let counting = FaultyBackend::new(story.objects.fork().unwrap().backend());
    work(Arc::new(counting.clone())).unwrap();
    for number in 1..=counting.writes() {
        for death in DEATHS {
            let objects = story.objects.fork().unwrap();
            let client = FaultyBackend::new(objects.backend()).on_write(number, death);
            let _ = work(Arc::new(client.clone()));
            assert!(client.is_dead(), "call {number} of {} was not reached", counting.writes());
            let cell = format!("{death:?} at call {number}");
            sound(story, &objects, live, &cell);
            collect(objects.backend(), &Notes::new()).unwrap_or_else(|error| panic!("{cell}: {error}"));
            sound(story, &objects, live, &format!("{cell}, then collected"));
            back_up_again(story, &objects, &cell);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(client.land()).unwrap();
            let cell = format!("{cell}, landed late");
            sound(story, &objects, live, &cell);
            back_up_again(story, &objects, &cell);
            collect(objects.backend(), &Notes::new()).unwrap_or_else(|error| panic!("{cell}: {error}"));
            sound(story, &objects, live, &format!("{cell}, then collected"));
        }
    }
    counting.writes() * DEATHS.len() as u64
}

/// At least `live` of the archives are there, and what is there is whole.
fn sound(story: &Story, objects: &Objects, live: usize, cell: &str) {
    let (there, _) = archives(objects);
    let distinct: std::collections::BTreeSet<_> = there.iter().map(|archive| archive.record.root.root).collect();
    assert!(distinct.len() >= live, "{cell}: only {} of {live} archives", distinct.len());
    story.is_true(objects, cell);
}

/// The next backup works, and has what the newest archive of the story has.
fn back_up_again(story: &Story, objects: &Objects, cell: &str) {
    let (_, source) = story.told.last().unwrap();
    let created = back_up(objects.backend(), source, &options(), &Notes::new());
    let created = created.unwrap_or_else(|error| panic!("{cell}: the next backup failed: {error}"));
    assert_eq!(differences(objects, &created.record, source), Vec::<String>::new(), "{cell}, next backup");
}

#[test]
fn delete_survives_death_at_every_call() {
    let story = Story::new(3);
    let cells = matrix(&story, 2, &|backend| remove(backend, &story.told[1].0));
    // Whether the store deletes at all, the record, the archive: each in three ways.
    assert_eq!(cells, 9);
}

/// `prune` removes what its rules do not keep in one go.
#[test]
fn prune_survives_death_at_every_call() {
    let story = Story::new(4);
    let cells = matrix(&story, 2, &|backend| {
        let pruned = [&story.told[0].0, &story.told[2].0];
        delete(&open(backend)?, &pruned, &Remover::default(), &clock())
    });
    assert_eq!(cells, 15);
}

fn passphrase(text: &str) -> Passphrase {
    Passphrase::from(text.to_owned())
}

fn slot(passphrase: &Passphrase) -> NewSlot<'_> {
    let kdf = KdfParams::weak_for_tests();
    NewSlot { passphrase: Some(passphrase), kdf, label: String::new(), location: KeyLocation::Repository }
}

fn open_with(backend: Arc<dyn Backend>, passphrase: &str) -> Result<Repository> {
    let mut ask = |attempt| Ok((attempt == 0).then(|| self::passphrase(passphrase)));
    Repository::open(Store::new(backend)?, Client::default(), &mut ask)
}

/// The passphrase is changed: a new slot is put, opened, and the old one goes. Whoever dies on the way leaves a
/// repository that opens with the old passphrase or with the new one, and the change can be made again.
#[test]
fn a_change_of_the_passphrase_survives_death_at_every_call() {
    let start = Objects::new();
    let (old, new) = (passphrase("old"), passphrase("new"));
    let encrypted = NewRepository { suite: Suite::Aes256Gcm, id_hash: IdHash::default(), slot: slot(&old) };
    Repository::create(Store::new(start.backend()).unwrap(), Client::default(), &encrypted, &clock()).unwrap();
    let change = |backend: Arc<dyn Backend>| -> Result<()> {
        let repository = open_with(backend, "old")?;
        let opened = repository.opened_by();
        repository.add_key(&slot(&new), &clock())?;
        repository.remove_key(opened.location, &opened.id)
    };
    let counting = FaultyBackend::new(start.fork().unwrap().backend());
    change(Arc::new(counting.clone())).unwrap();
    assert_eq!(counting.writes(), 2);
    for number in 1..=counting.writes() {
        for death in DEATHS.into_iter().chain([WriteFault::DieTorn(0), WriteFault::DieTorn(600)]) {
            let objects = start.fork().unwrap();
            let client = FaultyBackend::new(objects.backend()).on_write(number, death);
            change(Arc::new(client.clone())).unwrap_err();
            let cell = format!("{death:?} at call {number}");
            for landed in [false, true] {
                if landed {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    runtime.block_on(client.land()).unwrap();
                }
                let opens = ["old", "new"].map(|text| open_with(objects.backend(), text).is_ok());
                assert!(opens.contains(&true), "{cell}, landed: {landed}: no passphrase opens it");
            }
            if open_with(objects.backend(), "old").is_ok() {
                change(objects.backend()).unwrap_or_else(|error| panic!("{cell}, then again: {error}"));
            }
            open_with(objects.backend(), "new").unwrap_or_else(|error| panic!("{cell}, then again: {error}"));
            assert!(open_with(objects.backend(), "old").is_err(), "{cell}: the old passphrase still opens it");
        }
    }
}

#[test]
fn rename_survives_death_at_every_call() {
    let story = Story::new(2);
    let old = &story.told[0].0;
    let record = ArchiveRecord { name: "other".to_owned(), ..old.record.clone() };
    let cells = matrix(&story, 2, &|backend| {
        replace(&open(backend)?, old, &record, &Remover::default(), &clock(), &Notes::new()).map(|_| ())
    });
    assert!(cells >= 7 * 3, "{cells}");
}

#[test]
fn undelete_survives_death_at_every_call() {
    let story = Story::new(3);
    remove(story.objects.backend(), &story.told[1].0).unwrap();
    let cells = matrix(&story, 2, &|backend| {
        let repository = open(backend)?;
        let removal = RemovalRecord::load(&repository, &repository.removals()?[0])?;
        restore(&repository, &removal, &clock(), &Notes::new()).map(|_| ())
    });
    assert!(cells >= 5 * 3, "{cells}");
}

#[test]
fn compact_survives_death_at_every_call() {
    let story = Story::new(4);
    remove(story.objects.backend(), &story.told[0].0).unwrap();
    remove(story.objects.backend(), &story.told[2].0).unwrap();
    let cells = matrix(&story, 2, &|backend| collect(backend, &Notes::new()).map(|_| ()));
    assert!(cells >= 14 * 3, "only {cells} cells");
}

//! The damage matrix: what becomes of a restore and of the next backup when an object in the store is gone or is not
//! what was written. Never wrong bytes and never a panic; what is wrong is named; what is lost and still there at the
//! source is stored again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use gabion_core::archive::record::ArchiveRecord;
use gabion_core::error::ErrorKind;
use gabion_core::monitor::Warning;
use gabion_tests::{Aspects, Notes, Objects, Random, compare};

use crate::engine::{archives, back_up, backed_up, differences, new_repository, open, options, restore};

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    Delete,
    Truncate,
    /// One bit, at so many permille of its length.
    Flip(usize),
    /// With another of its kind.
    Swap,
}

use Harm::{Delete, Flip, Swap, Truncate};

/// What then must happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The repository does not open, for this reason.
    Closed(ErrorKind),
    /// As if nothing had happened.
    Fine,
    /// The archive is not listed.
    Gone,
    /// The archive is listed as one that does not open.
    Unreadable,
    /// Files that need the object are named, with a reason of these; all others are right.
    Named(&'static [ErrorKind]),
}

use Outcome::{Closed, Fine, Gone, Named, Unreadable};

const LOST: Outcome = Named(&[ErrorKind::NotFound]);
const SPOILT: Outcome = Named(&[ErrorKind::Damaged]);

/// Which objects, which harm, what a restore does, what restoring the next backup does.
type Row = (&'static str, &'static [Harm], Outcome, Outcome);

const EVERYWHERE: &[Harm] = &[Flip(0), Flip(30), Flip(400), Flip(700), Flip(999)];

const TABLE: &[Row] = &[
    ("config", &[Delete], Closed(ErrorKind::NotARepository), Closed(ErrorKind::NotARepository)),
    ("config", &[Truncate], Closed(ErrorKind::Damaged), Closed(ErrorKind::Damaged)),
    ("config", EVERYWHERE, Closed(ErrorKind::Damaged), Closed(ErrorKind::Damaged)),
    ("keys", &[Delete, Truncate], Closed(ErrorKind::KeyNotFound), Closed(ErrorKind::KeyNotFound)),
    ("keys", EVERYWHERE, Closed(ErrorKind::KeyNotFound), Closed(ErrorKind::KeyNotFound)),
    ("segments", &[Delete], LOST, Fine),
    // What is there but spoilt is found when it is read; a backup does not read it.
    ("segments", &[Truncate, Swap], SPOILT, SPOILT),
    ("segments", &[Flip(30), Flip(400), Flip(700)], SPOILT, SPOILT),
    // Header, directory and tail are for those who have no index, see below.
    ("segments", &[Flip(0), Flip(998), Flip(999)], Fine, Fine),
    ("index", &[Delete, Truncate, Swap], Fine, Fine),
    ("index", EVERYWHERE, Fine, Fine),
    ("archives", &[Delete], Gone, Fine),
    ("archives", &[Truncate, Swap], Unreadable, Fine),
    ("archives", EVERYWHERE, Unreadable, Fine),
    ("pending", &[Delete, Truncate, Swap], Fine, Fine),
    ("pending", EVERYWHERE, Fine, Fine),
];

/// A repository with two archives and two pendings that nobody finished.
fn scene() -> (tempfile::TempDir, PathBuf, Objects) {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("tree");
    std::fs::create_dir_all(source.join("below")).unwrap();
    let mut random = Random::new(17);
    for number in 0..4 {
        std::fs::write(source.join(format!("file {number}")), random.bytes(150_000)).unwrap();
        std::fs::write(source.join(format!("below/small {number}")), random.bytes(2_000)).unwrap();
    }
    let objects = new_repository();
    for name in ["one", "two"] {
        std::fs::write(source.join(name), random.bytes(150_000)).unwrap();
        let left = objects.fork().unwrap();
        backed_up(&objects, &source);
        let client = gabion_tests::FaultyBackend::new(left.backend());
        // Dies when the archive is put: two pendings are left.
        let writes = objects.names("segments").unwrap().len() - left.names("segments").unwrap().len() + 4;
        let client = client.on_write(writes as u64, gabion_tests::WriteFault::DieBefore);
        back_up(std::sync::Arc::new(client), &source, &options(), &Notes::new()).unwrap_err();
        for pending in left.names("pending").unwrap() {
            objects.put(&pending, left.get(&pending).unwrap()).unwrap();
        }
    }
    (place, source, objects)
}

fn harm(objects: &Objects, name: &str, harm: Harm) {
    let bytes = objects.get(name).unwrap();
    match harm {
        Delete => objects.remove(name).unwrap(),
        Truncate => objects.put(name, bytes.slice(..bytes.len() / 2)).unwrap(),
        Flip(permille) => {
            let mut spoilt = bytes.to_vec();
            spoilt[(bytes.len() - 1) * permille / 999] ^= 0x10;
            objects.put(name, spoilt).unwrap();
        }
        Swap => {
            let kind = name.split('/').next().unwrap();
            let names = objects.names(kind).unwrap();
            let other = names.iter().rev().find(|other| *other != name).expect("another of its kind");
            objects.put(name, objects.get(other).unwrap()).unwrap();
            objects.put(other, bytes).unwrap();
        }
    }
}

/// What can be restored of an archive is right, and everything else is named with one of these reasons. Returns
/// whether something was.
fn right_or_named(objects: &Objects, record: &ArchiveRecord, source: &Path, kinds: &[ErrorKind], cell: &str) -> bool {
    let target = tempfile::tempdir().unwrap();
    let notes = restore(objects.backend(), record, target.path(), 0).unwrap();
    let warnings = notes.warnings();
    for (warning, path, kind) in &warnings {
        assert!(kinds.contains(kind) && *warning == Warning::Item, "{cell}: {warning:?} of {path}: {kind:?}");
    }
    let named: BTreeSet<&str> = warnings.iter().map(|(_, path, _)| path.as_str()).collect();
    let restored = target.path().join("tree");
    if !restored.exists() {
        assert!(!named.is_empty(), "{cell}: nothing came back and nobody said so");
        return true;
    }
    for difference in compare(source, &restored, &Aspects { times: false, ..Aspects::default() }).unwrap() {
        let path = format!("tree/{}", difference.split(':').next().unwrap());
        let is_named = named.iter().any(|named| path == *named || path.starts_with(&format!("{named}/")));
        assert!(is_named || named.contains("") || named.contains("tree"), "{cell}: {difference}, and nobody said so");
    }
    !named.is_empty()
}

fn check(objects: &Objects, record: &ArchiveRecord, source: &Path, expected: Outcome, cell: &str) -> bool {
    match expected {
        Closed(kind) => assert_eq!(open(objects.backend()).unwrap_err().kind(), kind, "{cell}"),
        Fine => assert_eq!(differences(objects, record, source), Vec::<String>::new(), "{cell}"),
        Gone | Unreadable => {
            let (found, unreadable) = archives(objects);
            assert!(!found.iter().any(|archive| archive.record == *record), "{cell}");
            assert_eq!(unreadable > 0, expected == Unreadable, "{cell}");
        }
        Named(kinds) => return right_or_named(objects, record, source, kinds, cell),
    }
    false
}

#[test]
fn damage_is_named_or_healed() {
    let (_place, source, start) = scene();
    let newest = archives(&start).0.pop().unwrap();
    for (kind, harms, restored, next) in TABLE {
        for way in *harms {
            let mut named = 0;
            for name in start.names(kind).unwrap() {
                if *kind == "archives" && *way != Swap && name != format!("archives/{}", newest.id) {
                    continue;
                }
                let objects = start.fork().unwrap();
                harm(&objects, &name, *way);
                let cell = format!("{way:?} of {name}");
                named += usize::from(check(&objects, &newest.record, &source, *restored, &cell));
                if let Closed(kind) = next {
                    let error = back_up(objects.backend(), &source, &options(), &Notes::new()).unwrap_err();
                    assert_eq!(error.kind(), *kind, "{cell}");
                    continue;
                }
                let again = back_up(objects.backend(), &source, &options(), &Notes::new());
                let again = again.unwrap_or_else(|error| panic!("{cell}: the next backup failed: {error}"));
                check(&objects, &again.record, &source, *next, &format!("{cell}, then a backup"));
                if *restored == LOST {
                    // Chunks have the same names as before: the old archive is whole again too.
                    check(&objects, &newest.record, &source, Fine, &format!("{cell}, the old archive"));
                }
            }
            if matches!(restored, Named(_)) {
                assert!(named > 0, "{way:?} of {kind}: harmed nothing");
            }
        }
    }
}

#[test]
fn a_damaged_index_fragment_is_made_up_for_by_the_next() {
    let (_place, source, objects) = scene();
    for name in objects.names("index").unwrap() {
        harm(&objects, &name, Truncate);
    }
    backed_up(&objects, &source);
    // The new fragment names what the damaged ones did: without them nothing is missing.
    let recorder = gabion_tests::RecordingBackend::new(objects.backend());
    let session = open(std::sync::Arc::new(recorder.clone())).unwrap().session().unwrap();
    assert_eq!(recorder.count(gabion_tests::Method::Get, "segments"), 0);
    assert_eq!(session.segments().0, objects.names("segments").unwrap().len());
}

#[test]
fn a_segment_that_does_not_open_without_an_index_is_lost_and_healed() {
    let (_place, source, start) = scene();
    let newest = archives(&start).0.pop().unwrap();
    for way in [Flip(0), Flip(998), Flip(999), Truncate] {
        let mut named = 0;
        for name in start.names("segments").unwrap() {
            let objects = start.fork().unwrap();
            start.names("index").unwrap().iter().for_each(|fragment| objects.remove(fragment).unwrap());
            harm(&objects, &name, way);
            let cell = format!("{way:?} of {name} without an index");
            named += usize::from(check(&objects, &newest.record, &source, LOST, &cell));
            let again = backed_up(&objects, &source);
            check(&objects, &again.record, &source, Fine, &format!("{cell}, then a backup"));
        }
        assert!(named > 0, "{way:?}: harmed nothing");
    }
}

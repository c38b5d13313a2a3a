//! The damage matrix: what becomes of each command when an object in the store is gone or is not what was written.
//! Never wrong bytes and never a panic; what is wrong is named; what could be read before a repair or a collection can be
//! read after; and what is lost and still there at the source is stored again.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use gabion_core::archive::record::ArchiveRecord;
use gabion_core::error::{Error, ErrorKind};
use gabion_core::monitor::Warning;
use gabion_core::ops::check::{About, CheckOptions, Told};
use gabion_tests::{Aspects, Notes, Objects, compare};

use crate::damage_scene::Harm::{self, Delete, Flip, Replay, Swap, SwapDoomed, Truncate};
use crate::damage_scene::Part::{self, Archive, Config, Data, Doom, Index, Key, Pending, Tree};
use crate::damage_scene::Spot::{Directory, Head, Middle, Tail};
use crate::damage_scene::{Scene, restored};
use crate::engine::{archives, back_up, backed_up, clock, collect, differences, open, options, restore};
use crate::repair::{how, mend_as, right_files};

/// What `extract` makes of the newest archive, and of the one that the next `create` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Files {
    /// All right.
    Right,
    /// Files that need the object are named, with a reason of these kinds; all others are right.
    Named(ErrorKind),
    /// The same if the list does not tell that the object is another one, by a length that is too short.
    Maybe(ErrorKind),
    /// The archive is not listed.
    Unlisted,
    /// The archive is listed as one that does not open.
    Unreadable,
    /// Fails so.
    Fails(ErrorKind),
}

/// What `check` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    /// Nothing, or nothing that is not harmless.
    Nothing,
    /// The object is named.
    Object,
    /// The object, and the chunks that are lost.
    Lost,
    /// Fails so.
    Refuses(ErrorKind),
}

/// How it is after `check --repair`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mended {
    /// There was nothing to do.
    Needless,
    /// A check finds nothing any more.
    Whole,
    /// What is lost is recorded; the next backup heals it, and then a check finds nothing any more.
    Recorded,
    /// It stays, and is named.
    Stays,
    /// Refused until it is said that no collector works; then whole.
    Asks,
    /// Fails so.
    Not(ErrorKind),
}

/// What `compact` does without a repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Collects {
    /// Its work.
    Works,
    /// Nothing: what is needed is unknown.
    Declines,
    /// Fails so.
    Cannot(ErrorKind),
}

use Collects::{Cannot, Declines, Works};
use ErrorKind::{Damaged, KeyNotFound, NotFound, PassphraseWrong};
use Files::{Fails, Maybe, Named, Right, Unlisted, Unreadable};
use Mended::{Asks, Needless, Not, Recorded, Stays, Whole};
use Says::{Lost, Nothing, Object, Refuses};

/// The harm, and what extract, create (as the extract of its archive), check, check --repair and compact make of it.
type Row = (Part, &'static [Harm], Files, Files, Says, Mended, Collects);

const BREAK: &[Harm] = &[Truncate, Flip, Swap];

#[rustfmt::skip]
const TABLE: &[Row] = &[
    // Its copy stands in.
    (Config,          &[Delete, Truncate, Flip], Right,      Right,              Object,               Whole,            Works),
    (Config,          &[Replay],         Fails(PassphraseWrong), Fails(PassphraseWrong), Refuses(PassphraseWrong), Not(PassphraseWrong), Cannot(PassphraseWrong)),
    (Key,             &[Delete, Truncate, Flip], Fails(KeyNotFound), Fails(KeyNotFound), Refuses(KeyNotFound), Not(KeyNotFound), Cannot(KeyNotFound)),
    (Key,             &[Replay],         Right,              Right,              Nothing,              Needless,         Works),
    (Data(Middle),    &[Delete],         Named(NotFound),    Right,              Lost,                 Recorded,         Works),
    // The list tells its length.
    (Data(Middle),    &[Truncate],       Named(Damaged),     Right,              Lost,                 Recorded,         Works),
    // A backup does not read data: what is spoilt and was not told by a check is taken for good.
    (Data(Middle),    &[Flip],           Named(Damaged),     Named(Damaged),     Lost,                 Recorded,         Works),
    // The bytes are there, under another name.
    (Data(Middle),    &[Swap],           Named(Damaged),     Named(Damaged),     Lost,                 Whole,            Works),
    // A repair does not look into doomed segments: it keeps a copy of the bytes, and records what is lost.
    (Data(Middle),    &[SwapDoomed],     Named(Damaged),     Maybe(Damaged),     Lost,                 Recorded,         Works),
    (Data(Head),      &[Flip],           Right,              Right,              Object,               Whole,            Works),
    (Data(Directory), &[Flip],           Right,              Right,              Object,               Whole,            Works),
    (Data(Tail),      &[Flip],           Right,              Right,              Object,               Whole,            Works),
    (Data(Middle),    &[Replay],         Right,              Right,              Nothing,              Needless,         Works),
    (Tree(Middle),    &[Delete],         Named(NotFound),    Right,              Lost,                 Recorded,         Declines),
    // A backup reads the trees of its base, and stores again what it can not read.
    (Tree(Middle),    &[Truncate, Flip], Named(Damaged),     Right,              Lost,                 Recorded,         Declines),
    (Tree(Middle),    &[Swap],           Named(Damaged),     Right,              Lost,                 Whole,            Declines),
    (Tree(Middle),    &[SwapDoomed],     Named(Damaged),     Right,              Lost,                 Recorded,         Declines),
    (Tree(Head),      &[Flip],           Right,              Right,              Object,               Whole,            Works),
    (Tree(Directory), &[Flip],           Right,              Right,              Object,               Whole,            Works),
    (Tree(Tail),      &[Flip],           Right,              Right,              Object,               Whole,            Works),
    (Tree(Middle),    &[Replay],         Right,              Right,              Nothing,              Needless,         Works),
    (Index,           &[Delete],         Right,              Right,              Nothing,              Whole,            Works),
    (Index,           BREAK,             Right,              Right,              Object,               Whole,            Works),
    // It names segments that are gone, and that nobody needs.
    (Index,           &[Replay],         Right,              Right,              Nothing,              Whole,            Works),
    (Archive,         &[Delete],         Unlisted,           Right,              Nothing,              Needless,         Works),
    (Archive,         BREAK,             Unreadable,         Right,              Object,               Stays,            Declines),
    // Its removal is on record.
    (Archive,         &[Replay],         Right,              Right,              Nothing,              Needless,         Works),
    (Pending,         &[Delete],         Right,              Right,              Nothing,              Needless,         Works),
    (Pending,         BREAK,             Right,              Right,              Object,               Whole,            Declines),
    (Pending,         &[Replay],         Right,              Right,              Nothing,              Needless,         Works),
    (Doom,            &[Delete],         Right,              Right,              Nothing,              Needless,         Works),
    // Which segments go is unknown: who writes relies on nothing.
    (Doom,            BREAK,             Right,              Fails(Damaged),     Object,               Asks,             Cannot(Damaged)),
    (Doom,            &[Replay],         Right,              Right,              Nothing,              Needless,         Works),
];

struct Cell<'a> {
    scene: &'a Scene,
    newest: &'a ArchiveRecord,
    harm: Harm,
    name: &'a str,
    objects: Objects,
    text: String,
}

#[test]
fn damage_is_named_healed_mended_or_declined() {
    let scene = Scene::new();
    let newest = archives(&scene.objects).0.pop().unwrap().record;
    assert_eq!(differences(&scene.objects, &newest, &scene.source), Vec::<String>::new());
    // All cells that are not as told are told at the end.
    let mut wrong = Vec::new();
    let mut cell = |test: &dyn Fn() -> bool, text: &str| {
        catch_unwind(AssertUnwindSafe(test)).unwrap_or_else(|panic| {
            let why = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            wrong.push(format!("{text}: {why}"));
            true
        })
    };
    for (part, harms, extract, create, check, repair, compact) in TABLE {
        for harm in *harms {
            let names = if *part == Config { vec!["config".to_owned()] } else { scene.objects_of(*part, *harm) };
            assert!(!names.is_empty(), "{harm:?} of {part:?}: no such object");
            // Not every segment holds what the newest archive needs, nor what only one segment holds.
            let mut as_told = [false; 5];
            for name in &names {
                let objects = scene.harmed(*part, *harm, name);
                let text = format!("{harm:?} of {part:?} ({name})");
                let one = Cell { scene: &scene, newest: &newest, harm: *harm, name, objects, text: text.clone() };
                as_told[0] |= cell(&|| one.extract(*extract), &text);
                as_told[1] |= cell(&|| one.create(*create), &text);
                as_told[2] |= cell(&|| one.check(*check), &text);
                as_told[3] |= cell(&|| one.repair(*repair), &text);
                as_told[4] |= cell(&|| one.compact(*compact), &text);
            }
            cell(
                &|| {
                    assert_eq!(as_told, [true; 5]);
                    true
                },
                &format!("{harm:?} of {part:?}, {} objects", names.len()),
            );
        }
    }
    assert!(wrong.is_empty(), "{} cells are not as told:\n{}", wrong.len(), wrong.join("\n"));
}

impl Cell<'_> {
    fn fork(&self) -> Objects {
        self.objects.fork().unwrap()
    }

    /// Each of these checks what must hold in any case, and returns whether it was as told: damage to what the newest
    /// archive does not need leaves it right.
    fn extract(&self, expected: Files) -> bool {
        self.files(&self.objects, self.newest, expected, "extract")
    }

    fn create(&self, expected: Files) -> bool {
        let objects = self.fork();
        let made = back_up(objects.backend(), &self.scene.source, &options(), &Notes::new());
        match (made, expected) {
            (Err(error), Fails(kind)) => is(&error, kind),
            (Err(error), _) => panic!("{}: the next backup failed: {error}", self.text),
            (Ok(_), Fails(_)) => panic!("{}: a backup was made", self.text),
            (Ok(made), expected) => self.files(&objects, &made.record, expected, "create"),
        }
    }

    fn check(&self, expected: Says) -> bool {
        let mut found = Vec::new();
        let repository = match (open(self.objects.backend()), expected) {
            (Err(error), Refuses(kind)) => return is(&error, kind),
            (opened, _) => opened.unwrap_or_else(|error| panic!("{}: check: {error}", self.text)),
        };
        let mut hear = |told: Told<'_>| {
            if let Told::Finding(finding) = told {
                found.push(finding.about);
            }
        };
        let options = CheckOptions { workers: 1, ..CheckOptions::default() };
        gabion_core::ops::check::check(&repository, &options, &clock(), &Notes::new(), &mut hear).unwrap();
        found.retain(|about| !about.is_harmless());
        let names = |about: &About| match about {
            About::Object(name) => name == self.name,
            About::MissingSegment(id) => self.name == format!("segments/{id}") || self.name.starts_with("index/"),
            About::Archive(id) => self.name == format!("archives/{id}"),
            _ => false,
        };
        let named = found.iter().any(names);
        assert_eq!(named, expected != Nothing, "{}: check found {found:?}", self.text);
        let lost = found.iter().any(|about| matches!(about, About::Chunk(_)));
        assert!(!lost || expected == Lost, "{}: check found {found:?}", self.text);
        lost == (expected == Lost)
    }

    fn repair(&self, expected: Mended) -> bool {
        let objects = self.fork();
        let mut mended = mend_as(objects.backend(), &how(), None);
        if expected == Asks {
            assert_eq!(mended.unwrap_err().kind(), Damaged, "{}: repair", self.text);
            let sure = gabion_core::ops::repair::RepairOptions { no_collector: true, ..how() };
            mended = mend_as(objects.backend(), &sure, None);
        }
        let (plan, done) = match (mended, expected) {
            (Err(error), Not(kind)) => return is(&error, kind),
            (mended, _) => mended.unwrap_or_else(|error| panic!("{}: repair: {error}", self.text)),
        };
        self.keeps(&objects, "repair");
        let (again, _) = mend_as(objects.backend(), &how(), None).unwrap();
        assert!(again.is_empty(), "{}: a second repair would {again:?}", self.text);
        let whole = done.lost == 0 && again.left.is_empty() && again.lost.is_empty();
        let (allowed, as_told) = match expected {
            Needless => (plan.is_empty(), true),
            // Nobody needs some of these objects.
            Whole => (whole, !plan.is_empty()),
            Recorded => (!plan.is_empty(), done.lost > 0),
            Stays => (!plan.left.is_empty(), true),
            Asks => (!plan.is_empty() && whole, true),
            Not(_) => (false, false),
        };
        assert!(allowed, "{}: repair planned {plan:?}, did {done:?} and left {again:?}", self.text);
        let healed = backed_up(&objects, &self.scene.source);
        let wrong = differences(&objects, &healed.record, &self.scene.source);
        assert_eq!(wrong, Vec::<String>::new(), "{}: the backup after the repair", self.text);
        if expected != Stays && archives(&objects).0.iter().any(|found| found.record == *self.newest) {
            let (rest, _) = mend_as(objects.backend(), &how(), None).unwrap();
            // A directory of the older archive that is another one now can not come back.
            let newest = archives(&objects).0.into_iter().find(|found| found.record == *self.newest).unwrap();
            assert!(
                rest.is_empty() && !rest.hurt.contains(&newest.id),
                "{}: after repair and backup {rest:?}",
                self.text
            );
            if let Err(error) = collect(objects.backend(), &Notes::new()) {
                assert!(is(&error, Damaged) && !rest.lost.is_empty(), "{}: {error}", self.text);
            }
            self.keeps(&objects, "compact after the repair");
        }
        if self.harm == SwapDoomed {
            let bytes = self.scene.objects.get(self.name).unwrap();
            let kept = objects.names("quarantine").unwrap().iter().any(|name| objects.get(name).unwrap() == bytes);
            assert!(kept, "{}: after repair and compact the bytes are nowhere", self.text);
        }
        as_told
    }

    fn compact(&self, expected: Collects) -> bool {
        let objects = self.fork();
        let done = collect(objects.backend(), &Notes::new());
        self.keeps(&objects, "compact");
        match (done, expected) {
            (Ok(_), _) => expected == Works,
            (Err(error), Declines) => is(&error, Damaged),
            (Err(error), Cannot(kind)) => is(&error, kind),
            (Err(error), Works) => panic!("{}: compact: {error}", self.text),
        }
    }

    /// What could be read can be read.
    fn keeps(&self, objects: &Objects, when: &str) {
        if open(objects.backend()).is_err() || !archives(objects).0.iter().any(|found| found.record == *self.newest) {
            return;
        }
        let before = right_files(&self.objects, self.newest, &self.scene.source);
        let after = right_files(objects, self.newest, &self.scene.source);
        assert!(after.is_superset(&before), "{}: {when} lost {:?}", self.text, before.difference(&after));
    }

    fn files(&self, objects: &Objects, record: &ArchiveRecord, expected: Files, when: &str) -> bool {
        let text = format!("{}, {when}", self.text);
        match expected {
            Fails(kind) => is(&open(objects.backend()).unwrap_err(), kind),
            Right => {
                assert_eq!(differences(objects, record, &self.scene.source), Vec::<String>::new(), "{text}");
                true
            }
            Unlisted | Unreadable => {
                let (found, unreadable) = archives(objects);
                assert!(!found.iter().any(|archive| archive.record == *record), "{text}");
                assert_eq!(unreadable > 0, expected == Unreadable, "{text}");
                true
            }
            Named(kind) => right_or_named(objects, record, &self.scene.source, kind, &text),
            Maybe(kind) => {
                right_or_named(objects, record, &self.scene.source, kind, &text);
                true
            }
        }
    }
}

fn is(error: &Error, kind: ErrorKind) -> bool {
    assert_eq!(error.kind(), kind, "{error}");
    true
}

/// What can be restored of an archive is right, and everything else is named with this reason. Returns whether
/// something was.
fn right_or_named(objects: &Objects, record: &ArchiveRecord, source: &Path, kind: ErrorKind, cell: &str) -> bool {
    let target = tempfile::tempdir().unwrap();
    let notes = restore(objects.backend(), record, target.path(), 0).unwrap();
    let warnings = notes.warnings();
    for (warning, path, told) in &warnings {
        assert!(*told == kind && *warning == Warning::Item, "{cell}: {warning:?} of {path}: {told:?}");
    }
    let named: BTreeSet<&str> = warnings.iter().map(|(_, path, _)| path.as_str()).collect();
    if !restored(target.path()).exists() {
        assert!(!named.is_empty(), "{cell}: nothing came back and nobody said so");
        return true;
    }
    let aspects = Aspects { times: false, ..Aspects::default() };
    for difference in compare(source, &restored(target.path()), &aspects).unwrap() {
        let path = format!("tree/{}", difference.split(':').next().unwrap());
        let is_named = named.iter().any(|named| path == *named || path.starts_with(&format!("{named}/")));
        assert!(is_named || named.contains("") || named.contains("tree"), "{cell}: {difference}, and nobody said so");
    }
    !named.is_empty()
}

#[test]
fn a_damaged_index_fragment_is_made_up_for_by_the_next() {
    let scene = Scene::new();
    let objects = &scene.objects;
    for name in objects.names("index").unwrap() {
        objects.put(&name, objects.get(&name).unwrap().slice(..100)).unwrap();
    }
    backed_up(objects, &scene.source);
    // The new fragment names what the damaged ones did: without them nothing is missing.
    let recorder = gabion_tests::RecordingBackend::new(objects.backend());
    let session = open(std::sync::Arc::new(recorder.clone())).unwrap().session().unwrap();
    assert_eq!(recorder.count(gabion_tests::Method::Get, "segments"), 0);
    assert!(session.holdings().segments > 0 && session.unnamed_segments().is_empty());
}

#[test]
fn a_segment_that_does_not_open_without_an_index_is_lost_and_healed() {
    let scene = Scene::new();
    let newest = archives(&scene.objects).0.pop().unwrap();
    for spot in [Head, Directory, Tail] {
        for part in [Data(spot), Tree(spot)] {
            let mut named = 0;
            for name in scene.objects_of(part, Flip) {
                let objects = scene.harmed(part, Flip, &name);
                objects.names("index").unwrap().iter().for_each(|fragment| objects.remove(fragment).unwrap());
                let text = format!("{part:?} ({name}) without an index");
                named += usize::from(right_or_named(&objects, &newest.record, &scene.source, NotFound, &text));
                let again = backed_up(&objects, &scene.source);
                assert_eq!(differences(&objects, &again.record, &scene.source), Vec::<String>::new(), "{text}");
            }
            assert!(named > 0, "{part:?}: harmed nothing");
        }
    }
}

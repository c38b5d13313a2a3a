//! What a repair mends, and that it never makes anything worse.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gabion_core::backend::Backend;
use gabion_core::error::Result;
use gabion_core::ops::check::{About, Spoilt, Told};
use gabion_core::ops::create::CreateOptions;
use gabion_core::ops::repair::{Plan, RepairOptions, Repaired, plan, repair};
use gabion_core::repository::{Repository, WriterOptions};
use gabion_tests::{Aspects, FaultyBackend, Notes, Objects, Random, WriteFault, compare};

use crate::damage_scene::Scene;
use crate::engine::{
    archives, back_up, backed_up, clock, collect, differences, new_repository, open, options, remove, restore,
};
use crate::life::Story;

/// As it is done in these tests: one thread, small segments.
pub fn how() -> RepairOptions {
    RepairOptions { writer: options().writer, ..RepairOptions::default() }
}

/// Plans and repairs.
pub fn mend(backend: Arc<dyn Backend>, other: Option<&Repository>) -> Result<(Plan, Repaired)> {
    mend_as(backend, &how(), other)
}

pub fn mend_as(
    backend: Arc<dyn Backend>,
    options: &RepairOptions,
    other: Option<&Repository>,
) -> Result<(Plan, Repaired)> {
    let repository = open(backend)?;
    let (_, plan) = plan(&repository, options, &clock(), &Notes::new(), &mut |_| {})?;
    let done = repair(&repository, &plan, options, other, &clock(), &Notes::new())?;
    Ok((plan, done))
}

/// What a check finds that is not harmless.
pub fn findings(objects: &Objects) -> Vec<About> {
    let mut found = Vec::new();
    let repository = open(objects.backend()).unwrap();
    plan(&repository, &how(), &clock(), &Notes::new(), &mut |told| {
        if let Told::Finding(finding) = told {
            found.push(finding.about);
        }
    })
    .unwrap();
    found.retain(|about| !about.is_harmless());
    found
}

/// Changes a byte at so many permille of an object.
pub fn spoil(objects: &Objects, name: &str, permille: usize) {
    let mut bytes = objects.get(name).unwrap().to_vec();
    let at = (bytes.len() - 1) * permille / 999;
    bytes[at] ^= 0x10;
    objects.put(name, bytes).unwrap();
}

/// The files of an archive that come back right, by path.
pub fn right_files(objects: &Objects, record: &gabion_core::archive::ArchiveRecord, source: &Path) -> BTreeSet<String> {
    let target = tempfile::tempdir().unwrap();
    let notes = restore(objects.backend(), record, target.path(), 0).unwrap();
    let named: BTreeSet<String> = notes.warnings().into_iter().map(|(_, path, _)| path).collect();
    let restored = target.path().join("tree");
    let mut right = BTreeSet::new();
    let mut waiting = vec![source.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                waiting.push(entry.path());
                continue;
            }
            if !entry.file_type().unwrap().is_file() {
                continue;
            }
            let path = entry.path().strip_prefix(source).unwrap().to_owned();
            let name = format!("tree/{}", path.display());
            let is_right = std::fs::read(restored.join(&path)).ok() == std::fs::read(entry.path()).ok();
            let above = |named: &String| named.is_empty() || name.starts_with(&format!("{named}/"));
            assert!(is_right || named.contains(&name) || named.iter().any(above), "{name} is wrong, nobody says so");
            if is_right {
                right.insert(name);
            }
        }
    }
    right
}

/// A repository with two archives of files of several sizes.
pub fn scene() -> (tempfile::TempDir, PathBuf, Objects) {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("tree");
    std::fs::create_dir_all(source.join("below")).unwrap();
    let mut random = Random::new(23);
    let objects = new_repository();
    for round in 0..2 {
        for number in 0..4 {
            std::fs::write(source.join(format!("file {round} {number}")), random.bytes(90_000)).unwrap();
            std::fs::write(source.join(format!("below/small {round} {number}")), random.bytes(2_000)).unwrap();
        }
        backed_up(&objects, &source);
    }
    (place, source, objects)
}

/// After a repair and a backup everything is well.
pub fn is_well(objects: &Objects, source: &Path, cell: &str) {
    let (mended, _) = mend(objects.backend(), None).unwrap_or_else(|error| panic!("{cell}: repair: {error}"));
    drop(mended);
    let again = back_up(objects.backend(), source, &options(), &Notes::new());
    let again = again.unwrap_or_else(|error| panic!("{cell}: the next backup failed: {error}"));
    assert_eq!(differences(objects, &again.record, source), Vec::<String>::new(), "{cell}");
    // what a repair that died has doomed goes with the next collection
    collect(objects.backend(), &Notes::new()).unwrap_or_else(|error| panic!("{cell}: collect: {error}"));
    mend(objects.backend(), None).unwrap_or_else(|error| panic!("{cell}: repair: {error}"));
    let (rest, _) = mend(objects.backend(), None).unwrap();
    assert!(rest.is_empty() && rest.lost.is_empty(), "{cell}: {rest:?}");
    assert_eq!(findings(objects), [], "{cell}");
}

#[test]
fn a_repair_without_need_changes_nothing() {
    let story = Story::new(3);
    remove(story.objects.backend(), &story.told[0].0).unwrap();
    for compacted in [false, true] {
        if compacted {
            collect(story.objects.backend(), &Notes::new()).unwrap();
        }
        let before = story.objects.names("").unwrap();
        let repository = open(story.objects.backend()).unwrap();
        let (checked, plan) = plan(&repository, &how(), &clock(), &Notes::new(), &mut |_| {}).unwrap();
        assert!(plan.is_empty() && checked.damages == 0, "{plan:?}");
        assert_eq!(story.objects.names("").unwrap(), before, "a plan changes nothing");
    }
}

/// What could not be read during the check and can be when it is to be mended stays as it is.
#[test]
fn a_record_that_only_seemed_to_be_damaged_stays() {
    let scene = Scene::new().objects;
    let (_place, _source, lost) = self::scene();
    let segments = lost.names("segments").unwrap();
    spoil(&lost, segments.iter().max_by_key(|name| lost.get(name).unwrap().len()).unwrap(), 500);
    mend(lost.backend(), None).unwrap();
    let how = RepairOptions { no_collector: true, ..how() };
    for (objects, prefix) in
        [(&scene, "removed"), (&scene, "pending"), (&scene, "gc/doom"), (&scene, "gc/epoch"), (&lost, "damage")]
    {
        let objects = objects.fork().unwrap();
        let name = objects.names(prefix).unwrap().swap_remove(0);
        let whole = objects.get(&name).unwrap();
        spoil(&objects, &name, 500);
        let repository = open(objects.backend()).unwrap();
        let (_, plan) = plan(&repository, &how, &clock(), &Notes::new(), &mut |_| {}).unwrap();
        objects.put(&name, whole.to_vec()).unwrap();
        let before = objects.names("").unwrap();
        let done = repair(&repository, &plan, &how, None, &clock(), &Notes::new()).unwrap();
        assert!(!plan.is_empty() && done.discarded == 0, "{name}: {plan:?}");
        assert_eq!(objects.names("").unwrap(), before, "{name}");
    }
}

#[test]
fn what_a_spoilt_segment_still_has_is_kept_and_the_next_backup_heals_the_rest() {
    let (_place, source, start) = scene();
    let newest = archives(&start).0.pop().unwrap();
    let mut lost_something = 0;
    for name in start.names("segments").unwrap() {
        for permille in [0, 40, 400, 700, 990, 999] {
            let objects = start.fork().unwrap();
            spoil(&objects, &name, permille);
            let cell = format!("{name} at {permille}");
            let before = right_files(&objects, &newest.record, &source);
            let (plan, done) = mend(objects.backend(), None).unwrap();
            assert_eq!((plan.spoilt.len(), done.replaced, done.kept), (1, 1, 0), "{cell}");
            assert!(!objects.names("segments").unwrap().contains(&name), "{cell}");
            let kept = objects.names("quarantine").unwrap();
            assert_eq!(kept.len(), 1, "{cell}: {kept:?}");
            let mut spoilt = start.get(&name).unwrap().to_vec();
            let at = (spoilt.len() - 1) * permille / 999;
            spoilt[at] ^= 0x10;
            assert_eq!(objects.get(&kept[0]).unwrap(), spoilt, "{cell}: the copy is as it was found");
            let after = right_files(&objects, &newest.record, &source);
            assert!(after.is_superset(&before), "{cell}: lost {:?}", before.difference(&after));
            lost_something += done.lost;
            assert_eq!(objects.names("damage").unwrap().len(), usize::from(done.lost > 0), "{cell}");
            // told once, and nothing more to do
            let (again, _) = mend(objects.backend(), None).unwrap();
            assert!(again.is_empty(), "{cell}: {again:?}");
            assert_eq!(findings(&objects).is_empty(), done.lost == 0, "{cell}");
            // the source is unchanged: what was lost is stored again nevertheless
            let healed = backed_up(&objects, &source);
            for record in [&healed.record, &newest.record] {
                assert_eq!(differences(&objects, record, &source), Vec::<String>::new(), "{cell}, healed");
            }
            // A directory of the older archive that is another one now can not come back.
            let (rest, _) = mend(objects.backend(), None).unwrap();
            assert!(rest.is_empty() && !rest.hurt.contains(&newest.id), "{cell}: {rest:?}");
            assert_eq!(objects.names("damage").unwrap().is_empty(), rest.lost.is_empty(), "{cell}: healed");
            assert_eq!(collect(objects.backend(), &Notes::new()).is_ok(), rest.lost.is_empty(), "{cell}");
            assert_eq!(differences(&objects, &newest.record, &source), Vec::<String>::new(), "{cell}, collected");
        }
    }
    assert!(lost_something > 4, "{lost_something}");
}

#[test]
fn what_is_missing_comes_from_another_repository() {
    let (place, source, start) = scene();
    let newest = archives(&start).0.pop().unwrap();
    // one that names chunks alike, one with keys of its own
    let alike = open(start.fork().unwrap().backend()).unwrap();
    let foreign = new_repository();
    backed_up(&foreign, &source);
    let foreign = open(foreign.backend()).unwrap();
    // without the source nothing but the other one can help
    let kept = place.path().join("kept/tree");
    std::fs::create_dir(place.path().join("kept")).unwrap();
    std::fs::rename(&source, &kept).unwrap();
    for name in start.names("segments").unwrap() {
        let tree = start.get(&name).unwrap()[4] == 2;
        for (other, helps) in [(&alike, true), (&foreign, !tree)] {
            let objects = start.fork().unwrap();
            objects.remove(&name).unwrap();
            let (plan, done) = mend(objects.backend(), Some(other)).unwrap();
            assert!(!plan.lost.is_empty());
            if helps {
                assert_eq!((done.lost, done.copied >= plan.lost.len()), (0, true), "{name}");
                assert_eq!(differences(&objects, &newest.record, &kept), Vec::<String>::new(), "{name}");
                assert_eq!(findings(&objects), [], "{name}");
            } else {
                assert!(done.lost > 0, "{name}");
            }
        }
    }
}

#[test]
fn a_doomed_segment_that_can_not_be_read_goes_when_a_repair_has_seen_it() {
    let (_place, source, objects) = scene();
    let newest = archives(&objects).0.pop().unwrap();
    remove(objects.backend(), &archives(&objects).0[0]).unwrap();
    // a small change makes every data segment waste in part
    std::fs::remove_file(source.join("file 0 0")).unwrap();
    backed_up(&objects, &source);
    remove(objects.backend(), &newest).unwrap();
    let left = archives(&objects).0.pop().unwrap();
    // a collector dies when its doom is there; then what it doomed is spoilt
    for number in 1.. {
        let fork = objects.fork().unwrap();
        let dies = FaultyBackend::new(fork.backend()).on_write(number, WriteFault::DieAfter);
        collect(Arc::new(dies), &Notes::new()).unwrap_err();
        if fork.names("gc/doom").unwrap().is_empty() {
            continue;
        }
        // the copies that were made of what is needed are lost
        let new: Vec<String> =
            fork.names("segments").unwrap().into_iter().filter(|name| objects.get(name).is_err()).collect();
        assert!(!new.is_empty());
        for name in new.iter().filter(|name| fork.get(name).unwrap()[4] == 1) {
            fork.remove(name).unwrap();
        }
        for name in objects.names("segments").unwrap().iter().filter(|name| objects.get(name).unwrap()[4] == 1) {
            spoil(&fork, name, 300);
        }
        let done = collect(fork.backend(), &Notes::new()).unwrap();
        assert!(done.stuck > 0, "{done:?}");
        assert!(!fork.names("gc/doom").unwrap().is_empty());
        let before = right_files(&fork, &left.record, &source);
        let (plan, repaired) = mend(fork.backend(), None).unwrap();
        assert!(!plan.doomed.is_empty() && repaired.lost > 0, "{plan:?}");
        let done = collect(fork.backend(), &Notes::new()).unwrap();
        assert_eq!(done.stuck, 0, "{done:?}");
        let exist = fork.names("segments").unwrap();
        assert!(plan.doomed.iter().all(|id| !exist.contains(&format!("segments/{id}"))), "{exist:?}");
        assert!(right_files(&fork, &left.record, &source).is_superset(&before));
        is_well(&fork, &source, "after the doom");
        return;
    }
}

#[test]
fn compact_does_not_forget_what_is_missing() {
    let (_place, source, objects) = scene();
    let newest = archives(&objects).0.pop().unwrap();
    let data: Vec<String> = objects.names("segments").unwrap();
    let data = data.into_iter().find(|name| objects.get(name).unwrap()[4] == 1).unwrap();
    objects.remove(&data).unwrap();
    let waste = source.join("file 1 3");
    let content = std::fs::read(&waste).unwrap();
    std::fs::remove_file(&waste).unwrap();
    backed_up(&objects.fork().unwrap(), &source);
    std::fs::write(&waste, content).unwrap();
    // an archive of its own goes, so that there is something to collect
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("other"), Random::new(4).bytes(70_000)).unwrap();
    let made = backed_up(&objects, other.path());
    let made = archives(&objects).0.into_iter().find(|archive| archive.id == made.id).unwrap();
    remove(objects.backend(), &made).unwrap();
    let done = collect(objects.backend(), &Notes::new()).unwrap();
    assert!(done.deleted > 0);
    assert_eq!(objects.names("damage").unwrap().len(), 1, "the index forgot the segment, the record did not");
    let next = backed_up(&objects, &source);
    for record in [&next.record, &newest.record] {
        assert_eq!(right_files(&objects, record, &source).len(), 16);
    }
    assert_eq!(objects.names("damage").unwrap(), Vec::<String>::new());
}

#[test]
fn lost_archives_are_found() {
    let (_place, source, start) = scene();
    let all = archives(&start).0;
    let newest = all.last().unwrap();
    let look = RepairOptions { find_lost: true, ..how() };
    let (none, _) = mend_as(start.fork().unwrap().backend(), &look, None).unwrap();
    assert!(none.is_empty(), "{none:?}");

    // its record is gone, and nobody removed it
    let objects = start.fork().unwrap();
    objects.remove(&format!("archives/{}", newest.id)).unwrap();
    let (plan, done) = mend_as(objects.backend(), &look, None).unwrap();
    assert_eq!((plan.archives.len(), done.archives), (1, 1));
    let found = archives(&objects).0.into_iter().find(|archive| archive.record.root == newest.record.root).unwrap();
    assert!(found.record.name.starts_with("lost-"), "{}", found.record.name);
    assert_eq!(differences(&objects, &found.record, &source), Vec::<String>::new());
    let (again, _) = mend_as(objects.backend(), &look, None).unwrap();
    assert!(again.is_empty(), "{again:?}");

    // removed on purpose: it is not lost
    let objects = start.fork().unwrap();
    remove(objects.backend(), newest).unwrap();
    let (plan, _) = mend_as(objects.backend(), &look, None).unwrap();
    assert!(plan.archives.is_empty(), "{:?}", plan.archives);

    // two records under each other's names
    let objects = start.fork().unwrap();
    let names = all.iter().map(|archive| format!("archives/{}", archive.id)).collect::<Vec<_>>();
    let bytes = names.iter().map(|name| objects.get(name).unwrap()).collect::<Vec<_>>();
    objects.put(&names[0], bytes[1].clone()).unwrap();
    objects.put(&names[1], bytes[0].clone()).unwrap();
    let (plan, done) = mend_as(objects.backend(), &look, None).unwrap();
    assert_eq!((plan.archives.len(), done.archives), (2, 2), "{:?}", plan.archives);
    let found: Vec<_> =
        archives(&objects).0.into_iter().map(|archive| (archive.record.name, archive.record.root)).collect();
    assert!(all.iter().all(|archive| found.contains(&(archive.record.name.clone(), archive.record.root))));

    // a client died after its pending was complete
    let objects = start.fork().unwrap();
    std::fs::write(source.join("late"), b"late").unwrap();
    let counting = FaultyBackend::new(objects.fork().unwrap().backend());
    back_up(Arc::new(counting.clone()), &source, &options(), &Notes::new()).unwrap();
    let dies = FaultyBackend::new(objects.backend()).on_write(counting.writes() - 2, WriteFault::DieBefore);
    back_up(Arc::new(dies), &source, &options(), &Notes::new()).unwrap_err();
    let (plan, done) = mend_as(objects.backend(), &look, None).unwrap();
    assert_eq!((plan.archives.len(), done.archives), (1, 1), "{:?}", plan.archives);
    assert_eq!(plan.archives[0].name, newest.record.name);
    let found = archives(&objects).0.into_iter().find(|archive| archive.record.root == plan.archives[0].root).unwrap();
    assert_eq!(differences(&objects, &found.record, &source), Vec::<String>::new());
}

#[test]
fn a_segment_with_a_bad_sector_stays_and_what_it_hurts_is_healed() {
    let (_place, source, _) = scene();
    let objects = new_repository();
    // Several frames in one segment.
    let writer = WriterOptions { segment_bytes: 1 << 20, ..options().writer };
    let newest = back_up(objects.backend(), &source, &CreateOptions { writer, ..options() }, &Notes::new()).unwrap();
    let names = objects.names("segments").unwrap();
    let name = names.iter().find(|name| objects.get(name).unwrap()[4] == 1).unwrap();
    let disk = || Arc::new(gabion_tests::BadSpots::new(objects.backend()).at(name, 20_000..20_100));
    let before = restore(disk(), &newest.record, tempfile::tempdir().unwrap().path(), 0).unwrap().warnings().len();
    let (plan, done) = mend(disk(), None).unwrap();
    // no copy of it can be kept, so it is not deleted
    assert_eq!((plan.spoilt.len(), done.replaced, done.kept), (1, 0, 1), "{plan:?}");
    assert!(done.lost > 0 && objects.get(name).is_ok());
    // nor is more recorded as lost than what lies in the sector
    let Some(Spoilt::Chunks(spoilt)) = plan.spoilt.values().next() else { panic!("{plan:?}") };
    assert_eq!((plan.lost.len(), done.lost), (spoilt.len(), spoilt.len()), "{plan:?}");
    let hurt = restore(disk(), &newest.record, tempfile::tempdir().unwrap().path(), 0).unwrap().warnings().len();
    assert!(hurt > 0 && hurt <= before, "{hurt} files are hurt, {before} were");
    let next = back_up(disk(), &source, &options(), &Notes::new()).unwrap();
    for record in [&next.record, &newest.record] {
        let target = tempfile::tempdir().unwrap();
        let notes = restore(disk(), record, target.path(), 0).unwrap();
        assert_eq!(notes.complaints(), Vec::<String>::new());
        assert_eq!(compare(&source, &target.path().join("tree"), &Aspects::default()).unwrap(), Vec::<String>::new());
    }
}

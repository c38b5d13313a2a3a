//! Collectors and mounts at the same time.

use std::fs;

use gabion_core::archive::catalog::Archive;
use gabion_fuse::{Layout, ViewOptions};
use gabion_tests::{Aspects, Random, can_mount, compare};

use crate::fixture::Place;

/// An archive of the files as they are now, and a copy of them.
fn tell(place: &Place, round: u64) -> (Archive, std::path::PathBuf) {
    fs::create_dir_all(place.path("t")).unwrap();
    for number in 0..6 {
        let content = Random::new(round * 100 + number).bytes(if number < 3 { 60_000 } else { 3_000 });
        fs::write(place.path(&format!("t/{number}")), content).unwrap();
    }
    fs::write(place.path(&format!("t/only {round}")), Random::new(round).bytes(70_000)).unwrap();
    let archive = place.back_up("t");
    let copy = place.path(&format!("copy {round}"));
    let copied = std::process::Command::new("cp").arg("-a").arg(place.path("t")).arg(&copy).status().unwrap();
    assert!(copied.success());
    (archive, copy)
}

#[test]
fn what_is_looked_at_stays_although_it_is_removed() {
    if !can_mount("what_is_looked_at_stays_although_it_is_removed") {
        return;
    }
    let place = Place::new();
    let told: Vec<_> = (0..4).map(|round| tell(&place, round)).collect();
    // The mount's clock is centuries behind the collector's, which goes by its own: it has collected here before.
    place.collect();
    let mut mount = place.mount(place.shown(), ViewOptions::default());
    assert_eq!(place.objects.names("pending").unwrap().len(), 0, "nobody has looked");
    assert_eq!(fs::read_dir(mount.path("1/t")).unwrap().count(), 8);
    assert_eq!(place.objects.names("pending").unwrap().len(), 1, "one archive is looked at");
    // Two rounds: the second moves what the first has moved.
    for removed in [0, 1, 2] {
        place.remove(&told[removed].0);
        let went = place.collect();
        assert!(removed == 1 || went > 0, "round {removed}: something was collected");
        assert_eq!(place.objects.names("pending").unwrap().len(), 1, "round {removed}: the mount lives");
    }
    let shown = mount.path("1/t");
    assert_eq!(compare(&told[1].1, &shown, &Aspects::default()).unwrap(), Vec::<String>::new());
    assert_eq!(mount.notes.complaints(), Vec::<String>::new());
    // Nobody had looked into these: they are gone, and that is told.
    let listed = fs::read_dir(mount.path("0")).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let error = listed.unwrap_err();
    assert_eq!(error.raw_os_error(), Some(116), "{error}");
    assert_eq!(compare(&told[3].1, &mount.path("3/t"), &Aspects::default()).unwrap(), Vec::<String>::new());
    mount.end();
    assert_eq!(place.objects.names("pending").unwrap(), Vec::<String>::new(), "nothing is held any more");
    let before = place.objects.names("segments").unwrap().len();
    assert!(place.collect() > 0);
    assert!(place.objects.names("segments").unwrap().len() < before);
}

#[test]
fn a_mount_follows_what_is_moved() {
    if !can_mount("a_mount_follows_what_is_moved") {
        return;
    }
    let place = Place::new();
    let told: Vec<_> = (0..3).map(|round| tell(&place, round)).collect();
    let options = ViewOptions { layout: Layout::Single, cache_bytes: 1, ..ViewOptions::default() };
    let last = place.shown().split_off(2);
    let mount = place.mount(last, options);
    // What was not read before the segments went is read after it.
    assert_eq!(fs::read_dir(mount.path("t")).unwrap().count(), 9);
    for (round, (archive, _)) in told[..2].iter().enumerate() {
        place.remove(archive);
        assert!(place.collect() > 0, "round {round}");
        let name = format!("only {round}");
        assert!(fs::read(mount.path("t").join(&name)).unwrap() == fs::read(told[2].1.join(&name)).unwrap());
    }
    assert_eq!(compare(&told[2].1, &mount.path("t"), &Aspects::default()).unwrap(), Vec::<String>::new());
}

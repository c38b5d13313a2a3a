//! Where the room goes.

use gabion_core::archive::catalog::{Archive, Catalog};
use gabion_core::error::Result;
use gabion_core::ops::analyze::{by_name, dedup_sizes, hotspots};
use gabion_core::ops::create::CreateOptions;
use gabion_tests::{Notes, Objects, Random};

use crate::engine::{back_up, new_repository, open, options, remove};

/// Archives `a`, `a` and `b`; the second one has more in `grows`, the third one shares half of its data.
fn three() -> (tempfile::TempDir, Objects, Vec<Archive>) {
    let place = tempfile::tempdir().unwrap();
    let (source, objects, mut random) = (place.path().join("tree"), new_repository(), Random::new(4));
    std::fs::create_dir_all(source.join("grows/much")).unwrap();
    let mut archives = Vec::new();
    let mut tell = |name: &str| {
        let options = CreateOptions { name: name.to_owned(), ..options() };
        let created = back_up(objects.backend(), &source, &options, &Notes::new()).unwrap();
        archives.push(Archive { id: created.id, record: created.record });
    };
    std::fs::write(source.join("base"), random.bytes(100_000)).unwrap();
    tell("a");
    std::fs::write(source.join("grows/one"), random.bytes(20_000)).unwrap();
    std::fs::write(source.join("grows/much/two"), random.bytes(60_000)).unwrap();
    tell("a");
    std::fs::write(source.join("own"), random.bytes(50_000)).unwrap();
    std::fs::remove_dir_all(source.join("grows")).unwrap();
    tell("b");
    (place, objects, archives)
}

#[test]
fn sizes_say_what_would_be_freed() -> Result<()> {
    let (_place, objects, archives) = three();
    let session = open(objects.backend())?.session()?;
    let of = |chosen: &[usize]| {
        let chosen = chosen.iter().map(|index| archives[*index].id).collect();
        dedup_sizes(&session, &archives, &chosen, &Notes::new()).unwrap()
    };
    let all = of(&[0, 1, 2]);
    assert_eq!((all.considered, all.archives, all.missing, all.unreferenced.chunks), (3, 3, 0, 0));
    assert_eq!((all.deduplicated, all.exclusive), (all.total, all.total));
    assert!((230_000..240_000).contains(&all.total.plain_bytes), "{all:?}");
    let second = of(&[1]);
    assert!((80_000..90_000).contains(&second.exclusive.plain_bytes), "{second:?}");
    assert!((180_000..190_000).contains(&second.deduplicated.plain_bytes), "{second:?}");
    let none = of(&[]);
    assert_eq!((none.deduplicated.chunks, none.exclusive.chunks, none.unreferenced.chunks), (0, 0, 0));
    // what is said to be freed is what is no more needed
    remove(objects.backend(), &archives[1])?;
    let repository = open(objects.backend())?;
    let left = Catalog::load(&repository)?.archives;
    let rest = dedup_sizes(&repository.session()?, &left, &left.iter().map(|of| of.id).collect(), &Notes::new())?;
    assert_eq!(rest.unreferenced, second.exclusive);
    Ok(())
}

#[test]
fn names_share_or_do_not() -> Result<()> {
    let (_place, objects, archives) = three();
    let names = by_name(&open(objects.backend())?.session()?, &archives, &Notes::new())?;
    let told: Vec<_> = names.series.iter().map(|series| (series.name.as_str(), series.archives)).collect();
    assert_eq!(told, [("a", 2), ("b", 1)]);
    let exclusive: Vec<u64> = names.series.iter().map(|series| series.exclusive.plain_bytes / 10_000).collect();
    assert_eq!((exclusive, names.shared.plain_bytes / 10_000), (vec![8, 5], 10));
    let sum: u64 = names.series.iter().map(|series| series.exclusive.plain_bytes).sum();
    assert_eq!(sum + names.shared.plain_bytes + names.unreferenced.plain_bytes, names.total.plain_bytes);
    assert_eq!(names.series[0].source_bytes, 280_000);
    Ok(())
}

#[test]
fn growth_is_told_where_it_was() -> Result<()> {
    let (_place, objects, archives) = three();
    let session = open(objects.backend())?.session()?;
    let found = hotspots(&session, &archives.iter().collect::<Vec<_>>(), &Notes::new())?;
    let told: Vec<_> =
        found.iter().map(|spot| (String::from_utf8_lossy(&spot.path).into_owned(), spot.bytes)).collect();
    assert_eq!(told, [("tree/grows/much".to_owned(), 60_000), ("tree/grows".to_owned(), 20_000)]);
    assert_eq!(hotspots(&session, &[&archives[1]], &Notes::new())?, [], "a first archive is no growth");
    Ok(())
}

#[test]
fn missing_chunks_are_counted_and_damage_is_told() -> Result<()> {
    let (_place, objects, archives) = three();
    for name in objects.names("segments")? {
        objects.remove(&name)?;
    }
    let session = open(objects.backend())?.session()?;
    let chosen = archives.iter().map(|of| of.id).collect();
    let sizes = dedup_sizes(&session, &archives, &chosen, &Notes::new())?;
    assert_eq!((sizes.total.chunks, sizes.missing > 0), (0, true));
    let notes = Notes::new();
    assert_eq!(hotspots(&session, &archives.iter().collect::<Vec<_>>(), &notes)?, []);
    assert_eq!(notes.complaints().len(), 3);
    Ok(())
}

//! A set of stores gets other numbers in place: whoever dies on the way, deletes, damages or does not know of it.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::TryStreamExt;
use gabion_backends::ErasureBackend;
use gabion_backends::erasure::{Purpose, Split};
use gabion_backends::scrub::{Scrub, State, Task};
use gabion_core::backend::conformance::{Options, check};
use gabion_core::backend::{Backend, ByteRange, ObjectMeta, Prefix, PutMode};
use gabion_core::error::ErrorKind;
use gabion_tests::{Objects, Random};

use crate::upgrade_scene::{
    Act, Boaster, CHANGES, Change, Client, End, Life, World, contents, expect_contents, get, in_many_orders,
    interrupted, list, named, run, runtime, upgrade, victim,
};

#[test]
fn a_set_gets_other_numbers_and_survives_what_they_promise() {
    for change in CHANGES {
        let what = format!("{change:?}");
        let world = World::new(change);
        // Without being told to, nobody changes anything.
        let refused = runtime().block_on(world.open(world.new, Purpose::Use).health()).unwrap_err();
        assert_eq!(refused.context("their split"), Some(world.old.to_string().as_str()), "{what}");
        let set = world.open(world.new, Purpose::Upgrade);
        let health = runtime().block_on(set.health()).unwrap();
        let least = format!("the loss of any {} of", world.old.spare().min(world.new.spare()));
        assert!(health.survives().starts_with(&least) && health.survives().contains("--upgrade"), "{health:?}");
        expect_contents(&world.open(world.new, Purpose::Use), &what);
        let done = upgrade(&set).unwrap();
        assert_eq!((done.upgraded, done.troubles), (contents().len(), 0), "{what}: {done:?}");
        assert!(!done.survives().contains("--upgrade"), "{what}: {}", done.survives());
        world.expect_upgraded(&what);
        // A second time there is nothing to do.
        let again = world.upgrade(&Life::long()).unwrap();
        assert_eq!((again.upgraded, again.written), (0, 0), "{what}: {again:?}");
        let old = runtime().block_on(world.open(world.old, Purpose::Use).health()).unwrap_err();
        assert_eq!(old.context("their split"), Some(world.new.to_string().as_str()), "{what}");

        let all: Vec<Objects> = world.stores.clone();
        for lost in (0_u32..1 << all.len()).filter(|lost| lost.count_ones() == u32::from(world.new.spare())) {
            let left = |(number, store): (usize, &Objects)| match lost & (1 << number) {
                0 => store.clone(),
                _ => Objects::new(),
            };
            let left =
                World { stores: all.iter().enumerate().map(left).collect(), ..World { stores: Vec::new(), ..world } };
            expect_contents(&left.open(left.new, Purpose::Use), &format!("{what} without {lost:b}"));
        }
    }
}

/// The client that upgrades dies at any of its calls, or one of them fails: everything can be read then, and the same
/// command brings it to its end.
#[test]
fn who_dies_on_the_way_leaves_everything_readable() {
    for (change, replaces) in CHANGES.into_iter().map(|change| (change, true)).chain([
        (CHANGES[0], false),
        (CHANGES[1], false),
        (CHANGES[2], false),
        (CHANGES[4], false),
    ]) {
        for end in [End::Before, End::After, End::Half, End::Failed, End::Failing] {
            if end == End::Half && replaces && change != CHANGES[1] {
                continue;
            }
            for last in 1.. {
                let what = format!("{change:?} replaces {replaces}: {end:?} {last}");
                let world = World { replaces, ..World::new(change) };
                let life = Life::new(last, end);
                let done = world.upgrade(&life);
                if life.calls() < last {
                    assert!(last > world.stores.len() * (contents().len() + 2) && done.is_ok(), "{what}: {done:?}");
                    break;
                }
                let new = world.open(world.new, Purpose::Use);
                match runtime().block_on(new.health()) {
                    Ok(_) => expect_contents(&new, &what),
                    // It has not begun.
                    Err(_) => expect_contents(&world.open(world.old, Purpose::Use), &what),
                }
                let again = world.upgrade(&Life::long()).unwrap();
                assert_eq!(again.troubles, 0, "{what}: {again:?}");
                world.expect_upgraded(&what);
            }
        }
    }
}

/// As long as not all stores know of the change nothing is written through it: others may have the set open as it was.
#[test]
fn a_change_that_has_half_begun_is_read_only() {
    let (mut begun, mut half) = (0, 0);
    for last in 1..=9 {
        let world = World::new(CHANGES[1]);
        world.upgrade(&Life::new(last, End::Before)).unwrap_err();
        let (old, new) = (world.open(world.old, Purpose::Use), world.open(world.new, Purpose::Use));
        let opened = runtime().block_on(old.health());
        // What only new stores know has not begun.
        let knows = |number: usize| world.stores[number].get("store").unwrap()[4] == 2;
        assert_eq!(opened.is_ok(), !knows(0), "{last}: {opened:?}");
        begun += usize::from(opened.is_ok());
        if runtime().block_on(new.health()).is_err() {
            expect_contents(&old, "not begun");
            continue;
        }
        half += 1;
        let put =
            runtime().block_on(new.put(&named("archives/new"), Bytes::from_static(b"new").into(), PutMode::Write));
        let delete = runtime().block_on(new.delete(&contents()[0].0));
        for refused in [put, delete] {
            let error = refused.unwrap_err();
            assert!(error.to_string().contains("not all stores know of it yet"), "{last}: {error}");
        }
        expect_contents(&new, "half");
    }
    assert!(begun > 1 && half > 3, "{begun} {half}");
}

/// A delete between any two calls of the upgrade, and the upgrade between any two calls of a delete: what was deleted
/// stays so.
#[test]
fn an_upgrade_never_brings_back_what_is_deleted() {
    let delete: Act = Arc::new(|world| {
        runtime().block_on(world.open(world.new, Purpose::Use).delete(&victim())).unwrap();
    });
    let examine = |set: &ErasureBackend| {
        runtime().block_on(set.examine(&victim(), Task::Upgrade)).unwrap();
    };
    let scrub: Act = Arc::new(move |world| examine(&world.open(world.new, Purpose::Use)));
    for change in CHANGES {
        for (replaces, is_outer) in [(true, true), (true, false), (false, true), (false, false)] {
            for turn in 1.. {
                let world = World { replaces, ..World::new(change) };
                if runtime().block_on(world.open(world.new, Purpose::Upgrade).health()).is_err() {
                    assert!(!replaces);
                    break;
                }
                let world = Arc::new(world);
                // Calls before it is open do not count: they are about the records.
                let how = (world.new, Purpose::Use);
                let met = match is_outer {
                    true => interrupted(&world, how, turn, &delete, examine),
                    false => interrupted(&world, how, turn, &scrub, |set| {
                        runtime().block_on(set.delete(&victim())).unwrap();
                    }),
                };
                if !met {
                    assert!(turn > world.stores.len());
                    break;
                }
                let left = world.stores.iter().filter(|store| store.get(victim().as_str()).is_ok()).count();
                assert_eq!(left, 0, "{change:?} replaces {replaces}, scrub outside {is_outer}, turn {turn}");
            }
        }
    }
}

/// A client that has the set open as it was puts or deletes between any two calls of the whole change, or the whole
/// change happens between any two of its calls: what it says to be done is done.
#[test]
fn who_does_not_know_of_the_change_does_no_harm() {
    let (fresh, data) = (named("archives/ef"), Bytes::from(Random::new(9).bytes(70_000)));
    let work = {
        let (fresh, data) = (fresh.clone(), data.clone());
        move |set: &ErasureBackend, puts: bool| match puts {
            true => runtime().block_on(set.put(&fresh, data.clone().into(), PutMode::Write)),
            false => runtime().block_on(set.delete(&victim())),
        }
    };
    for (change, puts, is_outer) in [CHANGES[0], CHANGES[1], CHANGES[4], CHANGES[6]]
        .into_iter()
        .flat_map(|change| [(change, true, true), (change, true, false), (change, false, true), (change, false, false)])
    {
        for turn in 1.. {
            let what = format!("{change:?} puts {puts}, upgrade outside {is_outer}, turn {turn}");
            let world = Arc::new(World::new(change));
            let said = Arc::new(Mutex::new(None));
            let old = world.open(world.old, Purpose::Use);
            runtime().block_on(old.health()).unwrap();
            let met = match is_outer {
                true => {
                    let (said, work) = (Arc::clone(&said), work.clone());
                    let act: Act = Arc::new(move |_| *said.lock().unwrap() = Some(work(&old, puts)));
                    interrupted(&world, (world.new, Purpose::Upgrade), turn, &act, |set| drop(upgrade(set).unwrap()))
                }
                false => {
                    let act: Act = Arc::new(|world| drop(world.upgrade(&Life::long()).unwrap()));
                    interrupted(&world, (world.old, Purpose::Use), turn, &act, |set| {
                        *said.lock().unwrap() = Some(work(set, puts));
                    })
                }
            };
            if !met {
                assert!(turn > world.old.stores().into());
                break;
            }
            let said = said.lock().unwrap().take().unwrap();
            world.upgrade(&Life::long()).unwrap();
            let set = world.open(world.new, Purpose::Use);
            let (fresh_there, victim_there) = (list(&set).contains(&fresh), list(&set).contains(&victim()));
            match (&said, puts) {
                (Ok(()), true) => assert!(get(&set, &fresh).unwrap() == data, "{what}"),
                (Ok(()), false) => assert!(!victim_there, "{what}"),
                // It may be done or not, as if the client had died.
                (Err(error), _) => {
                    assert_eq!(error.context("their split"), Some(world.new.to_string().as_str()), "{what}: {error}");
                    assert!(!fresh_there || get(&set, &fresh).unwrap() == data, "{what}");
                }
            }
            // What is there is whole, or can be made so.
            let done = run(&set, Task::Verify).unwrap();
            assert_eq!((done.lost, done.outdated), (0, 0), "{what}: {done:?}");
            assert!(done.leftovers + done.damaged == 0 || said.is_err(), "{what}: {done:?}");
            let kept = contents().into_iter().filter(|(name, _)| *name != victim() || victim_there);
            kept.for_each(|(name, data)| assert!(get(&set, &name).unwrap() == data, "{what}: {name}"));
        }
    }
}

/// A collector dies in the middle of a delete while the set changes: the object is whole again or gone, and goes when it
/// is deleted again.
#[test]
fn what_a_collector_left_half_deleted_does_no_harm() {
    for change in CHANGES {
        for moved in [false, true] {
            for last in 1.. {
                let what = format!("{change:?} moved {moved} {last}");
                let world = World::new(change);
                let set = world.open(world.new, Purpose::Upgrade);
                runtime().block_on(set.health()).unwrap();
                if moved {
                    runtime().block_on(set.examine(&victim(), Task::Upgrade)).unwrap();
                }
                let life = Life::new(last, End::Before);
                let collector = world.open_by(world.new, Purpose::Use, |_, inner| {
                    Arc::new(Client { inner, replaces: true, life: Arc::clone(&life), dice: None })
                });
                let deleted = runtime().block_on(collector.delete(&victim()));
                if life.calls() < last {
                    deleted.unwrap();
                    break;
                }
                deleted.unwrap_err();
                let done = world.upgrade(&Life::long()).unwrap();
                assert_eq!((done.lost, done.troubles), (0, 0), "{what}: {done:?}");
                let set = world.open(world.new, Purpose::Use);
                let (data, there) = (get(&set, &victim()), list(&set).contains(&victim()));
                match data {
                    Ok(data) => assert!(there && data == contents()[0].1, "{what}"),
                    Err(error) => assert!(!there && error.kind() == ErrorKind::NotFound, "{what}: {error}"),
                }
                let health = runtime().block_on(set.health()).unwrap();
                assert!(!health.survives().contains("--upgrade"), "{what}: {health:?}");
                runtime().block_on(set.delete(&victim())).unwrap();
                assert!(world.stores.iter().all(|store| store.get(victim().as_str()).is_err()), "{what}");
            }
        }
    }
}

/// Rot in every object, in as many stores as may be lost, and block by block in all of them: it heals on the way.
#[test]
fn damage_heals_on_the_way() {
    for change in CHANGES {
        let stores = usize::from(change.0.0 + change.0.1);
        for first in 0..stores {
            let world = World::new(change);
            for (number, (name, _)) in contents().into_iter().enumerate() {
                for lost in (0..usize::from(change.0.1)).map(|more| &world.stores[(first + number + more) % stores]) {
                    match number % 2 {
                        0 => {
                            let mut bytes = lost.get(name.as_str()).unwrap().to_vec();
                            bytes[200] ^= 1;
                            lost.put(name.as_str(), bytes).unwrap();
                        }
                        _ => lost.remove(name.as_str()).unwrap(),
                    }
                }
            }
            let done = world.upgrade(&Life::long()).unwrap();
            assert_eq!((done.repaired, done.troubles), (contents().len(), 0), "{change:?} {first}: {done:?}");
            world.expect_upgraded(&format!("{change:?} {first}"));
        }
    }
    // Of every shard another block is bad.
    let world = World::new(CHANGES[1]);
    for (number, store) in world.stores.iter().take(3).enumerate() {
        let mut bytes = store.get("segments/cd").unwrap().to_vec();
        bytes[200 + number * 8192] ^= 1;
        store.put("segments/cd", bytes).unwrap();
    }
    let done = world.upgrade(&Life::long()).unwrap();
    assert_eq!((done.repaired, done.upgraded), (1, 2), "{done:?}");
    world.expect_upgraded("block by block");
}

/// Every way in which parts of both splits may lie in the stores: what is listed is what can be read.
#[test]
fn what_is_listed_is_what_exists() {
    for change in [CHANGES[0], CHANGES[1], CHANGES[2], CHANGES[4]] {
        let (before, after) = (World::new(change), World::new(change));
        after.upgrade(&Life::long()).unwrap();
        let (old, new) = (usize::from(before.old.stores()), before.stores.len());
        let world = World::new(change);
        let set = world.open(world.new, Purpose::Upgrade);
        runtime().block_on(set.health()).unwrap();
        let name = "segments/cd";
        for pattern in 0..3_usize.pow(old as u32) * 2_usize.pow((new - old) as u32) {
            let (mut rest, mut held) = (pattern, (0, 0));
            for number in 0..new {
                let ways = if number < old { 3 } else { 2 };
                match rest % ways {
                    0 => world.stores[number].remove(name).unwrap(),
                    1 => {
                        world.stores[number].put(name, after.stores[number].get(name).unwrap()).unwrap();
                        held.1 += 1;
                    }
                    _ => {
                        world.stores[number].put(name, before.stores[number].get(name).unwrap()).unwrap();
                        held.0 += 1;
                    }
                }
                rest /= ways;
            }
            let exists = held.0 >= world.old.needed() || held.1 >= world.new.needed();
            let set = world.open(world.new, Purpose::Use);
            assert_eq!(list(&set).contains(&named(name)), exists, "{change:?} {held:?}");
            match get(&set, &named(name)) {
                Ok(data) => assert!(exists && data == contents()[2].1, "{change:?} {held:?}"),
                Err(error) => assert!(!exists && error.kind() == ErrorKind::NotFound, "{change:?} {held:?}: {error}"),
            }
            let examined = runtime().block_on(set.examine(&named(name), Task::Verify)).unwrap();
            let is_left = matches!(examined.state, State::Leftover | State::Gone);
            assert_eq!(is_left, !exists, "{change:?} {held:?}: {examined:?}");
        }
    }
}

/// A store is lost while the set changes: another one takes its place, and the change goes on.
#[test]
fn a_store_that_is_lost_on_the_way_is_replaced() {
    for lost in 0..6 {
        let mut world = World::new(CHANGES[1]);
        let _ = world.upgrade(&Life::new(10 + 2 * lost, End::After));
        world.stores[lost] = Objects::new();
        let refused = world.upgrade(&Life::long()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::StoreMissing, "{lost}: {refused}");
        let replaced = world.open(world.new, Purpose::Replace(lost));
        let done = run(&replaced, Task::Repair).unwrap();
        assert_eq!((done.lost, done.troubles), (0, 0), "{lost}: {done:?}");
        expect_contents(&world.open(world.new, Purpose::Use), "replaced");
        world.upgrade(&Life::long()).unwrap();
        world.expect_upgraded("replaced");
    }
}

#[test]
fn what_can_not_be_done_in_place_is_refused_and_changes_nothing() {
    let split = |needed, spare| Split::new(needed, spare).unwrap();
    let refused = |world: &World, new: Split, words: &[&str]| {
        let before: Vec<_> = world.stores.iter().map(|store| store.names("").unwrap()).collect();
        let error = runtime().block_on(world.open(new, Purpose::Upgrade).health()).unwrap_err();
        words.iter().for_each(|word| assert!(error.to_string().contains(word), "{new}: {word}: {error}"));
        assert_eq!(before, world.stores.iter().map(|store| store.names("").unwrap()).collect::<Vec<_>>());
    };
    let with = |change: Change, act: &dyn Fn(&mut World)| {
        let mut world = World::new(change);
        act(&mut world);
        world
    };
    let wide = ((4, 2), (6, 3));
    refused(&with(wide, &|_| {}), split(5, 2), &["too few parts", "their split: 4+2"]);
    refused(&with(wide, &|_| {}), split(2, 1), &["no store can leave", "their split: 4+2"]);
    // Where parts are not replaced in one step, one more must be spare.
    refused(&with(wide, &|world| world.replaces = false), split(6, 3), &["too few parts"]);
    let narrow = ((2, 1), (4, 2));
    let new = split(4, 2);
    let occupied = with(narrow, &|world| world.stores[4].put("archives/x", vec![1]).unwrap());
    refused(&occupied, new, &["not empty", "archives/x", "memory:4"]);
    refused(&with(narrow, &|world| world.stores[1] = Objects::new()), new, &["store 2 (", "holds nothing of this set"]);
    refused(&with(narrow, &|world| world.stores.swap(0, 1)), new, &["not in their order"]);
    refused(&with(narrow, &|world| world.stores.swap(1, 5)), new, &["not in their order"]);
    let foreign = World::new(((1, 1), (1, 2)));
    refused(&with(narrow, &|world| world.stores[5] = foreign.stores[0].clone()), new, &["belongs to a set already"]);
    let begun = World::new(narrow);
    runtime().block_on(begun.open(new, Purpose::Upgrade).health()).unwrap();
    refused(&begun, split(3, 3), &["not got this one wholly yet", "their split: 4+2"]);
    // A disk that is not mounted does not join once more.
    let unmounted = with(narrow, &|world| {
        runtime().block_on(world.open(new, Purpose::Upgrade).health()).unwrap();
        world.stores[5] = Objects::new();
    });
    refused(&unmounted, new, &["store 6 (", "holds nothing of this set"]);
    // Nor does what is no set at all become one.
    let nothing = with(narrow, &|world| world.stores = (0..6).map(|_| Objects::new()).collect());
    refused(&nothing, new, &["no store belongs to a set"]);
}

/// Readers ask one store after the other while all parts of an object move.
#[test]
fn readers_see_the_object_while_it_moves() {
    for change in CHANGES {
        for turn in 1.. {
            let world = Arc::new(World::new(change));
            runtime().block_on(world.open(world.new, Purpose::Upgrade).health()).unwrap();
            let act: Act = Arc::new(|world| drop(world.upgrade(&Life::long()).unwrap()));
            let read = |set: &ErasureBackend| {
                runtime().block_on(set.health()).unwrap();
                expect_contents(set, &format!("{change:?} {turn}"));
            };
            if !interrupted(&world, (world.new, Purpose::Use), turn, &act, read) {
                assert!(turn > 6);
                break;
            }
        }
    }
}

#[test]
fn two_upgrades_and_a_reader_agree_in_whatever_order_their_calls_come() {
    in_many_orders(async |[one, two, reader], _, (name, data), what| {
        let reads = async {
            for _ in 0..4 {
                let read = reader.get(name, ByteRange::WHOLE).await.unwrap_or_else(|error| panic!("{what}: {error}"));
                assert!(read == *data, "{what}");
                reader.head(name).await.unwrap();
                let listed: Vec<ObjectMeta> = reader.list(&Prefix::all()).try_collect().await.unwrap();
                assert_eq!(listed.len(), contents().len(), "{what}");
            }
        };
        let (one, two, ()) = tokio::join!(one.examine(name, Task::Upgrade), two.examine(name, Task::Upgrade), reads);
        // One may see that a part is missing which the other one is just putting.
        for examined in [one.unwrap(), two.unwrap()] {
            let is_well = matches!(examined.state, State::Intact | State::Upgraded | State::Repaired);
            assert!(is_well && examined.trouble.is_none(), "{what}: {examined:?}");
        }
        let whole = reader.examine(name, Task::Verify).await.unwrap();
        assert!(matches!(whole.state, State::Intact), "{what}: {whole:?}");
    });
}

#[test]
fn what_is_deleted_stays_so_in_whatever_order_calls_come() {
    in_many_orders(async |[scrub, collector, _], world, (name, _), what| {
        let (examined, deleted) = tokio::join!(scrub.examine(name, Task::Upgrade), collector.delete(name));
        examined.unwrap();
        deleted.unwrap();
        let left = world.stores.iter().filter(|store| store.get(name.as_str()).is_ok()).count();
        assert_eq!(left, 0, "{what}");
    });
}

#[test]
fn a_set_that_changes_keeps_the_contract() {
    for change in [CHANGES[1], CHANGES[5]] {
        let world = World::new(change);
        runtime().block_on(world.open(world.new, Purpose::Upgrade).health()).unwrap();
        let options = Options { names: 40, rounds: 3, ..Options::quick() };
        let report = runtime().block_on(check(world.open(world.new, Purpose::Use), options));
        assert!(report.is_clean(), "{change:?}: {report}");
        world.upgrade(&Life::long()).unwrap();
        world.expect_upgraded("after the suite");
    }
}

/// That a store can not replace shows before anything is begun that would need it.
#[test]
fn stores_that_boast_are_found_out() {
    let world = World::new(((4, 2), (6, 3)));
    let set = world
        .open_by(world.new, Purpose::Upgrade, |_, inner| Arc::new(Boaster { inner, tried: AtomicBool::default() }));
    let refused = runtime().block_on(set.health()).unwrap_err();
    assert!(refused.to_string().contains("too few parts"), "{refused}");
    expect_contents(&world.open(world.old, Purpose::Use), "as it was");
}

/// Where a part can not be added, none is taken away.
#[test]
fn new_stores_that_are_full_cost_no_part_of_what_is_there() {
    let world = World::new(((2, 1), (4, 2)));
    let parts =
        || contents().map(|(name, _)| [0, 1, 2].map(|store: usize| world.stores[store].get(name.as_str()).unwrap()));
    let before = parts();
    let set = world.open_by(world.new, Purpose::Upgrade, |number, inner| {
        // They take their records, which are to replace others at first, and nothing after that.
        let life = if number > 3 { Life::new(3, End::Failing) } else { Life::long() };
        Arc::new(Client { inner, replaces: true, life, dice: None })
    });
    let done = upgrade(&set).unwrap();
    assert_eq!((done.lost, done.troubles), (0, contents().len()), "{done:?}");
    assert!(parts() == before);
    world.upgrade(&Life::long()).unwrap();
    world.expect_upgraded("after there was room");
}

#[test]
fn two_names_of_one_new_store_are_noticed_before_anything_moves() {
    let mut world = World::new(((2, 1), (4, 2)));
    world.stores[4] = world.stores[3].clone();
    let refused = runtime().block_on(world.open(world.new, Purpose::Upgrade).health()).unwrap_err();
    assert!(refused.to_string().contains("one is named twice"), "{refused}");
    assert_eq!(world.stores[3].names("").unwrap(), ["store"]);
}

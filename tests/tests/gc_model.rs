//! An explicit-state model of the protocol between clients and collectors.
//!
//! The model knows two chunks, a node that names a datum; every archive needs both, and a collector learns of the
//! datum by reading the node. Any process may stop for ever at any step (a laptop that sleeps), any may die, a
//! collector's choice of segments is arbitrary, even wrong, archives are removed at any time and serve others as
//! base. There is no clock anywhere. Lists show one moment, or are torn (what was made or deleted while they ran is
//! missing or not), or stale (what was made or deleted less than L ago is); any put may land a second time, once;
//! fragments are merged and rewritten call by call; segments are written again in place by a scrub.
//!
//! A search visits every state that can be reached and looks for one in which an invariant of
//! `docs/architecture.md` does not hold; larger worlds are walked through at random. Each rule of the protocol can be
//! switched off: a *mutant*, which must be found out.
//!
//! What it does not know: how an object is encoded, damage but the loss of nodes, and checkpoints but the first and
//! the last pending. `simulation.rs` drives the real engine through all that.

mod client;
mod collector;
mod others;
mod search;
mod state;

use search::{Found, follow, search, walk};
use state::{Lists, Looks, Rules, Unchanged, World};

/// Every rule there is, as the engine follows it; the base archive apart.
const WHOLE: Rules = Rules {
    pending: true,
    validate_before: true,
    validate_after: true,
    existence: true,
    existence_first: false,
    empty_epoch_moved: true,
    epoch_set: true,
    withdraw_unusable: true,
    validate_again: true,
    announce_new_root: true,
    expiry: true,
    look_after_doom: true,
    heed_other_dooms: true,
    evacuate: true,
    check_copies: true,
    refuse_broken: true,
    revocable_doom: false,
    lift_of_others: false,
    names_reused: false,
    bump_before_lift: true,
    bump_after_lift: false,
    dooms_before_index: true,
    list_at_start: true,
    looks: Looks::ArchivesPendingsArchives,
    waits: (2, 2),
    base: true,
    base_reported: true,
    base_checked: true,
    base_checked_before_pending: false,
    own_pending_seen_again: true,
    unchanged: Unchanged::May,
    expiry_told: true,
    first_pending_stays: true,
    later_list: true,
    delete_only_read: true,
    put_before_delete: true,
    replace_existing_only: true,
};

/// The same, with every client for itself and for ever.
const ALONE: Rules = Rules { base: false, expiry: false, ..WHOLE };

const ONE: World = World::of(1, 1, 4, 1);
const TORN: World = World { lists: Lists::Torn, ..ONE };
const STALE: World = World { lists: Lists::Stale, ..ONE };
const MERGING: World = World { fragments: 5, merger: true, segments: 3, ..ONE };

fn assert_safe(rules: &Rules, world: World) {
    let found = search(rules, world, usize::MAX);
    assert!(matches!(found, Found::Safe(states) if states > 100_000), "{world:?}: {found:?}");
}

#[test]
fn one_client_and_one_collector_lose_nothing() {
    assert_safe(&WHOLE, World { rot: true, scrub: true, ..ONE });
    assert_safe(&WHOLE, World { duplicates: 1, deaths: false, ..ONE });
}

/// Every archive that has a base has the tree of it.
#[test]
fn archives_that_do_not_change_lose_nothing() {
    let rules = Rules { unchanged: Unchanged::Always, ..WHOLE };
    assert_safe(&rules, World { rot: true, ..ONE });
    assert_safe(&rules, World { duplicates: 1, deaths: false, ..TORN });
}

#[test]
fn torn_and_stale_lists_lose_nothing() {
    assert_safe(&WHOLE, TORN);
    assert_safe(&Rules { expiry: false, ..WHOLE }, World { deaths: false, ..STALE });
}

#[test]
fn merging_and_rewriting_fragments_hide_nothing() {
    assert_safe(&ALONE, MERGING);
}

/// Everything that may happen, at once.
#[test]
fn two_clients_and_two_collectors_lose_nothing_in_random_walks() {
    for (seed, lists) in (1..).zip([Lists::Exact, Lists::Torn, Lists::Stale]) {
        let world = World { fragments: 8, lists, duplicates: 1, merger: true, scrub: true, ..World::of(2, 2, 7, 4) };
        for rules in [&WHOLE, &ALONE] {
            assert_eq!(walk(rules, world, seed, 40_000), Found::Nothing, "{lists:?}");
        }
    }
}

/// Up to 60 million states each: minutes and gigabytes.
/// `cargo test --release -p gabion-tests --test scenarios -- --ignored larger_configurations`
#[test]
#[ignore = "takes minutes and gigabytes"]
fn larger_configurations_lose_nothing() {
    for (rules, world) in [
        (&WHOLE, World { duplicates: 1, ..ONE }),
        (&WHOLE, STALE),
        (&WHOLE, World::of(1, 1, 5, 2)),
        (&ALONE, World::of(1, 2, 4, 2)),
        (&ALONE, World { duplicates: 1, deaths: false, ..World::of(1, 2, 4, 2) }),
        (&WHOLE, World::of(2, 1, 4, 1)),
        (&WHOLE, World { lists: Lists::Torn, ..World::of(2, 1, 4, 1) }),
        (&ALONE, World { lists: Lists::Torn, segments: 4, ..MERGING }),
    ] {
        let found = search(rules, world, 60_000_000);
        println!("{world:?}: {found:?}");
        assert!(matches!(found, Found::Safe(_) | Found::Nothing), "{world:?}: {found:?}");
    }
}

/// States a search of a mutant may visit; the shortest way to a fault is found far below.
const MUTANT_STATES_MAX: usize = 4_000_000;

/// A rule that is missing, by name, and the world that shows it.
fn mutants() -> Vec<(&'static str, Rules, World)> {
    let two_collectors = World::of(1, 2, 4, 2);
    let blind = Rules { validate_before: false, validate_after: false, ..WHOLE };
    let unchanged = Rules { unchanged: Unchanged::Always, ..WHOLE };
    vec![
        ("unchanged, base never checked", Rules { base_checked: false, ..unchanged }, ONE),
        ("unchanged, base seen only before the pending", Rules { base_checked_before_pending: true, ..unchanged }, ONE),
        ("unchanged, own pending not seen again", Rules { own_pending_seen_again: false, ..unchanged }, ONE),
        (
            "unchanged, an expired pending that lands again",
            Rules { expiry_told: false, ..unchanged },
            World { duplicates: 1, ..ONE },
        ),
        ("no validation", Rules { pending: false, ..blind }, ONE),
        ("no validation, two clients", Rules { pending: false, ..blind }, World { clients: 2, ..ONE }),
        ("validation without pending", Rules { pending: false, validate_after: false, ..ALONE }, ONE),
        ("no second validation, pendings expire", Rules { validate_after: false, base: false, ..WHOLE }, ONE),
        ("archives read before the doom is durable", Rules { look_after_doom: false, ..WHOLE }, ONE),
        ("two looks, pendings first", Rules { looks: Looks::PendingsArchives, ..WHOLE }, ONE),
        ("two looks, archives first", Rules { looks: Looks::ArchivesPendings, ..WHOLE }, ONE),
        ("base seen live only before the pending", Rules { base_checked_before_pending: true, ..WHOLE }, ONE),
        ("base never checked", Rules { base_checked: false, ..WHOLE }, ONE),
        ("own pending not seen again", Rules { own_pending_seen_again: false, ..WHOLE }, ONE),
        ("the first pending is replaced", Rules { first_pending_stays: false, expiry: false, ..WHOLE }, TORN),
        ("a doom that is taken back", Rules { revocable_doom: true, ..WHOLE }, two_collectors),
        ("existence never checked", Rules { existence: false, ..WHOLE }, ONE),
        ("existence checked before dooms", Rules { existence_first: true, ..WHOLE }, ONE),
        ("dooms of others ignored", Rules { heed_other_dooms: false, ..WHOLE }, two_collectors),
        ("needed chunks not copied out", Rules { evacuate: false, ..WHOLE }, ONE),
        ("names used twice", Rules { names_reused: true, ..WHOLE }, ONE),
        (
            "a scrub that brings names back",
            Rules { replace_existing_only: false, ..WHOLE },
            World { scrub: true, ..ONE },
        ),
        ("index read before dooms", Rules { dooms_before_index: false, list_at_start: false, ..WHOLE }, ONE),
        ("existence not seen at the start", Rules { list_at_start: false, ..WHOLE }, ONE),
        (
            "epoch bumped after the doom is lifted",
            Rules { bump_before_lift: false, bump_after_lift: true, ..WHOLE },
            ONE,
        ),
        ("epoch as a value", Rules { epoch_set: false, ..ALONE }, World { duplicates: 1, ..ONE }),
        ("what went before an epoch is relied on", Rules { withdraw_unusable: false, ..WHOLE }, ONE),
        ("another root without a new pending", Rules { announce_new_root: false, ..ALONE }, World::of(1, 1, 5, 2)),
        ("a broken archive is passed over", Rules { refuse_broken: false, ..WHOLE }, World { rot: true, ..ONE }),
        ("entries dropped by an older list", Rules { later_list: false, ..ALONE }, MERGING),
        ("unread fragments deleted", Rules { delete_only_read: false, ..ALONE }, MERGING),
        ("fragments deleted before they are replaced", Rules { put_before_delete: false, ..ALONE }, MERGING),
        ("no waits", Rules { waits: (0, 0), ..ALONE }, STALE),
        ("an expired pending that lands again", Rules { expiry_told: false, ..WHOLE }, World { duplicates: 1, ..ONE }),
        ("a short wait between looks", Rules { waits: (2, 1), expiry: false, ..WHOLE }, STALE),
    ]
}

#[test]
fn every_mutant_dies() {
    let mut survivors = Vec::new();
    for (name, rules, world) in mutants() {
        match search(&rules, world, MUTANT_STATES_MAX) {
            Found::Wrong(_, steps) => assert!(steps.len() > 3, "{name}: {steps:?}"),
            found => survivors.push((name, found)),
        }
    }
    assert!(survivors.is_empty(), "{survivors:?}");
}

const LOOK: [&str; 3] = ["B1 read dooms", "B1 read index", "B1 list segments"];
const CHOOSE: [&str; 4] = ["take no base", "b1 put first pending", "look the node up", "look the datum up"];
const STORE: [&str; 2] = ["B2 put segment", "B2 put fragment"];
const DOOM: [&str; 2] = ["G3 choose segments", "G5 put doom"];
const FIND_NOTHING: [&str; 3] = ["G6 look"; 3];
const DELETE: [&str; 2] = ["G8 delete segment", "G8 all deleted"];
const BUMP: [&str; 3] = ["G9 list epoch", "G9 put epoch", "G9 delete old epochs"];
const END: [&str; 4] = ["G10 read fragments", "G10 list segments", "G10 rewrite index", "G10 lift doom"];

/// A collector that was taken for dead wakes up and deletes a segment, which a second landing of its put had brought
/// back, and which a client relies on since nobody dooms it any more.
#[test]
fn nobody_lifts_the_doom_of_another() {
    let world = World { duplicates: 1, ..World::of(1, 2, 4, 2) };
    let way = |adopt: &[&'static str]| {
        [
            &["B0 read epoch"],
            &LOOK[..],
            &CHOOSE,
            &DOOM,
            &["an archive is removed"],
            &FIND_NOTHING,
            adopt,
            &FIND_NOTHING,
            &DELETE,
            &BUMP,
            &END,
            &["a segment is put once more"],
            &STORE,
            &["B4 put pending", "B5 read dooms", "B5 read epoch, which moved", "B5 list segments"],
            &["B6 put archive", "B5 read dooms", "B5 read epoch", "b4 is my pending still there?", "B7 report"],
            &["G8 delete segment"],
        ]
        .concat()
    };
    let mutant = Rules { lift_of_others: true, ..WHOLE };
    let found = follow(&mutant, world, &way(&["G2 carry out the doom of another"]));
    assert!(matches!(found, Found::Wrong(..)), "{found:?}");
    assert_eq!(follow(&WHOLE, world, &way(&DOOM)), Found::Nothing);
}

/// Three lists of the epoch ran while one name replaced another, and show nothing: to a client that takes this for the
/// epoch it began with, nothing was deleted.
#[test]
fn an_epoch_of_which_nothing_is_seen_has_moved() {
    let world = World { lists: Lists::Torn, duplicates: 1, ..World::of(2, 2, 4, 4) };
    let way = [
        &["an archive is removed"],
        // another client leaves a segment that nobody needs
        &["B0 read epoch"][..],
        &LOOK,
        &CHOOSE,
        &["B2 put segment", "client dies"],
        // the first list
        &DOOM,
        &FIND_NOTHING,
        &DELETE,
        &BUMP,
        &["B0 read epoch"],
        &END,
        &LOOK,
        &CHOOSE,
        // one collector is about to move the epoch, the other deletes what the client relies on
        &DOOM,
        &FIND_NOTHING,
        &DELETE,
        &DOOM,
        &FIND_NOTHING,
        &DELETE,
        &BUMP,
        &END,
        // the second list
        &STORE,
        &["B4 put pending", "B5 read dooms"],
        &BUMP,
        &["B5 read epoch", "B6 put archive"],
        // the third list
        &["a segment is put once more"],
        &DOOM,
        &FIND_NOTHING,
        &["G7 read dooms", "G7 find copies", "G7 the source went"],
        &["G8 delete segment", "G8 all deleted", "B5 read dooms"],
        &BUMP,
        &["B5 read epoch", "b4 is my pending still there?", "B7 report"],
    ]
    .concat();
    let found = follow(&Rules { empty_epoch_moved: false, ..WHOLE }, world, &way);
    assert!(matches!(found, Found::Wrong(..)), "{found:?}");
    assert_eq!(follow(&WHOLE, world, &way), Found::Nothing);
}

/// A client sleeps before it puts its archive, is given up meanwhile, and dies after it: what its archive needs has gone.
/// Another one takes it for its base, and everything for unchanged.
#[test]
fn a_base_that_nobody_reported_may_lack_something() {
    let way = [
        &["B0 read epoch"],
        &LOOK[..],
        &CHOOSE,
        &["B4 put pending", "B5 read dooms", "B5 read epoch"],
        &["an archive is removed", "G10 a pending expires", "G10 a pending expires"],
        &DOOM,
        &FIND_NOTHING,
        &["G8 delete segment", "B6 put archive", "client dies"],
        &["B0 read epoch"],
        &LOOK,
        &["take a base", "b1 put first pending", "b2 is the base live?", "take everything over"],
        &["B6 put archive", "b4 is my pending still there?", "B7 report"],
    ]
    .concat();
    let found = follow(&Rules { base_reported: false, ..WHOLE }, World { clients: 2, ..ONE }, &way);
    assert!(matches!(found, Found::Wrong(..)), "{found:?}");
    assert_eq!(follow(&WHOLE, World { clients: 2, ..ONE }, &way), Found::Nothing);
}

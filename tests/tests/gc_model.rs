//! An explicit-state model of the protocol between clients and collectors.
//!
//! The model knows one chunk; every segment holds it. Any process may stop for ever at any step (a laptop that
//! sleeps), any may crash, any collector may adopt the doom of any other (whose owner becomes a zombie that still
//! deletes), a collector's choice of segments is arbitrary, even wrong, and the oldest archive may be removed at any
//! time. There is no clock anywhere. The search visits every state that can be reached, and looks for one in which an
//! archive that was reported, or the old one while it is live, has lost its chunk. Each rule of the protocol can be
//! switched off: a *mutant*, which must be found out.
//!
//! What it does not know: several chunks, trees, the merging of index fragments, lists that lag, late writes.
//! `life.rs` and `life_crash.rs` drive the real engine through some of these.

mod client;
mod collector;
mod search;
mod state;

use search::{Found, search, walk};
use state::{Looks, Rules};

/// Every rule there is, as the engine follows it; the base archive apart.
const WHOLE: Rules = Rules {
    pending: true,
    validate_before: true,
    validate_after: true,
    existence: true,
    existence_first: false,
    expiry: true,
    look_after_doom: true,
    heed_other_dooms: true,
    evacuate: true,
    revocable_doom: false,
    names_reused: false,
    bump_before_lift: true,
    bump_after_lift: false,
    dooms_before_index: true,
    list_at_start: true,
    looks: Looks::ArchivesPendingsArchives,
    base: false,
    base_checked: true,
    base_checked_before_pending: false,
    own_pending_seen_again: true,
};

/// The same, with clients that take files over from the old archive.
const WITH_BASE: Rules = Rules { base: true, ..WHOLE };

/// States a search of a mutant may visit; the shortest way to a loss is found far below.
const MUTANT_STATES_MAX: usize = 6_000_000;

#[test]
fn one_client_and_one_collector_lose_nothing() {
    assert_eq!(
        search(&WHOLE, state::Size { clients: 1, collectors: 1, segments: 4, dooms: 2 }, usize::MAX),
        Found::Safe
    );
    let size = state::Size { clients: 1, collectors: 1, segments: 4, dooms: 2 };
    assert_eq!(search(&WITH_BASE, size, usize::MAX), Found::Safe);
}

#[test]
fn two_clients_and_two_collectors_lose_nothing_in_random_walks() {
    let size = state::Size { clients: 2, collectors: 2, segments: 6, dooms: 3 };
    assert_eq!(walk(&WHOLE, size, 7, 60_000), Found::Safe);
    assert_eq!(walk(&WITH_BASE, size, 8, 60_000), Found::Safe);
}

/// The configurations of the design, exhaustively: 11 to 47 million states, minutes and gigabytes.
/// `cargo test --release -p gabion-tests --test scenarios -- --ignored gc_model`
#[test]
#[ignore = "takes minutes and 2 GB"]
fn larger_configurations_lose_nothing() {
    for size in [
        state::Size { clients: 1, collectors: 2, segments: 4, dooms: 2 },
        state::Size { clients: 2, collectors: 1, segments: 4, dooms: 2 },
    ] {
        for rules in [&WHOLE, &WITH_BASE] {
            let found = search(rules, size, 80_000_000);
            assert!(matches!(found, Found::Safe | Found::Nothing), "{size:?}: {found:?}");
        }
    }
}

/// A rule that is missing, by name, and how large the world must be to show it.
fn mutants() -> Vec<(&'static str, Rules, state::Size)> {
    let small = state::Size { clients: 1, collectors: 1, segments: 4, dooms: 2 };
    let two = state::Size { clients: 1, collectors: 2, segments: 4, dooms: 2 };
    let pair = state::Size { clients: 2, collectors: 1, segments: 4, dooms: 2 };
    let blind = Rules { validate_before: false, validate_after: false, ..WHOLE };
    vec![
        ("no validation", Rules { pending: false, ..blind }, small),
        ("validation without pending", Rules { pending: false, validate_after: false, ..WHOLE }, small),
        ("no second validation, pendings expire", Rules { validate_after: false, ..WHOLE }, small),
        ("archives read before the doom is durable", Rules { look_after_doom: false, ..WHOLE }, small),
        ("a doom that is taken back", Rules { revocable_doom: true, ..WHOLE }, two),
        ("existence never checked", Rules { existence: false, ..WHOLE }, small),
        ("existence checked before dooms", Rules { existence_first: true, ..WHOLE }, small),
        ("dooms of others ignored", Rules { heed_other_dooms: false, ..WHOLE }, two),
        ("names used twice", Rules { names_reused: true, ..WHOLE }, small),
        ("needed chunks not copied out", Rules { evacuate: false, ..WHOLE }, small),
        (
            "epoch bumped after the doom is lifted",
            Rules { bump_before_lift: false, bump_after_lift: true, ..WHOLE },
            small,
        ),
        ("index read before dooms", Rules { dooms_before_index: false, list_at_start: false, ..WHOLE }, small),
        ("two looks, pendings first, with a base", Rules { looks: Looks::PendingsArchives, ..WITH_BASE }, small),
        ("two looks, archives first, with a base", Rules { looks: Looks::ArchivesPendings, ..WITH_BASE }, small),
        ("base seen live only before the pending", Rules { base_checked_before_pending: true, ..WITH_BASE }, small),
        ("base never checked", Rules { base_checked: false, ..WITH_BASE }, small),
        ("own pending not seen again", Rules { own_pending_seen_again: false, ..WITH_BASE }, small),
    ]
    .into_iter()
    .chain([("two clients, no validation", Rules { pending: false, ..blind }, pair)])
    .collect()
}

#[test]
fn every_mutant_dies() {
    let mut survivors = Vec::new();
    for (name, rules, size) in mutants() {
        match search(&rules, size, MUTANT_STATES_MAX) {
            Found::Loss(steps) => assert!(steps.len() > 3, "{name}: {steps:?}"),
            found => survivors.push((name, found)),
        }
    }
    assert!(survivors.is_empty(), "{survivors:?}");
}

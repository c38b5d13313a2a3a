//! Everybody else: who merges fragments, who writes segments again in place, who removes archives; and writes that
//! land a second time.

use super::search::Steps;
use super::state::{Rules, Set, State, World, bit, members};

/// Who merges fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Merger {
    Idle,
    /// Is about to read these fragments.
    Read(Set),
    /// Has read what they name.
    Put(Set, Set),
    /// Deletes them one by one.
    Delete(Set, Option<Set>),
}

/// Who writes segments again in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scrub {
    Idle,
    /// Has read this segment.
    Write(u8),
}

/// Every step of all of them.
pub fn steps(rules: &Rules, world: World, state: &State, out: &mut Steps) {
    if world.merger && world.fragments > 0 {
        merge(rules, world, state, out);
    }
    if world.scrub {
        scrub(rules, state, out);
    }
    remove(state, out);
    if state.rot {
        rot(state, out);
    }
    if state.duplicates > 0 {
        land_again(rules, world, state, out);
    }
}

/// The old archive, or a reported one, is removed by its owner.
fn remove(state: &State, out: &mut Steps) {
    for archive in members(state.there.archives) {
        let reported = archive == 0 || state.reported & bit(archive - 1) != 0;
        if reported {
            let mut next = *state;
            next.there.archives &= !bit(archive);
            next.reported &= !(bit(archive) >> 1);
            out.push((next, "an archive is removed"));
        }
    }
}

/// The store loses a segment that holds nothing but the node.
fn rot(state: &State, out: &mut Steps) {
    for segment in members(state.there.segments & state.nodes & !state.data) {
        let mut next = State { rot: false, ..*state };
        next.there.segments &= !bit(segment);
        next.broken = true;
        out.push((next, "the store loses a node"));
    }
}

fn merge(rules: &Rules, world: World, state: &State, out: &mut Steps) {
    let mut push = |merger: Merger, name: &'static str, change: &dyn Fn(&mut State)| {
        let mut next = State { merger, ..*state };
        change(&mut next);
        out.push((next, name));
    };
    match state.merger {
        Merger::Idle => {
            for one in members(state.there.fragments) {
                for other in members(state.there.fragments).filter(|other| *other > one) {
                    push(Merger::Read(bit(one) | bit(other)), "merge: list fragments", &|_| {});
                }
            }
        }
        // one that vanished was merged by another: nothing is to be replaced
        Merger::Read(inputs) if inputs & !state.there.fragments != 0 => {
            push(Merger::Idle, "merge: an input vanished", &|_| {});
        }
        Merger::Read(inputs) => {
            let union = state.named_by(inputs);
            let next =
                if rules.put_before_delete { Merger::Put(inputs, union) } else { Merger::Delete(inputs, Some(union)) };
            push(next, "merge: read fragments", &|_| {});
        }
        Merger::Put(inputs, union) => {
            let mut next = State { merger: Merger::Delete(inputs, None), ..*state };
            if next.put_fragment(world, union).is_some() {
                out.push((next, "merge: put fragment"));
            }
        }
        Merger::Delete(inputs, after) => match (members(inputs).next(), after) {
            (Some(input), _) => push(Merger::Delete(inputs & !bit(input), after), "merge: delete fragment", &|next| {
                next.there.fragments &= !bit(input);
            }),
            (None, Some(union)) => push(Merger::Put(0, union), "merge: all deleted", &|_| {}),
            (None, None) => push(Merger::Idle, "merge: done", &|_| {}),
        },
    }
}

fn scrub(rules: &Rules, state: &State, out: &mut Steps) {
    match state.scrub {
        Scrub::Idle => {
            for segment in members(state.there.segments) {
                out.push((State { scrub: Scrub::Write(segment), ..*state }, "scrub: read segment"));
            }
        }
        Scrub::Write(segment) => {
            let mut next = State { scrub: Scrub::Idle, ..*state };
            let there = state.there.segments & bit(segment) != 0;
            if !there && !rules.replace_existing_only {
                next.there.segments |= bit(segment);
                next.reborn = true;
            }
            out.push((next, "scrub: write segment"));
        }
    }
}

/// A put that was carried out long ago is carried out once more. (A second delete would find nothing: no name is
/// used twice.)
fn land_again(rules: &Rules, world: World, state: &State, out: &mut Steps) {
    let below = |count: u8| (1u16 << count).wrapping_sub(1) as Set;
    let mut push = |name: &'static str, change: &dyn Fn(&mut State)| {
        let mut next = State { duplicates: state.duplicates - 1, ..*state };
        change(&mut next);
        out.push((next, name));
    };
    for segment in members(below(state.segments_made) & !state.there.segments) {
        push("a segment is put once more", &|next| next.there.segments |= bit(segment));
    }
    for doom in members(state.dooms_put & !state.there.dooms) {
        push("a doom is put once more", &|next| next.there.dooms |= bit(doom));
    }
    for pending in members(state.announced & !state.there.pendings) {
        push("a pending is put once more", &|next| next.there.pendings |= bit(pending));
    }
    for epoch in members(below(state.epochs_made) & !state.there.epochs) {
        push("an epoch is put once more", &|next| {
            next.there.epochs = bit(epoch) | if rules.epoch_set { next.there.epochs } else { 0 };
        });
    }
    if world.fragments > 0 {
        for fragment in members(below(state.fragments_made) & !state.there.fragments) {
            push("a fragment is put once more", &|next| next.there.fragments |= bit(fragment));
        }
    }
}

//! What a collector may do next.

use super::state::{Collector, Looks, Rules, Size, State, members};

type Steps = Vec<(State, &'static str)>;

/// Every step of collector `i`, and what it is called.
pub fn steps(rules: &Rules, size: Size, state: &State, i: usize, out: &mut Steps) {
    let collector = state.collectors[i];
    if !matches!(collector, Collector::Idle | Collector::Dead) {
        out.push((with(state, i, Collector::Dead), "collector crashes"));
    }
    match collector {
        Collector::Idle => idle(rules, size, state, i, out),
        Collector::Doom { number, chosen } => {
            let follow = if rules.look_after_doom {
                Collector::Look { number, chosen, adopted: false, look: 0, needed: false }
            } else {
                Collector::Delete { number, chosen }
            };
            let mut next = with(state, i, follow);
            next.dooms_there |= 1 << number;
            next.dooms[usize::from(number)] = chosen;
            out.push((next, "G5 put doom"));
        }
        Collector::Look { number, chosen, adopted, look, needed } => {
            let needed = needed || if sees_pendings(rules.looks, look) { state.pendings } else { state.archives } != 0;
            if look + 1 < looks(rules.looks) {
                let follow = Collector::Look { number, chosen, adopted, look: look + 1, needed };
                out.push((with(state, i, follow), "G6 look"));
                return;
            }
            let follow =
                if needed { Collector::ReadDooms { number, chosen } } else { Collector::Delete { number, chosen } };
            out.push((with(state, i, follow), "G6 last look"));
            if rules.revocable_doom && needed && adopted {
                out.push((lifted(state, i, number), "the doom is taken back"));
            }
        }
        Collector::ReadDooms { number, chosen } => {
            let doomed = if rules.heed_other_dooms { state.doomed() } else { chosen };
            out.push((with(state, i, Collector::FindCopy { number, chosen, doomed }), "G7 read dooms"));
        }
        Collector::FindCopy { number, chosen, doomed } => {
            let other = state.existing() & state.indexed & !doomed != 0;
            let follow = if other || !rules.evacuate || state.existing() == 0 {
                Collector::Delete { number, chosen }
            } else {
                Collector::Copy { number, chosen }
            };
            out.push((with(state, i, follow), "G7 look for another copy"));
        }
        Collector::Copy { number, chosen } => copy(size, state, i, number, chosen, out),
        Collector::IndexCopy { number, chosen, copy } => {
            let mut next = with(state, i, Collector::ReadDooms { number, chosen });
            next.indexed |= 1 << copy;
            out.push((next, "G7 put index"));
        }
        Collector::Delete { number, chosen } => delete(rules, state, i, number, chosen, out),
        Collector::Bump { number } => {
            let mut next = with(state, i, Collector::Rewrite { number });
            next.epoch += 1;
            out.push((next, "G9 bump epoch"));
        }
        Collector::Rewrite { number } => {
            let mut next = with(state, i, Collector::Lift { number });
            next.indexed &= !state.dooms[usize::from(number)];
            out.push((next, "G10 rewrite index"));
        }
        Collector::Lift { number } => {
            let mut next = lifted(state, i, number);
            if rules.bump_after_lift {
                next.collectors[i] = Collector::BumpLate;
            }
            out.push((next, "G10 lift doom"));
        }
        Collector::BumpLate => {
            let mut next = with(state, i, Collector::Idle);
            next.epoch += 1;
            out.push((next, "bump epoch too late"));
        }
        Collector::Dead => {}
    }
}

fn with(state: &State, i: usize, collector: Collector) -> State {
    let mut next = *state;
    next.collectors[i] = collector;
    next
}

fn lifted(state: &State, i: usize, number: u8) -> State {
    let mut next = with(state, i, Collector::Idle);
    next.dooms_there &= !(1 << number);
    next.dooms[usize::from(number)] = 0;
    next
}

/// G1 to G4, whose outcome is arbitrary; adoption; expiry of pendings.
fn idle(rules: &Rules, size: Size, state: &State, i: usize, out: &mut Steps) {
    if usize::from(state.dooms_made) < size.dooms {
        let free = state.existing() & !state.doomed();
        for chosen in (1..=free).filter(|chosen| chosen & !free == 0) {
            let copies = state.indexed & state.existing() & !state.doomed() & !chosen;
            if !rules.look_after_doom && (state.archives | state.pendings) != 0 && copies == 0 {
                continue;
            }
            let mut next = with(state, i, Collector::Doom { number: state.dooms_made, chosen });
            next.dooms_made += 1;
            out.push((next, "G3 choose segments"));
        }
    }
    for number in members(state.dooms_there) {
        let chosen = state.dooms[usize::from(number)];
        let follow = Collector::Look { number, chosen, adopted: true, look: 0, needed: false };
        out.push((with(state, i, follow), "G2 adopt doom"));
    }
    if rules.expiry {
        for k in members(state.pendings) {
            let mut next = *state;
            next.pendings &= !(1 << k);
            out.push((next, "G10 a pending expires"));
        }
    }
}

fn looks(looks: Looks) -> u8 {
    if looks == Looks::ArchivesPendingsArchives { 3 } else { 2 }
}

fn sees_pendings(looks: Looks, look: u8) -> bool {
    look == if looks == Looks::PendingsArchives { 0 } else { 1 }
}

fn copy(size: Size, state: &State, i: usize, number: u8, chosen: u8, out: &mut Steps) {
    if state.existing() == 0 {
        out.push((with(state, i, Collector::ReadDooms { number, chosen }), "G7 the source went"));
        return;
    }
    let copy = state.next_segment;
    if usize::from(copy) >= size.segments {
        return;
    }
    let mut next = with(state, i, Collector::IndexCopy { number, chosen, copy });
    next.next_segment += 1;
    next.created |= 1 << copy;
    out.push((next, "G7 put copy"));
}

fn delete(rules: &Rules, state: &State, i: usize, number: u8, chosen: u8, out: &mut Steps) {
    let Some(segment) = members(chosen).next() else {
        let follow = if rules.bump_before_lift { Collector::Bump { number } } else { Collector::Rewrite { number } };
        out.push((with(state, i, follow), "G8 all deleted"));
        return;
    };
    let mut next = with(state, i, Collector::Delete { number, chosen: chosen & !(1 << segment) });
    next.deleted |= 1 << segment;
    out.push((next, "G8 delete segment"));
}

//! Visits states: all of them, or some at random.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use gabion_tests::Random;

use super::state::{Rules, Size, State};
use super::{client, collector};

/// What a search found.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing is lost in any state there is.
    Safe,
    /// Nothing is lost in as many states as were asked for.
    Nothing,
    /// The shortest way to a loss.
    Loss(Vec<&'static str>),
}

type Hashes = BuildHasherDefault<DefaultHasher>;

/// Visits all states, nearest first, at most `most` of them. States are told apart by 64 bits of a hash.
pub fn search(rules: &Rules, size: Size, most: usize) -> Found {
    let hasher = Hashes::default();
    let first = State::first(size);
    let mut seen: HashSet<u64, Hashes> = HashSet::default();
    seen.insert(hasher.hash_one(first));
    let (mut level, mut steps) = (vec![first], Vec::new());
    let mut depth = 0;
    while !level.is_empty() {
        let mut next_level = Vec::new();
        depth += 1;
        for state in &level {
            successors(rules, size, state, &mut steps);
            for (next, _) in steps.drain(..) {
                if !seen.insert(hasher.hash_one(next)) {
                    continue;
                }
                if next.loss().is_some() {
                    return Found::Loss(trace(rules, size, depth));
                }
                next_level.push(next);
            }
        }
        if seen.len() > most {
            return Found::Nothing;
        }
        level = next_level;
    }
    Found::Safe
}

/// The steps to the nearest loss, which is `depth` steps away: searched again, this time with the way kept.
fn trace(rules: &Rules, size: Size, depth: usize) -> Vec<&'static str> {
    let first = State::first(size);
    let mut ways: HashMap<State, (State, &'static str)> = HashMap::new();
    let (mut level, mut steps) = (vec![first], Vec::new());
    for _ in 0..depth {
        let mut next_level = Vec::new();
        for state in &level {
            successors(rules, size, state, &mut steps);
            for (next, step) in steps.drain(..) {
                if next == first || ways.contains_key(&next) {
                    continue;
                }
                ways.insert(next, (*state, step));
                if next.loss().is_some() {
                    return way_to(&ways, next);
                }
                next_level.push(next);
            }
        }
        level = next_level;
    }
    Vec::new()
}

fn way_to(ways: &HashMap<State, (State, &'static str)>, end: State) -> Vec<&'static str> {
    let mut way = Vec::new();
    let mut state = end;
    while let Some((before, step)) = ways.get(&state) {
        way.push(*step);
        state = *before;
    }
    way.reverse();
    way
}

/// Goes `walks` random ways of up to 200 steps. A third of them knows crashes; the others get deeper.
pub fn walk(rules: &Rules, size: Size, seed: u64, walks: u32) -> Found {
    let mut random = Random::new(seed);
    let mut steps = Vec::new();
    let mut reports = 0;
    for _ in 0..walks {
        let crashes = random.below(3) == 0;
        let (mut state, mut way) = (State::first(size), Vec::new());
        for _ in 0..200 {
            successors(rules, size, &state, &mut steps);
            if !crashes {
                steps.retain(|(_, step)| !step.ends_with("crashes"));
            }
            if steps.is_empty() {
                break;
            }
            let (next, step) = steps[random.below(steps.len() as u64) as usize];
            steps.clear();
            way.push(step);
            if next.loss().is_some() {
                return Found::Loss(way);
            }
            state = next;
        }
        steps.clear();
        reports += u32::from(state.reported != 0);
    }
    assert!(reports > walks / 10, "only {reports} walks came to a report");
    Found::Safe
}

fn successors(rules: &Rules, size: Size, state: &State, out: &mut Vec<(State, &'static str)>) {
    for k in 0..size.clients {
        client::steps(rules, size, state, k, out);
    }
    for i in 0..size.collectors {
        collector::steps(rules, size, state, i, out);
    }
    if state.archives & 1 != 0 {
        let mut next = *state;
        next.archives &= !1;
        out.push((next, "the old archive is removed"));
    }
}

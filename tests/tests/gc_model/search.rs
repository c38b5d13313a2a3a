//! Visits states: all of them, or some at random.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hash, Hasher};

use gabion_tests::Random;

use super::state::{Rules, State, World};
use super::{client, collector, others};

/// Steps from one state, and what they are called.
pub type Steps = Vec<(State, &'static str)>;

/// What a search found.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing is wrong in any of the states there are, so many.
    Safe(usize),
    /// Nothing is wrong in as many states as were asked for.
    Nothing,
    /// What is wrong, and the way to it: the shortest, if it was searched for.
    Wrong(&'static str, Vec<&'static str>),
}

/// Visits all states, nearest first, at most `most` of them. States are told apart by 64 bits of a hash.
pub fn search(rules: &Rules, world: World, most: usize) -> Found {
    let first = State::first(world);
    let mut seen: HashSet<u64, BuildHasherDefault<AsItIs>> = HashSet::default();
    seen.insert(fingerprint(&first));
    let (mut level, mut steps) = (vec![first], Vec::new());
    let mut depth = 0;
    while !level.is_empty() {
        let mut next_level = Vec::new();
        depth += 1;
        for state in &level {
            successors(rules, world, state, &mut steps);
            for (next, step) in steps.drain(..) {
                if !seen.insert(fingerprint(&next)) {
                    continue;
                }
                if let Some(wrong) = wrong(&next, step) {
                    return Found::Wrong(wrong, trace(rules, world, depth));
                }
                next_level.push(next);
            }
        }
        if seen.len() > most {
            return Found::Nothing;
        }
        level = next_level;
    }
    Found::Safe(seen.len())
}

fn wrong(state: &State, step: &'static str) -> Option<&'static str> {
    state.wrong().or_else(|| step.starts_with("I3").then_some(step))
}

/// The steps to the nearest fault, which is `depth` steps away: searched again, this time with the way kept.
fn trace(rules: &Rules, world: World, depth: usize) -> Vec<&'static str> {
    let first = State::first(world);
    let mut ways: HashMap<u64, (u64, &'static str)> = HashMap::new();
    let (mut level, mut steps) = (vec![first], Vec::new());
    for _ in 0..depth {
        let mut next_level = Vec::new();
        for state in &level {
            successors(rules, world, state, &mut steps);
            for (next, step) in steps.drain(..) {
                let name = fingerprint(&next);
                if next == first || ways.contains_key(&name) {
                    continue;
                }
                ways.insert(name, (fingerprint(state), step));
                if wrong(&next, step).is_some() {
                    return way_to(&ways, name);
                }
                next_level.push(next);
            }
        }
        level = next_level;
    }
    Vec::new()
}

fn way_to(ways: &HashMap<u64, (u64, &'static str)>, end: u64) -> Vec<&'static str> {
    let mut way = Vec::new();
    let mut state = end;
    while let Some((before, step)) = ways.get(&state) {
        way.push(*step);
        state = *before;
    }
    way.reverse();
    way
}

/// Goes all ways whose steps have these names, one after the other: for what is too far away for a search.
pub fn follow(rules: &Rules, world: World, way: &[&'static str]) -> Found {
    let (mut level, mut steps) = (vec![State::first(world)], Vec::new());
    for (number, name) in way.iter().enumerate() {
        let mut seen: HashSet<u64, BuildHasherDefault<AsItIs>> = HashSet::default();
        let mut next_level = Vec::new();
        for state in &level {
            successors(rules, world, state, &mut steps);
            for (next, step) in steps.drain(..).filter(|(_, step)| step == name) {
                if let Some(wrong) = wrong(&next, step) {
                    return Found::Wrong(wrong, way[..=number].to_vec());
                }
                if seen.insert(fingerprint(&next)) {
                    next_level.push(next);
                }
            }
        }
        level = next_level;
    }
    Found::Nothing
}

/// Steps a random walk goes at most.
const WALK_STEPS: usize = 160;

/// Goes `walks` random ways. A third of them knows deaths; the others get deeper.
pub fn walk(rules: &Rules, world: World, seed: u64, walks: u32) -> Found {
    let mut random = Random::new(seed);
    let mut steps = Vec::new();
    let mut reports = 0;
    for _ in 0..walks {
        let world = World { deaths: world.deaths && random.one_in(3), ..world };
        let (mut state, mut way, mut reported) = (State::first(world), Vec::new(), false);
        for _ in 0..WALK_STEPS {
            steps.clear();
            successors(rules, world, &state, &mut steps);
            if steps.is_empty() {
                break;
            }
            let (next, step) = *random.pick(&steps);
            way.push(step);
            if let Some(wrong) = wrong(&next, step) {
                return Found::Wrong(wrong, way);
            }
            state = next;
            reported |= state.reported != 0;
        }
        reports += u32::from(reported);
    }
    assert!(reports > walks / 100, "only {reports} of {walks} walks came to a report");
    Found::Nothing
}

fn successors(rules: &Rules, world: World, state: &State, out: &mut Steps) {
    for k in 0..world.clients {
        client::steps(rules, world, state, k, out);
    }
    for i in 0..world.collectors {
        collector::steps(rules, world, state, i, out);
    }
    others::steps(rules, world, state, out);
}

fn fingerprint(state: &State) -> u64 {
    let mut hasher = Mixer(0x9e37_79b9_7f4a_7c15);
    state.hash(&mut hasher);
    hasher.finish()
}

/// Mixes eight bytes at a time: states are many, and nobody chooses them to collide.
struct Mixer(u64);

impl Mixer {
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * 0xa076_1d64_78bd_642f;
        self.0 = (product >> 64) as u64 ^ product as u64 ^ 0x2545_f491_4f6c_dd1d;
    }
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.mix(u64::from(number) | 0x100);
    }

    fn finish(&self) -> u64 {
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed ^ (mixed >> 29)
    }
}

/// Fingerprints are mixed already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0 << 8 | u64::from(*byte));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

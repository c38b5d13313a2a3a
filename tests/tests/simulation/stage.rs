//! The stage: every actor is a thread, and exactly one of them runs.
//!
//! An actor waits at each of its calls until the scheduler gives it the turn. The scheduler draws who is next from a
//! seed, and what becomes of the call: so one seed is one story, told the same way every time.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use gabion_tests::Random;

/// What an actor waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To read something.
    Read,
    /// To put or delete something.
    Write,
    /// That this time has come.
    Until(u64),
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is carried out.
    Done,
    /// It is carried out, and once more after this time.
    Twice(u64),
    /// The actor dies before it,
    DiesBefore,
    /// after it,
    DiesAfter,
    /// or before it, and it is carried out at this time all the same.
    DiesAndLands(u64),
}

/// How much goes wrong.
#[derive(Clone, Copy, Debug)]
pub struct Odds {
    /// One call in so many kills its actor; 0 for never.
    pub death: u64,
    /// One call in so many puts its actor to sleep.
    pub sleep: u64,
    /// Calls that others make while one sleeps, at most.
    pub sleep_calls: u64,
    /// One put in so many is carried out twice; 0 for never.
    pub twice: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Has the turn.
    OnStage,
    Waiting(Wish),
    Gone,
}

/// Shared by the scheduler and all actors.
pub struct Stage {
    scene: Mutex<Scene>,
    changed: Condvar,
}

struct Scene {
    places: Vec<Place>,
    fate: Fate,
    /// Calls so far; every call takes one unit of time.
    time: u64,
    awake_at: Vec<u64>,
    twice_left: u64,
}

impl Stage {
    /// With so many actors, all of whom are expected to [`enter`](Self::enter).
    pub fn new(actors: usize, writes_twice: u64) -> Self {
        let scene = Scene {
            places: vec![Place::OnStage; actors],
            fate: Fate::Done,
            time: 0,
            awake_at: vec![0; actors],
            twice_left: writes_twice,
        };
        Self { scene: Mutex::new(scene), changed: Condvar::new() }
    }

    fn scene(&self) -> MutexGuard<'_, Scene> {
        self.scene.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time.
    pub fn time(&self) -> u64 {
        self.scene().time
    }

    /// An actor waits for its turn, and hears what becomes of its call.
    pub fn turn(&self, actor: usize, wish: Wish) -> Fate {
        let mut scene = self.scene();
        scene.places[actor] = Place::Waiting(wish);
        self.changed.notify_all();
        while scene.places[actor] != Place::OnStage {
            scene = self.changed.wait(scene).unwrap_or_else(PoisonError::into_inner);
        }
        scene.fate
    }

    /// An actor is done.
    pub fn leave(&self, actor: usize) {
        self.scene().places[actor] = Place::Gone;
        self.changed.notify_all();
    }

    /// Lets everybody play to the end. `between` is called before every call, with the time, while nobody runs;
    /// with `false` it ends the play, and all calls fail from then on.
    pub fn play(&self, random: &mut Random, odds: Odds, between: &mut dyn FnMut(u64) -> bool) {
        let mut on = true;
        loop {
            let mut scene = self.scene();
            while scene.places.contains(&Place::OnStage) {
                scene = self.changed.wait(scene).unwrap_or_else(PoisonError::into_inner);
            }
            let Some((actor, wish)) = scene.next(random, odds) else { return };
            scene.time += 1;
            on = on && between(scene.time);
            scene.fate = if on { scene.fate(random, odds, wish) } else { Fate::DiesBefore };
            scene.places[actor] = Place::OnStage;
            drop(scene);
            self.changed.notify_all();
        }
    }
}

impl Scene {
    /// Who is next. If everybody sleeps or waits for a time, time passes.
    fn next(&mut self, random: &mut Random, odds: Odds) -> Option<(usize, Wish)> {
        let wishes: Vec<(usize, Wish, u64)> = (0..self.places.len())
            .filter_map(|actor| match self.places[actor] {
                Place::Waiting(Wish::Until(time)) => Some((actor, Wish::Until(time), time.max(self.awake_at[actor]))),
                Place::Waiting(wish) => Some((actor, wish, self.awake_at[actor])),
                _ => None,
            })
            .collect();
        self.time = self.time.max(wishes.iter().map(|(.., ready)| *ready).min()?);
        let ready: Vec<_> = wishes.iter().filter(|(.., ready)| *ready <= self.time).collect();
        let (actor, wish, _) = **random.pick(&ready);
        if random.one_in(odds.sleep) {
            self.awake_at[actor] = self.time + 2 + random.below(odds.sleep_calls);
        }
        Some((actor, wish))
    }

    fn fate(&mut self, random: &mut Random, odds: Odds, wish: Wish) -> Fate {
        let later = |random: &mut Random| 1 + random.below(400);
        if odds.death > 0 && random.one_in(odds.death) {
            return match random.below(3) {
                0 => Fate::DiesBefore,
                1 => Fate::DiesAfter,
                _ => Fate::DiesAndLands(self.time + later(random)),
            };
        }
        if wish == Wish::Write && odds.twice > 0 && self.twice_left > 0 && random.one_in(odds.twice) {
            self.twice_left -= 1;
            return Fate::Twice(self.time + later(random));
        }
        Fate::Done
    }
}

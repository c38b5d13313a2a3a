//! The protocol, played by the real engine: clients and collectors on one store, call by call, in an order that
//! follows from a seed; some sleep for long, some die, some of their calls land late or twice, lists are torn or stale.
//!
//! After every change of the store the invariants of `docs/architecture.md` are held against it. At the end every
//! archive that was reported and not removed is read, and two collections leave exactly what is needed.
//!
//! A seed that fails is told, and replays: `GABION_TEST_SEED=17 cargo test -p gabion-tests --release simulation`
//! prints its story. `GABION_TEST_SEEDS=100000` plays more seeds than usual, `GABION_TEST_FIRST_SEED` others.

mod actors;
mod sources;
mod stage;
mod store;
mod truth;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gabion_core::archive::catalog::Catalog;
use gabion_core::crypto::random::simulation::seed_this_thread;
use gabion_core::id::ChunkId;
use gabion_core::ops::compact::{CompactOptions, compact};
use gabion_core::ops::delete::{Remover, delete};
use gabion_core::ops::extract::extract_to_stream;
use gabion_core::pattern::Matcher;
use gabion_core::seal::Kind;
use gabion_tests::{Notes, Random};

use actors::Task;
use sources::{Beginning, Sources};
use stage::{Odds, Stage};
use store::{Face, StageClock, World};

/// Seeds of one run of the test.
const SEEDS: u64 = 2_000;

/// So many seeds may fail before the rest is not tried.
const FAILURES_MAX: usize = 8;

/// How a story ended.
struct End {
    wrong: Option<String>,
    story: Vec<String>,
    /// Archives reported, tasks that failed although nobody died, calls.
    reports: usize,
    calls: u64,
}

/// Everybody of one story leaves the stage, also by a panic.
struct Exit<'a>(&'a Stage, usize);

impl Drop for Exit<'_> {
    fn drop(&mut self) {
        self.0.leave(self.1);
    }
}

/// Plays one seed.
fn play(sources: &Sources, beginning: &Beginning, seed: u64) -> End {
    let mut random = Random::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x51);
    let actors = 2 + random.below(3) as usize;
    let odds = Odds {
        death: *random.pick(&[0, 0, 150, 400]),
        sleep: *random.pick(&[10, 40, 200]),
        sleep_calls: *random.pick(&[20, 150, 600]),
        twice: *random.pick(&[0, 30]),
    };
    let staleness = *random.pick(&[0, 0, 8, 25]);
    let stage = Arc::new(Stage::new(actors, 1));
    let world = World::new(&beginning.objects, staleness, Random::new(random.number()), beginning.truth.clone());
    let world = Arc::new(Mutex::new(world));
    std::thread::scope(|scope| {
        for actor in 0..actors {
            let collects = actor > 0 && random.one_in(2) || actor == 1;
            let who = format!("{} {actor}", if collects { "collector" } else { "client" });
            let face = Face::new(actor, who, Arc::clone(&world), Arc::clone(&stage));
            let (stage, mut random) = (Arc::clone(&stage), Random::new(random.number()));
            scope.spawn(move || {
                let _exit = Exit(&stage, actor);
                seed_this_thread(random.number());
                act(&face, sources, collects, &mut random);
            });
        }
        let world = Arc::clone(&world);
        stage.play(&mut random, odds, &mut |time| world.lock().unwrap_or_else(PoisonError::into_inner).pass(time));
    });
    seed_this_thread(seed);
    let onlooker = Face::new(0, "onlooker".to_owned(), world, Arc::clone(&stage)).quiet();
    onlooker.world().land_all();
    let calls = stage.time();
    let mut wrong = onlooker.world().truth.wrong().map(str::to_owned);
    if wrong.is_none() {
        wrong = at_rest(&onlooker, sources).err();
    }
    let mut world = onlooker.world();
    End { wrong, reports: world.truth.reports, story: std::mem::take(&mut world.story), calls }
}

/// A few tasks, one after the other. Whoever dies is followed by another one, or not.
fn act(face: &Face, sources: &Sources, collects: bool, random: &mut Random) {
    face.enter();
    for _ in 0..2 + random.below(2) {
        let task = if collects { Task::of_collector(random) } else { Task::of_client(random) };
        let done = actors::perform(face, sources, task, random);
        let died = face.buried();
        if let Err(error) = done {
            face.tell(format_args!("{}{error}", if died { "died: " } else { "failed: " }));
            if !died && !actors::is_allowed(task, &error) {
                face.world().truth.accuse(format!("{task:?} failed: {error}"));
            }
        }
        if died && random.one_in(3) {
            return;
        }
    }
}

/// Nobody works any more: what was reported can be read, and two collections leave what is needed.
fn at_rest(face: &Face, sources: &Sources) -> Result<(), String> {
    let text = |error: gabion_core::error::Error| error.to_string();
    read_everything(face, sources, "at the end")?;
    let repository = actors::open(face).map_err(text)?;
    let clock = StageClock(face.clone());
    let reported: BTreeSet<_> = face.world().truth.reported().map(|(id, _)| *id).collect();
    for archive in Catalog::load(&repository).map_err(text)?.archives {
        if !reported.contains(&archive.id) {
            delete(&repository, &[&archive], &Remover::default(), &clock).map_err(text)?;
        }
    }
    for id in repository.record_ids(Kind::Pending).map_err(text)? {
        repository.drop_pendings(&[gabion_core::id::PendingId::from_bytes(id)]).map_err(text)?;
    }
    let options = CompactOptions { threshold_percent: 0, writer: actors::writer(), ..CompactOptions::default() };
    for _ in 0..2 {
        compact(&repository, &options, &clock, &Notes::new()).map_err(text)?;
    }
    if let Some(wrong) = face.world().truth.wrong() {
        return Err(wrong.to_owned());
    }
    read_everything(face, sources, "after two collections")?;
    is_exact(face)
}

/// I7, with stat trees needed too.
fn is_exact(face: &Face) -> Result<(), String> {
    let repository = actors::open(face).map_err(|error| error.to_string())?;
    let reader = repository.session().map_err(|error| error.to_string())?.reader();
    let mut needed = BTreeSet::new();
    for archive in Catalog::load(&repository).map_err(|error| error.to_string())?.archives {
        let roots = [Some(archive.record.root.root), archive.record.stat_root.map(|stat| stat.root)];
        for root in roots.into_iter().flatten() {
            needed.extend(actors::needs(&reader, root).map_err(|error| error.to_string())?);
        }
    }
    let world = face.world();
    let stored: Vec<ChunkId> = world.truth.stored().flat_map(|(_, chunks)| chunks).copied().collect();
    let waste = stored.iter().filter(|chunk| !needed.contains(chunk)).count();
    if waste > 0 || stored.len() != needed.len() {
        let doomed = world.truth.stored().filter(|(id, _)| world.truth.is_doomed(id)).count();
        return Err(format!(
            "I7: {} chunks are needed, {} stored, {waste} of them waste; {doomed} doomed segments",
            needed.len(),
            stored.len()
        ));
    }
    Ok(())
}

fn read_everything(face: &Face, sources: &Sources, when: &str) -> Result<(), String> {
    let repository = actors::open(face).map_err(|error| error.to_string())?;
    let reader = repository.session().map_err(|error| error.to_string())?.reader();
    let live = Catalog::load(&repository).map_err(|error| error.to_string())?.archives;
    let reported: Vec<_> = face.world().truth.reported().map(|(id, tree)| (*id, tree)).collect();
    for (id, tree) in reported {
        let archive = live.iter().find(|archive| archive.id == id);
        let archive = archive.ok_or_else(|| format!("I1: archive {id} was reported and is not listed {when}"))?;
        let (mut content, notes) = (Vec::new(), Notes::new());
        extract_to_stream(&reader, &archive.record, &Matcher::default(), &mut content, &notes)
            .map_err(|error| format!("I1: archive {id} {when}: {error}"))?;
        if !notes.complaints().is_empty() || content != sources.content(tree) {
            return Err(format!("I1: archive {id} does not read back {when}: {:?}", notes.complaints()));
        }
    }
    Ok(())
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().unwrap())
}

#[test]
fn nothing_that_was_reported_is_lost() {
    let sources = Sources::new();
    let beginning = Beginning::new(&sources);
    if let Some(seed) = number("GABION_TEST_SEED") {
        let end = play(&sources, &beginning, seed);
        println!("{}", end.story.join("\n"));
        assert_eq!(end.wrong, None, "seed {seed}");
        return;
    }
    let first = number("GABION_TEST_FIRST_SEED").unwrap_or(0);
    let seeds = first..first + number("GABION_TEST_SEEDS").unwrap_or(SEEDS);
    let (next, reports, calls) = (AtomicU64::new(seeds.start), AtomicU64::new(0), AtomicU64::new(0));
    let failed: Mutex<Vec<(u64, String)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || failed.lock().unwrap().len() >= FAILURES_MAX {
                        return;
                    }
                    let end = play(&sources, &beginning, seed);
                    reports.fetch_add(end.reports as u64, Ordering::Relaxed);
                    calls.fetch_add(end.calls, Ordering::Relaxed);
                    if let Some(wrong) = end.wrong {
                        failed.lock().unwrap().push((seed, wrong));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    println!("{} seeds, {calls:?} calls, {reports:?} archives reported", seeds.end - seeds.start);
    let told: Vec<_> = failed.iter().map(|(seed, wrong)| format!("GABION_TEST_SEED={seed}: {wrong}")).collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
    assert!(reports.into_inner() > (seeds.end - seeds.start) / 2, "too little is reported: this tests nothing");
}

#[test]
fn a_seed_is_one_story() {
    let sources = Sources::new();
    let beginning = Beginning::new(&sources);
    for seed in 0..20 {
        let (once, again) = (play(&sources, &beginning, seed), play(&sources, &beginning, seed));
        assert_eq!(once.story, again.story, "seed {seed}");
        assert!(once.calls > 20, "seed {seed}: {} calls", once.calls);
    }
}

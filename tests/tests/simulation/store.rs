//! The store everybody shares, and the face of it that one actor sees.
//!
//! It keeps the contract to the letter and not beyond: what was made or deleted while a list ran, or shortly before,
//! is in the list or not; a put may land twice.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use gabion_core::backend::{
    Backend, ByteRange, Capabilities, ObjectMeta, ObjectName, Payload, Permissions, Prefix, PutMode,
};
use gabion_core::clock::{Clock, Timestamp};
use gabion_core::error::{Error, ErrorKind, Result};
use gabion_core::limits::OBJECT_BYTES_MAX;
use gabion_core::local_state::MemoryState;
use gabion_tests::Random;

use super::stage::{Fate, Stage, Wish};
use super::truth::Truth;

/// The objects, and what became of them lately.
pub struct World {
    objects: BTreeMap<ObjectName, (Bytes, u64)>,
    /// What was deleted: its length, when it was put, when it was deleted.
    deleted: BTreeMap<ObjectName, (u64, u64)>,
    /// Calls that land later.
    late: Vec<(u64, Change)>,
    /// Calls by which a list may lag.
    staleness: u64,
    random: Random,
    pub truth: Truth,
    /// What happened, for whoever wants to read a story.
    pub story: Vec<String>,
}

#[derive(Clone)]
pub enum Change {
    Put(ObjectName, Bytes),
    Delete(ObjectName),
}

impl World {
    /// A world that begins with these objects.
    pub fn new(objects: &BTreeMap<ObjectName, Bytes>, staleness: u64, random: Random, truth: Truth) -> Self {
        let objects = objects.iter().map(|(name, bytes)| (name.clone(), (bytes.clone(), 0))).collect();
        Self { objects, deleted: BTreeMap::new(), late: Vec::new(), staleness, random, truth, story: Vec::new() }
    }

    /// Carries a change out, and lets the truth judge it. `again`: it was carried out before.
    fn change(&mut self, who: &str, time: u64, change: Change, again: bool) {
        match change {
            Change::Put(name, bytes) => {
                self.story.push(format!("{time} {who}: put {name}"));
                self.truth.writer(who);
                self.truth.put(&name, &bytes, again);
                // One that is there is not made anew: lists go on showing it.
                self.objects.entry(name).or_insert((bytes, time));
            }
            Change::Delete(name) => {
                self.story.push(format!("{time} {who}: delete {name}"));
                if let Some((bytes, _)) = self.objects.remove(&name) {
                    self.truth.delete(who, &name);
                    self.deleted.insert(name, (bytes.len() as u64, time));
                }
            }
        }
    }

    /// Lets calls land whose time has come. Whether all is well so far.
    pub fn pass(&mut self, time: u64) -> bool {
        let due: Vec<Change> = self.late.extract_if(.., |(when, _)| *when <= time).map(|(_, change)| change).collect();
        for change in due {
            self.change("late", time, change, true);
        }
        self.truth.wrong().is_none()
    }

    /// Lets everything land that is still on its way.
    pub fn land_all(&mut self) {
        self.pass(u64::MAX);
    }

    /// What a list may show: what was put or deleted until the time `certain` for certain, the rest or not.
    fn list(&mut self, prefix: &Prefix, certain: u64) -> Vec<ObjectMeta> {
        let mut listed = Vec::new();
        for (name, (bytes, put)) in self.objects.iter().filter(|(name, _)| prefix.covers(name)) {
            if *put <= certain || self.random.one_in(2) {
                listed.push(ObjectMeta { name: name.clone(), bytes: bytes.len() as u64 });
            }
        }
        for (name, (bytes, deleted)) in self.deleted.iter().filter(|(name, _)| prefix.covers(name)) {
            if *deleted > certain && self.random.one_in(2) {
                listed.push(ObjectMeta { name: name.clone(), bytes: *bytes });
            }
        }
        listed
    }
}

/// The store as one actor sees it.
#[derive(Clone)]
pub struct Face {
    actor: usize,
    who: String,
    /// How many that came before it have died.
    lives: Arc<AtomicU64>,
    /// Not on stage: reads and writes at once.
    quiet: bool,
    /// What this machine remembers.
    pub memory: Arc<MemoryState>,
    world: Arc<Mutex<World>>,
    stage: Arc<Stage>,
    dead: Arc<AtomicBool>,
}

impl Face {
    pub fn new(actor: usize, who: String, world: Arc<Mutex<World>>, stage: Arc<Stage>) -> Self {
        Self {
            actor,
            who,
            lives: Arc::default(),
            quiet: false,
            memory: Arc::default(),
            world,
            stage,
            dead: Arc::default(),
        }
    }

    /// The same store for the one who looks on.
    pub fn quiet(&self) -> Self {
        Self { quiet: true, who: "onlooker".to_owned(), lives: Arc::default(), dead: Arc::default(), ..self.clone() }
    }

    fn who(&self) -> String {
        format!("{} {}", self.who, self.lives.load(Ordering::Relaxed))
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the first turn: nothing is done, nor told, before.
    pub fn enter(&self) {
        self.stage.turn(self.actor, Wish::Read);
    }

    /// Whether the actor died; if so, another one takes its place.
    pub fn buried(&self) -> bool {
        let dead = self.dead.swap(false, Ordering::Relaxed);
        self.lives.fetch_add(u64::from(dead), Ordering::Relaxed);
        dead
    }

    /// Notes something in the story.
    pub fn tell(&self, what: impl fmt::Display) {
        let time = self.stage.time();
        self.world().story.push(format!("{time} {}: {what}", self.who()));
    }

    fn read(&self) -> Result<()> {
        if self.quiet {
            return Ok(());
        }
        if self.dead.load(Ordering::Relaxed) || !matches!(self.stage.turn(self.actor, Wish::Read), Fate::Done) {
            return self.die();
        }
        Ok(())
    }

    fn die<T>(&self) -> Result<T> {
        self.dead.store(true, Ordering::Relaxed);
        Err(Error::new(ErrorKind::Connection, "call store").with("reason", "the client is dead"))
    }

    fn write(&self, change: Change) -> Result<()> {
        if self.dead.load(Ordering::Relaxed) {
            return self.die();
        }
        let fate = if self.quiet { Fate::Done } else { self.stage.turn(self.actor, Wish::Write) };
        let time = self.stage.time();
        let mut world = self.world();
        match fate {
            Fate::Done => world.change(&self.who(), time, change, false),
            Fate::DiesBefore => return self.die(),
            Fate::DiesAfter => {
                world.change(&self.who(), time, change, false);
                return self.die();
            }
            Fate::DiesAndLands(when) => {
                world.truth.owes(&change);
                world.late.push((when, change));
                return self.die();
            }
            Fate::Twice(when) => {
                world.change(&self.who(), time, change.clone(), false);
                world.late.push((when, change));
            }
        }
        Ok(())
    }

    /// What is read at every opening and never changes is not worth a turn.
    fn is_dull(name: &str) -> bool {
        ["config", "spare", "keys", "reserve"].iter().any(|dull| name.starts_with(dull))
    }
}

impl fmt::Debug for Face {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.who())
    }
}

#[async_trait]
impl Backend for Face {
    fn location(&self) -> &str {
        "simulation:"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            durable: true,
            list_staleness: Duration::from_millis(self.world().staleness),
            replace_existing: true,
            max_object_bytes: OBJECT_BYTES_MAX as u64,
            concurrency: 1,
            permissions: Permissions::All,
        }
    }

    async fn put(&self, name: &ObjectName, payload: Payload, _mode: PutMode) -> Result<()> {
        self.write(Change::Put(name.clone(), payload.into_bytes()))
    }

    async fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
        if !Self::is_dull(name.as_str()) {
            self.read()?;
        }
        let world = self.world();
        let Some((bytes, _)) = world.objects.get(name) else {
            return Err(Error::new(ErrorKind::NotFound, "get object").with("object", name));
        };
        let (offset, length) = range.within(name, bytes.len() as u64)?;
        Ok(bytes.slice(offset as usize..(offset + length) as usize))
    }

    async fn head(&self, name: &ObjectName) -> Result<ObjectMeta> {
        // The `get` that follows has a turn of its own.
        if name.as_str().starts_with("pending") {
            self.read()?;
        }
        match self.world().objects.get(name) {
            Some((bytes, _)) => Ok(ObjectMeta { name: name.clone(), bytes: bytes.len() as u64 }),
            None => Err(Error::new(ErrorKind::NotFound, "head object").with("object", name)),
        }
    }

    async fn delete(&self, name: &ObjectName) -> Result<()> {
        self.write(Change::Delete(name.clone()))
    }

    fn list(&self, prefix: &Prefix) -> BoxStream<'static, Result<ObjectMeta>> {
        if !self.quiet && !Self::is_dull(prefix.parts().unwrap_or_default()) {
            let begun = self.read().map(|()| self.stage.time());
            let torn = begun.is_ok() && self.world().random.one_in(2);
            let begun = if torn { begun.and_then(|begun| self.read().map(|()| begun)) } else { begun };
            let listed = begun.map(|begun| {
                let mut world = self.world();
                let certain = begun.saturating_sub(world.staleness);
                world.list(prefix, certain)
            });
            return match listed {
                Ok(listed) => stream::iter(listed.into_iter().map(Ok)).boxed(),
                Err(error) => stream::iter([Err(error)]).boxed(),
            };
        }
        let listed = self.world().list(prefix, u64::MAX);
        stream::iter(listed.into_iter().map(Ok)).boxed()
    }
}

/// Tells the time of the stage, a call being a millisecond, long after every file of the test.
pub struct StageClock(pub Face);

impl Clock for StageClock {
    fn now(&self) -> Timestamp {
        Timestamp::new(8_000_000_000 + i64::try_from(self.0.stage.time()).unwrap_or(i64::MAX), 0)
    }

    fn wait(&self, time: Duration) {
        if !time.is_zero() && !self.0.quiet && !self.0.dead.load(Ordering::Relaxed) {
            let until = self.0.stage.time() + u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            if self.0.stage.turn(self.0.actor, Wish::Until(until)) != Fate::Done {
                self.0.dead.store(true, Ordering::Relaxed);
            }
        }
    }
}

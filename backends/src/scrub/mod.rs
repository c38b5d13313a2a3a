//! Scrubbing: reads every object of a store, verifies it, repairs it, and says what the repository survives.
//!
//! No key is needed, so a server or a cron job without secrets can do it. A damaged object is replaced by a new copy
//! in one step, and only if it exists at that moment; the new copy is read back. Nothing is written in place, the only
//! copy of anything is never deleted, and what was deleted meanwhile does not come back.

mod plain;
mod run;
mod survival;

use std::fmt::Debug;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use gabion_core::backend::ObjectName;
use gabion_core::error::{Error, Result};

pub use plain::PlainStore;
pub use run::{Noted, Options, Scrubbed, scrub};
pub use survival::{Health, Missing, Scheme};

/// A word for a place, for what a client remembers of it: half a hash of its location, in hexadecimal digits.
pub fn place_id(location: &str) -> String {
    blake3::hash(location.as_bytes()).to_hex()[..32].to_owned()
}

/// What a scrub does with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Look at it.
    Verify,
    /// And repair it.
    Repair,
    /// And repair it, and remove what is left of an object that does not exist. A put that is under way looks just like
    /// that: this is for times when nobody writes.
    Clean,
    /// And write it again if it is protected in another way than new objects are.
    Upgrade,
}

/// A store, or several, whose objects can be examined one by one.
#[async_trait]
pub trait Scrub: Debug + Send + Sync + 'static {
    /// How objects are protected, and what is missing. Fails if too little is there to read anything.
    async fn health(&self) -> Result<Health>;

    /// The name of every object of which anything is there, in any order, each once.
    fn names(&self) -> BoxStream<'static, Result<ObjectName>>;

    /// Reads all there is of an object, and does with it what is to be done.
    ///
    /// Damage is an answer; errors are what says nothing of the object: a store that does not answer.
    async fn examine(&self, name: &ObjectName, task: Task) -> Result<Examined>;

    /// Hears that all objects were examined in a [`Task::Upgrade`], and all are protected as new ones are.
    async fn upgraded(&self) -> Result<()> {
        Ok(())
    }
}

/// What became of an object.
#[derive(Debug)]
pub enum State {
    /// Nothing is wrong with it.
    Intact,
    /// It is protected in another way than new objects are, or not at all.
    Outdated,
    /// It is protected as new objects are now.
    Upgraded,
    /// It is damaged, and can be repaired.
    Damaged,
    /// It was damaged.
    Repaired,
    /// It can not be repaired from what is there now.
    Lost(Error),
    /// Too few stores hold a part of it for it to exist: what is left of a put or a delete that was cut short, or of
    /// one that is under way.
    Leftover,
    /// Such parts were there, and are not any more.
    Removed,
    /// It was deleted meanwhile.
    Gone,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The number of the store, counted from 1, if there are several.
    pub store: Option<usize>,
    /// What it is.
    pub kind: DamageKind,
    /// How much of it.
    pub count: u64,
}

impl Damage {
    pub(crate) fn new(kind: DamageKind, count: u64) -> Self {
        Self { store: None, kind, count }
    }

    pub(crate) fn at(store: usize, kind: DamageKind, count: u64) -> Self {
        Self { store: Some(store), kind, count }
    }
}

/// Kinds of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DamageKind {
    /// Sectors that are not what was written.
    Sectors,
    /// Bytes that are missing, or too many.
    Length,
    /// The store does not have its part.
    Missing,
    /// The store has a part of another content under the name.
    Foreign,
    /// The store can not read its part, or has nothing in its place that makes sense.
    Unreadable,
    /// Blocks of a shard, or a copy, that are not what was written.
    Blocks,
    /// What stands around the data of a part is not what was written.
    Frame,
}

/// What was seen and done.
#[derive(Debug)]
pub struct Examined {
    /// What became of the object.
    pub state: State,
    /// What is, or was, wrong.
    pub damage: Vec<Damage>,
    /// Why it could not be repaired or written again, although it can be read.
    pub trouble: Option<Error>,
    /// Bytes that were read.
    pub read: u64,
    /// Bytes that were written.
    pub written: u64,
    /// How many more stores may lose their part of it, where there are several.
    pub spare: Option<usize>,
}

impl Examined {
    pub(crate) fn new(state: State) -> Self {
        Self { state, damage: Vec::new(), trouble: None, read: 0, written: 0, spare: None }
    }

    pub(crate) fn lost(self, error: Error) -> Self {
        Self { state: State::Lost(error), ..self }
    }
}

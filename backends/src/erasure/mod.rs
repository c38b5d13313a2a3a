//! Objects spread over several stores, so that some of them may be lost: a disk, a host, a provider.
//!
//! An object becomes `needed` data shards and `spare` parity shards, one in each store under the object's own name;
//! any `needed` of them give it back. Small objects are copied whole to all stores. Every part says to which object it
//! belongs, and to which content of it: its generation, a hash of the whole. Parts of different generations are never
//! put together. The bytes are described in `docs/erasure.md`.
//!
//! * An object exists if at least `needed` stores hold a part of it. What too few stores answer about is an error,
//!   never a partial truth.
//! * A put must reach one store more than are needed, or all if that is asked for.
//! * Nothing is deleted unless all stores answer: so a store that was away can not bring back what was deleted. Where
//!   as many stores may be filled anew as make an object, everything is deleted twice, so that a scrub that fills them
//!   at the same moment either sees the deletion or falls to it.
//! * A store is what its record says it is (`record.rs`). An empty folder is a store that is missing.
//! * A set may get another split while objects of the earlier one are in it (`upgrade.rs`). A client that has it open
//!   as it was finds out before it says that something was put or deleted.
//!
//! A ranged read touches the one or two stores that hold the range. It is not verified; whoever finds it to be wrong
//! reads the object whole (contract 10).

mod heal;
mod listing;
mod location;
mod members;
mod read;
mod record;
mod shard;
mod stripe;
mod upgrade;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use gabion_core::backend::{
    Backend, ByteRange, Capabilities, ObjectMeta, ObjectName, Payload, Permissions, Prefix, PutMode,
};
use gabion_core::error::{Error, ErrorKind, Result};
use gabion_core::limits::OBJECT_BYTES_MAX;
use gabion_core::repository::Named;
use tokio::sync::OnceCell;

use crate::computing;
use members::Set;
use read::Known;

pub(crate) use location::location;
pub use members::Member;
pub(crate) use shard::is_part;

/// Stores of a set at most.
const STORES_MAX: u8 = 32;

/// How many shards are needed, and how many may be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    needed: u8,
    spare: u8,
}

impl Split {
    /// `None` unless there is one of each, and 32 in all at most.
    pub fn new(needed: u8, spare: u8) -> Option<Self> {
        let fits = needed.checked_add(spare).is_some_and(|stores| stores <= STORES_MAX);
        (needed > 0 && spare > 0 && fits).then_some(Self { needed, spare })
    }

    /// Shards that give an object back.
    pub fn needed(self) -> u8 {
        self.needed
    }

    /// Shards beyond these.
    pub fn spare(self) -> u8 {
        self.spare
    }

    /// All of them.
    pub fn stores(self) -> u8 {
        self.needed + self.spare
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.needed, self.spare)
    }
}

/// The split of a set, and the one that objects may still have from before it got this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Splits {
    now: Split,
    earlier: Option<Split>,
}

impl From<Split> for Splits {
    fn from(now: Split) -> Self {
        Self { now, earlier: None }
    }
}

impl Splits {
    fn each(self) -> impl Iterator<Item = Split> {
        [Some(self.now), self.earlier].into_iter().flatten()
    }

    /// Parts that give an object of any of them back.
    fn needed(self) -> usize {
        self.each().map(|split| usize::from(split.needed)).max().unwrap_or(0)
    }
}

/// What the stores are opened for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// To make a set of empty stores.
    Create,
    /// To use a set.
    #[default]
    Use,
    /// To use a set in which an empty store takes the place of the one of this number, counted from 0.
    Replace(usize),
    /// To use a set that gets this split, if it has another one; empty stores behind those it has join it.
    Upgrade,
}

/// A set of stores.
#[derive(Debug)]
pub struct ErasureBackend {
    stores: Arc<Stores>,
    all_stores: bool,
    location: String,
    known: Known,
    healed: AtomicU64,
}

/// The stores as they were named, and the set that they turned out to be.
#[derive(Debug)]
struct Stores {
    split: Split,
    members: Vec<Member>,
    purpose: Purpose,
    set: OnceCell<Set>,
}

impl Stores {
    async fn set(&self) -> Result<&Set> {
        self.set.get_or_try_init(|| members::open(self.split, &self.members, self.purpose)).await
    }
}

impl ErasureBackend {
    /// Spreads objects over `members`, in the order in which they were when the set was made.
    ///
    /// Which of them are there is looked at on first use. Fails with `InvalidInput` if their number does not fit.
    pub fn new(split: Split, members: Vec<Member>, purpose: Purpose) -> Result<Self> {
        if members.len() != usize::from(split.stores()) {
            return Err(Error::new(ErrorKind::InvalidInput, "open stores")
                .with("reason", "the number of stores does not fit")
                .with("named", members.len())
                .with("wanted", format_args!("{} for {split}", split.stores())));
        }
        let locations: Vec<String> = members.iter().map(|member| member.location.replace(',', "%2C")).collect();
        let location = format!("erasure:{split}:{}", locations.join(","));
        let stores = Arc::new(Stores { split, members, purpose, set: OnceCell::new() });
        Ok(Self { stores, all_stores: false, location, known: Known::default(), healed: AtomicU64::new(0) })
    }

    /// Whether a put must reach all stores; otherwise one more than are needed will do.
    #[must_use]
    pub fn require_all_stores(mut self, required: bool) -> Self {
        self.all_stores = required;
        self
    }

    /// Reads of whole objects for which more than the data shards had to be read.
    pub fn healed_reads(&self) -> u64 {
        self.healed.load(Ordering::Relaxed)
    }

    async fn set(&self) -> Result<&Set> {
        self.stores.set().await
    }

    fn split(&self) -> Split {
        self.stores.split
    }

    fn puts_needed(&self) -> usize {
        let split = self.split();
        usize::from(if self.all_stores { split.stores() } else { split.needed + 1 })
    }

    /// How often everything is deleted: twice if scrubs may fill as many stores at once as make an object, and once
    /// more if they may also write over the others, one by one.
    fn deletions(&self, set: &Set) -> usize {
        match set.splits().earlier {
            Some(_) => 3,
            None if self.split().spare >= self.split().needed => 2,
            None => 1,
        }
    }
}

#[async_trait]
impl Backend for ErasureBackend {
    fn location(&self) -> &str {
        &self.location
    }

    /// What all stores can do together. Replacing in several stores is no single step, so it is not offered.
    fn capabilities(&self) -> Capabilities {
        let mut all = Capabilities {
            durable: true,
            list_staleness: Duration::ZERO,
            replace_existing: false,
            max_object_bytes: OBJECT_BYTES_MAX as u64 - 4096,
            concurrency: usize::MAX,
            permissions: Permissions::All,
        };
        let rank = |permissions: Permissions| Permissions::ALL.iter().position(|one| *one == permissions);
        for store in self.stores.members.iter().filter_map(|member| member.store.as_ref().ok()) {
            let one = store.capabilities();
            all.durable &= one.durable;
            all.list_staleness = all.list_staleness.max(one.list_staleness);
            all.max_object_bytes = all.max_object_bytes.min(one.max_object_bytes);
            all.concurrency = all.concurrency.min(one.concurrency);
            if rank(one.permissions) > rank(all.permissions) {
                all.permissions = one.permissions;
            }
        }
        all
    }

    async fn put(&self, name: &ObjectName, payload: Payload, mode: PutMode) -> Result<()> {
        let about = |error: Error| error.with("object", name);
        if mode == PutMode::ReplaceExisting {
            return Err(about(Error::new(ErrorKind::Unsupported, "replace object")));
        }
        let set = self.set().await?;
        set.refuse_half("put object").map_err(about)?;
        if record::is_record(name, set.depth()) {
            return Err(about(Error::new(ErrorKind::InvalidInput, "put object").with("reason", "a name of the set")));
        }
        let there = set.there();
        if there.len() < self.puts_needed() {
            return Err(about(set.too_few("put object")).with("needed", self.puts_needed()));
        }
        // What others put too must not be touched by who does not know the set any more.
        let is_shared = matches!(Named::of(name), Named::Config | Named::Plain);
        if is_shared {
            set.refuse_changed("put object").await.map_err(about)?;
        }
        let (object, split) = (name.clone(), self.split());
        let parts = computing("put object", move || stripe::encode(&object, split, &payload.into_bytes()));
        let parts = parts.await.map_err(about)?;
        self.known.forget(name);
        let puts = there.iter().filter_map(|(number, store)| {
            let part = parts.get(*number)?.clone();
            Some(async move { (*number, store.put(name, part, PutMode::Write).await) })
        });
        let mut failed = None;
        let mut reached = 0;
        for (number, done) in join_all(puts).await {
            match done {
                Ok(()) => reached += 1,
                Err(error) => {
                    set.slots[number].note(&error);
                    failed = Some(error);
                }
            }
        }
        match failed {
            Some(error) if reached < self.puts_needed() => return Err(error),
            _ => {}
        }
        let unchanged = set.refuse_changed("put object").await;
        if unchanged.as_ref().is_err_and(|error| error.kind() == ErrorKind::InvalidInput) && !is_shared {
            // Nobody could read it, and nobody knows of it.
            join_all(there.iter().map(|(_, store)| store.delete(name))).await;
        }
        unchanged.map_err(about)
    }

    async fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
        match range {
            ByteRange::All { limit } => {
                let whole = self.get_whole(name, limit).await;
                let bytes = match &whole {
                    Ok(data) => data.len() as u64,
                    // Where parts are too long to be read the headers tell whether the object is.
                    Err(error) if error.kind() == ErrorKind::Damaged => self.look(name).await.unwrap_or(0),
                    Err(_) => 0,
                };
                range.within(name, bytes).and(whole)
            }
            ByteRange::Exact { offset, length } => self.get_range(name, offset, length).await,
        }
    }

    async fn head(&self, name: &ObjectName) -> Result<ObjectMeta> {
        let bytes = self.look(name).await?;
        Ok(ObjectMeta { name: name.clone(), bytes })
    }

    async fn delete(&self, name: &ObjectName) -> Result<()> {
        let set = self.set().await?;
        set.refuse_half("delete object").map_err(|error| error.with("object", name))?;
        let there = set.there();
        if there.len() < set.slots.len() {
            return Err(set.too_few("delete object").with("object", name));
        }
        self.known.forget(name);
        for _ in 0..self.deletions(set) {
            let deletes = there.iter().map(|(number, store)| async { (*number, store.delete(name).await) });
            let mut failed = None;
            for (number, done) in join_all(deletes).await {
                if let Err(error) = done {
                    set.slots[number].note(&error);
                    failed = Some(error);
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
        }
        set.refuse_changed("delete object").await.map_err(|error| error.with("object", name))
    }

    fn list(&self, prefix: &Prefix) -> BoxStream<'static, Result<ObjectMeta>> {
        let (stores, prefix) = (Arc::clone(&self.stores), prefix.clone());
        let listed = async move {
            let objects = listing::objects(stores.set().await?, &prefix).await?;
            Ok::<_, Error>(stream::iter(objects.into_iter().map(Ok)))
        };
        stream::once(listed).try_flatten().boxed()
    }
}

#[cfg(test)]
mod tests;

//! Which of the stores that were named are there, and are what they should be.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use futures_util::stream::TryStreamExt;
use gabion_core::backend::{Backend, ByteRange, ObjectName, Payload, Prefix, PutMode};
use gabion_core::error::{Error, ErrorKind, Result};

use super::record::{self, Record};
use super::{Purpose, Split, Splits, upgrade};
use crate::scrub::{Missing, Scrub};

/// A store as it was named: opened, or why it could not be.
#[derive(Debug)]
pub struct Member {
    /// Where it is, for people.
    pub location: String,
    /// The store.
    pub store: Result<Arc<dyn Backend>>,
    /// How its own objects are examined, if it has redundancy of its own.
    pub own: Option<Arc<dyn Scrub>>,
    /// How many sets deep it is: 0 unless it is a set of stores itself.
    pub depth: u8,
}

/// A store of an open set.
#[derive(Debug)]
pub(super) struct Slot {
    pub location: String,
    store: Option<Arc<dyn Backend>>,
    pub own: Option<Arc<dyn Scrub>>,
    pub depth: u8,
    gone: AtomicBool,
    reason: Mutex<String>,
}

impl Slot {
    /// The store, if it is there.
    pub fn store(&self) -> Option<&Arc<dyn Backend>> {
        self.store.as_ref().filter(|_| !self.gone.load(Ordering::Relaxed))
    }

    /// Takes notice of an error. A store that can not be reached is not asked again: whoever repeats calls has done so
    /// below.
    pub fn note(&self, error: &Error) {
        if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Damaged | ErrorKind::LimitExceeded) {
            return;
        }
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = error.to_string();
        if matches!(error.kind(), ErrorKind::Connection | ErrorKind::TimedOut) {
            self.gone.store(true, Ordering::Relaxed);
        }
    }

    fn reason(&self) -> String {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// An open set.
#[derive(Debug)]
pub(super) struct Set {
    pub slots: Vec<Slot>,
    /// The newest that was found.
    pub record: Record,
    /// Whether some of the stores do not know yet that they have got another split.
    pub is_half: bool,
    /// Whether no object has the earlier split any more, although the record says so.
    pub is_upgraded: AtomicBool,
    /// Whether a store did not tell all its names.
    pub lists_failed: AtomicBool,
}

impl Set {
    /// The splits that objects may have.
    pub fn splits(&self) -> Splits {
        let earlier = self.record.splits.earlier.filter(|_| !self.is_upgraded.load(Ordering::Relaxed));
        Splits { earlier, ..self.record.splits }
    }

    /// Whether the stores of which this holds are enough for objects of every split.
    pub fn are_enough(&self, holds: impl Fn(usize) -> bool) -> bool {
        let holding = |split: Split| (0..split.stores().into()).filter(|number| holds(*number)).count();
        self.splits().each().all(|split| holding(split) >= split.needed.into())
    }

    /// How many sets deep the deepest of the stores is.
    pub fn depth(&self) -> u8 {
        self.slots.iter().map(|slot| slot.depth).max().unwrap_or(0)
    }

    /// What is missing.
    pub fn missing(&self) -> Vec<Missing> {
        self.reasons(|slot| slot.store().is_none())
    }

    fn reasons(&self, of: impl Fn(&Slot) -> bool) -> Vec<Missing> {
        let slots = self.slots.iter().enumerate().filter(|(_, slot)| of(slot));
        let reasons = slots.map(|(number, slot)| Missing {
            store: number + 1,
            location: slot.location.clone(),
            reason: slot.reason(),
        });
        reasons.collect()
    }

    /// The stores that are there, with their numbers from 0.
    pub fn there(&self) -> Vec<(usize, &Arc<dyn Backend>)> {
        self.slots.iter().enumerate().filter_map(|(number, slot)| Some((number, slot.store()?))).collect()
    }

    /// Why something can not be done now: stores that are missing, and those that failed.
    pub fn too_few(&self, operation: &'static str) -> Error {
        too_few(operation, &self.reasons(|slot| slot.store().is_none() || !slot.reason().is_empty()))
    }
}

pub(super) fn other_split(operation: &'static str, split: Split) -> Error {
    Error::new(ErrorKind::InvalidInput, operation).with("their split", split)
}

fn too_few(operation: &'static str, missing: &[Missing]) -> Error {
    let error = Error::new(ErrorKind::StoreMissing, operation).temporary();
    missing.iter().fold(error, |error, missing| error.with("missing", missing))
}

/// What was found of a store's record.
pub(super) enum Found {
    Record(Record),
    /// The store answers, but has none.
    None,
    Unusable(String),
}

/// Opens a set: reads the records, and refuses what does not belong together.
pub(super) async fn open(split: Split, members: &[Member], purpose: Purpose) -> Result<Set> {
    refuse_twice(members)?;
    let found = find_all(members).await;
    match purpose {
        Purpose::Create => create(split, members, found).await,
        Purpose::Use => gather(split, members, &found, None),
        Purpose::Replace(store) => replace(split, members, found, store).await,
        Purpose::Upgrade => upgrade::begin(split, members, &found).await,
    }
}

fn refuse_twice(members: &[Member]) -> Result<()> {
    for (number, member) in members.iter().enumerate() {
        if members[..number].iter().any(|before| before.location == member.location) {
            return Err(Error::new(ErrorKind::InvalidInput, "open stores")
                .with("reason", "the same store is named twice")
                .with("store", &member.location));
        }
    }
    Ok(())
}

/// The records of all stores.
pub(super) async fn find_all(members: &[Member]) -> Vec<Found> {
    let found = members.iter().map(|member| async {
        match &member.store {
            Ok(store) => find_record(&**store, member.depth).await,
            Err(error) => Found::Unusable(error.to_string()),
        }
    });
    join_all(found).await
}

pub(super) async fn find_record(store: &dyn Backend, depth: u8) -> Found {
    let read = match record::name(depth) {
        Ok(name) => store.get(&name, ByteRange::All { limit: record::BYTES_MAX }).await,
        Err(error) => Err(error),
    };
    match read {
        Ok(bytes) => Record::decode(&bytes).map_or_else(|error| Found::Unusable(error.to_string()), Found::Record),
        Err(error) if error.kind() == ErrorKind::NotFound => Found::None,
        Err(error) => Found::Unusable(error.to_string()),
    }
}

/// Puts the set together from what was found. `new` is a store that has yet to join.
pub(super) fn gather(split: Split, members: &[Member], found: &[Found], new: Option<usize>) -> Result<Set> {
    let newest = newest(members, found)?;
    if newest.splits.now != split {
        let error = other_split("open stores", newest.splits.now).with("wanted", split);
        return Err(error.with("reason", "the stores belong to another split"));
    }
    let (mut slots, mut is_half) = (Vec::with_capacity(members.len()), false);
    for (number, (member, found)) in members.iter().zip(found).enumerate() {
        let reason = match found {
            _ if new == Some(number) => Some("is to join the set".to_owned()),
            Found::Unusable(reason) => Some(reason.clone()),
            Found::None => Some("it holds nothing of this set: not mounted, or not the right place?".to_owned()),
            Found::Record(record) if record.set != newest.set => Some("it belongs to another set".to_owned()),
            Found::Record(record) if newest.stores.get(usize::from(record.store)) != record.identity() => {
                Some("it was replaced by another store and is no part of the set any more".to_owned())
            }
            Found::Record(record) if usize::from(record.store) != number => {
                return Err(misplaced(member, number, record));
            }
            Found::Record(record) => {
                is_half |= record.splits.now != split;
                None
            }
        };
        slots.push(Slot {
            location: member.location.clone(),
            store: member.store.as_ref().ok().cloned(),
            own: member.own.clone(),
            depth: member.depth,
            gone: AtomicBool::new(reason.is_some()),
            reason: Mutex::new(reason.unwrap_or_default()),
        });
    }
    let set =
        Set { slots, record: newest, is_half, is_upgraded: AtomicBool::default(), lists_failed: AtomicBool::default() };
    if !set.are_enough(|number| set.slots[number].store().is_some()) {
        let needed = set.splits().needed();
        return Err(set.too_few("open stores").with("needed", needed).with("there", set.there().len()));
    }
    Ok(set)
}

pub(super) fn misplaced(member: &Member, number: usize, record: &Record) -> Error {
    Error::new(ErrorKind::InvalidInput, "open stores")
        .with("reason", "the stores are not in their order, or one is named twice")
        .with("store", &member.location)
        .with("named as number", number + 1)
        .with("is number", record.store + 1)
}

/// The newest record of the set to which most of the stores belong.
pub(super) fn newest(members: &[Member], found: &[Found]) -> Result<Record> {
    let mut sets: BTreeMap<record::Identity, Vec<&Record>> = BTreeMap::new();
    for found in found {
        if let Found::Record(record) = found {
            sets.entry(record.set).or_default().push(record);
        }
    }
    let most = sets.values().map(Vec::len).max().unwrap_or(0);
    let mut largest = sets.values().filter(|records| records.len() == most);
    match (largest.next(), largest.next()) {
        (Some(records), None) => {
            let newest = records.iter().max_by_key(|record| record.revision);
            newest.map(|record| (*record).clone()).ok_or_else(|| none_there(members, found))
        }
        (Some(_), Some(_)) => Err(Error::new(ErrorKind::InvalidInput, "open stores")
            .with("reason", "as many stores belong to one set as to another")),
        (None, _) => Err(none_there(members, found)),
    }
}

fn none_there(members: &[Member], found: &[Found]) -> Error {
    let all: Vec<Missing> = members
        .iter()
        .zip(found)
        .enumerate()
        .map(|(number, (member, found))| Missing {
            store: number + 1,
            location: member.location.clone(),
            reason: match found {
                Found::Unusable(reason) => reason.clone(),
                _ => "it holds no set".to_owned(),
            },
        })
        .collect();
    let nothing = |(member, found): (&Member, &Found)| match &member.store {
        Ok(_) => matches!(found, Found::None),
        Err(error) => error.kind() == ErrorKind::RepositoryNotFound,
    };
    match members.iter().zip(found).all(nothing) {
        true => Error::new(ErrorKind::RepositoryNotFound, "open stores").with("reason", "no store belongs to a set"),
        false => too_few("open stores", &all),
    }
}

/// Makes a set of empty stores, or goes on where one that was to be made was left. A set that is in use stays as it is.
async fn create(split: Split, members: &[Member], mut found: Vec<Found>) -> Result<Set> {
    let newest = match found.iter().any(|found| matches!(found, Found::Record(_))) {
        true => newest(members, &found)?,
        false => Record::new(split)?,
    };
    let mut stores = Vec::new();
    for (number, (member, one)) in members.iter().zip(&found).enumerate() {
        match (one, &member.store) {
            (Found::Unusable(reason), _) => {
                let (location, reason) = (member.location.clone(), reason.clone());
                return Err(too_few("make stores", &[Missing { store: number + 1, location, reason }]));
            }
            (Found::None, Ok(store)) => {
                refuse_occupied(member, &**store, "make stores").await?;
                stores.push((number, store));
            }
            (Found::Record(_), Ok(store)) if first_object(&**store, member.depth).await?.is_some() => {
                return gather(split, members, &found, None);
            }
            _ => {}
        }
    }
    for (number, store) in stores {
        let record = newest.of_store(number);
        write(&**store, members[number].depth, &record).await?;
        found[number] = Found::Record(record);
    }
    gather(split, members, &found, None)
}

/// An object of a store that is not its record.
async fn first_object(store: &dyn Backend, depth: u8) -> Result<Option<ObjectName>> {
    let mut list = store.list(&Prefix::all());
    while let Some(object) = list.try_next().await? {
        if !record::is_record(&object.name, depth) {
            return Ok(Some(object.name));
        }
    }
    Ok(None)
}

pub(super) async fn refuse_occupied(member: &Member, store: &dyn Backend, operation: &'static str) -> Result<()> {
    match first_object(store, member.depth).await? {
        None => Ok(()),
        Some(name) => Err(Error::new(ErrorKind::NotARepository, operation)
            .with("reason", "the place is not empty")
            .with("store", &member.location)
            .with("found", name)),
    }
}

/// Lets an empty store take the place of another one. Goes on where an earlier attempt was left.
async fn replace(split: Split, members: &[Member], mut found: Vec<Found>, number: usize) -> Result<Set> {
    let Some(member) = members.get(number) else {
        return Err(Error::new(ErrorKind::InvalidInput, "replace store")
            .with("reason", "there is no store of this number")
            .with("store", number + 1)
            .with("stores", split.stores()));
    };
    let store = member.store.as_ref().map_err(|error| {
        let reason = error.to_string();
        too_few("replace store", &[Missing { store: number + 1, location: member.location.clone(), reason }])
    })?;
    let set = gather(split, members, &found, Some(number))?;
    let joined = match &found[number] {
        Found::Record(record) if record.set == set.record.set && usize::from(record.store) == number => {
            record.identity() == set.record.stores.get(number)
        }
        Found::Record(_) => return Err(taken(member, "replace store")),
        Found::None => {
            refuse_occupied(member, &**store, "replace store").await?;
            false
        }
        Found::Unusable(_) => false,
    };
    let record = if joined { set.record.clone() } else { set.record.with_replaced(number)? };
    // The new store first: as long as it is alone in that, everything is as it was before.
    write(&**store, member.depth, &record.of_store(number)).await?;
    for (other, store) in set.there() {
        write(&**store, set.slots[other].depth, &record.of_store(other)).await?;
        found[other] = Found::Record(record.of_store(other));
    }
    found[number] = Found::Record(record.of_store(number));
    gather(split, members, &found, None)
}

pub(super) fn taken(member: &Member, operation: &'static str) -> Error {
    Error::new(ErrorKind::InvalidInput, operation)
        .with("reason", "what is to join belongs to a set already")
        .with("store", &member.location)
}

/// Writes a record and reads it back.
pub(super) async fn write(store: &dyn Backend, depth: u8, record: &Record) -> Result<()> {
    let (name, bytes) = (record::name(depth)?, record.encode());
    put_over(store, &name, bytes.clone().into()).await?;
    match store.get(&name, ByteRange::All { limit: record::BYTES_MAX }).await? == bytes {
        true => Ok(()),
        false => Err(Error::damaged("write store record", "it reads back differently").with("store", store.location())),
    }
}

/// Puts an object whether or not there is one already: replaced where the store can, written over where it can not.
pub(super) async fn put_over(store: &dyn Backend, name: &ObjectName, payload: Payload) -> Result<()> {
    if store.capabilities().replace_existing {
        match store.put(name, payload.clone(), PutMode::ReplaceExisting).await {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Unsupported) => {}
            done => return done,
        }
    }
    store.put(name, payload, PutMode::Write).await
}

//! Another split for a set that is in use, and more stores.
//!
//! First the records name both splits, those of the new stores before those of the others: what only new stores know has
//! not begun. From then on new objects have the new split. Then the objects are moved, one by one, and each store by
//! store: the parts where nothing was come first, then each part takes the place of one of the earlier split, in one
//! step where the store can. That is done in place only if enough parts of one of the splits are there at every moment.
//! At last, when a scrub has seen every object and none of the earlier split, the records forget it.
//!
//! Who has the set open as it was can not read what was moved. It may still put and delete, but looks at a record before
//! it says so: an object that it does say to be there was there before the first one was looked for.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::join_all;
use gabion_core::backend::Backend;
use gabion_core::error::{Error, ErrorKind, Result};

use super::heal::{Object, Sight, of_parts};
use super::members::{
    Found, Member, Set, find_all, find_record, gather, misplaced, newest, other_split, refuse_occupied, taken, write,
};
use super::read::Answer;
use super::record::Record;
use super::{ErasureBackend, Split};
use crate::scrub::{State, Task};

/// Lets a set have another split: all its stores in their places, and empty ones behind them. Goes on where an earlier
/// attempt was left.
pub(super) async fn begin(split: Split, members: &[Member], found: &[Found]) -> Result<Set> {
    let splits = newest(members, found)?.splits;
    let before = members.len().min(splits.earlier.unwrap_or(splits.now).stores().into());
    let base = newest(&members[..before], &found[..before])?;
    let begins = base.splits.now != split;
    let target = if begins { changed(&base, split, members)? } else { base.clone() };
    if !begins && base.splits.earlier.is_none() {
        return gather(split, members, found, None);
    }
    for (number, (member, found)) in members.iter().zip(found).enumerate() {
        match found {
            Found::Record(record) if record.set == base.set && usize::from(record.store) != number => {
                return Err(misplaced(member, number, record));
            }
            _ => {}
        }
    }
    // The stores that are of the set already, and those that join it.
    let known = if begins { before } else { members.len() };
    let set = gather(base.splits.now, &members[..known], &found[..known], None)?;
    if !set.missing().is_empty() {
        return Err(set.too_few("upgrade stores"));
    }
    for number in known..members.len() {
        join(&members[number], &found[number], &target).await?;
    }
    if begins {
        learn_replacing(&members[..before], &base).await?;
        changed(&base, split, members)?;
    }
    for number in (before..members.len()).chain(0..before) {
        let (member, record) = (&members[number], target.of_store(number));
        match (&member.store, &found[number]) {
            (_, Found::Record(found)) if *found == record => {}
            (Ok(store), _) => write(&**store, member.depth, &record).await?,
            (Err(_), _) => {}
        }
    }
    // Read again: two names may be those of one store.
    let set = gather(split, members, &find_all(members).await, None)?;
    // What was put before is listed from now on.
    let staleness = set.there().iter().map(|(_, store)| store.capabilities().list_staleness).max();
    tokio::time::sleep(staleness.unwrap_or_default()).await;
    Ok(set)
}

/// Puts the records as they are once more: a store may find out only then that it can not replace.
async fn learn_replacing(members: &[Member], base: &Record) -> Result<()> {
    for (number, member) in members.iter().enumerate() {
        if let Ok(store) = &member.store {
            write(&**store, member.depth, &base.of_store(number)).await?;
        }
    }
    Ok(())
}

/// The record of a set with another split, if that can be done in place.
fn changed(base: &Record, split: Split, members: &[Member]) -> Result<Record> {
    let before = base.splits.now;
    let old = members.iter().take(before.stores().into());
    let replace = old.flat_map(|member| &member.store).all(|store| store.capabilities().replace_existing);
    let reason = if base.splits.earlier.is_some() {
        "it has not got this one wholly yet: an upgrade goes on"
    } else if split.stores() < before.stores() {
        "no store can leave the set in place"
    } else if before.needed > split.spare + u8::from(replace) {
        "too few parts of an object would be there while it is moved in place"
    } else {
        return Ok(base.with_split(split));
    };
    Err(other_split("upgrade stores", before).with("wanted", split).with("reason", reason))
}

/// Refuses a store that is not empty. What an earlier attempt left in it is a record alone.
async fn join(member: &Member, found: &Found, target: &Record) -> Result<()> {
    match (found, &member.store) {
        (Found::Record(record), _) if record.set != target.set || record.splits != target.splits => {
            Err(taken(member, "upgrade stores"))
        }
        (Found::Unusable(why), _) => Err(Error::new(ErrorKind::InvalidInput, "upgrade stores")
            .with("reason", "a store that joins must be there, and be empty")
            .with("store", &member.location)
            .with("found", why)),
        (_, Ok(store)) => refuse_occupied(member, &**store, "upgrade stores").await,
        // Of such a store nothing is found.
        (_, Err(_)) => Ok(()),
    }
}

impl Set {
    /// While not all stores know of the split, others may use them as they were: then objects are only read.
    pub fn refuse_half(&self, operation: &'static str) -> Result<()> {
        match self.is_half {
            true => Err(other_split(operation, self.splits().now)
                .with("reason", "not all stores know of it yet: an upgrade goes on")),
            false => Ok(()),
        }
    }

    /// Fails if the set has got another split since it was opened. What was done before is of no use then, or not
    /// wholly done.
    pub async fn refuse_changed(&self, operation: &'static str) -> Result<()> {
        for (number, store) in self.there() {
            match find_record(&**store, self.slots[number].depth).await {
                Found::Record(record) if record.splits.now == self.record.splits.now => return Ok(()),
                Found::Record(record) => {
                    return Err(other_split(operation, record.splits.now)
                        .with("reason", "the set has got another split meanwhile"));
                }
                _ => {}
            }
        }
        Err(self.too_few(operation))
    }

    /// Forgets the earlier split, of which no object is left.
    pub async fn forget_earlier(&self) -> Result<()> {
        let there = self.there();
        let unsure = there.len() < self.slots.len() || self.lists_failed.load(Ordering::Relaxed);
        if self.splits().earlier.is_none() || unsure {
            return Ok(());
        }
        let found = there.iter().map(|(number, store)| find_record(&***store, self.slots[*number].depth));
        let found = join_all(found).await;
        let all = |record: &Record| {
            let is =
                |(number, found): (usize, &Found)| matches!(found, Found::Record(is) if *is == record.of_store(number));
            found.iter().enumerate().all(is)
        };
        let target = self.record.without_earlier();
        // Who has changed something else meanwhile comes first.
        if all(&self.record) {
            for (number, store) in &there {
                write(&***store, self.slots[*number].depth, &target.of_store(*number)).await?;
            }
        } else if !all(&target) {
            return Ok(());
        }
        self.is_upgraded.store(true, Ordering::Relaxed);
        Ok(())
    }
}

impl ErasureBackend {
    /// Moves an object to the split that new ones have, one store after the other. What was deleted meanwhile stays so:
    /// the others are asked after each, and what was put where nothing was goes again.
    pub(super) async fn upgrade(&self, object: &Object<'_>, sight: &mut Sight) -> Result<()> {
        let (name, set, now) = (object.name, object.set, object.set.splits().now);
        sight.examined.state = State::Outdated;
        let there = set.there();
        if there.len() < set.slots.len() || sight.answers.iter().any(|answer| matches!(answer, Answer::Silence)) {
            sight.examined.trouble = Some(set.too_few("upgrade object").with("object", name));
            return Ok(());
        }
        let parts = self.made(object, now).await?;
        let held = sight.answers.iter().map(|answer| match answer {
            Answer::Part(part) if part.is_intact && part.header.generation == object.content.generation => {
                Some(part.header.split)
            }
            _ => None,
        });
        let mut held: Vec<Option<Split>> = held.collect();
        let mut having: Vec<usize> = of_parts(&sight.answers).collect();
        let is_empty = |number: usize| matches!(sight.answers[number], Answer::Nothing);
        // First what takes nothing away.
        let mut order: Vec<usize> = (0..held.len()).filter(|number| held[*number] != Some(now)).collect();
        order.sort_by_key(|number| (!is_empty(*number), held[*number].is_some()));
        let replaces = |number: usize| !is_empty(number) && there[number].1.capabilities().replace_existing;
        let too_few =
            || Error::damaged("upgrade object", "too few parts of it would be left meanwhile").with("object", name);
        // Nothing is taken away unless all of it can be, nor after something could not be added.
        if !is_possible(set, held.clone(), &order, &replaces) {
            sight.examined.trouble = Some(too_few());
            return Ok(());
        }
        for number in order {
            let (store, part): (&Arc<dyn Backend>, _) = (there[number].1, parts[number].clone());
            if held[number].is_some()
                && (sight.examined.trouble.is_some() || !stays(set, &held, number, replaces(number)))
            {
                sight.examined.trouble.get_or_insert_with(too_few);
                break;
            }
            let replaces = replaces(number);
            let put = self.put_part(object, now, number, store, part, !is_empty(number)).await;
            having.retain(|other| *other != number);
            let replaced = match put {
                Ok(replaced) => {
                    held[number] = Some(now);
                    sight.examined.written += parts[number].len() as u64;
                    replaced
                }
                Err(error) if error.kind() == ErrorKind::NotFound => return self.after_deletion(object, sight).await,
                // It may have either part now, or none.
                Err(error) => {
                    held[number] = None;
                    set.slots[number].note(&error);
                    sight.examined.trouble = Some(error.with("store", number + 1));
                    replaces
                }
            };
            if self.was_deleted(name, set, &having).await {
                if !replaced {
                    store.delete(name).await?;
                }
                return self.after_deletion(object, sight).await;
            }
            having.extend(held[number].map(|_| number));
        }
        if held.iter().all(|held| *held == Some(now)) {
            let is_sound = sight.examined.damage.is_empty();
            sight.examined.state = if is_sound { State::Upgraded } else { State::Repaired };
            sight.examined.spare = Some(now.spare.into());
        }
        Ok(())
    }

    /// What was deleted meanwhile is gone if nothing of it is left. Otherwise its deletion goes on, or was cut short: then
    /// the next upgrade sees what it is.
    async fn after_deletion(&self, object: &Object<'_>, sight: &mut Sight) -> Result<()> {
        let answers = self.look_everywhere(object.name, object.set, Task::Verify).await.answers;
        if answers.iter().all(|answer| matches!(answer, Answer::Nothing)) {
            sight.examined.state = State::Gone;
        } else {
            let error = Error::new(ErrorKind::SourceChanged, "upgrade object").with("reason", "it is being deleted");
            sight.examined.trouble.get_or_insert(error.with("object", object.name));
        }
        Ok(())
    }
}

/// Whether all stores can change their parts in this order.
fn is_possible(set: &Set, mut held: Vec<Option<Split>>, order: &[usize], replaces: &dyn Fn(usize) -> bool) -> bool {
    order.iter().all(|number| {
        let stays = held[*number].is_none() || stays(set, &held, *number, replaces(*number));
        held[*number] = Some(set.splits().now);
        stays
    })
}

/// Whether an object stays readable while a store changes its part; one that replaces has one or the other at any moment.
fn stays(set: &Set, held: &[Option<Split>], changing: usize, replaces: bool) -> bool {
    let others = |split: Split| {
        let others = held.iter().enumerate().filter(|(number, held)| *number != changing && **held == Some(split));
        others.count()
    };
    let splits = set.splits();
    splits.each().any(|split| others(split) + usize::from(replaces && split == splits.now) >= split.needed.into())
}

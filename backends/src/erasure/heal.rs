//! Examining and repairing objects across stores.
//!
//! What a store lacks or has spoilt is made anew from the others and put there; then the others are asked once more,
//! and if the object was deleted meanwhile, what was put goes again.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use gabion_core::backend::{Backend, ByteRange, ObjectName, Payload, Prefix, PutMode};
use gabion_core::error::{Error, ErrorKind, Result};
use gabion_core::limits::OBJECT_BYTES_MAX;

use super::members::{Set, put_over};
use super::read::{Answer, Verdict, answer, judge};
use super::shard::{Generation, HEADER_BYTES, Part};
use super::{ErasureBackend, listing, stripe};
use crate::computing;
use crate::parity::Percent;
use crate::scrub::{Damage, DamageKind, Examined, Health, Scheme, Scrub, State, Task};

/// What there is of one object, by the numbers of the stores.
struct Sight {
    answers: Vec<Answer<Part>>,
    examined: Examined,
    /// Whether a store of its own redundancy has objects that are protected otherwise than new ones.
    outdated: bool,
    /// Whether stores did repairs of their own.
    repaired: bool,
    upgraded: bool,
}

#[async_trait]
impl Scrub for ErasureBackend {
    async fn health(&self) -> Result<Health> {
        let set = self.set().await?;
        let (mut parities, mut missing_inside) = (Vec::new(), Vec::new());
        let mut healed_reads = self.healed_reads();
        for slot in &set.slots {
            let own = match &slot.own {
                Some(own) if slot.store().is_some() => own.health().await.ok(),
                _ => None,
            };
            healed_reads += own.as_ref().map_or(0, |own| own.healed_reads);
            let inside = own.as_ref().map(|own| own.missing.iter().chain(&own.missing_inside).cloned());
            missing_inside.extend(inside.into_iter().flatten());
            parities.push(own.and_then(|own| parity_of(own.scheme)));
        }
        // Stores that are missing say nothing of those that are there.
        let there = parities.iter().zip(&set.slots).filter(|(_, slot)| slot.store().is_some());
        let parity = there.map(|(parity, _)| *parity).min().flatten();
        let split = self.split();
        Ok(Health {
            scheme: Scheme::Erasure { needed: usize::from(split.needed()), spare: usize::from(split.spare()), parity },
            missing: set.missing(),
            missing_inside,
            healed_reads,
        })
    }

    fn names(&self) -> BoxStream<'static, Result<ObjectName>> {
        let stores = Arc::clone(&self.stores);
        let listed = async move {
            let (set, needed) = (stores.set().await?, usize::from(stores.split.needed()));
            let (names, _) = listing::names(set, &Prefix::all(), needed).await?;
            Ok::<_, Error>(stream::iter(names.into_keys().map(Ok)))
        };
        stream::once(listed).try_flatten().boxed()
    }

    async fn examine(&self, name: &ObjectName, task: Task) -> Result<Examined> {
        let set = self.set().await?;
        let mut sight = self.look_everywhere(name, set, task).await;
        let needed = self.needed();
        let generation = match judge(&sight.answers, needed, |part| part.header.generation) {
            Verdict::Exists(generation) => generation,
            Verdict::Missing if sight.answers.iter().all(|answer| matches!(answer, Answer::Nothing)) => {
                return Ok(Examined { state: State::Gone, ..sight.examined });
            }
            Verdict::Missing => return self.clean(name, set, task, sight).await,
            Verdict::Unknown => return Ok(sight.examined.lost(set.too_few("repair object").with("object", name))),
            Verdict::Spoilt => return Ok(sight.examined.lost(too_few_whole(name))),
        };
        let (answers, object) = (sight.answers.clone(), name.clone());
        let decoded = computing("repair object", move || {
            let parts: Vec<&Part> = of_generation(&answers, &generation).map(|(_, part)| part).collect();
            stripe::decode(&parts).map_err(|error| error.with("object", object))
        });
        let data = match decoded.await {
            Ok(data) => data,
            Err(error) if error.kind() == ErrorKind::Damaged => return Ok(sight.examined.lost(error)),
            Err(error) => return Err(error),
        };
        self.note_damage(&mut sight, &generation);
        let broken = self.broken(&sight.answers, &generation);
        sight.examined.state = match (broken.is_empty(), sight.outdated, sight.upgraded, sight.repaired) {
            (false, ..) => State::Damaged,
            (true, true, ..) => State::Outdated,
            (true, _, true, _) => State::Upgraded,
            (true, _, _, true) => State::Repaired,
            (true, ..) if sight.examined.damage.is_empty() => State::Intact,
            (true, ..) => State::Damaged,
        };
        let whole = of_generation(&sight.answers, &generation).filter(|(_, part)| part.bad_blocks() == 0).count();
        sight.examined.spare = whole.checked_sub(needed);
        if !broken.is_empty() && task != Task::Verify {
            self.fill(name, set, &data, &broken, whole, &mut sight).await?;
        }
        Ok(sight.examined)
    }
}

fn parity_of(scheme: Scheme) -> Option<Percent> {
    match scheme {
        Scheme::Parity(percent) => Some(percent),
        Scheme::Erasure { parity, .. } => parity,
        Scheme::Plain => None,
    }
}

fn too_few_whole(name: &ObjectName) -> Error {
    Error::damaged("repair object", "too few stores hold a part of it that is whole").with("object", name)
}

/// Parts of one content, with the numbers of their stores.
fn of_generation<'a>(
    answers: &'a [Answer<Part>],
    generation: &'a Generation,
) -> impl Iterator<Item = (usize, &'a Part)> {
    answers.iter().enumerate().filter_map(move |(number, answer)| match answer {
        Answer::Part(part) if part.header.generation == *generation => Some((number, part)),
        _ => None,
    })
}

impl ErasureBackend {
    /// Reads what every store has of an object; stores with redundancy of their own do their own work first.
    async fn look_everywhere(&self, name: &ObjectName, set: &Set, task: Task) -> Sight {
        let looks = set.slots.iter().enumerate().map(|(number, slot)| async move {
            let Some(store) = slot.store() else { return (None, Answer::Silence) };
            let own = match &slot.own {
                Some(own) => match own.examine(name, task).await {
                    Ok(own) => Some(own),
                    Err(error) => {
                        slot.note(&error);
                        return (None, Answer::Silence);
                    }
                },
                None => None,
            };
            let got = self.part(name, number, &**store, OBJECT_BYTES_MAX as u64).await;
            if let Err(error) = &got {
                slot.note(error);
            }
            (own, answer(got))
        });
        let mut sight = Sight {
            answers: Vec::new(),
            examined: Examined::new(State::Intact),
            outdated: false,
            repaired: false,
            upgraded: false,
        };
        for (number, (own, answer)) in join_all(looks).await.into_iter().enumerate() {
            if let Some(own) = own {
                sight.examined.read += own.read;
                sight.examined.written += own.written;
                sight.examined.trouble = sight.examined.trouble.take().or(own.trouble);
                let at = |damage: Damage| Damage { store: Some(number + 1), ..damage };
                sight.examined.damage.extend(own.damage.into_iter().map(at));
                sight.outdated |= matches!(own.state, State::Outdated);
                sight.upgraded |= matches!(own.state, State::Upgraded);
                sight.repaired |= matches!(own.state, State::Repaired);
            }
            if let Answer::Part(part) = &answer {
                sight.examined.read += part.stored_bytes() as u64;
            }
            sight.answers.push(answer);
        }
        sight
    }

    /// Parts of an object that does not exist: they go if that is wished, and every store has answered.
    ///
    /// One goes after the other, and all stores are asked in between: what has become an object meanwhile stays one,
    /// for every put has one part to spare, and is filled again.
    async fn clean(&self, name: &ObjectName, set: &Set, task: Task, mut sight: Sight) -> Result<Examined> {
        sight.examined.state = State::Leftover;
        for (number, slot) in set.slots.iter().enumerate() {
            if task != Task::Clean || sight.answers.iter().any(|answer| matches!(answer, Answer::Silence)) {
                break;
            }
            if matches!(sight.answers[number], Answer::Nothing) {
                continue;
            }
            let Some(store) = slot.store() else { break };
            if let Err(error) = store.delete(name).await {
                sight.examined.trouble = Some(error);
                break;
            }
            sight.answers = self.look_everywhere(name, set, Task::Verify).await.answers;
            if !matches!(judge(&sight.answers, self.needed(), |part| part.header.generation), Verdict::Missing) {
                return self.examine(name, Task::Repair).await;
            }
        }
        if sight.answers.iter().all(|answer| matches!(answer, Answer::Nothing)) {
            sight.examined.state = State::Removed;
        }
        Ok(sight.examined)
    }

    /// Puts what is wrong into words.
    fn note_damage(&self, sight: &mut Sight, generation: &Generation) {
        for (number, answer) in sight.answers.iter().enumerate() {
            let (kind, count) = match answer {
                Answer::Silence => continue,
                Answer::Nothing => (DamageKind::Missing, 1),
                Answer::Spoilt => (DamageKind::Unreadable, 1),
                Answer::Part(part) if part.header.generation != *generation => (DamageKind::Foreign, 1),
                Answer::Part(part) if part.is_intact => continue,
                Answer::Part(part) if part.bad_blocks() > 0 => (DamageKind::Blocks, part.bad_blocks() as u64),
                Answer::Part(_) => (DamageKind::Frame, 1),
            };
            sight.examined.damage.push(Damage::at(number + 1, kind, count));
        }
    }

    /// Stores whose part has to be made anew.
    ///
    /// Parts of another content that is whole by itself stay: nobody knows here which of the two is the right one.
    fn broken(&self, answers: &[Answer<Part>], generation: &Generation) -> Vec<usize> {
        let rivals = |part: &Part| of_generation(answers, &part.header.generation).count() >= self.needed();
        let broken = answers.iter().enumerate().filter(|(_, answer)| match answer {
            Answer::Silence => false,
            Answer::Nothing | Answer::Spoilt => true,
            Answer::Part(part) if part.header.generation != *generation => !rivals(part),
            Answer::Part(part) => !part.is_intact,
        });
        broken.map(|(number, _)| number).collect()
    }

    /// Makes parts anew and puts them into their stores.
    async fn fill(
        &self,
        name: &ObjectName,
        set: &Set,
        data: &Bytes,
        broken: &[usize],
        whole: usize,
        sight: &mut Sight,
    ) -> Result<()> {
        let (object, content, split) = (name.clone(), data.clone(), self.split());
        let parts = computing("repair object", move || stripe::encode(&object, split, &content)).await?;
        self.known.forget(name);
        let mut filled = 0;
        for number in broken {
            let (Some(store), Some(part)) = (set.slots[*number].store(), parts.get(*number)) else { continue };
            let there = !matches!(sight.answers[*number], Answer::Nothing);
            match self.put_part(name, *number, store, part.clone(), there).await {
                Ok(()) => {
                    sight.examined.written += part.len() as u64;
                    filled += 1;
                }
                // It was there, and is not any more: the object is being deleted.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    set.slots[*number].note(&error);
                    sight.examined.trouble = Some(error.with("store", number + 1));
                }
            }
        }
        let others: Vec<usize> = of_parts(&sight.answers).filter(|number| !broken.contains(number)).collect();
        if self.was_deleted(name, set, &others).await {
            for number in broken {
                if let Some(store) = set.slots[*number].store() {
                    store.delete(name).await?;
                }
            }
            sight.examined.state = State::Gone;
        } else if filled == broken.len() {
            sight.examined.state = State::Repaired;
            sight.examined.spare = (whole + filled).min(usize::from(split.stores())).checked_sub(self.needed());
        }
        Ok(())
    }

    /// Puts a part, in place of what is there if something was, and reads it back.
    async fn put_part(
        &self,
        name: &ObjectName,
        number: usize,
        store: &Arc<dyn Backend>,
        part: Payload,
        there: bool,
    ) -> Result<()> {
        match there {
            true if store.capabilities().replace_existing => {
                match store.put(name, part.clone(), PutMode::ReplaceExisting).await {
                    // Some stores find out only now.
                    Err(error) if error.kind() == ErrorKind::Unsupported => put_over(&**store, name, part).await?,
                    replaced => replaced?,
                }
            }
            true => put_over(&**store, name, part).await?,
            false => store.put(name, part, PutMode::Write).await?,
        }
        match self.part(name, number, &**store, OBJECT_BYTES_MAX as u64).await? {
            Some(part) if part.is_intact => Ok(()),
            _ => Err(Error::damaged("repair object", "the store gives other bytes than it took").with("object", name)),
        }
    }

    /// Whether one of these stores, which had its part before, has none now.
    async fn was_deleted(&self, name: &ObjectName, set: &Set, stores: &[usize]) -> bool {
        let head = ByteRange::Exact { offset: 0, length: HEADER_BYTES as u64 };
        let looks = stores.iter().filter_map(|number| set.slots[*number].store()).map(|store| store.get(name, head));
        let missing = |got: &Result<Bytes>| got.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound);
        join_all(looks).await.iter().any(missing)
    }
}

/// Stores that have a part of any content.
fn of_parts(answers: &[Answer<Part>]) -> impl Iterator<Item = usize> {
    let parts = answers.iter().enumerate().filter(|(_, answer)| matches!(answer, Answer::Part(_)));
    parts.map(|(number, _)| number)
}

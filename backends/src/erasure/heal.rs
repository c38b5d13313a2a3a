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
use super::read::{Answer, Verdict, answer, decode, judge, settle};
use super::shard::{Content, HEADER_BYTES, Part};
use super::{ErasureBackend, Split, listing, stripe};
use crate::computing;
use crate::parity::Percent;
use crate::scrub::{Damage, DamageKind, Examined, Health, Scheme, Scrub, State, Task};

/// An object that exists.
pub(super) struct Object<'a> {
    pub name: &'a ObjectName,
    pub set: &'a Set,
    pub content: Content,
    /// What it holds, unless all its parts are as they shall be and none has to be made.
    data: Option<Bytes>,
}

/// What there is of one object, by the numbers of the stores.
pub(super) struct Sight {
    pub answers: Vec<Answer<Part>>,
    pub examined: Examined,
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
        let plain = |split: Split| (usize::from(split.needed()), usize::from(split.spare()));
        let ((needed, spare), earlier) = (plain(self.split()), set.splits().earlier.map(plain));
        Ok(Health {
            scheme: Scheme::Erasure { needed, spare, parity, earlier },
            missing: set.missing(),
            missing_inside,
            healed_reads,
        })
    }

    fn names(&self) -> BoxStream<'static, Result<ObjectName>> {
        let stores = Arc::clone(&self.stores);
        let listed = async move {
            let (names, _) = listing::names(stores.set().await?, &Prefix::all()).await?;
            Ok::<_, Error>(stream::iter(names.into_keys().map(Ok)))
        };
        stream::once(listed).try_flatten().boxed()
    }

    async fn examine(&self, name: &ObjectName, task: Task) -> Result<Examined> {
        let set = self.set().await?;
        let mut sight = self.look_everywhere(name, set, task).await;
        let again = || async { self.look_everywhere(name, set, Task::Verify).await.answers };
        sight.answers = settle(set, sight.answers, again).await;
        let content = match judge(&sight.answers, set.splits()) {
            Verdict::Exists(content) => content,
            Verdict::Missing if sight.answers.iter().all(|answer| matches!(answer, Answer::Nothing)) => {
                return Ok(Examined { state: State::Gone, ..sight.examined });
            }
            Verdict::Missing => return self.clean(name, set, task, sight).await,
            Verdict::Unknown => return Ok(sight.examined.lost(set.too_few("repair object").with("object", name))),
            Verdict::Spoilt => return Ok(sight.examined.lost(too_few_whole(name))),
        };
        let (answers, splits) = (sight.answers.clone(), set.splits());
        let decoded = computing("repair object", move || {
            let parts: Vec<&Part> = answers.iter().filter_map(|answer| answer.of(content)).collect();
            match content.split == splits.now && stripe::are_whole(&parts) {
                true => Ok((content, None)),
                false => decode(&answers, content, splits).map(|(header, data)| (header.content(), Some(data))),
            }
        });
        let (content, data) = match decoded.await {
            Ok(decoded) => decoded,
            Err(error) if error.kind() == ErrorKind::Damaged => {
                return Ok(sight.examined.lost(error.with("object", name)));
            }
            Err(error) => return Err(error),
        };
        let object = Object { name, set, content, data };
        object.note_damage(&mut sight);
        let broken = object.broken(&sight.answers);
        let moves = object.is_to_move(&sight.answers);
        sight.examined.state = match (broken.is_empty(), sight.outdated || moves, sight.upgraded, sight.repaired) {
            (false, ..) => State::Damaged,
            (true, true, ..) => State::Outdated,
            (true, _, true, _) => State::Upgraded,
            (true, _, _, true) => State::Repaired,
            (true, ..) if sight.examined.damage.is_empty() => State::Intact,
            (true, ..) => State::Damaged,
        };
        sight.examined.spare = object.whole(&sight.answers).checked_sub(content.split.needed.into());
        if !broken.is_empty() && task != Task::Verify {
            self.fill(&object, &broken, &mut sight).await?;
        }
        if moves && task == Task::Upgrade && matches!(sight.examined.state, State::Outdated | State::Repaired) {
            if !broken.is_empty() {
                sight.answers = self.look_everywhere(name, set, Task::Verify).await.answers;
            }
            self.upgrade(&object, &mut sight).await?;
        }
        Ok(sight.examined)
    }

    async fn upgraded(&self) -> Result<()> {
        self.set().await?.forget_earlier().await
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

impl Object<'_> {
    /// Stores whose part of this content is whole.
    fn whole(&self, answers: &[Answer<Part>]) -> usize {
        answers.iter().filter_map(|answer| answer.of(self.content)).filter(|part| part.bad_blocks() == 0).count()
    }

    /// Whether parts of it are not of the split that new objects have.
    fn is_to_move(&self, answers: &[Answer<Part>]) -> bool {
        let now = self.set.splits().now;
        let is_old = |part: &Part| part.header.generation == self.content.generation && part.header.split != now;
        answers.iter().any(|answer| matches!(answer, Answer::Part(part) if is_old(part)))
    }

    /// Puts what is wrong into words.
    fn note_damage(&self, sight: &mut Sight) {
        for (number, answer) in sight.answers.iter().enumerate() {
            let (kind, count) = match answer {
                Answer::Silence => continue,
                Answer::Nothing if number >= self.content.split.stores().into() => continue,
                Answer::Nothing => (DamageKind::Missing, 1),
                Answer::Spoilt => (DamageKind::Unreadable, 1),
                Answer::Part(part) if part.header.generation != self.content.generation => (DamageKind::Foreign, 1),
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
    fn broken(&self, answers: &[Answer<Part>]) -> Vec<usize> {
        let rivals = |part: &Part| {
            let content = part.header.content();
            answers.iter().filter(|answer| answer.of(content).is_some()).count() >= content.split.needed.into()
        };
        let stores = answers.iter().take(self.content.split.stores().into()).enumerate();
        let broken = stores.filter(|(_, answer)| match answer {
            Answer::Silence => false,
            Answer::Nothing | Answer::Spoilt => true,
            Answer::Part(part) if part.header.generation != self.content.generation => !rivals(part),
            Answer::Part(part) => !part.is_intact,
        });
        broken.map(|(number, _)| number).collect()
    }
}

impl ErasureBackend {
    /// Reads what every store has of an object; stores with redundancy of their own do their own work first.
    pub(super) async fn look_everywhere(&self, name: &ObjectName, set: &Set, task: Task) -> Sight {
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
            let got = self.part(name, set, number, &**store, OBJECT_BYTES_MAX as u64).await;
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

    /// Parts of an object that does not exist: they go if that is wished, and every store has answered. With them go, in
    /// an upgrade, those of the earlier split: nobody is putting these any more.
    ///
    /// One goes after the other, and all stores are asked in between: what has become an object meanwhile stays one,
    /// for every put has one part to spare, and is filled again.
    async fn clean(&self, name: &ObjectName, set: &Set, task: Task, mut sight: Sight) -> Result<Examined> {
        sight.examined.state = State::Leftover;
        let now = set.splits().now;
        let goes = |answer: &Answer<Part>| match (task, answer) {
            (Task::Clean, answer) => !matches!(answer, Answer::Nothing),
            (Task::Upgrade, Answer::Part(part)) => part.header.split != now,
            _ => false,
        };
        for (number, slot) in set.slots.iter().enumerate() {
            if !goes(&sight.answers[number]) {
                continue;
            }
            let is_silent = sight.answers.iter().any(|answer| matches!(answer, Answer::Silence));
            let Some(store) = slot.store().filter(|_| !is_silent) else { break };
            if let Err(error) = store.delete(name).await {
                sight.examined.trouble = Some(error);
                break;
            }
            let again = || async { self.look_everywhere(name, set, Task::Verify).await.answers };
            sight.answers = settle(set, again().await, again).await;
            if !matches!(judge(&sight.answers, set.splits()), Verdict::Missing) {
                return self.examine(name, if task == Task::Clean { Task::Repair } else { task }).await;
            }
        }
        if sight.answers.iter().all(|answer| matches!(answer, Answer::Nothing)) {
            sight.examined.state = State::Removed;
        } else if task == Task::Upgrade && sight.answers.iter().any(goes) {
            let error = || Error::damaged("upgrade object", "a part of it does not go").with("object", name);
            sight.examined.trouble.get_or_insert_with(error);
        }
        Ok(sight.examined)
    }

    /// Makes parts anew and puts them into their stores.
    async fn fill(&self, object: &Object<'_>, broken: &[usize], sight: &mut Sight) -> Result<()> {
        let (name, set, split) = (object.name, object.set, object.content.split);
        let parts = self.made(object, split).await?;
        let mut filled = 0;
        for number in broken {
            let (Some(store), Some(part)) = (set.slots[*number].store(), parts.get(*number)) else { continue };
            let there = !matches!(sight.answers[*number], Answer::Nothing);
            match self.put_part(object, split, *number, store, part.clone(), there).await {
                Ok(_) => {
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
            let whole = object.whole(&sight.answers) + filled;
            sight.examined.spare = whole.min(split.stores().into()).checked_sub(split.needed.into());
        }
        Ok(())
    }

    /// What every store of a split shall hold of an object.
    pub(super) async fn made(&self, object: &Object<'_>, split: Split) -> Result<Vec<Payload>> {
        self.known.forget(object.name);
        let name = object.name.clone();
        let data = object.data.clone().ok_or_else(|| Error::new(ErrorKind::System, "repair object"))?;
        computing("repair object", move || stripe::encode(&name, split, &data)).await
    }

    /// Puts a part, in place of what is there if something was, and reads it back. Tells whether it was replaced in one
    /// step: then what was deleted meanwhile stays so.
    pub(super) async fn put_part(
        &self,
        object: &Object<'_>,
        split: Split,
        number: usize,
        store: &Arc<dyn Backend>,
        part: Payload,
        there: bool,
    ) -> Result<bool> {
        let (name, wanted) = (object.name, Content { split, ..object.content });
        let replaces = there && store.capabilities().replace_existing;
        let replaced = match replaces {
            true => match store.put(name, part.clone(), PutMode::ReplaceExisting).await {
                Ok(()) => true,
                // Some stores find out only now.
                Err(error) if error.kind() == ErrorKind::Unsupported => false,
                Err(error) => return Err(error),
            },
            false => false,
        };
        match (replaced, there) {
            (true, _) => {}
            (false, true) => put_over(&**store, name, part).await?,
            (false, false) => store.put(name, part, PutMode::Write).await?,
        }
        match self.part(name, object.set, number, &**store, OBJECT_BYTES_MAX as u64).await? {
            Some(part) if part.is_intact && part.header.content() == wanted => Ok(replaced),
            _ => Err(Error::damaged("repair object", "the store gives other bytes than it took").with("object", name)),
        }
    }

    /// Whether one of these stores, which had its part before, has none now.
    pub(super) async fn was_deleted(&self, name: &ObjectName, set: &Set, stores: &[usize]) -> bool {
        let head = ByteRange::Exact { offset: 0, length: HEADER_BYTES as u64 };
        let looks = stores.iter().filter_map(|number| set.slots[*number].store()).map(|store| store.get(name, head));
        let missing = |got: &Result<Bytes>| got.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound);
        join_all(looks).await.iter().any(missing)
    }
}

/// Stores that have a part of any content.
pub(super) fn of_parts(answers: &[Answer<Part>]) -> impl Iterator<Item = usize> {
    let parts = answers.iter().enumerate().filter(|(_, answer)| matches!(answer, Answer::Part(_)));
    parts.map(|(number, _)| number)
}

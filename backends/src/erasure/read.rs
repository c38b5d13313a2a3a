//! Reading: as few stores as will do, and more where these are not enough.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};
use gabion_core::backend::{Backend, ByteRange, ObjectName};
use gabion_core::error::{Error, ErrorKind, Result};
use gabion_core::limits::OBJECT_BYTES_MAX;

use super::shard::{self, Generation, HEADER_BYTES, Header, Part};
use super::{ErasureBackend, Split, stripe};
use crate::computing;
use crate::reed_solomon::UNIT_BYTES;

/// Objects that are remembered; then all are forgotten, which costs a small read each.
const KNOWN_MAX: usize = 64 << 10;

/// Headers of objects that were read in ranges before.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<HashMap<ObjectName, Header>>);

impl Known {
    fn get(&self, name: &ObjectName) -> Option<Header> {
        self.map().get(name).copied()
    }

    fn note(&self, name: &ObjectName, header: Header) {
        let mut map = self.map();
        if map.len() >= KNOWN_MAX {
            map.clear();
        }
        map.insert(name.clone(), header);
    }

    pub fn forget(&self, name: &ObjectName) {
        self.map().remove(name);
    }

    fn map(&self) -> MutexGuard<'_, HashMap<ObjectName, Header>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a store answered about an object.
#[derive(Clone, Debug)]
pub(super) enum Answer<T> {
    /// Its part of it.
    Part(T),
    /// It has none.
    Nothing,
    /// It has something that is not a part, or can not read it.
    Spoilt,
    /// It does not answer.
    Silence,
}

/// Sorts what a store gave into the answers there are.
pub(super) fn answer<T>(got: Result<Option<T>>) -> Answer<T> {
    match got {
        Ok(Some(part)) => Answer::Part(part),
        Ok(None) => Answer::Spoilt,
        Err(error) => match error.kind() {
            ErrorKind::NotFound => Answer::Nothing,
            // Longer than all of the object may be: if that is too long, its headers say so.
            ErrorKind::Damaged | ErrorKind::Io | ErrorKind::LimitExceeded => Answer::Spoilt,
            _ => Answer::Silence,
        },
    }
}

/// What the answers of all stores say of an object.
pub(super) enum Verdict {
    /// It exists, with this content.
    Exists(Generation),
    /// It does not.
    Missing,
    /// More stores would have to answer.
    Unknown,
    /// There were too few parts, even if what is spoilt had been parts.
    Spoilt,
}

/// Which content most of the parts have, and whether these are enough.
pub(super) fn judge<T>(answers: &[Answer<T>], needed: usize, generation: impl Fn(&T) -> Generation) -> Verdict {
    let mut counts: Vec<(Generation, usize)> = Vec::new();
    let (mut silent, mut spoilt) = (0, 0);
    for answer in answers {
        match answer {
            Answer::Part(part) => {
                let own = generation(part);
                match counts.iter_mut().find(|(known, _)| *known == own) {
                    Some((_, count)) => *count += 1,
                    None => counts.push((own, 1)),
                }
            }
            Answer::Silence => silent += 1,
            Answer::Spoilt => spoilt += 1,
            Answer::Nothing => {}
        }
    }
    // Of several that are equally frequent the first store's counts, so all readers agree.
    let best = counts.into_iter().fold(None, |best: Option<(Generation, usize)>, one| match best {
        Some(best) if best.1 >= one.1 => Some(best),
        _ => Some(one),
    });
    let there = best.map_or(0, |(_, count)| count);
    match best {
        Some((generation, count)) if count >= needed => Verdict::Exists(generation),
        _ if there + silent + spoilt < needed => Verdict::Missing,
        _ if silent > 0 => Verdict::Unknown,
        _ => Verdict::Spoilt,
    }
}

impl ErasureBackend {
    /// Reads an object of at most `limit` bytes whole, verified and repaired: the first stores that will do, then all.
    pub(super) async fn get_whole(&self, name: &ObjectName, limit: u64) -> Result<Bytes> {
        let answers = self.parts(name, 0..self.needed(), limit).await?;
        let few = self.put_together(name, answers.clone()).await;
        if let Ok(data) = few {
            return Ok(data);
        }
        let rest = self.parts(name, self.needed()..usize::from(self.split().stores()), limit).await?;
        let data = self.put_together(name, [answers, rest].concat()).await?;
        self.healed.fetch_add(1, Ordering::Relaxed);
        Ok(data)
    }

    /// Whole parts of the stores that are there, by their rank among them.
    async fn parts(&self, name: &ObjectName, ranks: Range<usize>, limit: u64) -> Result<Vec<Answer<Part>>> {
        let set = self.set().await?;
        let asked = set.there().into_iter().skip(ranks.start).take(ranks.len());
        let parts = asked.map(|(number, store)| async move {
            let got = self.part(name, number, &**store, limit).await;
            if let Err(error) = &got {
                set.slots[number].note(error);
            }
            answer(got)
        });
        let mut answers = join_all(parts).await;
        // Those who are not there have not answered.
        answers.resize(ranks.len(), Answer::Silence);
        Ok(answers)
    }

    /// What one store holds; `None` if it is no part of this object.
    pub(super) async fn part(
        &self,
        name: &ObjectName,
        number: usize,
        store: &dyn Backend,
        limit: u64,
    ) -> Result<Option<Part>> {
        let limit = shard::stored_limit(limit).min(OBJECT_BYTES_MAX as u64);
        let stored = store.get(name, ByteRange::All { limit }).await?;
        let (object, split) = (name.clone(), self.split());
        computing("get object", move || Ok(Part::decode(&object, split, number, stored))).await
    }

    async fn put_together(&self, name: &ObjectName, answers: Vec<Answer<Part>>) -> Result<Bytes> {
        let generation = self.existing(name, "get object", &answers, |part| part.header.generation)?;
        let decoded = computing("get object", move || {
            let parts = answers.iter().filter_map(|answer| match answer {
                Answer::Part(part) if part.header.generation == generation => Some(part),
                _ => None,
            });
            let parts: Vec<&Part> = parts.collect();
            Ok((parts.first().map(|part| part.header), stripe::decode(&parts)))
        });
        let (header, decoded) = decoded.await?;
        let data = decoded.map_err(|error| error.with("object", name))?;
        if let Some(header) = header {
            self.known.note(name, header);
        }
        Ok(data)
    }

    /// The content of an object that exists.
    fn existing<T>(
        &self,
        name: &ObjectName,
        operation: &'static str,
        answers: &[Answer<T>],
        generation: impl Fn(&T) -> Generation,
    ) -> Result<Generation> {
        let error = match judge(answers, self.needed(), generation) {
            Verdict::Exists(generation) => return Ok(generation),
            Verdict::Missing => Error::new(ErrorKind::NotFound, operation),
            Verdict::Spoilt => Error::damaged(operation, "too few stores hold a part of it that is whole"),
            Verdict::Unknown => match self.stores.set.get() {
                Some(set) => set.too_few(operation),
                None => Error::new(ErrorKind::StoreMissing, operation).temporary(),
            },
        };
        Err(error.with("object", name))
    }

    /// The exact length of an object, as its headers tell it.
    pub(super) async fn look(&self, name: &ObjectName) -> Result<u64> {
        let set = self.set().await?;
        let there = set.there();
        let header = |(number, store): (usize, &Arc<dyn Backend>)| {
            let store = Arc::clone(store);
            async move {
                let got = store.get(name, ByteRange::Exact { offset: 0, length: HEADER_BYTES as u64 }).await;
                if let Err(error) = &got {
                    set.slots[number].note(error);
                }
                answer(got.map(|bytes| self.own_header(name, number, &bytes)))
            }
        };
        let mut answers = join_all(there.iter().take(self.needed()).copied().map(header)).await;
        if !matches!(judge(&answers, self.needed(), |header| header.generation), Verdict::Exists(_)) {
            answers.extend(join_all(there.iter().skip(self.needed()).copied().map(header)).await);
        }
        answers.resize(set.slots.len(), Answer::Silence);
        match self.existing(name, "head object", &answers, |header| header.generation) {
            Ok(generation) => {
                let header = answers.iter().find_map(|answer| match answer {
                    Answer::Part(header) if header.generation == generation => Some(*header),
                    _ => None,
                });
                header.map(|header| header.object_bytes).ok_or_else(|| Error::new(ErrorKind::NotFound, "head object"))
            }
            // A header that is spoilt has a second one at the other end.
            Err(error) if error.kind() == ErrorKind::Damaged => {
                Ok(self.get_whole(name, OBJECT_BYTES_MAX as u64).await?.len() as u64)
            }
            Err(error) => Err(error),
        }
    }

    fn own_header(&self, name: &ObjectName, number: usize, bytes: &[u8]) -> Option<Header> {
        let header = Header::decode(name, bytes)?;
        (header.split == self.split() && usize::from(header.store) == number).then_some(header)
    }

    /// Reads a range, unverified, from as few stores as hold it.
    pub(super) async fn get_range(&self, name: &ObjectName, offset: u64, length: u64) -> Result<Bytes> {
        let known = match self.known.get(name) {
            Some(header) => Some(header),
            None => self.first_header(name).await?,
        };
        let Some(header) = known else { return self.range_of_whole(name, offset, length).await };
        if offset.checked_add(length).is_none_or(|end| end > header.object_bytes) {
            return Err(past_the_end(name));
        }
        match self.range_of_parts(name, &header, offset, length).await {
            Ok(bytes) => Ok(bytes),
            Err(_) => {
                self.known.forget(name);
                self.range_of_whole(name, offset, length).await
            }
        }
    }

    async fn range_of_whole(&self, name: &ObjectName, offset: u64, length: u64) -> Result<Bytes> {
        let whole = self.get_whole(name, OBJECT_BYTES_MAX as u64).await?;
        match offset.checked_add(length) {
            Some(end) if end <= whole.len() as u64 => Ok(whole.slice(offset as usize..end as usize)),
            _ => Err(past_the_end(name)),
        }
    }

    /// What the first store that is there says of an object. It may be a leftover: whoever reads it finds what was
    /// written. `None` if it has no good header.
    async fn first_header(&self, name: &ObjectName) -> Result<Option<Header>> {
        let set = self.set().await?;
        let Some((number, store)) = set.there().into_iter().next() else { return Ok(None) };
        let head = ByteRange::Exact { offset: 0, length: HEADER_BYTES as u64 };
        let header = store.get(name, head).await.ok().and_then(|bytes| self.own_header(name, number, &bytes));
        if let Some(header) = header {
            self.known.note(name, header);
        }
        Ok(header)
    }

    async fn range_of_parts(&self, name: &ObjectName, header: &Header, offset: u64, length: u64) -> Result<Bytes> {
        if header.is_copy() {
            let set = self.set().await?;
            let Some((_, store)) = set.there().into_iter().next() else { return Err(set.too_few("get object")) };
            return store.get(name, ByteRange::Exact { offset: offset + HEADER_BYTES as u64, length }).await;
        }
        let part = header.part_bytes() as u64;
        let mut wanted = Vec::new();
        let (mut start, end) = (offset, offset + length);
        while start < end {
            let number = start / part;
            let until = end.min((number + 1) * part);
            wanted.push((number as usize, start - number * part, until - start));
            start = until;
        }
        let ranges =
            wanted.into_iter().map(|(number, offset, length)| self.range_of_shard(name, number, offset, length));
        let mut ranges = try_join_all(ranges).await?;
        match ranges.len() {
            1 => Ok(ranges.remove(0)),
            _ => Ok(ranges.concat().into()),
        }
    }

    /// A range of one data shard: from its store, or made from the same range of others.
    async fn range_of_shard(&self, name: &ObjectName, number: usize, offset: u64, length: u64) -> Result<Bytes> {
        let set = self.set().await?;
        let at = |offset: u64, length: u64| ByteRange::Exact { offset: offset + HEADER_BYTES as u64, length };
        if let Some(store) = set.slots[number].store() {
            match store.get(name, at(offset, length)).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => set.slots[number].note(&error),
            }
        }
        let unit = UNIT_BYTES as u64;
        let start = offset / unit * unit;
        let end = (offset + length).next_multiple_of(unit);
        let others = set.there().into_iter().filter(|(other, _)| *other != number).take(self.needed());
        let others = others.map(|(other, store)| async move {
            let bytes = store.get(name, at(start, end - start)).await?;
            Ok::<_, Error>((other, bytes))
        });
        let others = try_join_all(others).await?;
        let (split, skip): (Split, _) = (self.split(), (offset - start) as usize);
        let range = computing("get object", move || stripe::rebuild_range(split, number, &others)).await?;
        Ok(range.slice(skip..skip + length as usize))
    }
}

fn past_the_end(name: &ObjectName) -> Error {
    Error::damaged("get object", "object is shorter than the range").with("object", name)
}

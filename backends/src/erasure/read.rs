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

use super::members::Set;
use super::shard::{self, Content, HEADER_BYTES, Header, Part};
use super::{ErasureBackend, Splits, stripe};
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
#[derive(Clone, Debug, PartialEq, Eq)]
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

impl<T: AsRef<Header>> Answer<T> {
    fn content(&self) -> Answer<Content> {
        match self {
            Self::Part(part) => Answer::Part(part.as_ref().content()),
            Self::Nothing => Answer::Nothing,
            Self::Spoilt => Answer::Spoilt,
            Self::Silence => Answer::Silence,
        }
    }

    /// The part, if it is of this content.
    pub fn of(&self, content: Content) -> Option<&T> {
        match self {
            Self::Part(part) => Some(part).filter(|part| part.as_ref().content() == content),
            _ => None,
        }
    }
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
    Exists(Content),
    /// It does not.
    Missing,
    /// More stores would have to answer.
    Unknown,
    /// There were too few parts, even if what is spoilt had been parts.
    Spoilt,
}

/// Of which content there are most parts beyond those that are needed, and whether these are enough.
pub(super) fn judge<T: AsRef<Header>>(answers: &[Answer<T>], splits: Splits) -> Verdict {
    let mut counts: Vec<(Content, usize)> = Vec::new();
    let (mut silent, mut spoilt) = (0, 0);
    for answer in answers {
        match answer.content() {
            Answer::Part(content) => match counts.iter_mut().find(|(known, _)| *known == content) {
                Some((_, count)) => *count += 1,
                None => counts.push((content, 1)),
            },
            Answer::Silence => silent += 1,
            Answer::Spoilt => spoilt += 1,
            Answer::Nothing => {}
        }
    }
    let beyond = |(content, count): &(Content, usize)| *count as isize - isize::from(content.split.needed);
    // Of several that are equally frequent the first store's counts, so all readers agree.
    let best = counts.iter().rev().max_by_key(|count| beyond(count));
    let none = splits.each().map(|split| -isize::from(split.needed));
    let most = none.chain(best.map(beyond)).max().unwrap_or(0);
    match best {
        Some(best) if beyond(best) >= 0 => Verdict::Exists(best.0),
        _ if most + silent + spoilt < 0 => Verdict::Missing,
        _ if silent > 0 => Verdict::Unknown,
        _ => Verdict::Spoilt,
    }
}

/// Puts an object together from the parts of this content, or from those of its other split if these are too spoilt. One
/// of the headers that were used comes with it.
pub(super) fn decode(answers: &[Answer<Part>], content: Content, splits: Splits) -> Result<(Header, Bytes)> {
    let from = |content: Content| {
        let parts: Vec<&Part> = answers.iter().filter_map(|answer| answer.of(content)).collect();
        let data = stripe::decode(&parts)?;
        let header = parts.first().map(|part| part.header);
        Ok((header.ok_or_else(|| Error::new(ErrorKind::NotFound, "put object together"))?, data))
    };
    let mut others = splits.each().filter(|split| *split != content.split);
    from(content).or_else(|error| others.find_map(|split| from(Content { split, ..content }).ok()).ok_or(error))
}

/// Asks the stores of these ranks among those that are there. Those that are not there have not answered.
async fn ask<T, F: Future<Output = Result<Option<T>>>>(
    set: &Set,
    ranks: Range<usize>,
    call: impl Fn(usize, Arc<dyn Backend>) -> F,
) -> Vec<Answer<T>> {
    let asked = set.there().into_iter().skip(ranks.start).take(ranks.len());
    let answers = asked.map(|(number, store)| {
        let call = call(number, Arc::clone(store));
        async move {
            let got = call.await;
            if let Err(error) = &got {
                set.slots[number].note(error);
            }
            answer(got)
        }
    });
    let mut answers = join_all(answers).await;
    answers.resize_with(ranks.len(), || Answer::Silence);
    answers
}

/// What all stores answer in the end. While an object moves from one split to another, stores that are asked one after
/// the other may show too few parts of either: that counts only if nothing has moved when they are asked again.
pub(super) async fn settle<T: AsRef<Header>, F: Future<Output = Vec<Answer<T>>>>(
    set: &Set,
    mut seen: Vec<Answer<T>>,
    look: impl Fn() -> F,
) -> Vec<Answer<T>> {
    for _ in 0..=2 * set.slots.len() {
        if set.splits().earlier.is_none() || matches!(judge(&seen, set.splits()), Verdict::Exists(_)) {
            break;
        }
        let again = look().await;
        let stands = again.iter().map(Answer::content).eq(seen.iter().map(Answer::content));
        seen = again;
        if stands {
            break;
        }
    }
    seen
}

/// What the stores say of an object in their headers: the first that will do, then all.
pub(super) async fn headers(set: &Set, name: &ObjectName) -> Vec<Answer<Header>> {
    let (first, all) = (set.splits().needed(), set.slots.len());
    let look = |ranks| {
        ask(set, ranks, |number, store| async move {
            let bytes = store.get(name, ByteRange::Exact { offset: 0, length: HEADER_BYTES as u64 }).await?;
            Ok(Header::decode(name, &bytes).filter(|header| header.belongs(set.splits(), number)))
        })
    };
    let mut answers = look(0..first).await;
    if !matches!(judge(&answers, set.splits()), Verdict::Exists(_)) {
        answers.extend(look(first..all).await);
    }
    settle(set, answers, || look(0..all)).await
}

impl ErasureBackend {
    /// Reads an object of at most `limit` bytes whole, verified and repaired: the first stores that will do, then all.
    pub(super) async fn get_whole(&self, name: &ObjectName, limit: u64) -> Result<Bytes> {
        let set = self.set().await?;
        let (first, all) = (set.splits().needed(), set.slots.len());
        let answers = self.parts(name, set, 0..first, limit).await;
        let few = self.put_together(name, set, answers.clone()).await;
        if let Ok(data) = few {
            return Ok(data);
        }
        let are_whole = answers.iter().all(|answer| matches!(answer, Answer::Part(part) if part.is_intact));
        let rest = self.parts(name, set, first..all, limit).await;
        let answers = settle(set, [answers, rest].concat(), || self.parts(name, set, 0..all, limit)).await;
        let data = self.put_together(name, set, answers).await?;
        self.healed.fetch_add(u64::from(!are_whole), Ordering::Relaxed);
        Ok(data)
    }

    /// Whole parts of the stores that are there, by their rank among them.
    async fn parts(&self, name: &ObjectName, set: &Set, ranks: Range<usize>, limit: u64) -> Vec<Answer<Part>> {
        ask(set, ranks, |number, store| async move { self.part(name, set, number, &*store, limit).await }).await
    }

    /// What one store holds; `None` if it is no part of this object.
    pub(super) async fn part(
        &self,
        name: &ObjectName,
        set: &Set,
        number: usize,
        store: &dyn Backend,
        limit: u64,
    ) -> Result<Option<Part>> {
        let limit = shard::stored_limit(limit).min(OBJECT_BYTES_MAX as u64);
        let stored = store.get(name, ByteRange::All { limit }).await?;
        let (object, splits) = (name.clone(), set.splits());
        computing("get object", move || Ok(Part::decode(&object, splits, number, stored))).await
    }

    async fn put_together(&self, name: &ObjectName, set: &Set, answers: Vec<Answer<Part>>) -> Result<Bytes> {
        let content = existing(name, set, "get object", &answers)?;
        let splits = set.splits();
        let decoded = computing("get object", move || Ok(decode(&answers, content, splits)));
        let (header, data) = decoded.await?.map_err(|error| error.with("object", name))?;
        self.known.note(name, header);
        Ok(data)
    }

    /// The exact length of an object, as its headers tell it.
    pub(super) async fn look(&self, name: &ObjectName) -> Result<u64> {
        let set = self.set().await?;
        let answers = headers(set, name).await;
        match existing(name, set, "head object", &answers) {
            Ok(content) => {
                let header = answers.iter().find_map(|answer| answer.of(content));
                header.map(|header| header.object_bytes).ok_or_else(|| Error::new(ErrorKind::NotFound, "head object"))
            }
            // A header that is spoilt has a second one at the other end.
            Err(error) if error.kind() == ErrorKind::Damaged => {
                Ok(self.get_whole(name, OBJECT_BYTES_MAX as u64).await?.len() as u64)
            }
            Err(error) => Err(error),
        }
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
        let header = store.get(name, head).await.ok().and_then(|bytes| Header::decode(name, &bytes));
        let header = header.filter(|header| header.belongs(set.splits(), number));
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
        let ranges = wanted
            .into_iter()
            .map(|(number, offset, length)| self.range_of_shard(name, header, number, offset, length));
        let mut ranges = try_join_all(ranges).await?;
        match ranges.len() {
            1 => Ok(ranges.remove(0)),
            _ => Ok(ranges.concat().into()),
        }
    }

    /// A range of one data shard: from its store, or made from the same range of others.
    async fn range_of_shard(
        &self,
        name: &ObjectName,
        header: &Header,
        number: usize,
        offset: u64,
        length: u64,
    ) -> Result<Bytes> {
        let (set, split) = (self.set().await?, header.split);
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
        let others = set.there().into_iter().filter(|(other, _)| *other != number && *other < split.stores().into());
        let others = others.take(split.needed.into());
        let others = others.map(|(other, store)| async move {
            let bytes = store.get(name, at(start, end - start)).await?;
            Ok::<_, Error>((other, bytes))
        });
        let others = try_join_all(others).await?;
        let skip = (offset - start) as usize;
        let range = computing("get object", move || stripe::rebuild_range(split, number, &others)).await?;
        Ok(range.slice(skip..skip + length as usize))
    }
}

/// The content of an object that exists.
fn existing<T: AsRef<Header>>(
    name: &ObjectName,
    set: &Set,
    operation: &'static str,
    answers: &[Answer<T>],
) -> Result<Content> {
    let error = match judge(answers, set.splits()) {
        Verdict::Exists(content) => return Ok(content),
        Verdict::Missing => Error::new(ErrorKind::NotFound, operation),
        Verdict::Spoilt => Error::damaged(operation, "too few stores hold a part of it that is whole"),
        Verdict::Unknown => set.too_few(operation),
    };
    Err(error.with("object", name))
}

fn past_the_end(name: &ObjectName) -> Error {
    Error::damaged("get object", "object is shorter than the range").with("object", name)
}

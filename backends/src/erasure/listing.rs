//! One list of what several stores list.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use gabion_core::backend::{ObjectMeta, ObjectName, Prefix};
use gabion_core::error::Result;

use super::members::Set;
use super::read::{Verdict, headers, judge};
use super::record;

/// Objects of which headers are read at once.
const LOOKS_AT_ONCE: usize = 32;

/// How many stores list a name, and the most bytes one of them holds under it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Listed {
    pub stores: usize,
    pub bytes: u64,
}

/// Every name of which any store has a part, and how many stores did not answer.
///
/// A store whose list breaks off counts as one of these; an error if there are too many.
pub(super) async fn names(set: &Set, prefix: &Prefix) -> Result<(BTreeMap<ObjectName, Listed>, usize)> {
    let lists = set.there().into_iter().map(|(number, store)| {
        let list = store.list(prefix);
        async move { (number, list.try_collect::<Vec<ObjectMeta>>().await) }
    });
    let (mut names, mut answered) = (BTreeMap::<ObjectName, Listed>::new(), vec![false; set.slots.len()]);
    let mut failed = None;
    for (number, list) in join_all(lists).await {
        match list {
            Ok(objects) => {
                answered[number] = true;
                for object in objects.into_iter().filter(|object| !record::is_record(&object.name, set.depth())) {
                    let listed = names.entry(object.name).or_default();
                    listed.stores += 1;
                    listed.bytes = listed.bytes.max(object.bytes);
                }
            }
            Err(error) => {
                set.slots[number].note(&error);
                set.lists_failed.store(true, Ordering::Relaxed);
                failed = Some(error);
            }
        }
    }
    match set.are_enough(|number| answered[number]) {
        true => Ok((names, answered.iter().filter(|answered| !**answered).count())),
        false => Err(failed.unwrap_or_else(|| set.too_few("list objects"))),
    }
}

/// The objects that exist: of which enough stores list a part, those that did not answer given the benefit of doubt.
/// Where parts may be of two splits their headers are asked, unless there are enough of them whichever they are of.
///
/// The sizes are upper bounds: a list does not tell copies from shards.
pub(super) async fn objects(set: &Set, prefix: &Prefix) -> Result<Vec<ObjectMeta>> {
    let (names, silent) = names(set, prefix).await?;
    let splits = set.splits();
    let needed = || splits.each().map(|split| usize::from(split.needed));
    let few = needed().min().unwrap_or(0);
    let many = needed().map(|needed| needed - 1).sum::<usize>() + 1;
    let exists = |name: ObjectName, listed: Listed| async move {
        let exists = match listed.stores + silent >= few {
            true if splits.earlier.is_none() || listed.stores >= many => true,
            true => !matches!(judge(&headers(set, &name).await, splits), Verdict::Missing),
            false => false,
        };
        exists.then_some(ObjectMeta { name, bytes: listed.bytes * splits.needed() as u64 })
    };
    let objects = stream::iter(names).map(|(name, listed)| exists(name, listed)).buffered(LOOKS_AT_ONCE);
    Ok(objects.filter_map(std::future::ready).collect().await)
}

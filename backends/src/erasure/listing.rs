//! One list of what several stores list.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use futures_util::stream::TryStreamExt;
use gabion_core::backend::{ObjectMeta, ObjectName, Prefix};
use gabion_core::error::Result;

use super::members::Set;
use super::record;

/// How many stores list a name, and the most bytes one of them holds under it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Listed {
    pub stores: usize,
    pub bytes: u64,
}

/// Every name of which any store has a part, and how many stores answered.
///
/// A store whose list breaks off counts as one that did not answer; an error if fewer than `needed` do.
pub(super) async fn names(set: &Set, prefix: &Prefix, needed: usize) -> Result<(BTreeMap<ObjectName, Listed>, usize)> {
    let lists = set.there().into_iter().map(|(number, store)| {
        let list = store.list(prefix);
        async move { (number, list.try_collect::<Vec<ObjectMeta>>().await) }
    });
    let (mut names, mut answered) = (BTreeMap::<ObjectName, Listed>::new(), 0);
    let mut failed = None;
    for (number, list) in join_all(lists).await {
        match list {
            Ok(objects) => {
                answered += 1;
                for object in objects.into_iter().filter(|object| !record::is_record(&object.name, set.depth())) {
                    let listed = names.entry(object.name).or_default();
                    listed.stores += 1;
                    listed.bytes = listed.bytes.max(object.bytes);
                }
            }
            Err(error) => {
                set.slots[number].note(&error);
                failed = Some(error);
            }
        }
    }
    match failed {
        Some(error) if answered < needed => Err(error),
        None if answered < needed => Err(set.too_few("list objects")),
        _ => Ok((names, answered)),
    }
}

/// The objects that exist: of which enough stores list a part, those that did not answer given the benefit of doubt.
///
/// The sizes are upper bounds: a list does not tell copies from shards.
pub(super) async fn objects(set: &Set, prefix: &Prefix, needed: usize) -> Result<Vec<ObjectMeta>> {
    let (names, answered) = names(set, prefix, needed).await?;
    let silent = set.slots.len() - answered;
    let existing = names.into_iter().filter(|(_, listed)| listed.stores + silent >= needed);
    Ok(existing.map(|(name, listed)| ObjectMeta { name, bytes: listed.bytes * needed as u64 }).collect())
}

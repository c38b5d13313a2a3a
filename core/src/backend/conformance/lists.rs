//! Checks of lists.

use std::collections::BTreeSet;

use futures_util::stream::TryStreamExt;
use tokio::task::{JoinSet, yield_now};

use super::super::trial::BESIDE;
use super::super::{ObjectName, Prefix};
use super::place::{Outcome, Place, ensure};

/// Contract 5: a prefix is whole parts, not a string; the list of everything has everything.
pub(super) async fn whole_parts(place: Place) -> Outcome {
    let plain = |text: String| ObjectName::new(text).map_err(|error| error.to_string());
    let (top, beside) = (place.top().to_owned(), format!("{}{BESIDE}", place.top()));
    let inside = [place.name("pp/1")?, place.name("pp/2")?, place.name("ppq/1")?, place.name("p")?, place.fresh()?];
    let outside = [plain(format!("{beside}/1"))?, plain(format!("{top}-alone"))?];
    let every = [&inside[..], &outside].concat();
    place.put_many(every.clone(), 20).await?;

    let set = |names: &[ObjectName]| names.iter().cloned().collect::<BTreeSet<_>>();
    place.expect_listed(&format!("{top}/pp"), &set(&inside[..2])).await?;
    place.expect_listed(&format!("{top}/ppq"), &set(&inside[2..3])).await?;
    place.expect_listed(&top, &set(&inside)).await?;
    place.expect_listed(&beside, &set(&outside[..1])).await?;
    // A name is not under itself, and a part of a part is no part.
    for none in ["p", "pp/1", "q"] {
        place.expect_listed(&format!("{top}/{none}"), &BTreeSet::new()).await?;
    }
    let listed: Vec<_> = place.backend.list(&Prefix::all()).try_collect().await.map_err(|error| error.to_string())?;
    for name in &every {
        let times = listed.iter().filter(|object| object.name == *name).count();
        ensure(times == 1, || format!("list of everything: {name} comes {times} times"))?;
    }
    place.delete_many(every).await
}

/// Contract 5: where nothing was ever put, the list is empty and no error.
pub(super) async fn nothing(place: Place) -> Outcome {
    let name = place.fresh_under("nowhere/")?;
    place.expect_listed(&format!("{}/nowhere", place.top()), &BTreeSet::new()).await?;
    place.expect_listed(name.as_str(), &BTreeSet::new()).await?;
    place.expect_listed(&format!("{}-nowhere", place.top()), &BTreeSet::new()).await
}

/// Contract 5: a list knows every put and every delete that was answered.
pub(super) async fn follow(place: Place) -> Outcome {
    let prefix = format!("{}/follow", place.top());
    let mut names = BTreeSet::new();
    for _ in 0..5 {
        let name = place.fresh_under("follow/")?;
        place.put_own(&name, 3).await?;
        names.insert(name);
        place.expect_listed(&prefix, &names).await?;
    }
    while let Some(name) = names.pop_first() {
        place.delete(&name).await?;
        place.expect_listed(&prefix, &names).await?;
    }
    Ok(())
}

/// Contract 10: `head` tells the exact size, a list at least that.
pub(super) async fn sizes(place: Place) -> Outcome {
    let mut names = Vec::new();
    for bytes in super::SIZES {
        let name = place.fresh_under("sizes/")?;
        place.put_own(&name, bytes).await?;
        names.push((name, bytes as u64));
    }
    place.settle().await;
    let listed = place.list(&format!("{}/sizes", place.top())).await?;
    for (name, bytes) in &names {
        let head = place.head(name).await?.bytes;
        ensure(head == *bytes, || format!("head {name}: tells {head} bytes instead of {bytes}"))?;
        let told = listed.iter().find(|object| object.name == *name).map(|object| object.bytes);
        ensure(told.is_some_and(|told| told >= *bytes), || format!("list: {name} has {told:?} instead of {bytes}"))?;
    }
    place.delete_many(names.into_iter().map(|(name, _)| name).collect()).await
}

/// Contract 5: while others put and delete, what stays is listed exactly once, and nothing that never was.
pub(super) async fn during_change(place: Place) -> Outcome {
    let prefix = format!("{}/stable", place.top());
    let stable: BTreeSet<_> = fresh(&place, "stable/", 100)?.into_iter().collect();
    place.put_many(stable.iter().cloned().collect(), 9).await?;
    place.settle().await;
    let mut changes = JoinSet::new();
    for _ in 0..3 {
        changes.spawn(change(place.clone()));
    }
    let mut result = Ok(());
    while result.is_ok() && !changes.is_empty() {
        result = listed_once(&place, &prefix, &stable).await;
        yield_now().await;
        while let Some(done) = changes.try_join_next() {
            result = result.and(done.unwrap_or_else(|error| Err(error.to_string())));
        }
    }
    while let Some(done) = changes.join_next().await {
        result = result.and(done.unwrap_or_else(|error| Err(error.to_string())));
    }
    result?;
    place.expect_listed(&prefix, &stable).await?;
    place.delete_many(stable.into_iter().collect()).await
}

/// Puts and deletes beside the stable names, in bursts, so that folders grow and shrink.
async fn change(place: Place) -> Outcome {
    for round in 0..place.options.rounds.div_ceil(5) {
        let names = fresh(&place, "stable/", 5 + round)?;
        place.put_many(names.clone(), 9).await?;
        place.delete_many(names).await?;
    }
    Ok(())
}

async fn listed_once(place: &Place, prefix: &str, stable: &BTreeSet<ObjectName>) -> Outcome {
    let listed = place.list(prefix).await?;
    for pair in listed.windows(2) {
        ensure(pair[0].name != pair[1].name, || format!("list {prefix}: {} comes twice", pair[0].name))?;
    }
    for object in &listed {
        // What comes and goes is put whole as well: nothing half-written is ever listed.
        ensure(object.bytes >= 9, || format!("list {prefix}: {} has {} bytes", object.name, object.bytes))?;
    }
    let missing = stable.iter().find(|name| listed.binary_search_by(|object| object.name.cmp(name)).is_err());
    ensure(missing.is_none(), || format!("list {prefix}: {missing:?} is missing while other names change"))
}

/// Contract 5: a long list, of many pages where a store has pages, has every name once.
pub(super) async fn long(place: Place) -> Outcome {
    // A put that was dropped may have landed after its name was deleted.
    place.clean_up().await?;
    let names = fresh(&place, "", place.options.names)?;
    place.put_many(names.clone(), 16).await?;
    place.expect_listed(place.top(), &names.iter().cloned().collect()).await?;
    place.delete_many(names).await?;
    place.expect_listed(place.top(), &BTreeSet::new()).await
}

fn fresh(place: &Place, middle: &str, count: usize) -> Outcome<Vec<ObjectName>> {
    (0..count).map(|_| place.fresh_under(middle)).collect()
}

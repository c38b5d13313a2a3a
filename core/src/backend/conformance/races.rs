//! Checks of what happens at once: readers during writers, writers against each other, writers that give up.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::{self, Either};
use tokio::task::{JoinSet, yield_now};

use super::super::{ByteRange, ObjectName, PutMode};
use super::place::{Outcome, Place, content, ensure, told};
use crate::error::{ErrorKind, Result};

/// Contract 8: a put that is dropped at any moment left nothing, or all, or will; and can be repeated.
pub(super) async fn dropped_put(place: Place) -> Outcome {
    let bytes = 300_000;
    for patience in (0..8).map(|power| (1 << power) - 1) {
        let name = place.fresh()?;
        let whole = content(&name, bytes);
        let put = place.put_as(&name, &whole, PutMode::Write);
        if let Either::Left((result, _)) = future::select(Box::pin(put), Box::pin(yields(patience))).await {
            result.map_err(told("put", &name))?;
        }
        for _ in 0..20 {
            whole_or_nothing(&name, &[&whole], place.backend.get(&name, ByteRange::WHOLE).await)?;
            yield_now().await;
        }
        place.put(&name, &whole).await?;
        place.expect(&name, &whole).await?;
        place.delete(&name).await?;
    }
    Ok(())
}

async fn yields(count: usize) {
    for _ in 0..count {
        yield_now().await;
    }
}

/// Contract 1: whoever reads while an object is put sees nothing or all of it.
pub(super) async fn reader_during_put(place: Place) -> Outcome {
    for _ in 0..3 {
        let name = place.fresh()?;
        let whole = content(&name, place.options.large_bytes);
        let mut writer = JoinSet::new();
        let (own, there, bytes) = (place.clone(), name.clone(), whole.clone());
        writer.spawn(async move { own.put(&there, &bytes).await });
        watch(&place, &name, &[&whole], &mut writer).await?;
        place.expect(&name, &whole).await?;
        place.delete(&name).await?;
    }
    Ok(())
}

/// Contract 2: whoever reads while an object is replaced sees the old value or the new one, and never nothing.
pub(super) async fn reader_during_replace(place: Place) -> Outcome {
    if !place.backend.capabilities().replace_existing {
        return Ok(());
    }
    let name = place.fresh()?;
    let values = [content(&name, 150_000), content(&place.fresh()?, 90_000)];
    place.put(&name, &values[0]).await?;
    let mut writer = JoinSet::new();
    let (own, there, new, rounds) = (place.clone(), name.clone(), values.clone(), place.options.rounds);
    writer.spawn(async move {
        for round in 1..=rounds {
            let replaced = own.put_as(&there, &new[round % 2], PutMode::ReplaceExisting).await;
            replaced.map_err(told("replace", &there))?;
        }
        Ok(())
    });
    while !writer.is_empty() {
        let got = place.get(&name).await?;
        ensure(values.contains(&got), || format!("get {name}: neither old nor new while it is replaced"))?;
        collect(&mut writer)?;
        yield_now().await;
    }
    place.delete(&name).await
}

/// Reads `name` until the writers are done; every answer is one of `values` or "not found".
async fn watch(place: &Place, name: &ObjectName, values: &[&Bytes], writers: &mut JoinSet<Outcome>) -> Outcome {
    while !writers.is_empty() {
        whole_or_nothing(name, values, place.backend.get(name, ByteRange::WHOLE).await)?;
        match place.backend.head(name).await {
            Ok(head) => ensure(values.iter().any(|value| value.len() as u64 == head.bytes), || {
                format!("head {name}: {} bytes while it is put", head.bytes)
            })?,
            Err(error) => ensure(error.kind() == ErrorKind::NotFound, || told("head", name)(error))?,
        }
        collect(writers)?;
        yield_now().await;
    }
    Ok(())
}

fn collect(writers: &mut JoinSet<Outcome>) -> Outcome {
    while let Some(done) = writers.try_join_next() {
        done.map_err(|error| error.to_string())??;
    }
    Ok(())
}

fn whole_or_nothing(name: &ObjectName, values: &[&Bytes], got: Result<Bytes>) -> Outcome {
    match got {
        Ok(got) => ensure(values.contains(&&got), || format!("get {name}: {} bytes of a part of it", got.len())),
        Err(error) => ensure(error.kind() == ErrorKind::NotFound, || told("get", name)(error)),
    }
}

/// Contract 2: of a replacement and a delete at once, whichever comes first, the object is gone at the end.
pub(super) async fn replace_against_delete(place: Place) -> Outcome {
    if !place.backend.capabilities().replace_existing {
        return Ok(());
    }
    for _ in 0..place.options.rounds {
        let name = place.fresh()?;
        place.put_own(&name, 50).await?;
        let (own, there) = (place.clone(), name.clone());
        let replace =
            tokio::spawn(async move { own.put_as(&there, &content(&there, 60), PutMode::ReplaceExisting).await });
        place.delete(&name).await?;
        match replace.await.map_err(|error| error.to_string())? {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(told("replace", &name)(error)),
            _ => place.expect_missing(&name).await?,
        }
    }
    Ok(())
}

/// Contract 2, 8: an impatient client sends the same put again while the first is under way.
pub(super) async fn same_put_at_once(place: Place) -> Outcome {
    for bytes in [100, 200_000] {
        let name = place.fresh()?;
        let whole = content(&name, bytes);
        let mut writers = JoinSet::new();
        for _ in 0..4 {
            let (own, there, bytes) = (place.clone(), name.clone(), whole.clone());
            writers.spawn(async move { own.put(&there, &bytes).await });
        }
        watch(&place, &name, &[&whole], &mut writers).await?;
        place.expect(&name, &whole).await?;
        place.delete(&name).await?;
        place.expect_missing(&name).await?;
    }
    Ok(())
}

/// Contract 8: tasks that put, read, list and delete at once keep out of each other's way.
pub(super) async fn many_at_once(place: Place) -> Outcome {
    let mut tasks = JoinSet::new();
    for seed in 1..=8 {
        tasks.spawn(compete(place.clone(), seed));
    }
    while let Some(done) = tasks.join_next().await {
        done.map_err(|error| error.to_string())??;
    }
    Ok(())
}

/// One of the tasks. Its names are its own, so it knows what must be there at every moment.
async fn compete(place: Place, seed: usize) -> Outcome {
    let mut own: BTreeMap<ObjectName, usize> = BTreeMap::new();
    for round in 0..place.options.rounds {
        let (name, bytes) = (place.fresh_under("shared/")?, (round * 7919 + seed * 104_729) % 20_000);
        place.put_own(&name, bytes).await?;
        own.insert(name.clone(), bytes);
        place.expect_own(&name, bytes).await?;
        if round % 3 == seed % 3
            && let Some((name, bytes)) = own.pop_first()
        {
            place.expect_own(&name, bytes).await?;
            place.delete(&name).await?;
            place.expect_missing(&name).await?;
        }
        if round % 5 == seed % 5 && place.backend.capabilities().list_staleness.is_zero() {
            let listed = place.list(&format!("{}/shared", place.top())).await?;
            let missing = own.keys().find(|name| !listed.iter().any(|object| object.name == **name));
            ensure(missing.is_none(), || format!("list: {missing:?} is missing although its put was answered"))?;
        }
    }
    for (name, bytes) in &own {
        place.expect_own(name, *bytes).await?;
    }
    place.delete_many(own.into_keys().collect()).await
}

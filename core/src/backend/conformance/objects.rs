//! Checks of single objects: put, get, head and delete, ranges and errors.

use bytes::Bytes;

use super::super::{ByteRange, Payload, PutMode};
use super::SIZES;
use super::place::{Outcome, Place, content, ensure, not_found, told};
use crate::error::{Error, ErrorKind, Retry};

/// Contract 1: what was put is what is got, at every size and depth of name.
pub(super) async fn round_trip(place: Place) -> Outcome {
    for bytes in SIZES {
        for name in [place.fresh()?, place.fresh_under("deep/")?] {
            place.put_own(&name, bytes).await?;
            place.expect_own(&name, bytes).await?;
            place.delete(&name).await?;
        }
    }
    Ok(())
}

/// Contract 1: no bytes at all is a value like any other, be it no piece or an empty one.
pub(super) async fn empty(place: Place) -> Outcome {
    for payload in [Payload::default(), Payload::from(Bytes::new())] {
        let name = place.fresh()?;
        place.backend.put(&name, payload, PutMode::Write).await.map_err(told("put", &name))?;
        place.expect_own(&name, 0).await?;
        place.delete(&name).await?;
        place.expect_missing(&name).await?;
    }
    Ok(())
}

/// Contract 1: the pieces of a payload become one object, in their order; empty pieces add nothing.
pub(super) async fn pieces(place: Place) -> Outcome {
    let name = place.fresh()?;
    let whole = content(&name, 200_003);
    let cuts = [0, 0, 1, 1, 7, 4096, 65_536, 65_537, 200_003, 200_003];
    let pieces = cuts.windows(2).map(|cut| whole.slice(cut[0]..cut[1])).collect();
    place.backend.put(&name, Payload::from_pieces(pieces), PutMode::Write).await.map_err(told("put", &name))?;
    place.expect(&name, &whole).await?;
    place.delete(&name).await
}

/// Contract 1, 3: an object as large as segments get, whole and in parts.
pub(super) async fn large(place: Place) -> Outcome {
    let (name, bytes) = (place.fresh()?, place.options.large_bytes);
    let whole = content(&name, bytes);
    // In several pieces, as a writer of segments has them.
    let pieces = whole.chunks(1_000_003).map(|piece| whole.slice_ref(piece)).collect();
    place.backend.put(&name, Payload::from_pieces(pieces), PutMode::Write).await.map_err(told("put", &name))?;
    place.expect(&name, &whole).await?;
    let tail = bytes.min(70_000);
    let got =
        place.get_range(&name, (bytes - tail) as u64, tail as u64).await.map_err(told("get the end of", &name))?;
    ensure(got == whole[bytes - tail..], || format!("get {name}: its last {tail} bytes are others"))?;
    place.delete(&name).await
}

/// Contract 2: a put that is repeated, because its answer was lost, succeeds.
pub(super) async fn same_again(place: Place) -> Outcome {
    for bytes in [0, 5, 70_000] {
        let name = place.fresh()?;
        place.put_own(&name, bytes).await?;
        place.put_own(&name, bytes).await?;
        place.expect_own(&name, bytes).await?;
        place.delete(&name).await?;
        // The same once more, after a delete: the store keeps no memory of names.
        place.put_own(&name, bytes).await?;
        place.expect_own(&name, bytes).await?;
        place.delete(&name).await?;
    }
    Ok(())
}

/// Contract 2: `ReplaceExisting` takes shorter, longer and empty values, but only over an object; a store without
/// it says so and leaves the object alone.
pub(super) async fn replace_existing(place: Place) -> Outcome {
    let name = place.fresh()?;
    let old = content(&name, 1000);
    place.put(&name, &old).await?;
    if !place.backend.capabilities().replace_existing {
        let result = place.put_as(&name, &content(&name, 2000), PutMode::ReplaceExisting).await;
        let refused = result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unsupported);
        ensure(refused, || format!("replace {name}: {result:?} although the store says that it can not"))?;
        place.expect(&name, &old).await?;
        return place.delete(&name).await;
    }
    for bytes in [10, 70_000, 0, 1000] {
        let new = content(&place.fresh()?, bytes);
        place.put_as(&name, &new, PutMode::ReplaceExisting).await.map_err(told("replace", &name))?;
        place.expect(&name, &new).await?;
    }
    place.delete(&name).await?;
    for missing in [&name, &place.fresh()?, &place.fresh_under("never/")?] {
        not_found("replace", missing, place.put_as(missing, &old, PutMode::ReplaceExisting).await)?;
        place.expect_missing(missing).await?;
    }
    Ok(())
}

/// Contract 3: a range is exactly the bytes asked for: first, middle, last, single, all, none.
pub(super) async fn ranges(place: Place) -> Outcome {
    let name = place.fresh()?;
    let whole = content(&name, 100_000);
    place.put(&name, &whole).await?;
    let wanted =
        [(0, 1), (0, 4096), (0, 100_000), (1, 99_998), (65_530, 12), (99_999, 1), (90_000, 10_000), (0, 0), (500, 0)];
    for (offset, length) in wanted {
        let got = place.get_range(&name, offset as u64, length as u64).await.map_err(told("get a range of", &name))?;
        ensure(got == whole[offset..offset + length], || {
            format!("get {length} bytes at {offset} of {name}: {} bytes, or others", got.len())
        })?;
    }
    place.delete(&name).await
}

/// Contract 3: asking for more than there is fails; it never gives less.
pub(super) async fn ranges_past_the_end(place: Place) -> Outcome {
    let name = place.fresh()?;
    place.put_own(&name, 1000).await?;
    for (offset, length) in [(0, 1001), (999, 2), (1000, 1), (1001, 1), (5000, 10), (0, 1 << 20)] {
        refused(&place, &name, offset, length).await?;
    }
    let empty = place.fresh()?;
    place.put_own(&empty, 0).await?;
    refused(&place, &empty, 0, 1).await?;
    place.delete_many(vec![name, empty]).await
}

/// Contract 9: lengths and offsets that can not be true cost neither memory nor a panic.
pub(super) async fn lying_ranges(place: Place) -> Outcome {
    let name = place.fresh()?;
    place.put_own(&name, 10).await?;
    for (offset, length) in [(u64::MAX, u64::MAX), (u64::MAX, 1), (1, u64::MAX), (0, 1 << 62), (i64::MAX as u64, 1)] {
        refused(&place, &name, offset, length).await?;
    }
    place.delete(&name).await
}

/// Contract 3: all of an object is given up to the limit and refused beyond it.
pub(super) async fn limits(place: Place) -> Outcome {
    let name = place.fresh()?;
    place.put_own(&name, 1000).await?;
    for limit in [1000, 1001, u64::MAX] {
        let got = place.backend.get(&name, ByteRange::All { limit }).await.map_err(told("get", &name))?;
        ensure(got.len() == 1000, || format!("get at most {limit} bytes of {name}: {} of 1000 bytes", got.len()))?;
    }
    for limit in [999, 1, 0] {
        match place.backend.get(&name, ByteRange::All { limit }).await {
            Err(error) if error.kind() == ErrorKind::LimitExceeded => {}
            Err(error) => return Err(format!("get at most {limit} bytes of {name}: {error}")),
            Ok(got) => return Err(format!("get at most {limit} bytes of {name}: succeeds with {} bytes", got.len())),
        }
    }
    place.delete(&name).await
}

async fn refused(place: &Place, name: &super::super::ObjectName, offset: u64, length: u64) -> Outcome {
    match place.get_range(name, offset, length).await {
        // The object is there: a caller must not take a range that is wrong for an object that is gone.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(format!("get {length} bytes at {offset} of {name}: not found, although it exists"))
        }
        Err(_) => Ok(()),
        Ok(got) => Err(format!("get {length} bytes at {offset} of {name}: succeeds with {} bytes", got.len())),
    }
}

/// Contract 3: what was never put is not found, neither the whole nor a range, neither beside objects nor elsewhere.
pub(super) async fn missing(place: Place) -> Outcome {
    let there = place.fresh()?;
    place.put_own(&there, 10).await?;
    for name in [place.fresh()?, place.fresh_under("nowhere/")?] {
        place.expect_missing(&name).await?;
        for (offset, length) in [(0, 0), (0, 1), (100, 5)] {
            not_found("get a range of", &name, place.get_range(&name, offset, length).await)?;
        }
    }
    place.delete(&there).await
}

/// Contract 4: deleting removes one object, deleting nothing is fine.
pub(super) async fn delete(place: Place) -> Outcome {
    let (kept, gone) = (place.fresh()?, place.fresh()?);
    place.put_own(&kept, 100).await?;
    place.put_own(&gone, 100).await?;
    for _ in 0..2 {
        place.delete(&gone).await?;
        place.expect_missing(&gone).await?;
    }
    place.expect_own(&kept, 100).await?;
    place.delete(&place.fresh()?).await?;
    place.delete(&place.fresh_under("nowhere/")?).await?;
    place.delete(&kept).await
}

/// Contract 7: an error names the object, and a missing object is no reason to try again.
pub(super) async fn errors_tell(place: Place) -> Outcome {
    let (missing, short) = (place.fresh()?, place.fresh()?);
    place.put_own(&short, 10).await?;
    let mut errors = vec![
        ("get", &missing, place.backend.get(&missing, ByteRange::WHOLE).await.err()),
        ("get a range of", &missing, place.get_range(&missing, 0, 1).await.err()),
        ("head", &missing, place.backend.head(&missing).await.err()),
        ("get too long a range of", &short, place.get_range(&short, 0, 11).await.err()),
    ];
    let replaced = place.put_as(&missing, &Bytes::new(), PutMode::ReplaceExisting).await;
    errors.push(("replace", &missing, replaced.err()));
    for (call, name, error) in errors {
        let error: Error = error.ok_or_else(|| format!("{call} {name}: succeeds"))?;
        ensure(error.context("object") == Some(name.as_str()), || {
            format!("{call} {name}: the error does not name the object: {error}")
        })?;
        ensure(!error.operation().is_empty(), || format!("{call} {name}: the error names no operation: {error}"))?;
        ensure(error.retry() == Retry::Permanent, || format!("{call} {name}: says that repeating helps: {error}"))?;
    }
    place.delete(&short).await
}

/// Contract 9: names are only names: dots, dashes and great length mean nothing to the store.
pub(super) async fn unusual_names(place: Place) -> Outcome {
    let longest = "n".repeat(128 - place.top().len() - 3);
    let names = [
        "a..b",
        "a.",
        "-",
        "--help",
        "-rf",
        "con",
        "nul",
        "0",
        "_",
        "a.tmp",
        "a.lock",
        "index.html",
        "d/-",
        "d/a..",
        &format!("d/{longest}"),
        &format!("{longest}l."),
    ];
    for name in names {
        let name = place.name(name)?;
        place.put_own(&name, 33).await?;
        place.expect_own(&name, 33).await?;
        let listed = place.list(place.top()).await?;
        let stale = !place.backend.capabilities().list_staleness.is_zero();
        ensure(stale || listed.iter().any(|object| object.name == name), || format!("list: {name} is missing"))?;
        place.delete(&name).await?;
        place.expect_missing(&name).await?;
    }
    Ok(())
}

//! Where a check works: names nobody else uses, contents that follow from the names, and calls that say what failed.

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::time::Instant;

use super::super::trial::{self, BESIDE};
use super::super::{Backend, ByteRange, ObjectMeta, ObjectName, Payload, Prefix, PutMode};
use super::Options;
use crate::error::{Error, ErrorKind, Result};

/// What a check comes to: nothing, or what was seen.
pub(super) type Outcome<T = ()> = Result<T, String>;

/// Ends a check with what was seen unless `fine`.
pub(super) fn ensure(fine: bool, seen: impl FnOnce() -> String) -> Outcome {
    if fine { Ok(()) } else { Err(seen()) }
}

/// A store and a part of its names. Clones share the count of drawn names.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub backend: Arc<dyn Backend>,
    pub options: Options,
    top: Arc<str>,
    names: Arc<Names>,
}

/// Draws names: a random start, which no cryptography hangs on, and a count.
#[derive(Debug)]
struct Names {
    random: u64,
    drawn: AtomicU64,
}

impl Place {
    pub fn new(backend: Arc<dyn Backend>, options: Options) -> Self {
        let random = RandomState::new().hash_one(std::process::id());
        let top = options.top.clone().unwrap_or_else(|| trial::top(random)).into();
        Self { backend, options, top, names: Arc::new(Names { random, drawn: AtomicU64::new(0) }) }
    }

    /// The first part of every name.
    pub fn top(&self) -> &str {
        &self.top
    }

    /// A name that was never used: the first part and 32 hexadecimal digits, as the engine's own names are.
    pub fn fresh(&self) -> Outcome<ObjectName> {
        self.fresh_under("")
    }

    /// A name that was never used, with `middle` (`part/` or nothing) before its last part.
    pub fn fresh_under(&self, middle: &str) -> Outcome<ObjectName> {
        let count = self.names.drawn.fetch_add(1, Ordering::Relaxed);
        // Multiplying by an odd number is a bijection: distinct, and spread over all first digits.
        let spread = count.wrapping_add(self.names.random).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.name(&format!("{middle}{spread:016x}{:016x}", self.names.random))
    }

    /// The name with `rest` behind the first part.
    pub fn name(&self, rest: &str) -> Outcome<ObjectName> {
        ObjectName::new(format!("{}/{rest}", self.top)).map_err(|error| error.to_string())
    }

    pub async fn put(&self, name: &ObjectName, bytes: &Bytes) -> Outcome {
        self.put_as(name, bytes, PutMode::Write).await.map_err(told("put", name))
    }

    pub async fn put_as(&self, name: &ObjectName, bytes: &Bytes, mode: PutMode) -> Result<()> {
        self.backend.put(name, Payload::from(bytes.clone()), mode).await
    }

    /// Some stores find out only by trying whether they can replace; what they answer is nobody's business yet.
    pub async fn try_replacing(&self) {
        if let Ok(name) = self.fresh() {
            let _ = self.put_as(&name, &Bytes::new(), PutMode::ReplaceExisting).await;
        }
    }

    /// Puts an object of `bytes` bytes with the content that follows from its name.
    pub async fn put_own(&self, name: &ObjectName, bytes: usize) -> Outcome {
        self.put(name, &content(name, bytes)).await
    }

    pub async fn get(&self, name: &ObjectName) -> Outcome<Bytes> {
        self.backend.get(name, ByteRange::WHOLE).await.map_err(told("get", name))
    }

    pub async fn get_range(&self, name: &ObjectName, offset: u64, length: u64) -> Result<Bytes> {
        self.backend.get(name, ByteRange::Exact { offset, length }).await
    }

    pub async fn head(&self, name: &ObjectName) -> Outcome<ObjectMeta> {
        self.backend.head(name).await.map_err(told("head", name))
    }

    pub async fn delete(&self, name: &ObjectName) -> Outcome {
        self.backend.delete(name).await.map_err(told("delete", name))
    }

    /// The object is there, whole, with the content and the size that follow from its name.
    pub async fn expect_own(&self, name: &ObjectName, bytes: usize) -> Outcome {
        self.expect(name, &content(name, bytes)).await
    }

    /// The object is there with exactly this content.
    pub async fn expect(&self, name: &ObjectName, wanted: &Bytes) -> Outcome {
        let got = self.get(name).await?;
        ensure(got == *wanted, || {
            format!("get {name}: other bytes than were put ({} instead of {})", got.len(), wanted.len())
        })?;
        let head = self.head(name).await?;
        ensure(head.name == *name && head.bytes == wanted.len() as u64, || {
            format!("head {name}: tells {} with {} bytes instead of {}", head.name, head.bytes, wanted.len())
        })
    }

    /// Neither `get` nor `head` finds the object.
    pub async fn expect_missing(&self, name: &ObjectName) -> Outcome {
        not_found("get", name, self.backend.get(name, ByteRange::WHOLE).await)?;
        not_found("head", name, self.backend.head(name).await)
    }

    /// What is listed under the parts `prefix`.
    pub async fn list(&self, prefix: &str) -> Outcome<Vec<ObjectMeta>> {
        let prefix = Prefix::new(prefix).map_err(|error| error.to_string())?;
        let mut listed: Vec<ObjectMeta> =
            self.backend.list(&prefix).try_collect().await.map_err(|error| format!("list {prefix:?}: {error}"))?;
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    }

    /// Exactly `wanted` is listed under `prefix`, each once: now, or within the staleness the store admits to.
    pub async fn expect_listed(&self, prefix: &str, wanted: &BTreeSet<ObjectName>) -> Outcome {
        let deadline = Instant::now() + self.backend.capabilities().list_staleness;
        loop {
            let listed: Vec<_> = self.list(prefix).await?.into_iter().map(|object| object.name).collect();
            if listed.iter().eq(wanted) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(difference(prefix, &listed, wanted));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until lists must show what is there now.
    pub async fn settle(&self) {
        let staleness = self.backend.capabilities().list_staleness;
        if !staleness.is_zero() {
            tokio::time::sleep(staleness).await;
        }
    }

    /// Puts many small objects, as many at once as the store likes.
    pub async fn put_many(&self, names: Vec<ObjectName>, bytes: usize) -> Outcome {
        let puts = names.into_iter().map(|name| {
            let place = self.clone();
            async move { place.put_own(&name, bytes).await }
        });
        stream::iter(puts).buffer_unordered(self.width()).try_collect().await
    }

    /// Deletes many objects, as many at once as the store likes.
    pub async fn delete_many(&self, names: Vec<ObjectName>) -> Outcome {
        let deletes = names.into_iter().map(|name| {
            let place = self.clone();
            async move { place.delete(&name).await }
        });
        stream::iter(deletes).buffer_unordered(self.width()).try_collect().await
    }

    fn width(&self) -> usize {
        self.backend.capabilities().concurrency.clamp(1, 64)
    }

    /// Removes everything the checks left, those that failed half-way included.
    pub async fn clean_up(&self) -> Outcome {
        let (beside, alone) = (format!("{}{BESIDE}", self.top), format!("{}-alone", self.top));
        self.delete(&ObjectName::new(alone).map_err(|error| error.to_string())?).await?;
        for prefix in [&*self.top, &*beside] {
            let listed = self.list(prefix).await?;
            self.delete_many(listed.into_iter().map(|object| object.name).collect()).await?;
            self.expect_listed(prefix, &BTreeSet::new()).await?;
        }
        self.delete(&trial::end(&self.top).map_err(|error| error.to_string())?).await
    }
}

/// The error of a call in words; errors of a store may forget which object they are about, findings must not.
pub(super) fn told<'a>(call: &'a str, name: &'a ObjectName) -> impl FnOnce(Error) -> String + 'a {
    move |error| format!("{call} {name}: {error}")
}

/// The call failed, because there is no such object.
pub(super) fn not_found<T>(call: &str, name: &ObjectName, result: Result<T>) -> Outcome {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("{call} {name}: fails otherwise than by \"not found\": {error}")),
        Ok(_) => Err(format!("{call} {name}: succeeds although there is no such object")),
    }
}

/// The first bytes of the endless content that follows from a name.
pub(super) fn content(name: &ObjectName, bytes: usize) -> Bytes {
    // FNV-1a for the seed, xorshift for the rest: neither zero nor compressible.
    let seed = name
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mut state = seed | 1;
    let mut out = Vec::with_capacity(bytes + 8);
    while out.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(bytes);
    out.into()
}

fn difference(prefix: &str, listed: &[ObjectName], wanted: &BTreeSet<ObjectName>) -> String {
    let once: BTreeSet<_> = listed.iter().cloned().collect();
    let mut seen = format!("list {prefix}: {} names instead of {}", listed.len(), wanted.len());
    if let Some(name) = wanted.difference(&once).next() {
        seen += &format!(", {name} is missing");
    }
    if let Some(name) = once.difference(wanted).next() {
        seen += &format!(", {name} should not be there");
    }
    if once.len() < listed.len() {
        seen += ", some name comes twice";
    }
    seen
}

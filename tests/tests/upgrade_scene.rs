//! What a set of stores that gets other numbers is put into: a world of all its stores, clients that die or dawdle in it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use gabion_backends::ErasureBackend;
use gabion_backends::erasure::{Member, Purpose, Split};
use gabion_backends::scrub::{Options, Scheme, Scrub, Scrubbed, Task, scrub};
use gabion_core::backend::{Backend, ByteRange, Capabilities, ObjectMeta, ObjectName, Payload, Prefix, PutMode};
use gabion_core::error::{Error, ErrorKind, Result};
use gabion_tests::{HookedBackend, Method, Objects, Random};
use tokio::runtime::{Builder, Runtime};

/// From one split to another.
pub type Change = ((u8, u8), (u8, u8));

pub const CHANGES: [Change; 7] = [
    ((1, 1), (2, 1)),
    ((2, 1), (4, 2)),
    ((2, 1), (2, 2)),
    ((4, 2), (6, 3)),
    ((2, 1), (1, 2)),
    ((1, 1), (1, 2)),
    ((1, 1), (5, 3)),
];

pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap())
}

pub fn named(name: &str) -> ObjectName {
    ObjectName::new(name).unwrap()
}

/// What is in the set: shards, a copy, and what has one name for everybody.
pub fn contents() -> [(ObjectName, Bytes); 3] {
    [("archives/ab", 500), ("config", 300), ("segments/cd", 100_000)]
        .map(|(name, bytes)| (named(name), Random::new(bytes as u64).bytes(bytes).into()))
}

/// Stores of a set that is to be changed, all that it will have.
pub struct World {
    pub stores: Vec<Objects>,
    pub old: Split,
    pub new: Split,
    /// Whether the stores can replace in one step.
    pub replaces: bool,
}

impl World {
    pub fn new((old, new): Change) -> Self {
        let (old, new) = (Split::new(old.0, old.1).unwrap(), Split::new(new.0, new.1).unwrap());
        let stores = (0..new.stores()).map(|_| Objects::new()).collect();
        let world = Self { stores, old, new, replaces: true };
        let set = world.open(old, Purpose::Create);
        runtime().block_on(async {
            for (name, data) in contents() {
                set.put(&name, data.into(), PutMode::Write).await.unwrap();
            }
        });
        world
    }

    /// The set as it is seen through what `wrap` makes of its stores.
    pub fn open_by(
        &self,
        split: Split,
        purpose: Purpose,
        wrap: impl Fn(usize, Arc<dyn Backend>) -> Arc<dyn Backend>,
    ) -> Arc<ErasureBackend> {
        let members = self.stores.iter().take(split.stores().into()).enumerate().map(|(number, store)| Member {
            location: format!("memory:{number}"),
            store: Ok(wrap(
                number,
                Arc::new(Client { inner: store.backend(), replaces: self.replaces, life: Life::long(), dice: None }),
            )),
            own: None,
            depth: 0,
        });
        Arc::new(ErasureBackend::new(split, members.collect(), purpose).unwrap())
    }

    pub fn open(&self, split: Split, purpose: Purpose) -> Arc<ErasureBackend> {
        self.open_by(split, purpose, |_, store| store)
    }

    /// A client that dies, or not.
    pub fn upgrade(&self, life: &Arc<Life>) -> Result<Scrubbed> {
        let mortal = |_: usize, inner| -> Arc<dyn Backend> {
            Arc::new(Client { inner, replaces: self.replaces, life: Arc::clone(life), dice: None })
        };
        upgrade(&self.open_by(self.new, Purpose::Upgrade, mortal))
    }

    /// The set has its new numbers, and nothing of the earlier ones.
    pub fn expect_upgraded(&self, what: &str) {
        let set = self.open(self.new, Purpose::Use);
        let done = run(&set, Task::Verify).unwrap();
        let Scheme::Erasure { earlier, .. } = done.health.scheme else { panic!("{what}") };
        assert!(earlier.is_none() && done.outdated + done.damaged + done.lost == 0, "{what}: {done:?}");
        assert_eq!((done.objects, done.spare), (contents().len(), Some(self.new.spare().into())), "{what}: {done:?}");
        expect_contents(&set, what);
    }
}

pub fn run(set: &ErasureBackend, task: Task) -> Result<Scrubbed> {
    let options = Options { task, after: None, width: 1, stop: &|| false };
    runtime().block_on(scrub(set, &options, &mut |_| {}))
}

pub fn upgrade(set: &ErasureBackend) -> Result<Scrubbed> {
    run(set, Task::Upgrade)
}

pub fn list(set: &ErasureBackend) -> Vec<ObjectName> {
    let listed: Vec<ObjectMeta> = runtime().block_on(set.list(&Prefix::all()).try_collect()).unwrap();
    listed.into_iter().map(|object| object.name).collect()
}

pub fn get(set: &ErasureBackend, name: &ObjectName) -> Result<Bytes> {
    runtime().block_on(set.get(name, ByteRange::WHOLE))
}

pub fn expect_contents(set: &ErasureBackend, what: &str) {
    for (name, data) in contents() {
        assert!(get(set, &name).unwrap_or_else(|error| panic!("{what}: {error}")) == data, "{what}: {name}");
        let head = runtime().block_on(set.head(&name)).unwrap();
        assert_eq!(head.bytes, data.len() as u64, "{what}: {name}");
    }
    assert_eq!(list(set), contents().map(|(name, _)| name), "{what}");
}

/// How a client ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Before,
    After,
    /// A put leaves half of an object, if the store does not replace in one step.
    Half,
    /// It lives on, but this call fails.
    Failed,
    /// It lives on, but from here on no put succeeds, and each leaves half of an object if it can.
    Failing,
}

/// How many calls that change something a client has done in all stores, and at which one it ends.
#[derive(Debug)]
pub struct Life {
    calls: AtomicUsize,
    last: usize,
    end: End,
}

impl Life {
    pub fn new(last: usize, end: End) -> Arc<Self> {
        Arc::new(Self { calls: AtomicUsize::new(0), last, end })
    }

    pub fn long() -> Arc<Self> {
        Self::new(usize::MAX, End::Before)
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn is_over(&self) -> bool {
        self.calls() >= self.last && !matches!(self.end, End::Failed | End::Failing)
    }
}

/// A client's way to a store.
#[derive(Debug)]
pub struct Client {
    pub inner: Arc<dyn Backend>,
    pub replaces: bool,
    pub life: Arc<Life>,
    /// If its calls take their time, for how long: others come in between.
    pub dice: Option<Arc<Mutex<Random>>>,
}

pub fn dead() -> Error {
    Error::new(ErrorKind::PermissionDenied, "live")
}

impl Client {
    async fn wait(&self) {
        let turns = self.dice.as_ref().map_or(0, |dice| (1 << dice.lock().unwrap().below(9)) - 1);
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
    }

    /// How the client ends in this call, if it does.
    fn next(&self) -> Result<Option<End>> {
        if self.life.is_over() {
            return Err(dead());
        }
        let call = self.life.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let is_last = call == self.life.last || (call > self.life.last && self.life.end == End::Failing);
        Ok(is_last.then_some(self.life.end))
    }
}

#[async_trait]
impl Backend for Client {
    fn location(&self) -> &str {
        self.inner.location()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { replace_existing: self.replaces, ..self.inner.capabilities() }
    }

    async fn put(&self, name: &ObjectName, payload: Payload, mode: PutMode) -> Result<()> {
        self.wait().await;
        match self.next()? {
            None => self.inner.put(name, payload, mode).await,
            Some(end) => {
                let bytes = payload.into_bytes();
                let left = match end {
                    End::After => bytes,
                    End::Half | End::Failing if mode == PutMode::Write => bytes.slice(..bytes.len() / 2),
                    _ => return Err(dead()),
                };
                self.inner.put(name, left.into(), mode).await?;
                Err(dead())
            }
        }
    }

    async fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
        self.wait().await;
        if self.life.is_over() { Err(dead()) } else { self.inner.get(name, range).await }
    }

    async fn head(&self, name: &ObjectName) -> Result<ObjectMeta> {
        self.wait().await;
        if self.life.is_over() { Err(dead()) } else { self.inner.head(name).await }
    }

    async fn delete(&self, name: &ObjectName) -> Result<()> {
        self.wait().await;
        match self.next()? {
            None => self.inner.delete(name).await,
            Some(End::After) => self.inner.delete(name).await.and(Err(dead())),
            Some(_) => Err(dead()),
        }
    }

    fn list(&self, prefix: &Prefix) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }
}

/// A store that finds out only when it tries that it can not replace.
#[derive(Debug)]
pub struct Boaster {
    pub inner: Arc<dyn Backend>,
    pub tried: AtomicBool,
}

#[async_trait]
impl Backend for Boaster {
    fn location(&self) -> &str {
        self.inner.location()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { replace_existing: !self.tried.load(Ordering::SeqCst), ..self.inner.capabilities() }
    }

    async fn put(&self, name: &ObjectName, payload: Payload, mode: PutMode) -> Result<()> {
        if mode == PutMode::ReplaceExisting {
            self.tried.store(true, Ordering::SeqCst);
            return Err(Error::new(ErrorKind::Unsupported, "replace object"));
        }
        self.inner.put(name, payload, mode).await
    }

    async fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
        self.inner.get(name, range).await
    }

    async fn head(&self, name: &ObjectName) -> Result<ObjectMeta> {
        self.inner.head(name).await
    }

    async fn delete(&self, name: &ObjectName) -> Result<()> {
        self.inner.delete(name).await
    }

    fn list(&self, prefix: &Prefix) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }
}

/// What happens between two calls of somebody else.
pub type Act = Arc<dyn Fn(&World) + Send + Sync>;

/// Runs `work` on a set whose `turn`-th call (about one of `names`, if any) is preceded by all of `other`. Whether there was
/// such a call.
pub fn interrupted(
    world: &Arc<World>,
    (split, purpose): (Split, Purpose),
    turn: usize,
    other: &Act,
    work: impl FnOnce(&ErasureBackend),
) -> bool {
    let calls = Arc::new(AtomicUsize::new(0));
    let set = world.open_by(split, purpose, |_, store| {
        let (calls, world, other) = (Arc::clone(&calls), Arc::clone(world), Arc::clone(other));
        Arc::new(HookedBackend::new(store, move |method: Method, _: &str| {
            if method != Method::List && calls.fetch_add(1, Ordering::SeqCst) + 1 == turn {
                // On a thread of its own: two that block on one thread take each other's wakings.
                let (world, other) = (Arc::clone(&world), Arc::clone(&other));
                std::thread::spawn(move || other(&world)).join().unwrap();
            }
        }))
    });
    work(&set);
    calls.load(Ordering::SeqCst) >= turn
}

pub fn victim() -> ObjectName {
    named("archives/ab")
}

/// Many orders in which the calls of several clients may come, in sets that have just begun to change.
pub fn in_many_orders(act: impl AsyncFn([Arc<ErasureBackend>; 3], &World, &(ObjectName, Bytes), &str)) {
    let more = std::env::var("GABION_TEST_DAMAGE").map_or(1, |text| text.parse().unwrap());
    for (change, replaces) in CHANGES.into_iter().flat_map(|change| [(change, true), (change, false)]) {
        for seed in 0..40 * more {
            let world = World { replaces, ..World::new(change) };
            if runtime().block_on(world.open(world.new, Purpose::Upgrade).health()).is_err() {
                assert!(!replaces);
                break;
            }
            let dice = Arc::new(Mutex::new(Random::new(seed)));
            let late = || {
                world.open_by(world.new, Purpose::Use, |_, inner| {
                    Arc::new(Client { inner, replaces, life: Life::long(), dice: Some(Arc::clone(&dice)) })
                })
            };
            let object = &contents()[seed as usize % 3];
            let what = format!("{change:?} replaces {replaces} seed {seed} {}", object.0);
            let one_thread = Builder::new_current_thread().enable_all().build().unwrap();
            one_thread.block_on(act([late(), late(), late()], &world, object, &what));
        }
    }
}

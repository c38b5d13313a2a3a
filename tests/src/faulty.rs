//! A backend that fails on cue: the n-th mutating call, the n-th read.
//!
//! A crash matrix counts the calls of a workload with no fault set, then repeats it once per number and fault. After
//! a death every call of this client fails; the store behind it, shared by clones of the inner backend, shows what a
//! crash at that moment leaves.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use gabion_core::backend::{Backend, ByteRange, Capabilities, ObjectMeta, ObjectName, Payload, Prefix, PutMode};
use gabion_core::error::{Error, ErrorKind, Result};

/// What becomes of a put or delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteFault {
    /// The client dies before the call reaches the store.
    DieBefore,
    /// The call is carried out, and the client dies before it hears of it.
    DieAfter,
    /// Power fails: so many permille of the object become visible (0 to 1000), and the client dies. A delete is lost.
    DieTorn(u32),
    /// The client dies, and the call lands when [`FaultyBackend::land`] is called.
    DieAndLandLate,
    /// The call fails and changes nothing; repeating will not help.
    Permanent(ErrorKind),
    /// The call fails and changes nothing; repeating may help.
    Temporary(ErrorKind),
    /// The call is carried out, but its answer is lost: a time-out that repeating may cure.
    AnswerLost,
    /// The call is carried out, and is said to have failed for good: the object is there, but may not survive a power cut.
    RefusedAfter(ErrorKind),
}

/// What becomes of a get, head or list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFault {
    /// Fails; repeating will not help.
    Permanent(ErrorKind),
    /// Fails; repeating may help.
    Temporary(ErrorKind),
    /// Against the contract: succeeds with half of the bytes. A list breaks off with an error after half of it.
    Short,
}

/// Forwards to another backend, except for the faults that are set. Clones share counters and faults: they are one
/// client.
#[derive(Clone, Debug)]
pub struct FaultyBackend {
    inner: Arc<dyn Backend>,
    script: Arc<Mutex<Script>>,
}

#[derive(Debug, Default)]
struct Script {
    writes: u64,
    reads: u64,
    write_faults: BTreeMap<u64, WriteFault>,
    read_faults: BTreeMap<u64, ReadFault>,
    dead: bool,
    late: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Put(ObjectName, Payload, PutMode),
    Delete(ObjectName),
}

impl Change {
    fn name(&self) -> &ObjectName {
        match self {
            Self::Put(name, ..) | Self::Delete(name) => name,
        }
    }

    fn operation(&self) -> &'static str {
        match self {
            Self::Put(..) => "put object",
            Self::Delete(_) => "delete object",
        }
    }
}

impl FaultyBackend {
    /// A client of `inner` that knows no fault yet.
    pub fn new(inner: Arc<dyn Backend>) -> Self {
        Self { inner, script: Arc::default() }
    }

    /// Sets what becomes of the `number`-th put or delete from the beginning, 1 being the first.
    #[must_use]
    pub fn on_write(self, number: u64, fault: WriteFault) -> Self {
        self.script().write_faults.insert(number, fault);
        self
    }

    /// Sets what becomes of the `number`-th get, head or list from the beginning, 1 being the first.
    #[must_use]
    pub fn on_read(self, number: u64, fault: ReadFault) -> Self {
        self.script().read_faults.insert(number, fault);
        self
    }

    /// Puts and deletes so far.
    pub fn writes(&self) -> u64 {
        self.script().writes
    }

    /// Gets, heads and lists so far.
    pub fn reads(&self) -> u64 {
        self.script().reads
    }

    /// Whether the client died.
    pub fn is_dead(&self) -> bool {
        self.script().dead
    }

    /// Lets the calls land that were on their way when the client died, in their order.
    pub async fn land(&self) -> Result<()> {
        let late = std::mem::take(&mut self.script().late);
        for change in late {
            self.carry_out(change).await?;
        }
        Ok(())
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn carry_out(&self, change: Change) -> Result<()> {
        match change {
            Change::Put(name, payload, mode) => self.inner.put(&name, payload, mode).await,
            Change::Delete(name) => self.inner.delete(&name).await,
        }
    }

    /// The next put or delete: counted, and met by its fault.
    async fn change(&self, change: Change) -> Result<()> {
        let fault = {
            let mut script = self.script();
            if script.dead {
                return Err(dead(change.operation(), change.name().as_str()));
            }
            script.writes += 1;
            let number = script.writes;
            let fault = script.write_faults.get(&number).copied();
            script.dead = fault.is_some_and(is_deadly);
            if fault == Some(WriteFault::DieAndLandLate) {
                script.late.push(change.clone());
            }
            fault
        };
        let (operation, name) = (change.operation(), change.name().to_string());
        match fault {
            None => return self.carry_out(change).await,
            Some(WriteFault::DieAfter) => self.carry_out(change).await?,
            Some(WriteFault::DieTorn(permille)) => self.tear(change, permille).await?,
            Some(WriteFault::DieBefore | WriteFault::DieAndLandLate) => {}
            Some(WriteFault::Permanent(kind)) => return Err(failure(kind, operation, &name)),
            Some(WriteFault::Temporary(kind)) => return Err(failure(kind, operation, &name).temporary()),
            Some(WriteFault::RefusedAfter(kind)) => {
                self.carry_out(change).await?;
                return Err(failure(kind, operation, &name));
            }
            Some(WriteFault::AnswerLost) => {
                self.carry_out(change).await?;
                return Err(failure(ErrorKind::TimedOut, operation, &name).temporary());
            }
        }
        Err(dead(operation, &name))
    }

    async fn tear(&self, change: Change, permille: u32) -> Result<()> {
        let Change::Put(name, payload, mode) = change else { return Ok(()) };
        let whole = payload.into_bytes();
        let visible = whole.len() * permille.min(1000) as usize / 1000;
        self.inner.put(&name, whole.slice(..visible).into(), mode).await
    }

    /// The next get, head or list: counted; an error if it has to fail, and whether it has to be short.
    fn read(&self, operation: &'static str, name: &str) -> Result<bool> {
        let mut script = self.script();
        if script.dead {
            return Err(dead(operation, name));
        }
        script.reads += 1;
        match script.read_faults.get(&script.reads) {
            None => Ok(false),
            Some(ReadFault::Short) => Ok(true),
            Some(ReadFault::Permanent(kind)) => Err(failure(*kind, operation, name)),
            Some(ReadFault::Temporary(kind)) => Err(failure(*kind, operation, name).temporary()),
        }
    }
}

fn is_deadly(fault: WriteFault) -> bool {
    use WriteFault::{DieAfter, DieAndLandLate, DieBefore, DieTorn};
    matches!(fault, DieBefore | DieAfter | DieTorn(_) | DieAndLandLate)
}

fn failure(kind: ErrorKind, operation: &'static str, name: &str) -> Error {
    Error::new(kind, operation).with("object", name)
}

/// What a dead client would hear if it could: it is the test that hears it.
fn dead(operation: &'static str, name: &str) -> Error {
    failure(ErrorKind::Connection, operation, name).with("reason", "the client is dead")
}

#[async_trait]
impl Backend for FaultyBackend {
    fn location(&self) -> &str {
        self.inner.location()
    }

    /// One call at once, so that each has a number.
    fn capabilities(&self) -> Capabilities {
        Capabilities { concurrency: 1, ..self.inner.capabilities() }
    }

    async fn put(&self, name: &ObjectName, payload: Payload, mode: PutMode) -> Result<()> {
        self.change(Change::Put(name.clone(), payload, mode)).await
    }

    async fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
        let short = self.read("get object", name.as_str())?;
        let bytes = self.inner.get(name, range).await?;
        Ok(if short { bytes.slice(..bytes.len() / 2) } else { bytes })
    }

    async fn head(&self, name: &ObjectName) -> Result<ObjectMeta> {
        let short = self.read("head object", name.as_str())?;
        let mut meta = self.inner.head(name).await?;
        meta.bytes /= if short { 2 } else { 1 };
        Ok(meta)
    }

    async fn delete(&self, name: &ObjectName) -> Result<()> {
        self.change(Change::Delete(name.clone())).await
    }

    fn list(&self, prefix: &Prefix) -> BoxStream<'static, Result<ObjectMeta>> {
        let parts = prefix.parts().unwrap_or_default().to_owned();
        let listed = self.inner.list(prefix);
        match self.read("list objects", &parts) {
            Ok(false) => listed,
            Ok(true) => {
                let half = stream::once(listed.collect::<Vec<_>>()).flat_map(move |mut all| {
                    all.truncate(all.len() / 2);
                    all.push(Err(failure(ErrorKind::Connection, "list objects", &parts).temporary()));
                    stream::iter(all)
                });
                half.boxed()
            }
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::TryStreamExt;
    use gabion_core::backend::MemoryBackend;
    use gabion_core::error::Retry;
    use std::future::Future;
    use tokio::runtime::Builder;

    fn wait<T>(future: impl Future<Output = T>) -> T {
        Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn name(text: &str) -> ObjectName {
        ObjectName::new(text).unwrap()
    }

    /// Puts a/1, then a/2 with a fault; what the store then holds of a/2, and the client for more questions.
    fn second_put(fault: WriteFault) -> (Option<usize>, FaultyBackend, MemoryBackend) {
        let memory = MemoryBackend::new();
        let faulty = FaultyBackend::new(Arc::new(memory.clone())).on_write(2, fault);
        wait(faulty.put(&name("a/1"), vec![1; 10].into(), PutMode::Write)).unwrap();
        wait(faulty.put(&name("a/2"), vec![2; 10].into(), PutMode::Write)).unwrap_err();
        let visible = wait(memory.get(&name("a/2"), ByteRange::WHOLE)).ok().map(|bytes| bytes.len());
        (visible, faulty, memory)
    }

    #[test]
    fn deaths_leave_what_they_say() {
        for (fault, left) in [
            (WriteFault::DieBefore, None),
            (WriteFault::DieAfter, Some(10)),
            (WriteFault::DieTorn(0), Some(0)),
            (WriteFault::DieTorn(300), Some(3)),
            (WriteFault::DieAndLandLate, None),
        ] {
            let (visible, faulty, _) = second_put(fault);
            assert_eq!(visible, left, "{fault:?}");
            assert!(faulty.is_dead());
            assert_eq!(wait(faulty.get(&name("a/1"), ByteRange::WHOLE)).unwrap_err().kind(), ErrorKind::Connection);
            wait(faulty.delete(&name("a/1"))).unwrap_err();
            wait(faulty.list(&Prefix::all()).try_collect::<Vec<_>>()).unwrap_err();
            assert_eq!((faulty.writes(), faulty.reads()), (2, 0), "the dead are not counted");
        }
    }

    #[test]
    fn late_calls_land_when_told() {
        let (_, faulty, memory) = second_put(WriteFault::DieAndLandLate);
        wait(faulty.land()).unwrap();
        wait(faulty.land()).unwrap();
        assert_eq!(wait(memory.head(&name("a/2"))).unwrap().bytes, 10);
    }

    #[test]
    fn the_living_can_try_again() {
        for (fault, left, retry) in [
            (WriteFault::Permanent(ErrorKind::NoSpace), None, Retry::Permanent),
            (WriteFault::Temporary(ErrorKind::TimedOut), None, Retry::Temporary),
            (WriteFault::AnswerLost, Some(10), Retry::Temporary),
        ] {
            let (visible, faulty, _) = second_put(fault);
            assert_eq!(visible, left, "{fault:?}");
            let again = FaultyBackend::new(Arc::new(MemoryBackend::new())).on_write(1, fault);
            let error = wait(again.put(&name("a/2"), vec![2].into(), PutMode::Write)).unwrap_err();
            assert_eq!((error.retry(), error.context("object")), (retry, Some("a/2")));
            wait(faulty.put(&name("a/2"), vec![2; 10].into(), PutMode::Write)).unwrap();
            assert_eq!(faulty.writes(), 3);
        }
    }

    #[test]
    fn reads_fail_on_cue() {
        let memory = MemoryBackend::new();
        let faulty = FaultyBackend::new(Arc::new(memory.clone()))
            .on_read(1, ReadFault::Temporary(ErrorKind::TimedOut))
            .on_read(2, ReadFault::Permanent(ErrorKind::Io))
            .on_read(3, ReadFault::Short)
            .on_read(5, ReadFault::Short);
        for object in ["a/1", "a/2"] {
            wait(faulty.put(&name(object), vec![1; 10].into(), PutMode::Write)).unwrap();
        }
        let get = || wait(faulty.get(&name("a/1"), ByteRange::WHOLE));
        assert_eq!(get().unwrap_err().retry(), Retry::Temporary);
        assert_eq!(get().unwrap_err().kind(), ErrorKind::Io);
        assert_eq!(get().unwrap().len(), 5);
        assert_eq!(get().unwrap().len(), 10);
        let listed = wait(faulty.list(&Prefix::all()).collect::<Vec<_>>());
        assert_eq!(listed.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false]);
        assert_eq!(wait(faulty.list(&Prefix::all()).try_collect::<Vec<_>>()).unwrap().len(), 2);
    }
}

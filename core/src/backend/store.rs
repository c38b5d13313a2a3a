//! Where async ends: a blocking face over a [`Backend`].
//!
//! Everything above this file is blocking Rust on plain threads. A [`Store`] must
//! not be used or dropped from inside an async task.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinHandle, JoinSet};

use super::{Backend, ByteRange, Capabilities, ObjectMeta, ObjectName, Payload, Prefix, PutMode};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::LISTED_OBJECTS_MAX;

/// A backend and the runtime that drives it. Clones share both.
#[derive(Clone, Debug)]
pub struct Store {
    backend: Arc<dyn Backend>,
    runtime: Arc<Runtime>,
}

impl Store {
    /// Opens a blocking face over `backend`, with two threads of its own.
    pub fn new(backend: Arc<dyn Backend>) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(16)
            .thread_name("gabion-store")
            .enable_all()
            .build()
            .map_err(|error| Error::new(ErrorKind::System, "start store threads").because(error))?;
        Ok(Self { backend, runtime: Arc::new(runtime) })
    }

    /// Where the objects are, for people.
    pub fn location(&self) -> &str {
        self.backend.location()
    }

    /// What the store can do.
    pub fn capabilities(&self) -> Capabilities {
        self.backend.capabilities()
    }

    /// Waits for work of the backend that is no call of the trait, on the threads of this store.
    pub fn wait_for<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Does both at once, `second` on a thread of its own; one after the other if the store says that more than one call at
    /// once is not worth it. The error is that of the first, if both fail.
    pub fn both<A, B: Send>(
        &self,
        first: impl FnOnce() -> Result<A>,
        second: impl FnOnce() -> Result<B> + Send,
    ) -> Result<(A, B)> {
        if self.capabilities().concurrency <= 1 {
            return Ok((first()?, second()?));
        }
        thread::scope(|scope| {
            let started = thread::Builder::new().name("gabion-call".to_owned()).spawn_scoped(scope, second);
            let second = started.map_err(|error| Error::new(ErrorKind::System, "start thread").because(error))?;
            let first = first();
            let second = second.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Ok((first?, second?))
        })
    }

    /// Stores an object under a name nobody else uses; see the contract of [`Backend`].
    pub fn put(&self, name: &ObjectName, payload: Payload) -> Result<()> {
        self.runtime.block_on(self.backend.put(name, payload, PutMode::Write))
    }

    /// Reads an object or an exact range of it.
    pub fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
        self.runtime.block_on(get(&*self.backend, name, range))
    }

    /// Reads a whole object of at most `limit` bytes; a longer one is `LimitExceeded`.
    pub fn get_bounded(&self, name: &ObjectName, limit: usize) -> Result<Bytes> {
        self.get(name, ByteRange::All { limit: limit as u64 })
    }

    /// Reads several whole objects of at most `limit` bytes each, in the order of `names`, as many at once as the store
    /// says are worth it.
    ///
    /// If that is one, every call is made by the thread that asks for it, when it asks.
    pub fn get_many(&self, names: Vec<ObjectName>, limit: usize) -> impl Iterator<Item = (ObjectName, Result<Bytes>)> {
        let range = ByteRange::All { limit: limit as u64 };
        let mut waiting = names.into_iter();
        let mut flying: VecDeque<(ObjectName, JoinHandle<Result<Bytes>>)> = VecDeque::new();
        let store = self.clone();
        let ahead = self.backend.capabilities().concurrency;
        std::iter::from_fn(move || {
            if ahead <= 1 {
                let name = waiting.next()?;
                let result = store.get(&name, range);
                return Some((name, result));
            }
            while flying.len() < ahead {
                let Some(name) = waiting.next() else { break };
                let (backend, wanted) = (Arc::clone(&store.backend), name.clone());
                flying.push_back((name, store.runtime.spawn(async move { get(&*backend, &wanted, range).await })));
            }
            let (name, task) = flying.pop_front()?;
            let result = store.runtime.block_on(task).unwrap_or_else(|error| Err(task_failed("get object", error)));
            Some((name, result))
        })
    }

    /// The exact size of an object.
    pub fn head(&self, name: &ObjectName) -> Result<ObjectMeta> {
        self.runtime.block_on(self.backend.head(name))
    }

    /// Removes an object; a missing one is fine.
    pub fn delete(&self, name: &ObjectName) -> Result<()> {
        self.runtime.block_on(self.backend.delete(name))
    }

    /// Removes objects, as many at once as the store says are worth it; missing ones are fine. After a failure, which is
    /// returned, no more are begun.
    pub fn delete_all(&self, names: impl IntoIterator<Item = ObjectName>) -> Result<()> {
        let mut names = names.into_iter();
        let ahead = self.capabilities().concurrency;
        if ahead <= 1 {
            return names.try_for_each(|name| self.delete(&name));
        }
        self.runtime.block_on(async {
            let (mut flying, mut done) = (JoinSet::new(), Ok(()));
            loop {
                while done.is_ok() && flying.len() < ahead {
                    let Some(name) = names.next() else { break };
                    let backend = Arc::clone(&self.backend);
                    flying.spawn(async move { backend.delete(&name).await });
                }
                let Some(deleted) = flying.join_next().await else { return done };
                done = done.and(deleted.unwrap_or_else(|error| Err(task_failed("delete object", error))));
            }
        })
    }

    /// The object a list of everything meets first, if there is any: asks whether the store is empty.
    pub fn any_object(&self) -> Result<Option<ObjectMeta>> {
        let mut stream = self.backend.list(&Prefix::all());
        self.runtime.block_on(stream.try_next())
    }

    /// All objects under a prefix, sorted by name. A list without end is `LimitExceeded`.
    pub fn list(&self, prefix: &Prefix) -> Result<Vec<ObjectMeta>> {
        let stream = self.backend.list(prefix);
        let mut objects: Vec<ObjectMeta> = self.runtime.block_on(stream.take(LISTED_OBJECTS_MAX + 1).try_collect())?;
        if objects.len() > LISTED_OBJECTS_MAX {
            return Err(Error::new(ErrorKind::LimitExceeded, "list objects").with("limit", LISTED_OBJECTS_MAX));
        }
        objects.sort_by(|a, b| a.name.cmp(&b.name));
        objects.dedup_by(|a, b| a.name == b.name);
        Ok(objects)
    }
}

/// Holds a backend to what was asked for, so that nothing above sees more, or less.
async fn get(backend: &dyn Backend, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
    let bytes = backend.get(name, range).await?;
    let kept = match range {
        ByteRange::All { limit } => bytes.len() as u64 <= limit,
        ByteRange::Exact { length, .. } => bytes.len() as u64 == length,
    };
    if kept { Ok(bytes) } else { Err(Error::damaged("get object", "not the length asked for").with("object", name)) }
}

fn task_failed(operation: &'static str, error: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::System, operation).because(error)
}

#[cfg(test)]
mod tests {
    use super::super::MemoryBackend;
    use super::*;

    #[test]
    fn blocking_face_reaches_the_backend() {
        let store = Store::new(Arc::new(MemoryBackend::new())).unwrap();
        let name = |text: &str| ObjectName::new(text).unwrap();
        store.put(&name("a/1"), Payload::from(vec![1])).unwrap();
        store.put(&name("a/2"), Payload::from(vec![2, 3])).unwrap();
        let listed: Vec<_> = store.list(&Prefix::new("a").unwrap()).unwrap().into_iter().map(|o| o.bytes).collect();
        assert_eq!(listed, [1, 2]);
        let read: Vec<_> = store.get_many(vec![name("a/2"), name("a/9"), name("a/1")], 2).collect();
        assert_eq!(read[0].1.as_ref().unwrap().as_ref(), [2, 3]);
        assert_eq!(read[1].1.as_ref().unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(read[2].0, name("a/1"));
        assert_eq!(store.get_bounded(&name("a/2"), 1).unwrap_err().kind(), ErrorKind::LimitExceeded);
        assert!(store.any_object().unwrap().is_some());
        store.delete(&name("a/1")).unwrap();
        assert_eq!(store.head(&name("a/1")).unwrap_err().kind(), ErrorKind::NotFound);
        let many: Vec<ObjectName> = (0..100).map(|number| name(&format!("b/{number}"))).collect();
        many.iter().for_each(|name| store.put(name, Payload::from(vec![0])).unwrap());
        store.delete_all(many.into_iter().chain([name("nothing")])).unwrap();
        assert_eq!(store.list(&Prefix::all()).unwrap().len(), 1);
        let missing = || store.head(&name("a/1")).map(drop);
        assert_eq!(store.both(|| Ok(1), || store.head(&name("a/2"))).unwrap().1.bytes, 2);
        assert_eq!(store.both(|| Ok(1), missing).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(store.both(missing, || Ok(1)).unwrap_err().kind(), ErrorKind::NotFound);
    }
}

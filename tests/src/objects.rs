//! A store in memory as its tester sees it: objects can be looked at, changed and lost behind the engine's back.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{FutureExt, TryStreamExt};
use gabion_core::backend::{Backend, ByteRange, MemoryBackend, ObjectName, Payload, Prefix, PutMode};
use gabion_core::error::{Error, ErrorKind, Result};

/// The objects of a store in memory. Clones share them; [`Objects::fork`] does not.
#[derive(Clone, Debug, Default)]
pub struct Objects(MemoryBackend);

impl Objects {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// The store, for the engine.
    pub fn backend(&self) -> Arc<dyn Backend> {
        Arc::new(self.0.clone())
    }

    /// A store of its own with the same objects.
    pub fn fork(&self) -> Result<Self> {
        let fork = Self::new();
        for name in self.names("")? {
            fork.put(&name, self.get(&name)?)?;
        }
        Ok(fork)
    }

    /// The names under a prefix (empty for all), sorted.
    pub fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let prefix = if prefix.is_empty() { Prefix::all() } else { Prefix::new(prefix)? };
        let objects: Vec<_> = now(self.0.list(&prefix).try_collect())?;
        let mut names: Vec<_> = objects.into_iter().map(|object| object.name.to_string()).collect();
        names.sort();
        Ok(names)
    }

    /// The bytes of an object.
    pub fn get(&self, name: &str) -> Result<Bytes> {
        now(self.0.get(&ObjectName::new(name)?, ByteRange::WHOLE))
    }

    /// Puts an object, or other bytes in its place.
    pub fn put(&self, name: &str, bytes: impl Into<Bytes>) -> Result<()> {
        now(self.0.put(&ObjectName::new(name)?, Payload::from(bytes.into()), PutMode::Write))
    }

    /// Removes an object.
    pub fn remove(&self, name: &str) -> Result<()> {
        now(self.0.delete(&ObjectName::new(name)?))
    }
}

/// The result of a call of a store in memory, which never waits.
fn now<T>(call: impl Future<Output = Result<T>>) -> Result<T> {
    call.now_or_never().unwrap_or_else(|| Err(Error::new(ErrorKind::System, "call store in memory")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fork_is_on_its_own() {
        let objects = Objects::new();
        objects.put("a/1", vec![1]).unwrap();
        let fork = objects.fork().unwrap();
        objects.put("a/2", vec![2]).unwrap();
        fork.remove("a/1").unwrap();
        assert_eq!(objects.names("a").unwrap(), ["a/1", "a/2"]);
        assert_eq!(fork.names("").unwrap(), Vec::<String>::new());
        assert_eq!(objects.get("a/1").unwrap(), [1][..]);
    }
}

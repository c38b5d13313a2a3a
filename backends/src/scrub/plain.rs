//! A store without redundancy: damage is found by the hash at the end of every object, and stays.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use gabion_core::backend::{Backend, ByteRange, ObjectName, Prefix};
use gabion_core::error::{ErrorKind, Result};
use gabion_core::repository::verify_object_bytes;

use super::{Examined, Health, Scheme, Scrub, State, Task};
use crate::computing;

/// A store whose objects have nothing but their own hashes.
#[derive(Debug)]
pub struct PlainStore(Arc<dyn Backend>);

impl PlainStore {
    /// Examines the objects of `store`.
    pub fn new(store: Arc<dyn Backend>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl Scrub for PlainStore {
    async fn health(&self) -> Result<Health> {
        Ok(Health { scheme: Scheme::Plain, missing: Vec::new(), missing_inside: Vec::new(), healed_reads: 0 })
    }

    fn names(&self) -> BoxStream<'static, Result<ObjectName>> {
        self.0.list(&Prefix::all()).map_ok(|object| object.name).boxed()
    }

    async fn examine(&self, name: &ObjectName, _: Task) -> Result<Examined> {
        let bytes = match self.0.get(name, ByteRange::WHOLE).await {
            Ok(bytes) => bytes,
            Err(error) => match error.kind() {
                ErrorKind::NotFound => return Ok(Examined::new(State::Gone)),
                ErrorKind::Io | ErrorKind::Damaged => return Ok(Examined::new(State::Lost(error))),
                _ => return Err(error),
            },
        };
        let read = bytes.len() as u64;
        let object = name.clone();
        let verified = computing("examine object", move || verify_object_bytes(&object, &bytes)).await;
        let state = match verified {
            Ok(()) => State::Intact,
            Err(error) if error.kind() == ErrorKind::Damaged => State::Lost(error),
            Err(error) => return Err(error),
        };
        Ok(Examined { read, ..Examined::new(state) })
    }
}

//! Replacing what exists, by a condition on the version that was seen.

use std::sync::atomic::{AtomicU8, Ordering};

use gabion_core::backend::{ObjectName, Payload};
use gabion_core::error::{Error, ErrorKind, Result};
use object_store::{ObjectStoreExt as _, PutMode, PutOptions, UpdateVersion};

use super::error::told;
use super::{ObjectStoreBackend, content};

const OPERATION: &str = "replace object";
/// How often a replacement is tried while others replace the same object.
const ATTEMPTS: usize = 20;

const UNKNOWN: u8 = 0;
const HONOURED: u8 = 1;
const IGNORED: u8 = 2;

/// Whether the server honours conditions, as far as is known.
#[derive(Debug, Default)]
pub(super) struct Conditions(AtomicU8);

impl Conditions {
    /// False once the server was seen to ignore them.
    pub fn may_be_honoured(&self) -> bool {
        self.0.load(Ordering::Relaxed) != IGNORED
    }
}

impl ObjectStoreBackend {
    pub(super) async fn replace(&self, name: &ObjectName, payload: &Payload) -> Result<()> {
        if self.conditions.0.load(Ordering::Relaxed) == UNKNOWN {
            let found = if self.honours_conditions().await? { HONOURED } else { IGNORED };
            self.conditions.0.store(found, Ordering::Relaxed);
        }
        if !self.conditions.may_be_honoured() {
            return Err(Error::new(ErrorKind::Unsupported, OPERATION).with("object", name));
        }
        let key = self.location.key(name.as_str());
        for _ in 0..ATTEMPTS {
            let seen = self.store.head(&key).await.map_err(|error| told(OPERATION, name, error))?;
            let version = UpdateVersion { e_tag: seen.e_tag, version: seen.version };
            let options = PutOptions::from(PutMode::Update(version));
            match self.store.put_opts(&key, content(payload), options).await {
                Ok(_) => return Ok(()),
                // It was replaced or removed since: look again.
                Err(object_store::Error::Precondition { .. }) => {}
                Err(error) => return Err(told(OPERATION, name, error)),
            }
        }
        let error = Error::new(ErrorKind::Connection, OPERATION).with("object", name);
        Err(error.with("reason", "others replace it all the time").temporary())
    }

    /// Tries to replace an object on a condition that does not hold.
    async fn honours_conditions(&self) -> Result<bool> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| Error::new(ErrorKind::System, OPERATION).because(error))?;
        let name = ObjectName::new(format!("gc/probe/{:032x}", u128::from_le_bytes(random)))?;
        let key = self.location.key(name.as_str());
        let failed = |error| told(OPERATION, &name, error);
        let first = self.store.put(&key, vec![1].into()).await.map_err(failed)?;
        self.store.put(&key, vec![2].into()).await.map_err(failed)?;
        // The version of the first put is gone; the condition can not hold.
        let options = PutOptions::from(PutMode::Update(first.into()));
        let answer = self.store.put_opts(&key, vec![3].into(), options).await;
        self.store.delete(&key).await.map_err(failed)?;
        match answer {
            Err(object_store::Error::Precondition { .. }) => Ok(true),
            Ok(_) | Err(object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. }) => {
                Ok(false)
            }
            Err(error) => match super::error::status(&error) {
                Some(400 | 405 | 501) => Ok(false),
                _ => Err(failed(error)),
            },
        }
    }
}

//! Replacing what exists, by a condition on the version that was seen.
//!
//! Some servers ignore conditions, others compare first and replace later, so that a delete in between is undone. Both
//! are found out by trying, before the first replacement.

use futures_util::future::{join, join_all};
use gabion_core::backend::{Backend as _, ObjectName, Payload};
use gabion_core::crypto::random;
use gabion_core::error::{Error, ErrorKind, Result};
use object_store::{ObjectStoreExt as _, PutMode, PutOptions, UpdateVersion};
use tokio::sync::OnceCell;

use super::error::told;
use super::{ObjectStoreBackend, Service, content};

const OPERATION: &str = "replace object";
/// How often a replacement is tried while others replace the same object.
const ATTEMPTS: usize = 20;
/// How often it is tried whether others can come between a comparison and a replacement.
const ROUNDS: u8 = 8;
/// Replacements at once in such a trial.
const RACERS: u8 = 4;

/// Whether the server honours conditions in one step, as far as is known.
#[derive(Debug, Default)]
pub(super) struct Conditions(OnceCell<bool>);

impl Conditions {
    /// False once the server was seen not to.
    pub fn may_be_honoured(&self) -> bool {
        self.0.get() != Some(&false)
    }
}

impl ObjectStoreBackend {
    pub(super) async fn replace(&self, name: &ObjectName, payload: &Payload) -> Result<()> {
        // Whoever comes first tries, with dozens of requests; the others wait for what is found out.
        if !*self.conditions.0.get_or_try_init(|| self.honours_conditions()).await? {
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

    /// Finds out by trying whether the server compares and replaces, and does both in one step.
    async fn honours_conditions(&self) -> Result<bool> {
        let name = ObjectName::new(format!("gc/probe/{:032x}", u128::from_le_bytes(random::array()?)))?;
        let tried = self.try_conditions(&name).await;
        // Nothing is under way any more that could bring it back.
        self.delete(&name).await?;
        tried
    }

    async fn try_conditions(&self, name: &ObjectName) -> Result<bool> {
        let key = self.location.key(name.as_str());
        let put = |byte: u8| async move {
            let done = self.store.put(&self.location.key(name.as_str()), vec![byte].into()).await;
            done.map(UpdateVersion::from).map_err(|error| told(OPERATION, name, error))
        };
        let first = put(1).await?;
        put(2).await?;
        // The version of the first put is gone; the condition can not hold.
        if !matches!(self.try_replacing(name, 3, first).await?, Answer::Refused) {
            return Ok(false);
        }
        for round in 0..ROUNDS {
            let seen = put(round * 8).await?;
            // Somebody deletes what several replace: one of them at most comes in time, and then it is deleted.
            let racers = (1..=RACERS).map(|racer| self.try_replacing(name, round * 8 + racer, seen.clone()));
            let (answers, deleted) = join(join_all(racers), self.delete(name)).await;
            deleted?;
            let mut replaced = 0;
            for answer in answers {
                replaced += usize::from(matches!(answer?, Answer::Done));
            }
            let gone = matches!(self.store.head(&key).await, Err(object_store::Error::NotFound { .. }));
            if replaced > 1 || !gone {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Replaces a version by one byte.
    async fn try_replacing(&self, name: &ObjectName, byte: u8, version: UpdateVersion) -> Result<Answer> {
        // Google compares generations.
        if self.location.service == Service::Google && version.version.is_none() {
            return Ok(Answer::Unknown);
        }
        let options = PutOptions::from(PutMode::Update(version));
        let put = self.store.put_opts(&self.location.key(name.as_str()), vec![byte].into(), options).await;
        match put {
            Ok(_) => Ok(Answer::Done),
            // Some servers say that somebody else is at it, or that there is nothing to compare with.
            Err(
                object_store::Error::Precondition { .. }
                | object_store::Error::AlreadyExists { .. }
                | object_store::Error::NotFound { .. },
            ) => Ok(Answer::Refused),
            Err(object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. }) => {
                Ok(Answer::Unknown)
            }
            Err(error) => match super::error::status(&error) {
                Some(400 | 405 | 501) => Ok(Answer::Unknown),
                _ => Err(told(OPERATION, name, error)),
            },
        }
    }
}

/// What a server answers to a replacement on a condition.
enum Answer {
    Done,
    /// The condition does not hold.
    Refused,
    /// It knows no such request.
    Unknown,
}

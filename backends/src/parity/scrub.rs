//! Examining, repairing and upgrading the objects of one store.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use gabion_core::backend::{ObjectName, Payload, Prefix, PutMode};
use gabion_core::error::{Error, ErrorKind, Result};
use gabion_core::limits::OBJECT_BYTES_MAX;
use gabion_core::repository::verify_object_bytes;

use super::decode::{self, Depth, Opened};
use super::layout::Geometry;
use super::{ParityBackend, encode, salvage};
use crate::computing;
use crate::scrub::{Damage, DamageKind, Examined, Health, Scheme, Scrub, State, Task};

#[async_trait]
impl Scrub for ParityBackend {
    async fn health(&self) -> Result<Health> {
        Ok(Health {
            scheme: Scheme::Parity(self.percent),
            missing: Vec::new(),
            missing_inside: Vec::new(),
            healed_reads: self.healed_reads(),
        })
    }

    fn names(&self) -> BoxStream<'static, Result<ObjectName>> {
        self.store.list(&Prefix::all()).map_ok(|object| object.name).boxed()
    }

    async fn examine(&self, name: &ObjectName, task: Task) -> Result<Examined> {
        let stored = match salvage::get(&*self.store, name, OBJECT_BYTES_MAX as u64).await {
            Ok(stored) => stored,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Examined::new(State::Gone)),
            Err(error) => return Err(error),
        };
        let mut examined = Examined { read: stored.len() as u64, ..Examined::new(State::Intact) };
        let (object, whole) = (name.clone(), stored.clone());
        let opened = match computing("examine object", move || decode::open(&object, &whole, Depth::Everything)).await {
            Ok(opened) => opened,
            Err(error) if error.kind() == ErrorKind::Damaged => return Ok(examined.lost(error)),
            Err(error) => return Err(error),
        };
        match opened {
            Some(opened) => self.settle(name, &stored, opened, task, &mut examined).await?,
            None => match verify_object_bytes(name, &stored) {
                Ok(()) => self.protect(name, &stored, task, &mut examined).await?,
                Err(error) => return Ok(examined.lost(super::unprotected(error, name))),
            },
        }
        Ok(examined)
    }
}

impl ParityBackend {
    /// An object with parity: is it whole, and as it is wished?
    async fn settle(
        &self,
        name: &ObjectName,
        stored: &Bytes,
        opened: Opened,
        task: Task,
        examined: &mut Examined,
    ) -> Result<()> {
        let Opened { data, geometry, damage } = opened;
        if damage.sectors > 0 {
            examined.damage.push(Damage::new(DamageKind::Sectors, damage.sectors as u64));
        }
        if damage.length > 0 {
            examined.damage.push(Damage::new(DamageKind::Length, damage.length));
        }
        let wished = Geometry::of(data.len() as u64, self.percent);
        let (state, done) = match (damage.is_none(), geometry == wished) {
            (true, true) => return Ok(()),
            (true, false) => (State::Outdated, State::Upgraded),
            (false, _) => (State::Damaged, State::Repaired),
        };
        examined.state = state;
        let geometry = if task == Task::Upgrade { wished } else { geometry };
        let wanted = match task {
            Task::Verify => false,
            Task::Repair | Task::Clean => !damage.is_none(),
            Task::Upgrade => true,
        };
        if wanted {
            self.rewrite(name, stored, data, geometry, done, examined).await?;
        }
        Ok(())
    }

    /// An object of a time when this store had no parity.
    async fn protect(&self, name: &ObjectName, stored: &Bytes, task: Task, examined: &mut Examined) -> Result<()> {
        examined.state = State::Outdated;
        if task != Task::Upgrade {
            return Ok(());
        }
        let wished = Geometry::of(stored.len() as u64, self.percent);
        self.rewrite(name, stored, stored.clone(), wished, State::Upgraded, examined).await
    }

    /// Replaces an object, if it still exists, by what protects its data, and reads it back.
    async fn rewrite(
        &self,
        name: &ObjectName,
        stored: &Bytes,
        data: Bytes,
        geometry: Geometry,
        done: State,
        examined: &mut Examined,
    ) -> Result<()> {
        let (object, content) = (name.clone(), data.clone());
        let payload = computing("repair object", move || encode::encode(&object, content, &geometry)).await?;
        let written = payload.len() as u64;
        self.forms.forget(name);
        match self.store.put(name, payload, PutMode::ReplaceExisting).await {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                examined.state = State::Gone;
                return Ok(());
            }
            Err(error) => {
                examined.trouble = Some(error);
                return Ok(());
            }
        }
        examined.written += written;
        match self.read_back(name, &data).await {
            Ok(()) => examined.state = done,
            Err(error) if error.kind() == ErrorKind::NotFound => examined.state = State::Gone,
            Err(error) => {
                // What was there before could be read: it goes back.
                let before = Payload::from(stored.clone());
                let put_back = self.store.put(name, before, PutMode::ReplaceExisting).await;
                examined.trouble = Some(match put_back {
                    Ok(()) => error,
                    Err(again) => error.with("putting back what was there failed", again),
                });
            }
        }
        Ok(())
    }

    async fn read_back(&self, name: &ObjectName, data: &Bytes) -> Result<()> {
        let stored = salvage::get(&*self.store, name, OBJECT_BYTES_MAX as u64).await?;
        let object = name.clone();
        let opened = computing("repair object", move || decode::open(&object, &stored, Depth::Everything)).await?;
        match opened {
            Some(opened) if opened.damage.is_none() && opened.data == *data => Ok(()),
            _ => Err(Error::damaged("repair object", "the store gives other bytes than it took").with("object", name)),
        }
    }
}

//! Parity inside every object of one store: against bit rot, bad sectors and cut tails.
//!
//! What is put becomes: a header, the data unchanged and in one run, and behind it parity over all its sectors of
//! 4 KiB, with checksums of all sectors. Any damaged sectors up to the count of parity sectors are restored. The data
//! lies at a constant offset, so a ranged read is one ranged read, unverified: no read amplification while all is
//! well. Whoever finds such a range to be wrong reads the object whole, which is verified and repaired here
//! (contract 10). The bytes are described in `docs/erasure.md`.
//!
//! An object without a header of this layer, of a repository that had no parity before, is given out as it lies if
//! the hash at its end holds. So parity can be switched on at any time; see [`crate::scrub`].
//!
//! Why wrong bytes never leave a whole read: every sector is compared with a checksum that is bound to the name and the
//! number, the checksums with a hash in a header that has a checksum of its own.

mod decode;
mod encode;
mod forms;
mod layout;
mod location;
mod salvage;
mod scrub;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::try_join;
use futures_util::stream::BoxStream;
use gabion_core::backend::{Backend, ByteRange, Capabilities, ObjectMeta, ObjectName, Payload, Prefix, PutMode};
use gabion_core::error::{Error, ErrorKind, Result};
use gabion_core::limits::OBJECT_BYTES_MAX;
use gabion_core::repository::verify_object_bytes;

use crate::computing;
use decode::Depth;
use forms::{Form, Forms};
use layout::{Geometry, HEADER_BYTES, Header, Keys};

pub(crate) use location::location;

/// How much parity an object gets: sectors of parity per hundred sectors of data, 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u8);

impl Percent {
    /// `None` unless it is 1 to 100.
    pub fn new(percent: u8) -> Option<Self> {
        (1..=100).contains(&percent).then_some(Self(percent))
    }

    /// The number.
    pub fn get(self) -> u8 {
        self.0
    }

    /// The share of the sectors of data and parity that may be damaged, in percent.
    pub fn survived(self) -> f64 {
        let percent = f64::from(self.0);
        100.0 * percent / (100.0 + percent)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// A store whose objects carry parity.
#[derive(Debug)]
pub struct ParityBackend {
    store: Arc<dyn Backend>,
    percent: Percent,
    location: String,
    forms: Forms,
    healed: AtomicU64,
}

impl ParityBackend {
    /// Objects that are put into `store` from now on get `percent` parity.
    pub fn new(store: Arc<dyn Backend>, percent: Percent) -> Self {
        let location = format!("parity:{percent}:{}", store.location());
        Self { store, percent, location, forms: Forms::default(), healed: AtomicU64::new(0) }
    }

    /// How much parity new objects get.
    pub fn percent(&self) -> Percent {
        self.percent
    }

    /// Reads of whole objects that were damaged, and repaired on the way; the store still has the damage.
    pub fn healed_reads(&self) -> u64 {
        self.healed.load(Ordering::Relaxed)
    }

    /// Reads an object of at most `limit` bytes whole, verified and repaired.
    async fn get_whole(&self, name: &ObjectName, limit: u64) -> Result<Bytes> {
        let stored = salvage::get(&*self.store, name, stored_limit(limit)).await?;
        let (object, whole) = (name.clone(), stored.clone());
        match computing("get object", move || decode::open(&object, &whole, Depth::Data)).await? {
            Some(opened) => {
                if !opened.damage.is_none() {
                    self.healed.fetch_add(1, Ordering::Relaxed);
                }
                self.forms.note(name, Form::Protected(opened.data.len() as u64));
                Ok(opened.data)
            }
            None => {
                verify_object_bytes(name, &stored).map_err(|error| unprotected(error, name))?;
                self.forms.note(name, Form::Plain(stored.len() as u64));
                Ok(stored)
            }
        }
    }

    /// What the first bytes of an object say of it; `None` if they are no header, or can not be read.
    async fn look(&self, name: &ObjectName) -> Result<Option<Form>> {
        let head = ByteRange::Exact { offset: 0, length: HEADER_BYTES as u64 };
        match self.store.get(name, head).await {
            Ok(bytes) => {
                let header = Header::decode(&bytes, &Keys::of(name));
                Ok(header.map(|header| Form::Protected(header.geometry.data_bytes)))
            }
            Err(error) if may_be_repaired(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The form of an object whose range is wanted, and the bytes of that range if it is protected.
    async fn get_range(&self, name: &ObjectName, offset: u64, length: u64) -> Result<Bytes> {
        let end = offset.checked_add(length).ok_or_else(|| past_the_end(name))?;
        let fits = |form: Form| if end <= form.bytes() { Ok(()) } else { Err(past_the_end(name)) };
        let place = |start: usize| ByteRange::Exact { offset: offset.saturating_add(start as u64), length };
        match self.forms.get(name) {
            Some(form) => {
                fits(form)?;
                return self.store.get(name, place(form.start())).await;
            }
            // Nothing is known yet: the header is read beside the range, once per object.
            None => {
                let range = async { Ok(self.store.get(name, place(HEADER_BYTES)).await) };
                let (form, range) = try_join(self.look(name), range).await?;
                if let Some(form) = form {
                    self.forms.note(name, form);
                    fits(form)?;
                    return range;
                }
            }
        }
        self.range_of_whole(name, offset, length).await
    }

    /// The way that always works: everything is read, and repaired.
    async fn range_of_whole(&self, name: &ObjectName, offset: u64, length: u64) -> Result<Bytes> {
        let whole = self.get_whole(name, OBJECT_BYTES_MAX as u64).await?;
        match offset.checked_add(length) {
            Some(end) if end <= whole.len() as u64 => Ok(whole.slice(offset as usize..end as usize)),
            _ => Err(past_the_end(name)),
        }
    }
}

#[async_trait]
impl Backend for ParityBackend {
    fn location(&self) -> &str {
        &self.location
    }

    fn capabilities(&self) -> Capabilities {
        let store = self.store.capabilities();
        // Data that needs no more than the store takes: parity, and a tenth for checksums and copies of small objects.
        let room = u64::from(self.percent.get()) + 110;
        Capabilities { max_object_bytes: store.max_object_bytes / room * 100, ..store }
    }

    async fn put(&self, name: &ObjectName, payload: Payload, mode: PutMode) -> Result<()> {
        let (object, percent) = (name.clone(), self.percent);
        let bytes = payload.len() as u64;
        let protected = computing("put object", move || {
            encode::encode(&object, payload.into_bytes(), &Geometry::of(bytes, percent))
        });
        self.forms.forget(name);
        self.store.put(name, protected.await.map_err(|error| error.with("object", name))?, mode).await
    }

    async fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
        match range {
            ByteRange::All { limit } => {
                let data = self.get_whole(name, limit).await?;
                range.within(name, data.len() as u64).map(|_| data)
            }
            ByteRange::Exact { offset, length } => match self.get_range(name, offset, length).await {
                Err(error) if may_be_repaired(&error) && error.context(PAST_THE_END).is_none() => {
                    self.range_of_whole(name, offset, length).await
                }
                done => done,
            },
        }
    }

    async fn head(&self, name: &ObjectName) -> Result<ObjectMeta> {
        let bytes = match self.look(name).await? {
            Some(form) => form.bytes(),
            None => self.get_whole(name, OBJECT_BYTES_MAX as u64).await?.len() as u64,
        };
        Ok(ObjectMeta { name: name.clone(), bytes })
    }

    async fn delete(&self, name: &ObjectName) -> Result<()> {
        self.forms.forget(name);
        self.store.delete(name).await
    }

    fn list(&self, prefix: &Prefix) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list(prefix)
    }
}

/// Whether these bytes are just what this layer puts under this name.
pub(crate) fn is_object(name: &ObjectName, stored: &Bytes) -> bool {
    let header = Header::decode(stored, &Keys::of(name));
    header.is_some_and(|header| header.geometry.stored_bytes() == stored.len())
        && matches!(decode::open(name, stored, Depth::Everything), Ok(Some(opened)) if opened.damage.is_none())
}

/// The most bytes in which data of at most `limit` bytes lies, whatever its protection.
fn stored_limit(limit: u64) -> u64 {
    limit.saturating_mul(5).saturating_add(64 << 10).min(OBJECT_BYTES_MAX as u64)
}

/// The fact by which an error says that a range is no damage but a mistake.
const PAST_THE_END: &str = "range";

fn past_the_end(name: &ObjectName) -> Error {
    Error::damaged("get object", "object is shorter than the range")
        .with("object", name)
        .with(PAST_THE_END, "past the end")
}

fn unprotected(error: Error, name: &ObjectName) -> Error {
    Error::damaged("repair object", "nothing is left of its parity").with("object", name).because(error)
}

/// Whether what can not be read as it is may be read as a whole.
fn may_be_repaired(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Io)
}

#[cfg(test)]
mod tests;

//! The gate: the trait every store implements, and its contract.
//!
//! The numbered contract (the conformance suite cites the numbers):
//!
//! 1. `put` returning `Ok` means: visible whole and, where [`Capabilities::durable`] is true, safe against power
//!    loss. A reader sees the old value, nothing, or all of the new one.
//! 2. [`PutMode::Write`] of an existing name with the same bytes is `Ok` (a retry); names are random, so different
//!    bytes never meet. [`PutMode::ReplaceExisting`] succeeds only if the object exists at that moment, atomically;
//!    a store that can not says so in its capabilities and answers `Unsupported`. After an ambiguous failure the
//!    identical call is repeated.
//! 3. `get` of a missing name is `NotFound`. A range is exact: fewer bytes than asked is an error, never a short `Ok`.
//!    An object longer than the limit of [`ByteRange::All`] is `LimitExceeded`, and no more than the limit is held in
//!    memory, whatever length the store announces.
//! 4. `delete` of a missing name is `Ok`. After `Ok` a `get` is `NotFound`.
//! 5. `list` yields every object under the prefix that existed before the call and was not deleted during it, each
//!    once, in any order; nothing half-written; an unreachable store is an error, never an empty list. It is at most
//!    [`Capabilities::list_staleness`] old.
//! 6. Names in the store that are not valid [`ObjectName`]s are skipped, never returned, never deleted.
//! 7. Every error says whether it is permanent or temporary, and which operation failed on which object.
//! 8. All methods may be called concurrently; dropping a future leaves no half-written object visible.
//! 9. Hostile values (traversal, NUL, empty or huge names, lying lengths) can not make a backend read or write
//!    outside its root.
//! 10. A whole-object `get` through a redundancy layer is verified and repaired. `list` may return the stored size;
//!     the exact length comes from `head`.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::error::{Error, ErrorKind, Result};
use crate::limits::OBJECT_BYTES_MAX;

#[cfg(feature = "conformance")]
pub mod conformance;
mod memory;
mod name;
mod permissions;
mod store;
mod trial;

pub use memory::MemoryBackend;
pub use name::{ObjectName, Prefix};
pub use permissions::{Action, Permissions};
pub use store::Store;
pub use trial::ended_trial;

/// What a store can do, as far as the engine asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// `put` returning `Ok` means safe against power loss.
    pub durable: bool,
    /// How old a list may be.
    pub list_staleness: Duration,
    /// [`PutMode::ReplaceExisting`] works.
    pub replace_existing: bool,
    /// Bytes of the largest object.
    pub max_object_bytes: u64,
    /// Calls worth having under way at once.
    pub concurrency: usize,
    /// What this client may do, as far as is known; a store may refuse more.
    pub permissions: Permissions,
}

/// How an object is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutMode {
    /// Under a name nobody else uses; repeating it with the same bytes is fine.
    Write,
    /// Only over an object that exists at that moment.
    ReplaceExisting,
}

/// Which bytes of an object are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// All of it, if it has at most `limit` bytes.
    All {
        /// Bytes of the longest object the caller can take.
        limit: u64,
    },
    /// Exactly `length` bytes from `offset`.
    Exact {
        /// First byte.
        offset: u64,
        /// Count of bytes.
        length: u64,
    },
}

impl ByteRange {
    /// All of any object there may be.
    pub const WHOLE: Self = Self::All { limit: OBJECT_BYTES_MAX as u64 };

    /// Offset and length of the range in the object `name`, which has `size` bytes.
    ///
    /// # Errors
    /// `LimitExceeded` if all of it is longer than the limit, `Damaged` if it is shorter than an exact range.
    pub fn within(self, name: &ObjectName, size: u64) -> Result<(u64, u64)> {
        match self {
            Self::All { limit } => check_length("get object", name, size, limit).map(|()| (0, size)),
            Self::Exact { offset, length } if offset.checked_add(length).is_some_and(|end| end <= size) => {
                Ok((offset, length))
            }
            Self::Exact { .. } => {
                Err(Error::damaged("get object", "object is shorter than the range").with("object", name))
            }
        }
    }
}

/// Refuses an object, or a part of one, that has more than `limit` bytes.
///
/// # Errors
/// `LimitExceeded` with the facts `bytes` and `limit`.
pub fn check_length(operation: &'static str, name: &ObjectName, bytes: u64, limit: u64) -> Result<()> {
    if bytes <= limit {
        return Ok(());
    }
    let error = Error::new(ErrorKind::LimitExceeded, operation).with("object", name);
    Err(error.with("bytes", bytes).with("limit", limit))
}

/// The bytes of an object to put, in one or several pieces.
#[derive(Clone, Debug, Default)]
pub struct Payload {
    pieces: Vec<Bytes>,
}

impl Payload {
    /// A payload of several pieces, to be stored one after the other.
    pub fn from_pieces(pieces: Vec<Bytes>) -> Self {
        Self { pieces }
    }

    /// The pieces in order.
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// The length of all pieces in bytes.
    pub fn len(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }

    /// Whether there is no byte at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether these are its bytes.
    pub fn has_bytes(&self, bytes: &[u8]) -> bool {
        let rest = self.pieces.iter().try_fold(bytes, |rest, piece| rest.strip_prefix(&piece[..]));
        rest.is_some_and(<[u8]>::is_empty)
    }

    /// All bytes in one run; copies only if there are several pieces.
    pub fn into_bytes(mut self) -> Bytes {
        match self.pieces.len() {
            1 => self.pieces.remove(0),
            _ => self.pieces.concat().into(),
        }
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self { pieces: vec![bytes.into()] }
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self { pieces: vec![bytes] }
    }
}

/// What a store tells about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Its name.
    pub name: ObjectName,
    /// Its size in bytes; from `list` it may be the stored size of a redundancy layer.
    pub bytes: u64,
}

/// A key/value store that keeps sealed objects. See the module for the contract.
///
/// There are no default methods on purpose: a layer that wraps another backend
/// must say what it does with every call.
#[async_trait]
pub trait Backend: Debug + Send + Sync + 'static {
    /// Where the objects are, for people; contains no secret.
    fn location(&self) -> &str;

    /// What the store can do.
    fn capabilities(&self) -> Capabilities;

    /// Stores an object (contract 1, 2).
    async fn put(&self, name: &ObjectName, payload: Payload, mode: PutMode) -> Result<()>;

    /// Reads an object or an exact range of it (contract 3).
    async fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Bytes>;

    /// Tells the exact size of an object; `NotFound` if it is missing.
    async fn head(&self, name: &ObjectName) -> Result<ObjectMeta>;

    /// Removes an object (contract 4).
    async fn delete(&self, name: &ObjectName) -> Result<()>;

    /// Yields the objects under a prefix (contract 5, 6).
    fn list(&self, prefix: &Prefix) -> BoxStream<'static, Result<ObjectMeta>>;
}

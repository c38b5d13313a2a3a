//! Reading around what a disk does not give any more.
//!
//! A dead sector makes every read that touches it fail. So a read of a whole object that fails is repeated in pieces,
//! and what can not be read even alone is taken for zeros: damage like any other, found by its checksum.

use bytes::Bytes;
use gabion_core::backend::{Backend, ByteRange, ObjectName};
use gabion_core::error::{Error, ErrorKind, Result};
use gabion_core::limits::MIB;

use super::layout::SECTOR_BYTES;

/// Reads an object of at most `limit` bytes whole, with zeros for what can not be read.
pub(super) async fn get(store: &dyn Backend, name: &ObjectName, limit: u64) -> Result<Bytes> {
    match store.get(name, ByteRange::All { limit }).await {
        Err(error) if error.kind() == ErrorKind::Io => in_pieces(store, name, limit, error).await,
        done => done,
    }
}

async fn in_pieces(store: &dyn Backend, name: &ObjectName, limit: u64, error: Error) -> Result<Bytes> {
    let total = store.head(name).await?.bytes;
    let (_, total) = ByteRange::All { limit }.within(name, total)?;
    let total = usize::try_from(total).map_err(|_| Error::new(ErrorKind::LimitExceeded, "get object"))?;
    let mut out = vec![0; total];
    let mut waiting: Vec<(usize, usize)> =
        (0..total).step_by(MIB).map(|start| (start, MIB.min(total - start))).collect();
    let mut unread = 0;
    while let Some((offset, length)) = waiting.pop() {
        let range = ByteRange::Exact { offset: offset as u64, length: length as u64 };
        match store.get(name, range).await {
            Ok(bytes) if bytes.len() == length => out[offset..offset + length].copy_from_slice(&bytes),
            Ok(_) => return Err(error),
            Err(failed) if failed.kind() != ErrorKind::Io => return Err(failed),
            Err(_) if length <= SECTOR_BYTES => unread += length,
            Err(_) => {
                let half = (length / 2).next_multiple_of(SECTOR_BYTES);
                waiting.extend([(offset, half), (offset + half, length - half)]);
            }
        }
    }
    if unread == total { Err(error) } else { Ok(out.into()) }
}

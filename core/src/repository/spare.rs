//! Buffers of segments that were put, for the next ones.
//!
//! Segments come and go all the time, and are large: an allocator that gets them back between small things keeps holes
//! as large as all of them together. So they do not go back before the session ends.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Room a buffer has beyond where its segment is closed: for the directory and the padding, in parts of it.
const SLACK_SHARE: usize = 8;

/// Buffers nobody uses at the moment.
#[derive(Clone)]
pub(super) struct Spare {
    buffers: Arc<Mutex<Vec<Vec<u8>>>>,
    /// How many are kept at most.
    most: usize,
}

impl Spare {
    /// Keeps so many buffers at most.
    pub fn of(most: usize) -> Self {
        Self { buffers: Arc::default(), most }
    }

    /// A buffer for a segment that is closed at `limit` bytes. New ones are not touched before they are filled.
    pub fn take(&self, limit: usize) -> Vec<u8> {
        self.buffers(|buffers| buffers.pop()).unwrap_or_else(|| Vec::with_capacity(limit + limit / SLACK_SHARE))
    }

    /// The bytes of a segment; the buffer comes back when nobody looks at them any more.
    pub fn lend(&self, buffer: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent { buffer, spare: self.clone() })
    }

    fn give_back(&self, buffer: Vec<u8>) {
        self.buffers(|buffers| {
            if buffers.len() < self.most {
                buffers.push(buffer);
            }
        });
    }

    fn buffers<T>(&self, act: impl FnOnce(&mut Vec<Vec<u8>>) -> T) -> T {
        act(&mut self.buffers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Lent {
    buffer: Vec<u8>,
    spare: Spare,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.spare.give_back(std::mem::take(&mut self.buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_the_last_look_at_it_ends() {
        let spare = Spare::of(2);
        let mut buffer = spare.take(1 << 20);
        buffer.extend_from_slice(b"segment");
        let place = buffer.as_ptr();
        let bytes = spare.lend(buffer);
        let part = bytes.slice(3..);
        drop(bytes);
        let other = spare.take(1 << 20);
        assert_ne!(other.as_ptr(), place, "somebody looks at it");
        assert_eq!(&part[..], b"ment");
        drop(part);
        let back = spare.take(1 << 20);
        assert_eq!(back.as_ptr(), place);
    }
}

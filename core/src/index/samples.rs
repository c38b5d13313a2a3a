//! Made-up segments for the tests of the index.

use crate::id::{ChunkId, SegmentId};
use crate::segment::{ChunkEntry, Class, Directory, Frame, HEADER_BYTES, SegmentRecord};

/// The chunk with this number.
pub(super) fn chunk(number: u64) -> ChunkId {
    ChunkId::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

/// A segment of chunks with these numbers, three to a frame.
pub(super) fn segment_of(number: u32, chunks: &[u64]) -> (SegmentRecord, Directory) {
    let mut directory = Directory::default();
    for own in chunks.chunks(3) {
        let length = |chunk: &u64| 100 + (chunk % 50) as u32;
        directory.frames.push(Frame {
            stored_bytes: 60 + own.len() as u32,
            plain_bytes: own.iter().map(length).sum(),
            codec: (number % 3) as u8,
            chunks: own.len() as u32,
        });
        directory.chunks.extend(own.iter().map(|number| ChunkEntry { id: chunk(*number), bytes: length(number) }));
    }
    let mut id = [0x5e; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    let record = SegmentRecord {
        id: SegmentId::from_bytes(id),
        class: if number.is_multiple_of(2) { Class::Data } else { Class::Tree },
        bytes: 1000 + 100 * chunks.len() as u64,
        content_hash: [number as u8; 32],
        header: [number as u8 ^ 0xff; HEADER_BYTES],
    };
    (record, directory)
}

/// A segment of `chunks` chunks no other segment has.
pub(super) fn segment(number: u32, chunks: u32) -> (SegmentRecord, Directory) {
    let first = u64::from(number) << 32;
    segment_of(number, &(first..first + u64::from(chunks)).collect::<Vec<_>>())
}

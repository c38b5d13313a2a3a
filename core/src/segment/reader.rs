//! Opens segments: one frame, the directory, or everything.

use super::format::{END_BYTES, End, SegmentKeys};
use super::{ChunkEntry, Directory, FinishedSegment, Frame, HEADER_BYTES, SegmentRecord};
use crate::compress::{Decompressor, FrameCodec};
use crate::crypto::envelope::verify_tail;
use crate::crypto::id_hash::IdHasher;
use crate::error::{Error, Result};
use crate::id::SegmentId;
use crate::limits::FRAME_BYTES_MAX;
use crate::seal::Sealer;

/// Opens the frames of one segment.
pub struct FrameOpener {
    keys: SegmentKeys,
}

impl FrameOpener {
    /// Prepares to open frames of the segment `id` whose header is `header`.
    ///
    /// Fails with `Damaged` if the header does not belong to the name or to the keys.
    pub fn new(sealer: &Sealer<'_>, id: &SegmentId, header: &[u8; HEADER_BYTES]) -> Result<Self> {
        Ok(Self { keys: SegmentKeys::of_stored(sealer, id, header)? })
    }

    /// Opens frame `number`: `stored` is its ciphertext and tag, which is opened in place; appends exactly `plain_bytes`
    /// to `plain`.
    pub fn open(
        &self,
        decompressor: &mut Decompressor,
        number: u32,
        stored: &mut Vec<u8>,
        codec: u8,
        plain_bytes: usize,
        plain: &mut Vec<u8>,
    ) -> Result<()> {
        if plain_bytes > FRAME_BYTES_MAX {
            return Err(Error::damaged("open frame", "longer than any frame"));
        }
        self.keys.open_frame(number, stored)?;
        decompressor.decompress(FrameCodec::from_u8(codec)?, stored, plain_bytes, plain)
    }
}

/// What opening one frame after the other needs, kept from frame to frame: the buffers grow to the longest frame.
#[derive(Default)]
pub struct FrameScratch {
    /// Context of the codec.
    pub decompressor: Decompressor,
    /// A frame as it is stored.
    pub stored: Vec<u8>,
    plain: Vec<u8>,
}

impl FrameScratch {
    /// The plaintext of frame `number`, whose bytes are `stored`; nothing if the segment is shorter than that.
    fn open(&mut self, opener: &FrameOpener, number: u32, frame: &Frame, stored: Option<&[u8]>) -> Result<&[u8]> {
        let stored = stored.ok_or_else(|| Error::damaged("open frame", "lies outside the segment"))?;
        self.stored.clear();
        self.stored.extend_from_slice(stored);
        self.plain.clear();
        let plain_bytes = frame.plain_bytes as usize;
        opener.open(&mut self.decompressor, number, &mut self.stored, frame.codec, plain_bytes, &mut self.plain)?;
        Ok(&self.plain)
    }
}

impl std::fmt::Debug for FrameOpener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FrameOpener")
    }
}

/// Opens the directory of a whole segment in memory, and checks the segment's tail and structure.
pub fn open_directory(sealer: &Sealer<'_>, id: &SegmentId, bytes: &[u8]) -> Result<(SegmentRecord, Directory)> {
    verify_tail(bytes).and_then(|()| parse(sealer, id, bytes)).map_err(|error| error.with("segment", id))
}

/// As [`open_directory`] for a segment whose hash is wrong: its directory and frames are authenticated by themselves.
pub fn salvage_directory(sealer: &Sealer<'_>, id: &SegmentId, bytes: &[u8]) -> Result<(SegmentRecord, Directory)> {
    parse(sealer, id, bytes).map_err(|error| error.with("segment", id))
}

fn parse(sealer: &Sealer<'_>, id: &SegmentId, bytes: &[u8]) -> Result<(SegmentRecord, Directory)> {
    let truncated = || Error::damaged("open segment", "truncated");
    let total = bytes.len() as u64;
    let (header, _) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or_else(truncated)?;
    let end_at = bytes.len().checked_sub(END_BYTES).filter(|at| *at >= HEADER_BYTES).ok_or_else(truncated)?;
    let end = End::parse(&bytes[end_at..], total)?;
    let keys = SegmentKeys::of_stored(sealer, id, header)?;
    let place = keys.open_trailer(&end, total)?;
    let offset = place.start;
    let mut sealed = bytes.get(place).ok_or_else(truncated)?.to_vec();
    keys.open_directory(&mut sealed)?;
    let directory = Directory::decode(&sealed)?;
    let frames: u64 = directory.frames.iter().map(|frame| u64::from(frame.stored_bytes)).sum();
    if HEADER_BYTES as u64 + frames != offset as u64 {
        return Err(Error::damaged("open segment", "frames do not fill the segment"));
    }
    let record =
        SegmentRecord { id: *id, class: keys.class, bytes: total, content_hash: end.content_hash, header: *header };
    Ok((record, directory))
}

/// Opens a finished segment again from its own bytes: every frame must open, decompress,
/// and give the chunks it was made of. Bad memory and codec bugs end here, before
/// anything is published.
pub fn verify(
    sealer: &Sealer<'_>,
    hasher: &IdHasher,
    scratch: &mut FrameScratch,
    segment: &FinishedSegment,
) -> Result<()> {
    let (record, directory) = open_directory(sealer, &segment.record.id, &segment.bytes)?;
    if record != segment.record || directory != segment.directory {
        return Err(Error::damaged("verify segment", "directory reads back differently"));
    }
    read_chunks(sealer, scratch, (&record, &directory), &segment.bytes, &|_| true, &mut |_, chunk, bytes| {
        if hasher.id(record.class.into(), bytes) != chunk.id {
            return Err(Error::damaged("verify segment", "a chunk reads back differently"));
        }
        Ok(())
    })
}

/// Takes a chunk: its ordinal, what the directory says of it, and its plaintext.
pub type TakeChunk<'a> = dyn FnMut(u32, &ChunkEntry, &[u8]) -> Result<()> + 'a;

/// Opens the frames of a whole segment in memory that hold a chunk whose ordinal is `wanted`, and hands those
/// chunks to `take`: ordinal, entry and plaintext, which was not compared with the name.
///
/// `segment` is what [`open_directory`] made of `bytes`.
pub fn read_chunks(
    sealer: &Sealer<'_>,
    scratch: &mut FrameScratch,
    (record, directory): (&SegmentRecord, &Directory),
    bytes: &[u8],
    wanted: &dyn Fn(u32) -> bool,
    take: &mut TakeChunk<'_>,
) -> Result<()> {
    let short = || Error::damaged("read segment", "directory does not fit").with("segment", record.id);
    let opener = FrameOpener::new(sealer, &record.id, &record.header)?;
    let (mut offset, mut chunks) = (HEADER_BYTES, (0u32..).zip(&directory.chunks));
    for (number, frame) in (0u32..).zip(&directory.frames) {
        let end = offset + frame.stored_bytes as usize;
        let own: Vec<(u32, &ChunkEntry)> = chunks.by_ref().take(frame.chunks as usize).collect();
        if own.iter().any(|(ordinal, _)| wanted(*ordinal)) {
            let plain = scratch.open(&opener, number, frame, bytes.get(offset..end))?;
            let mut start = 0;
            for (ordinal, chunk) in own {
                let end = start + chunk.bytes as usize;
                if wanted(ordinal) {
                    take(ordinal, chunk, plain.get(start..end).ok_or_else(short)?)?;
                }
                start = end;
            }
        }
        offset = end;
    }
    Ok(())
}

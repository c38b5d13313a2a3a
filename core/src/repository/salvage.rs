//! Segments as far as they can be read.
//!
//! What is in a segment says its own directory, or, where that is damaged, the index: it has the header, the places
//! of all frames, and enough of every name to know a chunk when it opens. So damage costs the frames it hit and no
//! others.

use super::session::SharedIndex;
use super::verify::own_id;
use super::{ObjectName, Office};
use crate::backend::{ByteRange, Store};
use crate::compress::Decompressor;
use crate::crypto::envelope::Kind;
use crate::error::{Error, ErrorKind, Result, is_finding};
use crate::id::{ChunkId, SegmentId};
use crate::index::{FramePlace, Places};
use crate::limits::SEGMENT_BYTES_MAX;
use crate::segment::{Class, Directory, FrameOpener, SegmentRecord, open_directory, salvage_directory};

/// What reading a whole segment found.
#[derive(Debug, Default)]
pub struct SegmentState {
    /// What is wrong with it as an object, if anything is.
    pub wrong: Option<Error>,
    /// Its chunks that can not be read, by ordinal.
    pub spoilt: std::collections::BTreeSet<u32>,
    /// Why the first of these can not.
    pub why: Option<Error>,
    /// Chunks it has.
    pub chunks: usize,
    /// Its stored bytes.
    pub bytes: u64,
}

/// Takes a chunk: class, ordinal, its id if that is known, and its content or why it can not be read.
pub(super) type TakeChunk<'a> = dyn FnMut(Class, u32, Option<&ChunkId>, Result<&[u8]>) -> Result<()> + 'a;

/// What is in a segment.
struct Contents {
    record: SegmentRecord,
    places: Places,
    /// Of all chunks, where the segment's own directory could be read.
    ids: Option<Vec<ChunkId>>,
}

impl Contents {
    fn of((record, directory): (SegmentRecord, Directory)) -> Result<Self> {
        let places = Places::of(&directory)?;
        Ok(Self { record, places, ids: Some(directory.chunks.into_iter().map(|chunk| chunk.id).collect()) })
    }
}

/// Reads segments chunk by chunk.
pub(super) struct Salvage<'a> {
    pub office: &'a Office,
    pub index: &'a SharedIndex,
}

impl Salvage<'_> {
    /// Reads a segment whole and hands over every chunk of it, readable or not.
    ///
    /// Fails if neither the segment nor the index tells what is in it.
    pub fn read(
        &self,
        id: &SegmentId,
        decompressor: &mut Decompressor,
        take: &mut TakeChunk<'_>,
    ) -> Result<SegmentState> {
        self.take_stored(id, self.stored(id), decompressor, take)
    }

    /// As [`Salvage::read`], and before that hands over the chunks of another segment whose bytes lie under this name,
    /// if they do.
    pub fn read_with_misplaced(
        &self,
        id: &SegmentId,
        decompressor: &mut Decompressor,
        take: &mut TakeChunk<'_>,
    ) -> Result<SegmentState> {
        let stored = self.stored(id);
        if let Ok(bytes) = &stored {
            self.take_misplaced(id, bytes, decompressor, take)?;
        }
        self.take_stored(id, stored, decompressor, take)
    }

    fn stored(&self, id: &SegmentId) -> Result<bytes::Bytes> {
        self.office.store.get_bounded(&ObjectName::of("segments", id), SEGMENT_BYTES_MAX)
    }

    fn take_stored(
        &self,
        id: &SegmentId,
        stored: Result<bytes::Bytes>,
        decompressor: &mut Decompressor,
        take: &mut TakeChunk<'_>,
    ) -> Result<SegmentState> {
        let (bytes, contents, wrong) = match stored {
            Ok(bytes) => {
                let (contents, wrong) = self.contents(id, &bytes)?;
                (Bytes::Whole(bytes), contents, wrong)
            }
            // A bad sector, or too long: the store may still give parts of it.
            Err(error) if is_finding(&error) && error.kind() != ErrorKind::NotFound => {
                let Some(contents) = self.known_contents(id) else { return Err(error) };
                (Bytes::Parts(&self.office.store, ObjectName::of("segments", id)), contents, Some(error))
            }
            Err(error) => return Err(error),
        };
        let mut state = SegmentState { wrong, bytes: bytes.len(), ..SegmentState::default() };
        self.chunks(&contents, &bytes, decompressor, &mut |class, ordinal, chunk, plain| {
            state.chunks += 1;
            if let Err(error) = &plain {
                state.spoilt.insert(ordinal);
                state.why.get_or_insert_with(|| Error::damaged("read chunk", error).with("segment", id));
            }
            take(class, ordinal, chunk, plain)
        })?;
        Ok(state)
    }

    fn take_misplaced(
        &self,
        id: &SegmentId,
        bytes: &bytes::Bytes,
        decompressor: &mut Decompressor,
        take: &mut TakeChunk<'_>,
    ) -> Result<()> {
        let own = own_id(Kind::Segment, bytes).map(SegmentId::from_bytes);
        let Some(own) = own.filter(|own| own != id) else { return Ok(()) };
        match open_directory(&self.office.sealer(), &own, bytes) {
            Ok(opened) => self.chunks(&Contents::of(opened)?, &Bytes::Whole(bytes.clone()), decompressor, take),
            Err(_) => Ok(()),
        }
    }

    /// What is in it, and what is wrong with the object.
    fn contents(&self, id: &SegmentId, bytes: &[u8]) -> Result<(Contents, Option<Error>)> {
        let sealer = self.office.sealer();
        let wrong = match open_directory(&sealer, id, bytes) {
            Ok(opened) => return Ok((Contents::of(opened)?, None)),
            Err(error) => error.with("object", ObjectName::of("segments", id)),
        };
        // A wrong hash spoils no frame that opens: its tag says so.
        if let Ok(opened) = salvage_directory(&sealer, id, bytes) {
            return Ok((Contents::of(opened)?, Some(wrong)));
        }
        match self.known_contents(id) {
            Some(contents) => Ok((contents, Some(wrong))),
            None => Err(wrong),
        }
    }

    /// What the index says is in it.
    fn known_contents(&self, id: &SegmentId) -> Option<Contents> {
        let index = self.index.read();
        let (record, places) = index.layout(id)?;
        Some(Contents { record: record.clone(), places: places.clone(), ids: None })
    }

    fn chunks(
        &self,
        contents: &Contents,
        bytes: &Bytes<'_>,
        decompressor: &mut Decompressor,
        take: &mut TakeChunk<'_>,
    ) -> Result<()> {
        let Contents { record, places, ids } = contents;
        let opener = FrameOpener::new(&self.office.sealer(), &record.id, &record.header)?;
        let (mut open, mut opened, mut plain) = (None, Ok(()), Vec::new());
        for (ordinal, place) in (0u32..).zip(places.iter()) {
            if open != Some(place.frame.number) {
                plain.clear();
                opened = bytes.open_frame(&opener, decompressor, &place.frame, &mut plain);
                if opened.as_ref().is_err_and(|error| !is_finding(error)) {
                    return opened;
                }
                open = Some(place.frame.number);
            }
            let known = ids.as_ref().and_then(|ids| ids.get(ordinal as usize));
            let (start, end) = (place.offset as usize, place.offset as usize + place.bytes as usize);
            let content = match (&opened, plain.get(start..end)) {
                (Ok(()), Some(content)) => Ok((self.office.hasher.id(record.class.into(), content), content)),
                (Ok(()), None) => Err(Error::damaged("read chunk", "chunk lies outside its frame")),
                (Err(error), _) => Err(Error::damaged("read chunk", error)),
            };
            match content {
                Ok((id, content)) if self.is_right(record, ordinal, known, &id) => {
                    take(record.class, ordinal, Some(&id), Ok(content))?;
                }
                Ok(_) => {
                    let error = Error::damaged("read chunk", "content differs from the name");
                    take(record.class, ordinal, known, Err(error))?;
                }
                Err(error) => take(record.class, ordinal, known, Err(error))?,
            }
        }
        Ok(())
    }

    /// Whether content with this name belongs at this place.
    fn is_right(&self, record: &SegmentRecord, ordinal: u32, known: Option<&ChunkId>, id: &ChunkId) -> bool {
        match known {
            Some(known) => known == id,
            None => self.index.read().holds(id, &record.id, ordinal),
        }
    }
}

/// The bytes of a segment.
enum Bytes<'a> {
    /// In memory.
    Whole(bytes::Bytes),
    /// In the store, which can not give all of them at once.
    Parts(&'a Store, ObjectName),
}

impl Bytes<'_> {
    fn len(&self) -> u64 {
        match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::Parts(..) => 0,
        }
    }

    fn open_frame(
        &self,
        opener: &FrameOpener,
        decompressor: &mut Decompressor,
        place: &FramePlace,
        plain: &mut Vec<u8>,
    ) -> Result<()> {
        let FramePlace { number, offset, stored_bytes, plain_bytes, codec } = *place;
        let mut stored = match self {
            Self::Whole(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let stored = bytes.get(start..start.saturating_add(stored_bytes as usize));
                stored.ok_or_else(|| Error::damaged("open frame", "lies outside the segment"))?.to_vec()
            }
            Self::Parts(store, name) => {
                store.get(name, ByteRange::Exact { offset, length: u64::from(stored_bytes) })?.to_vec()
            }
        };
        opener.open(decompressor, number, &mut stored, codec, plain_bytes as usize, plain)
    }
}

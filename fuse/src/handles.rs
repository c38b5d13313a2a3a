//! What is open: files that are read, directories that are listed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use gabion_core::archive::entry::Entry;
use gabion_core::archive::{Content, ContentItem, ContentReader};
use gabion_core::error::{Error, Result};
use gabion_core::limits::MIB;

use crate::directory::Directory;
use crate::listing::Cursor;
use crate::view::View;

/// Pieces of a long content list that are held at a time.
const WINDOW_PIECES: usize = 512;
/// Bytes that are read ahead at most.
const AHEAD_BYTES: u64 = 16 * MIB as u64;
/// Bytes that must have been read in order before anything is read ahead.
const PROOF_BYTES: u64 = MIB as u64 / 2;
/// How far requests of one reader overtake each other.
const SLACK_BYTES: u64 = MIB as u64;

/// Everything that is open, by the number the kernel has for it.
#[derive(Debug, Default)]
pub(crate) struct Handles {
    next: AtomicU64,
    open: Mutex<HashMap<u64, Handle>>,
}

/// Something that is open.
#[derive(Clone, Debug)]
pub(crate) enum Handle {
    /// A file.
    File(Arc<OpenFile>),
    /// A directory.
    Directory(Arc<OpenDirectory>),
}

/// A directory that is listed.
#[derive(Debug)]
pub(crate) struct OpenDirectory {
    /// The directory.
    pub directory: Arc<Directory>,
    /// Where the listing stands.
    pub cursor: Mutex<Cursor>,
}

/// A file that is read.
#[derive(Debug)]
pub(crate) struct OpenFile {
    entry: Entry,
    path: Vec<u8>,
    window: Mutex<Option<Arc<Window>>>,
    /// How far it was read in order, and since where.
    streak: Mutex<Streak>,
}

/// Some pieces of a file, one after the other.
#[derive(Debug)]
struct Window {
    pieces: Vec<(u64, ContentItem)>,
    end: u64,
}

#[derive(Debug, Default)]
struct Streak {
    start: u64,
    end: u64,
    /// Up to where chunks are on their way.
    ahead: u64,
}

/// What lies at a position of a file, and what follows.
pub(crate) enum Extent {
    /// Data up to here.
    Data(u64),
    /// Nothing up to here.
    Hole(u64),
}

impl Handles {
    /// Opens something.
    pub fn open(&self, handle: Handle) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.all().insert(number, handle);
        number
    }

    /// The file with this number.
    pub fn file(&self, number: u64) -> Option<Arc<OpenFile>> {
        match self.all().get(&number) {
            Some(Handle::File(file)) => Some(Arc::clone(file)),
            _ => None,
        }
    }

    /// The directory with this number.
    pub fn directory(&self, number: u64) -> Option<Arc<OpenDirectory>> {
        match self.all().get(&number) {
            Some(Handle::Directory(directory)) => Some(Arc::clone(directory)),
            _ => None,
        }
    }

    /// Closes something.
    pub fn close(&self, number: u64) {
        self.all().remove(&number);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<u64, Handle>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenFile {
    /// A file of which nothing was read yet; `path` is where it lies in its archive.
    pub fn new(entry: Entry, path: Vec<u8>) -> Self {
        Self { entry, path, window: Mutex::default(), streak: Mutex::default() }
    }

    /// Where it lies in its archive.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The bytes from `offset` on, as many as asked for or as there are.
    pub fn read(&self, view: &View, offset: u64, bytes: u32) -> Result<Bytes> {
        let end = offset.saturating_add(u64::from(bytes)).min(self.entry.size);
        if offset >= end {
            return Ok(Bytes::new());
        }
        if let Content::Inline(content) = &self.entry.content {
            let range = offset as usize..end as usize;
            return content.get(range).map(Bytes::copy_from_slice).ok_or_else(short);
        }
        self.read_ahead(view, offset, end);
        let first = self.piece(view, offset, end)?;
        if first.len() as u64 == end - offset {
            return Ok(first);
        }
        let mut all = Vec::with_capacity((end - offset) as usize);
        all.extend_from_slice(&first);
        while (all.len() as u64) < end - offset {
            let piece = self.piece(view, offset + all.len() as u64, end)?;
            all.extend_from_slice(&piece);
        }
        Ok(all.into())
    }

    /// What one chunk or hole has of these bytes: at least one.
    fn piece(&self, view: &View, offset: u64, end: u64) -> Result<Bytes> {
        let window = self.window(view, offset)?;
        let (start, item) = window.at(offset).ok_or_else(short)?;
        let skipped = offset - start;
        let wanted = (end - offset).min(item.bytes() - skipped) as usize;
        match item {
            ContentItem::Hole { .. } => Ok(vec![0; wanted].into()),
            ContentItem::Chunk { id, .. } => {
                let chunk = view.chunks().get(&id)?;
                let skipped = skipped as usize;
                if skipped + wanted > chunk.len() {
                    return Err(Error::damaged("read content", "chunk is shorter than the file says").with("chunk", id));
                }
                Ok(chunk.slice(skipped..skipped + wanted))
            }
        }
    }

    /// Whether there is data at `offset`, and up to where; `None` at the end of the file.
    pub fn extent(&self, view: &View, offset: u64) -> Result<Option<Extent>> {
        if offset >= self.entry.size {
            return Ok(None);
        }
        if let Content::Inline(_) = &self.entry.content {
            return Ok(Some(Extent::Data(self.entry.size)));
        }
        let window = self.window(view, offset)?;
        let (start, item) = window.at(offset).ok_or_else(short)?;
        let end = start.saturating_add(item.bytes());
        Ok(Some(match item {
            ContentItem::Hole { .. } => Extent::Hole(end),
            ContentItem::Chunk { .. } => Extent::Data(end),
        }))
    }

    /// The pieces around `offset`.
    fn window(&self, view: &View, offset: u64) -> Result<Arc<Window>> {
        let current = self.window.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(window) = current.filter(|window| window.at(offset).is_some()) {
            return Ok(window);
        }
        let mut reader = ContentReader::open(view.reader(), &self.entry.content, self.entry.size)?;
        reader.seek(offset)?;
        let mut pieces = Vec::new();
        let mut position = reader.position();
        while pieces.len() < WINDOW_PIECES {
            match reader.next() {
                Some(Ok(item)) => {
                    pieces.push((position, item));
                    position = position.saturating_add(item.bytes());
                }
                // What is behind is told to who reads there.
                Some(Err(error)) if pieces.is_empty() => return Err(error),
                Some(Err(_)) | None => break,
            }
        }
        let window = Arc::new(Window { pieces, end: position });
        *self.window.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&window));
        Ok(window)
    }

    /// Has the next chunks fetched while somebody reads in order.
    fn read_ahead(&self, view: &View, offset: u64, end: u64) {
        let (from, to) = {
            let mut streak = self.streak.lock().unwrap_or_else(PoisonError::into_inner);
            if offset > streak.end.saturating_add(SLACK_BYTES) || end.saturating_add(SLACK_BYTES) < streak.end {
                *streak = Streak { start: offset, end, ahead: end };
            }
            streak.end = streak.end.max(end);
            let proof = streak.end - streak.start;
            let to = streak.end.saturating_add(if proof < PROOF_BYTES { 0 } else { proof.min(AHEAD_BYTES) });
            // In steps, so that not every request of some pages looks for chunks.
            if to < streak.ahead.saturating_add(PROOF_BYTES) {
                return;
            }
            (std::mem::replace(&mut streak.ahead, to).max(streak.end), to)
        };
        // Only within what is known of the list: reading ahead waits for nothing.
        let Some(window) = self.window.lock().unwrap_or_else(PoisonError::into_inner).clone() else { return };
        let first = window.pieces.partition_point(|(start, item)| start.saturating_add(item.bytes()) <= from);
        for (_, item) in window.pieces[first..].iter().take_while(|(start, _)| *start < to) {
            if let ContentItem::Chunk { id, .. } = item {
                view.chunks().expect(id);
            }
        }
    }
}

impl Window {
    /// The piece that holds the byte at `offset`, and where it starts.
    fn at(&self, offset: u64) -> Option<(u64, ContentItem)> {
        if offset >= self.end {
            return None;
        }
        let behind = self.pieces.partition_point(|(start, _)| *start <= offset);
        self.pieces.get(behind.checked_sub(1)?).copied()
    }
}

fn short() -> Error {
    Error::damaged("read content", "the file is shorter than its entry says")
}

//! Reads segments in large pieces, ahead of what is asked for: a restore asks for one frame after the other, and every
//! question costs the way there and back.
//!
//! Whether more is worth having is told by what is asked: the first question about a segment is passed on as it is; near
//! what was read before, the piece grows, and when it is large the one behind it is on its way, too. Only as much as a
//! list said that there is.
//!
//! A piece may be older than the store, so this is for who reads what never changes, not for who decides what may go.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::future::try_join_all;
use futures_util::stream::{BoxStream, StreamExt};
use gabion_core::backend::{Backend, ByteRange, Capabilities, ObjectMeta, ObjectName, Payload, Prefix, PutMode};
use gabion_core::error::{Result, is_finding};
use gabion_core::limits::MIB;
use tokio::sync::OnceCell;

/// Bytes of all pieces together.
const BYTES_MAX: usize = 32 * MIB;
/// How much larger a piece is than the one before it.
const GROWTH: u64 = 4;
/// How many pieces are kept: each thread of a restore may be at another place, with one piece there and one behind it.
/// The more there are, the smaller they are.
const PIECES: std::ops::RangeInclusive<usize> = 8..=32;
/// Segments whose sizes are kept.
const SIZES_MAX: usize = 200_000;

/// A store that is read ahead. Clones share the pieces.
#[derive(Clone, Debug)]
pub struct AheadBackend {
    inner: Arc<dyn Backend>,
    pieces: Arc<Mutex<Pieces>>,
}

#[derive(Debug)]
struct Pieces {
    /// The oldest first; those of one segment never overlap.
    kept: VecDeque<Arc<Piece>>,
    kept_max: usize,
    sizes: HashMap<ObjectName, u64>,
}

/// A part of a segment, read by whoever needs it first.
#[derive(Debug)]
struct Piece {
    name: ObjectName,
    start: u64,
    end: u64,
    bytes: OnceCell<Bytes>,
}

impl AheadBackend {
    /// Reads ahead in `inner` for so many threads.
    pub fn new(inner: Arc<dyn Backend>, threads: usize) -> Self {
        let kept_max = threads.saturating_mul(2).clamp(*PIECES.start(), *PIECES.end());
        let pieces = Pieces { kept: VecDeque::new(), kept_max, sizes: HashMap::new() };
        Self { inner, pieces: Arc::new(Mutex::new(pieces)) }
    }

    fn pieces(&self) -> MutexGuard<'_, Pieces> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(&self, piece: &Piece) -> Result<Bytes> {
        let range = ByteRange::Exact { offset: piece.start, length: piece.end - piece.start };
        piece.bytes.get_or_try_init(|| self.inner.get(&piece.name, range)).await.cloned()
    }

    /// The bytes from `start` to `end`, which these pieces cover.
    async fn joined(&self, pieces: &[Arc<Piece>], start: u64, end: u64) -> Result<Bytes> {
        let mut joined = BytesMut::new();
        let read = try_join_all(pieces.iter().map(|piece| self.read(piece))).await?;
        for (piece, bytes) in pieces.iter().zip(read) {
            let part = start.max(piece.start) - piece.start..end.min(piece.end) - piece.start;
            let part = bytes.slice(part.start as usize..part.end as usize);
            if pieces.len() == 1 {
                return Ok(part);
            }
            joined.extend_from_slice(&part);
        }
        Ok(joined.freeze())
    }
}

impl Pieces {
    /// The pieces that cover a range, and the one behind them if it is time to read it.
    fn cover(&mut self, name: &ObjectName, start: u64, end: u64) -> (Vec<Arc<Piece>>, Option<Arc<Piece>>) {
        let mut cover: Vec<Arc<Piece>> = Vec::new();
        let mut at = start;
        while at < end {
            let piece = self.at(name, at).unwrap_or_else(|| self.add(name, at, end));
            at = piece.end;
            cover.push(piece);
        }
        let last = cover.last().filter(|piece| piece.end - piece.start >= self.piece_bytes_max());
        let is_next_due = last.is_some() && self.sizes.get(name) > Some(&at) && self.at(name, at).is_none();
        (cover, is_next_due.then(|| self.add(name, at, at + 1)))
    }

    fn piece_bytes_max(&self) -> u64 {
        (BYTES_MAX / self.kept_max) as u64
    }

    fn at(&self, name: &ObjectName, at: u64) -> Option<Arc<Piece>> {
        let mut kept = self.kept.iter();
        kept.find(|piece| (piece.start..piece.end).contains(&at) && piece.name == *name).cloned()
    }

    /// A new piece, from `start` to `end` or beyond.
    fn add(&mut self, name: &ObjectName, start: u64, end: u64) -> Arc<Piece> {
        let own = || self.kept.iter().filter(|piece| piece.name == *name);
        let grown = |piece: &Arc<Piece>| (piece.end - piece.start).saturating_mul(GROWTH).min(self.piece_bytes_max());
        let near = own().filter(|piece| piece.end <= start && start - piece.end <= grown(piece));
        let wanted = start.saturating_add(near.map(grown).max().unwrap_or(0));
        let there = self.sizes.get(name).copied().unwrap_or(0).min(wanted).max(end);
        let others = own().map(|piece| piece.start).filter(|other| *other > start);
        let end = others.fold(there, u64::min);
        let piece = Arc::new(Piece { name: name.clone(), start, end, bytes: OnceCell::new() });
        self.kept.push_back(Arc::clone(&piece));
        let bytes =
            |kept: &VecDeque<Arc<Piece>>| kept.iter().map(|piece| piece.end - piece.start).fold(0, u64::saturating_add);
        while self.kept.len() > 1 && (self.kept.len() > self.kept_max || bytes(&self.kept) > BYTES_MAX as u64) {
            self.kept.pop_front();
        }
        piece
    }

    fn forget(&mut self, name: &ObjectName) {
        self.kept.retain(|piece| piece.name != *name);
        self.sizes.remove(name);
    }
}

fn is_segment(name: &ObjectName) -> bool {
    name.as_str().starts_with("segments/")
}

#[async_trait]
impl Backend for AheadBackend {
    fn location(&self) -> &str {
        self.inner.location()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn put(&self, name: &ObjectName, payload: Payload, mode: PutMode) -> Result<()> {
        let put = self.inner.put(name, payload, mode).await;
        self.pieces().forget(name);
        put
    }

    async fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
        let (start, end) = match range {
            ByteRange::Exact { offset, length } if length > 0 && is_segment(name) => {
                (offset, offset.checked_add(length))
            }
            _ => (0, None),
        };
        let Some(end) = end else { return self.inner.get(name, range).await };
        let (cover, next) = self.pieces().cover(name, start, end);
        if let Some(next) = next {
            let own = self.clone();
            // Whoever needs it is told what was wrong.
            tokio::spawn(async move { drop(own.read(&next).await) });
        }
        let read = self.joined(&cover, start, end).await;
        let is_whole = cover.iter().all(|piece| start <= piece.start && piece.end <= end);
        match read {
            Ok(bytes) => Ok(bytes),
            Err(error) => {
                self.pieces().forget(name);
                // A list may tell of more than there is to read.
                if is_finding(&error) && !is_whole { self.inner.get(name, range).await } else { Err(error) }
            }
        }
    }

    async fn head(&self, name: &ObjectName) -> Result<ObjectMeta> {
        self.inner.head(name).await
    }

    async fn delete(&self, name: &ObjectName) -> Result<()> {
        let deleted = self.inner.delete(name).await;
        self.pieces().forget(name);
        deleted
    }

    fn list(&self, prefix: &Prefix) -> BoxStream<'static, Result<ObjectMeta>> {
        let own = self.clone();
        let heard = move |found: &Result<ObjectMeta>| {
            let Ok(object) = found else { return };
            let mut pieces = own.pieces();
            if is_segment(&object.name) && pieces.sizes.len() < SIZES_MAX {
                pieces.sizes.insert(object.name.clone(), object.bytes);
            }
        };
        self.inner.list(prefix).inspect(heard).boxed()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;
    use gabion_core::backend::MemoryBackend;
    use gabion_core::backend::conformance::{Options, check};
    use gabion_core::error::ErrorKind;

    use super::super::testing::{keeps_the_contract, named, runtime};
    use super::super::{Method, Trace, TraceBackend};
    use super::*;

    #[test]
    fn keeps_the_contract_for_segments_too() {
        keeps_the_contract(|inner| Arc::new(AheadBackend::new(inner, 2)));
        let store = Arc::new(AheadBackend::new(Arc::new(MemoryBackend::new()), 2));
        let options = Options { top: Some("segments".to_owned()), ..Options::quick() };
        let report = runtime().block_on(check(store, options));
        assert!(report.is_clean(), "{report}");
    }

    /// A segment of so many bytes, each of which tells where it is, and what was asked of its store.
    fn segment(bytes: u32) -> (AheadBackend, ObjectName, Vec<u8>, Trace) {
        let (trace, memory, name) = (Trace::new(), MemoryBackend::new(), named("segments/a"));
        let content: Vec<u8> = (0..bytes).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        runtime().block_on(memory.put(&name, content.clone().into(), PutMode::Write)).unwrap();
        (AheadBackend::new(Arc::new(TraceBackend::new(Arc::new(memory), &trace)), 2), name, content, trace)
    }

    fn ranges(trace: &Trace) -> (u64, u64) {
        let told = trace.stores().remove(0).methods;
        let ranges = told.iter().find(|(method, _)| *method == Method::GetRange);
        ranges.map_or((0, 0), |(_, totals)| (totals.calls, totals.bytes))
    }

    #[test]
    fn what_is_asked_for_in_order_comes_in_few_pieces_and_once() {
        let (store, name, content, trace) = segment(32 * MIB as u32 + 5);
        runtime().block_on(async {
            store.list(&Prefix::all()).try_collect::<Vec<_>>().await.unwrap();
            for start in (0..content.len()).step_by(100_003) {
                let length = 100_003.min(content.len() - start) as u64;
                let range = ByteRange::Exact { offset: start as u64, length };
                let got = store.get(&name, range).await.unwrap();
                assert!(got == content[start..start + length as usize], "{start}");
            }
        });
        let (calls, bytes) = ranges(&trace);
        // 100 003, four times as much, and again; then 4 MiB each.
        assert!(calls == 11 && bytes == content.len() as u64, "{calls} calls, {bytes} bytes");
    }

    #[test]
    fn long_frames_are_kept_no_longer_than_there_is_room() {
        let (store, name, content, _) = segment(64 * MIB as u32);
        runtime().block_on(async {
            for offset in (0..content.len() as u64).step_by(8 * MIB) {
                let got = store.get(&name, ByteRange::Exact { offset, length: 8 * MIB as u64 }).await.unwrap();
                assert!(got == content[offset as usize..][..8 * MIB]);
                let kept: u64 = store.pieces().kept.iter().map(|piece| piece.end - piece.start).sum();
                assert!(kept <= BYTES_MAX as u64, "{kept}");
            }
        });
    }

    #[test]
    fn nothing_is_read_that_nobody_asks_for_here_and_there() {
        let (store, name, content, trace) = segment(32 * MIB as u32);
        runtime().block_on(async {
            store.list(&Prefix::all()).try_collect::<Vec<_>>().await.unwrap();
            for number in 0..20 {
                let offset = number * 11 % 20 * (3 * MIB as u64 / 2);
                let got = store.get(&name, ByteRange::Exact { offset, length: 1000 }).await.unwrap();
                assert!(got == content[offset as usize..][..1000]);
            }
        });
        let (calls, bytes) = ranges(&trace);
        assert_eq!((calls, bytes), (20, 20 * 1000));
    }

    #[test]
    fn a_list_that_tells_of_too_much_is_not_believed_and_what_goes_is_gone() {
        let (store, name, content, _) = segment(300_000);
        let last = ByteRange::Exact { offset: 200_000, length: 100_000 };
        runtime().block_on(async {
            store.pieces().sizes.insert(name.clone(), 1 << 30);
            store.get(&name, ByteRange::Exact { offset: 0, length: 200_000 }).await.unwrap();
            assert!(store.get(&name, last).await.unwrap() == content[200_000..]);
            store.delete(&name).await.unwrap();
            assert_eq!(store.get(&name, last).await.unwrap_err().kind(), ErrorKind::NotFound);
        });
    }
}

//! Which segments go: those nothing needs, those that are mostly waste, and small ones that fit together.

use std::collections::BTreeSet;

use super::needs::Needs;
use super::roots::Roots;
use super::{Choice, CompactOptions};
use crate::id::SegmentId;
use crate::index::SegmentUse;
use crate::limits::{DATA_SEGMENT_BYTES, TREE_SEGMENT_BYTES};
use crate::repository::Collector;
use crate::segment::Class;

/// Segments of less than a full one's share are merged when there are so many of a class.
const SMALL_SEGMENTS: usize = 8;
/// A segment is small below a full one divided by this.
const SMALL_SHARE: usize = 8;

/// What a collection would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The segments that go.
    pub victims: Vec<Victim>,
    /// Segments there are, and their stored bytes.
    pub segments: usize,
    /// Stored bytes of all segments.
    pub bytes: u64,
    /// Bytes of segments that are not needed and stay, because rewriting them is not worth it, or because somebody
    /// may be about to use them.
    pub waste_bytes: u64,
    /// Needed chunks of which there is no copy.
    pub missing_chunks: usize,
    /// Dooms of other collectors that will be carried out.
    pub dooms: usize,
}

/// A segment that goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Victim {
    /// Its name.
    pub id: SegmentId,
    /// Why.
    pub reason: Reason,
    /// Its stored bytes.
    pub bytes: u64,
    /// Chunks of it that are needed and will be stored elsewhere.
    pub needed_chunks: u32,
    /// Their share of the stored bytes.
    pub needed_bytes: u64,
}

/// Why a segment goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Nothing needs it.
    Dead,
    /// Too much of it is waste.
    Waste,
    /// It is small, and there are others to merge it with.
    Small,
    /// It was asked for.
    Wanted,
}

impl Plan {
    pub(super) fn new(
        collector: &Collector,
        roots: &Roots,
        needs: &Needs,
        options: &CompactOptions,
        choice: Choice<'_>,
    ) -> Self {
        let census = collector.census(&needs.marks);
        // What no fragment names may be a client's that is writing at this moment. Dooming it would be safe, but
        // a waste of that client's time.
        let somebody_writes = !roots.pendings.is_empty();
        let young = |id: &SegmentId| somebody_writes && collector.unnamed().contains(id);
        let small = small_segments(&census, &young);
        let mut plan = Self {
            segments: census.len(),
            bytes: census.iter().map(|found| found.record.bytes).sum(),
            missing_chunks: needs.missing.len(),
            dooms: collector.dooms().len(),
            ..Self::default()
        };
        for found in &census {
            let reason = match choice {
                Choice::Waste => reason(found, options.threshold_percent, small.contains(&found.record.id)),
                Choice::Dead => (found.needed_chunks == 0).then_some(Reason::Dead),
                Choice::These(chosen) => chosen.contains(&found.record.id).then_some(Reason::Wanted),
            };
            match reason.filter(|_| !young(&found.record.id)) {
                Some(reason) => plan.victims.push(victim(found, reason)),
                None => plan.waste_bytes += waste(found),
            }
        }
        plan
    }

    /// Stored bytes that the victims free, after what is needed of them was stored again.
    pub fn freed_bytes(&self) -> u64 {
        self.victims.iter().map(|victim| victim.bytes.saturating_sub(victim.needed_bytes)).sum()
    }
}

fn victim(found: &SegmentUse, reason: Reason) -> Victim {
    let SegmentUse { record, needed_chunks, needed_bytes, .. } = found;
    Victim { id: record.id, reason, bytes: record.bytes, needed_chunks: *needed_chunks, needed_bytes: *needed_bytes }
}

fn reason(found: &SegmentUse, threshold_percent: u8, small: bool) -> Option<Reason> {
    if found.needed_chunks == 0 {
        return Some(Reason::Dead);
    }
    let wasted = found.needed_chunks < found.chunks;
    if wasted && waste(found).saturating_mul(100) >= found.record.bytes.saturating_mul(u64::from(threshold_percent)) {
        return Some(Reason::Waste);
    }
    small.then_some(Reason::Small)
}

/// Bytes that are not needed. Padding and directory count as needed where all chunks are.
fn waste(found: &SegmentUse) -> u64 {
    if found.needed_chunks == found.chunks {
        return 0;
    }
    found.record.bytes.saturating_sub(found.needed_bytes)
}

/// The small segments of each class, if there are enough of them.
fn small_segments(census: &[SegmentUse], young: &dyn Fn(&SegmentId) -> bool) -> BTreeSet<SegmentId> {
    let mut chosen = BTreeSet::new();
    for (class, full) in [(Class::Data, DATA_SEGMENT_BYTES), (Class::Tree, TREE_SEGMENT_BYTES)] {
        let limit = (full / SMALL_SHARE) as u64;
        let small = census.iter().filter(|found| found.record.class == class && found.record.bytes < limit);
        let small: Vec<SegmentId> = small.map(|found| found.record.id).filter(|id| !young(id)).collect();
        if small.len() >= SMALL_SEGMENTS {
            chosen.extend(small);
        }
    }
    chosen
}

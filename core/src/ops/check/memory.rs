//! When segments were found whole: this client remembers, so that a check of everything may take many days.
//!
//! Twenty bytes per segment: id 16 | minutes since 1970 u32 LE. It may be deleted at any time.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::error::Result;
use crate::id::SegmentId;
use crate::repository::Repository;

const ROW_BYTES: usize = 20;

/// Segments and when they were found whole.
#[derive(Debug, Default)]
pub struct Memory {
    name: String,
    verified: BTreeMap<SegmentId, u32>,
}

impl Memory {
    /// What this client remembers of a repository; with `data` of checks that opened every chunk. What makes no sense
    /// is forgotten.
    pub fn load(repository: &Repository, data: bool) -> Result<Self> {
        let name = format!("{}-{}", if data { "checked-data" } else { "checked" }, repository.id());
        let bytes = repository.state().get(&name)?.unwrap_or_default();
        Ok(Self { verified: rows(&bytes).unwrap_or_default(), name })
    }

    /// Remembers for the next check.
    pub fn save(&self, repository: &Repository) -> Result<()> {
        let rows = self.verified.iter();
        let bytes: Vec<u8> =
            rows.flat_map(|(id, minute)| id.as_bytes().iter().copied().chain(minute.to_le_bytes())).collect();
        repository.state().put(&self.name, &bytes)
    }

    /// Forgets all others.
    pub fn retain(&mut self, keep: impl Fn(&SegmentId) -> bool) {
        self.verified.retain(|id, _| keep(id));
    }

    /// The minute in which it was found whole; 0 for never.
    pub fn verified(&self, id: &SegmentId) -> u32 {
        self.verified.get(id).copied().unwrap_or(0)
    }

    /// Whether that was at most so many seconds before `now`, and not after it.
    pub fn is_fresh(&self, id: &SegmentId, now: Timestamp, seconds: u64) -> bool {
        let (then, now) = (u64::from(self.verified(id)), u64::from(minute(now)));
        then > 0 && then <= now && (now - then) * 60 <= seconds
    }

    /// It is whole.
    pub fn note(&mut self, id: SegmentId, now: Timestamp) {
        self.verified.insert(id, minute(now));
    }

    /// It is not.
    pub fn forget(&mut self, id: &SegmentId) {
        self.verified.remove(id);
    }
}

fn minute(time: Timestamp) -> u32 {
    u32::try_from(time.seconds / 60).unwrap_or(0)
}

fn rows(bytes: &[u8]) -> Option<BTreeMap<SegmentId, u32>> {
    if !bytes.len().is_multiple_of(ROW_BYTES) {
        return None;
    }
    let row = |row: &[u8]| {
        let (id, minute) = row.split_first_chunk::<16>()?;
        Some((SegmentId::from_bytes(*id), u32::from_le_bytes(minute.try_into().ok()?)))
    };
    bytes.chunks_exact(ROW_BYTES).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_segments_are_fresh_for_a_while() {
        let (mut memory, id) = (Memory::default(), SegmentId::from_bytes([1; 16]));
        let at = |seconds| Timestamp::new(seconds, 0);
        assert!(!memory.is_fresh(&id, at(6000), 1000));
        memory.note(id, at(6000));
        assert!(memory.is_fresh(&id, at(6600), 600) && !memory.is_fresh(&id, at(6700), 600));
        assert!(!memory.is_fresh(&id, at(0), u64::MAX), "a clock that went back proves nothing");
        memory.forget(&id);
        assert_eq!(memory.verified(&id), 0);
    }

    #[test]
    fn nonsense_is_forgotten() {
        assert_eq!(rows(&[1; 19]), None);
        assert_eq!(rows(&[1; 40]).unwrap().len(), 1);
        assert_eq!(rows(&[]).unwrap().len(), 0);
    }
}

//! When something happened to objects: this client remembers it between runs, by the minute of its own clock.
//!
//! Twenty bytes per object: id 16 | minutes since 1970 u32 LE. It may be deleted at any time.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::error::Result;
use crate::repository::Repository;

const ROW_BYTES: usize = 20;

/// Objects by their ids, and a minute for each.
#[derive(Debug, Default)]
pub(super) struct Memory {
    name: String,
    minutes: BTreeMap<[u8; 16], u32>,
    is_new: bool,
}

impl Memory {
    /// What this client remembers of a repository under the name `what`. What makes no sense is forgotten.
    pub fn load(repository: &Repository, what: &str) -> Result<Self> {
        let name = format!("{what}-{}", repository.id());
        let bytes = repository.state().get(&name)?;
        let is_new = bytes.is_none();
        Ok(Self { minutes: rows(&bytes.unwrap_or_default()).unwrap_or_default(), name, is_new })
    }

    /// Remembers for the next time.
    pub fn save(&self, repository: &Repository) -> Result<()> {
        let rows = self.minutes.iter();
        let bytes: Vec<u8> = rows.flat_map(|(id, minute)| id.iter().copied().chain(minute.to_le_bytes())).collect();
        repository.state().put(&self.name, &bytes)
    }

    /// Whether nothing was ever remembered.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Forgets all others.
    pub fn retain(&mut self, keep: impl Fn(&[u8; 16]) -> bool) {
        self.minutes.retain(|id, _| keep(id));
    }

    /// The minute that is remembered of it; 0 for none.
    pub fn minute(&self, id: &[u8; 16]) -> u32 {
        self.minutes.get(id).copied().unwrap_or(0)
    }

    /// Whether that was at most so many seconds before `now`, and not after it.
    pub fn is_fresh(&self, id: &[u8; 16], now: Timestamp, seconds: u64) -> bool {
        let (then, now) = (u64::from(self.minute(id)), u64::from(minute(now)));
        then > 0 && then <= now && (now - then) * 60 <= seconds
    }

    /// It happens now.
    pub fn note(&mut self, id: [u8; 16], now: Timestamp) {
        self.minutes.insert(id, minute(now));
    }

    /// As [`Memory::note`], if nothing is remembered of it.
    pub fn note_first(&mut self, id: [u8; 16], now: Timestamp) {
        self.minutes.entry(id).or_insert_with(|| minute(now));
    }

    /// Nothing is remembered of it any more.
    pub fn forget(&mut self, id: &[u8; 16]) {
        self.minutes.remove(id);
    }
}

fn minute(time: Timestamp) -> u32 {
    u32::try_from(time.seconds / 60).unwrap_or(0)
}

fn rows(bytes: &[u8]) -> Option<BTreeMap<[u8; 16], u32>> {
    if !bytes.len().is_multiple_of(ROW_BYTES) {
        return None;
    }
    let row = |row: &[u8]| {
        let (id, minute) = row.split_first_chunk::<16>()?;
        Some((*id, u32::from_le_bytes(minute.try_into().ok()?)))
    };
    bytes.chunks_exact(ROW_BYTES).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_fresh_for_a_while() {
        let (mut memory, id) = (Memory::default(), [1; 16]);
        let at = |seconds| Timestamp::new(seconds, 0);
        assert!(!memory.is_fresh(&id, at(6000), 1000));
        memory.note(id, at(6000));
        assert!(memory.is_fresh(&id, at(6600), 600) && !memory.is_fresh(&id, at(6700), 600));
        assert!(!memory.is_fresh(&id, at(0), u64::MAX), "a clock that went back proves nothing");
        memory.note_first(id, at(9000));
        assert_eq!(memory.minute(&id), 100);
        memory.forget(&id);
        assert_eq!(memory.minute(&id), 0);
    }

    #[test]
    fn nonsense_is_forgotten() {
        assert_eq!(rows(&[1; 19]), None);
        assert_eq!(rows(&[1; 40]).unwrap().len(), 1);
        assert_eq!(rows(&[]).unwrap().len(), 0);
    }
}

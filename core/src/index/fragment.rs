//! Index fragments: what one object says about some segments.
//!
//! A fragment names whole segments, never a part of one, so segments are known
//! completely or not at all. It is derived data: the union of all fragments is the
//! index, in any order, with any overlap; two clients that merge the same
//! fragments at once make a duplicate and nothing worse.

use std::collections::HashSet;

use crate::backend::ObjectName;
use crate::codec::Extensions;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{IndexId, SegmentId};
use crate::limits::{INDEX_BYTES_MAX, INDEX_ENTRIES_MAX, INDEX_LEVEL_MAX, INDEX_SEGMENTS_MAX, RECORD_BYTES_MAX};
use crate::segment::{Directory, SegmentRecord};

use super::places::Places;
use super::sections;
use super::table::{ChunkKey, KeyEntry};

/// What one index object holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// How often its content was merged: 0 for what a session wrote, at most [`INDEX_LEVEL_MAX`].
    pub level: u8,
    /// Fragments whose union contains this one: who knows all of them learns nothing here and
    /// need not load it. It gives no leave to ignore or delete them: one merge may write several
    /// fragments, and only who has put all of these may delete what it merged.
    pub replaces: Vec<IndexId>,
    /// The segments; the position is the number that the keys use. Each appears once.
    pub segments: Vec<SegmentEntry>,
    /// One entry per chunk of every segment, in ascending order.
    pub keys: Vec<KeyEntry>,
    /// Additions of later versions. They describe this object: merging does not carry them over.
    pub extensions: Extensions,
}

/// A segment in a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentEntry {
    /// What is known of it as an object.
    pub record: SegmentRecord,
    /// Its frames and chunks.
    pub places: Places,
}

impl Fragment {
    /// Fragments of `level` that name these segments: one, or several if one would exceed a limit
    /// of the format.
    ///
    /// # Errors
    /// `Damaged` if a directory does not add up or a segment appears twice, `LimitExceeded` if a
    /// segment has more chunks than a fragment may have entries.
    pub fn from_segments(level: u8, segments: &[(SegmentRecord, Directory)]) -> Result<Vec<Self>> {
        Self::pack(level, segments, Room::FRAGMENT)
    }

    fn pack(level: u8, segments: &[(SegmentRecord, Directory)], room: Room) -> Result<Vec<Self>> {
        let mut packer = Packer::new(level, Vec::new(), room)?;
        let mut seen = HashSet::with_capacity(segments.len());
        for (record, directory) in segments {
            if !seen.insert(record.id) {
                return Err(Error::damaged("make index fragment", "a segment twice").with("segment", record.id));
            }
            let entry = SegmentEntry { record: record.clone(), places: Places::of(directory)? };
            let (fragment, segment) = packer.add(entry)?;
            let keys = &mut packer.fragments[fragment].keys;
            let entries = (0u32..).zip(&directory.chunks);
            keys.extend(entries.map(|(ordinal, chunk)| KeyEntry { key: ChunkKey::of(&chunk.id), segment, ordinal }));
        }
        Ok(packer.finish())
    }

    /// Drops the segments that are not to be kept, and their keys.
    pub fn retain_segments(&mut self, keep: &dyn Fn(&SegmentId) -> bool) {
        let mut kept = 0;
        let numbers: Vec<Option<u32>> =
            self.segments.iter().map(|entry| keep(&entry.record.id).then(|| next(&mut kept))).collect();
        let number = |entry: &KeyEntry| numbers.get(entry.segment as usize).copied().flatten();
        self.keys.retain_mut(|entry| number(entry).map(|segment| entry.segment = segment).is_some());
        let mut numbers = numbers.iter();
        self.segments.retain(|_| numbers.next().is_some_and(Option::is_some));
    }
}

fn next(counter: &mut u32) -> u32 {
    *counter += 1;
    *counter - 1
}

/// The name of a fragment: `index/<level>.<id>`.
pub fn fragment_name(level: u8, id: &IndexId) -> ObjectName {
    ObjectName::of("index", format_args!("{level}.{id}"))
}

/// The level and the id in the name of a fragment; refuses any other name.
pub fn parse_name(name: &ObjectName) -> Result<(u8, IndexId)> {
    let wrong = || Error::new(ErrorKind::InvalidInput, "parse name of index fragment").with("name", name);
    let (level, id) = name.as_str().strip_prefix("index/").and_then(|rest| rest.split_once('.')).ok_or_else(wrong)?;
    let level = level.parse().map_err(|_| wrong())?;
    let id = id.parse().map_err(|_| wrong())?;
    // one name, one form: neither `00.` nor `+1.`
    if level > INDEX_LEVEL_MAX || fragment_name(level, &id) != *name { Err(wrong()) } else { Ok((level, id)) }
}

/// How much a fragment may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) segments: usize,
    pub(super) entries: usize,
    /// Stored bytes.
    pub(super) bytes: usize,
}

impl Room {
    pub(super) const FRAGMENT: Self =
        Self { segments: INDEX_SEGMENTS_MAX, entries: INDEX_ENTRIES_MAX, bytes: INDEX_BYTES_MAX };
}

/// Distributes segments over as many fragments as they need, in order.
#[derive(Debug)]
pub(super) struct Packer {
    level: u8,
    replaces: Vec<IndexId>,
    room: Room,
    pub(super) fragments: Vec<Fragment>,
    entries: usize,
    places_bytes: usize,
}

impl Packer {
    pub(super) fn new(level: u8, replaces: Vec<IndexId>, room: Room) -> Result<Self> {
        if level > INDEX_LEVEL_MAX || replaces.len() > sections::REPLACES_MAX {
            let error = Error::new(ErrorKind::LimitExceeded, "make index fragment");
            return Err(error.with("level", level).with("replaced fragments", replaces.len()));
        }
        Ok(Self { level, replaces, room, fragments: Vec::new(), entries: 0, places_bytes: 0 })
    }

    /// Finds room for a segment and tells the fragment and the number it got. Its keys are left to the caller.
    pub(super) fn add(&mut self, entry: SegmentEntry) -> Result<(usize, u32)> {
        let (chunks, bytes) = (entry.places.chunks() as usize, entry.places.encoded().len());
        let segments = self.fragments.last().map_or(0, |fragment| fragment.segments.len());
        if self.fragments.is_empty() || !self.fits(segments + 1, self.entries + chunks, self.places_bytes + bytes) {
            if !self.fits(1, chunks, bytes) {
                let error = Error::new(ErrorKind::LimitExceeded, "make index fragment");
                return Err(error.with("segment", entry.record.id).with("chunks", chunks));
            }
            let (level, replaces) = (self.level, self.replaces.clone());
            let extensions = Extensions::none();
            self.fragments.push(Fragment { level, replaces, segments: Vec::new(), keys: Vec::new(), extensions });
            (self.entries, self.places_bytes) = (0, 0);
        }
        self.entries += chunks;
        self.places_bytes += bytes;
        let at = self.fragments.len() - 1;
        let segments = &mut self.fragments[at].segments;
        segments.push(entry);
        Ok((at, segments.len() as u32 - 1))
    }

    /// Sorts the keys the caller has added.
    pub(super) fn finish(mut self) -> Vec<Fragment> {
        self.fragments.iter_mut().for_each(|fragment| fragment.keys.sort_unstable());
        self.fragments
    }

    fn fits(&self, segments: usize, entries: usize, places_bytes: usize) -> bool {
        let bytes = sections::stored_bytes(RECORD_BYTES_MAX, segments, entries, places_bytes);
        segments <= self.room.segments && entries <= self.room.entries && bytes <= self.room.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::samples;

    #[test]
    fn names_go_both_ways_and_others_are_refused() {
        let id = IndexId::from_bytes([0xa5; 16]);
        let name = fragment_name(3, &id);
        assert_eq!(name.as_str(), format!("index/3.{}", "a5".repeat(16)));
        assert_eq!(parse_name(&name).unwrap(), (3, id));
        let hex = "a5".repeat(16);
        for bad in [
            format!("index/10.{hex}"),
            format!("index/00.{hex}"),
            format!("index/{hex}"),
            format!("segments/0.{hex}"),
            format!("index/0.{}", &hex[1..]),
            format!("index/0.{hex}00"),
            format!("index/.{hex}x"),
            format!("x/index/0.{hex}"),
        ] {
            // some of these are no names of objects at all
            if let Ok(name) = ObjectName::new(bad) {
                assert_eq!(parse_name(&name).unwrap_err().kind(), ErrorKind::InvalidInput, "{name}");
            }
        }
    }

    #[test]
    fn fragments_are_split_by_segments_entries_and_bytes() {
        let segments: Vec<_> = (0..10).map(|number| samples::segment(number, 100)).collect();
        let whole = Fragment::from_segments(2, &segments).unwrap();
        assert_eq!(whole.len(), 1);
        assert_eq!((whole[0].level, whole[0].segments.len(), whole[0].keys.len()), (2, 10, 1000));
        assert!(whole[0].keys.is_sorted());
        let bytes = sections::stored_bytes(RECORD_BYTES_MAX, 2, 200, 2 * whole[0].segments[0].places.encoded().len());
        for (room, counts) in [
            (Room { segments: 4, ..Room::FRAGMENT }, vec![4, 4, 2]),
            (Room { entries: 399, ..Room::FRAGMENT }, vec![3, 3, 3, 1]),
            (Room { bytes: bytes + 100, ..Room::FRAGMENT }, vec![2; 5]),
        ] {
            let split = Fragment::pack(2, &segments, room).unwrap();
            assert_eq!(split.iter().map(|fragment| fragment.segments.len()).collect::<Vec<_>>(), counts);
            for fragment in &split {
                assert_eq!(fragment.keys.len(), fragment.segments.len() * 100);
                sections::check_keys(&fragment.keys, &fragment.segments).unwrap();
            }
        }
        let small = Fragment::pack(2, &segments, Room { entries: 99, ..Room::FRAGMENT }).unwrap_err();
        assert_eq!(small.kind(), ErrorKind::LimitExceeded);
        let twice = [segments[0].clone(), segments[0].clone()];
        assert_eq!(Fragment::from_segments(0, &twice).unwrap_err().kind(), ErrorKind::Damaged);
        Fragment::from_segments(INDEX_LEVEL_MAX + 1, &segments).unwrap_err();
        assert_eq!(Fragment::from_segments(0, &[]).unwrap(), []);
    }

    #[test]
    fn dropped_segments_leave_a_fragment_as_if_they_had_never_been() {
        let segments: Vec<_> = (0..6).map(|number| samples::segment(number, 20)).collect();
        let mut fragment = Fragment::from_segments(0, &segments).unwrap().remove(0);
        let gone = [segments[0].0.id, segments[3].0.id];
        fragment.retain_segments(&|id| !gone.contains(id));
        let rest: Vec<_> = segments.iter().filter(|(record, _)| !gone.contains(&record.id)).cloned().collect();
        assert_eq!(fragment, Fragment::from_segments(0, &rest).unwrap().remove(0));
    }
}

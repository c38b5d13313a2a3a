//! Merging fragments, so that there are few of them however long a repository lives.
//!
//! A merge is a pure function of its inputs. It loses nothing (no segment is left
//! out) and adds nothing, so it needs no lock and races with nobody; whoever put
//! all its outputs may delete its inputs.
//!
//! Fragments above half the greatest size are left alone: rewriting them would cost
//! their bytes again and make them no fewer. So every chunk is rewritten about
//! once per level, and a merge holds inputs of at most [`INDEX_BYTES_MAX`] stored
//! bytes; together with its outputs it takes about twice that.

use std::collections::{BTreeMap, HashMap};

use crate::backend::{ObjectMeta, ObjectName};
use crate::error::{Error, Result};
use crate::id::{IndexId, SegmentId};
use crate::limits::{INDEX_BYTES_MAX, INDEX_FRAGMENTS_PER_LEVEL, INDEX_LEVEL_MAX};

use super::fragment::{Fragment, Packer, Room, parse_name};
use super::table::KeyEntry;

/// The union of the inputs as fragments of `level`, each of which names all inputs as replaced:
/// one fragment, or several if one would exceed a limit of the format, or none if there is no segment.
///
/// # Errors
/// `Damaged` if two inputs state different things of one segment, `LimitExceeded` for a level
/// beyond the greatest or more than 1024 inputs.
pub fn merge(level: u8, inputs: Vec<(IndexId, Fragment)>) -> Result<Vec<Fragment>> {
    merge_into(level, inputs, Room::FRAGMENT)
}

/// The fragments to merge next, and the level of the result, if a level has as many as it may:
/// the smallest eight, or as many of these as one fragment can take.
///
/// `listed` is what a listing of `index` found; foreign names are ignored.
pub fn to_merge(listed: &[ObjectMeta]) -> Option<(u8, Vec<ObjectName>)> {
    let mut levels = BTreeMap::<u8, Vec<(u64, &ObjectName)>>::new();
    for ObjectMeta { name, bytes } in listed {
        if let Ok((level, _)) = parse_name(name)
            && *bytes <= INDEX_BYTES_MAX as u64 / 2
        {
            levels.entry(level).or_default().push((*bytes, name));
        }
    }
    let (level, mut fragments) = levels.into_iter().find(|(_, all)| all.len() >= INDEX_FRAGMENTS_PER_LEVEL)?;
    fragments.sort_unstable();
    let mut total = 0;
    let chosen = fragments.iter().take(INDEX_FRAGMENTS_PER_LEVEL).take_while(|(bytes, _)| {
        total += bytes;
        total <= INDEX_BYTES_MAX as u64
    });
    Some(((level + 1).min(INDEX_LEVEL_MAX), chosen.map(|(_, name)| (*name).clone()).collect()))
}

fn merge_into(level: u8, inputs: Vec<(IndexId, Fragment)>, room: Room) -> Result<Vec<Fragment>> {
    let mut packer = Packer::new(level, inputs.iter().map(|(id, _)| *id).collect(), room)?;
    let mut known = HashMap::<SegmentId, (usize, u32)>::new();
    let mut runs = Vec::with_capacity(inputs.len());
    for (_, fragment) in inputs {
        let mut targets = Vec::with_capacity(fragment.segments.len());
        for entry in fragment.segments {
            let id = entry.record.id;
            if let Some((output, number)) = known.get(&id) {
                if packer.fragments[*output].segments[*number as usize] != entry {
                    return Err(Error::damaged("merge index fragments", "fragments differ").with("segment", id));
                }
                targets.push(None);
            } else {
                let target = packer.add(entry)?;
                known.insert(id, target);
                targets.push(Some(target));
            }
        }
        runs.push((fragment.keys, targets));
    }
    for fragment in &mut packer.fragments {
        let chunks = fragment.segments.iter().map(|entry| entry.places.chunks() as usize).sum();
        fragment.keys.reserve_exact(chunks);
    }
    for (keys, targets) in runs {
        for entry in keys {
            if let Some((output, segment)) = targets.get(entry.segment as usize).copied().flatten() {
                packer.fragments[output].keys.push(KeyEntry { segment, ..entry });
            }
        }
    }
    Ok(packer.finish())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::error::ErrorKind;
    use crate::index::fragment::fragment_name;
    use crate::index::{samples, sections};

    fn id(number: u8) -> IndexId {
        IndexId::from_bytes([number; 16])
    }

    fn fragment(numbers: &[u32]) -> Fragment {
        let segments: Vec<_> = numbers.iter().map(|number| samples::segment(*number, 3 + number % 5)).collect();
        Fragment::from_segments(0, &segments).unwrap().pop().unwrap()
    }

    /// What fragments say, whatever their form.
    fn content(fragments: &[Fragment]) -> BTreeSet<(SegmentId, u32, [u8; 16])> {
        let row = |fragment: &Fragment, entry: &KeyEntry| {
            (fragment.segments[entry.segment as usize].record.id, entry.ordinal, entry.key.to_bytes())
        };
        fragments.iter().flat_map(|fragment| fragment.keys.iter().map(move |entry| row(fragment, entry))).collect()
    }

    proptest! {
        #[test]
        fn merge_is_the_union_of_its_inputs(
            inputs in prop::collection::vec(prop::collection::btree_set(0u32..30, 1..10), 0..8), segments in 1usize..12,
        ) {
            let inputs: Vec<_> = inputs.iter().map(|set| fragment(&set.iter().copied().collect::<Vec<_>>())).collect();
            let named: Vec<_> = (0u8..).map(id).zip(inputs.iter().cloned()).collect();
            let outputs = merge_into(4, named, Room { segments, ..Room::FRAGMENT }).unwrap();
            prop_assert_eq!(content(&outputs), content(&inputs));
            let mut seen = BTreeSet::new();
            for output in &outputs {
                prop_assert_eq!(output.level, 4);
                prop_assert_eq!(output.replaces.len(), inputs.len());
                prop_assert!(output.segments.len() <= segments);
                prop_assert!(output.segments.iter().all(|entry| seen.insert(entry.record.id)));
                sections::check_keys(&output.keys, &output.segments).unwrap();
            }
        }
    }

    #[test]
    fn fragments_that_contradict_each_other_are_not_merged() {
        let (one, mut other) = (fragment(&[1, 2]), fragment(&[2, 3]));
        other.segments[0].record.content_hash[0] ^= 1;
        let error = merge(1, vec![(id(1), one.clone()), (id(2), other)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged);
        assert_eq!(merge(10, vec![(id(1), one)]).unwrap_err().kind(), ErrorKind::LimitExceeded);
    }

    fn listed(level: u8, numbers: std::ops::Range<u8>, bytes: u64) -> Vec<ObjectMeta> {
        numbers.map(|number| ObjectMeta { name: fragment_name(level, &id(number)), bytes }).collect()
    }

    #[test]
    fn eight_fragments_of_one_level_are_due() {
        let mut names = [listed(0, 0..7, 1000), listed(1, 0..7, 1000), listed(9, 0..9, 1000)].concat();
        names.push(ObjectMeta { name: ObjectName::new("index/strange").unwrap(), bytes: 1 });
        let chosen = |names: &[ObjectMeta]| names.iter().map(|meta| meta.name.clone()).collect::<Vec<_>>();
        assert_eq!(to_merge(&names), Some((9, chosen(&listed(9, 0..8, 0)))));
        names.extend(listed(1, 7..8, 5));
        let (level, found) = to_merge(&names).unwrap();
        assert_eq!((level, &found[0]), (2, &fragment_name(1, &id(7))));
        assert_eq!(found[1..], chosen(&listed(1, 0..7, 0)));
        assert_eq!(to_merge(&names[..14]), None);
    }

    #[test]
    fn full_fragments_are_left_alone() {
        let half = INDEX_BYTES_MAX as u64 / 2;
        assert_eq!(to_merge(&listed(3, 0..20, half + 1)), None);
        let (level, chosen) = to_merge(&listed(3, 0..20, half)).unwrap();
        assert_eq!((level, chosen.len()), (4, 2));
    }
}

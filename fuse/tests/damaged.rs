//! Damage costs what is damaged, and is told.

use std::fs;

use gabion_core::archive::catalog::Archive;
use gabion_core::archive::walk::find_path;
use gabion_core::archive::{Content, ContentItem, Node};
use gabion_core::error::ErrorKind;
use gabion_core::id::ChunkId;
use gabion_fuse::{Layout, ViewOptions};
use gabion_tests::{Random, can_mount};

use crate::fixture::Place;

/// Spoils the segment that holds a chunk.
fn spoil(place: &Place, id: &ChunkId) {
    let held = place.open().session().unwrap().reader().locate(id).unwrap();
    let names = place.objects.names("segments").unwrap();
    let name = names.iter().find(|name| name.ends_with(&held.segment.to_string())).unwrap();
    let mut bytes = place.objects.get(name).unwrap().to_vec();
    bytes[held.frame.offset as usize + 5] ^= 1;
    place.objects.put(name, bytes).unwrap();
}

fn chunks(place: &Place, archive: &Archive, path: &str) -> Vec<ChunkId> {
    let reader = place.open().session().unwrap().reader();
    let entry = find_path(&reader, &archive.record.root, path.as_bytes()).unwrap().unwrap();
    match entry.content {
        Content::List(items) => items
            .iter()
            .filter_map(|item| if let ContentItem::Chunk { id, .. } = item { Some(*id) } else { None })
            .collect(),
        Content::Directory(directory) => vec![directory.root],
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_damaged_chunk_is_an_error_for_who_reads_it() {
    if !can_mount("a_damaged_chunk_is_an_error_for_who_reads_it") {
        return;
    }
    let place = Place::new();
    fs::create_dir(place.path("t")).unwrap();
    // Larger than what gathers in one frame.
    let contents: Vec<Vec<u8>> = (0..3).map(|seed| Random::new(seed).bytes(150_000)).collect();
    for (number, content) in contents.iter().enumerate() {
        fs::write(place.path(&format!("t/{number}")), content).unwrap();
    }
    let archive = place.back_up("t");
    spoil(&place, chunks(&place, &archive, "t/1").last().unwrap());
    let mount = place.mount(place.shown(), ViewOptions { layout: Layout::Single, ..ViewOptions::default() });
    let error = fs::read(mount.path("t/1")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(5), "{error}");
    let told = mount.notes.warnings();
    assert!(told.iter().any(|(_, path, kind)| path == "t/1" && *kind == ErrorKind::Damaged), "{told:?}");
    // The damaged frame may hold a piece of another file; the first does not lie in it.
    assert!(fs::read(mount.path("t/0")).unwrap() == contents[0]);
    assert_eq!(fs::read_dir(mount.path("t")).unwrap().count(), 3, "names and metadata are whole");
}

#[test]
fn what_can_not_be_listed_is_no_silence() {
    if !can_mount("what_can_not_be_listed_is_no_silence") {
        return;
    }
    let place = Place::new();
    for name in ["t/good", "t/bad"] {
        fs::create_dir_all(place.path(name)).unwrap();
    }
    // Long names, so that there are many leaves, in many frames.
    for number in 0..4000 {
        fs::write(place.path(&format!("t/bad/{number:04}{}", "x".repeat(200))), "x").unwrap();
    }
    fs::write(place.path("t/good/file"), "good").unwrap();
    let archive = place.back_up("t");
    let reader = place.open().session().unwrap().reader();
    let (root, mut leaves) = (chunks(&place, &archive, "t/bad")[0], Vec::new());
    Node::fetch(&reader, &root).unwrap().for_each_chunk(&mut |_, leaf| leaves.push(leaf));
    // What lies in the same frame goes with it.
    let frame = |id: &ChunkId| reader.locate(id).map(|place| (place.segment, place.frame.offset)).unwrap();
    let others = [archive.record.root.root, chunks(&place, &archive, "t")[0], chunks(&place, &archive, "t/good")[0]];
    let whole: Vec<_> = others.iter().chain([&root, &leaves[0]]).map(frame).collect();
    spoil(&place, leaves.iter().rfind(|leaf| !whole.contains(&frame(leaf))).unwrap());
    let mount = place.mount(place.shown(), ViewOptions { layout: Layout::Single, ..ViewOptions::default() });
    let listed: Vec<_> = fs::read_dir(mount.path("t/bad")).unwrap().collect();
    let (error, names) = listed.split_last().unwrap();
    assert_eq!(error.as_ref().unwrap_err().raw_os_error(), Some(5), "the end is not told as if nothing were missing");
    assert!(!names.is_empty() && names.len() < 4000 && names.iter().all(Result::is_ok), "{}", names.len());
    assert!(!mount.notes.complaints().is_empty());
    assert_eq!(fs::read_to_string(mount.path("t/good/file")).unwrap(), "good");
}

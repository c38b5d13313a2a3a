//! Restores from a repository in memory.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::*;
use crate::archive::attributes::AttributesRef;
use crate::archive::builder::DirectoryBuilder;
use crate::archive::content::{Content, ContentItem};
use crate::archive::cut::CutKey;
use crate::archive::entry::Entry;
use crate::archive::metadata::{FileType, Metadata};
use crate::archive::stat::StatRow;
use crate::backend::{MemoryBackend, Store};
use crate::clock::{SystemClock, Timestamp};
use crate::codec::Extensions;
use crate::error::ErrorKind;
use crate::monitor::Silent;
use crate::ops::create::{CreateOptions, Input, Plan, Wanted, archived_path, create};
use crate::ops::export_tar::{ExportOptions, export_tar};
use crate::pattern::Rule;
use crate::repository::{ChunkSink as _, Client, NewRepository, Repository, WriterOptions};
use crate::segment::Class;

fn round_trip(source: &Path, target: &Path, options: &ExtractOptions<'_>) {
    let store = Store::new(Arc::new(MemoryBackend::new())).unwrap();
    let repository = Repository::create(store, Client::default(), &NewRepository::plain(), &SystemClock).unwrap();
    let plan = Plan::new([source], Wanted::All);
    let create_options = CreateOptions { name: "test".into(), ..CreateOptions::default() };
    let created = create(&repository, Input::Files(&plan), &create_options, &SystemClock, &Silent::new()).unwrap();
    let reader = repository.session().unwrap().reader();
    extract(&reader, &created.record, target, options, &Silent::new()).unwrap();
}

#[test]
fn further_names_of_symbolic_links_are_restored() {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("source");
    fs::create_dir(&source).unwrap();
    symlink("elsewhere", source.join("a")).unwrap();
    rustix::fs::link(source.join("a"), source.join("b")).unwrap();
    let target = place.path().join("target");
    let options = ExtractOptions { strip_components: parts(&source), ..ExtractOptions::default() };
    round_trip(&source, &target, &options);
    for name in ["a", "b"] {
        assert_eq!(fs::read_link(target.join(name)).unwrap(), Path::new("elsewhere"));
    }
}

#[test]
fn a_directory_with_a_left_out_one_at_its_end_is_completed() {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("source");
    fs::create_dir_all(source.join("a/z")).unwrap();
    fs::write(source.join("a/file"), b"content").unwrap();
    fs::set_permissions(source.join("a"), fs::Permissions::from_mode(0o751)).unwrap();
    let target = place.path().join("target");
    let mut matcher = Matcher::default();
    let left_out = [b"pp:".to_vec(), archived_path(&source), b"/a/z".to_vec()].concat();
    matcher.add_rule(Rule::exclude(&left_out).unwrap());
    let options = ExtractOptions { strip_components: parts(&source), matcher, ..ExtractOptions::default() };
    round_trip(&source, &target, &options);
    assert!(!target.join("a/z").exists());
    assert_eq!(fs::metadata(target.join("a")).unwrap().mode() & 0o7777, 0o751);
}

/// Who makes a tree may say that a chunk is longer than it is: then the file can not be read, whoever reads it.
#[test]
fn a_chunk_of_another_length_is_no_content() {
    let store = Store::new(Arc::new(MemoryBackend::new())).unwrap();
    let repository = Repository::create(store, Client::default(), &NewRepository::plain(), &SystemClock).unwrap();
    let place = tempfile::tempdir().unwrap();
    let plan = Plan::new([place.path()], Wanted::All);
    let options = CreateOptions { name: "test".into(), ..CreateOptions::default() };
    let created = create(&repository, Input::Files(&plan), &options, &SystemClock, &Silent::new()).unwrap();
    let options = WriterOptions { workers: 0, ..WriterOptions::default() };
    let writer = repository.session().unwrap().into_writer(&options).unwrap();
    let id = writer.store(Class::Data, b"four").unwrap();
    let entry = Entry {
        name: b"file".to_vec(),
        file_type: FileType::File,
        metadata: Metadata::of_directory(Timestamp::new(0, 0)),
        size: 9,
        hard_link: None,
        attributes: AttributesRef::None,
        content: Content::List(vec![ContentItem::Chunk { id, bytes: 5 }, ContentItem::Hole { bytes: 4 }]),
        extensions: Extensions::none(),
    };
    let mut builder = DirectoryBuilder::new(CutKey::new(repository.cut_key().unwrap()));
    builder.push(entry, StatRow::None, &writer).unwrap();
    let (root, _) = builder.finish(&writer).unwrap();
    writer.checkpoint(b"pending").unwrap();
    let reader = repository.session().unwrap().reader();
    let record = ArchiveRecord { root, stat_root: None, ..created.record };
    let monitor = Silent::new();
    for sparse in [false, true] {
        let options = ExportOptions { sparse, ..ExportOptions::default() };
        export_tar(&reader, &record, &mut Vec::new(), &options, &monitor).unwrap();
    }
    extract_to_stream(&reader, &record, &Matcher::new(), &mut Vec::new(), &monitor).unwrap();
    extract(&reader, &record, &place.path().join("target"), &ExtractOptions::default(), &monitor).unwrap();
    assert_eq!(Counters::get(&monitor.counters().files), 0);
}

/// Wants to stop as soon as it was asked often enough, and counts what it is told.
struct Impatient {
    counters: Counters,
    patience: AtomicUsize,
}

impl Impatient {
    fn new(patience: usize) -> Self {
        Self { counters: Counters::default(), patience: AtomicUsize::new(patience) }
    }
}

impl Monitor for Impatient {
    fn event(&self, _: &Event<'_>) {}

    fn counters(&self) -> &Counters {
        &self.counters
    }

    fn interrupted(&self) -> bool {
        self.patience.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_err()
    }
}

/// One file of many chunks, large enough to be written in parts; its archive.
fn large_file(place: &Path) -> (Repository, ArchiveRecord) {
    let mut content = vec![0; 40 << 20];
    blake3::Hasher::new().finalize_xof().fill(&mut content);
    fs::write(place.join("file"), content).unwrap();
    let store = Store::new(Arc::new(MemoryBackend::new())).unwrap();
    let repository = Repository::create(store, Client::default(), &NewRepository::plain(), &SystemClock).unwrap();
    let plan = Plan::new([place.join("file").as_path()], Wanted::All);
    let chunker = "fixed,65536".parse().unwrap();
    let options = CreateOptions { name: "test".into(), chunker, ..CreateOptions::default() };
    let created = create(&repository, Input::Files(&plan), &options, &SystemClock, &Silent::new()).unwrap();
    (repository, created.record)
}

/// Who wants to stop does not wait for the end of a file, however it is read.
#[test]
fn an_interruption_does_not_wait_for_the_end_of_a_file() {
    let place = tempfile::tempdir().unwrap();
    let (repository, record) = large_file(place.path());
    let reader = repository.session().unwrap().reader();
    // Directories above the file are asked for too.
    let patience = 30;
    for workers in [0, 2] {
        let options = ExtractOptions { workers, ..ExtractOptions::default() };
        let monitor = Impatient::new(patience);
        let done = extract(&reader, &record, &place.path().join("target"), &options, &monitor);
        assert_eq!(done.unwrap_err().kind(), ErrorKind::Interrupted);
        assert!(Counters::get(&monitor.counters.bytes) <= 30 << 16);
        fs::remove_dir_all(place.path().join("target")).unwrap();
    }
    let stopped = |read: &mut dyn FnMut(&mut Vec<u8>, &Impatient) -> Result<()>| {
        let (mut out, monitor) = (Vec::new(), Impatient::new(patience));
        assert_eq!(read(&mut out, &monitor).unwrap_err().kind(), ErrorKind::Interrupted);
        assert!(out.len() < 40 << 16 && Counters::get(&monitor.counters.files) == 0, "{}", out.len());
    };
    stopped(&mut |out, monitor| extract_to_stream(&reader, &record, &Matcher::new(), out, monitor));
    stopped(&mut |_, monitor| dry_run(&reader, &record, &Matcher::new(), monitor));
    for sparse in [false, true] {
        let options = ExportOptions { sparse, ..ExportOptions::default() };
        stopped(&mut |out, monitor| export_tar(&reader, &record, out, &options, monitor));
    }
    let options = ExtractOptions::default();
    stopped(&mut |_, monitor| preview(&reader, &record, &place.path().join("none"), &options, monitor));
}

fn parts(path: &Path) -> usize {
    path.components().count() - 1
}

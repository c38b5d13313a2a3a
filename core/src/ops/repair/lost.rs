//! Archives whose records are gone: where their trees may be found.
//!
//! A complete pending holds the record of an archive that was never put, or was lost since. A record that lies under
//! the name of another object is a record all the same. And a directory that no other directory names is the top of a
//! tree: of an archive that was lost, or of a backup that was never finished.

use std::collections::BTreeSet;

use crate::archive::catalog::Catalog;
use crate::archive::content::{Content, DirectoryRef};
use crate::archive::node::{Node, NodeKind};
use crate::archive::record::{ArchiveRecord, PendingRecord, Statistics};
use crate::archive::removal::RemovalRecord;
use crate::archive::tree::DirectoryReader;
use crate::clock::Timestamp;
use crate::codec::Extensions;
use crate::error::{Error, Result, is_finding};
use crate::id::{ArchiveId, ChunkId};
use crate::limits::RECORD_BYTES_MAX;
use crate::monitor::Monitor;
use crate::repository::{Reader, Repository, Session};
use crate::seal::Kind;
use crate::segment::Class;

/// Looks for lost archives; `time` is what those get that do not say when they were made.
pub(super) fn find_lost(
    repository: &Repository,
    session: &Session,
    time: Timestamp,
    monitor: &dyn Monitor,
) -> Result<Vec<ArchiveRecord>> {
    let catalog = Catalog::load(repository)?;
    let (removed, removed_ids) = removed(repository)?;
    let mut known: BTreeSet<ChunkId> = removed.iter().map(|record| record.root.root).collect();
    known.extend(catalog.archives.iter().map(|archive| archive.record.root.root));
    let lives = |record: &ArchiveRecord| {
        catalog.archives.iter().any(|archive| archive.record == *record) || removed.contains(record)
    };
    let mut found = Vec::new();
    for pending in PendingRecord::read_whole(repository)? {
        known.extend(pending.base.iter().map(|base| base.root.root));
        if let Some(record) = pending.record {
            known.insert(record.root.root);
            if pending.complete && !lives(&record) && !found.contains(&record) {
                found.push(record);
            }
        }
    }
    for (id, _) in &catalog.unreadable {
        let Some((own, record)) = misplaced(repository, id)? else { continue };
        if !removed_ids.contains(&own) && !lives(&record) && !found.contains(&record) {
            known.insert(record.root.root);
            found.push(record);
        }
    }
    let reader = session.reader();
    for root in tops(session, monitor)?.difference(&known) {
        match describe(&reader, *root) {
            Ok(directory) => found.push(record_of(directory, time)),
            Err(error) if is_finding(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// What is known of archives that were removed.
fn removed(repository: &Repository) -> Result<(Vec<ArchiveRecord>, BTreeSet<ArchiveId>)> {
    let (mut records, mut ids) = (Vec::new(), BTreeSet::new());
    for name in repository.removals()? {
        ids.insert(name.archive);
        match RemovalRecord::load(repository, &name) {
            Ok(removal) => records.extend(removal.record),
            Err(error) if is_finding(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok((records, ids))
}

/// The archive record that lies under the name of another one, and its own id.
fn misplaced(repository: &Repository, id: &ArchiveId) -> Result<Option<(ArchiveId, ArchiveRecord)>> {
    let opened = repository.read_misplaced(Kind::Archive, id.as_bytes(), RECORD_BYTES_MAX);
    match opened.and_then(|(own, plain)| Ok((ArchiveId::from_bytes(own), ArchiveRecord::decode(&plain)?))) {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_finding(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Directories that no other node names.
fn tops(session: &Session, monitor: &dyn Monitor) -> Result<BTreeSet<ChunkId>> {
    let (mut directories, mut named) = (BTreeSet::new(), BTreeSet::new());
    for segment in session.segment_records().iter().filter(|segment| segment.class == Class::Tree) {
        monitor.stop_if_asked("find lost archives")?;
        let read = session.each_chunk(&segment.id, &mut |id, plain| {
            let Ok(node) = Node::decode(plain) else { return };
            if matches!(node.kind(), NodeKind::DirectoryLeaf | NodeKind::DirectoryInterior) {
                directories.insert(*id);
            }
            node.for_each_chunk(&mut |class, child| {
                if class == Class::Tree {
                    named.insert(child);
                }
            });
        });
        match read {
            Err(error) if !is_finding(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(directories.difference(&named).copied().collect())
}

/// What a parent would say of the directory with this root.
fn describe(reader: &Reader, root: ChunkId) -> Result<DirectoryRef> {
    let (mut depth, mut node) = (0u8, Node::fetch(reader, &root)?);
    let mut entries = match &node {
        Node::DirectoryLeaf(entries) => entries.len() as u64,
        _ => 0,
    };
    while let Node::DirectoryInterior(children) = &node {
        if depth == 0 {
            entries = children.iter().fold(0, |sum: u64, child| sum.saturating_add(child.entries));
        }
        depth = depth.saturating_add(1);
        let first = children.first().ok_or_else(|| Error::damaged("describe directory", "no children"))?;
        node = Node::fetch(reader, &first.id)?;
    }
    let mut directory = DirectoryRef { root, depth, entries, files: 0, bytes: 0 };
    for entry in DirectoryReader::open(reader, &directory.clone(), None) {
        let (entry, _) = entry?;
        let (files, bytes) = match &entry.content {
            Content::Directory(below) => (below.files, below.bytes),
            _ if entry.file_type == crate::archive::metadata::FileType::File => (1, entry.size),
            _ => (0, 0),
        };
        directory.files = directory.files.saturating_add(files);
        directory.bytes = directory.bytes.saturating_add(bytes);
    }
    Ok(directory)
}

/// A record for a tree of which nothing else is known.
fn record_of(root: DirectoryRef, time: Timestamp) -> ArchiveRecord {
    ArchiveRecord {
        name: format!("lost-{}", root.root.to_string().get(..8).unwrap_or_default()),
        start: time,
        end: time,
        host: String::new(),
        user: String::new(),
        command_line: Vec::new(),
        comment: "its record was lost; the tree was found by check --repair".to_owned(),
        tags: BTreeSet::new(),
        root,
        stat_root: None,
        top: None,
        working_directory: None,
        paths: Vec::new(),
        base: None,
        statistics: Statistics { files: root.files, bytes: root.bytes, ..Statistics::default() },
        chunker: String::new(),
        client: None,
        heads: Vec::new(),
        extensions: Extensions::none(),
    }
}

//! Missing chunks, copied from another repository.
//!
//! Where both name chunks alike, a chunk is asked for by its name. Otherwise the same files are looked for in the
//! archives of the other one, and what lies at the same place is cut out. Either way the name tells whether it is
//! the chunk that is missing, so nothing wrong is ever stored.

use std::collections::{BTreeMap, BTreeSet};

use crate::archive::catalog::{Archive, Catalog};
use crate::archive::content::{Content, ContentItem};
use crate::archive::content_tree::ContentReader;
use crate::archive::entry::Entry;
use crate::archive::node::Node;
use crate::archive::walk::{Walk, WalkEvent, find_path};
use crate::error::{Result, is_finding};
use crate::gc::LostChunk;
use crate::id::{ArchiveId, ChunkId};
use crate::monitor::Monitor;
use crate::repository::{ChunkSource, Collector, Reader, Repository};
use crate::segment::Class;

type Lost = BTreeMap<ChunkId, LostChunk>;

/// Stores what `other` has of the lost chunks and takes these out of `lost`; how many. What turns out to be missing
/// below a tree node that was copied is added.
pub(super) fn copy_missing(
    repository: &Repository,
    collector: &Collector,
    other: &Repository,
    hurt: &BTreeSet<ArchiveId>,
    lost: &mut Lost,
    monitor: &dyn Monitor,
) -> Result<usize> {
    let source = other.session()?.reader();
    let copy = Copy { repository, collector, source, monitor };
    match repository.names_chunks_as(other)? {
        true => copy.by_name(lost),
        false => copy.by_files(other, hurt, lost),
    }
}

struct Copy<'a> {
    repository: &'a Repository,
    collector: &'a Collector,
    /// The other repository.
    source: Reader,
    monitor: &'a dyn Monitor,
}

impl Copy<'_> {
    fn by_name(&self, lost: &mut Lost) -> Result<usize> {
        let (mut copied, own) = (0, self.collector.reader());
        let mut waiting: Vec<(ChunkId, Class)> = lost.values().map(|chunk| (chunk.id, chunk.class)).collect();
        let mut seen: BTreeSet<ChunkId> = lost.keys().copied().collect();
        while let Some((id, class)) = waiting.pop() {
            self.monitor.stop_if_asked("repair")?;
            let plain = match self.source.fetch(class, &id) {
                Ok(plain) => plain,
                Err(error) if is_finding(&error) => {
                    // below a node that was copied
                    lost.entry(id).or_insert_with(|| LostChunk { id, class, segments: BTreeSet::new() });
                    continue;
                }
                Err(error) => return Err(error),
            };
            self.collector.keep(class, &id, &plain)?;
            lost.remove(&id);
            copied += 1;
            if class == Class::Tree
                && let Ok(node) = Node::decode(&plain)
            {
                node.for_each_chunk(&mut |class, child| {
                    if !own.knows(&child) && seen.insert(child) {
                        waiting.push((child, class));
                    }
                });
            }
        }
        Ok(copied)
    }

    fn by_files(&self, other: &Repository, hurt: &BTreeSet<ArchiveId>, lost: &mut Lost) -> Result<usize> {
        let mut others = Catalog::load(other)?.archives;
        others.reverse();
        let (before, own) = (lost.len(), self.collector.reader());
        for archive in Catalog::load(self.repository)?.archives.iter().filter(|archive| hurt.contains(&archive.id)) {
            // The archive most alike comes first.
            others.sort_by_key(|other| other.record.name != archive.record.name);
            for event in Walk::new(&own, &archive.record.root, None, |_| true) {
                self.monitor.stop_if_asked("repair")?;
                match event {
                    Ok(WalkEvent::Entry(item)) => self.file(&own, &item.path, &item.entry, &others, lost)?,
                    Ok(WalkEvent::Leave(_)) => {}
                    Err(unread) if is_finding(&unread.error) => {}
                    Err(unread) => return Err(unread.error),
                }
            }
        }
        Ok(before - lost.len())
    }

    /// Cuts what is lost of one file out of the same file of another archive.
    fn file(&self, own: &Reader, path: &[u8], entry: &Entry, others: &[Archive], lost: &mut Lost) -> Result<()> {
        let mut missing = missing_of(own, entry, lost)?;
        for other in others {
            if missing.is_empty() {
                return Ok(());
            }
            let found = match find_path(&self.source, &other.record.root, path) {
                Ok(Some(found)) if found.size == entry.size => found,
                Err(error) if !is_finding(&error) => return Err(error),
                _ => continue,
            };
            let mut left = Vec::new();
            for (offset, bytes, id) in missing {
                match self.cut(&found, offset, bytes) {
                    Ok(plain) if self.repository.chunk_id(Class::Data, &plain) == id => {
                        self.collector.keep(Class::Data, &id, &plain)?;
                        lost.remove(&id);
                    }
                    Err(error) if !is_finding(&error) => return Err(error),
                    _ => left.push((offset, bytes, id)),
                }
            }
            missing = left;
        }
        Ok(())
    }

    /// So many bytes of a file of the other repository.
    fn cut(&self, entry: &Entry, offset: u64, bytes: u32) -> Result<Vec<u8>> {
        let (mut plain, end) = (Vec::with_capacity(bytes as usize), offset.saturating_add(u64::from(bytes)));
        if let Content::Inline(content) = &entry.content {
            let part = usize::try_from(offset).ok().and_then(|start| content.get(start..start + bytes as usize));
            return Ok(part.unwrap_or_default().to_vec());
        }
        let mut items = ContentReader::open(&self.source, &entry.content, entry.size)?;
        items.seek(offset)?;
        let mut at = items.position();
        while at < end {
            let Some(item) = items.next() else { break };
            let item = item?;
            let next = at.saturating_add(item.bytes());
            let (from, to) = (offset.max(at) - at, end.min(next) - at);
            match item {
                ContentItem::Chunk { id, .. } => {
                    let chunk = self.source.fetch(Class::Data, &id)?;
                    let part = chunk.get(from as usize..to as usize);
                    plain.extend_from_slice(part.unwrap_or_default());
                }
                ContentItem::Hole { .. } => plain.resize(plain.len() + (to - from) as usize, 0),
            }
            at = next;
        }
        Ok(plain)
    }
}

/// Offset, length and name of each lost chunk of a file.
fn missing_of(own: &Reader, entry: &Entry, lost: &Lost) -> Result<Vec<(u64, u32, ChunkId)>> {
    let mut missing = Vec::new();
    if !matches!(entry.content, Content::List(_) | Content::Tree(_)) {
        return Ok(missing);
    }
    let mut items = match ContentReader::open(own, &entry.content, entry.size) {
        Ok(items) => items,
        Err(error) if is_finding(&error) => return Ok(missing),
        Err(error) => return Err(error),
    };
    while let Some(item) = items.next() {
        match item {
            Ok(ContentItem::Chunk { id, bytes }) if lost.contains_key(&id) => {
                missing.push((items.position().saturating_sub(u64::from(bytes)), bytes, id));
            }
            Err(error) if !is_finding(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(missing)
}

//! The directories whose files brought new data after the first archive of their series.

use std::collections::{BTreeMap, HashSet};

use crate::archive::catalog::Archive;
use crate::archive::content::{Content, ContentItem};
use crate::archive::content_tree::ContentReader;
use crate::archive::entry::Entry;
use crate::archive::walk::{Walk, WalkEvent, WalkItem};
use crate::error::Result;
use crate::id::ChunkId;
use crate::index::{Mark, Marks};
use crate::monitor::{Monitor, Warning};
use crate::ops::unread::pass_over;
use crate::repository::{Reader, Session};

/// A directory, and how much its files grew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hotspot {
    /// Its path in archives, raw bytes; empty for the top.
    pub path: Vec<u8>,
    /// Bytes of content that was new, over all archives.
    pub bytes: u64,
}

/// The directories in which new content came, most first. Archives are compared in the order of time; what the first
/// archive of each name brings is no growth.
///
/// What can not be read is reported to the monitor and not counted, unless the connection is lost.
pub fn hotspots(session: &Session, archives: &[&Archive], monitor: &dyn Monitor) -> Result<Vec<Hotspot>> {
    let mut archives = archives.to_vec();
    archives.sort_by_key(|archive| (archive.record.start, archive.id));
    let mut search = Search {
        session,
        reader: session.reader(),
        seen: session.marks(),
        visited: HashSet::new(),
        grown: BTreeMap::new(),
    };
    let mut names = HashSet::new();
    for archive in archives {
        let first = names.insert(&archive.record.name);
        search.archive(archive, !first, monitor)?;
    }
    let mut hotspots: Vec<_> = search.grown.into_iter().map(|(path, bytes)| Hotspot { path, bytes }).collect();
    // directories of the same size in the order of their paths
    hotspots.sort_by_key(|hotspot| std::cmp::Reverse(hotspot.bytes));
    Ok(hotspots)
}

struct Search<'a> {
    session: &'a Session,
    reader: Reader,
    /// Content of the archives before.
    seen: Marks,
    /// Directories all of whose content was seen.
    visited: HashSet<ChunkId>,
    grown: BTreeMap<Vec<u8>, u64>,
}

impl Search<'_> {
    fn archive(&mut self, archive: &Archive, counts: bool, monitor: &dyn Monitor) -> Result<()> {
        let reader = self.reader.clone();
        let visited = std::mem::take(&mut self.visited);
        let root = archive.record.root;
        if !visited.contains(&root.root) {
            let unknown = |item: &WalkItem| directory(&item.entry).is_some_and(|root| !visited.contains(&root));
            for event in Walk::new(&reader, &root, None, unknown) {
                monitor.stop_if_asked("analyze archives")?;
                let failed = match event {
                    Ok(WalkEvent::Entry(item)) => match self.file(&item, counts) {
                        Ok(()) => continue,
                        Err(error) => (item.path, error),
                    },
                    Ok(WalkEvent::Leave(item)) => {
                        self.visited.extend(directory(&item.entry));
                        continue;
                    }
                    Err(failed) => (failed.path, failed.error),
                };
                pass_over(monitor, Warning::Item, &failed.0, failed.1)?;
            }
        }
        self.visited.extend(visited);
        self.visited.insert(root.root);
        Ok(())
    }

    fn file(&mut self, item: &WalkItem, counts: bool) -> Result<()> {
        let entry = &item.entry;
        if !matches!(entry.content, Content::List(_) | Content::Tree(_)) {
            return Ok(());
        }
        let mut new = 0u64;
        let reader = self.reader.clone();
        for piece in ContentReader::open(&reader, &entry.content, entry.size)? {
            if let ContentItem::Chunk { id, bytes } = piece?
                && self.session.mark(&mut self.seen, &id) == Mark::New
            {
                new += u64::from(bytes);
            }
        }
        if counts && new > 0 {
            let above = item.path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
            *self.grown.entry(item.path[..above].to_vec()).or_default() += new;
        }
        Ok(())
    }
}

fn directory(entry: &Entry) -> Option<ChunkId> {
    match &entry.content {
        Content::Directory(directory) => Some(directory.root),
        _ => None,
    }
}

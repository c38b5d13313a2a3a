//! From lost chunks to the files that people miss.

use super::{About, Check};
use crate::archive::attributes::AttributesRef;
use crate::archive::catalog::{Archive, is_live};
use crate::archive::content::{Content, ContentItem};
use crate::archive::content_tree::ContentReader;
use crate::archive::entry::Entry;
use crate::archive::walk::{Walk, WalkEvent};
use crate::error::{Error, Result, is_finding};
use crate::id::ChunkId;
use crate::repository::Reader;

impl Check<'_, '_> {
    /// Names every file and directory of an archive that can not be restored whole.
    pub(super) fn hurt(&mut self, archive: &Archive, reader: &Reader) -> Result<()> {
        for event in Walk::new(reader, &archive.record.root, None, |_| true) {
            self.monitor.stop_if_asked("check")?;
            let (path, error) = match event {
                Ok(WalkEvent::Entry(item)) => match self.missing_of(&item.entry, reader)? {
                    Some(error) => (item.path, error),
                    None => continue,
                },
                Ok(WalkEvent::Leave(_)) => continue,
                Err(unread) if is_finding(&unread.error) => (unread.path, unread.error),
                Err(unread) => return Err(unread.error),
            };
            if !self.checked.hurt.contains(&archive.id) && !is_live(self.repository, &archive.id)? {
                // Removed since it was listed: nobody misses anything of it.
                return Ok(());
            }
            self.checked.hurt.insert(archive.id);
            self.find(About::Path(archive.id, path), error);
        }
        Ok(())
    }

    /// What is missing of a file, if anything is.
    fn missing_of(&self, entry: &Entry, reader: &Reader) -> Result<Option<Error>> {
        let lost = |id: &ChunkId| {
            let error = || Error::damaged("check file", "content can not be read").with("chunk", id);
            self.checked.lost.contains_key(id).then(error)
        };
        if let AttributesRef::Chunk(id) = &entry.attributes
            && let Some(error) = lost(id)
        {
            return Ok(Some(error));
        }
        if !matches!(entry.content, Content::List(_) | Content::Tree(_)) {
            return Ok(None);
        }
        let items = match ContentReader::open(reader, &entry.content, entry.size) {
            Ok(items) => items,
            Err(error) => return finding(error),
        };
        for item in items {
            match item {
                Ok(ContentItem::Chunk { id, .. }) => {
                    if let Some(error) = lost(&id) {
                        return Ok(Some(error));
                    }
                }
                Ok(ContentItem::Hole { .. }) => {}
                Err(error) => return finding(error),
            }
        }
        Ok(None)
    }
}

fn finding(error: Error) -> Result<Option<Error>> {
    if is_finding(&error) { Ok(Some(error)) } else { Err(error) }
}

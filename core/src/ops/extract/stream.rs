//! Content of archived files as a stream.

use std::io::Write;

use crate::archive::content::{Content, ContentItem};
use crate::archive::content_tree::ContentReader;
use crate::archive::entry::Entry;
use crate::archive::metadata::FileType;
use crate::archive::record::ArchiveRecord;
use crate::archive::walk::WalkItem;
use crate::error::{Error, Result};
use crate::limits::KIB;
use crate::monitor::{Counters, Event, FileStatus, Monitor, Warning};
use crate::ops::archived_input::fetch_piece;
use crate::ops::unread::pass_over;
use crate::pattern::Matcher;
use crate::repository::Reader;

/// Writes the content of the selected regular files one after the other.
///
/// If `out` fails, or the connection is lost, so does this; a file that can not be read is reported and left where it broke off.
pub fn extract_to_stream(
    reader: &Reader,
    record: &ArchiveRecord,
    matcher: &Matcher,
    out: &mut dyn Write,
    monitor: &dyn Monitor,
) -> Result<()> {
    Counters::set(&monitor.counters().files_expected, record.root.files);
    Counters::set(&monitor.counters().bytes_expected, record.root.bytes);
    crate::ops::list::list(reader, record, matcher, monitor, &mut |item| {
        if item.entry.file_type != FileType::File {
            return Ok(());
        }
        let mut failed = None;
        let read = read_content(reader, &item.entry, monitor, &mut |bytes| {
            out.write_all(bytes).map_err(|error| {
                failed = Some(error.kind());
                Error::from_io("write output", error)
            })
        });
        match read {
            Ok(()) => {
                count(&item, FileStatus::Extracted, monitor);
                Ok(())
            }
            // The reader of the stream is gone: nothing more can be done.
            Err(error) if failed.is_some() => Err(error),
            Err(error) => pass_over(monitor, Warning::Item, &item.path, error),
        }
    })
}

/// Tells of an entry that was read completely.
pub(super) fn count(item: &WalkItem, status: FileStatus, monitor: &dyn Monitor) {
    if item.entry.file_type == FileType::File {
        Counters::add(&monitor.counters().files, 1);
        Counters::add(&monitor.counters().bytes, item.entry.size);
    }
    monitor.event(&Event::File { status, path: &item.path });
}

/// Hands every piece of a regular file's content to `use_bytes`, holes as zeros. `Interrupted` if the monitor says so.
pub fn read_content(
    reader: &Reader,
    entry: &Entry,
    monitor: &dyn Monitor,
    use_bytes: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    if let Content::Inline(bytes) = &entry.content {
        return use_bytes(bytes);
    }
    let zeros = vec![0; 64 * KIB];
    each_item(reader, entry, monitor, &mut |_, item| match item {
        ContentItem::Chunk { id, bytes } => use_bytes(&fetch_piece(reader, id, *bytes)?),
        ContentItem::Hole { bytes } => {
            let mut left = *bytes;
            while left > 0 {
                monitor.stop_if_asked("read file")?;
                let part = left.min(zeros.len() as u64);
                use_bytes(&zeros[..part as usize])?;
                left -= part;
            }
            Ok(())
        }
    })
}

/// Visits the chunks and holes of a regular file with their offsets. Asks before each whether to stop: a file may be as
/// large as an archive.
pub(in crate::ops) fn each_item(
    reader: &Reader,
    entry: &Entry,
    monitor: &dyn Monitor,
    visit: &mut dyn FnMut(u64, &ContentItem) -> Result<()>,
) -> Result<()> {
    if entry.file_type != FileType::File {
        return Ok(());
    }
    let mut offset = 0u64;
    for item in ContentReader::open(reader, &entry.content, entry.size)? {
        let item = item?;
        monitor.stop_if_asked("read file")?;
        visit(offset, &item)?;
        offset = offset.saturating_add(item.bytes());
    }
    Ok(())
}

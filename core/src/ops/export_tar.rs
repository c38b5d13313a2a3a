//! Writes an archive as a tar archive.

use std::collections::HashMap;
use std::io::Write;

use super::archived_input::fetch_piece;
use super::extract::{each_item, read_content};
use super::unread::pass_over;
use crate::acl;
use crate::archive::content::{Content, ContentItem};
use crate::archive::content_tree::ContentReader;
use crate::archive::entry::Entry;
use crate::archive::metadata::{Attributes, FileType, Metadata, flag};
use crate::archive::record::ArchiveRecord;
use crate::archive::walk::{Walk, WalkEvent, WalkItem};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result, is_finding};
use crate::fs::attributes::{ACCESS_ACL, DEFAULT_ACL};
use crate::limits::KIB;
use crate::monitor::{Counters, Event, FileStatus, Monitor, Warning};
use crate::pattern::{Decision, Matcher};
use crate::repository::Reader;
use crate::tar::{Format, Kind, Member, TarWriter, Time};

/// How an archive is written.
#[derive(Debug, Default)]
pub struct ExportOptions {
    /// Which entries; paths as archived.
    pub matcher: Matcher,
    /// Leading parts of the path that are dropped; entries with no more parts are left out.
    pub strip_components: usize,
    /// The dialect.
    pub format: Format,
    /// Holes stay holes, instead of becoming zeros. Needs [`Format::Pax`].
    pub sparse: bool,
}

/// File flags by the names other programs have for them.
pub(super) const FLAG_NAMES: [(u32, &str); 4] =
    [(flag::IMMUTABLE, "schg"), (flag::APPEND, "sappnd"), (flag::NODUMP, "nodump"), (flag::COMPRESSED, "compress")];

/// Writes the selected entries to `output`, in the order of the archive: parents first, names by bytes.
///
/// A file whose content can not be read is reported, and what is missing of it is zeros: its length is written before
/// its content is known. If `output` fails, or the connection is lost, so does this.
///
/// # Errors
/// `Unsupported` for sparse files in a format without them.
pub fn export_tar(
    reader: &Reader,
    record: &ArchiveRecord,
    output: &mut dyn Write,
    options: &ExportOptions,
    monitor: &dyn Monitor,
) -> Result<()> {
    if options.sparse && options.format != Format::Pax {
        let reason = "sparse files need the PAX format";
        return Err(Error::new(ErrorKind::Unsupported, "export archive").with("reason", reason));
    }
    Counters::set(&monitor.counters().files_expected, record.root.files);
    Counters::set(&monitor.counters().bytes_expected, record.root.bytes);
    let writer = TarWriter::new(output, options.format);
    let mut export = Export { reader, options, monitor, writer, links: HashMap::new() };
    export.top(record)?;
    let matcher = &options.matcher;
    let descend =
        |item: &WalkItem| matcher.decide(&item.path) != Decision::ExcludeNoRecurse && matcher.may_descend(&item.path);
    for event in Walk::new(reader, &record.root, None, descend) {
        monitor.stop_if_asked("export archive")?;
        match event {
            Ok(WalkEvent::Entry(item)) if matcher.decide(&item.path) == Decision::Include => export.item(&item)?,
            Ok(_) => {}
            Err(failed) => pass_over(monitor, Warning::Item, &failed.path, failed.error)?,
        }
    }
    export.writer.finish().map(|_| ())
}

struct Export<'a, W> {
    reader: &'a Reader,
    options: &'a ExportOptions,
    monitor: &'a dyn Monitor,
    writer: TarWriter<W>,
    /// Under which path the first name of a file with several was written.
    links: HashMap<u64, Vec<u8>>,
}

impl<W: Write> Export<'_, W> {
    /// A whole archive of `.` or `/` begins with the directory itself.
    fn top(&mut self, record: &ArchiveRecord) -> Result<()> {
        let Some(top) = &record.top else { return Ok(()) };
        if self.options.strip_components > 0 || !self.options.matcher.takes_everything() {
            return Ok(());
        }
        let mut member = Member::new(b"./".to_vec(), Kind::Directory);
        put_metadata(&mut member, &top.metadata);
        self.put_attributes(&mut member, top.attributes.clone(), b"");
        self.writer.member(&member)
    }

    fn item(&mut self, item: &WalkItem) -> Result<()> {
        let entry = &item.entry;
        let mut parts = item.path.split(|byte| *byte == b'/').skip(self.options.strip_components).peekable();
        if parts.peek().is_none() {
            return Ok(());
        }
        let mut path = parts.collect::<Vec<_>>().join(&b'/');
        if entry.file_type == FileType::Directory {
            path.push(b'/');
        }
        let mut member = Member::new(path, kind_of(entry.file_type));
        put_metadata(&mut member, &entry.metadata);
        if let Some(first) = entry.hard_link.and_then(|id| self.links.get(&id)) {
            (member.kind, member.target) = (Kind::HardLink, first.clone());
            self.writer.member(&member)?;
            self.told(item, FileStatus::Extracted);
            return Ok(());
        }
        match entry.attributes.load(self.reader) {
            Ok(attributes) => self.put_attributes(&mut member, attributes, &item.path),
            Err(error) => pass_over(self.monitor, Warning::Attribute, &item.path, error)?,
        }
        match &entry.content {
            Content::Target(target) => member.target.clone_from(target),
            Content::Device { major, minor } => member.device = (*major, *minor),
            _ => {}
        }
        if let Some(id) = entry.hard_link {
            self.links.insert(id, member.path.clone());
        }
        if entry.file_type != FileType::File {
            self.writer.member(&member)?;
            self.told(item, FileStatus::Extracted);
            return Ok(());
        }
        member.size = entry.size;
        self.file(item, member)
    }

    fn file(&mut self, item: &WalkItem, mut member: Member) -> Result<()> {
        if self.options.sparse {
            member.data = match stretches(self.reader, &item.entry) {
                // What can not be found is told below, by who reads it.
                Err(error) if is_finding(&error) => None,
                stretches => stretches?,
            };
        }
        self.writer.member(&member)?;
        let (writer, reader, monitor) = (&mut self.writer, self.reader, self.monitor);
        let mut broken = None;
        let mut put = |bytes: &[u8]| writer.content(bytes).inspect_err(|error| broken = Some(error.kind()));
        let read = match member.data {
            Some(_) => each_item(reader, &item.entry, monitor, &mut |_, item| match item {
                ContentItem::Chunk { id, bytes } => put(&fetch_piece(reader, id, *bytes)?),
                ContentItem::Hole { .. } => Ok(()),
            }),
            None => read_content(reader, &item.entry, monitor, &mut put),
        };
        match read {
            Ok(()) => self.told(item, FileStatus::Extracted),
            Err(error) if broken.is_some() => return Err(error),
            Err(error) => {
                pass_over(self.monitor, Warning::Item, &item.path, error)?;
                self.monitor.event(&Event::File { status: FileStatus::Error, path: &item.path });
                self.fill_up()?;
            }
        }
        Ok(())
    }

    /// Zeros in place of what can not be read.
    fn fill_up(&mut self) -> Result<()> {
        let zeros = vec![0; 64 * KIB];
        while self.writer.owed() > 0 {
            let bytes = self.writer.owed().min(zeros.len() as u64) as usize;
            self.writer.content(&zeros[..bytes])?;
        }
        Ok(())
    }

    /// Lists of access control have a form of their own; any other attribute stays as it is.
    fn put_attributes(&self, member: &mut Member, attributes: Attributes, path: &[u8]) {
        if self.options.format != Format::Pax {
            return;
        }
        for (name, value) in attributes.0 {
            let text = match name.as_slice() {
                ACCESS_ACL | DEFAULT_ACL => acl::to_text(&value),
                _ => None,
            };
            match (name.as_slice(), text) {
                (ACCESS_ACL, Some(text)) => member.access_acl = Some(text),
                (DEFAULT_ACL, Some(text)) => member.default_acl = Some(text),
                (name, _) if name.contains(&b'=') => {
                    let error = Error::new(ErrorKind::Unsupported, "export attribute")
                        .with("reason", "its name can not be written")
                        .with("attribute", name.escape_ascii());
                    self.monitor.event(&Event::Warning { warning: Warning::Attribute, path, error: &error });
                }
                (name, _) => {
                    member.attributes.insert(name.to_vec(), value.into_vec());
                }
            }
        }
    }

    fn told(&self, item: &WalkItem, status: FileStatus) {
        if item.entry.file_type == FileType::File {
            Counters::add(&self.monitor.counters().files, 1);
            Counters::add(&self.monitor.counters().bytes, item.entry.size);
        }
        self.monitor.event(&Event::File { status, path: &item.path });
    }
}

fn kind_of(file_type: FileType) -> Kind {
    match file_type {
        FileType::File => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        FileType::BlockDevice => Kind::BlockDevice,
        FileType::CharacterDevice => Kind::CharacterDevice,
        FileType::Fifo => Kind::Fifo,
    }
}

fn put_metadata(member: &mut Member, metadata: &Metadata) {
    let time = |time: &Timestamp| -> Time { (time.seconds, time.nanoseconds) };
    member.mode = metadata.mode;
    (member.uid, member.gid) = (metadata.uid.into(), metadata.gid.into());
    member.user = metadata.user.as_ref().map(|name| name.to_vec()).unwrap_or_default();
    member.group = metadata.group.as_ref().map(|name| name.to_vec()).unwrap_or_default();
    member.modified = time(&metadata.modified);
    member.accessed = metadata.accessed.as_ref().map(time);
    member.born = metadata.born.as_ref().map(time);
    let names = FLAG_NAMES.iter().filter(|(bit, _)| metadata.flags & bit != 0).map(|(_, name)| *name);
    member.flags = names.collect::<Vec<_>>().join(",").into_bytes();
}

/// Where a file has data, if it has holes.
fn stretches(reader: &Reader, entry: &Entry) -> Result<Option<Vec<(u64, u64)>>> {
    if matches!(entry.content, Content::Inline(_)) {
        return Ok(None);
    }
    let (mut data, mut position, mut holes): (Vec<(u64, u64)>, u64, bool) = (Vec::new(), 0, false);
    for item in ContentReader::open(reader, &entry.content, entry.size)? {
        let item = item?;
        match (&item, data.last_mut()) {
            (ContentItem::Hole { .. }, _) => holes = true,
            (_, Some((start, length))) if *start + *length == position => *length += item.bytes(),
            _ => data.push((position, item.bytes())),
        }
        position = position.saturating_add(item.bytes());
    }
    if holes && data.last().is_none_or(|(start, length)| start + length < entry.size) {
        // GNU tar takes the end of the last stretch for the end of the file.
        data.push((entry.size, 0));
    }
    Ok(holes.then_some(data))
}

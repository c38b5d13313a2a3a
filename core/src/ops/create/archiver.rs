//! Turns what the traversal finds into entries, chunks and directories.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::base::{Base, BaseDirectory, Unchanged, is_whole};
use super::content::ContentReader;
use super::stream::Special;
use super::together::{Identity, Member};
use super::traversal::{Found, Step, Traversal};
use super::{Checkpoint, CreateOptions, Stream};
use crate::archive::attributes::AttributesRef;
use crate::archive::builder::DirectoryBuilder;
use crate::archive::content::{Content, DirectoryRef};
use crate::archive::cut::CutKey;
use crate::archive::entry::Entry;
use crate::archive::metadata::{Attributes, FileType, Metadata};
use crate::archive::record::{PendingRecord, Statistics};
use crate::archive::stat::{StatRef, StatRow};
use crate::chunker::{Chunker, Input};
use crate::clock::Timestamp;
use crate::codec::Extensions;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::open::UNSIZED_BYTES_MAX;
use crate::fs::source::SourceDirectory;
use crate::fs::stat::{Stat, metadata};
use crate::fs::users::Users;
use crate::monitor::{Counters, Event, FileStatus, Monitor, Warning};
use crate::repository::Writer;

/// Builds the tree of one archive.
pub(super) struct Archiver<'a> {
    pub options: &'a CreateOptions,
    pub monitor: &'a dyn Monitor,
    pub writer: &'a Writer,
    pub source: Unchanged<'a>,
    /// Makes the pending record of a checkpoint from the root so far.
    pub pending: &'a dyn Fn(DirectoryRef, StatRef, Statistics) -> Result<PendingRecord>,
    cut_key: CutKey,
    hard_link_key: [u8; 32],
    /// Whether the base has the attributes of an unchanged file as they would be read now.
    keeps_attributes: bool,
    content: ContentReader<'a>,
    stream: Option<Stream<'a>>,
    /// What stands for this archive among those that are made at the same time.
    member: Option<Member>,
    frames: Vec<Frame<'a>>,
    links: HashMap<(u64, u64), Linked>,
    statistics: Statistics,
    checkpointed: (Instant, u64),
}

/// A directory in the making.
struct Frame<'a> {
    name: Vec<u8>,
    metadata: Option<(Metadata, AttributesRef)>,
    implied: bool,
    builder: DirectoryBuilder,
    base: Option<BaseDirectory<'a>>,
}

/// A file that has further names, and what its first name got.
struct Linked {
    content: Content,
    size: u64,
    attributes: AttributesRef,
    /// When the file changed last: a further name is read again if it changed since, or is another file.
    changed: Timestamp,
    read_at: Timestamp,
    names_left: u32,
}

/// What is stored of a file, and how it came to that.
struct Stored {
    content: Content,
    size: u64,
    attributes: AttributesRef,
    status: FileStatus,
    /// The change time that the file had when it was read, if the next backup may rely on it. Older than its change time
    /// where a comparison that ignores that took it over.
    read_at: Option<Timestamp>,
}

/// Keys and tools an archiver is made of.
pub(super) struct Tools<'a> {
    pub chunker: &'a Chunker,
    pub cut_key: &'a CutKey,
    pub hard_link_key: [u8; 32],
}

impl<'a> Archiver<'a> {
    pub fn new(
        options: &'a CreateOptions,
        monitor: &'a dyn Monitor,
        writer: &'a Writer,
        source: Unchanged<'a>,
        tools: &Tools<'a>,
        pending: &'a dyn Fn(DirectoryRef, StatRef, Statistics) -> Result<PendingRecord>,
    ) -> Self {
        let cut_key = tools.cut_key.clone();
        let top = source.base.map(|base| &base.reference);
        let root = Frame {
            name: Vec::new(),
            metadata: None,
            implied: false,
            builder: DirectoryBuilder::new(cut_key.clone()),
            base: top.and_then(|top| BaseDirectory::open(source.reader, &top.root, top.stat_root.as_ref())),
        };
        Self {
            options,
            monitor,
            writer,
            source,
            pending,
            cut_key,
            hard_link_key: tools.hard_link_key,
            keeps_attributes: source.base.and_then(|base| base.attributes) == Some(options.attributes.asked()),
            content: ContentReader::new(tools.chunker, tools.cut_key),
            stream: None,
            member: None,
            frames: vec![root],
            links: HashMap::new(),
            statistics: Statistics::default(),
            checkpointed: (Instant::now(), 0),
        }
    }

    /// Archives everything the traversal finds, and the stream where it belongs.
    pub fn run(
        mut self,
        traversal: &mut Traversal<'_>,
        stream: Option<Stream<'a>>,
        member: Option<Member>,
    ) -> Result<(DirectoryRef, StatRef, Statistics)> {
        (self.stream, self.member) = (stream, member);
        while let Some(step) = traversal.step() {
            self.stop_if_asked()?;
            match step {
                Step::Enter { found, implied } => {
                    self.come_to(&found.path);
                    self.enter(found, implied, traversal.directory())?;
                }
                Step::Leave => self.leave()?,
                Step::Stream { name, path } => {
                    self.come_to(&path);
                    self.piped(name, &path)?;
                }
                Step::Item(found) => {
                    self.come_to(&found.path);
                    if let Some(directory) = traversal.directory() {
                        self.item(&found, directory)?;
                    }
                }
            }
        }
        self.member = None;
        self.statistics.errors += traversal.errors();
        if self.stream.is_some() {
            let error = Error::new(ErrorKind::NotFound, "archive stream");
            self.statistics.errors += 1;
            self.warn(Warning::Item, b"", &error.with("reason", "what is above its path was not entered"));
        }
        self.finish()
    }

    /// Tells the others how far this archive is.
    fn come_to(&self, path: &[u8]) {
        if let Some(member) = &self.member {
            member.come_to(path);
        }
    }

    /// Archives the stream as a file. It can not be read again, so what is wrong with it ends the run.
    fn piped(&mut self, name: Vec<u8>, path: &[u8]) -> Result<()> {
        let Some(Stream { metadata, mut input }) = self.stream.take() else { return Ok(()) };
        let (content, size) = self.store_content(Identity::Stream, &mut *input, None)?;
        // The end of a stream may be that of whoever was stopped with us.
        self.monitor.stop_if_asked("read stream")?;
        let entry = Entry {
            name,
            file_type: FileType::File,
            metadata,
            size,
            hard_link: None,
            attributes: AttributesRef::None,
            content,
            extensions: Extensions::none(),
        };
        self.push(entry, StatRow::None)?;
        self.count_file(size);
        self.monitor.event(&Event::File { status: FileStatus::Stream, path });
        Ok(())
    }

    fn finish(mut self) -> Result<(DirectoryRef, StatRef, Statistics)> {
        let root = self.frames.pop().ok_or_else(|| Error::new(ErrorKind::System, "finish archive"))?;
        let (root, stat_root) = root.builder.finish(self.writer)?;
        // What is compressed is known only when all of it is.
        self.writer.settle()?;
        self.update_totals();
        Ok((root, stat_root, self.statistics))
    }

    fn enter(&mut self, found: Found, implied: bool, directory: Option<&SourceDirectory>) -> Result<()> {
        let base = self.frames.last_mut().and_then(|frame| frame.base.as_mut()?.take(&found.name));
        let base = base.and_then(|(entry, row)| {
            let Content::Directory(below) = &entry.content else { return None };
            let stat = if let StatRow::Directory(stat) = &row { Some(stat) } else { None };
            BaseDirectory::open(self.source.reader, below, stat)
        });
        let read = directory.map(|directory| directory.own_attributes(self.options.attributes));
        let (attributes, _) = self.attributes(&found, read.unwrap_or_else(|| Ok(Attributes::default())))?;
        self.frames.push(Frame {
            name: found.name,
            metadata: Some((self.metadata(&found.stat), attributes)),
            implied,
            builder: DirectoryBuilder::new(self.cut_key.clone()),
            base,
        });
        self.monitor.event(&Event::File { status: FileStatus::Directory, path: &found.path });
        Ok(())
    }

    fn leave(&mut self) -> Result<()> {
        let Some(frame) = self.frames.pop() else { return Ok(()) };
        let Some((metadata, attributes)) = frame.metadata else { return Ok(()) };
        if frame.implied && frame.builder.entries() == 0 {
            return Ok(());
        }
        let (directory, stat) = frame.builder.finish(self.writer)?;
        self.push(directory_entry(frame.name, metadata, attributes, directory), StatRow::Directory(stat))
    }

    /// Archives one item. What is wrong with the item alone is reported, and the rest goes on.
    fn item(&mut self, found: &Found, directory: &SourceDirectory) -> Result<()> {
        let error = match self.try_item(found, directory) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if error.kind() == ErrorKind::Interrupted || self.writer.is_poisoned() {
            return Err(error);
        }
        self.statistics.errors += 1;
        self.warn(Warning::Item, &found.path, &error);
        self.monitor.event(&Event::File { status: FileStatus::Error, path: &found.path });
        Ok(())
    }

    fn try_item(&mut self, found: &Found, directory: &SourceDirectory) -> Result<()> {
        let base = self.frames.last_mut().and_then(|frame| frame.base.as_mut()?.take(&found.name));
        let Some(file_type) = found.stat.file_type.stored() else { return Ok(()) };
        let read_special = self.options.read_special && file_type != FileType::File;
        let opened = if read_special { self.open_special(found, directory)? } else { None };
        // The owner and the mode of a device, not those of a link to it.
        let stat = opened.as_ref().map_or(&found.stat, |special| &special.stat).clone();
        let (stored, file_type) = match (opened, file_type) {
            (Some(special), _) => (self.stream(found, &special)?, FileType::File),
            (None, FileType::File) => (self.file(found, directory, base)?, file_type),
            (None, other) => (self.special(found, directory, other)?, file_type),
        };
        let row = match stored.read_at {
            Some(changed) if !self.source.is_racy(&changed) => StatRow::File { inode: found.stat.inode, changed },
            _ => StatRow::None,
        };
        let entry = Entry {
            name: found.name.clone(),
            file_type,
            metadata: self.metadata(&stat),
            size: stored.size,
            hard_link: (found.stat.links > 1).then(|| self.hard_link_id(&found.stat)),
            attributes: stored.attributes,
            content: stored.content,
            extensions: Extensions::none(),
        };
        let size = entry.size;
        self.push(entry, row)?;
        if file_type == FileType::File {
            self.count_file(size);
        }
        self.monitor.event(&Event::File { status: stored.status, path: &found.path });
        Ok(())
    }

    fn file(&mut self, found: &Found, directory: &SourceDirectory, base: Option<(Entry, StatRow)>) -> Result<Stored> {
        if let Some(linked) = self.linked(&found.stat) {
            return Ok(linked);
        }
        let known = base.is_some();
        if let Some((entry, read_at)) = base.and_then(|(entry, row)| self.take_over(entry, &row, &found.stat)) {
            let Entry { content, size, attributes, .. } = entry;
            let (attributes, complete) = if self.keeps_attributes && read_at == found.stat.changed {
                (attributes, true)
            } else {
                self.attributes(found, directory.attributes(&found.name, &found.stat, self.options.attributes))?
            };
            let read_at = complete.then_some(read_at);
            let stored = Stored { content, size, attributes, status: FileStatus::Unchanged, read_at };
            self.remember_link(&found.stat, &stored);
            Counters::add(&self.monitor.counters().bytes, size);
            return Ok(stored);
        }
        let mut file = directory.open_file(&found.name, &found.stat)?;
        let (attributes, complete) = self.attributes(found, file.attributes(self.options.attributes))?;
        let opened = file.opened();
        let expected = (!opened.may_have_holes()).then_some(opened.size);
        let (content, size) = self.store_content(Identity::of(opened), &mut file, expected)?;
        let now = file.stat()?;
        let same = self.options.change.same(&found.stat, &now);
        let settled = same && size == now.size;
        let whole = settled || (same && now.size == 0 && size < UNSIZED_BYTES_MAX);
        let status = match (whole, known) {
            (false, _) => FileStatus::Changed,
            (true, true) => FileStatus::Modified,
            (true, false) => FileStatus::Added,
        };
        if !whole {
            let error = Error::new(ErrorKind::SourceChanged, "read file");
            self.warn(Warning::FileChanged, &found.path, &error);
        }
        let read_at = (settled && complete).then_some(found.stat.changed);
        let stored = Stored { content, size, attributes, status, read_at };
        self.remember_link(&found.stat, &stored);
        Ok(stored)
    }

    /// Where the attributes of an item are, and whether they are all there: those that can not be read are reported, and
    /// missed by the next backup too, which therefore must not rely on this one. Another file by now has none to show.
    fn attributes(&self, found: &Found, read: Result<Attributes>) -> Result<(AttributesRef, bool)> {
        match read {
            Ok(attributes) => Ok((AttributesRef::store(attributes, self.writer)?, true)),
            Err(error) if error.kind() == ErrorKind::SourceChanged => Err(error),
            Err(error) => {
                self.warn(Warning::Attribute, &found.path, &error);
                Ok((AttributesRef::None, false))
            }
        }
    }

    /// The base's entry and the change time that it was read at, if it describes the file as it is and everything it
    /// needs is stored.
    fn take_over(&self, entry: Entry, row: &StatRow, stat: &Stat) -> Option<(Entry, Timestamp)> {
        let StatRow::File { changed, .. } = *row else { return None };
        let unchanged = Base::is_unchanged(&self.options.compare, &entry, row, stat);
        let taken = unchanged && (!self.source.doubt || is_whole(&entry, self.source.reader, self.writer));
        taken.then_some((entry, changed))
    }

    /// Opens a device or pipe. Others that are made at the same time share it.
    fn open_special(&self, found: &Found, directory: &SourceDirectory) -> Result<Option<Arc<Special>>> {
        let open = || Ok(directory.open_special(&found.name, &found.stat)?.map(Special::new));
        match &self.member {
            Some(member) => member.open_once(Identity::of(&found.stat), open),
            None => Ok(open()?.map(Arc::new)),
        }
    }

    /// The content of a device or pipe.
    fn stream(&mut self, found: &Found, special: &Special) -> Result<Stored> {
        let (content, size) = self.store_content(Identity::of(&found.stat), &mut &special.input, None)?;
        Ok(Stored { content, size, attributes: AttributesRef::None, status: FileStatus::Stream, read_at: None })
    }

    fn special(&mut self, found: &Found, directory: &SourceDirectory, file_type: FileType) -> Result<Stored> {
        let stat = &found.stat;
        let (content, status) = match file_type {
            FileType::Symlink => (Content::Target(directory.read_link(&found.name)?), FileStatus::Symlink),
            FileType::Fifo => (Content::None, FileStatus::Fifo),
            device => {
                let (major, minor) = stat.rdev;
                let block = device == FileType::BlockDevice;
                let status = if block { FileStatus::BlockDevice } else { FileStatus::CharacterDevice };
                (Content::Device { major, minor }, status)
            }
        };
        let read = directory.attributes(&found.name, stat, self.options.attributes);
        let (attributes, _) = self.attributes(found, read)?;
        Ok(Stored { content, size: 0, attributes, status, read_at: Some(stat.changed) })
    }

    /// Stores what `input` has; what others read of it, or will need, is shared with them.
    fn store_content(
        &mut self,
        identity: Identity,
        input: &mut dyn Input,
        expected: Option<u64>,
    ) -> Result<(Content, u64)> {
        let mut shared;
        let input = match &self.member {
            Some(member) => {
                shared = member.read(identity, input);
                &mut shared as &mut dyn Input
            }
            None => input,
        };
        let (monitor, writer, pending) = (self.monitor, self.writer, self.pending);
        let interval = self.options.checkpoint;
        let (frames, statistics, checkpointed) = (&self.frames, &self.statistics, &mut self.checkpointed);
        self.content.store(input, expected, writer, &mut |bytes| {
            Counters::add(&monitor.counters().bytes, bytes);
            if monitor.interrupted() {
                checkpoint(frames, *statistics, writer, pending, monitor)?;
                return Err(Error::new(ErrorKind::Interrupted, "create archive"));
            }
            if is_due(&interval, checkpointed, writer) {
                checkpoint(frames, *statistics, writer, pending, monitor)?;
                *checkpointed = (Instant::now(), writer.totals().new_bytes);
            }
            Ok(())
        })
    }

    /// Between two items: publishes what is there if the user wants to stop.
    fn stop_if_asked(&mut self) -> Result<()> {
        if !self.monitor.interrupted() {
            return Ok(());
        }
        checkpoint(&self.frames, self.statistics, self.writer, self.pending, self.monitor)?;
        Err(Error::new(ErrorKind::Interrupted, "create archive"))
    }

    fn push(&mut self, entry: Entry, row: StatRow) -> Result<()> {
        match self.frames.last_mut() {
            Some(frame) => frame.builder.push(entry, row, self.writer),
            None => Err(Error::new(ErrorKind::System, "build directory")),
        }
    }

    fn metadata(&self, stat: &Stat) -> Metadata {
        metadata(stat, Users::system(), &self.options.metadata)
    }

    /// The same number for all names of a file: 8 bytes of a keyed hash of file system, inode and birth.
    fn hard_link_id(&self, stat: &Stat) -> u64 {
        let mut hasher = blake3::Hasher::new_keyed(&self.hard_link_key);
        hasher.update(&stat.device.to_le_bytes()).update(&stat.inode.to_le_bytes());
        if let Some(born) = stat.born {
            hasher.update(&born.seconds.to_le_bytes()).update(&born.nanoseconds.to_le_bytes());
        }
        let mut id = [0; 8];
        hasher.finalize_xof().fill(&mut id);
        u64::from_le_bytes(id)
    }

    /// What the first name of this file got.
    fn linked(&mut self, stat: &Stat) -> Option<Stored> {
        let key = (stat.device, stat.inode);
        let linked = self.links.get_mut(&key).filter(|linked| stat.links > 1 && linked.changed == stat.changed)?;
        linked.names_left = linked.names_left.saturating_sub(1);
        let stored = Stored {
            content: linked.content.clone(),
            size: linked.size,
            attributes: linked.attributes.clone(),
            status: FileStatus::HardLink,
            read_at: Some(linked.read_at),
        };
        if linked.names_left == 0 {
            self.links.remove(&key);
        }
        Counters::add(&self.monitor.counters().bytes, stored.size);
        Some(stored)
    }

    fn remember_link(&mut self, stat: &Stat, stored: &Stored) {
        if let Some(read_at) = stored.read_at.filter(|_| stat.links > 1) {
            let linked = Linked {
                content: stored.content.clone(),
                size: stored.size,
                attributes: stored.attributes.clone(),
                changed: stat.changed,
                read_at,
                names_left: stat.links - 1,
            };
            self.links.insert((stat.device, stat.inode), linked);
        }
    }

    fn count_file(&mut self, size: u64) {
        self.statistics.files += 1;
        self.statistics.bytes += size;
        Counters::add(&self.monitor.counters().files, 1);
        self.update_totals();
    }

    fn update_totals(&mut self) {
        let totals = self.writer.totals();
        self.statistics.new_bytes = totals.new_bytes;
        self.statistics.stored_bytes = totals.stored_bytes;
        Counters::set(&self.monitor.counters().new_bytes, totals.new_bytes);
        Counters::set(&self.monitor.counters().stored_bytes, totals.stored_bytes);
    }

    fn warn(&self, warning: Warning, path: &[u8], error: &Error) {
        self.monitor.event(&Event::Warning { warning, path, error });
    }
}

fn directory_entry(name: Vec<u8>, metadata: Metadata, attributes: AttributesRef, directory: DirectoryRef) -> Entry {
    Entry {
        name,
        file_type: FileType::Directory,
        metadata,
        size: 0,
        hard_link: None,
        attributes,
        content: Content::Directory(directory),
        extensions: Extensions::none(),
    }
}

fn is_due(interval: &Checkpoint, (last, bytes): &(Instant, u64), writer: &Writer) -> bool {
    last.elapsed().as_secs() >= interval.seconds || writer.totals().new_bytes - bytes >= interval.bytes
}

/// Publishes the tree as far as it is: every open directory with what it has so far.
fn checkpoint(
    frames: &[Frame<'_>],
    statistics: Statistics,
    writer: &Writer,
    pending: &dyn Fn(DirectoryRef, StatRef, Statistics) -> Result<PendingRecord>,
    monitor: &dyn Monitor,
) -> Result<()> {
    let mut below: Option<(Entry, StatRow)> = None;
    for frame in frames.iter().rev() {
        let (directory, stat) = frame.builder.snapshot(below.take(), writer)?;
        match &frame.metadata {
            Some((metadata, attributes)) => {
                let entry = directory_entry(frame.name.clone(), metadata.clone(), attributes.clone(), directory);
                below = Some((entry, StatRow::Directory(stat)));
            }
            None => writer.checkpoint(&pending(directory, stat, statistics)?.encode()?)?,
        }
    }
    monitor.event(&Event::Checkpoint);
    Ok(())
}

//! Content that comes as a tar archive.
//!
//! Members come in any order and may replace each other, entries go into directories in order: so content is stored
//! as it comes, and entries wait in memory, some hundred bytes each and as much as the smallest files hold, until the
//! stream is over.

use std::collections::{BTreeMap, HashSet};
use std::io;

use super::archiver::Tools;
use super::content::ContentReader;
use crate::acl;
use crate::archive::attributes::AttributesRef;
use crate::archive::builder::DirectoryBuilder;
use crate::archive::content::{Content, DirectoryRef};
use crate::archive::cut::CutKey;
use crate::archive::entry::Entry;
use crate::archive::metadata::{Attributes, FileType, Metadata};
use crate::archive::record::{Statistics, TopDirectory};
use crate::archive::stat::{StatRef, StatRow};
use crate::archive::walk::check_depth;
use crate::chunker::{Input, Read};
use crate::clock::Timestamp;
use crate::codec::Extensions;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::attributes::{ACCESS_ACL, DEFAULT_ACL};
use crate::fs::users::Users;
use crate::limits::INLINE_ATTRIBUTES_BYTES_MAX;
use crate::monitor::{Counters, Event, FileStatus, Monitor, Warning};
use crate::ops::export_tar::FLAG_NAMES;
use crate::repository::Writer;
use crate::tar::{Kind, Member, Piece, TarReader, Time};

/// Bytes of an access control list that says no more than the mode does: owner, group, others.
const TRIVIAL_ACL_BYTES: usize = 4 + 3 * 8;

/// A tar archive that becomes an archive.
pub struct TarStream<'a> {
    /// Where it comes from.
    pub input: Box<dyn io::Read + 'a>,
    /// Go on behind blocks of zeros: archives that were joined.
    pub ignore_zeros: bool,
}

/// What an import makes: the tree, and what is known of the directory at its top.
pub(super) struct Imported {
    pub root: DirectoryRef,
    pub stat_root: StatRef,
    pub statistics: Statistics,
    pub top: Option<TopDirectory>,
}

/// Reads members and builds a tree of them.
pub(super) struct Importer<'a> {
    monitor: &'a dyn Monitor,
    writer: &'a Writer,
    content: ContentReader<'a>,
    cut_key: CutKey,
    hard_link_key: [u8; 32],
    hard_link_ids: HashSet<u64>,
    start: Timestamp,
    /// By path, parts separated by NUL: so everything in a directory follows it, in the order of names.
    items: BTreeMap<Vec<u8>, Entry>,
    top: Option<TopDirectory>,
    statistics: Statistics,
}

impl<'a> Importer<'a> {
    /// Nothing yet. `start` is the time of directories that no member describes.
    pub fn new(monitor: &'a dyn Monitor, writer: &'a Writer, tools: &Tools<'a>, start: Timestamp) -> Self {
        let content = ContentReader::new(tools.chunker, tools.cut_key);
        let (cut_key, hard_link_key) = (tools.cut_key.clone(), tools.hard_link_key);
        let (hard_link_ids, items, statistics) = (HashSet::new(), BTreeMap::new(), Statistics::default());
        Self { monitor, writer, content, cut_key, hard_link_key, hard_link_ids, start, items, top: None, statistics }
    }

    /// Reads everything. What is wrong with one member is reported, and the rest goes on; what is wrong with the stream
    /// ends it.
    pub fn run(mut self, stream: TarStream<'_>) -> Result<Imported> {
        let mut tar = TarReader::new(stream.input, stream.ignore_zeros);
        while let Some(member) = tar.next_member()? {
            self.monitor.stop_if_asked("import archive")?;
            match self.member(&member, &mut tar) {
                Ok(status) => self.monitor.event(&Event::File { status, path: &shown(&member.path) }),
                Err(Failed::Member(error)) => self.complain(&member, &error),
                Err(Failed::Stream(error)) => return Err(error),
            }
        }
        // What compressed the stream may have more to say, such as that a checksum is wrong.
        tar.read_to_end()?;
        self.finish()
    }

    fn complain(&mut self, member: &Member, error: &Error) {
        self.statistics.errors += 1;
        let path = shown(&member.path);
        self.monitor.event(&Event::Warning { warning: Warning::Item, path: &path, error });
        self.monitor.event(&Event::File { status: FileStatus::Error, path: &path });
    }

    fn member(&mut self, member: &Member, tar: &mut TarReader<Box<dyn io::Read + '_>>) -> Result<FileStatus, Failed> {
        let path = place_of(&member.path, member.kind == Kind::Directory)?;
        if let Kind::Other(letter) = member.kind {
            return Err(refused("a member of a type that is no file").with("type", letter.escape_ascii()).into());
        }
        if path.is_empty() {
            return self.take_top(member);
        }
        self.check_parents(&path)?;
        let (entry, status) = match member.kind {
            Kind::HardLink => (self.link(member, &path)?, FileStatus::HardLink),
            _ => self.entry(member, tar)?,
        };
        let name = path.rsplit(|byte| *byte == 0).next().unwrap_or_default().to_vec();
        let entry = Entry { name, ..entry };
        entry.check()?;
        self.place(path, entry);
        Ok(status)
    }

    /// Puts an entry in its place, in which another one may be already.
    fn place(&mut self, path: Vec<u8>, entry: Entry) {
        if entry.file_type != FileType::Directory {
            let below = [&path[..], &[0]].concat();
            let gone: Vec<_> = self
                .items
                .range(below.clone()..)
                .map(|(key, _)| key.clone())
                .take_while(|key| key.starts_with(&below))
                .collect();
            gone.iter().for_each(|key| drop(self.items.remove(key)));
        }
        self.items.insert(path, entry);
    }

    fn take_top(&mut self, member: &Member) -> Result<FileStatus, Failed> {
        if member.kind != Kind::Directory {
            return Err(refused("no name is left of the path").into());
        }
        let mut attributes = attributes(member);
        if attributes.bytes() > INLINE_ATTRIBUTES_BYTES_MAX {
            attributes = Attributes::default();
        }
        self.top = Some(TopDirectory { metadata: metadata(member)?, attributes });
        Ok(FileStatus::Directory)
    }

    /// Directories above a member are directories, if they are anything.
    fn check_parents(&self, path: &[u8]) -> Result<(), Failed> {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == 0).map(|(position, _)| position);
        for end in ends {
            if self.items.get(&path[..end]).is_some_and(|entry| entry.file_type != FileType::Directory) {
                return Err(refused("what is above it is no directory").into());
            }
        }
        Ok(())
    }

    /// A further name of a file that came before: it gets the whole content, and both the same number.
    fn link(&mut self, member: &Member, path: &[u8]) -> Result<Entry, Failed> {
        let target = place_of(&member.target, false)?;
        let linked =
            self.items.get_mut(&target).filter(|entry| entry.file_type != FileType::Directory && target != path);
        let Some(linked) = linked else {
            return Err(refused("a link to what did not come before it")
                .with("target", shown(&member.target).escape_ascii())
                .into());
        };
        linked.hard_link.get_or_insert_with(|| {
            // Another file may have had the path before, and a name that is left.
            let mut hash = blake3::Hasher::new_keyed(&self.hard_link_key);
            let (mut ids, mut id) = (hash.update(b"tar").update(&target).finalize_xof(), [0; 8]);
            loop {
                ids.fill(&mut id);
                if self.hard_link_ids.insert(u64::from_le_bytes(id)) {
                    return u64::from_le_bytes(id);
                }
            }
        });
        let entry = linked.clone();
        if entry.file_type == FileType::File {
            self.count(entry.size);
            Counters::add(&self.monitor.counters().bytes, entry.size);
        }
        Ok(entry)
    }

    fn entry(
        &mut self,
        member: &Member,
        tar: &mut TarReader<Box<dyn io::Read + '_>>,
    ) -> Result<(Entry, FileStatus), Failed> {
        let metadata = metadata(member)?;
        let attributes = match AttributesRef::store(attributes(member), self.writer) {
            Ok(attributes) => attributes,
            Err(error) if self.writer.is_poisoned() => return Err(Failed::Stream(error)),
            Err(error) => {
                self.monitor.event(&Event::Warning {
                    warning: Warning::Attribute,
                    path: &shown(&member.path),
                    error: &error,
                });
                AttributesRef::None
            }
        };
        let mut size = 0;
        let (file_type, content, status) = match member.kind {
            Kind::File => {
                let stored = self.store(member, tar).map_err(Failed::Stream)?;
                size = stored.1;
                self.count(size);
                (FileType::File, stored.0, FileStatus::Added)
            }
            Kind::Symlink => (FileType::Symlink, Content::Target(member.target.clone()), FileStatus::Symlink),
            Kind::Fifo => (FileType::Fifo, Content::None, FileStatus::Fifo),
            Kind::BlockDevice => (FileType::BlockDevice, device(member), FileStatus::BlockDevice),
            Kind::CharacterDevice => (FileType::CharacterDevice, device(member), FileStatus::CharacterDevice),
            // What is in it is known at the end.
            Kind::Directory | Kind::HardLink | Kind::Other(_) => {
                (FileType::Directory, Content::Directory(DirectoryRef::unknown()), FileStatus::Directory)
            }
        };
        let (name, extensions) = (b"name".to_vec(), Extensions::none());
        let entry = Entry { name, file_type, metadata, size, hard_link: None, attributes, content, extensions };
        Ok((entry, status))
    }

    fn store(&mut self, member: &Member, tar: &mut TarReader<Box<dyn io::Read + '_>>) -> Result<(Content, u64)> {
        let monitor = self.monitor;
        let expected = member.data.is_none().then_some(member.size);
        self.content.store(&mut FromTar(tar), expected, self.writer, &mut |bytes| {
            Counters::add(&monitor.counters().bytes, bytes);
            monitor.stop_if_asked("import archive")
        })
    }

    fn count(&mut self, size: u64) {
        self.statistics.files += 1;
        self.statistics.bytes = self.statistics.bytes.saturating_add(size);
        Counters::add(&self.monitor.counters().files, 1);
        self.update_totals();
    }

    fn update_totals(&mut self) {
        let totals = self.writer.totals();
        (self.statistics.new_bytes, self.statistics.stored_bytes) = (totals.new_bytes, totals.stored_bytes);
        Counters::set(&self.monitor.counters().new_bytes, totals.new_bytes);
        Counters::set(&self.monitor.counters().stored_bytes, totals.stored_bytes);
    }

    /// Makes directories of what has come.
    fn finish(mut self) -> Result<Imported> {
        let mut open = vec![Open { entry: None, builder: DirectoryBuilder::new(self.cut_key.clone()) }];
        let mut here: Vec<Vec<u8>> = Vec::new();
        for (path, entry) in std::mem::take(&mut self.items) {
            let mut parts: Vec<Vec<u8>> = path.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
            parts.pop();
            let common = here.iter().zip(&parts).take_while(|(a, b)| a == b).count();
            while here.len() > common {
                here.pop();
                self.close(&mut open)?;
            }
            for name in &parts[common..] {
                open.push(self.opened(implied(name.clone(), self.start)));
                here.push(name.clone());
            }
            if entry.file_type == FileType::Directory {
                here.push(entry.name.clone());
                open.push(self.opened(entry));
            } else if let Some(directory) = open.last_mut() {
                directory.builder.push(entry, StatRow::None, self.writer)?;
            }
        }
        while open.len() > 1 {
            self.close(&mut open)?;
        }
        let root = open.pop().ok_or_else(|| Error::new(ErrorKind::System, "import archive"))?;
        let (root, stat_root) = root.builder.finish(self.writer)?;
        self.writer.settle()?;
        self.update_totals();
        Ok(Imported { root, stat_root, statistics: self.statistics, top: self.top })
    }

    fn opened(&self, entry: Entry) -> Open {
        Open { entry: Some(entry), builder: DirectoryBuilder::new(self.cut_key.clone()) }
    }

    fn close(&self, open: &mut Vec<Open>) -> Result<()> {
        let Some(Open { entry: Some(entry), builder }) = open.pop() else { return Ok(()) };
        let (directory, stat) = builder.finish(self.writer)?;
        match open.last_mut() {
            Some(above) => {
                let entry = Entry { content: Content::Directory(directory), ..entry };
                above.builder.push(entry, StatRow::Directory(stat), self.writer)
            }
            None => Ok(()),
        }
    }
}

/// A directory in the making; the one at the top has no entry.
struct Open {
    entry: Option<Entry>,
    builder: DirectoryBuilder,
}

/// What can be wrong: with a member alone, or with everything from here on.
enum Failed {
    Member(Error),
    Stream(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Member(error)
    }
}

struct FromTar<'a, 'b>(&'a mut TarReader<Box<dyn io::Read + 'b>>);

impl Input for FromTar<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<Read> {
        Ok(match self.0.read(buffer)? {
            Piece::Data(bytes) => Read::Data(bytes),
            Piece::Hole(bytes) => Read::Hole(bytes),
            Piece::End => Read::End,
        })
    }
}

/// The place of a path in an archive: its parts, separated by NUL. A leading `/` and `.` are left out.
fn place_of(path: &[u8], is_directory: bool) -> Result<Vec<u8>, Failed> {
    let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b".")).collect();
    if parts.contains(&&b".."[..]) {
        return Err(refused("the path leads out of the archive").into());
    }
    if parts.iter().any(|part| part.contains(&0)) {
        return Err(refused("a name with a NUL").into());
    }
    check_depth("import member", parts.len().saturating_sub(usize::from(!is_directory)))?;
    Ok(parts.join(&0))
}

/// A path for people.
fn shown(path: &[u8]) -> Vec<u8> {
    let path = path.strip_prefix(b"./").unwrap_or(path);
    path.strip_suffix(b"/").unwrap_or(path).to_vec()
}

fn refused(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidInput, "import member").with("reason", what)
}

fn timestamp((seconds, nanoseconds): Time) -> Timestamp {
    Timestamp::new(seconds, nanoseconds)
}

fn metadata(member: &Member) -> Result<Metadata, Failed> {
    let number = |number: u64| u32::try_from(number).map_err(|_| refused("the number of its owner is too large"));
    let name = |name: &[u8]| (!name.is_empty()).then(|| name.to_vec().into());
    let names: Vec<&[u8]> = member.flags.split(|byte| *byte == b',').collect();
    let flags = FLAG_NAMES.iter().filter(|(_, name)| names.contains(&name.as_bytes()));
    Ok(Metadata {
        mode: member.mode,
        uid: number(member.uid)?,
        gid: number(member.gid)?,
        user: name(&member.user),
        group: name(&member.group),
        modified: timestamp(member.modified),
        born: member.born.map(timestamp),
        accessed: member.accessed.map(timestamp),
        flags: flags.fold(0, |flags, (bit, _)| flags | bit),
    })
}

fn attributes(member: &Member) -> Attributes {
    let users = Users::system();
    let list = |text: &Option<Vec<u8>>| {
        acl::from_text(text.as_ref()?, |name| users.user_id(name), |name| users.group_id(name))
    };
    let pairs = member.attributes.iter().map(|(name, value)| (name.clone().into(), value.clone().into()));
    let mut attributes = Attributes(pairs.collect());
    // The mode says it already, and a file system would not keep it.
    if let Some(list) = list(&member.access_acl).filter(|list| list.len() > TRIVIAL_ACL_BYTES) {
        attributes.0.insert(ACCESS_ACL.to_vec().into(), list.into());
    }
    if let Some(list) = list(&member.default_acl) {
        attributes.0.insert(DEFAULT_ACL.to_vec().into(), list.into());
    }
    attributes
}

fn device(member: &Member) -> Content {
    Content::Device { major: member.device.0, minor: member.device.1 }
}

/// A directory that no member describes.
fn implied(name: Vec<u8>, time: Timestamp) -> Entry {
    Entry {
        name,
        file_type: FileType::Directory,
        metadata: Metadata::of_directory(time),
        size: 0,
        hard_link: None,
        attributes: AttributesRef::None,
        content: Content::Directory(DirectoryRef::unknown()),
        extensions: Extensions::none(),
    }
}

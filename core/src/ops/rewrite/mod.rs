//! Makes a tree out of another one: without what shall be left out, with content cut anew, or in another repository.
//!
//! Entries are taken in order and built into directories again, so equal directories become equal nodes. What can not
//! be read ends it: a copy that silently lacks something is none.

mod carry;
mod run;
mod tags;

use crate::archive::attributes::AttributesRef;
use crate::archive::builder::DirectoryBuilder;
use crate::archive::content::{Content, DirectoryRef};
use crate::archive::cut::CutKey;
use crate::archive::entry::Entry;
use crate::archive::metadata::FileType;
use crate::archive::stat::{StatRef, StatRow};
use crate::archive::tree::DirectoryReader;
use crate::archive::walk::{append, check_depth};
use crate::error::{Error, ErrorKind, Result};
use crate::monitor::{Counters, Event, FileStatus, Monitor};
use crate::pattern::{Decision, Matcher};
use crate::repository::{ChunkSink, Reader};

pub(super) use carry::{Carry, Copied, Cut, chunker};
pub(super) use run::{ATTEMPTS_MAX, Run};
pub use tags::TagRules;

/// What is needed to rewrite a tree.
pub(super) struct Rewriter<'a> {
    /// Reads the old tree.
    pub reader: &'a Reader,
    /// Whether that is in another repository than the new one.
    pub foreign: bool,
    /// Takes the nodes of the new one.
    pub sink: &'a dyn ChunkSink,
    /// What becomes of content.
    pub carry: Carry<'a>,
    /// Where nodes of the new tree end.
    pub cut_key: CutKey,
    /// What is kept.
    pub matcher: &'a Matcher,
    /// What else is left out.
    pub tags: &'a TagRules,
    pub monitor: &'a dyn Monitor,
}

/// A directory in the making.
struct Frame<'a> {
    entries: DirectoryReader<'a>,
    builder: DirectoryBuilder,
    /// The directory itself; the top has none.
    entry: Option<Entry>,
    /// It counts only if something is in it.
    implied: bool,
    /// Nothing is kept but these.
    only: Option<Vec<Vec<u8>>>,
    /// Length of its parent's path.
    parent: usize,
}

impl<'a> Rewriter<'a> {
    /// The roots of the new tree and of its stat tree.
    ///
    /// # Errors
    /// `Interrupted`, whatever can not be read, with the fact `path`, and whatever can not be stored.
    pub fn run(&mut self, root: &DirectoryRef, stat: Option<&StatRef>) -> Result<(DirectoryRef, StatRef)> {
        let mut path = Vec::new();
        let mut frames = vec![self.frame(None, root, stat, false, 0)];
        loop {
            self.monitor.stop_if_asked("rewrite archive")?;
            let Some(frame) = frames.last_mut() else {
                return Err(Error::new(ErrorKind::System, "rewrite archive").with("reason", "no directory is open"));
            };
            match frame.entries.next() {
                Some(Ok((entry, row))) => {
                    let parent = path.len();
                    append(&mut path, &entry.name);
                    match self.entry(entry, row.unwrap_or_default(), &path, parent, &mut frames) {
                        Ok(true) => {}
                        Ok(false) => path.truncate(parent),
                        Err(error) => return Err(error.with("path", path.escape_ascii())),
                    }
                }
                Some(Err(error)) => return Err(error.with("path", path.escape_ascii())),
                None => {
                    let Some(done) = frames.pop() else { continue };
                    path.truncate(done.parent);
                    let empty = done.builder.entries() == 0;
                    let (directory, stat) = done.builder.finish(self.sink)?;
                    let Some(entry) = done.entry else { return Ok((directory, stat)) };
                    if !(done.implied && empty) {
                        let entry = Entry { content: Content::Directory(directory), ..entry };
                        push(&mut frames, entry, StatRow::Directory(stat), self.sink)?;
                    }
                }
            }
        }
    }

    fn frame(
        &self,
        entry: Option<Entry>,
        directory: &DirectoryRef,
        stat: Option<&StatRef>,
        implied: bool,
        parent: usize,
    ) -> Frame<'a> {
        let entries = DirectoryReader::open(self.reader, directory, stat);
        Frame { entries, builder: DirectoryBuilder::new(self.cut_key.clone()), entry, implied, only: None, parent }
    }

    /// Takes an entry over, or leaves it out. Whether a directory was entered.
    fn entry(
        &mut self,
        entry: Entry,
        row: StatRow,
        path: &[u8],
        parent: usize,
        frames: &mut Vec<Frame<'a>>,
    ) -> Result<bool> {
        let decision = self.matcher.decide(path);
        let tagged_out =
            frames.last().and_then(|frame| frame.only.as_ref()).is_some_and(|only| !only.contains(&entry.name));
        if tagged_out || decision == Decision::ExcludeNoRecurse {
            self.tell(FileStatus::Excluded, path);
            return Ok(false);
        }
        if let Content::Directory(directory) = entry.content {
            return self.directory(entry, &directory, &row, decision, (path, parent), frames);
        }
        if decision == Decision::Exclude {
            self.tell(FileStatus::Excluded, path);
            return Ok(false);
        }
        let attributes = self.attributes(&entry)?;
        let (content, status) = match entry.file_type {
            FileType::File => self.carry.content(self.reader, &entry, self.monitor)?,
            other => (entry.content.clone(), status_of(other)),
        };
        if entry.file_type == FileType::File {
            Counters::add(&self.monitor.counters().files, 1);
            Counters::add(&self.monitor.counters().bytes, entry.size);
        }
        push(frames, Entry { content, attributes, ..entry }, row, self.sink)?;
        self.tell(status, path);
        Ok(false)
    }

    fn directory(
        &mut self,
        entry: Entry,
        directory: &DirectoryRef,
        row: &StatRow,
        decision: Decision,
        (path, parent): (&[u8], usize),
        frames: &mut Vec<Frame<'a>>,
    ) -> Result<bool> {
        let implied = decision == Decision::Exclude;
        let only = self.tags.found_in(self.reader, directory)?;
        let descend = self.matcher.may_descend(path);
        if (implied && !descend) || (only.is_some() && !self.tags.keep_exclude_tags) {
            self.tell(FileStatus::Excluded, path);
            return Ok(false);
        }
        check_depth("rewrite archive", frames.len())?;
        let stat = if let StatRow::Directory(stat) = row { Some(stat) } else { None };
        let attributes = self.attributes(&entry)?;
        let mut frame = self.frame(Some(Entry { attributes, ..entry }), directory, stat, implied, parent);
        // of a directory that is kept although nothing below it is
        frame.only = if descend { only } else { Some(Vec::new()) };
        frames.push(frame);
        self.tell(FileStatus::Directory, path);
        Ok(true)
    }

    /// The attributes of an entry, where the new tree finds them.
    fn attributes(&self, entry: &Entry) -> Result<AttributesRef> {
        match &entry.attributes {
            AttributesRef::Chunk(_) if self.foreign => {
                AttributesRef::store(entry.attributes.load(self.reader)?, self.sink)
            }
            attributes => Ok(attributes.clone()),
        }
    }

    fn tell(&self, status: FileStatus, path: &[u8]) {
        self.monitor.event(&Event::File { status, path });
    }
}

fn push(frames: &mut [Frame<'_>], entry: Entry, row: StatRow, sink: &dyn ChunkSink) -> Result<()> {
    match frames.last_mut() {
        Some(frame) => frame.builder.push(entry, row, sink),
        None => Err(Error::new(ErrorKind::System, "rewrite archive").with("reason", "an entry without a directory")),
    }
}

fn status_of(file_type: FileType) -> FileStatus {
    match file_type {
        FileType::File => FileStatus::Unchanged,
        FileType::Directory => FileStatus::Directory,
        FileType::Symlink => FileStatus::Symlink,
        FileType::BlockDevice => FileStatus::BlockDevice,
        FileType::CharacterDevice => FileStatus::CharacterDevice,
        FileType::Fifo => FileStatus::Fifo,
    }
}

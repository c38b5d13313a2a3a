//! The workers of a restore, and what one of them does with an item.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::ExtractOptions;
use super::place::Place;
use super::stream::each_item;
use crate::archive::attributes::AttributesRef;
use crate::archive::content::{Content, ContentItem};
use crate::archive::entry::Entry;
use crate::archive::metadata::FileType;
use crate::error::{Error, ErrorKind, Result, is_finding};
use crate::fs::target_file::TargetFile;
use crate::monitor::{Counters, Event, FileStatus, Monitor, Warning};
use crate::ops::archived_input::fetch_piece;
use crate::ops::unread::pass_over;
use crate::repository::Reader;

/// One thing to do.
pub(super) enum Work {
    /// Make these entries, none of them a directory.
    Entries(Vec<(Entry, Vec<u8>, Arc<Place>)>),
    /// Write a part of a huge file.
    Part(Arc<OpenFile>, Vec<(u64, ContentItem)>),
}

/// A huge file that several workers write to. It is completed with its last part.
pub(super) struct OpenFile {
    pub target: TargetFile,
    pub entry: Entry,
    pub path: Vec<u8>,
    pub place: Arc<Place>,
    /// Whether a part could not be written; then it is left unfinished.
    pub failed: AtomicBool,
}

/// Where work goes.
pub(super) enum Queue<'a> {
    Inline(Worker<'a>),
    Threads(Sender<Work>, Worker<'a>),
}

impl<'a> Queue<'a> {
    /// Fails when the workers have given up.
    pub fn submit(&self, work: Work) -> Result<()> {
        let gone = || Error::new(ErrorKind::System, "extract archive").with("reason", "workers are gone");
        match self {
            Self::Inline(worker) => {
                worker.run(work);
                if worker.has_given_up() { Err(gone()) } else { Ok(()) }
            }
            Self::Threads(sender, _) => sender.send(work).map_err(|_| gone()),
        }
    }

    /// A worker for what can not wait.
    pub fn worker(&self) -> Worker<'a> {
        match self {
            Self::Inline(worker) | Self::Threads(_, worker) => *worker,
        }
    }
}

/// Runs `body` with a queue served by workers, and waits until all is done, or until a worker gives up.
pub(super) fn with_workers(
    reader: &Reader,
    options: &ExtractOptions<'_>,
    monitor: &dyn Monitor,
    body: impl FnOnce(&Queue<'_>) -> Result<()>,
) -> Result<()> {
    let why = OnceLock::new();
    let worker = Worker { reader, options, monitor, why: &why };
    let done = if options.workers == 0 { body(&Queue::Inline(worker)) } else { with_threads(worker, body) };
    why.into_inner().map_or(done, Err)
}

fn with_threads(worker: Worker<'_>, body: impl FnOnce(&Queue<'_>) -> Result<()>) -> Result<()> {
    let (sender, receiver): (_, Receiver<Work>) = bounded(2 * worker.options.workers);
    std::thread::scope(|scope| {
        for _ in 0..worker.options.workers {
            let receiver = receiver.clone();
            scope.spawn(move || {
                receiver.iter().take_while(|_| !worker.has_given_up()).for_each(|work| worker.run(work));
            });
        }
        drop(receiver);
        body(&Queue::Threads(sender, worker))
    })
}

/// Makes files.
#[derive(Clone, Copy)]
pub(super) struct Worker<'a> {
    pub reader: &'a Reader,
    pub options: &'a ExtractOptions<'a>,
    pub monitor: &'a dyn Monitor,
    /// Why all workers have given up: the first error that says nothing about a file.
    why: &'a OnceLock<Error>,
}

impl Worker<'_> {
    fn run(&self, work: Work) {
        match work {
            Work::Entries(entries) => {
                for (entry, path, place) in entries {
                    self.entry(&entry, &path, &place);
                    Place::release(place, self);
                }
            }
            Work::Part(file, items) => {
                let written = items.iter().try_for_each(|(offset, item)| {
                    // Of a file that can not be made whole nothing more is read.
                    if file.failed.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                    self.monitor.stop_if_asked("write file")?;
                    self.write_item(&file.target, *offset, item)
                });
                if let Err(error) = written {
                    self.fail(&file, error);
                }
                if let Some(file) = Arc::into_inner(file) {
                    self.complete(file);
                }
            }
        }
    }

    /// Tells what is wrong with a huge file, once.
    pub fn fail(&self, file: &OpenFile, error: Error) {
        if !file.failed.swap(true, Ordering::Relaxed) || !is_finding(&error) {
            self.pass_over(Warning::Item, &file.path, error);
        }
    }

    /// Makes one entry that is not a directory; false if it failed.
    pub fn entry(&self, entry: &Entry, path: &[u8], place: &Place) -> bool {
        if self.has_given_up() {
            return false;
        }
        match self.try_entry(entry, path, place) {
            Ok(status) => {
                self.done(entry, path, status);
                true
            }
            Err(error) => {
                self.pass_over(Warning::Item, path, error);
                self.monitor.event(&Event::File { status: FileStatus::Error, path });
                false
            }
        }
    }

    fn try_entry(&self, entry: &Entry, path: &[u8], place: &Place) -> Result<FileStatus> {
        let (directory, name) = (&place.directory, entry.name.as_slice());
        let (kind, metadata, restore) = (entry.file_type, &entry.metadata, &self.options.restore);
        if self.options.in_place && directory.holds(entry) {
            let attributes = self.attributes(&entry.attributes, path);
            let failed = directory.renew_metadata(name, kind, metadata, &attributes, restore);
            failed.iter().for_each(|error| self.warn(Warning::Attribute, path, error));
            Counters::add(&self.monitor.counters().bytes, if kind == FileType::File { entry.size } else { 0 });
            return Ok(FileStatus::Unchanged);
        }
        match (&entry.content, kind) {
            (_, FileType::File) => {
                let file = directory.create_file(name)?;
                self.write_content(&file, entry)?;
                let attributes = self.attributes(&entry.attributes, path);
                let failed = file.finish(metadata, &attributes, restore);
                failed.iter().for_each(|error| self.warn(Warning::Attribute, path, error));
                return Ok(FileStatus::Extracted);
            }
            (Content::Target(target), FileType::Symlink) => directory.symlink(name, target)?,
            (Content::Device { major, minor }, device) => directory.device(name, device, *major, *minor)?,
            (_, FileType::Fifo) => directory.fifo(name)?,
            _ => return Err(Error::damaged("extract file", "content of another type of file")),
        }
        let attributes = self.attributes(&entry.attributes, path);
        let failed = directory.set_metadata(name, kind, metadata, &attributes, restore);
        failed.iter().for_each(|error| self.warn(Warning::Attribute, path, error));
        Ok(FileStatus::Extracted)
    }

    fn write_content(&self, file: &TargetFile, entry: &Entry) -> Result<()> {
        if let Content::Inline(bytes) = &entry.content {
            Counters::add(&self.monitor.counters().bytes, bytes.len() as u64);
            return file.write_at(0, bytes);
        }
        let mut ends_in_hole = false;
        each_item(self.reader, entry, self.monitor, &mut |offset, item| {
            ends_in_hole = matches!(item, ContentItem::Hole { .. }) || self.options.sparse;
            self.write_item(file, offset, item)
        })?;
        if ends_in_hole { file.set_length(entry.size) } else { Ok(()) }
    }

    fn write_item(&self, file: &TargetFile, offset: u64, item: &ContentItem) -> Result<()> {
        let written = match item {
            ContentItem::Hole { bytes } => *bytes,
            ContentItem::Chunk { id, bytes } => {
                let plain = fetch_piece(self.reader, id, *bytes)?;
                if self.options.sparse {
                    file.write_sparse_at(offset, &plain)?;
                } else {
                    file.write_at(offset, &plain)?;
                }
                u64::from(*bytes)
            }
        };
        Counters::add(&self.monitor.counters().bytes, written);
        Ok(())
    }

    fn complete(&self, file: OpenFile) {
        let OpenFile { target, entry, path, place, failed } = file;
        let mut failed = failed.into_inner();
        if !failed && let Err(error) = target.set_length(entry.size) {
            failed = true;
            self.warn(Warning::Item, &path, &error);
        }
        if failed {
            self.monitor.event(&Event::File { status: FileStatus::Error, path: &path });
        } else {
            let attributes = self.attributes(&entry.attributes, &path);
            let failed = target.finish(&entry.metadata, &attributes, &self.options.restore);
            failed.iter().for_each(|error| self.warn(Warning::Attribute, &path, error));
            self.done(&entry, &path, FileStatus::Extracted);
        }
        Place::release(place, self);
    }

    /// The attributes themselves; none if they can not be read.
    pub fn attributes(&self, reference: &AttributesRef, path: &[u8]) -> crate::archive::metadata::Attributes {
        reference.load(self.reader).unwrap_or_else(|error| {
            self.pass_over(Warning::Attribute, path, error);
            Default::default()
        })
    }

    /// Counts an entry, and `bytes` of its content that were not counted while they were written.
    pub fn count(&self, entry: &Entry, bytes: u64) {
        if entry.file_type == FileType::File {
            Counters::add(&self.monitor.counters().files, 1);
            Counters::add(&self.monitor.counters().bytes, bytes);
        }
    }

    fn done(&self, entry: &Entry, path: &[u8], status: FileStatus) {
        self.count(entry, 0);
        self.monitor.event(&Event::File { status, path });
    }

    /// Reports what can not be read, or gives up.
    pub fn pass_over(&self, warning: Warning, path: &[u8], error: Error) {
        if let Err(error) = pass_over(self.monitor, warning, path, error) {
            // Others may have given up before.
            let _ = self.why.set(error);
        }
    }

    fn has_given_up(&self) -> bool {
        self.why.get().is_some()
    }

    pub fn warn(&self, warning: Warning, path: &[u8], error: &Error) {
        self.monitor.event(&Event::Warning { warning, path, error });
    }
}

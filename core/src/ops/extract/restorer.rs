//! The control of a restore: which directory is open, what goes to a worker.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::ExtractOptions;
use super::place::{Finish, Place};
use super::stream::each_item;
use super::work::{OpenFile, Queue, Work, Worker};
use crate::archive::content::Content;
use crate::archive::entry::Entry;
use crate::archive::metadata::FileType;
use crate::archive::walk::WalkItem;
use crate::error::Result;
use crate::fs::descriptors_max;
use crate::fs::target::TargetDirectory;
use crate::limits::MIB;
use crate::monitor::{Event, FileStatus, Monitor, Warning};

/// Entries of one batch, and bytes after which it is handed over.
const BATCH_ENTRIES: usize = 256;
const BATCH_BYTES: u64 = 4 * MIB as u64;
/// Directories that waiting batches keep open at most, all together; and no more than one in this many descriptors that
/// the process may have.
const OPEN_DIRECTORIES: usize = 512;
const DESCRIPTORS_EACH: usize = 2;
/// Bytes from which on a file is written in parts.
const HUGE_BYTES: u64 = 16 * MIB as u64;
/// Bytes of a part.
const PART_BYTES: u64 = 8 * MIB as u64;

/// Walks along with the archive.
pub(super) struct Restorer<'a> {
    options: &'a ExtractOptions<'a>,
    monitor: &'a dyn Monitor,
    queue: &'a Queue<'a>,
    worker: Worker<'a>,
    root: Arc<Place>,
    levels: Vec<Level>,
    batch: Vec<(Entry, Vec<u8>, Arc<Place>)>,
    batch_bytes: u64,
    batch_places: usize,
    /// Directories of one batch.
    places_max: usize,
    /// Where the first name of a file with several names was put.
    links: HashMap<u64, Vec<Vec<u8>>>,
}

/// A directory of the archive that was entered; made in the target when something needs it.
struct Level {
    entry: Entry,
    path: Vec<u8>,
    place: Option<Arc<Place>>,
    /// Dropped from the path, or could not be made.
    absent: Absent,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Absent {
    No,
    Stripped,
    Failed,
}

impl<'a> Restorer<'a> {
    pub fn new(
        root: TargetDirectory,
        options: &'a ExtractOptions<'a>,
        monitor: &'a dyn Monitor,
        queue: &'a Queue<'a>,
    ) -> Self {
        let root = Arc::new(Place { directory: root, finish: None, parent: None });
        let worker = queue.worker();
        let (levels, batch, links) = (Vec::new(), Vec::new(), HashMap::new());
        let open_max = OPEN_DIRECTORIES.min(descriptors_max() / DESCRIPTORS_EACH);
        // As many batches as wait and are worked on share the descriptors of the process.
        let places_max = (open_max / (3 * options.workers + 1)).max(1);
        Self {
            options,
            monitor,
            queue,
            worker,
            root,
            levels,
            batch,
            batch_bytes: 0,
            batch_places: 0,
            places_max,
            links,
        }
    }

    /// Takes the next entry of the archive. Directories that are not included are entered all the
    /// same; they are made only if something below them is.
    pub fn entry(&mut self, item: WalkItem, included: bool) -> Result<()> {
        let stripped = item.depth <= self.options.strip_components;
        if let Content::Directory(_) = item.entry.content {
            let absent = if stripped { Absent::Stripped } else { Absent::No };
            self.leave(item.depth);
            self.levels.push(Level { entry: item.entry, path: item.path, place: None, absent });
            if included && !stripped {
                let path = self.levels.last().map(|level| level.path.clone()).unwrap_or_default();
                if self.place(self.levels.len()).is_some() {
                    self.monitor.event(&Event::File { status: FileStatus::Extracted, path: &path });
                }
            }
            return Ok(());
        }
        if !included || stripped {
            return Ok(());
        }
        let Some(place) = self.place(item.depth - 1) else { return Ok(()) };
        if let Some(id) = item.entry.hard_link {
            return self.linked(id, item, place);
        }
        let is_left = || self.options.in_place && place.directory.holds(&item.entry);
        if item.entry.file_type == FileType::File && item.entry.size >= HUGE_BYTES && !is_left() {
            return self.huge(item, place);
        }
        self.batch_bytes = self.batch_bytes.saturating_add(item.entry.size);
        if self.batch.last().is_none_or(|(_, _, last)| !Arc::ptr_eq(last, &place)) {
            self.batch_places += 1;
        }
        self.batch.push((item.entry, item.path, place));
        let crowded = self.batch_places >= self.places_max;
        if crowded || self.batch.len() >= BATCH_ENTRIES || self.batch_bytes >= BATCH_BYTES {
            self.hand_over()?;
        }
        Ok(())
    }

    /// Leaves the directory at `depth`, and any below it that were reported but not entered by the walk.
    pub fn leave(&mut self, depth: usize) {
        while self.levels.len() >= depth.max(1) {
            if let Some(place) = self.levels.pop().and_then(|level| level.place) {
                self.release(place);
            }
        }
    }

    /// Hands over what is left.
    pub fn finish(mut self) -> Result<()> {
        self.leave(1);
        self.hand_over()
    }

    fn hand_over(&mut self) -> Result<()> {
        (self.batch_bytes, self.batch_places) = (0, 0);
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() { Ok(()) } else { self.queue.submit(Work::Entries(batch)) }
    }

    /// The target directory of the first `depth` levels, made if it is missing.
    fn place(&mut self, depth: usize) -> Option<Arc<Place>> {
        let mut place = Arc::clone(&self.root);
        for level in self.levels.iter_mut().take(depth) {
            if level.absent == Absent::Stripped {
                continue;
            }
            if level.absent == Absent::Failed {
                return None;
            }
            if level.place.is_none() {
                match place.directory.create_directory(&level.entry.name) {
                    Ok(directory) => {
                        let (metadata, attributes) = (level.entry.metadata.clone(), level.entry.attributes.clone());
                        let finish = Some(Finish { path: level.path.clone(), metadata, attributes });
                        level.place = Some(Arc::new(Place { directory, finish, parent: Some(Arc::clone(&place)) }));
                    }
                    Err(error) => {
                        level.absent = Absent::Failed;
                        self.worker.warn(Warning::Item, &level.path, &error);
                        return None;
                    }
                }
            }
            place = Arc::clone(level.place.as_ref()?);
        }
        Some(place)
    }

    /// The first name is made at once, so that the others can be linked to it.
    fn linked(&mut self, id: u64, item: WalkItem, place: Arc<Place>) -> Result<()> {
        if let Some(first) = self.links.get(&id) {
            let linked = match self.link(first, &item, &place) {
                Ok(()) => true,
                Err(error) => {
                    self.worker.warn(Warning::Attribute, &item.path, &error);
                    false
                }
            };
            if linked {
                self.worker.count(&item.entry, item.entry.size);
                self.monitor.event(&Event::File { status: FileStatus::Extracted, path: &item.path });
            } else {
                // Every name carries the content, so it is restored even where it can not be a link.
                self.worker.entry(&item.entry, &item.path, &place);
            }
        } else if self.worker.entry(&item.entry, &item.path, &place) {
            let names = self.levels.iter().filter(|level| level.absent == Absent::No).map(|level| &level.entry.name);
            self.links.insert(id, names.chain([&item.entry.name]).cloned().collect());
        }
        self.release(place);
        Ok(())
    }

    fn link(&self, first: &[Vec<u8>], item: &WalkItem, place: &Place) -> Result<()> {
        let mut directory = self.root.directory.clone();
        let Some((name, above)) = first.split_last() else { return Ok(()) };
        for part in above {
            directory = directory.open_directory(part)?;
        }
        place.directory.hard_link(&item.entry.name, &directory, name, item.entry.file_type)
    }

    /// A huge file is made here and written in parts by whoever is free.
    fn huge(&mut self, item: WalkItem, place: Arc<Place>) -> Result<()> {
        let target = match place.directory.create_file(&item.entry.name) {
            Ok(target) => target,
            Err(error) => {
                self.worker.warn(Warning::Item, &item.path, &error);
                self.release(place);
                return Ok(());
            }
        };
        let failed = AtomicBool::new(false);
        let file = Arc::new(OpenFile { target, entry: item.entry.clone(), path: item.path, place, failed });
        let (mut part, mut bytes) = (Vec::new(), 0);
        let (queue, share) = (self.queue, Arc::clone(&file));
        let split = each_item(self.worker.reader, &item.entry, self.monitor, &mut |offset, content| {
            part.push((offset, *content));
            bytes += content.bytes();
            if bytes >= PART_BYTES {
                bytes = 0;
                queue.submit(Work::Part(Arc::clone(&share), std::mem::take(&mut part)))?;
            }
            Ok(())
        });
        drop(share);
        if let Err(error) = split {
            self.worker.fail(&file, error);
        }
        // The last part completes the file, also when it is empty.
        self.queue.submit(Work::Part(file, part))
    }

    fn release(&self, place: Arc<Place>) {
        Place::release(place, &self.worker);
    }
}

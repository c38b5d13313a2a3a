//! What a restore in place leaves, and what it removes, told by a walk over the archive and the target side by side.
//!
//! Removed is what lies in a directory that the archive has, would be restored if it were in the archive, and is not in
//! it. Where a directory of the archive can not be read whole, nothing in it is removed, nor in those above it. Other file
//! systems that are mounted in the target are not entered for that, unless the archive has something of what is in them.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use super::{may_descend, read_content, stream};
use crate::archive::content::Content;
use crate::archive::record::ArchiveRecord;
use crate::archive::walk::{Walk, WalkEvent, WalkItem};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::stat::Stat;
use crate::fs::target::{Target, TargetDirectory};
use crate::limits::DIRECTORY_DEPTH_MAX;
use crate::monitor::{Counters, Event, FileStatus, Monitor, Warning};
use crate::pattern::{Decision, Matcher};
use crate::repository::Reader;

/// What is removed from a target.
#[derive(Debug)]
pub struct Excess<'a> {
    /// Paths as archived: what it does not take stays.
    pub matcher: &'a Matcher,
    /// Files and directories that stay with all that is in them, by device and inode.
    pub spared: &'a HashSet<(u64, u64)>,
    /// Only tell.
    pub dry_run: bool,
}

/// Removes from `target`, with the directories below it, what the archive does not have; to be called before
/// [`extract`](super::extract), which sets the times of directories. What lies directly in `target` is removed only if
/// the archive is that of a whole directory, made of `.` or `/`.
///
/// # Errors
/// What can not be removed is told and stays. `Interrupted`, or what keeps `target` from being opened.
pub fn remove_excess(
    reader: &Reader,
    record: &ArchiveRecord,
    target: &Path,
    excess: &Excess<'_>,
    monitor: &dyn Monitor,
) -> Result<()> {
    Survey::new(target, excess.matcher, Some(excess), monitor)?.walk(reader, record, &mut |_, _| Ok(()))
}

/// Tells what a restore of the archive to `target` in place would leave and what it would write, and reads every chunk of
/// the latter to be sure that it can; with `excess` also what would be removed. Changes nothing.
///
/// # Errors
/// `Interrupted`, or what keeps `target` from being opened.
pub fn preview(
    reader: &Reader,
    record: &ArchiveRecord,
    target: &Path,
    matcher: &Matcher,
    spared: Option<&HashSet<(u64, u64)>>,
    monitor: &dyn Monitor,
) -> Result<()> {
    Counters::set(&monitor.counters().files_expected, record.root.files);
    Counters::set(&monitor.counters().bytes_expected, record.root.bytes);
    let excess = spared.map(|spared| Excess { matcher, spared, dry_run: true });
    Survey::new(target, matcher, excess.as_ref(), monitor)?.walk(reader, record, &mut |item, above| {
        if above.is_some_and(|above| above.holds(&item.entry)) {
            stream::count(item, FileStatus::Unchanged, monitor);
            return Ok(());
        }
        match read_content(reader, &item.entry, &mut |_| Ok(())) {
            Ok(()) => stream::count(item, FileStatus::Included, monitor),
            Err(error) => monitor.event(&Event::Warning { warning: Warning::Item, path: &item.path, error: &error }),
        }
        Ok(())
    })
}

/// What is done with an entry that would be restored, and the directory of the target that it goes to, if there is one.
type Visit<'a> = dyn FnMut(&WalkItem, Option<&TargetDirectory>) -> Result<()> + 'a;

struct Survey<'a> {
    matcher: &'a Matcher,
    excess: Option<&'a Excess<'a>>,
    monitor: &'a dyn Monitor,
    /// The target, and directories in it that lead to where the walk is.
    levels: Vec<Level>,
}

struct Level {
    path: Vec<u8>,
    /// None if the target has no such directory.
    directory: Option<TargetDirectory>,
    device: u64,
    /// What the archive has in it.
    names: BTreeSet<Vec<u8>>,
    /// Whether these are all.
    is_whole: bool,
}

impl Level {
    fn new(path: Vec<u8>, directory: Option<TargetDirectory>) -> Self {
        let device = directory.as_ref().and_then(|directory| directory.stat_self().ok()).map(|stat| stat.device);
        let is_whole = device.is_some();
        Self { path, directory, device: device.unwrap_or(0), names: BTreeSet::new(), is_whole }
    }
}

impl<'a> Survey<'a> {
    fn new(
        target: &Path,
        matcher: &'a Matcher,
        excess: Option<&'a Excess<'a>>,
        monitor: &'a dyn Monitor,
    ) -> Result<Self> {
        // What is not there has nothing to leave or to remove.
        let directory = target.exists().then(|| Target::open(target)).transpose()?.map(|target| target.root());
        Ok(Self { matcher, excess, monitor, levels: vec![Level::new(Vec::new(), directory)] })
    }

    fn walk(mut self, reader: &Reader, record: &ArchiveRecord, visit: &mut Visit<'_>) -> Result<()> {
        self.levels[0].is_whole &= record.top.is_some();
        for event in Walk::new(reader, &record.root, None, |item: &WalkItem| may_descend(self.matcher, item)) {
            if self.monitor.interrupted() {
                return Err(Error::new(ErrorKind::Interrupted, "compare target"));
            }
            match event {
                Ok(WalkEvent::Entry(item)) => {
                    self.leave(item.depth);
                    self.entry(&item, visit)?;
                }
                Ok(WalkEvent::Leave(item)) => self.leave(item.depth),
                Err(failed) => {
                    self.levels.iter_mut().for_each(|level| level.is_whole = false);
                    self.warn(&failed.path, &failed.error);
                }
            }
        }
        self.leave(0);
        Ok(())
    }

    fn entry(&mut self, item: &WalkItem, visit: &mut Visit<'_>) -> Result<()> {
        let (matcher, is_included) = (self.matcher, self.matcher.decide(&item.path) == Decision::Include);
        let Some(level) = self.levels.last_mut() else { return Ok(()) };
        let name = &item.entry.name;
        if self.excess.is_some() {
            level.names.insert(name.clone());
        }
        let found = level.directory.as_ref().and_then(|directory| directory.stat(name).ok());
        let is_directory = found.is_some_and(|found| found.is_directory());
        if is_included {
            visit(item, level.directory.as_ref())?;
        }
        let directory = level.directory.clone().filter(|_| is_directory);
        if let Content::Directory(_) = item.entry.content {
            if may_descend(matcher, item) {
                let directory = directory.and_then(|directory| directory.open_directory(name).ok());
                self.levels.push(Level::new(item.path.clone(), directory));
            }
        } else if let (Some(excess), Some(directory), true) = (self.excess, directory, is_included) {
            // A directory in the place of a file.
            let device = level.device;
            self.remove(excess, &directory, device, name, &item.path);
        }
        Ok(())
    }

    /// Leaves directories until `depth` of them are left.
    fn leave(&mut self, depth: usize) {
        while self.levels.len() > depth {
            let Some(level) = self.levels.pop() else { return };
            let above = self.levels.last().map_or(level.device, |above| above.device);
            let is_foreign = level.names.is_empty() && level.device != above;
            if let (Some(excess), Some(directory), true, false) =
                (self.excess, &level.directory, level.is_whole, is_foreign)
            {
                self.clean(excess, directory, &level);
            }
        }
    }

    fn clean(&self, excess: &Excess<'_>, directory: &TargetDirectory, level: &Level) {
        match directory.names() {
            Ok(mut names) => {
                names.sort_unstable();
                for name in names.into_iter().filter(|name| !level.names.contains(name)) {
                    self.remove(excess, directory, level.device, &name, &join(&level.path, &name));
                }
            }
            Err(error) => self.warn(&level.path, &error),
        }
    }

    /// Removes an entry as far as the selection takes it. Whether it is gone.
    fn remove(&self, excess: &Excess<'_>, directory: &TargetDirectory, device: u64, name: &[u8], path: &[u8]) -> bool {
        match self.try_remove(excess, directory, device, name, path) {
            Ok(true) => {
                self.monitor.event(&Event::File { status: FileStatus::Removed, path });
                true
            }
            Ok(false) => false,
            Err(error) => {
                self.warn(path, &error);
                false
            }
        }
    }

    fn try_remove(
        &self,
        excess: &Excess<'_>,
        directory: &TargetDirectory,
        device: u64,
        name: &[u8],
        path: &[u8],
    ) -> Result<bool> {
        let stat = directory.stat(name)?;
        let decision = excess.matcher.decide(path);
        if decision == Decision::ExcludeNoRecurse || excess.spared.contains(&(stat.device, stat.inode)) {
            return Ok(false);
        }
        if stat.is_directory() && !self.empty(excess, directory, device, name, path, &stat)? {
            return Ok(false);
        }
        if decision != Decision::Include || self.monitor.interrupted() {
            return Ok(false);
        }
        if excess.dry_run { Ok(true) } else { directory.remove(name).map(|()| true) }
    }

    /// Removes what is in a directory. Whether it is empty then.
    fn empty(
        &self,
        excess: &Excess<'_>,
        directory: &TargetDirectory,
        device: u64,
        name: &[u8],
        path: &[u8],
        stat: &Stat,
    ) -> Result<bool> {
        let is_too_deep = path.iter().filter(|byte| **byte == b'/').count() >= DIRECTORY_DEPTH_MAX;
        if stat.device != device || is_too_deep || !excess.matcher.may_descend(path) {
            return Ok(false);
        }
        let inner = directory.open_directory(name)?;
        let mut is_empty = true;
        for name in inner.names()? {
            is_empty &= self.remove(excess, &inner, device, &name, &join(path, &name));
        }
        Ok(is_empty)
    }

    fn warn(&self, path: &[u8], error: &Error) {
        self.monitor.event(&Event::Warning { warning: Warning::Item, path, error });
    }
}

fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() }
}

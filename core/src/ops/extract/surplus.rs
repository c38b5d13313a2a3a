//! What the target has and the archive does not: removed when all is restored, or told.
//!
//! A second walk over the archive goes along with the target, handle by handle. Only directories that were archived with all
//! that was in them are looked into, and only what the matcher includes is removed. Whatever makes that uncertain on the way
//! keeps a directory as it is.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{ExtractOptions, may_descend};
use crate::archive::content::Content;
use crate::archive::record::{ArchiveRecord, LeftOut};
use crate::archive::walk::{Walk, WalkEvent, WalkItem, append, check_depth};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::source::{Names, SourceDirectory};
use crate::fs::stat::Stat;
use crate::fs::target::TargetDirectory;
use crate::monitor::{Counters, Event, FileStatus, Monitor, Warning};
use crate::ops::scope::Scope;
use crate::ops::unread::pass_over;
use crate::pattern::Decision;
use crate::repository::Reader;

const OPERATION: &str = "delete what is not in the archive";

/// Hands everything on, and notes whether something was not restored.
pub(super) struct Watched<'a> {
    monitor: &'a dyn Monitor,
    failed: AtomicBool,
}

impl<'a> Watched<'a> {
    pub fn new(monitor: &'a dyn Monitor) -> Self {
        Self { monitor, failed: AtomicBool::new(false) }
    }
}

impl Monitor for Watched<'_> {
    fn event(&self, event: &Event<'_>) {
        if let Event::Warning { warning: Warning::Item, .. } = event {
            self.failed.store(true, Ordering::Relaxed);
        }
        self.monitor.event(event);
    }

    fn counters(&self) -> &Counters {
        self.monitor.counters()
    }

    fn interrupted(&self) -> bool {
        self.monitor.interrupted()
    }
}

fn is_root(target: &Path) -> bool {
    let stat = |path| SourceDirectory::open(path).and_then(|directory| directory.stat_self());
    matches!((stat(target), stat(Path::new("/"))), (Ok(target), Ok(root)) if target.same_file(&root))
}

fn is_all_slashes(path: &[u8]) -> bool {
    path.iter().all(|byte| *byte == b'/')
}

/// Fails if these are the names in the top directory of a repository: of this program, of restic, or of Borg 1.
fn refuse_repository(names: &Names) -> Result<()> {
    let has = |name: &[u8]| names.iter().any(|found| found == name);
    let own = has(b"gc") && (has(b"config") || has(b"spare"));
    let borg = || names.iter().any(|found| found.starts_with(b"hints."));
    match own || has(b"data") && has(b"config") && (has(b"snapshots") || borg()) {
        true => Err(Error::new(ErrorKind::InvalidInput, OPERATION).with("reason", "it looks like a repository")),
        false => Ok(()),
    }
}

/// What is needed to know what is to be removed.
pub(super) struct Surplus<'a> {
    options: &'a ExtractOptions<'a>,
    spared: &'a HashSet<(u64, u64)>,
    scope: Scope,
}

impl<'a> Surplus<'a> {
    /// None if nothing is to be removed.
    ///
    /// # Errors
    /// `InvalidInput` if the archive does not tell what was there.
    pub fn of(record: &ArchiveRecord, target: &Path, options: &'a ExtractOptions<'a>) -> Result<Option<Self>> {
        let Some(spared) = &options.delete else { return Ok(None) };
        let (scope, errors) = (Scope::of(record), record.statistics.errors);
        let reason = if options.strip_components > 0 {
            "with parts of paths dropped, several directories of the archive may become one"
        } else if errors > 0 {
            "some files that were there could not be read when the archive was made"
        } else if !scope.is_certain() {
            "the archive does not say of which directories it has all that was there"
        } else if record.left_out() == LeftOut::Unknown {
            "rules beside patterns left something out when the archive was made, or it does not say that none did"
        } else if record.left_out() == LeftOut::ByPatterns && !options.matcher.has_rules() {
            "patterns left something out when the archive was made: give the same ones"
        } else if scope.has(b"") && is_root(target) && !record.paths.iter().any(|path| is_all_slashes(path)) {
            "the archive has what was in some directory, which is not `/`"
        } else {
            return Ok(Some(Self { options, spared, scope }));
        };
        Err(Error::new(ErrorKind::InvalidInput, OPERATION).with("reason", reason))
    }

    /// Removes it, unless something was not restored, or only tells it: then nothing is changed.
    pub fn remove(
        self,
        reader: &Reader,
        record: &ArchiveRecord,
        target: TargetDirectory,
        restored: &Watched<'_>,
        change: bool,
    ) -> Result<()> {
        let monitor = restored.monitor;
        if restored.failed.load(Ordering::Relaxed) {
            let error = Error::new(ErrorKind::NotFound, OPERATION).with("reason", "not everything is restored");
            monitor.event(&Event::Warning { warning: Warning::Item, path: b"", error: &error });
            return Ok(());
        }
        let mut walk = Removal { surplus: &self, reader, monitor, change, levels: Vec::new() };
        let stat = target.own_stat()?;
        let top = walk.level(target, stat, b"", None);
        walk.levels.push(top);
        for event in Walk::new(reader, &record.root, None, |item: &WalkItem| may_descend(&self.options.matcher, item)) {
            monitor.stop_if_asked(OPERATION)?;
            match event {
                Ok(WalkEvent::Entry(item)) => walk.entry(&item),
                Ok(WalkEvent::Leave(item)) => walk.leave(Some(&item))?,
                // What lies behind that is not known.
                Err(failed) => return pass_over(monitor, Warning::Item, &failed.path, failed.error),
            }
        }
        walk.leave(None)
    }
}

/// The walk.
struct Removal<'a> {
    surplus: &'a Surplus<'a>,
    reader: &'a Reader,
    monitor: &'a dyn Monitor,
    /// Whether anything is changed.
    change: bool,
    /// The top directory, and those that lead to where the walk is.
    levels: Vec<Level>,
}

/// A directory of the archive, as it is in the target.
struct Level {
    /// None if it is not there, or can not be looked into.
    here: Option<(TargetDirectory, Stat)>,
    zone: Zone,
    /// What is there, and how many of these names the walk has come across.
    names: Names,
    passed: usize,
    /// Those of them that the archive does not have.
    surplus: Vec<Vec<u8>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Zone {
    /// It only leads to what was archived, or selected.
    Outside,
    /// What the archive does not have goes.
    Inside,
    /// Everything stays, whatever is below.
    Barred,
}

impl Level {
    fn nowhere() -> Self {
        Self { here: None, zone: Zone::Barred, names: Names::default(), passed: 0, surplus: Vec::new() }
    }

    /// Comes to the next name of the archive, or to the end: what is before it in the target is surplus.
    fn pass(&mut self, next: Option<&[u8]>) {
        while let Some(name) = self.names.get(self.passed) {
            match next {
                Some(next) if name > next => break,
                Some(next) if name == next => {
                    self.passed += 1;
                    return;
                }
                _ => self.surplus.push(name.to_vec()),
            }
            self.passed += 1;
        }
        let Some((directory, _)) = self.here.as_ref().filter(|_| self.zone == Zone::Inside) else { return };
        // There it has another spelling, which looks like a surplus: this file system folds names.
        if next.is_some_and(|next| directory.stat(next).is_ok()) {
            self.zone = Zone::Barred;
        }
    }
}

impl Removal<'_> {
    fn entry(&mut self, item: &WalkItem) {
        self.levels.truncate(item.depth);
        let Some(above) = self.levels.last_mut() else { return };
        above.pass(Some(&item.entry.name));
        if !matches!(item.entry.content, Content::Directory(_)) || !may_descend(&self.surplus.options.matcher, item) {
            return;
        }
        let (name, change) = (&item.entry.name, self.change);
        let entered = self.levels.last().and_then(|above| {
            let (directory, stat_above) = above.here.as_ref()?;
            let stat = directory.stat(name).ok().filter(Stat::is_directory)?;
            let below = directory.open_expected(name, &stat, change).ok()?;
            let mounted = stat.is_mount || stat.device != stat_above.device;
            Some(self.level(below, stat, &item.path, Some((above.zone, mounted))))
        });
        self.levels.push(entered.unwrap_or_else(Level::nowhere));
    }

    /// A directory that is entered; `above`: the zone of the one above it, and whether it is mounted there.
    fn level(&self, directory: TargetDirectory, stat: Stat, path: &[u8], above: Option<(Zone, bool)>) -> Level {
        let Surplus { options, spared, scope } = self.surplus;
        let selected = scope.has(path) && options.matcher.decide(path) == Decision::Include;
        let mut zone = match above {
            _ if spared.contains(&(stat.device, stat.inode)) => Zone::Barred,
            Some((Zone::Barred, _)) => Zone::Barred,
            Some((Zone::Inside, true)) => {
                self.leave_alone(path);
                Zone::Barred
            }
            _ if selected => Zone::Inside,
            _ => Zone::Outside,
        };
        let mut names = Names::default();
        if zone == Zone::Inside {
            match directory.names().and_then(|found| refuse_repository(&found).map(|()| found)) {
                Ok(found) => names = found,
                Err(error) => {
                    self.warn(path, &error);
                    zone = Zone::Barred;
                }
            }
        }
        Level { here: Some((directory, stat)), zone, names, passed: 0, surplus: Vec::new() }
    }

    /// Ends the directory of `item`, or the top directory, which gets its metadata from others.
    fn leave(&mut self, item: Option<&WalkItem>) -> Result<()> {
        self.levels.truncate(item.map_or(1, |item| item.depth + 1));
        let Some(mut level) = self.levels.pop() else { return Ok(()) };
        level.pass(None);
        let Some((directory, stat)) = level.here else { return Ok(()) };
        let surplus = if level.zone == Zone::Inside { level.surplus } else { Vec::new() };
        if self.change && !surplus.is_empty() {
            directory.open_up();
        }
        let path = item.map_or(&b""[..], |item| &item.path);
        let removed = self.remove_all(&directory, &stat, surplus.iter().map(Vec::as_slice), path);
        if !self.change {
            return removed.map(drop);
        }
        match item {
            Some(item) if !surplus.is_empty() => {
                let (entry, restore) = (&item.entry, &self.surplus.options.restore);
                match entry.attributes.load(self.reader) {
                    Ok(attributes) => {
                        let failed = directory.set_own_metadata(&entry.metadata, &attributes, restore);
                        failed.iter().for_each(|error| self.attribute(path, error));
                    }
                    Err(error) => self.attribute(path, &error),
                }
            }
            _ => {}
        }
        self.give_back(&directory, &stat, path);
        removed.map(drop)
    }

    /// Removes entries of a directory, and tells whether all of them are gone.
    fn remove_all<'n>(
        &self,
        directory: &TargetDirectory,
        stat: &Stat,
        names: impl Iterator<Item = &'n [u8]>,
        path: &[u8],
    ) -> Result<bool> {
        let (mut all, mut path) = (true, path.to_vec());
        let above = path.len();
        for name in names {
            path.truncate(above);
            append(&mut path, name);
            all &= self.remove(directory, stat, name, &path)?;
        }
        Ok(all)
    }

    fn remove(&self, directory: &TargetDirectory, above: &Stat, name: &[u8], path: &[u8]) -> Result<bool> {
        self.monitor.stop_if_asked(OPERATION)?;
        let Surplus { options, spared, .. } = self.surplus;
        if options.matcher.decide(path) != Decision::Include {
            return Ok(false);
        }
        let stat = match directory.stat(name) {
            Ok(stat) => stat,
            Err(error) => return Ok(error.kind() == ErrorKind::NotFound || self.warn(path, &error)),
        };
        let mounted = stat.is_mount || stat.device != above.device;
        if mounted || stat.file_type.stored().is_none() || spared.contains(&(stat.device, stat.inode)) {
            self.leave_alone(path);
            return Ok(false);
        }
        if stat.is_directory() && !self.empty(directory, &stat, name, path)? {
            return Ok(false);
        }
        if self.change
            && let Err(error) = directory.remove(name, stat.is_directory())
        {
            return Ok(self.warn(path, &error));
        }
        self.monitor.event(&Event::File { status: FileStatus::Deleted, path });
        Ok(true)
    }

    /// Removes what is in a directory that is surplus itself, and tells whether nothing of that is left.
    fn empty(&self, above: &TargetDirectory, stat: &Stat, name: &[u8], path: &[u8]) -> Result<bool> {
        let depth = path.split(|byte| *byte == b'/').count();
        let opened = check_depth(OPERATION, depth)
            .and_then(|()| above.open_expected(name, stat, self.change))
            .and_then(|directory| Ok((directory.names()?, directory)))
            .and_then(|(names, directory)| refuse_repository(&names).map(|()| (names, directory)));
        let (names, directory) = match opened {
            Ok(opened) => opened,
            Err(error) => return Ok(self.warn(path, &error)),
        };
        if self.change && !names.is_empty() {
            directory.open_up();
        }
        let emptied = self.remove_all(&directory, stat, names.iter(), path);
        if self.change && !matches!(emptied, Ok(true)) {
            self.give_back(&directory, stat, path);
        }
        emptied
    }

    /// Gives a directory that stays the permissions that it had.
    fn give_back(&self, directory: &TargetDirectory, before: &Stat, path: &[u8]) {
        if let Err(error) = directory.set_mode(before.mode) {
            self.attribute(path, &error);
        }
    }

    fn attribute(&self, path: &[u8], error: &Error) {
        self.monitor.event(&Event::Warning { warning: Warning::Attribute, path, error });
    }

    /// Tells what stays although the archive does not have it, and is nothing that went wrong.
    fn leave_alone(&self, path: &[u8]) {
        self.monitor.event(&Event::File { status: FileStatus::Excluded, path });
    }

    /// Tells why something stays.
    fn warn(&self, path: &[u8], error: &Error) -> bool {
        self.monitor.event(&Event::Warning { warning: Warning::Item, path, error });
        false
    }
}

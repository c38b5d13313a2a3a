//! Finds what shall be archived: the plan, narrowed by patterns and options.
//!
//! A directory is entered only through an open handle of its parent, and every
//! entry is looked at by one `statx`. What can not be looked at is reported and
//! passed over. Nothing here knows how things are stored.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::git_ignore::{Finder, GitRules};
use super::plan::{Plan, Wanted};
use crate::archive::record::LeftOut;
use crate::archive::walk::check_depth;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::source::{Names, SourceDirectory, has_entry, is_cachedir_tag, source_parent};
use crate::fs::stat::Stat;
use crate::limits::GIT_RULES_BYTES_MAX;
use crate::monitor::{Event, FileStatus, Monitor, Warning};
use crate::pattern::{Decision, Matcher};

/// What is left out beside what patterns say.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Do not cross into other file systems than those of the given paths.
    pub one_file_system: bool,
    /// Leave out directories marked by a `CACHEDIR.TAG`.
    pub exclude_caches: bool,
    /// Leave out directories that hold an entry of one of these names.
    pub exclude_if_present: Vec<Vec<u8>>,
    /// Of directories left out by a tag keep themselves and the tag.
    pub keep_exclude_tags: bool,
    /// Leave out regular files of more bytes than this.
    pub exclude_larger_than: Option<u64>,
    /// In work trees of git leave out what their `.gitignore` files and `.git/info/exclude` do. What was given is taken,
    /// and so is what leads to it. A file of such rules that can not be read is a warning, and counts as empty.
    pub git_ignore: bool,
    /// Directories and files that are never archived (the repository, the cache), by device and inode.
    pub never: HashSet<(u64, u64)>,
}

impl Rules {
    /// What they and patterns leave out of directories.
    pub(super) fn left_out(&self, matcher: &Matcher) -> LeftOut {
        let Self { one_file_system, exclude_caches, exclude_if_present, exclude_larger_than, git_ignore, .. } = self;
        let rules = *one_file_system || *exclude_caches || *git_ignore || exclude_larger_than.is_some();
        match (rules || !exclude_if_present.is_empty(), matcher.takes_everything()) {
            (true, _) => LeftOut::Unknown,
            (false, false) => LeftOut::ByPatterns,
            (false, true) => LeftOut::Nothing,
        }
    }
}

/// Something that shall be archived.
pub(super) struct Found {
    /// Its name in its directory.
    pub name: Vec<u8>,
    /// Its path in the archive.
    pub path: Vec<u8>,
    /// What it is.
    pub stat: Stat,
}

/// What comes next.
pub(super) enum Step {
    /// A directory; what is in it follows, up to the matching `Leave`. `implied` ones count only
    /// if something is in them.
    Enter { found: Found, implied: bool },
    /// The end of the directory entered last.
    Leave,
    /// The place of a stream: its name and its path in the archive.
    Stream { name: Vec<u8>, path: Vec<u8> },
    /// Anything else.
    Item(Found),
}

/// Walks the plan.
pub(super) struct Traversal<'a> {
    rules: &'a Rules,
    matcher: &'a Matcher,
    monitor: &'a dyn Monitor,
    levels: Vec<Level<'a>>,
    path: Vec<u8>,
    errors: u64,
}

struct Level<'a> {
    /// The directory whose entries are looked at; of a level without one, the parent of the current given path.
    directory: Option<SourceDirectory>,
    names: Listing<'a>,
    /// A tag leaves it out: of what was read, only what was given is wanted, and the tag.
    tagged: bool,
    plan: Option<&'a Plan>,
    /// Length of the path of this level, without a slash at its end.
    path_bytes: usize,
    device: Option<u64>,
    /// What git leaves out here, if that is asked for and it is in a work tree.
    git: Option<GitRules>,
}

/// Names still to look at: read from the directory, or only those that were given.
enum Listing<'a> {
    Read { names: Names, next: usize },
    Given(std::collections::btree_map::Keys<'a, Vec<u8>, Plan>),
}

impl<'a> Traversal<'a> {
    /// Prepares to walk `plan`. If it is a directory that can not be read, that is reported and nothing is found.
    ///
    /// The rules that leave out directories hold for that directory too: of one that is left out nothing is found but
    /// what marks it.
    pub fn new(plan: &'a Plan, rules: &'a Rules, matcher: &'a Matcher, monitor: &'a dyn Monitor) -> Self {
        let mut walk = Self { rules, matcher, monitor, levels: Vec::new(), path: Vec::new(), errors: 0 };
        let top = match (&plan.source, plan.wanted) {
            (Some(source), Wanted::All) => walk.read_top(plan, source).unwrap_or_else(|error| {
                walk.path.extend_from_slice(source.as_os_str().as_bytes());
                walk.report(&error);
                walk.path.clear();
                Level::empty(0)
            }),
            _ => Level::given(plan, 0),
        };
        walk.levels.push(top);
        walk
    }

    fn read_top(&self, plan: &'a Plan, source: &Path) -> Result<Level<'a>> {
        let directory = SourceDirectory::open(source)?;
        let stat = directory.stat_self()?;
        let mut level = Level { plan: Some(plan), device: Some(stat.device), ..Level::empty(0) };
        if self.is_unwanted(&stat) {
            self.exclude();
        } else {
            self.read(&directory, &mut level)?;
            if level.tagged {
                self.exclude();
            }
        }
        level.git = self.git_rules(&directory, Some(source));
        level.directory = Some(directory);
        Ok(level)
    }

    /// Gives a level the names of its directory, or, if a tag leaves that out, those that all the same are wanted.
    /// Whatever was given is looked for, so that it is missed where it is not there.
    fn read(&self, directory: &SourceDirectory, level: &mut Level<'a>) -> Result<()> {
        let mut names = directory.names()?;
        if let Some(tags) = self.tags(directory) {
            names.retain(|name| self.rules.keep_exclude_tags && tags.iter().any(|tag| tag == name));
            level.tagged = true;
        }
        names.add(level.plan.iter().flat_map(|plan| plan.children.keys()))?;
        level.names = Listing::Read { names, next: 0 };
        Ok(())
    }

    /// The directory entered last: that of the last item, or of the last `Enter`, if it could be opened.
    pub fn directory(&self) -> Option<&SourceDirectory> {
        self.levels.last()?.directory.as_ref()
    }

    /// The top directory, if it was asked for itself. Only before the first step.
    pub fn top(&self) -> Option<&SourceDirectory> {
        let [top] = self.levels.as_slice() else { return None };
        top.device.and(top.directory.as_ref())
    }

    /// How many items were reported that could not be looked at.
    pub fn errors(&self) -> u64 {
        self.errors
    }

    /// The next step; `None` after the plan's own directory was left.
    pub fn step(&mut self) -> Option<Step> {
        loop {
            let level = self.levels.last_mut()?;
            self.path.truncate(level.path_bytes);
            let Some(name) = level.next_name() else {
                self.levels.pop();
                return if self.levels.is_empty() { None } else { Some(Step::Leave) };
            };
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(&name);
            match self.look(name) {
                Ok(Some(step)) => return Some(step),
                Ok(None) => {}
                Err(error) => self.report(&error),
            }
        }
    }

    /// Reports that something at the current path could not be archived.
    fn report(&mut self, error: &Error) {
        let path = std::mem::take(&mut self.path);
        self.report_at(&path, error);
        self.path = path;
    }

    fn report_at(&mut self, path: &[u8], error: &Error) {
        self.errors += 1;
        self.monitor.event(&Event::Warning { warning: Warning::Item, path, error });
        self.monitor.event(&Event::File { status: FileStatus::Error, path });
    }

    /// Reports what was given below the current path, which can not be entered.
    fn miss_below(&mut self, plan: &Plan) {
        for path in plan.given_below(&self.path) {
            if self.matcher.decide(&path) == Decision::Include {
                let error = Error::new(ErrorKind::NotFound, "find file");
                self.report_at(&path, &error.with("reason", "what is above it was not entered"));
            }
        }
    }

    fn look(&mut self, name: Vec<u8>) -> Result<Option<Step>> {
        let Some(level) = self.levels.last_mut() else { return Ok(None) };
        let given: Option<&'a Plan> = level.plan.and_then(|plan| plan.children.get(&name));
        if let Some(plan) = given.filter(|plan| plan.source.is_none()) {
            let read = matches!(level.names, Listing::Read { .. });
            let taken = level.directory.as_ref().is_some_and(|directory| read && has_entry(directory, &name));
            if plan.wanted == Wanted::Stream || !taken {
                return self.lead_to_stream(name, plan, taken);
            }
        }
        let wanted = match (&level.names, given) {
            (Listing::Read { .. }, Some(plan)) if level.tagged => plan.wanted,
            (Listing::Read { .. }, _) => Wanted::All,
            (Listing::Given(_), Some(plan)) => plan.wanted,
            (Listing::Given(_), None) => return Ok(None),
        };
        if matches!(level.names, Listing::Given(_)) {
            let source = given.and_then(|plan| plan.source.as_deref());
            let source = source.ok_or_else(|| Error::new(ErrorKind::InvalidInput, "find file"))?;
            level.directory = Some(source_parent(source)?.0);
            if wanted == Wanted::Implied {
                return given.map_or(Ok(None), |plan| self.enter_implied(name, plan));
            }
        }
        let stat = level.directory.as_ref().map(|directory| directory.stat(&name)).transpose()?;
        let Some(stat) = stat else { return Ok(None) };
        let decision = self.matcher.decide(&self.path);
        if decision == Decision::ExcludeNoRecurse || (decision == Decision::Exclude && !stat.is_directory()) {
            return Ok(self.exclude());
        }
        if self.is_unwanted(&stat) {
            return Ok(self.exclude());
        }
        let wanted = match given {
            _ if !self.is_git_ignored(stat.is_directory()) => wanted,
            // Of what git ignores, only what was given.
            Some(plan) => plan.wanted,
            None => return Ok(self.exclude()),
        };
        let found = Found { name, path: self.path.clone(), stat };
        if found.stat.is_directory() {
            let implied = wanted == Wanted::Implied || decision == Decision::Exclude;
            let entered = self.enter(found, given, wanted, implied);
            if let (Err(_), Some(plan)) = (&entered, given) {
                self.miss_below(plan);
            }
            return entered;
        }
        if let Some(plan) = given {
            self.miss_below(plan);
        }
        if wanted == Wanted::Implied {
            return Ok(None);
        }
        if found.stat.file_type.stored().is_none() {
            // One that was only come across means nothing.
            let asked = given.is_some_and(|plan| plan.wanted != Wanted::Implied);
            let error =
                || Error::new(ErrorKind::Unsupported, "archive file").with("reason", "a socket, or no known type");
            return if asked { Err(error()) } else { Ok(None) };
        }
        Ok(Some(Step::Item(found)))
    }

    /// A stream, or a directory that is nowhere and only leads to one: it is archived as if it were the current one.
    fn lead_to_stream(&mut self, name: Vec<u8>, plan: &'a Plan, taken: bool) -> Result<Option<Step>> {
        let path = self.path.clone();
        if plan.wanted == Wanted::Stream {
            if taken {
                let error = Error::new(ErrorKind::AlreadyExists, "archive file");
                self.report(&error.with("reason", "a stream is archived under its path"));
            }
            return Ok(Some(Step::Stream { name, path }));
        }
        let stat = SourceDirectory::open(Path::new("."))?.stat_self()?;
        self.levels.push(Level::given(plan, path.len()));
        Ok(Some(Step::Enter { found: Found { name, path, stat }, implied: true }))
    }

    fn is_unwanted(&self, stat: &Stat) -> bool {
        if self.rules.never.contains(&(stat.device, stat.inode)) {
            return true;
        }
        stat.is_file() && self.rules.exclude_larger_than.is_some_and(|limit| stat.size > limit)
    }

    /// Whether git leaves out what is at the current path. Of a given path this is not asked.
    fn is_git_ignored(&self, is_directory: bool) -> bool {
        for level in self.levels.iter().rev() {
            let Some(rules) = &level.git else { break };
            let below = self.path.get(level.path_bytes..).unwrap_or_default();
            if let Some(ignored) = rules.decide(below.strip_prefix(b"/").unwrap_or(below), is_directory) {
                return ignored;
            }
            if rules.is_top {
                break;
            }
        }
        false
    }

    /// The rules of git in a directory that is about to be entered; `begin` leads to it if the walk begins there.
    fn git_rules(&self, directory: &SourceDirectory, begin: Option<&Path>) -> Option<GitRules> {
        if !self.rules.git_ignore {
            return None;
        }
        let complain = |file: &[u8], error: &Error| {
            let within = !self.path.is_empty() && !file.starts_with(b"/");
            let path = if within { [&self.path, &b"/"[..], file].concat() } else { file.to_vec() };
            self.monitor.event(&Event::Warning { warning: Warning::Item, path: &path, error });
        };
        let above = self.levels.last().and_then(|level| level.git.as_ref());
        let used: usize = self.levels.iter().filter_map(|level| level.git.as_ref()).map(|rules| rules.bytes).sum();
        let finder = Finder::new(GIT_RULES_BYTES_MAX.saturating_sub(used), &complain);
        match begin {
            Some(path) => finder.begin(directory, path),
            None => finder.below(directory, above.is_some()),
        }
    }

    fn exclude(&self) -> Option<Step> {
        self.monitor.event(&Event::File { status: FileStatus::Excluded, path: &self.path });
        None
    }

    /// Enters a directory that leads to a given path; it is opened without reading its names.
    fn enter_implied(&mut self, name: Vec<u8>, plan: &'a Plan) -> Result<Option<Step>> {
        let first = plan.children.values().find_map(|child| child.source.as_deref());
        let Some(inside) = first else { return Ok(None) };
        let directory = source_parent(inside)?.0;
        let stat = directory.stat_self()?;
        let mut level = Level::given(plan, self.path.len());
        level.directory = Some(directory);
        self.levels.push(level);
        Ok(Some(Step::Enter { found: Found { name, path: self.path.clone(), stat }, implied: true }))
    }

    fn enter(&mut self, found: Found, given: Option<&'a Plan>, wanted: Wanted, implied: bool) -> Result<Option<Step>> {
        check_depth("enter directory", self.levels.len())?;
        let Some(parent) = self.levels.last() else { return Ok(None) };
        let Some(above) = &parent.directory else { return Ok(None) };
        let directory = above.open_directory(&found.name, &found.stat)?;
        let elsewhere = parent.device.is_some_and(|device| device != found.stat.device);
        let crossing = self.rules.one_file_system && elsewhere && given.is_none_or(|plan| plan.wanted != Wanted::All);
        let mut level = match given {
            Some(plan) => Level::given(plan, self.path.len()),
            None => Level::empty(self.path.len()),
        };
        // A mount point is archived as an empty directory, so that it is there after a restore.
        if wanted == Wanted::All && !crossing {
            self.read(&directory, &mut level)?;
            level.device = Some(found.stat.device);
            let begin = match parent.names {
                Listing::Given(_) => given.and_then(|plan| plan.source.as_deref()),
                Listing::Read { .. } => None,
            };
            level.git = self.git_rules(&directory, begin);
        }
        let left_out = level.tagged && !self.rules.keep_exclude_tags;
        if left_out && given.is_none_or(|plan| plan.children.is_empty()) {
            return Ok(self.exclude());
        }
        level.directory = Some(directory);
        self.levels.push(level);
        Ok(Some(Step::Enter { found, implied: implied || left_out }))
    }

    /// The tags by which a directory is left out, if there are any.
    fn tags(&self, directory: &SourceDirectory) -> Option<Vec<Vec<u8>>> {
        let mut tags: Vec<Vec<u8>> = Vec::new();
        if self.rules.exclude_caches && is_cachedir_tag(directory) {
            tags.push(b"CACHEDIR.TAG".to_vec());
        }
        tags.extend(self.rules.exclude_if_present.iter().filter(|name| has_entry(directory, name)).cloned());
        (!tags.is_empty()).then_some(tags)
    }
}

impl<'a> Level<'a> {
    fn given(plan: &'a Plan, path_bytes: usize) -> Self {
        let names = Listing::Given(plan.children.keys());
        Self { directory: None, names, tagged: false, plan: Some(plan), path_bytes, device: None, git: None }
    }

    fn empty(path_bytes: usize) -> Self {
        let names = Listing::Read { names: Names::default(), next: 0 };
        Self { directory: None, names, tagged: false, plan: None, path_bytes, device: None, git: None }
    }

    fn next_name(&mut self) -> Option<Vec<u8>> {
        match &mut self.names {
            Listing::Read { names, next } => {
                *next += 1;
                names.get(*next - 1).map(<[u8]>::to_vec)
            }
            Listing::Given(names) => names.next().cloned(),
        }
    }
}

#[cfg(test)]
#[path = "traversal_tests.rs"]
mod tests;

//! Makes an archive of files, or of a stream.
//!
//! The steps are the protocol's: look at the repository, announce the archive and
//! its base, check that the base is still live, store (with checkpoints), commit.

use crate::archive::catalog::{Catalog, is_live};
use crate::archive::content::DirectoryRef;
use crate::archive::cut::CutKey;
use crate::archive::history::{self, History};
use crate::archive::metadata::Attributes;
use crate::archive::record::{ArchiveRecord, BaseRef, Head, PendingRecord, Statistics, TopDirectory};
use crate::archive::stat::StatRef;
use crate::chunker::{Chunker, ChunkerParams};
use crate::clock::{Clock, Timestamp};
use crate::codec::Extensions;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::attributes::AttributeOptions;
use crate::fs::source::SourceDirectory;
use crate::fs::stat::{MetadataOptions, Stat, metadata};
use crate::fs::users::Users;
use crate::id::{ArchiveId, ChunkId};
use crate::limits::{CHECKPOINT_BYTES, CHECKPOINT_SECONDS, INLINE_ATTRIBUTES_BYTES_MAX};
use crate::monitor::{Counters, Event, Monitor, Warning};
use crate::pattern::Matcher;
use crate::repository::{Holdings, Repository, Session, Writer, WriterOptions};

mod archiver;
mod base;
pub(super) mod content;
mod dry_run;
mod git_ignore;
mod plan;
mod reported;
mod stream;
mod tar;
mod together;
mod traversal;

use archiver::{Archiver, Tools};
use base::{Base, Unchanged};
use tar::Importer;
use traversal::Traversal;

use super::publish::publish;

pub use base::Compare;
pub(super) use base::is_whole;
pub(super) use content::ContentReader;
pub use dry_run::dry_run;
pub use plan::{Plan, Wanted, archived_path};
pub use stream::{FromRead, InTurns, Stream};
pub use tar::TarStream;
pub use together::{Member, together};
pub use traversal::Rules;

/// What the new archive is called and how it is made.
#[derive(Debug, Default)]
pub struct CreateOptions {
    /// The name; a series of archives may share it.
    pub name: String,
    /// A comment for people.
    pub comment: String,
    /// Tags.
    pub tags: Vec<String>,
    /// The start time to record instead of now.
    pub timestamp: Option<Timestamp>,
    /// The machine.
    pub host: String,
    /// The user.
    pub user: String,
    /// The directory relative paths start from, raw bytes.
    pub working_directory: Option<Vec<u8>>,
    /// The paths that were asked for, raw bytes, as given.
    pub paths: Vec<Vec<u8>>,
    /// The command that asked for it.
    pub command_line: Vec<String>,
    /// How content is cut into chunks.
    pub chunker: ChunkerParams,
    /// How chunks are written.
    pub writer: WriterOptions,
    /// Patterns.
    pub matcher: Matcher,
    /// What else is left out.
    pub rules: Rules,
    /// Which metadata is kept.
    pub metadata: MetadataOptions,
    /// Which attributes are kept.
    pub attributes: AttributeOptions,
    /// What makes a file be read again.
    pub compare: Compare,
    /// By what a file shows that it changed while it was read.
    pub change: Change,
    /// Read devices and named pipes as if they were files.
    pub read_special: bool,
    /// How much a crash can undo.
    pub checkpoint: Checkpoint,
}

/// When everything stored so far is published, so that a crash does not undo it: as soon as either is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Seconds since the last one.
    pub seconds: u64,
    /// New plaintext bytes since the last one.
    pub bytes: u64,
}

impl Default for Checkpoint {
    /// A minute, or 1 GiB.
    fn default() -> Self {
        Self { seconds: CHECKPOINT_SECONDS, bytes: CHECKPOINT_BYTES }
    }
}

/// By what a file shows that it changed while it was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Change {
    /// The time of change.
    #[default]
    Changed,
    /// The time of modification.
    Modified,
    /// Nothing: never ask.
    Disabled,
}

impl Change {
    fn same(self, before: &Stat, after: &Stat) -> bool {
        match self {
            Self::Changed => before.changed == after.changed && before.size == after.size,
            Self::Modified => before.modified == after.modified && before.size == after.size,
            Self::Disabled => true,
        }
    }
}

/// How often files are read again because a collector was faster.
const ATTEMPTS_MAX: u32 = 5;

/// Where an archive's content comes from.
pub enum Input<'a> {
    /// Files.
    Files(&'a Plan),
    /// Files, if the plan has any, and a stream where it has one.
    Stream(&'a Plan, Stream<'a>),
    /// Files, and a stream where the plan has one, for one of several archives that are made at the same time.
    Shared(&'a Plan, Option<Stream<'a>>, Member),
    /// A tar archive.
    Tar(TarStream<'a>),
}

/// What an input is made of.
struct Parts<'a> {
    plan: Option<&'a Plan>,
    stream: Option<Stream<'a>>,
    member: Option<Member>,
    tar: Option<TarStream<'a>>,
}

impl<'a> Parts<'a> {
    fn of(input: Input<'a>) -> Self {
        let (plan, stream, member, tar) = match input {
            Input::Files(plan) => (Some(plan), None, None, None),
            Input::Stream(plan, stream) => (Some(plan), Some(stream), None, None),
            Input::Shared(plan, stream, member) => (Some(plan), stream, Some(member), None),
            Input::Tar(tar) => (None, None, None, Some(tar)),
        };
        Self { plan, stream, member, tar }
    }
}

/// An archive that was made.
#[derive(Clone, Debug)]
pub struct Created {
    /// Its id.
    pub id: ArchiveId,
    /// What it says of itself.
    pub record: ArchiveRecord,
    /// How much the repository holds with it, as far as this run knows.
    pub holdings: Holdings,
}

/// Makes an archive. When this returns `Ok` the archive is durable and complete, but for
/// items the monitor was warned of.
///
/// If a collector deletes what the run relied on, the files are looked at again; a stream can not be, and is
/// `Overtaken`. Fails with `InvalidInput` if two places would be archived under the same path ([`Plan::check`]).
pub fn create(
    repository: &Repository,
    input: Input<'_>,
    options: &CreateOptions,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<Created> {
    let parts = Parts::of(input);
    let (plan, can_be_read_again) = (parts.plan, parts.stream.is_none());
    plan.map_or(Ok(()), Plan::check)?;
    let mut made = attempt(repository, parts, options, clock, monitor);
    let Some(plan) = plan.filter(|_| can_be_read_again) else { return made };
    for _ in 1..ATTEMPTS_MAX {
        match made {
            Err(error) if error.kind() == ErrorKind::Overtaken => monitor.counters().reset(),
            done => return done,
        }
        made = attempt(repository, Parts::of(Input::Files(plan)), options, clock, monitor);
    }
    made
}

/// One attempt. It is `Overtaken` if a collector deleted what it relied on, which a new look sees.
fn attempt(
    repository: &Repository,
    Parts { plan, stream, member, tar }: Parts<'_>,
    options: &CreateOptions,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<Created> {
    let now = clock.now();
    let start = options.timestamp.unwrap_or(now);
    let began = member.as_ref().map_or(now, |member| member.begin(now));
    let (session, (catalog, base)) = look(repository, &options.name, &options.host)?;
    let history = History::of(repository);
    history.compare(&catalog, monitor)?;
    let (base, doubt, writer) = begin(repository, session, base, options, start)?;
    // Only the last archive of the series tells how much is to come: other bases are about something else.
    if let Some(last) = catalog.series(&options.name).next_back() {
        Counters::set(&monitor.counters().files_expected, last.record.root.files);
        Counters::set(&monitor.counters().bytes_expected, last.record.root.bytes);
    }

    let mut traversal = plan.map(|plan| Traversal::new(plan, &options.rules, &options.matcher, monitor));
    let top = traversal.as_ref().and_then(Traversal::top).map(|top| top_directory(top, options)).transpose()?;
    let heads = history::heads(&catalog);
    let extensions = plan.map_or_else(Extensions::none, |plan| {
        let asked = options.attributes.asked().put(Extensions::none());
        let asked = ArchiveRecord::leaving_out(asked, options.rules.left_out(&options.matcher));
        if plan.is_listed() { ArchiveRecord::listed(asked) } else { asked }
    });
    let draft =
        Draft { options, start, clock, base: base.as_ref().map(|base| &base.reference), top, heads, extensions };
    draft.check()?;
    let chunker = Chunker::new(&options.chunker, repository.chunker_key()?);
    let cut_key = CutKey::new(repository.cut_key()?);
    let tools = Tools { chunker: &chunker, cut_key: &cut_key, hard_link_key: repository.hard_link_key()? };
    // What turns out to be damaged is stored again.
    let reader = writer.reader().distrusting();
    let pending =
        |root, stat_root, statistics| Ok(draft.pending(Some(draft.record(root, stat_root, statistics)), false));
    let source = Unchanged { reader: &reader, base: base.as_ref(), doubt, began };
    let mut top = None;
    let (root, stat_root, statistics) = match (tar, &mut traversal) {
        (Some(stream), _) => {
            let importer = Importer::new(monitor, &writer, &tools, start);
            let imported = importer.run(stream)?;
            top = imported.top;
            (imported.root, imported.stat_root, imported.statistics)
        }
        (None, Some(traversal)) => {
            let archiver = Archiver::new(options, monitor, &writer, source, &tools, &pending);
            archiver.run(traversal, stream, member)?
        }
        (None, None) => return Err(Error::new(ErrorKind::System, "create archive")),
    };

    let record = ArchiveRecord { client: history.next_mark(monitor), ..draft.record(root, stat_root, statistics) };
    let record = ArchiveRecord { top: top.or_else(|| record.top.clone()), ..record };
    // What others reported may lack a chunk, and was looked up: then the segments it lies in count.
    let unchanged = !doubt && draft.base.is_some_and(|base| base.is(&root, &stat_root));
    let complete = if unchanged { None } else { Some(draft.pending(Some(record.clone()), true).encode()?) };
    let (id, untidy) = publish(writer, complete, &record, clock)?;
    reported::remember(repository, &id);
    history.made(id);
    if let Some(error) = untidy {
        monitor.event(&Event::Warning { warning: Warning::Repository, path: b"", error: &error });
    }
    Ok(Created { id, record, holdings: reader.holdings() })
}

/// What the archive keeps of its top directory. Attributes that do not fit into the record are left out.
fn top_directory(top: &SourceDirectory, options: &CreateOptions) -> Result<TopDirectory> {
    let metadata = metadata(&top.stat_self()?, Users::system(), &options.metadata);
    let attributes = top.own_attributes(options.attributes).unwrap_or_default();
    let fits = attributes.bytes() <= INLINE_ATTRIBUTES_BYTES_MAX;
    Ok(TopDirectory { metadata, attributes: if fits { attributes } else { Attributes::default() } })
}

/// What the repository holds, and the base for a new archive: whether that stays live is found out when it is announced.
fn look(repository: &Repository, name: &str, host: &str) -> Result<(Session, (Catalog, Option<Base>))> {
    let archives = || {
        let catalog = Catalog::load(repository)?;
        let base = Base::find(repository, &catalog, name, host)?;
        Ok((catalog, base))
    };
    repository.object_store().both(|| repository.session(), archives)
}

/// Announces the archive and its base, and makes sure that the base is still live afterwards.
fn begin(
    repository: &Repository,
    session: Session,
    base: Option<Base>,
    options: &CreateOptions,
    start: Timestamp,
) -> Result<(Option<Base>, bool, Writer)> {
    let doubt = session.is_damaged() || session.is_incomplete();
    let writer = session.into_writer(&options.writer)?;
    let reference = base.as_ref().map(|base| base.reference);
    let first = PendingRecord {
        started: start,
        base: reference,
        record: None,
        complete: false,
        extensions: Extensions::none(),
    };
    writer.announce(&first.encode()?)?;
    let (live, certain) = match base.as_ref().and_then(|base| base.reference.archive) {
        // What nobody reported may lack something: its client died before it found out, or is about to.
        Some(archive) => (is_live(repository, &archive)?, reported::knows(repository, &archive)),
        // A pending that serves as base may go at any moment: look every chunk up.
        None => (true, base.is_none()),
    };
    Ok((base.filter(|_| live), doubt || !certain, writer))
}

/// What is known of the archive before its root is.
struct Draft<'a> {
    options: &'a CreateOptions,
    start: Timestamp,
    clock: &'a dyn Clock,
    base: Option<&'a BaseRef>,
    top: Option<TopDirectory>,
    heads: Vec<Head>,
    extensions: Extensions,
}

impl Draft<'_> {
    /// Refuses what can not be recorded before anything is read, not hours later.
    fn check(&self) -> Result<()> {
        let root = ChunkId::from_bytes([0; 32]);
        let directory = DirectoryRef { root, depth: 0, entries: 0, files: 0, bytes: 0 };
        let record = self.record(directory, StatRef { root, depth: 0 }, Statistics::default());
        record.encode().map(|_| ())
    }

    fn record(&self, root: DirectoryRef, stat_root: StatRef, statistics: Statistics) -> ArchiveRecord {
        let options = self.options;
        ArchiveRecord {
            name: options.name.clone(),
            start: self.start,
            end: self.clock.now(),
            host: options.host.clone(),
            user: options.user.clone(),
            command_line: options.command_line.clone(),
            comment: options.comment.clone(),
            tags: options.tags.iter().cloned().collect(),
            root,
            stat_root: Some(stat_root),
            top: self.top.clone(),
            working_directory: options.working_directory.clone().map(Into::into),
            paths: options.paths.iter().cloned().map(Into::into).collect(),
            base: self.base.and_then(|base| base.archive),
            statistics,
            chunker: options.chunker.to_string(),
            client: None,
            heads: self.heads.clone(),
            extensions: self.extensions.clone(),
        }
    }

    fn pending(&self, record: Option<ArchiveRecord>, complete: bool) -> PendingRecord {
        let base = self.base.cloned();
        PendingRecord { started: self.start, base, record, complete, extensions: Extensions::none() }
    }
}

#[cfg(test)]
mod tests;

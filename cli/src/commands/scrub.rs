//! `gabion scrub`

use std::io::Write as _;
use std::time::Instant;

use anyhow::{Context as _, Result};
use gabion_backends::Access;
use gabion_backends::scrub::{Damage, DamageKind, Noted, Options, Scrubbed, State, Task, scrub};
use gabion_core::backend::ObjectName;
use gabion_core::local_state::LocalState;
use gabion_core::monitor::{Counters, Monitor as _};
use serde_json::{Map, Value as Json, json};

use crate::context::Context;
use crate::exit_code::{self, Code, Failure, Warnings};
use crate::output::archive::answer;
use crate::output::rows::rows;
use crate::output::sink::Sink;
use crate::progress::{Level, Settings, Work};

/// Objects after which this client remembers how far it came.
const REMEMBER_EVERY: usize = 64;

/// Verify every object of a repository, and repair what is damaged.
///
/// No key is needed. Every object is read whole, with its parity and in every store. With --repair an object that is
/// damaged is replaced, in one step, by what its parity or the other stores give back; nothing that can not be repaired
/// is touched. It can run beside backups and be stopped at any time. Without redundancy damage is found, and stays.
/// The exit code is 1 if damage remains.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  gabion -r parity:10%:/mnt/backup scrub --repair --max-duration 3600 --resume\n  \
                        gabion -r parity:20%:/mnt/backup scrub --upgrade\n  \
                        gabion -r erasure:2+2:/mnt/a,/mnt/b,/mnt/c,/mnt/new scrub --upgrade\n  \
                        gabion -r erasure:2+1:/mnt/a,/mnt/b,/mnt/c scrub --repair --replace-store 2")]
pub struct Args {
    /// Repair what is damaged
    #[arg(long)]
    repair: bool,
    /// Also write again what is protected in another way than new objects are: without parity, with less or more, or in
    /// a set of stores whose numbers were others. The set gets the numbers that are named, and the empty stores behind its
    /// own; no other command may be using it when that begins
    #[arg(long)]
    upgrade: bool,
    /// Also remove what is left of objects that were never whole, or were deleted. All stores must be there, and nothing
    /// may write to the repository meanwhile: what a backup is putting looks just like that
    #[arg(long, requires = "repair", conflicts_with = "upgrade")]
    remove_leftovers: bool,
    /// Let the empty store at place N of the set take the place of one that is lost
    #[arg(long, value_name = "N", requires = "repair", conflicts_with_all = ["dry_run", "upgrade"])]
    replace_store: Option<u8>,
    /// Stop after so many seconds
    #[arg(long, value_name = "SECONDS")]
    max_duration: Option<u64>,
    /// Go on where the last scrub of this client stopped
    #[arg(long)]
    resume: bool,
    /// Change nothing, tell what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Args {
    fn task(&self) -> Task {
        match (self.dry_run, self.upgrade, self.repair) {
            (true, ..) | (false, false, false) => Task::Verify,
            (false, true, _) => Task::Upgrade,
            (false, false, true) if self.remove_leftovers => Task::Clean,
            (false, false, true) => Task::Repair,
        }
    }

    fn access(&self) -> Result<Access, Failure> {
        match self.replace_store {
            None if self.task() == Task::Upgrade => Ok(Access::Upgrade),
            None => Ok(Access::Existing),
            Some(0) => Err(Failure::command("stores are counted from 1")),
            Some(number) => Ok(Access::Replace(usize::from(number) - 1)),
        }
    }
}

/// Scrubs the repository.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    let (store, layer) = context.scrub(args.access()?)?;
    if args.task() != Task::Verify {
        store.capabilities().permissions.require_all("repair objects")?;
    }
    let work = Work::Steps { msgid: "repository.scrub", label: "Scrubbing" };
    let reporter = context.reporter(Settings { work, ..context.settings() })?;
    let memory = Memory::of(context, store.location())?;
    let after = if args.resume { memory.recall()? } else { None };
    let began = Instant::now();
    let late = || args.max_duration.is_some_and(|seconds| began.elapsed().as_secs() >= seconds);
    let stop = || reporter.interrupted() || late();
    let width = std::thread::available_parallelism().map_or(1, usize::from);
    let options = Options { task: args.task(), after, width, stop: &stop };
    let mut findings = Vec::new();
    let mut told = |noted: Noted<'_>| {
        let counters = reporter.counters();
        Counters::set(&counters.files_expected, noted.total as u64);
        Counters::add(&counters.files, 1);
        Counters::add(&counters.bytes, noted.examined.read);
        if noted.done.is_multiple_of(REMEMBER_EVERY) {
            // What can not be remembered is read again.
            let _ = memory.keep(noted.name);
        }
        match (args.json, is_news(&noted)) {
            (_, false) => {}
            (true, true) => findings.push(object(&noted)),
            (false, true) => reporter.log(level(&noted), code(&noted), &line(&noted)),
        }
    };
    let scrubbed = store.wait_for(scrub(&*layer, &options, &mut told))?;
    match &scrubbed.stopped_after {
        Some(name) => memory.keep(name)?,
        None => memory.forget()?,
    }
    reporter.finish();
    let text = if args.json { summary(&scrubbed, findings)? } else { table(context, args, &scrubbed) };
    let mut out = Sink::new();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    let mut warnings = reporter.warnings();
    if scrubbed.lost + scrubbed.damaged + scrubbed.troubles > 0 {
        warnings.add(exit_code::CHECK_FINDING);
    }
    Ok(warnings)
}

/// How far the last scrub of a place came.
struct Memory {
    state: std::sync::Arc<dyn LocalState>,
    name: String,
}

impl Memory {
    /// There is no repository id without an open repository: the place has to do.
    fn of(context: &Context, location: &str) -> Result<Self> {
        let place = gabion_backends::scrub::place_id(location);
        Ok(Self { state: context.client()?.state, name: format!("scrub-{place}") })
    }

    fn recall(&self) -> Result<Option<ObjectName>> {
        let kept = self.state.get(&self.name)?;
        Ok(kept.and_then(|bytes| String::from_utf8(bytes).ok()).and_then(|name| ObjectName::new(name).ok()))
    }

    fn keep(&self, name: &ObjectName) -> Result<()> {
        self.state.put(&self.name, name.as_str().as_bytes()).context("remember how far the scrub came")
    }

    fn forget(&self) -> Result<()> {
        self.state.remove(&self.name).context("forget how far the scrub came")
    }
}

fn is_news(noted: &Noted<'_>) -> bool {
    noted.examined.trouble.is_some()
        || !matches!(noted.examined.state, State::Intact | State::Gone | State::Outdated | State::Upgraded)
}

fn level(noted: &Noted<'_>) -> Level {
    match noted.examined.state {
        State::Lost(_) => Level::Error,
        State::Leftover | State::Removed => Level::Info,
        _ => Level::Warning,
    }
}

/// What remains wrong counts for how the command ends.
fn code(noted: &Noted<'_>) -> Option<Code> {
    let remains = noted.examined.trouble.is_some() || matches!(noted.examined.state, State::Damaged | State::Lost(_));
    remains.then_some(exit_code::CHECK_FINDING)
}

fn word(state: &State) -> &'static str {
    match state {
        State::Intact => "intact",
        State::Outdated => "outdated",
        State::Upgraded => "upgraded",
        State::Damaged => "damaged",
        State::Repaired => "repaired",
        State::Lost(_) => "lost",
        State::Leftover => "leftover",
        State::Removed => "removed",
        State::Gone => "gone",
    }
}

fn what(damage: &Damage) -> String {
    let count = damage.count;
    let what = match damage.kind {
        DamageKind::Sectors => format!("{count} sectors"),
        DamageKind::Length => format!("wrong by {count} bytes"),
        DamageKind::Missing => "missing".to_owned(),
        DamageKind::Foreign => "of another content".to_owned(),
        DamageKind::Unreadable => "unreadable".to_owned(),
        DamageKind::Blocks => format!("{count} blocks"),
        DamageKind::Frame => "around its data".to_owned(),
    };
    damage.store.map_or(what.clone(), |store| format!("store {store}: {what}"))
}

fn line(noted: &Noted<'_>) -> String {
    let examined = noted.examined;
    let damage: Vec<String> = examined.damage.iter().map(what).collect();
    let mut line = format!("{}: {}", word(&examined.state), noted.name);
    if !damage.is_empty() {
        line += &format!(" ({})", damage.join(", "));
    }
    if let State::Lost(error) = &examined.state {
        line += &format!(": {error}");
    }
    if let Some(error) = &examined.trouble {
        line += &format!(": it stays as it is: {error}");
    }
    line
}

fn object(noted: &Noted<'_>) -> Json {
    let examined = noted.examined;
    let error = match &examined.state {
        State::Lost(error) => Some(error.to_string()),
        _ => examined.trouble.as_ref().map(ToString::to_string),
    };
    let kind = |kind| match kind {
        DamageKind::Sectors => "sectors",
        DamageKind::Length => "length",
        DamageKind::Missing => "missing",
        DamageKind::Foreign => "foreign",
        DamageKind::Unreadable => "unreadable",
        DamageKind::Blocks => "blocks",
        DamageKind::Frame => "frame",
    };
    let damage = examined
        .damage
        .iter()
        .map(|damage| json!({ "store": damage.store, "kind": kind(damage.kind), "count": damage.count }));
    json!({
        "object": noted.name.as_str(),
        "state": word(&examined.state),
        "damage": damage.collect::<Vec<_>>(),
        "message": error,
    })
}

fn summary(scrubbed: &Scrubbed, findings: Vec<Json>) -> Result<String> {
    let mut root = Map::new();
    let mut put = |key: &str, value: Json| root.insert(key.to_owned(), value);
    put("objects", json!(scrubbed.objects));
    put("read_size", json!(scrubbed.read));
    put("written_size", json!(scrubbed.written));
    put("repaired", json!(scrubbed.repaired));
    put("upgraded", json!(scrubbed.upgraded));
    put("damaged", json!(scrubbed.damaged));
    put("outdated", json!(scrubbed.outdated));
    put("lost", json!(scrubbed.lost));
    put("leftovers", json!(scrubbed.leftovers));
    put("removed", json!(scrubbed.removed));
    put("not_written", json!(scrubbed.troubles));
    put("complete", json!(scrubbed.is_complete));
    put("spare_stores", json!(scrubbed.spare));
    put("findings", Json::Array(findings));
    put("survives", json!(scrubbed.survives()));
    answer(root)
}

fn table(context: &Context, args: &Args, scrubbed: &Scrubbed) -> String {
    let units = context.units;
    let mut table = vec![
        ("Objects", format!("{} ({})", scrubbed.objects, units.format(scrubbed.read))),
        ("Lost", scrubbed.lost.to_string()),
        ("Damaged", scrubbed.damaged.to_string()),
    ];
    if args.task() != Task::Verify {
        table.push(("Repaired", scrubbed.repaired.to_string()));
    }
    if args.upgrade {
        table.push(("Upgraded", scrubbed.upgraded.to_string()));
    }
    if scrubbed.outdated > 0 {
        table.push(("Not protected as new objects are", scrubbed.outdated.to_string()));
    }
    if scrubbed.leftovers > 0 {
        table.push(("Parts of no object", scrubbed.leftovers.to_string()));
    }
    if scrubbed.removed > 0 {
        table.push(("Removed parts of no object", scrubbed.removed.to_string()));
    }
    if scrubbed.written > 0 {
        table.push(("Written", units.format(scrubbed.written)));
    }
    if !scrubbed.is_complete {
        table.push(("Stopped", "before the end; --resume goes on from there".to_owned()));
    }
    table.push(("Survives", scrubbed.survives()));
    rows(&table)
}

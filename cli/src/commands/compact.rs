//! `gabion compact`

use std::io::Write as _;

use anyhow::Result;
use gabion_core::clock::SystemClock;
use gabion_core::id::parse_object_id;
use gabion_core::ops::compact::{CompactOptions, Compacted, Plan, Reason, compact, plan};
use serde_json::{Map, json};

use crate::context::Context;
use crate::exit_code::Warnings;
use crate::output::archive::answer;
use crate::output::rows::rows;
use crate::output::sink::Sink;
use crate::progress::{Level, Settings, Work};

/// Give back the room of what no archive needs.
///
/// It can run at any time, beside backups and beside itself on another machine, and be stopped at any time: the next run goes
/// on. Archives that were removed can not come back afterwards. On a full store only segments go that nothing needs at
/// all; run it again in the room that gives.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  gabion compact --stats\n  gabion compact --threshold 0 --dry-run")]
pub struct Args {
    /// Change nothing, tell what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Tell what was done
    #[arg(short, long)]
    stats: bool,
    /// Rewrite segments of which at least this share is waste
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=100))]
    threshold: u8,
    /// Accept that this archive is damaged: what only it needs may be deleted; several times
    #[arg(long, value_name = "ID", value_parser = object_id)]
    accept_damage: Vec<String>,
    /// Give up archives that are gone although nobody removed them: what only they need may be deleted
    #[arg(long)]
    accept_lost_archives: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Compacts the repository.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    let options = CompactOptions {
        threshold_percent: args.threshold,
        accept_damage: args.accept_damage.iter().cloned().collect(),
        accept_lost: args.accept_lost_archives,
        lease_wait: context.lock_wait()?,
        ..CompactOptions::default()
    };
    let repository = context.open()?;
    let work = Work::Steps { msgid: "repository.compact_segments", label: "Compacting" };
    let reporter = context.reporter(Settings { work, ..context.settings() })?;
    let mut out = Sink::new();
    if args.dry_run {
        let plan = plan(&repository, &options, &SystemClock, &reporter)?;
        reporter.finish();
        let text = if args.json { plan_json(&plan)? } else { plan_table(context, &plan) };
        out.write_all(text.as_bytes())?;
    } else {
        let done = compact(&repository, &options, &SystemClock, &reporter)?;
        reporter.finish();
        if done.stuck > 0 {
            let message = format!("{} segments stay until `gabion check --repair` has seen them", done.stuck);
            reporter.log(Level::Warning, None, &message);
        }
        let text = match (args.json, args.stats) {
            (true, _) => done_json(&done)?,
            (false, true) => done_table(context, &done),
            (false, false) => String::new(),
        };
        out.write_all(text.as_bytes())?;
    }
    out.flush()?;
    Ok(reporter.warnings())
}

fn object_id(text: &str) -> Result<String, &'static str> {
    let id = text.to_ascii_lowercase();
    if parse_object_id(&id).is_some() { Ok(id) } else { Err("an id has 32 hexadecimal digits, see `gabion repo-list`") }
}

/// Why segments go: as JSON has it, and as people read it.
const REASONS: [(Reason, &str, &str); 3] = [
    (Reason::Dead, "dead", "nothing needs"),
    (Reason::Waste, "waste", "with much waste"),
    (Reason::Small, "small", "small ones that were merged"),
];

fn done_table(context: &Context, done: &Compacted) -> String {
    let units = context.units;
    let why = |(reason, _, words)| done.why.get(&reason).map(|segments| format!("{segments} {words}"));
    let why: Vec<String> = REASONS.into_iter().filter_map(why).collect();
    let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join(", ")) };
    rows(&[
        ("Segments deleted", format!("{}{why}", done.deleted)),
        ("Bytes of these", units.format(done.deleted_bytes)),
        ("Needed of these, stored again", units.format(done.kept_bytes)),
        ("Freed", units.format(done.deleted_bytes.saturating_sub(done.kept_bytes))),
        ("Collections of others that were finished", done.adopted.to_string()),
        ("Interrupted backups that were given up", done.pendings.to_string()),
        ("Segments that stay because of damage", done.stuck.to_string()),
    ])
}

fn done_json(done: &Compacted) -> Result<String> {
    let mut root = Map::new();
    root.insert("deleted_segments".to_owned(), json!(done.deleted));
    let why = REASONS.map(|(reason, key, _)| (key.to_owned(), json!(done.why.get(&reason).unwrap_or(&0))));
    root.insert("deleted_because".to_owned(), why.into_iter().collect::<Map<_, _>>().into());
    root.insert("deleted_size".to_owned(), json!(done.deleted_bytes));
    root.insert("rewritten_size".to_owned(), json!(done.kept_bytes));
    root.insert("freed_size".to_owned(), json!(done.deleted_bytes.saturating_sub(done.kept_bytes)));
    root.insert("adopted_dooms".to_owned(), json!(done.adopted));
    root.insert("pendings".to_owned(), json!(done.pendings));
    root.insert("stuck_segments".to_owned(), json!(done.stuck));
    answer(root)
}

/// Segments that go for this reason, their bytes, and how many of these are needed.
fn count(plan: &Plan, reason: Reason) -> (usize, u64, u64) {
    let chosen = plan.victims.iter().filter(|victim| victim.reason == reason);
    chosen.fold((0, 0, 0), |(count, bytes, needed), victim| {
        (count + 1, bytes + victim.bytes, needed + victim.needed_bytes)
    })
}

fn plan_table(context: &Context, plan: &Plan) -> String {
    let units = context.units;
    let line = |reason| {
        let (segments, bytes, needed) = count(plan, reason);
        format!("{segments} ({}, of which {} are needed)", units.format(bytes), units.format(needed))
    };
    rows(&[
        ("Segments", format!("{} ({})", plan.segments, units.format(plan.bytes))),
        ("Segments nothing needs", line(Reason::Dead)),
        ("Segments with much waste", line(Reason::Waste)),
        ("Small segments to merge", line(Reason::Small)),
        ("Would be freed", units.format(plan.freed_bytes())),
        ("Waste that stays", units.format(plan.waste_bytes)),
        ("Collections of others to finish", plan.dooms.to_string()),
        ("Needed chunks that are missing", plan.missing_chunks.to_string()),
    ])
}

fn plan_json(plan: &Plan) -> Result<String> {
    let mut root = Map::new();
    root.insert("segments".to_owned(), json!({ "count": plan.segments, "size": plan.bytes }));
    for (reason, key, _) in REASONS {
        let (segments, bytes, needed) = count(plan, reason);
        root.insert(key.to_owned(), json!({ "count": segments, "size": bytes, "needed_size": needed }));
    }
    root.insert("would_free_size".to_owned(), json!(plan.freed_bytes()));
    root.insert("remaining_waste_size".to_owned(), json!(plan.waste_bytes));
    root.insert("missing_chunks".to_owned(), json!(plan.missing_chunks));
    root.insert("dry_run".to_owned(), json!(true));
    answer(root)
}

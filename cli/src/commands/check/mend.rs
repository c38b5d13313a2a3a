//! `gabion check --repair`

use anyhow::Result;
use gabion_core::clock::SystemClock;
use gabion_core::ops::check::{Checked, Spoilt};
use gabion_core::ops::repair::{Left, Plan, RepairOptions, Repaired, plan, repair};
use gabion_core::repository::Repository;
use serde_json::{Map, Value as Json, json};

use super::{Args, Listener, findings, print, warnings};
use crate::context::Context;
use crate::exit_code::{self, Warnings};
use crate::output::archive::answer;
use crate::output::rows::rows;
use crate::output::text::printable;

/// Plans and repairs.
pub(super) fn run(
    context: &Context,
    args: &Args,
    repository: &Repository,
    mut listener: Listener<'_>,
) -> Result<Warnings> {
    let other = args.from.as_deref().map(|named| context.other(Some(named))?.open_uncached()).transpose()?;
    let options = RepairOptions {
        data: args.verify_data,
        find_lost: args.find_lost_archives,
        no_collector: args.no_compact_runs,
        ..RepairOptions::default()
    };
    let reporter = listener.reporter;
    let (checked, plan) = plan(repository, &options, &SystemClock, reporter, &mut |told| listener.hear(&told))?;
    let copies = other.is_some() && !plan.lost.is_empty();
    if args.dry_run || (plan.is_empty() && !copies) {
        reporter.finish();
        print(&planned(context, args, &checked, &plan, listener.findings)?)?;
        return Ok(warnings(reporter, &checked));
    }
    let done = repair(repository, &plan, &options, other.as_ref(), &SystemClock, reporter)?;
    reporter.finish();
    let text = match args.json {
        true => {
            let mut root = findings::members(&checked, listener.findings);
            root.insert("plan".to_owned(), plan_json(&plan));
            root.insert("repaired".to_owned(), done_json(&done));
            answer(root)?
        }
        false => lines(&plan) + &done_table(&done),
    };
    print(&text)?;
    let mut warnings = reporter.warnings();
    if done.lost + done.kept + plan.left.len() > 0 {
        warnings.add(exit_code::CHECK_FINDING);
    }
    Ok(warnings)
}

/// What a plan that is not carried out says.
fn planned(context: &Context, args: &Args, checked: &Checked, plan: &Plan, findings: Vec<Json>) -> Result<String> {
    if args.json {
        let mut root = findings::members(checked, findings);
        root.insert("plan".to_owned(), plan_json(plan));
        return answer(root);
    }
    let steps = match (plan.is_empty(), plan.lost.len()) {
        (true, 0) => "Nothing to repair.\n".to_owned(),
        (true, lost) => format!(
            "Nothing to repair: {lost} chunks are lost and recorded; a backup that sees their content stores them \
             again.\n"
        ),
        (false, _) => String::new(),
    };
    Ok(findings::table(context, checked) + &lines(plan) + &steps)
}

/// The steps of a plan, a line each.
fn lines(plan: &Plan) -> String {
    let mut lines = Vec::new();
    for (id, spoilt) in &plan.spoilt {
        lines.push(match spoilt {
            Spoilt::Whole => format!("segments/{id}: nothing of it can be read; let it go"),
            Spoilt::Chunks(chunks) if chunks.is_empty() => {
                format!("segments/{id}: store all chunks again, let it go")
            }
            Spoilt::Chunks(chunks) => format!(
                "segments/{id}: store again what can be read, let it go; chunks that can not be read: {}",
                chunks.len()
            ),
        });
    }
    let mut each = |names: &mut dyn Iterator<Item = String>, what: &str| {
        lines.extend(names.map(|name| format!("{name}: {what}")));
    };
    each(&mut plan.configs.iter().map(ToString::to_string), "put what opened the repository in its place");
    each(&mut plan.doomed.iter().map(|id| format!("segments/{id}")), "keep a copy; `gabion compact` deletes it");
    each(&mut plan.unindexed.iter().map(|id| format!("segments/{id}")), "name it in the index again");
    each(&mut plan.gone.iter().map(|id| format!("segments/{id}")), "it is gone: take it out of the index");
    each(&mut plan.fragments.iter().map(ToString::to_string), "make it again from the segments");
    each(&mut plan.removals.iter().map(|(name, _)| name.to_string()), "say again that the archive is removed");
    each(&mut plan.epochs.iter().map(ToString::to_string), "begin a new epoch");
    each(&mut plan.damaged.iter().chain(&plan.discarded).map(ToString::to_string), "put it into quarantine");
    each(&mut plan.dooms.iter().map(ToString::to_string), "put it into quarantine, if --no-compact-runs is given");
    if plan.unrecorded() > 0 {
        let archives = plan.hurt.len();
        lines.push(format!("damage: record {} lost chunks that {archives} archives need", plan.unrecorded()));
    }
    for record in &plan.archives {
        let name = printable(record.name.as_bytes());
        lines.push(format!("archive {name}: {} files; put it back if it is whole", record.root.files));
    }
    for (name, left) in &plan.left {
        lines.push(match left {
            Left::Key => format!("{name}: stays; `gabion key add` makes another key, `gabion key remove` removes it"),
            Left::Archive => format!("{name}: stays; `gabion delete aid:...` gives the archive up"),
        });
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn plan_json(plan: &Plan) -> Json {
    let names =
        |names: &[gabion_core::backend::ObjectName]| json!(names.iter().map(ToString::to_string).collect::<Vec<_>>());
    let ids = |ids: &mut dyn Iterator<Item = String>| json!(ids.collect::<Vec<_>>());
    let mut object = Map::new();
    object.insert("empty".to_owned(), json!(plan.is_empty()));
    object.insert("lost_chunks".to_owned(), json!(plan.lost.len()));
    object.insert("record_chunks".to_owned(), json!(plan.unrecorded()));
    object.insert("hurt_archives".to_owned(), ids(&mut plan.hurt.iter().map(ToString::to_string)));
    object.insert("replace_segments".to_owned(), ids(&mut plan.spoilt.keys().map(ToString::to_string)));
    object.insert("index_segments".to_owned(), ids(&mut plan.unindexed.iter().map(ToString::to_string)));
    object.insert("forget_segments".to_owned(), ids(&mut plan.gone.iter().map(ToString::to_string)));
    object.insert("rebuild_fragments".to_owned(), names(&plan.fragments));
    object.insert("discard".to_owned(), names(&[&plan.damaged[..], &plan.discarded].concat()));
    object.insert("dooms".to_owned(), names(&plan.dooms));
    object.insert("configs".to_owned(), names(&plan.configs));
    let archives: Vec<Json> =
        plan.archives.iter().map(|record| json!({"name": record.name, "nfiles": record.root.files})).collect();
    object.insert("archives".to_owned(), Json::Array(archives));
    object.insert("left".to_owned(), ids(&mut plan.left.iter().map(|(name, _)| name.to_string())));
    Json::Object(object)
}

fn done_json(done: &Repaired) -> Json {
    json!({
        "copied_chunks": done.copied,
        "lost_chunks": done.lost,
        "replaced_segments": done.replaced,
        "kept_segments": done.kept,
        "discarded_objects": done.discarded,
        "archives": done.archives,
    })
}

fn done_table(done: &Repaired) -> String {
    rows(&[
        ("Segments replaced", done.replaced.to_string()),
        ("Segments that stay", done.kept.to_string()),
        ("Other objects in quarantine", done.discarded.to_string()),
        ("Chunks copied", done.copied.to_string()),
        ("Archives put back", done.archives.to_string()),
        ("Chunks lost and recorded", done.lost.to_string()),
    ])
}

//! `gabion analyze`

use std::collections::BTreeSet;
use std::io::Write as _;

use anyhow::Result;
use gabion_core::archive::catalog::Archive;
use gabion_core::index::ChunkSizes;
use gabion_core::ops::analyze::{ByName, DedupSizes, Hotspot, by_name, dedup_sizes, hotspots};
use gabion_core::repository::{Repository, Session};
use serde_json::{Map, Value as Json, json};

use crate::archives::ArchiveFilter;
use crate::context::Context;
use crate::exit_code::Warnings;
use crate::output::archive::{self, answer};
use crate::output::chart::{Line, chart};
use crate::output::json::put_bytes;
use crate::output::rows::rows;
use crate::output::sink::Sink;
use crate::progress::{Reporter, Settings, Work};

/// Directories that are told to people.
const HOTSPOTS_TOLD: usize = 20;

/// Show where the room of a repository goes.
///
/// Of the archives that are selected, or of all: what they need, what only they need (which deleting them would free), what no
/// archive needs (which `compact` frees), and the directories in which most new content came after the first archive of each
/// name. With --by-name: what the archives of each name need, and what they share with others.
///
/// Sizes are those of content, and, as stored, those after compression. On a terminal bars show which are large; of a series,
/// its files as long as they are, and dark what is stored of them.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gabion analyze\n  gabion analyze -a 'sh:home*' --older 6m\n  gabion analyze --by-name --json"
)]
pub struct Args {
    /// Tell what the archives of each name need
    #[arg(long)]
    by_name: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: ArchiveFilter,
}

/// Analyzes.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    let repository = context.open()?;
    let work = Work::Steps { msgid: "analyze", label: "Analyzing" };
    let reporter = context.reporter(Settings { work, ..context.settings() })?;
    let catalog = context.catalog(&repository, &reporter)?;
    let all = catalog.archives.clone();
    let mut root = archive::repository(context, &repository, &catalog)?;
    let selected: Vec<Archive> =
        args.filter.select(context, catalog)?.into_iter().map(|listed| listed.archive).collect();
    let session = repository.session()?;
    let told = if args.by_name {
        let names = by_name(&session, &selected, &reporter)?;
        reporter.finish();
        if args.json {
            root.insert("by_name".to_owned(), names_json(&names, selected.len()));
            answer(root)?
        } else {
            names_text(context, &names)
        }
    } else {
        let (sizes, hotspots) = sizes_and_hotspots(&session, &all, &selected, &reporter)?;
        reporter.finish();
        if args.json {
            root.insert("dedup_size".to_owned(), sizes_json(&sizes));
            root.insert("hotspots".to_owned(), hotspots.iter().map(hotspot_json).collect());
            answer(root)?
        } else {
            sizes_text(context, &sizes) + &hotspots_text(context, &hotspots)
        }
    };
    let mut out = Sink::new();
    out.write_all(told.as_bytes())?;
    out.flush()?;
    Ok(reporter.warnings())
}

fn sizes_and_hotspots(
    session: &Session,
    all: &[Archive],
    selected: &[Archive],
    reporter: &Reporter,
) -> Result<(DedupSizes, Vec<Hotspot>)> {
    let considered: BTreeSet<_> = selected.iter().map(|archive| archive.id).collect();
    let sizes = dedup_sizes(session, all, &considered, reporter)?;
    let found = hotspots(session, &selected.iter().collect::<Vec<_>>(), reporter)?;
    Ok((sizes, found))
}

/// What only these of all archives need.
pub fn exclusive(
    repository: &Repository,
    all: &[Archive],
    these: &[&Archive],
    reporter: &Reporter,
) -> Result<ChunkSizes> {
    let these = these.iter().map(|archive| archive.id).collect();
    Ok(dedup_sizes(&repository.session()?, all, &these, reporter)?.exclusive)
}

/// Sizes as JSON.
pub fn size_json(sizes: &ChunkSizes) -> Json {
    json!({ "source_size": sizes.plain_bytes, "stored_size": sizes.stored_bytes, "chunks": sizes.chunks })
}

fn sizes_json(sizes: &DedupSizes) -> Json {
    json!({
        "considered_archives": sizes.considered,
        "total_archives": sizes.archives,
        "whole_repository": sizes.considered == sizes.archives,
        "deduplicated": size_json(&sizes.deduplicated),
        "exclusive": size_json(&sizes.exclusive),
        "unreferenced": size_json(&sizes.unreferenced),
        "total": size_json(&sizes.total),
        "total_chunks": sizes.total.chunks,
        "missing_chunks": sizes.missing,
    })
}

fn hotspot_json(hotspot: &Hotspot) -> Json {
    let mut object = Map::new();
    put_bytes(&mut object, "path", &hotspot.path);
    object.insert("size".to_owned(), json!(hotspot.bytes));
    Json::Object(object)
}

fn names_json(names: &ByName, archives: usize) -> Json {
    let series = names.series.iter().map(|series| {
        json!({
            "name": series.name,
            "archives": series.archives,
            "source_size": series.source_bytes,
            "deduplicated": size_json(&series.deduplicated),
            "exclusive": size_json(&series.exclusive),
        })
    });
    json!({
        "archives": archives,
        "names": series.collect::<Vec<_>>(),
        "shared": size_json(&names.shared),
        "unreferenced": size_json(&names.unreferenced),
        "total": size_json(&names.total),
        "missing_chunks": names.missing,
    })
}

/// Sizes in one line.
pub fn size_text(context: &Context, sizes: &ChunkSizes) -> String {
    let units = context.units;
    format!(
        "{} in {} chunks, stored {}",
        units.format(sizes.plain_bytes),
        sizes.chunks,
        units.format(sizes.stored_bytes)
    )
}

fn sizes_text(context: &Context, sizes: &DedupSizes) -> String {
    rows(&[
        ("Archives", format!("{} of {}", sizes.considered, sizes.archives)),
        ("They need", size_text(context, &sizes.deduplicated)),
        ("Only they need", size_text(context, &sizes.exclusive)),
        ("No archive needs", size_text(context, &sizes.unreferenced)),
        ("All there is", size_text(context, &sizes.total)),
        ("Missing chunks", sizes.missing.to_string()),
    ])
}

fn hotspots_text(context: &Context, hotspots: &[Hotspot]) -> String {
    if hotspots.is_empty() {
        return String::new();
    }
    let lines = hotspots.iter().take(HOTSPOTS_TOLD).map(|hotspot| Line {
        cells: vec![context.units.format(hotspot.bytes)],
        bytes: hotspot.bytes,
        dark: hotspot.bytes,
        name: if hotspot.path.is_empty() { b"/".to_vec() } else { hotspot.path.clone() },
    });
    let mut text =
        "\nMost new content came in:\n".to_owned() + &chart(&["Bytes", "Directory"], &lines.collect::<Vec<_>>());
    if hotspots.len() > HOTSPOTS_TOLD {
        text += &format!("... and {} more directories\n", hotspots.len() - HOTSPOTS_TOLD);
    }
    text
}

fn names_text(context: &Context, names: &ByName) -> String {
    let lines = names.series.iter().map(|series| Line {
        cells: vec![
            series.archives.to_string(),
            context.units.format(series.source_bytes),
            context.units.format(series.deduplicated.stored_bytes),
            context.units.format(series.exclusive.stored_bytes),
        ],
        bytes: series.source_bytes,
        dark: series.deduplicated.stored_bytes,
        name: series.name.clone().into_bytes(),
    });
    let heads = ["Archives", "Original", "Stored", "Only there", "Series"];
    let mut text =
        "Stored, each chunk once, by the name of archives:\n".to_owned() + &chart(&heads, &lines.collect::<Vec<_>>());
    text.push('\n');
    text + &rows(&[
        ("Several names need", size_text(context, &names.shared)),
        ("None of them needs", size_text(context, &names.unreferenced)),
        ("All there is", size_text(context, &names.total)),
        ("Missing chunks", names.missing.to_string()),
    ])
}

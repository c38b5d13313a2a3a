//! What is told of an archive that was made.

use std::io::Write as _;
use std::time::Duration;

use anyhow::Result;
use gabion_core::archive::catalog::Archive;
use gabion_core::archive::record::Statistics;
use gabion_core::repository::{Holdings, Repository};
use serde_json::{Map, Value as Json, json};

use crate::context::Context;
use crate::output::sink::Sink;
use crate::output::{archive as show, time};
use crate::progress::Reporter;

/// A table for people.
pub(crate) fn stats(context: &Context, repository: &Repository, archive: &Archive, reporter: &Reporter) {
    let (record, units) = (&archive.record, context.units);
    let statistics = &record.statistics;
    let rows = [
        ("Repository", repository.object_store().location().to_owned()),
        ("Archive name", record.name.clone()),
        ("Archive id", archive.id.to_string()),
        ("Time (start)", time::human(record.start, context.zone())),
        ("Time (end)", time::human(record.end, context.zone())),
        ("Duration", time::duration(Duration::try_from_secs_f64(show::seconds(archive)).unwrap_or_default())),
        ("Number of files", statistics.files.to_string()),
        ("Files that could not be read", statistics.errors.to_string()),
        ("Original size", units.format(statistics.bytes)),
        ("New data", units.format(statistics.new_bytes)),
        ("New data, stored", units.format(statistics.stored_bytes)),
    ];
    table(&rows, reporter);
}

/// A table for people about a dry run.
pub(super) fn dry_stats(context: &Context, statistics: &Statistics, reporter: &Reporter) {
    let rows =
        [("Number of files", statistics.files.to_string()), ("Original size", context.units.format(statistics.bytes))];
    table(&rows, reporter);
}

fn table(rows: &[(&str, String)], reporter: &Reporter) {
    let width = rows.iter().map(|(label, _)| label.len() + 1).max().unwrap_or(0);
    for (label, value) in rows {
        reporter.say(&format!("{:width$} {value}", format!("{label}:")));
    }
}

/// One object for programs.
pub(crate) fn json(
    context: &Context,
    repository: &Repository,
    archive: &Archive,
    holdings: Holdings,
    reporter: &Reporter,
) -> Result<Map<String, Json>> {
    let catalog = context.catalog(repository, reporter)?;
    let mut root = show::repository(context, repository, &catalog)?;
    root.insert("cache".to_owned(), show::cache(context, &catalog, holdings));
    root.insert("archive".to_owned(), Json::Object(show::details(archive, context.zone())));
    Ok(root)
}

/// One object for programs about a dry run.
pub(super) fn dry_json(
    context: &Context,
    repository: Option<&Repository>,
    statistics: &Statistics,
    reporter: &Reporter,
) -> Result<Map<String, Json>> {
    let mut root = match repository {
        Some(repository) => show::repository(context, repository, &context.catalog(repository, reporter)?)?,
        None => Map::new(),
    };
    root.insert("dry_run".to_owned(), json!(true));
    root.insert("stats".to_owned(), json!({ "nfiles": statistics.files, "original_size": statistics.bytes }));
    Ok(root)
}

/// Prints an object.
pub(crate) fn print(root: Map<String, Json>) -> Result<()> {
    let mut out = Sink::new();
    out.write_all(show::answer(root)?.as_bytes())?;
    Ok(out.flush()?)
}

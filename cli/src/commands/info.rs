//! `gabion info`

use std::io::Write as _;
use std::time::Duration;

use anyhow::Result;
use gabion_core::archive::catalog::Archive;
use gabion_core::index::ChunkSizes;
use gabion_core::ops::analyze::alone;
use serde_json::{Value as Json, json};

use super::analyze::{size_json, size_text};
use crate::archives::{self, ArchiveFilter};
use crate::context::Context;
use crate::exit_code::{Failure, Warnings};
use crate::output::rows::rows;
use crate::output::sink::Sink;
use crate::output::{archive as show, text, time};
use crate::progress::{Settings, Work};

/// Show what is known of archives.
///
/// Without a name and without filters it is every archive.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gabion info home\n  gabion info home@2 --alone\n  gabion info -a 'sh:home*' --last 3 --json"
)]
pub struct Args {
    /// The archive: its name (the newest of the series), name@N or aid:HEX
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Also tell what only this archive needs, which deleting it would give back; of several, each by itself. Reads the
    /// trees of all archives
    #[arg(long)]
    alone: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: ArchiveFilter,
}

/// Shows the archives.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    if args.name.is_some() && !args.filter.is_empty() {
        return Err(Failure::command("name one archive or filter archives, not both").into());
    }
    let repository = context.open()?;
    let work = match args.alone {
        true => Work::Steps { msgid: "archive.calc_stats", label: "Measuring" },
        false => Work::Untold,
    };
    let reporter = context.reporter(Settings { work, ..context.settings() })?;
    let catalog = context.catalog(&repository, &reporter)?;
    let mut root = show::repository(context, &repository, &catalog)?;
    let session = (args.json || args.alone).then(|| repository.session()).transpose()?;
    if args.json {
        root.extend(
            session.as_ref().map(|session| ("cache".to_owned(), show::cache(context, &catalog, session.holdings()))),
        );
    }
    let all = if args.alone { catalog.archives.clone() } else { Vec::new() };
    let archives: Vec<Archive> = match &args.name {
        Some(name) => vec![archives::find(context, catalog, name)?],
        None => args.filter.select(context, catalog)?.into_iter().map(|listed| listed.archive).collect(),
    };
    let own: Vec<Option<ChunkSizes>> = match session.filter(|_| args.alone) {
        Some(session) => alone(&session, &all, &archives, &reporter)?.into_iter().map(Some).collect(),
        None => vec![None; archives.len()],
    };
    reporter.finish();
    let told = archives.iter().zip(own);
    let mut out = Sink::new();
    if args.json {
        root.insert("archives".to_owned(), told.map(|(archive, own)| object(context, archive, own)).collect());
        out.write_all(show::answer(root)?.as_bytes())?;
    } else {
        let tables: Vec<String> = told.map(|(archive, own)| table(context, archive, own)).collect();
        out.write_all(tables.join("\n").as_bytes())?;
    }
    out.flush()?;
    Ok(reporter.warnings())
}

fn object(context: &Context, archive: &Archive, own: Option<ChunkSizes>) -> Json {
    let mut object = show::details(archive, context.zone());
    object.extend(own.map(|own| ("exclusive".to_owned(), size_json(&own))));
    object.insert("base".to_owned(), json!(archive.record.base.map(|base| base.to_string())));
    Json::Object(object)
}

fn table(context: &Context, archive: &Archive, own: Option<ChunkSizes>) -> String {
    let (record, units) = (&archive.record, context.units);
    let statistics = &record.statistics;
    let duration = Duration::try_from_secs_f64(show::seconds(archive)).unwrap_or_default();
    let list = |texts: &mut dyn Iterator<Item = String>, between: &str| texts.collect::<Vec<_>>().join(between);
    let directory = record.working_directory.as_ref().map(|path| text::printable(path).into_owned());
    let mut table = vec![
        ("Archive name", record.name.clone()),
        ("Archive id", archive.id.to_string()),
        ("Comment", record.comment.clone()),
        ("Tags", list(&mut record.tags.iter().cloned(), ",")),
        ("Hostname", record.host.clone()),
        ("Username", record.user.clone()),
        ("Time (start)", time::human(record.start, context.zone())),
        ("Time (end)", time::human(record.end, context.zone())),
        ("Duration", time::duration(duration)),
        ("Command line", list(&mut record.command_line.iter().map(|word| quoted(word)), " ")),
        ("Working directory", directory.unwrap_or_default()),
        ("Base archive", record.base.map_or_else(|| "none".to_owned(), |base| base.to_string())),
        ("Chunker parameters", record.chunker.clone()),
        ("Number of files", statistics.files.to_string()),
        ("Files that could not be read", statistics.errors.to_string()),
        ("Original size", units.format(statistics.bytes)),
        ("New data", units.format(statistics.new_bytes)),
        ("New data, stored", units.format(statistics.stored_bytes)),
    ];
    table.extend(own.map(|own| ("Only it needs", size_text(context, &own))));
    rows(&table)
}

/// A word as one would type it in a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+,./:@%{}[]".contains(c) || !c.is_ascii();
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        for (word, shown) in
            [("create", "create"), ("", "''"), ("a b", "'a b'"), ("it's", r"'it'\''s'"), ("{now:%Y}", "{now:%Y}")]
        {
            assert_eq!(quoted(word), shown);
        }
    }
}

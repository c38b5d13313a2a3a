//! `gabion check`

use std::io::Write as _;

use anyhow::Result;
use gabion_core::archive::catalog::Catalog;
use gabion_core::clock::SystemClock;
use gabion_core::ops::check::{About, CheckOptions, Checked, Finding, check};
use serde_json::{Map, Value as Json, json};

use crate::archives::ArchiveFilter;
use crate::context::Context;
use crate::exit_code::{self, Failure, Warnings};
use crate::output::archive::answer;
use crate::output::json::put_bytes;
use crate::output::rows::rows;
use crate::output::sink::Sink;
use crate::output::text::printable;
use crate::progress::{Level, Settings, Work};
use crate::timespan::Timespan;

/// Check that a repository is whole, and name what is not.
///
/// By default every object is read and compared with its hash and name, the index with what exists, and the trees
/// of all archives are visited. With --verify-data every chunk is opened too. Damage is named down to the files it
/// hurts; the exit code is 1 then. Nothing is changed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gabion check --verify-data\n  gabion check --repository-only --max-duration 3600 \
                        --max-age 30d\n  gabion check --archives-only -a home --last 1"
)]
pub struct Args {
    /// Check objects and index only
    #[arg(long, conflicts_with_all = ["archives_only", "verify_data"])]
    repository_only: bool,
    /// Check archives only
    #[arg(long, conflicts_with = "verify_data")]
    archives_only: bool,
    /// Open every chunk and compare it with its name
    #[arg(long)]
    verify_data: bool,
    /// Stop reading data after so many seconds; the next check goes on where this one stopped
    #[arg(long, value_name = "SECONDS")]
    max_duration: Option<u64>,
    /// Do not read again what this client found whole within this time
    #[arg(long, value_name = "TIMESPAN")]
    max_age: Option<Timespan>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: ArchiveFilter,
}

/// Checks the repository.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    if args.repository_only && !args.filter.is_empty() {
        return Err(Failure::command("--repository-only looks at no archives: do not select any").into());
    }
    let repository = context.open_uncached()?;
    let work = Work::Steps { msgid: "repository.check", label: "Checking" };
    let reporter = context.reporter(Settings { work, ..context.settings() })?;
    let only = match args.filter.is_empty() {
        true => None,
        false => {
            let selected = args.filter.select(context, Catalog::load(&repository)?)?;
            Some(selected.into_iter().map(|listed| listed.archive.id).collect())
        }
    };
    let options = CheckOptions {
        objects: !args.archives_only,
        archives: !args.repository_only,
        data: args.verify_data,
        only,
        seconds_max: args.max_duration,
        age_max: args.max_age.map(Timespan::seconds),
        ..CheckOptions::default()
    };
    let mut findings = Vec::new();
    let checked = check(&repository, &options, &SystemClock, &reporter, &mut |finding| {
        if args.json {
            findings.push(object(&finding));
        } else {
            let level = if finding.about.is_harmless() { Level::Info } else { Level::Warning };
            reporter.log(level, Some(exit_code::CHECK_FINDING), &line(&finding));
        }
    })?;
    reporter.finish();
    let mut out = Sink::new();
    let text = if args.json { summary(&checked, findings)? } else { table(context, &checked) };
    out.write_all(text.as_bytes())?;
    out.flush()?;
    let mut warnings = reporter.warnings();
    if checked.damages > 0 {
        warnings.add(exit_code::CHECK_FINDING);
    }
    Ok(warnings)
}

/// What a finding is about: a word for programs, and what is concerned.
fn about(about: &About) -> (&'static str, String) {
    match about {
        About::Foreign(name) => ("foreign", name.clone()),
        About::Object(name) => ("object", name.clone()),
        About::MissingSegment(id) => ("missing_segment", format!("segments/{id}")),
        About::Unnamed(count) => ("unnamed_segments", count.to_string()),
        About::Chunk(id) => ("chunk", id.to_string()),
        About::Archive(id) => ("archive", id.to_string()),
        About::Path(archive, path) => ("path", format!("{} in archive {archive}", printable(path))),
    }
}

fn line(finding: &Finding) -> String {
    let (word, what) = about(&finding.about);
    format!("{}: {what}: {}", word.replace('_', " "), finding.error)
}

fn object(finding: &Finding) -> Json {
    let (word, what) = about(&finding.about);
    let mut object = Map::new();
    object.insert("about".to_owned(), json!(word));
    match &finding.about {
        About::Path(archive, path) => {
            object.insert("archive".to_owned(), json!(archive.to_string()));
            put_bytes(&mut object, "path", path);
        }
        _ => {
            object.insert("object".to_owned(), json!(what));
        }
    }
    object.insert("harmless".to_owned(), json!(finding.about.is_harmless()));
    object.insert("message".to_owned(), json!(finding.error.to_string()));
    Json::Object(object)
}

fn summary(checked: &Checked, findings: Vec<Json>) -> Result<String> {
    let mut root = Map::new();
    root.insert("objects".to_owned(), json!(checked.objects));
    root.insert("size".to_owned(), json!(checked.bytes));
    root.insert("skipped_segments".to_owned(), json!(checked.skipped_segments));
    root.insert("archives".to_owned(), json!(checked.archives));
    root.insert("chunks".to_owned(), json!(checked.chunks));
    root.insert("lost_chunks".to_owned(), json!(checked.lost.len()));
    root.insert("damages".to_owned(), json!(checked.damages));
    root.insert("findings".to_owned(), Json::Array(findings));
    answer(root)
}

fn table(context: &Context, checked: &Checked) -> String {
    let verdict = match checked.damages {
        0 => "no damage found".to_owned(),
        damages => format!("{damages} findings, {} chunks are lost", checked.lost.len()),
    };
    rows(&[
        ("Objects read", format!("{} ({})", checked.objects, context.units.format(checked.bytes))),
        ("Segments passed over", checked.skipped_segments.to_string()),
        ("Archives", checked.archives.to_string()),
        ("Chunks and tree nodes", checked.chunks.to_string()),
        ("Result", verdict),
    ])
}

//! `gabion check`

mod findings;
mod mend;

use std::io::Write as _;

use anyhow::Result;
use gabion_core::archive::catalog::{Archive, Catalog};
use gabion_core::clock::SystemClock;
use gabion_core::error::{Error, ErrorKind};
use gabion_core::ops::check::{CheckOptions, Checked, Told, check, check_without_key};
use gabion_core::repository::Repository;
use serde_json::Value as Json;

use crate::archives::ArchiveFilter;
use crate::context::Context;
use crate::exit_code::{self, Failure, Warnings};
use crate::output::archive::{self, KEYS};
use crate::output::format::{Format, Manner};
use crate::output::sink::Sink;
use crate::progress::{Level, Reporter, Settings, Work};
use crate::timespan::Timespan;

const DEFAULT_FORMAT: &str = "{archive} {time} [{id}]";

/// Check that a repository is whole, and name what is not; mend it with --repair.
///
/// By default every object is read and compared with its hash and name, the index with what exists, and the trees
/// of all archives are visited. With --verify-data every chunk is opened too. Damage is named down to the files it
/// hurts; the exit code is 1 then. Nothing is changed.
///
/// With --repair what can be mended is: the index is made again from segments, readable parts of damaged segments are
/// stored again, and what is lost is recorded, so that the next backup that sees the same content heals it. A copy of
/// whatever is deleted is kept under `quarantine/`. See docs/repair.md.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gabion check --verify-data\n  gabion check --repository-only --max-duration 3600 \
                        --max-age 30d\n  gabion check --archives-only -a home --last 1\n  gabion check --repair \
                        --dry-run\n  gabion check --repair --from /mnt/second/repo"
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
    /// Compare every object with its hash and name, and nothing else: no passphrase is asked for
    #[arg(long, conflicts_with_all = ["archives_only", "verify_data", "max_age", "repair"])]
    without_key: bool,
    /// Stop reading data after so many seconds; the next check goes on where this one stopped
    #[arg(long, value_name = "SECONDS")]
    max_duration: Option<u64>,
    /// Do not read again what this client found whole within this time
    #[arg(long, value_name = "TIMESPAN")]
    max_age: Option<Timespan>,
    /// Mend what can be mended
    #[arg(long, conflicts_with_all = ["repository_only", "archives_only", "max_duration", "max_age"])]
    repair: bool,
    /// With --repair: change nothing, tell what would be done
    #[arg(short = 'n', long, requires = "repair")]
    dry_run: bool,
    /// With --repair: copy missing chunks from this repository; its passphrase is looked for in
    /// GABION_OTHER_PASSPHRASE and so on
    #[arg(long, value_name = "REPOSITORY", requires = "repair")]
    from: Option<String>,
    /// With --repair: look for archives whose records are gone, and put them back as far as they are whole. Backups that were
    /// never finished may be among them
    #[arg(long, requires = "repair")]
    find_lost_archives: bool,
    /// With --repair: you are sure that no `gabion compact` runs on any machine; a damaged note of one can go then
    #[arg(long, requires = "repair")]
    no_compact_runs: bool,
    /// With --verbose: name the archives that are checked in this format, see `gabion repo-list --help`
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: ArchiveFilter,
}

/// Checks the repository.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    let selects = !args.filter.is_empty();
    for (set, option) in
        [(args.repository_only, "--repository-only"), (args.without_key, "--without-key"), (args.repair, "--repair")]
    {
        if set && selects {
            let why = if args.repair { "looks at all archives" } else { "looks at no archives" };
            return Err(Failure::command(format!("{option} {why}: do not select any")).into());
        }
    }
    let format = Format::parse(args.format.as_deref().unwrap_or(DEFAULT_FORMAT), KEYS)?;
    if args.without_key {
        let reporter = reporter(context)?;
        return without_key(context, args, reporter);
    }
    let repository = match context.open_uncached() {
        Err(error) if is_about_keys(&error) => {
            let reporter = reporter(context)?;
            reporter.log(Level::Warning, None, "no key opens the repository: only hashes and names are compared");
            without_key(context, args, reporter)?;
            return Err(error);
        }
        opened => opened?,
    };
    let reporter = reporter(context)?;
    let mut listener = Listener::new(context, &reporter, format, args);
    if args.repair {
        return mend::run(context, args, &repository, listener);
    }
    let options = options(context, args, &repository)?;
    let checked = check(&repository, &options, &SystemClock, &reporter, &mut |told| listener.hear(&told))?;
    reporter.finish();
    let findings = listener.findings;
    print(&if args.json { findings::summary(&checked, findings)? } else { findings::table(context, &checked) })?;
    Ok(warnings(&reporter, &checked))
}

fn reporter(context: &Context) -> Result<Reporter> {
    let work = Work::Steps { msgid: "repository.check", label: "Checking" };
    context.reporter(Settings { work, ..context.settings() })
}

fn options(context: &Context, args: &Args, repository: &Repository) -> Result<CheckOptions> {
    let only = match args.filter.is_empty() {
        true => None,
        false => {
            let selected = args.filter.select(context, Catalog::load(repository)?)?;
            Some(selected.into_iter().map(|listed| listed.archive.id).collect())
        }
    };
    Ok(CheckOptions {
        objects: !args.archives_only,
        archives: !args.repository_only,
        data: args.verify_data,
        only,
        seconds_max: args.max_duration,
        age_max: args.max_age.map(Timespan::seconds),
        ..CheckOptions::default()
    })
}

/// Whether the repository did not open because of its keys or its configuration, and not of who asked.
fn is_about_keys(error: &anyhow::Error) -> bool {
    let about_keys = |error: &Error| match error.kind() {
        ErrorKind::KeyNotFound | ErrorKind::KeyInvalid | ErrorKind::NotARepository => true,
        ErrorKind::Damaged => error.context("object") == Some("config"),
        _ => false,
    };
    error.chain().filter_map(|cause| cause.downcast_ref()).any(about_keys)
}

fn without_key(context: &Context, args: &Args, reporter: Reporter) -> Result<Warnings> {
    let store = context.opened_store()?;
    let options = CheckOptions { seconds_max: args.max_duration, ..CheckOptions::default() };
    let format = Format::parse(DEFAULT_FORMAT, KEYS)?;
    let mut listener = Listener::new(context, &reporter, format, args);
    let checked = check_without_key(&store, &options, &SystemClock, &reporter, &mut |told| listener.hear(&told))?;
    let findings = std::mem::take(&mut listener.findings);
    reporter.finish();
    print(&if args.json { findings::summary(&checked, findings)? } else { findings::table(context, &checked) })?;
    Ok(warnings(&reporter, &checked))
}

/// Takes what a check tells.
struct Listener<'a> {
    reporter: &'a Reporter,
    format: Format,
    manner: Manner,
    json: bool,
    /// Whether what is found is about to be mended: then it does not decide how the command ends.
    mends: bool,
    /// With --json, all of them.
    findings: Vec<Json>,
}

impl<'a> Listener<'a> {
    fn new(context: &Context, reporter: &'a Reporter, format: Format, args: &Args) -> Self {
        let mends = args.repair && !args.dry_run;
        Self { reporter, format, manner: context.manner(), json: args.json, mends, findings: Vec::new() }
    }

    fn hear(&mut self, told: &Told<'_>) {
        match told {
            Told::Archive(archive) => self.reporter.log(Level::Info, None, &self.line(archive)),
            Told::Finding(finding) if self.json => self.findings.push(findings::object(finding)),
            Told::Finding(finding) => {
                let level = if finding.about.is_harmless() { Level::Info } else { Level::Warning };
                let code = (!self.mends).then_some(exit_code::CHECK_FINDING);
                self.reporter.log(level, code, &findings::line(finding));
            }
        }
    }

    fn line(&self, archive: &Archive) -> String {
        let mut line = Vec::new();
        // What a format can not show of an archive is left out.
        let _ = self.format.render(|key| archive::value(archive, key), &self.manner, &mut line);
        format!("archive {}", String::from_utf8_lossy(&line).trim_end())
    }
}

fn warnings(reporter: &Reporter, checked: &Checked) -> Warnings {
    let mut warnings = reporter.warnings();
    if checked.damages > 0 {
        warnings.add(exit_code::CHECK_FINDING);
    }
    warnings
}

fn print(text: &str) -> Result<()> {
    let mut out = Sink::new();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

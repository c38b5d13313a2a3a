//! `gabion prune`

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use anyhow::Result;
use clap::ValueEnum;
use gabion_core::archive::catalog::Archive;
use gabion_core::clock::{SystemClock, Timestamp};
use gabion_core::id::ArchiveId;
use gabion_core::index::ChunkSizes;
use gabion_core::ops::delete::{delete, is_protected};
use gabion_core::ops::prune::{Candidate, Kept, Policy, keep};
use serde_json::{Map, Value as Json, json};

use super::analyze::{exclusive, size_json, size_text};
use crate::archives::{ArchiveFilter, find};
use crate::context::Context;
use crate::date::parse_moment;
use crate::exit_code::{Failure, Warnings};
use crate::output::archive::{self, KEYS, answer};
use crate::output::format::Format;
use crate::output::sink::Sink;
use crate::output::time::date;
use crate::progress::Level;
use crate::retention::Rules;

const FORMAT: &str = "{archive:<36} {time} [{id}]{NL}";
const SHORT_FORMAT: &str = "{archive}{NL}";

/// Remove archives that no rule keeps.
///
/// Each rule keeps the newest archive of every period (in local time), until it kept so many: rules for short periods
/// come first, and what they keep does not count for the others. The last rule keeps the oldest archive too, if it may keep
/// one more. Instead of a number a rule takes a span of time, such as 30d: then it keeps what was made in it; or `all`.
///
/// Rules are applied to all selected archives together, whatever their names: where several machines or kinds of data
/// share a repository, select by NAME or --match-archives, or have each series (archives that share a name) treated on
/// its own by `--group-by series`. Archives with the tag @PROT stay. The room is given back by `gabion compact`; until then
/// `gabion undelete` brings archives back.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gabion prune --keep-daily 7 --keep-weekly 4 --keep-monthly 6 --list --dry-run\n  \
                        gabion prune home --keep 2d --keep-daily 14\n  gabion prune -a 'sh:{hostname}-*' -d 7 -w 4\n  \
                        gabion prune --group-by series --keep-daily 7"
)]
pub struct Args {
    /// Only the series of this name
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// List what is kept and why, and what goes
    #[arg(long)]
    list: bool,
    /// List only what goes
    #[arg(long)]
    list_pruned: bool,
    /// List only what is kept
    #[arg(long)]
    list_kept: bool,
    /// List names only
    #[arg(long, conflicts_with = "format")]
    short: bool,
    /// List archives in this format [env: GABION_PRUNE_FORMAT]
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Tell how much only the archives need that go: so much `gabion compact` will free
    #[arg(short, long)]
    stats: bool,
    /// Remove archives even if the rules keep none
    #[arg(long)]
    force: bool,
    /// Keep what was made at this moment or later, and count spans of time back from it instead of now
    #[arg(long, value_name = "TIMESTAMP")]
    from: Option<String>,
    /// What the rules are applied to
    #[arg(long, value_name = "WHAT", default_value = "all")]
    group_by: Group,
    #[command(flatten)]
    rules: Rules,
    #[command(flatten)]
    filter: ArchiveFilter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Group {
    /// To the archives of each name.
    Series,
    /// To all archives together.
    All,
}

/// Removes what no rule keeps.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    let from = args.from.as_deref().map(|text| parse_moment(text, context.zone())).transpose()?;
    let policy = args.rules.policy(from.unwrap_or(context.now()))?;
    let format = match (&args.format, args.short) {
        (Some(format), _) => format,
        (None, true) => SHORT_FORMAT,
        (None, false) => context.environment.prune_format()?.unwrap_or(FORMAT),
    };
    let format = Format::parse(format, KEYS)?;
    let repository = context.open()?;
    if !args.dry_run {
        repository.permissions().require_all("prune")?;
    }
    let reporter = context.reporter(context.settings())?;
    let mut catalog = context.catalog(&repository, &reporter)?;
    let root = archive::repository(context, &repository, &catalog)?;
    let everything = if args.stats { catalog.archives.clone() } else { Vec::new() };
    if let Some(name) = &args.name {
        let series = context.placeholders.replace(name)?;
        if catalog.series(&series).next().is_none() {
            // says what there is instead
            find(context, catalog, name)?;
            return Err(Failure::command(format!("`{series}` is one archive: name a series")).into());
        }
        catalog.archives.retain(|archive| archive.record.name == series);
    }
    let archives: Vec<Archive> =
        args.filter.select(context, catalog)?.into_iter().map(|listed| listed.archive).collect();
    let kept = args.kept(context, &archives, &policy, from);
    let by_rules = kept.values().any(|why| *why != Kept::Protected);
    if !by_rules && kept.len() < archives.len() && !args.force {
        let everything = "these rules keep no archive at all; to remove them all the same, add --force";
        return Err(Failure::command(everything).into());
    }
    let rows: Vec<(&Archive, Option<Kept>)> =
        archives.iter().rev().map(|archive| (archive, kept.get(&archive.id).copied())).collect();
    let gone: Vec<&Archive> = rows.iter().filter(|(_, kept)| kept.is_none()).map(|(archive, _)| *archive).collect();
    let freed = match args.stats {
        true => Some(exclusive(&repository, &everything, &gone, &reporter)?),
        false => None,
    };
    args.show(context, root, &rows, &format, freed.as_ref())?;
    if args.group_by == Group::All && args.filter.is_empty() && mixes_series(&archives) {
        let hint = "rules were applied to several series together: see NAME, --match-archives and --group-by series";
        reporter.log(Level::Warning, None, hint);
    }
    if !args.dry_run {
        delete(&repository, &gone, &context.remover("prune"), &SystemClock)?;
    }
    let verb = if args.dry_run { "Would remove" } else { "Removed" };
    let told = format!("{verb} {} of {} archives; `gabion compact` gives their room back", gone.len(), archives.len());
    reporter.log(Level::Info, None, &told);
    Ok(reporter.warnings())
}

/// Whether there are several names, and one of them at least is that of a series.
fn mixes_series(archives: &[Archive]) -> bool {
    let names: BTreeSet<&str> = archives.iter().map(|archive| archive.record.name.as_str()).collect();
    names.len() > 1 && names.len() < archives.len()
}

impl Args {
    fn kept(
        &self,
        context: &Context,
        archives: &[Archive],
        policy: &Policy,
        from: Option<Timestamp>,
    ) -> BTreeMap<ArchiveId, Kept> {
        let mut groups = BTreeMap::<&str, Vec<Candidate>>::new();
        for archive in archives {
            let name = if self.group_by == Group::All { "" } else { &archive.record.name };
            let protected = is_protected(&archive.record);
            groups.entry(name).or_default().push(Candidate { id: archive.id, start: archive.record.start, protected });
        }
        let zone = context.zone();
        groups.values().flat_map(|group| keep(group, policy, from, &|moment| date(moment, zone))).collect()
    }

    fn show(
        &self,
        context: &Context,
        mut root: Map<String, Json>,
        rows: &[(&Archive, Option<Kept>)],
        format: &Format,
        freed: Option<&ChunkSizes>,
    ) -> Result<()> {
        let everything = (self.list || self.json) && !self.list_kept && !self.list_pruned;
        let shown = |kept: bool| everything || (kept && self.list_kept) || (!kept && self.list_pruned);
        let (rows, mut out) = (rows.iter().filter(|(_, kept)| shown(kept.is_some())), Sink::new());
        if self.json {
            let mut gone = 0;
            let object = |(archive, kept): &(&Archive, Option<Kept>)| {
                let mut object = archive::brief(archive, context.zone());
                gone += u64::from(kept.is_none());
                put_verdict(&mut object, *kept, gone);
                Json::Object(object)
            };
            root.insert("archives".to_owned(), rows.map(object).collect());
            root.insert("dry_run".to_owned(), json!(self.dry_run));
            if let Some(freed) = freed {
                root.insert("exclusive".to_owned(), size_json(freed));
            }
            out.write_all(answer(root)?.as_bytes())?;
            return Ok(out.flush()?);
        }
        let (manner, mut line) = (context.manner(), Vec::new());
        for (archive, kept) in rows {
            line.clear();
            let verdict = match kept {
                Some(kept) => format!("Keeping archive (rule: {}):", reason(*kept)),
                None if self.dry_run => "Would prune:".to_owned(),
                None => "Pruning archive:".to_owned(),
            };
            write!(line, "{verdict:<40} ")?;
            format.render(|key| archive::value(archive, key), &manner, &mut line)?;
            out.write_all(&line)?;
        }
        if let Some(freed) = freed {
            writeln!(out, "Only archives that go need: {}", size_text(context, freed))?;
        }
        Ok(out.flush()?)
    }
}

/// What keeps an archive: the rule, whether as the oldest one, and as its how manyth.
fn verdict(kept: Kept) -> (&'static str, bool, Option<u64>) {
    match kept {
        Kept::Protected => ("@PROT", false, None),
        Kept::Newer(number) => ("skip", false, Some(number)),
        Kept::By(period, number) => (period.name(), false, Some(number)),
        Kept::Oldest(period, number) => (period.name(), true, Some(number)),
    }
}

/// The same as Borg tells it: `daily #3`, `yearly[oldest] #1`.
fn reason(kept: Kept) -> String {
    let (rule, oldest, number) = verdict(kept);
    let number = number.map(|number| format!(" #{number}")).unwrap_or_default();
    format!("{rule}{}{number}", if oldest { "[oldest]" } else { "" })
}

/// The same with the keys that Borg has; `gone` is the number of an archive among those that go.
fn put_verdict(object: &mut Map<String, Json>, kept: Option<Kept>, gone: u64) {
    let mut put = |key: &str, value: Json| drop(object.insert(key.to_owned(), value));
    put("kept", json!(kept.is_some()));
    let Some((rule, oldest, number)) = kept.map(verdict) else { return put("deleted_archive_number", json!(gone)) };
    put("keep_rule", json!(rule));
    put("kept_oldest", json!(oldest));
    put("kept_archive_number", json!(number));
}

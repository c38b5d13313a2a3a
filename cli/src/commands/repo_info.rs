//! `gabion repo-info`

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use gabion_backends::layer::StoreTrace;
use gabion_backends::scrub::Health;
use gabion_core::archive::catalog::Catalog;
use gabion_core::backend::{Capabilities, Permissions};
use gabion_core::repository::{FoundSlot, Holdings, KeyLocation, Repository, Session};
use serde_json::json;

use super::key;
use crate::context::Context;
use crate::exit_code::Warnings;
use crate::output::chart::{Line, chart};
use crate::output::rows::rows;
use crate::output::sink::Sink;
use crate::output::{archive as show, time};
use crate::requests;

/// Show what a repository is, what it holds, and what it survives.
///
/// The archives of each name, a series, are told with the size of their files and what was new and stored when they were made; on a
/// terminal a bar shows the one dark within the other. What they need now is told by `gabion analyze --by-name`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gabion repo-info\n  gabion repo-info --json\n  gabion -r 's3://my-backups/laptop?region=eu-central-1' repo-info --costs"
)]
pub struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Tell what this command asked the store for, by kind of request: what a provider may charge for
    #[arg(long)]
    costs: bool,
}

/// Series that are told to people.
const SERIES_TOLD: usize = 20;

/// The archives of one name.
#[derive(Default)]
struct Series {
    name: String,
    archives: usize,
    original_bytes: u64,
    /// What was new and stored when they were made.
    added_bytes: u64,
}

/// All that is told.
struct Facts<'a> {
    repository: &'a Repository,
    catalog: Catalog,
    session: Session,
    slots: Vec<FoundSlot>,
    unreadable_slots: usize,
    health: Health,
}

/// Shows the repository.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    let repository = context.open()?;
    let reporter = context.reporter(context.settings())?;
    let catalog = context.catalog(&repository, &reporter)?;
    let (slots, unreadable_slots) = repository.key_slots()?;
    let health = context.health()?.context("open store")?;
    let session = repository.session()?;
    let facts = Facts { catalog, session, slots, unreadable_slots, health, repository: &repository };
    let requests = args.costs.then(|| context.trace.stores());
    let told = if args.json { facts.json(context, requests)? } else { facts.text(context, requests)? };
    let mut out = Sink::new();
    out.write_all(told.as_bytes())?;
    out.flush()?;
    Ok(reporter.warnings())
}

impl Facts<'_> {
    /// All series, the one that added most first.
    fn series(&self) -> Vec<Series> {
        let mut names: BTreeMap<&str, Series> = BTreeMap::new();
        for record in self.catalog.archives.iter().map(|archive| &archive.record) {
            let series =
                names.entry(&record.name).or_insert_with(|| Series { name: record.name.clone(), ..Series::default() });
            series.archives += 1;
            series.original_bytes = series.original_bytes.saturating_add(record.statistics.bytes);
            series.added_bytes = series.added_bytes.saturating_add(record.statistics.stored_bytes);
        }
        let mut series: Vec<Series> = names.into_values().collect();
        series.sort_by_key(|series| std::cmp::Reverse(series.added_bytes));
        series
    }

    fn series_text(&self, context: &Context) -> String {
        let (series, units) = (self.series(), context.units);
        let lines = series.iter().take(SERIES_TOLD).map(|series| Line {
            cells: vec![
                series.archives.to_string(),
                units.format(series.original_bytes),
                units.format(series.added_bytes),
            ],
            bytes: series.original_bytes,
            dark: series.added_bytes,
            name: series.name.clone().into_bytes(),
        });
        let mut text = match series.is_empty() {
            true => String::new(),
            false => format!("\n{}", chart(&["Archives", "Original", "Added", "Series"], &lines.collect::<Vec<_>>())),
        };
        if series.len() > SERIES_TOLD {
            text += &format!("... and {} more series\n", series.len() - SERIES_TOLD);
        }
        text
    }

    fn text(&self, context: &Context, requests: Option<Vec<StoreTrace>>) -> Result<String> {
        let (config, units) = (self.repository.config(), context.units);
        let Holdings { chunks, segments, bytes } = self.session.holdings();
        let ends = self.catalog.archives.iter().map(|archive| archive.record.end);
        let unreadable = |count: usize| if count == 0 { String::new() } else { format!(", {count} unreadable") };
        let mut table = vec![
            ("Repository id", self.repository.id().to_string()),
            ("Location", self.repository.object_store().location().to_owned()),
            ("Format version", config.version.to_string()),
            ("Created", time::human(config.created, context.zone())),
            ("Last modified", time::human(ends.max().unwrap_or(config.created), context.zone())),
            ("Encryption", encryption(self.repository)?),
            ("Id hash", config.id_hash()?.to_string()),
            ("Keys", format!("{}{}", self.slots.len(), unreadable(self.unreadable_slots))),
        ];
        table.extend(self.slots.iter().map(|slot| ("Key", key::describe(slot, context.zone()))));
        table.extend([
            ("Archives", format!("{}{}", self.catalog.archives.len(), unreadable(self.catalog.unreadable.len()))),
            ("Original size", units.format(show::original_bytes(&self.catalog))),
            ("Stored size", units.format(bytes)),
            ("Unique chunks", chunks.to_string()),
            ("Segments", segments.to_string()),
            ("Lost segments", self.session.lost_segments().to_string()),
            ("Index fragments", self.session.fragment_count().to_string()),
        ]);
        for (name, error) in self.session.damaged_fragments() {
            table.push(("Damaged fragment", format!("{name}: {error}")));
        }
        table.push(("Store", store(&self.repository.object_store().capabilities())));
        table.extend(
            self.health
                .missing
                .iter()
                .chain(&self.health.missing_inside)
                .map(|missing| ("Missing", missing.to_string())),
        );
        if self.session.is_damaged() {
            table.push(("Damage", "data may be missing".to_owned()));
        }
        let told = requests.map(|stores| requests::lines(&stores, units));
        table.extend(told.into_iter().flatten().map(|line| ("Requests", line)));
        Ok(format!("{}{}\n{}", rows(&table), self.series_text(context), rows(&[("Survives", self.health.survives())])))
    }

    fn json(&self, context: &Context, requests: Option<Vec<StoreTrace>>) -> Result<String> {
        let (config, zone) = (self.repository.config(), context.zone());
        let mut root = show::repository(context, self.repository, &self.catalog)?;
        if let Some(about) = root.get_mut("repository").and_then(|about| about.as_object_mut()) {
            about.insert("created".to_owned(), json!(time::iso(config.created, zone)));
            about.insert("created_utc".to_owned(), json!(time::iso_utc(config.created)));
            about.insert("format_version".to_owned(), json!(config.version));
        }
        if let Some(encryption) = root.get_mut("encryption").and_then(|about| about.as_object_mut()) {
            let opened = self.repository.opened_by();
            let path = match opened.location {
                KeyLocation::KeyFile => Some(context.key_file_place(self.repository.id())?.display().to_string()),
                KeyLocation::Repository => None,
            };
            encryption.insert("keyfile".to_owned(), json!(path));
        }
        let holdings = self.session.holdings();
        root.insert("cache".to_owned(), show::cache(context, &self.catalog, holdings));
        let memory = context.directories().ok().map(|directories| directories.data.display().to_string());
        root.insert("security_dir".to_owned(), json!(memory));
        let series = self.series().into_iter().map(|series| {
            json!({
                "name": series.name,
                "archives": series.archives,
                "original_size": series.original_bytes,
                "deduplicated_size": series.added_bytes,
            })
        });
        root.insert("series".to_owned(), series.collect());
        root.insert("keys".to_owned(), self.slots.iter().map(|slot| key::object(slot, zone)).collect());
        let damaged = self.session.damaged_fragments().iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>();
        let capabilities = self.repository.object_store().capabilities();
        root.insert(
            "state".to_owned(),
            json!({
                "archives": self.catalog.archives.len(),
                "unreadable_archives": self.catalog.unreadable.len(),
                "unreadable_keys": self.unreadable_slots,
                "segments": holdings.segments,
                "lost_segments": self.session.lost_segments(),
                "index_fragments": self.session.fragment_count(),
                "damaged_fragments": damaged,
                "damaged": self.session.is_damaged(),
                "durable": capabilities.durable,
                "permissions": capabilities.permissions.name(),
                "list_staleness_seconds": capabilities.list_staleness.as_secs_f64(),
                "missing_stores": self.health.missing.iter().map(|missing| json!({
                    "store": missing.store,
                    "location": missing.location,
                    "reason": missing.reason,
                })).collect::<Vec<_>>(),
                "survives": self.health.survives(),
            }),
        );
        if let Some(stores) = requests {
            root.insert("requests".to_owned(), requests::objects(&stores));
        }
        show::answer(root)
    }
}

fn encryption(repository: &Repository) -> Result<String> {
    let suite = repository.config().suite()?;
    let note = if suite.encrypts() { "" } else { " (whoever can read the store can read the data)" };
    Ok(format!("{suite}{note}"))
}

/// What the store promises, in words.
fn store(capabilities: &Capabilities) -> String {
    let durable = match capabilities.durable {
        true => "what was written survives a loss of power",
        false => "what was written last may be lost with the power",
    };
    let current = match capabilities.list_staleness {
        Duration::ZERO => "lists are always up to date".to_owned(),
        age => format!("lists may be {} seconds old", age.as_secs_f64()),
    };
    match capabilities.permissions {
        Permissions::All => format!("{durable}; {current}"),
        some => format!("{durable}; {current}; permissions of this client: {some}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_told_in_words() {
        let local = Capabilities {
            durable: true,
            list_staleness: Duration::ZERO,
            replace_existing: true,
            max_object_bytes: 1,
            concurrency: 1,
            permissions: Permissions::All,
        };
        assert_eq!(store(&local), "what was written survives a loss of power; lists are always up to date");
        let cloud = Capabilities { durable: false, list_staleness: Duration::from_secs(60), ..local };
        assert_eq!(store(&cloud), "what was written last may be lost with the power; lists may be 60 seconds old");
    }
}

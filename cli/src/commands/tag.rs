//! `gabion tag`

use std::collections::BTreeSet;
use std::io::Write as _;

use anyhow::Result;
use gabion_core::archive::catalog::Archive;
use gabion_core::clock::SystemClock;
use gabion_core::ops::republish::replace;
use serde_json::Value as Json;

use crate::archives::{ArchiveFilter, named_or_selected};
use crate::context::Context;
use crate::exit_code::{Failure, Warnings};
use crate::output::format::Format;
use crate::output::sink::Sink;
use crate::output::{archive, archive::KEYS};

const FORMAT: &str = "id:{id:.8} time:{time} host:{hostname} user:{username} tags:{tags}{NL}";

/// Show or change the tags of archives.
///
/// Without --set, --add and --remove the tags are shown. An archive with the tag @PROT is neither deleted nor pruned. An
/// archive whose tags change gets a new id.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  gabion tag home --add @PROT\n  gabion tag -a 'sh:*' --newest 1m --add recent")]
pub struct Args {
    /// The archive: its name (the newest of the series), name@N or aid:HEX
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Have exactly these tags; several times, or separated by commas
    #[arg(long, value_name = "TAG", value_delimiter = ',', conflicts_with_all = ["add", "remove"])]
    set: Option<Vec<String>>,
    /// Add a tag
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    add: Vec<String>,
    /// Remove a tag
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    remove: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: ArchiveFilter,
}

/// Shows or changes the tags.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    if let Some(tag) = args.add.iter().chain(args.set.iter().flatten()).find(|tag| is_unknown(tag)) {
        return Err(
            Failure::command(format!("tags that begin with @ are reserved; known is @PROT, not `{tag}`")).into()
        );
    }
    let repository = context.open()?;
    let reporter = context.reporter(context.settings())?;
    let catalog = context.catalog(&repository, &reporter)?;
    let mut root = archive::repository(context, &repository, &catalog)?;
    let mut archives = named_or_selected(context, catalog, args.name.as_deref(), &args.filter)?;
    for archive in &mut archives {
        let mut record = archive.record.clone();
        args.change(&mut record.tags);
        if record != archive.record {
            *archive = replace(&repository, archive, &record, &context.remover("tag"), &SystemClock, &reporter)?;
        }
    }
    if args.json {
        let listed = archives.iter().map(|archive| Json::Object(archive::details(archive, context.zone())));
        root.insert("archives".to_owned(), listed.collect());
        let mut out = Sink::new();
        out.write_all(archive::answer(root)?.as_bytes())?;
        out.flush()?;
    } else {
        show(context, &archives)?;
    }
    Ok(reporter.warnings())
}

impl Args {
    fn change(&self, tags: &mut BTreeSet<String>) {
        let named = |tag: &&String| !tag.is_empty();
        if let Some(set) = &self.set {
            *tags = set.iter().filter(named).cloned().collect();
        }
        tags.extend(self.add.iter().filter(named).cloned());
        self.remove.iter().for_each(|tag| {
            tags.remove(tag);
        });
    }
}

fn is_unknown(tag: &str) -> bool {
    tag.starts_with('@') && tag != gabion_core::ops::delete::PROTECTED
}

fn show(context: &Context, archives: &[Archive]) -> Result<()> {
    let (format, manner, mut out) = (Format::parse(FORMAT, KEYS)?, context.manner(), Sink::new());
    let mut line = Vec::new();
    for archive in archives {
        line.clear();
        format.render(|key| archive::value(archive, key), &manner, &mut line)?;
        out.write_all(&line)?;
    }
    Ok(out.flush()?)
}

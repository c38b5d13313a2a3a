//! `gabion debug backend-test`: puts the contract to a store as questions, before it is trusted.

use std::io::Write as _;

use anyhow::Result;
use gabion_backends::{Access, open};
use gabion_core::backend::Capabilities;
use gabion_core::backend::conformance::{Options, Report, check};
use serde_json::json;

use crate::context::Context;
use crate::exit_code::{ERROR, Failure, Warnings};
use crate::output::rows::rows;
use crate::output::sink::Sink;

/// What is asked.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gabion debug backend-test sftp://backup@nas/./try\n  gabion debug backend-test --full 's3://my-backups/try?region=eu-central-1'"
)]
pub struct Args {
    /// The store; the suite works under names of its own and removes what it put. A directory or file that is missing is made
    /// and stays, and so does the mark that makes several stores a set
    #[arg(value_name = "URL")]
    url: String,
    /// Ask for what a store has to bear: 10 000 names, an object of 64 MiB
    #[arg(long)]
    full: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the suite; a store that breaks the contract is an error.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    let location = context.parse_location(&args.url)?;
    let store = open(&location, Access::Create, &context.open_options(None)?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let options = if args.full { Options::full() } else { Options::quick() };
    let report = runtime.block_on(check(store.clone(), options));
    let shown = store.location().to_owned();
    // What the store can do may have been found out only now.
    let told = told(&shown, &store.capabilities(), &report, args.json)?;
    let mut out = Sink::new();
    out.write_all(told.as_bytes())?;
    out.flush()?;
    if report.is_clean() {
        return Ok(Warnings::default());
    }
    let message = format!("{shown} breaks the contract in {} of {} checks", report.findings.len(), report.checks.len());
    Err(Failure::new(ERROR, message).into())
}

fn told(shown: &str, capabilities: &Capabilities, report: &Report, json: bool) -> Result<String> {
    let Capabilities { durable, list_staleness, replace_existing, max_object_bytes, concurrency, .. } = *capabilities;
    if json {
        let findings: Vec<_> = report
            .findings
            .iter()
            .map(|finding| json!({ "rule": finding.rule, "check": finding.check, "detail": finding.detail }))
            .collect();
        let all = json!({
            "location": shown,
            "fit": report.is_clean(),
            "checks": report.checks.len(),
            "findings": findings,
            "capabilities": {
                "durable": durable,
                "list_staleness_seconds": list_staleness.as_secs_f64(),
                "replace_existing": replace_existing,
                "max_object_bytes": max_object_bytes,
                "concurrency": concurrency,
            },
        });
        return Ok(format!("{}\n", serde_json::to_string_pretty(&all)?));
    }
    let yes = |it: bool| if it { "yes" } else { "no" }.to_owned();
    let mut table = vec![
        ("Store", shown.to_owned()),
        ("Safe against power loss", yes(durable)),
        ("Lists may be old by", format!("{} s", list_staleness.as_secs())),
        ("Replaces in one step", yes(replace_existing)),
        ("Calls at once", concurrency.to_string()),
        ("Checks", report.checks.len().to_string()),
    ];
    table.extend(report.findings.iter().map(|finding| ("Finding", finding.to_string())));
    table.push((
        "Verdict",
        if report.is_clean() { "fit for a repository" } else { "NOT fit for a repository" }.to_owned(),
    ));
    Ok(rows(&table))
}

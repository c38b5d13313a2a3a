//! `gabion version`

use std::io::Write as _;

use anyhow::Result;
use gabion_core::repository::FORMAT_VERSION;
use serde_json::{Value as Json, json};

use crate::exit_code::Warnings;
use crate::output::archive::answer;
use crate::output::sink::Sink;

/// Show the version of this program
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  gabion version --json")]
pub struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Shows the version.
pub fn run(args: &Args) -> Result<Warnings> {
    let mut out = Sink::new();
    if args.json {
        out.write_all(answer(object())?.as_bytes())?;
    } else {
        writeln!(out, "gabion {}", env!("PROGRAM_VERSION"))?;
    }
    out.flush()?;
    Ok(Warnings::default())
}

/// The program and the newest format it reads.
pub fn object() -> serde_json::Map<String, Json> {
    let mut object = serde_json::Map::new();
    object.insert("program".to_owned(), json!("gabion"));
    object.insert("version".to_owned(), json!(env!("PROGRAM_VERSION")));
    object.insert("format_version".to_owned(), json!(FORMAT_VERSION));
    object
}

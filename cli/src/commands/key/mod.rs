//! `gabion key`: several passphrases for one repository.

mod text;
mod transfer;

use std::io::Write as _;

use anyhow::Result;
use clap::Subcommand;
use gabion_core::clock::SystemClock;
use gabion_core::crypto::kdf::KdfParams;
use gabion_core::error::{Error, ErrorKind};
use gabion_core::id::KeyId;
use gabion_core::repository::{ClosedRepository, FoundSlot, KeyLocation, NewSlot, Repository};
use jiff::tz::TimeZone;
use serde_json::{Map, Value as Json, json};

use super::repo_create::{Cost, Place};
use crate::context::Context;
use crate::exit_code::{Failure, Warnings};
use crate::output::archive::answer;
use crate::output::sink::Sink;
use crate::output::{text::printable, time};
use crate::progress::Level;

/// Manage the keys of a repository.
///
/// Each key opens the repository with a passphrase of its own. Data is not encrypted anew when keys change: who has
/// copied a key and knows its passphrase can open the repository even after that key was removed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  gabion key list\n  gabion key export key.txt\n  gabion key add --label office")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the keys
    #[command(after_help = "Example:\n  gabion key list --json")]
    List {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Add a key with another passphrase
    #[command(
        after_help = "Examples:\n  gabion key add --label office\n  GABION_NEW_PASSPHRASE=... gabion key add --label robot"
    )]
    Add(AddArgs),
    /// Remove a key
    #[command(after_help = "Example:\n  gabion key remove --label office")]
    Remove(Choice),
    /// Replace the key that the passphrase opens by one with a new passphrase
    #[command(after_help = "Example:\n  gabion key change-passphrase")]
    ChangePassphrase,
    /// Move the key that the passphrase opens into the repository, or to a file on this machine
    #[command(after_help = "Example:\n  gabion key change-location keyfile")]
    ChangeLocation(MoveArgs),
    /// Copy a key out, as text to be kept in a safe place
    #[command(after_help = "Examples:\n  gabion key export key.txt\n  gabion key export --paper | lp")]
    Export(transfer::ExportArgs),
    /// Bring an exported key back
    #[command(after_help = "Examples:\n  gabion key import key.txt\n  gabion key import --paper")]
    Import(transfer::ImportArgs),
}

#[derive(Debug, clap::Args)]
struct AddArgs {
    /// A label for the key
    #[arg(long, value_name = "LABEL", default_value = "")]
    label: String,
    /// How hard guessing the passphrase is made; strong takes about a second each time
    #[arg(long, value_name = "COST", default_value = "default")]
    kdf: Cost,
    /// Where the key is kept
    #[arg(long, value_name = "LOCATION", default_value = "repokey")]
    key_location: Place,
}

#[derive(Debug, clap::Args)]
struct MoveArgs {
    /// Where the key shall be
    #[arg(value_name = "LOCATION")]
    location: Place,
    /// Leave it where it was, too
    #[arg(long)]
    keep: bool,
}

/// Which key is meant.
#[derive(Debug, clap::Args)]
struct Choice {
    /// The key with this label
    #[arg(long, value_name = "LABEL", conflicts_with = "key")]
    label: Option<String>,
    /// The key whose id begins so
    #[arg(long, value_name = "ID")]
    key: Option<String>,
}

impl Choice {
    fn is_empty(&self) -> bool {
        self.label.is_none() && self.key.is_none()
    }

    /// The only one of `slots` that is meant; without a choice, the only one there is.
    fn find<'a>(&self, slots: &'a [FoundSlot]) -> Result<&'a FoundSlot> {
        let fits = |slot: &&FoundSlot| match (&self.label, &self.key) {
            (Some(label), _) => slot.slot.label() == label,
            (None, Some(prefix)) => slot.id.starts_with(&prefix.to_ascii_lowercase()),
            (None, None) => true,
        };
        let mut found = slots.iter().filter(fits);
        let wanted = self.label.as_ref().or(self.key.as_ref()).map_or("any", |text| text);
        match (found.next(), found.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(Error::new(ErrorKind::KeyNotFound, "find key").with("key", wanted.escape_debug()).into()),
            (Some(_), Some(_)) if self.is_empty() => {
                Err(Failure::command("there are several keys: choose one by --label or --key, see `gabion key list`")
                    .into())
            }
            (Some(_), Some(_)) => Err(Failure::command(format!("several keys fit `{wanted}`")).into()),
        }
    }
}

/// Does what was asked for.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    match &args.command {
        Command::List { json } => list(context, *json),
        Command::Add(args) => add(context, args),
        Command::Remove(choice) => remove(context, choice),
        Command::ChangePassphrase => change_passphrase(context),
        Command::ChangeLocation(args) => change_location(context, args),
        Command::Export(args) => transfer::export(context, args),
        Command::Import(args) => transfer::import(context, args),
    }
}

fn list(context: &Context, json: bool) -> Result<Warnings> {
    let repository = context.open()?;
    let (slots, unreadable) = repository.key_slots()?;
    let mut out = Sink::new();
    if json {
        let mut root = Map::new();
        root.insert("repository".to_owned(), json!({ "id": repository.id().to_string() }));
        let opened = repository.opened_by();
        let object = |slot: &FoundSlot| {
            let mut object = object(slot, context.zone());
            object["opened"] = json!(slot.id == opened.id && slot.location == opened.location);
            object
        };
        root.insert("keys".to_owned(), slots.iter().map(object).collect());
        root.insert("unreadable".to_owned(), json!(unreadable));
        out.write_all(answer(root)?.as_bytes())?;
    } else {
        for slot in &slots {
            writeln!(out, "{}", printable(describe(slot, context.zone()).as_bytes()))?;
        }
    }
    out.flush()?;
    if unreadable > 0 {
        let message = format!("{unreadable} keys can not be read");
        context.reporter(context.settings())?.log(Level::Warning, None, &message);
    }
    Ok(Warnings::default())
}

/// A key in one line.
pub fn describe(found: &FoundSlot, zone: &TimeZone) -> String {
    let slot = &found.slot;
    let label = if slot.label().is_empty() { "-" } else { slot.label() };
    let created = time::human(slot.created(), zone);
    format!("{} {} {created} {} {label}", found.id, place(found.location), cost(slot.kdf()))
}

/// A key for programs.
pub fn object(found: &FoundSlot, zone: &TimeZone) -> Json {
    let slot = &found.slot;
    json!({
        "id": found.id.to_string(),
        "label": slot.label(),
        "location": place(found.location),
        "created": time::iso(slot.created(), zone),
        "created_utc": time::iso_utc(slot.created()),
        "kdf": cost(slot.kdf()),
        "encryption": slot.suite().to_string(),
    })
}

fn place(location: KeyLocation) -> &'static str {
    match location {
        KeyLocation::Repository => "repokey",
        KeyLocation::KeyFile => "keyfile",
    }
}

/// What a guess costs: `argon2id,65536,3,4` (KiB, passes, lanes), `pbkdf2,600000`, or `none`.
fn cost(kdf: Option<&KdfParams>) -> String {
    match kdf {
        Some(KdfParams::Argon2id { memory_kib, passes, lanes }) => format!("argon2id,{memory_kib},{passes},{lanes}"),
        Some(KdfParams::Pbkdf2HmacSha256 { iterations }) => format!("pbkdf2,{iterations}"),
        None => "none".to_owned(),
    }
}

/// A passphrase is of no use where data is not encrypted.
fn refuse_unencrypted(repository: &Repository) -> Result<()> {
    if repository.config().suite()?.encrypts() {
        return Ok(());
    }
    Err(Failure::command("this repository is not encrypted: a passphrase would protect nothing").into())
}

fn add(context: &Context, args: &AddArgs) -> Result<Warnings> {
    let repository = context.open()?;
    refuse_unencrypted(&repository)?;
    let passphrase = context.changed_passphrase()?;
    let slot = NewSlot {
        passphrase: Some(&passphrase),
        kdf: args.kdf.params()?,
        label: args.label.clone(),
        location: args.key_location.into(),
    };
    let id = repository.add_key(&slot, &SystemClock)?;
    tell(context, &format!("Key {id} added."))
}

fn remove(context: &Context, choice: &Choice) -> Result<Warnings> {
    if choice.is_empty() {
        return Err(Failure::command("say which key by --label or --key, see `gabion key list`").into());
    }
    let repository = context.open()?;
    let (slots, _) = repository.key_slots()?;
    let found = choice.find(&slots)?;
    repository.remove_key(found.location, &found.id)?;
    tell(context, &format!("Key {} removed.", found.id))
}

/// The new key is put and opened before the old one goes, so that at no moment there is none.
fn change_passphrase(context: &Context) -> Result<Warnings> {
    let repository = context.open()?;
    refuse_unencrypted(&repository)?;
    let opened = repository.opened_by();
    let old = slot(&repository, opened.location, &opened.id)?;
    let passphrase = context.changed_passphrase()?;
    let kept = old.slot.kdf().copied().filter(|kdf| kdf.check_strength().is_ok());
    let new = NewSlot {
        passphrase: Some(&passphrase),
        kdf: kept.unwrap_or_default(),
        label: old.slot.label().to_owned(),
        location: opened.location,
    };
    let id = repository.add_key(&new, &SystemClock)?;
    slot(&repository, opened.location, &id)?.slot.open(Some(&passphrase), repository.id())?;
    repository.remove_key(opened.location, &opened.id)?;
    tell(context, &format!("Passphrase changed: key {id} replaces {}.", opened.id))
}

/// The key is in its new place before it leaves the old one.
fn change_location(context: &Context, args: &MoveArgs) -> Result<Warnings> {
    let repository = context.open()?;
    let (opened, to) = (repository.opened_by(), KeyLocation::from(args.location));
    if opened.location == to {
        return Err(Failure::command(format!("key {} is a {} already", opened.id, place(to))).into());
    }
    if !args.keep || to == KeyLocation::Repository {
        repository.permissions().require_all("move key")?;
    }
    let found = slot(&repository, opened.location, &opened.id)?;
    if slot(&repository, to, &opened.id).is_err() {
        ClosedRepository::look(context.opened_store()?, context.client()?)?.import_key(&found.id, &found.bytes, to)?;
    }
    if !args.keep {
        repository.remove_key(opened.location, &opened.id)?;
    }
    match to {
        KeyLocation::Repository => tell(context, &format!("Key {} is in the repository.", found.id)),
        KeyLocation::KeyFile => {
            let place = context.key_file_place(repository.id())?;
            tell(
                context,
                &format!("Key {} is in {}: without it nobody opens the repository.", found.id, place.display()),
            )
        }
    }
}

/// The slot as it is stored.
fn slot(repository: &Repository, location: KeyLocation, id: &KeyId) -> Result<FoundSlot> {
    let (slots, _) = repository.key_slots()?;
    let found = slots.into_iter().find(|found| found.id == *id && found.location == location);
    Ok(found.ok_or_else(|| Error::new(ErrorKind::KeyNotFound, "read key").with("key", id))?)
}

fn tell(context: &Context, message: &str) -> Result<Warnings> {
    context.reporter(context.settings())?.log(Level::Info, None, message);
    Ok(Warnings::default())
}

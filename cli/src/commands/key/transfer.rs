//! `gabion key export` and `gabion key import`: both work while nobody can open the repository.

use std::fs::OpenOptions;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use gabion_backends::Access;
use gabion_core::error::{Error, ErrorKind};
use gabion_core::repository::ClosedRepository;

use super::super::repo_create::Place;
use super::text::{self, Exported};
use super::{Choice, tell};
use crate::context::Context;
use crate::exit_code::Warnings;
use crate::output::sink::Sink;

/// Bytes of the longest text that is read: a key slot on paper needs far less.
const TEXT_BYTES_MAX: u64 = 64 * 1024;

#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    /// The file to make; standard output if there is none
    #[arg(value_name = "PATH")]
    path: Option<PathBuf>,
    /// Write numbered lines with checksums, to be printed and typed again
    #[arg(long)]
    paper: bool,
    #[command(flatten)]
    choice: Choice,
}

#[derive(Debug, clap::Args)]
pub(super) struct ImportArgs {
    /// The file to read; standard input if there is none
    #[arg(value_name = "PATH")]
    path: Option<PathBuf>,
    /// Read lines as they are typed, and ask again for one that has a typing error
    #[arg(long, conflicts_with = "path")]
    paper: bool,
    /// Where the key shall be kept
    #[arg(long, value_name = "LOCATION", default_value = "repokey")]
    key_location: Place,
}

fn look(context: &Context) -> Result<ClosedRepository> {
    Ok(ClosedRepository::look(context.store(Access::Existing)?, context.client()?)?)
}

/// Writes a key slot as text. It is protected by its passphrase, as it is in the repository.
pub(super) fn export(context: &Context, args: &ExportArgs) -> Result<Warnings> {
    let repository = look(context)?;
    let (slots, _) = repository.key_slots()?;
    let found = args.choice.find(&slots)?;
    let exported = Exported { repository: *repository.id(), key: found.id, slot: found.bytes.clone() };
    let text = if args.paper { text::paper(&exported) } else { text::compact(&exported) };
    match &args.path {
        None => {
            let mut out = Sink::new();
            out.write_all(text.as_bytes())?;
            out.flush()?;
            Ok(Warnings::default())
        }
        Some(path) => {
            write_new(path, &text).with_context(|| format!("write {}", path.display()))?;
            tell(context, &format!("Key {} written to {}.", found.id, path.display()))
        }
    }
}

/// A file that exists may be the only copy of another key.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Reads a key slot from text, checks that it is whole and of this repository, and keeps it.
pub(super) fn import(context: &Context, args: &ImportArgs) -> Result<Warnings> {
    let repository = look(context)?;
    let exported = match &args.path {
        Some(path) => {
            let file = std::fs::File::open(path).with_context(|| format!("read {}", path.display()))?;
            text::parse(&read(file)?)?
        }
        None if args.paper && io::stdin().is_terminal() => typed()?,
        None => text::parse(&read(io::stdin())?)?,
    };
    if exported.repository != *repository.id() {
        return Err(Error::new(ErrorKind::KeyInvalid, "import key")
            .with("reason", "it belongs to another repository")
            .with("repository of the key", exported.repository)
            .with("repository", repository.id())
            .into());
    }
    repository.import_key(&exported.key, &exported.slot, args.key_location.into())?;
    tell(context, &format!("Key {} imported.", exported.key))
}

fn read(source: impl io::Read) -> Result<String> {
    let mut bytes = Vec::new();
    source.take(TEXT_BYTES_MAX).read_to_end(&mut bytes).context("read exported key")?;
    Ok(String::from_utf8(bytes).map_err(|_| text::invalid("it is no text"))?)
}

/// Asks a person for each line until all are right.
fn typed() -> Result<Exported> {
    let (mut person, mut lines) = (io::stderr(), io::stdin().lock().lines());
    let mut paper = text::Paper::default();
    writeln!(person, "Type the lines of the printed key; an empty line after the last one ends.")?;
    loop {
        write!(person, "{} ", paper.prompt())?;
        person.flush()?;
        let line = lines.next().transpose()?.unwrap_or_default();
        if line.trim().is_empty() {
            return Ok(paper.finish()?);
        }
        if let Err(error) = paper.line(&line) {
            writeln!(person, "{error}. Please type this line again.")?;
        }
    }
}

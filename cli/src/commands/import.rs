//! `gabion import`

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Result;
use gabion_backends::{Access, open};
use gabion_core::backend::Store;
use gabion_core::borg1::{Borg1ArchiveName, Borg1Repository, Unlock};
use gabion_core::chunker::ChunkerParams;
use gabion_core::clock::SystemClock;
use gabion_core::compress::Compression;
use gabion_core::crypto::secret::Passphrase;
use gabion_core::error::{Error, ErrorKind};
use gabion_core::monitor::{Event, Monitor as _, Warning};
use gabion_core::ops::import::{ImportOptions, Imported, Importer};
use gabion_core::pattern::NamePattern;
use serde_json::{Map, Value, json};

use crate::context::Context;
use crate::environment::Environment;
use crate::exit_code::{Failure, Warnings};
use crate::hints;
use crate::output::archive::answer;
use crate::output::sink::Sink;
use crate::output::text::printable;
use crate::passphrase::{self, Terminal};
use crate::progress::{Level, Reporter};
use crate::report::Advised;
use crate::resources::Resources;

/// Bytes of the largest file that is taken for a key.
const KEY_FILE_BYTES_MAX: u64 = 64 << 10;

/// Take over the archives of a repository of Borg 1.x.
///
/// Every archive comes over with its name, times, machine, user, comment and command line, and with all its files,
/// oldest archive first. Content is cut anew, so that the next backup of the same files finds it. Nothing is written
/// to the old repository; nobody should write to it meanwhile. An archive that is there already is passed over, so an
/// import that was interrupted can be repeated. What is damaged is named and left out.
///
/// The passphrase of the old repository is taken from BORG_PASSPHRASE, BORG_PASSCOMMAND or BORG_PASSPHRASE_FD, else
/// asked for; a key file from BORG_KEY_FILE or the directory of Borg's keys.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  gabion import borg:/mnt/old/borg\n  \
    gabion import borg:/mnt/old/borg 'sh:laptop-2025-*' --list --stats\n  \
    gabion import --dry-run borg:sftp://backup@nas/srv/borg")]
pub struct Args {
    /// Store nothing, tell which archives would come over
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Tell each archive and what became of it
    #[arg(long)]
    list: bool,
    /// Tell how much was stored
    #[arg(short, long)]
    stats: bool,
    /// Print one JSON object about the archives
    #[arg(long)]
    json: bool,
    /// How files are cut: fastcdc,MIN,MAX,BITS[,LEVEL], buzhash,MIN,MAX,BITS,WINDOW or fixed,SIZE[,HEADER]
    #[arg(long, value_name = "PARAMS", default_value_t)]
    chunker_params: ChunkerParams,
    /// Compression: none, lz4, zstd[,L], zlib[,L], lzma[,L], auto,C[,L], obfuscate,SPEC,C[,L]
    #[arg(short = 'C', long, value_name = "COMPRESSION", default_value_t)]
    compression: Compression,
    /// Also take over archives that an interrupted backup left
    #[arg(long)]
    consider_checkpoints: bool,
    #[command(flatten)]
    resources: Resources,
    /// The old repository: borg: and a path or URL
    #[arg(value_name = "SOURCE")]
    source: String,
    /// Only archives of these names; sh: re: and id: are understood
    #[arg(value_name = "ARCHIVE")]
    archives: Vec<String>,
}

/// Takes archives over.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    let source = open_source(context, &args.source)?;
    let wanted = wanted(&source, args)?;
    let repository = if args.dry_run { None } else { Some(context.open()?) };
    let reporter = context.reporter(context.settings())?;
    source.doubts().iter().for_each(|error| warn(&reporter, &args.source, error));
    let writer = args.resources.writer(context, args.compression, Some(args.chunker_params))?;
    let options = ImportOptions { chunker: args.chunker_params, writer };
    let mut importer =
        repository.as_ref().map(|repository| Importer::new(repository, &source, &options)).transpose()?;
    let mut outcomes = Vec::new();
    for name in wanted {
        let outcome = match &mut importer {
            None => Outcome::Planned,
            Some(importer) => match importer.import(name, &SystemClock, &reporter) {
                Ok(Imported::Known) => Outcome::Known,
                Ok(Imported::New { id, record }) => Outcome::Done { id: id.to_string(), record },
                Err(error) if is_of_source(&error) => {
                    warn(&reporter, &name.name, &error);
                    Outcome::Failed
                }
                Err(error) => return Err(error.into()),
            },
        };
        if args.list || args.dry_run && !args.json {
            reporter.log(Level::Warning, None, &format!("{} {}", outcome.word(), printable(name.name.as_bytes())));
        }
        outcomes.push((name, outcome));
    }
    reporter.finish();
    tell(context, args, &source, &outcomes, &reporter)?;
    Ok(reporter.warnings())
}

/// Whether one archive of the old repository is to blame, so that the next may do.
fn is_of_source(error: &Error) -> bool {
    error.operation().contains("Borg") || matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::LimitExceeded)
}

fn warn(reporter: &Reporter, about: &str, error: &Error) {
    reporter.event(&Event::Warning { warning: Warning::Repository, path: about.as_bytes(), error });
}

/// What became of an archive.
enum Outcome {
    Planned,
    Known,
    Failed,
    Done { id: String, record: Box<gabion_core::archive::record::ArchiveRecord> },
}

impl Outcome {
    fn word(&self) -> &'static str {
        match self {
            Self::Planned => "would come over:",
            Self::Known => "is there already:",
            Self::Failed => "could not be read:",
            Self::Done { record, .. } if record.statistics.errors > 0 => "came over in part:",
            Self::Done { .. } => "came over:",
        }
    }
}

fn tell(
    context: &Context,
    args: &Args,
    source: &Borg1Repository,
    outcomes: &[(&Borg1ArchiveName, Outcome)],
    reporter: &Reporter,
) -> Result<()> {
    let count = |wanted: fn(&Outcome) -> bool| outcomes.iter().filter(|(_, outcome)| wanted(outcome)).count();
    let done = outcomes.iter().filter_map(|(_, outcome)| match outcome {
        Outcome::Done { record, .. } => Some(record.statistics),
        _ => None,
    });
    let sum =
        |field: fn(&gabion_core::archive::record::Statistics) -> u64| done.clone().map(|s| field(&s)).sum::<u64>();
    if args.json {
        let archives: Vec<Value> = outcomes.iter().map(|(name, outcome)| row(name, outcome)).collect();
        let mut root = Map::new();
        root.insert("source".into(), json!({ "encryption": source.encryption(), "location": args.source }));
        root.insert("archives".into(), archives.into());
        root.insert("dry_run".into(), args.dry_run.into());
        let mut out = Sink::new();
        out.write_all(answer(root)?.as_bytes())?;
        out.flush()?;
    }
    if args.stats && !args.json {
        for (label, value) in [
            ("Archives that came over:      ", count(|o| matches!(o, Outcome::Done { .. })).to_string()),
            ("Archives that were there:     ", count(|o| matches!(o, Outcome::Known)).to_string()),
            ("Archives that can not be read:", count(|o| matches!(o, Outcome::Failed)).to_string()),
            ("Files:                        ", sum(|s| s.files).to_string()),
            ("Items that were left out:     ", sum(|s| s.errors).to_string()),
            ("Original size:                ", context.units.format(sum(|s| s.bytes))),
            ("New data, stored:             ", context.units.format(sum(|s| s.stored_bytes))),
        ] {
            reporter.say(&format!("{label} {value}"));
        }
    }
    Ok(())
}

fn row(name: &Borg1ArchiveName, outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Done { id, record } => json!({
            "name": name.name, "outcome": "imported", "id": id, "nfiles": record.statistics.files,
            "original_size": record.statistics.bytes, "errors": record.statistics.errors,
        }),
        Outcome::Planned => json!({ "name": name.name, "outcome": "planned" }),
        Outcome::Known => json!({ "name": name.name, "outcome": "known" }),
        Outcome::Failed => json!({ "name": name.name, "outcome": "failed" }),
    }
}

/// The archives that are meant. A name that fits none is an error.
fn wanted<'a>(source: &'a Borg1Repository, args: &Args) -> Result<Vec<&'a Borg1ArchiveName>> {
    let all: Vec<&Borg1ArchiveName> =
        source.archives().iter().filter(|name| args.consider_checkpoints || !name.is_checkpoint()).collect();
    if args.archives.is_empty() {
        return Ok(all);
    }
    let patterns = args.archives.iter().map(|text| NamePattern::parse(text)).collect::<Result<Vec<_>, _>>()?;
    for (pattern, text) in patterns.iter().zip(&args.archives) {
        if !all.iter().any(|name| pattern.matches(&name.name)) {
            let hint = hints::for_missing_archive(text, all.iter().map(|name| name.name.as_str()));
            let error = Error::new(ErrorKind::ArchiveNotFound, "find archive").with("name", text.escape_debug());
            return Err(Advised::new(error, hint).into());
        }
    }
    Ok(all.into_iter().filter(|name| patterns.iter().any(|pattern| pattern.matches(&name.name))).collect())
}

fn open_source(context: &Context, source: &str) -> Result<Borg1Repository> {
    let Some(place) = source.strip_prefix("borg:") else {
        return Err(Failure::command("write borg: before the path or URL of the old repository").into());
    };
    let store = open(&context.parse_location(place)?, Access::Existing, &context.open_options(None)?)?;
    let store = Store::new(store)?;
    let environment = context.environment.of_borg();
    let failure = std::cell::RefCell::new(None);
    let ask = |id: &str| {
        let prompt = format!("Enter passphrase of the Borg repository {id:.16}: ");
        passphrase::existing(&environment, &mut Terminal, &prompt)
            .map(|secret| Passphrase::new(secret.to_vec()))
            .map_err(|why| {
                failure.replace(Some(why));
                Error::new(ErrorKind::PassphraseWrong, "ask for passphrase")
            })
    };
    let unlock = Unlock { key_files: key_files(&environment), passphrase: &ask };
    let opened = Borg1Repository::open(store, &unlock);
    match failure.take() {
        Some(why) => Err(why.into()),
        None => Ok(opened.map_err(advised)?),
    }
}

/// Says where keys and passphrases of the old repository are looked for.
fn advised(error: Error) -> anyhow::Error {
    let hint = match error.kind() {
        ErrorKind::PassphraseWrong => {
            "looked for in BORG_PASSPHRASE, BORG_PASSCOMMAND, BORG_PASSPHRASE_FD or the terminal"
        }
        ErrorKind::KeyNotFound => {
            "name the key file by BORG_KEY_FILE, or the directory of Borg's keys by BORG_KEYS_DIR"
        }
        ErrorKind::NotARepository | ErrorKind::RepositoryNotFound => {
            "what is imported is the directory of a repository of Borg 1.x"
        }
        _ => return error.into(),
    };
    Advised::new(error, hint.to_owned()).into()
}

/// The texts of Borg's key files: the one that is named, or all in the directory of keys.
fn key_files(environment: &Environment) -> Vec<String> {
    if let Some(path) = environment.key_file() {
        return read_key_file(&path).into_iter().collect();
    }
    let directory = environment.path("GABION_KEYS_DIR").or_else(|| {
        let base = environment.path("GABION_BASE_DIR").or_else(|| environment.path("HOME"));
        let config = environment.path("XDG_CONFIG_HOME").or_else(|| base.map(|home| home.join(".config")));
        environment
            .path("GABION_CONFIG_DIR")
            .or_else(|| config.map(|config| config.join("borg")))
            .map(|dir| dir.join("keys"))
    });
    let entries = directory.and_then(|directory| fs::read_dir(directory).ok()).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().filter_map(|path| read_key_file(path)).collect()
}

fn read_key_file(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

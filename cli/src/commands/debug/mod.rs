//! `gabion debug`: looks into a repository and changes nothing.

mod backend_test;
mod show;

use std::fs;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Subcommand;
use gabion_backends::Access;
use gabion_core::archive::walk::{Walk, WalkEvent};
use gabion_core::backend::{ObjectMeta, ObjectName, Prefix, Store};
use gabion_core::crypto::aead::Suite;
use gabion_core::error::{Error, ErrorKind};
use gabion_core::limits::{CHUNK_BYTES_MAX, OBJECT_BYTES_MAX};
use gabion_core::monitor::{Event, Monitor as _, Warning};
use gabion_core::repository::Named;
use gabion_core::seal::{Kind, verify_tail};
use gabion_core::segment::Class;
use serde_json::{Map, Value as Json, json};

use super::version;
use crate::archives;
use crate::context::Context;
use crate::exit_code::{Failure, Warnings};
use crate::output::archive::answer;
use crate::output::sink::Sink;

/// Look into a repository; nothing here changes it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gabion debug dump-repo-objs\n  gabion debug backend-test 's3://my-backups/try?region=eu-central-1'"
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tell how this program was built and where it runs, as JSON
    #[command(after_help = "Example:\n  gabion debug info")]
    Info,
    /// Write an archive's record as JSON
    #[command(after_help = "Example:\n  gabion debug dump-archive home -")]
    DumpArchive {
        /// The archive: name, name@N or aid:HEX
        #[arg(value_name = "NAME")]
        name: String,
        /// The file to make, `-` for standard output
        #[arg(value_name = "PATH")]
        path: PathBuf,
    },
    /// Print every entry of an archive as a line of JSON
    #[command(after_help = "Example:\n  gabion debug dump-archive-items home")]
    DumpArchiveItems {
        /// The archive: name, name@N or aid:HEX
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// List every object of the store as a line of JSON, and whether it is whole; needs no key
    #[command(after_help = "Example:\n  gabion debug dump-repo-objs")]
    DumpRepoObjs,
    /// Copy an object as it is stored; needs no key
    #[command(after_help = "Example:\n  gabion debug get-obj config config.copy")]
    GetObj {
        /// Its name, such as config or archives/HEX
        #[arg(value_name = "NAME")]
        name: String,
        /// The file to make, `-` for standard output
        #[arg(value_name = "PATH")]
        path: PathBuf,
    },
    /// Print what an object says, as JSON
    #[command(after_help = "Example:\n  gabion debug parse-obj config")]
    ParseObj {
        /// Its name, such as config or archives/HEX
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Prove a store before it is trusted: put, read, list and remove objects in every way the engine relies on
    BackendTest(backend_test::Args),
    /// Print the name that the content of a file has here as a chunk
    #[command(after_help = "Example:\n  gabion debug id-hash letter.txt")]
    IdHash {
        /// The file, `-` for standard input; at most 16 MiB
        #[arg(value_name = "PATH")]
        path: PathBuf,
        /// The name as a chunk of a tree
        #[arg(long)]
        tree: bool,
    },
}

/// Does what was asked for.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    match &args.command {
        Command::Info => print(info()),
        Command::DumpArchive { name, path } => dump_archive(context, name, path),
        Command::DumpArchiveItems { name } => dump_items(context, name),
        Command::DumpRepoObjs => dump_objects(context),
        Command::GetObj { name, path } => {
            let store = context.store(Access::Existing)?;
            write_to(path, &store.get_bounded(&ObjectName::new(name.as_str())?, OBJECT_BYTES_MAX)?)
        }
        Command::ParseObj { name } => print(show::object(context, &ObjectName::new(name.as_str())?)?),
        Command::BackendTest(args) => backend_test::run(context, args),
        Command::IdHash { path, tree } => id_hash(context, path, if *tree { Class::Tree } else { Class::Data }),
    }
}

fn print(object: Map<String, Json>) -> Result<Warnings> {
    write_to(Path::new("-"), answer(object)?.as_bytes())
}

/// Writes to a new file, or to standard output.
fn write_to(path: &Path, bytes: &[u8]) -> Result<Warnings> {
    if path == Path::new("-") {
        let mut out = Sink::new();
        out.write_all(bytes)?;
        out.flush()?;
        return Ok(Warnings::default());
    }
    let made = fs::OpenOptions::new().write(true).create_new(true).open(path);
    made.and_then(|mut file| file.write_all(bytes)).with_context(|| format!("write {}", path.display()))?;
    Ok(Warnings::default())
}

fn info() -> Map<String, Json> {
    let mut object = version::object();
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    object.insert("build".to_owned(), json!(build));
    object.insert("os".to_owned(), json!(std::env::consts::OS));
    object.insert("arch".to_owned(), json!(std::env::consts::ARCH));
    object.insert("cpus".to_owned(), json!(std::thread::available_parallelism().map_or(1, usize::from)));
    object.insert("fastest_encryption".to_owned(), json!(Suite::fastest().to_string()));
    object
}

fn dump_archive(context: &Context, name: &str, path: &Path) -> Result<Warnings> {
    let repository = context.open()?;
    let reporter = context.reporter(context.settings())?;
    let archive = archives::find(context, context.catalog(&repository, &reporter)?, name)?;
    write_to(path, answer(show::archive(&archive, context.zone()))?.as_bytes())?;
    Ok(reporter.warnings())
}

fn dump_items(context: &Context, name: &str) -> Result<Warnings> {
    let repository = context.open()?;
    let reporter = context.reporter(context.settings())?;
    let archive = archives::find(context, context.catalog(&repository, &reporter)?, name)?;
    let reader = repository.session()?.reader();
    let mut out = Sink::new();
    for event in Walk::new(&reader, &archive.record.root, archive.record.stat_root.as_ref(), |_| true) {
        if reporter.interrupted() {
            return Err(Error::new(ErrorKind::Interrupted, "dump archive").into());
        }
        match event {
            Ok(WalkEvent::Entry(item)) => writeln!(out, "{}", Json::Object(show::item(&item, context.zone())))?,
            Ok(WalkEvent::Leave(_)) => {}
            Err(failed) => {
                let (path, error) = (&failed.path, &failed.error);
                reporter.event(&Event::Warning { warning: Warning::Item, path, error });
            }
        }
    }
    out.flush()?;
    Ok(reporter.warnings())
}

fn dump_objects(context: &Context) -> Result<Warnings> {
    let store = context.store(Access::Existing)?;
    let reporter = context.reporter(context.settings())?;
    let mut out = Sink::new();
    for object in store.list(&Prefix::all())? {
        if reporter.interrupted() {
            return Err(Error::new(ErrorKind::Interrupted, "dump objects").into());
        }
        writeln!(out, "{}", described(&store, &object))?;
    }
    out.flush()?;
    Ok(reporter.warnings())
}

/// `state` is `whole`, `damaged` with a `reason`, or `unknown` where nothing could tell.
fn described(store: &Store, object: &ObjectMeta) -> Json {
    let kind = kind(&object.name);
    let (state, reason) = match kind {
        None => ("unknown", None),
        Some(_) => match store.get_bounded(&object.name, OBJECT_BYTES_MAX).and_then(|bytes| verify_tail(&bytes)) {
            Ok(()) => ("whole", None),
            Err(error) => ("damaged", Some(error.to_string())),
        },
    };
    let kind = kind.map_or_else(|| "other".to_owned(), |kind| kind.to_string());
    let mut described = json!({ "name": object.name.to_string(), "kind": kind, "size": object.bytes, "state": state });
    if let Some(reason) = reason {
        described["reason"] = json!(reason);
    }
    described
}

/// What an object is, by its name.
fn kind(name: &ObjectName) -> Option<Kind> {
    if Named::of(name) == Named::Config {
        return Some(Kind::Config);
    }
    let name = name.as_str();
    Kind::all().find(|kind| {
        let rest = name.strip_prefix(kind.namespace());
        rest.is_some_and(|rest| rest.starts_with('/'))
    })
}

fn id_hash(context: &Context, path: &Path, class: Class) -> Result<Warnings> {
    let limit = CHUNK_BYTES_MAX as u64 + 1;
    let mut content = Vec::new();
    if path == Path::new("-") {
        io::stdin().take(limit).read_to_end(&mut content)?;
    } else {
        let file = fs::File::open(path).with_context(|| format!("read {}", path.display()))?;
        file.take(limit).read_to_end(&mut content).with_context(|| format!("read {}", path.display()))?;
    }
    if content.len() > CHUNK_BYTES_MAX {
        return Err(Failure::command(format!("longer than a chunk may be: {CHUNK_BYTES_MAX} bytes")).into());
    }
    let id = context.open()?.chunk_id(class, &content);
    write_to(Path::new("-"), format!("{id}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_follow_from_names() {
        for (name, expected) in [
            ("config", Some(Kind::Config)),
            ("spare/identity", Some(Kind::Config)),
            ("keys/00", Some(Kind::KeySlot)),
            ("gc/doom/00", Some(Kind::Doom)),
            ("index/0.00", Some(Kind::Index)),
            ("reserve/0", None),
            ("keysafe/0", None),
        ] {
            assert_eq!(kind(&ObjectName::new(name).unwrap()), expected, "{name}");
        }
    }
}

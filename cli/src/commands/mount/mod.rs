//! `gabion mount`

use std::ffi::OsString;
use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::error::ErrorKind as Usage;
use gabion_core::clock::SystemClock;
use gabion_core::limits::MIB;
use gabion_core::monitor::Monitor;
use gabion_fuse::{Layout, Mounted, Shown, Stopper, View, ViewOptions, mount};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::archives::{self, ArchiveFilter, Listed};
use crate::context::Context;
use crate::exit_code::{Failure, Warnings};
use crate::patterns::Patterns;
use crate::progress::Reporter;

mod background;
mod names;
mod options;

use options::Given;

/// Show archives as a file system.
///
/// Below the mount point, each archive is a directory; --archive shows the content of one archive alone. Nothing is
/// read before somebody looks, and nothing can be changed. The command returns when the archives can be looked at;
/// end it with `gabion umount MOUNTPOINT`.
///
/// What can not be read is an input/output error for whoever reads it, and told on standard error if that is the
/// terminal (with --foreground) or a file.
#[derive(Debug, clap::Args)]
#[command(after_long_help = options::HELP)]
pub struct Args {
    /// Stay in the foreground, until unmounted or interrupted
    #[arg(short, long)]
    foreground: bool,
    /// Options, separated by commas: versions, allow_other, uid=N, gid=N, umask=M, ... (see --help)
    #[arg(short = 'o', value_name = "OPTIONS", value_delimiter = ',')]
    options: Vec<String>,
    /// Show owners by their numbers, even if their names are known here
    #[arg(long)]
    numeric_ids: bool,
    /// Show the content of this archive: a name (the newest of the series), NAME@N (the Nth before it), or aid:HEX
    #[arg(long, value_name = "ARCHIVE")]
    archive: Option<String>,
    /// Drop so many directories from the start of paths; what has no more is left out
    #[arg(long, value_name = "N", default_value_t = 0)]
    strip_components: usize,
    /// The first argument is the repository: for `gabionfs`
    #[arg(long, hide = true)]
    repository_first: bool,
    #[command(flatten)]
    filter: ArchiveFilter,
    #[command(flatten)]
    patterns: Patterns,
    /// The directory below which the archives are shown
    #[arg(value_name = "MOUNTPOINT")]
    mountpoint: PathBuf,
    /// Only these paths and what is below them; pp: unless a style is given
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,
}

impl Args {
    /// The repository, if that is what the first argument is; the second then is the mount point.
    pub fn take_repository(&mut self) -> Result<Option<String>, clap::Error> {
        if !self.repository_first {
            return Ok(None);
        }
        let wrong = |what: &str| clap::Error::raw(Usage::MissingRequiredArgument, format!("{what}\n"));
        if self.paths.is_empty() {
            return Err(wrong("usage: gabionfs REPOSITORY MOUNTPOINT [PATH]... [-o OPTIONS]"));
        }
        let mountpoint = PathBuf::from(self.paths.remove(0));
        let repository = std::mem::replace(&mut self.mountpoint, mountpoint).into_os_string().into_string();
        repository.map(Some).map_err(|_| wrong("the name of the repository is not UTF-8"))
    }
}

/// Mounts; returns when it is mounted, or with --foreground when it is no longer.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    let given = Given::parse(&args.options)?;
    if !args.mountpoint.is_dir() {
        return Err(Failure::command(format!("{}: not a directory to mount at", args.mountpoint.display())).into());
    }
    let in_background = context.environment.is_mount_in_background();
    if !args.foreground && !in_background {
        return background::start();
    }
    let matcher = args.patterns.compile_with_paths(&args.paths)?;
    let repository = context.open_to_read()?;
    let reporter = Arc::new(context.reporter(context.settings())?);
    let (layout, archives) = shown(context, args, &given, context.catalog(&repository, &reporter)?)?;
    let options = ViewOptions {
        layout,
        matcher,
        strip_components: args.strip_components,
        owners: given.owners(args.numeric_ids),
        cache_bytes: context.environment.mount_data_cache()?.map_or(64, |mebibytes| mebibytes) * MIB,
        ..ViewOptions::default()
    };
    let monitor: Arc<dyn Monitor> = Arc::<Reporter>::clone(&reporter);
    let view = View::new(&repository, archives, options, Arc::new(SystemClock), monitor)?;
    let mounted = mount(view, &args.mountpoint, &given.mount_options(repository.object_store().location()))?;
    stop_on_signals(mounted.stopper())?;
    serve(mounted, in_background)?;
    Ok(reporter.warnings())
}

fn serve(mounted: Mounted, in_background: bool) -> Result<()> {
    if in_background {
        background::detach()?;
    }
    Ok(mounted.wait()?)
}

/// The archives that are shown, the oldest first, and how.
fn shown(
    context: &Context,
    args: &Args,
    given: &Given,
    catalog: gabion_core::archive::catalog::Catalog,
) -> Result<(Layout, Vec<Shown>)> {
    if let Some(name) = &args.archive {
        if !args.filter.is_empty() || given.versions {
            return Err(Failure::command("--archive shows one archive: name no others, and no versions").into());
        }
        let archive = archives::find(context, catalog, name)?;
        return Ok((Layout::Single, vec![Shown { name: archive.record.name.clone().into_bytes(), archive }]));
    }
    let mut archives: Vec<_> =
        args.filter.select(context, catalog)?.into_iter().map(|Listed { archive, .. }| archive).collect();
    archives.sort_by_key(|archive| (archive.record.start, archive.id));
    let names = names::of_archives(&archives, context)?;
    let shown = names.into_iter().zip(archives).map(|(name, archive)| Shown { name, archive }).collect();
    Ok((if given.versions { Layout::Versions } else { Layout::Directories }, shown))
}

/// The first SIGINT or SIGTERM unmounts; a second one ends the process at once.
fn stop_on_signals(stopper: Stopper) -> Result<()> {
    let (mut told, tell) = UnixStream::pair().context("listen to signals")?;
    for signal in [SIGINT, SIGTERM] {
        let tell = tell.try_clone().context("listen to signals")?;
        signal_hook::low_level::pipe::register(signal, tell).context("listen to signals")?;
    }
    let listen = move || {
        let mut byte = [0];
        if told.read_exact(&mut byte).is_ok() {
            stopper.stop();
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(listen).context("listen to signals")?;
    // The other end stays with the handlers.
    Ok(())
}

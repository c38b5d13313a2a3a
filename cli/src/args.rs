//! What was typed: the command line as clap reads it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand};

use crate::commands;
use crate::output::units;
use crate::progress::Level;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Deduplicating, compressing, encrypting backups.
#[derive(Debug, Parser)]
#[command(name = "gabion", version = env!("PROGRAM_VERSION"), propagate_version = false, max_term_width = 100, styles = STYLES)]
#[command(subcommand_required = true, arg_required_else_help = true, disable_help_subcommand = true)]
#[command(after_help = "The environment variables are listed by `gabion help environment`.")]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The name under which `mount(8)` finds this program: a symbolic link, for lines of `fstab` of the type
/// `fuse.gabionfs`. It takes the repository first, then the mount point, then what `mount` takes.
const MOUNT_HELPER: &str = "gabionfs";

/// The command line of this process. Under the name of the helper of `mount(8)` it means `mount`.
pub fn of_process() -> Vec<OsString> {
    let mut words: Vec<OsString> = std::env::args_os().collect();
    let called = words.first().map(PathBuf::from);
    if called.as_deref().and_then(Path::file_name).is_some_and(|name| name == MOUNT_HELPER) {
        words.splice(..1, ["gabion", "mount", "--repository-first"].map(OsString::from));
    }
    words
}

impl Cli {
    /// Moves what was given as an argument and is an option elsewhere to its place.
    pub fn settled(self) -> Result<Self, clap::Error> {
        #[cfg(all(feature = "mount", target_os = "linux"))]
        if let Self { mut common, command: Command::Mount(mut args) } = self {
            if let Some(repository) = args.take_repository()? {
                common.repo = Some(repository);
            }
            return Ok(Self { common, command: Command::Mount(args) });
        }
        Ok(self)
    }
}

/// Permissions that new files do not have unless it is said otherwise.
const UMASK: u32 = 0o077;

/// Options that every command takes, before or after its name.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// Repository: a path, a URL, or @NAME of a profile [env: GABION_REPO]
    #[arg(short, long, global = true, value_name = "URL")]
    pub repo: Option<String>,
    /// Tell critical errors only
    #[arg(long, global = true)]
    pub critical: bool,
    /// Tell errors only
    #[arg(long, global = true, alias = "err")]
    pub error: bool,
    /// Tell warnings and errors (the default)
    #[arg(long, global = true, alias = "warn")]
    pub warning: bool,
    /// Tell what is done, too
    #[arg(short = 'v', long, global = true, visible_alias = "verbose")]
    pub info: bool,
    /// Tell everything, and errors with all their causes
    #[arg(long, global = true)]
    pub debug: bool,
    /// Accepted for drivers; all topics are told by --debug
    #[arg(long, global = true, value_name = "TOPIC", hide = true)]
    pub debug_topic: Vec<String>,
    /// Tell errors only
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Show how far the work is
    #[arg(short, long, global = true)]
    pub progress: bool,
    /// Write messages, progress and lists of files as JSON lines
    #[arg(long, global = true)]
    pub log_json: bool,
    /// Seconds to wait for who keeps `compact` away [default: 10] [env: GABION_LOCK_WAIT]
    #[arg(long, global = true, value_name = "SECONDS")]
    pub lock_wait: Option<f64>,
    /// Write only if all stores of a set are there
    #[arg(long, global = true)]
    pub require_all_stores: bool,
    /// Tell the version first
    #[arg(long, global = true)]
    pub show_version: bool,
    /// Tell the return code at the end
    #[arg(long, global = true)]
    pub show_rc: bool,
    /// Send at most so many bytes a second, such as 500K or 2Mi
    #[arg(long, global = true, value_name = "RATE", value_parser = units::parse_rate)]
    pub upload_limit: Option<u64>,
    /// Receive at most so many bytes a second
    #[arg(long, global = true, value_name = "RATE", value_parser = units::parse_rate)]
    pub download_limit: Option<u64>,
    /// Borg's spelling of --upload-limit: in KiB a second, 0 is no limit
    #[arg(long, global = true, value_name = "KIB", hide = true, conflicts_with = "upload_limit")]
    pub upload_ratelimit: Option<u64>,
    /// Ask each store for so many things at once [default: what suits the store]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub connections: Option<u16>,
    /// Repeat for so long what a store or the way to it fails to do [default: 300]
    #[arg(long, global = true, value_name = "SECONDS")]
    pub patience: Option<u32>,
    /// Keep no copies of small objects on this machine, and use none
    #[arg(long, global = true)]
    pub no_cache: bool,
    /// The command that connects to other machines [env: GABION_RSH]
    #[arg(long, global = true, value_name = "COMMAND")]
    pub rsh: Option<String>,
    /// The name of gabion on the other machine [env: GABION_REMOTE_PATH]
    #[arg(long, global = true, value_name = "PATH")]
    pub remote_path: Option<String>,
    /// Tell how the command ended to this file, for Prometheus; what other commands told there stays
    #[arg(long, global = true, value_name = "PATH")]
    pub metrics_file: Option<PathBuf>,
    /// Permissions that new files shall not have, octal
    #[arg(long, global = true, value_name = "M", default_value = "0077", value_parser = parse_mode)]
    pub umask: u32,
}

impl Common {
    /// What can be told of the options of words that make no command.
    pub fn of_words() -> Self {
        Self { log_json: std::env::args_os().any(|word| word == "--log-json"), ..Self::default() }
    }

    /// The least level that is told: the most talkative option wins.
    pub fn level(&self) -> Level {
        let wishes = [
            (self.debug || !self.debug_topic.is_empty(), Level::Debug),
            (self.info, Level::Info),
            (self.warning, Level::Warning),
            (self.error || self.quiet, Level::Error),
            (self.critical, Level::Critical),
        ];
        wishes.into_iter().find(|(wished, _)| *wished).map_or(Level::Warning, |(_, level)| level)
    }
}

impl Common {
    /// The words that say the same to another process of this program, but for the repository.
    pub fn words(&self) -> Vec<OsString> {
        let flags = [
            ("--critical", self.critical),
            ("--error", self.error),
            ("--warning", self.warning),
            ("--info", self.info),
            ("--debug", self.debug),
            ("--quiet", self.quiet),
            ("--progress", self.progress),
            ("--log-json", self.log_json),
            ("--require-all-stores", self.require_all_stores),
            ("--show-version", self.show_version),
            ("--show-rc", self.show_rc),
            ("--no-cache", self.no_cache),
        ];
        let values = [
            ("lock-wait", self.lock_wait.map(|seconds| seconds.to_string())),
            ("upload-limit", self.upload_limit().map(|rate| rate.to_string())),
            ("download-limit", self.download_limit.map(|rate| rate.to_string())),
            ("connections", self.connections.map(|count| count.to_string())),
            ("patience", self.patience.map(|seconds| seconds.to_string())),
            ("rsh", self.rsh.clone()),
            ("remote-path", self.remote_path.clone()),
            ("umask", (self.umask != UMASK).then(|| format!("{:04o}", self.umask))),
        ];
        let flags = flags.into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag.into());
        let values = values.into_iter().filter_map(|(name, value)| Some(format!("--{name}={}", value?).into()));
        let metrics = self.metrics_file.iter().map(|path| {
            let mut word = OsString::from("--metrics-file=");
            word.push(path);
            word
        });
        flags.chain(values).chain(metrics).collect()
    }

    /// Bytes a second that may be sent.
    pub fn upload_limit(&self) -> Option<u64> {
        let borg = self.upload_ratelimit.filter(|kib| *kib > 0).map(|kib| kib.saturating_mul(1024));
        self.upload_limit.or(borg)
    }
}

/// Whether an option of a command, such as `--repo` or `-r`, takes a value.
pub fn takes_value(command: &clap::Command, option: &str) -> bool {
    let fits = |argument: &&clap::Arg| match option.strip_prefix("--") {
        Some(long) => {
            argument.get_long() == Some(long) || argument.get_all_aliases().is_some_and(|all| all.contains(&long))
        }
        None => argument.get_short().is_some_and(|short| option[1..] == *short.encode_utf8(&mut [0; 4])),
    };
    command.get_arguments().find(fits).is_some_and(|argument| argument.get_action().takes_values())
}

/// Reads permission bits in octal.
pub fn parse_mode(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let mode = u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o7777);
    mode.ok_or_else(|| "write up to four octal digits, such as 0077".to_owned())
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    RepoCreate(commands::repo_create::Args),
    RepoList(commands::repo_list::Args),
    #[command(after_help = "Examples:\n  gabion create home ~/Documents ~/Pictures --exclude-caches --stats\n  \
        gabion create --init --list --filter AM '{hostname}' /etc /home\n  \
        gabion create home ~ -e '*.tmp' -e 'sh:**/.cache' -C zstd,9\n  \
        pg_dump shop | gabion create --stdin-name shop.sql shop -")]
    Create(Box<commands::create::Args>),
    Extract(commands::extract::Args),
    List(commands::list::Args),
    Delete(commands::delete::Args),
    Undelete(commands::undelete::Args),
    Prune(Box<commands::prune::Args>),
    Rename(commands::rename::Args),
    Tag(commands::tag::Args),
    Import(Box<commands::import::Args>),
    Check(commands::check::Args),
    Compact(commands::compact::Args),
    Scrub(commands::scrub::Args),
    Recreate(Box<commands::recreate::Args>),
    Transfer(Box<commands::transfer::Args>),
    Analyze(commands::analyze::Args),
    Find(commands::find::Args),
    Diff(Box<commands::diff::Args>),
    ExportTar(commands::export_tar::Args),
    ImportTar(Box<commands::import_tar::Args>),
    /// Show archives as a file system
    #[cfg(all(feature = "mount", target_os = "linux"))]
    Mount(Box<commands::mount::Args>),
    /// Unmount archives that `mount` shows
    #[cfg(all(feature = "mount", target_os = "linux"))]
    Umount(commands::umount::Args),
    Info(commands::info::Args),
    RepoInfo(commands::repo_info::Args),
    RepoSpace(commands::repo_space::Args),
    RepoCompress(commands::repo_compress::Args),
    RepoDelete(commands::repo_delete::Args),
    Run(commands::run::Args),
    /// Run a command while `compact` deletes no data
    WithLock(commands::with_lock::WithLock),
    /// Let `compact` go on where a program died that kept it away
    BreakLock(commands::with_lock::BreakLock),
    Key(commands::key::Args),
    Serve(commands::serve::Args),
    /// Measure how fast this machine is
    Benchmark(commands::benchmark::Args),
    Cache(commands::cache::Args),
    /// Print a script that lets a shell complete commands and options
    Completion(commands::completion::Args),
    /// Write the pages of the manual: man1 has one per command, man7 one per topic
    Man(commands::man::Args),
    /// Show the version of this program
    Version(commands::version::Args),
    /// Look into a repository; nothing here changes it
    Debug(commands::debug::Args),
    /// Explain a command or a topic
    Help(commands::help::Args),
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn common_options_work_on_both_sides_of_the_command() {
        for line in ["gabion -r here --log-json repo-list", "gabion repo-list --log-json -r here"] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert_eq!((cli.common.repo.as_deref(), cli.common.log_json), (Some("here"), true), "{line}");
            assert_eq!((cli.common.level(), cli.common.umask), (Level::Warning, 0o077));
        }
    }

    #[test]
    fn common_options_are_handed_on_whole() {
        let line = "gabion run --critical --error --warning --info --debug --quiet --progress --log-json --lock-wait 1.5 \
                    --require-all-stores --show-version --show-rc --upload-limit 5K --download-limit 7 --connections 3 \
                    --patience 9 --no-cache --rsh ssh --remote-path g --umask 027 a --metrics-file";
        let no_text = OsString::from_vec(b"\xff.prom".to_vec());
        let line = line.split_whitespace().map(OsString::from).chain([no_text]);
        let common = Cli::try_parse_from(line).unwrap().common;
        assert!(common.metrics_file.is_some());
        let words = [vec!["gabion".into(), "version".into()], common.words()].concat();
        let again = Cli::try_parse_from(words).unwrap().common;
        assert_eq!(format!("{again:?}"), format!("{common:?}"));
        assert_eq!(Cli::try_parse_from(["gabion", "version"]).unwrap().common.words(), Vec::<OsString>::new());
    }

    #[test]
    fn the_most_talkative_level_wins() {
        for (options, level) in [
            (&["-v", "-q"][..], Level::Info),
            (&["--debug", "--info"], Level::Debug),
            (&["--quiet"], Level::Error),
            (&["--critical"], Level::Critical),
            (&["--verbose"], Level::Info),
        ] {
            let line = ["gabion", "repo-list"].iter().chain(options);
            assert_eq!(Cli::try_parse_from(line).unwrap().common.level(), level, "{options:?}");
        }
    }

    #[test]
    fn rates_are_bytes_or_in_borgs_spelling_kib() {
        let limit = |line: &[&str]| {
            let cli = Cli::try_parse_from([&["gabion", "repo-list"], line].concat());
            cli.map(|cli| (cli.common.upload_limit(), cli.common.download_limit))
        };
        assert_eq!(limit(&[]).unwrap(), (None, None));
        assert_eq!(limit(&["--upload-limit", "500K"]).unwrap(), (Some(500_000), None));
        assert_eq!(limit(&["--download-limit", "2Mi"]).unwrap(), (None, Some(2 << 20)));
        assert_eq!(limit(&["--upload-ratelimit", "3"]).unwrap(), (Some(3072), None));
        assert_eq!(limit(&["--upload-ratelimit", "0"]).unwrap(), (None, None));
        for wrong in ["0", "x", "-1"] {
            assert!(limit(&["--upload-limit", wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!((parse_mode("0077"), parse_mode("0o660"), parse_mode("0")), (Ok(0o77), Ok(0o660), Ok(0)));
        assert!(parse_mode("8").is_err() && parse_mode("17777").is_err() && parse_mode("").is_err());
    }
}

//! `gabion benchmark crud`: how fast archives are made, read, made again and removed, in the way real ones are.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use gabion_core::archive::catalog::Archive;
use gabion_core::chunker::ChunkerParams;
use gabion_core::clock::{Clock as _, SystemClock};
use gabion_core::monitor::Monitor as _;
use gabion_core::ops::create::{Compare, CreateOptions, Input, Plan, Wanted, create};
use gabion_core::ops::delete::delete;
use gabion_core::ops::extract::dry_run;
use gabion_core::pattern::Matcher;
use gabion_core::repository::Repository;
use serde_json::json;

use crate::context::Context;
use crate::exit_code::Warnings;
use crate::output::sink::Sink;
use crate::output::units;
use crate::progress::{Level, Reporter};
use crate::resources::Resources;

/// The name of all archives that are made.
const NAME: &str = "gabion-benchmark-crud";
/// Bytes written at once.
const PIECE_BYTES: usize = 1 << 20;

/// Measure making archives, reading, making again and removing them, in the repository.
///
/// Files are written below PATH and backed up without compression, as often as it takes to measure each step: C, a first
/// archive, all of which is read; R, reading all of that archive, without writing it; U, one more archive of the unchanged
/// files; D, removing the last archive that has them. The rate is always that of all bytes in the files. Z are files of zeros,
/// which are stored once; R are random files, all of which are stored.
///
/// The directory with the files, and the archives (gabion-benchmark-crud), are removed in the end, also when something fails
/// or SIGINT ends it. What was stored for them is given back by `gabion compact`. It takes 1 GB below PATH, and some 2 GB in
/// the repository.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gabion benchmark crud /var/tmp\n  gabion benchmark crud --size 10M --json-lines /var/tmp"
)]
pub struct Args {
    /// Print one JSON object per line
    #[arg(long)]
    json_lines: bool,
    /// Take at most so many bytes of each kind of files, such as 10M: fewer files, or smaller ones
    #[arg(long, value_name = "SIZE", value_parser = units::parse)]
    size: Option<u64>,
    /// Where to write the files
    #[arg(value_name = "PATH")]
    path: PathBuf,
    #[command(flatten)]
    resources: Resources,
}

/// Files that are backed up.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sample {
    name: &'static str,
    count: u64,
    /// Of each file.
    bytes: u64,
    random: bool,
}

const fn sample(name: &'static str, count: u64, bytes: u64, random: bool) -> Sample {
    Sample { name, count, bytes, random }
}

/// Those of Borg.
const SAMPLES: [Sample; 6] = [
    sample("Z-BIG", 10, 100_000_000, false),
    sample("R-BIG", 10, 100_000_000, true),
    sample("Z-MEDIUM", 1000, 1_000_000, false),
    sample("R-MEDIUM", 1000, 1_000_000, true),
    sample("Z-SMALL", 10_000, 10_000, false),
    sample("R-SMALL", 10_000, 10_000, true),
];

/// What is measured, in the order of [`Times`]: a letter and the name of Borg.
const STEPS: [(char, &str); 4] = [('C', "create1"), ('R', "extract"), ('U', "create2"), ('D', "delete")];

type Times = [Duration; STEPS.len()];

/// Measures.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    let repository = context.open()?;
    repository.permissions().require_all("remove the archives of a benchmark")?;
    let reporter = context.reporter(context.settings())?;
    let mut out = Sink::new();
    for sample in SAMPLES {
        let sample = sample.within(args.size);
        let directory = tempfile::Builder::new().prefix("gabion-benchmark-").tempdir_in(&args.path);
        let directory = directory.with_context(|| format!("make a directory in {}", args.path.display()))?;
        sample.write(directory.path(), &reporter)?;
        let bench = Bench { context, args, repository: &repository, reporter: &reporter, directory: directory.path() };
        let times = bench.measure()?;
        directory.close()?;
        for (step, time) in STEPS.iter().zip(times) {
            let line = if args.json_lines { sample.json(*step, time) } else { sample.line(context, step.0, time) };
            writeln!(out, "{line}")?;
        }
        out.flush()?;
    }
    reporter.log(Level::Info, None, "`gabion compact` gives back the room of what was stored");
    Ok(reporter.warnings())
}

/// The surroundings of one measurement.
struct Bench<'a> {
    context: &'a Context,
    args: &'a Args,
    repository: &'a Repository,
    reporter: &'a Reporter,
    directory: &'a Path,
}

impl Bench<'_> {
    /// Takes the times. Whatever happens, no archive is left.
    fn measure(&self) -> Result<Times> {
        let mut made = Vec::new();
        let times = self.steps(&mut made);
        let removed = self.remove(&made);
        let times = times?;
        removed?;
        Ok(times)
    }

    /// The archives that are left are in `made`.
    fn steps(&self, made: &mut Vec<Archive>) -> Result<Times> {
        let start = Instant::now();
        made.push(self.create(Compare { always_read: true, ..Compare::default() })?);
        let created = start.elapsed();
        // files that were written just before the first archive are not relied upon in the next one
        made.push(self.create(Compare::default())?);
        let start = Instant::now();
        made.push(self.create(Compare::default())?);
        let updated = start.elapsed();
        self.remove(&made[1..])?;
        made.truncate(1);
        let start = Instant::now();
        let reader = self.repository.session()?.reader();
        made.iter().try_for_each(|archive| dry_run(&reader, &archive.record, &Matcher::new(), self.reporter))?;
        let read = start.elapsed();
        let start = Instant::now();
        self.remove(made)?;
        let removed = start.elapsed();
        made.clear();
        Ok([created, read, updated, removed])
    }

    fn create(&self, compare: Compare) -> Result<Archive> {
        let context = self.context;
        let options = CreateOptions {
            name: NAME.to_owned(),
            host: context.placeholders.hostname.clone(),
            user: context.placeholders.user.clone(),
            paths: vec![self.directory.as_os_str().as_bytes().to_vec()],
            command_line: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
            writer: self.args.resources.writer(context, "none".parse()?, Some(ChunkerParams::default()))?,
            compare,
            ..CreateOptions::default()
        };
        let plan = Plan::new([self.directory], Wanted::All);
        let created = create(self.repository, Input::Files(&plan), &options, &SystemClock, self.reporter)?;
        Ok(Archive { id: created.id, record: created.record })
    }

    fn remove(&self, archives: &[Archive]) -> Result<()> {
        let archives: Vec<&Archive> = archives.iter().collect();
        Ok(delete(self.repository, &archives, &self.context.remover("benchmark crud"), &SystemClock)?)
    }
}

impl Sample {
    /// The same with so many bytes at most; one byte is the least.
    fn within(self, total: Option<u64>) -> Self {
        let total = total.unwrap_or(u64::MAX).max(1);
        let bytes = self.bytes.min(total);
        Self { bytes, count: self.count.min(total / bytes), ..self }
    }

    /// Writes the files.
    fn write(&self, directory: &Path, reporter: &Reporter) -> Result<()> {
        let now = SystemClock.now();
        let seed = format!("{}.{} {}", now.seconds, now.nanoseconds, directory.display());
        let mut noise = blake3::Hasher::new().update(seed.as_bytes()).finalize_xof();
        let mut piece = vec![0; PIECE_BYTES];
        for number in 0..self.count {
            let mut file = File::create(directory.join(format!("file_{number}")))?;
            let mut left = self.bytes;
            while left > 0 {
                reporter.stop_if_asked("write files")?;
                let part = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES);
                let part = &mut piece[..part];
                if self.random {
                    noise.fill(part);
                }
                file.write_all(part)?;
                left -= part.len() as u64;
            }
        }
        #[cfg(target_os = "linux")]
        self.forget(directory)?;
        Ok(())
    }

    /// Brings the files to the disk and lets memory forget them, as if they had been there for long.
    #[cfg(target_os = "linux")]
    fn forget(&self, directory: &Path) -> Result<()> {
        rustix::fs::syncfs(File::open(directory)?)?;
        for number in 0..self.count {
            let file = File::open(directory.join(format!("file_{number}")))?;
            rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)?;
        }
        Ok(())
    }

    fn total(&self) -> f64 {
        (self.count * self.bytes) as f64
    }

    /// A line as Borg prints it.
    fn line(&self, context: &Context, letter: char, time: Duration) -> String {
        let Self { name, count, random, .. } = self;
        let (seconds, size) = (time.as_secs_f64().max(1e-9), context.units.format(self.bytes));
        let content = if *random { "random" } else { "all-zero" };
        let rate = self.total() / 1e6 / seconds;
        format!("{letter}-{name:<10} {rate:>9.2} MB/s ({count} * {size} {content} files: {seconds:.2}s)")
    }

    /// An object with the keys of Borg.
    fn json(&self, (letter, command): (char, &str), time: Duration) -> String {
        let seconds = time.as_secs_f64().max(1e-9);
        let object = json!({
            "command": command,
            "id": format!("{letter}-{}", self.name),
            "io": (self.total() / seconds) as u64,
            "sample": self.name,
            "sample_count": self.count,
            "sample_random": self.random,
            "sample_size": self.bytes,
            "time": seconds,
        });
        object.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_get_fewer_and_then_smaller_files() {
        let [big, .., small] = SAMPLES;
        for (total, expected_big, expected_small) in [
            (None, (10, 100_000_000), (10_000, 10_000)),
            (Some(300_000_000), (3, 100_000_000), (10_000, 10_000)),
            (Some(25_000), (1, 25_000), (2, 10_000)),
            (Some(0), (1, 1), (1, 1)),
        ] {
            let of = |sample: &Sample| {
                let Sample { count, bytes, .. } = sample.clone().within(total);
                (count, bytes)
            };
            assert_eq!((of(&big), of(&small)), (expected_big, expected_small), "{total:?}");
        }
    }
}

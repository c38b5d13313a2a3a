//! Programs a tar archive goes through: compressors by the name of the file, or any command.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result};

use crate::output::new_file::NewFile;
use crate::output::sink::Sink;
use crate::words;

/// What `--help` says of it.
pub const HELP: &str = "\
The archive goes through the command of --tar-filter, which may be any command line (no shell);
these names stand for compressors:
  auto      by the end of the file's name, such as .tar.gz or .tzst (the default)
  none      as it is
  gzip  bzip2  xz  zstd  lz4  lzip";

/// Bytes that are written and read at once.
const BUFFER_BYTES: usize = 1 << 20;

/// A compressor: its name, the ends of file names it goes with, how it compresses and how it undoes that.
struct Compressor {
    name: &'static str,
    ends: &'static [&'static str],
    compress: &'static [&'static str],
    decompress: &'static [&'static str],
}

const COMPRESSORS: [Compressor; 6] = [
    Compressor { name: "gzip", ends: &[".gz", ".tgz"], compress: &["gzip"], decompress: &["gzip", "-d"] },
    Compressor { name: "bzip2", ends: &[".bz2", ".tbz", ".tbz2"], compress: &["bzip2"], decompress: &["bzip2", "-d"] },
    Compressor { name: "xz", ends: &[".xz", ".txz"], compress: &["xz", "-T0"], decompress: &["xz", "-d"] },
    Compressor {
        name: "zstd",
        ends: &[".zst", ".zstd", ".tzst"],
        compress: &["zstd", "-T0", "-q"],
        decompress: &["zstd", "-d", "-q"],
    },
    Compressor { name: "lz4", ends: &[".lz4"], compress: &["lz4", "-q"], decompress: &["lz4", "-d", "-q"] },
    Compressor { name: "lzip", ends: &[".lz", ".tlz"], compress: &["lzip"], decompress: &["lzip", "-d"] },
];

/// Which way it goes.
#[derive(Clone, Copy)]
enum Way {
    Compress,
    Decompress,
}

/// The words of the command that `filter` means for `file`; none if the archive stays as it is.
fn command(filter: &str, file: &Path, way: Way) -> Result<Option<Vec<String>>> {
    let name = file.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let found = match filter {
        "none" | "" => return Ok(None),
        "auto" => COMPRESSORS.iter().find(|known| known.ends.iter().any(|end| name.ends_with(end))),
        filter => COMPRESSORS.iter().find(|known| known.name == filter),
    };
    if let Some(known) = found {
        let words = match way {
            Way::Compress => known.compress,
            Way::Decompress => known.decompress,
        };
        return Ok(Some(words.iter().map(|word| (*word).to_owned()).collect()));
    }
    if filter == "auto" {
        return Ok(None);
    }
    Ok(Some(words::split(filter)?))
}

fn start(words: &[String], input: Stdio, output: Stdio) -> Result<Child> {
    let (program, arguments) = words.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    let started = Command::new(program).args(arguments).stdin(input).stdout(output).spawn();
    started.with_context(|| format!("start `{program}` of --tar-filter"))
}

fn ended(child: &mut Child, words: &[String]) -> Result<()> {
    let status = child.wait().context("wait for the command of --tar-filter")?;
    if status.success() {
        return Ok(());
    }
    Err(anyhow::anyhow!("`{}` of --tar-filter failed: {status}", words.join(" ")))
}

/// Where an archive is written to.
pub struct Output {
    place: Place,
    /// The file, if it is one.
    file: Option<NewFile>,
    failed: Option<io::ErrorKind>,
}

enum Place {
    /// A file, or standard output.
    Plain(BufWriter<Box<dyn Write>>),
    /// A command, what is written to it, and what it is.
    Command(Child, Option<BufWriter<ChildStdin>>, Vec<String>),
}

impl Output {
    /// Opens the output: a new file (one that is there is replaced at the end), or standard output for `-`.
    pub fn open(path: &Path, filter: &str) -> Result<Self> {
        let words = command(filter, path, Way::Compress)?;
        let told = || format!("write {}", path.display());
        let file = (path.as_os_str() != "-").then(|| NewFile::create(path)).transpose().with_context(told)?;
        let written = file.as_ref().map(NewFile::file).transpose().with_context(told)?;
        let place = match words {
            None => {
                let plain: Box<dyn Write> =
                    written.map_or_else(|| Box::new(Sink::new()) as _, |file| Box::new(file) as _);
                Place::Plain(BufWriter::with_capacity(BUFFER_BYTES, plain))
            }
            Some(words) => {
                let mut child = start(&words, Stdio::piped(), written.map_or_else(Stdio::inherit, Stdio::from))?;
                let input = child.stdin.take().map(|input| BufWriter::with_capacity(BUFFER_BYTES, input));
                Place::Command(child, input, words)
            }
        };
        Ok(Self { place, file, failed: None })
    }

    /// Ends the output, of which `written` tells whether all was given to it. Fails if not everything could be written, or
    /// if the command failed: what the output has to say of that comes first. Then a file is as it was before.
    pub fn close<E>(mut self, written: Result<(), E>) -> Result<()>
    where
        anyhow::Error: From<E>,
    {
        let flushed = self.flush();
        if let Place::Command(mut child, input, words) = self.place {
            drop(input);
            ended(&mut child, &words)?;
        }
        if let Some(kind) = self.failed {
            return Err(anyhow::Error::new(io::Error::from(kind)).context("write tar"));
        }
        flushed?;
        written?;
        self.file.map_or(Ok(()), NewFile::publish).context("write tar")
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.place {
            Place::Plain(plain) => plain.write(bytes),
            Place::Command(_, Some(input), _) => input.write(bytes),
            Place::Command(..) => Err(io::ErrorKind::BrokenPipe.into()),
        };
        written.inspect_err(|error| note(&mut self.failed, error))
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = match &mut self.place {
            Place::Plain(plain) => plain.flush(),
            Place::Command(_, Some(input), _) => input.flush(),
            Place::Command(..) => Ok(()),
        };
        flushed.inspect_err(|error| note(&mut self.failed, error))
    }
}

/// A write that was interrupted is tried again.
fn note(failed: &mut Option<io::ErrorKind>, error: &io::Error) {
    if error.kind() != io::ErrorKind::Interrupted {
        *failed = Some(error.kind());
    }
}

/// Where an archive is read from.
pub enum Source {
    /// A file, or standard input.
    Plain(Box<dyn Read>),
    /// A command, and what it is.
    Command { child: Child, output: Option<BufReader<ChildStdout>>, words: Vec<String> },
}

impl Source {
    /// Opens a file, or standard input for `-`.
    pub fn open(file: &Path, filter: &str) -> Result<Self> {
        let words = command(filter, file, Way::Decompress)?;
        let from_standard_input = file.as_os_str() == "-";
        let existing = || File::open(file).with_context(|| format!("read {}", file.display()));
        let Some(words) = words else {
            let plain: Box<dyn Read> = match from_standard_input {
                true => Box::new(io::stdin()),
                false => Box::new(BufReader::with_capacity(BUFFER_BYTES, existing()?)),
            };
            return Ok(Self::Plain(plain));
        };
        let input = if from_standard_input { Stdio::inherit() } else { existing()?.into() };
        let mut child = start(&words, input, Stdio::piped())?;
        let output = child.stdout.take().map(|output| BufReader::with_capacity(BUFFER_BYTES, output));
        Ok(Self::Command { child, output, words })
    }
}

impl Read for Source {
    /// The end of a command's output is the end of the archive only if the command ends well.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(plain) => plain.read(buffer),
            Self::Command { child, output, words } => {
                let Some(pipe) = output else { return Ok(0) };
                let bytes = pipe.read(buffer)?;
                if bytes == 0 && !buffer.is_empty() {
                    *output = None;
                    ended(child, words).map_err(|error| io::Error::other(error.to_string()))?;
                }
                Ok(bytes)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words_of(filter: &str, file: &str, way: Way) -> Option<String> {
        command(filter, Path::new(file), way).unwrap().map(|words| words.join(" "))
    }

    #[test]
    fn compressors_by_name_and_by_file() {
        for (filter, file, expected) in [
            ("auto", "a.tar", None),
            ("auto", "-", None),
            ("auto", "/x/B.TAR.GZ", Some("gzip")),
            ("auto", "a.tgz", Some("gzip")),
            ("auto", "a.tar.zst", Some("zstd -T0 -q")),
            ("auto", "a.txz", Some("xz -T0")),
            ("auto", "a.tar.lz4", Some("lz4 -q")),
            ("none", "a.tar.gz", None),
            ("zstd", "-", Some("zstd -T0 -q")),
            ("pigz -p 2 'a b'", "a.tar", Some("pigz -p 2 a b")),
        ] {
            assert_eq!(words_of(filter, file, Way::Compress).as_deref(), expected, "{filter} {file}");
        }
        assert_eq!(words_of("auto", "a.tar.bz2", Way::Decompress).as_deref(), Some("bzip2 -d"));
        assert!(command("'x", Path::new("a"), Way::Compress).is_err());
    }
}

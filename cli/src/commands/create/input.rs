//! What is backed up: paths, or a stream.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use anyhow::Result;
use gabion_core::archive::Metadata;
use gabion_core::chunker::{Input, Read};
use gabion_core::error::{Error, ErrorKind};
use gabion_core::fs::users::Users;
use gabion_core::ops::create::{FromRead, Plan, Wanted, archived_path};

use super::Args;
use crate::context::Context;
use crate::exit_code::Failure;

/// What is backed up.
pub(super) struct Source {
    /// Files, and where the stream is archived.
    pub plan: Plan,
    /// The paths as they were given.
    pub given: Vec<Vec<u8>>,
    /// The stream, if there is one.
    pub stream: Option<StreamSource>,
}

/// What a stream has. Whoever makes an archive may read it.
pub(super) type Content<'a> = Box<dyn Input + Send + 'a>;

/// A stream that becomes one file.
pub(super) struct StreamSource {
    /// What the file says of itself.
    pub metadata: Metadata,
    /// The words of the command whose output it is; standard input if there are none.
    command: Vec<OsString>,
}

impl Args {
    /// Finds out what is backed up; reads lists of paths.
    pub(super) fn source(&self, context: &Context, roots: Vec<PathBuf>) -> Result<Source> {
        let content = &self.content;
        if content.content_from_command {
            self.need_command("--content-from-command")?;
            return self.with_stream(context, self.paths.clone(), Vec::new());
        }
        let listed = if content.paths_from_stdin {
            if !self.paths.is_empty() {
                return Err(Failure::command("--paths-from-stdin leaves no room for PATHs").into());
            }
            let mut list = Vec::new();
            io::stdin().read_to_end(&mut list)?;
            Some(list)
        } else if content.paths_from_command {
            self.need_command("--paths-from-command")?;
            Some(output_of(&self.paths)?)
        } else if content.paths_from_shell_command {
            self.need_command("--paths-from-shell-command")?;
            Some(output_of(&["sh".into(), "-c".into(), self.paths.join(OsStr::new(" "))])?)
        } else {
            None
        };
        if let Some(list) = listed {
            let paths = split_paths(&list, &unescape(&content.paths_delimiter)?);
            return Ok(files(paths, Wanted::Itself));
        }
        let (streams, given): (Vec<_>, Vec<_>) = self.paths.iter().partition(|path| *path == "-");
        let paths: Vec<PathBuf> = given.into_iter().map(PathBuf::from).chain(roots).collect();
        if !streams.is_empty() {
            return self.with_stream(context, Vec::new(), paths);
        }
        if paths.is_empty() {
            return Err(Failure::command(
                "nothing to back up: give at least one PATH, or a root by `R PATH` in a pattern",
            )
            .into());
        }
        Ok(files(paths, Wanted::All))
    }

    fn need_command(&self, option: &str) -> Result<(), Failure> {
        if self.paths.is_empty() {
            return Err(Failure::command(format!("{option} needs a command: give it after `--`")));
        }
        Ok(())
    }

    /// A stream, and files beside it.
    fn with_stream(&self, context: &Context, command: Vec<OsString>, paths: Vec<PathBuf>) -> Result<Source> {
        let content = &self.content;
        let path = Path::new(&content.stdin_name);
        if archived_path(path).is_empty() {
            return Err(Failure::command("--stdin-name must be the path of a file").into());
        }
        let users = Users::system();
        let (uid, user) = owner(&content.stdin_user, "user", |name| users.user_id(name))?;
        let (gid, group) = owner(&content.stdin_group, "group", |name| users.group_id(name))?;
        let metadata = Metadata {
            mode: content.stdin_mode,
            uid,
            gid,
            user: user.map(Into::into),
            group: group.map(Into::into),
            modified: context.now(),
            born: None,
            accessed: None,
            flags: 0,
        };
        let Source { plan, mut given, .. } = files(paths, Wanted::All);
        given.push(content.stdin_name.as_bytes().to_vec());
        Ok(Source { plan: plan.with_stream(path), given, stream: Some(StreamSource { metadata, command }) })
    }
}

impl StreamSource {
    /// Starts the command, if it is one. `failure` tells afterwards why the command's output is not whole.
    pub fn open<'a>(&self, failure: &'a mut Option<Failure>) -> Result<Content<'a>> {
        if self.command.is_empty() {
            return Ok(Box::new(FromRead(io::stdin())));
        }
        let (child, output) = spawn(&self.command)?;
        Ok(Box::new(Output { child, output, ended: false, program: shown(&self.command), failure }))
    }
}

/// The output of a command. Its end is the end of the content only if the command succeeded.
struct Output<'a> {
    child: Child,
    output: ChildStdout,
    ended: bool,
    program: String,
    failure: &'a mut Option<Failure>,
}

impl Input for Output<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> gabion_core::error::Result<Read> {
        match FromRead(&mut self.output).read(buffer)? {
            Read::End => {
                self.ended = true;
                let status = self.child.wait().map_err(|error| Error::from_io("wait for command", error))?;
                if status.success() {
                    return Ok(Read::End);
                }
                *self.failure = Some(ended_badly(&self.program, status));
                Err(Error::new(ErrorKind::Io, "read output of command").with("status", status))
            }
            other => Ok(other),
        }
    }
}

impl Drop for Output<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // Nobody reads what it says any more. If it is gone, all is well.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn ended_badly(program: &str, status: ExitStatus) -> Failure {
    Failure::command(format!("command `{program}` failed: {status}"))
}

fn shown(words: &[OsString]) -> String {
    words.first().map(|program| program.to_string_lossy().into_owned()).unwrap_or_default()
}

fn spawn(words: &[OsString]) -> Result<(Child, ChildStdout), Failure> {
    let failed =
        |why: &dyn std::fmt::Display| Failure::command(format!("can not run command `{}`: {why}", shown(words)));
    let [program, arguments @ ..] = words else { return Err(failed(&"it is empty")) };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(&error))?;
    let output = child.stdout.take().ok_or_else(|| failed(&"it has no output"))?;
    Ok((child, output))
}

fn output_of(words: &[OsString]) -> Result<Vec<u8>> {
    let (mut child, mut output) = spawn(words)?;
    let mut bytes = Vec::new();
    let read = output.read_to_end(&mut bytes);
    drop(output);
    let status = child.wait()?;
    if !status.success() {
        return Err(ended_badly(&shown(words), status).into());
    }
    read?;
    Ok(bytes)
}

fn files(paths: Vec<PathBuf>, wanted: Wanted) -> Source {
    let plan = Plan::new(paths.iter().map(PathBuf::as_path), wanted);
    let given = paths.into_iter().map(|path| path.into_os_string().into_vec()).collect();
    Source { plan, given, stream: None }
}

/// The number of an owner, and his name if he has one here. Numbers stand for themselves.
fn owner(text: &str, what: &str, find: impl Fn(&[u8]) -> Option<u32>) -> Result<(u32, Option<Vec<u8>>), Failure> {
    if let Some(id) = find(text.as_bytes()) {
        return Ok((id, Some(text.as_bytes().to_vec())));
    }
    let unknown = || Failure::command(format!("{what} `{text}` is not known here; a number can be given, too"));
    text.parse().map(|id| (id, None)).map_err(|_| unknown())
}

/// The delimiter a person wrote with backslashes.
fn unescape(text: &str) -> Result<Vec<u8>, Failure> {
    let wrong = || Failure::command(format!("not a delimiter: `{text}`"));
    let mut out = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        out.push(match byte {
            b'\\' => match rest.next().ok_or_else(wrong)? {
                b'0' => 0,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'\\' => b'\\',
                _ => return Err(wrong()),
            },
            plain => plain,
        });
    }
    if out.is_empty() { Err(wrong()) } else { Ok(out) }
}

fn split_paths(list: &[u8], delimiter: &[u8]) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    let mut rest = list;
    while !rest.is_empty() {
        let end = rest.windows(delimiter.len()).position(|window| window == delimiter);
        let path = &rest[..end.unwrap_or(rest.len())];
        if !path.is_empty() {
            paths.push(Path::new(OsStr::from_bytes(path)).to_owned());
        }
        rest = end.map_or(&[], |end| &rest[end + delimiter.len()..]);
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delimiters() {
        for (text, expected) in
            [("\\n", &b"\n"[..]), ("\\0", b"\0"), (",", b","), ("\\\\n", b"\\n"), ("--\\t", b"--\t")]
        {
            assert_eq!(unescape(text).unwrap(), expected, "{text}");
        }
        assert!(["", "\\", "\\x"].into_iter().all(|text| unescape(text).is_err()));
    }

    #[test]
    fn paths_are_split() {
        for (list, delimiter, expected) in [
            (&b"a\nb b\n"[..], &b"\n"[..], &["a", "b b"][..]),
            (b"a\0\0b\nc", b"\0", &["a", "b\nc"]),
            (b"a, b, c", b", ", &["a", "b", "c"]),
            (b"", b"\n", &[]),
            (b"\n", b"\n", &[]),
        ] {
            let expected: Vec<PathBuf> = expected.iter().map(PathBuf::from).collect();
            assert_eq!(split_paths(list, delimiter), expected);
        }
    }

    #[test]
    fn owners_have_names_or_numbers() {
        let find = |name: &[u8]| (name == b"leo").then_some(1000);
        assert_eq!(owner("leo", "user", find), Ok((1000, Some(b"leo".to_vec()))));
        assert_eq!(owner("7", "user", find), Ok((7, None)));
        assert_eq!(owner("max", "user", find).unwrap_err().code.rc, 4);
    }
}

//! Where passphrases come from: the environment, a command, a file descriptor, a person.
//!
//! A passphrase is raw bytes; the memory it stands in is wiped as soon as it is not
//! needed any more. No error and no log contains one.

use std::fs::File;
use std::io::{self, Read, Write};
use std::process::{Command, Stdio};

use zeroize::Zeroizing;

use crate::environment::Environment;
use crate::exit_code::{Failure, NO_PASSPHRASE, PASSCOMMAND_FAILURE, PASSWORD_RETRIES_EXCEEDED};
use crate::words;

/// A passphrase, raw bytes, wiped when dropped.
pub type Secret = Zeroizing<Vec<u8>>;

/// Bytes of the longest passphrase read from a descriptor or a command.
const SECRET_BYTES_MAX: u64 = 64 * 1024;
/// How often a new passphrase is asked for.
const ATTEMPTS: usize = 3;

/// A person at a terminal.
pub trait Person {
    /// Whether anybody is there.
    fn is_present(&self) -> bool;
    /// Asks without showing what is typed.
    fn ask_secret(&mut self, prompt: &str) -> io::Result<Zeroizing<String>>;
    /// Asks and shows what is typed.
    fn ask(&mut self, question: &str) -> io::Result<String>;
    /// Says a line.
    fn tell(&mut self, line: &str);
}

/// The passphrase of something that exists: `GABION_PASSPHRASE`, `GABION_PASSCOMMAND`,
/// `GABION_PASSPHRASE_FD`, else the answer to `prompt`.
pub fn existing(environment: &Environment, person: &mut dyn Person, prompt: &str) -> Result<Secret, Failure> {
    if let Some(secret) = from_environment(environment)? {
        return Ok(secret);
    }
    ask(person, prompt)
}

/// The passphrase of something new: `GABION_NEW_PASSPHRASE`, else as [`existing`], but a person is asked twice.
pub fn new(environment: &Environment, person: &mut dyn Person) -> Result<Secret, Failure> {
    if let Some(secret) = environment.new_passphrase() {
        return Ok(secret.clone());
    }
    if let Some(secret) = from_environment(environment)? {
        return Ok(secret);
    }
    changed(environment, person)
}

/// The passphrase that replaces one: `GABION_NEW_PASSPHRASE`, else a person is asked twice.
pub fn changed(environment: &Environment, person: &mut dyn Person) -> Result<Secret, Failure> {
    if let Some(secret) = environment.new_passphrase() {
        return Ok(secret.clone());
    }
    for _ in 0..ATTEMPTS {
        let first = ask(person, "Enter new passphrase: ")?;
        if first.is_empty() {
            person.tell("The passphrase must not be empty.");
            continue;
        }
        if ask(person, "Enter same passphrase again: ")? != first {
            person.tell("The passphrases do not match.");
            continue;
        }
        verify(environment, person, &first)?;
        return Ok(first);
    }
    Err(Failure::new(PASSWORD_RETRIES_EXCEEDED, format!("no new passphrase after {ATTEMPTS} attempts")))
}

fn from_environment(environment: &Environment) -> Result<Option<Secret>, Failure> {
    if let Some(secret) = environment.passphrase() {
        return Ok(Some(secret.clone()));
    }
    if let Some(command) = environment.passcommand()? {
        return output_of("GABION_PASSCOMMAND", command).map(Some);
    }
    match environment.passphrase_descriptor()? {
        Some(descriptor) => read_descriptor(descriptor).map(Some),
        None => Ok(None),
    }
}

/// Runs the `command` for `variable` without a shell and takes its output, less one newline.
pub fn output_of(variable: &str, command: &str) -> Result<Secret, Failure> {
    let failed = |why: String| Failure::new(PASSCOMMAND_FAILURE, format!("{variable} failed: {why}"));
    let words = words::split(command).map_err(|failure| failed(failure.message))?;
    let [program, arguments @ ..] = &words[..] else { return Err(failed("it is empty".to_owned())) };
    let mut child = Command::new(program)
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("can not run `{program}`: {error}")))?;
    let output = match child.stdout.take() {
        Some(output) => read_secret(output),
        None => Ok(Secret::default()),
    };
    let status = child.wait().map_err(|error| failed(error.to_string()))?;
    if !status.success() {
        return Err(failed(format!("`{program}` ended with {status}")));
    }
    output.map_err(|error| failed(error.to_string()))
}

/// Reads a descriptor that was open when the program started.
fn read_descriptor(descriptor: u32) -> Result<Secret, Failure> {
    // by its name, so that nobody has to vouch for the number
    let file = File::open(format!("/dev/fd/{descriptor}"));
    file.and_then(read_secret).map_err(|error| {
        Failure::new(NO_PASSPHRASE, format!("can not read descriptor {descriptor} of GABION_PASSPHRASE_FD: {error}"))
    })
}

/// Reads to the end and takes off one newline.
fn read_secret(source: impl Read) -> io::Result<Secret> {
    // all the room it may need at once: growing would leave copies behind
    let mut secret = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX as usize + 1));
    source.take(SECRET_BYTES_MAX + 1).read_to_end(&mut secret)?;
    if secret.len() as u64 > SECRET_BYTES_MAX {
        return Err(io::Error::other("too long for a secret"));
    }
    if secret.last() == Some(&b'\n') {
        secret.pop();
    }
    Ok(secret)
}

fn ask(person: &mut dyn Person, prompt: &str) -> Result<Secret, Failure> {
    if !person.is_present() {
        return Err(Failure::new(
            NO_PASSPHRASE,
            "no passphrase: there is no terminal, and none of GABION_PASSPHRASE, GABION_PASSCOMMAND, \
             GABION_PASSPHRASE_FD is set",
        ));
    }
    let answer = person.ask_secret(prompt);
    let answer =
        answer.map_err(|error| Failure::new(NO_PASSPHRASE, format!("can not ask for a passphrase: {error}")))?;
    Ok(Zeroizing::new(answer.as_bytes().to_vec()))
}

/// Shows the passphrase if that is wanted.
fn verify(environment: &Environment, person: &mut dyn Person, secret: &Secret) -> Result<(), Failure> {
    let show = match environment.display_passphrase()? {
        Some(show) => show,
        None => {
            let answer = person.ask("Show the passphrase for verification? [yN]: ");
            answer.is_ok_and(|answer| matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
        }
    };
    if show {
        let text = Zeroizing::new(String::from_utf8_lossy(secret).into_owned());
        let line = Zeroizing::new(format!("Your passphrase, between double quotes: \"{}\"", *text));
        person.tell(&line);
    }
    person.tell("Keep the passphrase safe: without it nobody can read the data.");
    Ok(())
}

/// The terminal this process belongs to.
#[derive(Debug, Default)]
pub struct Terminal;

impl Person for Terminal {
    fn is_present(&self) -> bool {
        if cfg!(unix) {
            return File::open("/dev/tty").is_ok();
        }
        io::IsTerminal::is_terminal(&io::stdin())
    }

    fn ask_secret(&mut self, prompt: &str) -> io::Result<Zeroizing<String>> {
        rpassword::prompt_password(prompt).map(Zeroizing::new)
    }

    fn ask(&mut self, question: &str) -> io::Result<String> {
        let mut terminal = io::stderr();
        terminal.write_all(question.as_bytes())?;
        terminal.flush()?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        Ok(answer)
    }

    fn tell(&mut self, line: &str) {
        // if nobody can be told, nobody is there to be told
        let _ = writeln!(io::stderr(), "{line}");
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::collections::VecDeque;
    use std::os::fd::AsRawFd;

    use super::*;

    #[derive(Default)]
    struct Actor {
        absent: bool,
        secrets: VecDeque<&'static str>,
        answer: &'static str,
        heard: Vec<String>,
    }

    impl Person for Actor {
        fn is_present(&self) -> bool {
            !self.absent
        }

        fn ask_secret(&mut self, prompt: &str) -> io::Result<Zeroizing<String>> {
            self.heard.push(prompt.to_owned());
            let answer = self.secrets.pop_front().ok_or(io::ErrorKind::UnexpectedEof)?;
            Ok(Zeroizing::new(answer.to_owned()))
        }

        fn ask(&mut self, question: &str) -> io::Result<String> {
            self.heard.push(question.to_owned());
            Ok(self.answer.to_owned())
        }

        fn tell(&mut self, line: &str) {
            self.heard.push(line.to_owned());
        }
    }

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        Environment::new(pairs.iter().map(|(name, value)| (name.into(), value.into())))
    }

    fn actor(secrets: &[&'static str]) -> Actor {
        Actor { secrets: secrets.iter().copied().collect(), ..Actor::default() }
    }

    #[test]
    fn the_order_of_sources() {
        let all = [("GABION_PASSPHRASE", "a"), ("GABION_PASSCOMMAND", "echo b"), ("GABION_PASSPHRASE_FD", "99999")];
        let rows: &[(&[(&str, &str)], &str)] =
            &[(&all, "a"), (&all[1..], "b"), (&[], "typed"), (&[("GABION_PASSPHRASE", "")], "")];
        for (pairs, expected) in rows {
            let secret = existing(&environment(pairs), &mut actor(&["typed"]), "Enter: ").unwrap();
            assert_eq!(&secret[..], expected.as_bytes(), "{pairs:?}");
        }
    }

    #[test]
    fn commands_run_without_a_shell() {
        for (command, expected) in [
            ("printf '%s\\n\\n' 'a  b'", "a  b\n"),
            ("printf %s c", "c"),
            ("printf %s $HOME", "$HOME"),
            ("echo 'x;y'", "x;y"),
        ] {
            assert_eq!(&output_of("X", command).unwrap()[..], expected.as_bytes(), "{command}");
        }
        for command in ["false", "no-such-program-anywhere", "' '", "'", "head -c 70000 /dev/zero"] {
            assert_eq!(output_of("X", command).unwrap_err().code.rc, 51, "{command}");
        }
    }

    #[test]
    fn descriptors_are_read_to_their_end() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"from a\xff file\n").unwrap();
        let opened = file.reopen().unwrap();
        let number = opened.as_raw_fd().to_string();
        let secret = existing(&environment(&[("GABION_PASSPHRASE_FD", &number)]), &mut actor(&[]), "").unwrap();
        assert_eq!(&secret[..], b"from a\xff file");
        let gone = existing(&environment(&[("GABION_PASSPHRASE_FD", "99999")]), &mut actor(&[]), "");
        assert_eq!(gone.unwrap_err().code.rc, 50);
    }

    #[test]
    fn without_anybody_to_ask_it_fails() {
        let mut nobody = Actor { absent: true, ..Actor::default() };
        assert_eq!(existing(&environment(&[]), &mut nobody, "").unwrap_err().code.rc, 50);
        assert_eq!(new(&environment(&[]), &mut nobody).unwrap_err().code.rc, 50);
        assert_eq!(existing(&environment(&[]), &mut actor(&[]), "").unwrap_err().code.rc, 50);
    }

    #[test]
    fn new_passphrases_are_asked_twice() {
        for (typed, expected) in [
            (&["a", "a"][..], Ok("a")),
            (&["a", "b", "c", "c"], Ok("c")),
            (&["", "c", "c"], Ok("c")),
            (&["a", "b", "", "c", "d"], Err(53)),
        ] {
            let found = new(&environment(&[]), &mut actor(typed));
            let found =
                found.map(|secret| String::from_utf8(secret.to_vec()).unwrap()).map_err(|failure| failure.code.rc);
            assert_eq!(found, expected.map(str::to_owned), "{typed:?}");
        }
    }

    #[test]
    fn new_passphrases_of_the_environment_win() {
        let both = environment(&[("GABION_NEW_PASSPHRASE", "new"), ("GABION_PASSPHRASE", "old")]);
        assert_eq!(&new(&both, &mut actor(&[])).unwrap()[..], b"new");
        assert_eq!(&changed(&both, &mut actor(&[])).unwrap()[..], b"new");
        let old = environment(&[("GABION_PASSPHRASE", "old")]);
        assert_eq!(&new(&old, &mut actor(&[])).unwrap()[..], b"old");
        assert_eq!(&changed(&old, &mut actor(&["x", "x"])).unwrap()[..], b"x");
    }

    #[test]
    fn a_new_passphrase_is_shown_only_on_demand() {
        for (pairs, answer, shown) in [
            (&[][..], "n", false),
            (&[], "Y\n", true),
            (&[("GABION_DISPLAY_PASSPHRASE", "yes")], "", true),
            (&[("GABION_DISPLAY_PASSPHRASE", "no")], "y", false),
        ] {
            let mut person = Actor { answer, ..actor(&["geheim", "geheim"]) };
            changed(&environment(pairs), &mut person).unwrap();
            assert_eq!(person.heard.iter().any(|line| line.contains("geheim")), shown, "{pairs:?} {answer}");
        }
    }
}

//! Profiles: places and habits under a name, in the configuration file.
//!
//! A profile is where a repository is, where its passphrase comes from, what its store listens to, and which options
//! its commands have by default. What is typed outweighs the environment, the environment outweighs a profile.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind as Io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::environment::Environment;
use crate::exit_code::Failure;
use crate::hints;
use crate::passphrase::output_of;
use crate::routine::Routine;

/// The name of the configuration file.
pub const FILE: &str = "config.toml";
/// Bytes of the longest configuration file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What stands under `[profiles.NAME]`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Profile {
    /// Where the repository is.
    pub url: String,
    /// A command (no shell) whose output is the passphrase.
    passcommand: Option<String>,
    /// A file whose first line is the passphrase.
    passphrase_file: Option<PathBuf>,
    /// The key file.
    keyfile: Option<PathBuf>,
    /// Environment variables, unless they are set.
    #[serde(default)]
    variables: BTreeMap<String, Value>,
    /// Options of every command.
    #[serde(default)]
    options: Vec<String>,
    /// Options of single commands, by their names.
    #[serde(default)]
    commands: BTreeMap<String, Vec<String>>,
    /// What `gabion run` does.
    pub run: Option<Routine>,
}

/// What a variable is set to.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged, deny_unknown_fields, expecting = "expected a text, { file = \"...\" } or { command = \"...\" }")]
enum Value {
    Text(String),
    /// The first line of a file.
    File {
        file: PathBuf,
    },
    /// What a command (no shell) prints.
    Command {
        command: String,
    },
}

impl Value {
    /// The value for the variable of this name.
    fn read(&self, name: &str) -> Result<Vec<u8>, Failure> {
        Ok(match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::File { file } => first_line(file)?.to_vec(),
            Self::Command { command } => output_of(name, command)?.to_vec(),
        })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    profiles: BTreeMap<String, Profile>,
}

impl Profile {
    /// The profile of this name in the user's configuration file.
    pub fn load(path: &Path, name: &str) -> Result<Self, Failure> {
        let shown = path.display();
        let text = match fs::metadata(path).and_then(|about| {
            if about.len() > FILE_BYTES_MAX { Err(Io::FileTooLarge.into()) } else { fs::read_to_string(path) }
        }) {
            Ok(text) => text,
            Err(error) if error.kind() == Io::NotFound => {
                return Err(Failure::command(format!("no profile `@{name}`: there is no {shown}")));
            }
            Err(error) => return Err(Failure::command(format!("can not read {shown}: {error}"))),
        };
        Self::parse(&text, name).map_err(|why| Failure::command(format!("{shown}{why}")))
    }

    /// The profile of this name in a text. The error begins with the line, or with a colon.
    fn parse(text: &str, name: &str) -> Result<Self, String> {
        let mut file: File = toml::from_str(text).map_err(|error| {
            // The library would show the line itself, but it may hold a secret.
            let at = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
            format!(":{line}: {}", error.message().lines().collect::<Vec<_>>().join(", "))
        })?;
        match file.profiles.remove(name) {
            Some(profile) if profile.url.starts_with('@') => {
                Err(format!(": profile `{name}`: url names another profile"))
            }
            Some(profile) => Ok(profile),
            None => Err(match hints::nearest(name, file.profiles.keys().map(String::as_str)) {
                Some(near) => format!(": no profile `@{name}`, did you mean `@{near}`?"),
                None => format!(": no profile `@{name}`"),
            }),
        }
    }

    /// The options a command has by default; `words` are its names, such as `key export`.
    pub fn options(&self, words: &[String]) -> impl Iterator<Item = &String> {
        self.options.iter().chain(self.own_options(words))
    }

    /// Those of one command alone.
    pub fn own_options(&self, words: &[String]) -> impl Iterator<Item = &String> {
        self.commands.get(&words.join(" ")).into_iter().flatten()
    }

    /// Sets its variables, whatever the environment says.
    pub fn override_variables(&self, environment: &mut Environment) -> Result<(), Failure> {
        self.variables.iter().try_for_each(|(name, value)| environment.set(name, value.read(name)?))
    }

    /// Sets what the environment does not say.
    pub fn complete(&self, environment: &mut Environment) -> Result<(), Failure> {
        for (name, value) in &self.variables {
            if !environment.is_set(name)? {
                environment.set(name, value.read(name)?)?;
            }
        }
        if let Some(path) = &self.keyfile {
            environment.set_default("GABION_KEY_FILE", path.clone().into_os_string().into_encoded_bytes())?;
        }
        if environment.tells_passphrase()? {
            return Ok(());
        }
        match (&self.passcommand, &self.passphrase_file) {
            (Some(_), Some(_)) => Err(Failure::command("a profile has passcommand or passphrase-file, not both")),
            (Some(command), None) => environment.set_default("GABION_PASSCOMMAND", command.clone().into_bytes()),
            (None, Some(path)) => environment.set_default("GABION_PASSPHRASE", first_line(path)?.to_vec()),
            (None, None) => Ok(()),
        }
    }
}

fn first_line(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let text = fs::read(path).map(Zeroizing::new);
    let text = text.map_err(|error| Failure::command(format!("can not read {}: {error}", path.display())))?;
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(Zeroizing::new(line.strip_suffix(b"\r").unwrap_or(line).to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[profiles.home]\nurl = \"/srv/backup\"\npasscommand = \"pass show backup\"\n\
                        options = [\"--connections\", \"8\"]\n\n[profiles.home.commands]\n\
                        create = [\"--exclude-caches\"]\n\"key export\" = [\"--paper\"]\n\n\
                        [profiles.home.variables]\nAWS_PROFILE = \"b\"\n\n[profiles.off]\nurl = \"@home\"\n";

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_profile_has_options_for_all_and_for_single_commands() {
        let profile = Profile::parse(TEXT, "home").unwrap();
        assert_eq!(profile.url, "/srv/backup");
        let options = |command: &str| profile.options(&words(command)).cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(options("create"), "--connections 8 --exclude-caches");
        assert_eq!(options("key export"), "--connections 8 --paper");
        assert_eq!(options("list"), "--connections 8");
    }

    #[test]
    fn the_environment_outweighs_a_profile() {
        let profile = Profile::parse(TEXT, "home").unwrap();
        let completed = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(name, value)| (name.into(), value.into()));
            let mut environment = Environment::new(pairs);
            profile.complete(&mut environment).unwrap();
            environment
        };
        let own = completed(&[]);
        assert_eq!(own.passcommand().unwrap(), Some("pass show backup"));
        assert_eq!(own.store_variables().get("AWS_PROFILE"), Some("b"));
        let typed = completed(&[("GABION_PASSPHRASE", "x"), ("AWS_PROFILE", "mine")]);
        assert_eq!(typed.passcommand().unwrap(), None);
        assert_eq!(typed.store_variables().get("AWS_PROFILE"), Some("mine"));
    }

    #[test]
    fn passphrases_come_from_the_first_line_of_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "hunter2\r\nsecond").unwrap();
        let text = format!("[profiles.a]\nurl = \"/x\"\npassphrase-file = {:?}\n", file.path());
        let mut environment = Environment::default();
        Profile::parse(&text, "a").unwrap().complete(&mut environment).unwrap();
        assert_eq!(environment.passphrase().unwrap()[..], *b"hunter2");
    }

    #[test]
    fn variables_come_from_files_and_commands_if_they_are_needed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "an id\n").unwrap();
        let text = format!(
            "[profiles.a]\nurl = \"/x\"\n[profiles.a.variables]\nAWS_ACCESS_KEY_ID = {{ file = {:?} }}\n\
             AWS_SECRET_ACCESS_KEY = {{ command = \"printf 'a key'\" }}\nAWS_SESSION_TOKEN = {{ command = \"false\" }}\n",
            file.path()
        );
        let profile = Profile::parse(&text, "a").unwrap();
        let mut environment = Environment::new([("AWS_SESSION_TOKEN".into(), "set already".into())]);
        profile.complete(&mut environment).unwrap();
        let set = environment.store_variables();
        assert_eq!((set.get("AWS_ACCESS_KEY_ID"), set.get("AWS_SECRET_ACCESS_KEY")), (Some("an id"), Some("a key")));
        let failed = profile.override_variables(&mut environment).unwrap_err();
        assert!(failed.message.starts_with("AWS_SESSION_TOKEN failed: `false` ended"), "{}", failed.message);
    }

    #[test]
    fn errors_name_the_line_and_no_secret() {
        for (text, name, told) in [
            (TEXT, "hoem", ": no profile `@hoem`, did you mean `@home`?"),
            (TEXT, "off", ": profile `off`: url names another profile"),
            ("[profiles.a]\nurl = \"/x\"\npassphrase = \"hunter2\"\n", "a", ":3: unknown field `passphrase`"),
            ("[profiles.a]\n\nurl = hunter2\n", "a", ":3: "),
            ("[profiles.a]\nconnections = 3\n", "a", ":2: unknown field `connections`"),
            ("[profiles.a]\npasscommand = \"x\"\n", "a", ":1: missing field `url`"),
            ("[profiles.a]\nurl = 3\n", "a", ":2: invalid type"),
            ("[profiles.a]\nurl = \"/x\"\nvariables = { HOME = { hunter2 = \"x\" } }\n", "a", ":3: expected a text"),
        ] {
            let why = Profile::parse(text, name).unwrap_err();
            assert!(why.starts_with(told) && !why.contains("hunter2"), "{text}: {why}");
        }
    }
}

//! The environment variables this program listens to: one table, read once.
//!
//! Everything else takes an [`Environment`], never the process's own, so that a
//! test or another naming scheme can stand in for it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::PathBuf;

use gabion_backends::Variables;
use gabion_core::backend::Permissions;
use gabion_core::repository::Trust;
use zeroize::Zeroizing;

use crate::exit_code::{Failure, Scale};
use crate::output::units::{self, Units};

/// A variable and what it is for, one line.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub help: &'static str,
}

const fn variable(name: &'static str, help: &'static str) -> Variable {
    Variable { name, help }
}

/// All variables, in the order in which help shows them.
pub const VARIABLES: &[Variable] = &[
    variable("GABION_REPO", "the repository, unless --repo is given"),
    variable("GABION_REPO_PERMISSIONS", "what is done there: all (default), no-delete, write-only or read-only"),
    variable("GABION_PASSPHRASE", "the passphrase"),
    variable("GABION_PASSCOMMAND", "a command (no shell) whose output is the passphrase"),
    variable("GABION_PASSPHRASE_FD", "an open file descriptor to read the passphrase from"),
    variable("GABION_OTHER_REPO", "the repository that transfer and repo-create take from"),
    variable("GABION_OTHER_PASSPHRASE", "the passphrase of that one; likewise:"),
    variable("GABION_OTHER_PASSCOMMAND", "see GABION_PASSCOMMAND"),
    variable("GABION_OTHER_PASSPHRASE_FD", "see GABION_PASSPHRASE_FD"),
    variable("GABION_OTHER_KEY_FILE", "see GABION_KEY_FILE"),
    variable("GABION_NEW_PASSPHRASE", "the new passphrase, where one is set or changed"),
    variable("GABION_DISPLAY_PASSPHRASE", "yes or no: whether to show a new passphrase for verification"),
    variable(
        "GABION_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK",
        "yes: use a repository without encryption that is new here",
    ),
    variable(
        "GABION_RELOCATED_REPO_ACCESS_IS_OK",
        "yes: use a repository that is at another place, or another one, than before",
    ),
    variable("GABION_KEY_FILE", "the key file to use or to make"),
    variable("GABION_LOCK_WAIT", "seconds to wait for who keeps `compact` away (default: 10)"),
    variable("GABION_DELETE_I_KNOW_WHAT_I_AM_DOING", "YES: the answer repo-delete waits for"),
    variable("GABION_HOSTNAME", "the host name to use instead of the machine's"),
    variable("GABION_USERNAME", "the user name to use instead of the system's"),
    variable("GABION_RSH", "the command that connects to other machines (default: ssh)"),
    variable("GABION_REMOTE_PATH", "the name of gabion on the other machine (default: gabion)"),
    variable("GABION_BASE_DIR", "the directory that stands for the home directory below"),
    variable("GABION_CACHE_DIR", "caches (default: $XDG_CACHE_HOME/gabion or ~/.cache/gabion)"),
    variable("GABION_CACHE_SIZE", "bytes of stored objects kept on this machine (default: 2G), 0 for none"),
    variable("GABION_CONFIG_DIR", "configuration (default: $XDG_CONFIG_HOME/gabion or ~/.config/gabion)"),
    variable(
        "GABION_DATA_DIR",
        "what is remembered of repositories (default: $XDG_DATA_HOME/gabion or ~/.local/share/gabion)",
    ),
    variable("GABION_KEYS_DIR", "key files (default: keys in the configuration directory)"),
    variable(
        "GABION_COMPAT",
        "borg: take the command line and the variables of Borg, see below; borg1: and tell that version",
    ),
    variable("GABION_EXIT_CODES", "modern (default), or legacy: 1 for warnings and 2 for errors"),
    variable("GABION_UNITS", "how sizes are shown: si (default), iec or raw"),
    variable("GABION_DIFF_FORMAT", "the default of diff --format"),
    variable("GABION_FIND_FORMAT", "the default of find --format"),
    variable("GABION_LIST_FORMAT", "the default of list --format"),
    variable("GABION_PRUNE_FORMAT", "the default of prune --format"),
    variable("GABION_REPO_LIST_FORMAT", "the default of repo-list --format"),
    variable("BORG_PASSPHRASE", "import: the passphrase of the old repository"),
    variable("BORG_PASSCOMMAND", "import: a command (no shell) whose output is that passphrase"),
    variable("BORG_PASSPHRASE_FD", "import: an open file descriptor to read that passphrase from"),
    variable("BORG_KEY_FILE", "import: the key file of the old repository"),
    variable("BORG_KEYS_DIR", "import: key files (default: keys in Borg's configuration directory)"),
    variable("BORG_CONFIG_DIR", "import: Borg's configuration (default: borg in $XDG_CONFIG_HOME or ~/.config)"),
    variable("BORG_BASE_DIR", "import: the directory that stands for the home directory of Borg"),
    variable("GABION_MOUNT_ARCHIVE_DIR_FORMAT", "how mount names the directories of archives, as repo-list --format"),
    variable("GABION_MOUNT_DATA_CACHE", "MiB of file content that mount keeps in memory (default: 64)"),
    variable("GABION_MOUNT_READY", "set by mount for its own process in the background"),
    variable("AWS_ACCESS_KEY_ID", "s3: the name of the access key"),
    variable("AWS_SECRET_ACCESS_KEY", "s3: the access key"),
    variable("AWS_SESSION_TOKEN", "s3: the token of a temporary access key"),
    variable("AWS_PROFILE", "s3: the profile of the AWS files, unless the URL names one"),
    variable("AWS_SHARED_CREDENTIALS_FILE", "s3: the file of access keys (default: ~/.aws/credentials)"),
    variable("AWS_CONFIG_FILE", "s3: the file of settings (default: ~/.aws/config)"),
    variable("AWS_REGION", "s3: the region, unless the URL names one"),
    variable("AWS_DEFAULT_REGION", "s3: the region, if AWS_REGION is not set"),
    variable("AWS_ENDPOINT_URL_S3", "s3: the server, unless the URL names one"),
    variable("AWS_ENDPOINT_URL", "s3: the server, if AWS_ENDPOINT_URL_S3 is not set"),
    variable("AWS_WEB_IDENTITY_TOKEN_FILE", "s3: a token that stands for a role"),
    variable("AWS_ROLE_ARN", "s3: the role the token stands for"),
    variable("AWS_ROLE_SESSION_NAME", "s3: a name for the session of the role"),
    variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "s3: where a container gets access keys"),
    variable("AWS_CONTAINER_CREDENTIALS_FULL_URI", "s3: where a container gets access keys"),
    variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "s3: what a container shows for them"),
    variable("AWS_EC2_METADATA_SERVICE_ENDPOINT", "s3: where this machine gets access keys"),
    variable("GOOGLE_APPLICATION_CREDENTIALS", "gs: the file of credentials"),
    variable("GOOGLE_SERVICE_ACCOUNT", "gs: the file of a service account"),
    variable("GOOGLE_SERVICE_ACCOUNT_KEY", "gs: a service account, as JSON"),
    variable("GOOGLE_ACCESS_TOKEN", "gs: an access token, in the place of everything else"),
    variable("AZURE_STORAGE_ACCOUNT_NAME", "az: the account, unless the URL names one"),
    variable("AZURE_STORAGE_ACCOUNT_KEY", "az: the account's key"),
    variable("AZURE_STORAGE_SAS_TOKEN", "az: a shared access signature"),
    variable("AZURE_STORAGE_TOKEN", "az: a bearer token"),
    variable("AZURE_CLIENT_ID", "az: an application"),
    variable("AZURE_CLIENT_SECRET", "az: the application's secret"),
    variable("AZURE_TENANT_ID", "az: the application's tenant"),
    variable("REDISCLI_AUTH", "redis: the password, unless the URL has one"),
    variable("WEBDAV_USERNAME", "opendal+webdav: the user, unless the URL has one"),
    variable("WEBDAV_PASSWORD", "opendal+webdav: the password, unless the URL has one"),
    variable("WEBDAV_TOKEN", "opendal+webdav: a bearer token, in the place of user and password"),
    variable("B2_APPLICATION_KEY_ID", "opendal+b2: the key's id"),
    variable("B2_APPLICATION_KEY", "opendal+b2: the key"),
    variable("NO_COLOR", "if not empty, no colours"),
    variable("HOME", "the home directory (default: that of the user in /etc/passwd)"),
    variable("XDG_CACHE_HOME", "see GABION_CACHE_DIR"),
    variable("XDG_CONFIG_HOME", "see GABION_CONFIG_DIR"),
    variable("XDG_DATA_HOME", "see GABION_DATA_DIR"),
    variable("USER", "the user name, if the system does not tell"),
    variable("LOGNAME", "the user name, if the system does not tell"),
];

/// Bytes of stored objects kept on this machine unless the user says otherwise: the trees of some million files.
const CACHE_BYTES: u64 = 2_000_000_000;

/// Variables that are about one repository.
const OF_REPOSITORY: [&str; 6] = [
    "GABION_REPO",
    "GABION_REPO_PERMISSIONS",
    "GABION_PASSPHRASE",
    "GABION_PASSCOMMAND",
    "GABION_PASSPHRASE_FD",
    "GABION_KEY_FILE",
];

/// The values of [`VARIABLES`] that are set.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<&'static str, Zeroizing<Vec<u8>>>);

impl Environment {
    /// Takes the variables of the table and leaves all others.
    pub fn new(pairs: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let known = |name: &OsStr| VARIABLES.iter().find(|variable| name == variable.name);
        let taken = pairs.into_iter().filter_map(|(name, value)| Some((known(&name)?.name, value)));
        Self(taken.map(|(name, value)| (name, Zeroizing::new(value.into_encoded_bytes()))).collect())
    }

    /// Where no home directory is named, as services and containers have it, takes what `find` finds.
    pub fn find_home(&mut self, find: impl FnOnce() -> Option<PathBuf>) {
        if self.path("HOME").is_none()
            && let Some(home) = find()
        {
            self.0.insert("HOME", Zeroizing::new(home.into_os_string().into_encoded_bytes()));
        }
    }

    /// The same with Borg's own variables in the place of ours: what is meant for a repository of Borg.
    pub fn of_borg(&self) -> Self {
        let own = |name: &str| VARIABLES.iter().find(|variable| variable.name == name);
        let mapped = self.0.iter().filter_map(|(name, value)| match name.strip_prefix("BORG_") {
            Some(rest) => Some((own(&format!("GABION_{rest}"))?.name, value.clone())),
            None => (!name.starts_with("GABION_")).then(|| (*name, value.clone())),
        });
        Self(mapped.collect())
    }

    /// The environment of the other repository: what is said of it stands where it is said of the first one.
    pub fn other(&self) -> Self {
        let mut values = self.0.clone();
        for name in OF_REPOSITORY {
            let other = name.replacen("GABION_", "GABION_OTHER_", 1);
            match self.0.get(&*other) {
                Some(value) => values.insert(name, value.clone()),
                None => values.remove(name),
            };
        }
        Self(values)
    }

    /// The environment of one more repository, of which nothing is said yet.
    pub fn beside(&self) -> Self {
        let others = self.0.iter().filter(|(name, _)| !OF_REPOSITORY.contains(name));
        Self(others.map(|(name, value)| (*name, value.clone())).collect())
    }

    /// Takes the passphrase from where `first` has it, unless there is another one; and likewise the permissions it keeps to.
    ///
    /// # Errors
    /// A descriptor can be read only once.
    pub fn share_passphrase(&mut self, first: &Self) -> Result<(), Failure> {
        let restricts = "GABION_REPO_PERMISSIONS";
        if let Some(permissions) = first.0.get(restricts).filter(|_| !self.0.contains_key(restricts)) {
            self.0.insert(restricts, permissions.clone());
        }
        if self.tells_passphrase()? {
            return Ok(());
        }
        for name in ["GABION_PASSPHRASE", "GABION_PASSCOMMAND"] {
            first.0.get(name).into_iter().for_each(|value| drop(self.0.insert(name, value.clone())));
        }
        match first.passphrase_descriptor()?.is_some() && !self.tells_passphrase()? {
            true => Err(Failure::command("what GABION_PASSPHRASE_FD tells can be read for one repository only")),
            false => Ok(()),
        }
    }

    fn bytes(&self, name: &str) -> Option<&Zeroizing<Vec<u8>>> {
        debug_assert!(VARIABLES.iter().any(|variable| variable.name == name), "{name} is not in the table");
        self.0.get(name)
    }

    /// The text of a variable; an empty one counts as not set.
    fn text(&self, name: &str) -> Result<Option<&str>, Failure> {
        let Some(bytes) = self.bytes(name).filter(|bytes| !bytes.is_empty()) else { return Ok(None) };
        let text = std::str::from_utf8(bytes).map_err(|_| Failure::command(format!("{name} is not UTF-8")))?;
        Ok(Some(text))
    }

    /// The path in a variable; an empty one counts as not set.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.bytes(name).filter(|bytes| !bytes.is_empty()).map(|bytes| PathBuf::from(os_string(bytes)))
    }

    /// Whether a variable of the table is set.
    pub fn is_set(&self, name: &str) -> Result<bool, Failure> {
        known(name).map(|name| self.0.contains_key(name))
    }

    /// Sets a variable of the table unless it is set.
    pub fn set_default(&mut self, name: &str, value: Vec<u8>) -> Result<(), Failure> {
        self.0.entry(known(name)?).or_insert(Zeroizing::new(value));
        Ok(())
    }

    /// Sets a variable of the table.
    pub fn set(&mut self, name: &str, value: Vec<u8>) -> Result<(), Failure> {
        self.0.insert(known(name)?, Zeroizing::new(value));
        Ok(())
    }

    /// Whether a passphrase need not be asked for.
    pub fn tells_passphrase(&self) -> Result<bool, Failure> {
        Ok(self.passphrase().is_some() || self.passcommand()?.is_some() || self.passphrase_descriptor()?.is_some())
    }

    /// What stores listen to.
    pub fn store_variables(&self) -> Variables {
        let names = Variables::NAMES.iter().chain(&["HOME"]);
        let set = names.filter_map(|name| Some((*name, self.bytes(name)?)));
        set.map(|(name, value)| (name, String::from_utf8_lossy(value))).collect()
    }

    /// The repository.
    pub fn repository(&self) -> Result<Option<&str>, Failure> {
        self.text("GABION_REPO")
    }

    /// What the user lets this program do in the repository.
    pub fn permissions(&self) -> Result<Permissions, Failure> {
        let Some(text) = self.text("GABION_REPO_PERMISSIONS")? else { return Ok(Permissions::All) };
        let wrong = || format!("GABION_REPO_PERMISSIONS must be all, no-delete, write-only or read-only, not {text}");
        text.parse().map_err(|_| Failure::command(wrong()))
    }

    /// The passphrase, raw bytes; an empty one is one too.
    pub fn passphrase(&self) -> Option<&Zeroizing<Vec<u8>>> {
        self.bytes("GABION_PASSPHRASE")
    }

    /// The passphrase to set, raw bytes; an empty one is one too.
    pub fn new_passphrase(&self) -> Option<&Zeroizing<Vec<u8>>> {
        self.bytes("GABION_NEW_PASSPHRASE")
    }

    /// The command that tells the passphrase.
    pub fn passcommand(&self) -> Result<Option<&str>, Failure> {
        self.text("GABION_PASSCOMMAND")
    }

    /// The file descriptor to read the passphrase from.
    pub fn passphrase_descriptor(&self) -> Result<Option<u32>, Failure> {
        let Some(text) = self.text("GABION_PASSPHRASE_FD")? else { return Ok(None) };
        let number = text.trim().parse();
        number.map(Some).map_err(|_| Failure::command(format!("GABION_PASSPHRASE_FD is not a number: {text}")))
    }

    /// Whether to show a new passphrase; `None` means to ask.
    pub fn display_passphrase(&self) -> Result<Option<bool>, Failure> {
        Ok(self.text("GABION_DISPLAY_PASSPHRASE")?.map(is_yes))
    }

    /// What the user lets pass of a repository that is not what it was.
    pub fn trust(&self) -> Result<Trust, Failure> {
        let says_yes = |name| Ok::<_, Failure>(self.text(name)?.is_some_and(is_yes));
        let unencrypted = says_yes("GABION_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK")?;
        let moved = says_yes("GABION_RELOCATED_REPO_ACCESS_IS_OK")?;
        Ok(Trust { unknown_unencrypted: unencrypted, no_longer_encrypted: unencrypted, moved })
    }

    /// The key file.
    pub fn key_file(&self) -> Option<PathBuf> {
        self.path("GABION_KEY_FILE")
    }

    /// Seconds to wait for leases.
    pub fn lock_wait(&self) -> Result<Option<f64>, Failure> {
        let Some(text) = self.text("GABION_LOCK_WAIT")? else { return Ok(None) };
        let seconds = text.trim().parse().map(Some);
        seconds.map_err(|_| Failure::command(format!("GABION_LOCK_WAIT is not a number of seconds: {text}")))
    }

    /// The answer to a question that a variable of this name gives.
    pub fn answer(&self, variable: &str) -> Result<Option<&str>, Failure> {
        self.text(variable)
    }

    /// The command that connects to other machines.
    pub fn rsh(&self) -> Result<Option<&str>, Failure> {
        self.text("GABION_RSH")
    }

    /// The name of this program on other machines.
    pub fn remote_path(&self) -> Result<Option<&str>, Failure> {
        self.text("GABION_REMOTE_PATH")
    }

    /// The host name that replaces the machine's.
    pub fn hostname(&self) -> Result<Option<&str>, Failure> {
        self.text("GABION_HOSTNAME")
    }

    /// The user name that replaces the system's.
    pub fn username(&self) -> Result<Option<&str>, Failure> {
        self.text("GABION_USERNAME")
    }

    /// The user name for want of a better one.
    pub fn login_name(&self) -> Option<&str> {
        self.text("USER").ok().flatten().or_else(|| self.text("LOGNAME").ok().flatten())
    }

    /// How sizes are shown.
    pub fn units(&self) -> Result<Units, Failure> {
        let Some(text) = self.text("GABION_UNITS")? else { return Ok(Units::Si) };
        Units::from_name(&text.trim().to_ascii_lowercase())
            .ok_or_else(|| Failure::command(format!("GABION_UNITS must be si, iec or raw, not {text}")))
    }

    /// How fine return codes are.
    pub fn exit_codes(&self) -> Result<Scale, Failure> {
        match self.text("GABION_EXIT_CODES")? {
            None | Some("modern") => Ok(Scale::Modern),
            Some("legacy") => Ok(Scale::Legacy),
            Some(other) => Err(Failure::command(format!("GABION_EXIT_CODES must be modern or legacy, not {other}"))),
        }
    }

    /// Bytes of stored objects that may be kept on this machine.
    pub fn cache_size(&self) -> Result<u64, Failure> {
        let Some(text) = self.text("GABION_CACHE_SIZE")? else { return Ok(CACHE_BYTES) };
        units::parse(text.trim()).map_err(|failure| Failure::command(format!("GABION_CACHE_SIZE: {}", failure.message)))
    }

    /// The default of `diff --format`.
    pub fn diff_format(&self) -> Result<Option<&str>, Failure> {
        self.text("GABION_DIFF_FORMAT")
    }

    /// The default of `find --format`.
    pub fn find_format(&self) -> Result<Option<&str>, Failure> {
        self.text("GABION_FIND_FORMAT")
    }

    /// The default of `list --format`.
    pub fn list_format(&self) -> Result<Option<&str>, Failure> {
        self.text("GABION_LIST_FORMAT")
    }

    /// The default of `prune --format`.
    pub fn prune_format(&self) -> Result<Option<&str>, Failure> {
        self.text("GABION_PRUNE_FORMAT")
    }

    /// How the directories of archives in a mount are called.
    pub fn mount_archive_dir_format(&self) -> Result<Option<&str>, Failure> {
        self.text("GABION_MOUNT_ARCHIVE_DIR_FORMAT")
    }

    /// MiB of file content that a mount keeps in memory.
    pub fn mount_data_cache(&self) -> Result<Option<usize>, Failure> {
        let Some(text) = self.text("GABION_MOUNT_DATA_CACHE")? else { return Ok(None) };
        let number = text.trim().parse().ok().filter(|mebibytes| (1..=1 << 20).contains(mebibytes));
        number.map(Some).ok_or_else(|| Failure::command(format!("GABION_MOUNT_DATA_CACHE is not a number: {text}")))
    }

    /// Whether this process serves a mount in the background, and tells on standard output when it is ready.
    pub fn is_mount_in_background(&self) -> bool {
        self.bytes("GABION_MOUNT_READY").is_some()
    }

    /// The default of `repo-list --format`.
    pub fn repo_list_format(&self) -> Result<Option<&str>, Failure> {
        self.text("GABION_REPO_LIST_FORMAT")
    }
}

/// Whether an answer is one of the usual forms of yes.
pub fn is_yes(text: &str) -> bool {
    matches!(text.trim().to_ascii_lowercase().as_str(), "yes" | "y" | "true" | "on" | "1")
}

/// The table, as `help environment` shows it.
pub fn help() -> String {
    // A few names are longer than any column should be wide.
    let width = VARIABLES.iter().map(|variable| variable.name.len()).filter(|length| *length <= 26).max().unwrap_or(0);
    let mut text = String::new();
    for variable in VARIABLES {
        // writing to a String can not fail
        let _ = writeln!(text, "{:width$}  {}", variable.name, variable.help);
    }
    text
}

#[cfg(unix)]
fn os_string(bytes: &[u8]) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes.to_vec())
}

#[cfg(not(unix))]
fn os_string(bytes: &[u8]) -> OsString {
    String::from_utf8_lossy(bytes).into_owned().into()
}

/// The name of a variable as the table has it.
fn known(name: &str) -> Result<&'static str, Failure> {
    let found = VARIABLES.iter().find(|variable| variable.name == name);
    found
        .map(|variable| variable.name)
        .ok_or_else(|| Failure::command(format!("no variable `{name}`: see `gabion help environment`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn of(pairs: &[(&str, &str)]) -> Environment {
        Environment::new(pairs.iter().map(|(name, value)| (name.into(), value.into())))
    }

    #[test]
    fn the_table_is_complete_and_unique() {
        let mut names: Vec<_> = VARIABLES.iter().map(|variable| variable.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), VARIABLES.len());
        assert_eq!(help().lines().count(), VARIABLES.len());
        assert!(help().lines().all(|line| line.len() < 150));
        let known = |name: &&str| VARIABLES.iter().any(|variable| variable.name == *name);
        assert!(Variables::NAMES.iter().all(known));
    }

    #[test]
    fn a_home_is_looked_for_only_where_none_is_named() {
        for (pairs, home) in [(&[("HOME", "/u")][..], "/u"), (&[("HOME", "")], "/found"), (&[], "/found")] {
            let mut environment = of(pairs);
            environment.find_home(|| Some("/found".into()));
            assert_eq!(environment.path("HOME"), Some(home.into()), "{pairs:?}");
        }
    }

    #[test]
    fn values_are_typed() {
        let empty = of(&[("GABION_REPO", ""), ("GABION_UNITS", ""), ("NO_COLOR", ""), ("GABION_KEY_FILE", "")]);
        assert_eq!(empty.repository(), Ok(None));
        assert_eq!(empty.units(), Ok(Units::Si));
        assert_eq!(empty.key_file(), None);
        assert_eq!(empty.cache_size(), Ok(2_000_000_000));

        let set = of(&[
            ("GABION_REPO", "/srv/repo"),
            ("GABION_UNITS", " IEC "),
            ("NO_COLOR", "1"),
            ("GABION_PASSPHRASE", ""),
            ("GABION_PASSPHRASE_FD", "7"),
            ("GABION_DISPLAY_PASSPHRASE", "no"),
            ("GABION_CACHE_SIZE", "0"),
            ("OTHER", "x"),
        ]);
        assert_eq!(set.repository(), Ok(Some("/srv/repo")));
        assert_eq!(set.units(), Ok(Units::Iec));
        assert_eq!(set.cache_size(), Ok(0));
        assert_eq!(set.passphrase().unwrap().len(), 0);
        assert_eq!(set.new_passphrase(), None);
        assert_eq!(set.passphrase_descriptor(), Ok(Some(7)));
        assert_eq!(set.display_passphrase(), Ok(Some(false)));
    }

    #[test]
    fn the_other_repository_has_variables_of_its_own() {
        let set = of(&[("GABION_REPO", "a"), ("GABION_OTHER_REPO", "b"), ("GABION_PASSPHRASE", "x"), ("HOME", "/h")]);
        let other = set.other();
        assert_eq!((other.repository(), other.passphrase(), set.repository()), (Ok(Some("b")), None, Ok(Some("a"))));
        assert_eq!(other.path("HOME"), set.path("HOME"));
    }

    #[test]
    fn nonsense_is_told() {
        assert_eq!(of(&[("GABION_CACHE_SIZE", "much")]).cache_size().unwrap_err().code.rc, 4);
        assert_eq!(of(&[("GABION_UNITS", "bytes")]).units().unwrap_err().code.rc, 4);
        assert_eq!(of(&[("GABION_PASSPHRASE_FD", "x")]).passphrase_descriptor().unwrap_err().code.rc, 4);
    }
}

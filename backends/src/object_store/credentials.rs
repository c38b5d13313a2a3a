//! The user's AWS files: `~/.aws/credentials` and `~/.aws/config`, as far as they hold keys and a region.
//!
//! Profiles that lead elsewhere (SSO, roles to assume, programs to run) are refused by name: other programs can turn
//! them into variables (`aws configure export-credentials --format env`).

use std::fs;
use std::path::PathBuf;

use gabion_core::error::{Error, ErrorKind, Result};

use crate::{Hidden, Variables};

/// What a profile holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Profile {
    pub key_id: Option<String>,
    pub secret_key: Option<Hidden>,
    pub token: Option<Hidden>,
    pub region: Option<String>,
    pub endpoint: Option<String>,
    /// A setting that leads elsewhere.
    pub elsewhere: Option<&'static str>,
}

/// Settings that lead elsewhere.
const ELSEWHERE: [&str; 6] =
    ["sso_session", "sso_start_url", "role_arn", "credential_process", "web_identity_token_file", "login_session"];

/// Reads the profile the user named, by parameter or variable, or the one called `default`.
///
/// Errors: those of reading a file that exists; `InvalidInput` if a profile was named that neither file has.
pub(super) fn profile(named: Option<&str>, variables: &Variables) -> Result<Profile> {
    let named = named.or_else(|| variables.get("AWS_PROFILE"));
    let wanted = named.unwrap_or("default");
    let mut profile = Profile::default();
    let mut found = false;
    for (variable, file, heading) in [
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials", wanted.to_owned()),
        (
            "AWS_CONFIG_FILE",
            "config",
            if wanted == "default" { "default".to_owned() } else { format!("profile {wanted}") },
        ),
    ] {
        let Some(path) = path(variables, variable, file) else { continue };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Error::from_io("read AWS profile", error).with("path", path.display())),
        };
        found |= profile.read(&text, &heading);
    }
    match named {
        Some(named) if !found => {
            Err(Error::new(ErrorKind::InvalidInput, "read AWS profile").with("no such profile", named.escape_debug()))
        }
        _ => Ok(profile),
    }
}

fn path(variables: &Variables, variable: &str, file: &str) -> Option<PathBuf> {
    let home = || variables.get("HOME").map(|home| PathBuf::from(home).join(".aws").join(file));
    variables.get(variable).map(PathBuf::from).or_else(home)
}

impl Profile {
    /// Takes the settings under a heading, unless there are some already; tells whether there is such a heading.
    fn read(&mut self, text: &str, heading: &str) -> bool {
        let (mut inside, mut found) = (false, false);
        for line in text.lines() {
            if let Some(name) = line.trim().strip_prefix('[').and_then(|line| line.split(']').next()) {
                inside = name.split_whitespace().eq(heading.split_whitespace());
                found |= inside;
                continue;
            }
            // Lines that are set in belong to a setting with parts, such as those of s3.
            if !inside || line.starts_with([' ', '\t', '#', ';']) {
                continue;
            }
            let Some((name, value)) = line.split_once('=') else { continue };
            self.set(name.trim(), value.trim());
        }
        found
    }

    fn set(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        let hidden = |slot: &mut Option<Hidden>| _ = slot.get_or_insert_with(|| Hidden::new(value));
        let shown = |slot: &mut Option<String>| _ = slot.get_or_insert_with(|| value.to_owned());
        match name {
            "aws_access_key_id" => shown(&mut self.key_id),
            "aws_secret_access_key" => hidden(&mut self.secret_key),
            "aws_session_token" => hidden(&mut self.token),
            "region" => shown(&mut self.region),
            "endpoint_url" => shown(&mut self.endpoint),
            _ => {
                if let Some(known) = ELSEWHERE.into_iter().find(|known| *known == name) {
                    self.elsewhere.get_or_insert(known);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(credentials: &str, config: &str) -> (tempfile::TempDir, Vec<(&'static str, String)>) {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join(".aws")).unwrap();
        fs::write(home.path().join(".aws/credentials"), credentials).unwrap();
        fs::write(home.path().join(".aws/config"), config).unwrap();
        let variables = vec![("HOME", home.path().to_str().unwrap().to_owned())];
        (home, variables)
    }

    #[test]
    fn both_files_make_a_profile() {
        let (_home, mut variables) = files(
            "# mine\n[default]\naws_access_key_id = AK\naws_secret_access_key=SK\n\n[other]\naws_access_key_id=OK\n",
            "[default]\nregion = eu-1\ns3 =\n  region = no\n[ profile  other ]\nregion=us-2\nrole_arn = x\n",
        );
        let read = |named: Option<&str>, variables: &[(&str, String)]| {
            profile(named, &variables.iter().map(|(name, value)| (*name, value.as_str())).collect())
        };
        let default = read(None, &variables).unwrap();
        assert_eq!((default.key_id.as_deref(), default.region.as_deref()), (Some("AK"), Some("eu-1")));
        assert_eq!(default.secret_key, Some(Hidden::new("SK")));
        assert!(!format!("{default:?}").contains("SK"));
        let other = read(Some("other"), &variables).unwrap();
        assert_eq!((other.key_id.as_deref(), other.secret_key, other.elsewhere), (Some("OK"), None, Some("role_arn")));
        assert_eq!(read(Some("third"), &variables).unwrap_err().context("no such profile"), Some("third"));
        variables.push(("AWS_PROFILE", "other".to_owned()));
        assert_eq!(read(None, &variables).unwrap().region.as_deref(), Some("us-2"));
        assert_eq!(read(None, &[]).unwrap(), Profile::default());
    }
}

//! Where repositories are, as Borg writes it.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use gabion_backends::Location;

/// The same place as this program writes it.
pub fn translated(place: &OsStr) -> OsString {
    let Some(text) = place.to_str() else { return place.to_owned() };
    if let Some(rest) = text.strip_prefix("rest://") {
        // Borg 2 reaches other machines so; a path is relative there unless it begins with two slashes.
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let start = if path.starts_with('/') { "" } else { "/./" };
        return format!("ssh://{host}{start}{path}").into();
    }
    match Location::parse(text) {
        Err(error) => error.context("did you mean").map_or_else(|| place.to_owned(), OsString::from),
        Ok(_) => place.to_owned(),
    }
}

/// The repository, and the archive if `::` says that there is one.
pub fn split(word: &OsStr) -> (OsString, Option<OsString>) {
    let parts = word.to_str().and_then(|text| text.rsplit_once("::")).filter(|(_, archive)| !archive.contains('/'));
    match parts {
        Some((repository, "")) => (translated(repository.as_ref()), None),
        Some((repository, archive)) => (translated(repository.as_ref()), Some(archive.into())),
        None => (translated(word), None),
    }
}

/// Whether a word names a repository in a way in which no archive is called.
pub fn is_certain(word: &OsStr) -> bool {
    let Some(text) = word.to_str() else { return false };
    if text.contains("::") || text.contains("://") {
        return true;
    }
    let remote = Location::parse(text).is_err_and(|error| error.context("did you mean").is_some());
    // A word without a slash is an archive as likely as a directory here.
    let there = || text.contains('/') && Path::new(text).join("config").is_file();
    (remote && !text.starts_with("aid:")) || there()
}

/// Whether a word looks like a path, or like any other place of a repository.
pub fn is_likely(word: &OsStr) -> bool {
    let path = |text: &str| text == "." || ["/", "./", "../", "~"].iter().any(|start| text.starts_with(start));
    is_certain(word) || word.to_str().is_some_and(path)
}

/// The name of the program on the other machine. `borg` is what drivers say who know no better.
pub fn remote_program(name: &OsStr) -> Option<&OsStr> {
    Some(name).filter(|name| !["borg", "borg1", "borg2"].iter().any(|borg| name == borg))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        for (borg, own) in [
            ("/srv/repo", "/srv/repo"),
            ("repo", "repo"),
            ("host:repo", "ssh://host/./repo"),
            ("me@host:/srv/repo", "ssh://me@host/srv/repo"),
            ("host:~/repo", "ssh://host/./~/repo"),
            ("ssh://me@host:22/srv/repo", "ssh://me@host:22/srv/repo"),
            ("file:///srv/repo", "file:///srv/repo"),
            ("rest://me@host:22/repo", "ssh://me@host:22/./repo"),
            ("rest://host//srv/repo", "ssh://host/srv/repo"),
            ("s3://bucket/repo", "s3://bucket/repo"),
            ("", ""),
        ] {
            assert_eq!(translated(borg.as_ref()), own, "{borg}");
        }
    }

    #[test]
    fn archives_stand_behind_two_colons() {
        for (word, repository, archive) in [
            ("/srv/repo", "/srv/repo", None),
            ("/srv/repo::a", "/srv/repo", Some("a")),
            ("::{now:%H:%M}", "", Some("{now:%H:%M}")),
            ("/srv/repo::", "/srv/repo", None),
            ("host:repo::a-b", "ssh://host/./repo", Some("a-b")),
            ("ssh://[::1]/repo", "ssh://[::1]/repo", None),
            ("ssh://[::1]/repo::a", "ssh://[::1]/repo", Some("a")),
        ] {
            assert_eq!(split(word.as_ref()), (repository.into(), archive.map(OsString::from)), "{word}");
        }
    }

    #[test]
    fn what_names_a_repository() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        assert!(is_likely(path.as_os_str()) && !is_certain(path.as_os_str()));
        std::fs::write(path.join("config"), "").unwrap();
        assert!(is_certain(path.as_os_str()));
        for (word, likely) in
            [("home", false), ("aid:12ab", false), ("::a", true), ("h:r", true), ("./r", true), ("ssh://h/r", true)]
        {
            assert_eq!(is_likely(word.as_ref()), likely, "{word}");
        }
    }
}

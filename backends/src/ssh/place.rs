//! Which directory a client means, and whether it may.
//!
//! Paths are compared after every symbolic link in them was followed, and the path that was compared is the one that
//! is opened.
//!
//! Permissions go by names. A folder of a repository, or a folder that holds one, gives its objects other names: whoever
//! is restricted opens the directory of a repository and no other.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use gabion_core::backend::{Action, ObjectName, Permissions};
use gabion_core::error::{Error, ErrorKind, Result};
use gabion_core::limits::CONFIG_BYTES_MAX;

use super::errors::REFUSED_PATH;
use super::protocol::RemotePath;
use super::serve::ServeOptions;
use crate::layer::check_whole;

const OPERATION: &str = "open repository";
/// What makes a directory a repository: one of these objects is enough to open it.
const IDENTITIES: [&str; 2] = ["config", "spare/identity"];
/// Bytes of a repository's config, with all that redundancy layers may add.
const CONFIG_STORED_MAX: u64 = 16 * CONFIG_BYTES_MAX as u64;

/// The directories a server serves.
#[derive(Debug)]
pub(super) struct Places {
    home: Option<PathBuf>,
    paths: Vec<PathBuf>,
    repositories: Vec<PathBuf>,
}

impl Places {
    /// Follows the links in what the server was started with. A directory that does not exist yet may be served.
    pub fn new(options: &ServeOptions) -> Result<Self> {
        let home = options.home.as_deref().map(real).transpose()?;
        let all = |paths: &[PathBuf]| -> Result<Vec<PathBuf>> {
            paths.iter().map(|path| real(&from(home.as_deref(), path)?)).collect()
        };
        let (paths, repositories) = (all(&options.restrict_to_paths)?, all(&options.restrict_to_repositories)?);
        Ok(Self { home, paths, repositories })
    }

    /// The directory a client means.
    ///
    /// # Errors
    /// `PermissionDenied` with the fact [`REFUSED_PATH`] if this server does not serve it, whether or not it exists.
    pub fn resolve(&self, path: &RemotePath) -> Result<PathBuf> {
        let named = PathBuf::from(OsString::from_vec(path.bytes.clone()));
        let refused = |reason: &'static str| {
            Error::new(ErrorKind::InvalidInput, OPERATION).with("reason", reason).with("path", named.display())
        };
        let absolute = match path.in_home {
            true if named.is_absolute() => return Err(refused("the path is not relative")),
            true => from(self.home.as_deref(), &named)?,
            false if named.is_absolute() => named.clone(),
            false => return Err(refused("the path is not absolute")),
        };
        let real = real(&absolute)?;
        let free = self.paths.is_empty() && self.repositories.is_empty();
        if free || self.repositories.contains(&real) || self.paths.iter().any(|allowed| real.starts_with(allowed)) {
            return Ok(real);
        }
        Err(Error::new(ErrorKind::PermissionDenied, OPERATION).with(REFUSED_PATH, named.display()))
    }
}

/// Makes sure that objects have their own names here, unless everything is permitted.
///
/// # Errors
/// `RepositoryNotFound` if the directory holds no repository, `PermissionDenied` with the fact [`REFUSED_PATH`] if it
/// lies where another one has objects that `permissions` tell apart.
pub(super) fn check_top(path: &Path, permissions: Permissions) -> Result<()> {
    let grows = |folder: &OsStr| {
        let name = folder.to_str().and_then(|folder| ObjectName::new(format!("{folder}/x")).ok());
        name.is_some_and(|name| permissions.allow(Action::Put, &name))
    };
    let is_part =
        |folder: &Path| folder.file_name().is_some_and(grows) && folder.parent().is_some_and(holds_repository);
    let told = |kind, fact| Err(Error::new(kind, OPERATION).with(fact, path.display()));
    match permissions {
        Permissions::All => Ok(()),
        _ if path.ancestors().any(is_part) => told(ErrorKind::PermissionDenied, REFUSED_PATH),
        _ if IDENTITIES.iter().all(|name| size_of(path, name).is_none()) => told(ErrorKind::RepositoryNotFound, "path"),
        _ => Ok(()),
    }
}

/// Whether a directory has one of [`IDENTITIES`] that is an object of ours; many a program has a file `config`. Nobody
/// knows about one that can not be read, so it is taken for one.
fn holds_repository(folder: &Path) -> bool {
    IDENTITIES.iter().any(|name| {
        let is_ours =
            |bytes: Vec<u8>| ObjectName::new(*name).is_ok_and(|name| check_whole(&name, &bytes.into()).is_ok());
        let is_short = size_of(folder, name).is_some_and(|bytes| bytes <= CONFIG_STORED_MAX);
        is_short && std::fs::read(folder.join(name)).map_or(true, is_ours)
    })
}

/// The size of a file in a directory, if there is one.
fn size_of(folder: &Path, name: &str) -> Option<u64> {
    let there = folder.join(name).symlink_metadata().ok()?;
    there.is_file().then_some(there.len())
}

/// A path as it is meant by whoever is at home.
fn from(home: Option<&Path>, path: &Path) -> Result<PathBuf> {
    match home {
        _ if path.is_absolute() => Ok(path.to_owned()),
        Some(home) => Ok(home.join(path)),
        None => Err(Error::new(ErrorKind::NotFound, OPERATION).with("reason", "there is no home directory")),
    }
}

/// The path without links, `.` and `..`. What does not exist yet has none; there `..` is refused, because nobody
/// knows where it will lead.
fn real(path: &Path) -> Result<PathBuf> {
    let mut missing = Vec::new();
    let mut there = path;
    loop {
        match std::fs::canonicalize(there) {
            Ok(real) => return Ok(missing.into_iter().rev().fold(real, |path, part: OsString| path.join(part))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                // A link that leads nowhere exists; who makes its target would decide what is served.
                if there.symlink_metadata().is_ok() {
                    return Err(Error::from_io(OPERATION, error).with("path", path.display()));
                }
                match (there.components().next_back(), there.parent()) {
                    (Some(Component::Normal(part)), Some(parent)) => {
                        missing.push(part.to_owned());
                        there = parent;
                    }
                    _ => return Err(Error::from_io(OPERATION, error).with("path", path.display())),
                }
            }
            Err(error) => return Err(Error::from_io(OPERATION, error).with("path", path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use gabion_core::crypto::envelope::append_tail;

    use super::*;

    fn remote(in_home: bool, path: &Path) -> RemotePath {
        RemotePath { in_home, bytes: path.as_os_str().as_encoded_bytes().to_vec() }
    }

    #[test]
    fn only_what_is_served_is_opened_wherever_links_lead() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().canonicalize().unwrap();
        for folder in ["served/one", "served-too", "other", "home"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        symlink(root.join("other"), root.join("served/out")).unwrap();
        symlink(root.join("served"), root.join("in")).unwrap();
        symlink(root.join("nowhere"), root.join("served/dangling")).unwrap();
        let options = ServeOptions {
            restrict_to_paths: vec![root.join("in")],
            restrict_to_repositories: vec![root.join("home/mine"), "relative".into()],
            home: Some(root.join("home")),
            ..ServeOptions::default()
        };
        let places = Places::new(&options).unwrap();
        for (path, real) in [
            ("served", "served"),
            ("served/one", "served/one"),
            ("served/new", "served/new"),
            ("in/one/../new", "served/new"),
            ("home/mine", "home/mine"),
            ("home/relative", "home/relative"),
        ] {
            assert_eq!(places.resolve(&remote(false, &root.join(path))).unwrap(), root.join(real), "{path}");
        }
        assert_eq!(places.resolve(&remote(true, Path::new("mine"))).unwrap(), root.join("home/mine"));
        for path in
            ["", "other", "served-too", "served/out", "served/out/new", "served/../other", "home", "home/mine/x"]
        {
            let error = places.resolve(&remote(false, &root.join(path))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{path}");
            assert!(error.context(REFUSED_PATH).is_some());
        }
        assert!(places.resolve(&remote(true, Path::new("../other"))).is_err());
        assert!(places.resolve(&remote(false, &root.join("served/none/../../other"))).is_err());
        assert!(places.resolve(&remote(false, &root.join("served/dangling"))).is_err());
        assert!(places.resolve(&remote(false, Path::new("served"))).is_err());
        assert!(places.resolve(&remote(true, &root.join("served"))).is_err());
    }

    #[test]
    fn whoever_is_restricted_opens_repositories_and_nothing_in_them_or_around_them() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().canonicalize().unwrap();
        let mut config = b"a config".to_vec();
        append_tail(&mut config);
        // A repository, one in a home directory with a file of that name, and some that bear the name of a folder.
        std::fs::write(root.join("config"), "Host *").unwrap();
        for folder in ["repo", "sub/repo", "archives.d/archives", "archives", "keys/repo"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
            std::fs::write(root.join(folder).join("config"), &config).unwrap();
        }
        // What clients put to make folders look like repositories.
        for file in ["repo/archives/config", "repo/segments/ab/config"] {
            std::fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            std::fs::write(root.join(file), "").unwrap();
        }
        for permissions in [Permissions::NoDelete, Permissions::WriteOnly] {
            let kind = |path: &str| check_top(&root.join(path), permissions).map_err(|error| error.kind());
            for path in ["repo", "sub/repo", "archives.d/archives", "archives", "keys/repo"] {
                assert_eq!(kind(path), Ok(()), "{path}");
            }
            for path in ["repo/archives", "repo/segments", "repo/segments/ab", "repo/locks"] {
                assert_eq!(kind(path), Err(ErrorKind::PermissionDenied), "{path}");
            }
            for path in ["sub", "archives.d", "repo/gc"] {
                assert_eq!(kind(path), Err(ErrorKind::RepositoryNotFound), "{path}");
            }
        }
        assert!(check_top(&root.join("repo/archives"), Permissions::All).is_ok());
        // The copy of `config` is as good, and what clients put for one is not.
        for folder in ["repo/spare", "repo/archives/spare"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
            std::fs::write(root.join(folder).join("identity"), &config).unwrap();
        }
        std::fs::remove_file(root.join("repo/config")).unwrap();
        for permissions in [Permissions::NoDelete, Permissions::WriteOnly, Permissions::ReadOnly] {
            assert!(check_top(&root.join("repo"), permissions).is_ok());
        }
        for permissions in [Permissions::NoDelete, Permissions::WriteOnly] {
            let error = check_top(&root.join("repo/archives"), permissions).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        }
    }

    #[test]
    fn without_restrictions_everything_is_served_and_without_home_nothing_is_relative() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().canonicalize().unwrap();
        let places = Places::new(&ServeOptions::default()).unwrap();
        assert_eq!(places.resolve(&remote(false, &root.join("x/y"))).unwrap(), root.join("x/y"));
        assert!(places.resolve(&remote(true, Path::new("x"))).is_err());
    }
}

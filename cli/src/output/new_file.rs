//! A file that is there when it is whole.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use tempfile::TempPath;

/// A file in the making. It stands beside its place, and takes it from what may be there when it is whole, with the owner
/// and the mode of that; if it is dropped before, nothing has changed. A device or a pipe is written to as it is, and so is a file in a
/// folder that may not be written to.
pub struct NewFile {
    file: File,
    beside: Option<(TempPath, PathBuf)>,
}

impl NewFile {
    /// Begins the file at `path`; where a link stands, it is what the link leads to.
    pub fn create(path: &Path) -> io::Result<Self> {
        let path = led_to(path);
        if fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
            return Ok(Self { file: File::options().write(true).open(path)?, beside: None });
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mode = Permissions::from_mode(0o666);
        let beside = tempfile::Builder::new().prefix(".tmp-").permissions(mode).tempfile_in(folder);
        let (file, temporary) = match beside {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && path.is_file() => {
                return Ok(Self { file: File::options().write(true).truncate(true).open(path)?, beside: None });
            }
            beside => beside?.into_parts(),
        };
        if let Ok(replaced) = fs::metadata(&path) {
            // who may not give files away keeps them
            let _ = fchown(&file, Some(replaced.uid()), Some(replaced.gid()));
            file.set_permissions(replaced.permissions())?;
        }
        Ok(Self { file, beside: Some((temporary, path)) })
    }

    /// What is written to.
    pub fn file(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Puts the file in its place: it is whole.
    pub fn publish(self) -> io::Result<()> {
        let Some((temporary, path)) = self.beside else { return Ok(()) };
        self.file.sync_all()?;
        temporary.persist(path).map_err(|error| error.error)
    }
}

/// Where a path leads, also where nothing is yet.
fn led_to(path: &Path) -> PathBuf {
    let linked = || Some(path.parent()?.join(fs::read_link(path).ok()?));
    fs::canonicalize(path).ok().or_else(linked).unwrap_or_else(|| path.to_owned())
}

/// Sets the mode of what everybody may read, whatever `--umask` says.
pub fn open_to_all(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_place_is_taken_at_the_end() {
        let place = tempfile::tempdir().unwrap();
        let (path, link) = (place.path().join("file"), place.path().join("link"));
        std::os::unix::fs::symlink("file", &link).unwrap();
        for (mode, content) in [(None, "first"), (Some(0o640), "second")] {
            let before = fs::read(&path).ok();
            mode.iter().for_each(|mode| open_to_all(&path, *mode).unwrap());
            let new = NewFile::create(&link).unwrap();
            new.file().unwrap().write_all(content.as_bytes()).unwrap();
            assert_eq!(fs::read(&path).ok(), before);
            new.publish().unwrap();
            assert_eq!(fs::read(&path).unwrap(), content.as_bytes());
            let kept = fs::metadata(&path).unwrap().mode() & 0o777;
            assert!(mode.is_none_or(|mode| mode == kept), "{kept:o}");
        }
        drop(NewFile::create(&link).unwrap());
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 2);
        assert!(fs::symlink_metadata(link).unwrap().is_symlink());
    }
}

//! A file that is there when it is whole.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempPath;

/// A file in the making. It stands beside its place, and takes it from what may be there when it is whole; if it is
/// dropped before, nothing has changed. A device or a pipe is written to as it is.
pub struct NewFile {
    file: File,
    beside: Option<(TempPath, PathBuf)>,
}

impl NewFile {
    /// Begins the file at `path`; where a link stands, it is what the link leads to.
    pub fn create(path: &Path) -> io::Result<Self> {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
            return Ok(Self { file: File::options().write(true).open(path)?, beside: None });
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mode = Permissions::from_mode(0o666);
        let (file, temporary) =
            tempfile::Builder::new().prefix(".tmp-").permissions(mode).tempfile_in(folder)?.into_parts();
        Ok(Self { file, beside: Some((temporary, path)) })
    }

    /// What is written to.
    pub fn file(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Puts the file in its place: it is whole.
    pub fn publish(self) -> io::Result<()> {
        match self.beside {
            Some((temporary, path)) => temporary.persist(path).map_err(|error| error.error),
            None => Ok(()),
        }
    }
}

/// Sets the mode of what everybody may read, whatever `--umask` says.
pub fn open_to_all(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}

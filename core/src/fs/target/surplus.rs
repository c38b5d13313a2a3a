//! What is taken out of a target, name by name.

use std::os::fd::AsFd;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::TargetDirectory;
use crate::error::Result;
use crate::fs::platform::{self, Subject};
use crate::fs::source::Names;
use crate::fs::stat::Stat;
use crate::fs::{changed, check_name, failed, unnamed};

impl TargetDirectory {
    /// All names in the directory except `.` and `..`.
    pub fn names(&self) -> Result<Names> {
        Names::read(self.handle.as_fd())
    }

    /// The state of the entry `name`; a symbolic link is not followed.
    pub fn stat(&self, name: &[u8]) -> Result<Stat> {
        check_name(name)?;
        platform::stat_at(self.handle.as_fd(), name).map_err(|errno| failed("stat file", name, errno))
    }

    /// The state of the directory itself.
    pub fn own_stat(&self) -> Result<Stat> {
        platform::stat_open(self.handle.as_fd()).map_err(|errno| unnamed("stat directory", errno))
    }

    /// Opens the directory `name` if it is still the one that was `expected`: as it is, or, to `change` it, made accessible
    /// to us.
    ///
    /// # Errors
    /// `SourceChanged` if it is another file by now, or something is mounted there only when it is opened.
    pub fn open_expected(&self, name: &[u8], expected: &Stat, change: bool) -> Result<Self> {
        let operation = "open directory";
        let directory = if change { Some(self.open_directory(name)?) } else { self.look_into(name) };
        let directory = directory.ok_or_else(|| failed(operation, name, Errno::ACCESS))?;
        if directory.own_stat()?.same_file(expected) { Ok(directory) } else { Err(changed(operation, name)) }
    }

    /// Lets us change a directory of ours that its owner may not change. [`Self::set_mode`] takes that back.
    pub fn open_up(&self) {
        if !rustix::process::geteuid().is_root()
            && let Ok(stat) = self.own_stat()
        {
            // If it fails, whoever changes it is told why.
            let _ = self.set_mode(stat.mode | 0o700);
        }
    }

    /// Gives the directory permission bits, if it has others.
    pub fn set_mode(&self, mode: u32) -> Result<()> {
        if self.own_stat()?.mode == mode {
            return Ok(());
        }
        platform::set_mode(Subject::Open(self.handle.as_fd()), mode).map_err(|errno| unnamed("set mode", errno))
    }

    /// Removes the entry `name`: an empty directory, or what is no directory. It is no error if it is gone.
    pub fn remove(&self, name: &[u8], is_directory: bool) -> Result<()> {
        check_name(name)?;
        let flags = if is_directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        match rustix::fs::unlinkat(&self.handle, name, flags) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(failed("delete file", name, errno)),
        }
    }
}

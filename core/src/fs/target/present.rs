//! What is in a target already: whether it is what an archive holds, and what goes because the archive does not have it.

use std::os::fd::AsFd;

use super::TargetDirectory;
use crate::archive::content::Content;
use crate::archive::entry::Entry;
use crate::archive::metadata::{Attributes, FileType, Metadata, flag};
use crate::error::{Error, Result};
use crate::fs::platform::{self, Subject};
use crate::fs::restore::{self, Leftovers, RestoreOptions};
use crate::fs::stat::Stat;
use crate::fs::{check_name, failed, unnamed};

impl TargetDirectory {
    /// All names in the directory except `.` and `..`, in no order. Not for several threads at once.
    pub fn names(&self) -> Result<Vec<Vec<u8>>> {
        let mut names = Vec::new();
        platform::read_names(self.handle.as_fd(), |name| {
            if !matches!(name, b"." | b"..") {
                names.push(name.to_vec());
            }
        })
        .map_err(|errno| unnamed("read directory", errno))?;
        Ok(names)
    }

    /// The state of the directory itself.
    pub fn stat_self(&self) -> Result<Stat> {
        platform::stat_open(self.handle.as_fd()).map_err(|errno| unnamed("stat directory", errno))
    }

    /// The state of the entry `name`; a symbolic link is not followed.
    pub fn stat(&self, name: &[u8]) -> Result<Stat> {
        check_name(name)?;
        platform::stat_at(self.handle.as_fd(), name).map_err(|errno| failed("stat file", name, errno))
    }

    /// Removes the entry `name`; a directory only if it is empty. It is fine if there is none.
    pub fn remove(&self, name: &[u8]) -> Result<()> {
        check_name(name)?;
        self.clear(name)
    }

    /// Whether the file of this name is, without a look at its content, what `entry` says: a regular file of the same
    /// size and time of modification, a symbolic link to the same, the same device, a pipe. Never a directory, nor a
    /// regular file with further names that the archive does not know of: these would get its metadata.
    pub fn holds(&self, entry: &Entry) -> bool {
        let Ok(stat) = self.stat(&entry.name) else { return false };
        if stat.file_type.stored() != Some(entry.file_type) {
            return false;
        }
        match (&entry.content, entry.file_type) {
            (_, FileType::File) => {
                let is_alone = stat.links == 1 || entry.hard_link.is_some();
                stat.size == entry.size && stat.modified == entry.metadata.modified && is_alone
            }
            (Content::Target(target), FileType::Symlink) => {
                rustix::fs::readlinkat(&self.handle, &*entry.name, Vec::new())
                    .is_ok_and(|found| found.as_bytes() == target.as_slice())
            }
            (Content::Device { major, minor }, _) => stat.rdev == (*major, *minor),
            (_, FileType::Fifo) => true,
            _ => false,
        }
    }

    /// Sets the metadata of the entry `name`, which was there before and is a `file_type`, but no directory. Returns what
    /// could not be set.
    pub fn renew_metadata(
        &self,
        name: &[u8],
        file_type: FileType,
        metadata: &Metadata,
        attributes: &Attributes,
        options: &RestoreOptions<'_>,
    ) -> Vec<Error> {
        let lifted = |stat: &Stat, subject: Subject<'_>| {
            let protection = stat.flags & (flag::IMMUTABLE | flag::APPEND);
            if let (Subject::Open(file), true) = (subject, options.flags && protection != 0) {
                // If it fails, setting the rest tells why.
                let _ = platform::change_flags(file, protection, 0);
            }
            restore::apply(subject, stat, Leftovers::Possible, metadata, attributes, options)
        };
        self.with_entry(name, file_type, lifted)
    }
}

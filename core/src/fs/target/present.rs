//! What is in a target already, and whether it is what an archive holds.

use std::os::fd::AsFd;

use rustix::fs::{Mode, openat};

use super::{DIRECTORY, TargetDirectory};
use crate::archive::content::Content;
use crate::archive::entry::Entry;
use crate::archive::metadata::{Attributes, FileType, Metadata, flag};
use crate::error::Error;
use crate::fs::check_name;
use crate::fs::platform::{self, Subject};
use crate::fs::restore::{self, Leftovers, RestoreOptions};
use crate::fs::stat::Stat;

impl TargetDirectory {
    /// The directory `name`, if there is one that can be opened as it is.
    pub fn look_into(&self, name: &[u8]) -> Option<Self> {
        check_name(name).ok()?;
        openat(&self.handle, name, DIRECTORY, Mode::empty()).ok().map(Self::reused)
    }

    /// Whether the file of this name is, without a look at its content, what `entry` says: a regular file of the same
    /// size and time of modification, a symbolic link to the same, the same device, a pipe. Never a directory, nor a
    /// regular file with further names where the archive has but one: these would get its metadata.
    pub fn holds(&self, entry: &Entry) -> bool {
        let Ok(stat) = platform::stat_at(self.handle.as_fd(), &entry.name) else { return false };
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

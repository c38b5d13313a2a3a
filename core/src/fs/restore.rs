//! Metadata of an archive, set on a file of the target.
//!
//! The order matters. The owner comes first, as a change of owner takes set-user-id bits and
//! capabilities away. Attributes come before the mode, as a file that its owner may not write
//! takes none from him. ACLs come after the mode, as a mode changes them. Times follow, and flags
//! are really last: an immutable file takes nothing more.
//!
//! Everything is tried; what fails is returned, and nothing of it ends a restore.

use rustix::fs::{Gid, Timespec, Timestamps, UTIME_OMIT, Uid};
use rustix::io::Errno;
use serde_bytes::Bytes;

use super::attributes::{self, ACCESS_ACL, DEFAULT_ACL, is_acl};
use super::platform::{self, Subject};
use super::stat::Stat;
use super::unnamed;
use super::users::Users;
use crate::archive::metadata::{Attributes, Metadata, flag};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};

/// Which metadata is restored, and how.
#[derive(Clone, Copy, Debug)]
pub struct RestoreOptions<'a> {
    /// The users and groups of the target.
    pub users: &'a Users,
    /// Restore owner and group.
    pub owner: bool,
    /// Take owner and group by their numbers, even if their names are known here.
    pub numeric_ids: bool,
    /// Restore extended attributes other than ACLs.
    pub xattrs: bool,
    /// Restore access control lists.
    pub acls: bool,
    /// Restore file flags.
    pub flags: bool,
}

impl<'a> RestoreOptions<'a> {
    /// Everything, owners by name where `users` knows them.
    pub fn all(users: &'a Users) -> Self {
        Self { users, owner: true, numeric_ids: false, xattrs: true, acls: true, flags: true }
    }

    fn wants(&self, attribute: &[u8]) -> bool {
        if is_acl(attribute) { self.acls } else { self.xattrs }
    }
}

/// Whether a file may carry attributes and flags that no archive gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leftovers {
    /// It is new, and its directory hands nothing down.
    None,
    /// It was there before, or has inherited something.
    Possible,
}

impl From<bool> for Leftovers {
    fn from(possible: bool) -> Self {
        if possible { Self::Possible } else { Self::None }
    }
}

/// Sets everything on `subject`, which was `before` a moment ago. Returns what could not be set.
pub(super) fn apply(
    subject: Subject<'_>,
    before: &Stat,
    leftovers: Leftovers,
    metadata: &Metadata,
    attributes: &Attributes,
    options: &RestoreOptions<'_>,
) -> Vec<Error> {
    let mut errors = Vec::new();
    let mut note = |result: Result<()>| errors.extend(result.err());
    let mut owner = (before.uid, before.gid);
    if options.owner {
        note(set_owner(subject, &mut owner, metadata, options));
    }
    if leftovers == Leftovers::Possible {
        remove_surplus(subject, attributes, options).into_iter().for_each(|error| note(Err(error)));
    }
    set_attributes(subject, attributes, |name| options.wants(name) && !is_acl(name), &mut note);
    if !before.is_symlink() {
        note(set_mode(subject, before, owner, metadata, options));
    }
    set_attributes(subject, attributes, |name| options.wants(name) && is_acl(name), &mut note);
    note(set_times(subject, metadata));
    if options.flags && (metadata.flags != 0 || leftovers == Leftovers::Possible) {
        note(set_flags(subject, before, metadata.flags));
    }
    errors
}

/// The owner and group `metadata` asks for: by name where it is known here, else by number.
fn wanted_owner(metadata: &Metadata, options: &RestoreOptions<'_>) -> (u32, u32) {
    let users = options.users;
    let user = metadata.user.as_ref().filter(|_| !options.numeric_ids).and_then(|name| users.user_id(name));
    let group = metadata.group.as_ref().filter(|_| !options.numeric_ids).and_then(|name| users.group_id(name));
    (user.unwrap_or(metadata.uid), group.unwrap_or(metadata.gid))
}

/// Sets owner and group as far as allowed, and tells in `owner` what they are then. It is no error
/// that an unprivileged user can not give files away; he may still choose among his groups.
fn set_owner(
    subject: Subject<'_>,
    owner: &mut (u32, u32),
    metadata: &Metadata,
    options: &RestoreOptions<'_>,
) -> Result<()> {
    let operation = "set owner";
    let wanted = wanted_owner(metadata, options);
    if *owner == wanted {
        return Ok(());
    }
    // The system takes this number for "leave it as it is".
    if wanted.0 == u32::MAX || wanted.1 == u32::MAX {
        return Err(Error::new(ErrorKind::InvalidInput, operation).with("uid", wanted.0).with("gid", wanted.1));
    }
    let user = (owner.0 != wanted.0).then(|| Uid::from_raw(wanted.0));
    let group = (owner.1 != wanted.1).then(|| Gid::from_raw(wanted.1));
    match platform::set_owner(subject, user, group) {
        Ok(()) => {
            *owner = wanted;
            return Ok(());
        }
        Err(errno) if !is_unprivileged(errno) => return Err(unnamed(operation, errno)),
        Err(_) => {}
    }
    if user.is_some() && group.is_some() && platform::set_owner(subject, None, group).is_ok() {
        owner.1 = wanted.1;
    }
    Ok(())
}

/// Whether `errno` only says that this is not for ordinary users (or for numbers that a container
/// does not have).
fn is_unprivileged(errno: Errno) -> bool {
    match errno {
        Errno::PERM => !rustix::process::geteuid().is_root(),
        Errno::INVAL => true,
        _ => false,
    }
}

/// Sets permission bits. A file that could not be given to its owner must not act in the name of
/// the one it has: it loses set-user-id, or set-group-id.
fn set_mode(
    subject: Subject<'_>,
    before: &Stat,
    owner: (u32, u32),
    metadata: &Metadata,
    options: &RestoreOptions<'_>,
) -> Result<()> {
    let wanted = wanted_owner(metadata, options);
    let mut mode = metadata.mode & 0o7777;
    if !before.is_directory() {
        let foreign = if owner.0 == wanted.0 { 0 } else { 0o4000 } | if owner.1 == wanted.1 { 0 } else { 0o2000 };
        mode &= !foreign;
    }
    platform::set_mode(subject, mode).map_err(|errno| unnamed("set mode", errno).with("mode", mode))
}

fn set_attributes(
    subject: Subject<'_>,
    attributes: &Attributes,
    wanted: impl Fn(&[u8]) -> bool,
    note: &mut impl FnMut(Result<()>),
) {
    for (name, value) in attributes.0.iter().filter(|(name, _)| wanted(name)) {
        match platform::set_attribute(subject, name, value) {
            Ok(()) => {}
            // Labels and the like are for root; every other program leaves them out silently too.
            Err(Errno::PERM | Errno::NOTSUP) if is_for_root(name) && !rustix::process::geteuid().is_root() => {}
            Err(errno) => {
                note(Err(unnamed("set attribute", errno).with("attribute", name.escape_ascii())));
            }
        }
    }
}

fn is_for_root(attribute: &[u8]) -> bool {
    attribute.starts_with(b"security.") || attribute.starts_with(b"trusted.")
}

/// Removes attributes the archive does not have. Labels of the security system stay, as it gives
/// them to every file.
fn remove_surplus(subject: Subject<'_>, attributes: &Attributes, options: &RestoreOptions<'_>) -> Vec<Error> {
    if !options.xattrs && !options.acls {
        return Vec::new();
    }
    let list = match attributes::list(subject) {
        Ok(list) => list,
        Err(errno) => return vec![unnamed("list attributes", errno)],
    };
    let removable = |name: &&[u8]| {
        name.starts_with(b"user.") || name.starts_with(b"trusted.") || matches!(*name, ACCESS_ACL | DEFAULT_ACL)
    };
    let surplus = attributes::names(&list)
        .filter(removable)
        .filter(|name| options.wants(name) && !attributes.0.contains_key(Bytes::new(name)));
    surplus
        .filter_map(|name| match platform::remove_attribute(subject, name) {
            Ok(()) | Err(platform::NO_ATTRIBUTE) => None,
            Err(errno) => Some(unnamed("remove attribute", errno).with("attribute", name.escape_ascii())),
        })
        .collect()
}

/// Sets the time of modification, and that of the last access if the archive has it.
fn set_times(subject: Subject<'_>, metadata: &Metadata) -> Result<()> {
    let operation = "set times";
    let time = |time: Timestamp| match time.nanoseconds {
        0..1_000_000_000 => Ok(Timespec { tv_sec: time.seconds, tv_nsec: time.nanoseconds.into() }),
        // The system takes some of these for "now" or "leave it".
        _ => Err(Error::new(ErrorKind::InvalidInput, operation).with("nanoseconds", time.nanoseconds)),
    };
    let leave = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let times = Timestamps {
        last_access: metadata.accessed.map_or(Ok(leave), time)?,
        last_modification: time(metadata.modified)?,
    };
    platform::set_times(subject, &times).map_err(|errno| unnamed(operation, errno))
}

/// Sets `wanted` and clears all other known flags. Compression is a hint how to store the file: it
/// is no error if this file system can not, and a file that inherited it keeps it.
fn set_flags(subject: Subject<'_>, before: &Stat, wanted: u32) -> Result<()> {
    let operation = "set flags";
    let wanted = wanted & flag::ALL;
    let must = wanted & !flag::COMPRESSED;
    let Subject::Open(descriptor) = subject else {
        let possible = before.is_file() || before.is_directory();
        let lost = possible && must != 0;
        return if lost { Err(Error::new(ErrorKind::Unsupported, operation).with("flags", must)) } else { Ok(()) };
    };
    if wanted != must && platform::change_flags(descriptor, flag::ALL, wanted).is_ok() {
        return Ok(());
    }
    match platform::change_flags(descriptor, flag::ALL & !flag::COMPRESSED, must) {
        Ok(()) => Ok(()),
        Err(_) if must == 0 => Ok(()),
        Err(errno) => Err(unnamed(operation, errno).with("flags", must)),
    }
}

#[cfg(test)]
mod tests;

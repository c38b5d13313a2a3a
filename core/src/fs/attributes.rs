//! Extended attributes and access control lists, read race-safely.
//!
//! A list of names is at most 64 KiB and a value at most 64 KiB: the system allows no more. What
//! a file without attributes costs is one call into a buffer on the stack.

use rustix::io::{Errno, Result as SystemResult};
use serde_bytes::ByteBuf;

use super::platform::{self, Subject};
use super::unnamed;
use crate::archive::attributes::AttributesRead;
use crate::archive::metadata::Attributes;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{ATTRIBUTES_BYTES_MAX, KIB};

/// Bytes of a list or a value that most files do not exceed.
const USUAL_BYTES: usize = KIB;
/// Bytes of the largest list and of the largest value.
const SYSTEM_BYTES_MAX: usize = 64 * KIB;

/// The attribute that holds the access ACL, as the system encodes it.
pub const ACCESS_ACL: &[u8] = b"system.posix_acl_access";
/// The attribute that holds the ACL new entries of a directory inherit.
pub const DEFAULT_ACL: &[u8] = b"system.posix_acl_default";
const NFS4_ACL: &[u8] = b"system.nfs4_acl";

/// Which attributes an archive shall know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributeOptions {
    /// Keep extended attributes other than ACLs.
    pub xattrs: bool,
    /// Keep access control lists.
    pub acls: bool,
}

impl Default for AttributeOptions {
    fn default() -> Self {
        Self { xattrs: true, acls: true }
    }
}

impl AttributeOptions {
    /// What reading by these options, as who we are, asks for.
    pub fn asked(&self) -> AttributesRead {
        AttributesRead { xattrs: self.xattrs, acls: self.acls, superuser: rustix::process::geteuid().is_root() }
    }

    /// Whether the attribute `name` is wanted.
    pub fn wants(&self, name: &[u8]) -> bool {
        if is_acl(name) { self.acls } else { self.xattrs }
    }
}

/// Whether the attribute `name` is an access control list.
pub fn is_acl(name: &[u8]) -> bool {
    matches!(name, ACCESS_ACL | DEFAULT_ACL | NFS4_ACL)
}

/// All wanted attributes that may be read.
///
/// # Errors
/// `LimitExceeded` for more than [`ATTRIBUTES_BYTES_MAX`] bytes, otherwise what the system says.
/// A file system without attributes is not an error.
pub(super) fn read(subject: Subject<'_>, options: AttributeOptions) -> Result<Attributes> {
    let mut attributes = Attributes::default();
    if !options.xattrs && !options.acls {
        return Ok(attributes);
    }
    let list = list(subject).map_err(|errno| unnamed("list attributes", errno))?;
    let mut bytes = 0;
    for name in names(&list).filter(|name| options.wants(name)) {
        let value = match value(subject, name) {
            Ok(value) => value,
            // Removed since it was listed, or not meant for us to see.
            Err(platform::NO_ATTRIBUTE | Errno::ACCESS | Errno::PERM) => continue,
            Err(errno) => return Err(unnamed("read attribute", errno).with("attribute", name.escape_ascii())),
        };
        bytes += name.len() + value.len();
        if bytes > ATTRIBUTES_BYTES_MAX {
            return Err(Error::new(ErrorKind::LimitExceeded, "read attributes").with("limit", ATTRIBUTES_BYTES_MAX));
        }
        attributes.0.insert(ByteBuf::from(name), ByteBuf::from(value));
    }
    Ok(attributes)
}

/// The names of all attributes, each ended by NUL. Empty where there are none or can be none.
pub(super) fn list(subject: Subject<'_>) -> SystemResult<Vec<u8>> {
    match with_room(|buffer| platform::list_attributes(subject, buffer)) {
        Err(Errno::NOTSUP | Errno::NOSYS) => Ok(Vec::new()),
        other => other,
    }
}

/// The names in a list made by [`list`].
pub(super) fn names(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == 0).filter(|name| !name.is_empty())
}

/// Whether there is an attribute `name`; errors mean there is none.
pub(super) fn exists(subject: Subject<'_>, name: &[u8]) -> bool {
    !matches!(platform::get_attribute(subject, name, &mut [0]), Err(errno) if errno != Errno::RANGE)
}

fn value(subject: Subject<'_>, name: &[u8]) -> SystemResult<Vec<u8>> {
    with_room(|buffer| platform::get_attribute(subject, name, buffer))
}

/// Calls `fill` with a small buffer, and with the largest useful one if that is too small.
fn with_room(fill: impl Fn(&mut [u8]) -> SystemResult<usize>) -> SystemResult<Vec<u8>> {
    let mut usual = [0; USUAL_BYTES];
    match fill(&mut usual) {
        Ok(bytes) => Ok(usual.get(..bytes).unwrap_or_default().to_vec()),
        Err(Errno::RANGE) => {
            let mut large = vec![0; SYSTEM_BYTES_MAX];
            let bytes = fill(&mut large)?;
            large.truncate(bytes);
            large.shrink_to_fit();
            Ok(large)
        }
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use super::*;
    use crate::fs::testing;

    const BOTH: AttributeOptions = AttributeOptions { xattrs: true, acls: true };

    fn file_with(attributes: &[(&[u8], &[u8])]) -> File {
        let file = tempfile::tempfile().unwrap();
        for (name, value) in attributes {
            platform::set_attribute(Subject::Open(file.as_fd()), name, value).unwrap();
        }
        file
    }

    #[test]
    fn names_and_values_of_all_sizes_are_read() {
        if !testing::attributes_work() {
            return;
        }
        let long_name = [b"user.".as_slice(), &[b'n'; 250]].concat();
        let given: [(&[u8], &[u8]); 4] =
            [(b"user.empty", b""), (b"user.\xff\n", b"\0\xff"), (&long_name, &[7; 1025]), (b"user.usual", &[1; 1024])];
        let file = file_with(&given);
        let read = read(Subject::Open(file.as_fd()), BOTH).unwrap();
        assert_eq!(read.0.len(), 4);
        for (name, value) in given {
            assert_eq!(read.0[serde_bytes::Bytes::new(name)].as_slice(), value);
        }
    }

    #[test]
    fn long_lists_are_read() {
        if !testing::attributes_work() {
            return;
        }
        let names: Vec<_> = (0..20).map(|n| format!("user.{n:0100}").into_bytes()).collect();
        let given: Vec<(&[u8], &[u8])> = names.iter().map(|name| (name.as_slice(), &b"1"[..])).collect();
        let file = file_with(&given);
        assert_eq!(read(Subject::Open(file.as_fd()), BOTH).unwrap().0.len(), 20);
    }

    #[test]
    fn options_part_attributes_from_acls() {
        if !testing::attributes_work() {
            return;
        }
        let acl = testing::access_acl(1234);
        let file = file_with(&[(b"user.a", b"1"), (ACCESS_ACL, &acl)]);
        let read = |xattrs, acls| {
            let read = read(Subject::Open(file.as_fd()), AttributeOptions { xattrs, acls }).unwrap();
            read.0.into_iter().map(|(name, value)| (name.into_vec(), value.into_vec())).collect::<Vec<_>>()
        };
        let (attribute, list) = ((b"user.a".to_vec(), b"1".to_vec()), (ACCESS_ACL.to_vec(), acl.clone()));
        assert_eq!(read(true, true), [list.clone(), attribute.clone()]);
        assert_eq!(read(true, false), [attribute]);
        assert_eq!(read(false, true), [list]);
        assert!(read(false, false).is_empty());
    }

    #[test]
    fn file_systems_without_attributes_have_none() {
        let proc = File::open("/proc/self/status").unwrap();
        assert_eq!(read(Subject::Open(proc.as_fd()), BOTH).unwrap(), Attributes::default());
    }
}

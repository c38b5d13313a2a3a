//! `gabion umount`

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use gabion_core::error::{Error, ErrorKind, LOCAL_PATH};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use crate::compat::MOUNT_SOURCE;
use crate::context::Context;
use crate::exit_code::{Failure, Warnings};
use crate::report::Advised;

/// What the source of such a mount begins with.
pub const SOURCE_MARK: &str = "gabionfs#";

/// Unmount archives that `mount` shows.
///
/// Works for mounts whose process has died, too. Any other kind of file system is left alone.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  gabion umount /mnt")]
pub struct Args {
    /// The directory below which archives are shown
    #[arg(value_name = "MOUNTPOINT")]
    mountpoint: PathBuf,
}

/// Unmounts.
pub fn run(_context: &Context, args: &Args) -> Result<Warnings> {
    let place = resolved(&args.mountpoint)?;
    let mounts = std::fs::read("/proc/self/mountinfo").context("read the list of mounts")?;
    let own = |source: Vec<u8>| source.starts_with(SOURCE_MARK.as_bytes()) || source == MOUNT_SOURCE.as_bytes();
    if !mounted_source(&mounts, &place).is_some_and(own) {
        let shown = args.mountpoint.display();
        return Err(Failure::command(format!("{shown}: no archives are mounted here")).into());
    }
    let errno = match unmount(&place, UnmountFlags::empty()) {
        Ok(()) => return Ok(Warnings::default()),
        // Only root may; for others there is a helper that may.
        Err(Errno::PERM) => return by_helper(&place),
        Err(errno) => errno,
    };
    let error = Error::from_io("unmount", errno.into()).with(LOCAL_PATH, args.mountpoint.display());
    if errno != Errno::BUSY {
        return Err(error.into());
    }
    Err(Advised::new(error, "a program has files open there, or works there: `fuser -vm` names it".to_owned()).into())
}

/// The place itself may not answer any more, what is above it does.
fn resolved(mountpoint: &Path) -> Result<PathBuf> {
    let failed = |error| Error::from_io("unmount", error).with(LOCAL_PATH, mountpoint.display());
    match mountpoint.canonicalize() {
        Ok(place) => Ok(place),
        Err(error) if error.raw_os_error() == Some(Errno::NOTCONN.raw_os_error()) => {
            let absolute = std::path::absolute(mountpoint).map_err(failed)?;
            let (Some(above), Some(name)) = (absolute.parent(), absolute.file_name()) else {
                return Err(Error::new(ErrorKind::InvalidInput, "unmount").into());
            };
            Ok(above.canonicalize().map_err(failed)?.join(name))
        }
        Err(error) => Err(failed(error).into()),
    }
}

/// The source of what FUSE mounted last at a place, from the text of `mountinfo(5)`; empty for what is no FUSE.
fn mounted_source(mounts: &[u8], place: &Path) -> Option<Vec<u8>> {
    let kind = |line: &[u8]| -> Option<Vec<u8>> {
        let mut fields = line.split(|byte| *byte == b' ');
        let here = unescaped(fields.nth(4)?) == place.as_os_str().as_bytes();
        let mut behind = fields.skip_while(|field| *field != b"-").skip(1);
        let (kind, source) = (behind.next()?, behind.next()?);
        let fuse = kind == b"fuse" || kind.starts_with(b"fuse.");
        here.then(|| if fuse { unescaped(source) } else { Vec::new() })
    };
    mounts.split(|byte| *byte == b'\n').filter_map(kind).next_back()
}

/// Space, tab, newline and backslash are written as three octal digits.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

fn by_helper(place: &Path) -> Result<Warnings> {
    for helper in ["fusermount3", "fusermount"] {
        let Ok(output) = Command::new(helper).arg("-u").arg("--").arg(place).output() else { continue };
        if output.status.success() {
            return Ok(Warnings::default());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
        return Err(anyhow::anyhow!("unmount: {said}"));
    }
    Err(anyhow::anyhow!("unmount: only root may, and there is no fusermount3 that may for others"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_mount_of_a_place_counts() {
        let mounts = b"22 1 254:0 / / rw,relatime - ext4 gabionfs#no rw\n\
            30 22 0:50 / /mnt/a\\040b ro shared:7 master:1 - fuse gabionfs#/repo ro,user_id=0\n\
            31 22 0:51 / /mnt/c rw - tmpfs none rw\n\
            32 31 0:52 / /mnt/c ro - fuse.gabionfs gabionfs#/my\\040repo ro\n\
            33 22 0:53 / /mnt/d ro - fuse gabionfs#/repo ro\n\
            34 33 0:54 / /mnt/d rw - tmpfs none rw\nshort\n\n";
        for (place, expected) in [
            ("/", Some("")),
            ("/mnt/a b", Some("gabionfs#/repo")),
            ("/mnt/c", Some("gabionfs#/my repo")),
            ("/mnt/d", Some("")),
            ("/mnt", None),
        ] {
            let found = mounted_source(mounts, Path::new(place));
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{place}");
        }
    }

    #[test]
    fn escapes_of_the_list_are_undone() {
        assert_eq!(unescaped(br"a\040b\134c\011\012d\99\"), b"a b\\c\t\nd\\99\\");
    }
}

//! What kind of file system a directory lies on, and what follows from it.
//!
//! Only kinds that are known to be local are taken for current and complete; everything else, such as NFS, SMB or
//! FUSE, may show a listing that is older than a change made on another machine.

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::fs::fstatfs;
use rustix::io::Errno;

/// How old a listing of a shared file system may be: beyond the longest default of NFS (60 s) and of FUSE.
const SHARED_STALENESS: Duration = Duration::from_secs(90);

/// What a file system is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Traits {
    /// How old a listing may be.
    pub list_staleness: Duration,
    /// Two names can be exchanged in one step.
    pub exchange: bool,
    /// Content outlives the power supply.
    pub durable: bool,
}

/// Local file systems by the number that `statfs` tells, and whether they can exchange two names.
const LOCAL: [(u32, bool); 18] = [
    (0x0000_ef53, true),  // ext2, ext3, ext4
    (0x5846_5342, true),  // xfs
    (0x9123_683e, true),  // btrfs
    (TMPFS, true),        // tmpfs
    (RAMFS, false),       // ramfs
    (0xf2f5_2010, true),  // f2fs
    (0x794c_7630, true),  // overlayfs
    (0xca45_1a4e, true),  // bcachefs
    (0x2fc1_2fc1, false), // zfs, since 2.2 only
    (0x2405_1905, true),  // ubifs
    (0x0000_4d44, false), // vfat
    (0x2011_bab0, false), // exfat
    (0x5346_544e, false), // ntfs
    (0x7366_746e, false), // ntfs3
    (0x3153_464a, false), // jfs
    (0x0000_482b, false), // hfsplus
    (0x7371_7368, false), // squashfs
    (0x0000_9660, false), // iso9660
];
const TMPFS: u32 = 0x0102_1994;
const RAMFS: u32 = 0x8584_58f6;

/// Asks the kernel about the file system of an open directory.
pub(super) fn traits_of(directory: impl AsFd) -> Result<Traits, Errno> {
    // The field is signed or unsigned, 32 or 64 bits wide, depending on the machine; the number has 32 bits.
    Ok(traits_of_magic(fstatfs(directory)?.f_type as u32))
}

fn traits_of_magic(magic: u32) -> Traits {
    match LOCAL.iter().find(|(known, _)| *known == magic) {
        Some((_, exchange)) => {
            Traits { list_staleness: Duration::ZERO, exchange: *exchange, durable: magic != TMPFS && magic != RAMFS }
        }
        None => Traits { list_staleness: SHARED_STALENESS, exchange: false, durable: true },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_file_systems_may_be_stale() {
        let (nfs, cifs, smb2, fuse) = (0x6969, 0xff53_4d42, 0xfe53_4d42, 0x6573_5546);
        for magic in [nfs, cifs, smb2, fuse, 12345] {
            assert_eq!(traits_of_magic(magic).list_staleness, Duration::from_secs(90));
            assert!(!traits_of_magic(magic).exchange);
        }
        let ext4 = traits_of_magic(0xef53);
        assert!(ext4.list_staleness.is_zero() && ext4.exchange && ext4.durable);
        assert!(!traits_of_magic(TMPFS).durable);
    }
}

//! The block before each member: fields at fixed places, numbers in octal digits or, where these do not suffice,
//! in base 256.

use super::{BLOCK_BYTES, Kind, Member, invalid};
use crate::error::Result;

/// A block.
pub(super) type Block = [u8; BLOCK_BYTES];

/// Bytes of the name, of the target, of a user's or group's name, and of the prefix of a name.
pub(super) const NAME_BYTES: usize = 100;
pub(super) const OWNER_BYTES: usize = 32;
const PREFIX_BYTES: usize = 155;

/// The largest number of a field of so many bytes in octal digits.
pub(super) const fn octal_max(bytes: usize) -> u64 {
    (1 << (3 * (bytes - 1))) - 1
}

/// Fields by their places.
mod field {
    use std::ops::Range;

    pub const NAME: Range<usize> = 0..100;
    pub const MODE: Range<usize> = 100..108;
    pub const UID: Range<usize> = 108..116;
    pub const GID: Range<usize> = 116..124;
    pub const SIZE: Range<usize> = 124..136;
    pub const MODIFIED: Range<usize> = 136..148;
    pub const SUM: Range<usize> = 148..156;
    pub const KIND: usize = 156;
    pub const TARGET: Range<usize> = 157..257;
    pub const MAGIC: Range<usize> = 257..265;
    pub const USER: Range<usize> = 265..297;
    pub const GROUP: Range<usize> = 297..329;
    pub const MAJOR: Range<usize> = 329..337;
    pub const MINOR: Range<usize> = 337..345;
    pub const PREFIX: Range<usize> = 345..500;
}

/// Magic and version of POSIX and of GNU.
const USTAR: &[u8; 8] = b"ustar\x0000";
const GNU: &[u8; 8] = b"ustar  \0";

/// A header as it stands there: names that are too long for it are cut.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub member: Member,
    /// The letter of the type.
    pub letter: u8,
    /// Bytes that follow, without padding.
    pub stored: u64,
    pub block: Box<Block>,
}

impl Header {
    /// Reads a block that is not all zeros.
    pub fn parse(block: &Block) -> Result<Self> {
        if number(&block[field::SUM]) != Some(i128::from(sum(block))) {
            return Err(invalid("not a tar archive, or damaged: a checksum is wrong"));
        }
        let unsigned = |range: std::ops::Range<usize>| {
            number(&block[range])
                .and_then(|number| u64::try_from(number).ok())
                .ok_or_else(|| invalid("a number makes no sense"))
        };
        let letter = block[field::KIND];
        let gnu = &block[field::MAGIC] == GNU;
        let ustar = block[field::MAGIC].starts_with(b"ustar\0");
        let mut path = text(&block[field::NAME]).to_vec();
        let prefix = text(&block[field::PREFIX]);
        // GNU has other things there.
        if ustar && !prefix.is_empty() {
            path = [prefix, &path].join(&b'/');
        }
        let kind = kind_of(letter, &path);
        let mut member = Member::new(path, kind);
        member.mode = (unsigned(field::MODE)? & 0o7777) as u32;
        member.uid = unsigned(field::UID)?;
        member.gid = unsigned(field::GID)?;
        let modified = number(&block[field::MODIFIED]).and_then(|number| i64::try_from(number).ok());
        member.modified = (modified.ok_or_else(|| invalid("a time makes no sense"))?, 0);
        member.target = text(&block[field::TARGET]).to_vec();
        if gnu || ustar {
            member.user = text(&block[field::USER]).to_vec();
            member.group = text(&block[field::GROUP]).to_vec();
        }
        if matches!(kind, Kind::CharacterDevice | Kind::BlockDevice) {
            let small = |range| {
                unsigned(range).and_then(|number| u32::try_from(number).map_err(|_| invalid("a device makes no sense")))
            };
            member.device = (small(field::MAJOR)?, small(field::MINOR)?);
        }
        let stored = unsigned(field::SIZE)?;
        // Some programs give links and directories a size, without anything that follows.
        let stored = if matches!(letter, b'1'..=b'6') { 0 } else { stored };
        member.size = stored;
        Ok(Self { member, letter, stored, block: Box::new(*block) })
    }
}

/// The block of a member whose fields all fit; `letter` is its type, `stored` the bytes that follow.
pub(super) fn encode(member: &Member, letter: u8, stored: u64, gnu: bool) -> Block {
    let mut block = [0; BLOCK_BYTES];
    let (prefix, name) =
        if gnu { (&[][..], &member.path[..]) } else { split(&member.path).unwrap_or((&[], &member.path)) };
    put_text(&mut block[field::NAME], name);
    put_text(&mut block[field::PREFIX], prefix);
    put_number(&mut block[field::MODE], i128::from(member.mode), gnu);
    put_number(&mut block[field::UID], i128::from(member.uid), gnu);
    put_number(&mut block[field::GID], i128::from(member.gid), gnu);
    put_number(&mut block[field::SIZE], i128::from(stored), gnu);
    put_number(&mut block[field::MODIFIED], i128::from(member.modified.0), gnu);
    block[field::KIND] = letter;
    put_text(&mut block[field::TARGET], &member.target);
    block[field::MAGIC].copy_from_slice(if gnu { GNU } else { USTAR });
    put_text(&mut block[field::USER], &member.user);
    put_text(&mut block[field::GROUP], &member.group);
    if matches!(member.kind, Kind::CharacterDevice | Kind::BlockDevice) {
        put_number(&mut block[field::MAJOR], i128::from(member.device.0), gnu);
        put_number(&mut block[field::MINOR], i128::from(member.device.1), gnu);
    }
    let digits = format!("{:06o}\0 ", sum(&block));
    block[field::SUM].copy_from_slice(digits.as_bytes());
    block
}

/// The letter of a type.
pub(super) fn letter_of(kind: Kind) -> u8 {
    match kind {
        Kind::File => b'0',
        Kind::HardLink => b'1',
        Kind::Symlink => b'2',
        Kind::CharacterDevice => b'3',
        Kind::BlockDevice => b'4',
        Kind::Directory => b'5',
        Kind::Fifo => b'6',
        Kind::Other(letter) => letter,
    }
}

/// What a member of this type and with this path is; the path must be all of it.
pub(super) fn kind_of(letter: u8, path: &[u8]) -> Kind {
    match letter {
        // From before there were directories: they end with a slash.
        b'0' | 0 if path.ends_with(b"/") => Kind::Directory,
        b'0' | 0 | b'7' | b'S' => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' => Kind::CharacterDevice,
        b'4' => Kind::BlockDevice,
        b'5' | b'D' => Kind::Directory,
        b'6' => Kind::Fifo,
        other => Kind::Other(other),
    }
}

/// The path as prefix and name of POSIX, if it can be split so.
pub(super) fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= NAME_BYTES {
        return Some((&[], path));
    }
    let mut slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(position, _)| position);
    let fits =
        |slash: &usize| (1..=PREFIX_BYTES).contains(slash) && (2..=NAME_BYTES + 1).contains(&(path.len() - slash));
    let slash = slashes.rfind(fits)?;
    Some((&path[..slash], &path[slash + 1..]))
}

/// The sum of all bytes, with blanks in place of the sum.
fn sum(block: &Block) -> u32 {
    let blanks = u32::from(b' ') * field::SUM.len() as u32;
    let bytes = block[..field::SUM.start].iter().chain(&block[field::SUM.end..]);
    bytes.map(|byte| u32::from(*byte)).sum::<u32>() + blanks
}

/// Up to the first NUL.
fn text(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Octal digits between blanks, or base 256 if the highest bit is set; nothing is 0.
pub(super) fn number(bytes: &[u8]) -> Option<i128> {
    match bytes.first()? {
        0x80 | 0xff => {
            let start: i128 = if bytes[0] == 0xff { -1 } else { 0 };
            bytes[1..].iter().try_fold(start, |sum, byte| sum.checked_mul(256)?.checked_add(i128::from(*byte)))
        }
        _ => {
            let digits = std::str::from_utf8(text(bytes)).ok()?.trim_matches(' ');
            if digits.is_empty() { Some(0) } else { i128::from_str_radix(digits, 8).ok().filter(|number| *number >= 0) }
        }
    }
}

fn put_text(field: &mut [u8], text: &[u8]) {
    let bytes = text.len().min(field.len());
    field[..bytes].copy_from_slice(&text[..bytes]);
}

/// A number that does not fit is written in base 256 for GNU, and as the largest that fits otherwise: then a PAX
/// record says what it is.
fn put_number(field: &mut [u8], number: i128, gnu: bool) {
    let (width, max) = (field.len() - 1, i128::from(octal_max(field.len())));
    if gnu && !(0..=max).contains(&number) {
        let bytes = number.to_be_bytes();
        let start = bytes.len() - field.len();
        field.copy_from_slice(&bytes[start..]);
        field[0] = if number < 0 { 0xff } else { 0x80 };
        return;
    }
    let digits = format!("{:0width$o}", number.clamp(0, max));
    field[..width].copy_from_slice(digits.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_both_ways() {
        for number_in in [0i128, 1, 0o777_7777, 0o1000_0000, 1 << 40, -1, -2, i128::from(u32::MAX), -(1 << 40)] {
            let mut bytes = [0; 12];
            put_number(&mut bytes, number_in, true);
            assert_eq!(number(&bytes), Some(number_in));
        }
        let mut bytes = [0; 8];
        put_number(&mut bytes, -5, false);
        assert_eq!(number(&bytes), Some(0));
        put_number(&mut bytes, 1 << 40, false);
        assert_eq!(number(&bytes), Some(0o777_7777));
        for (text, expected) in [
            (&b"   17 \0 "[..], Some(0o17)),
            (b"\0\0\0", Some(0)),
            (b"9\0", None),
            (b"-7\0", None),
            (b"\x90\x01", None),
        ] {
            assert_eq!(number(text), expected, "{text:?}");
        }
    }

    #[test]
    fn long_paths_are_split_at_a_slash() {
        assert_eq!(split(&[b'a'; 100]), Some((&[][..], &[b'a'; 100][..])));
        assert_eq!(split(&[b'a'; 101]), None);
        let path = [&[b'd'; 155][..], b"/", &[b'f'; 100]].concat();
        assert_eq!(split(&path), Some((&[b'd'; 155][..], &[b'f'; 100][..])));
        assert_eq!(split(&[&path[..], b"x"].concat()), None);
        assert_eq!(split(&[&[b'd'; 120][..], b"/"].concat()), None, "no name is left");
    }
}

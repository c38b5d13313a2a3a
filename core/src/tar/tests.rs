//! Members both ways, and streams that are damaged or made by an enemy.

use proptest::prelude::*;

use super::header::encode;
use super::pax::Records;
use super::{BLOCK_BYTES, Format, Kind, Member, Piece, TarReader, TarWriter};
use crate::error::{ErrorKind, Result};

/// Members with everything there is, and their content (data only).
fn members(format: Format) -> Vec<(Member, Vec<u8>)> {
    let file = |path: &[u8], content: &[u8]| {
        let mut member = Member::new(path.to_vec(), Kind::File);
        (member.mode, member.size) = (0o4755, content.len() as u64);
        (member.user, member.group) = (b"joe".to_vec(), b"users".to_vec());
        (member, content.to_vec())
    };
    let mut all = vec![file(b"plain", b"content"), file(b"empty", b""), file(&[b'n'; 300], &[7; 1024])];
    for (kind, target) in [(Kind::Symlink, &b"../there"[..]), (Kind::HardLink, &[b't'; 200]), (Kind::Fifo, b"")] {
        let mut member = Member::new(format!("{kind:?}").into_bytes(), kind);
        member.target = target.to_vec();
        all.push((member, Vec::new()));
    }
    let mut device = Member::new(b"device".to_vec(), Kind::BlockDevice);
    device.device = (259, 1_000_000);
    let mut directory = Member::new(b"d/".to_vec(), Kind::Directory);
    (directory.uid, directory.gid) = (3_000_000, u64::from(u32::MAX));
    directory.modified = (-3_000_000_000, 0);
    all.extend([(device, Vec::new()), (directory, Vec::new())]);
    if format == Format::Pax {
        let (mut rich, content) = file(b"na\xefve\nname", &[1; 600]);
        rich.attributes.insert(b"user.x".to_vec(), b"\0\n\xff=".to_vec());
        rich.attributes.insert(b"user.empty".to_vec(), Vec::new());
        rich.access_acl = Some(b"user::rw-,user:7:r--,group::r--,mask::r--,other::---".to_vec());
        rich.flags = b"nodump".to_vec();
        (rich.modified, rich.born, rich.accessed) = ((1, 500_000_000), Some((-1, 1)), Some((9, 9)));
        rich.user = vec![b'u'; 60];
        all.push((rich, content));
        let (mut sparse, content) = file(&[b's'; 150], &[5; 700]);
        sparse.size = 1 << 40;
        sparse.data = Some(vec![(512, 600), (1 << 30, 100)]);
        all.push((sparse, content));
    }
    all
}

fn written(format: Format, members: &[(Member, Vec<u8>)]) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new(), format);
    for (member, content) in members {
        writer.member(member).unwrap();
        for part in content.chunks(333) {
            writer.content(part).unwrap();
        }
    }
    writer.finish().unwrap()
}

/// All members and their data.
fn read(bytes: &[u8], ignore_zeros: bool) -> Result<Vec<(Member, Vec<u8>)>> {
    let mut reader = TarReader::new(bytes, ignore_zeros);
    let mut all = Vec::new();
    let mut buffer = [0; 100];
    while let Some(member) = reader.next_member()? {
        let (mut content, mut position) = (Vec::new(), 0u64);
        loop {
            match reader.read(&mut buffer)? {
                Piece::Data(count) => {
                    content.extend_from_slice(&buffer[..count]);
                    position += count as u64;
                }
                Piece::Hole(count) => position += count,
                Piece::End => break,
            }
        }
        assert_eq!(position, member.size);
        all.push((member, content));
    }
    Ok(all)
}

#[test]
fn members_both_ways() {
    for format in [Format::Pax, Format::Gnu] {
        let members = members(format);
        let bytes = written(format, &members);
        assert!(bytes.len().is_multiple_of(20 * BLOCK_BYTES));
        assert_eq!(read(&bytes, false).unwrap(), members, "{format:?}");
        let twice = [&bytes[..], &bytes].concat();
        assert_eq!(read(&twice, false).unwrap().len(), members.len(), "the end is the end");
        assert_eq!(read(&twice, true).unwrap().len(), 2 * members.len());
    }
}

#[test]
fn a_long_path_with_a_slash_where_it_is_cut_is_that_of_a_file() {
    // Its parts are too long for a prefix and a name, and the hundredth byte is a slash.
    let path = [&[b'd'; 99][..], b"/", &[b'f'; 120]].concat();
    let directory = Member::new([&path[..], b"/"].concat(), Kind::Directory);
    let mut file = Member::new(path, Kind::File);
    file.size = 7;
    let members = [(directory, Vec::new()), (file, b"content".to_vec())];
    for format in [Format::Pax, Format::Gnu] {
        assert_eq!(read(&written(format, &members), false).unwrap(), members, "{format:?}");
    }
}

#[test]
fn content_that_is_not_read_is_passed_over() {
    let members = members(Format::Pax);
    let bytes = written(Format::Pax, &members);
    let mut reader = TarReader::new(&bytes[..], false);
    let mut paths = Vec::new();
    while let Some(member) = reader.next_member().unwrap() {
        let _ = reader.read(&mut [0; 3]).unwrap();
        paths.push(member.path);
    }
    assert_eq!(paths, members.into_iter().map(|(member, _)| member.path).collect::<Vec<_>>());
}

#[test]
fn a_stream_that_is_cut_is_an_error() {
    for format in [Format::Pax, Format::Gnu] {
        let bytes = written(format, &members(format));
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() / BLOCK_BYTES * BLOCK_BYTES + BLOCK_BYTES;
        // A stream may end without its last blocks, between two members; nothing else.
        let whole: Vec<usize> =
            (0..=end).filter_map(|length| read(&bytes[..length], false).ok().map(|some| some.len())).collect();
        assert_eq!(whole, (1..=members(format).len()).collect::<Vec<_>>());
        let error = read(&bytes[..1000], false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(read(b"", false).unwrap_err().context("reason"), Some("the stream is empty"));
    let noise = [b'x'; 1024];
    assert!(read(&noise, false).unwrap_err().context("reason").unwrap().starts_with("not a tar archive"));
}

/// A stream of one member with a PAX header of these records.
fn with_records(records: &[u8]) -> Vec<u8> {
    let header = Member::new(b"x".to_vec(), Kind::Other(b'x'));
    let mut bytes = encode(&header, b'x', records.len() as u64, false).to_vec();
    bytes.extend_from_slice(records);
    bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES), 0);
    bytes.extend_from_slice(&encode(&Member::new(b"f".to_vec(), Kind::File), b'0', 0, false));
    bytes
}

#[test]
fn lengths_are_not_believed() {
    for size in [u64::MAX, 1 << 63, 1 << 40, 17 << 20] {
        for letter in [b'x', b'g', b'L', b'K'] {
            let header = Member::new(b"x".to_vec(), Kind::Other(letter));
            let error = read(&encode(&header, letter, size, true), false).unwrap_err();
            assert_eq!(error.context("reason"), Some("an extended header is too long"), "{size} {letter}");
        }
        let file = Member::new(b"f".to_vec(), Kind::File);
        assert!(read(&encode(&file, b'0', size, true), false).is_err(), "{size}");
    }
    for pairs in [
        &[("size", "99999999999999999999")][..],
        &[("size", "-1")],
        &[("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0")],
        &[("GNU.sparse.realsize", "1000000"), ("GNU.sparse.map", "5,5,1")],
        &[("GNU.sparse.realsize", "4"), ("GNU.sparse.map", "2,4")],
        &[("GNU.sparse.realsize", "40"), ("GNU.sparse.map", "8,4,2,4")],
        &[("mtime", "now")],
        &[("uid", "x")],
    ] {
        let mut records = Records::default();
        pairs.iter().for_each(|(key, value)| records.put(key.as_bytes(), value.as_bytes()));
        let error = read(&with_records(records.bytes()), false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{pairs:?}");
    }
    let mut fine = Records::default();
    fine.put(b"mtime", b"7");
    assert_eq!(read(&with_records(fine.bytes()), false).unwrap()[0].0.modified, (7, 0));
}

#[test]
fn headers_together_have_a_bound_and_leave_what_is_not_understood() {
    let header = |letter: u8, key: &str, value: &[u8]| {
        let mut records = Records::default();
        records.put(key.as_bytes(), value);
        let member = Member::new(b"x".to_vec(), Kind::Other(letter));
        let mut bytes = encode(&member, letter, records.bytes().len() as u64, false).to_vec();
        bytes.extend_from_slice(records.bytes());
        bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES), 0);
        bytes
    };
    let file = encode(&Member::new(b"f".to_vec(), Kind::File), b'0', 0, false);
    let value = vec![b'v'; 6 << 20];
    for letter in [b'x', b'g'] {
        let headers =
            |key: &str| (0..3).flat_map(|n| header(letter, &format!("{key}.{n}"), &value)).collect::<Vec<_>>();
        let error = read(&[&headers("SCHILY.xattr.user")[..], &file].concat(), false).unwrap_err();
        assert_eq!(error.context("reason"), Some("PAX headers are too long together"), "{letter}");
        let fine = [&headers("comment")[..], &file].concat();
        assert_eq!(read(&fine, false).unwrap(), [(Member::new(b"f".to_vec(), Kind::File), Vec::new())], "{letter}");
    }
    // What is said of one member counts for that one only, and before what is said of all.
    let parts = [&header(b'x', "uid", b"7")[..], &header(b'g', "uid", b"8"), &file, &file];
    let uids: Vec<u64> = read(&parts.concat(), false).unwrap().iter().map(|(member, _)| member.uid).collect();
    assert_eq!(uids, [7, 8]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_stream_is_a_panic(position: prop::sample::Index, bit in 0u8..8, gnu: bool) {
        let format = if gnu { Format::Gnu } else { Format::Pax };
        let mut bytes = written(format, &members(format));
        let position = position.index(bytes.len());
        bytes[position] ^= 1 << bit;
        let _ = read(&bytes, true);
        // As an enemy would do it: with sums that are right.
        for block in bytes.chunks_exact_mut(BLOCK_BYTES) {
            let sum: u32 = block[..148].iter().chain(&block[156..]).map(|byte| u32::from(*byte)).sum::<u32>() + 256;
            if block.iter().any(|byte| *byte != 0) && block[257..262] == *b"ustar" {
                block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
        }
        let _ = read(&bytes, true);
    }
}

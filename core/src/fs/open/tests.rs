//! Source files: holes, changes while reading, and what is no regular file.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::*;
use crate::clock::Timestamp;
use crate::fs::source::SourceDirectory;

struct Place {
    directory: tempfile::TempDir,
    file: File,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = File::create_new(directory.path().join("file")).unwrap();
        Self { directory, file }
    }

    fn open(&self) -> SourceFile {
        let directory = SourceDirectory::open(self.directory.path()).unwrap();
        let stat = directory.stat(b"file").unwrap();
        directory.open_file(b"file", &stat).unwrap()
    }
}

#[derive(Debug, PartialEq)]
enum Part {
    Data(u64),
    Hole(u64),
}

/// All parts with neighbours of the same kind joined, and the content of the data parts.
fn parts(file: &mut SourceFile, buffer: usize) -> (Vec<Part>, Vec<u8>) {
    let (mut parts, mut content, mut buffer) = (Vec::new(), Vec::new(), vec![0; buffer]);
    loop {
        match file.next(&mut buffer).unwrap() {
            SourceRead::Data(bytes) => {
                content.extend_from_slice(&buffer[..bytes]);
                match parts.last_mut() {
                    Some(Part::Data(before)) => *before += bytes as u64,
                    _ => parts.push(Part::Data(bytes as u64)),
                }
            }
            SourceRead::Hole(bytes) => {
                assert!(!matches!(parts.last(), Some(Part::Hole(_))), "a hole comes in one piece");
                parts.push(Part::Hole(bytes));
            }
            SourceRead::End => return (parts, content),
        }
    }
}

const K64: u64 = 64 << 10;
const TIB: u64 = 1 << 40;

/// Writes 64 KiB of data at each of `data` and makes the file `size` long.
fn sparse(data: &[u64], size: u64) -> Place {
    let place = Place::new();
    for offset in data {
        place.file.write_all_at(&[1; K64 as usize], *offset).unwrap();
    }
    place.file.set_len(size).unwrap();
    // Some file systems tell holes exactly only after data has its place.
    place.file.sync_all().unwrap();
    place
}

#[test]
fn a_dense_file_is_data() {
    let place = sparse(&[0, K64], 2 * K64);
    for buffer in [1000, 1 << 20] {
        let (found, content) = parts(&mut place.open(), buffer);
        assert_eq!(found, [Part::Data(2 * K64)]);
        assert_eq!(content, vec![1; 2 * K64 as usize]);
    }
}

#[test]
fn an_empty_file_is_nothing() {
    assert_eq!(parts(&mut sparse(&[], 0).open(), 10).0, []);
}

#[test]
fn holes_are_exact_wherever_they_are() {
    use Part::{Data, Hole};
    let cases: [(&[u64], u64, Vec<Part>); 6] = [
        (&[4 * K64], 5 * K64, vec![Hole(4 * K64), Data(K64)]),
        (&[0, 4 * K64], 5 * K64, vec![Data(K64), Hole(3 * K64), Data(K64)]),
        (&[0], 5 * K64 + 1, vec![Data(K64), Hole(4 * K64 + 1)]),
        (&[], 5 * K64 + 1, vec![Hole(5 * K64 + 1)]),
        (&[], 1, vec![Hole(1)]),
        (&[K64, 3 * K64], 5 * K64, vec![Hole(K64), Data(K64), Hole(K64), Data(K64), Hole(K64)]),
    ];
    for (data, size, expected) in cases {
        let (found, content) = parts(&mut sparse(data, size).open(), 5000);
        assert_eq!(found, expected);
        assert!(content.iter().all(|byte| *byte == 1));
    }
}

/// Two take turns: each goes on where the other is.
#[test]
fn another_opening_goes_on_anywhere() {
    let place = sparse(&[K64, 2 * K64, 5 * K64], 7 * K64);
    let (mut files, mut position, mut read) = ([place.open(), place.open()], 0, Vec::new());
    let mut buffer = [0; 30_000];
    for turn in 0.. {
        let file = &mut files[turn % 2];
        file.move_to(position);
        let next = file.next(&mut buffer).unwrap();
        match next {
            SourceRead::Data(bytes) => position += bytes as u64,
            SourceRead::Hole(bytes) => position += bytes,
            SourceRead::End => break,
        }
        read.push((next, position));
    }
    let mut holes = read.iter().filter(|(read, _)| matches!(read, SourceRead::Hole(_))).map(|(_, end)| *end);
    assert_eq!((position, [(); 3].map(|()| holes.next())), (7 * K64, [Some(K64), Some(5 * K64), Some(7 * K64)]));
    assert_eq!((holes.next(), read.len()), (None, 3 + 5 + 3), "{read:?}");
}

#[test]
fn a_file_of_sixteen_tebibytes_costs_nothing() {
    let size = 16 * TIB - (1 << 20);
    let place = sparse(&[8 * TIB], size);
    let expected = [Part::Hole(8 * TIB), Part::Data(K64), Part::Hole(size - 8 * TIB - K64)];
    assert_eq!(parts(&mut place.open(), 1 << 20).0, expected);
}

#[test]
fn reading_without_regard_to_holes_gives_zeros() {
    let place = sparse(&[K64], 3 * K64);
    let (mut file, mut content, mut buffer) = (place.open(), Vec::new(), [0; 5000]);
    loop {
        match file.read(&mut buffer).unwrap() {
            0 => break,
            bytes => content.extend_from_slice(&buffer[..bytes]),
        }
    }
    let expected = [vec![0; K64 as usize], vec![1; K64 as usize], vec![0; K64 as usize]].concat();
    assert!(content == expected);
}

#[test]
fn a_file_that_grows_is_read_to_the_size_it_had() {
    for data in [&[0][..], &[]] {
        let place = sparse(data, K64);
        let mut file = place.open();
        place.file.set_len(3 * K64).unwrap();
        place.file.write_all_at(&[2; K64 as usize], 2 * K64).unwrap();
        let (found, _) = parts(&mut file, 1 << 20);
        assert_eq!(
            found
                .iter()
                .map(|part| match part {
                    Part::Data(n) | Part::Hole(n) => *n,
                })
                .sum::<u64>(),
            K64
        );
        assert_eq!((file.opened().size, file.stat().unwrap().size), (K64, 3 * K64));
    }
}

#[test]
fn a_file_that_shrinks_ends_early_and_shows_it() {
    for data in [&[0, K64, 2 * K64][..], &[]] {
        let place = sparse(data, 3 * K64);
        let mut file = place.open();
        place.file.set_len(10).unwrap();
        let (found, _) = parts(&mut file, 1 << 20);
        assert_eq!(
            found
                .iter()
                .map(|part| match part {
                    Part::Data(n) | Part::Hole(n) => *n,
                })
                .sum::<u64>(),
            10
        );
        assert_eq!((file.opened().size, file.stat().unwrap().size), (3 * K64, 10));
    }
}

#[test]
fn a_change_while_reading_shows_in_the_time_of_change() {
    let place = sparse(&[0], K64);
    let file = place.open();
    assert_eq!(file.stat().unwrap().changed, file.opened().changed);
    // A time far from now, so that no clock is too coarse.
    place.file.set_modified(std::time::UNIX_EPOCH).unwrap();
    let now = file.stat().unwrap();
    assert_eq!(now.modified, Timestamp::new(0, 0));
    assert_ne!(now.modified, file.opened().modified);
}

#[test]
fn attributes_come_from_the_open_file() {
    if !crate::fs::testing::attributes_work() {
        return;
    }
    let place = Place::new();
    platform::set_attribute(Subject::Open(place.file.as_fd()), b"user.a", b"1").unwrap();
    let file = place.open();
    std::fs::remove_file(place.directory.path().join("file")).unwrap();
    assert_eq!(file.attributes(AttributeOptions::default()).unwrap().0.len(), 1);
}

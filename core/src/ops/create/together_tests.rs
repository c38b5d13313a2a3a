//! Whoever comes when, and whatever becomes of the others: each gets what is in the files, and they are read once.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use super::*;

/// What a file consists of.
#[derive(Clone, Debug, PartialEq)]
enum Part {
    Data(Vec<u8>),
    Hole(u64),
}

/// A file of which is counted how much of it was read.
struct File {
    parts: Vec<Part>,
    read: AtomicU64,
}

impl File {
    fn new(parts: Vec<Part>) -> Self {
        Self { parts, read: AtomicU64::new(0) }
    }

    fn size(&self) -> u64 {
        self.parts.iter().map(|part| if let Part::Data(bytes) = part { bytes.len() as u64 } else { hole(part) }).sum()
    }

    fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

fn hole(part: &Part) -> u64 {
    if let Part::Hole(bytes) = part { *bytes } else { 0 }
}

/// One opened by somebody.
struct Open<'a> {
    file: &'a File,
    position: u64,
    /// Where reading fails.
    fails_at: u64,
}

impl<'a> Open<'a> {
    fn new(file: &'a File) -> Self {
        Self { file, position: 0, fails_at: u64::MAX }
    }
}

impl Input for Open<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<Read> {
        if self.position >= self.fails_at {
            return Err(Error::new(ErrorKind::Io, "test"));
        }
        let mut before = self.position;
        for part in &self.file.parts {
            let read = match part {
                Part::Data(bytes) if before < bytes.len() as u64 => {
                    let rest = &bytes[before as usize..];
                    let count = rest.len().min(buffer.len());
                    buffer[..count].copy_from_slice(&rest[..count]);
                    Read::Data(count)
                }
                Part::Hole(bytes) if before < *bytes => Read::Hole(bytes - before),
                Part::Data(bytes) => {
                    before -= bytes.len() as u64;
                    continue;
                }
                Part::Hole(bytes) => {
                    before -= bytes;
                    continue;
                }
            };
            let count = match read {
                Read::Data(count) => count as u64,
                Read::Hole(count) => count,
                Read::End => 0,
            };
            self.position += count;
            self.file.read.fetch_add(count, Ordering::Relaxed);
            return Ok(read);
        }
        Ok(Read::End)
    }

    fn move_to(&mut self, offset: u64) {
        self.position = offset;
    }
}

/// Reads all of `input` by pieces of so many bytes; `before` is called before each, and ends it by false.
fn drain(input: &mut dyn Input, piece: usize, mut before: impl FnMut() -> bool) -> Result<Vec<Part>> {
    let (mut parts, mut buffer) = (Vec::new(), vec![0; piece]);
    while before() {
        match (input.read(&mut buffer)?, parts.last_mut()) {
            (Read::End, _) => break,
            (Read::Data(bytes), Some(Part::Data(data))) => data.extend_from_slice(&buffer[..bytes]),
            (Read::Data(bytes), _) => parts.push(Part::Data(buffer[..bytes].to_vec())),
            (Read::Hole(bytes), Some(Part::Hole(hole))) => *hole += bytes,
            (Read::Hole(bytes), _) => parts.push(Part::Hole(bytes)),
        }
    }
    Ok(parts)
}

fn identity(number: u64) -> Identity {
    let time = Timestamp::new(0, 0);
    Identity::File { device: 1, inode: number, size: 0, modified: time, changed: time }
}

fn text(bytes: &[u8]) -> File {
    File::new(vec![Part::Data(bytes.to_vec())])
}

fn whole(member: &Member, number: u64, file: &File) -> Vec<Part> {
    drain(&mut member.read(identity(number), &mut Open::new(file)), 4, || true).unwrap()
}

/// Somebody who hangs must not hang this.
fn unless_stuck(what: impl FnOnce() + Send + 'static) {
    let (done, told) = channel();
    let run = std::thread::spawn(move || {
        what();
        drop(done);
    });
    assert_ne!(told.recv_timeout(Duration::from_secs(120)), Err::<(), _>(RecvTimeoutError::Timeout), "it is stuck");
    run.join().unwrap();
}

#[test]
fn what_one_has_read_the_others_have() {
    unless_stuck(|| {
        let file = File::new(vec![Part::Data(b"abcdefghi".to_vec()), Part::Hole(7), Part::Data(b"z".to_vec())]);
        let [first, second, third] = <[Member; 3]>::try_from(together(3)).unwrap();
        for member in [&first, &second] {
            member.come_to(b"d/file");
            assert_eq!(whole(member, 1, &file), file.parts);
        }
        assert_eq!(file.read(), file.size());
        assert!(first.group.lock().kept > 9, "for the third");
        third.come_to(b"d.file");
        assert!(first.group.lock().kept == 0 && first.group.lock().readings.is_empty(), "it has passed d/file");
        // what nobody else wants is not kept
        first.come_to(b"e");
        drop((second, third));
        let mut input = Open::new(&file);
        let mut alone = first.read(identity(2), &mut input);
        assert_eq!(alone.read(&mut [0; 4]).unwrap(), Read::Data(4));
        assert_eq!(first.group.lock().kept, OVERHEAD_BYTES + 1);
    });
}

#[test]
fn another_file_under_the_same_path_is_read_for_itself() {
    unless_stuck(|| {
        let (one, other) = (text(b"one"), text(b"other"));
        let [first, second, third] = <[Member; 3]>::try_from(together(3)).unwrap();
        for member in [&first, &second, &third] {
            member.come_to(b"file");
        }
        assert_eq!(whole(&first, 1, &one), one.parts);
        assert_eq!(whole(&second, 2, &other), other.parts);
        assert_eq!(whole(&third, 1, &one), one.parts);
        assert_eq!((one.read(), other.read(), first.group.lock().kept), (3, 5, 0));
    });
}

#[test]
fn an_error_is_that_of_the_one_who_met_it() {
    unless_stuck(|| {
        let file = text(b"abcdefghi");
        let [first, second] = <[Member; 2]>::try_from(together(2)).unwrap();
        let mut broken = Open { fails_at: 4, ..Open::new(&file) };
        first.come_to(b"file");
        assert_eq!(drain(&mut first.read(identity(1), &mut broken), 4, || true).unwrap_err().operation(), "test");
        second.come_to(b"file");
        assert_eq!(whole(&second, 1, &file), file.parts);
        assert_eq!(file.read(), 9);
    });
}

#[test]
fn a_stream_that_breaks_off_is_whole_for_nobody() {
    unless_stuck(|| {
        let file = text(b"abcdefghi");
        let stream = super::super::InTurns::new(Open { fails_at: 4, ..Open::new(&file) });
        let [first, second] = <[Member; 2]>::try_from(together(2)).unwrap();
        for (member, told) in [(&first, "test"), (&second, "read stream")] {
            member.come_to(b"stdin");
            let read = drain(&mut member.read(Identity::Stream, &mut &stream), 4, || true);
            assert_eq!(read.unwrap_err().operation(), told);
        }
    });
}

#[test]
fn nothing_is_newer_than_the_first_beginning() {
    let [first, second] = <[Member; 2]>::try_from(together(2)).unwrap();
    assert_eq!(first.begin(Timestamp::new(5, 0)), Timestamp::new(5, 0));
    assert_eq!(second.begin(Timestamp::new(9, 0)), Timestamp::new(5, 0));
    assert_eq!(second.begin(Timestamp::new(2, 0)), Timestamp::new(2, 0));
}

#[derive(Clone)]
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

const WINDOW: usize = 16 * 1024;
const PIECE: u64 = 2048;

/// Paths in the order of the walk, and what is there: one file, or two of which some see one and some the other.
struct Tree(Vec<(String, Vec<File>)>);

impl Tree {
    fn random(random: &mut Random) -> Self {
        let mut paths: Vec<String> = (0..1 + random.below(60))
            .map(|number| match number % 3 {
                0 => format!("d{}", random.below(30)),
                1 => format!("d{}/f{number}", random.below(30)),
                _ => format!("d{}.{number}", random.below(30)),
            })
            .collect();
        paths.sort_by(|one, other| one.split('/').cmp(other.split('/')));
        paths.dedup();
        let mut file = |path: String| {
            let kinds = 1 + u64::from(random.below(8) == 0);
            let files = (0..kinds).map(|_| File::new(Self::parts(random)));
            (path, files.collect())
        };
        Self(paths.into_iter().map(&mut file).collect())
    }

    fn parts(random: &mut Random) -> Vec<Part> {
        let bytes = match random.below(6) {
            0 => return Vec::new(),
            1 => 1,
            2 => 2 * WINDOW as u64,
            _ => random.below(3 * PIECE),
        };
        let data: Vec<u8> = (0..bytes.max(1)).map(|_| random.below(256) as u8).collect();
        match random.below(4) {
            0 => vec![Part::Hole(1 + random.below(1 << 40)), Part::Data(data), Part::Hole(9)],
            1 => vec![Part::Data(data.clone()), Part::Hole(5), Part::Data(data)],
            _ => vec![Part::Data(data)],
        }
    }
}

/// One walks the tree as chance has it. Tells by number of path and kind what it has got whole.
fn walk(member: Member, tree: &Tree, mut random: Random, count: usize) -> HashMap<(usize, usize), Vec<Part>> {
    let mut got = HashMap::new();
    let (eagerness, hurry) = (1 + random.below(4), 1 + random.below(200));
    let (piece, mut life) =
        (1 + random.below(PIECE) as usize, if random.below(3) == 0 { random.below(100) } else { u64::MAX });
    for (number, (path, files)) in tree.0.iter().enumerate() {
        member.come_to(path.as_bytes());
        if random.below(eagerness) > 0 {
            continue;
        }
        let kind = random.below(files.len() as u64) as usize;
        let fails_at = if random.below(20) == 0 { random.below(3 * PIECE) } else { u64::MAX };
        let mut open = Open { fails_at, ..Open::new(&files[kind]) };
        let mut shared = member.read(identity((number * 2 + kind) as u64), &mut open);
        let mut dead = false;
        let read = drain(&mut shared, piece, || {
            let kept = member.group.lock().kept;
            assert!(kept <= WINDOW + count * (PIECE as usize + 2 * OVERHEAD_BYTES + 16), "{kept}");
            if random.below(hurry) == 0 {
                std::thread::sleep(Duration::from_micros(random.below(100)));
            }
            life = life.saturating_sub(1);
            dead = life == 0;
            !dead
        });
        assert!(!dead || random.below(2) == 0, "it dies in panic");
        match read {
            _ if dead => return got,
            Ok(parts) => drop(got.insert((number, kind), parts)),
            Err(error) => assert_eq!(error.operation(), "test"),
        }
    }
    got
}

fn run(seed: u64) {
    let mut random = Random(seed);
    let tree = Tree::random(&mut random);
    let count = 2 + random.below(3) as usize;
    let members = within(count, WINDOW);
    let group = Arc::clone(&members[0].group);
    let got: Vec<_> = std::thread::scope(|scope| {
        let tree = &tree;
        let start = |member| {
            let random = Random(random.below(u64::MAX));
            scope.spawn(move || std::panic::catch_unwind(AssertUnwindSafe(|| walk(member, tree, random, count))))
        };
        let runs: Vec<_> = members.into_iter().map(start).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    for panic in got.iter().filter_map(|got| got.as_ref().err()) {
        let message = panic.downcast_ref::<&str>();
        assert_eq!(message, Some(&"it dies in panic"), "{seed}: {:?}", panic.downcast_ref::<String>());
    }
    for (number, (path, files)) in tree.0.iter().enumerate() {
        for (kind, file) in files.iter().enumerate() {
            let mut had = got.iter().flatten().filter_map(|got| got.get(&(number, kind))).peekable();
            let whole = had.peek().is_some();
            assert!(had.all(|parts| *parts == file.parts), "{seed}: {path}");
            assert!(file.read() <= file.size(), "{seed}: {path} is read twice");
            assert!(!whole || file.read() == file.size(), "{seed}: {path}");
        }
    }
    let state = group.lock();
    assert_eq!((state.kept, state.full, state.readings.len()), (0, false, 0), "{seed}");
}

#[test]
fn whatever_happens_when_all_end_with_the_content() {
    let seeds = std::env::var("GABION_TEST_SCHEDULES").ok().and_then(|count| count.parse().ok()).unwrap_or(400);
    (0..seeds).step_by(100).for_each(|first| unless_stuck(move || (first..seeds.min(first + 100)).for_each(run)));
}

/// However much at once is asked for, as for a file of a single long chunk.
#[test]
fn no_block_is_longer_than_what_an_archive_may_exceed_the_window_by() {
    let file = File::new(vec![Part::Data(vec![7; 3 * MIB])]);
    let [first, _second] = <[Member; 2]>::try_from(together(2)).unwrap();
    first.come_to(b"file");
    let mut opened = Open::new(&file);
    let mut buffer = vec![0; 3 * MIB];
    let read = first.read(Identity::Stream, &mut opened).read(&mut buffer).unwrap();
    assert_eq!(read, Read::Data(MIB));
}

//! What a place costs the program: `cargo bench -p gabion --bench stores -- latency`, `parity`, or `scrub`.
//!
//! Each line is the median of three rounds (`GABION_BENCH_ROUNDS`) over one gigabyte (`GABION_BENCH_MB`). Nothing is
//! judged: times are those of this machine at this moment.

#![expect(clippy::unwrap_used, reason = "a benchmark that can not be set up ends")]

mod program;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use gabion_tests::Random;
use gabion_tests::servers::{self, Fault, Proxy, S3Server};

use program::{gabion, median, number, rounds, wanted};

/// What is added to every request.
const LATENCY: Duration = Duration::from_millis(50);
const FILE_BYTES: usize = 4_000_000;

fn main() {
    if wanted("latency") {
        latency();
    }
    if wanted("parity") {
        parity();
    }
    if wanted("scrub") {
        scrub();
    }
}

/// How well files compress.
#[derive(Clone, Copy)]
enum Content {
    /// Not at all.
    Noise,
    /// To about a third: words in random order.
    Words,
}

fn content(random: &mut Random, kind: Content) -> Vec<u8> {
    match kind {
        Content::Noise => random.bytes(FILE_BYTES),
        Content::Words => {
            let words: Vec<Vec<u8>> =
                (0..2000).map(|number| format!("word{:x} ", number * 7919).into_bytes()).collect();
            let mut out = Vec::with_capacity(FILE_BYTES + 16);
            while out.len() < FILE_BYTES {
                out.extend_from_slice(&words[random.below(words.len() as u64) as usize]);
            }
            out
        }
    }
}

/// Files of all the megabytes that are asked for.
fn tree(place: &Path, kind: Content) {
    let mut random = Random::new(7);
    fs::create_dir(place).unwrap();
    for file in 0..number("GABION_BENCH_MB", 1000) * 1_000_000 / FILE_BYTES {
        fs::write(place.join(file.to_string()), content(&mut random, kind)).unwrap();
    }
}

/// What something took, in seconds: on the clock, and of the processors.
#[derive(Clone, Copy)]
struct Took {
    wall: f64,
    processor: f64,
}

impl Took {
    fn of(work: impl FnOnce()) -> Self {
        let (began, before) = (Instant::now(), of_children());
        work();
        Self { wall: began.elapsed().as_secs_f64(), processor: of_children() - before }
    }
}

/// Processor time of all programs that have ended.
fn of_children() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let ticks = stat.rsplit(')').next().unwrap().split_whitespace().skip(13).take(2);
    ticks.map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

/// The medians of two things that are measured in turn.
fn medians(mut one: impl FnMut() -> Took, mut other: impl FnMut() -> Took) -> (Took, Took) {
    let (ones, others): (Vec<Took>, Vec<Took>) = (0..rounds()).map(|_| (one(), other())).unzip();
    (middle(&ones), middle(&others))
}

fn middle(all: &[Took]) -> Took {
    let of = |figure: fn(&Took) -> f64| median(all.iter().map(figure).collect());
    Took { wall: of(|took| took.wall), processor: of(|took| took.processor) }
}

/// What a first backup into a repository that `place` names takes.
fn create(source: &Path, place: impl Fn(&Path) -> String) -> Took {
    let directory = tempfile::tempdir().unwrap();
    let repository = place(directory.path());
    gabion(directory.path(), &repository, &["repo-create"]);
    // What was written before is not this round's business.
    assert!(Command::new("sync").status().unwrap().success());
    Took::of(|| gabion(directory.path(), &repository, &["create", "archive", source.to_str().unwrap()]))
}

/// New data into a bucket, with and without a long way to it.
fn latency() {
    let source = tempfile::tempdir().unwrap();
    let source = source.path().join("tree");
    tree(&source, Content::Noise);
    let through = |fault: Fault| {
        let bucket = tempfile::tempdir().unwrap();
        let server = S3Server::start(bucket.path());
        let proxy = Proxy::start(server.port, move |_| fault);
        create(&source, |_| servers::url(proxy.port, "r"))
    };
    let (near, far) = medians(|| through(Fault::Pass), || through(Fault::Delay(LATENCY)));
    let (near, far) = (near.wall, far.wall);
    println!("create to S3: {near:.2} s, with {LATENCY:?} more per request {far:.2} s, ratio {:.2}", far / near);
}

/// New data with parity, and without.
fn parity() {
    for (kind, word) in [(Content::Words, "compressible"), (Content::Noise, "incompressible")] {
        let place = tempfile::tempdir().unwrap();
        let source = place.path().join("tree");
        tree(&source, kind);
        let at = |layer: &str| create(&source, |place| format!("{layer}{}", place.join("r").display()));
        let (plain, protected) = medians(|| at(""), || at("parity:10%:"));
        let line = |what: &str, plain: f64, protected: f64| {
            println!(
                "create, {word}, {what}: {plain:.2} s, with 10 % parity {protected:.2} s, ratio {:.2}",
                protected / plain
            );
        };
        line("time", plain.wall, protected.wall);
        line("processors", plain.processor, protected.processor);
    }
}

/// A scrub of what is whole and has just been written, so that it is read from memory.
fn scrub() {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("tree");
    tree(&source, Content::Noise);
    let store = |number: u8| place.path().join(format!("store {number}")).display().to_string();
    let six: Vec<String> = (1..=6).map(store).collect();
    let (parity, erasure) = (format!("parity:10%:{}", store(7)), format!("erasure:4+2:{}", six.join(",")));
    for (scheme, repository) in [("plain", store(0)), ("parity 10 %", parity), ("erasure 4+2", erasure)] {
        gabion(place.path(), &repository, &["repo-create"]);
        gabion(place.path(), &repository, &["create", "archive", source.to_str().unwrap()]);
        let bytes = stored(place.path());
        let all: Vec<Took> =
            (0..rounds()).map(|_| Took::of(|| gabion(place.path(), &repository, &["scrub"]))).collect();
        let took = middle(&all);
        let speed = |seconds: f64| bytes as f64 / 1e9 / seconds;
        println!("scrub {scheme}: {:.2} GB/s, {:.2} GB/s per core that works", speed(took.wall), speed(took.processor));
        (0..8).for_each(|number| drop(fs::remove_dir_all(store(number))));
    }
}

/// Bytes of all stores below a place.
fn stored(place: &Path) -> u64 {
    let entries = fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path());
    let stores = entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("store "));
    stores.map(|store| bytes_below(&store)).sum()
}

fn bytes_below(path: &Path) -> u64 {
    match path.is_dir() {
        true => fs::read_dir(path).unwrap().map(|entry| bytes_below(&entry.unwrap().path())).sum(),
        false => path.metadata().unwrap().len(),
    }
}

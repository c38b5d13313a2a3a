//! Listening to an operation: a monitor that tells what becomes of each file, and how far the work is.
//!
//! `cargo run -p gabion-examples --example progress`

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gabion_core::backend::{MemoryBackend, Store};
use gabion_core::clock::SystemClock;
use gabion_core::monitor::{Counters, Event, Monitor};
use gabion_core::ops::create::{CreateOptions, Input, Plan, Wanted, create};
use gabion_core::repository::{Client, NewRepository, Repository};

/// Prints what it hears. Events come from several threads, so what it needs is atomic or locked.
#[derive(Default)]
struct Printer {
    counters: Counters,
    stop: AtomicBool,
}

impl Monitor for Printer {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::File { status, path } => {
                let bytes = Counters::get(&self.counters.bytes);
                println!("{:12} {} ({bytes} bytes so far)", format!("{status:?}"), path.escape_ascii());
            }
            Event::Warning { warning, path, error } => {
                println!("warning: {warning:?} {}: {error}", path.escape_ascii());
            }
            Event::Checkpoint => println!("a checkpoint: all of this survives a crash"),
            // Later versions may tell more.
            _ => {}
        }
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Asked between two items: a signal handler would set `stop`.
    fn interrupted(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = tempfile::tempdir()?;
    let folder = place.path().join("./folder");
    fs::create_dir(&folder)?;
    for number in 0..3 {
        fs::write(folder.join(format!("{number}.txt")), "content ".repeat(1000 * (number + 1)))?;
    }
    let store = Store::new(Arc::new(MemoryBackend::new()))?;
    let repository = Repository::create(store, Client::default(), &NewRepository::plain(), &SystemClock)?;
    let plan = Plan::new([folder.as_path()], Wanted::All);
    let options = CreateOptions { name: "progress".into(), ..CreateOptions::default() };

    // Files that change shortly before a backup begins are read again by the next one.
    for run in ["first", "second"] {
        println!("the {run} run");
        let printer = Printer::default();
        create(&repository, Input::Files(&plan), &options, &SystemClock, &printer)?;
        let (files, new) = (Counters::get(&printer.counters.files), Counters::get(&printer.counters.new_bytes));
        println!("{files} files, {new} new bytes");
    }
    Ok(())
}

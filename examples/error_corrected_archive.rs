//! Three directories that may each be lost, with parity against rot in each: a backup, a disaster, a repair.
//!
//! `cargo run -p gabion-examples --example error_corrected_archive`

use std::fs;
use std::path::Path;

use gabion_backends::scrub::{Options, Task, scrub};
use gabion_backends::{Access, Location, OpenOptions, Opened, open_for_scrub};
use gabion_core::archive::catalog::Catalog;
use gabion_core::backend::Store;
use gabion_core::clock::SystemClock;
use gabion_core::monitor::Silent;
use gabion_core::ops::create::{CreateOptions, Input, Plan, Wanted, create};
use gabion_core::ops::extract::{ExtractOptions, extract};
use gabion_core::repository::{Client, NewRepository, Repository};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

pub(crate) fn main() -> Outcome<()> {
    let place = tempfile::tempdir()?;
    let (source, disks) = (place.path().join("photos"), place.path());
    fs::create_dir(&source)?;
    fs::write(
        source.join("sunset.raw"),
        (0..2_000_000_u32).map(|at| (at.wrapping_mul(at) >> 7) as u8).collect::<Vec<_>>(),
    )?;
    let disk = |number: u32| format!("parity:10%:{}/disk{number}", disks.display());
    let location = Location::parse(&format!("erasure:2+1:{},{},{}", disk(1), disk(2), disk(3)))?;

    let (store, _) = open_set(&location, Access::Create)?;
    let repository = Repository::create(store, Client::default(), &NewRepository::plain(), &SystemClock)?;
    let photos = place.path().join("./photos");
    let plan = Plan::new([photos.as_path()], Wanted::All);
    let options = CreateOptions { name: "photos".into(), ..CreateOptions::default() };
    create(&repository, Input::Files(&plan), &options, &SystemClock, &Silent::new())?;
    drop(repository);

    // One disk is lost, and a sector of every object on another one can not be read any more.
    fs::remove_dir_all(disks.join("disk1"))?;
    spoil(&disks.join("disk2"))?;
    restore(&location, Access::Existing, &source, &place.path().join("first"))?;

    // An empty disk takes the place of the lost one, and everything is repaired.
    let (store, opened) = open_set(&location, Access::Replace(0))?;
    let options = Options { task: Task::Repair, after: None, width: 2, stop: &|| false };
    let done = store.wait_for(scrub(&*opened.scrub, &options, &mut |noted| {
        println!("{:?} {}", noted.examined.state, noted.name);
    }))?;
    println!("{} objects repaired; survives {}", done.repaired, done.survives());
    if done.repaired == 0 || done.lost > 0 || done.spare != Some(1) {
        return Err(format!("not everything was repaired: {done:?}").into());
    }
    drop(store);

    // Now another disk may be lost.
    fs::remove_dir_all(disks.join("disk3"))?;
    restore(&location, Access::Existing, &source, &place.path().join("second"))
}

fn open_set(location: &Location, access: Access) -> Outcome<(Store, Opened)> {
    let opened = open_for_scrub(location, access, &OpenOptions::default())?;
    Ok((Store::new(opened.backend.clone())?, opened))
}

/// Destroys a sector of every file below a directory.
fn spoil(directory: &Path) -> Outcome<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            spoil(&path)?;
        } else {
            let mut bytes = fs::read(&path)?;
            let sector = bytes.len() / 2 / 4096 * 4096;
            bytes[sector..].iter_mut().take(4096).for_each(|byte| *byte = 0xff);
            fs::write(path, bytes)?;
        }
    }
    Ok(())
}

fn restore(location: &Location, access: Access, source: &Path, target: &Path) -> Outcome<()> {
    let (store, opened) = open_set(location, access)?;
    let health = store.wait_for(opened.scrub.health())?;
    health.missing.iter().for_each(|missing| println!("{missing}"));
    let repository = Repository::open(store, Client::default(), &mut |_| Ok(None))?;
    let archive = Catalog::load(&repository)?.archives.pop().ok_or("no archive")?;
    let reader = repository.session()?.reader();
    extract(&reader, &archive.record, target, &ExtractOptions::default(), &Silent::new())?;
    if fs::read(target.join("photos/sunset.raw"))? != fs::read(source.join("sunset.raw"))? {
        return Err("the photo came back differently".into());
    }
    println!("restored equal");
    Ok(())
}

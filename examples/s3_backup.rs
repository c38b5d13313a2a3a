//! A backup in a bucket, with patience, limits and a cache; what it cost is told at the end.
//!
//! `AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=... cargo run -p gabion-examples --example s3_backup -- \
//!  's3://bucket/path?endpoint=http://127.0.0.1:9000' FOLDER`

use std::path::Path;
use std::time::Duration;

use gabion_backends::layer::{CachePlace, RetryOptions, Trace};
use gabion_backends::{Access, Location, OpenOptions, Variables, open};
use gabion_core::backend::Store;
use gabion_core::clock::SystemClock;
use gabion_core::monitor::Silent;
use gabion_core::ops::create::{CreateOptions, Input, Plan, Wanted, create};
use gabion_core::repository::{Client, NewRepository, Repository};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[allow(dead_code, reason = "the test of the examples calls what is below")]
pub(crate) fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, url, folder] = &arguments[..] else { return Err("usage: s3_backup URL FOLDER".into()) };
    // The library reads no environment: credentials are handed in.
    let set = Variables::NAMES.iter().filter_map(|name| Some((*name, std::env::var(name).ok()?)));
    back_up(url, Path::new(folder), set.collect())
}

pub(crate) fn back_up(url: &str, folder: &Path, variables: Variables) -> Outcome<()> {
    let (location, trace) = (Location::parse(url)?, Trace::new());
    let options = OpenOptions {
        connections: Some(8),
        upload_limit: Some(100_000_000),
        retry: RetryOptions { budget: Duration::from_secs(60), ..RetryOptions::default() },
        trace: trace.clone(),
        cache: Some(CachePlace { directory: std::env::temp_dir().join("gabion-example"), bytes_max: 100_000_000 }),
        variables,
        ..OpenOptions::default()
    };
    let store = Store::new(open(&location, Access::Create, &options)?)?;
    // Nothing is encrypted here; `local_backup` shows how it is.
    let repository = Repository::create(store, Client::default(), &NewRepository::plain(), &SystemClock)?;

    let plan = Plan::new([folder], Wanted::All);
    let created = CreateOptions { name: "folder".into(), ..CreateOptions::default() };
    let created = create(&repository, Input::Files(&plan), &created, &SystemClock, &Silent::new())?;
    println!("{} files in {location}", created.record.statistics.files);
    for (method, totals) in trace.stores().iter().flat_map(|store| &store.methods) {
        println!("{:9} {:4} calls {:12} bytes", method.name(), totals.calls, totals.bytes);
    }
    Ok(())
}

//! The engine of Gabion: backups that are cut into chunks, stored once, compressed and encrypted, in any key/value store.
//!
//! An embedder hands in a [`backend::Backend`] (where objects go), a [`repository::Client`] (what this machine keeps),
//! a [`clock::Clock`] and a [`monitor::Monitor`] (who is told), and calls [`ops`]. The engine never prints, reads the
//! environment, or ends the process, and needs no lock: any number of machines may write to one repository at once.
//!
//! ```
//! use std::path::Path;
//! use std::sync::Arc;
//!
//! use gabion_core::backend::{MemoryBackend, Store};
//! use gabion_core::clock::SystemClock;
//! use gabion_core::monitor::Silent;
//! use gabion_core::ops::create::{CreateOptions, Input, Plan, Wanted, create};
//! use gabion_core::ops::list::list;
//! use gabion_core::pattern::Matcher;
//! use gabion_core::repository::{Client, NewRepository, Repository};
//!
//! let store = Store::new(Arc::new(MemoryBackend::new()))?;
//! let repository = Repository::create(store, Client::default(), &NewRepository::plain(), &SystemClock)?;
//!
//! let plan = Plan::new([Path::new("src/lib.rs")], Wanted::All);
//! let options = CreateOptions { name: "source".into(), ..CreateOptions::default() };
//! let created = create(&repository, Input::Files(&plan), &options, &SystemClock, &Silent::new())?;
//!
//! let mut paths = Vec::new();
//! let reader = repository.session()?.reader();
//! list(&reader, &created.record, &Matcher::default(), &Silent::new(), &mut |item| {
//!     paths.push(item.path);
//!     Ok(())
//! })?;
//! assert_eq!(paths, [&b"src"[..], b"src/lib.rs"]);
//! # Ok::<(), gabion_core::error::Error>(())
//! ```
//!
//! # Floors
//!
//! A module imports only from floors below it:
//!
//! | floor | modules | |
//! |--:|---|---|
//! | 7 | [`ops`] | operations |
//! | 6 | [`fs`] | files of the machine |
//! | 5 | [`archive`] | what was backed up |
//! | 4 | [`repository`] | opening, sessions, publishing |
//! | 3 | [`segment`] [`index`] [`gc`] [`borg1`] | bytes at rest |
//! | 2 | [`backend`] | the trait of stores |
//! | 1 | [`chunker`] [`compress`] [`crypto`] [`seal`] [`pattern`] [`tar`] | bytes to bytes |
//! | 0 | [`id`] [`error`] [`codec`] [`limits`] [`clock`] [`monitor`] [`local_state`] [`recent`] | ground |
//!
//! # What a version number promises
//!
//! Semantic versioning covers what an embedder and the author of a store need: [`ops`], [`repository`], [`backend`] with its
//! contract, [`archive::catalog`], [`archive::record`], [`archive::entry`], [`archive::metadata`], [`archive::walk`] and
//! what their fields are made of ([`archive::content`], [`archive::attributes`], [`archive::stat`],
//! [`codec::Extensions`]), [`monitor`], [`error`], [`clock`], [`local_state`], [`id`], [`pattern`], the options of files
//! ([`fs::attributes`], [`fs::stat`], [`fs::restore`], [`fs::users::Users`]), [`chunker::ChunkerParams`],
//! [`chunker::Input`] and [`chunker::Read`], [`compress::Compression`], and of
//! [`crypto`] the suites, id hashes, costs, secrets and key slots. Everything else is public for tools that look into
//! repositories and for tests; it may change with any minor version. The format on disk has its own version, and every
//! release reads what earlier ones wrote.
//!
//! Structs whose names end in `Options`, and [`ops::create::Rules`], are to be filled up with `..Default::default()`
//! (or [`..RestoreOptions::all(users)`](fs::restore::RestoreOptions::all)): a new option is a new field, and counts as
//! no break.
//!
//! # Features
//!
//! `conformance` adds `backend::conformance`, the suite that holds a store to the contract. `simulation` lets a test
//! foresee the randomness of a thread; a program must never enable it.

#![deny(missing_docs)]

pub mod acl;
pub mod archive;
pub mod backend;
pub mod borg1;
pub mod chunker;
pub mod clock;
pub mod codec;
pub mod compress;
pub mod crypto;
pub mod error;
pub mod fs;
pub mod gc;
pub mod id;
pub mod index;
pub mod limits;
pub mod local_state;
pub mod monitor;
pub mod ops;
pub mod pattern;
pub mod recent;
pub mod repository;
pub mod seal;
pub mod segment;
pub mod tar;

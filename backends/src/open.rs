//! From a location to a backend: the one place where stores are chosen and layers are stacked.
//!
//! Each store has layers of its own, from the outside in: `retry`, `limit`, `trace`. So a repetition waits for its
//! turn like any other call, and is counted. Above these is the `parity` of a store; `erasure` holds several of them.
//! Around everything, once, are `ahead` for who only reads, the `cache` and, if the user restricts this client, `permit`.

use std::sync::Arc;

use gabion_core::backend::{Backend, MemoryBackend, Permissions};
use gabion_core::error::{Error, ErrorKind, Result};

use crate::erasure::{Member, Purpose, Split};
#[cfg(any(feature = "redb", feature = "redis"))]
use crate::kv::KvBackend;
#[cfg(feature = "redb")]
use crate::kv::RedbStore;
#[cfg(feature = "redis")]
use crate::kv::RedisStore;
use crate::layer::{
    AheadBackend, Bandwidth, CacheBackend, CachePlace, LimitBackend, Limits, PermitBackend, RetryBackend, RetryOptions,
    Trace, TraceBackend,
};
#[cfg(feature = "s3")]
use crate::object_store::ObjectStoreBackend;
#[cfg(feature = "opendal")]
use crate::opendal::OpendalBackend;
use crate::scrub::{PlainStore, Scrub};
#[cfg(feature = "sftp")]
use crate::sftp::SftpBackend;
use crate::ssh::{SshBackend, SshOptions};
use crate::{ErasureBackend, LocalBackend, Location, ParityBackend, Sharing, Variables};

/// What is expected at a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing yet: a repository is about to be made there.
    Create,
    /// A repository.
    Existing,
    /// A repository in a set of stores; an empty store takes the place of the one of this number, counted from 0.
    Replace(usize),
    /// A repository in a set of stores, which gets the split that is named if it has another one: empty stores behind
    /// those it has join it. Anything else is opened as it is.
    Upgrade,
}

/// A store, and how its objects are examined.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The store, all layers around it.
    pub backend: Arc<dyn Backend>,
    /// What a scrub examines: the layers that have redundancy.
    pub scrub: Arc<dyn Scrub>,
}

/// How stores are treated. The default is patient, unlimited and without a cache.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// Calls under way at the same time, per store; what a store thinks best if `None`.
    pub connections: Option<usize>,
    /// Bytes a second that are sent, to all stores together.
    pub upload_limit: Option<u64>,
    /// Bytes a second that are received, from all stores together.
    pub download_limit: Option<u64>,
    /// How patiently calls are repeated.
    pub retry: RetryOptions,
    /// Hears of every call of every store.
    pub trace: Trace,
    /// Where copies of small objects are kept; only stores that are not of this machine have any.
    pub cache: Option<CachePlace>,
    /// Whether segments are read in large pieces, ahead of what is asked for, where a network is between. For who restores:
    /// what is read may be a little older than the store.
    pub read_ahead: bool,
    /// Whether a put must reach all stores of a set; one more than reading needs otherwise.
    pub require_all_stores: bool,
    /// What this client keeps to by itself; the store may permit less.
    pub permissions: Permissions,
    /// How servers behind ssh are reached.
    pub ssh: SshOptions,
    /// Who may have access to what stores in directories make.
    pub sharing: Sharing,
    /// Environment variables that stores listen to: credentials and the like.
    pub variables: Variables,
}

/// Opens the store at a location. Whether there is, or may be, a repository in it is for the engine to see.
///
/// Of a set of stores some may be missing; on first use it turns out whether there are enough. Errors: those of
/// opening the store in question, such as [`LocalBackend::create`], [`LocalBackend::open`] and [`SshBackend::open`];
/// `InvalidInput` for [`Access::Replace`] of what is no set. A bucket or Redis is asked nothing before the first call.
pub fn open(location: &Location, access: Access, options: &OpenOptions) -> Result<Arc<dyn Backend>> {
    open_for_scrub(location, access, options).map(|opened| opened.backend)
}

/// As [`open`], with what a scrub examines.
pub fn open_for_scrub(location: &Location, access: Access, options: &OpenOptions) -> Result<Opened> {
    if access != Access::Existing {
        options.permissions.require_all("change what a repository consists of")?;
    }
    let limits = Limits {
        connections: options.connections,
        upload: options.upload_limit.map(Bandwidth::new),
        download: options.download_limit.map(Bandwidth::new),
    };
    let Opened { backend, scrub } = Opener { options, limits }.redundant(location, access)?;
    let backend = match options.read_ahead && location.is_remote() {
        true => Arc::new(AheadBackend::new(backend, std::thread::available_parallelism().map_or(1, usize::from))),
        false => backend,
    };
    let backend = match &options.cache {
        Some(place) if location.is_remote() => Arc::new(CacheBackend::new(backend, place)),
        _ => backend,
    };
    let backend = match options.permissions {
        Permissions::All => backend,
        some => Arc::new(PermitBackend::new(backend, some)),
    };
    Ok(Opened { backend, scrub })
}

/// What all stores of one location share.
struct Opener<'a> {
    options: &'a OpenOptions,
    limits: Limits,
}

impl Opener<'_> {
    /// A store and the redundancy in it.
    fn redundant(&self, location: &Location, access: Access) -> Result<Opened> {
        match location {
            Location::Erasure(split, stores) => self.set(*split, stores, access),
            Location::Named(named) => {
                let options = OpenOptions { variables: named.variables.clone(), ..self.options.clone() };
                Opener { options: &options, limits: self.limits.clone() }.redundant(&named.location, access)
            }
            _ if matches!(access, Access::Replace(_)) => Err(Error::new(ErrorKind::InvalidInput, "open store")
                .with("reason", "only a set of stores has one that can be replaced")),
            Location::Parity(percent, store) => {
                let store = Arc::new(ParityBackend::new(self.store(store, access)?, *percent));
                Ok(Opened { scrub: Arc::clone(&store) as _, backend: store })
            }
            plain => {
                let backend = self.store(plain, access)?;
                Ok(Opened { scrub: Arc::new(PlainStore::new(Arc::clone(&backend))), backend })
            }
        }
    }

    /// As many stores of a set as there are.
    fn set(&self, split: Split, stores: &[Location], access: Access) -> Result<Opened> {
        let mut members = Vec::with_capacity(stores.len());
        for (number, location) in stores.iter().enumerate() {
            let own_access = match access {
                Access::Create => Access::Create,
                Access::Replace(new) if new == number => Access::Create,
                _ => Access::Existing,
            };
            members.push(match self.redundant(location, own_access) {
                Ok(Opened { backend, scrub }) => {
                    let has_redundancy = matches!(location.unnamed(), Location::Parity(..) | Location::Erasure(..));
                    let own = has_redundancy.then_some(scrub);
                    Member { location: backend.location().to_owned(), store: Ok(backend), own, depth: location.sets() }
                }
                Err(error) if own_access == Access::Create => return Err(error.with("store", location)),
                Err(error) => {
                    Member { location: location.to_string(), store: Err(error), own: None, depth: location.sets() }
                }
            });
        }
        let purpose = match access {
            Access::Create => Purpose::Create,
            Access::Existing => Purpose::Use,
            Access::Replace(number) => Purpose::Replace(number),
            Access::Upgrade => Purpose::Upgrade,
        };
        let set = ErasureBackend::new(split, members, purpose)?.require_all_stores(self.options.require_all_stores);
        let set = Arc::new(set);
        Ok(Opened { scrub: Arc::clone(&set) as _, backend: set })
    }

    /// A store with its own layers.
    fn store(&self, location: &Location, access: Access) -> Result<Arc<dyn Backend>> {
        let store: Arc<dyn Backend> = match (location, access) {
            (Location::Local(path), Access::Create) => {
                Arc::new(LocalBackend::create_shared(path, self.options.sharing)?)
            }
            (Location::Local(path), _) => Arc::new(LocalBackend::open_shared(path, self.options.sharing)?),
            (Location::Memory, _) => Arc::new(MemoryBackend::new()),
            (Location::Parity(..) | Location::Erasure(..) | Location::Named(_), _) => {
                return self.redundant(location, access).map(|opened| opened.backend);
            }
            (Location::Ssh(target), access) => Arc::new(SshBackend::open(target, access, &self.options.ssh)?),
            #[cfg(feature = "sftp")]
            (Location::Sftp(target), access) => Arc::new(SftpBackend::open(target, access, &self.options.ssh)?),
            #[cfg(feature = "s3")]
            (Location::ObjectStore(location), _) => {
                Arc::new(ObjectStoreBackend::new(location, &self.options.variables)?)
            }
            #[cfg(feature = "redb")]
            (Location::Redb(location), access) => {
                Arc::new(KvBackend::new(RedbStore::open(&location.0, access == Access::Create)?))
            }
            #[cfg(feature = "redis")]
            (Location::Redis(location), _) => {
                Arc::new(KvBackend::new(RedisStore::new(location, &self.options.variables)?))
            }
            #[cfg(feature = "opendal")]
            (Location::Opendal(location), access) => {
                Arc::new(OpendalBackend::open(location, access, &self.options.variables)?)
            }
        };
        let traced = Arc::new(TraceBackend::new(store, &self.options.trace));
        let limited = Arc::new(LimitBackend::new(traced, self.limits.clone()));
        Ok(Arc::new(RetryBackend::new(limited, self.options.retry)))
    }
}

#[cfg(test)]
mod tests {
    use gabion_core::backend::conformance::{Options, check};
    use gabion_core::error::ErrorKind;

    use super::*;

    fn opened(location: &Location, access: Access) -> Result<Arc<dyn Backend>> {
        open(location, access, &OpenOptions::default())
    }

    #[test]
    fn what_is_opened_keeps_the_contract() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("new");
        let store = |name: &str| place.path().join(name).display().to_string();
        let set = format!("erasure:2+1:{},{},parity:5%:{}", store("1"), store("2"), store("3"));
        let parsed = |text: &str| Location::parse(text).unwrap();
        let parity = parsed(&format!("parity:10%:{}", store("parity")));
        for location in [parsed("memory:"), Location::Local(path), parity, parsed(&set)] {
            let options = OpenOptions { connections: Some(3), upload_limit: Some(1 << 40), ..OpenOptions::default() };
            let backend = open(&location, Access::Create, &options).unwrap();
            assert_eq!(backend.location(), location.to_string());
            assert_eq!(backend.capabilities().concurrency, 3);
            let report = runtime.block_on(check(backend, Options { names: 20, rounds: 3, ..Options::quick() }));
            assert!(report.is_clean(), "{location}: {report}");
            assert!(!options.trace.stores()[0].methods.is_empty());
        }
    }

    #[test]
    fn sets_in_sets_keep_the_contract_and_heal() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name).display().to_string();
        let names = |_: &str| Ok((format!("erasure:1+1:{},{}", at("1"), at("2")), Variables::default()));
        let text = format!("erasure:1+1:@inner,parity:10%:{}", at("3"));
        let location = Location::parse_with(&text, &names).unwrap();
        let backend = opened(&location, Access::Create).unwrap();
        let report = runtime.block_on(check(Arc::clone(&backend), Options { rounds: 3, ..Options::quick() }));
        assert!(report.is_clean(), "{report}");
        let name = gabion_core::backend::ObjectName::new("archives/1").unwrap();
        let bytes = vec![7; 200_000];
        runtime.block_on(backend.put(&name, bytes.clone().into(), gabion_core::backend::PutMode::Write)).unwrap();
        // One store of each set goes; a scrub brings both parts back.
        std::fs::remove_file(place.path().join("1/archives/1")).unwrap();
        std::fs::remove_file(place.path().join("3/archives/1")).unwrap();
        let scrub = open_for_scrub(&location, Access::Existing, &OpenOptions::default()).unwrap().scrub;
        let examined = runtime.block_on(scrub.examine(&name, crate::scrub::Task::Repair)).unwrap();
        assert!(matches!(examined.state, crate::scrub::State::Repaired), "{examined:?}");
        std::fs::remove_dir_all(place.path().join("2")).unwrap();
        let again = opened(&location, Access::Existing).unwrap();
        assert!(place.path().join("1/archives/1").exists() && place.path().join("3/archives/1").exists());
        let got = runtime.block_on(again.get(&name, gabion_core::backend::ByteRange::WHOLE)).unwrap();
        assert!(got == bytes);
    }

    #[test]
    fn who_may_only_read_changes_no_set() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name).display().to_string();
        let set = Location::parse(&format!("erasure:1+1:{},{}", at("1"), at("2"))).unwrap();
        opened(&set, Access::Create).unwrap();
        std::fs::remove_dir_all(place.path().join("2")).unwrap();
        std::fs::create_dir(place.path().join("2")).unwrap();
        let options = OpenOptions { permissions: Permissions::ReadOnly, ..OpenOptions::default() };
        let refused = open_for_scrub(&set, Access::Replace(1), &options).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
        assert_eq!(std::fs::read_dir(place.path().join("2")).unwrap().count(), 0);
    }

    #[test]
    fn only_create_creates() {
        let place = tempfile::tempdir().unwrap();
        let location = Location::Local(place.path().join("new"));
        assert_eq!(opened(&location, Access::Existing).unwrap_err().kind(), ErrorKind::RepositoryNotFound);
        opened(&location, Access::Create).unwrap();
        opened(&location, Access::Existing).unwrap();
    }
}

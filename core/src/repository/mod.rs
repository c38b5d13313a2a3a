//! The office: opening a repository, and sessions that read and write it.
//!
//! [`Repository::create`] and [`Repository::open`] are the only ways in. A
//! [`Session`] loads the index once; a [`Reader`] and a [`Writer`] are made from it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::backend::{ObjectName, Payload, Permissions, Prefix, Store};
use crate::clock::Clock;
use crate::crypto::aead::Suite;
use crate::crypto::id_hash::{IdHash, IdHasher};
use crate::crypto::kdf::KdfParams;
use crate::crypto::key::{Keyring, Purpose};
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::gc::{bump_epoch, withdraw_epoch};
use crate::id::{ChunkId, KeyId, PendingId, RepositoryId, parse_object_id};
use crate::limits::CONFIG_BYTES_MAX;
use crate::local_state::LocalState;
use crate::seal::{Kind, Sealer};
use crate::segment::Class;

mod closed;
mod collector;
mod commit;
mod config;
mod erase;
mod hold;
mod identity;
mod inspect;
mod keys;
mod leases;
mod memory;
mod namer;
mod pipeline;
mod quarantine;
mod reader;
mod removal;
mod reserve;
mod salvage;
mod session;
mod spare;
mod trust;
mod verify;
mod writer;

pub use closed::ClosedRepository;
pub use collector::Collector;
pub use commit::{NewArchive, Resolve};
pub use config::{Config, FORMAT_VERSION};
pub use erase::{ERASURE, KEYS, SPARE, is_erased_last, is_of_repository};
pub use identity::is_there;
use identity::{about_config, config_name, read_config};
pub use keys::{AskPassphrase, FoundSlot, KeyFiles, KeyLocation, NewSlot, OpenedBy};
pub use memory::Memory;
pub use namer::Namer;
pub use reader::Reader;
pub use removal::{ArchiveNames, RemovalName};
pub use salvage::SegmentState;
pub use session::{Holdings, Session};
pub use trust::Trust;
pub use verify::{Named, verify_object_bytes, verify_stored};
pub use writer::{ChunkTicket, WriteTotals, Writer, WriterOptions};

/// Where plaintext chunks go: the one door through which every byte is stored.
pub trait ChunkSink {
    /// Stores a chunk unless it is known, and names it. Not durable before the session commits.
    fn store(&self, class: Class, plain: &[u8]) -> Result<ChunkId>;
}

/// Where plaintext chunks come from.
pub trait ChunkSource {
    /// Reads a chunk and checks it against its name.
    fn fetch(&self, class: Class, id: &ChunkId) -> Result<Bytes>;
}

impl<T: ChunkSource + ?Sized> ChunkSource for &T {
    fn fetch(&self, class: Class, id: &ChunkId) -> Result<Bytes> {
        (**self).fetch(class, id)
    }
}

/// An open repository. Clones share everything.
#[derive(Clone)]
pub struct Repository {
    office: Arc<Office>,
}

/// What every session of an open repository shares.
pub(crate) struct Office {
    pub store: Store,
    pub config: Config,
    /// The object it was read from.
    pub config_bytes: Bytes,
    pub suite: Suite,
    pub keyring: Keyring,
    pub hasher: IdHasher,
    pub opened_by: OpenedBy,
    pub key_files: KeyFiles,
    pub state: Arc<dyn LocalState>,
    /// Why it was not compared with what this client remembers.
    pub unremembered: Option<Error>,
    /// Whether that, or the like, was told.
    pub told_unremembered: AtomicBool,
    /// What was announced by writers that were overtaken.
    overtaken: Mutex<Vec<PendingId>>,
}

impl Office {
    pub fn sealer(&self) -> Sealer<'_> {
        Sealer::new(&self.keyring, self.config.id, self.suite)
    }

    pub fn overtaken(&self) -> MutexGuard<'_, Vec<PendingId>> {
        self.overtaken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slots(&self) -> keys::SlotStore<'_> {
        keys::SlotStore { store: &self.store, files: &self.key_files, repository: &self.config.id, suite: self.suite }
    }
}

/// What a new repository shall be.
#[derive(Debug)]
pub struct NewRepository<'a> {
    /// The cipher suite.
    pub suite: Suite,
    /// The hash that names chunks.
    pub id_hash: IdHash,
    /// Its first key slot.
    pub slot: NewSlot<'a>,
}

impl NewRepository<'_> {
    /// A repository without encryption, for tests and examples: it is protected against accident only.
    pub fn plain() -> Self {
        let slot = NewSlot {
            passphrase: None,
            kdf: KdfParams::default(),
            label: String::new(),
            location: KeyLocation::Repository,
        };
        Self { suite: Suite::None, id_hash: IdHash::default(), slot }
    }
}

/// The client's side of a repository: its key files and what it remembers.
#[derive(Clone, Debug)]
pub struct Client {
    /// Key slots kept outside the repository.
    pub key_files: KeyFiles,
    /// What it remembers between runs: what repositories were, and what they held. May be lost, but then a
    /// repository that was replaced or rolled back is not noticed.
    pub state: Arc<dyn LocalState>,
    /// What it lets pass without being asked.
    pub trust: Trust,
}

impl Default for Client {
    /// A client without key files that remembers nothing after its end.
    fn default() -> Self {
        use crate::local_state::MemoryState;
        let memory = || Arc::new(MemoryState::default());
        Self { key_files: memory(), state: memory(), trust: Trust::default() }
    }
}

impl Repository {
    /// Makes a new repository in an empty store and opens it.
    ///
    /// The object `config` is written last, and then a copy of it: a store with neither holds no repository. If `config` can
    /// not be written, as on a full disk, what was put before it goes again, as far as the store allows.
    /// Fails with `RepositoryExists` or, where foreign objects lie, `NotARepository`.
    pub fn create(store: Store, client: Client, new: &NewRepository<'_>, clock: &dyn Clock) -> Result<Self> {
        Self::create_with(store, client, new, clock, &mut Keyring::generate)
    }

    /// As [`Repository::create`], but chunks are cut and named as in `other`, so that what both hold shows without being
    /// read. All other keys are new. `new` must have the id hash of `other`, or this is `InvalidInput`.
    pub fn create_related(
        store: Store,
        client: Client,
        new: &NewRepository<'_>,
        other: &Self,
        clock: &dyn Clock,
    ) -> Result<Self> {
        if new.id_hash != other.config().id_hash()? {
            return Err(Error::new(ErrorKind::InvalidInput, "create repository")
                .with("reason", "a related repository has the same id hash")
                .with("id hash", other.config().id_hash()?));
        }
        let keyring = &other.office.keyring;
        Self::create_with(store, client, new, clock, &mut || Keyring::generate_related(keyring))
    }

    fn create_with(
        store: Store,
        client: Client,
        new: &NewRepository<'_>,
        clock: &dyn Clock,
        keyring: &mut dyn FnMut() -> Result<Keyring>,
    ) -> Result<Self> {
        check_protected(&new.slot, new.suite, "create repository")?;
        refuse_occupied(&store)?;
        let created = clock.now();
        let (config, keyring) = (Config::new(new.suite, new.id_hash, created)?, keyring()?);
        let (key_id, slot) = new.slot.seal(&keyring, &config.id, slot_suite(new.suite), created)?;
        let slots =
            keys::SlotStore { store: &store, files: &client.key_files, repository: &config.id, suite: new.suite };
        let (name, bytes, location) = (config_name(), config.encode(&keyring)?, new.slot.location);
        let sealer = Sealer::new(&keyring, config.id, config.suite()?);
        let put = slots
            .keep(location, &key_id, &slot)
            .and_then(|()| reserve::fill(&store))
            .and_then(|()| bump_epoch(&store, &sealer))
            .and_then(|()| store.put(&name, Payload::from(bytes.clone())));
        if let Err(error) = put {
            // Of what the store did not refuse for good something may still arrive.
            // Where `config` came to lie all the same, or somebody else's, it needs what was put before it.
            let is_absent = || store.head(&name).is_err_and(|error| error.kind() == ErrorKind::NotFound);
            if error.retry() == Retry::Permanent && is_absent() {
                let _ = slots.forget(location, &key_id);
                let _ = reserve::give_up_all(&store);
                let _ = withdraw_epoch(&store);
            }
            return Err(error);
        }
        if store.get_bounded(&name, CONFIG_BYTES_MAX)? != bytes {
            return Err(Error::new(ErrorKind::RepositoryExists, "create repository")
                .with("reason", "someone else made one at the same moment"));
        }
        let opened_by = OpenedBy { id: key_id, location: new.slot.location };
        let made = Self::assemble(store, client, (bytes.into(), config), keyring, opened_by, None)?;
        // The repository is there: what fails now is made up for by a collection.
        let _ = made.restore_config(&identity::copy_name());
        Ok(made)
    }

    /// Opens a repository. `ask` is called only if a slot needs a passphrase.
    ///
    /// # Errors
    /// `RepositoryReplaced`, `RepositoryUnencrypted`, `RepositoryMoved` or `EncryptionChanged`, before anything is
    /// asked, if it is not what the client remembers and [`Client::trust`] does not allow that.
    pub fn open(store: Store, client: Client, ask: &mut AskPassphrase<'_>) -> Result<Self> {
        let ((bytes, config), listed) = store.both(|| read_config(&store), || keys::list(&store))?;
        let suite = config.suite()?;
        let acquaintances = trust::Acquaintances { state: &*client.state, trust: client.trust };
        let unremembered = acquaintances.check(&config, store.location())?;
        let slots = keys::SlotStore { store: &store, files: &client.key_files, repository: &config.id, suite };
        let (keyring, opened_by) = slots.open(listed, ask)?;
        Config::verify(&bytes, &keyring).map_err(|error| about_config(error, &store))?;
        Self::assemble(store, client, (bytes, config), keyring, opened_by, unremembered)
    }

    fn assemble(
        store: Store,
        client: Client,
        (config_bytes, config): (Bytes, Config),
        keyring: Keyring,
        opened_by: OpenedBy,
        unremembered: Option<Error>,
    ) -> Result<Self> {
        let told_unremembered = AtomicBool::new(false);
        let hasher = IdHasher::new(config.id_hash()?, keyring.get(Purpose::IdData)?, keyring.get(Purpose::IdTree)?)?;
        let suite = config.suite()?;
        let Client { key_files, state, trust } = client;
        // A client that can not remember meets the repository for the first time again.
        let _ = trust::Acquaintances { state: &*state, trust }.remember(&config, store.location());
        let office = Office {
            store,
            config,
            config_bytes,
            suite,
            keyring,
            hasher,
            opened_by,
            key_files,
            state,
            unremembered,
            told_unremembered,
            overtaken: Mutex::default(),
        };
        Ok(Self { office: Arc::new(office) })
    }

    /// What the repository is.
    pub fn config(&self) -> &Config {
        &self.office.config
    }

    /// Its id.
    pub fn id(&self) -> &RepositoryId {
        &self.office.config.id
    }

    /// The key slot that opened it.
    pub fn opened_by(&self) -> OpenedBy {
        self.office.opened_by
    }

    /// The store it lies in.
    pub fn object_store(&self) -> &Store {
        &self.office.store
    }

    /// What this client may do in the store, as far as is known.
    pub fn permissions(&self) -> Permissions {
        self.office.store.capabilities().permissions
    }

    /// What this client remembers.
    pub fn state(&self) -> &Arc<dyn LocalState> {
        &self.office.state
    }

    /// Why the repository was not compared with what this client remembers, if that could not be read.
    pub fn unremembered(&self) -> Option<&Error> {
        self.office.unremembered.as_ref()
    }

    /// Whether it is the first time that this is asked: one who looks many times shall not tell the same many times.
    pub fn tells_unremembered(&self) -> bool {
        !self.office.told_unremembered.swap(true, Ordering::Relaxed)
    }

    /// The key that makes chunk boundaries unpredictable.
    pub fn chunker_key(&self) -> Result<&[u8; 32]> {
        Ok(self.office.keyring.get(Purpose::Chunker)?.expose())
    }

    /// The key that decides where tree nodes are cut.
    pub fn cut_key(&self) -> Result<[u8; 32]> {
        Ok(blake3::derive_key("gabion 1 node cuts", self.office.keyring.get(Purpose::IdTree)?.expose()))
    }

    /// A key for hashes that name hard links.
    pub fn hard_link_key(&self) -> Result<[u8; 32]> {
        Ok(blake3::derive_key("gabion 1 hard links", self.office.keyring.get(Purpose::IdTree)?.expose()))
    }

    /// Whether a chunk has the same name here and in `other`.
    pub fn names_chunks_as(&self, other: &Self) -> Result<bool> {
        let same_hash = self.config().id_hash()? == other.config().id_hash()?;
        Ok(same_hash && self.office.keyring.names_chunks_as(&other.office.keyring)?)
    }

    /// Loads the index and begins a session.
    pub fn session(&self) -> Result<Session> {
        Session::begin(Arc::clone(&self.office))
    }

    /// As [`Repository::session`] with an index of everything that exists: also of segments that no fragment names,
    /// and of copies that were recorded to be no good.
    pub fn session_of_everything(&self) -> Result<Session> {
        Session::begin_with_everything(Arc::clone(&self.office))
    }

    /// The names in a namespace of records, as raw ids. Foreign names are skipped.
    pub fn record_ids(&self, kind: Kind) -> Result<Vec<[u8; 16]>> {
        let listed = self.office.store.list(&Prefix::of(kind.namespace()))?;
        Ok(listed.iter().filter_map(|object| parse_object_id(object.name.last_part())).collect())
    }

    /// Reads and opens records of at most `limit` bytes of plaintext, several at a time, in the order of `ids`.
    pub fn read_records<'a>(
        &'a self,
        kind: Kind,
        ids: Vec<[u8; 16]>,
        limit: usize,
    ) -> impl Iterator<Item = ([u8; 16], Result<Vec<u8>>)> + 'a {
        let names = ids.iter().map(|id| ObjectName::of_object(kind, id)).collect();
        let objects = self.office.store.get_many(names, 2 * limit);
        ids.into_iter().zip(objects).map(move |(id, (name, bytes))| {
            let plain = bytes
                .and_then(|bytes| self.office.sealer().open(kind, &id, &bytes, limit))
                .map_err(|error| error.with("object", name));
            (id, plain)
        })
    }

    /// All key slots, and how many could not be read.
    pub fn key_slots(&self) -> Result<(Vec<FoundSlot>, usize)> {
        self.office.slots().find(keys::list(&self.office.store)?).map(|(slots, unreadable)| (slots, unreadable.len()))
    }

    /// Adds a key slot and reads it back.
    pub fn add_key(&self, new: &NewSlot<'_>, clock: &dyn Clock) -> Result<KeyId> {
        let office = &self.office;
        check_protected(new, office.suite, "add key")?;
        let (id, bytes) = new.seal(&office.keyring, &office.config.id, slot_suite(office.suite), clock.now())?;
        office.slots().keep(new.location, &id, &bytes)?;
        Ok(id)
    }

    /// Removes a key slot. The last one is never removed.
    pub fn remove_key(&self, location: KeyLocation, id: &KeyId) -> Result<()> {
        let (slots, _) = self.key_slots()?;
        if !slots.iter().any(|found| found.id == *id && found.location == location) {
            return Err(Error::new(ErrorKind::KeyNotFound, "remove key").with("key", id));
        }
        if slots.len() == 1 {
            return Err(Error::new(ErrorKind::InvalidInput, "remove key").with("reason", "it is the last key"));
        }
        self.office.slots().forget(location, id)
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Repository({}, {})", self.office.store.location(), self.id())
    }
}

/// Refuses to leave the keys of an encrypted repository in the clear.
fn check_protected(slot: &NewSlot<'_>, suite: Suite, operation: &'static str) -> Result<()> {
    if slot.passphrase.is_some() || !suite.encrypts() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidInput, operation).with("reason", "an encrypted repository needs a passphrase"))
}

/// The suite a key slot is sealed with: always a cipher, also where data is not encrypted.
fn slot_suite(suite: Suite) -> Suite {
    if suite == Suite::None { Suite::Aes256Gcm } else { suite }
}

fn refuse_occupied(store: &Store) -> Result<()> {
    let error = match is_there(store)? {
        true => Error::new(ErrorKind::RepositoryExists, "create repository"),
        false => match foreign(store)? {
            None => return Ok(()),
            Some(found) => Error::new(ErrorKind::NotARepository, "create repository")
                .with("reason", "the place is not empty")
                .with("found", found),
        },
    };
    Err(error.with("repository", store.location()))
}

/// Something that lies in a store without `config`. A store that holds what can not be an object is occupied too.
fn foreign(store: &Store) -> Result<Option<String>> {
    match store.any_object() {
        Ok(found) => Ok(found.map(|object| object.name.to_string())),
        Err(error) if error.kind() == ErrorKind::Damaged => {
            Ok(Some(error.context("object").unwrap_or("no object").to_owned()))
        }
        Err(error) => Err(error),
    }
}

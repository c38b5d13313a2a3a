//! The files of a cache: one per object, verified before use, the longest unused ones given up first.
//!
//! ```text
//! CACHEDIR.TAG                      backups leave this directory out
//! <hash of the location>/location   whose objects these are, for people
//! <hash of the location>/<namespace>/<last part of the name>
//! ```

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use gabion_core::backend::{ByteRange, ObjectName};
use gabion_core::limits::MIB;
use gabion_core::seal::{Kind, verify_tail};

use super::CachePlace;

/// Bytes of the largest object that is kept.
const OBJECT_BYTES_MAX: u64 = 64 * MIB as u64;
/// Verified files that are kept open.
const OPEN_MAX: usize = 64;
const TAG: &str = "CACHEDIR.TAG";
const TAG_TEXT: &str = "Signature: 8a477f597d28d172789f06886806bc55\n# Gabion keeps copies of stored objects here; \
                        all of it may be deleted.\n";
const LOCATION: &str = "location";

/// What an object is, by its name.
pub(super) fn kind(name: &ObjectName) -> Option<Kind> {
    let (namespace, _) = name.as_str().rsplit_once('/')?;
    Kind::all().find(|kind| *kind != Kind::Config && kind.namespace() == namespace)
}

/// Whether these bytes are whole and the object of this name.
fn belongs(name: &ObjectName, bytes: &[u8]) -> bool {
    let salt = bytes.get(8..40).and_then(|salt| salt.try_into().ok());
    let (Some(kind), Some(salt)) = (kind(name), salt) else { return false };
    let id: String = kind.id(salt).iter().map(|byte| format!("{byte:02x}")).collect();
    name.as_str().ends_with(&id) && verify_tail(bytes).is_ok()
}

/// The objects of one store.
#[derive(Debug)]
pub(super) struct Shelf {
    root: PathBuf,
    own: PathBuf,
    location: String,
    bytes_max: u64,
    /// Files whose content was verified by this process.
    open: Mutex<HashMap<ObjectName, Arc<Verified>>>,
    /// Bytes of all files under `root`, once they were counted.
    used: Mutex<Option<u64>>,
}

#[derive(Debug)]
struct Verified {
    file: File,
    bytes: u64,
}

impl Verified {
    fn read(&self, range: ByteRange) -> Option<Bytes> {
        let (offset, length) = match range {
            ByteRange::All { limit } => (self.bytes <= limit).then_some((0, self.bytes))?,
            ByteRange::Exact { offset, length } => (offset, length),
        };
        offset.checked_add(length).filter(|end| *end <= self.bytes)?;
        let mut bytes = vec![0; length as usize];
        self.file.read_exact_at(&mut bytes, offset).ok()?;
        Some(bytes.into())
    }
}

impl Shelf {
    pub fn new(place: &CachePlace, location: &str) -> Self {
        let hash = blake3::hash(location.as_bytes()).to_hex();
        Self {
            root: place.directory.clone(),
            own: place.directory.join(&hash[..32]),
            location: location.to_owned(),
            bytes_max: place.bytes_max,
            open: Mutex::default(),
            used: Mutex::default(),
        }
    }

    /// The bytes of an object that is at hand, whole and itself; damaged files are removed.
    pub async fn read(self: &Arc<Self>, name: &ObjectName, range: ByteRange) -> Option<Bytes> {
        let name = name.clone();
        self.blocking(move |shelf| shelf.verified(&name)?.read(range)).await.flatten()
    }

    /// Keeps an object if it is whole and itself, and room can be made; tells whether it did.
    pub async fn keep(self: &Arc<Self>, name: &ObjectName, bytes: Bytes) -> bool {
        let name = name.clone();
        // A full disk, a directory of somebody else: then it is read from the store next time.
        self.blocking(move |shelf| shelf.write(&name, &bytes).unwrap_or(false)).await.unwrap_or(false)
    }

    /// Removes an object.
    pub async fn forget(self: &Arc<Self>, name: &ObjectName) {
        let name = name.clone();
        self.blocking(move |shelf| shelf.remove(&name)).await;
    }

    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Option<T> {
        let shelf = Arc::clone(self);
        tokio::task::spawn_blocking(move || work(&shelf)).await.ok()
    }

    fn path(&self, name: &ObjectName) -> PathBuf {
        self.own.join(name.as_str())
    }

    fn verified(&self, name: &ObjectName) -> Option<Arc<Verified>> {
        if let Some(open) = lock(&self.open).get(name) {
            return Some(Arc::clone(open));
        }
        let path = self.path(name);
        let file = File::open(&path).ok()?;
        let bytes = file.metadata().ok()?.len();
        let verified = Arc::new(Verified { file, bytes });
        let whole = (bytes <= OBJECT_BYTES_MAX).then(|| verified.read(ByteRange::WHOLE)).flatten();
        if !whole.is_some_and(|whole| belongs(name, &whole)) {
            self.remove(name);
            return None;
        }
        // When it was used last decides what is given up first; if that can not be noted, it goes early.
        let _ = verified.file.set_modified(SystemTime::now());
        let mut open = lock(&self.open);
        if open.len() >= OPEN_MAX {
            open.clear();
        }
        open.insert(name.clone(), Arc::clone(&verified));
        Some(verified)
    }

    fn write(&self, name: &ObjectName, bytes: &[u8]) -> io::Result<bool> {
        let length = bytes.len() as u64;
        if length > OBJECT_BYTES_MAX.min(self.bytes_max / 4) || !belongs(name, bytes) {
            return Ok(false);
        }
        let path = self.path(name);
        let folder = path.parent().unwrap_or(&self.own);
        if !folder.is_dir() {
            fs::create_dir_all(folder)?;
            write_once(&self.root.join(TAG), TAG_TEXT)?;
            write_once(&self.own.join(LOCATION), &self.location)?;
        }
        self.make_room(length);
        let mut temporary = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
        temporary.write_all(bytes)?;
        temporary.persist(&path)?;
        if let Some(used) = &mut *lock(&self.used) {
            *used += length;
        }
        Ok(true)
    }

    fn remove(&self, name: &ObjectName) {
        lock(&self.open).remove(name);
        // What is not there need not go; what can not go is found damaged again.
        let _ = fs::remove_file(self.path(name));
    }

    /// Gives up what was not used for longest until a tenth of the cache is free, if `incoming` bytes do not fit.
    fn make_room(&self, incoming: u64) {
        let mut used = lock(&self.used);
        let fits = |used: u64| used.saturating_add(incoming) <= self.bytes_max;
        if used.is_some_and(fits) {
            return;
        }
        // Counted anew: other processes fill and clean, too.
        let mut files = Vec::new();
        for shelved in stores(&self.root) {
            files_of(&shelved, &mut files);
        }
        let mut total: u64 = files.iter().map(|file| file.bytes).sum();
        if !fits(total) {
            files.sort_by_key(|file| file.used);
            for file in &files {
                if total.saturating_add(incoming) <= self.bytes_max / 10 * 9 {
                    break;
                }
                if fs::remove_file(&file.path).is_ok() {
                    total -= file.bytes;
                }
            }
            lock(&self.open).clear();
        }
        *used = Some(total);
    }
}

/// A file of a cache.
struct Kept {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

/// What a cache holds of one store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shelved {
    /// The store, without secrets; empty if that was not noted.
    pub location: String,
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What the cache in `directory` holds, one entry per store; nothing if there is no such directory.
pub fn contents(directory: &Path) -> Vec<Shelved> {
    let described = stores(directory).into_iter().map(|folder| {
        let mut files = Vec::new();
        files_of(&folder, &mut files);
        Shelved {
            location: fs::read_to_string(folder.join(LOCATION)).unwrap_or_default(),
            objects: files.len() as u64,
            bytes: files.iter().map(|file| file.bytes).sum(),
        }
    });
    let mut shelved: Vec<_> = described.collect();
    shelved.sort_by(|a, b| a.location.cmp(&b.location));
    shelved
}

/// Removes everything a cache holds in `directory`; other files there stay. Errors: those of the file system.
pub fn clean(directory: &Path) -> io::Result<()> {
    stores(directory).into_iter().try_for_each(fs::remove_dir_all)
}

/// The folders of stores: those with a name this module gives.
fn stores(root: &Path) -> Vec<PathBuf> {
    let ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.len() == 32 && name.bytes().all(|c| c.is_ascii_hexdigit())
    };
    folder(root).map(|entry| entry.path()).filter(ours).collect()
}

/// The objects in a store's folder: two levels down, so that links and loops lead nowhere.
fn files_of(store: &Path, files: &mut Vec<Kept>) {
    for entry in folder(store).flat_map(|namespace| folder(&namespace.path()).collect::<Vec<_>>()) {
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_file() {
            let used = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            files.push(Kept { path: entry.path(), bytes: meta.len(), used });
        }
    }
}

fn folder(path: &Path) -> impl Iterator<Item = fs::DirEntry> + use<> {
    fs::read_dir(path).into_iter().flatten().filter_map(Result::ok)
}

fn write_once(path: &Path, text: &str) -> io::Result<()> {
    match File::options().write(true).create_new(true).open(path) {
        Ok(mut file) => file.write_all(text.as_bytes()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

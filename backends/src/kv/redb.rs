//! `redb:/path/file.redb`: a repository in one file, for programs that like to ship their data in one piece.
//!
//! Every call is a transaction; one that changes something is on the disk when it returns. Only one process at a time
//! can have the file open, which the file's lock sees to.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use gabion_core::error::{Error, ErrorKind, Result};
use gabion_core::limits::{KIB, MIB};
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition};

use super::{KvStore, KvTraits, Swap};
use crate::url::{decoded_bytes, encoded, invalid};

const TABLE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("gabion");
/// Keys that are read by one transaction of a scan.
const SCAN_KEYS: usize = 500;
/// Bytes of parts: small enough that a range of a large object does not read much more than it needs, and that one of them
/// fits, with its key, into a page of 1 MiB. One that is longer takes a page of the next power of two.
const VALUE_BYTES: usize = MIB - 4 * KIB;
/// Bytes of the pages that are kept in memory.
const CACHE_BYTES: usize = 8 * MIB;

/// Where the file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedbLocation(pub(crate) PathBuf);

impl RedbLocation {
    /// Understands what stands behind `redb:`.
    pub(crate) fn parse(rest: &str) -> Result<Self> {
        let absolute = rest.strip_prefix("//").map(|path| path.strip_prefix("localhost").unwrap_or(path));
        if absolute.is_some_and(|path| !path.starts_with('/')) {
            return Err(invalid("an absolute path must follow redb://"));
        }
        let path = absolute.unwrap_or(rest);
        if path.is_empty() || path.ends_with('/') {
            return Err(invalid("the path of a file must follow redb:"));
        }
        if path.contains(['?', '#']) {
            return Err(invalid("redb: has no parameters"));
        }
        use std::os::unix::ffi::OsStringExt as _;
        Ok(Self(std::ffi::OsString::from_vec(decoded_bytes(path)?).into()))
    }
}

impl fmt::Display for RedbLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "redb:{}", encoded(self.0.as_os_str().as_encoded_bytes()))
    }
}

/// A table of a redb database.
#[derive(Clone)]
pub struct RedbStore {
    database: Arc<Database>,
    shown: String,
}

impl fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedbStore").field(&self.shown).finish()
    }
}

impl RedbStore {
    /// Opens the file; with `create` it is made if it does not exist.
    ///
    /// # Errors
    /// `NotFound` with the fact `path` if the directory above a new file is missing, `RepositoryNotFound` if the file
    /// is, `NotARepository` if it is no database, and `Io` if another process has it open.
    pub fn open(path: &Path, create: bool) -> Result<Self> {
        let operation = "open database";
        let told = |error: Error| error.with("path", path.display());
        if !create && !path.exists() {
            return Err(told(Error::new(ErrorKind::RepositoryNotFound, operation)));
        }
        let above = path.parent().filter(|above| !above.as_os_str().is_empty());
        if let Some(above) = above.filter(|above| !above.is_dir()) {
            return Err(Error::new(ErrorKind::NotFound, operation).with("path", above.display()));
        }
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        let opened = if create { builder.create(path) } else { builder.open(path) };
        let database = opened.map_err(|error| told(unopened(operation, error)))?;
        // The table is there from the beginning, so that readers need not ask whether it is.
        let made = database.begin_write().map_err(redb::Error::from).and_then(|transaction| {
            transaction.open_table(TABLE).map(drop).map_err(redb::Error::from)?;
            transaction.commit().map_err(redb::Error::from)
        });
        made.map_err(|error| told(failed(operation, error)))?;
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Ok(Self { database: Arc::new(database), shown: RedbLocation(absolute).to_string() })
    }

    /// Runs a transaction on a thread that may wait.
    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Database) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T> {
        let database = Arc::clone(&self.database);
        let done = tokio::task::spawn_blocking(move || work(&database)).await;
        let done = done.map_err(|error| Error::new(ErrorKind::System, operation).because(error))?;
        done.map_err(|error| failed(operation, error))
    }
}

fn unopened(operation: &'static str, error: DatabaseError) -> Error {
    let kind = match &error {
        DatabaseError::DatabaseAlreadyOpen => ErrorKind::Io,
        DatabaseError::UpgradeRequired(_) => ErrorKind::Unsupported,
        DatabaseError::Storage(StorageError::Corrupted(_)) => ErrorKind::NotARepository,
        DatabaseError::Storage(StorageError::Io(io)) => match io.kind() {
            std::io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
            std::io::ErrorKind::InvalidData | std::io::ErrorKind::IsADirectory => ErrorKind::NotARepository,
            _ => ErrorKind::Io,
        },
        _ => ErrorKind::Io,
    };
    Error::new(kind, operation).because(error)
}

fn failed(operation: &'static str, error: redb::Error) -> Error {
    match error {
        redb::Error::Io(io) => Error::from_io(operation, io),
        redb::Error::Corrupted(_) => Error::new(ErrorKind::Damaged, operation).because(error),
        other => Error::new(ErrorKind::Io, operation).because(other),
    }
}

/// Changes the table in one transaction.
fn change<T>(
    database: &Database,
    work: impl FnOnce(&mut redb::Table<'_, &str, &[u8]>) -> Result<T, StorageError>,
) -> Result<T, redb::Error> {
    let transaction = database.begin_write()?;
    let value = work(&mut transaction.open_table(TABLE)?)?;
    transaction.commit()?;
    Ok(value)
}

fn read(database: &Database) -> Result<redb::ReadOnlyTable<&'static str, &'static [u8]>, redb::Error> {
    Ok(database.begin_read()?.open_table(TABLE)?)
}

fn owned(value: Option<redb::AccessGuard<'_, &'static [u8]>>) -> Option<Bytes> {
    value.map(|value| Bytes::copy_from_slice(value.value()))
}

#[async_trait]
impl KvStore for RedbStore {
    fn location(&self) -> &str {
        &self.shown
    }

    fn traits(&self) -> KvTraits {
        KvTraits { value_bytes_max: VALUE_BYTES, durable: true, list_staleness: Duration::ZERO, concurrency: 2 }
    }

    async fn get(&self, keys: Vec<String>) -> Result<Vec<Option<Bytes>>> {
        self.run("get object", move |database| {
            let table = read(database)?;
            keys.iter().map(|key| Ok(owned(table.get(key.as_str())?))).collect()
        })
        .await
    }

    async fn put(&self, pairs: Vec<(String, Bytes)>) -> Result<()> {
        self.run("put object", move |database| {
            change(database, |table| {
                pairs.iter().try_for_each(|(key, value)| table.insert(key.as_str(), &**value).map(drop))
            })
        })
        .await
    }

    async fn swap(&self, key: &str, value: Bytes, swap: Swap) -> Result<Option<Bytes>> {
        let key = key.to_owned();
        self.run("put object", move |database| {
            change(database, |table| {
                if swap == Swap::Existing && table.get(key.as_str())?.is_none() {
                    return Ok(None);
                }
                Ok(owned(table.insert(key.as_str(), &*value)?))
            })
        })
        .await
    }

    async fn take(&self, key: &str) -> Result<Option<Bytes>> {
        let key = key.to_owned();
        self.run("delete object", move |database| change(database, |table| Ok(owned(table.remove(key.as_str())?))))
            .await
    }

    async fn delete(&self, keys: Vec<String>) -> Result<()> {
        self.run("delete object", move |database| {
            change(database, |table| keys.iter().try_for_each(|key| table.remove(key.as_str()).map(drop)))
        })
        .await
    }

    /// Some hundred keys at a time, so that no long transaction keeps old pages alive.
    fn scan(&self, prefix: &str) -> BoxStream<'static, Result<String>> {
        let start = (self.clone(), prefix.to_owned(), Some(prefix.to_owned()));
        let batches = stream::try_unfold(start, |(store, prefix, from)| async move {
            let Some(from) = from else { return Ok(None) };
            let start = prefix.clone();
            let keys = store.run("list objects", move |database| keys_from(database, &from, &start)).await?;
            // The next key there can be is the last one and a NUL.
            let next = keys.last().filter(|_| keys.len() == SCAN_KEYS).map(|last| format!("{last}\0"));
            Ok::<_, Error>(Some((keys, (store, prefix, next))))
        });
        batches.map_ok(|keys| stream::iter(keys.into_iter().map(Ok))).try_flatten().boxed()
    }
}

fn keys_from(database: &Database, from: &str, prefix: &str) -> Result<Vec<String>, redb::Error> {
    let mut keys = Vec::new();
    for entry in read(database)?.range(from..)? {
        let key = entry?.0.value().to_owned();
        if !key.starts_with(prefix) || keys.len() == SCAN_KEYS {
            break;
        }
        keys.push(key);
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use gabion_core::backend::conformance::{Options, check};
    use gabion_core::backend::{Backend, ByteRange, ObjectName, PutMode};
    use tokio::runtime::Builder;

    use super::super::KvBackend;
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    }

    #[test]
    fn keeps_the_contract() {
        let place = tempfile::tempdir().unwrap();
        let store = RedbStore::open(&place.path().join("r.redb"), true).unwrap();
        let options = Options { names: 1200, ..Options::quick() };
        let report = runtime().block_on(check(Arc::new(KvBackend::new(store)), options));
        assert!(report.is_clean(), "{report}");
    }

    #[test]
    fn a_file_is_little_larger_than_what_is_in_it() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("r.redb");
        let backend = KvBackend::new(RedbStore::open(&path, true).unwrap());
        let name = ObjectName::new("segments/0123456789abcdef0123456789abcdef").unwrap();
        let bytes = 64 * MIB;
        runtime().block_on(backend.put(&name, vec![7; bytes].into(), PutMode::Write)).unwrap();
        let file = std::fs::metadata(&path).unwrap().len() as usize;
        assert!(file < bytes + bytes / 4, "{file}");
    }

    #[test]
    fn what_was_put_is_there_after_closing_and_two_never_have_it_open() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("r.redb");
        let name = ObjectName::new("a/1").unwrap();
        let runtime = runtime();
        {
            let backend = KvBackend::new(RedbStore::open(&path, true).unwrap());
            let bytes = vec![5; 3 * MIB + 7];
            runtime.block_on(backend.put(&name, bytes.into(), PutMode::Write)).unwrap();
            let second = RedbStore::open(&path, false).unwrap_err();
            assert_eq!(second.kind(), ErrorKind::Io, "{second}");
        }
        let backend = KvBackend::new(RedbStore::open(&path, false).unwrap());
        let range = ByteRange::Exact { offset: MIB as u64 - 1, length: 3 };
        assert_eq!(runtime.block_on(backend.get(&name, range)).unwrap(), [5; 3][..]);
    }

    #[test]
    fn places_without_a_database_are_told_apart() {
        let place = tempfile::tempdir().unwrap();
        let kind = |path: &Path, create| RedbStore::open(path, create).unwrap_err().kind();
        assert_eq!(kind(&place.path().join("none"), false), ErrorKind::RepositoryNotFound);
        assert_eq!(kind(&place.path().join("none/r"), true), ErrorKind::NotFound);
        assert_eq!(kind(place.path(), false), ErrorKind::NotARepository);
        let text = place.path().join("text");
        std::fs::write(&text, "no database, just a text that somebody wrote").unwrap();
        assert_eq!(kind(&text, false), ErrorKind::NotARepository);
        assert_eq!(std::fs::read_to_string(&text).unwrap(), "no database, just a text that somebody wrote");
    }

    #[test]
    fn locations() {
        for (text, shown) in [
            ("/a/b.redb", "redb:/a/b.redb"),
            ("///a%20b", "redb:/a%20b"),
            ("//localhost/%2541%ff", "redb:/%2541%FF"),
            ("c.redb", "redb:c.redb"),
        ] {
            let location = RedbLocation::parse(text).unwrap();
            assert_eq!(location.to_string(), shown);
            assert_eq!(RedbLocation::parse(shown.strip_prefix("redb:").unwrap()).unwrap(), location);
        }
        for text in ["", "/", "/a?b=c", "/%00", "//localhostile/x", "//host/x"] {
            assert_eq!(RedbLocation::parse(text).unwrap_err().kind(), ErrorKind::InvalidInput, "{text}");
        }
    }
}

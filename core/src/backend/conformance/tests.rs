//! The suite is a net: the reference backend passes, and every flaw of a list of flaws is caught by the check that
//! is meant for it.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::runtime::Builder;
use tokio::task::yield_now;

use super::super::{ByteRange, Capabilities, MemoryBackend, ObjectMeta, ObjectName, Payload, Prefix, PutMode};
use super::*;
use crate::error::{Error, ErrorKind, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    PutTearsOpen,
    PutForgetsLaterPieces,
    PutSkipsEmpty,
    PutRefusesExisting,
    ReplaceCreates,
    ReplaceIsDeleteAndPut,
    ReplaceUnsupportedButDone,
    GetShort,
    GetIgnoresLimit,
    GetMissingIsEmpty,
    GetMissingIsIo,
    GetPanicsOnHugeRange,
    GetForgetsObject,
    MissingIsTemporary,
    HeadRoundsUp,
    DeleteMissingFails,
    DeleteDoesNothing,
    DeletePrefix,
    ListByString,
    ListTwice,
    ListFirstPage,
    ListErrorIsEmptyAtAll,
    ListStale,
    NamesWithDotsRefused,
}

#[derive(Debug)]
struct Flawed(MemoryBackend, Flaw);

impl Flawed {
    fn has(&self, flaw: Flaw) -> bool {
        self.1 == flaw
    }

    fn missing(&self, error: Error, name: &ObjectName) -> Error {
        match self.1 {
            Flaw::GetMissingIsIo => Error::new(ErrorKind::Io, "get object").with("object", name),
            Flaw::GetForgetsObject => Error::new(error.kind(), "get object"),
            Flaw::MissingIsTemporary => error.temporary(),
            _ => error,
        }
    }
}

/// Lets every other task have a few turns.
async fn others_turn() {
    for _ in 0..10 {
        yield_now().await;
    }
}

#[async_trait]
impl Backend for Flawed {
    fn location(&self) -> &str {
        self.0.location()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { replace_existing: !self.has(Flaw::ReplaceUnsupportedButDone), ..self.0.capabilities() }
    }

    async fn put(&self, name: &ObjectName, mut payload: Payload, mode: PutMode) -> Result<()> {
        let exists = self.0.head(name).await.is_ok();
        match self.1 {
            Flaw::PutTearsOpen => {
                let whole = payload.clone().into_bytes();
                self.0.put(name, whole.slice(..whole.len() / 2).into(), mode).await?;
                others_turn().await;
            }
            Flaw::PutForgetsLaterPieces => payload = payload.pieces().first().cloned().unwrap_or_default().into(),
            Flaw::PutSkipsEmpty if payload.is_empty() => return Ok(()),
            Flaw::PutRefusesExisting if exists && mode == PutMode::Write => {
                return Err(Error::new(ErrorKind::AlreadyExists, "put object").with("object", name));
            }
            Flaw::ReplaceCreates => return self.0.put(name, payload, PutMode::Write).await,
            Flaw::ReplaceIsDeleteAndPut if mode == PutMode::ReplaceExisting && exists => {
                self.0.delete(name).await?;
                others_turn().await;
                return self.0.put(name, payload, PutMode::Write).await;
            }
            Flaw::NamesWithDotsRefused if name.as_str().contains("..") => {
                return Err(Error::new(ErrorKind::InvalidInput, "put object").with("object", name));
            }
            _ => {}
        }
        self.0.put(name, payload, mode).await
    }

    async fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
        let whole = match self.0.get(name, ByteRange::WHOLE).await {
            Err(_) if self.has(Flaw::GetMissingIsEmpty) => return Ok(Bytes::new()),
            other => other.map_err(|error| self.missing(error, name))?,
        };
        match range {
            ByteRange::Exact { offset, length } if self.has(Flaw::GetShort) => {
                let start = offset.min(whole.len() as u64) as usize;
                let end = offset.saturating_add(length).min(whole.len() as u64) as usize;
                Ok(whole.slice(start..end))
            }
            ByteRange::All { .. } if self.has(Flaw::GetIgnoresLimit) => Ok(whole),
            ByteRange::Exact { offset, length } if self.has(Flaw::GetPanicsOnHugeRange) => {
                assert!(offset.checked_add(length).is_some(), "overflow");
                self.0.get(name, range).await
            }
            _ => self.0.get(name, range).await,
        }
    }

    async fn head(&self, name: &ObjectName) -> Result<ObjectMeta> {
        let mut meta = self.0.head(name).await.map_err(|error| self.missing(error, name))?;
        if self.has(Flaw::HeadRoundsUp) {
            meta.bytes = meta.bytes.next_multiple_of(512);
        }
        Ok(meta)
    }

    async fn delete(&self, name: &ObjectName) -> Result<()> {
        match self.1 {
            Flaw::DeleteMissingFails => self.0.head(name).await.map(drop)?,
            Flaw::DeleteDoesNothing => return Ok(()),
            Flaw::DeletePrefix => {
                let prefix = Prefix::new(name.as_str().split('/').next().unwrap_or_default())?;
                for object in self.0.list(&prefix).collect::<Vec<_>>().await {
                    self.0.delete(&object?.name).await?;
                }
            }
            _ => {}
        }
        self.0.delete(name).await
    }

    fn list(&self, prefix: &Prefix) -> BoxStream<'static, Result<ObjectMeta>> {
        let start = prefix.parts().unwrap_or_default().to_owned();
        match self.1 {
            Flaw::ListByString => {
                let fits = move |object: &Result<ObjectMeta>| {
                    std::future::ready(object.as_ref().is_ok_and(|object| object.name.as_str().starts_with(&start)))
                };
                self.0.list(&Prefix::all()).filter(fits).boxed()
            }
            Flaw::ListTwice => self.0.list(prefix).chain(self.0.list(prefix).take(1)).boxed(),
            Flaw::ListFirstPage => self.0.list(prefix).take(250).boxed(),
            Flaw::ListErrorIsEmptyAtAll if start.is_empty() => stream::empty().boxed(),
            Flaw::ListStale => self.0.list(prefix).skip(1).boxed(),
            _ => self.0.list(prefix),
        }
    }
}

/// One thread, so that tasks take turns and every run is the same.
fn run(backend: impl Backend, options: Options) -> Report {
    Builder::new_current_thread().enable_all().build().unwrap().block_on(check(Arc::new(backend), options))
}

#[test]
fn the_reference_backend_keeps_the_contract() {
    let memory = MemoryBackend::new();
    let report = run(memory.clone(), Options::full());
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.checks.len(), CHECKS.len() + 1);
    let left = memory.list(&Prefix::all()).collect::<Vec<_>>();
    assert!(Builder::new_current_thread().build().unwrap().block_on(left).is_empty());
}

#[test]
fn several_threads_make_no_difference() {
    let runtime = Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let report = runtime.block_on(check(Arc::new(MemoryBackend::new()), Options::quick()));
    assert!(report.is_clean(), "{report}");
}

#[test]
fn every_flaw_is_caught_by_its_check() {
    use Flaw::*;
    let cases = [
        (PutTearsOpen, 8, "a dropped put leaves nothing half-written"),
        (PutTearsOpen, 1, "a reader never sees half a put"),
        (PutForgetsLaterPieces, 1, "pieces are joined in order"),
        (PutForgetsLaterPieces, 1, "a large object comes back whole"),
        (PutSkipsEmpty, 1, "an empty object is an object"),
        (PutRefusesExisting, 2, "the same put again is fine"),
        (PutRefusesExisting, 8, "the same put at once is fine"),
        (ReplaceCreates, 2, "only what exists is replaced"),
        (ReplaceCreates, 2, "a replacement never revives the deleted"),
        (ReplaceIsDeleteAndPut, 2, "a reader never sees half a replacement"),
        (ReplaceUnsupportedButDone, 2, "only what exists is replaced"),
        (GetShort, 3, "ranges past the end fail"),
        (GetIgnoresLimit, 3, "too long objects are refused"),
        (GetMissingIsEmpty, 3, "missing names are not found"),
        (GetMissingIsEmpty, 4, "deleted names are not found"),
        (GetMissingIsIo, 3, "missing names are not found"),
        (GetPanicsOnHugeRange, 9, "lying ranges are refused"),
        (GetForgetsObject, 7, "errors name the object"),
        (MissingIsTemporary, 7, "errors name the object"),
        (HeadRoundsUp, 1, "an object comes back whole"),
        (HeadRoundsUp, 10, "sizes are told"),
        (DeleteMissingFails, 4, "deleted names are not found"),
        (DeleteDoesNothing, 4, "everything can be removed"),
        (DeletePrefix, 4, "deleted names are not found"),
        (DeletePrefix, 8, "many tasks at once agree"),
        (ListByString, 5, "lists go by whole parts"),
        (ListTwice, 5, "stable names are listed once during change"),
        (ListFirstPage, 5, "long lists are complete"),
        (ListErrorIsEmptyAtAll, 5, "lists go by whole parts"),
        (ListStale, 5, "lists follow puts and deletes"),
        (NamesWithDotsRefused, 9, "every valid name is a name"),
    ];
    for (flaw, rule, name) in cases {
        let report = run(Flawed(MemoryBackend::new(), flaw), Options { large_bytes: 3_000_000, ..Options::quick() });
        let caught = report.findings.iter().any(|finding| finding.rule == rule && finding.check == name);
        assert!(caught, "{flaw:?} escapes \"{name}\": {report}");
    }
}

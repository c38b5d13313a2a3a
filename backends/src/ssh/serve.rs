//! The other side: what `gabion serve` does with what a client sends.
//!
//! A server serves one client and one repository, in a directory of its own machine. It never sees a key. It holds
//! the client to the paths, permissions and quota it was started with, takes only objects whose end fits the rest,
//! and answers a put when the object is durable.
//!
//! One thread reads requests, one writes answers, the store works on the threads of a runtime. Reading never waits
//! for anything but the client, so a client that keeps to the bounds of the protocol is never stuck; one that does
//! not is told and left. When the input ends, what is under way is finished and the rest forgotten.

use std::collections::HashMap;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use gabion_core::backend::{Backend, ByteRange, ObjectName, Payload, Permissions, Prefix, PutMode};
use gabion_core::error::{Error, ErrorKind, Result};
use gabion_core::limits::OBJECT_BYTES_MAX;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, mpsc};

use super::errors::CLIENT_SENT;
use super::place::{Places, check_top};
use super::protocol::{
    GREETING_BYTES, Header, Kind, Opened, PAGE_OBJECTS, PIECE_BYTES, PUT_BYTES_MAX, Page, REQUESTS_MAX, Request,
    VERSION, encode_failure, read_greeting, read_header, read_onto, server_greeting, write_frame,
};
use crate::layer::{PermitBackend, QuotaBackend, VerifyBackend};
use crate::{Access, LocalBackend, Sharing};

const OPERATION: &str = "serve";
/// Frames that wait to be written.
const ANSWERS_WAITING: usize = 16;
/// Bytes of objects that are read and not yet sent, unless it is only one object.
const GET_BYTES_MAX: usize = 128 << 20;
/// In which amounts these bytes are counted.
const GET_UNIT: usize = 1 << 10;

/// To what a client is held.
#[derive(Clone, Debug, Default)]
pub struct ServeOptions {
    /// Only repositories in these directories, or below them. With neither list everything is allowed.
    pub restrict_to_paths: Vec<PathBuf>,
    /// Only these repositories.
    pub restrict_to_repositories: Vec<PathBuf>,
    /// What the client may do.
    pub permissions: Permissions,
    /// Bytes of all objects of the repository.
    pub quota: Option<u64>,
    /// Who may have access to what the client stores.
    pub sharing: Sharing,
    /// Where relative paths begin.
    pub home: Option<PathBuf>,
    /// The version of the program, for the client's messages.
    pub program: String,
}

/// Serves one client until its input ends.
///
/// # Errors
/// `InvalidInput` with the fact [`CLIENT_SENT`] if the client does not keep to the protocol, `Unsupported` if it speaks
/// no version of it that this server knows. What is wrong with a request is told to the client and is no error here, nor is
/// it one if the client is gone: there is nobody to tell.
pub fn serve(input: impl Read, output: impl Write + Send, options: &ServeOptions) -> Result<()> {
    match greet_and_serve(input, output, options) {
        Err(error) if error.kind() == ErrorKind::Connection => Ok(()),
        done => done,
    }
}

fn greet_and_serve(input: impl Read, output: impl Write + Send, options: &ServeOptions) -> Result<()> {
    let mut input = BufReader::with_capacity(PIECE_BYTES, input);
    let mut output = BufWriter::with_capacity(PIECE_BYTES, output);
    if !greet(&mut input, &mut output)? {
        return Ok(());
    }
    let runtime = Builder::new_multi_thread().worker_threads(2).max_blocking_threads(16).build();
    let runtime = runtime.map_err(|error| Error::new(ErrorKind::System, OPERATION).because(error))?;
    let (answers, waiting) = mpsc::channel(ANSWERS_WAITING);
    std::thread::scope(|scope| {
        scope.spawn(move || write_answers(output, waiting));
        let served = converse(&mut input, &answers, &runtime, options);
        if let Err(error) = &served {
            // The client may be gone; whoever reads the server's messages is told in any case.
            let _ = answers.try_send(Answer::failed(0, error));
        }
        // Waits for what the store is doing, then for what is being written.
        drop((runtime, answers));
        served
    })
}

/// Exchanges greetings. `false` if nobody is there.
fn greet(input: &mut impl Read, output: &mut impl Write) -> Result<bool> {
    let mut greeting = Vec::with_capacity(GREETING_BYTES);
    input.by_ref().take(GREETING_BYTES as u64).read_to_end(&mut greeting).map_err(lost)?;
    if greeting.is_empty() {
        return Ok(false);
    }
    let known = <&[u8; GREETING_BYTES]>::try_from(&greeting[..]).ok().and_then(read_greeting);
    let (oldest, newest) = known.ok_or_else(|| against_protocol("something else than a greeting"))?;
    let chosen = if (oldest..=newest).contains(&VERSION) { VERSION } else { 0 };
    output.write_all(&server_greeting(chosen)).and_then(|()| output.flush()).map_err(lost)?;
    if chosen == 0 {
        let versions = format!("versions {oldest} to {newest} of the protocol");
        return Err(Error::new(ErrorKind::Unsupported, OPERATION).with(CLIENT_SENT, versions));
    }
    Ok(true)
}

fn lost(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Connection, OPERATION).because(error)
}

fn against_protocol(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidInput, OPERATION).with(CLIENT_SENT, what)
}

/// A frame for the client.
struct Answer {
    kind: Kind,
    request: u32,
    body: Bytes,
}

impl Answer {
    fn new(kind: Kind, request: u32, body: impl Into<Bytes>) -> Self {
        Self { kind, request, body: body.into() }
    }

    fn failed(request: u32, error: &Error) -> Self {
        Self::new(Kind::Failed, request, encode_failure(error))
    }
}

/// Writes answers until there are no more, or nobody reads them.
fn write_answers(mut output: impl Write, mut waiting: mpsc::Receiver<Answer>) {
    while let Some(answer) = waiting.blocking_recv() {
        let written = write_frame(&mut output, answer.kind, answer.request, &answer.body);
        // Many small answers go in one piece.
        let written = written.and_then(|()| if waiting.is_empty() { output.flush() } else { Ok(()) });
        if written.is_err() {
            return;
        }
    }
    let _ = output.flush();
}

/// Opens the repository and takes requests until the input ends.
fn converse(
    input: &mut impl Read,
    answers: &mpsc::Sender<Answer>,
    runtime: &Runtime,
    options: &ServeOptions,
) -> Result<()> {
    let Some((header, body)) = next_frame(input)? else { return Ok(()) };
    let Ok(Request::Open { access, path }) = Request::decode(header.kind, &body) else {
        return Err(against_protocol("something else than the name of a repository"));
    };
    let opened = Places::new(options).and_then(|places| open(&places.resolve(&path)?, access, options));
    let backend = match opened {
        Ok(backend) => backend,
        Err(error) => {
            let _ = answers.blocking_send(Answer::failed(header.request, &error));
            return Ok(());
        }
    };
    let opened = Opened { capabilities: backend.capabilities(), program: options.program.clone() };
    let _ = answers.blocking_send(Answer::new(Kind::Opened, header.request, opened.encode()));
    let worker = Worker {
        backend,
        answers: answers.clone(),
        get_bytes: Arc::new(Semaphore::new(GET_BYTES_MAX / GET_UNIT)),
        under_way: Arc::default(),
    };
    let mut served = Served { worker, runtime, puts: HashMap::new(), lists: HashMap::new() };
    while let Some(header) = read_header(input).map_err(lost)? {
        served.take(input, header.map_err(against_protocol)?)?;
    }
    Ok(())
}

/// The store of one client: its directory, and what it is held to.
fn open(path: &std::path::Path, access: Access, options: &ServeOptions) -> Result<Arc<dyn Backend>> {
    if access == Access::Create {
        options.permissions.require_all("create repository")?;
    }
    let local = match access {
        Access::Create => LocalBackend::create_shared(path, options.sharing)?,
        _ => LocalBackend::open_shared(path, options.sharing)?,
    };
    check_top(path, options.permissions)?;
    let mut store: Arc<dyn Backend> = Arc::new(VerifyBackend::new(Arc::new(local)));
    if let Some(quota) = options.quota {
        store = Arc::new(QuotaBackend::new(store, quota));
    }
    Ok(Arc::new(PermitBackend::strict(store, options.permissions)))
}

fn next_frame(input: &mut impl Read) -> Result<Option<(Header, Vec<u8>)>> {
    let Some(header) = read_header(input).map_err(lost)? else { return Ok(None) };
    let header = header.map_err(against_protocol)?;
    let mut body = Vec::new();
    read_onto(input, &mut body, header.body_bytes).map_err(lost)?;
    Ok(Some((header, body)))
}

/// What is under way for the client, so that its bounds can be checked.
#[derive(Debug, Default)]
struct UnderWay {
    requests: AtomicUsize,
    put_bytes: AtomicU64,
}

/// A request under way: counted until this is dropped.
struct Counted {
    under_way: Arc<UnderWay>,
    put_bytes: u64,
}

impl Counted {
    fn new(under_way: &Arc<UnderWay>, put_bytes: u64) -> Result<Self> {
        let before = under_way.put_bytes.fetch_add(put_bytes, Ordering::Relaxed);
        let requests = under_way.requests.fetch_add(1, Ordering::Relaxed);
        let counted = Self { under_way: Arc::clone(under_way), put_bytes };
        if requests >= REQUESTS_MAX {
            return Err(against_protocol("too many requests at once"));
        }
        if before > 0 && before.saturating_add(put_bytes) > PUT_BYTES_MAX {
            return Err(against_protocol("too many bytes at once"));
        }
        Ok(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.under_way.put_bytes.fetch_sub(self.put_bytes, Ordering::Relaxed);
        self.under_way.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An object that is arriving.
struct Arriving {
    name: ObjectName,
    mode: PutMode,
    bytes: usize,
    arrived: Vec<u8>,
    counted: Counted,
}

/// The reading side of a conversation.
struct Served<'a> {
    worker: Worker,
    runtime: &'a Runtime,
    puts: HashMap<u32, Arriving>,
    lists: HashMap<u32, mpsc::Sender<()>>,
}

impl Served<'_> {
    fn take(&mut self, input: &mut impl Read, header: Header) -> Result<()> {
        let Header { kind, request, body_bytes } = header;
        if kind == Kind::Piece {
            return self.take_piece(input, request, body_bytes);
        }
        let mut body = Vec::new();
        read_onto(input, &mut body, body_bytes).map_err(lost)?;
        let worker = self.worker.clone();
        let counted = |put_bytes| Counted::new(&worker.under_way, put_bytes);
        match Request::decode(kind, &body).map_err(against_protocol)? {
            Request::Open { .. } => return Err(against_protocol("the name of another repository")),
            Request::Put { name, mode, bytes } => return self.begin_put(request, name, mode, bytes),
            Request::Get { name, range } => {
                let counted = counted(0)?;
                self.runtime.spawn(async move { worker.get(request, &name, range, counted).await });
            }
            Request::Head { name } => {
                let counted = counted(0)?;
                self.runtime.spawn(async move { worker.head(request, &name, counted).await });
            }
            Request::Delete { name } => {
                let counted = counted(0)?;
                self.runtime.spawn(async move { worker.delete(request, &name, counted).await });
            }
            Request::List { prefix } => {
                let counted = counted(0)?;
                // One token is one page that was asked for.
                let (more, asked) = mpsc::channel(1);
                self.lists.retain(|_, list| !list.is_closed());
                self.lists.insert(request, more);
                self.runtime.spawn(async move { worker.list(request, &prefix, asked, counted).await });
            }
            // The end of a list may have been on its way: then there is nobody to tell any more.
            Request::More => {
                if let Some(list) = self.lists.get(&request)
                    && matches!(list.try_send(()), Err(mpsc::error::TrySendError::Full(())))
                {
                    return Err(against_protocol("too many pages at once"));
                }
            }
            Request::Stop => drop(self.lists.remove(&request)),
            Request::Ping => {
                let counted = counted(0)?;
                self.runtime.spawn(async move {
                    worker.answer(Answer::new(Kind::Done, request, Bytes::new()), counted).await;
                });
            }
        }
        Ok(())
    }

    fn begin_put(&mut self, request: u32, name: ObjectName, mode: PutMode, bytes: u64) -> Result<()> {
        if bytes > OBJECT_BYTES_MAX as u64 {
            return Err(against_protocol("an object that is too large"));
        }
        let counted = Counted::new(&self.worker.under_way, bytes)?;
        let arriving = Arriving { name, mode, bytes: bytes as usize, arrived: Vec::new(), counted };
        if self.puts.insert(request, arriving).is_some() {
            return Err(against_protocol("two requests of one number"));
        }
        if bytes == 0 { self.finish_put(request) } else { Ok(()) }
    }

    fn take_piece(&mut self, input: &mut impl Read, request: u32, body_bytes: usize) -> Result<()> {
        let put = self.puts.get_mut(&request).ok_or_else(|| against_protocol("a piece of no object"))?;
        let left = put.bytes - put.arrived.len();
        if body_bytes > left || body_bytes == 0 {
            return Err(against_protocol("a piece that does not fit"));
        }
        read_onto(input, &mut put.arrived, body_bytes).map_err(lost)?;
        if body_bytes == left { self.finish_put(request) } else { Ok(()) }
    }

    fn finish_put(&mut self, request: u32) -> Result<()> {
        if let Some(put) = self.puts.remove(&request) {
            let worker = self.worker.clone();
            self.runtime.spawn(async move { worker.put(request, put).await });
        }
        Ok(())
    }
}

/// The working side: calls the store and answers.
#[derive(Clone)]
struct Worker {
    backend: Arc<dyn Backend>,
    answers: mpsc::Sender<Answer>,
    get_bytes: Arc<Semaphore>,
    under_way: Arc<UnderWay>,
}

impl Worker {
    /// The last answer to a request. The client may make its next one as soon as it has read it, so the request
    /// must not be counted any more.
    async fn answer(&self, answer: Answer, counted: Counted) {
        drop(counted);
        // Fails when nobody reads any more: then reading ends soon, too.
        let _ = self.answers.send(answer).await;
    }

    async fn answer_done(&self, request: u32, done: Result<()>, counted: Counted) {
        let answer = match done {
            Ok(()) => Answer::new(Kind::Done, request, Bytes::new()),
            Err(error) => Answer::failed(request, &error),
        };
        self.answer(answer, counted).await;
    }

    async fn put(&self, request: u32, put: Arriving) {
        let Arriving { name, mode, arrived, counted, .. } = put;
        let done = self.backend.put(&name, Payload::from(arrived), mode).await;
        self.answer_done(request, done, counted).await;
    }

    async fn delete(&self, request: u32, name: &ObjectName, counted: Counted) {
        let done = self.backend.delete(name).await;
        self.answer_done(request, done, counted).await;
    }

    async fn head(&self, request: u32, name: &ObjectName, counted: Counted) {
        let answer = match self.backend.head(name).await {
            Ok(object) => Answer::new(Kind::Size, request, object.bytes.to_le_bytes().to_vec()),
            Err(error) => Answer::failed(request, &error),
        };
        self.answer(answer, counted).await;
    }

    /// Reads an object when there is room for it, and sends its size and its pieces.
    async fn get(&self, request: u32, name: &ObjectName, range: ByteRange, counted: Counted) {
        let bytes = match self.bytes_of(name, range).await {
            Ok(bytes) => bytes,
            Err(error) => return self.answer(Answer::failed(request, &error), counted).await,
        };
        let units = (bytes as usize / GET_UNIT).clamp(1, GET_BYTES_MAX / GET_UNIT) as u32;
        // Never closed; if it were, memory would be bounded by the requests at once.
        let _room = self.get_bytes.acquire_many(units).await;
        let object = match self.backend.get(name, range).await {
            Ok(object) => object,
            Err(error) => return self.answer(Answer::failed(request, &error), counted).await,
        };
        let size = Answer::new(Kind::Size, request, (object.len() as u64).to_le_bytes().to_vec());
        if object.is_empty() {
            return self.answer(size, counted).await;
        }
        let _ = self.answers.send(size).await;
        let mut rest = object;
        while rest.len() > PIECE_BYTES {
            let _ = self.answers.send(Answer::new(Kind::Piece, request, rest.split_to(PIECE_BYTES))).await;
        }
        self.answer(Answer::new(Kind::Piece, request, rest), counted).await;
    }

    async fn bytes_of(&self, name: &ObjectName, range: ByteRange) -> Result<u64> {
        match range {
            ByteRange::Exact { length, .. } => Ok(length.min(OBJECT_BYTES_MAX as u64)),
            ByteRange::All { .. } => Ok(self.backend.head(name).await?.bytes),
        }
    }

    /// Sends the first page at once and each further one when it is asked for.
    async fn list(&self, request: u32, prefix: &Prefix, mut asked: mpsc::Receiver<()>, counted: Counted) {
        use futures_util::StreamExt as _;

        let mut objects = self.backend.list(prefix).chunks(PAGE_OBJECTS);
        let mut next = objects.next().await;
        loop {
            let page = match next.unwrap_or_default().into_iter().collect::<Result<Vec<_>>>() {
                Err(error) => return self.answer(Answer::failed(request, &error), counted).await,
                Ok(objects) => Page { last: objects.len() < PAGE_OBJECTS, objects },
            };
            let answer = Answer::new(Kind::Page, request, page.encode());
            if page.last {
                return self.answer(answer, counted).await;
            }
            let _ = self.answers.send(answer).await;
            next = objects.next().await;
            if asked.recv().await.is_none() {
                return self.answer(Answer::new(Kind::Done, request, Bytes::new()), counted).await;
            }
        }
    }
}

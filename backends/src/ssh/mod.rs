//! Repositories on another machine, by way of `gabion serve` over there: `ssh://[user@]host[:port]/path`.
//!
//! The user's own `ssh` makes the connection, so its configuration, agent, jump hosts and questions are those people
//! know. Requests are multiplexed and pipelined; `docs/serve-protocol.md` describes the frames. The store over there
//! is the directory a [`LocalBackend`](crate::LocalBackend) makes, so one and the same repository can also be opened
//! locally or by `sftp:`.
//!
//! A connection that is lost makes what is under way fail with a temporary error; the next call connects again.

mod answers;
mod command;
mod connection;
pub mod errors;
mod loss;
mod place;
mod protocol;
mod reconnect;
mod serve;
mod target;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use gabion_core::backend::{
    Backend, ByteRange, Capabilities, ObjectMeta, ObjectName, Payload, Prefix, PutMode, check_length,
};
use gabion_core::error::{Error, ErrorKind, Result};
use tokio::sync::{mpsc, oneshot};

use crate::Access;
use answers::{Arriving, Expected, Waiting};
use connection::{Connection, Link, Patience, pieces_of};
use protocol::{Opened, Page, Request};

pub use command::SshCommand;
#[cfg(feature = "sftp")]
pub(crate) use connection::TICK;
pub(crate) use loss::Loss;
pub(crate) use reconnect::Reconnect;
pub use serve::{ServeOptions, serve};
pub use target::Target;

/// Calls worth having under way at once, whatever is over there: a line has its latency.
pub(crate) const CONCURRENCY: usize = 8;
pub(crate) const CONNECT: &str = "connect to server";

/// How a server is reached.
#[derive(Clone, Debug)]
pub struct SshOptions {
    /// The programs.
    pub command: SshCommand,
    /// How long a server may be silent while something is expected of it.
    pub patience: Duration,
}

impl Default for SshOptions {
    /// The plain command, and two minutes.
    fn default() -> Self {
        Self { command: SshCommand::default(), patience: Duration::from_secs(120) }
    }
}

/// A repository behind a server.
#[derive(Debug)]
pub struct SshBackend {
    remote: Arc<Remote>,
    location: String,
    capabilities: Capabilities,
}

impl SshBackend {
    /// Connects and opens the directory, which with [`Access::Create`] is made if what is above it exists.
    ///
    /// Blocks while it connects, and ssh may ask its questions meanwhile. Errors: those of
    /// [`LocalBackend`](crate::LocalBackend) over there; `PermissionDenied` with the fact [`errors::REFUSED_PATH`];
    /// `Connection` and `TimedOut` if there is no connection, with the fact [`errors::SERVER_SENT`] if what is there is
    /// no server; `Unsupported` with the fact [`errors::SERVER_SPEAKS`] if it is one of another time.
    pub fn open(target: &Target, access: Access, options: &SshOptions) -> Result<Self> {
        let (command, at) = (options.command.clone(), target.clone());
        let way = move || {
            let child = command.serve(&at).spawn();
            Link::of_child(child.map_err(|error| Loss::not_started(error.to_string()))?)
        };
        Self::over(Box::new(way), target, access, options.patience)
    }

    /// Opens a repository over any way to a server.
    fn over(way: Way, target: &Target, access: Access, patience: Duration) -> Result<Self> {
        let mut remote = Remote { way, target: target.clone(), patience, current: Reconnect::new(None) };
        let (connection, opened) = remote.connect(access).map_err(|loss| loss.of_host(target))??;
        remote.current = Reconnect::new(Some(connection));
        let list_staleness = target.list_staleness.unwrap_or(opened.capabilities.list_staleness);
        let concurrency = opened.capabilities.concurrency.max(CONCURRENCY);
        let capabilities = Capabilities { list_staleness, concurrency, ..opened.capabilities };
        Ok(Self { remote: Arc::new(remote), location: format!("ssh:{target}"), capabilities })
    }

    /// Sends a request whose answer is of one piece, and waits for it.
    async fn ask<T>(
        &self,
        operation: &'static str,
        name: &ObjectName,
        request: Request,
        expected: impl FnOnce(oneshot::Sender<Result<T>>) -> Expected,
    ) -> Result<T> {
        let connection = self.remote.connection(operation).await.map_err(|error| error.with("object", name))?;
        let room = connection.room.take(0).await;
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting { operation, object: Some(name.clone()), expected: expected(reply), _room: room };
        connection.send(&request, waiting);
        answer.await.unwrap_or_else(|_| Err(forgotten(operation)))
    }
}

/// An answer that never comes although the connection did not end: a defect, not a fact of the world.
fn forgotten(operation: &'static str) -> Error {
    Error::new(ErrorKind::System, operation).with("reason", "the answer was lost in this program")
}

/// Makes a new way to the server.
type Way = Box<dyn Fn() -> Result<Link, Loss> + Send + Sync>;

/// The machine over there, connected or not.
struct Remote {
    way: Way,
    target: Target,
    patience: Duration,
    current: Reconnect<Connection>,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Remote").field(&self.target).finish()
    }
}

impl Remote {
    /// The connection there is, or a new one.
    async fn connection(self: &Arc<Self>, operation: &'static str) -> Result<Arc<Connection>> {
        let remote = Arc::clone(self);
        let connect = async move {
            let connected = tokio::task::spawn_blocking(move || remote.connect(Access::Existing)).await;
            let connected =
                connected.unwrap_or_else(|error| Ok(Err(Error::new(ErrorKind::System, operation).because(error))));
            connected?.map(|(connection, _)| connection).map_err(|refused| Loss::refused(&refused))
        };
        let connected = self.current.get(Instant::now(), Connection::is_alive, connect).await;
        connected.map_err(|loss| loss.of_host(&self.target))
    }

    /// Starts ssh and opens the repository. The loss of a connection is one, what a server answers is the rest.
    fn connect(&self, access: Access) -> Result<Result<(Arc<Connection>, Opened)>, Loss> {
        let patience = Patience { greeting: self.patience.max(GREETING), answer: self.patience };
        let connection = (self.way)().and_then(|link| Connection::start(link, patience))?;
        let (reply, answer) = oneshot::channel();
        let expected = Expected::Opened(reply);
        let waiting = Waiting { operation: "open repository", object: None, expected, _room: Vec::new() };
        connection.send(&Request::Open { access, path: self.target.remote_path() }, waiting);
        let opened = wait(answer).unwrap_or_else(|| Err(forgotten(CONNECT)));
        let is_lost = |error: &Error| matches!(error.kind(), ErrorKind::Connection | ErrorKind::TimedOut);
        match connection.loss().filter(|_| opened.as_ref().is_err_and(is_lost)) {
            Some(loss) => Err(loss),
            None => Ok(opened.map(|opened| (Arc::new(connection), opened))),
        }
    }
}

/// How long a server may take to greet: logging in has its questions.
pub(crate) const GREETING: Duration = Duration::from_secs(300);

/// Waits for an answer where nothing may be awaited.
fn wait<T: Send + 'static>(answer: oneshot::Receiver<T>) -> Option<T> {
    // The thread of a runtime must not block in `blocking_recv`, but it may wait for another thread.
    std::thread::spawn(move || answer.blocking_recv().ok()).join().ok().flatten()
}

#[async_trait]
impl Backend for SshBackend {
    fn location(&self) -> &str {
        &self.location
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    async fn put(&self, name: &ObjectName, payload: Payload, mode: PutMode) -> Result<()> {
        let operation = match mode {
            PutMode::Write => "put object",
            PutMode::ReplaceExisting => "replace object",
        };
        let bytes = payload.len() as u64;
        check_length(operation, name, bytes, self.capabilities.max_object_bytes)?;
        let connection = self.remote.connection(operation).await.map_err(|error| error.with("object", name))?;
        let room = connection.room.take(bytes).await;
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting { operation, object: Some(name.clone()), expected: Expected::Done(reply), _room: room };
        connection.send_put(&Request::Put { name: name.clone(), mode, bytes }, pieces_of(payload.pieces()), waiting);
        drop(payload);
        answer.await.unwrap_or_else(|_| Err(forgotten(operation)))
    }

    async fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
        let request = Request::Get { name: name.clone(), range };
        self.ask("get object", name, request, |reply| Expected::Object(reply, Arriving::new(range))).await
    }

    async fn head(&self, name: &ObjectName) -> Result<ObjectMeta> {
        let request = Request::Head { name: name.clone() };
        let bytes = self.ask("head object", name, request, Expected::Size).await?;
        Ok(ObjectMeta { name: name.clone(), bytes })
    }

    async fn delete(&self, name: &ObjectName) -> Result<()> {
        self.ask("delete object", name, Request::Delete { name: name.clone() }, Expected::Done).await
    }

    /// Comes in pages; while one is read, the next is on its way.
    fn list(&self, prefix: &Prefix) -> BoxStream<'static, Result<ObjectMeta>> {
        let (remote, prefix) = (Arc::clone(&self.remote), prefix.clone());
        stream::once(async move { Ok(Pages::begin(&remote, prefix).await?.stream()) }).try_flatten().boxed()
    }
}

/// A list under way.
struct Pages {
    connection: Arc<Connection>,
    /// Its number, until its end came.
    request: Option<u32>,
    prefix: Prefix,
    pages: mpsc::UnboundedReceiver<Result<Page>>,
}

impl Pages {
    async fn begin(remote: &Arc<Remote>, prefix: Prefix) -> Result<Self> {
        let operation = "list objects";
        let connection = remote.connection(operation).await?;
        let room = connection.room.take(0).await;
        let (reply, pages) = mpsc::unbounded_channel();
        let expected = Expected::Page { reply, asked: true };
        let waiting = Waiting { operation, object: None, expected, _room: room };
        let request = connection.send(&Request::List { prefix: prefix.clone() }, waiting);
        Ok(Self { connection, request, prefix, pages })
    }

    /// The next page, after the one behind it was asked for.
    async fn next(&mut self) -> Result<Option<Vec<ObjectMeta>>> {
        let Some(page) = self.pages.recv().await else {
            return if self.request.is_none() { Ok(None) } else { Err(forgotten("list objects")) };
        };
        let page = page.inspect_err(|_| self.request = None)?;
        if page.last {
            self.request = None;
            self.pages.close();
        }
        if let Some(request) = self.request {
            self.connection.ask_page(request);
        }
        match page.objects.iter().find(|object| !self.prefix.covers(&object.name)) {
            None => Ok(Some(page.objects)),
            Some(object) => Err(Error::new(ErrorKind::Connection, "list objects")
                .with(errors::SERVER_SENT, "an object that was not asked for")
                .with("object", &object.name)),
        }
    }

    fn stream(self) -> impl stream::Stream<Item = Result<ObjectMeta>> {
        let pages = stream::try_unfold(self, |mut pages| async move {
            Ok(pages.next().await?.map(|objects| (stream::iter(objects.into_iter().map(Ok)), pages)))
        });
        pages.try_flatten()
    }
}

impl Drop for Pages {
    /// Tells the server, without waiting, that nobody reads on.
    fn drop(&mut self) {
        if let Some(request) = self.request {
            self.connection.stop_list(request);
        }
    }
}

#[cfg(test)]
mod tests;

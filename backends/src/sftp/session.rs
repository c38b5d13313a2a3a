//! The connection: a child `ssh -s host sftp`, the library that speaks with it, and a watch that ends a silent one.
//!
//! The library works on a runtime of its own, because a store must outlive the runtime that calls it.

use std::io;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use gabion_core::error::{Error, ErrorKind, Result};
use openssh_sftp_client::{Sftp, SftpOptions};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::runtime::{Builder, Runtime};

use crate::ssh::{CONNECT, GREETING, Loss, Reconnect, SshOptions, TICK, Target};

/// The machine over there, connected or not.
#[derive(Debug)]
pub(super) struct Remote {
    target: Target,
    options: SshOptions,
    current: Arc<Reconnect<Session>>,
    /// Whether a list showed what stepped aside for a put, over whichever connection.
    found_aside: Arc<AtomicBool>,
    /// Taken when this is dropped.
    runtime: Mutex<Option<Runtime>>,
    handle: tokio::runtime::Handle,
}

impl Remote {
    /// Not connected yet.
    pub fn new(target: &Target, options: &SshOptions) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(2).thread_name("gabion-sftp").enable_all().build();
        let runtime = runtime.map_err(|error| Error::new(ErrorKind::System, CONNECT).because(error))?;
        let handle = runtime.handle().clone();
        Ok(Self {
            target: target.clone(),
            options: options.clone(),
            current: Arc::new(Reconnect::new(None)),
            found_aside: Arc::default(),
            runtime: Mutex::new(Some(runtime)),
            handle,
        })
    }

    /// Does something with the server, connecting first if need be. It is finished even if the caller loses interest.
    pub async fn run<T, W, F>(&self, operation: &'static str, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(Arc<Session>) -> F + Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let done = self.handle.spawn(self.task(work)).await;
        done.unwrap_or_else(|error| Err(Error::new(ErrorKind::System, operation).because(error)))
    }

    /// The same for callers that can not await.
    pub fn wait<T, W, F>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(Arc<Session>) -> F + Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let (reply, answer) = std::sync::mpsc::channel();
        let task = self.task(work);
        self.handle.spawn(async move { reply.send(task.await) });
        answer.recv().unwrap_or_else(|error| Err(Error::new(ErrorKind::System, CONNECT).because(error)))
    }

    fn task<T, W, F>(&self, work: W) -> impl Future<Output = Result<T>> + Send + use<T, W, F>
    where
        T: Send + 'static,
        W: FnOnce(Arc<Session>) -> F + Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let (current, target, options) = (Arc::clone(&self.current), self.target.clone(), self.options.clone());
        let (asked, found_aside) = (Instant::now(), Arc::clone(&self.found_aside));
        async move {
            let (host, connect) =
                (target.clone(), async move { Session::connect(&target, &options, found_aside).await });
            let session = current.get(asked, Session::is_alive, connect).await;
            let session = session.map_err(|loss| loss.of_host(&host))?;
            let _awaited = session.link.expect_answer();
            let done = work(Arc::clone(&session)).await;
            match done {
                Err(error) if error.kind() == ErrorKind::Connection => Err(session.lost(error)),
                done => done,
            }
        }
    }
}

impl Drop for Remote {
    /// Waits for nothing: every put that was answered is where it belongs.
    fn drop(&mut self) {
        let runtime = self.runtime.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        runtime.into_iter().for_each(Runtime::shutdown_background);
    }
}

/// A connection that was made.
#[derive(Debug)]
pub(super) struct Session {
    /// What the library offers.
    pub sftp: Sftp,
    /// The directory of the repository, without a slash at its end.
    pub root: String,
    /// Whether a list showed what stepped aside for a put.
    pub found_aside: Arc<AtomicBool>,
    link: Arc<Link>,
}

impl Session {
    async fn connect(target: &Target, options: &SshOptions, found_aside: Arc<AtomicBool>) -> Result<Arc<Self>, Loss> {
        let mut command = Command::from(options.command.sftp(target));
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| Loss::not_started(error.to_string()))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Loss::not_started("it has no input or no output"));
        };
        let link = Arc::new(Link::new(child));
        tokio::spawn(Arc::clone(&link).watch(options.patience));
        let _awaited = link.expect_answer();
        let (input, output) = (Watched(input, Arc::clone(&link)), Watched(output, Arc::clone(&link)));
        // As long as ssh asks its questions, nothing moves.
        link.greeting.store(true, Ordering::Relaxed);
        let sftp = Sftp::new(input, output, SftpOptions::new().flush_interval(Duration::ZERO)).await;
        link.greeting.store(false, Ordering::Relaxed);
        let sftp = match sftp {
            Ok(sftp) => sftp,
            Err(error) => {
                let loss = match link.silent.load(Ordering::Relaxed) {
                    0 => Loss::closed(error.to_string()),
                    seconds => Loss::silent(Duration::from_secs(seconds)),
                };
                // An ssh that ended has told the user why.
                return Err(link.end().await.map_or(loss.clone(), |status| loss.after(status)));
            }
        };
        let root = if target.path == "/" { "" } else { target.path.trim_end_matches('/') };
        Ok(Arc::new(Self { sftp, root: root.to_owned(), found_aside, link }))
    }

    fn is_alive(&self) -> bool {
        !self.link.lost.load(Ordering::Relaxed)
    }

    /// Notes that the connection ended, and says so if it was for silence.
    fn lost(&self, error: Error) -> Error {
        self.link.lost.store(true, Ordering::Relaxed);
        match self.link.silent.load(Ordering::Relaxed) {
            0 => error,
            seconds => {
                let silent = Error::new(ErrorKind::TimedOut, error.operation());
                silent.with("reason", format!("no sign of life for {seconds} seconds")).temporary()
            }
        }
    }
}

/// The child, and when it last gave a sign of life.
#[derive(Debug)]
struct Link {
    began: Instant,
    /// Milliseconds since then.
    moved: AtomicU64,
    /// Calls that wait for the server.
    awaited: AtomicUsize,
    greeting: AtomicBool,
    lost: AtomicBool,
    /// For how many seconds it was silent when it was given up; zero if it was not.
    silent: AtomicU64,
    child: tokio::sync::Mutex<Child>,
}

impl Link {
    fn new(child: Child) -> Self {
        Self {
            began: Instant::now(),
            moved: AtomicU64::new(0),
            awaited: AtomicUsize::new(0),
            greeting: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            silent: AtomicU64::new(0),
            child: tokio::sync::Mutex::new(child),
        }
    }

    fn note_moved(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(now, Ordering::Relaxed);
    }

    /// The server is expected to answer as long as the guard lives.
    fn expect_answer(self: &Arc<Self>) -> Awaited {
        if self.awaited.fetch_add(1, Ordering::Relaxed) == 0 {
            self.note_moved();
        }
        Awaited(Arc::clone(self))
    }

    /// Ends a child from which nothing came for too long although something was expected.
    async fn watch(self: Arc<Self>, patience: Duration) {
        while !self.lost.load(Ordering::Relaxed) && Arc::strong_count(&self) > 1 {
            tokio::time::sleep(TICK).await;
            let limit = if self.greeting.load(Ordering::Relaxed) { patience.max(GREETING) } else { patience };
            let moved = Duration::from_millis(self.moved.load(Ordering::Relaxed));
            let silent = self.began.elapsed().saturating_sub(moved);
            if self.awaited.load(Ordering::Relaxed) > 0 && silent > limit {
                self.silent.store(silent.as_secs().max(1), Ordering::Relaxed);
                // The library finds the end of the output and tells everybody.
                let _ = self.child.lock().await.start_kill();
                return;
            }
        }
    }

    /// How a child ended whose output ended.
    async fn end(&self) -> Option<ExitStatus> {
        self.lost.store(true, Ordering::Relaxed);
        let mut child = self.child.lock().await;
        match tokio::time::timeout(Duration::from_secs(5), child.wait()).await {
            Ok(status) => status.ok(),
            Err(_) => {
                let _ = child.start_kill();
                None
            }
        }
    }
}

/// Something is expected of the server.
struct Awaited(Arc<Link>);

impl Drop for Awaited {
    fn drop(&mut self) {
        self.0.awaited.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream that notes that bytes move.
struct Watched<S>(S, Arc<Link>);

impl AsyncRead for Watched<ChildStdout> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.0).poll_read(context, buffer))?;
        self.1.note_moved();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched<ChildStdin> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.0).poll_write(context, bytes))?;
        self.1.note_moved();
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

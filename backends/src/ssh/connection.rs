//! One connection to a server: a child process, and the requests that are under way.
//!
//! Three threads belong to it: one writes requests, one reads answers, one watches. Large objects are written in
//! pieces, one after the other, and everything else goes between their pieces. The watcher asks whether the server is still there when it has been silent
//! for a while although something is expected of it, and ends a child that stays silent: so no call hangs for ever,
//! and a slow line is no dead one, because bytes that move in either direction count.
//!
//! Everything that is under way fails together when the connection ends, with the same reason. What the caller no
//! longer wants is finished all the same.

use std::collections::VecDeque;
use std::io::{BufReader, BufWriter, Read, Write};
use std::process::Child;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::answers::{Answers, Expected, Next, Waiting, Waits};
use super::loss::Loss;
use super::protocol::{
    GREETING_BYTES, Kind, PIECE_BYTES, PUT_BYTES_MAX, REQUESTS_MAX, Request, VERSION, client_greeting, read_greeting,
    read_header, read_onto, write_frame,
};

/// How often the watcher looks.
pub(crate) const TICK: Duration = Duration::from_millis(250);
/// How long a child may go on after its output ended.
const FAREWELL: Duration = Duration::from_secs(5);
/// In which amounts bytes under way are counted.
const UNIT: u64 = 1 << 10;
/// Bytes of a greeting that is none which are shown.
const SHOWN_BYTES: usize = 80;

/// A way to a server: what it reads, what it writes, and the process that has to go when it does not.
pub(super) struct Link {
    pub input: Box<dyn Write + Send>,
    pub output: Box<dyn Read + Send>,
    pub process: Option<Child>,
}

impl Link {
    /// The way through a child.
    pub fn of_child(mut child: Child) -> Result<Self, Loss> {
        match (child.stdin.take(), child.stdout.take()) {
            (Some(input), Some(output)) => {
                Ok(Self { input: Box::new(input), output: Box::new(output), process: Some(child) })
            }
            _ => Err(Loss::not_started("it has no input or no output")),
        }
    }
}

/// How long a server may be silent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Until it has greeted: people type passwords meanwhile.
    pub greeting: Duration,
    /// While something is expected of it.
    pub answer: Duration,
}

/// Room for requests and for bytes under way.
#[derive(Clone, Debug)]
pub(super) struct Room {
    requests: Arc<Semaphore>,
    put_bytes: Arc<Semaphore>,
}

impl Room {
    /// All that a server grants.
    fn new() -> Self {
        // One request is left for the question whether the server is there.
        let units = (PUT_BYTES_MAX / UNIT) as usize;
        Self { requests: Arc::new(Semaphore::new(REQUESTS_MAX - 1)), put_bytes: Arc::new(Semaphore::new(units)) }
    }

    /// Waits until one more request fits, and so many bytes of an object that is put.
    pub async fn take(&self, put_bytes: u64) -> Vec<OwnedSemaphorePermit> {
        let units = put_bytes.div_ceil(UNIT).min(PUT_BYTES_MAX / UNIT) as u32;
        let mut room = Vec::new();
        // Neither is ever closed.
        room.extend(Arc::clone(&self.requests).acquire_owned().await);
        room.extend(Arc::clone(&self.put_bytes).acquire_many_owned(units).await);
        room
    }
}

/// A connection, alive or not.
#[derive(Debug)]
pub(super) struct Connection {
    /// What fits under way.
    pub room: Room,
    shared: Arc<Shared>,
    /// The only strong one: writing ends with this connection.
    _outgoing: mpsc::UnboundedSender<Outgoing>,
}

/// What is to be written.
#[derive(Debug)]
enum Outgoing {
    Frame { request: u32, kind: Kind, body: Vec<u8> },
    Put { request: u32, body: Vec<u8>, pieces: VecDeque<Bytes> },
}

impl Outgoing {
    fn frame(request: u32, asked: &Request) -> Self {
        Self::Frame { request, kind: asked.kind(), body: asked.encode() }
    }
}

impl Connection {
    /// Greets the server, and starts the threads.
    pub fn start(link: Link, patience: Patience) -> Result<Self, Loss> {
        let Link { input, output, process } = link;
        let (outgoing, waiting) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            answers: Mutex::default(),
            moved: AtomicU64::new(0),
            process: Mutex::new(process),
            ended: Mutex::new(false),
            wake: Condvar::new(),
            outgoing: outgoing.downgrade(),
        });
        let watcher = Arc::clone(&shared);
        start_thread("gabion-ssh-watch", move || watcher.watch(patience))?;
        let mut input = BufWriter::with_capacity(PIECE_BYTES, input);
        let mut output = BufReader::with_capacity(PIECE_BYTES, output);
        if let Err(loss) = greet(&mut input, &mut output) {
            drop((input, output));
            return Err(shared.end(loss));
        }
        shared.answers().greet();
        let writer = Arc::clone(&shared);
        start_thread("gabion-ssh-write", move || writer.write(input, waiting))?;
        let reader = Arc::clone(&shared);
        start_thread("gabion-ssh-read", move || {
            let loss = reader.read(output);
            reader.end(loss);
        })?;
        Ok(Self { room: Room::new(), shared, _outgoing: outgoing })
    }

    /// Whether it can still be used.
    pub fn is_alive(&self) -> bool {
        self.loss().is_none()
    }

    /// Why it ended, if it did.
    pub fn loss(&self) -> Option<Loss> {
        self.shared.answers().loss()
    }

    /// Sends a request and waits for nothing; the number it got, unless the connection is lost, which was told then.
    pub fn send(&self, request: &Request, waiting: Waiting) -> Option<u32> {
        let number = self.shared.answers().expect(waiting)?;
        self.shared.send(Outgoing::frame(number, request));
        Some(number)
    }

    /// Sends an object behind the request that announces it.
    pub fn send_put(&self, request: &Request, pieces: VecDeque<Bytes>, waiting: Waiting) {
        if let Some(number) = self.shared.answers().expect(waiting) {
            self.shared.send(Outgoing::Put { request: number, body: request.encode(), pieces });
        }
    }

    /// Asks for the next page of a list.
    pub fn ask_page(&self, request: u32) {
        if self.shared.answers().ask_page(request) {
            self.shared.send(Outgoing::frame(request, &Request::More));
        }
    }

    /// Says that nobody reads a list any more.
    pub fn stop_list(&self, request: u32) {
        if self.shared.answers().stop_list(request) {
            self.shared.send(Outgoing::frame(request, &Request::Stop));
        }
    }
}

fn start_thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Loss> {
    let started = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    started.map(drop).map_err(|error| Loss::not_started(error.to_string()))
}

/// Exchanges greetings.
fn greet(input: &mut impl Write, output: &mut impl Read) -> Result<(), Loss> {
    // A server that is gone already may have said why.
    let written = input.write_all(&client_greeting()).and_then(|()| input.flush());
    let mut greeting = Vec::new();
    let read = output.by_ref().take(GREETING_BYTES as u64).read_to_end(&mut greeting);
    read.map_err(|error| Loss::closed(error.to_string()))?;
    if greeting.is_empty() {
        return Err(Loss::closed(written.err().map_or("the server ended".to_owned(), |error| error.to_string())));
    }
    let known = <&[u8; GREETING_BYTES]>::try_from(&greeting[..]).ok().and_then(read_greeting);
    let Some((chosen, newest)) = known else {
        // What stands there is most often a message of the shell: some more of it helps.
        let mut rest = [0; SHOWN_BYTES - GREETING_BYTES];
        let count = if greeting.len() == GREETING_BYTES { output.read(&mut rest).unwrap_or(0) } else { 0 };
        greeting.extend_from_slice(&rest[..count]);
        return Err(Loss::garbage(format!("`{}` instead of a greeting", greeting.escape_ascii())).for_good());
    };
    if chosen == VERSION { Ok(()) } else { Err(Loss::version(newest)) }
}

/// What the threads of a connection share.
#[derive(Debug)]
struct Shared {
    answers: Mutex<Answers>,
    /// Bytes that went in either direction.
    moved: AtomicU64,
    process: Mutex<Option<Child>>,
    /// Whether everything is over, for the watcher.
    ended: Mutex<bool>,
    wake: Condvar,
    /// Weak, so that writing ends when the connection is dropped.
    outgoing: mpsc::WeakUnboundedSender<Outgoing>,
}

impl Shared {
    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn process(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kill(&self) {
        if let Some(child) = &mut *self.process() {
            // Fails when it ended by itself.
            let _ = child.kill();
        }
    }

    fn send(&self, outgoing: Outgoing) {
        // Fails when writing has ended: then reading ends, too, and tells everybody.
        let _ = self.outgoing.upgrade().map(|sender| sender.send(outgoing));
    }

    fn note_moved(&self, bytes: usize) {
        self.moved.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Waits for the child, and tells everybody who waits that the connection is lost. The first reason counts.
    fn end(&self, loss: Loss) -> Loss {
        let loss = self.answers().loss().unwrap_or(loss);
        let loss = self.reap(loss);
        self.answers().fail(&loss);
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wake.notify_all();
        loss
    }

    /// Waits for the end of a child whose output ended; one that goes on for long is ended.
    fn reap(&self, loss: Loss) -> Loss {
        let deadline = Instant::now() + FAREWELL;
        loop {
            let mut process = self.process();
            let Some(child) = &mut *process else { return loss };
            match child.try_wait() {
                Ok(Some(status)) => return loss.after(status),
                Ok(None) if Instant::now() < deadline => {}
                Ok(None) | Err(_) => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return loss;
                }
            }
            drop(process);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Watches until everything is over.
    fn watch(&self, patience: Patience) {
        let (mut moved, mut since, mut asked) = (0, Instant::now(), false);
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        while !*ended {
            ended = self.wake.wait_timeout(ended, TICK).unwrap_or_else(PoisonError::into_inner).0;
            let now = self.moved.load(Ordering::Relaxed);
            let limit = match self.answers().waits() {
                Waits::Greeting => patience.greeting,
                Waits::Answer => patience.answer,
                Waits::Nothing => Duration::MAX,
            };
            if now != moved || limit == Duration::MAX {
                (moved, since, asked) = (now, Instant::now(), false);
                continue;
            }
            let silent = since.elapsed();
            if silent >= limit {
                self.answers().note_loss(Loss::silent(silent));
                // The reader finds the end of the output and tells everybody.
                self.kill();
            } else if silent >= limit / 4 && !asked {
                asked = true;
                self.ask_for_life();
            }
        }
    }

    fn ask_for_life(&self) {
        let waiting = Waiting { operation: "ask server", object: None, expected: Expected::Life, _room: Vec::new() };
        let number = match &mut *self.answers() {
            answers if answers.waits() == Waits::Answer => answers.expect(waiting),
            _ => None,
        };
        if let Some(number) = number {
            self.send(Outgoing::frame(number, &Request::Ping));
        }
    }

    /// Writes until nobody can ask for anything any more.
    fn write(&self, mut output: impl Write, mut waiting: mpsc::UnboundedReceiver<Outgoing>) {
        // Why it failed is the reader's to tell: a server says what it does not like before it ends.
        let _ = self.try_write(&mut output, &mut waiting);
        // Without input the server ends, and with it the child's output.
        drop(output);
    }

    fn try_write(
        &self,
        output: &mut impl Write,
        waiting: &mut mpsc::UnboundedReceiver<Outgoing>,
    ) -> std::io::Result<()> {
        let mut objects: VecDeque<(u32, VecDeque<Bytes>)> = VecDeque::new();
        loop {
            let next = if objects.is_empty() { waiting.blocking_recv() } else { waiting.try_recv().ok() };
            match next {
                Some(Outgoing::Frame { request, kind, body }) => write_frame(output, kind, request, &body)?,
                Some(Outgoing::Put { request, body, pieces }) => {
                    write_frame(output, Kind::Put, request, &body)?;
                    match pieces.len() {
                        0 => {}
                        1 => self.write_piece(output, request, &pieces[0])?,
                        _ => objects.push_back((request, pieces)),
                    }
                }
                None if objects.is_empty() => return output.flush(),
                None => {}
            }
            // One object after the other: a connection that breaks shall have brought some of them.
            if let Some((request, pieces)) = objects.front_mut() {
                if let Some(piece) = pieces.pop_front() {
                    self.write_piece(output, *request, &piece)?;
                }
                if pieces.is_empty() {
                    objects.pop_front();
                }
            }
            if objects.is_empty() && waiting.is_empty() {
                // A question is no sign of life, nor is that it was asked.
                output.flush()?;
            }
        }
    }

    fn write_piece(&self, output: &mut impl Write, request: u32, piece: &[u8]) -> std::io::Result<()> {
        write_frame(output, Kind::Piece, request, piece)?;
        self.note_moved(piece.len());
        Ok(())
    }

    /// Reads answers until there are no more, and tells why.
    fn read(&self, mut input: impl Read) -> Loss {
        loop {
            match self.read_answer(&mut input) {
                Ok(bytes) => self.note_moved(bytes),
                Err(loss) => return loss,
            }
        }
    }

    fn read_answer(&self, input: &mut impl Read) -> Result<usize, Loss> {
        let closed = |error: std::io::Error| Loss::closed(error.to_string());
        let header = read_header(input).map_err(closed)?.ok_or_else(|| Loss::closed("the server ended"))?;
        let header = header.map_err(Loss::garbage)?;
        if header.kind == Kind::Piece {
            let mut buffer = self.answers().take_buffer(header.request, header.body_bytes)?;
            read_onto(input, &mut buffer, header.body_bytes).map_err(closed)?;
            self.answers().give_buffer(header.request, header.body_bytes, buffer);
        } else {
            let mut body = Vec::new();
            read_onto(input, &mut body, header.body_bytes).map_err(closed)?;
            let next = self.answers().take(header.kind, header.request, &body)?;
            if next == Next::Stop {
                self.send(Outgoing::frame(header.request, &Request::Stop));
            }
        }
        Ok(header.body_bytes + 1)
    }
}

/// The pieces in which an object travels.
pub(super) fn pieces_of(payload: &[Bytes]) -> VecDeque<Bytes> {
    let mut pieces = VecDeque::new();
    for whole in payload {
        let mut rest = whole.clone();
        while !rest.is_empty() {
            pieces.push_back(rest.split_to(rest.len().min(PIECE_BYTES)));
        }
    }
    pieces
}

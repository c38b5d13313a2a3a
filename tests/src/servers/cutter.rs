//! Something between a client and any server that breaks connections after some bytes, whatever is spoken on them.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// A running cutter. It takes no more connections when dropped.
#[derive(Debug)]
pub struct Cutter {
    /// Where it listens on the loopback.
    pub port: u16,
    cuts: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

impl Cutter {
    /// A cutter before the server on a port: every connection breaks when so many bytes went in either direction.
    ///
    /// # Panics
    /// If there is no free port.
    pub fn start(target: u16, bytes: u32) -> Self {
        Self::breaking(target, bytes, Breaks::Anywhere)
    }

    /// One that lets the server hear all that is asked: when so many bytes were sent to it, its next answer is lost, and the
    /// connection breaks.
    ///
    /// # Panics
    /// If there is no free port.
    pub fn losing_answers(target: u16, bytes: u32) -> Self {
        Self::breaking(target, bytes, Breaks::BeforeAnAnswer)
    }

    #[expect(clippy::unwrap_used, reason = "a line that can not be set up is a failed test")]
    fn breaking(target: u16, bytes: u32, breaks: Breaks) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let cutter = Self { port, cuts: Arc::default(), ended: Arc::default() };
        let (cuts, ended) = (Arc::clone(&cutter.cuts), Arc::clone(&cutter.ended));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                // A server that is not there is the client's business.
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else { continue };
                let room = AtomicI64::new(bytes.into());
                let line = Line { breaks, room, broken: AtomicBool::new(false), cuts: Arc::clone(&cuts) };
                drop(join(client, server, line));
            }
        });
        cutter
    }

    /// How many connections were broken.
    pub fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::SeqCst)
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Where a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Breaks {
    Anywhere,
    BeforeAnAnswer,
}

/// A connection.
struct Line {
    breaks: Breaks,
    /// Bytes until it breaks.
    room: AtomicI64,
    broken: AtomicBool,
    cuts: Arc<AtomicU64>,
}

/// Passes on what both sides say until there is no room for more.
fn join(client: TcpStream, server: TcpStream, line: Line) -> io::Result<()> {
    let line = Arc::new(line);
    let (up, down) = ((client.try_clone()?, server.try_clone()?), (server, client));
    for ((from, to), is_answer) in [(up, false), (down, true)] {
        let line = Arc::clone(&line);
        to.set_nodelay(true)?;
        std::thread::spawn(move || drop(line.pass_on(from, to, is_answer)));
    }
    Ok(())
}

impl Line {
    fn pass_on(&self, mut from: TcpStream, mut to: TcpStream, is_answer: bool) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        loop {
            let count = from.read(&mut buffer)?;
            let counts = if is_answer && self.breaks == Breaks::BeforeAnAnswer { 0 } else { count as i64 };
            let left = self.room.fetch_sub(counts, Ordering::SeqCst) - counts;
            let breaks = count > 0 && left < 0 && (is_answer || self.breaks == Breaks::Anywhere);
            if count == 0 || breaks {
                // Both directions may find that there is no more room.
                let is_first = breaks && !self.broken.swap(true, Ordering::SeqCst);
                self.cuts.fetch_add(u64::from(is_first), Ordering::SeqCst);
                let _ = from.shutdown(Shutdown::Both);
                return to.shutdown(Shutdown::Both);
            }
            to.write_all(&buffer[..count])?;
        }
    }
}

//! Something between a client and an HTTP server that does to requests what networks and servers do.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// A request as a proxy sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// How many came before it.
    pub number: u64,
    /// `GET`, `PUT` and so on.
    pub method: String,
    /// The path with its query.
    pub target: String,
    head: String,
}

impl Request {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    Pass,
    /// It is held back for a while.
    Delay(Duration),
    /// The server says 503 and does nothing.
    Unavailable,
    /// The server says 403 and does nothing.
    Forbidden,
    /// The connection breaks while the request is sent.
    CutRequest,
    /// The request is carried out, the connection breaks while the answer is sent.
    CutAnswer,
    /// The request is carried out, and nobody hears of it.
    LoseAnswer,
    /// The server does not see this header, whose name is in small letters.
    DropHeader(&'static str),
}

/// A running proxy. It takes no more connections when dropped.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens on the loopback.
    pub port: u16,
    requests: Arc<AtomicU64>,
    faults: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

type Script = dyn Fn(&Request) -> Fault + Send + Sync;

impl Proxy {
    /// A proxy for the server on a port; `script` says what happens to each request.
    ///
    /// # Panics
    /// If there is no free port.
    #[expect(clippy::unwrap_used, reason = "a proxy that can not be set up is a failed test")]
    pub fn start(target: u16, script: impl Fn(&Request) -> Fault + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Self { port, requests: Arc::default(), faults: Arc::default(), ended: Arc::default() };
        let (requests, faults, ended) =
            (Arc::clone(&proxy.requests), Arc::clone(&proxy.faults), Arc::clone(&proxy.ended));
        let script: Arc<Script> = Arc::new(script);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                let line = Line {
                    client,
                    target,
                    requests: Arc::clone(&requests),
                    faults: Arc::clone(&faults),
                    script: Arc::clone(&script),
                };
                std::thread::spawn(move || drop(line.serve()));
            }
        });
        proxy
    }

    /// How many requests came.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }

    /// How many of them went wrong.
    pub fn faults(&self) -> u64 {
        self.faults.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// One connection of a client.
struct Line {
    client: TcpStream,
    target: u16,
    requests: Arc<AtomicU64>,
    faults: Arc<AtomicU64>,
    script: Arc<Script>,
}

/// The head of a message and what came with it.
pub(super) struct Head {
    pub bytes: Vec<u8>,
    /// Bytes of the body that were read already.
    body: Vec<u8>,
}

impl Line {
    fn serve(mut self) -> io::Result<()> {
        self.client.set_nodelay(true)?;
        let mut rest = Vec::new();
        while let Some(head) = read_head(&mut self.client, &mut rest)? {
            // A server may end a connection that was not used for a while, which nobody would hear of here.
            let (mut server, mut answered) = (TcpStream::connect(("127.0.0.1", self.target))?, Vec::new());
            server.set_nodelay(true)?;
            let request = self.request(&head);
            let fault = (self.script)(&request);
            if !matches!(fault, Fault::Pass | Fault::Delay(_)) {
                self.faults.fetch_add(1, Ordering::SeqCst);
            }
            let length = content_length(&head.bytes);
            match fault {
                Fault::Delay(time) => std::thread::sleep(time),
                Fault::Unavailable => return self.refuse(&head, length, "503 Slow Down"),
                Fault::Forbidden => return self.refuse(&head, length, "403 Forbidden"),
                Fault::CutRequest => {
                    let (begin, half) = half_of(&head, length);
                    server.write_all(begin)?;
                    forward(&mut self.client, &mut server, &head.body, half)?;
                    return self.cut(&server);
                }
                Fault::Pass | Fault::CutAnswer | Fault::LoseAnswer | Fault::DropHeader(_) => {}
            }
            match fault {
                Fault::DropHeader(name) => server.write_all(&without(&head.bytes, name))?,
                _ => server.write_all(&head.bytes)?,
            }
            rest = forward(&mut self.client, &mut server, &head.body, length)?;
            let Some(answer) = read_head(&mut server, &mut answered)? else { return self.cut(&server) };
            let bodiless = request.method == "HEAD" || status(&answer.bytes).is_some_and(|it| it == 204 || it == 304);
            let length = if bodiless { 0 } else { content_length(&answer.bytes) };
            match fault {
                Fault::LoseAnswer => return self.cut(&server),
                Fault::CutAnswer => {
                    let (begin, half) = half_of(&answer, length);
                    self.client.write_all(begin)?;
                    forward(&mut server, &mut self.client, &answer.body, half)?;
                    return self.cut(&server);
                }
                _ => {
                    self.client.write_all(&answer.bytes)?;
                    forward(&mut server, &mut self.client, &answer.body, length)?;
                }
            }
        }
        Ok(())
    }

    fn request(&self, head: &Head) -> Request {
        let head = String::from_utf8_lossy(&head.bytes).into_owned();
        let mut words = head.split_whitespace().map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        Request { number, method, target, head }
    }

    fn refuse(&mut self, head: &Head, length: usize, status: &str) -> io::Result<()> {
        skip(&mut self.client, head, length)?;
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        self.client.write_all(answer.as_bytes())?;
        self.client.shutdown(Shutdown::Both)
    }

    fn cut(&self, server: &TcpStream) -> io::Result<()> {
        let _ = server.shutdown(Shutdown::Both);
        self.client.shutdown(Shutdown::Both)
    }
}

/// Reads up to the empty line; `None` if nothing comes any more.
pub(super) fn read_head(stream: &mut TcpStream, rest: &mut Vec<u8>) -> io::Result<Option<Head>> {
    let mut bytes = std::mem::take(rest);
    let mut buffer = [0; 16 * 1024];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            return Ok(Some(Head { bytes, body }));
        }
        match stream.read(&mut buffer)? {
            0 => return Ok(None),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

/// The value of a header.
pub(super) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// The head without a header.
fn without(head: &[u8], name: &str) -> Vec<u8> {
    let is_it = |line: &&[u8]| line.to_ascii_lowercase().starts_with(format!("{name}:").as_bytes());
    head.split_inclusive(|byte| *byte == b'\n').filter(|line| !is_it(line)).flatten().copied().collect()
}

/// Nearly all messages here say how long they are; one that does not has no body, or comes in chunks.
fn content_length(head: &[u8]) -> usize {
    let text = String::from_utf8_lossy(head);
    let length = header(&text, "content-length").and_then(|length| length.parse().ok());
    length.unwrap_or(if header(&text, "transfer-encoding").is_some() { CHUNKED } else { 0 })
}

/// The length of what tells it only at its end.
const CHUNKED: usize = usize::MAX;

/// What is passed on before a line is cut: the head and half of the body, or half of the head where no body is known.
fn half_of(head: &Head, length: usize) -> (&[u8], usize) {
    match length {
        0 | 1 | CHUNKED => (&head.bytes[..head.bytes.len() / 2], 0),
        _ => (&head.bytes, length / 2),
    }
}

fn status(head: &[u8]) -> Option<u16> {
    String::from_utf8_lossy(head).split_whitespace().nth(1)?.parse().ok()
}

/// Passes `length` bytes on, the first of which are `begun`; gives back what is too much of them.
fn forward(from: &mut TcpStream, to: &mut TcpStream, begun: &[u8], length: usize) -> io::Result<Vec<u8>> {
    let own = begun.len().min(length);
    to.write_all(&begun[..own])?;
    let mut left = length - own;
    let mut buffer = vec![0; 64 * 1024];
    let mut tail = begun[..own].to_vec();
    // Answers that come in chunks are short and hold nothing that looks like the last chunk.
    while left > 0 && !(length == CHUNKED && tail.ends_with(b"0\r\n\r\n")) {
        let wanted = left.min(buffer.len());
        match from.read(&mut buffer[..wanted])? {
            0 => break,
            count => {
                to.write_all(&buffer[..count])?;
                left -= count;
                if length == CHUNKED {
                    tail.extend_from_slice(&buffer[..count]);
                }
            }
        }
    }
    Ok(begun[own..].to_vec())
}

fn skip(from: &mut TcpStream, head: &Head, length: usize) -> io::Result<()> {
    let mut left = length.saturating_sub(head.body.len());
    let mut buffer = vec![0; 64 * 1024];
    while left > 0 {
        let wanted = left.min(buffer.len());
        match from.read(&mut buffer[..wanted])? {
            0 => break,
            count => left -= count,
        }
    }
    Ok(())
}

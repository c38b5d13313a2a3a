//! The metadata service of a machine at Amazon (IMDSv2), which gives it the keys of its role for a while.

use std::io::{self, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::proxy::{header, read_head};
use super::{ACCESS_KEY, SECRET_KEY};

const ROLE: &str = "backup";
const TOKEN: &str = "a token of this session";

/// A running service. It answers nobody any more when dropped.
#[derive(Debug)]
pub struct MetadataServer {
    /// Where it listens on the loopback.
    pub port: u16,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    lasting: bool,
    given: AtomicU64,
    without_role: AtomicBool,
    busy: AtomicU64,
    ended: AtomicBool,
}

impl MetadataServer {
    /// Gives the keys of [`super::S3Server`], with another session token each time. What it gives is good for years if it
    /// is `lasting`, or has come to its end already, so that every request asks anew.
    ///
    /// # Panics
    /// If there is no free port.
    #[expect(clippy::unwrap_used, reason = "a server that can not be set up is a failed test")]
    pub fn start(lasting: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State { lasting, ..State::default() });
        let own = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if own.ended.load(Ordering::SeqCst) {
                    break;
                }
                // A connection that breaks is the client's business.
                let _ = own.serve(client);
            }
        });
        Self { port, state }
    }

    /// How often keys were given.
    pub fn given(&self) -> u64 {
        self.state.given.load(Ordering::SeqCst)
    }

    /// So many questions are answered by 503 from now on.
    pub fn keep_busy(&self, questions: u64) {
        self.state.busy.store(questions, Ordering::SeqCst);
    }

    /// From now on the machine has no role, and there are no keys.
    pub fn take_role(&self) {
        self.state.without_role.store(true, Ordering::SeqCst);
    }
}

impl Drop for MetadataServer {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl State {
    /// One question: the connection ends with the answer.
    fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        let Some(head) = read_head(&mut client, &mut Vec::new())? else { return Ok(()) };
        let (status, body) = self.answer(&String::from_utf8_lossy(&head.bytes));
        let length = body.len();
        write!(client, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
    }

    fn answer(&self, head: &str) -> (&'static str, String) {
        let busy = |left: u64| left.checked_sub(1);
        if self.busy.fetch_update(Ordering::SeqCst, Ordering::SeqCst, busy).is_ok() {
            return ("503 Service Unavailable", String::new());
        }
        let mut words = head.split_whitespace();
        let asked = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if asked == ("PUT", "/latest/api/token") {
            return match header(head, "x-aws-ec2-metadata-token-ttl-seconds") {
                Some(_) => ("200 OK", TOKEN.to_owned()),
                None => ("400 Bad Request", String::new()),
            };
        }
        if header(head, "x-aws-ec2-metadata-token") != Some(TOKEN) {
            return ("401 Unauthorized", String::new());
        }
        let path = asked.1.strip_prefix("/latest/meta-data/iam/security-credentials/");
        match path.filter(|_| asked.0 == "GET" && !self.without_role.load(Ordering::SeqCst)) {
            Some("") => ("200 OK", ROLE.to_owned()),
            Some(ROLE) => ("200 OK", self.keys()),
            _ => ("404 Not Found", String::new()),
        }
    }

    fn keys(&self) -> String {
        let number = self.given.fetch_add(1, Ordering::SeqCst);
        let year = if self.lasting { 2100 } else { 2001 };
        format!(
            "{{\"Code\": \"Success\", \"Type\": \"AWS-HMAC\", \"LastUpdated\": \"2001-01-01T00:00:00Z\", \
             \"AccessKeyId\": \"{ACCESS_KEY}\", \"SecretAccessKey\": \"{SECRET_KEY}\", \
             \"Token\": \"session-{number}\", \"Expiration\": \"{year}-01-01T00:00:00Z\"}}"
        )
    }
}

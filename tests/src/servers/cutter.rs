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
    #[expect(clippy::unwrap_used, reason = "a line that can not be set up is a failed test")]
    pub fn start(target: u16, bytes: u32) -> Self {
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
                drop(join(client, server, i64::from(bytes), &cuts));
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

/// Passes on what both sides say until there is no room for more.
fn join(client: TcpStream, server: TcpStream, bytes: i64, cuts: &Arc<AtomicU64>) -> io::Result<()> {
    let room = Arc::new(AtomicI64::new(bytes));
    for (from, to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
        let (room, cuts) = (Arc::clone(&room), Arc::clone(cuts));
        to.set_nodelay(true)?;
        std::thread::spawn(move || drop(pass_on(from, to, &room, &cuts)));
    }
    Ok(())
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, room: &AtomicI64, cuts: &AtomicU64) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        let count = from.read(&mut buffer)?;
        let left = room.fetch_sub(count as i64, Ordering::SeqCst);
        if count == 0 || left < count as i64 {
            // Both directions may find that there is no more room: the first one counts.
            cuts.fetch_add(u64::from(count > 0 && left >= 0), Ordering::SeqCst);
            let _ = from.shutdown(Shutdown::Both);
            return to.shutdown(Shutdown::Both);
        }
        to.write_all(&buffer[..count])?;
    }
}

//! One stream that several take at once.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use gabion_core::chunker::{Input, Read};
use gabion_core::error::{Error, ErrorKind, Result};

/// Bytes read at once.
const BLOCK_BYTES: usize = 1 << 20;
/// Blocks that wait for the slowest.
const WAITING: usize = 4;

/// What one of them reads.
pub struct Branch {
    blocks: Receiver<Arc<[u8]>>,
    block: Arc<[u8]>,
    used: usize,
}

/// Where the blocks for a branch go; one without bytes is the end.
pub struct Feed(SyncSender<Arc<[u8]>>);

/// A branch, and what feeds it.
pub fn branch() -> (Feed, Branch) {
    let (feed, blocks) = sync_channel(WAITING);
    (Feed(feed), Branch { blocks, block: Arc::new([]), used: 0 })
}

/// Hands on all that `input` has, as fast as the slowest takes it, until nobody wants more.
///
/// # Errors
/// That of `input`. Every branch fails then, where it is.
pub fn feed(input: &mut dyn Input, mut to: Vec<Feed>) -> Result<()> {
    let mut buffer = vec![0; BLOCK_BYTES];
    while !to.is_empty() {
        let bytes = match input.read(&mut buffer)? {
            Read::Data(bytes) => bytes,
            Read::Hole(_) => return Err(Error::new(ErrorKind::Unsupported, "read stream").with("reason", "a hole")),
            Read::End => 0,
        };
        let block: Arc<[u8]> = buffer.get(..bytes).unwrap_or_default().into();
        to.retain(|one| one.0.send(Arc::clone(&block)).is_ok());
        if bytes == 0 {
            break;
        }
    }
    Ok(())
}

impl Input for Branch {
    fn read(&mut self, buffer: &mut [u8]) -> Result<Read> {
        if self.used == self.block.len() {
            let broken = |_| Error::new(ErrorKind::Io, "read stream").with("reason", "it broke off");
            (self.block, self.used) = (self.blocks.recv().map_err(broken)?, 0);
        }
        let rest = self.block.get(self.used..).unwrap_or_default();
        let bytes = rest.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&rest[..bytes]);
        self.used += bytes;
        Ok(if bytes == 0 { Read::End } else { Read::Data(bytes) })
    }
}

#[cfg(test)]
mod tests {
    use gabion_core::ops::create::FromRead;

    use super::*;

    /// Reads a branch in pieces of so many bytes.
    fn read(mut branch: Branch, piece: usize) -> Result<Vec<u8>> {
        let (mut all, mut buffer) = (Vec::new(), vec![0; piece]);
        while let Read::Data(bytes) = branch.read(&mut buffer)? {
            all.extend_from_slice(&buffer[..bytes]);
        }
        Ok(all)
    }

    #[test]
    fn all_who_want_it_get_it_whole() {
        let content: Vec<u8> = (0..9_000_000u32).map(|number| (number % 251) as u8).collect();
        let (feeds, branches): (Vec<_>, Vec<_>) = (0..3).map(|_| branch()).unzip();
        std::thread::scope(|scope| {
            let mut branches = branches.into_iter();
            // one gives up after its first block
            let mut early = branches.next().unwrap();
            scope.spawn(move || early.read(&mut [0; 10]).unwrap());
            let runs: Vec<_> =
                branches.zip([1 << 20, 4097]).map(|(one, piece)| scope.spawn(move || read(one, piece))).collect();
            feed(&mut FromRead(&content[..]), feeds).unwrap();
            for run in runs {
                assert!(run.join().unwrap().unwrap() == content);
            }
        });
    }

    #[test]
    fn what_breaks_off_is_whole_for_nobody() {
        struct Broken(usize);
        impl Input for Broken {
            fn read(&mut self, _: &mut [u8]) -> Result<Read> {
                self.0 += 1;
                if self.0 < 3 { Ok(Read::Data(5)) } else { Err(Error::new(ErrorKind::Io, "test")) }
            }
        }
        let (feeds, branches): (Vec<_>, Vec<_>) = (0..2).map(|_| branch()).unzip();
        assert_eq!(feed(&mut Broken(0), feeds).unwrap_err().operation(), "test");
        for one in branches {
            assert_eq!(read(one, 3).unwrap_err().kind(), ErrorKind::Io);
        }
    }
}

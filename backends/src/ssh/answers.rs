//! What a client waits for, by the number of the request, and what becomes of it.

use std::collections::HashMap;

use bytes::Bytes;
use gabion_core::backend::{ByteRange, ObjectName};
use gabion_core::error::Error;
use gabion_core::limits::OBJECT_BYTES_MAX;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::loss::Loss;
use super::protocol::{Kind, Opened, Page, decode_failure};

type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// What kind of answer is expected, and by whom.
#[derive(Debug)]
pub(super) enum Expected {
    /// A repository that opens.
    Opened(Reply<Opened>),
    /// That something is done.
    Done(Reply<()>),
    /// The size of an object.
    Size(Reply<u64>),
    /// An object, or a range of it.
    Object(Reply<Bytes>, Arriving),
    /// A page of a list; `asked` until it comes.
    Page { reply: mpsc::UnboundedSender<Result<Page, Error>>, asked: bool },
    /// The end of a list nobody reads any more.
    End { told: bool },
    /// Any sign of life.
    Life,
}

/// An object that is arriving.
#[derive(Debug)]
pub(super) struct Arriving {
    range: ByteRange,
    /// Bytes that are missing, once the size is known.
    left: Option<usize>,
    buffer: Vec<u8>,
}

impl Arriving {
    pub fn new(range: ByteRange) -> Self {
        Self { range, left: None, buffer: Vec::new() }
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Waiting {
    /// For errors.
    pub operation: &'static str,
    /// For errors.
    pub object: Option<ObjectName>,
    /// What is to come.
    pub expected: Expected,
    /// Given back when it came.
    pub _room: Vec<OwnedSemaphorePermit>,
}

impl Waiting {
    fn fail(self, error: Error) {
        // Who does not listen any more has lost interest.
        match self.expected {
            Expected::Opened(reply) => drop(reply.send(Err(error))),
            Expected::Done(reply) => drop(reply.send(Err(error))),
            Expected::Size(reply) => drop(reply.send(Err(error))),
            Expected::Object(reply, _) => drop(reply.send(Err(error))),
            Expected::Page { reply, .. } => drop(reply.send(Err(error))),
            Expected::End { .. } | Expected::Life => {}
        }
    }

    fn lose(self, loss: &Loss) {
        let error = loss.error(self.operation, self.object.as_ref());
        self.fail(error);
    }
}

/// For whom the watcher watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    /// The server has not greeted yet.
    Greeting,
    /// Something was asked.
    Answer,
    /// Nothing was asked.
    Nothing,
}

/// All requests under way.
#[derive(Debug, Default)]
pub(super) struct Answers {
    table: HashMap<u32, Waiting>,
    last_number: u32,
    greeted: bool,
    loss: Option<Loss>,
}

/// What has to be sent after an answer came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing.
    Nothing,
    /// That the list of this request is not wanted any more.
    Stop,
}

impl Answers {
    /// The server has greeted.
    pub fn greet(&mut self) {
        self.greeted = true;
    }

    /// Why the connection ended, or is about to.
    pub fn loss(&self) -> Option<Loss> {
        self.loss.clone()
    }

    /// Remembers why the connection is about to end. The first reason is the true one.
    pub fn note_loss(&mut self, loss: Loss) {
        self.loss.get_or_insert(loss);
    }

    /// Tells everybody that the connection ended.
    pub fn fail(&mut self, loss: &Loss) {
        self.loss = Some(loss.clone());
        for (_, waiting) in self.table.drain() {
            waiting.lose(loss);
        }
    }

    /// Takes a request in and numbers it; `None` after it was told that the connection is lost.
    pub fn expect(&mut self, waiting: Waiting) -> Option<u32> {
        if let Some(loss) = &self.loss {
            waiting.lose(loss);
            return None;
        }
        // Not one that was used a moment ago: somebody may still have to say something about it. Zero is what a server
        // uses to complain in general.
        self.last_number = self.last_number.wrapping_add(1);
        while self.last_number == 0 || self.table.contains_key(&self.last_number) {
            self.last_number = self.last_number.wrapping_add(1);
        }
        self.table.insert(self.last_number, waiting);
        Some(self.last_number)
    }

    /// What is waited for.
    pub fn waits(&self) -> Waits {
        let answered = |waiting: &Waiting| matches!(waiting.expected, Expected::Page { asked: false, .. });
        match self.greeted {
            false => Waits::Greeting,
            true if self.table.values().all(answered) => Waits::Nothing,
            true => Waits::Answer,
        }
    }

    /// Whether the next page of a list may be asked for; it counts as asked for then.
    pub fn ask_page(&mut self, request: u32) -> bool {
        match self.table.get_mut(&request).map(|waiting| &mut waiting.expected) {
            Some(Expected::Page { asked, .. }) if !*asked => {
                *asked = true;
                true
            }
            _ => false,
        }
    }

    /// Nobody reads a list any more. Whether the server has to be told now.
    pub fn stop_list(&mut self, request: u32) -> bool {
        let Some(waiting) = self.table.get_mut(&request) else { return false };
        let Expected::Page { asked, .. } = waiting.expected else { return false };
        waiting.expected = Expected::End { told: !asked };
        !asked
    }

    /// The buffer for a piece of so many bytes; it must come back by [`Answers::give_buffer`].
    pub fn take_buffer(&mut self, request: u32, bytes: usize) -> Result<Vec<u8>, Loss> {
        match self.table.get_mut(&request).map(|waiting| &mut waiting.expected) {
            Some(Expected::Object(_, Arriving { left: Some(left), buffer, .. })) if (1..=*left).contains(&bytes) => {
                Ok(std::mem::take(buffer))
            }
            _ => Err(Loss::garbage("a piece that does not fit")),
        }
    }

    /// Brings a buffer back after a piece was put onto it.
    pub fn give_buffer(&mut self, request: u32, bytes: usize, filled: Vec<u8>) {
        if let Some(Expected::Object(_, Arriving { left: Some(left), buffer, .. })) =
            self.table.get_mut(&request).map(|waiting| &mut waiting.expected)
        {
            *left = left.saturating_sub(bytes);
            *buffer = filled;
            if *left == 0 {
                self.finish_object(request);
            }
        }
    }

    fn finish_object(&mut self, request: u32) {
        if let Some(Waiting { expected: Expected::Object(reply, arriving), .. }) = self.table.remove(&request) {
            drop(reply.send(Ok(arriving.buffer.into())));
        }
    }

    /// Takes any frame but pieces.
    pub fn take(&mut self, kind: Kind, request: u32, body: &[u8]) -> Result<Next, Loss> {
        if kind == Kind::Failed {
            return self.take_failure(request, body);
        }
        let waiting = self.table.get_mut(&request).ok_or_else(|| Loss::garbage("an answer nobody waits for"))?;
        match (kind, &mut waiting.expected) {
            (Kind::Opened, Expected::Opened(_)) => {
                let opened = Opened::decode(body).map_err(Loss::garbage)?;
                if let Some(Waiting { expected: Expected::Opened(reply), .. }) = self.table.remove(&request) {
                    drop(reply.send(Ok(opened)));
                }
            }
            (Kind::Done, Expected::Done(_) | Expected::End { .. } | Expected::Life) => {
                if let Some(Waiting { expected: Expected::Done(reply), .. }) = self.table.remove(&request) {
                    drop(reply.send(Ok(())));
                }
            }
            (Kind::Size, Expected::Size(_)) => {
                let bytes = size(body)?;
                if let Some(Waiting { expected: Expected::Size(reply), .. }) = self.table.remove(&request) {
                    drop(reply.send(Ok(bytes)));
                }
            }
            (Kind::Size, Expected::Object(_, arriving @ Arriving { left: None, .. })) => {
                let bytes = size(body)?;
                let fits = match arriving.range {
                    ByteRange::All { limit } => bytes <= limit.min(OBJECT_BYTES_MAX as u64),
                    ByteRange::Exact { length, .. } => bytes == length,
                };
                let left = usize::try_from(bytes).ok().filter(|_| fits);
                let left = left.ok_or_else(|| Loss::garbage("another length than was asked for"))?;
                arriving.left = Some(left);
                if left == 0 {
                    self.finish_object(request);
                }
            }
            (Kind::Page, _) => return self.take_page(request, body),
            _ => return Err(Loss::garbage("an answer to something else")),
        }
        Ok(Next::Nothing)
    }

    fn take_page(&mut self, request: u32, body: &[u8]) -> Result<Next, Loss> {
        let page = Page::decode(body).map_err(Loss::garbage)?;
        let last = page.last;
        let waiting = self.table.get_mut(&request).map(|waiting| &mut waiting.expected);
        let next = match waiting {
            Some(Expected::Page { reply, asked }) if *asked => {
                *asked = false;
                // Who dropped the list says so by itself.
                drop(reply.send(Ok(page)));
                Next::Nothing
            }
            Some(Expected::End { told }) if !*told => {
                *told = true;
                if last { Next::Nothing } else { Next::Stop }
            }
            _ => return Err(Loss::garbage("a page nobody asked for")),
        };
        if last {
            self.table.remove(&request);
        }
        Ok(next)
    }

    fn take_failure(&mut self, request: u32, body: &[u8]) -> Result<Next, Loss> {
        let Some(waiting) = self.table.remove(&request) else {
            let error = decode_failure("serve", body).map_err(Loss::garbage)?;
            return Err(Loss::closed(error.to_string()));
        };
        let error = decode_failure(waiting.operation, body).map_err(Loss::garbage)?;
        let error = match &waiting.object {
            Some(name) => error.with("object", name),
            None => error,
        };
        waiting.fail(error);
        Ok(Next::Nothing)
    }
}

fn size(body: &[u8]) -> Result<u64, Loss> {
    let bytes = body.try_into().map_err(|_| Loss::garbage("a size that is none"))?;
    Ok(u64::from_le_bytes(bytes))
}

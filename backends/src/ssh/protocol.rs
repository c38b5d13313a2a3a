//! The frames between `gabion serve` and its client; `docs/serve-protocol.md` describes every byte.
//!
//! A frame has a header of twelve bytes (length of the body, number of the request, kind) and a body that is never
//! longer than [`BODY_BYTES_MAX`]. Both sides refuse longer ones before they read them, and every field of a body is
//! checked against what is left of it. Objects travel in pieces of [`PIECE_BYTES`], so that a small request never
//! waits behind a large object.

use std::io::{self, Read, Write};

use gabion_core::backend::{ByteRange, Capabilities, ObjectMeta, ObjectName, Permissions, Prefix, PutMode};
use gabion_core::error::{Error, ErrorKind, Result, Retry};

use super::errors;
use crate::Access;

/// What both sides say first.
pub const MAGIC: [u8; 8] = *b"GABSERVE";
/// The only version of the protocol there is.
pub const VERSION: u16 = 1;
/// Bytes of a greeting, of either side.
pub const GREETING_BYTES: usize = 16;
/// Bytes of the header of a frame.
pub const HEADER_BYTES: usize = 12;
/// Bytes of the largest body.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Bytes of a piece of an object; the last one may be shorter.
pub const PIECE_BYTES: usize = 256 << 10;
/// Objects of one page of a list.
pub const PAGE_OBJECTS: usize = 4096;
/// Bytes of a path.
pub const PATH_BYTES_MAX: usize = 4096;
/// Requests a client may have under way.
pub const REQUESTS_MAX: usize = 64;
/// Bytes of objects a client may be putting at once, unless it is only one.
pub const PUT_BYTES_MAX: u64 = 128 << 20;

/// The first bytes a client sends: which versions it speaks.
pub fn client_greeting() -> [u8; GREETING_BYTES] {
    greeting(VERSION, VERSION)
}

/// The first bytes a server sends: the version both will speak (0 if there is none), and the newest it knows.
pub fn server_greeting(chosen: u16) -> [u8; GREETING_BYTES] {
    greeting(chosen, VERSION)
}

fn greeting(first: u16, second: u16) -> [u8; GREETING_BYTES] {
    let mut bytes = [0; GREETING_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..10].copy_from_slice(&first.to_le_bytes());
    bytes[10..12].copy_from_slice(&second.to_le_bytes());
    bytes
}

/// The two numbers of a greeting; `None` if it is none.
pub fn read_greeting(bytes: &[u8; GREETING_BYTES]) -> Option<(u16, u16)> {
    let number = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    (bytes[..8] == MAGIC).then(|| (number(8), number(10)))
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Client: open a repository; the first frame.
    Open = 1,
    /// Client: put an object, whose bytes follow in pieces.
    Put = 2,
    /// Client: read an object or a range of it.
    Get = 3,
    /// Client: the size of an object.
    Head = 4,
    /// Client: delete an object.
    Delete = 5,
    /// Client: list objects.
    List = 6,
    /// Client: the next page of a list.
    More = 7,
    /// Client: no more pages of a list.
    Stop = 8,
    /// Client: are you there?
    Ping = 9,
    /// Both: a piece of an object.
    Piece = 64,
    /// Server: the repository is open.
    Opened = 128,
    /// Server: done.
    Done = 129,
    /// Server: a size; to a `Get` as many bytes follow in pieces.
    Size = 130,
    /// Server: some objects of a list.
    Page = 131,
    /// Server: the request failed.
    Failed = 132,
}

const KINDS: [Kind; 15] = [
    Kind::Open,
    Kind::Put,
    Kind::Get,
    Kind::Head,
    Kind::Delete,
    Kind::List,
    Kind::More,
    Kind::Stop,
    Kind::Ping,
    Kind::Piece,
    Kind::Opened,
    Kind::Done,
    Kind::Size,
    Kind::Page,
    Kind::Failed,
];

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What follows.
    pub kind: Kind,
    /// The request it belongs to; the client chooses the numbers.
    pub request: u32,
    /// Bytes of the body.
    pub body_bytes: usize,
}

impl Header {
    /// The bytes of the header.
    pub fn bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&(self.body_bytes as u32).to_le_bytes());
        bytes[4..8].copy_from_slice(&self.request.to_le_bytes());
        bytes[8] = self.kind as u8;
        bytes
    }

    /// Reads a header. The error says what is wrong with it.
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, &'static str> {
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let kind = KINDS.into_iter().find(|kind| *kind as u8 == bytes[8]).ok_or("a frame of unknown kind")?;
        let body_bytes = number(0) as usize;
        if body_bytes > BODY_BYTES_MAX {
            return Err("a frame that is too long");
        }
        if bytes[9..] != [0; 3] {
            return Err("a frame with a broken header");
        }
        Ok(Self { kind, request: number(4), body_bytes })
    }
}

/// Reads the next header; `None` at the end of the input. The outer error is that of the connection, the inner one
/// says what is wrong with the header.
pub fn read_header(input: &mut impl Read) -> io::Result<Option<Result<Header, &'static str>>> {
    let mut bytes = [0; HEADER_BYTES];
    let mut filled = 0;
    while filled < HEADER_BYTES {
        match input.read(&mut bytes[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(Header::parse(&bytes)))
}

/// Appends exactly `count` bytes of the input to `buffer`, which grows as they come.
pub fn read_onto(input: &mut impl Read, buffer: &mut Vec<u8>, count: usize) -> io::Result<()> {
    let read = input.by_ref().take(count as u64).read_to_end(buffer)?;
    if read < count { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

/// Writes a frame.
pub fn write_frame(output: &mut impl Write, kind: Kind, request: u32, body: &[u8]) -> io::Result<()> {
    output.write_all(&Header { kind, request, body_bytes: body.len() }.bytes())?;
    output.write_all(body)
}

/// A place as the client names it: bytes, because paths are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemotePath {
    /// Whether it is relative to the home directory on the server.
    pub in_home: bool,
    /// The path.
    pub bytes: Vec<u8>,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Open a repository.
    Open { access: Access, path: RemotePath },
    /// Put an object of so many bytes.
    Put { name: ObjectName, mode: PutMode, bytes: u64 },
    /// Read an object.
    Get { name: ObjectName, range: ByteRange },
    /// The size of an object.
    Head { name: ObjectName },
    /// Delete an object.
    Delete { name: ObjectName },
    /// List objects.
    List { prefix: Prefix },
    /// The next page.
    More,
    /// No more pages.
    Stop,
    /// Are you there?
    Ping,
}

impl Request {
    /// The kind of its frame.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Open { .. } => Kind::Open,
            Self::Put { .. } => Kind::Put,
            Self::Get { .. } => Kind::Get,
            Self::Head { .. } => Kind::Head,
            Self::Delete { .. } => Kind::Delete,
            Self::List { .. } => Kind::List,
            Self::More => Kind::More,
            Self::Stop => Kind::Stop,
            Self::Ping => Kind::Ping,
        }
    }

    /// The body of its frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Open { access, path } => {
                out.push(u8::from(*access == Access::Create));
                out.push(u8::from(path.in_home));
                out.extend_from_slice(&path.bytes);
            }
            Self::Put { name, mode, bytes } => {
                out.push(u8::from(*mode == PutMode::ReplaceExisting));
                out.extend_from_slice(&bytes.to_le_bytes());
                out.extend_from_slice(name.as_str().as_bytes());
            }
            Self::Get { name, range } => {
                let (exact, offset, length) = match range {
                    ByteRange::All { limit } => (0, 0, *limit),
                    ByteRange::Exact { offset, length } => (1, *offset, *length),
                };
                out.push(exact);
                out.extend_from_slice(&offset.to_le_bytes());
                out.extend_from_slice(&length.to_le_bytes());
                out.extend_from_slice(name.as_str().as_bytes());
            }
            Self::Head { name } | Self::Delete { name } => out.extend_from_slice(name.as_str().as_bytes()),
            Self::List { prefix } => out.extend_from_slice(prefix.parts().unwrap_or_default().as_bytes()),
            Self::More | Self::Stop | Self::Ping => {}
        }
        out
    }

    /// Reads the body of a frame of a client. The error says what is wrong with it.
    pub fn decode(kind: Kind, body: &[u8]) -> Result<Self, &'static str> {
        let mut body = Body(body);
        let request = match kind {
            Kind::Open => {
                let access = if body.flag()? { Access::Create } else { Access::Existing };
                let in_home = body.flag()?;
                let bytes = body.rest().to_vec();
                if bytes.len() > PATH_BYTES_MAX || bytes.contains(&0) {
                    return Err("a path that is none");
                }
                Self::Open { access, path: RemotePath { in_home, bytes } }
            }
            Kind::Put => {
                let mode = if body.flag()? { PutMode::ReplaceExisting } else { PutMode::Write };
                let bytes = body.u64()?;
                Self::Put { name: body.name()?, mode, bytes }
            }
            Kind::Get => {
                let (exact, offset, length) = (body.flag()?, body.u64()?, body.u64()?);
                let range = if exact { ByteRange::Exact { offset, length } } else { ByteRange::All { limit: length } };
                Self::Get { name: body.name()?, range }
            }
            Kind::Head => Self::Head { name: body.name()? },
            Kind::Delete => Self::Delete { name: body.name()? },
            Kind::List => {
                let parts = std::str::from_utf8(body.rest()).map_err(|_| "a prefix that is none")?;
                let prefix = if parts.is_empty() { Ok(Prefix::all()) } else { Prefix::new(parts) };
                Self::List { prefix: prefix.map_err(|_| "a prefix that is none")? }
            }
            Kind::More => Self::More,
            Kind::Stop => Self::Stop,
            Kind::Ping => Self::Ping,
            _ => return Err("a frame that only a server sends"),
        };
        if body.0.is_empty() { Ok(request) } else { Err("a frame that is too long") }
    }
}

/// What a server tells when a repository is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// What the store can do.
    pub capabilities: Capabilities,
    /// The version of the program.
    pub program: String,
}

impl Opened {
    /// The body of the frame.
    pub fn encode(&self) -> Vec<u8> {
        let Capabilities { durable, list_staleness, replace_existing, max_object_bytes, concurrency, permissions } =
            self.capabilities;
        let mut out = vec![u8::from(durable), u8::from(replace_existing), permission_number(permissions)];
        let milliseconds = u32::try_from(list_staleness.as_millis()).unwrap_or(u32::MAX);
        out.extend_from_slice(&milliseconds.to_le_bytes());
        out.extend_from_slice(&max_object_bytes.to_le_bytes());
        out.extend_from_slice(&u16::try_from(concurrency).unwrap_or(u16::MAX).to_le_bytes());
        out.extend_from_slice(self.program.as_bytes());
        out
    }

    /// Reads the body of the frame. The error says what is wrong with it.
    pub fn decode(body: &[u8]) -> Result<Self, &'static str> {
        let mut body = Body(body);
        let (durable, replace_existing) = (body.flag()?, body.flag()?);
        let number = body.u8()?;
        let permissions = Permissions::ALL.into_iter().find(|known| permission_number(*known) == number);
        let capabilities = Capabilities {
            durable,
            replace_existing,
            permissions: permissions.ok_or("unknown permissions")?,
            list_staleness: std::time::Duration::from_millis(body.u32()?.into()),
            max_object_bytes: body.u64()?,
            concurrency: usize::from(body.u16()?).clamp(1, REQUESTS_MAX),
        };
        let program = String::from_utf8_lossy(body.rest()).chars().take(64).collect();
        Ok(Self { capabilities, program })
    }
}

fn permission_number(permissions: Permissions) -> u8 {
    match permissions {
        Permissions::All => 0,
        Permissions::NoDelete => 1,
        Permissions::WriteOnly => 2,
        Permissions::ReadOnly => 3,
    }
}

/// Some objects of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Whether there are no more.
    pub last: bool,
    /// The objects.
    pub objects: Vec<ObjectMeta>,
}

impl Page {
    /// The body of the frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![u8::from(self.last)];
        for object in &self.objects {
            out.extend_from_slice(&object.bytes.to_le_bytes());
            // A name has at most 128 bytes.
            out.push(object.name.as_str().len() as u8);
            out.extend_from_slice(object.name.as_str().as_bytes());
        }
        out
    }

    /// Reads the body of the frame. The error says what is wrong with it.
    pub fn decode(body: &[u8]) -> Result<Self, &'static str> {
        let mut body = Body(body);
        let last = body.flag()?;
        let mut objects = Vec::new();
        while !body.0.is_empty() {
            let (bytes, length) = (body.u64()?, usize::from(body.u8()?));
            let name = Body(body.take(length)?).name()?;
            objects.push(ObjectMeta { name, bytes });
            if objects.len() > PAGE_OBJECTS {
                return Err("a page that is too long");
            }
        }
        Ok(Self { last, objects })
    }
}

/// The body of a frame that tells an error.
pub fn encode_failure(error: &Error) -> Vec<u8> {
    let mut out = vec![errors::number(error.kind()), u8::from(error.retry() == Retry::Temporary)];
    for (name, value) in errors::facts(error) {
        out.push(name.len() as u8);
        out.extend_from_slice(name.as_bytes());
        let value = &value.as_bytes()[..value.len().min(usize::from(u16::MAX))];
        out.extend_from_slice(&(value.len() as u16).to_le_bytes());
        out.extend_from_slice(value);
    }
    out
}

/// Reads the body of a frame that tells an error. The error of reading it says what is wrong with it.
pub fn decode_failure(operation: &'static str, body: &[u8]) -> Result<Error, &'static str> {
    let mut body = Body(body);
    let kind = errors::kind(body.u8()?).unwrap_or(ErrorKind::System);
    let temporary = body.flag()?;
    let mut error = Error::new(kind, operation);
    while !body.0.is_empty() {
        let length = body.u8()?.into();
        let name = std::str::from_utf8(body.take(length)?).map_err(|_| "a fact without a name")?;
        let length = body.u16()?.into();
        let value = String::from_utf8_lossy(body.take(length)?);
        if let Some(name) = errors::known_fact(name) {
            error = error.with(name, value.escape_debug());
        }
    }
    Ok(if temporary { error.temporary() } else { error })
}

/// What is left of a body.
struct Body<'a>(&'a [u8]);

const SHORT: &str = "a frame that is too short";

impl<'a> Body<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(SHORT)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, &'static str> {
        self.array().map(|[byte]| byte)
    }

    fn flag(&mut self) -> Result<bool, &'static str> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err("a truth value that is none"),
        }
    }

    fn u16(&mut self) -> Result<u16, &'static str> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, &'static str> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, &'static str> {
        self.array().map(u64::from_le_bytes)
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn name(&mut self) -> Result<ObjectName, &'static str> {
        let text = std::str::from_utf8(self.rest()).map_err(|_| "a name that is none")?;
        ObjectName::new(text).map_err(|_| "a name that is none")
    }
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;

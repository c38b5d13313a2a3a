//! One object: written beside its place in many pieces at once, flushed, renamed; read exactly.

use std::io::SeekFrom;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures_util::future::join;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use gabion_core::backend::{ByteRange, ObjectMeta, ObjectName, Payload, check_length};
use gabion_core::error::{Error, ErrorKind, Result, Retry};
use gabion_core::limits::OBJECT_BYTES_MAX;
use openssh_sftp_client::file::File;
use tokio::io::AsyncSeek;

use super::failure::{SftpResult, failed, is_missing};
use super::session::Session;
use super::{aside, folder};
use crate::local::layout::{self, Spot};

/// Bytes of a piece; servers that take less in a request get it in several.
const PIECE_BYTES: usize = 128 << 10;
/// Pieces of one object under way at once.
const PIECES_AHEAD: usize = 32;
/// How often a put tries to take a place that others take meanwhile.
const PUBLISHES_MAX: usize = 5;

/// Stores an object.
pub(super) async fn put(session: &Session, name: &ObjectName, payload: &Payload) -> Result<()> {
    let call = Call { session, operation: "put object", name };
    let spot = call.spot()?;
    call.check_length(payload.len() as u64)?;
    let folder = folder::path(session, &spot.folders);
    let temporary = format!("{folder}/{}", layout::temporary_name().map_err(|error| call.told(error))?);
    let file = match call.create(&temporary).await {
        Err(error) if is_missing(&error) => {
            folder::make(session, &spot.folders).await.map_err(|error| call.told(error))?;
            call.create(&temporary).await
        }
        created => created,
    };
    let file = file.map_err(|error| call.failed(error))?;
    let written = async {
        write(&file, payload).await?;
        if session.sftp.support_fsync() {
            file.clone().sync_all().await?;
        }
        file.close().await
    };
    let written: SftpResult<()> = written.await;
    let place = format!("{folder}/{}", spot.file);
    let published = match written {
        Ok(()) => publish(call, &temporary, &place, payload).await,
        Err(error) => Err(call.failed(error)),
    };
    if let Err(error) = published {
        // What has to be told is why, not how the cleaning went.
        let _ = session.sftp.fs().remove_file(&temporary).await;
        // Where a server renames over files nothing stepped aside for this put.
        if !session.sftp.support_posix_rename() {
            let _ = aside::bring_back(session, &place).await;
        }
        return Err(call.explain_full(error, payload).await);
    }
    Ok(())
}

/// Gives a file its name. Where names that are taken are refused, what bears it with other bytes steps [`aside`]: the
/// ruin of an earlier put, or a copy that is better than none.
async fn publish(call: Call<'_>, temporary: &str, place: &str, payload: &Payload) -> Result<()> {
    let mut fs = call.session.sftp.fs();
    let range = ByteRange::All { limit: payload.len() as u64 };
    let mut refusals = 0;
    loop {
        let refused = match fs.rename(temporary, place).await {
            Ok(()) => break,
            Err(error) => call.failed(error),
        };
        refusals += 1;
        if call.session.sftp.support_posix_rename() || refusals == PUBLISHES_MAX {
            return Err(refused);
        }
        match get(call.session, call.name, range).await {
            Ok(there) if payload.has_bytes(&there) => {
                fs.remove_file(temporary).await.map_err(|error| call.failed(error))?;
                break;
            }
            Err(error) if error.retry() == Retry::Temporary => return Err(error),
            _ => {}
        }
        match fs.symlink_metadata(place).await {
            Ok(there) if folder::is_file(&there) => {
                aside::step(call.session, place).await.map_err(|error| call.failed(error))?;
            }
            Ok(_) => return Err(refused),
            // Another put was about to take the place, or a reader to bring back what was there.
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(call.failed(error)),
        }
    }
    if refusals > 0 {
        // What has to be told is how the put went, not how the cleaning did.
        let _ = aside::remove(call.session, place).await;
    }
    Ok(())
}

/// Writes all pieces at their places.
async fn write(file: &File, payload: &Payload) -> SftpResult<()> {
    let mut offset = 0;
    let mut pieces = Vec::new();
    for whole in payload.pieces() {
        let mut rest = whole.clone();
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(PIECE_BYTES));
            let length = piece.len() as u64;
            pieces.push((offset, piece));
            offset += length;
        }
    }
    let write = |(offset, piece): (u64, Bytes)| {
        let mut file = file.clone();
        async move {
            seek(&mut file, offset)?;
            // The bytes are those of the payload, not a copy.
            file.write_all_zero_copy(&mut [piece]).await
        }
    };
    stream::iter(pieces.into_iter().map(write)).buffer_unordered(PIECES_AHEAD).try_collect().await
}

/// Sets where a handle reads and writes; the server is not asked.
fn seek(file: &mut File, offset: u64) -> SftpResult<()> {
    Ok(Pin::new(file).start_seek(SeekFrom::Start(offset))?)
}

/// Reads an object or a range of it.
pub(super) async fn get(session: &Session, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
    let call = Call { session, operation: "get object", name };
    let spot = call.spot()?;
    let path = format!("{}/{}", folder::path(session, &spot.folders), spot.file);
    let file = call.found(&path, || async { session.sftp.options().read(true).open(&path).await }).await?;
    let mut asked = file.clone();
    let metadata = async { asked.metadata().await.map_err(|error| call.failed(error)) };
    let (metadata, early) = match range {
        // What is wanted is known: it is read while the server is asked what the file is.
        ByteRange::Exact { offset, length } if offset.checked_add(length).is_some() => {
            call.check_length(length)?;
            let (metadata, read) = join(metadata, call.read(&file, offset, length)).await;
            (metadata?, Some(read))
        }
        _ => (metadata.await?, None),
    };
    if metadata.file_type().is_some_and(|kind| !kind.is_file()) {
        return Err(call.error(ErrorKind::NotFound));
    }
    let size = metadata.len().ok_or_else(|| call.told(Error::damaged(call.operation, "no size")))?;
    let (offset, length) = range.within(name, size)?;
    call.check_length(length)?;
    let object = match early {
        Some(read) => read?,
        None => call.read(&file, offset, length).await?,
    };
    if object.len() as u64 != length {
        return Err(call.told(Error::damaged(call.operation, "object is shorter than the range")));
    }
    Ok(object.freeze())
}

/// Reads a piece; what is missing at its end is beyond the end of the file.
async fn read(mut file: File, offset: u64, bytes: usize) -> SftpResult<BytesMut> {
    let mut piece = BytesMut::new();
    while piece.len() < bytes {
        seek(&mut file, offset + piece.len() as u64)?;
        let wanted = u32::try_from(bytes - piece.len()).unwrap_or(u32::MAX);
        match file.read(wanted, BytesMut::with_capacity(wanted as usize)).await? {
            Some(more) if !more.is_empty() && more.len() <= bytes - piece.len() => {
                if piece.is_empty() {
                    piece = more
                } else {
                    piece.extend_from_slice(&more)
                }
            }
            _ => break,
        }
    }
    Ok(piece)
}

/// Tells the size of an object.
pub(super) async fn head(session: &Session, name: &ObjectName) -> Result<ObjectMeta> {
    let call = Call { session, operation: "head object", name };
    let spot = call.spot()?;
    let path = format!("{}/{}", folder::path(session, &spot.folders), spot.file);
    let metadata = call.found(&path, || async { session.sftp.fs().symlink_metadata(&path).await }).await?;
    if folder::is_folder(&metadata) {
        return Err(call.error(ErrorKind::NotFound));
    }
    if metadata.file_type().is_some_and(|kind| !kind.is_file()) {
        return Err(call.told(Error::damaged(call.operation, "not a regular file")));
    }
    let bytes = metadata.len().ok_or_else(|| call.told(Error::damaged(call.operation, "no size")))?;
    Ok(ObjectMeta { name: name.clone(), bytes })
}

/// Removes an object.
pub(super) async fn delete(session: &Session, name: &ObjectName) -> Result<()> {
    let call = Call { session, operation: "delete object", name };
    let spot = call.spot()?;
    let path = format!("{}/{}", folder::path(session, &spot.folders), spot.file);
    // First, or it would come back.
    aside::remove(session, &path).await.map_err(|error| call.failed(error))?;
    match session.sftp.fs().remove_file(&path).await {
        Ok(()) => Ok(()),
        Err(error) => match call.not_opened(&path, error).await {
            missing if missing.kind() == ErrorKind::NotFound => Ok(()),
            error => Err(error),
        },
    }
}

/// A call under way, for its errors.
#[derive(Clone, Copy)]
struct Call<'a> {
    session: &'a Session,
    operation: &'static str,
    name: &'a ObjectName,
}

impl Call<'_> {
    fn spot(self) -> Result<Spot> {
        layout::find_spot(self.operation, self.name)
    }

    fn check_length(self, bytes: u64) -> Result<()> {
        check_length(self.operation, self.name, bytes, OBJECT_BYTES_MAX as u64)
    }

    /// Reads a part of a file in many pieces at once; what is missing is beyond its end.
    async fn read(self, file: &File, offset: u64, length: u64) -> Result<BytesMut> {
        let pieces = (0..length).step_by(PIECE_BYTES).map(|start| {
            let (file, bytes) = (file.clone(), PIECE_BYTES.min((length - start) as usize));
            async move { read(file, offset + start, bytes).await.map_err(|error| self.failed(error)) }
        });
        let mut pieces = stream::iter(pieces).buffered(PIECES_AHEAD);
        // The server may lie about sizes, so memory is only taken by what comes.
        let mut part = BytesMut::new();
        while let Some(piece) = pieces.try_next().await? {
            part.extend_from_slice(&piece);
        }
        Ok(part)
    }

    async fn create(self, path: &str) -> SftpResult<File> {
        self.session.sftp.options().write(true).create_new(true).open(path).await
    }

    /// The answer to a question about a file. Where it is missing, what stepped [`aside`] comes back, and the question
    /// is asked again: a put that goes on meanwhile takes nothing away from readers.
    async fn found<T, F: Future<Output = SftpResult<T>>>(self, path: &str, ask: impl Fn() -> F) -> Result<T> {
        let missing = match ask().await {
            Ok(found) => return Ok(found),
            Err(error) => self.not_opened(path, error).await,
        };
        let may_be_back = missing.kind() == ErrorKind::NotFound
            && aside::bring_back(self.session, path).await.map_err(|error| self.failed(error))?;
        if !may_be_back {
            return Err(missing);
        }
        match ask().await {
            Ok(found) => Ok(found),
            Err(error) if is_missing(&error) => Err(missing),
            Err(error) => Err(self.not_opened(path, error).await),
        }
    }

    /// The error of a file that can not be opened. A missing directory of the repository looks like a missing
    /// object; it must not be taken for that. A folder, or what lies below an object, is no object either.
    async fn not_opened(self, path: &str, error: openssh_sftp_client::Error) -> Error {
        let error = self.failed(error);
        let missing = match error.kind() {
            ErrorKind::NotFound => true,
            ErrorKind::Io => match self.session.sftp.fs().symlink_metadata(path).await {
                Ok(there) => folder::is_folder(&there),
                Err(error) => is_missing(&error) || self.leads_through_file(path).await,
            },
            _ => false,
        };
        if !missing {
            return error;
        }
        match folder::check_root(self.session).await {
            Ok(()) => self.error(ErrorKind::NotFound),
            Err(error) => self.told(error),
        }
    }

    /// Whether an object is where a folder would have to be, for which OpenSSH has only a plain failure.
    async fn leads_through_file(self, path: &str) -> bool {
        let mut fs = self.session.sftp.fs();
        let mut above = path;
        while let Some((folder, _)) =
            above.rsplit_once('/').filter(|(folder, _)| folder.len() > self.session.root.len())
        {
            if fs.symlink_metadata(folder).await.is_ok_and(|there| folder::is_file(&there)) {
                return true;
            }
            above = folder;
        }
        false
    }

    /// SFTP has no word for a full disk: whoever asks how much room there is knows.
    async fn explain_full(self, error: Error, payload: &Payload) -> Error {
        if error.kind() != ErrorKind::Io || !self.session.sftp.support_statvfs() {
            return error;
        }
        let root = if self.session.root.is_empty() { "/" } else { &self.session.root };
        match self.session.sftp.fs().statvfs(root).await {
            Ok(room) if room.bavail.saturating_mul(room.frsize) < payload.len() as u64 + (1 << 20) => {
                self.error(ErrorKind::NoSpace).because(error)
            }
            _ => error,
        }
    }

    fn failed(self, error: openssh_sftp_client::Error) -> Error {
        self.told(failed(self.operation, error))
    }

    fn error(self, kind: ErrorKind) -> Error {
        self.told(Error::new(kind, self.operation))
    }

    fn told(self, error: Error) -> Error {
        error.with("object", self.name)
    }
}

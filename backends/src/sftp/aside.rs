//! What steps aside for a put where a server can not rename over a file.
//!
//! It lies in a file `.old-<file>` beside its place until the new one is there. If the put or the connection ends before,
//! whoever misses the object brings it back. No list shows the file.

use std::sync::atomic::Ordering;

use super::failure::{SftpResult, is_missing};
use super::session::Session;
use crate::local::layout::ASIDE;

/// Whether nothing stepped aside: the server renames over files, and no list showed what another one left.
fn is_needless(session: &Session) -> bool {
    session.sftp.support_posix_rename() && !session.found_aside.load(Ordering::Relaxed)
}

/// Notes that a list shows a file that stepped aside.
pub(super) fn note(session: &Session) {
    session.found_aside.store(true, Ordering::Relaxed);
}

/// The name of the file that stepped aside, if this is what it is called since.
pub(super) fn name_of(file: &str) -> Option<&str> {
    file.strip_prefix(ASIDE)
}

/// What is in a place steps aside. Somebody else may have done that, and something of an earlier put may be in the way
/// and go: then it is worth another look at the place.
pub(super) async fn step(session: &Session, place: &str) -> SftpResult<()> {
    let mut fs = session.sftp.fs();
    let aside = path(place);
    match fs.rename(place, &aside).await {
        Err(error) if is_missing(&error) || fs.remove_file(&aside).await.is_ok() => Ok(()),
        stepped => stepped,
    }
}

/// What stepped aside comes back, unless the place is taken or there is nothing. Whether there may be something.
pub(super) async fn bring_back(session: &Session, place: &str) -> SftpResult<bool> {
    if is_needless(session) {
        return Ok(false);
    }
    let mut fs = session.sftp.fs();
    let aside = path(place);
    if session.sftp.support_posix_rename() {
        // There a rename replaces what is in the place.
        match fs.symlink_metadata(place).await {
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(error),
            Ok(_) => return Ok(true),
        }
    }
    match fs.rename(&aside, place).await {
        // Servers do not say why.
        Err(error) if !is_missing(&error) => {
            let is_stuck = fs.symlink_metadata(&aside).await.is_ok() && fs.symlink_metadata(place).await.is_err();
            if is_stuck { Err(error) } else { Ok(true) }
        }
        _ => Ok(true),
    }
}

/// Removes what stepped aside, if anything did.
pub(super) async fn remove(session: &Session, place: &str) -> SftpResult<()> {
    if is_needless(session) {
        return Ok(());
    }
    let mut fs = session.sftp.fs();
    let aside = path(place);
    match fs.remove_file(&aside).await {
        Err(error) if !is_missing(&error) && fs.symlink_metadata(&aside).await.is_ok() => Err(error),
        _ => Ok(()),
    }
}

fn path(place: &str) -> String {
    let (folder, file) = place.rsplit_once('/').unwrap_or_default();
    format!("{folder}/{ASIDE}{file}")
}

//! When nothing is collected: what can not be seen would be taken for what nobody needs.

use super::Accepts;
use super::needs::Needs;
use super::roots::Roots;
use crate::archive::history::gone_error;
use crate::error::{Error, ErrorKind, Result};
use crate::repository::{Collector, Repository};

/// Refuses where lists show absurdly little: the store lost what was there, was rolled back, or lists only a part.
pub(super) fn short_lists(
    repository: &Repository,
    collector: &Collector,
    roots: &Roots,
    accept_lost: bool,
) -> Result<()> {
    archives_gone(roots, accept_lost)?;
    // A first backup that was given up leaves nothing but segments.
    if accept_lost || !roots.are_none() || !collector.knows_segments() || repository.has_given_up()? {
        return Ok(());
    }
    let what = "there are segments, but no archive, and no sign that there ever was one";
    Err(Error::new(ErrorKind::History, "compact").with("what", what))
}

/// Refuses where archives are gone that nobody removed, unless they are given up.
pub(super) fn archives_gone(roots: &Roots, accept_lost: bool) -> Result<()> {
    if accept_lost || roots.lost.is_empty() { Ok(()) } else { Err(gone_error(&roots.lost)) }
}

/// Refuses where it is unknown what is needed.
pub(super) fn damage(roots: &Roots, needs: &Needs, accepted: &Accepts<'_>) -> Result<()> {
    let unreadable = roots.unreadable.iter().map(|(id, error)| (id, error.to_string()));
    let broken = needs.broken.iter().map(|(id, error)| (id, error.to_string()));
    match unreadable.chain(broken).find(|(id, _)| !accepted(id)) {
        None => Ok(()),
        Some((id, why)) => Err(Error::damaged("compact", "what an archive needs can not be found out")
            .with("archive", id)
            .with("because", why)),
    }
}

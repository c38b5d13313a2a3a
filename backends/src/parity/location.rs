//! How a store with parity is written: `parity:10%:URL`.

use gabion_core::error::Result;

use super::Percent;
use crate::Location;
use crate::url::invalid;

/// Understands what stands behind `parity:`; `parse` understands the location below.
pub(crate) fn location(rest: &str, parse: impl Fn(&str) -> Result<Location>) -> Result<Location> {
    let spelling = || invalid("parity takes a percentage and a location, such as parity:10%:/path");
    let (percent, store) = rest.split_once(':').ok_or_else(spelling)?;
    let digits = percent.strip_suffix('%').unwrap_or(percent);
    if digits.is_empty() || digits.contains('/') {
        return Err(spelling());
    }
    let percent = digits.parse().ok().and_then(Percent::new).ok_or_else(|| invalid("parity is 1% to 100%"))?;
    let store = parse(store)?;
    match store.unnamed() {
        Location::Parity(..) => Err(invalid("parity is given once")),
        Location::Erasure(..) => Err(invalid("parity stands below erasure: erasure:2+1:parity:10%:URL,...")),
        _ => Ok(Location::Parity(percent, Box::new(store))),
    }
}

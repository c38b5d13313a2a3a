//! How a set of stores is written: `erasure:4+2:URL,URL,...`.

use gabion_core::error::Result;

use super::Split;
use crate::Location;
use crate::url::invalid;

/// Understands what stands behind `erasure:`; `parse` understands the locations in it. A comma in one is written `%2C`.
pub(crate) fn location(rest: &str, parse: impl Fn(&str) -> Result<Location>) -> Result<Location> {
    let spelling =
        || invalid("erasure takes two numbers of at least 1, 32 together, and as many locations: 4+2:URL,...");
    let (split, stores) = rest.split_once(':').ok_or_else(spelling)?;
    let (needed, spare) = split.split_once('+').ok_or_else(spelling)?;
    let split = match (needed.parse(), spare.parse()) {
        (Ok(needed), Ok(spare)) => Split::new(needed, spare).ok_or_else(spelling)?,
        _ => return Err(spelling()),
    };
    let parse = |text: &str| parse(&text.replace("%2C", ",").replace("%2c", ","));
    let stores = stores.split(',').map(parse).collect::<Result<Vec<_>>>()?;
    if stores.len() != usize::from(split.stores()) {
        return Err(invalid("the number of stores does not fit")
            .with("named", stores.len())
            .with("wanted", format_args!("{} for {split}", split.stores())));
    }
    match stores.iter().any(|store| matches!(store, Location::Erasure(..))) {
        true => Err(invalid("a set in a set is nested by its name: @NAME of a profile")),
        false => Ok(Location::Erasure(split, stores)),
    }
}

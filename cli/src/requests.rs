//! What a command asked its stores for, in words.

use std::time::Duration;

use gabion_backends::layer::{Method, StoreTrace, Totals};
use serde_json::{Value as Json, json};

use crate::output::units::Units;

/// One line per store and method.
pub fn lines(stores: &[StoreTrace], units: Units) -> Vec<String> {
    let told = stores.iter().flat_map(|store| {
        let of_method = move |(method, totals): &(Method, Totals)| line(&store.location, *method, totals, units);
        store.methods.iter().map(of_method)
    });
    told.collect()
}

/// An array with one object per store and method.
pub fn objects(stores: &[StoreTrace]) -> Json {
    let told = stores.iter().flat_map(|store| {
        store.methods.iter().map(|(method, totals)| {
            json!({
                "location": store.location,
                "method": method.name(),
                "calls": totals.calls,
                "failures": totals.failures,
                "size": totals.bytes,
                "objects": totals.objects,
                "seconds": totals.time.as_secs_f64(),
            })
        })
    });
    told.collect()
}

fn line(location: &str, method: Method, totals: &Totals, units: Units) -> String {
    let plural = |count: u64, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let mut parts = vec![plural(totals.calls, "call")];
    if totals.failures > 0 {
        parts.push(format!("{} failed", totals.failures));
    }
    if totals.bytes > 0 {
        parts.push(units.format(totals.bytes));
    }
    if totals.objects > 0 {
        parts.push(plural(totals.objects, "object"));
    }
    let mean = totals.time / u32::try_from(totals.calls.max(1)).unwrap_or(u32::MAX);
    parts.push(format!("{} on average, {} at most", milliseconds(mean), milliseconds(totals.slowest)));
    format!("{location}: {}: {}", method.name(), parts.join(", "))
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_what_there_is_to_tell() {
        let put = Totals {
            calls: 2,
            failures: 1,
            bytes: 3_000_000,
            objects: 0,
            time: Duration::from_millis(30),
            slowest: Duration::from_micros(20_500),
        };
        let list = Totals { calls: 1, objects: 1, ..Totals::default() };
        let store =
            StoreTrace { location: "s3://b".to_owned(), methods: vec![(Method::Put, put), (Method::List, list)] };
        assert_eq!(
            lines(&[store], Units::Si),
            [
                "s3://b: put: 2 calls, 1 failed, 3.00 MB, 15.0 ms on average, 20.5 ms at most",
                "s3://b: list: 1 call, 1 object, 0.0 ms on average, 0.0 ms at most",
            ]
        );
    }
}

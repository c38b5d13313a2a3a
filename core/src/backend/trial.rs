//! Names of a trial: the conformance suite at work in a store, beside whatever else lies there.

use super::name::ObjectName;

/// What stands before 16 digits in the first part of the names.
const TOP: &str = "conformance-";
const DIGITS: usize = 16;
/// What stands behind it in the first part of other names.
pub(super) const BESIDE: &str = "-beside";
/// The last part of the name of the object with which a trial ends.
const END: &str = "end";

/// The first part of the names of a trial.
#[cfg(feature = "conformance")]
pub(super) fn top(drawn: u64) -> String {
    format!("{TOP}{drawn:016x}")
}

/// The object with which a trial ends.
#[cfg(feature = "conformance")]
pub(super) fn end(top: &str) -> crate::error::Result<ObjectName> {
    ObjectName::new(format!("{top}/{END}"))
}

/// The first parts of the names of a trial, if it ends with the deletion of this object, which need not exist: a store that
/// had to make folders removes what is empty of these, and where there is no repository, what it made for one.
pub fn ended_trial(name: &ObjectName) -> Option<[String; 2]> {
    let top = name.as_str().strip_suffix(END)?.strip_suffix('/')?;
    let digits = top.strip_prefix(TOP)?;
    let drawn = digits.len() == DIGITS && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    drawn.then(|| [top.to_owned(), format!("{top}{BESIDE}")])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_a_trial_is_one() {
        let ended = |name: &str| ended_trial(&ObjectName::new(name).unwrap());
        let top = "conformance-0123456789abcdef";
        assert_eq!(ended(&format!("{top}/end")), Some([top.to_owned(), format!("{top}-beside")]));
        for name in
            ["config", "segments/end", "conformance-1/end", top, &format!("{top}/x/end"), &format!("{top}/an-end")]
        {
            assert_eq!(ended(name), None, "{name}");
        }
    }
}

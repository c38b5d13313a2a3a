//! Files are told by the paths they have on this machine, not by those they get in the archive.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use gabion_core::monitor::{Counters, Event, Monitor};
use gabion_core::ops::create::Plan;

use super::input::Source;
use crate::progress::Reporter;

/// Hands on what happens, with the paths files have here.
pub(super) struct Here<'a> {
    plan: &'a Plan,
    reporter: &'a Reporter,
}

impl<'a> Here<'a> {
    /// Speaks through `reporter` of what is backed up.
    pub fn new(source: &'a Source, reporter: &'a Reporter) -> Self {
        Self { plan: &source.plan, reporter }
    }

    fn path<'p>(&self, archived: &'p [u8]) -> Cow<'p, [u8]> {
        place(self.plan, archived)
    }
}

impl Monitor for Here<'_> {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::File { status, path } => {
                self.reporter.event(&Event::File { status: *status, path: &self.path(path) });
            }
            Event::Warning { warning, path, error } if !path.is_empty() => {
                self.reporter.event(&Event::Warning { warning: *warning, path: &self.path(path), error });
            }
            other => self.reporter.event(other),
        }
    }

    fn counters(&self) -> &Counters {
        self.reporter.counters()
    }

    fn interrupted(&self) -> bool {
        self.reporter.interrupted()
    }
}

/// Where something is that is archived under a path: below the last place that was given on the way to it.
fn place<'p>(plan: &Plan, archived: &'p [u8]) -> Cow<'p, [u8]> {
    let (mut node, mut source, mut below) = (plan, plan.source.as_ref(), archived);
    let mut rest = archived;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
        let Some(child) = node.children.get(&rest[..end]) else { break };
        rest = rest.get(end + 1..).unwrap_or_default();
        node = child;
        if child.source.is_some() {
            (source, below) = (child.source.as_ref(), rest);
        }
    }
    let Some(source) = source else { return Cow::Borrowed(archived) };
    // A path with a slash at its end would be one of a directory.
    let place = if below.is_empty() { source.clone() } else { source.join(OsStr::from_bytes(below)) };
    let place = place.into_os_string().into_vec();
    Cow::Owned(place.strip_prefix(b"./").map(<[u8]>::to_vec).unwrap_or(place))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use gabion_core::ops::create::Wanted;

    use super::*;

    #[test]
    fn paths_as_they_are_here() {
        for (given, archived, here) in [
            (&["/home/u"][..], "home/u/a b", "/home/u/a b"),
            (&["/home/u"], "home", "/home"),
            (&["d"], "d/x/y", "d/x/y"),
            (&["."], "d/x", "d/x"),
            (&["../src", "/etc"], "src/sub/c", "../src/sub/c"),
            (&["../src", "/etc"], "etc/hosts", "/etc/hosts"),
            (&["/run/x/./keep"], "keep/f", "/run/x/keep/f"),
            (&["/"], "etc/hosts", "/etc/hosts"),
            (&["."], "", "."),
            (&["/unreadable"], "/unreadable", "/unreadable"),
        ] {
            let plan = Plan::new(given.iter().map(Path::new), Wanted::All);
            assert_eq!(place(&plan, archived.as_bytes()), here.as_bytes(), "{given:?} {archived}");
        }
    }
}

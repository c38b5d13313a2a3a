//! What the process asks of the system before it works.

use rustix::fs::Mode;
use rustix::process::{Resource, getrlimit, setrlimit, umask};

/// Sets the permissions new files shall not have, and allows as many open files as the system does.
pub fn prepare(mask: u32) {
    umask(Mode::from_raw_mode(mask));
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        // Without more files work is slower, nothing else.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

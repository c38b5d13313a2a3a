//! Finds the version of the program: in a clone that has tags `v1.2.3`, by the last of them, and how many commits ago
//! that was; otherwise the one of `Cargo.toml`.

use std::path::Path;
use std::process::Command;

fn main() {
    let version = tagged().unwrap_or_else(|| std::env::var("CARGO_PKG_VERSION").unwrap_or_default());
    println!("cargo:rustc-env=PROGRAM_VERSION={version}");
}

/// `1.2.3` at the tag itself, `1.2.3+4.gabcdef0` four commits later.
fn tagged() -> Option<String> {
    // Sources without a clone may lie in somebody else's.
    if !Path::new("../.git").exists() {
        println!("cargo:rerun-if-changed=build.rs");
        return None;
    }
    for place in ["packed-refs", "refs/tags"] {
        watch(place);
    }
    let described = git(&["describe", "--tags", "--match", "v[0-9]*"])?;
    // Only now does it depend on commits.
    for place in ["HEAD", "logs/HEAD"] {
        watch(place);
    }
    let described = described.strip_prefix('v')?;
    let mut parts = described.rsplitn(3, '-');
    Some(match (parts.next(), parts.next(), parts.next()) {
        (Some(commit), Some(later), Some(tag)) if commit.starts_with('g') => format!("{tag}+{later}.{commit}"),
        _ => described.to_owned(),
    })
}

/// What is not there is looked for at every build, so it is left out.
fn watch(place: &str) {
    if let Some(path) = git(&["rev-parse", "--git-path", place]).filter(|path| Path::new(path).exists()) {
        println!("cargo:rerun-if-changed={path}");
    }
}

fn git(words: &[&str]) -> Option<String> {
    let output = Command::new("git").args(words).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

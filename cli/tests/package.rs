//! The Debian package, made as docs/packaging.md says, of the program under test.

use std::fs;
use std::process::Command;

use crate::pages::project;
use crate::place::{PROGRAM, Place, Run};

#[test]
fn the_debian_package_brings_everything() {
    if let Err(error) = Command::new("dpkg-shlibdeps").arg("--version").output() {
        assert!(!gabion_tests::all_required(), "dpkg-shlibdeps: {error}");
        eprintln!("skipped: dpkg-shlibdeps: {error}");
        return;
    }
    let place = Place::bare();
    let mut make = Command::new("sh");
    make.arg(project().join("docs/packaging/deb")).arg(PROGRAM).arg("made").current_dir(place.path("."));
    // How small it gets is no question here.
    Run::of(make.env("DPKG_DEB_COMPRESSOR_LEVEL", "1")).succeeded();
    let package = fs::read_dir(place.path("made")).unwrap().next().unwrap().unwrap().path();
    let deb = |arguments: &[&str]| {
        let mut deb = Command::new("dpkg-deb");
        Run::of(deb.arg(arguments[0]).arg(&package).args(&arguments[1..])).succeeded().out
    };
    let version = env!("PROGRAM_VERSION");
    assert_eq!(deb(&["--field", "Version"]), format!("{}-1\n", version.replace('-', "~")));
    assert!(deb(&["--field", "Depends"]).contains("libc6 (>= "));
    let root = place.path("root").display().to_string();
    deb(&["--extract", &root]);

    let installed = |program: &str, word: &str| Run::of(Command::new(format!("{root}/usr/bin/{program}")).arg(word));
    assert_eq!(installed("gabion", "version").succeeded().out, format!("gabion {version}\n"));
    assert!(installed("gabionfs", "repo").ended(2).err.contains("usage: gabionfs"));
    for page in ["man1/gabion.1", "man1/gabion-key-export.1", "man7/gabion-patterns.7"] {
        let page = format!("{root}/usr/share/man/{page}.gz");
        assert!(Run::of(Command::new("gzip").args(["-dc", &page])).succeeded().out.contains(".TH gabion"), "{page}");
    }
    let text = |path: &str| fs::read_to_string(format!("{root}/usr/{path}")).unwrap();
    for shell in [
        "bash-completion/completions/gabion",
        "zsh/vendor-completions/_gabion",
        "fish/vendor_completions.d/gabion.fish",
    ] {
        assert!(text(&format!("share/{shell}")).contains("repo-create"), "{shell}");
    }
    assert!(text("lib/systemd/system/gabion@.service").contains("ExecStart=/usr/bin/gabion run %i"));
    assert!(text("lib/systemd/system/gabion@.timer").contains("OnCalendar="));
    assert_eq!(text("share/doc/gabion/copyright"), fs::read_to_string(project().join("LICENSE")).unwrap());
}

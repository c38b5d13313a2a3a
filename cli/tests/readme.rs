//! README.md: every command of the tour runs, in one shell, in a place of its own.

use std::fs;
use std::path::Path;
use std::process::Command;

/// The shell blocks of the tour, one after the other.
fn tour() -> String {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    let tour = readme.split_once("## Five minutes").unwrap().1;
    let tour = tour.split_once("\n## ").unwrap().0;
    let mut blocks: Vec<&str> = tour.split("```sh\n").skip(1).map(|rest| rest.split_once("```").unwrap().0).collect();
    if fs::File::options().read(true).write(true).open("/dev/fuse").is_err() {
        assert!(!gabion_tests::all_required(), "no /dev/fuse");
        eprintln!("skipped mounting: no /dev/fuse");
        blocks.retain(|block| !block.contains("gabion mount"));
    }
    assert!(blocks.len() >= 4, "the tour has lost its commands");
    blocks.concat()
}

#[test]
fn the_tour_runs_as_it_stands() {
    let place = tempfile::tempdir().unwrap();
    let home = place.path().join("home");
    for folder in ["Documents", "Pictures", "bin"] {
        fs::create_dir_all(home.join(folder)).unwrap();
    }
    fs::write(home.join("Documents/notes.txt"), "notes\n").unwrap();
    fs::write(home.join("Pictures/a.jpg"), vec![7; 3000]).unwrap();
    // Stands in for the database's own program.
    fs::write(home.join("bin/pg_dump"), "#!/bin/sh\necho \"dump of $1\"\n").unwrap();
    Command::new("chmod").arg("+x").arg(home.join("bin/pg_dump")).status().unwrap();

    let here = |path: &str| place.path().join(path).display().to_string();
    let script = tour().replace("/mnt/disk", &here("disk")).replace("/tmp/restored", &here("restored"));
    let script = script.replace("/tmp/backups", &here("backups")).replace("/tmp/home.tar", &here("home.tar"));
    fs::create_dir(here("disk")).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_gabion")).parent().unwrap().display().to_string();
    let path = format!("{program}:{}:{}", home.join("bin").display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .args(["-euxc", &script])
        .current_dir(place.path())
        .env("HOME", &home)
        .env("PATH", path)
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("XDG_CACHE_HOME")
        .env_remove("XDG_DATA_HOME")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("notes\n"), "{told}\n{said}");
    let notes = format!("{}{}/Documents/notes.txt", here("restored"), home.display());
    assert_eq!(fs::read_to_string(notes).unwrap(), "notes\n");
    assert!(fs::read_to_string(place.path().join("key.txt")).unwrap().starts_with("GABION_KEY"));
}

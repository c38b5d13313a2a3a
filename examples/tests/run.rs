//! Every example runs as it stands.

#[path = "../custom_backend.rs"]
mod custom_backend;
#[path = "../error_corrected_archive.rs"]
mod error_corrected_archive;
#[path = "../hello.rs"]
mod hello;
#[path = "../local_backup.rs"]
mod local_backup;
#[path = "../progress.rs"]
mod progress;

#[test]
fn hello_runs() {
    hello::main().unwrap();
}

#[test]
fn local_backup_runs() {
    local_backup::main().unwrap();
}

#[test]
fn custom_backend_keeps_the_contract() {
    custom_backend::main().unwrap();
}

#[test]
fn progress_runs() {
    progress::main().unwrap();
}

#[test]
fn error_corrected_archive_survives() {
    error_corrected_archive::main().unwrap();
}

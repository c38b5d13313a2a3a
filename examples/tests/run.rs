//! Every example runs as it stands.

#[path = "../custom_backend.rs"]
mod custom_backend;
#[path = "../embedded_kv.rs"]
mod embedded_kv;
#[path = "../error_corrected_archive.rs"]
mod error_corrected_archive;
#[path = "../hello.rs"]
mod hello;
#[path = "../local_backup.rs"]
mod local_backup;
#[path = "../progress.rs"]
mod progress;
#[path = "../s3_backup.rs"]
mod s3_backup;
#[path = "../sftp_backup.rs"]
mod sftp_backup;

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

/// With the server of OpenSSH in place of a host that has it.
#[test]
fn sftp_backup_runs() {
    let servers = ["/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/libexec/sftp-server"];
    let Some(server) = servers.iter().find(|server| std::path::Path::new(server).exists()) else {
        assert_ne!(std::env::var("GABION_TEST_REQUIRE").as_deref(), Ok("all"), "sftp_backup_runs: no sftp-server");
        eprintln!("skipped: sftp_backup_runs: no sftp-server");
        return;
    };
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("letter.txt"), "Dear Alice,\n").unwrap();
    let url = format!("sftp://host{}", place.path().join("repository").display());
    for archives in 1..=2 {
        let program = ["sh".into(), "-c".into(), format!("exec {server}").into()].to_vec();
        let command = gabion_backends::ssh::SshCommand { program, ..Default::default() };
        let ssh = gabion_backends::ssh::SshOptions { command, ..Default::default() };
        let told = sftp_backup::back_up(&url, &folder, ssh).unwrap();
        assert_eq!(told.len(), archives);
        assert!(told[0].ends_with("documents: 1 files, 12 bytes"), "{told:?}");
    }
}

#[test]
fn embedded_kv_runs() {
    embedded_kv::main().unwrap();
}

#[test]
fn s3_backup_runs() {
    use gabion_tests::servers::{ACCESS_KEY, S3Server, SECRET_KEY};

    let directory = tempfile::tempdir().unwrap();
    let server = S3Server::start(directory.path());
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let keys = [("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)];
    s3_backup::back_up(&server.url("example"), folder, keys.into_iter().collect()).unwrap();
}

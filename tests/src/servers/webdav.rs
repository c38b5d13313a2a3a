//! A WebDAV server (`wsgidav`) that keeps objects as files.

use std::path::Path;

use super::{Program, free_port};

/// Who may do everything.
pub const WEBDAV_USER: &str = "me";
/// The user's password.
pub const WEBDAV_PASSWORD: &str = "no secret at all";

/// Serves the folder `files` that it makes in the directory; `None` if the server is not installed.
///
/// # Panics
/// If the server can not be set up.
pub fn webdav(directory: &Path) -> Option<Program> {
    webdav_at(directory, free_port())
}

/// As [`webdav`], on the port of a server that was there before.
///
/// # Panics
/// If the server can not be set up.
#[expect(clippy::unwrap_used, reason = "a server that can not be set up is a failed test")]
pub fn webdav_at(directory: &Path, port: u16) -> Option<Program> {
    let files = directory.join("files");
    std::fs::create_dir_all(&files).unwrap();
    Program::start_at("wsgidav", port, |command, port| {
        let config = format!(
            "host: 127.0.0.1\nport: {port}\nserver: cheroot\nlogging: {{enable: false}}\n\
             provider_mapping: {{'/': {files:?}}}\n\
             http_authenticator: {{domain_controller: null, accept_basic: true, accept_digest: false, \
             default_to_digest: false}}\n\
             simple_dc: {{user_mapping: {{'*': {{{WEBDAV_USER}: {{password: {WEBDAV_PASSWORD:?}}}}}}}}}\n"
        );
        let path = directory.join("wsgidav.yaml");
        std::fs::write(&path, config).unwrap();
        command.arg("--config").arg(path).current_dir(directory);
    })
}

/// The location of a repository on a WebDAV server of this machine. The server's lists are always current.
pub fn webdav_url(port: u16, path: &str) -> String {
    format!("opendal+webdav://127.0.0.1:{port}/{path}?tls=false&list-staleness=0")
}

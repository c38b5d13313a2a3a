//! A server of Azure Blob Storage (`azurite`, Microsoft's own emulator) that keeps everything in memory.

use std::path::Path;

use super::program::put;
use super::{BUCKET, Program};

const ACCOUNT: &str = "devstoreaccount1";
/// The key every emulator has.
pub const AZURE_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
/// What allows to make containers, signed with that key.
const ACCESS: &str = "sv=2020-08-04&ss=b&srt=sco&sp=rwdlac&se=2100-01-01T00%3A00%3A00Z&spr=https%2Chttp\
                      &sig=f6yuPRo6eZcK53KfBuj%2F7ofiIseaJawg7s%2BfmLRNqYA%3D";

/// A server with one container; `None` if it is not installed.
///
/// # Panics
/// If the server can not be set up.
pub fn azurite(directory: &Path) -> Option<Program> {
    let server = Program::start("azurite-blob", |command, port| {
        command.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string(), "--inMemoryPersistence"]);
        command.args(["--disableTelemetry", "--skipApiVersionCheck", "--silent"]).current_dir(directory);
    })?;
    put(&format!("{}/{BUCKET}?restype=container&{ACCESS}", endpoint(server.port)));
    Some(server)
}

fn endpoint(port: u16) -> String {
    format!("http://127.0.0.1:{port}/{ACCOUNT}")
}

/// The location of a repository in the container of such a server.
pub fn azurite_url(port: u16, prefix: &str) -> String {
    format!("az://{BUCKET}/{prefix}?account={ACCOUNT}&endpoint={}&list-staleness=0", endpoint(port))
}

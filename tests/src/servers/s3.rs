//! An S3 server in this process (`s3s-fs`) that keeps objects as files.

use std::path::Path;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder as Connections;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

/// What clients sign with.
pub const ACCESS_KEY: &str = "gabion-test";
/// What clients sign with.
pub const SECRET_KEY: &str = "no secret at all";
/// A bucket that is there.
pub const BUCKET: &str = "backups";

/// A running server. Dropping it breaks all connections off, as if it was killed.
#[derive(Debug)]
pub struct S3Server {
    runtime: Option<Runtime>,
    /// Where it listens on the loopback.
    pub port: u16,
}

impl S3Server {
    /// Serves the directory, in which the bucket is made.
    ///
    /// # Panics
    /// If the server can not be set up.
    pub fn start(directory: &Path) -> Self {
        Self::start_at(directory, 0)
    }

    /// As [`S3Server::start`], on the port of a server that was there before.
    ///
    /// # Panics
    /// If the server can not be set up.
    #[expect(clippy::unwrap_used, reason = "a server that can not be set up is a failed test")]
    pub fn start_at(directory: &Path, port: u16) -> Self {
        std::fs::create_dir_all(directory.join(BUCKET)).unwrap();
        let mut builder = S3ServiceBuilder::new(FileSystem::new(directory).unwrap());
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = builder.build();
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", port))).unwrap();
        let port = listener.local_addr().unwrap().port();
        runtime.spawn(async move {
            let connections = Connections::new(TokioExecutor::new());
            while let Ok((socket, _)) = listener.accept().await {
                // As servers do: the end of an answer does not wait for what the client has to say to its beginning.
                let _ = socket.set_nodelay(true);
                let connection = connections.serve_connection(TokioIo::new(socket), service.clone()).into_owned();
                // A connection that breaks is the client's business.
                tokio::spawn(async move { drop(connection.await) });
            }
        });
        Self { runtime: Some(runtime), port }
    }

    /// The location of a repository in the bucket. The server's lists are always current.
    pub fn url(&self, prefix: &str) -> String {
        url(self.port, prefix)
    }

    /// Ends the server in the middle of whatever it is doing.
    pub fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The location of a repository in the bucket of an S3 server of this machine.
pub fn url(port: u16, prefix: &str) -> String {
    format!("s3://{BUCKET}/{prefix}?endpoint=http://127.0.0.1:{port}&region=us-east-1&list-staleness=0")
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.kill();
    }
}

//! An OpenSSH server on loopback, for one test: with keys of its own, without passwords.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use gabion_backends::ssh::{SshCommand, SshOptions};
use tempfile::TempDir;

use crate::place::PROGRAM;

/// A running server.
pub struct Sshd {
    directory: TempDir,
    server: Child,
    port: u16,
}

/// Where Debian and others put the server; it must be called by its whole path.
const PROGRAMS: [&str; 3] = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"];

impl Sshd {
    /// Starts a server; `None` if there is none on this machine, which is a failure if everything is required.
    pub fn start(test: &str) -> Option<Self> {
        let program = PROGRAMS.iter().find(|program| Path::new(program).exists());
        let Some(program) = program.filter(|_| Command::new("ssh").arg("-V").output().is_ok()) else {
            assert_ne!(std::env::var("GABION_TEST_REQUIRE").as_deref(), Ok("all"), "{test}: OpenSSH is not installed");
            eprintln!("skipped: {test}: OpenSSH is not installed");
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        for key in ["host", "client", "restricted"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(directory.path().join(key));
            assert!(keygen.status().unwrap().success());
        }
        // Whoever takes the port in between makes this test fail, not lie.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let own = Self { server: spawn(program, directory.path(), port), directory, port };
        let public = |key| std::fs::read_to_string(own.path(key)).unwrap();
        std::fs::write(own.path("authorized_keys"), public("client.pub")).unwrap();
        std::fs::write(own.path("known_hosts"), format!("[127.0.0.1]:{port} {}", public("host.pub"))).unwrap();
        Some(own)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Lets the second key start `gabion serve` with these options, and nothing else.
    pub fn restrict(&self, options: &str) {
        let public = |key| std::fs::read_to_string(self.path(key)).unwrap();
        let line = format!("command=\"{PROGRAM} serve {options}\",restrict {}", public("restricted.pub"));
        std::fs::write(self.path("authorized_keys"), public("client.pub") + &line).unwrap();
    }

    /// The URL of a directory of this machine.
    pub fn url(&self, scheme: &str, path: &Path) -> String {
        self.url_behind(self.port, scheme, path)
    }

    /// The same behind something that stands between, on another port.
    pub fn url_behind(&self, port: u16, scheme: &str, path: &Path) -> String {
        format!("{scheme}://127.0.0.1:{port}{}", path.display())
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The command that logs in with a key: `client` or `restricted`.
    pub fn rsh(&self, key: &str) -> String {
        let (key, hosts) = (self.path(key), self.path("known_hosts"));
        // It is the same machine, whatever stands between.
        let alias = format!("-o HostKeyAlias=[127.0.0.1]:{}", self.port);
        let options = "-o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=yes -o LogLevel=ERROR";
        format!("ssh -F none {options} {alias} -o UserKnownHostsFile={} -i {}", hosts.display(), key.display())
    }

    /// How a library logs in.
    pub fn options(&self) -> SshOptions {
        let program = self.rsh("client").split(' ').map(Into::into).collect();
        let command = SshCommand { program, remote_program: PROGRAM.to_owned() };
        SshOptions { command, ..SshOptions::default() }
    }
}

/// Starts the server and waits until it listens.
fn spawn(program: &str, directory: &Path, port: u16) -> Child {
    let place = directory.display();
    let config = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {place}/host\nAuthorizedKeysFile {place}/authorized_keys\n\
         PidFile none\nStrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         PermitRootLogin yes\nMaxStartups 100\nLogLevel ERROR\nSubsystem sftp internal-sftp\n"
    );
    std::fs::write(directory.join("sshd_config"), config).unwrap();
    // Run by root it wants this directory, which only its service makes.
    let _ = std::fs::create_dir_all("/run/sshd");
    let mut server = Command::new(program);
    server.arg("-D").arg("-e").arg("-f").arg(directory.join("sshd_config")).stdin(Stdio::null());
    let mut server = server.spawn().unwrap();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert_eq!(server.try_wait().unwrap(), None, "sshd does not start");
        std::thread::yield_now();
    }
    server
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

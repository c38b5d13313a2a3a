//! The client against OpenSSH's own server, which can not rename over a file here and some of whose calls `strace` makes
//! fail. There is no network.

use std::path::{Path, PathBuf};
use std::process::Command;

use gabion_core::backend::conformance::{Options, check};
use gabion_core::error::Retry;

use super::*;
use crate::ssh::SshCommand;

/// Where systems put the server.
const SERVERS: [&str; 3] =
    ["/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server"];

/// A directory with an object in it, and a server for it; `None` if there is none on this machine, or no `strace`.
struct Far {
    place: tempfile::TempDir,
    server: &'static str,
}

impl Far {
    fn new(test: &str) -> Option<Self> {
        let traces =
            Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status().is_ok_and(|s| s.success());
        let server = SERVERS.into_iter().find(|server| traces && Path::new(server).exists());
        if server.is_none() {
            assert_ne!(
                std::env::var("GABION_TEST_REQUIRE").as_deref(),
                Ok("all"),
                "{test}: no sftp-server, or no strace"
            );
            eprintln!("skipped: {test}: no sftp-server, or no strace");
        }
        let far = Self { place: tempfile::tempdir().unwrap(), server: server? };
        std::fs::create_dir(far.place.path().join("archives")).unwrap();
        std::fs::write(far.object(), "the only copy").unwrap();
        Some(far)
    }

    fn object(&self) -> PathBuf {
        self.place.path().join("archives/a")
    }

    /// Where the object is while another one is put in its place.
    fn aside(&self) -> PathBuf {
        self.place.path().join("archives/.old-a")
    }

    fn files(&self) -> usize {
        std::fs::read_dir(self.place.path().join("archives")).unwrap().count()
    }

    /// Calls of the server fail as `strace` is told.
    fn failing(&self, strace: &[&str]) -> SftpBackend {
        let script = format!("exec strace -f -qq -o /dev/null {} {} -P posix-rename", strace.join(" "), self.server);
        opened(&script, self.place.path()).unwrap()
    }
}

/// A directory behind what a script speaks.
fn opened(script: &str, path: &Path) -> Result<SftpBackend> {
    let program = ["sh", "-c", script].map(Into::into).into();
    let target = Target::parse(&format!("//far{}", path.display())).unwrap();
    let command = SshCommand { program, ..SshCommand::default() };
    SftpBackend::open(&target, Access::Existing, &SshOptions { command, ..SshOptions::default() })
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(work)
}

fn named(name: &str) -> ObjectName {
    ObjectName::new(name).unwrap()
}

#[test]
fn a_command_that_is_not_there_is_not_tried_again() {
    for (script, retry) in [("exit 127", Retry::Permanent), ("exit 255", Retry::Temporary)] {
        let error = opened(script, Path::new("/x")).unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Connection, retry), "{script}: {error}");
    }
}

#[test]
fn who_waits_for_a_connection_is_told_with_the_others_that_there_is_none() {
    let Some(far) = Far::new("who_waits_for_a_connection_is_told_with_the_others_that_there_is_none") else { return };
    let others = tempfile::tempdir().unwrap();
    let (attempts, go) = (others.path().join("attempts"), others.path().join("go"));
    // The first connection breaks after so many bytes; there is no second one, but that takes a while.
    let script = format!(
        "[ -e {tried} ] || {{ :> {tried}; dd bs=65536 count=12 2>/dev/null | {server}; exit; }}
         echo >> {tried}; until [ -e {go} ]; do :; done; exit 255",
        tried = attempts.display(),
        server = far.server,
        go = go.display(),
    );
    let store = opened(&script, far.place.path()).unwrap();
    let name = named("archives/a");
    block_on(async {
        let cut = store.put(&named("archives/b"), vec![1; 1 << 20].into(), PutMode::Write).await.unwrap_err();
        assert_eq!(cut.kind(), ErrorKind::Connection);
        let go = async { std::fs::write(&go, "").unwrap() };
        let (first, second, third, ()) =
            futures_util::join!(store.head(&name), store.head(&name), store.head(&name), go);
        for answer in [first, second, third] {
            assert!(answer.unwrap_err().context("ssh ended with").is_some_and(|status| status.contains("255")));
        }
    });
    assert_eq!(std::fs::read_to_string(attempts).unwrap(), "\n");
}

#[test]
fn without_renaming_over_files_it_keeps_the_contract() {
    let Some(far) = Far::new("without_renaming_over_files_it_keeps_the_contract") else { return };
    let report = block_on(check(Arc::new(far.failing(&[])), Options::quick()));
    assert!(report.is_clean(), "{report}");
}

#[test]
fn a_server_that_can_not_read_its_disk_has_lost_nothing() {
    let Some(far) = Far::new("a_server_that_can_not_read_its_disk_has_lost_nothing") else { return };
    let object = far.object();
    let calls = "inject=?open,?openat,?lstat,?newfstatat,?statx,?unlink,?unlinkat:error=EIO";
    let store = far.failing(&["-P", object.to_str().unwrap(), "-e", calls]);
    block_on(async {
        let name = named("archives/a");
        assert_eq!(store.get(&name, ByteRange::WHOLE).await.unwrap_err().kind(), ErrorKind::Io);
        assert_eq!(store.head(&name).await.unwrap_err().kind(), ErrorKind::Io);
        assert_eq!(store.delete(&name).await.unwrap_err().kind(), ErrorKind::Io);
        for missing in ["archives/b", "b/a", "archives/b/a"] {
            assert_eq!(store.head(&named(missing)).await.unwrap_err().kind(), ErrorKind::NotFound);
            store.delete(&named(missing)).await.unwrap();
        }
    });
    assert!(object.exists());
}

#[test]
fn what_steps_aside_for_a_put_is_there_for_all_who_ask_until_the_new_one_is() {
    let Some(far) = Far::new("what_steps_aside_for_a_put_is_there_for_all_who_ask_until_the_new_one_is") else {
        return;
    };
    let put = |strace: &[&str], name| {
        let store = far.failing(strace);
        block_on(store.put(&named(name), vec![1; 9].into(), PutMode::Write))
    };
    // The server renames by linking. The name is taken, what bears it steps aside, and then it fails.
    let failed = put(&["-e", "inject=?link,?linkat:error=EIO:when=3+"], "archives/a").unwrap_err();
    assert_eq!((failed.kind(), far.files(), far.object().exists()), (ErrorKind::Io, 1, false));
    let is_back = || {
        let back = std::fs::read(far.object()).is_ok_and(|bytes| bytes == b"the only copy");
        back && far.files() == 1
    };
    let set_aside = || std::fs::rename(far.object(), far.aside()).unwrap();
    let store = far.failing(&[]);
    block_on(async {
        let name = named("archives/a");
        let listed: Vec<_> = store.list(&Prefix::new("archives").unwrap()).try_collect().await.unwrap();
        assert_eq!(listed, [ObjectMeta { name: name.clone(), bytes: 13 }]);
        assert!(is_back());
        set_aside();
        assert_eq!(store.get(&name, ByteRange::WHOLE).await.unwrap(), &b"the only copy"[..]);
        assert!(is_back());
        set_aside();
        assert_eq!(store.head(&name).await.unwrap().bytes, 13);
        assert!(is_back());
        // What can not be brought back is not missing.
        set_aside();
        let stuck = far.failing(&["-e", "inject=?link,?linkat:error=EIO"]);
        assert_eq!(stuck.head(&name).await.unwrap_err().kind(), ErrorKind::Io);
        store.delete(&name).await.unwrap();
        assert_eq!(store.head(&name).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(far.files(), 0);
    });
    std::fs::write(far.object(), "the only copy").unwrap();
    assert!(put(&[], "archives").is_err(), "a folder steps aside for nobody");
    // Something of an earlier put is in the way.
    std::fs::write(far.aside(), "older").unwrap();
    put(&[], "archives/a").unwrap();
    assert_eq!((std::fs::read(far.object()).unwrap(), far.files()), (vec![1; 9], 1));
}

#[test]
fn what_a_server_without_renaming_left_comes_back_and_goes_where_another_one_renames() {
    let Some(far) = Far::new("what_a_server_without_renaming_left_comes_back_and_goes_where_another_one_renames")
    else {
        return;
    };
    std::fs::rename(far.object(), far.aside()).unwrap();
    let store = opened(&format!("exec {}", far.server), far.place.path()).unwrap();
    let (name, archives) = (named("archives/a"), Prefix::new("archives").unwrap());
    block_on(async {
        let listed: Vec<_> = store.list(&archives).try_collect().await.unwrap();
        assert_eq!(listed, [ObjectMeta { name: name.clone(), bytes: 13 }]);
        assert_eq!(store.get(&name, ByteRange::WHOLE).await.unwrap(), &b"the only copy"[..]);
        std::fs::write(far.aside(), "older").unwrap();
        assert_eq!(store.list(&archives).try_collect::<Vec<_>>().await.unwrap(), listed);
        store.delete(&name).await.unwrap();
        assert_eq!(far.files(), 0);
    });
}

#[test]
fn nothing_older_takes_the_place_of_what_is_there_where_a_put_fails() {
    let Some(far) = Far::new("nothing_older_takes_the_place_of_what_is_there_where_a_put_fails") else { return };
    std::fs::write(far.aside(), "older").unwrap();
    let server = far.server;
    let script = format!("exec strace -f -qq -o /dev/null -e inject=fsync,fdatasync:error=ENOSPC {server}");
    let store = opened(&script, far.place.path()).unwrap();
    let (name, archives) = (named("archives/a"), Prefix::new("archives").unwrap());
    block_on(async {
        assert_eq!(store.list(&archives).try_collect::<Vec<_>>().await.unwrap().len(), 1);
        store.put(&name, vec![1; 9].into(), PutMode::Write).await.unwrap_err();
    });
    assert_eq!(std::fs::read(far.object()).unwrap(), b"the only copy");
}

#[test]
fn a_place_that_others_take_or_free_meanwhile_is_taken_all_the_same() {
    let Some(far) = Far::new("a_place_that_others_take_or_free_meanwhile_is_taken_all_the_same") else { return };
    // Somebody else sets aside first; then somebody brings back what was set aside.
    for failing in ["error=ENOENT:when=2", "error=EEXIST:when=3"] {
        std::fs::write(far.object(), "a ruin").unwrap();
        let store = far.failing(&["-e", &format!("inject=?link,?linkat:{failing}")]);
        block_on(store.put(&named("archives/a"), vec![1; 9].into(), PutMode::Write)).unwrap();
        assert_eq!((std::fs::read(far.object()).unwrap(), far.files()), (vec![1; 9], 1), "{failing}");
    }
}

#[test]
fn a_connection_that_is_lost_while_an_object_is_compared_is_worth_another_try() {
    let Some(far) = Far::new("a_connection_that_is_lost_while_an_object_is_compared_is_worth_another_try") else {
        return;
    };
    let object = far.object();
    let store = far.failing(&["-P", object.to_str().unwrap(), "-e", "inject=?open,?openat:signal=KILL"]);
    let lost = block_on(store.put(&named("archives/a"), vec![1; 9].into(), PutMode::Write)).unwrap_err();
    assert_eq!((lost.kind(), lost.retry()), (ErrorKind::Connection, Retry::Temporary), "{lost}");
    assert_eq!(std::fs::read(object).unwrap(), b"the only copy");
}

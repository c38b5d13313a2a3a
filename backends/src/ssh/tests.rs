//! The client and the server against each other without a network, and each against an enemy.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gabion_core::backend::Permissions;
use gabion_core::backend::conformance::{Options, check};
use gabion_core::crypto::envelope::append_tail;
use gabion_core::error::Retry;
use tokio::runtime::{Builder, Runtime};

use super::protocol::{
    Header, Kind, PIECE_BYTES, REQUESTS_MAX, client_greeting, decode_failure, encode_failure, read_header, read_onto,
    server_greeting, write_frame,
};
use super::*;

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

fn sealed(bytes: usize) -> Bytes {
    let mut object = vec![7; bytes];
    append_tail(&mut object);
    object.into()
}

fn target(path: &Path) -> Target {
    Target {
        user: None,
        host: "test".into(),
        port: None,
        in_home: false,
        path: path.to_str().unwrap().into(),
        list_staleness: None,
    }
}

/// A way to a server in a thread of this process.
fn way_to(options: ServeOptions) -> Way {
    Box::new(move || {
        let (client, server) = UnixStream::pair().unwrap();
        let options = options.clone();
        std::thread::spawn(move || {
            let _ = serve(server.try_clone().unwrap(), server, &options);
        });
        let input = Closing(client.try_clone().unwrap());
        Ok(Link { input: Box::new(input), output: Box::new(client), process: None })
    })
}

/// The writing half of a socket: dropping it ends what the other side reads, as with a pipe.
struct Closing(UnixStream);

impl Write for Closing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        let _ = self.0.shutdown(std::net::Shutdown::Write);
    }
}

fn opened(way: Way, path: &Path, access: Access) -> Result<SshBackend> {
    SshBackend::over(way, &target(path), access, Duration::from_secs(60))
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("repository");
    (place, path)
}

#[test]
fn it_keeps_the_contract() {
    let (_place, path) = place();
    let backend = opened(way_to(ServeOptions::default()), &path, Access::Create).unwrap();
    assert_eq!(backend.location(), format!("ssh://test{}", path.display()));
    let local = crate::LocalBackend::open(&path).unwrap().capabilities();
    assert_eq!(backend.capabilities(), Capabilities { concurrency: 8, ..local });
    let report = runtime().block_on(check(Arc::new(backend), Options::quick()));
    assert!(report.is_clean(), "{report}");
}

#[test]
fn redundancy_layers_keep_the_contract_over_it() {
    use crate::erasure::{ErasureBackend, Member, Purpose, Split};
    use crate::parity::{ParityBackend, Percent};

    let place = tempfile::tempdir().unwrap();
    let store = |name: &str| -> Arc<dyn Backend> {
        let path = place.path().join(name);
        Arc::new(opened(way_to(ServeOptions::default()), &path, Access::Create).unwrap())
    };
    let parity: Arc<dyn Backend> = Arc::new(ParityBackend::new(store("parity"), Percent::new(10).unwrap()));
    let member = |name: &str| Member { location: name.to_owned(), store: Ok(store(name)), own: None, depth: 0 };
    let members = ["one", "two", "three"].map(member).into();
    let erasure = ErasureBackend::new(Split::new(2, 1).unwrap(), members, Purpose::Create).unwrap();
    for layer in [parity, Arc::new(erasure)] {
        // Names under which the server knows what the engine puts.
        let options = Options { top: Some("archives".to_owned()), ..Options::quick() };
        let report = runtime().block_on(check(layer, options));
        assert!(report.is_clean(), "{report}");
    }
}

#[test]
fn it_is_the_same_repository_as_the_local_one() {
    let (_place, path) = place();
    runtime().block_on(async {
        let far = opened(way_to(ServeOptions::default()), &path, Access::Create).unwrap();
        let near = crate::LocalBackend::open(&path).unwrap();
        let segment = name(&format!("segments/{}", "ab".repeat(16)));
        far.put(&segment, sealed(PIECE_BYTES * 3).into(), PutMode::Write).await.unwrap();
        assert_eq!(near.get(&segment, ByteRange::WHOLE).await.unwrap(), sealed(PIECE_BYTES * 3));
        near.delete(&segment).await.unwrap();
        assert_eq!(far.head(&segment).await.unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn what_the_server_refuses_comes_with_its_reason() {
    let (place, path) = place();
    let missing = opened(way_to(ServeOptions::default()), &path, Access::Existing).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::RepositoryNotFound);
    let above = opened(way_to(ServeOptions::default()), &path.join("x"), Access::Create).unwrap_err();
    assert_eq!((above.kind(), above.context("path")), (ErrorKind::NotFound, path.to_str()));
    let elsewhere = ServeOptions { restrict_to_paths: vec![place.path().join("other")], ..ServeOptions::default() };
    let refused = opened(way_to(elsewhere), &path, Access::Create).unwrap_err();
    assert_eq!(refused.context(errors::REFUSED_PATH), path.to_str());
    opened(way_to(ServeOptions::default()), &path, Access::Create).unwrap();
    let adding = ServeOptions { permissions: Permissions::NoDelete, quota: Some(1000), ..ServeOptions::default() };
    let empty = opened(way_to(adding.clone()), &path, Access::Existing).unwrap_err();
    assert_eq!((empty.kind(), empty.context("path")), (ErrorKind::RepositoryNotFound, path.to_str()));
    std::fs::write(path.join("config"), sealed(8)).unwrap();
    let folder = opened(way_to(adding.clone()), &path.join("segments"), Access::Existing).unwrap_err();
    assert_eq!(folder.context(errors::REFUSED_PATH), path.join("segments").to_str());
    let client = opened(way_to(adding.clone()), &path, Access::Existing).unwrap();
    assert!(opened(way_to(adding), &path.with_file_name("new"), Access::Create).is_err());
    assert_eq!(client.capabilities().permissions, Permissions::NoDelete);
    runtime().block_on(async {
        let name = name("archives/a");
        let broken = client.put(&name, vec![1; 100].into(), PutMode::Write).await.unwrap_err();
        assert_eq!((broken.kind(), broken.context("object")), (ErrorKind::Damaged, Some("archives/a")));
        client.put(&name, sealed(500).into(), PutMode::Write).await.unwrap();
        let other = client.put(&name, sealed(501).into(), PutMode::Write).await.unwrap_err();
        assert_eq!((other.kind(), other.context("permissions")), (ErrorKind::PermissionDenied, Some("no-delete")));
        let gone = client.delete(&name).await.unwrap_err();
        assert_eq!((gone.kind(), gone.operation()), (ErrorKind::PermissionDenied, "delete object"));
        let full = client.put(&self::name("archives/b"), sealed(500).into(), PutMode::Write).await.unwrap_err();
        assert_eq!((full.kind(), full.context("quota")), (ErrorKind::NoSpace, Some("1000")));
    });
}

#[test]
fn lists_of_many_pages_are_read_slowly_and_dropped_early() {
    let (_place, path) = place();
    runtime().block_on(async {
        let near = crate::LocalBackend::create(&path).unwrap();
        // Two pages and a bit.
        let count = 2 * protocol::PAGE_OBJECTS + 3;
        std::fs::create_dir_all(path.join("index")).unwrap();
        (0..count).for_each(|i| std::fs::write(path.join(format!("index/{i}")), "x").unwrap());
        let far = opened(way_to(ServeOptions::default()), &path, Access::Existing).unwrap();
        for _ in 0..2 * REQUESTS_MAX {
            assert!(far.list(&Prefix::all()).next().await.unwrap().is_ok());
        }
        let mut names: Vec<_> = far.list(&Prefix::new("index").unwrap()).try_collect().await.unwrap();
        let mut local: Vec<_> = near.list(&Prefix::new("index").unwrap()).try_collect().await.unwrap();
        names.sort_by(|a, b| a.name.cmp(&b.name));
        local.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!((names.len(), names == local), (count, true));
    });
}

#[test]
fn the_end_of_one_list_is_not_that_of_another() {
    let (_place, path) = place();
    runtime().block_on(async {
        crate::LocalBackend::create(&path).unwrap();
        let count = protocol::PAGE_OBJECTS + 3;
        for (folder, count) in [("index", count), ("locks", 1)] {
            std::fs::create_dir_all(path.join(folder)).unwrap();
            (0..count).for_each(|i| std::fs::write(path.join(format!("{folder}/{i}")), "x").unwrap());
        }
        let far = opened(way_to(ServeOptions::default()), &path, Access::Existing).unwrap();
        // All of the first has come when the second begins, and nobody has seen that yet.
        let mut first = far.list(&Prefix::new("locks").unwrap());
        assert!(first.next().await.unwrap().is_ok());
        let mut second = far.list(&Prefix::new("index").unwrap());
        assert!(second.next().await.unwrap().is_ok());
        drop(first);
        assert_eq!(second.try_collect::<Vec<_>>().await.unwrap().len(), count - 1);
    });
}

#[test]
fn who_waits_for_a_connection_holds_nobody_up_and_is_told_with_the_others_that_there_is_none() {
    use std::sync::atomic::{AtomicUsize, Ordering};

    let (_place, path) = place();
    let near = crate::LocalBackend::create(&path).unwrap();
    let cut = way_to_enemy(|mut server| drop(frame(&mut server)));
    let attempts = Arc::new(AtomicUsize::new(0));
    let (release, released) = std::sync::mpsc::channel();
    let (counted, released) = (Arc::clone(&attempts), std::sync::Mutex::new(released));
    let way: Way = Box::new(move || match counted.fetch_add(1, Ordering::SeqCst) {
        0 => cut(),
        _ => {
            // As long as it takes the caller to do something else; a minute if that waits for us.
            let released = released.lock().unwrap().recv_timeout(Duration::from_secs(60));
            Err(Loss::closed(if released.is_ok() { "no way" } else { "it was held up" }))
        }
    });
    let far = opened(way, &path, Access::Existing).unwrap();
    Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let name = name("a");
        far.head(&name).await.unwrap_err();
        let other = async {
            near.put(&name, vec![1].into(), PutMode::Write).await.unwrap();
            release.send(()).unwrap();
        };
        let (first, second, third, ()) = tokio::join!(far.head(&name), far.head(&name), far.head(&name), other);
        for answer in [first, second, third] {
            assert_eq!(answer.unwrap_err().context("reason"), Some("no way"));
        }
    });
    assert_eq!(attempts.load(Ordering::SeqCst), 2);
}

#[test]
fn more_is_asked_at_once_than_a_server_takes() {
    let (_place, path) = place();
    let far = Arc::new(opened(way_to(ServeOptions::default()), &path, Access::Create).unwrap());
    runtime().block_on(async {
        let puts = (0..3 * REQUESTS_MAX).map(|i| {
            let far = Arc::clone(&far);
            // Together more than a server lets be under way.
            let bytes = if i % 20 == 0 { 30 << 20 } else { 10 };
            tokio::spawn(async move { far.put(&name(&format!("a/{i}")), vec![1; bytes].into(), PutMode::Write).await })
        });
        for put in puts.collect::<Vec<_>>() {
            put.await.unwrap().unwrap();
        }
        let listed: Vec<_> = far.list(&Prefix::all()).try_collect().await.unwrap();
        assert_eq!(listed.len(), 3 * REQUESTS_MAX);
    });
}

/// A server that answers the opening and then does with the conversation what `rest` says.
fn way_to_enemy(rest: impl Fn(UnixStream) + Clone + Send + Sync + 'static) -> Way {
    Box::new(move || {
        let (client, mut server) = UnixStream::pair().unwrap();
        let rest = rest.clone();
        std::thread::spawn(move || {
            let mut greeting = [0; 16];
            server.read_exact(&mut greeting).unwrap();
            server.write_all(&server_greeting(1)).unwrap();
            let (open, _) = frame(&mut server).unwrap();
            let capabilities = gabion_core::backend::MemoryBackend::new().capabilities();
            let body = Opened { capabilities, program: "x".into() }.encode();
            write_frame(&mut server, Kind::Opened, open.request, &body).unwrap();
            rest(server);
        });
        let input = Closing(client.try_clone().unwrap());
        Ok(Link { input: Box::new(input), output: Box::new(client), process: None })
    })
}

fn frame(input: &mut impl Read) -> Option<(Header, Vec<u8>)> {
    let header = read_header(input).ok()??.unwrap();
    let mut body = Vec::new();
    read_onto(input, &mut body, header.body_bytes).unwrap();
    Some((header, body))
}

/// What an enemy sends to the request of this number.
type Lie = fn(u32) -> Vec<u8>;

#[test]
fn answers_that_are_none_end_the_connection_and_not_the_client() {
    let answers: [(&str, Lie); 9] = [
        ("a frame of unknown kind", |_| b"garbage instead of frames".to_vec()),
        ("a frame that is too long", |n| Header { kind: Kind::Done, request: n, body_bytes: 1 << 30 }.bytes().to_vec()),
        ("an answer to something else", |n| answer(Kind::Done, n, &[])),
        ("an answer nobody waits for", |n| answer(Kind::Size, n + 1, &[0; 8])),
        ("a piece that does not fit", |n| answer(Kind::Piece, n, &[0; 8])),
        ("another length than was asked for", |n| answer(Kind::Size, n, &9_u64.to_le_bytes())),
        ("a size that is none", |n| answer(Kind::Size, n, &[0; 7])),
        ("a page nobody asked for", |n| answer(Kind::Page, n, &[1])),
        ("a piece that does not fit", |n| {
            [answer(Kind::Size, n, &8_u64.to_le_bytes()), answer(Kind::Piece, n, &[0; 9])].concat()
        }),
    ];
    for (what, bytes) in answers {
        let way = way_to_enemy(move |mut server| {
            let (asked, _) = frame(&mut server).unwrap();
            let _ = server.write_all(&bytes(asked.request));
            // Keeps the line open: it is for the client to hang up.
            while frame(&mut server).is_some() {}
        });
        let client = opened(way, Path::new("/x"), Access::Existing).unwrap();
        let error = runtime()
            .block_on(client.get(&name("a"), ByteRange::Exact { offset: 0, length: 8 }))
            .expect_err("an answer that is none");
        assert_eq!((error.kind(), error.context(errors::SERVER_SENT)), (ErrorKind::Connection, Some(what)));
        assert_eq!((error.retry(), error.context("object")), (Retry::Temporary, Some("a")));
    }
}

fn answer(kind: Kind, request: u32, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_frame(&mut out, kind, request, body).unwrap();
    out
}

#[test]
fn a_connection_that_ends_fails_what_is_under_way_and_the_next_call_connects_again() {
    let (_place, path) = place();
    crate::LocalBackend::create(&path).unwrap();
    let good = way_to(ServeOptions::default());
    let cut = way_to_enemy(|mut server| drop(frame(&mut server)));
    let first = std::sync::atomic::AtomicBool::new(true);
    let way: Way =
        Box::new(move || if first.swap(false, std::sync::atomic::Ordering::SeqCst) { cut() } else { good() });
    let client = opened(way, &path, Access::Existing).unwrap();
    runtime().block_on(async {
        let a = name("a");
        let put = || client.put(&a, vec![1; 3 * PIECE_BYTES].into(), PutMode::Write);
        let lost = put().await.unwrap_err();
        assert_eq!((lost.kind(), lost.retry()), (ErrorKind::Connection, Retry::Temporary), "{lost}");
        put().await.unwrap();
        assert_eq!(client.head(&name("a")).await.unwrap().bytes, 3 * PIECE_BYTES as u64);
    });
}

#[test]
fn a_complaint_of_the_server_is_told() {
    let way = way_to_enemy(|mut server| {
        let _ = frame(&mut server);
        let error = Error::new(ErrorKind::InvalidInput, "serve").with(errors::CLIENT_SENT, "nonsense");
        write_frame(&mut server, Kind::Failed, 0, &encode_failure(&error)).unwrap();
    });
    let client = opened(way, Path::new("/x"), Access::Existing).unwrap();
    let error = runtime().block_on(client.head(&name("a"))).unwrap_err();
    assert!(error.to_string().contains("client sent: nonsense"), "{error}");
}

/// A child in place of ssh.
fn child(script: &'static str) -> Way {
    Box::new(move || {
        let child = Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        Link::of_child(child.map_err(|error| Loss::not_started(error.to_string()))?)
    })
}

#[test]
fn what_is_no_server_is_told_with_what_it_said() {
    for (script, kind, fact, value) in [
        ("echo Welcome to this host; cat", ErrorKind::Connection, errors::SERVER_SENT, "Welcome to this"),
        ("echo no", ErrorKind::Connection, errors::SERVER_SENT, "`no\\n`"),
        ("printf 'GABSERVE\\0\\0\\2\\0\\0\\0\\0\\0'; cat", ErrorKind::Unsupported, errors::SERVER_SPEAKS, "version 2"),
        ("exit 127", ErrorKind::Connection, "ssh ended with", "127"),
        ("exit 255", ErrorKind::Connection, "ssh ended with", "255"),
    ] {
        let error = opened(child(script), Path::new("/x"), Access::Existing).unwrap_err();
        assert_eq!(error.kind(), kind, "{script}: {error}");
        assert!(error.context(fact).is_some_and(|told| told.contains(value)), "{script}: {error}");
        assert_eq!(error.retry() == Retry::Temporary, script == "exit 255", "{script}");
    }
    let nothing: Way = Box::new(|| Err(Loss::not_started("no such program")));
    assert_eq!(opened(nothing, Path::new("/x"), Access::Existing).unwrap_err().kind(), ErrorKind::Connection);
}

#[test]
fn a_silent_server_is_given_up_and_its_process_ended() {
    // Greets, opens, and falls silent.
    let script = "head -c 16 >/dev/null; printf 'GABSERVE\\1\\0\\1\\0\\0\\0\\0\\0'; head -c 16 >/dev/null; \
                  printf '\\23\\0\\0\\0\\1\\0\\0\\0\\200\\0\\0\\0\\1\\1\\0\\0\\0\\0\\0\\0\\0\\0\\100\\0\\0\\0\\0\\4\\0\\60\\56'; exec sleep 1000";
    let client =
        SshBackend::over(child(script), &target(Path::new("/x")), Access::Existing, Duration::from_secs(1)).unwrap();
    let error = runtime().block_on(client.head(&name("a"))).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::TimedOut, Retry::Temporary), "{error}");
}

/// What a server does with these bytes: how it ends, and what it wrote.
fn served(bytes: &[u8], options: &ServeOptions) -> (Result<()>, Vec<u8>) {
    let mut written = Vec::new();
    let result = serve(bytes, &mut written, options);
    (result, written)
}

#[test]
fn a_server_survives_every_client() {
    let (_place, path) = place();
    crate::LocalBackend::create(&path).unwrap();
    let request = |number, request: Request| answer(request.kind(), number, &request.encode());
    let open = request(1, Request::Open { access: Access::Existing, path: target(&path).remote_path() });
    let greeted = [&client_greeting()[..], &open].concat();
    let put = |number, bytes| request(number, Request::Put { name: name("a/b"), mode: PutMode::Write, bytes });
    let many: Vec<u8> = (0..2000).flat_map(|number| put(number, 1)).collect();
    for (what, rest) in [
        ("a frame of unknown kind", b"garbage instead of frames".to_vec()),
        ("a frame that is too long", Header { kind: Kind::Put, request: 1, body_bytes: 1 << 30 }.bytes().to_vec()),
        ("the name of another repository", open.clone()),
        ("a piece of no object", answer(Kind::Piece, 3, &[1])),
        ("a piece that does not fit", [put(3, 5), answer(Kind::Piece, 3, &[0; 6])].concat()),
        ("a piece that does not fit", [put(3, 5), answer(Kind::Piece, 3, &[])].concat()),
        ("an object that is too large", put(3, 1 << 40)),
        ("too many bytes at once", [put(3, 100 << 20), put(4, 100 << 20)].concat()),
        ("two requests of one number", [put(3, 5), put(3, 5)].concat()),
        ("too many requests at once", many),
        ("a frame that only a server sends", answer(Kind::Done, 3, &[])),
        ("a name that is none", answer(Kind::Head, 3, b"../../etc/passwd")),
    ] {
        let (result, written) = served(&[greeted.clone(), rest].concat(), &ServeOptions::default());
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.context(errors::CLIENT_SENT)), (ErrorKind::InvalidInput, Some(what)));
        let mut input = &written[16..];
        let mut told = Vec::new();
        while let Some((header, body)) = frame(&mut input) {
            told.extend(
                (header.kind == Kind::Failed && header.request == 0).then(|| decode_failure("x", &body).unwrap()),
            );
        }
        assert_eq!(told.len(), 1, "{what}");
    }
    for cut in 0..greeted.len() {
        let (result, _) = served(&greeted[..cut], &ServeOptions::default());
        assert_eq!(result.is_ok(), cut == 0 || cut >= 16, "{cut}");
    }
    let (result, written) = served(b"GABSERVE\x02\0\x07\0\0\0\0\0rest", &ServeOptions::default());
    assert_eq!((result.unwrap_err().kind(), &written[..]), (ErrorKind::Unsupported, &server_greeting(0)[..]));
    // An object that was cut off was never there.
    let cut = [greeted, put(3, 50), answer(Kind::Piece, 3, &[1; 49])].concat();
    assert!(served(&cut, &ServeOptions::default()).0.is_ok());
    let near = crate::LocalBackend::open(&path).unwrap();
    assert_eq!(runtime().block_on(near.list(&Prefix::all()).count()), 0);
}

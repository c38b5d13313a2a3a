//! The frames: golden bytes, both ways, and what is refused.

use super::*;

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every kind of request with the bytes of its frame, as `docs/serve-protocol.md` shows them.
fn requests() -> Vec<(Request, &'static str)> {
    let path = |in_home, text: &str| RemotePath { in_home, bytes: text.into() };
    vec![
        (Request::Open { access: Access::Existing, path: path(false, "/srv") }, "060000000100000001000000"),
        (Request::Open { access: Access::Create, path: path(true, "b") }, "030000000100000001000000"),
        (Request::Put { name: name("keys/a"), mode: PutMode::Write, bytes: 300 }, "0f0000000100000002000000"),
        (Request::Put { name: name("keys/a"), mode: PutMode::ReplaceExisting, bytes: 1 }, "0f0000000100000002000000"),
        (Request::Get { name: name("config"), range: ByteRange::All { limit: 9 } }, "170000000100000003000000"),
        (
            Request::Get { name: name("a"), range: ByteRange::Exact { offset: 2, length: 3 } },
            "120000000100000003000000",
        ),
        (Request::Head { name: name("config") }, "060000000100000004000000"),
        (Request::Delete { name: name("config") }, "060000000100000005000000"),
        (Request::List { prefix: Prefix::all() }, "000000000100000006000000"),
        (Request::List { prefix: Prefix::new("gc/doom").unwrap() }, "070000000100000006000000"),
        (Request::More, "000000000100000007000000"),
        (Request::Stop, "000000000100000008000000"),
        (Request::Ping, "000000000100000009000000"),
    ]
}

#[test]
fn requests_go_both_ways() {
    for (request, header) in requests() {
        let body = request.encode();
        let mut frame = Vec::new();
        write_frame(&mut frame, request.kind(), 1, &body).unwrap();
        assert_eq!(hex(&frame[..HEADER_BYTES]), header, "{request:?}");
        let mut input = &frame[..];
        let header = read_header(&mut input).unwrap().unwrap().unwrap();
        assert_eq!((header.kind, header.request, header.body_bytes), (request.kind(), 1, body.len()));
        assert_eq!(Request::decode(header.kind, input).unwrap(), request);
    }
}

#[test]
fn golden_bytes() {
    let bytes = |request: Request| hex(&request.encode());
    assert_eq!(hex(&client_greeting()), "4741425345525645".to_owned() + "01000100" + "00000000");
    assert_eq!(hex(&server_greeting(1)), "4741425345525645".to_owned() + "01000100" + "00000000");
    let put = Request::Put { name: name("keys/a"), mode: PutMode::Write, bytes: 300 };
    assert_eq!(bytes(put), "00".to_owned() + "2c01000000000000" + "6b6579732f61");
    let get = Request::Get { name: name("a"), range: ByteRange::Exact { offset: 2, length: 3 } };
    assert_eq!(bytes(get), "01".to_owned() + "0200000000000000" + "0300000000000000" + "61");
    let open = Request::Open { access: Access::Create, path: RemotePath { in_home: true, bytes: b"b".into() } };
    assert_eq!(bytes(open), "010162");
    let page = Page { last: true, objects: vec![ObjectMeta { name: name("ab"), bytes: 5 }] };
    assert_eq!(hex(&page.encode()), "01".to_owned() + "0500000000000000" + "02" + "6162");
    assert_eq!(hex(&opened().encode()), "010101".to_owned() + "905f0100" + "0000004000000000" + "0400" + "302e31");
    let error = Error::new(ErrorKind::NoSpace, "x").with("used", 7).temporary();
    assert_eq!(hex(&encode_failure(&error)), "0401".to_owned() + "04" + "75736564" + "0100" + "37");
}

fn opened() -> Opened {
    let capabilities = Capabilities {
        durable: true,
        list_staleness: std::time::Duration::from_secs(90),
        replace_existing: true,
        max_object_bytes: 1 << 30,
        concurrency: 4,
        permissions: Permissions::NoDelete,
    };
    Opened { capabilities, program: "0.1".to_owned() }
}

#[test]
fn answers_go_both_ways() {
    assert_eq!(Opened::decode(&opened().encode()).unwrap(), opened());
    for count in [0, 1, PAGE_OBJECTS] {
        let objects = (0..count).map(|i| ObjectMeta { name: name(&format!("a/{i}")), bytes: i as u64 }).collect();
        let page = Page { last: count == 1, objects };
        assert_eq!(Page::decode(&page.encode()).unwrap(), page);
    }
    let longest =
        Page { last: true, objects: vec![ObjectMeta { name: name(&"a".repeat(128)), bytes: 0 }; PAGE_OBJECTS] };
    assert!(longest.encode().len() <= BODY_BYTES_MAX);
    let error = Error::new(ErrorKind::RepositoryNotFound, "open")
        .with("path", "/srv/\u{1b}x")
        .with("secret", "y")
        .because(io::Error::other("gone"));
    let told = decode_failure("get object", &encode_failure(&error)).unwrap();
    assert_eq!(
        (told.kind(), told.operation(), told.retry()),
        (ErrorKind::RepositoryNotFound, "get object", Retry::Permanent)
    );
    assert_eq!(
        (told.context("path"), told.context("cause"), told.context("secret")),
        (Some("/srv/\\u{1b}x"), Some("gone"), None)
    );
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut header = Header { kind: Kind::Piece, request: 7, body_bytes: BODY_BYTES_MAX }.bytes();
    assert!(Header::parse(&header).is_ok());
    header[3] = 1;
    assert_eq!(Header::parse(&header), Err("a frame that is too long"));
    for kind in [0, 10, 63, 65, 127, 133, 255] {
        let mut header = Header { kind: Kind::Ping, request: 7, body_bytes: 0 }.bytes();
        header[8] = kind;
        assert!(Header::parse(&header).is_err(), "{kind}");
    }
    for (kind, body) in [
        (Kind::Open, &b""[..]),
        (Kind::Open, b"\x02\x00/"),
        (Kind::Open, b"\x00\x00/a\x00"),
        (Kind::Put, b"\x00\x01"),
        (Kind::Put, b"\x00\x01\x00\x00\x00\x00\x00\x00\x00../x"),
        (Kind::Get, b"\x00"),
        (Kind::Head, b"/"),
        (Kind::Head, b"\xff"),
        (Kind::Delete, b""),
        (Kind::List, b"../x"),
        (Kind::More, b"x"),
        (Kind::Ping, b"x"),
        (Kind::Done, b""),
    ] {
        assert!(Request::decode(kind, body).is_err(), "{kind:?} {body:?}");
    }
    let huge = [&b"\x00\x00"[..], &vec![b'a'; PATH_BYTES_MAX + 1]].concat();
    assert!(Request::decode(Kind::Open, &huge).is_err());
    assert_eq!(read_greeting(b"Welcome to host!"), None);
}

/// Whatever bytes come, there is an answer and no panic; what is cut is never taken for something whole.
#[test]
fn any_bytes_are_survived() {
    let mut bodies: Vec<Vec<u8>> = requests().iter().map(|(request, _)| request.encode()).collect();
    bodies.push(opened().encode());
    bodies.push(Page { last: false, objects: vec![ObjectMeta { name: name("ab/cd"), bytes: 9 }; 3] }.encode());
    bodies.push(encode_failure(&Error::new(ErrorKind::Io, "x").with("reason", "y").temporary()));
    let mut seed = 1_u64;
    for body in bodies {
        for round in 0..2000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let mut changed = body.clone();
            if round % 2 == 0 {
                changed.truncate(seed as usize % (body.len() + 1));
            } else if !changed.is_empty() {
                let at = (seed >> 16) as usize % changed.len();
                changed[at] ^= (seed >> 40) as u8;
            }
            for kind in KINDS {
                let _ = Request::decode(kind, &changed);
            }
            let _ = (Opened::decode(&changed), Page::decode(&changed), decode_failure("test", &changed));
        }
    }
}

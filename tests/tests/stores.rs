//! Stores that are servers: the contract with real ones, and with a line between that does to requests what networks
//! do. What has to run is started here, on this machine.

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use gabion_backends::layer::{Method, RetryOptions, Trace};
use gabion_backends::{Access, Location, OpenOptions, Variables, open};
use gabion_core::backend::conformance::{Options, check};
use gabion_core::backend::{Backend, ByteRange, ObjectName, Prefix, PutMode};
use gabion_core::error::{ErrorKind, Result};
use gabion_tests::servers::{
    self, ACCESS_KEY, AZURE_KEY, BUCKET, Cutter, Fault, MetadataServer, Proxy, S3Server, SECRET_KEY, WEBDAV_PASSWORD,
    WEBDAV_USER,
};
use tokio::runtime::{Builder, Runtime};

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn named(name: &str) -> ObjectName {
    ObjectName::new(name).unwrap()
}

/// Options whose patience costs no time worth mentioning.
fn options() -> OpenOptions {
    let keys = [
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ("AZURE_STORAGE_ACCOUNT_KEY", AZURE_KEY),
        ("GOOGLE_ACCESS_TOKEN", "a token"),
        ("WEBDAV_USERNAME", WEBDAV_USER),
        ("WEBDAV_PASSWORD", WEBDAV_PASSWORD),
    ];
    OpenOptions {
        retry: RetryOptions { first_pause: Duration::from_millis(5), repetitions: 8, ..RetryOptions::default() },
        variables: Variables::from_iter(keys),
        ..OpenOptions::default()
    }
}

fn opened(url: &str) -> Arc<dyn Backend> {
    open(&Location::parse(url).unwrap(), Access::Create, &options()).unwrap()
}

fn keeps_the_contract(store: Arc<dyn Backend>, options: Options) {
    let report = runtime().block_on(check(Arc::clone(&store), options));
    assert!(report.is_clean(), "{report}");
    assert_eq!(listed(&*store).unwrap(), [""; 0], "nothing is left");
}

fn listed(store: &dyn Backend) -> Result<Vec<String>> {
    let listed: Vec<_> = runtime().block_on(store.list(&Prefix::all()).try_collect())?;
    Ok(listed.into_iter().map(|object| object.name.to_string()).collect())
}

#[test]
fn s3_keeps_the_contract() {
    let place = tempfile::tempdir().unwrap();
    let server = S3Server::start(place.path());
    // More names than a page of a list has.
    let store = opened(&server.url("some/where"));
    keeps_the_contract(store, Options { names: 1100, ..Options::quick() });
}

/// The answer of who gives credentials is not the answer of the store: a collector would take objects for gone.
#[test]
fn a_machine_that_loses_its_role_misses_no_object() {
    let place = tempfile::tempdir().unwrap();
    let (server, metadata) = (S3Server::start(place.path()), MetadataServer::start(false));
    let service = format!("http://127.0.0.1:{}", metadata.port);
    let variables = Variables::from_iter([("AWS_EC2_METADATA_SERVICE_ENDPOINT", service)]);
    let options = OpenOptions { variables, ..options() };
    let open = || open(&Location::parse(&server.url("r")).unwrap(), Access::Create, &options).unwrap();
    let (store, name, runtime) = (open(), named("archives/a"), runtime());
    runtime.block_on(store.put(&name, b"an archive".to_vec().into(), PutMode::Write)).unwrap();
    metadata.take_role();
    for (store, kind) in [(store, ErrorKind::Connection), (open(), ErrorKind::PermissionDenied)] {
        let failed = runtime.block_on(async {
            [
                store.get(&name, ByteRange::WHOLE).await.unwrap_err(),
                store.head(&name).await.unwrap_err(),
                store.delete(&name).await.unwrap_err(),
                store.put(&name, b"x".to_vec().into(), PutMode::ReplaceExisting).await.unwrap_err(),
                store.list(&Prefix::all()).try_collect::<Vec<_>>().await.unwrap_err(),
            ]
        });
        assert_eq!(failed.map(|error| error.kind()), [kind; 5]);
    }
}

/// Keys, region and server come from the user's files; a profile that the URL names outweighs the environment.
#[test]
fn a_profile_of_the_aws_files_opens_a_bucket() {
    let place = tempfile::tempdir().unwrap();
    let server = S3Server::start(&place.path().join("bucket"));
    let files = place.path().join(".aws");
    std::fs::create_dir(&files).unwrap();
    let keys = format!("aws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n");
    std::fs::write(files.join("credentials"), format!("[default]\naws_access_key_id = other\n\n[backup]\n{keys}"))
        .unwrap();
    let server = format!("endpoint_url = http://127.0.0.1:{}\nregion = eu-central-1\n", server.port);
    std::fs::write(files.join("config"), format!("[profile backup]\n{server}")).unwrap();
    let home = place.path().display().to_string();
    let wrong = [("AWS_ACCESS_KEY_ID", "other"), ("AWS_SECRET_ACCESS_KEY", "other")];
    for (parameter, more) in [("?profile=backup", &wrong[..]), ("", &[("AWS_PROFILE", "backup")])] {
        let all = more.iter().copied().chain([("HOME", &*home)]);
        let options = OpenOptions { variables: all.collect(), ..options() };
        let location = Location::parse(&format!("s3://{BUCKET}/r{parameter}")).unwrap();
        let store = open(&location, Access::Create, &options).unwrap();
        runtime().block_on(store.put(&named("archives/1"), vec![1].into(), PutMode::Write)).unwrap();
        assert_eq!(listed(&*store).unwrap(), ["archives/1"]);
        assert_eq!(store.capabilities().list_staleness, UNKNOWN, "it is not Amazon's own");
    }
}

/// How old lists of a server may be of which nothing is known.
const UNKNOWN: Duration = Duration::from_secs(90);

#[test]
fn lists_of_a_server_that_a_variable_names_may_be_old() {
    let keys = [("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)];
    for (more, staleness) in [
        (&[][..], Duration::ZERO),
        (&[("AWS_ENDPOINT_URL", "http://127.0.0.1:1")], UNKNOWN),
        (&[("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")], UNKNOWN),
    ] {
        let options = OpenOptions { variables: keys.iter().chain(more).copied().collect(), ..options() };
        let store = open(&Location::parse("s3://bucket/r").unwrap(), Access::Create, &options).unwrap();
        assert_eq!((store.capabilities().list_staleness, store.location()), (staleness, "s3://bucket/r"));
    }
}

/// A machine that has just been started may be faster than the service that gives it credentials.
#[test]
fn credentials_that_come_late_are_waited_for() {
    let place = tempfile::tempdir().unwrap();
    let (server, metadata) = (S3Server::start(place.path()), MetadataServer::start(true));
    let variables =
        |port: u16| Variables::from_iter([("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://127.0.0.1:{port}"))]);
    let open = |port| {
        let options = OpenOptions { variables: variables(port), ..options() };
        open(&Location::parse(&server.url("r")).unwrap(), Access::Create, &options).unwrap()
    };
    // The library itself repeats a question twice.
    metadata.keep_busy(7);
    assert_eq!(listed(&*open(metadata.port)).unwrap(), [""; 0]);
    let nobody = listed(&*open(servers::free_port())).unwrap_err();
    assert_eq!((nobody.kind(), nobody.context("attempts")), (ErrorKind::Connection, Some("9")), "{nobody}");
}

#[test]
fn s3_sends_large_objects_in_parts() {
    let place = tempfile::tempdir().unwrap();
    let server = S3Server::start(place.path());
    let store = opened(&format!("{}&part-mib=5", server.url("")));
    let large = Options { names: 10, rounds: 2, large_bytes: (13 << 20) + 7, ..Options::quick() };
    keeps_the_contract(store, large);
}

#[test]
fn another_s3_keeps_the_contract() {
    let Some(moto) = servers::moto() else { return };
    let store = opened(&servers::url(moto.port, "x"));
    keeps_the_contract(store, Options { names: 1050, rounds: 4, large_bytes: 3 << 20, ..Options::quick() });
}

#[test]
fn azure_keeps_the_contract() {
    let place = tempfile::tempdir().unwrap();
    let Some(server) = servers::azurite(place.path()) else { return };
    let store = opened(&servers::azurite_url(server.port, "some/where"));
    keeps_the_contract(store, Options { names: 600, rounds: 5, ..Options::quick() });
    assert!(replaces(&*opened(&servers::azurite_url(server.port, "other"))));
}

#[test]
fn azure_sends_large_objects_in_parts() {
    let place = tempfile::tempdir().unwrap();
    let Some(server) = servers::azurite(place.path()) else { return };
    let store = opened(&format!("{}&part-mib=5", servers::azurite_url(server.port, "")));
    keeps_the_contract(store, Options { names: 10, rounds: 2, large_bytes: (13 << 20) + 7, ..Options::quick() });
}

#[test]
fn azure_through_a_bad_line_keeps_the_contract() {
    let place = tempfile::tempdir().unwrap();
    let Some(server) = servers::azurite(place.path()) else { return };
    let proxy = bad_line(server.port, 13);
    let url = format!("{}&part-mib=5", servers::azurite_url(proxy.port, "bad"));
    keeps_the_contract(opened(&url), Options { names: 60, rounds: 4, large_bytes: (6 << 20) + 1, ..Options::quick() });
    assert!(proxy.faults() > 20, "{} of {}", proxy.faults(), proxy.requests());
}

/// Google's interface is S3's language with headers of its own.
#[test]
fn google_keeps_the_contract() {
    let Some(moto) = servers::moto() else { return };
    let store = opened(&servers::google_url(moto.port, "some/where"));
    keeps_the_contract(store, Options { names: 1050, rounds: 4, large_bytes: 3 << 20, ..Options::quick() });
    assert!(!replaces(&*opened(&servers::google_url(moto.port, "other"))), "this server knows no generations");
}

#[test]
fn google_through_a_bad_line_keeps_the_contract() {
    let Some(moto) = servers::moto() else { return };
    let proxy = bad_line(moto.port, 13);
    let url = format!("{}&part-mib=5", servers::google_url(proxy.port, "bad"));
    keeps_the_contract(opened(&url), Options { names: 60, rounds: 4, large_bytes: (6 << 20) + 1, ..Options::quick() });
    assert!(proxy.faults() > 20, "{} of {}", proxy.faults(), proxy.requests());
}

#[test]
fn redis_keeps_the_contract() {
    let place = tempfile::tempdir().unwrap();
    let Some(server) = servers::redis(place.path()) else { return };
    let store = opened(&format!("redis://127.0.0.1:{}/1?prefix=g*%5B", server.port));
    keeps_the_contract(store, Options { names: 3000, ..Options::quick() });
}

#[test]
fn the_rights_that_the_page_about_redis_names_are_enough_and_hold() {
    let page = include_str!("../../docs/stores/redis.md");
    let rights = page.split("`user ").nth(1).and_then(|rest| rest.split('`').next()).unwrap();
    let rights: Vec<&str> =
        rights.split(' ').map(|word| if word.starts_with('>') { ">hunter2" } else { word }).collect();
    assert_eq!((rights[0], rights[3]), ("backup", "~laptop/*"));
    let place = tempfile::tempdir().unwrap();
    let user = [&["--user"][..], &rights].concat();
    let Some(server) = servers::redis_at(place.path(), servers::free_port(), &user) else { return };
    let at = |prefix: &str| format!("redis://backup:hunter2@127.0.0.1:{}/2?prefix={prefix}", server.port);
    keeps_the_contract(opened(&at("laptop/")), Options::quick());
    let others = opened(&at("desktop/"));
    let put = runtime().block_on(others.put(&named("archives/1"), vec![1].into(), PutMode::Write)).unwrap_err();
    assert_eq!(put.kind(), ErrorKind::PermissionDenied, "{put}");
    assert!(!format!("{put} {put:?} {}", others.location()).contains("hunter2"));
}

#[test]
fn redis_through_a_bad_line_keeps_the_contract() {
    let place = tempfile::tempdir().unwrap();
    let Some(server) = servers::redis(place.path()) else { return };
    for start in [Cutter::start, Cutter::losing_answers] {
        let cutter = start(server.port, 1_400_000);
        let store = opened(&format!("redis://127.0.0.1:{}", cutter.port));
        keeps_the_contract(store, Options { large_bytes: (1 << 20) + 1, ..Options::quick() });
        assert!(cutter.cuts() >= 3, "{} cuts", cutter.cuts());
    }
}

#[test]
fn redis_that_comes_back_is_found_again() {
    let place = tempfile::tempdir().unwrap();
    let Some(mut server) = servers::redis(place.path()) else { return };
    let port = server.port;
    let store = opened(&format!("redis://127.0.0.1:{port}"));
    let runtime = runtime();
    let put = |name: &str| runtime.block_on(store.put(&named(name), vec![1; 100_000].into(), PutMode::Write));
    put("a/1").unwrap();
    server.kill();
    let error = put("a/2").unwrap_err();
    assert!(error.context("attempts").is_some() && error.kind() == ErrorKind::Connection, "{error}");
    assert_eq!(listed(&*store).unwrap_err().kind(), ErrorKind::Connection, "no empty list");
    let again = servers::redis_at(place.path(), port, &[]);
    put("a/2").unwrap();
    drop(again);
}

#[test]
fn webdav_keeps_the_contract() {
    let place = tempfile::tempdir().unwrap();
    let Some(server) = servers::webdav(place.path()) else { return };
    keeps_the_contract(opened(&servers::webdav_url(server.port, "some/where")), Options::quick());
    let left = std::fs::read_dir(place.path().join("files/some/where")).unwrap().count();
    assert_eq!(left, 0, "neither files nor folders are left beside the objects");
}

#[test]
fn webdav_through_a_bad_line_keeps_the_contract() {
    let place = tempfile::tempdir().unwrap();
    let Some(server) = servers::webdav(place.path()) else { return };
    let proxy = bad_line(server.port, 29);
    let options = Options { names: 60, rounds: 4, large_bytes: (1 << 20) + 1, ..Options::quick() };
    keeps_the_contract(opened(&servers::webdav_url(proxy.port, "bad")), options);
    assert!(proxy.faults() > 20, "{} of {}", proxy.faults(), proxy.requests());
}

#[test]
fn webdav_tells_wrong_passwords_and_lost_servers() {
    let place = tempfile::tempdir().unwrap();
    let Some(mut server) = servers::webdav(place.path()) else { return };
    let location = Location::parse(&servers::webdav_url(server.port, "x")).unwrap();
    let (runtime, name) = (runtime(), named("config"));
    let got = |options: &OpenOptions| {
        let store = open(&location, Access::Existing, options).unwrap();
        runtime.block_on(store.get(&name, ByteRange::WHOLE)).unwrap_err()
    };
    assert_eq!(got(&options()).kind(), ErrorKind::NotFound);
    let variables = Variables::from_iter([("WEBDAV_USERNAME", WEBDAV_USER), ("WEBDAV_PASSWORD", "hunter2")]);
    let error = got(&OpenOptions { variables, ..options() });
    assert_eq!((error.kind(), error.context("attempts")), (ErrorKind::PermissionDenied, None), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    server.kill();
    let error = got(&options());
    assert!(error.context("attempts").is_some() && error.kind() == ErrorKind::Connection, "{error}");
    assert_eq!(
        listed(&*opened(&servers::webdav_url(server.port, "x"))).unwrap_err().kind(),
        ErrorKind::Connection,
        "no empty list"
    );
}

/// Every so many requests something goes wrong, each kind in its turn, and those after it are late: others overtake
/// them. Repeating makes up for all of it.
fn bad_line(port: u16, every: u64) -> Proxy {
    let faults = [Fault::Unavailable, Fault::CutRequest, Fault::CutAnswer, Fault::LoseAnswer];
    Proxy::start(port, move |request| match request.number % every {
        0 => faults[(request.number / every) as usize % faults.len()],
        1..=3 => Fault::Delay(Duration::from_millis(20)),
        _ => Fault::Pass,
    })
}

#[test]
fn s3_through_a_bad_line_keeps_the_contract() {
    let place = tempfile::tempdir().unwrap();
    let server = S3Server::start(place.path());
    let proxy = bad_line(server.port, 13);
    let url = format!("{}&part-mib=5", servers::url(proxy.port, "bad"));
    let options = Options { names: 120, rounds: 4, large_bytes: (6 << 20) + 1, ..Options::quick() };
    keeps_the_contract(opened(&url), options);
    assert!(proxy.faults() > 50, "{} of {}", proxy.faults(), proxy.requests());
}

#[test]
fn a_line_that_never_works_is_an_error_and_never_an_empty_store() {
    let place = tempfile::tempdir().unwrap();
    let server = S3Server::start(place.path());
    let runtime = runtime();
    for fault in [Fault::Unavailable, Fault::CutRequest] {
        let proxy = Proxy::start(server.port, move |_| fault);
        let mut options = options();
        options.retry.repetitions = 1;
        let location = Location::parse(&servers::url(proxy.port, "")).unwrap();
        let store = open(&location, Access::Existing, &options).unwrap();
        let name = named("a/1");
        let put = runtime.block_on(store.put(&name, vec![1; 9].into(), PutMode::Write)).unwrap_err();
        let get = runtime.block_on(store.get(&name, ByteRange::WHOLE)).unwrap_err();
        let list = listed(&*store).unwrap_err();
        for error in [put, get, list] {
            assert_eq!(
                (error.kind(), error.context("attempts")),
                (ErrorKind::Connection, Some("2")),
                "{fault:?}: {error}"
            );
        }
    }
}

#[test]
fn who_may_not_overwrite_can_repeat_a_put_whose_answer_was_lost() {
    let place = tempfile::tempdir().unwrap();
    let server = S3Server::start(place.path());
    let names = std::sync::Mutex::new(std::collections::BTreeSet::new());
    let proxy = Proxy::start(server.port, move |request| match &*request.method {
        "PUT" if names.lock().unwrap().insert(request.target.clone()) => Fault::LoseAnswer,
        "PUT" => Fault::Forbidden,
        _ => Fault::Pass,
    });
    let (store, runtime) = (opened(&servers::url(proxy.port, "r")), runtime());
    let put = |bytes: &[u8]| runtime.block_on(store.put(&named("archives/1"), bytes.to_vec().into(), PutMode::Write));
    put(b"first").unwrap();
    put(b"first").unwrap();
    for other in [&b"other"[..], b"fir", b"first one"] {
        assert_eq!(put(other).unwrap_err().kind(), ErrorKind::PermissionDenied);
    }
}

#[test]
fn wrong_keys_and_missing_buckets_are_told_at_once() {
    let place = tempfile::tempdir().unwrap();
    let server = S3Server::start(place.path());
    let runtime = runtime();
    let mut wrong = options();
    wrong.variables = Variables::from_iter([("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", "hunter2")]);
    let location = Location::parse(&server.url("")).unwrap();
    let store = open(&location, Access::Existing, &wrong).unwrap();
    let error = runtime.block_on(store.get(&named("config"), ByteRange::WHOLE)).unwrap_err();
    assert_eq!((error.kind(), error.context("attempts")), (ErrorKind::PermissionDenied, None), "{error}");
    assert!(!format!("{error:?}").contains("hunter2"));
    let nobody = OpenOptions::default();
    assert_eq!(open(&location, Access::Existing, &nobody).unwrap_err().kind(), ErrorKind::PermissionDenied);
    let missing = opened(&server.url("").replace(BUCKET, "nowhere"));
    assert_eq!(listed(&*missing).unwrap_err().kind(), ErrorKind::NotFound, "a missing bucket is no empty store");
}

/// Puts an object, tries to replace it, and tells whether the store says that it can; what it says is what it did.
fn replaces(store: &dyn Backend) -> bool {
    let runtime = runtime();
    let name = named("keys/1");
    runtime.block_on(store.put(&name, vec![1].into(), PutMode::Write)).unwrap();
    let replaced = runtime.block_on(store.put(&name, vec![2].into(), PutMode::ReplaceExisting));
    let found = runtime.block_on(store.get(&name, ByteRange::WHOLE)).unwrap();
    let says = store.capabilities().replace_existing;
    match replaced {
        Ok(()) => assert!(says && found[..] == [2]),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            assert!(!says && found[..] == [1]);
        }
    }
    assert_eq!(listed(store).unwrap(), ["keys/1"], "nothing is left of the trial");
    says
}

#[test]
fn a_server_that_compares_first_and_replaces_later_is_found_out() {
    let place = tempfile::tempdir().unwrap();
    let server = S3Server::start(place.path());
    for number in 0..20 {
        assert!(!replaces(&*opened(&server.url(&format!("again/{number}")))), "s3s-fs does it in two steps");
    }
}

#[test]
fn what_another_server_says_of_replacing_is_what_it_does() {
    let Some(moto) = servers::moto() else { return };
    // Its threads rarely come between.
    replaces(&*opened(&servers::url(moto.port, "x")));
}

#[test]
fn a_server_that_ignores_conditions_is_found_out() {
    let Some(moto) = servers::moto() else { return };
    let forgetful = Proxy::start(moto.port, |request| match request.header("if-match") {
        Some(_) => Fault::DropHeader("if-match"),
        None => Fault::Pass,
    });
    assert!(!replaces(&*opened(&servers::url(forgetful.port, "x"))));
    assert!(forgetful.faults() > 0, "it was asked");
}

#[test]
fn foreign_objects_are_neither_listed_nor_touched() {
    let place = tempfile::tempdir().unwrap();
    let server = S3Server::start(place.path());
    let bucket = place.path().join(BUCKET);
    for foreign in ["r/UPPER", "r/a b", "r/.hidden", "r/a/b/c/d", "beside", "rr/archives/1"] {
        std::fs::create_dir_all(bucket.join(foreign).parent().unwrap()).unwrap();
        std::fs::write(bucket.join(foreign), "foreign").unwrap();
    }
    let store = opened(&server.url("r"));
    runtime().block_on(store.put(&named("archives/1"), vec![1].into(), PutMode::Write)).unwrap();
    assert_eq!(listed(&*store).unwrap(), ["archives/1"]);
}

/// The classes that a server is told with three objects, by a header, and the calls that are counted.
fn classes(port: u16, header: &'static str, url: impl Fn(u16) -> String) -> Vec<Option<String>> {
    let trace = Trace::new();
    let classes = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&classes);
    let proxy = Proxy::start(port, move |request| {
        seen.lock().unwrap().push(request.header(header).map(str::to_owned));
        Fault::Pass
    });
    let location = Location::parse(&url(proxy.port)).unwrap();
    let store = open(&location, Access::Create, &OpenOptions { trace: trace.clone(), ..options() }).unwrap();
    let runtime = runtime();
    for (name, fifth) in [("segments/data", 1), ("segments/tree", 2), ("index/0.a", 1)] {
        let object = [b"GABS".as_slice(), &[fifth], &[0; 100]].concat();
        runtime.block_on(store.put(&named(name), object.into(), PutMode::Write)).unwrap();
    }
    let counted = trace.stores().remove(0).methods;
    assert_eq!((counted[0].0, counted[0].1.calls), (Method::Put, 3));
    classes.lock().unwrap().clone()
}

#[test]
fn the_storage_class_is_for_data_alone() {
    let place = tempfile::tempdir().unwrap();
    let server = S3Server::start(place.path());
    let of_data = |class: &str| [Some(class.to_owned()), None, None];
    let url = |port| format!("{}&storage-class=REDUCED_REDUNDANCY", servers::url(port, ""));
    assert_eq!(classes(server.port, "x-amz-storage-class", url), of_data("REDUCED_REDUNDANCY"));
    if let Some(moto) = servers::moto() {
        let url = |port| format!("{}&storage-class=NEARLINE", servers::google_url(port, "c"));
        assert_eq!(classes(moto.port, "x-goog-storage-class", url), of_data("NEARLINE"));
    }
    if let Some(azure) = servers::azurite(place.path()) {
        let url = |port| format!("{}&storage-class=Cool", servers::azurite_url(port, "c"));
        assert_eq!(classes(azure.port, "x-ms-access-tier", url), of_data("Cool"));
    }
}

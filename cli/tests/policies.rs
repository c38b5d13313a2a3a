//! Clients of a bucket that may not do everything: the policies of the page about S3, kept by a server.

use gabion_tests::Random;
use gabion_tests::servers::{self, ACCESS_KEY, BUCKET, Fault, Proxy, Request, S3Server, SECRET_KEY};
use serde_json::{Value, json};

use crate::place::{MORE_THAN_ADDING, Place, Run, tree};

const PAGE: &str = include_str!("../../docs/stores/s3.md");
/// What the page calls the bucket.
const ARN: &str = "arn:aws:s3:::my-backups";

/// The JSON of the page, in its order.
fn on_page(number: usize) -> Value {
    let block = PAGE.split("```json\n").nth(number + 1).and_then(|rest| rest.split("```").next());
    serde_json::from_str(block.unwrap()).unwrap()
}

/// Who may do everything, who may not destroy, who may only add.
fn policies() -> [Value; 3] {
    let mut write_only = on_page(1);
    write_only["Statement"].as_array_mut().unwrap().push(on_page(2));
    [on_page(0), on_page(1), write_only]
}

/// Whether a policy lets a request pass.
fn allows(policy: &Value, request: &Request) -> bool {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let key = path.strip_prefix(&format!("/{BUCKET}")).unwrap();
    let action = match (&*request.method, key) {
        ("GET", "" | "/") => "s3:ListBucket",
        ("GET" | "HEAD", _) => "s3:GetObject",
        ("PUT" | "POST", _) => "s3:PutObject",
        ("DELETE", _) => "s3:DeleteObject",
        other => panic!("{other:?}"),
    };
    let prefix = query.split('&').find_map(|pair| pair.strip_prefix("prefix=")).unwrap_or_default().replace("%2F", "/");
    let meant = |statement: &&Value| {
        let condition = &statement["Condition"]["StringLike"]["s3:prefix"];
        texts(&statement["Action"]).contains(&action)
            && texts(&statement["Resource"]).iter().any(|pattern| is_like(pattern, &format!("{ARN}{key}")))
            && (condition.is_null() || texts(condition).iter().any(|pattern| is_like(pattern, &prefix)))
    };
    let effects: Vec<&Value> =
        policy["Statement"].as_array().unwrap().iter().filter(meant).map(|statement| &statement["Effect"]).collect();
    effects.contains(&&json!("Allow")) && !effects.contains(&&json!("Deny"))
}

/// One text or several.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(all) => all.iter().map(|one| one.as_str().unwrap()).collect(),
        one => vec![one.as_str().unwrap()],
    }
}

/// A star at the end of a pattern is anything.
fn is_like(pattern: &str, text: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == text, |begin| text.starts_with(begin))
}

#[test]
fn policies_of_the_page_let_clients_back_up_and_destroy_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let server = S3Server::start(directory.path());
    let place = Place::bare();
    let [all, no_delete, write_only] = policies().map(|policy| {
        Proxy::start(server.port, move |request| if allows(&policy, request) { Fault::Pass } else { Fault::Forbidden })
    });
    let run_as = |client: &Proxy, permissions: &str, arguments: &[&str]| -> Run {
        let url = servers::url(client.port, "laptop");
        let keys = [("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)];
        let own = [("GABION_REPO", &*url), ("GABION_REPO_PERMISSIONS", permissions)];
        place.run_with(&[&own[..], &keys].concat(), arguments)
    };
    let run = |client: &Proxy, arguments: &[&str]| run_as(client, "", arguments);
    place.file("src/a", Random::new(1).bytes(300_000));
    run(&all, &["repo-create", "-e", "none"]).succeeded();
    run(&all, &["create", "old", "src"]).succeeded();
    let bucket = directory.path().join(BUCKET);
    for (client, name, reads) in [(&no_delete, "no-delete", true), (&write_only, "write-only", false)] {
        place.file(&format!("src/{name}"), Random::new(2).bytes(200_000));
        for _ in 0..2 {
            run(client, &["--no-cache", "create", name, "src"]).succeeded();
        }
        let before = tree(&bucket);
        for arguments in MORE_THAN_ADDING {
            run(client, arguments).failed(21, "permission denied", "policy of these credentials");
            // Nobody but the user keeps this client from it.
            run_as(&all, name, arguments).failed(21, name, "may only add");
        }
        assert!(tree(&bucket) == before, "{name}: nothing was done");
        let restored = run(client, &["--no-cache", "extract", "--target", name, "old"]);
        assert_eq!(restored.rc == 0, reads, "{restored:#?}");
    }
    run_as(&all, "write-only", &["create", "write-only", "src"]).succeeded();
    run_as(&all, "append-only", &["repo-list"]).failed(4, "must be all, no-delete", "");
    run(&all, &["delete", "old"]).succeeded();
    run(&all, &["compact", "--threshold", "0"]).succeeded();
    run(&all, &["check", "--verify-data"]).succeeded();
    for archive in ["no-delete", "write-only"] {
        run(&all, &["extract", "--target", &format!("again-{archive}"), archive]).succeeded();
    }
    assert!(tree(&place.path("again-write-only/src")) == tree(&place.path("src")));
}

//! The life of keys, as people who own them see it.

use serde_json::Value;

use crate::place::{Place, Run};

/// A place with an encrypted repository that opens with `one`.
fn encrypted() -> Place {
    let place = Place::bare();
    place.run_with(&[("GABION_PASSPHRASE", "one")], &["repo-create"]).succeeded();
    place
}

fn with(place: &Place, passphrase: &str, arguments: &[&str]) -> Run {
    place.run_with(&[("GABION_PASSPHRASE", passphrase)], arguments)
}

fn change(place: &Place, old: &str, new: &str, arguments: &[&str]) -> Run {
    place.run_with(&[("GABION_PASSPHRASE", old), ("GABION_NEW_PASSPHRASE", new)], arguments)
}

fn keys(place: &Place, passphrase: &str) -> Vec<Value> {
    let told = with(place, passphrase, &["key", "list", "--json"]).succeeded().out;
    let root: Value = serde_json::from_str(&told).unwrap();
    root["keys"].as_array().unwrap().clone()
}

fn id(key: &Value) -> &str {
    key["id"].as_str().unwrap()
}

#[test]
fn keys_come_and_go_but_for_the_last() {
    let place = encrypted();
    change(&place, "one", "two", &["key", "add", "--label", "second"]).succeeded();
    let all = keys(&place, "two");
    assert_eq!(all.len(), 2);
    let opened: Vec<&Value> = all.iter().filter(|key| key["opened"] == true).collect();
    assert!(opened.len() == 1 && opened[0]["label"] == "second", "{all:#?}");
    let first = all.iter().find(|key| key["label"] == "").unwrap();

    with(&place, "two", &["key", "remove"]).failed(4, "say which key", "");
    with(&place, "two", &["key", "remove", "--label", "none such"]).failed(44, "key", "key import");
    with(&place, "two", &["key", "remove", "--key", &id(first)[..10]]).succeeded();
    with(&place, "one", &["repo-list"]).failed(52, "passphrase is wrong", "GABION_PASSPHRASE");
    with(&place, "two", &["key", "remove", "--label", "second"]).failed(4, "it is the last key", "");
    with(&place, "two", &["repo-list"]).succeeded();
    let listed = with(&place, "two", &["key", "list"]).succeeded().out;
    assert!(listed.lines().count() == 1 && listed.contains(" repokey ") && listed.contains("argon2id"), "{listed}");
}

#[test]
fn an_empty_passphrase_is_told() {
    let place = Place::bare();
    let mut command = place.command(&["repo-create"]);
    let made = Run::of(command.env("GABION_PASSPHRASE", "")).succeeded();
    assert!(made.err.contains("the new passphrase is empty"), "{made:?}");
    let changed = ["key", "change-passphrase"];
    let changed = Run::of(place.command(&changed).env("GABION_PASSPHRASE", "").env("GABION_NEW_PASSPHRASE", "x"));
    assert!(!changed.succeeded().err.contains("empty"));
}

#[test]
fn a_passphrase_is_changed_only_by_who_knows_it() {
    let place = encrypted();
    let before = keys(&place, "one");
    change(&place, "wrong", "two", &["key", "change-passphrase"]).failed(52, "passphrase is wrong", "PASSPHRASE");
    change(&place, "one", "two", &["key", "change-passphrase"]).succeeded();
    with(&place, "one", &["repo-list"]).ended(52);
    let after = keys(&place, "two");
    assert!(after.len() == 1 && id(&after[0]) != id(&before[0]), "{after:#?}");
    assert_eq!((&after[0]["kdf"], &after[0]["label"]), (&before[0]["kdf"], &before[0]["label"]));
}

#[test]
fn no_passphrase_for_a_repository_without_encryption() {
    let place = Place::new();
    for command in ["add", "change-passphrase"] {
        change(&place, "", "two", &["key", command]).failed(4, "not encrypted", "");
    }
}

#[test]
fn a_lost_key_comes_back_from_its_export() {
    let place = encrypted();
    // neither needs a passphrase
    place.run(&["key", "export", "key.txt"]).succeeded();
    let paper = place.run(&["key", "export", "--paper"]).succeeded().out;
    place.run(&["key", "export", "key.txt"]).failed(2, "write key.txt", "");
    let text = std::fs::read_to_string(place.path("key.txt")).unwrap();
    let head: Vec<&str> = text.lines().next().unwrap().split(' ').collect();
    assert_eq!((head[0], head.len()), ("GABION_KEY", 3));

    let slot = place.path("repo/keys").join(head[2]);
    let original = std::fs::read(&slot).unwrap();
    for form in [text, paper] {
        std::fs::remove_file(&slot).unwrap();
        with(&place, "one", &["repo-list"]).failed(44, "key", "key import");
        place.run_fed(form.as_bytes(), &["key", "import"]).succeeded();
        assert_eq!(std::fs::read(&slot).unwrap(), original);
        with(&place, "one", &["repo-list"]).succeeded();
    }
}

#[test]
fn typing_errors_on_paper_are_located() {
    let place = encrypted();
    let paper = place.run(&["key", "export", "--paper"]).succeeded().out;
    let line = paper.lines().nth(7).unwrap();
    let digit = line.find(':').unwrap() + 2;
    let mut typed = line.to_owned();
    let other = if line.as_bytes()[digit] == b'7' { "8" } else { "7" };
    typed.replace_range(digit..=digit, other);
    let import = |text: &str| place.run_fed(text.as_bytes(), &["key", "import"]);
    import(&paper.replace(line, &typed)).failed(40, "line 7: typing error", "key import");
    import(&paper.replace(&format!("{line}\n"), "")).failed(40, "line 7: it has the number 8", "key import");
    let last = paper.lines().last().unwrap();
    import(&paper.replace(&format!("{last}\n"), "")).ended(90);
    import(&paper).succeeded();
}

#[test]
fn a_key_of_another_repository_is_refused() {
    let (place, other) = (encrypted(), encrypted());
    let text = other.run(&["key", "export"]).succeeded().out;
    place.run_fed(text.as_bytes(), &["key", "import"]).failed(40, "belongs to another repository", "key import");
    place.run_fed(b"", &["key", "import"]).failed(40, "it is empty", "key import");
}

#[test]
fn a_key_can_be_kept_on_the_client() {
    let place = encrypted();
    let add = ["key", "add", "--label", "here", "--key-location", "keyfile"];
    change(&place, "one", "two", &add).succeeded();
    let all = keys(&place, "two");
    let here = all.iter().find(|key| key["location"] == "keyfile").unwrap();
    assert_eq!((&here["label"], &here["opened"]), (&"here".into(), &true.into()));
    change(&place, "two", "three", &["key", "change-passphrase"]).succeeded();
    assert_eq!(keys(&place, "three").iter().filter(|key| key["location"] == "keyfile").count(), 1);
}

#[test]
fn a_key_moves_and_is_nowhere_else() {
    let place = encrypted();
    let stored = || std::fs::read_dir(place.path("repo/keys")).unwrap().count();
    let first = keys(&place, "one");
    // Who may not remove it there puts it nowhere else either.
    let careful = [("GABION_PASSPHRASE", "one"), ("GABION_REPO_PERMISSIONS", "no-delete")];
    place.run_with(&careful, &["key", "change-location", "keyfile"]).failed(21, "move key", "may only add");
    assert_eq!(keys(&place, "one"), first);
    let told = with(&place, "one", &["key", "change-location", "keyfile", "-v"]).succeeded().err;
    assert!(told.contains("home/.config/gabion/keys/"), "{told}");
    let moved = keys(&place, "one");
    assert_eq!((moved.len(), id(&moved[0]), &moved[0]["location"]), (1, id(&first[0]), &"keyfile".into()));
    assert_eq!(stored(), 0);
    let elsewhere = place.path("other home").display().to_string();
    place.run_with(&[("GABION_PASSPHRASE", "one"), ("HOME", &elsewhere)], &["repo-list"]).ended(44);
    with(&place, "one", &["key", "change-location", "keyfile"]).failed(4, "is a keyfile already", "");
    with(&place, "wrong", &["key", "change-location", "repokey"]).ended(52);
    with(&place, "one", &["key", "change-location", "repokey", "--keep"]).succeeded();
    assert_eq!((stored(), keys(&place, "one").len()), (1, 2));
    place.run_with(&[("GABION_PASSPHRASE", "one"), ("HOME", &elsewhere)], &["repo-list"]).succeeded();
    // it is there already, and only leaves where it was
    with(&place, "one", &["key", "change-location", "repokey"]).succeeded();
    assert_eq!((stored(), keys(&place, "one").len()), (1, 1));
}

//! What was given is found or missed, whatever else was given.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Mutex;

use super::*;
use crate::monitor::Counters;

/// Remembers what was reported as missing.
#[derive(Default)]
struct Missed(Counters, Mutex<Vec<String>>);

impl Monitor for Missed {
    fn event(&self, event: &Event<'_>) {
        if let Event::Warning { path, .. } = event {
            self.1.lock().unwrap().push(String::from_utf8_lossy(path).into_owned());
        }
    }

    fn counters(&self) -> &Counters {
        &self.0
    }

    fn interrupted(&self) -> bool {
        false
    }
}

/// A tree, and what a walk of it finds and misses. Paths are relative to it.
struct Scene(tempfile::TempDir);

impl Scene {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir_all(place.path().join("s/nb/x")).unwrap();
        for file in ["s/a", "s/nb/.nobackup", "s/nb/f", "s/nb/g", "s/nb/x/f", "s/nb/x/g"] {
            fs::write(place.path().join(file), "x").unwrap();
        }
        std::os::unix::fs::symlink("s", place.path().join("link")).unwrap();
        Self(place)
    }

    fn plan(&self, paths: &[&str], wanted: Wanted) -> Plan {
        let paths: Vec<_> =
            paths.iter().map(|path| PathBuf::from(format!("{}/./{path}", self.0.path().display()))).collect();
        Plan::new(paths.iter().map(PathBuf::as_path), wanted)
    }

    fn walk(&self, paths: &[&str], wanted: Wanted, rules: &Rules) -> (Vec<String>, Vec<String>) {
        self.walk_along(&self.plan(paths, wanted), rules)
    }

    fn walk_along(&self, plan: &Plan, rules: &Rules) -> (Vec<String>, Vec<String>) {
        let (matcher, monitor) = (Matcher::default(), Missed::default());
        let mut traversal = Traversal::new(plan, rules, &matcher, &monitor);
        let (mut found, mut open) = (Vec::new(), Vec::new());
        while let Some(step) = traversal.step() {
            let text = |found: Found| String::from_utf8(found.path).unwrap();
            match step {
                Step::Enter { found: directory, implied } => {
                    open.push(found.len());
                    found.push(text(directory) + if implied { "?" } else { "/" });
                }
                // As the archive does with what is only implied.
                Step::Leave => {
                    let at = open.pop().unwrap();
                    if found.len() == at + 1 && found[at].ends_with('?') {
                        found.pop();
                    }
                }
                Step::Item(item) => found.push(text(item)),
                Step::Stream { path, .. } => found.push(String::from_utf8(path).unwrap() + "|"),
            }
        }
        let errors = traversal.errors();
        drop(traversal);
        let missed = monitor.1.into_inner().unwrap();
        assert_eq!(errors, missed.len() as u64);
        (found, missed)
    }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn what_was_given_beside_its_parent_and_is_not_there_is_missed() {
    let scene = Scene::new();
    let all = ["s/", "s/a", "s/nb/", "s/nb/.nobackup", "s/nb/f", "s/nb/g", "s/nb/x/", "s/nb/x/f", "s/nb/x/g"];
    for (paths, missed) in [
        (&["s", "s/nope"][..], &["s/nope"][..]),
        (&["s", "s/nope/deeper", "s/nb/nope", "s/nb/f"], &["s/nb/nope", "s/nope"]),
        (&["s", "s/a/b", "s/a/c/d"], &["s/a/b", "s/a/c/d"]),
        (&["", "s/nope"], &["s/nope"]),
    ] {
        let (found, told) = scene.walk(paths, Wanted::All, &Rules::default());
        let found: Vec<_> = found.into_iter().filter(|path| path != "link").collect();
        assert_eq!((found, told), (strings(&all), strings(missed)), "{paths:?}");
    }
    let given = scene.walk(&["s/a", "s/a/b"], Wanted::Itself, &Rules::default());
    assert_eq!(given, (strings(&["s?", "s/a"]), strings(&["s/a/b"])));
}

#[test]
fn what_was_given_behind_a_link_that_was_given_is_missed() {
    let scene = Scene::new();
    for wanted in [Wanted::All, Wanted::Itself] {
        let found = scene.walk(&["link", "link/a", "link/nb/f"], wanted, &Rules::default());
        assert_eq!(found, (strings(&["link"]), strings(&["link/a", "link/nb/f"])));
    }
    let followed = scene.walk(&["link/a"], Wanted::All, &Rules::default());
    assert_eq!(followed, (strings(&["link?", "link/a"]), strings(&[])));
}

#[test]
fn what_was_given_is_found_where_a_tag_leaves_its_directory_out() {
    let scene = Scene::new();
    let mut rules = Rules { exclude_if_present: vec![b".nobackup".to_vec()], ..Rules::default() };
    for (paths, expected) in [
        (&["s"][..], &["s/", "s/a"][..]),
        (&["s", "s/nb/f"], &["s/", "s/a", "s/nb?", "s/nb/f"]),
        (&["s", "s/nb/x/f"], &["s/", "s/a", "s/nb?", "s/nb/x?", "s/nb/x/f"]),
        (&["s/nb", "s/nb/f"], &["s?", "s/nb?", "s/nb/f"]),
    ] {
        assert_eq!(scene.walk(paths, Wanted::All, &rules), (strings(expected), strings(&[])), "{paths:?}");
    }
    let missed = scene.walk(&["s", "s/nb/nope", "s/nb/f/g"], Wanted::All, &rules);
    assert_eq!(missed, (strings(&["s/", "s/a"]), strings(&["s/nb/f/g", "s/nb/nope"])));
    rules.keep_exclude_tags = true;
    let kept = scene.walk(&["s", "s/nb/f"], Wanted::All, &rules);
    assert_eq!(kept, (strings(&["s/", "s/a", "s/nb/", "s/nb/.nobackup", "s/nb/f"]), strings(&[])));
}

#[test]
fn a_socket_is_missed_if_it_was_given() {
    let scene = Scene::new();
    let _listener = UnixListener::bind(scene.0.path().join("s/nb/x/socket")).unwrap();
    let found = ["s?", "s/nb?", "s/nb/x/", "s/nb/x/f", "s/nb/x/g"];
    for (paths, missed) in [(&["s/nb/x"][..], &[][..]), (&["s/nb/x", "s/nb/x/socket"], &["s/nb/x/socket"])] {
        assert_eq!(scene.walk(paths, Wanted::All, &Rules::default()), (strings(&found), strings(missed)));
    }
}

#[test]
fn a_stream_is_found_where_it_belongs_in_the_order_of_names() {
    let scene = Scene::new();
    for (paths, stream, found, missed) in [
        (&[][..], "p/q", &["p?", "p/q|"][..], &[][..]),
        (&["s/nb/x"], "s/m", &["s?", "s/m|", "s/nb?", "s/nb/x/", "s/nb/x/f", "s/nb/x/g"], &[]),
        (
            &["s/nb/x"],
            "s/nb/x/f.1/z",
            &["s?", "s/nb?", "s/nb/x/", "s/nb/x/f", "s/nb/x/f.1?", "s/nb/x/f.1/z|", "s/nb/x/g"],
            &[],
        ),
        (
            &["s/nb"],
            "s/nb/x/h",
            &["s?", "s/nb/", "s/nb/.nobackup", "s/nb/f", "s/nb/g", "s/nb/x/", "s/nb/x/f", "s/nb/x/g", "s/nb/x/h|"],
            &[],
        ),
        // another file is there: the stream has its path, and that is told
        (&["s/nb/x"], "s/nb/x/f", &["s?", "s/nb?", "s/nb/x/", "s/nb/x/f|", "s/nb/x/g"], &["s/nb/x/f"]),
        // no directory: the archive tells that the stream was not read
        (&["s/nb/x"], "s/nb/x/f/z", &["s?", "s/nb?", "s/nb/x/", "s/nb/x/f", "s/nb/x/g"], &[]),
    ] {
        let plan = scene.plan(paths, Wanted::All).with_stream(Path::new(stream));
        assert_eq!(scene.walk_along(&plan, &Rules::default()), (strings(found), strings(missed)), "{stream}");
    }
}

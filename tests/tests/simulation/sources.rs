//! Trees of files that actors back up, and a repository to begin with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use gabion_core::backend::ObjectName;
use gabion_core::crypto::random::simulation::seed_this_thread;
use gabion_tests::{Notes, Objects, Random};

use super::actors::needs;
use super::truth::Truth;
use crate::engine::{back_up, keyring, new_repository, open, options};

/// How many trees there are.
pub const TREES: usize = 5;
/// Data segments are small, so that there are several.
pub const SEGMENT_BYTES: usize = 24 << 10;

/// Several trees that share most of their files, and what reading all of each gives.
pub struct Sources {
    _place: tempfile::TempDir,
    roots: Vec<PathBuf>,
    contents: Vec<Vec<u8>>,
}

impl Sources {
    pub fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let mut random = Random::new(3);
        let mut roots = Vec::new();
        for number in 0..TREES {
            let root = place.path().join(number.to_string()).join("tree");
            std::fs::create_dir_all(root.join("below")).unwrap();
            roots.push(root);
        }
        // Each file is in some of the trees, as the same file: then it is unchanged from one to the other.
        let names = ["below/large", "below/small", "half", "large", "one", "other", "part", "small"];
        for (number, name) in names.iter().enumerate() {
            let bytes = if name.contains("large") { 40_000 } else { 3_000 + 500 * number };
            for variant in 0..3 {
                let file = place.path().join(format!("file {number} {variant}"));
                std::fs::write(&file, random.bytes(bytes)).unwrap();
                for (tree, root) in roots.iter().enumerate() {
                    if (tree * 5 + number * 3 + tree * number) % 7 % 3 == variant {
                        std::fs::hard_link(&file, root.join(name)).unwrap();
                    }
                }
            }
        }
        let contents = roots.iter().map(|root| content(root)).collect();
        Self { _place: place, roots, contents }
    }

    pub fn root(&self, tree: usize) -> &Path {
        &self.roots[tree]
    }

    /// The files of a tree, one after the other.
    pub fn content(&self, tree: usize) -> &[u8] {
        &self.contents[tree]
    }
}

fn content(root: &Path) -> Vec<u8> {
    let mut files = Vec::new();
    for folder in [root.to_owned(), root.join("below")] {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                files.push(path);
            }
        }
    }
    files.sort();
    files.iter().flat_map(|file| std::fs::read(file).unwrap()).collect()
}

/// A repository with an archive of each of the first two trees; the same objects every time.
pub struct Beginning {
    pub objects: BTreeMap<ObjectName, Bytes>,
    pub truth: Truth,
}

impl Beginning {
    pub fn new(sources: &Sources) -> Self {
        seed_this_thread(0);
        let objects = new_repository();
        let mut archives = Vec::new();
        for tree in 0..2 {
            let created = back_up(objects.backend(), sources.root(tree), &options(), &Notes::new()).unwrap();
            let reader = open(objects.backend()).unwrap().session().unwrap().reader();
            archives.push((created.id, needs(&reader, created.record.root.root).unwrap()));
        }
        let repository = open(objects.backend()).unwrap();
        let truth = Truth::new(keyring(&repository), *repository.id(), repository.config().suite().unwrap());
        let mut beginning = Self { objects: all(&objects), truth };
        for (name, bytes) in &beginning.objects {
            beginning.truth.put(name, bytes, false);
        }
        for (tree, (id, needs)) in archives.into_iter().enumerate() {
            beginning.truth.report(id, needs, tree);
        }
        beginning
    }
}

fn all(objects: &Objects) -> BTreeMap<ObjectName, Bytes> {
    let names = objects.names("").unwrap();
    names.iter().map(|name| (ObjectName::new(name.as_str()).unwrap(), objects.get(name).unwrap())).collect()
}

//! Parity, sets of stores, and the scrub: real files are damaged, stores lost, scrubs killed.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gabion_tests::Random;
use serde_json::Value;

use crate::place::{PROGRAM, Place};

const SECTOR: u64 = 4096;

/// Files below a directory, sorted.
fn files(directory: &Path) -> Vec<PathBuf> {
    let (mut found, mut waiting) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(path) = waiting.pop() {
        match path.is_dir() {
            true => waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path())),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

/// Destroys one sector in a hundred, and at least one of every file.
fn destroy_sectors(directory: &Path, random: &mut Random) -> u64 {
    let mut destroyed = 0;
    for path in files(directory) {
        let file = File::options().write(true).open(&path).unwrap();
        let sectors = file.metadata().unwrap().len().div_ceil(SECTOR);
        for _ in 0..sectors.div_ceil(100) {
            file.write_all_at(&random.bytes(SECTOR as usize), random.below(sectors) * SECTOR).unwrap();
            destroyed += 1;
        }
    }
    destroyed
}

/// A place with a repository at `location`, in which `repo` stands for the place, and an archive of three megabytes.
fn place(location: &str) -> (Place, String) {
    place_of(location, 3)
}

/// As [`place`], with so many megabytes.
fn place_of(location: &str, megabytes: u32) -> (Place, String) {
    let place = Place::bare();
    let location = location.replace("repo", &place.path("repo").display().to_string());
    let mut random = Random::new(7);
    for number in 0..2 * megabytes {
        place.file(&format!("tree/{number}"), random.bytes(500_000));
        place.file(&format!("tree/small {number}"), random.bytes(300));
    }
    place.run(&["-r", &location, "repo-create", "-e", "none"]).succeeded();
    place.run(&["-r", &location, "create", "-C", "none", "first", "tree"]).succeeded();
    (place, location)
}

fn restores(place: &Place, location: &str, rc: i32) {
    assert_eq!(restored(place, location), rc);
}

/// Restores, and tells how that ended: what comes is right in any case.
fn restored(place: &Place, location: &str) -> i32 {
    let target = place.path("out");
    let _ = fs::remove_dir_all(&target);
    let rc = place.run(&["-r", location, "extract", "--target", "out", "first"]).rc;
    for path in files(&place.path("tree")) {
        let restored = target.join(path.strip_prefix(place.path("tree").parent().unwrap()).unwrap());
        assert!(fs::read(&path).unwrap() == fs::read(&restored).unwrap(), "{}", restored.display());
    }
    rc
}

fn scrub(place: &Place, location: &str, more: &[&str], rc: i32) -> Value {
    let arguments = [&["-r", location, "scrub", "--json"], more].concat();
    serde_json::from_str(&place.run(&arguments).ended(rc).out).unwrap()
}

#[test]
fn a_percent_of_all_sectors_is_healed() {
    let megabytes = std::env::var("GABION_TEST_ROT_MB").map_or(3, |text| text.parse().unwrap());
    let (place, location) = place_of("parity:10%:repo", megabytes);
    assert_eq!(scrub(&place, &location, &[], 0)["damaged"], 0);
    destroy_sectors(&place.path("repo"), &mut Random::new(11));
    // Reading goes around the damage and says so.
    restores(&place, &location, 121);
    place.run(&["-r", &location, "check", "--verify-data"]).ended(121);
    let found = scrub(&place, &location, &[], 1);
    let damaged = found["damaged"].as_u64().unwrap();
    assert!(damaged > 5 && damaged == found["objects"].as_u64().unwrap(), "{found:#}");
    let planned = scrub(&place, &location, &["--repair", "--dry-run"], 1);
    assert_eq!((&planned["damaged"], &planned["repaired"]), (&found["damaged"], &0.into()));
    let run = place.run(&["-r", &location, "scrub", "--repair"]).succeeded();
    assert!(run.err.contains("repaired: segments/"), "{}", run.err);
    let last = run.out.lines().last().unwrap();
    assert!(last.starts_with("Survives:") && last.contains("any 9.1 % of the sectors"), "{last}");
    place.run(&["-r", &location, "check", "--verify-data"]).succeeded();
    assert_eq!(scrub(&place, &location, &[], 0)["damaged"], 0);
    restores(&place, &location, 0);
}

#[test]
fn what_parity_can_not_repair_is_named_and_left_alone() {
    let (place, location) = place("parity:10%:repo");
    let segment = files(&place.path("repo/segments")).into_iter().max_by_key(|path| path.metadata().unwrap().len());
    let segment = segment.unwrap();
    let bytes = fs::read(&segment).unwrap();
    fs::write(&segment, vec![0; bytes.len() / 2]).unwrap();
    let told = scrub(&place, &location, &["--repair"], 1);
    assert_eq!(told["lost"], 1);
    assert_eq!(told["findings"][0]["state"], "lost");
    assert!(told["survives"].as_str().unwrap().ends_with("one object is lost already"), "{told:#}");
    assert_eq!(fs::read(&segment).unwrap().len(), bytes.len() / 2);
    let checked = place.run(&["-r", &location, "check", "--verify-data"]);
    assert!(checked.rc == 1 && checked.err.contains("path: tree/"), "{}", checked.err);
    let extracted = place.run(&["-r", &location, "extract", "--target", "out", "first"]);
    assert_ne!(extracted.rc, 0);
}

#[test]
fn a_plain_store_is_verified_and_survives_nothing() {
    let (place, location) = place("repo");
    let told = place.run(&["-r", &location, "scrub"]).succeeded();
    assert!(told.out.lines().last().unwrap().contains("no redundancy"), "{}", told.out);
    let last = files(&place.path("repo/segments")).pop().unwrap();
    let mut bytes = fs::read(&last).unwrap();
    bytes[100] ^= 1;
    fs::write(&last, &bytes).unwrap();
    assert_eq!(scrub(&place, &location, &["--repair"], 1)["lost"], 1);
    assert_eq!(fs::read(&last).unwrap(), bytes);
}

/// Runs a scrub and kills it as soon as it has told of `lines` objects; whether it was still running then.
fn killed_after(place: &Place, arguments: &[&str], lines: usize) -> bool {
    let mut command = place.command(arguments);
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let told = BufReader::new(child.stderr.take().unwrap()).lines().take(lines).count();
    child.kill().unwrap();
    let ended = child.wait().unwrap();
    assert!(told == lines || ended.code().is_some());
    ended.code().is_none()
}

#[test]
fn a_scrub_that_is_killed_leaves_nothing_worse() {
    let (place, location) = place("parity:10%:repo");
    let pristine: Vec<_> =
        files(&place.path("repo")).into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
    let mut killed = 0;
    for lines in 1..pristine.len() {
        destroy_sectors(&place.path("repo"), &mut Random::new(lines as u64));
        killed += usize::from(killed_after(&place, &["-r", &location, "scrub", "--repair"], lines));
        // Whatever was damaged can still be repaired, and is.
        place.run(&["-r", &location, "scrub", "--repair"]).succeeded();
        for (bytes, path) in &pristine {
            assert!(fs::read(path).unwrap() == *bytes, "{}", path.display());
        }
    }
    assert!(killed > 2, "{killed} of {}", pristine.len());
}

#[test]
fn parity_is_switched_on_later_and_changed() {
    let (place, plain) = place("repo");
    let objects = files(&place.path("repo")).len() as u64;
    let at = |percent: u8| format!("parity:{percent}%:{plain}");
    // A repository without parity can be read and written as one with parity.
    restores(&place, &at(10), 0);
    place.run(&["-r", &at(10), "create", "second", "tree/0"]).succeeded();
    let found = scrub(&place, &at(10), &[], 0);
    assert!(found["outdated"].as_u64().unwrap() >= objects, "{found:#}");
    assert!(found["survives"].as_str().unwrap().contains("survive less until"), "{found:#}");
    place.run(&["-r", &at(10), "scrub", "--upgrade"]).succeeded();
    assert_eq!(scrub(&place, &at(10), &[], 0)["outdated"], 0);
    // Now it is no repository for those who do not know of the parity.
    assert_ne!(place.run(&["-r", &plain, "repo-list"]).rc, 0);
    restores(&place, &at(10), 0);
    let upgraded = scrub(&place, &at(50), &["--upgrade"], 0);
    // Small objects have as much as three copies in any case.
    assert!(upgraded["upgraded"].as_u64() > Some(2), "{upgraded:#}");
    assert_eq!(scrub(&place, &at(50), &[], 0)["outdated"], 0);
    destroy_sectors(&place.path("repo"), &mut Random::new(5));
    restores(&place, &at(50), 121);
}

#[test]
fn an_upgrade_that_is_killed_goes_on() {
    let (place, plain) = place("repo");
    let location = format!("parity:10%:{plain}");
    // The upgrade tells of nothing as long as all is well; with all messages it tells of every object.
    for lines in [1, 3, 6] {
        let arguments = ["-r", &location, "scrub", "--upgrade", "--log-json", "--progress", "--debug"];
        killed_after(&place, &arguments, lines);
        restores(&place, &location, 0);
    }
    scrub(&place, &location, &["--upgrade"], 0);
    assert_eq!(scrub(&place, &location, &[], 0)["outdated"], 0);
    restores(&place, &location, 0);
}

#[test]
fn a_scrub_goes_on_where_time_was_up() {
    let (place, location) = place("parity:10%:repo");
    let all = scrub(&place, &location, &[], 0)["objects"].as_u64().unwrap();
    let stopped = scrub(&place, &location, &["--max-duration", "0"], 0);
    assert_eq!((&stopped["complete"], &stopped["objects"]), (&false.into(), &0.into()));
    let rest = scrub(&place, &location, &["--resume"], 0);
    assert_eq!((&rest["complete"], &rest["objects"]), (&true.into(), &all.into()));
}

#[test]
fn stores_that_are_missing_are_told_everywhere() {
    let (place, location) = place("erasure:2+1:repo-1,repo-2,repo-3");
    let info = place.run(&["-r", &location, "repo-info"]).succeeded().out;
    assert!(info.lines().last().unwrap().contains("the loss of any 1 of 3 stores"), "{info}");
    fs::rename(place.path("repo-2"), place.path("away")).unwrap();
    let run = place.run(&["-r", &location, "repo-info"]).ended(120);
    assert!(
        run.out.contains("store 2 (") && run.out.lines().last().unwrap().contains("not the loss of any other"),
        "{run:?}"
    );
    assert!(run.err.contains("store 2 ("), "{run:?}");
    restores(&place, &location, 120);
    let refused = place.run(&["-r", &location, "compact"]).ended(80);
    assert!(refused.err.contains("store 2 (") && refused.err.contains("--replace-store"), "{refused:?}");
    place.run(&["-r", &location, "delete", "first"]).ended(80);
    // With two of three stores reading is all that can be done.
    place.run(&["-r", &location, "create", "more", "tree/0"]).ended(80);
    fs::rename(place.path("repo-3"), place.path("away too")).unwrap();
    let none = place.run(&["-r", &location, "repo-list"]).ended(80);
    assert!(none.err.contains("store 2 (") && none.err.contains("store 3 ("), "{none:?}");
    fs::rename(place.path("away"), place.path("repo-2")).unwrap();
    fs::rename(place.path("away too"), place.path("repo-3")).unwrap();
    place.run(&["-r", &location, "delete", "first"]).succeeded();
    place.run(&["-r", &location, "compact"]).succeeded();
}

#[test]
fn parts_of_no_object_are_told_and_removed_on_demand() {
    let (place, location) = place("erasure:2+1:repo-1,repo-2,repo-3");
    let segment = files(&place.path("repo-2/segments")).pop().unwrap();
    let rest = segment.with_file_name("0".repeat(32));
    fs::copy(&segment, &rest).unwrap();
    let found = scrub(&place, &location, &[], 0);
    assert_eq!((&found["leftovers"], &found["findings"][0]["state"]), (&1.into(), &"leftover".into()), "{found:#}");
    for more in [&["--repair"][..], &["--repair", "--remove-leftovers", "--dry-run"]] {
        assert_eq!(scrub(&place, &location, more, 0)["leftovers"], 1);
    }
    assert!(rest.exists());
    let removed = scrub(&place, &location, &["--repair", "--remove-leftovers"], 0);
    assert_eq!((&removed["removed"], &removed["leftovers"]), (&1.into(), &0.into()), "{removed:#}");
    assert!(!rest.exists() && segment.exists());
    restores(&place, &location, 0);
}

/// A scrub that fills a store, killed after each object: nothing is worse, and the next one ends it.
#[test]
fn a_store_that_is_filled_survives_kills() {
    let (place, location) = place("erasure:2+1:repo-1,repo-2,repo-3");
    let pristine: Vec<_> =
        files(&place.path("repo-2")).into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
    let mut killed = 0;
    for lines in 1..pristine.len() {
        for (number, (_, path)) in pristine.iter().enumerate().filter(|(_, (_, path))| !path.ends_with("store")) {
            match number % 3 {
                0 => fs::remove_file(path).unwrap(),
                1 => fs::write(path, b"ruin").unwrap(),
                _ => drop(destroy_sectors(path, &mut Random::new(lines as u64))),
            }
        }
        killed += usize::from(killed_after(&place, &["-r", &location, "scrub", "--repair"], lines));
        // Some of the damage is gone, or all of it.
        assert!([0, 121].contains(&restored(&place, &location)));
        scrub(&place, &location, &["--repair"], 0);
        for (bytes, path) in &pristine {
            assert!(fs::read(path).unwrap() == *bytes, "{}", path.display());
        }
    }
    assert!(killed > 2, "{killed} of {}", pristine.len());
    // A new store joins, and the scrub is killed: the same command goes on.
    for lines in 1..4 {
        fs::remove_dir_all(place.path("repo-2")).unwrap();
        fs::create_dir(place.path("repo-2")).unwrap();
        let join = ["-r", &location, "scrub", "--repair", "--replace-store", "2"];
        killed_after(&place, &join, lines);
        assert!([0, 121].contains(&restored(&place, &location)));
        place.run(&join).succeeded();
        assert_eq!(scrub(&place, &location, &[], 0)["spare_stores"], 1);
    }
}

#[test]
fn a_backup_without_one_of_six_stores_is_completed_by_a_scrub() {
    let names: Vec<String> = (1..=6).map(|number| format!("repo-{number}")).collect();
    let (place, location) = place(&format!("erasure:4+2:{}", names.join(",")));
    fs::rename(place.path("repo-6"), place.path("away")).unwrap();
    place.file("tree/new", Random::new(99).bytes(400_000));
    place.run(&["-r", &location, "create", "second", "tree"]).ended(120);
    place.run(&["-r", &location, "--require-all-stores", "create", "third", "tree"]).ended(80);
    fs::rename(place.path("away"), place.path("repo-6")).unwrap();
    let found = scrub(&place, &location, &[], 1);
    assert_eq!(found["spare_stores"], 1, "{found:#}");
    let repaired = scrub(&place, &location, &["--repair"], 0);
    assert_eq!((&repaired["spare_stores"], &repaired["damaged"]), (&2.into(), &0.into()), "{repaired:#}");
    place.run(&["-r", &location, "check", "--verify-data"]).succeeded();
    place.run(&["-r", &location, "compact"]).succeeded();
}

#[test]
fn what_makes_no_sense_is_refused() {
    let (place, location) = place("erasure:1+1:repo-1,repo-2");
    for (arguments, rc, word) in [
        (&["scrub", "--replace-store", "1"][..], 2, "--repair"),
        (&["scrub", "--repair", "--replace-store", "0"], 4, "from 1"),
        (&["scrub", "--repair", "--replace-store", "3"], 4, "no store of this number"),
    ] {
        let run = place.run(&[&["-r", &location], arguments].concat());
        assert!(run.rc == rc && run.err.contains(word), "{arguments:?}: {run:?}");
    }
    let one = place.path("plain").display().to_string();
    place.run(&["-r", &one, "repo-create", "-e", "none"]).succeeded();
    let run = place.run(&["-r", &one, "scrub", "--repair", "--replace-store", "1"]).ended(4);
    assert!(run.err.contains("only a set of stores"), "{run:?}");
    let set = |text: &str| text.replace("repo", &place.path("repo").display().to_string());
    let other = place.path("repo-9").display().to_string();
    let foreign = format!("erasure:1+1:{other}-1,{other}-2");
    place.run(&["-r", &foreign, "repo-create", "-e", "none"]).succeeded();
    for (set, rc, words) in [
        (set("erasure:1+1:repo-2,repo-1"), 4, &["not in their order", "is number: 2"][..]),
        (set("erasure:1+1:repo-1,repo-1"), 4, &["the same store is named twice"]),
        (set("erasure:1+1:repo-1,repo-9-2"), 4, &["as many stores belong to one set as to another"]),
        (set("erasure:1+1:repo-1"), 4, &["named: 1", "wanted: 2 for 1+1"]),
    ] {
        for command in [&["repo-list"][..], &["scrub", "--repair"], &["scrub", "--upgrade"]] {
            let run = place.run(&[&["-r", &set], command].concat()).ended(rc);
            words.iter().for_each(|word| assert!(run.err.contains(word), "{set}: {word}: {run:?}"));
        }
    }
    restores(&place, &location, 0);
}

#[test]
fn other_numbers_are_refused_where_they_can_not_be_had_in_place() {
    let (place, location) = place("erasure:2+1:repo-1,repo-2,repo-3");
    let set = |text: &str| text.replace("repo", &place.path("repo").display().to_string());
    fs::create_dir(place.path("repo-4")).unwrap();
    fs::create_dir(place.path("full")).unwrap();
    place.file("full/letter", "mine");
    let full = place.path("full").display().to_string();
    let both = "gabion scrub --upgrade` gives it others where that can be done in place, `gabion transfer`";
    for (set, command, words) in [
        (
            set("erasure:2+2:repo-1,repo-2,repo-3,repo-4"),
            &["repo-list"][..],
            &["their split: 2+1", "wanted: 2+2", both][..],
        ),
        (set("erasure:2+2:repo-1,repo-2,repo-3,repo-4"), &["scrub", "--upgrade", "-n"], &["their split: 2+1", both]),
        (set("erasure:1+1:repo-1,repo-2"), &["scrub", "--upgrade"], &["no store can leave", "their split: 2+1", both]),
        (
            set("erasure:2+2:repo-1,repo-2,repo-3,repo-5"),
            &["scrub", "--upgrade"],
            &["must be there, and be empty", "repo-5"],
        ),
        (set("erasure:2+2:repo-4,repo-1,repo-2,repo-3"), &["scrub", "--upgrade"], &["not in their order"]),
        (set("erasure:2+2:repo-1,repo-2,repo-3,") + &full, &["scrub", "--upgrade"], &["not empty"]),
    ] {
        let run = place.run(&[&["-r", &set], command].concat());
        assert!([4, 15].contains(&run.rc), "{set}: {run:?}");
        words.iter().for_each(|word| assert!(run.err.contains(word), "{set}: {word}: {run:?}"));
    }
    assert_eq!(fs::read_dir(place.path("repo-4")).unwrap().count(), 0);
    fs::rename(place.path("repo-2"), place.path("away")).unwrap();
    let run = place.run(&["-r", &set("erasure:2+2:repo-1,repo-2,repo-3,repo-4"), "scrub", "--upgrade"]).ended(80);
    assert!(run.err.contains("store 2 ("), "{run:?}");
    fs::rename(place.path("away"), place.path("repo-2")).unwrap();
    restores(&place, &location, 0);
}

#[test]
fn a_change_of_numbers_that_is_killed_goes_on() {
    for (old, new) in [
        ("erasure:2+1:repo-1,repo-2,repo-3", "erasure:4+2:repo-1,repo-2,repo-3,repo-4,repo-5,repo-6"),
        ("erasure:2+1:parity:10%:repo-1,repo-2,repo-3", "erasure:1+2:parity:10%:repo-1,repo-2,repo-3"),
    ] {
        let (place, old) = place(old);
        let new = new.replace("repo", &place.path("repo").display().to_string());
        (4..7).for_each(|number| fs::create_dir(place.path(&format!("repo-{number}"))).unwrap());
        let upgrade = ["-r", &new, "scrub", "--upgrade", "--log-json", "--progress", "--debug"];
        let killed = (1..12).filter(|lines| {
            let killed = killed_after(&place, &upgrade, *lines);
            let info = place.run(&["-r", &new, "repo-info"]);
            let begun = info.rc == 0;
            assert_eq!(restored(&place, if begun { &new } else { &old }), 0, "{lines} {info:?}");
            killed
        });
        assert!(killed.count() > 2);
        place.file("more/new", Random::new(99).bytes(400_000));
        place.run(&["-r", &new, "create", "second", "more"]).succeeded();
        let told = scrub(&place, &new, &["--upgrade"], 0);
        assert_eq!((&told["outdated"], &told["damaged"]), (&0.into(), &0.into()), "{told:#}");
        let info = place.run(&["-r", &new, "repo-info"]).succeeded().out;
        assert!(!info.contains("--upgrade"), "{info}");
        let refused = place.run(&["-r", &old, "repo-list"]).ended(4);
        assert!(refused.err.contains("their split: "), "{refused:?}");
        place.run(&["-r", &new, "check", "--verify-data"]).succeeded();
        place.run(&["-r", &new, "delete", "second"]).succeeded();
        place.run(&["-r", &new, "compact"]).succeeded();
        restores(&place, &new, 0);
    }
}

/// A store of the set is a set itself, by the name of a profile.
#[test]
fn a_set_with_a_set_in_it_gets_other_numbers() {
    let place = Place::bare();
    let here = |name: &str| place.path(name).display().to_string();
    let config = place.path("home/.config/gabion");
    fs::create_dir_all(&config).unwrap();
    let profile = |numbers: &str, stores: &[&str]| {
        let stores: Vec<String> = stores.iter().map(|name| here(name)).collect();
        let text = format!("[profiles.inner]\nurl = \"erasure:{numbers}:{}\"\n", stores.join(","));
        fs::write(config.join("config.toml"), text).unwrap();
    };
    profile("1+1", &["a", "b"]);
    place.file("tree/0", Random::new(3).bytes(300_000));
    let (old, new) = (
        format!("erasure:1+1:@inner,{}", here("c")),
        format!("erasure:2+2:@inner,{},{},{}", here("c"), here("d"), here("e")),
    );
    place.run(&["-r", &old, "repo-create", "-e", "none"]).succeeded();
    place.run(&["-r", &old, "create", "first", "tree"]).succeeded();
    ["d", "e", "f"].into_iter().for_each(|name| fs::create_dir(place.path(name)).unwrap());
    place.run(&["-r", &new, "scrub", "--upgrade"]).succeeded();
    restores(&place, &new, 0);
    // The inner one is changed by itself.
    profile("2+1", &["a", "b", "f"]);
    let refused = place.run(&["-r", &new, "repo-list"]).ended(120);
    assert!(refused.err.contains("their split: 1+1"), "{refused:?}");
    place.run(&["-r", "@inner", "scrub", "--upgrade"]).succeeded();
    restores(&place, &new, 0);
    let told = scrub(&place, &new, &[], 0);
    assert_eq!(
        (&told["spare_stores"], &told["damaged"], &told["outdated"]),
        (&2.into(), &0.into(), &0.into()),
        "{told:#}"
    );
}

/// Runs a script of `docs/erasure.md` as it stands there; what it printed, and where.
fn script_of_the_page(name: &str) -> (Place, String) {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/erasure.md")).unwrap();
    let script = page.split_once(&format!("```sh {name}\n")).unwrap().1.split_once("```").unwrap().0;
    let place = Place::bare();
    let here = |name: &str| place.path(name).display().to_string();
    place.file("home/Documents/letter", Random::new(3).bytes(200_000));
    fs::create_dir(place.path("mnt")).unwrap();
    let script = script.replace("/mnt/", &format!("{}/", here("mnt"))).replace("/tmp/restored", &here("restored"));
    let folder = Path::new(PROGRAM).parent().unwrap().display().to_string();
    let mut command = Command::new("sh");
    command.args(["-eux"]).stdin(Stdio::piped());
    place.surround(&mut command);
    command.env("PATH", format!("{folder}:{}", std::env::var("PATH").unwrap())).env("GABION_PASSPHRASE", "secret");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let letter = format!("{}{}/Documents/letter", here("restored"), here("home"));
    assert!(fs::read(letter).unwrap() == fs::read(place.path("home/Documents/letter")).unwrap());
    (place, String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_disaster_of_the_page_ends_well() {
    let (_, told) = script_of_the_page("disaster");
    assert!(told.contains("the loss of any 2 of 6 stores"), "{told}");
}

#[test]
fn a_set_gets_other_numbers_as_the_page_says() {
    let (_, told) = script_of_the_page("other numbers");
    assert!(told.contains("the loss of any 2 of 6 stores") && !told.contains("goes on"), "{told}");
}

#[test]
fn a_set_becomes_another_one_as_the_page_says() {
    let (_, told) = script_of_the_page("another set");
    assert!(told.contains("the loss of any 3 of 8 stores"), "{told}");
}

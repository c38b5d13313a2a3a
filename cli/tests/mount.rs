//! `mount` and `umount`, as people and `fstab` call them.

use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use gabion_tests::can_mount;
use rustix::process::{Pid, Signal, kill_process};

use crate::place::{PROGRAM, Place, Run, tree, wait_until};

/// A place with two archives and a directory to mount at.
fn place() -> Place {
    let place = Place::new();
    place.file("d/a.txt", "one");
    place.file("d/sub/b", "two");
    place.run(&["create", "first", "d"]).succeeded();
    place.file("d/a.txt", "three");
    place.run(&["create", "second", "d"]).succeeded();
    std::fs::create_dir(place.path("mnt")).unwrap();
    place
}

/// Unmounts when a test has failed.
struct Cleared<'a>(&'a Place);

impl Drop for Cleared<'_> {
    fn drop(&mut self) {
        while rustix::mount::unmount(self.0.path("mnt"), rustix::mount::UnmountFlags::DETACH).is_ok() {}
    }
}

fn pendings(place: &Place) -> usize {
    std::fs::read_dir(place.path("repo/pending")).map_or(0, Iterator::count)
}

#[test]
fn archives_are_shown_in_the_background_until_unmounted() {
    if !can_mount("archives_are_shown_in_the_background_until_unmounted") {
        return;
    }
    let place = place();
    let _cleared = Cleared(&place);
    let run = place.run(&["mount", "mnt"]).succeeded();
    assert_eq!((run.out.as_str(), run.err.as_str()), ("", ""));
    assert_eq!(std::fs::read_to_string(place.path("mnt/first/d/a.txt")).unwrap(), "one");
    assert_eq!(tree(&place.path("mnt/second/d")), tree(&place.path("d")));
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(mounts.lines().any(|line| line.starts_with("gabionfs") && line.contains(" ro,")), "{mounts}");
    // Somebody is there: it stays.
    let open = std::fs::File::open(place.path("mnt/first/d/a.txt")).unwrap();
    place.run(&["umount", "mnt"]).failed(2, "busy", "fuser");
    drop(open);
    place.run(&["umount", "mnt"]).succeeded();
    assert_eq!(std::fs::read_dir(place.path("mnt")).unwrap().count(), 0);
    wait_until("the leases are given back", || pendings(&place) == 0);
    place.run(&["umount", "mnt"]).failed(4, "no archives are mounted here", "");
    place.run(&["umount", "/"]).failed(4, "no archives are mounted here", "");
}

#[test]
fn what_fails_is_told_before_the_command_returns() {
    if !can_mount("what_fails_is_told_before_the_command_returns") {
        return;
    }
    let place = place();
    let _cleared = Cleared(&place);
    place.run(&["mount", "nowhere"]).failed(4, "not a directory", "");
    place.run(&["mount", "d/a.txt"]).failed(4, "not a directory", "");
    place.run(&["mount", "-o", "versionn", "mnt"]).failed(4, "known are: versions", "");
    place.run(&["mount", "--archive", "frist", "mnt"]).failed(31, "archive does not exist", "did you mean `first`");
    place.run(&["mount", "--archive", "first", "-a", "second", "mnt"]).failed(4, "one archive", "");
    place.run(&["-r", "no-repo", "mount", "mnt"]).failed(13, "repository does not exist", "repo-create");
    assert_eq!(std::fs::read_dir(place.path("mnt")).unwrap().count(), 0);
}

#[test]
fn one_archive_parts_of_it_and_versions() {
    if !can_mount("one_archive_parts_of_it_and_versions") {
        return;
    }
    let place = place();
    let _cleared = Cleared(&place);
    let shown = |arguments: &[&str]| {
        place.run(&[&["mount", "mnt"], arguments].concat()).succeeded();
        let found = tree(&place.path("mnt")).into_iter().map(|(name, ..)| name);
        let found: Vec<String> = found.filter(|name| !name.is_empty()).collect();
        place.run(&["umount", "mnt"]).succeeded();
        found
    };
    assert_eq!(shown(&["--archive", "first"]), ["d", "d/a.txt", "d/sub", "d/sub/b"]);
    assert_eq!(shown(&["--archive", "first", "d/sub"]), ["d", "d/sub", "d/sub/b"]);
    assert_eq!(shown(&["--archive", "first", "--strip-components", "1", "-e", "*.txt"]), ["sub", "sub/b"]);
    assert_eq!(shown(&["-a", "second", "-e", "*/sub"]), ["second", "second/d", "second/d/a.txt"]);
    assert_eq!(
        shown(&["-o", "versions", "-e", "*/sub"]),
        ["d", "d/a.txt", "d/a.txt/a.00001.txt", "d/a.txt/a.00002.txt"]
    );
    place.run(&["create", "first", "d"]).succeeded();
    let series: Vec<String> = shown(&["-a", "first", "d/sub"]).into_iter().filter(|name| !name.contains('/')).collect();
    assert!(series.len() == 2 && series.iter().all(|name| name.starts_with("first-20")), "{series:?}");
}

#[test]
fn the_foreground_ends_with_a_signal_or_an_unmount() {
    if !can_mount("the_foreground_ends_with_a_signal_or_an_unmount") {
        return;
    }
    let place = place();
    let _cleared = Cleared(&place);
    for ending in [Some(Signal::TERM), Some(Signal::INT), None] {
        let mut command = place.command(&["mount", "-f", "mnt"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_until("it is mounted", || place.path("mnt/first").exists());
        assert_eq!(std::fs::read_to_string(place.path("mnt/first/d/sub/b")).unwrap(), "two");
        assert_eq!(pendings(&place), 1);
        match ending {
            Some(ending) => kill_process(Pid::from_child(&child), ending).unwrap(),
            None => drop(place.run(&["umount", "mnt"]).succeeded()),
        }
        Run::from(child.wait_with_output().unwrap()).succeeded();
        assert_eq!(std::fs::read_dir(place.path("mnt")).unwrap().count(), 0, "{ending:?}");
        assert_eq!(pendings(&place), 0);
    }
}

#[test]
fn a_mount_whose_process_died_can_be_unmounted() {
    if !can_mount("a_mount_whose_process_died_can_be_unmounted") {
        return;
    }
    let place = place();
    let _cleared = Cleared(&place);
    let mut child = place.command(&["mount", "-f", "mnt"]).spawn().unwrap();
    wait_until("it is mounted", || place.path("mnt/first").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(std::fs::read_dir(place.path("mnt")).is_err());
    place.run(&["umount", "mnt"]).succeeded();
    assert_eq!(std::fs::read_dir(place.path("mnt")).unwrap().count(), 0);
}

#[test]
fn the_helper_of_mount_takes_the_repository_first() {
    if !can_mount("the_helper_of_mount_takes_the_repository_first") {
        return;
    }
    let place = place();
    let _cleared = Cleared(&place);
    symlink(PROGRAM, place.path("gabionfs")).unwrap();
    let helper = |arguments: &[&str]| {
        let mut command = Command::new(place.path("gabionfs"));
        place.surround(&mut command);
        Run::of(command.env_remove("GABION_REPO").args(arguments))
    };
    helper(&["repo", "mnt", "-o", "rw,noauto,allow_other,dev,suid"]).succeeded();
    assert_eq!(std::fs::read_to_string(place.path("mnt/first/d/a.txt")).unwrap(), "one");
    place.run(&["umount", "mnt"]).succeeded();
    helper(&["-o", "versions", "repo", "mnt", "d/sub"]).succeeded();
    assert!(place.path("mnt/d/sub/b/b.00001").exists() && !place.path("mnt/d/a.txt").exists());
    place.run(&["umount", "mnt"]).succeeded();
    assert!(helper(&["repo"]).ended(2).err.contains("usage: gabionfs REPOSITORY MOUNTPOINT"));
}

#[test]
fn a_line_of_fstab_is_enough() {
    let helper = std::path::Path::new("/sbin/mount.fuse").exists();
    assert!(helper || !gabion_tests::all_required(), "there is no mount.fuse");
    if !can_mount("a_line_of_fstab_is_enough") || !helper || !rustix::process::geteuid().is_root() {
        return;
    }
    let place = place();
    let _cleared = Cleared(&place);
    symlink(PROGRAM, place.path("gabionfs")).unwrap();
    let mountpoint = place.path("mnt");
    let mount = |options| {
        // By its path, since mount(8) looks for it in the system's own folders only.
        let source = format!("{}#{}", place.path("gabionfs").display(), place.path("repo").display());
        let table = place.file("fstab", format!("{source} {} fuse {options} 0 0\n", mountpoint.display()));
        let mut mount = Command::new("mount");
        place.surround(mount.arg("--fstab").arg(table).arg(&mountpoint));
        Run::of(mount.env_remove("GABION_REPO"))
    };
    mount("noauto,nofail,_netdev,allow_other,uid=7").succeeded();
    let about = std::fs::metadata(place.path("mnt/first/d/a.txt")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&about), 7);
    assert_eq!(std::fs::read_to_string(place.path("mnt/second/d/a.txt")).unwrap(), "three");
    let umount = Run::of(Command::new("umount").arg(&mountpoint));
    umount.succeeded();
    assert!(mount("noauto,nonsense").rc != 0);
    assert_eq!(std::fs::read_dir(&mountpoint).unwrap().count(), 0);
}

//! What needs privileges to set up: other users, mounts. Skipped without, unless `GABION_TEST_REQUIRE=all`.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::place::{PROGRAM, Place, Run};

/// Whether `command` works here; if not, the test is skipped with a message, or fails if everything is required.
fn can(test: &str, command: &[&str]) -> bool {
    let works = Command::new(command[0]).args(&command[1..]).output().is_ok_and(|output| output.status.success());
    if !works {
        assert_ne!(
            std::env::var("GABION_TEST_REQUIRE").as_deref(),
            Ok("all"),
            "{test}: {command:?} does not work here"
        );
        eprintln!("skipped {test}: {command:?} does not work here");
    }
    works
}

/// Runs a shell script in mounts of its own; `$gabion` is the program.
fn in_own_mounts(place: &Place, script: &str) -> Run {
    let mut command = Command::new("unshare");
    place.surround(&mut command);
    command.args(["--mount", "sh", "-c", script]).env("gabion", PROGRAM);
    Run::of(&mut command)
}

/// Runs what follows as a user without rights.
const NOBODY: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/// The program where everybody may run it: in the place, in which everybody may do everything.
fn program_of_everybody(place: &Place) -> String {
    let program = place.path("gabion");
    std::fs::hard_link(PROGRAM, &program).or_else(|_| std::fs::copy(PROGRAM, &program).map(drop)).unwrap();
    std::fs::set_permissions(place.path("."), std::fs::Permissions::from_mode(0o777)).unwrap();
    program.to_str().unwrap().to_owned()
}

#[test]
fn files_that_may_not_be_read_are_warnings() {
    let place = Place::bare();
    place.file("d/open", "x");
    let closed = place.file("d/secret", "y");
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).unwrap();
    std::fs::create_dir(place.path("d/locked")).unwrap();
    std::fs::set_permissions(place.path("d/locked"), std::fs::Permissions::from_mode(0o000)).unwrap();
    let program = program_of_everybody(&place);
    if !can("files_that_may_not_be_read_are_warnings", &[&NOBODY[..], &[&program, "--version"]].concat()) {
        return;
    }
    let as_nobody = |arguments: &[&str]| {
        let mut command = Command::new(NOBODY[0]);
        place.surround(&mut command);
        Run::of(command.args(&NOBODY[1..]).arg(&program).args(arguments).arg("--log-json"))
    };
    as_nobody(&["repo-create", "-e", "none"]).succeeded();
    let run = as_nobody(&["create", "one", "d", "--list"]).ended(105);
    assert_eq!(run.err.matches("BackupPermissionError").count(), 2, "{run:?}");
    let listed = as_nobody(&["list", "--short", "one"]).succeeded().out;
    assert!(listed.contains("d/open\n") && !listed.contains("secret"), "{listed}");
}

/// Neither the environment nor the table of users has one, as in a container.
#[test]
fn without_a_home_work_goes_on_without_a_memory() {
    let place = Place::bare();
    place.file("f", "x");
    let program = program_of_everybody(&place);
    let stranger = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"];
    let test = "without_a_home_work_goes_on_without_a_memory";
    if !can(test, &[&stranger[..], &[&program, "--version"]].concat()) {
        return;
    }
    let run = |arguments: &[&str]| {
        let mut command = Command::new(stranger[0]);
        place.surround(&mut command);
        command.env_remove("HOME").env("GABION_PASSPHRASE", "x");
        Run::of(command.args(&stranger[1..]).arg(&program).args(arguments))
    };
    run(&["repo-create"]).succeeded();
    let made = run(&["create", "one", "f"]).succeeded();
    assert!(made.err.starts_with("no home directory: set HOME or ") && made.err.lines().count() == 1, "{made:#?}");
    assert_eq!(run(&["list", "--short", "one"]).succeeded().out, "f\n");
    // a key that would be kept nowhere is refused
    run(&["-r", "other", "repo-create", "--key-location", "keyfile"]).failed(4, "no home directory", "");
}

/// Everything that an ordinary user may restore comes back; what only root may is a warning at most.
#[test]
fn ordinary_users_restore_what_they_may() {
    use std::os::unix::fs::MetadataExt as _;

    let place = Place::bare();
    place.file("d/mine", "x");
    place.file("d/tool", "y");
    std::fs::set_permissions(place.path("d/tool"), std::fs::Permissions::from_mode(0o4750)).unwrap();
    std::os::unix::fs::symlink("mine", place.path("d/link")).unwrap();
    let program = program_of_everybody(&place);
    if !can("ordinary_users_restore_what_they_may", &[&NOBODY[..], &[&program, "--version"]].concat()) {
        return;
    }
    place.run(&["--umask", "0022", "repo-create", "-e", "none"]).succeeded();
    place.run(&["--umask", "0022", "create", "one", "d"]).succeeded();
    let mut command = Command::new(NOBODY[0]);
    place.surround(&mut command);
    command.env("HOME", place.path("nobody"));
    let run = Run::of(command.args(&NOBODY[1..]).arg(&program).args(["extract", "--target", "out", "one"])).succeeded();
    assert_eq!(run.err, "", "that files belong to who restores them is no news");
    let about = |name: &str| std::fs::symlink_metadata(place.path("out/d").join(name)).unwrap();
    assert_eq!(
        (about("mine").uid(), about("mine").mtime()),
        (65534, std::fs::metadata(place.path("d/mine")).unwrap().mtime())
    );
    assert_eq!(about("tool").mode() & 0o7777, 0o750, "nobody's file does not run as somebody else");
    assert!(about("link").is_symlink());
    assert_eq!(std::fs::read(place.path("out/d/tool")).unwrap(), b"y");
}

#[test]
fn a_file_is_written_where_its_folder_may_not_be() {
    let place = Place::bare();
    let file = place.file("metrics/gabion.prom", "");
    let program = program_of_everybody(&place);
    let test = "a_file_is_written_where_its_folder_may_not_be";
    if !can(test, &[&NOBODY[..], &[&program, "--version"]].concat()) {
        return;
    }
    std::os::unix::fs::chown(&file, Some(65534), Some(65534)).unwrap();
    let mut command = Command::new(NOBODY[0]);
    place.surround(&mut command);
    command.args(&NOBODY[1..]).args([&program, "version", "--metrics-file", "metrics/gabion.prom"]);
    let told = Run::of(&mut command).succeeded();
    let figures = std::fs::read_to_string(file).unwrap();
    assert!(
        told.err.is_empty() && figures.contains("gabion_last_return_code{command=\"version\""),
        "{told:?} {figures}"
    );
}

/// Only the superuser is told attributes of the class `trusted`.
#[test]
fn attributes_that_only_root_sees_are_not_missed_where_a_user_made_the_base() {
    let place = Place::bare();
    let file = place.file("d/a", "x");
    let program = program_of_everybody(&place);
    let test = "attributes_that_only_root_sees_are_not_missed_where_a_user_made_the_base";
    let set = ["setfattr", "-n", "trusted.gabion", "-v", "1", file.to_str().unwrap()];
    if !can(test, &set) || !can(test, &[&NOBODY[..], &[&program, "--version"]].concat()) {
        return;
    }
    place.settle();
    let script = format!(
        "{user} repo-create -e none && {user} create a d && ./gabion create b d --list && ./gabion create b d --list &&
        ./gabion extract --target out b && getfattr --only-values -n trusted.gabion out/d/a",
        user = format!("{} ./gabion", NOBODY.join(" "))
    );
    let mut command = Command::new("sh");
    place.surround(&mut command);
    let run = Run::of(command.args(["-c", &script])).succeeded();
    assert_eq!((run.out.as_str(), run.err.matches("U d/a").count()), ("1", 2), "{run:?}");
}

/// A helper unmounts for users, and says that it has also where a file is open and the mount has no end.
#[test]
fn a_mount_of_a_user_ends_by_a_signal_while_a_file_is_open() {
    let own_device = "mknod fuse c 10 229 && chmod 666 fuse && mount --bind fuse /dev/fuse";
    let place = Place::bare();
    let can_mount = format!("cd '{}' && {own_device} && : <>/dev/fuse", place.path(".").display());
    let test = "a_mount_of_a_user_ends_by_a_signal_while_a_file_is_open";
    if !can(test, &["unshare", "--mount", "sh", "-c", &can_mount]) {
        return;
    }
    place.file("d/a", "x");
    std::fs::create_dir(place.path("mnt")).unwrap();
    program_of_everybody(&place);
    std::os::unix::fs::chown(place.path("mnt"), Some(65534), Some(65534)).unwrap();
    let user = "./gabion repo-create -e none && ./gabion create a d || exit 9
        ./gabion mount -f mnt & gabion=$!
        until [ -e mnt/a/d/a ]; do kill -0 $gabion || exit 9; sleep 0.02; done
        exec 3<mnt/a/d/a; kill -TERM $gabion; wait $gabion && ls mnt";
    let script = format!("mount --bind fuse /dev/fuse && exec timeout 60 {} sh -c '{user}'", NOBODY.join(" "));
    assert_eq!(in_own_mounts(&place, &script).succeeded().out, "");
}

#[test]
fn a_read_only_repository_can_be_read() {
    if !can("a_read_only_repository_can_be_read", &["unshare", "--mount", "true"]) {
        return;
    }
    let place = Place::new();
    place.file("f", "x");
    place.run(&["create", "one", "f"]).succeeded();
    let mounts = "mount --bind repo repo && mount -o remount,bind,ro repo repo || exit 99; ";
    let read = "\"$gabion\" list --short one && \"$gabion\" extract --target out one && cat out/f";
    assert_eq!(in_own_mounts(&place, &format!("{mounts}{read}")).succeeded().out, "f\nx");
    in_own_mounts(&place, &format!("{mounts}exec \"$gabion\" create two f")).failed(
        21,
        "permission denied",
        "read-only",
    );
    assert_eq!(place.archives(), ["one"]);
}

#[test]
fn a_full_disk_is_told_and_leaves_a_working_repository() {
    if !can("a_full_disk_is_told_and_leaves_a_working_repository", &["unshare", "--mount", "true"]) {
        return;
    }
    let place = Place::bare();
    place.file("small", "x");
    let mut noise = vec![0; 12 << 20];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom").unwrap(), &mut noise).unwrap();
    place.file("large", &noise);
    std::fs::create_dir(place.path("repo")).unwrap();
    let script = "mount -t tmpfs -o size=8m none repo && \"$gabion\" repo-create -q -e none && \"$gabion\" create one small \
                  || exit 99; \"$gabion\" create two large; code=$?; \"$gabion\" repo-list --short >&2; exit $code";
    let run = in_own_mounts(&place, script).failed(14, "no space left", "make room");
    assert_eq!(run.err.lines().last(), Some("one"));
}

/// A mount point is archived empty, unless what is mounted there was given itself.
#[test]
fn one_file_system_is_not_left() {
    let place = Place::new();
    if !can("one_file_system_is_not_left", &["unshare", "--mount", "true"]) {
        return;
    }
    std::fs::create_dir_all(place.path("d/mount")).unwrap();
    place.file("d/file", "x");
    let script = "mount -t tmpfs none d/mount && touch d/mount/inside || exit 99
        for given in d '--one-file-system d' '--one-file-system d d/mount'; do
        n=$((n+1)); \"$gabion\" create a$n $given && \"$gabion\" list --short a$n | tr '\\n' ' ' || exit 9; echo; done";
    let run = in_own_mounts(&place, script).succeeded();
    let (inside, outside) = ("d d/file d/mount d/mount/inside ", "d d/file d/mount ");
    assert_eq!(run.out.lines().collect::<Vec<_>>(), [inside, outside, inside], "{run:?}");
}

#[test]
fn a_repository_that_had_no_room_can_be_made_when_there_is() {
    let place = Place::bare();
    if !can("a_repository_that_had_no_room_can_be_made_when_there_is", &["unshare", "--mount", "true"]) {
        return;
    }
    std::fs::create_dir(place.path("repo")).unwrap();
    let script = "mount -t tmpfs -o size=100k none repo || exit 99
        \"$gabion\" repo-create -e none; [ $? = 14 ] && find repo -type f -path '*/*/*' && mount -o remount,size=8m repo &&
        \"$gabion\" repo-create -e none && \"$gabion\" repo-list && ls repo/keys | wc -l";
    let run = in_own_mounts(&place, script).succeeded();
    // Nothing was left, and a key of the first one neither.
    assert!(!run.out.contains("repo/") && run.out.trim_end().ends_with('1'), "{run:?}");
}

/// A full target is told once for a file, however large it is, and nothing more of the file is read.
#[test]
fn a_full_target_is_told_once() {
    let place = Place::new();
    if !can("a_full_target_is_told_once", &["unshare", "--mount", "true"]) {
        return;
    }
    let mut noise = vec![0; 64 << 20];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom").unwrap(), &mut noise).unwrap();
    place.file("d/huge", &noise);
    place.file("d/small", "x");
    place.run(&["create", "a", "d"]).succeeded();
    std::fs::create_dir(place.path("out")).unwrap();
    let script = "mount -t tmpfs -o size=1m none out || exit 99; \"$gabion\" extract --target out a";
    let run = in_own_mounts(&place, script).ended(106);
    assert_eq!(run.err.matches("no space left").count(), 2, "{run:?}");
    assert!(!run.err.contains("in the store"), "{run:?}");
}

#[test]
fn room_is_made_on_a_full_disk() {
    if !can("room_is_made_on_a_full_disk", &["unshare", "--mount", "true"]) {
        return;
    }
    let place = Place::bare();
    let mut noise = vec![0; 12 << 20];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom").unwrap(), &mut noise).unwrap();
    for (name, part) in ["kept", "deleted", "pruned"].into_iter().zip(noise.chunks(4 << 20)) {
        place.file(&format!("{name}/noise"), part);
    }
    std::fs::create_dir(place.path("disk")).unwrap();
    let script = "set -e; mount -t tmpfs -o size=36m none disk; export GABION_REPO=disk/repo
        free() { stat -f -c '%a * %S / 1048576' disk | xargs expr || true; }
        \"$gabion\" repo-create -q -e none
        \"$gabion\" create deleted deleted; \"$gabion\" create pruned pruned; \"$gabion\" create kept kept
        dd if=/dev/zero of=disk/filler bs=4k 2>/dev/null && exit 99; dd if=/dev/zero of=disk/crumbs bs=1 2>/dev/null && exit 98
        free; \"$gabion\" delete deleted; \"$gabion\" compact; free
        dd if=/dev/zero of=disk/more bs=4k 2>/dev/null && exit 97
        free; \"$gabion\" prune --keep-last 1 -a 'sh:*'; \"$gabion\" compact; free
        \"$gabion\" check -q --verify-data; \"$gabion\" extract --target out kept; cmp out/kept/noise kept/noise
        ls disk/repo/reserve | wc -l; \"$gabion\" repo-list --short";
    let run = in_own_mounts(&place, script).succeeded();
    let told: Vec<&str> = run.out.lines().map(str::trim).collect();
    let free: Vec<u64> = told[..4].iter().map(|megabytes| megabytes.parse().unwrap()).collect();
    assert!(free[0] == 0 && free[1] >= 3 && free[2] == 0 && free[3] >= 3, "{run:#?}");
    assert_eq!(told[told.len() - 2..], ["4", "kept"], "{run:#?}");
}

/// `extract --delete` goes into nothing that is mounted below what it restores, and removes no mount point.
#[test]
fn what_is_mounted_is_not_deleted() {
    let place = Place::new();
    if !can("what_is_mounted_is_not_deleted", &["unshare", "--mount", "true"]) {
        return;
    }
    place.file("d/sub/file", "x");
    place.file("other/precious", "y");
    place.run(&["create", "a", "d"]).succeeded();
    let script = "set -e
        $gabion extract --target target a
        mkdir -p target/d/new/mnt target/d/gone; touch target/d/gone/x target/d/sub/x
        mount -t tmpfs none target/d/new/mnt; touch target/d/new/mnt/precious
        mount --bind other target/d/sub
        $gabion extract --target target --in-place --delete --list a 2>told
        ls target/d target/d/new/mnt target/d/sub
        umount target/d/sub target/d/new/mnt; ls target/d/sub";
    let out = in_own_mounts(&place, script).succeeded().out;
    assert_eq!(
        out.split_whitespace().collect::<Vec<_>>(),
        ["target/d:", "new", "sub", "target/d/new/mnt:", "precious", "target/d/sub:", "file", "precious", "file", "x"]
    );
    let told = std::fs::read_to_string(place.path("told")).unwrap();
    assert_eq!(told.lines().filter(|line| line.starts_with("deleting")).count(), 2, "{told}");
    let stays: Vec<_> = told.lines().filter_map(|line| line.strip_prefix("- ")).collect();
    assert_eq!(stays, ["d/sub", "d/new/mnt"], "{told}");
}

/// Permissions of directories keep their owner from nothing, and are what they were afterwards.
#[test]
fn surplus_of_directories_that_may_not_be_changed_goes() {
    use std::os::unix::fs::MetadataExt as _;

    let place = Place::bare();
    let program = program_of_everybody(&place);
    let test = "surplus_of_directories_that_may_not_be_changed_goes";
    if !can(test, &[&NOBODY[..], &[&program, "--version"]].concat()) {
        return;
    }
    let script = "set -e; export HOME=$PWD/nobody; umask 022
        mkdir -p src/closed; touch src/closed/file; chmod 555 src/closed; touch -d 2020-01-01 src/closed
        $gabion repo-create -e none; $gabion create a src; $gabion extract --target target a; cd target/src
        chmod 755 closed; mkdir closed/a new kept; touch closed/a/x new/x kept/k.o kept/x
        chmod 0 closed/a; chmod 555 closed new kept; cd ../..
        $gabion extract --target target --in-place --delete --dry-run a -e '*.o' || stat -c %a target/src/closed/a
        $gabion extract --target target --in-place --delete a -e '*.o'";
    let mut command = Command::new(NOBODY[0]);
    place.surround(&mut command);
    let run = Run::of(command.args(&NOBODY[1..]).args(["sh", "-c", script]).env("gabion", &program)).succeeded();
    assert_eq!(run.out, "0\n", "a dry run can not look into it, says so, and changes nothing: {run:?}");
    let about = |name: &str| std::fs::metadata(place.path(name)).unwrap();
    let [closed, archived] = ["target/src/closed", "src/closed"].map(about);
    assert_eq!((closed.mode() & 0o7777, closed.mtime()), (0o555, archived.mtime()));
    let left = |name: &str| std::fs::read_dir(place.path(name)).unwrap().count();
    assert_eq!(["target/src", "target/src/closed", "target/src/kept"].map(left), [2, 1, 1], "{run:?}");
    assert_eq!(about("target/src/kept").mode() & 0o7777, 0o555);
}

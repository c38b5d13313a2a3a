//! Memory stays within what is stated, whatever the input.

use std::process::Command;

use gabion_tests::Random;
use gabion_tests::servers::{self, ACCESS_KEY, S3Server, SECRET_KEY, WEBDAV_PASSWORD, WEBDAV_USER};

use crate::place::{PROGRAM, Place, Run};
use crate::sshd::Sshd;

/// Runs the program and tells the most memory it, or any program it began, ever had, in MiB.
fn peak(place: &Place, variables: &[(&str, &str)], arguments: &[&str]) -> (Run, usize) {
    let script = "import resource, subprocess, sys\n\
                  rc = subprocess.call(sys.argv[1:])\n\
                  print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n\
                  sys.exit(rc)";
    let mut command = Command::new("python3");
    command.args(["-c", script, PROGRAM]).args(arguments);
    place.surround(&mut command);
    command.envs(variables.iter().copied());
    let run = Run::of(&mut command).succeeded();
    let kib: usize = run.out.lines().last().unwrap().trim().parse().unwrap();
    (run, kib.div_ceil(1024))
}

/// What `--debug` says the limit is, in MiB.
fn stated(run: &Run) -> usize {
    let (_, rest) = run.err.split_once("memory: at most ").unwrap();
    rest.split_once(' ').unwrap().0.parse().unwrap()
}

fn can_measure() -> bool {
    let can = Command::new("python3").arg("--version").output().is_ok();
    assert!(can || !gabion_tests::all_required(), "python3 is not installed");
    if !can {
        eprintln!("skipped: python3 is not installed");
    }
    can
}

/// So many times 64 MiB that do not compress.
fn noise(rounds: u8) -> Vec<u8> {
    let noise = Random::new(1).bytes(64 << 20);
    (0..rounds).flat_map(|round| noise.iter().map(move |byte| byte ^ round.wrapping_mul(37))).collect()
}

/// Whatever is between, no store holds more than a few objects, and neither does `gabion serve`.
#[test]
fn a_backup_far_away_takes_no_more_memory_than_one_at_hand() {
    let Some(sshd) = Sshd::start("a_backup_far_away_takes_no_more_memory_than_one_at_hand") else { return };
    if !can_measure() {
        return;
    }
    let place = Place::bare();
    place.file("noise", noise(4));
    let bucket = tempfile::tempdir().unwrap();
    let server = S3Server::start(bucket.path());
    let served = tempfile::tempdir().unwrap();
    let servers = servers::redis(served.path()).zip(servers::webdav(served.path()));
    let Some((redis, webdav)) = servers else {
        assert!(!gabion_tests::all_required(), "redis-server and wsgidav are not installed");
        return eprintln!("skipped: redis-server and wsgidav are not installed");
    };
    // In the place of ssh: runs what it is asked to run, as a child of the client.
    let here = place.file("here", "#!/bin/sh\nfor last; do :; done\nexec sh -c \"exec $last\"\n");
    std::fs::set_permissions(&here, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    for (url, rsh) in [
        (sshd.url("sftp", &place.path("sftp")), sshd.rsh("client")),
        (format!("ssh://here{}", place.path("ssh").display()), here.display().to_string()),
        (server.url("r"), String::new()),
        (format!("redis://127.0.0.1:{}", redis.port), String::new()),
        (servers::webdav_url(webdav.port, "r"), String::new()),
        (format!("redb:{}", place.path("one.redb").display()), String::new()),
    ] {
        let variables = [
            ("GABION_REPO", &*url),
            ("GABION_RSH", &*rsh),
            ("GABION_REMOTE_PATH", PROGRAM),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("WEBDAV_USERNAME", WEBDAV_USER),
            ("WEBDAV_PASSWORD", WEBDAV_PASSWORD),
        ];
        place.run_with(&variables, &["repo-create", "-e", "none"]).succeeded();
        for arguments in [&["create", "--workers", "2", "one", "noise"][..], &["extract", "--target", "out", "one"]] {
            let (_, peak) = peak(&place, &variables, arguments);
            println!("{} {url}: {peak} MiB", arguments[0]);
            // clients of key/value stores hold copies of what they send
            assert!(peak <= 176, "{} {url}: {peak} MiB", arguments[0]);
        }
        assert!(std::fs::read(place.path("out/noise")).unwrap() == std::fs::read(place.path("noise")).unwrap());
        std::fs::remove_dir_all(place.path("out")).unwrap();
    }
}

#[test]
fn a_backup_stays_within_its_budget() {
    if !can_measure() {
        return;
    }
    let place = Place::new();
    place.run(&["repo-create", "-e", "none", "-r", "second"]).succeeded();
    place.file("noise", noise(6));
    // The bound is for the worst input; this one needs less.
    let small = ["--memory-budget", "120Mi"];
    let both = [&small[..], &["--also-to", "second"]].concat();
    for (name, options, limit, usual) in
        [("usual", &[][..], 192, 160), ("small", &small, 120, 110), ("both", &both, 120, 2 * 110 + 18)]
    {
        let arguments = [&["create", "--debug", "--workers", "2"][..], options, &[name, "noise"]].concat();
        let (run, peak) = peak(&place, &[], &arguments);
        assert!(stated(&run) <= limit, "{}", run.err);
        assert!(peak <= usual, "{name}: {peak} MiB");
        place.run(&["delete", name]).succeeded();
        place.run(&["compact", "--threshold", "0"]).succeeded();
    }
}

/// What is needed is a bit per chunk, and the index; how many archives need it does not count.
#[test]
fn compact_takes_as_much_memory_for_a_hundred_archives_as_for_two() {
    if !can_measure() {
        return;
    }
    let place = Place::new();
    place.file("tree/chunks", Random::new(4).bytes(400_000 * 64));
    for number in 0..5_000 {
        place.file(&format!("tree/{}/{number}", number % 50), format!("{number} ").repeat(200));
    }
    let back_up = |numbers: std::ops::Range<u32>| {
        for number in numbers {
            place.file("tree/diary", format!("{number} ").repeat(200));
            let cut = ["--chunker-params", "fixed,64", "-C", "none"];
            place.run(&[&["create"], &cut[..], &[&format!("{number}"), "tree"]].concat()).succeeded();
        }
    };
    let compact = || peak(&place, &[], &["compact"]).1;
    back_up(0..2);
    let two = compact();
    back_up(2..100);
    // The small segments of so many archives become one, and the index is written anew.
    let (rewriting, hundred) = (compact(), compact());
    println!(
        "compact with 405 000 chunks: {two} MiB for 2 archives, {hundred} for 100, {rewriting} to put these together"
    );
    assert!(two <= 64 && hundred <= two + 4 && rewriting <= 144, "{two} {hundred} {rewriting}");
}

#[test]
fn a_budget_that_is_too_small_is_refused_with_what_is_needed() {
    let place = Place::new();
    place.file("f", "content");
    let create = ["create", "--memory-budget", "20Mi", "a", "f"];
    place.run(&create).failed(4, "--memory-budget is too small", "");
    let short = ["create", "--memory-budget", "80Mi", "--chunker-params", "fastcdc,14,18,16", "a", "f"];
    place.run(&short).succeeded();
}

//! Memory stays within what is stated, whatever the input.

use std::process::Command;

use gabion_tests::Random;

use crate::place::{PROGRAM, Place, Run};

/// Runs the program and tells the most memory it ever had, in MiB.
fn peak(place: &Place, arguments: &[&str]) -> (Run, usize) {
    let script = "import resource, subprocess, sys\n\
                  rc = subprocess.call(sys.argv[1:])\n\
                  print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n\
                  sys.exit(rc)";
    let mut command = Command::new("python3");
    command.args(["-c", script, PROGRAM]).args(arguments);
    place.surround(&mut command);
    let run = Run::of(&mut command).succeeded();
    let kib: usize = run.out.lines().last().unwrap().trim().parse().unwrap();
    (run, kib.div_ceil(1024))
}

/// What `--debug` says the limit is, in MiB.
fn stated(run: &Run) -> usize {
    let (_, rest) = run.err.split_once("memory: at most ").unwrap();
    rest.split_once(' ').unwrap().0.parse().unwrap()
}

#[test]
fn a_backup_stays_within_its_budget() {
    if Command::new("python3").arg("--version").output().is_err() {
        assert!(!gabion_tests::all_required(), "python3 is not installed");
        return eprintln!("skipped: python3 is not installed");
    }
    let place = Place::new();
    let noise = Random::new(1).bytes(64 << 20);
    let repeated: Vec<u8> =
        (0u8..6).flat_map(|round| noise.iter().map(move |byte| byte ^ round.wrapping_mul(37))).collect();
    place.file("noise", repeated);
    // The bound is for the worst input; this one needs less.
    for (name, budget, limit, usual) in [("usual", None, 192, 160), ("small", Some("120Mi"), 120, 110)] {
        let budget: Vec<&str> = budget.map_or(Vec::new(), |size| vec!["--memory-budget", size]);
        let arguments = [&["create", "--debug", "--workers", "2"][..], &budget, &[name, "noise"]].concat();
        let (run, peak) = peak(&place, &arguments);
        assert!(stated(&run) <= limit, "{}", run.err);
        assert!(peak <= usual, "{name}: {peak} MiB");
        place.run(&["delete", name]).succeeded();
        place.run(&["compact", "--threshold", "0"]).succeeded();
    }
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

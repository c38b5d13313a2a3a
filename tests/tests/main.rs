//! Scenarios across the libraries, in one binary.

#[cfg(test)]
mod analyze;
#[cfg(test)]
mod care;
#[cfg(test)]
mod check;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod cost;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod damage_scene;
#[cfg(test)]
mod diff;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod find;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod gc_model;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod history;
#[cfg(test)]
mod lease;
#[cfg(test)]
mod life;
#[cfg(test)]
mod life_crash;
#[cfg(test)]
mod protocol;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod redundancy;
#[cfg(test)]
mod repair;
#[cfg(test)]
mod repair_crash;
#[cfg(test)]
mod rewrite;
#[cfg(test)]
mod roundtrip;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod stores;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod upgrade;
#[cfg(test)]
mod upgrade_scene;

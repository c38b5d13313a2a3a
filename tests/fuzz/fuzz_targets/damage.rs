//! Hands what a fuzzer makes to the target `damage`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gabion_tests::fuzz::damage(data));

//! Hands what a fuzzer makes to the target `tar`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gabion_tests::fuzz::tar(data));

//! Hands what a fuzzer makes to the target `pending`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gabion_tests::fuzz::pending(data));

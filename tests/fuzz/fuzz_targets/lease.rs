//! Hands what a fuzzer makes to the target `lease`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gabion_tests::fuzz::lease(data));

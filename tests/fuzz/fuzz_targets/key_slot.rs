//! Hands what a fuzzer makes to the target `key_slot`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gabion_tests::fuzz::key_slot(data));

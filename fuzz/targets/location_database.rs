//! Fuzz target: MaxMind DB files.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| meetscope_fuzz::location_database(data));

//! Fuzz target: provider files.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| meetscope_fuzz::provider_file(data));

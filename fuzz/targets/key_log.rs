//! Fuzz target: the lines of a TLS key log.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| meetscope_fuzz::key_log(data));

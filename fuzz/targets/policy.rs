//! Fuzz target: policy files, and rules over arbitrary facts.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| meetscope_fuzz::policy(data));

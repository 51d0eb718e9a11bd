//! Fuzz target: TCP reassembly.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| meetscope_fuzz::reassembly(data));

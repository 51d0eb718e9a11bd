//! Fuzz target: frames of any link type.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| meetscope_fuzz::decoder(data));

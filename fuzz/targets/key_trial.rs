//! Fuzz target: keys as they are typed, and their trial on units and packets.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| meetscope_fuzz::key_trial(data));

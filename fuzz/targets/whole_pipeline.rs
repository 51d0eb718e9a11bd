//! Fuzz target: a capture through all stages.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| meetscope_fuzz::whole_pipeline(data));

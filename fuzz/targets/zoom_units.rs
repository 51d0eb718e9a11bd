//! Fuzz target: Zoom's sealed units and their fragments.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| meetscope_fuzz::zoom_units(data));

//! Fuzz target: Zoom's framing.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| meetscope_fuzz::zoom_datagram(data));

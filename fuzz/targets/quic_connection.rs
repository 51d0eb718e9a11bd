//! Fuzz target: QUIC Initials.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| meetscope_fuzz::quic_connection(data));

//! Fuzz target: protected TLS records and QUIC packets.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| meetscope_fuzz::record_opening(data));

//! Fuzz target: DTLS records and fragments.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| meetscope_fuzz::dtls_datagrams(data));

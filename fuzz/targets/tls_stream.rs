//! Fuzz target: TLS records, hellos, certificates.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| meetscope_fuzz::tls_stream(data));

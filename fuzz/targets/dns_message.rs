//! Fuzz target: DNS.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| meetscope_fuzz::dns_message(data));

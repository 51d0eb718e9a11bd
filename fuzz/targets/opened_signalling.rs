//! Fuzz target: HTTP, WebSocket and everything else that is searched for keys.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| meetscope_fuzz::opened_signalling(data));

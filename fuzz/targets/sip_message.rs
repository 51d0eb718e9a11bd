//! Fuzz target: SIP and SDP.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| meetscope_fuzz::sip_message(data));

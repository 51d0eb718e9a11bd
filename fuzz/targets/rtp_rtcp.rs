//! Fuzz target: RTP, RTCP and stream statistics.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| meetscope_fuzz::rtp_rtcp(data));

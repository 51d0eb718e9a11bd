//! Fuzz target: STUN, TURN, ChannelData and their framings.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| meetscope_fuzz::stun_turn(data));

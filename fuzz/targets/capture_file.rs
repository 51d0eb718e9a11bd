//! Fuzz target: pcap, pcapng and their compressions.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| meetscope_fuzz::capture_file(data));

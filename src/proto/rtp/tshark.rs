//! Tests only: asks tshark what it reads in the captures of the corpus.

use std::path::PathBuf;
use std::process::Command;

use crate::proto::demux::{self, Kind};
use crate::proto::stun;

/// Path of a corpus capture, or `None` after one printed line.
pub(in crate::proto) fn capture(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("MEETSCOPE_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared")), PathBuf::from);
    let path = root.join("corpus/calls").join(name);
    if path.is_file() && Command::new("tshark").arg("--version").output().is_ok() {
        return Some(path);
    }
    skip(name);
    None
}

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn skip(name: &str) {
    eprintln!("skipped: no corpus capture {name} or no tshark here");
}

fn run(path: &PathBuf, arguments: &[&str]) -> String {
    let output = Command::new("tshark")
        .args(["-n", "-o", "rtp.heuristic_rtp:TRUE", "-r"])
        .arg(path)
        .args(arguments)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The fields of each frame that `filter` lets through, tab-separated by tshark, repeated values by comma.
pub(in crate::proto) fn fields(path: &PathBuf, filter: &str, names: &[&str]) -> Vec<Vec<String>> {
    let mut arguments = vec!["-Y", filter, "-T", "fields"];
    for name in names {
        arguments.extend(["-e", name]);
    }
    let lines = run(path, &arguments);
    lines.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// The text of a statistics tap.
pub(in crate::proto) fn tap(path: &PathBuf, name: &str) -> String {
    run(path, &["-q", "-z", name])
}

pub(in crate::proto) fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().filter_map(|c| u8::try_from(c.to_digit(16)?).ok()).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Whole number as tshark prints it, decimal or hexadecimal.
pub(in crate::proto) fn number(text: &str) -> u32 {
    text.strip_prefix("0x").map_or_else(|| text.parse().unwrap(), |hex| u32::from_str_radix(hex, 16).unwrap())
}

/// Takes relays' wrapping off until something else appears.
pub(in crate::proto) fn unwrapped(mut datagram: &[u8]) -> &[u8] {
    loop {
        let inner = match demux::candidates(datagram).iter().next() {
            Some(Kind::ChannelData) => stun::ChannelData::parse(datagram).ok().map(|channel| channel.data),
            Some(Kind::Stun) => stun::Message::parse(datagram).ok().and_then(|message| message.data()),
            Some(Kind::MsMux) => stun::ms_mux::parse(datagram).ok().map(|frame| frame.payload),
            _ => None,
        };
        match inner {
            Some(inner) => datagram = inner,
            None => return datagram,
        }
    }
}

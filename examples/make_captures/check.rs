//! Checks of the committed captures, by readers that share nothing with the writers: small ones here, and
//! tshark, ffmpeg and openssl where they are installed.

mod dtls;
mod e2e;
mod sip;
mod srtp;
mod zoom;
mod zoom_beijing_2020;

use std::path::PathBuf;
use std::process::{Command, Output};

use sha2::{Digest, Sha256};

use crate::{cases, hex, media};

fn committed(name: &str, extension: &str) -> PathBuf {
    crate::default_dir().join(format!("{name}.{extension}"))
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(committed(name, "pcapng")).unwrap()
}

/// The key file of a capture, in hexadecimal or base64url.
fn key_of(name: &str) -> Vec<u8> {
    let text = std::fs::read_to_string(committed(name, "key")).unwrap();
    let text = text.trim();
    if text.len() == 32 {
        return unhex(text);
    }
    base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, text).unwrap()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// Frames of a little-endian pcapng.
fn frames(file: &[u8]) -> Vec<&[u8]> {
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let (mut at, mut out) = (0, Vec::new());
    while at < file.len() {
        if word(at) == 6 {
            let captured = usize::try_from(word(at + 20)).unwrap();
            out.push(&file[at + 28..at + 28 + captured]);
        }
        at += usize::try_from(word(at + 4)).unwrap();
    }
    out
}

/// A UDP datagram of a frame.
struct Datagram<'a> {
    src: ([u8; 4], u16),
    dst: ([u8; 4], u16),
    payload: &'a [u8],
}

/// The UDP datagrams of a capture in its order.
fn datagrams(file: &[u8]) -> Vec<Datagram<'_>> {
    let read = |frame| -> Option<Datagram<'_>> {
        let frame: &[u8] = frame;
        let address = |at: usize| frame[at..at + 4].try_into().unwrap();
        (frame[23] == 17).then(|| Datagram {
            src: (address(26), u16_at(frame, 34)),
            dst: (address(30), u16_at(frame, 36)),
            payload: &frame[42..34 + usize::from(u16_at(frame, 38))],
        })
    };
    frames(file).into_iter().filter_map(read).collect()
}

fn run(program: &str, arguments: &[&str]) -> Option<Output> {
    let out = Command::new(program).args(arguments).output().ok();
    if out.is_none() {
        println!("skipped: {program} is not installed");
    }
    out
}

/// What tshark prints of a capture for these arguments, with the capture's key log if it has one.
fn tshark(name: &str, arguments: &[&str]) -> Option<String> {
    let (file, log) = (committed(name, "pcapng"), committed(name, "keylog"));
    let log = format!("tls.keylog_file:{}", log.to_str().unwrap());
    let mut all = vec!["-r", file.to_str().unwrap()];
    if committed(name, "keylog").exists() {
        all.extend(["-o", &log]);
    }
    all.extend(arguments);
    let out = run("tshark", &all)?;
    Some(String::from_utf8_lossy(&out.stdout).into_owned())
}

#[test]
fn tshark_finds_no_fault() {
    let checks = ["ip", "udp", "tcp"].map(|layer| format!("{layer}.check_checksum:TRUE"));
    let faults = "_ws.malformed || ip.checksum.status == 0 || udp.checksum.status == 0 \
                  || tcp.checksum.status == 0 || tcp.analysis.flags";
    // Hostile names are malformed on purpose.
    for case in cases::ALL.iter().filter(|case| case.name != "hostile-names") {
        // Inside ChannelData nothing tells tshark that RTCP is encrypted.
        let faults = if case.name == "e2e-call" { format!("({faults}) && !rtcp") } else { faults.to_owned() };
        let arguments = ["-o", &checks[0], "-o", &checks[1], "-o", &checks[2], "-Y", &faults];
        let Some(text) = tshark(case.name, &arguments) else { return };
        assert_eq!(text, "", "{}", case.name);
    }
}

#[test]
fn the_readme_names_the_committed_files() {
    let readme = std::fs::read_to_string(crate::default_dir().join("README.md")).unwrap();
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(crate::default_dir()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_none_or(|extension| extension != "md"));
    assert!(files.len() > cases::ALL.len());
    for file in files {
        let digest = hex(&Sha256::digest(std::fs::read(&file).unwrap()));
        let name = file.file_name().unwrap().to_str().unwrap();
        let row = readme.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        assert!(row.is_some_and(|row| row.contains(&digest)), "captures/README.md lacks {digest} of {name}");
    }
}

#[test]
fn making_it_again_gives_the_same_bytes() {
    let Ok(encoder) = media::encoder_version() else {
        println!("skipped: ffmpeg is not installed");
        return;
    };
    for case in cases::ALL {
        let file = read(case.name);
        if !file.windows(encoder.len()).take(2000).any(|window| window == encoder.as_bytes()) {
            println!("skipped: {} was made with another ffmpeg than {encoder}", case.name);
            continue;
        }
        let made = (case.make)().unwrap();
        if made.pcapng != file {
            // libopus chooses its arithmetic by the processor: the same release may encode other bytes elsewhere.
            let again = (case.make)().unwrap();
            assert!(again.pcapng == made.pcapng, "{} comes out differently each time", case.name);
            println!("{}: this processor's encoder makes other media than the committed file has", case.name);
        }
        for (extension, content) in made.companions {
            assert_eq!(content, std::fs::read_to_string(committed(case.name, extension)).unwrap());
        }
    }
}

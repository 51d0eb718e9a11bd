//! Makes the captures in `captures/`: `cargo run --example make_captures -- [OUT_DIR [NAME...]]`.
//!
//! Needs `ffmpeg` with libx264 and libopus. The same ffmpeg gives the same bytes: every other chance comes from
//! seeds. A capture is a module in `cases/`, built from: `net` (frames), `tcp` (conversations), `tls` (rustls
//! against rustls) with `site`, `websocket` and `http2`, `dtls`, `dns`, `stun` and `ice`, `sip`, `rtp` and `srtp` with `stream`, `media`
//! (ffmpeg), `zoom` (the format) and `zoom_media` (a meeting), `srtp_call` with `webex` and `teams`, `web`, and `pcapng`.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a generator run by developers on numbers of its own making: a broken assumption should stop it"
)]
mod cases;
#[cfg(test)]
mod check;
mod dns;
mod dtls;
mod http2;
mod ice;
mod mac;
mod media;
mod net;
mod pcapng;
mod rng;
mod rtp;
mod sip;
mod site;
mod splitmix;
mod srtp;
mod srtp_call;
mod stream;
mod stun;
mod tcp;
mod teams;
mod tls;
mod web;
mod webex;
mod websocket;
mod zoom;
mod zoom_media;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

fn main() -> Result<()> {
    let out = std::env::args_os().nth(1).map_or_else(default_dir, PathBuf::from);
    let only: Vec<String> = std::env::args().skip(2).collect();
    std::fs::create_dir_all(&out).with_context(|| format!("creating {}", out.display()))?;
    for case in cases::ALL.iter().filter(|case| only.is_empty() || only.iter().any(|name| name == case.name))
    {
        let capture = (case.make)().with_context(|| format!("making {}", case.name))?;
        save(&out, case.name, "pcapng", &capture.pcapng)?;
        for (extension, content) in &capture.companions {
            save(&out, case.name, extension, content.as_bytes())?;
        }
    }
    Ok(())
}

fn default_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures")
}

fn save(out: &Path, name: &str, extension: &str, content: &[u8]) -> Result<()> {
    let file = format!("{name}.{extension}");
    let path = out.join(&file);
    std::fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
    println!("{}  {file}  {} bytes", hex(&Sha256::digest(content)), content.len());
    Ok(())
}

/// Lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").unwrap();
        out
    })
}

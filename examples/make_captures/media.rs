//! Real encoded media from `ffmpeg`: H.264 access units and Opus packets of synthetic sources.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// Frames a second of every video here.
pub(crate) const FRAMES_PER_SECOND: u64 = 12;
/// Milliseconds of sound in one audio packet.
pub(crate) const AUDIO_PACKET_MS: u64 = 40;

/// One encoded picture with all its NAL units.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    /// NAL units in order, joined by four-byte start codes; the first one has none before it.
    pub(crate) bytes: Vec<u8>,
    /// Holds an IDR slice, with the parameter sets before it.
    pub(crate) key_frame: bool,
}

/// First line of `ffmpeg -version`, without the copyright.
pub(crate) fn encoder_version() -> Result<String> {
    let out = Command::new("ffmpeg").arg("-version").output().context(
        "running ffmpeg: the generator encodes its pictures and sound with it; install ffmpeg with libx264 and libopus",
    )?;
    let text = String::from_utf8_lossy(&out.stdout);
    let line = text.lines().next().unwrap_or_default();
    Ok(line.split(" Copyright").next().unwrap_or_default().to_owned())
}

/// Encodes a lavfi video source as baseline H.264 with a key frame every four seconds.
pub(crate) fn video(source: &str, seconds: u64, kilobits: u32) -> Result<Vec<Picture>> {
    let rate = format!("{kilobits}k");
    let every = (FRAMES_PER_SECOND * 4).to_string();
    let stream = ffmpeg(
        source,
        seconds,
        &[
            "-pix_fmt",
            "yuv420p",
            "-c:v",
            "libx264",
            "-profile:v",
            "baseline",
            "-preset",
            "medium",
            "-bf",
            "0",
            "-b:v",
            &rate,
            "-maxrate",
            &rate,
            "-bufsize",
            &rate,
            "-g",
            &every,
            "-keyint_min",
            &every,
            "-sc_threshold",
            "0",
            "-threads",
            "1",
            "-x264-params",
            "threads=1:lookahead-threads=1",
            // x264's own SEI would put its version and settings into the stream.
            "-bsf:v",
            "filter_units=remove_types=6",
            "-f",
            "h264",
        ],
    )?;
    let mut pictures = Vec::new();
    let mut parts: Vec<&[u8]> = Vec::new();
    for unit in nal_units(&stream) {
        parts.push(unit);
        let kind = unit[0] & 0x1f;
        if kind == 1 || kind == 5 {
            pictures.push(Picture { bytes: parts.join(&[0, 0, 0, 1][..]), key_frame: kind == 5 });
            parts.clear();
        }
    }
    ensure!(parts.is_empty(), "the H.264 stream of {source} ends without a slice");
    Ok(pictures)
}

/// Encodes a lavfi audio source as Opus, 40 ms a packet.
pub(crate) fn audio(source: &str, seconds: u64, kilobits: u32) -> Result<Vec<Vec<u8>>> {
    let stream = ffmpeg(
        source,
        seconds,
        &[
            "-ac",
            "1",
            "-ar",
            "16000",
            "-c:a",
            "libopus",
            "-b:a",
            &format!("{kilobits}k"),
            "-vbr",
            "on",
            "-application",
            "voip",
            "-frame_duration",
            "40",
            "-f",
            "ogg",
        ],
    )?;
    let packets = ogg_packets(&stream)?;
    ensure!(packets.len() > 2, "no Opus packets from {source}");
    // OpusHead and OpusTags come first.
    Ok(packets.into_iter().skip(2).collect())
}

/// Encodes a lavfi audio source as G.711 mu-law: 8000 bytes a second.
pub(crate) fn g711(source: &str, seconds: u64) -> Result<Vec<u8>> {
    ffmpeg(source, seconds, &["-ac", "1", "-ar", "8000", "-c:a", "pcm_mulaw", "-f", "mulaw"])
}

fn ffmpeg(source: &str, seconds: u64, encoding: &[&str]) -> Result<Vec<u8>> {
    let seconds = seconds.to_string();
    let out = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", source, "-t", &seconds])
        .args(["-fflags", "+bitexact", "-flags", "+bitexact", "-map_metadata", "-1"])
        .args(encoding)
        .arg("pipe:1")
        .stdin(Stdio::null())
        .output()
        .context("running ffmpeg")?;
    if !out.status.success() {
        bail!("ffmpeg could not encode {source}: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(out.stdout)
}

/// The NAL units of an Annex B stream.
fn nal_units(stream: &[u8]) -> Vec<&[u8]> {
    let mut starts = Vec::new();
    let mut at = 0;
    while at + 3 <= stream.len() {
        if stream[at..at + 3] == [0, 0, 1] {
            starts.push(at + 3);
            at += 3;
        } else {
            at += 1;
        }
    }
    let ends = starts.iter().skip(1).map(|start| start - 3).chain([stream.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| {
            let unit = &stream[*start..end];
            let zeros = unit.iter().rev().take_while(|byte| **byte == 0).count();
            &unit[..unit.len() - zeros]
        })
        .collect()
}

/// The packets of an Ogg stream (RFC 3533 §6): lacing values of 255 go on in the next segment.
fn ogg_packets(stream: &[u8]) -> Result<Vec<Vec<u8>>> {
    let (mut packets, mut open, mut rest) = (Vec::new(), Vec::new(), stream);
    while !rest.is_empty() {
        ensure!(rest.len() > 27 && rest.starts_with(b"OggS"), "ffmpeg's Ogg output is broken");
        let (lacing, mut body) = rest[27..].split_at(usize::from(rest[26]));
        for length in lacing {
            let (segment, after) = body.split_at(usize::from(*length));
            open.extend(segment);
            body = after;
            if *length < 255 {
                packets.push(std::mem::take(&mut open));
            }
        }
        rest = body;
    }
    Ok(packets)
}

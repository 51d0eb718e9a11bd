//! `meetscope verify`: does this key open this media? A verdict with its figures; keys and media are never written.

use std::io::{self, Write};

use serde::Serialize;

use meetscope::capture::{Merge, Order};
use meetscope::keys::verify::{
    Answer, DOES_NOT_PROVE, Hit, Material, Mode, Outcome, StreamAnswer, fits, verify,
};
use meetscope::observe::PacketRef;
use meetscope::pipeline::Pipeline;

use super::messages::say;
use super::progress::Progress;
use super::replay::Feed;
use super::{Status, config, folders, input};

/// Streams that are shown one by one.
const SHOWN: usize = 40;
/// Flows named that hide their media.
const NAMED: usize = 4;

/// Reads all files, tries the key on their media, and says what came of it. That directories hold none has been told.
pub(super) fn run(config: &config::Verify) -> anyhow::Result<Status> {
    let files = folders::captures(&config.files, &[])?;
    if files.is_empty() {
        return Ok(Status::Failed);
    }
    let mut merge = Merge::within(files, Order::Time, input::memory());
    let mut feed = Feed::new(Pipeline::new(&config.pipeline, &config.rules), merge.files());
    let mut progress = Progress::new(&merge);
    while let Some((file, packet)) = merge.next() {
        feed.packet(file, &packet);
        if let Some(progress) = &mut progress {
            progress.packet(&merge);
        }
    }
    if let Some(mut progress) = progress {
        progress.clear();
    }
    // Tells of files that could not be read to their end.
    let files: Vec<String> = input::records(&merge).into_iter().map(|file| file.name).collect();
    for error in feed.refused.values() {
        say(format_args!("{error}; packets of this link type are left out"));
    }
    let flows = feed.pipeline.finish();
    let answer = verify(&flows.flows, &config.material);
    let shown = Shown { answer: &answer, material: &config.material, many: files.len() > 1 };
    let mut out = io::stdout().lock();
    if config.json {
        meetscope::report::write_json_pretty(&mut out, &shown.record(files))?;
        writeln!(out)?;
    } else {
        shown.text(&mut out)?;
    }
    out.flush()?;
    Ok(if answer.is_verified() { Status::Done } else { Status::Failed })
}

struct Shown<'a> {
    answer: &'a Answer,
    material: &'a Material,
    many: bool,
}

#[derive(Serialize)]
struct Record<'a> {
    verified: bool,
    files: Vec<String>,
    key_read_as: Vec<&'a str>,
    tried: Vec<String>,
    flows: u64,
    streams: Vec<StreamRecord<'a>>,
    hidden_flows: Vec<HiddenRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    does_not_prove: Vec<&'static str>,
}

#[derive(Serialize)]
struct HiddenRecord {
    source: String,
    destination: String,
    packets: u64,
}

#[derive(Serialize)]
struct StreamRecord<'a> {
    source: String,
    destination: String,
    ssrc: u32,
    kind: Option<meetscope::observe::facts::MediaKind>,
    wrapping: meetscope::observe::facts::Wrapping,
    first_packet: String,
    packets: u32,
    units: u32,
    packets_left_out: u32,
    packets_cut: u32,
    packets_incomplete: u32,
    verified: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    not_encrypted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cipher: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_read_as: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    units_verified: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    units_tried: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    units_silent: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log10_false_accept: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<PartRecord<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tries: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_tried: Option<&'static str>,
}

#[derive(Serialize)]
struct PartRecord<'a> {
    what: &'a str,
    log10: f64,
}

impl Shown<'_> {
    fn record(&self, files: Vec<String>) -> Record<'_> {
        let answer = self.answer;
        let verified = answer.is_verified();
        Record {
            verified,
            files,
            key_read_as: self.material.keys.iter().map(|key| key.how.as_str()).collect(),
            tried: if self.missing().is_some() { Vec::new() } else { self.tried() },
            flows: answer.flows,
            streams: answer.streams.iter().map(|stream| self.stream_record(stream)).collect(),
            hidden_flows: answer
                .hidden
                .iter()
                .map(|(source, destination, packets)| HiddenRecord {
                    source: source.to_string(),
                    destination: destination.to_string(),
                    packets: *packets,
                })
                .collect(),
            missing: self.missing(),
            does_not_prove: if verified || answer.is_plain() { Vec::new() } else { DOES_NOT_PROVE.to_vec() },
        }
    }

    fn stream_record<'s>(&'s self, stream: &'s StreamAnswer) -> StreamRecord<'s> {
        let hit = hit(stream);
        StreamRecord {
            source: stream.source.to_string(),
            destination: stream.destination.to_string(),
            ssrc: stream.ssrc,
            kind: stream.kind,
            wrapping: stream.wrapping,
            first_packet: self.packet(stream.packet),
            packets: stream.packets,
            units: stream.units,
            packets_left_out: stream.left_out,
            packets_cut: stream.cut,
            packets_incomplete: stream.incomplete,
            verified: hit.is_some(),
            not_encrypted: stream.is_plain,
            cipher: hit.map(|hit| hit.cipher.as_str()),
            key_read_as: hit.and_then(|hit| self.how(hit)),
            nonce: hit.and_then(|hit| hit.nonce),
            units_verified: hit.map(|hit| hit.opened),
            units_tried: hit.map(|hit| hit.of),
            units_silent: hit.map(|hit| hit.silent),
            log10_false_accept: hit.map(|hit| tenth(hit.log10_bound)),
            parts: hit
                .iter()
                .flat_map(|hit| &hit.parts)
                .map(|part| PartRecord { what: &part.what, log10: tenth(part.log10) })
                .collect(),
            tries: match stream.outcome {
                Outcome::NotVerified { tries } => Some(tries),
                Outcome::Verified(_) | Outcome::NothingToTry(_) => None,
            },
            not_tried: match stream.outcome {
                Outcome::NothingToTry(reason) => Some(reason.words()),
                Outcome::Verified(_) | Outcome::NotVerified { .. } => None,
            },
        }
    }

    fn how(&self, hit: &Hit) -> Option<&str> {
        self.material.keys.get(hit.key).map(|key| key.how.as_str())
    }

    fn packet(&self, packet: PacketRef) -> String {
        if self.many {
            format!("packet {} of file {}", packet.frame(), packet.file())
        } else {
            format!("packet {}", packet.frame())
        }
    }

    fn text(&self, out: &mut impl Write) -> io::Result<()> {
        let answer = self.answer;
        let opened = answer.hits().count();
        let streams = answer.streams.len();
        if opened > 0 {
            writeln!(out, "VERIFIED: the key opens {opened} of {streams} RTP streams")?;
        } else {
            writeln!(out, "NOT VERIFIED: the key opens none of {streams} RTP streams")?;
        }
        if let Some(missing) = self.missing() {
            writeln!(out, "  {missing}")?;
            writeln!(out, "  the key was read: {}", self.keys())?;
        } else {
            writeln!(out, "  tried:")?;
            for line in self.tried() {
                writeln!(out, "    {line}")?;
            }
        }
        for stream in answer.streams.iter().take(SHOWN) {
            self.stream(out, stream)?;
        }
        if streams > SHOWN {
            writeln!(
                out,
                "\nand {} more streams; --format json has them all",
                streams.saturating_sub(SHOWN)
            )?;
        }
        if answer.is_plain() {
            writeln!(out, "\nThis media is not encrypted at all: there is nothing for a key to open.")?;
        } else if opened == 0 {
            writeln!(out, "\nWhat this does not prove: the key may still belong to this meeting.")?;
            for line in DOES_NOT_PROVE {
                writeln!(out, "  - {line}")?;
            }
        }
        Ok(())
    }

    fn stream(&self, out: &mut impl Write, stream: &StreamAnswer) -> io::Result<()> {
        let kind = stream.kind.map_or("unknown", kind_word);
        writeln!(
            out,
            "\n{} -> {}  SSRC {:#010x}  {kind}, {} RTP packets from {}",
            stream.source,
            stream.destination,
            stream.ssrc,
            stream.packets,
            self.packet(stream.packet)
        )?;
        match &stream.outcome {
            Outcome::Verified(hit) => {
                let how = self.how(hit).unwrap_or("given");
                writeln!(out, "  verified on {} of {} units: {}", hit.opened, hit.of, hit.cipher)?;
                if hit.silent > 0 {
                    writeln!(out, "  {} more units have no padding and tell nothing", hit.silent)?;
                }
                writeln!(out, "  key read as {how}")?;
                if let Some(nonce) = hit.nonce {
                    writeln!(out, "  with nonce number {}", nonce.saturating_add(1))?;
                }
                writeln!(out, "  a wrong key does so with a chance below 10^{:.0}:", hit.log10_bound.ceil())?;
                for part in &hit.parts {
                    writeln!(out, "    10^{:.1}  {}", part.log10, part.what)?;
                }
            }
            Outcome::NotVerified { tries } => {
                writeln!(out, "  not verified on any of {} units, in {tries} tries", stream.units)?;
            }
            Outcome::NothingToTry(reason) => writeln!(out, "  not tried: {}", reason.words())?,
        }
        if stream.is_plain {
            writeln!(out, "  its payload is not encrypted at all")?;
        }
        let beside = [
            (stream.left_out, "packets beyond the cap were left out"),
            (stream.cut, "packets were cut by a snap length and left out"),
            (stream.incomplete, "packets are of units that are not whole, or of another layout"),
        ];
        for (count, words) in beside.iter().filter(|(count, _)| *count > 0) {
            writeln!(out, "  {count} {words}")?;
        }
        Ok(())
    }

    /// Why there was nothing to try the key on, where that is so.
    fn missing(&self) -> Option<String> {
        let answer = self.answer;
        if answer.streams.iter().any(|stream| !matches!(stream.outcome, Outcome::NothingToTry(_))) {
            return None;
        }
        if !answer.streams.is_empty() {
            return Some("nothing was tried: of no stream can anything be tried; see each stream".to_owned());
        }
        if answer.flows == 0 {
            return Some("nothing was tried: no flow could be read".to_owned());
        }
        if answer.hidden.is_empty() {
            return Some(format!("nothing was tried: no RTP stream was found in {} flows", answer.flows));
        }
        let named: Vec<String> = answer
            .hidden
            .iter()
            .take(NAMED)
            .map(|(source, destination, packets)| format!("{source} and {destination} ({packets} packets)"))
            .collect();
        let more = answer.hidden.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        Some(format!(
            "nothing was tried: no RTP header is visible; media may flow in a framing that is not known, between {}{more}",
            named.join(", ")
        ))
    }

    /// Lengths of the keys, and how each was read.
    fn keys(&self) -> String {
        let keys = self.material.keys.iter();
        keys.map(|key| format!("{} bytes as {}", key.bytes.len(), key.how)).collect::<Vec<_>>().join(", ")
    }

    fn tried(&self) -> Vec<String> {
        let mut tried = vec![format!("key of {}", self.keys())];
        let keys = &self.material.keys;
        let wants = |mode| {
            let asked = self.material.effort.mode.is_none_or(|only| only == mode);
            asked && keys.iter().any(|key| fits(key, mode, !self.material.salts.is_empty()))
        };
        if [Mode::Ecb, Mode::Cbc].into_iter().any(wants) {
            tried.push("AES-ECB and AES-CBC with zero and PKCS #7 padding on Zoom's framing".to_owned());
        }
        if wants(Mode::Ctr) {
            tried.push("AES-CTR with the nonce of each unit, the counter from 0, 1 and 2".to_owned());
        }
        if wants(Mode::Gcm) {
            let nonces = self.material.nonces.len();
            tried.push(match nonces {
                0 => "AES-GCM as stream key; not as meeting key, which takes a --nonce".to_owned(),
                _ => format!("AES-GCM as stream key, and as meeting key with {nonces} nonces"),
            });
        }
        if wants(Mode::Srtp) {
            tried.push("SRTP (AES-CM and AES-GCM, rollover counters 0 to 255)".to_owned());
        }
        if wants(Mode::Sframe) {
            tried.push("SFrame of RFC 9605".to_owned());
        }
        tried
    }
}

const fn hit(stream: &StreamAnswer) -> Option<&Hit> {
    match &stream.outcome {
        Outcome::Verified(hit) => Some(hit),
        Outcome::NotVerified { .. } | Outcome::NothingToTry(_) => None,
    }
}

fn kind_word(kind: meetscope::observe::facts::MediaKind) -> &'static str {
    use meetscope::observe::facts::MediaKind;
    match kind {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
        MediaKind::Screen => "screen share",
        MediaKind::Fec => "FEC",
        MediaKind::Rtx => "retransmission",
        _ => "unknown",
    }
}

fn tenth(figure: f64) -> f64 {
    (figure * 10.0).round() / 10.0
}

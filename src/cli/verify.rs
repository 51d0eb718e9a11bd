//! `meetscope verify`: does this key open this media? A verdict with its figures; keys and media are never written.

use std::io::{self, Write};

use serde::Serialize;

use meetscope::capture::{Merge, Order};
use meetscope::keys::verify::{
    Answer, DOES_NOT_PROVE, Hit, Material, Mode, Outcome, StreamAnswer, fits, verify,
};
use meetscope::observe::PacketRef;
use meetscope::observe::facts::{MediaKind, Wrapping};
use meetscope::pipeline::Pipeline;
use meetscope::report::record::FileRecord;
use meetscope::report::visible;

use super::messages::say;
use super::progress::Progress;
use super::replay::Feed;
use super::{Status, config, folders, input};

/// Streams that are shown one by one.
const SHOWN: usize = 40;
/// Flows named that hide their media, and inputs that could not be read to their end.
const NAMED: usize = 4;

const NO_SALT: &str = "it may be a master key of SRTP whose master salt was not given";

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
    let files = input::records(&merge);
    let mut faults: Vec<String> =
        files.iter().filter_map(|file| Some(format!("{}: {}", file.name, file.error.as_ref()?))).collect();
    for error in feed.refused.values() {
        let fault = format!("{error}; packets of this link type are left out");
        say(format_args!("{fault}"));
        faults.push(fault);
    }
    let seen = feed.left_out.seen;
    let flows = feed.pipeline.finish();
    let is_unread = seen.saturating_add(flows.counts.seen) == 0 && !faults.is_empty();
    let answer = verify(&flows.flows, &config.material);
    let shown = Shown { answer: &answer, material: &config.material, files: &files, faults, is_unread };
    let mut out = io::stdout().lock();
    if config.json {
        meetscope::report::write_json_pretty(&mut out, &shown.record())?;
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
    files: &'a [FileRecord],
    /// Why not all could be read.
    faults: Vec<String>,
    /// There was not a single packet, for one of these faults.
    is_unread: bool,
}

#[derive(Serialize)]
struct Record<'a> {
    verified: bool,
    files: Vec<&'a str>,
    /// False when an input ended before its time.
    complete: bool,
    /// Why.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    incomplete: &'a [String],
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
    kind: Option<MediaKind>,
    wrapping: Wrapping,
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
    fn record(&self) -> Record<'_> {
        let answer = self.answer;
        let verified = answer.is_verified();
        let is_told = verified || answer.is_plain() || self.is_unread;
        Record {
            verified,
            files: self.files.iter().map(|file| file.name.as_str()).collect(),
            complete: self.faults.is_empty(),
            incomplete: &self.faults,
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
            does_not_prove: if is_told { Vec::new() } else { self.does_not_prove() },
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
        let file = usize::try_from(packet.file()).ok().and_then(|file| self.files.get(file));
        match file {
            Some(file) if self.files.len() > 1 => format!("packet {} of {}", packet.frame(), file.name),
            _ => format!("packet {}", packet.frame()),
        }
    }

    /// The verdict, on what, and what is missing of that.
    fn head(&self, out: &mut impl Write) -> io::Result<()> {
        let (opened, streams) = (self.answer.hits().count(), self.answer.streams.len());
        let whence = match self.files {
            [file] => visible(&file.name).into_owned(),
            files => format!("{} files", files.len()),
        };
        if self.is_unread {
            writeln!(out, "NOT VERIFIED: nothing could be read of {whence}")?;
        } else if opened > 0 {
            writeln!(out, "VERIFIED: the key opens {opened} of {streams} RTP streams in {whence}")?;
        } else {
            writeln!(out, "NOT VERIFIED: the key opens none of {streams} RTP streams in {whence}")?;
        }
        for fault in self.faults.iter().take(NAMED) {
            writeln!(out, "INCOMPLETE: {}", visible(fault))?;
        }
        let more = self.faults.len().saturating_sub(NAMED);
        if more > 0 {
            writeln!(out, "INCOMPLETE: and {more} more; --format json has them all")?;
        }
        Ok(())
    }

    fn text(&self, out: &mut impl Write) -> io::Result<()> {
        let answer = self.answer;
        let streams = answer.streams.len();
        self.head(out)?;
        if let Some(missing) = self.missing() {
            writeln!(out, "  {missing}")?;
            writeln!(out, "  the key was read: {}", self.keys())?;
        } else {
            writeln!(out, "  tried:")?;
            for line in self.tried() {
                writeln!(out, "    {line}")?;
            }
        }
        // What the key opens comes first.
        let (open, closed): (Vec<_>, Vec<_>) = answer.streams.iter().partition(|one| hit(one).is_some());
        for stream in open.into_iter().chain(closed).take(SHOWN) {
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
        } else if !answer.is_verified() && !self.is_unread {
            writeln!(out, "\nWhat this does not prove: the key may still belong to this meeting.")?;
            for line in self.does_not_prove() {
                writeln!(out, "  - {line}")?;
            }
        }
        Ok(())
    }

    fn stream(&self, out: &mut impl Write, stream: &StreamAnswer) -> io::Result<()> {
        let kind = stream.kind.map_or("unknown", kind_word);
        writeln!(
            out,
            "\n{} -> {}  SSRC {:#010x}  {kind}, {} from {}",
            stream.source,
            stream.destination,
            stream.ssrc,
            counted(stream.packets, "RTP packet", "RTP packets"),
            visible(&self.packet(stream.packet))
        )?;
        match &stream.outcome {
            Outcome::Verified(hit) => {
                let how = self.how(hit).unwrap_or("given");
                writeln!(out, "  verified on {} of {} units: {}", hit.opened, hit.of, hit.cipher)?;
                if hit.silent > 0 {
                    let more = counted(hit.silent, "more unit has", "more units have");
                    writeln!(out, "  {more} no padding and tell nothing")?;
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
                let (units, tries) =
                    (counted(stream.units, "unit", "units"), counted(*tries, "try", "tries"));
                writeln!(out, "  not verified on any of {units}, in {tries}")?;
            }
            Outcome::NothingToTry(reason) => writeln!(out, "  not tried: {}", reason.words())?,
        }
        if stream.is_plain {
            writeln!(out, "  its payload is not encrypted at all")?;
        }
        let beside = [
            (stream.left_out, "was", "were", "left out beyond the cap"),
            (stream.cut, "was", "were", "cut by a snap length and left out"),
            (stream.incomplete, "is", "are", "of units that are not whole, or of another layout"),
        ];
        for (count, one, many, words) in beside.into_iter().filter(|(count, ..)| *count > 0) {
            let packets = counted(count, "packet", "packets");
            writeln!(out, "  {packets} {} {words}", if count == 1 { one } else { many })?;
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
        if self.is_unread {
            return Some("nothing was tried: nothing could be read".to_owned());
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

    /// A key would be tried on SRTP, had it a master salt.
    fn lacks_salt(&self) -> bool {
        let Material { keys, salts, effort, .. } = self.material;
        let lacks = |key| fits(key, Mode::Srtp, true) && !fits(key, Mode::Srtp, !salts.is_empty());
        let is_srtp = |stream: &StreamAnswer| stream.wrapping != Wrapping::Zoom;
        effort.mode.is_none() && keys.iter().any(lacks) && self.answer.streams.iter().any(is_srtp)
    }

    /// Why the key may be right all the same.
    fn does_not_prove(&self) -> Vec<&'static str> {
        self.lacks_salt().then_some(NO_SALT).into_iter().chain(DOES_NOT_PROVE).collect()
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
        if self.lacks_salt() {
            tried.push("SRTP was not tried: no master salt (--salt)".to_owned());
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

fn counted(count: u32, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn kind_word(kind: MediaKind) -> &'static str {
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

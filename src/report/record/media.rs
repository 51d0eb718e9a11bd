//! What flow and session records say of media: streams, speech, round trips.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{CipherRecord, PacketNumber};
use crate::observe::facts::{KindSource, MediaKind, Wrapping};
use crate::session::speech::RttSource;

/// One RTP stream.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RtpRecord {
    /// SSRC, hex.
    pub ssrc: String,
    /// `to_server` or `to_client`.
    pub direction: &'static str,
    /// Payload types with their packets.
    pub payload_types: BTreeMap<u8, u64>,
    /// Audio, video, screen, FEC or RTX, where it can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<MediaKind>,
    /// How the kind is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind_source: Option<KindSource>,
    /// SSRC of the stream that this one repairs (RTX or FEC), hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repairs: Option<String>,
    /// How it was wrapped.
    pub wrapping: Wrapping,
    /// Extension profile, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extension_profile: Option<String>,
    /// Packets, those seen twice included.
    pub packets: u64,
    /// Packets that the sequence numbers announce.
    pub expected: u64,
    /// RTP bytes with headers.
    pub bytes: u64,
    /// Mean bit rate over its life, in kbit/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bitrate_kbps: Option<f64>,
    /// Expected minus received.
    pub lost: u64,
    /// Lost of expected, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_percent: Option<f64>,
    /// How losses lie together; left out when nothing was lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub losses: Option<LossRecord>,
    /// Seen twice.
    pub duplicates: u64,
    /// Seen after a later one.
    pub reordered: u64,
    /// Interarrival jitter by RFC 3550, mean, in milliseconds; of speech without the packets that begin a talk spurt. Left out
    /// when the clock rate is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter_ms: Option<f64>,
    /// Jitter from frame to frame as WebRTC's statistics have it, mean, in milliseconds; for video.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame_jitter_ms: Option<f64>,
    /// Jitter by RFC 3550 at the last packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter_last_ms: Option<f64>,
    /// The highest value of what `jitter_ms` is the mean of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter_max_ms: Option<f64>,
    /// Clock rate used, in Hz.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_hz: Option<u32>,
    /// Complete frames, for video.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<u32>,
    /// Complete frames a second, for video.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
    /// Stillness of the picture, for video; left out when there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frozen: Option<FrozenRecord>,
    /// How loud the sender says that it is, for audio with a clear level extension.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio_level: Option<AudioLevelRecord>,
    /// What its ciphertext shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cipher: Option<Box<CipherRecord>>,
    /// Speech quality, for audio.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mos: Option<MosRecord>,
    /// The stream over time; left out for streams shorter than two bins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<SeriesRecord>,
    /// First packet.
    pub first_packet: PacketNumber,
}

/// How losses lie together, in the terms of RFC 3611 section 4.7.2.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LossRecord {
    /// Unbroken rows of lost packets.
    pub runs: u32,
    /// Packets in the longest of them.
    pub longest_run: u32,
    /// Bursts: lost packets with fewer than 16 between them.
    pub bursts: u32,
    /// Packets of a burst, on average.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst_packets: Option<f64>,
    /// Lost of the packets within bursts, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst_loss_percent: Option<f64>,
    /// Lost of the packets outside of bursts, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap_loss_percent: Option<f64>,
    /// Mean length of a row over what chance would make it (ITU-T G.107).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst_ratio: Option<f64>,
}

/// Stillness of a picture as it arrived, by the rule of webrtc-stats `freezeCount`.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FrozenRecord {
    /// How often.
    pub count: u32,
    /// How long in all, in milliseconds.
    pub total_ms: f64,
    /// The longest, in milliseconds.
    pub longest_ms: f64,
}

/// Audio level (RFC 6464).
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AudioLevelRecord {
    /// Number of the header extension.
    pub extension_id: u8,
    /// Packets with a level.
    pub packets: u32,
    /// Share of packets in which the sender heard a voice, in percent.
    pub voice_percent: f64,
    /// Mean level while it did, in dBov.
    pub mean_dbov: f64,
    /// Highest level, in dBov.
    pub loudest_dbov: f64,
}

/// Speech quality by the E-model.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MosRecord {
    /// MOS-CQE, 1 to 4.5; null with the reason in `missing`.
    pub value: Option<f64>,
    /// Rating factor R, 0 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r: Option<f64>,
    /// The formula.
    pub formula: &'static str,
    /// Why there is no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<&'static str>,
    /// What the formula was fed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs: Option<MosInputs>,
}

/// What the E-model was fed with; its other parameters stand at their defaults.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MosInputs {
    /// Ppl, measured here.
    pub loss_percent: f64,
    /// `BurstR`, measured here.
    pub burst_ratio: f64,
    /// One-way delay: half the round trip plus the jitter buffer, in milliseconds.
    pub delay_ms: f64,
    /// Round trip, in milliseconds; left out when none was measured, and the value is then an upper bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<f64>,
    /// How the round trip was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_source: Option<RttSource>,
    /// The jitter buffer: twice the mean jitter, in milliseconds.
    pub jitter_buffer_ms: f64,
    /// Codec.
    pub codec: &'static str,
    /// Equipment impairment factor Ie.
    pub ie: f64,
    /// Packet-loss robustness factor Bpl.
    pub bpl: f64,
    /// Where both come from.
    pub codec_source: &'static str,
}

/// A stream over time: equal rows, one entry a bin.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SeriesRecord {
    /// When the first bin begins.
    pub start: String,
    /// Length of a bin, in seconds; the first begins with the stream's first packet.
    pub interval_s: u64,
    /// Packets.
    pub packets: Vec<u32>,
    /// Packets lost.
    pub lost: Vec<u32>,
    /// Bit rate, in kbit/s.
    pub kbps: Vec<f64>,
    /// Jitter at the end of the bin, in milliseconds: by RFC 3550, of video from frame to frame; null where it is not known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub jitter_ms: Vec<Option<f64>>,
    /// Frames a second, for video.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fps: Vec<f64>,
    /// Speech quality, for audio; null where nothing was expected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mos: Vec<Option<f64>>,
}

/// Round trips by who asked: each half is the way from the capture point to the other end and back.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RttRecord {
    /// Asked by the originator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_server: Option<RttHalf>,
    /// Asked by the responder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_client: Option<RttHalf>,
}

/// One half of a round trip.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RttHalf {
    /// Answers.
    pub count: u32,
    /// Median, in milliseconds.
    pub median_ms: f64,
    /// Mean, in milliseconds.
    pub mean_ms: f64,
    /// Shortest, in milliseconds.
    pub min_ms: f64,
    /// Longest, in milliseconds.
    pub max_ms: f64,
}

/// What sizes and times alone say of media whose RTP headers are hidden: estimates, no measurements.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EstimateRecord {
    /// The published method.
    pub method: &'static str,
    /// From the originator of a flow, or the endpoint of a session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<EstimateWay>,
    /// To it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received: Option<EstimateWay>,
}

/// One way of it.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EstimateWay {
    /// Payloads; the first of a flow are not counted.
    pub packets: u32,
    /// Mean bit rate of payloads, in kbit/s.
    pub bitrate_kbps: f64,
    /// Video frames a second; left out when nothing looks like video.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
}

/// RTCP of a flow.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RtcpRecord {
    /// Packets; each part of a compound counts.
    pub packets: u32,
    /// Of these, in the clear.
    pub clear: u32,
    /// By packet type.
    pub types: BTreeMap<String, u32>,
    /// CNAMEs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cnames: Vec<String>,
    /// What receivers said last of each source.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reported: Vec<ReportedRecord>,
    /// Median round trip of sender reports, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<f64>,
    /// The same by who asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt: Option<RttRecord>,
}

/// What a receiver said last of a source.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReportedRecord {
    /// The source, hex.
    pub ssrc: String,
    /// Report blocks seen.
    pub reports: u32,
    /// Packets lost so far.
    pub lost: i32,
    /// Highest sequence number received, cycles in the upper half.
    pub extended_highest: u32,
    /// Jitter in units of the media clock.
    pub jitter: u32,
    /// Packet of the latest report.
    pub packet: PacketNumber,
}

/// What the capture lost while a session ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CaptureLossRecord {
    /// Packets lost by the kernel, the interfaces or this program, of all that was captured, not of this session alone; at most so
    /// many, where losses are known by the second only.
    pub packets: u64,
    /// Stretches of time in which they were lost.
    pub spans: u64,
    /// Begin of the first.
    pub first: String,
    /// End of the last.
    pub last: String,
}

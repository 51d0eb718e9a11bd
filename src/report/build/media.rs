//! Media streams, speech and round trips as records.

use std::collections::BTreeMap;

use super::super::record::{
    AudioLevelRecord, EstimateRecord, EstimateWay, FrozenRecord, LossRecord, MosInputs, MosRecord,
    ReportedRecord, RtcpRecord, RtpRecord, RttHalf, RttRecord, SeriesRecord,
};
use super::super::time;
use super::{Context, centi, cipher, milli};
use crate::flow::Direction;
use crate::observe::facts::{Media, MediaKind, PaceWay, RoundTrip, RoundTrips, RtpStream};
use crate::proto::rtcp::PacketType;
use crate::proto::rtp::frames::Frames;
use crate::proto::rtp::level::AudioLevel;
use crate::proto::rtp::runs::Losses;
use crate::proto::rtp::series::Bin;
use crate::session::Judged;
use crate::session::emodel::{self, Inputs};
use crate::session::speech::{self, Rtt, Speech, Unrated};

/// The formula, as reports name it.
const FORMULA: &str =
    "ITU-T G.107 (06/2015) narrow-band E-model, MOS-CQE; parameters that are not named stand at its defaults";

/// The method of estimates, as reports name it.
const METHOD: &str = "IP/UDP heuristic of Sharma et al., ACM IMC 2023: payloads of 450 bytes or more are video, \
    and those within 2 bytes of one of the latest two belong to its frame";
/// Payloads below which nothing is estimated.
const ESTIMATE_NEEDS: u32 = 50;

/// All streams of a flow.
pub(super) fn streams(context: &Context<'_>, judged: &Judged) -> Vec<RtpRecord> {
    let facts = judged.flow.facts.as_deref();
    let Some(media) = facts.and_then(|facts| facts.media.as_ref()) else { return Vec::new() };
    let rtt = speech::round_trip(judged);
    let is_clear = judged.verdict.announced_clear;
    let record = |stream: &RtpStream| RtpRecord {
        cipher: cipher::stream(context, stream, is_clear).map(Box::new),
        ..rtp(context, stream, rtt)
    };
    media.streams.iter().map(record).collect()
}

fn rtp(context: &Context<'_>, stream: &RtpStream, rtt: Option<Rtt>) -> RtpRecord {
    let stats = &stream.stats;
    let expected = stats.expected();
    let is_audio = stream.kind == Some(MediaKind::Audio);
    let frames = stream.frames.filter(|_| matches!(stream.kind, Some(MediaKind::Video | MediaKind::Screen)));
    let speech = is_audio.then(|| speech::speech(std::iter::once(stream), 0, rtt));
    let seconds = stream.last.since(stream.start).as_secs_f64();
    RtpRecord {
        ssrc: ssrc(stream.ssrc),
        direction: match stream.direction {
            Direction::Forward => "to_server",
            Direction::Reverse => "to_client",
        },
        payload_types: stream.payload_types.iter().copied().collect(),
        kind: stream.kind,
        kind_source: stream.kind_source,
        repairs: stream.repairs.map(ssrc),
        wrapping: stream.wrapping,
        extension_profile: stream.extension_profile.map(|profile| format!("{profile:#06x}")),
        packets: stats.packets().into(),
        expected: expected.into(),
        bytes: stats.bytes(),
        bitrate_kbps: rate(stats.bytes(), seconds),
        lost: stats.lost().into(),
        loss_percent: (expected > 0).then(|| centi(100.0 * f64::from(stats.lost()) / f64::from(expected))),
        losses: (stats.lost() > 0).then(|| losses(&stream.losses)),
        duplicates: stats.duplicates().into(),
        reordered: stats.reordered().into(),
        jitter_ms: stream.jitter_mean_ms.map(milli),
        frame_jitter_ms: stream.frame_jitter_ms.map(milli),
        jitter_last_ms: stats.jitter_ms().map(|jitter| milli(jitter.into())),
        jitter_max_ms: stream.jitter_max_ms.map(milli),
        clock_hz: stats.clock_hz(),
        frames: frames.map(|frames| frames.complete()),
        fps: frames.and_then(|frames| frames.per_second()).map(centi),
        frozen: frames.as_ref().and_then(frozen),
        audio_level: stream.level.as_ref().map(level),
        cipher: None,
        mos: speech.as_ref().map(mos),
        series: series(stream, speech.and_then(Result::ok), frames.is_some()),
        first_packet: context.packet(stream.packet),
    }
}

pub(super) fn ssrc(number: u32) -> String {
    format!("{number:#010x}")
}

#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(bytes: u64, seconds: f64) -> Option<f64> {
    (seconds > 0.1).then(|| centi(bytes as f64 * 8.0 / 1000.0 / seconds))
}

fn losses(losses: &Losses) -> LossRecord {
    LossRecord {
        runs: losses.runs,
        longest_run: losses.longest_run,
        bursts: losses.bursts,
        burst_packets: losses.mean_burst_packets().map(centi),
        burst_loss_percent: losses.burst_loss_percent().map(centi),
        gap_loss_percent: losses.gap_loss_percent().map(centi),
        burst_ratio: losses.burst_ratio().map(milli),
    }
}

fn frozen(frames: &Frames) -> Option<FrozenRecord> {
    (frames.freezes() > 0).then(|| FrozenRecord {
        count: frames.freezes(),
        total_ms: milli(frames.frozen().as_secs_f64() * 1000.0),
        longest_ms: milli(frames.longest_freeze().as_secs_f64() * 1000.0),
    })
}

fn level(level: &AudioLevel) -> AudioLevelRecord {
    AudioLevelRecord {
        extension_id: level.id,
        packets: level.packets,
        voice_percent: centi(level.voice_percent),
        mean_dbov: centi(level.mean_dbov),
        loudest_dbov: level.loudest_dbov,
    }
}

/// Speech, or why there is no figure.
pub(super) fn mos(speech: &Result<Speech, Unrated>) -> MosRecord {
    match speech {
        Err(reason) => {
            MosRecord { value: None, r: None, formula: FORMULA, missing: Some(reason.why()), inputs: None }
        }
        Ok(speech) => MosRecord {
            value: Some(centi(speech.rating.mos)),
            r: Some(centi(speech.rating.r)),
            formula: FORMULA,
            missing: None,
            inputs: Some(inputs(speech)),
        },
    }
}

fn inputs(speech: &Speech) -> MosInputs {
    let Inputs { loss_percent, burst_ratio, delay_ms, impairment } = speech.inputs;
    MosInputs {
        loss_percent: milli(loss_percent),
        burst_ratio: milli(burst_ratio),
        delay_ms: centi(delay_ms),
        rtt_ms: speech.rtt.map(|rtt| milli(rtt.ms)),
        rtt_source: speech.rtt.map(|rtt| rtt.source),
        jitter_buffer_ms: centi(speech.jitter_buffer_ms),
        codec: impairment.codec,
        ie: impairment.ie,
        bpl: impairment.bpl,
        codec_source: impairment.source,
    }
}

fn series(stream: &RtpStream, speech: Option<Speech>, has_frames: bool) -> Option<SeriesRecord> {
    let bins: Vec<Bin> = stream.series.bins().collect();
    if bins.len() < 2 {
        return None;
    }
    let seconds = stream.series.interval().as_secs_f64();
    let jitter_ms = bins.iter().map(|bin| bin.jitter_ms.map(|jitter| milli(jitter.into())));
    Some(SeriesRecord {
        start: time::eve(stream.start),
        interval_s: stream.series.interval().as_secs(),
        packets: bins.iter().map(|bin| bin.packets).collect(),
        lost: bins.iter().map(|bin| bin.lost).collect(),
        kbps: bins.iter().map(|bin| rate(bin.bytes, seconds).unwrap_or(0.0)).collect(),
        jitter_ms: if stream.stats.jitter_ms().is_some() { jitter_ms.collect() } else { Vec::new() },
        fps: if has_frames {
            bins.iter().map(|bin| centi(f64::from(bin.frames) / seconds)).collect()
        } else {
            Vec::new()
        },
        mos: speech.map_or_else(Vec::new, |speech| {
            bins.iter().map(|bin| bin.loss_percent().map(|loss| mos_at(&speech, loss))).collect()
        }),
    })
}

/// The rating of one bin: its own loss, and what else the whole stream showed.
pub(super) fn mos_at(speech: &Speech, loss_percent: f64) -> f64 {
    centi(emodel::rate(&Inputs { loss_percent, ..speech.inputs }).mos)
}

/// Round trips, where there are any.
pub(super) fn rtt(ways: &RoundTrips) -> Option<RttRecord> {
    let (to_server, to_client) = (half(&ways.forward), half(&ways.reverse));
    (to_server.is_some() || to_client.is_some()).then_some(RttRecord { to_server, to_client })
}

fn half(way: &RoundTrip) -> Option<RttHalf> {
    Some(RttHalf {
        count: way.count,
        median_ms: milli(way.median_ms()?),
        mean_ms: milli(way.mean_ms()?),
        min_ms: milli(way.min_ms()?),
        max_ms: milli(way.max_ms()?),
    })
}

/// RTCP of a flow.
pub(super) fn rtcp(context: &Context<'_>, media: &Media) -> Option<RtcpRecord> {
    let types: BTreeMap<String, u32> =
        media.rtcp.iter().map(|(kind, count)| (PacketType(*kind).to_string(), *count)).collect();
    let reported = media.reported.iter().map(|said| ReportedRecord {
        ssrc: ssrc(said.ssrc),
        reports: said.reports,
        lost: said.cumulative_lost,
        extended_highest: said.extended_highest,
        jitter: said.jitter,
        packet: context.packet(said.packet),
    });
    (media.rtcp_packets > 0).then(|| RtcpRecord {
        packets: media.rtcp_packets,
        clear: media.rtcp_clear,
        types,
        cnames: media.cnames.clone(),
        reported: reported.collect(),
        rtt_ms: media.rtt.typical_ms().map(milli),
        rtt: rtt(&media.rtt),
    })
}

/// What sizes and times say of a flow that carries a call's media and shows no RTP.
pub(super) fn estimate(judged: &Judged) -> Option<EstimateRecord> {
    let pace = judged.flow.facts.as_ref()?.pace.as_deref()?;
    let carries = judged.role().is_call() && judged.verdict.provider.is_some();
    let (sent, received) = (estimate_way(&pace.forward), estimate_way(&pace.reverse));
    (carries && (sent.is_some() || received.is_some())).then_some(EstimateRecord {
        method: METHOD,
        sent,
        received,
    })
}

/// The same for a session: the flow that carried most, seen from the endpoint.
pub(super) fn session_estimate<'a>(flows: impl Iterator<Item = &'a Judged>) -> Option<EstimateRecord> {
    let volume = |way: &Option<EstimateWay>| way.as_ref().map_or(0, |way| way.packets);
    let mut best: Option<(u32, EstimateRecord)> = None;
    for judged in flows {
        let Some(mut found) = estimate(judged) else { continue };
        if !judged.local_is_source {
            std::mem::swap(&mut found.sent, &mut found.received);
        }
        let packets = volume(&found.sent).saturating_add(volume(&found.received));
        if best.as_ref().is_none_or(|(most, _)| packets > *most) {
            best = Some((packets, found));
        }
    }
    best.map(|(_, found)| found)
}

fn estimate_way(way: &PaceWay) -> Option<EstimateWay> {
    let bitrate_kbps = centi(way.kbit_per_s().filter(|_| way.packets >= ESTIMATE_NEEDS)?);
    Some(EstimateWay { packets: way.packets, bitrate_kbps, fps: way.frames_per_second().map(centi) })
}

//! Cipher evidence as records and in words. A verdict never goes without its figures.

use std::fmt::Write as _;

use super::super::record::{CipherRecord, Finding, PartsRecord, SessionCipherRecord, Severity};
use super::session::flows;
use super::{Context, centi, media, milli};
use crate::keys::cipher::{self, CipherEvidence, CipherVerdict, SessionCipher};
use crate::keys::{Analysis, Keys, Method};
use crate::observe::PacketRef;
use crate::observe::facts::{Framing, RtpStream};
use crate::session::{Judged, Session};

/// Nonces used again from which on a damaged capture is no likely cause, if they are also one in a hundred.
const NONCES_OFTEN: u64 = 8;
/// SRTP profiles without encryption (RFC 5764 section 4.1.2).
const NULL_PROFILES: [u16; 2] = [0x0005, 0x0006];
/// SRTP profiles with a tag of 32 bits.
const SHORT_TAG_PROFILES: [u16; 2] = [0x0002, 0x0006];

/// One stream.
pub(super) fn stream(context: &Context<'_>, of: &RtpStream, is_clear: bool) -> Option<CipherRecord> {
    cipher::stream(of, is_clear).map(|evidence| record(context, &evidence))
}

/// A session.
pub(super) fn session(context: &Context<'_>, found: &SessionCipher) -> SessionCipherRecord {
    let mut evidence = record(context, &found.evidence);
    if let Some((ssrc, packet)) = found.stream {
        let all = found.streams.iter().fold(0_u32, |sum, (_, count)| sum.saturating_add(*count));
        let (ssrc, packet) = (media::ssrc(ssrc), context.packet(packet).words());
        let _ = write!(evidence.text, "; these figures are of stream {ssrc} (packet {packet}), one of {all}");
    }
    SessionCipherRecord { evidence, by_verdict: found.streams.iter().copied().collect() }
}

fn record(context: &Context<'_>, evidence: &CipherEvidence) -> CipherRecord {
    let parts = evidence.parts;
    CipherRecord {
        verdict: evidence.verdict,
        text: words(evidence),
        log10_lr: centi(evidence.log10_lr),
        parts: (evidence.log10_lr != 0.0).then(|| PartsRecord {
            clusters: centi(parts.clusters),
            grid: centi(parts.grid),
            constant_unit: centi(parts.constant_unit),
            lengths: centi(parts.lengths),
        }),
        framing: evidence.framing,
        start: evidence.start,
        streams: evidence.streams,
        units: evidence.units,
        units_dropped: evidence.units_dropped,
        packets_excluded: evidence.packets_excluded,
        copies: evidence.copies,
        units_aead: evidence.units_aead,
        units_blocks: evidence.units_blocks,
        sampled: milli(evidence.sampled),
        blocks_tested: evidence.blocks,
        expected_repeats: evidence.expected_repeats.map(milli),
        repeats: evidence.repeats,
        clusters: evidence.clusters,
        set_aside: evidence.set_aside,
        log10_chance: evidence.log10_chance.map(centi),
        nonces: evidence.nonces,
        nonces_reused: evidence.nonces_reused,
        packets: context.packets(&evidence.packets),
    }
}

/// The verdict in words.
fn words(evidence: &CipherEvidence) -> String {
    let blocks = evidence.blocks;
    let repeats = || {
        format!(
            "{} different blocks came again, {} times in all, among {blocks} tested; that is 10^{:.0} times likelier under ECB \
             than by copies that were not set aside, and under any other mode its chance is below 10^{:.0}",
            evidence.clusters,
            evidence.repeats,
            evidence.log10_lr,
            evidence.log10_chance.unwrap_or(0.0).ceil()
        )
    };
    let tested = || match evidence.expected_repeats {
        Some(expected) => format!(
            "ECB not detected, {blocks} blocks tested, expected at least {expected:.1} repeats under ECB with padding that \
             is not random"
        ),
        None => format!(
            "ECB not detected, {blocks} blocks tested; lengths give no lower bound of the repeats under ECB"
        ),
    };
    match evidence.verdict {
        CipherVerdict::EcbConfirmed => {
            format!("ECB confirmed: a key opens the media in this mode; {}", repeats())
        }
        CipherVerdict::EcbVeryLikely => format!("ECB very likely: {}", repeats()),
        CipherVerdict::EcbSuspicious => format!("ECB suspected: {}", repeats()),
        CipherVerdict::NotEncrypted if evidence.by_description => format!(
            "not encrypted: a session description in the clear announced it without keys, and payloads are not uniform from \
             their first byte on, as SRTP is ({} payloads)",
            evidence.units
        ),
        CipherVerdict::NotEncrypted => {
            format!("not encrypted: payloads are not uniform as ciphertext is ({} payloads)", evidence.units)
        }
        CipherVerdict::BeginsInClear => format!(
            "payloads begin in the clear, so that it is not SRTP; what follows may be encrypted ({} payloads)",
            evidence.units
        ),
        CipherVerdict::Inconclusive => format!("inconclusive: {}", tested()),
        CipherVerdict::NoEcbEvidence => tested(),
        CipherVerdict::StreamLengths => format!(
            "lengths are not those of a padded block cipher ({} units); {blocks} blocks tested, {} repeats",
            evidence.units, evidence.repeats
        ),
        CipherVerdict::AeadFraming => format!(
            "AEAD framing recognised: {} of {} units have a nonce, a ciphertext as long as announced, and a tag; {blocks} \
             blocks tested, {} repeats",
            evidence.units_aead, evidence.units, evidence.repeats
        ),
    }
}

/// What stands out.
pub(super) fn findings(
    context: &Context<'_>,
    analysis: &Analysis,
    session: &Session,
    keys: &Keys,
    found: Option<&SessionCipher>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |id, severity, text: String, packets: &[PacketRef]| {
        findings.push(Finding { id, severity, text, packets: context.packets(packets) });
    };
    let first: Vec<PacketRef> = flows(analysis, session)
        .filter_map(|judged| judged.flow.facts.as_ref()?.media.as_ref())
        .map(|media| media.packet)
        .min()
        .into_iter()
        .collect();
    if keys.method == Method::None && !first.is_empty() && found.is_none_or(|found| !shows_plain(found)) {
        let text = format!("media is not encrypted, for everybody on its way to read: {}", keys.why);
        add("media_not_encrypted", Severity::High, text, &first);
    }
    if let Some(found) = found {
        let evidence = &found.evidence;
        match found.verdict {
            CipherVerdict::EcbConfirmed | CipherVerdict::EcbVeryLikely => {
                add("ecb_media", Severity::High, format!("media: {}", words(evidence)), &evidence.packets);
            }
            CipherVerdict::EcbSuspicious => {
                add("ecb_media", Severity::Notice, format!("media: {}", words(evidence)), &evidence.packets);
            }
            CipherVerdict::NotEncrypted => {
                let count = found.streams.iter().find(|(verdict, _)| *verdict == found.verdict);
                let count = count.map_or(1, |(_, count)| *count);
                let verb = if count == 1 { "carries" } else { "carry" };
                let why = plain_why(count, found.by_description);
                let text = format!(
                    "{count} of this session's streams {verb} media that is not encrypted, for everybody on its way to read: {why}"
                );
                add("media_not_encrypted", Severity::High, text, &first);
            }
            CipherVerdict::BeginsInClear
            | CipherVerdict::Inconclusive
            | CipherVerdict::NoEcbEvidence
            | CipherVerdict::StreamLengths
            | CipherVerdict::AeadFraming => {}
        }
        if evidence.nonces_reused > 0 && evidence.framing == Framing::ZoomUnit {
            // A sender that uses nonces again does so often; packets that were damaged on the way do so now and then.
            let often = evidence.nonces_reused >= NONCES_OFTEN
                && evidence.nonces_reused.saturating_mul(100) >= evidence.nonces;
            let (severity, reading) = if often {
                (Severity::High, "unless the key changed in between, they can be opened against each other")
            } else {
                (Severity::Notice, "so few can also come from packets that were damaged on the way")
            };
            let text = format!(
                "{} of {} nonces sealed different ciphertexts of one stream: {reading}",
                evidence.nonces_reused, evidence.nonces
            );
            let packets: Vec<PacketRef> = evidence.nonce_packet.into_iter().collect();
            add("nonce_reuse", severity, text, &packets);
        }
    }
    negotiated(flows(analysis, session), &mut add);
    findings
}

/// What tells that streams are not encrypted: of how many their payloads alone, of how many a session description beside them.
fn plain_why(count: u32, described: u32) -> String {
    const BY_PAYLOAD: &str = "payloads are not uniform as ciphertext is";
    const ANNOUNCED: &str = "announced without keys by a session description in the clear, and payloads are not uniform from \
        their first byte on, as SRTP is";
    match (described, count.saturating_sub(described)) {
        (0, _) => BY_PAYLOAD.to_owned(),
        (_, 0) => ANNOUNCED.to_owned(),
        (_, alone) => format!("of {alone} the {BY_PAYLOAD}; {described} more were {ANNOUNCED}"),
    }
}

/// True where the session's verdict is that payloads are no ciphertext.
fn shows_plain(found: &SessionCipher) -> bool {
    found.verdict == CipherVerdict::NotEncrypted
}

/// What was negotiated and is weak.
fn negotiated<'a>(
    flows: impl Iterator<Item = &'a Judged>,
    add: &mut impl FnMut(&'static str, Severity, String, &[PacketRef]),
) {
    let (mut null, mut short) = (false, false);
    for facts in flows.filter_map(|judged| judged.flow.facts.as_deref()) {
        let mut chosen: Vec<(bool, bool, String, PacketRef)> = Vec::new();
        if let Some(dtls) = &facts.dtls
            && let Some(profile) = dtls.srtp_chosen
        {
            let packet = dtls.server_hello.unwrap_or(dtls.packet);
            let name = format!("SRTP profile {profile:#06x} of use_srtp");
            chosen.push((
                NULL_PROFILES.contains(&profile),
                SHORT_TAG_PROFILES.contains(&profile),
                name,
                packet,
            ));
        }
        if let Some(sip) = &facts.sip {
            chosen.extend(sip.suites.iter().map(|(suite, packet)| {
                let plain = suite.starts_with("NULL") || suite.ends_with("UNENCRYPTED_SRTP");
                (plain, suite.ends_with("_32"), format!("crypto suite {suite} of a=crypto"), *packet)
            }));
        }
        for (is_null, is_short, name, packet) in chosen {
            if is_null && !null {
                null = true;
                add("srtp_null", Severity::High, format!("{name} does not encrypt media"), &[packet]);
            }
            if is_short && !short {
                short = true;
                let text = format!("{name} has an authentication tag of 32 bits");
                add("srtp_short_tag", Severity::Notice, text, &[packet]);
            }
        }
    }
}

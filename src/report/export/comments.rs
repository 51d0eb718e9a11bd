//! What the report says of single packets. In: a session and its record. Out: sentences by packet.

use std::collections::BTreeMap;

use super::super::build::flows_of;
use super::super::record::{
    CertificateRecord, EvidenceRecord, FlowRecord, HolderRecord, KeysRecord, PacketNumber, SessionRecord,
    SignallingRecord, WitnessRecord,
};
use super::super::words::word;
use super::super::{Context, flow_record, session_record};
use crate::keys::{Analysis, CouldHold, Keys};
use crate::session::Session;

/// Sentences on one packet; what comes after is counted.
const MAX_SENTENCES: usize = 16;

/// Sentences by packet: its file (from 0), its number in it (from 1).
#[derive(Debug, Default)]
pub struct Comments {
    packets: BTreeMap<(u64, u64), Vec<String>>,
}

impl Comments {
    fn add(&mut self, packet: PacketNumber, sentence: String) {
        let sentences = self.packets.entry((packet.file.unwrap_or(0), packet.frame)).or_default();
        if !sentences.contains(&sentence) {
            sentences.push(sentence);
        }
    }

    /// The packets.
    pub fn packets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.packets.keys().copied()
    }

    /// The sentences on one; none where nothing rests on it.
    pub fn of(&self, file: u64, frame: u64) -> Vec<String> {
        let Some(all) = self.packets.get(&(file, frame)) else { return Vec::new() };
        let mut shown: Vec<String> = all.iter().take(MAX_SENTENCES).cloned().collect();
        let left_out = all.len().saturating_sub(MAX_SENTENCES);
        if left_out > 0 {
            shown.push(format!("and {left_out} more"));
        }
        shown
    }
}

/// All that the report of a session and of its flows says of single packets; the gravest first.
pub fn comments(
    context: &mut Context<'_>,
    analysis: &Analysis,
    session: &Session,
    keys: &Keys,
) -> (SessionRecord, Comments) {
    let record = session_record(context, analysis, session, keys);
    let mut comments = Comments::default();
    for finding in &record.findings {
        for packet in &finding.packets {
            let severity = word(&finding.severity);
            comments.add(*packet, format!("finding {} ({severity}): {}", finding.id, finding.text));
        }
    }
    for alert in context.alerts_of(session).iter().filter(|alert| alert.fired) {
        for reason in &alert.reasons {
            for packet in &reason.packets {
                comments.add(*packet, format!("alert {}: {}", alert.rule, reason.text));
            }
        }
    }
    keys_of(&mut comments, &record.keys);
    if let Some(cipher) = &record.cipher {
        for packet in &cipher.evidence.packets {
            comments.add(*packet, format!("a block that came again; {}", cipher.evidence.text));
        }
    }
    evidences(&mut comments, &record.evidence, record.app.as_deref());
    for change in &record.address_changes {
        comments.add(
            change.packet,
            format!("address {} became {}: {}", change.from, change.to, word(&change.why)),
        );
    }
    for group in &record.signalling {
        signalling(&mut comments, group);
    }
    for server in &record.servers {
        comments.add(server.first_packet, format!("first packet to or from server {}", server.ip));
    }
    for judged in flows_of(analysis, session) {
        flow(&mut comments, &flow_record(context, judged, None));
    }
    (record, comments)
}

fn keys_of(comments: &mut Comments, keys: &KeysRecord) {
    for witness in &keys.witness {
        comments.add(witness.packet, witness_words(witness));
    }
    for holder in &keys.holders {
        for packet in &holder.packets {
            comments.add(*packet, holder_words(holder));
        }
    }
    for flow in &keys.flows {
        if let Some(packet) = flow.packet {
            let method = word(&flow.method);
            comments.add(packet, format!("keys of media with {}: {method}, {}", flow.remote, flow.why));
        }
    }
    for contact in &keys.timeline {
        let Some(packet) = contact.packet else { continue };
        let when = match contact.before_media_s {
            Some(seconds) if seconds >= 0.0 => format!(", {seconds} s before the first media packet"),
            Some(seconds) => format!(", {} s after the first media packet", -seconds),
            None => String::new(),
        };
        let kind = word(&contact.kind);
        comments
            .add(packet, format!("first contact ({kind}) with {} port {}{when}", contact.ip, contact.port));
    }
}

fn witness_words(witness: &WitnessRecord) -> String {
    let name = witness.name.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
    format!(
        "a key that opens {} streams of this session ({}): {} {}{name}, {}",
        witness.streams.len(),
        witness.cipher,
        word(&witness.delivery),
        witness.ip,
        witness.place
    )
}

fn holder_words(holder: &HolderRecord) -> String {
    let answer = match holder.could_hold {
        CouldHold::Yes => "could hold the media key",
        CouldHold::Unknown => "whether it could hold the media key is not determinable",
        CouldHold::No => "cannot hold the media key",
    };
    let name = holder.name.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
    format!("{}{name}: {answer}: {} [{}]", holder.ip, holder.why, holder.source)
}

fn evidence_words(app: Option<&str>, what: &str, value: &str, weight: f32, unchecked: bool) -> String {
    let source = if unchecked { ", unchecked" } else { "" };
    format!("evidence for {}: {what} {value} (weight {weight}{source})", app.unwrap_or("no app"))
}

fn signalling(comments: &mut Comments, group: &SignallingRecord) {
    if let Some(packet) = group.packet {
        let version = group.version.as_deref().unwrap_or("version not seen");
        let cipher = group.cipher.as_deref().unwrap_or("cipher suite not seen");
        let to = group.sni.as_deref().unwrap_or(&group.ip);
        let relay = group.behind_relay.as_ref();
        let relay = relay.map(|relay| format!(" behind the relay {relay}")).unwrap_or_default();
        comments.add(packet, format!("{} to {to}{relay}: {version}, {cipher}", group.transport));
    }
    if let Some(certificate) = &group.certificate
        && let Some(packet) = certificate.packet
    {
        let subject = certificate.subject.as_deref().unwrap_or("no common name");
        comments.add(packet, format!("certificate of {subject}, SHA-256 {}", certificate.sha256));
    }
}

/// The reasons for an app, on the packets that show them.
fn evidences(comments: &mut Comments, all: &[EvidenceRecord], own: Option<&str>) {
    for evidence in all {
        if let Some(packet) = evidence.packet {
            let app = evidence.app.as_deref().or(own);
            comments.add(
                packet,
                evidence_words(app, evidence.what, &evidence.value, evidence.weight, evidence.unchecked),
            );
        }
    }
}

fn flow(comments: &mut Comments, record: &FlowRecord) {
    evidences(comments, &record.evidence, record.app.as_deref());
    if let Some(tls) = &record.tls {
        if let Some(packet) = tls.client_hello {
            let name = tls.sni.as_deref().unwrap_or("no name");
            comments.add(packet, format!("ClientHello for {name}"));
        }
        if let Some(packet) = tls.server_hello {
            let leaf = tls.certificates.first().map(|leaf: &CertificateRecord| leaf.sha256.as_str());
            let leaf = leaf.map(|sum| format!(", certificate SHA-256 {sum}")).unwrap_or_default();
            comments
                .add(packet, format!("ServerHello: {}{leaf}", tls.cipher.as_deref().unwrap_or("no suite")));
        }
    }
    for stream in &record.rtp {
        let kind = stream.kind.map_or_else(|| "media".to_owned(), |kind| word(&kind));
        comments.add(
            stream.first_packet,
            format!("first packet of {kind} stream {} in flow {}", stream.ssrc, record.flow_id),
        );
        if let Some(cipher) = &stream.cipher {
            for packet in &cipher.packets {
                comments.add(
                    *packet,
                    format!("stream {}: a block that came again; {}", stream.ssrc, cipher.text),
                );
            }
        }
    }
}

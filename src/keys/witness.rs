//! The key witness: which value in opened or clear signalling opens the media, and who sent it in which packet. In: flows with
//! what a key log opened of them, sessions, meetings. Out: [`Witnesses`] of each session, written into its [`Keys`].
//!
//! Tried on a session's streams: values in opened signalling of its flows, of its endpoint's other flows around the call, and of
//! the other sessions of its meeting, since one key may serve all; keys in SDP that went in the clear; keys that a DTLS handshake
//! of the same flow gives. Other values of the same signalling serve as nonces.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use zeroize::Zeroizing;

use super::verify::{Effort, Hit, Key, Mode, try_stream};
use super::{CouldHold, Keys};
use crate::crypto::srtp::Suite;
use crate::flow::Direction;
use crate::observe::PacketRef;
use crate::observe::facts::{Facts, Form, MediaKind, RtpStream, Samples, Wrapping};
use crate::session::{Judged, Meeting, SIGNALLING_LEAD, Session};

/// Values that are tried on one session: the first that appeared.
const VALUES: usize = 256;
/// Values that are tried as nonces.
const NONCES: usize = 64;
/// Streams of a session that values are tried on: those that began first.
const STREAMS: usize = 32;
/// Deliveries that are kept of a session.
const KEPT: usize = 16;
/// Units of a stream that are looked at for a first answer; what opens then is tried on all that were kept.
const FIRST_LOOK: usize = 64;
/// How sure it is that a server could hold a key that it sent.
const SURE: f32 = 0.99;
/// The same when it was sent to another of the meeting.
const SURE_OF_ANOTHER: f32 = 0.98;

/// How a key came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Delivery {
    /// The server sent it, encrypted on the way.
    Delivered,
    /// The endpoint sent it to the server, encrypted on the way.
    Sent,
    /// It went in the clear.
    Clear,
    /// A DTLS handshake agreed it.
    Agreed,
}

/// A stream that the key opens.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct OpenedStream {
    /// Number of its flow.
    pub flow: u64,
    /// Its source.
    pub ssrc: u32,
    /// What it carries.
    pub kind: Option<MediaKind>,
    /// Units that fit.
    pub opened: u32,
    /// Units that were tried.
    pub of: u32,
    /// log10 of a bound on the chance that a wrong key does as well.
    pub log10_bound: f64,
}

/// A key that opens streams of the session, and how it came.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Witness {
    /// The far end of the connection that it came over.
    pub server: SocketAddr,
    /// Its name, where one is known.
    pub name: Option<String>,
    /// The near end.
    pub endpoint: SocketAddr,
    /// How it came.
    pub delivery: Delivery,
    /// The packet that completed the message it stood in.
    pub packet: PacketRef,
    /// Where it stood and how it was written.
    pub place: String,
    /// The mode.
    pub mode: Mode,
    /// Cipher and mode in words.
    pub cipher: String,
    /// Streams that it opens.
    pub streams: Vec<OpenedStream>,
}

/// What trying values on a session's media came to.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Witnesses {
    /// Keys that open something, in the order in which they came; the session's own first.
    pub found: Vec<Witness>,
    /// Deliveries beyond the cap.
    pub left_out: u32,
    /// Different values that were tried.
    pub values: u32,
    /// Values beyond the cap.
    pub values_left_out: u32,
    /// Streams that they were tried on.
    pub streams: u32,
}

/// Where a value stood.
struct Source<'a> {
    judged: &'a Judged,
    packet: PacketRef,
    delivery: Delivery,
    place: String,
    key: Key,
}

/// Finds the witnesses of each session and writes them into its keys: the holders that sent a key that opens the media could
/// hold it.
pub fn witnesses(flows: &[Judged], meetings: &[Meeting], sessions: &mut [(Session, Keys)]) {
    if !flows.iter().filter_map(|judged| judged.flow.facts.as_deref()).any(has_values) {
        return;
    }
    let around = Around::of(flows, meetings, sessions);
    let found: Vec<Witnesses> = sessions.iter().map(|(session, _)| of_session(&around, session)).collect();
    for ((session, keys), found) in sessions.iter_mut().zip(found) {
        judge(session, keys, &found);
        keys.witnesses = found;
    }
}

fn has_values(facts: &Facts) -> bool {
    facts.opened.as_ref().is_some_and(|opened| !opened.candidates.is_empty() || opened.srtp.is_some())
        || facts.sip.as_ref().is_some_and(|sip| !sip.keys.is_empty())
}

fn names(sessions: &[(Session, Keys)]) -> BTreeMap<IpAddr, String> {
    let servers = sessions.iter().flat_map(|(session, _)| &session.servers);
    servers.filter_map(|server| Some((server.address, server.name.as_ref()?.0.clone()))).collect()
}

/// What is looked up for each session.
struct Around<'a> {
    flows: &'a [Judged],
    sessions: &'a [(Session, Keys)],
    names: BTreeMap<IpAddr, String>,
    /// Flows in which values may have stood, by the endpoint's address.
    speaking: BTreeMap<IpAddr, Vec<usize>>,
    /// Place of a session by its number, and the sessions of its meeting.
    places: BTreeMap<u64, usize>,
    mates: BTreeMap<u64, &'a [u64]>,
}

impl<'a> Around<'a> {
    fn of(flows: &'a [Judged], meetings: &'a [Meeting], sessions: &'a [(Session, Keys)]) -> Self {
        let mut speaking: BTreeMap<IpAddr, Vec<usize>> = BTreeMap::new();
        for (index, judged) in flows.iter().enumerate() {
            if judged.flow.facts.as_deref().is_some_and(|facts| facts.opened.is_some() || facts.sip.is_some())
            {
                speaking.entry(judged.sides().local.ip()).or_default().push(index);
            }
        }
        let places = sessions.iter().enumerate().map(|(place, (session, _))| (session.id, place)).collect();
        let mates = meetings.iter().flat_map(|meeting| {
            meeting.sessions.iter().map(|session| (*session, meeting.sessions.as_slice()))
        });
        Self { flows, sessions, names: names(sessions), speaking, places, mates: mates.collect() }
    }

    /// Flows whose signalling may have carried a session's key: its own, those of its endpoint around the call, those of the
    /// other sessions of its meeting. Own first.
    fn around(&self, session: &'a Session) -> Vec<&'a Judged> {
        let mates = self.mates.get(&session.id).copied().unwrap_or_default();
        let met: BTreeSet<usize> = mates.iter().filter_map(|mate| self.places.get(mate)).copied().collect();
        let met = met.into_iter().filter_map(|place| self.sessions.get(place)).map(|(met, _)| met);
        let mut chosen: BTreeSet<usize> = BTreeSet::new();
        let mut out = Vec::new();
        for member in std::iter::once(session).chain(met) {
            let mut ends = member.own();
            ends.insert(member.endpoint);
            let near = ends.iter().filter_map(|end| self.speaking.get(end)).flatten().copied();
            let beside: BTreeSet<usize> = near.filter(|index| self.is_beside(*index, member)).collect();
            for index in member.flows.iter().copied().chain(beside) {
                if chosen.insert(index)
                    && let Some(judged) = self.flows.get(index)
                {
                    out.push(judged);
                }
            }
        }
        out
    }

    /// Around the time of the call.
    fn is_beside(&self, index: usize, member: &Session) -> bool {
        let flow = self.flows.get(index).map(|judged| &judged.flow);
        flow.is_some_and(|flow| flow.start <= member.end && member.start.since(flow.end) <= SIGNALLING_LEAD)
    }
}

fn of_session<'a>(known: &Around<'a>, session: &'a Session) -> Witnesses {
    let mut found = Witnesses::default();
    let media: Vec<(&Judged, &RtpStream, &Samples)> = session
        .flows
        .iter()
        .filter_map(|index| known.flows.get(*index))
        .flat_map(|judged| {
            let media = judged.flow.facts.as_deref().and_then(|facts| facts.media.as_deref());
            let streams = media.map(|media| media.streams.as_slice()).unwrap_or_default();
            streams.iter().filter_map(move |stream| Some((judged, stream, stream.samples.as_deref()?)))
        })
        .take(STREAMS)
        .collect();
    if media.is_empty() {
        return found;
    }
    let around = known.around(session);
    let mut sources: Vec<Source<'_>> = around.iter().flat_map(|judged| sources(judged)).collect();
    let mut seen = BTreeSet::new();
    for (judged, ..) in &media {
        if seen.insert(judged.flow.id) {
            sources.extend(handshake(judged));
        }
    }
    if sources.is_empty() {
        return found;
    }
    let (keys, left_out) = distinct(&sources);
    let nonces = nonces(&around);
    let nonces: Vec<&[u8]> = nonces.iter().map(|nonce| nonce.as_slice()).collect();
    found.values = count(keys.len());
    found.values_left_out = left_out;
    found.streams = count(media.len());
    let mut opened: BTreeMap<usize, ((Mode, String), Vec<OpenedStream>)> = BTreeMap::new();
    for (judged, stream, samples) in media {
        let Some(hit) = open(samples, &keys, &nonces) else { continue };
        let (_, streams) =
            opened.entry(hit.key).or_insert_with(|| ((hit.mode, hit.cipher.clone()), Vec::new()));
        streams.push(OpenedStream {
            flow: judged.flow.id,
            ssrc: stream.ssrc,
            kind: stream.kind,
            opened: hit.opened,
            of: hit.of,
            log10_bound: hit.log10_bound,
        });
    }
    for (index, (cipher, streams)) in opened {
        let Some(key) = keys.get(index) else { continue };
        for source in sources.iter().filter(|source| source.key.bytes == key.bytes) {
            found.found.push(witness(source, &known.names, cipher.clone(), streams.clone()));
        }
    }
    found.found.sort_by(|a, b| {
        let order = |one| !is_own(session, one);
        (order(a), a.packet, a.server, &a.place).cmp(&(order(b), b.packet, b.server, &b.place))
    });
    found.left_out = count(found.found.len().saturating_sub(KEPT));
    found.found.truncate(KEPT);
    found
}

/// A first look with all keys, then the one that opens on all that was kept.
fn open(samples: &Samples, keys: &[Key], nonces: &[&[u8]]) -> Option<Hit> {
    let look = Effort { units: FIRST_LOOK, ..Effort::QUICK };
    let (hit, tries) = try_stream(samples, keys, nonces, &[], &look);
    let hit = hit?;
    let key = keys.get(hit.key)?.clone();
    let nonce: Vec<&[u8]> = hit.nonce.and_then(|nonce| nonces.get(nonce)).copied().into_iter().collect();
    let all = Effort { rollovers: Effort::THOROUGH.rollovers, ..Effort::QUICK };
    let (again, _) = try_stream(samples, &[key], &nonce, &[], &all);
    let again = again?;
    // What the first look tried counts.
    let log10_bound = (again.log10_bound + f64::from(tries.max(1)).log10()).min(hit.log10_bound);
    Some(Hit { key: hit.key, log10_bound, ..again })
}

/// Each value once, in the order in which they came.
fn distinct(sources: &[Source<'_>]) -> (Vec<Key>, u32) {
    let mut keys: Vec<Key> = Vec::new();
    let mut left_out = 0_u32;
    for source in sources {
        let known = keys.iter().any(|key| key.bytes == source.key.bytes && key.suite == source.key.suite);
        if known {
            continue;
        }
        if keys.len() < VALUES {
            keys.push(source.key.clone());
        } else {
            left_out = left_out.saturating_add(1);
        }
    }
    (keys, left_out)
}

fn nonces(around: &[&Judged]) -> Vec<Zeroizing<Vec<u8>>> {
    let mut nonces: Vec<Zeroizing<Vec<u8>>> = Vec::new();
    let opened = around.iter().filter_map(|judged| judged.flow.facts.as_deref()?.opened.as_deref());
    for candidate in opened.flat_map(|opened| &opened.candidates) {
        if nonces.len() < NONCES && !nonces.contains(&candidate.value) {
            nonces.push(candidate.value.clone());
        }
    }
    nonces
}

/// The values of one flow's signalling that could be keys.
fn sources(judged: &Judged) -> Vec<Source<'_>> {
    let Some(facts) = judged.flow.facts.as_deref() else { return Vec::new() };
    let mut out = Vec::new();
    for candidate in facts.opened.iter().flat_map(|opened| &opened.candidates) {
        if !super::verify::fits_something(candidate.value.len(), None, false) {
            continue;
        }
        let from_remote = (candidate.direction == Direction::Reverse) == judged.local_is_source;
        let form = form_words(candidate.form);
        out.push(Source {
            judged,
            packet: candidate.packet,
            delivery: if from_remote { Delivery::Delivered } else { Delivery::Sent },
            place: format!("{}, {form}", candidate.place),
            key: Key::new(&candidate.value, form),
        });
    }
    for sdes in facts.sip.iter().flat_map(|sip| &sip.keys) {
        let Some(suite) = Suite::named(&sdes.suite) else { continue };
        out.push(Source {
            judged,
            packet: sdes.packet,
            delivery: Delivery::Clear,
            place: format!("SDP a=crypto, {}, base64", suite.name),
            key: Key::of_suite(&sdes.key, suite, sdes.mki, "SDES"),
        });
    }
    out
}

/// The keys of both ways that a flow's own DTLS handshake gives.
fn handshake(judged: &Judged) -> Vec<Source<'_>> {
    let facts = judged.flow.facts.as_deref();
    let Some(master) = facts.and_then(|facts| facts.opened.as_ref()?.srtp.as_ref()) else {
        return Vec::new();
    };
    let Some(suite) = Suite::of_profile(master.profile) else { return Vec::new() };
    let one = |(key, salt): &(Zeroizing<Vec<u8>>, Zeroizing<Vec<u8>>), role: &str| {
        let both = Zeroizing::new([key.as_slice(), salt.as_slice()].concat());
        Source {
            judged,
            packet: master.packet,
            delivery: Delivery::Agreed,
            place: format!("exported from the DTLS handshake, what the DTLS {role} sends"),
            key: Key::of_suite(&both, suite, 0, "DTLS exporter"),
        }
    };
    vec![one(&master.client, "client"), one(&master.server, "server")]
}

fn witness(
    source: &Source<'_>,
    names: &BTreeMap<IpAddr, String>,
    (mode, cipher): (Mode, String),
    streams: Vec<OpenedStream>,
) -> Witness {
    let mut server = source.judged.sides().remote;
    // A relay forwards the handshake; who answers it stands behind.
    let behind = || {
        let facts = source.judged.flow.facts.as_deref()?;
        let relayed = facts.media.as_ref()?.streams.iter().any(|stream| stream.wrapping == Wrapping::Turn);
        let behind = facts.stun.as_ref()?.behind.iter().max_by_key(|behind| behind.payloads)?;
        relayed.then_some(behind.peer)
    };
    if source.delivery == Delivery::Agreed {
        server = behind().unwrap_or(server);
    }
    Witness {
        server,
        name: names.get(&server.ip()).cloned(),
        endpoint: source.judged.sides().local,
        delivery: source.delivery,
        packet: source.packet,
        place: source.place.clone(),
        mode,
        cipher,
        streams,
    }
}

const fn form_words(form: Form) -> &'static str {
    match form {
        Form::Hex => "hex",
        Form::Base64 => "base64",
        Form::Base64Url => "base64url",
        Form::Numbers => "decimal numbers",
        Form::Raw => "raw bytes",
    }
}

/// True when the key came to or from the session's own endpoint.
fn is_own(session: &Session, witness: &Witness) -> bool {
    session.addresses.iter().any(|used| used.ip == witness.endpoint.ip())
}

/// How sure it is that the server could hold the key, 0 to 1: a little less where the key came to another than the session's own endpoint.
pub fn confidence(session: &Session, witness: &Witness) -> f32 {
    if is_own(session, witness) { SURE } else { SURE_OF_ANOTHER }
}

/// What was seen outweighs what was inferred.
fn judge(session: &Session, keys: &mut Keys, found: &Witnesses) {
    for holder in &mut keys.holders {
        let Some(witness) = found.found.iter().find(|witness| witness.server.ip() == holder.address) else {
            continue;
        };
        holder.could_hold = CouldHold::Yes;
        holder.confidence = confidence(session, witness);
        holder.why = why(session, witness);
        holder.basis = witness.delivery.into();
        if !holder.packets.contains(&witness.packet) {
            holder.packets.insert(0, witness.packet);
        }
    }
    keys.holders.sort_by(super::likelier);
}

/// Why the server of a witness could hold the key, in words.
pub fn why(session: &Session, witness: &Witness) -> String {
    let what = match witness.delivery {
        Delivery::Delivered => "it delivered the key that opens the media",
        Delivery::Sent => "the key that opens the media was sent to it",
        Delivery::Clear => "the key that opens the media passed it in the clear",
        Delivery::Agreed => "the keys that open the media come from the DTLS handshake that ended here",
    };
    let whom = if is_own(session, witness) {
        String::new()
    } else {
        format!(" between it and {}, another of the meeting,", witness.endpoint.ip())
    };
    format!("{what}{whom} ({}), in packet {}", witness.place, witness.packet.frame())
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;

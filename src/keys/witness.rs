//! The key witness: which value in opened or clear signalling opens the media, and who sent it in which packet. In: flows with
//! what a key log opened of them, sessions, meetings. Out: [`Witnesses`] of each session, written into its [`Keys`].
//!
//! Tried on a session's streams: values in opened signalling of its flows, of its endpoint's other flows around the call, and of
//! the other sessions of its meeting, since one key may serve all; keys in SDP that went in the clear; keys that a DTLS handshake
//! of the same flow gives. Other values of the same signalling serve as nonces.

mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use sources::{Gathered, Master, Source, handshake};

use super::verify::{Effort, Hit, Key, Mode, Tried, try_stream, try_streams};
use super::{CouldHold, Keys};
use crate::observe::PacketRef;
use crate::observe::facts::{Facts, MediaKind, RtpStream, Samples, Wrapping};
use crate::session::{Judged, Meeting, SIGNALLING_LEAD, Session};

/// Values that are tried on one session: the first that appeared.
const VALUES: usize = 256;
/// Values that are tried as nonces.
const NONCES: usize = 64;
/// Work of one session, in steps of about 0.1 us: some 200,000 units whose tag is checked. A call with a hundred values and no nonces takes a
/// tenth; 256 values with 64 nonces on 32 streams had taken a quarter of a minute, from less than 200 KB of capture.
const STEPS: u64 = 1 << 21;
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
    /// Values beyond the cap, or beyond the work that one session may be.
    pub values_left_out: u32,
    /// Streams that they were tried on.
    pub streams: u32,
}

/// Finds the witnesses of each session and writes them into its keys: the holders that sent a key that opens the media could
/// hold it.
pub fn witnesses(flows: &[Judged], meetings: &[Meeting], sessions: &mut [(Session, Keys)]) {
    if !flows.iter().filter_map(|judged| judged.flow.facts.as_deref()).any(has_values) {
        return;
    }
    let around = Around::of(flows, meetings, sessions);
    let mut found = vec![Witnesses::default(); sessions.len()];
    for members in around.meetings() {
        of_meeting(&around, &members, &mut found);
    }
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

    /// Places of the sessions, those of one meeting together.
    fn meetings(&self) -> Vec<BTreeSet<usize>> {
        let mut met: BTreeSet<usize> = BTreeSet::new();
        let mut meetings = Vec::new();
        for (place, (session, _)) in self.sessions.iter().enumerate() {
            if met.contains(&place) {
                continue;
            }
            let mates = self.mates.get(&session.id).copied().unwrap_or_default();
            let mut members: BTreeSet<usize> =
                mates.iter().filter_map(|mate| self.places.get(mate)).copied().collect();
            members.insert(place);
            met.extend(&members);
            meetings.push(members);
        }
        meetings
    }

    /// Places of the flows whose signalling may have carried the key of a session: its own, and those of its endpoint around the
    /// call.
    fn around(&self, session: &Session) -> Vec<usize> {
        let mut ends = session.own();
        ends.insert(session.endpoint);
        let near = ends.iter().filter_map(|end| self.speaking.get(end)).flatten().copied();
        let beside: BTreeSet<usize> = near.filter(|index| self.is_beside(*index, session)).collect();
        let mut chosen: BTreeSet<usize> = BTreeSet::new();
        let all = session.flows.iter().copied().chain(beside);
        all.filter(|index| chosen.insert(*index)).collect()
    }

    /// Around the time of the call.
    fn is_beside(&self, index: usize, member: &Session) -> bool {
        let flow = self.flows.get(index).map(|judged| &judged.flow);
        flow.is_some_and(|flow| flow.start <= member.end && member.start.since(flow.end) <= SIGNALLING_LEAD)
    }
}

/// Streams of a session with what was kept of them.
fn media<'a>(known: &Around<'a>, session: &'a Session) -> Vec<(&'a Judged, &'a RtpStream, &'a Samples)> {
    let judged = session.flows.iter().filter_map(|index| known.flows.get(*index));
    let streams = judged.flat_map(|judged| {
        let media = judged.flow.facts.as_deref().and_then(|facts| facts.media.as_deref());
        let streams = media.map(|media| media.streams.as_slice()).unwrap_or_default();
        streams.iter().filter_map(move |stream| Some((judged, stream, stream.samples.as_deref()?)))
    });
    streams.take(STREAMS).collect()
}

/// The witnesses of the sessions of one meeting, whose signalling is gathered once.
fn of_meeting(known: &Around<'_>, members: &BTreeSet<usize>, found: &mut [Witnesses]) {
    let mut gathered: Option<Gathered<'_>> = None;
    for place in members {
        let (Some((session, _)), Some(found)) = (known.sessions.get(*place), found.get_mut(*place)) else {
            continue;
        };
        let media = media(known, session);
        if media.is_empty() {
            continue;
        }
        let gathered = gathered.get_or_insert_with(|| {
            let members = members.iter().filter_map(|place| known.sessions.get(*place));
            let flows = members.flat_map(|(member, _)| known.around(member));
            Gathered::of(known.flows, flows)
        });
        *found = of_session(known, session, &media, gathered);
    }
}

fn of_session(
    known: &Around<'_>,
    session: &Session,
    media: &[(&Judged, &RtpStream, &Samples)],
    gathered: &Gathered<'_>,
) -> Witnesses {
    let mut seen = BTreeSet::new();
    let masters = media.iter().filter(|(judged, ..)| seen.insert(judged.flow.id));
    let masters: Vec<Master<'_>> = masters.flat_map(|(judged, ..)| handshake(judged)).collect();
    let agreed: Vec<Source<'_>> = masters.iter().map(Master::source).collect();
    let own = known.around(session);
    let (keys, left_out) = gathered.keys(&own, &agreed);
    if keys.is_empty() {
        return Witnesses::default();
    }
    let nonces = gathered.nonces(known.flows, &own);
    let samples: Vec<&Samples> = media.iter().map(|(.., samples)| *samples).collect();
    let look = Effort { units: FIRST_LOOK, ..Effort::QUICK };
    let (looked, values) = try_streams(&samples, &keys, &nonces, &[], &look, STEPS);
    let mut found = Witnesses {
        values: count(values),
        values_left_out: left_out.saturating_add(count(keys.len().saturating_sub(values))),
        streams: count(media.len()),
        ..Witnesses::default()
    };
    let mut opened: BTreeMap<usize, Opens> = BTreeMap::new();
    for ((judged, stream, samples), looked) in media.iter().zip(looked) {
        let Some(hit) = open(samples, &keys, &nonces, looked) else { continue };
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
    let came = deliveries(session, &opened, &keys, (gathered, &agreed));
    found.left_out = count(came.len().saturating_sub(KEPT));
    let kept = came.into_iter().take(KEPT);
    let kept = kept
        .map(|(source, (cipher, streams))| witness(source, &known.names, cipher.clone(), streams.clone()));
    found.found = kept.collect();
    found
}

/// Cipher and mode, and the streams that they open.
type Opens = ((Mode, String), Vec<OpenedStream>);

/// How keys that open something came, the session's own first. `opened` is by the place of the key.
fn deliveries<'s>(
    session: &Session,
    opened: &'s BTreeMap<usize, Opens>,
    keys: &'s [Key],
    (gathered, agreed): (&'s Gathered<'s>, &'s [Source<'s>]),
) -> Vec<(&'s Source<'s>, &'s Opens)> {
    let mut came: Vec<(&Source<'_>, &Opens)> = Vec::new();
    for (index, opened) in opened {
        let Some(key) = keys.get(*index) else { continue };
        let bytes = key.bytes.as_slice();
        came.extend(gathered.with(bytes).map(|source| (source, opened)));
        came.extend(agreed.iter().filter(|source| source.bytes == bytes).map(|source| (source, opened)));
    }
    let order = |source: &Source<'_>| (!is_own(session, source.judged.sides().local.ip()), source.packet);
    came.sort_by(|(a, _), (b, _)| {
        let rest = || server(a).cmp(&server(b)).then_with(|| a.place.to_string().cmp(&b.place.to_string()));
        order(a).cmp(&order(b)).then_with(rest)
    });
    came
}

/// The key that opens at a first look on all that was kept.
fn open(samples: &Samples, keys: &[Key], nonces: &[&[u8]], looked: Tried) -> Option<Hit> {
    let hit = looked.hit?;
    let key = keys.get(hit.key)?.clone();
    let nonce: Vec<&[u8]> = hit.nonce.and_then(|nonce| nonces.get(nonce)).copied().into_iter().collect();
    let all = Effort { rollovers: Effort::THOROUGH.rollovers, ..Effort::QUICK };
    let (again, _) = try_stream(samples, &[key], &nonce, &[], &all);
    let again = again?;
    // What the first look tried counts.
    let tries = f64::from(looked.tries.max(1)).log10();
    let log10_bound = (again.log10_bound + tries).min(hit.log10_bound);
    Some(Hit { key: hit.key, log10_bound, ..again })
}

/// The far end that the value came from or went to.
fn server(source: &Source<'_>) -> SocketAddr {
    let server = source.judged.sides().remote;
    // A relay forwards the handshake; who answers it stands behind.
    let behind = || {
        let facts = source.judged.flow.facts.as_deref()?;
        let relayed = facts.media.as_ref()?.streams.iter().any(|stream| stream.wrapping == Wrapping::Turn);
        let behind = facts.stun.as_ref()?.behind.iter().max_by_key(|behind| behind.payloads)?;
        relayed.then_some(behind.peer)
    };
    if source.delivery == Delivery::Agreed { behind().unwrap_or(server) } else { server }
}

fn witness(
    source: &Source<'_>,
    names: &BTreeMap<IpAddr, String>,
    (mode, cipher): (Mode, String),
    streams: Vec<OpenedStream>,
) -> Witness {
    let server = server(source);
    Witness {
        server,
        name: names.get(&server.ip()).cloned(),
        endpoint: source.judged.sides().local,
        delivery: source.delivery,
        packet: source.packet,
        place: source.place.to_string(),
        mode,
        cipher,
        streams,
    }
}

/// True when the key came to or from the session's own endpoint.
fn is_own(session: &Session, endpoint: IpAddr) -> bool {
    session.addresses.iter().any(|used| used.ip == endpoint)
}

/// How sure it is that the server could hold the key, 0 to 1: a little less where the key came to another than the session's own endpoint.
pub fn confidence(session: &Session, witness: &Witness) -> f32 {
    if is_own(session, witness.endpoint.ip()) { SURE } else { SURE_OF_ANOTHER }
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
    let whom = if is_own(session, witness.endpoint.ip()) {
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

//! Values in signalling that could be keys. In: the flows around the sessions of a meeting. Out: where each value stood, gathered once for all
//! of them, and the keys and nonces that one session tries.

use std::fmt;
use std::ops::Range;

use hashbrown::{HashMap, HashSet};
use zeroize::Zeroizing;

use super::super::verify::{Key, fits_something};
use super::{Delivery, NONCES, VALUES, count};
use crate::crypto::srtp::Suite;
use crate::flow::Direction;
use crate::observe::PacketRef;
use crate::observe::facts::Form;
use crate::session::Judged;

/// Where a value stood.
pub(super) struct Source<'a> {
    pub(super) judged: &'a Judged,
    pub(super) packet: PacketRef,
    pub(super) delivery: Delivery,
    pub(super) place: Place<'a>,
    /// The value.
    pub(super) bytes: &'a [u8],
    suite: Option<Suite>,
    mki: usize,
}

impl<'a> Source<'a> {
    const fn value(&self) -> Value<'a> {
        (self.bytes, self.suite)
    }

    fn key(&self) -> Key {
        let how = match self.place {
            Place::Field(_, form) => words(form),
            Place::Sdp(_) => "SDES",
            Place::Handshake(_) => "DTLS exporter",
        };
        match self.suite {
            Some(suite) => Key::of_suite(self.bytes, suite, self.mki, how),
            None => Key::new(self.bytes, how),
        }
    }
}

/// The place of a value in words.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// A field of opened signalling, and how it was written.
    Field(&'a str, Form),
    /// A suite of SDES.
    Sdp(&'static str),
    /// What this side of a DTLS handshake sends.
    Handshake(&'static str),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(place, form) => write!(f, "{place}, {}", words(*form)),
            Self::Sdp(suite) => write!(f, "SDP a=crypto, {suite}, base64"),
            Self::Handshake(role) => {
                write!(f, "exported from the DTLS handshake, what the DTLS {role} sends")
            }
        }
    }
}

const fn words(form: Form) -> &'static str {
    match form {
        Form::Hex => "hex",
        Form::Base64 => "base64",
        Form::Base64Url => "base64url",
        Form::Numbers => "decimal numbers",
        Form::Raw => "raw bytes",
    }
}

/// A value, and the suite that it is for.
type Value<'a> = (&'a [u8], Option<Suite>);

/// What stood in the signalling around the sessions of one meeting.
#[derive(Default)]
pub(super) struct Gathered<'a> {
    sources: Vec<Source<'a>>,
    /// What each flow brought, as places in `sources`.
    by_flow: HashMap<usize, Range<usize>>,
    /// Where each value stood, as places in `sources`.
    by_value: HashMap<Value<'a>, Vec<usize>>,
    suites: HashSet<Option<Suite>>,
    /// The first sources of different values, as many as a session can need beside its own.
    first: Vec<usize>,
    /// Different values, as many as a session can need as nonces beside its own.
    nonces: Vec<&'a [u8]>,
}

impl<'a> Gathered<'a> {
    /// `around` are places in `flows`.
    pub(super) fn of(flows: &'a [Judged], around: impl Iterator<Item = usize>) -> Self {
        let mut gathered = Self::default();
        let mut nonces: HashSet<&[u8]> = HashSet::new();
        for index in around {
            let Some(judged) = flows.get(index) else { continue };
            if gathered.by_flow.contains_key(&index) {
                continue;
            }
            let begin = gathered.sources.len();
            gathered.sources.extend(sources(judged));
            gathered.by_flow.insert(index, begin..gathered.sources.len());
            for value in values(judged) {
                if nonces.len() >= NONCES.saturating_mul(2) {
                    break;
                }
                if nonces.insert(value) {
                    gathered.nonces.push(value);
                }
            }
        }
        for (place, source) in gathered.sources.iter().enumerate() {
            gathered.suites.insert(source.suite);
            let places = gathered.by_value.entry(source.value()).or_default();
            if places.is_empty() && gathered.first.len() < VALUES.saturating_mul(2) {
                gathered.first.push(place);
            }
            places.push(place);
        }
        gathered
    }

    /// The keys that a session tries, each once: those of its own flows in their order, of the others of the meeting in theirs, then
    /// what it agreed. Beside them the number of sources whose value is none of these.
    pub(super) fn keys(&self, own: &[usize], agreed: &[Source<'_>]) -> (Vec<Key>, u32) {
        let mut known: HashSet<Value<'_>> = HashSet::new();
        let mut keys = Vec::new();
        let own = own.iter().filter_map(|flow| self.by_flow.get(flow).cloned()).flatten();
        let mut tried = 0_usize;
        for source in own.chain(self.first.iter().copied()).filter_map(|place| self.sources.get(place)) {
            if keys.len() >= VALUES {
                break;
            }
            if known.insert(source.value()) {
                keys.push(source.key());
                tried = tried.saturating_add(self.by_value.get(&source.value()).map_or(0, Vec::len));
            }
        }
        let mut left_out = self.sources.len().saturating_sub(tried);
        for source in agreed {
            if known.contains(&source.value()) {
                continue;
            }
            if keys.len() < VALUES {
                known.insert(source.value());
                keys.push(source.key());
            } else {
                left_out = left_out.saturating_add(1);
            }
        }
        (keys, count(left_out))
    }

    /// Values that a session tries as nonces, each once.
    pub(super) fn nonces(&self, flows: &'a [Judged], own: &[usize]) -> Vec<&'a [u8]> {
        let mut known: HashSet<&[u8]> = HashSet::new();
        let own = own.iter().filter_map(|index| flows.get(*index)).flat_map(values);
        let all = own.chain(self.nonces.iter().copied());
        all.filter(|value| known.insert(value)).take(NONCES).collect()
    }

    /// Where a value stood.
    pub(super) fn with<'s>(&'s self, bytes: &'s [u8]) -> impl Iterator<Item = &'s Source<'a>> {
        let places = self.suites.iter().filter_map(move |suite| self.by_value.get(&(bytes, *suite)));
        places.flatten().filter_map(|place| self.sources.get(*place))
    }
}

/// Values in opened signalling, whatever their length.
fn values(judged: &Judged) -> impl Iterator<Item = &[u8]> {
    let opened = judged.flow.facts.as_deref().and_then(|facts| facts.opened.as_deref());
    opened.into_iter().flat_map(|opened| &opened.candidates).map(|candidate| candidate.value.as_slice())
}

/// The values of one flow's signalling that could be keys.
fn sources(judged: &Judged) -> Vec<Source<'_>> {
    let Some(facts) = judged.flow.facts.as_deref() else { return Vec::new() };
    let mut out = Vec::new();
    for candidate in facts.opened.iter().flat_map(|opened| &opened.candidates) {
        if !fits_something(candidate.value.len(), None, false) {
            continue;
        }
        let from_remote = (candidate.direction == Direction::Reverse) == judged.local_is_source;
        out.push(Source {
            judged,
            packet: candidate.packet,
            delivery: if from_remote { Delivery::Delivered } else { Delivery::Sent },
            place: Place::Field(&candidate.place, candidate.form),
            bytes: &candidate.value,
            suite: None,
            mki: 0,
        });
    }
    for sdes in facts.sip.iter().flat_map(|sip| &sip.keys) {
        let Some(suite) = Suite::named(&sdes.suite) else { continue };
        out.push(Source {
            judged,
            packet: sdes.packet,
            delivery: Delivery::Clear,
            place: Place::Sdp(suite.name),
            bytes: &sdes.key,
            suite: Some(suite),
            mki: sdes.mki,
        });
    }
    out
}

/// Key and salt of one way, that a flow's own DTLS handshake gives.
pub(super) struct Master<'a> {
    judged: &'a Judged,
    packet: PacketRef,
    role: &'static str,
    suite: Suite,
    both: Zeroizing<Vec<u8>>,
}

impl Master<'_> {
    pub(super) fn source(&self) -> Source<'_> {
        Source {
            judged: self.judged,
            packet: self.packet,
            delivery: Delivery::Agreed,
            place: Place::Handshake(self.role),
            bytes: &self.both,
            suite: Some(self.suite),
            mki: 0,
        }
    }
}

/// The keys of both ways that a flow's own DTLS handshake gives.
pub(super) fn handshake(judged: &Judged) -> Vec<Master<'_>> {
    let facts = judged.flow.facts.as_deref();
    let Some(master) = facts.and_then(|facts| facts.opened.as_ref()?.srtp.as_ref()) else {
        return Vec::new();
    };
    let Some(suite) = Suite::of_profile(master.profile) else { return Vec::new() };
    let one = |(key, salt): &(Zeroizing<Vec<u8>>, Zeroizing<Vec<u8>>), role| {
        let both = Zeroizing::new([key.as_slice(), salt.as_slice()].concat());
        Master { judged, packet: master.packet, role, suite, both }
    };
    vec![one(&master.client, "client"), one(&master.server, "server")]
}

//! STUN and TURN messages into facts.

use std::net::SocketAddr;

use super::PacketRef;
use super::datagram::Meta;
use super::facts::{Behind, Exchange, Facts, LIST_CAP, Stun, Wrapping, grow, note, note_few, tally};
use super::handshake::text;
use crate::flow::Direction;
use crate::proto::stun::{self, Attribute, Class, Method};
use crate::time::Timestamp;

/// Requests that wait for their answer, for RTT.
const PENDING_CAP: usize = 8;

/// A request.
#[derive(Debug)]
struct Asked {
    id: [u8; 16],
    direction: Direction,
    at: Timestamp,
    packet: PacketRef,
    /// It was sent again, so that nobody knows which one the answer is to.
    again: bool,
}

/// Requests seen and not yet answered.
#[derive(Debug, Default)]
pub(super) struct Pending {
    requests: Vec<Asked>,
    username_asked: bool,
    /// Channels of the relay with the peers that they are bound to (RFC 8656 section 12).
    channels: Vec<(u16, SocketAddr)>,
}

impl Pending {
    /// The peer that a channel is bound to, if the binding was seen.
    pub(super) fn peer_of(&self, channel: u16) -> Option<SocketAddr> {
        self.channels.iter().rev().find(|(number, _)| *number == channel).map(|(_, peer)| *peer)
    }
}

/// Counts what passed between the client and an address behind the relay, unless it is STUN.
pub(super) fn relayed(known: &mut Stun, meta: &Meta, peer: SocketAddr, inner: &[u8]) {
    // STUN begins with 0 to 3 (RFC 7983); ICE checks reach addresses that media never does.
    if inner.first().is_none_or(|first| *first < 4) {
        return;
    }
    if let Some(held) = known.behind.iter_mut().find(|held| held.peer == peer) {
        held.payloads = held.payloads.saturating_add(1);
    } else if known.behind.len() < LIST_CAP {
        let (packet, at) = (meta.packet, meta.timestamp);
        known.behind.push(Behind { peer, payloads: 1, packet, at });
    }
}

/// Writes down one message.
pub(super) fn message(facts: &mut Facts, pending: &mut Pending, meta: &Meta, message: &stun::Message<'_>) {
    let known = facts.stun.get_or_insert_with(|| Box::new(Stun::begun(meta.packet, meta.timestamp)));
    known.messages = known.messages.saturating_add(1);
    if !message.has_cookie {
        known.classic = known.classic.saturating_add(1);
    }
    tally(&mut known.types, message.message_type.0);
    if !message.message_type.is_standard() {
        note_few(&mut known.odd_types, message.message_type.0, meta.packet);
    }
    let mut more_attributes = false;
    for attribute in message.attributes() {
        more_attributes |= known.attributes.len() >= LIST_CAP;
        note(&mut known.attributes, attribute.kind.0, meta.packet);
    }
    texts(known, meta, message);
    addresses(known, meta, message);
    let answered = round_trip(known, pending, meta, message);
    let method = message.method();
    relay(known, pending, meta, message);
    known.relays |= matches!(
        method,
        Method::ALLOCATE
            | Method::REFRESH
            | Method::SEND
            | Method::DATA
            | Method::CREATE_PERMISSION
            | Method::CHANNEL_BIND
    ) && !message.message_type.is_whatsapp();
    // Behind a relay somebody else answers.
    if let Some(asked) = answered.filter(|_| meta.wrapping != Wrapping::Turn) {
        let (question, answer) = ((asked.packet, asked.at), (meta.packet, meta.timestamp));
        facts.answers().add(asked.direction, question, answer, Exchange::Stun);
    }
    if more_attributes {
        facts.left_out = facts.left_out.saturating_add(1);
    }
}

fn texts(known: &mut Stun, meta: &Meta, message: &stun::Message<'_>) {
    if let Some(software) = message.software() {
        note_few(&mut known.software, text(software), meta.packet);
    }
    if let Some(realm) = message.realm() {
        note_few(&mut known.realms, text(realm), meta.packet);
    }
    if let Some(username) = message.username() {
        note(&mut known.usernames, text(username), meta.packet);
    }
}

fn addresses(known: &mut Stun, meta: &Meta, message: &stun::Message<'_>) {
    if let Some(mapped) = message.reflexive_address() {
        note(&mut known.mapped, mapped, meta.packet);
    }
    if let Some(relayed) = message.xor_relayed_address() {
        note_few(&mut known.relayed, relayed, meta.packet);
    }
    for peer in message.xor_peer_addresses() {
        note_few(&mut known.peers, peer, meta.packet);
    }
}

/// Bindings of channels, and what Send and Data indications carry.
fn relay(known: &mut Stun, pending: &mut Pending, meta: &Meta, message: &stun::Message<'_>) {
    let Some(peer) = message.xor_peer_address() else { return };
    if message.method() == Method::CHANNEL_BIND {
        let known =
            |(number, held): &(u16, SocketAddr)| Some(*number) == message.channel_number() && *held == peer;
        if let Some(number) = message.channel_number()
            && pending.channels.len() < LIST_CAP
            && !pending.channels.iter().any(known)
        {
            pending.channels.push((number, peer));
        }
    } else if let Some(inner) = message.data() {
        relayed(known, meta, peer, inner);
    }
}

/// The request that this message answers, where there is no doubt which one it is.
fn round_trip(
    known: &mut Stun,
    pending: &mut Pending,
    meta: &Meta,
    message: &stun::Message<'_>,
) -> Option<Asked> {
    let id = <[u8; 16]>::try_from(message.xor_key().as_slice()).ok()?;
    match message.class() {
        Class::Request => {
            pending.username_asked |= message.has(Attribute::USERNAME);
            if message.has(Attribute::GOOG_NETWORK_INFO)
                && let Some(client) = known.clients.get_mut(meta.direction.index())
            {
                *client = true;
            }
            let held = |asked: &&mut Asked| asked.id == id && asked.direction == meta.direction;
            if let Some(asked) = pending.requests.iter_mut().find(held) {
                asked.again = true;
                return None;
            }
            if pending.requests.len() >= PENDING_CAP {
                pending.requests.remove(0);
            }
            let (direction, at, packet) = (meta.direction, meta.timestamp, meta.packet);
            grow(&mut pending.requests);
            pending.requests.push(Asked { id, direction, at, packet, again: false });
            None
        }
        Class::Success | Class::Error => {
            let is_answered = |asked: &Asked| asked.id == id && asked.direction != meta.direction;
            let place = pending.requests.iter().position(is_answered)?;
            let asked = pending.requests.remove(place);
            if asked.again {
                return None;
            }
            let sum = if meta.wrapping == Wrapping::Turn { &mut known.relayed_rtt } else { &mut known.rtt };
            sum.get_or_insert_default().add(asked.direction, meta.timestamp.since(asked.at));
            known.ice |= pending.username_asked && message.class() == Class::Success;
            Some(asked)
        }
        Class::Indication => None,
    }
}

//! TLS over TCP: the clear part of both directions, and with a key log the rest.

use std::sync::Arc;

use super::{Half, Inner, Kind, Segment};
use crate::fingerprint::Transport;
use crate::flow::Direction;
use crate::observe::facts::{Facts, Missing, Tls};
use crate::observe::handshake::Side;
use crate::observe::sealed::{TlsOpening, note_missing};
use crate::observe::{PacketRef, handshake};
use crate::proto::tls::keylog::KeyLog;
use crate::proto::tls::{self, ContentType};

/// Reads what is there of a direction that began with TLS.
pub(super) fn read_tls(
    own: &mut Half,
    other: &mut Half,
    inner: &mut Inner,
    facts: &mut Facts,
    segment: &Segment<'_>,
    direction: Direction,
) {
    let Some(Read { before, consumed, mut done, fault }) = read_records(own, other, facts, segment.packet)
    else {
        return;
    };
    if let Some(field) = fault {
        facts.anomaly(field, segment.packet);
        done |= !own.tls.is_client && facts.tls.is_none();
    }
    let is_sealed = fault.is_none()
        && (own.tls.done || done)
        && seal(own, other, inner, facts, segment.key_log, direction);
    if is_sealed {
        // A record that ended the clear part is the first to be opened.
        let read = if own.tls.done { consumed } else { before };
        own.kind = Kind::Sealed;
        own.buffer.drain(..read.min(own.buffer.len()));
    } else if own.tls.done || done || (fault.is_some() && consumed == 0) {
        own.close();
    } else {
        own.buffer.drain(..consumed.min(own.buffer.len()));
    }
    // Once the server has spoken in full, the client has nothing more to say in the clear.
    if other.tls.is_client
        && matches!(own.kind, Kind::Done | Kind::Sealed)
        && facts.tls.as_ref().is_some_and(|tls| tls.server_hello.is_some())
    {
        match (&own.kind, &other.kind) {
            (Kind::Sealed, Kind::Tls(_)) => other.kind = Kind::Sealed,
            (Kind::Sealed, Kind::Sealed) => {}
            _ => other.close(),
        }
    }
}

/// How far the clear part was read.
struct Read {
    /// Bytes of the records before the last one.
    before: usize,
    /// Bytes of all.
    consumed: usize,
    /// The last one ended it.
    done: bool,
    fault: Option<&'static str>,
}

fn read_records(own: &mut Half, other: &Half, facts: &mut Facts, packet: PacketRef) -> Option<Read> {
    let Kind::Tls(assembler) = &mut own.kind else { return None };
    let mut records = tls::Records::new(&own.buffer);
    let mut read = Read { before: 0, consumed: 0, done: false, fault: None };
    while let Some(record) = records.next() {
        let record = match record {
            Ok(record) => record,
            // The rest of it is still to come.
            Err(error) if error.is_truncated() => break,
            Err(error) => {
                read.fault = Some(error.field());
                break;
            }
        };
        match record.content_type {
            ContentType::HANDSHAKE => {
                let known = facts.tls.get_or_insert_with(Box::default);
                let offered = &other.tls.session_id;
                let fed = assembler.feed(record.fragment, |message| {
                    let (side, transport) = (&mut own.tls, Transport::Tcp);
                    let told = handshake::message(side, known, &message, offered, transport, packet);
                    read.fault = told.err().or(read.fault);
                });
                read.fault = fed.err().map(|error| error.field()).or(read.fault);
            }
            ContentType::ALERT => alert(facts, record.fragment),
            // From here on records are encrypted, save the second hello of both sides after a HelloRetryRequest.
            ContentType::CHANGE_CIPHER_SPEC => {
                assembler.change_cipher_spec();
                let has_answer = facts.tls.as_ref().is_some_and(|tls| tls.server_hello.is_some());
                read.done = has_answer || !(own.tls.is_client || own.tls.asked_again);
            }
            _ => read.done = true,
        }
        if own.tls.done || read.done {
            break;
        }
        read.before = records.consumed();
    }
    read.consumed = records.consumed();
    Some(read)
}

/// True when what follows in the direction of `own` is opened, or waits for the ServerHello that says how.
fn seal(
    own: &Half,
    other: &Half,
    inner: &mut Inner,
    facts: &mut Facts,
    key_log: Option<&Arc<KeyLog>>,
    direction: Direction,
) -> bool {
    let Some(key_log) = key_log.filter(|log| !log.is_empty()) else { return false };
    if inner.opening.is_some() {
        return true;
    }
    let is_other_open = !matches!(other.kind, Kind::Done);
    if own.tls.is_client && other.tls.agreed.is_none() && is_other_open {
        return own
            .tls
            .client_random
            .is_some_and(|random| key_log.may_come(&random) || key_log.find(&random).is_some());
    }
    let (client, server) = ends(own, other, direction);
    if client.0.client_random.is_some_and(|random| key_log.may_come(&random)) && server.agreed.is_some() {
        return true;
    }
    inner.opening = TlsOpening::begin(facts, key_log, client, server).map(Box::new);
    inner.opening.is_some()
}

/// The client, with its direction, and the server.
const fn ends<'h>(own: &'h Half, other: &'h Half, direction: Direction) -> ((&'h Side, Direction), &'h Side) {
    if own.tls.is_client {
        ((&own.tls, direction), &other.tls)
    } else {
        ((&other.tls, direction.flipped()), &own.tls)
    }
}

/// Begins to open what waited for its secrets, where these have come. What it holds counts as seen with the packet at hand.
pub(super) fn begin_late(
    own: &Half,
    other: &Half,
    inner: &mut Inner,
    facts: &mut Facts,
    key_log: Option<&Arc<KeyLog>>,
    direction: Direction,
) {
    let (client, server) = ends(own, other, direction);
    let (None, Some(key_log), Some(_)) = (&inner.opening, key_log, &server.agreed) else { return };
    if client.0.client_random.is_some_and(|random| !key_log.may_come(&random)) {
        inner.opening = TlsOpening::begin(facts, key_log, client, server).map(Box::new);
    }
}

/// Writes down what did not come, where something waits for it.
pub(super) fn give_up(one: &Half, other: &Half, inner: &Inner, facts: &mut Facts) {
    if inner.opening.is_some() || ![one, other].iter().any(|half| matches!(half.kind, Kind::Sealed)) {
        return;
    }
    let has_answer = one.tls.agreed.is_some() || other.tls.agreed.is_some();
    note_missing(facts, if has_answer { Missing::NoSecret } else { Missing::NoHandshake });
}

/// Opens what is there of a direction, where it can be opened.
pub(super) fn read_sealed(
    half: &mut Half,
    inner: &mut Inner,
    facts: &mut Facts,
    packet: PacketRef,
    direction: Direction,
) {
    let (Kind::Sealed, Some(opening)) = (&half.kind, &mut inner.opening) else { return };
    if opening.is_full() {
        opening.pass_over(&half.buffer);
        half.buffer.clear();
        return;
    }
    let mut records = tls::Records::new(&half.buffer);
    let mut goes_on = true;
    for record in records.by_ref() {
        match record {
            Ok(record) => goes_on = opening.record(facts, direction, &record, packet),
            Err(error) if error.is_truncated() => break,
            Err(error) => {
                facts.anomaly(error.field(), packet);
                goes_on = false;
            }
        }
        if !goes_on {
            break;
        }
    }
    let consumed = records.consumed();
    half.buffer.drain(..consumed.min(half.buffer.len()));
    if !goes_on {
        half.close();
    }
}

fn alert(facts: &mut Facts, fragment: &[u8]) {
    // An encrypted alert is longer than two bytes.
    if fragment.len() != 2 {
        return;
    }
    if let Ok(alert) = tls::Alert::parse(fragment) {
        let known: &mut Tls = facts.tls.get_or_insert_with(Box::default);
        if known.alerts.len() < 8 {
            known.alerts.push((if alert.is_fatal { 2 } else { 1 }, alert.description.0));
        }
    }
}

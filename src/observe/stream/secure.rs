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
    let key_log = segment.key_log.filter(|log| !log.is_empty());
    let Some(Read { before, consumed, mut done, fault }) =
        read_records(own, other, facts, segment.packet, key_log)
    else {
        return;
    };
    if let Some(field) = fault {
        facts.anomaly(field, segment.packet);
        done |= !own.tls.is_client && facts.tls.is_none();
    }
    let is_sealed =
        fault.is_none() && (own.tls.done || done) && seal(own, other, inner, facts, key_log, direction);
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
    // Once the server has spoken in full, a client of TLS 1.3 has nothing more to say in the clear; one of 1.2 refuses the server's
    // certificate there, or goes on up to its ChangeCipherSpec (RFC 5246 section 7.3).
    if other.tls.is_client
        && matches!(own.kind, Kind::Done | Kind::Sealed)
        && facts.tls.as_ref().is_some_and(|tls| tls.server_hello.is_some())
    {
        match (&own.kind, &other.kind) {
            (Kind::Sealed, Kind::Tls(_)) => other.kind = Kind::Sealed,
            (Kind::Sealed, Kind::Sealed) => {}
            (Kind::Done, Kind::Tls(_)) if own.tls.agreed.is_some_and(|agreed| !agreed.version.is_1_3()) => {}
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

fn read_records(
    own: &mut Half,
    other: &Half,
    facts: &mut Facts,
    packet: PacketRef,
    key_log: Option<&Arc<KeyLog>>,
) -> Option<Read> {
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
                // The server's answer may be read later than this; what is sealed waits for it.
                let waits = !other.tls.asked_again && key_log.is_some_and(|log| is_promised(log, &own.tls));
                read.done = has_answer || waits || !(own.tls.is_client || own.tls.asked_again);
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
    let Some(key_log) = key_log else { return false };
    if inner.opening.is_some() {
        return true;
    }
    let is_other_open = !matches!(other.kind, Kind::Done);
    // The server's side was read to its end, and could not be opened.
    if own.tls.is_client && other.tls.agreed.is_some() && !is_other_open && !other.lost {
        return false;
    }
    if own.tls.is_client && other.tls.agreed.is_none() && is_other_open {
        return is_promised(key_log, &own.tls);
    }
    let (client, server) = ends(own, other, direction);
    if client.0.client_random.is_some_and(|random| key_log.may_come(&random)) && server.agreed.is_some() {
        return true;
    }
    inner.opening = TlsOpening::begin(facts, key_log, client, server).map(Box::new);
    inner.opening.is_some()
}

/// True for a client whose secrets are known or may come.
fn is_promised(key_log: &KeyLog, client: &Side) -> bool {
    client.client_random.is_some_and(|random| key_log.may_come(&random) || key_log.find(&random).is_some())
}

/// The client, with its direction, and the server.
fn ends<'h>(own: &'h Half, other: &'h Half, direction: Direction) -> ((&'h Side, Direction), &'h Side) {
    if own.tls.is_client {
        ((&*own.tls, direction), &*other.tls)
    } else {
        ((&*other.tls, direction.flipped()), &*own.tls)
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

#[cfg(test)]
mod tests {
    use rustls::crypto::ring::cipher_suite;
    use sha2::{Digest, Sha256};

    use super::super::StreamWork;
    use super::*;
    use crate::observe::facts::Sampling;
    use crate::proto::tls::opener::End;
    use crate::proto::tls::opener::tests::Session;
    use crate::time::Timestamp;

    /// A session of rustls that says something both ways, as segments of `size` bytes: all of the client's, then all of the
    /// server's, so that the client's records are there before the hello that says how to open them.
    fn facts_of(session: &Session, key_log: Option<&Arc<KeyLog>>, size: usize) -> Facts {
        let (mut work, mut facts) = (StreamWork::new(), Facts::default());
        for (direction, sent) in [Direction::Forward, Direction::Reverse].into_iter().zip(&session.sent) {
            for (number, payload) in sent.chunks(size).enumerate() {
                let segment = Segment {
                    sequence: u32::try_from(1 + number * size).unwrap(),
                    acknowledgment: None,
                    syn: false,
                    payload,
                    declared_len: payload.len(),
                    ports: [50_000, 443],
                    direction,
                    number: 1,
                    packet: PacketRef::new(0, 1),
                    timestamp: Timestamp::default(),
                    key_log,
                    sampling: Sampling::default(),
                };
                if !work.segment(&mut facts, &segment) {
                    break;
                }
            }
        }
        work.finish(&mut facts);
        facts
    }

    /// Segments in order, and whether anything more is to be learned after the last.
    fn play(sent: &[(Direction, &[u8])]) -> (Facts, bool) {
        let (mut work, mut facts, mut next, mut goes_on) =
            (StreamWork::new(), Facts::default(), [1_u32, 1], true);
        for (direction, payload) in sent {
            let sequence = &mut next[direction.index()];
            let segment = Segment {
                sequence: *sequence,
                acknowledgment: None,
                syn: false,
                payload,
                declared_len: payload.len(),
                ports: [50_000, 443],
                direction: *direction,
                number: 1,
                packet: PacketRef::new(0, 1),
                timestamp: Timestamp::default(),
                key_log: None,
                sampling: Sampling::default(),
            };
            goes_on = work.segment(&mut facts, &segment);
            *sequence += u32::try_from(payload.len()).unwrap();
        }
        work.finish(&mut facts);
        (facts, goes_on)
    }

    /// ClientHello and ServerHello of TLS 1.2 without extensions, then `ServerHelloDone`: RFC 5246 sections 6.2.1 and 7.4.
    fn hellos() -> [Vec<u8>; 2] {
        let client =
            [&[22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 3][..], &[7; 32], &[0, 0, 2, 0, 0x9c, 1, 0]].concat();
        let server = [&[22, 3, 3, 0, 42, 2, 0, 0, 38, 3, 3][..], &[8; 32], &[0, 0, 0x9c, 0]].concat();
        [client, [&server[..], &[22, 3, 3, 0, 4, 14, 0, 0, 0]].concat()]
    }

    #[test]
    fn a_client_of_tls_1_2_is_heard_refusing_the_certificate() {
        let [client, server] = hellos();
        // RFC 5246 section 7.2: fatal, certificate_unknown.
        let alert = [21, 3, 3, 0, 2, 2, 46];
        let (facts, _) = play(&[
            (Direction::Forward, &client),
            (Direction::Reverse, &server),
            (Direction::Forward, &alert),
        ]);
        assert!(facts.tls.unwrap().alerts.iter().eq(&[(2, 46)]));
        assert!(facts.anomalies.is_empty());
    }

    #[test]
    fn a_client_of_tls_1_2_is_read_up_to_its_change_of_cipher_and_no_further() {
        let [client, server] = hellos();
        // ClientKeyExchange of four bytes, ChangeCipherSpec, and a record that would be an alert if it were in the clear.
        let exchange = [22, 3, 3, 0, 8, 16, 0, 0, 4, 0, 2, 9, 9];
        let change = [20, 3, 3, 0, 1, 1, 21, 3, 3, 0, 2, 2, 46];
        let begun = [
            (Direction::Forward, &client[..]),
            (Direction::Reverse, &server),
            (Direction::Forward, &exchange),
        ];
        assert!(play(&begun).1);
        let (facts, goes_on) = play(&[&begun[..], &[(Direction::Forward, &change)]].concat());
        assert!(!goes_on && facts.tls.unwrap().alerts.is_empty() && facts.anomalies.is_empty());
    }

    #[test]
    fn a_client_of_tls_1_3_is_not_waited_for() {
        let (session, _) = talk(cipher_suite::TLS13_AES_128_GCM_SHA256, 3);
        let [client, server] = &session.sent;
        let hello = 5 + usize::from(u16::from_be_bytes([client[3], client[4]]));
        assert!(!play(&[(Direction::Forward, &client[..hello]), (Direction::Reverse, server)]).1);
    }

    fn talk(suite: rustls::SupportedCipherSuite, server_groups: usize) -> (Session, Arc<KeyLog>) {
        let mut session = Session::new(suite, server_groups);
        session.says(End::Client, b"question");
        session.says(End::Server, b"answer");
        let mut log = KeyLog::new();
        log.add(0, session.log().as_bytes());
        (session, Arc::new(log))
    }

    #[test]
    fn sessions_are_opened_whatever_their_version_and_the_cuts_of_their_segments() {
        let suites = [
            (cipher_suite::TLS13_AES_128_GCM_SHA256, 3),
            (cipher_suite::TLS13_CHACHA20_POLY1305_SHA256, 1),
            (cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, 3),
        ];
        for (suite, groups) in suites {
            let (session, log) = talk(suite, groups);
            for size in [7, 100, 1_448, 60_000] {
                let facts = facts_of(&session, Some(&log), size);
                let opened = facts.opened.unwrap();
                let digest = |text: &[u8]| Some(<[u8; 32]>::from(Sha256::digest(text)));
                assert_eq!(opened.sha256, [digest(b"question"), digest(b"answer")], "{suite:?} by {size}");
                assert_eq!((opened.failed, opened.missing), (0, None));
                assert_eq!(facts.tls.unwrap().certificates.len(), 1);
            }
        }
    }

    #[test]
    fn the_hello_after_a_retry_request_is_read_also_without_a_key_log() {
        let (session, _) = talk(cipher_suite::TLS13_AES_128_GCM_SHA256, 1);
        let facts = facts_of(&session, None, 1_448);
        let tls = facts.tls.unwrap();
        assert_eq!(tls.client_hellos, 2);
        assert!(tls.server_hello.is_some() && tls.ja3s.is_some());
        assert!(facts.opened.is_none() && facts.anomalies.is_empty());
    }

    #[test]
    fn what_the_key_log_lacks_is_named() {
        let (session, _) = talk(cipher_suite::TLS13_AES_128_GCM_SHA256, 3);
        let missing = |text: &str| {
            let mut log = KeyLog::new();
            log.add(0, text.as_bytes());
            let opened = facts_of(&session, Some(&Arc::new(log)), 1_448).opened.unwrap();
            (opened.missing, opened.bytes)
        };
        let text = session.log();
        let half: Vec<&str> = text.lines().filter(|line| !line.starts_with("SERVER_TRAFFIC")).collect();
        assert_eq!(missing(&half.join("\n")), (Some(Missing::PartOfSecret), 8));
        let other = format!("CLIENT_RANDOM {} {}", "ab".repeat(32), "cd".repeat(48));
        assert_eq!(missing(&other), (Some(Missing::NoSecret), 0));
    }

    #[test]
    fn without_the_servers_hello_the_handshake_is_missing() {
        let (mut session, log) = talk(cipher_suite::TLS13_AES_128_GCM_SHA256, 3);
        session.sent[1].clear();
        let opened = facts_of(&session, Some(&log), 1_448).opened.unwrap();
        assert_eq!((opened.missing, opened.records), (Some(Missing::NoHandshake), 0));
    }
}

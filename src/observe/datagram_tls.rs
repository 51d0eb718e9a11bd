//! DTLS and QUIC handshakes into facts.

use compact_str::ToCompactString as _;

use super::datagram::Meta;
use super::facts::{Dtls, Exchange, Facts, Few, Missing, Quic};
use super::handshake;
use super::packet_ref::PacketRef;
use super::sealed::{QuicOpening, Randoms, note_missing};
use crate::bytes::hex;
use crate::fingerprint::Transport;
use crate::flow::{Direction, Wait};
use crate::proto::tls::keylog::KeyLog;
use crate::proto::tls::{self, ContentType, HandshakeType};
use crate::proto::{dtls, quic};
use crate::time::Timestamp;

/// Handshake fragments of both directions of one flow.
#[derive(Debug)]
pub(super) struct DtlsWork {
    sides: [dtls::Reassembler; 2],
    randoms: Randoms,
    exported: bool,
}

impl DtlsWork {
    pub(super) fn new() -> Self {
        Self {
            sides: [dtls::Reassembler::new(), dtls::Reassembler::new()],
            randoms: Randoms::default(),
            exported: false,
        }
    }

    /// Reads the records of one datagram.
    pub(super) fn datagram(
        &mut self,
        facts: &mut Facts,
        meta: &Meta,
        payload: &[u8],
        key_log: Option<&KeyLog>,
    ) {
        self.records(facts, meta, payload);
        if let Some(key_log) = key_log.filter(|log| !log.is_empty() && !self.exported)
            && self.randoms.server.is_some()
        {
            self.exported = self.randoms.client.is_none_or(|random| !key_log.may_come(&random));
            self.randoms.export(facts, key_log);
        }
    }

    fn records(&mut self, facts: &mut Facts, meta: &Meta, payload: &[u8]) {
        let mut fault = None;
        let known = facts.dtls.get_or_insert_with(|| {
            Box::new(Dtls { packet: meta.packet, at: meta.timestamp, ..Dtls::default() })
        });
        for record in dtls::Records::new(payload) {
            let record = match record {
                Ok(dtls::Record::Plain(record)) => record,
                Ok(_) => {
                    known.records = known.records.saturating_add(1);
                    continue;
                }
                Err(error) => {
                    fault = Some(error.field());
                    break;
                }
            };
            known.records = known.records.saturating_add(1);
            match record.content_type {
                ContentType::HANDSHAKE if record.epoch == 0 => {
                    let [forward, reverse] = &mut self.sides;
                    let side = if meta.direction == Direction::Forward { forward } else { reverse };
                    for fragment in dtls::Fragments::new(record.fragment) {
                        let Ok(fragment) = fragment else {
                            fault = Some("dtls_handshake_fragment");
                            break;
                        };
                        if let Some(message) = side.push(fragment)
                            && let Err(field) = handshake_message(known, &mut self.randoms, meta, &message)
                        {
                            fault = Some(field);
                        }
                    }
                }
                ContentType::APPLICATION_DATA => {
                    known.application_data = known.application_data.saturating_add(1);
                }
                _ => {}
            }
        }
        if let Some(field) = fault {
            facts.anomaly(field, meta.packet);
        }
    }
}

fn handshake_message(
    known: &mut Dtls,
    randoms: &mut Randoms,
    meta: &Meta,
    message: &dtls::Message<'_>,
) -> Result<(), &'static str> {
    match message.kind {
        HandshakeType::CLIENT_HELLO => {
            let hello = tls::ClientHello::parse_datagram(message.body).map_err(|error| error.field())?;
            known.client.get_or_insert(meta.direction);
            randoms.client = randoms.client.or_else(|| hello.random().try_into().ok());
            handshake::dtls_client_hello(known, &hello, meta.packet);
        }
        HandshakeType::SERVER_HELLO => {
            let hello = tls::ServerHello::parse(message.body).map_err(|error| error.field())?;
            known.client.get_or_insert_with(|| meta.direction.flipped());
            if !hello.is_hello_retry_request() {
                handshake::dtls_server_hello(known, &hello, meta.packet);
                randoms.server = randoms.server.or_else(|| hello.random().try_into().ok());
            }
        }
        HandshakeType::CERTIFICATE => {
            let from_client = known.client == Some(meta.direction);
            let list =
                if from_client { &mut known.client_certificates } else { &mut known.server_certificates };
            if list.is_empty() {
                *list = super::certificates::certificates(message.body, meta.packet)?;
            }
        }
        HandshakeType::SERVER_KEY_EXCHANGE
            if known.group.is_none() && known.client != Some(meta.direction) =>
        {
            known.group = handshake::named_curve(known.cipher_suite, message.body);
        }
        _ => {}
    }
    Ok(())
}

/// A QUIC handshake that is being read.
#[derive(Debug)]
pub(super) struct QuicWork {
    connection: quic::Connection,
    assemblers: [tls::HandshakeAssembler; 2],
    sides: [handshake::LazySide; 2],
    fed: [usize; 2],
    datagrams: u32,
    opening: Option<Box<QuicOpening>>,
    /// Datagrams that came before both hellos were whole and may be opened after.
    early: Few<(Direction, PacketRef, Box<[u8]>)>,
    is_looked_up: bool,
    begun: Option<Begun>,
}

/// Of many short flows these are the largest: not beyond what an allocator hands out next in size.
const _: () = assert!(size_of::<QuicWork>() <= 512);

/// Bytes of a datagram by which a second copy of it is known: header protection makes each of a connection's own.
const COPY_BYTES: usize = 64;

/// The first datagram of a connection.
#[derive(Debug)]
struct Begun {
    direction: Direction,
    at: Timestamp,
    packet: PacketRef,
    head: Box<[u8]>,
    is_doubtful: bool,
}

/// Datagrams of one flow that are held against QUIC's handshake before it is let go.
const QUIC_DATAGRAMS: u32 = 64;
/// Datagrams that wait for both hellos, where there is a key log, or for their secrets, where it grows.
const EARLY_DATAGRAMS: usize = 64;

impl QuicWork {
    pub(super) fn new() -> Self {
        Self {
            connection: quic::Connection::new(),
            assemblers: [tls::HandshakeAssembler::new(), tls::HandshakeAssembler::new()],
            sides: [handshake::LazySide::default(), handshake::LazySide::default()],
            fed: [0, 0],
            datagrams: 0,
            opening: None,
            early: Few::default(),
            is_looked_up: false,
            begun: None,
        }
    }

    /// Reads one datagram. False when nothing more is to be learned.
    pub(super) fn datagram(
        &mut self,
        facts: &mut Facts,
        meta: &Meta,
        payload: &[u8],
        key_log: Option<&KeyLog>,
    ) -> bool {
        if let Some(opening) = &mut self.opening {
            opening.datagram(facts, meta.direction, meta.packet, payload);
            return true;
        }
        self.datagrams = self.datagrams.saturating_add(1);
        let forward = meta.direction == Direction::Forward;
        if let Err(error) = self.connection.datagram(forward, payload) {
            facts.anomaly(error.field(), meta.packet);
        }
        self.begin(meta, payload);
        self.crypto(facts, meta);
        let heard = self.sides.iter().all(|side| side.done);
        if let Some(key_log) = key_log.filter(|log| !log.is_empty() && !self.is_looked_up) {
            self.seal(facts, meta, payload, key_log, heard);
        }
        let waits = heard && !self.is_looked_up && !self.early.is_empty();
        self.opening.is_some() || waits || (!heard && self.datagrams < QUIC_DATAGRAMS)
    }

    /// What bodies of what was opened hold; `None` where none does.
    #[inline]
    pub(super) fn waiting(&self) -> Option<Wait> {
        self.opening.as_ref()?.waiting()
    }

    /// The flow's last packet has this number in the run.
    pub(super) fn seen(&mut self, number: u64) {
        self.opening.iter_mut().for_each(|opening| opening.seen(number));
    }

    /// Reads no further what bodies are not whole.
    pub(super) fn give_up(&mut self) {
        self.opening.iter_mut().for_each(|opening| opening.give_up());
    }

    /// True for a datagram that begins with a long header without the fixed bit and is of this connection: Version Negotiation, of
    /// whose first byte one bit is fixed and whose ids are the client's, exchanged (RFC 8999 section 6), or a packet of a peer that
    /// clears the bit (RFC 9287).
    pub(super) fn claims(&self, direction: Direction, payload: &[u8]) -> bool {
        match quic::Packets::new(payload).next() {
            Some(Ok(quic::Packet::Negotiation(packet))) => self.begun.as_ref().is_some_and(|begun| {
                begun.direction != direction
                    && !packet.scid.is_empty()
                    && quic::ids(&begun.head) == Some((packet.scid, packet.dcid))
            }),
            Some(Ok(quic::Packet::Long(header))) => self.connection.claims(&header),
            _ => false,
        }
    }

    /// Begins to open what the hellos sealed; until both were read, datagrams wait.
    fn seal(&mut self, facts: &mut Facts, meta: &Meta, payload: &[u8], key_log: &KeyLog, heard: bool) {
        if self.early.len() < EARLY_DATAGRAMS {
            self.early.push((meta.direction, meta.packet, payload.into()));
        }
        let may_come =
            self.sides.iter().any(|side| side.client_random.is_some_and(|random| key_log.may_come(&random)));
        if !heard || (may_come && self.early.len() < EARLY_DATAGRAMS) {
            return;
        }
        self.is_looked_up = true;
        let early = std::mem::take(&mut self.early);
        let Some(version) = self.connection.version() else { return };
        let client =
            if self.connection.facts().roles_swapped { Direction::Reverse } else { Direction::Forward };
        let [client_side, server_side] = &self.sides;
        let opening = QuicOpening::begin(facts, key_log, version, (client_side, client), server_side);
        self.opening = opening.map(Box::new);
        if let Some(opening) = &mut self.opening {
            for (direction, packet, payload) in &early {
                opening.datagram(facts, *direction, *packet, payload);
            }
        }
    }

    /// Remembers the datagram that began the connection; one that is seen twice was seen at two places.
    fn begin(&mut self, meta: &Meta, payload: &[u8]) {
        let head = payload.get(..COPY_BYTES).unwrap_or(payload);
        if let Some(begun) = &mut self.begun {
            begun.is_doubtful |= begun.direction == meta.direction && *begun.head == *head;
            return;
        }
        let (direction, at, packet) = (meta.direction, meta.timestamp, meta.packet);
        self.begun = Some(Begun { direction, at, packet, head: head.into(), is_doubtful: false });
    }

    /// The server's first words answer the client's first datagram.
    fn answered(&self, facts: &mut Facts, meta: &Meta) {
        let Some(begun) = &self.begun else { return };
        if begun.is_doubtful || self.connection.facts().roles_swapped {
            return;
        }
        if begun.direction == Direction::Forward
            && meta.direction == Direction::Reverse
            && self.fed.first().is_some_and(|fed| *fed > 0)
            && self.fed.last() == Some(&0)
            && !self.connection.server_crypto().is_empty()
        {
            let (question, answer) = ((begun.packet, begun.at), (meta.packet, meta.timestamp));
            facts.answers().add(begun.direction, question, answer, Exchange::QuicInitial);
        }
    }

    fn crypto(&mut self, facts: &mut Facts, meta: &Meta) {
        self.answered(facts, meta);
        let streams = [self.connection.client_crypto(), self.connection.server_crypto()];
        let [client, server] = &mut self.sides;
        let [client_assembler, server_assembler] = &mut self.assemblers;
        let [client_fed, server_fed] = &mut self.fed;
        let [client_bytes, server_bytes] = streams;
        let [client_gone, server_gone] = self.connection.gone();
        let mut offered = client.session_id.clone();
        for (side, assembler, fed, bytes, gone) in [
            (client, client_assembler, client_fed, client_bytes, client_gone),
            (server, server_assembler, server_fed, server_bytes, server_gone),
        ] {
            let fresh = bytes.get(fed.saturating_sub(gone)..).filter(|fresh| !fresh.is_empty());
            let Some(fresh) = fresh else { continue };
            *fed = gone.saturating_add(bytes.len());
            let known = facts.tls.get_or_insert_with(Box::default);
            let mut fault = None;
            let result = assembler.feed(fresh, |message| {
                let told = handshake::message(side, known, &message, &offered, Transport::Quic, meta.packet);
                fault = told.err().or(fault);
            });
            if side.is_client {
                side.done = true;
                offered.clone_from(&side.session_id);
            }
            if let Some(field) = fault.or_else(|| result.err().map(|error| error.field())) {
                facts.anomaly(field, meta.packet);
            }
        }
        self.connection.let_go();
    }

    /// Writes down what is known of the connection, where it was one.
    pub(super) fn finish(mut self, facts: &mut Facts, packet: PacketRef) {
        if let Some(opening) = self.opening.take() {
            opening.finish(facts);
        } else if !self.is_looked_up && !self.early.is_empty() {
            let heard = self.sides.iter().all(|side| side.done);
            note_missing(facts, if heard { Missing::NoSecret } else { Missing::NoHandshake });
        }
        self.tell(facts, packet);
    }

    /// What is known of the connection by now, but for what was opened.
    pub(super) fn tell(&self, facts: &mut Facts, packet: PacketRef) {
        let connection = &self.connection;
        let told = connection.facts();
        let believed = connection.is_proven() || connection.is_google() || !told.offered.is_empty();
        let Some(version) = connection.version() else {
            if !told.offered.is_empty() {
                let negotiated = told.offered.iter().map(ToString::to_string).collect();
                facts.quic = Some(Box::new(Quic { negotiated, packet, ..Quic::default() }));
            }
            return;
        };
        if !believed && !version.is_known() {
            return;
        }
        facts.quic = Some(Box::new(Quic {
            version: Some(version.to_compact_string()),
            negotiated: told.offered.iter().map(ToString::to_string).collect(),
            dcid: connection.original_dcid().map(|id| hex(id).into()),
            scid: connection.client_scid().map(|id| hex(id).into()),
            initials_verified: told.initials_verified,
            initials_failed: told.initials_failed,
            retry: told.retry.map(|retry| retry.genuine == Some(true)),
            user_agent: connection
                .google_hello()
                .and_then(|hello| hello.user_agent.as_deref())
                .map(handshake::text),
            packet,
        }));
        if let Some(hello) = connection.google_hello() {
            let known = facts.tls.get_or_insert_with(Box::default);
            if known.sni.is_none() {
                known.sni =
                    hello.server_name.as_deref().filter(|name| !name.is_empty()).map(handshake::host_name);
                known.client_hello = known.client_hello.or(Some(packet));
            }
        }
    }
}

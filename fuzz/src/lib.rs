//! One function per fuzz target: bytes in, nothing out, never a panic.
//!
//! Everything that reads a stranger's bytes has one. Results are walked to their end, because what is lazy breaks
//! late. Arithmetic is checked in this build (`overflow-checks`), so that a silent wrap counts as a crash.

use std::hint::black_box;
use std::io::Cursor;

use meetscope::capture::FileReader;
use meetscope::classify::{self, Rules};
use meetscope::decode::{self, Decoder, Outcome};
use meetscope::fingerprint::{self, Transport};
use meetscope::flow::Direction;
use meetscope::flow::reassembly::{Chunk, Limits, Stream};
use meetscope::geo::{Country, Databases, Exposure, Jurisdictions, OperatorClaim, exposures};
use meetscope::keys::{input, verify};
use meetscope::observe::PacketRef;
use meetscope::observe::facts::Opened;
use meetscope::observe::facts::Sampling;
use meetscope::observe::opened::Finder;
use meetscope::parallel::Threads;
use meetscope::pipeline::{self, Pipeline};
use meetscope::policy::{self, Answer, CIPHERS, Holder, KEYINGS, Known, Participant, Server, Subject};
use meetscope::proto::tls::keylog::{self, KeyLog};
use meetscope::proto::tls::opener::{Agreed, End, Opener};
use meetscope::proto::tls::protection::Suite;
use meetscope::proto::tls::{ClientHello, HandshakeAssembler, ServerHello, certificate};
use meetscope::proto::{demux, dns, dtls, quic, rtcp, rtp, sip, stun, tls, zoom};
use meetscope::time::Timestamp;

/// Packets at most of one input, so that a run stays short.
const MAX_PACKETS: usize = 4096;

/// Pieces of an input, each behind its length of two bytes; the last one may be cut.
fn pieces(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = data.split_first_chunk::<2>()?;
        let (piece, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()));
        data = rest;
        Some(piece)
    })
}

/// A capture file, of any format and compression.
pub fn capture_file(data: &[u8]) {
    let Ok(mut reader) = FileReader::from_reader(Cursor::new(data.to_vec()), String::from("fuzz")) else {
        return;
    };
    for _ in 0..MAX_PACKETS {
        match reader.next() {
            Ok(Some(packet)) => assert!(usize::try_from(packet.original_len).unwrap() >= packet.data.len()),
            Ok(None) | Err(_) => break,
        }
    }
    black_box(reader.into_info());
}

/// Keys as they are typed, tried on the media of a capture: the key text behind a length of two bytes, then the capture.
pub fn key_trial(data: &[u8]) {
    let Some((length, rest)) = data.split_first_chunk::<2>() else { return };
    let (typed, capture) = rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()));
    let _ = black_box(input::value(typed, "the nonce"));
    let keys = match input::key(typed, None, true) {
        Ok(keys) => keys,
        Err(error) => {
            black_box(error.to_string());
            vec![verify::Key::new(&[0x42; 16], "fixed"), verify::Key::new(&[0x42; 30], "fixed")]
        }
    };
    let Ok(mut reader) = FileReader::from_reader(Cursor::new(capture.to_vec()), String::from("fuzz")) else {
        return;
    };
    let Ok(rules) = classify::embedded() else { return };
    let config = pipeline::Config { sampling: Sampling::SOME, ..pipeline::Config::default() };
    let mut pipeline = Pipeline::new(&config, &rules);
    for frame in 1..=256 {
        let Ok(Some(packet)) = reader.next() else { break };
        let _ = pipeline.packet(0, frame, &packet);
    }
    let flows = pipeline.finish().flows;
    let mut material = verify::Material::new(keys);
    material.effort = verify::Effort::QUICK;
    let answer = verify::verify(&flows, &material);
    for (_, hit) in answer.hits() {
        assert!(hit.log10_bound < verify::bound::ACCEPT && hit.opened <= hit.of);
    }
}

/// Frames of one link type; each piece begins with a byte of time.
pub fn decoder(data: &[u8]) {
    let Some((head, rest)) = data.split_first_chunk::<3>() else { return };
    let config = decode::Config { drop_duplicates: head[2] & 1 == 0, open_tunnels: head[2] & 2 == 0 };
    let mut decoder = Decoder::new(config);
    let link_type = u16::from_be_bytes([head[0], head[1]]);
    let mut now = 0_i64;
    for piece in pieces(rest) {
        let Some((time, frame)) = piece.split_first() else { continue };
        now += i64::from(*time) << 20;
        let length = u32::try_from(frame.len()).unwrap() + u32::from(head[2] >> 2);
        if let Outcome::Packet(decoded) = decoder.decode(link_type, Timestamp::from_nanos(now), frame, length)
        {
            black_box((decoded.transport.payload().len(), decoded.path.to_string()));
        }
    }
    black_box(decoder.counters().clone());
}

fn client_hello(hello: &ClientHello<'_>, transport: Transport) {
    black_box((fingerprint::ja3(hello), fingerprint::ja3_string(hello)));
    black_box((fingerprint::ja4(hello, transport), fingerprint::ja4_raw(hello, transport)));
    black_box((hello.server_name(), hello.ech(), hello.cookie(), hello.newest_version(), hello.oddity()));
    black_box((hello.alpn().count(), hello.srtp_profiles().count(), hello.key_share_groups().count()));
}

fn handshake(kind: u8, body: &[u8], transport: Transport) {
    match kind {
        1 => {
            let hello = match transport {
                Transport::Datagram => ClientHello::parse_datagram(body),
                Transport::Tcp | Transport::Quic => ClientHello::parse(body),
            };
            if let Ok(hello) = hello {
                client_hello(&hello, transport);
            }
        }
        2 => {
            if let Ok(hello) = ServerHello::parse(body) {
                black_box((fingerprint::ja3s(&hello), hello.version(), hello.alpn(), hello.srtp_profile()));
                black_box((hello.key_share_group(), hello.oddity()));
            }
        }
        8 => drop(black_box(tls::EncryptedExtensions::parse(body).map(|it| it.alpn().map(<[u8]>::len)))),
        11 => {
            for chain in
                [certificate::Chain::parse(body), certificate::Chain::parse_1_3(body)].into_iter().flatten()
            {
                chain.certificates().for_each(|der| drop(black_box(certificate::Facts::parse(der))));
            }
        }
        _ => {}
    }
}

/// One direction of a TLS stream; also the bare body of a hello.
pub fn tls_stream(data: &[u8]) {
    black_box(tls::probe(data));
    let mut assembler = HandshakeAssembler::new();
    for record in tls::Records::new(data).map_while(Result::ok) {
        let fed = assembler
            .feed(record.fragment, |message| handshake(message.kind.0, message.body, Transport::Tcp));
        black_box((fed.is_ok(), tls::Alert::parse(record.fragment).is_ok()));
    }
    assert!(assembler.buffered() <= tls::MAX_MESSAGE_LENGTH + 4);
    for kind in [1, 2, 8, 11] {
        handshake(kind, data, Transport::Tcp);
    }
}

/// The lines of a key log, and secrets of a session that it may have.
pub fn key_log(data: &[u8]) {
    let mut log = KeyLog::new();
    let counts = log.add(0, data);
    assert!(counts.secrets + counts.malformed + counts.unused <= counts.lines);
    for line in data.split(|byte| *byte == b'\n') {
        if let Ok(keylog::Line::Secret { client_random, .. }) = keylog::parse_line(line) {
            assert!(log.find(&client_random).is_some());
        }
    }
    black_box(log.find(&[0; 32]));
}

/// Secrets that fit no record, under every label.
fn any_secrets() -> keylog::Secrets {
    let mut log = KeyLog::new();
    let random = "00".repeat(32);
    for label in [
        "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
        "SERVER_HANDSHAKE_TRAFFIC_SECRET",
        "CLIENT_TRAFFIC_SECRET_0",
        "SERVER_TRAFFIC_SECRET_0",
        "CLIENT_RANDOM",
    ] {
        log.add(0, format!("{label} {random} {}", "07".repeat(48)).as_bytes());
    }
    log.find(&[0; 32]).unwrap().0
}

/// Protected records and packets of both directions; the first bytes say which suite and version, that of a piece who sent it.
/// A fuzzer finds no tag that fits, so this is about what stands before and around it.
pub fn record_opening(data: &[u8]) {
    const SUITES: [u16; 8] = [0x1301, 0x1302, 0x1303, 0x1304, 0x1305, 0xc02b, 0xcca9, 0xc0ac];
    let Some((&head, rest)) = data.split_first() else { return };
    let suite = tls::CipherSuite(SUITES[usize::from(head & 7)]);
    let secrets = any_secrets();
    let agreed = Agreed {
        version: tls::ProtocolVersion(if head & 7 < 5 { 0x0304 } else { 0x0303 }),
        suite,
        client_random: [0; 32],
        server_random: [1; 32],
        early_data: head & 8 != 0,
    };
    let mut opener = Opener::new(&agreed, &secrets).unwrap();
    let version = if head & 16 == 0 { quic::Version::V1 } else { quic::Version::V2 };
    let mut packets = Suite::of(suite).and_then(|suite| quic::opener::Opener::new(version, suite, &secrets));
    let mut out = zeroize::Zeroizing::new(Vec::new());
    for piece in pieces(rest) {
        let Some((side, bytes)) = piece.split_first() else { continue };
        let end = if side & 1 == 0 { End::Client } else { End::Server };
        for record in tls::Records::new(bytes).map_while(Result::ok) {
            black_box(opener.record(end, &record, &mut out, |message| {
                black_box(message.body.len());
            }));
        }
        if let Some(packets) = &mut packets {
            packets.datagram(end, bytes, |content| {
                black_box(content);
            });
        }
    }
    black_box((
        opener.is_given_up(End::Client),
        packets.map(|packets| (packets.counts(), packets.missing())),
    ));
}

/// Datagrams of one direction of a DTLS association.
pub fn dtls_datagrams(data: &[u8]) {
    let mut reassembler = dtls::Reassembler::new();
    for datagram in pieces(data) {
        black_box((dtls::probe(datagram), dtls::goes_on(datagram)));
        for record in dtls::Records::new(datagram).map_while(Result::ok) {
            let dtls::Record::Plain(record) = record else { continue };
            for fragment in dtls::Fragments::new(record.fragment).map_while(Result::ok) {
                if let Some(message) = reassembler.push(fragment) {
                    black_box(dtls::HelloVerifyRequest::parse(message.body).is_ok());
                    handshake(message.kind.0, message.body, Transport::Datagram);
                }
            }
        }
    }
    assert!(reassembler.buffered() <= dtls::MAX_BUFFERED * 8);
}

/// Datagrams of both directions of a QUIC connection; the first byte of a piece says which.
pub fn quic_connection(data: &[u8]) {
    let mut connection = quic::Connection::new();
    for piece in pieces(data) {
        let Some((side, datagram)) = piece.split_first() else { continue };
        black_box((quic::probe(datagram), quic::ids(datagram)));
        black_box(quic::Packets::new(datagram).take(64).count());
        black_box(connection.datagram(side & 1 == 0, datagram).is_ok());
    }
    for bytes in [connection.client_crypto(), connection.server_crypto()] {
        let mut assembler = HandshakeAssembler::new();
        let fed = assembler.feed(bytes, |message| handshake(message.kind.0, message.body, Transport::Quic));
        black_box(fed.is_ok());
    }
    black_box((connection.facts(), connection.google_hello(), connection.is_proven()));
}

fn stun_message(message: &stun::Message<'_>) {
    let addresses =
        (message.reflexive_address(), message.xor_relayed_address(), message.xor_peer_addresses().count());
    black_box((addresses, message.other_address(), message.response_origin(), message.alternate_server()));
    black_box((message.ms_remote_address(), message.ms_destination_address(), message.is_ms_turn()));
    black_box((message.username(), message.ufrags(), message.realm(), message.nonce(), message.software()));
    black_box((message.error_code(), message.fingerprint_matches(), message.data(), message.is_whole()));
    for attribute in message.attributes() {
        black_box((attribute.text(), attribute.error_code().is_ok(), attribute.address().is_ok()));
    }
}

/// A datagram or a stream of STUN, TURN and what wraps them.
pub fn stun_turn(data: &[u8]) {
    black_box((stun::probe(data), stun::ChannelData::fits(data), stun::ChannelData::parse(data).is_ok()));
    black_box(stun::ms_mux::parse(data).is_ok());
    if let Ok(message) = stun::Message::parse(data) {
        stun_message(&message);
    }
    if let stun::tcp::Detection::Found(framing) = stun::tcp::detect(data) {
        let mut rest = data;
        while let Ok(Some((frame, length))) = stun::tcp::next_frame(framing, rest) {
            assert!(length > 0, "a frame takes at least one byte");
            black_box(&frame);
            rest = &rest[length..];
        }
    }
}

/// Zoom's sealed units: each piece begins with a sequence number and a byte of the timestamp.
pub fn zoom_units(data: &[u8]) {
    let mut assembler = zoom::Assembler::default();
    for piece in pieces(data) {
        let Some((&[high, low, stamp], payload)) = piece.split_first_chunk::<3>() else { continue };
        for field in [zoom::LengthField::U16, zoom::LengthField::U32] {
            black_box(
                zoom::parse_unit(payload, field).is_ok_and(|unit| unit.ciphertext.len() <= payload.len()),
            );
        }
        let sequence = u16::from_be_bytes([high, low]);
        if let Some(unit) = assembler.packet(sequence, stamp.into(), payload) {
            assert!(unit.len() <= data.len());
            black_box(zoom::parse_unit(unit, zoom::LengthField::U32).is_ok());
        }
    }
    black_box(assembler.dropped());
}

/// RTP and RTCP datagrams; the first byte of a piece is time.
pub fn rtp_rtcp(data: &[u8]) {
    let mut stream: Option<rtp::stats::Stream> = None;
    let mut now = 0_i64;
    for piece in pieces(data) {
        let Some((time, packet)) = piece.split_first() else { continue };
        now += i64::from(*time) << 20;
        let now = Timestamp::from_nanos(now);
        black_box((
            rtp::probe(packet),
            rtp::probe_clear(packet),
            rtcp::probe(packet),
            demux::is_zrtp(packet),
        ));
        black_box(demux::candidates(packet).iter().count());
        if let Some(peek) = rtp::peek(packet) {
            match &mut stream {
                Some(stream) => stream.update(&peek, packet.len(), now),
                None => stream = Some(rtp::stats::Stream::new(&peek, packet.len(), now, Some(90_000))),
            }
        }
        if let Ok(header) = rtp::Header::parse(packet) {
            black_box((header.csrcs().count(), header.padding_length(), header.payload().len()));
            black_box(header.elements().count());
        }
        if let Ok(compound) = rtcp::Compound::parse(packet) {
            black_box(compound.looks_encrypted());
            for part in compound {
                black_box((part.ssrc(), part.body().is_ok()));
                match part.body() {
                    Ok(rtcp::Body::SenderReport(report)) => drop(black_box(report.blocks.count())),
                    Ok(rtcp::Body::Bye(bye)) => drop(black_box(bye.ssrcs().count())),
                    _ => {}
                }
            }
        }
    }
    if let Some(stream) = stream {
        black_box((stream.lost_by_count(), stream.duplicates()));
        black_box((stream.jitter_units(), stream.jitter_max_ms(), stream.payload_types().count()));
    }
}

/// A DNS message, and a stream of them.
pub fn dns_message(data: &[u8]) {
    black_box((dns::probe(data), dns::parse(data).is_ok()));
    let mut rest = data;
    while let Ok((message, after)) = dns::split_tcp(rest) {
        assert!(after.len() < rest.len());
        black_box(dns::parse(message).is_ok());
        rest = after;
    }
}

/// A SIP message with what it carries, and a session description alone.
pub fn sip_message(data: &[u8]) {
    black_box((sip::probe(data), sip::message_length(data).is_ok(), sip::Sdp::parse(data).is_ok()));
    if let Ok(message) = sip::parse(data) {
        black_box((&message, message.sdp()));
    }
}

/// Zoom's framing in both generations.
pub fn zoom_datagram(data: &[u8]) {
    black_box((zoom::probe_sfu(data), zoom::probe_p2p(data)));
    for generation in [zoom::Generation::from_version(2), zoom::Generation::from_version(3)] {
        black_box(zoom::parse_sfu(data, Some(generation)).is_ok());
        for offset in [zoom::media_offset(data, generation), zoom::inner_media_offset(data, generation)] {
            assert!(offset.is_none_or(|offset| offset <= data.len()));
        }
    }
    black_box(zoom::parse_sfu(data, None).is_ok());
    if let Ok(inner) = zoom::parse_inner(data) {
        black_box(inner.rtp().and_then(rtp::peek));
    }
}

/// TCP segments of one direction, against a byte-for-byte model: what is delivered is what was first sent there.
pub fn reassembly(data: &[u8]) {
    let Some((&caps, rest)) = data.split_first() else { return };
    let limits = Limits { held_bytes: u32::from(caps) << 4, held_segments: u32::from(caps >> 3) + 1 };
    let mut stream = Stream::new(limits);
    let mut out = 0_u64;
    let mut sink = |chunk: Chunk<'_>| {
        out += match chunk {
            Chunk::Data(bytes) => u64::try_from(bytes.len()).unwrap(),
            Chunk::Gap(bytes) => bytes,
        };
    };
    for piece in pieces(rest) {
        let Some((head, payload)) = piece.split_first_chunk::<4>() else { continue };
        // Positions near the wrap of the sequence space.
        let sequence = u32::from(u16::from_be_bytes([head[0], head[1]])).wrapping_sub(0x4000);
        match head[2] & 7 {
            0 => stream.acknowledged(sequence, &mut sink),
            flags => {
                let cut = if flags & 4 == 4 { usize::from(head[3]) } else { 0 };
                stream.segment(sequence, flags == 2, payload, payload.len() + cut, &mut sink);
            }
        }
    }
    stream.flush(&mut sink);
    assert!(stream.stats().gap_bytes <= out, "every gap was told");
}

/// A location database. Only files can be opened, so the bytes go through one.
pub fn location_database(data: &[u8]) {
    let path = std::env::temp_dir().join(format!("meetscope-fuzz-{}.mmdb", std::process::id()));
    std::fs::write(&path, data).unwrap();
    let mut databases = Databases::empty();
    if databases.add_file(&path).is_ok() {
        for ip in ["1.1.1.1", "52.81.151.250", "10.0.0.1", "2001:4860:4860::8888", "::ffff:8.8.8.8"] {
            let place = databases.lookup_at(ip.parse().unwrap(), Some(Timestamp::from_nanos(1)));
            black_box(meetscope::geo::exposures(&place, &[]));
        }
        black_box(databases.info());
        black_box(Databases::verify_file(&path).is_ok());
    }
}

/// A provider file.
pub fn provider_file(data: &[u8]) {
    const SOURCES: &str = include_str!("../../providers/sources.toml");
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Rules::compile([("fuzz.toml", text)], SOURCES) {
        Ok(rules) => drop(black_box((rules.host_role("www.zoom.us"), rules.wire_patterns()))),
        Err(error) => drop(black_box(error.to_string())),
    }
}

/// A policy file, and behind its first zero byte the facts of a session that it is judged over.
pub fn policy(data: &[u8]) {
    thread_local!(static WORLD: (Jurisdictions, Databases) =
        (Jurisdictions::embedded().unwrap(), Databases::embedded().unwrap()));
    const APPS: [(&str, &str); 3] = [("zoom", "zoom"), ("teams", "ms-teams"), ("webex", "webex")];
    let end = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (text, facts) = data.split_at(end);
    let Ok(text) = std::str::from_utf8(text) else { return };
    WORLD.with(|(table, databases)| {
        let groups: Vec<&str> = table.groups().iter().map(|group| group.id.as_str()).collect();
        match policy::parse(&[("fuzz.toml", text)], &Known { apps: &APPS, groups: &groups }) {
            Ok(rules) => {
                let mut bytes = facts.iter().copied().chain(std::iter::repeat(0));
                let mut draw = || bytes.next().unwrap();
                let reached: Vec<Vec<Exposure>> =
                    (0..4).map(|_| arbitrary_exposure(databases, [draw(), draw(), draw()])).collect();
                let subject = arbitrary_subject(&reached, &mut draw);
                for outcome in rules.evaluate(&subject, table) {
                    assert!(!outcome.reasons.is_empty() && outcome.reasons.len() <= policy::MAX_REASONS);
                    black_box(outcome.fires());
                }
            }
            Err(errors) => {
                assert!(!errors.errors.is_empty() && errors.errors.len() <= policy::MAX_ERRORS);
                assert!(errors.errors.iter().all(|error| error.line >= 1 && error.column >= 1));
                black_box(errors.to_string());
            }
        }
    });
}

/// What reaches a server somewhere: its address and the home of its operator are drawn.
fn arbitrary_exposure(databases: &Databases, [high, low, home]: [u8; 3]) -> Vec<Exposure> {
    const HOMES: [&str; 6] = ["US", "CN", "DE", "EU", "x", ""];
    let place = databases.lookup([high, low, 1, 1].into());
    let country = HOMES[usize::from(home) % HOMES.len()];
    exposures(&place, &[OperatorClaim { operator: "fuzz", country, source: "fuzz", date: "2026-01-01" }])
}

fn arbitrary_subject<'a>(reached: &'a [Vec<Exposure>], draw: &mut impl FnMut() -> u8) -> Subject<'a> {
    const ROLES: [&str; 4] = ["media", "signalling", "relay", "web"];
    const NAMES: [Option<&str>; 4] = [None, Some("zc.zoom.us"), Some("a.zoomgov.com"), Some("\u{e9}.com")];
    let country = |byte: u8| Country::parse(["CA", "US", "CN", "DE"][usize::from(byte) % 4]);
    let servers: Vec<Server<'_>> = reached
        .iter()
        .map(|exposure| Server {
            address: [10, draw(), 0, 1].into(),
            name: NAMES[usize::from(draw()) % 4],
            roles: vec![ROLES[usize::from(draw()) % 4]],
            exposure,
            contradicted: country(draw()).into_iter().filter(|_| draw() % 8 == 7).collect(),
            front_end: (draw() % 8 == 7).then_some("fuzz"),
        })
        .collect();
    let participants: Vec<Participant<'_>> = (0..draw() % 3)
        .map(|_| Participant {
            session: "s1",
            addresses: vec![[10, draw(), 3, 4].into()],
            placed: (0..draw() % 3).filter_map(|_| Some((country(draw())?, "fuzz".to_owned()))).collect(),
        })
        .collect();
    let holders = servers.iter().map(|server| Holder {
        server: server.clone(),
        could_hold: [Answer::Yes, Answer::Unknown, Answer::No][usize::from(draw()) % 3],
        confidence: f32::from(draw()) / 200.0 - 0.1,
        why: None,
    });
    Subject {
        holders: holders.collect(),
        app: [None, Some("zoom"), Some("webex")][usize::from(draw()) % 3],
        app_name: Some("an app"),
        endpoint: vec![[10, draw(), 3, 4].into()],
        participants,
        operator_home: country(draw()).filter(|_| draw() % 2 == 0),
        begin: Timestamp::from_nanos(i64::from(draw()) << 55),
        keying: KEYINGS[usize::from(draw()) % KEYINGS.len()],
        end_to_end_possible: draw() % 2 == 1,
        key_in_clear: [None, Some((Answer::Yes, "clear")), Some((Answer::Unknown, "clear"))]
            [usize::from(draw()) % 3],
        cipher: (draw() % 4 > 0).then(|| (CIPHERS[usize::from(draw()) % CIPHERS.len()], "words")),
        servers,
    }
}

/// A capture file through all stages, up to sessions and keys.
pub fn whole_pipeline(data: &[u8]) {
    thread_local!(static RULES: Rules = classify::embedded().unwrap());
    let Ok(mut reader) = FileReader::from_reader(Cursor::new(data.to_vec()), String::from("fuzz")) else {
        return;
    };
    RULES.with(|rules| {
        let config = pipeline::Config { max_flows: 64, ..pipeline::Config::default() };
        let mut pipeline = Pipeline::new(&config, rules);
        for frame in 1..=MAX_PACKETS {
            let Ok(Some(packet)) = reader.next() else { break };
            pipeline.packet(0, u64::try_from(frame).unwrap(), &packet).unwrap();
        }
        let ended = pipeline.finish();
        assert_eq!(ended.counts.seen, ended.counts.analysed + ended.counts.filtered);
        black_box(pipeline::analyse(rules, &mut pipeline::Memory::default(), ended.flows, Threads::ONE));
    });
}

/// What was opened of a connection: each piece begins with a byte of direction, packet and stream.
pub fn opened_signalling(data: &[u8]) {
    let mut finder = Finder::new();
    for (number, piece) in pieces(data).enumerate() {
        let Some((head, bytes)) = piece.split_first() else { continue };
        let direction = if head & 1 == 0 { Direction::Forward } else { Direction::Reverse };
        let packet = PacketRef::new(0, u64::try_from(number).unwrap() + 1);
        if head & 2 == 0 {
            finder.data(direction, packet, bytes);
        } else {
            finder.stream(direction, u64::from(head >> 2), packet, bytes);
        }
    }
    let mut opened = Opened::default();
    finder.finish(&mut opened);
    assert!(opened.candidates.iter().all(|one| (12..=64).contains(&one.value.len())));
}

//! Sessions and meetings of flows that are made here: what is expected is how they were made.

use std::net::SocketAddr;

use super::*;
use crate::classify::Verdict;
use crate::flow::Direction;
use crate::observe::facts::{
    Facts, Media, MediaKind, Pace, PaceWay, RtpStream, Sip, Sketch, Stun, Tls, Wrapping, Zoom,
};
use crate::observe::{Outline, PacketRef, Summary};
use crate::proto::rtp::Peek;
use crate::proto::rtp::runs::Runs;
use crate::proto::rtp::series::Series;
use crate::proto::rtp::stats::Stream;

const ALICE: &str = "10.0.0.1:50000";
const BOB: &str = "10.0.0.2:50000";
const CAROL: &str = "10.0.0.3:50000";
const SERVER: &str = "198.51.100.7:8801";
const UDP: u8 = 17;
const TCP: u8 = 6;
/// Some app; which one matters to nobody here.
const APP: Option<u16> = Some(3);

pub(super) fn at_ms(millis: i64) -> Timestamp {
    Timestamp::from_nanos(1_600_000_000_000_000_000 + millis * 1_000_000)
}

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Somebody who speaks: 50 packets a second, each of a length that no rule foretells, numbered from a number and a timestamp
/// that its seed chose.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    pub(crate) ssrc: u32,
    pub(crate) seed: u32,
    /// Added to what the seed chose, as a server does that numbers anew.
    pub(crate) renumbered: u16,
}

fn mixed(seed: u32) -> u32 {
    let state = seed.wrapping_mul(0x9e37_79b9) ^ 0x85eb_ca6b;
    let state = (state ^ state >> 15).wrapping_mul(0x2c1b_3c6d);
    let state = (state ^ state >> 12).wrapping_mul(0x297a_2d39);
    state ^ state >> 15
}

impl Source {
    pub(crate) const fn new(ssrc: u32, seed: u32) -> Self {
        Self { ssrc, seed, renumbered: 0 }
    }

    /// The same sound under another source and other numbers.
    const fn forwarded(self, ssrc: u32) -> Self {
        Self { ssrc, renumbered: 7_777, ..self }
    }

    /// What a tap sees of it from `from` to `to` (ms), each packet `delay` ms late.
    pub(crate) fn seen(self, way: Direction, from: i64, to: i64, delay: i64, packet: u64) -> RtpStream {
        let peek = |index: i64| {
            let index = u32::try_from(index).unwrap();
            let number = mixed(self.seed).wrapping_add(index).wrapping_add(u32::from(self.renumbered));
            Peek {
                payload_type: 112,
                marker: false,
                sequence: u16::try_from(number & 0xffff).unwrap(),
                timestamp: mixed(self.seed ^ 0xffff)
                    .wrapping_add(u32::from(self.renumbered) << 16)
                    .wrapping_add(index * 960),
                ssrc: self.ssrc,
                header_length: 12,
            }
        };
        let length = |index: i64| {
            40 + u16::try_from(mixed(self.seed ^ u32::try_from(index).unwrap() << 8) & 0xff).unwrap()
        };
        let time = |index: i64| at_ms(index * 20 + delay);
        let (first, end) = (from / 20, to / 20);
        let mut stats = Stream::new(&peek(first), usize::from(length(first)), time(first), Some(48_000));
        let mut sketch = Sketch::default();
        sketch.packet(peek(first).sequence, length(first), time(first));
        for index in first + 1..end {
            stats.update(&peek(index), usize::from(length(index)), time(index));
            sketch.packet(peek(index).sequence, length(index), time(index));
        }
        RtpStream {
            samples: None,
            cipher: None,
            direction: way,
            ssrc: self.ssrc,
            wrapping: Wrapping::None,
            kind: Some(MediaKind::Audio),
            kind_source: None,
            repairs: None,
            payload_types: Vec::new(),
            extension_profile: None,
            stats,
            series: Series::new(time(first)),
            losses: Runs::new().losses(),
            sketch,
            frames: None,
            jitter_mean_ms: None,
            jitter_max_ms: None,
            frame_jitter_ms: None,
            level: None,
            packet: PacketRef::new(0, packet),
            start: time(first),
            last: time(end - 1),
        }
    }
}

/// A flow of the endpoint at `local`, from `from` to `to` in ms.
pub(crate) fn flow(id: u64, local: &str, remote: &str, (from, to): (i64, i64)) -> Judged {
    let (source, destination) = (socket(local), socket(remote));
    let tuple = FiveTuple { source, destination, protocol: UDP };
    Judged {
        flow: Summary::from(Outline {
            start: at_ms(from),
            end: at_ms(to),
            packets: [500, 500],
            bytes: [50_000, 50_000],
            payload: [45_800, 45_800],
            facts: Some(Box::default()),
            ..Outline::plain(id, tuple)
        }),
        verdict: Verdict { provider: APP, role: Some(Role::Media), confidence: 0.9, ..Verdict::default() },
        local_is_source: true,
    }
}

impl Judged {
    fn facts(&mut self) -> &mut Facts {
        self.flow.facts.as_mut().unwrap()
    }

    fn role_of(mut self, role: Role) -> Self {
        self.verdict.role = Some(role);
        self
    }

    fn stream(mut self, source: Source, way: Direction, delay: i64) -> Self {
        let base = at_ms(0);
        let millis = |time: Timestamp| i64::try_from(time.since(base).as_millis()).unwrap();
        let received = if way == Direction::Reverse { 1000 } else { 0 };
        let (from, to, packet) = (millis(self.flow.start), millis(self.flow.end), self.flow.id + received);
        let stream = source.seen(way, from, to, delay, packet);
        self.facts().media.get_or_insert_with(|| Box::new(Media::default())).streams.push(stream);
        self
    }

    /// The endpoint sends this.
    pub(crate) fn sends(self, source: Source) -> Self {
        self.stream(source, Direction::Forward, 0)
    }

    /// The endpoint receives this, 40 ms after it was sent.
    fn receives(self, source: Source) -> Self {
        self.stream(source, Direction::Reverse, 40)
    }

    fn zoom(mut self, bind: &str) -> Self {
        let zoom = Zoom { bind_id: Some(bind.to_owned()), packets: 500, ..Zoom::default() };
        self.facts().zoom = Some(Box::new(zoom));
        self
    }

    fn ice(mut self, username: &str) -> Self {
        let packet = self.flow.first_packet;
        let stun = Stun { usernames: vec![(username.to_owned(), packet)], ..Stun::default() };
        self.facts().stun = Some(Box::new(stun));
        self
    }
}

fn sessions(flows: &[Judged]) -> Vec<Session> {
    let rules = crate::classify::embedded().unwrap();
    let sessions = assemble(&rules, &Names::default(), flows, Threads::ONE);
    // Who asks for no more than which flows belong together is told the same, in the same order.
    let told = members(flows, Threads::ONE).into_iter().map(|session| (session.id, session.flows));
    let of = sessions.iter().map(|session| (session.id, session.flows.clone()));
    assert_eq!(told.collect::<Vec<_>>(), of.collect::<Vec<_>>());
    sessions
}

fn ids(sessions: &[Session]) -> Vec<u64> {
    sessions.iter().map(|session| session.id).collect()
}

/// The sessions of each meeting.
fn met(flows: &[Judged]) -> Vec<Vec<u64>> {
    meetings(flows).into_iter().map(|meeting| meeting.sessions).collect()
}

fn meetings(flows: &[Judged]) -> Vec<Meeting> {
    Meetings::default().join(flows, &sessions(flows))
}

const ME: Source = Source::new(0x5555_0001, 1);
const YOU: Source = Source::new(0x6666_0001, 2);
const THEM: Source = Source::new(0x7777_0001, 3);

#[test]
fn nat_that_binds_anew_changes_the_port_and_not_the_session() {
    let flows = [
        flow(1, "203.0.113.5:40000", SERVER, (0, 30_000)).sends(ME).receives(YOU),
        flow(2, "203.0.113.5:61234", SERVER, (31_000, 60_000)).sends(ME).receives(YOU),
    ];
    let made = sessions(&flows);
    assert_eq!(ids(&made), [1]);
    let change = made[0].changes.first().unwrap();
    assert_eq!((change.from.port(), change.to.port(), change.why), (40_000, 61_234, Why::SameStream));
    assert_eq!((change.at, change.packet), (at_ms(31_000), PacketRef::new(0, 2)));
    assert_eq!(made[0].addresses.len(), 1);
}

#[test]
fn ice_restart_from_another_port_is_the_same_session() {
    let flows = [
        flow(1, ALICE, SERVER, (0, 30_000)).ice("serv:abcd").sends(ME).receives(YOU),
        flow(2, "10.0.0.1:51111", SERVER, (28_000, 60_000)).ice("new1:new2").sends(THEM).receives(YOU),
    ];
    assert_eq!(ids(&sessions(&flows)), [1]);
}

#[test]
fn from_wifi_to_lte_is_one_session_with_two_addresses() {
    let flows = [
        flow(1, "192.168.1.20:50000", SERVER, (0, 30_000)).sends(ME).receives(YOU),
        flow(2, "10.33.0.9:41000", SERVER, (30_500, 60_000)).sends(ME).receives(YOU),
        flow(3, "10.33.0.10:41000", SERVER, (30_500, 60_000)).sends(THEM).receives(YOU),
    ];
    let made = sessions(&flows);
    assert_eq!(ids(&made), [1, 3]);
    let used: Vec<String> = made[0].addresses.iter().map(|used| used.ip.to_string()).collect();
    assert_eq!(used, ["192.168.1.20", "10.33.0.9"]);
    assert_eq!(made[0].endpoint.to_string(), "192.168.1.20");
    assert_eq!(made[0].changes.len(), 1);
    assert_eq!(made[0].quality.sent.packets, 1500 + 1475);
}

#[test]
fn the_same_ice_pair_from_another_address_to_the_same_server_is_one_client() {
    let flows = [
        flow(1, "192.168.1.20:50000", SERVER, (0, 40_000)).ice("serv:abcd").sends(ME),
        flow(2, "10.33.0.9:41000", SERVER, (2_000, 60_000)).ice("serv:abcd"),
    ];
    assert_eq!(ids(&sessions(&flows)), [1]);
}

#[test]
fn an_address_that_another_takes_over_is_not_a_move() {
    // Somebody leaves, somebody else comes: other sources, other connection.
    let flows = [
        flow(1, ALICE, SERVER, (0, 30_000)).sends(ME).receives(YOU),
        flow(2, BOB, SERVER, (30_500, 60_000)).sends(THEM).receives(YOU),
    ];
    assert_eq!(ids(&sessions(&flows)), [1, 2]);
}

#[test]
fn zoom_numbers_its_sources_alike_in_all_meetings_and_moves_nobody() {
    let low = |seed| Source::new(0x0100_0402, seed);
    let two = [
        flow(1, ALICE, SERVER, (0, 30_000)).zoom("aa").sends(low(1)),
        flow(2, BOB, SERVER, (30_500, 60_000)).zoom("bb").sends(low(2)),
    ];
    assert_eq!(ids(&sessions(&two)), [1, 2]);
    let moved = [
        flow(1, ALICE, SERVER, (0, 30_000)).zoom("aa").sends(low(1)),
        flow(2, BOB, SERVER, (30_500, 60_000)).zoom("aa").sends(low(1)),
    ];
    assert_eq!(ids(&sessions(&moved)), [1]);
}

#[test]
fn a_pause_and_a_call_long_after() {
    let flows = [
        flow(1, ALICE, SERVER, (0, 30_000)).sends(ME),
        flow(2, "10.0.0.1:51111", "198.51.100.9:8801", (90_000, 120_000)).sends(THEM),
        flow(3, "10.0.0.1:52222", "198.51.100.9:8801", (400_000, 420_000)).sends(YOU),
    ];
    assert_eq!(ids(&sessions(&flows)), [1, 3]);
}

#[test]
fn udp_that_falls_back_to_tcp_goes_on() {
    let mut tls = flow(2, "10.0.0.1:52000", "198.51.100.7:443", (35_000, 600_000)).role_of(Role::Web);
    tls.flow.tuple.protocol = TCP;
    tls.flow.packets = [20_000, 22_000];
    let flows = [flow(1, ALICE, SERVER, (0, 30_000)).sends(ME).receives(YOU), tls];
    let made = sessions(&flows);
    assert_eq!(ids(&made), [1]);
    assert_eq!(made[0].end, at_ms(600_000));
    assert_eq!(made[0].changes.first().map(|change| change.why), Some(Why::FallbackToTcp));
}

#[test]
fn two_calls_at_once_are_told_apart_where_nothing_ties_them() {
    let flows = [
        flow(1, ALICE, "203.0.113.8:40000", (0, 60_000)).role_of(Role::P2p).sends(ME).receives(YOU),
        flow(2, "10.0.0.1:52222", "198.51.100.9:41000", (20_000, 60_000))
            .role_of(Role::P2p)
            .sends(THEM)
            .receives(Source::new(0x7777_8888, 9)),
        // Checks that nobody answered with media: to the call that they lie in.
        flow(3, "10.0.0.1:52223", "198.51.100.10:41000", (20_000, 25_000)).role_of(Role::Nat),
    ];
    assert_eq!(ids(&sessions(&flows)), [1, 2]);
}

#[test]
fn streams_of_one_call_to_servers_side_by_side_are_one_session() {
    let flows = [
        flow(1, ALICE, "198.51.100.7:3479", (0, 60_000)).sends(ME).receives(YOU),
        flow(2, "10.0.0.1:50001", "198.51.100.8:3480", (0, 60_000)).sends(THEM).receives(YOU),
        flow(3, "10.0.0.1:50002", "203.0.113.1:3480", (0, 60_000)).sends(Source::new(0x8888_0001, 8)),
    ];
    assert_eq!(ids(&sessions(&flows)), [1]);
}

#[test]
fn a_change_of_path_in_which_both_carry_media_for_a_moment_is_one_session() {
    let flows = [
        flow(1, ALICE, SERVER, (0, 30_000)).sends(ME).receives(YOU),
        flow(2, "10.0.0.1:51111", "203.0.113.9:5000", (26_000, 60_000))
            .role_of(Role::P2p)
            .sends(THEM)
            .receives(YOU),
    ];
    assert_eq!(ids(&sessions(&flows)), [1]);
}

/// Two members of a Zoom meeting: each one's stream goes up, and down to the other.
fn zoom_pair(first: u64, ends: [&str; 2], seeds: [u32; 2], span: (i64, i64)) -> [Judged; 2] {
    let sources = [Source::new(0x0100_0402, seeds[0]), Source::new(0x0100_0802, seeds[1])];
    [
        flow(first, ends[0], SERVER, span).zoom("aa").sends(sources[0]).receives(sources[1]),
        flow(first + 1, ends[1], SERVER, span).zoom("bb").sends(sources[1]).receives(sources[0]),
    ]
}

#[test]
fn two_members_of_a_zoom_meeting_are_joined_by_their_copies() {
    let found = meetings(&zoom_pair(1, [ALICE, BOB], [1, 2], (0, 60_000)));
    assert_eq!(found.len(), 1);
    let meeting = &found[0];
    assert_eq!((meeting.id, &meeting.sessions[..], meeting.participants), (1, &[1, 2][..], 2));
    assert!(meeting.confidence > 0.95, "{meeting:?}");
    let copies: Vec<_> = meeting.joined_by.iter().filter(|joint| joint.what == "stream_copy").collect();
    assert_eq!(copies.len(), 2);
    assert!(copies.iter().any(|copy| copy.packets == [PacketRef::new(0, 1), PacketRef::new(0, 1002)]));
}

#[test]
fn two_zoom_meetings_with_equal_sources_on_one_server_are_two() {
    let mut flows = Vec::from(zoom_pair(1, [ALICE, BOB], [1, 2], (0, 60_000)));
    flows.extend(zoom_pair(3, [CAROL, "10.0.0.4:50000"], [5, 6], (0, 60_000)));
    assert_eq!(met(&flows), [[1, 2], [3, 4]]);
}

#[test]
fn zoom_sources_alone_join_nobody() {
    // One member of each of two meetings: the sources that they hear and send are equal, the numbers are not.
    let [one, _] = zoom_pair(1, [ALICE, BOB], [1, 2], (0, 60_000));
    let [_, two] = zoom_pair(1, [ALICE, BOB], [3, 4], (0, 60_000));
    assert_eq!(met(&[one, two]), Vec::<Vec<u64>>::new());
}

#[test]
fn endpoints_that_hear_the_same_stream_are_in_one_meeting_though_its_sender_is_elsewhere() {
    let flows = [
        flow(1, ALICE, SERVER, (0, 60_000)).sends(ME).receives(THEM),
        flow(2, BOB, SERVER, (10_000, 60_000)).sends(YOU).receives(THEM),
    ];
    assert_eq!(met(&flows), [[1, 2]]);
}

#[test]
fn what_a_server_forwards_under_other_sources_joins_three_endpoints() {
    let flows = [
        flow(1, ALICE, SERVER, (0, 60_000)).sends(ME).receives(YOU.forwarded(0x4000_0001)),
        flow(2, BOB, SERVER, (2_000, 60_000)).sends(YOU).receives(ME.forwarded(0x4000_0002)),
        flow(3, CAROL, SERVER, (9_000, 50_000)).receives(ME.forwarded(0x4000_0003)),
    ];
    let found = meetings(&flows);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].sessions.as_slice(), found[0].participants), (&[1, 2, 3][..], 3));
    assert!(found[0].joined_by.iter().any(|joint| joint.what == "copied_lengths"));
}

#[test]
fn speaking_to_the_same_server_at_the_same_time_joins_nobody() {
    let flows = [
        flow(1, ALICE, SERVER, (0, 60_000)).sends(ME).receives(Source::new(0x4000_0001, 11)),
        flow(2, BOB, SERVER, (0, 60_000)).sends(YOU).receives(Source::new(0x4000_0002, 12)),
    ];
    assert_eq!(met(&flows), Vec::<Vec<u64>>::new());
}

#[test]
fn a_test_picture_that_two_rooms_send_joins_nobody() {
    // Both send the same lengths at the same time; who receives them could be in either room.
    let picture = |ssrc| Source::new(ssrc, 1);
    let flows = [
        flow(1, ALICE, SERVER, (0, 60_000)).sends(picture(0x4000_0001)),
        flow(2, BOB, SERVER, (0, 60_000)).receives(picture(0x4000_0002).forwarded(0x4000_0003)),
        flow(3, CAROL, SERVER, (0, 60_000)).sends(picture(0x4000_0004)),
    ];
    assert_eq!(met(&flows), Vec::<Vec<u64>>::new());
}

#[test]
fn a_flow_straight_between_two_endpoints_is_in_the_sessions_of_both() {
    let mut hello = flow(5, "10.0.0.2:51000", "198.51.100.1:443", (0, 40_000)).role_of(Role::Signalling);
    hello.flow.tuple.protocol = TCP;
    let flows = [hello, flow(9, ALICE, BOB, (5_000, 40_000)).role_of(Role::P2p).sends(ME).receives(YOU)];
    let made = sessions(&flows);
    assert_eq!(ids(&made), [9, 9 | PEER]);
    assert_eq!(made[1].endpoint.to_string(), "10.0.0.2");
    assert_eq!((made[1].flows.len(), made[0].flows.len()), (2, 1));
    assert_eq!((made[1].quality.sent.streams, made[1].quality.received.streams), (1, 1));
    let found = meetings(&flows);
    let ends = [9, 9 | PEER];
    assert_eq!((found[0].sessions.as_slice(), found[0].joined_by[0].what), (&ends[..], "p2p_flow"));
}

#[test]
fn who_calls_one_and_then_another_is_in_two_calls() {
    let flows = [
        flow(1, BOB, ALICE, (0, 30_000)).role_of(Role::P2p).sends(ME).receives(YOU),
        flow(2, BOB, CAROL, (40_000, 90_000))
            .role_of(Role::P2p)
            .sends(THEM)
            .receives(Source::new(0x7777_8888, 9)),
    ];
    assert_eq!(ids(&sessions(&flows)), [1, 1 | PEER, 2 | PEER]);
    assert_eq!(met(&flows).len(), 1);
}

#[test]
fn a_stream_that_a_relay_hands_on_joins_both_ends() {
    let relay = "198.51.100.3:3478";
    let flows = [
        flow(1, ALICE, relay, (0, 60_000)).role_of(Role::Relay).sends(ME).receives(YOU),
        flow(2, BOB, relay, (0, 60_000)).role_of(Role::Relay).sends(YOU).receives(ME),
    ];
    assert_eq!(met(&flows), [[1, 2]]);
}

#[test]
fn sessions_that_come_one_by_one_are_joined_as_at_once_under_a_number_that_stays() {
    let [one, two] = zoom_pair(1, [ALICE, BOB], [1, 2], (0, 60_000));
    let third = flow(0, CAROL, SERVER, (0, 60_000)).zoom("cc").receives(Source::new(0x0100_0402, 1));
    let whole = meetings(&[one.clone(), two.clone()]);
    let mut memory = Meetings::default();
    let first = [one];
    assert_eq!(memory.join(&first, &sessions(&first)), []);
    let second = [two];
    assert_eq!(memory.join(&second, &sessions(&second)), whole);
    let third = [third];
    let more = memory.join(&third, &sessions(&third));
    assert_eq!((more[0].id, more[0].sessions.as_slice()), (1, &[0, 1, 2][..]));
}

/// One packet of the call of another is stamped years ahead.
#[test]
fn an_end_beyond_packet_time_makes_nothing_be_forgotten() {
    let [one, two] = zoom_pair(1, [ALICE, BOB], [1, 2], (0, 60_000));
    let whole = meetings(&[one.clone(), two.clone()]);
    let mut far = flow(9, CAROL, SERVER, (0, 60_000)).sends(THEM);
    far.flow.end = at_ms(400_000_000_000);
    let mut memory = Meetings::default();
    memory.until(Some(at_ms(90_000)));
    let first = [one, far];
    assert_eq!(memory.join(&first, &sessions(&first)), []);
    let second = [two];
    assert_eq!(memory.join(&second, &sessions(&second)), whole);
}

#[test]
fn the_two_ends_of_an_ice_pair_are_two_clients_in_one_meeting() {
    // The first path fails, the second goes through a relay: the same pair, one after the other, at two endpoints.
    let flows = [
        flow(1, ALICE, "203.0.113.8:40000", (0, 2_000)).role_of(Role::Nat).ice("aaaa:bbbb"),
        flow(2, BOB, "198.51.100.3:3478", (3_000, 60_000)).role_of(Role::Relay).ice("aaaa:bbbb").sends(YOU),
        flow(3, ALICE, "198.51.100.4:3478", (3_000, 60_000)).role_of(Role::Relay).ice("aaaa:bbbb").sends(ME),
    ];
    assert_eq!(ids(&sessions(&flows)), [1, 2]);
    let found = meetings(&flows);
    assert_eq!((found[0].sessions.as_slice(), found[0].joined_by[0].what), (&[1, 2][..], "ice_pair"));
}

#[test]
fn one_client_captured_inside_and_outside_of_its_nat_is_one_participant() {
    let flows = [
        flow(1, ALICE, SERVER, (0, 60_000)).ice("serv:abcd").sends(ME).receives(YOU),
        flow(2, "203.0.113.77:61000", SERVER, (0, 60_000)).ice("serv:abcd").sends(ME).receives(YOU),
    ];
    assert_eq!(ids(&sessions(&flows)), [1, 2]);
    let found = meetings(&flows);
    assert_eq!((found[0].sessions.as_slice(), found[0].participants), (&[1, 2][..], 1));
}

const SFU: &str = "198.51.100.7:20001";

/// One endpoint in two rooms of one server, each with a flow up and one down; and the other member of each room.
fn two_rooms(hers: [Source; 2], theirs: [Source; 2]) -> Vec<Judged> {
    let span = (0, 60_000);
    let down = |source: Source, room: u32| source.forwarded(0x4000_0000 | source.ssrc & 0xff | room << 8);
    vec![
        flow(1, "10.0.0.1:50001", SFU, span).sends(hers[0]),
        flow(2, "10.0.0.1:50002", "198.51.100.7:20002", span).sends(hers[1]),
        flow(3, "10.0.0.1:50003", "198.51.100.7:20003", span).receives(down(theirs[0], 1)),
        flow(4, "10.0.0.1:50004", "198.51.100.7:20004", span).receives(down(theirs[1], 2)),
        flow(5, BOB, "198.51.100.7:20005", span).sends(theirs[0]),
        flow(6, "10.0.0.2:50001", "198.51.100.7:20006", span).receives(down(hers[0], 3)),
        flow(7, CAROL, "198.51.100.7:20007", span).sends(theirs[1]),
        flow(8, "10.0.0.3:50001", "198.51.100.7:20008", span).receives(down(hers[1], 4)),
    ]
}

const AGAIN: Source = Source::new(0x5555_0002, 4);

#[test]
fn an_endpoint_in_two_rooms_of_one_server_has_two_sessions_and_two_meetings() {
    let mut flows = two_rooms([ME, AGAIN], [YOU, THEM]);
    // Checks without media: with the room that came first.
    flows.push(flow(9, "10.0.0.1:50009", "198.51.100.7:20009", (1_000, 3_000)).role_of(Role::Nat));
    let made = sessions(&flows);
    assert_eq!(ids(&made), [1, 2, 5, 7]);
    assert_eq!((made[0].flows.as_slice(), made[1].flows.as_slice()), (&[0, 2, 8][..], &[1, 3][..]));
    assert_eq!(met(&flows), [[1, 5], [2, 7]]);
}

#[test]
fn rooms_over_one_port_of_a_server_are_told_apart_too() {
    let span = (0, 60_000);
    let flows = [
        flow(1, ALICE, SERVER, span).sends(ME).receives(YOU.forwarded(0x4000_0001)),
        flow(2, "10.0.0.1:50001", SERVER, span).sends(AGAIN).receives(THEM.forwarded(0x4000_0002)),
        flow(3, BOB, SERVER, span).sends(YOU).receives(ME.forwarded(0x4000_0003)),
        flow(4, CAROL, SERVER, span).sends(THEM).receives(AGAIN.forwarded(0x4000_0004)),
    ];
    assert_eq!(met(&flows), [[1, 3], [2, 4]]);
    // What is known by source and number needs no lengths.
    let kept = [
        flow(1, ALICE, SERVER, span).sends(ME).receives(YOU),
        flow(2, "10.0.0.1:50001", SERVER, span).sends(AGAIN).receives(THEM),
        flow(3, BOB, SERVER, span).sends(YOU).receives(ME),
        flow(4, CAROL, SERVER, span).sends(THEM).receives(AGAIN),
    ];
    assert_eq!(met(&kept), [[1, 3], [2, 4]]);
}

#[test]
fn one_room_is_not_split() {
    // The others hear each other.
    let mut one_room = two_rooms([ME, AGAIN], [YOU, THEM]);
    one_room.push(
        flow(9, "10.0.0.3:50002", "198.51.100.7:20009", (0, 60_000)).receives(YOU.forwarded(0x4000_0009)),
    );
    assert_eq!(ids(&sessions(&one_room)), [1, 5, 7]);
    // Only one room is on the wire.
    let mut half = two_rooms([ME, AGAIN], [YOU, THEM]);
    half.truncate(6);
    assert_eq!(ids(&sessions(&half)), [1, 5]);
    // One after the other, or together for a moment.
    let mut later = two_rooms([ME, AGAIN], [YOU, THEM]);
    let late = |id, local: &str, remote: &str| flow(id, local, remote, (55_000, 90_000));
    later[1] = late(2, "10.0.0.1:50002", "198.51.100.7:20002").sends(AGAIN);
    later[3] = late(4, "10.0.0.1:50004", "198.51.100.7:20004").receives(THEM.forwarded(0x4000_0005));
    later[6] = late(7, CAROL, "198.51.100.7:20007").sends(THEM);
    later[7] = late(8, "10.0.0.3:50001", "198.51.100.7:20008").receives(AGAIN.forwarded(0x4000_0006));
    later.sort_by_key(|judged| judged.flow.start);
    assert_eq!(ids(&sessions(&later)).len(), 3);
}

#[test]
fn the_same_picture_in_both_rooms_tells_them_not_apart() {
    let picture = Source { ssrc: 0x5555_0002, ..ME };
    let flows = two_rooms([ME, picture], [YOU, THEM]);
    assert_eq!(ids(&sessions(&flows)), [1, 5, 7]);
}

const RELAY: &str = "198.51.100.20:3478";
const GIVEN: &str = "198.51.100.20:49759";

impl Judged {
    /// A client's flow to a relay that gave it an address.
    fn allocates(mut self, given: &str) -> Self {
        let packet = self.flow.first_packet;
        let stun = Stun { relays: true, relayed: vec![(socket(given), packet)].into(), ..Stun::default() };
        self.facts().stun = Some(Box::new(stun));
        self.role_of(Role::Relay)
    }
}

#[test]
fn the_far_leg_of_a_relay_is_no_session_of_the_relay() {
    let span = (0, 60_000);
    let flows = [
        flow(1, ALICE, RELAY, span).allocates(GIVEN).sends(ME).receives(YOU.forwarded(0x4000_0001)),
        flow(2, GIVEN, SFU, span).sends(ME).receives(YOU.forwarded(0x4000_0001)),
        flow(3, BOB, "198.51.100.7:20002", span).sends(YOU).receives(ME.forwarded(0x4000_0002)),
    ];
    assert_eq!(ids(&sessions(&flows)), [1, 3]);
    assert_eq!(met(&flows), [[1, 3]]);
}

#[test]
fn the_far_leg_of_a_relay_to_a_peer_is_the_peers_session() {
    let span = (0, 60_000);
    for peer in [BOB, "203.0.113.9:50000"] {
        let ends = [
            // The relay spoke first, or the peer did.
            flow(2, GIVEN, peer, span).sends(ME).receives(YOU),
            flow(2, peer, GIVEN, span).sends(YOU).receives(ME),
        ];
        for leg in ends {
            let mut hello = flow(3, peer, "203.0.113.1:443", span).role_of(Role::Signalling);
            hello.flow.tuple.protocol = TCP;
            let flows = [flow(1, ALICE, RELAY, span).allocates(GIVEN).sends(ME).receives(YOU), leg, hello];
            let made = sessions(&flows);
            let ends: Vec<IpAddr> = made.iter().map(|session| session.endpoint).collect();
            assert_eq!(ends, [socket(ALICE).ip(), socket(peer).ip()]);
            assert_eq!(meetings(&flows).len(), 1);
        }
    }
    // Both have an address on a relay: the leg between these is nobody's.
    let other = "198.51.100.21:49000";
    let flows = [
        flow(1, ALICE, RELAY, span).allocates(GIVEN).sends(ME).receives(YOU),
        flow(2, BOB, "198.51.100.21:3478", span).allocates(other).sends(YOU).receives(ME),
        flow(3, GIVEN, other, span).sends(ME).receives(YOU),
    ];
    assert_eq!(met(&flows), [[1, 2]]);
}

#[test]
fn tls_to_a_relay_is_a_call_where_its_pace_is_one() {
    let relayed = |packets| {
        let mut judged = flow(1, ALICE, "198.51.100.20:5349", (0, 20_000)).role_of(Role::Relay);
        judged.flow.tuple.protocol = TCP;
        judged.verdict.provider = None;
        let mut way = PaceWay::default();
        (way.packets, way.first, way.last) = (packets, at_ms(0), at_ms(20_000));
        judged.facts().tls = Some(Box::new(Tls::default()));
        judged.facts().pace = Some(Box::new(Pace { forward: way, reverse: way }));
        judged
    };
    assert_eq!(ids(&sessions(&[relayed(900)])), [1]);
    assert_eq!(ids(&sessions(&[relayed(60)])), [0_u64; 0]);
}

/// Signalling of a call from `caller` to `callee`, each named by an address.
/// Flow of RTCP, opened by `from`.
fn reports(id: u64, from: &str, to: &str, span: (i64, i64)) -> Judged {
    let mut judged = flow(id, from, to, span);
    judged.flow.packets = [8, 8];
    judged.facts().media = Some(Box::new(Media { rtcp_packets: 16, ..Media::default() }));
    judged
}

#[test]
fn rtcp_that_the_gateway_opens_belongs_to_the_rtp_one_port_below() {
    let (phone, gateway) = ("203.0.113.5:40100", "198.51.100.7:18100");
    let other = Some(4);
    for provider in [APP, None, other] {
        let mut two = reports(2, "198.51.100.7:18101", "203.0.113.5:40101", (2_000, 59_000));
        two.verdict.provider = provider;
        if provider.is_none() {
            // Encrypted, and of a call that nobody claims.
            two = two.role_of(Role::Other);
        }
        let made = sessions(&[flow(1, phone, gateway, (0, 60_000)).sends(ME).receives(YOU), two]);
        assert_eq!(ids(&made), [1]);
        assert_eq!((made[0].endpoint, &made[0].flows[..]), (socket(phone).ip(), &[0, 1][..]));
        let servers: Vec<IpAddr> = made[0].servers.iter().map(|server| server.address).collect();
        assert_eq!(servers, [socket(gateway).ip()], "the phone is no server of its own");
    }
    // Not one port below at both ends, and long after.
    for (from, to, span) in [
        ("198.51.100.7:18103", "203.0.113.5:40101", (2_000, 59_000)),
        ("198.51.100.7:18101", "203.0.113.5:40101", (500_000, 559_000)),
    ] {
        let rtp = flow(1, phone, gateway, (0, 60_000)).sends(ME).receives(YOU);
        assert_eq!(sessions(&[rtp, reports(2, from, to, span)])[0].flows, [0]);
    }
}

#[test]
fn rtcp_of_two_calls_at_once_is_with_the_rtp_of_each() {
    let mut flows = Vec::new();
    for (id, port, server, seed) in [(1, 40_100, "198.51.100.7", 1), (2, 40_200, "203.0.113.9", 7)] {
        let local = format!("203.0.113.5:{port}");
        let (sent, received) =
            (Source::new(0x5555_0000 + seed, seed), Source::new(0x6666_0000 + seed, seed + 1));
        flows.push(flow(id, &local, &format!("{server}:18100"), (0, 60_000)).sends(sent).receives(received));
    }
    for (id, port, server) in [(3, 40_101, "198.51.100.7"), (4, 40_201, "203.0.113.9")] {
        flows.push(reports(id, &format!("{server}:18101"), &format!("203.0.113.5:{port}"), (2_000, 59_000)));
    }
    let made = sessions(&flows);
    assert_eq!(made.iter().map(|one| one.flows.clone()).collect::<Vec<_>>(), [vec![0, 2], vec![1, 3]]);
}

fn invite(id: u64, ends: [&str; 2], names: [&str; 2], method: &str) -> Judged {
    let mut judged = flow(id, ends[0], ends[1], (0, 60_000)).role_of(Role::Signalling);
    let parties = (format!("<sip:a@{}>", names[0]), format!("\"B\" <sip:b@{}:5060;transport=udp>", names[1]));
    judged.facts().sip = Some(Box::new(Sip {
        methods: vec![(method.to_owned(), 1)],
        call_ids: vec!["one".to_owned()],
        parties: Some(parties),
        ..Sip::default()
    }));
    judged
}

#[test]
fn two_phones_that_call_each_other_have_signalling_and_media_each() {
    let names = ["10.0.0.1", "10.0.0.2"];
    let flows = [
        invite(1, ["10.0.0.1:5060", "10.0.0.2:5060"], names, "INVITE"),
        flow(2, "10.0.0.2:30000", "10.0.0.1:30000", (1_000, 60_000)).sends(YOU).receives(ME),
    ];
    let made = sessions(&flows);
    assert_eq!(ids(&made), [1, 1 | PEER]);
    assert!(made.iter().all(|session| session.flows == [0, 1]));
    let found = meetings(&flows);
    assert_eq!((found.len(), found[0].participants), (1, 2));
    assert!(found[0].joined_by.iter().any(|joint| joint.what == "sip_call_id"));
}

#[test]
fn a_telephone_exchange_is_no_phone() {
    let exchange = "10.0.0.9";
    let hello = |id, phone: &str, method| {
        invite(id, [&format!("{phone}:5060"), "10.0.0.9:5060"], [exchange, exchange], method)
    };
    let media =
        |id, phone: &str| flow(id, &format!("{phone}:30000"), "10.0.0.9:12000", (1_000, 60_000)).sends(ME);
    let named = [hello(1, "10.0.0.1", "INVITE"), media(2, "10.0.0.1")];
    assert_eq!(ids(&sessions(&named)), [1]);
    let direct = ["10.0.0.1", exchange];
    let ends = ["10.0.0.1:5060", "10.0.0.9:5060"];
    let registers =
        [invite(1, ends, direct, "INVITE"), hello(2, "10.0.0.2", "REGISTER"), media(3, "10.0.0.1")];
    assert_eq!(ids(&sessions(&registers)), [1]);
    let many = [
        invite(1, ends, direct, "INVITE"),
        invite(2, ["10.0.0.2:5060", ends[1]], ["10.0.0.2", exchange], "INVITE"),
        media(3, "10.0.0.1"),
    ];
    assert_eq!(ids(&sessions(&many)), [1, 2]);
}

/// What is known of the other end of each flow, by its address.
fn known_ends(flows: &[Judged]) -> Vec<(String, bool, bool)> {
    let made = sessions(flows);
    let servers = made.iter().flat_map(|session| &session.servers);
    servers.map(|server| (server.address.to_string(), server.other_end, server.no_answer)).collect()
}

#[test]
fn the_other_end_of_ice_is_a_participant_or_a_server_unless_something_shows_which() {
    let ice = || flow(1, ALICE, "203.0.113.9:40000", (0, 60_000)).ice("serv:abcd").sends(ME).receives(YOU);
    assert_eq!(known_ends(&[ice()]), [("203.0.113.9".to_owned(), true, false)]);
    let plain = flow(1, ALICE, "203.0.113.9:40000", (0, 60_000)).sends(ME).receives(YOU);
    assert_eq!(known_ends(&[plain]), [("203.0.113.9".to_owned(), false, false)], "media servers without ICE");
    let mut unknown = ice();
    unknown.verdict.provider = None;
    assert_eq!(known_ends(&[unknown]), [("203.0.113.9".to_owned(), false, false)], "of no app");
    let mut tls = flow(2, "10.0.0.1:50001", "203.0.113.9:443", (0, 60_000)).role_of(Role::Signalling);
    tls.flow.tuple.protocol = TCP;
    tls.facts().tls = Some(Box::default());
    assert_eq!(known_ends(&[ice(), tls]), [("203.0.113.9".to_owned(), false, false)], "TLS ends at servers");
}

#[test]
fn who_was_asked_and_never_answered_is_told_from_servers() {
    let silent = |id, remote| {
        let mut silent = flow(id, ALICE, remote, (0, 5_000)).role_of(Role::Nat);
        (silent.flow.packets, silent.flow.bytes) = ([16, 0], [1_376, 0]);
        silent
    };
    let call = flow(1, ALICE, SERVER, (0, 60_000)).sends(ME).receives(YOU);
    let ends = known_ends(&[call, silent(2, "203.0.113.9:64282")]);
    assert!(ends.contains(&("203.0.113.9".to_owned(), false, true)), "{ends:?}");
    assert!(ends.contains(&("198.51.100.7".to_owned(), false, false)), "{ends:?}");
    let mut one_way = flow(1, ALICE, SERVER, (0, 60_000)).sends(ME);
    one_way.flow.bytes = [50_000, 0];
    let ends = known_ends(&[one_way, silent(2, "203.0.113.9:64282")]);
    assert!(ends.iter().all(|(.., no_answer)| !no_answer), "one way alone was captured: {ends:?}");
}

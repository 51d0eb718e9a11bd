use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::proto::rtp::{peek, tshark};

fn packet(sequence: u16, timestamp: u32) -> Peek {
    Peek { payload_type: 0, marker: false, sequence, timestamp, ssrc: 7, header_length: 12 }
}

/// Packets 20 ms apart on time, with the numbers given; timestamps follow the numbers.
fn stream_of(sequences: &[u16]) -> Stream {
    let base = sequences[0];
    let at = |sequence: u16| packet(sequence, u32::from(sequence.wrapping_sub(base)).wrapping_mul(160));
    let mut stream = Stream::new(&at(base), 172, Timestamp::default(), None);
    for (index, sequence) in (1_i64..).zip(&sequences[1..]) {
        stream.update(&at(*sequence), 172, Timestamp::from_nanos(index * 20_000_000));
    }
    stream
}

#[test]
fn struct_stays_compact() {
    assert!(size_of::<Stream>() <= 128, "{}", size_of::<Stream>());
}

#[test]
fn gap_is_loss_until_the_late_packet_fills_it() {
    let stream = stream_of(&[10, 11, 13, 14]);
    assert_eq!((stream.expected(), stream.lost(), stream.reordered()), (5, 1, 0));
    let stream = stream_of(&[10, 11, 13, 14, 12]);
    assert_eq!((stream.expected(), stream.lost(), stream.reordered()), (5, 0, 1));
}

#[test]
fn duplicate_does_not_hide_a_loss() {
    let stream = stream_of(&[10, 11, 11, 13, 10]);
    assert_eq!((stream.duplicates(), stream.lost()), (2, 1));
    assert_eq!(stream.received_unique(), 3);
}

#[test]
fn number_before_the_first_seen_extends_the_span() {
    let stream = stream_of(&[0, 65535, 1]);
    assert_eq!((stream.expected(), stream.lost(), stream.reordered()), (3, 0, 1));
}

#[test]
fn wrap_around_continues_the_count() {
    let stream = stream_of(&[65534, 65535, 0, 1, 3]);
    assert_eq!((stream.expected(), stream.lost()), (6, 1));
    assert_eq!(stream.extended_highest(), 0x1_0003);
    assert_eq!(stream.lost_by_count(), 1);
}

#[test]
fn confirmed_jump_is_a_restart_and_a_stray_is_not() {
    let stream = stream_of(&[10, 11, 30_000, 30_001, 30_002]);
    assert_eq!((stream.restarts(), stream.expected(), stream.lost()), (1, 5, 0));
    let stream = stream_of(&[10, 11, 30_000, 12, 13]);
    assert_eq!((stream.restarts(), stream.expected()), (0, 4));
}

#[test]
fn perfect_pace_has_no_jitter_and_one_late_packet_a_sixteenth() {
    let mut stream = stream_of(&[1, 2, 3]);
    assert_eq!(stream.jitter_ms(), Some(0.0));
    // RFC 3550 §A.8: J += (|D| - J) / 16; a packet 16 ms late moves J from 0 to 1 ms, 8 units of 8 kHz.
    stream.update(&packet(4, 480), 172, Timestamp::from_nanos(76_000_000));
    assert_eq!(stream.jitter_ms(), Some(1.0));
    assert_eq!(stream.jitter_units(), Some(8.0));
}

#[test]
fn clock_is_inferred_from_pace_and_frames_from_timestamps() {
    // 30 pictures a second of three packets each on a 90 kHz clock, 2 ms apart within a picture.
    let at = |index: u32| Peek {
        payload_type: 96,
        marker: index % 3 == 2,
        ..packet(u16::try_from(index).unwrap(), index / 3 * 3_000)
    };
    let time = |index: u32| {
        Timestamp::from_nanos(i64::from(index / 3) * 33_333_333 + i64::from(index % 3) * 2_000_000)
    };
    let mut stream = Stream::new(&at(0), 1000, time(0), None);
    for index in 1..300 {
        stream.update(&at(index), 1000, time(index));
    }
    assert_eq!(stream.clock_hz(), Some(90_000));
    assert!(stream.is_clock_inferred());
    assert_eq!(stream.bytes(), 300_000);
}

/// What was held up while the path changed comes at once; from then on the pace is right, and in the long run of the whole too.
#[test]
fn a_clock_hidden_by_a_stall_is_inferred_at_the_end() {
    // 60 packets a second on a 90 kHz clock, of which the first quarter of a second came late.
    let stream_of = |packets: u16| {
        let at = |index: u16| Peek { payload_type: 96, ..packet(index, u32::from(index) * 1_500) };
        let time = |index: u16| {
            Timestamp::from_nanos(i64::from(index) * 16_666_667).max(Timestamp::from_nanos(250_000_000))
        };
        let mut stream = Stream::new(&at(0), 1000, time(0), None);
        (1..packets).for_each(|index| stream.update(&at(index), 1000, time(index)));
        stream
    };
    let (short, whole) = (stream_of(300), stream_of(480));
    assert_eq!(
        (short.concluded().clock_hz(), whole.clock_hz()),
        (None, None),
        "4 percent off is not guessed"
    );
    let whole = whole.concluded();
    assert_eq!(whole.clock_hz(), Some(90_000));
    assert!(whole.is_clock_inferred() && whole.jitter_ms().is_some());
}

#[test]
fn a_clock_is_not_judged_anew_once_media_timestamps_may_have_come_around() {
    // A picture every 0.8 s on a 90 kHz clock: after 13.25 hours 2^32 ticks have gone by.
    let at = |index: u32| Peek {
        payload_type: 96,
        ..packet(u16::try_from(index & 0xffff).unwrap(), 1_000_u32.wrapping_add(index.wrapping_mul(72_000)))
    };
    let time = |index: u32| Timestamp::from_nanos(i64::from(index) * 800_000_000);
    let mut stream = Stream::new(&at(0), 72, time(0), None);
    (1..65_576).for_each(|index| stream.update(&at(index), 72, time(index)));
    assert_eq!((stream.clock_hz(), stream.concluded().clock_hz()), (Some(90_000), Some(90_000)));
}

#[test]
fn a_clock_is_inferred_from_the_numbering_at_hand() {
    // 50 packets a second on a 48 kHz clock; after ten, or after four hundred, all numbers are others.
    let stream_of = |before: u32| {
        let at = |index: u32| {
            let (sequence, timestamp) =
                if index < before { (100, 7_000) } else { (50_000, 3_000_000_000_u32) };
            let timestamp = timestamp.wrapping_add(index * 960);
            Peek { payload_type: 111, ..packet(sequence + u16::try_from(index).unwrap(), timestamp) }
        };
        let time = |index: u32| Timestamp::from_nanos(i64::from(index) * 20_000_000);
        let mut stream = Stream::new(&at(0), 72, time(0), None);
        (1..1_100).for_each(|index| stream.update(&at(index), 72, time(index)));
        stream
    };
    for before in [10, 400] {
        let stream = stream_of(before);
        assert_eq!(
            (stream.restarts(), stream.clock_hz(), stream.first_timestamp()),
            (1, Some(48_000), 7_000)
        );
        assert_eq!(stream.jitter_ms(), Some(0.0), "{before}");
    }
}

#[test]
fn media_clock_that_jumps_or_runs_back_leaves_the_jitter_alone() {
    let mut stream = stream_of(&[1, 2, 3]);
    for (sequence, timestamp) in [(4, 1 << 30), (5, (1 << 30) + 160), (6, 7), (7, 167), (8, 327)] {
        let time = Timestamp::from_nanos(i64::from(sequence - 1) * 20_000_000);
        stream.update(&packet(sequence, timestamp), 172, time);
    }
    assert_eq!(stream.jitter_ms(), Some(0.0));
}

#[test]
fn telephone_events_between_audio_leave_the_jitter_alone() {
    let mut stream = stream_of(&[1, 2, 3]);
    for (sequence, payload_type, timestamp) in [(4, 101, 320), (5, 101, 320), (6, 0, 800), (7, 0, 960)] {
        let time = Timestamp::from_nanos(i64::from(sequence - 1) * 20_000_000);
        stream.update(&Peek { payload_type, ..packet(sequence, timestamp) }, 172, time);
    }
    assert_eq!((stream.jitter_ms(), stream.clock_hz()), (Some(0.0), Some(8_000)));
    assert_eq!(stream.payload_types().collect::<Vec<_>>(), [0, 101]);
}

/// One row of tshark's table: packets, lost, mean and highest jitter in ms.
type Row = (u32, i64, f32, f32);
type Key = (String, String, String, String, u32);

fn table(text: &str) -> BTreeMap<Key, Row> {
    let rows = text.lines().filter(|line| line.contains('%')).map(|line| {
        let mut cells: Vec<&str> = line.split_whitespace().collect();
        let key = (
            cells[2].to_owned(),
            cells[3].to_owned(),
            cells[4].to_owned(),
            cells[5].to_owned(),
            tshark::number(cells[6]),
        );
        if cells.last() == Some(&"X") {
            cells.pop();
        }
        let end = cells.len();
        let float = |back: usize| cells[end - back].parse::<f32>().unwrap();
        let row = (tshark::number(cells[end - 9]), cells[end - 8].parse().unwrap(), float(2), float(1));
        (key, row)
    });
    rows.collect()
}

fn time_of(text: &str) -> Timestamp {
    let (seconds, fraction) = text.split_once('.').unwrap();
    Timestamp::from_secs_nanos(seconds.parse().unwrap(), format!("{fraction:0<9}").parse().unwrap())
}

fn streams_of(path: &std::path::PathBuf) -> BTreeMap<Key, Stream> {
    let names = [
        "frame.time_epoch",
        "ip.src",
        "udp.srcport",
        "ip.dst",
        "udp.dstport",
        "udp.payload",
        "rtp.ssrc",
        "rtp.seq",
        "rtp.timestamp",
    ];
    let mut streams: BTreeMap<Key, Stream> = BTreeMap::new();
    for row in tshark::fields(path, "rtp && !tcp", &names) {
        // In a tunnel each field is there for the outer and the inner packet: the last is the inner one.
        let row: Vec<String> =
            row.iter().map(|cell| cell.rsplit(',').next().unwrap_or_default().to_owned()).collect();
        let datagram = tshark::bytes(&row[5]);
        let inner = tshark::unwrapped(&datagram);
        let Some(seen) = peek(inner) else { panic!("{} is RTP to tshark", row[5]) };
        assert_eq!(seen.ssrc, tshark::number(&row[6]));
        assert_eq!(u32::from(seen.sequence), tshark::number(&row[7]));
        assert_eq!(seen.timestamp, tshark::number(&row[8]));
        let key = (row[1].clone(), row[2].clone(), row[3].clone(), row[4].clone(), seen.ssrc);
        let time = time_of(&row[0]);
        streams
            .entry(key)
            .and_modify(|stream| stream.update(&seen, inner.len(), time))
            .or_insert_with(|| Stream::new(&seen, inner.len(), time, None));
    }
    streams
}

fn agrees(name: &str) {
    let Some(path) = tshark::capture(name) else { return };
    let expected = table(&tshark::tap(&path, "rtp,streams"));
    let streams = streams_of(&path);
    // Media relayed over TCP is in tshark's table only.
    assert!(streams.keys().all(|key| expected.contains_key(key)) && !streams.is_empty(), "{name}");
    for (key, stream) in &streams {
        let (packets, lost, mean, max) = expected[key];
        assert_eq!((stream.packets(), stream.lost_by_count()), (packets, lost), "{name} {key:?}");
        // Where nothing came twice, late at the end, or before the first, both definitions of loss agree.
        if stream.duplicates() == 0 && stream.restarts() == 0 {
            assert_eq!(i64::from(stream.lost()), lost, "{name} {key:?} {stream:?}");
        }
        if max > 0.0 {
            let near = |ours: f32, theirs: f32| (ours - theirs).abs() <= theirs * 0.01 + 0.000_6;
            let (ours_mean, ours_max) = (stream.jitter_mean_ms().unwrap(), stream.jitter_max_ms().unwrap());
            assert!(near(ours_mean, mean), "{name} {key:?}: mean {ours_mean} {mean}");
            // Around events and comfort noise the two differ in which packets may set the maximum.
            let plain = stream.payload_types().all(|number| number < 96);
            assert!(!plain || near(ours_max, max), "{name} {key:?}: max {ours_max} {max}");
        }
    }
}

#[test]
fn sip_audio_agrees_with_tshark() {
    agrees("sip.pcap");
    agrees("FAX-Call-t38-CA-TDM-SIP-FB-1.pcap");
    agrees("false_positives.pcapng");
}

#[test]
fn app_media_agrees_with_tshark() {
    for name in ["discord.pcap", "wa_voice.pcap", "whatsapp_login_call.pcap", "teams.pcap", "line.pcap"] {
        agrees(name);
    }
}

#[test]
fn relayed_media_agrees_with_tshark() {
    for name in ["stun_dtls_rtp.pcapng", "stun_signal.pcapng"] {
        agrees(name);
    }
}

proptest! {
    #[test]
    fn any_order_of_numbers_keeps_the_laws(
        packets in proptest::collection::vec((any::<u16>(), any::<u32>(), 0_u8..128, any::<i64>()), 1..200)
    ) {
        let at = |(sequence, timestamp, payload_type, _): (u16, u32, u8, i64)| {
            Peek { payload_type, ..packet(sequence, timestamp) }
        };
        let mut stream = Stream::new(&at(packets[0]), 0, Timestamp::from_nanos(packets[0].3), Some(90_000));
        for next in &packets[1..] {
            stream.update(&at(*next), 0, Timestamp::from_nanos(next.3));
        }
        prop_assert!(stream.received_unique() <= stream.packets());
        prop_assert!(stream.lost() <= stream.expected());
    }

    #[test]
    fn shuffled_and_thinned_stream_counts_exactly(
        keep in proptest::collection::vec(any::<bool>(), 40..400), first in any::<u16>(), swap in 1_usize..8
    ) {
        let mut sent: Vec<u16> = (0..keep.len())
            .filter(|index| keep[*index])
            .map(|index| first.wrapping_add(u16::try_from(index).unwrap()))
            .collect();
        prop_assume!(!sent.is_empty());
        let span = u32::from(sent[sent.len() - 1].wrapping_sub(sent[0])) + 1;
        let missing = span - u32::try_from(sent.len()).unwrap();
        for group in sent.chunks_mut(swap) {
            group.reverse();
        }
        prop_assert_eq!(stream_of(&sent).lost(), missing);
    }
}

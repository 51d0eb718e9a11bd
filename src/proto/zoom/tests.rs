//! Vectors are recorded packet heads (opaque parts zeroed) whose fields were read by hand from the dumps;
//! counts over whole captures were taken with tshark and a script, not with this code.

use proptest::prelude::*;

use super::inner::{self, is_known_head, nested_offset, rtp_offset};
use super::*;
use crate::bytes::Probe;
use crate::bytes::near::near;

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn client_hello(version: u8) -> Vec<u8> {
    let mut bytes =
        hex("01 0000 101112131415161718191a1b1c1d1e1f 00000000000000 02 0572cff1 0572cff1 00000040");
    bytes[2] = version;
    bytes.extend([0xA5; 68]);
    bytes
}

const SERVER_HELLO_2: &str = "02 0001 101112131415161718191a1b1c1d1e1f 005a0e3e 007a002a 0000000000000000";
const SERVER_HELLO_3: &str =
    "02 0003 101112131415161718191a1b1c1d1e1f 00fe5130 0572cff1 0000000000000000 00 04000400003e0100";
const VIDEO_V3: &str = "05 0002 00fe5132 04 10 01 00fb90 16 18 0c 03 0000 6965926e 00 00000000 02 3316 05
    90 62 1e1f f3e78486 01000801 bede0004 12500000 35821033 16331450 00700000 1c00";
const AUDIO_P2P: &str = "0f0100fb90101104028ac80572cfc50001003d9063f0d602c119a001000402bede00015064006800090c000000000000 0000000000000000000000000000000000000000000000000000000000000000";
const RTCP_V2: &str =
    "05 22 01 00fb90 09 10 0000000000000000 00 80c80006 01000402 e13779d7 e7ec12da 00000910 00000005";
const BIND_V2: &str = "05 0c 01 218e9c3928c44b2fa9027072822e56f6 01000401 03 00000000 00000001";
const BIND_WRAPPED_V2: &str = "05 0d 0000 00 0c 01 218e9c3928c44b2fa9027072822e56f6 01000403 02 00000000";
const REPLY_WRAPPED_V2: &str = "05 0d 0000 02 00000000 0d 01 218e9c3928c44b2fa9027072822e56f6 01000403 02 00";
const BIND_WRAPPED_V3: &str =
    "05 0000 00fe5131 00 0d d094 0000 00 00 0c 01 797b24f414c548a48185e5433f25dbd7 01000403 02 00000001";
const REPLY_WRAPPED_V3: &str = "05 0000 00fe5131 04 0d 925a 0000 02 00 0000000000000000 0d 01 797b24f414c548a48185e5433f25dbd7 01000403 02 00";
const REPLY_V3: &str = "05 0000 00fe5130 04 0d 01 797b24f414c548a48185e5433f25dbd7 01000402 01 00 00000002";
const FEEDBACK_V3: &str = "05 0f31 00272ec9 04 15 01 00000000000000 35 01 02 01001f5a 4e000002 88";

#[test]
fn hellos_of_both_generations_are_read() {
    for version in [2_u8, 3] {
        let bytes = client_hello(version);
        let hello = parse_sfu(&bytes, None).unwrap();
        assert_eq!(hello.generation(), Some(if version == 2 { Generation::V2 } else { Generation::V3 }));
        assert_eq!(probe_sfu(&bytes), Probe::Yes);
    }
    let bytes = hex(SERVER_HELLO_2);
    let Sfu::ServerHello { version: 1, flow_id: 0x005a_0e3e, connection_id } =
        parse_sfu(&bytes, None).unwrap()
    else {
        panic!("not a server hello")
    };
    assert_eq!(connection_id[..2], [0x10, 0x11]);
    assert_eq!(probe_sfu(&bytes), Probe::Yes);
    assert_eq!(probe_sfu(&hex(SERVER_HELLO_3)), Probe::Yes);
}

#[test]
fn ping_and_pong_share_counter_and_clock() {
    let request = hex("03 00000001 762a8d74 005a0e3e");
    assert_eq!(
        parse_sfu(&request, None).unwrap(),
        Sfu::Ping { counter: 1, clock_ms: 0x762a_8d74, flow_id: 0x005a_0e3e }
    );
    let pong = hex("04 00000001 762a8d74 005a0e3e");
    assert!(matches!(parse_sfu(&pong, None).unwrap(), Sfu::Pong { counter: 1, clock_ms: 0x762a_8d74, .. }));
    assert_eq!(probe_sfu(&request), Probe::Maybe, "13 bytes prove nothing");
    let mut long = hex("03 00000012 0ffe98d2 00272ec9 010540");
    long.extend([0x77; 65]);
    assert_eq!(probe_sfu(&long), Probe::Yes);
}

#[test]
fn video_of_generation_3_gives_frame_mark_and_rtp() {
    let bytes = hex(VIDEO_V3);
    let Sfu::Data { generation, sequence, flow_id, direction, inner: Inner::Media(media) } =
        parse_sfu(&bytes, None).unwrap()
    else {
        panic!("not media")
    };
    assert_eq!((generation, sequence, flow_id), (Generation::V3, Some(2), Some(0x00fe_5132)));
    assert_eq!(direction, Some(Direction::FromServer));
    assert_eq!((media.kind, media.rtp_offset), (MediaKind::Video, 24));
    assert_eq!(media.frame, Some(FrameMark { number: 0x3316, packets: 5 }));
    assert_eq!(media.rtp[..4], [0x90, 0x62, 0x1e, 0x1f]);
    assert_eq!(media_offset(&bytes, Generation::V3), Some(32));
    assert_eq!(media_offset(&bytes, Generation::V2), None);
    assert_eq!(probe_sfu(&bytes), Probe::Yes);
}

#[test]
fn early_generation_media_lies_21_and_20_bytes_in() {
    // 05 10 01 00 for video with RTP at 21, 05 0f 01 00 for audio with RTP at 20.
    let rtp = "80 62 0001 00000002 01000401";
    let video = hex(&format!("05 10 01 00fb90 0d 14 0c 02 ec5d 0572cfbe 02 00000000 {rtp}"));
    assert_eq!(media_offset(&video, Generation::V2), Some(21));
    assert_eq!(parse_sfu(&video, None).unwrap().generation(), Some(Generation::V2));
    let audio =
        hex(&format!("05 0f 01 00fb90 10 11 04 02 8ac8 0572cfc5 0001 000c {rtp}").replace("80 62", "80 70"));
    assert_eq!(media_offset(&audio, Generation::V2), Some(20));
    assert_eq!(probe_sfu(&audio), Probe::Yes);
}

#[test]
fn peer_audio_has_an_exact_length() {
    let bytes = hex(AUDIO_P2P);
    let Inner::Media(media) = parse_inner(&bytes).unwrap() else { panic!("not media") };
    assert_eq!((media.kind, media.rtp_offset, media.sequence), (MediaKind::Audio, 19, 0x8ac8));
    assert_eq!(media.announced_length.map(usize::from), Some(61));
    assert_eq!(media.clock_ms, 0x0572_cfc5);
    assert_eq!(probe_p2p(&bytes), Probe::Yes);
    assert_eq!(inner_media_offset(&bytes, Generation::V3), Some(19));
}

#[test]
fn binds_are_found_bare_and_wrapped_in_both_generations() {
    let bind_of = |bytes: &[u8]| match parse_sfu(bytes, None).unwrap() {
        Sfu::Data { generation, inner: Inner::BindRequest(bind) | Inner::BindReply(bind), .. } => {
            (generation, 0, bind.node_id)
        }
        Sfu::Data { generation, inner: Inner::Reliable(wrapper), .. } => {
            let (Inner::BindRequest(bind) | Inner::BindReply(bind)) = parse_inner(wrapper.nested).unwrap()
            else {
                panic!("not a bind")
            };
            (generation, wrapper.nested_offset.unwrap(), bind.node_id)
        }
        other => panic!("{other:?}"),
    };
    for (text, expected) in [
        (BIND_V2, (Generation::V2, 0, 0x0100_0401)),
        (BIND_WRAPPED_V2, (Generation::V2, 4, 0x0100_0403)),
        (REPLY_WRAPPED_V2, (Generation::V2, 8, 0x0100_0403)),
        (BIND_WRAPPED_V3, (Generation::V3, 7, 0x0100_0403)),
        (REPLY_WRAPPED_V3, (Generation::V3, 15, 0x0100_0403)),
        (REPLY_V3, (Generation::V3, 0, 0x0100_0402)),
    ] {
        let bytes = hex(text);
        assert_eq!(bind_of(&bytes), expected, "{text}");
        assert_eq!(probe_sfu(&bytes), Probe::Yes, "{text}");
    }
}

#[test]
fn wrapped_screen_share_is_found_behind_an_acknowledgement() {
    let share = "1e 01 00fb90 0d 14 0c 02 ec5d 0572cfbe 02 00000000 80 63 0001 00000002 01000403";
    let plain = hex(&format!("05 0000 00fe5131 04 0d 925a 0000 00 00 {share}"));
    assert_eq!(media_offset(&plain, Generation::V3), Some(8 + 27));
    let acknowledged = hex(&format!("05 0000 00fe5131 04 0d 925a 0000 02 00 0000000000000000 {share}"));
    assert_eq!(media_offset(&acknowledged, Generation::V3), Some(8 + 35));
    let Sfu::Data { inner, .. } = parse_sfu(&acknowledged, None).unwrap() else { panic!("not data") };
    assert_eq!(inner.rtp().unwrap()[..2], [0x80, 0x63]);
}

#[test]
fn rtcp_and_control_are_told_apart_from_media() {
    let bytes = hex(RTCP_V2);
    let Sfu::Data { inner: Inner::Rtcp(rtcp), .. } = parse_sfu(&bytes, None).unwrap() else {
        panic!("not RTCP")
    };
    assert_eq!((rtcp.packet_type, rtcp.offset, &rtcp.rtcp[..2]), (34, 16, &[0x80, 0xc8][..]));
    assert_eq!(media_offset(&bytes, Generation::V2), None);
    assert_eq!(probe_sfu(&bytes), Probe::Yes);

    let feedback = hex(FEEDBACK_V3);
    let Sfu::Data { inner: Inner::Control(control), .. } = parse_sfu(&feedback, None).unwrap() else {
        panic!("not control")
    };
    assert_eq!((control.kind, control.is_probe), (ControlKind::FEEDBACK, false));

    let mut probe = hex("05 15 01 00000000000000 33 01 0dff 0000 762a8da6 00 000003e8 00000000");
    probe.extend([1; 1000]);
    let Sfu::Data { inner: Inner::Control(control), .. } = parse_sfu(&probe, None).unwrap() else {
        panic!("not control")
    };
    assert_eq!((control.kind, control.is_probe), (ControlKind::PROBE, true));

    // The filling begins 28 bytes into the control message, which stands behind one byte.
    let filled = |filling: &[u8]| {
        let bytes = [&probe[..29], filling].concat();
        match parse_sfu(&bytes, None).unwrap() {
            Sfu::Data { inner: Inner::Control(control), .. } => control.is_probe,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!([filled(&[7; 31]), filled(&[7; 32]), filled(&[7; 33])], [false, true, true]);
    for odd in [0, 1, 16, 31, 32] {
        let mut filling = [7; 33];
        filling[odd] = 8;
        assert!(!filled(&filling), "byte {odd}");
    }
}

#[test]
fn hole_punch_names_peer_and_session() {
    let mut bytes = hex("1f 02 01000800 01000400");
    bytes.extend([0; 14]);
    for text in ["192.0.2.7", "00000000-1111-2222-3333-444444444444"] {
        bytes.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes.extend([0; 4]);
    let Inner::HolePunch(punch) = parse_inner(&bytes).unwrap() else { panic!("not a hole punch") };
    assert_eq!((punch.sender, punch.peer), (0x0100_0800, 0x0100_0400));
    assert_eq!(punch.peer_ip(), Some("192.0.2.7".parse().unwrap()));
    assert_eq!(punch.uuid.len(), 36);
    assert_eq!(probe_p2p(&bytes), Probe::Yes);
    bytes.push(0);
    assert_eq!(probe_p2p(&bytes), Probe::No, "the length is exact");
}

#[test]
fn every_prefix_is_an_error_or_parses_without_the_missing_part() {
    for text in [SERVER_HELLO_2, VIDEO_V3, RTCP_V2, BIND_V2, BIND_WRAPPED_V3, REPLY_WRAPPED_V3] {
        let bytes = hex(text);
        for end in 0..bytes.len() {
            let cut = &bytes[..end];
            if let Err(error) = parse_sfu(cut, Some(Generation::V3)) {
                assert!(error.is_truncated() || end > 20, "{text} at {end}: {error}");
            }
            let _ = (probe_sfu(cut), probe_p2p(cut), parse_inner(cut), media_offset(cut, Generation::V3));
        }
    }
    assert!(parse_sfu(&hex(SERVER_HELLO_2)[..20], None).unwrap_err().is_truncated());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn never_panics_and_agrees_with_the_fast_path(
        first in prop::sample::select(vec![1_u8, 2, 3, 4, 5, 7, 13, 15, 16, 30, 31, 34]),
        kind in prop::sample::select(vec![10_u8, 12, 13, 15, 16, 21, 30, 31, 33, 200]),
        mut bytes in prop::collection::vec(any::<u8>(), 0..120),
        long in any::<bool>(),
    ) {
        if let Some(byte) = bytes.first_mut() { *byte = first; }
        let generation = if long { Generation::V3 } else { Generation::V2 };
        if let Some(byte) = bytes.get_mut(generation.data_header_length()) { *byte = kind; }
        let _ = (parse_sfu(&bytes, None), parse_inner(&bytes), probe_sfu(&bytes), probe_p2p(&bytes));
        if let (Some(offset), Ok(Sfu::Data { inner, .. })) =
            (media_offset(&bytes, generation), parse_sfu(&bytes, Some(generation)))
        {
            prop_assert_eq!(inner.rtp(), bytes.get(offset..));
        }
    }

    #[test]
    fn random_bytes_are_not_zoom(bytes in prop::collection::vec(any::<u8>(), 16..1200)) {
        prop_assert_ne!(probe_sfu(&bytes), Probe::Yes);
        prop_assert_ne!(probe_p2p(&bytes), Probe::Yes);
    }
}

/// Every vector above.
fn vectors() -> Vec<Vec<u8>> {
    let texts = [
        SERVER_HELLO_2,
        SERVER_HELLO_3,
        VIDEO_V3,
        AUDIO_P2P,
        RTCP_V2,
        BIND_V2,
        BIND_WRAPPED_V2,
        REPLY_WRAPPED_V2,
        BIND_WRAPPED_V3,
        REPLY_WRAPPED_V3,
        REPLY_V3,
        FEEDBACK_V3,
    ];
    texts.into_iter().map(hex).chain([client_hello(2), client_hello(3)]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn near_a_packet_both_ways_to_its_media_are_one(bytes in near(vectors()), behind in 0_usize..9) {
        let _ = (probe_sfu(&bytes), probe_p2p(&bytes), parse_sfu(&bytes, None));
        for generation in [Generation::V2, Generation::V3] {
            if let Ok(Sfu::Data { inner, .. }) = parse_sfu(&bytes, Some(generation))
                && let Some(offset) = media_offset(&bytes, generation)
            {
                prop_assert_eq!(inner.rtp(), bytes.get(offset..));
            }
            // Peers send the same without the header of a server.
            let bare = bytes.get(behind..).unwrap_or_default();
            prop_assert!(nested_offset(bare, generation).is_none_or(|at| is_known_head(&bare[at..])));
            let offset = inner_media_offset(bare, generation);
            prop_assert!(offset.is_none_or(|at| bare[at] >> 6 == 2 && bare.len() >= at + 12));
            if let Ok(inner) = inner::parse(bare, generation) {
                prop_assert!(inner.rtp().is_none_or(|rtp| bare.ends_with(rtp)));
                if let Inner::HolePunch(punch) = inner {
                    let _ = punch.peer_ip();
                }
            }
        }
        prop_assert!(rtp_offset(&bytes).is_none_or(|at| probe::has_media(&bytes) || at > 0));
        if let Ok(inner) = parse_inner(&bytes) {
            let _ = format!("{inner:?}");
        }
    }
}

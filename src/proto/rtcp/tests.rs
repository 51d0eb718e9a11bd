use proptest::prelude::*;

use super::*;
use crate::bytes::near::near;
use crate::proto::rtp::tshark;

/// Made by hand after RFC 3550 §6.4.1 and §6.5: SR with one block, then SDES with CNAME "a@b".
const SR_SDES: [u8; 68] = [
    0x81, 200, 0, 12, 0, 0, 0, 1, 0xe0, 0, 0, 1, 0x80, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 10, 0, 0, 6,
    0x40, //
    0, 0, 0, 2, 64, 0xff, 0xff, 0xfe, 0, 1, 0, 5, 0, 0, 0, 33, 0, 1, 0x80, 0, 0, 0, 0x80, 0, //
    0x81, 202, 0, 3, 0, 0, 0, 1, 1, 3, b'a', b'@', b'b', 0, 0, 0,
];

#[test]
fn sender_report_and_description_are_read() {
    assert_eq!(probe(&SR_SDES), Probe::Yes);
    let mut compound = Compound::parse(&SR_SDES).unwrap();
    assert!(!compound.looks_encrypted());
    let Body::SenderReport(report) = compound.next().unwrap().body().unwrap() else { panic!() };
    assert_eq!(report.ssrc, 1);
    assert_eq!(
        report.info,
        SenderInfo { ntp: 0xe000_0001_8000_0000, rtp_timestamp: 256, packets: 10, bytes: 1600 }
    );
    assert_eq!(report.info.ntp_middle(), 0x0001_8000);
    let block = ReportBlock {
        ssrc: 2,
        fraction_lost: 64,
        cumulative_lost: -2,
        extended_highest: 0x1_0005,
        jitter: 33,
        last_sr: 0x0001_8000,
        delay_since_last_sr: 0x8000,
    };
    assert_eq!(report.blocks.collect::<Vec<_>>(), [block]);
    let Body::Sdes(sdes) = compound.next().unwrap().body().unwrap() else { panic!() };
    assert_eq!(sdes.cname(), Some("a@b"));
    assert_eq!(sdes.items().count(), 1);
    assert!(compound.next().is_none() && compound.trailing().is_empty());
}

#[test]
fn feedback_bye_and_app_are_read() {
    // REMB of draft-alvestrand-rmcat-remb §2.2: exponent 2, mantissa 250000: 1 Mbit/s.
    let remb =
        [0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, b'R', b'E', b'M', b'B', 1, 0x0b, 0xd0, 0x90, 0, 0, 0, 9];
    let packet = Compound::parse(&remb).unwrap().next().unwrap();
    let Body::PayloadFeedback(feedback) = packet.body().unwrap() else { panic!() };
    assert_eq!((feedback.remb(), feedback.payload_name()), (Some(1_000_000), Some("REMB")));
    let bye = [0x82, 203, 0, 4, 0, 0, 0, 7, 0, 0, 0, 8, 4, b'd', b'o', b'n', b'e', 0, 0, 0];
    let Body::Bye(bye) = Compound::parse(&bye).unwrap().next().unwrap().body().unwrap() else { panic!() };
    assert_eq!((bye.ssrcs().collect::<Vec<_>>(), bye.reason), (vec![7, 8], &b"done"[..]));
    let app = [0x80, 204, 0, 2, 0, 0, 0, 7, b'n', b'a', b'm', b'e'];
    let Body::App(app) = Compound::parse(&app).unwrap().next().unwrap().body().unwrap() else { panic!() };
    assert_eq!(app.name, *b"name");
    let cc = [0x8f, 205, 0, 3, 0, 0, 0, 7, 0, 0, 0, 9, 0, 1, 0, 2];
    let packet = Compound::parse(&cc).unwrap().next().unwrap();
    let Body::TransportFeedback(cc) = packet.body().unwrap() else { panic!() };
    assert_eq!(cc.transport_name(), Some("transport-cc"));
    assert_eq!(packet.packet_type.to_string(), "RTPFB");
}

#[test]
fn srtcp_trailer_is_seen_and_tolerated() {
    // A receiver report as SRTCP (RFC 3711 §3.4): eight clear bytes, ciphertext, E bit and index, 80-bit tag.
    let mut srtcp = vec![0x81, 201, 0, 7, 0, 0, 0, 1];
    srtcp.extend([0x5c; 24]);
    srtcp.extend([0x80, 0, 0, 1]);
    srtcp.extend([0x33; 10]);
    assert_eq!(probe(&srtcp), Probe::Maybe);
    let compound = Compound::parse(&srtcp).unwrap();
    assert!(compound.looks_encrypted());
    assert_eq!(compound.clone().count(), 1);
}

#[test]
fn types_outside_rfc_5761_and_other_versions_are_not_rtcp() {
    for (first, second) in [(0x81, 191), (0x81, 224), (0x41, 200), (0x81, 96)] {
        let mut packet = SR_SDES;
        (packet[0], packet[1]) = (first, second);
        assert_eq!(probe(&packet), Probe::No);
    }
}

#[test]
fn every_prefix_of_the_first_packet_is_truncated() {
    for cut in 0..52 {
        assert!(Compound::parse(&SR_SDES[..cut]).unwrap_err().is_truncated(), "{cut}");
    }
    for cut in 52..68 {
        assert_eq!(Compound::parse(&SR_SDES[..cut]).unwrap().count(), 1, "{cut}");
    }
}

#[test]
fn count_that_exceeds_the_packet_is_an_error_with_a_name() {
    let lying = [0x9f, 201, 0, 1, 0, 0, 0, 1];
    let packet = Compound::parse(&lying).unwrap().next().unwrap();
    assert_eq!(packet.body().unwrap_err().field(), "report blocks");
}

#[test]
fn clear_reports_agree_with_tshark() {
    let names = [
        "udp.payload",
        "rtcp.pt",
        "rtcp.ssrc.fraction",
        "rtcp.ssrc.cum_nr",
        "rtcp.ssrc.jitter",
        "rtcp.ssrc.ext_high",
        "rtcp.sender.packetcount",
        "rtcp.sdes.text",
    ];
    for name in ["sip.pcap", "wa_voice.pcap"] {
        let Some(path) = tshark::capture(name) else { return };
        for row in tshark::fields(&path, "rtcp && !icmp", &names) {
            let datagram = tshark::bytes(&row[0]);
            let inner = tshark::unwrapped(&datagram);
            assert_ne!(probe(inner), Probe::No, "{}", row[0]);
            let (mut types, mut blocks, mut sent, mut texts) = (vec![], vec![], vec![], vec![]);
            for packet in Compound::parse(inner).unwrap() {
                types.push(packet.packet_type.0.to_string());
                match packet.body() {
                    Ok(Body::SenderReport(report)) => {
                        sent.push(report.info.packets.to_string());
                        blocks.extend(report.blocks);
                    }
                    Ok(Body::ReceiverReport(report)) => blocks.extend(report.blocks),
                    Ok(Body::Sdes(sdes)) => {
                        texts.extend(sdes.items().map(|i| String::from_utf8_lossy(i.value).into_owned()));
                    }
                    // tshark keeps the reason of a BYE in the field of the descriptions.
                    Ok(Body::Bye(bye)) => {
                        texts.extend(std::str::from_utf8(bye.reason).ok().map(str::to_owned));
                    }
                    _ => {}
                }
            }
            texts.retain(|text| !text.is_empty());
            let column = |of: fn(&ReportBlock) -> i64| {
                blocks.iter().map(|block| of(block).to_string()).collect::<Vec<_>>().join(",")
            };
            assert_eq!(types.join(","), row[1], "{name}");
            assert_eq!(column(|block| i64::from(block.fraction_lost)), row[2], "{name}");
            assert_eq!(column(|block| i64::from(block.cumulative_lost)), row[3], "{name}");
            assert_eq!(column(|block| i64::from(block.jitter)), row[4], "{name}");
            assert_eq!(column(|block| i64::from(block.extended_highest)), row[5], "{name}");
            assert_eq!(sent.join(","), row[6], "{name}");
            assert_eq!(texts.join(","), row[7], "{name}");
        }
    }
}

#[test]
fn srtcp_of_the_corpus_looks_encrypted_and_clear_reports_do_not() {
    for (name, filter, expected) in
        [("stun_dtls_rtp.pcapng", "srtcp && udp", true), ("sip.pcap", "rtcp && !icmp", false)]
    {
        let Some(path) = tshark::capture(name) else { return };
        let rows = tshark::fields(&path, filter, &["udp.payload"]);
        assert!(!rows.is_empty());
        for row in rows {
            let datagram = tshark::bytes(&row[0]);
            let compound = Compound::parse(tshark::unwrapped(&datagram)).unwrap();
            assert_eq!(compound.looks_encrypted(), expected, "{name} {}", row[0]);
        }
    }
}

proptest! {
    #[test]
    fn any_datagram_never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..120), force in any::<bool>()) {
        if let (true, [first, second, high, low, ..]) = (force, &mut bytes[..]) {
            (*first, *second, *high, *low) = (*first & 0x3f | 0x80, 200 + *second % 8, 0, *low % 24);
        }
        let _ = probe(&bytes);
        if let Ok(compound) = Compound::parse(&bytes) {
            let _ = compound.looks_encrypted();
            for packet in compound {
                let body = packet.body();
                if let Ok(Body::Sdes(sdes)) = &body {
                    prop_assert!(sdes.items().count() <= bytes.len());
                }
                if let Ok(Body::PayloadFeedback(feedback)) = &body {
                    let _ = feedback.payload_name();
                }
            }
        }
    }
}

/// Feedback, BYE and APP as above, and a description of two sources.
const OTHERS: [&[u8]; 5] = [
    &[0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, b'R', b'E', b'M', b'B', 1, 0x0b, 0xd0, 0x90, 0, 0, 0, 9],
    &[0x82, 203, 0, 4, 0, 0, 0, 7, 0, 0, 0, 8, 4, b'd', b'o', b'n', b'e', 0, 0, 0],
    &[0x80, 204, 0, 2, 0, 0, 0, 7, b'n', b'a', b'm', b'e'],
    &[0x8f, 205, 0, 3, 0, 0, 0, 7, 0, 0, 0, 9, 0, 1, 0, 2],
    &[0x82, 202, 0, 6, 0, 0, 0, 1, 1, 3, b'a', b'@', b'b', 0, 0, 0, 0, 0, 0, 2, 6, 1, b't', 0, 0, 0, 0, 0],
];

#[test]
fn the_packets_that_are_damaged_below_are_sound() {
    for bytes in OTHERS {
        let mut compound = Compound::parse(bytes).unwrap();
        assert!(compound.next().unwrap().body().is_ok() && compound.trailing().is_empty(), "{bytes:?}");
    }
    let sdes = Compound::parse(OTHERS[4]).unwrap().next().unwrap();
    assert!(matches!(sdes.body(), Ok(Body::Sdes(sdes)) if sdes.items().count() == 2));
}

proptest! {
    #[test]
    fn near_a_compound_its_packets_and_what_trails_are_the_datagram(
        bytes in near([&SR_SDES[..]].into_iter().chain(OTHERS)),
    ) {
        let _ = probe(&bytes);
        if let Ok(mut compound) = Compound::parse(&bytes) {
            let _ = compound.looks_encrypted();
            let mut length = 0;
            for packet in compound.by_ref() {
                length += 4 + packet.payload.len();
                let within = |part: usize| part <= packet.payload.len();
                match packet.body() {
                    Ok(Body::SenderReport(report)) => prop_assert!(within(24 + 24 * report.blocks.count())),
                    Ok(Body::ReceiverReport(report)) => prop_assert!(within(4 + 24 * report.blocks.count())),
                    Ok(Body::Sdes(sdes)) => {
                        let _ = sdes.cname();
                        prop_assert!(within(sdes.items().map(|item| 2 + item.value.len()).sum()));
                    }
                    Ok(Body::Bye(bye)) => prop_assert!(within(4 * bye.ssrcs().len() + bye.reason.len())),
                    Ok(Body::App(app)) => prop_assert!(within(8 + app.data.len())),
                    Ok(Body::TransportFeedback(feedback) | Body::PayloadFeedback(feedback)) => {
                        let _ = (feedback.transport_name(), feedback.payload_name(), feedback.remb());
                        prop_assert!(within(8 + feedback.control.len()));
                    }
                    _ => {}
                }
            }
            prop_assert_eq!(length + compound.trailing().len(), bytes.len());
        }
    }

    #[test]
    fn descriptions_are_what_was_written(
        written in proptest::collection::vec(
            (any::<u32>(), proptest::collection::vec((1_u8..=255, proptest::collection::vec(any::<u8>(), 0..9)), 0..4)), 0..4),
    ) {
        let mut bytes = Vec::new();
        for (ssrc, items) in &written {
            bytes.extend(ssrc.to_be_bytes());
            for (kind, value) in items {
                bytes.extend([*kind, u8::try_from(value.len()).unwrap()]);
                bytes.extend(value);
            }
            // At least one zero ends the list of a chunk, and others fill its last word.
            bytes.resize((bytes.len() + 1).next_multiple_of(4), 0);
        }
        let read: Vec<_> = Sdes::new(&bytes).items().map(|item| (item.ssrc, item.kind.0, item.value.to_vec())).collect();
        let flat = written.into_iter().flat_map(|(ssrc, items)| items.into_iter().map(move |(kind, value)| (ssrc, kind, value)));
        prop_assert_eq!(read, flat.collect::<Vec<_>>());
    }
}

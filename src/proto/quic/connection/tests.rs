use proptest::prelude::*;

use super::super::keys::tests::{CLIENT_CRYPTO, DCID, client_initial, hex, sealed_initial, server_initial};
use super::*;
use crate::bytes::near::near;

#[test]
fn client_hello_of_the_appendix_is_handed_out() {
    for version in [Version::V1, Version::V2] {
        let mut connection = Connection::new();
        let progress = connection.datagram(true, &client_initial(version)).unwrap();
        assert_eq!(progress, Progress { client_grew: true, ..Progress::default() });
        assert_eq!(connection.client_crypto(), &hex(CLIENT_CRYPTO)[4..]);
        assert!(connection.client_hello_is_whole() && connection.is_proven());
        assert_eq!(connection.version(), Some(version));
        assert_eq!(connection.original_dcid(), Some(&DCID[..]));
        assert_eq!(connection.facts().initials_verified, 1);
    }
}

#[test]
fn wrong_guess_of_the_originator_mends_itself() {
    let mut connection = Connection::new();
    connection.datagram(false, &client_initial(Version::V1)).unwrap();
    assert!(connection.client_hello_is_whole() && connection.facts().roles_swapped);
    assert!(connection.server_crypto().is_empty());
}

#[test]
fn server_initial_opens_after_the_client_and_not_alone() {
    let server =
        hex("cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a5816b6394100f37a1c69797554\
        780bb38cc5a99f5ede4cf73c3ec2493a1839b3dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b562bfb19\
        fb84022f8ef4cdd93795d77d06edbb7aaf2f58891850abbdca3d20398c276456cbc42158407dd074ee");
    let mut connection = Connection::new();
    connection.datagram(false, &server).unwrap();
    assert!(!connection.is_proven());
    assert_eq!(connection.facts().initials_failed, 1);
    connection.datagram(true, &client_initial(Version::V1)).unwrap();
    let mut both = server.clone();
    both.extend([0xe0, 0, 0, 0, 1, 0, 0, 1, 9, 0x40, 7, 7]);
    assert!(connection.datagram(false, &both).unwrap().server_grew);
    assert_eq!(connection.server_crypto()[..4], [2, 0, 0, 0x56]);
    let facts = connection.facts();
    assert_eq!((facts.coalesced, facts.handshake, facts.short, facts.roles_swapped), (2, 1, 1, false));
}

#[test]
fn a_long_header_without_the_fixed_bit_is_claimed_where_version_and_ids_fit() {
    let greased = server_initial(true);
    let claims = |connection: &Connection, packet: &[u8]| match Packets::new(packet).next() {
        Some(Ok(Packet::Long(header))) => connection.claims(&header),
        _ => false,
    };
    let mut connection = Connection::new();
    assert!(!claims(&connection, &greased));
    connection.datagram(true, &client_initial(Version::V1)).unwrap();
    assert!(claims(&connection, &greased));
    // RFC 9368 section 2.3: in version 2 to the client's id, which is empty; not to any other.
    let mut other = greased.clone();
    other[1..5].copy_from_slice(&Version::V2.0.to_be_bytes());
    assert!(claims(&connection, &other));
    other[5] = 1;
    assert!(!claims(&connection, &other));
    // RTP (RFC 3550 section 5.1) of type 96.
    let rtp = [&[0x80, 0x60, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2][..], &[5; 160]].concat();
    assert!(!claims(&connection, &rtp));
    connection.datagram(false, &greased).unwrap();
    assert_eq!((connection.facts().initials_verified, connection.server_crypto().len()), (2, 90));
}

#[test]
fn retry_is_checked_against_the_first_id() {
    let retry = hex("ff000000010008f067a5502a4262b5746f6b656e04a265ba2eff4d829058fb3f0f2496ba");
    let mut connection = Connection::new();
    connection.datagram(false, &retry).unwrap();
    assert_eq!(connection.facts().retry, Some(Retry { genuine: None }));
    let mut connection = Connection::new();
    connection.datagram(true, &client_initial(Version::V1)).unwrap();
    connection.datagram(false, &retry).unwrap();
    assert_eq!(connection.facts().retry, Some(Retry { genuine: Some(true) }));
}

#[test]
fn negotiation_is_noted() {
    let mut connection = Connection::new();
    let packet = [0x80, 0, 0, 0, 0, 0, 0, 0x1a, 0x2a, 0x3a, 0x4a, 0, 0, 0, 1, 0, 0, 0, 1];
    connection.datagram(false, &packet).unwrap();
    assert_eq!(connection.facts().offered, [Version(0x1a2a_3a4a), Version::V1]);
    assert_eq!(connection.version(), None);
}

#[test]
fn tampered_initial_proves_nothing_and_work_is_bounded() {
    let mut packet = client_initial(Version::V1);
    packet[600] ^= 1;
    let mut connection = Connection::new();
    for _ in 0..100 {
        connection.datagram(true, &packet).unwrap();
    }
    assert_eq!(connection.facts().initials_failed, 100);
    assert!(connection.client_crypto().is_empty() && !connection.is_proven());
    assert_eq!(connection.version(), Some(Version::V1));
}

#[test]
fn every_prefix_is_truncated_and_leaves_no_trace() {
    let packet = client_initial(Version::V1);
    for end in 0..packet.len() {
        let mut connection = Connection::new();
        let error = connection.datagram(true, &packet[..end]).unwrap_err();
        assert!(error.is_truncated(), "{end}: {error}");
        assert_eq!(connection.facts(), &Facts::default());
    }
}

#[test]
fn stray_bytes_are_not_quic() {
    let mut connection = Connection::new();
    assert_eq!(connection.datagram(true, &[0; 40]).unwrap_err().field(), "first byte");
    assert!(connection.datagram(true, &[]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn never_panics(
        datagrams in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..4),
        version in prop::sample::select(vec![
            0, 1, 0x6b33_43cf, 0xff00_0012, 0xff00_001d, 0x5130_3436, 0x5130_3530, 0x5430_3531, 0x0a0a_0a0a,
        ]),
    ) {
        let mut connection = Connection::new();
        for (at, mut datagram) in datagrams.into_iter().enumerate() {
            if datagram.len() > 7 {
                datagram[1..5].copy_from_slice(&u32::to_be_bytes(version));
                datagram[5] &= 0x1f;
            }
            super::super::probe(&datagram);
            let _ = connection.datagram(at % 2 == 0, &datagram);
        }
    }

    #[test]
    fn frames_never_panic(payload in proptest::collection::vec(any::<u8>(), 0..100), google: bool) {
        for frame in Frames::new(&payload, google) {
            let _ = frame;
        }
        let _ = gquic::parse_hello(&payload);
    }

    /// Frames that a sender sealed are read whatever they are: without the keys none of this would be reached.
    #[test]
    fn near_the_frames_of_an_initial_a_sealed_packet_is_read(
        frames in near([hex(CLIENT_CRYPTO), [&hex(CLIENT_CRYPTO)[..100], &[2, 9, 0x40, 0x19, 1, 0, 3, 4, 1, 0x1c, 10, 6, 1, b'x']].concat()]),
        version in prop::sample::select(vec![Version::V1, Version::V2]),
        more in near([hex(CLIENT_CRYPTO)]),
    ) {
        let mut connection = Connection::new();
        for frames in [frames, more] {
            connection.datagram(true, &sealed_initial(version, frames)).unwrap();
        }
        prop_assert_eq!(connection.facts().initials_verified, 2);
        prop_assert!(connection.client_crypto().len() <= 2 * 1162 && connection.server_crypto().is_empty());
    }

    #[test]
    fn near_coalesced_packets_datagrams_are_taken(
        datagrams in proptest::collection::vec(near([
            client_initial(Version::V1),
            hex("ff000000010008f067a5502a4262b5746f6b656e04a265ba2eff4d829058fb3f0f2496ba"),
            vec![0x80, 0, 0, 0, 0, 0, 0, 0x1a, 0x2a, 0x3a, 0x4a, 0, 0, 0, 1],
            [&client_initial(Version::V2)[..], &[0xe0, 0, 0, 0, 1, 0, 0, 1, 9, 0x40, 7, 7]].concat(),
        ]), 1..4),
    ) {
        let mut connection = Connection::new();
        for (at, datagram) in datagrams.iter().enumerate() {
            super::super::probe(datagram);
            let _ = connection.datagram(at % 2 == 0, datagram);
        }
        prop_assert!(connection.facts().initials_verified <= 4);
    }
}

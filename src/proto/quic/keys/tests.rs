use aes::Aes128;
use aes::cipher::BlockCipherEncrypt;
use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes128Gcm, KeyInit};
use proptest::prelude::*;

use super::*;
use crate::bytes::near::near;

/// Destination Connection ID of RFC 9001 appendix A and RFC 9369 appendix A.
pub(crate) const DCID: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];

/// CRYPTO frame of RFC 9001 appendix A.2; RFC 9369 uses the same.
pub(crate) const CLIENT_CRYPTO: &str = "060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e868\
    04fe3a47f06a2b69484c00000413011302010000c000000010000e00000b6578616d706c652e636f6dff01000100000a\
    00080006001d0017001800100007000504616c706e000500050100000000003300260024001d00209370b2c9caa47fba\
    baf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b0003020304000d0010000e0403050306030203080408\
    050806002d00020101001c00024001003900320408ffffffffffffffff05048000ffff07048000ffff08011001048000\
    75300901100f088394c8f03e51570806048000ffff";

pub(crate) fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn array<const N: usize>(text: &str) -> [u8; N] {
    hex(text).try_into().unwrap()
}

/// What an appendix prints of one version.
struct Vector {
    salt: Salt,
    version: Version,
    /// Client key, iv, hp.
    client: [&'static str; 3],
    /// Unprotected header of the client's Initial.
    header: &'static str,
    /// First 32 bytes of the protected packet, and its last 16: the tag covers all between.
    head: &'static str,
    tag: &'static str,
    /// The server's whole protected Initial.
    server: &'static str,
    retry: &'static str,
}

const V1: Vector = Vector {
    salt: Salt::V1,
    version: Version::V1,
    client: [
        "1f369613dd76d5467730efcbe3b1a22d",
        "fa044b2f42a3fd3b46fb255c",
        "9f50449e04a0e810283a1e9933adedd2",
    ],
    header: "c300000001088394c8f03e5157080000449e00000002",
    head: "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11",
    tag: "e221af44860018ab0856972e194cd934",
    server: "cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a5816b6394100f37a1c697975\
        54780bb38cc5a99f5ede4cf73c3ec2493a1839b3dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b\
        562bfb19fb84022f8ef4cdd93795d77d06edbb7aaf2f58891850abbdca3d20398c276456cbc42158407dd074ee",
    retry: "ff000000010008f067a5502a4262b5746f6b656e04a265ba2eff4d829058fb3f0f2496ba",
};

const V2: Vector = Vector {
    salt: Salt::V2,
    version: Version::V2,
    client: [
        "8b1a0bc121284290a29e0971b5cd045d",
        "91f73e2351d8fa91660e909f",
        "45b95e15235d6f45a6b19cbcb0294ba9",
    ],
    header: "d36b3343cf088394c8f03e5157080000449e00000002",
    head: "d76b3343cf088394c8f03e5157080000449ea0c95e82ffe67b6abcdb4298b485",
    tag: "a18b2faa745b6fe189cf772a9f84cbfc",
    server: "dc6b3343cf0008f067a5502a4262b5004075d92faaf16f05d8a4398c47089698baeea26b91eb761d9b89237b\
        bf87263017915358230035f7fd3945d88965cf17f9af6e16886c61bfc703106fbaf3cb4cfa52382dd16a393e4275\
        7507698075b2c984c707f0a0812d8cd5a6881eaf21ceda98f4bd23f6fe1a3e2c43edd9ce7ca84bed8521e2e140",
    retry: "cf6b3343cf0008f067a5502a4262b5746f6b656ec8646ce8bfe33952d955543665dcc7b6",
};

/// Protects the appendix's client Initial with the appendix's keys, none of ours.
pub(crate) fn client_initial(version: Version) -> Vec<u8> {
    sealed_initial(version, hex(CLIENT_CRYPTO))
}

/// The same with other frames, cut or filled up with PADDING to the same length.
pub(crate) fn sealed_initial(version: Version, mut plain: Vec<u8>) -> Vec<u8> {
    plain.resize(1162, 0);
    numbered_initial(version, &plain, 2, 4)
}

/// Of any packet number, in so many bytes of it.
fn numbered_initial(version: Version, plain: &[u8], number: u16, length: usize) -> Vec<u8> {
    let vector = if version == Version::V2 { V2 } else { V1 };
    let mut header = hex(vector.header);
    header.truncate(18);
    sealed(vector.client, header, plain, number, length)
}

/// What the server of RFC 9001 appendix A.3 answers, by the keys of appendix A.1, and the same from one that clears the fixed bit
/// (RFC 9287 section 3.1): a ServerHello of TLS 1.3 with `TLS_AES_128_GCM_SHA256` and a share of x25519.
pub(crate) fn server_initial(is_greased: bool) -> Vec<u8> {
    let keys =
        ["cf3a5331653c364c88f0f379b6067e37", "0ac1493ca1905853b0bba03e", "c206b8d9b9f0f37644430b490eeaa314"];
    let plain = hex(
        "02000000000600405a020000560303eefce7f7b37ba1d1632e96677825ddf73988cfc79825df566dc5430b9a045a1200\
        130100002e00330024001d00209d3c940d89690b84d08a60993c144eca684d1081287c834d5311bcf32bb9da1a002b00020304",
    );
    let mut header = hex("c1000000010008f067a5502a4262b5004075");
    header[0] ^= if is_greased { 0x40 } else { 0 };
    sealed(keys, header, &plain, 1, 2)
}

/// A packet whose header lacks its number only, by key, iv and header protection key.
fn sealed(keys: [&str; 3], mut header: Vec<u8>, plain: &[u8], number: u16, length: usize) -> Vec<u8> {
    let [key, iv, header_key] = keys;
    header[0] = header[0] & 0xfc | u8::try_from(length - 1).unwrap();
    header.extend_from_slice(&u32::from(number).to_be_bytes()[4 - length..]);
    let mut nonce: [u8; 12] = array(iv);
    for (byte, of_number) in nonce[10..].iter_mut().zip(number.to_be_bytes()) {
        *byte ^= of_number;
    }
    let aead = Aes128Gcm::new(&array::<16>(key).into());
    let sealed = aead.encrypt(&nonce.into(), Payload { msg: plain, aad: &header }).unwrap();
    let mut packet = header;
    packet.extend(sealed);
    let mut mask = <[u8; 16]>::try_from(&packet[22..38]).unwrap().into();
    Aes128::new(&array::<16>(header_key).into()).encrypt_block(&mut mask);
    packet[0] ^= mask[0] & 0x0f;
    for at in 0..length {
        packet[18 + at] ^= mask[1 + at];
    }
    packet
}

#[test]
fn the_servers_initial_of_the_appendix_is_sealed_as_printed() {
    assert_eq!(server_initial(false), hex(V1.server));
    assert_eq!(server_initial(true)[0] & 0xc0, 0x80);
}

#[test]
fn a_number_in_one_byte_is_the_one_that_is_near_those_before() {
    let mut keys = InitialKeys::derive(V1.salt, &DCID).client;
    let mut scratch = Vec::new();
    for (number, length, opened) in
        [(300, 1, false), (299, 4, true), (300, 1, true), (2, 4, true), (301, 1, true)]
    {
        let packet = numbered_initial(V1.version, &[1; 40], number, length);
        let found = keys.open(&packet, 18, &mut scratch);
        assert_eq!(found, opened.then_some(number.into()), "{number} in {length}");
    }
}

#[test]
fn client_initials_of_the_appendices_open() {
    for vector in [V1, V2] {
        let packet = client_initial(vector.version);
        assert_eq!(packet.len(), 1200);
        assert_eq!(packet[..32], hex(vector.head), "as printed in the RFC");
        assert!(packet.ends_with(&hex(vector.tag)), "as printed in the RFC");
        let mut scratch = Vec::new();
        let mut keys = InitialKeys::derive(vector.salt, &DCID).client;
        assert_eq!(keys.open(&packet, 18, &mut scratch), Some(2));
        assert!(scratch.starts_with(&hex(CLIENT_CRYPTO)));
        assert_eq!(scratch.len(), 1162);
    }
}

#[test]
fn server_initials_of_the_appendices_open() {
    for vector in [V1, V2] {
        let packet = hex(vector.server);
        let mut scratch = Vec::new();
        let mut keys = InitialKeys::derive(vector.salt, &DCID);
        assert_eq!(keys.server.open(&packet, 18, &mut scratch), Some(1));
        // ACK of packet 0, then CRYPTO with a ServerHello.
        assert!(
            scratch.starts_with(&hex("02000000000600405a020000560303eefce7f7b37ba1d1632e96677825ddf73988"))
        );
        assert_eq!(keys.client.open(&packet, 18, &mut scratch), None);
    }
}

#[test]
fn retries_of_the_appendices_are_genuine() {
    for vector in [V1, V2] {
        let mut packet = hex(vector.retry);
        assert_eq!(retry_is_genuine(vector.version, &DCID, &packet), Some(true));
        assert_eq!(retry_is_genuine(vector.version, &DCID[1..], &packet), Some(false));
        packet[16] ^= 1;
        assert_eq!(retry_is_genuine(vector.version, &DCID, &packet), Some(false));
    }
    assert_eq!(retry_is_genuine(Version(0xff00_0016), &DCID, &[0; 40]), None);
}

#[test]
fn one_wrong_bit_anywhere_keeps_it_shut() {
    let packet = hex(V1.server);
    let mut keys = InitialKeys::derive(Salt::V1, &DCID).server;
    let mut scratch = Vec::new();
    for at in 0..packet.len() {
        let mut wrong = packet.clone();
        wrong[at] ^= 1;
        assert_eq!(keys.open(&wrong, 18, &mut scratch), None, "byte {at}");
        assert_eq!(keys.open(&packet[..at], 18, &mut scratch), None, "prefix {at}");
    }
}

#[test]
fn packet_numbers_widen_to_the_nearest() {
    // RFC 9000 appendix A.3.
    assert_eq!(widen(0x9b32, 2, Some(0xa82f_30ea)), 0xa82f_9b32);
    assert_eq!(widen(3, 1, Some(254)), 259);
    assert_eq!(widen(250, 1, Some(257)), 250);
    assert_eq!(widen(7, 4, None), 7);
}

/// RFC 9001 appendix A.5: packet 654360564 of a server, PING, sealed with ChaCha20-Poly1305.
#[test]
fn short_header_packet_of_rfc9001_appendix_a5_opens_and_its_update_is_derived() {
    let secret = "9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b";
    let secret = Secret::new(Zeroizing::new(hex(secret)));
    let suite = Suite { aead: Algorithm::ChaCha20Poly1305, hash: Hash::Sha256 };
    let mut keys = PhasedKeys::derive(suite, LABELS, &secret).unwrap();
    let update = "1223504755036d556342ee9361d253421a826c9ecdf3c7148684b36b714881f9";
    assert_eq!(keys.next_secret.bytes(), hex(update));
    // The number is known from packets before.
    keys.largest = Some(654_360_563);
    let mut scratch = Vec::new();
    let packet = hex("4cfe4189655e5cd55c41f69080575d7999c25a5bfb");
    assert_eq!(keys.open(&packet, 1, &mut scratch), Some(654_360_564));
    assert_eq!(scratch, [1]);
    let mut wrong = packet;
    wrong[20] ^= 1;
    assert_eq!(keys.open(&wrong, 1, &mut scratch), None);
}

/// RFC 9369 appendix A.5: the same packet in version 2.
#[test]
fn short_header_packet_of_rfc9369_appendix_a5_opens() {
    let secret = "9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b";
    let secret = Secret::new(Zeroizing::new(hex(secret)));
    let suite = Suite { aead: Algorithm::ChaCha20Poly1305, hash: Hash::Sha256 };
    let mut keys = PhasedKeys::derive(suite, Labels::of(Version::V2), &secret).unwrap();
    let update = "c69374c49e3d2a9466fa689e49d476db5d0dfbc87d32ceeaa6343fd0ae4c7d88";
    assert_eq!(keys.next_secret.bytes(), hex(update));
    keys.largest = Some(654_360_563);
    let mut scratch = Vec::new();
    assert_eq!(
        keys.open(&hex("5558b1c60ae7b6b932bc27d786f4bc2bb20f2162ba"), 1, &mut scratch),
        Some(654_360_564)
    );
    assert_eq!(scratch, [1]);
}

/// Seals a PING as RFC 9001 section 5 says, in a short header without connection id: number, key phase, traffic secret of
/// that phase. `header` is the secret of phase 0, whose header protection stays.
fn short_packet(number: u8, phase: u8, secret: &Secret, header: &Secret) -> Vec<u8> {
    let expand = |secret: &Secret, label: &[u8], length| {
        kdf::expand_label(Hash::Sha256, secret.bytes(), Prefix::Tls, label, &[], length).unwrap()
    };
    let mut nonce: [u8; 12] = expand(secret, b"quic iv", 12).bytes().try_into().unwrap();
    nonce[11] ^= number;
    let mut packet = vec![0x40 | phase << 2, number];
    let aead = Aes128Gcm::new_from_slice(expand(secret, b"quic key", 16).bytes()).unwrap();
    // A PING and padding, so that there is enough for a sample.
    let sealed = aead.encrypt(&nonce.into(), Payload { msg: &[1, 0, 0, number], aad: &packet }).unwrap();
    packet.extend(sealed);
    let mut mask = <[u8; 16]>::try_from(&packet[5..21]).unwrap().into();
    Aes128::new_from_slice(expand(header, b"quic hp", 16).bytes()).unwrap().encrypt_block(&mut mask);
    packet[0] ^= mask[0] & 0x1f;
    packet[1] ^= mask[1];
    packet
}

#[test]
fn key_phases_are_followed_also_by_packets_that_come_late() {
    let mut secrets = vec![Secret::new(Zeroizing::new(vec![7; 32]))];
    for at in 0..3 {
        secrets.push(updated(INITIAL, LABELS, &secrets[at]).unwrap());
    }
    let packet = |number: u8, update: usize| {
        short_packet(number, u8::try_from(update % 2).unwrap(), &secrets[update], &secrets[0])
    };
    let mut keys = PhasedKeys::derive(INITIAL, LABELS, &secrets[0]).unwrap();
    let mut scratch = Vec::new();
    for (number, update) in [(0, 0), (2, 0), (4, 1), (3, 0), (5, 1), (1, 0), (8, 2), (7, 1), (9, 2), (11, 3)]
    {
        assert_eq!(keys.open(&packet(number, update), 1, &mut scratch), Some(number.into()));
        assert_eq!(scratch, [1, 0, 0, number], "{number} after {update} updates");
    }
    // A phase bit alone moves nothing: the tag decides.
    let mut forged = packet(12, 2);
    forged[10] ^= 1;
    assert_eq!(keys.open(&forged, 1, &mut scratch), None);
    assert_eq!(keys.open(&packet(12, 3), 1, &mut scratch), Some(12));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn near_an_initial_and_a_retry_only_what_was_sealed_verifies(
        packet in near([client_initial(V1.version)]),
        retry in near([hex(V1.retry)]),
        scratch in proptest::collection::vec(any::<u8>(), 0..9),
    ) {
        let mut keys = InitialKeys::derive(Salt::V1, &DCID).client;
        let mut scratch = scratch;
        let opened = keys.open(&packet, 18, &mut scratch);
        prop_assert_eq!(opened, (packet == client_initial(V1.version)).then_some(2));
        let genuine = retry_is_genuine(V1.version, &DCID, &retry);
        prop_assert_eq!(genuine == Some(true), retry == hex(V1.retry));
    }
}

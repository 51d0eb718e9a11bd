//! Zoom's UDP encapsulation of both generations: hellos, pings and leave (types 1 to 4 and 7), data (5) with a header of
//! one byte in 2019-20 and of eight bytes since, bind, bandwidth probe, media encapsulation, and payload units under
//! AES-128-ECB and AES-256-GCM.
//!
//! Framing follows captures of September 2019, September 2021 and 2022; the ECB payload is a reconstruction, see
//! `captures/README.md`.

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes_gcm::Aes256Gcm;
use aes_gcm::aead::Aead;

use crate::mac::hmac_sha256;

/// Inner type of audio.
pub(crate) const AUDIO: u8 = 15;
/// Most bytes of a fragment's share of a video unit.
pub(crate) const FRAGMENT: usize = 1100;

/// Which form of the encapsulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Generation {
    /// Of 2019 and 2020: hello version 2, answered with 1.
    Second,
    /// Since 2021: hello version 3.
    Third,
}

/// Client hello. The third generation's is longer by sixteen bytes, whose meaning is not known.
pub(crate) fn client_hello(generation: Generation, id: &[u8; 16], clock: u32, proof: &[u8; 64]) -> Vec<u8> {
    let mut out = vec![1, 0, if generation == Generation::Second { 2 } else { 3 }];
    out.extend(id);
    out.extend([0, 0, 0, 0, 0, 0, 0, 2]);
    out.extend(clock.to_be_bytes());
    out.extend(clock.to_be_bytes());
    out.extend(64_u32.to_be_bytes());
    out.extend(proof);
    out.extend([0; 4]);
    if generation == Generation::Third {
        out.extend([0; 16]);
    }
    out
}

/// Server hello: version 1 as the servers of 2019 answered, or 3.
pub(crate) fn server_hello(generation: Generation, id: &[u8; 16], flow: u32, clock: u32) -> Vec<u8> {
    let mut out = vec![2, 0, if generation == Generation::Second { 1 } else { 3 }];
    out.extend(id);
    out.extend(flow.to_be_bytes());
    out.extend(clock.to_be_bytes());
    out.extend([0; 8]);
    if generation == Generation::Third {
        out.extend([0, 4, 0, 4, 0, 0, 3, 0xe0, 1]);
    }
    out
}

/// What follows a ping or pong of the third generation: 64 bytes that only the two ends can check.
pub(crate) fn authenticated(mut ping: Vec<u8>, proof: &[u8; 64]) -> Vec<u8> {
    ping.extend([1, 5, 0x40]);
    ping.extend(proof);
    ping.push(0);
    ping
}

/// Type 3 (ping) or 4 (pong).
pub(crate) fn ping(kind: u8, counter: u32, clock_ms: u32, flow: u32) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend(counter.to_be_bytes());
    out.extend(clock_ms.to_be_bytes());
    out.extend(flow.to_be_bytes());
    out
}

/// Type 7; its 2019 length is an inference.
pub(crate) fn leave(flow: u32) -> Vec<u8> {
    let mut out = vec![7, 0, 0, 0, 0, 0, 0, 0, 0];
    out.extend(flow.to_be_bytes());
    out
}

/// Type 7 of the third generation.
pub(crate) fn leave_authenticated(flow: u32, proof: &[u8; 64]) -> Vec<u8> {
    [leave(flow).as_slice(), proof].concat()
}

/// Type 5 of the third generation: sequence number, flow and direction stand before the inner packet.
pub(crate) fn numbered_data(sequence: u16, flow: u32, from_server: bool, inner: &[u8]) -> Vec<u8> {
    let mut out = vec![5];
    out.extend(sequence.to_be_bytes());
    out.extend(flow.to_be_bytes());
    out.push(if from_server { 4 } else { 0 });
    out.extend(inner);
    out
}

/// Type 5 with an inner packet.
pub(crate) fn data(inner: &[u8]) -> Vec<u8> {
    let mut out = vec![5];
    out.extend(inner);
    out
}

/// Bind request: the flow says which node and which of its streams (1 video, 2 audio, 3 share) it carries.
pub(crate) fn bind_request(attachment: &[u8; 16], node: u32, selector: u8) -> Vec<u8> {
    let mut out = bind_head(0x0c, attachment, node, selector);
    out.extend([0, 0, 0, 0, 0, 0, 0, 1]);
    tagged(&mut out, b"data_bind_replace_flag", &[2, 0, 0, 0, 1]);
    out
}

/// Bind reply.
pub(crate) fn bind_reply(attachment: &[u8; 16], node: u32, selector: u8) -> Vec<u8> {
    let mut out = bind_head(0x0d, attachment, node, selector);
    out.extend([0, 0, 0, 0, 1]);
    tagged(&mut out, b"rid", &[3, 0, 0, 0, 0, 0, 0]);
    out
}

fn bind_head(kind: u8, attachment: &[u8; 16], node: u32, selector: u8) -> Vec<u8> {
    let mut out = vec![kind, 1];
    out.extend(attachment);
    out.extend((node | u32::from(selector)).to_be_bytes());
    // What this byte means is not known; these values stood beside these selectors in 2019.
    out.push(match selector {
        1 => 3,
        2 => 1,
        _ => 2,
    });
    out
}

fn tagged(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend(u32::try_from(name.len()).unwrap().to_be_bytes());
    out.extend(name);
    out.extend(value);
}

/// Type 13, the ordered wrapper of the share flow, in its short form of 2019: the nested packet stands at +4
/// from the client, and at +8 behind flag 2 from the server.
pub(crate) fn ordered(from_server: bool, inner: &[u8]) -> Vec<u8> {
    let head: &[u8] = if from_server { &[0x0d, 0, 0, 2, 0, 0, 0, 0] } else { &[0x0d, 0, 0, 0] };
    [head, inner].concat()
}

/// The ordered wrapper of the third generation, with a clock and a number: +7 from the client, +15 from the server.
pub(crate) fn ordered_since_2021(from_server: bool, clock_ms: u16, sequence: u16, inner: &[u8]) -> Vec<u8> {
    let mut out = vec![0x0d];
    out.extend(clock_ms.to_be_bytes());
    out.extend(sequence.to_be_bytes());
    out.extend(if from_server { vec![2, 0, 0, 0, 0, 0, 0, 0, 0, 0] } else { vec![0, 0] });
    out.extend(inner);
    out
}

/// Type 21: a thousand bytes of one value.
pub(crate) fn bandwidth_probe(sequence: u16, clock_ms: u32, fill: u8) -> Vec<u8> {
    let mut out = vec![0x15, 1, 0, 0, 0, 0, 0, 0, 0, 0x33, 1, 0x0d, 0xff];
    out.extend(sequence.to_be_bytes());
    out.extend(clock_ms.to_be_bytes());
    out.extend([0, 0, 0]);
    out.extend(1000_u16.to_be_bytes());
    out.extend([0; 4]);
    out.extend([fill; 1000]);
    out
}

/// Type 15 around an RTP packet.
pub(crate) fn audio(sequence: u16, clock_ms: u32, rtp: &[u8]) -> Vec<u8> {
    let mut out = vec![AUDIO, 1, 0, 0xfb, 0x90, 0x10, 0x11, 4, 3];
    out.extend(sequence.to_be_bytes());
    out.extend(clock_ms.to_be_bytes());
    out.extend(1_u16.to_be_bytes());
    out.extend(u16::try_from(rtp.len()).unwrap().to_be_bytes());
    out.extend(rtp);
    out
}

/// Type 16 around an RTP packet of picture `frame`, which has `packets` packets.
pub(crate) fn video(sequence: u16, clock_ms: u32, frame: u16, packets: usize, rtp: &[u8]) -> Vec<u8> {
    let mut out = vec![16, 1, 0, 0xfb, 0x90, 0x0d, 0x18, 0x0c, 2];
    out.extend(sequence.to_be_bytes());
    out.extend(clock_ms.to_be_bytes());
    out.extend([2, 0, 0, 0, 0, 2]);
    out.extend(frame.to_be_bytes());
    out.push(u8::try_from(packets).unwrap());
    out.extend(rtp);
    out
}

/// Type 33 (sender report) or 34 (with an empty SDES).
pub(crate) fn rtcp(kind: u8, packet: &[u8]) -> Vec<u8> {
    let mut out = vec![kind, 1, 0, 0xfb, 0x90, 9, 0x10];
    out.extend([0; 9]);
    out.extend(packet);
    out
}

/// How long the length field before a unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LengthField {
    /// Audio: u16.
    Short,
    /// Video: u32, ahead of fragmentation.
    Long,
}

impl LengthField {
    fn write(self, length: usize) -> Vec<u8> {
        match self {
            Self::Short => u16::try_from(length).unwrap().to_be_bytes().to_vec(),
            Self::Long => u32::try_from(length).unwrap().to_be_bytes().to_vec(),
        }
    }
}

/// How the last block is filled up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Padding {
    /// With zeros, if it is not full.
    Zeros,
    /// With bytes that say how many they are (PKCS #7, RFC 5652 §6.3); a full block gets another.
    Pkcs7,
}

/// `length | AES-128-ECB(plaintext, padded to whole blocks)`. The length is that of the plaintext.
pub(crate) fn ecb_unit(field: LengthField, plaintext: &[u8], key: &[u8; 16], padding: Padding) -> Vec<u8> {
    let mut out = field.write(plaintext.len());
    let cipher = Aes128::new(&(*key).into());
    let mut clear = plaintext.to_vec();
    if padding == Padding::Pkcs7 {
        let more = 16 - plaintext.len() % 16;
        clear.resize(plaintext.len() + more, u8::try_from(more).unwrap());
    }
    for chunk in clear.chunks(16) {
        let mut block = [0; 16];
        block[..chunk.len()].copy_from_slice(chunk);
        let mut block = block.into();
        cipher.encrypt_block(&mut block);
        out.extend(block);
    }
    out
}

/// The key of a sender's streams: HMAC-SHA256 of its nonce and 2 under the meeting key.
pub(crate) fn stream_key(meeting: &[u8; 32], nonce: &[u8; 16]) -> [u8; 32] {
    hmac_sha256(meeting, &[&nonce[..], &[2]].concat())
}

/// `length | 12 | nonce | 0 | AES-256-GCM(plaintext) | tag`, without additional data.
pub(crate) fn gcm_unit(field: LengthField, plaintext: &[u8], key: &[u8; 32], nonce: [u8; 12]) -> Vec<u8> {
    let mut out = field.write(plaintext.len());
    out.push(12);
    out.extend(nonce);
    out.push(0);
    out.extend(Aes256Gcm::new(&(*key).into()).encrypt(&nonce.into(), plaintext).unwrap());
    out
}

/// Cuts a unit into FU-A payloads. There are always two or more: no single-fragment picture was seen in the
/// captures at hand, so its header is unknown.
pub(crate) fn fragment(unit: &[u8]) -> Vec<Vec<u8>> {
    let count = unit.len().div_ceil(FRAGMENT).max(2);
    let size = unit.len().div_ceil(count);
    let chunks: Vec<&[u8]> = unit.chunks(size).collect();
    let last = chunks.len() - 1;
    let header = |position: usize| match position {
        0 => 0x80,
        position if position == last => 0x40,
        _ => 0,
    };
    chunks
        .iter()
        .enumerate()
        .map(|(position, chunk)| {
            let mut out = vec![0x1c, header(position)];
            out.extend(*chunk);
            out
        })
        .collect()
}

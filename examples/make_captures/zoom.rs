//! Zoom's UDP encapsulation of 2019-20: bare type bytes 1-4 and 7, a one-byte data header (5), bind, bandwidth
//! probe, media encapsulation, and payload units under AES-128-ECB.
//!
//! Framing follows a capture of September 2019; the ECB payload is a reconstruction, see `captures/README.md`.

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};

/// Inner type of audio.
pub(crate) const AUDIO: u8 = 15;
/// Most bytes of a fragment's share of a video unit.
pub(crate) const FRAGMENT: usize = 1100;

/// Client hello, version 2.
pub(crate) fn client_hello(id: &[u8; 16], clock: u32, proof: &[u8; 64]) -> Vec<u8> {
    let mut out = vec![1, 0, 2];
    out.extend(id);
    out.extend([0, 0, 0, 0, 0, 0, 0, 2]);
    out.extend(clock.to_be_bytes());
    out.extend(clock.to_be_bytes());
    out.extend(64_u32.to_be_bytes());
    out.extend(proof);
    out.extend([0; 4]);
    out
}

/// Server hello, version 1 as the servers of 2019 answered.
pub(crate) fn server_hello(id: &[u8; 16], flow: u32, clock: u32) -> Vec<u8> {
    let mut out = vec![2, 0, 1];
    out.extend(id);
    out.extend(flow.to_be_bytes());
    out.extend(clock.to_be_bytes());
    out.extend([0; 8]);
    out
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

/// `length | AES-128-ECB(plaintext, padded with zeros to whole blocks)`.
pub(crate) fn ecb_unit(field: LengthField, plaintext: &[u8], key: &[u8; 16]) -> Vec<u8> {
    let mut out = match field {
        LengthField::Short => u16::try_from(plaintext.len()).unwrap().to_be_bytes().to_vec(),
        LengthField::Long => u32::try_from(plaintext.len()).unwrap().to_be_bytes().to_vec(),
    };
    let cipher = Aes128::new(&(*key).into());
    for chunk in plaintext.chunks(16) {
        let mut block = [0; 16];
        block[..chunk.len()].copy_from_slice(chunk);
        let mut block = block.into();
        cipher.encrypt_block(&mut block);
        out.extend(block);
    }
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

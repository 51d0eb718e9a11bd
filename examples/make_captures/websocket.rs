//! The WebSocket protocol (RFC 6455): opening handshake and frames.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::rng::Rng;

const TEXT: u8 = 1;
const BINARY: u8 = 2;
/// A length in two more bytes.
const LONG: u8 = 0x7e;

/// The client's request and the server's answer.
pub(crate) fn opening(host: &str, path: &str, rng: &mut Rng) -> (String, String) {
    let key = STANDARD.encode(rng.array::<16>());
    let accept = STANDARD.encode(Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")));
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    (request, answer)
}

/// A text message of a server in one frame.
pub(crate) fn text(message: &str) -> Vec<u8> {
    frame(TEXT, None, message.as_bytes())
}

/// A text message of a client: masked (RFC 6455 §5.3).
pub(crate) fn masked_text(message: &str, rng: &mut Rng) -> Vec<u8> {
    frame(TEXT, Some(rng.array()), message.as_bytes())
}

/// A binary message of a server in one frame.
pub(crate) fn binary(message: &[u8]) -> Vec<u8> {
    frame(BINARY, None, message)
}

/// A binary message of a client.
pub(crate) fn masked_binary(message: &[u8], rng: &mut Rng) -> Vec<u8> {
    frame(BINARY, Some(rng.array()), message)
}

fn frame(opcode: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let masked = u8::from(mask.is_some()) << 7;
    let mut out = vec![0x80 | opcode];
    match u8::try_from(payload.len()) {
        Ok(short) if short < LONG => out.push(masked | short),
        _ => {
            out.push(masked | LONG);
            out.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        }
    }
    match mask {
        Some(mask) => {
            out.extend(mask);
            out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        }
        None => out.extend(payload),
    }
    out
}

#[cfg(test)]
mod tests {
    /// RFC 6455 §5.7.
    #[test]
    fn frames_match_the_examples() {
        assert_eq!(super::text("Hello"), [0x81, 5, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
        assert_eq!(
            super::frame(1, Some([0x37, 0xfa, 0x21, 0x3d]), b"Hello"),
            [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]
        );
        assert_eq!(super::binary(&[0; 256])[..4], [0x82, 0x7e, 1, 0]);
    }
}

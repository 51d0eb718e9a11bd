//! A strict first look: random bytes on UDP 8801 must not pass for Zoom.

use super::inner;
use crate::bytes::Probe;

/// Payload types that Zoom uses: video and share 98, muted audio and share 99, FEC 110, audio 112 and 113.
const fn is_payload_type(second_byte: u8) -> bool {
    matches!(second_byte & 0x7F, 98 | 99 | 110 | 112 | 113)
}

/// Could these bytes be a packet between a client and a Zoom media server?
///
/// `Yes` asks for structure that chance does not give; `Maybe` for packets whose layout says little (a
/// ping without authenticator): take them only after a `Yes` on the same flow.
pub fn probe_sfu(payload: &[u8]) -> Probe {
    match payload.first() {
        Some(1) => client_hello(payload),
        Some(2) => server_hello(payload),
        Some(3 | 4) => ping(payload),
        Some(5) => data(payload),
        Some(7) => close(payload),
        _ => Probe::No,
    }
}

/// Could these bytes be Zoom between two peers?
pub fn probe_p2p(payload: &[u8]) -> Probe {
    match payload {
        [31, 2, ..] => {
            if is_hole_punch(payload) {
                Probe::Yes
            } else {
                Probe::No
            }
        }
        // The three bytes after the head are the same in every media packet seen, but their meaning is
        // not known: without them the rest must do.
        [15 | 16 | 30, 1, 0, 0xFB, 0x90, ..] if has_media(payload) => Probe::Yes,
        [33..=35, 1, 0, 0xFB, 0x90, ..] if has_rtcp(payload) => Probe::Yes,
        [15 | 16 | 30, 1, ..] if has_media(payload) => Probe::Maybe,
        [13, ..] => encapsulation(payload),
        _ => Probe::No,
    }
}

/// `01 version(2) id(16) 7 zero bytes, 02, two clocks(4), 00000040, 64 opaque bytes`.
fn client_hello(payload: &[u8]) -> Probe {
    let versions = matches!(payload.get(1..3), Some([0, 2..=4]));
    let proof = payload.get(35..39) == Some(&[0, 0, 0, 0x40]);
    let zeros = payload.get(19..26).is_some_and(all_zero);
    if versions && proof && zeros {
        Probe::Yes
    } else if versions && proof {
        Probe::Maybe
    } else {
        Probe::No
    }
}

/// `02 version(2) id(16) flow id(4) clock(4) 8 zero bytes`, and 9 more bytes in generation 3.
fn server_hello(payload: &[u8]) -> Probe {
    let versions = matches!(payload.get(1..3), Some([0, 1..=4]));
    let zeros = payload.get(27..35).is_some_and(all_zero);
    if versions && zeros && payload.len() <= 64 { Probe::Yes } else { Probe::No }
}

/// `03|04 counter(4) clock(4) flow id(4)`, then nothing, `00`, or `01 05 40` and 64 opaque bytes.
fn ping(payload: &[u8]) -> Probe {
    // A counter above a million would mean weeks of one flow.
    let small_counter = matches!(payload.get(1..3), Some([0, 0..=0x0F]));
    match payload.get(13..) {
        Some([] | [0]) if small_counter => Probe::Maybe,
        Some([1, 5, 0x40, rest @ ..]) if small_counter && rest.len() >= 65 => Probe::Yes,
        _ => Probe::No,
    }
}

/// `07`, 8 zero bytes, flow id(4), 64 opaque bytes.
fn close(payload: &[u8]) -> Probe {
    if payload.len() == 77 && payload.get(1..9).is_some_and(all_zero) { Probe::Yes } else { Probe::No }
}

fn data(payload: &[u8]) -> Probe {
    let long = match payload.get(7) {
        Some(0 | 4) => payload.get(8..).map_or(Probe::No, encapsulation),
        _ => Probe::No,
    };
    long.max(payload.get(1..).map_or(Probe::No, encapsulation))
}

/// A media encapsulation behind an SFU header, whose first byte has already told something.
fn encapsulation(bytes: &[u8]) -> Probe {
    let sure = match bytes {
        [15 | 16 | 30, 1, ..] => has_media(bytes),
        [33..=35, 1, ..] => has_rtcp(bytes),
        [12, 1, ..] => is_bind(bytes),
        [13, ..] => is_bind(bytes) || wraps(bytes),
        [21, 1, 0, 0, 0, ..] => matches!(bytes.get(9), Some(0x33 | 0x35)) && bytes.get(10) == Some(&1),
        _ => false,
    };
    match bytes {
        _ if sure => Probe::Yes,
        [10, 6, 0, 0, 0, ..] if bytes.len() <= 32 => Probe::Maybe,
        _ => Probe::No,
    }
}

/// An RTP header with one of Zoom's payload types where the header length byte says.
pub(super) fn has_media(bytes: &[u8]) -> bool {
    let Some(offset) = inner::rtp_offset(bytes) else { return false };
    let typed =
        offset.checked_add(1).and_then(|at| bytes.get(at)).is_some_and(|second| is_payload_type(*second));
    // A capture cut by its snap length has less than what is announced, never more.
    let fits = match (bytes.first(), bytes.get(17..19)) {
        (Some(15), Some([high, low])) => {
            usize::from(u16::from_be_bytes([*high, *low])) >= bytes.len().saturating_sub(offset)
        }
        _ => true,
    };
    bytes.get(1) == Some(&1) && typed && fits
}

/// A clear RTCP header behind the 16-byte encapsulation header.
fn has_rtcp(bytes: &[u8]) -> bool {
    bytes.get(6) == Some(&16) && matches!(bytes.get(16..18), Some([0x80..=0xBF, 200..=207]))
}

/// `0c|0d 01 id(16) node id(4)`: node ids are multiples of 0x400 with a small stream number in the low bits.
fn is_bind(bytes: &[u8]) -> bool {
    match bytes.get(18..22) {
        Some([1, _, high, low]) => {
            bytes.get(1) == Some(&1) && high.trailing_zeros() >= 2 && (1..=15).contains(low)
        }
        _ => false,
    }
}

fn wraps(bytes: &[u8]) -> bool {
    [super::Generation::V3, super::Generation::V2]
        .into_iter()
        .filter_map(|generation| inner::nested_offset(bytes, generation))
        .filter_map(|offset| bytes.get(offset..))
        .any(|nested| is_bind(nested) || has_media(nested) || has_rtcp(nested))
}

/// Both texts fill the packet exactly but for four zero bytes.
fn is_hole_punch(bytes: &[u8]) -> bool {
    let Ok(inner::Inner::HolePunch(punch)) = inner::parse_inner(bytes) else { return false };
    let expected = 36_usize.saturating_add(punch.peer_address.len()).saturating_add(punch.uuid.len());
    punch.peer_ip().is_some() && bytes.len() == expected && bytes.last_chunk::<4>() == Some(&[0; 4])
}

fn all_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

//! QUIC as a bystander can read it: headers, and Initial packets, whose keys are public.
//!
//! In: UDP payloads. Out: a first guess ([`probe`]), packets ([`Packets`]), or a whole handshake followed
//! by [`Connection`], which hands out TLS handshake bytes for [`super::tls`] to read. RFC 8999, 9000,
//! 9001, 9369; drafts 22 to 34; mvfst; Google's Q024 to Q050, T050 and T051. Older drafts are named but
//! not opened. Handshake and 1-RTT packets stay closed, unless a key log has their secrets: [`opener::Opener`].

mod connection;
mod crypto_stream;
mod facts;
mod frame;
mod gquic;
mod header;
mod keys;
pub mod opener;
mod stream;
mod version;

pub use connection::Connection;
pub use facts::{Close, Facts, GoogleHello, Progress, Retry};
pub(super) use header::varint;
pub use header::{Kind, Long, Negotiation, Packet, Packets, ids};
pub use version::{Family, Version};

use crate::bytes::Probe;

/// A client pads the datagram of its first Initial to this many bytes (RFC 9000 §14.1).
const MIN_INITIAL: usize = 1200;
/// Longest connection ID that a version 1 endpoint makes, and shortest that a client's first packet has.
const SANE_ID: std::ops::RangeInclusive<usize> = 8..=20;

/// First look at a UDP payload. [`Probe::Yes`] takes a long header of a version that has been deployed
/// and lengths that fit. A short header has nothing that could be told from noise, so it is
/// [`Probe::No`]: know the flow, or its long headers, first.
pub fn probe(datagram: &[u8]) -> Probe {
    if gquic::public(datagram).is_some() {
        return Probe::Yes;
    }
    let [first, a, b, c, d, ..] = datagram else { return Probe::No };
    if first & 0x80 == 0 {
        return Probe::No;
    }
    let version = Version(u32::from_be_bytes([*a, *b, *c, *d]));
    let known = version.is_known();
    // RTP and RTCP have the form bit too, and not the fixed bit; RFC 9287 lets QUIC clear it as well.
    let fixed = first & 0x40 != 0;
    match Packets::new(datagram).next() {
        Some(Ok(Packet::Negotiation(packet))) => probe_negotiation(&packet),
        Some(Ok(Packet::Long(_))) if known => {
            if fixed {
                Probe::Yes
            } else {
                Probe::Maybe
            }
        }
        Some(Ok(Packet::Long(header))) if fixed && header.kind == Kind::Initial => {
            let sane = SANE_ID.contains(&header.dcid.len()) && header.scid.len() <= *SANE_ID.end();
            if sane && datagram.len() >= MIN_INITIAL { Probe::Maybe } else { Probe::No }
        }
        Some(Err(error)) if known && fixed && error.is_truncated() => Probe::Maybe,
        _ => Probe::No,
    }
}

fn probe_negotiation(packet: &Negotiation<'_>) -> Probe {
    let sane = packet.dcid.len().max(packet.scid.len()) <= *SANE_ID.end();
    if sane && packet.versions().any(Version::is_known) { Probe::Yes } else { Probe::No }
}

#[cfg(test)]
mod corpus_tests;
#[cfg(test)]
pub(crate) use keys::tests as vectors;

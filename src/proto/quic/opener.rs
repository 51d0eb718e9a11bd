//! A QUIC connection of which a key log has the secrets: its Handshake and 1-RTT packets opened. RFC 9000, 9001, 9369.
//!
//! In: the version and suite, secrets, then datagrams with who sent them. Out: handshake bytes and stream bytes, each in order
//! ([`Content`]). The length of the connection ids of short headers comes from long headers and `NEW_CONNECTION_ID` frames.
//! Not handled: 0-RTT packets, and a second connection under the same five-tuple.

use zeroize::Zeroizing;

use crate::proto::tls::keylog::Secrets;
use crate::proto::tls::opener::End;
use crate::proto::tls::protection::Suite;

use super::frame::{Frame, Frames};
use super::header::{Kind, Long, Packet, Packets};
use super::keys::{Keys, Labels, PhasedKeys};
use super::stream::Streams;
use super::version::Version;

/// Lengths of connection ids tried for a short header: an endpoint changes the ids and seldom their length.
const MAX_LENGTHS: usize = 4;
/// Longest connection id (RFC 9000 section 17.2).
const MAX_ID: usize = 20;
/// Packets of one direction that may fail one after the other before no more are tried, to bound the work.
const MAX_FAILURES: u32 = 64;
/// Under this number in [`Streams`] stands the handshake stream of Handshake packets, and one above it that of 1-RTT packets;
/// stream ids have 62 bits.
const CRYPTO: u64 = 1 << 62;

/// What came out of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content<'a> {
    /// Handshake messages of Handshake packets, in order.
    Handshake(&'a [u8]),
    /// Bytes of a stream, in order.
    Stream(u64, &'a [u8]),
    /// A DATAGRAM frame's.
    Datagram(&'a [u8]),
}

/// Counts of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Packets whose tag verified.
    pub opened: u64,
    /// Packets that no key at hand opened.
    pub failed: u64,
    /// Bytes of packets whose secret is not there, that were given up, and of 0-RTT packets.
    pub passed_over: u64,
}

#[derive(Debug, Default)]
struct Way {
    handshake: Option<Keys>,
    application: Option<PhasedKeys>,
    /// Lengths of the connection ids that packets of this direction carry, likeliest first.
    lengths: Vec<usize>,
    streams: Streams,
    failures: u32,
    opened: u64,
}

/// See the module's text.
#[derive(Debug)]
pub struct Opener {
    client: Way,
    server: Way,
    counts: Counts,
    /// Plaintext of the packet at hand; wiped when dropped.
    scratch: Zeroizing<Vec<u8>>,
    is_partial: bool,
}

impl Opener {
    /// Derives what keys there can be; `None` when there is none.
    pub fn new(version: Version, suite: Suite, secrets: &Secrets) -> Option<Self> {
        let labels = Labels::of(version);
        let handshake = |secret: &Option<_>| Keys::derive(suite, labels, secret.as_ref()?);
        let application = |secret: &Option<_>| PhasedKeys::derive(suite, labels, secret.as_ref()?);
        let client = Way {
            handshake: handshake(&secrets.client_handshake),
            application: application(&secrets.client_traffic),
            ..Way::default()
        };
        let server = Way {
            handshake: handshake(&secrets.server_handshake),
            application: application(&secrets.server_traffic),
            ..Way::default()
        };
        let keys = [
            client.handshake.is_some(),
            client.application.is_some(),
            server.handshake.is_some(),
            server.application.is_some(),
        ];
        keys.contains(&true).then(|| Self {
            client,
            server,
            counts: Counts::default(),
            scratch: Zeroizing::new(Vec::new()),
            is_partial: keys.contains(&false),
        })
    }

    /// True when a secret is missing, so that not all can be opened.
    pub const fn is_partial(&self) -> bool {
        self.is_partial
    }

    /// Counts so far.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// How many packets of a direction verified.
    pub const fn opened(&self, end: End) -> u64 {
        match end {
            End::Client => self.client.opened,
            End::Server => self.server.opened,
        }
    }

    /// Bytes of streams that did not come out, because bytes before them are not there, or because of a cap.
    pub fn missing(&self) -> u64 {
        self.client.streams.missing().saturating_add(self.server.streams.missing())
    }

    /// Takes the payload of one datagram; `each` gets what comes out of it.
    pub fn datagram(&mut self, from: End, data: &[u8], mut each: impl FnMut(Content<'_>)) {
        for packet in Packets::new(data).map_while(Result::ok) {
            match packet {
                Packet::Long(header) => self.long(from, &header, &mut each),
                Packet::Short(packet) => self.short(from, packet, &mut each),
                Packet::Negotiation(_) => {}
            }
        }
    }

    const fn ways(&mut self, from: End) -> (&mut Way, &mut Way) {
        match from {
            End::Client => (&mut self.client, &mut self.server),
            End::Server => (&mut self.server, &mut self.client),
        }
    }

    fn long(&mut self, from: End, header: &Long<'_>, each: &mut impl FnMut(Content<'_>)) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let (own, other) = self.ways(from);
        // What an end calls itself is what the other end writes into short headers.
        if matches!(header.kind, Kind::Initial | Kind::Handshake) {
            other.know_length(header.scid.len());
        }
        let outcome = match header.kind {
            Kind::Handshake => {
                let keys = own.handshake.as_mut().filter(|_| own.failures < MAX_FAILURES);
                keys.map(|keys| keys.open(header.packet, header.number_offset, &mut scratch).is_some())
            }
            Kind::ZeroRtt => None,
            Kind::Initial | Kind::Retry | Kind::Opaque => {
                self.scratch = scratch;
                return;
            }
        };
        if outcome == Some(true) {
            frames(own, other, &scratch, false, each);
        }
        self.note(from, outcome, header.packet);
        self.scratch = scratch;
    }

    fn short(&mut self, from: End, packet: &[u8], each: &mut impl FnMut(Content<'_>)) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let (own, other) = self.ways(from);
        let outcome = own.short(packet, &mut scratch);
        if outcome == Some(true) {
            frames(own, other, &scratch, true, each);
        }
        self.note(from, outcome, packet);
        self.scratch = scratch;
    }

    /// `outcome` is none where no key was tried.
    fn note(&mut self, from: End, outcome: Option<bool>, packet: &[u8]) {
        let counts = &mut self.counts;
        match outcome {
            Some(true) => counts.opened = counts.opened.saturating_add(1),
            Some(false) => counts.failed = counts.failed.saturating_add(1),
            None => {
                let bytes = u64::try_from(packet.len()).unwrap_or(u64::MAX);
                counts.passed_over = counts.passed_over.saturating_add(bytes);
            }
        }
        let (own, _) = self.ways(from);
        match outcome {
            Some(true) => {
                own.failures = 0;
                own.opened = own.opened.saturating_add(1);
            }
            Some(false) => own.failures = own.failures.saturating_add(1),
            None => {}
        }
    }
}

impl Way {
    fn know_length(&mut self, length: usize) {
        if length <= MAX_ID && !self.lengths.contains(&length) && self.lengths.len() < MAX_LENGTHS {
            self.lengths.push(length);
        }
    }

    fn short(&mut self, packet: &[u8], scratch: &mut Vec<u8>) -> Option<bool> {
        let keys = self.application.as_mut().filter(|_| self.failures < MAX_FAILURES)?;
        for at in 0..self.lengths.len() {
            let offset = self.lengths.get(at)?.saturating_add(1);
            if keys.open(packet, offset, scratch).is_some() {
                self.lengths.swap(0, at);
                return Some(true);
            }
        }
        Some(false)
    }
}

fn frames(
    own: &mut Way,
    other: &mut Way,
    payload: &[u8],
    is_application: bool,
    each: &mut impl FnMut(Content<'_>),
) {
    for frame in Frames::opened(payload).map_while(Result::ok) {
        match frame {
            Frame::Crypto { offset, data } if is_application => {
                // Tickets; they are put in order for the sake of the bounds alone.
                own.streams.insert(CRYPTO.saturating_add(1), offset, data, &mut |_| {});
            }
            Frame::Crypto { offset, data } => {
                own.streams.insert(CRYPTO, offset, data, &mut |bytes| each(Content::Handshake(bytes)));
            }
            Frame::Stream { id, offset, data } => {
                own.streams.insert(id, offset, data, &mut |bytes| each(Content::Stream(id, bytes)));
            }
            Frame::NewConnectionId { length } => other.know_length(length),
            Frame::Datagram(data) => each(Content::Datagram(data)),
            Frame::Padding | Frame::Ping | Frame::Ack | Frame::Close { .. } | Frame::Other => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proto::tls::CipherSuite;
    use crate::proto::tls::keylog::KeyLog;

    fn opener(labels: &[&str]) -> Option<Opener> {
        let mut log = KeyLog::new();
        for label in labels {
            log.add(0, format!("{label} {} {}", "00".repeat(32), "07".repeat(32)).as_bytes());
        }
        let secrets = log.find(&[0; 32]).map(|(secrets, _)| secrets).unwrap_or_default();
        Opener::new(Version::V1, Suite::of(CipherSuite(0x1301)).unwrap(), &secrets)
    }

    #[test]
    fn without_a_secret_there_is_nothing_to_open_and_with_some_that_is_told() {
        assert!(opener(&[]).is_none());
        assert!(opener(&["EXPORTER_SECRET"]).is_none());
        assert!(opener(&["SERVER_TRAFFIC_SECRET_0"]).unwrap().is_partial());
        let all = [
            "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
            "SERVER_HANDSHAKE_TRAFFIC_SECRET",
            "CLIENT_TRAFFIC_SECRET_0",
            "SERVER_TRAFFIC_SECRET_0",
        ];
        assert!(!opener(&all).unwrap().is_partial());
    }

    #[test]
    fn packets_that_fail_are_given_up_and_those_without_secret_passed_over() {
        let mut opener = opener(&["SERVER_TRAFFIC_SECRET_0"]).unwrap();
        // A Handshake packet of the client, whose source id is what the server's short headers carry.
        let handshake = [0xe0, 0, 0, 0, 1, 0, 4, 1, 2, 3, 4, 2, 9, 9];
        opener.datagram(End::Client, &handshake, |_| panic!("nothing opens"));
        assert_eq!(opener.counts().passed_over, 14);
        let short = [0x40; 60];
        for _ in 0..MAX_FAILURES {
            opener.datagram(End::Server, &short, |_| panic!("nothing opens"));
        }
        let counts = opener.counts();
        assert_eq!((counts.failed, counts.passed_over), (u64::from(MAX_FAILURES), 14));
        opener.datagram(End::Server, &short, |_| panic!("nothing opens"));
        assert_eq!((opener.counts().failed, opener.counts().passed_over), (u64::from(MAX_FAILURES), 74));
        assert_eq!((opener.opened(End::Server), opener.missing()), (0, 0));
    }

    proptest! {
        #[test]
        fn any_datagrams_are_taken_without_panic(
            datagrams in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..120)), 1..6),
            first in prop::sample::select(vec![0x40_u8, 0xc0, 0xd0, 0xe0, 0xf0]),
        ) {
            let mut opener = opener(&["CLIENT_TRAFFIC_SECRET_0", "SERVER_HANDSHAKE_TRAFFIC_SECRET"]).unwrap();
            for (from_client, mut datagram) in datagrams {
                if datagram.len() > 7 {
                    datagram[0] = first;
                    datagram[1..5].copy_from_slice(&[0, 0, 0, 1]);
                    datagram[5] &= 0x1f;
                }
                let end = if from_client { End::Client } else { End::Server };
                opener.datagram(end, &datagram, |_| ());
            }
        }
    }
}

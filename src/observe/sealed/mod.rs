//! Protected records and packets of which a key log has the secrets. In: what the hellos agreed on, the key log, records or
//! datagrams. Out: handshake facts, [`Opened`] with counts and digests, and the data handed on to whoever looks for keys in it.

mod quic;
mod sip;
mod srtp;
mod tls;

pub(super) use quic::QuicOpening;
pub(super) use srtp::Randoms;
pub(super) use tls::TlsOpening;

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::PacketRef;
use super::facts::{Facts, Missing, Opened};
use super::opened::Finder;
use crate::flow::{Direction, Wait};
use crate::proto::tls::keylog::{KeyLog, Random, Secrets};
use crate::proto::tls::opener::End;

/// Bytes of application data that are opened of one flow. Signalling is far less; a download that is longer has nothing to tell.
pub(super) const MAX_OPENED: u64 = 64 << 20;

/// What has been opened of one flow so far.
#[derive(Debug)]
struct Ledger {
    opened: Opened,
    finder: Finder,
    calls: sip::Calls,
    /// Of both directions of a TLS connection.
    data: [Option<Sha256>; 2],
    /// Of each stream of a QUIC connection, by direction.
    streams: [BTreeMap<u64, Sha256>; 2],
    /// What the finder holds of bodies that are not whole, since the packet of the flow that came last, by its number in the run: those
    /// where nothing goes on have waited longest.
    waits: Wait,
}

impl Ledger {
    fn new() -> Self {
        let (data, streams) = ([None, None], [BTreeMap::new(), BTreeMap::new()]);
        let waits = Wait { since: 0, bytes: 0 };
        let (opened, finder, calls) = (Opened::default(), Finder::new(), sip::Calls::default());
        Self { opened, finder, calls, data, streams, waits }
    }

    const fn is_full(&self) -> bool {
        self.opened.bytes >= MAX_OPENED
    }

    fn count(&mut self, bytes: &[u8]) {
        self.opened.bytes = self.opened.bytes.saturating_add(length(bytes));
    }

    fn data(&mut self, direction: Direction, packet: PacketRef, bytes: &[u8]) {
        self.count(bytes);
        if let Some(digest) = self.data.get_mut(direction.index()) {
            digest.get_or_insert_with(Sha256::new).update(bytes);
        }
        self.calls.data(direction, packet, bytes);
        self.finder.data(direction, packet, bytes);
        self.waits.bytes = self.finder.bytes();
    }

    fn stream(&mut self, direction: Direction, id: u64, packet: PacketRef, bytes: &[u8]) {
        self.count(bytes);
        if let Some(streams) = self.streams.get_mut(direction.index()) {
            streams.entry(id).or_default().update(bytes);
        }
        self.finder.stream(direction, id, packet, bytes);
        self.waits.bytes = self.finder.bytes();
    }

    /// Bodies that are not whole; `None` where none holds anything.
    fn waiting(&self) -> Option<Wait> {
        (self.waits.bytes > 0).then_some(self.waits)
    }

    /// Reads no further what bodies are not whole.
    fn give_up(&mut self) {
        self.finder.give_up();
        self.waits.bytes = 0;
    }

    /// The first obstacle stays.
    fn miss(&mut self, missing: Missing) {
        self.opened.missing.get_or_insert(missing);
    }

    fn finish(self, facts: &mut Facts) {
        let Self { mut opened, finder, calls, data, streams, waits: _ } = self;
        if opened.records == 0 && opened.failed > 0 {
            opened.missing = Some(Missing::WrongSecret);
        }
        let of_streams = streams.map(|streams| (!streams.is_empty()).then(|| digest_of(streams)));
        let of_data = data.map(|digest| digest.map(|digest| digest.finalize().into()));
        let [forward, reverse] = of_data;
        let [forward_streams, reverse_streams] = of_streams;
        opened.sha256 = [forward.or(forward_streams), reverse.or(reverse_streams)];
        if let Some((bodies, packet)) = finder.finish(&mut opened) {
            (0..bodies).for_each(|_| facts.anomaly("http_body_over_cap", packet));
        }
        calls.finish(facts);
        facts.opened = Some(Box::new(opened));
    }
}

/// One digest of many streams, whatever the order in which their bytes came: SHA-256 over each stream's id (64 bits, big-endian)
/// and its SHA-256, by rising id.
fn digest_of(streams: BTreeMap<u64, Sha256>) -> [u8; 32] {
    let mut all = Sha256::new();
    for (id, digest) in streams {
        all.update(id.to_be_bytes());
        all.update(digest.finalize());
    }
    all.finalize().into()
}

/// The secrets of a session. Where the key log has none, or the capture lacks the ClientHello, that is written down.
fn look_up(facts: &mut Facts, log: &KeyLog, client_random: Option<&Random>) -> Option<Secrets> {
    let missing = match client_random.map(|random| log.find(random)) {
        Some(Some((secrets, source))) => {
            log.note_use(source);
            return Some(secrets);
        }
        Some(None) => Missing::NoSecret,
        None => Missing::NoHandshake,
    };
    note_missing(facts, missing);
    None
}

/// Writes down why a flow stays closed.
pub(super) fn note_missing(facts: &mut Facts, missing: Missing) {
    facts.opened.get_or_insert_default().missing.get_or_insert(missing);
}

fn end_of(client: Direction, direction: Direction) -> End {
    if client == direction { End::Client } else { End::Server }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

//! A QUIC connection that is opened with a key log.

use super::{Ledger, end_of, look_up, note_missing};
use crate::flow::{Direction, Wait};
use crate::observe::PacketRef;
use crate::observe::facts::{Facts, Missing};
use crate::observe::handshake::Side;
use crate::proto::quic::Version;
use crate::proto::quic::opener::{Content, Opener};
use crate::proto::tls::HandshakeAssembler;
use crate::proto::tls::keylog::KeyLog;
use crate::proto::tls::opener::End;
use crate::proto::tls::protection::Suite;

/// See the module's text.
#[derive(Debug)]
pub(in crate::observe) struct QuicOpening {
    opener: Opener,
    client: Direction,
    ledger: Ledger,
    assembler: HandshakeAssembler,
}

impl QuicOpening {
    /// Begins once both hellos were read; none where the key log does not help, which is then written down.
    pub(in crate::observe) fn begin(
        facts: &mut Facts,
        log: &KeyLog,
        version: Version,
        client: (&Side, Direction),
        server: &Side,
    ) -> Option<Self> {
        let (client, direction) = client;
        let secrets = look_up(facts, log, client.client_random.as_ref())?;
        let agreed = server.agreed.as_ref()?;
        let Some(suite) = Suite::of(agreed.suite) else {
            note_missing(facts, Missing::CipherSuite(agreed.suite.0));
            return None;
        };
        let Some(opener) = Opener::new(version, suite, &secrets) else {
            note_missing(facts, Missing::PartOfSecret);
            return None;
        };
        let assembler = HandshakeAssembler::new();
        Some(Self { opener, client: direction, ledger: Ledger::new(), assembler })
    }

    /// Takes one datagram.
    pub(in crate::observe) fn datagram(
        &mut self,
        facts: &mut Facts,
        direction: Direction,
        packet: PacketRef,
        payload: &[u8],
    ) {
        let Self { opener, client, ledger, assembler } = self;
        if ledger.is_full() {
            let bytes = super::length(payload);
            ledger.opened.passed_over = ledger.opened.passed_over.saturating_add(bytes);
            ledger.miss(Missing::Cap);
            return;
        }
        let end = end_of(*client, direction);
        let mut fault = None;
        let tls = facts.tls.get_or_insert_default();
        opener.datagram(end, payload, |content| match content {
            Content::Handshake(bytes) if end == End::Server => {
                let fed = assembler.feed(bytes, |message| {
                    let told = super::tls::opened_message(tls, end, &message, packet);
                    fault = fault.or_else(|| told.err());
                });
                fault = fault.or_else(|| fed.err().map(|error| error.field()));
            }
            Content::Handshake(_) => {}
            Content::Stream(id, bytes) => ledger.stream(direction, id, packet, bytes),
            // They have no order, and what would be looked for in them is unknown.
            Content::Datagram(bytes) => ledger.count(bytes),
        });
        if let Some(field) = fault {
            facts.anomaly(field, packet);
        }
    }

    /// What bodies hold that are not whole; `None` where none does.
    #[inline]
    pub(in crate::observe) fn waiting(&self) -> Option<Wait> {
        self.ledger.waiting()
    }

    /// The flow's last packet has this number in the run.
    #[inline]
    pub(in crate::observe) const fn seen(&mut self, number: u64) {
        self.ledger.waits.since = number;
    }

    /// Reads no further what bodies are not whole.
    pub(in crate::observe) fn give_up(&mut self) {
        self.ledger.give_up();
    }

    /// Writes down what was opened.
    pub(in crate::observe) fn finish(mut self, facts: &mut Facts) {
        let counts = self.opener.counts();
        let opened = &mut self.ledger.opened;
        opened.records = counts.opened;
        opened.failed = counts.failed;
        opened.passed_over = opened.passed_over.saturating_add(counts.passed_over);
        if self.opener.is_partial() {
            self.ledger.miss(Missing::PartOfSecret);
        } else if self.opener.missing() > 0 {
            self.ledger.miss(Missing::Gap);
        }
        self.ledger.finish(facts);
    }
}

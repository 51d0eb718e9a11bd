//! A TLS connection over TCP that is opened with a key log.

use zeroize::Zeroizing;

use super::{Ledger, end_of, length, look_up, note_missing};
use crate::flow::{Direction, Wait};
use crate::observe::PacketRef;
use crate::observe::facts::{Facts, Missing, Tls};
use crate::observe::handshake::{self, Side};
use crate::proto::tls::keylog::KeyLog;
use crate::proto::tls::opener::{Agreed, End, Obstacle, Opener, Outcome};
use crate::proto::tls::{ContentType, Record};

/// See the module's text.
#[derive(Debug)]
pub(in crate::observe) struct TlsOpening {
    opener: Opener,
    client: Direction,
    ledger: Ledger,
    /// What a record held; wiped when dropped.
    content: Zeroizing<Vec<u8>>,
}

impl TlsOpening {
    /// Begins once both hellos were read; none where the key log does not help, which is then written down.
    pub(in crate::observe) fn begin(
        facts: &mut Facts,
        log: &KeyLog,
        client: (&Side, Direction),
        server: &Side,
    ) -> Option<Self> {
        let (client, direction) = client;
        let known = client.client_random.as_ref();
        let Some(agreed) = &server.agreed else {
            if known.is_none_or(|random| log.find(random).is_some()) {
                note_missing(facts, Missing::NoHandshake);
            } else {
                note_missing(facts, Missing::NoSecret);
            }
            return None;
        };
        let secrets = look_up(facts, log, known)?;
        let agreed = Agreed {
            version: agreed.version,
            suite: agreed.suite,
            client_random: *known?,
            server_random: agreed.random,
            early_data: client.early_data,
        };
        match Opener::new(&agreed, &secrets) {
            Ok(opener) => {
                let content = Zeroizing::new(Vec::new());
                Some(Self { opener, client: direction, ledger: Ledger::new(), content })
            }
            Err(obstacle) => {
                note_missing(facts, missing(obstacle));
                None
            }
        }
    }

    /// True when so much was opened that the rest is only counted.
    pub(in crate::observe) const fn is_full(&self) -> bool {
        self.ledger.is_full()
    }

    /// Counts bytes that are not looked at.
    pub(in crate::observe) fn pass_over(&mut self, bytes: &[u8]) {
        let opened = &mut self.ledger.opened;
        opened.passed_over = opened.passed_over.saturating_add(length(bytes));
        if !bytes.is_empty() {
            self.ledger.miss(Missing::Cap);
        }
    }

    /// A piece of the stream is not there: how many records it held is not known, so nothing after it opens.
    pub(in crate::observe) fn gap(&mut self) {
        self.ledger.miss(Missing::Gap);
    }

    /// Takes the next record of a direction. False when nothing more of it can be opened.
    pub(in crate::observe) fn record(
        &mut self,
        facts: &mut Facts,
        direction: Direction,
        record: &Record<'_>,
        packet: PacketRef,
    ) -> bool {
        let end = end_of(self.client, direction);
        let tls = facts.tls.get_or_insert_default();
        let mut fault = None;
        let outcome = self.opener.record(end, record, &mut self.content, |message| {
            let told = opened_message(tls, end, &message, packet);
            fault = fault.or_else(|| told.err());
        });
        let opened = &mut self.ledger.opened;
        match outcome {
            Outcome::Clear => {}
            Outcome::Opened(kind) => {
                opened.records = opened.records.saturating_add(1);
                if kind == ContentType::APPLICATION_DATA {
                    self.ledger.data(direction, packet, &self.content);
                }
            }
            Outcome::Failed => opened.failed = opened.failed.saturating_add(1),
            Outcome::PassedOver => {
                opened.passed_over = opened.passed_over.saturating_add(length(record.fragment));
            }
            Outcome::Renegotiated => self.ledger.miss(Missing::Renegotiation),
        }
        if let Some(field) = fault {
            facts.anomaly(field, packet);
        }
        !self.opener.is_given_up(end)
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
        if self.opener.is_partial() {
            self.ledger.miss(Missing::PartOfSecret);
        }
        self.ledger.finish(facts);
    }
}

const fn missing(obstacle: Obstacle) -> Missing {
    match obstacle {
        Obstacle::CipherSuite(suite) => Missing::CipherSuite(suite.0),
        Obstacle::PartOfSecret => Missing::PartOfSecret,
    }
}

/// A handshake message that nobody without secrets sees.
pub(super) fn opened_message(
    tls: &mut Tls,
    end: End,
    message: &crate::proto::tls::Message<'_>,
    packet: PacketRef,
) -> Result<(), &'static str> {
    match end {
        End::Server => handshake::opened_server_message(tls, message, packet),
        End::Client => Ok(()),
    }
}

//! A TLS connection of which a key log has the secrets: protected records of both directions in, their content out.
//!
//! In: the version and suite that the ServerHello chose, both randoms, secrets; then the records of each direction in order,
//! from the first after the hellos on. Out: the kind and content of each, and whole handshake messages. RFC 8446 sections 4.6.3
//! and 7.1, RFC 5246. Not handled: early data and renegotiation; both are told from a record that does not verify.

use zeroize::Zeroizing;

use super::handshake::{HandshakeAssembler, Message};
use super::keylog::{Random, Secrets};
use super::protection::{RecordKey, Suite};
use super::record::Record;
use super::registry::{CipherSuite, ContentType, HandshakeType, ProtocolVersion};

/// Records of one direction that may fail one after the other before no more are tried, to bound the work: early data that a
/// server refused is passed over so.
pub const MAX_FAILURES: u32 = 64;

/// Who sent a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "two ends there are")]
pub enum End {
    /// The sender of the ClientHello.
    Client,
    /// The other.
    Server,
}

/// What the hellos agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "put together by whoever read the hellos")]
pub struct Agreed {
    /// Version.
    pub version: ProtocolVersion,
    /// Cipher suite.
    pub suite: CipherSuite,
    /// Random of the ClientHello.
    pub client_random: Random,
    /// Random of the ServerHello.
    pub server_random: Random,
    /// The ClientHello announced early data.
    pub early_data: bool,
}

/// Why a connection cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Obstacle {
    /// The suite has no AEAD, or the version is older than 1.2.
    CipherSuite(CipherSuite),
    /// The key log has lines for the session, none of which this version can use.
    PartOfSecret,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It was not protected.
    Clear,
    /// It was opened and held this.
    Opened(ContentType),
    /// It did not verify.
    Failed,
    /// Its secret is not there, or it is early data.
    PassedOver,
    /// Handshake anew within the connection (TLS 1.2): what follows has other keys, which no key log tells apart.
    Renegotiated,
}

/// One direction.
#[derive(Debug, Default)]
struct Way {
    handshake: Option<RecordKey>,
    application: Option<RecordKey>,
    assembler: HandshakeAssembler,
    /// Finished was seen (1.3), or `change_cipher_spec` (1.2).
    changed: bool,
    opened: u64,
    failures: u32,
}

/// See the module's text.
#[derive(Debug)]
pub struct Opener {
    is_1_3: bool,
    early_data: bool,
    client: Way,
    server: Way,
    is_partial: bool,
}

impl Opener {
    /// Derives what keys there can be.
    ///
    /// # Errors
    /// [`Obstacle`] when nothing could be opened.
    pub fn new(agreed: &Agreed, secrets: &Secrets) -> Result<Self, Obstacle> {
        let is_1_3 = agreed.version.is_1_3();
        let obstacle = Obstacle::CipherSuite(agreed.suite);
        let suite = Suite::of(agreed.suite).ok_or(obstacle)?;
        if !is_1_3 && agreed.version != ProtocolVersion::TLS_1_2 {
            return Err(obstacle);
        }
        let mut opener = Self {
            is_1_3,
            early_data: agreed.early_data,
            client: Way::default(),
            server: Way::default(),
            is_partial: false,
        };
        if is_1_3 {
            let key = |secret: &Option<_>| secret.as_ref().and_then(|secret| RecordKey::tls13(suite, secret));
            opener.client.handshake = key(&secrets.client_handshake);
            opener.server.handshake = key(&secrets.server_handshake);
            opener.client.application = key(&secrets.client_traffic);
            opener.server.application = key(&secrets.server_traffic);
        } else if let Some(master) = &secrets.master {
            let pair = RecordKey::tls12(suite, master, &agreed.client_random, &agreed.server_random);
            if let Some(pair) = pair {
                opener.client.application = Some(pair.client);
                opener.server.application = Some(pair.server);
            }
        }
        let ways = [&opener.client, &opener.server];
        let any = ways.iter().any(|way| way.application.is_some() || way.handshake.is_some());
        opener.is_partial =
            ways.iter().any(|way| way.application.is_none() || (is_1_3 && way.handshake.is_none()));
        if any { Ok(opener) } else { Err(Obstacle::PartOfSecret) }
    }

    /// True when a secret is missing, so that not all can be opened.
    pub const fn is_partial(&self) -> bool {
        self.is_partial
    }

    /// True when a direction's records fail one after the other, or cannot be read at all.
    pub const fn is_given_up(&self, end: End) -> bool {
        self.way(end).failures >= MAX_FAILURES
    }

    /// How many records of a direction verified.
    pub const fn opened(&self, end: End) -> u64 {
        self.way(end).opened
    }

    const fn way(&self, end: End) -> &Way {
        match end {
            End::Client => &self.client,
            End::Server => &self.server,
        }
    }

    /// Takes the next record of a direction. What it held is left in `out`; `each` is called for handshake messages that it
    /// completes.
    pub fn record(
        &mut self,
        end: End,
        record: &Record<'_>,
        out: &mut Zeroizing<Vec<u8>>,
        each: impl FnMut(Message<'_>),
    ) -> Outcome {
        let is_early = self.early_data && end == End::Client;
        let is_1_3 = self.is_1_3;
        let way = match end {
            End::Client => &mut self.client,
            End::Server => &mut self.server,
        };
        if way.failures >= MAX_FAILURES {
            return Outcome::PassedOver;
        }
        let outcome = if is_1_3 { way.tls13(record, out) } else { way.tls12(record, out) };
        match outcome {
            Outcome::Opened(kind) => {
                way.opened = way.opened.saturating_add(1);
                way.failures = 0;
                if kind == ContentType::HANDSHAKE {
                    way.handshake_content(is_1_3, out, each);
                }
                outcome
            }
            Outcome::Failed => {
                way.failures = way.failures.saturating_add(1);
                if is_early && way.opened == 0 { Outcome::PassedOver } else { outcome }
            }
            Outcome::Clear | Outcome::PassedOver | Outcome::Renegotiated => outcome,
        }
    }
}

impl Way {
    fn tls13(&mut self, record: &Record<'_>, out: &mut Zeroizing<Vec<u8>>) -> Outcome {
        // RFC 8446 §5.2: protected records look like application data, and nothing else may.
        if record.content_type != ContentType::APPLICATION_DATA {
            return Outcome::Clear;
        }
        if !self.changed {
            if let Some(kind) = self.handshake.as_mut().and_then(|key| key.open(record, out)) {
                return Outcome::Opened(kind);
            }
            // Without the handshake's secret, or after a lost Finished, the first record that opens shows where we are.
            if let Some(kind) = self.application.as_mut().and_then(|key| key.open(record, out)) {
                self.changed = true;
                return Outcome::Opened(kind);
            }
            return if self.handshake.is_some() { Outcome::Failed } else { Outcome::PassedOver };
        }
        match &mut self.application {
            Some(key) => key.open(record, out).map_or(Outcome::Failed, Outcome::Opened),
            None => Outcome::PassedOver,
        }
    }

    fn tls12(&mut self, record: &Record<'_>, out: &mut Zeroizing<Vec<u8>>) -> Outcome {
        if !self.changed {
            self.changed = record.content_type == ContentType::CHANGE_CIPHER_SPEC;
            return Outcome::Clear;
        }
        let Some(key) = &mut self.application else { return Outcome::PassedOver };
        match key.open(record, out) {
            Some(ContentType::CHANGE_CIPHER_SPEC) => {
                self.failures = MAX_FAILURES;
                Outcome::Renegotiated
            }
            Some(kind) => Outcome::Opened(kind),
            None => Outcome::Failed,
        }
    }

    fn handshake_content(&mut self, is_1_3: bool, content: &[u8], mut each: impl FnMut(Message<'_>)) {
        let (mut finished, mut updates) = (false, 0_u32);
        // What is no handshake message after all is of no use to anybody; the assembler stays silent from then on.
        let _ = self.assembler.feed(content, |message| {
            finished |= message.kind == HandshakeType::FINISHED;
            updates = updates.saturating_add(u32::from(message.kind == HandshakeType::KEY_UPDATE));
            each(message);
        });
        if !is_1_3 {
            return;
        }
        self.changed |= finished;
        // A record ends with the KeyUpdate in it (RFC 8446 §5.1), so there is one at most.
        if updates > 0
            && let Some(key) = &mut self.application
        {
            key.update();
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;

//! ICE (RFC 8445) between a client and a server that only answers: credentials, checks, consent.

use std::net::SocketAddrV4;

use crate::net::{MS, SEC, Tap, US, Wire};
use crate::rng::Rng;
use crate::stun::{self, Message};

const PRIORITY: u16 = 0x0024;
const USE_CANDIDATE: u16 = 0x0025;
const ICE_CONTROLLING: u16 = 0x802a;
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What an end tells the other in its SDP.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    pub(crate) fragment: String,
    pub(crate) password: String,
}

impl Credentials {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        let mut text = |length: usize| -> String {
            (0..length).map(|_| char::from(LETTERS[usize::try_from(rng.below(64)).unwrap()])).collect()
        };
        Self { fragment: text(4), password: text(24) }
    }
}

/// A path whose checks are to be seen.
pub(crate) struct Path<'a> {
    pub(crate) tap: Tap,
    pub(crate) client: SocketAddrV4,
    pub(crate) server: SocketAddrV4,
    pub(crate) rtt: u64,
    /// Of client and server.
    pub(crate) credentials: [&'a Credentials; 2],
}

impl Path<'_> {
    /// A check at the start and consent (RFC 7675) every five seconds until the end; returns the time of the first answer.
    pub(crate) fn checks(&self, wire: &mut Wire, start: u64, end: u64) -> u64 {
        let mut rng = Rng::named(&format!("ice {} {}", self.client, self.server));
        let tie_breaker: [u8; 8] = rng.array();
        let [client, server] = self.credentials;
        let (mut at, mut first) = (start, None);
        while at < end {
            let transaction = rng.array();
            let request = Message::new(stun::BINDING_REQUEST, &transaction)
                .attribute(stun::USERNAME, format!("{}:{}", server.fragment, client.fragment).as_bytes())
                .attribute(ICE_CONTROLLING, &tie_breaker)
                .attribute(USE_CANDIDATE, &[])
                .attribute(PRIORITY, &0x6e7f_1eff_u32.to_be_bytes())
                .integrity(server.password.as_bytes())
                .fingerprint();
            wire.udp(self.tap, at, self.client, self.server, &request);
            let answer = Message::new(stun::BINDING_SUCCESS, &transaction)
                .xor_address(None, self.client)
                .integrity(server.password.as_bytes())
                .fingerprint();
            let answered = at + self.rtt + rng.jitter_ns(400 * US);
            wire.udp(self.tap, answered, self.server, self.client, &answer);
            first.get_or_insert(answered);
            at += 5 * SEC + rng.below(300 * MS);
        }
        first.unwrap_or(start)
    }
}

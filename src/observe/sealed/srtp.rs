//! SRTP master keys that a DTLS handshake exports, with the secrets of a key log. RFC 5764 section 4.2, RFC 7714 section 12.

use super::{look_up, note_missing};
use crate::observe::PacketRef;
use crate::observe::facts::{Dtls, Facts, Missing, SrtpMaster};
use crate::proto::dtls::exporter::{self, Exported};
use crate::proto::tls::keylog::{KeyLog, Random};
use crate::proto::tls::{CipherSuite, ProtocolVersion, SrtpProfile};

/// Randoms of a DTLS handshake.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::observe) struct Randoms {
    /// Of the ClientHello.
    pub(in crate::observe) client: Option<Random>,
    /// Of the ServerHello.
    pub(in crate::observe) server: Option<Random>,
}

impl Randoms {
    /// Exports the keys, once both hellos were read; where that fails, why is written down.
    pub(in crate::observe) fn export(self, facts: &mut Facts, log: &KeyLog) {
        let Some(dtls) = facts.dtls.as_deref() else { return };
        let is_offered = !dtls.srtp_offered.is_empty();
        let Some((profile, version, suite)) = agreed(dtls) else {
            if is_offered && dtls.version.is_some_and(|version| ProtocolVersion(version).is_1_3()) {
                note_missing(facts, Missing::SrtpProfile);
            }
            return;
        };
        let packet = dtls.client_hello.unwrap_or(dtls.packet);
        let Some(secrets) = look_up(facts, log, self.client.as_ref()) else { return };
        let (Some(client), Some(server)) = (self.client, self.server) else {
            return note_missing(facts, Missing::NoHandshake);
        };
        match exporter::export(version, suite, &secrets, &client, &server, profile) {
            Some(keys) => {
                let opened = facts.opened.get_or_insert_default();
                opened.srtp = Some(master(profile, keys, packet));
                // The secret may have come after it was first looked for.
                opened.missing = None;
            }
            None => note_missing(facts, Missing::PartOfSecret),
        }
    }
}

/// Profile, version and suite, as far as the hellos tell: in DTLS 1.3 the answer to `use_srtp` is encrypted, and only an offer
/// of one profile says what it was.
fn agreed(dtls: &Dtls) -> Option<(SrtpProfile, ProtocolVersion, CipherSuite)> {
    let only = match dtls.srtp_offered.as_slice() {
        [only] => Some(*only),
        _ => None,
    };
    let version = ProtocolVersion(dtls.version.filter(|_| dtls.version_chosen)?);
    let profile = dtls.srtp_chosen.or_else(|| only.filter(|_| version.is_1_3()))?;
    Some((SrtpProfile(profile), version, CipherSuite(dtls.cipher_suite?)))
}

fn master(profile: SrtpProfile, keys: Exported, packet: PacketRef) -> SrtpMaster {
    SrtpMaster { profile: profile.0, client: keys.client, server: keys.server, packet }
}

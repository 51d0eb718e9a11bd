//! The rule for those who are given no key whatever the method. In: a server. Out: an answer, or none where it may be more.

use super::holders::Answer;
use super::{Basis, CouldHold};
use crate::classify::Role;
use crate::session::Server;

/// What is given no key whatever the method: a TURN relay, and who only told addresses. Media of the kind that only the
/// other participant or a media server speaks must not have run there.
pub(super) fn passive(server: &Server) -> Option<Answer> {
    let roles = &server.roles;
    if server.tls || server.dtls_srtp || roles.contains(&Role::Media) || roles.contains(&Role::P2p) {
        return None;
    }
    if roles.contains(&Role::Relay) {
        let why = "it was seen as a TURN relay only, which is given no key";
        return Some(Answer::new(CouldHold::No, 0.7, why).by(Basis::Standard("RFC 8656 section 2")));
    }
    if !roles.is_empty() && roles.iter().all(|role| *role == Role::Nat) {
        let why = "only STUN ran here, which tells addresses and carries no keys";
        return Some(Answer::new(CouldHold::No, 0.7, why).by(Basis::Standard("RFC 8489 section 2")));
    }
    None
}

/// A TURN relay spoken to over TLS: the TLS is TURN's own, and what it relays stays sealed inside (RFC 8656 section 3.1).
pub(super) fn relay_over_tls(server: &Server) -> Option<Answer> {
    let roles = &server.roles;
    if !server.tls || server.dtls_srtp || server.key_service {
        return None;
    }
    let is_more = |role: &Role| matches!(role, Role::Media | Role::P2p | Role::Signalling);
    let why = if server.relays {
        "by its names it is a TURN relay; the TLS that ended here is the way to it, and it is given no key"
    } else if server.answered_turn && !roles.iter().any(is_more) {
        "it answered TURN over UDP; the TLS that ended here is another way to the same relay, which is given no key"
    } else {
        return None;
    };
    Some(Answer::new(CouldHold::No, 0.7, why).by(Basis::Standard("RFC 8656 section 2")))
}

//! Servers that the key of a session came over, and that are none of its own: another participant's, or the endpoint's own ones
//! outside of the call. In: the witnesses of a session. Out: each such server, with what is said of its place.

use std::net::IpAddr;

use super::super::super::record::{PacketNumber, PlaceRecord};
use super::super::session::{front_end, server_records};
use super::super::{Context, met};
use super::{Seated, is_peer, refuted};
use crate::geo::{Country, Exposure, exposures};
use crate::keys::witness::{Delivery, Witness, confidence, why};
use crate::keys::{Analysis, Keys};
use crate::policy::{Answer, Holder, Server};
use crate::session::Session;

/// One of them.
#[derive(Debug)]
pub(super) struct Beyond {
    pub(super) address: IpAddr,
    pub(super) name: Option<String>,
    pub(super) exposure: Vec<Exposure>,
    pub(super) contradicted: Vec<Country>,
    pub(super) front_end: Option<String>,
    pub(super) confidence: f32,
    /// Why it could hold the key.
    pub(super) why: String,
    pub(super) packet: PacketNumber,
}

impl Beyond {
    /// As a policy asks for it.
    pub(super) fn holder(&self) -> Holder<'_> {
        Holder {
            server: Server {
                address: self.address,
                name: self.name.as_deref(),
                roles: Vec::new(),
                exposure: &self.exposure,
                contradicted: self.contradicted.clone(),
                front_end: self.front_end.as_deref(),
            },
            could_hold: Answer::Yes,
            confidence: self.confidence,
            why: Some(&self.why),
        }
    }
}

/// The servers beyond those that the session has judged for the key, in the order in which the key came.
pub(super) fn servers(
    context: &Context<'_>,
    analysis: &Analysis,
    session: &Session,
    keys: &Keys,
    seats: &[Seated],
) -> Vec<Beyond> {
    let mut out: Vec<Beyond> = Vec::new();
    for witness in &keys.witnesses.found {
        let address = witness.server.ip();
        let is_judged = keys.holders.iter().any(|holder| holder.address == address);
        let is_seen = out.iter().any(|one| one.address == address);
        // The far end of a handshake may be another user's machine.
        let is_seat = seats.iter().any(|seat| seat.addresses.contains(&address));
        if !is_judged
            && !is_seen
            && !is_seat
            && (witness.delivery != Delivery::Agreed || !peer(session, address))
        {
            out.push(one(context, analysis, session, witness));
        }
    }
    out
}

fn peer(session: &Session, address: IpAddr) -> bool {
    session.servers.iter().any(|server| server.address == address && is_peer(&server.roles))
}

fn one(context: &Context<'_>, analysis: &Analysis, session: &Session, witness: &Witness) -> Beyond {
    let address = witness.server.ip();
    // Who contacted it knows most of it.
    let mut place: Option<PlaceRecord> = None;
    for other in met(analysis, session) {
        if let Some(index) = other.servers.iter().position(|server| server.address == address) {
            place = server_records(context, analysis, other).into_iter().nth(index).map(|shown| shown.place);
            break;
        }
    }
    let (exposure, contradicted, front_end) = match &place {
        Some(place) => (place.exposure.clone(), refuted(place), front_end(place)),
        None => (exposures(&context.place(address, session.start), &[]), Vec::new(), None),
    };
    Beyond {
        address,
        name: witness.name.clone(),
        exposure,
        contradicted,
        front_end,
        confidence: confidence(session, witness),
        why: why(session, witness),
        packet: context.packet(witness.packet),
    }
}

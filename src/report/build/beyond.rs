//! Servers that the key of a session came over, and that are none of its own: another participant's, or the endpoint's own ones
//! outside of the call. In: the witnesses of a session. Out: what is said of each such server as one that could hold the key.

use std::net::IpAddr;

use super::super::record::{HolderRecord, PlaceRecord};
use super::alert::is_peer;
use super::session::{front_end, server_records, software, source};
use super::{Context, met, round3};
use crate::geo::exposures;
use crate::keys::witness::{Delivery, Witness, confidence, why};
use crate::keys::{Analysis, CouldHold, Keys};
use crate::session::Session;

/// The servers beyond those that the session has judged for the key, in the order in which the key came.
pub(super) fn holders(
    context: &Context<'_>,
    analysis: &Analysis,
    session: &Session,
    keys: &Keys,
) -> Vec<HolderRecord> {
    let judged = |address: IpAddr| keys.holders.iter().any(|holder| holder.address == address);
    let mut beyond: Vec<&Witness> = Vec::new();
    for witness in &keys.witnesses.found {
        let address = witness.server.ip();
        let is_seen = beyond.iter().any(|one| one.server.ip() == address);
        if !judged(address) && !is_seen && (witness.delivery != Delivery::Agreed || !peer(session, address)) {
            beyond.push(witness);
        }
    }
    if beyond.is_empty() {
        return Vec::new();
    }
    // The far end of a handshake may be another user's machine.
    let seats = context.seats(analysis, session);
    beyond.retain(|witness| seats.iter().all(|seat| !seat.is_at(witness.server.ip())));
    beyond.into_iter().map(|witness| holder(context, analysis, session, witness)).collect()
}

fn peer(session: &Session, address: IpAddr) -> bool {
    session.servers.iter().any(|server| server.address == address && is_peer(&server.roles))
}

fn holder(context: &Context<'_>, analysis: &Analysis, session: &Session, witness: &Witness) -> HolderRecord {
    let address = witness.server.ip();
    let place = place(context, analysis, session, address);
    HolderRecord {
        ip: address.to_string(),
        port: Some(witness.server.port()),
        name: witness.name.clone(),
        could_hold: CouldHold::Yes,
        why: why(session, witness),
        confidence: round3(confidence(session, witness)),
        source: source(context, &witness.delivery.into()),
        front_end: front_end(&place),
        packets: vec![context.packet(witness.packet)],
        before_media_s: None,
        software: software(context, session, address),
        place,
    }
}

/// Who contacted it knows most of its place.
fn place(context: &Context<'_>, analysis: &Analysis, session: &Session, address: IpAddr) -> PlaceRecord {
    for other in met(analysis, session) {
        if let Some(index) = other.servers.iter().position(|server| server.address == address)
            && let Some(record) = server_records(context, analysis, other).into_iter().nth(index)
        {
            return record.place;
        }
    }
    let place = context.place(address, session.start);
    let exposure = exposures(&place, &[]);
    PlaceRecord {
        located_in: place.located_in,
        operated_by: place.operated_by,
        network: place.network,
        service_operator: None,
        hints: Vec::new(),
        distance: None,
        exposure,
    }
}

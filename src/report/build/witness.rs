//! Keys that open the media, as records and as findings. In: what was found. Out: who sent the key, in which packet, and what it
//! opens.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use super::super::record::{Finding, OpenedStreamRecord, PacketNumber, Severity, TriedRecord, WitnessRecord};
use super::finding::{countries, placed};
use super::{Context, centi};
use crate::geo::Country;
use crate::keys::witness::{Delivery, Witness, Witnesses};
use crate::keys::{Analysis, Keys};
use crate::session::Session;

pub(super) fn records(context: &Context<'_>, found: &Witnesses) -> Vec<WitnessRecord> {
    found.found.iter().map(|witness| record(context, witness)).collect()
}

fn record(context: &Context<'_>, witness: &Witness) -> WitnessRecord {
    let streams = witness.streams.iter().map(|stream| OpenedStreamRecord {
        flow_id: stream.flow,
        ssrc: stream.ssrc,
        kind: stream.kind,
        units_verified: stream.opened,
        units_tried: stream.of,
        log10_false_accept: centi(stream.log10_bound),
    });
    WitnessRecord {
        ip: witness.server.ip().to_string(),
        port: witness.server.port(),
        name: witness.name.clone(),
        endpoint: witness.endpoint.to_string(),
        delivery: witness.delivery,
        packet: context.packet(witness.packet),
        place: witness.place.clone(),
        cipher: witness.cipher.clone(),
        streams: streams.collect(),
    }
}

pub(super) fn tried(found: &Witnesses) -> Option<TriedRecord> {
    let opened: BTreeSet<(u64, u32)> = found
        .found
        .iter()
        .flat_map(|witness| &witness.streams)
        .map(|stream| (stream.flow, stream.ssrc))
        .collect();
    (found.values > 0).then(|| TriedRecord {
        values: found.values,
        values_left_out: found.values_left_out,
        streams: found.streams,
        streams_opened: u32::try_from(opened.len()).unwrap_or(u32::MAX),
    })
}

/// One finding for each delivery.
pub(super) fn findings(
    context: &Context<'_>,
    analysis: &Analysis,
    session: &Session,
    keys: &Keys,
) -> Vec<Finding> {
    let mut found = Vec::new();
    let home = session
        .provider
        .and_then(|number| context.rules.provider(number))
        .and_then(|provider| Country::parse(&provider.country));
    if keys.witnesses.found.is_empty() {
        return found;
    }
    let participants = countries(context, analysis, session);
    for witness in &keys.witnesses.found {
        let mut text = words(context, witness);
        let place = context.place(witness.server.ip(), session.start).located_in;
        let is_abroad = place.country.is_some_and(|country| {
            home != Some(country) && !participants.is_empty() && !participants.contains(&country)
        });
        let is_clear = witness.delivery == Delivery::Clear;
        if !is_clear && let Some(placed) = placed(&place) {
            let _ = write!(text, "; {} {placed}", witness.server.ip());
        }
        found.push(Finding {
            id: if is_clear { "key_in_clear" } else { "key_delivered" },
            severity: if is_clear || is_abroad { Severity::High } else { Severity::Notice },
            text,
            packets: vec![context.packet(witness.packet)],
        });
    }
    found
}

fn words(context: &Context<'_>, witness: &Witness) -> String {
    let count = witness.streams.len();
    let opens = if count == 1 { "opens one stream".to_owned() } else { format!("opens {count} streams") };
    let server = named(witness.server.ip(), witness.server.port(), witness.name.as_deref());
    let endpoint = witness.endpoint.ip();
    let packet = number(&context.packet(witness.packet));
    let mut text = match witness.delivery {
        Delivery::Delivered => {
            format!(
                "the key that {opens} was delivered by {server} to {endpoint} in {packet} ({})",
                witness.place
            )
        }
        Delivery::Sent => {
            format!("the key that {opens} was sent to {server} by {endpoint} in {packet} ({})", witness.place)
        }
        Delivery::Clear => format!(
            "the key that {opens} went in the clear between {endpoint} and {server} in {packet} ({}): whoever saw the \
             packet could read it",
            witness.place
        ),
        Delivery::Agreed => {
            format!(
                "the key that {opens} comes from the DTLS handshake with {server} that begins in {packet}"
            )
        }
    };
    let (opened, of) = witness.streams.iter().fold((0_u64, 0_u64), |(a, b), stream| {
        (a.saturating_add(stream.opened.into()), b.saturating_add(stream.of.into()))
    });
    let worst = witness.streams.iter().map(|stream| stream.log10_bound).fold(f64::NEG_INFINITY, f64::max);
    let _ = write!(
        text,
        "; {}, verified on {opened} of {of} units that were tried, a wrong key would do so with a chance below 10^{:.0}",
        witness.cipher,
        worst.ceil()
    );
    text
}

/// `52.81.151.250:443 (name)`.
fn named(address: IpAddr, port: u16, name: Option<&str>) -> String {
    let end = std::net::SocketAddr::new(address, port);
    match name {
        Some(name) => format!("{end} ({name})"),
        None => end.to_string(),
    }
}

fn number(packet: &PacketNumber) -> String {
    match packet.file {
        Some(file) => format!("packet {} of file {file}", packet.frame),
        None => format!("packet {}", packet.frame),
    }
}

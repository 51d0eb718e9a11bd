//! Who was contacted when. In: a session's record and those of its flows. Out: a table with a lane for each server, which is the
//! drawing and its text in one.
//!
//! A call of an hour begins with some seconds that matter most. Where that is so, the axis has two parts: the time until the first
//! media packet fills the left part, the rest the right one, and the axis says so.

use std::collections::BTreeMap;

use super::super::record::{FlowRecord, PacketNumber, SessionRecord};
use super::markup::Html;
use super::words;
use crate::classify::Role;
use crate::keys::{ContactKind, CouldHold};
use crate::time::Timestamp;

/// Lanes; who could hold a key comes first, then who was contacted first.
const LANES: usize = 16;
/// Width of the left part of an axis of two, in percent.
const LEFT: f64 = 45.0;
/// Times the setup must fit into the call for an axis of two parts.
const SHORT: f64 = 3.0;
/// Margin at both ends, in percent.
const MARGIN: f64 = 1.0;

/// Percent of the width by time.
struct Axis {
    from: Timestamp,
    media: Option<Timestamp>,
    to: Timestamp,
    broken: bool,
}

impl Axis {
    fn of(record: &SessionRecord) -> Option<Self> {
        let first = record.keys.timeline.iter().filter_map(|contact| words::moment(&contact.at)).min();
        let start = words::moment(&record.start)?;
        let from = first.map_or(start, |first| first.min(start));
        let to = words::moment(&record.end)?.max(from);
        let media = record.media_start.as_deref().and_then(words::moment).filter(|media| *media > from);
        let setup = media.map_or(0.0, |media| words::seconds(from, media));
        let broken = setup > 0.0 && setup * SHORT < words::seconds(from, to);
        Some(Self { from, media, to, broken })
    }

    fn at(&self, time: Timestamp) -> f64 {
        let share = |from, to, time| {
            let whole = words::seconds(from, to);
            if whole > 0.0 { (words::seconds(from, time) / whole).clamp(0.0, 1.0) } else { 0.0 }
        };
        let percent = match self.media.filter(|_| self.broken) {
            Some(media) if time <= media => LEFT * share(self.from, media, time),
            Some(media) => LEFT + (100.0 - LEFT) * share(media, self.to, time),
            None => 100.0 * share(self.from, self.to, time),
        };
        MARGIN + percent * (100.0 - 2.0 * MARGIN) / 100.0
    }
}

/// A contact of a lane.
struct Contact<'r> {
    at: Timestamp,
    kind: ContactKind,
    before: Option<f64>,
    packet: Option<PacketNumber>,
    clock: &'r str,
}

/// The part of a session's page.
pub(super) fn write(html: &mut Html, record: &SessionRecord, flows: &[FlowRecord]) {
    let Some(axis) = Axis::of(record) else { return };
    let mut lanes: BTreeMap<&str, Vec<Contact<'_>>> = BTreeMap::new();
    for contact in &record.keys.timeline {
        let Some(at) = words::moment(&contact.at) else { continue };
        let one = Contact {
            at,
            kind: contact.kind,
            before: contact.before_media_s,
            packet: contact.packet,
            clock: words::clock(&contact.at),
        };
        lanes.entry(&contact.ip).or_default().push(one);
    }
    if lanes.is_empty() {
        return;
    }
    let could =
        |ip: &str| record.keys.holders.iter().find(|holder| holder.ip == ip).map(|holder| holder.could_hold);
    let mut order: Vec<&str> = lanes.keys().copied().collect();
    let first = |ip: &str| lanes.get(ip).and_then(|all| all.iter().map(|one| one.at).min());
    order.sort_by_key(|ip| (could(ip) != Some(CouldHold::Yes), first(ip), *ip));
    let left_out = order.len().saturating_sub(LANES);
    order.truncate(LANES);
    order.sort_by_key(|ip| (first(ip), *ip));
    html.raw("<h3>Timeline: who was contacted when</h3>");
    key(html, &axis);
    html.raw("<div class=\"lanes\" role=\"table\" aria-label=\"Timeline of first contacts\">");
    head(html, &axis);
    for ip in order {
        let contacts = lanes.get(ip).map_or(&[][..], Vec::as_slice);
        lane(html, record, flows, &axis, (ip, contacts, could(ip)));
    }
    changes(html, record, &axis);
    html.raw("</div>");
    let more = left_out.saturating_add(usize::try_from(record.keys.timeline_left_out).unwrap_or(0));
    if more > 0 {
        html.word("p", "note", &format!("and {more} more, in the session record"));
    }
    deliveries(html, record);
}

fn key(html: &mut Html, axis: &Axis) {
    html.raw("<p class=\"key\">");
    html.raw("<span><svg width=\"14\" height=\"14\" aria-hidden=\"true\"><circle class=\"dot\" cx=\"7\" cy=\"7\" r=\"4.5\"/></svg> first contact</span> ");
    html.raw("<span><svg width=\"14\" height=\"14\" aria-hidden=\"true\"><rect class=\"dot med\" x=\"2.5\" y=\"2.5\" width=\"9\" height=\"9\"/></svg> media</span> ");
    html.raw("<span><svg width=\"22\" height=\"14\" aria-hidden=\"true\"><rect class=\"bar\" y=\"4\" width=\"22\" height=\"6\"/></svg> flows to it</span> ");
    if axis.media.is_some() {
        html.raw("<span><svg width=\"14\" height=\"14\" aria-hidden=\"true\"><line class=\"first\" x1=\"7\" x2=\"7\" y1=\"0\" y2=\"14\"/></svg> first media packet</span>");
    }
    html.raw("</p>");
    if axis.broken {
        html.raw("<p class=\"note\">The axis has two scales: the time before the first media packet is stretched.</p>");
    }
}

fn head(html: &mut Html, axis: &Axis) {
    html.raw("<div class=\"lane head\" role=\"row\"><div role=\"columnheader\">Server</div><div role=\"columnheader\">When, UTC</div><div \
         class=\"axis\" role=\"columnheader\" aria-label=\"Drawing\"><svg width=\"100%\" height=\"18\" aria-hidden=\"true\">");
    html.cut()
        .raw("<text x=\"0\" y=\"13\">")
        .text(&clock(axis.from))
        .raw("</text><text x=\"100%\" y=\"13\" class=\"end\">");
    html.text(&clock(axis.to)).raw("</text>");
    if let Some(media) = axis.media {
        let at = axis.at(media);
        if (20.0..80.0).contains(&at) {
            html.raw("<text y=\"13\" class=\"mid\" x=\"")
                .num(at)
                .raw("%\">")
                .text(&clock(media))
                .raw("</text>");
        }
    }
    html.cut().raw("</svg></div></div>");
}

fn clock(time: Timestamp) -> String {
    let text = super::super::time::plain(time);
    text.split_once(' ').map_or_else(|| text.clone(), |(_, clock)| clock.to_owned())
}

fn lane(
    html: &mut Html,
    record: &SessionRecord,
    flows: &[FlowRecord],
    axis: &Axis,
    of: (&str, &[Contact<'_>], Option<CouldHold>),
) {
    let (ip, contacts, could) = of;
    let server = record.servers.iter().find(|server| server.ip == ip);
    let is_key = could == Some(CouldHold::Yes);
    html.raw(if is_key {
        "<div class=\"lane key\" role=\"row\">"
    } else {
        "<div class=\"lane\" role=\"row\">"
    });
    html.cut().raw("<div role=\"cell\"><b>").text(ip).raw("</b>");
    if let Some(name) = server.and_then(|server| server.name.as_deref()).filter(|name| *name != ip) {
        html.raw(" <small>").text(name).raw("</small>");
    }
    if let Some(country) = server.and_then(|server| server.place.located_in.country) {
        html.raw(" <small>(placed in ").text(country.code()).raw(")</small>");
    }
    if is_key {
        html.raw(if words::is_plain(record) {
            " <small class=\"k\">\u{25c7} could read the media</small>"
        } else {
            " <small class=\"k\">\u{25c6} could hold the key</small>"
        });
    }
    html.raw("</div>").cut().raw("<div role=\"cell\" class=\"when\">");
    for contact in contacts {
        html.raw("<div>").raw(contact.kind.words()).raw(" ").cut().text(contact.clock);
        if let Some(before) = contact.before {
            html.say(format_args!(" ({:+.3} s)", 0.0 - before));
        }
        html.cut().raw(" ");
        html.packets(contact.packet.as_slice());
        html.raw("</div>");
    }
    html.raw(
        "</div><div role=\"cell\" class=\"axis\"><svg width=\"100%\" height=\"26\" aria-hidden=\"true\">",
    )
    .cut();
    first_media(html, axis, "26");
    for flow in
        flows.iter().filter(|flow| (flow.src_ip == ip || flow.dest_ip == ip) && flow.role != Role::Dns)
    {
        let (Some(from), Some(to)) = (words::moment(&flow.flow.start), words::moment(&flow.flow.end)) else {
            continue;
        };
        let (x, end) = (axis.at(from), axis.at(to));
        html.raw("<rect class=\"bar\" y=\"10\" height=\"6\" x=\"")
            .num(x)
            .raw("%\" width=\"")
            .num((end - x).max(0.2))
            .raw("%\"/>");
    }
    for contact in contacts {
        mark(html, axis.at(contact.at), contact.kind, is_key);
    }
    html.cut().raw("</svg></div></div>").cut();
}

fn first_media(html: &mut Html, axis: &Axis, height: &'static str) {
    if let Some(media) = axis.media {
        let at = axis.at(media);
        html.raw("<line class=\"first\" y1=\"0\" y2=\"")
            .raw(height)
            .raw("\" x1=\"")
            .num(at)
            .raw("%\" x2=\"")
            .num(at)
            .raw("%\"/>");
    }
}

fn mark(html: &mut Html, at: f64, kind: ContactKind, is_key: bool) {
    if kind == ContactKind::Media {
        html.raw("<svg overflow=\"visible\" x=\"")
            .num(at)
            .raw("%\"><rect class=\"dot med\" x=\"-4.5\" y=\"8.5\" width=\"9\" height=\"9\"/></svg>");
    } else {
        html.raw(if is_key {
            "<circle class=\"dot k\" cy=\"13\" r=\"5\" cx=\""
        } else {
            "<circle class=\"dot\" cy=\"13\" r=\"5\" cx=\""
        });
        html.num(at).raw("%\"/>");
    }
}

/// Changes of the endpoint's address, in a lane of their own.
fn changes(html: &mut Html, record: &SessionRecord, axis: &Axis) {
    if record.address_changes.is_empty() {
        return;
    }
    html.raw("<div class=\"lane\" role=\"row\"><div role=\"cell\"><b>Address of the endpoint</b></div><div role=\"cell\" class=\"when\">");
    for change in &record.address_changes {
        html.raw("<div>").say(format_args!(
            "{} from {} to {}: {}",
            words::clock(&change.at),
            change.from,
            change.to,
            change.why.words()
        ));
        html.raw(" ");
        html.packets(&[change.packet]);
        html.raw("</div>");
    }
    html.raw(
        "</div><div role=\"cell\" class=\"axis\"><svg width=\"100%\" height=\"26\" aria-hidden=\"true\">",
    );
    first_media(html, axis, "26");
    for at in record.address_changes.iter().filter_map(|change| words::moment(&change.at)) {
        html.raw("<svg overflow=\"visible\" x=\"")
            .num(axis.at(at))
            .raw("%\"><path class=\"dot move\" d=\"M-5 19 0 8 5 19z\"/></svg>");
    }
    html.raw("</svg></div></div>");
}

/// Keys that were seen on their way.
fn deliveries(html: &mut Html, record: &SessionRecord) {
    if record.keys.witness.is_empty() {
        return;
    }
    html.raw("<div class=\"note\">Keys that open the media were seen in packets: ");
    let packets: Vec<PacketNumber> = record.keys.witness.iter().map(|witness| witness.packet).collect();
    html.packets(&packets);
    html.raw(" (see the holders).</div>");
}

//! One page for one session: the answer first, then who was spoken to, how well, and why it is believed.

use std::collections::BTreeMap;
use std::io;

use super::super::record::{AlertRecord, Phase, ServerRecord, SessionRecord, Severity, WayRecord};
use super::super::{build, time};
use super::holders;
use super::page::{Align, Cell, Page, Tone, dim, plain, shorten};
use super::policy;
use super::signalling;
use super::summary::app_word;
use crate::geo::LocatedIn;
use crate::keys::cipher::CipherVerdict;
use crate::session::speech::RttSource;

/// Servers shown; records have all of them.
const SERVERS: usize = 24;
/// Findings of one kind shown; records have all of them.
const ALIKE: usize = 3;
/// Columns of a name or a value, over several lines of its cell.
const VALUE: usize = 200;
/// Columns of a page from which on the figures of media have a column each.
const WIDE: usize = 76;
/// Width of the labels at the left.
const LABEL: usize = 11;

pub(super) fn write(page: &mut Page<'_>, record: &SessionRecord, alerts: &[&AlertRecord]) -> io::Result<()> {
    page.blank()?;
    title(page, record)?;
    findings(page, record)?;
    policy::beside(page, alerts)?;
    holders::write(page, record)?;
    servers(page, record)?;
    signalling::calls(page, record)?;
    signalling::write(page, record)?;
    media(page, record)?;
    cipher(page, record)?;
    evidence(page, record)
}

fn title(page: &mut Page<'_>, record: &SessionRecord) -> io::Result<()> {
    let name = record.app_name.as_deref().unwrap_or("media of no known app");
    let head = format!("{}  {}: {name}", record.session_id, app_word(record.app.as_deref()));
    page.paragraph(0, &(Tone::Title, head))?;
    page.rule()?;
    let mut endpoint = record.endpoint.ip.clone();
    if let Some(public) = &record.endpoint.public_ip {
        endpoint = format!("{endpoint}, seen by servers as {public}");
    }
    if let Some(place) = placed_in(&record.endpoint.located_in) {
        endpoint = format!("{endpoint}, {place}");
    }
    label(page, "endpoint", endpoint)?;
    moves(page, record)?;
    let lasted = time::length_of(record.duration_s);
    let what = lasting(record);
    let mut when = format!("{}, {what} {lasted}", time::span_of(&record.start, &record.end));
    if let Some(media) = &record.media_start {
        when = format!("{when}, media from {}", clock(media));
    }
    if record.phase.is_some_and(|phase| phase != Phase::Ended) {
        when.push_str(", and goes on");
    }
    label(page, "when", when)?;
    if record.app.is_some() {
        label(page, "app", format!("{} sure", percent(record.confidence)))?;
    }
    page.blank()
}

/// What the length of a session is of: signalling alone may go on for long without a call.
pub(in super::super) const fn lasting(record: &SessionRecord) -> &'static str {
    if record.media_start.is_some() { "call" } else { "activity" }
}

/// Where the endpoint went, and whom it met.
fn moves(page: &mut Page<'_>, record: &SessionRecord) -> io::Result<()> {
    for change in record.address_changes.iter().take(ALIKE) {
        let text = format!(
            "{} from {} to {}: {} (packet {})",
            clock(&change.at),
            change.from,
            change.to,
            change.why.words(),
            change.packet.words()
        );
        label(page, "moved", text)?;
    }
    let more = record.address_changes.len().saturating_sub(ALIKE);
    if more > 0 {
        page.labelled(2, &plain(""), LABEL, &dim(format!("and {more} more moves in the session record")))?;
    }
    match &record.meeting_id {
        Some(id) => label(page, "meeting", format!("{id}, with other sessions of this report")),
        None => Ok(()),
    }
}

/// The time of day alone.
fn clock(at: &str) -> String {
    let whole = time::plain_of(at);
    whole.split_once(' ').map_or(whole.as_str(), |(_, clock)| clock).to_owned()
}

fn label(page: &mut Page<'_>, label: &str, text: String) -> io::Result<()> {
    page.labelled(2, &dim(label), LABEL, &plain(text))
}

/// `placed in CN (China) by IPFire of 2026-09-23`.
pub(super) fn placed_in(place: &LocatedIn) -> Option<String> {
    let country = place.country?;
    let answer = place.answers.iter().find(|answer| answer.country == Some(country))?;
    Some(format!("placed in {} by {} of {}", build::country(country), answer.database, answer.date))
}

/// Nothing here is certain, so that 100 % is never shown.
pub(in super::super) fn percent(share: f32) -> String {
    if share > 0.99 {
        return "over 99 %".to_owned();
    }
    format!("{:.0} %", share * 100.0)
}

fn findings(page: &mut Page<'_>, record: &SessionRecord) -> io::Result<()> {
    let mut alike: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in &record.findings {
        let count = alike.entry(finding.id).or_default();
        *count = count.saturating_add(1);
        if *count > ALIKE {
            continue;
        }
        let (word, tone) = match finding.severity {
            Severity::High => ("HIGH", Tone::Alarm),
            Severity::Notice => ("notice", Tone::Warn),
        };
        page.labelled(2, &(tone, word.to_owned()), LABEL, &plain(finding.text.clone()))?;
    }
    for (id, count) in alike {
        let more = count.saturating_sub(ALIKE);
        if more > 0 {
            let text = format!("and {more} more of the kind {id}, in the session record");
            page.labelled(2, &plain(""), LABEL, &dim(text))?;
        }
    }
    if record.findings.is_empty() { Ok(()) } else { page.blank() }
}

/// Columns of the table of servers.
pub(super) const SERVER_COLUMNS: [(&str, Align); 7] = [
    ("address", Align::Left),
    ("name", Align::Wrap),
    ("role", Align::Wrap),
    ("ports", Align::Wrap),
    ("bytes", Align::Right),
    ("place", Align::Left),
    ("network", Align::Wrap),
];

fn servers(page: &mut Page<'_>, record: &SessionRecord) -> io::Result<()> {
    if record.servers.is_empty() {
        return Ok(());
    }
    page.heading("Servers, in the order of first contact")?;
    let rows: Vec<Vec<Cell>> = record.servers.iter().take(SERVERS).map(server_row).collect();
    page.table(4, &SERVER_COLUMNS, &rows)?;
    let more = record.servers.len().saturating_sub(SERVERS);
    if more > 0 {
        page.line(4, &[dim(format!("and {more} more in the session record"))])?;
    }
    page.blank()
}

fn server_row(server: &ServerRecord) -> Vec<Cell> {
    let place = &server.place;
    let located = match place.located_in.country {
        Some(country) if place.located_in.disagreement => (Tone::Warn, format!("{}?", country.code())),
        Some(country) => plain(country.code()),
        None => dim("-"),
    };
    let network = place.operated_by.as_ref().map_or_else(String::new, |network| {
        format!("AS{} {}", network.asn, network.name).trim_end().to_owned()
    });
    vec![
        plain(server.ip.clone()),
        name_cell(server),
        plain(server.role_words(",")),
        plain(ports(&server.ports)),
        if server.is_counted_at_relay() { dim("-") } else { plain(bytes(server.bytes)) },
        located,
        dim(network),
    ]
}

/// The name, or the relay that it was reached through.
fn name_cell(server: &ServerRecord) -> Cell {
    match (&server.name, &server.behind_relay) {
        (Some(name), _) => plain(shorten(name, VALUE)),
        (None, Some(relay)) => dim(shorten(&format!("behind relay {relay}"), VALUE)),
        (None, None) => dim("-"),
    }
}

fn ports(ports: &[String]) -> String {
    match ports {
        [first, second, third, ..] if ports.len() > 3 => {
            format!("{first},{second},{third},..")
        }
        few => few.join(","),
    }
}

/// `812 B`, `4.1 kB`, `23.0 MB`.
#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "one decimal for people")]
pub(in super::super) fn bytes(count: u64) -> String {
    let mut size = count as f64;
    if size < 1000.0 {
        return format!("{count} B");
    }
    for unit in ["kB", "MB", "GB"] {
        size /= 1000.0;
        if size < 999.95 {
            return format!("{size:.1} {unit}");
        }
    }
    format!("{:.1} TB", size / 1000.0)
}

fn media(page: &mut Page<'_>, record: &SessionRecord) -> io::Result<()> {
    let ways = [("sent", &record.media.sent), ("received", &record.media.received)];
    if ways.iter().all(|(_, way)| way.packets == 0) {
        return estimate(page, record);
    }
    page.heading("Media at the capture point (RTP)")?;
    let rows: Vec<Vec<Cell>> = ways.iter().map(|(name, way)| way_row(name, way)).collect();
    let head = [
        ("", Align::Left),
        ("streams", Align::Wrap),
        ("packets", Align::Right),
        ("lost", Align::Right),
        ("loss", Align::Right),
        ("jitter", Align::Right),
        ("kbit/s", Align::Right),
        ("fps", Align::Right),
        ("frozen", Align::Right),
        ("MOS", Align::Right),
    ];
    if page.width() < WIDE {
        ways_side_by_side(page, &head, &rows)?;
    } else {
        page.table(4, &head, &rows)?;
    }
    for line in media_notes(record) {
        page.paragraph(4, &dim(line))?;
    }
    Ok(())
}

/// The same where the page is too narrow for a column each: a line for each figure.
fn ways_side_by_side(page: &mut Page<'_>, head: &[(&str, Align)], ways: &[Vec<Cell>]) -> io::Result<()> {
    let figures = head.iter().enumerate().skip(1);
    let rows: Vec<Vec<Cell>> = figures
        .map(|(at, (title, _))| {
            let values = ways.iter().map(|way| way.get(at).cloned().unwrap_or_else(|| dim("-")));
            std::iter::once(dim(*title)).chain(values).collect()
        })
        .collect();
    page.table(4, &[("", Align::Left), ("sent", Align::Right), ("received", Align::Right)], &rows)
}

/// Media whose headers are hidden: what can be said, and that it is an estimate.
fn estimate(page: &mut Page<'_>, record: &SessionRecord) -> io::Result<()> {
    let Some(estimate) = &record.media.estimate else { return Ok(()) };
    page.heading("Media at the capture point (estimated: no RTP header is visible)")?;
    let rows: Vec<Vec<Cell>> = [("sent", &estimate.sent), ("received", &estimate.received)]
        .into_iter()
        .filter_map(|(name, way)| {
            let way = way.as_ref()?;
            let fps = way.fps.map_or_else(|| dim("-"), |fps| plain(format!("about {fps:.0}")));
            let rate = format!("{:.0} kbit/s", way.bitrate_kbps);
            Some(vec![plain(name), plain(way.packets.to_string()), plain(rate), fps])
        })
        .collect();
    let head =
        [("", Align::Left), ("payloads", Align::Right), ("bit rate", Align::Right), ("fps", Align::Right)];
    page.table(4, &head, &rows)?;
    page.paragraph(4, &dim(format!("by the {}", estimate.method)))?;
    page.paragraph(4, &dim("loss, jitter and MOS cannot be told without sequence numbers"))
}

fn way_row(name: &str, way: &WayRecord) -> Vec<Cell> {
    let loss = match way.loss_percent {
        Some(loss) if loss >= 5.0 => (Tone::Alarm, format!("{loss:.2} %")),
        Some(loss) if loss >= 1.0 => (Tone::Warn, format!("{loss:.2} %")),
        Some(loss) => plain(format!("{loss:.2} %")),
        None => dim("-"),
    };
    // ITU-T G.107 annex B: below 3.6 many users are dissatisfied, below 3.1 nearly all.
    let mos = match way.mos.value {
        Some(mos) if mos < 3.1 => (Tone::Alarm, format!("{mos:.1}")),
        Some(mos) if mos < 3.6 => (Tone::Warn, format!("{mos:.1}")),
        Some(mos) => plain(format!("{mos:.1}")),
        None => dim("-"),
    };
    let or_dash = |text: Option<String>| text.map_or_else(|| dim("-"), plain);
    vec![
        plain(name),
        plain(kinds(way)),
        plain(way.packets.to_string()),
        plain(way.lost.to_string()),
        loss,
        or_dash(way.jitter_ms.map(|jitter| format!("{jitter:.1} ms"))),
        or_dash(way.bitrate_kbps.map(|rate| format!("{rate:.0}"))),
        or_dash(way.fps.map(|fps| format!("{fps:.1}"))),
        or_dash(way.frozen_ms.map(|frozen| format!("{:.1} s", frozen / 1000.0))),
        mos,
    ]
}

/// `1 audio, 2 video`; streams whose kind is not told are counted alone when there is nothing else.
fn kinds(way: &WayRecord) -> String {
    let told: Vec<String> = ["audio", "video", "screen", "repair", "unknown"]
        .iter()
        .filter_map(|kind| way.kinds.get(kind).map(|count| format!("{count} {kind}")))
        .collect();
    if told.is_empty() { way.streams.to_string() } else { told.join(", ") }
}

/// Where the delay comes from, and why a figure is missing.
fn media_notes(record: &SessionRecord) -> Vec<String> {
    let media = &record.media;
    let mut notes = Vec::new();
    if let (Some(rtt), Some(source)) = (media.rtt_ms, media.rtt_source) {
        notes.push(format!("round trip {rtt:.1} ms, {}", rtt_words(source)));
    }
    let rated = [&media.sent, &media.received].into_iter().find_map(|way| way.mos.inputs.as_ref());
    if let Some(inputs) = rated {
        let delay = if inputs.rtt_ms.is_some() {
            ""
        } else {
            "; no round trip was measured, so it is an upper bound"
        };
        notes.push(format!(
            "MOS by ITU-T G.107 from loss, burst ratio and delay; codec {} (Ie {}, Bpl {}){delay}",
            inputs.codec, inputs.ie, inputs.bpl
        ));
    }
    for (name, way) in [("sent", &media.sent), ("received", &media.received)] {
        if let Some(why) = way.mos.missing.filter(|_| way.packets > 0) {
            notes.push(format!("no MOS for what was {name}: {why}"));
        }
    }
    notes
}

pub(in super::super) const fn rtt_words(source: RttSource) -> &'static str {
    match source {
        RttSource::Rtcp => "from RTCP reports",
        RttSource::ZoomPing => "from Zoom's pings",
        RttSource::Stun => "from STUN requests and their answers",
    }
}

/// Over what is told of the cipher of media.
pub(in super::super) fn cipher_heading(verdict: CipherVerdict) -> &'static str {
    if verdict == CipherVerdict::NotEncrypted {
        "What the payloads of media show"
    } else {
        "What the ciphertext of media shows"
    }
}

/// What the ciphertext gives away.
fn cipher(page: &mut Page<'_>, record: &SessionRecord) -> io::Result<()> {
    let Some(cipher) = &record.cipher else { return Ok(()) };
    page.blank()?;
    let evidence = &cipher.evidence;
    let is_plain = evidence.verdict == CipherVerdict::NotEncrypted;
    page.heading(cipher_heading(evidence.verdict))?;
    page.paragraph(4, &plain(evidence.text.clone()))?;
    let streams: Vec<String> =
        cipher.by_verdict.iter().map(|(verdict, count)| format!("{count} {}", verdict.words())).collect();
    let sampled = percent_of(evidence.sampled);
    let tested = match (evidence.blocks_tested, evidence.sampled >= 0.9995) {
        // Where media is plain there is no cipher whose blocks could come again.
        _ if is_plain => String::new(),
        (0, _) => String::new(),
        (_, true) => "; every block of every unit was tested".to_owned(),
        (_, false) => {
            format!("; every block was tested in {sampled} of the units, in the others the last one")
        }
    };
    let text = format!("streams: {}{tested}", streams.join(", "));
    page.paragraph(4, &dim(text))
}

/// `12 %`, and no less than it is.
fn percent_of(share: f64) -> String {
    if share >= 0.9995 { "100 %".to_owned() } else { format!("{:.1} %", share * 100.0) }
}

/// Unchecked sources add weight and are no facts, so that they are not shown here.
fn evidence(page: &mut Page<'_>, record: &SessionRecord) -> io::Result<()> {
    let rows: Vec<Vec<Cell>> = record
        .evidence
        .iter()
        .filter(|item| !item.unchecked)
        .map(|item| {
            let packet = item.packet.map_or_else(String::new, |packet| format!("packet {}", packet.words()));
            vec![
                plain(format!("{:.2}", item.weight)),
                plain(item.what),
                plain(shorten(&item.value, VALUE)),
                dim(packet),
            ]
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    page.blank()?;
    page.heading("Why this app (weight of each reason alone)")?;
    let head =
        [("weight", Align::Right), ("reason", Align::Left), ("value", Align::Wrap), ("seen in", Align::Left)];
    page.table(4, &head, &rows)
}

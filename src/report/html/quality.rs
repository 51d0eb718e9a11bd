//! Quality of a session's media: its figures, and charts over time. In: a session's record and those of its flows. Out: markup.
//!
//! The series of the flows' streams are put on one row of steps, by kind and way; streams of one kind are added up (packets, bits)
//! or averaged by their packets (jitter, frame rate, MOS).

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::record::{FlowRecord, RtpRecord, SeriesRecord, SessionRecord, TrendWay, WayRecord};
use super::super::text::session::rtt_words;
use super::chart::{self, Chart, Line};
use super::markup::Html;
use super::words;
use crate::observe::facts::MediaKind;
use crate::time::Timestamp;

/// Most steps of a row, whatever is asked for.
const MOST_STEPS: u64 = 128;

/// Heads of the table of ways.
const HEADS: [&str; 10] =
    ["Way", "Streams", "#Packets", "#Lost", "#Loss", "#Jitter", "#Bit rate", "#Frames/s", "#Frozen", "#MOS"];

/// Sums of one step.
#[derive(Debug, Default, Clone, Copy)]
struct Step {
    packets: f64,
    lost: f64,
    kbit: f64,
    /// Seconds that the streams with the longest part in it cover.
    covered: f64,
    jitter: Mean,
    fps: Mean,
    mos: Mean,
}

#[derive(Debug, Default, Clone, Copy)]
struct Mean {
    sum: f64,
    weight: f64,
}

impl Mean {
    fn add(&mut self, value: Option<f64>, weight: f64) {
        if let Some(value) = value.filter(|_| weight > 0.0) {
            self.sum += value * weight;
            self.weight += weight;
        }
    }

    fn value(self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }
}

/// A stream's series with where it belongs.
struct Part<'r> {
    kind: MediaKind,
    sent: bool,
    begin: Timestamp,
    series: &'r SeriesRecord,
}

/// One kind's charts.
#[derive(Debug)]
pub(super) struct Charts {
    /// What it is of.
    of: &'static str,
    charts: Vec<Chart>,
}

/// Charts of a session, at most so many steps wide.
pub(super) fn charts(record: &SessionRecord, flows: &[FlowRecord], steps: u64) -> Vec<Charts> {
    let parts: Vec<Part<'_>> = flows
        .iter()
        .flat_map(|flow| {
            let local_is_source = is_local(record, &flow.src_ip);
            flow.rtp.iter().filter_map(move |stream| part(stream, local_is_source))
        })
        .collect();
    let Some(begin) = parts.iter().map(|part| part.begin).min() else { return Vec::new() };
    let longest = parts.iter().map(|part| part.series.interval_s).max().unwrap_or(1).max(1);
    let end = parts.iter().map(|part| offset(begin, part, part.series.packets.len())).max().unwrap_or(0);
    let seconds = end.div_ceil(1000);
    let step = seconds.div_ceil(steps.clamp(2, MOST_STEPS)).max(longest);
    let count = usize::try_from(seconds.div_ceil(step)).unwrap_or(0);
    let mut rows: BTreeMap<(MediaKind, bool), Vec<Step>> = BTreeMap::new();
    for part in &parts {
        let row = rows.entry((part.kind, part.sent)).or_insert_with(|| vec![Step::default(); count]);
        add(row, begin, step, part);
    }
    let mut kinds: Vec<MediaKind> = rows.keys().map(|(kind, _)| *kind).collect();
    kinds.dedup();
    kinds
        .into_iter()
        .map(|kind| Charts { of: kind_word(kind), charts: of_kind(kind, &rows, begin, step) })
        .filter(|charts| !charts.charts.is_empty())
        .collect()
}

/// Charts of a session that carries its media over time with it.
pub(super) fn trends(record: &SessionRecord) -> Vec<Charts> {
    let Some(trend) = &record.trend else { return Vec::new() };
    let Some(begin) = words::moment(&trend.start) else { return Vec::new() };
    let line = |sent, values: &[Option<f64>]| Line { sent, values: values.to_vec() };
    let chart = |title, unit, scale, decimals, take: fn(&TrendWay) -> &[Option<f64>]| {
        let lines = [line(true, take(&trend.sent)), line(false, take(&trend.received))];
        let lines = lines.into_iter().filter(|line| line.values.iter().any(Option::is_some)).collect();
        Chart { title, unit, scale, decimals, lines, begin, step: trend.interval_s }
    };
    let charts: Vec<Chart> = [
        chart("Loss", " %", (0.0, 1.0), 2, |way| &way.loss_percent),
        chart("Jitter", " ms", (0.0, 1.0), 1, |way| &way.jitter_ms),
        chart("Bit rate", " kbit/s", (0.0, 1.0), 0, |way| &way.kbps),
        chart("Speech quality (MOS)", "", (1.0, 4.5), 2, |way| &way.mos),
    ]
    .into_iter()
    .filter(Chart::is_drawn)
    .collect();
    if charts.is_empty() { Vec::new() } else { vec![Charts { of: "all streams", charts }] }
}

fn is_local(record: &SessionRecord, ip: &str) -> bool {
    record.endpoint.ip == ip || record.addresses.iter().any(|address| address.ip == ip)
}

fn part(stream: &RtpRecord, local_is_source: bool) -> Option<Part<'_>> {
    let kind =
        stream.kind.filter(|kind| matches!(kind, MediaKind::Audio | MediaKind::Video | MediaKind::Screen))?;
    let series = stream.series.as_ref()?;
    let sent = (stream.direction == "to_server") == local_is_source;
    Some(Part { kind, sent, begin: words::moment(&series.start)?, series })
}

/// Milliseconds from the first of all bins to the begin of one.
fn offset(begin: Timestamp, part: &Part<'_>, bin: usize) -> u64 {
    let own = u64::try_from(part.begin.since(begin).as_millis()).unwrap_or(0);
    let bins = u64::try_from(bin).unwrap_or(0).saturating_mul(part.series.interval_s).saturating_mul(1000);
    own.saturating_add(bins)
}

fn add(row: &mut [Step], begin: Timestamp, step: u64, part: &Part<'_>) {
    let series = part.series;
    let interval = Duration::from_secs(series.interval_s).as_secs_f64();
    let mut covered = vec![0.0_f64; row.len()];
    for (bin, packets) in series.packets.iter().enumerate() {
        // The middle of a bin tells its step.
        let middle = offset(begin, part, bin).saturating_add(series.interval_s.saturating_mul(500));
        let place =
            middle.checked_div(step.saturating_mul(1000)).and_then(|place| usize::try_from(place).ok());
        let Some((slot, covered)) =
            place.and_then(|place| Some((row.get_mut(place)?, covered.get_mut(place)?)))
        else {
            continue;
        };
        let packets = f64::from(*packets);
        slot.packets += packets;
        slot.lost += series.lost.get(bin).copied().map_or(0.0, f64::from);
        slot.kbit += series.kbps.get(bin).copied().unwrap_or(0.0) * interval;
        slot.jitter.add(series.jitter_ms.get(bin).copied().flatten(), packets);
        slot.fps.add(series.fps.get(bin).copied(), packets.max(1.0));
        slot.mos.add(series.mos.get(bin).copied().flatten(), packets.max(1.0));
        *covered += interval;
    }
    for (slot, covered) in row.iter_mut().zip(covered) {
        slot.covered = slot.covered.max(covered);
    }
}

type Take = fn(&Step) -> Option<f64>;

fn of_kind(
    kind: MediaKind,
    rows: &BTreeMap<(MediaKind, bool), Vec<Step>>,
    begin: Timestamp,
    step: u64,
) -> Vec<Chart> {
    let loss: Take =
        |step| (step.packets + step.lost > 0.0).then(|| 100.0 * step.lost / (step.packets + step.lost));
    let rate: Take = |step| (step.covered > 0.0).then(|| step.kbit / step.covered);
    let jitter: Take = |step| step.jitter.value();
    let pictures = matches!(kind, MediaKind::Video | MediaKind::Screen);
    let last: (&'static str, &'static str, (f64, f64), usize, Take) = if pictures {
        ("Frame rate", " fps", (0.0, 1.0), 1, |step| step.fps.value())
    } else {
        ("Speech quality (MOS)", "", (1.0, 4.5), 2, |step| step.mos.value())
    };
    let metrics = [
        ("Loss", " %", (0.0, 1.0), 2, loss),
        ("Jitter", " ms", (0.0, 1.0), 1, jitter),
        ("Bit rate", " kbit/s", (0.0, 1.0), 0, rate),
        last,
    ];
    metrics
        .into_iter()
        .map(|(title, unit, scale, decimals, take)| {
            let lines = [true, false].into_iter().filter_map(|sent| {
                let values: Vec<Option<f64>> = rows.get(&(kind, sent))?.iter().map(take).collect();
                values.iter().any(Option::is_some).then_some(Line { sent, values })
            });
            Chart { title, unit, scale, decimals, lines: lines.collect(), begin, step }
        })
        .filter(Chart::is_drawn)
        .collect()
}

const fn kind_word(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Audio => "audio",
        MediaKind::Screen => "screen",
        MediaKind::Video | MediaKind::Fec | MediaKind::Rtx => "video",
    }
}

/// The part of a session's page; `full` adds the values as tables.
pub(super) fn write(html: &mut Html, record: &SessionRecord, charts: &[Charts], full: bool) {
    let ways = [("sent", &record.media.sent), ("received", &record.media.received)];
    if ways.iter().all(|(_, way)| way.packets == 0) {
        return estimate(html, record);
    }
    html.raw("<h3>Media at the capture point</h3>");
    html.table("Media by way", &HEADS, |html| {
        for (name, way) in ways {
            row(html, name, way);
        }
    });
    notes(html, record);
    if charts.is_empty() {
        html.raw("<p class=\"note\">No stream was long enough for a chart.</p>");
        return;
    }
    html.raw(
        "<p class=\"key\"><span><svg width=\"26\" height=\"8\" aria-hidden=\"true\"><path class=\"sent\" d=\"M1 4H25\"/></svg> \
         sent by the endpoint</span> <span><svg width=\"26\" height=\"8\" aria-hidden=\"true\"><path class=\"received\" \
         d=\"M1 4H25\"/></svg> received by it</span></p>",
    );
    for of in charts {
        html.raw("<div class=\"charts\">");
        for chart in &of.charts {
            chart.write(html, of.of);
        }
        html.raw("</div>");
        if full {
            chart::values(html, &of.charts.iter().collect::<Vec<_>>());
        }
    }
    if let Some(first) = charts.first().and_then(|of| of.charts.first()) {
        let seconds = words::counted(usize::try_from(first.step).unwrap_or(1), "second");
        html.raw("<p class=\"note\">").say(format_args!(
            "Each point stands for {seconds}; where a way has several streams of a kind, bits are added up and the other figures \
             averaged by packets. The flow records hold every stream by itself."
        ));
        html.raw("</p>");
    }
}

fn row(html: &mut Html, name: &'static str, way: &WayRecord) {
    let dash = || "-".to_owned();
    let kinds: Vec<String> = ["audio", "video", "screen", "repair", "unknown"]
        .iter()
        .filter_map(|kind| way.kinds.get(kind).map(|count| format!("{count} {kind}")))
        .collect();
    html.raw("<tr><th scope=\"row\">").raw(name).raw("</th>");
    html.word("td", "", &if kinds.is_empty() { way.streams.to_string() } else { kinds.join(", ") });
    let cells = [
        way.packets.to_string(),
        way.lost.to_string(),
        way.loss_percent.map_or_else(dash, |loss| format!("{loss:.2} %")),
        way.jitter_ms.map_or_else(dash, |jitter| format!("{jitter:.1} ms")),
        way.bitrate_kbps.map_or_else(dash, |rate| format!("{rate:.0} kbit/s")),
        way.fps.map_or_else(dash, |fps| format!("{fps:.1}")),
        way.frozen_ms.map_or_else(dash, |frozen| format!("{:.1} s", frozen / 1000.0)),
        way.mos.value.map_or_else(dash, |mos| format!("{mos:.2}")),
    ];
    for cell in cells {
        html.word("td", "n", &cell);
    }
    html.raw("</tr>");
}

fn notes(html: &mut Html, record: &SessionRecord) {
    let media = &record.media;
    html.raw("<ul class=\"notes\">");
    if let (Some(rtt), Some(source)) = (media.rtt_ms, media.rtt_source) {
        html.word("li", "", &format!("Round trip {rtt:.1} ms, {}", rtt_words(source)));
    }
    let ways = [("sent", &media.sent), ("received", &media.received)];
    for (name, way) in ways.into_iter().filter(|(_, way)| way.packets > 0) {
        if let Some(inputs) = &way.mos.inputs {
            let bound = if inputs.rtt_ms.is_some() {
                ""
            } else {
                "; no round trip was measured, so that it is an upper bound"
            };
            html.word(
                "li",
                "",
                &format!(
                    "MOS of what was {name}: {}; loss {} %, burst ratio {}, delay {} ms, codec {} (Ie {}, Bpl {}; {}){bound}",
                    way.mos.formula,
                    inputs.loss_percent,
                    inputs.burst_ratio,
                    inputs.delay_ms,
                    inputs.codec,
                    inputs.ie,
                    inputs.bpl,
                    inputs.codec_source
                ),
            );
        }
        if let Some(why) = way.mos.missing {
            html.word("li", "", &format!("No MOS for what was {name}: {why}"));
        }
    }
    html.raw("</ul>");
}

/// Media whose headers are hidden: what can be said, and that it is an estimate.
fn estimate(html: &mut Html, record: &SessionRecord) {
    let Some(estimate) = &record.media.estimate else { return };
    html.raw("<h3>Media at the capture point: estimated, no RTP header is visible</h3>");
    html.table("Media by way, estimated", &["Way", "#Payloads", "#Bit rate", "#Frames/s"], |html| {
        for (name, way) in [("sent", &estimate.sent), ("received", &estimate.received)] {
            let Some(way) = way else { continue };
            html.raw("<tr><th scope=\"row\">").raw(name).raw("</th>");
            html.word("td", "n", &way.packets.to_string());
            html.word("td", "n", &format!("{:.0} kbit/s", way.bitrate_kbps));
            html.word("td", "n", &way.fps.map_or_else(|| "-".to_owned(), |fps| format!("about {fps:.0}")));
            html.raw("</tr>");
        }
    });
    let text =
        format!("By the {}. Loss, jitter and MOS cannot be told without sequence numbers.", estimate.method);
    html.word("p", "note", &text);
}

//! Small lines of a session's media, for a row of a list. In: its record. Out: a drawing with its figures in words.

use super::super::record::{SessionRecord, TrendWay};
use super::markup::Html;
use super::words::float;

/// Size of a line.
const WIDE: f64 = 84.0;
const HIGH: f64 = 18.0;
/// Loss at which a line reaches the top, where there is not more, in percent.
const LOSS: f64 = 5.0;

/// Loss of both ways over the call, and figures: speech quality of the worse way, the bit rate of both.
pub(super) fn write(html: &mut Html, record: &SessionRecord) {
    let ways = [&record.media.sent, &record.media.received];
    let mos = ways.iter().filter_map(|way| way.mos.value).reduce(f64::min);
    let Some(trend) = &record.trend else {
        match mos {
            Some(mos) => html.say(format_args!("MOS {mos:.2}")),
            None => html.raw("<span class=\"dim\">-</span>"),
        };
        return;
    };
    let rows: [(&'static str, &TrendWay); 2] = [("sent", &trend.sent), ("received", &trend.received)];
    let loss = |way: &TrendWay| mean(&way.loss_percent).zip(most(&way.loss_percent));
    let said: Vec<String> = rows
        .iter()
        .filter_map(|(name, way)| {
            let (mean, most) = loss(way)?;
            Some(format!("{name}: loss {mean:.1} % on average, {most:.1} % at most"))
        })
        .collect();
    let top = rows.iter().filter_map(|(_, way)| most(&way.loss_percent)).fold(LOSS, f64::max);
    if !said.is_empty() {
        html.raw("<svg class=\"spark\" role=\"img\" viewBox=\"0 0 84 18\"");
        html.attr("aria-label", &said.join("; ")).raw("><title>").text(&said.join("; ")).raw("</title>");
        for (name, way) in rows {
            html.raw(if name == "sent" {
                "<path class=\"sent\" d=\""
            } else {
                "<path class=\"received\" d=\""
            });
            line(html, &way.loss_percent, top);
            html.raw("\"/>");
        }
        html.raw("</svg> ");
    }
    // The last step is not over; the one before it is.
    let latest = |way: &TrendWay| way.kbps.iter().rev().skip(1).copied().flatten().next();
    let rate = rows.iter().filter_map(|(_, way)| latest(way)).reduce(|a, b| a + b);
    html.raw("<small>");
    if let Some(mos) = mos {
        html.say(format_args!("MOS {mos:.2} "));
    }
    if let Some(rate) = rate {
        html.say(format_args!("{rate:.0} kbit/s"));
    }
    html.raw("</small>");
}

fn mean(values: &[Option<f64>]) -> Option<f64> {
    let known: Vec<f64> = values.iter().flatten().copied().collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / float(known.len()))
}

fn most(values: &[Option<f64>]) -> Option<f64> {
    values.iter().flatten().copied().reduce(f64::max)
}

/// A gap is where nothing was measured.
fn line(html: &mut Html, values: &[Option<f64>], top: f64) {
    let step = WIDE / float(values.len().saturating_sub(1).max(1));
    let mut is_drawing = false;
    for (place, value) in values.iter().enumerate() {
        let Some(value) = value else {
            is_drawing = false;
            continue;
        };
        let high = HIGH - 1.0 - (value / top).clamp(0.0, 1.0) * (HIGH - 2.0);
        html.raw(if is_drawing { "L" } else { "M" }).num(step * float(place)).raw(" ").num(high);
        is_drawing = true;
    }
}

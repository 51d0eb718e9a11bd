//! Lines over time. In: rows of values. Out: a small drawing with its figures in words, for those who do not see it.

use super::markup::Html;
use super::words::{self, float};
use crate::time::Timestamp;

/// Units of a drawing; it is stretched to the width that there is.
const WIDE: f64 = 1000.0;
const HIGH: f64 = 200.0;

/// One row of values.
#[derive(Debug)]
pub(super) struct Line {
    /// What was sent by the endpoint, else what it received.
    pub(super) sent: bool,
    /// A value a step; none where nothing was measured.
    pub(super) values: Vec<Option<f64>>,
}

/// Rows that share their axes.
#[derive(Debug)]
pub(super) struct Chart {
    pub(super) title: &'static str,
    pub(super) unit: &'static str,
    /// The lower and the least upper end of the scale.
    pub(super) scale: (f64, f64),
    pub(super) decimals: usize,
    pub(super) lines: Vec<Line>,
    pub(super) begin: Timestamp,
    /// Seconds a step.
    pub(super) step: u64,
}

impl Chart {
    /// True when there is a line to draw.
    pub(super) fn is_drawn(&self) -> bool {
        self.lines.iter().any(|line| line.values.len() > 1 && line.values.iter().any(Option::is_some))
    }

    fn show(&self, value: f64) -> String {
        format!("{value:.0$}{1}", self.decimals, self.unit)
    }

    /// The upper end of the scale: one, two or five of a power of ten.
    fn top(&self) -> f64 {
        let most =
            self.lines.iter().flat_map(|line| &line.values).flatten().copied().fold(self.scale.1, f64::max);
        let mut power = 0.001;
        while power < 1e9 {
            for factor in [1.0, 2.0, 5.0] {
                if power * factor >= most * 0.999 {
                    return power * factor;
                }
            }
            power *= 10.0;
        }
        most
    }

    /// When a step begins, as a clock shows it.
    pub(super) fn at(&self, place: usize) -> String {
        let seconds = self.step.saturating_mul(u64::try_from(place).unwrap_or(u64::MAX));
        let time = super::super::time::plain(self.begin.plus(std::time::Duration::from_secs(seconds)));
        time.split_once(' ').map_or_else(|| time.clone(), |(_, clock)| clock.to_owned())
    }

    /// `sent: mean 0.2 %, highest 2.1 % at 15:00:31`.
    fn sentence(&self, line: &Line) -> Option<String> {
        let known: Vec<(usize, f64)> =
            line.values.iter().enumerate().filter_map(|(place, value)| Some((place, (*value)?))).collect();
        let sum: f64 = known.iter().map(|(_, value)| value).sum();
        let mean = sum / float(known.len());
        let falls = self.scale.0 > 0.0;
        let better = |a: &&(usize, f64), b: &&(usize, f64)| {
            let order = a.1.total_cmp(&b.1);
            (if falls { order.reverse() } else { order }).then(b.0.cmp(&a.0))
        };
        let (place, worst) = known.iter().max_by(better)?;
        let word = if falls { "lowest" } else { "highest" };
        Some(format!(
            "{}: mean {}, {word} {} at {}",
            if line.sent { "sent" } else { "received" },
            self.show(mean),
            self.show(*worst),
            self.at(*place)
        ))
    }

    /// The drawing.
    pub(super) fn write(&self, html: &mut Html, of: &'static str) {
        // A rating has its own scale; all else begins at zero and ends where it must.
        let (bottom, top) = if self.scale.0 > 0.0 { self.scale } else { (0.0, self.top()) };
        let said: Vec<String> = self.lines.iter().filter_map(|line| self.sentence(line)).collect();
        html.cut().raw("<figure class=\"chart\"><figcaption><b>").raw(self.title).raw("</b> ").raw(of);
        html.raw("</figcaption><div class=\"plot\"><span class=\"y\">");
        html.text(&self.show(top)).raw("</span><span class=\"y0\">").text(&self.show(bottom));
        html.raw("</span><svg viewBox=\"0 0 1000 200\" preserveAspectRatio=\"none\" aria-hidden=\"true\"");
        html.attr("data-top", &top.to_string()).attr("data-bottom", &bottom.to_string());
        html.attr("data-unit", self.unit).cut().attr("data-step", &self.step.to_string()).cut();
        html.attr("data-from", &self.at(0)).cut().raw(">");
        html.raw("<path class=\"rule\" d=\"M0 50H1000M0 100H1000M0 150H1000\"/>").cut();
        for line in &self.lines {
            html.raw(if line.sent { "<path class=\"sent\" d=\"" } else { "<path class=\"received\" d=\"" });
            html.cut();
            outline(html, &line.values, bottom, top);
            html.cut().raw("\"/>").cut();
        }
        html.raw("</svg></div><p class=\"said\">")
            .cut()
            .text(&said.join("; "))
            .cut()
            .raw("</p></figure>")
            .cut();
    }
}

/// The line, with a gap where nothing was measured and a short stroke where a value stands alone.
fn outline(html: &mut Html, values: &[Option<f64>], bottom: f64, top: f64) {
    let span = (top - bottom).max(f64::MIN_POSITIVE);
    let wide = WIDE / float(values.len().saturating_sub(1).max(1));
    let mut drawing = false;
    for (place, value) in values.iter().enumerate() {
        let Some(value) = value else {
            drawing = false;
            continue;
        };
        let x = (wide * float(place)).round();
        let y = (HIGH - (value - bottom) / span * HIGH).clamp(0.0, HIGH).round();
        html.raw(if drawing { "L" } else { "M" }).num(x).raw(" ").num(y);
        let alone = !drawing && values.get(place.saturating_add(1)).copied().flatten().is_none();
        if alone {
            html.raw("h3");
        }
        drawing = true;
    }
}

/// The values of charts of one step, one row a step.
pub(super) fn values(html: &mut Html, charts: &[&Chart]) {
    let Some(first) = charts.first() else { return };
    let steps = charts.iter().flat_map(|chart| &chart.lines).map(|line| line.values.len()).max().unwrap_or(0);
    let title = format!(
        "Values, one row for each {}",
        words::counted(usize::try_from(first.step).unwrap_or(1), "second")
    );
    html.cut().raw("<details class=\"fold vals\"><summary>").text(&title).raw("</summary>");
    html.el("div", "", |html| {
        html.raw("<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"Values\"><table class=\"values\"><thead><tr><th \
             scope=\"col\">UTC</th>");
        for chart in charts {
            for line in &chart.lines {
                html.raw("<th scope=\"col\">").raw(chart.title);
                html.raw(if line.sent { ", sent</th>" } else { ", received</th>" });
            }
        }
        html.raw("</tr></thead><tbody>");
        for step in 0..steps {
            html.raw("<tr><th scope=\"row\">").text(&first.at(step)).raw("</th>");
            for (chart, line) in charts.iter().flat_map(|chart| chart.lines.iter().map(move |line| (chart, line))) {
                let value = line.values.get(step).copied().flatten();
                html.raw("<td class=\"n\">").text(&value.map_or_else(|| "-".to_owned(), |value| chart.show(value))).raw("</td>");
            }
            html.raw("</tr>");
        }
        html.raw("</tbody></table></div>");
    });
    html.raw("</details>").cut();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(values: Vec<Option<f64>>) -> Chart {
        let lines = vec![Line { sent: true, values }];
        let begin = Timestamp::from_secs_nanos(1_585_839_603, 0);
        Chart { title: "Loss", unit: " %", scale: (0.0, 1.0), decimals: 2, lines, begin, step: 2 }
    }

    #[test]
    fn figures_stand_in_words_with_their_time() {
        let made = chart(vec![Some(0.0), Some(4.0), None, Some(2.0)]);
        assert_eq!(made.sentence(&made.lines[0]).unwrap(), "sent: mean 2.00 %, highest 4.00 % at 15:00:05");
        assert!((made.top() - 5.0).abs() < 1e-9);
    }

    #[test]
    fn a_gap_is_a_gap() {
        let mut html = Html::default();
        outline(&mut html, &[Some(0.0), Some(5.0), None, Some(10.0)], 0.0, 10.0);
        assert_eq!(html.finish(), "M0 200L333 100M1000 0h3");
    }
}

//! Metric families in, the two text formats of Prometheus out.
//!
//! Prometheus text format 0.0.4 and `OpenMetrics` 1.0.0. They differ in how a counter's family is named, in how an info metric is
//! declared and in the last line; samples are the same in both, so that a change of format changes no series.

use std::fmt::Write as _;

/// In which format a page is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_enums, reason = "what Prometheus scrapes as text")]
pub enum Format {
    /// Prometheus text format 0.0.4.
    #[default]
    Prometheus,
    /// `OpenMetrics` 1.0.0.
    OpenMetrics,
}

/// Media type of `OpenMetrics`.
const OPEN: &str = "application/openmetrics-text";

impl Format {
    /// The format that the value of an `Accept` header field prefers (RFC 9110 §12.5.1); the older one where it does not say.
    pub fn asked_for(accept: &str) -> Self {
        let mut open = 0;
        let mut plain = 0;
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default().to_ascii_lowercase();
            let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(1000, thousandths);
            match media.as_str() {
                OPEN => open = open.max(weight),
                "text/plain" => plain = plain.max(weight),
                _ => {}
            }
        }
        if open > 0 && open >= plain { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// Value of the `Content-Type` header field.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A quality value, `0.5`, in thousandths; 0 for what is none.
fn thousandths(value: &str) -> u32 {
    let (whole, fraction) = value.trim().split_once('.').unwrap_or_else(|| (value.trim(), ""));
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(3);
    let parsed = digits.filter(u8::is_ascii_digit).fold(0_u32, |sum, digit| {
        sum.saturating_mul(10).saturating_add(u32::from(digit.saturating_sub(b'0')))
    });
    match whole {
        "1" => 1000,
        "0" => parsed.min(1000),
        _ => 0,
    }
}

/// What a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only grows; its name is given without `_total`, which every sample gets.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Always 1; its labels are the news. Its name is given without `_info`.
    Info,
    /// Counts by upper bound.
    Histogram,
}

/// A page under way.
#[derive(Debug)]
pub(super) struct Page {
    format: Format,
    text: String,
    name: &'static str,
    kind: Kind,
}

impl Page {
    pub(super) const fn new(format: Format) -> Self {
        Self { format, text: String::new(), name: "", kind: Kind::Gauge }
    }

    /// Begins a family; its samples follow.
    pub(super) fn family(&mut self, kind: Kind, name: &'static str, help: &str) -> &mut Self {
        (self.name, self.kind) = (name, kind);
        let suffix = self.suffix();
        let (suffix, word) = match (self.format, kind) {
            (Format::OpenMetrics, Kind::Counter) => ("", "counter"),
            (Format::OpenMetrics, Kind::Info) => ("", "info"),
            (Format::Prometheus, Kind::Counter) => (suffix, "counter"),
            (Format::Prometheus, Kind::Info) => (suffix, "gauge"),
            (_, Kind::Gauge) => ("", "gauge"),
            (_, Kind::Histogram) => ("", "histogram"),
        };
        self.text.push_str("# HELP ");
        self.text.push_str(name);
        self.text.push_str(suffix);
        self.text.push(' ');
        escape(&mut self.text, help, self.format == Format::OpenMetrics);
        let line = format_args!("\n# TYPE {name}{suffix} {word}\n");
        let _ = self.text.write_fmt(line);
        self
    }

    /// One sample of the family.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Into<Value>) -> &mut Self {
        self.line(self.suffix(), labels, value.into());
        self
    }

    /// All samples of one histogram: counts by upper bound, those above the last bound, and the sum.
    pub(super) fn histogram(&mut self, labels: &[(&str, &str)], histogram: &Histogram) -> &mut Self {
        let mut sum = 0_u64;
        for (bound, count) in histogram.bounds.iter().zip(&histogram.counts) {
            sum = sum.saturating_add(*count);
            self.bucket(labels, &format!("{bound:?}"), sum);
        }
        let total = sum.saturating_add(histogram.above);
        self.bucket(labels, "+Inf", total);
        self.line("_sum", labels, histogram.sum.into());
        self.line("_count", labels, total.into());
        self
    }

    fn bucket(&mut self, labels: &[(&str, &str)], bound: &str, count: u64) {
        let mut all = labels.to_vec();
        all.push(("le", bound));
        self.line("_bucket", &all, count.into());
    }

    /// The whole page.
    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    const fn suffix(&self) -> &'static str {
        match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        }
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], value: Value) {
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        for (place, (label, value)) in labels.iter().enumerate() {
            self.text.push(if place == 0 { '{' } else { ',' });
            self.text.push_str(label);
            self.text.push_str("=\"");
            escape(&mut self.text, value, true);
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = match value {
            Value::Whole(value) => writeln!(self.text, " {value}"),
            Value::Real(value) => writeln!(self.text, " {value:?}"),
        };
    }
}

/// Value of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    Whole(u64),
    Real(f64),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Whole(value.into())
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

/// How often values were at most so large.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    bounds: &'static [f64],
    counts: Vec<u64>,
    above: u64,
    sum: f64,
}

impl Histogram {
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len()], above: 0, sum: 0.0 }
    }

    /// Anything but a finite number that is not negative is left out: sums of histograms may not shrink.
    pub(super) fn add(&mut self, value: f64) {
        if !value.is_finite() || value < 0.0 {
            return;
        }
        self.sum += value;
        let place = self.bounds.iter().position(|bound| value <= *bound);
        let count = place.and_then(|place| self.counts.get_mut(place)).unwrap_or(&mut self.above);
        *count = count.saturating_add(1);
    }
}

/// What would end a line or a label value is written with a backslash.
fn escape(text: &mut String, from: &str, with_quotes: bool) {
    for letter in from.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '"' if with_quotes => text.push_str("\\\""),
            letter => text.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_field_of_a_real_prometheus_asks_for_openmetrics() {
        // Prometheus 2.42, as it sends it.
        let accept = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                      text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(Format::asked_for(accept), Format::OpenMetrics);
        assert_eq!(Format::asked_for("*/*"), Format::Prometheus);
        assert_eq!(Format::asked_for(""), Format::Prometheus);
        assert_eq!(Format::asked_for("application/openmetrics-text;q=0"), Format::Prometheus);
        let reverse = "text/plain;q=0.9, application/openmetrics-text;q=0.25";
        assert_eq!(Format::asked_for(reverse), Format::Prometheus);
    }

    #[test]
    fn label_values_keep_their_line() {
        let mut page = Page::new(Format::Prometheus);
        page.family(Kind::Gauge, "x", "a\\b\n\"c\"").sample(&[("l", "a\\b\n\"c\"")], 1);
        assert_eq!(page.finish(), "# HELP x a\\\\b\\n\"c\"\n# TYPE x gauge\nx{l=\"a\\\\b\\n\\\"c\\\"\"} 1\n");
    }

    #[test]
    fn families_of_counters_are_named_as_each_format_wants_it() {
        let page = |format| {
            let mut page = Page::new(format);
            page.family(Kind::Counter, "x", "X.").sample(&[], 2);
            page.family(Kind::Info, "build", "B.").sample(&[("version", "1")], 1);
            page.finish()
        };
        assert_eq!(
            page(Format::Prometheus),
            "# HELP x_total X.\n# TYPE x_total counter\nx_total 2\n# HELP build_info B.\n# TYPE build_info gauge\n\
             build_info{version=\"1\"} 1\n"
        );
        assert_eq!(
            page(Format::OpenMetrics),
            "# HELP x X.\n# TYPE x counter\nx_total 2\n# HELP build B.\n# TYPE build info\nbuild_info{version=\"1\"} 1\n\
             # EOF\n"
        );
    }

    #[test]
    fn buckets_add_up_and_take_no_nonsense() {
        let mut histogram = Histogram::new(&[1.0, 10.0]);
        for value in [0.5, 1.0, 2.0, 50.0, f64::NAN, f64::INFINITY, -1.0] {
            histogram.add(value);
        }
        let mut page = Page::new(Format::Prometheus);
        page.family(Kind::Histogram, "x", "X.").histogram(&[], &histogram);
        assert!(page.finish().ends_with(
            "x_bucket{le=\"1.0\"} 2\nx_bucket{le=\"10.0\"} 3\nx_bucket{le=\"+Inf\"} 4\nx_sum 53.5\nx_count 4\n"
        ));
    }
}

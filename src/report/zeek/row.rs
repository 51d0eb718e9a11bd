//! Values as Zeek's ASCII writer writes them. In: typed values. Out: one line.
//!
//! Escaping: what would end a value, what cannot be seen and every backslash become `\xHH`, byte by byte; within sets and
//! vectors the comma too, and `#` everywhere. A string that is the mark of an unset or an empty field has its first byte written so. Zeek writes
//! a backslash as `\\`; `\x5c` reads back alike and cannot be taken for the beginning of another escape.

use std::io;

use super::super::hidden::is_hidden;
use crate::time::Timestamp;

/// Mark of a field without a value.
const UNSET: &str = "-";
/// Mark of an empty string, set or vector.
const EMPTY: &str = "(empty)";

/// A type of Zeek's, as `#types` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Time,
    Interval,
    Addr,
    Port,
    Count,
    Double,
    Bool,
    Enum,
    Text,
    TextSet,
    AddrSet,
    TextVector,
}

impl Type {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Interval => "interval",
            Self::Addr => "addr",
            Self::Port => "port",
            Self::Count => "count",
            Self::Double => "double",
            Self::Bool => "bool",
            Self::Enum => "enum",
            Self::Text => "string",
            Self::TextSet => "set[string]",
            Self::AddrSet => "set[addr]",
            Self::TextVector => "vector[string]",
        }
    }
}

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// Not known.
    Unset,
    Time(Timestamp),
    /// Length of time, in seconds.
    Seconds(f64),
    Number(u64),
    Decimal(f64),
    Flag(bool),
    Text(String),
    /// A vector, in its order.
    List(Vec<String>),
}

impl Value {
    pub(super) fn text(value: Option<&str>) -> Self {
        value.map_or(Self::Unset, |value| Self::Text(value.to_owned()))
    }

    pub(super) fn number(value: Option<u64>) -> Self {
        value.map_or(Self::Unset, Self::Number)
    }

    pub(super) fn decimal(value: Option<f64>) -> Self {
        value.map_or(Self::Unset, Self::Decimal)
    }

    /// A set: sorted, each once.
    pub(super) fn set(values: impl IntoIterator<Item = String>) -> Self {
        let mut values: Vec<String> = values.into_iter().collect();
        values.sort_unstable();
        values.dedup();
        Self::List(values)
    }

    fn write(&self, out: &mut String) {
        use std::fmt::Write as _;
        let _ = match self {
            Self::Unset => write!(out, "{UNSET}"),
            Self::Time(time) => write!(out, "{}", epoch(*time)),
            Self::Seconds(seconds) => write!(out, "{seconds:.6}"),
            Self::Number(number) => write!(out, "{number}"),
            Self::Decimal(number) => write!(out, "{number}"),
            Self::Flag(true) => write!(out, "T"),
            Self::Flag(false) => write!(out, "F"),
            Self::Text(text) => {
                element(out, text, false);
                Ok(())
            }
            Self::List(list) if list.is_empty() => write!(out, "{EMPTY}"),
            Self::List(list) => {
                for (place, text) in list.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    element(out, text, true);
                }
                Ok(())
            }
        };
    }
}

/// Seconds since 1970 with six decimals; what is finer is cut off.
fn epoch(time: Timestamp) -> String {
    let micros = time.as_nanos().div_euclid(1000);
    let (seconds, fraction) =
        (micros.unsigned_abs().checked_div(1_000_000), micros.unsigned_abs().checked_rem(1_000_000));
    let sign = if micros < 0 { "-" } else { "" };
    format!("{sign}{}.{:06}", seconds.unwrap_or(0), fraction.unwrap_or(0))
}

fn element(out: &mut String, text: &str, in_list: bool) {
    if text.is_empty() {
        out.push_str(EMPTY);
        return;
    }
    let is_mark = text == UNSET || text == EMPTY;
    for (place, character) in text.chars().enumerate() {
        let escaped = (is_mark && place == 0)
            || character == '\\'
            || (in_list && character == ',')
            // Readers that take the header for comments would cut the line there.
            || character == '#'
            || is_hidden(character);
        if escaped {
            for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                use std::fmt::Write as _;
                let _ = write!(out, "\\x{byte:02x}");
            }
        } else {
            out.push(character);
        }
    }
}

/// Writes one line.
pub(super) fn write(out: &mut dyn io::Write, row: &[Value]) -> io::Result<()> {
    let mut line = String::with_capacity(256);
    for (place, value) in row.iter().enumerate() {
        if place > 0 {
            line.push('\t');
        }
        value.write(&mut line);
    }
    line.push('\n');
    out.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &Value) -> String {
        let mut out = String::new();
        value.write(&mut out);
        out
    }

    #[test]
    fn values_are_written_as_the_ascii_writer_does() {
        let text = |text: &str| written(&Value::Text(text.to_owned()));
        assert_eq!(text("a\tb\nc"), "a\\x09b\\x0ac");
        assert_eq!(text("-"), "\\x2d");
        assert_eq!(text("-a"), "-a");
        assert_eq!(text("(empty)"), "\\x28empty)");
        assert_eq!(text(""), "(empty)");
        assert_eq!(text("a\\x09"), "a\\x5cx09");
        assert_eq!(text("a,b"), "a,b");
        assert_eq!(text("a#b"), "a\\x23b");
        assert_eq!(text("é\u{202e}"), "é\\xe2\\x80\\xae");
        let list =
            |list: &[&str]| written(&Value::List(list.iter().map(|text| (*text).to_owned()).collect()));
        assert_eq!(list(&["a,b", "", "-"]), "a\\x2cb,(empty),\\x2d");
        assert_eq!(list(&[]), "(empty)");
        assert_eq!(written(&Value::Unset), "-");
        assert_eq!(written(&Value::Seconds(1.5)), "1.500000");
        assert_eq!(written(&Value::Flag(true)), "T");
        assert_eq!(written(&Value::set(["b".to_owned(), "a".to_owned(), "b".to_owned()])), "a,b");
    }

    #[test]
    fn time_is_seconds_with_six_decimals_before_1970_too() {
        assert_eq!(epoch(Timestamp::from_secs_nanos(1_585_836_003, 123_456_789)), "1585836003.123456");
        assert_eq!(epoch(Timestamp::from_nanos(-1_500_000_000)), "-1.500000");
        assert_eq!(epoch(Timestamp::from_nanos(0)), "0.000000");
    }
}

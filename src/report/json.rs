//! JSON that shows what it holds: characters that a terminal obeys or a reader does not see are written as `\uXXXX`.
//!
//! In: anything that can be serialised. Out: one JSON text. A parser reads the same strings from it.

mod compact;

use std::io;

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{Formatter, PrettyFormatter};

use super::hidden::is_hidden;
use compact::Compact;

/// Bytes that a buffer begins with; most flow records fit.
pub(super) const BUFFER: usize = 4096;

/// What hides is written out.
struct Visible;

impl Formatter for Visible {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, out: &mut W, text: &str) -> io::Result<()> {
        write_visible(out, text)
    }
}

/// Indented.
struct Pretty(PrettyFormatter<'static>);

impl Formatter for Pretty {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, out: &mut W, text: &str) -> io::Result<()> {
        write_visible(out, text)
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_array(out)
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array(out)
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(out, first)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array_value(out)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object(out)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object(out)
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(out, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object_value(out)
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object_value(out)
    }
}

/// A part of a string in which `serde_json` found nothing that JSON itself asks to be escaped.
fn write_visible<W: ?Sized + io::Write>(out: &mut W, text: &str) -> io::Result<()> {
    if !text.chars().any(is_hidden) {
        return out.write_all(text.as_bytes());
    }
    for character in text.chars() {
        if is_hidden(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
        } else {
            out.write_all(character.encode_utf8(&mut [0; 4]).as_bytes())?;
        }
    }
    Ok(())
}

/// Writes a value as JSON without spaces; nothing follows it, no end of line either.
///
/// # Errors
/// What `out` says, or what serialising the value does.
pub fn write_json<T: ?Sized + Serialize>(out: &mut dyn io::Write, value: &T) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(BUFFER);
    append_json(&mut buffer, value)?;
    out.write_all(&buffer)
}

/// Appends a value as JSON without spaces to `buffer`.
pub(super) fn append_json<T: ?Sized + Serialize>(buffer: &mut Vec<u8>, value: &T) -> io::Result<()> {
    value.serialize(&mut Compact::new(buffer)).map_err(io::Error::from)
}

/// Writes a value as indented JSON; nothing follows it, no end of line either.
///
/// # Errors
/// What `out` says, or what serialising the value does.
pub fn write_json_pretty<T: ?Sized + Serialize>(out: &mut dyn io::Write, value: &T) -> io::Result<()> {
    let formatter = Pretty(PrettyFormatter::new());
    value.serialize(&mut Serializer::with_formatter(out, formatter)).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_written_out_and_read_back() {
        let hostile = "a\u{1b}[2J\u{9b}m\u{7f}\u{202e}\u{2066}\u{2028}\u{200b}\u{e0041}\u{feff}\"\\<é日😀";
        let value = serde_json::json!({ hostile: [hostile, 1.5, null] });
        for write in [write_json::<serde_json::Value>, write_json_pretty::<serde_json::Value>] {
            let mut out = Vec::new();
            write(&mut out, &value).unwrap();
            let text = String::from_utf8(out).unwrap();
            assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
            assert!(!text.chars().any(|character| character != '\n' && is_hidden(character)), "{text:?}");
            assert!(text.contains("\\u202e\\u2066\\u2028\\u200b\\udb40\\udc41\\ufeff"), "{text}");
            assert!(text.contains("é日😀"), "what can be seen stays as it is");
        }
    }

    #[test]
    fn indented_json_is_laid_out_as_serde_json_does_it() {
        let value = serde_json::json!({"a": [1, 2, {"b": []}], "c": {}});
        let mut out = Vec::new();
        write_json_pretty(&mut out, &value).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string_pretty(&value).unwrap());
    }
}

//! TOML tables of `geoip/` to Rust values, with errors that name line and field.

use std::ops::Range;

use serde::de::DeserializeOwned;

use crate::geo::error::TableError;

/// Reads a table.
pub(super) fn parse<T: DeserializeOwned>(file: &'static str, text: &str) -> Result<T, TableError> {
    toml::from_str(text).map_err(|error| fault(file, text, error.span().as_ref(), error.message().to_owned()))
}

/// An error at a place in the text.
pub(super) fn fault(
    file: &'static str,
    text: &str,
    span: Option<&Range<usize>>,
    reason: String,
) -> TableError {
    let before = span.and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count();
    let field = text.lines().nth(line).and_then(|line| line.split_once('=')).map_or("", |(field, _)| field);
    TableError { file, line: line.saturating_add(1), field: field.trim().to_owned(), reason }
}

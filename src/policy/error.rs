//! What is wrong with a policy file, all of it at once.

use std::fmt;
use std::ops::Range;

/// Errors that are told at most; the others are counted.
pub const MAX_ERRORS: usize = 100;

/// One thing that is wrong.
#[derive(thiserror::Error, Debug, Clone, PartialEq, Eq)]
#[error("{file}:{line}:{column}: {reason}{}", self.hint())]
#[non_exhaustive]
pub struct PolicyError {
    /// Name of the file as given.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1, in characters.
    pub column: usize,
    /// What was expected, and what was found.
    pub reason: String,
    /// The right name nearest to what was written.
    pub meant: Option<String>,
}

impl PolicyError {
    fn hint(&self) -> String {
        self.meant.as_ref().map(|word| format!("; did you mean `{word}`?")).unwrap_or_default()
    }
}

/// All that is wrong with the files of a policy, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PolicyErrors {
    /// The first [`MAX_ERRORS`].
    pub errors: Vec<PolicyError>,
    /// How many more there are.
    pub left_out: usize,
}

impl std::error::Error for PolicyErrors {}

impl fmt::Display for PolicyErrors {
    /// One line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, error) in self.errors.iter().enumerate() {
            if place > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        if self.left_out > 0 {
            write!(f, "\nand {} more", self.left_out)?;
        }
        Ok(())
    }
}

/// A file while it is read: its text, and what was found to be wrong.
#[derive(Debug)]
pub(super) struct Source<'t> {
    pub(super) file: &'t str,
    text: &'t str,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl<'t> Source<'t> {
    pub(super) fn new(file: &'t str, text: &'t str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(breaks.map(|(at, _)| at.saturating_add(1))).collect();
        Self { file, text, lines }
    }

    /// Line and column, both from 1.
    pub(super) fn position(&self, at: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|begin| *begin <= at);
        let begin = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let end = at.min(self.text.len());
        let before = self.text.as_bytes().get(begin..end).unwrap_or_default();
        // Bytes that continue a character are no column of their own.
        let column = before.iter().filter(|byte| (**byte & 0xc0) != 0x80).count();
        (line.max(1), column.saturating_add(1))
    }
}

/// Errors of all files.
#[derive(Debug, Default)]
pub(super) struct Faults {
    errors: Vec<PolicyError>,
    left_out: usize,
}

impl Faults {
    /// True where another fault would only be counted.
    pub(super) const fn is_full(&self) -> bool {
        self.errors.len() >= MAX_ERRORS
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    pub(super) fn add(
        &mut self,
        source: &Source<'_>,
        at: &Range<usize>,
        reason: impl Into<String>,
        meant: Option<&str>,
    ) {
        if self.is_full() {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        let (line, column) = source.position(at.start);
        let (file, meant) = (source.file.to_owned(), meant.map(str::to_owned));
        self.errors.push(PolicyError { file, line, column, reason: reason.into(), meant });
    }

    /// None where nothing was wrong. The errors of one file come in the order of its text.
    pub(super) fn finish(mut self, files: &[(&str, &str)]) -> Option<PolicyErrors> {
        if self.errors.is_empty() {
            return None;
        }
        let place = |file: &str| files.iter().position(|(known, _)| *known == file);
        self.errors.sort_by_cached_key(|error| (place(&error.file), error.line, error.column));
        Some(PolicyErrors { errors: self.errors, left_out: self.left_out })
    }
}

/// What somebody wrote, short and harmless, to be quoted in a message.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut out: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        out.push_str("..");
    }
    format!("`{out}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_from_one() {
        let source = Source::new("x", "ab\nzürich = 1\n\nlast");
        for (at, position) in
            [(0, (1, 1)), (2, (1, 3)), (3, (2, 1)), (6, (2, 3)), (15, (3, 1)), (16, (4, 1)), (900, (4, 5))]
        {
            assert_eq!(source.position(at), position, "{at}");
        }
        assert_eq!(Source::new("x", "").position(0), (1, 1));
    }
}

//! Lines on a terminal: columns, wrapped paragraphs, colour. In: words with a tone. Out: escaped, aligned text.
//!
//! Every word passes [`escape`]; only this file writes control sequences.

use std::borrow::Cow;
use std::io;

use anstyle::{AnsiColor, Style};

/// Columns that a page aims at; a word longer than that is not broken.
pub(super) const WIDTH: usize = 100;

/// How a word is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Title,
    Dim,
    Good,
    Warn,
    Alarm,
}

impl Tone {
    const fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Title => Style::new().bold(),
            Self::Dim => Style::new().dimmed(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Warn => AnsiColor::Yellow.on_default(),
            Self::Alarm => AnsiColor::Red.on_default().bold(),
        }
    }
}

/// A word with its tone.
pub(super) type Cell = (Tone, String);

/// A plain word.
pub(super) fn plain(text: impl Into<String>) -> Cell {
    (Tone::Plain, text.into())
}

/// A word in the background.
pub(super) fn dim(text: impl Into<String>) -> Cell {
    (Tone::Dim, text.into())
}

/// Which way a column of a table is aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Where text goes.
pub(super) struct Page<'o> {
    out: &'o mut dyn io::Write,
    colour: bool,
}

impl<'o> Page<'o> {
    pub(super) fn new(out: &'o mut dyn io::Write, colour: bool) -> Self {
        Self { out, colour }
    }

    pub(super) fn blank(&mut self) -> io::Result<()> {
        self.out.write_all(b"\n")
    }

    /// A line of words with one space between them.
    pub(super) fn line(&mut self, indent: usize, cells: &[Cell]) -> io::Result<()> {
        self.pad(indent)?;
        for (index, cell) in cells.iter().enumerate() {
            if index > 0 {
                self.pad(1)?;
            }
            self.cell(cell)?;
        }
        self.blank()
    }

    /// The heading of a part of a page.
    pub(super) fn heading(&mut self, text: &str) -> io::Result<()> {
        self.line(2, &[(Tone::Title, text.to_owned())])
    }

    /// A label of fixed width, then text that is wrapped beside it.
    pub(super) fn labelled(
        &mut self,
        indent: usize,
        label: &Cell,
        width: usize,
        text: &Cell,
    ) -> io::Result<()> {
        let left = indent.saturating_add(width);
        let escaped = escape(&text.1);
        for (index, part) in wrap(&escaped, WIDTH.saturating_sub(left)).into_iter().enumerate() {
            if index == 0 {
                self.pad(indent)?;
                self.cell(label)?;
                self.pad(width.saturating_sub(columns(&escape(&label.1))))?;
            } else {
                self.pad(left)?;
            }
            self.styled(text.0, part)?;
            self.blank()?;
        }
        Ok(())
    }

    /// Wrapped text.
    pub(super) fn paragraph(&mut self, indent: usize, text: &Cell) -> io::Result<()> {
        self.labelled(indent, &plain(""), 0, text)
    }

    /// Rows under a heading, each column as wide as its widest word.
    pub(super) fn table(
        &mut self,
        indent: usize,
        head: &[(&str, Align)],
        rows: &[Vec<Cell>],
    ) -> io::Result<()> {
        let mut widths: Vec<usize> = head.iter().map(|(text, _)| columns(text)).collect();
        for row in rows {
            for (width, (_, text)) in widths.iter_mut().zip(row) {
                *width = (*width).max(columns(&escape(text)));
            }
        }
        let aligns: Vec<Align> = head.iter().map(|(_, align)| *align).collect();
        let titles: Vec<Cell> = head.iter().map(|(text, _)| dim(*text)).collect();
        for row in std::iter::once(&titles).chain(rows) {
            self.row(indent, &widths, &aligns, row)?;
        }
        Ok(())
    }

    fn row(&mut self, indent: usize, widths: &[usize], aligns: &[Align], row: &[Cell]) -> io::Result<()> {
        let mut owed = indent;
        for ((cell, width), align) in row.iter().zip(widths).zip(aligns) {
            let room = width.saturating_sub(columns(&escape(&cell.1)));
            let (before, after) = if *align == Align::Right { (room, 0) } else { (0, room) };
            if cell.1.is_empty() {
                owed = owed.saturating_add(*width).saturating_add(2);
                continue;
            }
            self.pad(owed.saturating_add(before))?;
            self.cell(cell)?;
            owed = after.saturating_add(2);
        }
        self.blank()
    }

    fn cell(&mut self, (tone, text): &Cell) -> io::Result<()> {
        let escaped = escape(text);
        self.styled(*tone, &escaped)
    }

    /// `text` has been escaped.
    fn styled(&mut self, tone: Tone, text: &str) -> io::Result<()> {
        let style = tone.style();
        if self.colour && tone != Tone::Plain && !text.is_empty() {
            write!(self.out, "{style}{text}{style:#}")
        } else {
            self.out.write_all(text.as_bytes())
        }
    }

    fn pad(&mut self, columns: usize) -> io::Result<()> {
        write!(self.out, "{:columns$}", "")
    }
}

/// Makes a string harmless on a terminal: what moves the cursor, colours, reverses or hides text is written out.
pub(super) fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len().saturating_add(8));
    for character in text.chars() {
        if is_hostile(character) {
            out.extend(character.escape_unicode());
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

/// Control characters (ESC and the C1 set among them), line separators, marks and overrides of direction, and
/// characters that show nothing.
fn is_hostile(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

pub(super) fn columns(text: &str) -> usize {
    text.chars().count()
}

/// At most `width` columns, the end replaced by `..` where it is longer.
pub(super) fn shorten(text: &str, width: usize) -> String {
    let escaped = escape(text);
    if columns(&escaped) <= width {
        return text.to_owned();
    }
    let mut out: String = escaped.chars().take(width.saturating_sub(2)).collect();
    out.push_str("..");
    out
}

/// Breaks at spaces; a longer word stands alone. At least one line.
fn wrap(text: &str, width: usize) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while columns(rest) > width {
        let mut best = None;
        for (taken, (at, character)) in rest.char_indices().enumerate() {
            if character == ' ' && at > 0 && (taken <= width || best.is_none()) {
                best = Some(at);
            }
            if taken > width && best.is_some() {
                break;
            }
        }
        let Some((line, more)) = best.and_then(|at| rest.split_at_checked(at)) else { break };
        lines.push(line);
        rest = more.trim_start_matches(' ');
    }
    lines.push(rest);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        let hostile = "a\u{1b}[31mb\u{9b}c\u{202e}d\u{2066}e\r\nf\u{200b}g";
        let shown = escape(hostile);
        assert_eq!(shown, "a\\u{1b}[31mb\\u{9b}c\\u{202e}d\\u{2066}e\\u{d}\\u{a}f\\u{200b}g");
        assert_eq!(escape("zürich 会议"), "zürich 会议");
    }

    #[test]
    fn text_breaks_at_spaces_and_long_words_stay_whole() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("aaaaaaaaaaaa b", 5), ["aaaaaaaaaaaa", "b"]);
        assert_eq!(wrap("", 5), [""]);
        assert_eq!(wrap("aaaaaaaaaaaa", 5), ["aaaaaaaaaaaa"]);
    }

    #[test]
    fn columns_line_up_and_lines_end_without_spaces() {
        let mut out = Vec::new();
        let rows = vec![vec![plain("x"), plain("1")], vec![plain("long"), plain("100")]];
        let head = [("a", Align::Left), ("n", Align::Right)];
        Page::new(&mut out, false).table(1, &head, &rows).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), " a       n\n x       1\n long  100\n");
    }

    #[test]
    fn colour_is_written_only_when_asked_for() {
        let mut out = Vec::new();
        Page::new(&mut out, true).line(0, &[(Tone::Alarm, "x".to_owned())]).unwrap();
        assert!(out.starts_with(b"\x1b["));
        out.clear();
        Page::new(&mut out, false).line(0, &[(Tone::Alarm, "x".to_owned())]).unwrap();
        assert_eq!(out, b"x\n");
    }
}

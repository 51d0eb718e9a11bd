//! Lines on a terminal: columns, wrapped paragraphs, colour. In: words with a tone. Out: escaped, aligned text.
//!
//! Every word passes [`escape`]; only this file writes control sequences.

use std::borrow::Cow;
use std::io;

use anstyle::{AnsiColor, Style};

pub(super) use super::super::hidden::escape;

/// Columns of a page for which no width is given.
const WIDTH: usize = 100;
/// Columns of the narrowest page; a terminal that has fewer wraps by itself.
const NARROWEST: usize = 60;
/// Columns of the widest page: longer lines are hard to read.
const WIDEST: usize = 140;
/// Columns that a column of a table keeps when it has to give way: as long as that is enough, when it is not, and at last.
const LEAST: usize = 10;
const TIGHT: usize = 6;
const LAST: usize = 4;

/// How a word is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Tone {
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
    /// To the left, and broken into several lines where the table is wider than the page.
    Wrap,
}

/// Columns of a page on a terminal of `columns`.
pub(super) fn page_width(columns: Option<usize>) -> usize {
    columns.map_or(WIDTH, |columns| columns.clamp(NARROWEST, WIDEST))
}

/// Where text goes.
pub(super) struct Page<'o> {
    out: &'o mut dyn io::Write,
    colour: bool,
    width: usize,
    /// Nothing stands on it, and an empty line is not what it begins with.
    is_blank: bool,
}

impl<'o> Page<'o> {
    pub(super) fn new(out: &'o mut dyn io::Write, look: &super::Style) -> Self {
        Self { out, colour: look.colour, width: page_width(look.width), is_blank: false }
    }

    /// A page with nothing before it.
    pub(super) fn first(out: &'o mut dyn io::Write, look: &super::Style) -> Self {
        Self { is_blank: true, ..Self::new(out, look) }
    }

    /// Columns of a line.
    pub(super) const fn width(&self) -> usize {
        self.width
    }

    /// A line across the page.
    pub(super) fn rule(&mut self) -> io::Result<()> {
        self.line(0, &[dim("-".repeat(self.width))])
    }

    /// An empty line, or the end of one.
    pub(super) fn blank(&mut self) -> io::Result<()> {
        if self.is_blank { Ok(()) } else { self.out.write_all(b"\n") }
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
        self.paragraph(2, &(Tone::Title, text.to_owned()))
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
        for (index, part) in wrap(&escaped, self.width.saturating_sub(left)).into_iter().enumerate() {
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

    /// Rows under a heading, each column as wide as its widest word, if the page is wide enough for that.
    pub(super) fn table(
        &mut self,
        indent: usize,
        head: &[(&str, Align)],
        rows: &[Vec<Cell>],
    ) -> io::Result<()> {
        let titles: Vec<usize> = head.iter().map(|(text, _)| columns(text)).collect();
        let (mut widths, mut least) = (titles.clone(), titles);
        for row in rows {
            for ((width, least), (_, text)) in widths.iter_mut().zip(&mut least).zip(row) {
                let text = escape(text);
                *width = (*width).max(columns(&text));
                *least = (*least).max(longest_part(&text));
            }
        }
        let aligns: Vec<Align> = head.iter().map(|(_, align)| *align).collect();
        let (widths, gap) = settle(&widths, &aligns, &least, self.width.saturating_sub(indent));
        let titles: Vec<Cell> = head.iter().map(|(text, _)| dim(*text)).collect();
        for row in std::iter::once(&titles).chain(rows) {
            for line in lines(row, &widths) {
                self.row((indent, gap), &widths, &aligns, &line)?;
            }
        }
        Ok(())
    }

    /// Cells that are escaped, and fit.
    fn row(
        &mut self,
        (indent, gap): (usize, usize),
        widths: &[usize],
        aligns: &[Align],
        row: &[Cell],
    ) -> io::Result<()> {
        let mut owed = indent;
        for (((tone, text), width), align) in row.iter().zip(widths).zip(aligns) {
            let room = width.saturating_sub(columns(text));
            let (before, after) = if *align == Align::Right { (room, 0) } else { (0, room) };
            if text.is_empty() {
                owed = owed.saturating_add(*width).saturating_add(gap);
                continue;
            }
            self.pad(owed.saturating_add(before))?;
            self.styled(*tone, text)?;
            owed = after.saturating_add(gap);
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
        self.is_blank &= text.is_empty();
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

/// How wide each column of a table is, and the gap between them, so that it fits into `room` if it can. What may be wrapped gives way
/// first, then the gaps, then columns of words; numbers stay whole.
fn settle(natural: &[usize], aligns: &[Align], least: &[usize], room: usize) -> (Vec<usize>, usize) {
    let words = |align: &Align| if *align == Align::Left { Align::Wrap } else { *align };
    let all: Vec<Align> = aligns.iter().map(words).collect();
    let [ten, six, four] = [LEAST, TIGHT, LAST].map(|columns| vec![columns; natural.len()]);
    let floors: [&[usize]; 4] = [least, &ten, &six, &four];
    let tries: [(usize, &[Align], usize); 3] = [(2, aligns, 2), (1, aligns, 3), (1, &all, 4)];
    let mut found = (natural.to_vec(), 2);
    for (gap, aligns, far) in tries {
        let room = room.saturating_sub(natural.len().saturating_sub(1).saturating_mul(gap));
        let mut widths = natural.to_vec();
        for floor in floors.iter().take(far) {
            fit(&mut widths, aligns, floor, room);
        }
        let fits = widths.iter().sum::<usize>() <= room;
        found = (widths, gap);
        if fits {
            break;
        }
    }
    found
}

/// Takes columns from those that may be wrapped, always from the widest and never below their `least`, until all of them
/// fit into `room`.
fn fit(widths: &mut [usize], aligns: &[Align], least: &[usize], room: usize) {
    while widths.iter().sum::<usize>() > room {
        let columns = widths.iter_mut().zip(aligns).zip(least);
        let elastic = columns.filter(|((width, align), least)| **align == Align::Wrap && **width > **least);
        let Some(((widest, _), _)) = elastic.max_by_key(|((width, _), _)| **width) else { return };
        *widest = widest.saturating_sub(1);
    }
}

/// True for what joins the parts of a name, and may end a line.
const fn is_joint(character: char) -> bool {
    matches!(character, '.' | '-' | '_' | ',' | ':')
}

/// Columns of the longest part of a text that should not be broken.
fn longest_part(text: &str) -> usize {
    let words = text.split(' ').flat_map(|word| word.split_inclusive(is_joint));
    words.map(columns).max().unwrap_or_default()
}

/// The lines of one row: words that are wider than their column go on in the next line. Escaped.
fn lines(row: &[Cell], widths: &[usize]) -> Vec<Vec<Cell>> {
    let escaped: Vec<Cow<'_, str>> = row.iter().map(|(_, text)| escape(text)).collect();
    let parts: Vec<Vec<&str>> =
        escaped.iter().zip(widths).map(|(text, width)| wrap_anywhere(text, *width)).collect();
    let height = parts.iter().map(Vec::len).max().unwrap_or_default();
    let at = |line: usize| {
        let cells = row.iter().zip(&parts);
        cells
            .map(|((tone, _), parts)| (*tone, parts.get(line).copied().unwrap_or_default().to_owned()))
            .collect()
    };
    (0..height).map(at).collect()
}

/// Breaks at spaces; a longer word stands alone. At least one line.
pub(super) fn wrap(text: &str, width: usize) -> Vec<&str> {
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

/// Breaks at spaces, else behind what joins the parts of a name, else anywhere. At least one line.
fn wrap_anywhere(text: &str, width: usize) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while columns(rest) > width.max(1) {
        let mut ends = rest.char_indices().take(width.saturating_add(1));
        let mut space = None;
        let mut joint = None;
        let mut last = 0;
        for (at, character) in &mut ends {
            last = at;
            if character == ' ' && at > 0 {
                space = Some(at);
            }
            if is_joint(character) {
                joint = Some(at.saturating_add(1))
                    .filter(|end| columns(rest.get(..*end).unwrap_or_default()) <= width);
            }
        }
        let Some((line, more)) = rest.split_at_checked(space.or(joint).unwrap_or(last)) else { break };
        if line.is_empty() {
            break;
        }
        lines.push(line);
        rest = more.trim_start_matches(' ');
    }
    lines.push(rest);
    lines
}

#[cfg(test)]
mod tests {
    use super::super::session::SERVER_COLUMNS;
    use super::*;

    fn look(colour: bool) -> crate::report::Style {
        crate::report::Style { colour, ..crate::report::Style::default() }
    }

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
        Page::new(&mut out, &look(false)).table(1, &head, &rows).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), " a       n\n x       1\n long  100\n");
    }

    #[test]
    fn a_table_is_no_wider_than_the_page_and_loses_nothing() {
        let mut out = Vec::new();
        let name = "a-very-long-host-name.with-many-parts.example.org";
        let rows = vec![vec![plain("192.0.2.1"), plain(name), plain(format!("x{}", "y".repeat(70)))]];
        let head = [("address", Align::Left), ("name", Align::Wrap), ("other", Align::Wrap)];
        let style = crate::report::Style { width: Some(64), ..look(false) };
        Page::new(&mut out, &style).table(4, &head, &rows).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.lines().all(|line| line.chars().count() <= 64), "{text}");
        assert!(text.contains("192.0.2.1  "), "{text}");
        let kept: String = text.lines().skip(1).flat_map(str::chars).filter(|c| *c != ' ').collect();
        for character in name.chars() {
            assert!(kept.contains(character));
        }
        assert_eq!(kept.chars().count(), "192.0.2.1".len() + name.len() + 71, "{text}");
    }

    #[test]
    fn a_table_of_many_columns_fits_the_narrowest_page() {
        let address = "2001:db8:1234:5678:9abc:def0:1234:5678";
        let rows = vec![
            [
                address,
                "a-very-long-host-name.example.org",
                "signalling,media",
                "443/tcp,8801/udp",
                "23.0 MB",
                "DE",
                "AS64500 Some Network",
            ]
            .map(plain)
            .to_vec(),
        ];
        for width in [60, 80, 100] {
            let mut out = Vec::new();
            let style = crate::report::Style { width: Some(width), ..look(false) };
            Page::new(&mut out, &style).table(4, &SERVER_COLUMNS, &rows).unwrap();
            let text = String::from_utf8(out).unwrap();
            assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
            assert!(text.contains("23.0 MB"), "numbers stay whole: {text}");
        }
    }

    #[test]
    fn names_break_behind_their_joints() {
        assert_eq!(wrap_anywhere("media.example.org", 10), ["media.", "example.", "org"]);
        assert_eq!(wrap_anywhere("two words", 5), ["two", "words"]);
        assert_eq!(wrap_anywhere("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(wrap_anywhere("züüüü", 2), ["zü", "üü", "ü"]);
        assert_eq!(wrap_anywhere("", 3), [""]);
    }

    #[test]
    fn a_first_page_begins_with_words() {
        let mut out = Vec::new();
        let mut page = Page::first(&mut out, &look(false));
        page.blank().unwrap();
        page.line(0, &[plain("x")]).unwrap();
        page.blank().unwrap();
        assert_eq!(out, b"x\n\n");
    }

    #[test]
    fn colour_is_written_only_when_asked_for() {
        let mut out = Vec::new();
        Page::new(&mut out, &look(true)).line(0, &[(Tone::Alarm, "x".to_owned())]).unwrap();
        assert!(out.starts_with(b"\x1b["));
        out.clear();
        Page::new(&mut out, &look(false)).line(0, &[(Tone::Alarm, "x".to_owned())]).unwrap();
        assert_eq!(out, b"x\n");
    }
}

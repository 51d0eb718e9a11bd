//! Lines of text out of bytes that may be anything.

/// What the next line is.
pub(super) enum Next<'a> {
    /// A line, without its end.
    Text(&'a str),
    /// A line that is not UTF-8, likewise.
    NotText(&'a [u8]),
    /// Nothing is left.
    End,
}

/// Cuts at LF, with or without CR before it.
pub(super) struct Lines<'a> {
    rest: &'a [u8],
    position: usize,
    ended: bool,
}

impl<'a> Lines<'a> {
    pub(super) const fn new(input: &'a [u8]) -> Self {
        Self { rest: input, position: 0, ended: false }
    }

    /// Offset of the next line.
    pub(super) const fn position(&self) -> usize {
        self.position
    }

    /// True when the last line had its line end.
    pub(super) const fn ended(&self) -> bool {
        self.ended
    }

    pub(super) fn next_line(&mut self) -> Next<'a> {
        if self.rest.is_empty() {
            return Next::End;
        }
        let end = self.rest.iter().position(|byte| *byte == b'\n');
        self.ended = end.is_some();
        let taken = end.map_or(self.rest.len(), |at| at.saturating_add(1));
        let (line, rest) = self.rest.split_at_checked(taken).unwrap_or((self.rest, &[]));
        self.rest = rest;
        self.position = self.position.saturating_add(taken);
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        std::str::from_utf8(line).map_or(Next::NotText(line), Next::Text)
    }
}

/// Where the body begins: behind the first empty line.
pub(super) fn end_of_header(bytes: &[u8]) -> Option<usize> {
    let mut lines = Lines::new(bytes);
    loop {
        match lines.next_line() {
            Next::Text("") if lines.ended() => return Some(lines.position()),
            Next::Text(_) | Next::NotText(_) => {}
            Next::End => return None,
        }
    }
}

/// Splits at the first `separator`; both sides without surrounding blanks.
pub(super) fn split_once_trimmed(line: &str, separator: char) -> Option<(&str, &str)> {
    line.split_once(separator).map(|(left, right)| (left.trim(), right.trim()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bytes::near::near;

    proptest! {
        #[test]
        fn near_a_head_lines_are_the_text_and_the_first_empty_one_ends_it(
            bytes in near(["OPTIONS sip:a SIP/2.0\r\nTo: <sip:b>\nSubject: \u{e9}\r\n\r\nv=0\r\n\r\n"]),
        ) {
            let mut lines = Lines::new(&bytes);
            let (mut last, mut end) = (0, None);
            loop {
                let line = lines.next_line();
                let taken = &bytes[last..lines.position()];
                last = lines.position();
                match line {
                    Next::Text(line) => prop_assert!(taken.starts_with(line.as_bytes()) && !line.contains('\n')),
                    Next::NotText(line) => prop_assert!(std::str::from_utf8(line).is_err() && taken.starts_with(line)),
                    Next::End => break,
                }
                prop_assert_eq!(taken.ends_with(b"\n"), lines.ended());
                if matches!(taken, b"\n" | b"\r\n") {
                    end = end.or(Some(last));
                }
            }
            prop_assert_eq!((last, end), (bytes.len(), end_of_header(&bytes)));
        }
    }
}

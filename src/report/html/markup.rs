//! Markup in the making. In: tags of our own as they are, everything else escaped. Out: HTML.
//!
//! [`Html::raw`] takes only what stands in the program's own text, so that nothing that a stranger wrote can become a tag. Marks
//! between the pieces tell the [pool](super::pool) where markup may be cut; they are control characters, which no escaped text holds.

use std::fmt::{self, Write as _};
use std::rc::Rc;

use super::super::hidden::escape;
use super::super::record::PacketNumber;

/// Where markup may be cut.
pub(super) const MARK: char = '\u{1}';
/// Packets named in one place; records have all of them.
const PACKETS: usize = 8;
/// Letters of a file's name beside a packet.
const NAME: usize = 48;

/// Markup.
#[derive(Debug, Default)]
pub(super) struct Html {
    out: String,
    files: Rc<[String]>,
}

impl Html {
    /// Nothing yet; packets of several files are named with these.
    pub(super) fn of_files(files: &Rc<[String]>) -> Self {
        Self { out: String::new(), files: Rc::clone(files) }
    }

    /// Markup of our own.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.out.push_str(markup);
        self
    }

    /// A word from anywhere.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for character in escape(text).chars() {
            match character {
                '&' => self.out.push_str("&amp;"),
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                '"' => self.out.push_str("&quot;"),
                '\'' => self.out.push_str("&#39;"),
                other => self.out.push(other),
            }
        }
        self
    }

    /// Words that are put together.
    pub(super) fn say(&mut self, words: fmt::Arguments<'_>) -> &mut Self {
        match words.as_str() {
            Some(text) => self.text(text),
            None => self.text(&words.to_string()),
        }
    }

    /// ` name="value"`.
    pub(super) fn attr(&mut self, name: &'static str, value: &str) -> &mut Self {
        self.out.push(' ');
        self.out.push_str(name);
        self.out.push_str("=\"");
        self.text(value).raw("\"")
    }

    /// Numbers of a drawing, one decimal at most.
    pub(super) fn num(&mut self, value: f64) -> &mut Self {
        let text = format!("{value:.1}");
        self.out.push_str(text.strip_suffix(".0").unwrap_or(&text));
        self
    }

    /// A place where markup may be cut.
    pub(super) fn cut(&mut self) -> &mut Self {
        if !self.out.ends_with(MARK) {
            self.out.push(MARK);
        }
        self
    }

    /// `<tag class="..">` and what `inner` writes.
    pub(super) fn el(&mut self, tag: &'static str, class: &'static str, inner: impl FnOnce(&mut Self)) {
        self.out.push('<');
        self.raw(tag);
        if !class.is_empty() {
            self.raw(" class=\"").raw(class).raw("\"");
        }
        self.raw(">");
        inner(self);
        self.raw("</").raw(tag).raw(">");
    }

    /// An element that holds words.
    pub(super) fn word(&mut self, tag: &'static str, class: &'static str, text: &str) {
        self.cut();
        self.el(tag, class, |html| {
            html.cut().text(text).cut();
        });
        self.cut();
    }

    /// A term and what it is, of a list of such.
    pub(super) fn pair(&mut self, term: &'static str, text: &str) {
        self.raw("<div><dt>").raw(term).raw("</dt>");
        self.word("dd", "", text);
        self.raw("</div>");
    }

    /// A table in a box of its own, which scrolls where the page is too narrow. Heads with a `#` stand over numbers.
    pub(super) fn table(
        &mut self,
        caption: &'static str,
        heads: &[&'static str],
        rows: impl FnOnce(&mut Self),
    ) {
        self.boxed("<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"", caption, heads, rows);
    }

    /// A table of sentences: where the page is narrow, the cells of a row stand one under the other.
    pub(super) fn stack(
        &mut self,
        caption: &'static str,
        heads: &[&'static str],
        rows: impl FnOnce(&mut Self),
    ) {
        self.boxed(
            "<div class=\"scroll stack\" tabindex=\"0\" role=\"group\" aria-label=\"",
            caption,
            heads,
            rows,
        );
    }

    fn boxed(
        &mut self,
        begin: &'static str,
        caption: &'static str,
        heads: &[&'static str],
        rows: impl FnOnce(&mut Self),
    ) {
        self.raw(begin).raw(caption).raw("\"><table>");
        self.raw("<caption class=\"vh\">").raw(caption).raw("</caption><thead><tr>");
        for head in heads {
            match head.strip_prefix('#') {
                Some(number) => self.raw("<th scope=\"col\" class=\"n\">").raw(number),
                None => self.raw("<th scope=\"col\">").raw(head),
            };
            self.raw("</th>");
        }
        self.raw("</tr></thead><tbody>");
        rows(self);
        self.raw("</tbody></table></div>").cut();
    }

    /// A part that is closed until it is asked for.
    pub(super) fn fold(&mut self, title: &str, inner: impl FnOnce(&mut Self)) {
        self.cut().raw("<details class=\"fold\"><summary>").text(title).raw("</summary>");
        inner(self);
        self.raw("</details>").cut();
    }

    /// Packets: their numbers, and behind them Wireshark's filter.
    pub(super) fn packets(&mut self, packets: &[PacketNumber]) {
        if packets.is_empty() {
            return;
        }
        self.cut().raw("<details class=\"pk\"><summary>");
        if let [PacketNumber { file: None, frame }] = packets {
            let number = frame.to_string();
            self.raw("packet ").cut().text(&number).cut().raw("</summary><code>frame.number == ");
            self.cut().text(&number).cut();
        } else {
            let numbers = self.packet_words(packets);
            self.cut().text(&numbers).cut().raw("</summary>");
            for (place, (file, filter)) in wireshark(packets).iter().enumerate() {
                if let Some(file) = file {
                    self.raw(if place == 0 { "<small>" } else { " <small>" });
                    let name = self.file_words(*file);
                    self.cut().text(&name).cut().raw(":</small> ");
                }
                self.raw("<code>").cut().text(filter).cut().raw("</code>");
            }
            self.raw("</details>").cut();
            return;
        }
        self.raw("</code></details>").cut();
    }

    /// `file 1 (office.pcapng)`, numbered as the list of inputs is.
    fn file_words(&self, file: u64) -> String {
        let name = usize::try_from(file).ok().and_then(|file| self.files.get(file));
        let name = name.map(|name| name.rsplit(['/', '\\']).next().unwrap_or(name));
        match name {
            Some(name) if name.chars().count() > NAME => {
                format!("file {file} ({}\u{2026})", name.chars().take(NAME).collect::<String>())
            }
            Some(name) => format!("file {file} ({name})"),
            None => format!("file {file}"),
        }
    }

    /// `packets 3, 5 and 2 more`, `packet 7 of file 1 (office.pcapng)`.
    pub(super) fn packet_words(&self, packets: &[PacketNumber]) -> String {
        let mut words = String::from(if packets.len() == 1 { "packet " } else { "packets " });
        let shown = packets.get(..PACKETS).unwrap_or(packets);
        for (place, packet) in shown.iter().enumerate() {
            if place > 0 {
                words.push_str(", ");
            }
            let _ = write!(words, "{}", packet.frame);
            // Packets of one file in a row share its name.
            let last = shown.get(place.saturating_add(1)).is_none_or(|next| next.file != packet.file);
            if let Some(file) = packet.file.filter(|_| last) {
                let _ = write!(words, " of {}", self.file_words(file));
            }
        }
        let more = packets.len().saturating_sub(PACKETS);
        if more > 0 {
            let _ = write!(words, " and {more} more");
        }
        words
    }

    /// What has been written, marks and all.
    pub(super) fn marked(&self) -> &str {
        &self.out
    }

    /// What has been written.
    pub(super) fn finish(self) -> String {
        if self.out.contains(MARK) { self.out.replace(MARK, "") } else { self.out }
    }

    /// Appends markup that was made before.
    pub(super) fn append(&mut self, other: &Self) {
        self.out.push_str(&other.out);
    }

    /// JSON for a `<script>`: nothing in it ends the element or begins a comment, since both begin with `<`.
    pub(super) fn json(&mut self, json: &str) -> &mut Self {
        for character in json.chars() {
            match character {
                '<' | '\u{2028}' | '\u{2029}' | MARK => {
                    let _ = write!(self.out, "\\u{:04x}", u32::from(character));
                }
                other => self.out.push(other),
            }
        }
        self
    }
}

/// A display filter for each file: `frame.number == 3`, `frame.number in {3, 5}`.
fn wireshark(packets: &[PacketNumber]) -> Vec<(Option<u64>, String)> {
    let mut files: Vec<Option<u64>> = packets.iter().map(|packet| packet.file).collect();
    files.sort_unstable();
    files.dedup();
    let mut filters = Vec::new();
    for file in files {
        let mut frames: Vec<u64> =
            packets.iter().filter(|packet| packet.file == file).map(|packet| packet.frame).collect();
        frames.sort_unstable();
        frames.dedup();
        let listed = frames.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        let filter = if frames.len() == 1 {
            format!("frame.number == {listed}")
        } else {
            format!("frame.number in {{{listed}}}")
        };
        filters.push((file, filter));
    }
    filters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_words_are_words() {
        let mut html = Html::default();
        html.raw("<p")
            .attr("title", "\"><script>alert(1)</script>")
            .raw(">")
            .text("<img src=x onerror='1'>&\u{202e}\u{1}");
        html.raw("</p>");
        assert_eq!(
            html.finish(),
            "<p title=\"&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;\">&lt;img src=x onerror=&#39;1&#39;&gt;&amp;\\u{202e}\\u{1}</p>"
        );
    }

    #[test]
    fn json_in_a_script_cannot_end_it() {
        let mut html = Html::default();
        html.json("{\"a\":\"</script><!--&\u{2028}\"}");
        let out = html.finish();
        assert!(!out.contains(['<', '\u{2028}']), "{out}");
        let back: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(back["a"], "</script><!--&\u{2028}");
    }

    #[test]
    fn filters_are_wiresharks() {
        let at = |frame| PacketNumber { file: None, frame };
        assert_eq!(wireshark(&[at(7)]), [(None, "frame.number == 7".to_owned())]);
        assert_eq!(wireshark(&[at(9), at(7), at(9)]), [(None, "frame.number in {7, 9}".to_owned())]);
        let of = |file, frame| PacketNumber { file: Some(file), frame };
        assert_eq!(
            wireshark(&[of(1, 2), of(0, 3)]),
            [(Some(0), "frame.number == 3".to_owned()), (Some(1), "frame.number == 2".to_owned())]
        );
        let html = Html::of_files(&["in/a.pcap".to_owned(), "in/b.pcap".to_owned()].into());
        assert_eq!(
            html.packet_words(&[of(1, 2), of(1, 5), of(0, 3)]),
            "packets 2, 5 of file 1 (b.pcap), 3 of file 0 (a.pcap)"
        );
    }
}

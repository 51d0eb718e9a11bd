//! Markup of thousands of sessions, kept small. In: markup cut at its marks. Out: JSON in which a piece that comes again is a number.
//!
//! Sessions of one network speak to the same servers, so that most of what is said of them is said again and again. The reader's
//! browser puts the pieces together when a session is opened.

use hashbrown::HashMap;

use super::markup::{Html, MARK};

/// What a number costs in JSON, and what quotes and comma of a text cost.
const NUMBER: usize = 6;
const QUOTES: usize = 3;

/// Pieces, each once, in the order in which they were first met.
#[derive(Debug, Default)]
pub(super) struct Pool {
    numbers: HashMap<String, usize>,
    uses: Vec<u32>,
}

/// Markup as the numbers of its pieces.
pub(super) type Pieces = Vec<usize>;

impl Pool {
    /// Takes markup apart.
    pub(super) fn add(&mut self, html: &Html) -> Pieces {
        html.marked().split(MARK).filter(|piece| !piece.is_empty()).map(|piece| self.piece(piece)).collect()
    }

    fn piece(&mut self, piece: &str) -> usize {
        if let Some(number) = self.numbers.get(piece) {
            if let Some(uses) = self.uses.get_mut(*number) {
                *uses = uses.saturating_add(1);
            }
            return *number;
        }
        let number = self.uses.len();
        self.numbers.insert(piece.to_owned(), number);
        self.uses.push(1);
        number
    }

    /// No more is added.
    pub(super) fn close(self) -> Closed {
        let mut texts = vec![String::new(); self.uses.len()];
        for (text, number) in self.numbers {
            if let Some(slot) = texts.get_mut(number) {
                *slot = text;
            }
        }
        let mut shared: Vec<usize> = (0..texts.len())
            .filter(|number| {
                let uses =
                    self.uses.get(*number).map_or(0, |uses| usize::try_from(*uses).unwrap_or(usize::MAX));
                let length = texts.get(*number).map_or(0, String::len);
                let shared = length.saturating_add(QUOTES).saturating_add(uses.saturating_mul(NUMBER));
                uses > 1 && uses.saturating_mul(length) > shared
            })
            .collect();
        // The most used get the shortest numbers; equal ones keep their order.
        shared.sort_by_key(|number| std::cmp::Reverse(self.uses.get(*number).copied().unwrap_or(0)));
        let mut places = vec![None; texts.len()];
        for (place, number) in shared.iter().enumerate() {
            if let Some(slot) = places.get_mut(*number) {
                *slot = Some(place);
            }
        }
        Closed { texts, shared, places }
    }
}

/// A pool to write from.
#[derive(Debug)]
pub(super) struct Closed {
    texts: Vec<String>,
    shared: Vec<usize>,
    places: Vec<Option<usize>>,
}

impl Closed {
    /// The table of pieces that come again.
    pub(super) fn table(&self) -> serde_json::Value {
        self.shared.iter().filter_map(|number| self.texts.get(*number)).map(String::as_str).collect()
    }

    /// Markup as numbers of the table and as text.
    pub(super) fn body(&self, pieces: &[usize]) -> serde_json::Value {
        let mut out: Vec<serde_json::Value> = Vec::with_capacity(pieces.len());
        let mut text = String::new();
        for number in pieces {
            if let Some(place) = self.places.get(*number).copied().flatten() {
                if !text.is_empty() {
                    out.push(std::mem::take(&mut text).into());
                }
                out.push(place.into());
            } else if let Some(piece) = self.texts.get(*number) {
                text.push_str(piece);
            }
        }
        if !text.is_empty() {
            out.push(text.into());
        }
        out.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_put_together_are_the_markup() {
        let made = |name: &str| {
            let mut html = Html::default();
            html.word("td", "", "the same for everybody");
            html.word("td", "", name);
            html
        };
        let mut pool = Pool::default();
        let (one, two) = (pool.add(&made("one")), pool.add(&made("two")));
        let pool = pool.close();
        let table = pool.table();
        assert_eq!(table.as_array().unwrap().len(), 1, "{table}");
        for (pieces, name) in [(one, "one"), (two, "two")] {
            let body = pool.body(&pieces);
            let whole: String = body
                .as_array()
                .unwrap()
                .iter()
                .map(|part| match part.as_u64() {
                    Some(number) => table[usize::try_from(number).unwrap()].as_str().unwrap(),
                    None => part.as_str().unwrap(),
                })
                .collect();
            assert_eq!(whole, made(name).finish());
        }
    }
}

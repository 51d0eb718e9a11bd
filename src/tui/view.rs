//! Where the eye is: pane, row, filter, order, an opened page. In: keys. Out: what is to be drawn.

use std::cmp::Reverse;

use super::rows::{Pane, Row, Shown};

/// Most letters of a filter.
const FILTER: usize = 64;
/// Rows of a page that is turned.
const PAGE: usize = 10;

/// What a key means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Letter(char),
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    Open,
    Back,
    Erase,
    Next,
    Before,
    Quit,
}

/// How rows are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// The gravest first: most grave findings, then most findings, else the latest.
    Grave,
    /// By the first, second, third column.
    Column(usize),
    /// The most loss first.
    Loss,
}

impl Order {
    const fn next(self) -> Self {
        match self {
            Self::Grave => Self::Column(0),
            Self::Column(0) => Self::Column(1),
            Self::Column(1) => Self::Column(2),
            Self::Column(_) => Self::Loss,
            Self::Loss => Self::Grave,
        }
    }

    pub(super) fn words(self, pane: Pane) -> String {
        match self {
            Self::Grave => "gravest first".to_owned(),
            Self::Loss => "most loss first".to_owned(),
            Self::Column(at) => {
                format!("by {}", pane.columns().get(at).map_or("", |column| column.title))
            }
        }
    }
}

/// What is before the panes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Over {
    Nothing,
    Help,
    /// A session's page, and how far it is scrolled.
    Page(String, usize),
}

/// Where the eye is.
#[derive(Debug)]
pub(super) struct View {
    pub(super) colour: bool,
    pub(super) pane: Pane,
    pub(super) selected: usize,
    /// The row that was chosen, wherever others move it; none while it is the first, whichever that is.
    chosen: Option<String>,
    pub(super) filter: String,
    /// Letters go into the filter.
    pub(super) is_typing: bool,
    pub(super) order: Order,
    pub(super) over: Over,
}

impl View {
    pub(super) const fn new(colour: bool) -> Self {
        Self {
            colour,
            pane: Pane::Sessions,
            selected: 0,
            chosen: None,
            filter: String::new(),
            is_typing: false,
            order: Order::Grave,
            over: Over::Nothing,
        }
    }

    /// The rows of the pane that pass the filter, in their order.
    pub(super) fn rows(&self, shown: &Shown) -> Vec<Row> {
        let mut rows = self.pane.rows(shown);
        if !self.filter.is_empty() {
            rows.retain(|row| row.matches(&self.filter));
        }
        match self.order {
            Order::Grave => rows.sort_by_key(|row| (row.mood, Reverse(row.findings))),
            Order::Loss => rows.sort_by(|one, other| other.loss.total_cmp(&one.loss)),
            Order::Column(at) => rows.sort_by_cached_key(|row| row.key(at)),
        }
        rows
    }

    /// Finds the chosen row where it is now.
    pub(super) fn settle(&mut self, rows: &[Row]) {
        let place = self.chosen.as_ref().and_then(|name| rows.iter().position(|row| row.name == *name));
        self.selected = place.unwrap_or(self.selected).min(rows.len().saturating_sub(1));
    }

    fn choose(&mut self, at: usize, rows: &[Row]) {
        self.selected = at.min(rows.len().saturating_sub(1));
        self.chosen = rows.get(self.selected).filter(|_| self.selected > 0).map(|row| row.name.clone());
    }

    /// Does what a key asks for. True where that is to end.
    pub(super) fn press(&mut self, key: Key, shown: &Shown) -> bool {
        if key == Key::Quit {
            return true;
        }
        if self.is_typing {
            self.type_filter(key);
            return false;
        }
        if key == Key::Letter('q') {
            return true;
        }
        match self.over {
            Over::Nothing => self.press_on_pane(key, shown),
            Over::Help => self.over = Over::Nothing,
            Over::Page(..) => self.press_on_page(key),
        }
        false
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all other keys mean nothing here")]
    fn type_filter(&mut self, key: Key) {
        match key {
            Key::Letter(letter) if self.filter.chars().count() < FILTER => self.filter.push(letter),
            Key::Erase => {
                self.filter.pop();
            }
            Key::Back => {
                self.filter.clear();
                self.is_typing = false;
            }
            Key::Open => self.is_typing = false,
            _ => {}
        }
        self.choose(0, &[]);
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all other keys mean nothing here")]
    fn press_on_page(&mut self, key: Key) {
        let Over::Page(_, scrolled) = &mut self.over else { return };
        match key {
            Key::Up | Key::Letter('k') => *scrolled = scrolled.saturating_sub(1),
            Key::Down | Key::Letter('j') => *scrolled = scrolled.saturating_add(1),
            Key::PageUp => *scrolled = scrolled.saturating_sub(PAGE),
            Key::PageDown | Key::Letter(' ') => *scrolled = scrolled.saturating_add(PAGE),
            Key::First | Key::Letter('g') => *scrolled = 0,
            Key::Last | Key::Letter('G') => *scrolled = usize::MAX,
            Key::Back | Key::Erase | Key::Letter('h') => self.over = Over::Nothing,
            Key::Letter('?') => self.over = Over::Help,
            _ => {}
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all other keys mean nothing here")]
    fn press_on_pane(&mut self, key: Key, shown: &Shown) {
        let rows = self.rows(shown);
        self.settle(&rows);
        let here = self.selected;
        match key {
            Key::Up | Key::Letter('k') => self.choose(here.saturating_sub(1), &rows),
            Key::Down | Key::Letter('j') => self.choose(here.saturating_add(1), &rows),
            Key::PageUp => self.choose(here.saturating_sub(PAGE), &rows),
            Key::PageDown | Key::Letter(' ') => self.choose(here.saturating_add(PAGE), &rows),
            Key::First | Key::Letter('g') => self.choose(0, &rows),
            Key::Last | Key::Letter('G') => self.choose(rows.len(), &rows),
            Key::Next | Key::Letter('l') => self.turn(1),
            Key::Before | Key::Letter('h') => self.turn(Pane::ALL.len().saturating_sub(1)),
            Key::Letter(digit @ '1'..='5') => {
                let at = digit.to_digit(10).and_then(|digit| usize::try_from(digit).ok()).unwrap_or(1);
                self.go(at.saturating_sub(1));
            }
            Key::Letter('/') => self.is_typing = true,
            Key::Letter('s') => self.order = self.order.next(),
            Key::Letter('?') => self.over = Over::Help,
            Key::Back => self.filter.clear(),
            Key::Open => {
                if let Some(id) = rows.get(here).and_then(|row| row.session.clone()) {
                    self.over = Over::Page(id, 0);
                }
            }
            _ => {}
        }
    }

    fn turn(&mut self, by: usize) {
        let now = Pane::ALL.iter().position(|pane| *pane == self.pane).unwrap_or(0);
        self.go(now.saturating_add(by).checked_rem(Pane::ALL.len()).unwrap_or(0));
    }

    fn go(&mut self, at: usize) {
        if let Some(pane) = Pane::ALL.get(at) {
            self.pane = *pane;
            self.choose(0, &[]);
        }
    }
}

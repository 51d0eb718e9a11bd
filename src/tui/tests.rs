//! The screen as a terminal would show it.

use std::sync::Arc;

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::draw;
use super::rows::{Pane, Shown};
use super::view::{Key, Over, View};
use crate::board::{Board, Config};
use crate::report::Told;
use crate::report::record::{Phase, Record, Severity};
use crate::report::tests::{Made, beijing, hostile};

/// A board that was told of sessions which go on.
fn board(made: &Made) -> Board {
    let mut board = Board::new(Config::default());
    for mut record in made.records() {
        match &mut record {
            Record::Session(session) => session.phase = Some(Phase::Update),
            Record::Meeting(meeting) => meeting.phase = Some(Phase::Update),
            Record::Stats(stats) => stats.phase = Some(Phase::Update),
            _ => {}
        }
        board.take(&Told { record: Arc::new(record), is_for_sinks: true });
    }
    board
}

fn drawn(view: &mut View, shown: &Shown, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw::screen(frame, view, shown, None)).unwrap();
    let buffer = terminal.backend().buffer();
    let cells: Vec<&str> = buffer.content().iter().map(ratatui::buffer::Cell::symbol).collect();
    cells.chunks(usize::from(width)).map(|line| line.concat().trim_end().to_owned() + "\n").collect()
}

#[test]
fn sessions_fit_a_terminal_of_80_by_24_and_use_a_wide_one() {
    let shown = Shown::of(&board(&beijing()));
    let mut view = View::new(false);
    insta::assert_snapshot!("sessions_80", drawn(&mut view, &shown, 80, 24));
    let wide = drawn(&mut view, &shown, 200, 50);
    assert!(wide.contains("what stands out") && wide.contains("goes on"), "{wide}");
    assert!(wide.contains("142.150.1.10"), "{wide}");
}

#[test]
fn a_page_is_that_of_the_text_report_and_scrolls() {
    let shown = Shown::of(&board(&beijing()));
    let mut view = View::new(false);
    assert!(!view.press(Key::Open, &shown));
    let first = drawn(&mut view, &shown, 100, 30);
    assert!(first.contains("endpoint") && first.contains("seen") || first.contains("when"), "{first}");
    view.press(Key::Last, &shown);
    let last = drawn(&mut view, &shown, 100, 30);
    assert_ne!(first, last);
    view.press(Key::Back, &shown);
    assert_eq!(view.over, Over::Nothing);
}

#[test]
fn panes_filters_and_orders_follow_keys() {
    let shown = Shown::of(&board(&beijing()));
    let mut view = View::new(false);
    let all = view.rows(&shown).len();
    assert!(all >= 2);
    for letter in "/128.59".chars() {
        view.press(Key::Letter(letter), &shown);
    }
    assert_eq!(view.rows(&shown).len(), 1);
    view.press(Key::Open, &shown);
    assert!(!view.is_typing && view.filter == "128.59");
    view.press(Key::Back, &shown);
    assert_eq!(view.rows(&shown).len(), all);
    for _ in 0..3 {
        view.press(Key::Letter('s'), &shown);
    }
    let ends: Vec<String> = view.rows(&shown).iter().map(|row| row.cells[2].clone()).collect();
    let mut sorted = ends.clone();
    sorted.sort();
    assert_eq!(ends, sorted, "by endpoint");
    for pane in Pane::ALL.iter().skip(1) {
        view.press(Key::Next, &shown);
        assert_eq!(view.pane, *pane);
        drawn(&mut view, &shown, 80, 24);
    }
    view.press(Key::Next, &shown);
    assert_eq!(view.pane, Pane::Sessions);
    assert!(view.press(Key::Letter('q'), &shown) && view.press(Key::Quit, &shown));
}

#[test]
fn the_eye_stays_on_a_row_that_moves_and_numbers_are_sorted_as_numbers() {
    let made = beijing();
    let mut board = board(&made);
    let mut view = View::new(false);
    let before = Shown::of(&board);
    view.press(Key::Down, &before);
    let chosen = view.rows(&before)[1].name.clone();
    let Some(Record::Session(session)) =
        made.records().into_iter().find(|one| matches!(one, Record::Session(_)))
    else {
        panic!("no session")
    };
    for number in [9, 10] {
        let mut newer = session.clone();
        (newer.session_id, newer.phase) = (format!("s{number}"), Some(Phase::Update));
        board.take(&Told { record: Arc::new(Record::Session(newer)), is_for_sinks: true });
    }
    let shown = Shown::of(&board);
    drawn(&mut view, &shown, 80, 24);
    assert_eq!(view.rows(&shown)[view.selected].name, chosen);
    view.press(Key::Letter('s'), &shown);
    drawn(&mut view, &shown, 80, 24);
    assert_eq!(view.rows(&shown)[view.selected].name, chosen, "in another order too");
    let names: Vec<String> = view.rows(&shown).into_iter().map(|row| row.name).collect();
    let at = |name: &str| names.iter().position(|one| one == name).unwrap();
    assert!(at("s9") < at("s10"), "{names:?}");
}

#[test]
fn the_gravest_first_are_those_with_most_grave_findings() {
    let made = beijing();
    let mut board = board(&made);
    let Some(Record::Session(session)) =
        made.records().into_iter().find(|one| matches!(one, Record::Session(_)))
    else {
        panic!("no session")
    };
    let grave = session.findings.iter().find(|finding| finding.severity == Severity::High).unwrap().clone();
    for (number, graves) in [(7, 3), (8, 4), (9, 3)] {
        let mut newer = session.clone();
        (newer.session_id, newer.phase) = (format!("s{number}"), Some(Phase::Update));
        newer.findings = vec![grave.clone(); graves];
        board.take(&Told { record: Arc::new(Record::Session(newer)), is_for_sinks: true });
    }
    let shown = Shown::of(&board);
    let rows = View::new(false).rows(&shown);
    assert_eq!(rows[0].name, "s8");
    let last = rows[0].cells.last().unwrap();
    assert_eq!(*last, grave.id.replace('_', " "), "a kind is named once");
}

#[test]
fn nothing_that_a_stranger_chose_moves_the_cursor() {
    let shown = Shown::of(&board(&hostile()));
    for pane in ['1', '2', '3', '4', '5'] {
        for is_open in [false, true] {
            let mut view = View::new(true);
            view.press(Key::Letter(pane), &shown);
            if is_open {
                view.press(Key::Open, &shown);
            }
            let text = drawn(&mut view, &shown, 200, 60);
            assert!(!text.chars().any(|letter| letter != '\n' && letter.is_control()), "{text:?}");
            assert!(!text.contains(['\u{202e}', '\u{2066}']), "{text:?}");
        }
    }
}

#[test]
fn any_size_and_any_key_is_taken() {
    let shown = Shown::of(&board(&beijing()));
    let keys = [
        Key::Open,
        Key::Down,
        Key::PageDown,
        Key::Last,
        Key::Letter('?'),
        Key::Back,
        Key::Letter('s'),
        Key::Before,
        Key::Up,
    ];
    let mut view = View::new(true);
    for (width, height) in [(1, 1), (40, 6), (79, 7), (300, 100), (40, 24)] {
        for key in keys {
            view.press(key, &shown);
            drawn(&mut view, &shown, width, height);
        }
    }
    let empty = Shown::default();
    for key in keys {
        view.press(key, &empty);
        drawn(&mut view, &empty, 80, 24);
    }
}

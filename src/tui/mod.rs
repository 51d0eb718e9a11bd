//! Stage: what the dashboard shows, in a terminal. In: the [`Board`], keys. Out: a screen.
//!
//! The board is read under its lock for as long as it takes to copy references; rows are made and drawn after that. Every string
//! that a stranger may have chosen is written out where a terminal would obey it.

mod columns;
mod draw;
mod rows;
mod view;

#[cfg(test)]
mod tests;

use std::io;
#[cfg(unix)]
use std::io::IsTerminal as _;
#[cfg(unix)]
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
#[cfg(unix)]
use rustix::event::{PollFd, PollFlags, Timespec, poll};
#[cfg(unix)]
use rustix::io::Errno;

use crate::board::Board;
use rows::Shown;
use view::{Key, View};

/// How often the screen is drawn anew, and the longest that an order to stop waits.
const TICK: Duration = Duration::from_millis(250);

/// How often a message is drawn: some ten seconds, then the line of keys is back.
const NEWS: u32 = 40;

/// What a screen needs beside the board.
pub struct Config {
    /// Colour; bold and reversed text alone where it is not wanted.
    pub colour: bool,
    /// The latest message for people, if there was one: standard error is not to be written to while the screen is up.
    pub news: Box<dyn Fn() -> Option<String> + Send>,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("colour", &self.colour).finish_non_exhaustive()
    }
}

/// Shows the board until `stop` is set, which the key `q` does as well. The terminal is as before then, also after a panic.
///
/// # Errors
/// When there is no terminal, or it fails.
pub fn run(board: &Mutex<Board>, stop: &Arc<AtomicBool>, config: &Config) -> io::Result<()> {
    let mut terminal = ratatui::try_init()?;
    let shown = show(&mut terminal, board, stop, config);
    ratatui::restore();
    shown
}

fn show(
    terminal: &mut ratatui::DefaultTerminal,
    board: &Mutex<Board>,
    stop: &Arc<AtomicBool>,
    config: &Config,
) -> io::Result<()> {
    let mut view = View::new(config.colour);
    let (mut said, mut drawn) = (None, 0_u32);
    while !stop.load(Ordering::Relaxed) {
        let shown = {
            let board = board.lock().unwrap_or_else(PoisonError::into_inner);
            Shown::of(&board)
        };
        let news = (config.news)();
        drawn = if news == said { drawn.saturating_add(1) } else { 0 };
        said = news;
        let news = said.as_deref().filter(|_| drawn < NEWS);
        terminal.draw(|frame| draw::screen(frame, &mut view, &shown, news))?;
        await_keys()?;
        // All that were typed meanwhile.
        while event::poll(Duration::ZERO)? {
            take(&event::read()?, &mut view, &shown, stop);
        }
    }
    Ok(())
}

/// Waits for a key, for one tick at most.
///
/// # Errors
/// When the terminal is gone, as after a lost connection: crossterm would look for its keys without end.
#[cfg(unix)]
fn await_keys() -> io::Result<()> {
    let (input, output) = (io::stdin(), io::stdout());
    let terminal = if input.is_terminal() { input.as_fd() } else { output.as_fd() };
    let mut waited = [PollFd::from_borrowed_fd(terminal, PollFlags::IN)];
    let tick = Timespec { tv_sec: 0, tv_nsec: i64::from(TICK.subsec_nanos()) };
    match poll(&mut waited, Some(&tick)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let gone =
        waited.iter().any(|one| one.revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL));
    if gone { Err(io::Error::other("the terminal is gone")) } else { Ok(()) }
}

/// Waits for a key, for one tick at most.
#[cfg(not(unix))]
fn await_keys() -> io::Result<()> {
    event::poll(TICK).map(drop)
}

fn take(event: &Event, view: &mut View, shown: &Shown, stop: &Arc<AtomicBool>) {
    let Event::Key(key) = event else { return };
    if key.kind == KeyEventKind::Release {
        return;
    }
    // In raw mode Ctrl-C is a key like any other.
    let is_interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    let Some(key) = (if is_interrupt { Some(Key::Quit) } else { meaning(key.code) }) else { return };
    if view.press(key, shown) {
        stop.store(true, Ordering::Relaxed);
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all other keys mean nothing")]
const fn meaning(code: KeyCode) -> Option<Key> {
    Some(match code {
        KeyCode::Char(letter) => Key::Letter(letter),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::First,
        KeyCode::End => Key::Last,
        KeyCode::Enter | KeyCode::Right => Key::Open,
        KeyCode::Esc | KeyCode::Left => Key::Back,
        KeyCode::Backspace => Key::Erase,
        KeyCode::Tab => Key::Next,
        KeyCode::BackTab => Key::Before,
        _ => return None,
    })
}

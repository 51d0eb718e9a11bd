//! `--tui`: a thread that shows the board in the terminal, and messages on it instead of on standard error.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;
use meetscope::board::Board;
use meetscope::tui;

use super::{config, messages};

/// A screen that is up.
pub(super) struct Screen(JoinHandle<std::io::Result<()>>);

/// Shows the board until `stop` is set; the key `q` sets it.
pub(super) fn show(
    board: Arc<Mutex<Board>>,
    stop: &Arc<AtomicBool>,
    config: &config::Watch,
) -> anyhow::Result<Screen> {
    let stop = Arc::clone(stop);
    let screen = tui::Config { colour: config.report.style.colour, news: Box::new(messages::latest) };
    messages::hold();
    let thread = thread::Builder::new().name("screen".to_owned()).spawn(move || {
        let shown = tui::run(&board, &stop, &screen);
        // Nobody sees anything any more: as if `q` had been typed.
        stop.store(true, Ordering::Relaxed);
        shown
    });
    thread.map(Screen).context("a thread for the screen")
}

impl Screen {
    /// Waits until the terminal is as it was, and says what was held back. Of a terminal that hangs, the run does not wait longer than it must.
    pub(super) fn end(self) {
        for _ in 0..20 {
            if self.0.is_finished() {
                break;
            }
            thread::sleep(Duration::from_millis(50));
        }
        if !self.0.is_finished() {
            messages::release();
            messages::say(format_args!("the screen: the terminal does not answer"));
            return;
        }
        let outcome = self.0.join();
        messages::release();
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(error)) => messages::say(format_args!("the screen: {error}")),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

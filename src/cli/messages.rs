//! Words for people, on standard error. A standard error that is closed is no reason to stop.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use meetscope::report::visible;

/// `meetscope: ` and the message, on a line. Names of files are in it, which strangers may have chosen: what a terminal would
/// obey is written out, and lines after the first are indented, so that none passes for a message of its own.
pub(super) fn say(message: fmt::Arguments<'_>) {
    let text = message.to_string();
    let lines: Vec<_> = text.lines().map(visible).collect();
    let text = lines.join("\n  ");
    if let Some(held) = HELD.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        if held.len() >= MOST_HELD {
            held.pop_front();
        }
        held.push_back(text);
        return;
    }
    let _ = writeln!(io::stderr().lock(), "meetscope: {text}");
}

/// Messages that are held back while a screen is up, the latest.
static HELD: Mutex<Option<VecDeque<String>>> = Mutex::new(None);
/// How many they are at most; older ones are let go.
const MOST_HELD: usize = 500;

/// Holds messages back from now on: the terminal shows something else.
pub(super) fn hold() {
    *HELD.lock().unwrap_or_else(PoisonError::into_inner) = Some(VecDeque::new());
}

/// The latest that is held back.
pub(super) fn latest() -> Option<String> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.back().cloned()
}

/// Writes what was held back, and holds nothing back any more.
pub(super) fn release() {
    let held = HELD.lock().unwrap_or_else(PoisonError::into_inner).take();
    for text in held.unwrap_or_default() {
        let _ = writeln!(io::stderr().lock(), "meetscope: {text}");
    }
}

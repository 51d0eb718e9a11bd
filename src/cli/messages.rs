//! Words for people, on standard error. A standard error that is closed is no reason to stop.

use std::fmt;
use std::io::{self, Write};

/// `meetscope: ` and the message, on a line.
pub(super) fn say(message: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "meetscope: {message}");
}

//! Words for people, on standard error. A standard error that is closed is no reason to stop.

use std::fmt;
use std::io::{self, Write};

use meetscope::report::visible;

/// `meetscope: ` and the message, on a line. Names of files are in it, which strangers may have chosen: what a terminal would
/// obey is written out, and lines after the first are indented, so that none passes for a message of its own.
pub(super) fn say(message: fmt::Arguments<'_>) {
    let text = message.to_string();
    let lines: Vec<_> = text.lines().map(visible).collect();
    let _ = writeln!(io::stderr().lock(), "meetscope: {}", lines.join("\n  "));
}

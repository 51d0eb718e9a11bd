//! Where records of a live run go: what was typed becomes destinations.

use std::io::IsTerminal as _;
use std::path::Path;

use meetscope::report::Style;
use meetscope::sink::{self, Outlet, Rotation, Target};

use super::args::outlets::{Compression, Outlets};
use super::output::Taken;
use super::{UsageError, config};

/// The destinations; `queue_bytes` may wait for one where nobody said how many. Standard output is one where no other is named, or where `-o -` or
/// `--format text` asks for it.
pub(super) fn config(
    typed: &Outlets,
    output: Option<&Path>,
    taken: Taken<'_>,
    style: &Style,
    asks_for_text: bool,
    queue_bytes: u64,
) -> Result<sink::Config, UsageError> {
    let mut outlets = Vec::new();
    match output {
        Some(path) if config::is_stdin(path) => outlets.push(Outlet::Standard),
        Some(path) => {
            taken.check(path)?;
            outlets.push(Outlet::File {
                path: path.to_owned(),
                rotation: typed.rotate.unwrap_or_default(),
                compression: typed.compress.map(compression),
                keep: typed.keep,
            });
        }
        // Who asks for text wants to read it: no other destination takes any.
        None if !typed.tui && (asks_for_text || (typed.send.is_empty() && typed.syslog.is_empty())) => {
            outlets.push(Outlet::Standard);
        }
        None => {}
    }
    if output.is_some_and(config::is_stdin)
        && typed.rotate.is_some_and(|rotation| rotation != Rotation::default())
    {
        return Err(UsageError("--rotate: expected -o with the name of a file, found `-`".to_owned()));
    }
    if typed.tui && (output.is_some_and(config::is_stdin) || !std::io::stdout().is_terminal()) {
        return Err(UsageError("--tui: expected a terminal of its own as standard output".to_owned()));
    }
    for target in &typed.send {
        if matches!(target, Target::Udp(_)) {
            let message =
                format!("--send: expected tcp:// or unix:, found {target}: lines need a connection");
            return Err(UsageError(message));
        }
        outlets.push(Outlet::Send(target.clone()));
    }
    outlets.extend(typed.syslog.iter().cloned().map(Outlet::Syslog));
    let queue_bytes = typed.queue_mib.map_or(queue_bytes, |mib| mib.saturating_mul(1 << 20));
    Ok(sink::Config { outlets, style: style.clone(), queue_bytes })
}

const fn compression(typed: Compression) -> sink::Compression {
    match typed {
        Compression::Gzip => sink::Compression::Gzip,
        Compression::Zstd => sink::Compression::Zstd,
    }
}

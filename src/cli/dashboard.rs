//! The dashboard of `watch`: what is typed becomes what is served.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use zeroize::Zeroizing;

use meetscope::web::{self, Token};

use super::UsageError;
use super::args::web::Dashboard;
use super::messages::say;

/// Names the token where no file is given, so that it stands in no list of processes.
const VARIABLE: &str = "MEETSCOPE_WEB_TOKEN";
/// Bytes of a file that are read; a token is one line.
const LONGEST: usize = 4_096;

/// What is to be served, if anything is.
pub(super) fn config(typed: &Dashboard, metrics: Option<SocketAddr>) -> anyhow::Result<web::Config> {
    if metrics.is_some() && metrics == typed.web {
        let fault =
            "--metrics: the dashboard serves /metrics at its own address; expected another, or --web alone";
        return Err(UsageError(fault.to_owned()).into());
    }
    let token = match &typed.web_token_file {
        Some(file) => Some(read(file)?),
        None => match std::env::var(VARIABLE).map(Zeroizing::new) {
            Ok(text) if !text.is_empty() => Some(token(&text, VARIABLE)?),
            _ => None,
        },
    };
    let hosts = typed.web_host.clone();
    Ok(web::Config { dashboard: typed.web, metrics, token, hosts, ..web::Config::default() })
}

fn read(file: &Path) -> anyhow::Result<Token> {
    let name = format!("the token in {}", file.display());
    let text = Zeroizing::new(fs::read_to_string(file).with_context(|| name.clone())?);
    if text.len() > LONGEST {
        return Err(UsageError(format!("{name}: it is longer than {LONGEST} bytes")).into());
    }
    warn_of_readers(file);
    Ok(token(text.lines().next().unwrap_or_default(), &name)?)
}

/// One that is none is a fault of who gave it, which no second try mends.
fn token(text: &str, name: &str) -> Result<Token, UsageError> {
    Token::new(text).map_err(|error| UsageError(format!("{name}: {error}")))
}

/// A token that every user of the machine can read is none.
#[cfg(unix)]
fn warn_of_readers(file: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let is_open = fs::metadata(file).is_ok_and(|found| found.permissions().mode() & 0o004 != 0);
    if is_open {
        say(format_args!("{} can be read by every user; chmod o-r takes that away", file.display()));
    }
}

#[cfg(not(unix))]
fn warn_of_readers(_file: &Path) {}

/// Says where the dashboard and the metrics are.
pub(super) fn announce(bound: &web::Bound) {
    if let Some(address) = bound.dashboard() {
        say(format_args!("dashboard at http://{address}/"));
    }
    if let Some(address) = bound.metrics() {
        say(format_args!("metrics at http://{address}/metrics"));
    }
    let mut all = bound.dashboard().into_iter().chain(bound.metrics());
    if all.any(|address| !web::is_loopback(address.ip())) {
        say(format_args!(
            "the token and what is shown go over plain HTTP, which others on the way can read: put a proxy with TLS in front"
        ));
    }
}

/// Waits for the end of what is served: the last of what was told has been sent then.
pub(super) fn end(web: Option<web::Handle>) {
    if web.is_some_and(|web| !web.join()) {
        say(format_args!("the dashboard had died before the end"));
    }
}

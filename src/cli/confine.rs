//! What a run on interfaces goes on needing once everything is open, and how it gives up the rest.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use meetscope::sandbox::{self, Needs};
use meetscope::sink::{Outlet, Target};

use super::config;
use super::config::is_stdin;
use super::messages::say;
use super::state::State;
use super::store;

/// What the counters of an interface are read from; its links lead below `/sys/devices`.
const INTERFACES: &str = "/sys/class/net";

/// Becomes the user that the run is to go on as, if one was named. Interfaces and ports have to be open; destinations are opened
/// afterwards, so that one which this user cannot write to is told at once.
pub(super) fn become_user(config: &config::Watch) -> anyhow::Result<()> {
    let Some(user) = &config.user else { return Ok(()) };
    sandbox::become_user(user).context("--user")
}

/// Gives up what is not needed any more, and says so. Everything has to be open, and no thread may run yet.
pub(super) fn enter(config: &config::Watch) -> anyhow::Result<()> {
    if !config.sandbox {
        say(format_args!("not confined, as --no-sandbox says: this run keeps all rights that it has"));
        return Ok(());
    }
    let report = sandbox::enter(&needs(config)).context("--no-sandbox goes on with all rights")?;
    say(format_args!("confined: {report}"));
    Ok(())
}

fn needs(config: &config::Watch) -> Needs {
    let mut needs = Needs { terminal: config.screen, ..Needs::default() };
    let files = config.report.inputs.iter().filter(|path| !is_stdin(path));
    needs.read.extend(files.cloned());
    needs.read.extend(store::to_ask());
    needs.read.extend(config.interfaces.iter().map(|name| Path::new(INTERFACES).join(name)));
    needs.write.extend(config.report.state.as_ref().map(State::path).map(folder));
    needs.write.extend(config.dump.as_deref().map(folder));
    for outlet in &config.outlets.outlets {
        if let Outlet::File { path, .. } = outlet {
            needs.write.push(folder(path));
        } else if let Outlet::Send(target) | Outlet::Syslog(target) = outlet {
            reach(&mut needs, target);
        }
    }
    needs.write.sort();
    needs.write.dedup();
    needs
}

/// A destination on a socket, which is connected to from its own thread, and again whenever it was away.
fn reach(needs: &mut Needs, target: &Target) {
    if let Target::Tcp(at) | Target::Udp(at) = target {
        needs.inet_sockets = true;
        needs.names |= at.host().parse::<IpAddr>().is_err();
    } else {
        needs.unix_sockets = true;
    }
    if let Target::Tcp(at) = target {
        needs.tcp_ports.push(at.port());
    }
}

/// The directory of a file: files beside it are made, and put in its place.
fn folder(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

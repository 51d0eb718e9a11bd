//! `meetscope interfaces`: what can be watched, and what is missing where nothing can.

use std::io::{self, Write};

use meetscope::capture::Fault;
use meetscope::capture::live::{self, InterfaceInfo, Live, Options};

use super::Status;
use super::messages::say;

/// Lists the interfaces, most useful first.
pub(super) fn run() -> anyhow::Result<Status> {
    let interfaces = live::interfaces()?;
    let mut out = io::stdout().lock();
    let width = interfaces.iter().map(|interface| interface.name.len()).max().unwrap_or(0);
    for interface in &interfaces {
        writeln!(out, "{:width$}  {}", interface.name, describe(interface))?;
    }
    out.flush()?;
    if interfaces.is_empty() {
        say(format_args!("no network interface is there to be watched"));
    }
    if let Some(fault) = missing(&interfaces) {
        say(format_args!("{fault}"));
    }
    Ok(Status::Done)
}

/// `up, wireless, 192.0.2.7, 2001:db8::7, description`
fn describe(interface: &InterfaceInfo) -> String {
    let mut parts = vec![if interface.up { "up".to_owned() } else { "down".to_owned() }];
    let kinds = [(interface.loopback, "loopback"), (interface.wireless, "wireless")];
    parts.extend(kinds.into_iter().filter(|(is, _)| *is).map(|(_, name)| name.to_owned()));
    parts.extend(interface.addresses.iter().map(ToString::to_string));
    parts.extend(interface.description.clone());
    parts.join(", ")
}

/// What keeps this process from capturing, if anything: it opens an interface, listens to nothing, and closes it.
fn missing(interfaces: &[InterfaceInfo]) -> Option<Fault> {
    let options = Options { promiscuous: false, buffer_mib: 1, ..Options::default() };
    let first = interfaces.iter().find(|interface| interface.up)?;
    match Live::open(&first.name, &options) {
        Err(error) if matches!(error.fault, Fault::NoPermission { .. }) => Some(error.fault),
        _ => None,
    }
}

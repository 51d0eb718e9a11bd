//! Which interfaces there are, and what libpcap's words about them mean.

use std::net::IpAddr;

use pcap::Device;

use crate::capture::error::{CaptureError, Fault};

/// A network interface of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InterfaceInfo {
    /// Its name, as [`Live::open`](super::Live::open) takes it.
    pub name: String,
    /// What the system says of it.
    pub description: Option<String>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// True when it is up.
    pub up: bool,
    /// True for the loopback.
    pub loopback: bool,
    /// True for wireless.
    pub wireless: bool,
}

/// The interfaces that libpcap can capture on, most useful first.
///
/// # Errors
/// When libpcap cannot list them.
pub fn interfaces() -> Result<Vec<InterfaceInfo>, CaptureError> {
    let devices = Device::list().map_err(|error| CaptureError::new("interfaces", fault(&error)))?;
    Ok(devices
        .into_iter()
        .map(|device| InterfaceInfo {
            up: device.flags.is_up(),
            loopback: device.flags.is_loopback(),
            wireless: device.flags.is_wireless(),
            addresses: device.addresses.iter().map(|address| address.addr).collect(),
            name: device.name,
            description: device.desc,
        })
        .collect())
}

/// libpcap tells faults apart in words only.
pub(super) fn fault(error: &pcap::Error) -> Fault {
    let message =
        if let pcap::Error::PcapError(message) = error { message.clone() } else { error.to_string() };
    let lower = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if says(&["permission", "not permitted", "cap_net_raw"]) {
        Fault::NoPermission { message }
    } else if says(&["no such device", "doesn't exist", "does not exist"]) {
        Fault::NoSuchInterface { message }
    } else {
        Fault::Device { message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_command_that_mends_it() {
        let words = "socket: Operation not permitted".to_owned();
        let fault = fault(&pcap::Error::PcapError(words));
        assert!(fault.to_string().contains("setcap cap_net_raw"), "{fault}");
    }
}

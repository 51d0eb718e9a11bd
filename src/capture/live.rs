//! Live packets from network interfaces, through libpcap.
//!
//! In: an interface name and [`Options`]. Out: packets with the kernel's time. Never sends.

use std::net::IpAddr;
use std::time::Duration;

use pcap::{Active, Capture, Device, Precision};

use super::Packet;
use super::error::{CaptureError, Fault};
use super::link_type::LinkType;
use crate::time::Timestamp;

/// How to capture on an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "built by the command line with struct update syntax")]
pub struct Options {
    /// Also take packets that are for other hosts.
    pub promiscuous: bool,
    /// Most bytes captured of a packet, 1 to 262144.
    pub snaplen: u32,
    /// The kernel's buffer in MiB, 1 to 2047.
    pub buffer_mib: u32,
    /// Hand out each packet at once, rather than in batches: less delay, more load.
    pub immediate: bool,
    /// Longest time in milliseconds that the kernel gathers packets before it hands them out, at least 1.
    pub timeout_ms: u32,
    /// A filter expression that the kernel applies.
    pub filter: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            promiscuous: true,
            snaplen: MAX_SNAPLEN,
            buffer_mib: 64,
            immediate: false,
            timeout_ms: 100,
            filter: None,
        }
    }
}

/// tcpdump's largest; more only costs ring space.
const MAX_SNAPLEN: u32 = 262_144;
/// Pause when there is no packet. libpcap's own wait does not end on a quiet Linux interface, whatever its timeout
/// says; 5 ms are 6 MB at 10 Gbit/s, a tenth of the default buffer.
const IDLE: Duration = Duration::from_millis(5);
/// The kernel takes the buffer size as a signed 32-bit number of bytes.
const MAX_BUFFER_MIB: u32 = 2047;
/// libpcap always gives nanoseconds on Linux; elsewhere a request may be refused without a word.
const NANOSECONDS: bool = cfg!(target_os = "linux");

/// A live capture on one interface.
pub struct Live {
    capture: Capture<Active>,
    name: String,
    link_type: LinkType,
    promiscuous: bool,
}

impl Live {
    /// Opens an interface by name.
    ///
    /// # Errors
    /// Without the right to capture ([`Fault::NoPermission`] names the command that gives it), without such an
    /// interface, or with a filter that does not compile.
    pub fn open(interface: &str, options: &Options) -> Result<Self, CaptureError> {
        let fail = |error: &pcap::Error| CaptureError::new(interface, device_fault(error));
        let (mut capture, promiscuous) = match activate(interface, options, options.promiscuous) {
            Ok(capture) => (capture, options.promiscuous),
            // Some devices (`any` on Linux) only lack the promiscuous mode.
            Err(error) if options.promiscuous => {
                (activate(interface, options, false).map_err(|_| fail(&error))?, false)
            }
            Err(error) => return Err(fail(&error)),
        };
        if let Some(filter) = &options.filter {
            capture.filter(filter, true).map_err(|error| {
                CaptureError::new(interface, Fault::BadFilter { message: error.to_string() })
            })?;
        }
        let link_type = LinkType::from_dlt(capture.get_datalink().0);
        Ok(Self { capture, name: interface.to_owned(), link_type, promiscuous })
    }

    /// The next packet; none when nothing came for a few milliseconds, so that the caller can look at its own
    /// affairs (a stop signal, a report that is due) and call again.
    ///
    /// # Errors
    /// When the interface fails, for one because it went away.
    #[expect(
        clippy::should_implement_trait,
        reason = "the packet borrows from the capture, as no Iterator can"
    )]
    pub fn next(&mut self) -> Result<Option<Packet<'_>>, CaptureError> {
        match self.capture.next_packet() {
            Ok(packet) => {
                let captured = u32::try_from(packet.data.len()).unwrap_or(u32::MAX);
                Ok(Some(Packet {
                    timestamp: time(packet.header.ts.tv_sec, packet.header.ts.tv_usec),
                    link_type: self.link_type,
                    interface: 0,
                    original_len: packet.header.len.max(captured),
                    data: packet.data,
                }))
            }
            Err(pcap::Error::TimeoutExpired) => {
                std::thread::sleep(IDLE);
                Ok(None)
            }
            Err(error) => Err(CaptureError::new(&self.name, device_fault(&error))),
        }
    }

    /// Counters since the opening.
    ///
    /// # Errors
    /// When the interface has failed.
    pub fn stats(&mut self) -> Result<Stats, CaptureError> {
        let stats = self.capture.stats();
        let stats = stats.map_err(|error| CaptureError::new(&self.name, device_fault(&error)))?;
        Ok(Stats { received: stats.received, dropped: stats.dropped, if_dropped: stats.if_dropped })
    }

    /// Name of the interface.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its packets begin with.
    pub const fn link_type(&self) -> LinkType {
        self.link_type
    }

    /// True when it also takes packets that are for other hosts.
    pub const fn promiscuous(&self) -> bool {
        self.promiscuous
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live")
            .field("name", &self.name)
            .field("link_type", &self.link_type)
            .finish_non_exhaustive()
    }
}

/// Counters of a live capture, as libpcap gives them: 32 bits wide, they wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Packets that passed the filter (on Linux including the dropped).
    pub received: u32,
    /// Packets that found the kernel's buffer full.
    pub dropped: u32,
    /// Packets that the interface or its driver dropped.
    pub if_dropped: u32,
}

/// A network interface of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InterfaceInfo {
    /// Its name, as [`Live::open`] takes it.
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
    let devices = Device::list().map_err(|error| CaptureError::new("interfaces", device_fault(&error)))?;
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

fn activate(interface: &str, options: &Options, promiscuous: bool) -> Result<Capture<Active>, pcap::Error> {
    let buffer = options.buffer_mib.clamp(1, MAX_BUFFER_MIB) << 20;
    let signed = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    Capture::from_device(interface)?
        .promisc(promiscuous)
        .snaplen(signed(options.snaplen.clamp(1, MAX_SNAPLEN)))
        .buffer_size(signed(buffer))
        .immediate_mode(options.immediate)
        .timeout(signed(options.timeout_ms.max(1)))
        .precision(if NANOSECONDS { Precision::Nano } else { Precision::Micro })
        .open()?
        .setnonblock()
}

/// The widths of a `timeval` differ by system; its second field holds nanoseconds when they were asked for.
fn time(seconds: impl Into<i64>, fraction: impl Into<i64>) -> Timestamp {
    let nanos = if NANOSECONDS { fraction.into() } else { fraction.into().saturating_mul(1000) };
    Timestamp::from_secs_nanos(seconds.into(), nanos)
}

/// libpcap tells faults apart in words only.
fn device_fault(error: &pcap::Error) -> Fault {
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
    fn a_missing_interface_or_right_is_named() {
        let error = Live::open("nosuchif0", &Options::default()).unwrap_err();
        assert_eq!(error.name, "nosuchif0");
        assert!(matches!(error.fault, Fault::NoSuchInterface { .. } | Fault::NoPermission { .. }), "{error}");
    }

    #[test]
    fn a_refusal_names_the_command_that_mends_it() {
        let words = "socket: Operation not permitted".to_owned();
        let fault = device_fault(&pcap::Error::PcapError(words));
        assert!(fault.to_string().contains("setcap cap_net_raw"), "{fault}");
    }

    #[test]
    fn fractions_are_nanoseconds_where_they_were_asked_for() {
        let unit = if NANOSECONDS { 1 } else { 1000 };
        assert_eq!(time(3_i64, 7_i64), Timestamp::from_secs_nanos(3, 7 * unit));
    }
}

//! One socket on one interface.

use std::time::Duration;

use pcap::{Active, Capture, Precision};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::counters::{Counters, Last};
use super::device::fault;
use super::system::{self, Drops};
use crate::capture::Packet;
use crate::capture::error::{CaptureError, Fault};
use crate::capture::link_type::LinkType;
use crate::time::Timestamp;

/// How to capture on an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "built by the command line with struct update syntax")]
pub struct Options {
    /// Also take packets that are for other hosts.
    pub promiscuous: bool,
    /// Most bytes captured of a packet, 1 to 262144.
    pub snaplen: u32,
    /// The kernel's buffer of an interface in MiB, 1 to 2047; sockets that share the interface have equal parts of it.
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
/// The kernel takes the buffer size as a signed 32-bit number of bytes.
const MAX_BUFFER_MIB: u32 = 2047;
/// libpcap always gives nanoseconds on Linux; elsewhere a request may be refused without a word.
const NANOSECONDS: bool = cfg!(target_os = "linux");
/// The longest link header that a packet has beside its MTU: Ethernet with two VLAN tags.
const LINK_HEADER: u64 = 22;

/// A live capture on one interface.
pub struct Live {
    capture: Capture<Active>,
    name: String,
    link_type: LinkType,
    promiscuous: bool,
    counters: Counters,
    last: Last,
    drops: Option<Drops>,
    /// Longer packets than this were put together from several.
    longest: Option<u64>,
}

impl Live {
    /// Opens an interface by name.
    ///
    /// # Errors
    /// Without the right to capture ([`Fault::NoPermission`] names the command that gives it), without such an
    /// interface, or with a filter that does not compile.
    pub fn open(interface: &str, options: &Options) -> Result<Self, CaptureError> {
        let mut live = Self::activate(interface, options)?;
        live.filter(options)?;
        Ok(live)
    }

    /// Opened, with all packets passing.
    pub(super) fn activate(interface: &str, options: &Options) -> Result<Self, CaptureError> {
        let fail = |error: &pcap::Error| CaptureError::new(interface, fault(error));
        let (capture, promiscuous) = match activate(interface, options, options.promiscuous) {
            Ok(capture) => (capture, options.promiscuous),
            // Some devices (`any` on Linux) only lack the promiscuous mode.
            Err(error) if options.promiscuous => {
                (activate(interface, options, false).map_err(|_| fail(&error))?, false)
            }
            Err(error) => return Err(fail(&error)),
        };
        let link_type = LinkType::from_dlt(capture.get_datalink().0);
        let drops = Drops::open(interface);
        Ok(Self {
            capture,
            name: interface.to_owned(),
            link_type,
            promiscuous,
            counters: Counters::default(),
            last: Last::at_opening(drops.as_ref().and_then(Drops::read)),
            drops,
            longest: system::mtu(interface).map(|mtu| mtu.saturating_add(LINK_HEADER)),
        })
    }

    /// Sets the filter. libpcap applies it to what lies in its buffer too, so that none that it leaves out is handed out.
    pub(super) fn filter(&mut self, options: &Options) -> Result<(), CaptureError> {
        let Some(filter) = &options.filter else { return Ok(()) };
        self.capture
            .filter(filter, true)
            .map_err(|error| CaptureError::new(&self.name, Fault::BadFilter { message: error.to_string() }))
    }

    /// Hands out packets that are there, at most `most`, without a copy; how many. Does not wait: zero where there is none
    /// ([`wait`] waits).
    ///
    /// # Errors
    /// When the interface fails, for one because it went away.
    #[inline]
    pub fn dispatch(
        &mut self,
        most: usize,
        mut take: impl FnMut(&Packet<'_>),
    ) -> Result<usize, CaptureError> {
        let link_type = self.link_type;
        let longest = self.longest.unwrap_or(u64::MAX);
        let mut oversized = 0_u64;
        let read = self.capture.dispatch(Some(most), |packet| {
            let captured = u32::try_from(packet.data.len()).unwrap_or(u32::MAX);
            let original_len = packet.header.len.max(captured);
            oversized = oversized.saturating_add(u64::from(u64::from(original_len) > longest));
            take(&Packet {
                timestamp: time(packet.header.ts.tv_sec, packet.header.ts.tv_usec),
                link_type,
                // One clock, the host's, stamps the packets of all interfaces.
                interface: 0,
                original_len,
                data: packet.data,
                block: None,
            });
        });
        let read = read.map_err(|error| CaptureError::new(&self.name, fault(&error)))?;
        self.counters.read = self.counters.read.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        self.counters.oversized = self.counters.oversized.saturating_add(oversized);
        Ok(read)
    }

    /// Counters since the opening, brought up to date; to be asked for before 2^32 packets have come. An interface that has failed
    /// has no news.
    pub fn counters(&mut self) -> Counters {
        if let Ok(stat) = self.capture.stats() {
            let system = self.drops.as_ref().and_then(Drops::read);
            self.last.add(stat, system, &mut self.counters);
        }
        self.counters
    }

    /// Forgets what was counted so far.
    pub(super) fn begin_counting(&mut self) {
        self.counters();
        self.counters = Counters::default();
    }

    /// Takes no more packets from now on; those that the kernel holds can still be read. True where the system can do that.
    pub fn stop(&mut self) -> bool {
        #[cfg(target_os = "linux")]
        {
            use std::os::fd::AsFd;
            super::sockopt::pass(self.capture.as_fd(), 0).is_ok()
        }
        #[cfg(not(target_os = "linux"))]
        false
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

    #[cfg(target_os = "linux")]
    pub(super) fn descriptor(&self) -> std::os::fd::BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.capture.as_fd()
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

/// Waits until one of the sockets has something, at most for `most`; a signal ends the wait too.
pub fn wait<'a>(sockets: impl IntoIterator<Item = &'a Live>, most: Duration) {
    let mut sockets: Vec<PollFd<'_>> =
        sockets.into_iter().map(|live| PollFd::new(&live.capture, PollFlags::IN)).collect();
    let timeout = Timespec {
        tv_sec: i64::try_from(most.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(most.subsec_nanos()),
    };
    // What failed is told by the next reading.
    let _ = poll(&mut sockets, Some(&timeout));
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
    fn fractions_are_nanoseconds_where_they_were_asked_for() {
        let unit = if NANOSECONDS { 1 } else { 1000 };
        assert_eq!(time(3_i64, 7_i64), Timestamp::from_secs_nanos(3, 7 * unit));
    }
}

//! What the first byte of a packet belongs to (the LINKTYPE registry of tcpdump.org).

use std::fmt;

/// A link type as written in capture files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback: address family in the capturing host's byte order.
    pub const NULL: Self = Self(0);
    /// Ethernet II or IEEE 802.3.
    pub const ETHERNET: Self = Self(1);
    /// PPP, perhaps with HDLC framing.
    pub const PPP: Self = Self(9);
    /// Raw IP as some BSDs number it.
    pub const RAW_BSD: Self = Self(12);
    /// Raw IP as OpenBSD numbers it.
    pub const RAW_OPENBSD: Self = Self(14);
    /// PPP in HDLC-like framing.
    pub const PPP_SERIAL: Self = Self(50);
    /// PPP over Ethernet, without the Ethernet header.
    pub const PPP_ETHER: Self = Self(51);
    /// Raw IP, version by its first nibble.
    pub const RAW: Self = Self(101);
    /// Cisco HDLC.
    pub const C_HDLC: Self = Self(104);
    /// IEEE 802.11.
    pub const IEEE802_11: Self = Self(105);
    /// OpenBSD loopback: address family in network byte order.
    pub const LOOP: Self = Self(108);
    /// Linux cooked capture.
    pub const LINUX_SLL: Self = Self(113);
    /// IEEE 802.11 behind a radiotap header.
    pub const IEEE802_11_RADIOTAP: Self = Self(127);
    /// Raw IPv4.
    pub const IPV4: Self = Self(228);
    /// Raw IPv6.
    pub const IPV6: Self = Self(229);
    /// Linux cooked capture, second form.
    pub const LINUX_SLL2: Self = Self(276);

    /// The name in the registry, where this program knows the type.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::NULL => "NULL",
            Self::ETHERNET => "ETHERNET",
            Self::PPP => "PPP",
            Self::RAW | Self::RAW_BSD | Self::RAW_OPENBSD => "RAW",
            Self::PPP_SERIAL => "PPP_HDLC",
            Self::PPP_ETHER => "PPP_ETHER",
            Self::C_HDLC => "C_HDLC",
            Self::IEEE802_11 => "IEEE802_11",
            Self::LOOP => "LOOP",
            Self::LINUX_SLL => "LINUX_SLL",
            Self::IEEE802_11_RADIOTAP => "IEEE802_11_RADIOTAP",
            Self::IPV4 => "IPV4",
            Self::IPV6 => "IPV6",
            Self::LINUX_SLL2 => "LINUX_SLL2",
            _ => return None,
        })
    }

    /// From the 32-bit field of a classic header, whose upper bits tell the length of the check sequence.
    /// A type that does not fit becomes 65535, which nobody uses.
    pub(super) fn from_header(field: u32) -> Self {
        Self(u16::try_from(field & 0x03ff_ffff).unwrap_or(u16::MAX))
    }

    /// From libpcap's own numbering (DLT), which differs from files for raw IP.
    pub(super) fn from_dlt(dlt: i32) -> Self {
        match u16::try_from(dlt) {
            Ok(12 | 14) => Self::RAW,
            Ok(11) => Self(100),
            Ok(19) => Self(106),
            Ok(other) => Self(other),
            Err(_) => Self(u16::MAX),
        }
    }

    /// The number that libpcap's compiler knows it by.
    pub(super) fn dlt(self) -> i32 {
        match self {
            Self::RAW | Self::RAW_OPENBSD => 12,
            Self(100) => 11,
            Self(106) => 19,
            Self(other) => i32::from(other),
        }
    }
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "link type {}", self.0),
        }
    }
}

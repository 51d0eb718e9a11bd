//! What the decoder hands on.

use std::fmt;
use std::net::SocketAddr;

use super::counters::Reason;
use super::path::Path;

/// What one packet turned out to be.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome<'a> {
    /// A packet for the flow table.
    Packet(Decoded<'a>),
    /// A fragment, kept until the rest of its datagram comes.
    Fragment,
    /// A second copy of a packet that was passed on already.
    Duplicate(Duplicate),
    /// It belongs to the decoder of this number, which has yet to be given it; nothing was counted here.
    Elsewhere(u32),
    /// ARP, LLDP, 802.11 management and the like: looked at, nothing to see.
    NotIp,
    /// It could not be read.
    Undecodable(Reason),
}

/// In what a second copy differs from the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Duplicate {
    /// In nothing.
    Identical,
    /// In the hop count: a router stands between the two mirror points.
    Routed,
    /// In the VLAN or the tunnel.
    OtherPath,
    /// It is a fragment of a datagram that is complete.
    Fragment,
}

/// The innermost packet of a frame.
#[derive(Clone, PartialEq, Eq)]
pub struct Decoded<'a> {
    /// Innermost source; port 0 where the transport has no ports.
    pub source: SocketAddr,
    /// Innermost destination; port 0 where the transport has no ports.
    pub destination: SocketAddr,
    /// The transport header and its payload.
    pub transport: Transport<'a>,
    /// The tags and tunnels around it.
    pub path: &'a Path,
    /// Bytes of the frame on the wire; for a datagram that came in fragments, of all their frames.
    pub wire_len: u32,
    /// The payload is shorter than its headers declare: cut by the snap length, or (a host would drop the
    /// packet) the IP header claims more than the frame held.
    pub truncated: bool,
    /// Innermost time to live or hop limit.
    pub ttl: u8,
}

/// The innermost transport layer.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport<'a> {
    /// RFC 768.
    Udp {
        /// What was captured of the payload, without Ethernet trailers.
        payload: &'a [u8],
        /// Payload length in bytes by the UDP header, by the IP header where the former is 0 or says more.
        declared_len: usize,
    },
    /// RFC 9293.
    Tcp {
        /// Sequence number of the first payload byte (of the SYN where that is set).
        sequence: u32,
        /// Acknowledgment number; without meaning when the ACK flag is clear.
        acknowledgment: u32,
        /// The eight flags.
        flags: TcpFlags,
        /// Window as it stands in the header, not scaled.
        window: u16,
        /// What was captured of the payload.
        payload: &'a [u8],
        /// Payload length in bytes by the IP header.
        declared_len: usize,
    },
    /// Any other protocol, and tunnels that could not be opened.
    Other {
        /// IANA protocol number.
        protocol: u8,
        /// What was captured of the IP payload.
        payload: &'a [u8],
    },
}

impl<'a> Transport<'a> {
    /// IANA protocol number.
    pub const fn protocol(&self) -> u8 {
        match *self {
            Self::Udp { .. } => super::ip::UDP,
            Self::Tcp { .. } => super::ip::TCP,
            Self::Other { protocol, .. } => protocol,
        }
    }

    /// Payload bytes by the headers; of other protocols, what was captured.
    pub fn declared_len(&self) -> u32 {
        let length = match *self {
            Self::Udp { declared_len, .. } | Self::Tcp { declared_len, .. } => declared_len,
            Self::Other { payload, .. } => payload.len(),
        };
        u32::try_from(length).unwrap_or(u32::MAX)
    }

    /// What was captured of the payload.
    pub const fn payload(&self) -> &'a [u8] {
        match *self {
            Self::Udp { payload, .. } | Self::Tcp { payload, .. } | Self::Other { payload, .. } => payload,
        }
    }
}

/// Payloads are private: only their length is shown.
impl fmt::Debug for Transport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.payload().len();
        match *self {
            Self::Udp { declared_len, .. } => write!(f, "Udp({length} of {declared_len} bytes)"),
            Self::Tcp { sequence, acknowledgment, flags, window, declared_len, .. } => write!(
                f,
                "Tcp(seq {sequence}, ack {acknowledgment}, {flags}, window {window}, {length} of {declared_len} bytes)"
            ),
            Self::Other { protocol, .. } => write!(f, "Other({protocol}, {length} bytes)"),
        }
    }
}

impl fmt::Debug for Decoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} > {} {:?}", self.source, self.destination, self.transport)?;
        if !self.path.is_empty() {
            write!(f, " in {}", self.path)?;
        }
        Ok(())
    }
}

/// The flags of a TCP header, in the bit order of RFC 9293 §3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Sequence numbers are set.
    pub const SYN: Self = Self(0x02);
    /// The connection is gone.
    pub const RST: Self = Self(0x04);
    /// Data is to be pushed.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgment number counts.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer counts.
    pub const URG: Self = Self(0x20);
    /// Congestion was seen (RFC 3168).
    pub const ECE: Self = Self(0x40);
    /// The congestion window was reduced (RFC 3168).
    pub const CWR: Self = Self(0x80);

    /// True when all flags of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for TcpFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(TcpFlags, &str); 8] = [
            (TcpFlags::SYN, "SYN"),
            (TcpFlags::FIN, "FIN"),
            (TcpFlags::RST, "RST"),
            (TcpFlags::PSH, "PSH"),
            (TcpFlags::ACK, "ACK"),
            (TcpFlags::URG, "URG"),
            (TcpFlags::ECE, "ECE"),
            (TcpFlags::CWR, "CWR"),
        ];
        let mut separator = "";
        for (flag, name) in NAMES {
            if self.contains(flag) {
                write!(f, "{separator}{name}")?;
                separator = "|";
            }
        }
        Ok(())
    }
}

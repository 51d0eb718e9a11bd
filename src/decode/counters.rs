//! What became of every packet, by name.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// Why a packet could not be decoded.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Reason { $($(#[$doc])* $variant,)* }

        impl Reason {
            /// Every reason, in the order of the layers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable name for reports.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

reasons! {
    /// A link type that this decoder does not know.
    UnknownLinkType => "unknown_link_type",
    /// The link header is not whole.
    LinkTruncated => "link_truncated",
    /// The link header holds a value that it may not hold.
    LinkMalformed => "link_malformed",
    /// 802.11 data that is encrypted.
    WifiProtected => "wifi_protected",
    /// A fragment of an 802.11 frame; these are not put together.
    WifiFragment => "wifi_fragment",
    /// A frame encrypted by 802.1AE (`MACsec`).
    Macsec => "macsec",
    /// What follows an MPLS stack is neither IP nor Ethernet.
    MplsPayload => "mpls_payload",
    /// Neither version 4 nor 6 where an IP header should be.
    IpVersion => "ip_version",
    /// The IPv4 header is not whole.
    Ipv4Truncated => "ipv4_truncated",
    /// The IPv4 header length is below 20, or the total length below the header length.
    Ipv4Length => "ipv4_length",
    /// The IPv6 header is not whole.
    Ipv6Truncated => "ipv6_truncated",
    /// An IPv6 extension or authentication header is not whole, or malformed.
    Extension => "ip_extension",
    /// More extension headers in a row than are walked.
    ExtensionChain => "ip_extension_chain",
    /// A fragment of which the capture holds only a part.
    FragmentTruncated => "fragment_truncated",
    /// A fragment that no host would accept: empty, not a multiple of 8, beyond 64 KiB.
    FragmentInvalid => "fragment_invalid",
    /// The UDP header is not whole.
    UdpTruncated => "udp_truncated",
    /// The UDP length is between 1 and 7.
    UdpLength => "udp_length",
    /// The fixed part of the TCP header is not whole.
    TcpTruncated => "tcp_truncated",
    /// The TCP header length is below 20 or beyond the IP packet.
    TcpLength => "tcp_length",
    /// More layers than [`MAX_LAYERS`](super::MAX_LAYERS).
    TooDeep => "too_deep",
}

impl Reason {
    #[expect(clippy::as_conversions, reason = "the discriminant of a fieldless enum is its place in ALL")]
    const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Number of reasons; the table below has one place for each.
const REASONS: usize = Reason::ALL.len();

macro_rules! counters {
    ($($(#[$doc:meta])* $field:ident,)*) => {
        /// Counts since the decoder was made. `packets` = `decoded` + `fragments_held` + `duplicates` +
        /// `not_ip` + the sum of all reasons.
        #[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
        #[non_exhaustive]
        pub struct Counters {
            $($(#[$doc])* pub $field: u64,)*
            undecodable: [u64; REASONS],
        }

        impl Counters {
            /// Every count with its stable name, reasons last, always in this order.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
                let plain = [$((stringify!($field), self.$field),)*];
                plain.into_iter().chain(Reason::ALL.iter().map(|reason| (reason.name(), self.undecodable(*reason))))
            }

            /// Adds what another decoder met.
            pub fn add(&mut self, other: &Self) {
                $(self.$field = self.$field.saturating_add(other.$field);)*
                for (count, more) in self.undecodable.iter_mut().zip(other.undecodable) {
                    *count = count.saturating_add(more);
                }
            }
        }
    };
}

counters! {
    /// Packets given to the decoder.
    packets,
    /// Packets passed on.
    decoded,
    /// Packets with no IP inside (ARP, LLDP, 802.11 management): looked at, nothing to see.
    not_ip,
    /// Packets of which the capture holds only a part of the payload.
    truncated,
    /// Packets kept back, waiting for the rest of a datagram.
    fragments_held,
    /// Datagrams put together from fragments.
    datagrams_reassembled,
    /// Datagrams given up because the rest did not come in time.
    datagrams_timed_out,
    /// Datagrams given up because the memory set aside for fragments was full.
    datagrams_evicted,
    /// Datagrams given up, by time or by memory, whose first fragment (the one with the ports) was there.
    first_fragments_lost,
    /// Datagrams that still wait for a fragment.
    datagrams_pending,
    /// Fragments with bytes that were there already; the first came first.
    fragments_overlapping,
    /// Fragments seen twice.
    fragments_repeated,
    /// Fragments that name another end of their datagram than an earlier one did.
    fragments_conflicting,
    /// Packets dropped as second copies: the sum of the next four.
    duplicates,
    /// Second copies equal in all.
    duplicates_identical,
    /// Second copies that passed a router (the hop count differs).
    duplicates_routed,
    /// Second copies in another VLAN or tunnel.
    duplicates_other_path,
    /// Fragments of a datagram that was already put together.
    duplicates_fragment,
    /// Packets that may be second copies, passed on for want of proof.
    duplicates_suspected,
}

impl Counters {
    /// How many packets were undecodable for this reason.
    pub fn undecodable(&self, reason: Reason) -> u64 {
        self.undecodable.get(reason.index()).copied().unwrap_or_default()
    }

    /// How many packets were undecodable.
    pub fn undecodable_total(&self) -> u64 {
        self.undecodable.iter().sum()
    }

    #[inline(never)]
    pub(super) fn count_undecodable(&mut self, reason: Reason) {
        if let Some(count) = self.undecodable.get_mut(reason.index()) {
            bump(count);
        }
    }
}

/// One more; 2^64 packets do not happen.
#[inline]
pub(super) const fn bump(count: &mut u64) {
    *count = count.wrapping_add(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_snake_case() {
        let names: Vec<_> = Counters::default().iter().map(|(name, _)| name).collect();
        let mut unique = names.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), names.len());
        assert!(
            names
                .iter()
                .all(|n| n.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'))
        );
        assert!(Reason::ALL.iter().enumerate().all(|(place, reason)| reason.index() == place));
    }
}

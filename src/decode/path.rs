//! The stack of tags and tunnels that a packet was wrapped in, outermost first.

use std::fmt;
use std::net::IpAddr;

/// How many layers are kept; a packet that is wrapped deeper is undecodable.
pub const MAX_LAYERS: usize = 8;

/// One tag or tunnel around a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Layer {
    /// 802.1Q or 802.1ad tag: the VLAN identifier (12 bits).
    Vlan(u16),
    /// MPLS (RFC 3032): the label (20 bits).
    Mpls(u32),
    /// PPP over Ethernet (RFC 2516): the session identifier.
    Pppoe(u16),
    /// Generic routing encapsulation (RFC 2784, 2890), also NVGRE and PPTP (RFC 2637).
    Gre,
    /// Cisco's remote mirror over GRE.
    Erspan {
        /// Type I, II or III as 1, 2 or 3.
        version: u8,
        /// Mirror session (10 bits); 0 for type I, which has none.
        session: u16,
    },
    /// VXLAN (RFC 7348): the network identifier (24 bits).
    Vxlan(u32),
    /// Geneve (RFC 8926): the network identifier (24 bits).
    Geneve(u32),
    /// GTP-U (3GPP TS 29.281): the tunnel endpoint identifier.
    GtpU(u32),
    /// IPv4 in IP, or IPv6 in IPv6 (RFC 2003, 2473).
    IpInIp,
    /// IPv6 in IPv4 (RFC 4213).
    SixInFour,
    /// IPv6 over UDP through NATs (RFC 4380).
    Teredo,
    /// `TaZmen` sniffer protocol, a mirror over UDP.
    Tzsp,
    /// Ethernet in IP (RFC 3378).
    EtherIp,
}

impl Layer {
    /// Two numbers that tell layers apart.
    #[inline]
    pub(super) fn code(self) -> (u64, u64) {
        match self {
            Self::Vlan(id) => (1, id.into()),
            Self::Mpls(label) => (2, label.into()),
            Self::Pppoe(session) => (3, session.into()),
            Self::Gre => (4, 0),
            Self::Erspan { version, session } => (5 | u64::from(version) << 8, session.into()),
            Self::Vxlan(vni) => (6, vni.into()),
            Self::Geneve(vni) => (7, vni.into()),
            Self::GtpU(teid) => (8, teid.into()),
            Self::IpInIp => (9, 0),
            Self::SixInFour => (10, 0),
            Self::Teredo => (11, 0),
            Self::Tzsp => (12, 0),
            Self::EtherIp => (13, 0),
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Vlan(id) => write!(f, "vlan {id}"),
            Self::Mpls(label) => write!(f, "mpls {label}"),
            Self::Pppoe(session) => write!(f, "pppoe {session:#x}"),
            Self::Gre => f.write_str("gre"),
            Self::Erspan { version, session } => write!(f, "erspan{version} {session}"),
            Self::Vxlan(vni) => write!(f, "vxlan {vni}"),
            Self::Geneve(vni) => write!(f, "geneve {vni}"),
            Self::GtpU(teid) => write!(f, "gtp-u {teid:#x}"),
            Self::IpInIp => f.write_str("ipip"),
            Self::SixInFour => f.write_str("6in4"),
            Self::Teredo => f.write_str("teredo"),
            Self::Tzsp => f.write_str("tzsp"),
            Self::EtherIp => f.write_str("etherip"),
        }
    }
}

/// Unused places hold this, so that equal paths are equal bytes.
const UNUSED: Layer = Layer::Gre;

/// Up to [`MAX_LAYERS`] layers, and the outer addresses of the first tunnel that has any.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Path {
    layers: [Layer; MAX_LAYERS],
    /// `length <= MAX_LAYERS`.
    length: u8,
    /// Source, destination, and the index of the layer that they carried.
    outer: Option<(IpAddr, IpAddr, u8)>,
}

impl Path {
    /// No tag and no tunnel.
    pub const EMPTY: Self = Self { layers: [UNUSED; MAX_LAYERS], length: 0, outer: None };

    /// Back to [`Path::EMPTY`], which most are already.
    pub(super) const fn clear(&mut self) {
        // There are no outer addresses without a layer.
        if self.length > 0 {
            *self = Self::EMPTY;
        }
    }

    /// The layers, outermost first.
    pub fn layers(&self) -> &[Layer] {
        self.layers.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// True for a packet that was not wrapped.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Source and destination of the outermost IP packet that carried a tunnel.
    pub const fn outer(&self) -> Option<(IpAddr, IpAddr)> {
        match self.outer {
            Some((source, destination, _)) => Some((source, destination)),
            None => None,
        }
    }

    /// Adds the next inner layer; false when there is no room.
    #[must_use]
    pub(super) fn push(&mut self, layer: Layer) -> bool {
        let Some(place) = self.layers.get_mut(usize::from(self.length)) else {
            return false;
        };
        *place = layer;
        self.length = self.length.saturating_add(1);
        true
    }

    /// Adds a layer that an IP packet carried.
    #[must_use]
    pub(super) fn push_over_ip(&mut self, layer: Layer, source: IpAddr, destination: IpAddr) -> bool {
        let index = self.length;
        if !self.push(layer) {
            return false;
        }
        if self.outer.is_none() {
            self.outer = Some((source, destination, index));
        }
        true
    }
}

impl Default for Path {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl fmt::Display for Path {
    /// Nothing for an empty path, else as `vlan 100 / gtp-u 0x1234 (10.0.0.1 > 10.0.0.2)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, layer) in self.layers().iter().enumerate() {
            if index > 0 {
                f.write_str(" / ")?;
            }
            layer.fmt(f)?;
            if let Some((source, destination, at)) = self.outer
                && usize::from(at) == index
            {
                write!(f, " ({source} > {destination})")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Path({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_shown_with_the_addresses_beside_their_tunnel() {
        let mut path = Path::EMPTY;
        assert_eq!(path.to_string(), "");
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        assert!(path.push(Layer::Vlan(100)));
        assert!(path.push_over_ip(Layer::GtpU(0x1234), a, b));
        assert!(path.push_over_ip(Layer::IpInIp, b, a));
        assert_eq!(path.to_string(), "vlan 100 / gtp-u 0x1234 (10.0.0.1 > 10.0.0.2) / ipip");
        assert_eq!(path.outer(), Some((a, b)));
    }

    #[test]
    fn ninth_layer_is_refused() {
        let mut path = Path::EMPTY;
        for label in 0..8 {
            assert!(path.push(Layer::Mpls(label)));
        }
        assert!(!path.push(Layer::Gre));
        assert_eq!(path.layers().len(), MAX_LAYERS);
    }
}

//! What an observer learns from a handshake besides its bytes: plain data, filled by
//! [`super::Connection`].

use super::version::Version;

/// What a datagram added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// [`super::Connection::client_crypto`] grew.
    pub client_grew: bool,
    /// [`super::Connection::server_crypto`] grew.
    pub server_grew: bool,
    /// [`super::Connection::google_hello`] has something new.
    pub google_hello: bool,
}

/// A Retry packet that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Whether its integrity tag fits the client's first Destination Connection ID; `None` when the
    /// version has no tag or that ID was not seen.
    pub genuine: Option<bool>,
}

/// A `CONNECTION_CLOSE` in a verified Initial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close {
    /// True when the client sent it.
    pub by_client: bool,
    /// Error code; `0x100` plus a TLS alert for handshake failures (RFC 9000 §20.1).
    pub error_code: u64,
}

/// Counts and oddities of one flow's handshake.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// Versions offered in Version Negotiation packets, in order, each once.
    pub offered: Vec<Version>,
    /// The first Retry.
    pub retry: Option<Retry>,
    /// The first `CONNECTION_CLOSE`.
    pub close: Option<Close>,
    /// Initial packets whose tag was checked and fits.
    pub initials_verified: u32,
    /// Initial packets that no key at hand opens.
    pub initials_failed: u32,
    /// Packets that followed another in their datagram.
    pub coalesced: u32,
    /// 0-RTT packets.
    pub zero_rtt: u32,
    /// Handshake packets.
    pub handshake: u32,
    /// Datagrams, or ends of datagrams, with a short header.
    pub short: u32,
    /// Long headers of which only the invariants could be read.
    pub opaque: u32,
    /// Packets after the first of a datagram, and frames, that could not be read.
    pub malformed: u32,
    /// Handshake bytes left out because of a cap.
    pub crypto_dropped: u64,
    /// The side taken for the originator holds the server's keys.
    pub roles_swapped: bool,
}

/// What a Google `CHLO` said; each at most 255 bytes, as on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GoogleHello {
    /// Server name.
    pub server_name: Option<Box<[u8]>>,
    /// User agent, with operating system and device.
    pub user_agent: Option<Box<[u8]>>,
    /// Application protocol.
    pub alpn: Option<Box<[u8]>>,
}

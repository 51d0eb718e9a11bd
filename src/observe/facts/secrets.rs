//! What was opened with a key log, and the values in it that could be keys.

use zeroize::Zeroizing;

use crate::flow::Direction;
use crate::observe::PacketRef;

/// What secrets opened of one flow: TLS over TCP, QUIC, or a DTLS handshake.
#[derive(Debug, Clone, Default)]
pub struct Opened {
    /// Records (TLS) or packets (QUIC) whose tag verified.
    pub records: u64,
    /// Bytes of application data in them.
    pub bytes: u64,
    /// Records that should have opened and did not.
    pub failed: u64,
    /// Bytes that were not tried: beyond the cap on what is opened of a flow, early data, or without their secret.
    pub passed_over: u64,
    /// SHA-256 of the application data by direction (originator's, responder's), as far as it was opened; of QUIC, SHA-256
    /// over each stream's id (64 bits, big-endian) and its SHA-256, by rising id.
    pub sha256: [Option<[u8; 32]>; 2],
    /// Why nothing, or no more, was opened; `None` when all was.
    pub missing: Option<Missing>,
    /// Values that could be media keys, each once, in the order in which they appeared.
    pub candidates: Vec<Candidate>,
    /// Values that did not fit the list.
    pub candidates_left_out: u32,
    /// SRTP master keys that a DTLS handshake exported (RFC 5764 section 4.2), with the packet of the ClientHello.
    pub srtp: Option<SrtpMaster>,
}

/// What stands in the way of opening a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Missing {
    /// The key log has no line for this ClientHello's random.
    NoSecret,
    /// The key log knows the handshake and lacks a line that is needed, such as `SERVER_TRAFFIC_SECRET_0`.
    PartOfSecret,
    /// The capture lacks the ClientHello or the ServerHello.
    NoHandshake,
    /// The cipher suite is none that can be opened; wire value.
    CipherSuite(u16),
    /// The capture lacks a piece of the stream; what follows it cannot be opened.
    Gap,
    /// No record verified: the secret is of another connection.
    WrongSecret,
    /// The handshake was repeated within the connection (TLS 1.2); what follows has keys that no key log tells apart.
    Renegotiation,
    /// Which SRTP profile the DTLS server chose is encrypted (DTLS 1.3), and the client offered several.
    SrtpProfile,
    /// More was opened of the flow than the cap allows; the rest was passed over.
    Cap,
}

/// Where a value stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Form {
    /// Hexadecimal digits.
    Hex,
    /// Base64, RFC 4648 section 4.
    Base64,
    /// Base64url, RFC 4648 section 5.
    Base64Url,
    /// A list of decimal numbers.
    Numbers,
    /// The bytes themselves, in a length-delimited field.
    Raw,
}

/// A value of 16 or 32 bytes, or of another length that a nonce may have, that stood in opened signalling.
#[derive(Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The value; wiped when dropped, and never shown.
    pub value: Zeroizing<Vec<u8>>,
    /// How it was written.
    pub form: Form,
    /// Where it stood, as `JSON field encryptKey` or `protobuf field 3`; hostile bytes escaped.
    pub place: String,
    /// The packet that completed the record.
    pub packet: PacketRef,
    /// Which way it went within its flow.
    pub direction: Direction,
}

/// Values stay secret: only the length is shown.
impl std::fmt::Debug for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Candidate")
            .field("bytes", &self.value.len())
            .field("form", &self.form)
            .field("place", &self.place)
            .field("packet", &self.packet)
            .finish_non_exhaustive()
    }
}

/// Keys of SRTP, both ways. RFC 5764 section 4.2.
#[derive(Clone, PartialEq, Eq)]
pub struct SrtpMaster {
    /// `use_srtp` profile; wire value.
    pub profile: u16,
    /// Master key and master salt of what the DTLS client sends.
    pub client: (Zeroizing<Vec<u8>>, Zeroizing<Vec<u8>>),
    /// Master key and master salt of what the DTLS server sends.
    pub server: (Zeroizing<Vec<u8>>, Zeroizing<Vec<u8>>),
    /// Packet of the ClientHello.
    pub packet: PacketRef,
}

impl std::fmt::Debug for SrtpMaster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SrtpMaster").field("profile", &self.profile).finish_non_exhaustive()
    }
}

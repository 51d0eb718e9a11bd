//! STUN, TURN and ICE messages, and the frames that carry them.
//!
//! In: a UDP payload, or bytes of a TCP stream. Out: a borrowed [`Message`], a [`ChannelData`], or an
//! unwrapped frame. Follows RFC 8489 (STUN), RFC 3489 (its predecessor without the cookie), RFC 8656
//! (TURN), RFC 8445 (ICE) and RFC 4571 (framing on TCP), and reads the dialects of Microsoft (MS-TURN,
//! MS-ICE2), `WhatsApp`, Zoom and Google as far as the bytes go.
//!
//! Not done: MESSAGE-INTEGRITY is not checked (an observer has no password), and nothing is refused for
//! an attribute that is missing, unknown or in the wrong order.

mod attribute;
mod channel_data;
pub mod ms_mux;
mod names;
pub mod tcp;

use std::net::SocketAddr;

pub use attribute::{Attributes, ErrorCode, Padding, RawAttribute};
pub use channel_data::ChannelData;
pub use names::{Attribute, Class, MessageType, Method};

use crate::bytes::{ParseError, Probe, Reader};

/// Value of the four bytes at offset 4 since RFC 5389.
pub const MAGIC_COOKIE: u32 = 0x2112_a442;

/// Length of the fixed header, in bytes.
pub const HEADER_LENGTH: usize = 20;

/// Whether `datagram` begins with a STUN message; bytes behind the message are allowed.
#[inline]
pub fn probe(datagram: &[u8]) -> Probe {
    let Some(([t0, t1, l0, l1, c0, c1, c2, c3], _)) = datagram.split_first_chunk::<8>() else {
        return Probe::No;
    };
    let room = datagram.len().checked_sub(HEADER_LENGTH);
    let length = usize::from(u16::from_be_bytes([*l0, *l1]));
    if t0 & 0xc0 != 0 || room.is_none_or(|room| length > room) {
        return Probe::No;
    }
    if u32::from_be_bytes([*c0, *c1, *c2, *c3]) == MAGIC_COOKIE {
        return Probe::Yes;
    }
    // No magic value: only a message that fills the datagram and whose type RFC 3489, MS-TURN or Zoom use.
    let known = matches!(
        u16::from_be_bytes([*t0, *t1]),
        0x0001..=0x0009 | 0x0101..=0x0104 | 0x0108 | 0x0109 | 0x0111..=0x0115 | 0x0118 | 0x0119
    );
    if known && length % 4 == 0 && room == Some(length) { Probe::Maybe } else { Probe::No }
}

/// One message, borrowed from the datagram or stream that held it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// Class and method as sent.
    pub message_type: MessageType,
    /// Whether bytes 4 to 8 hold [`MAGIC_COOKIE`]; false means RFC 3489 or a dialect of it.
    pub has_cookie: bool,
    /// How its attributes are aligned, found by which walk ends at the end of the message.
    pub padding: Padding,
    bytes: &'a [u8],
    key: [u8; 16],
    attributes: &'a [u8],
    kinds: Kinds,
}

impl std::fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("message_type", &self.message_type)
            .field("has_cookie", &self.has_cookie)
            .field("length", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

impl<'a> Message<'a> {
    /// Reads the message at the start of `input`; what follows it is left alone (see [`Message::bytes`]).
    ///
    /// # Errors
    /// When the header or the announced length does not fit, or the two top bits are set.
    pub fn parse(input: &'a [u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(input);
        let message_type = reader.u16("STUN message type")?;
        if message_type & 0xc000 != 0 {
            return Err(ParseError::Invalid {
                field: "STUN message type",
                offset: 0,
                value: u64::from(message_type),
            });
        }
        let length = usize::from(reader.u16("STUN message length")?);
        let key: [u8; 16] = reader.array("STUN transaction id")?;
        let attributes = reader.take(length, "STUN attributes")?;
        let bytes = input.get(..reader.position()).unwrap_or(input);
        let (padding, kinds) = padding_of(attributes);
        Ok(Self {
            message_type: MessageType(message_type),
            has_cookie: key.starts_with(&MAGIC_COOKIE.to_be_bytes()),
            padding,
            bytes,
            key,
            attributes,
            kinds,
        })
    }

    /// Header and attributes, without what may follow in the datagram.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The class bits of the type.
    pub const fn class(&self) -> Class {
        self.message_type.class()
    }

    /// The method bits of the type.
    pub const fn method(&self) -> Method {
        self.message_type.method()
    }

    /// What pairs an answer with its request: 12 bytes with the cookie, 16 without (RFC 3489 §11.1).
    pub fn transaction_id(&self) -> &'a [u8] {
        let begin = if self.has_cookie { 8 } else { 4 };
        self.bytes.get(begin..HEADER_LENGTH).unwrap_or_default()
    }

    /// Bytes 4 to 20 of the message, with which XOR addresses are hidden.
    pub const fn xor_key(&self) -> [u8; 16] {
        self.key
    }

    /// All attributes in order, known or not.
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.attributes, HEADER_LENGTH, self.padding)
    }

    /// True when the attributes fill the announced length; false is an oddity worth recording.
    pub fn is_whole(&self) -> bool {
        let mut walk = self.attributes();
        while walk.next().is_some() {}
        walk.is_whole()
    }

    /// The first attribute of a kind.
    pub fn find(&self, kind: Attribute) -> Option<RawAttribute<'a>> {
        if !self.kinds.may_have(kind) {
            return None;
        }
        self.attributes().find(|attribute| attribute.kind == kind)
    }

    /// Whether an attribute of a kind is there.
    pub fn has(&self, kind: Attribute) -> bool {
        self.find(kind).is_some()
    }

    /// True when the first attribute is the magic cookie of MS-TURN; 0x0011 and 0x0012 then hold plain
    /// addresses and MAPPED-ADDRESS of an Allocate answer is the relayed one.
    pub fn is_ms_turn(&self) -> bool {
        self.attributes().next().is_some_and(|first| first.kind == Attribute::MS_MAGIC_COOKIE)
    }
}

/// Typed accessors. `None` means absent or malformed; [`Message::find`] and [`RawAttribute`] tell which.
impl<'a> Message<'a> {
    /// A plain address attribute.
    pub fn address(&self, kind: Attribute) -> Option<SocketAddr> {
        self.find(kind)?.address().ok()
    }

    /// An address attribute hidden with [`Message::xor_key`].
    pub fn xor_address(&self, kind: Attribute) -> Option<SocketAddr> {
        self.find(kind)?.xor_address(&self.key).ok()
    }

    /// MAPPED-ADDRESS as sent (RFC 8489 §14.1).
    pub fn mapped_address(&self) -> Option<SocketAddr> {
        self.address(Attribute::MAPPED_ADDRESS)
    }

    /// XOR-MAPPED-ADDRESS, 0x0020 or Microsoft's 0x8020 (RFC 8489 §14.2).
    pub fn xor_mapped_address(&self) -> Option<SocketAddr> {
        self.xor_address(Attribute::XOR_MAPPED_ADDRESS)
            .or_else(|| self.xor_address(Attribute::MS_XOR_MAPPED_ADDRESS))
    }

    /// The client as the server saw it: the hidden address first, else the plain one, which in an MS-TURN
    /// answer is the relay's and therefore left out.
    pub fn reflexive_address(&self) -> Option<SocketAddr> {
        self.xor_mapped_address()
            .or_else(|| if self.is_ms_turn() { None } else { self.mapped_address() })
            .or_else(|| self.address(Attribute::ZOOM_0103))
    }

    /// XOR-RELAYED-ADDRESS (RFC 8656 §18.5).
    pub fn xor_relayed_address(&self) -> Option<SocketAddr> {
        self.xor_address(Attribute::XOR_RELAYED_ADDRESS)
    }

    /// XOR-PEER-ADDRESS (RFC 8656 §18.3), the first if there are more; nothing in an MS-TURN message, whose
    /// 0x0012 is plain.
    pub fn xor_peer_address(&self) -> Option<SocketAddr> {
        if self.is_ms_turn() { None } else { self.xor_address(Attribute::XOR_PEER_ADDRESS) }
    }

    /// Every XOR-PEER-ADDRESS: a `CreatePermission` may name several peers (RFC 8656 §10.1).
    pub fn xor_peer_addresses(&self) -> impl Iterator<Item = SocketAddr> + use<'a> {
        const KIND: Attribute = Attribute::XOR_PEER_ADDRESS;
        let key = self.key;
        let all = (self.kinds.may_have(KIND) && !self.is_ms_turn()).then(|| self.attributes());
        all.into_iter()
            .flatten()
            .filter(|attribute| attribute.kind == KIND)
            .filter_map(move |attribute| attribute.xor_address(&key).ok())
    }

    /// REMOTE-ADDRESS of MS-TURN, number 0x0012 but not hidden; nothing in any other dialect.
    pub fn ms_remote_address(&self) -> Option<SocketAddr> {
        if self.is_ms_turn() { self.address(Attribute::XOR_PEER_ADDRESS) } else { None }
    }

    /// DESTINATION-ADDRESS of MS-TURN.
    pub fn ms_destination_address(&self) -> Option<SocketAddr> {
        self.address(Attribute::MS_DESTINATION_ADDRESS)
    }

    /// OTHER-ADDRESS (RFC 5780 §7.4).
    pub fn other_address(&self) -> Option<SocketAddr> {
        self.address(Attribute::OTHER_ADDRESS)
    }

    /// RESPONSE-ORIGIN (RFC 5780 §7.3).
    pub fn response_origin(&self) -> Option<SocketAddr> {
        self.address(Attribute::RESPONSE_ORIGIN)
    }

    /// ALTERNATE-SERVER (RFC 8489 §14.15), or Microsoft's 0x000e.
    pub fn alternate_server(&self) -> Option<SocketAddr> {
        self.address(Attribute::ALTERNATE_SERVER).or_else(|| self.address(Attribute::MS_ALTERNATE_SERVER))
    }

    /// USERNAME as sent; bytes, because MS-TURN puts a binary token there.
    pub fn username(&self) -> Option<&'a [u8]> {
        self.find(Attribute::USERNAME).map(|attribute| attribute.value)
    }

    /// USERNAME of an ICE check, split: the receiver's fragment, then the sender's (RFC 8445 §7.2.2).
    pub fn ufrags(&self) -> Option<(&'a str, &'a str)> {
        self.find(Attribute::USERNAME)?.text()?.split_once(':')
    }

    /// REALM, cut at the first NUL (RFC 8489 §14.9); bytes, because not all senders write UTF-8.
    pub fn realm(&self) -> Option<&'a [u8]> {
        self.find(Attribute::REALM).map(|attribute| attribute.name())
    }

    /// NONCE (RFC 8489 §14.10), as sent.
    pub fn nonce(&self) -> Option<&'a [u8]> {
        self.find(Attribute::NONCE).map(|attribute| attribute.value)
    }

    /// SOFTWARE, likewise (RFC 8489 §14.14).
    pub fn software(&self) -> Option<&'a [u8]> {
        self.find(Attribute::SOFTWARE).map(|attribute| attribute.name())
    }

    /// CHANNEL-NUMBER (RFC 8656 §18.1).
    pub fn channel_number(&self) -> Option<u16> {
        let bits = self.find(Attribute::CHANNEL_NUMBER)?.u32("CHANNEL-NUMBER").ok()?;
        u16::try_from(bits >> 16).ok()
    }

    /// LIFETIME in seconds (RFC 8656 §18.2).
    pub fn lifetime_s(&self) -> Option<u32> {
        self.find(Attribute::LIFETIME)?.u32("LIFETIME").ok()
    }

    /// REQUESTED-TRANSPORT as an IP protocol number: 17 UDP, 6 TCP (RFC 8656 §18.7).
    pub fn requested_transport(&self) -> Option<u8> {
        let bits = self.find(Attribute::REQUESTED_TRANSPORT)?.u32("REQUESTED-TRANSPORT").ok()?;
        Some(bits.to_be_bytes()[0])
    }

    /// PRIORITY of the candidate (RFC 8445 §5.1.2).
    pub fn priority(&self) -> Option<u32> {
        self.find(Attribute::PRIORITY)?.u32("PRIORITY").ok()
    }

    /// Whether the sender nominates this pair (RFC 8445 §7.2.2).
    pub fn use_candidate(&self) -> bool {
        self.has(Attribute::USE_CANDIDATE)
    }

    /// Tie-breaker of ICE-CONTROLLING (RFC 8445 §16.1).
    pub fn ice_controlling(&self) -> Option<u64> {
        self.find(Attribute::ICE_CONTROLLING)?.u64("ICE-CONTROLLING").ok()
    }

    /// Tie-breaker of ICE-CONTROLLED (RFC 8445 §16.1).
    pub fn ice_controlled(&self) -> Option<u64> {
        self.find(Attribute::ICE_CONTROLLED)?.u64("ICE-CONTROLLED").ok()
    }

    /// ERROR-CODE (RFC 8489 §14.8).
    pub fn error_code(&self) -> Option<ErrorCode<'a>> {
        self.find(Attribute::ERROR_CODE)?.error_code().ok()
    }

    /// DATA: the relayed datagram (RFC 8656 §18.4).
    pub fn data(&self) -> Option<&'a [u8]> {
        self.find(Attribute::DATA).map(|attribute| attribute.value)
    }

    /// Whether a keyed hash is there (MESSAGE-INTEGRITY or its SHA-256 successor); it is not checked.
    pub fn has_integrity(&self) -> bool {
        self.has(Attribute::MESSAGE_INTEGRITY) || self.has(Attribute::MESSAGE_INTEGRITY_SHA256)
    }

    /// Whether FINGERPRINT matches (RFC 8489 §14.7); `None` without one. Costs a CRC-32 over the message.
    pub fn fingerprint_matches(&self) -> Option<bool> {
        let attribute = self.find(Attribute::FINGERPRINT)?;
        let sent = attribute.u32("FINGERPRINT").ok()?;
        let covered = self.bytes.get(..attribute.offset)?;
        Some(crc32(covered) ^ FINGERPRINT_XOR == sent)
    }
}

/// "STUN" in ASCII; keeps the checksum apart from one that the payload may carry itself.
const FINGERPRINT_XOR: u32 = 0x5354_554e;

/// Which attributes a message can have: a bit for each that shares it with others. A dozen are asked for of every message, and few are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kinds(u64);

impl Kinds {
    /// The top bits tell attributes that need not be understood, which have the same low ones as others.
    const fn bit(kind: Attribute) -> u64 {
        1 << ((kind.0 ^ (kind.0 >> 10)) & 63)
    }

    const fn may_have(self, kind: Attribute) -> bool {
        self.0 & Self::bit(kind) != 0
    }
}

fn padding_of(attributes: &[u8]) -> (Padding, Kinds) {
    let walk = |padding| {
        let mut walk = Attributes::new(attributes, HEADER_LENGTH, padding);
        let kinds = walk.by_ref().fold(0, |kinds, attribute| kinds | Kinds::bit(attribute.kind));
        (walk.is_whole(), Kinds(kinds))
    };
    let (is_whole, kinds) = walk(Padding::Four);
    if is_whole {
        return (Padding::Four, kinds);
    }
    match walk(Padding::None) {
        (true, kinds) => (Padding::None, kinds),
        (false, _) => (Padding::Four, kinds),
    }
}

/// CRC-32 of ISO HDLC (RFC 1952 §8), bit by bit: messages are small and few are checked.
fn crc32(bytes: &[u8]) -> u32 {
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    });
    !crc
}

#[cfg(test)]
mod tests;

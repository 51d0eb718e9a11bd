//! What was seen of one flow: plain data, no bytes of payload. Everything later judges by this alone.

mod answers;
mod cipher;
mod few;
mod handshake;
mod media;
mod pace;
mod samples;
mod secrets;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use compact_str::CompactString;

pub use answers::{Answered, Answers, Exchange, Quickest};
pub use cipher::{Body, CLUSTER_CAP, Cipher, Cluster, Framing, Heads, Shapes};
pub use few::Few;
pub(super) use few::grow;
pub use handshake::{Certificate, CertificateBody, Dtls, Quic, Tls};
pub use media::{KindSource, Media, MediaKind, Reported, RoundTrip, RoundTrips, RtpStream};
pub use pace::{Pace, PaceWay};
pub use samples::{Sample, Samples, Sampling, SealedUnit, UnitShape};
pub use secrets::{Candidate, Form, Missing, Opened, SrtpMaster};

use super::packet_ref::PacketRef;
use crate::fetch::fetch;
pub use crate::fingerprint::Ja4;
pub use crate::proto::rtp::sketch::{Copied, Sketch};
use crate::time::Timestamp;
use zeroize::Zeroizing;

/// Most entries kept of any list in here; what comes after is counted in [`Facts::left_out`].
pub const LIST_CAP: usize = 32;

/// Most media addresses kept of the session descriptions of one flow: an exchange announces two for each of its calls.
pub const ANNOUNCED_CAP: usize = 256;

/// Everything that the dissectors learned of one flow.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// TLS over TCP.
    pub tls: Option<Box<Tls>>,
    /// QUIC over UDP; its ClientHello is in [`Facts::tls`].
    pub quic: Option<Box<Quic>>,
    /// DTLS over UDP, or inside TURN.
    pub dtls: Option<Box<Dtls>>,
    /// STUN and TURN.
    pub stun: Option<Box<Stun>>,
    /// RTP and RTCP, however they were wrapped.
    pub media: Option<Box<Media>>,
    /// DNS answers.
    pub dns: Option<Box<Dns>>,
    /// SIP and SDP.
    pub sip: Option<Box<Sip>>,
    /// Zoom's own framing.
    pub zoom: Option<Box<Zoom>>,
    /// What a key log opened.
    pub opened: Option<Box<Opened>>,
    /// The quickest answers of its two ends.
    pub answers: Option<Box<Answers>>,
    /// Sizes and times of its payloads, where no RTP header was to be seen.
    pub pace: Option<Box<Pace>>,
    /// Byte patterns of the provider files that matched, each once.
    pub marks: Few<MarkHit>,
    /// What the application protocol looks like when no parser above took it.
    pub other: Option<Protocol>,
    /// Named oddities with their count and first packet.
    pub anomalies: Few<Anomaly>,
    /// Entries that did not fit a capped list.
    pub left_out: u32,
}

/// An application protocol that is recognised so that it is not taken for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Protocol {
    /// HTTP/1.x in the clear.
    Http,
    /// SSH.
    Ssh,
    /// ZRTP key agreement.
    Zrtp,
}

/// A named oddity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anomaly {
    /// Stable name, for example the field that broke.
    pub name: &'static str,
    /// How often.
    pub count: u32,
    /// Where first.
    pub packet: PacketRef,
}

/// A byte pattern of a provider file that matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarkHit {
    /// Index into the rules that the patterns were compiled from.
    pub rule: u16,
    /// How many packets matched.
    pub hits: u32,
    /// Where first.
    pub packet: PacketRef,
}

/// STUN, TURN and ICE on one flow. RFC 8489, RFC 8656, RFC 8445.
#[derive(Debug, Clone, Default)]
pub struct Stun {
    /// Messages parsed.
    pub messages: u32,
    /// Message types (wire value) with their counts.
    pub types: Vec<(u16, u32)>,
    /// Message types of no standard, each with the packet where first.
    pub odd_types: Few<(u16, PacketRef)>,
    /// Messages without the magic cookie (RFC 3489, or Zoom's).
    pub classic: u32,
    /// Attribute types seen, each with the packet where first.
    pub attributes: Vec<(u16, PacketRef)>,
    /// SOFTWARE values.
    pub software: Few<(String, PacketRef)>,
    /// REALM values.
    pub realms: Few<(String, PacketRef)>,
    /// USERNAME values of Binding requests (`remote:local` ufrags) and TURN requests.
    pub usernames: Vec<(String, PacketRef)>,
    /// (XOR-)MAPPED-ADDRESS: how the server sees the client.
    pub mapped: Vec<(SocketAddr, PacketRef)>,
    /// XOR-RELAYED-ADDRESS: the client's address on the relay.
    pub relayed: Few<(SocketAddr, PacketRef)>,
    /// XOR-PEER-ADDRESS: who stands behind the relay.
    pub peers: Few<(SocketAddr, PacketRef)>,
    /// Who stands behind the relay and was sent more than ICE checks, or sent more.
    pub behind: Few<Behind>,
    /// Round trips of answered requests, by who asked.
    pub rtt: Option<Box<RoundTrips>>,
    /// Round trips of ICE checks inside a relay: all the way to who stands behind it.
    pub relayed_rtt: Option<Box<RoundTrips>>,
    /// TURN Allocate, Send, Data, `ChannelBind` or ChannelData seen: the server relays.
    pub relays: bool,
    /// ChannelData messages.
    pub channel_data: u32,
    /// Ends (originator, responder) that sent checks with GOOG-NETWORK-INFO: clients built on libwebrtc do, media servers
    /// have no network to be told of.
    pub clients: [bool; 2],
    /// A Binding request carried USERNAME and the answer succeeded: ICE connectivity check.
    pub ice: bool,
    /// First STUN packet.
    pub packet: PacketRef,
    /// Its time.
    pub at: Timestamp,
}

impl Stun {
    /// With its first packet, which nothing has been read of yet.
    pub(super) fn begun(packet: PacketRef, at: Timestamp) -> Self {
        Self { packet, at, ..Self::default() }
    }

    /// Round trips between those who speak: through the relay where checks went through one, else to the server.
    pub fn round_trips(&self) -> &RoundTrips {
        static NONE: RoundTrips = RoundTrips::none();
        self.relayed_rtt.as_deref().or(self.rtt.as_deref()).unwrap_or(&NONE)
    }
}

/// One address behind a TURN relay, with what passed between it and the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behind {
    /// The address, as the client named it to the relay or the relay to the client (XOR-PEER-ADDRESS).
    pub peer: SocketAddr,
    /// Payloads both ways that were no STUN: DTLS, SRTP, RTP.
    pub payloads: u32,
    /// The first of these.
    pub packet: PacketRef,
    /// Its time.
    pub at: Timestamp,
}

/// How RTP was wrapped on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Wrapping {
    /// Straight in UDP.
    None,
    /// Inside TURN ChannelData or a TURN Data indication.
    Turn,
    /// Inside Microsoft's multiplexed TURN frame.
    MsMux,
    /// Inside Zoom's media encapsulation.
    Zoom,
    /// Framed by RFC 4571 over TCP.
    Tcp,
}

/// DNS answers of one flow.
#[derive(Debug, Clone, Default)]
pub struct Dns {
    /// Questions asked.
    pub questions: Vec<CompactString>,
    /// Other names of addresses, which nobody asked for by them.
    pub other_names: Vec<OtherName>,
    /// Addresses learned: (name that was asked for, address, packet).
    pub addresses: Vec<(Arc<str>, IpAddr, PacketRef)>,
    /// Messages parsed.
    pub messages: u32,
    /// First DNS packet.
    pub packet: PacketRef,
}

/// A name that DNS gave to an address beside the one that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct OtherName {
    /// The name.
    pub name: String,
    /// Whose it is.
    pub address: IpAddr,
    /// True for a pointer (RFC 1035 section 3.5); else the name at the end of a row of aliases.
    pub reverse: bool,
    /// The packet.
    pub packet: PacketRef,
}

/// SIP and SDP of one flow. RFC 3261, RFC 8866.
#[derive(Debug, Clone, Default)]
pub struct Sip {
    /// Methods of requests with their counts.
    pub methods: Vec<(String, u32)>,
    /// Call-IDs, each once.
    pub call_ids: Vec<String>,
    /// From and To of the first INVITE.
    pub parties: Option<(String, String)>,
    /// Calls that an INVITE began, each Call-ID once.
    pub calls: Vec<Call>,
    /// User-Agent and Server values.
    pub agents: Vec<String>,
    /// Media addresses that SDP announced; one that is announced again in another call, by the other way or with other keying stands
    /// here again.
    pub media: Vec<Announced>,
    /// An SDP carried `a=crypto` (RFC 4568): keys in signalling.
    pub sdes: Option<PacketRef>,
    /// Crypto suites of `a=crypto` lines; one that is not encrypted by its session parameters ends in ` UNENCRYPTED_SRTP`.
    pub suites: Vec<(String, PacketRef)>,
    /// The keys that stood there for everyone to read, each once.
    pub keys: Vec<SdesKey>,
    /// An SDP carried `a=fingerprint` (RFC 8122): keys by DTLS.
    pub fingerprint: Option<PacketRef>,
    /// Messages parsed.
    pub messages: u32,
    /// First SIP packet.
    pub packet: PacketRef,
}

/// A call of SIP, as the messages about its INVITE tell it. RFC 3261 section 13.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Which call it is, as in [`Announced::call`].
    pub call: u64,
    /// Its Call-ID.
    pub call_id: String,
    /// From, with display name and tag.
    pub from: String,
    /// To, with display name.
    pub to: String,
    /// The final answer to the INVITE, 200 to 699: success once there was one, else the latest.
    pub status: Option<u16>,
}

/// A media address in a session description. RFC 8866.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// The address, of the `c=` and `m=` lines or of a candidate.
    pub address: SocketAddr,
    /// Kind of the `m=` line: `audio`, `video`, ...
    pub kind: String,
    /// Transport profile of the `m=` line: `RTP/AVP`, `UDP/TLS/RTP/SAVPF`, ...
    pub profile: String,
    /// An `a=crypto` line with a key stood there (RFC 4568).
    pub crypto: bool,
    /// An `a=fingerprint` line stood there or above (RFC 8122).
    pub fingerprint: bool,
    /// Which call it was for: a number made of the Call-ID.
    pub call: u64,
    /// It stood in a response: of a request and a response of one call one is the offer and the other the answer (RFC 3264).
    pub in_response: bool,
    /// The packet; of an offer that was repeated before it was answered the latest.
    pub packet: PacketRef,
}

/// A key for SRTP in an SDP that went in the clear. RFC 4568 sections 4 and 6.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SdesKey {
    /// Suite, as `AES_CM_128_HMAC_SHA1_80`.
    pub suite: String,
    /// Master key and master salt; wiped when dropped, and never shown.
    pub key: Zeroizing<Vec<u8>>,
    /// Bytes of the master key identifier in each packet.
    pub mki: usize,
    /// Where its author receives media.
    pub media: Option<SocketAddr>,
    /// Packet of the SDP.
    pub packet: PacketRef,
}

/// The key stays secret.
impl std::fmt::Debug for SdesKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SdesKey")
            .field("suite", &self.suite)
            .field("bytes", &self.key.len())
            .field("packet", &self.packet)
            .finish_non_exhaustive()
    }
}

/// Zoom's own framing on one flow.
#[derive(Debug, Clone, Default)]
pub struct Zoom {
    /// Encapsulation generation: 2 (one-byte header, 2019) or 3 (eight-byte header, 2022).
    pub generation: Option<u8>,
    /// Client and server hellos.
    pub hellos: u32,
    /// Connection id of the hello, hex.
    pub connection_id: Option<String>,
    /// Flow id that the server assigned.
    pub flow_id: Option<u32>,
    /// Identifier of the bind, the same in all flows of one client's attachment, hex.
    pub bind_id: Option<String>,
    /// Round trips of answered pings, by who asked.
    pub rtt: RoundTrips,
    /// Packets by inner type: (type, count).
    pub inner: Vec<(u8, u32)>,
    /// Peer-to-peer: no SFU header.
    pub peer_to_peer: bool,
    /// Session key of a hole punch (a UUID that both directions carry).
    pub p2p_uuid: Option<String>,
    /// Packets that fit the framing.
    pub packets: u32,
    /// First packet that fit.
    pub packet: PacketRef,
}

impl Facts {
    /// Asks for what most flows have that have anything.
    #[inline]
    pub(super) fn approach(&self) {
        if let Some(tls) = self.tls.as_deref() {
            fetch(tls);
        }
        if let Some(quic) = self.quic.as_deref() {
            fetch(quic);
        }
        if let Some(dns) = self.dns.as_deref() {
            fetch(dns);
        }
        if let Some(stun) = self.stun.as_deref() {
            fetch(stun);
        }
    }

    /// True when nothing was learned.
    pub(super) fn is_empty(&self) -> bool {
        self.tls.is_none()
            && self.quic.is_none()
            && self.dtls.is_none()
            && self.stun.is_none()
            && self.media.is_none()
            && self.dns.is_none()
            && self.sip.is_none()
            && self.zoom.is_none()
            && self.marks.is_empty()
            && self.other.is_none()
            && self.anomalies.is_empty()
    }

    /// True when a datagram flow was seen from its beginning: a question, an INVITE, a hello.
    pub(super) fn shows_a_beginning(&self) -> bool {
        self.dns.is_some()
            || self.sip.is_some()
            || self.quic.is_some()
            || self.dtls.as_ref().is_some_and(|dtls| dtls.client_hello.is_some())
            || self.zoom.as_ref().is_some_and(|zoom| zoom.hellos > 0)
    }

    /// The quickest answers so far, to add to.
    pub(super) fn answers(&mut self) -> &mut Answers {
        self.answers.get_or_insert_with(Box::default)
    }

    /// Counts an oddity under its name.
    pub fn anomaly(&mut self, name: &'static str, packet: PacketRef) {
        if let Some(known) = self.anomalies.iter_mut().find(|anomaly| anomaly.name == name) {
            known.count = known.count.saturating_add(1);
        } else if self.anomalies.len() < LIST_CAP {
            self.anomalies.push(Anomaly { name, count: 1, packet });
        } else {
            self.left_out = self.left_out.saturating_add(1);
        }
    }
}

/// Adds to a capped list of (value, packet), each value once. True when it was new and fit.
pub(super) fn note<T: PartialEq>(list: &mut Vec<(T, PacketRef)>, value: T, packet: PacketRef) -> bool {
    let is_new = is_wanted(list, &value);
    if is_new {
        grow(list);
        list.push((value, packet));
    }
    is_new
}

/// The same for a list that most flows leave empty.
pub(super) fn note_few<T: PartialEq>(list: &mut Few<(T, PacketRef)>, value: T, packet: PacketRef) {
    if is_wanted(list, &value) {
        list.push((value, packet));
    }
}

fn is_wanted<T: PartialEq>(list: &[(T, PacketRef)], value: &T) -> bool {
    list.len() < LIST_CAP && !list.iter().any(|(held, _)| held == value)
}

/// Adds one to the count of `value` in a capped list.
pub(super) fn tally<T: PartialEq>(list: &mut Vec<(T, u32)>, value: T) {
    if let Some((_, count)) = list.iter_mut().find(|(held, _)| *held == value) {
        *count = count.saturating_add(1);
    } else if list.len() < LIST_CAP {
        grow(list);
        list.push((value, 1));
    }
}

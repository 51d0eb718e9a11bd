//! What one flow's QUIC handshake gives away, gathered over its datagrams.
//!
//! In: datagrams of one five-tuple and who sent them. Out: the TLS handshake bytes of both sides' Initial
//! packets, and [`Facts`]. Nothing is believed of a protected packet before its tag has been checked; the
//! role of a sender is taken from the key that fits, so a wrong guess of the originator mends itself.
//! Not handled: a second connection under the same five-tuple (its handshake adds to the first's).

use crate::bytes::ParseError;

use super::crypto_stream::CryptoStream;
use super::facts::{Close, Facts, GoogleHello, Progress, Retry};
use super::frame::{Frame, Frames};
use super::gquic;
use super::header::{Kind, Long, Negotiation, Packet, Packets};
use super::keys::{InitialKeys, retry_is_genuine};
use super::version::{Salt, Version};

/// Cap on sets of Initial keys: first flight, after a Retry, after negotiation, and one to spare.
const MAX_KEY_SETS: usize = 4;
/// Cap on Initial packets that did not open; later ones are counted but not tried, to bound the work.
const MAX_FAILURES: u32 = 64;
/// Cap on versions kept from Version Negotiation packets.
const MAX_OFFERED: usize = 16;
/// Cap on a name or user agent kept from a Google hello, in bytes.
const MAX_TEXT: usize = 255;

/// A connection ID of a version with keys: at most 20 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Id {
    bytes: [u8; 20],
    length: u8,
}

impl Id {
    fn new(input: &[u8]) -> Option<Self> {
        let mut bytes = [0; 20];
        bytes.get_mut(..input.len())?.copy_from_slice(input);
        Some(Self { bytes, length: u8::try_from(input.len()).ok()? })
    }

    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Client,
    Server,
}

struct KeySet {
    salt: Salt,
    dcid: Id,
    keys: InitialKeys,
}

impl KeySet {
    fn opens(&mut self, role: Role, header: &Long<'_>, scratch: &mut Vec<u8>) -> bool {
        let keys = match role {
            Role::Client => &mut self.keys.client,
            Role::Server => &mut self.keys.server,
        };
        keys.open(header.packet, header.number_offset, scratch).is_some()
    }
}

/// Passive state of one flow's handshake. About 200 bytes, and some kilobytes behind it while the
/// handshake lasts: box it, and drop it when the hellos have been read.
#[derive(Default)]
pub struct Connection {
    key_sets: Vec<KeySet>,
    client: CryptoStream,
    server: CryptoStream,
    /// Of the packet verified last, else of the first long header.
    version: Option<Version>,
    first_dcid: Option<Id>,
    /// Of the client's first Initial, where it is not empty: most clients are known by their address alone.
    client_scid: Option<Box<Id>>,
    google: Option<Box<GoogleHello>>,
    facts: Facts,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("version", &self.version())
            .field("client_crypto_len", &self.client_crypto().len())
            .field("server_crypto_len", &self.server_crypto().len())
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the payload of one datagram. `from_originator` is who is thought to be the client.
    ///
    /// # Errors
    /// When the first packet of the datagram cannot be read as QUIC; later ones are counted in
    /// [`Facts::malformed`].
    pub fn datagram(&mut self, from_originator: bool, data: &[u8]) -> Result<Progress, ParseError> {
        let mut progress = Progress::default();
        let Some(first) = data.first() else {
            return Err(ParseError::Truncated { field: "first byte", offset: 0, needed: 1, available: 0 });
        };
        if let Some(packet) = gquic::public(data) {
            self.google_public(&packet, &mut progress);
            return Ok(progress);
        }
        if first & 0xc0 == 0 && self.version.is_none() {
            return Err(ParseError::Invalid { field: "first byte", offset: 0, value: u64::from(*first) });
        }
        for (index, packet) in Packets::new(data).enumerate() {
            match packet {
                Ok(packet) => {
                    let coalesced = u32::from(index > 0);
                    self.facts.coalesced = self.facts.coalesced.saturating_add(coalesced);
                    self.packet(from_originator, &packet, &mut progress);
                }
                Err(error) if index == 0 => return Err(error),
                Err(_) => count(&mut self.facts.malformed),
            }
        }
        Ok(progress)
    }

    /// TLS handshake bytes of the client's Initial packets from the first on, up to the first hole: a
    /// ClientHello with its 4-byte header and no record layer. For Q050, Google's `CHLO`.
    pub fn client_crypto(&self) -> &[u8] {
        self.client.contiguous()
    }

    /// TLS handshake bytes of the server's Initial packets, likewise.
    pub fn server_crypto(&self) -> &[u8] {
        self.server.contiguous()
    }

    /// Handshake bytes that were [let go](Connection::let_go) and stood before [`Connection::client_crypto`] and
    /// [`Connection::server_crypto`].
    pub const fn gone(&self) -> [usize; 2] {
        [self.client.gone(), self.server.gone()]
    }

    /// Lets go of the handshake bytes that are there: they were read. Those of Google's own handshake stay, which are read in one
    /// piece.
    pub fn let_go(&mut self) {
        if self.version.is_none_or(|version| !version.has_google_handshake()) {
            self.client.let_go();
            self.server.let_go();
        }
    }

    /// True when [`Connection::client_crypto`] holds a whole TLS handshake message.
    pub fn client_hello_is_whole(&self) -> bool {
        match self.client_crypto() {
            [_, high, middle, low, body @ ..] => {
                let length = u32::from_be_bytes([0, *high, *middle, *low]);
                usize::try_from(length).is_ok_and(|length| body.len() >= length)
            }
            _ => false,
        }
    }

    /// The version in use: of the packet verified last, else of the first long header.
    pub const fn version(&self) -> Option<Version> {
        self.version
    }

    /// Destination Connection ID that the client chose for its first Initial, from which its keys come.
    pub fn original_dcid(&self) -> Option<&[u8]> {
        self.key_sets.first().map(|set| &set.dcid).or(self.first_dcid.as_ref()).map(Id::as_slice)
    }

    /// Source Connection ID that the client gave in its first Initial; `None` where it gave none, or an empty one.
    pub fn client_scid(&self) -> Option<&[u8]> {
        self.client_scid.as_deref().map(Id::as_slice)
    }

    /// What a Google hello said; `None` when there was none.
    pub fn google_hello(&self) -> Option<&GoogleHello> {
        self.google.as_deref()
    }

    /// True when something was seen that nothing but QUIC produces: a tag that fits, or a Google hello.
    pub fn is_proven(&self) -> bool {
        let retry = self.facts.retry.is_some_and(|retry| retry.genuine == Some(true));
        self.facts.initials_verified > 0 || self.google.is_some() || retry
    }

    /// True for Google's versions, with either handshake.
    pub fn is_google(&self) -> bool {
        self.version().is_some_and(|version| version.google().is_some())
    }

    /// Whether a long header whose fixed bit is cleared, as RFC 9287 lets peers do, is of this connection: its version is in use, or it
    /// answers the client in another that exists (RFC 9368 §2.3). RTP may have that first byte too.
    pub fn claims(&self, header: &Long<'_>) -> bool {
        let answers = header.version.is_known() && self.client_scid().unwrap_or_default() == header.dcid;
        self.is_proven() && header.kind != Kind::Opaque && (self.version == Some(header.version) || answers)
    }

    /// Counts and oddities.
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }

    fn packet(&mut self, from_originator: bool, packet: &Packet<'_>, progress: &mut Progress) {
        match packet {
            Packet::Short(_) => count(&mut self.facts.short),
            Packet::Negotiation(packet) => self.negotiation(packet),
            Packet::Long(header) => {
                let version = *self.version.get_or_insert(header.version);
                match header.kind {
                    _ if header.version.has_clear_google_frames() => self.google_clear(header, progress),
                    Kind::Initial => self.initial(from_originator, header, progress),
                    Kind::Retry if version == header.version => self.retry(header),
                    Kind::ZeroRtt => count(&mut self.facts.zero_rtt),
                    Kind::Handshake => count(&mut self.facts.handshake),
                    Kind::Retry | Kind::Opaque => count(&mut self.facts.opaque),
                }
            }
        }
    }

    fn negotiation(&mut self, packet: &Negotiation<'_>) {
        for version in packet.versions() {
            self.offer(version);
        }
    }

    fn offer(&mut self, version: Version) {
        let offered = &mut self.facts.offered;
        if offered.len() < MAX_OFFERED && !offered.contains(&version) {
            offered.push(version);
        }
    }

    fn retry(&mut self, header: &Long<'_>) {
        if self.facts.retry.is_some() {
            return;
        }
        let ids = self.key_sets.iter().map(|set| &set.dcid).chain(&self.first_dcid);
        let genuine = ids
            .filter_map(|id| retry_is_genuine(header.version, id.as_slice(), header.packet))
            .reduce(|one, other| one || other);
        self.facts.retry = Some(Retry { genuine });
    }

    fn initial(&mut self, from_originator: bool, header: &Long<'_>, progress: &mut Progress) {
        let guess = if from_originator == self.facts.roles_swapped { Role::Server } else { Role::Client };
        if self.first_dcid.is_none() && guess == Role::Client {
            self.first_dcid = Id::new(header.dcid);
        }
        // Not kept: thousands of connections wait for their next packet at a time.
        let mut scratch = Vec::new();
        if self.facts.initials_failed >= MAX_FAILURES {
            count(&mut self.facts.initials_failed);
        } else if let Some(role) = self.open(guess, header, &mut scratch) {
            if self.facts.initials_verified == 0 {
                self.facts.roles_swapped ^= role != guess;
            }
            if role == Role::Client && self.client_scid.is_none() && !header.scid.is_empty() {
                self.client_scid = Id::new(header.scid).map(Box::new);
            }
            count(&mut self.facts.initials_verified);
            self.settle_version(header.version);
            self.frames(role, header.version, &scratch, progress);
        } else {
            count(&mut self.facts.initials_failed);
        }
    }

    /// Finds the keys that open the packet: those at hand first, then fresh ones. On success the
    /// plaintext is in `scratch`.
    fn open(&mut self, guess: Role, header: &Long<'_>, scratch: &mut Vec<u8>) -> Option<Role> {
        let other = if guess == Role::Client { Role::Server } else { Role::Client };
        for role in [guess, other] {
            for set in self.key_sets.iter_mut().rev() {
                if header.version.salts().contains(&set.salt) && set.opens(role, header, scratch) {
                    return Some(role);
                }
            }
        }
        self.open_with_new_keys(header, scratch)
    }

    /// Keys come from the packet's own Destination ID when a client sent it: its first, after a Retry,
    /// or with another ID for each packet. After a change of version they come from an ID that is known, and then
    /// the packet may be the server's too (RFC 9368 §2.3).
    fn open_with_new_keys(&mut self, header: &Long<'_>, scratch: &mut Vec<u8>) -> Option<Role> {
        let own = Id::new(header.dcid)?;
        let known = self.key_sets.first().map(|set| set.dcid).or(self.first_dcid);
        for &salt in header.version.salts() {
            for dcid in std::iter::once(own).chain(known.filter(|id| *id != own)) {
                if self.key_sets.iter().any(|set| set.salt == salt && set.dcid == dcid) {
                    continue;
                }
                let keys = InitialKeys::derive(salt, dcid.as_slice());
                let mut set = KeySet { salt, dcid, keys };
                for role in [Role::Client, Role::Server] {
                    if set.opens(role, header, scratch) {
                        self.keep(set);
                        return Some(role);
                    }
                }
            }
        }
        None
    }

    fn keep(&mut self, set: KeySet) {
        if self.key_sets.len() >= MAX_KEY_SETS {
            // The first stays: it tells the original ID.
            self.key_sets.remove(1);
        }
        // Nearly all connections have one.
        self.key_sets.reserve_exact(1);
        self.key_sets.push(set);
    }

    /// After Version Negotiation the client begins anew, with another random and other offers.
    fn settle_version(&mut self, version: Version) {
        let changed = self.version.replace(version) != Some(version);
        if changed && !self.facts.offered.is_empty() {
            self.client = CryptoStream::default();
            self.server = CryptoStream::default();
        }
    }

    fn frames(&mut self, role: Role, version: Version, payload: &[u8], progress: &mut Progress) {
        let stream = if role == Role::Client { &mut self.client } else { &mut self.server };
        let mut grew = false;
        for frame in Frames::new(payload, version.has_google_frames()) {
            match frame {
                Ok(Frame::Crypto { offset, data }) => grew |= stream.insert(offset, data),
                Ok(Frame::Close { error_code }) => {
                    let by_client = role == Role::Client;
                    self.facts.close.get_or_insert(Close { by_client, error_code });
                }
                Ok(_) => {}
                Err(_) => count(&mut self.facts.malformed),
            }
        }
        self.facts.crypto_dropped = self.client.dropped().saturating_add(self.server.dropped());
        match role {
            Role::Client => progress.client_grew |= grew,
            Role::Server => progress.server_grew |= grew,
        }
        if grew && role == Role::Client && version.has_google_handshake() {
            let hello = gquic::parse_hello(self.client.contiguous()).ok();
            progress.google_hello |= hello.is_some_and(|hello| note_hello(&mut self.google, &hello));
        }
    }

    fn google_public(&mut self, packet: &gquic::Public<'_>, progress: &mut Progress) {
        let (more, tail) = packet.rest.as_chunks::<4>();
        let more = more.iter().map(|value| Version(u32::from_be_bytes(*value)));
        if tail.is_empty() && more.clone().all(Version::is_known) {
            std::iter::once(packet.version).chain(more).for_each(|version| self.offer(version));
            return;
        }
        self.version.get_or_insert(packet.version);
        if self.first_dcid.is_none() {
            self.first_dcid = Id::new(packet.connection_id);
        }
        self.find_google_hello(packet.rest, progress);
    }

    fn google_clear(&mut self, header: &Long<'_>, progress: &mut Progress) {
        if self.first_dcid.is_none() {
            self.first_dcid = Id::new(header.dcid);
        }
        let payload = header.packet.get(header.number_offset..).unwrap_or_default();
        self.find_google_hello(payload, progress);
    }

    fn find_google_hello(&mut self, payload: &[u8], progress: &mut Progress) {
        let hello = gquic::find_hello(payload).map(gquic::parse_hello);
        if let Some(Ok(hello)) = hello {
            progress.google_hello |= note_hello(&mut self.google, &hello);
        }
    }
}

/// Keeps what is new in a hello; true when something was.
fn note_hello(kept: &mut Option<Box<GoogleHello>>, hello: &gquic::Hello<'_>) -> bool {
    let kept = kept.get_or_insert_default();
    let mut news = false;
    let fields = [
        (&mut kept.server_name, hello.server_name),
        (&mut kept.user_agent, hello.user_agent),
        (&mut kept.alpn, hello.alpn),
    ];
    for (slot, value) in fields {
        if let (None, Some(value)) = (&slot, value) {
            *slot = Some(value.get(..MAX_TEXT).unwrap_or(value).into());
            news = true;
        }
    }
    news
}

fn count(counter: &mut u32) {
    *counter = counter.saturating_add(1);
}

#[cfg(test)]
mod tests;

//! TLS handshake messages into facts; shared by TLS over TCP, QUIC's CRYPTO streams and DTLS.

use std::borrow::Cow;

use compact_str::CompactString;

use super::PacketRef;
use super::alpn;
use super::certificates::{certificates, certificates_1_3};
use super::facts::{Dtls, LIST_CAP, Tls};
use crate::bytes::hex_digits;
use crate::fingerprint::{self, Transport};
use crate::proto::tls::keylog::Random;
use crate::proto::tls::{self, CipherSuite, HandshakeType, ProtocolVersion};

/// Longest protocol name or host name that is kept, in characters after escaping.
const NAME_CAP: usize = 512;

/// Bytes of a name as text: lower case, what is not printable ASCII escaped as `\xNN`.
pub(super) fn host_name(bytes: &[u8]) -> CompactString {
    let text = escaped(bytes, b'!');
    let mut name = CompactString::from(text.trim_end_matches('.'));
    name.make_ascii_lowercase();
    name
}

/// Bytes as text with its case kept; what is not printable ASCII or a blank is escaped.
pub(super) fn text(bytes: &[u8]) -> String {
    escaped(bytes, b' ').into_owned()
}

/// Bytes as text, all but those from `first` to `~` escaped; most have none such.
fn escaped(bytes: &[u8], first: u8) -> Cow<'_, str> {
    let is_plain = |byte: u8| (first..=b'~').contains(&byte) && byte != b'\\';
    if bytes.len() <= NAME_CAP
        && bytes.iter().all(|byte| is_plain(*byte))
        && let Ok(text) = str::from_utf8(bytes)
    {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(bytes.len().min(NAME_CAP));
    for byte in bytes {
        if out.len() >= NAME_CAP {
            break;
        }
        if is_plain(*byte) {
            out.push(char::from(*byte));
        } else {
            out.push_str("\\x");
            out.extend(hex_digits(*byte).map(char::from));
        }
    }
    Cow::Owned(out)
}

/// Writes down a ClientHello. The first one of a flow is kept; a second (after `HelloRetryRequest`) is counted.
pub(super) fn client_hello(
    tls: &mut Tls,
    hello: &tls::ClientHello<'_>,
    transport: Transport,
    packet: PacketRef,
) {
    tls.client_hellos = tls.client_hellos.saturating_add(1);
    if tls.client_hello.is_some() {
        return;
    }
    tls.client_hello = Some(packet);
    tls.sni = hello.server_name_bytes().filter(|name| !name.is_empty()).map(host_name);
    tls.alpn = alpn::offered(hello);
    tls.ja3 = Some(*fingerprint::ja3(hello).digest());
    tls.ja4 = Some(fingerprint::ja4(hello, transport));
    tls.ech = hello.ech().is_some();
    tls.esni = hello.has_esni();
    if !tls.version_chosen {
        tls.version = Some(hello.newest_version().0);
    }
}

/// Writes down a ServerHello; `session_id` is the one that the client offered.
pub(super) fn server_hello(
    tls: &mut Tls,
    hello: &tls::ServerHello<'_>,
    session_id: &[u8],
    packet: PacketRef,
) {
    tls.version = Some(hello.version().0);
    tls.version_chosen = true;
    tls.cipher_suite = Some(hello.cipher_suite().0);
    tls.group = hello.key_share_group().map(|group| group.0);
    if hello.is_hello_retry_request() {
        return;
    }
    tls.server_hello = Some(packet);
    tls.ja3s = Some(*fingerprint::ja3s(hello).digest());
    let extensions = hello.extensions().iter().map(|extension| extension.kind.0);
    tls.server_extensions = extensions.filter(|kind| !tls::is_grease(*kind)).take(LIST_CAP).collect();
    tls.alpn_chosen = hello.alpn().map(|protocol| text(protocol).into());
    let pre_shared = hello.extensions().find(tls::ExtensionType::PRE_SHARED_KEY).is_some();
    let echoed = !session_id.is_empty() && hello.session_id() == session_id && !hello.version().is_1_3();
    tls.resumed = pre_shared || echoed;
}

/// Writes down a DTLS ClientHello.
pub(super) fn dtls_client_hello(dtls: &mut Dtls, hello: &tls::ClientHello<'_>, packet: PacketRef) {
    if dtls.client_hello.is_some() {
        return;
    }
    dtls.client_hello = Some(packet);
    dtls.srtp_offered = hello.srtp_profiles().take(LIST_CAP).map(|profile| profile.0).collect();
    dtls.sni = hello.server_name_bytes().filter(|name| !name.is_empty()).map(host_name);
    dtls.alpn = hello.alpn().take(LIST_CAP).map(text).collect();
    dtls.ja3 = Some(*fingerprint::ja3(hello).digest());
    dtls.ja4 = Some(fingerprint::ja4(hello, Transport::Datagram));
    if !dtls.version_chosen {
        dtls.version = Some(hello.newest_version().0);
    }
}

/// Writes down a DTLS ServerHello.
pub(super) fn dtls_server_hello(dtls: &mut Dtls, hello: &tls::ServerHello<'_>, packet: PacketRef) {
    dtls.server_hello = Some(packet);
    dtls.version = Some(hello.version().0);
    dtls.version_chosen = true;
    dtls.cipher_suite = Some(hello.cipher_suite().0);
    dtls.group = hello.key_share_group().map(|group| group.0);
    dtls.srtp_chosen = hello.srtp_profile().map(|profile| profile.0);
}

/// Handshake messages of one side, for TLS over TCP and QUIC.
#[derive(Debug, Default)]
pub(super) struct Side {
    /// The session id that this side's ClientHello offered.
    pub(super) session_id: Vec<u8>,
    /// A ClientHello was read here.
    pub(super) is_client: bool,
    /// Random of the ClientHello.
    pub(super) client_random: Option<Random>,
    /// The ClientHello announced early data.
    pub(super) early_data: bool,
    /// A `HelloRetryRequest` was read here.
    pub(super) asked_again: bool,
    /// What the ServerHello chose.
    pub(super) agreed: Option<Chosen>,
    /// Nothing more is to be learned from this side.
    pub(super) done: bool,
}

/// A side that most directions of most connections never get: it takes no room before something is written down.
#[derive(Debug, Default)]
pub(super) struct LazySide(Option<Box<Side>>);

/// What is read of a side of which nothing was written down.
static BLANK: Side = Side {
    session_id: Vec::new(),
    is_client: false,
    client_random: None,
    early_data: false,
    asked_again: false,
    agreed: None,
    done: false,
};

impl std::ops::Deref for LazySide {
    type Target = Side;

    fn deref(&self) -> &Side {
        self.0.as_deref().unwrap_or(&BLANK)
    }
}

impl std::ops::DerefMut for LazySide {
    fn deref_mut(&mut self) -> &mut Side {
        self.0.get_or_insert_default()
    }
}

/// What a ServerHello chose, as far as keys depend on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chosen {
    pub(super) version: ProtocolVersion,
    pub(super) suite: CipherSuite,
    pub(super) random: Random,
}

impl Chosen {
    pub(super) fn of(hello: &tls::ServerHello<'_>) -> Option<Self> {
        let random = hello.random().try_into().ok()?;
        Some(Self { version: hello.version(), suite: hello.cipher_suite(), random })
    }
}

/// Takes a message of the server that only a key log shows, of TLS 1.3.
pub(super) fn opened_server_message(
    tls: &mut Tls,
    message: &tls::Message<'_>,
    packet: PacketRef,
) -> Result<(), &'static str> {
    match message.kind {
        HandshakeType::ENCRYPTED_EXTENSIONS => {
            let extensions = tls::EncryptedExtensions::parse(message.body).map_err(|error| error.field())?;
            tls.alpn_chosen = extensions.alpn().map(|protocol| text(protocol).into());
        }
        HandshakeType::CERTIFICATE if tls.certificates.is_empty() => {
            tls.certificates = certificates_1_3(message.body, packet)?.into();
        }
        // RFC 8879: of the three compressions, browsers use the one that is not unpacked here.
        HandshakeType::COMPRESSED_CERTIFICATE => return Err("compressed certificate"),
        _ => {}
    }
    Ok(())
}

/// Takes one handshake message. `offered` is the other side's session id.
pub(super) fn message(
    side: &mut Side,
    tls: &mut Tls,
    message: &tls::Message<'_>,
    offered: &[u8],
    transport: Transport,
    packet: PacketRef,
) -> Result<(), &'static str> {
    match message.kind {
        HandshakeType::CLIENT_HELLO => {
            let hello = tls::ClientHello::parse(message.body).map_err(|error| error.field())?;
            side.is_client = true;
            side.session_id = hello.session_id().to_vec();
            side.client_random = hello.random().try_into().ok();
            side.early_data = hello.has_early_data();
            client_hello(tls, &hello, transport, packet);
        }
        HandshakeType::SERVER_HELLO => {
            let hello = tls::ServerHello::parse(message.body).map_err(|error| error.field())?;
            server_hello(tls, &hello, offered, packet);
            if hello.is_hello_retry_request() {
                side.asked_again = true;
            } else {
                side.agreed = Chosen::of(&hello);
                side.done = hello.version().is_1_3();
            }
        }
        HandshakeType::CERTIFICATE if !side.is_client && tls.certificates.is_empty() => {
            tls.certificates = certificates(message.body, packet)?.into();
        }
        HandshakeType::SERVER_KEY_EXCHANGE if !side.is_client && tls.group.is_none() => {
            tls.group = named_curve(tls.cipher_suite, message.body);
        }
        HandshakeType::SERVER_HELLO_DONE => side.done = true,
        _ => {}
    }
    Ok(())
}

/// The group of a `ServerKeyExchange` that names one, where the suite is of elliptic curves. RFC 8422 section 5.4.
pub(super) fn named_curve(suite: Option<u16>, body: &[u8]) -> Option<u16> {
    /// `named_curve` of `ECCurveType`.
    const NAMED_CURVE: u8 = 3;
    let name = CipherSuite(suite?).name()?;
    let [NAMED_CURVE, high, low, ..] = body else { return None };
    name.contains("ECDH").then(|| u16::from_be_bytes([*high, *low]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_of_tls_1_2_stands_in_the_server_key_exchange() {
        // RFC 8422 section 5.4: curve type, curve, length of the point, point.
        let body = [3, 0, 29, 32, 9, 9];
        assert_eq!(named_curve(Some(0xc02f), &body), Some(29));
        assert_eq!(named_curve(Some(0x009e), &body), None, "DHE: these bytes begin a length");
        assert_eq!(named_curve(Some(0xc02f), &[1, 0, 29, 32]), None, "explicit curves have no number");
        assert_eq!((named_curve(Some(0xc02f), &[3, 0]), named_curve(None, &body)), (None, None));
    }

    #[test]
    fn hostile_names_are_escaped_and_capped() {
        assert_eq!(host_name(b"WWW.Example.ORG."), "www.example.org");
        assert_eq!(host_name(b"a\x1b[31m\"b\xff"), "a\\x1b[31m\"b\\xff");
        assert_eq!(host_name(b"a b\\c"), "a\\x20b\\x5cc");
        assert!(host_name(&vec![0xff; 70_000]).len() <= NAME_CAP + 4);
        for length in [NAME_CAP - 1, NAME_CAP, NAME_CAP + 1, 70_000] {
            assert_eq!(host_name(&vec![b'A'; length]), "a".repeat(length.min(NAME_CAP)));
            assert_eq!(text(&vec![b'A'; length]), "A".repeat(length.min(NAME_CAP)));
        }
        assert_eq!(text(b"http/1.1"), "http/1.1");
        assert_eq!(text(b"A b\\c\n."), "A b\\x5cc\\x0a.");
    }
}

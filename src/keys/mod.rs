//! Stage 7: who could hold the media key. In: a session with its flows. Out: [`Keys`].
//!
//! Inference from the wire and from the provider's documented keying. Nothing here claims that a server
//! *holds* a key: the answers are could hold, could not, not determinable, each with its reason.

use std::net::IpAddr;
use std::time::Duration;

use crate::classify::provider::{Keying, Provider};
use crate::classify::{Role, Rules};
use crate::observe::PacketRef;
use crate::session::{Judged, Meeting, Server, Session};

/// How the media keys of a session arose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Method {
    /// DTLS-SRTP, RFC 5764: the handshake ran on the media path.
    DtlsSrtp,
    /// Keys travelled in signalling (RFC 4568 or alike).
    Sdes,
    /// A service of the provider generates and hands out the keys.
    KeyService,
    /// Only the endpoints have the keys, by the provider's documents.
    EndToEnd,
    /// RTP with neither of the above, and no document that says more.
    NotDeterminable,
}

/// Whether a server could hold the media key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "the three answers of the report")]
pub enum CouldHold {
    /// It could.
    Yes,
    /// Not determinable.
    Unknown,
    /// It could not.
    No,
}

/// One server of the session, judged.
#[derive(Debug, Clone)]
pub struct Holder {
    /// Index into the session's servers.
    pub server: usize,
    /// Its address.
    pub address: IpAddr,
    /// Whether it could hold the key.
    pub could_hold: CouldHold,
    /// Why, in a sentence.
    pub why: String,
    /// How sure, 0 to 1.
    pub confidence: f32,
    /// The packets that show it.
    pub packets: Vec<PacketRef>,
    /// How long before the first media packet it was contacted; `None` when media came first or never.
    pub before_media: Option<Duration>,
}

/// The keying of a session.
#[derive(Debug, Clone)]
pub struct Keys {
    /// How the keys arose.
    pub method: Method,
    /// What says so.
    pub why: String,
    /// The provider's end-to-end mode, if on, would take the key from every server; the wire does not show it.
    pub unless_end_to_end: bool,
    /// Servers, the likeliest holders first.
    pub holders: Vec<Holder>,
}

/// Flows judged and put into sessions.
#[derive(Debug)]
pub struct Analysis {
    /// All flows, in the order in which they began.
    pub flows: Vec<Judged>,
    /// Sessions with their keys, in the order in which they began.
    pub sessions: Vec<(Session, Keys)>,
    /// Sessions that share a meeting, in the order in which the meetings began.
    pub meetings: Vec<Meeting>,
}

/// Judges the servers of a session.
pub fn keys(rules: &Rules, flows: &[Judged], session: &Session) -> Keys {
    let provider = session.provider.and_then(|number| rules.provider(number));
    let (method, why) = method(provider, flows, session);
    let keying = provider.map(|provider| provider.keying.as_slice()).unwrap_or_default();
    let mut holders: Vec<Holder> = session
        .servers
        .iter()
        .enumerate()
        // The other participant has the key by right; holders are third parties.
        .filter(|(_, server)| !server.is_peer())
        .map(|(index, server)| judge(index, server, method, session))
        .collect();
    holders.sort_by(|a, b| {
        a.could_hold
            .cmp(&b.could_hold)
            .then(b.confidence.total_cmp(&a.confidence))
            .then(a.server.cmp(&b.server))
    });
    let optional = keying.contains(&Keying::E2eeOptional) || keying.contains(&Keying::E2eeDefault);
    Keys { method, why, unless_end_to_end: optional && method != Method::EndToEnd, holders }
}

fn method(provider: Option<&Provider>, flows: &[Judged], session: &Session) -> (Method, String) {
    let facts = || session.flows.iter().filter_map(|index| flows.get(*index)?.flow.facts.as_deref());
    let dtls = facts().filter_map(|facts| facts.dtls.as_ref()).find(|dtls| !dtls.srtp_offered.is_empty());
    if let Some(dtls) = dtls {
        return (
            Method::DtlsSrtp,
            format!("DTLS ClientHello with use_srtp in packet {}", dtls.packet.frame()),
        );
    }
    if let Some(packet) = facts().filter_map(|facts| facts.sip.as_ref()).find_map(|sip| sip.sdes) {
        return (Method::Sdes, format!("SDP with a=crypto in packet {}", packet.frame()));
    }
    let Some(provider) = provider else {
        return (Method::NotDeterminable, "no app is known whose documents could tell".to_owned());
    };
    let words = || format!("documented for {}: {}", provider.name, provider.key_holder);
    match provider.keying.first() {
        Some(Keying::E2ee | Keying::E2eeDefault) => (Method::EndToEnd, words()),
        Some(Keying::Proprietary) => (Method::KeyService, words()),
        Some(Keying::Sdes) => (Method::Sdes, words()),
        // Documented as DTLS-SRTP, but no handshake was seen: the capture may lack it, or keys came elsewhere.
        Some(Keying::DtlsSrtp) if provider.keying.contains(&Keying::Sdes) && !session.begun_mid_call => {
            (Method::Sdes, format!("no DTLS on the media path of a call seen from its start; {}", words()))
        }
        Some(Keying::DtlsSrtp) => (Method::NotDeterminable, "no DTLS handshake was captured".to_owned()),
        Some(Keying::Zrtp | Keying::None | Keying::E2eeOptional) | None => {
            (Method::NotDeterminable, "neither a handshake nor keys in signalling were seen".to_owned())
        }
    }
}

fn judge(index: usize, server: &Server, method: Method, session: &Session) -> Holder {
    let (could_hold, confidence, why) = match method {
        Method::DtlsSrtp => dtls_peer(server),
        Method::KeyService | Method::Sdes => signalling(server, method, session),
        Method::EndToEnd => (
            CouldHold::No,
            0.6,
            "the provider's documents say that only the endpoints have the key".to_owned(),
        ),
        Method::NotDeterminable => (CouldHold::Unknown, 0.0, "how the keys arose was not seen".to_owned()),
    };
    let before_media = session.media_start.filter(|media| server.first_contact < *media);
    let mut packets = vec![server.handshake.unwrap_or(server.first_packet)];
    packets.extend(server.name.as_ref().map(|(_, _, packet)| *packet));
    packets.sort_unstable();
    packets.dedup();
    Holder {
        server: index,
        address: server.address,
        could_hold,
        why,
        confidence,
        packets,
        before_media: before_media.map(|media| media.since(server.first_contact)),
    }
}

fn dtls_peer(server: &Server) -> (CouldHold, f32, String) {
    if server.dtls_srtp
        && let Some(relay) = server.behind
    {
        let why = format!(
            "the relay {relay} forwarded the DTLS handshake that made the media keys to and from here; it could not if \
             this address is another relay"
        );
        (CouldHold::Yes, 0.7, why)
    } else if server.dtls_srtp && !server.roles.contains(&Role::Relay) {
        (CouldHold::Yes, 0.95, "the DTLS handshake that made the media keys ended here".to_owned())
    } else if server.roles.contains(&Role::Relay) {
        let why = "it was seen as a TURN relay only, which forwards DTLS and SRTP and takes part in neither";
        (CouldHold::No, 0.8, why.to_owned())
    } else {
        (CouldHold::No, 0.6, "media keys were agreed by DTLS with another server".to_owned())
    }
}

/// Keys that came through signalling: whose TLS ended where, and when.
fn signalling(server: &Server, method: Method, session: &Session) -> (CouldHold, f32, String) {
    let words = match method {
        Method::Sdes => "media keys travel in signalling",
        Method::DtlsSrtp | Method::KeyService | Method::EndToEnd | Method::NotDeterminable => {
            "a key service hands out keys"
        }
    };
    let roles = &server.roles;
    if server.tls {
        return tls_server(server, words, session);
    }
    if roles.contains(&Role::Media) {
        let why = "it carried the media; whether it was given the key is not visible";
        return (CouldHold::Unknown, 0.4, why.to_owned());
    }
    if roles.contains(&Role::Relay) {
        let why = "it was seen as a TURN relay only, which is given no key";
        return (CouldHold::No, 0.7, why.to_owned());
    }
    if roles.contains(&Role::Signalling) {
        return (CouldHold::Yes, 0.6, format!("{words}, and signalling ended here in the clear"));
    }
    // Silence says something only where the signalling of the call was captured.
    if !session.begun_mid_call && session.servers.iter().any(Server::signals) {
        return (
            CouldHold::No,
            0.5,
            "signalling of the call was captured, and none of it ran here".to_owned(),
        );
    }
    (CouldHold::Unknown, 0.1, "no signalling of the call was captured".to_owned())
}

fn tls_server(server: &Server, words: &str, session: &Session) -> (CouldHold, f32, String) {
    let roles = &server.roles;
    let carried_media = server.media_service || roles.contains(&Role::Media);
    if session.media_start.is_some_and(|media| server.first_contact > media) {
        let why = format!("{words}, and TLS ended here, but only after media had begun");
        (CouldHold::Unknown, 0.3, why)
    } else if server.key_service && closed_before_media(server, session) && another_stayed(server, session) {
        // Clients try several controllers at once and keep one.
        let why = format!(
            "{words}, and TLS to this host, by its name one that hands them out, began before media; it also \
             ended before media, while another of its kind stayed"
        );
        (CouldHold::Yes, 0.45, why)
    } else if server.key_service {
        let why =
            format!("{words}, and TLS to this host, by its name one that hands them out, began before media");
        (CouldHold::Yes, 0.8, why)
    } else if carried_media {
        (CouldHold::Yes, 0.75, format!("{words}, and TLS to this media server began before media"))
    } else if server.backstage {
        let why =
            "TLS ended here before media, but by its name the program fetches settings and the like here";
        (CouldHold::Unknown, 0.25, why.to_owned())
    } else if roles.contains(&Role::Signalling)
        && session.servers.iter().any(|other| other.key_service && other.tls)
    {
        let why = "TLS ended here before media, but by their names it is other servers that hand out keys";
        (CouldHold::Unknown, 0.3, why.to_owned())
    } else if roles.contains(&Role::Signalling) {
        let why = format!("{words}, and TLS signalling that could carry them ended here before media");
        (CouldHold::Yes, 0.5, why)
    } else {
        (CouldHold::Unknown, 0.2, "TLS ended here, but hosts of this name serve the web".to_owned())
    }
}

fn closed_before_media(server: &Server, session: &Session) -> bool {
    session.media_start.is_some_and(|media| server.last_contact < media)
}

fn another_stayed(server: &Server, session: &Session) -> bool {
    session.servers.iter().any(|other| {
        other.address != server.address
            && other.key_service
            && other.tls
            && !closed_before_media(other, session)
    })
}

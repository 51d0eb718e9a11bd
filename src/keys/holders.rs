//! The rules: which server of a session could hold the media key. In: the method, the documents, the contacts. Out: a
//! [`Holder`] for each server. `docs/KEYS.md` gives the rules with their sources.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::contact::Connections;
use super::documents::{Mode, Said};
use super::passive::{passive, relay_over_tls};
use super::{Basis, CouldHold, FlowKeying, Holder, Known, Method};
use crate::classify::Role;
use crate::observe::PacketRef;
use crate::session::{Server, Session};

/// An answer with its reason.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) could_hold: CouldHold,
    confidence: f32,
    why: String,
    basis: Basis,
}

impl Answer {
    pub(super) fn new(could_hold: CouldHold, confidence: f32, why: impl Into<String>) -> Self {
        Self { could_hold, confidence, why: why.into(), basis: Basis::Capture }
    }

    pub(super) fn by(self, basis: Basis) -> Self {
        Self { basis, ..self }
    }
}

/// Judges each server of a session but the other participant, who has the key by right.
pub(super) fn judge(
    method: Method,
    said: &Said,
    shown: &[FlowKeying],
    contacts: &BTreeMap<IpAddr, Connections>,
    known: &Known<'_>,
    session: &Session,
) -> Vec<Holder> {
    let mut shown_at = BTreeMap::new();
    for flow in shown.iter().filter(|flow| flow.method == method) {
        shown_at.entry(flow.remote.ip()).or_insert(flow.packet);
    }
    let judge = Judge { method, said, shown, shown_at, contacts, known, session };
    let participants = known.participants(session);
    let third =
        |server: &Server| !server.is_peer() && !server.no_answer && !participants.contains(&server.address);
    let servers = session.servers.iter().enumerate().filter(|(_, server)| third(server));
    let holders = servers.map(|(index, server)| judge.holder(index, server));
    // What one session does not show of an address that calls by itself, another may.
    let calls = |holder: &Holder| known.calls(session, holder.address);
    holders.filter(|holder| holder.could_hold != CouldHold::No || !calls(holder)).collect()
}

struct Judge<'a> {
    method: Method,
    said: &'a Said,
    shown: &'a [FlowKeying],
    /// The first packet that shows the method, by the address that it went to.
    shown_at: BTreeMap<IpAddr, PacketRef>,
    contacts: &'a BTreeMap<IpAddr, Connections>,
    known: &'a Known<'a>,
    session: &'a Session,
}

impl Judge<'_> {
    fn holder(&self, index: usize, server: &Server) -> Holder {
        let answer = self.answer(server);
        let media = self.session.media_start.filter(|media| server.first_contact < *media);
        let mut packets = vec![server.handshake.unwrap_or(server.first_packet)];
        packets.extend(server.name.as_ref().map(|(_, _, packet)| *packet));
        if answer.could_hold == CouldHold::Yes {
            packets.extend(self.shown_at.get(&server.address));
        }
        packets.sort_unstable();
        packets.dedup();
        Holder {
            server: index,
            address: server.address,
            could_hold: answer.could_hold,
            why: answer.why,
            confidence: answer.confidence,
            basis: answer.basis,
            packets,
            before_media: media.map(|media| media.since(server.first_contact)),
        }
    }

    fn answer(&self, server: &Server) -> Answer {
        if server.other_end {
            let why = if self.method == Method::None {
                "the other end of media that is not encrypted: a participant, or a media server; not determinable"
            } else {
                "the other end: a participant, who has the key by right, or a media server; not determinable"
            };
            return Answer::new(CouldHold::Unknown, 0.0, why);
        }
        if self.method == Method::EndToEnd {
            self.end_to_end(server)
        } else {
            self.by_hop(self.method, server)
        }
    }

    /// The layer between the endpoint and the next server.
    fn by_hop(&self, method: Method, server: &Server) -> Answer {
        if !matches!(method, Method::DtlsSrtp | Method::Zrtp | Method::None)
            && let Some(answer) = relay_over_tls(server)
        {
            return answer;
        }
        match method {
            Method::DtlsSrtp => dtls_peer(server, self.known.relays.contains(&server.address)),
            Method::Zrtp => zrtp_peer(server),
            Method::Sdes | Method::KeyService => self.signalling(method, server),
            Method::Proprietary => self.proprietary(server),
            Method::None => in_the_clear(server),
            Method::InsideTls => self.inside(server),
            Method::EndToEnd | Method::NotDeterminable => self.open(server),
        }
    }

    /// Nothing is known of how keys arose.
    fn open(&self, server: &Server) -> Answer {
        let beside = self.contacts.contains_key(&server.address) && server.roles.contains(&Role::Media);
        if beside {
            let why = "TLS or QUIC ended where the media went; whether media keys came from there is not documented";
            return Answer::new(CouldHold::Unknown, 0.4, why);
        }
        passive(server)
            .unwrap_or_else(|| Answer::new(CouldHold::Unknown, 0.0, "how the keys arose was not seen"))
    }

    /// Documented end to end: nobody but the endpoints; where the mode may be off, what the hop layer would allow is open.
    fn end_to_end(&self, server: &Server) -> Answer {
        let Some(known) = &self.said.end_to_end else {
            return Answer::new(CouldHold::Unknown, 0.0, "how the keys arose was not seen");
        };
        let basis = Basis::Documents(known.sources.clone());
        let sure = (known.confidence - 0.2).max(0.0);
        if known.mode == Mode::Always {
            let why = if server.dtls_srtp {
                "the provider's documents say that only the endpoints have the key; the DTLS handshake that ended here \
                 made the keys of the outer layer"
            } else {
                "the provider's documents say that only the endpoints have the key"
            };
            return Answer::new(CouldHold::No, sure, why).by(basis);
        }
        let base = if self.shown.iter().any(|flow| flow.method == Method::DtlsSrtp) {
            Method::DtlsSrtp
        } else {
            self.said.method.as_ref().map_or(Method::NotDeterminable, |(method, _)| *method)
        };
        let hop = self.by_hop(base, server);
        if hop.could_hold == CouldHold::No {
            return hop;
        }
        let when = match known.mode {
            Mode::Some => format!(
                "only if this was none of the {}, which by the provider's documents are end to end",
                known.scope
            ),
            Mode::Always | Mode::Default | Mode::Optional => format!(
                "only where the end-to-end mode, which by the provider's documents is on by default ({}), was not in force",
                known.scope
            ),
        };
        let why = format!("{when}; of the layer below: {}", hop.why);
        Answer::new(CouldHold::Unknown, hop.confidence.min(0.4), why).by(basis)
    }

    fn documents(&self) -> Basis {
        if self.said.sources.is_empty() {
            Basis::Capture
        } else {
            Basis::Documents(self.said.sources.clone())
        }
    }

    /// Keys that came through signalling: whose TLS ended where, and when.
    fn signalling(&self, method: Method, server: &Server) -> Answer {
        let shown = self.shown.iter().any(|flow| flow.method == Method::Sdes)
            || (method == Method::Sdes && self.said.method.is_none() && self.is_clear());
        let words = if method == Method::Sdes {
            "media keys travel in signalling"
        } else {
            "a key service hands out keys"
        };
        let roles = &server.roles;
        if roles.contains(&Role::Signalling) && !server.tls {
            if server.clear_sip {
                let why = format!(
                    "{words}, and signalling ended here in the clear, for everybody on its way to read"
                );
                let sure = if shown { 0.9 } else { 0.6 };
                return Answer::new(CouldHold::Yes, sure, why).by(Basis::Standard("RFC 4568 section 8"));
            }
            let why = format!(
                "{words}, and signalling ended here over a connection of which no handshake was captured: whether it was \
                 protected was not seen"
            );
            return Answer::new(CouldHold::Unknown, 0.2, why).by(self.documents());
        }
        if let Some(contact) = self.contacts.get(&server.address) {
            let mut answer = self.tls_server(server, *contact, words);
            let inferred = method == Method::Sdes && self.said.method.is_none();
            if inferred {
                // No document says that this app's keys travel so: the order of things is all there is.
                answer.confidence = answer.confidence.min(0.35);
                answer.basis = Basis::Standard("RFC 4568 section 1");
            }
            return answer;
        }
        self.untouched(server)
    }

    /// True when SIP in the clear stands in the session.
    fn is_clear(&self) -> bool {
        self.session.servers.iter().any(|server| server.signals() && server.clear_sip)
    }

    fn untouched(&self, server: &Server) -> Answer {
        if server.roles.contains(&Role::Media) {
            let (sure, did) = if server.carried_media {
                (0.4, "it carried the media")
            } else {
                (0.2, "it spoke the provider's media protocol; no media was seen")
            };
            let why = format!("{did}; whether it was given the key is not visible");
            return Answer::new(CouldHold::Unknown, sure, why);
        }
        if let Some(answer) = passive(server) {
            return answer;
        }
        // Silence says something only where the signalling of the call was captured.
        if !self.session.begun_mid_call && self.session.servers.iter().any(Server::signals) {
            let why = "signalling of the call was captured, and none of it ran here";
            return Answer::new(CouldHold::No, 0.5, why);
        }
        Answer::new(CouldHold::Unknown, 0.1, "no signalling of the call was captured")
    }

    fn tls_server(&self, server: &Server, contact: Connections, words: &str) -> Answer {
        let documents = self.documents();
        let yes = |sure: f32, why: String| Answer::new(CouldHold::Yes, sure, why).by(documents.clone());
        let unknown = |sure: f32, why: &str| Answer::new(CouldHold::Unknown, sure, why);
        let seen = self.session.media_start.is_some();
        let before = if seen { "before media" } else { "in a call whose media was not seen" };
        if self.session.media_start.is_some_and(|media| contact.first > media) {
            let why = format!("{words}, and TLS ended here, but only after media had begun");
            return Answer::new(CouldHold::Unknown, 0.3, why).by(documents);
        }
        if !contact.answered {
            return unknown(0.1, "TLS was begun here, and no ServerHello was seen");
        }
        if server.key_service && self.closed_before_media(contact) && self.another_stayed(server) {
            // Clients try several controllers at once and keep one.
            return yes(
                0.45,
                format!(
                    "{words}, and TLS to this host, by its name one that hands them out, began before media; it also \
                     ended before media, while another of its kind stayed"
                ),
            );
        }
        if server.key_service {
            // The one that the client heard most from is the likeliest; a key is short, so that this is a hint only.
            let share = share(contact.received, self.most(|other| other.key_service));
            let why =
                format!("{words}, and TLS to this host, by its name one that hands them out, began {before}");
            return yes(0.15f32.mul_add(share, 0.65), why);
        }
        if server.media_service || server.carried_media {
            return yes(0.7, format!("{words}, and TLS to this media server began {before}"));
        }
        if server.roles.contains(&Role::Media) {
            let did = "which spoke the provider's media protocol";
            return yes(0.5, format!("{words}, and TLS to this server, {did}, began {before}"));
        }
        if server.backstage {
            return unknown(
                0.25,
                "TLS ended here, but by its name the program fetches settings and the like here",
            );
        }
        let is_signalling = server.roles.contains(&Role::Signalling);
        if is_signalling && self.session.servers.iter().any(|other| other.key_service && other.tls) {
            return unknown(0.3, "TLS ended here, but another server is by its name one that hands out keys");
        }
        if is_signalling {
            return yes(
                0.5,
                format!("{words}, and TLS signalling that could carry them ended here, begun {before}"),
            );
        }
        unknown(0.2, "TLS ended here, but hosts of this name serve the web")
    }

    fn closed_before_media(&self, contact: Connections) -> bool {
        self.session.media_start.is_some_and(|media| contact.last < media)
    }

    fn another_stayed(&self, server: &Server) -> bool {
        self.session.servers.iter().any(|other| {
            let contact = self.contacts.get(&other.address);
            other.address != server.address
                && other.key_service
                && contact.is_some_and(|contact| contact.answered && !self.closed_before_media(*contact))
        })
    }

    /// Most bytes that a server of a kind sent over TLS.
    fn most(&self, kind: impl Fn(&Server) -> bool) -> u64 {
        let servers = self.session.servers.iter().filter(|server| kind(server));
        servers.filter_map(|server| Some(self.contacts.get(&server.address)?.received)).max().unwrap_or(0)
    }

    /// The provider's own way, by documents that say its media servers decrypt.
    fn proprietary(&self, server: &Server) -> Answer {
        if server.media_service || server.roles.contains(&Role::Media) {
            let (sure, did) = if server.carried_media {
                (0.7, "carried media")
            } else if server.media_service {
                (0.7, "is one of them by its name")
            } else {
                (0.5, "spoke the provider's media protocol; no media was seen")
            };
            let why =
                format!("by the provider's documents its media servers have the key, and this one {did}");
            return Answer::new(CouldHold::Yes, sure, why).by(self.documents());
        }
        if let Some(answer) = passive(server).filter(|_| !self.contacts.contains_key(&server.address)) {
            return answer;
        }
        if self.contacts.contains_key(&server.address) {
            let why = "TLS ended here; the provider's documents do not say whether keys pass its signalling";
            return Answer::new(CouldHold::Unknown, 0.3, why).by(self.documents());
        }
        self.untouched(server)
    }

    /// Media inside TLS or QUIC: the outer layer ends at the server.
    fn inside(&self, server: &Server) -> Answer {
        if self.contacts.get(&server.address).is_some_and(|contact| contact.carried_media) {
            let why = "the TLS or QUIC connection that carried the media ended here; whether media is encrypted once more \
                       inside is not visible";
            return Answer::new(CouldHold::Yes, 0.5, why).by(Basis::Standard("RFC 8446 appendix E"));
        }
        self.untouched(server)
    }
}

/// `relays`: some endpoint of the capture used the address as a TURN relay.
fn dtls_peer(server: &Server, relays: bool) -> Answer {
    let basis = Basis::Standard("RFC 5764 section 4");
    if server.dtls_srtp && relays && server.behind.is_none() && !server.roles.contains(&Role::Relay) {
        let why = "the DTLS handshake that made the media keys went here, to an address that relays (TURN) for another \
                   endpoint: it could hold the key if it ended here, and could not if it was passed on";
        return Answer::new(CouldHold::Unknown, 0.5, why).by(basis);
    }
    if server.dtls_srtp
        && let Some(relay) = server.behind
    {
        let why = format!(
            "the relay {relay} forwarded the DTLS handshake that made the media keys to and from here; it could not if \
             this address is another relay"
        );
        return Answer::new(CouldHold::Yes, 0.7, why).by(basis);
    }
    if server.dtls_srtp && !server.roles.contains(&Role::Relay) {
        return Answer::new(CouldHold::Yes, 0.95, "the DTLS handshake that made the media keys ended here")
            .by(basis);
    }
    if server.roles.contains(&Role::Relay) {
        let why = "it was seen as a TURN relay only, which forwards DTLS and SRTP and takes part in neither";
        return Answer::new(CouldHold::No, 0.8, why).by(Basis::Standard("RFC 8656 section 2"));
    }
    if server.tls {
        let why = "media keys were agreed by DTLS with another; signalling carries fingerprints of certificates at most, \
                   unless it stood in the middle";
        return Answer::new(CouldHold::No, 0.6, why).by(Basis::Standard("RFC 5763 section 5"));
    }
    Answer::new(CouldHold::No, 0.6, "media keys were agreed by DTLS with another server").by(basis)
}

fn zrtp_peer(server: &Server) -> Answer {
    let basis = Basis::Standard("RFC 6189 section 3");
    if server.roles.contains(&Role::Media) {
        let why = "ZRTP ran to this address; it could hold the key if it ended there, and could not if it was passed on";
        return Answer::new(CouldHold::Unknown, 0.5, why).by(basis);
    }
    Answer::new(CouldHold::No, 0.7, "media keys were agreed by ZRTP on the media path").by(basis)
}

/// Media in the clear: there is no key, and whoever forwards it can hear it.
fn in_the_clear(server: &Server) -> Answer {
    let basis = Basis::Standard("RFC 3550 section 9.1");
    let carried = [Role::Relay, Role::P2p].iter().any(|role| server.roles.contains(role));
    if carried || server.carried_media {
        let why = "media is not encrypted: whoever carries it, this server and all on the way, needs no key";
        return Answer::new(CouldHold::Yes, 0.9, why).by(basis);
    }
    if server.roles.contains(&Role::Media) {
        let why =
            "media is not encrypted, and a media protocol was spoken here; no media was seen to run here";
        return Answer::new(CouldHold::Unknown, 0.2, why).by(basis);
    }
    Answer::new(
        CouldHold::No,
        0.6,
        "media is not encrypted, so that there is no key, and none of it ran here",
    )
    .by(basis)
}

/// Part of the whole, 0 to 1.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a weight needs no more than a float has"
)]
fn share(part: u64, whole: u64) -> f32 {
    if whole == 0 { 0.0 } else { part as f32 / whole as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::{Names, embedded};
    use crate::observe::PacketRef;
    use crate::observe::facts::{Certificate, CertificateBody, Stun, Tls};
    use crate::session::tests::{Source, flow};
    use crate::session::{Judged, assemble};

    const ALICE: &str = "10.0.0.1:50000";

    /// TLS before media, in which the other end shows these names.
    fn tls(id: u64, remote: &str, sni: &str, certified: &[&str]) -> Judged {
        let mut judged = flow(id, "10.0.0.1:50001", remote, (0, 60_000));
        let packet = PacketRef::new(0, id);
        let dns_names = certified.iter().map(|name| (*name).to_owned()).collect();
        let body = CertificateBody { dns_names, ..CertificateBody::default() };
        judged.flow.facts = Some(Box::default());
        judged.flow.facts.as_mut().unwrap().tls = Some(Box::new(Tls {
            sni: Some(sni.into()),
            client_hello: Some(packet),
            server_hello: Some(packet),
            certificates: vec![Certificate { body: body.into(), packet }].into(),
            ..Tls::default()
        }));
        judged.flow.tuple.protocol = 6;
        judged.verdict.role = Some(Role::Web);
        judged
    }

    /// Packets 1238, 1239, 1244 and 1336 of a Teams call of 2020: Allocate over UDP, TLS to the same address, TLS to another
    /// whose certificate names relays.
    #[test]
    fn a_turn_relay_spoken_to_over_tls_too_is_given_no_key() {
        let rules = embedded().unwrap();
        let teams =
            (0..100).find(|number| rules.provider(*number).is_some_and(|found| found.id == "ms-teams"));
        let mut turn = flow(2, ALICE, "198.51.100.3:3478", (100, 60_000));
        turn.flow.facts.as_mut().unwrap().stun = Some(Box::new(Stun { relays: true, ..Stun::default() }));
        turn.verdict.role = Some(Role::Relay);
        let mut flows = [
            tls(1, "198.51.100.2:443", "api.flightproxy.teams.microsoft.com", &[]),
            turn,
            tls(3, "198.51.100.3:443", "198.51.100.3", &["one.example.org"]),
            tls(
                4,
                "198.51.100.4:443",
                "198.51.100.4",
                &["tr.teams.microsoft.com", "*.relay.teams.microsoft.com"],
            ),
            tls(5, "198.51.100.5:443", "198.51.100.5", &["turn.teams.microsoft.com", "teams.microsoft.com"]),
            flow(6, ALICE, "198.51.100.7:3479", (1_000, 60_000)).sends(Source::new(7, 7)),
        ];
        for judged in &mut flows {
            judged.verdict.provider = teams;
        }
        let sessions = assemble(&rules, &Names::default(), &flows, crate::parallel::Threads::ONE);
        let keys = crate::keys::keys(&rules, &Known::of(&sessions), &flows, &sessions[0]);
        assert_eq!(keys.method, Method::Sdes);
        let said = |address: &str| {
            let found = keys.holders.iter().find(|holder| holder.address.to_string() == address);
            found.map(|holder| holder.could_hold)
        };
        assert_eq!(said("198.51.100.2"), Some(CouldHold::Yes), "hands keys out by its name");
        assert_eq!(said("198.51.100.3"), Some(CouldHold::No), "answered TURN over UDP");
        assert_eq!(said("198.51.100.4"), Some(CouldHold::No), "a certificate of relays");
        assert_eq!(said("198.51.100.5"), Some(CouldHold::Unknown), "a certificate of more than relays");
    }

    /// The holders of the first session, by address.
    fn told(flows: &mut [Judged]) -> BTreeMap<String, Holder> {
        let rules = embedded().unwrap();
        let teams =
            (0..100).find(|number| rules.provider(*number).is_some_and(|found| found.id == "ms-teams"));
        for judged in flows.iter_mut() {
            judged.verdict.provider = teams;
        }
        let sessions = assemble(&rules, &Names::default(), flows, crate::parallel::Threads::ONE);
        let keys = crate::keys::keys(&rules, &Known::of(&sessions), flows, &sessions[0]);
        keys.holders.into_iter().map(|holder| (holder.address.to_string(), holder)).collect()
    }

    #[test]
    fn of_an_endpoint_of_another_session_it_is_not_said_that_it_cannot() {
        let mut relay = flow(2, ALICE, "10.0.0.9:3478", (100, 60_000));
        relay.verdict.role = Some(Role::Relay);
        let call = || flow(1, ALICE, "198.51.100.7:3479", (0, 60_000)).sends(Source::new(7, 7));
        let other = flow(3, "10.0.0.9:40000", "198.51.100.8:3479", (0, 60_000)).sends(Source::new(8, 8));
        assert_eq!(told(&mut [call(), relay.clone()])["10.0.0.9"].could_hold, CouldHold::No);
        assert!(!told(&mut [call(), relay, other]).contains_key("10.0.0.9"));
    }

    #[test]
    fn media_is_said_to_have_run_where_it_was_seen() {
        let mut ping = flow(2, ALICE, "198.51.100.8:3479", (100, 60_000));
        ping.flow.packets = [2, 2];
        let call = flow(1, ALICE, "198.51.100.7:3479", (0, 60_000)).sends(Source::new(7, 7));
        let told = told(&mut [call, ping]);
        assert!(told["198.51.100.7"].why.starts_with("it carried the media"));
        assert!(told["198.51.100.8"].why.contains("no media was seen"), "{}", told["198.51.100.8"].why);
    }
}

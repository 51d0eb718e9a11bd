//! Stage: who could hold the media key. In: a session with its flows. Out: [`Keys`].
//!
//! Inference from the wire and from the provider's documented keying. Nothing here claims that a server
//! *holds* a key: the answers are could hold, could not, not determinable, each with its reason. The rules and their
//! sources are written down in `docs/KEYS.md`.

pub mod cipher;
mod contact;
mod described;
mod documents;
mod holders;
pub mod input;
mod media;
mod passive;
pub mod verify;
pub mod witness;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hashbrown::HashMap;

pub use contact::{Contact, ContactKind};
pub use documents::{EndToEnd, Mode, Said};
pub use media::{DtlsPeer, dtls_peer};

use crate::classify::{Role, Rules};
use crate::observe::PacketRef;
use crate::session::{Judged, Meeting, Members, Session};

/// Media flows of a session whose keying is kept one by one.
const FLOWS: usize = 64;

/// How the media keys of a session arose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Method {
    /// DTLS-SRTP, RFC 5764: the handshake ran on the media path.
    DtlsSrtp,
    /// ZRTP, RFC 6189: the keys were agreed on the media path.
    Zrtp,
    /// Keys travelled in signalling (RFC 4568 or alike).
    Sdes,
    /// A service of the provider generates and hands out the keys.
    KeyService,
    /// Only the endpoints have the keys, by the provider's documents.
    EndToEnd,
    /// The provider's own way; by its documents its servers have the key.
    Proprietary,
    /// No key: media is in the clear.
    None,
    /// Media runs inside TLS or QUIC; what is inside is not visible.
    InsideTls,
    /// RTP with none of the above, and no document that says more.
    #[default]
    NotDeterminable,
}

/// Whether a server could hold the media key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
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

/// What stands behind an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Basis {
    /// The capture alone.
    #[default]
    Capture,
    /// The capture, and what a key log opens of it.
    KeyLog,
    /// A standard, with the section.
    Standard(&'static str),
    /// Documents, by their names in `providers/sources.toml`.
    Documents(Vec<String>),
}

/// What stands behind a witness: what went in the clear needs no key log.
impl From<witness::Delivery> for Basis {
    fn from(delivery: witness::Delivery) -> Self {
        match delivery {
            witness::Delivery::Clear => Self::Capture,
            witness::Delivery::Delivered | witness::Delivery::Sent | witness::Delivery::Agreed => {
                Self::KeyLog
            }
        }
    }
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
    /// What says so.
    pub basis: Basis,
    /// The packets that show it.
    pub packets: Vec<PacketRef>,
    /// How long before the first media packet it was contacted; `None` when media came first or never.
    pub before_media: Option<Duration>,
}

/// A DTLS handshake that made media keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// Version; wire value.
    pub version: Option<u16>,
    /// `use_srtp` profile chosen; wire value. Not visible in DTLS 1.3.
    pub profile: Option<u16>,
    /// Which end was the DTLS server, where a hello was seen; of a peer behind a relay only where exactly one is known.
    pub server: Option<SocketAddr>,
    /// True when that was the endpoint, false when it was the other end; `None` where no hello was seen.
    pub endpoint_answers: Option<bool>,
    /// The TURN relay that forwarded it.
    pub relay: Option<SocketAddr>,
    /// SHA-256 of the server's certificate, hex.
    pub server_certificate: Option<String>,
    /// SHA-256 of the client's certificate, hex.
    pub client_certificate: Option<String>,
}

/// How the keys of one media flow arose, by what the wire shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowKeying {
    /// Number of the flow, the first of those that are alike.
    pub flow: u64,
    /// How many flows to that address and port are alike.
    pub flows: u32,
    /// The endpoint.
    pub local: SocketAddr,
    /// Who was spoken to.
    pub remote: SocketAddr,
    /// How.
    pub method: Method,
    /// What shows it, in a sentence.
    pub why: String,
    /// The packet that shows it.
    pub packet: PacketRef,
    /// The handshake, for DTLS-SRTP.
    pub handshake: Option<Handshake>,
}

/// The keying of a session. The default is that of a session which was not looked at.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// How the keys arose.
    pub method: Method,
    /// What says so.
    pub why: String,
    /// What stands behind `why`.
    pub basis: Basis,
    /// Cipher that the documents of that day name.
    pub ciphers: Vec<String>,
    /// The end-to-end mode that the provider documents for that day.
    pub end_to_end: Option<EndToEnd>,
    /// Media flows one by one, in the order in which they began.
    pub flows: Vec<FlowKeying>,
    /// Media flows that did not fit that list.
    pub flows_left_out: u32,
    /// Servers, the likeliest holders first.
    pub holders: Vec<Holder>,
    /// What was contacted when, in order.
    pub timeline: Vec<Contact>,
    /// Contacts that did not fit.
    pub timeline_left_out: u32,
    /// What values in opened or clear signalling came to when they were tried on the media.
    pub witnesses: witness::Witnesses,
}

impl Keys {
    /// True when an end-to-end mode, if it was on, would take the key from every server; the wire does not show it. Not where the key was
    /// seen on its way over a server.
    pub fn unless_end_to_end(&self) -> bool {
        let passed = |witness: &witness::Witness| witness.delivery != witness::Delivery::Agreed;
        self.end_to_end.as_ref().is_some_and(|known| known.mode != Mode::Always)
            && !self.witnesses.found.iter().any(passed)
    }
}

/// Flows judged and put into sessions.
#[derive(Debug, Default)]
pub struct Analysis {
    /// All flows, in the order in which they began.
    pub flows: Vec<Judged>,
    /// Sessions with their keys, in the order in which they began.
    pub sessions: Vec<(Session, Keys)>,
    /// What `sessions` would be, where flows alone were asked for.
    pub members: Vec<Members>,
    /// Sessions that share a meeting, in the order in which the meetings began.
    pub meetings: Vec<Meeting>,
    /// Place of a session's meeting. Asked, never walked.
    met: HashMap<u64, usize>,
}

impl Analysis {
    /// Puts it together.
    pub fn new(flows: Vec<Judged>, sessions: Vec<(Session, Keys)>, meetings: Vec<Meeting>) -> Self {
        let mut met = HashMap::new();
        for (place, meeting) in meetings.iter().enumerate() {
            for session in &meeting.sessions {
                met.entry(*session).or_insert(place);
            }
        }
        Self { flows, sessions, members: Vec::new(), meetings, met }
    }

    /// The same of flows alone, and which of them are together.
    pub fn of_flows(flows: Vec<Judged>, members: Vec<Members>) -> Self {
        Self { flows, members, ..Self::default() }
    }

    /// The sessions by their numbers, with the indexes of their flows.
    pub fn flows_of_sessions(&self) -> impl Iterator<Item = (u64, &[usize])> {
        let whole = self.sessions.iter().map(|(session, _)| (session.id, session.flows.as_slice()));
        whole.chain(self.members.iter().map(|session| (session.id, session.flows.as_slice())))
    }

    /// The meeting of the session with this number.
    pub fn meeting_of(&self, session: u64) -> Option<&Meeting> {
        self.meetings.get(*self.met.get(&session)?)
    }
}

/// What the sessions of a capture say of each other's servers.
#[derive(Debug)]
pub struct Known<'s> {
    sessions: &'s [Session],
    /// Sessions of which a flow is. Asked, never walked.
    by_flow: HashMap<usize, Vec<usize>>,
    /// Addresses that some endpoint used as a TURN relay.
    relays: BTreeSet<IpAddr>,
    /// The sessions that an address is the endpoint of, by their places. Asked, never walked.
    endpoints: HashMap<IpAddr, Vec<usize>>,
}

impl<'s> Known<'s> {
    /// Gathers it.
    pub fn of(sessions: &'s [Session]) -> Self {
        let mut known =
            Self { sessions, by_flow: HashMap::new(), relays: BTreeSet::new(), endpoints: HashMap::new() };
        for (number, session) in sessions.iter().enumerate() {
            for index in &session.flows {
                known.by_flow.entry(*index).or_default().push(number);
            }
            let relays = session.servers.iter().filter(|server| server.roles.contains(&Role::Relay));
            known.relays.extend(relays.map(|server| server.address));
            for used in &session.addresses {
                known.endpoints.entry(used.ip).or_default().push(number);
            }
        }
        known
    }

    /// True of the endpoint of another session that goes on at the same time.
    fn calls(&self, session: &Session, address: IpAddr) -> bool {
        let others = self.endpoints.get(&address).into_iter().flatten();
        others
            .filter_map(|number| self.sessions.get(*number))
            .any(|other| other.id != session.id && other.start <= session.end && session.start <= other.end)
    }

    /// Addresses of the participants of a session: of the endpoints whose calls share a flow with it.
    fn participants(&self, session: &Session) -> BTreeSet<IpAddr> {
        let numbers: BTreeSet<usize> =
            session.flows.iter().filter_map(|index| self.by_flow.get(index)).flatten().copied().collect();
        let sharing = numbers.into_iter().filter_map(|number| self.sessions.get(number));
        sharing.flat_map(|sharing| &sharing.addresses).map(|used| used.ip).collect()
    }
}

/// Judges the servers of a session.
pub fn keys(rules: &Rules, known: &Known<'_>, flows: &[Judged], session: &Session) -> Keys {
    let provider = session.provider.and_then(|number| rules.provider(number));
    let own: Vec<&Judged> = session.flows.iter().filter_map(|index| flows.get(*index)).collect();
    let said = documents::said(provider, session.call_start, is_straight(session));
    let addresses = session.own();
    let (shown, shown_by_signalling) = media::keying(&own, &addresses, session);
    let (method, why, basis) = method(&said, &shown, shown_by_signalling, session, &own);
    let contacts = contact::tls(&own, &addresses);
    let mut holders = holders::judge(method, &said, &shown, &contacts, known, session);
    holders.sort_by(likelier);
    let mut shown = alike(shown, session, method, &why);
    let flows_left_out = u32::try_from(shown.len().saturating_sub(FLOWS)).unwrap_or(u32::MAX);
    shown.truncate(FLOWS);
    let (timeline, timeline_left_out) = contact::timeline(&own, &addresses, session);
    Keys {
        method,
        why,
        basis,
        ciphers: said.ciphers.clone(),
        end_to_end: said.end_to_end,
        flows: shown,
        flows_left_out,
        holders,
        timeline,
        timeline_left_out,
        witnesses: witness::Witnesses::default(),
    }
}

/// The order of holders: the likeliest first.
fn likelier(a: &Holder, b: &Holder) -> std::cmp::Ordering {
    a.could_hold.cmp(&b.could_hold).then(b.confidence.total_cmp(&a.confidence)).then(a.server.cmp(&b.server))
}

/// True when media went from endpoint to endpoint.
fn is_straight(session: &Session) -> bool {
    session.servers.iter().any(crate::session::Server::is_peer)
}

/// Flows of which the wire shows nothing take what is known of the session; those that are alike stand once.
fn alike(shown: Vec<FlowKeying>, session: &Session, method: Method, why: &str) -> Vec<FlowKeying> {
    let mut kept: Vec<FlowKeying> = Vec::new();
    // Those that were kept with a remote end.
    let mut places: HashMap<SocketAddr, Vec<usize>> = HashMap::new();
    let is_told = shown.iter().any(|flow| flow.method == method);
    let moved_to: BTreeSet<SocketAddr> = session.changes.iter().map(|change| change.to).collect();
    let keyed: BTreeSet<SocketAddr> = shown
        .iter()
        .filter(|flow| flow.method == Method::DtlsSrtp)
        .flat_map(|flow| [flow.local, flow.remote])
        .collect();
    for mut flow in shown {
        let ends = [flow.local, flow.remote];
        // One end moved, and the other stayed: DTLS goes on with the keys that it has.
        let moved = ends.iter().any(|end| moved_to.contains(end) || keyed.contains(end));
        let open = flow.method == Method::NotDeterminable;
        if open && moved && method == Method::DtlsSrtp {
            flow.method = method;
            "the call goes on here after a change of address, with the keys that it had"
                .clone_into(&mut flow.why);
        } else if open && !is_told {
            flow.method = method;
            why.clone_into(&mut flow.why);
        }
        let places = places.entry(flow.remote).or_default();
        let same = |at: &usize| {
            let alike = kept.get(*at);
            alike.is_some_and(|held| (held.method, &held.handshake) == (flow.method, &flow.handshake))
        };
        if let Some(held) = places.iter().copied().find(same).and_then(|at| kept.get_mut(at)) {
            held.flows = held.flows.saturating_add(1);
        } else {
            if places.len() < FLOWS {
                places.push(kept.len());
            }
            kept.push(flow);
        }
    }
    kept
}

/// The method of the session: what the wire shows first, then what documents say, then what the order of things allows.
fn method(
    said: &Said,
    shown: &[FlowKeying],
    signalled: Option<(Method, String)>,
    session: &Session,
    own: &[&Judged],
) -> (Method, String, Basis) {
    let documented = || Basis::Documents(said.sources.clone());
    if let Some(known) = said.end_to_end.as_ref().filter(|known| known.mode != Mode::Optional)
        && shown.iter().all(|flow| flow.method != Method::None)
    {
        return (Method::EndToEnd, known.why.clone(), Basis::Documents(known.sources.clone()));
    }
    if let Some(flow) = media::decisive(shown, own) {
        return (flow.method, flow.why.clone(), media::basis(flow.method));
    }
    if let Some((method, why)) = signalled {
        return (method, why, media::basis(method));
    }
    if let Some((method, why)) = said.method.clone() {
        return (method, why, documented());
    }
    if let Some(flow) = shown.iter().find(|flow| flow.method == Method::InsideTls) {
        return (Method::InsideTls, flow.why.clone(), Basis::Capture);
    }
    if let Some(why) = through_signalling(session, own) {
        let why = format!("{why}; {}", said.silence);
        return (Method::Sdes, why, Basis::Standard("RFC 4568 section 1"));
    }
    (Method::NotDeterminable, said.silence.clone(), Basis::Capture)
}

/// Media without DTLS, in a call whose signalling over TLS was captured from the start: keys, if there are any, came that way.
fn through_signalling(session: &Session, own: &[&Judged]) -> Option<String> {
    let media = session.media_start?;
    let has_rtp = own.iter().any(|judged| {
        let facts = judged.flow.facts.as_deref();
        facts.and_then(|facts| facts.media.as_ref()).is_some_and(|media| !media.streams.is_empty())
    });
    let signals = session
        .servers
        .iter()
        .any(|server| server.tls && server.roles.contains(&Role::Signalling) && server.first_contact < media);
    (has_rtp && signals && !session.begun_mid_call).then(|| {
        "no DTLS on the media path of a call seen from its start, whose signalling ran over TLS: keys, if media is \
         encrypted, came through it"
            .to_owned()
    })
}

//! Alerts: the rules of a policy over a session. In: a session with its record, and the sessions that share its meeting. Out:
//! alerts, in the order of the rules, each with the packets behind its reasons.

mod clear;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use hashbrown::{HashMap, HashSet};

use super::super::record::{
    AlertException, AlertParticipant, AlertReason, AlertRecord, EveAlert, HolderRecord, PacketNumber,
    PlaceRecord, ServerRecord, SessionRecord, Severity,
};
use super::public::public_address;
use super::shared::Shared;
use super::{Context, count, met, session_id, session_record};
use crate::classify::Role;
use crate::geo::{Country, LocatedIn};
use crate::keys::{Analysis, CouldHold};
use crate::policy::{self, Answer, Groups, Holder, Outcome, Participant, Policy, Reason, Server, Subject};
use crate::session::Session;

/// Packets named by one reason.
const PACKETS: usize = 16;
/// What nobody can say of who else took part.
const NOTE: &str = "participants whose packets do not pass this point of capture are not seen, and where they sit is not known";

/// The policy of a run, and what came of it.
#[derive(Debug)]
pub(super) struct Judging<'a> {
    pub(super) policy: Shared<'a, Policy>,
    pub(super) groups: Shared<'a, dyn Groups + Send + Sync>,
    /// Alerts of sessions that are being written, by the session's number.
    pub(super) alerts: BTreeMap<u64, Vec<AlertRecord>>,
    pub(super) fired: bool,
}

/// What is said of a participant, kept for the meeting's other sessions.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(super) struct Seated {
    session: String,
    addresses: Vec<IpAddr>,
    placed: Vec<(Country, String)>,
}

impl Seated {
    /// True where the participant uses this address.
    pub(super) fn is_at(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address)
    }
}

impl Context<'_> {
    /// True where a rule has fired, over all sessions that were judged.
    pub fn fired(&self) -> bool {
        self.judging.as_ref().is_some_and(|judging| judging.fired)
    }

    /// How many rules the policy has; none where there is no policy.
    pub(in super::super) fn rules_of_policy(&self) -> Option<usize> {
        self.judging.as_ref().map(|judging| judging.policy.rules().len())
    }

    /// The alerts of a session whose record was made.
    pub(in super::super) fn alerts_of(&self, session: &Session) -> Vec<AlertRecord> {
        let alerts = self.judging.as_ref().and_then(|judging| judging.alerts.get(&session.id));
        alerts.cloned().unwrap_or_default()
    }

    /// The alerts of all sessions of `analysis`, in their order.
    pub(in super::super) fn alerts(&mut self, analysis: &Analysis) -> Vec<AlertRecord> {
        self.settle(analysis);
        let Some(judging) = &self.judging else { return Vec::new() };
        let of = |session: &Session| judging.alerts.get(&session.id).cloned().unwrap_or_default();
        analysis.sessions.iter().flat_map(|(session, _)| of(session)).collect()
    }

    /// Judges the sessions of `analysis` whose records nobody asked for.
    pub(in super::super) fn settle(&mut self, analysis: &Analysis) {
        let Some(judging) = &self.judging else { return };
        let missing = |id: &u64| !judging.alerts.contains_key(id);
        let rest: Vec<_> = analysis.sessions.iter().filter(|(session, _)| missing(&session.id)).collect();
        for (session, keys) in rest {
            // Making the record judges it.
            session_record(self, analysis, session, keys);
        }
    }

    /// Lets alerts go that were written.
    pub(in super::super) fn forget_alerts(&mut self) {
        if let Some(judging) = &mut self.judging {
            judging.alerts.clear();
        }
    }

    /// Judges a session and keeps its alerts.
    pub(super) fn judge(&mut self, analysis: &Analysis, session: &Session, record: &SessionRecord) {
        let Some(judging) = &self.judging else { return };
        let (policy, groups) = (judging.policy.clone(), judging.groups.clone());
        let seats = self.seats(analysis, session);
        let facts = Facts { session, record, seats, clear: clear::key_in_clear(analysis, session, record) };
        let alerts = alerts(&policy, &*groups, &facts);
        if let Some(judging) = &mut self.judging {
            judging.fired |= alerts.iter().any(|alert| alert.fired);
            judging.alerts.insert(session.id, alerts);
        }
    }

    /// Where the participants of the session's meeting sit, its own endpoint first.
    pub(super) fn seats(&self, analysis: &Analysis, session: &Session) -> Vec<Seated> {
        let mut seats = vec![self.seat(analysis, session)];
        for other in met(analysis, session) {
            if other.id != session.id {
                seats.push(self.seat(analysis, other));
            }
        }
        if let Some(meeting) = analysis.meeting_of(session.id) {
            // Sessions of a live run that were written before.
            let mut seated: HashSet<String> = seats.iter().map(|seat| seat.session.clone()).collect();
            for id in &meeting.sessions {
                if seated.insert(session_id(*id)) {
                    seats.extend(self.told.get(id).map(|told| told.seat.clone()));
                }
            }
        }
        // A peer that only this session shows is another participant.
        let mut known: HashSet<IpAddr> =
            seats.iter().flat_map(|seat| seat.addresses.iter().copied()).collect();
        for server in session.servers.iter().filter(|server| is_peer(&server.roles)) {
            if known.insert(server.address) {
                let placed = placed(&self.place(server.address, session.start).located_in);
                seats.push(Seated { session: String::new(), addresses: vec![server.address], placed });
            }
        }
        seats
    }

    /// Where a session's endpoint sits.
    pub(super) fn seat(&self, analysis: &Analysis, session: &Session) -> Seated {
        let mut addresses = vec![session.endpoint];
        addresses.extend(session.addresses.iter().map(|used| used.ip));
        let public = public_address(analysis, session);
        addresses.extend(public);
        let mut seen = std::collections::BTreeSet::new();
        addresses.retain(|address| seen.insert(*address));
        let place = self.place(public.unwrap_or(session.endpoint), session.start);
        Seated { session: session_id(session.id), addresses, placed: placed(&place.located_in) }
    }
}

pub(super) fn is_peer(roles: &[Role]) -> bool {
    !roles.is_empty() && roles.iter().all(|role| *role == Role::P2p)
}

fn placed(place: &LocatedIn) -> Vec<(Country, String)> {
    let answers = place.answers.iter();
    answers
        .filter_map(|answer| {
            Some((answer.country?, format!("database {} of {}", answer.database, answer.date)))
        })
        .collect()
}

/// All that a session is judged by.
struct Facts<'a> {
    session: &'a Session,
    record: &'a SessionRecord,
    seats: Vec<Seated>,
    /// Whether its key went in the clear, and why.
    clear: Option<(Answer, String)>,
}

fn alerts(policy: &Policy, groups: &dyn Groups, facts: &Facts<'_>) -> Vec<AlertRecord> {
    let subject = subject(facts);
    let outcomes = policy.evaluate(&subject, groups);
    if outcomes.is_empty() {
        return Vec::new();
    }
    let participants: Vec<AlertParticipant> =
        facts.seats.iter().map(|seat| participant(policy, seat)).collect();
    outcomes.iter().map(|outcome| alert(outcome, facts, &participants)).collect()
}

/// The facts of a session, as a policy asks for them.
fn subject<'a>(facts: &'a Facts<'a>) -> Subject<'a> {
    let (session, record, seats) = (facts.session, facts.record, &facts.seats);
    let servers: Vec<Server<'a>> = session
        .servers
        .iter()
        .zip(&record.servers)
        .filter(|(server, shown)| !is_peer(&server.roles) && shown.is_server())
        .map(|(server, shown)| Server {
            address: server.address,
            name: shown.name.as_deref(),
            roles: server.roles.iter().map(|role| role.as_str()).collect(),
            exposure: &shown.place.exposure,
            contradicted: refuted(&shown.place),
            front_end: None,
        })
        .collect();
    let places = servers.iter().enumerate().rev().map(|(place, server)| (server.address, place));
    let places: HashMap<IpAddr, usize> = places.collect();
    let listed: HashSet<&str> = record.servers.iter().map(|server| server.ip.as_str()).collect();
    let judged = |shown: &'a HolderRecord| {
        let address: Option<IpAddr> = shown.ip.parse().ok();
        let contacted = address.and_then(|address| servers.get(*places.get(&address)?));
        let server = match contacted {
            Some(server) => Server { front_end: shown.front_end.as_deref(), ..server.clone() },
            None if listed.contains(shown.ip.as_str()) => return None,
            None => beyond(shown)?,
        };
        let could_hold = match shown.could_hold {
            CouldHold::Yes => Answer::Yes,
            CouldHold::Unknown => Answer::Unknown,
            CouldHold::No => Answer::No,
        };
        let why = contacted.is_none().then_some(shown.why.as_str());
        Some(Holder { server, could_hold, confidence: shown.confidence, why })
    };
    let home = record.servers.iter().find_map(|server| server.place.service_operator.as_ref());
    Subject {
        app: record.app.as_deref(),
        app_name: record.app_name.as_deref(),
        endpoint: seats.first().map(|seat| seat.addresses.clone()).unwrap_or_default(),
        participants: seats
            .iter()
            .map(|seat| Participant {
                session: &seat.session,
                addresses: seat.addresses.clone(),
                placed: seat.placed.clone(),
            })
            .collect(),
        operator_home: home.and_then(|home| Country::parse(&home.home_jurisdiction)),
        begin: session.start,
        holders: record.keys.holders.iter().filter_map(judged).collect(),
        keying: method(record.keys.method),
        end_to_end_possible: record.keys.unless_end_to_end,
        cipher: record
            .cipher
            .as_ref()
            .map(|sealed| (verdict(sealed.evidence.verdict), sealed.evidence.text.as_str())),
        key_in_clear: facts.clear.as_ref().map(|(answer, why)| (*answer, why.as_str())),
        servers,
    }
}

/// A server that the session itself did not contact, and that its key came over.
fn beyond(shown: &HolderRecord) -> Option<Server<'_>> {
    Some(Server {
        address: shown.ip.parse().ok()?,
        name: shown.name.as_deref(),
        roles: Vec::new(),
        exposure: &shown.place.exposure,
        contradicted: refuted(&shown.place),
        front_end: shown.front_end.as_deref(),
    })
}

/// Countries that the time of a server's answers contradicts.
fn refuted(place: &PlaceRecord) -> Vec<Country> {
    let distance = place.distance.iter();
    distance.flat_map(|distance| &distance.contradicts).map(|claim| claim.country).collect()
}

/// The word of records.
pub(in super::super) const fn method(method: crate::keys::Method) -> &'static str {
    use crate::keys::Method;
    match method {
        Method::DtlsSrtp => "dtls_srtp",
        Method::Zrtp => "zrtp",
        Method::Sdes => "sdes",
        Method::KeyService => "key_service",
        Method::EndToEnd => "end_to_end",
        Method::Proprietary => "proprietary",
        Method::None => "none",
        Method::InsideTls => "inside_tls",
        Method::NotDeterminable => "not_determinable",
    }
}

/// The word of records.
const fn verdict(verdict: crate::keys::cipher::CipherVerdict) -> &'static str {
    use crate::keys::cipher::CipherVerdict;
    match verdict {
        CipherVerdict::EcbConfirmed => "ecb_confirmed",
        CipherVerdict::EcbVeryLikely => "ecb_very_likely",
        CipherVerdict::EcbSuspicious => "ecb_suspicious",
        CipherVerdict::NotEncrypted => "not_encrypted",
        CipherVerdict::BeginsInClear => "begins_in_clear",
        CipherVerdict::Inconclusive => "inconclusive",
        CipherVerdict::NoEcbEvidence => "no_ecb_evidence",
        CipherVerdict::StreamLengths => "stream_lengths",
        CipherVerdict::AeadFraming => "aead_framing",
    }
}

fn participant(policy: &Policy, seat: &Seated) -> AlertParticipant {
    let ip = seat.addresses.first().map(IpAddr::to_string).unwrap_or_default();
    let session_id = Some(seat.session.clone()).filter(|session| !session.is_empty());
    let site = seat.addresses.iter().find_map(|address| policy.sites().country_of(*address));
    if let Some(country) = site {
        let source = "a [[site]] of the policy".to_owned();
        return AlertParticipant { session_id, ip, countries: vec![country.code().to_owned()], source };
    }
    let mut countries: Vec<String> =
        seat.placed.iter().map(|(country, _)| country.code().to_owned()).collect();
    countries.sort_unstable();
    countries.dedup();
    let mut sources: Vec<&str> = seat.placed.iter().map(|(_, source)| source.as_str()).collect();
    sources.dedup();
    let source = if sources.is_empty() {
        "no [[site]] of the policy, and no database".to_owned()
    } else {
        sources.join(", ")
    };
    AlertParticipant { session_id, ip, countries, source }
}

fn alert(outcome: &Outcome<'_>, facts: &Facts<'_>, participants: &[AlertParticipant]) -> AlertRecord {
    let (rule, record) = (outcome.rule, facts.record);
    let severity = match outcome.severity {
        policy::Severity::High => Severity::High,
        policy::Severity::Notice => Severity::Notice,
    };
    let exception = |applied: &policy::Applied<'_>| AlertException {
        reason: applied.exception.reason.clone(),
        until: applied.exception.until.clone(),
        expired: applied.expired,
        policy: applied.exception.file.clone(),
        line: count(applied.exception.line),
    };
    AlertRecord {
        timestamp: record.timestamp.clone(),
        alert_id: format!("{}/{}", record.session_id, rule.id),
        phase: None,
        told_at: None,
        run: record.run.clone(),
        rule: rule.id.clone(),
        policy: rule.file.clone(),
        line: count(rule.line),
        title: rule.title.clone(),
        state: outcome.state,
        fired: outcome.fires(),
        taken_back: false,
        severity,
        text: text(outcome),
        session_id: record.session_id.clone(),
        meeting_id: record.meeting_id.clone(),
        app: record.app.clone(),
        app_name: record.app_name.clone(),
        src_ip: record.endpoint.ip.clone(),
        reasons: outcome.reasons.iter().map(|reason| reason_record(reason, facts)).collect(),
        reasons_left_out: count(outcome.left_out),
        participants: participants.to_vec(),
        asks_for_participants: rule.asks_for_participants(),
        participants_note: NOTE,
        exceptions: outcome.exceptions.iter().map(exception).collect(),
        alert: EveAlert {
            action: "allowed",
            gid: 1,
            signature_id: fnv1a(rule.id.as_bytes()),
            rev: 1,
            signature: rule.title.clone(),
            category: rule.category.clone(),
            severity: match severity {
                Severity::High => 1,
                Severity::Notice => 3,
            },
        },
    }
}

/// The gravest reason, how many more there are, and what became of exceptions.
fn text(outcome: &Outcome<'_>) -> String {
    let mut text = outcome.reasons.first().map(|reason| reason.text.clone()).unwrap_or_default();
    let more = outcome.reasons.len().saturating_sub(1).saturating_add(outcome.left_out);
    if more > 0 {
        let _ = write!(text, "; and {more} more");
    }
    for applied in &outcome.exceptions {
        let (until, why) = (&applied.exception.until, &applied.exception.reason);
        let _ = if applied.expired {
            write!(text, "; an exception ended on {until}, before this session ({why})")
        } else {
            write!(text, "; excepted until {until} ({why})")
        };
    }
    text
}

/// FNV-1a of 32 bits.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

fn reason_record(reason: &Reason, facts: &Facts<'_>) -> AlertReason {
    let record = facts.record;
    let ip = reason.server.map(|address| address.to_string());
    let held = record.keys.holders.iter().find(|held| Some(&held.ip) == ip.as_ref());
    let held = held.filter(|_| reason.demand == "key_holders");
    let server = record.servers.iter().find(|server| Some(&server.ip) == ip.as_ref());
    // A finding that says the same has its own packets.
    let found = record.findings.iter().find(|finding| finding.text == reason.text);
    AlertReason {
        demand: reason.demand,
        state: reason.state,
        text: reason.text.clone(),
        name: reason.name.clone(),
        could_hold: held.map(|held| held.could_hold),
        confidence: held.map(|held| held.confidence),
        exposure: server
            .map(|server| &server.place)
            .or_else(|| held.map(|held| &held.place))
            .map(|place| place.exposure.clone())
            .unwrap_or_default(),
        packets: found
            .filter(|found| !found.packets.is_empty())
            .map_or_else(|| packets(reason.demand, record, held, server), |found| found.packets.clone()),
        ip,
    }
}

/// The packets that show a reason, each once; none where it is that something was not seen.
fn packets(
    demand: &str,
    record: &SessionRecord,
    held: Option<&HolderRecord>,
    server: Option<&ServerRecord>,
) -> Vec<PacketNumber> {
    let mut packets: Vec<PacketNumber> = match (demand, held, server) {
        (_, Some(held), _) if !held.packets.is_empty() => held.packets.clone(),
        (_, _, Some(server)) => vec![server.first_packet],
        ("cipher", ..) => {
            record.cipher.as_ref().map(|sealed| sealed.evidence.packets.clone()).unwrap_or_default()
        }
        _ => Vec::new(),
    };
    if packets.is_empty() && matches!(demand, "key_holders" | "keying" | "cipher" | "end_to_end") {
        packets.extend(record.keys.flows.iter().filter_map(|flow| flow.packet));
    }
    let of_app = record.evidence.iter().filter(|_| demand == "app");
    packets.extend(of_app.filter_map(|item| item.packet));
    let mut seen = HashSet::new();
    packets.retain(|packet| seen.insert(*packet));
    packets.truncate(PACKETS);
    packets
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors of the reference, draft-eastlake-fnv.
    #[test]
    fn fnv1a_is_that_of_its_reference() {
        assert_eq!(fnv1a(b""), 0x811c_9dc5);
        assert_eq!(fnv1a(b"a"), 0xe40c_292c);
        assert_eq!(fnv1a(b"foobar"), 0xbf9c_f968);
    }

    #[test]
    fn words_are_those_of_the_records() {
        use crate::keys::Method;
        use crate::keys::cipher::CipherVerdict;
        let word = |value: serde_json::Value| value.as_str().unwrap().to_owned();
        let methods = [
            Method::DtlsSrtp,
            Method::Zrtp,
            Method::Sdes,
            Method::KeyService,
            Method::EndToEnd,
            Method::Proprietary,
            Method::None,
            Method::InsideTls,
            Method::NotDeterminable,
        ];
        assert_eq!(methods.map(method), policy::KEYINGS);
        for one in methods {
            assert_eq!(method(one), word(serde_json::to_value(one).unwrap()));
        }
        let verdicts = [
            CipherVerdict::EcbConfirmed,
            CipherVerdict::EcbVeryLikely,
            CipherVerdict::EcbSuspicious,
            CipherVerdict::NotEncrypted,
            CipherVerdict::BeginsInClear,
            CipherVerdict::Inconclusive,
            CipherVerdict::NoEcbEvidence,
            CipherVerdict::StreamLengths,
            CipherVerdict::AeadFraming,
        ];
        assert_eq!(verdicts.map(verdict), policy::CIPHERS);
        for one in verdicts {
            assert_eq!(verdict(one), word(serde_json::to_value(one).unwrap()));
        }
    }
}

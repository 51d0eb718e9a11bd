//! Where a server may be. In: a server with what is said of it, and the ground that the session stands on. Out: kept,
//! broken, or not determinable, with a sentence that says who says what.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::Policy;
use super::subject::{Groups, Participant, Server, Subject};
use super::words::{Fact, OPERATOR_HOME, PARTICIPANTS};
use crate::geo::{Basis, Country, Exposure};

/// Where servers may be, and what they may be called.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Places {
    /// Empty: anywhere that is not denied.
    pub(super) allow: Vec<Term>,
    pub(super) deny: Vec<Term>,
    /// Which facts count; at least one.
    pub(super) facts: Vec<Fact>,
    /// Suffixes of names; empty: any.
    pub(super) allow_names: Vec<String>,
    pub(super) deny_names: Vec<String>,
}

/// A place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Term {
    Country(Country),
    Group(String),
    /// Where a participant of the meeting is.
    Participants,
    /// Where the company that runs the service is at home.
    OperatorHome,
}

/// What came of a demand on one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Kept,
    Broken(String),
    Unknown(String),
}

impl Verdict {
    /// The graver of the two; of equal ones both sentences.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Broken(one), Self::Broken(two)) => Self::Broken(format!("{one}; {two}")),
            (Self::Broken(one), _) | (_, Self::Broken(one)) => Self::Broken(one),
            (Self::Unknown(one), Self::Unknown(two)) => Self::Unknown(format!("{one}; {two}")),
            (Self::Unknown(one), _) | (_, Self::Unknown(one)) => Self::Unknown(one),
            (Self::Kept, Self::Kept) => Self::Kept,
        }
    }
}

/// Yes, no, or not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tri {
    Yes,
    No,
    Maybe,
}

/// A participant's countries, and who says so.
#[derive(Debug)]
struct Seat {
    address: Option<IpAddr>,
    countries: Vec<Country>,
}

impl Seat {
    /// A site decides; else databases, which may disagree.
    fn of(policy: &Policy, participant: &Participant<'_>) -> Self {
        let address = participant.addresses.first().copied();
        let site = participant.addresses.iter().find_map(|address| policy.sites.country_of(*address));
        let mut countries: Vec<Country> = match site {
            Some(country) => vec![country],
            None => participant.placed.iter().map(|(country, _)| *country).collect(),
        };
        countries.sort_unstable();
        countries.dedup();
        Self { address, countries }
    }
}

/// What places are judged against, the same for all servers of a session.
pub(super) struct Ground<'a> {
    policy: &'a Policy,
    subject: &'a Subject<'a>,
    groups: &'a dyn Groups,
    seats: Vec<Seat>,
}

impl<'a> Ground<'a> {
    pub(super) fn new(policy: &'a Policy, subject: &'a Subject<'a>, groups: &'a dyn Groups) -> Self {
        let seats = subject.participants.iter().map(|participant| Seat::of(policy, participant)).collect();
        Self { policy, subject, groups, seats }
    }

    /// The whole demand on a server.
    pub(super) fn judge(&self, places: &Places, server: &Server<'_>) -> Verdict {
        let mut verdict = names(places, server);
        if places.allow.is_empty() && places.deny.is_empty() {
            return verdict;
        }
        for fact in &places.facts {
            verdict = verdict.and(self.fact(places, server, *fact));
        }
        verdict
    }

    fn fact(&self, places: &Places, server: &Server<'_>, fact: Fact) -> Verdict {
        let claims = |fact: Fact| -> Vec<(&Exposure, Country)> {
            let of = server.exposure.iter().filter(|claim| basis(fact) == Some(claim.basis));
            of.filter_map(|claim| Some((claim, Country::parse(&claim.jurisdiction)?))).collect()
        };
        if fact != Fact::Any {
            let claims = claims(fact);
            if claims.is_empty() {
                return Verdict::Unknown(nothing_said(fact).to_owned());
            }
            return self.claims(places, server, fact, &claims);
        }
        let all = [Fact::LocatedIn, Fact::RegisteredIn, Fact::OperatedBy, Fact::ServiceOperator];
        let mut verdict = None;
        for fact in all {
            let claims = claims(fact);
            if !claims.is_empty() {
                let next = self.claims(places, server, fact, &claims);
                verdict =
                    Some(verdict.map_or_else(|| next.clone(), |before: Verdict| before.and(next.clone())));
            }
        }
        verdict.unwrap_or_else(|| Verdict::Unknown(nothing_said(fact).to_owned()))
    }

    /// Claims of one kind: broken where all of them break the demand, not determinable where they disagree on it.
    fn claims(
        &self,
        places: &Places,
        server: &Server<'_>,
        fact: Fact,
        claims: &[(&Exposure, Country)],
    ) -> Verdict {
        let judged: Vec<Tri> = claims.iter().map(|(_, country)| self.breaks(places, *country)).collect();
        let why = |tri: Tri| {
            let claim = judged.iter().position(|one| *one == tri).and_then(|place| claims.get(place));
            claim.map(|(claim, country)| self.sentence(places, claim, *country)).unwrap_or_default()
        };
        let refuted = |(_, country): &&(&Exposure, Country)| server.contradicted.contains(country);
        let verdict = if fact == Fact::LocatedIn
            && let Some((claim, _)) = claims.iter().find(refuted)
        {
            let why = "what answers for it is nearer than that place can be";
            Verdict::Unknown(format!("{}; the time of its answers contradicts that: {why}", claim.reason))
        } else if judged.iter().all(|tri| *tri == Tri::No) {
            Verdict::Kept
        } else if judged.iter().all(|tri| *tri == Tri::Yes) {
            Verdict::Broken(why(Tri::Yes))
        } else if judged.contains(&Tri::Maybe) {
            Verdict::Unknown(format!("{}; {}", why(Tri::Maybe), self.unseated()))
        } else {
            Verdict::Unknown(format!("{}; other sources place it elsewhere", why(Tri::Yes)))
        };
        match server.front_end {
            Some(network) if fact != Fact::ServiceOperator => Verdict::Unknown(match verdict {
                Verdict::Kept => entry(network),
                Verdict::Broken(why) | Verdict::Unknown(why) => format!("{why}; {}", entry(network)),
            }),
            _ => verdict,
        }
    }

    /// Whether a server there breaks the demand.
    fn breaks(&self, places: &Places, country: Country) -> Tri {
        let mut denied = Tri::No;
        for term in &places.deny {
            denied = match (self.matches(term, country), denied) {
                (Tri::Yes, _) | (_, Tri::Yes) => Tri::Yes,
                (Tri::Maybe, _) | (_, Tri::Maybe) => Tri::Maybe,
                (Tri::No, Tri::No) => Tri::No,
            };
        }
        if denied == Tri::Yes || places.allow.is_empty() {
            return denied;
        }
        let allowed: Vec<Tri> = places.allow.iter().map(|term| self.matches(term, country)).collect();
        if allowed.contains(&Tri::Yes) {
            denied
        } else if allowed.contains(&Tri::Maybe) {
            Tri::Maybe
        } else {
            Tri::Yes
        }
    }

    fn matches(&self, term: &Term, country: Country) -> Tri {
        let tri = |yes: bool| if yes { Tri::Yes } else { Tri::No };
        match term {
            Term::Country(known) => tri(*known == country),
            Term::Group(name) => match self.policy.groups.get(name) {
                Some(own) => tri(own.contains(&country)),
                None => self.groups.contains(name, country, self.subject.begin).map_or(Tri::Maybe, tri),
            },
            Term::OperatorHome => self.subject.operator_home.map_or(Tri::Maybe, |home| tri(home == country)),
            Term::Participants => {
                let certain = |seat: &&Seat| seat.countries.len() == 1;
                if self.seats.iter().filter(certain).any(|seat| seat.countries.contains(&country)) {
                    return Tri::Yes;
                }
                let open = |seat: &Seat| seat.countries.is_empty() || seat.countries.contains(&country);
                if self.seats.is_empty() || self.seats.iter().any(open) { Tri::Maybe } else { Tri::No }
            }
        }
    }

    /// `database D of E places it in China (CN), outside of participants (CA, US) and operator_home (US)`.
    fn sentence(&self, places: &Places, claim: &Exposure, country: Country) -> String {
        let mut out = claim.reason.clone();
        if let Some(term) = places.deny.iter().find(|term| self.matches(term, country) == Tri::Yes) {
            let unchecked = matches!(term, Term::Group(name)
                if self.groups.is_unchecked(name, country, self.subject.begin));
            let mark = if unchecked { "; nobody checked that row of the table of groups" } else { "" };
            let _ = write!(out, ", which the rule denies ({}{mark})", self.described(term));
        } else {
            let allowed: Vec<String> = places.allow.iter().map(|term| self.described(term)).collect();
            let _ = write!(out, ", outside of what the rule allows ({})", allowed.join(", "));
        }
        out
    }

    fn described(&self, term: &Term) -> String {
        match term {
            Term::Country(country) => country.code().to_owned(),
            Term::Group(name) => name.clone(),
            Term::OperatorHome => match self.subject.operator_home {
                Some(home) => format!("{OPERATOR_HOME}: {}", home.code()),
                None => format!("{OPERATOR_HOME}: not known"),
            },
            Term::Participants => {
                let mut codes: Vec<&str> =
                    self.seats.iter().flat_map(|seat| seat.countries.iter().map(Country::code)).collect();
                codes.sort_unstable();
                codes.dedup();
                if codes.is_empty() {
                    codes.push("not known");
                }
                format!("{PARTICIPANTS}: {}", codes.join(" "))
            }
        }
    }

    /// Why a place that may be a participant's or the operator's cannot be judged.
    fn unseated(&self) -> String {
        let open = |seat: &&Seat| seat.countries.len() != 1;
        let who: Vec<String> = self
            .seats
            .iter()
            .filter(open)
            .filter_map(|seat| seat.address.map(|address| address.to_string()))
            .take(4)
            .collect();
        if who.is_empty() {
            return "where the company that runs the service is at home is not known".to_owned();
        }
        format!(
            "where participant {} sits is not determinable: no [[site]] has the address and databases say nothing or \
             disagree",
            who.join(", ")
        )
    }
}

fn entry(network: &str) -> String {
    format!("the address is an entry of {network}'s network, and what lies behind it is not visible")
}

const fn basis(fact: Fact) -> Option<Basis> {
    match fact {
        Fact::LocatedIn => Some(Basis::LocatedIn),
        Fact::RegisteredIn => Some(Basis::RegisteredIn),
        Fact::OperatedBy => Some(Basis::OperatedBy),
        Fact::ServiceOperator => Some(Basis::ServiceOperator),
        Fact::Any => None,
    }
}

const fn nothing_said(fact: Fact) -> &'static str {
    match fact {
        Fact::LocatedIn => "no database places it",
        Fact::RegisteredIn => "no database says where its network's holder is registered",
        Fact::OperatedBy => "no database says where the AS that announces it is registered",
        Fact::ServiceOperator => "which company runs it is not known",
        Fact::Any => "nothing is known of where it is or who runs it",
    }
}

/// What a server may be called.
fn names(places: &Places, server: &Server<'_>) -> Verdict {
    if places.allow_names.is_empty() && places.deny_names.is_empty() {
        return Verdict::Kept;
    }
    let Some(name) = server.name else {
        return Verdict::Unknown("its name is not known".to_owned());
    };
    if let Some(suffix) = places.deny_names.iter().find(|suffix| is_under(name, suffix)) {
        return Verdict::Broken(format!("its name is under {suffix}, which the rule denies"));
    }
    if places.allow_names.is_empty() || places.allow_names.iter().any(|suffix| is_under(name, suffix)) {
        return Verdict::Kept;
    }
    Verdict::Broken(format!("its name is not under {}", places.allow_names.join(", ")))
}

/// True where `name` is the suffix itself or a name below it.
pub(super) fn is_under(name: &str, suffix: &str) -> bool {
    let name = name.trim_end_matches('.');
    let Some(cut) = name.len().checked_sub(suffix.len()) else { return false };
    let (Some(head), Some(tail)) = (name.get(..cut), name.get(cut..)) else { return false };
    tail.eq_ignore_ascii_case(suffix) && (head.is_empty() || head.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_takes_whole_labels() {
        for (name, suffix, under) in [
            ("zoomgov.com", "zoomgov.com", true),
            ("us.ZoomGov.com.", "zoomgov.com", true),
            ("notzoomgov.com", "zoomgov.com", false),
            ("zoomgov.com.evil.example", "zoomgov.com", false),
            ("com", "zoomgov.com", false),
            ("ü.zoomgov.com", "zoomgov.com", true),
        ] {
            assert_eq!(is_under(name, suffix), under, "{name} {suffix}");
        }
    }
}

//! What a policy is judged over: plain facts, borrowed from whoever has them.

use std::net::IpAddr;

use crate::geo::{Country, Exposure, Jurisdictions};
use crate::time::Timestamp;

/// The words that a policy file may use beside those of the language.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "filled in by whoever reads the files")]
pub struct Known<'a> {
    /// Apps as records name them, each with the identifier of its provider file, which is taken for it too.
    pub apps: &'a [(&'a str, &'a str)],
    /// Groups of countries that are built in.
    pub groups: &'a [&'a str],
}

/// Groups of countries that are built in.
pub trait Groups: std::fmt::Debug {
    /// Whether `country` was in `group` at that time; none where there is no such group.
    fn contains(&self, group: &str, country: Country, at: Timestamp) -> Option<bool>;

    /// Whether nobody checked the row that says so against a primary text.
    fn is_unchecked(&self, group: &str, country: Country, at: Timestamp) -> bool;
}

impl Groups for Jurisdictions {
    fn contains(&self, group: &str, country: Country, at: Timestamp) -> Option<bool> {
        self.in_group(group, country, Some(at))
    }

    fn is_unchecked(&self, group: &str, country: Country, at: Timestamp) -> bool {
        let rows = self.memberships(country, Some(at));
        rows.iter().any(|(known, member)| known.id == group && member.unchecked)
    }
}

/// Whether a server could hold the media key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "the three answers of the report")]
pub enum Answer {
    /// It could.
    Yes,
    /// Not determinable.
    Unknown,
    /// It could not.
    No,
}

/// A server of the session. A peer, another user's machine, is none.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "filled in by whoever has the facts")]
pub struct Server<'a> {
    /// Its address.
    pub address: IpAddr,
    /// Its name, as it was asked for.
    pub name: Option<&'a str>,
    /// What it did: `signalling`, `media`, `relay` and others, as records have it.
    pub roles: Vec<&'a str>,
    /// The jurisdictions that reach it, each with its reason.
    pub exposure: &'a [Exposure],
    /// Countries that databases place it in and that the time of its answers contradicts.
    pub contradicted: Vec<Country>,
    /// The network of front ends that announces its address: what lies behind it is elsewhere.
    pub front_end: Option<&'a str>,
}

/// A server, and whether it could hold the media key.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "filled in by whoever has the facts")]
pub struct Holder<'a> {
    /// The server.
    pub server: Server<'a>,
    /// Whether it could.
    pub could_hold: Answer,
    /// How sure that is, 0 to 1.
    pub confidence: f32,
    /// Why, where the session itself does not show the server.
    pub why: Option<&'a str>,
}

/// A participant of the meeting that was seen.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "filled in by whoever has the facts")]
pub struct Participant<'a> {
    /// Its session, or nothing for a peer that only another session shows.
    pub session: &'a str,
    /// Its addresses: its own, then what servers saw of it.
    pub addresses: Vec<IpAddr>,
    /// Where databases place it: country, database, date. Each address of it that has a place.
    pub placed: Vec<(Country, String)>,
}

/// A session with what is known around it.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "filled in by whoever has the facts")]
pub struct Subject<'a> {
    /// The app, as records name it; none where nobody claims the media.
    pub app: Option<&'a str>,
    /// Its full name.
    pub app_name: Option<&'a str>,
    /// Addresses of the endpoint.
    pub endpoint: Vec<IpAddr>,
    /// The participants of its meeting that were seen, the endpoint among them.
    pub participants: Vec<Participant<'a>>,
    /// Where the company that runs the service is at home.
    pub operator_home: Option<Country>,
    /// First packet.
    pub begin: Timestamp,
    /// Servers judged for the key.
    pub holders: Vec<Holder<'a>>,
    /// All servers.
    pub servers: Vec<Server<'a>>,
    /// How the media keys arose, one of [`KEYINGS`](super::KEYINGS).
    pub keying: &'a str,
    /// An end-to-end mode exists that the wire does not show.
    pub end_to_end_possible: bool,
    /// Whether the media key went in the clear, and why; none where no key was seen to.
    pub key_in_clear: Option<(Answer, &'a str)>,
    /// What the ciphertext shows, one of [`CIPHERS`](super::CIPHERS), and the same in words; none without RTP.
    pub cipher: Option<(&'a str, &'a str)>,
}

//! Stage: rules of whoever runs the network, judged over facts. In: a policy file, and a [`Subject`]: the borrowed facts of
//! one session with the participants of its meeting. Out: [`Outcome`]s, each with the reasons that made it.
//!
//! The language is described in `docs/POLICY.md`, its schema is `docs/schema/policy.schema.json`. A demand has three answers:
//! kept, broken, and *not determinable*; the last never passes in silence unless the rule says so. Nothing here reads a file,
//! a record or a clock: an exception ends by the time of the packets.

mod demand;
mod error;
mod evaluate;
mod exception;
mod file;
mod place;
mod read;
mod subject;
#[cfg(test)]
mod tests;
mod value;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use crate::geo::{Country, Sites};

pub use error::{MAX_ERRORS, PolicyError, PolicyErrors};
pub use evaluate::{MAX_REASONS, Outcome, Reason, State};
pub use exception::{Applied, Exception};
pub use file::{MAX_ENTRIES, MAX_FILE_BYTES, parse};
pub use subject::{Answer, Groups, Holder, Known, Participant, Server, Subject};
pub use words::{CIPHERS, KEYINGS, Severity, Unknown, nearest};

use demand::Demand;

/// Rules with what they need: sites, groups of countries, exceptions.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    sites: Sites,
    /// Subnets of each named site.
    places: BTreeMap<String, Vec<IpNet>>,
    groups: BTreeMap<String, BTreeSet<Country>>,
    rules: Vec<Rule>,
    exceptions: Vec<Exception>,
}

impl Policy {
    /// Where the network's own subnets are.
    pub const fn sites(&self) -> &Sites {
        &self.sites
    }

    /// The rules, in the order of the files.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// True where sites or groups are defined: what rules of another file may need.
    pub fn has_grounds(&self) -> bool {
        !self.places.is_empty() || !self.groups.is_empty()
    }

    /// The exceptions, in the order of the files.
    pub fn exceptions(&self) -> &[Exception] {
        &self.exceptions
    }
}

/// One rule.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Rule {
    /// Name of the file that it stands in, as given.
    pub file: String,
    /// Line of its head, from 1.
    pub line: usize,
    /// Its identifier, unique over all files.
    pub id: String,
    /// A sentence for people.
    pub title: String,
    /// A word that alerts are sorted by.
    pub category: String,
    /// How grave it is when the rule is broken.
    pub severity: Severity,
    /// What happens where it cannot be determined whether the rule is kept.
    pub unknown: Unknown,
    when: When,
    demands: Vec<Demand>,
}

impl Rule {
    /// True where the rule asks where participants sit.
    pub fn asks_for_participants(&self) -> bool {
        self.demands.iter().any(Demand::asks_for_participants)
    }
}

/// Which sessions a rule or an exception is about; what is empty asks for nothing.
#[derive(Debug, Clone, Default)]
struct When {
    apps: Vec<String>,
    not_apps: Vec<String>,
    nets: Vec<IpNet>,
    not_nets: Vec<IpNet>,
}

impl When {
    /// True where the session is one of those.
    fn takes(&self, subject: &Subject<'_>) -> bool {
        let is = |list: &[String]| subject.app.is_some_and(|app| list.iter().any(|known| known == app));
        let sits = |nets: &[IpNet]| {
            let mut addresses = subject.endpoint.iter().map(std::net::IpAddr::to_canonical);
            addresses.any(|address| nets.iter().any(|net| net.contains(&address)))
        };
        (self.apps.is_empty() || is(&self.apps))
            && !is(&self.not_apps)
            && (self.nets.is_empty() || sits(&self.nets))
            && !sits(&self.not_nets)
    }
}

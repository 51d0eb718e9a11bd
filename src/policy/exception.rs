//! Exceptions to rules: for whom, until when, and why. A date is that of the packets, not of the day on which they are read.

use ipnet::IpNet;

use super::When;
use super::evaluate::Reason;
use super::place::is_under;
use super::subject::Subject;
use crate::time::Timestamp;

/// An exception.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Exception {
    /// Name of the file that it stands in, as given.
    pub file: String,
    /// Line of its head, from 1.
    pub line: usize,
    /// Identifiers of the rules that it is one to.
    pub rules: Vec<String>,
    /// Why it was made.
    pub reason: String,
    /// The last day that it is in force, ISO 8601.
    pub until: String,
    /// The last instant of that day in UTC.
    pub(super) ends: Timestamp,
    pub(super) when: When,
    /// Empty: whatever server the reason names, and reasons that name none.
    pub(super) servers: Vec<ServerTerm>,
}

/// A server that an exception is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ServerTerm {
    Net(IpNet),
    /// A name, and all below it.
    Name(String),
}

/// An exception that is about what a rule found.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "an exception, and whether it still is one")]
pub struct Applied<'p> {
    /// It.
    pub exception: &'p Exception,
    /// It had ended when the session began, and so excuses nothing.
    pub expired: bool,
}

impl Exception {
    /// True where it is about this rule and session.
    pub(super) fn is_about(&self, rule: &str, subject: &Subject<'_>) -> bool {
        self.rules.iter().any(|known| known == rule) && self.when.takes(subject)
    }

    pub(super) fn is_over(&self, begin: Timestamp) -> bool {
        begin > self.ends
    }

    /// True where it excuses the reason.
    pub(super) fn covers(&self, reason: &Reason) -> bool {
        if self.servers.is_empty() {
            return true;
        }
        let Some(address) = reason.server else { return false };
        self.servers.iter().any(|term| match term {
            ServerTerm::Net(net) => net.contains(&address.to_canonical()),
            ServerTerm::Name(suffix) => reason.name.as_deref().is_some_and(|name| is_under(name, suffix)),
        })
    }
}

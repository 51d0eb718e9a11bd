//! What a flow is, and what says so.

use serde::{Deserialize, Serialize};

use super::value::Value;
use crate::observe::{PacketRef, Summary};

/// What a flow does in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// Call control, where keys may travel.
    Signalling,
    /// Sound and pictures to and from a server.
    Media,
    /// NAT traversal: STUN Binding, ICE checks.
    Nat,
    /// TURN: a server that forwards and cannot read.
    Relay,
    /// Media straight between endpoints.
    P2p,
    /// A visit to a web site, telemetry, downloads.
    Web,
    /// Name resolution.
    Dns,
    /// Anything else.
    Other,
}

impl Role {
    /// The word used in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Signalling => "signalling",
            Self::Media => "media",
            Self::Nat => "nat",
            Self::Relay => "relay",
            Self::P2p => "p2p",
            Self::Web => "web",
            Self::Dns => "dns",
            Self::Other => "other",
        }
    }

    /// True for the roles that only a call has.
    pub const fn is_call(self) -> bool {
        matches!(self, Self::Media | Self::Nat | Self::Relay | Self::P2p)
    }
}

/// One reason for naming an app.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// Which provider it speaks for.
    pub provider: u16,
    /// Kind of evidence, a stable word.
    pub what: &'static str,
    /// What was seen.
    pub value: Value,
    /// Probability that it is this app, were this all there is; 0 to 1.
    pub weight: f32,
    /// Packet that shows it; frame 0 when it is a property of the five-tuple.
    pub packet: PacketRef,
    /// False when only an unchecked source says that the mark is this provider's.
    pub checked: bool,
    /// What the mark says of the flow's role.
    pub role: Option<Role>,
}

/// The judgement of one flow.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// The app, where the evidence suffices.
    pub provider: Option<u16>,
    /// What the flow does.
    pub role: Option<Role>,
    /// How sure `provider` is, 0 to 1; 0 when there is none.
    pub confidence: f32,
    /// Evidence for the app; for an unnamed flow, all there is.
    pub evidence: Vec<Evidence>,
    /// Another provider whose evidence came close, with its confidence.
    pub runner_up: Option<(u16, f32)>,
    /// A session description in the clear announced one of its ends for plain RTP, and none announced it with keys.
    pub announced_clear: bool,
}

/// A flow with its verdict, and which of its ends is the endpoint's.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "put together by tests of later stages")]
pub struct Judged {
    /// The flow.
    pub flow: Summary,
    /// What it is.
    pub verdict: Verdict,
    /// The endpoint is the originator; which end is whose stands in [`Judged::sides`]. True until
    /// [`tell_apart`](crate::session::tell_apart) has looked.
    pub local_is_source: bool,
}

impl From<Summary> for Judged {
    /// Not judged yet.
    fn from(flow: Summary) -> Self {
        Self { flow, verdict: Verdict::default(), local_is_source: true }
    }
}

/// Two apps whose confidence differs by less are a choice between them.
pub(super) const CLOSE: f32 = 0.05;

/// A verdict needs at least this much.
pub const THRESHOLD: f32 = 0.5;

/// Weighs evidence: kinds are taken as independent, within one kind the strongest counts once.
///
/// Unchecked evidence adds weight, but no verdict rests on it alone.
pub(super) fn rank(evidence: &[Evidence]) -> Ranking {
    let mut scores: Vec<Score> = Vec::new();
    for item in evidence {
        match scores.iter_mut().find(|score| score.provider == item.provider) {
            Some(score) => score.add(item),
            None => scores.push(Score::new(item)),
        }
    }
    scores.sort_by(|a, b| b.confidence().total_cmp(&a.confidence()).then(a.provider.cmp(&b.provider)));
    let mut ranked = scores.iter().filter(|score| score.checked);
    let winner = ranked.next().filter(|score| score.confidence() >= THRESHOLD);
    let Some(winner) = winner else { return Ranking::default() };
    let runner_up = ranked.next().map(|score| (score.provider, score.confidence()));
    // Two apps that share a dialect: the name is a choice between them, and says so.
    let doubt = match runner_up {
        Some((_, second)) if second > winner.confidence() - CLOSE => 0.75,
        _ => 1.0,
    };
    Ranking { provider: Some(winner.provider), confidence: winner.confidence() * doubt, runner_up }
}

/// What evidence comes to.
#[derive(Debug, Default)]
pub(super) struct Ranking {
    provider: Option<u16>,
    pub(super) confidence: f32,
    pub(super) runner_up: Option<(u16, f32)>,
}

impl Ranking {
    pub(super) const fn names_an_app(&self) -> bool {
        self.provider.is_some()
    }

    /// The verdict, with that of the evidence which speaks for it.
    pub(super) fn verdict(self, mut evidence: Vec<Evidence>) -> Verdict {
        if let Some(provider) = self.provider {
            evidence.retain(|item| item.provider == provider);
        }
        evidence.shrink_to_fit();
        let Self { provider, confidence, runner_up } = self;
        Verdict { provider, confidence, evidence, runner_up, ..Verdict::default() }
    }
}

#[cfg(test)]
fn weigh(evidence: Vec<Evidence>) -> Verdict {
    rank(&evidence).verdict(evidence)
}

struct Score {
    provider: u16,
    kinds: Vec<(&'static str, f32)>,
    checked: bool,
}

impl Score {
    fn new(item: &Evidence) -> Self {
        let mut score = Self { provider: item.provider, kinds: Vec::new(), checked: false };
        score.add(item);
        score
    }

    fn add(&mut self, item: &Evidence) {
        // A port or an unchecked memory may not carry a verdict.
        self.checked |= item.checked && item.weight >= 0.25;
        match self.kinds.iter_mut().find(|(what, _)| *what == item.what) {
            Some((_, weight)) => *weight = weight.max(item.weight),
            None => self.kinds.push((item.what, item.weight)),
        }
    }

    fn confidence(&self) -> f32 {
        1.0 - self.kinds.iter().map(|(_, weight)| 1.0 - weight.clamp(0.0, 0.999)).product::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(provider: u16, what: &'static str, weight: f32, checked: bool) -> Evidence {
        let value = String::new();
        Evidence {
            provider,
            what,
            value: value.into(),
            weight,
            packet: PacketRef::default(),
            checked,
            role: None,
        }
    }

    #[test]
    fn independent_kinds_add_up_and_one_kind_counts_once() {
        let one = weigh(vec![item(1, "prefix", 0.4, true), item(1, "prefix", 0.4, true)]);
        assert_eq!(one.provider, None);
        let two = weigh(vec![item(1, "prefix", 0.4, true), item(1, "dns_name", 0.4, true)]);
        assert_eq!(two.provider, Some(1));
        assert!((two.confidence - 0.64).abs() < 1e-6);
    }

    #[test]
    fn unchecked_evidence_never_decides_alone() {
        let alone = weigh(vec![item(1, "sni", 0.95, false), item(1, "port", 0.9, false)]);
        assert_eq!(alone.provider, None);
        assert_eq!(alone.evidence.len(), 2, "it is still shown");
        let supported = weigh(vec![item(1, "sni", 0.4, false), item(1, "prefix", 0.3, true)]);
        assert_eq!(supported.provider, Some(1));
    }

    #[test]
    fn a_shared_dialect_lowers_confidence_and_names_the_rival() {
        let verdict = weigh(vec![item(1, "stun", 0.9, true), item(2, "stun", 0.9, true)]);
        assert_eq!((verdict.provider, verdict.runner_up.map(|(id, _)| id)), (Some(1), Some(2)));
        assert!(verdict.confidence < 0.7);
    }
}

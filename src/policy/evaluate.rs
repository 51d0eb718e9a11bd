//! Rules over a session. In: a [`Policy`], a [`Subject`]. Out: an [`Outcome`] for each rule that is broken, or of which it
//! cannot be determined, the rules in the order of their files.

use std::net::IpAddr;

use super::demand::{Demand, HolderDemand, ServerKind};
use super::exception::{Applied, Exception};
use super::place::{Ground, Places, Verdict};
use super::subject::{Answer, Groups, Holder, Server, Subject};
use super::words::{CipherWord, Severity, Unknown, keying_name, keying_words};
use super::{Policy, Rule};

/// Reasons kept of one outcome, the gravest first; the others are counted.
pub const MAX_REASONS: usize = 64;
/// How sure it has to be that a server could hold the key to say that a call is not end-to-end.
const SURE: f32 = 0.5;

/// How a rule came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "a rule that is kept has no outcome")]
pub enum State {
    /// It is broken.
    Broken,
    /// Whether it is kept is not determinable.
    NotDeterminable,
    /// What broke it, or could not be determined, is excepted.
    Excepted,
}

/// Why.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Reason {
    /// The demand, as the language names it.
    pub demand: &'static str,
    /// How it came out.
    pub state: State,
    /// A sentence.
    pub text: String,
    /// The server that it speaks of.
    pub server: Option<IpAddr>,
    /// That server's name.
    pub name: Option<String>,
}

/// What came of a rule.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Outcome<'p> {
    /// The rule.
    pub rule: &'p Rule,
    /// How it came out.
    pub state: State,
    /// How grave that is.
    pub severity: Severity,
    /// Why, the gravest first.
    pub reasons: Vec<Reason>,
    /// Reasons that are not in `reasons`.
    pub left_out: usize,
    /// Exceptions that are about the rule, the session and a reason, also those that are over.
    pub exceptions: Vec<Applied<'p>>,
}

impl Outcome<'_> {
    /// True where the rule fired: it is broken, or what is not determinable counts as that.
    pub fn fires(&self) -> bool {
        match self.state {
            State::Broken => true,
            State::NotDeterminable => self.rule.unknown == Unknown::Alert,
            State::Excepted => false,
        }
    }
}

impl Policy {
    /// Judges a session by every rule.
    pub fn evaluate(&self, subject: &Subject<'_>, groups: &dyn Groups) -> Vec<Outcome<'_>> {
        let ground = Ground::new(self, subject, groups);
        let rules = self.rules.iter().filter(|rule| rule.when.takes(subject));
        rules.filter_map(|rule| self.outcome(rule, subject, &ground)).collect()
    }

    fn outcome<'p>(
        &'p self,
        rule: &'p Rule,
        subject: &Subject<'_>,
        ground: &Ground<'_>,
    ) -> Option<Outcome<'p>> {
        let mut reasons: Vec<Reason> = Vec::new();
        for demand in &rule.demands {
            judge(demand, subject, ground, &mut reasons);
        }
        if rule.unknown == Unknown::Ignore {
            reasons.retain(|reason| reason.state != State::NotDeterminable);
        }
        let about = |exception: &&Exception| exception.is_about(&rule.id, subject);
        let mut exceptions = Vec::new();
        for exception in self.exceptions.iter().filter(about) {
            let expired = exception.is_over(subject.begin);
            let mut used = false;
            for reason in reasons.iter_mut().filter(|reason| exception.covers(reason)) {
                used = true;
                if !expired {
                    reason.state = State::Excepted;
                }
            }
            if used {
                exceptions.push(Applied { exception, expired });
            }
        }
        reasons.sort_by_key(|reason| reason.state);
        let state = reasons.first()?.state;
        let left_out = reasons.len().saturating_sub(MAX_REASONS);
        reasons.truncate(MAX_REASONS);
        let severity = match (state, rule.unknown) {
            (State::Broken, _) | (State::NotDeterminable, Unknown::Alert) => rule.severity,
            (State::NotDeterminable | State::Excepted, _) => Severity::Notice,
        };
        Some(Outcome { rule, state, severity, reasons, left_out, exceptions })
    }
}

/// Adds what speaks against a demand being kept.
fn judge(demand: &Demand, subject: &Subject<'_>, ground: &Ground<'_>, reasons: &mut Vec<Reason>) {
    match demand {
        Demand::Holders(wanted) => holders(wanted, subject, ground, reasons),
        Demand::Servers(kind, places) => servers(*kind, places, subject, ground, reasons),
        Demand::Keying { allow, deny } => say(reasons, demand, keying(allow, deny, subject)),
        Demand::Cipher(denied) => {
            for word in denied {
                say(reasons, demand, cipher(*word, subject));
            }
        }
        Demand::EndToEnd => say(reasons, demand, end_to_end(subject)),
        Demand::App { allow, deny, deny_unknown } => {
            say(reasons, demand, app(allow, deny, *deny_unknown, subject));
        }
    }
}

fn reason(demand: &'static str, verdict: Verdict, server: Option<&Server<'_>>) -> Option<Reason> {
    let (state, text) = match verdict {
        Verdict::Kept => return None,
        Verdict::Broken(text) => (State::Broken, text),
        Verdict::Unknown(text) => (State::NotDeterminable, text),
    };
    let name = server.and_then(|server| server.name.map(str::to_owned));
    Some(Reason { demand, state, text, server: server.map(|server| server.address), name })
}

fn say(reasons: &mut Vec<Reason>, demand: &Demand, verdict: Verdict) {
    reasons.extend(reason(demand.key(), verdict, None));
}

/// `52.81.151.250 (zoomcn..zc.zoom.us)`.
fn called(server: &Server<'_>) -> String {
    match server.name {
        Some(name) => format!("{} ({name})", server.address),
        None => server.address.to_string(),
    }
}

fn percent(share: f32) -> String {
    format!("{:.0} %", share.clamp(0.0, 1.0) * 100.0)
}

fn holders(wanted: &HolderDemand, subject: &Subject<'_>, ground: &Ground<'_>, reasons: &mut Vec<Reason>) {
    const KEY: &str = "key_holders";
    if subject.keying == "none" {
        let text = "media is not encrypted: there is no key that a server could hold, and whoever sees the packets can read it";
        reasons.extend(reason(KEY, Verdict::Unknown(text.to_owned()), None));
        return;
    }
    for holder in subject.holders.iter().filter(|holder| holder.could_hold != Answer::No) {
        let counts = match holder.could_hold {
            Answer::Yes => holder.confidence >= wanted.at_least,
            Answer::Unknown | Answer::No => wanted.count_unknown,
        };
        let who = called(&holder.server);
        let could = match holder.could_hold {
            Answer::Yes => {
                let why = holder.why.map(|why| format!(": {why}")).unwrap_or_default();
                format!("{who} could hold the key ({} sure{why})", percent(holder.confidence))
            }
            Answer::Unknown | Answer::No => format!("whether {who} could hold the key is not determinable"),
        };
        let verdict = match ground.judge(&wanted.places, &holder.server) {
            Verdict::Kept => Verdict::Kept,
            Verdict::Broken(why) if counts => Verdict::Broken(format!("{could}, and {why}")),
            Verdict::Broken(why) if holder.could_hold == Answer::Yes => Verdict::Unknown(format!(
                "{could}, which is less than the {} that the rule asks for; {why}",
                percent(wanted.at_least)
            )),
            Verdict::Broken(why) | Verdict::Unknown(why) => Verdict::Unknown(format!("{could}; {why}")),
        };
        reasons.extend(reason(KEY, verdict, Some(&holder.server)));
    }
    if let Some(text) = unjudged(subject) {
        reasons.extend(reason(KEY, Verdict::Unknown(text.to_owned()), None));
    }
}

/// Why it is not known who could hold the key, where it is not.
fn unjudged(subject: &Subject<'_>) -> Option<&'static str> {
    let any = |answer: Answer| subject.holders.iter().any(|holder| holder.could_hold == answer);
    if any(Answer::Yes) || subject.keying == "end_to_end" {
        return None;
    }
    if any(Answer::Unknown) {
        return Some("which server could hold the key is not determinable");
    }
    if subject.holders.is_empty() {
        return Some("no server was seen that could be judged: who could hold the key is not determinable");
    }
    (subject.keying == "not_determinable")
        .then_some("how the keys arose is not determinable, and so neither is who could hold them")
}

fn servers(
    kind: ServerKind,
    places: &Places,
    subject: &Subject<'_>,
    ground: &Ground<'_>,
    reasons: &mut Vec<Reason>,
) {
    let mut seen = false;
    for server in subject.servers.iter().filter(|server| kind.takes(&server.roles)) {
        seen = true;
        let who = format!("{} {}", kind.words(), called(server));
        let verdict = match ground.judge(places, server) {
            Verdict::Kept => Verdict::Kept,
            Verdict::Broken(why) => Verdict::Broken(format!("{who}: {why}")),
            Verdict::Unknown(why) => Verdict::Unknown(format!("{who}: {why}")),
        };
        reasons.extend(reason(kind.key(), verdict, Some(server)));
    }
    if !seen && kind != ServerKind::Relay {
        let text = format!("no {} of the session was seen", kind.words());
        reasons.extend(reason(kind.key(), Verdict::Unknown(text), None));
    }
}

/// True where the way in which keys arose is hidden.
fn is_hidden(keying: &str) -> bool {
    matches!(keying, "not_determinable" | "inside_tls")
}

fn keying(allow: &[String], deny: &[String], subject: &Subject<'_>) -> Verdict {
    let listed = |list: &[String]| list.iter().any(|word| word == subject.keying);
    let is = keying_words(subject.keying);
    if listed(deny) {
        return Verdict::Broken(format!("{is}, which the rule denies"));
    }
    if listed(allow) || (allow.is_empty() && !is_hidden(subject.keying)) {
        return Verdict::Kept;
    }
    if is_hidden(subject.keying) {
        return Verdict::Unknown(if subject.keying == "inside_tls" {
            format!("{is}: how they arise cannot be seen")
        } else {
            is.to_owned()
        });
    }
    let wanted = allow.iter().map(|word| keying_name(word)).collect::<Vec<_>>().join(" or ");
    if subject.end_to_end_possible && allow.iter().any(|word| word == "end_to_end") {
        return Verdict::Unknown(format!(
            "{is}, and the service has an end-to-end mode that the wire does not show; the rule asks for {wanted}"
        ));
    }
    Verdict::Broken(format!("{is}; the rule asks for {wanted}"))
}

fn cipher(word: CipherWord, subject: &Subject<'_>) -> Verdict {
    let (verdict, words) = subject.cipher.unwrap_or(("", ""));
    match word {
        CipherWord::Ecb => match verdict {
            "ecb_confirmed" | "ecb_very_likely" => Verdict::Broken(words.to_owned()),
            "ecb_suspicious" | "inconclusive" => Verdict::Unknown(words.to_owned()),
            "" => Verdict::Unknown("no media was seen whose ciphertext could be looked at".to_owned()),
            _ => Verdict::Kept,
        },
        CipherWord::Plain => match (verdict, subject.keying) {
            ("not_encrypted", _) | (_, "none") => {
                Verdict::Broken("media is not encrypted: whoever sees the packets can read it".to_owned())
            }
            ("begins_in_clear", _) => Verdict::Unknown(words.to_owned()),
            (_, "not_determinable") => Verdict::Unknown(
                "whether media is encrypted cannot be told: how its keys arose is not determinable"
                    .to_owned(),
            ),
            _ => Verdict::Kept,
        },
        CipherWord::KeyInClear => match (subject.key_in_clear, subject.keying) {
            (Some((Answer::Yes, why)), _) => Verdict::Broken(why.to_owned()),
            (Some((Answer::Unknown, why)), _) => Verdict::Unknown(why.to_owned()),
            (_, "not_determinable") => Verdict::Unknown(
                "whether the media key went in the clear cannot be told: how media keys arise is not determinable"
                    .to_owned(),
            ),
            _ => Verdict::Kept,
        },
    }
}

/// Whether nobody but the participants could hold the key.
fn end_to_end(subject: &Subject<'_>) -> Verdict {
    if subject.keying == "none" || subject.cipher.is_some_and(|(verdict, _)| verdict == "not_encrypted") {
        return Verdict::Broken("media is not encrypted".to_owned());
    }
    let yes = |holder: &&Holder<'_>| holder.could_hold == Answer::Yes;
    // The surest; of equals the first, so that the order of the servers decides and nothing else.
    let surest = subject
        .holders
        .iter()
        .filter(yes)
        .reduce(|best, next| if next.confidence > best.confidence { next } else { best });
    if let Some(holder) = surest {
        let who = called(&holder.server);
        let text = format!("{who} could hold the key ({} sure)", percent(holder.confidence));
        if subject.end_to_end_possible {
            return Verdict::Unknown(format!(
                "{text} unless the service's end-to-end mode is on, which the wire does not show"
            ));
        }
        return if holder.confidence >= SURE { Verdict::Broken(text) } else { Verdict::Unknown(text) };
    }
    unjudged(subject).map_or_else(
        || {
            if is_hidden(subject.keying) {
                Verdict::Unknown("how the media keys arose cannot be seen".to_owned())
            } else {
                Verdict::Kept
            }
        },
        |text| Verdict::Unknown(text.to_owned()),
    )
}

fn app(allow: &[String], deny: &[String], deny_unknown: bool, subject: &Subject<'_>) -> Verdict {
    let Some(app) = subject.app else {
        let text = "media of no known app";
        return if deny_unknown {
            Verdict::Broken(format!("{text}, which the rule denies"))
        } else {
            Verdict::Unknown(text.to_owned())
        };
    };
    let listed = |list: &[String]| list.iter().any(|known| known == app);
    let name = subject.app_name.filter(|name| !name.eq_ignore_ascii_case(app));
    let app = name.map_or_else(|| app.to_owned(), |name| format!("{name} ({app})"));
    if listed(deny) {
        return Verdict::Broken(format!("media is of {app}, which the rule denies"));
    }
    if allow.is_empty() || listed(allow) {
        return Verdict::Kept;
    }
    Verdict::Broken(format!("media is of {app}; the rule allows only {}", allow.join(", ")))
}

//! The first lines: the gravest finding in one sentence, then what there was.

use std::collections::BTreeMap;
use std::io;

use super::super::record::{SessionRecord, Severity};
use super::super::{Run, time};
use super::page::{Page, Tone, dim, plain};
use crate::keys::{CouldHold, Method};

/// Findings of these ids lead among those that are as grave, in this order. The others speak of the capture, and not of the call, where they
/// are not grave.
const LEADING: [&str; 4] =
    ["key_delivered", "key_holder_abroad", "certificate_self_signed", "certificate_expired"];

pub(super) fn write(page: &mut Page<'_>, run: &Run<'_>, sessions: &[SessionRecord]) -> io::Result<()> {
    let (tone, headline) = headline(run, sessions);
    page.paragraph(0, &(tone, headline))?;
    page.paragraph(0, &plain(counts(run, sessions)))?;
    if !run.complete {
        let broken = run.files.iter().filter(|file| file.error.is_some()).count();
        let text = match broken {
            0 => "INCOMPLETE: reading stopped before the end of the input".to_owned(),
            1 => "INCOMPLETE: 1 file could not be read to its end; see below".to_owned(),
            many => format!("INCOMPLETE: {many} files could not be read to their end; see below"),
        };
        page.paragraph(0, &(Tone::Warn, text))?;
    }
    if run.dropped.total() > 0 {
        let text = format!("{} packets were lost before they could be looked at", run.dropped.total());
        page.paragraph(0, &(Tone::Warn, text))?;
    }
    if let Some(text) = cut(run) {
        page.paragraph(0, &(Tone::Warn, text))?;
    }
    if sessions.is_empty() {
        page.line(0, &[dim("--records flow,stats lists the flows that were seen")])?;
    }
    Ok(())
}

/// The gravest finding with the number of sessions that share it; else that there is none.
pub(in super::super) fn headline(run: &Run<'_>, sessions: &[SessionRecord]) -> (Tone, String) {
    if sessions.is_empty() && run.counts.seen == 0 && !run.complete {
        return (Tone::Warn, "Nothing could be read.".to_owned());
    }
    if sessions.is_empty() {
        return (Tone::Title, "No meeting was seen.".to_owned());
    }
    let sessions: Vec<&SessionRecord> = sessions.iter().collect();
    leading(&sessions).unwrap_or_else(|| quiet(&sessions))
}

/// The gravest finding that leads, with the number of sessions that share it.
pub(in super::super) fn leading(sessions: &[&SessionRecord]) -> Option<(Tone, String)> {
    let (session, finding) = sessions
        .iter()
        .flat_map(|session| session.findings.iter().map(move |finding| (session, finding)))
        .filter(|(_, finding)| finding.severity == Severity::High || LEADING.contains(&finding.id))
        .min_by_key(|(_, finding)| {
            let rank = LEADING.iter().position(|id| *id == finding.id);
            (finding.severity, rank.unwrap_or(LEADING.len()))
        })?;
    let of_app: Vec<_> = sessions.iter().filter(|other| other.app == session.app).collect();
    let shared =
        of_app.iter().filter(|other| other.findings.iter().any(|known| known.id == finding.id)).count();
    let noun = if of_app.len() == 1 { "session" } else { "sessions" };
    let app = app_word(session.app.as_deref());
    let tone = if finding.severity == Severity::High { Tone::Alarm } else { Tone::Warn };
    // What the finding says, it says of one of them.
    let of_one = if shared > 1 {
        format!("{}; in {}: ", finding.id.replace('_', " "), session.session_id)
    } else {
        String::new()
    };
    Some((tone, format!("{shared} of {} {app} {noun}: {of_one}{}.", of_app.len(), finding.text)))
}

/// What is to be said where a tenth of the packets or more was cut short.
pub(in super::super) fn cut(run: &Run<'_>) -> Option<String> {
    let (cut, seen) = (run.decode.truncated, run.counts.seen);
    (cut > 0 && cut.saturating_mul(10) >= seen).then(|| {
        format!(
            "{cut} of {seen} packets were cut short by the capture: what stood behind the cut was not read, and what is \
             missing here may have been there"
        )
    })
}

/// No finding leads: that is good news only where the servers that could hold a key could be judged.
pub(in super::super) fn quiet(sessions: &[&SessionRecord]) -> (Tone, String) {
    let unjudged = sessions.iter().filter(|session| !is_judged(session)).count();
    let noun = if sessions.len() == 1 { "session" } else { "sessions" };
    if unjudged == 0 {
        return (Tone::Good, format!("{} {noun}, nothing grave found.", sessions.len()));
    }
    let text = format!(
        "{} {noun}, nothing grave found; in {unjudged} of them who could hold the key could not be judged.",
        sessions.len()
    );
    (Tone::Warn, text)
}

/// True when a server could hold the key, or every one of them could not.
fn is_judged(session: &SessionRecord) -> bool {
    let mut holders = session.keys.holders.iter().filter(|holder| session.is_third(holder));
    session.keys.holders.iter().any(|holder| holder.could_hold == CouldHold::Yes)
        || (session.keys.method != Method::NotDeterminable
            && holders.all(|holder| holder.could_hold == CouldHold::No))
}

/// `2 Zoom sessions, 1 Webex; 88 flows, 1234 packets, 2020-04-02 14:00:00 to 14:01:30 UTC`.
pub(in super::super) fn counts(run: &Run<'_>, sessions: &[SessionRecord]) -> String {
    let mut apps: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    for session in sessions {
        let count = apps.entry(session.app.as_deref()).or_default();
        *count = count.saturating_add(1);
    }
    let mut apps: Vec<_> = apps.into_iter().collect();
    apps.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let mut words: Vec<String> =
        apps.iter().map(|(app, count)| format!("{count} {}", app_word(*app))).collect();
    if let (Some(first), Some((_, count))) = (words.first_mut(), apps.first()) {
        first.push_str(if *count == 1 { " session" } else { " sessions" });
    } else {
        words.push("0 sessions".to_owned());
    }
    let flows = run.analysis.flows.len();
    let packets = run.counts.seen;
    let mut line = format!(
        "{}; {flows} {}, {packets} {}",
        words.join(", "),
        if flows == 1 { "flow" } else { "flows" },
        if packets == 1 { "packet" } else { "packets" },
    );
    let first = run.analysis.flows.iter().map(|judged| judged.flow.start).min();
    if let (Some(first), Some(last)) = (first, run.counts.latest) {
        line.push_str(", ");
        line.push_str(&time::span(first, last));
    }
    line
}

/// `Zoom`; the word of the record with a capital.
pub(in super::super) fn app_word(app: Option<&str>) -> String {
    let Some(app) = app else { return "unnamed".to_owned() };
    if app == "sip" {
        return "SIP".to_owned();
    }
    let mut letters = app.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

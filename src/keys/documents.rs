//! What the provider's documents say of the day of a capture. In: the keying rows. Out: [`Said`].

use super::Method;
use crate::classify::keying::{KeyMethod, Keying, Scope, day};
use crate::classify::provider::{Grade, Provider};
use crate::time::Timestamp;

/// When an end-to-end mode is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Mode {
    /// In every call of the kind.
    Always,
    /// Unless somebody cannot.
    Default,
    /// In some kinds of calls; the wire does not show whether this is one.
    Some,
    /// When chosen.
    Optional,
}

/// A documented end-to-end mode.
#[derive(Debug, Clone, PartialEq)]
pub struct EndToEnd {
    /// When it is on.
    pub mode: Mode,
    /// Which calls it is for, in words.
    pub scope: String,
    /// Who has the key then, in words.
    pub holder: String,
    /// A sentence that names the product, the calls and the holder.
    pub why: String,
    /// How sure, 0 to 1.
    pub confidence: f32,
    /// Documents, by their names in `providers/sources.toml`.
    pub sources: Vec<String>,
}

/// What the documents say of one day.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// How keys arise where no end-to-end mode is on, with the sentence that says so.
    pub method: Option<(Method, String)>,
    /// How sure, 0 to 1.
    pub confidence: f32,
    /// Documents behind `method`.
    pub sources: Vec<String>,
    /// Ciphers that they name, one of each row that held.
    pub ciphers: Vec<String>,
    /// The end-to-end mode.
    pub end_to_end: Option<EndToEnd>,
    /// Why nothing more can be said, where it comes to that.
    pub silence: String,
}

/// The rows of the day of `time`.
///
/// `straight`: media went from endpoint to endpoint, which only calls of two do.
pub(super) fn said(provider: Option<&Provider>, time: Timestamp, straight: bool) -> Said {
    let Some(provider) = provider else {
        return Said { silence: "no app is known whose documents could tell".to_owned(), ..Said::default() };
    };
    let rows = provider.keying.get_ref();
    let many = |row: &Keying| row.scope.iter().all(|scope| matches!(scope, Scope::Group | Scope::Meetings));
    let held = rows.iter().filter(|row| row.held(time) && !(straight && many(row)));
    let held: Vec<&Keying> = held.collect();
    let mut said = Said { silence: silence(provider, &held, time), ..Said::default() };
    said.end_to_end = end_to_end(provider, &held);
    // The first row of the day decides; those of the same method are two eras that overlap.
    let base = held.iter().find(|row| mode(row.method).is_none() && row.method != KeyMethod::Zrtp);
    let Some(base) = base.filter(|row| row.method != KeyMethod::Unknown) else { return said };
    for row in held.iter().filter(|row| row.method == base.method) {
        said.ciphers.extend(row.cipher.clone());
        let more = row.sources.get_ref().iter().filter(|source| !said.sources.contains(source));
        let more: Vec<String> = more.cloned().collect();
        said.sources.extend(more);
    }
    let words = format!("documented for {} ({}): {}", provider.name, base.scopes(), base.holder);
    said.confidence = sure(base.confidence);
    said.method = match base.method {
        KeyMethod::Sdes => Some((Method::Sdes, words)),
        KeyMethod::KeyService => Some((Method::KeyService, words)),
        KeyMethod::Proprietary => Some((Method::Proprietary, words)),
        KeyMethod::None => Some((Method::None, words)),
        // A handshake is seen or it is not.
        KeyMethod::DtlsSrtp
        | KeyMethod::Zrtp
        | KeyMethod::E2ee
        | KeyMethod::E2eeDefault
        | KeyMethod::E2eeOptional
        | KeyMethod::Unknown => None,
    };
    said
}

const fn mode(method: KeyMethod) -> Option<Mode> {
    match method {
        KeyMethod::E2ee => Some(Mode::Always),
        KeyMethod::E2eeDefault => Some(Mode::Default),
        KeyMethod::E2eeOptional => Some(Mode::Optional),
        KeyMethod::DtlsSrtp
        | KeyMethod::Sdes
        | KeyMethod::KeyService
        | KeyMethod::Zrtp
        | KeyMethod::Proprietary
        | KeyMethod::None
        | KeyMethod::Unknown => None,
    }
}

fn end_to_end(provider: &Provider, held: &[&Keying]) -> Option<EndToEnd> {
    let (row, mut mode) = held.iter().find_map(|row| Some((*row, mode(row.method)?)))?;
    let same = held.iter().filter(|other| other.method == row.method);
    let scope = same.map(|other| other.scopes()).collect::<Vec<_>>().join(", ");
    // Where other calls of the app have no such mode, the wire would have to tell which kind of call this is.
    let elsewhere = held.iter().any(|other| {
        other.method == KeyMethod::Unknown && !other.scope.iter().any(|scope| row.scope.contains(scope))
    });
    if mode == Mode::Always && elsewhere {
        mode = Mode::Some;
    }
    let period = row.period();
    let period = if period.is_empty() { period } else { format!(", {period}") };
    let when = match mode {
        Mode::Always | Mode::Some => "end to end",
        Mode::Default => "end to end by default",
        Mode::Optional => "end to end when chosen",
    };
    let why = format!("documented for {} ({scope}{period}): {when}; {}", provider.name, row.holder);
    Some(EndToEnd {
        mode,
        scope,
        holder: row.holder.clone(),
        why,
        confidence: sure(row.confidence),
        sources: row.sources.get_ref().clone(),
    })
}

const fn sure(grade: Grade) -> f32 {
    match grade {
        Grade::High => 0.9,
        Grade::Medium => 0.7,
        Grade::Low => 0.5,
    }
}

fn silence(provider: &Provider, held: &[&Keying], time: Timestamp) -> String {
    let name = &provider.name;
    let base = held.iter().find(|row| mode(row.method).is_none());
    match base {
        None if held.is_empty() => {
            let date = day(time).map_or_else(|| "the day of the capture".to_owned(), |day| day.to_string());
            format!("no document on the keys of {name} that is known here speaks of {date}")
        }
        Some(row) if row.method == KeyMethod::DtlsSrtp => {
            format!("{name} agrees on keys by DTLS, by its documents, and no DTLS handshake was captured")
        }
        Some(row) => format!("{name}: {}", row.holder),
        None => format!("{name}: no document says how media keys arise"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::embedded;

    /// Seconds by `date -u -d DAY +%s`.
    fn on(id: &str, seconds: i64) -> Said {
        let rules = embedded().unwrap();
        let provider = rules.providers().iter().find(|provider| provider.id == id);
        assert!(provider.is_some(), "{id}");
        said(provider, Timestamp::from_secs_nanos(seconds, 0), false)
    }

    const APRIL_2_2020: i64 = 1_585_785_600;
    const MAY_10_2020: i64 = 1_589_068_800;
    const JANUARY_2_2021: i64 = 1_609_545_600;
    const JANUARY_2_2016: i64 = 1_451_692_800;
    const JANUARY_2_2025: i64 = 1_735_776_000;

    #[test]
    fn the_day_picks_zooms_era() {
        let before = on("zoom", APRIL_2_2020);
        assert_eq!(before.ciphers, ["AES-128 in ECB mode"]);
        assert_eq!((before.sources, before.end_to_end), (vec!["citizenlab-126".to_owned()], None));
        assert_eq!(on("zoom", MAY_10_2020).ciphers, ["AES-128 in ECB mode", "AES-256-GCM"]);
        let after = on("zoom", JANUARY_2_2021);
        assert_eq!(after.ciphers, ["AES-256-GCM"]);
        assert_eq!(after.end_to_end.map(|known| known.mode), Some(Mode::Optional));
        assert_eq!(after.method.map(|(method, _)| method), Some(Method::KeyService));
    }

    #[test]
    fn before_its_announcement_a_mode_is_not_claimed() {
        let before = on("whatsapp", JANUARY_2_2016);
        assert!(before.method.is_none() && before.end_to_end.is_none());
        assert!(before.silence.contains("2016-01-02"), "{}", before.silence);
        assert_eq!(on("whatsapp", JANUARY_2_2021).end_to_end.map(|known| known.mode), Some(Mode::Always));
        assert_eq!(on("discord", JANUARY_2_2021).end_to_end, None);
        assert_eq!(on("discord", JANUARY_2_2025).end_to_end.map(|known| known.mode), Some(Mode::Default));
    }

    #[test]
    fn a_mode_for_some_calls_only_is_not_claimed_for_all() {
        // Calls of two since 2017, group calls since 2025; which of them a capture holds is not visible.
        assert_eq!(on("telegram", JANUARY_2_2021).end_to_end.map(|known| known.mode), Some(Mode::Some));
        let rules = embedded().unwrap();
        let telegram = rules.providers().iter().find(|provider| provider.id == "telegram");
        let straight = said(telegram, Timestamp::from_secs_nanos(JANUARY_2_2021, 0), true);
        assert_eq!(straight.end_to_end.map(|known| known.mode), Some(Mode::Always));
    }

    #[test]
    fn nothing_is_said_of_an_app_without_a_document() {
        let said = on("wechat", JANUARY_2_2021);
        assert!(said.method.is_none() && said.end_to_end.is_none() && said.sources.is_empty());
    }
}

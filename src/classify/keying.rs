//! How media keys arise, by the documents: the `[[keying]]` rows of provider files, and which of them held on a day.
//!
//! In: rows as they stand in the files. Out: the rows of a day. A row that names no document is refused, so that nothing
//! here rests on memory.

use jiff::Timestamp as Instant;
use jiff::civil::Date;
use jiff::tz::Offset;
use serde::Deserialize;
use toml::Spanned;

use super::provider::Grade;
use crate::time::Timestamp;

/// How media keys arise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum KeyMethod {
    /// DTLS-SRTP, RFC 5764.
    DtlsSrtp,
    /// Keys in signalling, RFC 4568 or alike.
    Sdes,
    /// A service of the provider makes keys and hands them out.
    KeyService,
    /// ZRTP, RFC 6189.
    Zrtp,
    /// The provider's own way; its servers have the key.
    Proprietary,
    /// Always end to end.
    E2ee,
    /// End to end unless somebody cannot.
    E2eeDefault,
    /// End to end when chosen.
    E2eeOptional,
    /// Not encrypted.
    None,
    /// No document says.
    Unknown,
}

/// What a row speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Scope {
    /// Calls of any kind.
    Calls,
    /// Meetings with a server between.
    Meetings,
    /// Calls of two.
    OneToOne,
    /// Calls of more than two.
    Group,
    /// What runs in a browser.
    WebClient,
}

impl Scope {
    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Meetings => "meetings",
            Self::OneToOne => "calls of two",
            Self::Group => "group calls",
            Self::WebClient => "the web client",
        }
    }
}

/// One row.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keying {
    /// How keys arise.
    pub method: KeyMethod,
    /// What the row speaks of; not empty.
    pub scope: Vec<Scope>,
    /// The first day on which it held, `YYYY-MM-DD`; open when left out.
    pub from: Option<Spanned<String>>,
    /// The first day on which it held no more; open when left out.
    pub until: Option<Spanned<String>>,
    /// The cipher, where the documents name it.
    pub cipher: Option<String>,
    /// Who could hold the key, in words.
    pub holder: String,
    /// How sure.
    pub confidence: Grade,
    /// The documents that say so.
    pub sources: Spanned<Vec<String>>,
}

impl Keying {
    /// True when the row held on the day of `time`, in UTC.
    pub fn held(&self, time: Timestamp) -> bool {
        let Some(day) = day(time) else { return self.from.is_none() && self.until.is_none() };
        let limit = |text: &Option<Spanned<String>>| text.as_ref().and_then(|text| date(text.get_ref()).ok());
        limit(&self.from).is_none_or(|from| from <= day) && limit(&self.until).is_none_or(|until| day < until)
    }

    /// `from 2020-04-27 until 2020-05-30`; empty without limits.
    pub fn period(&self) -> String {
        let part = |word: &str, text: &Option<Spanned<String>>| {
            text.as_ref().map(|text| format!("{word} {}", text.get_ref()))
        };
        let parts = [part("from", &self.from), part("until", &self.until)];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    /// `calls, meetings`.
    pub fn scopes(&self) -> String {
        self.scope.iter().map(|scope| scope.words()).collect::<Vec<_>>().join(", ")
    }
}

/// The day of a packet time, in UTC.
pub fn day(time: Timestamp) -> Option<Date> {
    let time = Instant::from_nanosecond(time.as_nanos().into()).ok()?;
    Some(Offset::UTC.to_datetime(time).date())
}

/// Reads `YYYY-MM-DD`.
///
/// # Errors
/// Why it is no date.
pub(super) fn date(text: &str) -> Result<Date, String> {
    text.parse().map_err(|_| format!("`{text}` is no date of the form YYYY-MM-DD"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(from: &str, until: &str) -> Keying {
        let text = format!(
            "method = \"sdes\"\nscope = [\"calls\"]\n{from}\n{until}\nholder = \"x\"\nconfidence = \"low\"\n\
             sources = [\"y\"]\n"
        );
        toml::from_str(&text).unwrap()
    }

    #[test]
    fn a_row_holds_from_its_first_day_to_the_day_before_its_end() {
        let row = row("from = \"2020-04-27\"", "until = \"2020-05-30\"");
        // Seconds of these days by `date -u -d DAY +%s`.
        for (seconds, held) in
            [(1_587_945_599, false), (1_587_945_600, true), (1_590_796_799, true), (1_590_796_800, false)]
        {
            assert_eq!(row.held(Timestamp::from_secs_nanos(seconds, 0)), held, "{seconds}");
        }
        assert_eq!(row.period(), "from 2020-04-27 until 2020-05-30");
    }

    #[test]
    fn a_row_without_limits_always_holds() {
        let row = row("", "");
        assert!(row.held(Timestamp::from_nanos(i64::MIN)) && row.held(Timestamp::from_nanos(i64::MAX)));
        assert_eq!((row.period(), row.scopes()), (String::new(), "calls".to_owned()));
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for text in ["2020", "2020-13-01", "2020-02-30", "yesterday"] {
            assert!(date(text).is_err(), "{text}");
        }
    }
}

//! Days of the calendar, in UTC: what a law or a membership begins and ends with.
//!
//! In: `2026-01-27`, or a packet's time. Out: [`Date`].

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::info::whole_days;
use crate::geo::error::BadDate;
use crate::time::Timestamp;

/// A day in UTC, from the year -9999 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(jiff::civil::Date);

impl Date {
    /// The day in UTC on which a packet was seen. A time of zero is what captures write that know none, and gives none.
    pub fn of(seen: Timestamp) -> Option<Self> {
        if seen == Timestamp::default() {
            return None;
        }
        let nanos = i128::from(seen.as_nanos());
        let time = jiff::Timestamp::from_nanosecond(nanos).ok()?;
        Some(Self(jiff::tz::Offset::UTC.to_datetime(time).date()))
    }

    /// Noon of the day in UTC; clamps at the ends of packet time.
    pub fn noon(self) -> Timestamp {
        let days = self.0.since(jiff::civil::date(1970, 1, 1)).map_or(0, |span| i64::from(span.get_days()));
        Timestamp::from_secs_nanos(days.saturating_mul(86_400).saturating_add(43_200), 0)
    }

    /// Whole days between its noon and `seen`, either way round.
    pub fn days_from(self, seen: Timestamp) -> u32 {
        whole_days(u128::from(self.noon().as_nanos().abs_diff(seen.as_nanos())))
    }

    /// The first day of a year.
    pub(super) fn first_of(year: i16) -> Option<Self> {
        jiff::civil::Date::new(year, 1, 1).ok().map(Self)
    }
}

impl FromStr for Date {
    type Err = BadDate;

    /// Reads `YYYY-MM-DD`.
    fn from_str(text: &str) -> Result<Self, BadDate> {
        let bad = || BadDate { text: crate::geo::record::clean(text) };
        if text.len() != "YYYY-MM-DD".len() {
            return Err(bad());
        }
        text.parse().map(Self).map_err(|_| bad())
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Date {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
impl schemars::JsonSchema for Date {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Date".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^-?[0-9]{4,6}-[0-9]{2}-[0-9]{2}$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::near::near_text;
    use proptest::prelude::*;

    #[test]
    fn a_day_is_the_one_in_utc() {
        // `date -u -d @1585699199` says Tue Mar 31 23:59:59 UTC 2020.
        let late = Timestamp::from_secs_nanos(1_585_699_199, 999_999_999);
        assert_eq!(Date::of(late).unwrap().to_string(), "2020-03-31");
        assert_eq!(Date::of(Timestamp::from_secs_nanos(1_585_699_200, 0)).unwrap().to_string(), "2020-04-01");
        assert_eq!(Date::of(Timestamp::default()), None);
    }

    #[test]
    fn noon_lies_in_its_day() {
        for text in ["1970-01-01", "2020-02-29", "1969-12-31", "2262-01-01"] {
            let day: Date = text.parse().unwrap();
            assert_eq!(Date::of(day.noon()), Some(day), "{text}");
        }
    }

    #[test]
    fn what_is_no_day_is_told() {
        for text in ["", "2026", "2026-02-29", "2026-1-27", "27.01.2026", "20260127  "] {
            let error = text.parse::<Date>().unwrap_err();
            assert!(error.to_string().contains("YYYY-MM-DD"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn near_a_day_what_is_read_is_written_the_same(text in near_text(["2024-02-29", "1970-01-01", "+02024-02-29"])) {
            if let Ok(day) = text.parse::<Date>() {
                prop_assert_eq!(day.to_string(), text);
            }
        }
    }
}

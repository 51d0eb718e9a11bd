//! Times in records and in text, always UTC. In: packet times, seconds of certificates. Out: strings.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::Offset;
use serde::{Serialize, Serializer};

use crate::time::Timestamp;

/// A time as Suricata's EVE writes it: `2020-04-02T14:00:03.123456+0000`, UTC.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EveTime([u8; 31]);

impl EveTime {
    /// Of a packet's time; of each that there can be the calendar has a day.
    pub fn of(time: Timestamp) -> Self {
        let mut out = *b"0000-00-00T00:00:00.000000+0000";
        if let Some(when) = civil(time) {
            calendar(&mut out, when);
            let micros = when.subsec_nanosecond().unsigned_abs() / 1000;
            digits(out.get_mut(20..26).unwrap_or_default(), micros);
        }
        Self(out)
    }
}

impl Deref for EveTime {
    type Target = str;

    fn deref(&self) -> &str {
        // Only ASCII is ever put in.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for EveTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EveTime({})", &**self)
    }
}

impl Serialize for EveTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

/// The same as text.
pub(super) fn eve(time: Timestamp) -> String {
    (*EveTime::of(time)).to_owned()
}

/// Year to second, with the signs between them as they stand.
fn calendar(out: &mut [u8], when: DateTime) {
    let parts = [
        (0..4, when.year().unsigned_abs().into()),
        (5..7, when.month().unsigned_abs().into()),
        (8..10, when.day().unsigned_abs().into()),
        (11..13, when.hour().unsigned_abs().into()),
        (14..16, when.minute().unsigned_abs().into()),
        (17..19, when.second().unsigned_abs().into()),
    ];
    for (place, number) in parts {
        digits(out.get_mut(place).unwrap_or_default(), number);
    }
}

/// A number with leading zeros. Two or three times are written of every flow, and the general formatter is slow.
fn digits(out: &mut [u8], number: u32) {
    let mut rest = number;
    for digit in out.iter_mut().rev() {
        *digit = b'0'.saturating_add(u8::try_from(rest % 10).unwrap_or(0));
        rest /= 10;
    }
}

/// Seconds since the epoch as `2020-04-02T14:00:03+0000`, or the number where the calendar ends (year 9999).
pub(super) fn eve_seconds(seconds: i64) -> String {
    let Ok(time) = jiff::Timestamp::from_second(seconds) else { return format!("{seconds} s since 1970") };
    let when = Offset::UTC.to_datetime(time);
    if when.year() < 0 {
        return format!("{}+0000", when.strftime("%Y-%m-%dT%H:%M:%S"));
    }
    let mut out = *b"0000-00-00T00:00:00+0000";
    calendar(&mut out, when);
    String::from_utf8_lossy(&out).into_owned()
}

/// What [`eve`] wrote, as a time again.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let time = jiff::Timestamp::strptime("%Y-%m-%dT%H:%M:%S%.f%z", text).ok()?;
    i64::try_from(time.as_nanosecond()).ok().map(Timestamp::from_nanos)
}

/// What [`eve`] wrote as [`plain`] has it; any other text as it is.
pub(super) fn plain_of(text: &str) -> String {
    parse(text).map_or_else(|| text.to_owned(), plain)
}

/// What [`eve`] wrote twice, as [`span`] has it.
pub(super) fn span_of(from: &str, to: &str) -> String {
    match (parse(from), parse(to)) {
        (Some(from), Some(to)) => span(from, to),
        _ => format!("{from} to {to}"),
    }
}

/// Seconds of a record in words.
pub(super) fn length_of(seconds: f64) -> String {
    length(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// `2020-04-02 14:00:03`.
pub(super) fn plain(time: Timestamp) -> String {
    civil(time).map_or_else(
        || format!("{} ns", time.as_nanos()),
        |when| when.strftime("%Y-%m-%d %H:%M:%S").to_string(),
    )
}

/// `2020-04-02 14:00:03 to 14:01:33 UTC`; the second date only where it differs.
pub(super) fn span(from: Timestamp, to: Timestamp) -> String {
    let (first, second) = (plain(from), plain(to));
    match (first.split_once(' '), second.split_once(' ')) {
        (Some((day, _)), Some((same, clock))) if day == same => format!("{first} to {clock} UTC"),
        _ => format!("{first} to {second} UTC"),
    }
}

/// `850 ms`, `12.3 s`, `3 min 20 s`, `2 h 05 min`.
pub(super) fn length(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let part = |unit: u64| seconds.checked_div(unit).unwrap_or(0);
    let rest = |of: u64| seconds.checked_rem(of).unwrap_or(0);
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..=59 => format!("{:.1} s", duration.as_secs_f64()),
        60..=3599 => format!("{} min {:02} s", part(60), rest(60)),
        _ => format!("{} h {:02} min", part(3600), rest(3600).checked_div(60).unwrap_or(0)),
    }
}

fn civil(time: Timestamp) -> Option<DateTime> {
    let time = jiff::Timestamp::from_nanosecond(i128::from(time.as_nanos())).ok()?;
    Some(Offset::UTC.to_datetime(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eve_time_is_utc_with_microseconds() {
        // 1585836003 is 2020-04-02 14:00:03 UTC by date(1).
        assert_eq!(
            eve(Timestamp::from_secs_nanos(1_585_836_003, 123_456_789)),
            "2020-04-02T14:00:03.123456+0000"
        );
        assert_eq!(eve_seconds(1_585_836_003), "2020-04-02T14:00:03+0000");
        let read = parse("2020-04-02T14:00:03.123456+0000");
        assert_eq!(read, Some(Timestamp::from_secs_nanos(1_585_836_003, 123_456_000)));
        assert_eq!(parse("3 ns"), None);
    }

    #[test]
    fn times_before_1970_and_at_the_ends_of_the_range_are_written() {
        assert_eq!(eve(Timestamp::from_nanos(-1)), "1969-12-31T23:59:59.999999+0000");
        assert!(eve(Timestamp::from_nanos(i64::MAX)).starts_with("2262-"));
        assert!(eve(Timestamp::from_nanos(i64::MIN)).starts_with("1677-"));
        assert_eq!(eve_seconds(i64::MAX), "9223372036854775807 s since 1970");
        // The last hours of the calendar, and the years around the one that is 0.
        assert_eq!(eve_seconds(253_402_200_000), "9999-12-30T20:00:00+0000");
        assert_eq!(eve_seconds(-62_135_596_801), "0000-12-31T23:59:59+0000");
        assert_eq!(eve_seconds(-62_167_219_201), "-001-12-31T23:59:59+0000");
    }

    #[test]
    fn spans_repeat_no_date() {
        let from = Timestamp::from_secs_nanos(1_585_836_003, 0);
        assert_eq!(span(from, from.plus(Duration::from_secs(90))), "2020-04-02 14:00:03 to 14:01:33 UTC");
        assert_eq!(length(Duration::from_secs(200)), "3 min 20 s");
        assert_eq!(length(Duration::from_millis(850)), "850 ms");
    }
}

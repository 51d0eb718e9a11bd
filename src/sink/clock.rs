//! The one place of this stage that reads a clock: rotation, headers of syslog and patience with peers are matters of the
//! day, not of packets.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use jiff::tz::Offset;

/// Seconds since 1970 and the nanoseconds beside them; zero before that.
#[expect(
    clippy::disallowed_methods,
    reason = "files are rotated, and lines of syslog stamped, by the time of day"
)]
pub(super) fn now() -> (u64, u32) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_secs(), since.subsec_nanos())
}

/// A point in time that only goes forward.
#[expect(clippy::disallowed_methods, reason = "how long a peer has taken nothing")]
pub(super) fn instant() -> Instant {
    Instant::now()
}

/// `20261126T105500Z`; empty where the calendar ends.
pub(super) fn stamp(seconds: u64) -> String {
    formatted((seconds, 0), "%Y%m%dT%H%M%SZ")
}

/// `2026-11-26T10:55:00.123456Z`, as RFC 5424 section 6.2.3 asks: no more than six digits of a second.
pub(super) fn rfc5424(now: (u64, u32)) -> String {
    let text = formatted(now, "%Y-%m-%dT%H:%M:%S.%6fZ");
    if text.is_empty() { "-".to_owned() } else { text }
}

fn formatted((seconds, nanos): (u64, u32), format: &str) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    let nanos = i32::try_from(nanos).unwrap_or_default();
    jiff::Timestamp::new(seconds, nanos)
        .map(|time| Offset::UTC.to_datetime(time).strftime(format).to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc() {
        // date -u -d @1795690500 gives 2026-11-26 10:55:00.
        assert_eq!(stamp(1_795_690_500), "20261126T105500Z");
        assert_eq!(rfc5424((1_795_690_500, 123_456_789)), "2026-11-26T10:55:00.123456Z");
        assert_eq!(rfc5424((u64::MAX, 0)), "-");
    }
}

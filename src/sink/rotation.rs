//! When a file is rotated, and how the parts of it are called. In: what `--rotate` says, names in a directory. Out: whether it
//! is time, names of parts in the order of their age.

use std::str::FromStr;

use super::clock;

/// Fewest bytes after which a file may be rotated: a record can be as large.
const LEAST_BYTES: u64 = 64 << 10;
/// Shortest interval, in seconds.
const LEAST_SECONDS: u64 = 10;
/// Most parts of one second that are told apart.
const MOST_OF_A_SECOND: u32 = 9999;

/// After how many bytes, and at which times, a file is rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Rotation {
    /// Before a record that would make the file longer than this.
    pub bytes: Option<u64>,
    /// At each multiple of so many seconds since 1970, in UTC: `1h` is the full hour, `1d` midnight.
    pub seconds: Option<u64>,
}

/// Why a text is no rotation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RotationError {
    /// It is neither a size nor a time.
    #[error("expected a size (100M, 2G) or a time (30m, 1h, 1d), found {0:?}")]
    Unit(String),
    /// Two sizes, or two times.
    #[error("expected one size and one time at most, found another in {0:?}")]
    Twice(String),
    /// Less than makes sense.
    #[error("expected at least {LEAST_BYTES} bytes or {LEAST_SECONDS} seconds, found {0:?}")]
    TooLittle(String),
}

impl FromStr for Rotation {
    type Err = RotationError;

    fn from_str(text: &str) -> Result<Self, RotationError> {
        let mut read = Self::default();
        for part in text.split(',').map(str::trim) {
            let (unit, is_size) = unit(part).ok_or_else(|| RotationError::Unit(part.to_owned()))?;
            let digits = part.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
            let count: u64 = digits.parse().map_err(|_| RotationError::Unit(part.to_owned()))?;
            let value = count.checked_mul(unit).ok_or_else(|| RotationError::Unit(part.to_owned()))?;
            let (place, least) =
                if is_size { (&mut read.bytes, LEAST_BYTES) } else { (&mut read.seconds, LEAST_SECONDS) };
            if value < least {
                return Err(RotationError::TooLittle(part.to_owned()));
            }
            if place.replace(value).is_some() {
                return Err(RotationError::Twice(part.to_owned()));
            }
        }
        Ok(read)
    }
}

/// What a unit stands for, and whether it is one of size. Sizes are powers of 1024; `m` is a minute and `M` a mebibyte.
fn unit(part: &str) -> Option<(u64, bool)> {
    let digits = part.find(|letter: char| !letter.is_ascii_digit())?;
    Some(match part.get(digits..)? {
        "k" | "K" | "KiB" => (1 << 10, true),
        "M" | "MiB" => (1 << 20, true),
        "G" | "GiB" => (1 << 30, true),
        "s" => (1, false),
        "m" | "min" => (60, false),
        "h" => (3600, false),
        "d" => (86_400, false),
        _ => return None,
    })
}

impl Rotation {
    /// The interval that a time lies in.
    pub(super) fn interval(self, seconds: u64) -> u64 {
        self.seconds.and_then(|length| seconds.checked_div(length)).unwrap_or_default()
    }
}

/// A part of a rotated file, by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part {
    /// When it was rotated, `20261126T105500Z`: sorts by time.
    pub(super) stamp: String,
    /// Tells parts of one second apart; 0 is not written.
    pub(super) number: u32,
    /// `.gz` or `.zst`; empty for one that is not compressed.
    pub(super) ending: &'static str,
    /// What its compressing left unfinished.
    pub(super) is_draft: bool,
}

/// What a file is called while it is being compressed.
pub(super) const DRAFT: &str = ".part";

impl Part {
    /// The name of a file that is rotated now.
    pub(super) fn new(seconds: u64, number: u32) -> Option<Self> {
        let stamp = clock::stamp(seconds);
        let is_sound = stamp.len() == 16 && number <= MOST_OF_A_SECOND;
        is_sound.then_some(Self { stamp, number, ending: "", is_draft: false })
    }

    /// `eve.json.20261126T105500Z-1.zst` as a part of `eve.json`; none for all other names, which are not ours.
    pub(super) fn read(of: &str, name: &str) -> Option<Self> {
        let rest = name.strip_prefix(of)?.strip_prefix('.')?;
        let (rest, is_draft) = rest.strip_suffix(DRAFT).map_or((rest, false), |rest| (rest, true));
        let (rest, ending) = [".gz", ".zst"]
            .into_iter()
            .find_map(|ending| Some((rest.strip_suffix(ending)?, ending)))
            .unwrap_or((rest, ""));
        let (stamp, number) = match rest.split_once('-') {
            Some((stamp, number)) => (stamp, number.parse().ok().filter(|number| *number > 0)?),
            None => (rest, 0),
        };
        let is_stamp = stamp.len() == 16
            && stamp.bytes().enumerate().all(|(at, byte)| match at {
                8 => byte == b'T',
                15 => byte == b'Z',
                _ => byte.is_ascii_digit(),
            });
        let part = Self { stamp: stamp.to_owned(), number, ending, is_draft };
        (is_stamp && part.name(of) == name).then_some(part)
    }

    /// Its name.
    pub(super) fn name(&self, of: &str) -> String {
        let number = if self.number == 0 { String::new() } else { format!("-{}", self.number) };
        let draft = if self.is_draft { DRAFT } else { "" };
        format!("{of}.{}{number}{}{draft}", self.stamp, self.ending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read() {
        let read = |text: &str| text.parse::<Rotation>().map(|read| (read.bytes, read.seconds));
        assert_eq!(read("100M"), Ok((Some(104_857_600), None)));
        assert_eq!(read("1h"), Ok((None, Some(3600))));
        assert_eq!(read("2G,1d"), Ok((Some(2_147_483_648), Some(86_400))));
        assert_eq!(read("30m, 64k"), Ok((Some(65_536), Some(1800))));
        assert_eq!(read("1h,1d"), Err(RotationError::Twice("1d".to_owned())));
        assert_eq!(read("1k"), Err(RotationError::TooLittle("1k".to_owned())));
        for text in ["", "h", "10", "1w", "-1h", "99999999999999999999G", "99999999999999G"] {
            assert!(matches!(read(text), Err(RotationError::Unit(_))), "{text}");
        }
    }

    #[test]
    fn only_own_names_are_parts() {
        let part = Part::new(1_795_690_500, 2).unwrap();
        assert_eq!(part.name("eve.json"), "eve.json.20261126T105500Z-2");
        for name in [
            "a.20261126T105500Z",
            "a.20261126T105500Z-2",
            "a.20261126T105500Z.gz",
            "a.20261126T105500Z-9.zst.part",
        ] {
            assert_eq!(Part::read("a", name).unwrap().name("a"), name);
        }
        for name in [
            "a",
            "a.1",
            "a.20261126",
            "a.20261126T105500Z.bak",
            "b.20261126T105500Z",
            "a.20261126T105500Z-0",
            "a.20261126T105500Z-02",
        ] {
            assert_eq!(Part::read("a", name), None, "{name}");
        }
    }

    #[test]
    fn parts_sort_by_age() {
        let names = [
            "a.20261126T105500Z-10.gz",
            "a.20261126T105459Z.zst",
            "a.20261126T105500Z-2",
            "a.20261126T105500Z",
        ];
        let mut parts: Vec<Part> = names.iter().map(|name| Part::read("a", name).unwrap()).collect();
        parts.sort();
        let sorted: Vec<String> = parts.iter().map(|part| part.name("a")).collect();
        assert_eq!(sorted, [names[1], names[3], names[2], names[0]]);
    }

    #[test]
    fn intervals_begin_at_full_hours() {
        let hourly: Rotation = "1h".parse().unwrap();
        // 2026-11-26 10:59:59 and 11:00:00 UTC.
        assert_ne!(hourly.interval(1_795_690_799), hourly.interval(1_795_690_800));
        assert_eq!(hourly.interval(1_795_690_800), hourly.interval(1_795_694_399));
    }
}

//! `[[wire]]` rows of a provider file into patterns for the observing stage.

use std::ops::RangeInclusive;

use super::provider::Wire;
use crate::flow::Direction;
use crate::observe::pattern::{LengthField, Needle, Pattern};

/// A port or a range `a-b`.
pub(super) fn port_range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    match (low.trim().parse::<u16>(), high.trim().parse::<u16>()) {
        (Ok(low), Ok(high)) if low <= high => Ok(low..=high),
        _ => Err(format!("`{text}` is no port and no range of ports")),
    }
}

/// One row as a pattern that reports `number`; the error says what is wrong.
pub(super) fn compile(row: &Wire, number: u16) -> Result<Pattern, String> {
    let protocol = match row.proto.as_str() {
        "udp" => Some(17),
        "tcp" => Some(6),
        "any" => None,
        other => return Err(format!("proto `{other}` is none of udp, tcp, any")),
    };
    let direction = match row.direction.as_str() {
        "" | "any" => None,
        "originator" => Some(Direction::Forward),
        "responder" => Some(Direction::Reverse),
        other => return Err(format!("direction `{other}` is none of any, originator, responder")),
    };
    let mut fixed = Vec::new();
    for bytes in &row.bytes {
        fixed.extend(bytes_at(bytes)?);
    }
    let contains = row.contains.as_deref().map(hex).transpose()?;
    let mask = row.len_mask.unwrap_or(u16::MAX);
    let length_field = match (row.le16_len_at, row.be16_len_at) {
        (Some(at), None) => Some(LengthField { at, little_endian: true, mask, adjust: row.len_adjust }),
        (None, Some(at)) => Some(LengthField { at, little_endian: false, mask, adjust: row.len_adjust }),
        (None, None) => None,
        (Some(_), Some(_)) => return Err("le16_len_at and be16_len_at exclude each other".to_owned()),
    };
    if fixed.is_empty() && contains.is_none() && length_field.is_none() && !row.counts_up {
        return Err("a row needs bytes, contains, counts_up or a length field".to_owned());
    }
    Ok(Pattern {
        protocol,
        ports: row.ports.iter().map(|range| port_range(range)).collect::<Result<_, _>>()?,
        fixed,
        contains: contains.map(|needle| Needle::new(&needle, row.contains_at_least.unwrap_or(1).max(1))),
        length: length(row.len.as_deref().unwrap_or("1.."))?,
        length_field,
        direction,
        counts_up: row.counts_up,
        rule: number,
    })
}

/// `"offset:hex"`, where `?` stands for any nibble.
fn bytes_at(text: &str) -> Result<Vec<(usize, u8, u8)>, String> {
    let bad = || format!("bytes `{text}` is not `offset:hex`");
    let (offset, digits) = text.split_once(':').ok_or_else(bad)?;
    let offset: usize = offset.trim().parse().map_err(|_| bad())?;
    let digits = digits.trim().as_bytes();
    if digits.is_empty() || digits.len() % 2 != 0 {
        return Err(bad());
    }
    let mut out = Vec::new();
    for (place, pair) in digits.chunks_exact(2).enumerate() {
        let [high, low] = pair else { return Err(bad()) };
        let (high, high_mask) = nibble(*high).ok_or_else(bad)?;
        let (low, low_mask) = nibble(*low).ok_or_else(bad)?;
        let mask = high_mask << 4 | low_mask;
        if mask != 0 {
            out.push((offset.saturating_add(place), high << 4 | low, mask));
        }
    }
    Ok(out)
}

fn nibble(digit: u8) -> Option<(u8, u8)> {
    if digit == b'?' {
        return Some((0, 0));
    }
    let value = char::from(digit).to_digit(16)?;
    Some((u8::try_from(value).ok()?, 0x0f))
}

fn hex(text: &str) -> Result<Vec<u8>, String> {
    let fixed = bytes_at(&format!("0:{text}"))?;
    if fixed.iter().any(|(_, _, mask)| *mask != 0xff) {
        return Err(format!("contains `{text}` may hold no `?`"));
    }
    Ok(fixed.into_iter().map(|(_, value, _)| value).collect())
}

/// `"74"`, `"20.."` or `"8..46"` (both ends included).
fn length(text: &str) -> Result<RangeInclusive<usize>, String> {
    let bad = || format!("len `{text}` is none of `n`, `n..`, `n..m`");
    let number = |digits: &str| digits.trim().parse::<usize>().map_err(|_| bad());
    match text.split_once("..") {
        None => {
            let only = number(text)?;
            Ok(only..=only)
        }
        Some((low, "")) => Ok(number(low)?..=usize::MAX),
        Some((low, high)) => Ok(number(low)?..=number(high)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_with_wildcards() {
        assert_eq!(bytes_at("2:0a?f??").unwrap(), [(2, 0x0a, 0xff), (3, 0x0f, 0x0f)]);
        for wrong in ["0a", "x:0a", "0:0", "0:zz", "0:"] {
            assert!(bytes_at(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn lengths_and_ports() {
        assert_eq!(length("74").unwrap(), 74..=74);
        assert_eq!(length("20..").unwrap(), 20..=usize::MAX);
        assert_eq!(length("8..46").unwrap(), 8..=46);
        assert!(length("a").is_err());
        assert_eq!(port_range("8801-8810").unwrap(), 8801..=8810);
        assert_eq!(port_range("443").unwrap(), 443..=443);
        assert!(port_range("9-1").is_err());
        assert!(port_range("70000").is_err());
    }
}

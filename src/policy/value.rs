//! Values of policy files: countries, subnets, names, days. In: a string with its place. Out: the value, or a fault.

use std::net::IpAddr;
use std::ops::Range;

use ipnet::IpNet;
use jiff::tz::Offset;

use super::error::quoted;
use super::exception::ServerTerm;
use super::read::{Context, Table, Text};
use super::words::KEYINGS;
use crate::geo::Country;
use crate::time::Timestamp;

/// The last instant of a day in UTC.
pub(super) fn end_of(day: jiff::civil::Date) -> Option<Timestamp> {
    let last = day.at(23, 59, 59, 999_999_999);
    let instant = Offset::UTC.to_timestamp(last).ok()?;
    Some(Timestamp::from_nanos(i64::try_from(instant.as_nanosecond()).ok()?))
}

pub(super) fn has_one(context: &Context<'_>, table: &Table<'_>, keys: &[&str]) {
    if !keys.iter().any(|key| table.has(key)) {
        context.fault(&table.at, format!("expected one of {}", keys.join(", ")));
    }
}

pub(super) fn country(context: &Context<'_>, text: &Text<'_>) -> Option<Country> {
    let found = Country::parse(text.text).filter(|found| found.name().is_some());
    if found.is_none() {
        let reason = format!(
            "{} is no country code; expected two letters of ISO 3166-1, such as CA",
            quoted(text.text)
        );
        let code = code_of(text.text);
        context.faults.borrow_mut().add(context.source, &text.at, reason, code.as_deref());
    }
    found
}

/// The code of a country that was named instead.
pub(super) fn code_of(name: &str) -> Option<String> {
    let letters = || b'A'..=b'Z';
    let codes = letters().flat_map(|one| letters().map(move |two| [one, two]));
    let mut found = codes.filter_map(|code| Country::parse(std::str::from_utf8(&code).ok()?));
    let hit = found.find(|country| country.name().is_some_and(|known| known.eq_ignore_ascii_case(name)))?;
    Some(hit.code().to_owned())
}

pub(super) fn nets(context: &Context<'_>, texts: &[Text<'_>]) -> Vec<(IpNet, Range<usize>)> {
    texts.iter().filter_map(|text| Some((net(context, text)?, text.at.clone()))).collect()
}

/// A subnet, or one address. An address that ends in 0 asks for its prefix: it was meant as a network.
pub(super) fn net(context: &Context<'_>, text: &Text<'_>) -> Option<IpNet> {
    if let Ok(address) = text.text.parse::<IpAddr>() {
        if let Some(prefix) = forgotten_prefix(address) {
            let host = IpNet::from(address);
            let reason =
                format!("{} has no prefix and ends in 0; one address alone is {host}", quoted(text.text));
            let meant = format!("{address}/{prefix}");
            context.faults.borrow_mut().add(context.source, &text.at, reason, Some(&meant));
            return None;
        }
        return Some(IpNet::from(address));
    }
    let Ok(net) = text.text.parse::<IpNet>() else {
        let reason = format!("{} is no subnet; expected one such as 10.20.0.0/16", quoted(text.text));
        context.fault(&text.at, reason);
        return None;
    };
    if net.addr() != net.network() {
        let reason = format!("{} has bits set behind its prefix", quoted(text.text));
        let meant = net.trunc().to_string();
        context.faults.borrow_mut().add(context.source, &text.at, reason, Some(&meant));
        return None;
    }
    Some(net)
}

/// The prefix of a network that is written like an address: its last part is zero.
fn forgotten_prefix(address: IpAddr) -> Option<usize> {
    let bits = |parts: &[u16], width: usize| {
        let kept = parts.iter().rposition(|part| *part != 0).map_or(0, |last| last.saturating_add(1));
        (kept < parts.len()).then(|| kept.saturating_mul(width))
    };
    match address {
        IpAddr::V4(address) => bits(&address.octets().map(u16::from), 8),
        IpAddr::V6(address) => bits(&address.segments(), 16),
    }
}

/// The end of a host name, `*.` before it being the same.
pub(super) fn suffix(context: &Context<'_>, text: &Text<'_>) -> Option<String> {
    let name = text.text.strip_prefix("*.").unwrap_or(text.text).to_ascii_lowercase();
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let labels = name.split('.').all(|label| !label.is_empty());
    if name.contains('.') && labels && name.bytes().all(sound) {
        return Some(name);
    }
    let expected = "expected the end of a host name with a dot, such as zoomgov.com";
    context.fault(&text.at, format!("{}: {expected}", quoted(text.text)));
    None
}

/// An address, a subnet, or the end of a name.
pub(super) fn server(context: &Context<'_>, text: &Text<'_>) -> Option<ServerTerm> {
    let digits = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'/' | b':');
    if text.text.contains([':', '/']) || text.text.bytes().all(digits) {
        return net(context, text).map(ServerTerm::Net);
    }
    suffix(context, text).map(ServerTerm::Name)
}

pub(super) fn keyings(context: &Context<'_>, texts: &[Text<'_>]) -> Vec<String> {
    let words = KEYINGS.map(|word| (word, word));
    texts.iter().filter_map(|text| context.word(text, "keying", &words)).map(str::to_owned).collect()
}

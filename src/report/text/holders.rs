//! Who could hold the media key: the answer of a session's page.

use std::fmt::Write as _;
use std::io;

use super::super::build;
use super::super::record::{
    ContactRecord, DistanceRecord, EndToEndRecord, HolderRecord, KeysRecord, OpenedStreamRecord,
    PacketNumber, PlaceHint, PlaceRecord, SessionRecord, SpreadRecord, TriedRecord,
};
use super::page::{Align, Cell, Page, Tone, dim, plain};
use super::session::percent;
use crate::geo::Exposure;
use crate::keys::witness::Delivery;
use crate::keys::{CouldHold, Method, Mode};

/// Servers that could hold the key, shown one by one.
const SHOWN: usize = 12;
/// Hints of a server's place shown.
const HINTS: usize = 2;
/// Addresses named of those that could not.
const NAMED: usize = 8;
/// First contacts shown.
const CONTACTS: usize = 16;
/// Kilometres to the far side of the earth: a bound beyond that says nothing.
const ANTIPODES: u32 = 20_000;
/// Width of the answer's words.
const LABEL: usize = 18;

pub(super) fn write(page: &mut Page<'_>, record: &SessionRecord) -> io::Result<()> {
    let keys = &record.keys;
    // Media that is not encrypted has no key.
    let [heading, able_to] = if keys.method == Method::None {
        ["Who could read the media", "could read"]
    } else {
        ["Who could hold the media key", "could hold"]
    };
    page.heading(heading)?;
    let label = if keys.method == Method::None { "protection" } else { "how keys arose" };
    let method = format!("{}; {}", method_words(keys.method), keys.why);
    page.labelled(4, &dim(label), LABEL, &plain(method))?;
    page.labelled(4, &dim("by"), LABEL, &dim(keys.source.clone()))?;
    if !keys.ciphers.is_empty() {
        let text = format!("{}, by the documents of that day", keys.ciphers.join(" or "));
        page.labelled(4, &dim("cipher"), LABEL, &plain(text))?;
    }
    if let Some(known) = keys.end_to_end.as_ref().filter(|_| keys.unless_end_to_end) {
        page.labelled(4, &dim("unless"), LABEL, &plain(unless(known)))?;
    }
    witness(page, keys)?;
    let able: Vec<&HolderRecord> =
        keys.holders.iter().filter(|holder| holder.could_hold == CouldHold::Yes).collect();
    let common = Common::of(&able, &keys.source);
    if let Some(words) = common.words() {
        page.labelled(4, &dim("places by"), LABEL, &dim(words))?;
    }
    let mut above = None;
    for holder in able.iter().take(SHOWN) {
        one(page, able_to, holder, &common, above)?;
        above = Some(*holder);
    }
    let more = able.len().saturating_sub(SHOWN);
    if more > 0 {
        page.line(4, &[dim(format!("and {more} more that could hold it, in the session record"))])?;
    }
    for answer in [CouldHold::Unknown, CouldHold::No] {
        alike(page, keys, answer)?;
    }
    if keys.holders.is_empty() {
        page.line(4, &[dim("no server was seen")])?;
    }
    page.blank()?;
    timeline(page, &keys.timeline, keys.timeline_left_out)
}

/// Keys that open the media, with how they came; or that none of the values that were tried does.
fn witness(page: &mut Page<'_>, keys: &KeysRecord) -> io::Result<()> {
    for found in keys.witness.iter().take(SHOWN) {
        let name = found.name.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
        let way = delivery_words(found.delivery);
        let text = format!(
            "{way} {} port {}{name}, {}: {}; {}, opens {}",
            found.ip,
            found.port,
            packets(&[found.packet]),
            found.place,
            found.cipher,
            found.streams.iter().map(opened).collect::<Vec<_>>().join(", ")
        );
        page.labelled(4, &(Tone::Warn, "key seen".to_owned()), LABEL, &plain(text))?;
    }
    let Some(tried) = keys.tried.as_ref().filter(|_| keys.witness.is_empty()) else { return Ok(()) };
    page.labelled(4, &dim("keys tried"), LABEL, &plain(tried_words(tried)))
}

/// `9 values that stood in signalling were tried on 2 streams; none opens one, ..`.
pub(in super::super) fn tried_words(tried: &TriedRecord) -> String {
    let values = match tried.values {
        1 => "1 value that stood in signalling was".to_owned(),
        values => format!("{values} values that stood in signalling were"),
    };
    let streams = if tried.streams == 1 { "stream" } else { "streams" };
    let more = match tried.values_left_out {
        0 => String::new(),
        more => format!(" ({more} more {} not tried)", if more == 1 { "was" } else { "were" }),
    };
    let end = match tried.values {
        1 => "it opens none, which does not show that it is not the key",
        _ => "none opens one, which does not show that none is the key",
    };
    format!("{values} tried on {} {streams}{more}; {end}", tried.streams)
}

/// How a key came, before the address of the other end.
pub(in super::super) const fn delivery_words(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::Delivered => "delivered by",
        Delivery::Sent => "sent to",
        Delivery::Clear => "in the clear, to or from",
        Delivery::Agreed => "agreed by DTLS with",
    }
}

/// `540 of 540 units tried of SSRC 0x01000401`.
pub(in super::super) fn opened(stream: &OpenedStreamRecord) -> String {
    format!("{} of {} units tried of SSRC {:#010x}", stream.units_verified, stream.units_tried, stream.ssrc)
}

/// What was contacted when, in seconds from the first media packet.
fn timeline(page: &mut Page<'_>, contacts: &[ContactRecord], left_out: u32) -> io::Result<()> {
    if contacts.len() < 2 {
        return Ok(());
    }
    page.heading("First contacts, in seconds from the first media packet")?;
    let rows: Vec<Vec<Cell>> = contacts.iter().take(CONTACTS).map(contact_row).collect();
    let head = [
        ("", Align::Right),
        ("what", Align::Left),
        ("with", Align::Left),
        ("flows", Align::Right),
        ("seen in", Align::Left),
    ];
    page.table(4, &head, &rows)?;
    let more = contacts.len().saturating_sub(CONTACTS).saturating_add(usize::try_from(left_out).unwrap_or(0));
    if more > 0 {
        page.line(4, &[dim(format!("and {more} more, in the session record"))])?;
    }
    page.blank()
}

fn contact_row(contact: &ContactRecord) -> Vec<Cell> {
    let when =
        contact.before_media_s.map_or_else(|| dim("-"), |before| plain(format!("{:+.3}", 0.0 - before)));
    let address = if contact.ip.contains(':') {
        format!("[{}]:{}", contact.ip, contact.port)
    } else {
        format!("{}:{}", contact.ip, contact.port)
    };
    let packet = contact.packet.map_or_else(String::new, |packet| packets(&[packet]));
    vec![when, plain(contact.kind.words()), plain(address), plain(contact.flows.to_string()), dim(packet)]
}

/// The other answer, where an end-to-end mode is not visible on the wire.
pub(in super::super) fn unless(known: &EndToEndRecord) -> String {
    let mode = match known.mode {
        Mode::Optional => "if the app's end-to-end mode was chosen",
        Mode::Default => "where the app's end-to-end mode, on by default, was in force",
        Mode::Some | Mode::Always => "if it was a call of the kind that is end to end",
    };
    format!(
        "{mode} ({}), no server could hold the key; the wire does not show that ({})",
        known.scope, known.source
    )
}

pub(in super::super) const fn method_words(method: Method) -> &'static str {
    match method {
        Method::DtlsSrtp => "DTLS-SRTP, agreed on the media path",
        Method::Sdes => "keys carried in signalling (SDES or alike)",
        Method::KeyService => "a service of the provider hands out keys",
        Method::Zrtp => "ZRTP, agreed on the media path",
        Method::Proprietary => "the provider's own way, its servers have the key",
        Method::None => "media is not encrypted",
        Method::InsideTls => "media runs inside TLS or QUIC",
        Method::EndToEnd => "between the endpoints alone",
        Method::NotDeterminable => "not determinable",
    }
}

/// What is the same for all servers that are shown one by one, and so is said once.
struct Common<'r> {
    /// The document behind the answers.
    source: &'r str,
    /// The one database that places all of them, and its date.
    places: Option<(&'r str, &'r str)>,
    /// The one that tells their networks.
    networks: Option<(&'r str, &'r str)>,
}

impl<'r> Common<'r> {
    fn of(able: &[&'r HolderRecord], source: &'r str) -> Self {
        let answers = able.iter().flat_map(|holder| &holder.place.located_in.answers);
        let networks = able.iter().filter_map(|holder| holder.place.operated_by.as_ref());
        Self {
            source,
            places: the_only(answers.map(|answer| (answer.database.as_str(), answer.date.as_str()))),
            networks: the_only(networks.map(|by| (by.database.as_str(), by.date.as_str()))),
        }
    }

    fn words(&self) -> Option<String> {
        let places = self.places.map(|(database, date)| format!("{database} of {date}"));
        let networks = self.networks.map(|(database, date)| format!("networks by {database} of {date}"));
        let words: Vec<String> = places.into_iter().chain(networks).collect();
        (!words.is_empty()).then(|| words.join("; "))
    }

    /// Where databases place a server, who announces its network, whose law reaches it.
    fn place(&self, place: &PlaceRecord) -> String {
        let located = &place.located_in;
        let mut words = vec![match located.country {
            Some(country) if self.places.is_some() && !located.anycast => {
                format!("placed in {}", build::country(country))
            }
            _ => located.sentence(),
        }];
        words.extend(place.operated_by.as_ref().map(|by| match self.networks {
            Some(_) => format!("network AS{} {}", by.asn, by.name).trim_end().to_owned(),
            None => by.sentence(),
        }));
        words.extend(jurisdictions(&place.exposure));
        words.join("; ")
    }
}

/// The value of all, if they have one and the same.
fn the_only<T: PartialEq>(mut values: impl Iterator<Item = T>) -> Option<T> {
    let first = values.next()?;
    values.all(|value| value == first).then_some(first)
}

/// `answered in 2.2 ms (packet 4): at most 334 km from the capture point, at the speed of light`.
fn nearness(distance: &DistanceRecord) -> Option<String> {
    if distance.km_at_most >= ANTIPODES && distance.contradicts.is_empty() {
        return None;
    }
    let contradicted: Vec<&str> = distance.contradicts.iter().map(|claim| claim.country.code()).collect();
    let mut text = format!(
        "answered in {} ({}): at most {} km from the capture point, at the speed of light",
        distance.times(),
        packets(&[distance.packet]),
        distance.km_at_most
    );
    if !contradicted.is_empty() {
        let _ = write!(text, ", which contradicts {}", contradicted.join(", "));
    }
    Some(text)
}

/// A server that could hold the key; what was said of the one above it is not said again.
fn one(
    page: &mut Page<'_>,
    able_to: &str,
    holder: &HolderRecord,
    common: &Common<'_>,
    above: Option<&HolderRecord>,
) -> io::Result<()> {
    let mut head = holder.ip.clone();
    if let Some(port) = holder.port {
        let _ = write!(head, " port {port}");
    }
    if let Some(name) = holder.name.as_ref().filter(|name| **name != holder.ip) {
        let _ = write!(head, "  {name}");
    }
    let _ = write!(head, "  ({} sure)", percent(holder.confidence));
    page.labelled(4, &(Tone::Warn, able_to.to_owned()), LABEL, &(Tone::Title, head))?;
    let again = above.is_some_and(|above| above.why == holder.why && above.source == holder.source);
    let own = holder.source != common.source && holder.source != "the capture alone";
    let why = match (again, own) {
        (true, _) => "for the same reason".to_owned(),
        (false, true) => format!("{} ({})", holder.why, holder.source),
        (false, false) => holder.why.clone(),
    };
    let mut seen = packets(&holder.packets);
    if let Some(before) = holder.before_media_s {
        let _ = write!(seen, ", first contacted {before:.1} s before the first media packet");
    }
    page.labelled(4, &plain(""), LABEL, &plain(format!("{why}; {seen}")))?;
    let mut detail = vec![common.place(&holder.place)];
    detail.extend(holder.place.hints.iter().take(HINTS).map(PlaceHint::sentence));
    detail.extend(holder.place.distance.as_deref().and_then(nearness));
    detail.extend(holder.front_end.as_ref().map(|network| {
        format!("an entry of {network}'s network: where the key would lie behind it is not visible")
    }));
    let group = |holder: &HolderRecord| holder.software.as_ref().map(|software| software.group.clone());
    if above.is_none_or(|above| group(above) != group(holder)) {
        detail.extend(holder.software.as_ref().and_then(spread));
    }
    for text in detail {
        page.labelled(4, &plain(""), LABEL, &plain(text))?;
    }
    Ok(())
}

/// `reached by the law of CN (location), US (service operator)`.
fn jurisdictions(exposures: &[Exposure]) -> Option<String> {
    let mut reasons: Vec<(&str, Vec<&'static str>)> = Vec::new();
    for exposure in exposures {
        let word = super::basis_word(exposure.basis);
        match reasons.iter_mut().find(|(code, _)| *code == exposure.jurisdiction) {
            Some((_, words)) if words.contains(&word) => {}
            Some((_, words)) => words.push(word),
            None => reasons.push((&exposure.jurisdiction, vec![word])),
        }
    }
    let words: Vec<String> =
        reasons.iter().map(|(code, words)| format!("{code} ({})", words.join(", "))).collect();
    (!words.is_empty()).then(|| format!("reached by the law of {}", words.join(", ")))
}

/// `runs what 72 other servers seen run: 5 placed in CN, 68 in US`.
pub(in super::super) fn spread(software: &SpreadRecord) -> Option<String> {
    let others = software.servers.saturating_sub(1);
    if others == 0 {
        return None;
    }
    let mut countries: Vec<(&String, &u64)> = software.countries.iter().collect();
    countries.sort_by_key(|(_, count)| **count);
    let mut words: Vec<String> = countries
        .into_iter()
        .enumerate()
        .map(|(place, (code, count))| format!("{count} {}in {code}", if place == 0 { "placed " } else { "" }))
        .collect();
    if software.unplaced > 0 {
        words.push(format!("{} placed nowhere", software.unplaced));
    }
    let noun = if others == 1 { "server does" } else { "servers do" };
    Some(format!(
        "answers TLS as {others} other {noun} (group {}); of all {}: {}",
        software.group,
        software.servers,
        words.join(", ")
    ))
}

/// Servers of the same answer for the same reason, in one line each reason.
fn alike(page: &mut Page<'_>, keys: &KeysRecord, answer: CouldHold) -> io::Result<()> {
    let (word, tone) = match (answer, keys.method == Method::None) {
        (CouldHold::Yes, _) => ("could hold", Tone::Warn),
        (CouldHold::Unknown, _) => ("not determinable", Tone::Plain),
        (CouldHold::No, false) => ("cannot hold", Tone::Good),
        (CouldHold::No, true) => ("cannot read", Tone::Good),
    };
    let mut groups: Vec<(&str, Vec<&HolderRecord>)> = Vec::new();
    for holder in keys.holders.iter().filter(|holder| holder.could_hold == answer) {
        match groups.iter_mut().find(|(why, _)| *why == holder.why) {
            Some((_, group)) => group.push(holder),
            None => groups.push((&holder.why, vec![holder])),
        }
    }
    for (why, group) in groups {
        let mut text = group.iter().take(NAMED).map(|holder| short(holder)).collect::<Vec<_>>().join(", ");
        let more = group.len().saturating_sub(NAMED);
        if more > 0 {
            let _ = write!(text, " and {more} more");
        }
        let _ = write!(text, ": {why}");
        page.labelled(4, &(tone, word.to_owned()), LABEL, &plain(text))?;
    }
    Ok(())
}

/// `52.81.151.250 (placed in CN)`.
fn short(holder: &HolderRecord) -> String {
    match holder.place.located_in.country {
        Some(country) => format!("{} (placed in {})", holder.ip, country.code()),
        None => holder.ip.clone(),
    }
}

/// `packet 7`, `packets 3 of file 0, 5 of file 1`.
pub(super) fn packets(packets: &[PacketNumber]) -> String {
    let numbers: Vec<String> = packets.iter().map(|packet| packet.words()).collect();
    match numbers.len() {
        0 => "no packet".to_owned(),
        1 => format!("packet {}", numbers.join(", ")),
        _ => format!("packets {}", numbers.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_is_one() {
        let tried = |values, streams| TriedRecord { values, values_left_out: 0, streams, streams_opened: 0 };
        assert_eq!(
            tried_words(&tried(1, 1)),
            "1 value that stood in signalling was tried on 1 stream; it opens none, which does not show that it is not the key"
        );
        assert_eq!(
            tried_words(&tried(9, 2)),
            "9 values that stood in signalling were tried on 2 streams; none opens one, which does not show that none is the key"
        );
    }
}

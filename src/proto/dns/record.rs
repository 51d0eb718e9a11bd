//! Questions and answers, one after the other (RFC 1035 sections 4.1.2 and 4.1.3).
//!
//! Data is read of the kinds that are in [`Answer`], in the Internet's class; of the others nothing is looked at but that the name of a name
//! server is whole, and that there are no options among the answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use compact_str::CompactString;

use super::{Answer, HEADER_LENGTH, Question, RecordType, name};
use crate::bytes::{ParseError, Reader};

/// Most protocol names and address hints that are kept of one service record.
const MAX_SERVICE_ITEMS: usize = 16;
/// Bytes of a record with the shortest owner and no data; a question is shorter, but there are few of them.
const LEAST: usize = 11;
/// Name server, whose data is a name alone.
const NS: RecordType = RecordType(2);
/// Options of the message (RFC 6891), which have no business among the answers.
const OPT: RecordType = RecordType(41);

/// What a whole item says: nothing, where it is of a kind or class that is not read.
pub(super) struct Said<T>(pub(super) Option<T>);

/// What was read of a list.
pub(super) struct Read<T> {
    /// Those that say something.
    pub(super) items: Vec<T>,
    /// How many were whole and not odd.
    pub(super) read: usize,
}

/// Reads at most `most` items from `start` on, until one cannot be stepped over; and where the last of them ends. An odd item says nothing at all.
pub(super) fn all<T>(
    message: &[u8],
    start: usize,
    most: usize,
    mut each: impl FnMut(usize) -> Option<(Option<Said<T>>, usize)>,
) -> (Read<T>, usize) {
    let room = message.len().saturating_sub(start) / LEAST;
    let mut found = Read { items: Vec::with_capacity(most.min(room.max(1))), read: 0 };
    let mut end = start;
    for _ in 0..most {
        let Some((said, next)) = each(end) else { break };
        if let Some(Said(item)) = said {
            found.items.extend(item);
            found.read = found.read.saturating_add(1);
        }
        end = next;
    }
    (found, end)
}

/// The question at `at`, and where it ends.
pub(super) fn question(message: &[u8], at: usize, text: &mut Vec<u8>) -> Option<(Question, usize)> {
    let (end, qtype, _) = skip_question(message, at)?;
    Some((Question { name: name::text(message, at, text)?, qtype }, end))
}

/// The end of the question at `at`, its type and its class.
pub(super) fn skip_question(message: &[u8], at: usize) -> Option<(usize, RecordType, u16)> {
    let at = name::skip(message, at)?;
    let [type_high, type_low, class @ ..] = *message.get(at..)?.first_chunk::<4>()?;
    let class = u16::from_be_bytes(class);
    // The top bit asks for a unicast answer in mDNS.
    let is_known = matches!(class & 0x7FFF, 1..=4 | 254 | 255);
    let qtype = RecordType(u16::from_be_bytes([type_high, type_low]));
    is_known.then_some((at.checked_add(4)?, qtype, class))
}

/// Why the first of so many questions could not be read.
pub(super) fn fault_of_question(message: &[u8], questions: u16) -> ParseError {
    let mut reader = Reader::new(message);
    if let Err(error) = reader.take(HEADER_LENGTH, "dns header") {
        return error;
    }
    let offset = reader.position();
    match name::skip(reader.peek(), 0) {
        None if reader.remaining() < 5 => {
            ParseError::Truncated { field: "dns question", offset, needed: 5, available: reader.remaining() }
        }
        None => ParseError::Invalid { field: "dns question name", offset, value: 0 },
        Some(length) => {
            let _ = reader.take(length, "dns question name");
            let cut = reader.take(4, "dns question type").err();
            // Where it can be stepped over, its name leads nowhere or is too long.
            let value = u64::from(questions);
            let odd = match skip_question(message, HEADER_LENGTH) {
                Some(_) => ParseError::Invalid { field: "dns question", offset, value },
                None => ParseError::Invalid { field: "dns question class", offset, value: 0 },
            };
            cut.unwrap_or(odd)
        }
    }
}

/// What the answer at `at` says, where it is not odd, and where it ends.
pub(super) fn answer(message: &[u8], at: usize, text: &mut Vec<u8>) -> Option<(Option<Said<Answer>>, usize)> {
    let fixed = name::skip(message, at)?;
    let [type_high, type_low, class_high, class_low, a, b, c, d, high, low] =
        *message.get(fixed..)?.first_chunk::<10>()?;
    // The top bit says that what was known is to be forgotten, in mDNS.
    let class = u16::from_be_bytes([class_high, class_low]) & 0x7FFF;
    let start = fixed.checked_add(10)?;
    let end = start.checked_add(usize::from(u16::from_be_bytes([high, low])))?;
    // Names in the data may point to what is before it, and not behind.
    let data = Data { before: message.get(..end)?, start, ttl: u32::from_be_bytes([a, b, c, d]) };
    let rtype = RecordType(u16::from_be_bytes([type_high, type_low]));
    let said = match class {
        1 => data.read(rtype, at, text),
        // CSNET, CHAOS, Hesiod (RFC 1035 section 3.2.4) and NONE (RFC 2136 section 2.4), where an address is none or another.
        2..=4 | 254 => Some(Said(None)),
        _ => None,
    };
    Some((said, end))
}

/// The data of an answer, with all of the message before it.
struct Data<'a> {
    before: &'a [u8],
    start: usize,
    ttl: u32,
}

impl Data<'_> {
    /// What the data says, where it is not odd; its owner is at `at`.
    fn read(&self, rtype: RecordType, at: usize, text: &mut Vec<u8>) -> Option<Said<Answer>> {
        let Self { before, start, ttl } = *self;
        let data = before.get(start..)?;
        let owner = |text: &mut Vec<u8>| name::text(before, at, text);
        let said = match rtype {
            RecordType::A => {
                let address = IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?));
                Some(Answer::Address { name: owner(text)?, address, ttl })
            }
            RecordType::AAAA => {
                let address = IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?));
                Some(Answer::Address { name: owner(text)?, address, ttl })
            }
            RecordType::CNAME => {
                let target = self.name_alone(text)?;
                Some(Answer::Alias { name: owner(text)?, target, ttl })
            }
            RecordType::PTR => {
                let target = self.name_alone(text)?;
                Some(Answer::Pointer { name: owner(text)?, target, ttl })
            }
            RecordType::SRV if !data.is_empty() => {
                let [_, _, _, _, port @ ..] = *data.first_chunk::<6>()?;
                let target = name::text(before, start.checked_add(6)?, text)?;
                Some(Answer::Location { name: owner(text)?, target, port: u16::from_be_bytes(port), ttl })
            }
            RecordType::SVCB | RecordType::HTTPS => {
                let name = owner(text)?;
                Some(self.service(name, text)?)
            }
            NS => self.name_alone(text).map(|_| None)?,
            OPT => return None,
            _ => None,
        };
        Some(Said(said))
    }

    /// Data that is a name and nothing else.
    fn name_alone(&self, text: &mut Vec<u8>) -> Option<CompactString> {
        let Self { before, start, .. } = *self;
        (name::skip(before, start)? == before.len()).then(|| name::text(before, start, text))?
    }

    /// Data of a service record: priority, target, parameters with keys in ascending order (RFC 9460 section 2.2).
    fn service(&self, name: CompactString, text: &mut Vec<u8>) -> Option<Answer> {
        let Self { before, start, ttl } = *self;
        let priority = u16::from_be_bytes(*before.get(start..)?.first_chunk()?);
        let target_at = start.checked_add(2)?;
        let mut rest = before.get(name::skip(before, target_at)?..)?;
        let target = name::text(before, target_at, text)?;
        let (mut alpn, mut hints, mut port, mut ech, mut previous) =
            (Vec::new(), Vec::new(), None, false, None);
        if priority == 0 {
            // An alias has none (section 2.4.2).
            rest = &[];
        }
        while !rest.is_empty() {
            let ([key_high, key_low, high, low], following) = rest.split_first_chunk::<4>()?;
            let key = u16::from_be_bytes([*key_high, *key_low]);
            if previous.replace(key).is_some_and(|before| key <= before) {
                return None;
            }
            let (value, following) =
                following.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
            rest = following;
            match key {
                0 if !are_keys(value) => return None,
                1 => alpn = protocols(value)?,
                3 => port = Some(u16::from_be_bytes(value.try_into().ok()?)),
                4 => hints.extend(addresses::<4>(value)?),
                5 => {
                    // A list with its length before it (RFC 9849 section 4).
                    let (length, list) = value.split_first_chunk()?;
                    ech = usize::from(u16::from_be_bytes(*length)) == list.len();
                    if !ech {
                        return None;
                    }
                }
                6 => hints.extend(addresses::<16>(value)?),
                _ => {}
            }
        }
        Some(Answer::Service { name, target, priority, alpn, port, hints, ech, ttl })
    }
}

/// Keys that must be understood, in ascending order (RFC 9460 section 8).
fn are_keys(value: &[u8]) -> bool {
    let (keys, rest) = value.as_chunks::<2>();
    rest.is_empty() && !keys.is_empty() && keys.is_sorted_by(|a, b| a < b)
}

/// Names of protocols, each with its length before it (RFC 9460 section 7.1.1).
fn protocols(mut value: &[u8]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    if value.is_empty() {
        return None;
    }
    while let Some((length, rest)) = value.split_first() {
        let (name, rest) = rest.split_at_checked(usize::from(*length))?;
        if name.is_empty() {
            return None;
        }
        if names.len() < MAX_SERVICE_ITEMS {
            names.push(name::escaped(name));
        }
        value = rest;
    }
    Some(names)
}

/// Addresses of `N` bytes each, one at least (RFC 9460 section 7.3).
fn addresses<const N: usize>(value: &[u8]) -> Option<impl Iterator<Item = IpAddr>>
where
    IpAddr: From<[u8; N]>,
{
    let (addresses, rest) = value.as_chunks::<N>();
    (rest.is_empty() && !addresses.is_empty())
        .then(|| addresses.iter().take(MAX_SERVICE_ITEMS).map(|address| IpAddr::from(*address)))
}

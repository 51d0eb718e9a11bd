//! DNS (RFC 1035), with SVCB/HTTPS records (RFC 9460), over UDP and TCP.
//!
//! In: one message (for TCP: a stream slice, cut by [`split_tcp`]). Out: [`Message`], its questions
//! and its answers flattened to name -> address, alias, pointer and service. Authority and additional
//! sections are not read. mDNS (port 5353) and LLMNR (5355) have the same layout; the caller tells them
//! apart by port.

mod name;
mod record;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use compact_str::CompactString;

use crate::bytes::{ParseError, Probe, Reader};

/// Most questions that are read of one message; more than one is not seen outside mDNS.
pub const MAX_QUESTIONS: usize = 16;
/// Most answers that are read of one message.
pub const MAX_ANSWERS: usize = 64;
/// Longest stretch of a message that is read.
const MAX_LENGTH: usize = 8192;

/// Record type, as in the registry of RFC 1035 and its successors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordType(pub u16);

impl RecordType {
    /// IPv4 address.
    pub const A: Self = Self(1);
    /// Alias.
    pub const CNAME: Self = Self(5);
    /// Pointer, used for reverse look-ups.
    pub const PTR: Self = Self(12);
    /// IPv6 address.
    pub const AAAA: Self = Self(28);
    /// Service location.
    pub const SRV: Self = Self(33);
    /// Service binding (RFC 9460).
    pub const SVCB: Self = Self(64);
    /// Service binding of the web (RFC 9460).
    pub const HTTPS: Self = Self(65);
}

/// Response code; only the four bits of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rcode(pub u8);

impl Rcode {
    /// No error.
    pub const NO_ERROR: Self = Self(0);
    /// The name does not exist.
    pub const NX_DOMAIN: Self = Self(3);
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Question {
    /// Lower case, without trailing dot; the root is the empty string. Dots, backslashes and bytes that
    /// are not printable ASCII inside a label are written `\DDD`.
    pub name: CompactString,
    /// What is asked for.
    pub qtype: RecordType,
}

/// One answer of a kind that ties names and addresses together. Names are written as in [`Question`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// A or AAAA.
    Address {
        /// The owner.
        name: CompactString,
        /// Where it is.
        address: IpAddr,
        /// Time to live in seconds.
        ttl: u32,
    },
    /// CNAME.
    Alias {
        /// The owner.
        name: CompactString,
        /// What it stands for.
        target: CompactString,
        /// Time to live in seconds.
        ttl: u32,
    },
    /// PTR.
    Pointer {
        /// The owner.
        name: CompactString,
        /// What it points to.
        target: CompactString,
        /// Time to live in seconds.
        ttl: u32,
    },
    /// SRV, which gives the port too.
    Location {
        /// The owner.
        name: CompactString,
        /// The host that serves it.
        target: CompactString,
        /// The port that it serves it on.
        port: u16,
        /// Time to live in seconds.
        ttl: u32,
    },
    /// HTTPS or SVCB.
    Service {
        /// The owner.
        name: CompactString,
        /// The host that serves it; empty when it is the owner itself.
        target: CompactString,
        /// 0 makes it an alias.
        priority: u16,
        /// Protocol names on offer.
        alpn: Vec<String>,
        /// Another port than the usual one.
        port: Option<u16>,
        /// ipv4hint and ipv6hint.
        hints: Vec<IpAddr>,
        /// True when keys for Encrypted `ClientHello` are given.
        ech: bool,
        /// Time to live in seconds.
        ttl: u32,
    },
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// Chosen by the asker; ties answer to question.
    pub id: u16,
    /// False for a question.
    pub is_response: bool,
    /// 0 is a standard query.
    pub opcode: u8,
    /// Outcome; 0 in questions.
    pub rcode: Rcode,
    /// The sender says that it left records out (TC).
    pub truncated: bool,
    /// At most [`MAX_QUESTIONS`].
    pub questions: Vec<Question>,
    /// At most [`MAX_ANSWERS`] were looked at; kinds that are not in [`Answer`] are left out.
    pub answers: Vec<Answer>,
    /// Not all questions and answers that the header announces were read: the capture cut the message,
    /// one of them that is looked at is malformed, or there are too many.
    pub partial: bool,
}

/// Reads one message. A question that is cut or odd does not hide those before it, nor an answer those before it and, where it can be
/// stepped over, behind it.
///
/// # Errors
/// [`ParseError`] when the header is cut or no DNS header, or when not even the first question can be read.
pub fn parse(message: &[u8]) -> Result<Message, ParseError> {
    let header = Header::parse(message)?;
    let message = message.get(..MAX_LENGTH).unwrap_or(message);
    let mut text = Vec::with_capacity(128);
    let announced = usize::from(header.questions);
    let most = announced.min(MAX_QUESTIONS);
    let (questions, end) = record::all(message, HEADER_LENGTH, most, |at| {
        record::question(message, at, &mut text)
            .map(|(question, end)| (Some(record::Said(Some(question))), end))
    });
    if questions.items.is_empty() && announced > 0 {
        return Err(record::fault_of_question(message, header.questions));
    }
    let mut partial = questions.read != announced;
    let mut answers = Vec::new();
    if !partial {
        let announced = usize::from(header.answers);
        let most = announced.min(MAX_ANSWERS);
        let (found, _) = record::all(message, end, most, |at| record::answer(message, at, &mut text));
        partial = found.read != announced;
        answers = found.items;
    }
    Ok(Message {
        id: header.id,
        is_response: header.is_response(),
        opcode: header.opcode(),
        rcode: Rcode(header.rcode()),
        truncated: header.flags & 0x0200 != 0,
        questions: questions.items,
        answers,
        partial,
    })
}

/// The address that a name of reverse look-ups stands for: `250.151.81.52.in-addr.arpa` (RFC 1035 section 3.5), or 32 hexadecimal
/// digits before `ip6.arpa` (RFC 3596 section 2.5). `None` for all other names, and for parts of addresses.
pub fn reverse_address(name: &str) -> Option<IpAddr> {
    if let Some(labels) = name.strip_suffix(".in-addr.arpa") {
        let mut octets = [0_u8; 4];
        let mut labels = labels.split('.');
        for octet in octets.iter_mut().rev() {
            let label = labels.next().filter(|label| label.bytes().all(|byte| byte.is_ascii_digit()))?;
            *octet = label.parse().ok()?;
        }
        return labels.next().is_none().then(|| Ipv4Addr::from(octets).into());
    }
    let mut labels = name.strip_suffix(".ip6.arpa")?.split('.');
    let mut bits = 0_u128;
    for place in 0..32_u32 {
        let label = labels.next().filter(|label| label.len() == 1)?;
        let nibble = u128::from(u8::from_str_radix(label, 16).ok()?);
        bits |= nibble.checked_shl(place.saturating_mul(4))?;
    }
    labels.next().is_none().then(|| Ipv6Addr::from_bits(bits).into())
}

/// Takes the first message off a TCP stream, where each has its length before it (RFC 1035 §4.2.2): the message, and what follows it.
///
/// # Errors
/// [`ParseError::Truncated`] when it is not whole yet; [`ParseError::Invalid`] when its length cannot
/// hold a header.
pub fn split_tcp(stream: &[u8]) -> Result<(&[u8], &[u8]), ParseError> {
    let mut reader = Reader::new(stream);
    let length = reader.u16("dns length")?;
    if usize::from(length) < HEADER_LENGTH {
        return Err(ParseError::Invalid { field: "dns length", offset: 0, value: u64::from(length) });
    }
    let message = reader.take(usize::from(length), "dns message")?;
    Ok((message, reader.rest()))
}

/// Could these bytes be a DNS message? Looks at the header and at the first question, without allocating.
pub fn probe(message: &[u8]) -> Probe {
    let Ok(header) = Header::parse(message) else { return Probe::No };
    let known_opcode = matches!(header.opcode(), 0 | 2 | 4 | 5);
    let plausible = header.questions <= 4 && header.answers <= 256 && header.authorities <= 64;
    let question_like = header.is_response() || (header.rcode() == 0 && header.answers <= 32);
    if !known_opcode || !plausible || !question_like || header.additionals > 64 || header.counts() == 0 {
        return Probe::No;
    }
    if header.questions == 0 {
        return Probe::Maybe;
    }
    match record::skip_question(message, HEADER_LENGTH) {
        Some((_, _, class)) if matches!(class & 0x7FFF, 1 | 255) => Probe::Yes,
        Some((_, _, 3 | 4 | 254)) => Probe::Maybe,
        _ => Probe::No,
    }
}

/// Bytes before the first question.
const HEADER_LENGTH: usize = 12;

/// RFC 1035 §4.1.1.
#[derive(Clone, Copy)]
struct Header {
    id: u16,
    flags: u16,
    questions: u16,
    answers: u16,
    authorities: u16,
    additionals: u16,
}

impl Header {
    fn parse(message: &[u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(message);
        let id = reader.u16("dns id")?;
        let flags = reader.u16("dns flags")?;
        // The reserved bit must be zero (RFC 1035 §4.1.1); it is the cheapest sign of another protocol.
        if flags & 0x0040 != 0 {
            return Err(ParseError::Invalid { field: "dns flags", offset: 2, value: u64::from(flags) });
        }
        Ok(Self {
            id,
            flags,
            questions: reader.u16("dns question count")?,
            answers: reader.u16("dns answer count")?,
            authorities: reader.u16("dns authority count")?,
            additionals: reader.u16("dns additional count")?,
        })
    }

    const fn is_response(&self) -> bool {
        self.flags & 0x8000 != 0
    }

    fn opcode(&self) -> u8 {
        let [high, _] = self.flags.to_be_bytes();
        high >> 3 & 0x0F
    }

    fn rcode(&self) -> u8 {
        let [_, low] = self.flags.to_be_bytes();
        low & 0x0F
    }

    /// All records that the header announces.
    fn counts(&self) -> u32 {
        [self.questions, self.answers, self.authorities, self.additionals]
            .iter()
            .fold(0, |sum, count| u32::from(*count).saturating_add(sum))
    }
}

#[cfg(test)]
mod tests;

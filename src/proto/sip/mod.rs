//! SIP (RFC 3261) and the session descriptions that it carries ([`Sdp`]).
//!
//! In: a datagram, or a stream slice that [`message_length`] has cut. Out: [`Message`] with the header
//! fields that tie calls together, borrowed: what people and programs call themselves as bytes, all else as text. Other lines
//! that are not UTF-8 are skipped and counted.
//! Not handled: header parameters beyond what stands here, multipart bodies (the first SDP part is found by
//! its `v=0` line), encryption.

mod lines;
mod sdp;

pub use sdp::{Candidate, Connection, Crypto, Direction, Fingerprint, Media, RtpMap, Sdp};

use crate::bytes::{ParseError, Probe};
use lines::{Lines, Next, split_once_trimmed};

/// Longest header section that is read, in bytes.
const MAX_HEADER: usize = 16 * 1024;
/// Longest message that [`message_length`] believes in, in bytes.
const MAX_MESSAGE: usize = 256 * 1024;
/// Most header lines that are looked at.
const MAX_LINES: usize = 256;

/// First line of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "RFC 3261 §7 knows two")]
pub enum StartLine<'a> {
    /// A request.
    Request {
        /// INVITE, REGISTER, ...
        method: &'a str,
        /// Whom it is for.
        uri: &'a str,
    },
    /// A response.
    Response {
        /// 100 to 699.
        status: u16,
        /// Free text.
        reason: &'a str,
    },
}

/// One message. A field that occurs more than once is kept as it first occurs.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message<'a> {
    /// Request or response.
    pub start: StartLine<'a>,
    /// Call-ID: the key of the call.
    pub call_id: Option<&'a [u8]>,
    /// From, with display name and tag.
    pub from: Option<&'a [u8]>,
    /// To, with display name and tag.
    pub to: Option<&'a [u8]>,
    /// The first Via: the nearest sender.
    pub via: Option<&'a str>,
    /// Contact.
    pub contact: Option<&'a str>,
    /// `CSeq`: number and method.
    pub cseq: Option<&'a str>,
    /// User-Agent or Server: the software.
    pub software: Option<&'a [u8]>,
    /// Content-Type.
    pub content_type: Option<&'a str>,
    /// Content-Length in bytes.
    pub content_length: Option<usize>,
    /// What follows the empty line, cut at Content-Length; shorter than that where the capture cut it.
    pub body: &'a [u8],
    /// Lines that were not `name: value`, and those with bytes that are not UTF-8 where text is expected.
    pub skipped_lines: u32,
}

impl std::fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Addresses of people and the body (which may hold keys) stay out of logs.
        f.debug_struct("Message")
            .field("start", &self.start)
            .field("cseq", &self.cseq)
            .field("software", &self.software)
            .field("content_type", &self.content_type)
            .field("body_length", &self.body.len())
            .field("skipped_lines", &self.skipped_lines)
            .finish_non_exhaustive()
    }
}

impl<'a> Message<'a> {
    /// The session description in the body, if there is one (also inside a multipart body).
    pub fn sdp(&self) -> Option<Sdp<'a>> {
        let typed = self.content_type.is_some_and(|value| {
            let value = value.to_ascii_lowercase();
            value.starts_with("application/sdp") || value.starts_with("multipart/")
        });
        if !typed && !self.body.starts_with(b"v=0") {
            return None;
        }
        Sdp::parse(self.body).ok()
    }
}

/// Reads one message.
///
/// # Errors
/// [`ParseError::Invalid`] when the first line is not SIP; [`ParseError::Truncated`] when it has no end.
pub fn parse(bytes: &[u8]) -> Result<Message<'_>, ParseError> {
    let blank = leading_blank(bytes);
    let bytes = bytes.get(blank..).unwrap_or_default();
    let mut lines = Lines::new(bytes.get(..MAX_HEADER).unwrap_or(bytes));
    let start = match lines.next_line() {
        Next::Text(line) if lines.ended() => start_line(line).ok_or_else(|| not_sip(bytes))?,
        Next::Text(line) if start_line(line).is_none() && !could_become_sip(bytes) => {
            return Err(not_sip(bytes));
        }
        Next::Text(_) | Next::End => {
            return Err(ParseError::Truncated {
                field: "sip start line",
                offset: blank,
                needed: bytes.len().saturating_add(2),
                available: bytes.len(),
            });
        }
        Next::NotText(_) => return Err(not_sip(bytes)),
    };
    let mut message = Message {
        start,
        call_id: None,
        from: None,
        to: None,
        via: None,
        contact: None,
        cseq: None,
        software: None,
        content_type: None,
        content_length: None,
        body: &[],
        skipped_lines: 0,
    };
    read_fields(&mut lines, &mut message);
    let body = bytes.get(lines.position()..).unwrap_or_default();
    message.body = match message.content_length {
        Some(length) => body.get(..length).unwrap_or(body),
        None => body,
    };
    Ok(message)
}

fn read_fields<'a>(lines: &mut Lines<'a>, message: &mut Message<'a>) {
    for _ in 0..MAX_LINES {
        match lines.next_line() {
            Next::End | Next::Text("") => return,
            Next::NotText(line) => {
                let field =
                    line.iter().position(|byte| *byte == b':').and_then(|at| line.split_at_checked(at));
                let named = field.and_then(|(name, value)| {
                    let name = std::str::from_utf8(name.trim_ascii_end()).ok()?;
                    set_name(message, name, value.get(1..)?.trim_ascii())
                });
                if named.is_none() {
                    message.skipped_lines = message.skipped_lines.saturating_add(1);
                }
            }
            // A folded line goes on with the one before it; none of the fields kept here is folded in practice.
            Next::Text(line) if line.starts_with([' ', '\t']) => {}
            Next::Text(line) => match split_once_trimmed(line, ':') {
                Some((name, value)) => set_field(message, name, value),
                None => message.skipped_lines = message.skipped_lines.saturating_add(1),
            },
        }
    }
}

/// Long and compact names (RFC 3261 §7.3.3).
fn is(name: &str, long: &str, short: &str) -> bool {
    name.eq_ignore_ascii_case(long) || name.eq_ignore_ascii_case(short)
}

/// Sets a field that may hold any bytes; `None` for all others.
fn set_name<'a>(message: &mut Message<'a>, name: &str, value: &'a [u8]) -> Option<()> {
    let slot = if is(name, "call-id", "i") {
        &mut message.call_id
    } else if is(name, "from", "f") {
        &mut message.from
    } else if is(name, "to", "t") {
        &mut message.to
    } else if is(name, "user-agent", "server") {
        &mut message.software
    } else {
        return None;
    };
    *slot = slot.or(Some(value));
    Some(())
}

fn set_field<'a>(message: &mut Message<'a>, name: &str, value: &'a str) {
    if set_name(message, name, value.as_bytes()).is_some() {
        return;
    }
    let is = |long: &str, short: &str| is(name, long, short);
    if is("content-length", "l") {
        message.content_length = message.content_length.or_else(|| value.parse().ok());
        return;
    }
    let slot = if is("via", "v") {
        &mut message.via
    } else if is("contact", "m") {
        &mut message.contact
    } else if is("cseq", "cseq") {
        &mut message.cseq
    } else if is("content-type", "c") {
        &mut message.content_type
    } else {
        return;
    };
    *slot = slot.or(Some(value));
}

/// Length of the first message of a stream, leading empty lines included (RFC 3261 §18.3).
///
/// `Ok(None)`: the header section has not ended yet. The length may be more than what is there.
///
/// # Errors
/// [`ParseError`] when the stream does not begin with SIP, or asks for more than is believed.
pub fn message_length(stream: &[u8]) -> Result<Option<usize>, ParseError> {
    let blank = leading_blank(stream);
    let bytes = stream.get(blank..).unwrap_or_default();
    if bytes.is_empty() {
        return Ok(None);
    }
    if !could_become_sip(bytes) {
        return Err(not_sip(bytes));
    }
    let window = bytes.get(..MAX_HEADER).unwrap_or(bytes);
    let Some(header) = lines::end_of_header(window) else {
        if window.len() == MAX_HEADER {
            return Err(too_long("sip header", bytes.len(), MAX_HEADER));
        }
        return Ok(None);
    };
    let body = parse(bytes)?.content_length.unwrap_or(0);
    let length = blank.saturating_add(header).saturating_add(body);
    if length > MAX_MESSAGE {
        Err(too_long("sip content length", length, MAX_MESSAGE))
    } else {
        Ok(Some(length))
    }
}

const fn too_long(field: &'static str, length: usize, limit: usize) -> ParseError {
    ParseError::TooLong { field, offset: 0, length, limit }
}

/// Could these bytes begin a SIP message? `Yes` asks for a whole first line in the words of RFC 3261;
/// `Maybe` is a first line that a stream has not finished yet.
pub fn probe(bytes: &[u8]) -> Probe {
    let bytes = bytes.get(leading_blank(bytes)..).unwrap_or_default();
    let mut lines = Lines::new(bytes.get(..2048).unwrap_or(bytes));
    match lines.next_line() {
        Next::Text(line) if lines.ended() => {
            if start_line(line).is_some() {
                Probe::Yes
            } else {
                Probe::No
            }
        }
        // Fewer than four characters could become anything.
        Next::Text(line) if line.len() >= 4 && could_become_sip(bytes) => Probe::Maybe,
        Next::Text(_) | Next::NotText(_) | Next::End => Probe::No,
    }
}

const VERSION: &str = "SIP/2.0";

/// `SIP/2.0 NNN reason`, or `METHOD uri SIP/2.0` with a uri that SIP can carry (RTSP and HTTP end otherwise).
fn start_line(line: &str) -> Option<StartLine<'_>> {
    if let Some(rest) = line.strip_prefix(VERSION) {
        let rest = rest.strip_prefix(' ')?;
        let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
        let status = (code.len() == 3).then(|| code.parse::<u16>().ok())??;
        return (100..=699).contains(&status).then_some(StartLine::Response { status, reason });
    }
    let (method, rest) = line.split_once(' ')?;
    let (uri, version) = rest.trim_start().rsplit_once(' ')?;
    let method_like = is_method(method);
    // Any absolute uri may stand here (RFC 3261 §25.1), so only its shape is asked for.
    let uri = uri.trim_end();
    let uri_like = uri.find(':').is_some_and(|at| at > 0) && uri.bytes().all(|byte| byte > b' ');
    (method_like && uri_like && version == VERSION).then_some(StartLine::Request { method, uri })
}

fn is_method(method: &str) -> bool {
    (2..=32).contains(&method.len())
        && method
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"-.!%*_+`'~".contains(&byte))
}

/// True when a longer version of these bytes could be SIP.
fn could_become_sip(bytes: &[u8]) -> bool {
    const METHODS: [&str; 14] = [
        "INVITE ",
        "ACK ",
        "BYE ",
        "CANCEL ",
        "REGISTER ",
        "OPTIONS ",
        "PRACK ",
        "SUBSCRIBE ",
        "NOTIFY ",
        "PUBLISH ",
        "INFO ",
        "REFER ",
        "MESSAGE ",
        "UPDATE ",
    ];
    let starts = |word: &str| {
        let shared = word.len().min(bytes.len());
        bytes.get(..shared) == word.as_bytes().get(..shared)
    };
    if let Some(end) = bytes.iter().take(4096).position(|byte| *byte == b'\n') {
        let line = bytes.get(..end).unwrap_or_default();
        return std::str::from_utf8(line).is_ok_and(|line| start_line(line.trim_end_matches('\r')).is_some());
    }
    bytes.len() < 4096 && (starts("SIP/2.0 ") || METHODS.iter().any(|method| starts(method)))
}

/// Empty lines before a message are keep-alives (RFC 5626 §3.5.1).
fn leading_blank(bytes: &[u8]) -> usize {
    bytes.iter().take(16).take_while(|byte| matches!(byte, b'\r' | b'\n')).count()
}

fn not_sip(bytes: &[u8]) -> ParseError {
    ParseError::Invalid {
        field: "sip start line",
        offset: 0,
        value: bytes.first().map_or(0, |byte| u64::from(*byte)),
    }
}

#[cfg(test)]
mod tests;

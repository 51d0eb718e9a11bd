//! HTTP/1.1 message heads and chunks, RFC 9112. The fields are read by `httparse`.

use super::coding::Coding;
use crate::bytes::ParseError;

/// Most fields of a head.
const FIELDS: usize = 96;
/// Longest head, in bytes.
const MAX_HEAD: usize = 1 << 16;
/// Longest line that announces a chunk, in bytes.
const MAX_CHUNK_LINE: usize = 256;

/// How a body ends. RFC 9112 section 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Body {
    /// There is none.
    None,
    /// After so many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection.
    UntilClose,
    /// The connection goes on as WebSocket (RFC 6455), compressed (RFC 7692) if true.
    WebSocket(bool),
}

/// What a head says of the body behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Head {
    /// Bytes of the head.
    pub length: usize,
    /// How the body ends.
    pub body: Body,
    /// How the body is coded.
    pub coding: Coding,
    /// Status of a response; `None` in a request.
    pub status: Option<u16>,
}

/// True when these bytes could begin a message of HTTP/1.
pub fn probe(bytes: &[u8]) -> bool {
    const STARTS: [&[u8]; 10] = [
        b"GET ",
        b"POST ",
        b"HEAD ",
        b"PUT ",
        b"DELETE ",
        b"OPTIONS ",
        b"CONNECT ",
        b"PATCH ",
        b"HTTP/1.0 ",
        b"HTTP/1.1 ",
    ];
    STARTS.iter().any(|start| bytes.starts_with(start))
}

/// Reads a head; `None` when it is not complete.
///
/// # Errors
/// [`ParseError`] when the bytes are no head, or a longer one than is taken.
pub fn parse_head(bytes: &[u8]) -> Result<Option<Head>, ParseError> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let parsed = if bytes.starts_with(b"HTTP/") {
        let mut response = httparse::Response::new(&mut fields);
        let done = response.parse(bytes);
        done.map(|done| (done, response.code, false))
    } else {
        let mut request = httparse::Request::new(&mut fields);
        let done = request.parse(bytes);
        done.map(|done| (done, None, true))
    };
    match parsed {
        Ok((httparse::Status::Complete(length), status, is_request)) => {
            Ok(Some(head(length, status, is_request, &fields)))
        }
        Ok((httparse::Status::Partial, ..)) if bytes.len() <= MAX_HEAD => Ok(None),
        Ok((httparse::Status::Partial, ..)) => {
            Err(ParseError::TooLong { field: "http head", offset: 0, length: bytes.len(), limit: MAX_HEAD })
        }
        Err(_) => Err(ParseError::Invalid { field: "http head", offset: 0, value: 0 }),
    }
}

fn head(length: usize, status: Option<u16>, is_request: bool, fields: &[httparse::Header<'_>]) -> Head {
    let field = |name: &str| {
        let found = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        found.and_then(|field| std::str::from_utf8(field.value).ok()).map(str::trim)
    };
    let says = |name, word: &str| field(name).is_some_and(|value| value.to_ascii_lowercase().contains(word));
    let body = if status == Some(101) && says("upgrade", "websocket") {
        Body::WebSocket(says("sec-websocket-extensions", "permessage-deflate"))
    } else if matches!(status, Some(100..=199 | 204 | 304)) {
        Body::None
    } else if says("transfer-encoding", "chunked") {
        Body::Chunked
    } else if let Some(length) = field("content-length").and_then(|value| value.parse().ok()) {
        if length == 0 { Body::None } else { Body::Length(length) }
    } else if is_request {
        Body::None
    } else {
        Body::UntilClose
    };
    Head { length, body, coding: field("content-encoding").map_or(Coding::Unknown, Coding::named), status }
}

/// Reads the line ahead of a chunk: bytes of the line, and of the chunk; `None` when it is not complete. RFC 9112
/// section 7.1.
///
/// # Errors
/// [`ParseError`] when the bytes are no such line.
pub fn parse_chunk(bytes: &[u8]) -> Result<Option<(usize, u64)>, ParseError> {
    match httparse::parse_chunk_size(bytes) {
        Ok(httparse::Status::Complete((line, length))) => Ok(Some((line, length))),
        Ok(httparse::Status::Partial) if bytes.len() <= MAX_CHUNK_LINE => Ok(None),
        Ok(httparse::Status::Partial) => Err(ParseError::TooLong {
            field: "http chunk size",
            offset: 0,
            length: bytes.len(),
            limit: MAX_CHUNK_LINE,
        }),
        Err(_) => Err(ParseError::Invalid { field: "http chunk size", offset: 0, value: 0 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_end_as_rfc_9112_section_6_says() {
        let cases: [(&[u8], Body); 6] = [
            (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Body::None),
            (b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", Body::Length(5)),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", Body::Chunked),
            (b"HTTP/1.1 200 OK\r\n\r\n", Body::UntilClose),
            (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", Body::None),
            (
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Extensions: \
                  permessage-deflate; client_max_window_bits=15\r\n\r\n",
                Body::WebSocket(true),
            ),
        ];
        for (bytes, body) in cases {
            let head = parse_head(bytes).expect("a head").expect("complete");
            assert_eq!((head.length, head.body), (bytes.len(), body), "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn every_prefix_of_a_head_is_incomplete_and_not_wrong() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 12\r\n\r\n";
        for length in 0..whole.len() {
            assert_eq!(parse_head(&whole[..length]), Ok(None), "{length}");
        }
        let head = parse_head(whole).expect("a head").expect("complete");
        assert_eq!(head.coding, Coding::Gzip);
    }

    #[test]
    fn chunks_as_in_rfc_9112_section_7_1() {
        assert_eq!(parse_chunk(b"1a; name=value\r\nabc"), Ok(Some((16, 26))));
        assert_eq!(parse_chunk(b"1"), Ok(None));
        assert!(parse_chunk(b"xyz\r\n").is_err());
    }

    #[test]
    fn what_is_no_head_is_an_error() {
        assert!(parse_head(b"\x00\x01\x02\x03\x04").is_err());
    }
}

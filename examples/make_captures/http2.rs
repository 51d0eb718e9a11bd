//! HTTP/2 (RFC 9113) as one request after another would look: preface, settings, headers without Huffman coding and
//! without the dynamic table (RFC 7541 §6.2.2), data.

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// What a client says first.
pub(crate) fn preface() -> Vec<u8> {
    let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS_ENABLE_PUSH 0, SETTINGS_INITIAL_WINDOW_SIZE 1 MiB.
    out.extend(frame(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 0, 0, 4, 0, 0x10, 0, 0]));
    out.extend(frame(WINDOW_UPDATE, 0, 0, &[0, 0x0e, 0, 1]));
    out
}

/// What a server says first, with its acknowledgement of the client's settings.
pub(crate) fn settings() -> Vec<u8> {
    // SETTINGS_MAX_CONCURRENT_STREAMS 100.
    [frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]), frame(SETTINGS, ACK, 0, &[])].concat()
}

/// An acknowledgement of settings.
pub(crate) fn acknowledge() -> Vec<u8> {
    frame(SETTINGS, ACK, 0, &[])
}

/// A request or an answer with a body.
pub(crate) fn message(stream: u32, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let flags = if body.is_empty() { END_HEADERS | END_STREAM } else { END_HEADERS };
    let mut out = frame(HEADERS, flags, stream, &block(fields));
    if !body.is_empty() {
        out.extend(frame(DATA, END_STREAM, stream, body));
    }
    out
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            out.push(u8::try_from(text.len()).ok().filter(|length| *length < 127).unwrap());
            out.extend(text.as_bytes());
        }
    }
    out
}

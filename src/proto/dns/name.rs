//! Names as text that is safe to print and to compare.

use compact_str::CompactString;
use simple_dns::Name;

/// Lower case, labels joined by dots, no trailing dot; everything that could fool a reader as `\DDD`. It is put together in `out`, so that
/// what comes back takes no more memory than it needs, or none of its own.
pub(super) fn text(name: &Name<'_>, out: &mut Vec<u8>) -> CompactString {
    out.clear();
    for (position, label) in name.as_bytes().enumerate() {
        if position > 0 {
            out.push(b'.');
        }
        push_all(out, label, b'.');
    }
    of(out)
}

/// Text of another kind (an ALPN name), in the same escapes but with its dots.
pub(super) fn escaped(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    push_all(&mut out, text.as_bytes(), b'\\');
    of(&mut out).into_string()
}

/// Printable ASCII alone was put in.
fn of(out: &mut [u8]) -> CompactString {
    out.make_ascii_lowercase();
    CompactString::from_utf8(out).unwrap_or_default()
}

/// `also` is one more byte that must be escaped beside the backslash and what is not printable ASCII.
fn push_all(out: &mut Vec<u8>, bytes: &[u8], also: u8) {
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && *byte != b'\\' && *byte != also;
    if bytes.iter().all(is_plain) {
        return out.extend_from_slice(bytes);
    }
    for byte in bytes {
        if is_plain(byte) {
            out.push(*byte);
        } else {
            let digit = |divisor: u8| b'0'.saturating_add(byte.checked_div(divisor).unwrap_or(0) % 10);
            out.extend([b'\\', digit(100), digit(10), digit(1)]);
        }
    }
}

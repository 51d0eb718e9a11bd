//! Names as text that is safe to print and to compare.

use compact_str::CompactString;
use simple_dns::Name;

/// Lower case, labels joined by dots, no trailing dot; everything that could fool a reader as `\DDD`. It is put together in `out`, so that
/// what comes back takes no more memory than it needs, or none of its own.
pub(super) fn text(name: &Name<'_>, out: &mut String) -> CompactString {
    out.clear();
    for (position, label) in name.as_bytes().enumerate() {
        if position > 0 {
            out.push('.');
        }
        match str::from_utf8(label) {
            Ok(plain) if label.iter().all(|byte| is_plain(*byte, b'.')) => out.push_str(plain),
            _ => label.iter().for_each(|byte| push(out, *byte, b'.')),
        }
    }
    out.make_ascii_lowercase();
    CompactString::from(out.as_str())
}

/// Text of another kind (an ALPN name), in the same escapes but with its dots.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        push(&mut out, byte, b'\\');
    }
    out
}

const fn is_plain(byte: u8, also: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'\\' && byte != also
}

/// `also` is one more byte that must be escaped beside the backslash and what is not printable ASCII.
fn push(out: &mut String, byte: u8, also: u8) {
    if is_plain(byte, also) {
        out.push(char::from(byte.to_ascii_lowercase()));
    } else {
        out.push('\\');
        for divisor in [100, 10, 1] {
            #[expect(
                clippy::arithmetic_side_effects,
                reason = "a digit is at most 9, the divisor is not zero"
            )]
            out.push(char::from(b'0' + byte / divisor % 10));
        }
    }
}

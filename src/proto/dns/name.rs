//! Names as text that is safe to print and to compare.

use compact_str::CompactString;

use super::HEADER_LENGTH;

/// Octets of a name, each label with its length, and the root (RFC 1035 section 2.3.4).
const MAX_NAME: usize = 255;
/// Labels of the longest name: 127 of one octet, and the root.
const MAX_LABELS: usize = 128;
/// Pointers of one name: as many as labels, of which most names have few.
const MAX_POINTERS: usize = 127;

/// The end of the name at `at`, without following pointers.
pub(super) fn skip(message: &[u8], mut at: usize) -> Option<usize> {
    for _ in 0..MAX_LABELS {
        let length = *message.get(at)?;
        let next = at.checked_add(1)?;
        match length {
            0 => return Some(next),
            1..=63 => at = next.checked_add(usize::from(length))?,
            192.. => {
                message.get(next)?;
                return next.checked_add(1);
            }
            64..=191 => return None,
        }
    }
    None
}

/// The name at `at`: lower case, labels joined by dots, no trailing dot; everything that could fool a reader as `\DDD`. It is put together
/// in `out`, so that what comes back takes no more memory than it needs, or none of its own. `None` where it is cut or too long, or has too many
/// pointers, and where one does not lead to a prior name (RFC 1035 section 4.1.4): to the header, or forwards.
pub(super) fn text(message: &[u8], mut at: usize, out: &mut Vec<u8>) -> Option<CompactString> {
    out.clear();
    let (mut octets, mut pointers): (usize, usize) = (1, 0);
    loop {
        let length = *message.get(at)?;
        let next = at.checked_add(1)?;
        match length {
            0 => return Some(of(out)),
            1..=63 => {
                let end = next.checked_add(usize::from(length))?;
                let label = message.get(next..end)?;
                octets = octets.checked_add(label.len())?.checked_add(1)?;
                if octets > MAX_NAME {
                    return None;
                }
                if !out.is_empty() {
                    out.push(b'.');
                }
                push_all(out, label, b'.');
                at = end;
            }
            192.. => {
                let target = usize::from(u16::from_be_bytes([length & 0x3f, *message.get(next)?]));
                pointers = pointers.checked_add(1)?;
                if !(HEADER_LENGTH..at).contains(&target) || pointers > MAX_POINTERS {
                    return None;
                }
                at = target;
            }
            64..=191 => return None,
        }
    }
}

/// Text of another kind (an ALPN name), in the same escapes but with its dots.
pub(super) fn escaped(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    push_all(&mut out, text, b'\\');
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

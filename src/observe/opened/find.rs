//! Values that could be media keys, in what was opened: 16 or 32 bytes, and other lengths that keys with their salts or
//! nonces have, as hexadecimal, base64, a list of numbers, or raw behind a length.

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::bytes::{hex_pair, unhex, varint};
use crate::observe::facts::Form;

/// Shortest and longest value that is taken, in bytes.
const LENGTHS: std::ops::RangeInclusive<usize> = 12..=64;
/// Lengths of keys, in bytes.
const KEYS: [usize; 2] = [16, 32];
/// Longest name of a field that is kept, in characters.
const NAME: usize = 40;
/// How far back it is looked for what a value is called, in bytes.
const LOOK_BACK: usize = 256;
/// How deep messages of protobuf are followed.
const DEPTH: u8 = 8;
/// Distinct byte values without which a raw value is no key: 16 random bytes have fewer than 9 once in 10^7, 32 fewer than
/// 20 once in 10^6.
const DISTINCT: [(usize, usize); 2] = [(16, 9), (32, 20)];

/// A value found.
pub(super) struct Found {
    pub(super) value: Zeroizing<Vec<u8>>,
    pub(super) form: Form,
    pub(super) place: String,
    /// Where its last byte stands, counted in the bytes that were searched.
    pub(super) end: usize,
}

/// Searches text: anything that is written with printable letters.
pub(super) fn text(bytes: &[u8], found: &mut dyn FnMut(Found)) {
    let (plain, ends) = unescaped(bytes);
    let plain = plain.as_slice();
    let mut add = |value: Zeroizing<Vec<u8>>, form: Form, start: usize, end: usize| {
        let end = ends.get(end.saturating_sub(1)).copied().unwrap_or(bytes.len());
        found(Found { value, form, place: place(plain, start), end });
    };
    let standard = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    let url_safe = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    tokens(plain, &standard, &mut |start, end| {
        let token = plain.get(start..end).unwrap_or_default();
        if let Some(value) = hexadecimal(token) {
            add(value, Form::Hex, start, end);
        } else if let Ok(value) = STANDARD_NO_PAD.decode(token).map(Zeroizing::new)
            && LENGTHS.contains(&value.len())
        {
            let marked =
                plain.get(end) == Some(&b'=') || token.iter().any(|byte| matches!(byte, b'+' | b'/'));
            let whole = token.len() % 4 == 0;
            add(value, if marked || whole { Form::Base64 } else { Form::Base64Url }, start, end);
        }
    });
    // Where `-` and `_` belong to the value; without them it has been found above, unless a slash stood beside it.
    tokens(plain, &url_safe, &mut |start, end| {
        let token = plain.get(start..end).unwrap_or_default();
        let beside = |at: Option<usize>| at.and_then(|at| plain.get(at)).is_some_and(|byte| standard(*byte));
        let cut = beside(start.checked_sub(1)) || beside(Some(end));
        if (cut || token.iter().any(|byte| matches!(byte, b'-' | b'_')))
            && hexadecimal(token).is_none()
            && let Ok(value) = URL_SAFE_NO_PAD.decode(token).map(Zeroizing::new)
            && LENGTHS.contains(&value.len())
        {
            add(value, Form::Base64Url, start, end);
        }
    });
    numbers(plain, &mut add);
}

/// Bytes with the escapes of JSON and of URLs undone, each with the offset behind its source.
fn unescaped(bytes: &[u8]) -> (Zeroizing<Vec<u8>>, Vec<usize>) {
    let mut plain = Zeroizing::new(bytes.to_vec());
    let mut ends: Vec<usize> = (1..=bytes.len()).collect();
    // JSON inside a string of JSON is escaped twice.
    for _ in 0..2 {
        if !plain.iter().any(|byte| matches!(byte, b'\\' | b'%')) {
            break;
        }
        let mut next = Zeroizing::new(Vec::with_capacity(plain.len()));
        let mut next_ends = Vec::with_capacity(plain.len());
        let mut at = 0_usize;
        while let Some(rest) = plain.get(at..).filter(|rest| !rest.is_empty()) {
            let (byte, taken) = match rest {
                [b'\\', b'u', b'0', b'0', high, low, ..] => match hex_pair(*high, *low) {
                    Some(byte) if byte.is_ascii() => (byte, 6),
                    _ => (b'\\', 1),
                },
                [b'\\', escaped @ (b'"' | b'\\' | b'/'), ..] => (*escaped, 2),
                [b'%', high, low, ..] => match hex_pair(*high, *low) {
                    Some(byte @ (b'+' | b'/' | b'=')) => (byte, 3),
                    _ => (b'%', 1),
                },
                [byte, ..] => (*byte, 1),
                [] => break,
            };
            at = at.saturating_add(taken);
            next.push(byte);
            next_ends.push(ends.get(at.saturating_sub(1)).copied().unwrap_or(bytes.len()));
        }
        plain = next;
        ends = next_ends;
    }
    (plain, ends)
}

fn hexadecimal(token: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    LENGTHS.contains(&token.len().div_ceil(2)).then(|| unhex(token)).flatten()
}

/// Calls with start and end of every longest run of such bytes.
fn tokens(bytes: &[u8], of: &dyn Fn(u8) -> bool, found: &mut dyn FnMut(usize, usize)) {
    let mut start = None;
    for (at, byte) in bytes.iter().enumerate() {
        match (of(*byte), start) {
            (true, None) => start = Some(at),
            (false, Some(begun)) => {
                found(begun, at);
                start = None;
            }
            _ => {}
        }
    }
    if let Some(begun) = start {
        found(begun, bytes.len());
    }
}

/// Lists of byte values, as in `"secret_key":[12,255,...]`.
fn numbers(plain: &[u8], add: &mut dyn FnMut(Zeroizing<Vec<u8>>, Form, usize, usize)) {
    let mut from = 0_usize;
    while let Some(open) = plain.get(from..).and_then(|rest| rest.iter().position(|byte| *byte == b'[')) {
        let start = from.saturating_add(open).saturating_add(1);
        from = start;
        let rest = plain.get(start..).unwrap_or_default();
        let Some(length) = rest.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b',' | b' ')) else {
            return;
        };
        if rest.get(length) != Some(&b']') {
            continue;
        }
        let list = rest.get(..length).and_then(|list| std::str::from_utf8(list).ok()).unwrap_or_default();
        let values: Option<Vec<u8>> = list.split(',').map(|number| number.trim().parse().ok()).collect();
        if let Some(values) = values.filter(|values| LENGTHS.contains(&values.len())) {
            add(Zeroizing::new(values), Form::Numbers, start, start.saturating_add(length));
        }
    }
}

/// What the value is called, from what stands before it.
fn place(plain: &[u8], start: usize) -> String {
    let begin = start.saturating_sub(LOOK_BACK);
    let before = plain.get(begin..start).unwrap_or_default();
    if let Some(line) = before.strip_suffix(b"inline:") {
        let words = line.rsplit(|byte| matches!(byte, b'\r' | b'\n' | b'"')).next().unwrap_or_default();
        // Of a line that begins before it, the first word may be the end of one, and of a value.
        let is_cut = begin > 0 && words.len() == line.len();
        let suite = words.split(|byte| *byte == b' ').skip(usize::from(is_cut)).find(|word| {
            word.len() <= NAME && word.contains(&b'_') && word.iter().all(|byte| is_name(*byte))
        });
        return match suite.and_then(|suite| std::str::from_utf8(suite).ok()) {
            Some(suite) => format!("SDP a=crypto {suite}"),
            None => "SDP a=crypto".to_owned(),
        };
    }
    let link = before
        .iter()
        .rev()
        .take_while(|byte| matches!(byte, b'"' | b'\'' | b':' | b'=' | b' ' | b'[' | b'>'));
    let links = link.count();
    let joined = before.get(before.len().saturating_sub(links)..).unwrap_or_default();
    let head = before.get(..before.len().saturating_sub(links)).unwrap_or_default();
    let length = head.iter().rev().take(NAME).take_while(|byte| is_name(**byte)).count();
    let name = head.get(head.len().saturating_sub(length)..).and_then(|name| std::str::from_utf8(name).ok());
    let is_field = joined.iter().any(|byte| matches!(byte, b':' | b'=' | b'>'));
    match name.filter(|name| is_field && !name.is_empty()) {
        Some(_) if is_secret(head) => "a field whose name looks like a value".to_owned(),
        Some(name) if joined.starts_with(b"\"") && joined.contains(&b':') => format!("JSON field {name}"),
        Some(name) => format!("field {name}"),
        None => "text".to_owned(),
    }
}

/// True when the name that these bytes end with, or a part of it, could itself be a key or longer: `"nonce":"key"` must not
/// show the nonce. Looks at the whole name, of which a report would show the end; one that is longer than is looked back is taken for one.
fn is_secret(head: &[u8]) -> bool {
    let is_part = |byte: &u8| is_name(*byte) || matches!(byte, b'+' | b'/');
    let length = head.iter().rev().take_while(|byte| is_part(byte)).count();
    let name = head.get(head.len().saturating_sub(length)..).unwrap_or_default();
    if length == head.len() && length.saturating_mul(2) > LOOK_BACK {
        return true;
    }
    if is_words(name) {
        return false;
    }
    let any = |parts: &[u8]| name.split(|byte| parts.contains(byte)).any(decodes);
    any(b"") || any(b".") || any(b"./+") || any(b".-_") || any(b"./+-_")
}

/// True for words in the usual spellings, as `media_encryption_key` or `mediaEncryptionKey`. Of 16 random bytes in base64 one in
/// 10^4 looks so: nothing but letters, and capitals few or all.
fn is_words(name: &[u8]) -> bool {
    let capitals = name.iter().filter(|byte| byte.is_ascii_uppercase()).count();
    let letters = name.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    let spelt = capitals.saturating_mul(4) <= letters || capitals == letters;
    spelt && name.iter().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-' | b'.'))
}

/// True when a text is hexadecimal or base64 of as many bytes as the shortest value has.
fn decodes(text: &[u8]) -> bool {
    let least = *LENGTHS.start();
    let digits = text.len() >= least.saturating_mul(2) && text.iter().all(u8::is_ascii_hexdigit);
    let decodes = |engine: &GeneralPurpose| {
        engine.decode(text).map(Zeroizing::new).is_ok_and(|value| value.len() >= least)
    };
    digits || decodes(&STANDARD_NO_PAD) || decodes(&URL_SAFE_NO_PAD)
}

const fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// Searches a binary message: fields of protobuf where it is one, else values behind their length.
pub(super) fn binary(message: &[u8], found: &mut dyn FnMut(Found)) {
    let mut fields = Vec::new();
    if !message.is_empty() && protobuf(message, 0, "", 0, &mut fields) {
        fields.into_iter().for_each(found);
        return;
    }
    for length in KEYS {
        for (at, value) in message.windows(length).enumerate() {
            if behind_length(message.get(..at).unwrap_or_default(), length) && is_diverse(value) {
                found(Found {
                    value: Zeroizing::new(value.to_vec()),
                    form: Form::Raw,
                    place: "bytes behind their length".to_owned(),
                    end: at.saturating_add(length),
                });
            }
        }
    }
}

/// True when these bytes end with that length, as one byte (the end of every wider big-endian one, of CBOR's, of
/// `MessagePack`'s and of DER's), as two or four little-endian ones, or as CBOR's short form.
fn behind_length(before: &[u8], length: usize) -> bool {
    let Ok(length) = u8::try_from(length) else { return false };
    before.last() == Some(&length)
        || before.ends_with(&[length, 0])
        || before.ends_with(&[length, 0, 0, 0])
        || (length == 16 && before.last() == Some(&0x50))
}

fn is_diverse(value: &[u8]) -> bool {
    let mut seen = [false; 256];
    for byte in value {
        if let Some(seen) = seen.get_mut(usize::from(*byte)) {
            *seen = true;
        }
    }
    let distinct = seen.iter().filter(|seen| **seen).count();
    DISTINCT.iter().all(|(length, least)| value.len() != *length || distinct >= *least)
}

/// Reads a message of protobuf; false when the bytes are none to their end.
fn protobuf(message: &[u8], base: usize, path: &str, depth: u8, fields: &mut Vec<Found>) -> bool {
    let number_at = |at: usize| varint(message.get(at..).unwrap_or_default());
    let mut at = 0_usize;
    while at < message.len() {
        let Some((key, taken)) = number_at(at) else { return false };
        at = at.saturating_add(taken);
        let number = key >> 3;
        if number == 0 || number > 0x1fff_ffff {
            return false;
        }
        let length = match key & 7 {
            0 => match number_at(at) {
                Some((_, taken)) => taken,
                None => return false,
            },
            1 => 8,
            5 => 4,
            2 => {
                let Some((length, taken)) = number_at(at) else {
                    return false;
                };
                at = at.saturating_add(taken);
                usize::try_from(length).unwrap_or(usize::MAX)
            }
            _ => return false,
        };
        let Some(value) = at.checked_add(length).and_then(|end| message.get(at..end)) else { return false };
        if key & 7 == 2 {
            field(value, base.saturating_add(at), &format!("{path}{number}"), depth, fields);
        }
        at = at.saturating_add(length);
    }
    true
}

fn field(value: &[u8], base: usize, path: &str, depth: u8, fields: &mut Vec<Found>) {
    let end = base.saturating_add(value.len());
    if LENGTHS.contains(&value.len()) && is_diverse(value) {
        let place = format!("protobuf field {path}");
        fields.push(Found { value: Zeroizing::new(value.to_vec()), form: Form::Raw, place, end });
    }
    let known = fields.len();
    if depth < DEPTH && !protobuf(value, base, &format!("{path}."), depth.saturating_add(1), fields) {
        fields.truncate(known);
        text(value, &mut |mut inner| {
            inner.place = format!("protobuf field {path}, {}", inner.place);
            inner.end = base.saturating_add(inner.end);
            fields.push(inner);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 16] = *b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff";

    fn in_text(bytes: &[u8]) -> Vec<(Vec<u8>, Form, String, usize)> {
        let mut all = Vec::new();
        text(bytes, &mut |found| all.push((found.value.to_vec(), found.form, found.place, found.end)));
        all
    }

    fn the_key(bytes: &[u8]) -> Option<(Form, String)> {
        let found = in_text(bytes).into_iter().find(|(value, ..)| value == &KEY);
        found.map(|(_, form, place, _)| (form, place))
    }

    #[test]
    fn a_key_is_found_however_it_is_written() {
        // Base64 by coreutils: `xxd -r -p <<<00112233445566778899aabbccddeeff | base64`.
        let cases: [(&[u8], Form, &str); 9] = [
            (b"{\"encryptKey\":\"ABEiM0RVZneImaq7zN3u/w==\"}", Form::Base64, "JSON field encryptKey"),
            (b"{\"encryptKey\": \"ABEiM0RVZneImaq7zN3u\\/w==\"}", Form::Base64, "JSON field encryptKey"),
            (b"{\"k\":\"ABEiM0RVZneImaq7zN3u_w\"}", Form::Base64Url, "JSON field k"),
            (
                b"{\"body\":\"{\\\"key\\\":\\\"ABEiM0RVZneImaq7zN3u\\\\\\/w==\\\"}\"}",
                Form::Base64,
                "JSON field key",
            ),
            (b"key=ABEiM0RVZneImaq7zN3u%2Fw%3D%3D&x=1", Form::Base64, "field key"),
            (b"{\"key\":\"00112233445566778899AABBCCDDEEFF\"}", Form::Hex, "JSON field key"),
            (b"<key>00112233445566778899aabbccddeeff</key>", Form::Hex, "field key"),
            (
                b"{\"secret_key\":[0,17,34,51,68,85,102,119,136,153,170,187,204,221,238,255]}",
                Form::Numbers,
                "JSON field secret_key",
            ),
            (b"/wc/media/ABEiM0RVZneImaq7zN3u_w/x", Form::Base64Url, "text"),
        ];
        for (bytes, form, place) in cases {
            let found = the_key(bytes);
            assert_eq!(found, Some((form, place.to_owned())), "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_master_key_with_its_salt_is_found_in_sdp() {
        // The example of RFC 4568 section 6.1.
        let line = b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR|2^20|1:4\r\n";
        let found = in_text(line);
        let (value, _, place, _) = found.iter().find(|(value, ..)| value.len() == 30).expect("30 bytes");
        // By coreutils' base64.
        assert_eq!(value, b"=-n@%^x!Bjufr9)?,#5h\\`=&]{qiPQ");
        assert_eq!(place, "SDP a=crypto AES_CM_128_HMAC_SHA1_80");
    }

    #[test]
    fn what_stands_far_ahead_of_a_value_is_not_looked_for() {
        let key = "ABEiM0RVZneImaq7zN3u/w==";
        let place = |between: usize| {
            let line = format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 {}inline:{key}\r\n", "x ".repeat(between));
            the_key(line.as_bytes()).map(|(_, place)| place)
        };
        assert_eq!(place(100).as_deref(), Some("SDP a=crypto AES_CM_128_HMAC_SHA1_80"));
        // 249 bytes stand before `inline:`, and the suite's name would begin with its second half.
        assert_eq!(place(117).as_deref(), Some("SDP a=crypto"));
        assert_eq!(place(1000).as_deref(), Some("SDP a=crypto"));
        let name = format!("{}:{key}", "a_long_name_".repeat(40));
        let (_, place) = the_key(name.as_bytes()).expect("the value");
        assert_eq!(place, "a field whose name looks like a value");
    }

    #[test]
    fn a_name_that_could_be_a_secret_is_not_shown() {
        let hex = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
        let key = "00112233445566778899aabbccddeeff";
        let long = "5a".repeat(48);
        let names =
            [hex, "Dx4tPEtaaXiHlqW0w9Lh8A", "Dx4tPEtaaXiHlqW0w9Lh8A==", "Dx4tPEt/aXiHlqW0w9+h8A", &long];
        for name in names.iter().flat_map(|name| [(*name).to_owned(), format!("nonce.{name}")]) {
            for text in
                [format!("{{\"{name}\":\"{key}\"}}"), format!("{name}:{key}"), format!("{name}={key}")]
            {
                let (_, place) = the_key(text.as_bytes()).expect("the value");
                assert_eq!(place, "a field whose name looks like a value", "{text}");
            }
        }
        // A user's id beside its nonce, and names of fields.
        for name in
            ["01000400", "encryptKey", "zoomID", "audio.key", "media_encryption_key", "MEDIA_ENCRYPTION_KEY"]
        {
            let (_, place) = the_key(format!("{name}:{key}").as_bytes()).expect("the value");
            assert_eq!(place, format!("field {name}"));
        }
    }

    #[test]
    fn the_end_tells_where_the_value_stood() {
        let bytes = b"{\"k\":\"ABEiM0RVZneImaq7zN3u\\/w==\"} and more";
        let found = in_text(bytes);
        assert_eq!(found.first().map(|(.., end)| *end), Some(29));
    }

    #[test]
    fn words_and_numbers_of_other_lengths_are_no_keys() {
        for bytes in
            [&b"{\"displayName\":\"Toronto\"}"[..], b"[1,2,3]", b"[256,1,2,3,4,5,6,7,8,9,10,11,12]", b""]
        {
            assert!(in_text(bytes).is_empty(), "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn raw_values_are_found_in_protobuf_and_behind_lengths() {
        // Field 1: varint 150; field 2: message { field 3: 16 bytes }, by the encoding guide of protobuf.
        let mut message = vec![0x08, 0x96, 0x01, 0x12, 18, 0x1a, 16];
        message.extend(KEY);
        let mut found = Vec::new();
        binary(&message, &mut |one| found.push((one.value.to_vec(), one.place, one.end)));
        assert_eq!(
            found.iter().find(|one| one.0 == KEY).map(|one| (one.1.as_str(), one.2)),
            Some(("protobuf field 2.3", 23))
        );
        for head in [&[0xff, 0xc4, 16][..], &[0xff, 0x50], &[0xff, 0, 16], &[0xff, 16, 0, 0, 0]] {
            let message = [head, &KEY, &[0xff; 3]].concat();
            let mut found = Vec::new();
            binary(&message, &mut |one| found.push(one.value.to_vec()));
            assert!(found.iter().any(|value| value == &KEY), "{head:?}");
        }
    }

    #[test]
    fn runs_of_equal_bytes_are_no_raw_keys() {
        let message = [&[0xff, 16][..], &[7; 16]].concat();
        binary(&message, &mut |found| panic!("{}", found.place));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
            text(&bytes, &mut |found| assert!(found.end <= bytes.len()));
            binary(&bytes, &mut |found| assert!(found.end <= bytes.len()));
        }
    }
}

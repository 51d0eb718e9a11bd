//! Keys as people have them: hex, base64, SDES lines, raw bytes. In: what was typed or read. Out: every key that it can mean,
//! each with how it was read.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::verify::{Key, Mode, fits_something, lengths_of};
use crate::crypto::srtp::Suite;

/// Longest text that is looked at, in bytes; a key in any form is shorter.
const MAX_TEXT: usize = 4096;
/// Longest salt, in bytes.
const MAX_VALUE: usize = 64;
/// Longest list of nonces that is looked at, in bytes: some 30,000 of them.
pub const MAX_LIST: usize = 1 << 20;
/// Lengths of nonces: initialisation vectors of GCM; what Zoom's senders are told apart by, and initialisation vectors of CBC.
const NONCES: [usize; 2] = [12, 16];
/// Longest master key identifier, RFC 4568 section 6.1.
const MAX_MKI: usize = 128;

/// A byte order mark, as editors leave it.
const MARK: char = '\u{feff}';

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const BASE64URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Why nothing can be made of a key. The text itself is never repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// There is nothing.
    #[error("{what} is empty")]
    Empty {
        /// What was asked for.
        what: &'static str,
    },
    /// It is longer than any.
    #[error("{what} has {length} bytes; no form of one is so long")]
    TooLong {
        /// What was asked for.
        what: &'static str,
        /// Its length in bytes.
        length: usize,
    },
    /// Neither hex nor base64.
    #[error("{what} is neither hex nor base64")]
    Unreadable {
        /// What was asked for.
        what: &'static str,
    },
    /// It can be read, and no cipher takes its length.
    #[error("the key has {}; {}", lengths(.read), lengths_of(*.mode))]
    Length {
        /// Bytes, and how it was read.
        read: Vec<(usize, String)>,
        /// What it was to be tried as.
        mode: Option<Mode>,
    },
    /// A nonce that can be read, and is of no length that one has.
    #[error(
        "the nonce in line {line} has {}; a sender's nonce has 16 bytes, an initialisation vector 12 (GCM) or 16 (CBC)",
        lengths(.read)
    )]
    NonceLength {
        /// Its line, from 1.
        line: usize,
        /// Bytes, and how it was read.
        read: Vec<(usize, String)>,
    },
    /// A line of a list that is neither hex nor base64.
    #[error("line {line} of the nonces is neither hex nor base64")]
    UnreadableLine {
        /// The line, from 1.
        line: usize,
    },
    /// A suite that is not known.
    #[error("the SDES line names the suite {suite}, which is not known")]
    Suite {
        /// As written, shortened.
        suite: String,
    },
}

fn lengths(read: &[(usize, String)]) -> String {
    let words = read
        .iter()
        .map(|(length, how)| format!("{length} byte{} as {how}", if *length == 1 { "" } else { "s" }));
    words.collect::<Vec<_>>().join(", ")
}

/// Reads a key in any usual form: hex (with `0x`, colons, dashes, spaces), base64, base64url, padded or not, `inline:` of
/// SDES with what may follow it, or a whole `a=crypto` line; bytes that are no text are taken as they are.
///
/// # Errors
/// [`InputError`] when it is none of these, or of a length that nothing takes.
pub fn key(input: &[u8], mode: Option<Mode>, with_salt: bool) -> Result<Vec<Key>, InputError> {
    const WHAT: &str = "the key";
    let text = checked(input, WHAT, MAX_TEXT)?;
    let mut read: Vec<Key> = Vec::new();
    match text {
        Some(text) if text.contains("inline:") => read.extend(inlines(text)?),
        Some(text) => {
            read.extend(decoded(text).map(|(bytes, how)| Key::new(&bytes, how)));
            nested(&mut read);
            halves(&mut read);
            let characters = text.as_bytes();
            // Some write down a key's bytes as characters.
            if matches!(characters.len(), 16 | 24 | 32) {
                read.push(Key::new(characters, "the characters themselves"));
            }
        }
        None => read.push(Key::new(input, "raw bytes")),
    }
    if read.is_empty() {
        return Err(InputError::Unreadable { what: WHAT });
    }
    let (fit, unfit): (Vec<Key>, Vec<Key>) =
        read.into_iter().partition(|key| fits_something(key.bytes.len(), mode, with_salt));
    let mut fit = fit;
    dedupe(&mut fit);
    if fit.is_empty() {
        let read = unfit.into_iter().map(|key| (key.bytes.len(), key.how.clone())).collect();
        return Err(InputError::Length { read, mode });
    }
    Ok(fit)
}

/// Reads nonces, one a line: hex, base64, base64url, alone or behind the id of the user whose it is. Blank lines and what follows
/// a `#` are left out; bytes that are no text are one nonce.
///
/// # Errors
/// [`InputError`] when a line is none of these, or of a length that no nonce has, or when there is none.
pub fn nonces(input: &[u8]) -> Result<Vec<Zeroizing<Vec<u8>>>, InputError> {
    const WHAT: &str = "the nonce";
    if checked(input, WHAT, MAX_LIST)?.is_none() {
        let read = vec![(input.len(), "raw bytes".to_owned())];
        let fits = NONCES.contains(&input.len());
        return if fits {
            Ok(vec![Zeroizing::new(input.to_vec())])
        } else {
            Err(InputError::NonceLength { line: 1, read })
        };
    }
    let text = std::str::from_utf8(input).unwrap_or_default();
    let mut nonces: Vec<Zeroizing<Vec<u8>>> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let line =
            line.trim_matches(|letter: char| letter.is_whitespace() || matches!(letter, '"' | '\'' | MARK));
        if !line.is_empty() {
            nonces.extend(nonce(line, number.saturating_add(1))?);
        }
    }
    if nonces.is_empty() { Err(InputError::Empty { what: WHAT }) } else { Ok(nonces) }
}

/// All that one line can mean.
fn nonce(text: &str, line: usize) -> Result<Vec<Zeroizing<Vec<u8>>>, InputError> {
    let fitting = |text: &str| -> Vec<Zeroizing<Vec<u8>>> {
        decoded(text).map(|(bytes, _)| bytes).filter(|bytes| NONCES.contains(&bytes.len())).collect()
    };
    let mut words = text.split_ascii_whitespace();
    let beside = match (words.next(), words.next(), words.next()) {
        (Some(_), Some(nonce), None) => fitting(nonce),
        _ => Vec::new(),
    };
    let fit = if beside.is_empty() { fitting(text) } else { beside };
    if !fit.is_empty() {
        return Ok(fit);
    }
    let read: Vec<_> = decoded(text).map(|(bytes, how)| (bytes.len(), how)).collect();
    Err(if read.is_empty() {
        InputError::UnreadableLine { line }
    } else {
        InputError::NonceLength { line, read }
    })
}

/// Reads a salt: hex, base64, base64url. All that it can mean.
///
/// # Errors
/// [`InputError`] when it is none of these, or longer than any.
pub fn value(input: &[u8], what: &'static str) -> Result<Vec<Zeroizing<Vec<u8>>>, InputError> {
    let read: Vec<_> = match checked(input, what, MAX_TEXT)? {
        Some(text) => decoded(text).map(|(bytes, _)| bytes).collect(),
        None => vec![Zeroizing::new(input.to_vec())],
    };
    let longest = read.iter().map(|value| value.len()).min();
    match longest {
        None => Err(InputError::Unreadable { what }),
        Some(length) if length > MAX_VALUE => Err(InputError::TooLong { what, length }),
        Some(_) => Ok(read.into_iter().filter(|value| value.len() <= MAX_VALUE).collect()),
    }
}

/// The trimmed text, or none where it is no text.
fn checked<'t>(input: &'t [u8], what: &'static str, most: usize) -> Result<Option<&'t str>, InputError> {
    if input.len() > most {
        return Err(InputError::TooLong { what, length: input.len() });
    }
    let Ok(text) = std::str::from_utf8(input) else { return Ok(None) };
    let text = text.strip_prefix(MARK).unwrap_or(text);
    let text = text.trim_matches(|letter: char| letter.is_whitespace() || matches!(letter, '"' | '\''));
    if text.is_empty() {
        return Err(InputError::Empty { what });
    }
    // Control characters: bytes that happen to be UTF-8.
    Ok((!text.chars().any(|letter| letter.is_control() && !letter.is_whitespace())).then_some(text))
}

/// The values that a text stands for.
fn decoded(text: &str) -> impl Iterator<Item = (Zeroizing<Vec<u8>>, String)> + use<> {
    let hex = hex(text).map(|bytes| (bytes, "hex".to_owned()));
    let compact: Zeroizing<String> = Zeroizing::new(text.split_whitespace().collect());
    let try_with = |engine: &GeneralPurpose, how: &str| {
        let bytes = engine.decode(compact.as_bytes()).ok()?;
        (!bytes.is_empty()).then(|| (Zeroizing::new(bytes), how.to_owned()))
    };
    let base64 = try_with(&BASE64, "base64").or_else(|| try_with(&BASE64URL, "base64url"));
    hex.into_iter().chain(base64)
}

fn hex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut out = Zeroizing::new(Vec::with_capacity(text.len() / 2));
    let mut half: Option<u8> = None;
    for part in text.split(|letter: char| letter.is_whitespace() || matches!(letter, ':' | '-' | ',')) {
        let digits = part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")).unwrap_or(part);
        for digit in digits.chars() {
            let digit = u8::try_from(digit.to_digit(16)?).ok()?;
            match half.take() {
                Some(high) => out.push(high << 4 | digit),
                None => half = Some(digit),
            }
        }
    }
    (half.is_none() && !out.is_empty()).then_some(out)
}

/// A value that is itself hex digits is read once more.
fn nested(read: &mut Vec<Key>) {
    let inner: Vec<Key> = read
        .iter()
        .filter(|key| key.bytes.len() >= 32)
        .filter_map(|key| {
            let text = std::str::from_utf8(&key.bytes).ok()?;
            Some(Key::new(&hex(text)?, format!("{}, and that as hex", key.how)))
        })
        .collect();
    read.extend(inner);
}

/// Both halves of a key of 32 bytes: some log two keys, or a key and something else, in one field.
fn halves(read: &mut Vec<Key>) {
    let mut more = Vec::new();
    for key in read.iter().filter(|key| key.suite.is_none()) {
        if let Some((first, second)) = key.bytes.split_at_checked(16).filter(|_| key.bytes.len() == 32) {
            more.push(Key::new(first, format!("{}, its first half", key.how)));
            more.push(Key::new(second, format!("{}, its second half", key.how)));
        }
    }
    read.extend(more);
}

fn dedupe(keys: &mut Vec<Key>) {
    let mut kept: Vec<Key> = Vec::new();
    for key in keys.drain(..) {
        if !kept.iter().any(|held| held.bytes == key.bytes && held.suite == key.suite) {
            kept.push(key);
        }
    }
    *keys = kept;
}

/// Lines of SDES, as an offer holds several; also of other lines of SDP, which are left out.
fn inlines(text: &str) -> Result<Vec<Key>, InputError> {
    let mut keys = Vec::new();
    for line in text.lines() {
        // Several keys of one suite stand in one line.
        if let Some((before, after)) = line.split_once("inline:") {
            for parameters in after.split("inline:") {
                keys.push(inline(before, parameters)?);
            }
        }
    }
    if keys.len() > 1 {
        for (key, number) in keys.iter_mut().zip(1_u32..) {
            key.how = format!("{}, number {number}", key.how);
        }
    }
    Ok(keys)
}

/// `1 AES_CM_128_HMAC_SHA1_80 inline:<key>|2^20|1:4`, or a part of it. RFC 4568 sections 6.1 and 9.2.
fn inline(before: &str, after: &str) -> Result<Key, InputError> {
    const WHAT: &str = "the key of the SDES line";
    let named = before.split_ascii_whitespace().find(|word| word.contains('_'));
    let suite = match named {
        Some(name) => Some(Suite::named(name).ok_or_else(|| InputError::Suite { suite: shown(name) })?),
        None => None,
    };
    let parameters = after.split(|letter: char| letter.is_whitespace() || letter == ';').next();
    let mut parts = parameters.unwrap_or_default().split('|');
    let bytes = BASE64.decode(parts.next().unwrap_or_default());
    let bytes = Zeroizing::new(bytes.map_err(|_| InputError::Unreadable { what: WHAT })?);
    if bytes.is_empty() {
        return Err(InputError::Empty { what: WHAT });
    }
    let mki = parts.find_map(|part| part.split_once(':')?.1.parse().ok()).unwrap_or(0);
    let key = Key::new(&bytes, "SDES inline, base64");
    Ok(Key { suite, mki: if mki <= MAX_MKI { mki } else { 0 }, ..key })
}

fn shown(name: &str) -> String {
    name.chars().filter(char::is_ascii_graphic).take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::near::near;
    use proptest::prelude::*;

    const KEY: [u8; 16] =
        [0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];

    fn first(text: &str) -> Key {
        key(text.as_bytes(), None, false).unwrap().remove(0)
    }

    #[test]
    fn hex_is_read_however_it_is_spaced() {
        for text in [
            "00112233445566778899aabbccddeeff",
            "00112233445566778899AABBCCDDEEFF\n",
            "0x00112233445566778899aabbccddeeff",
            "00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff",
            "00 11 22 33 44 55 66 77 88 99 aa bb cc dd ee ff",
            "0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff",
            "\"00112233-4455-6677-8899-aabbccddeeff\"",
        ] {
            let key = first(text);
            assert_eq!((&**key.bytes, key.how.as_str()), (&KEY[..], "hex"), "{text}");
        }
    }

    #[test]
    fn base64_is_read_with_either_alphabet_and_with_or_without_padding() {
        let value = [0xfb; 16];
        for text in ["+/v7+/v7+/v7+/v7+/v7+w==", "+/v7+/v7+/v7+/v7+/v7+w"] {
            let key = first(text);
            assert_eq!((&**key.bytes, key.how.as_str()), (&value[..], "base64"), "{text}");
        }
        for text in ["-_v7-_v7-_v7-_v7-_v7-w==", "-_v7-_v7-_v7-_v7-_v7-w"] {
            let key = first(text);
            assert_eq!((&**key.bytes, key.how.as_str()), (&value[..], "base64url"), "{text}");
        }
    }

    #[test]
    fn both_halves_of_32_bytes_and_digits_inside_base64_are_tried_too() {
        let text = ["5a".repeat(16), "a5".repeat(16)].concat();
        let keys = key(text.as_bytes(), None, false).unwrap();
        let has = |bytes: &[u8], how: &str| keys.iter().any(|key| **key.bytes == *bytes && key.how == how);
        assert!(has(&[0x5a; 16], "hex, its first half") && has(&[0xa5; 16], "hex, its second half"));
        // base64 of the 32 characters "00112233445566778899aabbccddeeff".
        let keys = key(b"MDAxMTIyMzM0NDU1NjY3Nzg4OTlhYWJiY2NkZGVlZmY=", None, false).unwrap();
        assert!(keys.iter().any(|key| **key.bytes == KEY && key.how == "base64, and that as hex"));
    }

    /// The example of RFC 4568 section 9.1, whose key and salt have 30 bytes.
    #[test]
    fn an_sdes_line_gives_suite_key_and_identifier() {
        let line =
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20|1:4";
        let read = first(line);
        assert_eq!((read.bytes.len(), read.mki), (30, 4));
        assert_eq!(read.suite.unwrap().name, "AES_CM_128_HMAC_SHA1_80");
        assert!(read.bytes.starts_with(b"wDfvg&T+"));
        let bare = first("inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj");
        assert_eq!((bare.suite, bare.mki, bare.bytes.len()), (None, 0, 30));
        let error = key(b"1 ROT13_1 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj", None, false);
        assert!(matches!(error, Err(InputError::Suite { .. })));
    }

    #[test]
    fn a_key_of_no_use_is_refused_with_the_lengths_that_are() {
        let error = key(b"0011223344", None, false).unwrap_err().to_string();
        assert!(error.contains("5 bytes as hex") && error.contains("16, 24 or 32 bytes"), "{error}");
        assert!(matches!(key(b"not a key!", None, false), Err(InputError::Unreadable { .. })));
        assert!(matches!(key(b"  \n", None, false), Err(InputError::Empty { .. })));
        assert!(matches!(key(&[b'a'; 5000], None, false), Err(InputError::TooLong { .. })));
        let salted = "00112233445566778899aabbccddeeff";
        let error = key(salted.as_bytes(), Some(Mode::Srtp), false).unwrap_err().to_string();
        assert!(error.contains("master salt of 14 bytes") && !error.contains("AES key"), "{error}");
        assert!(key(salted.as_bytes(), Some(Mode::Srtp), true).is_ok());
    }

    #[test]
    fn several_sdes_keys_are_all_read() {
        let (one, two) =
            ("d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj", "PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR");
        let lines = format!(
            "m=audio 1 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{one}\r\n\
             a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:{two}|2^20\r\n"
        );
        let same = format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{one}|2^20|1:4;inline:{two}|2^20|2:4");
        for text in [lines, same] {
            let keys = key(text.as_bytes(), None, false).unwrap();
            let ends: Vec<_> = keys.iter().map(|key| (key.bytes.len(), key.suite.is_some())).collect();
            assert_eq!(ends, [(30, true), (30, true)], "{text}");
            assert!(keys.iter().any(|key| key.bytes.starts_with(b"=-n@%")));
            assert!(keys.iter().any(|key| key.how == "SDES inline, base64, number 2"));
        }
    }

    #[test]
    fn nonces_stand_one_a_line_alone_or_behind_a_user() {
        let own = [0x5a; 16];
        let text = format!(
            "\u{feff}# senders\r\n\r\n01000400 {}\n{} # mine\n",
            BASE64URL.encode(own),
            "a5".repeat(12)
        );
        let read = nonces(text.as_bytes()).unwrap();
        assert_eq!(
            read.iter().map(|nonce| nonce.to_vec()).collect::<Vec<_>>(),
            [vec![0x5a; 16], vec![0xa5; 12]]
        );
        let spaced = ["5a"; 16].join(" ");
        assert_eq!(**nonces(spaced.as_bytes()).unwrap()[0], own);
        assert_eq!(**nonces(&[0xff; 16]).unwrap()[0], [0xff; 16]);
        for (text, says) in [
            ("zz", "line 1 has 1 byte as base64; a sender's nonce has 16 bytes"),
            ("# none\n", "the nonce is empty"),
            ("00112233445566778899aabbccddeeff\n!\n", "line 2 of the nonces is neither hex nor base64"),
        ] {
            let error = nonces(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        assert!(matches!(nonces(&[0xff; 5]), Err(InputError::NonceLength { .. })));
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_key_and_raw_bytes_are_one() {
        let text = "\u{feff}00112233445566778899aabbccddeeff\r\n";
        assert_eq!((&**first(text).bytes, first(text).how.as_str()), (&KEY[..], "hex"));
        let raw = key(&KEY, None, false).unwrap();
        assert_eq!((&**raw[0].bytes, raw[0].how.as_str()), (&KEY[..], "raw bytes"));
    }

    #[test]
    fn no_error_and_no_debug_output_shows_a_key() {
        let text = "00112233445566778899aabbccddee";
        let error = key(text.as_bytes(), None, false).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("aabbcc"));
        let read = first("00112233445566778899aabbccddeeff");
        assert!(!format!("{read:?}").contains("170"), "{read:?}");
    }

    proptest! {
        #[test]
        fn no_input_panics(input in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = key(&input, None, false);
            let _ = value(&input, "the salt");
            let _ = nonces(&input);
        }
    }

    proptest! {
        #[test]
        fn near_every_form_of_a_key_nothing_panics_and_no_error_quotes_it(
            input in near([
                "00112233445566778899aabbccddeeff",
                "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20|1:4",
                "inline:PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR",
                "# senders\r\n01000400 WlpaWlpaWlpaWlpaWlpaWg\na5a5a5a5a5a5a5a5a5a5a5a5 # mine\n",
            ]),
            with_salt: bool,
        ) {
            let quoted = |error: InputError| ["8899aabb", "eEc3QGZi", "anVmcjkp", "WlpaWlpa"].iter().any(|part| error.to_string().contains(part));
            prop_assert!(!key(&input, None, with_salt).is_err_and(quoted));
            prop_assert!(!value(&input, "the salt").is_err_and(quoted));
            prop_assert!(!nonces(&input).is_err_and(quoted));
        }
    }
}

//! JA4 of TLS clients, after `FoxIO`'s technical description of JA4 (BSD-3-Clause part of the JA4 family).
//!
//! In: a ClientHello and what carried it. Out: `t13d1516h2_8daaf6152771_e5627efa2ab1`: transport, version,
//! server name, counts and protocol; a hash of the sorted suites; a hash of the sorted extensions and the
//! signature schemes. GREASE values never count.

use std::fmt;

use sha2::Sha256;

use super::pieces::{Piece, Pieces};
use crate::bytes::{hex_digit, hex_digits};
use crate::proto::tls::{ClientHello, ExtensionType, ProtocolVersion, is_grease};

/// How many entries of a list are sorted on the stack; real hellos have fewer than 150. A longer list, which
/// the message bounds at 32 K entries, is sorted on the heap so that the value is right all the same.
const STACK_ENTRIES: usize = 256;

const LENGTH: usize = 36;

/// What carried the hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "JA4 knows three")]
pub enum Transport {
    /// TLS over TCP: `t`.
    Tcp,
    /// DTLS: `d`.
    Datagram,
    /// QUIC: `q`.
    Quic,
}

impl Transport {
    const fn letter(self) -> u8 {
        match self {
            Self::Tcp => b't',
            Self::Datagram => b'd',
            Self::Quic => b'q',
        }
    }
}

/// A JA4 value, 36 characters of ASCII.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ja4([u8; LENGTH]);

impl Ja4 {
    /// As text.
    pub fn as_str(&self) -> &str {
        // Only ASCII is ever put in.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl serde::Serialize for Ja4 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Display for Ja4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Ja4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ja4({self})")
    }
}

/// JA4 of a client.
pub fn ja4(hello: &ClientHello<'_>, transport: Transport) -> Ja4 {
    let mut text = [b'_'; LENGTH];
    let suites = suite_hash(hello);
    let rest = extension_hash(hello);
    let parts = head(hello, transport).into_iter().chain(*b"_").chain(suites).chain(*b"_").chain(rest);
    for (place, byte) in text.iter_mut().zip(parts) {
        *place = byte;
    }
    Ja4(text)
}

/// The raw form `ja4_r`: the lists instead of their hashes. For reports, not for the packet path.
pub fn ja4_raw(hello: &ClientHello<'_>, transport: Transport) -> String {
    let mut text = head(hello, transport).to_vec();
    text.push(b'_');
    with_sorted(suites(hello), |sorted| {
        write_list(sorted.iter().copied(), &mut |piece| text.extend_from_slice(piece.as_bytes()));
    });
    text.push(b'_');
    with_sorted(hashed_extensions(hello), |sorted| {
        write_list(sorted.iter().copied(), &mut |piece| text.extend_from_slice(piece.as_bytes()));
    });
    if schemes(hello).next().is_some() {
        text.push(b'_');
        write_list(schemes(hello), &mut |piece| text.extend_from_slice(piece.as_bytes()));
    }
    String::from_utf8(text).unwrap_or_default()
}

fn suites(hello: &ClientHello<'_>) -> impl Iterator<Item = u16> {
    hello.cipher_suites().map(|suite| suite.0).filter(|value| !is_grease(*value))
}

fn extensions(hello: &ClientHello<'_>) -> impl Iterator<Item = u16> {
    hello.extensions().iter().map(|extension| extension.kind.0).filter(|value| !is_grease(*value))
}

/// The extensions that are hashed: name and protocol are in the first part already.
fn hashed_extensions(hello: &ClientHello<'_>) -> impl Iterator<Item = u16> {
    let told = [ExtensionType::SERVER_NAME.0, ExtensionType::ALPN.0];
    extensions(hello).filter(move |value| !told.contains(value))
}

fn schemes(hello: &ClientHello<'_>) -> impl Iterator<Item = u16> {
    hello.signature_algorithms().map(|scheme| scheme.0).filter(|value| !is_grease(*value))
}

fn head(hello: &ClientHello<'_>, transport: Transport) -> [u8; 10] {
    let [version_0, version_1] = version(highest_version(hello));
    let name = if hello.has_server_name() { b'd' } else { b'i' };
    let [suites_0, suites_1] = two_digits(suites(hello).take(99).count());
    let [extensions_0, extensions_1] = two_digits(extensions(hello).take(99).count());
    let [alpn_0, alpn_1] = protocol(hello.alpn().next().unwrap_or_default());
    [
        transport.letter(),
        version_0,
        version_1,
        name,
        suites_0,
        suites_1,
        extensions_0,
        extensions_1,
        alpn_0,
        alpn_1,
    ]
}

/// The greatest number in `supported_versions`, as the description has it. DTLS counts downwards, so that a
/// client of DTLS 1.3 and 1.2 is told as 1.2: [`ClientHello::newest_version`] is for other uses.
fn highest_version(hello: &ClientHello<'_>) -> ProtocolVersion {
    let offered = hello.supported_versions().filter(|version| !is_grease(version.0));
    offered.max().unwrap_or_else(|| hello.legacy_version())
}

const fn version(version: ProtocolVersion) -> [u8; 2] {
    match version {
        ProtocolVersion::TLS_1_3 => *b"13",
        ProtocolVersion::TLS_1_2 => *b"12",
        ProtocolVersion::TLS_1_1 => *b"11",
        ProtocolVersion::TLS_1_0 => *b"10",
        ProtocolVersion::SSL_3_0 => *b"s3",
        ProtocolVersion::SSL_2_0 => *b"s2",
        ProtocolVersion::DTLS_1_0 => *b"d1",
        ProtocolVersion::DTLS_1_2 => *b"d2",
        ProtocolVersion::DTLS_1_3 => *b"d3",
        _ => *b"00",
    }
}

/// Two decimal digits of a count of at most 99.
fn two_digits(count: usize) -> [u8; 2] {
    let count = u8::try_from(count.min(99)).unwrap_or(99);
    [b'0'.wrapping_add(count / 10), b'0'.wrapping_add(count % 10)]
}

/// First and last character of the first protocol name; of its hexadecimal form when one of the two is
/// neither letter nor digit; `00` without a name.
const fn protocol(name: &[u8]) -> [u8; 2] {
    let (Some(first), Some(last)) = (name.first(), name.last()) else { return *b"00" };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        [*first, *last]
    } else {
        [hex_digit(*first >> 4), hex_digit(*last)]
    }
}

fn suite_hash(hello: &ClientHello<'_>) -> [u8; 12] {
    with_sorted(suites(hello), |sorted| {
        if sorted.is_empty() {
            return [b'0'; 12];
        }
        let mut hash = Pieces::new();
        write_list(sorted.iter().copied(), &mut |piece| hash.push(piece));
        first_twelve(hash)
    })
}

fn extension_hash(hello: &ClientHello<'_>) -> [u8; 12] {
    with_sorted(hashed_extensions(hello), |sorted| {
        if sorted.is_empty() {
            return [b'0'; 12];
        }
        let mut hash = Pieces::new();
        write_list(sorted.iter().copied(), &mut |piece| hash.push(piece));
        if schemes(hello).next().is_some() {
            hash.push(Piece::sign(b'_'));
            write_list(schemes(hello), &mut |piece| hash.push(piece));
        }
        first_twelve(hash)
    })
}

/// Sorts the values and lends them: on the stack where they fit.
fn with_sorted<T>(values: impl Iterator<Item = u16>, then: impl FnOnce(&[u16]) -> T) -> T {
    let mut values = values;
    let mut stack = [0_u16; STACK_ENTRIES];
    let mut filled: usize = 0;
    for (place, value) in stack.iter_mut().zip(values.by_ref()) {
        *place = value;
        filled = filled.saturating_add(1);
    }
    // `zip` asks the places first, so nothing is lost when they run out.
    let rest: Vec<u16> = values.collect();
    if rest.is_empty() {
        let sorted = stack.get_mut(..filled).unwrap_or_default();
        sorted.sort_unstable();
        return then(sorted);
    }
    let mut all = stack.to_vec();
    all.extend(rest);
    all.sort_unstable();
    then(&all)
}

/// Four hexadecimal digits each, with commas between.
fn write_list(values: impl Iterator<Item = u16>, write: &mut impl FnMut(Piece)) {
    for (at, value) in values.enumerate() {
        let [high, low] = value.to_be_bytes();
        let ([a, b], [c, d]) = (hex_digits(high), hex_digits(low));
        let digits = Piece::four([a, b, c, d]);
        write(if at > 0 { digits.behind(b',') } else { digits });
    }
}

fn first_twelve(hash: Pieces<Sha256>) -> [u8; 12] {
    let digest: [u8; 32] = hash.finish().into();
    let mut text = [b'0'; 12];
    for (place, digit) in text.iter_mut().zip(digest.into_iter().flat_map(hex_digits)) {
        *place = digit;
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A ClientHello body with these lists; extensions other than the two named ones get an empty body.
    fn hello(suites: &[u16], kinds: &[u16], schemes: &[u16], alpn: &[u8]) -> Vec<u8> {
        let put = |out: &mut Vec<u8>, value: usize| out.extend(u16::try_from(value).unwrap().to_be_bytes());
        let list = |values: &[u16]| {
            let mut out = Vec::new();
            put(&mut out, values.len() * 2);
            for value in values {
                out.extend(value.to_be_bytes());
            }
            out
        };
        let mut block = Vec::new();
        for kind in kinds {
            let body = match kind {
                13 => list(schemes),
                16 => {
                    let mut body = Vec::new();
                    put(&mut body, alpn.len() + 1);
                    body.push(u8::try_from(alpn.len()).unwrap());
                    body.extend(alpn);
                    body
                }
                43 => vec![6, 0x9a, 0x9a, 3, 3, 3, 4],
                _ => Vec::new(),
            };
            block.extend(kind.to_be_bytes());
            put(&mut block, body.len());
            block.extend(body);
        }
        let mut out = vec![3, 3];
        out.extend([7; 32]);
        out.push(0);
        out.extend(list(suites));
        out.extend([1, 0]);
        put(&mut out, block.len());
        out.extend(block);
        out
    }

    /// The example of the technical description.
    const SUITES: [u16; 15] = [
        0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c,
        0x009d, 0x002f, 0x0035,
    ];
    const KINDS: [u16; 16] = [
        0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b,
        0xff01, 0x000b, 0x000a, 0x0015,
    ];
    const SCHEMES: [u16; 8] = [0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601];

    fn value(body: &[u8]) -> String {
        ja4(&ClientHello::parse(body).unwrap(), Transport::Tcp).to_string()
    }

    #[test]
    fn example_of_the_technical_description_is_met_with_and_without_grease() {
        let expected = "t13d1516h2_8daaf6152771_e5627efa2ab1";
        assert_eq!(value(&hello(&SUITES, &KINDS, &SCHEMES, b"h2")), expected);
        let greased = |list: &[u16]| [&[0x3a3a], list, &[0xfafa]].concat();
        let body = hello(&greased(&SUITES), &greased(&KINDS), &greased(&SCHEMES), b"h2");
        assert_eq!(value(&body), expected);
        let parsed = ClientHello::parse(&body).unwrap();
        assert_eq!(
            ja4_raw(&parsed, Transport::Quic),
            "q13d1516h2_002f,0035,009c,009d,1301,1302,1303,c013,c014,c02b,c02c,c02f,c030,cca8,cca9_\
             0005,000a,000b,000d,0012,0015,0017,001b,0023,002b,002d,0033,4469,ff01_\
             0403,0804,0401,0503,0805,0501,0806,0601"
        );
    }

    #[test]
    fn grease_among_the_schemes_is_left_out_as_in_chromium_152() {
        // Published with the JA4 tools as the value of their capture `sigalg-grease`.
        let kinds = [
            0xfe0d, 0x0010, 0x0017, 0x0033, 0x44cd, 0xff01, 0x000a, 0x000d, 0x0023, 0x002b, 0x000b, 0xca34,
            0x002d, 0x0000, 0x0005, 0x001b, 0x0012,
        ];
        let schemes = [&[0x5a5a, 0x0904, 0x0905, 0x0906], &SCHEMES[..]].concat();
        assert_eq!(value(&hello(&SUITES, &kinds, &schemes, b"h2")), "t13d1517h2_8daaf6152771_cb7bf5808d99");
    }

    #[test]
    fn hello_without_schemes_suites_or_extensions_follows_the_description() {
        let body = hello(&SUITES, &KINDS, &[], b"h2");
        assert_eq!(&value(&body)[24..], "6d807ffa2a79");
        assert_eq!(value(&hello(&[], &[0, 16], &[], b"")), "t12d000200_000000000000_000000000000");
    }

    #[test]
    fn protocol_follows_the_examples_of_the_description() {
        for (name, expected) in [
            (&b""[..], b"00"),
            (b"h2", b"h2"),
            (b"http/1.1", b"h1"),
            (b"x", b"xx"),
            (&[0xab], b"ab"),
            (&[0xab, 0xcd], b"ad"),
            (&[0x30, 0xab], b"3b"),
            (&[0x30, 0x31, 0xab, 0xcd], b"3d"),
            (&[0x30, 0xab, 0xcd, 0x31], b"01"),
        ] {
            assert_eq!(&protocol(name), expected, "{name:?}");
        }
    }

    #[test]
    fn more_than_99_entries_count_as_99_and_are_hashed_all_the_same() {
        let many: Vec<u16> = (0..400).rev().collect();
        let sorted: Vec<u16> = (0..400).collect();
        assert_eq!(value(&hello(&many, &[], &[], b"")), value(&hello(&sorted, &[], &[], b"")));
        assert!(value(&hello(&many, &[], &[], b"")).starts_with("t12i990000_"));
        assert_ne!(value(&hello(&sorted[..399], &[], &[], b"")), value(&hello(&sorted, &[], &[], b"")));
    }

    #[test]
    fn datagram_versions_have_their_letters() {
        let mut body = hello(&SUITES, &[], &[], b"");
        for (wire, text) in [([0xfe, 0xff], "dd1i15"), ([0xfe, 0xfd], "dd2i15"), ([0xfe, 0xfc], "dd3i15")] {
            body[..2].copy_from_slice(&wire);
            let parsed = ClientHello::parse(&body).unwrap();
            assert!(ja4(&parsed, Transport::Datagram).as_str().starts_with(text));
        }
    }

    proptest! {
        #[test]
        fn sorting_on_stack_or_heap_gives_every_value_in_order(values in proptest::collection::vec(any::<u16>(), 0..600)) {
            let mut expected = values.clone();
            expected.sort_unstable();
            with_sorted(values.into_iter(), |sorted| assert_eq!(sorted, expected));
        }

        #[test]
        fn any_lists_give_36_ascii_characters(
            suites in proptest::collection::vec(any::<u16>(), 0..40),
            kinds in proptest::collection::vec(0_u16..60, 0..40),
            alpn in proptest::collection::vec(any::<u8>(), 0..12),
        ) {
            let text = value(&hello(&suites, &kinds, &[0x0403], &alpn));
            prop_assert_eq!(text.len(), LENGTH);
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
        }
    }
}

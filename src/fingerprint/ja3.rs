//! JA3 and JA3S: MD5 over the decimal numbers of a hello.
//!
//! In: a parsed hello. Out: the digest, or the string it was made from. GREASE values are left out.

use std::fmt;

use md5::Md5;

use super::pieces::{Piece, Pieces};
use crate::proto::tls::{ClientHello, ServerHello, is_grease};

/// A JA3 or JA3S: 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ja3([u8; 16]);

impl Ja3 {
    /// The MD5 itself.
    pub const fn digest(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Ja3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Ja3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ja3({self})")
    }
}

/// JA3 of a client.
pub fn ja3(hello: &ClientHello<'_>) -> Ja3 {
    digest(|pieces| write_client(hello, &mut |piece| pieces.push(piece)))
}

/// The string that [`ja3`] is the MD5 of: version, suites, extensions, groups, point formats.
pub fn ja3_string(hello: &ClientHello<'_>) -> String {
    string(|text| write_client(hello, &mut |piece| text.extend_from_slice(piece.as_bytes())))
}

/// JA3S of a server's answer.
pub fn ja3s(hello: &ServerHello<'_>) -> Ja3 {
    digest(|pieces| write_server(hello, &mut |piece| pieces.push(piece)))
}

/// The string that [`ja3s`] is the MD5 of: version, suite, extensions.
pub fn ja3s_string(hello: &ServerHello<'_>) -> String {
    string(|text| write_server(hello, &mut |piece| text.extend_from_slice(piece.as_bytes())))
}

fn write_client(hello: &ClientHello<'_>, out: &mut impl FnMut(Piece)) {
    out(Piece::decimal(hello.legacy_version().0));
    out(Piece::sign(b','));
    write_list(hello.cipher_suites().map(|suite| suite.0), out);
    out(Piece::sign(b','));
    write_list(hello.extensions().iter().map(|extension| extension.kind.0), out);
    out(Piece::sign(b','));
    write_list(hello.supported_groups().map(|group| group.0), out);
    out(Piece::sign(b','));
    write_list(hello.ec_point_formats().iter().map(|format| u16::from(*format)), out);
}

fn write_server(hello: &ServerHello<'_>, out: &mut impl FnMut(Piece)) {
    out(Piece::decimal(hello.legacy_version().0));
    out(Piece::sign(b','));
    out(Piece::decimal(hello.cipher_suite().0));
    out(Piece::sign(b','));
    write_list(hello.extensions().iter().map(|extension| extension.kind.0), out);
}

fn write_list(values: impl Iterator<Item = u16>, out: &mut impl FnMut(Piece)) {
    for (at, value) in values.filter(|value| !is_grease(*value)).enumerate() {
        let number = Piece::decimal(value);
        out(if at > 0 { number.behind(b'-') } else { number });
    }
}

fn digest(write: impl FnOnce(&mut Pieces<Md5>)) -> Ja3 {
    let mut pieces = Pieces::new();
    write(&mut pieces);
    Ja3(pieces.finish().into())
}

fn string(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut text = Vec::new();
    write(&mut text);
    // Digits and signs alone were written.
    String::from_utf8(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::tls::vectors;

    #[test]
    fn rfc8448_hellos_have_the_fingerprints_that_tshark_gives() {
        let hello = ClientHello::parse(&vectors::CLIENT_HELLO_RECORD[9..]).unwrap();
        assert_eq!(
            ja3_string(&hello),
            "771,4865-4867-4866,0-65281-10-35-51-43-13-45-28,29-23-24-25-256-257-258-259-260,"
        );
        assert_eq!(ja3(&hello).to_string(), "da4dea34fe6d4ce5f0725df3f2682fa0");
        let hello = ServerHello::parse(&vectors::SERVER_HELLO_RECORD[9..]).unwrap();
        assert_eq!(ja3s_string(&hello), "771,4865,51-43");
        assert_eq!(ja3s(&hello).to_string(), "eb1d94daa7e0344597e756a1fb6e7054");
    }
}

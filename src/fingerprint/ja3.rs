//! JA3 and JA3S: MD5 over the decimal numbers of a hello.
//!
//! In: a parsed hello. Out: the digest, or the string it was made from. GREASE values are left out.

use std::fmt::{self, Write};

use md5::{Digest, Md5};

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
    digest(|out| write_client(hello, out))
}

/// The string that [`ja3`] is the MD5 of: version, suites, extensions, groups, point formats.
pub fn ja3_string(hello: &ClientHello<'_>) -> String {
    string(|out| write_client(hello, out))
}

/// JA3S of a server's answer.
pub fn ja3s(hello: &ServerHello<'_>) -> Ja3 {
    digest(|out| write_server(hello, out))
}

/// The string that [`ja3s`] is the MD5 of: version, suite, extensions.
pub fn ja3s_string(hello: &ServerHello<'_>) -> String {
    string(|out| write_server(hello, out))
}

fn write_client(hello: &ClientHello<'_>, out: &mut dyn Write) -> fmt::Result {
    write!(out, "{},", hello.legacy_version().0)?;
    write_list(out, hello.cipher_suites().map(|suite| suite.0))?;
    out.write_char(',')?;
    write_list(out, hello.extensions().iter().map(|extension| extension.kind.0))?;
    out.write_char(',')?;
    write_list(out, hello.supported_groups().map(|group| group.0))?;
    out.write_char(',')?;
    write_list(out, hello.ec_point_formats().iter().map(|format| u16::from(*format)))
}

fn write_server(hello: &ServerHello<'_>, out: &mut dyn Write) -> fmt::Result {
    write!(out, "{},{},", hello.legacy_version().0, hello.cipher_suite().0)?;
    write_list(out, hello.extensions().iter().map(|extension| extension.kind.0))
}

fn write_list(out: &mut dyn Write, values: impl Iterator<Item = u16>) -> fmt::Result {
    for (at, value) in values.filter(|value| !is_grease(*value)).enumerate() {
        if at > 0 {
            out.write_char('-')?;
        }
        write!(out, "{value}")?;
    }
    Ok(())
}

/// Feeds text into MD5 as it is written, so that the string is never built.
struct Hashing(Md5);

impl Write for Hashing {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

fn digest(write: impl FnOnce(&mut dyn Write) -> fmt::Result) -> Ja3 {
    let mut hashing = Hashing(Md5::new());
    // Neither writer can fail.
    let _ = write(&mut hashing);
    Ja3(hashing.0.finalize().into())
}

fn string(write: impl FnOnce(&mut dyn Write) -> fmt::Result) -> String {
    let mut text = String::new();
    let _ = write(&mut text);
    text
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

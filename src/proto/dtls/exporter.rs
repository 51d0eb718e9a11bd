//! SRTP keys out of a DTLS session (RFC 5764 section 4.2): the exporter of RFC 5705 up to DTLS 1.2, that of RFC 9147 and RFC 8446
//! section 7.5 in DTLS 1.3.
//!
//! In: what the hellos agreed on and secrets of a key log. Out: master keys and salts. Not handled: DTLS 1.0, whose pseudo-random
//! function is MD5 and SHA-1.

use zeroize::Zeroizing;

use crate::crypto::kdf::{self, Prefix, Secret};
use crate::proto::tls::keylog::{Random, Secrets};
use crate::proto::tls::protection::{Suite, prf_hash};
use crate::proto::tls::{CipherSuite, ProtocolVersion, SrtpProfile};

/// The exporter's label.
const LABEL: &[u8] = b"EXTRACTOR-dtls_srtp";

/// Bytes of key and salt of a profile (RFC 5764 section 4.1.2, RFC 7714 section 14.2); `None` for one that is not known here.
pub const fn lengths(profile: SrtpProfile) -> Option<(usize, usize)> {
    match profile.0 {
        0x0001 | 0x0002 => Some((16, 14)),
        0x0007 => Some((16, 12)),
        0x0008 => Some((32, 12)),
        _ => None,
    }
}

/// Master key and master salt of each direction; wiped when dropped.
#[expect(clippy::exhaustive_structs, reason = "two directions there are")]
pub struct Exported {
    /// Of what the DTLS client sends.
    pub client: (Zeroizing<Vec<u8>>, Zeroizing<Vec<u8>>),
    /// Of what the DTLS server sends.
    pub server: (Zeroizing<Vec<u8>>, Zeroizing<Vec<u8>>),
}

/// Keys stay secret.
impl std::fmt::Debug for Exported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Exported")
    }
}

/// Exports the keys for `profile`. `None` when the key log lacks the secret for this version, or the version, the suite or the
/// profile is none that is known here.
pub fn export(
    version: ProtocolVersion,
    suite: CipherSuite,
    secrets: &Secrets,
    client_random: &Random,
    server_random: &Random,
    profile: SrtpProfile,
) -> Option<Exported> {
    let (key, salt) = lengths(profile)?;
    let wanted = key.checked_add(salt)?.checked_mul(2)?;
    let material = match version {
        ProtocolVersion::DTLS_1_2 => {
            let master = secrets.master.as_ref()?;
            let seed: [&[u8]; 2] = [client_random, server_random];
            kdf::prf(prf_hash(suite), master.bytes(), LABEL, &seed, wanted)?
        }
        _ if version.is_1_3() => {
            let hash = Suite::of(suite)?.hash;
            kdf::export_1_3(hash, secrets.exporter.as_ref()?.bytes(), Prefix::Dtls, LABEL, wanted)?
        }
        _ => return None,
    };
    split(&material, key, salt)
}

/// Client key, server key, client salt, server salt.
fn split(material: &Secret, key: usize, salt: usize) -> Option<Exported> {
    let (client_key, rest) = material.bytes().split_at_checked(key)?;
    let (server_key, rest) = rest.split_at_checked(key)?;
    let (client_salt, server_salt) = rest.split_at_checked(salt)?;
    let owned = |bytes: &[u8]| Zeroizing::new(bytes.to_vec());
    Some(Exported {
        client: (owned(client_key), owned(client_salt)),
        server: (owned(server_key), owned(server_salt)),
    })
}

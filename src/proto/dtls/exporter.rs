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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::hex;
    use crate::proto::tls::keylog::KeyLog;

    fn secrets(line: &str) -> (Secrets, Random) {
        let random: Random = hex(line.split(' ').nth(1).unwrap()).try_into().unwrap();
        let mut log = KeyLog::new();
        log.add(0, line.as_bytes());
        (log.find(&random).unwrap().0, random)
    }

    /// `openssl s_client -dtls1_2 -use_srtp ... -keymatexport EXTRACTOR-dtls_srtp -keymatexportlen 60 -keylogfile` of OpenSSL
    /// 3.0.19 against its `s_server`: suite, profile, key log, random of the ServerHello, what it exported.
    const SESSIONS: [(u16, u16, &str, &str, &str); 2] = [
        (
            0xc02b,
            0x0001,
            "CLIENT_RANDOM 9308e5611d3f50799fe7b27b353226eb5bc8112439bc18891f6d91d6efa739ec \
             3f73740d869100cf7d66a76683912d0e255d861d0d666c05e457584b910c5b79952ecff32c8854ac0114e95a65096887",
            "ae07ffbe85410b63fcb91478a258cdc13534 9b99bafa3defeacc8d4a9b10b37c",
            "ABB6A0A437092AED1A01C97526CD3EC83405DA0CAB9FFBC0453ECC550A95F357\
             FACC05112FDAEF343883479F3E5476CDA3583809EF610500995E6D53",
        ),
        (
            0xc02c,
            0x0007,
            "CLIENT_RANDOM c14a7fa66c62740e85490a052080ad783721a2008aaacc6c881cceabbef83b2c \
             351b0b090c6b7589f1689a27cdb55801835609b8921167f0fcf2a44cfca92c86132acf8f78dc3afc255a109a5d709ed2",
            "2cdd0abd32333b7dac1b910b665fa426944f b3d52d8e912b390387c355c4f861",
            "157C1287ADCA430CC0D31E420D0D44140AC1B804211A656611D133884FF15C73\
             28943F1482B75AD73931D354292DA98EDD643105C0EA5DDD147C9EB4",
        ),
    ];

    #[test]
    fn keys_are_those_that_openssl_exports() {
        for (suite, profile, line, server_random, exported) in SESSIONS {
            let (secrets, client) = secrets(line);
            let server: Random = hex(server_random).try_into().unwrap();
            let exported = hex(exported);
            let profile = SrtpProfile(profile);
            let version = ProtocolVersion::DTLS_1_2;
            let keys = export(version, CipherSuite(suite), &secrets, &client, &server, profile).unwrap();
            let (_, salt) = lengths(profile).unwrap();
            assert_eq!(*keys.client.0, exported[..16]);
            assert_eq!(*keys.server.0, exported[16..32]);
            assert_eq!(*keys.client.1, exported[32..32 + salt]);
            assert_eq!(*keys.server.1, exported[32 + salt..32 + 2 * salt]);
            let old = ProtocolVersion::DTLS_1_0;
            assert!(export(old, CipherSuite(suite), &secrets, &client, &server, profile).is_none());
        }
    }

    /// The same of TLS 1.3, whose exporter differs from that of DTLS 1.3 in the prefix of its labels alone.
    #[test]
    fn exporter_of_1_3_gives_what_openssl_gives() {
        let secret = hex("4df9f4761cc55e95817cc2dec742441cd3c619494871d3bdba3564b9061b98ec");
        let exported = hex("006392AE357FD12EF4B88F0C05C3A592CA120F0DC088CC243849735AF2E4038B\
             9FA05E9DA72891ABAB92A9A4CC7AD4476077DB235321E18204BD3960");
        let hash = kdf::Hash::Sha256;
        let keys = kdf::export_1_3(hash, &secret, Prefix::Tls, LABEL, 60).unwrap();
        assert_eq!(keys.bytes(), exported);
        let other = kdf::export_1_3(hash, &secret, Prefix::Dtls, LABEL, 60).unwrap();
        assert_ne!(other.bytes(), exported);
    }

    #[test]
    fn unknown_profiles_and_missing_secrets_give_nothing() {
        let (secrets, client) = secrets(SESSIONS[0].2);
        let export_as = |version, profile| {
            export(version, CipherSuite(0xc02b), &secrets, &client, &[0; 32], SrtpProfile(profile))
        };
        assert!(export_as(ProtocolVersion::DTLS_1_2, 0x0001).is_some());
        assert!(export_as(ProtocolVersion::DTLS_1_2, 0x0005).is_none());
        assert!(export_as(ProtocolVersion::DTLS_1_3, 0x0001).is_none());
    }
}

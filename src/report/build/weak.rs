//! What is weak in a handshake. In: what was agreed and shown. Out: the names of findings, each with its sentence.
//!
//! The lines are drawn by RFC 9325 (versions, suites, key sizes), RFC 8996 (TLS before 1.2), RFC 7465 (RC4), RFC 9155
//! (SHA-1) and RFC 9525 (names).

use super::super::time;
use super::signalling::Hello;
use crate::observe::facts::CertificateBody;
use crate::proto::tls::{CipherSuite, ProtocolVersion};

/// Fewest bits of an RSA key. RFC 9325 section 4.5.
const RSA_BITS: u32 = 2048;
/// Fewest bits of a key on a curve: 112 bits of strength. RFC 9325 section 4.5.
const CURVE_BITS: u32 = 224;

/// The weaknesses of one handshake.
pub(super) fn faults(hello: &Hello<'_>) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    if hello.chosen {
        found.extend(version(hello));
        found.extend(suite(hello));
    }
    if let Some(leaf) = hello.chain.first()
        && !hello.own_certificate
    {
        certificate(hello, leaf, &mut found);
    }
    found
}

fn version(hello: &Hello<'_>) -> Option<(&'static str, String)> {
    let version = ProtocolVersion(hello.version?);
    let old = if version.is_datagram() {
        version.0 == ProtocolVersion::DTLS_1_0.0 || version.0 == ProtocolVersion::DTLS_PRE_1_0.0
    } else {
        version.0 < ProtocolVersion::TLS_1_2.0
    };
    old.then(|| {
        ("tls_version_old", format!("chose {version}, which RFC 8996 has forbidden since March 2021"))
    })
}

fn suite(hello: &Hello<'_>) -> Option<(&'static str, String)> {
    let suite = CipherSuite(hello.suite?);
    let name = suite.name()?;
    let has = |part: &str| name.contains(part);
    // Nobody needs a key, or anybody could have stood in the middle.
    if suite.is_cleartext() || has("_EXPORT") || has("_anon_") {
        return Some(("cipher_suite_open", format!("chose {name}, which protects nothing")));
    }
    if has("RC4") || has("3DES") || has("_DES_") || has("RC2") {
        return Some(("cipher_suite_weak", format!("chose {name}, a weak cipher")));
    }
    (forward_secrecy(hello) == Some(false)).then(|| {
        let why = "without forward secrecy: whoever gets the server's key later can open a recording";
        ("no_forward_secrecy", format!("chose {name}, {why}"))
    })
}

/// Whether the key exchange leaves nothing that opens a recording later; none where no known suite was chosen.
pub(super) fn forward_secrecy(hello: &Hello<'_>) -> Option<bool> {
    if !hello.chosen {
        return None;
    }
    if hello.version.is_some_and(|version| ProtocolVersion(version).is_1_3()) {
        return Some(true);
    }
    let name = CipherSuite(hello.suite?).name()?;
    Some(name.contains("DHE_") || name.contains("_anon_"))
}

fn certificate(hello: &Hello<'_>, leaf: &CertificateBody, found: &mut Vec<(&'static str, String)>) {
    let whose = leaf.subject_cn.as_ref().map(|name| format!(" for {name}")).unwrap_or_default();
    let mut add = |id, what: String| found.push((id, format!("showed a certificate{whose} {what}")));
    if leaf.self_signed {
        add("certificate_self_signed", "that it signed itself".to_owned());
    }
    if leaf.not_after < hello.seen {
        let end = time::eve_seconds(leaf.not_after);
        let day = end.split('T').next().unwrap_or(&end);
        add("certificate_expired", format!("that had expired (on {day}) when it was seen"));
    }
    if leaf.not_before > hello.seen {
        let begin = time::eve_seconds(leaf.not_before);
        add("certificate_not_yet_valid", format!("that is valid only from {begin}"));
    }
    if let Some(bits) = leaf.key_bits {
        let rsa = leaf.key_algorithm.starts_with("rsa") && bits < RSA_BITS;
        let curve = leaf.key_algorithm.starts_with("ecPublicKey") && bits < CURVE_BITS;
        if rsa || curve {
            add("certificate_key_small", format!("whose key has {bits} bits ({})", leaf.key_algorithm));
        }
    }
    let signature = leaf.signature_algorithm.to_ascii_lowercase();
    if signature.contains("sha1") || signature.contains("md5") {
        add("certificate_signature_weak", format!("signed with {}", leaf.signature_algorithm));
    }
    if let Some(name) = hello.sni.filter(|name| name_matches(name, leaf) == Some(false)) {
        add("certificate_name_mismatch", format!("that does not name {name}, which was asked for"));
    }
}

/// Whether a certificate names a host: RFC 9525 section 6.3, and the common name where there is no alternative name, which
/// clients of old accepted. None where names were left out.
pub(super) fn name_matches(host: &str, leaf: &CertificateBody) -> Option<bool> {
    let host = host.to_ascii_lowercase();
    let common = leaf.subject_cn.iter().filter(|_| leaf.dns_names.is_empty());
    if leaf.dns_names.iter().chain(common).any(|pattern| matches(&pattern.to_ascii_lowercase(), &host)) {
        return Some(true);
    }
    (leaf.dns_names_left_out == 0).then_some(false)
}

/// A wildcard stands for the whole leftmost label and for no more.
fn matches(pattern: &str, host: &str) -> bool {
    let pattern = pattern.trim_end_matches('.');
    match pattern.strip_prefix("*.") {
        Some(parent) => host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent),
        None => pattern == host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::PacketRef;

    fn hello(version: u16, suite: u16) -> Hello<'static> {
        Hello {
            transport: "tls",
            endpoint_answers: false,
            sni: None,
            version: Some(version),
            chosen: true,
            suite: Some(suite),
            group: None,
            resumed: false,
            ech: false,
            chain: &[],
            own_certificate: false,
            packet: PacketRef::new(0, 1),
            seen: 0,
        }
    }

    fn ids(version: u16, suite: u16) -> Vec<&'static str> {
        faults(&hello(version, suite)).into_iter().map(|(id, _)| id).collect()
    }

    #[test]
    fn old_versions_and_weak_suites_are_told() {
        // Code points of the IANA registry.
        assert_eq!(ids(0x0303, 0xc02f), [""; 0]);
        assert_eq!(ids(0x0304, 0x1301), [""; 0]);
        assert_eq!(ids(0x0301, 0xc013), ["tls_version_old"]);
        assert_eq!(ids(0xfeff, 0xc013), ["tls_version_old"]);
        assert_eq!(ids(0xfefd, 0xc02b), [""; 0]);
        assert_eq!(ids(0x0303, 0x0005), ["cipher_suite_weak"]);
        assert_eq!(ids(0x0303, 0x000a), ["cipher_suite_weak"]);
        assert_eq!(ids(0x0303, 0x009c), ["no_forward_secrecy"]);
        assert_eq!(ids(0x0303, 0x003b), ["cipher_suite_open"], "RSA_WITH_NULL_SHA256");
        assert_eq!(ids(0x0303, 0x0003), ["cipher_suite_open"], "RSA_EXPORT_WITH_RC4_40_MD5");
        assert_eq!(ids(0x0303, 0x0034), ["cipher_suite_open"], "DH_anon_WITH_AES_128_CBC_SHA");
        let offered = Hello { chosen: false, ..hello(0x0301, 0x0005) };
        assert!(faults(&offered).is_empty(), "an offer alone is no choice");
    }

    #[test]
    fn names_match_as_rfc_9525_has_it() {
        let leaf = |names: &[&str], cn: &str, left_out| CertificateBody {
            subject_cn: Some(cn.to_owned()),
            dns_names: names.iter().map(|name| (*name).to_owned()).collect(),
            dns_names_left_out: left_out,
            ..CertificateBody::default()
        };
        let zoom = leaf(&["*.zoom.us", "zoom.us"], "*.zoom.us", 0);
        assert_eq!(name_matches("zoomam104zc.zoom.us", &zoom), Some(true));
        assert_eq!(name_matches("ZOOM.us", &zoom), Some(true));
        assert_eq!(name_matches("a.b.zoom.us", &zoom), Some(false), "one label only");
        assert_eq!(name_matches("evilzoom.us", &zoom), Some(false));
        assert_eq!(name_matches("a.example", &leaf(&[], "*.example", 0)), Some(true), "no alternative name");
        assert_eq!(name_matches("a.example", &leaf(&["b.example"], "a.example", 0)), Some(false));
        assert_eq!(name_matches("a.example", &leaf(&["b.example"], "x", 3)), None, "names were left out");
    }

    #[test]
    fn small_keys_and_old_signatures_are_told() {
        let body = CertificateBody {
            key_algorithm: "rsaEncryption".to_owned(),
            key_bits: Some(1024),
            signature_algorithm: "sha1WithRSAEncryption".to_owned(),
            not_before: -1,
            not_after: 1,
            ..CertificateBody::default()
        };
        let mut found = Vec::new();
        certificate(&hello(0x0303, 0xc02f), &body, &mut found);
        let ids: Vec<_> = found.into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, ["certificate_key_small", "certificate_signature_weak"]);
    }
}

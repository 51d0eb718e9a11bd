//! A DTLS 1.2 handshake with `use_srtp` (RFC 6347, RFC 5246, RFC 5764), both ends of it: ECDHE on X25519 with ECDSA
//! certificates on P-256, AES-GCM, extended master secret (RFC 7627).
//!
//! rustls has no DTLS, and the crates that have it stamp the wall clock into their randoms. All chance is seeded here,
//! and ECDSA is deterministic (RFC 6979). Fit for nothing but captures: neither end checks the other.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use anyhow::Result;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use rcgen::{CertificateParams, DnType, PKCS_ECDSA_P256_SHA256, SerialNumber, date_time_ymd};
use sha2::{Digest, Sha256, Sha384};

use crate::hex;
use crate::mac::{hmac_sha256, hmac_sha384};
use crate::rng::Rng;
use crate::tcp::Side;

/// `SRTP_AES128_CM_HMAC_SHA1_80`.
pub(crate) const AES_CM: u16 = 1;
/// `SRTP_AEAD_AES_128_GCM`.
pub(crate) const AEAD_AES_128: u16 = 7;
/// `SRTP_AEAD_AES_256_GCM`.
pub(crate) const AEAD_AES_256: u16 = 8;

/// DTLS 1.2 and, for the first messages, DTLS 1.0.
const VERSION: [u8; 2] = [0xfe, 0xfd];
const FIRST_VERSION: [u8; 2] = [0xfe, 0xff];
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
/// Most bytes of a datagram here.
const DATAGRAM: usize = 1_200;
/// `ecdsa_secp256r1_sha256`.
const ECDSA_P256_SHA256: [u8; 2] = [4, 3];

/// The cipher suite that the server chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Suite {
    /// `TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256` (c02b).
    Aes128,
    /// `TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384` (c02c).
    Aes256,
}

/// What a handshake is to be like.
pub(crate) struct Plan<'a> {
    /// Seeds all chance.
    pub(crate) label: &'a str,
    pub(crate) suite: Suite,
    /// Profiles that the client offers, and the one that the server takes.
    pub(crate) offered: &'a [u16],
    pub(crate) profile: u16,
    /// Most bytes of a handshake message in one record; longer ones are cut (RFC 6347 §4.2.3).
    pub(crate) fragment: usize,
}

/// A finished handshake.
pub(crate) struct Handshake {
    /// The datagrams of each flight; [`Side::Client`] is the DTLS client.
    pub(crate) flights: Vec<(Side, Vec<Vec<u8>>)>,
    /// `close_notify` of client and server.
    pub(crate) close: [Vec<u8>; 2],
    /// A line of a key log.
    pub(crate) key_log: String,
    /// Master key and master salt of what client and server send.
    pub(crate) srtp: [(Vec<u8>, Vec<u8>); 2],
}

/// The certificate that an end shows, and its key.
pub(crate) struct Identity {
    key: SigningKey,
    public: Vec<u8>,
    certificate: Vec<u8>,
}

impl Identity {
    /// A self-signed certificate, as browsers make them for a call.
    pub(crate) fn new(label: &str, year: i32) -> Result<Self> {
        let mut rng = Rng::named(&format!("identity {label}"));
        let key = SigningKey::from_slice(&rng.array::<32>())?;
        let public = key.verifying_key().to_sec1_point(false).as_bytes().to_vec();
        let mut identity = Self { key, public, certificate: Vec::new() };
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "WebRTC");
        params.serial_number = Some(SerialNumber::from_slice(&[&[0x4d], &rng.array::<7>()[..]].concat()));
        params.not_before = date_time_ymd(year, 1, 1);
        params.not_after = date_time_ymd(year + 1, 1, 1);
        identity.certificate = params.self_signed(&identity)?.der().to_vec();
        Ok(identity)
    }

    /// The fingerprint as SDP has it (RFC 8122 §5).
    pub(crate) fn fingerprint(&self) -> String {
        let digest = Sha256::digest(&self.certificate);
        let bytes: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
        format!("sha-256 {}", bytes.join(":"))
    }

    fn signature(&self, message: &[u8]) -> Vec<u8> {
        let signature: Signature = self.key.sign(message);
        let der = signature.to_der();
        [&ECDSA_P256_SHA256[..], &counted16(der.as_bytes())].concat()
    }
}

impl rcgen::PublicKeyData for Identity {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for Identity {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature: Signature = self.key.sign(message);
        Ok(signature.to_der().as_bytes().to_vec())
    }
}

/// One end's numbers and secrets.
struct End {
    random: [u8; 32],
    scalar: [u8; 32],
    public: [u8; 32],
    message: u16,
    record: u64,
    /// Keys of what this end sends: cipher and fixed part of the nonce.
    seal: Option<(Vec<u8>, [u8; 4])>,
    sealed: u64,
}

impl End {
    fn new(rng: &mut Rng) -> Self {
        let (random, scalar) = (rng.array(), rng.array());
        let public = x25519_dalek::x25519(scalar, x25519_dalek::X25519_BASEPOINT_BYTES);
        Self { random, scalar, public, message: 0, record: 0, seal: None, sealed: 0 }
    }
}

struct Run<'a> {
    plan: &'a Plan<'a>,
    ends: [End; 2],
    transcript: Vec<u8>,
    flights: Vec<(Side, Vec<Vec<u8>>)>,
    /// Records of the flight in the making.
    records: Vec<Vec<u8>>,
}

impl Plan<'_> {
    /// The whole handshake between the two ends.
    pub(crate) fn run(&self, client: &Identity, server: &Identity) -> Handshake {
        let mut rng = Rng::named(&format!("dtls {}", self.label));
        let ends = [End::new(&mut rng), End::new(&mut rng)];
        let cookie: [u8; 20] = rng.array();
        let mut run =
            Run { plan: self, ends, transcript: Vec::new(), flights: Vec::new(), records: Vec::new() };
        run.hellos(&cookie);
        run.server_flight(server);
        let master = run.client_flight(client);
        run.finish(&master);
        run.into_handshake(&master)
    }

    fn hash(&self, message: &[u8]) -> Vec<u8> {
        match self.suite {
            Suite::Aes128 => Sha256::digest(message).to_vec(),
            Suite::Aes256 => Sha384::digest(message).to_vec(),
        }
    }

    fn hmac(&self, key: &[u8], message: &[u8]) -> Vec<u8> {
        match self.suite {
            Suite::Aes128 => hmac_sha256(key, message).to_vec(),
            Suite::Aes256 => hmac_sha384(key, message).to_vec(),
        }
    }

    /// The PRF of RFC 5246 §5 with the hash of the suite.
    fn prf(&self, secret: &[u8], label: &str, seed: &[u8], length: usize) -> Vec<u8> {
        let seed = [label.as_bytes(), seed].concat();
        let (mut link, mut out) = (seed.clone(), Vec::new());
        while out.len() < length {
            link = self.hmac(secret, &link);
            out.extend(self.hmac(secret, &[link.as_slice(), &seed].concat()));
        }
        out.truncate(length);
        out
    }
}

impl Run<'_> {
    /// `ClientHello`, `HelloVerifyRequest`, and the `ClientHello` with the cookie, which alone counts.
    fn hellos(&mut self, cookie: &[u8]) {
        let hello = self.client_hello(&[]);
        self.message(Side::Client, FIRST_VERSION, 1, &hello);
        self.flush(Side::Client);
        let verify = [&FIRST_VERSION[..], &counted8(cookie)].concat();
        self.message(Side::Server, FIRST_VERSION, 3, &verify);
        self.flush(Side::Server);
        self.transcript.clear();
        let hello = self.client_hello(cookie);
        self.message(Side::Client, VERSION, 1, &hello);
        self.flush(Side::Client);
    }

    fn client_hello(&self, cookie: &[u8]) -> Vec<u8> {
        let profiles: Vec<u8> = self.plan.offered.iter().flat_map(|profile| profile.to_be_bytes()).collect();
        let extensions = [
            extension(23, &[]),
            extension(0xff01, &[0]),
            extension(10, &counted16(&[0, 0x1d, 0, 0x17])),
            extension(11, &[1, 0]),
            extension(13, &counted16(&[4, 3, 8, 4, 4, 1, 5, 3, 8, 5, 5, 1])),
            extension(14, &[counted16(&profiles), vec![0]].concat()),
        ];
        [
            &VERSION[..],
            &self.ends[0].random,
            &[0],
            &counted8(cookie),
            &counted16(&[0xc0, 0x2b, 0xc0, 0x2f, 0xc0, 0x2c, 0xc0, 0x30]),
            &[1, 0],
            &counted16(&extensions.concat()),
        ]
        .concat()
    }

    /// `ServerHello` to `ServerHelloDone`.
    fn server_flight(&mut self, identity: &Identity) {
        let suite = match self.plan.suite {
            Suite::Aes128 => [0xc0, 0x2b],
            Suite::Aes256 => [0xc0, 0x2c],
        };
        let profile = self.plan.profile.to_be_bytes();
        let extensions = [
            extension(23, &[]),
            extension(0xff01, &[0]),
            extension(11, &[1, 0]),
            extension(14, &[counted16(&profile), vec![0]].concat()),
        ];
        let hello =
            [&VERSION[..], &self.ends[1].random, &[0], &suite, &[0], &counted16(&extensions.concat())]
                .concat();
        let share = [&[3, 0, 0x1d][..], &counted8(&self.ends[1].public)].concat();
        let signed = [&self.ends[0].random[..], &self.ends[1].random, &share].concat();
        let key_exchange = [share, identity.signature(&signed)].concat();
        // One certificate type, ecdsa_sign; one signature algorithm; any issuer.
        let request = [&[1, 64][..], &counted16(&ECDSA_P256_SHA256), &[0, 0]].concat();
        for (kind, body) in [
            (2, hello),
            (11, certificate_list(&identity.certificate)),
            (12, key_exchange),
            (13, request),
            (14, Vec::new()),
        ] {
            self.message(Side::Server, VERSION, kind, &body);
        }
        self.flush(Side::Server);
    }

    /// Certificate to `CertificateVerify`; returns the master secret.
    fn client_flight(&mut self, identity: &Identity) -> Vec<u8> {
        self.message(Side::Client, VERSION, 11, &certificate_list(&identity.certificate));
        let share = counted8(&self.ends[0].public);
        self.message(Side::Client, VERSION, 16, &share);
        let premaster = x25519_dalek::x25519(self.ends[0].scalar, self.ends[1].public);
        let session = self.plan.hash(&self.transcript);
        let master = self.plan.prf(&premaster, "extended master secret", &session, 48);
        let proof = identity.signature(&self.transcript);
        self.message(Side::Client, VERSION, 15, &proof);
        master
    }

    /// `ChangeCipherSpec` and Finished of both.
    fn finish(&mut self, master: &[u8]) {
        let key = if self.plan.suite == Suite::Aes128 { 16 } else { 32 };
        let seed = [self.ends[1].random, self.ends[0].random].concat();
        let block = self.plan.prf(master, "key expansion", &seed, 2 * key + 8);
        for (side, label) in [(Side::Client, "client finished"), (Side::Server, "server finished")] {
            let (record, number) = (&[1][..], index(side));
            let plain = self.plain_record(side, VERSION, CHANGE_CIPHER_SPEC, record);
            self.records.push(plain);
            let mut fixed = [0; 4];
            fixed.copy_from_slice(&block[2 * key + 4 * number..][..4]);
            self.ends[number].seal = Some((block[key * number..][..key].to_vec(), fixed));
            let proof = self.plan.prf(master, label, &self.plan.hash(&self.transcript), 12);
            self.message(side, VERSION, 20, &proof);
            self.flush(side);
        }
    }

    fn into_handshake(mut self, master: &[u8]) -> Handshake {
        let close = [Side::Client, Side::Server].map(|side| self.sealed_record(side, ALERT, &[1, 0]));
        let (key, salt) = match self.plan.profile {
            AES_CM => (16, 14),
            AEAD_AES_128 => (16, 12),
            _ => (32, 12),
        };
        let randoms = [self.ends[0].random, self.ends[1].random].concat();
        let exported = self.plan.prf(master, "EXTRACTOR-dtls_srtp", &randoms, 2 * (key + salt));
        let part = |side: usize| {
            let salts = &exported[2 * key..];
            (exported[side * key..][..key].to_vec(), salts[side * salt..][..salt].to_vec())
        };
        Handshake {
            srtp: [part(0), part(1)],
            key_log: format!("CLIENT_RANDOM {} {}\n", hex(&self.ends[0].random), hex(master)),
            flights: self.flights,
            close,
        }
    }

    /// Takes a handshake message into the transcript and its fragments into the flight.
    fn message(&mut self, side: Side, version: [u8; 2], kind: u8, body: &[u8]) {
        let end = &mut self.ends[index(side)];
        let sequence = end.message;
        end.message += 1;
        self.transcript.extend(handshake_header(kind, sequence, body.len(), 0, body.len()));
        self.transcript.extend(body);
        let mut offset = 0;
        loop {
            let part = &body[offset..body.len().min(offset + self.plan.fragment)];
            let mut fragment = handshake_header(kind, sequence, body.len(), offset, part.len());
            fragment.extend(part);
            let record = if self.ends[index(side)].seal.is_some() {
                self.sealed_record(side, HANDSHAKE, &fragment)
            } else {
                self.plain_record(side, version, HANDSHAKE, &fragment)
            };
            self.records.push(record);
            offset += part.len();
            if offset >= body.len() {
                break;
            }
        }
    }

    fn plain_record(&mut self, side: Side, version: [u8; 2], kind: u8, body: &[u8]) -> Vec<u8> {
        let end = &mut self.ends[index(side)];
        let number = end.record;
        end.record += 1;
        [&[kind][..], &version, &number.to_be_bytes(), &counted16(body)].concat()
    }

    /// A record of epoch 1 (RFC 5288 §3, RFC 6347 §4.1.2.1).
    fn sealed_record(&mut self, side: Side, kind: u8, body: &[u8]) -> Vec<u8> {
        let end = &mut self.ends[index(side)];
        let number = (1_u64 << 48 | end.sealed).to_be_bytes();
        end.sealed += 1;
        let (key, fixed) = end.seal.as_ref().unwrap();
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(fixed);
        nonce[4..].copy_from_slice(&number);
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        let aad = [&number[..], &[kind], &VERSION, &length].concat();
        let payload = Payload { msg: body, aad: &aad };
        let sealed = match key.len() {
            16 => Aes128Gcm::new_from_slice(key).unwrap().encrypt(&nonce.into(), payload).unwrap(),
            _ => Aes256Gcm::new_from_slice(key).unwrap().encrypt(&nonce.into(), payload).unwrap(),
        };
        let body = [&number[..], &sealed].concat();
        [&[kind][..], &VERSION, &number, &counted16(&body)].concat()
    }

    /// Puts the records of a flight into datagrams.
    fn flush(&mut self, side: Side) {
        let mut datagrams: Vec<Vec<u8>> = Vec::new();
        for record in self.records.drain(..) {
            match datagrams.last_mut() {
                Some(last) if last.len() + record.len() <= DATAGRAM => last.extend(record),
                _ => datagrams.push(record),
            }
        }
        self.flights.push((side, datagrams));
    }
}

fn index(side: Side) -> usize {
    usize::from(side == Side::Server)
}

/// RFC 6347 §4.2.2.
fn handshake_header(kind: u8, sequence: u16, length: usize, offset: usize, part: usize) -> Vec<u8> {
    let number = |value: usize| u32::try_from(value).unwrap().to_be_bytes();
    [&[kind][..], &number(length)[1..], &sequence.to_be_bytes(), &number(offset)[1..], &number(part)[1..]]
        .concat()
}

fn certificate_list(certificate: &[u8]) -> Vec<u8> {
    let counted24 = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[1..], bytes].concat();
    counted24(&counted24(certificate))
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &counted16(body)].concat()
}

fn counted8(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap()][..], bytes].concat()
}

fn counted16(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

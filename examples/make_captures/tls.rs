//! Genuine TLS: a rustls client and a rustls server talk to each other in memory, and what each of them
//! writes becomes a turn of a TCP conversation.
//!
//! All randomness comes from a seed so that a capture can be made again byte for byte: hello randoms and
//! session ids through the provider's `SecureRandom`, X25519 scalars through [`SeededX25519`]. Signatures are
//! deterministic by their kind: RSA PKCS#1 v1.5 for TLS 1.2, Ed25519 for TLS 1.3 (where certificates are
//! encrypted on the wire anyway). None of this is fit for anything but captures.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SerialNumber, date_time_ymd,
};
use rustls::client::Resumption;
use rustls::crypto::{
    ActiveKeyExchange, CryptoProvider, GetRandomFailed, SecureRandom, SharedSecret, SupportedKxGroup, ring,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::time_provider::TimeProvider;
use rustls::{
    ClientConfig, ClientConnection, Error, KeyLog, NamedGroup, RootCertStore, ServerConfig, ServerConnection,
    SignatureAlgorithm, SignatureScheme, SupportedCipherSuite, SupportedProtocolVersion, version,
};

use crate::net::{MS, US};
use crate::rng::Rng;
use crate::tcp::{Side, Turn};

/// Keys of the generated issuer and of all RSA servers. They protect nothing and are public on purpose.
const CA_KEY: &str = include_str!("keys/ca.pem");
const SERVER_KEY: &str = include_str!("keys/server.pem");
/// Of a year of 365.2425 days.
const SECONDS_PER_YEAR: u64 = 31_556_952;
/// PKCS#8 head of an Ed25519 private key (RFC 8410); the 32-byte seed follows.
const ED25519_HEAD: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// What a server is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Server<'a> {
    /// The name in the ClientHello.
    pub(crate) sni: &'a str,
    /// Common name of the certificate and its first alternative name.
    pub(crate) common_name: &'a str,
    pub(crate) organization: &'a str,
    pub(crate) flavour: Flavour,
    pub(crate) alpn: Option<&'a str>,
}

/// Which TLS a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// TLS 1.2, ECDHE-RSA with AES-128-GCM (c02f), as the controllers of 2019 chose.
    Tls12Aes128,
    /// TLS 1.2, ECDHE-RSA with AES-256-GCM (c030).
    Tls12Aes256,
    /// TLS 1.2, ECDHE-RSA with ChaCha20-Poly1305 (cca8).
    Tls12ChaCha20,
    /// TLS 1.3 with all its suites, of which AES-256-GCM (1302) comes first.
    Tls13,
    /// TLS 1.3 with AES-128-GCM (1301).
    Tls13Aes128,
    /// TLS 1.3 with ChaCha20-Poly1305 (1303).
    Tls13ChaCha20,
}

impl Flavour {
    fn is_13(self) -> bool {
        matches!(self, Self::Tls13 | Self::Tls13Aes128 | Self::Tls13ChaCha20)
    }

    /// The suites that a server of this kind has.
    fn suites(self) -> Vec<SupportedCipherSuite> {
        match self {
            Self::Tls12Aes128 => vec![ring::cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256],
            Self::Tls12Aes256 => vec![ring::cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384],
            Self::Tls12ChaCha20 => vec![ring::cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256],
            Self::Tls13 => ring::ALL_CIPHER_SUITES.to_vec(),
            Self::Tls13Aes128 => vec![ring::cipher_suite::TLS13_AES_128_GCM_SHA256],
            Self::Tls13ChaCha20 => vec![ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256],
        }
    }
}

/// Application data: who, what, and after how long a pause.
pub(crate) struct Said {
    pub(crate) from: Side,
    pub(crate) bytes: Vec<u8>,
    pub(crate) think: u64,
}

impl Said {
    pub(crate) fn new(from: Side, think_ms: u64, bytes: impl Into<Vec<u8>>) -> Self {
        Self { from, bytes: bytes.into(), think: think_ms * MS }
    }
}

/// The issuer of all certificates of one capture, its randomness and its key log.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    key_log: Arc<Lines>,
    random: &'static SeededRandom,
    group: &'static SeededX25519,
    now: UnixTime,
}

impl Authority {
    /// An issuer for the capture called `label`, at `now` in seconds since 1970.
    pub(crate) fn new(label: &str, now: u64) -> Result<Self> {
        let key = KeyPair::from_pem(CA_KEY).context("reading the issuer's key")?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "meetscope generated issuer (no real authority)");
        params.distinguished_name.push(DnType::OrganizationName, "meetscope captures");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.serial_number = Some(SerialNumber::from_slice(&[1]));
        params.not_before = date_time_ymd(2015, 1, 1);
        params.not_after = date_time_ymd(2035, 1, 1);
        let certificate = params.self_signed(&key)?.der().clone();
        // A CryptoProvider wants statics; a generator runs once and may leak two small things.
        let random: &'static SeededRandom =
            Box::leak(Box::new(SeededRandom(Mutex::new(Rng::named(&format!("{label} tls"))))));
        let group = Box::leak(Box::new(SeededX25519(random)));
        let issuer = Issuer::new(params, key);
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now));
        Ok(Self { issuer, certificate, key_log: Arc::default(), random, group, now })
    }

    /// The key log of all sessions so far, in NSS form.
    pub(crate) fn key_log(&self) -> String {
        let lines = self.key_log.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }

    /// Handshake, application data and closing alerts of one session.
    pub(crate) fn session(&self, server: &Server<'_>, said: &[Said]) -> Result<Vec<Turn>> {
        let name = ServerName::try_from(server.sni.to_owned())?;
        let mut client = ClientConnection::new(Arc::new(self.client_config(server)?), name)?;
        let mut host = ServerConnection::new(Arc::new(self.server_config(server)?))?;
        let mut turns = Vec::new();
        loop {
            let spoke = pump_client(&mut client, &mut host, &mut turns, 600 * US)?;
            let answered = pump_server(&mut client, &mut host, &mut turns, 900 * US)?;
            if !spoke && !answered {
                break;
            }
        }
        for part in said {
            match part.from {
                Side::Client => {
                    std::io::Write::write_all(&mut client.writer(), &part.bytes)?;
                    pump_client(&mut client, &mut host, &mut turns, part.think)?;
                }
                Side::Server => {
                    std::io::Write::write_all(&mut host.writer(), &part.bytes)?;
                    pump_server(&mut client, &mut host, &mut turns, part.think)?;
                }
            }
        }
        client.send_close_notify();
        pump_client(&mut client, &mut host, &mut turns, 30 * MS)?;
        Ok(turns)
    }

    fn client_config(&self, server: &Server<'_>) -> Result<ClientConfig> {
        let (versions, provider): (&[&SupportedProtocolVersion], _) = if server.flavour.is_13() {
            (&[&version::TLS13, &version::TLS12], ring::ALL_CIPHER_SUITES.to_vec())
        } else {
            (&[&version::TLS12], TLS12_OFFER.to_vec())
        };
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone())?;
        let provider = self.provider(provider, &[ring::kx_group::SECP256R1, ring::kx_group::SECP384R1]);
        let mut config = ClientConfig::builder_with_details(provider, Arc::new(Frozen(self.now)))
            .with_protocol_versions(versions)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        config.key_log = self.key_log.clone();
        config.alpn_protocols = server.alpn.iter().map(|alpn| alpn.as_bytes().to_vec()).collect();
        Ok(config)
    }

    fn server_config(&self, server: &Server<'_>) -> Result<ServerConfig> {
        let versions: &[&SupportedProtocolVersion] =
            if server.flavour.is_13() { &[&version::TLS13] } else { &[&version::TLS12] };
        let certified = self.certify(server)?;
        let mut config = ServerConfig::builder_with_details(
            self.provider(server.flavour.suites(), &[]),
            Arc::new(Frozen(self.now)),
        )
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(One(Arc::new(certified))));
        config.alpn_protocols = server.alpn.iter().map(|alpn| alpn.as_bytes().to_vec()).collect();
        Ok(config)
    }

    fn provider(
        &self,
        cipher_suites: Vec<SupportedCipherSuite>,
        further_groups: &[&'static dyn SupportedKxGroup],
    ) -> Arc<CryptoProvider> {
        let mut kx_groups: Vec<&'static dyn SupportedKxGroup> = vec![self.group];
        kx_groups.extend(further_groups);
        Arc::new(CryptoProvider {
            cipher_suites,
            kx_groups,
            secure_random: self.random,
            ..ring::default_provider()
        })
    }

    fn certify(&self, server: &Server<'_>) -> Result<CertifiedKey> {
        let mut random = Rng::named(&format!("certificate {}", server.common_name));
        let key = if server.flavour.is_13() {
            let mut der = ED25519_HEAD.to_vec();
            der.extend(random.array::<32>());
            KeyPair::try_from(der.as_slice())?
        } else {
            KeyPair::from_pem(SERVER_KEY).context("reading the servers' key")?
        };
        let bare = server.common_name.trim_start_matches("*.");
        let mut params = CertificateParams::new(vec![server.common_name.to_owned(), bare.to_owned()])?;
        if bare == server.common_name {
            params.subject_alt_names.truncate(1);
        }
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, server.common_name);
        params.distinguished_name.push(DnType::OrganizationName, server.organization);
        let mut serial = random.array::<8>();
        serial[0] = 0x4d;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let year = 1970 + i32::try_from(self.now.as_secs() / SECONDS_PER_YEAR)?;
        params.not_before = date_time_ymd(year - 1, 6, 1);
        params.not_after = date_time_ymd(year + 1, 6, 1);
        let certificate = params.signed_by(&key, &self.issuer)?.der().clone();
        let secret = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let key = Arc::new(Deterministic(ring::sign::any_supported_type(&secret)?));
        Ok(CertifiedKey::new(vec![certificate, self.certificate.clone()], key))
    }
}

const TLS12_OFFER: [SupportedCipherSuite; 6] = [
    ring::cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ring::cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ring::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ring::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ring::cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ring::cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
];

fn pump_client(
    client: &mut ClientConnection,
    server: &mut ServerConnection,
    turns: &mut Vec<Turn>,
    think: u64,
) -> Result<bool> {
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes)?;
    }
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        server.read_tls(&mut rest)?;
        server.process_new_packets()?;
        drain(&mut server.reader());
    }
    Ok(push(turns, Side::Client, bytes, think))
}

fn pump_server(
    client: &mut ClientConnection,
    server: &mut ServerConnection,
    turns: &mut Vec<Turn>,
    think: u64,
) -> Result<bool> {
    let mut bytes = Vec::new();
    while server.wants_write() {
        server.write_tls(&mut bytes)?;
    }
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        client.read_tls(&mut rest)?;
        client.process_new_packets()?;
        drain(&mut client.reader());
    }
    Ok(push(turns, Side::Server, bytes, think))
}

/// Throws received plaintext away, or the connection would stop reading when its buffer is full.
fn drain(reader: &mut impl std::io::Read) {
    let mut sink = [0; 4096];
    while reader.read(&mut sink).is_ok_and(|read| read > 0) {}
}

fn push(turns: &mut Vec<Turn>, from: Side, bytes: Vec<u8>, think: u64) -> bool {
    if bytes.is_empty() {
        return false;
    }
    turns.push(Turn { from, bytes, think });
    true
}

#[derive(Debug, Default)]
struct Lines(Mutex<Vec<String>>);

impl KeyLog for Lines {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let line = format!("{label} {} {}", crate::hex(client_random), crate::hex(secret));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

#[derive(Debug)]
struct Frozen(UnixTime);

impl TimeProvider for Frozen {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.0)
    }
}

#[derive(Debug)]
struct SeededRandom(Mutex<Rng>);

impl SecureRandom for SeededRandom {
    fn fill(&self, buf: &mut [u8]) -> Result<(), GetRandomFailed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill(buf);
        Ok(())
    }
}

/// X25519 whose scalars come from the seed.
#[derive(Debug)]
struct SeededX25519(&'static SeededRandom);

impl SupportedKxGroup for SeededX25519 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut scalar = [0; 32];
        self.0.fill(&mut scalar)?;
        let public = x25519_dalek::x25519(scalar, x25519_dalek::X25519_BASEPOINT_BYTES);
        Ok(Box::new(Exchange { scalar, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

struct Exchange {
    scalar: [u8; 32],
    public: [u8; 32],
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer_pub_key: &[u8]) -> Result<SharedSecret, Error> {
        let peer: [u8; 32] =
            peer_pub_key.try_into().map_err(|_| Error::General("X25519 share of a wrong size".to_owned()))?;
        Ok(SharedSecret::from(&x25519_dalek::x25519(self.scalar, peer)[..]))
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

/// Never signs with PSS, whose salt ring draws from the system.
#[derive(Debug)]
struct Deterministic(Arc<dyn SigningKey>);

impl SigningKey for Deterministic {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let allowed =
            [SignatureScheme::RSA_PKCS1_SHA512, SignatureScheme::RSA_PKCS1_SHA256, SignatureScheme::ED25519];
        let kept: Vec<_> = allowed.into_iter().filter(|scheme| offered.contains(scheme)).collect();
        self.0.choose_scheme(&kept)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }
}

#[derive(Debug)]
struct One(Arc<CertifiedKey>);

impl ResolvesServerCert for One {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

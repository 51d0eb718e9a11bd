use std::io::{Cursor, Read, Write};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;
use crate::bytes::near::near;
use crate::crypto::hex;
use crate::proto::tls::keylog::KeyLog;
use crate::proto::tls::{ClientHello, Records, ServerHello, vectors};

/// What a record held, in a form to compare.
#[derive(Debug, PartialEq, Eq)]
enum Held {
    Handshake(Vec<u8>),
    Data(Vec<u8>),
    Alert(Vec<u8>),
    Not(Outcome),
}

fn take(opener: &mut Opener, end: End, bytes: &[u8]) -> Vec<Held> {
    let mut out = Zeroizing::new(Vec::new());
    Records::new(bytes)
        .map(|record| {
            let mut kinds = Vec::new();
            let outcome =
                opener.record(end, &record.unwrap(), &mut out, |message| kinds.push(message.kind.0));
            match outcome {
                Outcome::Opened(ContentType::HANDSHAKE) => Held::Handshake(kinds),
                Outcome::Opened(ContentType::APPLICATION_DATA) => Held::Data(out.to_vec()),
                Outcome::Opened(ContentType::ALERT) => Held::Alert(out.to_vec()),
                other => Held::Not(other),
            }
        })
        .collect()
}

/// Reads the hellos at the start of both directions.
fn agreed(client: &[u8], server: &[u8]) -> Agreed {
    let record = |bytes: &[u8]| Records::new(bytes).next().unwrap().unwrap().fragment.to_vec();
    let (client, server) = (record(client), record(server));
    let client = ClientHello::parse(&client[4..]).unwrap();
    let server = ServerHello::parse(&server[4..]).unwrap();
    Agreed {
        version: server.version(),
        suite: server.cipher_suite(),
        client_random: client.random().try_into().unwrap(),
        server_random: server.random().try_into().unwrap(),
        early_data: client.has_early_data(),
    }
}

/// RFC 8448 section 3 as a key log would have it.
const LOG: &str = "\
CLIENT_HANDSHAKE_TRAFFIC_SECRET cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece7 \
b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21
SERVER_HANDSHAKE_TRAFFIC_SECRET cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece7 \
b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38
CLIENT_TRAFFIC_SECRET_0 cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece7 \
9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5
SERVER_TRAFFIC_SECRET_0 cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece7 \
a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643
";

const SERVER_FLIGHT: &str = "17030302a2d1ff334a56f5bff6594a07cc87b580233f500f45e489e7f33af35edf7869fcf40aa40aa2b8\
    ea73f848a7ca07612ef9f945cb960b4068905123ea78b111b429ba9191cd05d2a389280f526134aadc7fc78c4b729df828b5ecf7b13bd9ae\
    fb0e57f271585b8ea9bb355c7c79020716cfb9b1183ef3ab20e37d57a6b9d7477609aee6e122a4cf51427325250c7d0e509289444c9b3a64\
    8f1d71035d2ed65b0e3cdd0cbae8bf2d0b227812cbb360987255cc744110c453baa4fcd610928d809810e4b7ed1a8fd991f06aa624820479\
    7e36a6a73b70a2559c09ead686945ba246ab66e5edd8044b4c6de3fcf2a89441ac66272fd8fb330ef8190579b3684596c960bd596eea520a\
    56a8d650f563aad27409960dca63d3e688611ea5e22f4415cf9538d51a200c27034272968a264ed6540c84838d89f72c24461aad6d26f59e\
    caba9acbbb317b66d902f4f292a36ac1b639c637ce343117b659622245317b49eeda0c6258f100d7d961ffb138647e92ea330faeea6dfa31\
    c7a84dc3bd7e1b7a6c7178af36879018e3f252107f243d243dc7339d5684c8b0378bf30244da8c87c843f5e56eb4c5e8280a2b48052cf93b\
    16499a66db7cca71e4599426f7d461e66f99882bd89fc50800becca62d6c74116dbd2972fda1fa80f85df881edbe5a37668936b335583b59\
    9186dc5c6918a396fa48a181d6b6fa4f9d62d513afbb992f2b992f67f8afe67f76913fa388cb5630c8ca01e0c65d11c66a1e2ac4c85977b7\
    c7a6999bbf10dc35ae69f5515614636c0b9b68c19ed2e31c0b3b66763038ebba42f3b38edc0399f3a9f23faa63978c317fc9fa66a73f60f0\
    504de93b5b845e275592c12335ee340bbc4fddd502784016e4b3be7ef04dda49f4b440a30cb5d2af939828fd4ae3794e44f94df5a631ede4\
    2c1719bfdabf0253fe5175be898e750edc53370d2b";
const CLIENT_FINISHED: &str = "170303003575ec4dc238cce60b298044a71e219c56cc77b0517fe9b93c7a4bfc44d87f38f80338ac98fc4\
    6deb384bd1caeacab6867d726c40546";
const TICKET: &str = "17030300de3a6b8f90414a97d6959c3487680de5134a2b240e6cffac116e95d41d6af8f6b580dcf3d11d63c758db2\
    89a015940252f55713e061dc13e078891a38efbcf5753ad8ef170ad3c7353d16d9da773b9ca7f2b9fa1b6c0d4a3d03f75e09c30ba1e62972\
    ac46f75f7b981be63439b2999ce13064615139891d5e4c5b406f16e3fc181a77ca475840025db2f0a77f81b5ab05b94c01346755f69232c8\
    6519d86cbeeac87aac347d143f9605d64f650db4d023e70e952ca49fe5137121c74bc2697687e248746d6df353005f3bce18696129c81535\
    56b3b6c6779b37bf15985684f";
const CLIENT_DATA: &str = "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a2\
    0441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4";
const SERVER_DATA: &str = "17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602dcb5\
    01a59a8fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d";
const CLIENT_ALERT: &str = "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3";
const SERVER_ALERT: &str = "1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9";

fn rfc8448(log: &str) -> Result<Opener, Obstacle> {
    let agreed = agreed(vectors::CLIENT_HELLO_RECORD, vectors::SERVER_HELLO_RECORD);
    let mut keys = KeyLog::new();
    keys.add(0, log.as_bytes());
    Opener::new(&agreed, &keys.find(&agreed.client_random).unwrap().0)
}

#[test]
fn every_record_of_rfc8448_section_3_opens() {
    let mut opener = rfc8448(LOG).unwrap();
    assert!(!opener.is_partial());
    let payload: Vec<u8> = (0..50).collect();
    // EncryptedExtensions, Certificate, CertificateVerify, Finished.
    let flight = take(&mut opener, End::Server, &hex(SERVER_FLIGHT));
    assert_eq!(flight, [Held::Handshake(vec![8, 11, 15, 20])]);
    assert_eq!(take(&mut opener, End::Client, &hex(CLIENT_FINISHED)), [Held::Handshake(vec![20])]);
    assert_eq!(take(&mut opener, End::Server, &hex(TICKET)), [Held::Handshake(vec![4])]);
    assert_eq!(take(&mut opener, End::Client, &hex(CLIENT_DATA)), [Held::Data(payload.clone())]);
    assert_eq!(take(&mut opener, End::Server, &hex(SERVER_DATA)), [Held::Data(payload)]);
    assert_eq!(take(&mut opener, End::Client, &hex(CLIENT_ALERT)), [Held::Alert(vec![1, 0])]);
    assert_eq!(take(&mut opener, End::Server, &hex(SERVER_ALERT)), [Held::Alert(vec![1, 0])]);
    assert_eq!((opener.opened(End::Client), opener.opened(End::Server)), (3, 4));
}

#[test]
fn application_data_opens_without_the_secrets_of_the_handshake() {
    let log: Vec<&str> = LOG.lines().filter(|line| !line.contains("HANDSHAKE")).collect();
    let mut opener = rfc8448(&log.join("\n")).unwrap();
    assert!(opener.is_partial());
    assert_eq!(take(&mut opener, End::Server, &hex(SERVER_FLIGHT)), [Held::Not(Outcome::PassedOver)]);
    assert_eq!(take(&mut opener, End::Server, &hex(TICKET)), [Held::Handshake(vec![4])]);
    assert_eq!(take(&mut opener, End::Server, &hex(SERVER_DATA)), [Held::Data((0..50).collect())]);
}

#[test]
fn a_master_secret_is_of_no_use_to_tls_1_3() {
    let random = "cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece7";
    let log = format!("CLIENT_RANDOM {random} {}", "1".repeat(96));
    assert_eq!(rfc8448(&log).unwrap_err(), Obstacle::PartOfSecret);
}

#[test]
fn wrong_records_fail_until_no_more_are_tried() {
    let mut opener = rfc8448(LOG).unwrap();
    let mut wrong = hex(SERVER_FLIGHT);
    wrong[100] ^= 1;
    for _ in 0..MAX_FAILURES {
        assert!(!opener.is_given_up(End::Server));
        assert_eq!(take(&mut opener, End::Server, &wrong), [Held::Not(Outcome::Failed)]);
    }
    assert!(opener.is_given_up(End::Server) && !opener.is_given_up(End::Client));
    let flight = take(&mut opener, End::Server, &hex(SERVER_FLIGHT));
    assert_eq!(flight, [Held::Not(Outcome::PassedOver)]);
}

#[test]
fn suites_without_an_aead_cannot_be_opened() {
    let mut agreed = agreed(vectors::CLIENT_HELLO_RECORD, vectors::SERVER_HELLO_RECORD);
    for (version, suite) in [(0x0303, 0xc013), (0x0303, 0x009c), (0x0302, 0x002f), (0x0303, 0xfefe)] {
        agreed.version = ProtocolVersion(version);
        agreed.suite = CipherSuite(suite);
        let obstacle = Opener::new(&agreed, &Secrets::default()).unwrap_err();
        let expected =
            if suite == 0x009c { Obstacle::PartOfSecret } else { Obstacle::CipherSuite(CipherSuite(suite)) };
        assert_eq!(obstacle, expected);
    }
}

/// Lines as rustls hands them out.
#[derive(Debug, Default)]
struct Log(Mutex<String>);

impl rustls::KeyLog for Log {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let hex = crate::bytes::hex;
        let line = format!("{label} {} {}\r\n", hex(client_random), hex(secret));
        self.0.lock().unwrap().push_str(&line);
    }
}

/// One session of rustls with itself.
pub(crate) struct Session {
    client: rustls::ClientConnection,
    server: rustls::ServerConnection,
    log: Arc<Log>,
    /// All that the client sent, and the server.
    pub(crate) sent: [Vec<u8>; 2],
}

impl Session {
    /// The server takes the last `server_groups` key exchange groups of the client's three.
    pub(crate) fn new(suite: rustls::SupportedCipherSuite, server_groups: usize) -> Self {
        let log = Arc::new(Log::default());
        let key = rcgen::generate_simple_self_signed(["key.example".to_owned()]).unwrap();
        let mut provider = rustls::crypto::ring::default_provider();
        provider.cipher_suites = vec![suite];
        let version = [suite.version()];
        let der = key.cert.der().clone();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(der.clone()).unwrap();
        let mut client = rustls::ClientConfig::builder_with_provider(Arc::new(provider.clone()))
            .with_protocol_versions(&version)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.key_log = Arc::clone(&log) as Arc<dyn rustls::KeyLog>;
        // A server that takes none of the key shares offered asks for another ClientHello.
        let groups = provider.kx_groups.len();
        provider.kx_groups.drain(..groups - server_groups);
        let private = rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
        let server = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&version)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![der], private)
            .unwrap();
        let name = "key.example".try_into().unwrap();
        Self {
            client: rustls::ClientConnection::new(Arc::new(client), name).unwrap(),
            server: rustls::ServerConnection::new(Arc::new(server)).unwrap(),
            log,
            sent: [Vec::new(), Vec::new()],
        }
    }

    /// Carries bytes both ways until nobody has more to say.
    fn settle(&mut self) {
        loop {
            let mut from_client = Vec::new();
            while self.client.wants_write() {
                self.client.write_tls(&mut from_client).unwrap();
            }
            let mut from_server = Vec::new();
            let mut unread = Cursor::new(&from_client);
            while unread.position() < from_client.len() as u64 {
                self.server.read_tls(&mut unread).unwrap();
                self.server.process_new_packets().unwrap();
            }
            while self.server.wants_write() {
                self.server.write_tls(&mut from_server).unwrap();
            }
            let mut unread = Cursor::new(&from_server);
            while unread.position() < from_server.len() as u64 {
                self.client.read_tls(&mut unread).unwrap();
                self.client.process_new_packets().unwrap();
            }
            self.sent[0].extend(&from_client);
            self.sent[1].extend(&from_server);
            if from_client.is_empty() && from_server.is_empty() {
                return;
            }
        }
    }

    /// rustls takes no more while 16 KiB are unread.
    pub(crate) fn says(&mut self, end: End, text: &[u8]) {
        text.chunks(12_000).for_each(|piece| self.says_piece(end, piece));
    }

    fn says_piece(&mut self, end: End, text: &[u8]) {
        let mut heard = vec![0; text.len()];
        match end {
            End::Client => {
                self.client.writer().write_all(text).unwrap();
                self.settle();
                self.server.reader().read_exact(&mut heard).unwrap();
            }
            End::Server => {
                self.server.writer().write_all(text).unwrap();
                self.settle();
                self.client.reader().read_exact(&mut heard).unwrap();
            }
        }
        assert_eq!(heard, text);
    }

    /// Its key log.
    pub(crate) fn log(&self) -> String {
        self.log.0.lock().unwrap().clone()
    }

    /// What a key log opens of both directions.
    fn opened(&self, hello: &Agreed) -> [Vec<u8>; 2] {
        let mut log = KeyLog::new();
        log.add(0, self.log.0.lock().unwrap().as_bytes());
        let mut opener = Opener::new(hello, &log.find(&hello.client_random).unwrap().0).unwrap();
        assert!(!opener.is_partial());
        let mut both = [End::Client, End::Server].into_iter().zip(&self.sent).map(|(end, sent)| {
            let held = take(&mut opener, end, sent);
            assert!(!held.contains(&Held::Not(Outcome::Failed)), "{end:?}");
            held.into_iter().fold(Vec::new(), |mut data, held| {
                if let Held::Data(more) = held {
                    data.extend(more);
                }
                data
            })
        });
        [both.next().unwrap(), both.next().unwrap()]
    }
}

/// The first ServerHello in a direction that is no request to try again.
fn hello_of(sent: &[Vec<u8>; 2]) -> Agreed {
    let [client, server] = sent;
    let mut rest = server.as_slice();
    loop {
        let hello = Records::new(rest).next().unwrap().unwrap();
        if hello.content_type == ContentType::HANDSHAKE
            && !ServerHello::parse(&hello.fragment[4..]).unwrap().is_hello_retry_request()
        {
            return agreed(client, rest);
        }
        rest = &rest[hello.fragment.len() + 5..];
    }
}

#[test]
fn sessions_of_rustls_open_with_every_suite_that_it_has() {
    let suites = rustls::crypto::ring::ALL_CIPHER_SUITES;
    let mut versions = Vec::new();
    // The certificate is of an elliptic curve, which suites with RSA do not take.
    for suite in suites.iter().filter(|suite| !format!("{:?}", suite.suite()).contains("_RSA_")) {
        let mut session = Session::new(*suite, 3);
        let (question, answer) = (vec![b'q'; 40_000], b"answer".repeat(7_000));
        session.says(End::Client, &question);
        session.says(End::Server, &answer);
        let hello = hello_of(&session.sent);
        assert_eq!(session.opened(&hello), [question, answer], "{:?}", suite.suite());
        versions.push(hello.version);
    }
    assert_eq!(versions.iter().filter(|version| version.is_1_3()).count(), 3);
    assert_eq!(versions.len(), 6);
}

#[test]
fn keys_are_followed_through_updates_and_a_hello_retry() {
    let suite = rustls::crypto::ring::cipher_suite::TLS13_AES_256_GCM_SHA384;
    let mut session = Session::new(suite, 1);
    session.says(End::Client, b"one ");
    session.client.refresh_traffic_keys().unwrap();
    session.says(End::Client, b"two ");
    session.says(End::Server, b"three ");
    session.server.refresh_traffic_keys().unwrap();
    session.server.refresh_traffic_keys().unwrap();
    session.says(End::Server, b"four ");
    session.says(End::Client, b"five");
    let first = Records::new(&session.sent[1]).next().unwrap().unwrap();
    assert!(ServerHello::parse(&first.fragment[4..]).unwrap().is_hello_retry_request());
    let hello = hello_of(&session.sent);
    assert_eq!(session.opened(&hello), [b"one two five".to_vec(), b"three four ".to_vec()]);
}

proptest! {
    #[test]
    fn any_records_are_taken_without_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        is_client: bool,
        version in prop::sample::select(vec![0x0303_u16, 0x0304]),
        suite in prop::sample::select(vec![0x1301_u16, 0x1303, 0x1305, 0xc02b, 0xcca9, 0xc0ac]),
    ) {
        let mut log = KeyLog::new();
        let random = "00".repeat(32);
        let text = LOG.replace("cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece7", &random);
        log.add(0, format!("{text}CLIENT_RANDOM {random} {}", "1".repeat(96)).as_bytes());
        let agreed = Agreed {
            version: ProtocolVersion(version),
            suite: CipherSuite(suite),
            client_random: [0; 32],
            server_random: [0; 32],
            early_data: is_client,
        };
        if let Ok(mut opener) = Opener::new(&agreed, &log.find(&[0; 32]).unwrap().0) {
            let mut out = Zeroizing::new(Vec::new());
            let end = if is_client { End::Client } else { End::Server };
            let kinds = [20, 21, 22, 23].map(ContentType);
            for content_type in kinds.into_iter().chain(kinds) {
                let record = Record { content_type, version: ProtocolVersion(0x0303), fragment: &bytes };
                let outcome = opener.record(end, &record, &mut out, |_| ());
                prop_assert!(!matches!(outcome, Outcome::Opened(_)));
            }
        }
    }

    /// What was changed does not open, and what follows it is not opened with a wrong number.
    #[test]
    fn near_the_records_of_rfc8448_only_what_was_sealed_opens(
        stream in near([[SERVER_FLIGHT, TICKET, SERVER_DATA, SERVER_ALERT].concat()].map(|text| hex(&text))),
    ) {
        let mut opener = rfc8448(LOG).unwrap();
        let mut out = Zeroizing::new(Vec::new());
        let sealed = [SERVER_FLIGHT, TICKET, SERVER_DATA, SERVER_ALERT].map(hex);
        for record in Records::new(&stream).flatten() {
            let outcome = opener.record(End::Server, &record, &mut out, |_| ());
            let is_one = sealed.iter().any(|one| &one[5..] == record.fragment);
            prop_assert!(is_one || record.fragment.is_empty() || !matches!(outcome, Outcome::Opened(_)), "{outcome:?}");
        }
    }
}

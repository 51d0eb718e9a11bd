//! The key log that NSS, OpenSSL, rustls and browsers write ("NSS Key Log Format", RFC 9850): a line for each secret of a
//! session, keyed by the random of its ClientHello.
//!
//! In: bytes of a file, or of a secrets block of a capture. Out: [`Line`]s, and a [`KeyLog`] to look a session up in. Secrets
//! are wiped when dropped and never shown. Not handled: `RSA` lines (an encrypted pre-master secret, not a random), early data
//! and ECH secrets; they are counted.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::bytes::unhex;
use crate::crypto::kdf::Secret;

/// Sessions of which secrets are kept, over all key logs of a run; the newest are left out. A day of browsing has some ten
/// thousand, at half a kilobyte each.
pub const MAX_SESSIONS: usize = 1 << 18;
/// Longest secret in bytes; a TLS 1.2 master secret and SHA-384 have 48, SHA-512 would have 64.
const MAX_SECRET: usize = 64;

/// The random of a ClientHello.
pub type Random = [u8; 32];

/// What a line holds the secret of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Label {
    /// `CLIENT_RANDOM`: the master secret of TLS up to 1.2.
    Master,
    /// `CLIENT_HANDSHAKE_TRAFFIC_SECRET`, or `QUIC_CLIENT_HANDSHAKE_TRAFFIC_SECRET`.
    ClientHandshake,
    /// `SERVER_HANDSHAKE_TRAFFIC_SECRET`, or its older name with `QUIC_`.
    ServerHandshake,
    /// `CLIENT_TRAFFIC_SECRET_N`, or its older name with `QUIC_`.
    ClientTraffic(u32),
    /// `SERVER_TRAFFIC_SECRET_N`, or its older name with `QUIC_`.
    ServerTraffic(u32),
    /// `EXPORTER_SECRET`.
    Exporter,
}

/// One line of a key log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Line {
    /// Empty, or a comment.
    Nothing,
    /// A secret.
    Secret {
        /// What it is of.
        label: Label,
        /// Of which session.
        client_random: Random,
        /// The secret.
        secret: Secret,
    },
    /// A well-formed line with a label that nothing here makes use of.
    Unused,
}

/// What is wrong with a line.
#[derive(Error, Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineError {
    /// Not three words, or the first is no label.
    #[error("expected a label, a client random and a secret")]
    Shape,
    /// The second word.
    #[error("expected a client random of 64 hexadecimal digits")]
    Random,
    /// The third word.
    #[error("expected a secret of 64 to 128 hexadecimal digits")]
    Secret,
    /// A master secret of another length.
    #[error("expected a master secret of 96 hexadecimal digits")]
    MasterLength,
}

/// Reads one line, without its end.
///
/// # Errors
/// [`LineError`] says which word is not as it should be.
pub fn parse_line(line: &[u8]) -> Result<Line, LineError> {
    let line = line.trim_ascii();
    if line.is_empty() || line.starts_with(b"#") {
        return Ok(Line::Nothing);
    }
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let (Some(name), Some(random), Some(secret), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(LineError::Shape);
    };
    if !name.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_') {
        return Err(LineError::Shape);
    }
    let Some(label) = label(name) else {
        // `RSA` has eight bytes of ciphertext where others have the random.
        let is_hex = |word: &[u8]| word.iter().all(u8::is_ascii_hexdigit);
        return if is_hex(random) && is_hex(secret) { Ok(Line::Unused) } else { Err(LineError::Shape) };
    };
    let client_random = hex(random, 32).ok_or(LineError::Random)?;
    let client_random = Random::try_from(client_random.as_slice()).map_err(|_| LineError::Random)?;
    let secret = hex(secret, MAX_SECRET).filter(|secret| secret.len() >= 32).ok_or(LineError::Secret)?;
    if label == Label::Master && secret.len() != 48 {
        return Err(LineError::MasterLength);
    }
    Ok(Line::Secret { label, client_random, secret: Secret::new(secret) })
}

fn label(name: &[u8]) -> Option<Label> {
    let name = name.strip_prefix(b"QUIC_").unwrap_or(name);
    let number = |digits: &[u8]| std::str::from_utf8(digits).ok()?.parse().ok();
    match name {
        b"CLIENT_RANDOM" => Some(Label::Master),
        b"CLIENT_HANDSHAKE_TRAFFIC_SECRET" => Some(Label::ClientHandshake),
        b"SERVER_HANDSHAKE_TRAFFIC_SECRET" => Some(Label::ServerHandshake),
        b"EXPORTER_SECRET" => Some(Label::Exporter),
        _ => {
            if let Some(digits) = name.strip_prefix(b"CLIENT_TRAFFIC_SECRET_") {
                return number(digits).map(Label::ClientTraffic);
            }
            number(name.strip_prefix(b"SERVER_TRAFFIC_SECRET_")?).map(Label::ServerTraffic)
        }
    }
}

/// Bytes of a word of at most `most` bytes in hexadecimal digits.
fn hex(word: &[u8], most: usize) -> Option<Zeroizing<Vec<u8>>> {
    let fits = !word.is_empty() && word.len() <= most.saturating_mul(2);
    fits.then(|| unhex(word)).flatten()
}

/// Secrets of one session. `None`: the key log has no such line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain data, one field for each label")]
pub struct Secrets {
    /// Master secret of TLS up to 1.2: 48 bytes.
    pub master: Option<Secret>,
    /// What the client's handshake messages are sealed with.
    pub client_handshake: Option<Secret>,
    /// What the server's are.
    pub server_handshake: Option<Secret>,
    /// The first secret of the client's application data.
    pub client_traffic: Option<Secret>,
    /// The first of the server's.
    pub server_traffic: Option<Secret>,
    /// Exporter secret of TLS 1.3.
    pub exporter: Option<Secret>,
}

/// What adding a line did.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Added {
    New,
    Known,
    Conflict,
    Later,
}

impl Secrets {
    fn slot(&mut self, label: Label) -> Option<&mut Option<Secret>> {
        Some(match label {
            Label::Master => &mut self.master,
            Label::ClientHandshake => &mut self.client_handshake,
            Label::ServerHandshake => &mut self.server_handshake,
            Label::ClientTraffic(0) => &mut self.client_traffic,
            Label::ServerTraffic(0) => &mut self.server_traffic,
            Label::ClientTraffic(_) | Label::ServerTraffic(_) => return None,
            Label::Exporter => &mut self.exporter,
        })
    }

    /// The first secret of a label stays.
    fn add(&mut self, label: Label, secret: Secret) -> Added {
        match self.slot(label) {
            None => Added::Later,
            Some(Some(known)) if *known == secret => Added::Known,
            Some(Some(_)) => Added::Conflict,
            Some(free) => {
                *free = Some(secret);
                Added::New
            }
        }
    }

    /// Takes over what is missing here.
    fn fill(&mut self, other: &Self) {
        let fill = |slot: &mut Option<Secret>, other: &Option<Secret>| {
            if slot.is_none() {
                slot.clone_from(other);
            }
        };
        fill(&mut self.master, &other.master);
        fill(&mut self.client_handshake, &other.client_handshake);
        fill(&mut self.server_handshake, &other.server_handshake);
        fill(&mut self.client_traffic, &other.client_traffic);
        fill(&mut self.server_traffic, &other.server_traffic);
        fill(&mut self.exporter, &other.exporter);
    }
}

/// What was found in one key log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Lines in all.
    pub lines: u64,
    /// Lines with a secret that was taken.
    pub secrets: u64,
    /// Lines with a label that nothing makes use of: `RSA`, early data, ECH, later traffic secrets.
    pub unused: u64,
    /// Lines that repeat one before them.
    pub repeated: u64,
    /// Lines with another secret for what a line before them gave; the first stays.
    pub conflicting: u64,
    /// Lines that are no line of a key log.
    pub malformed: u64,
    /// The first of these: its number, from 1, and what is wrong.
    pub first_malformed: Option<(u64, LineError)>,
    /// Lines beyond the most sessions.
    pub left_out: u64,
    /// Different sessions in it; a session whose lines stand in several secrets blocks counts in each.
    pub sessions: u64,
}

impl Counts {
    /// Adds those of a later part of the same key log. The line of the first malformed one counts within its part.
    pub fn add(&mut self, more: &Self) {
        let fields = [
            (&mut self.lines, more.lines),
            (&mut self.secrets, more.secrets),
            (&mut self.unused, more.unused),
            (&mut self.repeated, more.repeated),
            (&mut self.conflicting, more.conflicting),
            (&mut self.malformed, more.malformed),
            (&mut self.left_out, more.left_out),
            (&mut self.sessions, more.sessions),
        ];
        for (sum, part) in fields {
            *sum = sum.saturating_add(part);
        }
        self.first_malformed = self.first_malformed.or(more.first_malformed);
    }
}

#[derive(Debug, Default)]
struct Held {
    secrets: Secrets,
    source: usize,
}

/// Secrets of the sessions of one or more key logs, by client random. Cheap to clone: what it holds is shared.
///
/// A key log that grows is a row of parts, of which later ones are merged when they have become as large as those before.
#[derive(Clone)]
pub struct KeyLog {
    parts: Vec<Arc<Part>>,
    sessions: usize,
    /// Most sessions.
    most: usize,
    used: Vec<Arc<AtomicU64>>,
    grows: bool,
}

type Part = HashMap<Random, Held>;

impl fmt::Debug for KeyLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyLog").field("sessions", &self.sessions).finish_non_exhaustive()
    }
}

impl Default for KeyLog {
    fn default() -> Self {
        Self::with_room_for(MAX_SESSIONS)
    }
}

impl KeyLog {
    /// Without a secret.
    pub fn new() -> Self {
        Self::default()
    }

    /// Without a secret, and with room for those of so many sessions, at most [`MAX_SESSIONS`].
    pub fn with_room_for(sessions: usize) -> Self {
        let most = sessions.min(MAX_SESSIONS);
        Self { parts: Vec::new(), sessions: 0, most, used: Vec::new(), grows: false }
    }

    /// True when there is no secret in it, and none is to come.
    pub const fn is_empty(&self) -> bool {
        self.sessions == 0 && !self.grows
    }

    /// Tells that more secrets are to come, each soon after its handshake.
    pub const fn expect_more(&mut self) {
        self.grows = true;
    }

    /// True for a session of which nothing is known yet and something may be soon.
    pub fn may_come(&self, client_random: &Random) -> bool {
        self.grows && self.find(client_random).is_none()
    }

    /// Adds the lines of `text`, the key log number `source` of the run. Bad lines are counted and passed over.
    pub fn add(&mut self, source: usize, text: &[u8]) -> Counts {
        let mut counts = Counts::default();
        let mut part = Part::default();
        // A byte order mark, as editors leave it.
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        for line in text.split(|byte| *byte == b'\n') {
            counts.lines = counts.lines.saturating_add(1);
            match parse_line(line) {
                Ok(Line::Nothing) => {}
                Ok(Line::Unused) => counts.unused = counts.unused.saturating_add(1),
                Ok(Line::Secret { label, client_random, secret }) => {
                    self.take(&mut part, &mut counts, source, label, client_random, secret);
                }
                Err(error) => {
                    counts.malformed = counts.malformed.saturating_add(1);
                    counts.first_malformed.get_or_insert((counts.lines, error));
                }
            }
        }
        counts.sessions = u64::try_from(part.len()).unwrap_or(u64::MAX);
        self.push(part);
        while self.used.len() <= source {
            self.used.push(Arc::default());
        }
        counts
    }

    fn take(
        &self,
        part: &mut Part,
        counts: &mut Counts,
        source: usize,
        label: Label,
        client_random: Random,
        secret: Secret,
    ) {
        let is_new = !part.contains_key(&client_random);
        if is_new && self.sessions.saturating_add(part.len()) >= self.most {
            counts.left_out = counts.left_out.saturating_add(1);
            return;
        }
        let held = part.entry(client_random).or_insert_with(|| Held { source, ..Held::default() });
        let counter = match held.secrets.add(label, secret) {
            Added::New => &mut counts.secrets,
            Added::Known => &mut counts.repeated,
            Added::Conflict => &mut counts.conflicting,
            Added::Later => &mut counts.unused,
        };
        *counter = counter.saturating_add(1);
    }

    fn push(&mut self, part: Part) {
        if part.is_empty() {
            return;
        }
        self.sessions = self.sessions.saturating_add(part.len());
        let mut part = part;
        while self.parts.last().is_some_and(|last| last.len() <= part.len().saturating_mul(2)) {
            let Some(before) = self.parts.pop() else { break };
            part = merged(&before, part);
        }
        self.parts.push(Arc::new(part));
    }

    /// What is known of a session, and the number of the key log that told it first.
    pub fn find(&self, client_random: &Random) -> Option<(Secrets, usize)> {
        let mut found: Option<(Secrets, usize)> = None;
        for held in self.parts.iter().filter_map(|part| part.get(client_random)) {
            match &mut found {
                Some((secrets, _)) => secrets.fill(&held.secrets),
                None => found = Some((held.secrets.clone(), held.source)),
            }
        }
        found
    }

    /// Notes that a flow of the capture belongs to a session of key log number `source`.
    pub fn note_use(&self, source: usize) {
        if let Some(used) = self.used.get(source) {
            used.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Goes on counting the flows of key log number `source` from a number.
    pub fn count_uses_from(&self, source: usize, uses: u64) {
        if let Some(used) = self.used.get(source) {
            used.store(uses, Ordering::Relaxed);
        }
    }

    /// How many flows had a secret in key log number `source`; final once all flows have ended.
    pub fn uses(&self, source: usize) -> u64 {
        self.used.get(source).map_or(0, |used| used.load(Ordering::Relaxed))
    }
}

fn merged(before: &Part, after: Part) -> Part {
    let mut all = after;
    for (random, held) in before {
        let entry = all.entry(*random).or_default();
        let later = std::mem::take(&mut entry.secrets);
        entry.secrets = held.secrets.clone();
        entry.secrets.fill(&later);
        entry.source = held.source;
    }
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bytes::near::near;

    const RANDOM: &str = "cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece7";

    fn log(text: &str) -> (KeyLog, Counts) {
        let mut log = KeyLog::new();
        let counts = log.add(0, text.as_bytes());
        (log, counts)
    }

    fn random() -> Random {
        hex(RANDOM.as_bytes(), 32).unwrap().as_slice().try_into().unwrap()
    }

    #[test]
    fn sessions_for_which_there_is_no_room_are_counted() {
        let line = |number: u32| format!("CLIENT_RANDOM {number:064x} {}\n", "1".repeat(96));
        let text: String = (0..10).map(line).collect();
        let mut log = KeyLog::with_room_for(6);
        let counts = log.add(0, text.as_bytes());
        assert_eq!((counts.secrets, counts.sessions, counts.left_out), (6, 6, 4));
        assert_eq!(log.add(1, line(77).as_bytes()).left_out, 1);
        let known = |number: u32| {
            let random = hex(format!("{number:064x}").as_bytes(), 32).unwrap();
            log.find(&random.as_slice().try_into().unwrap()).is_some()
        };
        assert!((0..6).all(known) && !(6..10).any(known) && !known(77));
        assert_eq!(KeyLog::with_room_for(usize::MAX).most, MAX_SESSIONS);
    }

    #[test]
    fn every_label_finds_its_place() {
        let secret = |digit: &str, bytes: usize| digit.repeat(bytes * 2);
        let text = [
            "# SSL/TLS secrets log file, generated by NSS".to_owned(),
            format!("CLIENT_RANDOM {RANDOM} {}", secret("1", 48)),
            format!("CLIENT_HANDSHAKE_TRAFFIC_SECRET {RANDOM} {}", secret("2", 32)),
            format!("QUIC_SERVER_HANDSHAKE_TRAFFIC_SECRET {RANDOM} {}", secret("3", 48)),
            format!("CLIENT_TRAFFIC_SECRET_0 {RANDOM} {}", secret("4", 32)),
            format!("SERVER_TRAFFIC_SECRET_0 {RANDOM} {}", secret("A", 32)),
            format!("SERVER_TRAFFIC_SECRET_1 {RANDOM} {}", secret("7", 32)),
            format!("EXPORTER_SECRET {RANDOM} {}", secret("6", 32)),
            format!("CLIENT_EARLY_TRAFFIC_SECRET {RANDOM} {}", secret("8", 32)),
            format!("RSA 0123456789abcdef {}", secret("9", 48)),
            String::new(),
        ];
        // Ends of lines as on Windows, and a byte order mark.
        let (log, counts) = log(&format!("\u{feff}{}", text.join("\r\n")));
        let expected = Counts { lines: 10, secrets: 6, unused: 3, sessions: 1, ..Counts::default() };
        assert_eq!(counts, expected);
        let (secrets, source) = log.find(&random()).unwrap();
        assert_eq!(source, 0);
        let first = |secret: Option<Secret>| secret.unwrap().bytes()[0];
        assert_eq!(first(secrets.master), 0x11);
        assert_eq!(first(secrets.client_handshake), 0x22);
        assert_eq!(first(secrets.server_handshake), 0x33);
        assert_eq!(first(secrets.client_traffic), 0x44);
        assert_eq!(first(secrets.server_traffic), 0xaa);
        assert_eq!(first(secrets.exporter), 0x66);
    }

    #[test]
    fn bad_lines_are_counted_and_the_first_is_named() {
        let good = format!("CLIENT_RANDOM {RANDOM} {}", "5".repeat(96));
        let bad = [
            ("-----BEGIN CERTIFICATE-----".to_owned(), LineError::Shape),
            ("CLIENT_RANDOM".to_owned(), LineError::Shape),
            (format!("{good} more"), LineError::Shape),
            (format!("CLIENT_RANDOM {} {}", &RANDOM[1..], "5".repeat(96)), LineError::Random),
            (format!("CLIENT_RANDOM {RANDOM} {}", "5".repeat(95)), LineError::Secret),
            (format!("CLIENT_RANDOM {RANDOM} {}", "5".repeat(94)), LineError::MasterLength),
            (format!("EXPORTER_SECRET {RANDOM} {}", "5".repeat(62)), LineError::Secret),
            (format!("EXPORTER_SECRET {RANDOM} {}", "5".repeat(130)), LineError::Secret),
            ("CLIENT_TRAFFIC_SECRET_x 00 zz".to_owned(), LineError::Shape),
        ];
        for (line, error) in &bad {
            assert_eq!(parse_line(line.as_bytes()), Err(*error), "{line}");
        }
        let lines: Vec<&str> = bad.iter().map(|(line, _)| line.as_str()).collect();
        let (log, counts) = log(&format!("{good}\n{}\n", lines.join("\n")));
        assert_eq!((counts.lines, counts.secrets, counts.malformed), (10, 1, 9));
        assert_eq!(counts.first_malformed, Some((2, LineError::Shape)));
        assert!(log.find(&random()).is_some());
    }

    #[test]
    fn repeated_and_conflicting_lines_leave_the_first() {
        let line = |digit: &str| format!("CLIENT_RANDOM {RANDOM} {}\n", digit.repeat(96));
        let (log, counts) = log(&[line("1"), line("1"), line("2")].concat());
        assert_eq!((counts.secrets, counts.repeated, counts.conflicting), (1, 1, 1));
        assert_eq!(log.find(&random()).unwrap().0.master.unwrap().bytes(), [0x11; 48]);
    }

    #[test]
    fn secrets_of_one_session_may_come_in_parts() {
        let mut log = KeyLog::new();
        for (source, label) in ["CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"].iter().enumerate() {
            log.add(source, format!("{label} {RANDOM} {}", "1".repeat(64)).as_bytes());
        }
        for number in 0..100_u32 {
            log.add(2, format!("EXPORTER_SECRET {number:064x} {}", "1".repeat(64)).as_bytes());
        }
        let (secrets, source) = log.find(&random()).unwrap();
        assert!(secrets.client_traffic.is_some() && secrets.server_traffic.is_some());
        assert_eq!(source, 0);
        assert!(log.parts.len() < 10, "parts are merged");
        assert!((0..100_u32).all(|number| {
            let mut random = [0; 32];
            random[28..].copy_from_slice(&number.to_be_bytes());
            log.find(&random).is_some_and(|(_, source)| source == 2)
        }));
        log.note_use(2);
        assert_eq!((log.uses(2), log.uses(1), log.uses(9)), (1, 0, 0));
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let (log, _) = log(&format!("CLIENT_RANDOM {RANDOM} {}", "5".repeat(96)));
        let shown = format!("{log:?} {:?}", log.find(&random()));
        assert!(!shown.contains("55") && !shown.contains("85, 85"), "{shown}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(text in proptest::collection::vec(any::<u8>(), 0..400)) {
            let counts = KeyLog::new().add(0, &text);
            prop_assert!(counts.malformed <= counts.lines);
        }

        #[test]
        fn near_a_key_log_every_line_is_in_one_counter(
            text in near([format!(
                "# by hand\r\nCLIENT_RANDOM {RANDOM} {}\nQUIC_CLIENT_HANDSHAKE_TRAFFIC_SECRET {RANDOM} {}\nRSA {} {}\n",
                "5".repeat(96), "6".repeat(64), "7".repeat(16), "8".repeat(96),
            )]),
        ) {
            let counts = KeyLog::new().add(0, &text);
            let lines = text.split(|byte| *byte == b'\n');
            let wrong = lines.filter(|line| parse_line(line).is_err()).count();
            prop_assert_eq!(counts.malformed, u64::try_from(wrong).unwrap());
            prop_assert!(counts.secrets + counts.unused + counts.repeated + counts.conflicting + counts.malformed <= counts.lines);
        }
    }
}

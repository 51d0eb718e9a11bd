//! Session descriptions (RFC 8866): where media will flow, and how it will be protected.

use std::net::IpAddr;

use super::lines::{Lines, Next};
use crate::bytes::ParseError;

/// Most media sections that are kept.
const MAX_MEDIA: usize = 32;
/// Most entries of one attribute that are kept per media section.
const MAX_ENTRIES: usize = 64;
/// Most lines that are looked at.
const MAX_LINES: usize = 2048;

/// `c=`: where to send to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Connection<'a> {
    /// Address or host name, without the multicast TTL.
    pub address: &'a str,
}

impl Connection<'_> {
    /// The address, if it is no host name.
    pub fn ip(&self) -> Option<IpAddr> {
        self.address.parse().ok()
    }
}

/// `a=crypto` (RFC 4568): keys for SRTP in the description itself.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Crypto<'a> {
    /// `AES_CM_128_HMAC_SHA1_80` and the like.
    pub suite: &'a str,
    /// A session parameter says that media is not encrypted (`UNENCRYPTED_SRTP`, RFC 4568 section 6.3.2).
    pub is_unencrypted: bool,
    /// What stands behind `inline:`, with the lifetime and the identifier that may follow; `None` without.
    pub inline: Option<&'a str>,
}

/// The key stays secret.
impl std::fmt::Debug for Crypto<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crypto").field("suite", &self.suite).field("has_key", &self.inline.is_some()).finish()
    }
}

/// `a=fingerprint` (RFC 8122): hash of the certificate that DTLS will show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fingerprint<'a> {
    /// `sha-256` and the like.
    pub algorithm: &'a str,
    /// Hex pairs with colons.
    pub value: &'a str,
}

/// `a=candidate` (RFC 8839 §5.1): an address that ICE will try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Candidate<'a> {
    /// 1 is RTP, 2 is RTCP.
    pub component: u16,
    /// UDP or TCP, as written.
    pub transport: &'a str,
    /// Address, or an mDNS name.
    pub address: &'a str,
    /// Port.
    pub port: u16,
    /// `host`, `srflx`, `prflx` or `relay`.
    pub kind: &'a str,
}

/// `a=rtpmap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RtpMap<'a> {
    /// RTP payload type.
    pub payload_type: u8,
    /// Codec name as written.
    pub encoding: &'a str,
    /// RTP clock in hertz.
    pub clock_rate: u32,
}

/// Which way media will flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "RFC 8866 §6.7 knows four")]
pub enum Direction {
    /// Both ways; also when nothing is said.
    SendReceive,
    /// From the author of the description only.
    SendOnly,
    /// To the author of the description only.
    ReceiveOnly,
    /// Neither way (hold).
    Inactive,
}

/// `m=` and what follows it. What the session says for all media is repeated in each.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Media<'a> {
    /// `audio`, `video`, `image`, `application`, ...
    pub kind: &'a str,
    /// Where it is received; 0 means that it is refused.
    pub port: u16,
    /// `RTP/AVP`, `RTP/SAVP`, `UDP/TLS/RTP/SAVPF`, ...
    pub protocol: &'a str,
    /// The rest of the line: payload types, or `webrtc-datachannel`.
    pub formats: Vec<&'a str>,
    /// Its own `c=`, else that of the session.
    pub connection: Option<Connection<'a>>,
    /// Port for RTCP where it is said (`a=rtcp`).
    pub rtcp_port: Option<u16>,
    /// RTP and RTCP share a port.
    pub rtcp_mux: bool,
    /// Which way it flows.
    pub direction: Direction,
    /// Names of payload types.
    pub rtpmap: Vec<RtpMap<'a>>,
    /// Keys in the description.
    pub crypto: Vec<Crypto<'a>>,
    /// Certificate hashes.
    pub fingerprints: Vec<Fingerprint<'a>>,
    /// `active`, `passive`, `actpass`, `holdconn`: who opens DTLS.
    pub setup: Option<&'a str>,
    /// ICE user name fragment of the author.
    pub ice_ufrag: Option<&'a str>,
    /// Addresses for ICE.
    pub candidates: Vec<Candidate<'a>>,
    /// ZRTP will be tried (RFC 6189 §8).
    pub zrtp_hash: bool,
}

/// A session description.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sdp<'a> {
    /// `o=`, the author and the version of the description.
    pub origin: Option<&'a str>,
    /// `s=`.
    pub name: Option<&'a str>,
    /// `c=` of the session.
    pub connection: Option<Connection<'a>>,
    /// At most 32.
    pub media: Vec<Media<'a>>,
    /// Lines that were not UTF-8 or not `letter=value`.
    pub skipped_lines: u32,
}

impl<'a> Sdp<'a> {
    /// Reads a description; what stands before its `v=0` line (a multipart head) is passed over.
    ///
    /// # Errors
    /// [`ParseError::Invalid`] when there is no `v=0` line.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut lines = Lines::new(bytes);
        let mut sdp =
            Self { origin: None, name: None, connection: None, media: Vec::new(), skipped_lines: 0 };
        let mut session = Media::new("", 0, "");
        let mut begun = false;
        for _ in 0..MAX_LINES {
            let line = match lines.next_line() {
                Next::End => break,
                Next::NotText(_) => {
                    sdp.skipped_lines = sdp.skipped_lines.saturating_add(1);
                    continue;
                }
                Next::Text(line) => line.trim_end(),
            };
            if !begun {
                begun = line == "v=0";
                continue;
            }
            // The closing boundary of a multipart body.
            if line.starts_with("--") {
                break;
            }
            if !sdp.take_line(line, &mut session) && !line.is_empty() {
                sdp.skipped_lines = sdp.skipped_lines.saturating_add(1);
            }
        }
        if begun { Ok(sdp) } else { Err(ParseError::Invalid { field: "sdp version", offset: 0, value: 0 }) }
    }

    /// False when the line is not `letter=value`.
    fn take_line(&mut self, line: &'a str, session: &mut Media<'a>) -> bool {
        let Some((letter, value)) = line.split_once('=') else { return false };
        match letter {
            "m" => {
                if self.media.len() < MAX_MEDIA
                    && let Some(media) = Media::from_line(value, session)
                {
                    self.media.push(media);
                }
            }
            "c" => {
                let scope = self.media.last_mut().unwrap_or(session);
                scope.connection = connection(value).or(scope.connection);
            }
            "a" => self.media.last_mut().unwrap_or(session).take_attribute(value),
            "o" => self.origin = self.origin.or(Some(value)),
            "s" => self.name = self.name.or(Some(value)),
            _ => return letter.len() == 1,
        }
        true
    }
}

impl<'a> Media<'a> {
    const fn new(kind: &'a str, port: u16, protocol: &'a str) -> Self {
        Self {
            kind,
            port,
            protocol,
            formats: Vec::new(),
            connection: None,
            rtcp_port: None,
            rtcp_mux: false,
            direction: Direction::SendReceive,
            rtpmap: Vec::new(),
            crypto: Vec::new(),
            fingerprints: Vec::new(),
            setup: None,
            ice_ufrag: None,
            candidates: Vec::new(),
            zrtp_hash: false,
        }
    }

    /// `audio 49170/2 RTP/AVP 0 8`, starting from what the session said for all.
    fn from_line(value: &'a str, session: &Self) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let kind = words.next()?;
        let port = words.next()?.split('/').next()?.parse().ok()?;
        let protocol = words.next()?;
        Some(Self { kind, port, protocol, formats: words.take(MAX_ENTRIES).collect(), ..session.clone() })
    }

    fn take_attribute(&mut self, attribute: &'a str) {
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        let value = value.trim();
        match name.trim() {
            "rtpmap" => keep(&mut self.rtpmap, rtpmap(value)),
            "crypto" => keep(&mut self.crypto, crypto(value)),
            "fingerprint" => keep(&mut self.fingerprints, fingerprint(value)),
            "candidate" => keep(&mut self.candidates, candidate(value)),
            "setup" => self.setup = Some(value),
            "ice-ufrag" => self.ice_ufrag = Some(value),
            "rtcp" => self.rtcp_port = value.split(' ').next().and_then(|port| port.parse().ok()),
            "rtcp-mux" => self.rtcp_mux = true,
            "zrtp-hash" => self.zrtp_hash = true,
            "sendrecv" => self.direction = Direction::SendReceive,
            "sendonly" => self.direction = Direction::SendOnly,
            "recvonly" => self.direction = Direction::ReceiveOnly,
            "inactive" => self.direction = Direction::Inactive,
            _ => {}
        }
    }
}

fn keep<T>(list: &mut Vec<T>, entry: Option<T>) {
    if list.len() < MAX_ENTRIES {
        list.extend(entry);
    }
}

/// `IN IP4 192.0.2.1/127`
fn connection(value: &str) -> Option<Connection<'_>> {
    let mut words = value.split_ascii_whitespace();
    let (network, _family, address) = (words.next()?, words.next()?, words.next()?);
    let address = address.split('/').next()?;
    (network == "IN").then_some(Connection { address })
}

/// `96 opus/48000/2`
fn rtpmap(value: &str) -> Option<RtpMap<'_>> {
    let (payload_type, rest) = value.split_once(' ')?;
    let mut parts = rest.trim().split('/');
    Some(RtpMap {
        payload_type: payload_type.parse().ok()?,
        encoding: parts.next()?,
        clock_rate: parts.next()?.parse().ok()?,
    })
}

/// `1 AES_CM_128_HMAC_SHA1_80 inline:<key>|...`
fn crypto(value: &str) -> Option<Crypto<'_>> {
    let mut words = value.split_ascii_whitespace();
    let (_tag, suite) = (words.next()?, words.next()?);
    let inline = words.next().and_then(|key| key.strip_prefix("inline:")).filter(|key| !key.is_empty());
    // Several keys may follow one another, each with its identifier; the first is the one in use at the beginning.
    let inline = inline.and_then(|keys| keys.split(';').next());
    let is_unencrypted = words.any(|word| word == "UNENCRYPTED_SRTP");
    Some(Crypto { suite, is_unencrypted, inline })
}

fn fingerprint(value: &str) -> Option<Fingerprint<'_>> {
    let (algorithm, value) = value.split_once(' ')?;
    Some(Fingerprint { algorithm, value: value.trim() })
}

/// `1 1 UDP 2130706431 192.0.2.1 8998 typ host ...`
fn candidate(value: &str) -> Option<Candidate<'_>> {
    let mut words = value.split_ascii_whitespace();
    let _foundation = words.next()?;
    let component = words.next()?.parse().ok()?;
    let transport = words.next()?;
    let _priority = words.next()?;
    let address = words.next()?;
    let port = words.next()?.parse().ok()?;
    let kind = (words.next()? == "typ").then(|| words.next())??;
    Some(Candidate { component, transport, address, port, kind })
}

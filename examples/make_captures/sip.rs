//! SIP (RFC 3261) between a phone and its proxy: registration with a digest, and a call with SDP (RFC 8866), as messages
//! that go over TLS or UDP.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};

use crate::hex;
use crate::net::{MS, Tap, US, Wire};
use crate::rng::Rng;
use crate::tcp::Side;

/// A codec as SDP names it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Codec {
    pub(crate) payload_type: u8,
    /// Encoding name, clock rate and channels.
    pub(crate) map: &'static str,
}

/// Opus as RFC 7587 maps it.
pub(crate) const OPUS: Codec = Codec { payload_type: 111, map: "opus/48000/2" };
/// G.711 mu-law.
pub(crate) const PCMU: Codec = Codec { payload_type: 0, map: "PCMU/8000" };

/// A phone and its proxy.
pub(crate) struct Phone<'a> {
    pub(crate) user: &'a str,
    pub(crate) domain: &'a str,
    pub(crate) address: SocketAddrV4,
    pub(crate) proxy: SocketAddrV4,
    /// `TLS` or `UDP`, as in a Via.
    pub(crate) transport: &'static str,
}

/// One call to be made.
pub(crate) struct Call<'a> {
    pub(crate) callee: &'a str,
    pub(crate) codec: Codec,
    /// Where each side takes its sound.
    pub(crate) media: [SocketAddrV4; 2],
    /// SDES key and salt of each side's direction (RFC 4568), or none for RTP in the clear.
    pub(crate) keys: Option<[[u8; 30]; 2]>,
    /// From the answer to the hanging up.
    pub(crate) talk_ms: u64,
}

/// Tap to proxy and gateway and back.
pub(crate) const RTT_MS: u64 = 96;

/// A message: who sends it, and how many milliseconds after it could have.
pub(crate) type Message = (Side, u64, String);

struct Dialog<'a> {
    phone: &'a Phone<'a>,
    call_id: String,
    tag: String,
    rng: Rng,
}

/// Registration: refused, then proven by a digest.
pub(crate) fn register(phone: &Phone<'_>) -> Vec<Message> {
    let mut dialog = Dialog::new(phone, "register");
    let uri = format!("sip:{}", phone.domain);
    let address = format!("<sip:{}@{}>", phone.user, phone.domain);
    let contact = format!("Contact: {};expires=300\r\n", dialog.contact());
    let first = dialog.request("REGISTER", &uri, &address, 1, &contact, "");
    let nonce = hex(&dialog.rng.array::<8>());
    let challenge = format!("WWW-Authenticate: Digest realm=\"{}\", nonce=\"{nonce}\"\r\n", phone.domain);
    let refused = Dialog::answer("401 Unauthorized", &first, "srv", &challenge, "");
    let proof = digest(phone, &nonce, &uri);
    let authorization = format!(
        "Authorization: Digest username=\"{}\", realm=\"{}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{proof}\"\r\n",
        phone.user, phone.domain
    );
    let second = dialog.request("REGISTER", &uri, &address, 2, &(authorization + &contact), "");
    let granted = Dialog::answer("200 OK", &second, "srv", &contact, "");
    vec![
        (Side::Client, 2, first),
        (Side::Server, 1, refused),
        (Side::Client, 2, second),
        (Side::Server, 3, granted),
    ]
}

/// An INVITE with its answers, ACK, and BYE after the talk.
pub(crate) fn call(phone: &Phone<'_>, call: &Call<'_>) -> Vec<Message> {
    let mut dialog = Dialog::new(phone, call.callee);
    let uri = format!("sip:{}@{}", call.callee, phone.domain);
    let address = format!("<{uri}>");
    let contact = format!("Contact: {}\r\n", dialog.contact());
    let keys = call.keys.as_ref();
    let offer = sdp(call.media[0], call.codec, keys.map(|keys| &keys[0]), phone.user);
    let answer = sdp(call.media[1], call.codec, keys.map(|keys| &keys[1]), "-");
    let invite = dialog.request("INVITE", &uri, &address, 1, &contact, &offer);
    let theirs = format!("Contact: <sip:{}@{}>\r\n", call.callee, phone.proxy);
    let trying = Dialog::answer("100 Trying", &invite, "", "", "");
    let ringing = Dialog::answer("180 Ringing", &invite, "callee", &theirs, "");
    let answered = Dialog::answer("200 OK", &invite, "callee", &theirs, &answer);
    let to = format!("{address};tag=callee");
    let ack = dialog.request("ACK", &uri, &to, 1, &contact, "");
    let bye = dialog.request("BYE", &uri, &to, 2, "", "");
    let gone = Dialog::answer("200 OK", &bye, "callee", "", "");
    vec![
        (Side::Client, 900, invite),
        (Side::Server, 1, trying),
        (Side::Server, 60, ringing),
        (Side::Server, 1_400, answered),
        (Side::Client, 3, ack),
        (Side::Client, call.talk_ms, bye),
        (Side::Server, 4, gone),
    ]
}

/// Sends messages over UDP and returns, for each, when it was seen.
pub(crate) fn play(
    wire: &mut Wire,
    tap: Tap,
    phone: &Phone<'_>,
    start: u64,
    messages: &[Message],
) -> Vec<u64> {
    let mut rng = Rng::named(&format!("sip {} {start}", phone.address));
    let (mut at, mut speaker, mut seen) = (start, Side::Client, Vec::new());
    for (from, think, text) in messages {
        at += think * MS + rng.jitter_ns(150 * US);
        if *from == Side::Server && speaker == Side::Client {
            at += RTT_MS * MS;
        }
        speaker = *from;
        let (src, dst) = match from {
            Side::Client => (phone.address, phone.proxy),
            Side::Server => (phone.proxy, phone.address),
        };
        wire.udp(tap, at, src, dst, text.as_bytes());
        seen.push(at);
    }
    seen
}

impl<'a> Dialog<'a> {
    fn new(phone: &'a Phone<'a>, label: &str) -> Self {
        let mut rng = Rng::named(&format!("sip dialog {} {} {label}", phone.user, phone.transport));
        Self { phone, call_id: hex(&rng.array::<10>()), tag: hex(&rng.array::<4>()), rng }
    }

    fn contact(&self) -> String {
        let transport = self.phone.transport.to_ascii_lowercase();
        format!("<sip:{}@{};transport={transport}>", self.phone.user, self.phone.address)
    }

    fn request(&mut self, method: &str, uri: &str, to: &str, number: u32, more: &str, body: &str) -> String {
        let branch = hex(&self.rng.array::<6>());
        let Phone { user, domain, address, transport, .. } = self.phone;
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{transport} {address};branch=z9hG4bK{branch};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{user}@{domain}>;tag={}\r\nTo: {to}\r\nCall-ID: {}\r\n\
             CSeq: {number} {method}\r\nUser-Agent: make_captures\r\n{more}{}",
            self.tag,
            self.call_id,
            with_length(body)
        )
    }

    /// RFC 3261 §8.2.6: Via, From, To, Call-ID and `CSeq` are those of the request.
    fn answer(status: &str, request: &str, tag: &str, more: &str, body: &str) -> String {
        let mut out = format!("SIP/2.0 {status}\r\n");
        for line in request.split("\r\n").skip(1).take_while(|line| !line.is_empty()) {
            let copied =
                ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name));
            if !copied {
                continue;
            }
            out.push_str(line);
            if line.starts_with("To:") && !line.contains(";tag=") && !tag.is_empty() {
                write!(out, ";tag={tag}").unwrap();
            }
            out.push_str("\r\n");
        }
        write!(out, "Server: make_captures\r\n{more}{}", with_length(body)).unwrap();
        out
    }
}

fn with_length(body: &str) -> String {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!("{kind}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// RFC 2617 §3.2.2 without `qop`. The password guards nothing.
fn digest(phone: &Phone<'_>, nonce: &str, uri: &str) -> String {
    let md5 = |text: String| hex(&Md5::digest(text));
    let secret = md5(format!("{}:{}:generated", phone.user, phone.domain));
    let request = md5(format!("REGISTER:{uri}"));
    md5(format!("{secret}:{nonce}:{request}"))
}

fn sdp(media: SocketAddrV4, codec: Codec, key: Option<&[u8; 30]>, name: &str) -> String {
    let Codec { payload_type, map } = codec;
    let (address, port): (&Ipv4Addr, u16) = (media.ip(), media.port());
    let profile = if key.is_some() { "RTP/SAVP" } else { "RTP/AVP" };
    let packet_ms = if payload_type == PCMU.payload_type { 20 } else { 40 };
    let mut out = format!(
        "v=0\r\no={name} 20260 1 IN IP4 {address}\r\ns=call\r\nc=IN IP4 {address}\r\nt=0 0\r\n\
         m=audio {port} {profile} {payload_type}\r\na=rtpmap:{payload_type} {map}\r\na=ptime:{packet_ms}\r\n"
    );
    if let Some(key) = key {
        write!(out, "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{}\r\n", STANDARD.encode(key)).unwrap();
    }
    out.push_str("a=sendrecv\r\n");
    out
}

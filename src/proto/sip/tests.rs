//! The INVITE and the answer follow RFC 3261 §24.2 and RFC 8866 §5; attributes follow the RFC named beside them.

use proptest::prelude::*;

use super::*;
use crate::bytes::near::near;

const INVITE: &str = "INVITE sip:bob@biloxi.example.com SIP/2.0\r\n\
Via: SIP/2.0/UDP pc33.atlanta.example.com;branch=z9hG4bKnashds8\r\n\
Via: SIP/2.0/UDP second.example.com;branch=z9hG4bK2\r\n\
Max-Forwards: 70\r\n\
To: Bob <sip:bob@biloxi.example.com>\r\n\
From: Alice <sip:alice@atlanta.example.com>;tag=1928301774\r\n\
Call-ID: a84b4c76e66710\r\n\
CSeq: 314159 INVITE\r\n\
Contact: <sip:alice@pc33.atlanta.example.com>\r\n\
User-Agent: test/1\r\n\
Content-Type: application/sdp\r\n\
Content-Length: 4\r\n\
\r\n\
v=0\nNEXT";

const SDP: &str = "v=0\r\n\
o=jdoe 3724394400 3724394405 IN IP4 198.51.100.1\r\n\
s=Call to John Smith\r\n\
c=IN IP4 198.51.100.1\r\n\
t=0 0\r\n\
a=ice-ufrag:8hhY\r\n\
a=fingerprint:sha-256 12:DF:3E\r\n\
a=setup:actpass\r\n\
m=audio 49170/2 RTP/SAVP 0 96\r\n\
a=rtpmap:0 PCMU/8000\r\n\
a=rtpmap:96 opus/48000/2\r\n\
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:32\r\n\
a=candidate:1 1 UDP 2130706431 203.0.113.141 8998 typ host\r\n\
a=candidate:2 1 UDP 1694498815 192.0.2.3 45664 typ srflx raddr 203.0.113.141 rport 8998\r\n\
a=rtcp:49171\r\n\
a=recvonly\r\n\
m=video 0 UDP/TLS/RTP/SAVPF 99\r\n\
c=IN IP6 2001:db8::2\r\n\
a=rtcp-mux\r\n\
a=zrtp-hash:1.10 fe30efd02423cb054e50efd0248742ac7a52c8f91bc2\r\n";

#[test]
fn request_gives_the_fields_that_tie_a_call_together() {
    let message = parse(INVITE.as_bytes()).unwrap();
    assert_eq!(message.start, StartLine::Request { method: "INVITE", uri: "sip:bob@biloxi.example.com" });
    assert_eq!(message.call_id, Some(&b"a84b4c76e66710"[..]));
    assert_eq!(message.from, Some(&b"Alice <sip:alice@atlanta.example.com>;tag=1928301774"[..]));
    assert_eq!(message.via, Some("SIP/2.0/UDP pc33.atlanta.example.com;branch=z9hG4bKnashds8"));
    assert_eq!(message.cseq, Some("314159 INVITE"));
    assert_eq!(message.software, Some(&b"test/1"[..]));
    assert_eq!(message.body, b"v=0\n");
    assert!(message.sdp().is_some());
    assert_eq!(probe(INVITE.as_bytes()), Probe::Yes);
}

#[test]
fn compact_forms_mean_the_same() {
    let text = "SIP/2.0 200 OK\r\nv: SIP/2.0/TCP a\r\ni: x\r\nf: <sip:a>\r\nt: <sip:b>\r\nm: <sip:c>\r\nc: text/plain\r\nl: 0\r\n\r\n";
    let message = parse(text.as_bytes()).unwrap();
    assert_eq!(message.start, StartLine::Response { status: 200, reason: "OK" });
    assert_eq!((message.call_id, message.via), (Some(&b"x"[..]), Some("SIP/2.0/TCP a")));
    assert_eq!(
        (message.from, message.to, message.contact),
        (Some(&b"<sip:a>"[..]), Some(&b"<sip:b>"[..]), Some("<sip:c>"))
    );
    assert_eq!((message.content_type, message.content_length), (Some("text/plain"), Some(0)));
}

#[test]
fn lines_that_are_not_text_are_counted() {
    let bytes = [b"SIP/2.0 180 Ringing\nX: \xFF\xFE\nnonsense\nCall-ID: y\n\n".as_slice()].concat();
    let message = parse(&bytes).unwrap();
    assert_eq!((message.call_id, message.skipped_lines), (Some(&b"y"[..]), 2));
}

#[test]
fn names_are_kept_whatever_their_bytes() {
    let bytes = b"SIP/2.0 180 Ringing\r\nCall-ID : \xff@a \r\nf: \"\xe9ric\" <sip:e>\r\nServer:\xfe\r\nTo: <sip:b>\r\n\
        Via: \xff\r\n\xff\r\n\r\n";
    let message = parse(bytes).unwrap();
    assert_eq!(
        [message.call_id, message.from, message.to, message.software],
        [&b"\xff@a"[..], b"\"\xe9ric\" <sip:e>", b"<sip:b>", b"\xfe"].map(Some)
    );
    assert_eq!((message.via, message.skipped_lines), (None, 2));
}

#[test]
fn stream_is_cut_at_content_length() {
    let whole = INVITE.len() - "NEXT".len();
    assert_eq!(message_length(INVITE.as_bytes()).unwrap(), Some(whole));
    assert_eq!(message_length(&INVITE.as_bytes()[..200]).unwrap(), None);
    let kept_alive = format!("\r\n\r\n{INVITE}");
    assert_eq!(message_length(kept_alive.as_bytes()).unwrap(), Some(whole + 4));
    assert_eq!(message_length(b"\r\n").unwrap(), None);
    assert!(message_length(b"GET / HTTP/1.1\r\n").is_err());
    assert!(message_length(b"SIP/2.0 200 OK\r\nl: 999999999\r\n\r\n").is_err());
}

#[test]
fn http_rtsp_and_noise_are_not_sip() {
    for text in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
        "SETUP rtsp://example.com/stream RTSP/1.0\r\nCSeq: 3\r\n\r\n",
        "RTSP/1.0 200 OK\r\n\r\n",
        "OPTIONS rtsp://example.com RTSP/1.0\r\n",
        "OPTIONS * HTTP/1.1\r\n",
        "SIP/2.0 20 short\r\n",
        "SIP/2.0 999 beyond\r\n",
        "NOTIFY * HTTP/1.1\r\n",
        "",
        "\r\n\r\n",
        "GET",
        "S",
    ] {
        assert_eq!(probe(text.as_bytes()), Probe::No, "{text}");
    }
    assert_eq!(probe(b"INVITE sip:bob@bil"), Probe::Maybe);
    assert_eq!(probe(b"SIP/2"), Probe::Maybe);
    assert_eq!(probe(b"OPTIONS tel:+15550100 SIP/2.0\r\n"), Probe::Yes);
}

#[test]
fn description_says_where_media_flows_and_how_it_is_protected() {
    let sdp = Sdp::parse(SDP.as_bytes()).unwrap();
    assert_eq!((sdp.name, sdp.media.len(), sdp.skipped_lines), (Some("Call to John Smith"), 2, 0));
    let audio = &sdp.media[0];
    assert_eq!((audio.kind, audio.port, audio.protocol), ("audio", 49170, "RTP/SAVP"));
    assert_eq!(audio.formats, ["0", "96"]);
    assert_eq!(audio.connection.unwrap().ip(), Some("198.51.100.1".parse().unwrap()));
    assert_eq!(audio.rtpmap[1], RtpMap { payload_type: 96, encoding: "opus", clock_rate: 48000 });
    let inline = Some("WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:32");
    assert_eq!(audio.crypto, [Crypto { suite: "AES_CM_128_HMAC_SHA1_80", is_unencrypted: false, inline }]);
    assert_eq!((audio.rtcp_port, audio.direction), (Some(49171), Direction::ReceiveOnly));
    assert_eq!(audio.candidates.len(), 2);
    let reflexive = audio.candidates[1];
    assert_eq!((reflexive.address, reflexive.port, reflexive.kind), ("192.0.2.3", 45664, "srflx"));
    let video = &sdp.media[1];
    assert_eq!(video.connection.unwrap().address, "2001:db8::2");
    assert_eq!((video.rtcp_mux, video.zrtp_hash, video.ice_ufrag), (true, true, Some("8hhY")));
    assert_eq!((video.setup, video.fingerprints[0].algorithm), (Some("actpass"), "sha-256"));
    assert!(
        video.crypto.is_empty() && video.candidates.is_empty(),
        "what one medium says is not the other's"
    );
}

#[test]
fn keys_never_reach_debug_output() {
    let text = format!("SIP/2.0 200 OK\r\nc: application/sdp\r\n\r\n{SDP}");
    let message = parse(text.as_bytes()).unwrap();
    let printed = format!("{message:?} {:?}", message.sdp().unwrap());
    assert!(!printed.contains("WVNfX19"));
}

#[test]
fn description_is_found_in_a_multipart_body() {
    let body = format!("--b1\r\nContent-Type: application/sdp\r\n\r\n{SDP}--b1--\r\nignored\r\n");
    let sdp = Sdp::parse(body.as_bytes()).unwrap();
    assert_eq!((sdp.media.len(), sdp.skipped_lines), (2, 0));
}

#[test]
fn every_prefix_is_an_error_or_shorter() {
    let text = format!("{}{SDP}", INVITE.replace("Content-Length: 4\r\n", "").replace("v=0\nNEXT", ""));
    let first_line = text.find('\n').unwrap();
    for end in 0..text.len() {
        let cut = &text.as_bytes()[..end];
        match parse(cut) {
            Ok(message) => {
                assert!(end > first_line);
                let _ = message.sdp();
            }
            Err(error) => assert!(error.is_truncated() && end <= first_line, "{end}: {error}"),
        }
        let _ = (probe(cut), message_length(cut).unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = (parse(&bytes), probe(&bytes), message_length(&bytes), Sdp::parse(&bytes));
    }

    #[test]
    fn never_panics_on_near_text(
        lines in prop::collection::vec("[a-zA-Z:= /.0-9\\-]{0,40}", 0..30),
        attributes in prop::collection::vec("(a=(crypto|candidate|rtpmap|rtcp|fingerprint):|m=|c=)[a-z0-9 :/.|]{0,40}", 0..20),
    ) {
        let text = format!("SIP/2.0 200 OK\r\n{}\r\n\r\nv=0\r\n{}", lines.join("\r\n"), attributes.join("\r\n"));
        if let Ok(message) = parse(text.as_bytes()) { let _ = message.sdp(); }
        let _ = (message_length(text.as_bytes()), Sdp::parse(text.as_bytes()));
    }

    #[test]
    fn near_a_message_its_length_ends_it_and_its_body_lies_in_it(bytes in near([INVITE.to_owned(), with_sdp()])) {
        let _ = probe(&bytes);
        if let Ok(Some(length)) = message_length(&bytes)
            && let Some(whole) = bytes.get(..length)
        {
            prop_assert_eq!(message_length(whole), Ok(Some(length)), "what follows changes nothing");
        }
        if let Ok(message) = parse(&bytes) {
            let _ = message.sdp();
            prop_assert!(message.body.is_empty() || bytes.windows(message.body.len()).any(|part| part == message.body));
        }
    }

    #[test]
    fn near_a_description_each_medium_has_its_line(bytes in near([SDP])) {
        if let Ok(sdp) = Sdp::parse(&bytes) {
            let lines = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).filter(|line| line.starts_with(b"m=")).count();
            prop_assert!(sdp.media.len() <= lines);
            let _ = format!("{sdp:?}");
        }
    }
}

/// The description as the body of a request.
fn with_sdp() -> String {
    let head = INVITE.split("Content-Length").next().unwrap();
    format!("{head}Content-Length: {}\r\n\r\n{SDP}", SDP.len())
}

//! Vectors are laid out by hand after RFC 1035 §4.1 and RFC 9460 appendix D; no capture is behind them.

use proptest::prelude::*;

use super::*;
use crate::bytes::near::near;

fn header(flags: u16, counts: [u16; 4]) -> Vec<u8> {
    let mut bytes = vec![0xAB, 0xCD];
    bytes.extend(flags.to_be_bytes());
    bytes.extend(counts.iter().flat_map(|count| count.to_be_bytes()));
    bytes
}

fn labels(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

fn question(name: &[u8], qtype: u16) -> Vec<u8> {
    [name, &qtype.to_be_bytes(), &[0, 1]].concat()
}

fn record(name: &[u8], rtype: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap();
    [name, &rtype.to_be_bytes(), &[0, 1], &ttl.to_be_bytes(), &length.to_be_bytes(), data].concat()
}

/// A name of the other reader, in our words.
fn told(name: &simple_dns::Name<'_>) -> String {
    let letter = |byte: &u8| match byte {
        b'.' | b'\\' => format!("\\{byte:03}"),
        byte if byte.is_ascii_graphic() => char::from(byte.to_ascii_lowercase()).to_string(),
        byte => format!("\\{byte:03}"),
    };
    let labels: Vec<String> = name.as_bytes().map(|label| label.iter().map(letter).collect()).collect();
    labels.join(".")
}

/// An answer whose names of protocols are but told apart where they are not plain: the other reader does not give all of their bytes.
fn plain(mut answer: Answer) -> Answer {
    if let Answer::Service { alpn, .. } = &mut answer {
        let is_odd = |name: &&mut String| !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        alpn.iter_mut().filter(is_odd).for_each(|name| *name = "odd".to_owned());
    }
    answer
}

/// An answer of the other reader, in our words.
fn peer(record: &simple_dns::ResourceRecord<'_>) -> Option<Answer> {
    use simple_dns::rdata::{RData, SVCParam};
    if record.class != simple_dns::CLASS::IN {
        return None;
    }
    let (name, ttl) = (CompactString::from(told(&record.name)), record.ttl);
    #[expect(clippy::wildcard_enum_match_arm, reason = "other kinds tie no name to an address")]
    match &record.rdata {
        RData::A(a) => Some(Answer::Address { name, address: Ipv4Addr::from(a.address).into(), ttl }),
        RData::AAAA(a) => Some(Answer::Address { name, address: Ipv6Addr::from(a.address).into(), ttl }),
        RData::CNAME(target) => Some(Answer::Alias { name, target: told(target).into(), ttl }),
        RData::PTR(target) => Some(Answer::Pointer { name, target: told(target).into(), ttl }),
        RData::SRV(srv) => {
            Some(Answer::Location { name, target: told(&srv.target).into(), port: srv.port, ttl })
        }
        RData::HTTPS(simple_dns::rdata::HTTPS(svcb)) | RData::SVCB(svcb) => {
            let (mut alpn, mut hints, mut port, mut ech) = (Vec::new(), Vec::new(), None, false);
            // An alias has none.
            for param in svcb.iter_params().filter(|_| svcb.priority > 0) {
                match param {
                    SVCParam::Alpn(ids) => {
                        alpn = ids.iter().map(|id| id.to_string().to_ascii_lowercase()).collect();
                    }
                    SVCParam::Port(number) => port = Some(*number),
                    SVCParam::Ipv4Hint(list) => {
                        hints.extend(list.iter().map(|ip| IpAddr::from(ip.to_be_bytes())));
                    }
                    SVCParam::Ipv6Hint(list) => {
                        hints.extend(list.iter().map(|ip| IpAddr::from(ip.to_be_bytes())));
                    }
                    SVCParam::Ech(_) => ech = true,
                    _ => {}
                }
            }
            let (target, priority) = (told(&svcb.target).into(), svcb.priority);
            Some(Answer::Service { name, target, priority, alpn, port, hints, ech, ttl })
        }
        _ => None,
    }
}

/// `Example.COM` asked for; an alias by compression pointer, then both address kinds.
fn reply() -> Vec<u8> {
    [
        header(0x8180, [1, 3, 0, 1]),
        question(&labels("Example.COM"), 1),
        record(&[0xC0, 12], 5, 300, &[3, b'w', b'w', b'w', 0xC0, 12]),
        record(&[0xC0, 41], 1, 60, &[192, 0, 2, 1]),
        record(&[0xC0, 41], 28, 61, &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5]),
        vec![0, 0, 41, 4, 0xD0, 0, 0, 0, 0, 0, 0],
    ]
    .concat()
}

#[test]
fn reply_is_flattened_and_lower_cased() {
    let message = parse(&reply()).unwrap();
    assert_eq!((message.id, message.is_response, message.rcode), (0xABCD, true, Rcode::NO_ERROR));
    assert_eq!(message.questions, [Question { name: "example.com".into(), qtype: RecordType::A }]);
    assert_eq!(
        message.answers,
        [
            Answer::Alias { name: "example.com".into(), target: "www.example.com".into(), ttl: 300 },
            Answer::Address {
                name: "www.example.com".into(),
                address: "192.0.2.1".parse().unwrap(),
                ttl: 60
            },
            Answer::Address {
                name: "www.example.com".into(),
                address: "2001:db8::5".parse().unwrap(),
                ttl: 61
            },
        ]
    );
    assert!(!message.partial);
    assert_eq!(probe(&reply()), Probe::Yes);
}

/// A service record with all parameters that are read, and one that is not.
fn services() -> Vec<u8> {
    let data = [
        vec![0, 1, 0],
        vec![0, 1, 0, 6, 2, b'h', b'3', 2, b'h', b'2'],
        vec![0, 3, 0, 2, 0x20, 0xFB],
        vec![0, 4, 0, 4, 192, 0, 2, 9],
        vec![0, 5, 0, 4, 0, 2, 0xAA, 0xBB],
        vec![0, 6, 0, 16, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7],
        vec![0, 7, 0, 1, b'/'],
    ]
    .concat();
    [header(0x8180, [1, 1, 0, 0]), question(&labels("a.test"), 65), record(&[0xC0, 12], 65, 9, &data)]
        .concat()
}

#[test]
fn https_record_gives_alpn_hints_and_ech() {
    let message = parse(&services()).unwrap();
    assert_eq!(
        message.answers,
        [Answer::Service {
            name: "a.test".into(),
            target: CompactString::default(),
            priority: 1,
            alpn: vec!["h3".into(), "h2".into()],
            port: Some(8443),
            hints: vec!["192.0.2.9".parse().unwrap(), "2001:db8::7".parse().unwrap()],
            ech: true,
            ttl: 9,
        }]
    );
}

fn pointers() -> Vec<u8> {
    [
        header(0x8180, [0, 2, 0, 0]),
        record(&labels("1.2.0.192.in-addr.arpa"), 12, 5, &labels("host.test")),
        record(
            &labels("_sip._udp.test"),
            33,
            6,
            &[&[0, 1, 0, 2, 0x13, 0xC4], &labels("sip.test")[..]].concat(),
        ),
    ]
    .concat()
}

#[test]
fn pointer_and_location_records_are_kept() {
    let message = parse(&pointers()).unwrap();
    assert!(matches!(&message.answers[0], Answer::Pointer { target, .. } if target == "host.test"));
    assert!(
        matches!(&message.answers[1], Answer::Location { port: 5060, target, .. } if target == "sip.test")
    );
}

#[test]
fn hostile_bytes_in_a_name_are_escaped() {
    let name = [&[5, b'a', b'.', b'\\', 0x1B, 0xFF, 1, b'B'][..], &[0]].concat();
    let bytes = [header(0x0100, [1, 0, 0, 0]), question(&name, 1)].concat();
    assert_eq!(parse(&bytes).unwrap().questions[0].name, r"a\046\092\027\255.b");
}

#[test]
fn what_is_whole_is_kept_of_a_cut_reply() {
    let bytes = reply();
    let message = parse(&bytes[..bytes.len() - 15]).unwrap();
    assert_eq!((message.answers.len(), message.partial), (2, true));
}

#[test]
fn an_odd_record_does_not_hide_those_before_it() {
    let bytes = [
        header(0x8180, [1, 2, 0, 0]),
        question(&labels("a.test"), 1),
        record(&[0xC0, 12], 1, 9, &[192, 0, 2, 1]),
        record(&[0xC0, 12], 1, 9, &[192, 0, 2]),
    ]
    .concat();
    let message = parse(&bytes).unwrap();
    assert_eq!((message.answers.len(), message.partial), (1, true));
}

/// An answer of each kind that is read, and of some that are not, as it must not be, between two addresses.
#[test]
fn an_odd_answer_hides_neither_those_before_nor_those_behind() {
    let address = record(&[0xC0, 12], 1, 9, &[192, 0, 2, 1]);
    let asked = question(&labels("a.test"), 1);
    let service = |parameters: &[u8]| [&[0, 1, 0][..], parameters].concat();
    for (rtype, data) in [
        (1, vec![]),
        (1, vec![192, 0, 2]),
        (2, vec![0, 0]),
        (5, vec![0xC0, 12, 0]),
        (12, vec![0xC0, 2]),
        (28, vec![0; 15]),
        (33, vec![0, 1]),
        (41, vec![]),
        (65, service(&[0, 3, 0, 1, 8])),
        (65, service(&[0, 3, 0, 3, 8, 8, 8])),
        (65, service(&[0, 5, 0, 1, 8])),
        (65, service(&[0, 1, 0, 0])),
        (65, service(&[0, 1, 0, 1, 0])),
        (65, service(&[0, 4, 0, 0])),
        (65, service(&[0, 0, 0, 4, 0, 3, 0, 1])),
        (65, service(&[0, 4, 0, 4, 192, 0, 2, 9, 0, 4, 0, 4, 192, 0, 2, 9])),
    ] {
        let odd = record(&[0xC0, 12], rtype, 9, &data);
        let bytes = [&header(0x8180, [1, 3, 0, 0])[..], &asked, &address, &odd, &address].concat();
        let message = parse(&bytes).unwrap();
        assert_eq!((message.answers.len(), message.partial), (2, true), "{rtype} {data:?}");
    }
    // An address of CHAOS (RFC 1035 section 3.2.4), whose data is another.
    let mut chaos = address.clone();
    chaos[5] = 3;
    let bytes = [&header(0x8180, [1, 2, 0, 0])[..], &asked, &chaos, &address].concat();
    assert_eq!((parse(&bytes).unwrap().answers.len(), parse(&bytes).unwrap().partial), (1, false));
    // An alias (RFC 9460 section 2.4.2): its parameters are not looked at.
    let alias = record(&[0xC0, 12], 65, 9, &[0, 0, 0, 0, 4, 0, 1, 9]);
    let bytes = [&header(0x8180, [1, 1, 0, 0])[..], &asked, &alias].concat();
    let message = parse(&bytes).unwrap();
    assert!(matches!(&message.answers[..], [Answer::Service { priority: 0, hints, .. }] if hints.is_empty()));
    assert!(!message.partial);
}

#[test]
fn what_is_odd_and_not_looked_at_hides_nothing() {
    let address = record(&[0xC0, 12], 1, 9, &[192, 0, 2, 1]);
    // A mail exchange (RFC 1035 section 3.3.9) without a name, between two addresses.
    let exchange = record(&[0xC0, 12], 15, 9, &[0]);
    let asked = question(&labels("a.test"), 1);
    let bytes = [&header(0x8180, [1, 3, 0, 0])[..], &asked, &address, &exchange, &address].concat();
    let message = parse(&bytes).unwrap();
    assert_eq!((message.answers.len(), message.partial), (2, false));
    // A type without a name (RFC 3597), and a second question whose name leads to itself.
    let bytes = [header(0x0100, [2, 0, 0, 0]), question(&labels("b.test"), 513), vec![0xC0, 24, 0, 1, 0, 1]];
    let message = parse(&bytes.concat()).unwrap();
    assert_eq!((message.questions[0].name.as_str(), message.questions[0].qtype.0), ("b.test", 513));
    assert_eq!((message.questions.len(), message.partial), (1, true));
}

#[test]
fn a_record_that_is_refused_leaves_the_question() {
    let bytes =
        [header(0x8180, [1, 1, 0, 0]), question(&labels("a.test"), 33), record(&[0xC0, 12], 33, 9, &[0, 1])]
            .concat();
    let message = parse(&bytes).unwrap();
    assert_eq!((message.questions.len(), message.answers.len(), message.partial), (1, 0, true));
}

#[test]
fn counts_without_records_cost_nothing() {
    let message = parse(&header(0x8180, [0, u16::MAX, u16::MAX, u16::MAX])).unwrap();
    assert!(message.partial && message.answers.is_empty());
    assert!(parse(&header(0x0100, [u16::MAX, 0, 0, 0])).unwrap_err().is_truncated());
}

#[test]
fn pointer_loops_end_in_an_error() {
    for target in [12_u8, 14, 11] {
        let bytes = [header(0x0100, [1, 0, 0, 0]), vec![0xC0, target, 0, 1, 0, 1]].concat();
        let _ = parse(&bytes);
    }
    let bytes = [header(0x0100, [1, 0, 0, 0]), question(&[1, b'a', 0xC0, 12], 1)].concat();
    assert!(parse(&bytes).is_err());
}

#[test]
fn chains_of_pointers_end_where_no_name_needs_more() {
    // A record holds pointers, each to the one before it, the first to the root; then an owner starts at the last of them.
    let answers = |hops: u16| {
        let (mut chain, base) = (vec![0_u8, 0], 12 + 11);
        chain.extend((0..hops - 1).flat_map(|hop| (0xC000 | (base + hop * 2)).to_be_bytes()));
        let last = 0xC000 | (base + (hops - 1) * 2);
        let owner = record(&last.to_be_bytes(), 1, 1, &[192, 0, 2, 1]);
        let bytes = [header(0x8180, [0, 2, 0, 0]), record(&[0], 65280, 1, &chain), owner].concat();
        parse(&bytes).unwrap().answers.len()
    };
    assert_eq!((answers(2), answers(127), answers(128), answers(3500)), (1, 1, 0, 0));
}

#[test]
fn tcp_messages_are_cut_by_their_length() {
    let body = reply();
    let length = u16::try_from(body.len()).unwrap();
    let mut stream = [&length.to_be_bytes()[..], &body].concat();
    assert!(split_tcp(&stream[..stream.len() - 1]).unwrap_err().is_truncated());
    stream.extend([9, 9]);
    assert_eq!(split_tcp(&stream).unwrap(), (&body[..], &[9_u8, 9][..]));
    assert!(!split_tcp(&[0, 3, 1, 2, 3]).unwrap_err().is_truncated());
}

#[test]
fn every_prefix_is_an_error_or_partial() {
    let bytes = reply();
    for end in 0..bytes.len() - 11 {
        match parse(&bytes[..end]) {
            Ok(message) => assert!(message.partial),
            Err(error) => assert!(error.is_truncated() || end > 12, "{end}: {error}"),
        }
        let _ = probe(&bytes[..end]);
    }
}

#[test]
fn stun_is_not_taken_for_dns() {
    let stun = [&[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42][..], &[7; 12]].concat();
    assert_eq!(probe(&stun), Probe::No);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = (parse(&bytes), probe(&bytes), split_tcp(&bytes));
    }

    #[test]
    fn never_panics_near_a_real_message(
        changes in prop::collection::vec((0..96_usize, any::<u8>()), 1..6),
        rtype in prop::sample::select(vec![5_u16, 6, 15, 16, 33, 35, 41, 47, 64, 65, 257]),
        data in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut bytes = reply();
        bytes[7] = 4;
        bytes.truncate(bytes.len() - 11);
        bytes.extend(record(&[0xC0, 12], rtype, 1, &data));
        for (at, value) in changes {
            if let Some(byte) = bytes.get_mut(at) { *byte = value; }
        }
        let _ = (parse(&bytes), probe(&bytes));
    }
}

#[test]
fn reverse_names_stand_for_addresses() {
    let address = |name| reverse_address(name).map(|address| address.to_string());
    // RFC 1035 section 3.5 and RFC 3596 section 2.5.
    assert_eq!(address("52.0.2.10.in-addr.arpa").as_deref(), Some("10.2.0.52"));
    let six = "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa";
    assert_eq!(address(six).as_deref(), Some("4321:0:1:2:3:4:567:89ab"));
    for none in [
        "2.10.in-addr.arpa",
        "1.52.0.2.10.in-addr.arpa",
        "256.0.2.10.in-addr.arpa",
        "+1.0.2.10.in-addr.arpa",
        "in-addr.arpa",
        "x.0.2.10.in-addr.arpa",
        "0.b.ip6.arpa",
        "example.org",
        ".in-addr.arpa",
        "4.ip6.arpa",
    ] {
        assert_eq!(address(none), None, "{none}");
    }
    assert_eq!(address(&format!("0.{six}")), None);
}

proptest! {
    #[test]
    fn near_a_reply_no_more_is_read_than_announced_and_names_are_safe(bytes in near([reply()])) {
        let _ = probe(&bytes);
        if let Ok(message) = parse(&bytes) {
            let counts: Vec<usize> = bytes[4..8].chunks(2).map(|pair| usize::from(u16::from_be_bytes([pair[0], pair[1]]))).collect();
            prop_assert!(message.questions.len() <= counts[0] && message.answers.len() <= counts[1]);
            for question in &message.questions {
                prop_assert!(question.name.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase()));
            }
        }
        let question = record::skip_question(&bytes, HEADER_LENGTH);
        prop_assert!(question.is_none_or(|(next, ..)| (HEADER_LENGTH + 5..=bytes.len()).contains(&next)));
    }

    /// Wherever one looks for a name or a record, it ends behind its beginning and inside the message.
    #[test]
    fn near_a_reply_names_and_records_end_inside(bytes in near([reply(), services(), pointers()]), at in 0..300_usize) {
        let mut text = Vec::new();
        let inside = |end: usize| (at + 1..=bytes.len()).contains(&end);
        let (end, name) = (name::skip(&bytes, at), name::text(&bytes, at, &mut text));
        prop_assert!(end.is_none_or(inside));
        if let Some(name) = name {
            prop_assert!(end.is_some() && name.len() <= 254 * 4);
            prop_assert!(name.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase()));
        }
        prop_assert!(record::answer(&bytes, at, &mut text).is_none_or(|(_, end)| inside(end)));
        prop_assert!(record::question(&bytes, at, &mut text).is_none_or(|(_, end)| inside(end)));
        let (found, end) = record::all(&bytes, at, 5, |at| record::answer(&bytes, at, &mut text));
        prop_assert!(found.items.len() <= found.read && found.read <= 5 && (found.read == 0 || end > at));
        if record::question(&bytes, HEADER_LENGTH, &mut text).is_none() {
            prop_assert!(record::fault_of_question(&bytes, 1).field().starts_with("dns "));
        }
    }

    /// What another reader makes of all of a message, this one does too.
    #[test]
    fn near_a_reply_what_simple_dns_reads_is_read(bytes in near([reply(), services(), pointers()])) {
        let mut bytes = bytes;
        // It reads what we do not, and gives up a message for it.
        if let Some(counts) = bytes.get_mut(8..12) {
            counts.fill(0);
        }
        // It follows pointers into the header.
        let strays = bytes.windows(2).any(|pair| pair[0] == 0xC0 && usize::from(pair[1]) < HEADER_LENGTH);
        if let Ok(packet) = simple_dns::Packet::parse(&bytes)
            && !strays
            && packet.questions.len() <= MAX_QUESTIONS
            && packet.answers.len() <= MAX_ANSWERS
            && bytes[3] & 0x40 == 0
        {
            let message = parse(&bytes).unwrap();
            let others = packet.questions.iter().map(|question| (told(&question.qname), u16::from(question.qtype)));
            let ours = message.questions.iter().map(|question| (question.name.to_string(), question.qtype.0));
            prop_assert!(ours.eq(others));
            // An answer with data behind a name, or with parameters that are none, is left out here.
            let others: Vec<Answer> = packet.answers.iter().filter_map(peer).map(plain).collect();
            let ours: Vec<Answer> = message.answers.into_iter().map(plain).collect();
            let mut rest = others.iter();
            prop_assert!(ours.iter().all(|own| rest.any(|other| own == other)), "{ours:?} {others:?}");
            prop_assert!(message.partial || others.len() == ours.len());
        }
    }

    /// And where this one has read all, so does the other, but for kinds of data that are not looked at here.
    #[test]
    fn near_a_reply_what_is_read_simple_dns_reads(bytes in near([reply(), services(), pointers()])) {
        let mut bytes = bytes;
        if let Some(counts) = bytes.get_mut(8..12) {
            counts.fill(0);
        }
        if let Ok(message) = parse(&bytes)
            && !message.partial
            && let Ok(header) = Header::parse(&bytes)
            && usize::from(header.answers) == message.answers.len()
            && !message.answers.iter().any(|answer| matches!(answer, Answer::Service { priority: 0, .. }))
        {
            let packet = simple_dns::Packet::parse(&bytes);
            // Types that nobody has given a name to (RFC 3597) it does not let ask for.
            let is_read = matches!(packet, Ok(_) | Err(simple_dns::SimpleDnsError::InvalidQType(_)));
            prop_assert!(is_read, "{packet:?}");
        }
    }

    #[test]
    fn near_a_stream_the_first_message_and_what_follows_are_the_stream(
        stream in near([[&u16::try_from(reply().len()).unwrap().to_be_bytes()[..], &reply(), &[0, 12]].concat()]),
    ) {
        let length = stream.first_chunk().map(|length| usize::from(u16::from_be_bytes(*length)));
        match split_tcp(&stream) {
            Ok((message, rest)) => {
                prop_assert_eq!(length, Some(message.len()));
                prop_assert_eq!(&stream[2..], [message, rest].concat());
            }
            Err(error) => prop_assert!(!error.is_truncated() || length.is_none_or(|length| length + 2 > stream.len())),
        }
    }

    /// Whatever bytes a label has, the text has none that a terminal obeys, and they can be had back but for their case.
    #[test]
    fn names_of_any_bytes_become_safe_text_that_tells_them_apart(
        label in near([&b"meet"[..], b"a\\046b.c", b"\x1b[31m\xff"]).prop_filter("labels of RFC 1035", |label| (1..64).contains(&label.len())),
    ) {
        let asked = question(&[&[u8::try_from(label.len()).unwrap()][..], &label, &[0]].concat(), 1);
        let message = parse(&[header(0x0100, [1, 0, 0, 0]), asked].concat()).unwrap();
        let told = message.questions[0].name.as_bytes();
        prop_assert!(told.iter().all(u8::is_ascii_graphic));
        let (mut back, mut at) = (Vec::new(), 0);
        while at < told.len() {
            let escape = (told[at] == b'\\').then(|| std::str::from_utf8(&told[at + 1..at + 4]).unwrap());
            back.push(escape.map_or(told[at], |digits| digits.parse().unwrap()));
            at += if escape.is_some() { 4 } else { 1 };
        }
        prop_assert_eq!(back, label.to_ascii_lowercase());
    }

    #[test]
    fn text_of_any_kind_is_escaped_into_safe_text(text in ".{0,40}") {
        prop_assert!(name::escaped(text.as_bytes()).bytes().all(|byte| byte.is_ascii_graphic()));
    }

    /// RFC 1035 section 3.5 and RFC 3596 section 2.5, written out.
    #[test]
    fn the_reverse_name_of_any_address_is_that_address(four: [u8; 4], six: [u8; 16], noise in "[0-9a-f.]{0,40}") {
        let name = format!("{}.{}.{}.{}.in-addr.arpa", four[3], four[2], four[1], four[0]);
        prop_assert_eq!(reverse_address(&name), Some(IpAddr::from(four)));
        let nibbles: Vec<String> = six.iter().rev().map(|byte| format!("{:x}.{:x}", byte & 15, byte >> 4)).collect();
        prop_assert_eq!(reverse_address(&format!("{}.ip6.arpa", nibbles.join("."))), Some(IpAddr::from(six)));
        let _ = (reverse_address(&noise), reverse_address(&format!("{noise}.ip6.arpa")), reverse_address(&format!("{noise}.in-addr.arpa")));
    }
}

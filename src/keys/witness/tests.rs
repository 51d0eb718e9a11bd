//! Keys in signalling against captures whose truth is in `captures/README.md`, and calls of baresip where they are at hand.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::*;
use crate::capture::{Merge, Order};
use crate::classify::{self, Rules};
use crate::crypto::hex;
use crate::flow::Direction;
use crate::observe::Summary;
use crate::observe::facts::{Candidate, Form, Opened, Sampling};
use crate::parallel::Threads;
use crate::pipeline::{Config, Memory, Pipeline, analyse};

fn here(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn flows(rules: &Rules, path: &Path, sampling: Sampling) -> Vec<Summary> {
    let config = Config { sampling, ..Config::default() };
    let mut pipeline = Pipeline::new(&config, rules);
    let mut merge = Merge::open(vec![path.to_owned()], Order::Time);
    let mut frame = 0;
    while let Some((_, packet)) = merge.next() {
        frame += 1;
        pipeline.packet(0, frame, &packet).unwrap();
    }
    pipeline.finish().flows
}

fn beijing_key() -> Vec<u8> {
    hex(&std::fs::read_to_string(here("captures/zoom-beijing-2020.key")).unwrap())
}

/// Puts a value into what was opened of the flow to that server.
fn plant(flows: &mut [Summary], server: &str, value: &[u8], packet: u64) {
    let server: IpAddr = server.parse().unwrap();
    let flow = flows
        .iter_mut()
        .find(|flow| flow.tuple.destination.ip() == server && flow.tuple.protocol == 6)
        .unwrap();
    let facts = flow.facts.as_mut().unwrap();
    let opened = facts.opened.get_or_insert_with(|| Box::new(Opened::default()));
    opened.candidates.push(Candidate {
        value: Zeroizing::new(value.to_vec()),
        form: Form::Base64,
        place: "JSON field encryptKey".to_owned(),
        packet: PacketRef::new(0, packet),
        direction: Direction::Reverse,
    });
}

#[test]
fn a_key_in_the_signalling_of_one_participant_opens_the_media_of_both() {
    let rules = classify::embedded().unwrap();
    let mut flows = flows(&rules, &here("captures/zoom-beijing-2020.pcapng"), Sampling::SOME);
    // Other values of the same length, before and after.
    for place in 0..40_u8 {
        plant(&mut flows, "8.5.128.91", &[place ^ 0x5a; 16], u64::from(place) + 1);
    }
    plant(&mut flows, "52.81.151.250", &beijing_key(), 77);
    let analysis = analyse(&rules, &mut Memory::default(), flows, Threads::ONE);
    let zoom: Vec<_> =
        analysis.sessions.iter().filter(|(_, keys)| !keys.witnesses.found.is_empty()).collect();
    assert_eq!(zoom.len(), 2, "one meeting of two");
    for (_, keys) in zoom {
        let found = &keys.witnesses.found;
        assert_eq!((found.len(), keys.witnesses.values), (1, 41));
        assert_eq!(found[0].server.ip().to_string(), "52.81.151.250");
        assert_eq!((found[0].packet.frame(), found[0].delivery), (77, Delivery::Delivered));
        assert_eq!(found[0].cipher, "AES-128-ECB, zero padding");
        assert_eq!(found[0].streams.len(), 4);
        assert!(
            found[0].streams.iter().all(|stream| stream.opened == stream.of && stream.log10_bound < -100.0)
        );
    }
    let (_, toronto) =
        analysis.sessions.iter().find(|(session, _)| session.endpoint.to_string() == "142.1.217.44").unwrap();
    let first = &toronto.holders[0];
    assert_eq!(first.address.to_string(), "52.81.151.250");
    assert!(first.could_hold == CouldHold::Yes && first.confidence > 0.98 && first.packets[0].frame() == 77);
}

#[test]
fn values_that_open_nothing_are_counted_and_accuse_nobody() {
    let rules = classify::embedded().unwrap();
    let mut flows = flows(&rules, &here("captures/zoom-beijing-2020.pcapng"), Sampling::SOME);
    let mut wrong = beijing_key();
    wrong[7] ^= 1;
    plant(&mut flows, "52.81.151.250", &wrong, 77);
    let analysis = analyse(&rules, &mut Memory::default(), flows, Threads::ONE);
    assert!(analysis.sessions.iter().all(|(_, keys)| keys.witnesses.found.is_empty()));
    assert!(
        analysis.sessions.iter().any(|(_, keys)| keys.witnesses.values == 1 && keys.witnesses.streams == 4)
    );
}

/// A call whose SDP went over UDP: the default sampling is enough.
#[test]
fn keys_of_an_sdp_in_the_clear_open_the_streams_of_their_call() {
    let rules = classify::embedded().unwrap();
    let analysis = analyse(
        &rules,
        &mut Memory::default(),
        flows(&rules, &here("captures/sip-sdes-clear.pcapng"), Sampling::FEW),
        Threads::ONE,
    );
    let found: Vec<_> = analysis.sessions.iter().flat_map(|(_, keys)| &keys.witnesses.found).collect();
    let opened: BTreeSet<u32> = found.iter().flat_map(|one| &one.streams).map(|stream| stream.ssrc).collect();
    assert_eq!(opened.len(), 2, "{found:?}");
    assert!(found.iter().all(|one| one.delivery == Delivery::Clear));
    assert!(found.iter().all(|one| one.cipher == "SRTP AES_CM_128_HMAC_SHA1_80"));
    assert!(found.iter().all(|one| one.streams.iter().all(|stream| stream.opened == stream.of)));
}

/// Two of a meeting, each with the same 300 values, among them the key: what one session tries begins with its own.
#[test]
fn values_of_a_meeting_are_tried_once_and_those_beyond_the_cap_are_counted_where_they_stood() {
    let rules = classify::embedded().unwrap();
    let mut flows = flows(&rules, &here("captures/zoom-beijing-2020.pcapng"), Sampling::SOME);
    for server in ["8.5.128.91", "52.81.151.250"] {
        plant(&mut flows, server, &beijing_key(), 77);
        for place in 1..300_u16 {
            plant(&mut flows, server, &[&[0x5a; 14][..], &place.to_be_bytes()].concat(), 100);
        }
    }
    let analysis = analyse(&rules, &mut Memory::default(), flows, Threads::ONE);
    let tried = analysis.sessions.iter().filter(|(_, keys)| keys.witnesses.streams > 0);
    let tried: Vec<&Witnesses> = tried.map(|(_, keys)| &keys.witnesses).collect();
    assert_eq!(tried.len(), 2);
    for found in tried {
        // 600 places, of which each value has two.
        assert!(found.values <= 256 && found.values_left_out >= 600 - 2 * 256, "{found:?}");
        assert!(found.values == 256 || found.values_left_out == 88 + 256 - found.values);
        assert_eq!(found.found.len(), 2, "it was delivered twice");
        assert!(found.found.iter().all(|one| one.streams.len() == 4));
    }
}

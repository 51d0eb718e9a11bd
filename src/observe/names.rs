//! DNS messages into facts.

use super::PacketRef;
use super::facts::{Dns, Facts, LIST_CAP, OtherName};
use crate::proto::dns::{self, Answer};

/// Writes down what a DNS message asks and answers. True when it was one.
pub(super) fn message(facts: &mut Facts, bytes: &[u8], packet: PacketRef) -> bool {
    let message = match dns::parse(bytes) {
        Ok(message) => message,
        Err(error) => {
            facts.anomaly(error.field(), packet);
            return false;
        }
    };
    let known = facts.dns.get_or_insert_with(|| Box::new(Dns { packet, ..Dns::default() }));
    known.messages = known.messages.saturating_add(1);
    for question in &message.questions {
        if known.questions.len() < LIST_CAP && !known.questions.contains(&question.name) {
            known.questions.push(question.name.clone());
        }
    }
    if message.is_response {
        // Aliases end in an address; what the client asked for is the name that it will use.
        let asked = message.questions.first().map(|question| question.name.as_str());
        for answer in &message.answers {
            match answer {
                Answer::Address { name, address, .. } => {
                    learn(known, asked.unwrap_or(name), *address, packet);
                    // Where aliases end, the host's own name may say where it is.
                    if asked.is_some_and(|asked| asked != name) {
                        other_name(known, name, *address, false, packet);
                    }
                }
                Answer::Service { hints, name, .. } => {
                    for hint in hints {
                        learn(known, asked.unwrap_or(name), *hint, packet);
                    }
                }
                Answer::Pointer { name, target, .. } => {
                    if let Some(address) = dns::reverse_address(name) {
                        other_name(known, target, address, true, packet);
                    }
                }
                Answer::Alias { .. } | Answer::Location { .. } => {}
            }
        }
    }
    true
}

fn other_name(known: &mut Dns, name: &str, address: std::net::IpAddr, reverse: bool, packet: PacketRef) {
    let is_held = |held: &OtherName| held.address == address && held.reverse == reverse && held.name == name;
    if known.other_names.len() < LIST_CAP && !known.other_names.iter().any(is_held) {
        known.other_names.push(OtherName { name: name.to_owned(), address, reverse, packet });
    }
}

fn learn(known: &mut Dns, name: &str, address: std::net::IpAddr, packet: PacketRef) {
    let held = known.addresses.iter().any(|(held, at, _)| *at == address && held == name);
    if !held && known.addresses.len() < LIST_CAP {
        known.addresses.push((name.to_owned(), address, packet));
    }
}

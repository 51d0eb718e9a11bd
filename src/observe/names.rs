//! DNS messages into facts.

use std::sync::Arc;

use super::PacketRef;
use super::facts::{Dns, Facts, LIST_CAP, OtherName};
use crate::proto::dns::{self, Answer};

/// True for the ports of name resolution over UDP: DNS, mDNS, LLMNR. On other ports no datagram is read as such, so that these flows alone
/// have [`Facts::dns`].
pub const fn are_ports_of_names([one, other]: [u16; 2]) -> bool {
    matches!(one, 53 | 5353 | 5355) || matches!(other, 53 | 5353 | 5355)
}

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
            known.questions.reserve_exact(1);
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
        known.other_names.reserve_exact(1);
        known.other_names.push(OtherName { name: name.to_owned(), address, reverse, packet });
    }
}

fn learn(known: &mut Dns, name: &str, address: std::net::IpAddr, packet: PacketRef) {
    let held = known.addresses.iter().any(|(held, at, _)| *at == address && **held == *name);
    // The root has no address.
    if !held && !name.is_empty() && known.addresses.len() < LIST_CAP {
        // Most answers give several addresses to one name.
        let last = known.addresses.last().map(|(last, ..)| last).filter(|last| ***last == *name);
        let name = last.map_or_else(|| Arc::from(name), Arc::clone);
        known.addresses.reserve_exact(1);
        known.addresses.push((name, address, packet));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Labels of a name, with the root.
    fn name(text: &str) -> Vec<u8> {
        let mut out: Vec<u8> = text
            .split('.')
            .flat_map(|label| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat())
            .collect();
        out.push(0);
        out
    }

    /// An answer (RFC 1035 section 4.1) to one question with these records: owner, type, data.
    fn answer(asked: &str, kind: u8, records: &[(&str, u8, Vec<u8>)]) -> Vec<u8> {
        let count = u8::try_from(records.len()).unwrap();
        let mut out = vec![0, 7, 0x81, 0x80, 0, 1, 0, count, 0, 0, 0, 0];
        out.extend(name(asked));
        out.extend([0, kind, 0, 1]);
        for (owner, kind, data) in records {
            out.extend(name(owner));
            out.extend([0, *kind, 0, 1, 0, 0, 0, 60, 0, u8::try_from(data.len()).unwrap()]);
            out.extend(data);
        }
        out
    }

    #[test]
    fn names_that_nobody_asked_for_are_kept_apart() {
        let (packet, mut facts) = (PacketRef::new(0, 4), Facts::default());
        let host = "lb-1.eu-central-1.elb.amazonaws.com";
        let records = [("meet.example.org", 5, name(host)), (host, 1, vec![198, 51, 100, 7])];
        assert!(message(&mut facts, &answer("meet.example.org", 1, &records), packet));
        let pointer = "7.100.51.198.in-addr.arpa";
        assert!(message(
            &mut facts,
            &answer(pointer, 12, &[(pointer, 12, name("edge7.example.net"))]),
            packet
        ));
        let other = "example.com";
        assert!(message(&mut facts, &answer(other, 12, &[(other, 12, name("nowhere.example.net"))]), packet));
        let dns = facts.dns.unwrap();
        let address = "198.51.100.7".parse().unwrap();
        assert_eq!(dns.addresses, [("meet.example.org".into(), address, packet)]);
        let told = |name: &str, reverse| OtherName { name: name.to_owned(), address, reverse, packet };
        assert_eq!(dns.other_names, [told(host, false), told("edge7.example.net", true)]);
    }
}

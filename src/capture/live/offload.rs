//! Settings of an interface that make a capture differ from what was on the wire, and the commands that turn them off.

use std::collections::BTreeSet;

/// A feature as the kernel names it, ethtool's word for it, and what it does to a capture.
const DISTORTING: &[(&str, &str, &str)] = &[
    (
        "rx-gro",
        "gro",
        "GRO is on: TCP segments that arrive together are captured as one packet, longer than any on the wire; counts, sizes and \
         times between packets of TCP are those of the joined ones, while UDP media stay as they were",
    ),
    (
        "rx-gro-hw",
        "rx-gro-hw",
        "the adapter joins TCP segments (hardware GRO): they are captured as one packet, longer than any on the wire",
    ),
    (
        "rx-lro",
        "lro",
        "LRO is on: the adapter joins TCP segments and drops what their headers differed in; what is captured is no packet that was \
         on the wire",
    ),
    (
        "rx-gro-list",
        "rx-gro-list",
        "datagrams of UDP that arrive together are joined (fraglist GRO): loss, jitter and bitrates of media would be wrong",
    ),
    (
        "rx-udp-gro-forwarding",
        "rx-udp-gro-forwarding",
        "datagrams of UDP that are forwarded are joined (GRO forwarding): loss, jitter and bitrates of media would be wrong",
    ),
    (
        "rx-vlan-hw-parse",
        "rxvlan",
        "the adapter takes VLAN tags off: libpcap puts the outermost back where the driver tells it, else packets are seen \
         without it",
    ),
];

/// What distorts captures on an interface: a sentence each, with the command that turns it off. Empty where nothing does, or where
/// the system does not tell.
pub fn distortions(interface: &str) -> Vec<String> {
    #[cfg(target_os = "linux")]
    let active = super::netlink::features(interface).unwrap_or_default();
    #[cfg(not(target_os = "linux"))]
    let active = BTreeSet::new();
    of(interface, &active)
}

fn of(interface: &str, active: &BTreeSet<String>) -> Vec<String> {
    let on = DISTORTING.iter().filter(|(name, ..)| active.contains(*name));
    on.map(|(_, word, what)| format!("{what}; `ethtool -K {} {word} off`", quoted(interface))).collect()
}

/// Packets that were longer than the interface lets one be are told of whatever the settings say.
pub fn seen_oversized(interface: &str, packets: u64) -> Option<String> {
    (packets > 0).then(|| {
        format!(
            "{packets} packets were longer than the MTU: they were put together from several before they were captured (GRO, LRO or \
             segmentation by the adapter of a sender on this host); `ethtool -K {} gro off lro off`",
            quoted(interface)
        )
    })
}

/// A name that a shell takes for what it is.
fn quoted(name: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.:@".contains(letter);
    if !name.is_empty() && name.chars().all(is_plain) {
        name.to_owned()
    } else {
        format!("'{}'", name.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_is_told_with_its_command() {
        let active: BTreeSet<String> = ["rx-gro", "rx-checksum", "rx-lro"].map(str::to_owned).into();
        let told = of("eth1", &active);
        assert_eq!(told.len(), 2);
        assert!(told[0].ends_with("`ethtool -K eth1 gro off`"), "{}", told[0]);
        assert!(told[1].ends_with("`ethtool -K eth1 lro off`"), "{}", told[1]);
        assert!(of("eth1", &BTreeSet::new()).is_empty());
    }

    #[test]
    fn a_name_is_no_command() {
        let told = seen_oversized("a;b'c", 3).unwrap();
        assert!(told.contains(r"'a;b'\''c'"), "{told}");
        assert_eq!(seen_oversized("eth1", 0), None);
    }
}

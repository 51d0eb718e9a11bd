//! What the system tells of an interface beside libpcap: its own drop counters and its MTU. Linux only; elsewhere nothing.

use std::fs;

/// Packets that the interface or its driver dropped since it came up; none where the system does not tell.
///
/// `rx_dropped` (no room in the host's queues) and `rx_missed_errors` (no room in the adapter) count packets and do not overlap
/// (kernel.org, networking/statistics). `rx_fifo_errors`, which libpcap adds, counts events and may count the same loss again.
pub(super) fn dropped(interface: &str) -> Option<u64> {
    let dropped = number(interface, "statistics/rx_dropped")?;
    let missed = number(interface, "statistics/rx_missed_errors").unwrap_or(0);
    Some(dropped.saturating_add(missed))
}

/// Most bytes of a packet behind its link header.
pub(super) fn mtu(interface: &str) -> Option<u64> {
    number(interface, "mtu")
}

fn number(interface: &str, file: &str) -> Option<u64> {
    // A name is a part of a path here: that of an interface has no slash, and no other name becomes a path.
    if !cfg!(target_os = "linux") || interface.contains('/') || interface.starts_with('.') {
        return None;
    }
    fs::read_to_string(format!("/sys/class/net/{interface}/{file}")).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_has_counters_and_nothing_else_has() {
        if cfg!(target_os = "linux") && std::path::Path::new("/sys/class/net/lo").exists() {
            assert!(dropped("lo").is_some());
            assert!(mtu("lo").unwrap() >= 1280);
        }
        assert_eq!(dropped("nosuchif0"), None);
        assert_eq!(dropped("../net/lo"), None);
        assert_eq!(mtu(".."), None);
    }
}

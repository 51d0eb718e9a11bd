//! What the system tells of an interface beside libpcap: its own drop counters and its MTU. Linux only; elsewhere nothing.

use std::fs::{self, File};

/// The drop counters of an interface, kept open: later the process may have no right to open them.
#[derive(Debug)]
pub(super) struct Drops {
    dropped: File,
    missed: Option<File>,
}

impl Drops {
    /// Opens them; none where the system has none.
    ///
    /// `rx_dropped` (no room in the host's queues) and `rx_missed_errors` (no room in the adapter) count packets and do not overlap
    /// (kernel.org, networking/statistics). `rx_fifo_errors`, which libpcap adds, counts events and may count the same loss again.
    pub(super) fn open(interface: &str) -> Option<Self> {
        let open = |name| File::open(path(interface, name)?).ok();
        Some(Self { dropped: open("statistics/rx_dropped")?, missed: open("statistics/rx_missed_errors") })
    }

    /// Packets that the interface or its driver dropped since it came up; none when the interface is gone.
    pub(super) fn read(&self) -> Option<u64> {
        let missed = self.missed.as_ref().and_then(number).unwrap_or(0);
        Some(number(&self.dropped)?.saturating_add(missed))
    }
}

/// Most bytes of a packet behind its link header.
pub(super) fn mtu(interface: &str) -> Option<u64> {
    fs::read_to_string(path(interface, "mtu")?).ok()?.trim().parse().ok()
}

/// A file that tells of an interface. A name is a part of a path here: that of an interface has no slash, and no other name becomes
/// a path.
fn path(interface: &str, file: &str) -> Option<String> {
    let is_name = !interface.contains('/') && !interface.starts_with('.');
    (cfg!(target_os = "linux") && is_name).then(|| format!("/sys/class/net/{interface}/{file}"))
}

#[cfg(unix)]
fn number(file: &File) -> Option<u64> {
    use std::os::unix::fs::FileExt as _;
    // 2^64 has twenty digits.
    let mut text = [0_u8; 24];
    let length = file.read_at(&mut text, 0).ok()?;
    std::str::from_utf8(text.get(..length)?).ok()?.trim().parse().ok()
}

#[cfg(not(unix))]
fn number(_: &File) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_has_counters_and_nothing_else_has() {
        if cfg!(target_os = "linux") && std::path::Path::new("/sys/class/net/lo").exists() {
            let drops = Drops::open("lo").unwrap();
            let first = drops.read().unwrap();
            assert!(drops.read().unwrap() >= first, "it can be read again");
            assert!(mtu("lo").unwrap() >= 1280);
        }
        assert!(Drops::open("nosuchif0").is_none());
        assert!(Drops::open("../net/lo").is_none());
        assert_eq!(mtu(".."), None);
    }
}

//! How the run fares, told to systemd: `sd_notify(3)`, as a datagram to the socket that `$NOTIFY_SOCKET` names.
//!
//! The socket is opened before rights are given up, and used ever after. What cannot be told is not told: nothing waits for systemd.

use std::ffi::OsStr;
#[cfg(unix)]
use std::os::unix::net::UnixDatagram;

use crate::report::record::StatsRecord;

/// Tells systemd, where there is one to tell.
#[derive(Debug, Default)]
pub struct Notifier {
    #[cfg(unix)]
    socket: Option<UnixDatagram>,
    /// A watchdog waits for signs of life.
    watchdog: bool,
    /// Packets at the last sign of life, over all interfaces.
    seen: Progress,
}

/// How far capture and judgement were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Progress {
    received: u64,
    analysed: u64,
    uptime_s: u64,
}

impl Progress {
    fn of(stats: &StatsRecord) -> Self {
        let received = stats.interfaces.iter().map(|interface| interface.received);
        Self {
            received: received.fold(0_u64, u64::saturating_add),
            analysed: stats.packets.analysed.saturating_add(stats.packets.filtered),
            uptime_s: stats.live.as_ref().map_or(0, |live| live.uptime_s),
        }
    }

    /// Time went on, and packets that came were looked at.
    const fn follows(self, before: Self) -> bool {
        self.uptime_s != before.uptime_s
            && (self.received == before.received || self.analysed != before.analysed)
    }
}

impl Notifier {
    /// Connects to the socket named `socket` (the value of `$NOTIFY_SOCKET`; a path, or `@` and an abstract name). `watchdog` is the
    /// value of `$WATCHDOG_USEC`. Nobody to tell is no error.
    #[cfg(unix)]
    pub fn connect(socket: Option<&OsStr>, watchdog: Option<&OsStr>) -> Self {
        let socket = socket.filter(|name| !name.is_empty()).and_then(connect);
        let watchdog = watchdog.and_then(OsStr::to_str).and_then(|micros| micros.parse::<u64>().ok());
        Self {
            watchdog: socket.is_some() && watchdog.is_some_and(|micros| micros > 0),
            socket,
            ..Self::default()
        }
    }

    /// There is no systemd on this system.
    #[cfg(not(unix))]
    pub fn connect(_socket: Option<&OsStr>, _watchdog: Option<&OsStr>) -> Self {
        Self::default()
    }

    /// Everything is open and packets are taken.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}", line(status)));
    }

    /// Files are being read again; [`Notifier::ready`] follows.
    pub fn reloading(&self) {
        self.send("RELOADING=1");
    }

    /// The end has begun.
    pub fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=writing what is left");
    }

    /// Takes the counters of a second, and gives a sign of life where both capture and judgement move: the counters come from the
    /// judge, and packets that the kernel took must be looked at.
    pub fn second(&mut self, stats: &StatsRecord) {
        let now = Progress::of(stats);
        let is_alive = now.follows(std::mem::replace(&mut self.seen, now));
        let words = status(stats);
        match (is_alive, self.watchdog) {
            (true, true) => self.send(&format!("WATCHDOG=1\nSTATUS={words}")),
            (true, false) => self.send(&format!("STATUS={words}")),
            (false, _) => {}
        }
    }

    #[cfg(unix)]
    fn send(&self, text: &str) {
        if let Some(socket) = &self.socket {
            let _ = socket.send(text.as_bytes());
        }
    }

    #[cfg(not(unix))]
    #[expect(clippy::unused_self, reason = "the same as elsewhere")]
    fn send(&self, _text: &str) {}
}

/// `12 345 packets, 2 dropped, 3 sessions`
fn status(stats: &StatsRecord) -> String {
    let sessions = stats.live.as_ref().map_or(stats.sessions, |live| live.sessions_alive);
    format!(
        "{} packets analysed, {} dropped, {sessions} sessions go on",
        stats.packets.analysed, stats.packets.dropped
    )
}

/// A message is made of lines.
fn line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(unix)]
fn connect(name: &OsStr) -> Option<UnixDatagram> {
    let socket = UnixDatagram::unbound().ok()?;
    socket.set_nonblocking(true).ok()?;
    #[cfg(target_os = "linux")]
    {
        use std::os::linux::net::SocketAddrExt as _;
        use std::os::unix::ffi::OsStrExt as _;
        use std::os::unix::net::SocketAddr;

        if let Some(hidden) = name.as_bytes().strip_prefix(b"@") {
            let address = SocketAddr::from_abstract_name(hidden).ok()?;
            return socket.connect_addr(&address).ok().map(|()| socket);
        }
    }
    socket.connect(name).ok().map(|()| socket)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    fn heard(listener: &UnixDatagram) -> String {
        let mut buffer = [0; 4096];
        let length = listener.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_socket_by_path_is_told_in_the_words_of_sd_notify() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::connect(Some(path.as_os_str()), None);
        notifier.ready("watching\neth0");
        assert_eq!(heard(&listener), "READY=1\nSTATUS=watching eth0");
        notifier.reloading();
        assert_eq!(heard(&listener), "RELOADING=1");
        notifier.stopping();
        assert!(heard(&listener).starts_with("STOPPING=1\n"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_socket_by_abstract_name_is_told_too() {
        use std::os::linux::net::SocketAddrExt as _;
        let name = format!("meetscope-test-{}", std::process::id());
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        let listener = UnixDatagram::bind_addr(&address).unwrap();
        Notifier::connect(Some(OsStr::new(&format!("@{name}"))), None).ready("x");
        assert_eq!(heard(&listener), "READY=1\nSTATUS=x");
    }

    #[test]
    fn nobody_to_tell_is_no_fault() {
        for socket in [None, Some(OsStr::new("")), Some(OsStr::new("/no/such/socket"))] {
            Notifier::connect(socket, Some(OsStr::new("1000000"))).ready("x");
        }
    }

    #[test]
    fn life_is_shown_only_while_packets_that_came_are_looked_at() {
        let at = |uptime_s, received, analysed| Progress { received, analysed, uptime_s };
        assert!(at(2, 10, 10).follows(at(1, 5, 5)), "both move");
        assert!(at(2, 10, 10).follows(at(1, 10, 10)), "a quiet wire");
        assert!(!at(2, 20, 10).follows(at(1, 10, 10)), "packets come and nobody looks");
        assert!(!at(1, 20, 20).follows(at(1, 10, 10)), "time stands still");
    }
}

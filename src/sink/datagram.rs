//! One message a datagram: UDP (RFC 5426) or a Unix socket, `/dev/log` among them.
//!
//! Over UDP nobody tells what arrives, so that all that was sent is in doubt. A datagram on a Unix socket lies with the peer once it
//! is sent; when the peer ends, what it had not read is in doubt.
//!
//! A system that nobody listens on for UDP may refuse: it is told with the next datagram, so that one that was sent shows nothing for
//! a while. Each that was refused was counted as in doubt when it was sent.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::net::sockopt;

use super::clock;
use super::pump::{Destination, Fault};
use super::queue::Batch;
use super::target::Target;
use super::wait::{PATIENCE, Window, ready};

/// UDP works again when nothing was refused for so long after something was sent.
const CALM: Duration = Duration::from_secs(10);

enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram, Window),
}

/// A destination that takes datagrams.
pub(super) struct Datagrams {
    target: Target,
    socket: Option<Socket>,
    connected: u64,
    trial: Option<Trial>,
}

/// UDP after a failure.
#[derive(Debug, Default)]
struct Trial {
    /// When something was sent for the first time since.
    begun: Option<Instant>,
}

impl Datagrams {
    pub(super) const fn new(target: Target) -> Self {
        Self { target, socket: None, connected: 0, trial: None }
    }

    fn opened(&mut self) -> Result<&mut Socket, Fault> {
        if self.socket.is_none() {
            let socket =
                Socket::open(&self.target).map_err(|error| Fault::new(&format!("no socket: {error}")))?;
            self.socket = Some(socket);
            self.connected = self.connected.saturating_add(1);
        }
        self.socket.as_mut().ok_or_else(|| Fault::new(&"no socket"))
    }

    fn failed(&mut self, error: &io::Error, batch: &mut Batch) -> Fault {
        match self.socket.take() {
            Some(Socket::Unix(_, window)) => {
                batch.tally.in_doubt = batch.tally.in_doubt.saturating_add(window.in_doubt());
            }
            Some(Socket::Udp(_)) => self.trial = Some(Trial::default()),
            None => {}
        }
        Fault::new(&format!("not taken: {error}"))
    }
}

impl Socket {
    fn open(target: &Target) -> io::Result<Self> {
        match target {
            Target::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                socket.set_nonblocking(true)?;
                let own = u64::try_from(sockopt::socket_send_buffer_size(&socket)?).unwrap_or(u64::MAX);
                Ok(Self::Unix(socket, Window::new(own)))
            }
            Target::Udp(at) | Target::Tcp(at) => {
                let address = at.pair().to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
                let any: SocketAddr = match address {
                    SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                    SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
                };
                let socket = UdpSocket::bind(any)?;
                socket.connect(address)?;
                socket.set_nonblocking(true)?;
                Ok(Self::Udp(socket))
            }
        }
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.send(message).map(|_| ()),
            Self::Unix(socket, window) => {
                socket.send(message)?;
                window.add(message.len(), true);
                Ok(())
            }
        }
    }

    fn is_ready(&self) -> io::Result<bool> {
        let flags = match self {
            Self::Udp(socket) => ready(socket, PollFlags::OUT, PATIENCE)?,
            Self::Unix(socket, _) => ready(socket, PollFlags::OUT, PATIENCE)?,
        };
        Ok(!flags.is_empty())
    }
}

impl Destination for Datagrams {
    fn hand_over(&mut self, batch: &mut Batch) -> Result<(), Fault> {
        while let Some(message) = batch.first() {
            let socket = self.opened()?;
            match socket.send(message) {
                Ok(()) => {
                    if matches!(socket, Socket::Udp(_)) {
                        batch.tally.in_doubt = batch.tally.in_doubt.saturating_add(1);
                    }
                    batch.taken();
                    if let Some(trial) = &mut self.trial {
                        trial.begun.get_or_insert_with(clock::instant);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !socket.is_ready()? {
                        return Ok(());
                    }
                }
                // It is longer than the peer's system allows.
                Err(error)
                    if rustix::io::Errno::from_io_error(&error) == Some(rustix::io::Errno::MSGSIZE) =>
                {
                    batch.lost();
                }
                // Over UDP this answers an earlier datagram: nobody listened.
                Err(error) => return Err(self.failed(&error, batch)),
            }
        }
        Ok(())
    }

    fn look_after(&mut self, batch: &mut Batch) -> Result<(), Fault> {
        if let Socket::Udp(socket) = self.opened()?
            && let Some(error) = socket.take_error()?
        {
            return Err(self.failed(&error, batch));
        }
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn close(&mut self, _: &mut Batch, _: Duration) {
        self.socket = None;
    }

    fn is_on_trial(&mut self) -> bool {
        let now = clock::instant();
        let is_calm = |begun| now.saturating_duration_since(begun) >= CALM;
        if self.trial.as_ref().is_some_and(|trial| trial.begun.is_some_and(is_calm)) {
            self.trial = None;
        }
        self.trial.is_some()
    }

    fn connected(&mut self) -> u64 {
        std::mem::take(&mut self.connected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn udp_works_again_when_nothing_was_refused_for_a_while() {
        let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut out = Datagrams::new(format!("udp://{nobody}").parse().unwrap());
        let mut batch = Batch::of(&[b"a", b"b"]);
        while out.hand_over(&mut batch).is_ok() {
            batch = Batch::of(&[b"a", b"b"]);
        }
        assert!(out.is_on_trial());
        let peer = UdpSocket::bind(nobody).unwrap();
        out.hand_over(&mut Batch::of(&[b"c"])).unwrap();
        assert!(out.is_on_trial(), "one that was sent shows nothing");
        assert_eq!(peer.recv(&mut [0; 9]).unwrap(), 1);
        out.look_after(&mut batch).unwrap();
        let trial = out.trial.as_mut().unwrap();
        trial.begun = trial.begun.and_then(|begun| begun.checked_sub(CALM));
        assert!(!out.is_on_trial());
    }
}

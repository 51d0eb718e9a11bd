//! A connection: TCP or a Unix socket, for lines of JSON and for syslog. Connects again when it ends, and says how many of the
//! records that were handed over may not have been taken.
//!
//! What is written to a connection lies in buffers of two systems until the peer reads it, and no protocol here confirms that. When
//! a connection ends, three cases are told apart. The peer closed in order: then it had read all (a system answers with a reset
//! where anything is left, RFC 1122 section 4.2.2.13; a Unix socket reports a reset likewise), and nothing is in doubt. The
//! connection broke: then what the buffers can hold is in doubt. We end, and the peer does not close in turn in the time that it is
//! given: the same, since what its system confirmed may never be read. A record that was handed over in part is sent again, whole.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::net::sockopt;

use super::clock;
use super::pump::{Destination, Fault};
use super::queue::Batch;
use super::target::Target;
use super::wait::{PATIENCE, Window, ready};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(3);
/// Our own buffer: small, so that what waits does so where it is counted.
const SEND_BUFFER: usize = 128 << 10;
/// What a peer's buffer for TCP may hold: the most that Linux (6 MiB), FreeBSD, macOS and Windows (16 MiB) grow it to by
/// themselves.
const PEER_BUFFER: u64 = 16 << 20;
/// How long a reset may be on its way behind an orderly end.
const RESET: Duration = Duration::from_millis(300);
/// Bytes read and thrown away at a time: a peer has nothing to say.
const READ: usize = 4096;
/// How often in a row that is done before records have their turn.
const READS: usize = 16;

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }
}

impl Socket {
    fn connect(target: &Target) -> io::Result<Self> {
        match target {
            Target::Unix(path) => {
                let socket = UnixStream::connect(path)?;
                socket.set_nonblocking(true)?;
                Ok(Self::Unix(socket))
            }
            Target::Tcp(at) | Target::Udp(at) => {
                let mut last = io::Error::from(io::ErrorKind::NotFound);
                for address in at.pair().to_socket_addrs()? {
                    match TcpStream::connect_timeout(&address, CONNECT) {
                        Ok(socket) => {
                            socket.set_nonblocking(true)?;
                            // Batches are large; what is alone is an alert.
                            socket.set_nodelay(true)?;
                            sockopt::set_socket_keepalive(&socket, true)?;
                            return Ok(Self::Tcp(socket));
                        }
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.write(bytes),
            Self::Unix(socket) => socket.write(bytes),
        }
    }

    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.read(bytes),
            Self::Unix(socket) => socket.read(bytes),
        }
    }

    fn broke_after_end(&self) -> bool {
        // A hang-up alone is what two ends in order come to.
        let broke = |flags: PollFlags| flags.contains(PollFlags::ERR);
        match self {
            // A peer that is gone hangs up in order too.
            Self::Unix(_) => false,
            Self::Tcp(socket) => {
                !matches!(ready(socket, PollFlags::empty(), RESET), Ok(flags) if !broke(flags))
            }
        }
    }

    fn shut(&self) {
        let _ = match self {
            Self::Tcp(socket) => socket.shutdown(Shutdown::Write),
            Self::Unix(socket) => socket.shutdown(Shutdown::Write),
        };
    }
}

/// How a connection ended.
enum End {
    /// The peer closed it, and had read all.
    Orderly,
    Broken(io::Error),
}

struct Link {
    socket: Socket,
    window: Window,
}

impl Link {
    fn open(target: &Target) -> io::Result<Self> {
        let socket = Socket::connect(target)?;
        sockopt::set_socket_send_buffer_size(&socket, SEND_BUFFER)?;
        let own = u64::try_from(sockopt::socket_send_buffer_size(&socket)?).unwrap_or(u64::MAX);
        let of_peer = match socket {
            Socket::Tcp(_) => PEER_BUFFER,
            // What was not read yet counts against the writer's buffer.
            Socket::Unix(_) => 0,
        };
        Ok(Self { socket, window: Window::new(own.saturating_add(of_peer)) })
    }

    /// Reads what the peer says, which nobody wants, to see whether it is still there.
    fn listen(&mut self) -> Result<(), End> {
        let mut thrown_away = [0_u8; READ];
        for _ in 0..READS {
            match self.socket.read(&mut thrown_away) {
                Ok(0) if self.socket.broke_after_end() => {
                    return Err(End::Broken(io::ErrorKind::ConnectionReset.into()));
                }
                Ok(0) => return Err(End::Orderly),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(End::Broken(error)),
            }
        }
        Ok(())
    }

    /// Waits for the peer to close in turn, which says that it has read all.
    fn part(&mut self, until: Instant) -> Result<(), End> {
        while self.window.in_doubt() > 0 {
            let left = until.saturating_duration_since(clock::instant());
            ready(&self.socket, PollFlags::IN, left).map_err(End::Broken)?;
            self.listen()?;
            if left.is_zero() {
                return Err(End::Broken(io::ErrorKind::TimedOut.into()));
            }
        }
        Ok(())
    }

    /// True when something was handed over.
    fn hand_over(&mut self, batch: &mut Batch) -> Result<(), End> {
        while let Some(rest) = batch.first() {
            match self.socket.write(rest) {
                Ok(written) => self.window.wrote(batch, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let flags =
                        ready(&self.socket, PollFlags::OUT | PollFlags::IN, PATIENCE).map_err(End::Broken)?;
                    if flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                        self.listen()?;
                    }
                    if !flags.contains(PollFlags::OUT) {
                        return Ok(());
                    }
                }
                Err(error) => return Err(End::Broken(error)),
            }
        }
        Ok(())
    }
}

/// A destination on a connection.
pub(super) struct Stream {
    target: Target,
    link: Option<Link>,
    connected: u64,
}

impl Stream {
    pub(super) const fn new(target: Target) -> Self {
        Self { target, link: None, connected: 0 }
    }

    fn linked(&mut self) -> Result<&mut Link, Fault> {
        if self.link.is_none() {
            let link =
                Link::open(&self.target).map_err(|error| Fault::new(&format!("no connection: {error}")))?;
            self.link = Some(link);
            self.connected = self.connected.saturating_add(1);
        }
        self.link.as_mut().ok_or_else(|| Fault::new(&"no connection"))
    }

    /// Lets go of a connection that has ended.
    fn ended(&mut self, end: &End, batch: &mut Batch) -> Fault {
        let Some(link) = self.link.take() else { return Fault::new(&"no connection") };
        batch.rewind();
        match end {
            End::Orderly => Fault::new(&"the peer closed the connection"),
            End::Broken(error) => {
                let in_doubt = link.window.in_doubt();
                batch.tally.in_doubt = batch.tally.in_doubt.saturating_add(in_doubt);
                Fault::new(&format!(
                    "the connection broke ({error}); {in_doubt} records handed over may be lost"
                ))
            }
        }
    }
}

impl Destination for Stream {
    fn hand_over(&mut self, batch: &mut Batch) -> Result<(), Fault> {
        let link = self.linked()?;
        let outcome = link.listen().and_then(|()| link.hand_over(batch));
        outcome.map_err(|end| self.ended(&end, batch))
    }

    fn look_after(&mut self, batch: &mut Batch) -> Result<(), Fault> {
        let outcome = self.linked()?.listen();
        outcome.map_err(|end| self.ended(&end, batch))
    }

    fn reopen(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn close(&mut self, batch: &mut Batch, patience: Duration) {
        let Some(link) = &mut self.link else { return };
        link.socket.shut();
        let now = clock::instant();
        // A peer that does not close in turn may still read on; the last counters tell what is in doubt.
        if let Err(end) = link.part(now.checked_add(patience).unwrap_or(now)) {
            let _ = self.ended(&end, batch);
        }
    }

    fn connected(&mut self) -> u64 {
        std::mem::take(&mut self.connected)
    }
}

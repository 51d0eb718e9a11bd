//! Connections that cannot be held for nothing. In: a listening socket. Out: streams that end themselves when they do not move.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, Sleep};

use super::seats::{Seat, Seats};
use super::{Counters, count};

/// Connections to the dashboard at a time: those that take events, and some that ask.
pub(super) const CONNECTIONS: usize = 2_304;
/// Connections to the metrics at a time, where they have an address of their own: a few that scrape.
pub(super) const SCRAPERS: usize = 256;
/// How long a connection may be without being sent anything: longer than the time between two events, or two visits of Prometheus.
const IDLE: Duration = Duration::from_secs(75);
/// How long a new connection may take to ask.
const FIRST: Duration = Duration::from_secs(15);
/// The same two where more than half of the seats are taken. Events come once a second, so their readers stay.
const IDLE_CROWDED: Duration = Duration::from_secs(10);
const FIRST_CROWDED: Duration = Duration::from_secs(3);
/// How long a browser may leave what it is sent where it is.
const BLOCKED: Duration = Duration::from_secs(10);
/// How long what is too large is thrown away, so that its sender gets to read why.
const PARTING: Duration = Duration::from_secs(1);
/// Wait after an error of the system, such as too many open files.
const PAUSE: Duration = Duration::from_millis(500);

/// Bytes that a browser may send before it has to be sent something: a request's head and a form. Hyper's own limit is 408 KiB, and
/// axum does not hand it out.
const UNANSWERED: usize = 16 << 10;
/// Bytes that are read at once, so that buffers above do not grow.
const PIECE: usize = 4 << 10;
/// The answer to who sends more.
const TOO_LARGE: &[u8] =
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\ncache-control: no-store\r\n\r\n";

/// Bytes that the kernel may keep of what a browser does not take (it doubles them). Its own choice would be megabytes, in which a
/// browser that has stopped to take could hide for an hour.
const UNSENT: u32 = 32 << 10;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;

/// A socket that listens, whose connections have short queues.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(UNSENT)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts as many as it has seats for; others are closed at once and counted.
pub(super) struct Listener {
    inner: TcpListener,
    seats: Arc<Seats>,
    counters: Arc<Counters>,
}

impl Listener {
    pub(super) fn new(inner: TcpListener, most: usize, counters: &Arc<Counters>) -> Self {
        Self { inner, seats: Seats::new(most), counters: Arc::clone(counters) }
    }
}

impl axum::serve::Listener for Listener {
    type Io = Stream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Stream, SocketAddr) {
        loop {
            let Ok((stream, address)) = self.inner.accept().await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let Some(seat) = self.seats.take(address.ip()) else {
                count(&self.counters.refused_full);
                continue;
            };
            // Events are small and are to be seen at once; a socket without that is slower and still right.
            let _ = stream.set_nodelay(true);
            return (Stream::new(stream, seat, &self.counters), address);
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

/// A connection with a time by which something has to have been sent, and so many bytes that it may send before.
pub(super) struct Stream {
    inner: TcpStream,
    limit: Pin<Box<Sleep>>,
    unanswered: usize,
    is_blocked: bool,
    is_refused: bool,
    counters: Arc<Counters>,
    seat: Seat,
}

impl Stream {
    fn new(inner: TcpStream, seat: Seat, counters: &Arc<Counters>) -> Self {
        let first = if seat.is_crowded() { FIRST_CROWDED } else { FIRST };
        Self {
            inner,
            limit: Box::pin(tokio::time::sleep(first)),
            unanswered: 0,
            is_blocked: false,
            is_refused: false,
            counters: Arc::clone(counters),
            seat,
        }
    }

    fn give(&mut self, time: Duration) {
        let now = Instant::now();
        self.limit.as_mut().reset(now.checked_add(time).unwrap_or(now));
    }

    /// Wakes the task when the time is over, and ends the connection then.
    fn check<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        match self.limit.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                if !self.is_refused {
                    count(&self.counters.connections_cut);
                }
                // What was not taken is not to wait in the kernel either.
                let _ = self.inner.set_zero_linger();
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }

    /// Says that it is too much, and throws away what still comes: a connection that is closed with bytes unread takes the answer
    /// back.
    fn refuse(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_refused {
            self.is_refused = true;
            count(&self.counters.connections_cut);
            self.give(PARTING);
            // A socket that takes not even that is closed all the same.
            let _ = self.inner.try_write(TOO_LARGE);
            let _ = Pin::new(&mut self.inner).poll_shutdown(context);
        }
        loop {
            if let over @ Poll::Ready(_) = self.check(context) {
                return over;
            }
            let mut scrap = [0; PIECE];
            let mut piece = ReadBuf::new(&mut scrap);
            let Poll::Ready(result) = Pin::new(&mut self.inner).poll_read(context, &mut piece) else {
                return Poll::Pending;
            };
            if result.is_err() || piece.filled().is_empty() {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
        }
    }

    fn written(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.is_refused {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if result.is_ready() {
            self.is_blocked = false;
            self.unanswered = 0;
            self.give(if self.seat.is_crowded() { IDLE_CROWDED } else { IDLE });
            return result;
        }
        if !self.is_blocked {
            self.is_blocked = true;
            self.give(BLOCKED);
        }
        self.check(context)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let most = UNANSWERED.saturating_sub(self.unanswered).min(PIECE).min(buffer.remaining());
        if self.is_refused || (most == 0 && buffer.remaining() > 0) {
            return self.refuse(context);
        }
        let mut piece = ReadBuf::new(buffer.initialize_unfilled_to(most));
        let Poll::Ready(result) = Pin::new(&mut self.inner).poll_read(context, &mut piece) else {
            return self.check(context);
        };
        let read = piece.filled().len();
        buffer.advance(read);
        self.unanswered = self.unanswered.saturating_add(read);
        Poll::Ready(result)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.written(context, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(context, bytes);
        self.written(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

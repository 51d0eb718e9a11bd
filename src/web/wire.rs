//! Connections that cannot be held for nothing. In: a listening socket. Out: streams that end themselves when they do not move.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

use super::{Counters, count};

/// Connections at a time: those that take events, and some that ask.
pub(super) const CONNECTIONS: usize = 2_304;
/// How long a connection may be without being sent anything: longer than the time between two events, or two visits of Prometheus.
const IDLE: Duration = Duration::from_secs(75);
/// How long a new connection may take to ask.
const FIRST: Duration = Duration::from_secs(15);
/// How long a browser may leave what it is sent where it is.
const BLOCKED: Duration = Duration::from_secs(10);
/// Wait after an error of the system, such as too many open files.
const PAUSE: Duration = Duration::from_millis(500);

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

/// Accepts as many as there are seats for; others are closed at once and counted.
pub(super) struct Listener {
    inner: TcpListener,
    seats: Arc<Semaphore>,
    counters: Arc<Counters>,
}

impl Listener {
    pub(super) fn new(inner: TcpListener, seats: &Arc<Semaphore>, counters: &Arc<Counters>) -> Self {
        Self { inner, seats: Arc::clone(seats), counters: Arc::clone(counters) }
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
            let Ok(seat) = Arc::clone(&self.seats).try_acquire_owned() else {
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

/// A connection with a time by which something has to have been sent.
pub(super) struct Stream {
    inner: TcpStream,
    limit: Pin<Box<Sleep>>,
    is_blocked: bool,
    counters: Arc<Counters>,
    _seat: OwnedSemaphorePermit,
}

impl Stream {
    fn new(inner: TcpStream, seat: OwnedSemaphorePermit, counters: &Arc<Counters>) -> Self {
        Self {
            inner,
            limit: Box::pin(tokio::time::sleep(FIRST)),
            is_blocked: false,
            counters: Arc::clone(counters),
            _seat: seat,
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
                count(&self.counters.connections_cut);
                // What was not taken is not to wait in the kernel either.
                let _ = self.inner.set_zero_linger();
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }

    fn written(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if result.is_ready() {
            self.is_blocked = false;
            self.give(IDLE);
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
        match Pin::new(&mut self.inner).poll_read(context, buffer) {
            Poll::Pending => self.check(context),
            ready @ Poll::Ready(_) => ready,
        }
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

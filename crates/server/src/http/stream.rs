//! A client's socket with limits: a kept connection without a request ends, and so does one that takes no answer.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::oneshot,
    time::{Instant, Sleep},
};

use super::pulse::ConnectionPulse;

/// After the last answer: how long, and how much, what a client still sends is thrown away. A socket that is closed
/// with unread bytes in it takes the answer with it.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Limits of a socket.
pub struct SocketLimits {
    pub keep_alive: Duration,
    pub write: Duration,
}

/// A client's socket that is closed when the client keeps us waiting.
pub struct TimedStream {
    inner: TcpStream,
    pulse: Arc<ConnectionPulse>,
    limits: SocketLimits,
    rest: Alarm,
    stall: Alarm,
    linger: Alarm,
    /// Bytes that may still be thrown away at the end.
    linger_left: usize,
    ended: bool,
    /// Tells by its end that the socket is closed, whoever had it last.
    _closed: oneshot::Sender<()>,
}

/// A moment that may be set.
#[derive(Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Whether it has come; set when it was not.
    fn poll(&mut self, cx: &mut Context<'_>, at: impl FnOnce() -> Instant) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at())));
        sleep.as_mut().poll(cx)
    }

    fn clear(&mut self) {
        self.0 = None;
    }
}

impl TimedStream {
    /// A client's socket, and what completes when it is closed.
    pub fn new(
        inner: TcpStream,
        pulse: Arc<ConnectionPulse>,
        limits: SocketLimits,
    ) -> (Self, oneshot::Receiver<()>) {
        let (closed, told) = oneshot::channel();
        let [rest, stall, linger] = [Alarm::default(), Alarm::default(), Alarm::default()];
        let linger_left = LINGER_BYTES_MAX;
        let stream = Self {
            inner,
            pulse,
            limits,
            rest,
            stall,
            linger,
            linger_left,
            ended: false,
            _closed: closed,
        };
        (stream, told)
    }

    /// A write that makes no progress for too long is one that failed.
    fn judge<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stall.clear();
            return written;
        }
        let limit = self.limits.write;
        ready!(self.stall.poll(cx, || Instant::now() + limit));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes no answer")))
    }

    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.linger.poll(cx, || Instant::now() + LINGER).is_ready() {
            return Poll::Ready(());
        }
        let mut room = [0u8; 8192];
        loop {
            let mut buffer = ReadBuf::new(&mut room);
            match ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    let size = buffer.filled().len();
                    let Some(left) = self.linger_left.checked_sub(size) else {
                        return Poll::Ready(());
                    };
                    self.linger_left = left;
                }
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
    }
}

impl AsyncRead for TimedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        match Pin::new(&mut this.inner).poll_read(cx, buffer) {
            Poll::Ready(read) => {
                this.rest.clear();
                let size = buffer.filled().len() - before;
                this.ended = size == 0;
                if size > 0 {
                    this.pulse.heard();
                }
                Poll::Ready(read)
            }
            Poll::Pending => match this.pulse.rests_until(this.limits.keep_alive) {
                Some(at) => {
                    ready!(this.rest.poll(cx, || at));
                    // Nothing read is the end: the connection closes as if the client had closed it.
                    Poll::Ready(Ok(()))
                }
                None => {
                    this.rest.clear();
                    Poll::Pending
                }
            },
        }
    }
}

impl AsyncWrite for TimedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bytes);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.linger.0.is_none() {
            ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
        }
        if !this.ended {
            ready!(this.poll_linger(cx));
            this.ended = true;
        }
        Poll::Ready(Ok(()))
    }
}

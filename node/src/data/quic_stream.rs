//! The one stream of a QUIC connection, as a link wants it.
//!
//! Owns: windows that grow with the path, counting what the packets cost, and an end that
//! arrives: a connection that is dropped takes along what was not acknowledged yet, so
//! closing waits for that. Refuses: handshakes ([`quic`](super::quic)), and limits, which are
//! [`Counted`](super::traffic::Counted)'s.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use quinn::{Connection, RecvStream, SendStream, VarInt};
use shoal_protocol::peer::PeerKey;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::traffic::Traffic;
use super::windows::{ReceiveWindow, STEP_BYTES, WINDOW_BYTES_MIN, send_window};

/// A stream over a connection of its own.
pub struct QuicStream {
    peer: PeerKey,
    connection: Connection,
    send: SendStream,
    receive: RecvStream,
    /// Ends once everything that was sent has arrived.
    arrived: Option<BoxFuture<'static, io::Result<()>>>,
    meter: Meter,
    window_max: u64,
    send_window: u64,
    receive_window: ReceiveWindow,
    read: u64,
    written: u64,
}

impl QuicStream {
    pub(super) fn new(
        peer: PeerKey,
        connection: Connection,
        send: SendStream,
        receive: RecvStream,
        traffic: Arc<Traffic>,
        window_max: u64,
    ) -> Self {
        let meter = Meter {
            connection: connection.clone(),
            traffic,
            counted: (0, 0),
            read: 0,
        };
        Self {
            peer,
            connection,
            send,
            receive,
            arrived: None,
            meter,
            window_max,
            send_window: WINDOW_BYTES_MIN,
            receive_window: ReceiveWindow::new(window_max),
            read: 0,
            written: 0,
        }
    }

    /// Who is at the other end.
    pub fn peer(&self) -> PeerKey {
        self.peer
    }

    /// How long a packet and its acknowledgement take.
    pub fn round_trip(&self) -> Duration {
        self.connection.rtt()
    }

    fn was_read(&mut self, bytes: u64) {
        self.meter.was_read(bytes);
        self.read += bytes;
        if self.read < STEP_BYTES {
            return;
        }
        let bytes = std::mem::take(&mut self.read);
        self.meter.count();
        let round_trip = self.connection.rtt();
        // Only who dials may be sent much: who accepts keeps its small window.
        if self.connection.side().is_client()
            && let Some(window) = self.receive_window.read(Instant::now(), round_trip, bytes)
        {
            let window = VarInt::from_u64(window).expect("bounded by the configuration");
            self.connection.set_receive_window(window);
        }
    }

    fn was_written(&mut self, bytes: u64) {
        self.written += bytes;
        if self.written < STEP_BYTES {
            return;
        }
        self.written = 0;
        let congestion_window = self.meter.count();
        let window = send_window(congestion_window, self.window_max);
        if window != self.send_window {
            self.send_window = window;
            self.connection.set_send_window(window);
        }
    }
}

impl AsyncRead for QuicStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(AsyncRead::poll_read(Pin::new(&mut self.receive), cx, into))?;
        let read = into.filled().len() - before;
        match read {
            // What goes out of scope next was counted to the end.
            0 => {
                self.meter.count();
            }
            read => self.was_read(read as u64),
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for QuicStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let taken = ready!(AsyncWrite::poll_write(Pin::new(&mut self.send), cx, bytes))?;
        self.was_written(taken as u64);
        Poll::Ready(Ok(taken))
    }

    /// What was taken is sent as soon as the path allows.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let arrived = this.arrived.get_or_insert_with(|| {
            // It was finished, or the other end does not want it: `stopped` knows which.
            let _ = this.send.finish();
            let stopped = this.send.stopped();
            async move { stopped.await.map(|_| ()).map_err(io::Error::other) }.boxed()
        });
        arrived.poll_unpin(cx)
    }
}

/// Counts what the packets of a connection cost, those that were sent again included.
struct Meter {
    connection: Connection,
    traffic: Arc<Traffic>,
    counted: (u64, u64),
    read: u64,
}

impl Meter {
    /// So many bytes were read: no less has been counted when they are handed on.
    fn was_read(&mut self, bytes: u64) {
        self.read += bytes;
        if self.counted.0 < self.read {
            self.count();
        }
    }

    /// Counts what is new; gives the congestion window on the way.
    fn count(&mut self) -> u64 {
        let stats = self.connection.stats();
        let (received, sent) = (stats.udp_rx.bytes, stats.udp_tx.bytes);
        self.traffic.add_received(received - self.counted.0);
        self.traffic.add_sent(sent - self.counted.1);
        self.counted = (received, sent);
        stats.path.cwnd
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.count();
    }
}

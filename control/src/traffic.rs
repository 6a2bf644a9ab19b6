//! What goes over the control plane, counted.
//!
//! Owns: the counters, and the layer between a connection and its streams that counts bytes.
//! Counted is what streams carry, in frames and all: TLS, the multiplexer and headers of
//! packets come on top. What is relayed for this node counts once, as streams of the relay's
//! connection. Refuses: to limit anything.

use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use futures::{AsyncRead, AsyncWrite};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerBox, StreamMuxerEvent, SubstreamBox};

/// What went over the control plane since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ControlTraffic {
    /// Bytes received in streams.
    pub bytes_in: u64,
    /// Bytes sent in streams.
    pub bytes_out: u64,
    /// Requests of members, of all protocols of ours.
    pub requests_in: u64,
    /// Requests to members.
    pub requests_out: u64,
    /// Questions that others asked for a lookup in the DHT.
    pub dht_requests_in: u64,
    /// Questions that this node asked for its lookups.
    pub dht_requests_out: u64,
}

/// The counters; clones are the same ones.
#[derive(Debug, Clone, Default)]
pub(super) struct Counters(Arc<Cells>);

#[derive(Debug, Default)]
struct Cells {
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    requests_in: AtomicU64,
    requests_out: AtomicU64,
    dht_requests_in: AtomicU64,
    dht_requests_out: AtomicU64,
}

impl Counters {
    pub(super) fn now(&self) -> ControlTraffic {
        let of = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        ControlTraffic {
            bytes_in: of(&self.0.bytes_in),
            bytes_out: of(&self.0.bytes_out),
            requests_in: of(&self.0.requests_in),
            requests_out: of(&self.0.requests_out),
            dht_requests_in: of(&self.0.dht_requests_in),
            dht_requests_out: of(&self.0.dht_requests_out),
        }
    }

    /// A request of a member came.
    pub(super) fn asked(&self) {
        self.0.requests_in.fetch_add(1, Ordering::Relaxed);
    }

    /// A request is sent.
    pub(super) fn asks(&self) {
        self.0.requests_out.fetch_add(1, Ordering::Relaxed);
    }

    /// A question for somebody's lookup came.
    pub(super) fn dht_asked(&self) {
        self.0.dht_requests_in.fetch_add(1, Ordering::Relaxed);
    }

    /// A lookup is over, for which so many questions were asked.
    pub(super) fn dht_asks(&self, questions: u32) {
        let cell = &self.0.dht_requests_out;
        cell.fetch_add(u64::from(questions), Ordering::Relaxed);
    }

    fn received(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        count(&self.0.bytes_in, result)
    }

    fn sent(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        count(&self.0.bytes_out, result)
    }
}

fn count(cell: &AtomicU64, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
    if let Poll::Ready(Ok(bytes)) = &result {
        cell.fetch_add(*bytes as u64, Ordering::Relaxed);
    }
    result
}

/// A connection or one of its streams, counted.
pub(super) struct Counted<T> {
    inner: T,
    counters: Counters,
}

impl<T> Counted<T> {
    pub(super) fn new(inner: T, counters: Counters) -> Self {
        Self { inner, counters }
    }
}

impl<T: Unpin> Counted<T> {
    fn split(self: Pin<&mut Self>) -> (Pin<&mut T>, &Counters) {
        let this = self.get_mut();
        (Pin::new(&mut this.inner), &this.counters)
    }
}

impl StreamMuxer for Counted<StreamMuxerBox> {
    type Substream = Counted<SubstreamBox>;
    type Error = io::Error;

    fn poll_inbound(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Self::Substream>> {
        let (inner, counters) = self.split();
        let counted = |stream| Counted::new(stream, counters.clone());
        inner.poll_inbound(cx).map_ok(counted)
    }

    fn poll_outbound(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Self::Substream>> {
        let (inner, counters) = self.split();
        let counted = |stream| Counted::new(stream, counters.clone());
        inner.poll_outbound(cx).map_ok(counted)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.split().0.poll_close(cx)
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        self.split().0.poll(cx)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let (inner, counters) = self.split();
        counters.received(inner.poll_read(cx, buffer))
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let (inner, counters) = self.split();
        counters.received(inner.poll_read_vectored(cx, buffers))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let (inner, counters) = self.split();
        counters.sent(inner.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let (inner, counters) = self.split();
        counters.sent(inner.poll_write_vectored(cx, buffers))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.split().0.poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.split().0.poll_close(cx)
    }
}

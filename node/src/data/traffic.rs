//! How many bytes went through sockets, and how many may.
//!
//! Owns: the counters, kept at the socket, so that TLS' overhead counts too; waiting where
//! there is a limit, which holds the other end back by the transport's own means. Refuses: to measure
//! rates; whoever shows one reads the counters twice.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::pace::{Pace, Paces};

/// Bytes received and sent, by one connection, one operation or one node. What a part
/// counts, the whole that it belongs to counts too.
#[derive(Debug, Default)]
pub struct Traffic {
    received: AtomicU64,
    sent: AtomicU64,
    paces: Paces,
    whole: Option<Arc<Traffic>>,
}

/// What goes at once where there is a limit, so that several share it evenly.
const PIECE_BYTES: usize = 32 << 10;

impl Traffic {
    /// A counter that belongs to nothing larger.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// A counter that belongs to nothing larger, with limits.
    pub fn limited(paces: Paces) -> Arc<Self> {
        Arc::new(Self {
            paces,
            ..Self::default()
        })
    }

    /// A counter whose bytes `self` counts, and limits, too.
    pub fn part(self: &Arc<Self>) -> Arc<Self> {
        self.limited_part(Paces::default())
    }

    /// The same, with limits of its own as well.
    pub fn limited_part(self: &Arc<Self>, paces: Paces) -> Arc<Self> {
        Arc::new(Self {
            paces,
            whole: Some(Arc::clone(self)),
            ..Self::default()
        })
    }

    /// Until when what `pace` picks has to wait, here or in the whole; nothing if it may go.
    /// With no limit anywhere, [`None`] too.
    fn due(&self, pace: fn(&Paces) -> &Option<Pace>) -> Option<Instant> {
        let here = pace(&self.paces).as_ref().and_then(Pace::due);
        let whole = self.whole.as_ref().and_then(|whole| whole.due(pace));
        here.max(whole)
    }

    fn is_limited(&self, pace: fn(&Paces) -> &Option<Pace>) -> bool {
        pace(&self.paces).is_some()
            || (self.whole.as_ref()).is_some_and(|whole| whole.is_limited(pace))
    }

    /// Bytes received so far.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Bytes sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Counts received bytes.
    pub fn add_received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.add_received(bytes);
        }
    }

    /// Counts sent bytes.
    pub fn add_sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.add_sent(bytes);
        }
    }

    /// Has later bytes wait for these.
    fn charge(&self, pace: fn(&Paces) -> &Option<Pace>, bytes: u64) {
        if let Some(pace) = pace(&self.paces) {
            pace.went(bytes);
        }
        if let Some(whole) = &self.whole {
            whole.charge(pace, bytes);
        }
    }
}

/// A connection whose bytes are counted, and wait where there is a limit.
pub struct Counted<T> {
    io: T,
    traffic: Arc<Traffic>,
    /// Whether the bytes are counted here, or by whoever carries them.
    counts: bool,
    reading: Turnstile,
    writing: Turnstile,
}

/// Where one direction of a socket waits.
#[derive(Default)]
struct Turnstile(Option<Pin<Box<Sleep>>>);

impl Turnstile {
    /// Lets pass once nothing is due any more.
    fn poll(&mut self, cx: &mut Context<'_>, due: impl Fn() -> Option<Instant>) -> Poll<()> {
        loop {
            if let Some(sleep) = &mut self.0 {
                ready!(sleep.as_mut().poll(cx));
                self.0 = None;
            }
            match due() {
                Some(due) => self.0 = Some(Box::pin(sleep_until(due))),
                None => return Poll::Ready(()),
            }
        }
    }
}

impl<T> Counted<T> {
    /// Counts the bytes of `io`.
    pub fn new(io: T, traffic: Arc<Traffic>) -> Self {
        Self {
            io,
            traffic,
            counts: true,
            reading: Turnstile::default(),
            writing: Turnstile::default(),
        }
    }

    /// Has the bytes of `io` wait where there is a limit; `io` counts what they cost itself.
    pub(super) fn paced(io: T, traffic: Arc<Traffic>) -> Self {
        Self {
            counts: false,
            ..Self::new(io, traffic)
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let traffic = &this.traffic;
        ready!(this.reading.poll(cx, || traffic.due(|paces| &paces.down)));
        let before = into.filled().len();
        if traffic.is_limited(|paces| &paces.down) {
            let most = into.remaining().min(PIECE_BYTES);
            let mut piece = ReadBuf::new(into.initialize_unfilled_to(most));
            ready!(Pin::new(&mut this.io).poll_read(cx, &mut piece))?;
            let read = piece.filled().len();
            into.advance(read);
        } else {
            ready!(Pin::new(&mut this.io).poll_read(cx, into))?;
        }
        let read = (into.filled().len() - before) as u64;
        traffic.charge(|paces| &paces.down, read);
        if this.counts {
            traffic.add_received(read);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let traffic = &this.traffic;
        ready!(this.writing.poll(cx, || traffic.due(|paces| &paces.up)));
        let piece = match traffic.is_limited(|paces| &paces.up) {
            true => &bytes[..bytes.len().min(PIECE_BYTES)],
            false => bytes,
        };
        let sent = ready!(Pin::new(&mut this.io).poll_write(cx, piece))?;
        traffic.charge(|paces| &paces.up, sent as u64);
        if this.counts {
            traffic.add_sent(sent as u64);
        }
        Poll::Ready(Ok(sent))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    /// How long it takes to move a megabyte under these limits of the whole and of the part.
    async fn seconds(whole: Paces, part: Paces) -> f64 {
        let traffic = Traffic::limited(whole).limited_part(part);
        let (near, mut far) = duplex(1 << 20);
        let mut near = Counted::new(near, traffic);
        let began = Instant::now();
        near.write_all(&[7; 1_000_000]).await.unwrap();
        let mut bytes = vec![0; 1_000_000];
        far.read_exact(&mut bytes).await.unwrap();
        far.write_all(&bytes).await.unwrap();
        let mut back = vec![0; 1_000_000];
        near.read_exact(&mut back).await.unwrap();
        assert!(back == bytes);
        began.elapsed().as_secs_f64()
    }

    #[tokio::test(start_paused = true)]
    async fn the_tighter_limit_counts_in_each_direction() {
        let none = Paces::default;
        for (whole, part, least, most) in [
            (none(), none(), 0.0, 0.001),
            (Paces::of(100_000, 0), none(), 9.0, 10.1),
            (none(), Paces::of(0, 100_000), 9.0, 10.1),
            (
                Paces::of(100_000, 500_000),
                Paces::of(500_000, 100_000),
                18.0,
                20.2,
            ),
        ] {
            let took = seconds(whole, part).await;
            assert!((least..=most).contains(&took), "{took}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_connections_share_the_limit_of_the_whole() {
        let whole = Traffic::limited(Paces::of(100_000, 0));
        let began = Instant::now();
        let send = || async {
            let (near, mut far) = duplex(1 << 20);
            let mut near = Counted::new(near, whole.part());
            near.write_all(&[7; 250_000]).await.unwrap();
            far.read_exact(&mut [0; 250_000]).await.unwrap();
        };
        tokio::join!(send(), send(), send(), send());
        let took = began.elapsed().as_secs_f64();
        assert!((9.0..=10.5).contains(&took), "{took}");
        assert_eq!(whole.sent(), 1_000_000);
    }
}

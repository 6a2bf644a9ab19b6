//! Servers that send what they should not.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use shoal_node::data::link::Link;
use shoal_node::data::tls::TlsIdentity;
use shoal_node::data::tls_stream::TlsStream;
use shoal_node::data::{FetchError, FetchEvent, Listener, SwarmOptions};
use shoal_node::identity::Identity;
use shoal_protocol::access::{Address, Nonce, Ticket};
use shoal_protocol::bounded::List;
use shoal_protocol::have::RangeSet;
use shoal_protocol::id::{PageId, SnapshotId};
use shoal_protocol::manifest::{SnapshotCursor, Step};
use shoal_protocol::paged_list::MemoryPages;
use shoal_protocol::peer::PeerKey;
use shoal_protocol::snapshot::Snapshot;
use shoal_protocol::wire::limits::NEIGHBOURS_MAX;
use shoal_protocol::wire::{
    Admitted, Busy, Codec, Features, Have, Hello, Message, Neighbour, Neighbours, Outcome,
    PageCodec, PageHead, PageRequest, Pages, Pong, RequestId, RunData, RunEnd, RunRequest,
    TeamHeads,
};
use shoal_store::Store;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{Node, noise, soon, write_files};

/// How a server misbehaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Lie {
    WrongBytes,
    WrongPage,
    OtherSnapshot,
    UnaskedData,
    DataTwice,
    OutOfStep,
    OversizeFrame,
    UnknownKind,
    Compressed,
    /// Its frames decode to more than they say.
    Expanding,
    /// It sends bytes beside a base that nobody named.
    UnaskedBase,
    NoPages,
    /// It lets everybody in, and answers nothing; whoever asks hears of another source.
    Silent(PeerKey, SocketAddr),
    /// The same, but it sends pages.
    Withholds(PeerKey, SocketAddr),
    /// The same, and it says at once that it is through with a run.
    EndsAtOnce(PeerKey, SocketAddr),
    /// The same, and it says that it was told to stop.
    Cancels(PeerKey, SocketAddr),
    /// The same, and it sends answers to pings that nobody sent, without end.
    Chatters(PeerKey, SocketAddr),
    /// It lets everybody in, and tells what only members of a team tell each other.
    TeamTalk,
    /// The same, and it says that it is busy for so many milliseconds.
    Busy(PeerKey, SocketAddr, u32),
    /// The same, and it says that it does not have any of it.
    Lacks(PeerKey, SocketAddr),
    /// The same, and it sends wrong bytes.
    Garbles(PeerKey, SocketAddr),
    /// It offers these positions alone, and hangs up on who asks for others; the one lie is that
    /// they are all that it has.
    Offers(u64, u64),
    /// The same, and it stops for good in the middle of the first frame.
    Halts(u64, u64),
    /// It offers positions behind the end.
    OffersBeyond,
    /// It tells of neighbours that do not exist, all at this address.
    Neighbours(SocketAddr),
}

/// What a lying server serves from.
pub(super) struct Liar {
    pub(super) identity: Identity,
    pub(super) snapshot: Snapshot,
    pub(super) pages: MemoryPages,
    pub(super) lie: Lie,
    /// Where it takes true bytes from, if it sends such.
    pub(super) truth: Option<Store>,
    /// Counts those who have stopped for good.
    pub(super) halted: Arc<AtomicUsize>,
}

impl Liar {
    pub(super) async fn listen(self) -> SocketAddr {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let tls = TlsIdentity::new(&self.identity).unwrap();
        let liar = Arc::new(self);
        tokio::spawn(async move {
            while let Ok((stream, _)) = socket.accept().await {
                let (liar, config) = (Arc::clone(&liar), tls.server());
                tokio::spawn(async move {
                    if let Ok(stream) = TlsStream::accept(stream, config).await {
                        // The client hangs up, as it should.
                        let _ = liar.serve(stream).await;
                    }
                });
            }
        });
        address
    }

    async fn serve(
        &self,
        mut stream: TlsStream<TcpStream>,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let raw: &[u8] = match self.lie {
            Lie::OversizeFrame => &[0xff, 0xff, 0xff, 0xff, 0x13, 0, 8, 0],
            Lie::UnknownKind => &[0, 0, 0, 0, 0x77, 0, 0, 0],
            _ => &[],
        };
        if !raw.is_empty() {
            stream.write_all(raw).await?;
            stream.flush().await?;
            stream.read_to_end(&mut Vec::new()).await?;
            return Ok(());
        }
        let halts_after = Arc::new(AtomicUsize::new(usize::MAX));
        let stream = Halting {
            halts_after: Arc::clone(&halts_after),
            halted: Some(Arc::clone(&self.halted)),
            stream,
        };
        let mut link = Link::new(stream.stream.peer(), stream);
        let features = match self.lie {
            Lie::Expanding | Lie::UnaskedBase => Features::ZSTD.and(Features::ZSTD_WITH_BASE),
            _ => Features::NONE,
        };
        let hello = Hello::new(features, Nonce([2; 32]), "liar", List::empty());
        link.writer.send(hello, &[]).await?;
        link.writer.flush().await?;
        loop {
            let (message, _) = link.reader.message(|_| true).await?;
            match (message, self.lie) {
                (Message::PageRequest(_) | Message::RunRequest(_), Lie::Silent(peer, at))
                | (Message::RunRequest(_), Lie::Withholds(peer, at)) => {
                    link.writer.send(self.neighbours([peer], at), &[]).await?;
                }
                (Message::RunRequest(asked), Lie::EndsAtOnce(peer, at)) => {
                    link.writer.send(self.neighbours([peer], at), &[]).await?;
                    let (request, outcome) = (asked.request, Outcome::Complete);
                    link.writer.send(RunEnd { request, outcome }, &[]).await?;
                }
                (Message::RunRequest(asked), Lie::Cancels(peer, at)) => {
                    link.writer.send(self.neighbours([peer], at), &[]).await?;
                    let (request, outcome) = (asked.request, Outcome::Cancelled);
                    link.writer.send(RunEnd { request, outcome }, &[]).await?;
                }
                (Message::RunRequest(_), Lie::Chatters(peer, at)) => {
                    link.writer.send(self.neighbours([peer], at), &[]).await?;
                    loop {
                        link.writer.send(Pong { token: 0 }, &[]).await?;
                        link.writer.flush().await?;
                    }
                }
                (Message::RunRequest(asked), Lie::Busy(peer, at, retry_ms)) => {
                    link.writer.send(self.neighbours([peer], at), &[]).await?;
                    let request = asked.request;
                    link.writer.send(Busy { request, retry_ms }, &[]).await?;
                }
                (Message::RunRequest(asked), Lie::Lacks(peer, at)) => {
                    link.writer.send(self.neighbours([peer], at), &[]).await?;
                    let (request, outcome) = (asked.request, Outcome::NotHeld);
                    link.writer.send(RunEnd { request, outcome }, &[]).await?;
                }
                (Message::RunRequest(asked), Lie::Garbles(peer, at)) => {
                    link.writer.send(self.neighbours([peer], at), &[]).await?;
                    self.send_run(&mut link, &asked).await?;
                }
                (Message::RunRequest(asked), Lie::Offers(start, end))
                    if !asked.ranges.is_subset_of(&RangeSet::of(start..end)) =>
                {
                    return Err("it does not offer that".into());
                }
                (Message::RunRequest(asked), Lie::Halts(..)) => {
                    // The head, and a part of the bytes.
                    halts_after.store(1000, Ordering::Relaxed);
                    self.send_run(&mut link, &asked).await?;
                }
                (Message::Present(present), _) => {
                    let mut snapshot = self.snapshot;
                    if self.lie == Lie::OtherSnapshot {
                        snapshot.bytes += 1;
                    }
                    let admitted = Admitted {
                        grant: present.presentation.grant.id(),
                        snapshot,
                        offers_all: !matches!(
                            self.lie,
                            Lie::OffersBeyond | Lie::Offers(..) | Lie::Halts(..)
                        ),
                    };
                    link.writer.send(admitted, &[]).await?;
                    if self.lie == Lie::TeamTalk {
                        link.writer.send(TeamHeads {}, &[7; 32]).await?;
                    }
                    if let Lie::Neighbours(at) = self.lie {
                        for _ in 0..50 {
                            link.writer.send(self.invented(at), &[]).await?;
                        }
                    }
                }
                (Message::HaveRequest(asked), lie) => {
                    let have = Have {
                        snapshot: asked.snapshot,
                        generation: u64::MAX,
                    };
                    let ranges = RangeSet::of(match lie {
                        Lie::Offers(start, end) | Lie::Halts(start, end) => start..end,
                        _ => 0..self.snapshot.bytes + 1,
                    });
                    link.writer.send(have, &ranges.to_bytes()?).await?;
                }
                (Message::PageRequest(asked), _) => self.send_pages(&mut link, &asked).await?,
                (Message::RunRequest(asked), _) => self.send_run(&mut link, &asked).await?,
                _ => {}
            }
            link.writer.flush().await?;
        }
    }

    async fn send_pages(
        &self,
        link: &mut Link,
        asked: &PageRequest,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        for (i, page) in asked.pages.iter().enumerate() {
            let mut bytes = self.page(page);
            if self.lie == Lie::WrongPage {
                bytes[0] ^= 1;
            }
            let length = bytes.len() as u32;
            let head = PageHead {
                page: *page,
                codec: PageCodec::Raw,
                plain_length: length,
                length,
            };
            let none = self.lie == Lie::NoPages;
            let answer = Pages {
                request: asked.request,
                last: i + 1 == asked.pages.len(),
                pages: List::new(if none { vec![] } else { vec![head] })?,
            };
            link.writer
                .send(answer, if none { &[] } else { &bytes })
                .await?;
        }
        Ok(())
    }

    /// Neighbours that nobody has ever seen, all at one address.
    fn invented(&self, at: SocketAddr) -> Neighbours {
        let invented = (0..NEIGHBOURS_MAX).map(|_| Identity::generate().peer_key());
        self.neighbours(invented, at)
    }

    fn neighbours(&self, peers: impl IntoIterator<Item = PeerKey>, at: SocketAddr) -> Neighbours {
        let address = Address::of_ip(at.ip(), at.port()).unwrap();
        let neighbour = |peer| Neighbour {
            peer,
            addresses: List::new(vec![address.clone()]).unwrap(),
        };
        Neighbours {
            snapshot: self.snapshot.id(),
            peers: List::new(peers.into_iter().map(neighbour).collect()).unwrap(),
        }
    }

    fn page(&self, page: &PageId) -> Vec<u8> {
        let (_, bytes) = self.pages.iter().find(|(id, _)| *id == page).unwrap();
        bytes.to_vec()
    }

    async fn send_run(
        &self,
        link: &mut Link,
        asked: &RunRequest,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let mut cursor = SnapshotCursor::new(&self.snapshot);
        let mut request = asked.request;
        while let Some(step) = cursor.next(&self.pages)? {
            let Step::Chunk {
                mut position,
                chunk,
                ..
            } = step
            else {
                continue;
            };
            let mut length = chunk.length;
            let range = position..position + u64::from(length);
            if !asked.ranges.contains_range(range) {
                continue;
            }
            let mut codec = Codec::Raw;
            let mut payload = vec![0xbb; length as usize];
            if let Some(store) = &self.truth {
                store.read_chunk(&chunk.id, &mut payload)?;
            }
            match self.lie {
                Lie::UnaskedData => request = RequestId(asked.request.0 + 1000),
                Lie::OutOfStep => {
                    position += 1;
                    length -= 1;
                    payload.pop();
                }
                Lie::Compressed => codec = Codec::Zstd,
                Lie::Expanding => {
                    codec = Codec::Zstd;
                    payload = zstd::bulk::compress(&vec![0xbb; 64 << 20], 1)?;
                    payload.truncate(length as usize);
                }
                Lie::UnaskedBase => {
                    let snapshot = self.snapshot.id();
                    let (start, end) = (0, u64::from(length));
                    codec = Codec::ZstdWithBase {
                        snapshot,
                        start,
                        end,
                    };
                }
                _ => {}
            }
            let data = RunData {
                request,
                position,
                codec,
                plain_length: length,
            };
            let times = if self.lie == Lie::DataTwice { 2 } else { 1 };
            for _ in 0..times {
                link.writer.send(data, &payload).await?;
            }
        }
        let outcome = Outcome::Complete;
        link.writer.send(RunEnd { request, outcome }, &[]).await?;
        Ok(())
    }
}

/// A stream that takes so many bytes more, and then no more.
struct Halting {
    stream: TlsStream<TcpStream>,
    halts_after: Arc<AtomicUsize>,
    /// Is told of it, once.
    halted: Option<Arc<AtomicUsize>>,
}

impl AsyncRead for Halting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Halting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let left = self.halts_after.load(Ordering::Relaxed);
        let stream = Pin::new(&mut self.stream);
        if left == 0 {
            ready!(stream.poll_flush(context))?;
            if let Some(halted) = self.halted.take() {
                halted.fetch_add(1, Ordering::Relaxed);
            }
            return Poll::Pending;
        }
        let count = ready!(stream.poll_write(context, &bytes[..bytes.len().min(left)]))?;
        if left < usize::MAX {
            self.halts_after.fetch_sub(count, Ordering::Relaxed);
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Gets a folder from a server that lies; gives how that ended and what was told.
async fn get_from(lie: Lie) -> (Result<(), FetchError>, Vec<FetchEvent>, Node) {
    get_from_within(lie, Duration::from_secs(20)).await
}

/// The same, for so long without progress.
async fn get_from_within(
    lie: Lie,
    timeout: Duration,
) -> (Result<(), FetchError>, Vec<FetchEvent>, Node) {
    let alice = Node::new();
    let source = alice.path("data");
    let files = [
        ("a.bin", noise(12, 3_000_000)),
        ("b.bin", noise(13, 400_000)),
    ];
    write_files(&source, &files);
    let snapshot = alice.add(&source);
    let liar = Liar {
        identity: alice.identity.clone(),
        snapshot,
        pages: alice.pages(),
        lie,
        truth: None,
        halted: Arc::default(),
    };
    let at = liar.listen().await;
    let (ticket, _) = alice.ticket(snapshot, at);
    let bob = Node::new();
    let events = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&events);
    let options = SwarmOptions {
        timeout: Some(timeout),
        ..SwarmOptions::default()
    };
    let swarm = bob.swarm_with(&ticket, options, move |event| {
        log.lock().unwrap().push(event)
    });
    let ended = soon(bob.get_through(&swarm, &bob.path("got"))).await;
    drop(swarm);
    let events = events.lock().unwrap().clone();
    (ended.map(|_| ()), events, bob)
}

fn holds_garbage(dir: &std::path::Path) -> bool {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return false;
    };
    entries.map(Result::unwrap).any(|entry| {
        let path = entry.path();
        match path.is_dir() {
            true => holds_garbage(&path),
            false => {
                std::fs::read(&path).unwrap().contains(&0xbb) && {
                    let bytes = std::fs::read(&path).unwrap();
                    bytes.windows(64).any(|window| window == [0xbb; 64])
                }
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_never_touch_the_disk_and_end_the_acquaintance() {
    let (ended, events, bob) = get_from(Lie::WrongBytes).await;
    assert!(
        matches!(ended, Err(FetchError::Misbehaved { .. })),
        "{ended:?}"
    );
    let bad = |event: &&FetchEvent| matches!(event, FetchEvent::BadChunk { .. });
    assert!(events.iter().filter(bad).count() >= 3);
    assert!(!holds_garbage(bob.dir.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn lies_end_the_acquaintance() {
    for lie in [
        Lie::WrongPage,
        Lie::OtherSnapshot,
        Lie::UnaskedData,
        Lie::DataTwice,
        Lie::OutOfStep,
        Lie::OversizeFrame,
        Lie::UnknownKind,
        Lie::Compressed,
        Lie::Expanding,
        Lie::UnaskedBase,
        Lie::OffersBeyond,
        Lie::TeamTalk,
    ] {
        let (ended, _, bob) = get_from(lie).await;
        assert!(
            matches!(ended, Err(FetchError::Misbehaved { .. })),
            "{lie:?}: {ended:?}"
        );
        assert!(!holds_garbage(bob.dir.path()), "{lie:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_invents_others_has_few_dialled() {
    let victim = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = victim.local_addr().unwrap();
    let (dials, mut dialled) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        // Held open, so that none makes room for another.
        while let Ok((stream, _)) = victim.accept().await {
            if dials.send(stream).is_err() {
                return;
            }
        }
    });
    let (ended, ..) = get_from_within(Lie::Neighbours(at), Duration::from_secs(1)).await;
    assert!(ended.is_err(), "it has no bytes");
    let mut held = vec![soon(dialled.recv()).await.unwrap()];
    while let Ok(stream) = dialled.try_recv() {
        held.push(stream);
    }
    // 1,600 were named.
    assert!(held.len() < 8 * NEIGHBOURS_MAX, "{} dials", held.len());
}

/// A node, a file of it, and a ticket that names a source alone which lies about that file as
/// `lie` says, which is told of the node.
pub(super) async fn behind_a_liar(
    bytes: &[u8],
    lie: fn(PeerKey, SocketAddr) -> Lie,
) -> (Node, Listener, Ticket) {
    let alice = Node::new();
    let source = alice.path("data.bin");
    std::fs::write(&source, bytes).unwrap();
    let snapshot = alice.add(&source);
    let listener = alice.listen().await;
    let (server, at) = (alice.identity.peer_key(), listener.addresses()[0]);
    let (ticket, _) = alice.ticket(snapshot, at);
    let liar = Liar {
        identity: Identity::generate(),
        snapshot,
        pages: alice.pages(),
        lie: lie(server, at),
        truth: None,
        halted: Arc::default(),
    };
    let liars_key = liar.identity.peer_key();
    let at = liar.listen().await;
    let address = Address::of_ip(at.ip(), at.port()).unwrap();
    let ticket = Ticket::new(ticket.grant().clone(), ticket.secret().cloned(), None)
        .with_source(liars_key, vec![address]);
    (alice, listener, ticket)
}

/// Nothing comes from the only source that is known at first, and it hangs up on nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_says_that_it_has_all_and_sends_nothing_is_passed_over() {
    let bytes = noise(14, 3_000_000);
    for lie in [
        Lie::Silent,
        Lie::Withholds,
        Lie::EndsAtOnce,
        Lie::Cancels,
        |peer, at| Lie::Busy(peer, at, 0),
        Lie::Chatters,
    ] {
        let (_alice, _listener, ticket) = behind_a_liar(&bytes, lie).await;
        let bob = Node::new();
        let dest = bob.path("got.bin");
        soon(bob.get(&ticket, &dest)).await.unwrap();
        assert!(std::fs::read(&dest).unwrap() == bytes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_without_the_pages_is_told_from_a_liar() {
    let (ended, ..) = get_from(Lie::NoPages).await;
    assert!(
        matches!(ended, Err(FetchError::PageNotFound { .. })),
        "{ended:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_else_at_the_address_gets_nothing_to_see() {
    let (alice, mallory, bob) = (Node::new(), Node::new(), Node::new());
    let listener = mallory.listen().await;
    let at = listener.addresses()[0];
    let (ticket, _) = alice.unknown_ticket(SnapshotId::of(b"x"), at, None);
    let options = SwarmOptions {
        timeout: Some(Duration::from_millis(500)),
        ..SwarmOptions::default()
    };
    let swarm = bob.swarm_with(&ticket, options, |_| {});
    let ended = soon(swarm.snapshot()).await;
    assert!(
        matches!(ended, Err(FetchError::TimedOut { .. })),
        "{ended:?}"
    );
    assert!(listener.peers().is_empty());
}

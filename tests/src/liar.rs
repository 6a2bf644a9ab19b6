//! A source that sends wrong bytes for a part of the chunks that it is asked for, or says that
//! it has everything and never sends any of it, or never ends to say what it has.
//!
//! Owns: a node's home whose node does not run, and what it says to those who connect: it
//! lets in whoever presents a grant, hands out pages as they are, and answers runs from the
//! store with one byte of each chunk that it lies about changed. It lies about the same
//! chunks every time. One that is silent or tells answers neither pages nor runs. Refuses:
//! everything else that a node does; it knows of no others, and compresses nothing.

use std::collections::BTreeSet;
use std::error::Error;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use shoal_node::data::link::Link;
use shoal_node::data::tls::TlsIdentity;
use shoal_node::data::tls_stream::TlsStream;
use shoal_node::identity::Identity;
use shoal_protocol::access::{Address, Nonce, Scope, Ticket};
use shoal_protocol::bounded::List;
use shoal_protocol::have::{RANGES_MAX, RangeSet};
use shoal_protocol::manifest::{SnapshotCursor, Step};
use shoal_protocol::snapshot::Snapshot;
use shoal_protocol::wire::{
    Admitted, Codec, Features, Have, HaveUpdate, Hello, Message, Outcome, PageCodec, PageHead,
    PageRequest, Pages, Pong, RunData, RunEnd, RunRequest,
};
use shoal_store::disk::real::RealDisk;
use shoal_store::{RunReader, Store, StoreOptions};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::block_in_place;

use crate::data;

/// What is sent at once, as a node does.
const PIECE_BYTES_MAX: u64 = 512 << 10;

/// Who tells without end tells of so many more ranges before it begins anew.
const TOLD_MORE: u64 = 10_000;

/// Why a connection ended.
type Ended = Box<dyn Error + Send + Sync>;

/// What a source does that is asked for what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conduct {
    /// It sends other bytes for so many chunks in a hundred.
    Lies(u64),
    /// It sends nothing.
    Silent,
    /// It sends nothing but what it pretends to have: as scattered as may be, and ever more.
    Tells,
}

/// See the top of this file. It goes when it is dropped.
pub struct Liar {
    ticket: String,
    told: Arc<Told>,
    _runtime: Runtime,
}

/// How many wrong chunks it has sent.
#[derive(Default)]
struct Told {
    lies: Mutex<u64>,
    more: Condvar,
}

/// What a connection is answered from.
struct Desk {
    identity: Identity,
    store: Store,
    snapshot: Snapshot,
    /// Where the chunks begin that it lies about.
    wrong: BTreeSet<u64>,
    conduct: Conduct,
    told: Arc<Told>,
}

impl Liar {
    /// Serves what `ticket` grants from `home`, which holds all of it, as `conduct` says.
    /// `listen` is an address that others reach; port 0 is any.
    ///
    /// # Panics
    /// If one of these is not so.
    pub fn start(home: &Path, ticket: &str, conduct: Conduct, listen: SocketAddr) -> Self {
        let ticket = Ticket::from_text(ticket).expect("a ticket");
        let told = Arc::<Told>::default();
        let desk = Desk::open(home, &ticket, conduct, Arc::clone(&told));
        let runtime = Runtime::new().expect("threads");
        let socket = runtime.block_on(TcpListener::bind(listen));
        let socket = socket.expect("a free port");
        let at = socket.local_addr().expect("bound");
        let address = Address::of_ip(at.ip(), at.port()).expect("a plain address");
        let ticket = ticket.with_source(desk.identity.peer_key(), vec![address]);
        runtime.spawn(accept(socket, Arc::new(desk)));
        Self {
            ticket: ticket.to_text(),
            told,
            _runtime: runtime,
        }
    }

    /// The ticket that it was given, with itself as a further source, the first.
    pub fn ticket(&self) -> &str {
        &self.ticket
    }

    /// Waits until it has sent so many wrong chunks.
    pub fn wait_for_lies(&self, lies: u64) {
        let said = self.told.lies();
        let fewer = |said: &mut u64| *said < lies;
        drop((self.told.more.wait_while(said, fewer)).unwrap_or_else(PoisonError::into_inner));
    }
}

impl Told {
    fn lies(&self) -> std::sync::MutexGuard<'_, u64> {
        self.lies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, lies: u64) {
        *self.lies() += lies;
        self.more.notify_all();
    }
}

async fn accept(socket: TcpListener, desk: Arc<Desk>) {
    let tls = TlsIdentity::new(&desk.identity).expect("an identity has a certificate");
    while let Ok((stream, _)) = socket.accept().await {
        let (desk, config) = (Arc::clone(&desk), tls.server());
        tokio::spawn(async move {
            if let Ok(stream) = TlsStream::accept(stream, config).await {
                // The client hangs up, as it should.
                let _ = desk.serve(stream).await;
            }
        });
    }
}

impl Desk {
    fn open(home: &Path, ticket: &Ticket, conduct: Conduct, told: Arc<Told>) -> Self {
        let percent = match conduct {
            Conduct::Lies(percent) => percent,
            Conduct::Silent | Conduct::Tells => 0,
        };
        let store = Store::open(RealDisk::shared(), home, StoreOptions::default())
            .expect("a home whose node does not run");
        let Scope::Snapshot(id) = ticket.grant().grant.scope;
        let row = store.view().snapshot(&id).expect("a sound index");
        let snapshot = row.expect("a home that has it").snapshot;
        let mut wrong = BTreeSet::new();
        let mut cursor = SnapshotCursor::new(&snapshot);
        while let Some(step) = cursor.next(&store).expect("a home that has its pages") {
            if let Step::Chunk { position, .. } = step
                && data::number(&format!("lie:{position}")) % 100 < percent
            {
                wrong.insert(position);
            }
        }
        Self {
            identity: Identity::load_or_create(home).expect("a home has an identity"),
            store,
            snapshot,
            wrong,
            conduct,
            told,
        }
    }

    async fn serve(&self, stream: TlsStream<TcpStream>) -> Result<(), Ended> {
        let mut link = Link::new(stream.peer(), stream);
        let hello = Hello::new(Features::NONE, Nonce([2; 32]), "liar", List::empty());
        link.writer.send(hello, &[]).await?;
        link.writer.flush().await?;
        loop {
            let (message, payload) = link.reader.message(|_| true).await?;
            link.reader.payload(&mut vec![0; payload]).await?;
            match message {
                Message::Present(present) => {
                    let admitted = Admitted {
                        grant: present.presentation.grant.id(),
                        snapshot: self.snapshot,
                        offers_all: true,
                    };
                    link.writer.send(admitted, &[]).await?;
                    if self.conduct == Conduct::Tells {
                        return self.tell(&mut link).await;
                    }
                }
                Message::PageRequest(_) | Message::RunRequest(_)
                    if self.conduct == Conduct::Silent => {}
                Message::PageRequest(asked) => self.send_pages(&mut link, &asked).await?,
                Message::RunRequest(asked) => self.send_run(&mut link, &asked).await?,
                Message::Ping(ping) => link.writer.send(Pong { token: ping.token }, &[]).await?,
                Message::Bye(_) => return Ok(()),
                _ => {}
            }
            link.writer.flush().await?;
        }
    }

    /// Tells without end of what it has: of as many ranges as may be told, and then of one more
    /// and one more.
    async fn tell(&self, link: &mut Link) -> Result<(), Ended> {
        let snapshot = self.snapshot.id();
        let at = |i| RangeSet::of(2 * i..2 * i + 1);
        let most = RANGES_MAX as u64 - TOLD_MORE;
        let scattered: RangeSet = (0..most).map(|i| 2 * i..2 * i + 1).collect();
        let scattered = scattered.to_bytes()?;
        let mut generation = 0;
        loop {
            generation += 1;
            let have = Have {
                snapshot,
                generation,
            };
            link.writer.send(have, &scattered).await?;
            for more in most..most + TOLD_MORE {
                generation += 1;
                let update = HaveUpdate {
                    snapshot,
                    generation,
                };
                link.writer.send(update, &at(more).to_bytes()?).await?;
            }
            link.writer.flush().await?;
        }
    }

    async fn send_pages(&self, link: &mut Link, asked: &PageRequest) -> Result<(), Ended> {
        for (i, page) in asked.pages.iter().enumerate() {
            let bytes = block_in_place(|| self.store.page(page))?.ok_or("no such page")?;
            let length = u32::try_from(bytes.len())?;
            let head = PageHead {
                page: *page,
                codec: PageCodec::Raw,
                plain_length: length,
                length,
            };
            let answer = Pages {
                request: asked.request,
                last: i + 1 == asked.pages.len(),
                pages: List::new(vec![head])?,
            };
            link.writer.send(answer, &bytes).await?;
        }
        Ok(())
    }

    async fn send_run(&self, link: &mut Link, asked: &RunRequest) -> Result<(), Ended> {
        let request = asked.request;
        let mut reader = RunReader::new(&self.snapshot);
        let mut bytes = Vec::new();
        for range in asked.ranges.iter() {
            let mut position = range.start;
            while position < range.end {
                let left = position..range.end;
                let read = || (self.store).read_run(&mut reader, left, PIECE_BYTES_MAX, &mut bytes);
                let piece = block_in_place(read)?;
                let lies = self.spoil(&piece, &mut bytes);
                let data = RunData {
                    request,
                    position,
                    codec: Codec::Raw,
                    plain_length: u32::try_from(bytes.len())?,
                };
                link.writer.send(data, &bytes).await?;
                link.writer.flush().await?;
                self.told.count(lies);
                position = piece.end;
            }
        }
        let outcome = Outcome::Complete;
        link.writer.send(RunEnd { request, outcome }, &[]).await?;
        Ok(())
    }

    /// Changes a byte of each chunk in `piece` that it lies about; gives how many.
    fn spoil(&self, piece: &Range<u64>, bytes: &mut [u8]) -> u64 {
        let wrong = self.wrong.range(piece.clone());
        wrong
            .map(|start| bytes[(start - piece.start) as usize] ^= 1)
            .count() as u64
    }
}

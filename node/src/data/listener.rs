//! The door: others connect here, prove who they are and what they may read.
//!
//! Owns: sockets, the bound on strangers and on peers, the life of each connection.
//! Refuses: what a peer is answered (`serve`).

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use shoal_protocol::bounded::List;
use shoal_protocol::id::SnapshotId;
use shoal_protocol::peer::PeerKey;
use shoal_protocol::wire::ByeReason;
use shoal_protocol::wire::limits::ADMISSION_MS_MAX;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::arrival::{Arrival, From, Sockets};
use super::link::{Link, LinkError};
use super::outbox::Outbox;
use super::quic::QuicSocket;
use super::redeeming::Redeeming;
use super::room::gives_way;
use super::serve::Server;
use super::strangers::{Place, Strangers};
use super::visitor::{House, LetIn, Visitor};
use super::way::Way;
use super::{Admission, Detour, Endpoint, greeting};

/// How long connections may take to end when the listener stops.
const GOODBYE: Duration = Duration::from_secs(2);
/// After an error of `accept` (no more descriptors, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Peers that are remembered after they have left.
const DEPARTED_MAX: usize = 256;

/// How others are let in.
#[derive(Debug, Clone)]
pub struct ListenerConfig {
    /// Where to listen; port 0 takes any that is free.
    pub addresses: Vec<SocketAddr>,
    /// The most connections that have not presented a valid grant yet; each costs about
    /// 40 KiB. One more, and the oldest of them is closed.
    pub strangers_max: usize,
    /// The same, of one IP address.
    pub strangers_per_address_max: usize,
    /// The most connections that have. One more takes the place of one from where most come
    /// from, or is told to come back. Each costs up to 1 MiB while it is sent to, over QUIC
    /// up to the endpoint's window.
    pub peers_max: usize,
}

impl Default for ListenerConfig {
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            strangers_max: 256,
            strangers_per_address_max: 64,
            peers_max: 256,
        }
    }
}

/// A peer that is connected and was let in.
#[derive(Debug, Clone)]
pub struct ConnectedPeer {
    /// Who.
    pub peer: PeerKey,
    /// From where; nothing for a stream of the control plane.
    pub address: Option<SocketAddr>,
    /// What carries the link.
    pub way: Way,
    /// What it calls its software.
    pub agent: String,
    /// Since when.
    pub since: SystemTime,
    /// Socket bytes received from it.
    pub wire_in: u64,
    /// Socket bytes sent to it.
    pub wire_out: u64,
}

/// Accepts and serves connections until it is stopped or dropped.
pub struct Listener {
    addresses: Vec<SocketAddr>,
    desk: Arc<Desk>,
    stopping: CancellationToken,
    _stop_on_drop: tokio_util::sync::DropGuard,
}

/// What all connections share.
struct Desk {
    house: Arc<House>,
    strangers: Strangers,
    peers_max: usize,
    visitors: Mutex<Visitors>,
    departed: Mutex<VecDeque<ConnectedPeer>>,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Default)]
struct Visitors {
    next: u64,
    by_number: HashMap<u64, Arc<Visitor>>,
}

impl Listener {
    /// Opens the sockets and begins to serve; fails if one of them cannot be opened.
    pub async fn start(
        endpoint: Endpoint,
        admission: Arc<dyn Admission>,
        config: ListenerConfig,
    ) -> io::Result<Self> {
        let stopping = CancellationToken::new();
        let server = Arc::new(Server::new(endpoint.store().clone()));
        let desk = Arc::new(Desk {
            house: Arc::new(House {
                endpoint,
                admission,
                server,
                redeeming: Redeeming::default(),
            }),
            strangers: Strangers::new(config.strangers_max, config.strangers_per_address_max),
            peers_max: config.peers_max,
            visitors: Mutex::default(),
            departed: Mutex::default(),
            stopping: stopping.clone(),
            tasks: TaskTracker::new(),
        });
        let mut addresses = Vec::new();
        let mut opened = Vec::new();
        for address in config.addresses {
            let sockets = Sockets::open(address, &desk.house.endpoint).await?;
            addresses.push(sockets.address);
            opened.push(sockets);
        }
        for sockets in opened {
            if let Some(socket) = sockets.tcp {
                desk.tasks.spawn(accept(socket, Arc::clone(&desk)));
            }
            if let Some(socket) = sockets.quic {
                desk.tasks.spawn(accept_quic(socket, Arc::clone(&desk)));
            }
        }
        Ok(Self {
            addresses,
            desk,
            _stop_on_drop: stopping.clone().drop_guard(),
            stopping,
        })
    }

    /// Where it listens, with the ports that were found.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.clone()
    }

    /// Serves a member over a stream of the control plane.
    pub fn attend(&self, stream: Detour) {
        self.desk.receive(Arrival::Stream(stream));
    }

    /// Who is connected and let in.
    pub fn peers(&self) -> Vec<ConnectedPeer> {
        let admitted = self.desk.admitted();
        admitted.iter().map(|visitor| describe(visitor)).collect()
    }

    /// Who was, and has left since this was last asked, up to the latest few.
    pub fn take_departed(&self) -> Vec<ConnectedPeer> {
        self.desk.departed().drain(..).collect()
    }

    /// Says that more (or less) of a snapshot is offered than before, so that peers that
    /// asked for it are told. Call it after a checkpoint of a receive.
    pub fn offer_changed(&self, snapshot: &SnapshotId) {
        for visitor in self.desk.admitted() {
            let snapshot = *snapshot;
            let tell = async move { visitor.offer_changed(&snapshot).await };
            self.desk.tasks.spawn(tell);
        }
    }

    /// Lets nobody in any more, says goodbye, and waits a moment for connections to end.
    pub async fn stop(self) {
        self.stopping.cancel();
        for visitor in self.desk.admitted() {
            visitor.outbox().leave(ByeReason::ShuttingDown, "");
        }
        self.desk.tasks.close();
        // What has not ended by then ends with the process.
        let _ = tokio::time::timeout(GOODBYE * 2, self.desk.tasks.wait()).await;
    }
}

fn describe(visitor: &Visitor) -> ConnectedPeer {
    ConnectedPeer {
        peer: visitor.peer(),
        address: visitor.from.address,
        way: visitor.from.way,
        agent: visitor.agent().to_owned(),
        since: visitor.since,
        wire_in: visitor.traffic.received(),
        wire_out: visitor.traffic.sent(),
    }
}

impl Desk {
    fn departed(&self) -> std::sync::MutexGuard<'_, VecDeque<ConnectedPeer>> {
        self.departed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn visitors(&self) -> std::sync::MutexGuard<'_, Visitors> {
        self.visitors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admitted(&self) -> Vec<Arc<Visitor>> {
        let visitors = self.visitors();
        let admitted = visitors.by_number.values().filter(|v| v.is_admitted());
        admitted.cloned().collect()
    }

    /// Begins to serve whoever made a connection, in the place of a stranger.
    fn receive(self: &Arc<Self>, arrival: Arrival) {
        let place = self.strangers.enter(arrival.origin());
        let task = attend(arrival, place, Arc::clone(self));
        self.tasks.spawn(task);
    }

    /// Takes up a visitor who is about to be let in, if there is room or somebody makes room.
    fn register(self: &Arc<Self>, visitor: &Arc<Visitor>) -> Option<Registration> {
        let mut visitors = self.visitors();
        let staying = visitors.by_number.iter().filter(|(_, v)| !v.is_leaving());
        let staying: Vec<_> = staying.map(|(n, visitor)| (*n, visitor.origin())).collect();
        if staying.len() >= self.peers_max {
            let goes = gives_way(&staying, visitor.origin())?;
            let goes = &visitors.by_number[&goes];
            tracing::debug!(peer = %goes.peer(), "makes room for another");
            goes.outbox().leave(ByeReason::TooMany, "");
        }
        visitors.next += 1;
        let number = visitors.next;
        visitors.by_number.insert(number, Arc::clone(visitor));
        Some(Registration {
            number,
            desk: Arc::clone(self),
        })
    }
}

/// A visitor's place among those who were let in, given up when dropped.
struct Registration {
    number: u64,
    desk: Arc<Desk>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let Some(visitor) = self.desk.visitors().by_number.remove(&self.number) else {
            return;
        };
        let mut departed = self.desk.departed();
        if departed.len() >= DEPARTED_MAX {
            departed.pop_front();
        }
        departed.push_back(describe(&visitor));
    }
}

async fn accept(socket: TcpListener, desk: Arc<Desk>) {
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = desk.stopping.cancelled() => return,
        };
        match accepted {
            Ok((stream, address)) => desk.receive(Arrival::Tcp(stream, address)),
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Packets may come from elsewhere than they say. While few are waiting, that harms nobody;
/// then a place is only for who proves it.
async fn accept_quic(socket: QuicSocket, desk: Arc<Desk>) {
    let stopping = desk.stopping.clone();
    let accepting = async {
        while let Some(knock) = socket.next().await {
            if !knock.is_proven() && desk.strangers.are_many() {
                knock.ask_for_proof();
            } else {
                desk.receive(Arrival::Quic(Box::new(knock)));
            }
        }
    };
    tokio::select! {
        () = accepting => return,
        () = stopping.cancelled() => {}
    }
    // Connections say goodbye meanwhile, and need the socket for it.
    if tokio::time::timeout(GOODBYE, socket.finish())
        .await
        .is_err()
    {
        socket.close();
    }
}

/// The life of one connection: a stranger for a few seconds, then a peer or nobody.
async fn attend(arrival: Arrival, place: Place, desk: Arc<Desk>) {
    let from = arrival.from();
    let stopping = desk.stopping.clone();
    // Dropping the place tells that it is not a stranger any more.
    let place = Arc::new(Mutex::new(Some(place)));
    let known = CancellationToken::new();
    let too_strange = {
        let (place, known) = (Arc::clone(&place), known.clone());
        async move { stay_strange(&place, &known).await }
    };
    let visit = async move {
        match visit(arrival, from, desk, &place, &known).await {
            Ok(()) => tracing::debug!(%from, "connection ended"),
            Err(error) => tracing::debug!(%from, %error, "connection ended"),
        }
    };
    tokio::select! {
        () = visit => {}
        () = too_strange => tracing::debug!(%from, "no valid grant in time"),
        () = stopped(stopping) => {}
    }
}

/// Ends once a connection has been a stranger's for too long, or is pushed out.
async fn stay_strange(place: &Mutex<Option<Place>>, known: &CancellationToken) {
    let evicted = {
        let place = place.lock().unwrap_or_else(PoisonError::into_inner);
        place.as_ref().map(Place::token)
    };
    let patience = tokio::time::sleep(Duration::from_millis(ADMISSION_MS_MAX));
    tokio::select! {
        biased;
        () = known.cancelled() => std::future::pending().await,
        () = patience => {}
        () = async move {
            match evicted {
                Some(evicted) => evicted.cancelled().await,
                None => std::future::pending().await,
            }
        } => {}
    }
}

async fn stopped(stopping: CancellationToken) {
    stopping.cancelled().await;
    tokio::time::sleep(GOODBYE).await;
}

async fn visit(
    arrival: Arrival,
    from: From,
    desk: Arc<Desk>,
    place: &Mutex<Option<Place>>,
    known: &CancellationToken,
) -> Result<(), LinkError> {
    let endpoint = &desk.house.endpoint;
    let traffic = endpoint.connection(endpoint.traffic());
    let Link {
        peer,
        mut reader,
        mut writer,
    } = arrival.open(endpoint, &traffic).await?;
    let nonce = greeting::nonce();
    greeting::say_hello(&mut writer, nonce, endpoint.agent(), List::empty()).await?;
    let closing = CancellationToken::new();
    let (outbox, writing) = Outbox::new(writer, closing.clone());
    let house = Arc::clone(&desk.house);
    let visitor = Visitor::new(house, peer, from, traffic, nonce, outbox, closing);
    let mut registration = None;
    let let_in = |as_what| {
        if as_what == LetIn::Peer {
            registration = desk.register(&visitor);
        }
        place.lock().unwrap_or_else(PoisonError::into_inner).take();
        known.cancel();
        as_what == LetIn::Guest || registration.is_some()
    };
    let (read, written) = tokio::join!(
        async {
            let ended = visitor.attend(&mut reader, let_in).await;
            visitor.close();
            ended
        },
        writing
    );
    drop(registration);
    read.and(written)
}

//! Nodes in temporary directories, and grants between them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use shoal_node::data::{
    Access, Admission, Allowed, Endpoint, EndpointOptions, FetchError, FetchEvent, FetchOutcome,
    Listener, ListenerConfig, Swarm, SwarmOptions, Traffic, Ways,
};
use shoal_node::identity::Identity;
use shoal_protocol::access::{Address, Grant, HolderSecret, Rights, Scope, SignedGrant, Ticket};
use shoal_protocol::id::{GrantId, SnapshotId};
use shoal_protocol::paged_list::MemoryPages;
use shoal_protocol::peer::PeerKey;
use shoal_protocol::snapshot::Snapshot;
use shoal_store::disk::real::RealDisk;
use shoal_store::index::{AbsolutePath, AudienceId, Coverage, Origin, SnapshotRow};
use shoal_store::ingest::{AddMode, AddRequest};
use shoal_store::progress::Silent;
use shoal_store::receive::{Receive, ReceiveRequest, Received};
use shoal_store::{Store, StoreOptions};
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Nothing but TCP.
pub(crate) const TCP: Ways = Ways {
    tcp: true,
    quic: false,
    stream: false,
};

/// Nothing but QUIC.
pub(crate) const QUIC: Ways = Ways {
    tcp: false,
    quic: true,
    stream: false,
};

/// Makes a test over TCP and one over QUIC of each function that is given the ways.
macro_rules! over_tcp_and_quic {
    ($($test:ident,)+) => {
        mod over_tcp {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                Box::pin(super::$test(crate::harness::TCP)).await;
            })+
        }

        mod over_quic {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                Box::pin(super::$test(crate::harness::QUIC)).await;
            })+
        }
    };
}
pub(crate) use over_tcp_and_quic;

/// A table of issued grants, as the node keeps one, and of what they open now.
#[derive(Default)]
pub(crate) struct Grants(Mutex<HashMap<GrantId, Option<Allowed>>>);

impl Grants {
    pub(crate) fn insert(&self, grant: GrantId, allowed: Allowed) {
        self.0.lock().unwrap().insert(grant, Some(allowed));
    }

    /// What it is for is not shared at the moment.
    pub(crate) fn set_aside(&self, grant: GrantId) {
        self.0.lock().unwrap().insert(grant, None);
    }
}

impl Admission for Grants {
    fn admit(&self, grant: &SignedGrant, _client: PeerKey) -> Option<Allowed> {
        self.0.lock().unwrap().get(&grant.id()).cloned().flatten()
    }

    fn remembers(&self, grant: &SignedGrant) -> bool {
        self.0.lock().unwrap().contains_key(&grant.id())
    }
}

/// A node: an identity, a store, and a folder to play in.
pub(crate) struct Node {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) identity: Identity,
    pub(crate) store: Store,
    pub(crate) endpoint: Endpoint,
    pub(crate) grants: Arc<Grants>,
}

impl Node {
    pub(crate) fn new() -> Self {
        Self::with_options(EndpointOptions::default())
    }

    pub(crate) fn with_ways(ways: Ways) -> Self {
        Self::with_options(EndpointOptions {
            ways,
            ..EndpointOptions::default()
        })
    }

    pub(crate) fn with_options(options: EndpointOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity::generate();
        let home = dir.path().join("home");
        std::fs::create_dir(&home).unwrap();
        let store = Store::open(RealDisk::shared(), &home, StoreOptions::default()).unwrap();
        let endpoint = Endpoint::with_options(identity.clone(), store.clone(), "test", options);
        let endpoint = endpoint.unwrap();
        Self {
            dir,
            identity,
            store,
            endpoint,
            grants: Arc::default(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Adds what stands at `path`, in place.
    pub(crate) fn add(&self, path: &Path) -> Snapshot {
        let request = AddRequest {
            path: path.to_owned(),
            all: true,
            mode: AddMode::InPlace,
            kept: true,
            audience: None,
        };
        let added = self.store.add(&request, &Silent).unwrap();
        self.row(&added.snapshot).unwrap().snapshot
    }

    pub(crate) fn row(&self, snapshot: &SnapshotId) -> Option<SnapshotRow> {
        self.store.view().snapshot(snapshot).unwrap()
    }

    /// All pages of all that it has.
    pub(crate) fn pages(&self) -> MemoryPages {
        let mut pages = MemoryPages::new();
        for row in self.store.view().pages().unwrap() {
            let (id, ..) = row.unwrap();
            let bytes = self.store.page(&id).unwrap().unwrap();
            pages.put(id, bytes.to_vec());
        }
        pages
    }

    /// How long the first chunk of a snapshot is.
    pub(crate) fn first_chunk_bytes(&self, snapshot: &Snapshot) -> u64 {
        let mut reader = self.store.run_reader(&snapshot.id()).unwrap();
        let mut bytes = Vec::new();
        (1..)
            .find_map(|kib| {
                let all = 0..snapshot.bytes;
                let read = self.store.read_run(&mut reader, all, kib << 10, &mut bytes);
                read.ok().map(|first| first.end)
            })
            .unwrap()
    }

    pub(crate) async fn listen(&self) -> Listener {
        self.listen_as(ListenerConfig::default()).await
    }

    pub(crate) async fn listen_as(&self, config: ListenerConfig) -> Listener {
        let config = ListenerConfig {
            addresses: vec!["127.0.0.1:0".parse().unwrap()],
            ..config
        };
        let admission: Arc<dyn Admission> = self.grants.clone();
        let listener = Listener::start(self.endpoint.clone(), admission, config);
        listener.await.unwrap()
    }

    /// A ticket for `snapshot`, which is honoured until `revoked` is cancelled.
    pub(crate) fn ticket(&self, snapshot: Snapshot, at: SocketAddr) -> (Ticket, Allowed) {
        let (ticket, grant) = self.unknown_ticket(snapshot.id(), at, None);
        let allowed = Allowed {
            snapshot,
            revoked: CancellationToken::new(),
            traffic: Traffic::new(),
        };
        self.grants.insert(grant, allowed.clone());
        (ticket, allowed)
    }

    /// A ticket that is well signed, and that this node does not honour.
    pub(crate) fn unknown_ticket(
        &self,
        snapshot: SnapshotId,
        at: SocketAddr,
        expires_unix_s: Option<u64>,
    ) -> (Ticket, GrantId) {
        let secret = HolderSecret::from_bytes(rand::random());
        let grant = Grant {
            issuer: self.identity.peer_key(),
            holder: PeerKey::of(&secret.keypair()),
            scope: Scope::Snapshot(snapshot),
            rights: Rights::READ,
            issued_unix_s: now(),
            expires_unix_s,
            nonce: rand::random(),
        };
        let signed = SignedGrant::sign(grant, self.identity.keypair());
        let id = signed.id();
        let address = Address::of_ip(at.ip(), at.port()).unwrap();
        let ticket = Ticket::new(signed, Some(secret), None)
            .with_source(self.identity.peer_key(), vec![address]);
        (ticket, id)
    }

    pub(crate) fn access(&self, ticket: &Ticket) -> Access {
        Access::of_ticket(ticket, &self.identity, now()).unwrap()
    }

    pub(crate) fn swarm(&self, ticket: &Ticket) -> Swarm {
        self.swarm_with(ticket, SwarmOptions::default(), |_| {})
    }

    pub(crate) fn swarm_with(
        &self,
        ticket: &Ticket,
        options: SwarmOptions,
        events: impl Fn(FetchEvent) + Send + Sync + 'static,
    ) -> Swarm {
        Swarm::start(&self.endpoint, self.access(ticket), options, events)
    }

    /// Begins to receive `snapshot`.
    pub(crate) fn receive(&self, snapshot: Snapshot, dest: &Path) -> Arc<Receive> {
        let origin = Origin::Received {
            dest: AbsolutePath::new(dest).unwrap(),
        };
        let batch = self.store.begin();
        let row = SnapshotRow {
            snapshot,
            kept: false,
            audience: AudienceId(1),
            origin,
            at_unix_s: now(),
            held: Coverage::Ranges(Vec::new()),
            offered: Coverage::Ranges(Vec::new()),
        };
        if self.row(&snapshot.id()).is_none() {
            batch.put_snapshot(row);
        }
        batch.commit(false).unwrap();
        let request = ReceiveRequest {
            snapshot: snapshot.id(),
            dest: dest.to_owned(),
            audience: AudienceId(1),
            force: false,
            inside: None,
        };
        Arc::new(self.store.receive(request).unwrap())
    }

    /// Gets everything that `ticket` opens into `dest`.
    pub(crate) async fn get(
        &self,
        ticket: &Ticket,
        dest: &Path,
    ) -> Result<(FetchOutcome, Received), FetchError> {
        let swarm = self.swarm(ticket);
        self.get_through(&swarm, dest).await
    }

    pub(crate) async fn get_through(
        &self,
        swarm: &Swarm,
        dest: &Path,
    ) -> Result<(FetchOutcome, Received), FetchError> {
        let snapshot = swarm.snapshot().await?;
        let receive = self.receive(snapshot, dest);
        let outcome = swarm.fetch(Arc::clone(&receive)).await?;
        let received = receive.finish(false)?;
        Ok((outcome, received))
    }
}

pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_secs()
}

/// Bytes that do not compress and do not repeat, the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Writes files beneath `dir`.
pub(crate) fn write_files(dir: &Path, files: &[(&str, Vec<u8>)]) {
    for (name, bytes) in files {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

/// No test waits longer than this for what should happen.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what)
        .await
        .expect("it happens soon")
}

/// Holds the clock of a paused runtime where it is, so that what happens, happens without
/// waiting; for a minute at most, so that a test that waits in vain ends.
pub(crate) struct StillClock {
    began: Instant,
    _let_go: Sender<()>,
}

impl StillClock {
    pub(crate) fn hold() -> Self {
        let (let_go, end) = channel::<()>();
        // Such a clock does not advance while blocking work is done.
        spawn_blocking(move || end.recv_timeout(Duration::from_secs(60)));
        Self {
            began: Instant::now(),
            _let_go: let_go,
        }
    }

    pub(crate) fn assert_it_stood(&self) {
        assert_eq!(self.began.elapsed(), Duration::ZERO, "something waited");
    }
}

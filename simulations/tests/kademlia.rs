//! The model of Kademlia beside libp2p's own: real swarms in one process, over its memory
//! transport, look for the same places among the same peers.
//!
//! Small by itself; `SHOAL_CALIBRATION_NODES` makes it larger.

use std::collections::HashSet;

use futures::StreamExt;
use futures::future::join_all;
use libp2p::core::Multiaddr;
use libp2p::core::multiaddr::Protocol;
use libp2p::core::transport::{MemoryTransport, Transport};
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::kad::store::MemoryStore;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{PeerId, StreamProtocol, Swarm, SwarmBuilder, identify, kad, tls, yamux};
use shoal_protocol::advert::{AdvertKey, Position};
use shoal_protocol::peer::PeerKey;
use shoal_simulations::dht::{K, Kademlia};
use shoal_simulations::random::Random;
use tokio::sync::{mpsc, oneshot};

/// Swarms, unless told otherwise: enough that not everybody knows everybody.
const NODES: usize = 48;
/// Places that are looked for.
const LOOKUPS: usize = 96;
/// The model may be off by so much.
const TOLERANCE: f64 = 0.15;

#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p::swarm::derive_prelude")]
struct Behaviour {
    kad: kad::Behaviour<MemoryStore>,
    identify: identify::Behaviour,
}

/// What one node is asked to do; the answer comes when it is done.
enum Order {
    /// To fill its routing table.
    Bootstrap(oneshot::Sender<()>),
    /// To look for the peers closest to a key.
    LookUp(AdvertKey, oneshot::Sender<Looked>),
}

/// What a lookup came to.
struct Looked {
    closest: Vec<PeerId>,
    requests: u32,
}

/// A swarm that runs.
struct Node {
    peer: PeerId,
    orders: mpsc::Sender<Order>,
}

impl Node {
    /// Starts one that knows where `first` is.
    async fn start(number: usize, first: Option<(PeerId, Multiaddr)>) -> Self {
        let mut swarm = swarm(number);
        let address: Multiaddr = Protocol::Memory(place(number)).into();
        swarm.listen_on(address).expect("the place is free");
        while !matches!(
            swarm.select_next_some().await,
            SwarmEvent::NewListenAddr { .. }
        ) {}
        if let Some((peer, address)) = first {
            swarm.behaviour_mut().kad.add_address(&peer, address);
        }
        let (orders, received) = mpsc::channel(4);
        let peer = *swarm.local_peer_id();
        tokio::spawn(run(swarm, received));
        Self { peer, orders }
    }

    async fn order<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> T {
        let (reply, answer) = oneshot::channel();
        let sent = self.orders.send(order(reply)).await;
        assert!(sent.is_ok(), "it runs");
        answer.await.expect("it answers")
    }
}

/// Where a node listens.
fn place(number: usize) -> u64 {
    0x5110_a100 + number as u64
}

/// The key of a node, which follows from its number.
fn keypair(number: usize) -> Keypair {
    let secret = *blake3::hash(&number.to_le_bytes()).as_bytes();
    Keypair::ed25519_from_bytes(secret).expect("32 bytes are a secret key")
}

fn swarm(number: usize) -> Swarm<Behaviour> {
    SwarmBuilder::with_existing_identity(keypair(number))
        .with_tokio()
        .with_other_transport(|keypair| {
            let tls = tls::Config::new(keypair).expect("a certificate");
            MemoryTransport::default()
                .upgrade(Version::V1)
                .authenticate(tls)
                .multiplex(yamux::Config::default())
        })
        .expect("it is a transport")
        .with_behaviour(|keypair| {
            let me = keypair.public().to_peer_id();
            let config = kad::Config::new(StreamProtocol::new("/calibration/kad/1"));
            let mut kad = kad::Behaviour::with_config(me, MemoryStore::new(me), config);
            kad.set_mode(Some(kad::Mode::Server));
            let told = identify::Config::new("/calibration/1".to_owned(), keypair.public());
            let identify = identify::Behaviour::new(told);
            Behaviour { kad, identify }
        })
        .expect("it is a behaviour")
        .build()
}

/// Has a swarm go on, and does what it is ordered to, one after the other.
async fn run(mut swarm: Swarm<Behaviour>, mut orders: mpsc::Receiver<Order>) {
    loop {
        let order = loop {
            tokio::select! {
                event = swarm.select_next_some() => drop(ended(&mut swarm, event)),
                order = orders.recv() => break order,
            }
        };
        match order {
            None => return,
            Some(Order::Bootstrap(reply)) => {
                let begun = swarm.behaviour_mut().kad.bootstrap();
                begun.expect("it knows somebody");
                until_ended(&mut swarm).await;
                // Whoever asked has gone, or not.
                let _ = reply.send(());
            }
            Some(Order::LookUp(key, reply)) => {
                let key = key.as_bytes().to_vec();
                swarm.behaviour_mut().kad.get_closest_peers(key);
                // As above.
                let _ = reply.send(until_ended(&mut swarm).await);
            }
        }
    }
}

async fn until_ended(swarm: &mut Swarm<Behaviour>) -> Looked {
    loop {
        let event = swarm.select_next_some().await;
        if let Some(looked) = ended(swarm, event) {
            return looked;
        }
    }
}

/// What an event says of the query that is under way, if that has ended. Whoever says where it
/// listens is known from then on.
fn ended(swarm: &mut Swarm<Behaviour>, event: SwarmEvent<BehaviourEvent>) -> Option<Looked> {
    match event {
        SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received {
            peer_id,
            info,
            ..
        })) => {
            for address in info.listen_addrs {
                swarm.behaviour_mut().kad.add_address(&peer_id, address);
            }
            None
        }
        SwarmEvent::Behaviour(BehaviourEvent::Kad(kad::Event::OutboundQueryProgressed {
            result,
            stats,
            step,
            ..
        })) if step.last => {
            let closest = match result {
                kad::QueryResult::GetClosestPeers(found) => found.expect("in time").peers,
                _ => Vec::new(),
            };
            Some(Looked {
                closest: closest.into_iter().map(|found| found.peer_id).collect(),
                requests: stats.num_requests(),
            })
        }
        _ => None,
    }
}

/// The same key as the product names peers by.
fn peer_key(peer: &PeerId) -> PeerKey {
    peer.to_string().parse().expect("an Ed25519 key")
}

#[tokio::test]
async fn the_model_takes_as_many_requests_as_libp2p_and_finds_the_same_peers() {
    let count = std::env::var("SHOAL_CALIBRATION_NODES");
    let count = count.map_or(NODES, |count| count.parse().expect("a number"));
    let first = Node::start(0, None).await;
    let known = (first.peer, Protocol::Memory(place(0)).into());
    let mut nodes = vec![first];
    for number in 1..count {
        nodes.push(Node::start(number, Some(known.clone())).await);
    }
    for _ in 0..2 {
        // The first knows nobody until the others have come.
        join_all(nodes[1..].iter().map(|node| node.order(Order::Bootstrap))).await;
    }
    let peers: Vec<_> = nodes.iter().map(|node| peer_key(&node.peer)).collect();
    let model = Kademlia::new(&mut Random::new(1), 0, 0.0, &peers);

    let (mut real, mut modelled) = (0.0, 0.0);
    let (mut same, mut all) = (0, 0);
    for number in 0..LOOKUPS {
        let hash = blake3::hash(&number.to_le_bytes());
        let key = AdvertKey::from_bytes(*hash.as_bytes().first_chunk().expect("32 bytes"));
        let from = 1 + number % (count - 1);
        let looked = nodes[from].order(|reply| Order::LookUp(key, reply)).await;
        real += f64::from(looked.requests);
        let start = model.peer(&peers[from]).expect("one of them");
        let told = model.look_up(start, &Position::of_key(&key), |_| None);
        modelled += told.requests as f64;
        let closest: HashSet<_> = looked.closest.iter().map(peer_key).collect();
        let is_same = |peer: &&usize| closest.contains(&model.key(**peer));
        same += told.closest.iter().filter(is_same).count();
        all += closest.len().min(K);
    }
    let (real, modelled) = (real / LOOKUPS as f64, modelled / LOOKUPS as f64);
    let shared = same as f64 / all as f64;
    println!(
        "{count} nodes: {real:.1} requests a lookup, {modelled:.1} in the model; {shared:.3} of the peers the same"
    );
    assert!(
        (modelled / real - 1.0).abs() <= TOLERANCE,
        "{modelled:.1} requests a lookup in the model, {real:.1} by libp2p"
    );
    assert!(
        shared >= 1.0 - TOLERANCE,
        "{shared:.3} of the peers are the same"
    );
}

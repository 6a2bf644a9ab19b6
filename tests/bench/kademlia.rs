//! A plain node of libp2p's Kademlia, as anybody would make one: TCP, TLS, yamux, identify, and
//! provider records in the store that comes with it. One of several provides keys, each by a
//! `start_providing` of its own.
//!
//! It runs as a process of its own; `advertise` starts it, and talks to it by lines.

use std::io::{self, BufRead};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use clap::Args;
use futures::StreamExt;
use libp2p::identity::Keypair;
use libp2p::kad::store::MemoryStore;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, identify, kad};
use libp2p::{tcp, tls, yamux};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

/// Keys that are being provided at a time.
const AT_A_TIME: usize = 8;
/// As many copies as ours.
const COPIES: NonZeroUsize = NonZeroUsize::new(20).expect("not zero");
/// Longer than the benchmark: an idle connection is kept, as ours are.
const IDLE: Duration = Duration::from_secs(3600);

/// Which node this is.
#[derive(Debug, Clone, Args)]
pub struct Plain {
    /// Plain node: its number, from which its key follows.
    #[arg(long, hide = true, default_value_t = 0)]
    number: u8,
    /// Plain node: where number 0 listens.
    #[arg(long, hide = true)]
    first: Option<SocketAddr>,
}

#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p::swarm::derive_prelude")]
struct Behaviour {
    kad: kad::Behaviour<MemoryStore>,
    identify: identify::Behaviour,
}

/// Runs until its input ends. Says `ready` once it listens and is connected; for a line with a
/// number it provides so many keys, and says how many requests that took and how many seconds.
pub fn run(listen: SocketAddr, plain: &Plain) -> io::Result<()> {
    Runtime::new()?.block_on(async {
        let mut swarm = swarm(plain.number)?;
        let failed = |error: &dyn std::fmt::Display| io::Error::other(error.to_string());
        let listening = swarm.listen_on(of(listen));
        listening.map_err(|error| failed(&error))?;
        if let Some(first) = plain.first {
            let (kad, first_peer) = (&mut swarm.behaviour_mut().kad, peer(0));
            kad.add_address(&first_peer, of(first));
            kad.bootstrap().map_err(|error| failed(&error))?;
        }
        let mut orders = lines();
        let mut is_ready = false;
        loop {
            tokio::select! {
                event = swarm.select_next_some() => {
                    let listens = matches!(event, SwarmEvent::NewListenAddr { .. });
                    let joined = is_bootstrapped(&event);
                    take(&mut swarm, event);
                    if !is_ready && (joined || listens && plain.first.is_none()) {
                        is_ready = true;
                        println!("ready");
                    }
                }
                order = orders.recv() => match order {
                    Some(keys) => {
                        let began = Instant::now();
                        let requests = provide(&mut swarm, keys).await?;
                        println!("{requests} {}", began.elapsed().as_secs_f64());
                    }
                    None => return Ok(()),
                },
            }
        }
    })
}

fn swarm(number: u8) -> io::Result<Swarm<Behaviour>> {
    let tcp = tcp::Config::default().nodelay(true);
    let swarm = SwarmBuilder::with_existing_identity(keypair(number))
        .with_tokio()
        .with_tcp(tcp, tls::Config::new, yamux::Config::default)
        .map_err(io::Error::other)?
        .with_behaviour(|keypair| {
            let me = keypair.public().to_peer_id();
            let mut config = kad::Config::new(StreamProtocol::new("/plain/kad/1"));
            config.set_replication_factor(COPIES);
            let mut kad = kad::Behaviour::with_config(me, MemoryStore::new(me), config);
            kad.set_mode(Some(kad::Mode::Server));
            let told = identify::Config::new("/plain/1".to_owned(), keypair.public());
            Behaviour {
                kad,
                identify: identify::Behaviour::new(told),
            }
        })
        .map_err(io::Error::other)?
        .with_swarm_config(|config| config.with_idle_connection_timeout(IDLE));
    Ok(swarm.build())
}

fn keypair(number: u8) -> Keypair {
    Keypair::ed25519_from_bytes([number + 1; 32]).expect("32 bytes are a secret key")
}

fn peer(number: u8) -> PeerId {
    keypair(number).public().to_peer_id()
}

fn of(address: SocketAddr) -> Multiaddr {
    let text = format!("/ip4/{}/tcp/{}", address.ip(), address.port());
    text.parse().expect("made of an address")
}

/// The numbers that are said on standard input, until it ends.
fn lines() -> mpsc::Receiver<u32> {
    let (said, orders) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if let Ok(keys) = line.trim().parse()
                && said.blocking_send(keys).is_err()
            {
                return;
            }
        }
    });
    orders
}

fn is_bootstrapped(event: &SwarmEvent<BehaviourEvent>) -> bool {
    matches!(event, SwarmEvent::Behaviour(BehaviourEvent::Kad(
        kad::Event::OutboundQueryProgressed { result: kad::QueryResult::Bootstrap(_), step, .. },
    )) if step.last)
}

/// Whoever says where it listens is known from then on. Gives the requests of a `start_providing`
/// that has come to its end.
fn take(swarm: &mut Swarm<Behaviour>, event: SwarmEvent<BehaviourEvent>) -> Option<u32> {
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
            result: kad::QueryResult::StartProviding(result),
            stats,
            step,
            ..
        })) if step.last => {
            if let Err(error) = result {
                eprintln!("a key was not provided: {error}");
            }
            Some(stats.num_requests())
        }
        _ => None,
    }
}

/// Provides so many keys; gives how many requests it took.
async fn provide(swarm: &mut Swarm<Behaviour>, keys: u32) -> io::Result<u64> {
    let (mut begun, mut ended, mut requests) = (0, 0, 0);
    while ended < keys {
        while begun < keys && (begun - ended) < AT_A_TIME as u32 {
            let key = blake3::hash(&begun.to_le_bytes());
            let key = kad::RecordKey::new(key.as_bytes());
            let kad = &mut swarm.behaviour_mut().kad;
            kad.start_providing(key).map_err(io::Error::other)?;
            begun += 1;
        }
        let event = swarm.select_next_some().await;
        if let Some(took) = take(swarm, event) {
            ended += 1;
            requests += u64::from(took);
        }
    }
    Ok(requests)
}

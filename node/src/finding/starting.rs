//! Starting the control plane, and stopping it, as the node enters and leaves a team.
//!
//! Owns: where it listens, whom it dials first, and remembering whom it knew. Refuses: to
//! start for a node that is in no team: without one there is no DHT.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use shoal_protocol::access::Address;
use shoal_protocol::access::team::Invitation;
use shoal_protocol::advert::AdvertConfig;
use shoal_protocol::peer::PeerKey;
use shoal_store::StoreError;
use shoal_store::providers::{ProviderOptions, ProviderStore};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::advertising::Advertising;
use super::answering::{Answers, Members};
use super::placing::Placing;
use super::shown::Shown;
use super::streams::{self, Streams};
use super::turns::Turns;
use super::{ADDED_MAX, Finding, Shared, churn, contact, keeping, tidy};
use crate::api::{ApiError, ErrorKind};
use crate::node::{Node, blocking};
use shoal_control::{
    ControlConfig, ControlEvent, ControlPlane, Multiaddr, PeerContact, RelayLimits, StartError,
};

/// How often the members that are known are remembered.
const REMEMBER_EVERY: Duration = Duration::from_secs(60);
/// How soon after somebody was met; others who come meanwhile are remembered with it.
const REMEMBER_DELAY: Duration = Duration::from_secs(2);
/// The slowest that advertising may be, in bytes a second.
const ADVERT_RATE_MIN: u64 = 4 << 10;

impl Finding {
    /// Starts it for a node that is in a team.
    pub(crate) async fn start(node: &Node) -> Result<Self, ApiError> {
        let team = node.team().clone();
        let root = team.root().ok_or(crate::team::TeamError::None)?;
        node.plane().listen(node.is_daemon()).await?;
        let (store, identity) = (node.store()?, node.identity().clone());
        let (opened, of) = (store.clone(), team.clone());
        let (providers, placing) = blocking(move || {
            let providers = ProviderStore::open(&opened, ProviderOptions::default())?;
            Ok::<_, StoreError>((Arc::new(providers), Placing::open(opened, of)?))
        })
        .await?;
        let data = node.plane().listening().await;
        let near = if node.is_daemon() { 1 } else { 0 };
        let mut config = config(node, &root).await?;
        let answers = Answers {
            team: team.clone(),
            providers: Arc::clone(&providers),
            placing: placing.clone(),
            turns: Turns::of_this_machine(),
        };
        let start = |config: ControlConfig| {
            let members = Arc::new(Members(team.clone()));
            ControlPlane::start(
                identity.keypair(),
                config,
                members,
                Arc::new(answers.clone()),
            )
        };
        config.listen = listen(&data, near);
        let handle = match start(config.clone()) {
            Err(StartError::PortBusy { port, .. }) => {
                tracing::warn!(port, "the control plane listens on another port");
                config.listen = listen(&data, 0);
                start(config)
            }
            started => started,
        };
        let handle = handle.map_err(|error| {
            ApiError::new(ErrorKind::Error, error.to_string())
                .hint("`shoal doctor` looks for the reason")
        })?;
        let stop = CancellationToken::new();
        let shared = Shared {
            handle: handle.clone(),
            team: team.clone(),
            store,
            stop: stop.clone(),
        };
        let tasks = TaskTracker::new();
        let (added, to_announce) = mpsc::channel(ADDED_MAX);
        let detours = Streams {
            handle: handle.clone(),
            team: team.clone(),
        };
        let endpoint = node.plane().endpoint()?;
        endpoint.set_detours(Some(Arc::new(detours)));
        tasks.spawn(streams::serve(node.clone(), handle.clone(), stop.clone()));
        tasks.spawn(contact::run(shared.clone()));
        tasks.spawn(tidy(Arc::clone(&providers), team.clone(), stop.clone()));
        let new_places = Arc::clone(&placing.new);
        tasks.spawn(placing.keep_up(stop.clone()));
        tasks.spawn(remember(node.home().to_owned(), shared.clone()));
        let shown = Shown::default();
        let (told, half_life) = watch::channel(AdvertConfig::default().interval);
        tasks.spawn(churn::follow(shared.clone(), told));
        let advertising = Advertising {
            shared,
            endpoint,
            progress: node.home().join("run/sweep.json"),
            budget: u64::from(node.config().advert_keys_max.get()),
            bytes_per_s: node.config().advert_rate.bytes().max(ADVERT_RATE_MIN),
            half_life,
            shown: shown.clone(),
            added: to_announce,
        };
        tasks.spawn(advertising.run());
        Ok(Self {
            handle,
            team,
            providers,
            added,
            new_places,
            shown,
            tasks,
            _stop: stop.clone().drop_guard(),
            stop,
        })
    }
}

async fn config(node: &Node, root: &PeerKey) -> Result<ControlConfig, ApiError> {
    let network = blake3::derive_key("shoal 1 team network", root.as_bytes());
    let bootstrap = node.config().bootstrap.iter().map(|text| {
        multiaddr(text).ok_or_else(|| {
            let message = format!("`{text}` in `bootstrap` is not an address");
            ApiError::new(ErrorKind::Usage, message)
                .hint("write it like 10.0.0.5:4748 or /dns4/seed.example/tcp/4748")
        })
    });
    let own = node.config();
    // Whoever says where a node is found says that it is found there.
    let advertise = match own.advertise.is_empty() {
        true => Vec::new(),
        false => node.plane().dialable().await,
    };
    Ok(ControlConfig {
        advertise: advertise.iter().filter_map(beside).collect(),
        relay: RelayLimits {
            serve: own.relay_circuit_max.bytes() > 0,
            circuit_bytes_max: own.relay_circuit_max.bytes(),
            circuit: own.relay_circuit_time.into(),
            ..RelayLimits::default()
        },
        bootstrap: bootstrap.collect::<Result<_, _>>()?,
        known: keeping::load(node.home()),
        mdns: own.mdns,
        ..ControlConfig::new(network)
    })
}

/// A multiaddress, or `host:port` of one over TCP.
fn multiaddr(text: &str) -> Option<Multiaddr> {
    if text.starts_with('/') {
        return text.parse().ok();
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(of_socket(address, false));
    }
    let (host, port) = text.rsplit_once(':')?;
    format!("/dns/{host}/tcp/{port}").parse().ok()
}

fn of_socket(address: SocketAddr, quic: bool) -> Multiaddr {
    let (ip, port) = (address.ip(), address.port());
    let version = if ip.is_ipv4() { "ip4" } else { "ip6" };
    let text = match quic {
        true => format!("/{version}/{ip}/udp/{port}/quic-v1"),
        false => format!("/{version}/{ip}/tcp/{port}"),
    };
    text.parse().expect("made of an address")
}

/// Where to listen, beside the data plane: `near` ports above it, or on any that is free.
fn listen(data: &[SocketAddr], near: u16) -> Vec<Multiaddr> {
    let mut addresses = Vec::new();
    for address in data {
        let port = match near {
            0 => 0,
            near => address.port().saturating_add(near),
        };
        let mut ips = vec![address.ip()];
        if address.ip() == IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED) {
            // libp2p's sockets take one version each.
            ips.push(Ipv4Addr::UNSPECIFIED.into());
        }
        for ip in ips {
            let at = SocketAddr::new(ip, port);
            addresses.extend([of_socket(at, false), of_socket(at, true)]);
        }
    }
    addresses
}

/// Where the control plane of a node is whose data plane is at `address`.
fn beside(address: &Address) -> Option<Multiaddr> {
    let port = address.port().checked_add(1)?;
    match address.ip() {
        Some(ip) => Some(of_socket(SocketAddr::new(ip, port), false)),
        None => format!("/dns/{}/tcp/{port}", address.host()).parse().ok(),
    }
}

/// Remembers the node that welcomed this one as one to dial first: its control plane is beside
/// its data plane.
pub(crate) fn remember_minter(home: &Path, invitation: &Invitation) {
    let Some(peer) = invitation.minter.peer_id() else {
        return;
    };
    let addresses = invitation.addresses.iter().filter_map(beside).collect();
    let mut known = keeping::load(home);
    known.retain(|contact| contact.peer != peer);
    known.insert(0, PeerContact { peer, addresses });
    keeping::save(home, &known);
}

/// Remembers whom the node knows: soon after it met somebody, now and then, and at the end.
async fn remember(home: std::path::PathBuf, shared: Shared) {
    let mut events = shared.handle.events();
    let mut is_last = false;
    while !is_last {
        let met = async {
            loop {
                match events.recv().await {
                    Ok(ControlEvent::Identified { .. }) | Err(RecvError::Lagged(_)) => break,
                    Ok(_) => {}
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
            tokio::time::sleep(REMEMBER_DELAY).await;
        };
        is_last = tokio::select! {
            () = met => false,
            () = tokio::time::sleep(REMEMBER_EVERY) => false,
            () = shared.stop.cancelled() => true,
        };
        let known = shared.handle.known_peers().await;
        if known.is_empty() {
            continue;
        }
        let home = home.clone();
        let saved = tokio::task::spawn_blocking(move || keeping::renew(&home, known));
        if saved.await.is_err() {
            return;
        }
    }
}

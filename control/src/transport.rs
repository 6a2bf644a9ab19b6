//! How bytes get to a peer: TCP and QUIC, by address or name, or through a relay.
//!
//! Owns: the transports and their windows, sockets, the checks that a port is free and that
//! whoever answers is who was dialled. Refuses: what is said.
//!
//! TLS 1.3 on TCP as on QUIC, with libp2p's certificates: what the data plane uses too, so
//! that no second handshake (Noise) is built in.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use libp2p::core::ConnectedPoint;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::timeout::TransportTimeout;
use libp2p::core::transport::{Boxed, dummy::DummyTransport};
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol as Part;
use libp2p::{Multiaddr, PeerId, Swarm, Transport, dns, quic, relay, swarm, tcp, tls, yamux};
use tokio::sync::mpsc;

use super::behaviour::Behaviour;
use super::config::ControlConfig;
use super::errors::StartError;
use super::paced::Paced;
use super::requests::Membership;
use super::streams::DataStream;
use super::traffic::{Counted, Counters};

/// How long a handshake may take, from the first byte to the last. Whoever asks a member to
/// dial back waits for ten seconds, and learns nothing from an answer that comes later.
const HANDSHAKE: Duration = Duration::from_secs(8);
/// The most streams of a connection. Each may hold 256 KiB that nobody has read yet.
const STREAMS_MAX: usize = 64;
/// The most streams of a connection whose protocol is not agreed yet.
const STREAMS_NEGOTIATING_MAX: usize = 16;

/// A swarm that listens nowhere yet.
pub(super) fn swarm(
    keypair: &Keypair,
    config: &ControlConfig,
    membership: Arc<dyn Membership>,
    incoming: mpsc::Sender<DataStream>,
    counters: Counters,
) -> Result<Swarm<Behaviour>, StartError> {
    let local = keypair.public().to_peer_id();
    let (transport, relay_client) = transport(keypair, local, counters)?;
    let behaviour = Behaviour::new(keypair, config, membership, relay_client, incoming);
    let swarm_config = swarm::Config::with_tokio_executor()
        .with_idle_connection_timeout(config.limits.idle)
        .with_max_negotiating_inbound_streams(STREAMS_NEGOTIATING_MAX);
    Ok(Swarm::new(transport, behaviour, local, swarm_config))
}

type Connections = Boxed<(PeerId, StreamMuxerBox)>;

fn transport(
    keypair: &Keypair,
    local: PeerId,
    counters: Counters,
) -> Result<(Connections, relay::client::Behaviour), StartError> {
    let failed = |error: &dyn std::fmt::Display| StartError::Transport(error.to_string());
    let tls = tls::Config::new(keypair).map_err(|e| failed(&e))?;
    let mut yamux = yamux::Config::default();
    yamux.set_max_num_streams(STREAMS_MAX);

    let tcp = Paced::new(tcp::tokio::Transport::new(
        tcp::Config::default().nodelay(true),
    ))
    .upgrade(Version::V1Lazy)
    .authenticate(tls.clone())
    .multiplex(yamux.clone())
    .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let mut quic_config = quic::Config::new(keypair);
    quic_config.max_concurrent_stream_limit = STREAMS_MAX as u32;
    let quic = quic::tokio::Transport::new(quic_config)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let direct = tcp.or_transport(quic).map(|way, _| way.into_inner());

    let named = if dns::tokio::Transport::system(DummyTransport::<()>::new()).is_ok() {
        let named = dns::tokio::Transport::system(direct).map_err(|e| failed(&e))?;
        named.boxed()
    } else {
        tracing::warn!(
            "this machine has no readable resolver configuration; names in addresses do not work"
        );
        direct.boxed()
    };
    let named = named.map(move |(peer, muxer), _| {
        let counted = Counted::new(muxer, counters.clone());
        (peer, StreamMuxerBox::new(counted))
    });

    let (relayed, client) = relay::client::new(local);
    let relayed = relayed
        .upgrade(Version::V1Lazy)
        .authenticate(tls)
        .multiplex(yamux)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let all = relayed.or_transport(named).map(|way, _| way.into_inner());
    let all = all
        .and_then(|(peer, muxer), at| async move { addressed(peer, &at).map(|()| (peer, muxer)) });
    Ok((TransportTimeout::new(all, HANDSHAKE).boxed(), client))
}

/// Somebody else answers where a peer was dialled.
#[derive(Debug, thiserror::Error)]
#[error("{0} answers there")]
struct SomebodyElse(PeerId);

/// Whether `peer` is who was dialled, if anybody by name. libp2p tries the addresses of a peer side by
/// side, takes the first connection that is made, and gives all of them up if that is with another peer:
/// this node itself, say, at an address of a LAN that two LANs have. Such an address has failed, no more.
fn addressed(peer: PeerId, at: &ConnectedPoint) -> Result<(), SomebodyElse> {
    let ConnectedPoint::Dialer { address, .. } = at else {
        return Ok(());
    };
    match address.iter().last() {
        Some(Part::P2p(named)) if named != peer => Err(SomebodyElse(peer)),
        _ => Ok(()),
    }
}

/// Listens on all of `addresses`, or on none.
pub(super) fn listen(
    swarm: &mut Swarm<Behaviour>,
    addresses: &[Multiaddr],
) -> Result<(), StartError> {
    for address in addresses {
        check_free(address)?;
    }
    for address in addresses {
        swarm
            .listen_on(address.clone())
            .map_err(|error| StartError::Listen {
                address: address.clone(),
                reason: error.to_string(),
            })?;
    }
    Ok(())
}

/// libp2p listens with SO_REUSEPORT, with which a second node of the same user would get a
/// share of this one's connections rather than an error. So the port is tried without.
fn check_free(address: &Multiaddr) -> Result<(), StartError> {
    let Some((socket, udp)) = socket_address(address).filter(|(socket, _)| socket.port() != 0)
    else {
        return Ok(());
    };
    let tried = if udp {
        UdpSocket::bind(socket).map(drop)
    } else {
        TcpListener::bind(socket).map(drop)
    };
    match tried {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(StartError::PortBusy {
            port: socket.port(),
            address: address.clone(),
        }),
        Err(error) => Err(StartError::Listen {
            address: address.clone(),
            reason: error.to_string(),
        }),
        Ok(()) => Ok(()),
    }
}

/// The socket that `address` begins with, and whether it is UDP.
pub(super) fn socket_address(address: &Multiaddr) -> Option<(SocketAddr, bool)> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Part::Ip4(ip) => ip.into(),
        Part::Ip6(ip) => ip.into(),
        _ => return None,
    };
    match parts.next()? {
        Part::Tcp(port) => Some((SocketAddr::new(ip, port), false)),
        Part::Udp(port) => Some((SocketAddr::new(ip, port), true)),
        _ => None,
    }
}

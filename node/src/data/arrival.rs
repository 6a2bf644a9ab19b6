//! A connection that others made, before anything is known of it.
//!
//! Owns: the sockets that are listened on, the one port of TCP and QUIC, and turning a TCP
//! connection, a QUIC handshake or a stream into a link. Refuses: how many there may be
//! ([`strangers`](super::strangers)).

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};

use super::Endpoint;
use super::detour::Detour;
use super::link::Link;
use super::quic::{Knock, QuicSocket};
use super::strangers::Origin;
use super::tls_stream::TlsStream;
use super::traffic::{Counted, Traffic};
use super::way::Way;

/// How often a port is looked for that is free for both.
const PORTS_TRIED: usize = 16;

/// Where a connection comes from, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct From {
    /// Nothing for a stream of the control plane.
    pub(crate) address: Option<SocketAddr>,
    pub(crate) way: Way,
}

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "{address} ({})", self.way),
            None => write!(f, "the control plane ({})", self.way),
        }
    }
}

/// A connection that others made.
pub(super) enum Arrival {
    Tcp(TcpStream, SocketAddr),
    Quic(Box<Knock>),
    Stream(Detour),
}

impl Arrival {
    pub(super) fn from(&self) -> From {
        let (address, way) = match self {
            Self::Tcp(_, address) => (Some(*address), Way::Tcp),
            Self::Quic(knock) => (Some(knock.address()), Way::Quic),
            Self::Stream(stream) if stream.is_relayed => (None, Way::Relayed),
            Self::Stream(_) => (None, Way::Stream),
        };
        From { address, way }
    }

    /// Whom its place is counted under.
    pub(super) fn origin(&self) -> Origin {
        match self {
            Self::Tcp(_, address) => Origin::of(*address),
            Self::Quic(knock) => Origin::of(knock.address()),
            Self::Stream(stream) => Origin::Member(stream.peer),
        }
    }

    /// Shakes hands.
    pub(super) async fn open(
        self,
        endpoint: &Endpoint,
        traffic: &Arc<Traffic>,
    ) -> io::Result<Link> {
        let traffic = Arc::clone(traffic);
        match self {
            Self::Tcp(stream, _) => {
                stream.set_nodelay(true)?;
                let counted = Counted::new(stream, traffic);
                let stream = TlsStream::accept(counted, endpoint.tls().server()).await?;
                Ok(Link::new(stream.peer(), stream))
            }
            Self::Quic(knock) => {
                let stream = knock.open(Arc::clone(&traffic)).await?;
                Ok(Link::new(stream.peer(), Counted::paced(stream, traffic)))
            }
            Self::Stream(stream) => Ok(Link::new(stream.peer, Counted::new(stream.io, traffic))),
        }
    }
}

/// The sockets at one address.
pub(super) struct Sockets {
    pub(super) address: SocketAddr,
    pub(super) tcp: Option<TcpListener>,
    pub(super) quic: Option<QuicSocket>,
}

impl Sockets {
    /// Opens them at `address`; port 0 takes one that is free. A port that is free for TCP
    /// alone is taken without QUIC.
    pub(super) async fn open(address: SocketAddr, endpoint: &Endpoint) -> io::Result<Self> {
        let ways = endpoint.ways();
        if !ways.tcp && !ways.quic {
            return Ok(Self {
                address,
                tcp: None,
                quic: None,
            });
        }
        let mut tried = 0;
        loop {
            tried += 1;
            let tcp = match ways.tcp {
                true => Some(TcpListener::bind(address).await?),
                false => None,
            };
            let taken = tcp.as_ref().map_or(Ok(address), TcpListener::local_addr)?;
            let quic = match ways.quic {
                true => quic(taken, endpoint).map(Some),
                false => Ok(None),
            };
            match quic {
                Ok(quic) => {
                    let address = match &quic {
                        Some(quic) => quic.local_address()?,
                        None => taken,
                    };
                    return Ok(Self { address, tcp, quic });
                }
                Err(error) if tcp.is_none() => return Err(error),
                Err(_) if address.port() == 0 && tried < PORTS_TRIED => {}
                Err(error) => {
                    tracing::warn!(%error, %taken, "no QUIC: the UDP port cannot be opened");
                    return Ok(Self {
                        address: taken,
                        tcp,
                        quic: None,
                    });
                }
            }
        }
    }
}

fn quic(address: SocketAddr, endpoint: &Endpoint) -> io::Result<QuicSocket> {
    let socket = UdpSocket::bind(address)?;
    QuicSocket::serving(socket, endpoint.tls(), endpoint.quic_options())
}

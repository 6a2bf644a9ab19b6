//! Reaching a peer at one of several addresses, by what the path allows.
//!
//! Owns: trying addresses side by side, the next a moment after the one before (RFC 8305),
//! until one answers that proves to be the peer; and the choice between TCP and QUIC at each.
//! TCP begins, since its handshake in the kernel measures the path: near peers keep it, and
//! for those who are far away, or whom it does not reach, QUIC joins in. Where nothing gets
//! through, a stream of the control plane is asked for. An address where somebody else answers
//! is only a wrong address. Refuses: trying again later.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use shoal_protocol::access::Address;
use shoal_protocol::fetch::Distance;
use shoal_protocol::peer::PeerKey;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Endpoint;
use super::link::Link;
use super::near::{Place, Surroundings, distance};
use super::tls_stream::TlsStream;
use super::traffic::{Counted, Traffic};
use super::way::{Path, Way, Why};

/// The next address is tried so long after the one before.
const STAGGER: Duration = Duration::from_millis(150);
/// To connect, and to shake hands.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long TCP has for itself before QUIC joins in.
const ALONE: Duration = Duration::from_millis(50);
/// The same where TCP is what is wanted.
const ALONE_NEAR: Duration = Duration::from_millis(250);
/// How long QUIC has, once TCP got through to somebody far away.
const QUIC_GRACE: Duration = Duration::from_secs(1);
/// How long it has where TCP was refused: somebody is there, and a getter that waits for a node
/// to start should soon look again.
const QUIC_REFUSED: Duration = Duration::from_millis(100);
/// Addresses of one name that are tried.
const RESOLVED_MAX: usize = 4;
/// How long direct ways have for themselves before a stream is asked for beside them.
const DIRECT_ALONE: Duration = Duration::from_secs(2);
/// The same where the last link was a stream: at a relay's limits, the next one takes its place.
const DIRECT_ALONE_AGAIN: Duration = Duration::from_millis(50);

/// A connection, and how it came about.
pub(crate) struct Dialled {
    pub(crate) link: Link,
    /// Where; nothing for a stream of the control plane.
    pub(crate) address: Option<Address>,
    pub(crate) distance: Distance,
    pub(crate) path: Path,
}

/// Connects to `peer`, at the first of `addresses` where it answers, or else by a stream. The
/// link before, if there was one, went the way `last`.
pub(crate) async fn dial(
    endpoint: &Endpoint,
    peer: PeerKey,
    addresses: &[Address],
    last: Option<Way>,
    traffic: &Arc<Traffic>,
) -> io::Result<Dialled> {
    let mut direct = Box::pin(dial_directly(endpoint, peer, addresses, traffic));
    if !endpoint.has_detour(&peer) {
        return direct.await;
    }
    let alone = match last {
        Some(Way::Stream | Way::Relayed) => DIRECT_ALONE_AGAIN,
        Some(Way::Tcp | Way::Quic) | None => DIRECT_ALONE,
    };
    let (why, mut failed) = match timeout(alone, &mut direct).await {
        Ok(Ok(dialled)) => return Ok(dialled),
        Ok(Err(error)) => (error.to_string(), true),
        Err(_) => ("nobody answers".to_owned(), false),
    };
    let mut detour = Box::pin(dial_by_stream(endpoint, peer, traffic, why));
    loop {
        tokio::select! {
            dialled = &mut direct, if !failed => match dialled {
                Ok(dialled) => return Ok(dialled),
                Err(_) => failed = true,
            },
            dialled = &mut detour => return match dialled {
                Err(_) if !failed => direct.await,
                dialled => dialled,
            },
        }
    }
}

/// The same, without the stream.
pub(crate) async fn dial_directly(
    endpoint: &Endpoint,
    peer: PeerKey,
    addresses: &[Address],
    traffic: &Arc<Traffic>,
) -> io::Result<Dialled> {
    let surroundings = Surroundings::now();
    let surroundings = &surroundings;
    let mut attempts: FuturesUnordered<_> = addresses
        .iter()
        .enumerate()
        .map(|(i, address)| async move {
            sleep(STAGGER * u32::try_from(i).unwrap_or(u32::MAX)).await;
            let attempt = attempt(endpoint, peer, address, surroundings, traffic);
            let dialled = timeout(PATIENCE, attempt).await;
            let dialled = dialled.unwrap_or_else(|_| Err(no_answer()));
            dialled.map_err(|e| io::Error::new(e.kind(), format!("{address}: {e}")))
        })
        .collect();
    let mut failures = Vec::new();
    while let Some(attempt) = attempts.next().await {
        match attempt {
            Ok(dialled) => return Ok(dialled),
            Err(error) => failures.push(error),
        }
    }
    let texts: Vec<_> = failures.iter().map(io::Error::to_string).collect();
    match texts.is_empty() {
        true => Err(io::Error::other("no address is known")),
        false => Err(io::Error::other(texts.join("; "))),
    }
}

/// By a stream of the control plane, for the reason `why`.
pub(crate) async fn dial_by_stream(
    endpoint: &Endpoint,
    peer: PeerKey,
    traffic: &Arc<Traffic>,
    why: String,
) -> io::Result<Dialled> {
    let opened = timeout(PATIENCE, endpoint.open_detour(peer)).await;
    let stream = opened.unwrap_or_else(|_| Err(no_answer()))?;
    let way = match stream.is_relayed {
        true => Way::Relayed,
        false => Way::Stream,
    };
    Ok(Dialled {
        link: Link::new(peer, Counted::new(stream.io, Arc::clone(traffic))),
        address: None,
        distance: Distance::Wan,
        path: Path {
            way,
            why: Why::NothingDirect(why),
            round_trip: None,
        },
    })
}

fn no_answer() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer")
}

async fn attempt(
    endpoint: &Endpoint,
    peer: PeerKey,
    address: &Address,
    surroundings: &Surroundings,
    traffic: &Arc<Traffic>,
) -> io::Result<Dialled> {
    let mut failure = io::Error::other("the name has no address");
    for at in lookup_host(address.as_str()).await?.take(RESOLVED_MAX) {
        let place = surroundings.place(at.ip());
        let course = Course {
            endpoint,
            peer,
            at,
            place,
            traffic,
        };
        match course.reach().await {
            Ok((link, path)) => {
                return Ok(Dialled {
                    link,
                    address: Some(address.clone()),
                    distance: distance(place, path.round_trip),
                    path,
                });
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// How long QUIC is waited for, by what TCP came to, which was begun at `began`; as long as
/// anything, if nothing.
fn quic_until(tcp: &io::Result<Reserve>, began: Instant) -> Option<Instant> {
    let (now, round_trip) = (Instant::now(), began.elapsed());
    match tcp {
        Ok((_, time)) => Some(now + QUIC_GRACE + *time * 3),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Some(now + QUIC_REFUSED + round_trip * 3)
        }
        Err(_) => None,
    }
}

/// One address of one peer.
struct Course<'a> {
    endpoint: &'a Endpoint,
    peer: PeerKey,
    at: SocketAddr,
    place: Place,
    traffic: &'a Arc<Traffic>,
}

/// A TCP connection that nothing was said on yet, and how long it took to make.
type Reserve = (TcpStream, Duration);

impl Course<'_> {
    async fn reach(&self) -> io::Result<(Link, Path)> {
        let ways = self.endpoint.ways();
        match (ways.tcp, ways.quic) {
            (true, true) => self.choose().await,
            (true, false) => self.tls(self.tcp().await?, Why::Only).await,
            (false, true) => self.quic(Why::Only).await,
            (false, false) => Err(io::Error::other("neither TCP nor QUIC is switched on")),
        }
    }

    async fn choose(&self) -> io::Result<(Link, Path)> {
        let began = Instant::now();
        let mut tcp = Box::pin(self.tcp());
        let alone = match self.place {
            Place::Beyond => ALONE,
            Place::Host | Place::Network => ALONE_NEAR,
        };
        let mut reserve = match timeout(alone, &mut tcp).await {
            Ok(Ok((stream, time))) if self.is_near(time) => {
                return self.tls((stream, time), self.near()).await;
            }
            Ok(connected) => Some(connected),
            Err(_) => None,
        };
        let mut quic = Box::pin(self.quic(Why::Far));
        let mut until = reserve.as_ref().and_then(|tcp| quic_until(tcp, began));
        let failure = loop {
            tokio::select! {
                opened = &mut quic => match opened {
                    Ok((link, mut path)) => {
                        path.why = match reserve {
                            Some(Ok(_)) => Why::Far,
                            Some(Err(error)) => Why::NoTcp(error.to_string()),
                            None => Why::NoTcp("no answer".to_owned()),
                        };
                        return Ok((link, path));
                    }
                    Err(error) => break error,
                },
                connected = &mut tcp, if reserve.is_none() => {
                    until = quic_until(&connected, began);
                    reserve = Some(connected);
                }
                () = sleep_until(until.unwrap_or(began)), if until.is_some() => break no_answer(),
            }
        };
        drop(quic);
        let connected = match reserve {
            Some(connected) => connected,
            None => tcp.await,
        };
        match connected {
            Ok((stream, time)) => {
                let why = match self.is_near(time) {
                    true => self.near(),
                    false => Why::NoQuic(failure.to_string()),
                };
                self.tls((stream, time), why).await
            }
            Err(error) => Err(io::Error::new(
                error.kind(),
                format!("TCP: {error}, QUIC: {failure}"),
            )),
        }
    }

    fn is_near(&self, time: Duration) -> bool {
        distance(self.place, Some(time)) != Distance::Wan
    }

    fn near(&self) -> Why {
        match self.place {
            Place::Host => Why::SameHost,
            Place::Network => Why::SameNetwork,
            Place::Beyond => Why::Near,
        }
    }

    async fn tcp(&self) -> io::Result<Reserve> {
        let began = Instant::now();
        let stream = TcpStream::connect(self.at).await?;
        stream.set_nodelay(true)?;
        Ok((stream, began.elapsed()))
    }

    async fn tls(&self, (stream, time): Reserve, why: Why) -> io::Result<(Link, Path)> {
        let counted = Counted::new(stream, Arc::clone(self.traffic));
        let config = self.endpoint.tls().client(self.peer);
        let config = config.map_err(io::Error::other)?;
        let stream = TlsStream::connect(counted, config).await?;
        let path = Path {
            way: Way::Tcp,
            why,
            round_trip: Some(time),
        };
        Ok((Link::new(stream.peer(), stream), path))
    }

    async fn quic(&self, why: Why) -> io::Result<(Link, Path)> {
        let socket = self.endpoint.quic()?;
        let stream = socket.connect(self.peer, self.at, Arc::clone(self.traffic));
        let stream = stream.await?;
        let path = Path {
            way: Way::Quic,
            why,
            round_trip: Some(stream.round_trip()),
        };
        let peer = stream.peer();
        let paced = Counted::paced(stream, Arc::clone(self.traffic));
        Ok((Link::new(peer, paced), path))
    }
}

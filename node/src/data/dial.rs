//! Reaching a peer at one of several addresses.
//!
//! Owns: trying them side by side, the next a moment after the one before (RFC 8305), until
//! one answers that proves to be the peer. An address where somebody else answers is only a
//! wrong address. Refuses: trying again later.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use shoal_protocol::access::Address;
use shoal_protocol::fetch::Distance;
use shoal_protocol::peer::PeerKey;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::Endpoint;
use super::link::Link;
use super::tls_stream::TlsStream;
use super::traffic::{Counted, Traffic};

/// The next address is tried so long after the one before.
const STAGGER: Duration = Duration::from_millis(150);
/// To connect, and to shake hands.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection, and how it came about.
pub(crate) struct Dialled {
    pub(crate) link: Link,
    pub(crate) address: Address,
    pub(crate) distance: Distance,
}

/// Connects to `peer` at the first of `addresses` where it answers.
pub(crate) async fn dial(
    endpoint: &Endpoint,
    peer: PeerKey,
    addresses: &[Address],
    traffic: &Arc<Traffic>,
) -> io::Result<Dialled> {
    let mut attempts: FuturesUnordered<_> = addresses
        .iter()
        .enumerate()
        .map(|(i, address)| async move {
            sleep(STAGGER * u32::try_from(i).unwrap_or(u32::MAX)).await;
            let attempt = timeout(PATIENCE, attempt(endpoint, peer, address, traffic));
            let dialled = attempt.await.unwrap_or(Err(io::ErrorKind::TimedOut.into()));
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

async fn attempt(
    endpoint: &Endpoint,
    peer: PeerKey,
    address: &Address,
    traffic: &Arc<Traffic>,
) -> io::Result<Dialled> {
    let stream = TcpStream::connect(address.as_str()).await?;
    stream.set_nodelay(true)?;
    let distance = distance(stream.peer_addr()?.ip().to_canonical());
    let counted = Counted::new(stream, Arc::clone(traffic));
    let config = endpoint.tls().client(peer).map_err(io::Error::other)?;
    let stream = TlsStream::connect(counted, config).await?;
    Ok(Dialled {
        link: Link::new(stream.peer(), stream),
        address: address.clone(),
        distance,
    })
}

/// How far away an address is, as far as it tells.
fn distance(ip: IpAddr) -> Distance {
    let local = match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    };
    match (ip.is_loopback(), local) {
        (true, _) => Distance::Host,
        (_, true) => Distance::Lan,
        _ => Distance::Wan,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_tell_how_far_they_are() {
        for (ip, expected) in [
            ("127.0.0.1", Distance::Host),
            ("::1", Distance::Host),
            ("192.168.3.4", Distance::Lan),
            ("fd00::7", Distance::Lan),
            ("fe80::1", Distance::Lan),
            ("8.8.8.8", Distance::Wan),
        ] {
            let ip: IpAddr = ip.parse().expect("an address");
            assert_eq!(distance(ip), expected, "{ip}");
        }
    }
}

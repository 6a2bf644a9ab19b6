//! Keeping the members of the team up to date with each other.
//!
//! Owns: when to exchange what is known: with everybody who is met, and with some of those who
//! are connected when something is new here, and now and then. Each of them does the same
//! with what was new to it, so that all know after a few rounds, and nobody tells all.
//! Refuses: what is exchanged (`team::exchange`).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use rand::seq::IndexedRandom;
use shoal_protocol::peer::PeerKey;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{Shared, key_of};
use crate::team::{Exchange, TeamBook};
use shoal_control::{ControlEvent, ControlHandle, ControlPeer, Multiaddr, PeerId, Protocol};

/// Questions and answers in one exchange; a team of the greatest size takes fewer.
const ROUNDS_MAX: usize = 64;
/// What is new is told to all after so long, so that several things go together.
const NEWS_DELAY: Duration = Duration::from_millis(200);
/// Whom to tell of what is new, at a time. With six, a thousand know after four rounds.
const TOLD: usize = 6;
/// How long to wait for those who are told that this node has left.
const FAREWELL: Duration = Duration::from_secs(5);
/// How soon to tell one again who did not answer.
const FAREWELL_PAUSE: Duration = Duration::from_millis(100);
/// How often to compare with some, in case that news was lost.
const COMPARE_EVERY: Duration = Duration::from_secs(60);

/// Does so until the node stops.
pub(super) async fn run(shared: Shared) {
    let mut events = shared.handle.events();
    let mut changes = shared.team.changes();
    let mut compare = tokio::time::interval(COMPARE_EVERY);
    loop {
        tokio::select! {
            _ = compare.tick() => tell_some(&shared).await,
            () = shared.stop.cancelled() => return,
            event = events.recv() => match event {
                Ok(event) => meet(&shared, event),
                Err(RecvError::Lagged(_)) => tell_some(&shared).await,
                Err(RecvError::Closed) => return,
            },
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
                shared.handle.membership_changed().await;
                tokio::time::sleep(NEWS_DELAY).await;
                changes.mark_unchanged();
                shared.handle.membership_changed().await;
                tell_some(&shared).await;
            }
        }
    }
}

fn meet(shared: &Shared, event: ControlEvent) {
    let (peer, addresses, reconnect) = match event {
        ControlEvent::Connected { peer } => (peer, Vec::new(), false),
        ControlEvent::NotAdmitted { peer } => (peer, Vec::new(), true),
        ControlEvent::Stranger {
            peer,
            address,
            dialled: true,
        } => (peer, vec![address], true),
        _ => return,
    };
    let shared = shared.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = exchange(&shared, peer, addresses, reconnect) => {}
            () = shared.stop.cancelled() => {}
        }
    });
}

async fn tell_some(shared: &Shared) {
    let peers = shared.handle.peers().await;
    let some = peers.choose_multiple(&mut rand::rng(), TOLD);
    for peer in some.map(|peer| peer.peer) {
        let shared = shared.clone();
        tokio::spawn(async move { exchange(&shared, peer, Vec::new(), false).await });
    }
}

/// Tells all who are connected that this node is no member any more, which is met by nobody
/// after that. Gives how many heard it; they tell the others.
pub(super) async fn farewell(handle: &ControlHandle, team: &TeamBook) -> usize {
    let peers = handle.peers().await;
    let heard = AtomicUsize::new(0);
    let tell = async |peer: &ControlPeer| {
        // Who hears it may hang up before its answer is sent; asked again, it gives one.
        while (converse(handle, team, peer.peer, &peer.addresses).await).is_none() {
            tokio::time::sleep(FAREWELL_PAUSE).await;
        }
        heard.fetch_add(1, Ordering::Relaxed);
    };
    // Whoever does not answer hears it from another.
    let _ = timeout(FAREWELL, join_all(peers.iter().map(tell))).await;
    heard.into_inner()
}

/// Brings a peer up to date, and this node; then connects anew, if one was a stranger to the
/// other before.
async fn exchange(shared: &Shared, peer: PeerId, addresses: Vec<Multiaddr>, reconnect: bool) {
    let met = converse(&shared.handle, &shared.team, peer, &addresses).await;
    if let Some(key) = met
        && reconnect
        && shared.team.is_in()
        && shared.team.is_member(&key)
    {
        shared.handle.membership_changed().await;
        shared.handle.reconnect(peer, addresses).await;
    }
}

/// Asks and answers until both know the same. Gives who it was, if it took part.
async fn converse(
    handle: &ControlHandle,
    team: &TeamBook,
    peer: PeerId,
    addresses: &[Multiaddr],
) -> Option<PeerKey> {
    let key = key_of(&peer)?;
    let mut said = Exchange::first(team)?;
    for _ in 0..ROUNDS_MAX {
        let answer = handle
            .admit(peer, addresses.to_vec(), said.clone().into())
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(%peer, %error, "no exchange");
                return None;
            }
        };
        let (book, most) = (team.clone(), Protocol::Admit.request_bytes_max());
        let next = spawn_blocking(move || Exchange::answer(&book, &key, &answer, most));
        match next.await.ok()? {
            Ok(Some(next)) if next.goes_on(&said) => said = next.bytes,
            Ok(Some(_)) => break,
            Ok(None) => {
                tracing::debug!(%peer, "it is no member of the team");
                return None;
            }
            Err(error) => {
                tracing::warn!(%error, "what is new of the team is not taken in");
                return None;
            }
        }
    }
    Some(key)
}

//! Keeping the members of the team up to date with each other.
//!
//! Owns: when to exchange what is known: with everybody who is met, and with some of those who
//! are connected when something is new here, and now and then. Each of them does the same
//! with what was new to it, so that all know after a few rounds, and nobody tells all.
//! Refuses: what is exchanged (`team::exchange`).

use std::time::Duration;

use futures::future::join_all;
use rand::seq::IndexedRandom;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{Shared, key_of};
use crate::team::Exchange;
use shoal_control::{ControlEvent, Multiaddr, PeerId, Protocol};

/// Questions and answers in one exchange; a team of the greatest size takes fewer.
const ROUNDS_MAX: usize = 64;
/// What is new is told to all after so long, so that several things go together.
const NEWS_DELAY: Duration = Duration::from_millis(200);
/// Whom to tell of what is new, at a time. With six, a thousand know after four rounds.
const TOLD: usize = 6;
/// How long to wait for those who are told that this node has left.
const FAREWELL: Duration = Duration::from_secs(5);
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
                heed(&shared).await;
                tokio::time::sleep(NEWS_DELAY).await;
                changes.mark_unchanged();
                heed(&shared).await;
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

/// Has connections follow from who is a member now.
async fn heed(shared: &Shared) {
    if !shared.team.is_member(&shared.team.me()) {
        farewell(shared).await;
    }
    shared.handle.membership_changed().await;
}

/// Tells all who are connected that this node is no member any more, before it hangs up on them:
/// it is met by nobody after that.
async fn farewell(shared: &Shared) {
    let peers = shared.handle.peers().await;
    let told = peers
        .iter()
        .map(|peer| exchange(shared, peer.peer, Vec::new(), false));
    // Whoever does not answer hears it from another.
    let _ = timeout(FAREWELL, join_all(told)).await;
}

/// Asks and answers until both know the same; then connects anew, if one was a stranger to
/// the other before.
async fn exchange(shared: &Shared, peer: PeerId, addresses: Vec<Multiaddr>, reconnect: bool) {
    let Some(key) = key_of(&peer) else { return };
    let Some(mut said) = Exchange::first(&shared.team) else {
        return;
    };
    for _ in 0..ROUNDS_MAX {
        let answer = (shared.handle)
            .admit(peer, addresses.clone(), said.clone().into())
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return tracing::debug!(%peer, %error, "no exchange"),
        };
        let (team, most) = (shared.team.clone(), Protocol::Admit.request_bytes_max());
        let next = spawn_blocking(move || Exchange::answer(&team, &key, &answer, most));
        match next.await {
            Ok(Ok(Some(next))) if next.goes_on(&said) => said = next.bytes,
            Ok(Ok(Some(_))) => break,
            Ok(Ok(None)) => return tracing::debug!(%peer, "it is no member of the team"),
            Ok(Err(error)) => {
                return tracing::warn!(%error, "what is new of the team is not taken in");
            }
            Err(_) => return,
        }
    }
    if reconnect && shared.team.is_member(&key) {
        shared.handle.membership_changed().await;
        shared.handle.reconnect(peer, addresses).await;
    }
}

//! Keeping the members of the team up to date with each other.
//!
//! Owns: when to exchange what is known: with everybody who is met, and with some of those who
//! are connected when something is new here, and now and then. Each of them does the same
//! with what was new to it, so that all know after a few rounds, and nobody tells all.
//! Refuses: how that goes on ([`conversing`](super::conversing)).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use rand::seq::IndexedRandom;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;

use super::Shared;
use super::conversing::{Conversations, Wish, converse};
use crate::team::TeamBook;
use shoal_control::{ControlEvent, ControlHandle, ControlPeer};

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
    let conversations = Conversations::new(&shared);
    let mut events = shared.handle.events();
    let mut changes = shared.team.changes();
    let mut compare = tokio::time::interval(COMPARE_EVERY);
    loop {
        tokio::select! {
            _ = compare.tick() => tell_some(&shared, &conversations).await,
            () = shared.stop.cancelled() => return,
            event = events.recv() => match event {
                Ok(event) => meet(&conversations, event),
                Err(RecvError::Lagged(_)) => tell_some(&shared, &conversations).await,
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
                tell_some(&shared, &conversations).await;
            }
        }
    }
}

fn meet(conversations: &Conversations, event: ControlEvent) {
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
    let wish = Wish {
        addresses,
        reconnect,
    };
    conversations.begin(peer, wish);
}

async fn tell_some(shared: &Shared, conversations: &Conversations) {
    let peers = shared.handle.peers().await;
    let some = peers.choose_multiple(&mut rand::rng(), TOLD);
    for peer in some.map(|peer| peer.peer) {
        conversations.begin(peer, Wish::default());
    }
}

/// Tells all who are connected that this node is no member any more, which is met by nobody
/// after that. Gives how many heard it; they tell the others.
pub(super) async fn farewell(handle: &ControlHandle, team: &TeamBook) -> usize {
    let peers = handle.peers().await;
    let heard = AtomicUsize::new(0);
    let tell = async |peer: &ControlPeer| {
        // Who hears it may hang up before its answer is sent; asked again, it gives one.
        while !matches!(
            converse(handle, team, peer.peer, &peer.addresses).await,
            Ok(Some(_))
        ) {
            tokio::time::sleep(FAREWELL_PAUSE).await;
        }
        heard.fetch_add(1, Ordering::Relaxed);
    };
    // Whoever does not answer hears it from another.
    let _ = timeout(FAREWELL, join_all(peers.iter().map(tell))).await;
    heard.into_inner()
}

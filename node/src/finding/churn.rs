//! How long members of the team stay, which is how often everything is advertised again.
//!
//! Owns: telling `shoal_protocol::advert::Lifetimes` who comes and goes, and asking those who
//! have been away for long whether they are still there. Refuses: the estimate.

use std::time::{Duration, Instant};

use shoal_protocol::advert::{Find, Lifetimes};
use shoal_protocol::bounded::List;
use shoal_protocol::peer::PeerKey;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Shared, key_of};
use shoal_control::{ControlEvent, ControlHandle, Protocol, RequestError};

/// How often it is looked who has been away for long, and the estimate is told anew.
const LOOK_EVERY: Duration = Duration::from_secs(300);
/// Whom to ask at a time; the others at the next look.
const ASKED_MAX: usize = 8;

/// Follows members until the node stops. `half_life` holds the default, and what it is found
/// to be.
pub(super) async fn follow(shared: Shared, half_life: watch::Sender<Duration>) {
    let mut events = shared.handle.events();
    let mut lives = Lifetimes::new(Instant::now(), *half_life.borrow());
    catch_up(&shared.handle, &mut lives).await;
    let mut looks = tokio::time::interval(LOOK_EVERY);
    let mut asked = JoinSet::new();
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            event = events.recv() => match event {
                Ok(event) => hear(&mut lives, &event),
                Err(RecvError::Lagged(_)) => catch_up(&shared.handle, &mut lives).await,
                Err(RecvError::Closed) => return,
            },
            Some(Ok((peer, answered))) = asked.join_next() => match answered {
                true => lives.answered(Instant::now(), &peer),
                false => lives.silent(Instant::now(), &peer),
            },
            _ = looks.tick() => {
                if asked.is_empty() {
                    for peer in lives.doubtful(Instant::now()).into_iter().take(ASKED_MAX) {
                        asked.spawn(is_there(shared.handle.clone(), peer));
                    }
                }
                half_life.send_replace(lives.half_life(Instant::now()));
            }
        }
    }
}

fn hear(lives: &mut Lifetimes, event: &ControlEvent) {
    let (ControlEvent::Connected { peer } | ControlEvent::Disconnected { peer }) = event else {
        return;
    };
    let Some(key) = key_of(peer) else { return };
    match event {
        ControlEvent::Connected { .. } => lives.met(Instant::now(), key),
        _ => lives.lost(Instant::now(), key),
    }
}

/// Events were missed, or have not been listened to yet.
async fn catch_up(handle: &ControlHandle, lives: &mut Lifetimes) {
    let peers = handle.peers().await;
    let here: Vec<_> = peers.iter().filter_map(|peer| key_of(&peer.peer)).collect();
    lives.only(Instant::now(), &here);
}

/// Asks a member nothing; it is looked up and dialled if need be. Whoever refuses is there.
async fn is_there(handle: ControlHandle, peer: PeerKey) -> (PeerKey, bool) {
    let Some(id) = peer.peer_id() else {
        return (peer, false);
    };
    let nothing = Find {
        keys: List::default(),
    };
    let answer = handle.request(id, Protocol::Find, nothing.to_bytes().into());
    let answered = match answer.await {
        Ok(_) | Err(RequestError::Refused { .. } | RequestError::Busy { .. }) => true,
        Err(error) => {
            tracing::debug!(peer = %id, %error, "a member has left");
            false
        }
    };
    (peer, answered)
}

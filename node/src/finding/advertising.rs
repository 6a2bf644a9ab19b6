//! Announcing what is here, so that it is found without being told.
//!
//! Owns: carrying out what the advert machine decides; noticing when so many have come that all
//! is announced anew; remembering how far a sweep is, so that a restart goes on there. Refuses: what is announced where and when, and reading what is
//! here ([`reading`](super::reading)).

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use shoal_protocol::advert::{
    Advert, AdvertAck, AdvertBatch, AdvertConfig, DiscoveryKey, Input, Output, Position, Progress,
};
use shoal_protocol::bounded::List;
use shoal_protocol::id::SnapshotId;
use shoal_protocol::peer::PeerKey;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, watch};

use super::reading::{Read, Reader};
use super::shown::Shown;
use super::{Shared, discovery, key_of};
use crate::data::Endpoint;
use crate::node::unix_now_s;
use crate::until::until;
use shoal_control::{ControlEvent, Protocol};

/// Inputs that wait; each answers an output, and those are few.
const INPUTS_MAX: usize = 256;

/// Members who come within so long of each other are told together.
const TOGETHER: Duration = Duration::from_millis(100);

/// What is done besides what all tasks share.
pub(super) struct Advertising {
    pub(super) shared: Shared,
    pub(super) endpoint: Endpoint,
    /// Where it is remembered how far the sweep is.
    pub(super) progress: PathBuf,
    /// The most keys that are advertised.
    pub(super) budget: u64,
    /// What a sweep sends in a second at most.
    pub(super) bytes_per_s: u64,
    /// How long members stay.
    pub(super) half_life: watch::Receiver<Duration>,
    pub(super) shown: Shown,
    pub(super) added: mpsc::Receiver<SnapshotId>,
}

impl Advertising {
    /// Does so until the node stops, beginning anew with every epoch.
    pub(super) async fn run(mut self) {
        let stop = self.shared.stop.clone();
        let mut changes = self.shared.team.changes();
        loop {
            let Some((epoch, key)) = discovery(&self.shared.team) else {
                tokio::select! {
                    changed = changes.changed() => match changed {
                        Ok(()) => continue,
                        Err(_) => return,
                    },
                    () = stop.cancelled() => return,
                }
            };
            let shared = self.shared.clone();
            let epoch_over = epoch_over(&shared, epoch);
            tokio::select! {
                () = advertise(&mut self, epoch, key) => return,
                () = epoch_over => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

/// Notices when so many members have come that what was announced is announced anew: what was
/// announced to half as many has not reached everybody who is to know it.
struct Growth {
    events: broadcast::Receiver<ControlEvent>,
    /// How many were there when it was announced last.
    told: usize,
    /// When they are counted, since somebody came.
    count_at: Option<Instant>,
}

impl Growth {
    /// From a time on at which `told` members are known.
    fn since(events: broadcast::Receiver<ControlEvent>, told: usize) -> Self {
        Self {
            events,
            told,
            count_at: None,
        }
    }

    /// Waits until somebody has come, and those who come along with him. Cancel safe.
    async fn somebody_came(&mut self) {
        loop {
            if let Some(at) = self.count_at {
                tokio::time::sleep_until(at.into()).await;
                self.count_at = None;
                return;
            }
            match self.events.recv().await {
                Ok(ControlEvent::Identified { .. }) | Err(RecvError::Lagged(_)) => {
                    self.count_at = Some(Instant::now() + TOGETHER);
                }
                Ok(_) => {}
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    /// Whether `known` are twice as many as were told, who are told now. The first count too:
    /// alone there is nobody to tell.
    fn has_doubled(&mut self, known: usize) -> bool {
        let doubled = known >= (2 * self.told).max(1);
        if doubled {
            self.told = known;
        }
        doubled
    }
}

async fn epoch_over(shared: &Shared, epoch: u64) {
    let mut changes = shared.team.changes();
    loop {
        if discovery(&shared.team).map(|(number, _)| number) != Some(epoch) {
            return;
        }
        if changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn advertise(this: &mut Advertising, epoch: u64, key: DiscoveryKey) {
    let Advertising {
        shared,
        endpoint,
        progress,
        budget,
        bytes_per_s,
        half_life,
        shown,
        added,
    } = this;
    let budget = *budget;
    let config = AdvertConfig {
        me: Some(shared.team.me()),
        seed: rand::random(),
        bytes_per_s: *bytes_per_s,
        ..AdvertConfig::default()
    };
    let announced_max = config.announced_max;
    let mut machine = Advert::new(Instant::now(), config, resume(progress, epoch));
    let (inputs, mut happened) = mpsc::channel(INPUTS_MAX);
    let mut reader = Reader::of_store(shared, key, shown, inputs.clone());
    half_life.mark_changed();
    let events = shared.handle.events();
    let mut growth = Growth::since(events, shared.handle.known_peers().await.len());
    if growth.told > 0 {
        reader.ask(Read::Headlines {
            keys_max: announced_max,
        });
    }
    loop {
        while let Some(output) = machine.poll() {
            match output {
                Output::Lookup { lookup, target } => {
                    let (handle, inputs) = (shared.handle.clone(), inputs.clone());
                    tokio::spawn(async move {
                        let peers = handle.closest_peers(target.as_bytes()).await;
                        let peers = peers.iter().filter_map(|c| key_of(&c.peer)).collect();
                        // The epoch may be over.
                        let _ = inputs.send(Input::Located { lookup, peers }).await;
                    });
                }
                Output::Meet => {
                    let (handle, inputs) = (shared.handle.clone(), inputs.clone());
                    tokio::spawn(async move {
                        let connected = handle.peers().await;
                        let peers = connected.iter().filter_map(|c| key_of(&c.peer)).collect();
                        // As above.
                        let _ = inputs.send(Input::Met { peers }).await;
                    });
                }
                Output::List { keys_max } => {
                    let keys_max = keys_max.map_or(budget, |room| room.min(budget));
                    reader.ask(Read::List { keys_max });
                }
                Output::Limit { keys_max } => reader.ask(Read::Limit { keys_max }),
                Output::Load { from, to, keys_max } => {
                    reader.ask(Read::Load { from, to, keys_max });
                }
                Output::Send {
                    batch,
                    peer,
                    keys,
                    ttl_s,
                } => {
                    let said = AdvertBatch {
                        epoch,
                        addresses: List::new(endpoint.listening()).unwrap_or_default(),
                        ttl_s,
                        keys: List::new(keys).expect("the machine keeps to the bound"),
                    };
                    let (handle, inputs) = (shared.handle.clone(), inputs.clone());
                    tokio::spawn(async move {
                        let input = match send(&handle, peer, &said).await {
                            Some(ack) => Input::Acked { batch, ack },
                            None => Input::Failed { batch },
                        };
                        // As above.
                        let _ = inputs.send(input).await;
                    });
                }
                Output::Progress(now) => remember(progress, epoch, now),
            }
        }
        shown.machine(Instant::now(), &machine);
        let alarm = until(machine.next_timeout().map(Into::into));
        let input = tokio::select! {
            input = reader.next(&mut happened, added) => input,
            () = growth.somebody_came() => {
                if !growth.has_doubled(shared.handle.known_peers().await.len()) {
                    continue;
                }
                reader.ask(Read::Headlines { keys_max: announced_max });
                Input::Grown
            }
            Ok(()) = half_life.changed() => Input::Churn {
                half_life: *half_life.borrow_and_update(),
            },
            () = alarm => Input::Timeout,
        };
        machine.handle(Instant::now(), input);
    }
}

async fn send(
    handle: &shoal_control::ControlHandle,
    peer: PeerKey,
    batch: &AdvertBatch,
) -> Option<AdvertAck> {
    let bytes = batch.to_bytes();
    let answer = handle
        .request(peer.peer_id()?, Protocol::Advert, bytes.into())
        .await;
    AdvertAck::from_bytes(&answer.ok()?).ok()
}

/// How far a sweep is, as it is remembered.
#[derive(Serialize, Deserialize)]
struct Remembered {
    epoch: u64,
    began_unix_s: u64,
    next: Option<[u8; 32]>,
}

/// What an earlier run of this epoch remembered.
fn resume(path: &Path, epoch: u64) -> Option<Progress> {
    let bytes = std::fs::read(path).ok()?;
    let remembered: Remembered = serde_json::from_slice(&bytes).ok()?;
    let ago = unix_now_s().checked_sub(remembered.began_unix_s)?;
    (remembered.epoch == epoch).then(|| Progress {
        next: remembered.next.map(Position::from_bytes),
        began_ago: Duration::from_secs(ago),
    })
}

/// A convenience: without it a restart sweeps from the beginning.
fn remember(path: &Path, epoch: u64, progress: Progress) {
    let remembered = Remembered {
        epoch,
        began_unix_s: unix_now_s().saturating_sub(progress.began_ago.as_secs()),
        next: progress.next.map(|next| *next.as_bytes()),
    };
    let bytes = serde_json::to_vec(&remembered).expect("plain data");
    let draft = path.with_extension("new");
    let written = std::fs::write(&draft, bytes).and_then(|()| std::fs::rename(&draft, path));
    if let Err(error) = written {
        tracing::debug!(%error, "it is not remembered how far the sweep is");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adding, which comes in between again and again, ends the wait and begins it again.
    #[tokio::test(start_paused = true)]
    async fn who_comes_while_something_else_happens_is_counted_all_the_same() {
        let (sender, events) = broadcast::channel(4);
        let mut growth = Growth::since(events, 0);
        let peer = libp2p_identity::PeerId::random();
        let heard = sender.send(ControlEvent::Identified { peer });
        assert_eq!(heard.expect("somebody listens"), 1);
        let mut cut_short = 0;
        while (tokio::time::timeout(TOGETHER / 4, growth.somebody_came()).await).is_err() {
            cut_short += 1;
            assert!(cut_short < 1000, "nobody else has to come");
        }
        assert!(cut_short > 1);
        assert!(growth.has_doubled(1));
        assert!(!growth.has_doubled(1));
        assert!(growth.has_doubled(2));
    }
}

//! Searching for who has something.
//!
//! Owns: carrying out what the search machine decides. Refuses: to believe what it finds: who
//! is named is dialled, proves itself, and says what it offers.

use std::sync::Arc;
use std::time::Instant;

use shoal_protocol::advert::{
    AdvertKey, Find, Found, Search, SearchConfig, SearchInput, SearchOutput, Subject,
};
use shoal_protocol::bounded::List;
use shoal_protocol::peer::PeerKey;
use shoal_protocol::wire::Neighbour;
use shoal_protocol::wire::limits::NEIGHBOUR_ADDRESSES_MAX;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::{Finding, discovery, key_of};
use crate::node::unix_now_s;
use shoal_control::Protocol;

/// Somebody who is said to have something.
#[derive(Debug, Clone)]
pub(crate) struct Sighting {
    /// Who, and where.
    pub(crate) neighbour: Neighbour,
    /// Who says so; this node, if it was told before.
    pub(crate) told_by: PeerKey,
    /// How many seconds ago it said so itself.
    pub(crate) age_s: u32,
}

impl Finding {
    /// Tells `seen` of each who is said to have any of `subjects`, the more wanted first.
    pub(crate) async fn search(&self, subjects: &[Subject], mut seen: impl FnMut(Sighting)) {
        let Some((_, discovery)) = discovery(&self.team) else {
            return;
        };
        let keys: Vec<AdvertKey> = subjects.iter().map(|s| discovery.key(*s)).collect();
        let me = self.team.me();
        self.remembered(&keys, &mut seen).await;
        let config = SearchConfig {
            me: Some(me),
            ..SearchConfig::default()
        };
        let mut machine = Search::new(config, keys);
        let (inputs, mut happened) = mpsc::unbounded_channel();
        machine.handle(Instant::now(), SearchInput::Timeout);
        loop {
            while let Some(output) = machine.poll() {
                match output {
                    SearchOutput::Ended(_) => return,
                    SearchOutput::Seen(found) if found.provider.peer != me => {
                        seen(Sighting {
                            neighbour: neighbour(found.provider.peer, &found.provider.addresses),
                            told_by: found.told_by,
                            age_s: found.age_s,
                        });
                    }
                    SearchOutput::Seen(_) => {}
                    SearchOutput::Lookup { lookup, target } => {
                        let (handle, inputs) = (self.handle.clone(), inputs.clone());
                        tokio::spawn(async move {
                            let peers = handle.closest_peers(target.as_bytes()).await;
                            let peers = peers.iter().filter_map(|c| key_of(&c.peer)).collect();
                            // The search may be over.
                            let _ = inputs.send(SearchInput::Located { lookup, peers });
                        });
                    }
                    SearchOutput::Ask { ask, peer, keys } => {
                        let (handle, inputs) = (self.handle.clone(), inputs.clone());
                        tokio::spawn(async move {
                            let found = ask_peer(&handle, peer, keys).await;
                            let input = match found {
                                Some(found) => SearchInput::Answered { ask, found },
                                None => SearchInput::AskFailed { ask },
                            };
                            // As above.
                            let _ = inputs.send(input);
                        });
                    }
                }
            }
            let alarm = async {
                match machine.next_timeout() {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            let input = tokio::select! {
                input = happened.recv() => input.expect("a sender is here"),
                () = alarm => SearchInput::Timeout,
                () = self.stop.cancelled() => return,
            };
            machine.handle(Instant::now(), input);
        }
    }

    /// What this node was told itself.
    async fn remembered(&self, keys: &[AdvertKey], seen: &mut impl FnMut(Sighting)) {
        let (providers, keys) = (Arc::clone(&self.providers), keys.to_vec());
        let found = spawn_blocking(move || providers.find(&keys, unix_now_s())).await;
        let Ok(Ok(found)) = found else { return };
        let me = self.team.me();
        for hit in found.keys.iter().flat_map(|hits| hits.iter()) {
            let provider = &found.providers[usize::from(hit.provider)];
            seen(Sighting {
                neighbour: neighbour(provider.peer, &provider.addresses),
                told_by: me,
                age_s: hit.age_s,
            });
        }
    }
}

async fn ask_peer(
    handle: &shoal_control::ControlHandle,
    peer: PeerKey,
    keys: Vec<AdvertKey>,
) -> Option<Found> {
    let keys = List::new(keys).ok()?;
    let question = Find { keys }.to_bytes();
    let answer = handle
        .request(peer.peer_id()?, Protocol::Find, question.into())
        .await;
    Found::from_bytes(&answer.ok()?).ok()
}

fn neighbour(peer: PeerKey, addresses: &[shoal_protocol::access::Address]) -> Neighbour {
    let some = addresses.iter().take(NEIGHBOUR_ADDRESSES_MAX).cloned();
    Neighbour {
        peer,
        addresses: List::new(some.collect()).expect("taken to fit"),
    }
}
